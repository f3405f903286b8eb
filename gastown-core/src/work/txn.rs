//! The transaction as commands and rules see it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::ids::Ids;
use super::observed;
use super::view::View;
use crate::meter::{Noted, Notes, table};
use crate::model::event::write_change;
use crate::model::record::ColumnRole;
use crate::model::value::{Cell, Raw, Value};
use crate::model::{
    BeadId, BeadRow, Capability, Error, Event, Head, Key, Result, Row, RowKind, Scope, SessionId, Shared, Stored,
    Timestamp, WrittenEvent,
};
use crate::mutant::{self, Mutant};
use crate::store::{Position, Reader, Scan, Search, Txn, Unreadable};

/// What comes into a command from outside: the time, the random choices, the caller's key.
#[derive(Clone, Debug)]
pub(crate) struct Ctx {
    /// The time of the command.
    pub now: Timestamp,
    /// Where its ids come from.
    pub ids: Ids,
    /// The caller's idempotency key.
    pub idempotency_key: Option<String>,
    /// What the caller showed, where it showed a token.
    pub capability: Option<Arc<Capability>>,
    /// What is counted of it, once it is committed.
    pub notes: Notes,
}

impl Ctx {
    /// What a command is given that comes at this time, without a key.
    pub(crate) fn at(now: Timestamp, seed: u64) -> Self {
        Self { now, ids: Ids::from_seed(seed), idempotency_key: None, capability: None, notes: Notes::default() }
    }
}

/// A write transaction through one scope: rows, events, effects.
///
/// Invariant: work and rules hold this and never the raw transaction. Each change is journaled with the event that
/// follows it.
pub(crate) struct ScopedTxn<'a> {
    raw: Remembering<'a>,
    scope: &'a Scope,
    now: Timestamp,
    ids: Ids,
    actor: String,
    session: Option<(SessionId, i64)>,
    head: Head,
    events: Vec<WrittenEvent>,
    /// What changed since the last event: the last change of each key as JSON behind a bracket, in the order of those.
    pending: BTreeMap<Key, (usize, String)>,
    changes: usize,
    notes: Notes,
}

impl<'a> ScopedTxn<'a> {
    pub(crate) fn new(raw: &'a mut dyn Txn, scope: &'a Scope, ctx: &Ctx) -> Result<Self> {
        Self::remembering(raw, scope, ctx, REMEMBERED_MAX)
    }

    /// The same for a command about so many rows that remembering some of them is of no use.
    pub(crate) fn for_many(raw: &'a mut dyn Txn, scope: &'a Scope, ctx: &Ctx) -> Result<Self> {
        Self::remembering(raw, scope, ctx, 0)
    }

    fn remembering(raw: &'a mut dyn Txn, scope: &'a Scope, ctx: &Ctx, rows_max: usize) -> Result<Self> {
        let session = match scope {
            Scope::Agent { session, epoch, .. } => Some((session.clone(), *epoch)),
            _ => None,
        };
        let head = raw.head()?;
        // What an earlier run of the command noted did not happen.
        ctx.notes.clear();
        Ok(Self {
            raw: Remembering { raw, rows_max, rows: RefCell::default() },
            scope,
            now: ctx.now,
            ids: ctx.ids.clone(),
            actor: scope.principal(),
            session,
            head,
            events: Vec::new(),
            pending: BTreeMap::new(),
            changes: 0,
            notes: ctx.notes.clone(),
        })
    }

    /// The time of the command.
    pub(crate) const fn now(&self) -> Timestamp {
        self.now
    }

    /// Who it is.
    pub(crate) fn actor(&self) -> &str {
        &self.actor
    }

    /// Where the journal ends, with what this command has appended so far.
    pub(crate) const fn head_seq(&self) -> u64 {
        self.head.seq
    }

    pub(crate) fn ids(&mut self) -> &mut Ids {
        &mut self.ids
    }

