//! The one writer: a thread that puts what waits into one transaction and answers after its commit.

#![allow(
    clippy::disallowed_methods,
    reason = "waiting for another process to finish writing has a real deadline, and nothing announces its end; so has \
              looking for the next command before the thread sleeps"
)]

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, oneshot, watch};

use super::listener::raise;
use super::quarantine::Quarantine;
use super::store::{backend_panicked, give_up, guarded, panicked, words_of};
use super::{Access, Backend, Connection, Position, Reader, Scan, Search, StoreOptions, Txn, Unreadable};
use crate::meter::{Meters, Stopwatch, table};
use crate::model::value::{Raw, Value};
use crate::model::{Error, Event, Head, Key, Result, Row, RowKind, TownId, WrittenEvent};

/// The pause before another try where a backend answers `store_busy` at once.
const BUSY_PAUSE: Duration = Duration::from_millis(5);
/// The longest pause before another try where a transaction failed by what may pass.
const AGAIN_PAUSE_MAX: Duration = Duration::from_millis(250);
/// How long the next command is looked for after one that was alone, before the thread sleeps: a caller who waits for each
/// answer asks again within that time, and to wake a thread takes about as long.
const LOOK: Duration = Duration::from_micros(100);
/// How many batches have savepoints after a command had to be undone.
const CAREFUL_BATCHES: u32 = 16;

/// How often a batch is run that rests on what the backend guessed; then once more without guesses.
const GUESSED_RUNS_MAX: usize = 3;

/// What the writer is asked.
pub(super) enum WriteCommand {
    /// Run this.
    Write(Box<dyn WriteJob>),
    /// Do this with the connection, outside any transaction.
    Apart(ApartJob),
    /// Take no more, answer what waits, and end.
    Stop,
}

impl fmt::Debug for WriteCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Write(_) => "Write",
            Self::Apart(_) => "Apart",
            Self::Stop => "Stop",
        })
    }
}

/// What is done with the writer's connection between two transactions; false where it is not to be used again.
pub(super) type ApartJob = Box<dyn FnOnce(Result<&mut dyn Connection>) -> bool + Send>;

/// A command, its result until the commit, and the place for its answer.
pub(super) trait WriteJob: Send {
    /// Whether nobody waits for it any more.
    fn is_abandoned(&self) -> bool;
    /// Runs it and keeps what it answers; a second run replaces the first.
    fn run(&mut self, txn: &mut dyn Txn) -> Result<()>;
    /// Answers what was kept.
    fn succeed(self: Box<Self>);
    /// Answers an error.
    fn fail(self: Box<Self>, error: Error);
}

struct Job<T, F> {
    run: F,
    value: Option<T>,
    answer: oneshot::Sender<Result<T>>,
}

/// A command that runs `job`, and where its answer comes.
pub(super) fn command<T, F>(job: F) -> (WriteCommand, oneshot::Receiver<Result<T>>)
where
    F: FnMut(&mut dyn Txn) -> Result<T> + Send + 'static,
    T: Send + 'static,
{
    let (answer, answered) = oneshot::channel();
    (WriteCommand::Write(Box::new(Job { run: job, value: None, answer })), answered)
}

impl<T, F> WriteJob for Job<T, F>
where
    F: FnMut(&mut dyn Txn) -> Result<T> + Send + 'static,
    T: Send + 'static,
{
    fn is_abandoned(&self) -> bool {
        self.answer.is_closed()
    }

    fn run(&mut self, txn: &mut dyn Txn) -> Result<()> {
        self.value = None;
        self.value = Some((self.run)(txn)?);
        Ok(())
    }

    fn succeed(self: Box<Self>) {
        let Self { run, value, answer } = *self;
        let value = value.ok_or_else(|| Error::internal("command_unrun", "a command was answered before it ran"));
        // Who is answered may be the last who has what the command shared with him.
        drop(run);
        // A caller that went away needs no answer.
        let _ = answer.send(value);
    }

    fn fail(self: Box<Self>, error: Error) {
        let _ = self.answer.send(Err(error));
    }
}

