//! Edges between beads: legal ones only, and the count of what still blocks each bead.

use std::collections::{BTreeMap, VecDeque};

use serde_json::json;

use super::txn::ScopedTxn;
use super::view::{View, text};
use crate::model::{
    BeadId, BeadKind, BeadRow, BeadStatus, ConvoyRow, DependencyKind, DependencyRow, Error, FailurePolicy, Key,
    Resolution, Result,
};
use crate::store::{Scan, index};

/// How many beads a search for a circle may visit; beyond, the edge is refused.
const VISITED_MAX: usize = 1_000_000;

/// Adds an edge; nothing where it is there already. The caller writes the event.
pub(crate) fn add_edge(txn: &mut ScopedTxn<'_>, bead: &BeadId, on: &BeadId, kind: DependencyKind) -> Result<bool> {
    insert_edge(txn, bead, on, kind, false)
}

/// Adds an edge between beads of which the caller knows that it closes no circle, because they are new.
pub(crate) fn add_new_edge(txn: &mut ScopedTxn<'_>, bead: &BeadId, on: &BeadId, kind: DependencyKind) -> Result<bool> {
    insert_edge(txn, bead, on, kind, true)
}

fn insert_edge(
    txn: &mut ScopedTxn<'_>,
    bead: &BeadId,
    on: &BeadId,
    kind: DependencyKind,
    is_new: bool,
) -> Result<bool> {
    if bead == on {
        return Err(Error::invalid("edge_to_itself", format!("bead {bead} cannot depend on itself"))
            .with("bead", bead)
            .with("kind", kind));
    }
    let mut waiter = txn.bead(bead)?;
    let blocker = txn.bead(on)?;
    if txn.find::<DependencyRow>(&Key::dependency(bead, on, kind))?.is_some() {
        return Ok(false);
    }
    let circle = if kind.is_acyclic() && !is_new { txn.as_town(|txn| path(txn.view(), on, bead))? } else { None };
    if let Some(circle) = circle {
        // Beads on the way that the caller does not see stay unnamed.
        let circle: Vec<BeadId> = circle.into_iter().filter(|id| txn.bead(id).is_ok()).collect();
        let shown = circle.iter().map(BeadId::as_str).collect::<Vec<_>>().join(" -> ");
        return Err(Error::invalid("cycle", format!("bead {bead} cannot depend on {on}: {bead} -> {shown}"))
            .with("bead", bead)
            .with("on_bead", on)
            .with("cycle", format!("{bead} -> {shown}")));
    }
    let counted = kind.is_blocking() && !waiter.status.is_terminal() && !is_resolved(txn.view(), &waiter, &blocker)?;
    let created_by = txn.actor().to_owned();
    let created_at = txn.now();
    txn.put(DependencyRow {
        bead: bead.clone(),
        on_bead: on.clone(),
        kind,
        counted,
        created_by,
        created_at,
        gate: None,
        extra: None,
    })?;
    if counted {
        waiter.blockers += 1;
        txn.put_bead(waiter)?;
    }
    Ok(true)
}

/// Removes an edge; says whether it was there. The caller writes the event.
pub(crate) fn remove_edge(txn: &mut ScopedTxn<'_>, bead: &BeadId, on: &BeadId, kind: DependencyKind) -> Result<bool> {
    let key = Key::dependency(bead, on, kind);
    let Some(edge) = txn.find::<DependencyRow>(&key)? else { return Ok(false) };
    txn.delete(&key)?;
    if edge.counted {
        let mut waiter = txn.bead(bead)?;
        waiter.blockers -= 1;
        txn.put_bead(waiter)?;
    }
    Ok(true)
}

/// Brings the counts of everything that waits for `blocker` up to date after its status or convoy changed.
///
/// Returns the beads that became free of blockers.
pub(crate) fn recount_dependents(txn: &mut ScopedTxn<'_>, blocker: &BeadRow) -> Result<Vec<BeadId>> {
    // Those that wait may be of another rig, which the caller's scope does not see.
    txn.as_town(|txn| recount_all(txn, blocker))
}

fn recount_all(txn: &mut ScopedTxn<'_>, blocker: &BeadRow) -> Result<Vec<BeadId>> {
    let edges: Vec<DependencyRow> = txn.all(Scan::new(&index::DEPENDENTS, vec![text(&blocker.id)], 0))?;
    let mut freed = Vec::new();
    for mut edge in edges.into_iter().filter(|edge| edge.kind.is_blocking()) {
        let mut waiter = txn.bead(&edge.bead)?;
        let counts = !waiter.status.is_terminal() && !is_resolved(txn.view(), &waiter, blocker)?;
        if counts == edge.counted {
            continue;
        }
        waiter.blockers += if counts { 1 } else { -1 };
        edge.counted = counts;
        if waiter.blockers == 0 {
            freed.push(waiter.id.clone());
        }
        txn.put(edge)?;
        txn.put_bead(waiter)?;
    }
    Ok(freed)
}

