//! Two issues that took one id in two places.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use crate::model::Result;

use super::super::issue::Issue;
use super::{Choice, Issues};

/// The sides with other ids; nothing where a side needs none.
#[derive(Default)]
pub(super) struct Moved {
    pub(super) ours: Option<Issues>,
    pub(super) theirs: Option<Issues>,
    /// The old and the new ids of ours.
    pub(super) of_ours: BTreeMap<String, String>,
}

/// Gives the later-made of two different issues with one id another id, with all that its side newly says about it.
pub(super) fn relocate(
    base: &Issues,
    ours: &Issues,
    theirs: &Issues,
    is_taken: &mut dyn FnMut(&str) -> Result<bool>,
    choices: &mut Vec<Choice>,
) -> Result<Moved> {
    let mut renames: [BTreeMap<String, String>; 2] = Default::default();
    let mut given: HashMap<String, u64> = HashMap::new();
    for (id, left) in ours {
        if base.contains_key(id) {
            continue;
        }
        let Some(right) = theirs.get(id) else { continue };
        let made = |issue: &Issue| issue.created_at.as_ref().map(|time| time.at);
        let (Some(left_made), Some(right_made)) = (made(left), made(right)) else { continue };
        if left_made == right_made || left.title == right.title {
            continue;
        }
        let (side, later, own, others) =
            if left_made > right_made { (0, left, ours, theirs) } else { (1, right, theirs, ours) };
        // A merge done before has it already, under the id it was given then.
        let already = |to: &str| {
            !base.contains_key(to)
                && !own.contains_key(to)
                && others.get(to).is_some_and(|known| made(known) == made(later) && known.title == later.title)
        };
        let (stem, mark, from) = stem(id);
        let next = given.entry(format!("{stem}{mark}")).or_insert(from);
        let to = loop {
            *next = next.saturating_add(1);
            let to = format!("{stem}{mark}{next}");
            if already(&to) {
                break to;
            }
            if ![base, ours, theirs].iter().any(|issues| issues.contains_key(&to)) && !is_taken(&to)? {
                break to;
            }
        };
        choices.push(Choice::new(
            id,
            "id",
            "id_relocated",
            Value::String(to.clone()),
            Value::String(later.title.clone()),
        ));
        renames[side].insert(id.clone(), to);
    }
    let [of_ours, of_theirs] = renames;
    Ok(Moved { ours: rename(base, ours, &of_ours), theirs: rename(base, theirs, &of_theirs), of_ours })
}

/// An id without its number: `gt-a.3` is `gt-a`, `.`, 3; one that has none counts from 1, so that the next is 2.
fn stem(id: &str) -> (&str, char, u64) {
    for mark in ['.', '-'] {
        if let Some((stem, number)) = id.rsplit_once(mark)
            && let Ok(number) = number.parse::<u64>()
        {
            return (stem, mark, number);
        }
    }
    (id, '-', 1)
}

fn rename(base: &Issues, side: &Issues, renames: &BTreeMap<String, String>) -> Option<Issues> {
    if renames.is_empty() {
        return None;
    }
    let mut under_new_ids = Issues::new();
    for (id, issue) in side {
        let mut issue = issue.clone();
        let before = base.get(id);
        for edge in &mut issue.dependencies {
            let is_old = before.is_some_and(|before| before.dependencies.iter().any(|old| old.key() == edge.key()));
            if !is_old && let Some(to) = renames.get(&edge.depends_on_id) {
                edge.depends_on_id.clone_from(to);
            }
        }
        for (field, old) in [
            (&mut issue.parent, before.map(|before| &before.parent)),
            (&mut issue.replies_to, before.map(|before| &before.replies_to)),
            (&mut issue.superseded_by, before.map(|before| &before.superseded_by)),
            (&mut issue.duplicate_of, before.map(|before| &before.duplicate_of)),
        ] {
            if old != Some(&*field)
                && let Some(to) = renames.get(field.as_str())
            {
                field.clone_from(to);
            }
        }
        let id = renames.get(id).unwrap_or(id);
        if *id != issue.id {
            for edge in &mut issue.dependencies {
                if edge.issue_id == issue.id {
                    edge.issue_id.clone_from(id);
                }
            }
            for comment in &mut issue.comments {
                if comment.issue_id == issue.id {
                    comment.issue_id.clone_from(id);
                }
            }
            issue.id.clone_from(id);
        }
        under_new_ids.insert(id.clone(), issue);
    }
    Some(under_new_ids)
}
