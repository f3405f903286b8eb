//! The keys of a town: one signs, and those before it verify for a while.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::key::{SigningKey, WrittenKey};
use crate::model::{Error, KeyAlgorithm, Result, SecretText, Timestamp};

/// The most keys of a ring; the ones that ended long ago go first.
const KEYS_MAX: usize = 16;

/// The keys that a town's tokens are signed and verified with.
///
/// The first one signs. A rotation puts a new one in front and lets the others verify for a while longer. A host that
/// keeps its secrets itself gives the town a ring ([`TownBuilder::keys`](crate::TownBuilder::keys)); else the town makes one in its folder.
///
/// ```
/// use gastown_core::auth::{KeyAlgorithm, KeyRing, SigningKey};
/// use gastown_core::model::Timestamp;
/// let now = Timestamp::from_micros(0);
/// let ring = KeyRing::new([SigningKey::generate(KeyAlgorithm::EdDsa, now)?])?;
/// let secret = ring.to_text(); // for the host's vault: it holds the keys in clear
/// assert_eq!(KeyRing::from_text(secret.expose())?.kids(), ring.kids());
/// assert_eq!(SigningKey::new("k1", KeyAlgorithm::Hs256, b"too short", now).unwrap_err().code(), "key_malformed");
/// # Ok::<(), gastown_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct KeyRing {
    keys: Vec<SigningKey>,
}

/// A ring as it is written down.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRing {
    version: u32,
    keys: Vec<WrittenKey>,
}

const WRITTEN_VERSION: u32 = 1;

impl KeyRing {
    /// A ring of these keys, the one that signs in front.
    ///
    /// # Errors
    /// `keys_malformed` where there is none, one is there twice, or the first was retired.
    pub fn new(keys: impl IntoIterator<Item = SigningKey>) -> Result<Self> {
        let keys: Vec<_> = keys.into_iter().collect();
        let Some(first) = keys.first() else { return Err(malformed("there is no key")) };
        if first.ends_at().is_some() {
            return Err(malformed(&format!("key {} would sign and was retired", first.kid())));
        }
        if let Some(twice) =
            keys.iter().enumerate().find(|(nth, key)| keys[..*nth].iter().any(|known| known.kid() == key.kid()))
        {
            return Err(malformed(&format!("key {} is there twice", twice.1.kid())));
        }
        Ok(Self { keys })
    }

    /// The names of its keys, the one that signs in front.
    pub fn kids(&self) -> Vec<&str> {
        self.keys.iter().map(SigningKey::kid).collect()
    }

    /// All keys in clear, for the one place that keeps them.
    pub fn to_text(&self) -> SecretText {
        let keys = self.keys.iter().map(SigningKey::to_written).collect();
        let written = WrittenRing { version: WRITTEN_VERSION, keys };
        SecretText::new(serde_json::to_string(&written).expect("a ring is JSON"))
    }

    /// The ring of a text that [`KeyRing::to_text`] gave.
    ///
    /// # Errors
    /// `keys_malformed`, `key_malformed`; neither says anything of the text.
    pub fn from_text(text: &str) -> Result<Self> {
        // What a reader of JSON says may show what it read.
        let written: WrittenRing =
            serde_json::from_str(text).map_err(|_| malformed("the text is not that of a ring of keys"))?;
        if written.version != WRITTEN_VERSION {
            return Err(malformed(&format!("the ring has version {}, not {WRITTEN_VERSION}", written.version)));
        }
        Self::new(written.keys.iter().map(SigningKey::of_written).collect::<Result<Vec<_>>>()?)
    }

    /// The key that signs.
    pub(super) fn signer(&self) -> &SigningKey {
        &self.keys[0]
    }

    /// The key of that name, while it verifies.
    pub(super) fn verifier(&self, kid: &str, now: Timestamp) -> Option<&SigningKey> {
        self.keys.iter().find(|key| key.kid() == kid && key.ends_at().is_none_or(|ends| now < ends))
    }

    pub(super) fn keys(&self) -> &[SigningKey] {
        &self.keys
    }

    /// The ring with a new key in front; the others verify for so long.
    pub(super) fn rotated(mut self, algorithm: KeyAlgorithm, kept: Duration, now: Timestamp) -> Result<Self> {
        for key in &mut self.keys {
            key.retire(now.after(kept));
        }
        self.keys.retain(|key| key.ends_at().is_none_or(|ends| now < ends));
        self.keys.insert(0, SigningKey::generate(algorithm, now)?);
        if self.keys.len() > KEYS_MAX {
            return Err(Error::exhausted(
                "keys_exhausted",
                format!("there are {KEYS_MAX} keys that verify; wait until some have ended"),
            )
            .with("keys_max", KEYS_MAX));
        }
        Ok(self)
    }
}

fn malformed(said: &str) -> Error {
    Error::invalid("keys_malformed", format!("{said}; a ring has keys of different names, the one that signs in front"))
}
