//! Beads that are taken away for good.

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::bead::whole;
use super::check_version;
use super::close::refuse_in_session;
use crate::model::{
    BeadId, BeadKind, BeadRow, BeadStatus, BeadTextRow, CommentRow, DependencyRow, Error, Key, LabelRow,
    MergeRequestRow, ReservationRow, Result, SessionRow, Stored, TombstoneRow,
};
use crate::store::{Scan, index};
use crate::work::fields::check_reason;
use crate::work::graph;
use crate::work::ready::is_ready;
use crate::work::txn::ScopedTxn;
use crate::work::view::text;

/// The most beads that one command takes away or renames.
pub(super) const CASCADE_MAX: usize = 1_000;
/// The longest texts that a tombstone keeps in bytes, all four together; the journal has them all.
const RECORD_BYTES_MAX: usize = 256 << 10;

/// Takes a bead away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeleteBead {
    /// Which.
    pub id: BeadId,
    /// Take its parts away as well; without this a bead with parts stays.
    #[serde(default)]
    pub cascade: bool,
    /// Why, for people.
    #[serde(default)]
    pub reason: Option<String>,
    /// Refuse with `version_mismatch` where the bead has another version.
    #[serde(default)]
    pub expected_version: Option<i64>,
}

impl From<BeadId> for DeleteBead {
    fn from(id: BeadId) -> Self {
        Self { id, cascade: false, reason: None, expected_version: None }
    }
}

impl From<&BeadId> for DeleteBead {
    fn from(id: &BeadId) -> Self {
        id.clone().into()
    }
}

/// What was deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deleted {
    /// The beads that are gone, parts before what they were parts of.
    pub deleted: Vec<BeadId>,
    /// The beads of this scope that became ready by it, by id.
    pub unblocked: Vec<BeadId>,
}

pub(crate) fn delete(txn: &mut ScopedTxn<'_>, input: &DeleteBead) -> Result<Deleted> {
    check_reason(input.reason.as_deref())?;
    let row = txn.bead(&input.id)?;
    check_version(&row, input.expected_version)?;
    let mut all = with_parts(txn, row)?;
    if all.len() > 1 && !input.cascade {
        return Err(Error::conflict("bead_has_parts", format!("bead {} has {} parts", input.id, all.len() - 1))
            .with("bead", &input.id)
            .with("parts", all.len() - 1));
    }
    for row in &all {
        refuse_in_use(txn, row)?;
    }
    all.reverse();
    let mut freed = Vec::new();
    let mut deleted = Vec::with_capacity(all.len());
    for row in all {
        freed.extend(remove(txn, &row.id, input)?);
        deleted.push(row.id);
    }
    freed.sort_unstable();
    freed.dedup();
    let now = txn.now();
    let mut unblocked = Vec::new();
    for id in freed {
        // Some of them went themselves, some are another rig's.
        if txn.find::<BeadRow>(&Key::bead(&id))?.is_some_and(|row| is_ready(&row, now)) {
            unblocked.push(id);
        }
    }
    Ok(Deleted { deleted, unblocked })
}

/// The bead and its parts, to any depth, each behind what it is a part of.
pub(super) fn with_parts(txn: &ScopedTxn<'_>, root: BeadRow) -> Result<Vec<BeadRow>> {
    let mut all = vec![root];
    let mut at = 0;
    while at < all.len() {
        let left = CASCADE_MAX + 1 - all.len().min(CASCADE_MAX);
        let parts: Vec<BeadRow> = txn.scan(Scan::new(&index::BEADS_BY_PARENT, vec![text(&all[at].id)], left))?;
        all.extend(parts);
        if all.len() > CASCADE_MAX {
            return Err(Error::exhausted(
                "too_many_parts",
                format!("bead {} has more parts than the {CASCADE_MAX} that one command takes", all[0].id),
            )
            .with("bead", &all[0].id)
            .with("beads_max", CASCADE_MAX));
        }
        at += 1;
    }
    Ok(all)
}

