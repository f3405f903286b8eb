//! A backend that goes wrong when the tests of the store tell it to.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::{Access, Backend, Connection, MemoryBackend, Reader, Scan, Txn, Unreadable};
use crate::model::value::{Raw, Value};
use crate::model::{Error, Event, Head, Key, Result, Row, RowKind, TownId};

/// What a backend does next.
#[derive(Debug, Default)]
pub(super) struct Faults {
    pub(super) commits_fail: AtomicBool,
    pub(super) begins_busy: AtomicU32,
    pub(super) commits: AtomicUsize,
    pub(super) connects: AtomicUsize,
    pub(super) connects_to_read: AtomicUsize,
    pub(super) savepoints: AtomicUsize,
    /// Where the backend panics, once.
    panics: Mutex<Option<&'static str>>,
}

impl Faults {
    fn pass(&self, place: &'static str) {
        let mut panics = self.panics.lock().unwrap_or_else(PoisonError::into_inner);
        if *panics == Some(place) {
            *panics = None;
            panic!("the backend panics in {place}");
        }
    }

    pub(super) fn panic_in(&self, place: &'static str) {
        *self.panics.lock().unwrap_or_else(PoisonError::into_inner) = Some(place);
    }
}

/// A backend whose commits fail and whose transactions do not begin when they are told to.
#[derive(Debug, Default)]
pub(super) struct Faulty {
    pub(super) inner: MemoryBackend,
    pub(super) faults: Arc<Faults>,
}

struct FaultyConnection {
    inner: Box<dyn Connection>,
    faults: Arc<Faults>,
}

struct FaultyTxn<'c> {
    inner: Box<dyn Txn + 'c>,
    faults: Arc<Faults>,
}

impl Backend for Faulty {
    fn name(&self) -> &'static str {
        "faulty"
    }
    fn connect(&self, access: Access) -> Result<Box<dyn Connection>> {
        self.faults.pass(if access == Access::Write { "connect" } else { "connect to read" });
        let connects = if access == Access::Write { &self.faults.connects } else { &self.faults.connects_to_read };
        connects.fetch_add(1, Ordering::SeqCst);
        let inner = self.inner.connect(access)?;
        Ok(Box::new(FaultyConnection { inner, faults: Arc::clone(&self.faults) }))
    }
}

impl Connection for FaultyConnection {
    fn read(&mut self, town: &TownId) -> Result<Box<dyn Reader + '_>> {
        self.faults.pass("read");
        self.inner.read(town)
    }
    fn vacuum(&mut self) -> Result<()> {
        self.faults.pass("vacuum");
        self.inner.vacuum()
    }
    fn write(&mut self, town: &TownId) -> Result<Box<dyn Txn + '_>> {
        self.faults.pass("write");
        let busy = &self.faults.begins_busy;
        if busy.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok() {
            return Err(Error::unavailable("store_busy", "somebody writes"));
        }
        Ok(Box::new(FaultyTxn { inner: self.inner.write(town)?, faults: Arc::clone(&self.faults) }))
    }
}

impl Reader for FaultyTxn<'_> {
    fn get(&self, key: &Key) -> Result<Option<Row>> {
        self.inner.get(key)
    }
    fn scan(&self, scan: &Scan) -> Result<Vec<Row>> {
        self.inner.scan(scan)
    }
    fn values(&self, key: &Key) -> Result<Option<Vec<Raw>>> {
        self.inner.values(key)
    }
    fn unreadable(&self) -> Vec<Unreadable> {
        self.inner.unreadable()
    }
    fn head(&self) -> Result<Head> {
        self.faults.pass("head");
        self.inner.head()
    }
    fn events(&self, after: u64, limit: usize) -> Result<Vec<Event>> {
        self.inner.events(after, limit)
    }
}

impl Txn for FaultyTxn<'_> {
    fn put(&mut self, row: &Row) -> Result<()> {
        self.inner.put(row)
    }
    fn put_values(&mut self, kind: RowKind, values: &[Value]) -> Result<()> {
        self.inner.put_values(kind, values)
    }
    fn delete(&mut self, key: &Key) -> Result<()> {
        self.inner.delete(key)
    }
    fn append(&mut self, events: &[Event]) -> Result<()> {
        self.inner.append(events)
    }
    fn truncate_events(&mut self, through: u64) -> Result<()> {
        self.inner.truncate_events(through)
    }
    fn savepoint(&mut self) -> Result<()> {
        self.faults.savepoints.fetch_add(1, Ordering::SeqCst);
        self.faults.pass("savepoint");
        self.inner.savepoint()
    }
    fn rollback_to_savepoint(&mut self) -> Result<()> {
        self.faults.pass("rollback");
        self.inner.rollback_to_savepoint()
    }
    fn commit(self: Box<Self>) -> Result<()> {
        self.faults.commits.fetch_add(1, Ordering::SeqCst);
        if self.faults.commits_fail.load(Ordering::SeqCst) {
            return Err(Error::unavailable("store_io", "the disk went away"));
        }
        self.faults.pass("commit");
        self.inner.commit()?;
        self.faults.pass("committed");
        Ok(())
    }
    fn as_reader(&self) -> &dyn Reader {
        self
    }
}
