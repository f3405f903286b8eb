//! Towns, rigs and their settings.

use super::record::record;
use super::text_enum::text_enum;
use super::{RigName, Timestamp, TownId};

text_enum! {
    /// Whether a rig's beads are handed out.
    pub enum RigState = "rig state" {
        /// They are.
        Active = "active",
        /// They are not; what runs goes on.
        Paused = "paused",
    }
}

record! {
    /// The town itself.
    pub struct TownRow = "town" {
        /// Identity; the same as the transaction's.
        key id: TownId,
        /// When it was made.
        plain created_at: Timestamp,
        /// The schema that its rows were last brought to; 0 where no later one had anything to bring.
        plain data_schema: i64,
        /// Why no bead of it is handed out; null where they are.
        plain paused_reason: Option<String>,
        /// Until when it is paused; null for "until somebody says so".
        plain paused_until: Option<Timestamp>,
    }
}

record! {
    /// One git repository under a town's care.
    pub struct RigRow = "rig" {
        /// Identity.
        key name: RigName,
        /// Starts the ids of its beads.
        plain prefix: String,
        /// Where the repository is; never holds a secret.
        plain remote: String,
        /// The branch that work lands on, without `refs/heads/`.
        plain target: String,
        /// Whether its beads are handed out.
        plain state: RigState,
        /// When it was added.
        plain created_at: Timestamp,
        /// Why it is paused.
        plain paused_reason: Option<String>,
        /// Until when it is paused; null for "until somebody says so".
        plain paused_until: Option<Timestamp>,
    }
}

record! {
    /// One setting of the town (`scope` is `town`) or of a rig (`rig:<name>`).
    pub struct SettingRow = "setting" {
        /// Whose.
        key scope: String,
        /// Which.
        key name: String,
        /// Its value as JSON.
        plain value: serde_json::Value,
        /// When it was set.
        plain updated_at: Timestamp,
    }
}

record! {
    /// The engine's leader: the one process that ticks and executes.
    pub struct LeaderRow = "leader" {
        /// Always `engine`.
        key name: String,
        /// The process, as host, boot, process and start time.
        plain holder: String,
        /// Counts the leaders; it never falls.
        plain epoch: i64,
        /// Until when it holds; renewed while it works.
        volatile lease_until: Timestamp,
        /// Why nothing is started under it any more; null while it may be.
        plain drain_reason: Option<String>,
        /// When the sessions that still run are stopped.
        plain drain_until: Option<Timestamp>,
    }
}

record! {
    /// A remembered answer to a command that carried an idempotency key; not journaled.
    pub struct IdempotencyRow = "idempotency" {
        /// Who asked.
        key principal: String,
        /// What.
        key operation: String,
        /// The caller's key.
        key idempotency_key: String,
        /// A hash of the request.
        volatile request_hash: String,
        /// The answer that was given.
        volatile answer: serde_json::Value,
        /// When.
        volatile created_at: Timestamp,
    }
}
