//! Write transactions.

use std::path::Path;
use std::sync::Arc;

use super::changes;
use super::connection::{View, run, sqlite_int};
use super::error::at;
use super::place::Opened;
use super::sql;
use super::statements::Which;
use crate::model::value::{Cell, Raw, Value};
use crate::model::{Error, Event, Head, Key, Result, Row, RowKind, WrittenEvent};
use crate::store::{
    Packed, Position, Reader, Scan, Search, Txn, Unreadable, check_order, check_truncation, check_values,
};

/// The write transaction.
pub(super) struct SqliteTxn<'c> {
    view: View<'c>,
    path: Arc<Path>,
    opened: Arc<Opened>,
    has_savepoint: bool,
    /// Also where that was undone.
    has_appended: bool,
}

impl<'c> SqliteTxn<'c> {
    pub(super) const fn new(view: View<'c>, path: Arc<Path>, opened: Arc<Opened>) -> Self {
        Self { view, path, opened, has_savepoint: false, has_appended: false }
    }
}

impl SqliteTxn<'_> {
    fn begin_append<'e>(&self, events: impl IntoIterator<Item = &'e Event>) -> Result<()> {
        self.view.check_open()?;
        check_order(&self.head()?, events)?;
        // Whatever goes wrong while they are written, the end is looked up again.
        *self.view.head.borrow_mut() = None;
        Ok(())
    }

    fn end_append(&mut self, last: Option<&Event>) {
        self.has_appended |= last.is_some();
        *self.view.head.borrow_mut() = last.map(Event::head);
    }
}

impl Reader for SqliteTxn<'_> {
    fn get(&self, key: &Key) -> Result<Option<Row>> {
        self.view.get(key)
    }
    fn get_shared(&self, key: &Key) -> Result<Option<Arc<Row>>> {
        self.view.get_shared(key)
    }
    fn scan(&self, scan: &Scan) -> Result<Vec<Row>> {
        self.view.scan(scan)
    }
    fn scan_packed(&self, scan: &Scan) -> Result<Packed> {
        self.view.scan_packed(scan)
    }
    fn scan_back(&self, scan: &Scan, before: Option<&Position>) -> Result<Vec<Row>> {
        self.view.scan_back(scan, before)
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
    fn count(&self, scan: &Scan) -> Result<u64> {
        self.view.count(scan)
    }
    fn search(&self, search: &Search) -> Result<Vec<Row>> {
        self.view.search(search)
    }
    fn events_of(&self, subject: &str, after: u64, limit: usize) -> Result<Vec<Event>> {
        self.view.events_of(subject, after, limit)
    }
}

