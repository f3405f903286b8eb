//! What a sync has to do, from one snapshot of the town and one reading of the file.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::super::export::{deleted, left_of};
use super::super::rows;
use super::super::source::foreign_of;
use super::super::unfit::Refusal;
use super::basis::{Agreed, Basis};
use super::untold;
use crate::interchange::{
    Among, Asked, Choice, Deletion, Dialect, Document, Essence, Issue, Issues, MOVED_TO, Made, TRIES, dress, line_of,
    merge_among, recall, shared_id, twin_id,
};
use crate::model::{BeadId, BeadRow, ForeignRow, Key, Result, Stored as _, Timestamp, TombstoneRow};
use crate::store::{Scan, index};
use crate::work::archived;
use crate::work::beads::moved_to;
use crate::work::view::View;

/// The two sides, and what they agreed on.
pub(crate) struct Look<'a> {
    pub(crate) basis: &'a Basis,
    pub(crate) document: &'a mut Document,
    /// What files beside it tell of deleted issues.
    pub(crate) deletions: &'a BTreeMap<String, Deletion>,
    /// Ids that beads of the town cannot do without.
    pub(crate) kept: &'a BTreeSet<String>,
    /// For whom new lines are written.
    pub(crate) dialect: Dialect,
}

/// What is to be done.
#[derive(Default)]
pub(crate) struct Plan {
    /// How often the agreement was changed before.
    pub(crate) version: u64,
    /// Beads of the town that get another id, before anything else.
    pub(crate) renames: Vec<(BeadId, BeadId)>,
    /// What changes in the town.
    pub(crate) steps: Vec<Step>,
    /// What changes in the file.
    pub(crate) lines: BTreeMap<String, Option<Vec<u8>>>,
    /// What the file says of issues under an id, or with ids, that it gets only now.
    pub(crate) theirs: BTreeMap<String, Vec<u8>>,
    /// What both agree on then, where that is something else than before.
    pub(crate) agreed: BTreeMap<String, Option<Agreed>>,
    /// Records that are no beads.
    pub(crate) foreign: Vec<ForeignRow>,
    pub(crate) choices: Vec<Choice>,
    /// Issues that cannot be taken in: the code and the words.
    pub(crate) refused: Vec<(String, String, String)>,
    /// Values that a bead cannot have, of issues that are taken in: the key and the words.
    pub(crate) set_aside: Vec<(String, &'static str, String)>,
    pub(crate) unchanged: u64,
    /// Beads of the town that both knew and whose lines are gone, and how many of them both knew.
    pub(crate) gone: u64,
    pub(crate) known: u64,
}

/// One bead that changes in the town.
pub(crate) struct Step {
    pub(crate) id: BeadId,
    /// What is there now.
    pub(crate) here: Option<Essence>,
    /// What it becomes: a bead, or what is left of one.
    pub(crate) becomes: Box<Issue>,
}

/// What both agreed on, next to what the file says now.
struct Known {
    said: Essence,
    /// The line, where the file has another one or none.
    line: Option<String>,
    /// Whether it had its id there because the bead cannot do without it here.
    kept: bool,
}

/// What the town still knows of a bead that it has no more under an id.
struct Last<'a> {
    /// The id that it has by now.
    moved_to: Option<&'a String>,
    /// What it was when it went to an archive, where the file was not told.
    untold: Option<&'a Issue>,
}

/// What is looked at more closely: everything that is not the same everywhere.
#[derive(Default)]
struct Differing {
    base: Issues,
    ours: Issues,
    theirs: Issues,
    here: BTreeMap<String, Essence>,
    /// Those that are beads of the town.
    alive: BTreeSet<String>,
    /// Those that the town has elsewhere, in an archive.
    away: BTreeSet<String>,
    /// Ids that what has them in the town cannot do without.
    kept: BTreeSet<String>,
}

/// What came of them.
struct Outcome<'a> {
    here: BTreeMap<String, Essence>,
    away: BTreeSet<String>,
    among: Among<'a>,
}

