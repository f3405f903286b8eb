//! The counts that are kept: what still blocks each bead, and how many parts it has.
//!
//! Each change goes on from bead to bead by a queue, never by the stack, so a chain may have any length.

use std::collections::{BTreeSet, VecDeque};

use serde_json::json;

use super::Pages;
use super::link::is_idle;
use crate::model::{
    BeadId, BeadKind, BeadRow, BeadStatus, ConvoyRow, DependencyKind, DependencyRow, FailurePolicy, Key, Resolution,
    Result, WaitGate,
};
use crate::work::hook;
use crate::work::txn::ScopedTxn;
use crate::work::view::View;

/// How many counts change before what changed goes to the journal, so that it is never all held at once.
const CHANGES_HELD_MAX: usize = 1_000;

/// Whether an edge is counted in `blockers` of `waiter`; `on` is none where it is not there.
pub(crate) fn counts(view: View<'_>, edge: &DependencyRow, waiter: &BeadRow, on: Option<&BeadRow>) -> Result<bool> {
    let Some(on) = on else { return Ok(false) };
    if waiter.status.is_terminal() || is_idle(edge) {
        return Ok(false);
    }
    match edge.kind {
        DependencyKind::Blocks => Ok(!is_resolved(view, waiter, on)?),
        DependencyKind::ConditionalBlocks => Ok(!on.status.is_terminal()),
        DependencyKind::WaitsFor => Ok(is_waited_for(edge.gate, on)),
        DependencyKind::ParentChild => Ok(on.blockers > 0),
        _ => Ok(false),
    }
}

/// Whether the parts of `on` still hold up who waits for them.
const fn is_waited_for(gate: Option<WaitGate>, on: &BeadRow) -> bool {
    match gate {
        Some(WaitGate::AnyChildren) => on.open_parts > 0 && on.open_parts == on.parts,
        _ => on.open_parts > 0,
    }
}

/// Whether the blocker's work is in the branch that the waiter starts from.
pub(crate) fn is_resolved(view: View<'_>, waiter: &BeadRow, blocker: &BeadRow) -> Result<bool> {
    match blocker.status {
        BeadStatus::Closed => {
            // What is merged into a convoy's branch is there for the convoy's members only, until it lands.
            let elsewhere = blocker.resolution == Some(Resolution::Merged)
                && blocker.kind == BeadKind::Issue
                && blocker.convoy.is_some()
                && blocker.convoy != waiter.convoy;
            Ok(!elsewhere)
        }
        BeadStatus::Failed => match &blocker.convoy {
            Some(convoy) if blocker.convoy == waiter.convoy => {
                let convoy = view.find::<ConvoyRow>(&Key::convoy(convoy))?;
                Ok(convoy.is_some_and(|row| row.on_failure == FailurePolicy::Continue))
            }
            _ => Ok(false),
        },
        _ => Ok(false),
    }
}

/// Whether it went well, so that what was for the other case is left out.
pub(crate) const fn went_well(row: &BeadRow) -> bool {
    matches!(row.status, BeadStatus::Closed)
        && !matches!(row.resolution, Some(Resolution::Cancelled | Resolution::Abandoned))
}

/// How a bead turned out, held against what others were to do because of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// As before.
    Same,
    /// It went well now, so what was for the other case is left out.
    Well,
    /// It did not go well after all, so what was left out is not.
    NotWell,
}

impl Turn {
    const fn of(was_well: bool, is_well: bool) -> Self {
        match (was_well, is_well) {
            (false, true) => Self::Well,
            (true, false) => Self::NotWell,
            _ => Self::Same,
        }
    }
}

/// Why a bead is left out that was to run only if another failed.
fn skipped_because_of(on: &BeadId) -> String {
    format!("it was to run only if {on} failed")
}

/// Whether nobody has begun with it, so that it may be left out.
pub(crate) fn may_be_skipped(row: &BeadRow) -> bool {
    row.status == BeadStatus::Open
        && (row.assignee.is_none() || row.is_hooked())
        && matches!(row.kind, BeadKind::Issue | BeadKind::Molecule | BeadKind::Step | BeadKind::Gate)
}

/// How a bead stood before it moved, as far as that matters to others.
#[derive(Clone, Copy)]
pub(crate) struct Before {
    is_closed: bool,
    went_well: bool,
}

impl Before {
    /// How it stands.
    pub(crate) fn of(row: &BeadRow) -> Self {
        Self { is_closed: row.status == BeadStatus::Closed, went_well: went_well(row) }
    }
}

