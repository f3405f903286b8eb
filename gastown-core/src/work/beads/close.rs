//! The end of a bead's work, and its beginning anew.

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::bead::{Bead, assemble};
use super::{check_epoch, check_version};
use crate::model::{
    AgentRow, BeadId, BeadKind, BeadRow, BeadStatus, DependencyKind, DependencyRow, Error, Key, Resolution, Result,
};
use crate::store::{Scan, index};
use crate::work::fields::check_reason;
use crate::work::graph;
use crate::work::ready::is_ready;
use crate::work::reservations;
use crate::work::reviews;
use crate::work::txn::ScopedTxn;
use crate::work::view::text;

/// The most blockers that a refusal names.
const NAMED_MAX: usize = 10;

/// Closes a bead for a reason.
///
/// ```
/// use gastown_core::CloseBead;
/// # let id = gastown_core::model::BeadId::new("hq-1").unwrap();
/// let done = CloseBead { reason: Some("shipped".into()), ..CloseBead::from(&id) };
/// assert!(!done.force);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CloseBead {
    /// Which.
    pub id: BeadId,
    /// Why; `completed` where it is left out. Not `merged` or `landed`: git proves those.
    #[serde(default)]
    pub resolution: Option<Resolution>,
    /// More about it, for people.
    #[serde(default)]
    pub reason: Option<String>,
    /// The bead that says the same; closes as `duplicate` with an edge to it.
    #[serde(default)]
    pub duplicate_of: Option<BeadId>,
    /// The bead that takes its place; closes as `superseded` with an edge from it.
    #[serde(default)]
    pub superseded_by: Option<BeadId>,
    /// Refuse with `version_mismatch` where the bead has another version.
    #[serde(default)]
    pub expected_version: Option<i64>,
    /// Refuse with `epoch_stale` where somebody else has claimed the bead since.
    #[serde(default)]
    pub expected_epoch: Option<i64>,
    /// Close it although it is pinned, has open parts, or is not done and waits for others.
    #[serde(default)]
    pub force: bool,
}

impl From<BeadId> for CloseBead {
    fn from(id: BeadId) -> Self {
        Self {
            id,
            resolution: None,
            reason: None,
            duplicate_of: None,
            superseded_by: None,
            expected_version: None,
            expected_epoch: None,
            force: false,
        }
    }
}

impl From<&BeadId> for CloseBead {
    fn from(id: &BeadId) -> Self {
        id.clone().into()
    }
}

/// What closing a bead did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Closed {
    /// The bead.
    pub bead: Bead,
    /// Whether it was closed now; false where it was so already, for the same resolution.
    pub changed: bool,
    /// The beads of this scope that became ready by it, by id.
    pub unblocked: Vec<BeadId>,
}

pub(crate) fn close(txn: &mut ScopedTxn<'_>, input: &CloseBead) -> Result<Closed> {
    check_reason(input.reason.as_deref())?;
    let resolution = resolution(input)?;
    let row = txn.bead(&input.id)?;
    if row.kind != BeadKind::Issue {
        return Err(Error::invalid(
            "kind_not_closable",
            format!("bead {} is a {}; it has verbs of its own", row.id, row.kind),
        )
        .with("kind", row.kind));
    }
    check_epoch(&row, input.expected_epoch)?;
    let is_repeat = row.status == BeadStatus::Closed
        && row.resolution == Some(resolution)
        && (input.reason.is_none() || input.reason == row.close_reason);
    if is_repeat {
        return Ok(Closed { bead: assemble(txn.view(), row)?, changed: false, unblocked: Vec::new() });
    }
    check_version(&row, input.expected_version)?;
    refuse_in_session(txn, &row)?;
    if !input.force {
        guard(txn, &row, resolution)?;
    }
    if row.status == BeadStatus::InReview {
        reviews::abandon(txn, &row.id)?;
    }
    let mut data = json!({ "resolution": resolution, "reason": input.reason });
    if let Some(other) = &input.duplicate_of {
        txn.bead(other)?;
        graph::add_edge(txn, &row.id, other, DependencyKind::Duplicates)?;
        data["duplicate_of"] = json!(other);
    }
    if let Some(other) = &input.superseded_by {
        txn.bead(other)?;
        graph::add_edge(txn, other, &row.id, DependencyKind::Supersedes)?;
        data["superseded_by"] = json!(other);
    }
    // What was done above may have written it.
    let is_stale = row.status == BeadStatus::InReview || input.duplicate_of.is_some() || input.superseded_by.is_some();
    let mut row = if is_stale { txn.bead(&input.id)? } else { row };
    row.close_reason.clone_from(&input.reason);
    let freed = settle_and_free(txn, row, BeadStatus::Closed, resolution, data)?;
    let now = txn.now();
    let mut unblocked = Vec::new();
    for id in freed {
        if txn.look::<BeadRow>(&Key::bead(&id))?.is_some_and(|row| is_ready(&row, now)) {
            unblocked.push(id);
        }
    }
    unblocked.sort_unstable();
    Ok(Closed { bead: assemble(txn.view(), txn.bead(&input.id)?)?, changed: true, unblocked })
}

fn resolution(input: &CloseBead) -> Result<Resolution> {
    let implied = match (&input.duplicate_of, &input.superseded_by) {
        (Some(_), Some(_)) => {
            return Err(Error::invalid("resolution_mismatch", "a bead is a duplicate or superseded, not both"));
        }
        (Some(_), None) => Some(Resolution::Duplicate),
        (None, Some(_)) => Some(Resolution::Superseded),
        (None, None) => None,
    };
    let resolution = input.resolution.or(implied).unwrap_or(Resolution::Completed);
    if implied.is_some_and(|implied| implied != resolution) {
        return Err(Error::invalid(
            "resolution_mismatch",
            format!("what names another bead is not closed as {resolution}"),
        )
        .with("resolution", resolution));
    }
    if matches!(resolution, Resolution::Merged | Resolution::Landed | Resolution::AttemptsExhausted) {
        return Err(Error::invalid(
            "resolution_reserved",
            format!("only the town itself closes a bead as {resolution}"),
        )
        .with("resolution", resolution));
    }
    Ok(resolution)
}

