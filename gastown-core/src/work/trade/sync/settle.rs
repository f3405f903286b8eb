//! A batch of what a sync changes in the town.

use std::collections::{BTreeSet, HashSet};

use serde_json::json;

use super::super::export::left_of;
use super::super::import::{self, Outcome, Stored, is_in_use, is_simple};
use super::super::line;
use super::super::report::ImportReport;
use super::super::rows::{self, Rows};
use super::super::twins::remains;
use super::super::unfit::Refusal;
use super::look::Step;
use crate::interchange::{Dialect, Ending, Essence, Issue, Record, Time, outward_status};
use crate::model::{BeadId, BeadRow, Error, ForeignRow, Key, Result, RigName, RigRow, TombstoneRow};
use crate::store::{Scan, index};
use crate::work::archived;
use crate::work::graph::Link;
use crate::work::txn::ScopedTxn;

/// What a batch did.
#[derive(Default)]
pub(crate) struct Settled {
    pub(crate) outcome: Outcome,
    /// Beads that somebody works on here.
    pub(crate) held: Vec<BeadId>,
    /// Beads that changed since they were looked at.
    pub(crate) moved: BTreeSet<String>,
}

/// Changes beads that are still as they were seen.
pub(crate) fn settle(
    txn: &mut ScopedTxn<'_>,
    steps: &[Step],
    foreign: &[ForeignRow],
    rig: Option<&RigName>,
) -> Result<Settled> {
    let mut settled = Settled::default();
    let rigs: Vec<RigRow> = txn.all(Scan::new(&index::RIGS, vec![], 0))?;
    let mut written = Vec::new();
    for step in steps {
        let stored = match txn.find::<BeadRow>(&Key::bead(&step.id))? {
            Some(bead) => Some(Stored::of(txn.view(), bead)?),
            None => None,
        };
        if here(txn, &step.id, stored.as_ref())? != step.here {
            settled.moved.insert(step.id.as_str().to_owned());
        } else if stored.as_ref().is_some_and(|stored| is_in_use(txn, &stored.bead)) {
            settled.held.push(step.id.clone());
        } else if !step.becomes.is_tombstone() {
            written.push(bead(txn, stored, &step.becomes, rig, &rigs, &mut settled.outcome)?);
        } else if stored.as_ref().is_some_and(|stored| !is_simple(stored.bead.kind)) {
            settled.held.push(step.id.clone());
        } else {
            let loose = grave(txn, stored, &step.becomes)?;
            settled.outcome.loose.extend(loose);
            settled.outcome.report.tombstones += 1;
        }
    }
    // Edges after the beads, so that most of them find their target.
    import::join(txn, &written, &mut settled.outcome)?;
    for row in foreign {
        txn.put(row.clone())?;
        settled.outcome.report.foreign += 1;
    }
    let ImportReport { created, updated, tombstones, foreign, .. } = settled.outcome.report;
    if created + updated + tombstones + foreign > 0 {
        let facts = json!({ "created": created, "updated": updated, "tombstones": tombstones, "foreign": foreign });
        txn.event("beads.imported", "town", facts);
    }
    Ok(settled)
}

/// What the town says of a bead.
fn here(txn: &ScopedTxn<'_>, id: &BeadId, stored: Option<&Stored>) -> Result<Option<Essence>> {
    if let Some(stored) = stored {
        return Ok(Some(Essence::of(&stored.issue())));
    }
    let left = txn.find::<TombstoneRow>(&Key::tombstone(id))?;
    Ok(left.as_ref().map(left_of).transpose()?.map(|issue| Essence::of(&issue)))
}

fn bead(
    txn: &mut ScopedTxn<'_>,
    stored: Option<Stored>,
    issue: &Issue,
    rig: Option<&RigName>,
    rigs: &[RigRow],
    outcome: &mut Outcome,
) -> Result<Rows> {
    let refused = |Refusal { code, message, .. }: Refusal| {
        Error::internal("bead_refused", format!("what was taken for a bead is none: {message}")).with("flaw", code)
    };
    let Some(mut stored) = stored else {
        let rows = rows::rows(issue).map_err(refused)?;
        let id = &rows.bead.id;
        txn.delete(&Key::tombstone(id))?;
        archived::forget(txn, id)?;
        import::create(txn, &rows, rig.cloned().or_else(|| import::rig_of(id, rigs)))?;
        outcome.report.created += 1;
        return Ok(rows);
    };
    let own = stored.issue();
    let mut issue = issue.clone();
    if outward_status(&own.status) == issue.status {
        // The file has no word for it.
        if Ending::outward(&own) == Ending::outward(&issue) {
            Ending::of(&own).put(&mut issue);
        }
        issue.status = own.status;
    }
    let rows = rows::rows(&issue).map_err(refused)?;
    let said: HashSet<_> = rows.comments.iter().map(import::key).collect();
    let (kept, gone) =
        std::mem::take(&mut stored.comments).into_iter().partition(|one| said.contains(&import::key(one)));
    stored.comments = kept;
    for comment in gone {
        txn.delete(&Key::comment(&rows.bead.id, &comment.id))?;
    }
    outcome.ended.extend(import::update(txn, &stored, &rows)?);
    outcome.report.updated += 1;
    Ok(rows)
}

fn grave(txn: &mut ScopedTxn<'_>, stored: Option<Stored>, issue: &Issue) -> Result<Vec<Link>> {
    let mut issue = issue.clone();
    if issue.deleted_at.is_none() && issue.updated_at.is_none() {
        (issue.deleted_at, issue.updated_at) = (Some(Time::new(txn.now())), Some(Time::new(txn.now())));
        txn.actor().clone_into(&mut issue.deleted_by);
    }
    let loose = stored.map_or_else(|| Ok(Vec::new()), |stored| import::bury(txn, &stored.bead))?;
    let at = issue.deleted_at.as_ref().or(issue.updated_at.as_ref()).map(|time| time.at);
    let (deleted_by, reason) = (issue.deleted_by.clone(), issue.delete_reason.clone());
    let id = BeadId::new(issue.id.as_str())?;
    let kept = line(&Record::Tombstone(Box::new(issue.clone())), Dialect::Native)?;
    txn.put(TombstoneRow {
        id,
        deleted_at: at.unwrap_or_default(),
        deleted_by,
        reason: Some(reason).filter(|reason| !reason.is_empty()),
        record: Some(remains(&kept, Some(&issue))),
    })?;
    Ok(loose)
}
