//! Capabilities as the town knows them: which were issued, which are revoked.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::fields::check_reason;
use super::graph::Changed;
use super::ready::{check_limit, decode_position, encode_position};
use super::sessions;
use super::txn::ScopedTxn;
use super::view::View;
use crate::model::{
    CAPABILITY_CHAIN_MAX, Capability, CapabilityId, CapabilityRow, Error, Key, KeyAlgorithm, Result, RigName, RigRow,
    Row, Scope, SessionId, Stored as _, Timestamp, UserId,
};
use crate::store::{Position, Scan, index};

/// How long a capability holds where nothing is said, and the longest.
const TTL: Duration = Duration::from_secs(3600);
const TTL_MAX: Duration = Duration::from_secs(90 * 24 * 3600);
/// How long the row of one that ended is kept, for whoever asks what it was.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);
/// The most operations that one is narrowed to.
const VERBS_MAX: usize = 100;
/// The random digits of an id: as many as make a guess hopeless.
const ID_DIGITS: usize = 20;

/// A capability to issue: for a user, a rig, or the agent of a session; exactly one of them is named.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IssueCapability {
    /// For this user; together with `rig`, confined to it.
    pub user: Option<UserId>,
    /// For whoever may see and change this rig and nothing else.
    pub rig: Option<RigName>,
    /// For the agent of this session, while its epoch is the bead's.
    pub session: Option<SessionId>,
    /// The only operations that it is good for, as [`operations`](crate::operations) names them; all that its scope may call where it is left out.
    pub verbs: Option<BTreeSet<String>>,
    /// For how long in milliseconds; an hour where it is left out, at most 90 days. It ends with a whole second.
    pub ttl_ms: Option<u64>,
}

/// A capability to make of another one that can do less.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttenuateCapability {
    /// The token of the other one.
    pub token: String,
    /// Confine it to this rig.
    #[serde(default)]
    pub rig: Option<RigName>,
    /// The only operations that it is good for: some of the other's.
    #[serde(default)]
    pub verbs: Option<BTreeSet<String>>,
    /// For how long in milliseconds; it never ends after the other one.
    #[serde(default)]
    pub ttl_ms: Option<u64>,
}

impl std::fmt::Debug for AttenuateCapability {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { token: _, rig, verbs, ttl_ms } = self;
        f.debug_struct("AttenuateCapability")
            .field("rig", rig)
            .field("verbs", verbs)
            .field("ttl_ms", ttl_ms)
            .finish_non_exhaustive()
    }
}

/// A capability with its token, which is shown this once and kept nowhere.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct IssuedCapability {
    /// Names it in the list, and where it is revoked.
    pub id: CapabilityId,
    /// What whoever calls with it shows. It is a secret.
    pub token: String,
    /// Who calls with it, as the journal names that.
    pub principal: String,
    /// Until when it holds, without that moment.
    pub expires_at: Timestamp,
}

impl std::fmt::Debug for IssuedCapability {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { id, token: _, principal, expires_at } = self;
        f.debug_struct("IssuedCapability")
            .field("id", id)
            .field("principal", principal)
            .field("expires_at", expires_at)
            .finish_non_exhaustive()
    }
}

/// Which capability to revoke.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevokeCapability {
    /// It; that of a session is `cap-` and the session's id.
    pub id: CapabilityId,
    /// Why.
    #[serde(default)]
    pub reason: Option<String>,
}

impl From<CapabilityId> for RevokeCapability {
    fn from(id: CapabilityId) -> Self {
        Self { id, reason: None }
    }
}

/// Which capabilities to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CapabilityFilter {
    /// Also those that ended or were revoked.
    pub all: bool,
    /// At most so many, 1 to 1000; 50 where it is left out.
    pub limit: Option<usize>,
    /// Go on behind an earlier page.
    pub cursor: Option<String>,
}

