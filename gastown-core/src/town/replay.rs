//! The rows, rebuilt from the journal.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::upkeep;
use crate::model::value::Value;
use crate::model::{Error, Event, Head, Key, Result, Row, RowKind};
use crate::store::{Position, Reader, Scan, index};

/// What a replay of the journal found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Replay {
    /// How many events were played, archived ones too.
    pub events: u64,
    /// How many rows they gave.
    pub rows: u64,
    /// The keys of rows that are stored otherwise than the journal says, at most 100; empty when all is well.
    pub differences: Vec<String>,
}

/// The most differences that are told.
const DIFFERENCES_MAX: usize = 100;

/// Plays the whole journal and compares what it gives with the stored rows; volatile columns are left out.
///
/// What was archived is read from the files in the town's folder. Each event is shown to `visit` once it was played.
pub(super) fn replay(reader: &dyn Reader, dir: &Path, visit: &mut dyn FnMut(&Event)) -> Result<Replay> {
    let mut player = Player::default();
    let mut play = |event: &Event| {
        player.play(event)?;
        visit(event);
        Ok(())
    };
    let first = reader.events(0, 1)?.first().map_or(1, |event| event.seq);
    upkeep::archived_events(dir, first, &mut |event| play(&event))?;
    let mut after = first - 1;
    loop {
        let events = reader.events(after, 1_000)?;
        let Some(last) = events.last() else { break };
        after = last.seq;
        events.iter().try_for_each(&mut play)?;
    }
    let Player { head, rows } = player;
    if head != reader.head()? {
        return Err(
            Error::corrupt("journal_broken", "the journal does not end where its head says").with("seq", head.seq)
        );
    }
    Ok(Replay { events: head.seq, rows: rows.len() as u64, differences: differences(reader, &rows)? })
}

/// What stands for a row's journaled columns: a town of any size is held by its keys and these, some 200 bytes a row.
type Mark = [u8; 16];

fn mark_of(row: &Row) -> Mark {
    let mut sum = Sha256::new();
    for value in row.to_journaled() {
        match value {
            Value::Null => sum.update([0]),
            Value::Int(n) => sum.update([&[1], &n.to_le_bytes()[..]].concat()),
            Value::Text(text) => {
                sum.update([&[2], &(text.len() as u64).to_le_bytes()[..]].concat());
                sum.update(text.as_bytes());
            }
        }
    }
    *sum.finalize().first_chunk().expect("a sum has 32 bytes")
}

/// The rows that the events so far give.
#[derive(Default)]
struct Player {
    head: Head,
    rows: BTreeMap<Key, Mark>,
}

impl Player {
    fn play(&mut self, event: &Event) -> Result<()> {
        if event.seq != self.head.seq + 1 || event.hash != event.hash_after(&self.head.hash) {
            return Err(Error::corrupt("journal_broken", format!("the journal's chain breaks at event {}", event.seq))
                .with("seq", event.seq));
        }
        self.head = event.head();
        for change in &event.changes {
            let kind = RowKind::of_table(&change.table).ok_or_else(|| {
                Error::unsupported("table_unknown", format!("the journal names the table {:?}", change.table))
            })?;
            let values = change.key.iter().map(Value::from_json).collect::<Result<_>>()?;
            let key = Key { kind, values };
            match Row::from_change(change)? {
                Some(row) => self.rows.insert(key, mark_of(&row)),
                None => self.rows.remove(&key),
            };
        }
        Ok(())
    }
}

/// Rows that are stored otherwise, not at all, or that the journal knows nothing of.
fn differences(reader: &dyn Reader, rows: &BTreeMap<Key, Mark>) -> Result<Vec<String>> {
    let mut differences = Vec::new();
    let mut stored = 0;
    for &kind in RowKind::ALL.iter().filter(|kind| kind.is_journaled()) {
        let at = index::of_key(kind);
        let mut scan = Scan::new(at, vec![], 1_000);
        loop {
            let page = reader.scan(&scan)?;
            for row in &page {
                stored += usize::from(rows.contains_key(&row.key()));
                if rows.get(&row.key()).is_none_or(|mark| *mark != mark_of(row)) {
                    differences.push(row.key().to_string());
                }
                if differences.len() >= DIFFERENCES_MAX {
                    return Ok(differences);
                }
            }
            match page.last() {
                Some(last) if page.len() == scan.limit => scan.after = Some(Position::of(at, last)),
                _ => break,
            }
        }
    }
    if stored < rows.len() {
        // Some are not stored, or cannot be read.
        for key in rows.keys() {
            if !matches!(reader.get(key), Ok(Some(_))) {
                differences.push(key.to_string());
            }
            if differences.len() >= DIFFERENCES_MAX {
                break;
            }
        }
    }
    Ok(differences)
}
