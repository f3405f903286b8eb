//! Attempts: everything that was tried for a bead, and why it failed or waits, in one answer.

use serde::{Deserialize, Serialize};

use super::beads::BeadRef;
use super::outcome::Failure;
use super::view::{View, text};
use crate::model::{
    BeadId, BeadStatus, Error, Fault, Oid, Result, SessionExit, SessionId, SessionRow, SessionState, Timestamp,
};
use crate::store::{Scan, index};

/// The most attempts that are answered; the last ones.
const ATTEMPTS_MAX: usize = 200;

/// One session of a bead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Attempt {
    /// Which.
    pub session: SessionId,
    /// The epoch of its dispatch.
    pub epoch: i64,
    /// The agent's bead.
    pub agent: BeadId,
    /// Where it stands.
    pub state: SessionState,
    /// How it ended.
    pub exit: Option<SessionExit>,
    /// What it counted to; none where it was nobody's fault, or is not over.
    pub fault: Option<Fault>,
    /// Why, in words.
    pub reason: Option<String>,
    /// The commit it left.
    pub head: Option<Oid>,
    /// A commit of what it had not committed, in the rig's mirror; none where there was nothing.
    pub saved: Option<Oid>,
    /// When it was decided.
    pub created_at: Timestamp,
    /// When its process was seen; none where it never was.
    pub started_at: Option<Timestamp>,
    /// When it was over.
    pub ended_at: Option<Timestamp>,
}

/// What was tried for a bead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Attempts {
    /// Which bead.
    pub bead: BeadId,
    /// Where it stands.
    pub status: BeadStatus,
    /// Why it failed; none where it did not.
    pub failure: Option<Failure>,
    /// Attempts that failed because of the work.
    pub failures: u32,
    /// Attempts that failed because of the agent.
    pub agent_failures: u32,
    /// Attempts in a row that the machine, the runtime or the network broke off.
    pub outages: u32,
    /// Attempts in a row for which credentials were refused.
    pub auth_failures: u32,
    /// How often its change was sent back by the merge queue.
    pub reworks: u32,
    /// Why it is set aside; none where it is not.
    pub parked_reason: Option<String>,
    /// When it may run again; none where nothing holds it, or not a time.
    pub next_at: Option<Timestamp>,
    /// Its sessions, oldest first; the last 200.
    pub attempts: Vec<Attempt>,
    /// Whether there were more.
    pub more: bool,
}

/// Reads what was tried for a bead.
pub(crate) fn attempts(view: View<'_>, input: &BeadRef) -> Result<Attempts> {
    let bead = view.bead(&input.id)?;
    let mut sessions: Vec<SessionRow> = view.all(Scan::new(&index::SESSIONS_BY_BEAD, vec![text(&bead.id)], 0))?;
    let more = sessions.len() > ATTEMPTS_MAX;
    let left = sessions.split_off(sessions.len().saturating_sub(ATTEMPTS_MAX));
    let stored = bead.failure.map(serde_json::from_value::<Failure>).transpose().map_err(|source| {
        Error::corrupt("failure_unreadable", format!("why bead {} failed cannot be read", bead.id)).because(source)
    })?;
    // One that failed before this was stored, or came in as failed.
    let known = || {
        let message = bead.close_reason.clone().unwrap_or_else(|| "nobody said why".to_owned());
        let code = bead.resolution.map_or("unknown", crate::model::Resolution::as_str).to_owned();
        Failure { code, message, source: "unknown".to_owned() }
    };
    let failure = if bead.status == BeadStatus::Failed { stored.or_else(|| Some(known())) } else { None };
    Ok(Attempts {
        bead: bead.id,
        status: bead.status,
        failure,
        failures: bead.failures,
        agent_failures: bead.agent_failures,
        outages: bead.outages,
        auth_failures: bead.auth_failures,
        reworks: bead.reworks,
        parked_reason: bead.parked_reason,
        next_at: bead.wake_at,
        attempts: left.into_iter().map(Attempt::from).collect(),
        more,
    })
}

impl From<SessionRow> for Attempt {
    fn from(row: SessionRow) -> Self {
        Self {
            session: row.id,
            epoch: row.epoch,
            agent: row.agent,
            state: row.state,
            exit: row.exit,
            fault: row.exit.and_then(SessionExit::fault),
            reason: row.reason,
            head: row.head,
            saved: row.saved,
            created_at: row.created_at,
            started_at: row.started_at,
            ended_at: row.ended_at,
        }
    }
}