/// A capability that was issued, without its token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the fields are those of CapabilityRow, documented there")]
pub struct CapabilityInfo {
    pub id: CapabilityId,
    pub principal: String,
    pub rig: Option<RigName>,
    pub verbs: Option<BTreeSet<String>>,
    pub parent: Option<CapabilityId>,
    pub issued_by: String,
    pub issued_at: Timestamp,
    pub expires_at: Timestamp,
    pub revoked_at: Option<Timestamp>,
    pub revoked_by: Option<String>,
    pub revoked_reason: Option<String>,
}

impl From<CapabilityRow> for CapabilityInfo {
    fn from(row: CapabilityRow) -> Self {
        let CapabilityRow { id, principal, rig, verbs, parent, issued_by, issued_at, expires_at, .. } = row;
        let verbs = verbs.and_then(|verbs| serde_json::from_value(verbs).ok());
        let CapabilityRow { revoked_at, revoked_by, revoked_reason, .. } = row;
        Self {
            id,
            principal,
            rig,
            verbs,
            parent,
            issued_by,
            issued_at,
            expires_at,
            revoked_at,
            revoked_by,
            revoked_reason,
        }
    }
}

/// One page of capabilities, those that end first in front.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CapabilityPage {
    /// Them. The ones that agents of sessions are started with are not listed: they end with their sessions.
    pub capabilities: Vec<CapabilityInfo>,
    /// Where the next page begins; none at the end.
    pub cursor: Option<String>,
}

/// A new key to sign with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RotateKeys {
    /// How it signs; `EdDSA` where it is left out.
    pub algorithm: Option<KeyAlgorithm>,
    /// For how long in milliseconds the keys before it verify; 90 days where it is left out. With 0 every token that
    /// was issued before is good for nothing any more, at once.
    pub keep_ms: Option<u64>,
}

/// The keys of a town, the one that signs in front.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct KeysRotated {
    /// Them.
    pub keys: Vec<KeyInfo>,
}

/// A key, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct KeyInfo {
    /// Its name, which tokens carry.
    pub kid: String,
    /// How it signs.
    pub algorithm: KeyAlgorithm,
    /// From when it verifies no longer; none while it signs.
    pub ends_at: Option<Timestamp>,
}

/// Refuses a capability that ended or was revoked, or that the town does not know.
pub(crate) fn check(view: View<'_>, capability: &Capability) -> Result<()> {
    let town = view.of_town();
    if view.now() >= capability.expires_at {
        return Err(
            Error::forbidden("token_expired", "the token holds no longer").with("held_until", capability.expires_at)
        );
    }
    for (nth, id) in capability.chain.iter().chain([&capability.id]).enumerate() {
        let row: Option<CapabilityRow> = town.find(&Key::capability(id))?;
        // That of a session is in no list: it stands and falls with the session, which is looked at besides.
        let is_of_session = nth == 0
            && matches!(&capability.scope, Scope::Agent { session, .. } if *id == CapabilityId::of_session(session));
        let Some(row) = row else {
            if is_of_session {
                continue;
            }
            return Err(Error::forbidden("capability_unknown", format!("the town knows no capability {id}"))
                .with("capability", id));
        };
        if row.revoked_at.is_some() {
            return Err(
                Error::forbidden("capability_revoked", format!("capability {id} was revoked")).with("capability", id)
            );
        }
    }
    Ok(())
}

/// What is to be issued, before it is signed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Drafted {
    pub(crate) id: CapabilityId,
    pub(crate) chain: Vec<CapabilityId>,
    pub(crate) verbs: Option<BTreeSet<String>>,
    pub(crate) issued_at: Timestamp,
    pub(crate) expires_at: Timestamp,
}

/// What somebody asks for: a scope, and what it is narrowed to and from.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) scope: Scope,
    pub(crate) verbs: Option<BTreeSet<String>>,
    pub(crate) ttl_ms: Option<u64>,
    /// The capability that it is made of, or that its issuer calls with.
    pub(crate) from: Option<Capability>,
}

impl Serialize for Wanted {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{} {:?} {:?}", self.scope.principal(), self.verbs, self.ttl_ms))
    }
}

