//! What is around a bead: its parts, what it waits for, what waits for it.

use std::collections::{BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use super::Pages;
use crate::model::id::excerpt;
use crate::model::{BeadId, BeadRow, BeadStatus, DependencyKind, Error, Key, Result};
use crate::store::{Position, Scan, index};
use crate::work::ready::PAGE_MAX;
use crate::work::view::{View, text};

/// How deep a tree may be asked for.
const DEPTH_MAX: usize = 1_000;

/// A bead as it stands in a graph.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the fields are those of BeadRow, documented there")]
pub struct BeadNode {
    pub id: BeadId,
    pub title: String,
    pub status: BeadStatus,
    pub issue_type: String,
    pub priority: u32,
    pub parent: Option<BeadId>,
    pub assignee: Option<String>,
    pub blockers: i64,
    pub parts: i64,
    pub open_parts: i64,
}

impl From<BeadRow> for BeadNode {
    fn from(row: BeadRow) -> Self {
        Self {
            id: row.id,
            title: row.title,
            status: row.status,
            issue_type: row.issue_type,
            priority: row.priority,
            parent: row.parent,
            assignee: row.assignee,
            blockers: row.blockers,
            parts: row.parts,
            open_parts: row.open_parts,
        }
    }
}

/// Whose parts to list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChildrenOf {
    /// The bead.
    pub id: BeadId,
    /// Also the parts of its parts, to any depth; each comes before its own.
    #[serde(default)]
    pub all: bool,
    /// At most so many, 1 to 1000; 50 where it is left out.
    #[serde(default)]
    pub limit: Option<usize>,
    /// Go on behind an earlier page.
    #[serde(default)]
    pub cursor: Option<String>,
}

impl From<&BeadId> for ChildrenOf {
    fn from(id: &BeadId) -> Self {
        Self { id: id.clone(), all: false, limit: None, cursor: None }
    }
}

/// One page of beads as they stand in the graph.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodePage {
    /// The beads.
    pub beads: Vec<BeadNode>,
    /// Where the next page begins; none at the end.
    pub cursor: Option<String>,
}

pub(super) fn check_limit(limit: Option<usize>) -> Result<usize> {
    match limit.unwrap_or(50) {
        limit @ 1..=PAGE_MAX => Ok(limit),
        limit => Err(Error::invalid("limit_out_of_range", format!("a page holds 1 to {PAGE_MAX} beads, not {limit}"))
            .with("found", limit)),
    }
}

pub(super) fn stale_cursor(cursor: &str) -> Error {
    Error::invalid("cursor_malformed", format!("{} is no cursor of this list", excerpt(cursor)))
}

/// Lists the parts of a bead by their ids, also those of its parts where they are asked for.
pub(crate) fn children(view: View<'_>, input: &ChildrenOf) -> Result<NodePage> {
    let limit = check_limit(input.limit)?;
    view.bead(&input.id)?;
    let parts = |of: &BeadId, after: Option<&BeadId>| {
        let after = after.map(|id| Position(vec![text(id)]));
        Scan::new(&index::BEADS_BY_PARENT, vec![text(of)], limit + 1).after(after)
    };
    // The way from the bead to the last one that was listed, from which the walk goes on.
    let mut open: Vec<Scan> = Vec::new();
    match &input.cursor {
        None => open.push(parts(&input.id, None)),
        Some(cursor) => {
            let last = BeadId::new(cursor.clone()).map_err(|_| stale_cursor(cursor))?;
            let mut at = last.clone();
            if input.all {
                open.push(parts(&last, None));
            }
            while at != input.id {
                let parent = view.find::<BeadRow>(&Key::bead(&at))?.and_then(|row| row.parent);
                let parent = parent.ok_or_else(|| stale_cursor(cursor))?;
                if !input.all && parent != input.id {
                    return Err(stale_cursor(cursor));
                }
                open.push(parts(&parent, Some(&at)));
                at = parent;
            }
            open.reverse();
        }
    }
    let mut beads: Vec<BeadNode> = Vec::new();
    while let Some(mut scan) = open.pop() {
        // Where their parts come in between, one is taken at a time.
        scan.limit = if input.all { 1 } else { limit + 1 };
        let rows: Vec<BeadRow> = view.scan(scan.clone())?;
        if rows.is_empty() {
            continue;
        }
        for row in rows {
            if beads.len() == limit {
                let cursor = beads.last().map(|last| last.id.as_str().to_owned());
                return Ok(NodePage { beads, cursor });
            }
            if input.all {
                scan.after = Some(Position(vec![text(&row.id)]));
                open.push(scan.clone());
                if row.parts > 0 {
                    open.push(parts(&row.id, None));
                }
            }
            beads.push(row.into());
        }
    }
    Ok(NodePage { beads, cursor: None })
}