impl Txn for SqliteTxn<'_> {
    fn put(&mut self, row: &Row) -> Result<()> {
        self.put_shared(None, &Arc::new(row.clone()))
    }

    fn replace(&mut self, before: &Row, after: &Row) -> Result<()> {
        self.put_shared(Some(before), &Arc::new(after.clone()))
    }

    fn put_shared(&mut self, before: Option<&Row>, row: &Arc<Row>) -> Result<()> {
        self.view.check_open()?;
        let (kind, key_len) = (row.kind(), row.kind().key_len());
        let changed = match before {
            None => 0,
            Some(before) => match row.differences(before) {
                Some(set) if set.trailing_zeros() as usize >= key_len => set,
                _ => {
                    return Err(Error::internal("replace_key", "a row is replaced by one of its key")
                        .with("table", kind.table()));
                }
            },
        };
        if before.is_some() && changed == 0 && self.view.holds(row) {
            return Ok(());
        }
        row.with_cells(|cells| {
            let put = || self.view.execute(Which::Put(kind), || &sql::statements(kind).put, cells);
            // An index of which no column is named is left alone.
            let named = (0..key_len).chain(sql::bits(changed)).map(|place| &cells[place]);
            let done = match changed {
                0 => put(),
                _ => match self.view.execute(Which::Update(kind, changed), || sql::update(kind, changed), named) {
                    Ok(0) => put(),
                    done => done,
                },
            };
            self.view.note(row.key(), done.is_ok().then_some((row, cells)));
            done.map(drop)
        })
    }

    fn put_new(&mut self, rows: &[Arc<Row>]) -> Result<()> {
        self.view.check_open()?;
        self.view.insert_new(rows)
    }

    fn put_values(&mut self, kind: RowKind, values: &[Value]) -> Result<()> {
        check_values(kind, values)?;
        self.view.check_open()?;
        let cells: Vec<Cell<'_>> = values.iter().map(Cell::from).collect();
        let written = self.view.execute(Which::Put(kind), || &sql::statements(kind).put, &cells);
        self.view.note(Key { kind, values: values[..kind.key_len()].to_vec() }, None);
        written.map(drop).map_err(|error| {
            if error.code() != "row_refused" {
                return error;
            }
            Error::invalid("values_refused", format!("the table {} cannot hold these columns", kind.table()))
                .with("table", kind.table())
                .because(error)
        })
    }

    fn delete(&mut self, key: &Key) -> Result<()> {
        self.view.check_open()?;
        let cells: Vec<Cell<'_>> = sql::key_values(key).iter().map(Cell::from).collect();
        let done = self.view.execute(Which::Delete(key.kind), || &sql::statements(key.kind).delete, &cells);
        self.view.note(key.clone(), None);
        done.map(drop)
    }

    fn append(&mut self, events: &[Event]) -> Result<()> {
        self.begin_append(events)?;
        for event in events {
            let changes = serde_json::to_string(&event.changes)
                .map_err(|source| Error::internal("event_unwritable", "an event cannot be written").because(source))?;
            self.view.insert(event, &event.data.to_string(), &changes)?;
        }
        self.end_append(events.last());
        Ok(())
    }

    fn append_written(&mut self, events: &[WrittenEvent]) -> Result<()> {
        self.begin_append(events.iter().map(|written| &written.event))?;
        for WrittenEvent { event, data, changes } in events {
            self.view.insert(event, data, changes)?;
        }
        self.end_append(events.last().map(|written| &written.event));
        Ok(())
    }

    fn truncate_events(&mut self, through: u64) -> Result<()> {
        self.view.check_open()?;
        check_truncation(&self.head()?, through)?;
        self.view.execute(Which::Truncate, || sql::TRUNCATE, &[Cell::Int(sqlite_int(through))]).map(drop)
    }

    fn savepoint(&mut self) -> Result<()> {
        self.view.check_open()?;
        if self.has_savepoint {
            run(self.view.db, "RELEASE command")?;
            self.has_savepoint = false;
        }
        run(self.view.db, "SAVEPOINT command")?;
        self.has_savepoint = true;
        Ok(())
    }

    fn rollback_to_savepoint(&mut self) -> Result<()> {
        self.view.check_open()?;
        if !self.has_savepoint {
            return Err(Error::internal("savepoint_missing", "there is no savepoint to return to"));
        }
        *self.view.head.borrow_mut() = None;
        if let Some(rows) = self.view.rows {
            rows.borrow_mut().undo();
        }
        run(self.view.db, "ROLLBACK TO command")
    }

    fn commit(self: Box<Self>) -> Result<()> {
        self.view.check_open()?;
        // Where it fails, the transaction is undone when the view is dropped.
        run(self.view.db, "COMMIT").map_err(|error| at(error, &self.path))?;
        // What is in a file that lost its name is told to nobody as done.
        self.opened.check().map_err(|error| at(error, &self.path))?;
        if let Some(rows) = self.view.rows {
            rows.borrow_mut().commit(self.view.head.take());
        }
        if self.has_appended {
            changes::announce(&self.path);
        }
        Ok(())
    }

    fn as_reader(&self) -> &dyn Reader {
        self
    }
}
