//! The open work as a plan: levels, the critical path, slack, and what would unblock most.

use std::collections::HashMap;

use petgraph::Direction::{Incoming, Outgoing};
use petgraph::algo::toposort;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::{EdgeRef as _, VisitMap as _, Visitable as _};
use serde::{Deserialize, Serialize};

use super::Pages;
use super::tree::{check_limit, stale_cursor};
use crate::model::{BeadId, BeadKind, BeadRow, BeadStatus, DependencyKind, Error, Result, RigName};
use crate::store::{Scan, index};
use crate::work::view::{View, text};

/// The most open beads of one plan.
const BEADS_MAX: usize = 100_000;
/// The most edges of one plan.
const EDGES_MAX: usize = 1_000_000;
/// What a bead without an estimate is taken for, in minutes.
const ESTIMATE_MINUTES: u32 = 60;
/// How many beads are named that would unblock most.
const UNBLOCKS_MAX: usize = 10;
/// Of how many everything behind them is counted.
const COUNTED_MAX: usize = 50;

/// Which work to plan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PlanOf {
    /// Of this rig.
    pub rig: Option<RigName>,
    /// Of this convoy.
    pub convoy: Option<BeadId>,
    /// The parts of this bead, to any depth.
    pub parent: Option<BeadId>,
    /// What a bead without an estimate is taken for, in minutes; 60 where it is left out.
    pub estimate_minutes: Option<u32>,
    /// At most so many of the beads, 1 to 1000; 50 where it is left out. The rest of the plan is of all of them.
    pub limit: Option<usize>,
    /// Go on behind an earlier page.
    pub cursor: Option<String>,
}

/// One bead of a plan; times are minutes from now, were each begun as soon as it can be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedBead {
    /// Which.
    pub id: BeadId,
    /// How many beads are one behind the other before it.
    pub level: usize,
    /// What it is taken for.
    pub minutes: u64,
    /// When it could be begun.
    pub start: u64,
    /// How much later it may be begun with the whole ending no later.
    pub slack: u64,
}

/// A bead that others wait for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unblocks {
    /// Which.
    pub id: BeadId,
    /// How many become free at once when it is done.
    pub frees: usize,
    /// How many wait for it, directly or not.
    pub behind: usize,
}

/// A plan of open work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// How many beads it is of.
    pub count: usize,
    /// How many of them are on each level: what could be done side by side.
    pub widths: Vec<usize>,
    /// How long it takes at the least, in minutes.
    pub minutes: u64,
    /// The beads that make it that long, one behind the other.
    pub critical_path: Vec<BeadId>,
    /// The ten that would unblock most.
    pub unblocks: Vec<Unblocks>,
    /// Some of the beads, each behind everything that it waits for.
    pub beads: Vec<PlannedBead>,
    /// Where the next of them begin; none at the end.
    pub cursor: Option<String>,
}

/// How a bead waits for another.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wait {
    /// It begins when the other is done.
    Behind,
    /// It begins when the other may begin: the other is its parent.
    With,
}

/// Plans the issues that are not closed or failed.
///
/// # Errors
/// `graph_too_large` beyond 100,000 of them or a million edges.
pub(crate) fn plan(view: View<'_>, input: &PlanOf) -> Result<Plan> {
    let limit = check_limit(input.limit)?;
    let from = match &input.cursor {
        Some(cursor) => cursor.parse().map_err(|_| stale_cursor(cursor))?,
        None => 0,
    };
    let work = Work::read(view, input)?;
    let order = toposort(&work.graph, None)
        .map_err(|_| Error::corrupt("graph_circular", "stored edges that count wait for each other in a circle"))?;
    let times = work.times(&order);
    let mut widths = Vec::new();
    for node in &order {
        let level = times.levels[node.index()];
        widths.resize(widths.len().max(level + 1), 0);
        widths[level] += 1;
    }
    let planned = |node: &NodeIndex| {
        let (bead, at) = (&work.graph[*node], node.index());
        let (level, start, slack) = (times.levels[at], times.starts[at], times.latest[at] - times.starts[at]);
        PlannedBead { id: bead.id.clone(), level, minutes: bead.minutes, start, slack }
    };
    let beads: Vec<PlannedBead> = order.iter().skip(from).take(limit).map(planned).collect();
    let next = from.saturating_add(beads.len());
    Ok(Plan {
        count: order.len(),
        widths,
        minutes: times.minutes,
        critical_path: work.critical_path(&times),
        unblocks: work.unblocks(),
        beads,
        cursor: (next < order.len()).then(|| next.to_string()),
    })
}