/// What the writer is made of.
pub(super) struct Start {
    pub(super) backend: Arc<dyn Backend>,
    pub(super) town: TownId,
    pub(super) options: StoreOptions,
    pub(super) commands: mpsc::Receiver<WriteCommand>,
    pub(super) commits: watch::Sender<u64>,
    pub(super) quarantine: Arc<Quarantine>,
    pub(super) meters: Arc<Meters>,
    /// Dropped last.
    pub(super) alive: watch::Sender<()>,
    /// Ends when the readers have.
    pub(super) readers: watch::Receiver<()>,
}

/// Starts the writer's thread; `ready` is answered when it has its connection.
pub(super) fn start(start: Start, ready: oneshot::Sender<Result<()>>) -> Result<JoinHandle<()>> {
    thread::Builder::new()
        .name("gastown-writer".to_owned())
        .spawn(move || {
            let Start { backend, town, options, mut commands, commits, quarantine, meters, alive, readers } = start;
            let mut writer = Writer {
                backend,
                town,
                options,
                commits,
                quarantine,
                meters,
                connection: None,
                is_committing: false,
                careful: 0,
            };
            match writer.open() {
                Ok(()) => {
                    if ready.send(Ok(())).is_ok() {
                        writer.serve(&mut commands);
                    }
                }
                Err(error) => drop(ready.send(Err(error))),
            }
            // Refuses new commands before the connection goes, so that nobody waits for an answer that cannot come.
            drop(commands);
            wait_for(readers);
            // The last connection to close is the one that may write: it leaves everything in the main file.
            drop(writer);
            drop(alive);
        })
        .map_err(|source| {
            Error::unavailable("thread_refused", "the writer thread could not be started").because(source)
        })
}

/// Blocks this thread until every sender is dropped.
fn wait_for(mut alive: watch::Receiver<()>) {
    let mut ended = std::pin::pin!(async { while alive.changed().await.is_ok() {} });
    let waker = std::task::Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = std::task::Context::from_waker(&waker);
    while ended.as_mut().poll(&mut context).is_pending() {
        thread::park();
    }
}

struct Unpark(thread::Thread);

impl std::task::Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

type Batch = Vec<Box<dyn WriteJob>>;

/// What became of one try of a batch.
enum Tried {
    /// Everybody was answered.
    Done,
    /// The job at this place spoilt the transaction; it is answered with the error and the others are run again.
    Spoilt(usize, Error),
    /// A job that had no savepoint must be undone; all are run again with savepoints.
    Unsure,
}

/// What became of one run of a batch.
enum Ran {
    /// Each job's outcome; none where nobody waits for it any more.
    All(Vec<Option<Result<()>>>),
    /// The only job failed.
    Alone(Error),
    /// The batch cannot be committed as it is.
    Not(Tried),
}

/// The next command, once there is one; none when there will be no more.
fn next(commands: &mut mpsc::Receiver<WriteCommand>, looks: bool) -> Option<WriteCommand> {
    if looks {
        let until = Instant::now() + LOOK;
        loop {
            match commands.try_recv() {
                Ok(command) => return Some(command),
                Err(TryRecvError::Disconnected) => return None,
                Err(TryRecvError::Empty) if Instant::now() >= until => break,
                Err(TryRecvError::Empty) => std::hint::spin_loop(),
            }
        }
    }
    commands.blocking_recv()
}

struct Writer {
    backend: Arc<dyn Backend>,
    town: TownId,
    options: StoreOptions,
    commits: watch::Sender<u64>,
    quarantine: Arc<Quarantine>,
    meters: Arc<Meters>,
    connection: Option<Box<dyn Connection>>,
    /// Whether the present transaction was told to commit and has not answered.
    is_committing: bool,
    /// How many batches are still to have savepoints.
    ///
    /// A savepoint costs a copy of each page that a command changes, and hardly any command fails once it has written.
    careful: u32,
}