impl Look<'_> {
    /// Compares both sides with what they agreed on.
    pub(crate) fn plan(&mut self, view: View<'_>) -> Result<Plan> {
        let mut plan = Plan { version: self.basis.version(view)?, ..Plan::default() };
        self.settle(view, &mut plan)?;
        let known = self.known(view)?;
        let moved = self.moved(view, &known)?;
        let mut found = Differing { kept: self.kept.clone(), ..Differing::default() };
        let mut seen = BTreeSet::new();
        self.walk_beads(view, &known, &moved, &mut found, &mut seen, &mut plan)?;
        // Of a bead that the town has no more nothing is lost with its line, and one that has another id is not gone.
        let is_gone = |id: &&String| !self.document.contains(id) && !self.deletions.contains_key(*id);
        plan.known = known.keys().filter(|id| seen.contains(*id)).count() as u64;
        plan.gone = known.keys().filter(|id| seen.contains(*id)).filter(is_gone).count() as u64;
        let (document, untold) = (&*self.document, untold::all(view, self.basis)?);
        let ids = known.keys().chain(untold.keys()).map(String::as_str).chain(document.ids());
        let rest: BTreeSet<&str> = ids.filter(|id| !seen.contains(*id)).collect();
        for id in rest {
            let last = Last { moved_to: moved.get(id), untold: untold.get(id) };
            self.without_bead(view, id, known.get(id), &last, &mut found, &mut plan)?;
        }
        let is_known = |id: &str| known.contains_key(id) || document.contains(id);
        let is_undone = found.kept.iter().any(|id| is_undone(id, &known, &found));
        let Differing { base, ours, theirs, here, alive, away, kept } = found;
        let mut ids: BTreeSet<String> = [&base, &ours, &theirs].iter().flat_map(|set| set.keys()).cloned().collect();
        let is_taken = &mut |id: &str| Ok(is_known(id) || is_in_town(view, id)?);
        let mut asked = Asked { is_taken, kept: &kept, level: Some(level) };
        let mut among = merge_among([base, ours, theirs].map(Cow::Owned), &mut asked)?;
        let choices = std::mem::take(&mut among.merged.choices);
        for (from, to) in among.moved.iter().filter(|(from, _)| alive.contains(*from)) {
            let is_told = |choice: &Choice| choice.code == "id_relocated" && choice.kept == to.as_str();
            if !choices.iter().any(is_told) {
                let title = among.sets[1].get(to).map(|issue| issue.title.as_str());
                plan.choices.push(Choice::new(from, "id", "id_relocated", to.as_str().into(), title.into()));
            }
            plan.renames.extend(BeadId::new(from.as_str()).ok().zip(BeadId::new(to.as_str()).ok()));
        }
        plan.choices.extend(choices);
        plan.choices.extend(document.dropped());
        plan.choices.extend(document.twins());
        ids.extend(among.merged.issues.keys().cloned());
        let outcome = Outcome { here, away, among };
        for id in &ids {
            self.decide(id, &known, &outcome, &mut plan);
        }
        let among = &outcome.among;
        if is_undone {
            plan.leave(among);
        }
        let is_given = |id: &String| kept.contains(id) && among.moved_there.values().any(|to| to == id);
        for (_, agreed) in plan.agreed.iter_mut().filter(|(id, _)| is_given(id)) {
            if let Some(agreed) = agreed {
                agreed.kept = true;
            }
        }
        self.foreign(view, &mut plan)?;
        Ok(plan)
    }

    /// The beads that were known under another id, which they have by now.
    fn moved(&self, view: View<'_>, known: &BTreeMap<String, Known>) -> Result<BTreeMap<String, String>> {
        let mut went: BTreeMap<String, String> = BTreeMap::new();
        view.walk::<TombstoneRow>(Scan::new(&index::TOMBSTONES, vec![], 0), |left| {
            went.extend(moved_to(&left).map(|to| (left.id.as_str().to_owned(), to.to_owned())));
            Ok(true)
        })?;
        let is_asked = |id: &str| known.contains_key(id) || self.document.contains(id);
        let mut moved = BTreeMap::new();
        for (from, mut to) in went.iter().filter(|(from, _)| is_asked(from)) {
            // Back and forth, and round in a circle, is as long as the way is.
            for _ in 0..went.len() {
                let Some(next) = went.get(to) else { break };
                to = next;
            }
            moved.insert(from.clone(), to.clone());
        }
        Ok(moved)
    }

    /// Finishes a merge that somebody left unfinished in the file.
    fn settle(&mut self, view: View<'_>, plan: &mut Plan) -> Result<()> {
        let mut before = Issues::new();
        for id in self.document.contested() {
            if let Some(issue) = self.basis.find(view, id)?.and_then(|agreed| read(agreed.line.as_bytes())) {
                before.insert(id.to_owned(), issue);
            }
        }
        plan.choices.extend(self.document.settle(&before, &mut |id| is_in_town(view, id))?);
        Ok(())
    }

    fn known(&self, view: View<'_>) -> Result<BTreeMap<String, Known>> {
        let mut known = BTreeMap::new();
        self.basis.walk(view, |id, agreed| {
            let is_same = self.document.line(&id) == Some(agreed.line.as_bytes());
            let line = (!is_same).then_some(agreed.line);
            known.insert(id, Known { said: agreed.said, line, kept: agreed.kept });
        })?;
        Ok(known)
    }

    /// Whether the file has, or had, an id that a bead may be there under besides its own.
    fn has_other_id(&self, issue: &Issue, known: &BTreeMap<String, Known>) -> bool {
        let has = |id: &str| self.document.contains(id) || known.contains_key(id);
        let Some(at) = Made::of(issue).at else { return false };
        shared_id(&issue.id, at).is_some_and(has) || has(&twin_id(&issue.id, at, 0))
    }

    fn walk_beads(
        &self,
        view: View<'_>,
        known: &BTreeMap<String, Known>,
        moved: &BTreeMap<String, String>,
        found: &mut Differing,
        seen: &mut BTreeSet<String>,
        plan: &mut Plan,
    ) -> Result<()> {
        let targets: BTreeSet<&str> = moved.values().map(String::as_str).collect();
        view.walk::<BeadRow>(Scan::new(&index::BEADS, vec![], 0), |bead| {
            let id = bead.id.as_str().to_owned();
            let (before, is_in_file) = (known.get(&id), self.document.contains(&id));
            let was_known = targets.contains(id.as_str());
            if before.is_none() && !is_in_file && !was_known && !self.basis.goes_out(&bead) {
                return Ok(true);
            }
            let issue = untold::outward(view, bead)?;
            let said = Essence::of(&issue);
            seen.insert(id.clone());
            match before {
                Some(before) if before.line.is_none() && before.said == said && !was_known => plan.unchanged += 1,
                None if is_in_file
                    && !was_known
                    && self.document.issue(&id).is_some_and(|theirs| Essence::of(&theirs) == said) =>
                {
                    plan.unchanged += 1;
                    plan.agree(&id, self.document.line(&id), said);
                }
                None if !is_in_file
                    && !was_known
                    && !self.deletions.contains_key(&id)
                    && !self.has_other_id(&issue, known) =>
                {
                    let line = line_of(&issue, self.dialect);
                    plan.agree(&id, Some(&line), said);
                    plan.lines.insert(id, Some(line));
                }
                before => {
                    found.here.insert(id.clone(), said);
                    found.alive.insert(id.clone());
                    self.differs(&id, before, Some(issue), found);
                }
            }
            Ok(true)
        })
    }

    /// An issue that is no bead here: it was deleted, has another id, went to an archive, or is new.
    fn without_bead(
        &self,
        view: View<'_>,
        id: &str,
        before: Option<&Known>,
        last: &Last<'_>,
        found: &mut Differing,
        plan: &mut Plan,
    ) -> Result<()> {
        let bead = BeadId::new(id).ok();
        let left = bead.as_ref().map(|bead| view.find::<TombstoneRow>(&Key::tombstone(bead))).transpose()?.flatten();
        if let Some(left) = left {
            let mut issue = left_of(&left)?;
            if let Some(to) = last.moved_to {
                issue.extra.insert(MOVED_TO.to_owned(), to.as_str().into());
            }
            let said = Essence::of(&issue);
            if before.is_some_and(|before| before.line.is_none() && before.said == said) {
                plan.unchanged += 1;
                return Ok(());
            }
            found.here.insert(id.to_owned(), said);
            self.differs(id, before, Some(issue), found);
            return Ok(());
        }
        if last.untold.is_none() && before.is_some_and(|before| before.line.is_none()) {
            // It went to an archive: that is no change.
            plan.unchanged += 1;
            return Ok(());
        }
        let away = bead.as_ref().map(|bead| archived::find(view, bead)).transpose()?.flatten();
        if let (Some(away), Some(theirs)) = (&away, self.document.issue(id)) {
            if away.made().is_another(&Made::of(&theirs)) {
                // The bead in the archive comes back under its id.
                found.kept.insert(id.to_owned());
            } else if last.untold.is_none()
                && before.is_none()
                && changed_at(&theirs).is_some_and(|at| at <= away.updated_at)
            {
                plan.unchanged += 1;
                plan.agree(id, self.document.line(id), Essence::of(&theirs));
                return Ok(());
            }
        }
        let untold = last.untold.filter(|_| away.is_some());
        self.differs(id, before, untold.cloned(), found);
        if untold.is_some() {
            // What it was when it went to an archive is still to be told, and it stays there.
            found.away.insert(id.to_owned());
        } else if let Some(base) = found.base.get(id)
            && (away.is_some() || !is_elsewhere(view, base)?)
        {
            // What went to an archive did not change.
            found.ours.insert(id.to_owned(), base.clone());
            found.away.insert(id.to_owned());
        }
        Ok(())
    }

    /// Puts an issue with what both sides and their agreement say of it to those that are looked at.
    fn differs(&self, id: &str, before: Option<&Known>, ours: Option<Issue>, found: &mut Differing) {
        let base = before.and_then(|before| match &before.line {
            Some(line) => read(line.as_bytes()),
            None => self.document.issue(id),
        });
        let theirs = self.document.issue(id).or_else(|| {
            let mut left = deleted(self.deletions.get(id)?);
            if let Some(base) = &base {
                dress(&mut left, base);
            }
            Some(left)
        });
        for (set, issue) in [(&mut found.base, base), (&mut found.ours, ours), (&mut found.theirs, theirs)] {
            if let Some(issue) = issue {
                set.insert(id.to_owned(), issue);
            }
        }
    }

    /// What becomes of one issue on both sides.
    fn decide(&self, id: &str, known: &BTreeMap<String, Known>, outcome: &Outcome<'_>, plan: &mut Plan) {
        let Outcome { here, away, among: Among { merged, sets: [base, ours, theirs], rewritten, .. } } = outcome;
        let here = here.get(id).copied();
        let Some(merged) = merged.issues.get(id) else {
            let ours = ours.get(id).filter(|ours| here.is_some() && !ours.is_tombstone());
            if let (Some(ours), Ok(id)) = (ours, BeadId::new(id)) {
                plan.steps.push(Step { id, here, becomes: Box::new(gone(ours)) });
            }
            if self.document.contains(id) {
                plan.lines.insert(id.to_owned(), None);
            }
            if known.contains_key(id) {
                plan.agreed.insert(id.to_owned(), None);
            }
            return;
        };
        let said = Essence::of(merged);
        let stays_away = away.contains(id) && ours.get(id).is_some_and(|ours| Essence::of(ours) == said);
        if here != Some(said) && !stays_away {
            match rows::rows(merged) {
                Ok(rows) => {
                    plan.set_aside
                        .extend(rows.unfit.into_iter().map(|unfit| (id.to_owned(), unfit.key, unfit.message)));
                    plan.steps.push(Step { id: rows.bead.id, here, becomes: Box::new(merged.clone()) });
                }
                Err(Refusal { code, message, .. }) => {
                    plan.refused.push((id.to_owned(), code, message));
                    if let Some(theirs) = theirs.get(id).filter(|_| rewritten.contains(id)) {
                        plan.lines.insert(id.to_owned(), Some(line_of(theirs, Dialect::Native)));
                    }
                    return;
                }
            }
            if let Some(theirs) = theirs.get(id).filter(|_| rewritten.contains(id)) {
                plan.theirs.insert(id.to_owned(), line_of(theirs, Dialect::Native));
            }
        }
        let leaves_line = !merged.is_tombstone() || self.document.has_tombstones() || self.dialect == Dialect::Br;
        // Its own line, and not that of another which had the id.
        let is_new = !theirs.contains_key(id) && !base.contains_key(id);
        let theirs = theirs.get(id).filter(|_| self.document.contains(id) && !rewritten.contains(id));
        let line = match theirs {
            Some(theirs) if Essence::of(theirs) == said => self.document.line(id).map(<[u8]>::to_vec),
            _ if !leaves_line => {
                if self.document.contains(id) {
                    plan.lines.insert(id.to_owned(), None);
                }
                None
            }
            _ => {
                let line = line_of(merged, if is_new { self.dialect } else { Dialect::Native });
                plan.lines.insert(id.to_owned(), Some(line.clone()));
                Some(line)
            }
        };
        let is_as_before =
            known.get(id).is_some_and(|before| line.is_some() && before.line.is_none() && before.said == said)
                && !plan.lines.contains_key(id);
        if !is_as_before && (line.is_some() || known.contains_key(id)) {
            plan.agree(id, line.as_deref(), said);
        }
    }

    /// The records of the file that are no beads and are not in the town as they are.
    fn foreign(&self, view: View<'_>, plan: &mut Plan) -> Result<()> {
        for line in self.document.others() {
            let Some(row) = foreign_of(line)? else { continue };
            let stored: Option<ForeignRow> = view.find(&row.key())?;
            if stored.as_ref() != Some(&row) {
                plan.foreign.push(row);
            }
        }
        Ok(())
    }
}

