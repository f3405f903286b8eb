//! Bringing two files together that grew apart from one.

mod files;
mod issue;
mod list;
mod relocate;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufRead;

use serde_json::Value;

use crate::model::Result;

use super::issue::Issue;
use super::line::Record;
use super::read::{Entry, Line, Reader};
use super::twin::{Made, rename, twin_id};

pub use files::{FileMerge, merge_files};
pub(super) use issue::buried;

/// Issues by id.
pub type Issues = BTreeMap<String, Issue>;

/// One decision of a merge by which something was given up, or may surprise.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Choice {
    /// The issue.
    pub id: String,
    /// The key it is about; empty where it is about the whole issue.
    pub key: String,
    /// What was decided, for programs; one of [`Choice::CODES`].
    pub code: &'static str,
    /// What stays.
    pub kept: Value,
    /// What does not; null where nothing was given up.
    pub dropped: Value,
}

impl Choice {
    /// Every code a choice may have.
    pub const CODES: &'static [&'static str] = &[
        "closed_over_open",
        "comment_id_shared",
        "deleted_but_changed",
        "edge_changed_and_removed",
        "edge_conflict",
        "field_conflict",
        "id_relocated",
        "line_dropped",
        "notes_joined",
        "record_conflict",
        "reopen_is_newer",
        "reclose_is_newer",
        "text_conflict",
        "text_joined",
        "tombstone_kept",
        "tombstone_lifted",
    ];

    pub(super) fn new(id: &str, key: &str, code: &'static str, kept: Value, dropped: Value) -> Self {
        debug_assert!(Self::CODES.contains(&code), "{code} is not listed");
        Self { id: id.to_owned(), key: key.to_owned(), code, kept, dropped }
    }
}

/// The outcome of [`merge3`].
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Merged {
    /// The issues.
    pub issues: Issues,
    /// The choices, ordered by id.
    pub choices: Vec<Choice>,
}

/// Brings two sets of issues together that grew out of `base`, field by field; which side is which does not matter.
///
/// - What one side changed is taken; what both changed otherwise is a conflict, which the later `updated_at` wins, and with equal
///   ones the greater text.
/// - Labels, edges and comments that a side added stay, and what a side removed goes.
/// - Notes that both wrote on are joined. Closed wins over open, unless the one reopened what was closed, and later.
/// - What one side deleted and the other did not change is deleted; what the other changed stays. A tombstone wins over changes
///   before its deletion.
/// - Two issues that took the same id apart (`created_at` and title differ) are both kept; the later gets another id, and what
///   its side newly says about it follows.
///
/// ```
/// use gastown_core::interchange::{Issue, Issues, merge3};
/// let issue = |title: &str, labels: &[&str]| {
///     let labels = labels.iter().map(|label| label.to_string()).collect();
///     Issues::from([("gt-1".into(), Issue { id: "gt-1".into(), title: title.into(), labels, ..Issue::default() })])
/// };
/// let merged = merge3(&issue("pump", &["a"]), &issue("the pump", &["a", "b"]), &issue("pump", &["c"]));
/// assert_eq!(merged.issues["gt-1"].title, "the pump");
/// assert_eq!(merged.issues["gt-1"].labels, ["b", "c"]);
/// assert!(merged.choices.is_empty(), "nothing was given up");
/// ```
pub fn merge3(base: &Issues, ours: &Issues, theirs: &Issues) -> Merged {
    merge_among(base, ours, theirs, &mut |_| Ok(false)).expect("nothing is asked for that could fail").0
}

/// The same with sets that leave out what neither side changed; `is_taken` says whether an id is in use there. Answers besides
/// which issues of ours got another id: the old ones and the new.
pub(crate) fn merge_among(
    base: &Issues,
    ours: &Issues,
    theirs: &Issues,
    is_taken: &mut dyn FnMut(&str) -> Result<bool>,
) -> Result<(Merged, BTreeMap<String, String>)> {
    let mut merged = Merged::default();
    let moved = relocate::relocate(base, ours, theirs, is_taken, &mut merged.choices)?;
    let of_ours = moved.of_ours;
    let (ours, theirs) = (moved.ours.as_ref().unwrap_or(ours), moved.theirs.as_ref().unwrap_or(theirs));
    let ids: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    for id in ids {
        let kept = match (base.get(id), ours.get(id), theirs.get(id)) {
            (base, Some(ours), Some(theirs)) => Some(issue::merge(base, ours, theirs, &mut merged.choices)),
            (None, Some(added), None) | (None, None, Some(added)) => Some(added.clone()),
            // Both deleted it, and one left a mark.
            (Some(base), Some(left), None) | (Some(base), None, Some(left))
                if left.is_tombstone() && !base.is_tombstone() =>
            {
                Some(left.clone())
            }
            (Some(base), Some(left), None) | (Some(base), None, Some(left)) => issue::differs(base, left).then(|| {
                let kept = Value::String(left.title.clone());
                merged.choices.push(Choice::new(id, "", "deleted_but_changed", kept, Value::Null));
                left.clone()
            }),
            (_, None, None) => None,
        };
        if let Some(issue) = kept {
            merged.issues.insert(id.clone(), issue);
        }
    }
    merged.choices.sort_by(|a, b| (&a.id, &a.key, a.code).cmp(&(&b.id, &b.key, b.code)));
    Ok((merged, of_ours))
}

/// Reads all issues of one file by id, the newest line of each; and whatever else the file holds: flaws, other records, and the
/// lines that did not win. Of two issues with one id the one that was made later has another.
pub fn collect<R: BufRead>(reader: Reader<R>) -> Result<(Issues, Vec<Entry>)> {
    let (mut issues, mut others) = (Issues::new(), Vec::new());
    let mut lines: BTreeMap<String, Line> = BTreeMap::new();
    for entry in reader {
        match entry? {
            Entry::Read(line) => {
                if line.issue().is_some() {
                    put(&mut lines, *line, &mut others);
                } else {
                    others.push(Entry::Read(line));
                }
            }
            flaw @ Entry::Flaw(_) => others.push(flaw),
        }
    }
    for (id, line) in lines {
        if let Record::Issue(issue) | Record::Tombstone(issue) = line.record {
            issues.insert(id, *issue);
        }
    }
    Ok((issues, others))
}

/// Puts an issue's line to the others.
fn put(lines: &mut BTreeMap<String, Line>, mut line: Line, others: &mut Vec<Entry>) {
    let Some(issue) = line.issue() else { return };
    let (id, made, changed_at) = (issue.id.clone(), Made::of(issue), issue.changed_at());
    let earlier = lines.get(&id).and_then(Line::issue);
    let Some((before, is_older)) = earlier.map(|earlier| (Made::of(earlier), changed_at < earlier.changed_at())) else {
        lines.insert(id, line);
        return;
    };
    if !before.is_another(&made) {
        let left = if is_older { Some(line) } else { lines.insert(id, line) };
        others.extend(left.map(|left| Entry::Read(Box::new(left))));
        return;
    }
    if before.at > made.at
        && let Some(there) = lines.get_mut(&id)
    {
        std::mem::swap(there, &mut line);
    }
    if let Record::Issue(issue) | Record::Tombstone(issue) = &mut line.record
        && let Some(at) = Made::of(issue).at
    {
        rename(issue, &twin_id(&id, at, 0));
        put(lines, line, others);
    }
}