    pub(crate) fn view(&self) -> View<'_> {
        View::new(&self.raw, self.scope, self.now)
    }

    pub(crate) fn find<T: Stored>(&self, key: &Key) -> Result<Option<T>> {
        self.view().find(key)
    }

    /// The same, to be read only.
    pub(crate) fn look<T: Stored>(&self, key: &Key) -> Result<Option<Shared<T>>> {
        self.view().look(key)
    }

    /// The whole town, for rules that hold over all rigs (unique names, the town's limits); nothing of it may reach
    /// the caller.
    pub(crate) fn town_view(&self) -> View<'_> {
        View::new(&self.raw, &Scope::Town, self.now)
    }

    /// Does what the town owes its rows whoever caused it, also where the caller's scope does not reach.
    ///
    /// The caller learns nothing of it: use it for consequences, not for answers.
    pub(crate) fn as_town<T>(&mut self, consequence: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        static TOWN: Scope = Scope::Town;
        let scope = std::mem::replace(&mut self.scope, &TOWN);
        let result = consequence(self);
        self.scope = scope;
        result
    }

    /// Whether the key is in use, whether or not the scope may see its row.
    pub(crate) fn is_taken(&self, key: &Key) -> Result<bool> {
        Ok(self.raw.get_shared(key)?.is_some())
    }

    pub(crate) fn scan<T: Stored>(&self, scan: Scan) -> Result<Vec<T>> {
        self.view().scan(scan)
    }

    pub(crate) fn all<T: Stored>(&self, scan: Scan) -> Result<Vec<T>> {
        self.view().all(scan)
    }

    pub(crate) fn bead(&self, id: &BeadId) -> Result<BeadRow> {
        self.view().bead(id)
    }

    /// Writes a record; the change goes to the journal with the next event.
    pub(crate) fn put<T: Stored>(&mut self, record: T) -> Result<()> {
        self.put_row(row_of(record))
    }

    /// What is stored under a key, whether or not it makes a row.
    pub(crate) fn values(&self, key: &Key) -> Result<Option<Vec<Raw>>> {
        self.view().whole_town()?.values(key)
    }

    /// Writes a row of any kind; the change goes to the journal with the next event.
    pub(crate) fn put_row(&mut self, row: Row) -> Result<()> {
        let key = row.key();
        self.check(&key, &row)?;
        let change = key.kind.is_journaled().then(|| row.with_cells(|cells| change_text(&key, Some(cells))));
        let is_lost = mutant::lives(Mutant::ChangeUnjournaled) && key.kind == RowKind::Agent;
        self.raw.put(key.clone(), Arc::new(row))?;
        if let Some(change) = change.filter(|_| !is_lost) {
            self.note(key, change);
        }
        Ok(())
    }

    /// Writes the record of a key that is known to be free.
    pub(crate) fn put_new<T: Stored>(&mut self, record: T) -> Result<()> {
        let row = row_of(record);
        let key = row.key();
        self.check(&key, &row)?;
        let change = key.kind.is_journaled().then(|| row.with_cells(|cells| change_text(&key, Some(cells))));
        self.raw.put_new(key.clone(), Arc::new(row))?;
        if let Some(change) = change {
            self.note(key, change);
        }
        Ok(())
    }

    /// Writes what arrived, each with its entry in the journal, in order. No key of theirs is taken, and none is there twice.
    pub(crate) fn put_arrivals(&mut self, arrivals: Vec<Arrival>) -> Result<()> {
        let mut new = Vec::with_capacity(arrivals.len() * 4);
        for Arrival { rows, kind, subject, facts } in arrivals {
            let mut changes = self.take_pending();
            for mut row in rows {
                settle_place(&mut row);
                let key = row.key();
                self.check(&key, &row)?;
                if changes.len() > 1 {
                    changes.push(',');
                }
                row.with_cells(|cells| write_change(&mut changes, &key, Some(cells)));
                new.push(Arc::new(row));
            }
            self.entry(kind, subject.as_str(), facts, changes);
        }
        self.raw.put_arrived(&new)
    }

    /// Removes what is stored under a key, whether or not it makes a row.
    pub(crate) fn remove(&mut self, key: &Key) -> Result<()> {
        self.view().whole_town()?;
        self.raw.delete(key)?;
        if key.kind.is_journaled() {
            self.note(key.clone(), change_text(key, None));
        }
        Ok(())
    }

    /// Writes a bead and counts its version.
    pub(crate) fn put_bead(&mut self, mut bead: BeadRow) -> Result<()> {
        bead.version += 1;
        bead.updated_at = self.now;
        self.put(bead)
    }

    /// Writes a record of which only volatile columns changed; nothing is journaled.
    pub(crate) fn put_volatile<T: Stored>(&mut self, record: T) -> Result<()> {
        let row = record.into_row();
        let key = row.key();
        self.check(&key, &row)?;
        debug_assert!(
            row.kind().columns().iter().any(|c| c.role == ColumnRole::Volatile),
            "a table without volatile columns has only journaled changes"
        );
        self.raw.put(key, Arc::new(row))
    }

    /// Removes a record.
    pub(crate) fn delete(&mut self, key: &Key) -> Result<()> {
        let Some(row) = self.raw.get_shared(key)? else { return Ok(()) };
        self.check(key, &row)?;
        self.raw.delete(key)?;
        if key.kind.is_journaled() {
            self.note(key.clone(), change_text(key, None));
        }
        Ok(())
    }

    /// Marks a bead for the engine's next look.
    pub(crate) fn mark_dirty(&mut self, id: &BeadId) -> Result<()> {
        if let Some(mut bead) = self.find::<BeadRow>(&Key::bead(id))?
            && !bead.dirty
        {
            bead.dirty = true;
            self.put_volatile(bead)?;
        }
        Ok(())
    }

    /// Appends an event that carries every change since the one before.
    pub(crate) fn event(&mut self, kind: &str, subject: impl AsRef<str>, data: serde_json::Value) {
        let changes = self.take_pending();
        let subject = subject.as_ref();
        let noted = [observed::of_entry(self, kind, subject, &data), observed::length(self, kind, subject)];
        for noted in noted.into_iter().flatten() {
            self.notes.add(noted);
        }
        self.entry(kind, subject, data, changes);
    }

    /// Counts the entries of the journal so far as the work of the engine's rules.
    pub(crate) fn note_rules(&self) {
        for written in &self.events {
            self.notes.add(Noted::new(&table::RULES_FIRED, &[&written.event.kind], 1.0));
        }
    }

    /// What changed since the last event, as the beginning of a list.
    fn take_pending(&mut self) -> String {
        let mut changes: Vec<_> = std::mem::take(&mut self.pending).into_values().collect();
        changes.sort_unstable_by_key(|(nth, _)| *nth);
        let more = changes.iter().skip(1).map(|(_, change)| change.len() + 1).sum::<usize>();
        let mut changes = changes.into_iter().map(|(_, change)| change);
        // Each text begins with the bracket of a list of its own.
        let Some(mut list) = changes.next() else {
            let mut list = String::with_capacity(LIST_BYTES);
            list.push('[');
            return list;
        };
        list.reserve(more + 1);
        for change in changes {
            list.push(',');
            list.push_str(&change[1..]);
        }
        list
    }

    /// Appends an event with the beginning of a list of changes.
    fn entry(&mut self, kind: &str, subject: &str, data: serde_json::Value, mut changes: String) {
        changes.push(']');
        let session = self.session.clone();
        let written = WrittenEvent::next(&self.head, self.now, &self.actor, session, kind, subject, data, changes);
        self.head = written.event.head();
        self.events.push(written);
    }

    /// The same, in the transaction at once, so that a long command does not hold all that it changed.
    pub(crate) fn event_now(&mut self, kind: &str, subject: impl AsRef<str>, data: serde_json::Value) -> Result<()> {
        self.event(kind, subject, data);
        self.raw.raw.append_written(&std::mem::take(&mut self.events))
    }

    /// Removes the beginning of the journal, which is in an archive.
    pub(crate) fn truncate_journal(&mut self, through: u64) -> Result<()> {
        self.raw.raw.truncate_events(through)
    }

    /// Writes the events; `operation` names the event for changes that none took along.
    pub(crate) fn finish(mut self, operation: &str) -> Result<()> {
        if !self.pending.is_empty() {
            let first = self.pending.iter().min_by_key(|(_, (nth, _))| *nth);
            let subject = match first.and_then(|(key, _)| key.values.first()) {
                Some(Value::Text(text)) => text.clone(),
                _ => "town".to_owned(),
            };
            self.event(operation, subject, serde_json::json!({}));
        }
        if self.events.is_empty() { Ok(()) } else { self.raw.raw.append_written(&self.events) }
    }

    fn note(&mut self, key: Key, change: String) {
        self.changes += 1;
        self.pending.insert(key, (self.changes, change));
    }

    /// A scope that is confined to a rig changes nothing outside it.
    fn check(&self, key: &Key, row: &Row) -> Result<()> {
        let Some(rig) = self.scope.rig() else { return Ok(()) };
        // A new bead's other rows come after the bead itself, so looking it up is enough for them.
        let before = self.raw.get_shared(key)?;
        let allowed = match row.kind() {
            RowKind::Rig | RowKind::Town | RowKind::Setting | RowKind::Leader => false,
            RowKind::Effect => matches!(row, Row::Effect(effect) if effect.rig == *rig),
            _ => self.view().sees(row)? && before.map_or(Ok(true), |old| self.view().sees(&old))?,
        };
        if allowed {
            return Ok(());
        }
        Err(Error::forbidden("outside_rig", format!("{} may change nothing outside the rig {rig}", self.actor))
            .with("principal", &self.actor)
            .with("rig", rig)
            .with("table", row.kind().table()))
    }
}

