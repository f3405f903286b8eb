//! A storage backend of your own: towns in a map, in one process. Begin with a copy of this one.
//!
//! It keeps every row as its columns and knows no table by name. It is short where a real one is fast: a transaction
//! copies its town, and a scan looks at every row of its table. `docs/storage.md` goes through it.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gastown_core::model::value::{Raw, Value};
use gastown_core::model::{Event, Head, Key, Row, RowKind, TownId};
use gastown_core::store::{
    Access, Backend, Connection, Reader, Scan, Txn, Unreadable, UnreadableRows, check_order, check_truncation,
    check_values, conformance,
};
use gastown_core::{Error, NewBead, Result, Town};

/// Towns in a map, which its connections share.
#[derive(Clone, Debug)]
struct MapBackend {
    towns: Arc<Mutex<BTreeMap<TownId, Arc<Place>>>>,
    /// How long a second writer waits.
    busy: Duration,
}

impl MapBackend {
    fn new(busy: Duration) -> Self {
        Self { towns: Arc::default(), busy }
    }
}

/// One town: what readers see, and whether somebody writes.
#[derive(Debug, Default)]
struct Place {
    now: Mutex<Now>,
    free: Condvar,
}

#[derive(Debug, Default)]
struct Now {
    state: Arc<State>,
    is_writing: bool,
}

#[derive(Clone, Debug, Default)]
struct State {
    rows: BTreeMap<Key, Vec<Value>>,
    events: Vec<Event>,
}

/// Nothing that panics is done while one of the locks is held.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Backend for MapBackend {
    fn name(&self) -> &'static str {
        "map"
    }

    fn connect(&self, access: Access) -> Result<Box<dyn Connection>> {
        Ok(Box::new(MapConnection { backend: self.clone(), access }))
    }
}

struct MapConnection {
    backend: MapBackend,
    access: Access,
}

impl MapConnection {
    fn place(&self, town: &TownId) -> Arc<Place> {
        Arc::clone(lock(&self.backend.towns).entry(town.clone()).or_default())
    }
}

impl Connection for MapConnection {
    /// A snapshot is a pointer to a state that nobody changes any more.
    fn read(&mut self, town: &TownId) -> Result<Box<dyn Reader + '_>> {
        let state = Arc::clone(&lock(&self.place(town).now).state);
        Ok(Box::new(View { state, unreadable: UnreadableRows::default() }))
    }

    /// Waits for its turn, with a bound, and takes a copy.
    fn write(&mut self, town: &TownId) -> Result<Box<dyn Txn + '_>> {
        if self.access == Access::Read {
            return Err(Error::internal("store_access", "a reader's connection cannot write"));
        }
        let place = self.place(town);
        let (mut now, waited) = place
            .free
            .wait_timeout_while(lock(&place.now), self.backend.busy, |now| now.is_writing)
            .unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            return Err(Error::unavailable("store_busy", "another transaction writes to this town"));
        }
        now.is_writing = true;
        let view = View { state: Arc::clone(&now.state), unreadable: UnreadableRows::default() };
        drop(now);
        Ok(Box::new(MapTxn { place, view, mark: None }))
    }
}

/// One state of one town, read.
struct View {
    state: Arc<State>,
    unreadable: UnreadableRows,
}

impl View {
    /// The row of these columns, or what is wrong with them.
    fn row(key: &Key, columns: &[Value]) -> Result<Row, Unreadable> {
        key.kind.decode(columns).map_err(|error| Unreadable::new(key.clone(), error))
    }
}

impl Reader for View {
    fn get(&self, key: &Key) -> Result<Option<Row>> {
        let columns = self.state.rows.get(key);
        columns.map(|columns| Self::row(key, columns).map_err(|row| self.unreadable.wanted(row))).transpose()
    }

    /// Looks at every row of the table, and sorts those that the index holds.
    fn scan(&self, scan: &Scan) -> Result<Vec<Row>> {
        scan.check()?;
        let first = Key { kind: scan.index.kind, values: Vec::new() };
        let mut found = Vec::new();
        for (key, columns) in self.state.rows.range(first..).take_while(|(key, _)| key.kind == scan.index.kind) {
            // An entry is the prefix and the order columns; there is none where a condition does not hold.
            let Some(entry) = scan.index.entry(columns) else { continue };
            let Some(order) = entry.strip_prefix(scan.prefix.as_slice()) else { continue };
            let is_behind = scan.after.as_ref().is_none_or(|after| order > after.0.as_slice());
            if is_behind && scan.upto.as_ref().is_none_or(|upto| order[0] <= *upto) {
                found.push((order.to_vec(), key, columns));
            }
        }
        found.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        // A row that cannot be read stops nobody and takes nothing of the limit.
        let rows = found.into_iter().filter_map(|(_, key, columns)| {
            Self::row(key, columns).map_err(|unreadable| self.unreadable.note(unreadable)).ok()
        });
        Ok(rows.take(scan.limit).collect())
    }

