//! Sessions: an agent is given a bead, runs, and ends.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::beads::{self, BeadRef};
use super::txn::ScopedTxn;
use super::view::{View, text};
use super::{agents, effects, ready, reviews, rigs, settings};
use crate::model::value::ColumnValue as _;
use crate::model::{
    AgentName, AgentRow, AgentState, BeadId, BeadKind, BeadRow, BeadStatus, Blame, ConvoyRow, Error, Key, Oid, Order,
    Resolution, Result, RigName, RigState, Role, SessionExit, SessionId, SessionRow, SessionState, Timestamp,
};
use crate::store::{Scan, index};

/// The key of a bead's metadata under which the merge queue leaves what it wants mended.
pub(crate) const REWORK_KEY: &str = "gt:rework";

/// A session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the fields are those of SessionRow, documented there")]
pub struct Session {
    pub id: SessionId,
    pub agent: BeadId,
    pub bead: BeadId,
    pub rig: RigName,
    pub epoch: i64,
    pub state: SessionState,
    pub exit: Option<SessionExit>,
    pub reason: Option<String>,
    pub branch: String,
    pub target: String,
    pub base: Option<Oid>,
    pub head: Option<Oid>,
    pub created_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    /// What is known of its output; only where one session is read, and none where that cannot be looked at.
    #[serde(default)]
    pub output: Option<SessionOutput>,
}

/// What is known of a session's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SessionOutput {
    /// How many bytes it printed; none where that was removed, or before it began.
    pub bytes: Option<u64>,
    /// How many of them were not kept.
    pub dropped_bytes: Option<u64>,
    /// Whether it was removed since.
    pub is_removed: bool,
}

impl From<SessionRow> for Session {
    fn from(row: SessionRow) -> Self {
        Self {
            id: row.id,
            agent: row.agent,
            bead: row.bead,
            rig: row.rig,
            epoch: row.epoch,
            state: row.state,
            exit: row.exit,
            reason: row.reason,
            branch: row.branch,
            target: row.target,
            base: row.base,
            head: row.head,
            created_at: row.created_at,
            started_at: row.started_at,
            ended_at: row.ended_at,
            output: None,
        }
    }
}

/// A bead to be run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sling {
    /// Which.
    pub bead: BeadId,
    /// By whom; any polecat of its rig where it is left out.
    #[serde(default)]
    pub to: Option<AgentName>,
}

impl From<BeadId> for Sling {
    fn from(bead: BeadId) -> Self {
        Self { bead, to: None }
    }
}

/// Which sessions to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SessionFilter {
    /// Of this bead; needed where `state` is left out.
    pub bead: Option<BeadId>,
    /// In this state.
    pub state: Option<SessionState>,
}

/// Sessions, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionList {
    /// The sessions.
    pub sessions: Vec<Session>,
}

pub(crate) fn list(view: View<'_>, input: &SessionFilter) -> Result<SessionList> {
    let scan = match (&input.bead, input.state) {
        (Some(bead), _) => Scan::new(&index::SESSIONS_BY_BEAD, vec![text(bead)], 0),
        (None, Some(state)) => Scan::new(&index::SESSIONS_BY_STATE, vec![text(state.as_str())], 0),
        (None, None) => {
            return Err(Error::invalid("filter_missing", "a list of sessions wants a bead or a state"));
        }
    };
    let rows: Vec<SessionRow> = view.scan(Scan { limit: ready::PAGE_MAX, ..scan })?;
    let fits = |row: &SessionRow| input.state.is_none_or(|state| row.state == state);
    Ok(SessionList { sessions: rows.into_iter().filter(fits).map(Session::from).collect() })
}

pub(crate) fn row(view: View<'_>, id: &SessionId) -> Result<SessionRow> {
    view.find(&Key::session(id))?
        .ok_or_else(|| Error::not_found("session_missing", format!("there is no session {id}")).with("session", id))
}

