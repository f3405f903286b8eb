//! What the cases share.

use std::sync::Arc;

use super::Site;
use super::sample::{self, Draw};
use crate::model::value::Value;
use crate::model::{BeadId, BeadKind, BeadRow, BeadStatus, Event, Head, Key, Result, Row, RowKind, Timestamp, TownId};
use crate::store::index::Index;
use crate::store::{Access, Backend, Connection, Reader, Scan, Store, StoreOptions, Txn};

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
    pub(super) fn new(site: &Site) -> Self {
        Self::of(site.backend())
    }

    /// The same over an instance.
    pub(super) fn of(backend: Arc<dyn Backend>) -> Self {
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

pub(super) fn text(words: impl Into<String>) -> Value {
    Value::Text(words.into())
}

/// The prefix of issues that are ready and not ephemeral.
pub(super) fn ready() -> Vec<Value> {
    vec![text("issue"), Value::Int(0)]
}

pub(super) fn id(words: &str) -> BeadId {
    BeadId::new(words).unwrap()
}

/// An open issue of no rig that nothing blocks, made at second 0.
pub(super) fn issue(words: &str) -> BeadRow {
    BeadRow {
        id: id(words),
        kind: BeadKind::Issue,
        status: BeadStatus::Open,
        resolution: None,
        title: format!("the work of {words}"),
        priority: 2,
        issue_type: "task".into(),
        metadata: serde_json::json!({}),
        rig: None,
        parent: None,
        convoy: None,
        assignee: None,
        created_by: "tess".into(),
        external_ref: None,
        defer_until: None,
        due_at: None,
        estimate_minutes: None,
        parked_reason: None,
        parked_until: None,
        slung: false,
        slung_to: None,
        slung_role: None,
        slung_at: None,
        lane: None,
        blockers: 0,
        epoch: 0,
        failures: 0,
        outages: 0,
        reworks: 0,
        wake_at: None,
        lease_until: None,
        dirty: false,
        version: 1,
        created_at: at(0),
        updated_at: at(0),
        closed_at: None,
        source_status: None,
        extra: None,
        labels: Vec::new(),
        owner: None,
        spec_id: None,
        close_reason: None,
        started_at: None,
        pinned: false,
        ephemeral: false,
        template: false,
        rank: 0,
        parts: 0,
        open_parts: 0,
        last_part: 0,
        comments: 0,
        agent_failures: 0,
        auth_failures: 0,
        failure: None,
    }
}

/// A second.
pub(super) fn at(second: i64) -> Timestamp {
    Timestamp::from_micros(second * 1_000_000)
}

/// Everything a scan of this prefix gives.
pub(super) fn all(reader: &dyn Reader, index: &'static Index, prefix: &[Value]) -> Vec<Row> {
    reader.scan(&Scan::new(index, prefix.to_vec(), 100_000)).unwrap()
}

/// The first column of the key of each.
pub(super) fn names(rows: &[Row]) -> Vec<String> {
    rows.iter()
        .map(|row| match row.key().values.swap_remove(0) {
            Value::Text(name) => name,
            other => panic!("{other:?} is no name"),
        })
        .collect()
}

pub(super) fn put_all(txn: &mut dyn Txn, rows: &[Row]) {
    rows.iter().for_each(|row| txn.put(row).unwrap());
}

/// The bead of this id, which is there.
pub(super) fn bead_of(reader: &dyn Reader, words: &str) -> BeadRow {
    match reader.get(&Key::bead(&id(words))).unwrap() {
        Some(Row::Bead(bead)) => bead,
        other => panic!("{words} is {other:?}"),
    }
}

/// Writes and commits as soon as nobody else writes.
pub(super) fn write_when_free<T>(connection: &mut dyn Connection, job: impl FnOnce(&mut dyn Txn) -> T) -> T {
    loop {
        match connection.write(&town()) {
            Ok(mut txn) => {
                let value = job(&mut *txn);
                txn.commit().unwrap();
                return value;
            }
            Err(error) => assert_eq!(error.code(), "store_busy", "{}", error.chain()),
        }
    }
}

/// Appends so many entries.
pub(super) fn append(txn: &mut dyn Txn, count: usize) {
    let head = txn.head().unwrap();
    txn.append(&events(&head, count, head.seq)).unwrap();
}

/// Runs a future to its end, on this thread.
pub(super) fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

/// A store that is told of others' commits, or looks often where nobody tells it.
pub(super) async fn store(backend: Arc<dyn Backend>) -> Store {
    // A backend may want a thread that is no async runtime's.
    let can_hear = || {
        drop(backend.connect(Access::Write).unwrap());
        backend.changes().unwrap().is_some()
    };
    let can_hear = std::thread::scope(|scope| scope.spawn(can_hear).join().unwrap());
    // The slow check does not come while a case runs, except where there is nothing else.
    let options = StoreOptions { check_ms: if can_hear { 3_600_000 } else { 10 }, ..StoreOptions::default() };
    Store::open(backend, town(), options).await.unwrap()
}
