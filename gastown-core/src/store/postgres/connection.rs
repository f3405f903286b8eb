//! Connections, and how transactions begin on them.

use std::cell::RefCell;

use super::PostgresBackend;
use super::error::LOST;
use super::line::{Line, Session, Step};
use super::sql;
use super::text::Parameter;
use super::txn::PostgresTxn;
use super::upkeep;
use super::view::{View, head, state};
use crate::model::{Error, Head, Result, TownId};
use crate::store::rows::Rows;
use crate::store::{Access, Connection, Description, Reader, Txn};

/// A connection that is opened again where it was lost between two transactions.
pub(super) struct PostgresConnection {
    backend: PostgresBackend,
    access: Access,
    line: Option<Line>,
    /// What the writer knows; nothing where this is a reader's.
    rows: RefCell<Rows>,
}

impl PostgresConnection {
    pub(super) fn open(backend: &PostgresBackend, access: Access) -> Result<Self> {
        let line = backend.open(access)?;
        let rows = RefCell::new(Rows::new(backend.place.rows_bytes));
        Ok(Self { backend: backend.clone(), access, line: Some(line), rows })
    }

    /// Begins a transaction; on a new connection where the old one turns out to be lost.
    fn begin<T>(&mut self, start: impl Fn(&Line) -> Result<T>) -> Result<T> {
        if let Some(line) = self.line.as_ref().filter(|line| !line.is_lost()) {
            match attempt(line, &start) {
                Err(error) if error.code() == LOST => {}
                other => return other,
            }
        }
        self.line = None;
        attempt(self.line.insert(self.backend.open(self.access)?), &start)
    }

    fn line(&self) -> &Line {
        self.line.as_ref().expect("a transaction was begun on it")
    }
}

/// What fails while it begins leaves no transaction.
fn attempt<T>(line: &Line, start: &impl Fn(&Line) -> Result<T>) -> Result<T> {
    let begun = start(line);
    if begun.is_err() && !line.is_lost() && line.batch("ROLLBACK").is_err() {
        line.give_up();
    }
    begun
}

fn head_step(town: &TownId) -> Step {
    Step::new(sql::HEAD, vec![Parameter::text(town.as_str())])
}

/// What is known when a write transaction begins.
pub(super) struct Begun {
    /// Who has the town's lock.
    pub(super) session: Session,
    /// How many commits the town has had, where that is known.
    pub(super) commits: Option<i64>,
    /// The journal's end.
    pub(super) head: Head,
}

/// Begins under the town's lock.
///
/// Every statement of it sees what was committed before that statement, so what comes behind the lock sees everything.
pub(super) fn lock(line: &Line, town: &TownId, lock: i64) -> Result<Begun> {
    let session = line.session()?;
    let answers = line.exchange(&[
        Step::plain("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"),
        Step::new(sql::LOCK, vec![Parameter::int(lock)]),
        Step::new(sql::STATE, vec![Parameter::text(town.as_str())]),
    ])?;
    let (commits, head) = state(&answers[2])?;
    Ok(Begun { session, commits, head })
}

impl Connection for PostgresConnection {
    fn read(&mut self, town: &TownId) -> Result<Box<dyn Reader + '_>> {
        let end = self.begin(|line| {
            // The server takes the snapshot at the first question, so there is one here.
            let answers =
                line.exchange(&[Step::plain("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"), head_step(town)])?;
            head(&answers[1])
        })?;
        Ok(Box::new(View::new(self.line(), town, end, None)))
    }

    fn write(&mut self, town: &TownId) -> Result<Box<dyn Txn + '_>> {
        if self.access == Access::Read {
            return Err(Error::internal("store_access", "a reader's connection cannot write"));
        }
        let key = self.backend.lock_key(town);
        let Begun { session, commits, head } = self.begin(|line| lock(line, town, key))?;
        let mut rows = self.rows.borrow_mut();
        // Where nobody counts, anybody may have committed.
        if commits.is_none() {
            rows.clear();
        }
        rows.begin(town, commits.unwrap_or(-1));
        drop(rows);
        let view = View::new(self.line(), town, head, Some(&self.rows));
        Ok(Box::new(PostgresTxn::new(view, &self.backend, session)))
    }

    fn towns(&mut self, limit: usize) -> Result<Option<Vec<TownId>>> {
        self.begin(|line| upkeep::towns(line, limit)).map(Some)
    }

    fn describe(&mut self) -> Result<Description> {
        let place = self.backend.place.clone();
        self.begin(|line| upkeep::describe(line, &place))
    }

    fn check(&mut self) -> Result<Vec<String>> {
        self.begin(upkeep::check)
    }

    fn vacuum(&mut self) -> Result<()> {
        self.begin(upkeep::vacuum)
    }
}
