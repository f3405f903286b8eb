//! Merge requests: from a session's commits to a commit on the target.

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::beads::{self, BeadRef, NewBead};
use super::ready::PAGE_MAX;
use super::txn::ScopedTxn;
use super::view::{View, text};
use super::{convoys, drain, effects, graph, outcome, settings};
use crate::model::value::ColumnValue as _;
use crate::model::{
    BeadId, BeadKind, BeadRow, BeadStatus, ConvoyRow, DependencyKind, Error, Key, MergeRequestRow, Oid, Order,
    Resolution, Result, ReviewState, RigName, SessionId, SessionRow, Timestamp,
};
use crate::mutant::{self, Mutant};
use crate::store::{Scan, index};

/// A merge request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the fields are those of MergeRequestRow, documented there")]
pub struct Review {
    pub id: BeadId,
    pub source: BeadId,
    pub rig: RigName,
    pub session: Option<SessionId>,
    pub branch: String,
    pub target: String,
    pub head: Oid,
    pub state: ReviewState,
    pub published: bool,
    pub target_oid: Option<Oid>,
    pub merge_oid: Option<Oid>,
    pub landed_oid: Option<Oid>,
    pub attempts: u32,
    pub problem: Option<Json>,
    pub created_at: Timestamp,
}

impl From<MergeRequestRow> for Review {
    fn from(row: MergeRequestRow) -> Self {
        Self {
            id: row.id,
            source: row.source,
            rig: row.rig,
            session: row.session,
            branch: row.branch,
            target: row.target,
            head: row.head,
            state: row.state,
            published: row.published,
            target_oid: row.target_oid,
            merge_oid: row.merge_oid,
            landed_oid: row.landed_oid,
            attempts: row.attempts,
            problem: row.problem,
            created_at: row.created_at,
        }
    }
}

/// Which merge requests to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReviewFilter {
    /// Of this bead or convoy; needed where `state` is left out.
    pub source: Option<BeadId>,
    /// In this state.
    pub state: Option<ReviewState>,
}

/// Merge requests, in the queue's order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReviewList {
    /// The merge requests.
    pub reviews: Vec<Review>,
}

pub(crate) fn list(view: View<'_>, input: &ReviewFilter) -> Result<ReviewList> {
    let scan = match (&input.source, input.state) {
        (Some(source), _) => Scan::new(&index::REVIEWS_BY_SOURCE, vec![text(source)], PAGE_MAX),
        (None, Some(state)) => Scan::new(&index::REVIEWS_BY_STATE, vec![text(state.as_str())], PAGE_MAX),
        (None, None) => {
            return Err(Error::invalid("filter_missing", "a list of merge requests wants a source or a state"));
        }
    };
    let rows: Vec<MergeRequestRow> = view.scan(scan)?;
    let fits = |row: &MergeRequestRow| input.state.is_none_or(|state| row.state == state);
    Ok(ReviewList { reviews: rows.into_iter().filter(fits).map(Review::from).collect() })
}

pub(crate) fn get(view: View<'_>, input: &BeadRef) -> Result<Review> {
    row(view, &input.id).map(Review::from)
}

fn row(view: View<'_>, id: &BeadId) -> Result<MergeRequestRow> {
    view.find(&Key::merge_request(id))?.ok_or_else(|| {
        Error::not_found("merge_request_missing", format!("there is no merge request {id}")).with("merge_request", id)
    })
}

/// Puts a session's work in the queue.
pub(crate) fn submit(txn: &mut ScopedTxn<'_>, mut bead: BeadRow, session: &SessionRow, head: &Oid) -> Result<()> {
    bead.move_to(BeadStatus::InReview, None, txn.now())?;
    bead.outages = 0;
    bead.auth_failures = 0;
    bead.assignee = None;
    let source = bead.id.clone();
    txn.put_bead(bead)?;
    supersede(txn, &source)?;
    let branch = format!("gt/{source}");
    let id = insert(txn, &source, &session.rig, &branch, &session.target, head, Some(&session.id), false)?;
    effects::enqueue(
        txn,
        &Order::Publish { review: id.clone(), rig: session.rig.clone(), branch, head: head.clone() },
        1,
    )?;
    txn.event("review.queued", &id, json!({ "source": source, "head": head, "target": session.target }));
    Ok(())
}

