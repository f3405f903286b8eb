//! The outbox: what is to be done outside the database, from wanted to known.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::txn::ScopedTxn;
use super::view::{View, text};
use super::{breaker, convoys, observed, outcome, reviews, sessions, settings};
use crate::model::value::{ColumnValue as _, Value};
use crate::model::{
    EffectId, EffectRow, EffectState, Error, ErrorKind, Key, Oid, Order, Part, Result, Setback, Timestamp,
};
use crate::store::{Position, Scan, index};

/// What an executor reports of an effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "report", rename_all = "snake_case")]
#[non_exhaustive]
pub(crate) enum Report {
    /// It happened, with these facts.
    Done(Done),
    /// It did not happen; another try may help.
    Retry {
        /// Why, in words.
        reason: String,
    },
    /// It did not happen and will not.
    Refused {
        /// Why, in words.
        reason: String,
    },
    /// It did not happen, for this reason; what is done about it the settings say.
    Failed(Failed),
    /// A probe found that it never happened.
    Absent,
}

impl Report {
    /// How it turned out, in a word.
    pub(crate) const fn as_str(&self) -> &'static str {
        match self {
            Self::Done(_) => "done",
            Self::Retry { .. } => "retry",
            Self::Refused { .. } => "refused",
            Self::Failed(_) => "failed",
            Self::Absent => "absent",
        }
    }
}

/// Why an effect did not happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failed {
    /// Whether another try may help.
    pub setback: Setback,
    /// Whose part of the outside world it was.
    pub part: Part,
    /// Why, in words.
    pub reason: String,
}

impl Failed {
    pub(crate) fn new(setback: Setback, reason: impl Into<String>) -> Self {
        Self { setback, part: Part::Rig, reason: reason.into() }
    }
}

/// The facts of an effect that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "done", rename_all = "snake_case")]
#[non_exhaustive]
pub(crate) enum Done {
    /// Nothing more to say.
    Plainly,
    /// The agent has no ear: its runtime cannot give it a word.
    Unheard,
    /// The session's process runs; its workspace started from this commit.
    Started {
        /// The commit.
        base: Oid,
    },
    /// The convoy's branch is at the remote.
    Branched {
        /// What it holds.
        oid: Oid,
    },
    /// The merge commit was made.
    Merged {
        /// The target's commit it was made on.
        target: Oid,
        /// The merge commit.
        commit: Oid,
    },
    /// The target holds the head already.
    Contained {
        /// The target's commit.
        target: Oid,
    },
    /// It does not merge.
    Conflict {
        /// The target's commit.
        target: Oid,
        /// The files.
        files: Vec<String>,
    },
    /// The gate passed.
    GatePassed,
    /// The gate failed.
    GateFailed {
        /// How it ended: an exit code, a signal, a deadline.
        how: String,
        /// The end of what it printed.
        output: String,
    },
    /// The merge commit is not on this machine: another one made it, and it is at no remote.
    Unbuilt,
    /// The target moved while the change was tested.
    Moved {
        /// What it holds now; none where it is gone.
        actual: Option<Oid>,
    },
}

/// An effect that an executor has begun.
#[derive(Clone, Debug)]
pub(crate) struct Issued {
    /// Which.
    pub id: EffectId,
    /// Which try.
    pub attempt: u32,
    /// Whether to find out first if it happened.
    pub probe: bool,
    /// What to do.
    pub order: Order,
}

/// The most effects of one kind that one look considers.
const DUE_MAX: usize = 256;

/// Wants something done; nothing where the same order was given before.
pub(crate) fn enqueue(txn: &mut ScopedTxn<'_>, order: &Order, nth: u32) -> Result<()> {
    let id = id_of(order.kind(), &order.subject(), nth)?;
    if txn.is_taken(&Key::effect(&id))? {
        return Ok(());
    }
    let now = txn.now();
    txn.put(EffectRow {
        id,
        kind: order.kind().to_owned(),
        rig: order.rig().clone(),
        state: EffectState::Planned,
        payload: serde_json::to_value(order).expect("an order is JSON"),
        attempts: 0,
        leader_epoch: 0,
        next_at: now,
        outcome: None,
        created_at: now,
        updated_at: now,
        setback: None,
    })
}

