//! What no sync had told yet of beads that went to an archive.

use std::collections::BTreeMap;

use serde_json::json;

use super::super::import::{Stored, is_simple};
use super::super::{LINE, line};
use super::basis::Basis;
use super::look::read;
use crate::interchange::{Dialect, Essence, Issue, Record};
use crate::model::{BeadRow, ForeignRow, Key, Result};
use crate::store::{Position, Scan, index};
use crate::work::txn::ScopedTxn;
use crate::work::view::{View, text};

/// What a town tells of a bead to a file.
pub(super) fn outward(view: View<'_>, bead: BeadRow) -> Result<Issue> {
    let mut issue = Stored::of(view, bead)?.issue();
    // A town sets beads aside by itself, and for itself.
    issue.parked_reason.clear();
    issue.parked_until = None;
    Ok(issue)
}

/// Keeps the last words of a bead that goes to an archive, for those files that do not have them yet.
pub(crate) fn note(txn: &mut ScopedTxn<'_>, bases: &[Basis], bead: &BeadRow) -> Result<()> {
    if bases.is_empty() {
        return Ok(());
    }
    let issue = outward(txn.view(), bead.clone())?;
    let (id, said) = (issue.id.clone(), Essence::of(&issue));
    let last = line(&Record::Issue(Box::new(issue)), Dialect::Native)?;
    for basis in bases {
        let is_told = match basis.find(txn.view(), &id)? {
            Some(before) => before.said == said,
            None => !basis.goes_out(bead),
        };
        let source = basis.untold();
        if is_told {
            txn.delete(&Key::foreign(&source, &id))?;
        } else {
            txn.put(ForeignRow { source, name: id.clone(), data: json!({ LINE: last }) })?;
        }
    }
    Ok(())
}

/// The last words of beads in an archive that a file does not have yet, by id.
pub(super) fn all(view: View<'_>, basis: &Basis) -> Result<BTreeMap<String, Issue>> {
    let source = basis.untold();
    let before = Position(vec![text(&source), text("")]);
    let mut untold = BTreeMap::new();
    view.walk::<ForeignRow>(Scan::new(&index::FOREIGN_RECORDS, vec![], 0).after(Some(before)), |row| {
        if row.source != source {
            return Ok(false);
        }
        let issue = row.data.get(LINE).and_then(|line| read(line.as_str()?.as_bytes()));
        untold.extend(issue.map(|issue| (row.name, issue)));
        Ok(true)
    })?;
    Ok(untold)
}

impl Basis {
    /// Whether a bead that the file does not know yet goes there.
    pub(super) fn goes_out(&self, bead: &BeadRow) -> bool {
        !bead.ephemeral && is_simple(bead.kind) && self.rig().is_none_or(|rig| bead.rig.as_ref() == Some(rig))
    }
}
