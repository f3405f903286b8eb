//! The tick: rules over a transaction.
//!
//! A tick looks at what changed (`dirty`) and at what fell due (`wake_at`), applies the rules, and says when it wants
//! to look again. It reads state and deadlines only; why it was called is not among its inputs. Its cost follows what
//! changed, not what there is.

#[cfg(test)]
mod dispatch_tests;
#[cfg(test)]
mod tests;

use crate::model::value::ColumnValue as _;
use crate::model::{BeadId, BeadKind, BeadRow, Result, Timestamp};
use crate::store::{Scan, index};
use crate::work::liveness::{self, Due};
use crate::work::txn::ScopedTxn;
use crate::work::view::View;
use crate::work::{breaker, convoys, drain, effects, pause, pool, reviews, schedule, sling};

/// The most beads one tick looks at; the rest waits for the next.
const BATCH: usize = 256;

/// What a tick leaves to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tick {
    /// When to look again at the latest; none where nothing is due.
    pub(crate) next_wake: Option<Timestamp>,
    /// The sessions whose runtime should be looked at.
    pub(crate) due: Vec<Due>,
    /// Whether more is waiting now: it was too much for one look, or what the rules did calls for another.
    pub(crate) more: bool,
}

/// Looks once.
pub(crate) fn tick(txn: &mut ScopedTxn<'_>) -> Result<Tick> {
    let dirty: Vec<BeadRow> = txn.scan(Scan::new(&index::BEADS_DIRTY, vec![], BATCH))?;
    for bead in dirty {
        look(txn, bead)?;
    }
    wake(txn)?;
    breaker::wake(txn)?;
    let drains_at = drain::look(txn)?;
    let due = liveness::due(txn)?;
    let resumes_at = pause::end_due(txn)?;
    let planned = schedule::plan(txn.view(), schedule::BATCH)?;
    let is_batch = planned.starts.len() == schedule::BATCH;
    for start in planned.starts {
        sling::start(txn, start)?;
    }
    let collects_at = pool::collect(txn)?;
    let more = is_batch || !txn.scan::<BeadRow>(Scan::new(&index::BEADS_DIRTY, vec![], 1))?.is_empty();
    let next_bead: Vec<BeadRow> = txn.scan(Scan::new(&index::BEADS_DUE, vec![], 1))?;
    let wakes_at = next_bead.first().and_then(|bead| bead.wake_at);
    let times = [
        wakes_at,
        effects::next_at(txn.view())?,
        resumes_at,
        drains_at,
        planned.next_wake,
        collects_at,
        breaker::next_at(txn.view())?,
        liveness::next_at(txn.view())?,
    ];
    Ok(Tick { next_wake: times.into_iter().flatten().min(), due, more })
}

/// What a look would touch, one by one: used where a look fails, so that one bead cannot stop the others.
pub(crate) fn pending(view: View<'_>) -> Result<Vec<BeadId>> {
    let mut ids = Vec::new();
    for index in [&index::BEADS_DIRTY, &index::BEADS_SLUNG] {
        ids.extend(view.scan::<BeadRow>(Scan::new(index, vec![], BATCH))?.into_iter().map(|bead| bead.id));
    }
    Ok(ids)
}

/// Looks at one bead alone.
pub(crate) fn look_at(txn: &mut ScopedTxn<'_>, id: &BeadId) -> Result<()> {
    let bead = txn.bead(id)?;
    if bead.dirty {
        look(txn, bead)?;
    }
    schedule::unfit(txn.view(), &txn.bead(id)?)
}

/// Takes a bead whose rule fails out of the engine's way, and says so.
pub(crate) fn set_aside(txn: &mut ScopedTxn<'_>, id: &BeadId, reason: &str) -> Result<()> {
    let mut bead = txn.bead(id)?;
    bead.dirty = false;
    bead.parked_reason = Some(format!("the engine cannot handle it: {reason}"));
    bead.parked_until = None;
    txn.put_bead(bead)?;
    txn.event("bead.parked", id, serde_json::json!({ "reason": reason }));
    Ok(())
}

/// Applies the rule of the bead's kind.
fn look(txn: &mut ScopedTxn<'_>, mut bead: BeadRow) -> Result<()> {
    let (id, kind) = (bead.id.clone(), bead.kind);
    bead.dirty = false;
    txn.put_volatile(bead)?;
    match kind {
        BeadKind::Convoy => convoys::derive(txn, &id),
        BeadKind::MergeRequest => reviews::advance_queue(txn, &id),
        _ => Ok(()),
    }
}

/// Takes the deadline off beads whose wait is over, so that they can be dispatched.
fn wake(txn: &mut ScopedTxn<'_>) -> Result<()> {
    let now = txn.now();
    let due = Scan::new(&index::BEADS_DUE, vec![], BATCH).upto(now.to_value());
    for mut bead in txn.scan::<BeadRow>(due)? {
        let id = bead.id.clone();
        bead.wake_at = None;
        txn.put_bead(bead)?;
        txn.event("bead.woken", &id, serde_json::json!({}));
    }
    Ok(())
}
