//! Convoys: batches that are brought home together.

use std::time::Duration;

use petgraph::algo::kosaraju_scc;
use petgraph::graph::DiGraph;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::beads::{self, BeadRef, NewBead};
use super::txn::ScopedTxn;
use super::view::{View, text};
use super::{effects, graph, ready, reviews, rigs};
use crate::model::{
    BeadId, BeadKind, BeadRow, BeadStatus, ConvoyMode, ConvoyRow, ConvoyState, DependencyKind, DependencyRow, Error,
    FailurePolicy, Key, Oid, Order, Resolution, Result, RigName, Timestamp,
};
use crate::store::{Scan, index};

/// The most tasks slung at once.
pub(crate) const TASKS_MAX: usize = 10_000;

/// A convoy and how far it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Convoy {
    /// Identity.
    pub id: BeadId,
    /// One line.
    pub title: String,
    /// Where.
    pub rig: RigName,
    /// How it is brought home.
    pub mode: ConvoyMode,
    /// What a failed member does.
    pub on_failure: FailurePolicy,
    /// Where it stands.
    pub state: ConvoyState,
    /// Its own branch.
    pub branch: String,
    /// Where it lands.
    pub target: String,
    /// Its members, in the order of their making.
    pub members: Vec<BeadId>,
    /// How many members are in each status; always counted afresh.
    pub progress: Progress,
    /// The commit on the target that brought it in.
    pub landed_oid: Option<Oid>,
    /// When it landed.
    pub landed_at: Option<Timestamp>,
    /// Why it needs attention.
    pub reason: Option<String>,
}

/// Members by status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "each field counts the members in the status of its name")]
pub struct Progress {
    pub open: usize,
    pub in_progress: usize,
    pub in_review: usize,
    pub closed: usize,
    pub failed: usize,
    pub total: usize,
}

/// One task of a convoy to be slung.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Task {
    /// One line.
    pub title: String,
    /// What and why.
    pub description: String,
    /// 0 critical to 4 backlog; 2 where it is left out.
    pub priority: Option<u32>,
    /// Labels.
    pub labels: Vec<String>,
    /// An object of the caller's keys.
    pub metadata: Option<Json>,
    /// The tasks it waits for, by their place in the list, from 0.
    pub depends_on: Vec<usize>,
}

impl Task {
    /// A task that waits for these others.
    pub fn new(title: impl Into<String>, depends_on: impl Into<Vec<usize>>) -> Self {
        Self { title: title.into(), depends_on: depends_on.into(), ..Self::default() }
    }
}

/// Tasks to be made, given to agents and brought home together: all of them or none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlingConvoy {
    /// One line.
    pub title: String,
    /// Where.
    pub rig: RigName,
    /// What is to be done, 1 to 10,000.
    pub tasks: Vec<Task>,
    /// What a failed member does; `block` where it is left out.
    #[serde(default = "block")]
    pub on_failure: FailurePolicy,
}

const fn block() -> FailurePolicy {
    FailurePolicy::Block
}

impl SlingConvoy {
    /// A convoy of these tasks.
    pub fn new(title: impl Into<String>, rig: RigName, tasks: Vec<Task>) -> Self {
        Self { title: title.into(), rig, tasks, on_failure: FailurePolicy::Block }
    }
}

