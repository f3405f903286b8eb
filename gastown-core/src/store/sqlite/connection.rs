//! Connections, snapshots and write transactions.

use std::cell::{RefCell, RefMut};
use std::path::Path;
use std::sync::Arc;

use rusqlite::CachedStatement;

use super::changes;
use super::error::{at, of_sqlite, of_statement};
use super::read::{decode, event, of_event, plain, seq};
use super::sql::{self, Select, Shape, Way};
use super::statements::{Statements, Which, bind, bind_values};
use super::upkeep;
use crate::model::value::{Cell, Value};
use crate::model::{Error, Event, Head, Key, Result, Row, RowKind, TownId, WrittenEvent};
use crate::store::rows::{Known, Rows};
use crate::store::{
    Access, Connection, Description, Position, Reader, Scan, Search, Tally, Txn, Unreadable, UnreadableRows,
    check_order, check_truncation, check_values, search,
};

/// One connection to the file.
pub(super) struct SqliteConnection {
    db: rusqlite::Connection,
    access: Access,
    path: Arc<Path>,
    /// What is known of the database as the last transaction left or saw it.
    rows: RefCell<Rows>,
}

impl SqliteConnection {
    /// It keeps about so many bytes of rows.
    pub(super) fn new(db: rusqlite::Connection, access: Access, path: Arc<Path>, rows_bytes: usize) -> Self {
        Self { db, access, path, rows: RefCell::new(Rows::new(rows_bytes)) }
    }

    /// Begins a transaction on a connection that is in none.
    fn begin(&self, town: &TownId, how: &str) -> Result<View<'_>> {
        if !self.db.is_autocommit() {
            // The last one could not be ended when it was dropped.
            run(&self.db, "ROLLBACK").map_err(|error| at(error, &self.path))?;
        }
        run(&self.db, how).map_err(|error| at(error, &self.path))?;
        Ok(View {
            db: &self.db,
            path: &self.path,
            statements: Statements::new(&self.db),
            town: town.clone(),
            head: RefCell::new(None),
            is_snapshot: self.access == Access::Read,
            rows: None,
            unreadable: UnreadableRows::default(),
        })
    }

    /// Has the transaction know what was known before, where nobody has committed since.
    ///
    /// Asked within the transaction, so it is of the moment that the transaction sees.
    fn recall<'c>(&'c self, view: &mut View<'c>) -> Result<()> {
        let statement = self.db.prepare_cached(sql::COMMITS_OF_OTHERS);
        let version = statement.and_then(|mut statement| statement.query_row([], |row| row.get(0)));
        let version = version.map_err(|source| view.refused(source))?;
        view.head = RefCell::new(self.rows.borrow_mut().begin(&view.town, version));
        view.rows = Some(&self.rows);
        Ok(())
    }
}

impl Connection for SqliteConnection {
    fn read(&mut self, town: &TownId) -> Result<Box<dyn Reader + '_>> {
        let mut view = self.begin(town, "BEGIN DEFERRED")?;
        self.recall(&mut view)?;
        // SQLite takes the snapshot at the first read, so there is one here.
        view.head()?;
        Ok(Box::new(view))
    }

    fn write(&mut self, town: &TownId) -> Result<Box<dyn Txn + '_>> {
        if self.access == Access::Read {
            return Err(Error::internal("store_access", "a reader's connection cannot write"));
        }
        let path = Arc::clone(&self.path);
        let mut view = self.begin(town, "BEGIN IMMEDIATE")?;
        // Under the lock nobody can commit any more.
        self.recall(&mut view)?;
        Ok(Box::new(SqliteTxn { view, path, has_savepoint: false, has_appended: false }))
    }

    fn towns(&mut self, limit: usize) -> Result<Option<Vec<TownId>>> {
        upkeep::towns(&self.db, limit).map(Some)
    }

    fn describe(&mut self) -> Result<Description> {
        upkeep::describe(&self.db)
    }

    fn check(&mut self) -> Result<Vec<String>> {
        upkeep::check(&self.db)
    }

    fn vacuum(&mut self) -> Result<()> {
        upkeep::index_words(&self.db)?;
        upkeep::vacuum(&self.db)
    }

    fn copy_to(&mut self, path: &Path) -> Result<bool> {
        upkeep::copy_to(&self.db, path).map(|()| true)
    }
}

