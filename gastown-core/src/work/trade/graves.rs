//! What is left of beads, as an import takes it.

use serde_json::json;

use super::LINE;
use super::import::{Grave, Outcome, bury, is_in_use, is_simple};
use super::report::ImportReport;
use super::twins::{Names, known_as};
use crate::interchange::{MOVED_TO, twin_id};
use crate::model::{BeadId, BeadRow, Key, Result, TombstoneRow};
use crate::work::beads;
use crate::work::txn::ScopedTxn;

/// Takes a tombstone in, and the bead away that it is of; answers whether the bead is gone.
pub(super) fn take_grave(txn: &mut ScopedTxn<'_>, grave: &Grave, names: &Names, outcome: &mut Outcome) -> Result<bool> {
    let Outcome { report, loose, .. } = outcome;
    let id = &grave.id;
    if let Some(to) = &grave.moved_to {
        return take_move(txn, grave, to, names, report);
    }
    if let Some(bead) = txn.find::<BeadRow>(&Key::bead(id))? {
        if grave.deleted_at < bead.updated_at {
            report.skipped += 1;
            return Ok(false);
        }
        if is_in_use(txn, &bead) || !is_simple(bead.kind) {
            report.conflict(id, "in_use", false);
            return Ok(false);
        }
        loose.extend(bury(txn, &bead)?);
    }
    put_grave(txn, grave, report)?;
    Ok(true)
}

fn put_grave(txn: &mut ScopedTxn<'_>, grave: &Grave, report: &mut ImportReport) -> Result<()> {
    let id = &grave.id;
    if let Some(known) = txn.find::<TombstoneRow>(&Key::tombstone(id))? {
        let here = known.record.as_ref().and_then(|record| record.get(LINE)?.as_str()).unwrap_or("");
        if here == grave.line {
            report.unchanged += 1;
            return Ok(());
        }
        if (known.deleted_at, here) > (grave.deleted_at, grave.line.as_str()) {
            report.skipped += 1;
            return Ok(());
        }
    }
    let mut record = json!({ LINE: grave.line });
    if let Some(to) = &grave.moved_to {
        record[MOVED_TO] = to.as_str().into();
    }
    txn.put(TombstoneRow {
        id: id.clone(),
        deleted_at: grave.deleted_at,
        deleted_by: grave.deleted_by.clone(),
        reason: grave.reason.clone(),
        record: Some(record),
    })?;
    report.tombstones += 1;
    Ok(())
}

/// Takes in that a bead has another id elsewhere, by which it is known from then on; answers whether there is none of it here.
fn take_move(
    txn: &mut ScopedTxn<'_>,
    grave: &Grave,
    to: &BeadId,
    names: &Names,
    report: &mut ImportReport,
) -> Result<bool> {
    let bead: Option<BeadRow> = txn.find(&Key::bead(&grave.id))?;
    let Some(bead) = bead else {
        let is_known = txn.is_taken(&Key::tombstone(&grave.id))?;
        // It may have another id here than there.
        let here = known_as(txn.view(), to, &grave.made, names)?;
        if is_known || here == grave.id {
            report.unchanged += 1;
        } else {
            put_grave(txn, &Grave { moved_to: Some(here), ..grave.clone() }, report)?;
        }
        return Ok(true);
    };
    // Where another has that id here, it is asked for by the one that tells it from that.
    let twin = grave.made.at.map(|at| BeadId::new(twin_id(to.as_str(), at, 0))).transpose()?;
    for id in [Some(to.clone()), twin].into_iter().flatten() {
        if bead.id == id || leads_to(txn, &id, &bead)? {
            break;
        }
        if txn.is_taken(&Key::bead(&id))? || txn.is_taken(&Key::tombstone(&id))? {
            continue;
        }
        txn.put(TombstoneRow {
            id,
            deleted_at: grave.deleted_at,
            deleted_by: grave.deleted_by.clone(),
            reason: None,
            record: Some(json!({ MOVED_TO: bead.id, "title": bead.title, "created_at": bead.created_at })),
        })?;
        report.tombstones += 1;
        return Ok(false);
    }
    report.unchanged += 1;
    Ok(false)
}

/// Whether what is left under an id says that it is this bead.
fn leads_to(txn: &ScopedTxn<'_>, id: &BeadId, bead: &BeadRow) -> Result<bool> {
    let left: Option<TombstoneRow> = txn.find(&Key::tombstone(id))?;
    Ok(left.as_ref().and_then(beads::moved_to) == Some(bead.id.as_str()))
}