/// Makes the tasks with their edges and the convoy, and wants them run.
pub(crate) fn sling(txn: &mut ScopedTxn<'_>, input: &SlingConvoy) -> Result<Convoy> {
    let ranks = check_tasks(&input.tasks)?;
    let rig = rigs::row(txn.view(), &input.rig)?;
    let bead = NewBead { rig: Some(rig.name.clone()), ..NewBead::titled(&input.title) };
    let mut bead = beads::insert(txn, BeadKind::Convoy, &bead, None)?;
    bead.move_to(BeadStatus::InProgress, None, txn.now())?;
    let id = bead.id.clone();
    txn.put_bead(bead)?;
    let convoy = ConvoyRow {
        id: id.clone(),
        rig: rig.name.clone(),
        mode: ConvoyMode::ReviewThenLand,
        on_failure: input.on_failure,
        state: ConvoyState::Active,
        branch: format!("gt/convoy/{id}"),
        target: rig.target.clone(),
        base: None,
        head: None,
        landed_oid: None,
        landed_at: None,
        reason: None,
    };
    txn.put(convoy.clone())?;
    let mut members = Vec::with_capacity(input.tasks.len());
    for (nth, task) in (0..).zip(&input.tasks) {
        let new = NewBead {
            rig: Some(rig.name.clone()),
            description: task.description.clone(),
            priority: task.priority.unwrap_or(2),
            labels: task.labels.clone(),
            metadata: task.metadata.clone().unwrap_or_else(|| json!({})),
            ..NewBead::titled(&task.title)
        };
        let mut bead = beads::insert(txn, BeadKind::Issue, &new, Some(&id))
            .map_err(|error| error.within(format_args!("tasks[{nth}]")))?;
        // One after another, so that lists and agents take them in the order they were given in.
        bead.created_at = txn.now().after(Duration::from_micros(nth));
        bead.slung = true;
        // In the order of waiting, so that none of the edges below has to look for a circle.
        bead.rank = txn.now().as_micros() + ranks[members.len()];
        let member = bead.id.clone();
        txn.put_bead(bead)?;
        txn.event("bead.created", &member, json!({ "kind": BeadKind::Issue, "title": task.title }));
        members.push(member);
    }
    for (member, task) in members.iter().zip(&input.tasks) {
        graph::add_edge(txn, &id, member, DependencyKind::Tracks)?;
        for &on in &task.depends_on {
            graph::add_edge(txn, member, &members[on], DependencyKind::Blocks)?;
        }
    }
    let order = Order::Branch {
        convoy: id.clone(),
        rig: rig.name,
        branch: convoy.branch.clone(),
        from: convoy.target.clone(),
        holds: None,
    };
    effects::enqueue(txn, &order, 1)?;
    txn.event("convoy.slung", &id, json!({ "title": input.title, "members": members }));
    get(txn.view(), &BeadRef { id })
}

/// Refuses what cannot be a batch: no tasks, too many, unknown places, circles. Answers each task's place in an order
/// in which every one comes behind those it waits for.
fn check_tasks(tasks: &[Task]) -> Result<Vec<i64>> {
    if tasks.is_empty() || tasks.len() > TASKS_MAX {
        return Err(Error::invalid("task_count", format!("a convoy has 1 to {TASKS_MAX} tasks, not {}", tasks.len()))
            .with("found", tasks.len()));
    }
    let mut edges = DiGraph::<usize, ()>::new();
    let nodes: Vec<_> = (0..tasks.len()).map(|at| edges.add_node(at)).collect();
    for (at, task) in tasks.iter().enumerate() {
        for &on in &task.depends_on {
            let Some(&other) = nodes.get(on) else {
                return Err(Error::invalid(
                    "task_unknown",
                    format!("task {at} waits for task {on}, but there are only {}", tasks.len()),
                )
                .with("task", at)
                .with("depends_on", on)
                .with("tasks", tasks.len()));
            };
            edges.add_edge(nodes[at], other, ());
        }
    }
    // Those that others wait for come first.
    let groups = kosaraju_scc(&edges);
    let circle = groups
        .iter()
        .find(|group| group.len() > 1 || edges.contains_edge(group[0], group[0]))
        .map(|group| walk_circle(&edges, group));
    let Some(circle) = circle else {
        let mut places = vec![0; tasks.len()];
        for (place, group) in (0..).zip(groups) {
            places[group[0].index()] = place;
        }
        return Ok(places);
    };
    let shown = circle.iter().map(|at| format!("{at} {:?}", tasks[*at].title)).collect::<Vec<_>>().join(" -> ");
    Err(Error::invalid("cycle", format!("the tasks wait for each other in a circle: {shown}")).with("cycle", shown))
}

