//! What is kept in the tables of a bead that went to an archive: enough to know it again.
//!
//! Without it, whatever tells of the bead later, a file of another tool say, would make it anew.

use serde_json::json;

use super::txn::ScopedTxn;
use super::view::{View, text};
use crate::interchange::Made;
use crate::model::{BeadId, BeadRow, ForeignRow, Key, Result, Timestamp};
use crate::store::{Position, Scan, index};

/// The source of these rows; no file is called so.
const SOURCE: &str = "gt:archived/";

/// A bead that is in an archive.
pub(crate) struct Away {
    title: String,
    created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

impl Away {
    /// What it is known by.
    pub(crate) fn made(&self) -> Made {
        Made::new(Some(self.created_at), &self.title)
    }
}

/// Whether a record is ours and not another tool's.
pub(crate) fn is_own(row: &ForeignRow) -> bool {
    row.source == SOURCE
}

/// Notes that a bead went to an archive.
pub(crate) fn note(txn: &mut ScopedTxn<'_>, bead: &BeadRow) -> Result<()> {
    let facts = json!({
        "title": bead.title, "created_at": bead.created_at.as_micros(), "updated_at": bead.updated_at.as_micros(),
    });
    txn.put(ForeignRow { source: SOURCE.to_owned(), name: bead.id.as_str().to_owned(), data: facts })
}

/// Forgets it, where the bead comes back.
pub(crate) fn forget(txn: &mut ScopedTxn<'_>, bead: &BeadId) -> Result<()> {
    txn.delete(&Key::foreign(SOURCE, bead.as_str()))
}

/// Whether any bead is away.
pub(crate) fn is_any(view: View<'_>) -> Result<bool> {
    let before = Position(vec![text(SOURCE), text("")]);
    let first: Vec<ForeignRow> = view.scan(Scan::new(&index::FOREIGN_RECORDS, vec![], 1).after(Some(before)))?;
    Ok(first.first().is_some_and(is_own))
}

/// The bead that went from this id to an archive.
pub(crate) fn find(view: View<'_>, bead: &BeadId) -> Result<Option<Away>> {
    let Some(row) = view.find::<ForeignRow>(&Key::foreign(SOURCE, bead.as_str()))? else { return Ok(None) };
    let at = |key: &str| Timestamp::from_micros(row.data[key].as_i64().unwrap_or_default());
    let title = row.data["title"].as_str().unwrap_or_default().to_owned();
    Ok(Some(Away { title, created_at: at("created_at"), updated_at: at("updated_at") }))
}
