//! Two issues that took one id in two places.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::model::Result;

use super::super::twin::{self, Made, TRIES, shared_id, twin_id};
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
    for (id, left) in ours {
        if base.contains_key(id) {
            continue;
        }
        let Some(right) = theirs.get(id) else { continue };
        let made = Made::of;
        if !made(left).is_another(&made(right)) {
            continue;
        }
        let (side, later, own, others) =
            if made(left).at > made(right).at { (0, left, ours, theirs) } else { (1, right, theirs, ours) };
        let Some(later_at) = made(later).at else { continue };
        // A merge done before has it already, under the id it was given then.
        let already = |to: &str| {
            !base.contains_key(to)
                && !own.contains_key(to)
                && others.get(to).is_some_and(|known| !made(known).is_another(&made(later)))
        };
        let mut given = None;
        for nth in 0..TRIES {
            let to = twin_id(id, later_at, nth);
            let is_used = [base, ours, theirs].iter().any(|issues| issues.contains_key(&to));
            if already(&to) || !is_used && !is_taken(&to)? {
                given = Some(to);
                break;
            }
        }
        let Some(to) = given else { continue };
        choices.push(Choice::new(
            id,
            "id",
            "id_relocated",
            Value::String(to.clone()),
            Value::String(later.title.clone()),
        ));
        renames[side].insert(id.clone(), to);
    }
    for (side, own, others) in [(0, ours, theirs), (1, theirs, ours)] {
        for (id, issue) in own.iter().filter(|(id, _)| !base.contains_key(*id) && !others.contains_key(*id)) {
            let at = Made::of(issue).at;
            let Some(shared) = at.and_then(|at| shared_id(id, at)) else { continue };
            // The second of its id here is the first there, and the first here has made room.
            let is_first = others.get(shared).is_some_and(|first| Made::of(first).at == at);
            let has_room = !own.contains_key(shared) || renames[side].contains_key(shared);
            if is_first && has_room && !renames[1 - side].contains_key(shared) {
                let (to, title) = (Value::String(shared.to_owned()), Value::String(issue.title.clone()));
                choices.push(Choice::new(id, "id", "id_relocated", to, title));
                renames[side].insert(id.clone(), shared.to_owned());
            }
        }
    }
    let [of_ours, of_theirs] = renames;
    Ok(Moved { ours: rename(base, ours, &of_ours), theirs: rename(base, theirs, &of_theirs), of_ours })
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
            twin::rename(&mut issue, id);
        }
        under_new_ids.insert(id.clone(), issue);
    }
    Some(under_new_ids)
}
