//! One town in a connection's transaction, and what is still to be sent in it.

use std::cell::{self, RefCell};
use std::ops::Range;
use std::sync::Arc;

use tokio_postgres::Row as Columns;

use super::guess::Guesses;
use super::line::{Line, Step};
use super::queue::{self, About, Change, Place, Queue};
use super::sql::{self, Select, Way};
use super::text::{Cell, Parameter};
use crate::model::value::{Raw, Value};
use crate::model::{Error, Event, Head, Key, Result, Row, RowKind, SessionId, Timestamp, TownId};
use crate::store::rows::{Known, Rows};
use crate::store::{Position, Reader, Scan, Search, Unreadable, UnreadableRows, search};

/// One town in the connection's transaction, which ends with it.
pub(super) struct View<'c> {
    pub(super) line: &'c Line,
    pub(super) town: TownId,
    head: RefCell<Head>,
    queue: RefCell<Queue>,
    /// What the writer knows; none in a snapshot.
    rows: Option<&'c RefCell<Rows>>,
    guesses: RefCell<Guesses>,
    /// What ended the transaction before its time.
    failed: RefCell<Option<Error>>,
    unreadable: UnreadableRows,
    has_changed: cell::Cell<bool>,
    pub(super) is_over: bool,
}

impl<'c> View<'c> {
    pub(super) fn new(line: &'c Line, town: &TownId, head: Head, rows: Option<&'c RefCell<Rows>>) -> Self {
        Self {
            line,
            town: town.clone(),
            head: RefCell::new(head),
            queue: RefCell::default(),
            rows,
            guesses: RefCell::default(),
            failed: RefCell::default(),
            unreadable: UnreadableRows::default(),
            has_changed: cell::Cell::new(false),
            is_over: false,
        }
    }

    /// Puts a change off until something is asked.
    pub(super) fn put_off(&self, change: Change) -> Result<()> {
        self.check()?;
        self.has_changed.set(true);
        let is_full = self.queue.borrow_mut().push(change);
        if is_full { self.flush() } else { Ok(()) }
    }

    /// Puts off that a row is written, or removed where there is none; `values` are its columns.
    pub(super) fn write(&self, key: Key, row: Option<&Arc<Row>>, values: Option<Vec<Value>>) -> Result<()> {
        let change = values.map_or_else(|| Change::Delete(key.clone()), |values| Change::Put(key.kind, values));
        let done = self.put_off(change);
        if let Some(rows) = self.rows {
            self.guesses.borrow_mut().write(&key);
            match row.filter(|_| done.is_ok()) {
                Some(row) => row.with_cells(|cells| rows.borrow_mut().write(key, Some((row, cells)))),
                None => rows.borrow_mut().write(key, None),
            }
        }
        done
    }

    /// Sends what was put off.
    pub(super) fn flush(&self) -> Result<()> {
        self.send(Vec::new()).map(drop)
    }

    /// Sends what was put off and these steps behind it; gives the answers to these.
    pub(super) fn send(&self, steps: Vec<Step>) -> Result<Vec<Vec<Columns>>> {
        self.check()?;
        let changes = self.queue.borrow_mut().take();
        let (mut asked, mut all) = (None, Vec::new());
        if !changes.is_empty() && self.guesses.borrow().is_on() {
            // Of what was before them.
            let mut guesses = self.guesses.borrow_mut();
            let (about, questions) = guesses.questions(self.town.as_str());
            (asked, all) = (Some(about), questions);
            if guesses.begins_to_send() {
                all.push(Step::plain("SAVEPOINT batch"));
            }
        }
        let before = all.len();
        all.extend(queue::steps(self.town.as_str(), changes));
        let put_off = all.len();
        all.extend(steps);
        let mut answers = self.exchange(&all, before..put_off)?;
        let answered = answers.split_off(put_off);
        if let Some(asked) = asked {
            self.guesses.borrow_mut().learn(asked, &answers)?;
        }
        Ok(answered)
    }

    /// Sends these; an error of one that was put off says so.
    fn exchange(&self, steps: &[Step], put_off: Range<usize>) -> Result<Vec<Vec<Columns>>> {
        if steps.is_empty() {
            return Ok(Vec::new());
        }
        self.line.exchange(steps).map_err(|broken| {
            let of_change = put_off.contains(&broken.step);
            let error = if of_change { broken.error.with("put_off", "true") } else { broken.error };
            *self.failed.borrow_mut() = Some(error.clone());
            error
        })
    }

