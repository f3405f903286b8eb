//! Beads and edges that were read already, for searches that come by the same beads again and again.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::rc::Rc;

use super::Pages;
use super::link::is_idle;
use crate::model::{BeadId, BeadRow, DependencyKind, DependencyRow, Error, Key, Result};
use crate::work::view::View;

/// How many edges a search for a circle may look at.
const LOOKED_MAX: usize = 4_000_000;
/// How many beads and edges are remembered; beyond, all are forgotten and read anew.
const REMEMBERED_MAX: usize = 2_000_000;
/// How many lists of edges a bead has.
const SIDES: usize = 5;

/// The code of the error where a search would look at too many edges.
pub(super) const TOO_LARGE: &str = "graph_too_large";

/// A bead by the order in which beads were met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Nth(u32);

/// What is known of beads, by their numbers.
pub(super) type ByNth<T> = HashMap<Nth, T, BuildHasherDefault<NthHasher>>;

/// Spreads numbers that follow each other.
#[derive(Default)]
pub(super) struct NthHasher(u64);

impl Hasher for NthHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32(u32::from(*byte));
        }
    }

    fn write_u32(&mut self, number: u32) {
        self.0 = (self.0 ^ u64::from(number)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(26);
    }
}

/// Which of the edges of a bead.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// Those by which it waits.
    Dependencies,
    /// Those by which others wait for it, of one kind.
    Dependents(DependencyKind),
}

impl Side {
    /// The place of its list; none for edges by which nobody waits.
    const fn place(self) -> Option<usize> {
        match self {
            Self::Dependencies => Some(0),
            Self::Dependents(DependencyKind::Blocks) => Some(1),
            Self::Dependents(DependencyKind::ConditionalBlocks) => Some(2),
            Self::Dependents(DependencyKind::ParentChild) => Some(3),
            Self::Dependents(DependencyKind::WaitsFor) => Some(4),
            Self::Dependents(_) => None,
        }
    }
}

/// An edge by which somebody waits.
#[derive(Clone, Copy)]
pub(super) struct Near {
    pub(super) bead: Nth,
    pub(super) on_bead: Nth,
    pub(super) kind: DependencyKind,
}

/// Where a bead stands.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) rank: i64,
    pub(super) parent: Option<Nth>,
    pub(super) has_parts: bool,
}

/// What was read of one bead.
struct Met {
    id: Rc<BeadId>,
    /// Whether it was looked for.
    is_read: bool,
    /// Where it stands; none where it is not there.
    place: Option<Place>,
    lists: [Option<Box<List>>; SIDES],
}

/// Edges of one bead as far as they were read.
struct List {
    pages: Vec<Rc<[Near]>>,
    rest: Pages,
}

/// What was read of the beads and of the edges that count, while many are added.
pub(crate) struct Known {
    numbers: HashMap<Rc<BeadId>, Nth>,
    met: Vec<Met>,
    /// How many places and edges are remembered.
    remembered: usize,
    looked_max: usize,
    #[cfg(test)]
    pub(super) pages_read: usize,
}

impl Default for Known {
    fn default() -> Self {
        Self::looking_at_most(LOOKED_MAX)
    }
}

impl Known {
    /// Nothing yet, for searches that look at no more than so many edges.
    pub(super) fn looking_at_most(looked_max: usize) -> Self {
        Self {
            numbers: HashMap::new(),
            met: Vec::new(),
            remembered: 0,
            looked_max,
            #[cfg(test)]
            pages_read: 0,
        }
    }

    /// Refuses to look at more edges because of a bead.
    pub(super) fn check_looked(&self, looked: usize, bead: Nth) -> Result<()> {
        if looked <= self.looked_max {
            return Ok(());
        }
        Err(Error::exhausted(TOO_LARGE, "the search for a circle would look at too many edges")
            .with("edges_max", self.looked_max)
            .with("bead", self.id(bead)))
    }

    /// The number of a bead, which it keeps until [`Known::begin`].
    pub(super) fn number(&mut self, id: &BeadId) -> Nth {
        if let Some(number) = self.numbers.get(id) {
            return *number;
        }
        let number = Nth(u32::try_from(self.met.len()).expect("so many beads are in no memory"));
        let id = Rc::new(id.clone());
        self.numbers.insert(Rc::clone(&id), number);
        self.met.push(Met { id, is_read: false, place: None, lists: [const { None }; SIDES] });
        number
    }

