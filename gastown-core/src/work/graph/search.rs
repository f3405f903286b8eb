//! The search for whatever must move in the order of waiting, from one end of a new edge.

use std::collections::{BTreeMap, BinaryHeap, HashMap};

use super::known::{Known, Place, Side};
use super::order::{ancestors_between, is_awaited};
use crate::model::{BeadId, DependencyKind, Result};
use crate::work::view::View;

/// The kinds of edges by which somebody waits for a bead's parts.
pub(super) const WAITING: [DependencyKind; 3] =
    [DependencyKind::Blocks, DependencyKind::ConditionalBlocks, DependencyKind::WaitsFor];

/// The new rank of each bead that must move.
pub(super) type Moves = BTreeMap<BeadId, i64>;

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
    parent: Option<BeadId>,
    /// The bead because of which it moves.
    from: Option<BeadId>,
    /// The bead whose part the one is that the other waits for, where it does not wait for that one itself.
    via: Option<BeadId>,
}

/// Edges that are to be looked at, from one of their pages on.
struct Way {
    of: BeadId,
    side: Side,
    page: usize,
    /// The bead whose parts they lead to, or come from.
    via: Option<BeadId>,
    /// By how much ranks differ at least along them.
    apart: i64,
}

/// The search of one side, a page of edges at a time.
///
/// Beads are taken by their old rank, and of those with equal ones first those that go farthest, so each is taken once, when
/// its new rank is settled.
pub(super) struct Search {
    direction: Direction,
    start: BeadId,
    goal: BeadId,
    through: Option<BeadId>,
    seen: BTreeMap<BeadId, Seen>,
    waiting: BinaryHeap<(i64, i64, BeadId)>,
    at: BeadId,
    ways: Vec<Way>,
    looked: usize,
    /// The nearest bead above one that somebody waits for.
    awaited: HashMap<BeadId, Option<BeadId>>,
    /// The rank for which the parts of a bead, or those who wait for them, were looked at already.
    passed: HashMap<BeadId, i64>,
}

impl Search {
    /// The search for whoever waits for `start`, which goes up to `rank` as it waits for `goal`.
    pub(super) fn up(start: (&BeadId, &Place), rank: i64, goal: &BeadId, through: Option<&BeadId>) -> Self {
        Self::new(Direction::Up, start, rank, goal, through)
    }

    /// The search for whatever `start` waits for, which goes down to `rank` as `goal` waits for it.
    pub(super) fn down(start: (&BeadId, &Place), rank: i64, goal: &BeadId, through: Option<&BeadId>) -> Self {
        Self::new(Direction::Down, start, rank, goal, through)
    }

    fn new(
        direction: Direction,
        (id, start): (&BeadId, &Place),
        rank: i64,
        goal: &BeadId,
        through: Option<&BeadId>,
    ) -> Self {
        let seen = Seen { rank, was: start.rank, parent: start.parent.clone(), from: None, via: None };
        Self {
            direction,
            start: id.clone(),
            goal: goal.clone(),
            through: through.cloned(),
            seen: BTreeMap::from([(id.clone(), seen)]),
            waiting: BinaryHeap::from([(0, rank, id.clone())]),
            at: id.clone(),
            ways: Vec::new(),
            looked: 0,
            awaited: HashMap::new(),
            passed: HashMap::new(),
        }
    }

    /// How many edges it looked at.
    pub(super) fn looked(&self) -> usize {
        self.looked
    }

    /// What must move.
    pub(super) fn moves(&mut self) -> Moves {
        std::mem::take(&mut self.seen).into_iter().map(|(id, seen)| (id, seen.rank)).collect()
    }

    /// Looks at the next few edges.
    pub(super) fn step(&mut self, view: View<'_>, known: &mut Known) -> Result<Step> {
        let Some(way) = self.ways.last_mut() else {
            let Some((_, rank, next)) = self.waiting.pop() else { return Ok(Step::Done) };
            // It may have been noted again since, to go farther.
            if next == self.start || self.turn(&next).1 == rank {
                self.at = next;
                self.ways = self.ways_from(view, known)?;
            }
            return Ok(Step::More);
        };
        let Some(page) = known.page(view, &way.of, way.side, way.page)? else {
            self.ways.pop();
            return Ok(Step::More);
        };
        way.page += 1;
        let (via, apart) = (way.via.clone(), way.apart);
        self.looked += page.len();
        for edge in &*page {
            let is_own = self.direction == Direction::Down && via.is_none();
            if !is_own {
                if let Some(way) = self.look(view, known, &edge.bead, via.as_ref(), apart)? {
                    return Ok(Step::Circle(way));
                }
                if self.direction == Direction::Down
                    && let Some(via) = &via
                {
                    self.go_into_parts(view, known, &edge.bead, via)?;
                }
                continue;
            }
            let apart = i64::from(edge.kind != DependencyKind::ParentChild);
            if edge.kind != DependencyKind::WaitsFor
                && let Some(way) = self.look(view, known, &edge.on_bead, None, apart)?
            {
                return Ok(Step::Circle(way));
            }
            if edge.kind != DependencyKind::ParentChild {
                self.go_into_parts(view, known, &edge.on_bead, &edge.on_bead)?;
            }
        }
        Ok(Step::More)
    }

    /// Its turn among those that wait to be taken.
    fn turn(&self, id: &BeadId) -> (i64, i64) {
        let seen = &self.seen[id];
        // The heap gives the greatest first.
        if self.direction == Direction::Up { (-seen.was, seen.rank) } else { (seen.was, -seen.rank) }
    }

