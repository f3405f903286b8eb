//! Beads that get another id, alone or because they go to another rig.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::bead::{Bead, assemble};
use super::delete::{bury, edges_of, refuse_in_use, with_parts};
use super::{check_version, ids, new};
use crate::interchange::MOVED_TO;
use crate::model::{
    BeadId, BeadRow, BeadTextRow, CommentRow, Error, Key, LabelRow, ReservationRow, Result, RigName, Stored,
    TombstoneRow,
};
use crate::store::{Scan, index};
use crate::work::txn::ScopedTxn;
use crate::work::view::text;

/// Gives a bead another id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenameBead {
    /// Which.
    pub id: BeadId,
    /// Its new id, which begins with the prefix of its rig.
    pub to: BeadId,
    /// Whether the parts whose ids begin with its own follow; else theirs stay.
    #[serde(default)]
    pub parts: bool,
    /// Refuse with `version_mismatch` where the bead has another version.
    #[serde(default)]
    pub expected_version: Option<i64>,
}

impl RenameBead {
    /// A new id for this bead alone.
    pub const fn new(id: BeadId, to: BeadId) -> Self {
        Self { id, to, parts: false, expected_version: None }
    }
}

/// Moves a bead with its parts to another rig.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MoveBead {
    /// Which; not a part of another.
    pub id: BeadId,
    /// Where to; the town's own where it is left out.
    #[serde(default)]
    pub rig: Option<RigName>,
    /// Refuse with `version_mismatch` where the bead has another version.
    #[serde(default)]
    pub expected_version: Option<i64>,
}

impl MoveBead {
    /// A move of this bead to that rig.
    pub const fn new(id: BeadId, rig: RigName) -> Self {
        Self { id, rig: Some(rig), expected_version: None }
    }
}

/// An old id and the one that replaced it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewId {
    /// The id it had; its tombstone says where the bead went.
    pub old: BeadId,
    /// The id it has.
    pub new: BeadId,
}

/// Beads that got other ids.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Renamed {
    /// The bead.
    pub bead: Bead,
    /// Every id that changed, the bead's own first.
    pub renamed: Vec<NewId>,
}

/// Gives a bead another id; every reference to it follows.
pub(crate) fn rename(txn: &mut ScopedTxn<'_>, input: &RenameBead) -> Result<Renamed> {
    let row = txn.bead(&input.id)?;
    check_version(&row, input.expected_version)?;
    if input.id == input.to {
        return Ok(Renamed { bead: assemble(txn.view(), row)?, renamed: Vec::new() });
    }
    ids::check_prefix(&input.to, &new::prefix(txn, row.rig.as_ref())?)?;
    let all = if input.parts { with_parts(txn, row)? } else { vec![row] };
    let mut renamed = vec![NewId { old: input.id.clone(), new: input.to.clone() }];
    for part in &all[1..] {
        if let Some(behind) = behind(&part.id, &input.id) {
            let to = BeadId::new(format!("{}{behind}", input.to))?;
            renamed.push(NewId { old: part.id.clone(), new: to });
        }
    }
    for row in all.iter().filter(|row| renamed.iter().any(|id| id.old == row.id)) {
        refuse_in_use(txn, row)?;
    }
    for NewId { old: from, new: to } in &renamed {
        make_free(txn, from, to)?;
    }
    for NewId { old: from, new: to } in &renamed {
        let rig = txn.bead(from)?.rig;
        change_id(txn, from, to, rig)?;
    }
    Ok(Renamed { bead: assemble(txn.view(), txn.bead(&input.to)?)?, renamed })
}

/// Moves a bead with its parts to another rig, where they get ids of that rig.
pub(crate) fn move_to_rig(txn: &mut ScopedTxn<'_>, input: &MoveBead) -> Result<Renamed> {
    let row = txn.bead(&input.id)?;
    check_version(&row, input.expected_version)?;
    if row.rig == input.rig {
        return Ok(Renamed { bead: assemble(txn.view(), row)?, renamed: Vec::new() });
    }
    if let Some(parent) = &row.parent {
        return Err(Error::conflict("bead_is_part", format!("bead {} is a part of {parent}", row.id))
            .with("bead", &row.id)
            .with("parent", parent));
    }
    let prefix = new::prefix(txn, input.rig.as_ref())?;
    let all = with_parts(txn, row)?;
    for row in &all {
        refuse_in_use(txn, row)?;
    }
    let root = ids::free(txn, &prefix, None)?;
    let mut renamed = Vec::<NewId>::with_capacity(all.len());
    for row in &all {
        // A part whose id begins with its parent's keeps what is behind it; others are counted on.
        let parent = row.parent.as_ref().and_then(|old| renamed.iter().find(|id| id.old == *old)).cloned();
        let to = match parent {
            None => root.clone(),
            Some(NewId { old: from, new: to }) => match behind(&row.id, &from) {
                Some(behind) => BeadId::new(format!("{to}{behind}"))?,
                None => ids::part(txn, &to)?,
            },
        };
        change_id(txn, &row.id, &to, input.rig.clone())?;
        renamed.push(NewId { old: row.id.clone(), new: to });
    }
    Ok(Renamed { bead: assemble(txn.view(), txn.bead(&root)?)?, renamed })
}