/// One circle through a strongly connected group, closed at its end.
pub(crate) fn walk_circle(edges: &DiGraph<usize, ()>, group: &[petgraph::graph::NodeIndex]) -> Vec<usize> {
    let mut way = vec![group[0]];
    loop {
        let last = way[way.len() - 1];
        let next = edges
            .neighbors(last)
            .find(|next| group.contains(next))
            .expect("each node of a strongly connected group has a successor in it");
        if let Some(start) = way.iter().position(|seen| *seen == next) {
            return way[start..].iter().chain([&next]).map(|node| edges[*node]).collect();
        }
        way.push(next);
    }
}

pub(crate) fn row(view: View<'_>, id: &BeadId) -> Result<ConvoyRow> {
    view.find(&Key::convoy(id))?
        .ok_or_else(|| Error::not_found("convoy_missing", format!("there is no convoy {id}")).with("convoy", id))
}

pub(crate) fn get(view: View<'_>, input: &BeadRef) -> Result<Convoy> {
    let row = row(view, &input.id)?;
    let bead = view.bead(&input.id)?;
    let mut members = members(view, &row.id)?;
    members.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
    let mut progress = Progress { total: members.len(), ..Progress::default() };
    for member in &members {
        *match member.status {
            BeadStatus::Open => &mut progress.open,
            BeadStatus::InProgress => &mut progress.in_progress,
            BeadStatus::InReview => &mut progress.in_review,
            BeadStatus::Closed => &mut progress.closed,
            BeadStatus::Failed => &mut progress.failed,
        } += 1;
    }
    Ok(Convoy {
        id: row.id,
        title: bead.title,
        rig: row.rig,
        mode: row.mode,
        on_failure: row.on_failure,
        state: row.state,
        branch: row.branch,
        target: row.target,
        members: members.into_iter().map(|m| m.id).collect(),
        progress,
        landed_oid: row.landed_oid,
        landed_at: row.landed_at,
        reason: row.reason,
    })
}

fn members(view: View<'_>, id: &BeadId) -> Result<Vec<BeadRow>> {
    view.all(Scan::new(&index::BEADS_BY_CONVOY, vec![text(id)], 0))
}

/// Convoys, by id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConvoyList {
    /// The convoys.
    pub convoys: Vec<Convoy>,
}

pub(crate) fn list(view: View<'_>, _: &rigs::All) -> Result<ConvoyList> {
    let rows: Vec<ConvoyRow> = view.scan(Scan::new(&index::CONVOYS, vec![], ready::PAGE_MAX))?;
    let convoys = rows.into_iter().map(|row| get(view, &BeadRef { id: row.id })).collect::<Result<_>>()?;
    Ok(ConvoyList { convoys })
}

/// The convoy's branch is at the remote.
pub(crate) fn branched(txn: &mut ScopedTxn<'_>, id: &BeadId, oid: &Oid) -> Result<()> {
    let mut convoy = row(txn.view(), id)?;
    if convoy.state == ConvoyState::ReadyToLand {
        convoy.head = Some(oid.clone());
        return land(txn, convoy, oid);
    }
    if convoy.base.is_some() {
        return Ok(());
    }
    convoy.base = Some(oid.clone());
    convoy.head = Some(oid.clone());
    txn.put(convoy)?;
    txn.mark_dirty(id)?;
    txn.event("convoy.branched", id, json!({ "base": oid }));
    Ok(())
}

/// A member's work came into the convoy's branch.
pub(crate) fn member_merged(txn: &mut ScopedTxn<'_>, id: &BeadId, head: &Oid) -> Result<()> {
    let mut convoy = row(txn.view(), id)?;
    convoy.head = Some(head.clone());
    txn.put(convoy)
}

