//! Draining: the engine's host is going away, so its sessions end soon and others go on elsewhere.
//!
//! Nothing is started any more. Agents that run are told, and have a while to commit, to leave a checkpoint or to finish.
//! Then they are stopped; what they left, committed or not, is put at the remote under a branch of its own, and their
//! beads wait for the next engine. A drain belongs to one leader: it is over when another one leads.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::fields::check_reason;
use super::txn::ScopedTxn;
use super::view::{View, text};
use super::{effects, outcome, sessions, settings};
use crate::model::{
    EffectState, Error, Key, LeaderRow, Order, Result, SessionExit, SessionRow, SessionState, Timestamp,
};
use crate::mutant::{self, Mutant};
use crate::store::{Scan, index};

/// The longest grace of a drain: a week, in milliseconds.
const GRACE_MS_MAX: u64 = 604_800_000;

/// Has the engine's host give its work away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrainTown {
    /// Why; agents are told. Never empty.
    pub reason: String,
    /// How long sessions may go on, in milliseconds; the setting `drain.grace_ms` where it is left out.
    #[serde(default)]
    pub grace_ms: Option<u64>,
}

impl DrainTown {
    /// A drain for this reason, with the grace of the settings.
    pub fn because(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), grace_ms: None }
    }

    /// Reads it from JSON, as bindings get it.
    ///
    /// # Errors
    /// `input_malformed` with what is wrong where.
    pub fn from_json(input: serde_json::Value) -> Result<Self> {
        serde_json::from_value(input).map_err(|source| {
            Error::invalid("input_malformed", format!("town.drain wants DrainTown: {source}"))
                .with("input", "DrainTown")
                .because(source)
        })
    }
}

/// How far a drain is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Draining {
    /// Why.
    pub reason: String,
    /// When the sessions that still run are stopped.
    pub until: Timestamp,
    /// Sessions that have not ended.
    pub sessions: u64,
    /// Work that is on its way to the remote.
    pub saving: u64,
}

impl Draining {
    /// Whether nothing is left to be waited for.
    pub fn is_done(&self) -> bool {
        self.sessions == 0 && self.saving == 0
    }
}

/// Why and until when the engine's host drains; nothing where no engine leads any more.
pub(crate) fn of(view: View<'_>) -> Result<Option<(String, Timestamp)>> {
    let leader: Option<LeaderRow> = view.of_town().find(&Key::leader())?;
    let leader = leader.filter(|row| row.lease_until > view.now());
    Ok(leader.and_then(|row| Some((row.drain_reason?, row.drain_until?))))
}

/// How far the drain is; none where there is none.
pub(crate) fn progress(view: View<'_>) -> Result<Option<Draining>> {
    let Some((reason, until)) = of(view)? else { return Ok(None) };
    let count = |scan: Scan| view.whole_town()?.count(&Scan { limit: usize::MAX, ..scan });
    let mut sessions = 0;
    for state in [SessionState::Planned, SessionState::Starting, SessionState::Running, SessionState::Finishing] {
        sessions += count(Scan::new(&index::SESSIONS_BY_STATE, vec![text(state.as_str())], 0))?;
    }
    let mut saving = 0;
    for state in [EffectState::Planned, EffectState::Issued, EffectState::Ambiguous, EffectState::Probing] {
        for kind in ["save", "publish"] {
            saving += count(Scan::new(&index::EFFECTS_BY_KIND, vec![text(state.as_str()), text(kind)], 0))?;
        }
    }
    Ok(Some(Draining { reason, until, sessions, saving }))
}

