//! The order of waiting, by which circles are found.
//!
//! A bead waits for the targets of its edges `blocks` and `conditional-blocks`, and for its parent. What a bead comes to depends
//! on its parts, as it is closed after them: so who waits for a bead waits for the parts of it as well, and for theirs; and
//! who has an edge `waits-for` waits for these alone.
//!
//! Invariant: the target of an edge `blocks` or `conditional-blocks` has a smaller `rank` than the bead; whatever else it waits
//! for has none that is greater.
//!
//! A new bead's rank is the time, so edges from newer to older beads need no more than a look at two numbers. Another edge
//! moves beads: either what waits for its one end goes up, or what its other end waits for goes down, whichever is less
//! work; a circle is what neither can do.

use serde_json::json;

use super::known::{Known, Nth, Side};
use super::search::{Moves, Search, Step, WAITING};
use crate::model::{BeadId, BeadRow, DependencyKind, DependencyRow, Key, Result};
use crate::work::txn::ScopedTxn;
use crate::work::view::View;

/// The most beads of a circle that are named; of a longer one the first half and the last.
pub(super) const NAMED_MAX: usize = 100;
/// How many ranks change before what changed goes to the journal.
const CHANGES_HELD_MAX: usize = 1_000;
/// How far up somebody who waits for one of the beads above a new part is looked for.
const ANCESTORS_LOOKED_MAX: usize = 32;

/// Brings the order up to date for an edge that was just stored; answers the circle that it closes, and then the order is
/// none.
pub(super) fn keep(txn: &mut ScopedTxn<'_>, known: &mut Known, edge: &DependencyRow) -> Result<Option<Circle>> {
    known.begin();
    let (bead, on) = (known.number(&edge.bead), known.number(&edge.on_bead));
    match edge.kind {
        DependencyKind::Blocks | DependencyKind::ConditionalBlocks => {
            if let Some(circle) = place(txn, known, bead, on, None)? {
                return Ok(Some(circle));
            }
            place_over_parts(txn, known, bead, on, on)
        }
        DependencyKind::WaitsFor => place_over_parts(txn, known, bead, on, on),
        DependencyKind::ParentChild => keep_part(txn, known, bead, on),
        _ => Ok(None),
    }
}

/// Gives a bead and its parts their place: above the bead that it became a part of, and below whoever waits for that or for
/// what is above that.
fn keep_part(txn: &mut ScopedTxn<'_>, known: &mut Known, part: Nth, of: Nth) -> Result<Option<Circle>> {
    if keep_new_part(txn, known, part, of)? {
        return Ok(None);
    }
    if let Some(circle) = place(txn, known, part, of, None)? {
        return Ok(Some(circle));
    }
    let mut above = Some(of);
    let mut looked = 0;
    while let Some(on) = above {
        for kind in WAITING {
            let mut nth = 0;
            while let Some(page) = known.page(txn.view(), on, Side::Dependents(kind), nth)? {
                nth += 1;
                for edge in &*page {
                    if let Some(circle) = place(txn, known, edge.bead, part, Some(on))? {
                        return Ok(Some(circle));
                    }
                    if let Some(circle) = place_over_parts(txn, known, edge.bead, part, on)? {
                        return Ok(Some(circle));
                    }
                }
            }
        }
        looked += 1;
        known.check_looked(looked, part)?;
        above = known.place(txn.view(), on)?.and_then(|place| place.parent);
    }
    Ok(None)
}

/// The same for a bead that waits for nothing else and has no parts, which can close no circle where it stands above its
/// parent; false for any other.
///
/// Beside its parent it stands below whoever waits for that or for what is above that.
fn keep_new_part(txn: &mut ScopedTxn<'_>, known: &mut Known, part: Nth, of: Nth) -> Result<bool> {
    let (Some(row), Some(parent)) =
        (txn.find::<BeadRow>(&Key::bead(known.id(part)))?, txn.look::<BeadRow>(&Key::bead(known.id(of)))?)
    else {
        return Ok(true);
    };
    // Who waits for parts where there are none yet may stand below the bead itself.
    let is_first = parent.parts == 0 && known.has(txn.view(), of, Side::Dependents(DependencyKind::WaitsFor))?;
    if row.parts > 0 || row.rank <= parent.rank || is_first {
        return Ok(false);
    }
    let mut nth = 0;
    while let Some(page) = known.page(txn.view(), part, Side::Dependencies, nth)? {
        nth += 1;
        if page.iter().any(|edge| edge.kind != DependencyKind::ParentChild || edge.on_bead != of) {
            return Ok(false);
        }
    }
    let mut above = Some(of);
    for _ in 0..ANCESTORS_LOOKED_MAX {
        let Some(on) = above else { return Ok(true) };
        if is_awaited(txn.view(), known, on)? {
            above = Some(on);
            break;
        }
        above = known.place(txn.view(), on)?.and_then(|place| place.parent);
    }
    if above.is_some() {
        txn.put(BeadRow { rank: parent.rank, ..row })?;
        known.moved(part);
    }
    Ok(true)
}

