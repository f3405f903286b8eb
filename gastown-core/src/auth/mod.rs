//! Who a caller is: signing keys, tokens, and the authenticator that makes a scope of one.
//!
//! Invariant: this floor knows keys, tokens and the clock it is told of; it knows no store. What a token says is checked
//! here; whether the town has revoked it, the town knows.

mod claims;
mod key;
mod keys;
mod ring;
#[cfg(test)]
mod tests;
mod token;

pub use crate::model::KeyAlgorithm;
pub use key::{KEY_BYTES_MIN, SigningKey};
pub(crate) use keys::Keys;
pub use ring::KeyRing;
pub use token::TOKEN_BYTES_MAX;
pub(crate) use token::{Authority, Draft};
