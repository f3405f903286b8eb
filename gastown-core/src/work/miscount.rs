//! Stored counts held against what they count.

use std::collections::HashSet;

use serde_json::Value as Json;

use super::graph;
use super::view::{View, text};
use crate::model::{BeadId, BeadRow, DependencyKind, DependencyRow, Key, QuarantineRow, Result, RowKind};
use crate::store::{Scan, index};

/// A stored count that is not what it counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Miscount {
    pub(crate) bead: BeadId,
    /// What is wrong, as a sentence about the bead.
    pub(crate) problem: String,
}

/// Beads whose stored counts are not those of their edges and parts, or that stand at the wrong place in the order of
/// waiting; at most `limit`. What counts rows in quarantine is left out: nobody knows what they would say.
pub(crate) fn miscounted(view: View<'_>, limit: usize) -> Result<Vec<Miscount>> {
    let (mut found, away) = (Vec::new(), Away::of(view)?);
    view.walk::<BeadRow>(Scan::new(&index::BEADS, vec![], 0), |bead| {
        if !away.near.contains(&bead.id)
            && let Some(problem) = miscount(view, &bead, &away)?
        {
            found.push(Miscount { bead: bead.id, problem });
        }
        Ok(found.len() < limit)
    })?;
    Ok(found)
}

fn miscount(view: View<'_>, bead: &BeadRow, away: &Away) -> Result<Option<String>> {
    let edges: Vec<DependencyRow> = view.all(Scan::new(&index::DEPENDENCIES, vec![text(&bead.id)], 0))?;
    let (mut counted, mut parents) = (0, 0);
    for edge in edges.iter().filter(|edge| edge.kind.is_acyclic()) {
        counted += i64::from(edge.counted);
        let on: Option<BeadRow> = view.find(&Key::bead(&edge.on_bead))?;
        let is_known = !away.beads.contains(&edge.on_bead);
        if is_known && edge.counted != graph::counts(view, edge, bead, on.as_ref())? {
            let is = if edge.counted { "counts" } else { "does not count" };
            return Ok(Some(format!("{is} its edge {} on {}", edge.kind, edge.on_bead)));
        }
        if graph::is_idle(edge) {
            continue;
        }
        if edge.kind == DependencyKind::ParentChild {
            parents += 1;
            if bead.parent.as_ref() != Some(&edge.on_bead) {
                return Ok(Some(format!("has an edge to the parent {} and another parent", edge.on_bead)));
            }
        }
        let least = |on: &BeadRow| on.rank + i64::from(edge.kind != DependencyKind::ParentChild);
        if edge.kind != DependencyKind::WaitsFor && on.is_some_and(|on| least(&on) > bead.rank) {
            return Ok(Some(format!("waits for {} and does not stand above it", edge.on_bead)));
        }
    }
    if counted != bead.blockers {
        return Ok(Some(format!("has {} blockers, and edges for {counted}", bead.blockers)));
    }
    if let Some(parent) = bead.parent.as_ref().filter(|_| parents == 0) {
        return Ok(Some(format!("has the parent {parent} and no edge to it")));
    }
    let (parts, open) = graph::count_parts(view, &bead.id)?;
    if (parts, open) != (bead.parts, bead.open_parts) {
        let (has, of) = (bead.parts, bead.open_parts);
        return Ok(Some(format!("has {has} parts, {of} of them open, and there are {parts}, {open} of them open")));
    }
    Ok(None)
}

/// Beads that lie in quarantine, and those whose counts follow from a row there.
struct Away {
    beads: HashSet<BeadId>,
    near: HashSet<BeadId>,
}

impl Away {
    fn of(view: View<'_>) -> Result<Self> {
        let mut away = Self { beads: HashSet::new(), near: HashSet::new() };
        view.walk::<QuarantineRow>(Scan::new(&index::QUARANTINE, vec![], 0), |row| {
            let id = |value: Option<&Json>| value.and_then(Json::as_str).and_then(|id| BeadId::new(id).ok());
            match RowKind::of_table(&row.source) {
                Some(RowKind::Bead) => {
                    away.beads.extend(id(row.source_key.get(0)));
                    away.near.extend(id(row.columns.get("parent")));
                }
                // Who waits, and for what.
                Some(RowKind::Dependency) => away.near.extend((0..2_usize).filter_map(|at| id(row.source_key.get(at)))),
                _ => {}
            }
            Ok(true)
        })?;
        Ok(away)
    }
}
