//! The rows, rebuilt from the journal.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::value::Value;
use crate::model::{Error, Head, Key, Result, Row, RowKind};
use crate::store::{Position, Reader, Scan, index};

/// What a replay of the journal found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Replay {
    /// How many events were played.
    pub events: u64,
    /// How many rows they gave.
    pub rows: u64,
    /// The keys of rows that are stored otherwise than the journal says, at most 100; empty when all is well.
    pub differences: Vec<String>,
}

/// Plays the whole journal and compares what it gives with the stored rows; volatile columns are left out.
pub(super) fn replay(reader: &dyn Reader) -> Result<Replay> {
    let mut rows: BTreeMap<Key, Vec<Value>> = BTreeMap::new();
    let mut head = Head::default();
    loop {
        let events = reader.events(head.seq, 1_000)?;
        if events.is_empty() {
            break;
        }
        for event in events {
            if event.seq != head.seq + 1 || event.hash != event.hash_after(&head.hash) {
                return Err(Error::corrupt(
                    "journal_broken",
                    format!("the journal's chain breaks at event {}", event.seq),
                )
                .with("seq", event.seq));
            }
            head = event.head();
            for change in &event.changes {
                let kind = RowKind::of_table(&change.table).ok_or_else(|| {
                    Error::unsupported("table_unknown", format!("the journal names the table {:?}", change.table))
                })?;
                let values = change.key.iter().map(Value::from_json).collect::<Result<_>>()?;
                let key = Key { kind, values };
                match Row::from_change(change)? {
                    Some(row) => rows.insert(key, row.to_journaled()),
                    None => rows.remove(&key),
                };
            }
        }
    }
    if head != reader.head()? {
        return Err(
            Error::corrupt("journal_broken", "the journal does not end where its head says").with("seq", head.seq)
        );
    }
    let (events, count) = (head.seq, rows.len() as u64);
    let mut differences = Vec::new();
    let mut differs = |key: &Key| {
        if differences.len() < 100 {
            differences.push(format!("{} {:?}", key.kind.table(), key.values));
        }
    };
    for (key, values) in &rows {
        if reader.get(key)?.is_none_or(|stored| stored.to_journaled() != *values) {
            differs(key);
        }
    }
    // Rows that the journal knows nothing of; every table with an index over all of it is walked.
    for at in [&index::BEADS, &index::AGENTS, &index::CONVOYS, &index::RIGS] {
        let mut scan = Scan::new(at, vec![], 1_000);
        loop {
            let page = reader.scan(&scan)?;
            for row in &page {
                if !rows.contains_key(&row.key()) {
                    differs(&row.key());
                }
            }
            match page.last() {
                Some(last) if page.len() == scan.limit => scan.after = Some(Position::of(at, last)),
                _ => break,
            }
        }
    }
    Ok(Replay { events, rows: count, differences })
}
