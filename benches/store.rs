//! Durable changes: the town's commands beside a bare loop of commits and a bare writer that groups them.
//!
//! The bare ones write exactly the rows that the town wrote for the same commands (bead, texts, journal entry) into
//! the same schema, with prepared statements and nothing else.

#![allow(missing_docs, clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use gastown_benches::{Contender, Figures, Goal, Options, Report, Turn, drive, interleave};
use gastown_core::model::BeadId;
use gastown_core::store::{Durability, SqliteOptions};
use gastown_core::{Claim, NewBead, Town};
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};

/// The most commands of one transaction, as in the store.
const BATCH: usize = 128;

pub fn main() -> Result<(), String> {
    run(&Options::from_args(std::env::args(), env!("CARGO_TARGET_TMPDIR"))?)
}

pub fn run(options: &Options) -> Result<(), String> {
    let mut report = Report::new("store", options);
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().map_err(|e| e.to_string())?;
    for (durability, word) in [(Durability::Full, "full"), (Durability::Normal, "normal")] {
        for callers in [1, 32, 256] {
            let name = format!("{word}, {callers} callers");
            if options.wants(&name) {
                compare(options, &tokio, durability, callers, &name, &mut report);
            }
        }
    }
    report.finish()
}

fn compare(
    options: &Options,
    tokio: &Runtime,
    durability: Durability,
    callers: usize,
    name: &str,
    report: &mut Report,
) {
    let turns = options.pick(if callers == 1 { 24 } else { 9 }, 1);
    let count = options.pick(if callers == 1 { 20 } else { 768 }, 8);
    let dir = tempfile::tempdir_in(&options.dir).expect("a folder can be made");
    let script = Arc::new(Script::record(tokio, &dir.path().join("script"), turns, count));
    let place = |name: &str| dir.path().join(name);
    let town = tokio.block_on(open(&place("town"), durability));
    let mut beads = Vec::new();
    let single = bare(tokio, &place("single"), durability);
    let group = Group::start(bare(tokio, &place("group"), durability), Arc::clone(&script));

    // Each turn is of one verb: the beads that were created are claimed and then closed.
    let contenders = vec![
        Contender::new("town", |turn| {
            tokio.block_on(ours(&town, VERBS[turn % VERBS.len()], callers, count, &mut beads))
        }),
        Contender::new("bare loop, one commit each", |turn| {
            Turn::of(count, |n| script.commands[turn * count + n].commit(&single))
        }),
        Contender::new("bare writer that groups", |turn| tokio.block_on(group.drive(callers, count, turn * count))),
    ];
    let figures = interleave(turns * VERBS.len(), contenders);
    let goal = if callers == 1 { Goal::Time } else { Goal::Rate };
    for (step, verb) in VERBS.iter().enumerate() {
        let of_verb: Vec<Figures> = figures.iter().map(|all| all.every(VERBS.len(), step)).collect();
        report.case(&format!("{} ({name})", verb.name()), goal, &of_verb);
    }
    tokio.block_on(town.close()).expect("a town closes");
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Create,
    Claim,
    Close,
}

const VERBS: [Verb; 3] = [Verb::Create, Verb::Claim, Verb::Close];

impl Verb {
    const fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Claim => "claim",
            Self::Close => "close",
        }
    }
}

async fn open(dir: &Path, durability: Durability) -> Town {
    let mut sqlite = SqliteOptions::default();
    sqlite.durability = durability;
    Town::builder(dir).sqlite_options(sqlite).open().await.expect("a town opens")
}

fn new_bead(n: usize) -> NewBead {
    NewBead {
        description: "The quay is full of nets and ropes. ".repeat(16),
        ..NewBead::titled(format!("Tidy quay {n}"))
    }
}

/// The town's turn; a create leaves the ids for the turns that follow.
async fn ours(town: &Town, verb: Verb, callers: usize, count: usize, beads: &mut Vec<BeadId>) -> Turn {
    let handle = town.operator().beads();
    match verb {
        Verb::Create => {
            beads.clear();
            let made = Arc::new(std::sync::Mutex::new(Vec::with_capacity(count)));
            let ids = Arc::clone(&made);
            let turn = drive(callers, count, move |n| {
                let (handle, ids) = (handle.clone(), Arc::clone(&ids));
                async move {
                    let bead = handle.create(new_bead(n)).await.expect("a bead is made");
                    ids.lock().expect("no caller panics").push(bead.id);
                }
            })
            .await;
            beads.append(&mut made.lock().expect("no caller panics"));
            turn
        }
        Verb::Claim => {
            let beads = beads.clone();
            drive(callers, count, move |n| {
                let (handle, id) = (handle.clone(), beads[n].clone());
                async move {
                    let claim = Claim { id: Some(id), rig: None, by: "tess".to_owned(), lease_ms: None };
                    handle.claim(claim).await.expect("a bead is claimed");
                }
            })
            .await
        }
        Verb::Close => {
            let beads = beads.clone();
            drive(callers, count, move |n| {
                let (handle, id) = (handle.clone(), beads[n].clone());
                async move {
                    handle.close(id).await.expect("a bead is closed");
                }
            })
            .await
        }
    }
}

/// The rows that the town wrote for each command, in order.
struct Script {
    commands: Vec<Rows>,
}

