//! A runtime without processes, for tests: a script says what each session prints and how it ends.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

use super::conformance::Act;
use super::{
    Capabilities, ContainerRuntime, ExitOutcome, ExitRecord, OutputChunk, SessionSpec, SessionState, SessionStatus,
};
use crate::model::{Error, OutputStream, Result, SessionId, Timestamp};

/// What one scripted session does.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Script {
    /// What it prints at once.
    pub output: Vec<u8>,
    /// How it ends at once; without one it runs until it is stopped, finished, or out of time.
    pub outcome: Option<ExitOutcome>,
    /// The structured events it writes at once, as lines.
    pub events: Vec<u8>,
    /// What it prints when it is asked to stop; without one it does not hear the asking.
    pub last_words: Option<Vec<u8>>,
}

impl Script {
    /// Ends at once.
    pub fn ends(outcome: ExitOutcome) -> Self {
        Self { outcome: Some(outcome), ..Self::hangs() }
    }

    /// Runs until it is stopped, finished, or out of time.
    pub fn hangs() -> Self {
        Self { output: Vec::new(), events: Vec::new(), outcome: None, last_words: Some(Vec::new()) }
    }

    /// Prints this first.
    #[must_use]
    pub fn prints(mut self, output: impl Into<Vec<u8>>) -> Self {
        self.output = output.into();
        self
    }

    /// Writes these lines of events.
    #[must_use]
    pub fn tells(mut self, events: impl Into<Vec<u8>>) -> Self {
        self.events = events.into();
        self
    }

    /// What the act does, as far as that can be without a process.
    pub fn of(act: &Act) -> Self {
        let done = Self::ends(ExitOutcome::Exited { code: 0 });
        let ready = Self::hangs().prints("ready\n");
        match act {
            Act::Exits(code) => Self::ends(ExitOutcome::Exited { code: *code }),
            Act::Dies(signal) => Self::ends(ExitOutcome::Signalled { signal: *signal }),
            Act::Says(text) => done.prints(format!("{text}\n")),
            Act::Tells(lines) => done.tells(lines.clone()),
            Act::PrintsLines(count) => {
                let line = format!("{}\n", "y".repeat(49));
                done.prints(line.repeat(usize::try_from(*count).unwrap_or(usize::MAX)))
            }
            Act::EndsOnTerm => Self { last_words: Some(b"bye\n".to_vec()), ..ready },
            Act::IgnoresTerm => Self { last_words: None, ..ready },
            Act::Hangs | Act::HangsBesideDaemon => ready,
            Act::LeavesChild | Act::LeavesDaemon | Act::Shell(_) => done,
        }
    }
}

type Decide = dyn Fn(&SessionSpec) -> Script + Send + Sync;

/// Runs scripts instead of programs: nothing is started, and its clock counts its own steps.
///
/// Only what a spec or a caller gives as a duration (a timeout, a grace) passes in tokio's time, which a test may pause.
pub struct ScriptedRuntime {
    decide: Box<Decide>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    steps: i64,
    sessions: BTreeMap<SessionId, Scripted>,
}

struct Scripted {
    status: SessionStatus,
    script: Script,
    /// The first half of what is kept, and the end with its offset.
    head: Vec<u8>,
    tail: Vec<u8>,
    tail_offset: u64,
    heard: Vec<Vec<u8>>,
    ended: watch::Sender<bool>,
    /// How much it has printed.
    printed: watch::Sender<u64>,
}

impl ScriptedRuntime {
    /// A runtime whose sessions do what `decide` says when they start.
    ///
    /// It is called once for each session that is started, and may do the agent's work itself.
    pub fn new(decide: impl Fn(&SessionSpec) -> Script + Send + Sync + 'static) -> Self {
        Self { decide: Box::new(decide), state: Arc::default() }
    }

    /// Ends a session that runs; `false` where it does not.
    pub fn finish(&self, session: &SessionId, outcome: ExitOutcome) -> bool {
        lock(&self.state).end(session, outcome)
    }

    /// What was said to a session that is not forgotten, in order.
    pub fn heard(&self, session: &SessionId) -> Vec<Vec<u8>> {
        lock(&self.state).sessions.get(session).map(|known| known.heard.clone()).unwrap_or_default()
    }

