//! The kit finds wrong backends: each defect of a backend that is right otherwise makes the cases named here fail.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;
use std::time::Duration;

use super::{Subject, run_case};
use crate::model::value::{Raw, Value};
use crate::model::{Event, Head, Key, Result, Row, RowKind, TownId};
use crate::store::{
    Access, Backend, Changes, Connection, MemoryBackend, Packed, Position, Reader, Scan, Search, Tally, Txn, Unreadable,
};

/// What is wrong with a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Defect {
    CommitForgets,
    DropCommits,
    EmptyTextIsNull,
    NulEndsText,
    TextIsTrimmed,
    KeysIgnoreCase,
    NumbersAreFloats,
    JsonLosesEmptyValues,
    ScanHoldsItsPosition,
    ScanExcludesItsEnd,
    ScanForgetsItsLimit,
    PackedForgetsItsLimit,
    ScanByText,
    ScanBackBeginsAnew,
    ConditionsAreForgotten,
    PrefixIsAPrefix,
    CountStopsAtTheLimit,
    TallyCountsEachOnce,
    EventsHoldTheirPlace,
    EventsAreOrderedByTime,
    AppendTakesGaps,
    SavepointKeepsRows,
    SavepointKeepsDeletions,
    SavepointKeepsEvents,
    SavepointIsTheFirst,
    DeleteTakesLabels,
    PutKeepsTheOldRow,
    NewRowsLoseTheLast,
    EdgesHaveNoKind,
    TownsAreOne,
    SnapshotsMove,
    WriterReadsTheLast,
    UnreadableStops,
    WatchTellsOfAnother,
    TownsAreNotTold,
    GuessesStand,
    UnreadableIsForgotten,
    SearchForgetsTexts,
    SearchIgnoresItsPlace,
    SearchIsOldestFirst,
    SubjectIsAPrefix,
    ValuesAreThoseOfRows,
}

use Defect::*;

