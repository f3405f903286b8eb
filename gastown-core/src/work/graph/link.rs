//! Edges between beads: legal ones only.

use std::collections::{HashMap, HashSet};

use serde_json::{Value as Json, json};

use super::count::{Spread, counts, may_be_skipped, went_well};
use super::known::{Known, TOO_LARGE};
use super::order::{self, Circle, NAMED_MAX};
use crate::model::{
    BeadId, BeadRow, BeadStatus, DependencyKind, DependencyRow, Error, Key, Result, Stored as _, WaitGate,
};
use crate::store::{Scan, index};
use crate::work::txn::ScopedTxn;
use crate::work::view::text;

/// The key in an edge's `extra` that says why it is kept and not counted.
pub(crate) const IDLE: &str = "gt:idle";

/// Why an imported edge is kept and not counted.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub(crate) enum Idle {
    /// It would close this circle, from a bead to the same; of a long one those in the middle are left out. Where it
    /// would take too long to know that, it is taken for one, of which only its ends are named.
    Circle { circle: Vec<BeadId> },
    /// The bead is a part of another one already.
    SecondParent { parent: BeadId },
    /// The bead that waits is not there.
    NoWaiter,
}

/// Why an edge is kept and not counted; none for one that is like any other.
pub(crate) fn idle(edge: &DependencyRow) -> Option<Idle> {
    serde_json::from_value(edge.extra.as_ref()?.get(IDLE)?.clone()).ok()
}

/// Whether an edge is kept and not counted.
pub(crate) fn is_idle(edge: &DependencyRow) -> bool {
    edge.extra.as_ref().is_some_and(|extra| extra.get(IDLE).is_some())
}

fn make_idle(edge: &mut DependencyRow, why: &Idle) {
    let extra = edge.extra.get_or_insert_with(|| json!({}));
    if !extra.is_object() {
        // Whatever it was stays beside the mark.
        *extra = json!({ "value": extra.take() });
    }
    extra[IDLE] = json!(why);
}

/// Has an edge count for nothing, because it is of older data and closes a circle.
pub(crate) fn set_aside(txn: &mut ScopedTxn<'_>, bead: &BeadId, on: &BeadId, kind: DependencyKind) -> Result<()> {
    let Some(mut edge) = txn.find::<DependencyRow>(&Key::dependency(bead, on, kind))? else { return Ok(()) };
    let mut spread = Spread::default();
    txn.as_town(|txn| detach(txn, &mut spread, &edge))?;
    edge.counted = false;
    make_idle(&mut edge, &Idle::Circle { circle: vec![bead.clone(), on.clone(), bead.clone()] });
    txn.put(edge)?;
    spread.run(txn).map(drop)
}

/// Brings a bead's parent and its edges to parents into step, where older data has one without the other.
pub(crate) fn heal_parent(txn: &mut ScopedTxn<'_>, id: &BeadId) -> Result<()> {
    let mut row = txn.bead(id)?;
    let edges: Vec<DependencyRow> = txn.all(Scan::new(&index::DEPENDENCIES, vec![text(id)], 0))?;
    let edges: Vec<_> = edges.into_iter().filter(|e| e.kind == DependencyKind::ParentChild && !is_idle(e)).collect();
    let parent = match (&row.parent, edges.first()) {
        (Some(parent), _) => parent.clone(),
        (None, Some(edge)) => edge.on_bead.clone(),
        (None, None) => return Ok(()),
    };
    if edges.iter().all(|edge| edge.on_bead != parent) {
        let (created_by, created_at) = (row.created_by.clone(), row.created_at);
        let (bead, on_bead, kind) = (id.clone(), parent.clone(), DependencyKind::ParentChild);
        txn.put(DependencyRow {
            bead,
            on_bead,
            kind,
            counted: false,
            created_by,
            created_at,
            gate: None,
            extra: None,
        })?;
    }
    for mut edge in edges.into_iter().filter(|edge| edge.on_bead != parent) {
        make_idle(&mut edge, &Idle::SecondParent { parent: parent.clone() });
        txn.put(edge)?;
    }
    if row.parent.is_none() {
        row.parent = Some(parent);
        txn.put(row)?;
    }
    Ok(())
}

/// Adds an edge; nothing where it is there already. The caller writes the event.
pub(crate) fn add_edge(txn: &mut ScopedTxn<'_>, bead: &BeadId, on: &BeadId, kind: DependencyKind) -> Result<bool> {
    add_gated(txn, bead, on, kind, None)
}

