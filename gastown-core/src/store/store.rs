//! The async handle over one town of one backend.

#![cfg_attr(
    not(feature = "testkit"),
    allow(clippy::infallible_destructuring_match, reason = "with simulations there are two kinds of stores")
)]

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use super::listener::{self, Listener};
use super::quarantine::Quarantine;
use super::readers::{self, ReadCommand};
use super::writer::{self, ApartJob, WriteCommand};
use super::{Access, Backend, Connection, Description, Reader, Txn, Unreadable};
use crate::meter::{Meters, Stopwatch, table};
use crate::model::{Error, Result, TownId};

/// The most threads that read for long at one time, each with a connection of its own; further callers wait.
const ASIDES_MAX: usize = 2;

/// The most threads that read.
pub const READERS_MAX: usize = 64;
/// The most commands, and the most reads, that may wait.
const QUEUE_MAX: usize = 1 << 20;
/// The most commands of one transaction.
const BATCH_MAX: usize = 1 << 16;

/// How a [`Store`] uses its backend.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StoreOptions {
    /// Threads that read, each with a connection of its own; 1 to [`READERS_MAX`].
    pub readers: usize,
    /// Commands that may wait for the writer, and as many reads; further callers wait to get in. 1 to 1,048,576.
    pub queue: usize,
    /// The most commands of one transaction; 1 to 65,536.
    pub batch: usize,
    /// How long a batch tries to begin while another process writes, and how long a batch or a read is tried again
    /// whose connection was lost, in milliseconds.
    pub busy_ms: u64,
    /// How often to look for commits of other stores and processes that were not heard of, in milliseconds.
    pub check_ms: u64,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self { readers: 2, queue: 1_024, batch: 128, busy_ms: 10_000, check_ms: 30_000 }
    }
}

impl StoreOptions {
    fn check(&self) -> Result<()> {
        let check_ms = usize::try_from(self.check_ms).unwrap_or(usize::MAX);
        let options = [
            ("readers", self.readers, READERS_MAX),
            ("queue", self.queue, QUEUE_MAX),
            ("batch", self.batch, BATCH_MAX),
            ("check_ms", check_ms, usize::MAX),
        ];
        for (name, value, most) in options {
            if value == 0 || value > most {
                let wanted = if value == 0 { "at least 1".to_owned() } else { format!("at most {most}") };
                return Err(Error::invalid("store_option", format!("{name} is {value}, {wanted} is needed"))
                    .with("option", name)
                    .with("found", value));
            }
        }
        Ok(())
    }

    pub(super) fn busy(&self) -> Duration {
        Duration::from_millis(self.busy_ms)
    }
}

/// One town of one backend: commands go through one writer, reads see snapshots beside it.
///
/// Clones share the threads; they end when the last clone is dropped or [`Store::close`] was called.
#[derive(Clone, Debug)]
pub struct Store {
    kind: Kind,
    meters: Arc<Meters>,
}

#[derive(Clone, Debug)]
enum Kind {
    /// With threads of its own.
    Threads(Arc<Shared>),
    /// Without.
    #[cfg(feature = "testkit")]
    Inline(Arc<super::inline::Inline>),
}

#[derive(Debug)]
struct Shared {
    town: TownId,
    writes: mpsc::Sender<WriteCommand>,
    reads: mpsc::Sender<ReadCommand>,
    commits: watch::Receiver<u64>,
    writer_alive: watch::Receiver<()>,
    readers_alive: watch::Receiver<()>,
    /// Cloned by each thread that reads aside, so that it counts as a reader; none once the store closes.
    asides_alive: Mutex<Option<watch::Sender<()>>>,
    asides: Arc<Semaphore>,
    writer: Mutex<Option<JoinHandle<()>>>,
    listener: Listener,
    backend: Arc<dyn Backend>,
    quarantine: Arc<Quarantine>,
}