    /// Has a session that runs print more; `false` where it does not run.
    pub fn print(&self, session: &SessionId, bytes: &[u8]) -> bool {
        let mut state = lock(&self.state);
        let is_running = state.status(session).state == SessionState::Running;
        if is_running {
            state.print(session, bytes);
        }
        is_running
    }
}

impl fmt::Debug for ScriptedRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptedRuntime").finish_non_exhaustive()
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().expect("nothing panics while it is held")
}

impl State {
    fn now(&mut self) -> Timestamp {
        self.steps += 1;
        Timestamp::from_micros(self.steps)
    }

    fn status(&self, session: &SessionId) -> SessionStatus {
        let known = self.sessions.get(session).map(|known| known.status.clone());
        known.unwrap_or_else(|| SessionStatus::new(session.clone(), SessionState::Absent))
    }

    fn start(&mut self, spec: &SessionSpec, script: Script) {
        let at = self.now();
        let half = usize::try_from(spec.output_bytes_max / 2).unwrap_or(usize::MAX);
        let (head, rest) = script.output.split_at(half.min(script.output.len()));
        let tail = &rest[rest.len().saturating_sub(half)..];
        let mut status = SessionStatus::new(spec.session.clone(), SessionState::Running);
        status.started_at = Some(at);
        status.lease_at = Some(at);
        status.output_bytes = script.output.len() as u64;
        status.last_output_at = (!script.output.is_empty()).then_some(at);
        status.kept_bytes = (head.len() + tail.len() + script.events.len()) as u64;
        status.output_dropped_bytes = (rest.len() - tail.len()) as u64;
        let scripted = Scripted {
            head: head.to_vec(),
            tail: tail.to_vec(),
            tail_offset: (script.output.len() - tail.len()) as u64,
            heard: Vec::new(),
            printed: watch::Sender::new(status.output_bytes),
            status,
            script: Script { output: Vec::new(), ..script.clone() },
            ended: watch::Sender::new(false),
        };
        self.sessions.insert(spec.session.clone(), scripted);
        if let Some(outcome) = script.outcome {
            self.end(&spec.session, outcome);
        }
    }

    fn print(&mut self, session: &SessionId, bytes: &[u8]) {
        let at = self.now();
        let Some(known) = self.sessions.get_mut(session) else { return };
        known.tail.extend(bytes);
        known.status.output_bytes += bytes.len() as u64;
        known.status.kept_bytes += bytes.len() as u64;
        known.status.last_output_at = Some(at);
        known.printed.send_replace(known.status.output_bytes);
    }

    fn end(&mut self, session: &SessionId, outcome: ExitOutcome) -> bool {
        let ended_at = self.now();
        let Some(known) = self.sessions.get_mut(session).filter(|known| known.status.state == SessionState::Running)
        else {
            return false;
        };
        known.status.state = SessionState::Exited(ExitRecord {
            session: session.clone(),
            outcome,
            started_at: known.status.started_at.unwrap_or(ended_at),
            ended_at,
            output_bytes: known.status.output_bytes,
            output_dropped_bytes: known.status.output_dropped_bytes,
        });
        known.ended.send_replace(true);
        true
    }

    /// Asks the agent to stop; `false` where it does not listen.
    fn ask(&mut self, session: &SessionId) -> bool {
        let Some(known) = self.sessions.get_mut(session) else { return true };
        let Some(words) = known.script.last_words.take() else { return false };
        self.print(session, &words);
        self.end(session, ExitOutcome::Stopped);
        true
    }
}

#[async_trait]
impl ContainerRuntime for ScriptedRuntime {
    fn capabilities(&self) -> Capabilities {
        Capabilities { keeps_events: true, ..Capabilities::none() }
    }

