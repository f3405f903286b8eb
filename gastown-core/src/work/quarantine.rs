//! Rows that cannot be read: out of their tables, and back or away.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use sha2::{Digest as _, Sha256};

use super::ready::{check_limit, decode_position, encode_position};
use super::txn::ScopedTxn;
use super::view::View;
use super::{beads, graph};
use crate::model::event::hex;
use crate::model::id::excerpt;
use crate::model::value::{Raw, Value};
use crate::model::{BeadId, Error, Key, QuarantineRow, Result, Row, RowKind, Stored as _, Timestamp};
use crate::store::{Scan, index};

/// How long the id of a row in quarantine is.
const ID_LEN: usize = 24;

/// A row that could not be read, out of its table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the fields are those of QuarantineRow, documented there")]
pub struct QuarantinedRow {
    pub id: String,
    /// The table that it was in.
    pub table: String,
    pub key: Json,
    pub columns: BTreeMap<String, Json>,
    pub problem: String,
    pub moved_by: String,
    pub moved_at: Timestamp,
}

impl From<QuarantineRow> for QuarantinedRow {
    fn from(row: QuarantineRow) -> Self {
        let columns = match row.columns {
            Json::Object(columns) => columns.into_iter().collect(),
            other => BTreeMap::from([(String::new(), other)]),
        };
        Self {
            id: row.id,
            table: row.source,
            key: row.source_key,
            columns,
            problem: row.problem,
            moved_by: row.moved_by,
            moved_at: row.moved_at,
        }
    }
}

/// Which rows in quarantine to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QuarantineFilter {
    /// At most so many, 1 to 1000; 50 where it is left out.
    pub limit: Option<usize>,
    /// Go on behind an earlier page.
    pub cursor: Option<String>,
}

/// Rows in quarantine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct QuarantinePage {
    /// The rows, by their ids.
    pub rows: Vec<QuarantinedRow>,
    /// Where the next page begins; none at the end.
    pub cursor: Option<String>,
}

/// How to bring a row back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MendRow {
    /// Its id in quarantine.
    pub id: String,
    /// Columns, by name, that get another value: null, a number or a text, as the table holds it.
    #[serde(default)]
    pub columns: BTreeMap<String, Json>,
}

impl From<&str> for MendRow {
    fn from(id: &str) -> Self {
        Self { id: id.to_owned(), columns: BTreeMap::new() }
    }
}

impl From<&QuarantinedRow> for MendRow {
    fn from(row: &QuarantinedRow) -> Self {
        row.id.as_str().into()
    }
}

/// Names a row in quarantine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuarantineRef {
    /// Its id there.
    pub id: String,
}

impl From<&str> for QuarantineRef {
    fn from(id: &str) -> Self {
        Self { id: id.to_owned() }
    }
}

impl From<&QuarantinedRow> for QuarantineRef {
    fn from(row: &QuarantinedRow) -> Self {
        row.id.as_str().into()
    }
}

/// What became of a row that was to be taken out.
pub(crate) enum TakenOut {
    /// It is in quarantine.
    Out(QuarantinedRow),
    /// It can be read.
    Readable,
    /// No row has this key.
    Missing,
}

/// Takes a row out of its table, as it is, where it still cannot be read.
///
/// Nothing else is touched: the edges of a bead keep counting, and its other rows stay where they are.
pub(crate) fn take_out(txn: &mut ScopedTxn<'_>, key: &Key) -> Result<TakenOut> {
    txn.view().whole_town()?;
    let problem = match txn.is_taken(key) {
        Err(error) if error.code() == "row_unreadable" => error.chain(),
        Err(error) => return Err(error),
        Ok(true) => return Ok(TakenOut::Readable),
        Ok(false) => return Ok(TakenOut::Missing),
    };
    let Some(values) = txn.values(key)? else { return Ok(TakenOut::Missing) };
    let names = key.kind.columns().iter().map(|column| column.name.to_owned());
    let columns = Json::Object(names.zip(values.iter().map(Raw::to_json)).collect());
    let source_key: Json = key.values.iter().map(Value::to_json).collect();
    let source = key.kind.table().to_owned();
    let id = hex(&Sha256::digest(format!("{source}\n{source_key}\n{columns}")))[..ID_LEN].to_owned();
    let (moved_by, moved_at) = (txn.actor().to_owned(), txn.now());
    let row = QuarantineRow { id, source, source_key, columns, problem, moved_by, moved_at };
    txn.put(row.clone())?;
    txn.remove(key)?;
    txn.event("row.quarantined", subject(key), json!({ "table": row.source, "row": row.id, "problem": row.problem }));
    Ok(TakenOut::Out(row.into()))
}

