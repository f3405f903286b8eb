//! What is put off in a transaction, and as which statements it is sent.

use std::collections::{BTreeMap, HashMap};

use super::line::Step;
use super::sql;
use super::text::weight;
use crate::model::value::Value;
use crate::model::{Key, RowKind};

/// Changes that wait are sent when they are so many, or so many bytes, at the latest.
const CHANGES_MAX: usize = 2_048;
const BYTES_MAX: usize = 1 << 20;

/// What was put off.
#[derive(Debug)]
pub(super) enum Change {
    /// A statement that keeps its place among the others.
    Step(Step),
    Put(RowKind, Vec<Value>),
    Delete(Key),
    /// An entry of the journal.
    Append(Vec<Value>),
}

/// What the server is asked about.
#[derive(Clone, Copy)]
pub(super) enum About<'k> {
    Row(&'k Key),
    Rows(RowKind),
    Journal,
}

impl Change {
    fn weight(&self) -> usize {
        match self {
            Self::Step(step) => step.weight(),
            Self::Put(_, values) | Self::Append(values) => values.iter().map(weight).sum(),
            Self::Delete(key) => key.values.iter().map(weight).sum(),
        }
    }

    /// Whether the answer about it may be another one behind this.
    fn touches(&self, about: About<'_>) -> bool {
        match (self, about) {
            (Self::Step(_), _) | (Self::Append(_), About::Journal) => true,
            (Self::Put(kind, values), About::Row(key)) => *kind == key.kind && values.starts_with(&key.values),
            (Self::Put(kind, _), About::Rows(asked)) => *kind == asked,
            (Self::Delete(key), About::Row(asked)) => key == asked,
            (Self::Delete(key), About::Rows(asked)) => key.kind == asked,
            (Self::Append(_), _) | (_, About::Journal) => false,
        }
    }
}

/// Changes in the order in which they were made.
#[derive(Debug, Default)]
pub(super) struct Queue {
    changes: Vec<Change>,
    bytes: usize,
    /// How often it was sent or forgotten.
    round: u64,
}

/// A place in what is put off.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    round: u64,
    changes: usize,
}

impl Queue {
    /// Puts one more off; true where it is time to send them.
    pub(super) fn push(&mut self, change: Change) -> bool {
        self.bytes += change.weight();
        self.changes.push(change);
        self.changes.len() >= CHANGES_MAX || self.bytes >= BYTES_MAX
    }

    pub(super) fn touches(&self, about: About<'_>) -> bool {
        self.changes.iter().any(|change| change.touches(about))
    }

    pub(super) fn take(&mut self) -> Vec<Change> {
        self.round += 1;
        self.bytes = 0;
        std::mem::take(&mut self.changes)
    }

    /// Behind everything that is put off now.
    pub(super) const fn place(&self) -> Place {
        Place { round: self.round, changes: self.changes.len() }
    }

    /// Forgets what was put off behind a place; false where something of that was sent already.
    pub(super) fn cut(&mut self, place: Place) -> bool {
        if self.round != place.round {
            return false;
        }
        self.changes.truncate(place.changes);
        self.bytes = self.changes.iter().map(Change::weight).sum();
        true
    }
}

/// The statements that make these changes, as few as there can be.
///
/// Rows of different keys do not know of each other, so between two statements that keep their place only the last
/// change of a key counts, and the rows of a table are written by one statement.
pub(super) fn steps(town: &str, changes: Vec<Change>) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut group = Group::default();
    for change in changes {
        match change {
            Change::Step(step) => {
                group.write(town, &mut steps);
                steps.push(step);
            }
            Change::Put(kind, values) => {
                group.set(Key { kind, values: values[..kind.key_len()].to_vec() }, Some(values));
            }
            Change::Delete(key) => group.set(key, None),
            Change::Append(values) => group.entries.push(values),
        }
    }
    group.write(town, &mut steps);
    steps
}

#[derive(Default)]
struct Group {
    /// Which change of a key is its last.
    last: HashMap<Key, usize>,
    changes: Vec<Option<(Key, Option<Vec<Value>>)>>,
    entries: Vec<Vec<Value>>,
}

