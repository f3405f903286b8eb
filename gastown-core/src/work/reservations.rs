//! Reservations: which paths the work on a bead means to touch. Advice, not locks.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::globs::Glob;
use super::graph::Changed;
use super::ready::{check_limit, decode_position, encode_position};
use super::txn::ScopedTxn;
use super::view::{View, text};
use crate::model::value::Value;
use crate::model::{BeadId, Error, Key, ReservationRow, Result, RigName, RigRow, Row, Stored as _, Timestamp};
use crate::store::{Position, Scan, index};

/// The most patterns of one bead, and of one question.
const PATTERNS_MAX: usize = 100;
/// How long a reservation holds where nothing is said, and the longest.
const HELD: Duration = Duration::from_secs(24 * 3600);
const HELD_MAX: Duration = Duration::from_secs(90 * 24 * 3600);
/// The most overlaps of one answer.
const OVERLAPS_MAX: usize = 1_000;
/// What holding patterns against each other may cost in one question: some three of the hardest pairs, a fraction of a second.
const STEPS_MAX: usize = 1_000_000;
/// Behind every text of a key.
const LAST: &str = "\u{10ffff}";
/// The most that one step of the upkeep removes.
pub(crate) const EXPIRED_PER_STEP: usize = 500;

/// One pattern of paths that the work on one bead means to touch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the fields are those of ReservationRow, documented there")]
pub struct Reservation {
    pub bead: BeadId,
    pub pattern: String,
    pub rig: RigName,
    pub created_by: String,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
}

impl From<ReservationRow> for Reservation {
    fn from(row: ReservationRow) -> Self {
        let ReservationRow { bead, pattern, rig, created_by, created_at, expires_at } = row;
        Self { bead, pattern, rig, created_by, created_at, expires_at }
    }
}

/// Paths to reserve for a bead.
///
/// Patterns are from the root of the repository: `src/**`, `docs/*.md`, `src/{a,b}/mod.rs`, `src/`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reserve {
    /// Whose work it is; it belongs to a rig and is not over.
    pub bead: BeadId,
    /// Patterns of paths, at most 100 of a bead; one that is there already holds anew.
    pub patterns: Vec<String>,
    /// For how long in milliseconds; a day where it is left out, at most 90 days.
    #[serde(default)]
    pub ttl_ms: Option<u64>,
}

/// What was reserved, and who else has the like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Reserved {
    /// The reservations of the bead that were asked for.
    pub reservations: Vec<Reservation>,
    /// Reservations of other beads that may mean the same paths.
    pub overlaps: Vec<Overlap>,
    /// False where there are or may be more than are told.
    pub is_complete: bool,
}

/// A reservation that may mean the same path as a pattern.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Overlap {
    /// The pattern that was asked about.
    pub pattern: String,
    /// The reservation.
    pub reservation: Reservation,
    /// A path that both mean.
    pub example: String,
}

/// Which reservations to give up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unreserve {
    /// Whose.
    pub bead: BeadId,
    /// These patterns; all where it is left out.
    #[serde(default)]
    pub patterns: Option<Vec<String>>,
}

/// Which reservations to list: of a rig or of a bead.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReservationFilter {
    /// Of this rig.
    pub rig: Option<RigName>,
    /// Of this bead.
    pub bead: Option<BeadId>,
    /// At most so many, 1 to 1000; 50 where it is left out.
    pub limit: Option<usize>,
    /// Go on behind an earlier page.
    pub cursor: Option<String>,
}

/// One page of reservations that hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ReservationPage {
    /// Them; those of a rig that end first in front.
    pub reservations: Vec<Reservation>,
    /// Where the next page begins; none at the end.
    pub cursor: Option<String>,
}

/// Which paths somebody wants to touch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OverlapQuery {
    /// In which rig.
    pub rig: RigName,
    /// Patterns of paths, at most 100.
    pub patterns: Vec<String>,
    /// Leave the reservations of this bead out.
    #[serde(default)]
    pub but: Option<BeadId>,
}

/// Who reserved paths that may be the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Overlaps {
    /// Each pair of a pattern and a reservation that may mean the same path.
    pub overlaps: Vec<Overlap>,
    /// False where there are more than are told, or may be because looking on would cost too much.
    pub is_complete: bool,
}

