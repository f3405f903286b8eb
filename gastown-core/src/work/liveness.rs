//! Liveness: whether a session's process lives, and whether it gets on.
//!
//! The runtime is looked at every heartbeat. While it says that a session lives, the lease is renewed; where nobody could
//! say so for as long as a lease, the session is lost. A session that lives and shows nothing for long is followed up in
//! steps: it is poked, somebody is asked to look, it is stopped. One look takes one step, so that a clock that jumped
//! takes none of them all at once, and a clock that went back takes none.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use super::outcome::{self, Ended};
use super::txn::ScopedTxn;
use super::view::{View, text};
use super::{breaker, effects, sessions, settings, triage};
use crate::model::value::ColumnValue as _;
use crate::model::{
    EffectRow, Key, Order, Result, RigName, Scope, SessionExit, SessionId, SessionRow, SessionState, Stall, Timestamp,
};
use crate::store::{Scan, index};

/// The most sessions one look takes.
const BATCH: usize = 256;
/// What an agent does is written down as progress not more often than this.
const SPOKE_EVERY: Duration = Duration::from_secs(1);

/// A session that somebody should look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    /// Which.
    pub(crate) session: SessionId,
    /// Its epoch, which what was seen carries.
    pub(crate) epoch: i64,
    /// How long a look may take.
    pub(crate) within: Duration,
}

/// What was seen of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Which.
    pub(crate) session: SessionId,
    /// Its epoch.
    pub(crate) epoch: i64,
    /// What its runtime said.
    pub(crate) sign: Sign,
}

/// What a runtime said of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    /// It lives, and has shown so many bytes of output and events.
    Alive {
        /// How many.
        bytes: u64,
    },
    /// It has ended; whoever waits for it tells how.
    Over,
    /// The runtime could not say.
    Silent {
        /// Why, in words.
        why: String,
    },
}

/// The settings of one rig.
struct Limits {
    heartbeat: Duration,
    lease: Duration,
    nudge: Duration,
    triage: Duration,
    stop: Duration,
}

impl Limits {
    fn of(view: View<'_>, rig: &RigName) -> Result<Self> {
        let duration = |name| settings::duration(view, Some(rig), name);
        Ok(Self {
            heartbeat: duration("session.heartbeat_ms")?,
            lease: duration("session.lease_ms")?,
            nudge: duration("progress.nudge_ms")?,
            triage: duration("progress.triage_ms")?,
            stop: duration("progress.stop_ms")?,
        })
    }
}

/// Takes the sessions whose time has come and says when theirs comes next, so that each is looked at once a heartbeat.
pub(crate) fn due(txn: &mut ScopedTxn<'_>) -> Result<Vec<Due>> {
    let now = txn.now();
    let due = Scan::new(&index::SESSIONS_DUE, vec![], BATCH).upto(now.to_value());
    let mut found = Vec::new();
    for mut session in txn.scan::<SessionRow>(due)? {
        if session.state == SessionState::Starting && is_forgotten(txn, &session)? {
            let why = "its start was given up";
            outcome::end(txn, &session.id, session.epoch, &Ended::of(SessionExit::Refused, why))?;
            continue;
        }
        let heartbeat = settings::duration(txn.view(), Some(&session.rig), "session.heartbeat_ms")?;
        let is_live = matches!(session.state, SessionState::Running | SessionState::Finishing);
        session.wake_at = (session.state != SessionState::Ended).then(|| now.after(heartbeat));
        if is_live && session.started_at.is_some() {
            found.push(Due { session: session.id.clone(), epoch: session.epoch, within: heartbeat });
        }
        txn.put_volatile(session)?;
    }
    Ok(found)
}

/// Whether nobody is about to start the session any more.
fn is_forgotten(txn: &ScopedTxn<'_>, session: &SessionRow) -> Result<bool> {
    let id = effects::id_of("start", session.id.as_str(), 1)?;
    Ok(txn.find::<EffectRow>(&Key::effect(&id))?.is_none_or(|row| row.state.is_terminal()))
}

/// When the next session wants to be looked at.
pub(crate) fn next_at(view: View<'_>) -> Result<Option<Timestamp>> {
    let first: Vec<SessionRow> = view.scan(Scan::new(&index::SESSIONS_DUE, vec![], 1))?;
    Ok(first.first().and_then(|session| session.wake_at))
}

/// Gives every session that is under way a time: the journal keeps none, so a town played from it has none.
pub(crate) fn rouse(txn: &mut ScopedTxn<'_>) -> Result<()> {
    let now = txn.now();
    for state in [SessionState::Starting, SessionState::Running, SessionState::Finishing] {
        let scan = Scan::new(&index::SESSIONS_BY_STATE, vec![text(state.as_str())], 0);
        for mut session in txn.all::<SessionRow>(scan)?.into_iter().filter(|session| session.wake_at.is_none()) {
            session.wake_at = Some(now);
            txn.put_volatile(session)?;
        }
    }
    Ok(())
}

