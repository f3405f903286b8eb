//! Issuing capabilities, and calling with them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::handle::Handle;
use super::operation::Operation;
use super::table;
use super::town::Town;
use super::upkeep::{blocking, of_whole_town};
use crate::auth::Draft;
use crate::model::{Capability, Error, KeyAlgorithm, Result, RigName, Scope};
use crate::store::{Reader, Txn};
use crate::work::capabilities::{self, Drafted, Wanted};
use crate::work::txn::Ctx;
use crate::work::{AttenuateCapability, IssueCapability, IssuedCapability, KeyInfo, KeysRotated, RotateKeys, command};

/// How long keys that signed until now verify on, where nothing is said: as long as a capability can hold.
const KEPT: Duration = Duration::from_secs(90 * 24 * 3600);

impl Town {
    /// A handle for whoever shows this token: with its scope, its operations, and as long as it holds.
    ///
    /// Every call of the handle is refused once the capability ended or was revoked, or its key ended; for an agent's also
    /// once its session's epoch is not the bead's any more, in the transaction of the call itself.
    ///
    /// # Errors
    /// `token_malformed`, `token_key_unknown`, `token_unsigned`, `token_of_another`, `token_early`, `token_expired`,
    /// `capability_unknown`, `capability_revoked` and `epoch_stale`; `keys_unusable`, `keys_unreadable` and `keys_exposed` where the
    /// town's keys are at fault.
    pub async fn with_token(&self, token: &str) -> Result<Handle> {
        let capability = self.shared.authority.verify(token, self.ctx().now)?;
        let handle = Handle::with_capability(self.clone(), capability);
        handle.admit().await?;
        Ok(handle)
    }
}

/// Issues a capability and gives its token.
pub(super) async fn issue(
    handle: &Handle,
    operation: &'static Operation,
    input: IssueCapability,
) -> Result<IssuedCapability> {
    of_whole_town(handle)?;
    known_verbs(input.verbs.as_ref())?;
    let (ctx, shared) = (handle.town().ctx(), handle.shared_scope());
    let asked = input.clone();
    let scope = move |reader: &dyn Reader| command::ask(reader, &shared, &ctx, &asked, capabilities::scope_of);
    let scope = handle.town().shared.store.read(scope).await?;
    let from = handle.capability().cloned();
    sign(handle, operation, Wanted { scope, verbs: input.verbs, ttl_ms: input.ttl_ms, from }).await
}

/// Makes a capability that can do less than the one whose token is shown.
pub(super) async fn attenuate(
    handle: &Handle,
    operation: &'static Operation,
    input: AttenuateCapability,
) -> Result<IssuedCapability> {
    known_verbs(input.verbs.as_ref())?;
    let from = handle.town().shared.authority.verify(&input.token, handle.town().ctx().now)?;
    let scope = narrowed(&from.scope, input.rig)?;
    sign(handle, operation, Wanted { scope, verbs: input.verbs, ttl_ms: input.ttl_ms, from: Some(from) }).await
}

/// The scope within the rig.
fn narrowed(scope: &Scope, rig: Option<RigName>) -> Result<Scope> {
    let Some(rig) = rig else { return Ok(scope.clone()) };
    if let Some(held) = scope.rig()
        && *held != rig
    {
        return Err(Error::forbidden("scope_too_narrow", format!("{} sees the rig {held}", scope.principal()))
            .with("principal", scope.principal())
            .with("rig", held));
    }
    Ok(match scope {
        Scope::User { user, .. } => Scope::User { user: user.clone(), rig: Some(rig) },
        other => other.clone(),
    })
}

fn known_verbs(verbs: Option<&BTreeSet<String>>) -> Result<()> {
    let is_known = |verb: &&String| !table::operations().iter().any(|known| known.name == **verb);
    match verbs.into_iter().flatten().find(is_known) {
        Some(verb) => Err(table::unknown(verb)),
        None => Ok(()),
    }
}

async fn sign(handle: &Handle, operation: &'static Operation, wanted: Wanted) -> Result<IssuedCapability> {
    let town = handle.town();
    let (ctx, shared, asked) = (ctx(handle), handle.shared_scope(), wanted.clone());
    let note =
        move |raw: &mut dyn Txn| command::change(raw, &shared, &ctx, operation.name, &asked, capabilities::draft);
    let Drafted { id, chain, verbs, issued_at, expires_at } = town.shared.store.write(note).await?;
    let draft = Draft { id, scope: wanted.scope, verbs, chain, issued_at, expires_at };
    let (capability, token) = town.shared.authority.issue(draft)?;
    let Capability { id, scope, expires_at, .. } = capability;
    Ok(IssuedCapability { id, token: token.expose().to_owned(), principal: scope.principal(), expires_at })
}

fn ctx(handle: &Handle) -> Ctx {
    Ctx { capability: handle.capability_shared(), ..handle.town().ctx() }
}

/// Lets a new key sign.
pub(super) async fn rotate_keys(
    handle: &Handle,
    operation: &'static Operation,
    input: RotateKeys,
) -> Result<KeysRotated> {
    of_whole_town(handle)?;
    let authority = Arc::clone(&handle.town().shared.authority);
    let now = handle.town().ctx().now;
    let algorithm = input.algorithm.unwrap_or(KeyAlgorithm::EdDsa);
    let kept = input.keep_ms.map_or(KEPT, Duration::from_millis);
    let keys = blocking(move || authority.rotate(algorithm, kept, now)).await?;
    let keys: Vec<KeyInfo> =
        keys.into_iter().map(|(kid, algorithm, ends_at)| KeyInfo { kid, algorithm, ends_at }).collect();
    // Afterwards, so that nothing is journaled that did not happen. The caller's own key may have ended with it.
    let (ctx, shared) = (ctx(handle), handle.shared_scope());
    let note = move |raw: &mut dyn Txn| {
        command::change(raw, &shared, &ctx, operation.name, &input, |txn, input| {
            txn.event("keys.rotated", "town", json!({ "algorithm": input.algorithm, "keep_ms": input.keep_ms }));
            Ok(())
        })
    };
    handle.town().shared.store.write(note).await?;
    Ok(KeysRotated { keys })
}
