//! Rows and entries of the journal, as SQLite answers them.

use rusqlite::types::ValueRef;

use super::error::of_sqlite;
use crate::model::value::{Cell, Raw, Value};
use crate::model::{Error, Event, Key, Result, Row, RowKind, SessionId, Timestamp};
use crate::store::{Packed, Unreadable};

#[cfg(test)]
thread_local! {
    /// How many rows this thread has read.
    pub(super) static READ: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// The values of a row, as the columns of its kind; or what is wrong with it. The outer error is SQLite's.
pub(super) fn decode(kind: RowKind, row: &rusqlite::Row<'_>) -> Result<Result<Row, Unreadable>> {
    #[cfg(test)]
    READ.set(READ.get() + 1);
    let columns = kind.columns();
    let mut cells = Vec::with_capacity(columns.len());
    for (place, column) in columns.iter().enumerate() {
        cells.push(match row.get_ref(place).map_err(of_sqlite)? {
            ValueRef::Null => Cell::Null,
            ValueRef::Integer(n) => Cell::Int(n),
            ValueRef::Text(bytes) => match text(bytes, kind.table(), column.name) {
                Ok(text) => Cell::text(text),
                Err(error) => return Ok(Err(unreadable_row(kind, row, error))),
            },
            ValueRef::Real(_) | ValueRef::Blob(_) => {
                return Ok(Err(unreadable_row(kind, row, unreadable(kind.table(), column.name))));
            }
        });
    }
    Ok(kind.decode_cells(&cells).map_err(|error| {
        let values = cells.into_iter().take(kind.key_len()).map(Value::from).collect();
        Unreadable::new(Key { kind, values }, error)
    }))
}

/// Adds the values of a row; one of which a value is none at all is left out, and this says what is wrong with it. The
/// outer error is SQLite's.
pub(super) fn pack(kind: RowKind, row: &rusqlite::Row<'_>, packed: &mut Packed) -> Result<Result<(), Unreadable>> {
    #[cfg(test)]
    READ.set(READ.get() + 1);
    for (place, column) in kind.columns().iter().enumerate() {
        let error = match row.get_ref(place).map_err(of_sqlite)? {
            ValueRef::Null => {
                packed.push(&Cell::Null);
                continue;
            }
            ValueRef::Integer(n) => {
                packed.push(&Cell::Int(n));
                continue;
            }
            ValueRef::Text(bytes) => match text(bytes, kind.table(), column.name) {
                Ok(text) => {
                    packed.push(&Cell::text(text));
                    continue;
                }
                Err(error) => error,
            },
            ValueRef::Real(_) | ValueRef::Blob(_) => unreadable(kind.table(), column.name),
        };
        packed.leave_out();
        return Ok(Err(unreadable_row(kind, row, error)));
    }
    Ok(Ok(()))
}

/// A column's value; one of another type than columns have is none.
pub(super) fn plain(row: &rusqlite::Row<'_>, place: usize) -> rusqlite::Result<Value> {
    Ok(match row.get_ref(place)? {
        ValueRef::Integer(n) => Value::Int(n),
        ValueRef::Text(bytes) => Value::Text(String::from_utf8_lossy(bytes).into_owned()),
        ValueRef::Null | ValueRef::Real(_) | ValueRef::Blob(_) => Value::Null,
    })
}

/// A column as it is stored, whatever it is.
pub(super) fn raw(value: ValueRef<'_>) -> Raw {
    match value {
        ValueRef::Null => Raw::Value(Value::Null),
        ValueRef::Integer(n) => Raw::Value(Value::Int(n)),
        ValueRef::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Raw::Value(Value::Text(text.to_owned())),
            Err(_) => Raw::Bytes(bytes.to_vec()),
        },
        ValueRef::Blob(bytes) => Raw::Bytes(bytes.to_vec()),
        // As SQL writes it.
        ValueRef::Real(number) => Raw::Bytes(number.to_string().into_bytes()),
    }
}

/// The row with as much of its key as can be read.
fn unreadable_row(kind: RowKind, row: &rusqlite::Row<'_>, error: Error) -> Unreadable {
    let value = |place| match row.get_ref(place) {
        Ok(ValueRef::Integer(n)) => Value::Int(n),
        Ok(ValueRef::Text(bytes) | ValueRef::Blob(bytes)) => Value::Text(String::from_utf8_lossy(bytes).into_owned()),
        Ok(ValueRef::Real(_) | ValueRef::Null) | Err(_) => Value::Null,
    };
    Unreadable::new(Key { kind, values: (0..kind.key_len()).map(value).collect() }, error)
}

fn text<'a>(bytes: &'a [u8], table: &'static str, column: &'static str) -> Result<&'a str> {
    std::str::from_utf8(bytes).map_err(|source| unreadable(table, column).because(source))
}

fn unreadable(table: &'static str, column: &'static str) -> Error {
    Error::corrupt("column_unreadable", format!("column {column} of a row of {table} cannot be read"))
        .with("table", table)
        .with("column", column)
}

pub(super) fn of_event(source: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::corrupt("event_unreadable", "an entry of the journal cannot be read").because(source)
}

pub(super) fn seq(row: &rusqlite::Row<'_>) -> Result<u64> {
    u64::try_from(row.get::<_, i64>(0).map_err(of_event)?).map_err(of_event)
}

pub(super) fn event(row: &rusqlite::Row<'_>) -> Result<Event> {
    let words = |place| row.get::<_, String>(place).map_err(of_event);
    let json = |place| row.get_ref(place).map_err(of_event)?.as_bytes().map_err(of_event);
    Ok(Event {
        seq: seq(row)?,
        at: Timestamp::from_micros(row.get(1).map_err(of_event)?),
        actor: words(2)?,
        session: row
            .get::<_, Option<String>>(3)
            .map_err(of_event)?
            .map(SessionId::new)
            .transpose()
            .map_err(of_event)?,
        epoch: row.get(4).map_err(of_event)?,
        kind: words(5)?,
        subject: words(6)?,
        data: serde_json::from_slice(json(7)?).map_err(of_event)?,
        changes: serde_json::from_slice(json(8)?).map_err(of_event)?,
        schema: row.get(9).map_err(of_event)?,
        hash: words(10)?,
    })
}