/// From which bead on to follow the edges.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TreeOf {
    /// The bead.
    pub id: BeadId,
    /// How many edges away at most, 1 to 1000; 3 where it is left out.
    #[serde(default)]
    pub depth: Option<usize>,
    /// Only edges of this kind; all that may block where it is left out.
    #[serde(default)]
    pub kind: Option<DependencyKind>,
    /// At most so many beads, 1 to 1000; 50 where it is left out.
    #[serde(default)]
    pub limit: Option<usize>,
}

impl From<&BeadId> for TreeOf {
    fn from(id: &BeadId) -> Self {
        Self { id: id.clone(), depth: None, kind: None, limit: None }
    }
}

/// One bead of a tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeNode {
    /// Which.
    pub id: BeadId,
    /// How many edges away it is.
    pub depth: usize,
    /// The bead by whose edge it was found, one nearer.
    pub via: BeadId,
    /// What that edge means.
    pub kind: DependencyKind,
    /// Whether the edge blocks now.
    pub counted: bool,
    /// The bead; null where it is not there.
    pub bead: Option<BeadNode>,
}

/// Beads by their distance; each once, on a shortest way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tree {
    /// The beads, the nearest first.
    pub nodes: Vec<TreeNode>,
    /// Whether there are more than the depth and the limit allow.
    pub more: bool,
}

/// Follows what a bead waits for.
pub(crate) fn dependencies(view: View<'_>, input: &TreeOf) -> Result<Tree> {
    tree(view, input, true)
}

/// Follows what waits for a bead.
pub(crate) fn dependents(view: View<'_>, input: &TreeOf) -> Result<Tree> {
    tree(view, input, false)
}

fn tree(view: View<'_>, input: &TreeOf, down: bool) -> Result<Tree> {
    let limit = check_limit(input.limit)?;
    let depth_max = input.depth.unwrap_or(3);
    if !(1..=DEPTH_MAX).contains(&depth_max) {
        return Err(Error::invalid("depth_out_of_range", format!("a depth is 1 to {DEPTH_MAX}, not {depth_max}"))
            .with("found", depth_max));
    }
    view.bead(&input.id)?;
    let mut tree = Tree { nodes: Vec::new(), more: false };
    let mut seen = BTreeSet::from([input.id.clone()]);
    let mut queue = VecDeque::from([(input.id.clone(), 0)]);
    while let Some((at, depth)) = queue.pop_front() {
        let mut pages = match input.kind {
            _ if down => Pages::dependencies(&at),
            Some(kind) => Pages::dependents_by(&at, kind),
            None => Pages::dependents(&at),
        };
        while let Some(page) = pages.next(view)? {
            let wanted = |kind: DependencyKind| input.kind.map_or(kind.is_acyclic(), |only| only == kind);
            for edge in page.into_iter().filter(|edge| wanted(edge.kind)) {
                let next = if down { edge.on_bead } else { edge.bead };
                if seen.contains(&next) {
                    continue;
                }
                if tree.nodes.len() == limit || depth == depth_max {
                    tree.more = true;
                    break;
                }
                seen.insert(next.clone());
                queue.push_back((next.clone(), depth + 1));
                let bead = view.find_readable::<BeadRow>(&Key::bead(&next))?.map(BeadNode::from);
                let (via, kind, counted) = (at.clone(), edge.kind, edge.counted);
                tree.nodes.push(TreeNode { id: next, depth: depth + 1, via, kind, counted, bead });
            }
            if tree.more && (tree.nodes.len() == limit || depth == depth_max) {
                break;
            }
        }
        if tree.nodes.len() == limit && tree.more {
            break;
        }
    }
    Ok(tree)
}
