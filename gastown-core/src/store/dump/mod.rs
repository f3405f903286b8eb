//! A town as lines of JSON, which every backend can write and read.
//!
//! The first line says what it is, then come the rows of each table in the order of their keys, then the journal, and
//! the last line counts both and holds the SHA-256 of all bytes before it. Every line is an object with one key:
//!
//! ```json
//! {"town":{"format":1,"library":"0.1.0","id":"town","head":{"seq":2,"hash":"…"}}}
//! {"row":{"table":"town","columns":{"created_at":1763670000000000,"id":"town"}}}
//! {"event":{"seq":1,"at":1763670000000000,"actor":"town","kind":"town.founded","…":"…"}}
//! {"end":{"rows":1,"events":2,"unreadable":0,"sha256":"…"}}
//! ```
//!
//! Columns have the names of the tables, times are microseconds. A row that cannot be read is a line of its own,
//! `{"unreadable":{…}}`, which is not read back.

mod read;
#[cfg(test)]
mod tests;
mod write;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use self::read::{check, read, read_header};
pub(crate) use self::read::{each_event, each_row};
pub use self::write::write;
pub(crate) use self::write::{DumpWriter, write_whole};
use crate::model::{Error, Event, Head, Result, TownId};

/// The version of this form.
pub const FORMAT: u32 = 1;

/// The longest line in bytes.
pub const LINE_BYTES_MAX: usize = 64 << 20;

/// The chain of entries so far. A journal whose beginning was archived starts with an entry whose predecessor is not here.
#[derive(Default)]
struct Chain(Option<Head>);

impl Chain {
    fn follow(&mut self, event: &Event) -> Result<()> {
        let follows = match &self.0 {
            Some(head) => event.seq == head.seq + 1 && event.hash == event.hash_after(&head.hash),
            None => event.seq > 1 || event.hash == event.hash_after(""),
        };
        if !follows {
            return Err(Error::corrupt("journal_broken", format!("the journal's chain breaks at event {}", event.seq))
                .with("seq", event.seq));
        }
        self.0 = Some(event.head());
        Ok(())
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Town(Header),
    Row(DumpedRow),
    Unreadable(Lost),
    Event(Event),
    End(End),
}

/// What the first line says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Header {
    /// The version of the form.
    pub format: u32,
    /// The version of the library that wrote it.
    pub library: String,
    /// The town.
    pub id: TownId,
    /// Where its journal ends.
    pub head: Place,
}

/// A place in a journal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The entry's number.
    pub seq: u64,
    /// The entry's hash.
    pub hash: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct DumpedRow {
    table: String,
    columns: BTreeMap<String, serde_json::Value>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Lost {
    row: String,
    problem: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct End {
    rows: u64,
    events: u64,
    unreadable: u64,
    sha256: String,
}

/// What was written or read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Dumped {
    /// How many rows.
    pub rows: u64,
    /// How many entries of the journal.
    pub events: u64,
    /// How many rows were left out because they could not be read; each has a line that names it, up to a hundred in a row.
    pub unreadable: u64,
    /// How many bytes.
    pub bytes: u64,
    /// Where the journal ends.
    pub head: u64,
}
