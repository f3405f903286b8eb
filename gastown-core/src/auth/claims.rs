//! What a token says, in the words of its claims.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::model::{BeadId, Capability, CapabilityId, Error, Result, RigName, Role, Scope, SessionId, TownId, UserId};

/// Who issues tokens.
pub(super) const ISSUER: &str = "gastown";

/// The claims of a token, each of them known and none beside them.
///
/// The registered ones (RFC 7519, 4.1) have their meaning there, with whole seconds and one audience. Those of the caller are
/// there exactly where its kind has them.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Claims {
    pub(super) iss: String,
    pub(super) aud: String,
    pub(super) sub: String,
    pub(super) jti: CapabilityId,
    pub(super) iat: u64,
    pub(super) nbf: u64,
    pub(super) exp: u64,
    pub(super) town: TownId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user: Option<UserId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rig: Option<RigName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    agent: Option<BeadId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    role: Option<Role>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bead: Option<BeadId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    session: Option<SessionId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    epoch: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) verbs: Option<BTreeSet<String>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) chain: Vec<CapabilityId>,
}

/// Whom tokens of a town are for.
pub(super) fn audience(town: &TownId) -> String {
    format!("gastown/{town}")
}

impl Claims {
    /// The claims of a capability.
    ///
    /// # Errors
    /// `scope_not_issuable` for the operator and the town, whose handles are made in the process alone.
    pub(super) fn of(capability: &Capability, town: &TownId, iat: u64, exp: u64) -> Result<Self> {
        let mut claims = Self {
            iss: ISSUER.to_owned(),
            aud: audience(town),
            sub: capability.scope.principal(),
            jti: capability.id.clone(),
            iat,
            nbf: iat,
            exp,
            town: town.clone(),
            user: None,
            rig: capability.scope.rig().cloned(),
            agent: None,
            role: None,
            bead: None,
            session: None,
            epoch: None,
            verbs: capability.verbs.clone(),
            chain: capability.chain.clone(),
        };
        match &capability.scope {
            Scope::Operator | Scope::Town => {
                let said = format!("{} calls from within its process and has no token", capability.scope.principal());
                return Err(Error::invalid("scope_not_issuable", said));
            }
            Scope::User { user, .. } => claims.user = Some(user.clone()),
            Scope::Rig(_) => {}
            Scope::Agent { agent, role, bead, session, epoch, .. } => {
                claims.agent = Some(agent.clone());
                claims.role = Some(*role);
                claims.bead = Some(bead.clone());
                claims.session = Some(session.clone());
                claims.epoch = Some(*epoch);
            }
        }
        Ok(claims)
    }

    /// The scope that the claims of the caller say; none where they are not exactly those of one kind.
    pub(super) fn scope(&self) -> Option<Scope> {
        let Self { user, rig, agent, role, bead, session, epoch, .. } = self;
        match (user, rig, agent, *role, bead, session, *epoch) {
            (Some(user), rig, None, None, None, None, None) => {
                Some(Scope::User { user: user.clone(), rig: rig.clone() })
            }
            (None, Some(rig), None, None, None, None, None) => Some(Scope::Rig(rig.clone())),
            (None, Some(rig), Some(agent), Some(role), Some(bead), Some(session), Some(epoch)) => Some(Scope::Agent {
                agent: agent.clone(),
                role,
                rig: rig.clone(),
                bead: bead.clone(),
                session: session.clone(),
                epoch,
            }),
            _ => None,
        }
    }
}
