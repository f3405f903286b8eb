//! Breakers: what holds dispatch back while the outside world is out of order.

use super::record::record;
use super::text_enum::text_enum;
use super::{BeadId, RigName, SessionId, Timestamp};

text_enum! {
    /// Where a breaker stands.
    pub enum BreakerState = "breaker state" {
        /// Sessions are started.
        Closed = "closed",
        /// None is started until the wait is over.
        Open = "open",
        /// One session is started to find out; the others wait for what becomes of it.
        HalfOpen = "half_open",
    }
}

text_enum! {
    /// A part of the outside world that a session can fail by.
    pub enum Part = "part of the outside world" {
        /// What belongs to the rig: its repository, its remote, its agents' program and credentials.
        Rig = "rig",
        /// What all rigs share: where sessions run.
        Runtime = "runtime",
    }
}

record! {
    /// Counts the failures of the outside world in a row, of one rig or of the runtime, and holds dispatch back.
    pub struct BreakerRow = "breaker" {
        /// `rig/<name>`, or `runtime`.
        key subject: String,
        /// The rig; null for the runtime.
        plain rig: Option<RigName>,
        /// Where it stands.
        plain state: BreakerState,
        /// Failures in a row since the last session that was well.
        plain failures: u32,
        /// How often in a row it opened; the wait grows with it.
        plain openings: u32,
        /// The last failure, in words.
        plain reason: Option<String>,
        /// When that was.
        plain failed_at: Option<Timestamp>,
        /// When it came to stand where it stands.
        plain since: Timestamp,
        /// The session that finds out.
        plain probe: Option<SessionId>,
        /// The bead that tells a person of it, while it is not closed.
        plain escalation: Option<BeadId>,
        /// When the engine should look again.
        plain wake_at: Option<Timestamp>,
    }
}