/// The scope that a new capability is for.
pub(crate) fn scope_of(view: View<'_>, input: &IssueCapability) -> Result<Scope> {
    view.whole_town()?;
    if let Some(rig) = &input.rig
        && view.find::<RigRow>(&Key::rig(rig))?.is_none()
    {
        return Err(super::rigs::missing(rig));
    }
    match (&input.user, &input.rig, &input.session) {
        (Some(user), rig, None) => Ok(Scope::User { user: user.clone(), rig: rig.clone() }),
        (None, Some(rig), None) => Ok(Scope::Rig(rig.clone())),
        (None, None, Some(session)) => sessions::scope(view, session),
        _ => Err(Error::invalid("field_missing", "say whom it is for: a user, a rig, both, or a session alone")
            .with("field", "user")),
    }
}

/// Notes a capability that is about to be issued; it can do no more than the one it is made of.
pub(crate) fn draft(txn: &mut ScopedTxn<'_>, wanted: &Wanted) -> Result<Drafted> {
    let now = txn.now();
    let ttl = wanted.ttl_ms.map_or(TTL, Duration::from_millis);
    if ttl < Duration::from_secs(1) || ttl > TTL_MAX {
        return Err(Error::invalid(
            "ttl_out_of_range",
            format!("a capability holds from a second to {} days", TTL_MAX.as_secs() / 86_400),
        )
        .with("ttl_ms_min", 1_000)
        .with("ttl_ms_max", TTL_MAX.as_millis()));
    }
    check_verbs(wanted.verbs.as_ref())?;
    // It ends with a whole second, and holds for all the time that was asked for.
    let asked = now.after(ttl).as_micros();
    let mut expires_at = Timestamp::from_micros(asked - asked.rem_euclid(1_000_000));
    let (mut verbs, mut chain) = (wanted.verbs.clone(), Vec::new());
    if let Some(from) = &wanted.from {
        check(txn.view(), from)?;
        expires_at = expires_at.min(from.expires_at);
        verbs = match (verbs, &from.verbs) {
            (Some(asked), Some(held)) => {
                if let Some(more) = asked.difference(held).next() {
                    return Err(Error::forbidden("verb_not_granted", format!("{more} is beyond what was granted"))
                        .with("verb", more));
                }
                Some(asked)
            }
            (asked, held) => asked.or_else(|| held.clone()),
        };
        chain = from.chain.iter().chain([&from.id]).cloned().collect();
        if chain.len() > CAPABILITY_CHAIN_MAX {
            return Err(Error::exhausted(
                "chain_too_long",
                format!("a capability is narrowed at most {CAPABILITY_CHAIN_MAX} times"),
            )
            .with("chain_max", CAPABILITY_CHAIN_MAX));
        }
    }
    forget_old(txn)?;
    let id = loop {
        let id = CapabilityId::new(format!("cap-{}", txn.ids().base36(ID_DIGITS)))?;
        if !txn.is_taken(&Key::capability(&id))? {
            break id;
        }
    };
    let principal = wanted.scope.principal();
    let issued_by = txn.actor().to_owned();
    let row = CapabilityRow {
        id: id.clone(),
        principal: principal.clone(),
        rig: wanted.scope.rig().cloned(),
        verbs: verbs.as_ref().map(|verbs| json!(verbs)),
        parent: chain.last().cloned(),
        issued_by,
        issued_at: now,
        expires_at,
        revoked_at: None,
        revoked_by: None,
        revoked_reason: None,
    };
    txn.as_town(|txn| txn.put(row))?;
    txn.event("capability.issued", &id, json!({ "principal": principal, "verbs": verbs, "expires_at": expires_at }));
    Ok(Drafted { id, chain, verbs, issued_at: now, expires_at })
}