/// The id of the nth effect of a kind about a subject.
pub(crate) fn id_of(kind: &str, subject: &str, nth: u32) -> Result<EffectId> {
    EffectId::new(format!("{kind}#{subject}#{nth}"))
}

/// Wants something done that was tried and given up before.
///
/// Answers its id; where the same order still waits, that one's, and nothing more is wanted.
pub(crate) fn enqueue_again(txn: &mut ScopedTxn<'_>, order: &Order) -> Result<EffectId> {
    let mut nth = 1;
    loop {
        let id = id_of(order.kind(), &order.subject(), nth)?;
        match txn.town_view().find::<EffectRow>(&Key::effect(&id))? {
            None => {
                enqueue(txn, order, nth)?;
                return Ok(id);
            }
            // One that is under way may have been too early for what it is wanted for now.
            Some(row) if row.state == EffectState::Planned && row.order().is_ok_and(|known| known == *order) => {
                return Ok(id);
            }
            Some(_) => nth += 1,
        }
    }
}

/// Begins effects that are due, under the leader's epoch; `room` says how many of each kind may still begin.
///
/// Each kind is looked at for itself, so that many of one do not hide the others, and one that cannot be begun is
/// given up alone.
pub(crate) fn issue(
    txn: &mut ScopedTxn<'_>,
    leader_epoch: i64,
    room: &mut BTreeMap<&'static str, usize>,
) -> Result<Vec<Issued>> {
    let mut issued = Vec::new();
    for (kind, left) in room.iter_mut() {
        for row in due(txn, kind, if *left == 0 { 0 } else { DUE_MAX })? {
            if *left == 0 {
                break;
            }
            match begin(txn, row.clone(), leader_epoch) {
                Ok(Some(begun)) => {
                    *left -= 1;
                    issued.push(begun);
                }
                Ok(None) => {}
                // The store's own trouble is not the effect's.
                Err(error) if error.kind() == ErrorKind::Unavailable => return Err(error),
                Err(error) => bury(txn, row, &error)?,
            }
        }
    }
    bury_unknown(txn, room)?;
    Ok(issued)
}

/// The effects of a kind that may be begun or found out now, those that may be known to somebody first.
fn due(txn: &ScopedTxn<'_>, kind: &str, limit: usize) -> Result<Vec<EffectRow>> {
    if limit == 0 {
        return Ok(Vec::new());
    }
    let of = |state: EffectState| Scan::new(&index::EFFECTS_BY_KIND, vec![text(state.as_str()), text(kind)], limit);
    let mut rows: Vec<EffectRow> = txn.scan(of(EffectState::Ambiguous))?;
    rows.extend(txn.scan::<EffectRow>(of(EffectState::Planned).upto(txn.now().to_value()))?);
    Ok(rows)
}

/// Begins one effect; none where nobody wants it any more.
fn begin(txn: &mut ScopedTxn<'_>, mut row: EffectRow, leader_epoch: i64) -> Result<Option<Issued>> {
    let probe = row.state == EffectState::Ambiguous;
    let order = row.order()?;
    if !probe && !is_wanted(txn, &order)? {
        finish(txn, row, EffectState::Refused, observed::UNWANTED)?;
        if let Order::Start { session, .. } = &order {
            outcome::start_unwanted(txn, session)?;
        }
        return Ok(None);
    }
    row.move_to(if probe { EffectState::Probing } else { EffectState::Issued })?;
    if !probe {
        row.attempts += 1;
    }
    row.leader_epoch = leader_epoch;
    row.updated_at = txn.now();
    let (id, attempt) = (row.id.clone(), row.attempts);
    txn.put(row)?;
    if let (Order::Start { session, .. }, false) = (&order, probe) {
        sessions::starting(txn, session)?;
    }
    txn.event(
        if probe { "effect.probing" } else { "effect.issued" },
        &id,
        json!({ "attempt": attempt, "order": order.to_string() }),
    );
    Ok(Some(Issued { id, attempt, probe, order }))
}

