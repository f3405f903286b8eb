//! The search for whatever must move in the order of waiting, from one end of a new edge.

use std::collections::BinaryHeap;
use std::rc::Rc;

use super::known::{ByNth, Known, Nth, Place, Side};
use super::order::{ancestors_between, is_awaited};
use crate::model::{BeadId, DependencyKind, Result};
use crate::work::view::View;

/// The kinds of edges by which somebody waits for a bead's parts.
pub(super) const WAITING: [DependencyKind; 3] =
    [DependencyKind::Blocks, DependencyKind::ConditionalBlocks, DependencyKind::WaitsFor];

/// The beads that must move, in the order of their ids, and the new rank of each.
pub(super) type Moves = Vec<(Nth, i64)>;

/// What one step of a search came to.
pub(super) enum Step {
    /// It goes on.
    More,
    /// Nothing is left to look at.
    Done,
    /// A circle, from a bead to the same; each waits for the next.
    Circle(Vec<BeadId>),
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
    /// Its old one.
    was: i64,
    parent: Option<Nth>,
    /// The bead because of which it moves.
    from: Option<Nth>,
    /// The bead whose part the one is that the other waits for, where it does not wait for that one itself.
    via: Option<Nth>,
}

/// Edges that are to be looked at, from one of their pages on.
struct Way {
    of: Nth,
    side: Side,
    page: usize,
    /// The bead whose parts they lead to, or come from.
    via: Option<Nth>,
    /// By how much ranks differ at least along them.
    apart: i64,
}

/// The search of one side, a page of edges at a time.
///
/// Beads are taken by their old rank, and of those with equal ones first those that go farthest, so each is taken once, when
/// its new rank is settled.
pub(super) struct Search {
    direction: Direction,
    start: Nth,
    goal: Nth,
    through: Option<Nth>,
    seen: ByNth<Seen>,
    /// By their turn, and of those whose turn it is by their id: so it does not matter which was met first.
    waiting: BinaryHeap<(i64, i64, Rc<BeadId>, Nth)>,
    at: Nth,
    ways: Vec<Way>,
    looked: usize,
    /// The nearest bead above one that somebody waits for.
    awaited: ByNth<Option<Nth>>,
    /// The rank for which the parts of a bead, or those who wait for them, were looked at already.
    passed: ByNth<i64>,
}

impl Search {
    /// The search for whoever waits for `start`, which goes up to `rank` as it waits for `goal`.
    pub(super) fn up(known: &Known, start: (Nth, Place), rank: i64, goal: Nth, through: Option<Nth>) -> Self {
        Self::new(Direction::Up, known, start, rank, goal, through)
    }

    /// The search for whatever `start` waits for, which goes down to `rank` as `goal` waits for it.
    pub(super) fn down(known: &Known, start: (Nth, Place), rank: i64, goal: Nth, through: Option<Nth>) -> Self {
        Self::new(Direction::Down, known, start, rank, goal, through)
    }

    fn new(
        direction: Direction,
        known: &Known,
        (start, place): (Nth, Place),
        rank: i64,
        goal: Nth,
        through: Option<Nth>,
    ) -> Self {
        let seen = Seen { rank, was: place.rank, parent: place.parent, from: None, via: None };
        Self {
            direction,
            start,
            goal,
            through,
            seen: [(start, seen)].into_iter().collect(),
            waiting: BinaryHeap::from([(0, rank, Rc::clone(known.id(start)), start)]),
            at: start,
            ways: Vec::new(),
            looked: 0,
            awaited: ByNth::default(),
            passed: ByNth::default(),
        }
    }

    /// How many edges it looked at.
    pub(super) fn looked(&self) -> usize {
        self.looked
    }

    /// What must move.
    pub(super) fn moves(&self, known: &Known) -> Moves {
        let mut moves: Moves = self.seen.iter().map(|(of, seen)| (*of, seen.rank)).collect();
        moves.sort_unstable_by(|(a, _), (b, _)| known.id(*a).cmp(known.id(*b)));
        moves
    }

    /// Looks at the next few edges.
    pub(super) fn step(&mut self, view: View<'_>, known: &mut Known) -> Result<Step> {
        let Some(way) = self.ways.last_mut() else {
            let Some((_, rank, _, next)) = self.waiting.pop() else { return Ok(Step::Done) };
            // It may have been noted again since, to go farther.
            if next == self.start || self.turn(next).1 == rank {
                self.at = next;
                self.go_on(view, known)?;
            }
            return Ok(Step::More);
        };
        let Some(page) = known.page(view, way.of, way.side, way.page)? else {
            self.ways.pop();
            return Ok(Step::More);
        };
        way.page += 1;
        let (via, apart) = (way.via, way.apart);
        self.looked += page.len();
        for edge in &*page {
            let is_own = self.direction == Direction::Down && via.is_none();
            if !is_own {
                if let Some(way) = self.look(view, known, edge.bead, via, apart)? {
                    return Ok(Step::Circle(way));
                }
                if self.direction == Direction::Down
                    && let Some(via) = via
                {
                    self.go_into_parts(view, known, edge.bead, via)?;
                }
                continue;
            }
            let apart = i64::from(edge.kind != DependencyKind::ParentChild);
            if edge.kind != DependencyKind::WaitsFor
                && let Some(way) = self.look(view, known, edge.on_bead, None, apart)?
            {
                return Ok(Step::Circle(way));
            }
            if edge.kind != DependencyKind::ParentChild {
                self.go_into_parts(view, known, edge.on_bead, edge.on_bead)?;
            }
        }
        Ok(Step::More)
    }