/// Each defect, with cases that find it.
const FOUND: &[(Defect, &[&str])] = &[
    (CommitForgets, &["what_was_committed_outlives_every_connection", "a_store_that_is_opened_again_has_everything"]),
    (DropCommits, &["a_dropped_transaction_leaves_nothing", "the_number_of_a_dropped_event_is_given_again"]),
    (EmptyTextIsNull, &["an_empty_text_is_not_nothing", "what_somebody_holds_moves_with_its_holder"]),
    (NulEndsText, &["every_text_column_keeps_nul", "a_text_with_nul_is_kept"]),
    (TextIsTrimmed, &["every_text_column_keeps_white_space_at_its_ends", "a_title_is_kept_byte_for_byte"]),
    (KeysIgnoreCase, &["keys_that_differ_by_case_or_form_are_apart", "a_message_is_in_its_recipients_mailbox_alone"]),
    (NumbersAreFloats, &["the_extremes_of_every_number_column_are_kept", "times_are_kept_to_the_microsecond"]),
    (JsonLosesEmptyValues, &["an_empty_value_of_metadata_is_not_an_absent_one"]),
    (ScanHoldsItsPosition, &["pages_of_any_size_give_the_same_rows", "behind_the_last_row_is_nothing"]),
    (ScanExcludesItsEnd, &["beads_are_due_up_to_a_moment", "mail_expires_when_its_time_has_come"]),
    (ScanForgetsItsLimit, &["a_limit_of_nothing_gives_nothing", "scans_of_beads"]),
    (PackedForgetsItsLimit, &["scans_of_beads", "scans_of_labels"]),
    (ScanByText, &["ready_beads_come_by_urgency_then_age_then_id", "beads_from_before_1970_come_first"]),
    (ScanBackBeginsAnew, &["a_scan_from_the_end_goes_on_before_a_place", "scans_of_beads"]),
    (ConditionsAreForgotten, &["only_open_beads_are_ready", "a_dirty_bead_is_looked_at_once"]),
    (PrefixIsAPrefix, &["a_prefix_is_not_a_prefix_of_text", "edges_of_beads_with_like_names_are_apart"]),
    (TallyCountsEachOnce, &["a_tally_counts_the_rows_of_each_value"]),
    (CountStopsAtTheLimit, &["a_count_is_not_bound_by_the_limit", "counts_of_a_mailbox_follow_every_change"]),
    (EventsHoldTheirPlace, &["events_after_one_do_not_hold_it", "a_follower_begins_behind_its_place"]),
    (EventsAreOrderedByTime, &["events_keep_their_order_where_the_clock_goes_back"]),
    (
        AppendTakesGaps,
        &["events_that_leave_a_gap_are_refused", "an_event_that_was_written_by_another_is_not_written_again"],
    ),
    (
        SavepointKeepsRows,
        &["a_savepoint_undoes_what_indexes_hold", "a_command_that_fails_after_it_wrote_is_undone_alone"],
    ),
    (SavepointKeepsDeletions, &["a_savepoint_undoes_deletions", "a_savepoint_undoes_a_thousand_rows"]),
    (SavepointKeepsEvents, &["a_savepoint_undoes_events", "random_changes_and_returns_are_as_in_a_plain_map"]),
    (
        SavepointIsTheFirst,
        &["a_later_savepoint_replaces_the_earlier", "a_hundred_savepoints_of_one_transaction_each_undo_their_own"],
    ),
    (DeleteTakesLabels, &["a_deletion_takes_nothing_else_with_it"]),
    (PutKeepsTheOldRow, &["a_change_of_one_column_changes_no_other", "reading_marks_the_message_of_one_recipient"]),
    (NewRowsLoseTheLast, &["rows_that_are_put_together_are_those_that_are_put_in_turn"]),
    (EdgesHaveNoKind, &["an_edge_of_another_kind_is_another_edge", "edges_of_two_beads_are_ordered_by_kind"]),
    (TownsAreOne, &["towns_do_not_see_each_other", "fifty_towns_keep_to_themselves"]),
    (SnapshotsMove, &["what_was_read_is_read_again", "a_row_that_came_meanwhile_is_in_no_scan"]),
    (WriterReadsTheLast, &["a_transaction_sees_its_own_rows", "pages_inside_a_transaction_see_its_changes"]),
    (UnreadableStops, &["a_row_that_cannot_be_read_stops_no_scan"]),
    (WatchTellsOfAnother, &["a_watch_tells_where_the_journal_of_a_town_ends"]),
    (TownsAreNotTold, &["a_database_names_its_towns"]),
    (GuessesStand, &["commands_at_once_rest_on_what_is_there"]),
    (UnreadableIsForgotten, &["a_wanted_row_that_cannot_be_read_is_told"]),
    (SearchForgetsTexts, &["words_are_found_in_titles_and_texts", "words_are_found_in_hundreds_of_beads_of_any_order"]),
    (SearchIgnoresItsPlace, &["a_search_goes_on_behind_a_place"]),
    (SearchIsOldestFirst, &["words_are_found_in_titles_and_texts", "a_search_goes_on_behind_a_place"]),
    (SubjectIsAPrefix, &["the_events_of_a_subject_are_its_own_in_order"]),
    (ValuesAreThoseOfRows, &["the_columns_of_a_row_that_cannot_be_read_are_as_they_were_stored"]),
];