/// Puts finished work back in the queue that could not be brought home for a reason outside; says whether there is any.
pub(crate) fn resubmit(txn: &mut ScopedTxn<'_>, source: &BeadId) -> Result<bool> {
    let rows: Vec<MergeRequestRow> = txn.all(Scan::new(&index::REVIEWS_BY_SOURCE, vec![text(source)], 0))?;
    let sessions: Vec<SessionRow> = txn.all(Scan::new(&index::SESSIONS_BY_BEAD, vec![text(source)], 0))?;
    let last = rows.last().filter(|row| row.state == ReviewState::Ejected);
    // Only the last session's work is the bead's: what came after it would be lost.
    let Some(session) =
        sessions.last().filter(|session| last.is_some_and(|row| row.session.as_ref() == Some(&session.id)))
    else {
        return Ok(false);
    };
    let Some(head) = session.head.clone() else { return Ok(false) };
    let mut bead = txn.bead(source)?;
    bead.move_to(BeadStatus::InProgress, None, txn.now())?;
    submit(txn, bead, session, &head)?;
    Ok(true)
}

/// Puts a convoy's branch in the queue of the target.
pub(crate) fn submit_convoy(txn: &mut ScopedTxn<'_>, convoy: &ConvoyRow, head: &Oid) -> Result<()> {
    supersede(txn, &convoy.id)?;
    let id = insert(txn, &convoy.id, &convoy.rig, &convoy.branch, &convoy.target, head, None, true)?;
    txn.event("review.queued", &id, json!({ "source": convoy.id, "head": head, "target": convoy.target }));
    Ok(())
}

/// Ends an earlier merge request of the same source that is still open.
fn supersede(txn: &mut ScopedTxn<'_>, source: &BeadId) -> Result<()> {
    let rows: Vec<MergeRequestRow> = txn.all(Scan::new(&index::REVIEWS_BY_SOURCE, vec![text(source)], 0))?;
    for mut row in rows.into_iter().filter(|row| !row.state.is_terminal()) {
        row.move_to(ReviewState::Superseded)?;
        close(txn, row, Resolution::Superseded)?;
    }
    Ok(())
}

/// Ends the open merge request of a bead that somebody closes.
///
/// One that is being put on the target is past that: whether it got there is not known yet.
pub(crate) fn abandon(txn: &mut ScopedTxn<'_>, source: &BeadId) -> Result<()> {
    let rows: Vec<MergeRequestRow> = txn.all(Scan::new(&index::REVIEWS_BY_SOURCE, vec![text(source)], 0))?;
    for mut row in rows.into_iter().filter(|row| !row.state.is_terminal()) {
        if row.state == ReviewState::Publishing {
            return Err(Error::conflict("bead_landing", format!("bead {source} is being landed by {}", row.id))
                .with("bead", source)
                .with("merge_request", &row.id));
        }
        row.move_to(ReviewState::Abandoned)?;
        close(txn, row, Resolution::Abandoned)?;
    }
    Ok(())
}

#[expect(clippy::too_many_arguments, reason = "a merge request has that many parts")]
fn insert(
    txn: &mut ScopedTxn<'_>,
    source: &BeadId,
    rig: &RigName,
    branch: &str,
    target: &str,
    head: &Oid,
    session: Option<&SessionId>,
    published: bool,
) -> Result<BeadId> {
    let title = format!("Merge {branch} into {target}");
    let bead = NewBead { rig: Some(rig.clone()), ..NewBead::titled(title) };
    let bead = beads::insert(txn, BeadKind::MergeRequest, &bead, None)?;
    graph::add_edge(txn, &bead.id, source, DependencyKind::Reviews)?;
    let now = txn.now();
    txn.put(MergeRequestRow {
        id: bead.id.clone(),
        source: source.clone(),
        rig: rig.clone(),
        session: session.cloned(),
        branch: branch.to_owned(),
        target: target.to_owned(),
        head: head.clone(),
        state: ReviewState::Queued,
        published,
        target_oid: None,
        merge_oid: None,
        landed_oid: None,
        attempts: 0,
        problem: None,
        position: now.as_micros(),
        created_at: now,
    })?;
    txn.mark_dirty(&bead.id)?;
    Ok(bead.id)
}