impl Store {
    /// Opens the town: connects, makes or migrates the schema, and starts the threads: the writer's, the readers'
    /// and the one that hears what others commit.
    ///
    /// Connecting happens on those threads, so the caller's is never blocked. Dropped before it answers, it leaves
    /// nothing running.
    pub async fn open(backend: Arc<dyn Backend>, town: TownId, options: StoreOptions) -> Result<Self> {
        options.check()?;
        let (writes, commands) = mpsc::channel(options.queue);
        let (reads, read_commands) = mpsc::channel(options.queue);
        let (writer_guard, writer_alive) = watch::channel(());
        let (readers_guard, readers_alive) = watch::channel(());
        let (seq, commits) = watch::channel(0);
        let quarantine = Arc::new(Quarantine::default());
        let meters = Arc::new(Meters::new());

        let (opened, is_open) = oneshot::channel();
        let thread = writer::start(
            writer::Start {
                backend: Arc::clone(&backend),
                town: town.clone(),
                options: options.clone(),
                commands,
                commits: seq.clone(),
                quarantine: Arc::clone(&quarantine),
                meters: Arc::clone(&meters),
                alive: writer_guard,
                readers: readers_alive.clone(),
            },
            opened,
        )?;
        is_open.await.map_err(|_| thread_lost("writer"))??;

        let read_commands = Arc::new(Mutex::new(read_commands));
        for number in 0..backend.readers().unwrap_or(options.readers).max(1) {
            let (opened, is_open) = oneshot::channel();
            readers::start(
                readers::Start {
                    number,
                    backend: Arc::clone(&backend),
                    town: town.clone(),
                    busy: options.busy(),
                    commands: Arc::clone(&read_commands),
                    quarantine: Arc::clone(&quarantine),
                    alive: readers_guard.clone(),
                },
                opened,
            )?;
            is_open.await.map_err(|_| thread_lost("reader"))??;
        }
        let (opened, is_open) = oneshot::channel();
        // It reads as well, so the writer's connection outlives it.
        let start = listener::Start {
            backend: Arc::clone(&backend),
            town: town.clone(),
            check: Duration::from_millis(options.check_ms),
            commits: seq,
            alive: readers_guard.clone(),
        };
        let listener = listener::start(start, opened)?;
        is_open.await.map_err(|_| thread_lost("listening"))?;

        let ending = Mutex::new(Some(thread));
        let shared = Shared {
            town,
            writes,
            reads,
            commits,
            writer_alive,
            readers_alive,
            asides_alive: Mutex::new(Some(readers_guard)),
            asides: Arc::new(Semaphore::new(ASIDES_MAX)),
            writer: ending,
            listener,
            backend,
            quarantine,
        };
        Ok(Self { kind: Kind::Threads(Arc::new(shared)), meters })
    }

    /// A store that runs everything in its callers' tasks, one after the other: for simulations.
    ///
    /// # Errors
    /// What the backend answers when it is connected to.
    #[cfg(feature = "testkit")]
    pub fn inline(
        backend: Arc<dyn Backend>,
        town: TownId,
        interference: Arc<dyn super::inline::Interference>,
    ) -> Result<Self> {
        drop(backend.connect(Access::Write)?);
        let inline = super::inline::Inline::new(backend, town, interference);
        Ok(Self { kind: Kind::Inline(Arc::new(inline)), meters: Arc::new(Meters::new()) })
    }

