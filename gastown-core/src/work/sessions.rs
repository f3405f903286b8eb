//! Sessions: an agent is given a bead, runs, and ends.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::txn::ScopedTxn;
use super::view::{View, text};
use super::{drain, effects, outcome, ready, settings};
use crate::model::{
    AgentRow, BeadId, BeadStatus, Error, Key, Oid, Order, Result, RigName, Scope, SessionExit, SessionId, SessionRow,
    SessionState, Stall, Timestamp,
};
use crate::store::{Scan, index};

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
    pub ending: Option<SessionExit>,
    pub lease_until: Option<Timestamp>,
    pub last_progress: Option<Timestamp>,
    pub stall: Option<Stall>,
    pub triage: Option<BeadId>,
    pub checkpoint: Option<serde_json::Value>,
    pub saved: Option<Oid>,
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
            ending: row.ending,
            lease_until: row.lease_until,
            last_progress: row.last_progress,
            stall: row.stall,
            triage: row.triage,
            checkpoint: row.checkpoint,
            saved: row.saved,
            output: None,
        }
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

/// The scope of the agent in a session.
pub(crate) fn scope(view: View<'_>, id: &SessionId) -> Result<Scope> {
    let session = row(view, id)?;
    let agent: AgentRow = view.find(&Key::agent(&session.agent))?.ok_or_else(|| {
        Error::not_found("agent_missing", format!("there is no agent {}", session.agent)).with("agent", &session.agent)
    })?;
    Ok(Scope::Agent {
        agent: session.agent,
        role: agent.role,
        rig: session.rig,
        bead: session.bead,
        session: session.id,
        epoch: session.epoch,
    })
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
    let session = row(txn.view(), &input.id)?;
    if matches!(session.state, SessionState::Ended | SessionState::Finishing) {
        return Ok(session.into());
    }
    if session.state == SessionState::Planned {
        outcome::start_unwanted(txn, &input.id)?;
        return row(txn.view(), &input.id).map(Session::from);
    }
    bring_to_end(txn, &input.id, SessionExit::Cancelled)?;
    row(txn.view(), &input.id).map(Session::from)
}

/// Has a session that is under way stopped, to count as this exit once it is over.
pub(crate) fn bring_to_end(txn: &mut ScopedTxn<'_>, id: &SessionId, ending: SessionExit) -> Result<()> {
    let mut session = row(txn.view(), id)?;
    session.move_to(SessionState::Finishing)?;
    session.ending = Some(ending);
    let rig = session.rig.clone();
    txn.put(session)?;
    effects::enqueue(txn, &Order::Stop { session: id.clone(), rig }, 1)?;
    txn.event("session.stopping", id, json!({ "ending": ending }));
    Ok(())
}

/// Whether the session's process runs and is not asked to stop.
pub(crate) fn is_running(txn: &ScopedTxn<'_>, id: &SessionId) -> Result<bool> {
    Ok(row(txn.view(), id)?.state == SessionState::Running)
}

pub(crate) fn get(view: View<'_>, input: &SessionRef) -> Result<Session> {
    row(view, &input.id).map(Session::from)
}

/// Whether a start order is still wanted.
pub(crate) fn wants_start(txn: &ScopedTxn<'_>, id: &SessionId) -> Result<bool> {
    let session = row(txn.view(), id)?;
    Ok(matches!(session.state, SessionState::Planned | SessionState::Starting) && is_current(txn, &session)?)
}

pub(crate) fn is_current(txn: &ScopedTxn<'_>, session: &SessionRow) -> Result<bool> {
    let bead = txn.bead(&session.bead)?;
    Ok(bead.epoch == session.epoch && bead.status == BeadStatus::InProgress)
}

/// The start order was given to the executor.
pub(crate) fn starting(txn: &mut ScopedTxn<'_>, id: &SessionId) -> Result<()> {
    let mut session = row(txn.view(), id)?;
    if session.state == SessionState::Planned {
        session.move_to(SessionState::Starting)?;
        let deadline = settings::duration(txn.view(), Some(&session.rig), "session.start_timeout_ms")?;
        session.wake_at = Some(txn.now().after(deadline));
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
    let now = txn.now();
    let duration = |name| settings::duration(txn.view(), Some(&session.rig), name);
    let (heartbeat, lease) = (duration("session.heartbeat_ms")?, duration("session.lease_ms")?);
    session.wake_at = Some(now.after(heartbeat));
    session.lease_until = Some(now.after(lease));
    if session.state == SessionState::Finishing {
        session.base = Some(base.clone());
        session.started_at = Some(now);
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
    session.started_at = Some(now);
    txn.put(session.clone())?;
    txn.event("session.started", id, json!({ "base": base }));
    drain::stop_late(txn, &session)
}
