//! Who holds what: claims with a lease and an epoch.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::available::{first_ready, is_claimable, ran_out};
use super::filter::ReadyFilter;
use crate::model::{BeadId, BeadKind, BeadRow, BeadStatus, Error, Result, Role, Scope, Timestamp};
use crate::work::beads::{Bead, assemble, check_epoch, check_version, refuse_in_session};
use crate::work::fields::check_word;
use crate::work::txn::ScopedTxn;

/// How long a claim holds where nothing is said, in milliseconds.
const LEASE_MS: u64 = 90_000;
/// The longest lease in milliseconds: a week.
const LEASE_MS_MAX: u64 = 7 * 24 * 3_600_000;

/// Who claims what.
///
/// ```
/// use gastown_core::{Claim, ReadyFilter};
/// let next = Claim::next("tess").only(ReadyFilter { priority_max: Some(1), ..ReadyFilter::default() });
/// assert!(next.id.is_none());
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// Which; the first ready issue where it is left out.
    #[serde(default)]
    pub id: Option<BeadId>,
    /// Who; an agent's bead or a person's name.
    pub by: String,
    /// How long the claim holds in milliseconds, 1 to 604,800,000; 90,000 where it is left out. A claim that ran out is
    /// anybody's.
    #[serde(default)]
    pub lease_ms: Option<u64>,
    /// Only one of these, the first in their order, where `id` is left out.
    #[serde(default)]
    pub only: Option<ReadyFilter>,
    /// Refuse with `version_mismatch` where the bead has another version; with `id`.
    #[serde(default)]
    pub expected_version: Option<i64>,
}

impl Claim {
    /// A claim of this bead.
    pub fn of(id: BeadId, by: impl Into<String>) -> Self {
        Self { id: Some(id), ..Self::next(by) }
    }

    /// A claim of the most urgent ready issue.
    pub fn next(by: impl Into<String>) -> Self {
        Self { id: None, by: by.into(), lease_ms: None, only: None, expected_version: None }
    }

    /// The same for so many milliseconds.
    #[must_use]
    pub const fn for_ms(mut self, lease_ms: u64) -> Self {
        self.lease_ms = Some(lease_ms);
        self
    }

    /// The same among these only.
    #[must_use]
    pub fn only(mut self, only: ReadyFilter) -> Self {
        self.only = Some(only);
        self
    }
}

/// Takes a ready bead for somebody: exactly one of any number of callers gets it.
///
/// Who claims again what he holds gets the same epoch and a lease from now.
pub(crate) fn claim(txn: &mut ScopedTxn<'_>, input: &Claim) -> Result<Bead> {
    check_word("by", &input.by)?;
    let now = txn.now();
    let until = lease(input.lease_ms, now)?;
    let row = match (&input.id, &input.only) {
        (Some(_), Some(_)) => {
            return Err(Error::invalid("filter_misplaced", "a claim names a bead or says which ones, not both")
                .with("field", "only"));
        }
        (Some(id), None) => txn.bead(id)?,
        (None, only) => {
            let any = ReadyFilter::default();
            let wanted = |row: &BeadRow| !row.slung && is_meant_for(row, &input.by, now);
            first_ready(txn.view(), only.as_ref().unwrap_or(&any), &wanted)?
                .ok_or_else(|| Error::not_found("nothing_ready", "no bead is ready"))?
        }
    };
    check_version(&row, input.expected_version)?;
    if row.kind != BeadKind::Issue {
        return Err(Error::invalid(
            "not_an_issue",
            format!("bead {} is a {}; only issues are claimed", row.id, row.kind),
        )
        .with("bead", &row.id)
        .with("kind", row.kind));
    }
    let is_held = row.status == BeadStatus::InProgress && !ran_out(&row, now);
    if is_held && row.assignee.as_ref() == Some(&input.by) && row.lease_until.is_some() {
        return renew(txn, row, until);
    }
    if !is_claimable(&row, now) || row.slung || !is_meant_for(&row, &input.by, now) {
        return Err(not_claimable(txn, &row, now));
    }
    take(txn, row, input, until)
}