    /// The edges by which a move goes on from the bead that was taken.
    fn ways_from(&mut self, view: View<'_>, known: &mut Known) -> Result<Vec<Way>> {
        let at = self.at.clone();
        if self.direction == Direction::Down {
            return Ok(vec![Way { of: at, side: Side::Dependencies, page: 0, via: None, apart: 1 }]);
        }
        let way =
            |on: &BeadId, kind, via, apart| Way { of: on.clone(), side: Side::Dependents(kind), page: 0, via, apart };
        let mut ways = vec![
            way(&at, DependencyKind::Blocks, None, 1),
            way(&at, DependencyKind::ConditionalBlocks, None, 1),
            way(&at, DependencyKind::ParentChild, None, 0),
        ];
        let rank = self.seen[&at].rank;
        let mut above = self.awaited_above(view, known, &at, self.seen[&at].parent.clone())?;
        while let Some(on) = above {
            if self.passed.get(&on).is_some_and(|passed| *passed >= rank) {
                break;
            }
            self.passed.insert(on.clone(), rank);
            ways.extend(WAITING.map(|kind| way(&on, kind, Some(on.clone()), 0)));
            let parent = known.place(view, &on)?.and_then(|place| place.parent.clone());
            above = self.awaited_above(view, known, &on, parent)?;
        }
        Ok(ways)
    }

    /// The nearest bead above one that somebody waits for.
    fn awaited_above(
        &mut self,
        view: View<'_>,
        known: &mut Known,
        id: &BeadId,
        parent: Option<BeadId>,
    ) -> Result<Option<BeadId>> {
        if let Some(found) = self.awaited.get(id) {
            return Ok(found.clone());
        }
        let mut passed = vec![id.clone()];
        let mut above = parent;
        let found = loop {
            let Some(on) = above else { break None };
            self.looked += 1;
            if is_awaited(view, known, &on)? {
                break Some(on);
            }
            if let Some(found) = self.awaited.get(&on) {
                break found.clone();
            }
            // Where the parents themselves are a circle, this ends it.
            self.awaited.insert(on.clone(), None);
            above = known.place(view, &on)?.and_then(|place| place.parent.clone());
            passed.push(on);
        };
        self.awaited.extend(passed.into_iter().map(|id| (id, found.clone())));
        Ok(found)
    }

    /// Has the parts of a bead looked at, for which the present one waits because of an edge on `via`.
    fn go_into_parts(&mut self, view: View<'_>, known: &mut Known, of: &BeadId, via: &BeadId) -> Result<()> {
        let rank = self.seen[&self.at].rank;
        let has_parts = known.place(view, of)?.is_some_and(|place| place.has_parts);
        if has_parts && self.passed.get(of).is_none_or(|passed| *passed > rank) {
            self.passed.insert(of.clone(), rank);
            // Behind the present one, which is looked at to its end first.
            let side = Side::Dependents(DependencyKind::ParentChild);
            self.ways.insert(0, Way { of: of.clone(), side, page: 0, via: Some(via.clone()), apart: 0 });
        }
        Ok(())
    }

    /// Has a bead moved where its rank is in the way; answers the circle that it closes.
    fn look(
        &mut self,
        view: View<'_>,
        known: &mut Known,
        id: &BeadId,
        via: Option<&BeadId>,
        apart: i64,
    ) -> Result<Option<Vec<BeadId>>> {
        if *id == self.goal || *id == self.start {
            return self.circle(view, id, via).map(Some);
        }
        let rank = self.seen[&self.at].rank + if self.direction == Direction::Up { apart } else { -apart };
        let fits = |found: i64| if self.direction == Direction::Up { found >= rank } else { found <= rank };
        let (was, parent) = match self.seen.get(id) {
            Some(seen) if fits(seen.rank) => return Ok(None),
            Some(seen) => (seen.was, seen.parent.clone()),
            None => match known.place(view, id)? {
                Some(row) if !fits(row.rank) => (row.rank, row.parent.clone()),
                _ => return Ok(None),
            },
        };
        let seen = Seen { rank, was, parent, from: Some(self.at.clone()), via: via.cloned() };
        self.seen.insert(id.clone(), seen);
        let (turn, far) = self.turn(id);
        self.waiting.push((turn, far, id.clone()));
        Ok(None)
    }

    /// The circle that is closed by going from the present bead to `last`; each waits for the next.
    fn circle(&self, view: View<'_>, last: &BeadId, via: Option<&BeadId>) -> Result<Vec<BeadId>> {
        // One wait after the other, each as who waits, for whom, and because of an edge on whom.
        let mut hops: Vec<(&BeadId, &BeadId, Option<&BeadId>)> = Vec::new();
        let is_up = self.direction == Direction::Up;
        let hop = |from, to, via| if is_up { (from, to, via) } else { (to, from, via) };
        hops.push(hop(last, &self.at, via));
        let mut at = &self.at;
        while let Some(seen) = self.seen.get(at)
            && let Some(from) = &seen.from
        {
            hops.push(hop(at, from, seen.via.as_ref()));
            at = from;
        }
        if !is_up {
            hops.reverse();
        }
        if *last == self.goal {
            // One step is missing to the circle: the edge that closes it.
            let (above, below) = if is_up { (&self.start, &self.goal) } else { (&self.goal, &self.start) };
            hops.insert(0, (above, below, self.through.as_ref()));
        }
        let mut way = vec![hops[0].0.clone()];
        for (_, to, via) in hops {
            if let Some(via) = via {
                way.extend(ancestors_between(view, via, to)?);
            }
            way.push(to.clone());
        }
        Ok(way)
    }
}