impl Plan {
    fn agree(&mut self, id: &str, line: Option<&[u8]>, said: Essence) {
        let agreed = line.map(|line| Agreed { line: String::from_utf8_lossy(line).into_owned(), said, kept: false });
        self.agreed.insert(id.to_owned(), agreed);
    }

    /// Leaves those lines of the file alone in which an id means another issue than here.
    fn leave(&mut self, among: &Among<'_>) {
        let others: BTreeSet<&String> = among.moved_there.iter().flat_map(|(from, to)| [from, to]).collect();
        let names_other = |issue: &Issue| {
            let named = [&issue.parent, &issue.replies_to, &issue.superseded_by, &issue.duplicate_of];
            let edges = issue.dependencies.iter().map(|edge| &edge.depends_on_id);
            named.into_iter().chain(edges).any(|id| others.contains(id))
        };
        let is_other = |id: &String| others.contains(id) || among.rewritten.contains(id);
        let names_other = |line: &Vec<u8>| read(line).is_some_and(|issue| names_other(&issue));
        let lines = self.lines.iter().filter(|(id, line)| is_other(id) || line.as_ref().is_some_and(names_other));
        let left: BTreeSet<String> = lines.map(|(id, _)| id.clone()).collect();
        let stays = |id: &String| is_other(id) || left.contains(id);
        self.lines.retain(|id, _| !stays(id));
        self.agreed.retain(|id, _| !stays(id));
        self.theirs.retain(|id, _| !stays(id));
    }

