//! Beads and edges that were read already, for searches that come by the same beads again and again.

use std::collections::HashMap;
use std::sync::Arc;

use super::Pages;
use super::link::is_idle;
use crate::model::{BeadId, BeadRow, DependencyKind, DependencyRow, Error, Key, Result};
use crate::work::view::View;

/// How many edges a search for a circle may look at.
const LOOKED_MAX: usize = 4_000_000;
/// How many beads and edges are remembered; beyond, all are forgotten and read anew.
const REMEMBERED_MAX: usize = 2_000_000;

/// The code of the error where a search would look at too many edges.
pub(super) const TOO_LARGE: &str = "graph_too_large";

/// Which of the edges of a bead.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Side {
    /// Those by which it waits.
    Dependencies,
    /// Those by which others wait for it, of one kind.
    Dependents(DependencyKind),
}

/// An edge by which somebody waits.
pub(super) struct Near {
    pub(super) bead: BeadId,
    pub(super) on_bead: BeadId,
    pub(super) kind: DependencyKind,
}

/// Where a bead stands.
pub(super) struct Place {
    pub(super) rank: i64,
    pub(super) parent: Option<BeadId>,
    pub(super) has_parts: bool,
}

/// What was read of the beads and of the edges that count, while many are added.
pub(super) struct Known {
    places: HashMap<BeadId, Option<Arc<Place>>>,
    lists: HashMap<Side, HashMap<BeadId, List>>,
    edges: usize,
    looked_max: usize,
    #[cfg(test)]
    pub(super) pages_read: usize,
}

impl Default for Known {
    fn default() -> Self {
        Self::looking_at_most(LOOKED_MAX)
    }
}

/// Edges of one bead as far as they were read.
struct List {
    pages: Vec<Arc<[Near]>>,
    rest: Pages,
}

impl Known {
    /// Nothing yet, for searches that look at no more than so many edges.
    pub(super) fn looking_at_most(looked_max: usize) -> Self {
        Self {
            places: HashMap::new(),
            lists: HashMap::new(),
            edges: 0,
            looked_max,
            #[cfg(test)]
            pages_read: 0,
        }
    }

    /// Refuses to look at more edges because of a bead.
    pub(super) fn check_looked(&self, looked: usize, bead: &BeadId) -> Result<()> {
        if looked <= self.looked_max {
            return Ok(());
        }
        Err(Error::exhausted(TOO_LARGE, "the search for a circle would look at too many edges")
            .with("edges_max", self.looked_max)
            .with("bead", bead))
    }

    /// Where a bead stands; none where it is not there.
    pub(super) fn place(&mut self, view: View<'_>, id: &BeadId) -> Result<Option<Arc<Place>>> {
        if let Some(place) = self.places.get(id) {
            return Ok(place.clone());
        }
        self.make_room();
        let place = view
            .look::<BeadRow>(&Key::bead(id))?
            .map(|row| Arc::new(Place { rank: row.rank, parent: row.parent.clone(), has_parts: row.parts > 0 }));
        self.places.insert(id.clone(), place.clone());
        Ok(place)
    }

    fn make_room(&mut self) {
        if self.edges + self.places.len() > REMEMBERED_MAX {
            (self.places, self.lists, self.edges) = (HashMap::new(), HashMap::new(), 0);
        }
    }

    /// A page of a bead's edges that count, which may be empty; none after the last.
    pub(super) fn page(&mut self, view: View<'_>, id: &BeadId, side: Side, nth: usize) -> Result<Option<Arc<[Near]>>> {
        self.make_room();
        let lists = self.lists.entry(side).or_default();
        if !lists.contains_key(id) {
            let rest = match side {
                Side::Dependencies => Pages::dependencies(id),
                Side::Dependents(kind) => Pages::dependents_by(id, kind),
            };
            lists.insert(id.clone(), List { pages: Vec::new(), rest });
        }
        let Some(list) = lists.get_mut(id) else { return Ok(None) };
        while list.pages.len() <= nth {
            let Some(page) = list.rest.next(view)? else { return Ok(None) };
            #[cfg(test)]
            {
                self.pages_read += 1;
            }
            let counts = page.into_iter().filter(|edge| edge.kind.is_acyclic() && !is_idle(edge));
            let page: Arc<[Near]> = counts.map(Near::from).collect();
            self.edges += page.len();
            list.pages.push(page);
        }
        Ok(list.pages.get(nth).cloned())
    }

    /// Whether a bead has such edges.
    pub(super) fn has(&mut self, view: View<'_>, id: &BeadId, side: Side) -> Result<bool> {
        let mut nth = 0;
        while let Some(page) = self.page(view, id, side, nth)? {
            if !page.is_empty() {
                return Ok(true);
            }
            nth += 1;
        }
        Ok(false)
    }

    /// Notes that a bead has another rank.
    pub(super) fn moved(&mut self, id: &BeadId) {
        self.places.remove(id);
    }

    /// Notes that an edge was written or removed, and with it a part of a bead maybe.
    pub(super) fn forget(&mut self, edge: &DependencyRow) {
        let sides = [(Side::Dependencies, &edge.bead), (Side::Dependents(edge.kind), &edge.on_bead)];
        for (side, id) in sides {
            self.places.remove(id);
            let gone = self.lists.get_mut(&side).and_then(|lists| lists.remove(id));
            self.edges -= gone.map_or(0, |list| list.pages.iter().map(|page| page.len()).sum());
        }
    }
}

impl From<DependencyRow> for Near {
    fn from(edge: DependencyRow) -> Self {
        Self { bead: edge.bead, on_bead: edge.on_bead, kind: edge.kind }
    }
}