/// Writes a bead whose status, resolution or convoy changed, and brings every count up to date that follows from it:
/// its own, those of whatever waits for it, and its parent's.
///
/// Beads that were to run only if it failed are closed as skipped. Answers the beads that became free.
pub(crate) fn put_moved(txn: &mut ScopedTxn<'_>, before: Before, row: BeadRow) -> Result<Vec<BeadId>> {
    // Those that wait may be of another rig, which the caller's scope does not see.
    let mut spread = Spread::default();
    txn.as_town(|txn| spread.moved(txn, before, row))?;
    spread.run(txn)
}

/// The same for a bead of imported data, which keeps its times and its version. What is skipped because of it is for
/// [`follow_ends`], once everything that comes with it is there.
pub(crate) fn put_imported(txn: &mut ScopedTxn<'_>, before: Before, mut row: BeadRow) -> Result<()> {
    let mut spread = Spread::default();
    txn.as_town(|txn| {
        let was = row.blockers;
        spread.own(txn, &mut row)?;
        spread.crossed(&row, was);
        txn.put(row.clone())?;
        spread.dependents(&row.id, Turn::Same);
        let (was_open, is_open) = (!before.is_closed, row.status != BeadStatus::Closed);
        match &row.parent {
            Some(parent) if was_open != is_open => spread.parts(txn, parent, 0, if is_open { 1 } else { -1 }),
            _ => Ok(()),
        }
    })?;
    spread.run(txn).map(drop)
}

/// A bead whose end came by imported data, and how it stood before.
pub(crate) struct Ended {
    id: BeadId,
    was_well: bool,
}

impl Ended {
    /// Where that changed; of a bead before it is written.
    pub(crate) fn of(was: &BeadRow, is: &BeadRow) -> Option<Self> {
        let turned = Turn::of(went_well(was), went_well(is)) != Turn::Same;
        turned.then(|| Self { id: was.id.clone(), was_well: went_well(was) })
    }
}

/// Skips what was to run only if one of these beads failed, or takes it up again, as a close here does.
pub(crate) fn follow_ends(txn: &mut ScopedTxn<'_>, ends: &[Ended]) -> Result<()> {
    for Ended { id, was_well } in ends {
        let mut spread = Spread::default();
        let row = txn.as_town(|txn| txn.find::<BeadRow>(&Key::bead(id)))?;
        let Some(row) = row else { continue };
        spread.dependents(id, Turn::of(*was_well, went_well(&row)));
        spread.run(txn)?;
    }
    Ok(())
}

/// Brings the counts of a bead's own edges up to date, whatever they were, and writes the bead where they were wrong.
pub(crate) fn recount(txn: &mut ScopedTxn<'_>, row: &mut BeadRow) -> Result<()> {
    let mut spread = Spread::default();
    txn.as_town(|txn| {
        let was = row.blockers;
        spread.own(txn, row)?;
        spread.crossed(row, was);
        if row.blockers == was { Ok(()) } else { txn.put(row.clone()) }
    })?;
    spread.run(txn).map(drop)
}

/// How many parts a bead has, and how many of those are not closed, counted afresh.
pub(crate) fn count_parts(view: View<'_>, of: &BeadId) -> Result<(i64, i64)> {
    let (mut parts, mut open) = (0, 0);
    let mut pages = Pages::dependents_by(of, DependencyKind::ParentChild);
    while let Some(page) = pages.next(view)? {
        for edge in page.into_iter().filter(|edge| !is_idle(edge)) {
            if let Some(part) = view.find::<BeadRow>(&Key::bead(&edge.bead))? {
                parts += 1;
                open += i64::from(part.status != BeadStatus::Closed);
            }
        }
    }
    Ok((parts, open))
}

/// What is still to be brought up to date.
enum Task {
    /// Beads that wait for this one, and how it just turned out.
    Dependents { on: BeadId, turn: Turn },
    /// Parts of this one, which wait with it.
    Parts(BeadId),
    /// Beads that wait for this one's parts.
    Gates(BeadId),
}

/// A change on its way through the graph.
#[derive(Default)]
pub(super) struct Spread {
    queue: VecDeque<Task>,
    freed: BTreeSet<BeadId>,
    changes: usize,
}