fn take(txn: &mut ScopedTxn<'_>, mut row: BeadRow, input: &Claim, until: Timestamp) -> Result<Bead> {
    let now = txn.now();
    let before = row.assignee.take();
    let stolen_from = before.filter(|_| row.status == BeadStatus::InProgress);
    if row.status == BeadStatus::InProgress {
        row.move_to(BeadStatus::Open, None, now)?;
    }
    row.move_to(BeadStatus::InProgress, None, now)?;
    row.assignee = Some(input.by.clone());
    row.epoch += 1;
    row.lease_until = Some(until);
    let (id, epoch) = (row.id.clone(), row.epoch);
    txn.put_bead(row)?;
    let mut data = json!({ "by": input.by, "epoch": epoch });
    if let Some(holder) = stolen_from {
        data["from"] = json!(holder);
    }
    txn.event("bead.claimed", &id, data);
    assemble(txn.view(), txn.bead(&id)?)
}

fn renew(txn: &mut ScopedTxn<'_>, mut row: BeadRow, until: Timestamp) -> Result<Bead> {
    row.lease_until = Some(row.lease_until.map_or(until, |held| until.renewing(held)));
    txn.put_volatile(row.clone())?;
    assemble(txn.view(), row)
}

fn lease(lease_ms: Option<u64>, now: Timestamp) -> Result<Timestamp> {
    match lease_ms.unwrap_or(LEASE_MS) {
        ms @ 1..=LEASE_MS_MAX => Ok(now.after(Duration::from_millis(ms))),
        ms => Err(Error::invalid("lease_out_of_range", format!("a lease is 1 to {LEASE_MS_MAX} ms, not {ms}"))
            .with("found", ms)),
    }
}

/// Whether a bead that nobody holds is for anybody or for this one.
fn is_meant_for(row: &BeadRow, by: &str, now: Timestamp) -> bool {
    ran_out(row, now) || row.assignee.as_deref().is_none_or(|who| who == by)
}

fn not_claimable(txn: &ScopedTxn<'_>, row: &BeadRow, now: Timestamp) -> Error {
    if let Err(in_session) = refuse_in_session(txn, row) {
        return in_session;
    }
    let holder = row.assignee.as_deref().unwrap_or("");
    let (code, why) = if row.status == BeadStatus::InProgress && !ran_out(row, now) {
        let until = row.lease_until.map_or(String::new(), |until| format!(" until {until}"));
        ("bead_held", format!("is held by {holder}{until} (epoch {})", row.epoch))
    } else if row.status == BeadStatus::InReview {
        ("bead_in_review", "is in review".to_owned())
    } else if row.status.is_terminal() {
        ("bead_not_open", format!("is {}", row.status))
    } else if row.blockers > 0 {
        ("bead_blocked", format!("waits for {} other beads", row.blockers))
    } else if row.pinned {
        ("bead_pinned", "is pinned".to_owned())
    } else if row.template {
        ("bead_template", "is a template".to_owned())
    } else if row.defer_until.is_some_and(|at| at > now) {
        ("bead_deferred", "is deferred".to_owned())
    } else if row.slung {
        ("bead_slung", "is slung and will be given to an agent".to_owned())
    } else if row.parked_reason.is_some() {
        ("bead_parked", "is parked".to_owned())
    } else {
        ("bead_assigned", format!("is meant for {holder}"))
    };
    let error = Error::conflict(code, format!("bead {} {why}", row.id))
        .with("bead", &row.id)
        .with("status", row.status)
        .with("blockers", row.blockers)
        .with("assignee", holder)
        .with("epoch", row.epoch);
    match row.lease_until {
        Some(until) => error.with("lease_until", until.as_micros()),
        None => error,
    }
}

