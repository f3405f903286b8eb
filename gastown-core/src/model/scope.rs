//! Who calls, and what that caller can reach.

use super::{BeadId, RigName, Role, SessionId, UserId};

/// What a caller may reach. A handle carries it; no method takes it as an argument.
///
/// A scope that somebody writes down is of no use: handles are made by the town alone, for a caller of this process
/// ([`Town::operator`](crate::Town::operator), [`Town::user`](crate::Town::user), [`Town::rig`](crate::Town::rig)), for the agent of a session that there is, or of a token
/// whose signature holds ([`Town::with_token`](crate::Town::with_token)). So none of these compiles: a handle with a scope of one's own,
///
/// ```compile_fail,E0624
/// # use gastown_core::{Handle, Town, model::Scope};
/// fn as_operator(town: Town) -> Handle { Handle::new(town, Scope::Operator) }
/// ```
/// another scope for a handle that one has,
///
/// ```compile_fail,E0616
/// # use gastown_core::{Handle, model::Scope};
/// fn wider(handle: &mut Handle) { handle.scope = Scope::Operator.into(); }
/// ```
/// a capability that nobody issued,
///
/// ```compile_fail,E0639
/// # use gastown_core::model::{Capability, Timestamp};
/// fn forged(mine: Capability) -> Capability { Capability { expires_at: Timestamp::from_micros(i64::MAX), ..mine } }
/// ```
/// a handle with that,
///
/// ```compile_fail,E0624
/// # use gastown_core::{Handle, Town, model::Capability};
/// fn with_it(town: Town, forged: Capability) -> Handle { Handle::with_capability(town, forged) }
/// ```
/// an operation of a group that was not reached through a handle,
///
/// ```compile_fail,E0423
/// # use gastown_core::town::{Beads, Handle};
/// fn beads(handle: Handle) -> Beads { Beads(handle) }
/// ```
/// a question to the store without a scope,
///
/// ```compile_fail,E0616
/// # use gastown_core::Town;
/// fn store(town: &Town) { let _ = &town.shared.store; }
/// ```
/// a command of the floor below, which takes its scope as an argument,
///
/// ```compile_fail,E0603
/// use gastown_core::work::command;
/// ```
/// the rig, the agent or the town of another as an argument of an operation,
///
/// ```compile_fail,E0560
/// # use gastown_core::{BeadRef, model::{BeadId, RigName}};
/// fn of_rig(id: BeadId, rig: RigName) -> BeadRef { BeadRef { id, rig } }
/// ```
/// and a secret that is shown.
///
/// ```compile_fail,E0277
/// # use gastown_core::model::SecretText;
/// fn show(token: SecretText) -> String { format!("{token}") }
/// ```
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

    /// For whom an answer is remembered: one that the whole town was seen for is none for the same user in one rig.
    pub(crate) fn hears(&self) -> String {
        match self {
            Self::User { rig: Some(rig), .. } => format!("{} in {rig}", self.principal()),
            _ => self.principal(),
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