fn check_verbs(verbs: Option<&BTreeSet<String>>) -> Result<()> {
    let Some(verbs) = verbs else { return Ok(()) };
    if verbs.is_empty() || verbs.len() > VERBS_MAX {
        return Err(Error::invalid("verbs_out_of_range", format!("there are 1 to {VERBS_MAX} verbs"))
            .with("found", verbs.len())
            .with("verbs_max", VERBS_MAX));
    }
    Ok(())
}

/// Removes a few rows of capabilities that ended long ago; each new one takes more than one away.
fn forget_old(txn: &mut ScopedTxn<'_>) -> Result<()> {
    let now = txn.now();
    txn.as_town(|txn| {
        let oldest: Vec<CapabilityRow> = txn.scan(Scan::new(&index::CAPABILITIES_BY_END, vec![], 4))?;
        for row in oldest.into_iter().filter(|row| row.expires_at < now && now.since(row.expires_at) >= KEPT) {
            txn.delete(&row.key())?;
        }
        Ok(())
    })
}

/// Revokes a capability and whatever was narrowed from it, for the very next call of whoever holds it.
pub(crate) fn revoke(txn: &mut ScopedTxn<'_>, input: &RevokeCapability) -> Result<Changed> {
    txn.view().whole_town()?;
    check_reason(input.reason.as_deref())?;
    let now = txn.now();
    let mut row = match txn.find::<CapabilityRow>(&Key::capability(&input.id))? {
        Some(row) => row,
        None => of_session(txn, &input.id)?,
    };
    if row.revoked_at.is_some() {
        return Ok(Changed { changed: false });
    }
    row.revoked_at = Some(now);
    row.revoked_by = Some(txn.actor().to_owned());
    row.revoked_reason.clone_from(&input.reason);
    let data = json!({ "principal": row.principal, "reason": input.reason });
    txn.put(row)?;
    txn.event("capability.revoked", &input.id, data);
    Ok(Changed { changed: true })
}

/// The row of a session's capability, which has none before it is revoked.
fn of_session(txn: &ScopedTxn<'_>, id: &CapabilityId) -> Result<CapabilityRow> {
    let missing =
        || Error::not_found("capability_missing", format!("there is no capability {id}")).with("capability", id);
    let session = id.as_str().strip_prefix("cap-").and_then(|session| SessionId::new(session).ok());
    let scope = match session.map(|session| sessions::scope(txn.view(), &session)) {
        Some(Ok(scope)) => scope,
        Some(Err(error)) if error.code() != "session_missing" => return Err(error),
        _ => return Err(missing()),
    };
    Ok(CapabilityRow {
        id: id.clone(),
        principal: scope.principal(),
        rig: scope.rig().cloned(),
        verbs: None,
        parent: None,
        issued_by: Scope::Town.principal(),
        issued_at: txn.now(),
        expires_at: txn.now().after(TTL_MAX),
        revoked_at: None,
        revoked_by: None,
        revoked_reason: None,
    })
}

/// Lists the capabilities that were issued, those that end first in front.
pub(crate) fn list(view: View<'_>, input: &CapabilityFilter) -> Result<CapabilityPage> {
    const ORDER: &str = "capabilities";
    view.whole_town()?;
    let limit = check_limit(input.limit)?;
    let now = view.now();
    let after = input.cursor.as_deref().map(|cursor| decode_position(ORDER, "it", cursor)).transpose()?;
    let mut rows: Vec<CapabilityRow> = Vec::new();
    view.walk::<CapabilityRow>(Scan::new(&index::CAPABILITIES_BY_END, vec![], 0).after(after), |row| {
        if input.all || (row.expires_at > now && row.revoked_at.is_none()) {
            rows.push(row);
        }
        Ok(rows.len() <= limit)
    })?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let place = |row: &CapabilityRow| Position::of(&index::CAPABILITIES_BY_END, &Row::Capability(row.clone()));
    let cursor = rows.last().filter(|_| more).map(|last| encode_position(ORDER, &place(last).0));
    Ok(CapabilityPage { capabilities: rows.into_iter().map(CapabilityInfo::from).collect(), cursor })
}
