//! The statements of one transaction.

use std::cell::{RefCell, RefMut};
use std::ptr;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection, ToSql};

use super::sql::{Select, Shape};
use crate::model::RowKind;
use crate::model::value::{Cell, Value};
use crate::store::index::Index;

/// The most statements that are held at once.
const HELD_MAX: usize = 32;

/// Which statement; those that are equal have the same text.
#[derive(Clone, Copy, Debug)]
pub(super) enum Which {
    Get(RowKind),
    /// The bead of a number.
    Numbered,
    /// Whether there is any.
    Any(RowKind),
    Put(RowKind),
    /// Of a row that is not there.
    Insert(RowKind),
    Delete(RowKind),
    /// One bit for each column that is set.
    Update(RowKind, u64),
    Scan(&'static Index, Shape),
    Head,
    Events,
    EventsOf,
    /// Whether it is behind a place.
    Search(bool, Select),
    Append,
    Truncate,
}

impl PartialEq for Which {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Get(a), Self::Get(b))
            | (Self::Any(a), Self::Any(b))
            | (Self::Put(a), Self::Put(b))
            | (Self::Insert(a), Self::Insert(b))
            | (Self::Delete(a), Self::Delete(b)) => a == b,
            (Self::Update(a, of_a), Self::Update(b, of_b)) => a == b && of_a == of_b,
            (Self::Scan(a, of_a), Self::Scan(b, of_b)) => ptr::eq(*a, *b) && of_a == of_b,
            (Self::Search(a, of_a), Self::Search(b, of_b)) => a == b && of_a == of_b,
            (Self::Numbered, Self::Numbered)
            | (Self::Head, Self::Head)
            | (Self::Events, Self::Events)
            | (Self::EventsOf, Self::EventsOf)
            | (Self::Append, Self::Append)
            | (Self::Truncate, Self::Truncate) => true,
            _ => false,
        }
    }
}

/// The statements that a transaction has used so far: a batch of commands uses few, again and again, and finding one
/// by its text costs more than what some of them do.
pub(super) struct Statements<'c> {
    db: &'c Connection,
    held: RefCell<Vec<(Which, CachedStatement<'c>)>>,
}

impl<'c> Statements<'c> {
    pub(super) const fn new(db: &'c Connection) -> Self {
        Self { db, held: RefCell::new(Vec::new()) }
    }

    /// The statement with that text, for one use at a time.
    pub(super) fn find<T: AsRef<str>>(
        &self,
        which: Which,
        text: impl FnOnce() -> T,
    ) -> rusqlite::Result<RefMut<'_, CachedStatement<'c>>> {
        let mut held = self.held.borrow_mut();
        let place = if let Some(place) = held.iter().position(|(known, _)| *known == which) {
            place
        } else {
            let statement = self.db.prepare_cached(text().as_ref())?;
            if held.len() == HELD_MAX {
                held.swap_remove(0);
            }
            held.push((which, statement));
            held.len() - 1
        };
        Ok(RefMut::map(held, |held| &mut held[place].1))
    }
}

/// Binds the town and these cells, which are all of the statement's parameters.
pub(super) fn bind<'v>(
    statement: &mut CachedStatement<'_>,
    town: &str,
    cells: impl IntoIterator<Item = &'v Cell<'v>>,
) -> rusqlite::Result<()> {
    statement.raw_bind_parameter(1, town)?;
    for (place, cell) in (2..).zip(cells) {
        statement.raw_bind_parameter(place, Bound(cell))?;
    }
    Ok(())
}

/// The same with values.
pub(super) fn bind_values<'v>(
    statement: &mut CachedStatement<'_>,
    town: &str,
    values: impl IntoIterator<Item = &'v Value>,
) -> rusqlite::Result<()> {
    statement.raw_bind_parameter(1, town)?;
    for (place, value) in (2..).zip(values) {
        statement.raw_bind_parameter(place, Bound(&value.into()))?;
    }
    Ok(())
}

/// A cell as a parameter.
struct Bound<'a>(&'a Cell<'a>);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            Cell::Null => ValueRef::Null,
            Cell::Int(n) => ValueRef::Integer(*n),
            Cell::Text(text) => ValueRef::Text(text.as_bytes()),
        }))
    }
}
