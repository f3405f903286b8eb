//! What the town is measured against: writers that know the rows already and do nothing but write them.
//!
//! They write exactly the rows that a town wrote for the same commands (bead, texts, journal entry) into the same
//! schema with the same indexes, through connections set up as the store's own, with prepared statements. They read
//! nothing, check nothing, and make neither JSON nor hashes.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, OnceLock};
use std::time::{Duration, Instant};

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use tokio::sync::{mpsc, oneshot};

use crate::measure::{Turn, drive};

/// The most commands of one transaction, as in the store.
pub(crate) const BATCH: usize = 128;

/// What is done to a bead: each command is one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Verb {
    Create,
    Claim,
    Close,
}

impl Verb {
    /// In the order in which they can happen to a bead.
    pub const ALL: [Self; 3] = [Self::Create, Self::Claim, Self::Close];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Claim => "claim",
            Self::Close => "close",
        }
    }
}

/// The rows that a town wrote for each command.
#[derive(Debug)]
pub struct Script {
    commands: [Vec<Rows>; 3],
}

impl Script {
    /// Reads what a town wrote into its file: for each bead a create, a claim and a close, in this order.
    pub fn read(file: &Path) -> Self {
        let db = Connection::open(file).expect("the file opens");
        let mut commands = [Vec::new(), Vec::new(), Vec::new()];
        let events = rows(&db, "SELECT * FROM event WHERE town_id = 'town' AND kind LIKE 'bead.%' ORDER BY seq", &[]);
        for event in events {
            let verb = match &event[6] {
                Value::Text(kind) if kind == "bead.created" => Verb::Create,
                Value::Text(kind) if kind == "bead.claimed" => Verb::Claim,
                _ => Verb::Close,
            };
            commands[verb as usize].push(Rows::of(&db, verb, event));
        }
        Self { commands }
    }

    /// What the `n`th command of a verb wrote.
    pub fn command(&self, verb: Verb, n: usize) -> &Rows {
        &self.commands[verb as usize][n]
    }
}

/// What one command wrote.
#[derive(Debug)]
pub struct Rows {
    statements: Vec<(&'static str, Vec<Value>)>,
}

pub(crate) const INSERT_EVENT: &str = "INSERT INTO event VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
const INSERT_TEXT: &str = "INSERT INTO bead_text VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
/// What a claim and a close change, which the town writes alone as well.
const CLAIMED: &str = "SELECT status, assignee, epoch, lease_until, version, updated_at, started_at, town_id, id \
     FROM bead WHERE town_id = 'town' AND id = ?1";
const CLAIM: &str = "UPDATE bead SET status = ?1, assignee = ?2, epoch = ?3, lease_until = ?4, version = ?5, \
     updated_at = ?6, started_at = ?7 WHERE town_id = ?8 AND id = ?9";
const CLOSED: &str = "SELECT status, resolution, assignee, lease_until, version, updated_at, closed_at, town_id, id \
     FROM bead WHERE town_id = 'town' AND id = ?1";
const CLOSE: &str = "UPDATE bead SET status = ?1, resolution = ?2, assignee = ?3, lease_until = ?4, version = ?5, \
     updated_at = ?6, closed_at = ?7 WHERE town_id = ?8 AND id = ?9";

impl Rows {
    /// Made from the bead as it is at the end; each verb gives it what that verb left.
    fn of(db: &Connection, verb: Verb, event: Vec<Value>) -> Self {
        // The eighth column is the subject: the bead.
        let id = [event[7].clone()];
        let one = |sql| rows(db, sql, &id).pop().expect("the bead is there");
        let word = |text: &str| Value::Text(text.to_owned());
        let mut statements = match verb {
            Verb::Create => {
                let mut bead = one("SELECT * FROM bead WHERE town_id = 'town' AND id = ?1");
                let columns = columns(db, "bead");
                let mut set = |name: &str, value: Value| {
                    let place = columns.iter().position(|column| column == name).expect("a column of the bead");
                    bead[place] = value;
                };
                let at = event[2].clone();
                for (name, value) in [
                    ("status", word("open")),
                    ("resolution", Value::Null),
                    ("assignee", Value::Null),
                    ("epoch", Value::Integer(0)),
                    ("lease_until", Value::Null),
                    ("version", Value::Integer(1)),
                    ("updated_at", at),
                    ("started_at", Value::Null),
                    ("closed_at", Value::Null),
                ] {
                    set(name, value);
                }
                // The number that SQLite gives each bead is its own affair.
                let number = columns.iter().position(|column| column == "doc").expect("beads are numbered");
                bead.remove(number);
                vec![
                    (insert_bead(&columns), bead),
                    (INSERT_TEXT, one("SELECT * FROM bead_text WHERE town_id = 'town' AND id = ?1")),
                ]
            }
            Verb::Claim => {
                let mut changed = one(CLAIMED);
                changed[0] = word("in_progress");
                changed[1] = word("tess");
                changed[3] = event[2].clone();
                changed[4] = Value::Integer(2);
                changed[5] = event[2].clone();
                vec![(CLAIM, changed)]
            }
            Verb::Close => vec![(CLOSE, one(CLOSED))],
        };
        statements.push((INSERT_EVENT, event));
        Self { statements }
    }

