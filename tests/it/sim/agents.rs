//! Agents and gates without processes: what each session does is drawn when it starts, and happens when its time comes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use gastown_core::model::{Error, Result, SessionId, Timestamp};
use gastown_core::runtime::{
    Capabilities, ContainerRuntime, ExitOutcome, ExitRecord, OutputChunk, SessionSpec, SessionState, SessionStatus,
};

use super::chance::Chance;
use super::world::{State, World};

/// What a session does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Conduct {
    /// Commits its own file and ends well.
    Works,
    /// Commits a file that others change as well, and ends well.
    Collides,
    /// Ends well and leaves nothing.
    Idles,
    /// Ends with an error.
    Fails,
    /// Dies by a signal.
    Dies,
    /// Runs until its time is over or it is stopped.
    Hangs,
    /// Never runs.
    Breaks,
}

impl Conduct {
    pub(super) const ALL: [Self; 7] =
        [Self::Works, Self::Collides, Self::Idles, Self::Fails, Self::Dies, Self::Hangs, Self::Breaks];

    /// Most do what they should; all do once the world is calm.
    fn draw(chance: &mut Chance, is_calm: bool) -> Self {
        if is_calm || chance.permille(600) { Self::Works } else { chance.one_of(&Self::ALL) }
    }
}

#[derive(Debug)]
struct Session {
    workspace: PathBuf,
    conduct: Conduct,
    ends: Duration,
    /// How it ends when its time comes.
    outcome: ExitOutcome,
    record: Option<ExitRecord>,
    started_at: Timestamp,
}

/// Every session that was started and not forgotten.
#[derive(Debug, Default)]
pub(super) struct Agents {
    sessions: BTreeMap<SessionId, Session>,
    /// What was seen, for the coverage.
    pub(super) conducts: BTreeMap<Conduct, u64>,
    /// From now on everybody does what they should.
    pub(super) is_calm: bool,
    /// How often each session was started.
    pub(super) starts: BTreeMap<SessionId, u64>,
    /// The commits that a gate passed.
    pub(super) passed: Vec<SessionId>,
}

impl Agents {
    /// The sessions that run now, gates not among them.
    pub(super) fn running(&self) -> impl Iterator<Item = &SessionId> {
        let lives = self.sessions.iter().filter(|(id, session)| session.record.is_none() && !is_gate(id));
        lives.map(|(id, _)| id)
    }

    fn status(&self, id: &SessionId) -> SessionStatus {
        let Some(session) = self.sessions.get(id) else {
            return SessionStatus::new(id.clone(), SessionState::Absent);
        };
        let state = session.record.clone().map_or(SessionState::Running, SessionState::Exited);
        let mut status = SessionStatus::new(id.clone(), state);
        status.started_at = Some(session.started_at);
        status
    }
}

pub(super) fn is_gate(id: &SessionId) -> bool {
    id.as_str().starts_with("gate-")
}

/// What fell due happens, in the order of its time.
fn settle(state: &mut State) {
    let now = state.elapsed();
    loop {
        let due = state.agents.sessions.iter().filter(|(_, session)| session.record.is_none() && session.ends <= now);
        let Some(id) = due.min_by_key(|(id, session)| (session.ends, (*id).clone())).map(|(id, _)| id.clone()) else {
            return;
        };
        let at = state.now();
        let session = state.agents.sessions.get_mut(&id).unwrap();
        let mut record = ExitRecord::new(id.clone(), session.outcome.clone(), at);
        record.started_at = session.started_at;
        session.record = Some(record);
        let (workspace, conduct, outcome) = (session.workspace.clone(), session.conduct, session.outcome.clone());
        if is_gate(&id) {
            if outcome == (ExitOutcome::Exited { code: 0 }) {
                state.agents.passed.push(id);
            }
            continue;
        }
        let stamp = state.chance.next();
        let own = (format!("work/{id}"), stamp);
        match (conduct, &outcome) {
            (Conduct::Works, ExitOutcome::Exited { code: 0 }) => state.forge.work(&workspace, id.as_str(), &[own]),
            (Conduct::Collides, ExitOutcome::Exited { code: 0 }) => {
                state.forge.work(&workspace, id.as_str(), &[own, ("shared".to_owned(), stamp)]);
            }
            // One that was broken off may have left a part uncommitted, or committed it.
            (_, ExitOutcome::Stopped) | (Conduct::Fails | Conduct::Dies, _) if stamp % 4 == 1 => {
                state.forge.scribble(&workspace, own);
            }
            (_, ExitOutcome::Stopped) if stamp % 4 == 3 => {
                state.forge.work(&workspace, id.as_str(), std::slice::from_ref(&own));
                state.forge.scribble(&workspace, (format!("loose/{id}"), stamp));
            }
            (Conduct::Hangs | Conduct::Fails | Conduct::Dies, _) if stamp.is_multiple_of(2) => {
                state.forge.work(&workspace, id.as_str(), &[own]);
            }
            _ => {}
        }
    }
}

