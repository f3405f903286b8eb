//! Two beads that were made apart and have one id.

use std::borrow::Cow;

use serde_json::json;

use super::report::ImportReport;
use super::rows::{self, Rows};
use crate::model::{BeadId, BeadRow, Error, Key, Result, Timestamp, TombstoneRow};
use crate::work::txn::ScopedTxn;

/// The key of a bead's `extra` under which the id is that it came with.
const CAME_AS: &str = "came_as";
/// How many beads may have one id.
const TRIED_MAX: usize = 1_000;

/// The rows of a record as they are taken in: where its id is another bead's here, under the id that it was given before, or
/// else under a free one, its own and a number. None where there is none.
///
/// Its own edges go with it; those of others stay with the bead that is here.
pub(super) fn told_apart<'a>(
    txn: &ScopedTxn<'_>,
    rows: &'a Rows,
    report: &mut ImportReport,
) -> Result<Option<Cow<'a, Rows>>> {
    let id = &rows.bead.id;
    let is_here = |id: &BeadId| txn.find::<BeadRow>(&Key::bead(id));
    if !is_here(id)?.is_some_and(|here| is_another(&here, &rows.bead)) {
        return Ok(Some(Cow::Borrowed(rows)));
    }
    for nth in 2..TRIED_MAX {
        // No tool makes such an id by itself, so no later line of the file has it.
        let Ok(next) = BeadId::new(format!("{id}-{nth}")) else { break };
        let is_it = match is_here(&next)? {
            Some(known) => came_as(&known) == Some(id.as_str()) && known.created_at == rows.bead.created_at,
            None if txn.find::<TombstoneRow>(&Key::tombstone(&next))?.is_none() => {
                report.kept_both(id, next.clone());
                true
            }
            None => false,
        };
        if is_it {
            return under(rows, &next).map(|rows| Some(Cow::Owned(rows)));
        }
    }
    report.conflict(id, "id_shared", false);
    Ok(None)
}

/// Whether two beads only share an id: they were made at different times, and as different things.
fn is_another(here: &BeadRow, there: &BeadRow) -> bool {
    let is_known = |bead: &BeadRow| bead.created_at != Timestamp::default();
    is_known(here) && is_known(there) && here.created_at != there.created_at && here.title != there.title
}

fn came_as(bead: &BeadRow) -> Option<&str> {
    bead.extra.as_ref()?.get(CAME_AS)?.as_str()
}

/// The rows of a record under another id.
fn under(rows: &Rows, id: &BeadId) -> Result<Rows> {
    let mut issue = rows.issue();
    let old = std::mem::replace(&mut issue.id, id.as_str().to_owned());
    for edge in issue.dependencies.iter_mut().filter(|edge| edge.issue_id == old) {
        edge.issue_id.clone_from(&issue.id);
    }
    for comment in issue.comments.iter_mut().filter(|comment| comment.issue_id == old) {
        comment.issue_id.clone_from(&issue.id);
    }
    let mut rows = rows::rows(&issue).map_err(|refusal| {
        Error::internal("bead_refused", format!("what was a bead is none under another id: {}", refusal.message))
    })?;
    rows.bead.extra.get_or_insert_with(|| json!({}))[CAME_AS] = json!(old);
    Ok(rows)
}
