//! What a sync has to do, from one snapshot of the town and one reading of the file.

use std::collections::{BTreeMap, BTreeSet};

use super::super::export::{deleted, left_of};
use super::super::import::{Stored, is_simple};
use super::super::rows;
use super::super::source::foreign_of;
use super::super::unfit::Refusal;
use super::basis::{Agreed, Basis};
use crate::interchange::{
    Choice, Deletion, Dialect, Document, Essence, Issue, Issues, Made, Merged, dress, line_of, merge_among, recall,
    shared_id,
};
use crate::model::{BeadId, BeadRow, ForeignRow, Key, Result, RigName, Stored as _, TombstoneRow};
use crate::store::{Scan, index};
use crate::work::archived;
use crate::work::view::View;

/// The two sides, and what they agreed on.
pub(crate) struct Look<'a> {
    pub(crate) basis: &'a Basis,
    pub(crate) rig: Option<&'a RigName>,
    pub(crate) document: &'a mut Document,
    /// What files beside it tell of deleted issues.
    pub(crate) deletions: &'a BTreeMap<String, Deletion>,
    /// Issues that are left alone.
    pub(crate) excluded: &'a BTreeSet<String>,
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
}

/// What is looked at more closely: everything that is not the same everywhere.
#[derive(Default)]
struct Differing {
    base: Issues,
    ours: Issues,
    theirs: Issues,
    here: BTreeMap<String, Essence>,
}