fn add_gated(
    txn: &mut ScopedTxn<'_>,
    bead: &BeadId,
    on: &BeadId,
    kind: DependencyKind,
    gate: Option<WaitGate>,
) -> Result<bool> {
    if bead == on {
        return Err(Error::invalid("edge_to_itself", format!("bead {bead} cannot depend on itself"))
            .with("bead", bead)
            .with("kind", kind));
    }
    if gate.is_some() && kind != DependencyKind::WaitsFor {
        return Err(Error::invalid("gate_without_parts", format!("an edge {kind} has no gate")).with("kind", kind));
    }
    let waiter = txn.bead(bead)?;
    txn.bead(on)?;
    if let Some(edge) = txn.find::<DependencyRow>(&Key::dependency(bead, on, kind))?
        && !is_idle(&edge)
    {
        return match gate {
            Some(gate) if edge.gate.unwrap_or(WaitGate::AllChildren) != gate => regate(txn, edge, gate),
            _ => Ok(false),
        };
    }
    if kind == DependencyKind::ParentChild
        && let Some(parent) = waiter.parent.as_ref().filter(|parent| *parent != on)
    {
        return Err(Error::conflict("parent_there", format!("bead {bead} is a part of {parent} already"))
            .with("bead", bead)
            .with("parent", parent));
    }
    let edge = DependencyRow {
        bead: bead.clone(),
        on_bead: on.clone(),
        kind,
        counted: false,
        created_by: txn.actor().to_owned(),
        created_at: txn.now(),
        gate,
        extra: None,
    };
    let mut spread = Spread::default();
    changed(txn, bead)?;
    if let Some(circle) = txn.as_town(|txn| attach(txn, &mut Known::default(), &mut spread, edge, true))? {
        let shown = shown(txn, &circle);
        return Err(Error::invalid("cycle", format!("bead {bead} cannot depend on {on}: {shown}"))
            .with("bead", bead)
            .with("on_bead", on)
            .with("cycle", shown)
            .with("edges", circle.length));
    }
    spread.run(txn)?;
    Ok(true)
}

/// Notes that a bead has other edges by now, so that its record is the newer one wherever it comes to.
fn changed(txn: &mut ScopedTxn<'_>, bead: &BeadId) -> Result<()> {
    txn.as_town(|txn| {
        let mut row = txn.bead(bead)?;
        if row.updated_at < txn.now() {
            row.updated_at = txn.now();
            txn.put(row)?;
        }
        Ok(())
    })
}

/// A circle as a person reads it; beads on the way that the caller does not see stay unnamed.
fn shown(txn: &ScopedTxn<'_>, circle: &Circle) -> String {
    let left_out = (circle.length + 1).saturating_sub(circle.named.len());
    let mut names: Vec<String> = Vec::with_capacity(circle.named.len() + 1);
    for (nth, id) in circle.named.iter().enumerate() {
        if left_out > 0 && nth == NAMED_MAX / 2 {
            names.push(format!("… {left_out} more …"));
        }
        if txn.bead(id).is_ok() {
            names.push(id.to_string());
        }
    }
    names.join(" -> ")
}

/// Gives a bead the edges that a newer record of it has, and no others; answers the circles that they would have closed.
pub(crate) fn renew_edges(
    txn: &mut ScopedTxn<'_>,
    known: &mut Known,
    bead: &BeadId,
    edges: &[DependencyRow],
) -> Result<Vec<Vec<BeadId>>> {
    let stored: Vec<DependencyRow> = txn.all(Scan::new(&index::DEPENDENCIES, vec![text(bead)], 0))?;
    let wanted: HashSet<(&BeadId, DependencyKind)> = edges.iter().map(|edge| (&edge.on_bead, edge.kind)).collect();
    for edge in stored.iter().filter(|edge| !wanted.contains(&(&edge.on_bead, edge.kind))) {
        known.forget(edge);
        remove_edge(txn, bead, &edge.on_bead, edge.kind)?;
    }
    let as_they_are: HashMap<(&BeadId, DependencyKind), &DependencyRow> =
        stored.iter().filter(|edge| !is_idle(edge)).map(|edge| ((&edge.on_bead, edge.kind), edge)).collect();
    let is_new = |edge: &&DependencyRow| {
        let same = |stored: &&DependencyRow| **edge == DependencyRow { counted: edge.counted, ..(**stored).clone() };
        !as_they_are.get(&(&edge.on_bead, edge.kind)).is_some_and(same)
    };
    // Of a circle rather another edge counts for nothing than the one that says what it is a part of.
    let (parts, others): (Vec<_>, Vec<_>) =
        edges.iter().filter(is_new).partition(|edge| edge.kind == DependencyKind::ParentChild);
    let mut circles = Vec::new();
    for edge in parts.into_iter().chain(others) {
        if let Some(Idle::Circle { circle }) = import_among(txn, known, edge.clone())? {
            circles.push(circle);
        }
    }
    Ok(circles)
}