/// Refuses to close what most likely should stay open; `force` gets past it.
fn guard(txn: &ScopedTxn<'_>, row: &BeadRow, resolution: Resolution) -> Result<()> {
    let refused = |code, why: String| {
        Error::conflict(code, format!("bead {} {why}", row.id)).with("bead", &row.id).with("force", true)
    };
    if row.pinned {
        return Err(refused("bead_pinned", "is pinned".to_owned()));
    }
    if row.open_parts > 0 {
        return Err(refused("bead_has_open_parts", format!("has {} open parts", row.open_parts))
            .with("open_parts", row.open_parts));
    }
    // What is decided against need not have been possible; a parent's own blockers are none of the part's.
    if resolution != Resolution::Completed || row.blockers == 0 || row.status.is_terminal() {
        return Ok(());
    }
    let edges: Vec<DependencyRow> = txn.all(Scan::new(&index::DEPENDENCIES, vec![text(&row.id)], 0))?;
    let own: Vec<&str> =
        edges.iter().filter(|edge| edge.counted && edge.kind.is_blocking()).map(|edge| edge.on_bead.as_str()).collect();
    if own.is_empty() {
        return Ok(());
    }
    let named = own.iter().take(NAMED_MAX).copied().collect::<Vec<_>>().join(", ");
    Err(refused("bead_blocked", format!("waits for {} other beads: {named}", own.len()))
        .with("blockers", own.len())
        .with("on_beads", named))
}

/// Closes or fails a bead and frees what waited for it.
pub(crate) fn settle(
    txn: &mut ScopedTxn<'_>,
    row: BeadRow,
    status: BeadStatus,
    resolution: Resolution,
    data: Json,
) -> Result<()> {
    settle_and_free(txn, row, status, resolution, data).map(drop)
}

/// The same; answers the beads without blockers that this left.
fn settle_and_free(
    txn: &mut ScopedTxn<'_>,
    mut row: BeadRow,
    status: BeadStatus,
    resolution: Resolution,
    data: Json,
) -> Result<Vec<BeadId>> {
    let before = graph::Before::of(&row);
    let (id, convoy) = (row.id.clone(), row.convoy.clone());
    row.move_to(status, Some(resolution), txn.now())?;
    row.assignee = None;
    row.lease_until = None;
    row.slung = false;
    row.wake_at = None;
    let freed = graph::put_moved(txn, before, row)?;
    reservations::release_all(txn, &id)?;
    let mut data = data;
    if let Some(map) = data.as_object_mut() {
        map.insert("unblocked".to_owned(), json!(freed));
    }
    txn.event(if status == BeadStatus::Closed { "bead.closed" } else { "bead.failed" }, &id, data);
    if let Some(convoy) = &convoy {
        txn.mark_dirty(convoy)?;
    }
    Ok(freed)
}

/// Opens a closed or failed bead again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReopenBead {
    /// Which.
    pub id: BeadId,
    /// Why, for people.
    #[serde(default)]
    pub reason: Option<String>,
    /// Refuse with `version_mismatch` where the bead has another version.
    #[serde(default)]
    pub expected_version: Option<i64>,
}

impl From<BeadId> for ReopenBead {
    fn from(id: BeadId) -> Self {
        Self { id, reason: None, expected_version: None }
    }
}

impl From<&BeadId> for ReopenBead {
    fn from(id: &BeadId) -> Self {
        id.clone().into()
    }
}

/// Opens a closed or failed bead again; what is merged or landed stays closed.
pub(crate) fn reopen(txn: &mut ScopedTxn<'_>, input: &ReopenBead) -> Result<Bead> {
    check_reason(input.reason.as_deref())?;
    let mut row = txn.bead(&input.id)?;
    if !row.status.is_terminal() {
        return Err(Error::conflict(
            "bead_not_terminal",
            format!("bead {} is {}, not closed or failed", row.id, row.status),
        )
        .with("status", row.status));
    }
    check_version(&row, input.expected_version)?;
    let before = graph::Before::of(&row);
    let convoy = row.convoy.clone();
    row.move_to(BeadStatus::Open, None, txn.now())?;
    row.close_reason = None;
    row.failures = 0;
    row.outages = 0;
    row.reworks = 0;
    row.parked_reason = None;
    row.parked_until = None;
    graph::put_moved(txn, before, row)?;
    txn.event("bead.reopened", &input.id, json!({ "reason": input.reason }));
    if let Some(convoy) = &convoy {
        txn.mark_dirty(convoy)?;
    }
    assemble(txn.view(), txn.bead(&input.id)?)
}

/// A bead with a running session is the session's: it is stopped first.
pub(crate) fn refuse_in_session(txn: &ScopedTxn<'_>, row: &BeadRow) -> Result<()> {
    let Some(assignee) = &row.assignee else { return Ok(()) };
    let Ok(id) = BeadId::new(assignee.clone()) else { return Ok(()) };
    match txn.look::<AgentRow>(&Key::agent(&id))? {
        Some(agent) if agent.hook.as_ref() == Some(&row.id) => Err(Error::conflict(
            "bead_in_session",
            format!("bead {} is on the hook of {} (epoch {}); stop it first", row.id, agent.name, row.epoch),
        )
        .with("bead", &row.id)
        .with("agent", &agent.name)
        .with("epoch", row.epoch)),
        _ => Ok(()),
    }
}