#[test]
fn every_defect_is_found_by_its_cases() {
    let mut missed = Vec::new();
    for (defect, cases) in FOUND {
        for case in *cases {
            let subject = Wrong(*defect, MemoryBackend::new().with_busy_timeout(Duration::from_millis(50)));
            let passed = catch_unwind(AssertUnwindSafe(|| run_case(case, &subject))).is_ok();
            if passed {
                missed.push(format!("{case} does not find {defect:?}"));
            }
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}

#[derive(Clone, Debug)]
struct Wrong(Defect, MemoryBackend);

impl Subject for Wrong {
    fn backend(&self) -> Arc<dyn Backend> {
        Arc::new(self.clone())
    }
}

impl Backend for Wrong {
    fn name(&self) -> &'static str {
        "wrong"
    }
    fn connect(&self, access: Access) -> Result<Box<dyn Connection>> {
        let connect = || self.1.connect(access);
        Ok(Box::new(WrongConnection { defect: self.0, inner: connect()?, second: Arc::new(Mutex::new(connect()?)) }))
    }
    fn changes(&self) -> Result<Option<Box<dyn Changes>>> {
        if self.0 != WatchTellsOfAnother {
            return Ok(None);
        }
        let connection = self.1.connect(Access::Read)?;
        let wrong = |inner| Box::new(WrongChanges { inner, connection, first: None }) as Box<dyn Changes>;
        Ok(self.1.changes()?.map(wrong))
    }
}

/// A watch that tells of the town that was asked about first, whichever is asked about.
struct WrongChanges {
    inner: Box<dyn Changes>,
    connection: Box<dyn Connection>,
    first: Option<TownId>,
}

impl Changes for WrongChanges {
    fn wait(&mut self, timeout: Duration) -> Result<bool> {
        self.inner.wait(timeout)
    }
    fn head(&mut self, town: &TownId) -> Result<Option<u64>> {
        let first = self.first.get_or_insert_with(|| town.clone());
        Ok(Some(self.connection.read(first)?.head()?.seq))
    }
    fn interrupter(&self) -> Waker {
        self.inner.interrupter()
    }
}

struct WrongConnection {
    defect: Defect,
    inner: Box<dyn Connection>,
    second: Arc<Mutex<Box<dyn Connection>>>,
}

impl WrongConnection {
    fn town(&self, town: &TownId) -> TownId {
        if self.defect == TownsAreOne { super::kit::town() } else { town.clone() }
    }
}

impl Connection for WrongConnection {
    fn read(&mut self, town: &TownId) -> Result<Box<dyn Reader + '_>> {
        let town = self.town(town);
        let again = Again { town: town.clone(), connection: Arc::clone(&self.second) };
        Ok(Box::new(View { defect: self.defect, inner: self.inner.read(&town)?, again }))
    }
    fn write(&mut self, town: &TownId) -> Result<Box<dyn Txn + '_>> {
        let town = self.town(town);
        let again = Again { town: town.clone(), connection: Arc::clone(&self.second) };
        let inner = Some(self.inner.write(&town)?);
        Ok(Box::new(WrongTxn {
            defect: self.defect,
            inner,
            again,
            done: Vec::new(),
            marked: false,
            is_guessing: false,
        }))
    }
    fn towns(&mut self, limit: usize) -> Result<Option<Vec<TownId>>> {
        let mut towns = self.inner.towns(limit)?;
        if self.defect == TownsAreNotTold {
            towns.iter_mut().for_each(|towns| drop(towns.pop()));
        }
        Ok(towns)
    }
}

/// Another look at the town, of now.
struct Again {
    town: TownId,
    connection: Arc<Mutex<Box<dyn Connection>>>,
}

impl Again {
    fn look<T>(&self, job: impl FnOnce(&dyn Reader) -> Result<T>) -> Result<T> {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        job(&*connection.read(&self.town)?)
    }
}

/// A value as this backend brings it back.
fn bent(defect: Defect, value: Value) -> Value {
    match (defect, value) {
        (EmptyTextIsNull, Value::Text(text)) if text.is_empty() => Value::Null,
        (NulEndsText, Value::Text(text)) => Value::Text(text.split('\0').next().unwrap_or("").to_owned()),
        (TextIsTrimmed, Value::Text(text)) => Value::Text(text.trim().to_owned()),
        #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "that is the defect")]
        (NumbersAreFloats, Value::Int(n)) => Value::Int(n as f64 as i64),
        (JsonLosesEmptyValues, Value::Text(text)) => Value::Text(text.replace("\"gt:a\":\"\"", "")),
        (_, value) => value,
    }
}

/// A row as this backend stores it; the row itself where that makes none.
fn stored(defect: Defect, row: &Row) -> Row {
    let values: Vec<_> = row.to_values().into_iter().map(|value| bent(defect, value)).collect();
    row.kind().decode(&values).unwrap_or_else(|_| row.clone())
}