/// A member failed: those that wait for it follow the convoy's policy.
pub(crate) fn member_failed(txn: &mut ScopedTxn<'_>, id: &BeadId, failed: &BeadId) -> Result<()> {
    if row(txn.view(), id)?.on_failure != FailurePolicy::Skip {
        return Ok(());
    }
    let mut waiting = vec![failed.clone()];
    while let Some(blocker) = waiting.pop() {
        let edges: Vec<DependencyRow> = txn.all(Scan::new(&index::DEPENDENTS, vec![text(&blocker)], 0))?;
        for edge in edges.into_iter().filter(|edge| edge.kind == DependencyKind::Blocks) {
            let bead = txn.bead(&edge.bead)?;
            if bead.convoy.as_ref() == Some(id) && bead.status == BeadStatus::Open {
                waiting.push(bead.id.clone());
                let data = json!({ "resolution": Resolution::Skipped, "because_of": failed });
                beads::settle(txn, bead, BeadStatus::Closed, Resolution::Skipped, data)?;
            }
        }
    }
    Ok(())
}

/// Derives where a convoy stands from its members and does what follows.
pub(crate) fn derive(txn: &mut ScopedTxn<'_>, id: &BeadId) -> Result<()> {
    let mut convoy = row(txn.view(), id)?;
    if !matches!(convoy.state, ConvoyState::Active | ConvoyState::NeedsAttention) || convoy.base.is_none() {
        return Ok(());
    }
    let members = members(txn.view(), id)?;
    if let Some(reason) = stopped_by(&convoy, &members) {
        return needs_attention(txn, id, &reason);
    }
    if !members.iter().all(|member| member.status.is_terminal()) {
        if convoy.state == ConvoyState::NeedsAttention
            && convoy.reason.as_deref().is_some_and(|r| r.starts_with(FAILED) || r.starts_with(PARKED))
        {
            convoy.state = ConvoyState::Active;
            convoy.reason = None;
            txn.put(convoy)?;
            txn.event("convoy.active", id, json!({}));
        }
        return Ok(());
    }
    if convoy.state == ConvoyState::NeedsAttention
        && !convoy.reason.as_deref().is_some_and(|r| r.starts_with(FAILED) || r.starts_with(PARKED))
    {
        return Ok(());
    }
    let Some(head) = convoy.head.clone().filter(|head| convoy.base.as_ref() != Some(head)) else {
        // Nothing to bring home: all members were closed without a change.
        let base = convoy.base.clone().expect("checked above");
        return landed(txn, id, &base);
    };
    convoy.state = ConvoyState::ReadyToLand;
    txn.put(convoy.clone())?;
    txn.event("convoy.ready_to_land", id, json!({ "head": head }));
    land(txn, convoy, &head)
}

/// How the reason begins of a convoy that a failed member stops.
const FAILED: &str = "failed: ";
/// How the reason begins of a convoy that a parked member stops.
const PARKED: &str = "parked: ";

/// The members that somebody must decide about before the convoy can go on, in words.
fn stopped_by(convoy: &ConvoyRow, members: &[BeadRow]) -> Option<String> {
    let failed: Vec<&str> = members.iter().filter(|m| m.status == BeadStatus::Failed).map(|m| m.id.as_str()).collect();
    if !failed.is_empty() && convoy.on_failure == FailurePolicy::Block {
        return Some(format!("{FAILED}{}", failed.join(", ")));
    }
    let parked: Vec<String> = members
        .iter()
        .filter(|m| m.status == BeadStatus::Open && m.parked_until.is_none())
        .filter_map(|m| Some(format!("{} ({})", m.id, m.parked_reason.as_ref()?)))
        .collect();
    (!parked.is_empty()).then(|| format!("{PARKED}{}", parked.join(", ")))
}

/// Puts the convoy's branch in the target's queue.
fn land(txn: &mut ScopedTxn<'_>, mut convoy: ConvoyRow, head: &Oid) -> Result<()> {
    convoy.state = ConvoyState::Landing;
    convoy.reason = None;
    txn.put(convoy.clone())?;
    let mut bead = txn.bead(&convoy.id)?;
    if bead.status == BeadStatus::InProgress {
        bead.move_to(BeadStatus::InReview, None, txn.now())?;
        txn.put_bead(bead)?;
    }
    reviews::submit_convoy(txn, &convoy, head)?;
    txn.event("convoy.landing", &convoy.id, json!({ "head": head }));
    Ok(())
}

