//! The write transaction.

use std::sync::Arc;

use super::PostgresBackend;
use super::changes::channel;
use super::error::LOST;
use super::line::{Session, Step};
use super::queue::{Change, Place};
use super::sql;
use super::text::Parameter;
use super::view::{self, View};
use crate::model::value::{ColumnType, Raw, Value};
use crate::model::{Error, Event, Head, Key, Result, Row, RowKind, TownId, WrittenEvent};
use crate::store::{Position, Reader, Scan, Search, Txn, Unreadable, check_order, check_truncation, check_values};

/// One write transaction, under the town's lock.
///
/// Changes answer nothing, so they are put off and sent together with what is asked next.
pub(super) struct PostgresTxn<'c> {
    view: View<'c>,
    backend: &'c PostgresBackend,
    /// Who has the town's lock.
    session: Session,
    savepoint: Option<Savepoint>,
    /// Also where that was undone.
    has_appended: bool,
}

/// By what a commit is known whose answer was lost.
#[derive(Debug)]
pub(super) struct CommitMark {
    pub(super) town: TownId,
    /// The session that had the town's lock.
    pub(super) session: Session,
    /// The connection, and which of its transactions; none where the transaction had nothing to change.
    pub(super) transaction: Option<(String, i64)>,
}

/// What to return to.
struct Savepoint {
    head: Head,
    /// Where the savepoint stands in what is put off, while it was not sent.
    place: Place,
}

impl<'c> PostgresTxn<'c> {
    pub(super) const fn new(view: View<'c>, backend: &'c PostgresBackend, session: Session) -> Self {
        Self { view, backend, session, savepoint: None, has_appended: false }
    }

    fn town(&self) -> &str {
        self.view.town.as_str()
    }

    fn insert(&self, event: &Event, data: &str, changes: &str) -> Result<()> {
        let text = |text: &str| Value::Text(text.to_owned());
        let int = |n: u64| Value::Int(i64::try_from(n).unwrap_or(i64::MAX));
        self.view.put_off(Change::Append(vec![
            int(event.seq),
            Value::Int(event.at.as_micros()),
            text(&event.actor),
            event.session.as_ref().map_or(Value::Null, |id| text(id.as_str())),
            event.epoch.map_or(Value::Null, Value::Int),
            text(&event.kind),
            text(&event.subject),
            text(data),
            text(changes),
            int(event.schema.into()),
            text(&event.hash),
        ]))?;
        self.view.set_head(event.head());
        Ok(())
    }
}