/// Gives up an effect that cannot even be begun.
fn bury(txn: &mut ScopedTxn<'_>, mut row: EffectRow, error: &Error) -> Result<()> {
    row.state = EffectState::Refused;
    row.outcome = Some(error.chain());
    row.setback = Some(Setback::Refused);
    row.updated_at = txn.now();
    let id = row.id.clone();
    txn.put(row)?;
    txn.event("effect.refused", &id, json!({ "reason": error.to_string() }));
    Ok(())
}

/// Gives up effects of a kind that this build does not know.
fn bury_unknown(txn: &mut ScopedTxn<'_>, known: &BTreeMap<&'static str, usize>) -> Result<()> {
    let planned = Scan::new(&index::EFFECTS_BY_STATE, vec![text(EffectState::Planned.as_str())], DUE_MAX);
    let due: Vec<EffectRow> = txn.scan(planned.upto(txn.now().to_value()))?;
    for row in due.into_iter().filter(|row| !known.contains_key(row.kind.as_str())) {
        let error = Error::unsupported("effect_unknown", format!("nobody here can do what effect {} wants", row.id));
        bury(txn, row, &error)?;
    }
    Ok(())
}

/// Whether the state still asks for it.
pub(crate) fn is_wanted(txn: &ScopedTxn<'_>, order: &Order) -> Result<bool> {
    match order {
        Order::Start { session, .. } => sessions::wants_start(txn, session),
        Order::Merge { review, .. } | Order::Gate { review, .. } | Order::Land { review, .. } => {
            reviews::is_in_work(txn, review)
        }
        Order::Publish { review, .. } => reviews::is_open(txn, review),
        Order::Nudge { session, .. } | Order::Notice { session, .. } => sessions::is_running(txn, session),
        _ => Ok(true),
    }
}

/// Applies what an executor reports; what carries a finished epoch or attempt is journaled and ignored.
pub(crate) fn report(
    txn: &mut ScopedTxn<'_>,
    id: &EffectId,
    leader_epoch: i64,
    attempt: u32,
    report: &Report,
) -> Result<()> {
    let Some(mut row) = txn.find::<EffectRow>(&Key::effect(id))? else {
        txn.event("effect.stale_report", id, json!({ "why": "unknown effect", "report": report }));
        return Ok(());
    };
    let live = matches!(row.state, EffectState::Issued | EffectState::Probing);
    if !live || row.leader_epoch != leader_epoch || row.attempts != attempt {
        txn.event(
            "effect.stale_report",
            id,
            json!({ "state": row.state, "leader_epoch": leader_epoch, "attempt": attempt, "report": report }),
        );
        if let (Report::Done(Done::Started { .. }), Ok(Order::Start { session, .. })) = (report, row.order()) {
            return outcome::started_late(txn, &session);
        }
        return Ok(());
    }
    let order = row.order()?;
    match report {
        Report::Done(done) => {
            finish(txn, row, EffectState::Confirmed, "done")?;
            apply(txn, &order, done)
        }
        Report::Absent => {
            row.move_to(EffectState::Planned)?;
            row.next_at = txn.now();
            row.updated_at = txn.now();
            txn.put(row)?;
            txn.event("effect.absent", id, json!({}));
            Ok(())
        }
        Report::Refused { reason } => failed(txn, row, &order, &Failed::new(Setback::Refused, reason)),
        Report::Retry { reason } => failed(txn, row, &order, &Failed::new(Setback::Transient, reason)),
        Report::Failed(why) => failed(txn, row, &order, why),
    }
}

/// The settings that bound the tries of an effect and say how long it waits between them; none where it is not tried
/// again.
const fn patience(setback: Setback) -> Option<(&'static str, &'static str)> {
    match setback {
        Setback::Transient => Some(("effects.attempts_max", "effects.backoff_ms")),
        Setback::Gone => Some(("effects.gone_attempts_max", "effects.backoff_ms")),
        Setback::Auth => Some(("effects.auth_attempts_max", "effects.auth_backoff_ms")),
        Setback::Refused => None,
    }
}