    fn values(&self, key: &Key) -> Result<Option<Vec<Raw>>> {
        let columns = self.state.rows.get(key);
        Ok(columns.map(|columns| columns.iter().cloned().map(Raw::Value).collect()))
    }

    fn unreadable(&self) -> Vec<Unreadable> {
        self.unreadable.take()
    }

    fn head(&self) -> Result<Head> {
        Ok(self.state.events.last().map(Event::head).unwrap_or_default())
    }

    fn events(&self, after: u64, limit: usize) -> Result<Vec<Event>> {
        Ok(self.state.events.iter().filter(|event| event.seq > after).take(limit).cloned().collect())
    }
}

/// A transaction: a copy that is changed, and the states to return to.
struct MapTxn {
    place: Arc<Place>,
    view: View,
    mark: Option<Arc<State>>,
}

impl MapTxn {
    /// The copy; it is made by the first change after the beginning or a savepoint.
    fn state(&mut self) -> &mut State {
        Arc::make_mut(&mut self.view.state)
    }
}

impl Reader for MapTxn {
    fn get(&self, key: &Key) -> Result<Option<Row>> {
        self.view.get(key)
    }
    fn scan(&self, scan: &Scan) -> Result<Vec<Row>> {
        self.view.scan(scan)
    }
    fn values(&self, key: &Key) -> Result<Option<Vec<Raw>>> {
        self.view.values(key)
    }
    fn unreadable(&self) -> Vec<Unreadable> {
        self.view.unreadable()
    }
    fn head(&self) -> Result<Head> {
        self.view.head()
    }
    fn events(&self, after: u64, limit: usize) -> Result<Vec<Event>> {
        self.view.events(after, limit)
    }
}

impl Txn for MapTxn {
    fn put(&mut self, row: &Row) -> Result<()> {
        self.put_values(row.kind(), &row.to_values())
    }

    fn put_values(&mut self, kind: RowKind, values: &[Value]) -> Result<()> {
        check_values(kind, values)?;
        let key = Key { kind, values: values[..kind.key_len()].to_vec() };
        self.state().rows.insert(key, values.to_vec());
        Ok(())
    }

    fn delete(&mut self, key: &Key) -> Result<()> {
        self.state().rows.remove(key);
        Ok(())
    }

    fn append(&mut self, events: &[Event]) -> Result<()> {
        check_order(&self.head()?, events)?;
        self.state().events.extend_from_slice(events);
        Ok(())
    }

    fn truncate_events(&mut self, through: u64) -> Result<()> {
        check_truncation(&self.head()?, through)?;
        self.state().events.retain(|event| event.seq > through);
        Ok(())
    }

    fn savepoint(&mut self) -> Result<()> {
        self.mark = Some(Arc::clone(&self.view.state));
        Ok(())
    }

    fn rollback_to_savepoint(&mut self) -> Result<()> {
        let Some(mark) = &self.mark else {
            return Err(Error::internal("savepoint_missing", "there is no savepoint to return to"));
        };
        self.view.state = Arc::clone(mark);
        Ok(())
    }

    fn commit(self: Box<Self>) -> Result<()> {
        lock(&self.place.now).state = Arc::clone(&self.view.state);
        Ok(())
    }

    fn as_reader(&self) -> &dyn Reader {
        self
    }
}

/// Committed or not, the town is free again.
impl Drop for MapTxn {
    fn drop(&mut self) {
        lock(&self.place.now).is_writing = false;
        self.place.free.notify_one();
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    // The whole kit; a test would use `store_conformance!` and have one test for each case.
    let quick = Duration::from_millis(100);
    std::thread::spawn(move || conformance::run(|| Arc::new(MapBackend::new(quick))))
        .join()
        .expect("the backend does what the contract says");

    let directory = tempfile::tempdir().expect("a directory for the town");
    let backend = Arc::new(MapBackend::new(Duration::from_secs(5)));
    let town = Town::builder(directory.path()).backend(backend).open().await?;
    let bead = town.operator().beads().create(NewBead::titled("Write a backend")).await?;
    println!("{} cases pass, and a town keeps {} in the map", conformance::cases().len(), bead.id);
    town.close().await
}
