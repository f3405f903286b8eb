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
use super::{
    Access, Backend, Changes, Connection, Description, Position, Reader, Scan, Txn, Unreadable, UnreadableRows,
    check_order, check_truncation, check_values,
};
use crate::model::value::{Raw, Value};
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
        Ok(Box::new(MemoryReader { state, unreadable: UnreadableRows::default() }))
    }

    fn write(&mut self, town: &TownId) -> Result<Box<dyn Txn + '_>> {
        if self.access == Access::Read {
            return Err(Error::internal("store_access", "a reader's connection cannot write"));
        }
        let town = self.backend.town(town);
        let working = town.begin(self.backend.busy.unwrap_or(BUSY))?;
        let bell = Arc::clone(&self.backend.bell);
        Ok(Box::new(MemoryTxn {
            town,
            bell,
            working: Some(working),
            done: Vec::new(),
            undo: Vec::new(),
            mark: None,
            unreadable: UnreadableRows::default(),
        }))
    }

    fn towns(&mut self, limit: usize) -> Result<Option<Vec<TownId>>> {
        let towns: Vec<_> = lock(&self.backend.towns).iter().map(|(id, town)| (id.clone(), Arc::clone(town))).collect();
        let is_there = |(id, town): (TownId, Arc<Town>)| {
            let published = Arc::clone(&lock(&town.slot).published);
            published.rows.contains_key(&Key::town(&id)).then_some(id)
        };
        Ok(Some(towns.into_iter().filter_map(is_there).take(limit).collect()))
    }

    fn describe(&mut self) -> Result<Description> {
        Ok(Description::new(0, "none"))
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

/// What is stored under a key.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "nearly all are rows, and each is behind a pointer already")]
enum Held {
    Row(Row),
    /// Columns that make no row.
    Values(Key, Vec<Value>),
}

impl Held {
    fn key(&self) -> Key {
        match self {
            Self::Row(row) => row.key(),
            Self::Values(key, _) => key.clone(),
        }
    }

    fn to_values(&self) -> Vec<Value> {
        match self {
            Self::Row(row) => row.to_values(),
            Self::Values(_, values) => values.clone(),
        }
    }

    fn row(&self) -> Result<Row, Unreadable> {
        match self {
            Self::Row(row) => Ok(row.clone()),
            Self::Values(key, values) => key.kind.decode(values).map_err(|error| Unreadable::new(key.clone(), error)),
        }
    }
}

/// The rows and the journal of one town.
#[derive(Clone, Debug, Default)]
struct State {
    rows: BTreeMap<Key, Arc<Held>>,
    /// By the index's name and the entry; the rows themselves serve indexes that are keys.
    entries: BTreeMap<&'static str, BTreeMap<Vec<Value>, Arc<Held>>>,
    events: Vec<Arc<Event>>,
}

/// A step from one state to another.
#[derive(Clone, Debug)]
enum Change {
    Put(Key, Arc<Held>),
    Delete(Key),
    Append(Arc<Event>),
    /// The journal loses its last entry.
    Withdraw,
    /// The journal loses its entries up to this `seq`.
    Forget(u64),
    /// The journal begins with these again.
    Recall(Vec<Arc<Event>>),
}

impl State {
    /// Takes the step and answers the one back.
    fn apply(&mut self, change: Change) -> Change {
        match change {
            Change::Put(key, held) => {
                let old = self.rows.insert(key.clone(), Arc::clone(&held));
                if let Some(old) = &old {
                    self.unindex(old);
                }
                self.index(&held);
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
                Change::Withdraw
            }
            Change::Withdraw => Change::Append(self.events.pop().expect("an entry was appended")),
            Change::Forget(through) => {
                let kept = self.events.partition_point(|event| event.seq <= through);
                Change::Recall(self.events.drain(..kept).collect())
            }
            Change::Recall(events) => {
                let through = events.last().map_or(0, |event| event.seq);
                self.events.splice(..0, events);
                Change::Forget(through)
            }
        }
    }

    fn index(&mut self, held: &Arc<Held>) {
        let values = held.to_values();
        for index in indexes_of(held.key().kind) {
            if let Some(entry) = index.entry(&values) {
                let replaced = self.entries.entry(index.name).or_default().insert(entry, Arc::clone(held));
                debug_assert!(replaced.is_none(), "{} holds two rows at one place", index.name);
            }
        }
    }

    fn unindex(&mut self, held: &Held) {
        let values = held.to_values();
        for index in indexes_of(held.key().kind) {
            if let Some(entry) = index.entry(&values) {
                let removed = self.entries.entry(index.name).or_default().remove(&entry);
                debug_assert!(removed.is_some(), "{} lacks a row", index.name);
            }
        }
    }

    /// The entries of a scan that are before `before`, of which the last come first.
    fn range_back<'s>(
        &'s self,
        scan: &'s Scan,
        before: Option<&'s Position>,
    ) -> Result<Box<dyn Iterator<Item = &'s Arc<Held>> + 's>> {
        scan.check_place(before)?;
        let begin = |place: Option<&Position>| -> Vec<Value> {
            scan.prefix.iter().chain(place.into_iter().flat_map(|place| &place.0)).cloned().collect()
        };
        // The first place behind all that may be wanted.
        let end = match (before, &scan.upto) {
            (Some(before), _) => Some(begin(Some(before))),
            (None, Some(upto)) => Some(begin(None).into_iter().chain([next(upto)]).collect()),
            (None, None) => {
                scan.prefix.split_last().map(|(last, rest)| rest.iter().cloned().chain([next(last)]).collect())
            }
        };
        let fits = move |entry: &[Value]| {
            entry.starts_with(&scan.prefix)
                && scan.after.as_ref().is_none_or(|after| entry[scan.prefix.len()..] > after.0[..])
        };
        let is_late = move |entry: &[Value]| scan.upto.as_ref().is_some_and(|upto| entry[scan.prefix.len()] > *upto);
        if scan.index.is_key() {
            let kind = scan.index.kind;
            let from = Bound::Included(Key { kind, values: begin(None) });
            let following = RowKind::ALL.get(kind as usize + 1);
            let end = match (end, following) {
                (Some(values), _) => Bound::Excluded(Key { kind, values }),
                (None, Some(&kind)) => Bound::Excluded(Key { kind, values: vec![] }),
                (None, None) => Bound::Unbounded,
            };
            let back = self.rows.range((from, end)).rev().skip_while(move |(key, _)| is_late(&key.values));
            return Ok(Box::new(back.take_while(move |(key, _)| fits(&key.values)).map(|(_, held)| held)));
        }
        let entries = self.entries.get(scan.index.name);
        let range = (Bound::Included(begin(None)), end.map_or(Bound::Unbounded, Bound::Excluded));
        let back = entries.into_iter().flat_map(move |entries| entries.range::<Vec<Value>, _>(range.clone()).rev());
        let back = back.skip_while(move |(entry, _)| is_late(entry));
        Ok(Box::new(back.take_while(move |(entry, _)| fits(entry)).map(|(_, held)| held)))
    }

    fn range<'s>(&'s self, scan: &'s Scan) -> Result<Box<dyn Iterator<Item = &'s Arc<Held>> + 's>> {
        scan.check()?;
        let from: Vec<Value> =
            scan.prefix.iter().chain(scan.after.iter().flat_map(|after| &after.0)).cloned().collect();
        let fits = move |entry: &[Value]| {
            entry.starts_with(&scan.prefix) && scan.upto.as_ref().is_none_or(|upto| entry[scan.prefix.len()] <= *upto)
        };
        let is_behind = scan.after.is_some();
        if scan.index.is_key() {
            let kind = scan.index.kind;
            let from = Key { kind, values: from };
            let from = if is_behind { Bound::Excluded(from) } else { Bound::Included(from) };
            return Ok(Box::new(
                self.rows
                    .range((from, Bound::Unbounded))
                    .take_while(move |(key, _)| key.kind == kind && fits(&key.values))
                    .map(|(_, held)| held),
            ));
        }
        let entries = self.entries.get(scan.index.name);
        let from = if is_behind { Bound::Excluded(from) } else { Bound::Included(from) };
        Ok(Box::new(
            entries
                .into_iter()
                .flat_map(move |entries| entries.range::<Vec<Value>, _>((from.clone(), Bound::Unbounded)))
                .take_while(move |(entry, _)| fits(entry))
                .map(|(_, held)| held),
        ))
    }

    fn get(&self, key: &Key, unreadable: &UnreadableRows) -> Result<Option<Row>> {
        debug_assert_eq!(key.values.len(), key.kind.key_len(), "a key has a value for each key column");
        self.rows.get(key).map(|held| held.row().map_err(|row| unreadable.wanted(row))).transpose()
    }

    fn scan(&self, scan: &Scan, unreadable: &UnreadableRows) -> Result<Vec<Row>> {
        let readable = self.range(scan)?.filter_map(|held| held.row().map_err(|row| unreadable.note(row)).ok());
        Ok(readable.take(scan.limit).collect())
    }

    fn scan_back(&self, scan: &Scan, before: Option<&Position>, unreadable: &UnreadableRows) -> Result<Vec<Row>> {
        let back = self.range_back(scan, before)?;
        let readable = back.filter_map(|held| held.row().map_err(|row| unreadable.note(row)).ok());
        Ok(readable.take(scan.limit).collect())
    }

    fn head(&self) -> Head {
        self.events.last().map(|event| event.head()).unwrap_or_default()
    }

    fn events(&self, after: u64, limit: usize) -> Vec<Event> {
        let skip = self.events.partition_point(|event| event.seq <= after);
        self.events[skip..].iter().take(limit).map(|event| Event::clone(event)).collect()
    }
}

