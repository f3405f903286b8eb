//! The work graph: edges between beads, what they block, and what can be read from them.
//!
//! - [`link`]: edges are added and removed, by commands and by imports.
//! - [`count`]: `blockers`, `parts` and `open_parts` follow every change.
//! - [`order`], [`search`]: the order of waiting, by which circles are refused.
//! - [`heal`]: rows that were away for a while, or went without a word.
//! - [`known`]: what was read of it while many edges are added.
//! - [`part`]: beads come, go, and move between parents.
//! - [`fresh`]: many beads come at once with their edges.
//! - [`explain`], [`tree`], [`lists`], [`plan`]: what can be asked.

pub(crate) mod count;
pub(crate) mod explain;
pub(crate) mod fresh;
pub(crate) mod heal;
mod known;
pub(crate) mod link;
pub(crate) mod lists;
pub(crate) mod order;
pub(crate) mod part;
pub(crate) mod plan;
mod search;
pub(crate) mod tree;

#[cfg(test)]
mod cases;
#[cfg(test)]
mod circles_tests;
#[cfg(test)]
mod tests;

use super::view::{View, text};
use crate::model::value::Value;
use crate::model::{BeadId, DependencyKind, DependencyRow, Result};
use crate::store::{Position, Scan, index};

pub(crate) use count::{Before, Ended, count_parts, counts, follow_ends, put_imported, put_moved, recount};
pub(crate) use explain::explain;
pub use explain::{Explanation, LooseEdge, LooseReason, Reason, ReasonKind, WaitReason};
pub(crate) use fresh::{Fresh, follow, settle};
pub(crate) use heal::{forget_edge, rejoin, rejoin_edge, remove_lost};
pub(crate) use known::Known;
pub use link::{Changed, Link};
pub(crate) use link::{add_edge, heal_parent, import_edge, is_idle, link, renew_edges, set_aside, unlink};
pub use lists::{BlockedBead, BlockedPage, Blocker, Edges, EdgesOf, Epic, EpicPage, GraphFilter, LoosePage};
pub(crate) use lists::{blocked, edges, epics, loose_edges};
pub(crate) use part::{added, forget_part, holds_up, remove_bead, reparent};
pub(crate) use plan::plan;
pub use plan::{Plan, PlanOf, PlannedBead, Unblocks};
pub use tree::{BeadNode, ChildrenOf, NodePage, Tree, TreeNode, TreeOf};
pub(crate) use tree::{children, dependencies, dependents};

/// How many edges are read at once.
const PAGE: usize = 64;

/// Edges of one bead, a page at a time; the table may change between two pages.
struct Pages {
    scan: Option<Scan>,
}

impl Pages {
    /// What the bead depends on.
    fn dependencies(bead: &BeadId) -> Self {
        Self { scan: Some(Scan::new(&index::DEPENDENCIES, vec![text(bead)], PAGE)) }
    }

    /// Whatever depends on the bead.
    fn dependents(on: &BeadId) -> Self {
        Self { scan: Some(Scan::new(&index::DEPENDENTS, vec![text(on)], PAGE)) }
    }

    /// What depends on the bead by edges of one kind.
    fn dependents_by(on: &BeadId, kind: DependencyKind) -> Self {
        let before = Position(vec![text(kind.as_str()), Value::Text(String::new())]);
        let scan = Scan::new(&index::DEPENDENTS, vec![text(on)], PAGE).after(Some(before)).upto(text(kind.as_str()));
        Self { scan: Some(scan) }
    }

    /// The next page; none at the end.
    fn next(&mut self, view: View<'_>) -> Result<Option<Vec<DependencyRow>>> {
        let Some(scan) = &mut self.scan else { return Ok(None) };
        let edges: Vec<DependencyRow> = view.scan(scan.clone())?;
        match edges.last() {
            Some(last) if edges.len() == scan.limit => {
                scan.after = Some(Position::of(scan.index, &crate::model::Row::Dependency(last.clone())));
            }
            _ => self.scan = None,
        }
        Ok((!edges.is_empty()).then_some(edges))
    }
}