/// Gives a bead to an agent and has it run: at once where an agent is idle, else as soon as one is.
pub(crate) fn sling(txn: &mut ScopedTxn<'_>, input: &Sling) -> Result<beads::Bead> {
    let mut bead = txn.bead(&input.bead)?;
    if bead.kind != BeadKind::Issue {
        return Err(Error::invalid(
            "not_an_issue",
            format!("bead {} is a {}; only issues are slung", bead.id, bead.kind),
        )
        .with("bead", &bead.id)
        .with("kind", bead.kind));
    }
    let rig = bead.rig.clone().ok_or_else(|| {
        Error::invalid("bead_without_rig", format!("bead {} belongs to no rig, so nobody can work on it", bead.id))
            .with("bead", &bead.id)
    })?;
    if bead.status != BeadStatus::Open {
        return Err(Error::conflict("bead_not_open", format!("bead {} is {}", bead.id, bead.status))
            .with("bead", &bead.id)
            .with("status", bead.status)
            .with("assignee", bead.assignee.as_deref().unwrap_or("")));
    }
    let to = match &input.to {
        None => None,
        Some(name) => {
            let agent = agents::by_name(txn.view(), name)?;
            if agent.role != Role::Polecat || agent.rig.as_ref() != Some(&rig) {
                return Err(Error::invalid("agent_unfit", format!("{name} is no polecat of the rig {rig}"))
                    .with("agent", name)
                    .with("role", agent.role)
                    .with("rig", &rig));
            }
            Some(agent.id)
        }
    };
    bead.slung = true;
    bead.slung_to = to;
    // Whoever slings it again has decided: what it was parked for is tried anew, at once.
    bead.parked_reason = None;
    bead.parked_until = None;
    bead.outages = 0;
    bead.wake_at = None;
    let id = bead.id.clone();
    if let Some(convoy) = &bead.convoy {
        txn.mark_dirty(convoy)?;
    }
    txn.put_bead(bead)?;
    txn.event("bead.slung", &id, json!({ "to": input.to }));
    if !reviews::resubmit(txn, &id)? {
        dispatch(txn, &id)?;
    }
    beads::get(txn.view(), &BeadRef { id })
}

/// Gives a slung bead to an idle agent where everything allows it; says whether it did.
pub(crate) fn dispatch(txn: &mut ScopedTxn<'_>, id: &BeadId) -> Result<bool> {
    let bead = txn.bead(id)?;
    let now = txn.now();
    let Some(rig) = bead.rig.clone() else { return Ok(false) };
    if !bead.slung || !ready::is_ready(&bead, now) || bead.wake_at.is_some_and(|at| at > now) {
        return Ok(false);
    }
    if rigs::row(txn.view(), &rig)?.state != RigState::Active || target(txn.view(), &bead)?.is_none() {
        return Ok(false);
    }
    let agent = match &bead.slung_to {
        Some(agent) => txn.find::<AgentRow>(&Key::agent(agent))?.filter(|agent| agent.state == AgentState::Idle),
        None => idle_polecat(txn, &rig)?,
    };
    let Some(agent) = agent else { return Ok(false) };
    if !has_room(txn, &rig)? {
        return Ok(false);
    }
    plan(txn, bead, agent)?;
    Ok(true)
}

/// Whether nothing but room holds a slung bead: its own agent is idle where it has one, its branch is there.
pub(crate) fn can_go(view: View<'_>, bead: &BeadRow) -> Result<bool> {
    if let Some(agent) = &bead.slung_to {
        let agent: Option<AgentRow> = view.find(&Key::agent(agent))?;
        if agent.is_none_or(|agent| agent.state != AgentState::Idle) {
            return Ok(false);
        }
    }
    Ok(target(view, bead)?.is_some())
}

fn idle_polecat(txn: &ScopedTxn<'_>, rig: &RigName) -> Result<Option<AgentRow>> {
    let prefix = vec![rig.to_value(), text(Role::Polecat.as_str()), text(AgentState::Idle.as_str())];
    Ok(txn.scan(Scan::new(&index::AGENTS_BY_STATE, prefix, 1))?.pop())
}

/// Whether a polecat of the rig waits for work.
pub(crate) fn has_idle_polecat(txn: &ScopedTxn<'_>, rig: &RigName) -> Result<bool> {
    Ok(idle_polecat(txn, rig)?.is_some())
}

/// Whether the limits of the rig and of the town leave room for one more session.
fn has_room(txn: &ScopedTxn<'_>, rig: &RigName) -> Result<bool> {
    let in_rig: usize = settings::resolve(txn.view(), Some(rig), "sessions.max")?;
    let in_town: usize = settings::resolve(txn.view(), None, "sessions.max")?;
    let live = [SessionState::Planned, SessionState::Starting, SessionState::Running, SessionState::Finishing];
    let (mut of_rig, mut of_town) = (0, 0);
    for state in live {
        let scan = Scan::new(&index::SESSIONS_BY_STATE, vec![text(state.as_str())], 0);
        let rows: Vec<SessionRow> = txn.town_view().all(scan)?;
        of_town += rows.len();
        of_rig += rows.iter().filter(|row| row.rig == *rig).count();
    }
    Ok(of_rig < in_rig && of_town < in_town)
}

