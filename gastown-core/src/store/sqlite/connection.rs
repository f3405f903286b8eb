//! Connections and snapshots.

use std::cell::{RefCell, RefMut};
use std::path::Path;
use std::sync::Arc;

use rusqlite::CachedStatement;

use super::error::{at, of_sqlite, of_statement};
use super::place::Opened;
use super::read::{decode, event, of_event, plain, raw, seq};
use super::sql::{self, Select, Shape, Way};
use super::statements::{Statements, Which, bind, bind_values};
use super::txn::SqliteTxn;
use super::upkeep;
use crate::model::value::{Cell, Raw, Value};
use crate::model::{Error, Event, Head, Key, Result, Row, RowKind, TownId};
use crate::store::rows::{Known, Rows};
use crate::store::{
    Access, Connection, Description, Packed, Position, Reader, Scan, Search, Tally, Txn, Unreadable, UnreadableRows,
    search,
};

/// One connection to the file.
pub(super) struct SqliteConnection {
    db: rusqlite::Connection,
    access: Access,
    path: Arc<Path>,
    opened: Arc<Opened>,
    /// What is known of the database as the last transaction left or saw it.
    rows: RefCell<Rows>,
}

impl SqliteConnection {
    /// It keeps about so many bytes of rows.
    pub(super) fn new(
        db: rusqlite::Connection,
        access: Access,
        path: Arc<Path>,
        opened: Arc<Opened>,
        rows_bytes: usize,
    ) -> Self {
        Self { db, access, path, opened, rows: RefCell::new(Rows::new(rows_bytes)) }
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
        let (path, opened) = (Arc::clone(&self.path), Arc::clone(&self.opened));
        let mut view = self.begin(town, "BEGIN IMMEDIATE")?;
        // Under the lock nobody can commit any more.
        self.recall(&mut view)?;
        Ok(Box::new(SqliteTxn::new(view, path, opened)))
    }

    fn towns(&mut self, limit: usize) -> Result<Option<Vec<TownId>>> {
        upkeep::towns(&self.db, limit).map(Some)
    }

    fn describe(&mut self) -> Result<Description> {
        let mut description = upkeep::describe(&self.db)?;
        description.problem = self.opened.check().err().map(|error| error.chain());
        Ok(description)
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
pub(super) fn run(db: &rusqlite::Connection, sql: &str) -> Result<()> {
    db.prepare_cached(sql).and_then(|mut statement| statement.raw_execute()).map(drop).map_err(of_sqlite)
}

/// One town in the connection's transaction, which ends with it.
pub(super) struct View<'c> {
    pub(super) db: &'c rusqlite::Connection,
    path: &'c Path,
    statements: Statements<'c>,
    town: TownId,
    /// The journal's end, once it was looked up.
    pub(super) head: RefCell<Option<Head>>,
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
    pub(super) fn execute<'v, T: AsRef<str>>(
        &self,
        which: Which,
        text: impl FnOnce() -> T,
        cells: impl IntoIterator<Item = &'v Cell<'v>>,
    ) -> Result<usize> {
        self.bound(which, text, cells)?.raw_execute().map_err(|source| self.refused(source))
    }

    /// Writes one more entry of the journal.
    pub(super) fn insert(&self, event: &Event, data: &str, changes: &str) -> Result<()> {
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
    pub(super) fn note(&self, key: Key, row: Option<(&Arc<Row>, &[Cell<'_>])>) {
        if let Some(rows) = self.rows {
            rows.borrow_mut().write(key, row);
        }
    }

    /// Whether this very row is there already.
    pub(super) fn holds(&self, row: &Row) -> bool {
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
    pub(super) fn check_open(&self) -> Result<()> {
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

    fn scan_packed(&self, scan: &Scan) -> Result<Packed> {
        scan.check()?;
        self.packed(scan)
    }

    fn values(&self, key: &Key) -> Result<Option<Vec<Raw>>> {
        let text = || &sql::statements(key.kind).get;
        let mut statement = self.bound_to(Which::Get(key.kind), text, sql::key_values(key))?;
        let mut rows = statement.raw_query();
        let Some(row) = rows.next().map_err(|source| self.refused(source))? else { return Ok(None) };
        (0..key.kind.columns().len())
            .map(|place| row.get_ref(place).map(raw).map_err(of_sqlite))
            .collect::<Result<_>>()
            .map(Some)
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
            Some(row) => {
                let hash = row.get(1).map_err(of_event);
                let (seq, hash) = seq(row).and_then(|seq| Ok((seq, hash?))).map_err(|error| at(error, self.path))?;
                Head { seq, hash }
            }
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
            found.push(event(row).map_err(|error| at(error, self.path))?);
        }
        Ok(found)
    }

    fn events_of(&self, subject: &str, after: u64, limit: usize) -> Result<Vec<Event>> {
        let cells = [Cell::text(subject), Cell::Int(sqlite_int(after)), Cell::Int(sqlite_int(limit as u64))];
        let mut statement = self.bound(Which::EventsOf, || sql::EVENTS_OF, &cells)?;
        let mut rows = statement.raw_query();
        let mut found = Vec::new();
        while let Some(row) = rows.next().map_err(|source| self.refused(source))? {
            found.push(event(row).map_err(|error| at(error, self.path))?);
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
