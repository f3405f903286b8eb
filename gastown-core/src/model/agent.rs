//! Agents: lasting identities with a role.

use super::record::record;
use super::text_enum::text_enum;
use super::{AgentName, BeadId, RigName, SessionId, Timestamp};

text_enum! {
    /// What an agent is for.
    pub enum Role = "role" {
        /// Coordinates; one per town.
        Mayor = "mayor",
        /// Does one bead at a time.
        Polecat = "polecat",
        /// Reviews and merges; one per rig.
        Refinery = "refinery",
        /// Looks after the health of the others.
        Witness = "witness",
        /// A person.
        Crew = "crew",
    }
}

text_enum! {
    /// What an agent is doing.
    pub enum AgentState = "agent state" {
        /// Holds nothing and may be given work.
        Idle = "idle",
        /// Has a bead on its hook.
        Hooked = "hooked",
        /// Is not given work.
        Paused = "paused",
        /// Was idle for long and was put away; it is woken when its rig wants one more.
        Collected = "collected",
        /// Works no more; its name and its history stay.
        Retired = "retired",
    }
}

record! {
    /// The working columns of an agent; its bead has the same id.
    pub struct AgentRow = "bead_detail_agent" {
        /// The agent's bead.
        key id: BeadId,
        /// Unique in the town.
        plain name: AgentName,
        /// What it is for.
        plain role: Role,
        /// Where it works; null for the town's own.
        plain rig: Option<RigName>,
        /// What it is doing.
        plain state: AgentState,
        /// The one bead it holds.
        plain hook: Option<BeadId>,
        /// Its present or last session.
        plain session: Option<SessionId>,
        /// How many sessions it has had.
        plain sessions: i64,
        /// When its state last changed.
        plain since: Timestamp,
        /// Whether the engine made it, and may put it away.
        plain pooled: bool,
        /// The name of the program it runs at present, where there is a limit for such.
        plain preset: Option<String>,
        /// Why it is paused.
        plain paused_reason: Option<String>,
        /// Until when it is paused; null for "until somebody says so".
        plain paused_until: Option<Timestamp>,
    }
}
