//! The life of one session: start, output, lease, timeout, stop, the end of everything, the exit record.

#![allow(clippy::disallowed_methods, reason = "a supervisor measures deadlines of a real process")]

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::folder::{Folder, Lease, Plan, now};
use super::launch;
use super::output::{OutputLog, Progress, segment_bytes};
use super::reap::{self, Reach};
use super::tree::{self, ProcessRef};
use crate::failpoint;
use crate::model::{Error, Result, Timestamp};
use crate::runtime::{ExitOutcome, ExitRecord};

/// How many events may wait for the supervisor.
const EVENTS_MAX: usize = 64;
/// How long killed processes may take to go before the record is written without them.
const KILLED_WAIT: Duration = Duration::from_secs(10);
/// How often killed processes are looked for again while none has gone.
const KILL_AGAIN: Duration = Duration::from_millis(500);

/// How much is taken from the pipe after the end; more than a pipe holds.
const LAST_BYTES_MAX: usize = 2 << 20;

/// What wakes the supervisor.
#[derive(Debug)]
pub(super) enum Event {
    /// The agent's main process has ended and is collected; `alone` when it left no child behind that we could see.
    AgentEnded { outcome: ExitOutcome, alone: bool },
    /// Something that the agent left was collected.
    Reaped,
    /// The supervisor has no child any more.
    TreeGone,
    /// Someone asks for the end, perhaps with a grace of their own.
    Stop { grace: Option<Duration> },
}

/// The supervisor's queue.
pub(super) fn events() -> (SyncSender<Event>, Receiver<Event>) {
    sync_channel(EVENTS_MAX)
}

/// Supervises one session to its end, and lets go of its lock last.
///
/// `ready` is called once, when the agent runs or is known not to.
pub(super) fn run(
    folder: &Folder,
    lock: File,
    plan: &Plan,
    (sender, events): (SyncSender<Event>, Receiver<Event>),
    ready: impl FnOnce(),
) -> Result<ExitRecord> {
    let started_at = now();
    let (output, writer) = Output::open(folder, plan).map_err(|error| unavailable("capture the output", error))?;
    let outcome = match launch::launch(plan, writer) {
        Err(reason) => {
            ready();
            ExitOutcome::StartFailed { reason }
        }
        Ok(pid) => {
            let reach = if plan.program.is_some() { Reach::Everything } else { Reach::Agent };
            // Read before anyone can collect it, so the number is still the agent's.
            let agent = ProcessRef::of(pid.as_raw()).unwrap_or(ProcessRef { pid: pid.as_raw(), started: 0 });
            let watched = Watched { folder, plan, agent, reach, started_at, progress: &output.progress };
            let watching = reap::watch(pid, reach, sender)
                .map_err(|error| unavailable("watch the agent", error))
                .and_then(|()| watched.renew_lease());
            if let Err(error) = watching {
                // Nobody could adopt or stop it, so it must not run.
                watched.signal(Signal::SIGKILL);
                return Err(error);
            }
            ready();
            watched.until_gone(&events)
        }
    };
    let (output_bytes, output_dropped_bytes) = output.finish();
    let record = ExitRecord {
        session: plan.session.clone(),
        outcome,
        started_at,
        ended_at: now(),
        output_bytes,
        output_dropped_bytes,
    };
    folder.drop_capability()?;
    failpoint::pass("supervisor.before_exit_record");
    folder.write_exit(&record)?;
    drop(lock);
    Ok(record)
}

/// An agent that was started.
struct Watched<'a> {
    folder: &'a Folder,
    plan: &'a Plan,
    agent: ProcessRef,
    reach: Reach,
    started_at: Timestamp,
    progress: &'a Progress,
}

