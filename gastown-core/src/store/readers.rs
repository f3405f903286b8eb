//! The threads that read: each with a connection of its own, a fresh snapshot for each job.

#![allow(
    clippy::disallowed_methods,
    reason = "a connection that was lost has a real deadline, and nothing announces when the place is back"
)]

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};

use super::quarantine::Quarantine;
use super::store::{give_up, guarded, panicked};
use super::writer::ApartJob;
use super::{Access, Backend, Connection, Reader};
use crate::model::{Error, Result, TownId};

/// The first pause and the longest before another try.
const PAUSE: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_millis(250);

/// What a reader thread is asked.
pub(super) enum ReadCommand {
    /// Run this.
    Read(Box<dyn ReadJob>),
    /// Do this with the connection, outside any snapshot.
    Apart(ApartJob),
    /// Take no more, answer what waits, and end.
    Stop,
}

impl fmt::Debug for ReadCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read(_) => "Read",
            Self::Apart(_) => "Apart",
            Self::Stop => "Stop",
        })
    }
}

/// A read, its result, and the place for its answer.
pub(super) trait ReadJob: Send {
    /// Whether nobody waits for it any more.
    fn is_abandoned(&self) -> bool;
    /// Runs it and keeps its result, of which this is the error; a second run replaces the first.
    fn run(&mut self, reader: &dyn Reader) -> Option<&Error>;
    /// Answers what was kept.
    fn finish(self: Box<Self>);
    /// Answers an error.
    fn fail(self: Box<Self>, error: Error);
}

struct Job<T, F> {
    run: F,
    result: Option<Result<T>>,
    answer: oneshot::Sender<Result<T>>,
}

/// A command that runs `job`, and where its answer comes.
pub(super) fn command<T, F>(job: F) -> (ReadCommand, oneshot::Receiver<Result<T>>)
where
    F: FnMut(&dyn Reader) -> Result<T> + Send + 'static,
    T: Send + 'static,
{
    let (answer, answered) = oneshot::channel();
    (ReadCommand::Read(Box::new(Job { run: job, result: None, answer })), answered)
}

impl<T, F> ReadJob for Job<T, F>
where
    F: FnMut(&dyn Reader) -> Result<T> + Send + 'static,
    T: Send + 'static,
{
    fn is_abandoned(&self) -> bool {
        self.answer.is_closed()
    }

    fn run(&mut self, reader: &dyn Reader) -> Option<&Error> {
        let result = catch_unwind(AssertUnwindSafe(|| (self.run)(reader)));
        self.result.insert(result.unwrap_or_else(|payload| Err(panicked(&*payload)))).as_ref().err()
    }

    fn finish(self: Box<Self>) {
        let unrun = || Err(Error::internal("command_unrun", "a read was answered before it ran"));
        // A caller that went away needs no answer.
        let _ = self.answer.send(self.result.unwrap_or_else(unrun));
    }

    fn fail(self: Box<Self>, error: Error) {
        let _ = self.answer.send(Err(error));
    }
}

/// What a reader thread is made of.
pub(super) struct Start {
    pub(super) number: usize,
    pub(super) backend: Arc<dyn Backend>,
    pub(super) town: TownId,
    /// How long a read is tried again that failed by what may pass.
    pub(super) busy: Duration,
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
            let Start { backend, town, busy, commands, quarantine, alive, .. } = start;
            match backend.connect(Access::Read) {
                Ok(connection) => {
                    if ready.send(Ok(())).is_ok() {
                        let connection = Some(connection);
                        let quarantine = &*quarantine;
                        Readers { backend: &*backend, town: &town, busy, quarantine, connection }.serve(&commands);
                    }
                }
                Err(error) => drop(ready.send(Err(error))),
            }
            drop(alive);
        })
        .map(drop)
        .map_err(|source| Error::unavailable("thread_refused", "a reader thread could not be started").because(source))
}

struct Readers<'a> {
    backend: &'a dyn Backend,
    town: &'a TownId,
    busy: Duration,
    quarantine: &'a Quarantine,
    connection: Option<Box<dyn Connection>>,
}

impl Readers<'_> {
    fn serve(&mut self, commands: &Mutex<mpsc::Receiver<ReadCommand>>) {
        loop {
            let command = {
                let mut commands = commands.lock().unwrap_or_else(PoisonError::into_inner);
                match commands.blocking_recv() {
                    Some(ReadCommand::Stop) => {
                        commands.close();
                        continue;
                    }
                    Some(command) => command,
                    None => return,
                }
            };
            match command {
                ReadCommand::Read(job) => self.answer(job),
                ReadCommand::Apart(job) => {
                    if !job(guarded(|| self.connected())) {
                        give_up(&mut self.connection);
                    }
                }
                // It was taken above.
                ReadCommand::Stop => {}
            }
        }
    }

    /// The connection, opened anew where the last one was given up.
    fn connected(&mut self) -> Result<&mut dyn Connection> {
        match &mut self.connection {
            Some(connection) => Ok(&mut **connection),
            none => Ok(&mut **none.insert(self.backend.connect(Access::Read)?)),
        }
    }

    /// Runs a read until it has an answer.
    fn answer(&mut self, mut job: Box<dyn ReadJob>) {
        let deadline = Instant::now() + self.busy;
        let mut pause = PAUSE;
        while !job.is_abandoned() {
            match guarded(|| self.attempt(&mut *job)) {
                Ok(()) => return job.finish(),
                Err(error) => {
                    give_up(&mut self.connection);
                    if !self.backend.is_transient(&error) || Instant::now() + pause >= deadline {
                        return job.fail(error);
                    }
                    thread::sleep(pause);
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
    }

    /// One snapshot for the job; an error is of the connection, or one of the job that may pass.
    fn attempt(&mut self, job: &mut dyn ReadJob) -> Result<()> {
        let (town, quarantine) = (self.town, self.quarantine);
        let error = {
            let reader = self.connected()?.read(town)?;
            let error = job.run(&*reader).cloned();
            quarantine.collect(&*reader);
            error
        };
        match error {
            Some(error) if self.backend.is_transient(&error) => Err(error),
            Some(error) if error.code() == "command_panicked" => {
                // Whatever it left in the middle.
                give_up(&mut self.connection);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