/// The remote holds the head under the published branch.
pub(crate) fn published(txn: &mut ScopedTxn<'_>, id: &BeadId) -> Result<()> {
    let mut row = row(txn.view(), id)?;
    row.published = true;
    txn.put(row)?;
    txn.mark_dirty(id)?;
    txn.event("review.published", id, json!({}));
    Ok(())
}

/// Takes the first published merge request of the queue that this one stands in, where none is in work there.
pub(crate) fn advance_queue(txn: &mut ScopedTxn<'_>, id: &BeadId) -> Result<()> {
    let Some(this) = txn.find::<MergeRequestRow>(&Key::merge_request(id))? else { return Ok(()) };
    if this.state == ReviewState::Passed {
        return publish_merge(txn, this);
    }
    let queue = |state: ReviewState| vec![this.rig.to_value(), text(&this.target), text(state.as_str())];
    for state in [ReviewState::Building, ReviewState::Passed, ReviewState::Publishing] {
        if !txn.scan::<MergeRequestRow>(Scan::new(&index::REVIEWS_BY_TARGET, queue(state), 1))?.is_empty() {
            return Ok(());
        }
    }
    let mut first = None;
    txn.view().walk::<MergeRequestRow>(Scan::new(&index::REVIEWS_BY_TARGET, queue(ReviewState::Queued), 0), |row| {
        let fits = row.published;
        if fits {
            first = Some(row);
        }
        Ok(!fits)
    })?;
    let Some(mut row) = first else { return Ok(()) };
    row.move_to(ReviewState::Building)?;
    row.attempts += 1;
    row.target_oid = None;
    row.merge_oid = None;
    let title = txn.bead(&row.source)?.title;
    let order = Order::Merge {
        review: row.id.clone(),
        rig: row.rig.clone(),
        target: row.target.clone(),
        head: row.head.clone(),
        message: format!("Merge {}: {title}", row.branch),
        at: txn.now(),
    };
    let (review, attempt) = (row.id.clone(), row.attempts);
    txn.put(row)?;
    effects::enqueue(txn, &order, attempt)?;
    txn.event("review.building", &review, json!({ "attempt": attempt }));
    Ok(())
}

fn publish_merge(txn: &mut ScopedTxn<'_>, mut row: MergeRequestRow) -> Result<()> {
    row.move_to(ReviewState::Publishing)?;
    let (Some(expected), Some(commit)) = (row.target_oid.clone(), row.merge_oid.clone()) else {
        return Err(Error::internal(
            "merge_missing",
            format!("merge request {} passed without a merge commit", row.id),
        ));
    };
    let order =
        Order::Land { review: row.id.clone(), rig: row.rig.clone(), target: row.target.clone(), expected, commit };
    let (id, attempt) = (row.id.clone(), row.attempts);
    txn.put(row)?;
    effects::enqueue(txn, &order, attempt)?;
    txn.event("review.publishing", &id, json!({ "attempt": attempt }));
    Ok(())
}

/// Whether it may still be merged.
pub(crate) fn is_open(txn: &ScopedTxn<'_>, id: &BeadId) -> Result<bool> {
    Ok(!row(txn.view(), id)?.state.is_terminal())
}

/// Whether the queue is at work on it.
pub(crate) fn is_in_work(txn: &ScopedTxn<'_>, id: &BeadId) -> Result<bool> {
    let row = row(txn.view(), id)?;
    Ok(matches!(row.state, ReviewState::Building | ReviewState::Passed | ReviewState::Publishing))
}

/// The merge commit was made; the gate comes next where there is one.
pub(crate) fn built(txn: &mut ScopedTxn<'_>, id: &BeadId, target: &Oid, commit: &Oid) -> Result<()> {
    let Some(mut row) = expect(txn, id, ReviewState::Building)? else { return Ok(()) };
    row.target_oid = Some(target.clone());
    row.merge_oid = Some(commit.clone());
    let gate: Option<Vec<String>> = settings::resolve(txn.view(), Some(&row.rig), "gate.command")?;
    let data = json!({ "target": target, "commit": commit });
    if gate.is_some() && !mutant::lives(Mutant::GateSkipped) {
        let order = Order::Gate { review: id.clone(), rig: row.rig.clone(), commit: commit.clone() };
        let attempt = row.attempts;
        txn.put(row)?;
        effects::enqueue(txn, &order, attempt)?;
        txn.event("review.built", id, data);
    } else {
        row.move_to(ReviewState::Passed)?;
        txn.put(row)?;
        txn.mark_dirty(id)?;
        txn.event("review.passed", id, data);
    }
    Ok(())
}