/// Tries an effect that did not happen again later, or gives it up.
fn failed(txn: &mut ScopedTxn<'_>, mut row: EffectRow, order: &Order, why: &Failed) -> Result<()> {
    let Failed { setback, part, reason } = why;
    let reason = &worded(reason, || format!("{setback}, and nobody said why"));
    row.setback = Some(*setback);
    let held = match order {
        Order::Start { session, rig, .. } => breaker::failed(txn, *part, rig, session, reason)?,
        _ => false,
    };
    let patience = patience(*setback);
    let most: u32 = match patience {
        Some((most, _)) => settings::resolve(txn.view(), Some(order.rig()), most)?,
        None => 1,
    };
    let Some((_, backoff)) = patience.filter(|_| row.attempts < most && !held) else {
        let reason = match row.attempts {
            0 | 1 => reason.clone(),
            tries => format!("{reason} (after {tries} tries)"),
        };
        finish(txn, row, EffectState::Refused, &reason)?;
        return refused(txn, order, *setback, &reason);
    };
    let wait = settings::jittered(txn, Some(order.rig()), backoff, row.attempts)?;
    row.move_to(EffectState::Planned)?;
    row.next_at = txn.now().after(wait);
    row.outcome = Some(reason.clone());
    row.updated_at = txn.now();
    let (id, next_at) = (row.id.clone(), row.next_at);
    txn.put(row)?;
    txn.event("effect.retry", &id, json!({ "setback": setback, "reason": reason, "next_at": next_at }));
    Ok(())
}

/// What somebody said, or other words where it was nothing: whatever fails has a reason that a person can read.
pub(crate) fn worded(said: &str, otherwise: impl FnOnce() -> String) -> String {
    if said.trim().is_empty() { otherwise() } else { said.to_owned() }
}

/// Gives up an effect whose outcome cannot be recorded, so that it shows and does not stay begun for ever.
pub(crate) fn give_up(txn: &mut ScopedTxn<'_>, id: &EffectId, leader_epoch: i64, reason: &str) -> Result<()> {
    match txn.find::<EffectRow>(&Key::effect(id))? {
        Some(row) if !row.state.is_terminal() && row.leader_epoch == leader_epoch => {
            finish(txn, row, EffectState::Refused, reason)
        }
        _ => Ok(()),
    }
}

fn finish(txn: &mut ScopedTxn<'_>, mut row: EffectRow, state: EffectState, outcome: &str) -> Result<()> {
    row.move_to(state)?;
    if state == EffectState::Confirmed {
        row.setback = None;
    }
    let setback = row.setback;
    row.outcome = Some(outcome.to_owned());
    row.updated_at = txn.now();
    let id = row.id.clone();
    txn.put(row)?;
    let kind = if state == EffectState::Confirmed { "effect.confirmed" } else { "effect.refused" };
    txn.event(kind, &id, json!({ "outcome": outcome, "setback": setback }));
    Ok(())
}

/// The consequences of an effect that happened.
fn apply(txn: &mut ScopedTxn<'_>, order: &Order, done: &Done) -> Result<()> {
    match (order, done) {
        (Order::Start { session, .. }, Done::Started { base }) => sessions::started(txn, session, base),
        (Order::Notice { session, .. }, Done::Unheard) => {
            txn.event("session.notice_unheard", session, json!({}));
            Ok(())
        }
        (Order::Nudge { session, .. }, Done::Unheard) => {
            txn.event("session.nudge_unheard", session, json!({}));
            Ok(())
        }
        (Order::Publish { review, .. }, _) => reviews::published(txn, review),
        (Order::Branch { convoy, .. }, Done::Branched { oid }) => convoys::branched(txn, convoy, oid),
        (Order::Merge { review, .. }, Done::Merged { target, commit }) => reviews::built(txn, review, target, commit),
        (Order::Merge { review, .. }, Done::Contained { target }) => reviews::contained(txn, review, target),
        (Order::Merge { review, .. }, Done::Conflict { target, files }) => {
            reviews::conflicts(txn, review, target, files)
        }
        (Order::Gate { review, .. }, Done::GatePassed) => reviews::gate_passed(txn, review),
        (Order::Gate { review, .. }, Done::GateFailed { how, output }) => {
            reviews::gate_failed(txn, review, how, output)
        }
        (Order::Gate { review, .. } | Order::Land { review, .. }, Done::Unbuilt) => reviews::unbuilt(txn, review),
        (Order::Land { review, .. }, Done::Moved { actual }) => reviews::moved(txn, review, actual.as_ref()),
        (Order::Land { review, commit, .. }, _) => reviews::landed(txn, review, commit),
        _ => Ok(()),
    }
}