fn key_of(defect: Defect, key: &Key) -> Key {
    let lower = |value: &Value| match value {
        Value::Text(text) => Value::Text(text.to_lowercase()),
        other => other.clone(),
    };
    let mut key = key.clone();
    match defect {
        KeysIgnoreCase => key.values = key.values.iter().map(lower).collect(),
        EdgesHaveNoKind if key.kind == RowKind::Dependency => key.values[2] = Value::Text("blocks".into()),
        _ => {}
    }
    key
}

fn scan(defect: Defect, reader: &dyn Reader, scan: &Scan) -> Result<Vec<Row>> {
    let whole = |prefix: Vec<Value>| Scan { prefix, after: None, upto: None, limit: usize::MAX, ..scan.clone() };
    let order = |row: &Row| Position::of(scan.index, row);
    match defect {
        ScanHoldsItsPosition if scan.after.is_some() => {
            let mut rows = reader.scan(&Scan { upto: scan.upto.clone(), ..whole(scan.prefix.clone()) })?;
            rows.retain(|row| scan.after.as_ref().is_none_or(|after| order(row) >= *after));
            rows.truncate(scan.limit);
            Ok(rows)
        }
        ScanExcludesItsEnd => {
            let mut rows = reader.scan(scan)?;
            rows.retain(|row| scan.upto.as_ref().is_none_or(|upto| order(row).0[0] < *upto));
            Ok(rows)
        }
        ScanForgetsItsLimit => reader.scan(&Scan { limit: usize::MAX, ..scan.clone() }),
        ScanByText => {
            let mut rows = reader.scan(scan)?;
            rows.sort_by_key(|row| format!("{:?}", order(row)));
            Ok(rows)
        }
        ConditionsAreForgotten if scan.after.is_none() => {
            let mut rows = reader.scan(&Scan::new(crate::store::index::of_key(scan.index.kind), vec![], usize::MAX))?;
            rows.truncate(scan.limit);
            Ok(rows)
        }
        PrefixIsAPrefix if scan.after.is_none() => {
            let key = crate::store::index::of_key(scan.index.kind);
            let rows = reader.scan(&Scan::new(key, vec![], usize::MAX))?;
            let fits = |row: &Row| {
                let values = row.to_values();
                scan.index.prefix.iter().zip(&scan.prefix).all(|(name, wanted)| {
                    match (&values[scan.index.place(name)], wanted) {
                        (Value::Text(found), Value::Text(wanted)) => found.starts_with(wanted.as_str()),
                        (found, wanted) => found == wanted,
                    }
                })
            };
            Ok(rows.into_iter().filter(fits).take(scan.limit).collect())
        }
        UnreadableStops => {
            let rows = reader.scan(scan)?;
            match reader.unreadable().pop() {
                Some(row) => Err(row.into_error()),
                None => Ok(rows),
            }
        }
        _ => reader.scan(scan),
    }
}

fn events(defect: Defect, reader: &dyn Reader, after: u64, limit: usize) -> Result<Vec<Event>> {
    match defect {
        EventsHoldTheirPlace => reader.events(after.saturating_sub(1), limit),
        EventsAreOrderedByTime => {
            let mut events = reader.events(after, limit)?;
            events.sort_by_key(|event| event.at);
            Ok(events)
        }
        _ => reader.events(after, limit),
    }
}

fn search(defect: Defect, reader: &dyn Reader, search: &Search) -> Result<Vec<Row>> {
    match defect {
        SearchForgetsTexts => reader.search(&Search { title_only: true, ..search.clone() }),
        SearchIgnoresItsPlace => {
            search.check()?;
            reader.search(&Search { after: None, limit: search.limit.min(10_000), ..search.clone() })
        }
        SearchIsOldestFirst => Ok(reader.search(search)?.into_iter().rev().collect()),
        _ => reader.search(search),
    }
}

fn events_of(defect: Defect, reader: &dyn Reader, subject: &str, after: u64, limit: usize) -> Result<Vec<Event>> {
    if defect != SubjectIsAPrefix {
        return reader.events_of(subject, after, limit);
    }
    let events = reader.events(after, usize::MAX)?;
    Ok(events.into_iter().filter(|event| event.subject.starts_with(subject)).take(limit).collect())
}