    /// Runs `job` in the next write transaction and answers once it is durable.
    ///
    /// - A job that answers an error leaves nothing; the other commands of its transaction are not touched.
    /// - `job` may be run again from its beginning (when another command of its transaction panics, or fails after it
    ///   wrote; when the connection was lost, or the database asks for another try), on a transaction that holds nothing of the earlier run, so it must not change anything but the
    ///   transaction.
    /// - Dropped before the job began, the job may be left out; once begun it is done whole, as if it had been awaited.
    /// - Waits where [`StoreOptions::queue`] commands wait already.
    ///
    /// # Errors
    /// The job's own, `command_panicked`, `store_closed`, and what the backend answers at the commit.
    pub async fn write<T, F>(&self, job: F) -> Result<T>
    where
        F: FnMut(&mut dyn Txn) -> Result<T> + Send + 'static,
        T: Send + 'static,
    {
        let shared = match &self.kind {
            Kind::Threads(shared) => shared,
            #[cfg(feature = "testkit")]
            Kind::Inline(inline) => return inline.write(job).await,
        };
        let (asked, meters, mut waited) = (Stopwatch::start(), Arc::clone(&self.meters), false);
        let mut job = job;
        let (command, answer) = writer::command(move |txn: &mut dyn Txn| {
            if !std::mem::replace(&mut waited, true) {
                meters.measure(&table::COMMAND_WAIT, &[], asked.seconds());
            }
            job(txn)
        });
        shared.writes.send(command).await.map_err(|_| closed(&shared.town))?;
        answer.await.map_err(|_| closed(&shared.town))?
    }

    /// What is counted of the town.
    pub(crate) fn meters(&self) -> &Arc<Meters> {
        &self.meters
    }

    /// Runs `job` on a fresh snapshot, beside the writer.
    ///
    /// What a write answered before this was called is seen by it. Dropped before the job began, the job is left out.
    /// `job` may be run again from its beginning, on a later snapshot, where the connection was lost under it.
    ///
    /// # Errors
    /// The job's own, `command_panicked`, `store_closed`, and what the backend answers.
    pub async fn read<T, F>(&self, job: F) -> Result<T>
    where
        F: FnMut(&dyn Reader) -> Result<T> + Send + 'static,
        T: Send + 'static,
    {
        let shared = match &self.kind {
            Kind::Threads(shared) => shared,
            #[cfg(feature = "testkit")]
            Kind::Inline(inline) => return inline.read(job).await,
        };
        let (command, answer) = readers::command(job);
        shared.reads.send(command).await.map_err(|_| closed(&shared.town))?;
        answer.await.map_err(|_| closed(&shared.town))?
    }

    /// The journal's last `seq` after the last commit, by whomever, that was heard of; it never falls.
    ///
    /// Watchers are woken by commits that appended to the journal: by those of this store at once, and a moment later
    /// by those of another store or process. Where the system cannot tell of them (SQLite does on Linux), or one was
    /// missed because its process died, they show after [`StoreOptions::check_ms`] or with the next commit here.
    ///
    /// It is 0 until something was committed. The receiver is woken by commits after this call, so take it before reading what it is to follow.
    pub fn commits(&self) -> watch::Receiver<u64> {
        let shared = match &self.kind {
            Kind::Threads(shared) => shared,
            #[cfg(feature = "testkit")]
            Kind::Inline(inline) => return inline.commits(),
        };
        let mut commits = shared.commits.clone();
        commits.mark_unchanged();
        commits
    }

    /// The town.
    pub fn town(&self) -> &TownId {
        let shared = match &self.kind {
            Kind::Threads(shared) => shared,
            #[cfg(feature = "testkit")]
            Kind::Inline(inline) => return &inline.town,
        };
        &shared.town
    }

