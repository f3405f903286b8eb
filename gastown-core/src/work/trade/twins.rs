//! Two beads that were made apart and have one id.

use std::borrow::Cow;

use super::export::left_of;
use super::import::Grave;
use super::report::ImportReport;
use super::rows::{self, Rows};
use super::{line, read};
use crate::interchange::{Dialect, Made, Record, TRIES, rename, shared_id, twin_id};
use crate::model::{BeadId, BeadRow, Error, Key, Result, Timestamp, TombstoneRow};
use crate::work::archived;
use crate::work::txn::ScopedTxn;

/// The rows of a record under the id that its bead has here: where its own is another bead's, the one that its twins are kept
/// under. None where there is none.
///
/// Its own edges go with it; those of others stay with the bead that is here.
pub(super) fn told_apart<'a>(
    txn: &ScopedTxn<'_>,
    rows: &'a Rows,
    report: &mut ImportReport,
) -> Result<Option<Cow<'a, Rows>>> {
    let id = &rows.bead.id;
    Ok(match place(txn, id, &made_of(&rows.bead), report)? {
        Some(here) if here == *id => Some(Cow::Borrowed(rows)),
        Some(here) => Some(Cow::Owned(under(rows, &here)?)),
        None => None,
    })
}

/// The same for what is left of a deleted bead: it is of that bead and of no other that has its id.
pub(super) fn left_apart<'a>(
    txn: &ScopedTxn<'_>,
    grave: &'a Grave,
    report: &mut ImportReport,
) -> Result<Option<Cow<'a, Grave>>> {
    let id = &grave.id;
    Ok(match place(txn, id, &grave.made, report)? {
        Some(here) if here == *id => Some(Cow::Borrowed(grave)),
        Some(here) => {
            let line = match read(&grave.line)? {
                Some(Record::Tombstone(mut issue)) => {
                    rename(&mut issue, here.as_str());
                    line(&Record::Tombstone(issue), Dialect::Native)?
                }
                _ => grave.line.clone(),
            };
            Some(Cow::Owned(Grave { id: here, line, ..grave.clone() }))
        }
        None => None,
    })
}

/// Whether a record has the id of a twin, so that its bead may be here under the one that it shares.
pub(super) fn is_twin(id: &BeadId, made: &Made) -> bool {
    made.at.is_some_and(|at| shared_id(id.as_str(), at).is_some())
}

pub(super) fn made_of(bead: &BeadRow) -> Made {
    Made::new(Some(bead.created_at).filter(|at| *at != Timestamp::default()), &bead.title)
}

/// What is here under an id.
#[derive(PartialEq)]
enum Here {
    Nothing,
    /// The bead that is asked for, what is left of it, or that it is in an archive.
    It(Option<Timestamp>),
    Another,
}

fn here(txn: &ScopedTxn<'_>, id: &BeadId, made: &Made) -> Result<Here> {
    let found = match txn.find::<BeadRow>(&Key::bead(id))? {
        Some(bead) => made_of(&bead),
        None => match txn.find::<TombstoneRow>(&Key::tombstone(id))? {
            Some(left) => Made::of(&left_of(&left)?),
            None => match archived::find(txn.view(), id)? {
                Some(away) => away.made(),
                None => return Ok(Here::Nothing),
            },
        },
    };
    Ok(if found.is_another(made) { Here::Another } else { Here::It(found.at) })
}

/// The id that a bead has here, or gets, which came by this one.
fn place(txn: &ScopedTxn<'_>, id: &BeadId, made: &Made, report: &mut ImportReport) -> Result<Option<BeadId>> {
    let found = here(txn, id, made)?;
    if matches!(found, Here::It(_)) {
        return Ok(Some(id.clone()));
    }
    // Where it comes from it is the second of its id; here it may be the first.
    if let Some(shared) = made.at.and_then(|at| shared_id(id.as_str(), at)).and_then(|shared| BeadId::new(shared).ok())
        && here(txn, &shared, made)? == Here::It(made.at)
    {
        return Ok(Some(shared));
    }
    let (Here::Another, Some(at)) = (found, made.at) else { return Ok(Some(id.clone())) };
    for nth in 0..TRIES {
        let twin = BeadId::new(twin_id(id.as_str(), at, nth))?;
        match here(txn, &twin, made)? {
            Here::Another => {}
            Here::It(_) => return Ok(Some(twin)),
            Here::Nothing => {
                report.kept_both(id, twin.clone());
                return Ok(Some(twin));
            }
        }
    }
    report.conflict(id, "id_shared", false);
    Ok(None)
}

/// The rows of a record under another id.
fn under(rows: &Rows, id: &BeadId) -> Result<Rows> {
    let mut issue = rows.issue();
    rename(&mut issue, id.as_str());
    rows::rows(&issue).map_err(|refusal| {
        Error::internal("bead_refused", format!("what was a bead is none under another id: {}", refusal.message))
    })
}