impl Writer {
    /// Connects and learns where the journal ends.
    fn open(&mut self) -> Result<()> {
        let mut connection = self.backend.connect(Access::Write)?;
        let seq = connection.read(&self.town)?.head()?.seq;
        self.commits.send_replace(seq);
        self.connection = Some(connection);
        Ok(())
    }

    fn serve(&mut self, commands: &mut mpsc::Receiver<WriteCommand>) {
        let mut batch = Batch::with_capacity(self.options.batch);
        let may_look = thread::available_parallelism().is_ok_and(|threads| threads.get() > 1);
        let mut was_alone = false;
        while let Some(first) = next(commands, was_alone && may_look) {
            let mut next = Some(first);
            let mut apart = None;
            while let Some(command) = next.take() {
                match command {
                    WriteCommand::Write(job) => batch.push(job),
                    WriteCommand::Apart(job) => {
                        apart = Some(job);
                        break;
                    }
                    WriteCommand::Stop => commands.close(),
                }
                if batch.len() < self.options.batch {
                    next = commands.try_recv().ok();
                }
            }
            was_alone = batch.len() == 1;
            self.run(&mut batch);
            if let Some(job) = apart {
                let connection = guarded(|| self.connected());
                if !job(connection) {
                    give_up(&mut self.connection);
                }
            }
        }
    }

    /// Runs a batch until everybody in it is answered; leaves it empty.
    fn run(&mut self, batch: &mut Batch) {
        let deadline = Instant::now() + self.options.busy();
        let mut pause = BUSY_PAUSE;
        loop {
            batch.retain(|job| !job.is_abandoned());
            if batch.is_empty() {
                return;
            }
            match self.guarded_attempt(batch, deadline) {
                Ok(Tried::Done) => {
                    self.careful = self.careful.saturating_sub(1);
                    return;
                }
                // With savepoints this is not answered again.
                Ok(Tried::Unsure) => self.careful = CAREFUL_BATCHES,
                // One job fewer each time, so this ends.
                Ok(Tried::Spoilt(place, error)) => {
                    give_up(&mut self.connection);
                    batch.remove(place).fail(error);
                }
                // A connection that was lost, or a transaction that met another: nothing of it is there.
                Err(error) if self.backend.is_transient(&error) && Instant::now() + pause < deadline => {
                    tracing::info!(town = %self.town, code = error.code(), "a write transaction is tried again: {}", error.chain());
                    self.meters.count(&table::WRITES_AGAIN, &[error.code()]);
                    give_up(&mut self.connection);
                    thread::sleep(pause);
                    pause = (pause * 2).min(AGAIN_PAUSE_MAX);
                }
                Err(error) => {
                    give_up(&mut self.connection);
                    tracing::warn!(town = %self.town, code = error.code(), commands = batch.len(), "a write transaction failed: {}", error.chain());
                    for job in batch.drain(..) {
                        job.fail(error.clone());
                    }
                    return;
                }
            }
        }
    }

    /// The connection, opened anew where the last one was given up.
    fn connected(&mut self) -> Result<&mut dyn Connection> {
        match &mut self.connection {
            Some(connection) => Ok(&mut **connection),
            none => Ok(&mut **none.insert(self.backend.connect(Access::Write)?)),
        }
    }

    /// The same as [`Writer::attempt`], where a panic of the backend is an error of the transaction.
    fn guarded_attempt(&mut self, batch: &mut Batch, deadline: Instant) -> Result<Tried> {
        self.is_committing = false;
        let tried = catch_unwind(AssertUnwindSafe(|| self.attempt(batch, deadline)));
        tried.unwrap_or_else(|payload| {
            Err(if self.is_committing {
                Error::unavailable("commit_unknown", "the store's backend panicked while it committed")
                    .with("town", &self.town)
                    .with("panic", words_of(&*payload))
            } else {
                backend_panicked(&*payload)
            })
        })
    }