    /// Asks, behind those changes that the answer depends on.
    fn ask(&self, about: About<'_>, step: Step) -> Result<Vec<Columns>> {
        self.check()?;
        let touches = self.queue.borrow().touches(about);
        let mut answers = if touches { self.send(vec![step])? } else { self.exchange(&[step], 0..0)? };
        Ok(answers.pop().unwrap_or_default())
    }

    /// From now on reads are answered by guesses where nothing is known.
    pub(super) fn guess(&self) -> Result<()> {
        let head = self.head()?;
        // What is there already is not undone with what rests on guesses.
        self.flush()?;
        if self.rows.is_some() {
            self.guesses.borrow_mut().begin(head);
        }
        Ok(())
    }

    /// Ends the guessing; false where a guess was wrong, and then everything since it began is undone.
    pub(super) fn confirm(&self) -> Result<bool> {
        let Some(rows) = self.rows.filter(|_| self.guesses.borrow().is_on()) else { return Ok(true) };
        if self.failed().is_some() {
            // It can only be rolled back, whatever was guessed.
            self.guesses.borrow_mut().end(&mut rows.borrow_mut());
            return Ok(true);
        }
        let (asked, steps) = self.guesses.borrow_mut().questions(self.town.as_str());
        let answers = self.exchange(&steps, 0..0)?;
        self.guesses.borrow_mut().learn(asked, &answers)?;
        let Some(undo) = self.guesses.borrow_mut().end(&mut rows.borrow_mut()) else { return Ok(true) };
        self.forget()?;
        if undo.has_sent {
            self.put_off(Change::Step(Step::plain("ROLLBACK TO SAVEPOINT batch")))?;
        }
        self.set_head(undo.head);
        Ok(false)
    }

    /// Forgets what the writer knows of rows that were written since the transaction began.
    pub(super) fn undo_rows(&self) {
        if let Some(rows) = self.rows {
            rows.borrow_mut().undo();
        }
    }

    /// What was written is there to stay: the town has had so many commits now.
    ///
    /// Where that is not known, everything is forgotten.
    pub(super) fn committed(&self, number: Option<i64>) {
        let Some(rows) = self.rows else { return };
        match number {
            Some(number) => rows.borrow_mut().commit_as(number),
            None => rows.borrow_mut().clear(),
        }
    }

    /// Whether anything was put off, also where that was undone.
    pub(super) fn has_changed(&self) -> bool {
        self.has_changed.get()
    }

    /// The error that ended the transaction, where one did.
    pub(super) fn failed(&self) -> Option<Error> {
        self.failed.borrow().clone()
    }

    fn check(&self) -> Result<()> {
        self.failed().map_or(Ok(()), Err)
    }

    /// Forgets what was put off and, while the connection lives, what failed: the next step returns to a savepoint.
    pub(super) fn forget(&self) -> Result<()> {
        if self.line.is_lost() {
            self.check()?;
        }
        self.queue.borrow_mut().take();
        *self.failed.borrow_mut() = None;
        Ok(())
    }

    /// Behind everything that is put off now.
    pub(super) fn place(&self) -> Place {
        self.queue.borrow().place()
    }

    /// Forgets what was put off behind a place; false where something of that was sent already.
    pub(super) fn cut(&self, place: Place) -> bool {
        self.queue.borrow_mut().cut(place)
    }

    pub(super) fn set_head(&self, head: Head) {
        *self.head.borrow_mut() = head;
    }

    /// The rows of a scan, and whether all of them could be read.
    fn rows_of(&self, scan: &Scan, way: Way<'_>) -> Result<(Vec<Row>, bool)> {
        let mut asked = scan.clone();
        loop {
            let (sql, parameters) = sql::scan(self.town.as_str(), &asked, way, Select::Rows);
            let rows = self.ask(About::Rows(scan.index.kind), Step::new(sql, parameters))?;
            let (mut found, mut left_out) = (Vec::with_capacity(rows.len().min(scan.limit)), 0);
            for row in &rows {
                if found.len() == scan.limit {
                    break;
                }
                match decode(scan.index.kind, row, 0) {
                    Ok(row) => found.push(row),
                    Err(row) => {
                        left_out += 1;
                        self.unreadable.note(row);
                    }
                }
            }
            if found.len() == scan.limit || rows.len() < asked.limit {
                return Ok((found, left_out == 0));
            }
            // They take nothing of the limit.
            asked.limit = scan.limit.saturating_add(left_out);
        }
    }

    fn parameters(&self, values: impl IntoIterator<Item = Parameter>) -> Vec<Parameter> {
        std::iter::once(Parameter::text(self.town.as_str())).chain(values).collect()
    }
}