/// The target held the head before anything was done.
pub(crate) fn contained(txn: &mut ScopedTxn<'_>, id: &BeadId, target: &Oid) -> Result<()> {
    let Some(mut row) = expect(txn, id, ReviewState::Building)? else { return Ok(()) };
    row.target_oid = Some(target.clone());
    let landed = row.head.clone();
    merged(txn, row, &landed)
}

/// It does not merge: back to its agent, with the files.
pub(crate) fn conflicts(txn: &mut ScopedTxn<'_>, id: &BeadId, target: &Oid, files: &[String]) -> Result<()> {
    let Some(row) = expect(txn, id, ReviewState::Building)? else { return Ok(()) };
    if mutant::lives(Mutant::ConflictDropped) {
        return Ok(());
    }
    let problem = json!({ "reason": "conflict", "files": files, "target_oid": target });
    send_back(txn, row, ReviewState::Conflict, problem)
}

/// The gate passed on the merge commit.
pub(crate) fn gate_passed(txn: &mut ScopedTxn<'_>, id: &BeadId) -> Result<()> {
    let Some(mut row) = expect(txn, id, ReviewState::Building)? else { return Ok(()) };
    row.move_to(ReviewState::Passed)?;
    txn.put(row)?;
    txn.mark_dirty(id)?;
    txn.event("review.passed", id, json!({}));
    Ok(())
}

/// The gate failed on the merge commit: back to its agent, with its last words.
pub(crate) fn gate_failed(txn: &mut ScopedTxn<'_>, id: &BeadId, how: &str, output: &str) -> Result<()> {
    let Some(row) = expect(txn, id, ReviewState::Building)? else { return Ok(()) };
    let problem = json!({ "reason": "gate", "how": how, "output": output });
    send_back(txn, row, ReviewState::Rework, problem)
}

fn send_back(txn: &mut ScopedTxn<'_>, mut row: MergeRequestRow, state: ReviewState, problem: Json) -> Result<()> {
    row.move_to(state)?;
    row.problem = Some(problem.clone());
    let (id, source, head) = (row.id.clone(), row.source.clone(), row.head.clone());
    let target = row.target.clone();
    close(txn, row, Resolution::Cancelled)?;
    let mut what = problem;
    if let Some(map) = what.as_object_mut() {
        map.insert("review".to_owned(), json!(id));
        map.insert("head".to_owned(), json!(head));
        map.insert("target".to_owned(), json!(target));
    }
    if txn.bead(&source)?.kind == BeadKind::Convoy {
        let files: Vec<&str> = what["files"].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
        let detail = what["how"].as_str().map_or_else(|| files.join(", "), str::to_owned);
        let why = what["reason"].as_str().unwrap_or("unknown");
        let reason = format!("its branch cannot land on {target}: {why} ({detail})");
        return convoys::needs_attention(txn, &source, &reason);
    }
    outcome::rework(txn, &source, what)
}

/// The target was no longer what the merge was made on: made again, with a bound.
pub(crate) fn moved(txn: &mut ScopedTxn<'_>, id: &BeadId, actual: Option<&Oid>) -> Result<()> {
    let Some(mut row) = expect(txn, id, ReviewState::Publishing)? else { return Ok(()) };
    let most: u32 = settings::resolve(txn.view(), Some(&row.rig), "landing.attempts_max")?;
    if row.attempts >= most {
        return eject(txn, id, &format!("its target moved during each of {most} attempts"));
    }
    row.move_to(ReviewState::Queued)?;
    txn.put(row)?;
    txn.mark_dirty(id)?;
    txn.event("review.target_moved", id, json!({ "actual": actual }));
    Ok(())
}

/// The merge commit is on another machine only: it is made again.
pub(crate) fn unbuilt(txn: &mut ScopedTxn<'_>, id: &BeadId) -> Result<()> {
    let mut row = row(txn.view(), id)?;
    if !matches!(row.state, ReviewState::Building | ReviewState::Publishing) {
        txn.event("review.stale_report", id, json!({ "state": row.state }));
        return Ok(());
    }
    row.move_to(ReviewState::Queued)?;
    txn.put(row)?;
    txn.mark_dirty(id)?;
    txn.event("review.unbuilt", id, json!({}));
    Ok(())
}