/// The branch a bead's work is meant for; none while its convoy has no branch yet.
pub(crate) fn target(view: View<'_>, bead: &BeadRow) -> Result<Option<String>> {
    if let Some(convoy) = &bead.convoy {
        let convoy: Option<ConvoyRow> = view.find(&Key::convoy(convoy))?;
        return Ok(convoy.filter(|row| row.base.is_some()).map(|row| row.branch));
    }
    match &bead.rig {
        Some(rig) => Ok(Some(rigs::row(view, rig)?.target)),
        None => Ok(None),
    }
}

/// Names one session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionRef {
    /// Which.
    pub id: SessionId,
}

impl From<SessionId> for SessionRef {
    fn from(id: SessionId) -> Self {
        Self { id }
    }
}

/// Has a session stopped; its bead is open again and not slung.
pub(crate) fn stop(txn: &mut ScopedTxn<'_>, input: &SessionRef) -> Result<Session> {
    let mut session = row(txn.view(), &input.id)?;
    if matches!(session.state, SessionState::Ended | SessionState::Finishing) {
        return Ok(session.into());
    }
    if session.state == SessionState::Planned {
        let ended = Ended {
            exit: SessionExit::Cancelled,
            reason: "stopped before it began".to_owned(),
            head: None,
            keep_workspace: false,
        };
        end(txn, &input.id, session.epoch, &ended)?;
        return row(txn.view(), &input.id).map(Session::from);
    }
    session.move_to(SessionState::Finishing)?;
    let rig = session.rig.clone();
    txn.put(session.clone())?;
    effects::enqueue(txn, &Order::Stop { session: input.id.clone(), rig }, 1)?;
    txn.event("session.stopping", &input.id, json!({}));
    Ok(session.into())
}

pub(crate) fn get(view: View<'_>, input: &SessionRef) -> Result<Session> {
    row(view, &input.id).map(Session::from)
}

/// Puts the bead on the agent's hook and wants a session started.
fn plan(txn: &mut ScopedTxn<'_>, mut bead: BeadRow, mut agent: AgentRow) -> Result<()> {
    let now = txn.now();
    let rig = bead.rig.clone().ok_or_else(|| Error::internal("bead_without_rig", "a slung bead has a rig"))?;
    let target = target(txn.view(), &bead)?
        .ok_or_else(|| Error::internal("target_missing", "a dispatched bead has a target branch"))?;
    bead.move_to(BeadStatus::InProgress, None, now)?;
    bead.epoch += 1;
    bead.assignee = Some(agent.id.to_string());
    bead.wake_at = None;
    let session = SessionRow {
        id: SessionId::new(format!("s-{}-{}", bead.id, bead.epoch))?,
        agent: agent.id.clone(),
        bead: bead.id.clone(),
        rig: rig.clone(),
        epoch: bead.epoch,
        state: SessionState::Planned,
        exit: None,
        reason: None,
        branch: format!("gt/work/{}/{}.{}", bead.id, agent.name, bead.epoch),
        target,
        base: None,
        head: None,
        created_at: now,
        started_at: None,
        ended_at: None,
        lease_until: None,
        last_progress: None,
        wake_at: None,
    };
    agent.state = AgentState::Hooked;
    agent.hook = Some(bead.id.clone());
    agent.session = Some(session.id.clone());
    agent.sessions += 1;
    agent.since = now;
    let order = Order::Start {
        session: session.id.clone(),
        agent: agent.name.clone(),
        bead: bead.id.clone(),
        epoch: bead.epoch,
        rig,
    };
    let data = json!({ "agent": agent.name, "bead": bead.id, "epoch": bead.epoch });
    let id = session.id.clone();
    txn.put_bead(bead)?;
    txn.put(agent)?;
    txn.put(session)?;
    effects::enqueue(txn, &order, 1)?;
    txn.event("session.planned", &id, data);
    Ok(())
}

/// Whether a start order is still wanted.
pub(crate) fn wants_start(txn: &ScopedTxn<'_>, id: &SessionId) -> Result<bool> {
    let session = row(txn.view(), id)?;
    Ok(matches!(session.state, SessionState::Planned | SessionState::Starting) && is_current(txn, &session)?)
}