#[async_trait]
impl ContainerRuntime for World {
    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::none();
        capabilities.survives_host = true;
        capabilities.kills_tree = true;
        capabilities
    }

    async fn start(&self, spec: &SessionSpec) -> Result<SessionStatus> {
        self.step("runtime.start").await?;
        let status = {
            let mut state = self.state();
            settle(&mut state);
            if !state.agents.sessions.contains_key(&spec.session) {
                let session = begin(&mut state, spec);
                state.agents.sessions.insert(spec.session.clone(), session);
                *state.agents.starts.entry(spec.session.clone()).or_default() += 1;
                settle(&mut state);
            }
            state.agents.status(&spec.session)
        };
        self.step("runtime.started").await?;
        Ok(status)
    }

    async fn list(&self) -> Result<Vec<SessionStatus>> {
        self.step("runtime.list").await?;
        let mut state = self.state();
        settle(&mut state);
        Ok(state.agents.sessions.keys().map(|id| state.agents.status(id)).collect())
    }

    async fn inspect(&self, session: &SessionId) -> Result<SessionStatus> {
        self.step("runtime.inspect").await?;
        let mut state = self.state();
        settle(&mut state);
        Ok(state.agents.status(session))
    }

    async fn wait(&self, session: &SessionId) -> Result<ExitRecord> {
        self.step("runtime.wait").await?;
        loop {
            let stirred = self.stirred();
            let left = {
                let mut state = self.state();
                settle(&mut state);
                match state.agents.sessions.get(session) {
                    None => return Ok(ExitRecord::new(session.clone(), ExitOutcome::Lost, state.now())),
                    Some(known) => match &known.record {
                        Some(record) => break Ok(record.clone()),
                        None => known.ends.saturating_sub(state.elapsed()),
                    },
                }
            };
            tokio::select! {
                biased;
                () = stirred => {}
                () = tokio::time::sleep(left) => {}
            }
        }
    }

    async fn stop(&self, session: &SessionId, grace: Duration) -> Result<()> {
        self.step("runtime.stop").await?;
        {
            let mut state = self.state();
            settle(&mut state);
            let (now, listens) = (state.elapsed(), state.chance.permille(700));
            if let Some(known) = state.agents.sessions.get_mut(session)
                && known.record.is_none()
            {
                known.outcome = ExitOutcome::Stopped;
                known.ends = known.ends.min(now + if listens { Duration::ZERO } else { grace });
                settle(&mut state);
            }
        }
        self.stir();
        let record = self.wait(session).await?;
        debug_assert_eq!(record.session, *session);
        self.step("runtime.stopped").await
    }

    async fn forget(&self, session: &SessionId) -> Result<()> {
        self.step("runtime.forget").await?;
        let mut state = self.state();
        settle(&mut state);
        if state.agents.sessions.get(session).is_some_and(|known| known.record.is_none()) {
            return Err(Error::conflict("session_running", format!("session {session} runs")));
        }
        state.agents.sessions.remove(session);
        Ok(())
    }

    async fn output(&self, _: &SessionId, offset: u64, _: usize) -> Result<OutputChunk> {
        self.step("runtime.output").await?;
        Ok(OutputChunk::new(offset, Vec::new()))
    }
}

fn begin(state: &mut State, spec: &SessionSpec) -> Session {
    let is_calm = state.agents.is_calm;
    let conduct = Conduct::draw(&mut state.chance, is_calm);
    let exited = |code| ExitOutcome::Exited { code };
    let timeout = spec.timeout.unwrap_or(Duration::from_secs(86_400));
    let secs = Duration::from_secs(state.chance.one_of(&[1, 30, 300, 4_000]));
    let (outcome, secs) = match conduct {
        // A gate passes or fails by what it does.
        Conduct::Works | Conduct::Collides | Conduct::Idles => (exited(0), secs),
        Conduct::Fails => (exited(3), secs),
        Conduct::Dies => (ExitOutcome::Signalled { signal: 11 }, secs),
        Conduct::Hangs => (ExitOutcome::TimedOut, timeout),
        Conduct::Breaks => (ExitOutcome::StartFailed { reason: "no such program".to_owned() }, Duration::ZERO),
    };
    let (outcome, secs) = if secs < timeout { (outcome, secs) } else { (ExitOutcome::TimedOut, timeout) };
    *state.agents.conducts.entry(conduct).or_default() += 1;
    let ends = state.elapsed() + secs;
    Session { workspace: spec.workspace.clone(), conduct, ends, outcome, record: None, started_at: state.now() }
}