impl Drop for View<'_> {
    fn drop(&mut self) {
        if let Some(rows) = self.rows {
            rows.borrow_mut().end();
        }
        if self.is_over || self.line.is_lost() {
            return;
        }
        if let Err(broken) = self.line.exchange(&[Step::plain("ROLLBACK")]) {
            // Whatever state the connection is in, a new one is in none.
            self.line.give_up();
            tracing::warn!(code = broken.error.code(), "a transaction could not be ended: {}", broken.error.chain());
        }
    }
}

impl Reader for View<'_> {
    fn get(&self, key: &Key) -> Result<Option<Row>> {
        Ok(self.get_shared(key)?.map(Arc::unwrap_or_clone))
    }

    fn get_shared(&self, key: &Key) -> Result<Option<Arc<Row>>> {
        self.check()?;
        if let Some(rows) = self.rows {
            match rows.borrow_mut().known(key) {
                Known::There(row) => return Ok(Some(Arc::clone(row))),
                Known::Absent => return Ok(None),
                Known::Not => {}
            }
        }
        if self.guesses.borrow_mut().row(key) {
            return Ok(None);
        }
        let step = Step::new(&*sql::statements(key.kind).get, sql::key(self.town.as_str(), key));
        let row = match self.ask(About::Row(key), step)?.first() {
            Some(row) => Some(Arc::new(decode(key.kind, row, 0).map_err(|row| self.unreadable.wanted(row))?)),
            None => None,
        };
        if let Some(rows) = self.rows {
            match &row {
                Some(row) => rows.borrow_mut().keep(key, row),
                None => rows.borrow_mut().keep_absent(key),
            }
        }
        Ok(row)
    }

    fn scan(&self, scan: &Scan) -> Result<Vec<Row>> {
        scan.check()?;
        self.check()?;
        if let Some(list) = self.rows.and_then(|rows| rows.borrow_mut().list(scan)) {
            return Ok(list);
        }
        if self.guesses.borrow_mut().list(scan) {
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
        self.check()?;
        self.rows_of(scan, Way::Back(before)).map(|(found, _)| found)
    }

    fn values(&self, key: &Key) -> Result<Option<Vec<Raw>>> {
        self.check()?;
        let step = Step::new(&*sql::statements(key.kind).get, sql::key(self.town.as_str(), key));
        let rows = self.ask(About::Row(key), step)?;
        let Some(row) = rows.first() else { return Ok(None) };
        (0..key.kind.columns().len()).map(|place| raw(row, place)).collect::<Result<_>>().map(Some)
    }

    fn unreadable(&self) -> Vec<Unreadable> {
        self.unreadable.take()
    }

    fn head(&self) -> Result<Head> {
        self.check()?;
        Ok(self.head.borrow().clone())
    }

    fn events(&self, after: u64, limit: usize) -> Result<Vec<Event>> {
        let parameters = self.parameters([Parameter::count(after), Parameter::count(limit as u64)]);
        self.ask(About::Journal, Step::new(sql::EVENTS, parameters))?.iter().map(event).collect()
    }

    fn events_of(&self, subject: &str, after: u64, limit: usize) -> Result<Vec<Event>> {
        let parameters =
            self.parameters([Parameter::text(subject), Parameter::count(after), Parameter::count(limit as u64)]);
        self.ask(About::Journal, Step::new(sql::EVENTS_OF, parameters))?.iter().map(event).collect()
    }

    fn search(&self, search: &Search) -> Result<Vec<Row>> {
        search.check()?;
        let mut asked = search.clone();
        loop {
            let Some((sql, parameters)) = sql::search(self.town.as_str(), &asked) else {
                return search::by_scan(self, search);
            };
            // It looks at the texts as well as at the beads.
            self.flush()?;
            let rows = self.ask(About::Rows(RowKind::Bead), Step::new(sql, parameters))?;
            let (mut found, mut left_out) = (Vec::with_capacity(rows.len().min(search.limit)), 0);
            for row in &rows {
                if found.len() == search.limit {
                    break;
                }
                match decode(RowKind::Bead, row, 0) {
                    Ok(row) => found.push(row),
                    Err(row) => {
                        left_out += 1;
                        self.unreadable.note(row);
                    }
                }
            }
            if found.len() == search.limit || rows.len() < asked.limit {
                return Ok(found);
            }
            // They take nothing of the limit.
            asked.limit = search.limit.saturating_add(left_out);
        }
    }

    fn count(&self, scan: &Scan) -> Result<u64> {
        scan.check()?;
        let (sql, parameters) = sql::scan(self.town.as_str(), scan, Way::Forth, Select::Count);
        let rows = self.ask(About::Rows(scan.index.kind), Step::new(sql, parameters))?;
        let count: i64 = rows
            .first()
            .ok_or_else(|| Error::internal("store_postgres", "a count has no row"))?
            .try_get(0)
            .map_err(|source| Error::internal("store_postgres", "a count is no number").because(source))?;
        Ok(count.unsigned_abs())
    }
}