/// The target holds the merge commit.
pub(crate) fn landed(txn: &mut ScopedTxn<'_>, id: &BeadId, commit: &Oid) -> Result<()> {
    let Some(row) = expect(txn, id, ReviewState::Publishing)? else { return Ok(()) };
    merged(txn, row, commit)
}

fn merged(txn: &mut ScopedTxn<'_>, mut row: MergeRequestRow, landed: &Oid) -> Result<()> {
    row.move_to(ReviewState::Merged)?;
    row.landed_oid = Some(landed.clone());
    let this = row.clone();
    close(txn, row, Resolution::Merged)?;
    let sessions: Vec<SessionRow> = txn.all(Scan::new(&index::SESSIONS_BY_BEAD, vec![text(&this.source)], 0))?;
    for session in &sessions {
        drain::discard(txn, session)?;
    }
    let cleanup = Order::DeleteBranch {
        rig: this.rig.clone(),
        branch: this.branch.clone(),
        expected: this.head.clone(),
        work: sessions.into_iter().map(|session| session.branch).collect(),
    };
    effects::enqueue(txn, &cleanup, 1)?;
    let source = txn.bead(&this.source)?;
    if source.kind == BeadKind::Convoy {
        return convoys::landed(txn, &source.id, landed);
    }
    if let Some(convoy) = &source.convoy {
        convoys::member_merged(txn, convoy, landed)?;
    }
    let data = json!({ "resolution": Resolution::Merged, "commit": landed, "review": this.id });
    let mut source = source;
    if source.status != BeadStatus::InReview {
        txn.event("review.source_elsewhere", &this.id, json!({ "source": source.id, "status": source.status }));
        return Ok(());
    }
    if let Some(map) = source.metadata.as_object_mut() {
        map.remove(outcome::REWORK_KEY);
    }
    beads::settle(txn, source, BeadStatus::Closed, Resolution::Merged, data)
}

/// Takes it out of the queue; its bead waits for somebody.
pub(crate) fn eject(txn: &mut ScopedTxn<'_>, id: &BeadId, reason: &str) -> Result<()> {
    let mut row = row(txn.view(), id)?;
    if row.state.is_terminal() {
        return Ok(());
    }
    if row.state == ReviewState::Passed {
        row.move_to(ReviewState::Queued)?;
    }
    row.move_to(ReviewState::Ejected)?;
    row.problem = Some(json!({ "reason": reason }));
    let source = row.source.clone();
    close(txn, row, Resolution::Abandoned)?;
    let mut bead = txn.bead(&source)?;
    if bead.kind == BeadKind::Convoy {
        return convoys::needs_attention(txn, &source, reason);
    }
    if bead.status != BeadStatus::InReview {
        return Ok(());
    }
    bead.move_to(BeadStatus::Open, None, txn.now())?;
    bead.assignee = None;
    bead.parked_reason = Some(format!("its merge request was taken out of the queue: {reason}"));
    bead.parked_until = None;
    if let Some(convoy) = &bead.convoy {
        txn.mark_dirty(convoy)?;
    }
    txn.put_bead(bead)?;
    txn.event("bead.parked", &source, json!({ "reason": reason }));
    Ok(())
}

/// Writes a merge request that came to an end and closes its bead.
fn close(txn: &mut ScopedTxn<'_>, row: MergeRequestRow, resolution: Resolution) -> Result<()> {
    let (id, state, problem) = (row.id.clone(), row.state, row.problem.clone());
    txn.put(row)?;
    let mut bead = txn.bead(&id)?;
    let before = graph::Before::of(&bead);
    bead.move_to(BeadStatus::Closed, Some(resolution), txn.now())?;
    graph::put_moved(txn, before, bead)?;
    // The queue's next may begin.
    txn.mark_dirty(&id)?;
    txn.event(&format!("review.{state}"), &id, json!({ "problem": problem }));
    Ok(())
}

/// The row where it stands as expected; otherwise the report came late, is journaled and ignored.
fn expect(txn: &mut ScopedTxn<'_>, id: &BeadId, state: ReviewState) -> Result<Option<MergeRequestRow>> {
    let row = row(txn.view(), id)?;
    if row.state == state {
        return Ok(Some(row));
    }
    txn.event("review.stale_report", id, json!({ "state": row.state, "expected": state }));
    Ok(None)
}