    pub(crate) fn statements(&self) -> &[(&'static str, Vec<Value>)] {
        &self.statements
    }

    /// Writes them in the present transaction, the journal entry behind the last one.
    pub fn write(&self, db: &Connection, journal: &Journal) {
        for (sql, values) in &self.statements {
            let mut statement = db.prepare_cached(sql).expect("the schema is the town's");
            for (place, value) in (1..).zip(values) {
                statement.raw_bind_parameter(place, value).expect("a value can be bound");
            }
            if *sql == INSERT_EVENT {
                statement.raw_bind_parameter(2, journal.next()).expect("a value can be bound");
            }
            let changed = statement.raw_execute().expect("the row is written");
            assert_eq!(changed, 1, "{sql}");
        }
    }

    /// Writes them in a transaction of their own.
    pub fn commit(&self, db: &Connection, journal: &Journal) {
        run_cached(db, "BEGIN IMMEDIATE");
        self.write(db, journal);
        run_cached(db, "COMMIT");
    }
}

/// Counts the entries of one journal.
#[derive(Debug, Default)]
pub struct Journal(AtomicI64);

impl Journal {
    fn next(&self) -> i64 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// The statement that makes a bead, by the names of its columns.
fn insert_bead(columns: &[String]) -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| {
        let names: Vec<&str> = columns.iter().map(String::as_str).filter(|name| *name != "doc").collect();
        let places: Vec<String> = (1..=names.len()).map(|n| format!("?{n}")).collect();
        format!("INSERT INTO bead ({}) VALUES ({})", names.join(", "), places.join(", "))
    })
}

fn columns(db: &Connection, table: &str) -> Vec<String> {
    let statement = db.prepare_cached(&format!("SELECT * FROM {table}")).expect("the schema is the town's");
    statement.column_names().map(str::to_owned).collect()
}

pub(crate) fn run_cached(db: &Connection, sql: &str) {
    db.prepare_cached(sql).expect("it is SQL").execute([]).expect("it runs");
}

fn rows(db: &Connection, sql: &str, values: &[Value]) -> Vec<Vec<Value>> {
    let mut statement = db.prepare_cached(sql).expect("the schema is the town's");
    let columns = statement.column_count();
    let found = statement
        .query_map(params_from_iter(values), |row| (0..columns).map(|n| row.get(n)).collect())
        .expect("it can be read");
    found.collect::<Result<_, _>>().expect("it can be read")
}

/// A connection set up as the store sets up its own.
pub(crate) fn connect(file: &Path, synchronous: &str) -> Connection {
    let db = Connection::open(file).expect("the file opens");
    db.set_prepared_statement_cache_capacity(64);
    // The callers that have a connection each wait for one another longer than any of them should have to.
    db.busy_timeout(Duration::from_secs(120)).expect("it can be set");
    db.execute_batch(&format!(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = {synchronous}; PRAGMA foreign_keys = ON; \
         PRAGMA cache_size = -16384; PRAGMA temp_store = MEMORY; PRAGMA mmap_size = 0;",
    ))
    .expect("it can be set up");
    db
}

/// The town's file without the town, and what counts its journal.
#[derive(Debug)]
pub struct Bare {
    file: PathBuf,
    synchronous: &'static str,
    journal: Journal,
}

impl Bare {
    /// A copy of an empty town's file.
    pub fn new(file: &Path, synchronous: &'static str) -> Self {
        let db = connect(file, synchronous);
        db.execute_batch("DELETE FROM event; DELETE FROM town;").expect("the schema is the town's");
        Self { file: file.to_owned(), synchronous, journal: Journal::default() }
    }