fn values(defect: Defect, inner: &dyn Reader, key: &Key) -> Result<Option<Vec<Raw>>> {
    match defect {
        ValuesAreThoseOfRows => {
            let row = inner.get(key)?;
            Ok(row.map(|row| row.to_values().into_iter().map(Raw::Value).collect()))
        }
        _ => inner.values(&key_of(defect, key)),
    }
}

struct View<'c> {
    defect: Defect,
    inner: Box<dyn Reader + 'c>,
    again: Again,
}

impl Reader for View<'_> {
    fn get(&self, key: &Key) -> Result<Option<Row>> {
        let key = key_of(self.defect, key);
        if self.defect == SnapshotsMove {
            return self.again.look(|reader| reader.get(&key));
        }
        let found = self.inner.get(&key);
        if self.defect == UnreadableIsForgotten {
            self.inner.unreadable();
        }
        found
    }
    fn scan(&self, asked: &Scan) -> Result<Vec<Row>> {
        if self.defect == SnapshotsMove {
            return self.again.look(|reader| reader.scan(asked));
        }
        scan(self.defect, &*self.inner, asked)
    }
    fn scan_packed(&self, asked: &Scan) -> Result<Packed> {
        let limit = if self.defect == PackedForgetsItsLimit { 1_000 } else { asked.limit };
        Ok(Packed::of(asked.index.kind, &self.scan(&Scan { limit, ..asked.clone() })?))
    }
    fn values(&self, key: &Key) -> Result<Option<Vec<Raw>>> {
        values(self.defect, &*self.inner, key)
    }
    fn scan_back(&self, asked: &Scan, before: Option<&Position>) -> Result<Vec<Row>> {
        self.inner.scan_back(asked, before.filter(|_| self.defect != ScanBackBeginsAnew))
    }
    fn unreadable(&self) -> Vec<Unreadable> {
        self.inner.unreadable()
    }
    fn head(&self) -> Result<Head> {
        self.inner.head()
    }
    fn events(&self, after: u64, limit: usize) -> Result<Vec<Event>> {
        events(self.defect, &*self.inner, after, limit)
    }
    fn count(&self, scan: &Scan) -> Result<u64> {
        let count = self.inner.count(scan)?;
        Ok(if self.defect == CountStopsAtTheLimit { count.min(scan.limit as u64) } else { count })
    }
    fn tally(&self, scan: &Scan, columns: &[&'static str]) -> Result<Tally> {
        let tally = self.inner.tally(scan, columns)?;
        Ok(if self.defect == TallyCountsEachOnce {
            tally.into_keys().map(|values| (values, 1)).collect()
        } else {
            tally
        })
    }
    fn search(&self, asked: &Search) -> Result<Vec<Row>> {
        search(self.defect, &*self.inner, asked)
    }
    fn events_of(&self, subject: &str, after: u64, limit: usize) -> Result<Vec<Event>> {
        events_of(self.defect, &*self.inner, subject, after, limit)
    }
}

/// What a transaction did behind its savepoint.
enum Step {
    Put(Box<Row>),
    Delete(Key),
    Append(Vec<Event>),
}

struct WrongTxn<'c> {
    defect: Defect,
    inner: Option<Box<dyn Txn + 'c>>,
    again: Again,
    done: Vec<Step>,
    marked: bool,
    is_guessing: bool,
}

impl WrongTxn<'_> {
    fn inner(&self) -> &dyn Txn {
        &**self.inner.as_ref().expect("it has not ended")
    }
    fn inner_mut(&mut self) -> &mut dyn Txn {
        &mut **self.inner.as_mut().expect("it has not ended")
    }
}

impl Reader for WrongTxn<'_> {
    fn get(&self, key: &Key) -> Result<Option<Row>> {
        if self.defect == WriterReadsTheLast {
            return self.again.look(|reader| reader.get(key));
        }
        if self.is_guessing {
            return Ok(None);
        }
        self.inner().get(&key_of(self.defect, key))
    }
    fn scan(&self, asked: &Scan) -> Result<Vec<Row>> {
        if self.defect == WriterReadsTheLast {
            return self.again.look(|reader| reader.scan(asked));
        }
        scan(self.defect, self.inner().as_reader(), asked)
    }
    fn values(&self, key: &Key) -> Result<Option<Vec<Raw>>> {
        values(self.defect, self.inner().as_reader(), key)
    }
    fn unreadable(&self) -> Vec<Unreadable> {
        self.inner().unreadable()
    }
    fn head(&self) -> Result<Head> {
        self.inner().head()
    }
    fn events(&self, after: u64, limit: usize) -> Result<Vec<Event>> {
        events(self.defect, self.inner().as_reader(), after, limit)
    }
}