struct Planned {
    id: BeadId,
    minutes: u64,
    blockers: i64,
}

/// The open beads; an edge leads from what is waited for to who waits.
struct Work {
    graph: DiGraph<Planned, Wait>,
}

struct Times {
    levels: Vec<usize>,
    starts: Vec<u64>,
    latest: Vec<u64>,
    minutes: u64,
}

impl Work {
    fn read(view: View<'_>, input: &PlanOf) -> Result<Self> {
        let mut graph = DiGraph::new();
        let mut nodes = HashMap::new();
        let estimate = input.estimate_minutes.unwrap_or(ESTIMATE_MINUTES);
        let mut too_large = false;
        let mut add = |row: BeadRow| {
            let fits = row.kind == BeadKind::Issue
                && !row.status.is_terminal()
                && input.rig.as_ref().is_none_or(|rig| row.rig.as_ref() == Some(rig))
                && input.convoy.as_ref().is_none_or(|convoy| row.convoy.as_ref() == Some(convoy));
            if fits {
                let minutes = u64::from(row.estimate_minutes.unwrap_or(estimate));
                let node = graph.add_node(Planned { id: row.id.clone(), minutes, blockers: row.blockers });
                nodes.insert(row.id, (node, row.parent));
            }
            too_large = nodes.len() > BEADS_MAX;
            !too_large
        };
        match (&input.parent, &input.convoy) {
            (Some(parent), _) => {
                view.bead(parent)?;
                each_part(view, parent, &mut add)?;
            }
            (None, Some(convoy)) => {
                let scan = Scan::new(&index::BEADS_BY_CONVOY, vec![text(convoy)], 0);
                view.walk::<BeadRow>(scan, |row| Ok(add(row)))?;
            }
            (None, None) => {
                for status in [BeadStatus::Open, BeadStatus::InProgress, BeadStatus::InReview] {
                    let prefix = vec![text(BeadKind::Issue.as_str()), text(status.as_str())];
                    view.walk::<BeadRow>(Scan::new(&index::BEADS_BY_STATUS, prefix, 0), |row| Ok(add(row)))?;
                }
            }
        }
        if too_large {
            return Err(graph_too_large());
        }
        let mut parts: HashMap<&BeadId, Vec<NodeIndex>> = HashMap::new();
        for (node, parent) in nodes.values() {
            if let Some(parent) = parent {
                parts.entry(parent).or_default().push(*node);
            }
        }
        for (id, (waiter, _)) in &nodes {
            if graph[*waiter].blockers == 0 {
                continue;
            }
            let mut pages = Pages::dependencies(id);
            while let Some(page) = pages.next(view)? {
                for edge in page.into_iter().filter(|edge| edge.counted) {
                    let on = nodes.get(&edge.on_bead).map(|(node, _)| *node);
                    match edge.kind {
                        DependencyKind::WaitsFor => {
                            for part in parts.get(&edge.on_bead).into_iter().flatten() {
                                graph.add_edge(*part, *waiter, Wait::Behind);
                            }
                        }
                        DependencyKind::ParentChild => {
                            on.map(|on| graph.add_edge(on, *waiter, Wait::With));
                        }
                        _ => {
                            on.map(|on| graph.add_edge(on, *waiter, Wait::Behind));
                        }
                    }
                    if graph.edge_count() > EDGES_MAX {
                        return Err(graph_too_large());
                    }
                }
            }
        }
        Ok(Self { graph })
    }