    async fn start(&self, spec: &SessionSpec) -> Result<SessionStatus> {
        spec.check()?;
        let mut state = lock(&self.state);
        if !state.sessions.contains_key(&spec.session) {
            let script = if spec.workspace.is_dir() {
                (self.decide)(spec)
            } else {
                let reason = format!("workspace {} is not a folder", spec.workspace.display());
                Script::ends(ExitOutcome::StartFailed { reason })
            };
            state.start(spec, script);
            if let Some(timeout) = spec.timeout {
                let (state, session) = (Arc::clone(&self.state), spec.session.clone());
                tokio::spawn(async move {
                    tokio::time::sleep(timeout).await;
                    lock(&state).end(&session, ExitOutcome::TimedOut);
                });
            }
        }
        Ok(state.status(&spec.session))
    }

    async fn list(&self) -> Result<Vec<SessionStatus>> {
        Ok(lock(&self.state).sessions.values().map(|known| known.status.clone()).collect())
    }

    async fn inspect(&self, session: &SessionId) -> Result<SessionStatus> {
        Ok(lock(&self.state).status(session))
    }

    async fn wait(&self, session: &SessionId) -> Result<ExitRecord> {
        let ended = lock(&self.state).sessions.get(session).map(|known| known.ended.subscribe());
        if let Some(mut ended) = ended {
            // A session that was forgotten meanwhile has ended.
            let _ = ended.wait_for(|ended| *ended).await;
        }
        let mut state = lock(&self.state);
        let at = state.now();
        Ok(match state.status(session).state {
            SessionState::Exited(record) => record,
            _ => ExitRecord::new(session.clone(), ExitOutcome::Lost, at),
        })
    }

    async fn stop(&self, session: &SessionId, grace: Duration) -> Result<()> {
        let listens = lock(&self.state).ask(session);
        if !listens && tokio::time::timeout(grace, self.wait(session)).await.is_err() {
            lock(&self.state).end(session, ExitOutcome::Stopped);
        }
        Ok(())
    }

    async fn forget(&self, session: &SessionId) -> Result<()> {
        let mut state = lock(&self.state);
        if state.status(session).state == SessionState::Running {
            let error = Error::conflict("session_running", format!("session {session} runs"));
            return Err(error.with("session", session));
        }
        state.sessions.remove(session);
        Ok(())
    }

    async fn output(&self, session: &SessionId, offset: u64, bytes_max: usize) -> Result<OutputChunk> {
        let state = lock(&self.state);
        let known = state.sessions.get(session).ok_or_else(|| unknown(session))?;
        let in_head = offset < known.head.len() as u64;
        let (from, kept) = if in_head { (0, &known.head) } else { (known.tail_offset, &known.tail) };
        let skip = usize::try_from(offset.saturating_sub(from)).unwrap_or(usize::MAX).min(kept.len());
        let bytes: Vec<u8> = kept[skip..].iter().copied().take(bytes_max).collect();
        let at = if bytes.is_empty() { offset } else { from + skip as u64 };
        Ok(OutputChunk::new(at, bytes))
    }

    async fn events(&self, session: &SessionId, offset: u64, bytes_max: usize) -> Result<OutputChunk> {
        let state = lock(&self.state);
        let known = state.sessions.get(session).ok_or_else(|| unknown(session))?;
        let events = known.script.events.iter().skip(usize::try_from(offset).unwrap_or(usize::MAX));
        Ok(OutputChunk::new(offset, events.copied().take(bytes_max).collect()))
    }

    async fn send(&self, session: &SessionId, bytes: &[u8]) -> Result<()> {
        let mut state = lock(&self.state);
        let running = state.sessions.get_mut(session).filter(|known| known.status.state == SessionState::Running);
        let running = running.ok_or_else(|| {
            Error::conflict("session_not_running", format!("session {session} does not run")).with("session", session)
        })?;
        running.heard.push(bytes.to_vec());
        Ok(())
    }

    async fn grown(&self, session: &SessionId, _stream: OutputStream, offset: u64) -> Result<()> {
        let printed = lock(&self.state).sessions.get(session).map(|known| known.printed.subscribe());
        let mut printed = printed.ok_or_else(|| unknown(session))?;
        // One that was forgotten meanwhile has ended.
        let _ = printed.wait_for(|bytes| *bytes > offset).await;
        Ok(())
    }
}

fn unknown(session: &SessionId) -> Error {
    Error::not_found("session_unknown", format!("session {session} is not known here")).with("session", session)
}
