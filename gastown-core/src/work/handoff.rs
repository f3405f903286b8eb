//! Checkpoint and handoff: what an agent leaves for the next session of its bead.

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::sessions::{self, Session};
use super::settings;
use super::txn::ScopedTxn;
use super::view::{View, text};
use crate::model::{BeadId, Error, Result, Scope, SessionExit, SessionId, SessionRow, SessionState};
use crate::store::{Scan, index};

/// The most bytes of a checkpoint, as JSON.
pub(crate) const CHECKPOINT_BYTES_MAX: usize = 16 * 1024;

/// What an agent wants the next session of its bead to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// Whatever it is, at most 16 KiB of JSON; what was left before is replaced.
    pub data: Json,
    /// Of which session; an agent's own where it is left out.
    #[serde(default)]
    pub session: Option<SessionId>,
}

impl From<Json> for Checkpoint {
    fn from(data: Json) -> Self {
        Self { data, session: None }
    }
}

/// Has a session end and another one go on with its bead.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HandOff {
    /// What the next session is to know; what was left before stays where it is left out.
    pub data: Option<Json>,
    /// Which session; an agent's own where it is left out.
    pub session: Option<SessionId>,
}

/// What an earlier session of a bead left for the next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Left {
    /// Which session.
    pub session: SessionId,
    /// What it left.
    pub data: Json,
}

/// Leaves a checkpoint for the next session of the bead.
pub(crate) fn checkpoint(txn: &mut ScopedTxn<'_>, input: &Checkpoint) -> Result<Session> {
    let session = own(txn, input.session.as_ref())?;
    save(txn, session, &input.data).map(Session::from)
}

/// Ends a session and has another one, of the same agent, go on with its bead.
pub(crate) fn handoff(txn: &mut ScopedTxn<'_>, input: &HandOff) -> Result<Session> {
    let mut session = own(txn, input.session.as_ref())?;
    if session.ending == Some(SessionExit::HandedOff) {
        // It is under way: a repeat changes nothing but what it leaves.
        return match &input.data {
            Some(data) => save(txn, session, data).map(Session::from),
            None => Ok(session.into()),
        };
    }
    if session.state != SessionState::Running {
        return Err(not_running(&session));
    }
    let most: usize = settings::resolve(txn.view(), Some(&session.rig), "handoffs.max")?;
    let before = of_bead(txn.view(), &session.bead)?;
    if before.iter().filter(|session| session.exit == Some(SessionExit::HandedOff)).count() >= most {
        return Err(Error::new(
            crate::model::ErrorKind::Exhausted,
            "handoffs_exhausted",
            format!("bead {} was handed on {most} times; it must be brought to an end", session.bead),
        )
        .with("bead", &session.bead)
        .with("handoffs_max", most));
    }
    if let Some(data) = &input.data {
        session = save(txn, session, data)?;
    }
    sessions::bring_to_end(txn, &session.id, SessionExit::HandedOff)?;
    sessions::row(txn.view(), &session.id).map(Session::from)
}

/// What the last earlier session of the bead that left something left.
pub(crate) fn left(view: View<'_>, bead: &BeadId, before_epoch: i64) -> Result<Option<Left>> {
    let mut earlier = of_bead(view, bead)?.into_iter().rev().filter(|session| session.epoch < before_epoch);
    Ok(earlier.find_map(|session| Some(Left { session: session.id, data: session.checkpoint? })))
}

fn of_bead(view: View<'_>, bead: &BeadId) -> Result<Vec<SessionRow>> {
    view.all(Scan::new(&index::SESSIONS_BY_BEAD, vec![text(bead)], 0))
}

/// The session that is meant: an agent's own and no other.
fn own(txn: &ScopedTxn<'_>, named: Option<&SessionId>) -> Result<SessionRow> {
    let scope = txn.view().scope();
    let id = match (scope, named) {
        (Scope::Agent { session, .. }, Some(other)) if other != session => {
            return Err(Error::forbidden("session_of_another", format!("session {other} is not the caller's own"))
                .with("session", other)
                .with("own", session));
        }
        (Scope::Agent { session, .. }, _) => session.clone(),
        (_, Some(named)) => named.clone(),
        (_, None) => return Err(Error::invalid("session_unnamed", "who is no agent names a session")),
    };
    sessions::row(txn.view(), &id)
}

fn save(txn: &mut ScopedTxn<'_>, mut session: SessionRow, data: &Json) -> Result<SessionRow> {
    if !matches!(session.state, SessionState::Running | SessionState::Finishing) {
        return Err(not_running(&session));
    }
    let bytes = data.to_string().len();
    if bytes > CHECKPOINT_BYTES_MAX {
        return Err(Error::invalid(
            "checkpoint_too_large",
            format!("a checkpoint has at most {CHECKPOINT_BYTES_MAX} bytes as JSON, not {bytes}"),
        )
        .with("bytes", bytes)
        .with("bytes_max", CHECKPOINT_BYTES_MAX));
    }
    session.checkpoint = Some(data.clone());
    let id = session.id.clone();
    txn.put(session.clone())?;
    txn.event("session.checkpointed", &id, json!({ "bead": session.bead, "bytes": bytes }));
    Ok(session)
}

fn not_running(session: &SessionRow) -> Error {
    Error::conflict("session_not_running", format!("session {} is {}", session.id, session.state))
        .with("session", &session.id)
        .with("state", session.state)
}