/// The values of a row, as the columns of its kind from this one on; or what is wrong with it.
pub(super) fn decode(kind: RowKind, row: &Columns, first: usize) -> Result<Row, Unreadable> {
    let cell = |place| row.try_get::<_, Cell>(first + place).map(|cell| cell.0);
    let key = || Key { kind, values: (0..kind.key_len()).map(|place| cell(place).unwrap_or(Value::Null)).collect() };
    let mut values = Vec::with_capacity(kind.columns().len());
    for (place, column) in kind.columns().iter().enumerate() {
        values.push(cell(place).map_err(|source| {
            let words = format!("column {} of a row of {} cannot be read", column.name, kind.table());
            let error = Error::corrupt("column_unreadable", words)
                .with("table", kind.table())
                .with("column", column.name)
                .because(source);
            Unreadable::new(key(), error)
        })?);
    }
    kind.decode(&values).map_err(|error| Unreadable::new(key(), error))
}

/// The journal's end, from the answer to [`sql::HEAD`].
pub(super) fn head(rows: &[Columns]) -> Result<Head> {
    let Some(row) = rows.first() else { return Ok(Head::default()) };
    Ok(Head { seq: number(row, 0)?.try_into().map_err(of_event)?, hash: words(row, 1)? })
}

/// How many commits the town has had with this one, from the answer to [`sql::MARK`].
pub(super) fn commits(rows: &[Columns]) -> Option<i64> {
    let of_town = |row: &&Columns| row.try_get::<_, &str>(0).is_ok_and(str::is_empty);
    rows.iter().find(of_town).and_then(|row| row.try_get(1).ok())
}

/// How many commits the town has had, where that is known, and the journal's end, from the answer to [`sql::STATE`].
pub(super) fn state(rows: &[Columns]) -> Result<(Option<i64>, Head)> {
    let row = rows.first().ok_or_else(|| Error::internal("store_postgres", "a town's state has no row"))?;
    let number = match cell(row, 2)? {
        Value::Int(number) => Some(number),
        Value::Null | Value::Text(_) => None,
    };
    let end = if cell(row, 0)? == Value::Null { Head::default() } else { head(rows)? };
    Ok((number, end))
}

fn of_event(source: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::corrupt("event_unreadable", "an entry of the journal cannot be read").because(source)
}

fn unfit() -> Error {
    Error::corrupt("event_unreadable", "an entry of the journal cannot be read")
}

fn cell(row: &Columns, place: usize) -> Result<Value> {
    row.try_get::<_, Cell>(place).map(|cell| cell.0).map_err(of_event)
}

/// What the server holds: numbers, and texts which may be escaped as nobody here escapes them.
fn raw(row: &Columns, place: usize) -> Result<Raw> {
    if let Ok(value) = row.try_get::<_, Cell>(place) {
        return Ok(Raw::Value(value.0));
    }
    let text: &str = row
        .try_get(place)
        .map_err(|source| Error::corrupt("column_type", "a column is neither a number nor a text").because(source))?;
    Ok(Raw::Bytes(text.as_bytes().to_vec()))
}

fn number(row: &Columns, place: usize) -> Result<i64> {
    if let Value::Int(n) = cell(row, place)? { Ok(n) } else { Err(unfit()) }
}

fn words(row: &Columns, place: usize) -> Result<String> {
    if let Value::Text(text) = cell(row, place)? { Ok(text) } else { Err(unfit()) }
}

fn event(row: &Columns) -> Result<Event> {
    let json = |place| words(row, place);
    Ok(Event {
        seq: number(row, 0)?.try_into().map_err(of_event)?,
        at: Timestamp::from_micros(number(row, 1)?),
        actor: words(row, 2)?,
        session: match cell(row, 3)? {
            Value::Null => None,
            Value::Text(id) => Some(SessionId::new(id).map_err(of_event)?),
            Value::Int(_) => return Err(unfit()),
        },
        epoch: match cell(row, 4)? {
            Value::Null => None,
            Value::Int(epoch) => Some(epoch),
            Value::Text(_) => return Err(unfit()),
        },
        kind: words(row, 5)?,
        subject: words(row, 6)?,
        data: serde_json::from_str(&json(7)?).map_err(of_event)?,
        changes: serde_json::from_str(&json(8)?).map_err(of_event)?,
        schema: number(row, 9)?.try_into().map_err(of_event)?,
        hash: words(row, 10)?,
    })
}
