//! The system's source of randomness: for names that must be nobody else's, on whatever machine or container it runs.

use crate::model::{Error, Result};

/// A number that nobody else has.
pub(crate) fn number() -> Result<u64> {
    getrandom::u64()
        .map_err(|source| Error::unavailable("no_randomness", "the system gives no random numbers").because(source))
}
