//! The backend in memory: for tests and simulations, deterministic and stricter than the others.
//!
//! A town is held twice. Readers share the published copy; the writer changes the other one in place and publishes it
//! by a swap, then brings the old copy up to date when it next begins. So a commit costs what it changed, and the
//! whole is copied only where a reader still holds the old copy.

#![allow(clippy::disallowed_methods, reason = "waiting for the writer has a real deadline")]

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

use super::index::{INDEXES, Index};
use super::{Access, Backend, Changes, Connection, Reader, Scan, Txn, check_order};
use crate::model::value::Value;
use crate::model::{Error, Event, Head, Key, Result, Row, RowKind, TownId};

/// Towns in memory; clones share them, and they end with the last clone, connection and snapshot.
#[derive(Clone, Debug, Default)]
pub struct MemoryBackend {
    towns: Arc<Mutex<BTreeMap<TownId, Arc<Town>>>>,
    bell: Arc<Bell>,
    busy: Option<Duration>,
}

/// How long a second writer waits where nothing else was said.
const BUSY: Duration = Duration::from_secs(5);

impl MemoryBackend {
    /// A backend without towns.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same towns with another bound on how long a second writer waits; the default is 5 seconds.
    #[must_use]
    pub fn with_busy_timeout(mut self, timeout: Duration) -> Self {
        self.busy = Some(timeout);
        self
    }

    fn town(&self, id: &TownId) -> Arc<Town> {
        Arc::clone(lock(&self.towns).entry(id.clone()).or_default())
    }
}

/// No code of ours panics while it holds one of these; a caller's panic cannot happen inside.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Backend for MemoryBackend {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn connect(&self, access: Access) -> Result<Box<dyn Connection>> {
        Ok(Box::new(MemoryConnection { backend: self.clone(), access }))
    }

    fn changes(&self) -> Result<Option<Box<dyn Changes>>> {
        let bell = Arc::clone(&self.bell);
        let heard = *lock(&bell.rings);
        Ok(Some(Box::new(MemoryChanges { heard, ears: Arc::new(Ears { bell, is_over: AtomicBool::new(false) }) })))
    }
}

/// Rung after each commit that appended to a journal.
#[derive(Debug, Default)]
struct Bell {
    rings: Mutex<u64>,
    rung: Condvar,
}

impl Bell {
    fn ring(&self) {
        *lock(&self.rings) += 1;
        self.rung.notify_all();
    }
}

struct MemoryChanges {
    heard: u64,
    ears: Arc<Ears>,
}

struct Ears {
    bell: Arc<Bell>,
    is_over: AtomicBool,
}

impl Wake for Ears {
    fn wake(self: Arc<Self>) {
        // Under the lock, so that it cannot fall between a waiter's look at this and its sleep.
        let rings = lock(&self.bell.rings);
        self.is_over.store(true, Ordering::SeqCst);
        drop(rings);
        self.bell.rung.notify_all();
    }
}

impl Changes for MemoryChanges {
    fn wait(&mut self, timeout: Duration) -> Result<bool> {
        let Ears { bell, is_over } = &*self.ears;
        let is_quiet = |rings: &mut u64| *rings == self.heard && !is_over.load(Ordering::SeqCst);
        let (rings, _) =
            bell.rung.wait_timeout_while(lock(&bell.rings), timeout, is_quiet).unwrap_or_else(PoisonError::into_inner);
        let now = *rings;
        drop(rings);
        Ok(std::mem::replace(&mut self.heard, now) != now)
    }

    fn interrupter(&self) -> Waker {
        Waker::from(Arc::clone(&self.ears))
    }
}

struct MemoryConnection {
    backend: MemoryBackend,
    access: Access,
}

impl Connection for MemoryConnection {
    fn read(&mut self, town: &TownId) -> Result<Box<dyn Reader + '_>> {
        let town = self.backend.town(town);
        let state = Arc::clone(&lock(&town.slot).published);
        Ok(Box::new(MemoryReader { state }))
    }

    fn write(&mut self, town: &TownId) -> Result<Box<dyn Txn + '_>> {
        if self.access == Access::Read {
            return Err(Error::internal("store_access", "a reader's connection cannot write"));
        }
        let town = self.backend.town(town);
        let working = town.begin(self.backend.busy.unwrap_or(BUSY))?;
        let bell = Arc::clone(&self.backend.bell);
        Ok(Box::new(MemoryTxn { town, bell, working: Some(working), done: Vec::new(), undo: Vec::new(), mark: None }))
    }
}

#[derive(Debug, Default)]
struct Town {
    slot: Mutex<Slot>,
    free: Condvar,
}

