//! Which beads a list is about.

use std::collections::BTreeSet;
use std::fmt::Display;

use regex_lite::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::page::MEMBERS_MAX;
use crate::model::id::excerpt;
use crate::model::text_enum::text_enum;
use crate::model::{BeadId, BeadKind, BeadRow, BeadStatus, Error, Result, RigName, Timestamp};
use crate::store::{Scan, index};
use crate::work::fields::{LABEL_BYTES_MAX, check_priority, check_word};
use crate::work::view::{View, text};

/// The most words in one field of a filter.
const WORDS_MAX: usize = 200;
/// The largest program that a regular expression may become, in bytes.
const REGEX_BYTES_MAX: usize = 1 << 20;

text_enum! {
    /// The order in which ready beads come.
    pub enum ReadySort = "sort" {
        /// Most urgent first, then oldest.
        Priority = "priority",
        /// Oldest first.
        Oldest = "oldest",
        /// What was made in the last 48 hours, most urgent first; then the rest, oldest first.
        Hybrid = "hybrid",
    }
}

text_enum! {
    /// The order of a list of beads.
    pub enum ListSort = "sort" {
        /// Oldest first.
        Created = "created",
        /// Youngest first.
        Newest = "newest",
        /// Last changed first.
        Updated = "updated",
        /// Most urgent first, then oldest.
        Priority = "priority",
        /// By id.
        Id = "id",
    }
}

