//! Breakers: while the outside world of a rig, or the runtime, is out of order, no session is started there.
//!
//! One breaker stands for each rig and one for the runtime. Failures of infrastructure and of credentials count; the
//! first session that is well begins the count anew. An open breaker lets one session through after a wait, and what
//! becomes of that one decides. While it is not closed a bead tells a person of it, one for each time it opened.

use std::time::Duration;

use serde_json::json;

use super::beads::{self, NewBead};
use super::settings;
use super::txn::ScopedTxn;
use super::view::View;
use crate::model::value::ColumnValue as _;
use crate::model::{
    BeadId, BeadKind, BeadStatus, BreakerRow, BreakerState, Key, Part, Resolution, Result, RigName, SessionId,
    SessionRow, Timestamp,
};
use crate::store::{Scan, index};

/// The subject of the runtime's breaker.
pub(crate) const RUNTIME: &str = "runtime";
/// The most breakers that one look wakes.
const BATCH: usize = 256;

/// A breaker that lets no session be started now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    /// Whose: `rig/<name>`, or `runtime`.
    pub(crate) subject: String,
    /// Until when; none while a session finds out.
    pub(crate) until: Option<Timestamp>,
    /// The last failure, in words.
    pub(crate) reason: Option<String>,
}

fn subject(part: Part, rig: &RigName) -> String {
    match part {
        Part::Rig => format!("rig/{rig}"),
        Part::Runtime => RUNTIME.to_owned(),
    }
}

/// The breaker of a part of the outside world; a closed one where nothing ever failed.
fn row(view: View<'_>, part: Part, rig: &RigName) -> Result<BreakerRow> {
    let subject = subject(part, rig);
    Ok(view.find(&Key::breaker(&subject))?.unwrap_or(BreakerRow {
        subject,
        rig: (part == Part::Rig).then(|| rig.clone()),
        state: BreakerState::Closed,
        failures: 0,
        openings: 0,
        reason: None,
        failed_at: None,
        since: view.now(),
        probe: None,
        escalation: None,
        wake_at: None,
    }))
}

/// How a part of the outside world stands to new sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nothing is known against it.
    Well,
    /// One session may find out.
    OnTrial,
    /// None may be started.
    Held(Held),
}

impl Standing {
    fn of(row: BreakerRow) -> Self {
        match (row.state, &row.probe) {
            (BreakerState::Closed, _) => Self::Well,
            (BreakerState::HalfOpen, None) => Self::OnTrial,
            _ => Self::Held(Held { subject: row.subject, until: row.wake_at, reason: row.reason }),
        }
    }
}

/// How the runtime stands to new sessions, in a view of the whole town.
pub(crate) fn of_runtime(view: View<'_>) -> Result<Standing> {
    Ok(view.find(&Key::breaker(RUNTIME))?.map_or(Standing::Well, Standing::of))
}

/// How a rig stands to new sessions.
pub(crate) fn of_rig(view: View<'_>, rig: &RigName) -> Result<Standing> {
    row(view, Part::Rig, rig).map(Standing::of)
}

/// The breaker that lets no session of the rig be started now; none where all do.
///
/// It wants a view of the whole town: the runtime's breaker is no rig's.
pub(crate) fn holds(view: View<'_>, rig: &RigName) -> Result<Option<Held>> {
    for standing in [of_runtime(view)?, of_rig(view, rig)?] {
        if let Standing::Held(held) = standing {
            return Ok(Some(held));
        }
    }
    Ok(None)
}

/// A session of the rig was planned: where a breaker wants to find out, it is the one by which it does.
pub(crate) fn planned(txn: &mut ScopedTxn<'_>, rig: &RigName, session: &SessionId) -> Result<()> {
    txn.as_town(|txn| {
        for part in [Part::Runtime, Part::Rig] {
            let mut row = row(txn.view(), part, rig)?;
            if row.state == BreakerState::HalfOpen && row.probe.is_none() {
                row.probe = Some(session.clone());
                let subject = row.subject.clone();
                txn.put(row)?;
                txn.event("breaker.probing", &subject, json!({ "session": session }));
            }
        }
        Ok(())
    })
}

/// A part of the outside world failed a session; says whether sessions of the rig are held back now.
pub(crate) fn failed(
    txn: &mut ScopedTxn<'_>,
    part: Part,
    rig: &RigName,
    session: &SessionId,
    reason: &str,
) -> Result<bool> {
    let now = txn.now();
    // A session that one part failed says nothing about the other.
    inconclusive(txn, if part == Part::Rig { Part::Runtime } else { Part::Rig }, rig, session)?;
    let mut row = row(txn.view(), part, rig)?;
    row.failures = row.failures.saturating_add(1);
    row.reason = Some(reason.to_owned());
    row.failed_at = Some(now);
    let scope = row.rig.clone();
    let most: u32 = settings::resolve(txn.view(), scope.as_ref(), "breaker.failures")?;
    match row.state {
        BreakerState::Closed if row.failures >= most => open(txn, row)?,
        BreakerState::HalfOpen if row.probe.as_ref() == Some(session) => open(txn, row)?,
        _ => {
            let (subject, failures) = (row.subject.clone(), row.failures);
            txn.put(row)?;
            txn.event("breaker.counted", &subject, json!({ "failures": failures, "reason": reason }));
        }
    }
    Ok(holds(txn.town_view(), rig)?.is_some())
}