impl Txn for WrongTxn<'_> {
    fn put(&mut self, row: &Row) -> Result<()> {
        let row = stored(self.defect, row);
        let mut values = row.to_values();
        let key = key_of(self.defect, &row.key());
        values[..key.values.len()].clone_from_slice(&key.values);
        let row = key.kind.decode(&values).unwrap_or(row);
        if self.defect == PutKeepsTheOldRow && self.inner().get(&key)?.is_some() {
            return Ok(());
        }
        self.done.push(Step::Put(Box::new(row.clone())));
        self.inner_mut().put(&row)
    }
    fn put_new(&mut self, rows: &[Arc<Row>]) -> Result<()> {
        let kept = rows.len() - usize::from(self.defect == NewRowsLoseTheLast);
        rows[..kept].iter().try_for_each(|row| self.put(row))
    }
    fn guess(&mut self) -> Result<()> {
        self.is_guessing = self.defect == GuessesStand;
        Ok(())
    }
    fn confirm(&mut self) -> Result<bool> {
        self.is_guessing = false;
        Ok(true)
    }
    fn put_values(&mut self, kind: RowKind, values: &[Value]) -> Result<()> {
        self.inner_mut().put_values(kind, values)
    }
    fn delete(&mut self, key: &Key) -> Result<()> {
        if self.defect == DeleteTakesLabels && key.kind == RowKind::Bead {
            let labels = Scan::new(&crate::store::index::LABELS, key.values.clone(), 1_000);
            for label in self.inner().scan(&labels)? {
                self.inner_mut().delete(&label.key())?;
            }
        }
        let key = key_of(self.defect, key);
        self.done.push(Step::Delete(key.clone()));
        self.inner_mut().delete(&key)
    }
    fn append(&mut self, events: &[Event]) -> Result<()> {
        let next = self.inner().head()?.seq + 1;
        let mut events = events.to_vec();
        if matches!(self.defect, AppendTakesGaps) {
            for (event, seq) in events.iter_mut().zip(next..) {
                event.seq = seq;
            }
        }
        self.done.push(Step::Append(events.clone()));
        self.inner_mut().append(&events)
    }
    fn truncate_events(&mut self, through: u64) -> Result<()> {
        self.inner_mut().truncate_events(through)
    }
    fn savepoint(&mut self) -> Result<()> {
        if self.defect == SavepointIsTheFirst && self.marked {
            return Ok(());
        }
        self.marked = true;
        self.done.clear();
        self.inner_mut().savepoint()
    }
    fn rollback_to_savepoint(&mut self) -> Result<()> {
        self.inner_mut().rollback_to_savepoint()?;
        let defect = self.defect;
        for step in std::mem::take(&mut self.done) {
            match step {
                Step::Put(row) if defect == SavepointKeepsRows => self.inner_mut().put(&row)?,
                Step::Delete(key) if defect == SavepointKeepsDeletions => self.inner_mut().delete(&key)?,
                Step::Append(events) if defect == SavepointKeepsEvents => self.inner_mut().append(&events)?,
                _ => {}
            }
        }
        Ok(())
    }
    fn commit(mut self: Box<Self>) -> Result<()> {
        let inner = self.inner.take().expect("it has not ended");
        if self.defect == CommitForgets { Ok(()) } else { inner.commit() }
    }
    fn as_reader(&self) -> &dyn Reader {
        self
    }
}

impl Drop for WrongTxn<'_> {
    fn drop(&mut self) {
        let inner = self.inner.take();
        if self.defect == DropCommits
            && let Some(inner) = inner
        {
            inner.commit().unwrap();
        }
    }
}