    fn times(&self, order: &[NodeIndex]) -> Times {
        let count = self.graph.node_count();
        let (mut levels, mut starts) = (vec![0; count], vec![0; count]);
        let mut minutes = 0;
        for node in order {
            let at = node.index();
            for edge in self.graph.edges_directed(*node, Incoming) {
                let before = edge.source();
                let (steps, takes) = match edge.weight() {
                    Wait::Behind => (1, self.graph[before].minutes),
                    Wait::With => (0, 0),
                };
                levels[at] = levels[at].max(levels[before.index()] + steps);
                starts[at] = starts[at].max(starts[before.index()] + takes);
            }
            minutes = minutes.max(starts[at] + self.graph[*node].minutes);
        }
        let mut latest = vec![0; count];
        for node in order.iter().rev() {
            let takes = self.graph[*node].minutes;
            let behind = self.graph.edges_directed(*node, Outgoing).map(|edge| {
                let start: u64 = latest[edge.target().index()];
                if *edge.weight() == Wait::Behind { start - takes } else { start }
            });
            latest[node.index()] = behind.min().unwrap_or(minutes).min(minutes - takes);
        }
        Times { levels, starts, latest, minutes }
    }

    /// From the bead that is done last back to one that waits for nothing.
    fn critical_path(&self, times: &Times) -> Vec<BeadId> {
        let end = |node: NodeIndex| times.starts[node.index()] + self.graph[node].minutes;
        let mut at = self.graph.node_indices().max_by_key(|node| (end(*node), std::cmp::Reverse(node.index())));
        let mut path = Vec::new();
        while let Some(node) = at {
            path.push(self.graph[node].id.clone());
            let start = times.starts[node.index()];
            let holds = |edge: &petgraph::graph::EdgeReference<'_, Wait>| match edge.weight() {
                Wait::Behind => end(edge.source()) == start,
                Wait::With => times.starts[edge.source().index()] == start && start > 0,
            };
            let edges = self.graph.edges_directed(node, Incoming).filter(holds);
            at = edges.map(|edge| edge.source()).min_by_key(|node| node.index());
        }
        path.reverse();
        path
    }

    fn unblocks(&self) -> Vec<Unblocks> {
        let direct = |node: NodeIndex| {
            let behind = self.graph.edges_directed(node, Outgoing).filter(|edge| *edge.weight() == Wait::Behind);
            let (mut frees, mut waiting) = (0, 0);
            for edge in behind {
                waiting += 1;
                frees += usize::from(self.graph[edge.target()].blockers == 1);
            }
            (frees, waiting)
        };
        let mut nodes: Vec<_> = self.graph.node_indices().map(|node| (direct(node), node)).collect();
        nodes.retain(|((_, waiting), _)| *waiting > 0);
        nodes.sort_unstable_by_key(|((frees, waiting), node)| (std::cmp::Reverse((*frees, *waiting)), node.index()));
        nodes.truncate(COUNTED_MAX);
        let mut found: Vec<Unblocks> = nodes
            .into_iter()
            .map(|((frees, _), node)| Unblocks { id: self.graph[node].id.clone(), frees, behind: self.behind(node) })
            .collect();
        found.sort_by(|a, b| (b.frees, b.behind, &a.id).cmp(&(a.frees, a.behind, &b.id)));
        found.truncate(UNBLOCKS_MAX);
        found
    }

    fn behind(&self, from: NodeIndex) -> usize {
        let mut seen = self.graph.visit_map();
        let mut waiting = vec![from];
        seen.visit(from);
        let mut count = 0;
        while let Some(node) = waiting.pop() {
            for next in self.graph.neighbors_directed(node, Outgoing) {
                if seen.visit(next) {
                    count += 1;
                    waiting.push(next);
                }
            }
        }
        count
    }
}

fn graph_too_large() -> Error {
    let said = "a plan is of fewer open beads and edges; ask for those of one rig, convoy or parent";
    Error::exhausted("graph_too_large", said).with("beads_max", BEADS_MAX).with("edges_max", EDGES_MAX)
}

/// Visits the parts of a bead and theirs until one is refused.
fn each_part(view: View<'_>, of: &BeadId, visit: &mut impl FnMut(BeadRow) -> bool) -> Result<()> {
    let mut open = vec![of.clone()];
    let mut goes_on = true;
    while let Some(parent) = open.pop().filter(|_| goes_on) {
        view.walk::<BeadRow>(Scan::new(&index::BEADS_BY_PARENT, vec![text(&parent)], 0), |row| {
            if row.parts > 0 {
                open.push(row.id.clone());
            }
            goes_on = visit(row);
            Ok(goes_on)
        })?;
    }
    Ok(())
}
