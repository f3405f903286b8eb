//! What the cases share.

use std::sync::Arc;

use super::sample::{self, Draw};
use crate::model::{Event, Head, Key, Result, Row, RowKind, TownId};
use crate::store::{Access, Backend, Connection, Reader, Txn};

pub(super) fn town() -> TownId {
    TownId::new("town").unwrap()
}

pub(super) fn other_town() -> TownId {
    TownId::new("other").unwrap()
}

/// A backend with a connection of each kind.
pub(super) struct Bench {
    pub(super) backend: Arc<dyn Backend>,
    pub(super) writer: Box<dyn Connection>,
    pub(super) reader: Box<dyn Connection>,
}

impl Bench {
    pub(super) fn new(backend: Arc<dyn Backend>) -> Self {
        let writer = backend.connect(Access::Write).unwrap();
        let reader = backend.connect(Access::Read).unwrap();
        Self { backend, writer, reader }
    }

    /// Writes and commits.
    pub(super) fn write<T>(&mut self, job: impl FnOnce(&mut dyn Txn) -> T) -> T {
        self.write_in(&town(), job)
    }

    pub(super) fn write_in<T>(&mut self, town: &TownId, job: impl FnOnce(&mut dyn Txn) -> T) -> T {
        let mut txn = self.writer.write(town).unwrap();
        let value = job(&mut *txn);
        txn.commit().unwrap();
        value
    }

    /// Reads through the reader's connection.
    pub(super) fn read<T>(&mut self, job: impl FnOnce(&dyn Reader) -> T) -> T {
        self.read_in(&town(), job)
    }

    pub(super) fn read_in<T>(&mut self, town: &TownId, job: impl FnOnce(&dyn Reader) -> T) -> T {
        job(&*self.reader.read(town).unwrap())
    }

    pub(super) fn get(&mut self, key: &Key) -> Option<Row> {
        self.read(|reader| reader.get(key).unwrap())
    }

    pub(super) fn head(&mut self) -> Head {
        self.read(|reader| reader.head().unwrap())
    }
}

/// So many rows of a kind with different keys, or as many as the kind can have.
pub(super) fn rows(kind: RowKind, count: usize, draw: &mut Draw) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for _ in 0..count * 4 {
        let row = sample::row(kind, &town(), draw);
        if rows.len() < count && rows.iter().all(|there| there.key() != row.key()) {
            rows.push(row);
        }
    }
    rows
}

/// One bead.
pub(super) fn bead(seed: u64) -> Row {
    Row::Bead(sample::bead(&mut Draw::new(seed)))
}

/// So many entries behind `head`.
pub(super) fn events(head: &Head, count: usize, seed: u64) -> Vec<Event> {
    let mut draw = Draw::new(seed);
    let mut head = head.clone();
    (0..count)
        .map(|_| {
            let row = sample::row(RowKind::Bead, &town(), &mut draw);
            let event = sample::event(&head, Some(&row), &mut draw);
            head = event.head();
            event
        })
        .collect()
}

pub(super) fn code<T>(result: Result<T>) -> String {
    match result {
        Ok(_) => "ok".to_owned(),
        Err(error) => error.code().to_owned(),
    }
}
