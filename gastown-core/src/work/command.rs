//! What every command has in common: fences, idempotency, the journal.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use super::txn::{Ctx, ScopedTxn};
use super::view::View;
use super::{capabilities, liveness};
use crate::model::event::hex;
use crate::model::{BeadRow, Error, IdempotencyRow, Key, Result, Scope, SessionRow, SessionState, Stored as _};
use crate::store::{Reader, Scan, Txn, index};

/// How long an answer is remembered for its idempotency key.
pub(crate) const IDEMPOTENCY_KEPT: Duration = Duration::from_secs(7 * 24 * 3600);
/// The longest idempotency key in bytes.
pub(crate) const IDEMPOTENCY_KEY_BYTES_MAX: usize = 200;

/// Runs one changing command in a transaction.
pub(crate) fn change<I, O>(
    raw: &mut dyn Txn,
    scope: &Scope,
    ctx: &Ctx,
    operation: &str,
    input: &I,
    command: fn(&mut ScopedTxn<'_>, &I) -> Result<O>,
) -> Result<O>
where
    I: Serialize,
    O: Serialize + DeserializeOwned,
{
    let mut txn = ScopedTxn::new(raw, scope, ctx)?;
    fence(txn.view(), ctx)?;
    liveness::spoke(&mut txn)?;
    let Some(key) = &ctx.idempotency_key else {
        let output = command(&mut txn, input)?;
        txn.finish(operation)?;
        return Ok(output);
    };
    if key.is_empty() || key.len() > IDEMPOTENCY_KEY_BYTES_MAX {
        return Err(Error::invalid(
            "idempotency_key_malformed",
            format!("an idempotency key has 1 to {IDEMPOTENCY_KEY_BYTES_MAX} bytes, not {}", key.len()),
        )
        .with("bytes", key.len()));
    }
    let principal = scope.hears();
    let request_hash = hash(input);
    let row_key = Key::idempotency(&principal, operation, key);
    if let Some(known) = txn.find::<IdempotencyRow>(&row_key)?
        && txn.now().since(known.created_at) < IDEMPOTENCY_KEPT
    {
        if known.request_hash != request_hash {
            return Err(Error::conflict(
                "idempotency_key_reused",
                format!("the key was used for another request of {operation}"),
            )
            .with("operation", operation)
            .with("key", key));
        }
        return serde_json::from_value(known.answer).map_err(|source| {
            Error::corrupt("answer_unreadable", "a remembered answer cannot be read").because(source)
        });
    }
    let output = command(&mut txn, input)?;
    let answer = serde_json::to_value(&output)
        .map_err(|source| Error::internal("answer_unwritable", "an answer is not JSON").because(source))?;
    forget_old_answers(&mut txn)?;
    let created_at = txn.now();
    txn.put(IdempotencyRow {
        principal,
        operation: operation.to_owned(),
        idempotency_key: key.clone(),
        request_hash,
        answer,
        created_at,
    })?;
    txn.finish(operation)?;
    Ok(output)
}

/// Removes a few answers that were kept long enough; each new one takes more than one away, so they do not pile up.
fn forget_old_answers(txn: &mut ScopedTxn<'_>) -> Result<()> {
    let oldest: Vec<IdempotencyRow> = txn.scan(Scan::new(&index::ANSWERS_BY_AGE, vec![], 4))?;
    for row in oldest {
        if txn.now().since(row.created_at) >= IDEMPOTENCY_KEPT {
            txn.delete(&row.key())?;
        }
    }
    Ok(())
}

/// Runs one question on a snapshot.
pub(crate) fn ask<I, O>(
    reader: &dyn Reader,
    scope: &Scope,
    ctx: &Ctx,
    input: &I,
    question: fn(View<'_>, &I) -> Result<O>,
) -> Result<O> {
    let view = View::new(reader, scope, ctx.now);
    fence(view, ctx)?;
    question(view, input)
}

/// Runs one batch of a long command in a transaction of its own.
pub(crate) fn batch<O>(
    raw: &mut dyn Txn,
    scope: &Scope,
    ctx: &Ctx,
    operation: &str,
    batch: impl FnOnce(&mut ScopedTxn<'_>) -> Result<O>,
) -> Result<O> {
    let mut txn = ScopedTxn::for_many(raw, scope, ctx)?;
    fence(txn.view(), ctx)?;
    let output = batch(&mut txn)?;
    txn.finish(operation)?;
    Ok(output)
}

/// Runs a step of the engine or the executor in a transaction, under the town's own scope.
pub(crate) fn step<O>(
    raw: &mut dyn Txn,
    ctx: &Ctx,
    operation: &str,
    step: impl FnOnce(&mut ScopedTxn<'_>) -> Result<O>,
) -> Result<O> {
    let scope = Scope::Town;
    let mut txn = ScopedTxn::new(raw, &scope, ctx)?;
    let output = step(&mut txn)?;
    txn.finish(operation)?;
    Ok(output)
}

/// A capability is good until it ends or is revoked, and an agent may speak only while its session is the bead's present
/// one.
pub(crate) fn fence(view: View<'_>, ctx: &Ctx) -> Result<()> {
    if let Some(capability) = &ctx.capability {
        capabilities::check(view, capability)?;
    }
    let Scope::Agent { session, epoch, bead, .. } = view.scope() else { return Ok(()) };
    let row: Option<SessionRow> = view.find(&Key::session(session))?;
    let current: Option<BeadRow> = view.find(&Key::bead(bead))?;
    let live =
        row.is_some_and(|row| row.epoch == *epoch && !matches!(row.state, SessionState::Planned | SessionState::Ended));
    if live && current.is_some_and(|bead| bead.epoch == *epoch) {
        return Ok(());
    }
    Err(Error::conflict("epoch_stale", format!("session {session} (epoch {epoch}) is over"))
        .with("session", session)
        .with("epoch", epoch))
}

fn hash(input: &impl Serialize) -> String {
    let text = serde_json::to_string(input).unwrap_or_default();
    hex(&Sha256::digest(text.as_bytes()))
}
