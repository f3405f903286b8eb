//! Rows that cannot be read as their kind, as a reader tells them.

use std::cell::RefCell;

use crate::model::{Error, Key};

/// The most rows that one reader tells to be unreadable.
pub const UNREADABLE_MAX: usize = 100;

/// A stored row that cannot be read as its kind.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Unreadable {
    /// Which row, as far as its key can be read.
    pub key: Key,
    /// What is wrong with it.
    pub error: Error,
}

impl Unreadable {
    /// A row and what is wrong with it.
    pub const fn new(key: Key, error: Error) -> Self {
        Self { key, error }
    }

    /// The error of whoever wants this very row: `row_unreadable` ([`Corrupt`](crate::ErrorKind::Corrupt)).
    #[must_use]
    pub fn into_error(self) -> Error {
        let (table, key) = (self.key.kind.table(), self.key.to_string());
        Error::corrupt("row_unreadable", format!("{key} cannot be read"))
            .with("table", table)
            .with("key", key)
            .because(self.error)
    }
}

/// The rows that a reader could not read, for backends to keep.
#[derive(Debug, Default)]
pub struct UnreadableRows(RefCell<Vec<Unreadable>>);

impl UnreadableRows {
    /// Remembers one, where it is new and there is room.
    pub fn note(&self, row: Unreadable) {
        let mut rows = self.0.borrow_mut();
        if rows.len() < UNREADABLE_MAX && !rows.iter().any(|known| known.key == row.key) {
            rows.push(row);
        }
    }

    /// Remembers one that was wanted by its key; the error of [`Reader::get`](super::Reader::get).
    pub fn wanted(&self, row: Unreadable) -> Error {
        self.note(row.clone());
        row.into_error()
    }

    /// What [`Reader::unreadable`](super::Reader::unreadable) answers.
    pub fn take(&self) -> Vec<Unreadable> {
        self.0.take()
    }
}