macro_rules! filters {
    ($($(#[$meta:meta])* pub struct $name:ident { $($(#[$fmeta:meta])* $field:ident: $type:ty,)* })*) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name {
            $($(#[$fmeta])* pub $field: $type,)*
            /// Of this rig.
            pub rig: Option<RigName>,
            /// Of this priority.
            pub priority: Option<u32>,
            /// At most so low: 1 is for 0 and 1.
            pub priority_max: Option<u32>,
            /// Of one of these types.
            pub issue_types: Vec<String>,
            /// Of none of these types.
            pub exclude_types: Vec<String>,
            /// Held by, or meant for, this agent's bead or person.
            pub assignee: Option<String>,
            /// Held by nobody and meant for nobody.
            pub unassigned: bool,
            /// That this person answers for.
            pub owner: Option<String>,
            /// With all of these labels.
            pub labels: Vec<String>,
            /// With one of these labels at least.
            pub labels_any: Vec<String>,
            /// With none of these labels.
            pub labels_none: Vec<String>,
            /// With a label like this: `*` stands for any text, `?` for one character.
            pub label_glob: Option<String>,
            /// With a label in which this regular expression is found.
            pub label_regex: Option<String>,
            /// Parts of this bead, to any depth.
            pub parent: Option<BeadId>,
            /// With `parent`: only its own parts, not those of its parts.
            pub direct: bool,
            /// Members of this convoy.
            pub convoy: Option<BeadId>,
            /// With these keys and values in its metadata.
            pub metadata: Option<Json>,
            /// With these keys in its metadata.
            pub has_metadata: Vec<String>,
            /// At most so many, 1 to 1000; 50 where it is left out.
            pub limit: Option<usize>,
            /// Go on behind an earlier page of the same list.
            pub cursor: Option<String>,
        }

        impl $name {
            /// The conditions that lists and what is ready have in common; refuses what makes no sense.
            pub(super) fn conditions<'a>(&'a self, view: View<'_>) -> Result<Conditions<'a>> {
                Conditions {
                    // A rig's own handle sees nothing else, and a rig has an index of its own.
                    rig: self.rig.clone().or_else(|| view.scope().rig().cloned()),
                    priority: self.priority,
                    priority_max: self.priority_max,
                    issue_types: &self.issue_types,
                    exclude_types: &self.exclude_types,
                    assignee: self.assignee.as_deref(),
                    unassigned: self.unassigned,
                    owner: self.owner.as_deref(),
                    labels: &self.labels,
                    labels_any: &self.labels_any,
                    labels_none: &self.labels_none,
                    label_glob: self.label_glob.as_deref(),
                    label_regex: self.label_regex.as_deref().map(regex).transpose()?,
                    parent: self.parent.as_ref(),
                    direct: self.direct,
                    convoy: self.convoy.as_ref(),
                    metadata: self.metadata.as_ref(),
                    has_metadata: &self.has_metadata,
                    within: None,
                }
                .checked(view)
            }
        }
    )*};
}

filters! {
    /// Which beads to list.
    #[allow(clippy::struct_excessive_bools, reason = "filters have that many switches")]
    pub struct BeadFilter {
        /// Of this kind; issues where it is left out.
        kind: Option<BeadKind>,
        /// In this status.
        status: Option<BeadStatus>,
        /// In one of these statuses.
        statuses: Vec<BeadStatus>,
        /// Whether they are pinned.
        pinned: Option<bool>,
        /// Whether they are of use for a short time only.
        ephemeral: Option<bool>,
        /// Whether they are patterns for others.
        template: Option<bool>,
        /// Made later than this.
        created_after: Option<Timestamp>,
        /// Made before this.
        created_before: Option<Timestamp>,
        /// Last changed later than this.
        updated_after: Option<Timestamp>,
        /// Last changed before this.
        updated_before: Option<Timestamp>,
        /// Closed or failed later than this.
        closed_after: Option<Timestamp>,
        /// Closed or failed before this.
        closed_before: Option<Timestamp>,
        /// In which order; oldest first where it is left out.
        sort: Option<ListSort>,
    }

    /// Which of the ready issues.
    ///
    /// Without `issue_types`, those that are no work of their own are left out: the types `merge-request`, `gate`,
    /// `molecule`, `message`, `agent`, `role` and `rig`, and an `epic` with open parts.
    #[allow(clippy::struct_excessive_bools, reason = "filters have that many switches")]
    pub struct ReadyFilter {
        /// Also those that are of use for a short time only.
        include_ephemeral: bool,
        /// In which order; most urgent first where it is left out.
        sort: Option<ReadySort>,
    }
}

/// What lists and the ready issues can be asked for.
#[derive(Debug)]
pub(super) struct Conditions<'a> {
    pub(super) rig: Option<RigName>,
    pub(super) priority: Option<u32>,
    pub(super) priority_max: Option<u32>,
    pub(super) issue_types: &'a [String],
    exclude_types: &'a [String],
    pub(super) assignee: Option<&'a str>,
    unassigned: bool,
    owner: Option<&'a str>,
    pub(super) labels: &'a [String],
    labels_any: &'a [String],
    labels_none: &'a [String],
    label_glob: Option<&'a str>,
    label_regex: Option<Regex>,
    parent: Option<&'a BeadId>,
    direct: bool,
    pub(super) convoy: Option<&'a BeadId>,
    metadata: Option<&'a Json>,
    has_metadata: &'a [String],
    /// All parts of `parent`.
    pub(super) within: Option<BTreeSet<BeadId>>,
}

impl Conditions<'_> {
    fn checked(mut self, view: View<'_>) -> Result<Self> {
        for priority in [self.priority, self.priority_max].into_iter().flatten() {
            check_priority(priority)?;
        }
        let words = [
            ("issue_types", self.issue_types),
            ("exclude_types", self.exclude_types),
            ("labels", self.labels),
            ("labels_any", self.labels_any),
            ("labels_none", self.labels_none),
            ("has_metadata", self.has_metadata),
        ];
        for (field, words) in words {
            if words.len() > WORDS_MAX {
                return Err(Error::invalid("filter_too_long", format!("{field} has more than {WORDS_MAX} words"))
                    .with("field", field)
                    .with("found", words.len()));
            }
            words.iter().try_for_each(|word| check_word(field, word))?;
        }
        for (field, word) in [("assignee", self.assignee), ("owner", self.owner)] {
            word.map_or(Ok(()), |word| check_word(field, word))?;
        }
        if let Some(glob) = self.label_glob
            && (glob.is_empty() || glob.len() > LABEL_BYTES_MAX)
        {
            return Err(Error::invalid("glob_malformed", format!("{} cannot be a pattern", excerpt(glob)))
                .with("bytes", glob.len())
                .with("rule", format!("1 to {LABEL_BYTES_MAX} bytes")));
        }
        if self.metadata.is_some_and(|wanted| wanted.as_object().is_none_or(|map| map.len() > WORDS_MAX)) {
            return Err(Error::invalid(
                "metadata_malformed",
                format!("metadata is an object of at most {WORDS_MAX} keys"),
            ));
        }
        if self.assignee.is_some() && self.unassigned {
            return Err(
                Error::invalid("filter_contradiction", "nobody is assigned and unassigned").with("field", "unassigned")
            );
        }
        match self.parent {
            Some(parent) => self.within = Some(parts(view, parent, self.direct)?),
            None if self.direct => {
                return Err(Error::invalid("filter_misplaced", "whose own parts is not said").with("field", "direct"));
            }
            None => {}
        }
        Ok(self)
    }

    /// Whether the row is one of those; `is_free` where its holder's claim ran out.
    pub(super) fn fit(&self, row: &BeadRow, is_free: bool) -> bool {
        let assignee = row.assignee.as_deref().filter(|_| !is_free);
        let has = |label: &String| row.labels.binary_search(label).is_ok();
        self.rig.as_ref().is_none_or(|rig| row.rig.as_ref() == Some(rig))
            && self.priority.is_none_or(|priority| row.priority == priority)
            && self.priority_max.is_none_or(|max| row.priority <= max)
            && (self.issue_types.is_empty() || self.issue_types.contains(&row.issue_type))
            && !self.exclude_types.contains(&row.issue_type)
            && self.assignee.is_none_or(|who| assignee == Some(who))
            && (!self.unassigned || assignee.is_none())
            && self.owner.is_none_or(|who| row.owner.as_deref() == Some(who))
            && self.labels.iter().all(has)
            && (self.labels_any.is_empty() || self.labels_any.iter().any(has))
            && !self.labels_none.iter().any(has)
            && self.label_glob.is_none_or(|glob| row.labels.iter().any(|label| is_like(label, glob)))
            && self.label_regex.as_ref().is_none_or(|regex| row.labels.iter().any(|label| regex.is_match(label)))
            && self.within.as_ref().is_none_or(|parts| parts.contains(&row.id))
            && self.convoy.is_none_or(|convoy| row.convoy.as_ref() == Some(convoy))
            && self.fits_metadata(&row.metadata)
    }

    fn fits_metadata(&self, metadata: &Json) -> bool {
        let wanted = self.metadata.and_then(Json::as_object);
        wanted.is_none_or(|wanted| wanted.iter().all(|(key, value)| metadata.get(key) == Some(value)))
            && self.has_metadata.iter().all(|key| metadata.get(key).is_some())
    }
}

