//! The order of waiting, by which circles are found.
//!
//! Invariant: whatever a bead waits for has a smaller `rank`. It waits for the targets of its edges `blocks` and
//! `conditional-blocks`, for its parent, and for every part of the target of an edge `waits-for`.
//!
//! A new bead's rank is the time, so edges from newer to older beads need no more than a look at two numbers. Another edge
//! moves beads: either what waits for its one end goes up, or what its other end waits for goes down, whichever is less
//! work; a circle is what neither can do.

use std::collections::{BTreeMap, BinaryHeap};

use serde_json::json;

use super::Pages;
use super::link::is_idle;
use crate::model::{BeadId, BeadRow, DependencyKind, DependencyRow, Error, Key, Result};
use crate::work::txn::ScopedTxn;
use crate::work::view::View;

/// How many edges a search for a circle may look at; beyond, the edge is refused.
const LOOKED_MAX: usize = 4_000_000;
/// The most beads of a circle that are named; of a longer one the first half and the last.
pub(super) const NAMED_MAX: usize = 100;
/// How many ranks change before what changed goes to the journal.
const CHANGES_HELD_MAX: usize = 1_000;

/// Brings the order up to date for an edge that was just stored; answers the circle that it closes, and then the order is
/// none.
pub(super) fn keep(txn: &mut ScopedTxn<'_>, edge: &DependencyRow) -> Result<Option<Circle>> {
    match edge.kind {
        DependencyKind::Blocks | DependencyKind::ConditionalBlocks => place(txn, &edge.bead, &edge.on_bead),
        DependencyKind::ParentChild => {
            if let Some(circle) = place(txn, &edge.bead, &edge.on_bead)? {
                return Ok(Some(circle));
            }
            let waiting = Pages::dependents_by(&edge.on_bead, DependencyKind::WaitsFor);
            place_all(txn, waiting, Direction::Up, &edge.bead)
        }
        DependencyKind::WaitsFor => {
            let parts = Pages::dependents_by(&edge.on_bead, DependencyKind::ParentChild);
            place_all(txn, parts, Direction::Down, &edge.bead)
        }
        _ => Ok(None),
    }
}

/// Gives the waiting end of each edge its place above `bead`, or below.
fn place_all(txn: &mut ScopedTxn<'_>, mut pages: Pages, side: Direction, bead: &BeadId) -> Result<Option<Circle>> {
    while let Some(page) = pages.next(txn.view())? {
        for other in page.iter().filter(|edge| !is_idle(edge)) {
            let (above, below) = if side == Direction::Up { (&other.bead, bead) } else { (bead, &other.bead) };
            if let Some(circle) = place(txn, above, below)? {
                return Ok(Some(circle));
            }
        }
    }
    Ok(None)
}

/// Gives `above` a greater rank than `below`.
fn place(txn: &mut ScopedTxn<'_>, above: &BeadId, below: &BeadId) -> Result<Option<Circle>> {
    if above == below {
        return Ok(Some(Circle::of(vec![above.clone(), below.clone()])));
    }
    let row = |id: &BeadId| txn.find::<BeadRow>(&Key::bead(id));
    let (Some(upper), Some(lower)) = (row(above)?, row(below)?) else { return Ok(None) };
    if upper.rank > lower.rank {
        return Ok(None);
    }
    let mut up = Search::new(Direction::Up, &upper, lower.rank + 1, below);
    let mut down = Search::new(Direction::Down, &lower, upper.rank - 1, above);
    loop {
        let side = if up.looked <= down.looked { &mut up } else { &mut down };
        match side.step(txn.view())? {
            Step::More => {}
            Step::Circle(circle) => return Ok(Some(circle)),
            Step::Done => {
                let moves = std::mem::take(&mut side.seen);
                return apply(txn, moves, above).map(|()| None);
            }
        }
        if up.looked + down.looked > LOOKED_MAX {
            return Err(Error::exhausted("graph_too_large", "the search for a circle would look at too many edges")
                .with("edges_max", LOOKED_MAX)
                .with("bead", above));
        }
    }
}

