//! The leader's lease: one process at a time ticks and executes.

use std::time::Duration;

use serde_json::json;

use super::txn::ScopedTxn;
use super::{effects, liveness};
use crate::model::{Error, Key, LeaderRow, Result};
use crate::mutant::{self, Mutant};

/// Takes the lease where it is free, has run out, or belongs to `dead`; returns the new leader's epoch.
///
/// Everything that an earlier leader had begun becomes ambiguous in the same transaction.
pub(crate) fn acquire(txn: &mut ScopedTxn<'_>, holder: &str, lease: Duration, dead: Option<&str>) -> Result<i64> {
    let now = txn.now();
    let known: Option<LeaderRow> = txn.find(&Key::leader())?;
    if let Some(row) = &known
        && row.lease_until > now
        && dead != Some(row.holder.as_str())
    {
        return Err(Error::conflict("engine_running_elsewhere", format!("the engine runs in {}", row.holder))
            .with("holder", &row.holder)
            .with("lease_until", row.lease_until));
    }
    let epoch = match known {
        Some(row) => row.epoch + 1,
        None => first_epoch(txn)?,
    };
    // A drain ends with the host that was drained.
    let (drain_reason, drain_until) = (None, None);
    let (name, lease_until) = ("engine".to_owned(), now.after(lease));
    txn.put(LeaderRow { name, holder: holder.to_owned(), epoch, lease_until, drain_reason, drain_until })?;
    txn.event("engine.leader", "engine", json!({ "holder": holder, "epoch": epoch }));
    if !mutant::lives(Mutant::OutboxForgotten) {
        effects::suspect(txn, epoch)?;
    }
    liveness::rouse(txn)?;
    Ok(epoch)
}

/// An epoch that no leader has had, where there is no lease.
///
/// One that could not be read may have been taken out. Each leader left an entry in the journal, so the number of
/// the next entry is above every epoch that there was.
fn first_epoch(txn: &ScopedTxn<'_>) -> Result<i64> {
    let reader = txn.view().whole_town()?;
    let was_led = !reader.events_of("engine", 0, 1)?.is_empty() || txn.view().first_seq()? > 1;
    Ok(if was_led { i64::try_from(txn.head_seq()).unwrap_or(i64::MAX).saturating_add(1) } else { 1 })
}

/// Holds the lease for longer, never shorter where the clock went back a little; an error where another took it.
pub(crate) fn renew(txn: &mut ScopedTxn<'_>, epoch: i64, lease: Duration) -> Result<()> {
    let mut row = check(txn, epoch)?;
    row.lease_until = txn.now().after(lease).renewing(row.lease_until);
    txn.put_volatile(row)
}

/// Gives the lease back.
pub(crate) fn release(txn: &mut ScopedTxn<'_>, epoch: i64) -> Result<()> {
    let mut row = check(txn, epoch)?;
    row.lease_until = txn.now();
    txn.put_volatile(row)
}

/// The lease of this epoch, or who took it.
pub(crate) fn check(txn: &ScopedTxn<'_>, epoch: i64) -> Result<LeaderRow> {
    let row: Option<LeaderRow> = txn.find(&Key::leader())?;
    match row {
        Some(row) if row.epoch == epoch => Ok(row),
        other => {
            let found = other.map_or(0, |row| row.epoch);
            Err(Error::conflict("leader_epoch_stale", format!("the leader of epoch {epoch} was followed by {found}"))
                .with("epoch", epoch)
                .with("found", found))
        }
    }
}
