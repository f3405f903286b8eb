//! Bringing the rows of an older town to the present form, after its tables have the present columns.
//!
//! Done in batches, each a journaled command of its own, before anything else is done with the town. Every batch writes what
//! follows from other rows and nothing that it wrote before, so it may be killed anywhere, begin anew, and run in several
//! processes at once.

use std::collections::HashMap;
use std::sync::Arc;

use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};
use serde_json::json;

use super::graph;
use super::txn::ScopedTxn;
use super::view::{View, text};
use crate::model::{
    BeadId, BeadRow, BeadStatus, DependencyKind, DependencyRow, Error, Key, LabelRow, Result, TownId, TownRow,
};
use crate::store::{Position, Scan, index};

/// The form that this build reads and writes; a new town has it.
pub(crate) const DATA_SCHEMA: i64 = 5;

/// The form since which each bead has its labels, its counts, and its place above the parts of what it waits for.
const COUNTED: i64 = 5;

/// The most beads of one batch.
const BATCH: usize = 500;

/// How far the rows of a town are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Upgrade {
    stage: Stage,
    after: Option<Position>,
    /// The place of each bead in an order in which it stands above whatever it waits for.
    ranks: Arc<HashMap<BeadId, i64>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// Each bead's labels, and its parent beside the edge that says so.
    #[default]
    Fields,
    /// Edges that were legal and are not: who waited for a bead waits for its parts now.
    Circles,
    /// Each bead's place in the order, and the number of its parts.
    Ranks,
    /// What blocks each bead.
    Blockers,
    /// Each slung bead's place among those that wait for an agent.
    Queues,
    /// The town's own row.
    Town,
}

impl Upgrade {
    /// Does one batch; answers how to go on, none where nothing is left to be done.
    pub(crate) fn step(mut self, txn: &mut ScopedTxn<'_>, town: &TownId) -> Result<Option<Self>> {
        let Some(mut row) = txn.find::<TownRow>(&Key::town(town))? else { return Ok(None) };
        if row.data_schema >= DATA_SCHEMA {
            return Ok(None);
        }
        match self.stage {
            Stage::Fields if row.data_schema >= COUNTED => self.stage = Stage::Queues,
            Stage::Fields => self.each(txn, Stage::Circles, fields)?,
            Stage::Circles => {
                if let Some(ranks) = order(txn)? {
                    self.ranks = Arc::new(ranks);
                    self.stage = Stage::Ranks;
                }
            }
            Stage::Ranks => {
                let ranks = Arc::clone(&self.ranks);
                self.each(txn, Stage::Blockers, |txn, bead| rank(txn, bead, &ranks))?;
            }
            Stage::Blockers => self.each(txn, Stage::Queues, blockers)?,
            Stage::Queues => self.each(txn, Stage::Town, queue)?,
            Stage::Town => {
                let from = row.data_schema;
                row.data_schema = DATA_SCHEMA;
                txn.put(row)?;
                txn.event("town.upgraded", town, json!({ "from": from, "to": DATA_SCHEMA }));
                return Ok(None);
            }
        }
        Ok(Some(self))
    }