/// Says that the holder of a claim is at work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Heartbeat {
    /// Which bead.
    pub id: BeadId,
    /// Who holds it.
    pub by: String,
    /// The epoch of the claim.
    pub epoch: i64,
    /// How long the claim holds from now in milliseconds, at least as long as it holds already, 1 to 604,800,000; 90,000
    /// where it is left out.
    #[serde(default)]
    pub lease_ms: Option<u64>,
}

impl Heartbeat {
    /// A sign of life of whoever claimed this bead.
    pub fn of(bead: &Bead) -> Self {
        let by = bead.assignee.clone().unwrap_or_default();
        Self { id: bead.id.clone(), by, epoch: bead.epoch, lease_ms: None }
    }
}

/// Until when a claim holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Lease {
    /// The bead.
    pub id: BeadId,
    /// The epoch of the claim.
    pub epoch: i64,
    /// Until when it holds.
    pub lease_until: Timestamp,
}

/// Lets a claim hold from now on as long as a new one would, and never shorter than it holds already; nothing is journaled.
///
/// A claim that ran out and that nobody else took holds again.
pub(crate) fn heartbeat(txn: &mut ScopedTxn<'_>, input: &Heartbeat) -> Result<Lease> {
    let until = lease(input.lease_ms, txn.now())?;
    let mut row = txn.bead(&input.id)?;
    check_epoch(&row, Some(input.epoch))?;
    check_holder(txn, &row, Some(&input.by))?;
    let lease_until = row.lease_until.map_or(until, |held| until.renewing(held));
    row.lease_until = Some(lease_until);
    let epoch = row.epoch;
    txn.put_volatile(row)?;
    Ok(Lease { id: input.id.clone(), epoch, lease_until })
}

/// Gives a claimed bead back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseBead {
    /// Which.
    pub id: BeadId,
    /// Who holds it; whoever does where it is left out, which a crew member may not.
    #[serde(default)]
    pub by: Option<String>,
    /// Refuse with `epoch_stale` where somebody else has claimed the bead since.
    #[serde(default)]
    pub expected_epoch: Option<i64>,
}

impl From<BeadId> for ReleaseBead {
    fn from(id: BeadId) -> Self {
        Self { id, by: None, expected_epoch: None }
    }
}

impl From<&BeadId> for ReleaseBead {
    fn from(id: &BeadId) -> Self {
        id.clone().into()
    }
}

/// Gives a claimed bead back.
pub(crate) fn release(txn: &mut ScopedTxn<'_>, input: &ReleaseBead) -> Result<Bead> {
    let mut row = txn.bead(&input.id)?;
    check_epoch(&row, input.expected_epoch)?;
    refuse_in_session(txn, &row)?;
    if input.by.is_none() && matches!(txn.view().scope(), Scope::Agent { role: Role::Crew, .. }) {
        return Err(Error::invalid("field_missing", "a crew member says who gives the bead back").with("field", "by"));
    }
    check_holder(txn, &row, input.by.as_deref())?;
    row.move_to(BeadStatus::Open, None, txn.now())?;
    let by = row.assignee.take();
    row.lease_until = None;
    txn.put_bead(row)?;
    txn.event("bead.released", &input.id, json!({ "by": by }));
    assemble(txn.view(), txn.bead(&input.id)?)
}

/// Refuses where the bead is not claimed, or by somebody else.
fn check_holder(txn: &ScopedTxn<'_>, row: &BeadRow, by: Option<&str>) -> Result<()> {
    refuse_in_session(txn, row)?;
    if row.status != BeadStatus::InProgress {
        return Err(Error::conflict("bead_not_claimed", format!("bead {} is {} and nobody's", row.id, row.status))
            .with("bead", &row.id)
            .with("status", row.status));
    }
    if by.is_none_or(|by| row.assignee.as_deref() == Some(by)) {
        return Ok(());
    }
    Err(not_claimable(txn, row, Timestamp::from_micros(i64::MIN)))
}