    /// Its turn among those that wait to be taken.
    fn turn(&self, of: Nth) -> (i64, i64) {
        let seen = &self.seen[&of];
        // The heap gives the greatest first.
        if self.direction == Direction::Up { (-seen.was, seen.rank) } else { (seen.was, -seen.rank) }
    }

    /// Notes the edges by which a move goes on from the bead that was taken.
    fn go_on(&mut self, view: View<'_>, known: &mut Known) -> Result<()> {
        let at = self.at;
        if self.direction == Direction::Down {
            self.ways.push(Way { of: at, side: Side::Dependencies, page: 0, via: None, apart: 1 });
            return Ok(());
        }
        let way = |of, kind, via, apart| Way { of, side: Side::Dependents(kind), page: 0, via, apart };
        self.ways.extend([
            way(at, DependencyKind::Blocks, None, 1),
            way(at, DependencyKind::ConditionalBlocks, None, 1),
            way(at, DependencyKind::ParentChild, None, 0),
        ]);
        let Seen { rank, parent, .. } = self.seen[&at];
        let mut above = self.awaited_above(view, known, at, parent)?;
        while let Some(on) = above {
            if self.passed.get(&on).is_some_and(|passed| *passed >= rank) {
                break;
            }
            self.passed.insert(on, rank);
            self.ways.extend(WAITING.map(|kind| way(on, kind, Some(on), 0)));
            let parent = known.place(view, on)?.and_then(|place| place.parent);
            above = self.awaited_above(view, known, on, parent)?;
        }
        Ok(())
    }

    /// The nearest bead above one that somebody waits for.
    fn awaited_above(
        &mut self,
        view: View<'_>,
        known: &mut Known,
        of: Nth,
        parent: Option<Nth>,
    ) -> Result<Option<Nth>> {
        if parent.is_none() {
            return Ok(None);
        }
        if let Some(found) = self.awaited.get(&of) {
            return Ok(*found);
        }
        let mut passed = vec![of];
        let mut above = parent;
        let found = loop {
            let Some(on) = above else { break None };
            self.looked += 1;
            if is_awaited(view, known, on)? {
                break Some(on);
            }
            if let Some(found) = self.awaited.get(&on) {
                break *found;
            }
            // Where the parents themselves are a circle, this ends it.
            self.awaited.insert(on, None);
            above = known.place(view, on)?.and_then(|place| place.parent);
            passed.push(on);
        };
        self.awaited.extend(passed.into_iter().map(|of| (of, found)));
        Ok(found)
    }

    /// Has the parts of a bead looked at, for which the present one waits because of an edge on `via`.
    fn go_into_parts(&mut self, view: View<'_>, known: &mut Known, of: Nth, via: Nth) -> Result<()> {
        let has_parts = known.place(view, of)?.is_some_and(|place| place.has_parts);
        if !has_parts {
            return Ok(());
        }
        let rank = self.seen[&self.at].rank;
        if self.passed.get(&of).is_none_or(|passed| *passed > rank) {
            self.passed.insert(of, rank);
            // Behind the present one, which is looked at to its end first.
            let side = Side::Dependents(DependencyKind::ParentChild);
            self.ways.insert(0, Way { of, side, page: 0, via: Some(via), apart: 0 });
        }
        Ok(())
    }

    /// Has a bead moved where its rank is in the way; answers the circle that it closes.
    fn look(
        &mut self,
        view: View<'_>,
        known: &mut Known,
        of: Nth,
        via: Option<Nth>,
        apart: i64,
    ) -> Result<Option<Vec<BeadId>>> {
        if of == self.goal || of == self.start {
            return self.circle(view, known, of, via).map(Some);
        }
        let rank = self.seen[&self.at].rank + if self.direction == Direction::Up { apart } else { -apart };
        let fits = |found: i64| if self.direction == Direction::Up { found >= rank } else { found <= rank };
        let (was, parent) = match self.seen.get(&of) {
            Some(seen) if fits(seen.rank) => return Ok(None),
            Some(seen) => (seen.was, seen.parent),
            None => match known.place(view, of)? {
                Some(place) if !fits(place.rank) => (place.rank, place.parent),
                _ => return Ok(None),
            },
        };
        self.seen.insert(of, Seen { rank, was, parent, from: Some(self.at), via });
        let (turn, far) = self.turn(of);
        self.waiting.push((turn, far, Rc::clone(known.id(of)), of));
        Ok(None)
    }

    /// The circle that is closed by going from the present bead to `last`; each waits for the next.
    fn circle(&self, view: View<'_>, known: &Known, last: Nth, via: Option<Nth>) -> Result<Vec<BeadId>> {
        // One wait after the other, each as who waits, for whom, and because of an edge on whom.
        let mut hops: Vec<(Nth, Nth, Option<Nth>)> = Vec::new();
        let is_up = self.direction == Direction::Up;
        let hop = |from, to, via| if is_up { (from, to, via) } else { (to, from, via) };
        hops.push(hop(last, self.at, via));
        let mut at = self.at;
        while let Some(seen) = self.seen.get(&at)
            && let Some(from) = seen.from
        {
            hops.push(hop(at, from, seen.via));
            at = from;
        }
        if !is_up {
            hops.reverse();
        }
        if last == self.goal {
            // One step is missing to the circle: the edge that closes it.
            let (above, below) = if is_up { (self.start, self.goal) } else { (self.goal, self.start) };
            hops.insert(0, (above, below, self.through));
        }
        let id = |of| BeadId::clone(known.id(of));
        let mut way = vec![id(hops[0].0)];
        for (_, to, via) in hops {
            if let Some(via) = via {
                way.extend(ancestors_between(view, known.id(via), known.id(to))?);
            }
            way.push(id(to));
        }
        Ok(way)
    }
}
