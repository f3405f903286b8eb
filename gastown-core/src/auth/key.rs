//! One signing key.

use std::fmt;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use serde::{Deserialize, Serialize};

use crate::model::event::hex;
use crate::model::id::excerpt;
use crate::model::{Error, KeyAlgorithm, Result, SecretText, Timestamp};

/// The fewest bytes of a secret for HS256: as many as its hash has (RFC 7518, 3.2).
pub const KEY_BYTES_MIN: usize = 32;
/// The most bytes of a secret, and of a key's name.
const KEY_BYTES_MAX: usize = 1024;
const KID_BYTES_MAX: usize = 64;
/// What stands before the 32 bytes of an Ed25519 key in PKCS #8 (RFC 8410, 7).
const PKCS8_OF_ED25519: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
const ED25519_BYTES: usize = 32;

/// A key that tokens are signed and verified with.
///
/// It cannot be printed; only its ring writes it down.
#[derive(Clone)]
pub struct SigningKey {
    kid: String,
    algorithm: KeyAlgorithm,
    secret: SecretText,
    made_at: Timestamp,
    /// From when it verifies no longer; none while nobody retired it.
    ends_at: Option<Timestamp>,
    pub(super) signs: EncodingKey,
    pub(super) verifies: DecodingKey,
}

/// A key as a ring is written down.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenKey {
    kid: String,
    algorithm: KeyAlgorithm,
    secret: String,
    made_at: Timestamp,
    ends_at: Option<Timestamp>,
}

impl SigningKey {
    /// A new key of the system's randomness, with a name of its own.
    ///
    /// # Errors
    /// `no_randomness`.
    pub fn generate(algorithm: KeyAlgorithm, now: Timestamp) -> Result<Self> {
        let (mut secret, mut name) = ([0; ED25519_BYTES], [0; 8]);
        for bytes in [&mut secret[..], &mut name[..]] {
            #[allow(clippy::disallowed_methods, reason = "a key is a secret, which no seed may give")]
            getrandom::fill(bytes).map_err(|source| {
                Error::unavailable("no_randomness", "the system gives no random numbers").because(source)
            })?;
        }
        Self::new(&format!("k-{}", hex(&name)), algorithm, &secret, now)
    }

    /// The key of this name and secret: 32 bytes for Ed25519, at least as many for HS256.
    ///
    /// # Errors
    /// `key_malformed` with the rule.
    pub fn new(kid: &str, algorithm: KeyAlgorithm, secret: &[u8], now: Timestamp) -> Result<Self> {
        let is_name = !kid.is_empty()
            && kid.len() <= KID_BYTES_MAX
            && kid.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
        if !is_name {
            let rule = format!("1 to {KID_BYTES_MAX} of A-Z a-z 0-9 - _ .");
            return Err(malformed(&format!("{} is no name of a key", excerpt(kid)), &rule));
        }
        let bytes = match algorithm {
            KeyAlgorithm::EdDsa => ED25519_BYTES..=ED25519_BYTES,
            KeyAlgorithm::Hs256 => KEY_BYTES_MIN..=KEY_BYTES_MAX,
        };
        if !bytes.contains(&secret.len()) {
            let rule = format!("{} to {} bytes", bytes.start(), bytes.end());
            let said = format!("the secret of key {kid} ({algorithm}) has {} bytes", secret.len());
            return Err(malformed(&said, &rule).with("kid", kid).with("bytes", secret.len()));
        }
        let (signs, verifies) = match algorithm {
            KeyAlgorithm::EdDsa => {
                let pair = Ed25519KeyPair::from_seed_unchecked(secret).map_err(|source| {
                    malformed(&format!("the secret of key {kid} is no Ed25519 key"), "32 bytes").because(source)
                })?;
                (
                    EncodingKey::from_ed_der(&[&PKCS8_OF_ED25519, secret].concat()),
                    DecodingKey::from_ed_der(pair.public_key().as_ref()),
                )
            }
            KeyAlgorithm::Hs256 => (EncodingKey::from_secret(secret), DecodingKey::from_secret(secret)),
        };
        let secret = SecretText::new(hex(secret));
        Ok(Self { kid: kid.to_owned(), algorithm, secret, made_at: now, ends_at: None, signs, verifies })
    }

    /// Its name, which tokens carry.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// How it signs.
    pub const fn algorithm(&self) -> KeyAlgorithm {
        self.algorithm
    }

    /// From when it verifies no longer; none while it signs.
    pub const fn ends_at(&self) -> Option<Timestamp> {
        self.ends_at
    }

    /// When it was made.
    pub const fn made_at(&self) -> Timestamp {
        self.made_at
    }

    pub(super) const fn jwt_algorithm(&self) -> Algorithm {
        match self.algorithm {
            KeyAlgorithm::EdDsa => Algorithm::EdDSA,
            KeyAlgorithm::Hs256 => Algorithm::HS256,
        }
    }

    /// Lets it sign no more, and verify until then.
    pub(super) fn retire(&mut self, at: Timestamp) {
        self.ends_at = Some(self.ends_at.map_or(at, |ends| ends.min(at)));
    }

    pub(super) fn to_written(&self) -> WrittenKey {
        WrittenKey {
            kid: self.kid.clone(),
            algorithm: self.algorithm,
            secret: self.secret.expose().to_owned(),
            made_at: self.made_at,
            ends_at: self.ends_at,
        }
    }

    pub(super) fn of_written(written: &WrittenKey) -> Result<Self> {
        let WrittenKey { kid, algorithm, secret, made_at, ends_at } = written;
        let secret = unhex(secret).ok_or_else(|| {
            malformed(&format!("the secret of key {} is not hexadecimal", excerpt(kid)), "pairs of 0-9 a-f")
        })?;
        Ok(Self { ends_at: *ends_at, ..Self::new(kid, *algorithm, &secret, *made_at)? })
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kid, algorithm, made_at, ends_at, .. } = self;
        f.debug_struct("SigningKey")
            .field("kid", kid)
            .field("algorithm", algorithm)
            .field("made_at", made_at)
            .field("ends_at", ends_at)
            .finish_non_exhaustive()
    }
}

fn malformed(said: &str, rule: &str) -> Error {
    Error::invalid("key_malformed", format!("{said}; the rule is {rule}")).with("rule", rule)
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let value = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    digits.chunks_exact(2).map(|pair| Some(value(pair[0])? << 4 | value(pair[1])?)).collect()
}
