//! How a town is.

use serde::{Deserialize, Serialize};

use super::handle::Handle;
use super::operation::Operation;
use crate::model::{BeadId, BreakerRow, BreakerState, EffectRow, EffectState, Result, SessionId, Timestamp};
use crate::store::{Scan, index};
use crate::work::All;
use crate::work::view::{View, text};

/// The most refused effects that are read to find the newest.
const REFUSED_MAX: usize = 10_000;

/// Whether the engine runs in this process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
#[non_exhaustive]
pub enum EngineState {
    /// It was not started here.
    Off,
    /// It runs.
    Running,
    /// It was stopped.
    Stopped,
    /// It gave up.
    Failed {
        /// Why.
        reason: String,
    },
}

/// How a town is, at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Health {
    /// Whether the engine runs in this process.
    pub engine: EngineState,
    /// Whether sessions outlive this process; without the `gastown` program they end with it.
    pub sessions_survive: bool,
    /// Commands that wait for the writer.
    pub queue_depth: usize,
    /// The storage backend: `sqlite`, `postgres`, `memory`, or a host's own.
    pub backend: String,
    /// What survives a commit: `full`, `normal`, or `none` where nothing does; empty where the backend does not say.
    pub durability: String,
    /// The version of the database's schema; 0 where it has none.
    pub schema: u32,
    /// The database's size in bytes, where the backend knows it.
    pub database_bytes: Option<u64>,
    /// What keeps the store from taking commands, in words: its file was taken away, say. None where nothing is known of it.
    pub store_problem: Option<String>,
    /// Rows that were met and cannot be read, at most 100; they are left out of every list and stop nothing else.
    pub unreadable: Vec<UnreadableRow>,
    /// Rows in quarantine, which wait for somebody to mend or discard them.
    pub quarantined: u64,
    /// The first entry of the journal that is not archived; 0 while there is none.
    pub first: u64,
    /// Where the journal ends.
    pub head: u64,
    /// Effects that wait to be begun.
    pub effects_planned: usize,
    /// Effects that were begun.
    pub effects_issued: usize,
    /// Effects of which nobody knows whether they happened.
    pub effects_ambiguous: usize,
    /// The breakers that let no session be started now, or have counted failures.
    pub breakers: Vec<Breaker>,
    /// The effects that were given up, newest last, at most 100: which, and why.
    pub effects_refused: Vec<RefusedEffect>,
}

/// A breaker: it holds sessions back while the outside world is out of order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breaker {
    /// Whose: `rig/<name>`, or `runtime`.
    pub subject: String,
    /// Where it stands.
    pub state: BreakerState,
    /// Failures in a row.
    pub failures: u32,
    /// How often in a row it opened.
    pub openings: u32,
    /// The last failure, in words.
    pub reason: Option<String>,
    /// When it came to stand where it stands.
    pub since: Timestamp,
    /// When it lets a session through to find out; none where one is on its way.
    pub until: Option<Timestamp>,
    /// The session that finds out.
    pub probe: Option<SessionId>,
    /// The bead that tells a person of it.
    pub escalation: Option<BeadId>,
}

impl From<BreakerRow> for Breaker {
    fn from(row: BreakerRow) -> Self {
        Self {
            subject: row.subject,
            state: row.state,
            failures: row.failures,
            openings: row.openings,
            reason: row.reason,
            since: row.since,
            until: row.wake_at,
            probe: row.probe,
            escalation: row.escalation,
        }
    }
}

/// A row that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnreadableRow {
    /// Its table and key.
    pub row: String,
    /// What is wrong with it.
    pub problem: String,
}

/// An effect that was given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedEffect {
    /// Which.
    pub id: String,
    /// Why.
    pub reason: String,
}

pub(super) async fn health(handle: &Handle, operation: &'static Operation, input: All) -> Result<Health> {
    let mut health = handle.ask(operation, input, counted).await?;
    let store = &handle.town().shared.store;
    health.queue_depth = store.queue_depth();
    let described = store.describe().await?;
    store.backend_name().clone_into(&mut health.backend);
    described.durability.clone_into(&mut health.durability);
    (health.schema, health.database_bytes) = (described.schema, described.bytes);
    health.store_problem = described.problem;
    let unreadable = store.unreadable().await?.into_iter();
    let told = unreadable.map(|row| UnreadableRow { row: row.key.to_string(), problem: row.error.chain() });
    health.unreadable = told.collect();
    #[cfg(all(feature = "git", feature = "process"))]
    {
        use crate::executor::PumpState;
        health.sessions_survive = handle.town().runtime().capabilities().survives_host;
        health.engine = match handle.town().pump_state().await {
            None => EngineState::Off,
            Some(PumpState::Running) => EngineState::Running,
            Some(PumpState::Stopped) => EngineState::Stopped,
            Some(PumpState::Failed(error)) => EngineState::Failed { reason: error.chain() },
        };
    }
    Ok(health)
}

fn counted(view: View<'_>, _: &All) -> Result<Health> {
    let of = |state: EffectState| Scan::new(&index::EFFECTS_BY_STATE, vec![text(state.as_str())], REFUSED_MAX);
    // It is asked again and again: what is only counted is not read.
    let count =
        |state| -> Result<usize> { Ok(usize::try_from(view.whole_town()?.count(&of(state))?).unwrap_or(usize::MAX)) };
    let mut refused: Vec<EffectRow> = view.scan(of(EffectState::Refused))?;
    refused.sort_by_key(|row| row.updated_at);
    let breakers: Vec<BreakerRow> = view.all(Scan::new(&index::BREAKERS, vec![], 0))?;
    let skip = refused.len().saturating_sub(100);
    Ok(Health {
        engine: EngineState::Off,
        sessions_survive: false,
        queue_depth: 0,
        backend: String::new(),
        durability: String::new(),
        schema: 0,
        database_bytes: None,
        store_problem: None,
        unreadable: Vec::new(),
        quarantined: view.whole_town()?.count(&Scan::new(&index::QUARANTINE, vec![], 1))?,
        first: view.whole_town()?.events(0, 1)?.first().map_or(0, |event| event.seq),
        head: view.whole_town()?.head()?.seq,
        effects_planned: count(EffectState::Planned)?,
        effects_issued: count(EffectState::Issued)? + count(EffectState::Probing)?,
        effects_ambiguous: count(EffectState::Ambiguous)?,
        breakers: breakers
            .into_iter()
            .filter(|row| row.state != BreakerState::Closed || row.failures > 0)
            .map(Breaker::from)
            .collect(),
        effects_refused: refused
            .into_iter()
            .skip(skip)
            .map(|row| RefusedEffect { id: row.id.to_string(), reason: row.outcome.unwrap_or_default() })
            .collect(),
    })
}