fn apply(txn: &mut ScopedTxn<'_>, moves: BTreeMap<BeadId, Seen>, subject: &BeadId) -> Result<()> {
    for (nth, (id, seen)) in (1..).zip(moves) {
        let mut row = txn.bead(&id)?;
        row.rank = seen.rank;
        txn.put(row)?;
        if nth % CHANGES_HELD_MAX == 0 {
            txn.event_now("beads.ranked", subject, json!({ "count": CHANGES_HELD_MAX }))?;
        }
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    /// Whatever waits for the start, to greater ranks.
    Up,
    /// Whatever the start waits for, to smaller ranks.
    Down,
}

/// A bead that must move.
struct Seen {
    /// Its new rank.
    rank: i64,
    /// What it waits for is its parent otherwise.
    parent: Option<BeadId>,
    /// The bead because of which it moves.
    from: Option<BeadId>,
}

enum Step {
    More,
    Done,
    Circle(Circle),
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

/// The search of one side, a page of edges at a time.
///
/// Beads are taken by their old rank, so each is taken once, when its new rank is settled.
struct Search {
    direction: Direction,
    start: BeadId,
    goal: BeadId,
    seen: BTreeMap<BeadId, Seen>,
    waiting: BinaryHeap<(i64, BeadId)>,
    at: BeadId,
    pages: Vec<Pages>,
    looked: usize,
}

impl Search {
    fn new(direction: Direction, start: &BeadRow, rank: i64, goal: &BeadId) -> Self {
        let seen = Seen { rank, parent: start.parent.clone(), from: None };
        Self {
            direction,
            start: start.id.clone(),
            goal: goal.clone(),
            seen: BTreeMap::from([(start.id.clone(), seen)]),
            waiting: BinaryHeap::from([(0, start.id.clone())]),
            at: start.id.clone(),
            pages: Vec::new(),
            looked: 0,
        }
    }

    fn step(&mut self, view: View<'_>) -> Result<Step> {
        let Some(pages) = self.pages.last_mut() else {
            let Some((_, next)) = self.waiting.pop() else { return Ok(Step::Done) };
            self.pages = self.ways_from(&next);
            self.at = next;
            return Ok(Step::More);
        };
        let Some(page) = pages.next(view)? else {
            self.pages.pop();
            return Ok(Step::More);
        };
        self.looked += page.len();
        for edge in page.iter().filter(|edge| edge.kind.is_acyclic() && !is_idle(edge)) {
            let next = if edge.bead == self.at && self.direction == Direction::Down {
                if edge.kind == DependencyKind::WaitsFor {
                    // Not for the bead itself, but for its parts.
                    self.pages.insert(0, Pages::dependents_by(&edge.on_bead, DependencyKind::ParentChild));
                    continue;
                }
                &edge.on_bead
            } else {
                &edge.bead
            };
            if *next == self.goal || *next == self.start {
                return Ok(Step::Circle(self.circle(next)));
            }
            self.look(view, next)?;
        }
        Ok(Step::More)
    }

    /// The edges by which a move goes on from a bead.
    fn ways_from(&self, at: &BeadId) -> Vec<Pages> {
        if self.direction == Direction::Down {
            return vec![Pages::dependencies(at)];
        }
        let mut ways = vec![
            Pages::dependents_by(at, DependencyKind::Blocks),
            Pages::dependents_by(at, DependencyKind::ConditionalBlocks),
            Pages::dependents_by(at, DependencyKind::ParentChild),
        ];
        let parent = self.seen.get(at).and_then(|seen| seen.parent.as_ref());
        ways.extend(parent.map(|parent| Pages::dependents_by(parent, DependencyKind::WaitsFor)));
        ways
    }

    /// Has a bead moved where its rank is in the way.
    fn look(&mut self, view: View<'_>, id: &BeadId) -> Result<()> {
        let rank = self.seen[&self.at].rank + if self.direction == Direction::Up { 1 } else { -1 };
        let fits = |found: i64| if self.direction == Direction::Up { found >= rank } else { found <= rank };
        if let Some(seen) = self.seen.get_mut(id) {
            if !fits(seen.rank) {
                seen.rank = rank;
                seen.from = Some(self.at.clone());
            }
            return Ok(());
        }
        let Some(row) = view.find::<BeadRow>(&Key::bead(id))? else { return Ok(()) };
        if !fits(row.rank) {
            self.seen.insert(id.clone(), Seen { rank, parent: row.parent, from: Some(self.at.clone()) });
            // The heap gives the greatest first.
            let turn = if self.direction == Direction::Up { -row.rank } else { row.rank };
            self.waiting.push((turn, id.clone()));
        }
        Ok(())
    }

    /// The circle that is closed by going from the present bead to `last`; each waits for the next.
    fn circle(&self, last: &BeadId) -> Circle {
        let mut way = vec![self.at.clone()];
        while let Some(from) = way.last().and_then(|at| self.seen.get(at)).and_then(|seen| seen.from.as_ref()) {
            way.push(from.clone());
        }
        if self.direction == Direction::Down {
            way.reverse();
        }
        // From the present bead to the start, or the other way round; one step is missing to the circle.
        match self.direction {
            Direction::Up => {
                way.insert(0, last.clone());
                if *last == self.goal {
                    way.insert(0, self.start.clone());
                }
            }
            Direction::Down => {
                way.push(last.clone());
                if *last == self.goal {
                    way.insert(0, self.goal.clone());
                }
            }
        }
        Circle::of(way)
    }
}