    /// The backend's name.
    pub fn backend_name(&self) -> &'static str {
        let shared = match &self.kind {
            Kind::Threads(shared) => shared,
            #[cfg(feature = "testkit")]
            Kind::Inline(inline) => return inline.backend.name(),
        };
        shared.backend.name()
    }

    /// The rows that were met and cannot be read, as far as they still are there; at most [`super::UNREADABLE_MAX`].
    pub async fn unreadable(&self) -> Result<Vec<Unreadable>> {
        let quarantine = match &self.kind {
            Kind::Threads(shared) => Arc::clone(&shared.quarantine),
            #[cfg(feature = "testkit")]
            Kind::Inline(inline) => Arc::clone(&inline.quarantine),
        };
        self.read(move |reader| Ok(quarantine.still(reader))).await
    }

    /// Names the towns of the database, the first `limit` of them; none where the backend cannot tell.
    pub async fn towns(&self, limit: usize) -> Result<Option<Vec<TownId>>> {
        let shared = match &self.kind {
            Kind::Threads(shared) => shared,
            #[cfg(feature = "testkit")]
            Kind::Inline(inline) => return inline.aside(|connection| connection.towns(limit)),
        };
        let (job, answered) = apart(move |connection| connection.towns(limit));
        shared.reads.send(ReadCommand::Apart(job)).await.map_err(|_| closed(&shared.town))?;
        answered.await.map_err(|_| closed(&shared.town))?
    }

    /// Says how the database is kept; as cheap as a read, and on a connection that reads use.
    pub async fn describe(&self) -> Result<Description> {
        let shared = match &self.kind {
            Kind::Threads(shared) => shared,
            #[cfg(feature = "testkit")]
            Kind::Inline(inline) => return inline.aside(|connection| connection.describe()),
        };
        let (job, answered) = apart(|connection| connection.describe());
        shared.reads.send(ReadCommand::Apart(job)).await.map_err(|_| closed(&shared.town))?;
        answered.await.map_err(|_| closed(&shared.town))?
    }

    /// Looks for damage in the backend's own structures; see [`Connection::check`].
    pub async fn check(&self) -> Result<Vec<String>> {
        self.aside(|connection| connection.check()).await
    }

    /// Copies the database as it is at one moment into a new file; see [`Connection::copy_to`].
    pub async fn copy_to(&self, path: PathBuf) -> Result<bool> {
        self.aside(move |connection| connection.copy_to(&path)).await
    }

    /// Gives back the space of what was deleted. Commands wait meanwhile; reads go on.
    pub async fn vacuum(&self) -> Result<()> {
        let shared = match &self.kind {
            Kind::Threads(shared) => shared,
            #[cfg(feature = "testkit")]
            Kind::Inline(inline) => return inline.apart(|connection| connection.vacuum()),
        };
        let (job, answered) = apart(|connection| connection.vacuum());
        shared.writes.send(WriteCommand::Apart(job)).await.map_err(|_| closed(&shared.town))?;
        answered.await.map_err(|_| closed(&shared.town))?
    }

    /// Runs `job` on a fresh snapshot with a connection and a thread of its own: for what reads for long.
    ///
    /// At most two of these, of [`Store::check`] and of [`Store::copy_to`] run at one time; further callers wait.
    ///
    /// # Errors
    /// The job's own, `command_panicked`, `store_closed`, and what the backend answers.
    pub async fn read_aside<T, F>(&self, job: F) -> Result<T>
    where
        F: FnOnce(&dyn Reader) -> Result<T> + Send + 'static,
        T: Send + 'static,
    {
        let shared = match &self.kind {
            Kind::Threads(shared) => shared,
            #[cfg(feature = "testkit")]
            Kind::Inline(inline) => {
                return inline.aside(|connection| job(&*connection.read(&inline.town)?));
            }
        };
        let (town, quarantine) = (shared.town.clone(), Arc::clone(&shared.quarantine));
        self.aside(move |connection| {
            let reader = connection.read(&town)?;
            let result = job(&*reader);
            quarantine.collect(&*reader);
            result
        })
        .await
    }

    /// Runs `job` with a read connection and a thread of its own, so that nobody waits for it.
    ///
    /// Dropped before it answers, the job goes on to its end.
    async fn aside<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut dyn Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let shared = match &self.kind {
            Kind::Threads(shared) => shared,
            #[cfg(feature = "testkit")]
            Kind::Inline(inline) => return inline.aside(job),
        };
        let turn = Arc::clone(&shared.asides).acquire_owned().await.map_err(|_| closed(&shared.town))?;
        let alive = shared.asides_alive.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(alive) = alive else { return Err(closed(&shared.town)) };
        let backend = Arc::clone(&shared.backend);
        let (answer, answered) = oneshot::channel();
        let run = move || {
            let run = || job(&mut *backend.connect(Access::Read)?);
            let done = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|payload| Err(panicked(&*payload)));
            // Its connection is closed by now. A caller that went away needs no answer.
            drop((turn, alive));
            let _ = answer.send(done);
        };
        thread::Builder::new().name("gastown-aside".to_owned()).spawn(run).map_err(|source| {
            Error::unavailable("thread_refused", "a thread for the whole database could not be started").because(source)
        })?;
        answered.await.map_err(|_| thread_lost("aside"))?
    }

    /// How many commands wait for the writer.
    pub fn queue_depth(&self) -> usize {
        let shared = match &self.kind {
            Kind::Threads(shared) => shared,
            #[cfg(feature = "testkit")]
            Kind::Inline(_) => return 0,
        };
        shared.writes.max_capacity() - shared.writes.capacity()
    }

    /// Answers every command and read that waits, ends the threads, and closes the connections, the writer's last.
    ///
    /// It waits for checks, copies and long reads that run; those that wait for their turn answer `store_closed`.
    ///
    /// Later calls answer `store_closed` ([`Unavailable`](crate::ErrorKind::Unavailable)); a second `close` waits for
    /// the first. Dropped before it answers, closing goes on; what it had not asked for yet stays open.
    pub async fn close(&self) -> Result<()> {
        let shared = match &self.kind {
            Kind::Threads(shared) => shared,
            #[cfg(feature = "testkit")]
            Kind::Inline(_) => return Ok(()),
        };
        // A refused one says that they have ended already.
        let _ = shared.reads.send(ReadCommand::Stop).await;
        shared.listener.stop();
        shared.asides.close();
        drop(shared.asides_alive.lock().unwrap_or_else(PoisonError::into_inner).take());
        ended(&shared.readers_alive).await;
        let _ = shared.writes.send(WriteCommand::Stop).await;
        ended(&shared.writer_alive).await;
        let writer = shared.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        match writer.map(JoinHandle::join) {
            Some(Err(_)) => Err(thread_lost("writer")),
            Some(Ok(())) | None => Ok(()),
        }
    }
}