impl Script {
    /// Has a town run the commands of all turns, and reads what it wrote.
    fn record(tokio: &Runtime, dir: &Path, turns: usize, count: usize) -> Self {
        let town = tokio.block_on(open(dir, Durability::Normal));
        let db = Connection::open(dir.join("town.db")).expect("the file opens");
        let mut commands = Vec::with_capacity(turns * count * VERBS.len());
        let mut seen = 1;
        for _ in 0..turns {
            let mut beads = Vec::with_capacity(count);
            for verb in VERBS {
                tokio.block_on(ours(&town, verb, 64, count, &mut beads));
                let events = rows(
                    &db,
                    "SELECT * FROM event WHERE town_id = 'town' AND seq > ?1 ORDER BY seq",
                    &[Value::Integer(seen)],
                );
                seen += i64::try_from(events.len()).expect("a count");
                commands.extend(events.into_iter().map(|event| Rows::of(&db, verb, event)));
            }
        }
        tokio.block_on(town.close()).expect("a town closes");
        Self { commands }
    }
}

/// What one command wrote.
struct Rows {
    statements: Vec<(&'static str, Vec<Value>)>,
}

const INSERT_EVENT: &str = "INSERT INTO event VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
const INSERT_TEXT: &str = "INSERT INTO bead_text VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
const INSERT_BEAD: &str = "INSERT INTO bead VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, \
     ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29, ?30, ?31, ?32, ?33, ?34, ?35, ?36)";
const CHANGED: &str = "SELECT status, resolution, assignee, epoch, lease_until, version, updated_at, closed_at, town_id, \
     id FROM bead WHERE town_id = 'town' AND id = ?1";
const UPDATE: &str = "UPDATE bead SET status = ?1, resolution = ?2, assignee = ?3, epoch = ?4, lease_until = ?5, \
     version = ?6, updated_at = ?7, closed_at = ?8 WHERE town_id = ?9 AND id = ?10 AND version = ?6 - 1";

impl Rows {
    fn of(db: &Connection, verb: Verb, event: Vec<Value>) -> Self {
        // The eighth column is the subject: the bead.
        let id = [event[7].clone()];
        let one = |sql| rows(db, sql, &id).pop().expect("the bead is there");
        let mut statements = match verb {
            Verb::Create => vec![
                (INSERT_BEAD, one("SELECT * FROM bead WHERE town_id = 'town' AND id = ?1")),
                (INSERT_TEXT, one("SELECT * FROM bead_text WHERE town_id = 'town' AND id = ?1")),
            ],
            Verb::Claim | Verb::Close => vec![(UPDATE, one(CHANGED))],
        };
        statements.push((INSERT_EVENT, event));
        Self { statements }
    }

    fn write(&self, db: &Connection) {
        for (sql, values) in &self.statements {
            let mut statement = db.prepare_cached(sql).expect("the schema is the town's");
            let changed = statement.execute(params_from_iter(values)).expect("the row is written");
            assert_eq!(changed, 1, "{sql}");
        }
    }

    fn commit(&self, db: &Connection) {
        run_cached(db, "BEGIN IMMEDIATE");
        self.write(db);
        run_cached(db, "COMMIT");
    }
}

fn run_cached(db: &Connection, sql: &str) {
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

/// A connection to a file with the town's schema and no town in it, set up as the store sets up its own.
fn bare(tokio: &Runtime, dir: &Path, durability: Durability) -> Connection {
    tokio.block_on(async { open(dir, durability).await.close().await }).expect("a town closes");
    let file: PathBuf = dir.join("town.db");
    let db = Connection::open(file).expect("the file opens");
    let synchronous = if durability == Durability::Full { "FULL" } else { "NORMAL" };
    db.execute_batch(&format!(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = {synchronous}; PRAGMA foreign_keys = ON; \
         PRAGMA cache_size = -16384; PRAGMA temp_store = MEMORY; PRAGMA mmap_size = 0; DELETE FROM event; DELETE FROM town;",
    ))
    .expect("it can be set up");
    db
}

/// A writer thread: what waits goes into one transaction.
struct Group {
    jobs: mpsc::Sender<Job>,
}

type Job = (usize, oneshot::Sender<()>);

impl Group {
    fn start(db: Connection, script: Arc<Script>) -> Self {
        let (jobs, mut waiting) = mpsc::channel::<Job>(1_024);
        std::thread::spawn(move || {
            let mut batch: Vec<Job> = Vec::with_capacity(BATCH);
            while let Some(first) = waiting.blocking_recv() {
                batch.push(first);
                while batch.len() < BATCH
                    && let Ok(next) = waiting.try_recv()
                {
                    batch.push(next);
                }
                run_cached(&db, "BEGIN IMMEDIATE");
                for (n, _) in &batch {
                    script.commands[*n].write(&db);
                }
                run_cached(&db, "COMMIT");
                for (_, answer) in batch.drain(..) {
                    // A caller that went away needs no answer.
                    let _ = answer.send(());
                }
            }
        });
        Self { jobs }
    }

    async fn drive(&self, callers: usize, count: usize, first: usize) -> Turn {
        let jobs = self.jobs.clone();
        drive(callers, count, move |n| {
            let jobs = jobs.clone();
            async move {
                let (answer, answered) = oneshot::channel();
                jobs.send((first + n, answer)).await.expect("the writer lives");
                answered.await.expect("the writer lives");
            }
        })
        .await
    }
}