/// Runs a statement that answers nothing.
fn run(db: &rusqlite::Connection, sql: &str) -> Result<()> {
    db.prepare_cached(sql).and_then(|mut statement| statement.raw_execute()).map(drop).map_err(of_sqlite)
}

/// One town in the connection's transaction, which ends with it.
pub(super) struct View<'c> {
    db: &'c rusqlite::Connection,
    path: &'c Path,
    statements: Statements<'c>,
    town: TownId,
    /// The journal's end, once it was looked up.
    head: RefCell<Option<Head>>,
    is_snapshot: bool,
    /// What is known already, once that was looked up.
    pub(super) rows: Option<&'c RefCell<Rows>>,
    pub(super) unreadable: UnreadableRows,
}

impl<'c> View<'c> {
    /// What SQLite answered, and of which file.
    pub(super) fn refused(&self, source: rusqlite::Error) -> Error {
        at(of_sqlite(source), self.path)
    }

    fn statement<T: AsRef<str>>(
        &self,
        which: Which,
        text: impl FnOnce() -> T,
    ) -> Result<RefMut<'_, CachedStatement<'c>>> {
        let found = self.statements.find(which, text);
        found.map_err(|source| at(of_statement(source), self.path))
    }

    /// The statement with the town and these cells bound.
    pub(super) fn bound<'v, T: AsRef<str>>(
        &self,
        which: Which,
        text: impl FnOnce() -> T,
        cells: impl IntoIterator<Item = &'v Cell<'v>>,
    ) -> Result<RefMut<'_, CachedStatement<'c>>> {
        let mut statement = self.statement(which, text)?;
        bind(&mut statement, self.town.as_str(), cells).map_err(|source| self.refused(source))?;
        Ok(statement)
    }

    /// The statement with the town and these values bound.
    pub(super) fn bound_to<'v, T: AsRef<str>>(
        &self,
        which: Which,
        text: impl FnOnce() -> T,
        values: impl IntoIterator<Item = &'v Value>,
    ) -> Result<RefMut<'_, CachedStatement<'c>>> {
        let mut statement = self.statement(which, text)?;
        bind_values(&mut statement, self.town.as_str(), values).map_err(|source| self.refused(source))?;
        Ok(statement)
    }

    /// Runs a statement that answers nothing, with the town and these cells; says how many rows it changed.
    fn execute<'v, T: AsRef<str>>(
        &self,
        which: Which,
        text: impl FnOnce() -> T,
        cells: impl IntoIterator<Item = &'v Cell<'v>>,
    ) -> Result<usize> {
        self.bound(which, text, cells)?.raw_execute().map_err(|source| self.refused(source))
    }

    /// Writes one more entry of the journal.
    fn insert(&self, event: &Event, data: &str, changes: &str) -> Result<()> {
        let cells = [
            Cell::Int(sqlite_int(event.seq)),
            Cell::Int(event.at.as_micros()),
            Cell::text(&event.actor),
            event.session.as_ref().map_or(Cell::Null, |session| Cell::text(session.as_str())),
            event.epoch.map_or(Cell::Null, Cell::Int),
            Cell::text(&event.kind),
            Cell::text(&event.subject),
            Cell::text(data),
            Cell::text(changes),
            Cell::Int(i64::from(event.schema)),
            Cell::text(&event.hash),
        ];
        self.execute(Which::Append, || sql::APPEND, &cells).map(drop)
    }

    /// Looks up a row in the file.
    fn read(&self, key: &Key) -> Result<Option<Result<Row, Unreadable>>> {
        let text = || &sql::statements(key.kind).get;
        let mut statement = self.bound_to(Which::Get(key.kind), text, sql::key_values(key))?;
        let mut rows = statement.raw_query();
        match rows.next().map_err(|source| self.refused(source))? {
            Some(row) => decode(key.kind, row).map(Some),
            None => Ok(None),
        }
    }

    /// Whether the town is known to hold nothing of a kind: whoever uses a part of the library only does not pay for
    /// the rest. Asked once, as long as nobody writes such a row.
    fn is_empty(&self, kind: RowKind) -> Result<bool> {
        // Whoever reads begins anew too often for that.
        let Some(rows) = self.rows.filter(|_| !self.is_snapshot) else { return Ok(false) };
        if let Some(known) = rows.borrow().is_empty(kind) {
            return Ok(known);
        }
        let mut statement = self.bound(Which::Any(kind), || sql::any(kind), &[])?;
        let is_empty = statement.raw_query().next().map_err(|source| self.refused(source))?.is_none();
        rows.borrow_mut().keep_empty(kind, is_empty);
        Ok(is_empty)
    }

    /// What is known of the row of this key follows what was done to it.
    fn note(&self, key: Key, row: Option<(&Arc<Row>, &[Cell<'_>])>) {
        if let Some(rows) = self.rows {
            rows.borrow_mut().write(key, row);
        }
    }

    /// Whether this very row is there already.
    fn holds(&self, row: &Row) -> bool {
        let key = row.key();
        if let Some(rows) = self.rows
            && let Known::There(known) = rows.borrow_mut().known(&key)
        {
            return **known == *row;
        }
        // One that cannot be read is another one.
        matches!(self.read(&key), Ok(Some(Ok(found))) if found == *row)
    }

    /// SQLite ends a transaction by itself when it runs out of disk; what follows would be committed one by one.
    fn check_open(&self) -> Result<()> {
        if self.db.is_autocommit() {
            return Err(Error::unavailable("transaction_lost", "an earlier error ended the transaction"));
        }
        Ok(())
    }
}

impl Drop for View<'_> {
    fn drop(&mut self) {
        if let Some(rows) = self.rows {
            if self.is_snapshot {
                rows.borrow_mut().commit(self.head.take());
            } else {
                rows.borrow_mut().end();
            }
        }
        if !self.db.is_autocommit()
            && let Err(error) = run(self.db, "ROLLBACK")
        {
            // The connection tries again before its next transaction, and says so then.
            tracing::warn!(code = error.code(), "a transaction could not be ended: {}", error.chain());
        }
    }
}