/// The consequences of an effect that will not happen.
fn refused(txn: &mut ScopedTxn<'_>, order: &Order, setback: Setback, reason: &str) -> Result<()> {
    match order {
        Order::Start { session, .. } => outcome::start_refused(txn, session, setback, reason),
        Order::Publish { review, .. }
        | Order::Merge { review, .. }
        | Order::Gate { review, .. }
        | Order::Land { review, .. } => reviews::eject(txn, review, reason),
        Order::Branch { convoy, .. } => convoys::needs_attention(txn, convoy, reason),
        Order::Save { session, rig, branch, head } => {
            let title = format!("What session {session} left is on one machine only");
            let about = format!("Commit {head} could not be put at the remote as {branch}: {reason}");
            breaker::raise(txn, Some(rig.clone()), &title, about, "save").map(drop)
        }
        // What is left behind is found and collected later; nothing waits for it.
        Order::Stop { .. }
        | Order::Nudge { .. }
        | Order::Notice { .. }
        | Order::Cleanup { .. }
        | Order::DeleteBranch { .. } => Ok(()),
    }
}

/// Says of every effect that an earlier leader had begun that nobody knows whether it happened.
pub(crate) fn suspect(txn: &mut ScopedTxn<'_>, leader_epoch: i64) -> Result<usize> {
    doubt(txn, leader_epoch, |row| row.leader_epoch < leader_epoch)
}

/// The same of those that this leader began in a transaction whose answer was lost: all but those that it knows of.
pub(crate) fn suspect_unheard(
    txn: &mut ScopedTxn<'_>,
    leader_epoch: i64,
    known: &BTreeSet<(EffectId, u32)>,
) -> Result<usize> {
    doubt(txn, leader_epoch, |row| !known.contains(&(row.id.clone(), row.attempts)))
}

fn doubt(txn: &mut ScopedTxn<'_>, leader_epoch: i64, is_unknown: impl Fn(&EffectRow) -> bool) -> Result<usize> {
    let mut count = 0;
    for state in [EffectState::Issued, EffectState::Probing] {
        let rows: Vec<EffectRow> = txn.all(Scan::new(&index::EFFECTS_BY_STATE, vec![text(state.as_str())], 0))?;
        for mut row in rows.into_iter().filter(&is_unknown) {
            row.move_to(EffectState::Ambiguous)?;
            row.updated_at = txn.now();
            let id = row.id.clone();
            txn.put(row)?;
            txn.event("effect.ambiguous", &id, json!({ "leader_epoch": leader_epoch }));
            count += 1;
        }
    }
    Ok(count)
}

/// When the next planned effect that is not due yet may be issued.
///
/// Those that are due wait for room, and are looked at again when an effect in flight is done.
pub(crate) fn next_at(view: View<'_>) -> Result<Option<Timestamp>> {
    let behind_now = Position(vec![view.now().to_value(), Value::Text(char::MAX.to_string())]);
    let scan = Scan::new(&index::EFFECTS_BY_STATE, vec![text(EffectState::Planned.as_str())], 1);
    let first: Vec<EffectRow> = view.scan(scan.after(Some(behind_now)))?;
    Ok(first.first().map(|row| row.next_at))
}