/// Whether somebody waits for a bead or for its parts, and not as one of them.
pub(super) fn is_awaited(view: View<'_>, known: &mut Known, on: Nth) -> Result<bool> {
    for kind in WAITING {
        if known.has(view, on, Side::Dependents(kind))? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Gives `above` a greater rank than all parts of `of` and theirs, for which it waits because of an edge on `on`.
fn place_over_parts(
    txn: &mut ScopedTxn<'_>,
    known: &mut Known,
    above: Nth,
    of: Nth,
    on: Nth,
) -> Result<Option<Circle>> {
    let has_parts = known.place(txn.view(), of)?.is_some_and(|place| place.has_parts);
    let mut waiting: Vec<Nth> = has_parts.then_some(of).into_iter().collect();
    let mut looked = 0;
    while let Some(of) = waiting.pop() {
        let mut nth = 0;
        while let Some(page) = known.page(txn.view(), of, Side::Dependents(DependencyKind::ParentChild), nth)? {
            nth += 1;
            for edge in &*page {
                if let Some(circle) = place(txn, known, above, edge.bead, Some(on))? {
                    return Ok(Some(circle));
                }
                if known.place(txn.view(), edge.bead)?.is_some_and(|place| place.has_parts) {
                    waiting.push(edge.bead);
                }
                looked += 1;
                known.check_looked(looked, above)?;
            }
        }
    }
    Ok(None)
}

/// Gives `above` a greater rank than `below`, for which it waits because of an edge on `through`.
fn place(
    txn: &mut ScopedTxn<'_>,
    known: &mut Known,
    above: Nth,
    below: Nth,
    through: Option<Nth>,
) -> Result<Option<Circle>> {
    if above == below {
        let mut way = vec![BeadId::clone(known.id(above))];
        if let Some(through) = through {
            way.extend(ancestors_between(txn.view(), known.id(through), known.id(below))?);
        }
        way.push(BeadId::clone(known.id(below)));
        return Ok(Some(Circle::of(way)));
    }
    let (upper, lower) = (known.place(txn.view(), above)?, known.place(txn.view(), below)?);
    let (Some(upper), Some(lower)) = (upper, lower) else { return Ok(None) };
    if upper.rank > lower.rank {
        return Ok(None);
    }
    let mut up = Search::up(known, (above, upper), lower.rank + 1, below, through);
    let mut down = Search::down(known, (below, lower), upper.rank - 1, above, through);
    loop {
        let side = if up.looked() <= down.looked() { &mut up } else { &mut down };
        match side.step(txn.view(), known)? {
            Step::More => {}
            Step::Circle(way) => return Ok(Some(Circle::of(way))),
            Step::Done => {
                let moves = side.moves(known);
                return apply(txn, known, moves, above).map(|()| None);
            }
        }
        known.check_looked(up.looked() + down.looked(), above)?;
    }
}

/// The beads from `from` down to the parent of its part `part`.
pub(super) fn ancestors_between(view: View<'_>, from: &BeadId, part: &BeadId) -> Result<Vec<BeadId>> {
    let mut way = Vec::new();
    let mut at = part.clone();
    while let Some(parent) = view.look::<BeadRow>(&Key::bead(&at))?.and_then(|row| row.parent.clone()) {
        way.push(parent.clone());
        if parent == *from || parent == *part {
            break;
        }
        at = parent;
    }
    way.reverse();
    Ok(way)
}

fn apply(txn: &mut ScopedTxn<'_>, known: &mut Known, moves: Moves, subject: Nth) -> Result<()> {
    for (nth, (of, rank)) in (1..).zip(moves) {
        let mut row = txn.bead(known.id(of))?;
        row.rank = rank;
        txn.put(row)?;
        known.moved(of);
        if nth % CHANGES_HELD_MAX == 0 {
            txn.event_now("beads.ranked", &**known.id(subject), json!({ "count": CHANGES_HELD_MAX }))?;
        }
    }
    Ok(())
}

/// A circle of waiting.
pub(super) struct Circle {
    /// Its beads, from one to the same; at most [`NAMED_MAX`], so of a long one those in the middle are left out.
    pub(super) named: Vec<BeadId>,
    /// How many edges it has.
    pub(super) length: usize,
}

impl Circle {
    fn of(mut way: Vec<BeadId>) -> Self {
        let length = way.len() - 1;
        if way.len() > NAMED_MAX {
            way.drain(NAMED_MAX / 2..way.len() - NAMED_MAX / 2);
        }
        Self { named: way, length }
    }
}