/// Brings the count of `waiter` itself up to date after its own status or convoy changed, without writing it.
pub(crate) fn recount(txn: &mut ScopedTxn<'_>, waiter: &mut BeadRow) -> Result<()> {
    txn.as_town(|txn| recount_own(txn, waiter))
}

fn recount_own(txn: &mut ScopedTxn<'_>, waiter: &mut BeadRow) -> Result<()> {
    if waiter.status.is_terminal() && waiter.blockers == 0 {
        // No edge is counted, and none of a bead that waits for nothing more can be.
        return Ok(());
    }
    let edges: Vec<DependencyRow> = txn.all(Scan::new(&index::DEPENDENCIES, vec![text(&waiter.id)], 0))?;
    for mut edge in edges.into_iter().filter(|edge| edge.kind.is_blocking()) {
        let blocker = txn.bead(&edge.on_bead)?;
        let counts = !waiter.status.is_terminal() && !is_resolved(txn.view(), waiter, &blocker)?;
        if counts != edge.counted {
            waiter.blockers += if counts { 1 } else { -1 };
            edge.counted = counts;
            txn.put(edge)?;
        }
    }
    Ok(())
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

/// A way from one bead to another along edges that must not close a circle.
fn path(view: View<'_>, from: &BeadId, to: &BeadId) -> Result<Option<Vec<BeadId>>> {
    let mut came_from: BTreeMap<BeadId, Option<BeadId>> = BTreeMap::from([(from.clone(), None)]);
    let mut queue = VecDeque::from([from.clone()]);
    while let Some(at) = queue.pop_front() {
        if at == *to {
            let mut way = vec![at.clone()];
            let mut step = &came_from[&at];
            while let Some(previous) = step {
                way.push(previous.clone());
                step = &came_from[previous];
            }
            way.reverse();
            return Ok(Some(way));
        }
        if came_from.len() > VISITED_MAX {
            return Err(Error::exhausted("graph_too_large", "the search for a circle would visit too many beads")
                .with("visited_max", VISITED_MAX)
                .with("bead", to));
        }
        for edge in view.all::<DependencyRow>(Scan::new(&index::DEPENDENCIES, vec![text(&at)], 0))? {
            if edge.kind.is_acyclic() && !came_from.contains_key(&edge.on_bead) {
                came_from.insert(edge.on_bead.clone(), Some(at.clone()));
                queue.push_back(edge.on_bead);
            }
        }
    }
    Ok(None)
}

/// One edge, as callers name it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// The bead that waits.
    pub bead: BeadId,
    /// What it waits for.
    pub on_bead: BeadId,
    /// What the edge means; `blocks` where it is left out.
    #[serde(default = "blocks")]
    pub kind: DependencyKind,
}

const fn blocks() -> DependencyKind {
    DependencyKind::Blocks
}

impl Link {
    /// An edge by which `bead` waits for `on_bead`.
    pub const fn blocks(bead: BeadId, on_bead: BeadId) -> Self {
        Self { bead, on_bead, kind: DependencyKind::Blocks }
    }
}

/// Whether a command changed anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Changed {
    /// False where it was so already.
    pub changed: bool,
}

/// Adds an edge between two beads.
pub(crate) fn link(txn: &mut ScopedTxn<'_>, input: &Link) -> Result<Changed> {
    let changed = add_edge(txn, &input.bead, &input.on_bead, input.kind)?;
    if changed {
        txn.event("dependency.added", &input.bead, json!({ "on_bead": input.on_bead, "kind": input.kind }));
    }
    Ok(Changed { changed })
}

/// Removes an edge between two beads.
pub(crate) fn unlink(txn: &mut ScopedTxn<'_>, input: &Link) -> Result<Changed> {
    let changed = remove_edge(txn, &input.bead, &input.on_bead, input.kind)?;
    if changed {
        txn.event("dependency.removed", &input.bead, json!({ "on_bead": input.on_bead, "kind": input.kind }));
    }
    Ok(Changed { changed })
}

/// The edges of one bead, in both directions.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Edges {
    /// What the bead depends on.
    pub depends_on: Vec<Link>,
    /// What depends on the bead.
    pub dependents: Vec<Link>,
}

/// The edges of one bead.
pub(crate) fn edges(view: View<'_>, input: &super::beads::BeadRef) -> Result<Edges> {
    view.bead(&input.id)?;
    let link = |edge: DependencyRow| Link { bead: edge.bead, on_bead: edge.on_bead, kind: edge.kind };
    let side = |at: &'static index::Index| -> Result<Vec<Link>> {
        Ok(view.all::<DependencyRow>(Scan::new(at, vec![text(&input.id)], 0))?.into_iter().map(link).collect())
    };
    Ok(Edges { depends_on: side(&index::DEPENDENCIES)?, dependents: side(&index::DEPENDENTS)? })
}
