//! What the journal's entries come to in numbers, and how the town stands in them.

use serde_json::Value as Json;

use super::breaker;
use super::txn::ScopedTxn;
use super::view::{View, text};
use crate::meter::{Noted, seconds, table};
use crate::model::value::Value;
use crate::model::{
    BeadId, BeadKind, BeadRow, BeadStatus, EffectState, Key, Result, ReviewState, Role, SessionId, SessionRow,
};
use crate::store::{Scan, index};

/// Why an effect was refused that is none to look after.
pub(crate) const UNWANTED: &str = "no longer wanted";

/// What an entry of the journal comes to; nothing for most.
pub(crate) fn of_entry(txn: &ScopedTxn<'_>, kind: &str, subject: &str, data: &Json) -> Option<Noted> {
    let word = |key: &str| data.get(key).and_then(Json::as_str).unwrap_or_default();
    match kind {
        "effect.retry" => Some(Noted::new(&table::EFFECT_RETRIES, &[word("setback")], 1.0)),
        "effect.refused" if word("outcome") != UNWANTED => {
            let effect = subject.split('#').next().unwrap_or_default();
            Some(Noted::new(&table::DEAD_LETTERS, &[effect], 1.0))
        }
        "breaker.opened" => {
            let of = if subject == breaker::RUNTIME { "runtime" } else { "rig" };
            Some(Noted::new(&table::BREAKER_TRIPS, &[of], 1.0))
        }
        "session.ended" => Some(Noted::new(&table::SESSIONS_ENDED, &[word("exit")], 1.0)),
        "bead.closed" => {
            let row = find::<BeadRow>(txn, &Key::bead(&BeadId::new(subject).ok()?))?;
            let age = txn.now().since(row.created_at);
            Some(Noted::new(&table::BEAD_AGE, &[row.kind.as_str()], seconds(age)))
        }
        "session.started" => {
            let session = find::<SessionRow>(txn, &Key::session(&SessionId::new(subject).ok()?))?;
            let slung_at = find::<BeadRow>(txn, &Key::bead(&session.bead))?.slung_at?;
            Some(Noted::new(&table::SLING_TO_RUNNING, &[], seconds(txn.now().since(slung_at))))
        }
        _ => None,
    }
}

/// How long the session was that an entry of the journal says is over.
pub(crate) fn length(txn: &ScopedTxn<'_>, kind: &str, subject: &str) -> Option<Noted> {
    if kind != "session.ended" {
        return None;
    }
    let session = find::<SessionRow>(txn, &Key::session(&SessionId::new(subject).ok()?))?;
    let length = txn.now().since(session.started_at?);
    Some(Noted::new(&table::SESSION_DURATION, &[], seconds(length)))
}

/// A row that can be read; what cannot is told of elsewhere.
fn find<T: crate::model::Stored>(txn: &ScopedTxn<'_>, key: &Key) -> Option<crate::model::Shared<T>> {
    txn.town_view().look(key).ok().flatten()
}

/// How the town stands, at the cost of what goes on in it.
pub(crate) fn standing(view: View<'_>) -> Result<Vec<Noted>> {
    let count = |scan: Scan| view.count(&scan);
    let mut found = Vec::new();
    let mut gauge = |metric, labels: &[&str], number: u64| {
        #[allow(clippy::cast_precision_loss, reason = "no town has so many of anything")]
        found.push(Noted::new(metric, labels, number as f64));
    };
    for role in Role::ALL {
        let busy = count(Scan::new(&index::AGENTS_BUSY_BY_ROLE, vec![text(role.as_str())], 1))?;
        gauge(&table::ACTIVE_SESSIONS, &[role.as_str()], busy);
    }
    let issue = || text(BeadKind::Issue.as_str());
    let mut ready = 0;
    for is_ephemeral in [0, 1] {
        ready += count(Scan::new(&index::BEADS_READY, vec![issue(), Value::Int(is_ephemeral)], 1))?;
    }
    gauge(&table::BEADS, &["ready"], ready);
    let in_work = vec![issue(), text(BeadStatus::InProgress.as_str())];
    gauge(&table::BEADS, &["claimed"], count(Scan::new(&index::BEADS_BY_STATUS, in_work, 1))?);
    gauge(&table::BEADS, &["slung"], count(Scan::new(&index::BEADS_SLUNG, vec![], 1))?);
    for state in [EffectState::Planned, EffectState::Issued, EffectState::Ambiguous] {
        let effects = count(Scan::new(&index::EFFECTS_BY_STATE, vec![text(state.as_str())], 1))?;
        gauge(&table::OUTBOX, &[state.as_str()], effects);
    }
    let mut under_way = 0;
    for state in ReviewState::ALL.iter().filter(|state| !state.is_terminal()) {
        under_way += count(Scan::new(&index::REVIEWS_BY_STATE, vec![text(state.as_str())], 1))?;
    }
    gauge(&table::MERGE_QUEUE, &[], under_way);
    Ok(found)
}
