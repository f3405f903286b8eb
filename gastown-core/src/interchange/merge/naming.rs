//! Three sets in which every issue has one id, and every id one issue.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::super::issue::Issue;
use super::super::twin::{self, Made, shared_id, twin_id};
use super::issue::differs;
use super::kin::{BASE, Kin, OURS, THEIRS, became, kin};
use super::{Asked, Choice, Issues};
use crate::model::Result;

/// What the ids of each set are called in all of them, where that is something else.
pub(super) type Names = [BTreeMap<String, String>; 3];

/// What gives an issue its id.
#[derive(Default)]
pub(super) struct Named {
    pub(super) names: Names,
    /// Issues of theirs that name others otherwise, or have another id.
    pub(super) rewritten: BTreeSet<String>,
    /// Tombstones that say which other id an issue has.
    pub(super) marks: Issues,
}

/// Gives every issue the id that it is to have, in all three sets, with what names it there.
pub(super) fn name(sets: &mut [Cow<'_, Issues>; 3], asked: &mut Asked<'_>, choices: &mut Vec<Choice>) -> Result<Named> {
    let of = [&*sets[BASE], &*sets[OURS], &*sets[THEIRS]];
    let mut all = kin(of);
    let is_marked = of.iter().any(|set| set.keys().any(|id| became(set, id).is_some()));
    if !is_marked && are_plain(of, &all, asked.kept) {
        return Ok(Named::default());
    }
    all.sort_by_cached_key(|kin| {
        (certainty(of, kin, asked), made(of, kin).at, kin.iter().flatten().min().map(|id| (*id).to_owned()))
    });
    let names = given(of, &all, asked, choices)?;
    let marks = marks(of);
    let renamed = [BASE, OURS, THEIRS].map(|set| renamed(of, set, &names));
    let is_other = |(id, issue): &(&String, &Issue)| of[THEIRS].get(*id) != Some(*issue);
    let rewritten = renamed[THEIRS].iter().filter(is_other).map(|(id, _)| id.clone()).collect();
    *sets = renamed.map(Cow::Owned);
    Ok(Named { names, rewritten, marks })
}

/// Whether every issue has one id in all sets, and may keep it.
fn are_plain(sets: [&Issues; 3], all: &[Kin<'_>], kept: &BTreeSet<String>) -> bool {
    let ids = sets.iter().flat_map(|set| set.keys()).collect::<BTreeSet<_>>().len();
    let is_plain = |kin: &Kin<'_>| {
        let mut ids = kin.iter().flatten();
        let first = ids.next();
        ids.all(|id| Some(id) == first) && (kin[OURS].is_some() || first.is_none_or(|id| !kept.contains(*id)))
    };
    all.len() == ids && all.iter().all(is_plain)
}

/// The tombstones of issues that have another id, unless one side took them out; of two the earlier one.
fn marks(sets: [&Issues; 3]) -> Issues {
    let mut marks = Issues::new();
    for set in [OURS, THEIRS] {
        for (id, issue) in sets[set].iter().filter(|(id, _)| became(sets[set], id).is_some()) {
            let was_there = sets[BASE].get(id).is_some_and(Issue::is_tombstone);
            if was_there && !sets[OURS + THEIRS - set].contains_key(id) {
                continue;
            }
            let order = |left: &Issue| {
                let at = left.deleted_at.as_ref().map(|time| time.at);
                (at, left.deleted_by.clone(), left.delete_reason.clone())
            };
            if marks.get(id).is_none_or(|other| order(issue) < order(other)) {
                marks.insert(id.clone(), issue.clone());
            }
        }
    }
    marks
}

fn issue<'a>(sets: [&'a Issues; 3], kin: &Kin<'_>, set: usize) -> Option<&'a Issue> {
    kin[set].and_then(|id| sets[set].get(id))
}

/// When and as what an issue was made, by the first set that knows it.
fn made(sets: [&Issues; 3], kin: &Kin<'_>) -> Made {
    let mut known = [BASE, OURS, THEIRS].into_iter().filter_map(|set| issue(sets, kin, set)).map(Made::of);
    let first = known.next().unwrap_or_else(|| Made::new(None, ""));
    if first.at.is_some() { first } else { known.find(|made| made.at.is_some()).unwrap_or(first) }
}

/// How doubtful it is that an issue is there afterwards: of two that want one id the more certain one gets it.
fn certainty(sets: [&Issues; 3], kin: &Kin<'_>, asked: &Asked<'_>) -> u8 {
    let (ours, theirs) = (issue(sets, kin, OURS), issue(sets, kin, THEIRS));
    let is_dead = |side: Option<&Issue>| side.is_some_and(Issue::is_tombstone);
    match (issue(sets, kin, BASE), ours, theirs) {
        _ if kin[OURS].is_some_and(|id| asked.kept.contains(id)) => 0,
        (_, None, None) => 4,
        (Some(base), None, Some(left)) | (Some(base), Some(left), None) if !differs(base, left) => 4,
        _ if is_dead(ours) || is_dead(theirs) => 3,
        (Some(_), None, _) | (Some(_), _, None) => 2,
        _ => 1,
    }
}

