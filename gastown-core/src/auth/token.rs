//! Making tokens, and making a scope of one.

use std::time::Duration;

use jsonwebtoken::{Header, Validation, crypto, decode, decode_header, encode};

use super::claims::{Claims, ISSUER, audience};
use super::key::SigningKey;
use super::keys::Keys;
use crate::model::{
    CAPABILITY_CHAIN_MAX, Capability, CapabilityId, Error, KeyAlgorithm, Result, Scope, SecretText, Timestamp, TownId,
};

/// The longest token in bytes.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// What kind of token it is (RFC 8725, 3.11: a token of another kind is never taken for one of ours).
const TYPE: &str = "gastown-capability+jwt";
/// The most operations that a token names.
const VERBS_MAX: usize = 100;
const MICROS_PER_SECOND: i64 = 1_000_000;

/// Issues the tokens of a town and verifies them: the only one that makes a scope of what comes from outside.
#[derive(Debug)]
pub(crate) struct Authority {
    town: TownId,
    keys: Keys,
}

/// A capability to be issued.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) id: CapabilityId,
    pub(crate) scope: Scope,
    pub(crate) verbs: Option<std::collections::BTreeSet<String>>,
    pub(crate) chain: Vec<CapabilityId>,
    pub(crate) issued_at: Timestamp,
    pub(crate) expires_at: Timestamp,
}

impl Authority {
    pub(crate) fn new(town: TownId, keys: Keys) -> Self {
        // A host may have both backends of the library that makes tokens; then one has to be chosen, and chosen once.
        let _ = crypto::CryptoProvider::install_default(&crypto::aws_lc::DEFAULT_PROVIDER);
        Self { town, keys }
    }