impl Look<'_> {
    /// Compares both sides with what they agreed on.
    pub(crate) fn plan(&mut self, view: View<'_>) -> Result<Plan> {
        let mut plan = Plan { version: self.basis.version(view)?, ..Plan::default() };
        self.settle(view, &mut plan)?;
        let known = self.known(view)?;
        let mut found = Differing::default();
        let mut seen = BTreeSet::new();
        self.walk_beads(view, &known, &mut found, &mut seen, &mut plan)?;
        // Of a bead that the town has no more nothing is lost with its line.
        plan.known = known.keys().filter(|id| seen.contains(*id)).count() as u64;
        let is_gone = |id: &&String| !self.document.contains(id) && !self.deletions.contains_key(*id);
        plan.gone = known.keys().filter(|id| seen.contains(*id)).filter(is_gone).count() as u64;
        let document = &*self.document;
        let rest: BTreeSet<&str> = known.keys().map(String::as_str).chain(document.ids()).collect();
        for id in rest.into_iter().filter(|id| !seen.contains(*id) && !self.excluded.contains(*id)) {
            self.without_bead(view, id, known.get(id), &mut found, &mut plan)?;
        }
        let is_known = |id: &str| known.contains_key(id) || document.contains(id);
        let (Merged { issues, choices }, moved) =
            merge_among(&found.base, &found.ours, &found.theirs, &mut |id| Ok(is_known(id) || is_in_town(view, id)?))?;
        plan.choices.extend(choices);
        plan.choices.extend(document.dropped());
        plan.choices.extend(document.twins());
        for (from, to) in moved {
            plan.renames.extend(BeadId::new(from).ok().zip(BeadId::new(to).ok()));
        }
        let ids: BTreeSet<&String> =
            [&found.base, &found.ours, &found.theirs, &issues].iter().flat_map(|set| set.keys()).collect();
        for id in ids {
            self.decide(id, issues.get(id), &known, &found, &mut plan);
        }
        self.foreign(view, &mut plan)?;
        Ok(plan)
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
            if !self.excluded.contains(&id) {
                let is_same = self.document.line(&id) == Some(agreed.line.as_bytes());
                let line = (!is_same).then_some(agreed.line);
                known.insert(id, Known { said: agreed.said, line });
            }
        })?;
        Ok(known)
    }

    /// Whether a bead that the file does not know yet goes there.
    fn goes_out(&self, bead: &BeadRow) -> bool {
        !bead.ephemeral && is_simple(bead.kind) && self.rig.is_none_or(|rig| bead.rig.as_ref() == Some(rig))
    }

    /// Whether the file has the id that a bead shares with another, so that it may be there under that one.
    fn is_twin(&self, issue: &Issue) -> bool {
        Made::of(issue).at.and_then(|at| shared_id(&issue.id, at)).is_some_and(|shared| self.document.contains(shared))
    }

    fn walk_beads(
        &self,
        view: View<'_>,
        known: &BTreeMap<String, Known>,
        found: &mut Differing,
        seen: &mut BTreeSet<String>,
        plan: &mut Plan,
    ) -> Result<()> {
        view.walk::<BeadRow>(Scan::new(&index::BEADS, vec![], 0), |bead| {
            let id = bead.id.as_str().to_owned();
            let (before, is_in_file) = (known.get(&id), self.document.contains(&id));
            let is_known = before.is_some() || is_in_file;
            if self.excluded.contains(&id) || !is_known && !self.goes_out(&bead) {
                return Ok(true);
            }
            let mut issue = Stored::of(view, bead)?.issue();
            // A town sets beads aside by itself, and for itself.
            issue.parked_reason.clear();
            issue.parked_until = None;
            let said = Essence::of(&issue);
            seen.insert(id.clone());
            match before {
                Some(before) if before.line.is_none() && before.said == said => plan.unchanged += 1,
                None if is_in_file && self.document.issue(&id).is_some_and(|theirs| Essence::of(&theirs) == said) => {
                    plan.unchanged += 1;
                    plan.agree(&id, self.document.line(&id), said);
                }
                None if !is_in_file && !self.deletions.contains_key(&id) && !self.is_twin(&issue) => {
                    let line = line_of(&issue, self.dialect);
                    plan.agree(&id, Some(&line), said);
                    plan.lines.insert(id, Some(line));
                }
                before => {
                    found.here.insert(id.clone(), said);
                    self.differs(&id, before, Some(issue), found);
                }
            }
            Ok(true)
        })
    }

    /// An issue that is no bead here: it was deleted, went to an archive, or is new.
    fn without_bead(
        &self,
        view: View<'_>,
        id: &str,
        before: Option<&Known>,
        found: &mut Differing,
        plan: &mut Plan,
    ) -> Result<()> {
        let left = match BeadId::new(id) {
            Ok(id) => view.find::<TombstoneRow>(&Key::tombstone(&id))?,
            Err(_) => None,
        };
        if let Some(left) = left {
            let issue = left_of(&left)?;
            let said = Essence::of(&issue);
            if before.is_some_and(|before| before.line.is_none() && before.said == said) {
                plan.unchanged += 1;
                return Ok(());
            }
            found.here.insert(id.to_owned(), said);
            // What is left of a bead is of that one, and of no other to which the file gives its id.
            let is_of_another =
                before.is_none() && self.document.issue(id).is_some_and(|theirs| is_another(&issue, &theirs));
            self.differs(id, before, (!is_of_another).then_some(issue), found);
        } else if before.is_some_and(|before| before.line.is_none()) {
            // It went to an archive: that is no change.
            plan.unchanged += 1;
        } else if before.is_none() && self.is_away(view, id)? {
            plan.unchanged += 1;
            if let Some(theirs) = self.document.issue(id) {
                plan.agree(id, self.document.line(id), Essence::of(&theirs));
            }
        } else {
            self.differs(id, before, None, found);
        }
        Ok(())
    }

    /// Whether an issue that both sides never agreed on is a bead in an archive, of which the file says nothing newer.
    fn is_away(&self, view: View<'_>, id: &str) -> Result<bool> {
        let (Ok(bead), Some(theirs)) = (BeadId::new(id), self.document.issue(id)) else { return Ok(false) };
        let away = archived::find(view, &bead)?.filter(|away| !away.made().is_another(&Made::of(&theirs)));
        let changed_at = theirs.updated_at.as_ref().or(theirs.created_at.as_ref()).map(|time| time.at);
        Ok(away.is_some_and(|away| changed_at.is_some_and(|at| at <= away.updated_at)))
    }

    /// Puts an issue with what both sides and their agreement say of it to those that are looked at.
    fn differs(&self, id: &str, before: Option<&Known>, ours: Option<Issue>, found: &mut Differing) {
        let mut base = before.and_then(|before| match &before.line {
            Some(line) => read(line.as_bytes()),
            None => self.document.issue(id),
        });
        let mut theirs = self.document.issue(id).or_else(|| {
            let mut left = deleted(self.deletions.get(id)?);
            if let Some(base) = &base {
                dress(&mut left, base);
            }
            Some(left)
        });
        let ours = match ours {
            Some(mut ours) => {
                if let Some(line) = base.as_ref().or(theirs.as_ref()) {
                    dress(&mut ours, line);
                }
                Some(ours)
            }
            // What went to an archive did not change.
            None => base.clone(),
        };
        if let (Some(base), Some(ours)) = (&mut base, &ours) {
            recall(base, ours);
        }
        if let (Some(theirs), Some(known)) = (&mut theirs, base.as_ref().or(ours.as_ref())) {
            recall(theirs, known);
        }
        for (set, issue) in [(&mut found.base, base), (&mut found.ours, ours), (&mut found.theirs, theirs)] {
            if let Some(issue) = issue {
                set.insert(id.to_owned(), issue);
            }
        }
    }

    /// What becomes of one issue on both sides.
    fn decide(
        &self,
        id: &str,
        merged: Option<&Issue>,
        known: &BTreeMap<String, Known>,
        found: &Differing,
        plan: &mut Plan,
    ) {
        let here = found.here.get(id).copied();
        let is_alive = here.is_some() && found.ours.get(id).is_some_and(|ours| !ours.is_tombstone());
        let Some(merged) = merged else {
            if let (true, Some(ours), Ok(id)) = (is_alive, found.ours.get(id), BeadId::new(id)) {
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
        if here != Some(said) {
            match rows::rows(merged) {
                Ok(rows) => {
                    plan.set_aside
                        .extend(rows.unfit.into_iter().map(|unfit| (id.to_owned(), unfit.key, unfit.message)));
                    plan.steps.push(Step { id: rows.bead.id, here, becomes: Box::new(merged.clone()) });
                }
                Err(Refusal { code, message, .. }) => {
                    plan.refused.push((id.to_owned(), code, message));
                    return;
                }
            }
        }
        let leaves_line = !merged.is_tombstone() || self.document.has_tombstones() || self.dialect == Dialect::Br;
        let theirs = found.theirs.get(id).filter(|_| self.document.contains(id));
        let line = match theirs {
            Some(theirs) if Essence::of(theirs) == said => self.document.line(id).map(<[u8]>::to_vec),
            _ if !leaves_line => {
                if self.document.contains(id) {
                    plan.lines.insert(id.to_owned(), None);
                }
                None
            }
            theirs => {
                let is_new = theirs.is_none() && !found.base.contains_key(id);
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
        let agreed = line.map(|line| Agreed { line: String::from_utf8_lossy(line).into_owned(), said });
        self.agreed.insert(id.to_owned(), agreed);
    }

    /// Leaves issues alone whose beads stayed as they are.
    pub(crate) fn without(&mut self, ids: &BTreeSet<String>) {
        self.lines.retain(|id, _| !ids.contains(id));
        self.agreed.retain(|id, _| !ids.contains(id));
    }
}

fn is_in_town(view: View<'_>, id: &str) -> Result<bool> {
    let Ok(id) = BeadId::new(id) else { return Ok(false) };
    Ok(view.find::<BeadRow>(&Key::bead(&id))?.is_some() || view.find::<TombstoneRow>(&Key::tombstone(&id))?.is_some())
}

fn read(line: &[u8]) -> Option<Issue> {
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

/// Whether an issue is there in the place of another that was deleted.
fn is_another(left: &Issue, theirs: &Issue) -> bool {
    !theirs.is_tombstone() && Made::of(left).is_another(&Made::of(theirs))
}
