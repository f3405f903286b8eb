//! Beads: lists, what is ready, and who takes what.

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::beads::{Bead, BeadRef, assemble, get, refuse_in_session};
use super::fields::check_word;
use super::txn::ScopedTxn;
use super::view::{View, text};
use crate::model::id::excerpt;
use crate::model::value::Value;
use crate::model::{BeadId, BeadKind, BeadRow, BeadStatus, Error, Key, LabelRow, Result, RigName, Timestamp};
use crate::store::{Position, Scan, index};

/// The most beads in one answer.
pub(crate) const PAGE_MAX: usize = 1_000;
/// Which beads to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BeadFilter {
    /// Of this kind; issues where it is left out.
    pub kind: Option<BeadKind>,
    /// In this status.
    pub status: Option<BeadStatus>,
    /// Of this rig.
    pub rig: Option<RigName>,
    /// With this label.
    pub label: Option<String>,
    /// Held by this agent's bead or person.
    pub assignee: Option<String>,
    /// Members of this convoy.
    pub convoy: Option<BeadId>,
    /// At most so many, 1 to 1000; 50 where it is left out.
    pub limit: Option<usize>,
    /// Go on behind an earlier page.
    pub cursor: Option<String>,
}

/// One page of beads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BeadPage {
    /// The beads, in order.
    pub beads: Vec<Bead>,
    /// Where the next page begins; none at the end.
    pub cursor: Option<String>,
}

/// Lists beads, oldest first.
pub(crate) fn list(view: View<'_>, input: &BeadFilter) -> Result<BeadPage> {
    let kind = text(input.kind.unwrap_or(BeadKind::Issue).as_str());
    let scan = match input.status {
        Some(status) => Scan::new(&index::BEADS_BY_STATUS, vec![kind, text(status.as_str())], 0),
        None => Scan::new(&index::BEADS_BY_KIND, vec![kind], 0),
    };
    page(view, input, scan, |_| true)
}

/// Lists the issues that could be worked on now: open, unblocked, not deferred, not parked, held by nobody.
///
/// It looks at the time itself and is right with no engine running.
pub(crate) fn ready(view: View<'_>, input: &BeadFilter) -> Result<BeadPage> {
    let kind = text(input.kind.unwrap_or(BeadKind::Issue).as_str());
    let now = view.now();
    page(view, input, Scan::new(&index::BEADS_READY, vec![kind, Value::Int(0)], 0), |row| is_ready(row, now))
}

/// Whether an open bead without blockers could be worked on.
pub(crate) fn is_ready(row: &BeadRow, now: Timestamp) -> bool {
    row.status == BeadStatus::Open
        && row.blockers == 0
        && row.defer_until.is_none_or(|at| at <= now)
        && (row.parked_reason.is_none() || row.parked_until.is_some_and(|at| at <= now))
}

fn page(view: View<'_>, input: &BeadFilter, scan: Scan, wanted: impl Fn(&BeadRow) -> bool) -> Result<BeadPage> {
    let limit = check_limit(input.limit)?;
    let scan_index = scan.index;
    let after = input.cursor.as_deref().map(|cursor| decode_cursor(scan_index, cursor)).transpose()?;
    let mut rows: Vec<BeadRow> = Vec::new();
    let mut more = false;
    view.walk::<BeadRow>(scan.after(after), |row| {
        let fits = wanted(&row)
            && input.rig.as_ref().is_none_or(|rig| row.rig.as_ref() == Some(rig))
            && input.status.is_none_or(|status| row.status == status)
            && input.assignee.as_ref().is_none_or(|who| row.assignee.as_ref() == Some(who))
            && input.convoy.as_ref().is_none_or(|convoy| row.convoy.as_ref() == Some(convoy))
            && match &input.label {
                Some(label) => view.find::<LabelRow>(&Key::label(&row.id, label))?.is_some(),
                None => true,
            };
        if fits {
            more = rows.len() == limit;
            if !more {
                rows.push(row);
            }
        }
        Ok(!more)
    })?;
    let cursor = match rows.last() {
        Some(last) if more => Some(encode_cursor(&Position::of(scan_index, &crate::model::Row::Bead(last.clone())))),
        _ => None,
    };
    let mut beads = Vec::with_capacity(rows.len());
    for row in rows {
        match assemble(view, row) {
            Ok(bead) => beads.push(bead),
            // One whose texts cannot be read stops no list; `get` says what is wrong with it.
            Err(error) if error.code() == "row_unreadable" => {}
            Err(error) => return Err(error),
        }
    }
    Ok(BeadPage { beads, cursor })
}

fn check_limit(limit: Option<usize>) -> Result<usize> {
    match limit.unwrap_or(50) {
        limit @ 1..=PAGE_MAX => Ok(limit),
        limit => Err(Error::invalid("limit_out_of_range", format!("a page holds 1 to {PAGE_MAX} beads, not {limit}"))
            .with("found", limit)),
    }
}

