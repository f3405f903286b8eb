//! Connections, snapshots and transactions of a host's backend.

use std::path::Path;

use gastown_core::model::value::{Raw, Value};
use gastown_core::model::{Event, Head, Key, Row, RowKind, TownId};
use gastown_core::store::{
    self, Access, Connection, Description, Position, Reader, Txn, Unreadable, UnreadableRows, check_order,
    check_truncation, check_values,
};
use gastown_core::{Error, Result};
use pyo3::call::PyCallArgs;
use pyo3::prelude::*;

use super::rows::{PyValue, entry, events, head, row, rows, values};
use super::{Host, Scan, misshapen};

pub(super) struct HostConnection {
    host: Host,
    access: Access,
}

impl HostConnection {
    pub(super) fn new(host: Host, access: Access) -> Self {
        Self { host, access }
    }

    fn begin(&mut self, method: &'static str, town: &TownId) -> Result<View> {
        let object = self.host.call(method, (town.as_str(),), |_, object| Ok(object.unbind()))?;
        Ok(View { host: Host(Some(object)), unreadable: UnreadableRows::default() })
    }
}

impl Drop for HostConnection {
    fn drop(&mut self) {
        self.host.close();
    }
}

impl Connection for HostConnection {
    fn read(&mut self, town: &TownId) -> Result<Box<dyn Reader + '_>> {
        Ok(Box::new(self.begin("read", town)?))
    }

    fn write(&mut self, town: &TownId) -> Result<Box<dyn Txn + '_>> {
        if self.access == Access::Read {
            return Err(Error::internal("store_access", "a reader's connection cannot write"));
        }
        Ok(Box::new(HostTxn { view: self.begin("write", town)?, has_savepoint: false }))
    }

    fn describe(&mut self) -> Result<Description> {
        if !self.host.has("describe") {
            return Ok(Description::default());
        }
        self.host.call("describe", (), |method, answer| {
            let wrong =
                || misshapen(method, "a pair of a schema's version and \"full\", \"normal\" or \"none\"", &answer);
            let (schema, word): (u32, String) = answer.extract().map_err(|_| wrong())?;
            let durability = ["full", "normal", "none"].into_iter().find(|known| *known == word).ok_or_else(wrong)?;
            Ok(Description::new(schema, durability))
        })
    }

    fn check(&mut self) -> Result<Vec<String>> {
        if !self.host.has("check") {
            return Ok(Vec::new());
        }
        self.host.call("check", (), |method, answer| {
            answer.extract().map_err(|_| misshapen(method, "a list of sentences", &answer))
        })
    }

    fn vacuum(&mut self) -> Result<()> {
        if !self.host.has("vacuum") {
            return Ok(());
        }
        self.host.call("vacuum", (), |_, _| Ok(()))
    }

    fn copy_to(&mut self, path: &Path) -> Result<bool> {
        if !self.host.has("copy_to") {
            return Ok(false);
        }
        self.host.call("copy_to", (path,), |method, answer| {
            answer.extract().map_err(|_| misshapen(method, "whether it made a copy", &answer))
        })
    }
}

/// A snapshot, or what a transaction sees.
struct View {
    host: Host,
    unreadable: UnreadableRows,
}

impl Drop for View {
    fn drop(&mut self) {
        self.host.close();
    }
}

impl View {
    fn columns(&self, key: &Key) -> Result<Option<Vec<Value>>> {
        self.host.call("get", (key.kind.table(), values(&key.values)), |method, answer| {
            if answer.is_none() { Ok(None) } else { row(method, &answer).map(Some) }
        })
    }
}

impl Reader for View {
    fn get(&self, key: &Key) -> Result<Option<Row>> {
        let found = self.columns(key)?;
        let decode = |columns: Vec<Value>| {
            key.kind.decode(&columns).map_err(|error| self.unreadable.wanted(Unreadable::new(key.clone(), error)))
        };
        found.map(decode).transpose()
    }

