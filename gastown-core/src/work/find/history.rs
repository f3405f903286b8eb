//! What happened to one bead, entry by entry and field by field.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::model::{BeadId, Error, Event, Result, RowKind, SessionId, Timestamp};

/// The most entries in one answer.
const ENTRIES_MAX: usize = 1_000;
/// Columns that follow from others or change with every entry.
const UNTOLD: [&str; 10] =
    ["id", "version", "updated_at", "dirty", "wake_at", "rank", "parts", "open_parts", "last_part", "comments"];

/// Whose history to read, and how much of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HistoryOf {
    /// The bead; one that is gone has its history still.
    pub id: BeadId,
    /// At most so many entries, 1 to 1000; 100 where it is left out.
    #[serde(default)]
    pub limit: Option<usize>,
    /// Go on behind an earlier page.
    #[serde(default)]
    pub cursor: Option<String>,
}

impl From<BeadId> for HistoryOf {
    fn from(id: BeadId) -> Self {
        Self { id, limit: None, cursor: None }
    }
}

impl From<&BeadId> for HistoryOf {
    fn from(id: &BeadId) -> Self {
        id.clone().into()
    }
}

impl HistoryOf {
    pub(crate) fn limit(&self) -> Result<usize> {
        match self.limit.unwrap_or(100) {
            limit @ 1..=ENTRIES_MAX => Ok(limit),
            limit => Err(Error::invalid(
                "limit_out_of_range",
                format!("a page holds 1 to {ENTRIES_MAX} entries, not {limit}"),
            )
            .with("found", limit)),
        }
    }

    /// The entry that the page is behind; 0 for none.
    pub(crate) fn after(&self) -> Result<u64> {
        let Some(cursor) = &self.cursor else { return Ok(0) };
        cursor.parse().map_err(|source: std::num::ParseIntError| {
            Error::invalid("cursor_malformed", "that is no cursor of a history").because(source)
        })
    }
}

/// One field that an entry changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FieldChange {
    /// The field's name; for an edge, a comment or a reservation the table and what it is about.
    pub field: String,
    /// What it was; null where it was empty, not there, or is not known.
    pub before: Json,
    /// What it became; null where it is empty or gone.
    pub after: Json,
}

/// One thing that happened to a bead.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct HistoryEntry {
    /// Its place in the journal.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// Who did it.
    pub actor: String,
    /// The session it was done in.
    pub session: Option<SessionId>,
    /// What it was: `bead.created`, `bead.claimed`, …
    pub kind: String,
    /// The facts of it.
    pub data: Json,
    /// What became of the bead's fields since its entry before; what an entry of another bead changed is told with the
    /// next one of this.
    pub changes: Vec<FieldChange>,
}

/// A part of a bead's history.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BeadHistory {
    /// The entries, oldest first.
    pub entries: Vec<HistoryEntry>,
    /// Where the next page begins; none at the end.
    pub cursor: Option<String>,
    /// Entries before this one were put away and their archive is not here, so older ones may be missing; none where
    /// nothing is.
    pub missing_before: Option<u64>,
}

/// Reads a bead's entries in order and tells what each changed.
pub(crate) struct Historian {
    id: BeadId,
    after: u64,
    limit: usize,
    /// Rows of the bead as its entries left them, by table and key.
    known: BTreeMap<(String, String), BTreeMap<String, Json>>,
    history: BeadHistory,
}

impl Historian {
    pub(crate) fn new(input: &HistoryOf) -> Result<Self> {
        let (after, limit) = (input.after()?, input.limit()?);
        Ok(Self { id: input.id.clone(), after, limit, known: BTreeMap::new(), history: BeadHistory::default() })
    }

    /// Takes one more entry of the journal, also of other subjects; false where the page is full.
    pub(crate) fn take(&mut self, event: &Event) -> bool {
        if event.subject != self.id.as_str() {
            return true;
        }
        if self.history.entries.len() == self.limit {
            self.history.cursor = self.history.entries.last().map(|entry| entry.seq.to_string());
            return false;
        }
        let changes = self.changes(event);
        if event.seq > self.after {
            self.history.entries.push(HistoryEntry {
                seq: event.seq,
                at: event.at,
                actor: event.actor.clone(),
                session: event.session.clone(),
                kind: event.kind.clone(),
                data: event.data.clone(),
                changes,
            });
        }
        true
    }

    /// Says that entries before this one cannot be read.
    pub(crate) fn miss_before(&mut self, seq: u64) {
        self.history.missing_before = Some(seq);
    }

    pub(crate) fn finish(self) -> BeadHistory {
        self.history
    }

    fn changes(&mut self, event: &Event) -> Vec<FieldChange> {
        let mut told = Vec::new();
        for change in &event.changes {
            // Labels are a column of the bead as well.
            let is_own = change.key.first().and_then(Json::as_str) == Some(self.id.as_str());
            if !is_own || change.table == RowKind::Label.table() {
                continue;
            }
            let rest: Vec<String> = change.key[1..]
                .iter()
                .map(|part| part.as_str().map_or_else(|| part.to_string(), str::to_owned))
                .collect();
            let place = (change.table.clone(), rest.join(" "));
            let before = self.known.get(&place);
            if rest.is_empty() {
                let nothing = BTreeMap::new();
                let is_new = before.is_none();
                let (old, new) = (before.unwrap_or(&nothing), change.row.as_ref().unwrap_or(&nothing));
                let names: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
                for name in names {
                    let of =
                        |row: &BTreeMap<String, Json>| row.get(name).map_or(Json::Null, |value| shown(name, value));
                    let (before, after) = (of(old), of(new));
                    let is_nothing = is_new && is_empty(&after);
                    if before != after && !is_nothing && !UNTOLD.contains(&name.as_str()) {
                        told.push(FieldChange { field: name.clone(), before, after });
                    }
                }
            } else {
                let of = |row: Option<&BTreeMap<String, Json>>| {
                    row.map_or(Json::Null, |row| Json::Object(row.clone().into_iter().collect()))
                };
                let (before, after) = (of(before), of(change.row.as_ref()));
                if before != after {
                    told.push(FieldChange { field: format!("{} {}", place.0, place.1), before, after });
                }
            }
            match &change.row {
                Some(row) => self.known.insert(place, row.clone()),
                None => self.known.remove(&place),
            };
        }
        told
    }
}

/// Columns that hold JSON, as JSON.
fn shown(name: &str, value: &Json) -> Json {
    match value {
        Json::String(text) if matches!(name, "metadata" | "labels" | "extra") => {
            serde_json::from_str(text).unwrap_or_else(|_| value.clone())
        }
        other => other.clone(),
    }
}

/// What a new bead has without being told so.
fn is_empty(value: &Json) -> bool {
    match value {
        Json::Null => true,
        Json::Number(number) => number.as_i64() == Some(0),
        Json::String(text) => text.is_empty(),
        Json::Array(list) => list.is_empty(),
        Json::Object(map) => map.is_empty(),
        Json::Bool(_) => false,
    }
}