    /// Leaves issues alone whose beads stayed as they are.
    pub(crate) fn without(&mut self, ids: &BTreeSet<String>) {
        self.lines.retain(|id, _| !ids.contains(id));
        self.agreed.retain(|id, _| !ids.contains(id));
        // Another may have the line that it had.
        let theirs = std::mem::take(&mut self.theirs).into_iter().filter(|(id, _)| ids.contains(id));
        self.lines.extend(theirs.map(|(id, line)| (id, Some(line))));
    }
}

/// Whether the file gives an id to another issue again that was given to the bead here which cannot do without it. That is not
/// asked for twice: two that both insist would never come to an end.
fn is_undone(id: &str, known: &BTreeMap<String, Known>, found: &Differing) -> bool {
    let Some((base, theirs)) = found.base.get(id).zip(found.theirs.get(id)) else { return false };
    known.get(id).is_some_and(|known| known.kept) && Made::of(theirs).is_another(&Made::of(base))
}

fn is_in_town(view: View<'_>, id: &str) -> Result<bool> {
    let Ok(id) = BeadId::new(id) else { return Ok(false) };
    Ok(view.find::<BeadRow>(&Key::bead(&id))?.is_some() || view.find::<TombstoneRow>(&Key::tombstone(&id))?.is_some())
}

