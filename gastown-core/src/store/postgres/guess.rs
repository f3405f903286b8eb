//! Answers that are given before the server was asked: that there is nothing.
//!
//! Most of what a command looks up and nobody here knows is not there (the id of a new bead, its labels), and a batch of
//! commands that waits for each answer waits for hundreds. So reads are answered by a guess while a batch runs, and all
//! guesses are asked at once at its end. Where one was wrong, what the batch did is undone and it is run again with what
//! is known by then; nothing that rests on a guess is answered or committed before.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use tokio_postgres::Row as Columns;

use super::line::Step;
use super::sql;
use super::text::Parameter;
use super::view::decode;
use crate::model::value::Value;
use crate::model::{Error, Head, Key, Result, Row, RowKind};
use crate::store::Scan;
use crate::store::index::Index;
use crate::store::rows::{LIST_MAX, Rows};

/// A short list, by its index and prefix.
type ListName = (&'static str, Vec<Value>);

/// What was guessed in a transaction.
#[derive(Debug, Default)]
pub(super) struct Guesses {
    /// The journal's end when the guessing began; none while nothing is guessed.
    since: Option<Head>,
    /// Whether changes were sent since, behind a savepoint.
    has_sent: bool,
    is_wrong: bool,
    /// Guessed, and not asked yet.
    keys: HashSet<Key>,
    lists: Vec<Scan>,
    /// What was written since: of that the server will tell something else than what was before.
    written: HashSet<Key>,
    /// Of these an earlier guess was wrong.
    distrusted: HashSet<Key>,
    distrusted_lists: HashSet<ListName>,
    learned: Vec<Learned>,
}

/// What the server told about a guess.
#[derive(Debug)]
enum Learned {
    Row(Key, Option<Box<Row>>),
    List(Scan, Vec<Row>),
}

/// What the server is asked, in the order of the questions.
#[derive(Debug, Default)]
pub(super) struct Asked {
    keys: Vec<(RowKind, Vec<Key>)>,
    lists: Vec<(&'static Index, Vec<Scan>)>,
}

/// What is to be undone because of a wrong guess.
pub(super) struct Undo {
    pub(super) head: Head,
    pub(super) has_sent: bool,
}

impl Guesses {
    pub(super) fn begin(&mut self, head: Head) {
        let (distrusted, distrusted_lists) =
            (std::mem::take(&mut self.distrusted), std::mem::take(&mut self.distrusted_lists));
        *self = Self { since: Some(head), distrusted, distrusted_lists, ..Self::default() };
    }

    pub(super) const fn is_on(&self) -> bool {
        self.since.is_some()
    }

    /// Whether changes are sent for the first time since the guessing began.
    pub(super) fn begins_to_send(&mut self) -> bool {
        self.is_on() && !std::mem::replace(&mut self.has_sent, true)
    }

    pub(super) fn write(&mut self, key: &Key) {
        if self.is_on() {
            self.written.insert(key.clone());
        }
    }

    /// Guesses that there is no row of this key; false where the server must be asked.
    pub(super) fn row(&mut self, key: &Key) -> bool {
        if !self.is_on() || self.written.contains(key) || self.distrusted.contains(key) {
            return false;
        }
        self.keys.insert(key.clone());
        true
    }

    /// Guesses that this list is empty; false where the server must be asked.
    pub(super) fn list(&mut self, scan: &Scan) -> bool {
        if !self.is_on() || !Rows::may_keep(scan) || self.distrusted_lists.contains(&name(scan)) || self.wrote_in(scan)
        {
            return false;
        }
        if !self.lists.iter().any(|known| name(known) == name(scan)) {
            self.lists.push(scan.clone());
        }
        true
    }

    /// Whether a row was written whose key has it in this list.
    fn wrote_in(&self, scan: &Scan) -> bool {
        let in_list = |key: &&Key| {
            key.kind == scan.index.kind
                && scan
                    .index
                    .prefix
                    .iter()
                    .zip(&scan.prefix)
                    .all(|(name, value)| key.values[scan.index.place(name)] == *value)
        };
        self.written.iter().any(|key| in_list(&key))
    }

    /// The questions about everything that was guessed and not asked.
    pub(super) fn questions(&mut self, town: &str) -> (Asked, Vec<Step>) {
        let mut asked = Asked::default();
        let mut steps = Vec::new();
        let mut keys: BTreeMap<usize, Vec<Key>> = BTreeMap::new();
        for key in self.keys.drain() {
            keys.entry(key.kind as usize).or_default().push(key);
        }
        for keys in keys.into_values() {
            let kind = keys[0].kind;
            let types = kind.columns().iter().take(kind.key_len()).map(|column| column.column_type);
            let rows: Vec<&[Value]> = keys.iter().map(|key| &*key.values).collect();
            steps.push(Step::new(&*sql::statements(kind).get_many, sql::columns(town, types, &rows)));
            asked.keys.push((kind, keys));
        }
        let mut lists: BTreeMap<&str, Vec<Scan>> = BTreeMap::new();
        for scan in self.lists.drain(..) {
            lists.entry(scan.index.name).or_default().push(scan);
        }
        for lists in lists.into_values() {
            let index = lists[0].index;
            let types = index.prefix.iter().map(|name| index.column(name).column_type);
            let rows: Vec<&[Value]> = lists.iter().map(|scan| &*scan.prefix).collect();
            let mut parameters = sql::columns(town, types, &rows);
            parameters.push(Parameter::count(LIST_MAX as u64 + 1));
            steps.push(Step::new(sql::lists(index), parameters));
            asked.lists.push((index, lists));
        }
        (asked, steps)
    }

    /// Holds the guesses against the answers to [`Guesses::questions`].
    pub(super) fn learn(&mut self, asked: Asked, answers: &[Vec<Columns>]) -> Result<()> {
        let mut answers = answers.iter();
        for (kind, keys) in asked.keys {
            let mut found: Vec<Option<Result<Row, ()>>> = keys.iter().map(|_| None).collect();
            for row in answers.next().into_iter().flatten() {
                *found.get_mut(place(row)?).ok_or_else(unfit)? = Some(decode(kind, row, 1).map_err(drop));
            }
            for (key, found) in keys.into_iter().zip(found) {
                if found.is_some() {
                    self.is_wrong = true;
                    self.distrusted.insert(key.clone());
                }
                match found {
                    None => self.learned.push(Learned::Row(key, None)),
                    Some(Ok(row)) => self.learned.push(Learned::Row(key, Some(Box::new(row)))),
                    // Whoever wants it asks the server and gets the error.
                    Some(Err(())) => {}
                }
            }
        }
        for (index, lists) in asked.lists {
            let mut found: Vec<Result<Vec<Row>, ()>> = lists.iter().map(|_| Ok(Vec::new())).collect();
            for row in answers.next().into_iter().flatten() {
                let list = found.get_mut(place(row)?).ok_or_else(unfit)?;
                match (&mut *list, decode(index.kind, row, 1)) {
                    (Ok(rows), Ok(row)) => rows.push(row),
                    _ => *list = Err(()),
                }
            }
            for (scan, found) in lists.into_iter().zip(found) {
                if found.as_ref().map_or(true, |rows| !rows.is_empty()) {
                    self.is_wrong = true;
                    self.distrusted_lists.insert(name(&scan));
                }
                if let Ok(rows) = found
                    && rows.len() <= LIST_MAX
                {
                    self.learned.push(Learned::List(scan, rows));
                }
            }
        }
        Ok(())
    }

    /// Ends the guessing; what is known now is kept. Where a guess was wrong, it is told what is to be undone first.
    pub(super) fn end(&mut self, rows: &mut Rows) -> Option<Undo> {
        let head = self.since.take()?;
        let undo = self.is_wrong.then_some(Undo { head, has_sent: self.has_sent });
        if undo.is_some() {
            rows.undo();
            self.written.clear();
        }
        for learned in std::mem::take(&mut self.learned) {
            match learned {
                Learned::Row(key, _) if self.written.contains(&key) => {}
                Learned::Row(key, Some(row)) => rows.keep(&key, &Arc::from(row)),
                Learned::Row(key, None) => rows.keep_absent(&key),
                Learned::List(scan, _) if self.wrote_in(&scan) => {}
                Learned::List(scan, list) => rows.keep_list(&scan, &list),
            }
        }
        undo
    }
}

fn name(scan: &Scan) -> ListName {
    (scan.index.name, scan.prefix.clone())
}

/// For which of the questions an answer is; the server counts from 1.
fn place(row: &Columns) -> Result<usize> {
    let n: i64 = row.try_get(0).map_err(|source| unfit().because(source))?;
    usize::try_from(n - 1).map_err(|source| unfit().because(source))
}

fn unfit() -> Error {
    Error::internal("store_postgres", "an answer belongs to no question")
}