/// Lists the rows in quarantine.
pub(crate) fn quarantined(view: View<'_>, input: &QuarantineFilter) -> Result<QuarantinePage> {
    view.whole_town()?;
    let (limit, order, shape) = (check_limit(input.limit)?, "quarantine", "t");
    let after = input.cursor.as_deref().map(|cursor| decode_position(order, shape, cursor)).transpose()?;
    let found = view.scan_once::<QuarantineRow>(&Scan::new(&index::QUARANTINE, vec![], limit).after(after))?;
    let cursor = found.after.map(|after| encode_position(order, &after.0));
    Ok(QuarantinePage { rows: found.records.into_iter().map(QuarantinedRow::from).collect(), cursor })
}

/// Brings a row back to its table, with other columns where they are given.
pub(crate) fn mend(txn: &mut ScopedTxn<'_>, input: &MendRow) -> Result<QuarantinedRow> {
    let row = held(txn, &input.id)?;
    let kind = RowKind::of_table(&row.source)
        .ok_or_else(|| Error::unsupported("table_unknown", format!("the table {:?} is unknown here", row.source)))?;
    for name in input.columns.keys() {
        if kind.position(name).is_none() {
            return Err(Error::invalid("column_unknown", format!("{} has no column {}", row.source, excerpt(name)))
                .with("table", &row.source)
                .with("column", excerpt(name)));
        }
    }
    let values = kind.columns().iter().map(|column| {
        let json = input.columns.get(column.name).or_else(|| row.columns.get(column.name)).unwrap_or(&Json::Null);
        Value::from_json(json).map_err(|error| still_unreadable(&row, error.with("column", column.name)))
    });
    let values = values.collect::<Result<Vec<_>>>()?;
    let mended = kind.decode(&values).map_err(|error| still_unreadable(&row, error))?;
    let key = mended.key();
    if txn.values(&key)?.is_some() {
        return Err(Error::conflict("row_exists", format!("there is a row {key} already"))
            .with("table", &row.source)
            .with("key", &key));
    }
    txn.delete(&row.key())?;
    match mended {
        // What they wait for, or what waits for them, may have moved meanwhile.
        Row::Bead(bead) => graph::rejoin(txn, bead)?,
        Row::Dependency(edge) => graph::rejoin_edge(txn, edge)?,
        other => txn.put_row(other)?,
    }
    let columns: Vec<_> = input.columns.keys().collect();
    txn.event("row.mended", subject(&key), json!({ "table": row.source, "row": row.id, "columns": columns }));
    Ok(row.into())
}

/// Removes a row in quarantine for good; what it held stays in the journal. A bead's other rows go with it.
pub(crate) fn discard(txn: &mut ScopedTxn<'_>, input: &QuarantineRef) -> Result<QuarantinedRow> {
    let row = held(txn, &input.id)?;
    txn.delete(&row.key())?;
    let key = match &row.source_key {
        Json::Array(key) => key.iter().map(|part| part.as_str().unwrap_or_default().to_owned()).collect(),
        _ => Vec::new(),
    };
    let unblocked = match RowKind::of_table(&row.source) {
        Some(RowKind::Bead) => discard_bead(txn, &key)?,
        Some(RowKind::Dependency) => {
            if let [bead, on, kind] = &*key
                && let (Ok(bead), Ok(on), Ok(kind)) = (BeadId::new(bead), BeadId::new(on), kind.parse())
                && txn.values(&Key::dependency(&bead, &on, kind))?.is_none()
            {
                graph::forget_edge(txn, &bead, &on, kind)?;
            }
            Vec::new()
        }
        _ => Vec::new(),
    };
    let subject = key.first().map_or("town", String::as_str);
    txn.event("row.discarded", subject, json!({ "table": row.source, "row": row.id, "unblocked": unblocked }));
    Ok(row.into())
}

/// Has the rest of a bead that is gone follow it; answers the beads that became free.
fn discard_bead(txn: &mut ScopedTxn<'_>, key: &[String]) -> Result<Vec<BeadId>> {
    let [id] = key else { return Ok(Vec::new()) };
    let Ok(id) = BeadId::new(id) else { return Ok(Vec::new()) };
    if txn.values(&Key::bead(&id))?.is_some() {
        // Another one took its place.
        return Ok(Vec::new());
    }
    let unblocked = graph::remove_lost(txn, &id)?;
    beads::remove_rows(txn, &id)?;
    Ok(unblocked)
}

fn held(txn: &ScopedTxn<'_>, id: &str) -> Result<QuarantineRow> {
    txn.view().whole_town()?;
    txn.find(&Key::quarantine(id))?.ok_or_else(|| {
        Error::not_found("row_missing", format!("no row {} is in quarantine", excerpt(id))).with("row", excerpt(id))
    })
}

fn still_unreadable(row: &QuarantineRow, error: Error) -> Error {
    let column = error.fact("column").map(str::to_owned);
    let told = Error::invalid("row_still_unreadable", format!("these columns make no row of {}", row.source))
        .with("table", &row.source)
        .with("row", &row.id);
    let told = match column {
        Some(column) => told.with("column", column),
        None => told,
    };
    told.because(error)
}

/// What an event about a row is about.
fn subject(key: &Key) -> &str {
    match key.values.first() {
        Some(Value::Text(text)) => text,
        _ => "town",
    }
}