    /// One more connection.
    pub fn connect(&self) -> Connection {
        connect(&self.file, self.synchronous)
    }

    /// Commits `count` commands one after the other.
    pub fn one_by_one(&self, db: &Connection, script: &Script, verb: Verb, first: usize, count: usize) -> Turn {
        Turn::of(count, |n| script.command(verb, first + n).commit(db, &self.journal))
    }

    /// Writes `count` commands in one transaction.
    pub fn bulk(&self, db: &Connection, script: &Script, verb: Verb, first: usize, count: usize) -> Turn {
        let begun = Instant::now();
        run_cached(db, "BEGIN IMMEDIATE");
        let turn = Turn::of(count, |n| script.command(verb, first + n).write(db, &self.journal));
        run_cached(db, "COMMIT");
        Turn { all: begun.elapsed(), ..turn }
    }

    /// Commits at most `count` commands for so long, from a thread and a connection of its own for each caller.
    pub fn one_each(
        &self,
        callers: usize,
        script: &Script,
        verb: Verb,
        first: usize,
        count: usize,
        how_long: Duration,
    ) -> Turn {
        let (ready, each) = (Barrier::new(callers + 1), Mutex::new(Vec::with_capacity(count)));
        let (next, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
        let mut begun = Instant::now();
        std::thread::scope(|scope| {
            let caller = || {
                let db = self.connect();
                ready.wait();
                while !is_over.load(Ordering::Relaxed) {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= count {
                        return;
                    }
                    let begun = Instant::now();
                    script.command(verb, first + n).commit(&db, &self.journal);
                    each.lock().expect("no caller panics").push(begun.elapsed());
                }
            };
            let callers: Vec<_> = (0..callers).map(|_| scope.spawn(caller)).collect();
            ready.wait();
            begun = Instant::now();
            while begun.elapsed() < how_long && callers.iter().any(|caller| !caller.is_finished()) {
                std::thread::park_timeout(Duration::from_millis(10));
            }
            is_over.store(true, Ordering::Relaxed);
        });
        let all = begun.elapsed();
        Turn { each: each.into_inner().expect("no caller panics"), all, writer: None }
    }
}

/// A writer thread: what waits goes into one transaction.
#[derive(Debug)]
pub struct Group {
    jobs: mpsc::Sender<Job>,
}

type Job = (Verb, usize, oneshot::Sender<()>);

impl Group {
    /// Starts the thread, whose name is `bare-writer`; it is there when this returns.
    pub fn start(bare: Bare, script: Arc<Script>) -> Self {
        let (jobs, mut waiting) = mpsc::channel::<Job>(1_024);
        let (ready, is_ready) = oneshot::channel();
        let serve = move || {
            let db = bare.connect();
            ready.send(()).expect("the writer is waited for");
            let mut batch: Vec<Job> = Vec::with_capacity(BATCH);
            while let Some(first) = waiting.blocking_recv() {
                batch.push(first);
                while batch.len() < BATCH
                    && let Ok(next) = waiting.try_recv()
                {
                    batch.push(next);
                }
                run_cached(&db, "BEGIN IMMEDIATE");
                for (verb, n, _) in &batch {
                    script.command(*verb, *n).write(&db, &bare.journal);
                }
                run_cached(&db, "COMMIT");
                for (_, _, answer) in batch.drain(..) {
                    // A caller that went away needs no answer.
                    let _ = answer.send(());
                }
            }
        };
        std::thread::Builder::new().name("bare-writer".to_owned()).spawn(serve).expect("a thread can be started");
        is_ready.blocking_recv().expect("the writer starts");
        Self { jobs }
    }

    /// Has it write `count` commands of a verb from `first` on, from so many callers.
    pub async fn drive(&self, callers: usize, count: usize, verb: Verb, first: usize) -> Turn {
        let jobs = self.jobs.clone();
        drive(callers, count, move |n| {
            let jobs = jobs.clone();
            async move {
                let (answer, answered) = oneshot::channel();
                jobs.send((verb, first + n, answer)).await.expect("the writer lives");
                answered.await.expect("the writer lives");
            }
        })
        .await
    }
}