#[derive(Debug, Default)]
struct Slot {
    published: Arc<State>,
    /// The other copy while nobody writes, and what it lacks.
    spare: Option<(Arc<State>, Vec<Change>)>,
    is_writing: bool,
}

impl Town {
    /// Takes the right to write and a copy that equals the published one.
    fn begin(&self, busy: Duration) -> Result<Arc<State>> {
        let deadline = Instant::now() + busy;
        let mut slot = lock(&self.slot);
        while slot.is_writing {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Error::unavailable("store_busy", "another transaction writes to this town"));
            }
            slot = self.free.wait_timeout(slot, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        slot.is_writing = true;
        let published = Arc::clone(&slot.published);
        let spare = slot.spare.take();
        drop(slot);
        if let Some((mut state, lacking)) = spare
            && let Some(copy) = Arc::get_mut(&mut state)
        {
            for change in lacking {
                copy.apply(change);
            }
            return Ok(state);
        }
        Ok(Arc::new(State::clone(&published)))
    }

    /// Gives the right to write back.
    fn end(&self, change: impl FnOnce(&mut Slot)) {
        let mut slot = lock(&self.slot);
        change(&mut slot);
        slot.is_writing = false;
        drop(slot);
        self.free.notify_one();
    }
}

/// The rows and the journal of one town.
#[derive(Clone, Debug, Default)]
struct State {
    rows: BTreeMap<Key, Arc<Row>>,
    /// By the index's name and the entry.
    entries: BTreeMap<&'static str, BTreeMap<Vec<Value>, Arc<Row>>>,
    events: Vec<Arc<Event>>,
}

/// A step from one state to another.
#[derive(Clone, Debug)]
enum Change {
    Put(Key, Arc<Row>),
    Delete(Key),
    Append(Arc<Event>),
    /// The journal ends after so many entries.
    Truncate(usize),
}

impl State {
    /// Takes the step and answers the one back.
    fn apply(&mut self, change: Change) -> Change {
        match change {
            Change::Put(key, row) => {
                let old = self.rows.insert(key.clone(), Arc::clone(&row));
                if let Some(old) = &old {
                    self.unindex(old);
                }
                self.index(&row);
                old.map_or_else(|| Change::Delete(key.clone()), |old| Change::Put(key.clone(), old))
            }
            Change::Delete(key) => match self.rows.remove(&key) {
                Some(old) => {
                    self.unindex(&old);
                    Change::Put(key, old)
                }
                None => Change::Delete(key),
            },
            Change::Append(event) => {
                self.events.push(event);
                Change::Truncate(self.events.len() - 1)
            }
            Change::Truncate(len) => {
                self.events.truncate(len);
                // Nothing undoes an undoing.
                Change::Truncate(len)
            }
        }
    }

    fn index(&mut self, row: &Arc<Row>) {
        let values = row.to_values();
        for index in indexes_of(row.kind()) {
            if let Some(entry) = index.entry(&values) {
                let replaced = self.entries.entry(index.name).or_default().insert(entry, Arc::clone(row));
                debug_assert!(replaced.is_none(), "{} holds two rows at one place", index.name);
            }
        }
    }

    fn unindex(&mut self, row: &Row) {
        let values = row.to_values();
        for index in indexes_of(row.kind()) {
            if let Some(entry) = index.entry(&values) {
                let removed = self.entries.entry(index.name).or_default().remove(&entry);
                debug_assert!(removed.is_some(), "{} lacks a row", index.name);
            }
        }
    }

    fn range(&self, scan: &Scan) -> Result<impl Iterator<Item = &Arc<Row>>> {
        scan.check()?;
        let from = match &scan.after {
            Some(after) => Bound::Excluded(scan.prefix.iter().chain(&after.0).cloned().collect()),
            None => Bound::Included(scan.prefix.clone()),
        };
        let prefix = scan.prefix.clone();
        let upto = scan.upto.clone();
        Ok(self
            .entries
            .get(scan.index.name)
            .into_iter()
            .flat_map(move |entries| entries.range::<Vec<Value>, _>((from.clone(), Bound::Unbounded)))
            .take_while(move |(entry, _)| {
                entry.starts_with(&prefix) && upto.as_ref().is_none_or(|upto| entry[prefix.len()] <= *upto)
            })
            .map(|(_, row)| row))
    }
}

fn indexes_of(kind: RowKind) -> impl Iterator<Item = &'static Index> {
    INDEXES.iter().copied().filter(move |index| index.kind == kind)
}

impl Reader for State {
    fn get(&self, key: &Key) -> Result<Option<Row>> {
        debug_assert_eq!(key.values.len(), key.kind.key_len(), "a key has a value for each key column");
        Ok(self.rows.get(key).map(|row| Row::clone(row)))
    }

