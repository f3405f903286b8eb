//! The outbox: what is to be done outside the database, from wanted to known.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::txn::ScopedTxn;
use super::view::text;
use super::{convoys, reviews, sessions, settings};
use crate::model::value::{ColumnValue as _, Value};
use crate::model::{EffectId, EffectRow, EffectState, Key, Oid, Order, Result, Timestamp};
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
    /// A probe found that it never happened.
    Absent,
}

/// The facts of an effect that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "done", rename_all = "snake_case")]
#[non_exhaustive]
pub(crate) enum Done {
    /// Nothing more to say.
    Plainly,
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

/// The most effects one look considers.
const DUE_MAX: usize = 256;

/// Wants something done; nothing where the same order was given before.
pub(crate) fn enqueue(txn: &mut ScopedTxn<'_>, order: &Order, nth: u32) -> Result<()> {
    let id = EffectId::new(format!("{}#{}#{nth}", order.kind(), order.subject()))?;
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
    })
}

/// Wants something done that was tried and given up before.
pub(crate) fn enqueue_again(txn: &mut ScopedTxn<'_>, order: &Order) -> Result<()> {
    let mut nth = 1;
    while txn.is_taken(&Key::effect(&EffectId::new(format!("{}#{}#{nth}", order.kind(), order.subject()))?))? {
        nth += 1;
    }
    enqueue(txn, order, nth)
}

/// Begins effects that are due, under the leader's epoch; `room` says how many of each kind may still begin.
pub(crate) fn issue(
    txn: &mut ScopedTxn<'_>,
    leader_epoch: i64,
    room: &mut BTreeMap<&'static str, usize>,
) -> Result<Vec<Issued>> {
    let limit = DUE_MAX;
    let mut issued = Vec::new();
    let ambiguous = Scan::new(&index::EFFECTS_BY_STATE, vec![text(EffectState::Ambiguous.as_str())], limit);
    let planned = Scan::new(&index::EFFECTS_BY_STATE, vec![text(EffectState::Planned.as_str())], limit)
        .upto(txn.now().to_value());
    let mut due: Vec<EffectRow> = txn.scan(ambiguous)?;
    due.extend(txn.scan::<EffectRow>(planned)?);
    for mut row in due {
        let probe = row.state == EffectState::Ambiguous;
        let order = match row.order() {
            Ok(order) => order,
            Err(error) => {
                row.state = EffectState::Refused;
                row.outcome = Some(error.chain());
                row.updated_at = txn.now();
                let id = row.id.clone();
                txn.put(row)?;
                txn.event("effect.refused", &id, json!({ "reason": error.to_string() }));
                continue;
            }
        };
        if !probe && !is_wanted(txn, &order)? {
            finish(txn, row, EffectState::Refused, "no longer wanted")?;
            if let Order::Start { session, .. } = &order {
                sessions::start_unwanted(txn, session)?;
            }
            continue;
        }
        let Some(left) = room.get_mut(order.kind()).filter(|left| **left > 0) else { continue };
        *left -= 1;
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
        issued.push(Issued { id, attempt, probe, order });
    }
    Ok(issued)
}

/// Whether the state still asks for it.
fn is_wanted(txn: &ScopedTxn<'_>, order: &Order) -> Result<bool> {
    match order {
        Order::Start { session, .. } => sessions::wants_start(txn, session),
        Order::Merge { review, .. } | Order::Gate { review, .. } | Order::Land { review, .. } => {
            reviews::is_in_work(txn, review)
        }
        Order::Publish { review, .. } => reviews::is_open(txn, review),
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
        return Ok(());
    }
    let order = row.order()?;
    match report {
        Report::Done(done) => {
            finish(txn, row, EffectState::Confirmed, "done")?;
            apply(txn, &order, done)
        }
        Report::Refused { reason } => {
            finish(txn, row, EffectState::Refused, reason)?;
            refused(txn, &order, reason)
        }
        Report::Absent => {
            row.move_to(EffectState::Planned)?;
            row.next_at = txn.now();
            row.updated_at = txn.now();
            txn.put(row)?;
            txn.event("effect.absent", id, json!({}));
            Ok(())
        }
        Report::Retry { reason } => {
            let most: u32 = settings::resolve(txn.view(), Some(order.rig()), "effects.attempts_max")?;
            if row.attempts >= most {
                let reason = format!("{reason} (after {} tries)", row.attempts);
                finish(txn, row, EffectState::Refused, &reason)?;
                return refused(txn, &order, &reason);
            }
            let wait = settings::backoff(txn.view(), Some(order.rig()), "effects.backoff_ms", row.attempts)?;
            row.move_to(EffectState::Planned)?;
            row.next_at = txn.now().after(wait);
            row.outcome = Some(reason.clone());
            row.updated_at = txn.now();
            let next_at = row.next_at;
            txn.put(row)?;
            txn.event("effect.retry", id, json!({ "reason": reason, "next_at": next_at }));
            Ok(())
        }
    }
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
    row.outcome = Some(outcome.to_owned());
    row.updated_at = txn.now();
    let id = row.id.clone();
    txn.put(row)?;
    let kind = if state == EffectState::Confirmed { "effect.confirmed" } else { "effect.refused" };
    txn.event(kind, &id, json!({ "outcome": outcome }));
    Ok(())
}

/// The consequences of an effect that happened.
fn apply(txn: &mut ScopedTxn<'_>, order: &Order, done: &Done) -> Result<()> {
    match (order, done) {
        (Order::Start { session, .. }, Done::Started { base }) => sessions::started(txn, session, base),
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
        (Order::Land { review, .. }, Done::Moved { actual }) => reviews::moved(txn, review, actual.as_ref()),
        (Order::Land { review, commit, .. }, _) => reviews::landed(txn, review, commit),
        _ => Ok(()),
    }
}

/// The consequences of an effect that will not happen.
fn refused(txn: &mut ScopedTxn<'_>, order: &Order, reason: &str) -> Result<()> {
    match order {
        Order::Start { session, .. } => sessions::start_refused(txn, session, reason),
        Order::Publish { review, .. }
        | Order::Merge { review, .. }
        | Order::Gate { review, .. }
        | Order::Land { review, .. } => reviews::eject(txn, review, reason),
        Order::Branch { convoy, .. } => convoys::needs_attention(txn, convoy, reason),
        // What is left behind is found and collected later; nothing waits for it.
        Order::Stop { .. } | Order::Cleanup { .. } | Order::DeleteBranch { .. } => Ok(()),
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
pub(crate) fn next_at(txn: &ScopedTxn<'_>) -> Result<Option<Timestamp>> {
    let behind_now = Position(vec![txn.now().to_value(), Value::Text(char::MAX.to_string())]);
    let scan = Scan::new(&index::EFFECTS_BY_STATE, vec![text(EffectState::Planned.as_str())], 1);
    let first: Vec<EffectRow> = txn.scan(scan.after(Some(behind_now)))?;
    Ok(first.first().map(|row| row.next_at))
}