/// The ids that an issue has, the one first that it is to have: what one side changed is taken.
fn wanted<'a>(sets: [&Issues; 3], kin: &Kin<'a>, made: Made) -> Vec<&'a str> {
    let [base, ours, theirs] = *kin;
    let mut wanted = Vec::new();
    match (ours, theirs) {
        (Some(ours), Some(theirs)) if base == Some(ours) => wanted.extend([theirs, ours]),
        (Some(ours), Some(theirs)) if base == Some(theirs) => wanted.extend([ours, theirs]),
        (Some(ours), Some(theirs)) => {
            // The one that it shares before the one that tells it from its twins, and last the one that it had.
            let is_told_apart = |id: &str| made.at.is_some_and(|at| shared_id(id, at).is_some());
            let is_old = |id: &str| [OURS, THEIRS].iter().any(|set| became(sets[*set], id).is_some());
            wanted.extend([ours, theirs]);
            wanted.sort_by_key(|id| (is_old(id), is_told_apart(id), *id));
        }
        (one, other) => wanted.extend(one.or(other).or(base)),
    }
    wanted
}

fn given(sets: [&Issues; 3], all: &[Kin<'_>], asked: &mut Asked<'_>, choices: &mut Vec<Choice>) -> Result<Names> {
    let mut names = Names::default();
    let mut taken: BTreeSet<String> = BTreeSet::new();
    for kin in all {
        let made = made(sets, kin);
        let wanted = wanted(sets, kin, made);
        let is_kept = |id: &str| asked.kept.contains(id);
        let own = kin[OURS].filter(|id| is_kept(id));
        let free = wanted.iter().find(|id| !taken.contains(**id) && !is_kept(id)).copied();
        let id = match (own.or(free), wanted.first()) {
            (Some(id), _) => id.to_owned(),
            (None, Some(first)) => {
                let at = made.at.unwrap_or_default();
                let shared = shared_id(first, at).unwrap_or(first);
                let mut nth = 0;
                loop {
                    let id = twin_id(shared, at, nth);
                    let is_used = sets.iter().any(|set| set.contains_key(&id)) || taken.contains(&id) || is_kept(&id);
                    if !is_used && !(asked.is_taken)(&id)? {
                        break id;
                    }
                    nth += 1;
                }
            }
            (None, None) => continue,
        };
        let told = [OURS, THEIRS].into_iter().find(|set| {
            // What one side changed and the other did not needs no word.
            let other = kin[OURS + THEIRS - set];
            kin[*set].is_some_and(|old| old != id && (kin[BASE] != Some(old) || other != Some(&*id)))
        });
        if let Some((old, issue)) = told.and_then(|set| kin[set].zip(issue(sets, kin, set)))
            && !issue.is_tombstone()
        {
            let (kept, title) = (Value::String(id.clone()), Value::String(issue.title.clone()));
            choices.push(Choice::new(old, "id", "id_relocated", kept, title));
        }
        for (set, old) in kin.iter().enumerate() {
            if let Some(old) = old.filter(|old| *old != id) {
                names[set].insert(old.to_owned(), id.clone());
            }
        }
        taken.insert(id);
    }
    Ok(names)
}

/// A set with other ids, and without the tombstones that only say which.
fn renamed(sets: [&Issues; 3], set: usize, names: &Names) -> Issues {
    let (base, side) = (sets[BASE], sets[set]);
    // What an issue means by an id: what has it there, and where it said so before, what had it then.
    let meant = |id: &str, is_old: bool| -> Option<String> {
        let of = match () {
            () if side.contains_key(id) && (!is_old || base.contains_key(id)) => set,
            () if is_old => BASE,
            () => return None,
        };
        let to = became(sets[of], id).unwrap_or(id);
        names[of].get(to).cloned().or_else(|| (to != id).then(|| to.to_owned()))
    };
    let before: BTreeMap<&str, &Issue> =
        base.iter().map(|(id, issue)| (names[BASE].get(id).unwrap_or(id).as_str(), issue)).collect();
    let mut under_new_ids = Issues::new();
    for (id, issue) in side.iter().filter(|(id, _)| became(side, id).is_none()) {
        let mut issue = issue.clone();
        let new = names[set].get(id).unwrap_or(id);
        let before = before.get(new.as_str()).copied();
        for edge in &mut issue.dependencies {
            let is_old = before.is_some_and(|before| before.dependencies.iter().any(|old| old.key() == edge.key()));
            if let Some(to) = meant(&edge.depends_on_id, is_old) {
                edge.depends_on_id = to;
            }
        }
        for (field, old) in [
            (&mut issue.parent, before.map(|before| &before.parent)),
            (&mut issue.replies_to, before.map(|before| &before.replies_to)),
            (&mut issue.superseded_by, before.map(|before| &before.superseded_by)),
            (&mut issue.duplicate_of, before.map(|before| &before.duplicate_of)),
        ] {
            let is_old = old == Some(&*field);
            if let Some(to) = meant(field, is_old) {
                *field = to;
            }
        }
        if *new != issue.id {
            twin::rename(&mut issue, new);
        }
        under_new_ids.insert(new.clone(), issue);
    }
    under_new_ids
}
