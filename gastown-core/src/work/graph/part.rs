//! Beads come and go, and move between parents.

use super::Pages;
use super::count::Spread;
use super::fresh::expect;
use super::link::{add_edge, detach, import_edge, remove_edge};
use crate::model::{BeadId, BeadRow, BeadStatus, DependencyKind, Key, Result};
use crate::store::{Scan, index};
use crate::work::txn::ScopedTxn;
use crate::work::view::{View, text};

/// Gives a stored bead what edges that were there before it say: imports leave edges to beads that come later.
///
/// Asked once, before the bead has edges of its own.
pub(crate) fn added(txn: &mut ScopedTxn<'_>, id: &BeadId) -> Result<()> {
    let mut spread = Spread::default();
    let waiting = txn.as_town(|txn| {
        let any = Scan::new(&index::DEPENDENTS, vec![text(id)], 1);
        if txn.scan::<crate::model::DependencyRow>(any)?.is_empty() {
            return Ok(Vec::new());
        }
        let mut row = txn.bead(id)?;
        let waiting = expect(txn.view(), &mut row)?.unwrap_or_default();
        spread.arrived(id);
        let has_parts = row.parts > 0;
        txn.put(row)?;
        Ok(if has_parts { waiting } else { Vec::new() })
    })?;
    spread.run(txn)?;
    waiting.into_iter().try_for_each(|edge| import_edge(txn, edge).map(drop))
}

/// Makes a bead a part of another one, or of none.
///
/// `row` is written with whatever else the caller changed in it, and comes back with its new counts; the caller writes
/// it once more, to count its version, and writes the event.
///
/// # Errors
/// `bead_missing` for a parent that the scope does not see, `cycle`.
pub(crate) fn reparent(txn: &mut ScopedTxn<'_>, row: &mut BeadRow, parent: Option<&BeadId>) -> Result<bool> {
    if row.parent.as_ref() == parent {
        return Ok(false);
    }
    if let Some(parent) = parent {
        txn.bead(parent)?;
    }
    txn.as_town(|txn| {
        txn.put(row.clone())?;
        if let Some(old) = row.parent.clone() {
            remove_edge(txn, &row.id, &old, DependencyKind::ParentChild)?;
        }
        Ok(())
    })?;
    if let Some(parent) = parent {
        add_edge(txn, &row.id, parent, DependencyKind::ParentChild)?;
    }
    *row = txn.as_town(|txn| txn.bead(&row.id))?;
    Ok(true)
}

/// Takes a bead out of the graph: every edge of it goes, in both directions, and all counts follow. Its parts have no
/// parent then.
///
/// The caller removes the bead's own rows afterwards, and writes the event. Answers the beads that became free.
pub(crate) fn remove_bead(txn: &mut ScopedTxn<'_>, id: &BeadId) -> Result<Vec<BeadId>> {
    let mut spread = Spread::default();
    txn.as_town(|txn| {
        for mut pages in [Pages::dependencies(id), Pages::dependents(id)] {
            while let Some(page) = pages.next(txn.view())? {
                for edge in page {
                    detach(txn, &mut spread, &edge)?;
                }
            }
        }
        Ok(())
    })?;
    let freed = spread.run(txn)?;
    Ok(freed.into_iter().filter(|freed| freed != id).collect())
}

/// Corrects its parent's counts after the rows of a part, its edges too, went to an archive.
pub(crate) fn forget_part(txn: &mut ScopedTxn<'_>, row: &BeadRow) -> Result<()> {
    let Some(parent) = &row.parent else { return Ok(()) };
    let mut spread = Spread::default();
    let open = if row.status == BeadStatus::Closed { 0 } else { -1 };
    txn.as_town(|txn| spread.parts(txn, parent, -1, open))?;
    spread.run(txn).map(drop)
}

/// Whether somebody who is not done waits for the parts of a bead.
pub(crate) fn holds_up(view: View<'_>, of: &BeadId) -> Result<bool> {
    let mut pages = Pages::dependents_by(of, DependencyKind::WaitsFor);
    while let Some(page) = pages.next(view)? {
        for edge in page {
            if view.find::<BeadRow>(&Key::bead(&edge.bead))?.is_some_and(|waiter| !waiter.status.is_terminal()) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