    /// One transaction with every job of the batch; an error is of the transaction, not of a job.
    fn attempt(&mut self, batch: &mut Batch, deadline: Instant) -> Result<Tried> {
        self.connected()?;
        let connection = self.connection.as_mut().expect("it was opened above");
        let mut is_busy = false;
        let mut txn = loop {
            match connection.write(&self.town) {
                Ok(txn) => break txn,
                // Another process's lock tells nobody when it is free.
                Err(error) if error.code() == "store_busy" && Instant::now() < deadline => {
                    if !std::mem::replace(&mut is_busy, true) {
                        self.meters.count(&table::WRITES_AGAIN, &[error.code()]);
                    }
                    thread::sleep(BUSY_PAUSE);
                }
                Err(error) => return Err(error),
            }
        };

        // A command that is alone is undone with its transaction.
        let alone = batch.len() == 1;
        let careful = !alone && self.careful > 0;
        let mut guessed_runs = 0;
        let results = loop {
            let guesses = !alone && !careful && guessed_runs < GUESSED_RUNS_MAX;
            if guesses {
                txn.guess()?;
            }
            let ran = run_each(&*self.backend, &mut *txn, batch, careful)?;
            if guesses && !txn.confirm()? {
                guessed_runs += 1;
                continue;
            }
            match ran {
                Ran::All(results) => break results,
                Ran::Alone(error) => {
                    self.quarantine.collect(txn.as_reader());
                    drop(txn);
                    for job in batch.drain(..) {
                        job.fail(error.clone());
                    }
                    return Ok(Tried::Done);
                }
                Ran::Not(tried) => return Ok(tried),
            }
        };

        self.quarantine.collect(txn.as_reader());
        let seq = txn.head()?.seq;
        self.is_committing = true;
        let began = Stopwatch::start();
        let committed = txn.commit();
        self.is_committing = false;
        match committed {
            Ok(()) => self.meters.measure(&table::COMMIT_DURATION, &[], began.seconds()),
            // It is one job's change that failed, which savepoints show.
            Err(error)
                if !alone && !careful && error.fact("put_off").is_some() && !self.backend.is_transient(&error) =>
            {
                return Ok(Tried::Unsure);
            }
            Err(error) => return Err(error),
        }
        raise(&self.commits, seq);
        for (job, result) in batch.drain(..).zip(results) {
            match result {
                Some(Ok(())) => job.succeed(),
                Some(Err(error)) => job.fail(error),
                None => {}
            }
        }
        Ok(Tried::Done)
    }
}

/// Runs every job of a batch in a transaction; an error is of the transaction, not of a job.
fn run_each(backend: &dyn Backend, txn: &mut dyn Txn, batch: &mut Batch, careful: bool) -> Result<Ran> {
    let alone = batch.len() == 1;
    let mut results: Vec<Option<Result<()>>> = Vec::with_capacity(batch.len());
    for (place, job) in batch.iter_mut().enumerate() {
        if job.is_abandoned() {
            results.push(None);
            continue;
        }
        if careful {
            txn.savepoint()?;
        }
        let mut watched = Watched { txn: &mut *txn, wrote: false };
        let mut outcome = catch_unwind(AssertUnwindSafe(|| job.run(&mut watched)));
        let wrote = watched.wrote;
        if careful && matches!(outcome, Ok(Ok(()))) {
            // What the job put off fails here and not in another.
            outcome = Ok(txn.flush());
        }
        // Whatever the job made of the error that ended the transaction.
        let spoilt = txn.spoilt();
        if let Some(error) = &spoilt {
            if backend.is_transient(error) {
                return Err(error.clone());
            }
            if let Ok(Ok(())) = outcome {
                outcome = Ok(Err(error.clone()));
            }
        }
        let wrote = wrote || spoilt.is_some();
        match outcome {
            Ok(Ok(())) => results.push(Some(Ok(()))),
            Ok(Err(error)) if alone => return Ok(Ran::Alone(error)),
            Ok(Err(error)) if !wrote => results.push(Some(Err(error))),
            Ok(Err(_)) if !careful => return Ok(Ran::Not(Tried::Unsure)),
            Ok(Err(error)) => match txn.rollback_to_savepoint() {
                Ok(()) => results.push(Some(Err(error))),
                // The job's error ended the whole transaction: a full disk does that.
                Err(_) => return Ok(Ran::Not(Tried::Spoilt(place, error))),
            },
            Err(payload) => return Ok(Ran::Not(Tried::Spoilt(place, panicked(&*payload)))),
        }
    }
    Ok(Ran::All(results))
}

