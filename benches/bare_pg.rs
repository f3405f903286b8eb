//! What the town on Postgres is measured against: clients that know the rows already and do nothing but write them.
//!
//! They write the rows that a town wrote for the same commands (see [`crate::bare`]) into the same schema, through the
//! client library that the store uses, with prepared statements. What belongs to one transaction is sent at once, `BEGIN`
//! and `COMMIT` with it, so a transaction waits for one answer of the server.

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use rusqlite::types::Value;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, NoTls, Statement};

use crate::bare::{BATCH, INSERT_EVENT, Script, Verb};
use crate::measure::{Turn, drive};

type Refused = tokio_postgres::Error;

/// A schema with the town's tables and without the town.
#[derive(Clone, Debug)]
pub struct Bare {
    url: String,
    schema: String,
    journal: Arc<AtomicI64>,
}

/// A connection with its own small runtime, as the store's are.
pub struct Line {
    runtime: Runtime,
    client: Client,
    begin: Statement,
    commit: Statement,
    lock: Statement,
    /// By the text of the statement as SQLite has it.
    statements: Mutex<Vec<(&'static str, Statement)>>,
    journal: Arc<AtomicI64>,
}

impl Bare {
    /// The schema of an empty town, which is closed.
    pub fn new(url: &str, schema: &str) -> Self {
        let bare = Self { url: url.to_owned(), schema: schema.to_owned(), journal: Arc::default() };
        let line = bare.connect();
        line.wait(line.client.batch_execute("DELETE FROM event; DELETE FROM town"));
        bare
    }

    /// One more connection.
    pub fn connect(&self) -> Line {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().expect("a runtime can be made");
        // The parameters of the store are none of the client's.
        let config: Config = self.url.split('?').next().unwrap_or_default().parse().expect("it is a URL");
        let (client, begin, commit, lock) = runtime
            .block_on(async {
                let (client, connection) = config.connect(NoTls).await?;
                tokio::spawn(connection);
                client
                    .batch_execute(&format!(
                        "SET search_path = {}; SET plan_cache_mode = force_generic_plan; SET jit = off",
                        self.schema
                    ))
                    .await?;
                let begin = client.prepare("BEGIN").await?;
                let commit = client.prepare("COMMIT").await?;
                let lock = client.prepare("SELECT pg_advisory_xact_lock(4711)").await?;
                Ok::<_, Refused>((client, begin, commit, lock))
            })
            .expect("the server takes a connection");
        let journal = Arc::clone(&self.journal);
        Line { runtime, client, begin, commit, lock, statements: Mutex::default(), journal }
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
                let line = self.connect();
                ready.wait();
                while !is_over.load(Ordering::Relaxed) {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= count {
                        return;
                    }
                    let begun = Instant::now();
                    line.transact(script, &[(verb, first + n)], true);
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

impl Line {
    fn wait<T>(&self, answer: impl Future<Output = Result<T, Refused>>) -> T {
        self.runtime.block_on(answer).expect("the server does it")
    }

    /// Asks the server for nothing, `count` times.
    pub fn round_trips(&self, count: usize) -> Turn {
        let nothing = self.wait(self.client.prepare("SELECT 1"));
        Turn::of(count, |_| drop(self.wait(self.client.query(&nothing, &[]))))
    }

    fn statement(&self, sql: &'static str) -> Statement {
        let mut known = self.statements.lock().expect("no caller panics");
        if let Some((_, statement)) = known.iter().find(|(text, _)| *text == sql) {
            return statement.clone();
        }
        let statement = self.wait(self.client.prepare(&sql.replace('?', "$")));
        known.push((sql, statement.clone()));
        statement
    }

    /// Commits some commands in one transaction, which is sent at once; `is_locked` where others write as well.
    pub fn transact(&self, script: &Script, commands: &[(Verb, usize)], is_locked: bool) {
        let mut rows: Vec<(Statement, Vec<Cell>)> = Vec::with_capacity(commands.len() * 3);
        for (verb, n) in commands {
            for (sql, values) in script.command(*verb, *n).statements() {
                let mut cells: Vec<Cell> = values.iter().map(Cell::from).collect();
                if *sql == INSERT_EVENT {
                    cells[1] = Cell::Int(Some(self.journal.fetch_add(1, Ordering::Relaxed) + 1));
                }
                rows.push((self.statement(sql), cells));
            }
        }
        let given: Vec<Vec<&(dyn ToSql + Sync)>> =
            rows.iter().map(|(_, cells)| cells.iter().map(Cell::as_sql).collect()).collect();
        let begin = std::iter::once((&self.begin, &[][..]));
        let lock = is_locked.then_some((&self.lock, &[][..]));
        let writes = rows.iter().zip(&given).map(|((statement, _), given)| (statement, &given[..]));
        let end = std::iter::once((&self.commit, &[][..]));
        let all = begin.chain(lock).chain(writes).chain(end);
        self.wait(try_join_all(all.map(|(statement, given)| self.client.execute(statement, given))));
    }

    /// Commits `count` commands one after the other.
    pub fn one_by_one(&self, script: &Script, verb: Verb, first: usize, count: usize) -> Turn {
        Turn::of(count, |n| self.transact(script, &[(verb, first + n)], false))
    }

    /// Writes `count` commands in one transaction.
    pub fn bulk(&self, script: &Script, verb: Verb, first: usize, count: usize) -> Turn {
        let begun = Instant::now();
        let commands: Vec<_> = (first..first + count).map(|n| (verb, n)).collect();
        self.transact(script, &commands, false);
        let all = begun.elapsed();
        Turn { each: vec![all / u32::try_from(count).unwrap_or(1); count], all, writer: None }
    }
}

/// A value as the server takes it.
enum Cell {
    Int(Option<i64>),
    Text(String),
    Null,
}

impl From<&Value> for Cell {
    fn from(value: &Value) -> Self {
        match value {
            Value::Integer(n) => Self::Int(Some(*n)),
            Value::Text(text) => Self::Text(text.clone()),
            Value::Null | Value::Real(_) | Value::Blob(_) => Self::Null,
        }
    }
}

impl Cell {
    fn as_sql(&self) -> &(dyn ToSql + Sync) {
        match self {
            Self::Int(n) => n,
            Self::Text(text) => text,
            Self::Null => &Nothing,
        }
    }
}

/// A null of any type.
#[derive(Debug)]
struct Nothing;

impl ToSql for Nothing {
    fn to_sql(
        &self,
        _: &tokio_postgres::types::Type,
        _: &mut tokio_postgres::types::private::BytesMut,
    ) -> Result<tokio_postgres::types::IsNull, Box<dyn std::error::Error + Sync + Send>> {
        Ok(tokio_postgres::types::IsNull::Yes)
    }

    fn accepts(_: &tokio_postgres::types::Type) -> bool {
        true
    }

    tokio_postgres::types::to_sql_checked!();
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
            let line = bare.connect();
            ready.send(()).expect("the writer is waited for");
            let mut batch: Vec<Job> = Vec::with_capacity(BATCH);
            while let Some(first) = waiting.blocking_recv() {
                batch.push(first);
                while batch.len() < BATCH
                    && let Ok(next) = waiting.try_recv()
                {
                    batch.push(next);
                }
                let commands: Vec<_> = batch.iter().map(|(verb, n, _)| (*verb, *n)).collect();
                line.transact(&script, &commands, false);
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