/// The row of a record; a bead's says what its place is among those that wait for an agent.
fn row_of<T: Stored>(record: T) -> Row {
    let mut row = record.into_row();
    settle_place(&mut row);
    row
}

fn settle_place(row: &mut Row) {
    if let Row::Bead(bead) = row {
        bead.slung_at = if bead.slung { bead.slung_at.or(Some(bead.created_at)) } else { None };
        bead.lane = bead.lane();
    }
}

/// The rows of something new, and its entry in the journal.
pub(crate) struct Arrival {
    pub(crate) rows: Vec<Row>,
    pub(crate) kind: &'static str,
    pub(crate) subject: BeadId,
    pub(crate) facts: serde_json::Value,
}

/// About how long the changes of one new bead are.
const LIST_BYTES: usize = 4_096;

/// A change as the beginning of a list of changes, so that one that is alone need not be copied.
fn change_text(key: &Key, cells: Option<&[Cell<'_>]>) -> String {
    let mut text = String::with_capacity(1_024);
    text.push('[');
    write_change(&mut text, key, cells);
    text
}

/// The most rows that one command remembers.
const REMEMBERED_MAX: usize = 64;

/// The raw transaction, and the rows that the command read or wrote by their keys: they are not read again, and only
/// their changed columns are written.
///
/// Invariant: it lives as long as one command, so whatever undoes the command's rows undoes it as well.
struct Remembering<'a> {
    raw: &'a mut dyn Txn,
    rows_max: usize,
    /// Few, so that looking through them is quicker than anything else.
    rows: RefCell<Vec<(Key, Option<Arc<Row>>)>>,
}

