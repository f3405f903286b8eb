//! Who calls, and what that caller can reach.

use super::{BeadId, RigName, Role, SessionId, UserId};

/// What a caller may reach. A handle carries it; no method takes it as an argument.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Scope {
    /// The person or program that owns the town: everything.
    Operator,
    /// The town itself: its engine and executor.
    Town,
    /// A person or program that the host knows by a name: everything, or one rig's rows and nothing else.
    User {
        /// Its name.
        user: UserId,
        /// The rig that it is confined to.
        rig: Option<RigName>,
    },
    /// One rig's rows and nothing else.
    Rig(RigName),
    /// An agent in a session: its rig's rows, and only while its epoch is the bead's.
    Agent {
        /// The agent's bead.
        agent: BeadId,
        /// Its role.
        role: Role,
        /// Its rig.
        rig: RigName,
        /// The bead it works on.
        bead: BeadId,
        /// Its session.
        session: SessionId,
        /// The epoch of its session.
        epoch: i64,
    },
}

impl Scope {
    /// Who it is in the journal and for idempotency keys.
    pub fn principal(&self) -> String {
        match self {
            Self::Operator => "operator".to_owned(),
            Self::Town => "engine".to_owned(),
            Self::User { user, .. } => format!("user/{user}"),
            Self::Rig(rig) => format!("rig/{rig}"),
            Self::Agent { agent, role, .. } => format!("{role}/{agent}"),
        }
    }

    /// The rig it is confined to.
    pub const fn rig(&self) -> Option<&RigName> {
        match self {
            Self::Operator | Self::Town => None,
            Self::User { rig, .. } => rig.as_ref(),
            Self::Rig(rig) | Self::Agent { rig, .. } => Some(rig),
        }
    }
}
