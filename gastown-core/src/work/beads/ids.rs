//! Ids of new beads: short, free, and never given twice.
//!
//! A bead of its own is `<prefix>-` and random digits of base 36. There are so many of them that two of as many beads
//! as the journal has entries (no fewer than beads were made) would meet with a chance of at most a quarter: 5 up to
//! 5,896 entries, 6 up to 35,378, 7 up to 212,272, 8 up to 1.27 million. What meets all the same is drawn again. A part is
//! its parent's id and the next number; numbers of parts that were deleted or moved away do not come back.

use super::NewBead;
use crate::model::{BeadId, BeadRow, Error, ID_BYTES_MAX, Key, Result, TombstoneRow};
use crate::work::txn::ScopedTxn;

/// The fewest digits.
const DIGITS_MIN: usize = 5;
/// The most digits that the rule asks for; collisions may add some.
const DIGITS_MAX: usize = 12;

/// How many digits keep the chance that any two of so many beads meet at a quarter.
fn digits(beads: u64) -> usize {
    // n² / 2·36^d ≤ -ln(3/4), so n² ≤ 0.575·36^d.
    let squared = (u128::from(beads) * u128::from(beads)).saturating_mul(1_000);
    let mut digits = DIGITS_MIN;
    while digits < DIGITS_MAX && squared > 575 * 36_u128.pow(u32::try_from(digits).expect("at most 12")) {
        digits += 1;
    }
    digits
}

/// The id of a new bead: the one that was asked for, else a free one.
pub(super) fn of(txn: &mut ScopedTxn<'_>, prefix: &str, input: &NewBead) -> Result<BeadId> {
    match &input.id {
        Some(id) => given(txn, prefix, id, input),
        None => free(txn, prefix, input.parent.as_ref()),
    }
}

/// An id that no bead has or had.
pub(super) fn free(txn: &mut ScopedTxn<'_>, prefix: &str, parent: Option<&BeadId>) -> Result<BeadId> {
    if let Some(parent) = parent {
        return part(txn, parent);
    }
    let least = digits(txn.head_seq());
    for attempt in 0.. {
        let id = BeadId::new(format!("{prefix}-{}", txn.ids().base36(least + attempt / 3)))?;
        if is_free(txn, &id)? {
            return Ok(id);
        }
    }
    unreachable!("the loop above ends only by returning")
}

/// The next part's id.
pub(super) fn part(txn: &mut ScopedTxn<'_>, parent: &BeadId) -> Result<BeadId> {
    let mut row = txn.bead(parent)?;
    loop {
        row.last_part += 1;
        let id = BeadId::new(format!("{parent}.{}", row.last_part)).map_err(|source| {
            let said = format!("bead {parent} is nested too deep: a part of it would have an id that is too long");
            Error::invalid("nested_too_deep", said).with("bead", parent).with("bytes_max", ID_BYTES_MAX).because(source)
        })?;
        if is_free(txn, &id)? {
            txn.put(row)?;
            return Ok(id);
        }
    }
}

fn given(txn: &mut ScopedTxn<'_>, prefix: &str, id: &BeadId, input: &NewBead) -> Result<BeadId> {
    check_prefix(id, prefix)?;
    if txn.is_taken(&Key::bead(id))? {
        return Err(Error::conflict("id_taken", format!("there is a bead {id} already")).with("bead", id));
    }
    // What is left of deleted beads is the town's, whoever made them.
    let left = txn.as_town(|txn| txn.find::<TombstoneRow>(&Key::tombstone(id)))?;
    if let Some(left) = left {
        if !input.replaces_deleted {
            let moved_to = super::rename::moved_to(&left);
            let became = moved_to.as_ref().map_or_else(|| "was deleted".to_owned(), |to| format!("is {to} now"));
            let error = Error::conflict("id_of_deleted", format!("bead {id} {became}"))
                .with("bead", id)
                .with("deleted_at", left.deleted_at);
            return Err(match moved_to {
                Some(to) => error.with("moved_to", to),
                None => error,
            });
        }
        txn.as_town(|txn| txn.delete(&Key::tombstone(id)))?;
    }
    count_part(txn, id)?;
    Ok(id.clone())
}

/// Has the parent that the id names count on behind its number.
fn count_part(txn: &mut ScopedTxn<'_>, id: &BeadId) -> Result<()> {
    let Some((parent, number)) = id.as_str().rsplit_once('.') else { return Ok(()) };
    let (Ok(parent), Ok(number)) = (BeadId::new(parent), number.parse::<u32>()) else { return Ok(()) };
    match txn.find::<BeadRow>(&Key::bead(&parent))? {
        Some(mut row) if row.last_part < i64::from(number) => {
            row.last_part = i64::from(number);
            txn.put(row)
        }
        _ => Ok(()),
    }
}

/// Refuses an id that does not begin with the prefix of its rig.
pub(super) fn check_prefix(id: &BeadId, prefix: &str) -> Result<()> {
    let behind = id.as_str().strip_prefix(prefix).and_then(|rest| rest.strip_prefix('-'));
    if behind.is_some_and(|rest| !rest.is_empty()) {
        return Ok(());
    }
    Err(Error::invalid("id_prefix", format!("bead {id} does not begin with {prefix}-"))
        .with("bead", id)
        .with("prefix", prefix))
}

/// Whether no bead has the id and none that was deleted had it, in a rig that the scope sees or another.
pub(super) fn is_free(txn: &ScopedTxn<'_>, id: &BeadId) -> Result<bool> {
    Ok(!txn.is_taken(&Key::bead(id))? && !txn.is_taken(&Key::tombstone(id))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_grow_by_a_digit_where_the_chance_of_a_meeting_passes_a_quarter() {
        for (beads, wanted) in
            [(0, 5), (5_896, 5), (5_897, 6), (35_378, 6), (35_379, 7), (1_000_000, 8), (2_000_000, 9), (u64::MAX, 12)]
        {
            assert_eq!(digits(beads), wanted, "{beads}");
        }
    }
}
