//! Bringing two files together that grew apart from one.

mod files;
mod issue;
mod kin;
mod list;
mod naming;
mod text;

use std::borrow::Cow;
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

    pub(crate) fn new(id: &str, key: &str, code: &'static str, kept: Value, dropped: Value) -> Self {
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
///   its side newly says about it follows. Of two only the one that is there keeps the id, and not what is left of the other.
/// - An issue is known under another id where one side gave it one, and what the other did to it comes to it.
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
    let kept = BTreeSet::new();
    let mut asked = Asked { is_taken: &mut |_| Ok(false), kept: &kept, level: None };
    merge_among([base, ours, theirs].map(Cow::Borrowed), &mut asked)
        .expect("nothing is asked for that could fail")
        .merged
}

/// What a merge asks whom it is for.
pub(crate) struct Asked<'a> {
    /// Whether an id is in use besides.
    pub(crate) is_taken: &'a mut dyn FnMut(&str) -> Result<bool>,
    /// Ids that stay with what has them in ours, whether or not that is among those that are brought together.
    pub(crate) kept: &'a BTreeSet<String>,
    /// Takes out of base, ours and theirs of one issue what only looks like a change.
    pub(crate) level: Option<fn([Option<&mut Issue>; 3])>,
}

/// What came of a merge, and of what.
#[derive(Default)]
pub(crate) struct Among<'a> {
    pub(crate) merged: Merged,
    /// Base, ours and theirs, each issue under the id that it has by now in all of them.
    pub(crate) sets: [Cow<'a, Issues>; 3],
    /// The old ids and the new of ours.
    pub(crate) moved: BTreeMap<String, String>,
    /// The same of theirs.
    pub(crate) moved_there: BTreeMap<String, String>,
    /// Issues of theirs that are not as they came, before they were brought together.
    pub(crate) rewritten: BTreeSet<String>,
}

/// The same with sets that leave out what neither side changed.
pub(crate) fn merge_among<'a>(mut sets: [Cow<'a, Issues>; 3], asked: &mut Asked<'_>) -> Result<Among<'a>> {
    let mut merged = Merged::default();
    let naming::Named { names: [_, moved, moved_there], rewritten, marks } =
        naming::name(&mut sets, asked, &mut merged.choices)?;
    let [base, ours, theirs] = &mut sets;
    let ids: BTreeSet<String> = ours.keys().chain(theirs.keys()).cloned().collect();
    if let Some(level) = asked.level {
        let [base, ours, theirs] = [&mut *base, &mut *ours, &mut *theirs].map(Cow::to_mut);
        for id in &ids {
            level([base.get_mut(id), ours.get_mut(id), theirs.get_mut(id)]);
        }
    }
    for id in &ids {
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
    for (id, mut mark) in marks {
        let id = match (merged.issues.get(&id).map(Made::of), Made::of(&mark).at) {
            // Under the id that it would have had itself it tells those that ask for it.
            (Some(there), Some(at)) if there.at != Some(at) => twin_id(&id, at, 0),
            _ => id,
        };
        rename(&mut mark, &id);
        merged.issues.entry(id).or_insert(mark);
    }
    // What is not there has no id.
    let has = |id: &Value| id.as_str().is_some_and(|id| merged.issues.contains_key(id));
    merged.choices.retain(|choice| choice.code != "id_relocated" || has(&choice.kept));
    merged.choices.sort_by(|a, b| (&a.id, &a.key, a.code).cmp(&(&b.id, &b.key, b.code)));
    Ok(Among { merged, sets, moved, moved_there, rewritten })
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