/// Refuses to delete or rename what somebody works with or what a session, a convoy or a merge request tells of.
pub(crate) fn refuse_in_use(txn: &ScopedTxn<'_>, row: &BeadRow) -> Result<()> {
    if row.kind != BeadKind::Issue {
        return Err(Error::invalid(
            "not_an_issue",
            format!("bead {} is a {}; it has verbs of its own", row.id, row.kind),
        )
        .with("bead", &row.id)
        .with("kind", row.kind));
    }
    refuse_in_session(txn, row)?;
    let refused = |code, why: String| Error::conflict(code, format!("bead {} {why}", row.id)).with("bead", &row.id);
    if let Some(convoy) = &row.convoy {
        return Err(refused("bead_in_convoy", format!("is a member of the convoy {convoy}")).with("convoy", convoy));
    }
    if row.slung {
        return Err(refused("bead_slung", "is slung and will be given to an agent".to_owned()));
    }
    match row.status {
        BeadStatus::InProgress if row.lease_until.is_none_or(|until| until > txn.now()) => {
            let holder = row.assignee.as_deref().unwrap_or("");
            return Err(refused("bead_held", format!("is held by {holder} (epoch {})", row.epoch))
                .with("assignee", holder)
                .with("epoch", row.epoch));
        }
        BeadStatus::InReview => return Err(refused("bead_in_review", "is in review".to_owned())),
        _ => {}
    }
    let sessions: Vec<SessionRow> = txn.scan(Scan::new(&index::SESSIONS_BY_BEAD, vec![text(&row.id)], 1))?;
    let reviews: Vec<MergeRequestRow> = txn.scan(Scan::new(&index::REVIEWS_BY_SOURCE, vec![text(&row.id)], 1))?;
    if sessions.is_empty() && reviews.is_empty() {
        return Ok(());
    }
    Err(refused("bead_has_history", "was worked on by agents, whose sessions and merge requests name it".to_owned()))
}

/// Removes a bead's rows and leaves a tombstone; answers the beads that became free of blockers.
fn remove(txn: &mut ScopedTxn<'_>, id: &BeadId, input: &DeleteBead) -> Result<Vec<BeadId>> {
    let freed = graph::remove_bead(txn, id)?;
    let row = txn.bead(id)?;
    let texts = txn.find::<BeadTextRow>(&Key::bead_text(id))?;
    let record = record(&row, texts.as_ref());
    remove_own(txn, &row)?;
    bury(txn, id, input.reason.clone(), record)?;
    txn.event(
        "bead.deleted",
        id,
        json!({ "reason": input.reason, "with": (*id != input.id).then_some(&input.id), "unblocked": freed }),
    );
    Ok(freed)
}

/// Removes the rows that are a bead's alone.
pub(crate) fn remove_own(txn: &mut ScopedTxn<'_>, row: &BeadRow) -> Result<()> {
    remove_rows(txn, &row.id)?;
    // The bead itself last: whose the others are is told by it.
    txn.delete(&Key::bead(&row.id))
}

/// Removes the rows that are a bead's alone, but not the bead.
pub(crate) fn remove_rows(txn: &mut ScopedTxn<'_>, id: &BeadId) -> Result<()> {
    let of = vec![text(id)];
    let mut keys = vec![Key::bead_text(id)];
    keys.extend(txn.all::<LabelRow>(Scan::new(&index::LABELS, of.clone(), 0))?.iter().map(Stored::key));
    keys.extend(txn.all::<CommentRow>(Scan::new(&index::COMMENTS, of.clone(), 0))?.iter().map(Stored::key));
    keys.extend(txn.all::<ReservationRow>(Scan::new(&index::RESERVATIONS, of, 0))?.iter().map(Stored::key));
    keys.iter().try_for_each(|key| txn.delete(key))
}

/// Leaves a tombstone; they are the town's, whoever made them.
pub(super) fn bury(txn: &mut ScopedTxn<'_>, id: &BeadId, reason: Option<String>, record: Json) -> Result<()> {
    let (deleted_at, deleted_by) = (txn.now(), txn.actor().to_owned());
    let left = TombstoneRow { id: id.clone(), deleted_at, deleted_by, reason, record: Some(record) };
    txn.as_town(|txn| txn.put(left))
}

/// What a bead was.
fn record(row: &BeadRow, texts: Option<&BeadTextRow>) -> Json {
    let bytes = |t: &BeadTextRow| t.description.len() + t.design.len() + t.acceptance.len() + t.notes.len();
    let kept = texts.filter(|texts| bytes(texts) <= RECORD_BYTES_MAX).cloned();
    let is_cut = kept.is_none() && texts.is_some();
    let mut record = serde_json::to_value(whole(row.clone(), kept)).unwrap_or_default();
    if is_cut {
        record["texts_left_out"] = json!(true);
    }
    record
}

/// The edges of a bead, in both directions.
pub(super) fn edges_of(txn: &ScopedTxn<'_>, id: &BeadId) -> Result<Vec<DependencyRow>> {
    let mut edges: Vec<DependencyRow> = txn.all(Scan::new(&index::DEPENDENCIES, vec![text(id)], 0))?;
    let on: Vec<DependencyRow> = txn.all(Scan::new(&index::DEPENDENTS, vec![text(id)], 0))?;
    // An edge of imported data may lead from a bead to itself.
    edges.extend(on.into_iter().filter(|edge| edge.bead != edge.on_bead));
    Ok(edges)
}