/// Tries again to land a convoy that needs attention although all its members are done, or to make its branch.
pub(crate) fn retry_landing(txn: &mut ScopedTxn<'_>, input: &BeadRef) -> Result<Convoy> {
    let convoy = row(txn.view(), &input.id)?;
    let members = members(txn.view(), &input.id)?;
    if convoy.state == ConvoyState::NeedsAttention && convoy.base.is_none() {
        return want_branch(txn, convoy, ConvoyState::Active);
    }
    let blocks = convoy.on_failure == FailurePolicy::Block;
    let is_done = |status: BeadStatus| status == BeadStatus::Closed || (status == BeadStatus::Failed && !blocks);
    let unfinished = members.iter().filter(|member| !is_done(member.status)).count();
    if convoy.state != ConvoyState::NeedsAttention || unfinished > 0 {
        return Err(Error::conflict(
            "convoy_not_landable",
            format!("convoy {} is {} with {unfinished} members not closed", convoy.id, convoy.state),
        )
        .with("convoy", &convoy.id)
        .with("state", convoy.state)
        .with("unfinished", unfinished));
    }
    // Somebody may have mended the branch at the remote: what it holds now is what lands.
    want_branch(txn, convoy, ConvoyState::ReadyToLand)
}

/// Wants the convoy's branch made, or its tip found, once more.
fn want_branch(txn: &mut ScopedTxn<'_>, mut convoy: ConvoyRow, state: ConvoyState) -> Result<Convoy> {
    let id = convoy.id.clone();
    let order = Order::Branch {
        convoy: id.clone(),
        rig: convoy.rig.clone(),
        branch: convoy.branch.clone(),
        from: convoy.target.clone(),
        holds: convoy.head.clone(),
    };
    convoy.state = state;
    convoy.reason = None;
    txn.put(convoy)?;
    effects::enqueue_again(txn, &order)?;
    txn.event(&format!("convoy.{state}"), &id, json!({ "again": true }));
    get(txn.view(), &BeadRef { id })
}

/// The target holds the convoy's work.
pub(crate) fn landed(txn: &mut ScopedTxn<'_>, id: &BeadId, commit: &Oid) -> Result<()> {
    let mut convoy = row(txn.view(), id)?;
    let now = txn.now();
    convoy.state = ConvoyState::Landed;
    convoy.landed_oid = Some(commit.clone());
    convoy.landed_at = Some(now);
    convoy.reason = None;
    txn.put(convoy)?;
    for before in members(txn.view(), id)? {
        if before.resolution == Some(Resolution::Merged) {
            // What became of the others may have reached it.
            let mut member = txn.bead(&before.id)?;
            let before = graph::Before::of(&member);
            member.move_to(BeadStatus::Closed, Some(Resolution::Landed), now)?;
            graph::put_moved(txn, before, member)?;
        }
    }
    let mut bead = txn.bead(id)?;
    let before = graph::Before::of(&bead);
    bead.move_to(BeadStatus::Closed, Some(Resolution::Landed), now)?;
    graph::put_moved(txn, before, bead)?;
    txn.event("convoy.landed", id, json!({ "commit": commit }));
    Ok(())
}

/// Somebody must decide.
pub(crate) fn needs_attention(txn: &mut ScopedTxn<'_>, id: &BeadId, reason: &str) -> Result<()> {
    let mut convoy = row(txn.view(), id)?;
    if convoy.state == ConvoyState::NeedsAttention && convoy.reason.as_deref() == Some(reason) {
        return Ok(());
    }
    convoy.state = ConvoyState::NeedsAttention;
    convoy.reason = Some(reason.to_owned());
    txn.put(convoy)?;
    txn.event("convoy.needs_attention", id, json!({ "reason": reason }));
    Ok(())
}
