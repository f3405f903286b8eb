//! No case passes because it found nothing: a backend that takes everything and shows none of it passes hardly any.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{Subject, cases};
use crate::model::value::{Raw, Value};
use crate::model::{Event, Head, Key, Result, Row, RowKind, TownId};
use crate::store::{Access, Backend, Connection, MemoryBackend, Reader, Scan, Txn, Unreadable};

/// Those that pass all the same: they are about a refusal, about what must not be there, about where the journal ends
/// (which it shows, as nobody could append otherwise), or about what this backend has none of.
const ABOUT_NOTHING: &[&str] = &[
    "a_commit_of_rows_alone_is_no_news",
    "a_database_names_its_towns",
    "a_database_of_another_program_is_refused",
    "a_follower_ends_when_its_store_closes",
    "a_newer_schema_is_refused",
    "a_position_of_another_index_is_refused",
    "a_readers_connection_does_not_write",
    "a_store_hears_what_another_commits",
    "a_store_knows_at_once_where_the_journal_ends",
    "a_watch_tells_where_the_journal_of_a_town_ends",
    "an_empty_journal_ends_at_zero",
    "an_empty_town_has_nothing",
    "an_entry_without_a_place_is_refused",
    "an_interrupted_watch_stays_awake",
    "another_process_is_told_of_a_commit",
    "columns_of_another_number_are_refused",
    "events_that_leave_a_gap_are_refused",
    "every_index_has_a_case",
    "every_kind_of_row_has_a_case",
    "every_older_schema_is_migrated_with_what_is_in_it",
    "every_watch_hears_a_commit_that_appended",
    "written_events_that_leave_a_gap_are_refused",
];

/// How many cases are run at a time.
const AT_ONCE: usize = 16;

#[test]
fn a_backend_that_shows_nothing_passes_only_cases_about_nothing() {
    let passed = passed();
    let allowed: BTreeSet<_> = ABOUT_NOTHING.iter().copied().collect();
    assert_eq!(passed.difference(&allowed).collect::<Vec<_>>(), Vec::<&&str>::new(), "these find nothing and pass");
    assert_eq!(allowed.difference(&passed).collect::<Vec<_>>(), Vec::<&&str>::new(), "these need not be named");
}

#[test]
fn the_kit_has_at_least_two_hundred_cases_with_names_of_their_own() {
    let names: BTreeSet<_> = cases().iter().map(|case| case.name).collect();
    assert_eq!(names.len(), cases().len());
    assert!(names.len() >= 200, "{}", names.len());
}

/// The cases that such a backend passes. Several at a time, as some wait for what does not come.
fn passed() -> BTreeSet<&'static str> {
    let (left, passed) = (Mutex::new(cases()), Mutex::new(BTreeSet::new()));
    let next = || left.lock().unwrap().pop();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(case) = next() {
                    let subject = Hollow(MemoryBackend::new().with_busy_timeout(Duration::from_millis(50)));
                    if catch_unwind(AssertUnwindSafe(|| case.run(&subject))).is_ok() {
                        passed.lock().unwrap().insert(case.name);
                    }
                }
            });
        }
    });
    passed.into_inner().unwrap()
}

#[derive(Clone, Debug)]
struct Hollow(MemoryBackend);

impl Subject for Hollow {
    fn backend(&self) -> Arc<dyn Backend> {
        Arc::new(self.clone())
    }
}

impl Backend for Hollow {
    fn name(&self) -> &'static str {
        "hollow"
    }
    fn connect(&self, access: Access) -> Result<Box<dyn Connection>> {
        Ok(Box::new(HollowConnection(self.0.connect(access)?)))
    }
}

struct HollowConnection(Box<dyn Connection>);

impl Connection for HollowConnection {
    fn read(&mut self, town: &TownId) -> Result<Box<dyn Reader + '_>> {
        Ok(Box::new(HollowReader(self.0.read(town)?)))
    }
    fn write(&mut self, town: &TownId) -> Result<Box<dyn Txn + '_>> {
        Ok(Box::new(HollowTxn(self.0.write(town)?)))
    }
}

struct HollowReader<'c>(Box<dyn Reader + 'c>);
struct HollowTxn<'c>(Box<dyn Txn + 'c>);

/// What a hollow backend reads, from the reader that it has.
macro_rules! reads {
    ($type:ident) => {
        impl Reader for $type<'_> {
            fn get(&self, _: &Key) -> Result<Option<Row>> {
                Ok(None)
            }
            fn scan(&self, scan: &Scan) -> Result<Vec<Row>> {
                // It refuses what every backend refuses.
                self.0.scan(scan).map(|_| Vec::new())
            }
            fn values(&self, _: &Key) -> Result<Option<Vec<Raw>>> {
                Ok(None)
            }
            fn unreadable(&self) -> Vec<Unreadable> {
                Vec::new()
            }
            fn head(&self) -> Result<Head> {
                self.0.head()
            }
            fn events(&self, _: u64, _: usize) -> Result<Vec<Event>> {
                Ok(Vec::new())
            }
        }
    };
}
reads!(HollowReader);
reads!(HollowTxn);

impl Txn for HollowTxn<'_> {
    fn put(&mut self, row: &Row) -> Result<()> {
        self.0.put(row)
    }
    fn put_values(&mut self, kind: RowKind, values: &[Value]) -> Result<()> {
        self.0.put_values(kind, values)
    }
    fn delete(&mut self, key: &Key) -> Result<()> {
        self.0.delete(key)
    }
    fn append(&mut self, events: &[Event]) -> Result<()> {
        self.0.append(events)
    }
    fn truncate_events(&mut self, through: u64) -> Result<()> {
        self.0.truncate_events(through)
    }
    fn savepoint(&mut self) -> Result<()> {
        self.0.savepoint()
    }
    fn rollback_to_savepoint(&mut self) -> Result<()> {
        self.0.rollback_to_savepoint()
    }
    fn commit(self: Box<Self>) -> Result<()> {
        self.0.commit()
    }
    fn as_reader(&self) -> &dyn Reader {
        self
    }
}