/// Begins a drain; of several the earliest end counts.
pub(crate) fn drain(txn: &mut ScopedTxn<'_>, input: &DrainTown) -> Result<Draining> {
    check_reason(Some(&input.reason))?;
    if input.reason.trim().is_empty() {
        return Err(Error::invalid("reason_missing", "a drain has a reason").with("field", "reason"));
    }
    let grace = match input.grace_ms {
        Some(ms) if ms > GRACE_MS_MAX => {
            return Err(Error::invalid("limit_out_of_range", "a drain lasts no longer than a week")
                .with("field", "grace_ms")
                .with("found", ms)
                .with("max", GRACE_MS_MAX));
        }
        Some(ms) => Duration::from_millis(ms),
        None => settings::duration(txn.town_view(), None, "drain.grace_ms")?,
    };
    let now = txn.now();
    let leader: Option<LeaderRow> = txn.find(&Key::leader())?;
    let Some(mut leader) = leader.filter(|row| row.lease_until > now) else {
        return Err(Error::conflict("engine_not_running", "no engine of this town runs, so nothing is to be drained"));
    };
    let until = now.after(grace);
    let until = leader.drain_until.map_or(until, |earlier| earlier.min(until));
    let is_new = leader.drain_until != Some(until);
    leader.drain_reason = Some(input.reason.clone());
    leader.drain_until = Some(until);
    txn.put(leader)?;
    if is_new {
        txn.event("engine.draining", "engine", json!({ "reason": input.reason, "until": until }));
    }
    for session in in_state(txn.view(), SessionState::Running)? {
        let order = Order::Notice { session: session.id, rig: session.rig, until };
        effects::enqueue(txn, &order, 1)?;
    }
    for session in in_state(txn.view(), SessionState::Planned)? {
        outcome::start_unwanted(txn, &session.id)?;
    }
    progress(txn.view())?.ok_or_else(|| Error::internal("drain_lost", "the drain that was begun is not there"))
}

/// Calls a drain off; what was stopped is started again like everything else.
pub(crate) fn call_off(txn: &mut ScopedTxn<'_>) -> Result<()> {
    let leader: Option<LeaderRow> = txn.find(&Key::leader())?;
    let Some(mut leader) = leader.filter(|row| row.drain_until.is_some()) else { return Ok(()) };
    (leader.drain_reason, leader.drain_until) = (None, None);
    txn.put(leader)?;
    txn.event("engine.drain_called_off", "engine", json!({}));
    Ok(())
}

/// Stops the sessions that still run where their time is over; answers when it will be.
pub(crate) fn look(txn: &mut ScopedTxn<'_>) -> Result<Option<Timestamp>> {
    let Some((_, until)) = of(txn.view())? else { return Ok(None) };
    let running = in_state(txn.view(), SessionState::Running)?;
    if until > txn.now() {
        return Ok((!running.is_empty()).then_some(until));
    }
    for session in running {
        sessions::bring_to_end(txn, &session.id, SessionExit::Drained)?;
    }
    Ok(None)
}

/// What a session was started into whose host drains already: it is stopped at once.
pub(crate) fn stop_late(txn: &mut ScopedTxn<'_>, session: &SessionRow) -> Result<()> {
    if of(txn.view())?.is_none() {
        return Ok(());
    }
    sessions::bring_to_end(txn, &session.id, SessionExit::Drained)
}

/// Where a drained session left something, it is put where other hosts find it.
pub(crate) fn save(txn: &mut ScopedTxn<'_>, session: &SessionRow) -> Result<()> {
    let left = session.saved.as_ref().or(session.head.as_ref()).filter(|_| !mutant::lives(Mutant::DrainUnsaved));
    let Some(left) = left else { return Ok(()) };
    let order = Order::Save {
        session: session.id.clone(),
        rig: session.rig.clone(),
        branch: branch(session),
        head: left.clone(),
    };
    effects::enqueue(txn, &order, 1)
}

/// Removes what was saved of a session, here and at the remote: its bead is brought home.
pub(crate) fn discard(txn: &mut ScopedTxn<'_>, session: &SessionRow) -> Result<()> {
    let was_put = txn.is_taken(&Key::effect(&effects::id_of("save", session.id.as_str(), 1)?))?;
    let left = session.saved.as_ref().or(session.head.as_ref()).filter(|_| was_put || session.saved.is_some());
    let Some(expected) = left.cloned() else { return Ok(()) };
    let order = Order::DeleteBranch { rig: session.rig.clone(), branch: branch(session), expected, work: Vec::new() };
    effects::enqueue(txn, &order, 1)
}

/// The branch that keeps what a session left; no work ever lands on it.
pub(crate) fn branch(session: &SessionRow) -> String {
    format!("gt/saved/{}.{}", session.bead, session.epoch)
}

fn in_state(view: View<'_>, state: SessionState) -> Result<Vec<SessionRow>> {
    view.all(Scan::new(&index::SESSIONS_BY_STATE, vec![text(state.as_str())], 0))
}
