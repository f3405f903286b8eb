//! What is over for long enough to leave the tables, and its leaving.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::trade::sync::basis::Basis;
use super::trade::sync::untold;
use super::txn::ScopedTxn;
use super::view::{View, text};
use super::{archived, graph};
use crate::model::{
    BeadId, BeadKind, BeadRow, BeadStatus, BeadTextRow, CommentRow, ConvoyRow, DependencyRow, EffectId, EffectRow,
    EffectState, Error, Key, LabelRow, MergeRequestRow, ReservationRow, Result, Row, SessionRow, SessionState, Stored,
    Timestamp,
};
use crate::store::{Scan, index};

/// The most beads that one transaction removes.
pub(crate) const BEADS_PER_STEP: usize = 50;

/// A bead that may leave, as it was when its rows were copied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Leaving {
    pub(crate) bead: BeadId,
    pub(crate) version: i64,
    /// The [`mark_of`] each of its rows.
    pub(crate) rows: Vec<u64>,
}

/// Removes beads whose rows are in an archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RemoveBeads {
    /// Only what is over since before.
    pub(crate) before: Timestamp,
    /// The archive, by its file's name.
    pub(crate) file: String,
    /// At most [`BEADS_PER_STEP`].
    pub(crate) beads: Vec<Leaving>,
}

/// Removes effects whose rows are in an archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RemoveEffects {
    pub(crate) before: Timestamp,
    pub(crate) file: String,
    pub(crate) effects: Vec<EffectId>,
}

/// Removes the journal's entries up to one, which are in an archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RemoveEvents {
    pub(crate) first: u64,
    pub(crate) through: u64,
    /// The hash of the entry `through`.
    pub(crate) hash: String,
    pub(crate) file: String,
}

/// Visits every bead that is over since before a time and that nothing unfinished refers to.
pub(crate) fn each_leaving(
    view: View<'_>,
    before: Timestamp,
    mut visit: impl FnMut(&BeadRow, Vec<Row>) -> Result<()>,
) -> Result<()> {
    for kind in [BeadKind::Issue, BeadKind::Convoy] {
        for status in [BeadStatus::Closed, BeadStatus::Failed] {
            let scan = Scan::new(&index::BEADS_BY_STATUS, vec![text(kind.as_str()), text(status.as_str())], 0);
            view.walk::<BeadRow>(scan, |bead| {
                if may_leave(view, &bead, before)? {
                    visit(&bead, rows_of(view, &bead.id)?)?;
                }
                Ok(true)
            })?;
        }
    }
    Ok(())
}

/// What tells a row as it is from any other, without its volatile columns.
pub(crate) fn mark_of(row: &Row) -> u64 {
    let sum = Sha256::digest(format!("{:?} {:?}", row.kind(), row.to_journaled()));
    u64::from_le_bytes(*sum.first_chunk().expect("a sum has 32 bytes"))
}

/// Visits every effect that is over since before a time.
pub(crate) fn each_done_effect(
    view: View<'_>,
    before: Timestamp,
    mut visit: impl FnMut(EffectRow) -> Result<()>,
) -> Result<()> {
    for state in [EffectState::Confirmed, EffectState::Refused] {
        let scan = Scan::new(&index::EFFECTS_BY_STATE, vec![text(state.as_str())], 0);
        view.walk::<EffectRow>(scan, |effect| {
            if effect.updated_at < before {
                visit(effect)?;
            }
            Ok(true)
        })?;
    }
    Ok(())
}

/// Whether a bead is over since before a time, and so is every bead, session and merge request it has to do with.
fn may_leave(view: View<'_>, bead: &BeadRow, before: Timestamp) -> Result<bool> {
    let over = |row: &BeadRow| row.status.is_terminal() && row.closed_at.is_some_and(|at| at < before);
    if !over(bead) || bead.slung {
        return Ok(false);
    }
    let others = edges_of(view, &bead.id)?
        .into_iter()
        .map(|edge| if edge.bead == bead.id { edge.on_bead } else { edge.bead })
        .chain(bead.convoy.clone())
        .chain(bead.parent.clone());
    for other in others {
        if view.find::<BeadRow>(&Key::bead(&other))?.is_some_and(|other| !over(&other)) {
            return Ok(false);
        }
    }
    // Who waits for the parts of its parent may count on this one.
    if let Some(parent) = &bead.parent
        && graph::holds_up(view, parent)?
    {
        return Ok(false);
    }
    // Its parts and members go first: whoever of them stays may be opened again and needs it then.
    let none = |_: &BeadRow| false;
    Ok(none_but(view, Scan::new(&index::BEADS_BY_PARENT, vec![text(&bead.id)], 0), none)?
        && none_but(view, Scan::new(&index::BEADS_BY_CONVOY, vec![text(&bead.id)], 0), none)?
        && none_but(view, Scan::new(&index::SESSIONS_BY_BEAD, vec![text(&bead.id)], 0), |session: &SessionRow| {
            session.state == SessionState::Ended
        })?
        && none_but(
            view,
            Scan::new(&index::REVIEWS_BY_SOURCE, vec![text(&bead.id)], 0),
            |review: &MergeRequestRow| review.state.is_terminal(),
        )?)
}

/// Whether every record of a scan is like that.
fn none_but<T: Stored>(view: View<'_>, scan: Scan, like: impl Fn(&T) -> bool) -> Result<bool> {
    let mut all = true;
    view.walk::<T>(scan, |record| {
        all = like(&record);
        Ok(all)
    })?;
    Ok(all)
}

fn edges_of(view: View<'_>, bead: &BeadId) -> Result<Vec<DependencyRow>> {
    let mut edges: Vec<DependencyRow> = view.all(Scan::new(&index::DEPENDENCIES, vec![text(bead)], 0))?;
    edges.extend(view.all::<DependencyRow>(Scan::new(&index::DEPENDENTS, vec![text(bead)], 0))?);
    Ok(edges)
}

