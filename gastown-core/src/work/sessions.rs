//! Sessions: an agent is given a bead, runs, and ends.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::beads;
use super::txn::ScopedTxn;
use super::view::{View, text};
use super::{effects, ready, reviews, settings};
use crate::model::{
    AgentRow, AgentState, BeadId, BeadRow, BeadStatus, Blame, Error, Key, Oid, Order, Resolution, Result, RigName,
    SessionExit, SessionId, SessionRow, SessionState, Timestamp,
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

/// Which ended sessions' output may go, and what says how long it stays.
#[derive(Clone, Debug)]
pub(crate) struct Retention {
    /// The ended sessions among those asked for that nothing needs any more: when each ended, and until when it stays.
    pub ended: Vec<(SessionId, Timestamp, Timestamp)>,
    /// Those that the town does not know: they are not its own to remove, and take nothing of its room.
    pub unknown: Vec<SessionId>,
    /// The most bytes of output in the town.
    pub bytes_max: u64,
}

/// Looks at these sessions; what the town does not know as ended, or still has to do something about, stays.
pub(crate) fn retention(view: View<'_>, asked: &[SessionId]) -> Result<Retention> {
    let mut needed = std::collections::BTreeSet::new();
    for state in crate::model::EffectState::ALL.iter().filter(|state| !state.is_terminal()) {
        let scan = Scan::new(&index::EFFECTS_BY_STATE, vec![text(state.as_str())], 0);
        view.walk::<crate::model::EffectRow>(scan, |row| {
            match row.order() {
                Ok(Order::Start { session, .. } | Order::Stop { session, .. } | Order::Cleanup { session, .. }) => {
                    needed.insert(session);
                }
                Ok(_) => {}
                // What it wants cannot be read, but its id names its session.
                Err(_) => needed.extend(asked.iter().filter(|id| row.id.as_str().contains(id.as_str())).cloned()),
            }
            Ok(true)
        })?;
    }
    let (mut ended, mut unknown) = (Vec::new(), Vec::new());
    for id in asked.iter().filter(|id| !needed.contains(*id)) {
        let Some(row) = view.find::<SessionRow>(&Key::session(id))? else {
            unknown.push(id.clone());
            continue;
        };
        if let (SessionState::Ended, Some(at)) = (row.state, row.ended_at) {
            let keep = settings::duration(view, Some(&row.rig), "output.keep_ms")?;
            ended.push((id.clone(), at, at.after(keep)));
        }
    }
    Ok(Retention { ended, unknown, bytes_max: settings::resolve(view, None, "output.bytes_max")? })
}

/// Says in the journal that the output of these sessions goes, before it does.
pub(crate) fn output_expired(txn: &mut ScopedTxn<'_>, expired: &[(SessionId, u64, &'static str)]) {
    for (id, bytes, why) in expired {
        txn.event("session.output_expired", id, json!({ "kept_bytes": bytes, "why": why }));
    }
}
