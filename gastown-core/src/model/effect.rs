//! Effects: things to be done outside the database.

use std::fmt;

use super::record::record;
use super::text_enum::text_enum;
use super::{AgentName, BeadId, EffectId, Error, Oid, Result, RigName, SessionId, Timestamp};

text_enum! {
    /// Where an effect stands.
    pub enum EffectState = "effect state" {
        /// Wanted; nobody has begun.
        Planned = "planned",
        /// An executor has begun it.
        Issued = "issued",
        /// Its executor is gone; it may or may not have happened.
        Ambiguous = "ambiguous",
        /// Somebody is finding out.
        Probing = "probing",
        /// It happened.
        Confirmed = "confirmed",
        /// It did not happen and will not: the reason is with it.
        Refused = "refused",
    }
}

text_enum! {
    /// Why an effect did not happen, as far as it says whether another try may help.
    pub enum Setback = "setback" {
        /// Something did not answer or was busy: it may be well in a moment.
        Transient = "transient",
        /// Credentials were refused: somebody has to change them.
        Auth = "auth",
        /// What it is about is not there: a repository, a branch.
        Gone = "gone",
        /// It may not be done, or cannot be right.
        Refused = "refused",
    }
}

impl EffectState {
    /// The legal moves; everything else is refused. A probe that finds it absent plans it again.
    pub const MOVES: &'static [(Self, Self)] = &[
        (Self::Planned, Self::Issued),
        (Self::Planned, Self::Refused),
        (Self::Issued, Self::Confirmed),
        (Self::Issued, Self::Refused),
        (Self::Issued, Self::Planned),
        (Self::Issued, Self::Ambiguous),
        (Self::Ambiguous, Self::Probing),
        (Self::Probing, Self::Confirmed),
        (Self::Probing, Self::Planned),
        (Self::Probing, Self::Refused),
        (Self::Probing, Self::Ambiguous),
    ];

    /// Whether nothing more happens to it.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Confirmed | Self::Refused)
    }
}

/// What is to be done; its `Display` is one readable line.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Order {
    /// Make the workspace and start the agent's program in it.
    Start {
        /// The session.
        session: SessionId,
        /// The agent's name.
        agent: AgentName,
        /// The bead.
        bead: BeadId,
        /// The bead's epoch.
        epoch: i64,
        /// Where.
        rig: RigName,
    },
    /// Stop the agent's program.
    Stop {
        /// The session.
        session: SessionId,
        /// Where.
        rig: RigName,
    },
    /// Poke the agent: there is work on its hook.
    Nudge {
        /// The session.
        session: SessionId,
        /// The bead on the hook.
        bead: BeadId,
        /// Where.
        rig: RigName,
    },
    /// Tell the agent that its host is going away.
    Notice {
        /// The session.
        session: SessionId,
        /// Where.
        rig: RigName,
        /// When it is stopped.
        until: Timestamp,
    },
    /// Put what a session left at the remote, so that another host can go on from it.
    Save {
        /// The session.
        session: SessionId,
        /// Where.
        rig: RigName,
        /// The branch for what was saved; never one that work lands on.
        branch: String,
        /// The commit.
        head: Oid,
    },
    /// Put a work branch's commit at the remote under the bead's name.
    Publish {
        /// The merge request.
        review: BeadId,
        /// Where.
        rig: RigName,
        /// The published branch.
        branch: String,
        /// The commit.
        head: Oid,
    },
    /// Make a convoy's branch at the remote from the target's tip.
    Branch {
        /// The convoy.
        convoy: BeadId,
        /// Where.
        rig: RigName,
        /// The convoy's branch.
        branch: String,
        /// The branch it starts from.
        from: String,
        /// What it must hold, where it was made before.
        #[serde(default)]
        holds: Option<Oid>,
    },
    /// Make the merge commit in the object store.
    Merge {
        /// The merge request.
        review: BeadId,
        /// Where.
        rig: RigName,
        /// The branch it goes to.
        target: String,
        /// The commit to merge.
        head: Oid,
        /// The merge commit's message.
        message: String,
        /// The merge commit's time, so that a repeat makes the same commit.
        at: Timestamp,
    },
    /// Run the gate on the merge commit.
    Gate {
        /// The merge request.
        review: BeadId,
        /// Where.
        rig: RigName,
        /// The merge commit.
        commit: Oid,
    },
    /// Put the merge commit on the target, if the target is still what it was.
    Land {
        /// The merge request.
        review: BeadId,
        /// Where.
        rig: RigName,
        /// The branch.
        target: String,
        /// What the target must hold.
        expected: Oid,
        /// The merge commit.
        commit: Oid,
    },
    /// Remove an ended session's workspace.
    Cleanup {
        /// The session.
        session: SessionId,
        /// Where.
        rig: RigName,
    },
    /// Delete a branch at the remote and in the mirror, if it still holds the commit.
    DeleteBranch {
        /// Where.
        rig: RigName,
        /// The branch.
        branch: String,
        /// What it must hold.
        expected: Oid,
        /// Work branches that only the mirror has, which went into it.
        work: Vec<String>,
    },
}