/// Gives a bead another id because it is known by that one elsewhere, or because a different bead of the same id comes in.
pub(crate) fn relocate(txn: &mut ScopedTxn<'_>, from: &BeadId, to: &BeadId) -> Result<()> {
    let row = txn.bead(from)?;
    refuse_in_use(txn, &row)?;
    make_free(txn, from, to)?;
    change_id(txn, from, to, row.rig)?;
    // Nobody changed it: what was done to it elsewhere is newer.
    let moved: BeadRow = txn.bead(to)?;
    txn.put(BeadRow { updated_at: row.updated_at, ..moved })
}

/// Refuses an id that another bead has or had; going back to one that it had itself is no collision.
fn make_free(txn: &mut ScopedTxn<'_>, from: &BeadId, to: &BeadId) -> Result<()> {
    let left = txn.as_town(|txn| txn.find::<TombstoneRow>(&Key::tombstone(to)))?;
    if left.as_ref().and_then(moved_to).is_some_and(|went| went == from.as_str()) {
        return txn.as_town(|txn| txn.delete(&Key::tombstone(to)));
    }
    if ids::is_free(txn, to)? {
        return Ok(());
    }
    Err(Error::conflict("id_taken", format!("there is or was a bead {to} already")).with("bead", to))
}

/// What of a part's id stands behind its parent's, from the point on.
fn behind<'a>(part: &'a BeadId, parent: &BeadId) -> Option<&'a str> {
    part.as_str().strip_prefix(parent.as_str()).filter(|behind| behind.starts_with('.'))
}

/// The id that a renamed bead has now.
pub(crate) fn moved_to(left: &TombstoneRow) -> Option<&str> {
    left.record.as_ref()?.get(MOVED_TO)?.as_str()
}

/// Writes all rows of a bead under another id, and lets every reference follow.
fn change_id(txn: &mut ScopedTxn<'_>, from: &BeadId, to: &BeadId, rig: Option<RigName>) -> Result<()> {
    let mut row: BeadRow = txn.bead(from)?;
    let is_move = row.rig != rig;
    let left = json!({ MOVED_TO: to, "title": row.title, "created_at": row.created_at });
    row.id = to.clone();
    row.rig = rig;
    txn.put_bead(row)?;
    let of = vec![text(from)];
    let texts = txn.find::<BeadTextRow>(&Key::bead_text(from))?;
    let labels: Vec<LabelRow> = txn.all(Scan::new(&index::LABELS, of.clone(), 0))?;
    let comments: Vec<CommentRow> = txn.all(Scan::new(&index::COMMENTS, of.clone(), 0))?;
    let reservations: Vec<ReservationRow> = txn.all(Scan::new(&index::RESERVATIONS, of, 0))?;
    if let Some(texts) = texts {
        replace(txn, &texts.key(), BeadTextRow { id: to.clone(), ..texts.clone() })?;
    }
    for label in labels {
        replace(txn, &label.key(), LabelRow { bead: to.clone(), ..label.clone() })?;
    }
    for comment in comments {
        replace(txn, &comment.key(), CommentRow { bead: to.clone(), ..comment.clone() })?;
    }
    for reservation in reservations {
        if is_move {
            // It is about paths of the repository that the bead leaves.
            txn.delete(&reservation.key())?;
        } else {
            replace(txn, &reservation.key(), ReservationRow { bead: to.clone(), ..reservation.clone() })?;
        }
    }
    // Neither what waits nor what is waited for changes, so the counts stay; both may be of another rig.
    txn.as_town(|txn| {
        for edge in edges_of(txn, from)? {
            let mut new = edge.clone();
            for end in [&mut new.bead, &mut new.on_bead] {
                if end == from {
                    end.clone_from(to);
                }
            }
            replace(txn, &edge.key(), new)?;
        }
        for mut part in txn.all::<BeadRow>(Scan::new(&index::BEADS_BY_PARENT, vec![text(from)], 0))? {
            part.parent = Some(to.clone());
            txn.put_bead(part)?;
        }
        Ok(())
    })?;
    txn.delete(&Key::bead(from))?;
    bury(txn, from, None, left)?;
    txn.event("bead.renamed", from, json!({ "to": to }));
    txn.event("bead.renamed", to, json!({ "from": from }));
    Ok(())
}

fn replace<T: Stored>(txn: &mut ScopedTxn<'_>, old: &Key, new: T) -> Result<()> {
    txn.put(new)?;
    txn.delete(old)
}