impl Watched<'_> {
    /// Waits for the agent's end, or brings it about, and then ends whatever is left.
    fn until_gone(&self, events: &Receiver<Event>) -> ExitOutcome {
        let mut cause = None;
        let mut kill_at = None;
        let mut times_out_at =
            self.plan.timeout_ms.map(|timeout| later(Instant::now(), Duration::from_millis(timeout)));
        let lease = Duration::from_millis(self.plan.lease_ms);
        let mut renew_at = later(Instant::now(), lease);
        let mut ask = |kill_at: &mut Option<Instant>, why: ExitOutcome, grace: Duration| {
            let until = later(Instant::now(), grace);
            *kill_at = Some(kill_at.map_or(until, |before: Instant| before.min(until)));
            if cause.is_none() {
                cause = Some(why);
                if !grace.is_zero() {
                    self.signal(Signal::SIGTERM);
                    self.signal(Signal::SIGCONT);
                }
            }
        };
        // A wish from before anybody could know whom to signal.
        if let Some(grace) = self.folder.stop_requested() {
            ask(&mut kill_at, ExitOutcome::Stopped, grace);
        }
        let (outcome, alone) = loop {
            let wake_at = [Some(renew_at), times_out_at, kill_at].into_iter().flatten().min().unwrap_or(renew_at);
            match events.recv_timeout(wake_at.saturating_duration_since(Instant::now())) {
                Ok(Event::AgentEnded { outcome, alone }) => break (outcome, alone),
                Ok(Event::Stop { grace }) => {
                    let grace = grace.or_else(|| self.folder.stop_requested());
                    let own = Duration::from_millis(self.plan.grace_ms);
                    ask(&mut kill_at, ExitOutcome::Stopped, grace.unwrap_or(own));
                }
                Ok(Event::Reaped | Event::TreeGone) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break (ExitOutcome::Lost, false),
            }
            let reached = Instant::now();
            if times_out_at.is_some_and(|at| at <= reached) {
                times_out_at = None;
                ask(&mut kill_at, ExitOutcome::TimedOut, Duration::from_millis(self.plan.grace_ms));
            }
            if kill_at.is_some_and(|at| at <= reached) {
                self.signal(Signal::SIGKILL);
                // Again later, for what it started in this moment.
                kill_at = Some(reached + KILL_AGAIN);
            }
            if renew_at <= reached {
                renew_at = later(reached, lease);
                if let Err(error) = self.renew_lease() {
                    tracing::warn!(session = %self.plan.session, error = %error.chain(), "the lease was not renewed");
                }
            }
        };
        if !alone {
            self.kill_leftovers(events);
        }
        cause.unwrap_or(outcome)
    }

    /// Kills what the agent left until nothing is there; whatever loses its parent becomes our child.
    fn kill_leftovers(&self, events: &Receiver<Event>) {
        let until = Instant::now() + KILLED_WAIT;
        loop {
            let left = self.signal(Signal::SIGKILL);
            let wait = until.saturating_duration_since(Instant::now()).min(KILL_AGAIN);
            match events.recv_timeout(wait) {
                Ok(Event::TreeGone) | Err(RecvTimeoutError::Disconnected) => return,
                _ if wait.is_zero() => {
                    tracing::warn!(session = %self.plan.session, left, "killed processes have not gone");
                    return;
                }
                _ => {}
            }
        }
    }

    fn signal(&self, signal: Signal) -> usize {
        let root = match self.reach {
            Reach::Everything => Pid::this().as_raw(),
            Reach::Agent => self.agent.pid,
        };
        tree::signal_tree(root, self.agent, signal)
    }

    fn renew_lease(&self) -> Result<()> {
        self.folder.write_lease(&Lease {
            boot: tree::boot_id(),
            supervisor: match self.reach {
                Reach::Everything => ProcessRef::of(Pid::this().as_raw()),
                Reach::Agent => None,
            },
            agent: Some(self.agent),
            started_at: self.started_at,
            renewed_at: now(),
            output_bytes: self.progress.bytes(),
            last_output_at: self.progress.last_at(),
        })
    }
}

/// That much later, within a year: a duration may be longer than the clock can count.
fn later(at: Instant, duration: Duration) -> Instant {
    at + duration.min(Duration::from_secs(365 * 24 * 3600))
}