/// A session was well: it lived for long enough, or came to an end that says nothing against the outside world.
///
/// It speaks for what was before it began only: one that was started before the last failure proves nothing.
pub(crate) fn well(txn: &mut ScopedTxn<'_>, session: &SessionRow) -> Result<()> {
    let Some(started_at) = session.started_at else { return Ok(()) };
    for part in [Part::Runtime, Part::Rig] {
        let mut row = row(txn.view(), part, &session.rig)?;
        let is_later = row.failed_at.is_none_or(|at| at <= started_at);
        match row.state {
            BreakerState::Closed if row.failures > 0 && is_later => {
                row.failures = 0;
                let subject = row.subject.clone();
                txn.put(row)?;
                txn.event("breaker.reset", &subject, json!({ "session": session.id }));
            }
            BreakerState::HalfOpen if row.probe.as_ref() == Some(&session.id) => close(txn, row)?,
            _ => {}
        }
    }
    Ok(())
}

/// Whether a running session has lived for long enough to be well.
pub(crate) fn is_well(view: View<'_>, session: &SessionRow) -> Result<bool> {
    let wanted: Duration = settings::duration(view, Some(&session.rig), "breaker.probe_ms")?;
    Ok(session.started_at.is_some_and(|at| view.now().since(at) >= wanted))
}

/// A session ended in a way that says nothing about the outside world: another one may find out.
pub(crate) fn undecided(txn: &mut ScopedTxn<'_>, rig: &RigName, session: &SessionId) -> Result<()> {
    inconclusive(txn, Part::Runtime, rig, session)?;
    inconclusive(txn, Part::Rig, rig, session)
}

fn inconclusive(txn: &mut ScopedTxn<'_>, part: Part, rig: &RigName, session: &SessionId) -> Result<()> {
    let mut row = row(txn.view(), part, rig)?;
    if row.state != BreakerState::HalfOpen || row.probe.as_ref() != Some(session) {
        return Ok(());
    }
    row.probe = None;
    let subject = row.subject.clone();
    txn.put(row)?;
    txn.event("breaker.undecided", &subject, json!({ "session": session }));
    Ok(())
}

/// Half-opens the breakers whose wait is over.
pub(crate) fn wake(txn: &mut ScopedTxn<'_>) -> Result<()> {
    let now = txn.now();
    let due = Scan::new(&index::BREAKERS_DUE, vec![], BATCH).upto(now.to_value());
    for mut row in txn.scan::<BreakerRow>(due)? {
        row.wake_at = None;
        if row.state == BreakerState::Open {
            row.state = BreakerState::HalfOpen;
            row.since = now;
            row.probe = None;
        }
        let subject = row.subject.clone();
        txn.put(row)?;
        txn.event("breaker.half_opened", &subject, json!({}));
    }
    Ok(())
}

/// When the next breaker wants to be looked at.
pub(crate) fn next_at(view: View<'_>) -> Result<Option<Timestamp>> {
    let first: Vec<BreakerRow> = view.scan(Scan::new(&index::BREAKERS_DUE, vec![], 1))?;
    Ok(first.first().and_then(|row| row.wake_at))
}

fn open(txn: &mut ScopedTxn<'_>, mut row: BreakerRow) -> Result<()> {
    row.state = BreakerState::Open;
    row.since = txn.now();
    row.probe = None;
    row.openings = row.openings.saturating_add(1);
    let wait = settings::jittered(txn, row.rig.clone().as_ref(), "breaker.wait_ms", row.openings)?;
    row.wake_at = Some(txn.now().after(wait));
    if row.escalation.is_none() {
        row.escalation = Some(escalate(txn, &row)?);
    }
    let subject = row.subject.clone();
    let data = json!({ "failures": row.failures, "openings": row.openings, "until": row.wake_at, "reason": row.reason,
        "escalation": row.escalation });
    txn.put(row)?;
    txn.event("breaker.opened", &subject, data);
    Ok(())
}

fn close(txn: &mut ScopedTxn<'_>, mut row: BreakerRow) -> Result<()> {
    let escalation = row.escalation.take();
    row.state = BreakerState::Closed;
    row.since = txn.now();
    (row.failures, row.openings) = (0, 0);
    row.wake_at = None;
    let session = row.probe.take();
    let subject = row.subject.clone();
    txn.put(row)?;
    txn.event("breaker.closed", &subject, json!({ "session": session }));
    let Some(id) = escalation else { return Ok(()) };
    settle_escalation(txn, &id, "sessions are started again")
}

/// Makes the bead that tells a person.
fn escalate(txn: &mut ScopedTxn<'_>, row: &BreakerRow) -> Result<BeadId> {
    let of = row.rig.as_ref().map_or_else(|| "the runtime".to_owned(), |rig| format!("the rig {rig}"));
    let reason = row.reason.as_deref().unwrap_or_default();
    let description = format!("{} failures in a row; the last: {reason}", row.failures);
    raise(txn, row.rig.clone(), &format!("No session of {of} is started any more"), description, "breaker")
}

/// Makes an escalation: a bead that asks a person to look at something.
pub(crate) fn raise(
    txn: &mut ScopedTxn<'_>,
    rig: Option<RigName>,
    title: &str,
    description: String,
    why: &str,
) -> Result<BeadId> {
    let new = NewBead { description, priority: 1, rig, ..NewBead::titled(title) };
    let bead = beads::insert(txn, BeadKind::Escalation, &new, None)?;
    txn.event("escalation.raised", &bead.id, json!({ "title": title, "why": why }));
    Ok(bead.id)
}

/// Closes an escalation whose reason is gone, unless somebody did.
pub(crate) fn settle_escalation(txn: &mut ScopedTxn<'_>, id: &BeadId, why: &str) -> Result<()> {
    let Some(bead) = txn.find(&Key::bead(id))? else { return Ok(()) };
    let bead: crate::model::BeadRow = bead;
    if bead.status.is_terminal() {
        return Ok(());
    }
    beads::settle(txn, bead, BeadStatus::Closed, Resolution::Completed, json!({ "reason": why }))
}
