//! Sessions: one run of one agent on one bead.

use super::record::record;
use super::text_enum::text_enum;
use super::{BeadId, Error, Oid, Result, RigName, SessionExit, SessionId, Timestamp};

text_enum! {
    /// Where a session stands.
    pub enum SessionState = "session state" {
        /// Decided; nothing was done yet.
        Planned = "planned",
        /// Its start was given to the executor.
        Starting = "starting",
        /// Its process runs.
        Running = "running",
        /// It is being stopped.
        Finishing = "finishing",
        /// Over.
        Ended = "ended",
    }
}

impl SessionState {
    /// The legal moves; everything else is refused.
    pub const MOVES: &'static [(Self, Self)] = &[
        (Self::Planned, Self::Starting),
        (Self::Planned, Self::Ended),
        (Self::Starting, Self::Running),
        (Self::Starting, Self::Finishing),
        (Self::Starting, Self::Ended),
        (Self::Running, Self::Finishing),
        (Self::Running, Self::Ended),
        (Self::Finishing, Self::Ended),
    ];
}

text_enum! {
    /// One of the things that a session leaves in segments beside the town's database.
    pub enum OutputStream = "output stream" {
        /// What it printed, standard output and error in the order of arrival.
        Output = "output",
        /// Its structured events: lines of JSON.
        Events = "events",
    }
}

#[allow(clippy::derivable_impls, reason = "the macro derives for all words alike")]
impl Default for OutputStream {
    fn default() -> Self {
        Self::Output
    }
}

text_enum! {
    /// Why a line of structured events has no meaning.
    pub enum EventFlaw = "event flaw" {
        /// It is no JSON.
        Malformed = "malformed",
        /// Its beginning or its end is missing: dropped, never written, or on the page before or after.
        Incomplete = "incomplete",
    }
}

text_enum! {
    /// How far a session without progress was followed up.
    pub enum Stall = "stall" {
        /// It was poked.
        Nudged = "nudged",
        /// Somebody was asked to look at it.
        Triaged = "triaged",
        /// It was stopped.
        Stopped = "stopped",
    }
}

record! {
    /// One run of one agent on one bead.
    pub struct SessionRow = "session" {
        /// Identity.
        key id: SessionId,
        /// The agent's bead.
        plain agent: BeadId,
        /// The bead it works on.
        plain bead: BeadId,
        /// Where.
        plain rig: RigName,
        /// The bead's epoch of this dispatch; what carries another is ignored.
        plain epoch: i64,
        /// Where it stands.
        plain state: SessionState,
        /// How it ended.
        plain exit: Option<SessionExit>,
        /// Why, in words.
        plain reason: Option<String>,
        /// The work branch, without `refs/heads/`.
        plain branch: String,
        /// The branch its work is meant for, without `refs/heads/`.
        plain target: String,
        /// The commit it started from.
        plain base: Option<Oid>,
        /// The commit it left.
        plain head: Option<Oid>,
        /// When it was decided.
        plain created_at: Timestamp,
        /// When its process was seen.
        plain started_at: Option<Timestamp>,
        /// When it was over.
        plain ended_at: Option<Timestamp>,
        /// Until when its supervisor vouched for it.
        volatile lease_until: Option<Timestamp>,
        /// When it last made progress.
        volatile last_progress: Option<Timestamp>,
        /// When the engine should look again.
        volatile wake_at: Option<Timestamp>,
        /// How much its runtime had seen of it when it last made progress, in bytes.
        volatile progress: i64,
        /// What it ends as once it has stopped, where that is decided.
        plain ending: Option<SessionExit>,
        /// How far it was followed up while it made no progress; null while it makes some.
        plain stall: Option<Stall>,
        /// The bead that asks somebody to look at it.
        plain triage: Option<BeadId>,
        /// What its agent left for the next session of the bead.
        plain checkpoint: Option<serde_json::Value>,
        /// A commit of what it had not committed, on its `head` or else on its `base`.
        plain saved: Option<Oid>,
    }
}

impl SessionRow {
    /// Moves it to another state, or says why that is not legal.
    pub fn move_to(&mut self, state: SessionState) -> Result<()> {
        if !SessionState::MOVES.contains(&(self.state, state)) {
            return Err(Error::conflict(
                "session_transition",
                format!("session {} is {} and cannot become {state}", self.id, self.state),
            )
            .with("session", &self.id)
            .with("from", self.state)
            .with("to", state));
        }
        self.state = state;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_of_states_is_legal_or_refused_by_the_table() {
        for &from in SessionState::ALL {
            for &to in SessionState::ALL {
                let mut row = SessionRow {
                    id: SessionId::new("s-1").unwrap(),
                    agent: BeadId::new("gt-1").unwrap(),
                    bead: BeadId::new("gt-2").unwrap(),
                    rig: RigName::new("harbour").unwrap(),
                    epoch: 1,
                    state: from,
                    exit: None,
                    reason: None,
                    branch: "gt/work/gt-2/nux.1".into(),
                    target: "main".into(),
                    base: None,
                    head: None,
                    created_at: Timestamp::from_micros(1),
                    started_at: None,
                    ended_at: None,
                    lease_until: None,
                    last_progress: None,
                    wake_at: None,
                    progress: 0,
                    ending: None,
                    stall: None,
                    triage: None,
                    checkpoint: None,
                    saved: None,
                };
                let result = row.move_to(to);
                if SessionState::MOVES.contains(&(from, to)) {
                    result.unwrap();
                    assert_eq!(row.state, to);
                } else {
                    assert_eq!(result.unwrap_err().code(), "session_transition");
                    assert_eq!(row.state, from, "a refused move changes nothing");
                }
            }
        }
    }

    #[test]
    fn an_ended_session_stays_ended_and_every_other_can_end() {
        for &(from, _) in SessionState::MOVES {
            assert_ne!(from, SessionState::Ended);
            assert!(SessionState::MOVES.contains(&(from, SessionState::Ended)), "{from}");
        }
    }
}
