//! Beads and edges whose rows were away for a while, or went without a word.

use super::count::{Spread, count_parts};
use super::link::{import_edge, is_idle, remove_edge};
use super::part::remove_bead;
use crate::model::{BeadId, BeadRow, DependencyKind, DependencyRow, Key, Result};
use crate::store::{Scan, index};
use crate::work::txn::ScopedTxn;
use crate::work::view::text;

/// Stores a bead that was away, while its edges stayed and both their ends moved on.
///
/// Its edges are taken out and put in again, one after the other; one that closes a circle by now counts for nothing.
pub(crate) fn rejoin(txn: &mut ScopedTxn<'_>, mut row: BeadRow) -> Result<()> {
    let id = row.id.clone();
    (row.parts, row.open_parts) = count_parts(txn.view(), &id)?;
    row.dirty = true;
    txn.put(row)?;
    let mut edges: Vec<DependencyRow> = txn.all(Scan::new(&index::DEPENDENCIES, vec![text(&id)], 0))?;
    edges.extend(txn.all::<DependencyRow>(Scan::new(&index::DEPENDENTS, vec![text(&id)], 0))?);
    edges.retain(|edge| edge.kind.is_acyclic() && !is_idle(edge));
    for edge in &edges {
        remove_edge(txn, &edge.bead, &edge.on_bead, edge.kind)?;
    }
    edges.into_iter().try_for_each(|edge| import_edge(txn, edge).map(drop))
}

/// Stores an edge that was away.
pub(crate) fn rejoin_edge(txn: &mut ScopedTxn<'_>, edge: DependencyRow) -> Result<()> {
    if is_idle(&edge) || !edge.kind.is_acyclic() {
        return txn.put(edge);
    }
    let (bead, on_bead) = (edge.bead.clone(), edge.on_bead.clone());
    import_edge(txn, edge)?;
    heal(txn, &bead)?;
    heal(txn, &on_bead)
}

/// Takes a bead that is not there out of the graph: every edge of it goes, and its parent has a part less.
pub(crate) fn remove_lost(txn: &mut ScopedTxn<'_>, id: &BeadId) -> Result<Vec<BeadId>> {
    let edges: Vec<DependencyRow> = txn.all(Scan::new(&index::DEPENDENCIES, vec![text(id)], 0))?;
    let freed = remove_bead(txn, id)?;
    for edge in edges.iter().filter(|edge| edge.kind == DependencyKind::ParentChild) {
        heal(txn, &edge.on_bead)?;
    }
    Ok(freed)
}

/// Follows an edge that went without a word: its waiter waits for what is left, and is a part of nothing else.
pub(crate) fn forget_edge(txn: &mut ScopedTxn<'_>, bead: &BeadId, on: &BeadId, kind: DependencyKind) -> Result<()> {
    if kind == DependencyKind::ParentChild
        && let Some(mut waiter) = txn.find::<BeadRow>(&Key::bead(bead))?
        && waiter.parent.as_ref() == Some(on)
    {
        waiter.parent = None;
        txn.put(waiter)?;
    }
    heal(txn, bead)?;
    heal(txn, on)
}

/// Counts a bead's blockers and parts afresh, whatever was stored; nothing where there is no such bead.
fn heal(txn: &mut ScopedTxn<'_>, id: &BeadId) -> Result<()> {
    let mut spread = Spread::default();
    txn.as_town(|txn| {
        let Some(mut row) = txn.find::<BeadRow>(&Key::bead(id))? else { return Ok(()) };
        let before = row.clone();
        let edges: Vec<DependencyRow> = txn.all(Scan::new(&index::DEPENDENCIES, vec![text(id)], 0))?;
        row.blockers = edges.iter().map(|edge| i64::from(edge.counted)).sum();
        spread.own(txn, &mut row)?;
        spread.crossed(&row, before.blockers);
        (row.parts, row.open_parts) = count_parts(txn.view(), id)?;
        if (row.parts, row.open_parts) != (before.parts, before.open_parts) {
            spread.gates(id);
        }
        if row == before { Ok(()) } else { txn.put(row) }
    })?;
    spread.run(txn).map(drop)
}