fn encode_cursor(position: &Position) -> String {
    Json::Array(position.0.iter().map(Value::to_json).collect()).to_string()
}

fn decode_cursor(at: &index::Index, cursor: &str) -> Result<Position> {
    let wrong = || Error::invalid("cursor_malformed", format!("{} is no cursor of this list", excerpt(cursor)));
    let parts: Vec<Json> = serde_json::from_str(cursor).map_err(|source| wrong().because(source))?;
    if parts.len() != at.order.len() {
        return Err(wrong());
    }
    let values = parts.iter().map(Value::from_json).collect::<Result<_>>().map_err(|source| wrong().because(source))?;
    Ok(Position(values))
}

/// Who claims what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// Which; the most urgent ready issue where it is left out.
    #[serde(default)]
    pub id: Option<BeadId>,
    /// Only from this rig, where `id` is left out.
    #[serde(default)]
    pub rig: Option<RigName>,
    /// Who; an agent's bead or a person's name.
    pub by: String,
    /// How long the claim holds in milliseconds; 90,000 where it is left out. After that somebody else may claim the
    /// bead by its id.
    #[serde(default)]
    pub lease_ms: Option<u64>,
}

/// Takes a ready bead for somebody: exactly one of any number of callers gets it.
pub(crate) fn claim(txn: &mut ScopedTxn<'_>, input: &Claim) -> Result<Bead> {
    check_word("by", &input.by)?;
    let now = txn.now();
    let mut row = match &input.id {
        Some(id) => txn.bead(id)?,
        None => best_ready(txn.view(), input.rig.as_ref())?
            .ok_or_else(|| Error::not_found("nothing_ready", "no bead is ready"))?,
    };
    let ran_out = row.status == BeadStatus::InProgress && row.lease_until.is_some_and(|until| until <= now);
    if ran_out {
        row.move_to(BeadStatus::Open, None, now)?;
        row.assignee = None;
    }
    if !is_ready(&row, now) || row.slung {
        return Err(not_claimable(&row, now));
    }
    row.move_to(BeadStatus::InProgress, None, now)?;
    row.assignee = Some(input.by.clone());
    row.epoch += 1;
    let lease_ms = input.lease_ms.unwrap_or(90_000).clamp(1, 604_800_000);
    row.lease_until = Some(now.after(std::time::Duration::from_millis(lease_ms)));
    let (id, epoch) = (row.id.clone(), row.epoch);
    txn.put_bead(row)?;
    txn.event("bead.claimed", &id, json!({ "by": input.by, "epoch": epoch }));
    get(txn.view(), &id.into())
}

fn best_ready(view: View<'_>, rig: Option<&RigName>) -> Result<Option<BeadRow>> {
    let now = view.now();
    let mut best = None;
    view.walk::<BeadRow>(
        Scan::new(&index::BEADS_READY, vec![text(BeadKind::Issue.as_str()), Value::Int(0)], 0),
        |row| {
            let fits = is_ready(&row, now) && !row.slung && rig.is_none_or(|rig| row.rig.as_ref() == Some(rig));
            if fits {
                best = Some(row);
            }
            Ok(!fits)
        },
    )?;
    Ok(best)
}

fn not_claimable(row: &BeadRow, now: Timestamp) -> Error {
    let (code, why) = if let Some(holder) = &row.assignee {
        ("bead_held", format!("is held by {holder} (epoch {})", row.epoch))
    } else if row.status != BeadStatus::Open {
        ("bead_not_open", format!("is {}", row.status))
    } else if row.blockers > 0 {
        ("bead_blocked", format!("waits for {} other beads", row.blockers))
    } else if row.defer_until.is_some_and(|at| at > now) {
        ("bead_deferred", "is deferred".to_owned())
    } else if row.slung {
        ("bead_slung", "is slung and will be given to an agent".to_owned())
    } else {
        ("bead_parked", "is parked".to_owned())
    };
    Error::conflict(code, format!("bead {} {why}", row.id))
        .with("bead", &row.id)
        .with("status", row.status)
        .with("blockers", row.blockers)
        .with("assignee", row.assignee.as_deref().unwrap_or(""))
        .with("epoch", row.epoch)
}

/// Gives a claimed bead back.
pub(crate) fn release(txn: &mut ScopedTxn<'_>, input: &BeadRef) -> Result<Bead> {
    let mut row = txn.bead(&input.id)?;
    refuse_in_session(txn, &row)?;
    if row.status != BeadStatus::InProgress {
        return Err(Error::conflict("bead_not_claimed", format!("bead {} is {} and nobody's", row.id, row.status))
            .with("bead", &row.id)
            .with("status", row.status));
    }
    row.move_to(BeadStatus::Open, None, txn.now())?;
    row.assignee = None;
    row.lease_until = None;
    txn.put_bead(row)?;
    txn.event("bead.released", &input.id, json!({}));
    get(txn.view(), input)
}