impl Remembering<'_> {
    fn put(&mut self, key: Key, row: Arc<Row>) -> Result<()> {
        let known = self.rows.get_mut().iter().find(|(known, _)| *known == key);
        let read;
        let before = match known {
            Some((_, before)) => before.as_deref(),
            // Where a table has many indexes, reading a row is cheaper than writing all of them anew.
            None if matches!(key.kind, RowKind::Bead | RowKind::Session | RowKind::MergeRequest) => {
                read = self.raw.get_shared(&key)?;
                read.as_deref()
            }
            None => None,
        };
        self.raw.put_shared(before, &row)?;
        self.remember(key, Some(row));
        Ok(())
    }

    fn put_new(&mut self, key: Key, row: Arc<Row>) -> Result<()> {
        self.raw.put_shared(None, &row)?;
        self.remember(key, Some(row));
        Ok(())
    }

    fn put_arrived(&mut self, rows: &[Arc<Row>]) -> Result<()> {
        self.raw.put_new(rows)?;
        let most = self.rows_max;
        rows.iter().take(most).for_each(|row| self.remember(row.key(), Some(Arc::clone(row))));
        Ok(())
    }

    fn delete(&mut self, key: &Key) -> Result<()> {
        self.raw.delete(key)?;
        self.remember(key.clone(), None);
        Ok(())
    }

    fn remember(&self, key: Key, row: Option<Arc<Row>>) {
        let mut rows = self.rows.borrow_mut();
        if let Some((_, known)) = rows.iter_mut().find(|(known, _)| *known == key) {
            *known = row;
        } else if rows.len() < self.rows_max {
            rows.push((key, row));
        }
    }
}

impl Reader for Remembering<'_> {
    fn get(&self, key: &Key) -> Result<Option<Row>> {
        Ok(self.get_shared(key)?.map(Arc::unwrap_or_clone))
    }

    fn get_shared(&self, key: &Key) -> Result<Option<Arc<Row>>> {
        if let Some((_, known)) = self.rows.borrow().iter().find(|(known, _)| known == key) {
            return Ok(known.clone());
        }
        let row = self.raw.get_shared(key)?;
        self.remember(key.clone(), row.clone());
        Ok(row)
    }

    fn scan(&self, scan: &Scan) -> Result<Vec<Row>> {
        self.raw.scan(scan)
    }

    fn values(&self, key: &Key) -> Result<Option<Vec<Raw>>> {
        self.raw.values(key)
    }

    fn scan_back(&self, scan: &Scan, before: Option<&Position>) -> Result<Vec<Row>> {
        self.raw.scan_back(scan, before)
    }

    fn unreadable(&self) -> Vec<Unreadable> {
        self.raw.unreadable()
    }

    fn head(&self) -> Result<Head> {
        self.raw.head()
    }

    fn events(&self, after: u64, limit: usize) -> Result<Vec<Event>> {
        self.raw.events(after, limit)
    }

    fn count(&self, scan: &Scan) -> Result<u64> {
        self.raw.count(scan)
    }

    fn search(&self, search: &Search) -> Result<Vec<Row>> {
        self.raw.search(search)
    }

    fn events_of(&self, subject: &str, after: u64, limit: usize) -> Result<Vec<Event>> {
        self.raw.events_of(subject, after, limit)
    }
}