/// A job that does this with a connection, and where its answer comes.
fn apart<T: Send + 'static>(
    run: impl FnOnce(&mut dyn Connection) -> Result<T> + Send + 'static,
) -> (ApartJob, oneshot::Receiver<Result<T>>) {
    let (answer, answered) = oneshot::channel();
    let job = move |connection: Result<&mut dyn Connection>| {
        let done = guarded(|| connection.and_then(run));
        let is_whole = done.is_ok();
        // A caller that went away needs no answer.
        let _ = answer.send(done);
        is_whole
    };
    (Box::new(job), answered)
}

/// Waits until every sender is dropped, which the threads do last.
async fn ended(alive: &watch::Receiver<()>) {
    let mut alive = alive.clone();
    while alive.changed().await.is_ok() {}
}

fn closed(town: &TownId) -> Error {
    Error::unavailable("store_closed", format!("the store of town {town} is closed")).with("town", town)
}

fn thread_lost(which: &'static str) -> Error {
    Error::internal("store_thread", format!("the store's {which} thread ended without an answer")).with("thread", which)
}

pub(super) fn panicked(payload: &(dyn Any + Send)) -> Error {
    Error::internal("command_panicked", "a command panicked and was undone").with("panic", words_of(payload))
}

/// Runs what a backend does; its panic is an error.
pub(super) fn guarded<T>(run: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|payload| Err(backend_panicked(&*payload)))
}

/// Gives a connection up, whatever state it is in.
pub(super) fn give_up(connection: &mut Option<Box<dyn Connection>>) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(connection.take()))) {
        tracing::warn!("a connection could not be closed: {}", backend_panicked(&*payload).chain());
    }
}

pub(super) fn backend_panicked(payload: &(dyn Any + Send)) -> Error {
    Error::internal("backend_panicked", "the store's backend panicked").with("panic", words_of(payload))
}

pub(super) fn words_of(payload: &(dyn Any + Send)) -> String {
    let words = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    crate::model::id::excerpt(words)
}