/// A transaction that knows whether it was asked to write.
struct Watched<'a> {
    txn: &'a mut dyn Txn,
    wrote: bool,
}

impl Watched<'_> {
    fn writing(&mut self) -> &mut dyn Txn {
        self.wrote = true;
        self.txn
    }
}

impl Reader for Watched<'_> {
    fn get(&self, key: &Key) -> Result<Option<Row>> {
        self.txn.get(key)
    }
    fn get_shared(&self, key: &Key) -> Result<Option<Arc<Row>>> {
        self.txn.get_shared(key)
    }
    fn scan(&self, scan: &Scan) -> Result<Vec<Row>> {
        self.txn.scan(scan)
    }
    fn values(&self, key: &Key) -> Result<Option<Vec<Raw>>> {
        self.txn.values(key)
    }
    fn scan_back(&self, scan: &Scan, before: Option<&Position>) -> Result<Vec<Row>> {
        self.txn.scan_back(scan, before)
    }
    fn unreadable(&self) -> Vec<Unreadable> {
        self.txn.unreadable()
    }
    fn head(&self) -> Result<Head> {
        self.txn.head()
    }
    fn events(&self, after: u64, limit: usize) -> Result<Vec<Event>> {
        self.txn.events(after, limit)
    }
    fn count(&self, scan: &Scan) -> Result<u64> {
        self.txn.count(scan)
    }
    fn search(&self, search: &Search) -> Result<Vec<Row>> {
        self.txn.search(search)
    }
    fn events_of(&self, subject: &str, after: u64, limit: usize) -> Result<Vec<Event>> {
        self.txn.events_of(subject, after, limit)
    }
}

impl Txn for Watched<'_> {
    fn put(&mut self, row: &Row) -> Result<()> {
        self.writing().put(row)
    }
    fn replace(&mut self, before: &Row, after: &Row) -> Result<()> {
        self.writing().replace(before, after)
    }
    fn put_shared(&mut self, before: Option<&Row>, row: &Arc<Row>) -> Result<()> {
        self.writing().put_shared(before, row)
    }
    fn put_new(&mut self, rows: &[Arc<Row>]) -> Result<()> {
        self.writing().put_new(rows)
    }
    fn put_values(&mut self, kind: RowKind, values: &[Value]) -> Result<()> {
        self.writing().put_values(kind, values)
    }
    fn delete(&mut self, key: &Key) -> Result<()> {
        self.writing().delete(key)
    }
    fn append(&mut self, events: &[Event]) -> Result<()> {
        self.writing().append(events)
    }
    fn append_written(&mut self, events: &[WrittenEvent]) -> Result<()> {
        self.writing().append_written(events)
    }
    fn truncate_events(&mut self, through: u64) -> Result<()> {
        self.writing().truncate_events(through)
    }
    fn savepoint(&mut self) -> Result<()> {
        self.writing().savepoint()
    }
    fn rollback_to_savepoint(&mut self) -> Result<()> {
        self.writing().rollback_to_savepoint()
    }
    fn flush(&mut self) -> Result<()> {
        self.txn.flush()
    }
    fn spoilt(&self) -> Option<Error> {
        self.txn.spoilt()
    }
    fn commit(self: Box<Self>) -> Result<()> {
        Err(Error::internal("commit_in_command", "the writer commits, not a command"))
    }
    fn as_reader(&self) -> &dyn Reader {
        self
    }
}