/// Stores an edge of imported data as it is; answers why it is kept and not counted, where it is.
///
/// What it waits for may be missing, and come later. Nothing is skipped because of it.
pub(crate) fn import_edge(txn: &mut ScopedTxn<'_>, edge: DependencyRow) -> Result<Option<Idle>> {
    import_among(txn, &mut Known::default(), edge)
}

/// The same for one of many.
pub(super) fn import_among(
    txn: &mut ScopedTxn<'_>,
    known: &mut Known,
    mut edge: DependencyRow,
) -> Result<Option<Idle>> {
    let mut spread = Spread::default();
    let idle = txn.as_town(|txn| {
        if let Some(stored) = txn.find::<DependencyRow>(&edge.key())? {
            known.forget(&stored);
            detach(txn, &mut spread, &stored)?;
        }
        edge.counted = false;
        if let Some(extra) = edge.extra.as_mut().and_then(Json::as_object_mut) {
            extra.remove(IDLE);
        }
        let mut why = None;
        if txn.find::<BeadRow>(&Key::bead(&edge.bead))?.is_none() {
            why = Some(Idle::NoWaiter);
        } else if edge.kind.is_acyclic() && edge.bead == edge.on_bead {
            why = Some(Idle::Circle { circle: vec![edge.bead.clone(), edge.on_bead.clone()] });
        } else if edge.kind == DependencyKind::ParentChild
            && let Some(waiter) = txn.find::<BeadRow>(&Key::bead(&edge.bead))?
            && let Some(parent) = waiter.parent.filter(|parent| *parent != edge.on_bead)
            && txn.find::<DependencyRow>(&Key::dependency(&edge.bead, &parent, edge.kind))?.is_some()
        {
            why = Some(Idle::SecondParent { parent });
        } else if let Some(circle) = attach_or_take_for_circle(txn, known, &mut spread, &edge)? {
            if let Some(mut waiter) = txn.find::<BeadRow>(&Key::bead(&edge.bead))?
                && edge.kind == DependencyKind::ParentChild
            {
                waiter.parent = None;
                txn.put(waiter)?;
            }
            why = Some(Idle::Circle { circle });
        }
        if let Some(why) = &why {
            make_idle(&mut edge, why);
            known.forget(&edge);
            txn.put(edge)?;
        }
        Ok(why)
    })?;
    spread.run(txn)?;
    Ok(idle)
}

/// The beads of the circle that an edge closes. One of which that cannot be told in a bounded time is taken to close one, so
/// that it does not keep everything out that comes with it.
fn attach_or_take_for_circle(
    txn: &mut ScopedTxn<'_>,
    known: &mut Known,
    spread: &mut Spread,
    edge: &DependencyRow,
) -> Result<Option<Vec<BeadId>>> {
    match attach(txn, known, spread, edge.clone(), false) {
        Err(error) if error.code() == TOO_LARGE => {
            Ok(Some(vec![edge.bead.clone(), edge.on_bead.clone(), edge.bead.clone()]))
        }
        attached => Ok(attached?.map(|circle| circle.named)),
    }
}