fn globs(patterns: &[String]) -> Result<Vec<Glob>> {
    if patterns.is_empty() || patterns.len() > PATTERNS_MAX {
        return Err(Error::invalid(
            "patterns_out_of_range",
            format!("there are 1 to {PATTERNS_MAX} patterns, not {}", patterns.len()),
        )
        .with("found", patterns.len())
        .with("patterns_max", PATTERNS_MAX));
    }
    patterns.iter().map(|pattern| Glob::new(pattern)).collect()
}

/// Reserves paths; what others have reserved is told and keeps nobody from it.
pub(crate) fn add(txn: &mut ScopedTxn<'_>, input: &Reserve) -> Result<Reserved> {
    let globs = globs(&input.patterns)?;
    let bead = txn.bead(&input.bead)?;
    if bead.status.is_terminal() {
        return Err(Error::conflict("bead_over", format!("bead {} is {}", bead.id, bead.status))
            .with("bead", &bead.id)
            .with("status", bead.status));
    }
    let Some(rig) = bead.rig else {
        return Err(
            Error::invalid("bead_without_rig", format!("bead {} belongs to no rig", bead.id)).with("bead", &bead.id)
        );
    };
    let held = input.ttl_ms.map_or(HELD, Duration::from_millis);
    if held.is_zero() || held > HELD_MAX {
        return Err(Error::invalid(
            "ttl_out_of_range",
            format!("a reservation holds 1 to {} milliseconds", HELD_MAX.as_millis()),
        )
        .with("ttl_ms_max", HELD_MAX.as_millis()));
    }
    let now = txn.now();
    let mut reservations = Vec::new();
    for glob in &globs {
        let before: Option<ReservationRow> = txn.find(&Key::reservation(&input.bead, glob.as_str()))?;
        let row = ReservationRow {
            bead: input.bead.clone(),
            pattern: glob.as_str().to_owned(),
            rig: rig.clone(),
            created_by: before.as_ref().map_or_else(|| txn.actor().to_owned(), |row| row.created_by.clone()),
            created_at: before.as_ref().map_or(now, |row| row.created_at),
            expires_at: now.after(held),
        };
        txn.put(row.clone())?;
        if !reservations.iter().any(|known: &Reservation| known.pattern == row.pattern) {
            reservations.push(row.into());
        }
    }
    let all: Vec<ReservationRow> =
        txn.scan(Scan::new(&index::RESERVATIONS, vec![text(&input.bead)], PATTERNS_MAX + 1))?;
    if all.len() > PATTERNS_MAX {
        return Err(Error::exhausted(
            "too_many_reservations",
            format!("a bead has at most {PATTERNS_MAX} reservations"),
        )
        .with("patterns_max", PATTERNS_MAX));
    }
    let Overlaps { overlaps, is_complete } = overlaps_of(txn.view(), &rig, &globs, Some(&input.bead))?;
    txn.event(
        "paths.reserved",
        &input.bead,
        serde_json::json!({ "patterns": input.patterns, "until": now.after(held) }),
    );
    Ok(Reserved { reservations, overlaps, is_complete })
}

/// Gives reservations up.
pub(crate) fn remove(txn: &mut ScopedTxn<'_>, input: &Unreserve) -> Result<Changed> {
    txn.bead(&input.bead)?;
    let gone = release(txn, &input.bead, |row| {
        input.patterns.as_ref().is_none_or(|patterns| patterns.contains(&row.pattern))
    })?;
    if !gone.is_empty() {
        txn.event("paths.released", &input.bead, serde_json::json!({ "patterns": gone }));
    }
    Ok(Changed { changed: !gone.is_empty() })
}

/// Removes a bead's reservations that are like that, and answers their patterns; the caller writes the event.
pub(crate) fn release(
    txn: &mut ScopedTxn<'_>,
    bead: &BeadId,
    like: impl Fn(&ReservationRow) -> bool,
) -> Result<Vec<String>> {
    let rows: Vec<ReservationRow> = txn.all(Scan::new(&index::RESERVATIONS, vec![text(bead)], 0))?;
    let mut gone = Vec::new();
    for row in rows {
        if like(&row) {
            txn.delete(&row.key())?;
            gone.push(row.pattern);
        }
    }
    Ok(gone)
}