    fn scan(&self, scan: &store::Scan) -> Result<Vec<Row>> {
        scan.check()?;
        let (index, mut found) = (scan.index, Vec::new());
        let mut asked = scan.clone();
        while found.len() < scan.limit {
            asked.limit = scan.limit - found.len();
            let page = self.host.call("scan", (Scan::of(&asked),), |method, answer| rows(method, &answer))?;
            if page.len() > asked.limit {
                return Err(wrong_scan(
                    index.kind,
                    &format!("{} rows, where at most {} were asked for", page.len(), asked.limit),
                ));
            }
            let is_last = page.len() < asked.limit;
            for columns in page {
                if columns.len() != index.kind.columns().len() {
                    return Err(wrong_scan(index.kind, &format!("a row of {} columns", columns.len())));
                }
                let here = Position(index.order.iter().map(|name| place(index.kind, name, &columns)).collect());
                // Each row is behind the one before it, so this ends.
                if asked.after.as_ref().is_some_and(|before| here <= *before) {
                    return Err(wrong_scan(index.kind, "a row that is not behind the place where it was to go on"));
                }
                asked.after = Some(here);
                match index.kind.decode(&columns) {
                    Ok(row) => found.push(row),
                    Err(error) => {
                        let key = Key { kind: index.kind, values: columns[..index.kind.key_len()].to_vec() };
                        self.unreadable.note(Unreadable::new(key, error));
                    }
                }
            }
            // What cannot be read takes nothing of the limit, so there may be more.
            if is_last {
                break;
            }
        }
        Ok(found)
    }

    fn values(&self, key: &Key) -> Result<Option<Vec<Raw>>> {
        Ok(self.columns(key)?.map(|columns| columns.into_iter().map(Raw::Value).collect()))
    }

    fn unreadable(&self) -> Vec<Unreadable> {
        self.unreadable.take()
    }

    fn head(&self) -> Result<Head> {
        self.host.call("head", (), |method, answer| head(method, &answer))
    }

    fn events(&self, after: u64, limit: usize) -> Result<Vec<Event>> {
        // No journal is longer than what a signed number holds.
        let (after, limit) = (after.min(i64::MAX.unsigned_abs()), limit.min(isize::MAX.unsigned_abs()));
        self.host.call("events", (after, limit), |method, answer| events(method, &answer))
    }
}

/// The error of a scan that answered something else than was asked.
fn wrong_scan(kind: RowKind, what: &str) -> Error {
    Error::internal("backend_answer", format!("the backend's scan answered {what}"))
        .with("method", "scan")
        .with("table", kind.table())
}

fn place(kind: RowKind, name: &str, columns: &[Value]) -> Value {
    columns[kind.position(name).expect("an index names columns of its table")].clone()
}

struct HostTxn {
    view: View,
    has_savepoint: bool,
}

impl HostTxn {
    fn tell<A>(&self, method: &'static str, arguments: A) -> Result<()>
    where
        A: for<'py> PyCallArgs<'py>,
    {
        self.view.host.call(method, arguments, |_, _| Ok(()))
    }

    fn store(&self, kind: RowKind, columns: &[Value]) -> Result<()> {
        let columns: Vec<PyValue> = values(columns);
        self.tell("put", (kind.table(), columns))
    }
}

impl Reader for HostTxn {
    fn get(&self, key: &Key) -> Result<Option<Row>> {
        self.view.get(key)
    }
    fn scan(&self, scan: &store::Scan) -> Result<Vec<Row>> {
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

impl Txn for HostTxn {
    fn put(&mut self, row: &Row) -> Result<()> {
        self.store(row.kind(), &row.to_values())
    }

    fn put_values(&mut self, kind: RowKind, values: &[Value]) -> Result<()> {
        check_values(kind, values)?;
        self.store(kind, values)
    }

    fn delete(&mut self, key: &Key) -> Result<()> {
        self.tell("delete", (key.kind.table(), values(&key.values)))
    }

    fn append(&mut self, events: &[Event]) -> Result<()> {
        check_order(&self.head()?, events)?;
        let entries = events.iter().map(entry).collect::<Result<Vec<_>>>()?;
        if entries.is_empty() { Ok(()) } else { self.tell("append", (entries,)) }
    }

    fn truncate_events(&mut self, through: u64) -> Result<()> {
        check_truncation(&self.head()?, through)?;
        self.tell("truncate_events", (through,))
    }

    fn savepoint(&mut self) -> Result<()> {
        self.tell("savepoint", ())?;
        self.has_savepoint = true;
        Ok(())
    }

    fn rollback_to_savepoint(&mut self) -> Result<()> {
        if !self.has_savepoint {
            return Err(Error::internal("savepoint_missing", "there is no savepoint to return to"));
        }
        self.tell("rollback_to_savepoint", ())
    }

    fn commit(self: Box<Self>) -> Result<()> {
        self.tell("commit", ())
    }

    fn as_reader(&self) -> &dyn Reader {
        self
    }
}