/// Everything that leaves with a bead: its texts, labels and edges, its sessions, its merge requests with theirs.
fn rows_of(view: View<'_>, bead: &BeadId) -> Result<Vec<Row>> {
    let mut rows = own_rows(view, bead)?;
    let sessions: Vec<SessionRow> = view.all(Scan::new(&index::SESSIONS_BY_BEAD, vec![text(bead)], 0))?;
    rows.extend(sessions.into_iter().map(Stored::into_row));
    let reviews: Vec<MergeRequestRow> = view.all(Scan::new(&index::REVIEWS_BY_SOURCE, vec![text(bead)], 0))?;
    for review in reviews {
        rows.extend(own_rows(view, &review.id)?);
        rows.push(review.into_row());
    }
    let convoy: Option<ConvoyRow> = view.find(&Key::convoy(bead))?;
    rows.extend(convoy.map(Stored::into_row));
    Ok(rows)
}

/// A bead's columns, texts, labels, comments, reservations and edges.
fn own_rows(view: View<'_>, bead: &BeadId) -> Result<Vec<Row>> {
    let row: Option<BeadRow> = view.find(&Key::bead(bead))?;
    let texts: Option<BeadTextRow> = view.find(&Key::bead_text(bead))?;
    let labels: Vec<LabelRow> = view.all(Scan::new(&index::LABELS, vec![text(bead)], 0))?;
    let comments: Vec<CommentRow> = view.all(Scan::new(&index::COMMENTS, vec![text(bead)], 0))?;
    let reservations: Vec<ReservationRow> = view.all(Scan::new(&index::RESERVATIONS, vec![text(bead)], 0))?;
    let edges = edges_of(view, bead)?;
    Ok(row
        .map(Stored::into_row)
        .into_iter()
        .chain(texts.map(Stored::into_row))
        .chain(labels.into_iter().map(Stored::into_row))
        .chain(comments.into_iter().map(Stored::into_row))
        .chain(reservations.into_iter().map(Stored::into_row))
        .chain(edges.into_iter().map(Stored::into_row))
        .collect())
}

/// Removes those that are as they were copied, and answers how many.
pub(crate) fn remove_beads(txn: &mut ScopedTxn<'_>, input: &RemoveBeads) -> Result<u64> {
    txn.view().whole_town()?;
    let (mut removed, bases) = (0, Basis::all(txn.view())?);
    for Leaving { bead, version, rows: copied } in &input.beads {
        let Some(row) = txn.find::<BeadRow>(&Key::bead(bead))? else { continue };
        if row.version != *version || !may_leave(txn.view(), &row, input.before)? {
            continue;
        }
        let rows = rows_of(txn.view(), bead)?;
        // What came or changed meanwhile is in no file.
        if !rows.iter().all(|row| copied.contains(&mark_of(row))) {
            continue;
        }
        untold::note(txn, &bases, &row)?;
        for gone in rows {
            txn.delete(&gone.key())?;
        }
        graph::forget_part(txn, &row)?;
        archived::note(txn, &row)?;
        txn.event("bead.archived", bead, serde_json::json!({ "file": input.file }));
        removed += 1;
    }
    Ok(removed)
}

/// Removes those that are still over, and answers how many.
pub(crate) fn remove_effects(txn: &mut ScopedTxn<'_>, input: &RemoveEffects) -> Result<u64> {
    txn.view().whole_town()?;
    let mut removed = 0;
    for id in &input.effects {
        let row = txn.find::<EffectRow>(&Key::effect(id))?;
        if row.is_some_and(|row| row.state.is_terminal() && row.updated_at < input.before) {
            txn.delete(&Key::effect(id))?;
            removed += 1;
        }
    }
    if removed > 0 {
        txn.event("effects.archived", "town", serde_json::json!({ "file": input.file, "count": removed }));
    }
    Ok(removed)
}

/// Removes the beginning of the journal, and journals where it went.
pub(crate) fn remove_events(txn: &mut ScopedTxn<'_>, input: &RemoveEvents) -> Result<()> {
    let reader = txn.view().whole_town()?;
    let first = reader.events(0, 1)?.first().map_or(0, |event| event.seq);
    let last = reader.events(input.through.saturating_sub(1), 1)?;
    if first != input.first || last.first().is_none_or(|event| event.seq != input.through || event.hash != input.hash) {
        return Err(Error::conflict(
            "journal_moved",
            "the journal's beginning was archived by somebody else meanwhile",
        )
        .with("first", first)
        .with("wanted", input.first));
    }
    txn.truncate_journal(input.through)?;
    let RemoveEvents { first, through, hash, file } = input;
    let facts = serde_json::json!({ "first": first, "through": through, "hash": hash, "file": file });
    txn.event("journal.archived", "journal", facts);
    Ok(())
}

/// The last entry of the journal's beginning that is from before a time, and is not the journal's last.
///
/// None where only notices of earlier archivings would go, which would leave one more notice.
pub(crate) fn last_before(view: View<'_>, before: Timestamp) -> Result<Option<u64>> {
    let reader = view.whole_town()?;
    let head = reader.head()?.seq;
    let (mut after, mut last, mut is_worth) = (0, None, false);
    loop {
        let events = reader.events(after, super::events::EVENTS_MAX)?;
        if events.is_empty() {
            return Ok(last.filter(|_| is_worth));
        }
        for event in events {
            if event.at >= before || event.seq >= head {
                return Ok(last.filter(|_| is_worth));
            }
            is_worth |= !event.kind.ends_with(".archived");
            after = event.seq;
            last = Some(event.seq);
        }
    }
}
