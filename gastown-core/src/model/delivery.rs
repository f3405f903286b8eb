//! Deliveries: one message on its way to one recipient.

use super::record::record;
use super::text_enum::text_enum;
use super::{BeadId, SessionId, Timestamp};

text_enum! {
    /// How far a message has come to one recipient.
    pub enum DeliveryState = "delivery state" {
        /// It is kept for the recipient.
        Stored = "stored",
        /// It was offered to a running session.
        Offered = "offered",
        /// The session took it.
        Accepted = "accepted",
        /// The recipient read it.
        Seen = "seen",
        /// The recipient is done with it.
        Acked = "acked",
        /// Its time was over before it was read.
        Expired = "expired",
        /// It cannot be delivered: the reason is with it.
        Dead = "dead",
    }
}

record! {
    /// One message on its way to one recipient; the message itself is a bead.
    pub struct DeliveryRow = "delivery" {
        /// The message.
        key message: BeadId,
        /// Whose mailbox it is in.
        key recipient: String,
        /// Who sent it.
        plain sender: String,
        /// The first message of its conversation.
        plain thread: BeadId,
        /// How far it has come.
        plain state: DeliveryState,
        /// The message's priority: 0 critical to 4 backlog.
        plain priority: u32,
        /// The session that it was last offered to.
        plain session: Option<SessionId>,
        /// How often it was offered.
        plain attempts: u32,
        /// Why it was not taken, or is dead.
        plain problem: Option<String>,
        /// When it was sent.
        plain stored_at: Timestamp,
        /// When it was last offered.
        plain offered_at: Option<Timestamp>,
        /// When it was read.
        plain seen_at: Option<Timestamp>,
        /// When nothing more was to happen with it.
        plain ended_at: Option<Timestamp>,
        /// When it is no longer of use.
        plain expires_at: Option<Timestamp>,
        /// When it is to be looked at again.
        volatile wake_at: Option<Timestamp>,
    }
}