/// A regular expression over labels; looking takes time in proportion to both their lengths.
fn regex(text: &str) -> Result<Regex> {
    let wrong = |error: &dyn Display| {
        Error::invalid("regex_malformed", format!("{} cannot be a regular expression: {error}", excerpt(text)))
            .with("bytes", text.len())
            .with("rule", format!("a regular expression of 1 to {LABEL_BYTES_MAX} bytes that takes at most {REGEX_BYTES_MAX} once it is built"))
    };
    if text.is_empty() || text.len() > LABEL_BYTES_MAX {
        return Err(wrong(&"it is empty or too long"));
    }
    RegexBuilder::new(text).size_limit(REGEX_BYTES_MAX).build().map_err(|error| wrong(&error))
}

/// The parts of a bead, its own or to any depth.
fn parts(view: View<'_>, parent: &BeadId, direct: bool) -> Result<BTreeSet<BeadId>> {
    view.bead(parent)?;
    let mut found = BTreeSet::new();
    let mut waiting = vec![parent.clone()];
    while let Some(at) = waiting.pop() {
        let mut is_full = false;
        view.walk::<BeadRow>(Scan::new(&index::BEADS_BY_PARENT, vec![text(&at)], 0), |row| {
            is_full = found.len() == MEMBERS_MAX;
            if !is_full && found.insert(row.id.clone()) && row.parts > 0 && !direct {
                waiting.push(row.id);
            }
            Ok(!is_full)
        })?;
        if is_full {
            return Err(Error::exhausted("too_many_parts", format!("bead {parent} has more than {MEMBERS_MAX} parts"))
                .with("bead", parent)
                .with("parts_max", MEMBERS_MAX));
        }
    }
    Ok(found)
}

/// Whether the text is like the pattern; the time is at most the product of their lengths.
fn is_like(text: &str, pattern: &str) -> bool {
    let (text, pattern): (Vec<char>, Vec<char>) = (text.chars().collect(), pattern.chars().collect());
    let (mut at, mut of) = (0, 0);
    // Where the last star stands, and up to where it has taken the text.
    let mut star: Option<(usize, usize)> = None;
    while at < text.len() {
        if of < pattern.len() && pattern[of] == '*' {
            star = Some((of, at));
            of += 1;
        } else if of < pattern.len() && (pattern[of] == '?' || pattern[of] == text[at]) {
            at += 1;
            of += 1;
        } else if let Some((place, taken)) = star {
            star = Some((place, taken + 1));
            at = taken + 1;
            of = place + 1;
        } else {
            return false;
        }
    }
    pattern[of..].iter().all(|&c| c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_whole_label_with_stars_and_question_marks() {
        for (label, pattern, wanted) in [
            ("area/net", "area/*", true),
            ("area/net", "*net", true),
            ("area/net", "a*e*t", true),
            ("area/net", "area", false),
            ("area/net", "area/???", true),
            ("area/net", "area/??", false),
            ("ärä", "?r?", true),
            ("", "*", true),
            ("a", "**?**", true),
            ("[x]", "[x]", true),
        ] {
            assert_eq!(is_like(label, pattern), wanted, "{label} {pattern}");
        }
        let hostile = "*a".repeat(100);
        assert!(!is_like(&"a".repeat(99), &hostile));
        assert!(is_like(&"a".repeat(200), &hostile));
    }
}