pub(super) fn read(line: &[u8]) -> Option<Issue> {
    let document = Document::read(line.to_vec()).ok()?;
    let id = document.ids().next()?.to_owned();
    document.issue(&id)
}

/// What is left of a bead whose line is gone; when and by whom is said where it is done.
fn gone(ours: &Issue) -> Issue {
    Issue {
        id: ours.id.clone(),
        title: ours.title.clone(),
        status: "tombstone".to_owned(),
        original_type: ours.issue_type.clone(),
        created_at: ours.created_at.clone(),
        created_by: ours.created_by.clone(),
        delete_reason: GONE.to_owned(),
        ..Issue::default()
    }
}

/// Why a bead was deleted whose line is gone.
const GONE: &str = "its line was taken out of the file";

/// Takes out of what the town and the file say of one issue what only looks like a change.
fn level([base, mut ours, mut theirs]: [Option<&mut Issue>; 3]) {
    if let Some(ours) = &mut ours
        && let Some(line) = base.as_deref().or(theirs.as_deref())
    {
        dress(ours, line);
    }
    let base = match (base, &ours) {
        (Some(base), Some(ours)) => {
            recall(base, ours);
            Some(base)
        }
        (base, _) => base,
    };
    if let Some(theirs) = &mut theirs
        && let Some(known) = base.as_deref().or(ours.as_deref())
    {
        recall(theirs, known);
    }
}

/// Whether a bead that has not the id that both sides knew has another by which it is known.
fn is_elsewhere(view: View<'_>, base: &Issue) -> Result<bool> {
    let Some(at) = Made::of(base).at else { return Ok(false) };
    let twins = (0..TRIES).map(|nth| twin_id(&base.id, at, nth));
    for id in shared_id(&base.id, at).map(str::to_owned).into_iter().chain(twins) {
        let Ok(id) = BeadId::new(id) else { continue };
        if view.find::<BeadRow>(&Key::bead(&id))?.is_some_and(|bead| bead.created_at == at) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn changed_at(issue: &Issue) -> Option<Timestamp> {
    issue.updated_at.as_ref().or(issue.created_at.as_ref()).map(|time| time.at)
}