impl Order {
    /// The word of its kind.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Start { .. } => "start",
            Self::Stop { .. } => "stop",
            Self::Nudge { .. } => "nudge",
            Self::Notice { .. } => "notice",
            Self::Save { .. } => "save",
            Self::Publish { .. } => "publish",
            Self::Branch { .. } => "branch",
            Self::Merge { .. } => "merge",
            Self::Gate { .. } => "gate",
            Self::Land { .. } => "land",
            Self::Cleanup { .. } => "cleanup",
            Self::DeleteBranch { .. } => "delete_branch",
        }
    }

    /// Where.
    pub const fn rig(&self) -> &RigName {
        match self {
            Self::Start { rig, .. }
            | Self::Stop { rig, .. }
            | Self::Nudge { rig, .. }
            | Self::Notice { rig, .. }
            | Self::Save { rig, .. }
            | Self::Publish { rig, .. }
            | Self::Branch { rig, .. }
            | Self::Merge { rig, .. }
            | Self::Gate { rig, .. }
            | Self::Land { rig, .. }
            | Self::Cleanup { rig, .. }
            | Self::DeleteBranch { rig, .. } => rig,
        }
    }

    /// What it is about: a session, a merge request, a convoy, a branch.
    pub fn subject(&self) -> String {
        match self {
            Self::Start { session, .. }
            | Self::Stop { session, .. }
            | Self::Nudge { session, .. }
            | Self::Notice { session, .. }
            | Self::Save { session, .. }
            | Self::Cleanup { session, .. } => session.to_string(),
            Self::Publish { review, .. }
            | Self::Merge { review, .. }
            | Self::Gate { review, .. }
            | Self::Land { review, .. } => review.to_string(),
            Self::Branch { convoy, .. } => convoy.to_string(),
            Self::DeleteBranch { branch, .. } => branch.replace('/', "-"),
        }
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start { agent, bead, epoch, .. } => write!(f, "start {agent} on {bead} (epoch {epoch})"),
            Self::Stop { session, .. } => write!(f, "stop {session}"),
            Self::Nudge { session, bead, .. } => write!(f, "poke {session} about {bead}"),
            Self::Notice { session, .. } => write!(f, "tell {session} that its host is going away"),
            Self::Save { session, branch, head, .. } => {
                write!(f, "save {} of {session} as {branch}", head.short())
            }
            Self::Publish { branch, head, .. } => write!(f, "publish {} as {branch}", head.short()),
            Self::Branch { branch, from, .. } => write!(f, "make {branch} from {from}"),
            Self::Merge { review, head, target, .. } => write!(f, "merge {} into {target} for {review}", head.short()),
            Self::Gate { review, commit, .. } => write!(f, "run the gate on {} for {review}", commit.short()),
            Self::Land { target, expected, commit, .. } => {
                write!(f, "move {target} from {} to {}", expected.short(), commit.short())
            }
            Self::Cleanup { session, .. } => write!(f, "remove the workspace of {session}"),
            Self::DeleteBranch { branch, .. } => write!(f, "delete branch {branch}"),
        }
    }
}

record! {
    /// One effect, kept until its outcome is known.
    pub struct EffectRow = "effect" {
        /// `<kind>#<subject>#<n>`: the same order is never there twice.
        key id: EffectId,
        /// The order's kind.
        plain kind: String,
        /// Where.
        plain rig: RigName,
        /// Where it stands.
        plain state: EffectState,
        /// The order.
        plain payload: serde_json::Value,
        /// How often it was issued.
        plain attempts: u32,
        /// The leader's epoch under which it was issued; what another reports is ignored.
        plain leader_epoch: i64,
        /// Not issued before.
        plain next_at: Timestamp,
        /// What came of it last, in words.
        plain outcome: Option<String>,
        /// When it was wanted.
        plain created_at: Timestamp,
        /// When it last changed.
        plain updated_at: Timestamp,
        /// Why it did not happen when it was last tried.
        plain setback: Option<Setback>,
    }
}

impl EffectRow {
    /// The order it holds.
    pub fn order(&self) -> Result<Order> {
        serde_json::from_value(self.payload.clone()).map_err(|source| {
            Error::corrupt("effect_unreadable", format!("the order of effect {} cannot be read", self.id))
                .with("effect", &self.id)
                .because(source)
        })
    }

    /// Moves it to another state, or says why that is not legal.
    pub fn move_to(&mut self, state: EffectState) -> Result<()> {
        if !EffectState::MOVES.contains(&(self.state, state)) {
            return Err(Error::conflict(
                "effect_transition",
                format!("effect {} is {} and cannot become {state}", self.id, self.state),
            )
            .with("effect", &self.id)
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
        for &from in EffectState::ALL {
            for &to in EffectState::ALL {
                let at = Timestamp::from_micros(1);
                let mut row = EffectRow {
                    id: EffectId::new("stop#s-1#1").unwrap(),
                    kind: "stop".into(),
                    rig: RigName::new("harbour").unwrap(),
                    state: from,
                    payload: serde_json::json!({}),
                    attempts: 0,
                    leader_epoch: 0,
                    next_at: at,
                    outcome: None,
                    created_at: at,
                    updated_at: at,
                    setback: None,
                };
                let result = row.move_to(to);
                if EffectState::MOVES.contains(&(from, to)) {
                    result.unwrap();
                    assert_eq!(row.state, to);
                } else {
                    assert_eq!(result.unwrap_err().code(), "effect_transition");
                    assert_eq!(row.state, from, "a refused move changes nothing");
                }
            }
        }
    }

    #[test]
    fn what_was_begun_is_not_planned_again_before_somebody_knows_what_became_of_it() {
        assert!(!EffectState::MOVES.contains(&(EffectState::Ambiguous, EffectState::Planned)));
        assert!(EffectState::MOVES.iter().all(|(from, _)| !from.is_terminal()));
    }
}
