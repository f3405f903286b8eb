//! The journal's entries.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use super::value::Value;
use super::{SessionId, Timestamp};

/// The version of the form that events are written in.
pub const EVENT_SCHEMA: u32 = 1;

/// One entry of a town's journal.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct Event {
    /// Its place: 1 for the first, then without a gap.
    pub seq: u64,
    /// When, by the clock of the process that wrote it.
    pub at: Timestamp,
    /// Who did it.
    pub actor: String,
    /// The session that did it, for an agent.
    pub session: Option<SessionId>,
    /// That session's epoch.
    pub epoch: Option<i64>,
    /// What happened: `bead.created`, `session.ended`, …
    pub kind: String,
    /// What it happened to: a bead's, session's or effect's id, a rig's name.
    pub subject: String,
    /// The facts.
    pub data: serde_json::Value,
    /// What the change left in the tables.
    pub changes: Vec<Change>,
    /// The version of this form.
    pub schema: u32,
    /// SHA-256 over the previous entry's hash and this entry, in hexadecimal.
    pub hash: String,
}

/// One row as a change left it.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Change {
    /// The table.
    pub table: String,
    /// The key's columns, in order.
    pub key: Vec<serde_json::Value>,
    /// The row's columns without the volatile ones; null where it was deleted.
    pub row: Option<BTreeMap<String, serde_json::Value>>,
}

/// The end of a journal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The last entry's place; 0 for an empty journal.
    pub seq: u64,
    /// The last entry's hash; empty for an empty journal.
    pub hash: String,
}

impl Event {
    /// The next entry after `head`, with its hash.
    #[expect(clippy::too_many_arguments, reason = "an entry has that many parts")]
    pub(crate) fn next(
        head: &Head,
        at: Timestamp,
        actor: &str,
        session: Option<(SessionId, i64)>,
        kind: &str,
        subject: &str,
        data: serde_json::Value,
        changes: Vec<Change>,
    ) -> Self {
        let (session, epoch) = session.map_or((None, None), |(id, epoch)| (Some(id), Some(epoch)));
        let mut event = Self {
            seq: head.seq + 1,
            at,
            actor: actor.to_owned(),
            session,
            epoch,
            kind: kind.to_owned(),
            subject: subject.to_owned(),
            data,
            changes,
            schema: EVENT_SCHEMA,
            hash: String::new(),
        };
        event.hash = event.hash_after(&head.hash);
        event
    }

    /// The hash this entry must have behind one with the hash `previous`.
    pub fn hash_after(&self, previous: &str) -> String {
        let mut hasher = Sha256::new();
        let mut part = |bytes: &[u8]| {
            hasher.update((bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        part(previous.as_bytes());
        part(&self.seq.to_le_bytes());
        part(&self.at.as_micros().to_le_bytes());
        part(self.actor.as_bytes());
        part(self.session.as_ref().map_or("", SessionId::as_str).as_bytes());
        part(&self.epoch.unwrap_or(-1).to_le_bytes());
        part(self.kind.as_bytes());
        part(self.subject.as_bytes());
        part(self.data.to_string().as_bytes());
        part(serde_json::to_string(&self.changes).expect("a change is JSON").as_bytes());
        part(&self.schema.to_le_bytes());
        hex(&hasher.finalize())
    }

    /// Where the journal ends with this entry.
    pub fn head(&self) -> Head {
        Head { seq: self.seq, hash: self.hash.clone() }
    }
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

/// A change's key as stored values.
pub(crate) fn key_json(values: &[Value]) -> Vec<serde_json::Value> {
    values.iter().map(Value::to_json).collect()
}