/// An agent has done something: that is progress, whatever its runtime sees of it.
pub(crate) fn spoke(txn: &mut ScopedTxn<'_>) -> Result<()> {
    let Scope::Agent { session, .. } = txn.view().scope() else { return Ok(()) };
    let Some(mut row) = txn.find::<SessionRow>(&Key::session(session))? else { return Ok(()) };
    let now = txn.now();
    if row.last_progress.is_some_and(|at| now.since(at) < SPOKE_EVERY) {
        return Ok(());
    }
    row.last_progress = Some(now);
    txn.put_volatile(row)
}

/// Takes what was seen of sessions; what carries a finished epoch says nothing.
pub(crate) fn seen(txn: &mut ScopedTxn<'_>, all: &[Seen]) -> Result<()> {
    let mut limits: BTreeMap<RigName, Limits> = BTreeMap::new();
    for Seen { session, epoch, sign } in all {
        let Some(row) = txn.find::<SessionRow>(&Key::session(session))? else { continue };
        let is_live = matches!(row.state, SessionState::Running | SessionState::Finishing);
        if row.epoch != *epoch || !is_live {
            continue;
        }
        if !limits.contains_key(&row.rig) {
            limits.insert(row.rig.clone(), Limits::of(txn.view(), &row.rig)?);
        }
        let limits = &limits[&row.rig];
        match sign {
            Sign::Alive { bytes } => alive(txn, row, *bytes, limits)?,
            Sign::Over => {}
            Sign::Silent { why } => silent(txn, &row, why)?,
        }
    }
    Ok(())
}

fn alive(txn: &mut ScopedTxn<'_>, mut row: SessionRow, bytes: u64, limits: &Limits) -> Result<()> {
    let now = txn.now();
    let until = now.after(limits.lease);
    row.lease_until = Some(row.lease_until.map_or(until, |held| until.renewing(held)));
    row.wake_at = Some(now.after(limits.heartbeat));
    let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
    if bytes > row.progress {
        row.progress = bytes;
        row.last_progress = Some(now);
    }
    txn.put_volatile(row.clone())?;
    if breaker::is_well(txn.view(), &row)? {
        breaker::well(txn, &row)?;
    }
    if row.state == SessionState::Running { follow_up(txn, row, limits) } else { Ok(()) }
}

/// Takes the next step where the session has shown nothing for long, or all of them back where it has.
fn follow_up(txn: &mut ScopedTxn<'_>, mut row: SessionRow, limits: &Limits) -> Result<()> {
    let quiet = txn.now().since(row.last_progress.unwrap_or(row.created_at));
    let id = row.id.clone();
    let data = json!({ "bead": row.bead, "quiet_ms": u64::try_from(quiet.as_millis()).unwrap_or(u64::MAX) });
    match row.stall {
        Some(_) if quiet < limits.nudge => {
            row.stall = None;
            let triage = row.triage.take();
            txn.put(row)?;
            txn.event("session.revived", &id, data);
            match triage {
                Some(bead) => breaker::settle_escalation(txn, &bead, "the session gets on again"),
                None => Ok(()),
            }
        }
        None if quiet >= limits.nudge => {
            row.stall = Some(Stall::Nudged);
            let order = Order::Nudge { session: id.clone(), bead: row.bead.clone(), rig: row.rig.clone() };
            txn.put(row)?;
            effects::enqueue_again(txn, &order)?;
            txn.event("session.nudged", &id, data);
            Ok(())
        }
        Some(Stall::Nudged) if quiet >= limits.triage => {
            row.stall = Some(Stall::Triaged);
            let title = format!("Session {id} shows no progress");
            let about = format!("It works on {} and has shown nothing for {} minutes.", row.bead, quiet.as_secs() / 60);
            row.triage = triage::ask_of_session(txn, &row, &title, about)?;
            txn.put(row)?;
            txn.event("session.triaged", &id, data);
            Ok(())
        }
        Some(Stall::Triaged) if quiet >= limits.stop => {
            row.stall = Some(Stall::Stopped);
            txn.put(row)?;
            txn.event("session.stalled", &id, data);
            sessions::bring_to_end(txn, &id, SessionExit::Stalled)
        }
        _ => Ok(()),
    }
}

/// The runtime did not say whether the session lives: it is lost once its lease has run out.
fn silent(txn: &mut ScopedTxn<'_>, row: &SessionRow, why: &str) -> Result<()> {
    if row.lease_until.is_some_and(|until| until > txn.now()) {
        return Ok(());
    }
    // It may live where nobody sees it.
    effects::enqueue_again(txn, &Order::Stop { session: row.id.clone(), rig: row.rig.clone() })?;
    let why = format!("nobody could say for as long as its lease whether it lives: {why}");
    outcome::end(txn, &row.id, row.epoch, &Ended::of(SessionExit::Lost, why))
}
