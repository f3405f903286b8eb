//! The journal's entries.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use sha2::{Digest as _, Sha256};

use super::record::ColumnRole;
use super::value::Cell;
#[cfg(any(test, feature = "store-kit"))]
use super::value::Value;
use super::{Error, Key, Result, RowKind, SessionId, Timestamp};

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

/// An entry whose facts and changes are JSON text already: the text that its hash covers is the text that is stored.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct WrittenEvent {
    /// The entry, without its changes.
    pub event: Event,
    /// [`Event::data`] as JSON.
    pub data: String,
    /// [`Event::changes`] as JSON.
    pub changes: String,
}

impl WrittenEvent {
    /// The same entry as text.
    #[cfg(any(test, feature = "store-kit"))]
    pub(crate) fn of(event: &Event) -> Self {
        let changes = serde_json::to_string(&event.changes).expect("a change is JSON");
        Self { event: Event { changes: Vec::new(), ..event.clone() }, data: event.data.to_string(), changes }
    }

    /// The entry with its changes.
    pub fn parse(&self) -> Result<Event> {
        let changes = serde_json::from_str(&self.changes)
            .map_err(|source| Error::internal("event_unwritable", "an event's changes are not JSON").because(source))?;
        Ok(Event { changes, ..self.event.clone() })
    }

    /// The next entry after `head`, with its hash; `changes` is the JSON of a list of [`Change`].
    #[expect(clippy::too_many_arguments, reason = "an entry has that many parts")]
    pub(crate) fn next(
        head: &Head,
        at: Timestamp,
        actor: &str,
        session: Option<(SessionId, i64)>,
        kind: &str,
        subject: &str,
        data: serde_json::Value,
        changes: String,
    ) -> Self {
        let (session, epoch) = session.map_or((None, None), |(id, epoch)| (Some(id), Some(epoch)));
        let text = serde_json::to_string(&data).expect("a value is JSON");
        let mut event = Event {
            seq: head.seq + 1,
            at,
            actor: actor.to_owned(),
            session,
            epoch,
            kind: kind.to_owned(),
            subject: subject.to_owned(),
            data,
            changes: Vec::new(),
            schema: EVENT_SCHEMA,
            hash: String::new(),
        };
        event.hash = event.hash_with(&head.hash, &text, &changes);
        Self { event, data: text, changes }
    }
}

/// Writes a [`Change`] as the JSON that serde writes of it.
///
/// `cells` are all columns of the row; none where it was deleted.
pub(crate) fn write_change(out: &mut String, key: &Key, cells: Option<&[Cell<'_>]>) {
    out.push_str("{\"table\":");
    write_text(out, key.kind.table());
    out.push_str(",\"key\":[");
    for (n, value) in key.values.iter().enumerate() {
        if n > 0 {
            out.push(',');
        }
        write_cell(out, &value.into());
    }
    out.push_str("],\"row\":");
    match cells {
        None => out.push_str("null"),
        Some(cells) => {
            for (name, place) in journaled_by_name(key.kind) {
                out.push_str(name);
                write_cell(out, &cells[*place]);
            }
            out.push('}');
        }
    }
    out.push('}');
}

/// A table's journaled columns in the order of their names: what stands before each, and its place in a row.
fn journaled_by_name(kind: RowKind) -> &'static [(String, usize)] {
    static ALL: OnceLock<Vec<Vec<(String, usize)>>> = OnceLock::new();
    let of = |kind: &RowKind| {
        let columns = kind.columns();
        let mut places: Vec<usize> =
            (0..columns.len()).filter(|&place| columns[place].role != ColumnRole::Volatile).collect();
        places.sort_unstable_by_key(|&place| columns[place].name);
        // A column's name needs no escaping.
        let before = |(n, place): (usize, usize)| {
            (format!("{}\"{}\":", if n == 0 { '{' } else { ',' }, columns[place].name), place)
        };
        places.into_iter().enumerate().map(before).collect()
    };
    // `ALL` has the order of declaration, which is what the cast counts.
    &ALL.get_or_init(|| RowKind::ALL.iter().map(of).collect())[kind as usize]
}

fn write_cell(out: &mut String, cell: &Cell<'_>) {
    match cell {
        Cell::Null => out.push_str("null"),
        Cell::Int(n @ 0..=9) => out.push(char::from(b'0' + n.to_le_bytes()[0])),
        Cell::Int(n) => write_int(out, *n),
        Cell::Text(text) => write_text(out, text),
    }
}

/// Digit by digit, as a row has many numbers and the general way takes its time.
fn write_int(out: &mut String, n: i64) {
    let (mut digits, mut place, mut rest) = ([0; 20], 20, n.unsigned_abs());
    loop {
        place -= 1;
        digits[place] = b'0' + (rest % 10).to_le_bytes()[0];
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if n < 0 {
        out.push('-');
    }
    out.push_str(std::str::from_utf8(&digits[place..]).expect("digits are ASCII"));
}

fn write_text(out: &mut String, text: &str) {
    // Without an early end, so that it looks at many bytes at a time.
    #[allow(clippy::needless_bitwise_bool, reason = "see above")]
    let is_odd = text.bytes().fold(false, |odd, byte| odd | (byte < b' ') | (byte == b'"') | (byte == b'\\'));
    if is_odd {
        out.push_str(&serde_json::to_string(text).expect("a text is JSON"));
    } else {
        out.push('"');
        out.push_str(text);
        out.push('"');
    }
}

impl Event {
    /// The next entry after `head`, with its hash.
    #[cfg(any(test, feature = "store-kit"))]
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
        let changes = serde_json::to_string(&self.changes).expect("a change is JSON");
        self.hash_with(previous, &self.data.to_string(), &changes)
    }

    /// The same, with the JSON of the facts and the changes.
    fn hash_with(&self, previous: &str, data: &str, changes: &str) -> String {
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
        part(data.as_bytes());
        part(changes.as_bytes());
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
    let digits = bytes.iter().flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    String::from_utf8(digits.collect()).expect("digits are ASCII")
}

/// A change's key as stored values.
#[cfg(any(test, feature = "store-kit"))]
pub(crate) fn key_json(values: &[Value]) -> Vec<serde_json::Value> {
    values.iter().map(Value::to_json).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_written_as_serde_writes_it() {
        let ends = [0, 1, 9, 10, 99, 100, 1_790_000_000_000_000, i64::MAX];
        for n in ends.into_iter().flat_map(|n| [n, -n]).chain([i64::MIN]) {
            let mut written = String::new();
            write_cell(&mut written, &Cell::Int(n));
            assert_eq!(written, serde_json::to_string(&n).unwrap());
        }
    }

    #[test]
    fn every_text_is_escaped_as_serde_escapes_it() {
        for text in ["", "\u{0}", "a\"b", "a\\b", "\n\t\u{1f}", "\u{7f}", "ä\u{2028}😀"] {
            let mut written = String::new();
            write_text(&mut written, text);
            assert_eq!(written, serde_json::to_string(text).unwrap());
        }
    }
}
