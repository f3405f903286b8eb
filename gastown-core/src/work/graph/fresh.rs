//! Many new beads with their edges at once: what the edges come to is known before anything is written, so that each row
//! is written once.
//!
//! The beads are looked at in the order of waiting, so what one waits for is settled before it. Edges that go against that
//! order, and those whose meaning hangs on the parts of a bead, are left for [`follow`], which adds them one by one.

use std::collections::{HashMap, HashSet};

use super::Pages;
use super::count::{Spread, counts};
use super::known::Known;
use super::link::{Idle, import_among, is_idle};
use crate::model::{BeadId, BeadRow, BeadStatus, DependencyKind, DependencyRow, Key, Result};
use crate::work::txn::ScopedTxn;
use crate::work::view::View;

/// A bead that is not there yet, and the edges that it will have.
pub(crate) struct Fresh {
    pub(crate) row: BeadRow,
    pub(crate) edges: Vec<DependencyRow>,
}

/// What is to be done once the beads and their edges are written.
#[derive(Default)]
pub(crate) struct Left {
    /// Beads for which others waited before they came.
    awaited: Vec<BeadId>,
    /// Edges to add one by one.
    pub(super) later: Vec<DependencyRow>,
    /// Edges whose target is not there.
    pub(crate) loose: Vec<DependencyRow>,
}

/// What becomes of an edge.
enum Fate {
    /// It is written as it is.
    Written { counted: bool },
    /// It is added later.
    Later,
}

/// Gives new beads their ranks and counts, and takes out of their edges those that are added later.
///
/// Asked once, before any of them is there, with no two of one id and no stored edge from any of them.
pub(crate) fn settle(view: View<'_>, fresh: &mut [Fresh]) -> Result<Left> {
    let places: HashMap<BeadId, usize> = (0..).zip(&*fresh).map(|(n, one)| (one.row.id.clone(), n)).collect();
    let mut left = Left::default();
    let mut awaited = HashSet::new();
    for one in &mut *fresh {
        let Some(waiting) = expect(view, &mut one.row)? else { continue };
        left.awaited.push(one.row.id.clone());
        if !waiting.is_empty() {
            awaited.insert(one.row.id.clone());
        }
        if one.row.parts > 0 {
            left.later.extend(waiting);
        }
    }
    let is_part = |edge: &&DependencyRow| edge.kind == DependencyKind::ParentChild;
    let parents: HashSet<BeadId> =
        fresh.iter().flat_map(|one| one.edges.iter().filter(is_part)).map(|edge| edge.on_bead.clone()).collect();
    let mut order: Vec<usize> = (0..fresh.len()).collect();
    order.sort_by(|a, b| (fresh[*a].row.rank, &fresh[*a].row.id).cmp(&(fresh[*b].row.rank, &fresh[*b].row.id)));
    for at in order {
        let edges = std::mem::take(&mut fresh[at].edges);
        let mut has_parent_later = false;
        for mut edge in edges {
            let is_part = edge.kind == DependencyKind::ParentChild;
            let place = places.get(&edge.on_bead).copied();
            let stored = if place.is_none() { view.look::<BeadRow>(&Key::bead(&edge.on_bead))? } else { None };
            let on = place.map(|place| &fresh[place].row).or(stored.as_deref());
            if on.is_none() {
                left.loose.push(edge.clone());
            }
            let is_alone = place.is_some() && !awaited.contains(&edge.on_bead) && !has_parent_later;
            // Who waits for a bead waits for its parts.
            let has_parts = parents.contains(&edge.on_bead) || on.is_some_and(|on| on.parts > 0);
            let is_far = if is_part { !is_alone } else { edge.kind.is_blocking() && has_parts };
            let fate = if is_far { Fate::Later } else { fate(view, &edge, &fresh[at].row, on)? };
            let Fate::Written { counted } = fate else {
                has_parent_later |= is_part;
                left.later.push(edge);
                continue;
            };
            edge.counted = counted;
            fresh[at].row.blockers += i64::from(counted);
            if let Some(parent) = place.filter(|_| is_part) {
                fresh[at].row.parent = Some(edge.on_bead.clone());
                let is_open = fresh[at].row.status != BeadStatus::Closed;
                fresh[parent].row.parts += 1;
                fresh[parent].row.open_parts += i64::from(is_open);
            }
            fresh[at].edges.push(edge);
        }
    }
    Ok(left)
}

/// What becomes of an edge, where it is to no parent or to one that is new as well.
fn fate(view: View<'_>, edge: &DependencyRow, waiter: &BeadRow, on: Option<&BeadRow>) -> Result<Fate> {
    if !edge.kind.is_acyclic() {
        return Ok(Fate::Written { counted: false });
    }
    let is_second_parent = edge.kind == DependencyKind::ParentChild
        && waiter.parent.as_ref().is_some_and(|parent| *parent != edge.on_bead);
    let is_against_order = on.is_some_and(|on| on.rank >= waiter.rank);
    if edge.kind == DependencyKind::WaitsFor || edge.bead == edge.on_bead || is_second_parent || is_against_order {
        return Ok(Fate::Later);
    }
    Ok(Fate::Written { counted: counts(view, edge, waiter, on)? })
}

/// Gives a bead that is not stored yet what edges to it say that were there before it: its parts, and a rank below those
/// that wait for it. None where there are no such edges; else those by which somebody waits for it or for its parts.
///
/// It waits for nothing yet, so it may stand below everything. Those that wait have not been held against its parts.
pub(super) fn expect(view: View<'_>, row: &mut BeadRow) -> Result<Option<Vec<DependencyRow>>> {
    let mut found: Option<Vec<DependencyRow>> = None;
    let mut pages = Pages::dependents(&row.id);
    while let Some(page) = pages.next(view)? {
        for edge in page.into_iter().filter(|edge| edge.kind.is_acyclic() && !is_idle(edge)) {
            let Some(waiter) = view.find::<BeadRow>(&Key::bead(&edge.bead))? else { continue };
            let waiting = found.get_or_insert_default();
            if edge.kind != DependencyKind::WaitsFor && row.rank >= waiter.rank {
                row.rank = waiter.rank - 1;
            }
            if edge.kind == DependencyKind::ParentChild {
                row.parts += 1;
                row.open_parts += i64::from(waiter.status != BeadStatus::Closed);
            } else {
                waiting.push(edge);
            }
        }
    }
    Ok(found)
}

/// Does what is left once the beads are written; answers the circles that edges would have closed, which are kept and
/// count for nothing.
pub(crate) fn follow(txn: &mut ScopedTxn<'_>, left: Left) -> Result<Vec<Vec<BeadId>>> {
    follow_knowing(txn, &mut Known::default(), left)
}

pub(super) fn follow_knowing(txn: &mut ScopedTxn<'_>, known: &mut Known, left: Left) -> Result<Vec<Vec<BeadId>>> {
    let mut spread = Spread::default();
    for id in left.awaited {
        spread.arrived(&id);
    }
    spread.run(txn)?;
    let mut circles = Vec::new();
    // Of a circle rather another edge counts for nothing than one that says what is a part of what.
    let (parts, others): (Vec<_>, Vec<_>) =
        left.later.into_iter().partition(|edge| edge.kind == DependencyKind::ParentChild);
    for edge in parts.into_iter().chain(others) {
        if let Some(Idle::Circle { circle }) = import_among(txn, known, edge)? {
            circles.push(circle);
        }
    }
    Ok(circles)
}