    /// Does it with the next beads, in the order of their ids.
    fn each(
        &mut self,
        txn: &mut ScopedTxn<'_>,
        next: Stage,
        mut work: impl FnMut(&mut ScopedTxn<'_>, &BeadRow) -> Result<()>,
    ) -> Result<()> {
        let scan = Scan::new(&index::BEADS, vec![], BATCH).after(self.after.take());
        let beads: Vec<BeadRow> = txn.scan(scan)?;
        if beads.len() == BATCH {
            self.after = beads.last().map(|last| Position(vec![text(&last.id)]));
        } else {
            self.stage = next;
        }
        beads.iter().try_for_each(|bead| work(txn, bead))
    }
}

fn fields(txn: &mut ScopedTxn<'_>, bead: &BeadRow) -> Result<()> {
    let labels: Vec<LabelRow> = txn.all(Scan::new(&index::LABELS, vec![text(&bead.id)], 0))?;
    let labels: Vec<String> = labels.into_iter().map(|row| row.label).collect();
    if labels != bead.labels {
        txn.put(BeadRow { labels, ..bead.clone() })?;
    }
    graph::heal_parent(txn, &bead.id)
}

/// The order of waiting; none where an edge had to be taken out of it first.
fn order(txn: &mut ScopedTxn<'_>) -> Result<Option<HashMap<BeadId, i64>>> {
    let Waits { graph, nodes, edges } = Waits::read(txn.view())?;
    let groups = kosaraju_scc(&graph);
    let mut group_of = vec![0; graph.node_count()];
    for (at, group) in groups.iter().enumerate().filter(|(_, group)| group.len() > 1) {
        for node in group {
            group_of[node.index()] = at + 1;
        }
    }
    let in_circle: Vec<_> = edges
        .into_iter()
        .filter(|(from, to, _)| group_of[from.index()] > 0 && group_of[from.index()] == group_of[to.index()])
        .collect();
    if in_circle.is_empty() {
        let mut places = vec![0; graph.node_count()];
        // Each group comes behind those that it waits for.
        for (place, group) in (1..).zip(&groups) {
            for node in group {
                places[node.index()] = place;
            }
        }
        return Ok(Some(nodes.into_iter().map(|(id, node)| (id, places[node.index()])).collect()));
    }
    // Those that wait for parts are the new meaning; only where none is in a circle, others go, and what is a part of what
    // last of all.
    let last = |kind: DependencyKind| match kind {
        DependencyKind::WaitsFor => 0,
        DependencyKind::ParentChild => 2,
        _ => 1,
    };
    let first = in_circle.iter().map(|(.., key)| last(key.2)).min();
    for (.., (bead, on, kind)) in in_circle {
        if Some(last(kind)) == first {
            graph::set_aside(txn, &bead, &on, kind)?;
        }
    }
    Ok(None)
}

type EdgeKey = (BeadId, BeadId, DependencyKind);

/// Who waits for whom, whole and in memory: some hundred bytes for each bead and edge.
struct Waits {
    graph: DiGraph<(), ()>,
    nodes: HashMap<BeadId, NodeIndex>,
    edges: Vec<(NodeIndex, NodeIndex, EdgeKey)>,
}

impl Waits {
    fn read(view: View<'_>) -> Result<Self> {
        let (mut graph, mut nodes, mut edges) = (DiGraph::new(), HashMap::new(), Vec::new());
        view.walk::<BeadRow>(Scan::new(&index::BEADS, vec![], 0), |bead| {
            nodes.insert(bead.id, graph.add_node(()));
            Ok(true)
        })?;
        // The parts of a bead together, and theirs.
        let mut gates: HashMap<BeadId, NodeIndex> = HashMap::new();
        view.walk::<DependencyRow>(Scan::new(&index::DEPENDENCIES_ALL, vec![], 0), |edge| {
            if !edge.kind.is_acyclic() || graph::is_idle(&edge) {
                return Ok(true);
            }
            let (Some(&bead), Some(&on)) = (nodes.get(&edge.bead), nodes.get(&edge.on_bead)) else { return Ok(true) };
            let mut parts_of = |graph: &mut DiGraph<(), ()>, of: &BeadId| {
                *gates.entry(of.clone()).or_insert_with(|| graph.add_node(()))
            };
            let parts = parts_of(&mut graph, &edge.on_bead);
            let to = match edge.kind {
                DependencyKind::WaitsFor => parts,
                DependencyKind::ParentChild => {
                    let own = parts_of(&mut graph, &edge.bead);
                    graph.add_edge(parts, bead, ());
                    graph.add_edge(parts, own, ());
                    on
                }
                // What is waited for is closed after its parts.
                _ => {
                    graph.add_edge(bead, parts, ());
                    on
                }
            };
            graph.add_edge(bead, to, ());
            edges.push((bead, to, (edge.bead, edge.on_bead, edge.kind)));
            Ok(true)
        })?;
        Ok(Self { graph, nodes, edges })
    }
}

fn rank(txn: &mut ScopedTxn<'_>, bead: &BeadRow, ranks: &HashMap<BeadId, i64>) -> Result<()> {
    let rank = ranks.get(&bead.id).copied().ok_or_else(|| {
        Error::conflict("town_upgrading", "somebody changed the town while it was upgraded").with("bead", &bead.id)
    })?;
    let (parts, open_parts) = graph::count_parts(txn.view(), &bead.id)?;
    if (rank, parts, open_parts) != (bead.rank, bead.parts, bead.open_parts) {
        txn.put(BeadRow { rank, parts, open_parts, ..bead.clone() })?;
    }
    Ok(())
}

fn blockers(txn: &mut ScopedTxn<'_>, bead: &BeadRow) -> Result<()> {
    // One that came before it in the batch may have changed it.
    let mut row = txn.bead(&bead.id)?;
    if row.status != BeadStatus::Closed {
        graph::recount(txn, &mut row)?;
    }
    Ok(())
}

/// Writing a slung bead gives it its place.
fn queue(txn: &mut ScopedTxn<'_>, bead: &BeadRow) -> Result<()> {
    if bead.slung && (bead.slung_at.is_none() || bead.lane != bead.lane()) {
        txn.put(bead.clone())?;
    }
    Ok(())
}