fn is_current(txn: &ScopedTxn<'_>, session: &SessionRow) -> Result<bool> {
    let bead = txn.bead(&session.bead)?;
    Ok(bead.epoch == session.epoch && bead.status == BeadStatus::InProgress)
}

/// The start order was given to the executor.
pub(crate) fn starting(txn: &mut ScopedTxn<'_>, id: &SessionId) -> Result<()> {
    let mut session = row(txn.view(), id)?;
    if session.state == SessionState::Planned {
        session.move_to(SessionState::Starting)?;
        txn.put(session)?;
    }
    Ok(())
}

/// The session's process was seen.
pub(crate) fn started(txn: &mut ScopedTxn<'_>, id: &SessionId, base: &Oid) -> Result<()> {
    let mut session = row(txn.view(), id)?;
    if session.state == SessionState::Planned {
        session.move_to(SessionState::Starting)?;
    }
    if session.state == SessionState::Finishing {
        session.base = Some(base.clone());
        session.started_at = Some(txn.now());
        let rig = session.rig.clone();
        txn.put(session)?;
        txn.event("session.started", id, json!({ "base": base }));
        // The order to stop it may have come before there was anything to stop.
        return effects::enqueue(txn, &Order::Stop { session: id.clone(), rig }, 2);
    }
    if session.state != SessionState::Starting {
        txn.event("session.stale_report", id, json!({ "report": "started", "state": session.state }));
        return Ok(());
    }
    session.move_to(SessionState::Running)?;
    session.base = Some(base.clone());
    session.started_at = Some(txn.now());
    txn.put(session)?;
    txn.event("session.started", id, json!({ "base": base }));
    Ok(())
}

/// The start order was given up because nobody wants it any more.
pub(crate) fn start_unwanted(txn: &mut ScopedTxn<'_>, id: &SessionId) -> Result<()> {
    let session = row(txn.view(), id)?;
    if session.state == SessionState::Ended || session.started_at.is_some() {
        return Ok(());
    }
    let ended = Ended {
        exit: SessionExit::Cancelled,
        reason: "stopped before it began".to_owned(),
        head: None,
        keep_workspace: false,
    };
    end(txn, id, session.epoch, &ended)
}

/// The session could not be started.
pub(crate) fn start_refused(txn: &mut ScopedTxn<'_>, id: &SessionId, reason: &str) -> Result<()> {
    let session = row(txn.view(), id)?;
    let ended = Ended { exit: SessionExit::Refused, reason: reason.to_owned(), head: None, keep_workspace: false };
    end(txn, id, session.epoch, &ended)
}

/// How a session ended, as its executor found it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ended {
    /// How.
    pub exit: SessionExit,
    /// Why, in words.
    pub reason: String,
    /// The commit it left on its branch, where that is new.
    pub head: Option<Oid>,
    /// Whether its workspace holds something that could not be brought home, so that it must stay.
    #[serde(default)]
    pub keep_workspace: bool,
}

/// Takes the outcome of a session; what carries a finished epoch is journaled and ignored.
pub(crate) fn end(txn: &mut ScopedTxn<'_>, id: &SessionId, epoch: i64, ended: &Ended) -> Result<()> {
    let mut session = row(txn.view(), id)?;
    if session.state == SessionState::Ended || session.epoch != epoch {
        txn.event("session.stale_report", id, json!({ "epoch": epoch, "report": ended }));
        return Ok(());
    }
    let now = txn.now();
    let superseded = !is_current(txn, &session)?;
    let exit = match (ended.exit, &ended.head) {
        _ if superseded => SessionExit::Superseded,
        (SessionExit::Succeeded, Some(_)) => SessionExit::Succeeded,
        // However it came to its end, it was asked to.
        _ if session.state == SessionState::Finishing => SessionExit::Cancelled,
        (SessionExit::Succeeded, None) => SessionExit::ProtocolError,
        (exit, _) => exit,
    };
    let reason = if exit == SessionExit::ProtocolError && ended.exit == SessionExit::Succeeded {
        "it ended well but left no commit on its branch".to_owned()
    } else {
        ended.reason.clone()
    };
    session.move_to(SessionState::Ended)?;
    session.exit = Some(exit);
    session.reason = Some(reason.clone());
    session.head.clone_from(&ended.head);
    session.ended_at = Some(now);
    session.wake_at = None;
    txn.put(session.clone())?;
    if let Some(mut agent) = txn.find::<AgentRow>(&Key::agent(&session.agent))?
        && agent.session.as_ref() == Some(id)
    {
        agent.hook = None;
        agent.since = now;
        if agent.state == AgentState::Hooked {
            agent.state = AgentState::Idle;
        }
        txn.put(agent)?;
    }
    if !ended.keep_workspace {
        effects::enqueue(txn, &Order::Cleanup { session: id.clone(), rig: session.rig.clone() }, 1)?;
    }
    txn.event(
        "session.ended",
        id,
        json!({ "bead": session.bead, "epoch": epoch, "exit": exit, "reason": reason, "head": ended.head,
            "workspace_kept": ended.keep_workspace }),
    );
    if superseded {
        return Ok(());
    }
    let bead = txn.bead(&session.bead)?;
    match (exit, &ended.head) {
        (SessionExit::Succeeded, Some(head)) => reviews::submit(txn, bead, &session, head),
        _ => retry(txn, bead, exit, &reason),
    }
}