/// The least value that is greater than this one.
fn next(value: &Value) -> Value {
    match value {
        Value::Null => Value::Int(i64::MIN),
        Value::Int(n) => n.checked_add(1).map_or_else(|| Value::Text(String::new()), Value::Int),
        Value::Text(text) => Value::Text(format!("{text}\0")),
    }
}

fn indexes_of(kind: RowKind) -> impl Iterator<Item = &'static Index> {
    INDEXES.iter().copied().filter(move |index| index.kind == kind && !index.is_key())
}

struct MemoryReader {
    state: Arc<State>,
    unreadable: UnreadableRows,
}

/// Passes a reader's methods on to a state.
macro_rules! reads_state {
    ($name:ident, $self:ident => $state:expr) => {
        impl Reader for $name {
            fn get(&$self, key: &Key) -> Result<Option<Row>> {
                $state.get(key, &$self.unreadable)
            }
            fn scan(&$self, scan: &Scan) -> Result<Vec<Row>> {
                $state.scan(scan, &$self.unreadable)
            }
            fn values(&$self, key: &Key) -> Result<Option<Vec<Raw>>> {
                let held = $state.rows.get(key).map(|held| held.to_values());
                Ok(held.map(|values| values.into_iter().map(Raw::Value).collect()))
            }
            fn scan_back(&$self, scan: &Scan, before: Option<&Position>) -> Result<Vec<Row>> {
                $state.scan_back(scan, before, &$self.unreadable)
            }
            fn unreadable(&$self) -> Vec<Unreadable> {
                $self.unreadable.take()
            }
            fn head(&$self) -> Result<Head> {
                Ok($state.head())
            }
            fn events(&$self, after: u64, limit: usize) -> Result<Vec<Event>> {
                Ok($state.events(after, limit))
            }
            fn count(&$self, scan: &Scan) -> Result<u64> {
                Ok($state.range(scan)?.count() as u64)
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
    unreadable: UnreadableRows,
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
        self.apply(Change::Put(row.key(), Arc::new(Held::Row(row.clone()))));
        Ok(())
    }

    fn put_values(&mut self, kind: RowKind, values: &[Value]) -> Result<()> {
        check_values(kind, values)?;
        let key = Key { kind, values: values[..kind.key_len()].to_vec() };
        let held = kind.decode(values).map_or_else(|_| Held::Values(key.clone(), values.to_vec()), Held::Row);
        self.apply(Change::Put(key, Arc::new(held)));
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

    fn truncate_events(&mut self, through: u64) -> Result<()> {
        check_truncation(&self.head()?, through)?;
        self.apply(Change::Forget(through));
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

    crate::store_conformance!(conformance, || {
        Arc::new(MemoryBackend::new().with_busy_timeout(Duration::from_millis(200)))
    });
}