impl Group {
    fn set(&mut self, key: Key, values: Option<Vec<Value>>) {
        if let Some(earlier) = self.last.insert(key.clone(), self.changes.len()) {
            self.changes[earlier] = None;
        }
        self.changes.push(Some((key, values)));
    }

    /// Empties it into statements.
    fn write(&mut self, town: &str, steps: &mut Vec<Step>) {
        self.last.clear();
        let mut tables: BTreeMap<usize, (RowKind, Vec<Vec<Value>>)> = BTreeMap::new();
        for (key, values) in self.changes.drain(..).flatten() {
            match values {
                // In the order of the tables, so that every process takes the server's own locks in that order.
                Some(values) => tables.entry(key.kind as usize).or_insert((key.kind, Vec::new())).1.push(values),
                None => steps.push(Step::new(&*sql::statements(key.kind).delete, sql::key(town, &key))),
            }
        }
        for (kind, rows) in tables.into_values() {
            let statements = sql::statements(kind);
            if let [row] = &rows[..] {
                steps.push(Step::new(&*statements.put, sql::with_town(town, row)));
            } else {
                let types = kind.columns().iter().map(|column| column.column_type);
                steps.push(Step::new(&*statements.put_many, sql::columns(town, types, &rows)));
            }
        }
        match &std::mem::take(&mut self.entries)[..] {
            [] => {}
            [entry] => steps.push(Step::new(sql::APPEND, sql::with_town(town, entry))),
            entries => steps.push(Step::new(sql::APPEND_MANY, sql::columns(town, sql::ENTRY.into_iter(), entries))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(name: &str, value: &str) -> Change {
        let text = |text: &str| Value::Text(text.to_owned());
        Change::Put(RowKind::Setting, vec![text("town"), text(name), text(value), Value::Int(1)])
    }

    fn key(name: &str) -> Key {
        Key { kind: RowKind::Setting, values: vec![Value::Text("town".into()), Value::Text(name.into())] }
    }

    #[test]
    fn the_last_change_of_a_key_is_sent_and_rows_of_a_table_go_together() {
        let changes = vec![setting("a", "1"), setting("b", "1"), setting("a", "2"), Change::Delete(key("b"))];
        let sent = steps("town", changes);
        let statements = sql::statements(RowKind::Setting);
        assert_eq!(sent.iter().map(|step| &*step.sql).collect::<Vec<_>>(), [&statements.delete, &statements.put]);
        assert!(format!("{:?}", sent[1].parameters).contains("\"2\""));
        let sent = steps("town", vec![setting("a", "1"), Change::Append(vec![]), setting("b", "1")]);
        assert_eq!(sent[0].sql, statements.put_many);
        assert_eq!(sent.len(), 2);
    }

    #[test]
    fn what_keeps_its_place_divides_what_is_sent() {
        let mark = || Change::Step(Step::plain("SAVEPOINT command"));
        let sent = steps("town", vec![setting("a", "1"), mark(), setting("a", "2")]);
        let put = &*sql::statements(RowKind::Setting).put;
        assert_eq!(sent.iter().map(|step| &*step.sql).collect::<Vec<_>>(), [put, "SAVEPOINT command", put]);
    }

    #[test]
    fn what_touches_a_question_is_known() {
        let mut queue = Queue::default();
        queue.push(setting("a", "1"));
        assert!(queue.touches(About::Row(&key("a"))) && queue.touches(About::Rows(RowKind::Setting)));
        assert!(!queue.touches(About::Row(&key("b"))) && !queue.touches(About::Rows(RowKind::Bead)));
        assert!(!queue.touches(About::Journal));
        let place = queue.place();
        queue.push(Change::Delete(key("b")));
        assert!(queue.touches(About::Row(&key("b"))));
        assert!(queue.cut(place) && !queue.touches(About::Row(&key("b"))));
        queue.take();
        assert!(!queue.cut(place), "it was sent");
    }
}