impl Reader for PostgresTxn<'_> {
    fn get(&self, key: &Key) -> Result<Option<Row>> {
        self.view.get(key)
    }
    fn get_shared(&self, key: &Key) -> Result<Option<Arc<Row>>> {
        self.view.get_shared(key)
    }
    fn scan(&self, scan: &Scan) -> Result<Vec<Row>> {
        self.view.scan(scan)
    }
    fn values(&self, key: &Key) -> Result<Option<Vec<Raw>>> {
        self.view.values(key)
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

impl Txn for PostgresTxn<'_> {
    fn put(&mut self, row: &Row) -> Result<()> {
        self.put_shared(None, &Arc::new(row.clone()))
    }

    fn replace(&mut self, before: &Row, after: &Row) -> Result<()> {
        let (kind, key_len) = (after.kind(), after.kind().key_len());
        if before.kind() != kind || before.to_values()[..key_len] != after.to_values()[..key_len] {
            return Err(
                Error::internal("replace_key", "a row is replaced by one of its key").with("table", kind.table())
            );
        }
        self.put(after)
    }

    fn put_shared(&mut self, _before: Option<&Row>, row: &Arc<Row>) -> Result<()> {
        self.view.write(row.key(), Some(row), Some(row.to_values()))
    }

    fn put_values(&mut self, kind: RowKind, values: &[Value]) -> Result<()> {
        check_values(kind, values)?;
        // What the table cannot hold is refused here: the server would end the transaction.
        for (column, value) in kind.columns().iter().zip(values) {
            let fits = match value {
                Value::Null => column.nullable,
                Value::Int(_) => column.column_type == ColumnType::Int,
                Value::Text(_) => column.column_type == ColumnType::Text,
            };
            if !fits {
                let words = format!("the column {} of {} cannot hold that", column.name, kind.table());
                return Err(Error::invalid("values_refused", words)
                    .with("table", kind.table())
                    .with("column", column.name));
            }
        }
        let key = Key { kind, values: values[..kind.key_len()].to_vec() };
        self.view.write(key, None, Some(values.to_vec()))
    }

    fn delete(&mut self, key: &Key) -> Result<()> {
        self.view.write(key.clone(), None, None)
    }

    fn append(&mut self, events: &[Event]) -> Result<()> {
        check_order(&self.head()?, events)?;
        for event in events {
            let changes = serde_json::to_string(&event.changes)
                .map_err(|source| Error::internal("event_unwritable", "an event cannot be written").because(source))?;
            self.insert(event, &event.data.to_string(), &changes)?;
        }
        self.has_appended |= !events.is_empty();
        Ok(())
    }

    fn append_written(&mut self, events: &[WrittenEvent]) -> Result<()> {
        check_order(&self.head()?, events.iter().map(|written| &written.event))?;
        for WrittenEvent { event, data, changes } in events {
            self.insert(event, data, changes)?;
        }
        self.has_appended |= !events.is_empty();
        Ok(())
    }

    fn truncate_events(&mut self, through: u64) -> Result<()> {
        check_truncation(&self.head()?, through)?;
        let parameters = vec![Parameter::text(self.town()), Parameter::count(through)];
        self.view.put_off(Change::Step(Step::new(sql::TRUNCATE, parameters)))
    }

    fn savepoint(&mut self) -> Result<()> {
        let head = self.head()?;
        // What fails before the savepoint must not be taken for something behind it.
        self.view.flush()?;
        if self.savepoint.is_some() {
            self.view.put_off(Change::Step(Step::plain("RELEASE SAVEPOINT command")))?;
        }
        self.view.put_off(Change::Step(Step::plain("SAVEPOINT command")))?;
        self.savepoint = Some(Savepoint { head, place: self.view.place() });
        Ok(())
    }

    fn rollback_to_savepoint(&mut self) -> Result<()> {
        let Some(savepoint) = &self.savepoint else {
            return Err(Error::internal("savepoint_missing", "there is no savepoint to return to"));
        };
        if !self.view.cut(savepoint.place) {
            self.view.forget()?;
            self.view.put_off(Change::Step(Step::plain("ROLLBACK TO SAVEPOINT command")))?;
        }
        self.view.undo_rows();
        self.view.set_head(savepoint.head.clone());
        Ok(())
    }

    fn guess(&mut self) -> Result<()> {
        self.view.guess()
    }

    fn confirm(&mut self) -> Result<bool> {
        let is_right = self.view.confirm()?;
        if !is_right {
            // A mark behind the batch's own went with what was undone.
            self.savepoint = None;
        }
        Ok(is_right)
    }

    fn flush(&mut self) -> Result<()> {
        self.view.flush()
    }

    fn spoilt(&self) -> Option<Error> {
        self.view.failed()
    }

    fn commit(mut self: Box<Self>) -> Result<()> {
        if let Some(error) = self.view.failed() {
            return Err(error);
        }
        if !self.view.confirm()? {
            return Err(Error::unavailable("store_conflict", "the transaction rests on what is not so")
                .with("town", self.town()));
        }
        let (line, town) = (self.view.line, Parameter::text(self.town()));
        let mut mark = CommitMark { town: self.view.town.clone(), session: self.session, transaction: None };
        let mut steps = Vec::with_capacity(4);
        let mut marked = None;
        if self.view.has_changed() {
            let (writer, number) = line.next_transaction()?;
            if number == 1 {
                steps.push(Step::new(sql::FORGET_MARKS, vec![town.clone()]));
            }
            let by = [Parameter::text(&writer), Parameter::int(number)];
            marked = Some(steps.len());
            steps.push(Step::new(sql::MARK, std::iter::once(town.clone()).chain(by).collect()));
            mark.transaction = Some((writer, number));
        }
        if self.has_appended {
            let channel = Parameter::text(channel(&self.backend.place.schema));
            steps.push(Step::new("SELECT pg_notify($1, $2)", vec![channel, town]));
        }
        steps.push(Step::plain("COMMIT"));
        match self.view.send(steps) {
            Ok(answers) => {
                self.view.is_over = true;
                if let Some(marked) = marked {
                    self.view.committed(view::commits(&answers[marked]));
                }
                Ok(())
            }
            // The server may have got it all the same.
            Err(error) if error.code() == LOST => {
                self.view.committed(None);
                self.backend.find_out(&mark, error)
            }
            Err(error) => Err(error),
        }
    }

    fn as_reader(&self) -> &dyn Reader {
        self
    }
}