    fn scan(&self, scan: &Scan) -> Result<Vec<Row>> {
        Ok(self.range(scan)?.take(scan.limit).map(|row| Row::clone(row)).collect())
    }

    fn head(&self) -> Result<Head> {
        Ok(self.events.last().map(|event| event.head()).unwrap_or_default())
    }

    fn events(&self, after: u64, limit: usize) -> Result<Vec<Event>> {
        let skip = usize::try_from(after).unwrap_or(usize::MAX);
        Ok(self.events.iter().skip(skip).take(limit).map(|event| Event::clone(event)).collect())
    }

    fn count(&self, scan: &Scan) -> Result<u64> {
        Ok(self.range(scan)?.count() as u64)
    }
}

struct MemoryReader {
    state: Arc<State>,
}

/// Passes a reader's methods on to a state.
macro_rules! reads_state {
    ($name:ident, $self:ident => $state:expr) => {
        impl Reader for $name {
            fn get(&$self, key: &Key) -> Result<Option<Row>> {
                $state.get(key)
            }
            fn scan(&$self, scan: &Scan) -> Result<Vec<Row>> {
                $state.scan(scan)
            }
            fn head(&$self) -> Result<Head> {
                $state.head()
            }
            fn events(&$self, after: u64, limit: usize) -> Result<Vec<Event>> {
                $state.events(after, limit)
            }
            fn count(&$self, scan: &Scan) -> Result<u64> {
                $state.count(scan)
            }
        }
    };
}

reads_state!(MemoryReader, self => self.state);
reads_state!(MemoryTxn, self => self.state());

struct MemoryTxn {
    town: Arc<Town>,
    bell: Arc<Bell>,
    /// There until the transaction ends.
    working: Option<Arc<State>>,
    done: Vec<Change>,
    undo: Vec<Change>,
    mark: Option<usize>,
}

impl MemoryTxn {
    fn state(&self) -> &State {
        self.working.as_ref().expect("the transaction has not ended")
    }

    fn apply(&mut self, change: Change) {
        let state = self.working.as_mut().expect("the transaction has not ended");
        let state = Arc::get_mut(state).expect("nobody else holds the writer's copy");
        self.done.push(change.clone());
        self.undo.push(state.apply(change));
    }

    fn undo_to(&mut self, mark: usize) {
        let state = self.working.as_mut().expect("the transaction has not ended");
        let state = Arc::get_mut(state).expect("nobody else holds the writer's copy");
        while self.undo.len() > mark {
            state.apply(self.undo.pop().expect("it is longer than the mark"));
        }
        self.done.truncate(mark);
    }
}

impl Txn for MemoryTxn {
    fn put(&mut self, row: &Row) -> Result<()> {
        self.apply(Change::Put(row.key(), Arc::new(row.clone())));
        Ok(())
    }

    fn delete(&mut self, key: &Key) -> Result<()> {
        debug_assert_eq!(key.values.len(), key.kind.key_len(), "a key has a value for each key column");
        self.apply(Change::Delete(key.clone()));
        Ok(())
    }

    fn append(&mut self, events: &[Event]) -> Result<()> {
        check_order(&self.head()?, events)?;
        for event in events {
            self.apply(Change::Append(Arc::new(event.clone())));
        }
        Ok(())
    }

    fn savepoint(&mut self) -> Result<()> {
        self.mark = Some(self.undo.len());
        Ok(())
    }

    fn rollback_to_savepoint(&mut self) -> Result<()> {
        let mark =
            self.mark.ok_or_else(|| Error::internal("savepoint_missing", "there is no savepoint to return to"))?;
        self.undo_to(mark);
        Ok(())
    }

    fn commit(mut self: Box<Self>) -> Result<()> {
        let working = self.working.take().expect("the transaction has not ended");
        let done = std::mem::take(&mut self.done);
        let has_appended = done.iter().any(|change| matches!(change, Change::Append(_)));
        self.town.end(|slot| {
            let old = std::mem::replace(&mut slot.published, working);
            slot.spare = Some((old, done));
        });
        if has_appended {
            self.bell.ring();
        }
        Ok(())
    }

    fn as_reader(&self) -> &dyn Reader {
        self
    }
}

impl Drop for MemoryTxn {
    fn drop(&mut self) {
        if self.working.is_some() {
            self.undo_to(0);
            let working = self.working.take();
            self.town.end(|slot| slot.spare = working.map(|state| (state, Vec::new())));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    crate::store_conformance!(conformance, || Arc::new(MemoryBackend::new()));
}