/// Lists the reservations of a rig or a bead that hold.
pub(crate) fn list(view: View<'_>, input: &ReservationFilter) -> Result<ReservationPage> {
    let limit = check_limit(input.limit)?;
    let now = view.now();
    let (scan, order, shape) = match (&input.bead, &input.rig) {
        (Some(bead), _) => (Scan::new(&index::RESERVATIONS, vec![text(bead)], 0), "reservations/bead", "t"),
        (None, Some(rig)) => (of_rig(rig, now), "reservations/rig", "itt"),
        (None, None) => {
            return Err(Error::invalid("field_missing", "say whose reservations: rig or bead").with("field", "rig"));
        }
    };
    let index = scan.index;
    let after = input.cursor.as_deref().map(|cursor| decode_position(order, shape, cursor)).transpose()?;
    let after = scan.after.clone().max(after);
    let mut rows: Vec<ReservationRow> = Vec::new();
    view.walk::<ReservationRow>(scan.after(after), |row| {
        if row.expires_at > now && input.rig.as_ref().is_none_or(|rig| row.rig == *rig) {
            rows.push(row);
        }
        Ok(rows.len() <= limit)
    })?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let place = |row: &ReservationRow| Position::of(index, &Row::Reservation(row.clone()));
    let cursor = rows.last().filter(|_| more).map(|last| encode_position(order, &place(last).0));
    Ok(ReservationPage { reservations: rows.into_iter().map(Reservation::from).collect(), cursor })
}

/// Those of a rig that end after now.
fn of_rig(rig: &RigName, now: Timestamp) -> Scan {
    let behind = Position(vec![Value::Int(now.as_micros()), text(LAST), text(LAST)]);
    Scan::new(&index::RESERVATIONS_BY_RIG, vec![text(rig)], 0).after(Some(behind))
}

/// Finds who has reserved paths that may be the same as these.
pub(crate) fn overlaps(view: View<'_>, input: &OverlapQuery) -> Result<Overlaps> {
    let globs = globs(&input.patterns)?;
    if view.find::<RigRow>(&Key::rig(&input.rig))?.is_none() {
        return Err(super::rigs::missing(&input.rig));
    }
    overlaps_of(view, &input.rig, &globs, input.but.as_ref())
}

fn overlaps_of(view: View<'_>, rig: &RigName, globs: &[Glob], except: Option<&BeadId>) -> Result<Overlaps> {
    let mut found = Overlaps { overlaps: Vec::new(), is_complete: true };
    let mut steps = STEPS_MAX;
    view.walk::<ReservationRow>(of_rig(rig, view.now()), |row| {
        if except == Some(&row.bead) {
            return Ok(true);
        }
        // One that a later version wrote, with a syntax of its own, overlaps nothing that is known here.
        let Ok(theirs) = Glob::new(&row.pattern) else { return Ok(true) };
        for glob in globs {
            // What somebody else reserved must not keep this one from an answer.
            let Ok(common) = glob.common(&theirs, &mut steps) else {
                found.is_complete = false;
                return Ok(false);
            };
            if let Some(example) = common {
                if found.overlaps.len() == OVERLAPS_MAX {
                    found.is_complete = false;
                    return Ok(false);
                }
                let (pattern, reservation) = (glob.as_str().to_owned(), row.clone().into());
                found.overlaps.push(Overlap { pattern, reservation, example });
            }
        }
        Ok(true)
    })?;
    Ok(found)
}

/// Removes reservations whose time is over, at most [`EXPIRED_PER_STEP`], and answers how many.
pub(crate) fn remove_expired(txn: &mut ScopedTxn<'_>) -> Result<usize> {
    let now = txn.now();
    let rigs: Vec<RigRow> = txn.all(Scan::new(&index::RIGS, vec![], 0))?;
    let mut gone = 0;
    for rig in rigs {
        let left = EXPIRED_PER_STEP - gone;
        let scan = Scan::new(&index::RESERVATIONS_BY_RIG, vec![text(&rig.name)], left);
        for row in txn.scan::<ReservationRow>(scan.upto(Value::Int(now.as_micros())))? {
            txn.delete(&row.key())?;
            gone += 1;
        }
        if gone >= EXPIRED_PER_STEP {
            break;
        }
    }
    if gone > 0 {
        txn.event("paths.expired", "town", serde_json::json!({ "count": gone }));
    }
    Ok(gone)
}

/// Frees the paths of a bead whose work is over.
pub(crate) fn release_all(txn: &mut ScopedTxn<'_>, bead: &BeadId) -> Result<()> {
    release(txn, bead, |_| true).map(drop)
}
