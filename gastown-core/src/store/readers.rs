//! The threads that read: each with a connection of its own, a fresh snapshot for each job.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use tokio::sync::{mpsc, oneshot, watch};

use super::quarantine::Quarantine;
use super::store::panicked;
use super::{Access, Backend, Connection, Reader};
use crate::model::{Error, Result, TownId};

/// What a reader thread is asked.
pub(super) enum ReadCommand {
    /// Run this.
    Read(Box<dyn ReadJob>),
    /// Take no more, answer what waits, and end.
    Stop,
}

impl fmt::Debug for ReadCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read(_) => "Read",
            Self::Stop => "Stop",
        })
    }
}

/// A read and the place for its answer.
pub(super) trait ReadJob: Send {
    /// Whether nobody waits for it any more.
    fn is_abandoned(&self) -> bool;
    /// Runs it and answers; the error is for whoever must mend the connection.
    fn run(self: Box<Self>, reader: Result<&dyn Reader>) -> Result<(), Failed>;
}

/// The connection should be opened anew.
pub(super) struct Failed;

struct Job<T, F> {
    run: F,
    answer: oneshot::Sender<Result<T>>,
}

/// A command that runs `job`, and where its answer comes.
pub(super) fn command<T, F>(job: F) -> (ReadCommand, oneshot::Receiver<Result<T>>)
where
    F: FnOnce(&dyn Reader) -> Result<T> + Send + 'static,
    T: Send + 'static,
{
    let (answer, answered) = oneshot::channel();
    (ReadCommand::Read(Box::new(Job { run: job, answer })), answered)
}

impl<T, F> ReadJob for Job<T, F>
where
    F: FnOnce(&dyn Reader) -> Result<T> + Send + 'static,
    T: Send + 'static,
{
    fn is_abandoned(&self) -> bool {
        self.answer.is_closed()
    }

    fn run(self: Box<Self>, reader: Result<&dyn Reader>) -> Result<(), Failed> {
        let Self { run: job, answer } = *self;
        let (result, outcome) = match reader {
            Err(error) => (Err(error), Err(Failed)),
            Ok(reader) => match catch_unwind(AssertUnwindSafe(|| job(reader))) {
                Ok(result) => (result, Ok(())),
                Err(payload) => (Err(panicked(&*payload)), Err(Failed)),
            },
        };
        // A caller that went away needs no answer.
        let _ = answer.send(result);
        outcome
    }
}

/// What a reader thread is made of.
pub(super) struct Start {
    pub(super) number: usize,
    pub(super) backend: Arc<dyn Backend>,
    pub(super) town: TownId,
    pub(super) commands: Arc<Mutex<mpsc::Receiver<ReadCommand>>>,
    pub(super) quarantine: Arc<Quarantine>,
    /// Dropped last.
    pub(super) alive: watch::Sender<()>,
}

/// Starts a reader thread; `ready` is answered when it has its connection.
pub(super) fn start(start: Start, ready: oneshot::Sender<Result<()>>) -> Result<()> {
    thread::Builder::new()
        .name(format!("gastown-read-{}", start.number))
        .spawn(move || {
            let Start { backend, town, commands, quarantine, alive, .. } = start;
            match backend.connect(Access::Read) {
                Ok(connection) => {
                    if ready.send(Ok(())).is_ok() {
                        serve(&*backend, &town, &commands, &quarantine, connection);
                    }
                }
                Err(error) => drop(ready.send(Err(error))),
            }
            drop(alive);
        })
        .map(drop)
        .map_err(|source| Error::unavailable("thread_refused", "a reader thread could not be started").because(source))
}

fn serve(
    backend: &dyn Backend,
    town: &TownId,
    commands: &Mutex<mpsc::Receiver<ReadCommand>>,
    quarantine: &Quarantine,
    connection: Box<dyn Connection>,
) {
    let mut connection = Some(connection);
    loop {
        let command = {
            let mut commands = commands.lock().unwrap_or_else(PoisonError::into_inner);
            match commands.blocking_recv() {
                Some(ReadCommand::Stop) => {
                    commands.close();
                    continue;
                }
                Some(ReadCommand::Read(job)) => job,
                None => return,
            }
        };
        if command.is_abandoned() {
            continue;
        }
        if connection.is_none() {
            match backend.connect(Access::Read) {
                Ok(opened) => connection = Some(opened),
                Err(error) => {
                    let _ = command.run(Err(error));
                    continue;
                }
            }
        }
        let outcome = {
            let line = connection.as_mut().expect("it was opened above");
            match line.read(town) {
                Ok(reader) => {
                    let outcome = command.run(Ok(&*reader));
                    quarantine.collect(&*reader);
                    outcome
                }
                Err(error) => command.run(Err(error)),
            }
        };
        if outcome.is_err() {
            connection = None;
        }
    }
}