impl Spread {
    /// Follows the change to its end; answers the beads that became free.
    pub(super) fn run(mut self, txn: &mut ScopedTxn<'_>) -> Result<Vec<BeadId>> {
        txn.as_town(|txn| {
            while let Some(task) = self.queue.pop_front() {
                match task {
                    Task::Dependents { on, turn } => {
                        self.edges(txn, &on, DependencyKind::Blocks, Turn::Same)?;
                        self.edges(txn, &on, DependencyKind::ConditionalBlocks, turn)?;
                    }
                    Task::Parts(on) => self.edges(txn, &on, DependencyKind::ParentChild, Turn::Same)?,
                    Task::Gates(on) => self.edges(txn, &on, DependencyKind::WaitsFor, Turn::Same)?,
                }
            }
            Ok(())
        })?;
        Ok(self.freed.into_iter().collect())
    }

    /// Brings the edges of one kind on one bead up to date.
    fn edges(&mut self, txn: &mut ScopedTxn<'_>, on: &BeadId, kind: DependencyKind, turn: Turn) -> Result<()> {
        let mut pages = Pages::dependents_by(on, kind);
        while let Some(page) = pages.next(txn.view())? {
            let Some(on) = txn.look::<BeadRow>(&Key::bead(on))? else { return Ok(()) };
            for edge in page {
                let Some(waiter) = txn.find::<BeadRow>(&Key::bead(&edge.bead))? else { continue };
                let counted = counts(txn.view(), &edge, &waiter, Some(&on))?;
                if turn == Turn::Well && !is_idle(&edge) && may_be_skipped(&waiter) {
                    self.skip(txn, waiter, &on.id)?;
                } else if turn == Turn::NotWell && !is_idle(&edge) && was_skipped(&waiter, &on.id) {
                    self.take_up(txn, waiter, &on.id)?;
                } else if counted != edge.counted {
                    self.count(txn, edge, waiter, counted)?;
                }
            }
        }
        Ok(())
    }

    /// Counts an edge, or does so no longer.
    pub(super) fn count(
        &mut self,
        txn: &mut ScopedTxn<'_>,
        mut edge: DependencyRow,
        mut waiter: BeadRow,
        counted: bool,
    ) -> Result<()> {
        let was = waiter.blockers;
        waiter.blockers += if counted { 1 } else { -1 };
        edge.counted = counted;
        self.crossed(&waiter, was);
        let on = edge.on_bead.clone();
        txn.put(edge)?;
        // What it waits for is no part of what it says, so it keeps the time at which that changed last.
        waiter.version += 1;
        txn.put(waiter)?;
        self.held(txn, &on)
    }

    /// Notes that a bead became blocked or free: its parts wait with it.
    pub(super) fn crossed(&mut self, row: &BeadRow, was: i64) {
        if (row.blockers > 0) == (was > 0) {
            return;
        }
        if row.blockers > 0 {
            self.freed.remove(&row.id);
        } else if !row.status.is_terminal() {
            self.freed.insert(row.id.clone());
        }
        if row.parts > 0 {
            self.queue.push_back(Task::Parts(row.id.clone()));
        }
    }

    /// Writes a bead that moved, and notes who has to hear of it.
    pub(super) fn moved(&mut self, txn: &mut ScopedTxn<'_>, before: Before, mut row: BeadRow) -> Result<()> {
        let was = row.blockers;
        self.own(txn, &mut row)?;
        self.crossed(&row, was);
        self.dependents(&row.id, Turn::of(before.went_well, went_well(&row)));
        let (was_open, is_open) = (!before.is_closed, row.status != BeadStatus::Closed);
        let parent = row.parent.clone().filter(|_| was_open != is_open);
        txn.put_bead(row)?;
        parent.map_or(Ok(()), |parent| self.parts(txn, &parent, 0, if is_open { 1 } else { -1 }))
    }

    /// Notes that whoever waits for a bead must be looked at.
    pub(super) fn dependents(&mut self, on: &BeadId, turn: Turn) {
        self.queue.push_back(Task::Dependents { on: on.clone(), turn });
    }

    /// Notes that a bead came that others waited for.
    pub(super) fn arrived(&mut self, id: &BeadId) {
        self.dependents(id, Turn::Same);
        self.queue.push_back(Task::Parts(id.clone()));
        self.gates(id);
    }

    /// Notes that whoever waits for the parts of a bead must be looked at.
    pub(super) fn gates(&mut self, on: &BeadId) {
        self.queue.push_back(Task::Gates(on.clone()));
    }