/// A number as SQLite holds it; more than it can hold is as good as all.
pub(super) fn sqlite_int(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

impl Reader for View<'_> {
    fn get(&self, key: &Key) -> Result<Option<Row>> {
        Ok(self.get_shared(key)?.map(Arc::unwrap_or_clone))
    }

    fn get_shared(&self, key: &Key) -> Result<Option<Arc<Row>>> {
        if let Some(rows) = self.rows {
            match rows.borrow_mut().known(key) {
                Known::There(row) => return Ok(Some(Arc::clone(row))),
                Known::Absent => return Ok(None),
                Known::Not => {}
            }
        }
        if self.is_empty(key.kind)? {
            return Ok(None);
        }
        let row = self.read(key)?.transpose().map_err(|row| self.unreadable.wanted(row))?.map(Arc::new);
        if let Some(rows) = self.rows {
            match &row {
                Some(row) => rows.borrow_mut().keep(key, row),
                // That no deleted bead had an id is asked once.
                None if key.kind == RowKind::Tombstone => {}
                None => rows.borrow_mut().keep_absent(key),
            }
        }
        Ok(row)
    }

    fn scan(&self, scan: &Scan) -> Result<Vec<Row>> {
        scan.check()?;
        if let Some(list) = self.rows.and_then(|rows| rows.borrow_mut().list(scan)) {
            return Ok(list);
        }
        if self.is_empty(scan.index.kind)? {
            return Ok(Vec::new());
        }
        let (found, is_whole) = self.rows_of(scan, Way::Forth)?;
        if is_whole && let Some(rows) = self.rows {
            rows.borrow_mut().keep_list(scan, &found);
        }
        Ok(found)
    }

    fn scan_back(&self, scan: &Scan, before: Option<&Position>) -> Result<Vec<Row>> {
        scan.check_place(before)?;
        self.rows_of(scan, Way::Back(before)).map(|(found, _)| found)
    }

    fn unreadable(&self) -> Vec<Unreadable> {
        self.unreadable.take()
    }

    fn head(&self) -> Result<Head> {
        if let Some(head) = &*self.head.borrow() {
            return Ok(head.clone());
        }
        let mut statement = self.bound(Which::Head, || sql::HEAD, &[])?;
        let mut rows = statement.raw_query();
        let head = match rows.next().map_err(|source| self.refused(source))? {
            Some(row) => Head { seq: seq(row)?, hash: row.get(1).map_err(of_event)? },
            None => Head::default(),
        };
        *self.head.borrow_mut() = Some(head.clone());
        Ok(head)
    }

    fn events(&self, after: u64, limit: usize) -> Result<Vec<Event>> {
        let (after, limit) = (Cell::Int(sqlite_int(after)), Cell::Int(sqlite_int(limit as u64)));
        let cells = [after, limit];
        let mut statement = self.bound(Which::Events, || sql::EVENTS, &cells)?;
        let mut rows = statement.raw_query();
        let mut found = Vec::new();
        while let Some(row) = rows.next().map_err(|source| self.refused(source))? {
            found.push(event(row)?);
        }
        Ok(found)
    }

    fn events_of(&self, subject: &str, after: u64, limit: usize) -> Result<Vec<Event>> {
        let cells = [Cell::text(subject), Cell::Int(sqlite_int(after)), Cell::Int(sqlite_int(limit as u64))];
        let mut statement = self.bound(Which::EventsOf, || sql::EVENTS_OF, &cells)?;
        let mut rows = statement.raw_query();
        let mut found = Vec::new();
        while let Some(row) = rows.next().map_err(|source| self.refused(source))? {
            found.push(event(row)?);
        }
        Ok(found)
    }

    fn search(&self, search: &Search) -> Result<Vec<Row>> {
        search.check()?;
        match sql::words(search) {
            Some(words) => self.with_words(search, &words),
            None => search::by_scan(self, search),
        }
    }

    fn count(&self, scan: &Scan) -> Result<u64> {
        scan.check()?;
        let shape = Shape::of(scan, Select::Count);
        let text = || sql::scan(scan.index, shape);
        let mut statement =
            self.bound_to(Which::Scan(scan.index, shape), text, sql::scan_parameters(scan, Way::Forth))?;
        let mut rows = statement.raw_query();
        let row = rows
            .next()
            .map_err(|source| self.refused(source))?
            .ok_or_else(|| Error::internal("store_sqlite", "a count has no row"))?;
        let count: i64 = row.get(0).map_err(|source| self.refused(source))?;
        Ok(count.unsigned_abs())
    }

    /// Counted here and not by SQLite, which would sort all rows to group them.
    fn tally(&self, scan: &Scan, columns: &[&'static str]) -> Result<Tally> {
        scan.check()?;
        let text = sql::tally(scan, columns);
        let mut statement = self.db.prepare_cached(&text).map_err(|source| at(of_statement(source), self.path))?;
        bind_values(&mut statement, self.town.as_str(), sql::scan_parameters(scan, Way::Forth))
            .map_err(|source| self.refused(source))?;
        let mut rows = statement.raw_query();
        let (mut found, mut combination) = (Tally::new(), Vec::with_capacity(columns.len()));
        while let Some(row) = rows.next().map_err(|source| self.refused(source))? {
            combination.clear();
            for place in 0..columns.len() {
                combination.push(plain(row, place).map_err(|source| self.refused(source))?);
            }
            if let Some(count) = found.get_mut(&combination) {
                *count += 1;
            } else if found.len() < scan.limit {
                found.insert(combination.clone(), 1);
            }
        }
        Ok(found)
    }
}

/// The write transaction.
struct SqliteTxn<'c> {
    view: View<'c>,
    path: Arc<Path>,
    has_savepoint: bool,
    /// Also where that was undone.
    has_appended: bool,
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
    fn scan_back(&self, scan: &Scan, before: Option<&Position>) -> Result<Vec<Row>> {
        self.view.scan_back(scan, before)
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
        let (kind, cells) = (row.kind(), row.to_cells());
        let put = || self.view.execute(Which::Put(kind), || &sql::statements(kind).put, &cells);
        let done = match before {
            None => put(),
            Some(before) => {
                let (old, key_len) = (before.to_cells(), kind.key_len());
                if before.kind() != kind || old[..key_len] != cells[..key_len] {
                    return Err(Error::internal("replace_key", "a row is replaced by one of its key")
                        .with("table", kind.table()));
                }
                debug_assert!(cells.len() <= 64, "a bit for each column");
                let differs = |place: &usize| old[*place] != cells[*place];
                let changed = (key_len..cells.len()).filter(differs).fold(0, |set, place| set | 1_u64 << place);
                if changed == 0 && self.view.holds(row) {
                    return Ok(());
                }
                // An index of which no column is named is left alone.
                let named = (0..key_len).chain(sql::bits(changed)).map(|place| &cells[place]);
                match changed {
                    0 => put(),
                    _ => match self.view.execute(Which::Update(kind, changed), || sql::update(kind, changed), named) {
                        Ok(0) => put(),
                        done => done,
                    },
                }
            }
        };
        self.view.note(row.key(), done.is_ok().then_some((row, &*cells)));
        done.map(drop)
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