/// The thread that drains the agent's pipes.
struct Output {
    progress: Arc<Progress>,
    /// Closing it ends the thread once the pipes are empty, whoever still holds the other ends.
    cancel: PipeWriter,
    thread: JoinHandle<(u64, u64)>,
}

impl Output {
    fn open(folder: &Folder, plan: &Plan) -> io::Result<(Self, PipeWriter)> {
        let (reader, writer) = io::pipe()?;
        let (cancelled, cancel) = io::pipe()?;
        let progress = Arc::new(Progress::default());
        let log = OutputLog::new(folder.output(), plan.output_bytes_max, plan.segment_bytes, Arc::clone(&progress));
        let mut sources = vec![Source::new(reader, log)?];
        if plan.events_bytes_max > 0 {
            // Open for writing too, so that it does not end when one of its writers goes.
            let pipe = File::options().read(true).write(true).open(folder.events_pipe())?;
            let segment = segment_bytes(plan.events_bytes_max);
            let log = OutputLog::new(folder.events(), plan.events_bytes_max, segment, Arc::default());
            sources.push(Source::new(PipeReader::from(OwnedFd::from(pipe)), log)?);
        }
        let thread = thread::Builder::new()
            .name("gastown-output".into())
            .stack_size(256 << 10)
            .spawn(move || drain(sources, &cancelled))?;
        Ok((Self { progress, cancel, thread }, writer))
    }

    /// Takes what is still in the pipes and answers the totals of the output.
    fn finish(self) -> (u64, u64) {
        drop(self.cancel);
        match self.thread.join() {
            Ok(totals) => totals,
            Err(_) => (self.progress.bytes(), 0),
        }
    }
}

/// A pipe and where it goes.
struct Source {
    pipe: PipeReader,
    log: OutputLog,
    is_open: bool,
    /// How much is still taken once the agent has ended.
    rest: usize,
}

impl Source {
    fn new(pipe: PipeReader, log: OutputLog) -> io::Result<Self> {
        fcntl(pipe.as_fd(), FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        Ok(Self { pipe, log, is_open: true, rest: LAST_BYTES_MAX })
    }

    /// Takes one piece; `false` where there is none now.
    fn take(&mut self, buffer: &mut [u8], is_last: bool) -> bool {
        match self.pipe.read(buffer) {
            Ok(0) => self.is_open = false,
            Ok(count) => {
                self.log.append(&buffer[..count], now());
                if is_last {
                    // Somebody out of reach may go on writing for ever.
                    self.rest = self.rest.saturating_sub(count);
                    self.is_open = self.rest > 0;
                }
                return true;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return true,
            Err(error) => {
                tracing::warn!(%error, "output is not read any more");
                self.is_open = false;
            }
        }
        false
    }
}

/// Takes what comes until the end, and answers the totals of the first source.
fn drain(mut sources: Vec<Source>, cancelled: &PipeReader) -> (u64, u64) {
    let mut buffer = vec![0; 64 << 10];
    let mut is_last = false;
    loop {
        let mut is_idle = true;
        for source in sources.iter_mut().filter(|source| source.is_open) {
            is_idle &= !source.take(&mut buffer, is_last);
        }
        if !is_idle {
            continue;
        }
        if is_last {
            return sources[0].log.totals();
        }
        let mut ends = vec![PollFd::new(cancelled.as_fd(), PollFlags::POLLIN)];
        let open = sources.iter().filter(|source| source.is_open);
        ends.extend(open.map(|source| PollFd::new(source.pipe.as_fd(), PollFlags::POLLIN)));
        match poll(&mut ends, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => {
                tracing::warn!(%error, "output is not read any more");
                return sources[0].log.totals();
            }
        }
        // What was written before the end is in the pipes now.
        is_last = ends[0].revents().is_some_and(|events| !events.is_empty());
    }
}

pub(super) fn unavailable(what: &'static str, error: io::Error) -> Error {
    Error::unavailable("supervisor_failed", format!("the supervisor cannot {what}")).because(error)
}
