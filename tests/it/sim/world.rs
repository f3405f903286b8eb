//! The world of a simulation: its time, its processes, and what goes wrong in it. It outlives the town's process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use gastown_core::Clock;
use gastown_core::model::{Error, Result, SessionId, Timestamp};
use gastown_core::store::{Interference, MemoryBackend};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::agents::Agents;
use super::chance::{Chance, Fault, Faults};
use super::forge::Forge;
use super::invariants::Watchdog;

/// When the world begins.
const BEGIN_MICROS: i64 = 1_800_000_000_000_000;

/// Whoever takes more steps goes round in circles.
const STEPS_MAX: u64 = 25_000;

/// Clones are the same world.
#[derive(Clone, Debug)]
pub(super) struct World(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    briefs: Mutex<BTreeMap<SessionId, String>>,
    died: Notify,
    /// Something happened to a session that somebody may wait for.
    pub(super) stirred: Notify,
    backend: MemoryBackend,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) faults: Faults,
    /// What agents do and how long it takes.
    pub(super) chance: Chance,
    pub(super) agents: Agents,
    pub(super) forge: Forge,
    pub(super) watchdog: Watchdog,
    /// Time that passed in earlier processes of the town.
    passed: Duration,
    /// When the present process began, in its runtime's time.
    began: Option<Instant>,
    /// By how much the machine's clock is wrong.
    skew_micros: i64,
    is_dead: bool,
    is_spinning: bool,
}

impl State {
    /// The true time since the world began.
    pub(super) fn elapsed(&self) -> Duration {
        self.passed + self.began.map_or(Duration::ZERO, |began| began.elapsed())
    }

    /// What the machine's clock shows.
    pub(super) fn now(&self) -> Timestamp {
        let micros = i64::try_from(self.elapsed().as_micros()).unwrap();
        Timestamp::from_micros(BEGIN_MICROS + micros + self.skew_micros)
    }
}

impl World {
    pub(super) fn new(seed: u64, faults: Faults, backend: MemoryBackend) -> Self {
        let state = State {
            faults,
            chance: Chance::new(seed),
            agents: Agents::default(),
            forge: Forge::new(),
            watchdog: Watchdog::default(),
            passed: Duration::ZERO,
            began: None,
            skew_micros: 0,
            is_dead: false,
            is_spinning: false,
        };
        let (state, briefs) = (Mutex::new(state), Mutex::default());
        Self(Arc::new(Inner { state, briefs, died: Notify::new(), stirred: Notify::new(), backend }))
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The journal's last entry, and the true time.
    pub(super) fn at(&self) -> (u64, Duration) {
        let state = self.state();
        (state.watchdog.seq(), state.elapsed())
    }

    pub(super) fn backend(&self) -> &MemoryBackend {
        &self.0.backend
    }

    pub(super) fn briefs_left(&self) -> Vec<SessionId> {
        self.0.briefs.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// A process of the town begins, on the runtime that this is called on.
    pub(super) fn process_begins(&self) {
        let mut state = self.state();
        state.began = Some(Instant::now());
        state.is_dead = false;
    }

    /// The process is gone.
    pub(super) fn process_ended(&self) {
        let mut state = self.state();
        state.passed = state.elapsed();
        state.began = None;
    }

    /// Whether it was ended because it went round in circles.
    pub(super) fn is_spinning(&self) -> bool {
        self.state().is_spinning
    }

    /// Waits for the process to die.
    pub(super) async fn dies(&self) {
        loop {
            let died = self.0.died.notified();
            if self.state().is_dead {
                return;
            }
            died.await;
        }
    }

    /// Tells those that wait for sessions to look again.
    pub(super) fn stir(&self) {
        self.0.stirred.notify_waiters();
    }

    pub(super) fn stirred(&self) -> tokio::sync::futures::Notified<'_> {
        self.0.stirred.notified()
    }

    /// One step at the world's edge, before or after something is done there.
    pub(super) async fn step(&self, place: &'static str) -> Result<()> {
        self.strike(place, &Fault::ALL).await
    }

    async fn strike(&self, place: &'static str, may: &[Fault]) -> Result<()> {
        let fault = {
            let mut state = self.state();
            if state.faults.steps() > STEPS_MAX && !state.is_spinning {
                state.is_spinning = true;
                let (seq, at) = (state.watchdog.seq(), state.elapsed());
                state.watchdog.wrong.push(format!("#{seq}: it spins, {at:?} after the beginning"));
            }
            let is_over = state.is_dead || state.is_spinning;
            if is_over { Some(Fault::Crash) } else { state.faults.draw(place, may) }
        };
        match fault {
            None => {}
            Some(Fault::Crash) => {
                self.state().is_dead = true;
                self.0.died.notify_waiters();
                // It is dead: it does nothing any more.
                std::future::pending::<()>().await;
            }
            Some(Fault::Refusal) => return Err(Error::unavailable("simulated", format!("{place} is out of order"))),
            Some(Fault::Delay) => {
                let secs = self.state().chance.one_of(&[1, 20, 100, 900]);
                tokio::time::sleep(Duration::from_secs(secs)).await;
            }
            Some(jump @ (Fault::ClockForward | Fault::ClockBack)) => {
                let mut state = self.state();
                let by = state.chance.one_of(&[0_i64, 1, 3_600]) * 1_000_000;
                state.skew_micros = if jump == Fault::ClockForward { by } else { -by };
            }
        }
        Ok(())
    }
}

impl Clock for World {
    fn now(&self) -> Timestamp {
        self.state().now()
    }
}

#[async_trait]
impl Interference for World {
    async fn before_write(&self) -> Result<()> {
        self.strike("store.before_write", &[Fault::Crash, Fault::Refusal]).await
    }

    async fn after_write(&self) -> Result<()> {
        {
            let mut state = self.state();
            let State { watchdog, agents, forge, .. } = &mut *state;
            watchdog.look(&self.0.backend, agents, forge);
        }
        // A refusal here is a commit whose answer was lost.
        self.strike("store.after_write", &[Fault::Crash, Fault::Refusal]).await
    }

    async fn before_read(&self) -> Result<()> {
        self.strike("store.before_read", &[Fault::Crash, Fault::Refusal]).await
    }

    fn briefs(&self) -> &Mutex<BTreeMap<SessionId, String>> {
        &self.0.briefs
    }
}
