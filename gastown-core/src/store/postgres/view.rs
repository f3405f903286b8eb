//! One town in a connection's transaction, and what is still to be sent in it.

use std::cell::{self, RefCell};

use tokio_postgres::Row as Columns;

use super::line::{Line, Step};
use super::sql::{self, Select};
use super::text::{Cell, Parameter};
use crate::model::value::Value;
use crate::model::{Error, Event, Head, Key, Result, Row, RowKind, SessionId, Timestamp, TownId};
use crate::store::{Reader, Scan, Search, Unreadable, UnreadableRows, search};

/// Changes that wait are sent when they are so many, or so many bytes, at the latest.
const QUEUE_STEPS: usize = 256;
const QUEUE_BYTES: usize = 1 << 20;

/// One town in the connection's transaction, which ends with it.
pub(super) struct View<'c> {
    pub(super) line: &'c Line,
    pub(super) town: TownId,
    head: RefCell<Head>,
    queue: RefCell<Queue>,
    /// What ended the transaction before its time.
    failed: RefCell<Option<Error>>,
    unreadable: UnreadableRows,
    has_changed: cell::Cell<bool>,
    pub(super) is_over: bool,
}

#[derive(Default)]
struct Queue {
    steps: Vec<Step>,
    bytes: usize,
    /// How often it was sent or forgotten.
    round: u64,
}

/// A place in what is put off.
#[derive(Clone, Copy)]
pub(super) struct Place {
    round: u64,
    steps: usize,
}

impl Queue {
    fn take(&mut self) -> Vec<Step> {
        self.round += 1;
        self.bytes = 0;
        std::mem::take(&mut self.steps)
    }
}

impl<'c> View<'c> {
    pub(super) fn new(line: &'c Line, town: &TownId, head: Head) -> Self {
        Self {
            line,
            town: town.clone(),
            head: RefCell::new(head),
            queue: RefCell::default(),
            failed: RefCell::default(),
            unreadable: UnreadableRows::default(),
            has_changed: cell::Cell::new(false),
            is_over: false,
        }
    }

    /// Puts a change off until something is asked.
    pub(super) fn put_off(&self, step: Step) -> Result<()> {
        self.check()?;
        self.has_changed.set(true);
        let mut queue = self.queue.borrow_mut();
        queue.bytes += step.weight();
        queue.steps.push(step);
        let is_full = queue.steps.len() >= QUEUE_STEPS || queue.bytes >= QUEUE_BYTES;
        drop(queue);
        if is_full { self.flush() } else { Ok(()) }
    }

    /// Sends what was put off.
    pub(super) fn flush(&self) -> Result<()> {
        self.send(Vec::new()).map(drop)
    }

    /// Sends what was put off and these steps behind it; gives the answers to these.
    pub(super) fn send(&self, steps: Vec<Step>) -> Result<Vec<Vec<Columns>>> {
        self.check()?;
        let mut all = self.queue.borrow_mut().take();
        let put_off = all.len();
        all.extend(steps);
        if all.is_empty() {
            return Ok(Vec::new());
        }
        match self.line.exchange(&all) {
            Ok(mut answers) => Ok(answers.split_off(put_off)),
            Err(broken) => {
                let error = if broken.step < put_off { broken.error.with("put_off", "true") } else { broken.error };
                *self.failed.borrow_mut() = Some(error.clone());
                Err(error)
            }
        }
    }

    fn ask(&self, step: Step) -> Result<Vec<Columns>> {
        Ok(self.send(vec![step])?.pop().unwrap_or_default())
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
        let queue = self.queue.borrow();
        Place { round: queue.round, steps: queue.steps.len() }
    }

    /// Forgets what was put off behind a place; false where something of that was sent already.
    pub(super) fn cut(&self, place: Place) -> bool {
        let mut queue = self.queue.borrow_mut();
        if queue.round != place.round {
            return false;
        }
        queue.steps.truncate(place.steps);
        queue.bytes = queue.steps.iter().map(Step::weight).sum();
        true
    }

    pub(super) fn set_head(&self, head: Head) {
        *self.head.borrow_mut() = head;
    }

    fn parameters(&self, values: impl IntoIterator<Item = Parameter>) -> Vec<Parameter> {
        std::iter::once(Parameter::text(self.town.as_str())).chain(values).collect()
    }
}

impl Drop for View<'_> {
    fn drop(&mut self) {
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
        let step = Step::new(&*sql::statements(key.kind).get, sql::key(self.town.as_str(), key));
        match self.ask(step)?.first() {
            Some(row) => decode(key.kind, row).map(Some).map_err(Unreadable::into_error),
            None => Ok(None),
        }
    }

    fn scan(&self, scan: &Scan) -> Result<Vec<Row>> {
        scan.check()?;
        let mut asked = Scan { limit: scan.limit, ..scan.clone() };
        loop {
            let (sql, parameters) = sql::scan(self.town.as_str(), &asked, Select::Rows);
            let rows = self.ask(Step::new(sql, parameters))?;
            let (mut found, mut left_out) = (Vec::with_capacity(rows.len().min(scan.limit)), 0);
            for row in &rows {
                if found.len() == scan.limit {
                    break;
                }
                match decode(scan.index.kind, row) {
                    Ok(row) => found.push(row),
                    Err(row) => {
                        left_out += 1;
                        self.unreadable.note(row);
                    }
                }
            }
            if found.len() == scan.limit || rows.len() < asked.limit {
                return Ok(found);
            }
            // They take nothing of the limit.
            asked.limit = scan.limit.saturating_add(left_out);
        }
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
        self.ask(Step::new(sql::EVENTS, parameters))?.iter().map(event).collect()
    }

    fn events_of(&self, subject: &str, after: u64, limit: usize) -> Result<Vec<Event>> {
        let parameters =
            self.parameters([Parameter::text(subject), Parameter::count(after), Parameter::count(limit as u64)]);
        self.ask(Step::new(sql::EVENTS_OF, parameters))?.iter().map(event).collect()
    }

    fn search(&self, search: &Search) -> Result<Vec<Row>> {
        search.check()?;
        let mut asked = search.clone();
        loop {
            let Some((sql, parameters)) = sql::search(self.town.as_str(), &asked) else {
                return search::by_scan(self, search);
            };
            let rows = self.ask(Step::new(sql, parameters))?;
            let (mut found, mut left_out) = (Vec::with_capacity(rows.len().min(search.limit)), 0);
            for row in &rows {
                if found.len() == search.limit {
                    break;
                }
                match decode(RowKind::Bead, row) {
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
        let (sql, parameters) = sql::scan(self.town.as_str(), scan, Select::Count);
        let rows = self.ask(Step::new(sql, parameters))?;
        let count: i64 = rows
            .first()
            .ok_or_else(|| Error::internal("store_postgres", "a count has no row"))?
            .try_get(0)
            .map_err(|source| Error::internal("store_postgres", "a count is no number").because(source))?;
        Ok(count.unsigned_abs())
    }
}

/// The values of a row, as the columns of its kind; or what is wrong with it.
fn decode(kind: RowKind, row: &Columns) -> Result<Row, Unreadable> {
    let cell = |place| row.try_get::<_, Cell>(place).map(|cell| cell.0);
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

fn of_event(source: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::corrupt("event_unreadable", "an entry of the journal cannot be read").because(source)
}

fn unfit() -> Error {
    Error::corrupt("event_unreadable", "an entry of the journal cannot be read")
}

fn cell(row: &Columns, place: usize) -> Result<Value> {
    row.try_get::<_, Cell>(place).map(|cell| cell.0).map_err(of_event)
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