    /// The bead that has a number.
    pub(super) fn id(&self, of: Nth) -> &Rc<BeadId> {
        &self.met(of).id
    }

    fn met(&self, of: Nth) -> &Met {
        &self.met[of.0 as usize]
    }

    fn met_mut(&mut self, of: Nth) -> &mut Met {
        &mut self.met[of.0 as usize]
    }

    /// Begins with another edge, when nobody has numbers any more.
    pub(super) fn begin(&mut self) {
        if self.met.len() > REMEMBERED_MAX {
            (self.numbers, self.met, self.remembered) = (HashMap::new(), Vec::new(), 0);
        }
    }

    fn make_room(&mut self) {
        if self.remembered > REMEMBERED_MAX {
            for met in &mut self.met {
                (met.is_read, met.lists) = (false, [const { None }; SIDES]);
            }
            self.remembered = 0;
        }
    }

    /// Where a bead stands; none where it is not there.
    pub(super) fn place(&mut self, view: View<'_>, of: Nth) -> Result<Option<Place>> {
        if self.met(of).is_read {
            return Ok(self.met(of).place);
        }
        self.make_room();
        let place = view.look::<BeadRow>(&Key::bead(self.id(of)))?.map(|row| Place {
            rank: row.rank,
            parent: row.parent.as_ref().map(|parent| self.number(parent)),
            has_parts: row.parts > 0,
        });
        let met = self.met_mut(of);
        (met.is_read, met.place) = (true, place);
        self.remembered += 1;
        Ok(place)
    }

    /// A page of a bead's edges that count, which may be empty; none after the last.
    pub(super) fn page(&mut self, view: View<'_>, of: Nth, side: Side, nth: usize) -> Result<Option<Rc<[Near]>>> {
        let Some(at) = side.place() else { return Ok(None) };
        if let Some(page) = self.met(of).lists[at].as_ref().and_then(|list| list.pages.get(nth)) {
            return Ok(Some(Rc::clone(page)));
        }
        self.make_room();
        let id = Rc::clone(self.id(of));
        let new = || {
            let rest = match side {
                Side::Dependencies => Pages::dependencies(&id),
                Side::Dependents(kind) => Pages::dependents_by(&id, kind),
            };
            Box::new(List { pages: Vec::new(), rest })
        };
        let mut list = self.met_mut(of).lists[at].take().unwrap_or_else(new);
        while list.pages.len() <= nth {
            let Some(page) = list.rest.next(view)? else { break };
            #[cfg(test)]
            {
                self.pages_read += 1;
            }
            let counts = page.iter().filter(|edge| edge.kind.is_acyclic() && !is_idle(edge));
            let page: Rc<[Near]> = counts
                .map(|edge| Near {
                    bead: self.number(&edge.bead),
                    on_bead: self.number(&edge.on_bead),
                    kind: edge.kind,
                })
                .collect();
            self.remembered += page.len();
            list.pages.push(page);
        }
        let page = list.pages.get(nth).cloned();
        self.met_mut(of).lists[at] = Some(list);
        Ok(page)
    }

    /// Whether a bead has such edges.
    pub(super) fn has(&mut self, view: View<'_>, of: Nth, side: Side) -> Result<bool> {
        let mut nth = 0;
        while let Some(page) = self.page(view, of, side, nth)? {
            if !page.is_empty() {
                return Ok(true);
            }
            nth += 1;
        }
        Ok(false)
    }

    /// Notes that a bead has another rank.
    pub(super) fn moved(&mut self, of: Nth) {
        let was_known = std::mem::take(&mut self.met_mut(of).is_read);
        self.remembered -= usize::from(was_known);
    }

    /// Notes that an edge was written or removed, and with it a part of a bead maybe.
    pub(super) fn forget(&mut self, edge: &DependencyRow) {
        let sides = [(Side::Dependencies, &edge.bead), (Side::Dependents(edge.kind), &edge.on_bead)];
        for (side, id) in sides {
            let Some(of) = self.numbers.get(id).copied() else { continue };
            self.moved(of);
            let gone = side.place().and_then(|at| self.met_mut(of).lists[at].take());
            self.remembered -= gone.map_or(0, |list| list.pages.iter().map(|page| page.len()).sum());
        }
    }
}
