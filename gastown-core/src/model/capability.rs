//! Capabilities: what somebody may do in a town, as a token says it.

use std::collections::BTreeSet;

use super::record::record;
use super::text_enum::text_enum;
use super::{CapabilityId, RigName, Scope, SessionId, Timestamp};

/// The most capabilities that one may be narrowed from, one after the other.
pub const CAPABILITY_CHAIN_MAX: usize = 8;

text_enum! {
    /// How tokens are signed.
    pub enum KeyAlgorithm = "algorithm of a key" {
        /// Ed25519: whoever has the public half can verify and not sign.
        EdDsa = "EdDSA",
        /// HMAC with SHA-256: verified in microseconds, by whoever could sign as well.
        Hs256 = "HS256",
    }
}

/// What a token allows, after everything about it was checked.
///
/// Only the authenticator makes one, from a token whose signature holds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capability {
    /// Names it: in the list of those that were issued, and where it is revoked.
    pub id: CapabilityId,
    /// Those it was narrowed from, the first in front. Whoever revokes one of them revokes it.
    pub chain: Vec<CapabilityId>,
    /// The key that it is signed with; it ends with that key.
    pub key: String,
    /// Who calls with it, and what that caller can reach.
    pub scope: Scope,
    /// The only operations that it is good for; none where it is good for all that its scope may call.
    pub verbs: Option<BTreeSet<String>>,
    /// From when it holds.
    pub issued_at: Timestamp,
    /// Until when it holds, without that moment.
    pub expires_at: Timestamp,
}

impl CapabilityId {
    /// The capability that a session's agent is started with.
    pub fn of_session(session: &SessionId) -> Self {
        Self::made(format!("cap-{session}"))
    }
}

record! {
    /// A capability that was issued on request, or one of a session that was revoked.
    pub struct CapabilityRow = "capability" {
        /// It.
        key id: CapabilityId,
        /// Who calls with it, as the journal names that.
        plain principal: String,
        /// The rig that its bearer is confined to.
        plain rig: Option<RigName>,
        /// The only operations that it is good for, as a list in JSON; null for all that its scope may call.
        plain verbs: Option<serde_json::Value>,
        /// The capability that it was narrowed from.
        plain parent: Option<CapabilityId>,
        /// Who issued it.
        plain issued_by: String,
        /// When.
        plain issued_at: Timestamp,
        /// Until when it holds.
        plain expires_at: Timestamp,
        /// When it was revoked.
        plain revoked_at: Option<Timestamp>,
        /// By whom.
        plain revoked_by: Option<String>,
        /// Why.
        plain revoked_reason: Option<String>,
    }
}