/// Stores an edge and lets the order and the counts follow; answers the circle that it closes, and then neither did.
fn attach(
    txn: &mut ScopedTxn<'_>,
    known: &mut Known,
    spread: &mut Spread,
    edge: DependencyRow,
    may_skip: bool,
) -> Result<Option<Circle>> {
    let is_part = edge.kind == DependencyKind::ParentChild;
    known.forget(&edge);
    txn.put(edge.clone())?;
    let waiter = txn.find::<BeadRow>(&Key::bead(&edge.bead))?;
    if !edge.kind.is_acyclic() {
        return Ok(None);
    }
    if let Some(mut waiter) = waiter
        && is_part
        && waiter.parent.as_ref() != Some(&edge.on_bead)
    {
        waiter.parent = Some(edge.on_bead.clone());
        txn.put(waiter)?;
    }
    if let Some(circle) = order::keep(txn, known, &edge)? {
        return Ok(Some(circle));
    }
    let on = txn.find::<BeadRow>(&Key::bead(&edge.on_bead))?;
    let Some(waiter) = txn.find::<BeadRow>(&Key::bead(&edge.bead))? else { return Ok(None) };
    if is_part {
        spread.parts(txn, &edge.on_bead, 1, i64::from(waiter.status != BeadStatus::Closed))?;
        known.forget(&edge);
    }
    let counted = counts(txn.view(), &edge, &waiter, on.as_ref())?;
    let is_for_nothing =
        edge.kind == DependencyKind::ConditionalBlocks && on.as_ref().is_some_and(went_well) && may_be_skipped(&waiter);
    if counted {
        spread.count(txn, edge, waiter, true)?;
    } else if may_skip && is_for_nothing {
        spread.skip(txn, waiter, &edge.on_bead)?;
    }
    Ok(None)
}

/// Gives an edge another gate.
fn regate(txn: &mut ScopedTxn<'_>, mut edge: DependencyRow, gate: WaitGate) -> Result<bool> {
    let mut spread = Spread::default();
    changed(txn, &edge.bead)?;
    txn.as_town(|txn| {
        edge.gate = Some(gate);
        spread.gates(&edge.on_bead);
        txn.put(edge)
    })?;
    spread.run(txn)?;
    Ok(true)
}

/// Removes an edge; says whether it was there. The caller writes the event.
pub(crate) fn remove_edge(txn: &mut ScopedTxn<'_>, bead: &BeadId, on: &BeadId, kind: DependencyKind) -> Result<bool> {
    let Some(edge) = txn.find::<DependencyRow>(&Key::dependency(bead, on, kind))? else { return Ok(false) };
    let mut spread = Spread::default();
    txn.as_town(|txn| detach(txn, &mut spread, &edge))?;
    spread.run(txn)?;
    Ok(true)
}

/// Removes an edge and lets the counts follow. The order stays: what does not wait may stand anywhere.
pub(super) fn detach(txn: &mut ScopedTxn<'_>, spread: &mut Spread, edge: &DependencyRow) -> Result<()> {
    let is_part = edge.kind == DependencyKind::ParentChild && !is_idle(edge);
    if edge.counted
        && let Some(waiter) = txn.find::<BeadRow>(&Key::bead(&edge.bead))?
    {
        spread.count(txn, edge.clone(), waiter, false)?;
    }
    txn.delete(&edge.key())?;
    if is_part && let Some(mut waiter) = txn.find::<BeadRow>(&Key::bead(&edge.bead))? {
        spread.parts(txn, &edge.on_bead, -1, if waiter.status == BeadStatus::Closed { 0 } else { -1 })?;
        if waiter.parent.as_ref() == Some(&edge.on_bead) {
            waiter.parent = None;
            txn.put(waiter)?;
        }
    }
    Ok(())
}

/// One edge, as callers name it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// The bead that waits.
    pub bead: BeadId,
    /// What it waits for.
    pub on_bead: BeadId,
    /// What the edge means; `blocks` where it is left out.
    #[serde(default = "blocks")]
    pub kind: DependencyKind,
    /// Of an edge `waits-for`: how many parts it waits for; all where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<WaitGate>,
}

const fn blocks() -> DependencyKind {
    DependencyKind::Blocks
}

impl Link {
    /// An edge by which `bead` waits for `on_bead`.
    pub const fn blocks(bead: BeadId, on_bead: BeadId) -> Self {
        Self { bead, on_bead, kind: DependencyKind::Blocks, gate: None }
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
    let is_new = add_gated(txn, &input.bead, &input.on_bead, input.kind, input.gate)?;
    if is_new {
        txn.event("dependency.added", &input.bead, json!({ "on_bead": input.on_bead, "kind": input.kind }));
    }
    Ok(Changed { changed: is_new })
}

/// Removes an edge between two beads.
pub(crate) fn unlink(txn: &mut ScopedTxn<'_>, input: &Link) -> Result<Changed> {
    let is_gone = remove_edge(txn, &input.bead, &input.on_bead, input.kind)?;
    if is_gone {
        changed(txn, &input.bead)?;
        txn.event("dependency.removed", &input.bead, json!({ "on_bead": input.on_bead, "kind": input.kind }));
    }
    Ok(Changed { changed: is_gone })
}