/// Opens the bead for another attempt, or gives it up, by whose fault the exit was.
fn retry(txn: &mut ScopedTxn<'_>, mut bead: BeadRow, exit: SessionExit, reason: &str) -> Result<()> {
    let now = txn.now();
    let rig = bead.rig.clone();
    let rig = rig.as_ref();
    match exit.blame() {
        Blame::None => bead.slung = false,
        Blame::Work => {
            bead.failures += 1;
            let most: u32 = settings::resolve(txn.view(), rig, "failures.max")?;
            if bead.failures >= most {
                let data = json!({ "exit": exit, "reason": reason, "failures": bead.failures });
                return fail(txn, bead, data);
            }
            let wait = settings::backoff(txn.view(), rig, "failures.backoff_ms", bead.failures)?;
            bead.wake_at = Some(now.after(wait));
        }
        Blame::Infrastructure => {
            bead.outages += 1;
            let most: u32 = settings::resolve(txn.view(), rig, "outages.max")?;
            if bead.outages >= most {
                bead.parked_reason = Some(format!("its sessions broke off {} times: {reason}", bead.outages));
                bead.parked_until = None;
                if let Some(convoy) = &bead.convoy {
                    txn.mark_dirty(convoy)?;
                }
            } else {
                let wait = settings::backoff(txn.view(), rig, "failures.backoff_ms", bead.outages)?;
                bead.wake_at = Some(now.after(wait));
            }
        }
    }
    if exit.blame() != Blame::Infrastructure {
        bead.outages = 0;
    }
    bead.move_to(BeadStatus::Open, None, now)?;
    bead.assignee = None;
    let id = bead.id.clone();
    let data = json!({
        "exit": exit, "failures": bead.failures, "outages": bead.outages, "wake_at": bead.wake_at,
        "reason": bead.parked_reason,
    });
    let kind = if bead.parked_reason.is_some() { "bead.parked" } else { "bead.retried" };
    txn.put_bead(bead)?;
    txn.event(kind, &id, data);
    Ok(())
}

/// Gives a bead up; what that does to those that wait for it is its convoy's policy.
fn fail(txn: &mut ScopedTxn<'_>, bead: BeadRow, data: serde_json::Value) -> Result<()> {
    let (id, convoy) = (bead.id.clone(), bead.convoy.clone());
    beads::settle(txn, bead, BeadStatus::Failed, Resolution::AttemptsExhausted, data)?;
    match convoy {
        Some(convoy) => super::convoys::member_failed(txn, &convoy, &id),
        None => Ok(()),
    }
}

/// Sends a bead in review back to be worked on again.
pub(crate) fn rework(txn: &mut ScopedTxn<'_>, id: &BeadId, what: serde_json::Value) -> Result<()> {
    let mut bead = txn.bead(id)?;
    if bead.status != BeadStatus::InReview {
        return Ok(());
    }
    bead.reworks += 1;
    let most: u32 = settings::resolve(txn.view(), bead.rig.as_ref(), "reworks.max")?;
    if bead.reworks > most {
        return fail(txn, bead, json!({ "reason": "sent back too often", "reworks": most, "rework": what }));
    }
    bead.move_to(BeadStatus::Open, None, txn.now())?;
    bead.assignee = None;
    bead.slung = true;
    bead.wake_at = None;
    beads::merge_metadata(&mut bead.metadata, &json!({ REWORK_KEY: what }));
    txn.put_bead(bead)?;
    txn.event("bead.sent_back", id, what);
    Ok(())
}