    /// The token of a capability. It begins and ends with whole seconds, so it ends up to one before what was asked for.
    pub(crate) fn issue(&self, draft: Draft) -> Result<(Capability, SecretText)> {
        let Draft { id, scope, verbs, chain, issued_at, expires_at } = draft;
        let (iat, exp) = (whole_seconds(issued_at)?, whole_seconds(expires_at)?);
        if exp <= iat {
            return Err(Error::invalid("ttl_out_of_range", "a capability holds for at least one whole second"));
        }
        let ring = self.keys.ring(issued_at)?;
        let key = ring.signer();
        let capability = Capability {
            id,
            chain,
            key: key.kid().to_owned(),
            scope,
            verbs,
            issued_at: of_seconds(iat)?,
            expires_at: of_seconds(exp)?,
        };
        let claims = Claims::of(&capability, &self.town, iat, exp)?;
        let token = encode(&header(key), &claims, &key.signs).map_err(|source| {
            Error::internal("token_unsigned", format!("key {} signs nothing", key.kid())).because(source)
        })?;
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Error::exhausted(
                "token_too_long",
                format!("the token would have {} bytes, and has at most {TOKEN_BYTES_MAX}", token.len()),
            )
            .with("bytes_max", TOKEN_BYTES_MAX));
        }
        Ok((capability, SecretText::new(token)))
    }

    /// What a token allows, if everything about it is right at this moment. No leeway is given: the clocks of a town's machines
    /// are as good as its leases need them.
    ///
    /// # Errors
    /// `token_malformed` for what is none of ours, `token_key_unknown`, `token_unsigned` where the signature is not that
    /// key's, `token_of_another` for another town's, `token_early`, `token_expired`. None shows anything of the token.
    pub(crate) fn verify(&self, token: &str, now: Timestamp) -> Result<Capability> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(malformed("is too long").with("bytes_max", TOKEN_BYTES_MAX));
        }
        let said = decode_header(token).map_err(|_| malformed("is no signed token"))?;
        if said.typ.as_deref() != Some(TYPE) {
            return Err(malformed("is of another type"));
        }
        let ring = self.keys.ring(now)?;
        let key = said.kid.as_deref().and_then(|kid| ring.verifier(kid, now));
        let key = key.ok_or_else(|| refused("token_key_unknown", "the key of the token verifies no tokens here"))?;
        // Whatever else a header can say (an algorithm, a key of its own, what is critical) is not ours.
        if said != header(key) {
            return Err(malformed("has a header that is not ours"));
        }
        let claims: Claims = decode(token, &key.verifies, &self.validation(key))
            .map_err(|source| {
                use jsonwebtoken::errors::ErrorKind as Kind;
                match source.kind() {
                    Kind::InvalidSignature => refused("token_unsigned", "the signature of the token does not hold"),
                    Kind::InvalidIssuer | Kind::InvalidAudience => of_another(),
                    _ => malformed("has claims that are not ours"),
                }
            })?
            .claims;
        self.check(claims, key.kid(), now)
    }

    fn validation(&self, key: &SigningKey) -> Validation {
        let mut validation = Validation::new(key.jwt_algorithm());
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[audience(&self.town)]);
        validation.set_required_spec_claims(&["iss", "aud", "sub", "exp", "nbf"]);
        // Times are compared with the town's clock, below.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.leeway = 0;
        validation
    }

    fn check(&self, claims: Claims, kid: &str, now: Timestamp) -> Result<Capability> {
        let scope = claims.scope().ok_or_else(|| malformed("names no caller"))?;
        if claims.town != self.town || claims.iss != ISSUER || claims.aud != audience(&self.town) {
            return Err(of_another());
        }
        let is_whole = claims.sub == scope.principal()
            && claims.iat <= claims.nbf
            && claims.nbf < claims.exp
            && claims.chain.len() <= CAPABILITY_CHAIN_MAX
            && claims.verbs.as_ref().is_none_or(|verbs| verbs.len() <= VERBS_MAX);
        if !is_whole {
            return Err(malformed("contradicts itself"));
        }
        let (issued_at, begins_at, expires_at) =
            (of_seconds(claims.iat)?, of_seconds(claims.nbf)?, of_seconds(claims.exp)?);
        if now < begins_at {
            return Err(refused("token_early", "the token does not hold yet").with("holds_from", begins_at));
        }
        if now >= expires_at {
            return Err(expired(expires_at));
        }
        Ok(Capability {
            id: claims.jti,
            chain: claims.chain,
            key: kid.to_owned(),
            scope,
            verbs: claims.verbs,
            issued_at,
            expires_at,
        })
    }

    /// Refuses a capability that was verified earlier, where its time or that of its key is over.
    pub(crate) fn check_again(&self, capability: &Capability, now: Timestamp) -> Result<()> {
        if now >= capability.expires_at {
            return Err(expired(capability.expires_at));
        }
        if self.keys.ring(now)?.verifier(&capability.key, now).is_none() {
            return Err(refused("token_key_unknown", "the key of the token verifies no tokens here any more"));
        }
        Ok(())
    }

    /// Lets a new key sign; the ones before it verify for so long. Answers the names of all, the new one in front, each
    /// with when it ends.
    pub(crate) fn rotate(
        &self,
        algorithm: KeyAlgorithm,
        kept: Duration,
        now: Timestamp,
    ) -> Result<Vec<(String, KeyAlgorithm, Option<Timestamp>)>> {
        let ring = self.keys.rotate(algorithm, kept, now)?;
        Ok(ring.keys().iter().map(|key| (key.kid().to_owned(), key.algorithm(), key.ends_at())).collect())
    }
}

fn header(key: &SigningKey) -> Header {
    let mut header = Header::new(key.jwt_algorithm());
    header.typ = Some(TYPE.to_owned());
    header.kid = Some(key.kid().to_owned());
    header
}

fn whole_seconds(at: Timestamp) -> Result<u64> {
    u64::try_from(at.as_micros().div_euclid(MICROS_PER_SECOND))
        .map_err(|_| Error::invalid("ttl_out_of_range", "a capability cannot be older than 1970"))
}

fn of_seconds(seconds: u64) -> Result<Timestamp> {
    let micros = i64::try_from(seconds).ok().and_then(|seconds| seconds.checked_mul(MICROS_PER_SECOND));
    micros.map(Timestamp::from_micros).ok_or_else(|| malformed("has a time that is none"))
}

fn refused(code: &'static str, said: &str) -> Error {
    Error::forbidden(code, said)
}

fn malformed(what: &str) -> Error {
    refused("token_malformed", &format!("the token {what}"))
}

fn of_another() -> Error {
    refused("token_of_another", "the token is for another town")
}

fn expired(at: Timestamp) -> Error {
    refused("token_expired", "the token holds no longer").with("held_until", at)
}