    /// Brings the counts of a bead's own edges up to date, without writing the bead.
    pub(super) fn own(&mut self, txn: &mut ScopedTxn<'_>, row: &mut BeadRow) -> Result<()> {
        if row.status.is_terminal() && row.blockers == 0 {
            // No edge is counted, and none of a bead that waits for nothing more can be.
            return Ok(());
        }
        let mut pages = Pages::dependencies(&row.id);
        while let Some(page) = pages.next(txn.view())? {
            for mut edge in page {
                if !edge.kind.is_acyclic() {
                    continue;
                }
                let on = txn.look::<BeadRow>(&Key::bead(&edge.on_bead))?;
                let counted = counts(txn.view(), &edge, row, on.as_deref())?;
                if counted != edge.counted {
                    row.blockers += if counted { 1 } else { -1 };
                    edge.counted = counted;
                    txn.put(edge)?;
                    self.held(txn, &row.id)?;
                }
            }
        }
        Ok(())
    }

    /// Changes the number of a bead's parts, and of those that are not closed.
    pub(super) fn parts(&mut self, txn: &mut ScopedTxn<'_>, of: &BeadId, parts: i64, open: i64) -> Result<()> {
        let Some(mut row) = txn.find::<BeadRow>(&Key::bead(of))? else { return Ok(()) };
        let gates = |row: &BeadRow| (row.open_parts > 0, row.parts > row.open_parts);
        let before = gates(&row);
        row.parts += parts;
        row.open_parts += open;
        if gates(&row) != before {
            self.gates(of);
        }
        txn.put(row)
    }

    /// Closes a bead that was to run only if another failed, which it did not.
    pub(super) fn skip(&mut self, txn: &mut ScopedTxn<'_>, mut row: BeadRow, because: &BeadId) -> Result<()> {
        hook::let_go(txn, &mut row)?;
        let before = Before::of(&row);
        let reason = skipped_because_of(because);
        row.move_to(BeadStatus::Closed, Some(Resolution::Skipped), txn.now())?;
        row.lease_until = None;
        row.slung = false;
        row.wake_at = None;
        row.close_reason = Some(reason.clone());
        let (id, convoy) = (row.id.clone(), row.convoy.clone());
        self.moved(txn, before, row)?;
        let data = json!({ "resolution": Resolution::Skipped, "because_of": because, "reason": reason });
        txn.event_now("bead.closed", &id, data)?;
        self.changes = 0;
        convoy.map_or(Ok(()), |convoy| txn.mark_dirty(&convoy))
    }

    /// Opens a bead again that was left out because of another, which did not go well after all; one that is to be left out
    /// because of a third stays so.
    fn take_up(&mut self, txn: &mut ScopedTxn<'_>, mut row: BeadRow, because: &BeadId) -> Result<()> {
        let before = Before::of(&row);
        if let Some(third) = done_well(txn, &row.id)? {
            row.close_reason = Some(skipped_because_of(&third));
            return txn.put_bead(row);
        }
        row.move_to(BeadStatus::Open, None, txn.now())?;
        row.close_reason = None;
        let (id, convoy) = (row.id.clone(), row.convoy.clone());
        self.moved(txn, before, row)?;
        let reason = format!("{because} did not go well after all");
        txn.event_now("bead.reopened", &id, json!({ "because_of": because, "reason": reason }))?;
        self.changes = 0;
        convoy.map_or(Ok(()), |convoy| txn.mark_dirty(&convoy))
    }

    /// Writes what changed to the journal where it became much.
    fn held(&mut self, txn: &mut ScopedTxn<'_>, on: &BeadId) -> Result<()> {
        self.changes += 1;
        if self.changes < CHANGES_HELD_MAX {
            return Ok(());
        }
        let count = std::mem::take(&mut self.changes);
        txn.event_now("dependents.recounted", on, json!({ "count": count }))
    }
}

/// Whether a bead is left out because of another one.
fn was_skipped(row: &BeadRow, because: &BeadId) -> bool {
    row.status == BeadStatus::Closed
        && row.resolution == Some(Resolution::Skipped)
        && row.close_reason.as_deref() == Some(&skipped_because_of(because))
}

/// A bead that went well, and that one was to fail for this bead to run.
fn done_well(txn: &ScopedTxn<'_>, id: &BeadId) -> Result<Option<BeadId>> {
    let mut pages = Pages::dependencies(id);
    while let Some(page) = pages.next(txn.view())? {
        for edge in page.into_iter().filter(|edge| edge.kind == DependencyKind::ConditionalBlocks && !is_idle(edge)) {
            if txn.look::<BeadRow>(&Key::bead(&edge.on_bead))?.is_some_and(|on| went_well(&on)) {
                return Ok(Some(edge.on_bead));
            }
        }
    }
    Ok(None)
}
