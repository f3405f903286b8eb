//! The version of the git program.

use std::fmt;

use crate::model::{Error, Result};

/// A version of the git program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GitVersion {
    /// The first number.
    pub major: u32,
    /// The second number.
    pub minor: u32,
    /// The third number; 0 where there is none.
    pub patch: u32,
}

impl GitVersion {
    /// The oldest version that is used.
    pub const FLOOR: Self = Self { major: 2, minor: 39, patch: 0 };

    /// Reads the answer of `git --version`; anything else is `git_version_unreadable`.
    pub fn parse(answer: &str) -> Result<Self> {
        let unreadable = || {
            Error::unsupported("git_version_unreadable", "the git program does not tell its version")
                .with("found", answer.chars().take(80).collect::<String>())
        };
        let text = answer.trim().strip_prefix("git version ").ok_or_else(unreadable)?;
        let text = text.split_whitespace().next().ok_or_else(unreadable)?;
        let mut numbers = text.split('.').map(|part| part.parse::<u32>().ok());
        let major = numbers.next().flatten().ok_or_else(unreadable)?;
        let minor = numbers.next().flatten().ok_or_else(unreadable)?;
        Ok(Self { major, minor, patch: numbers.next().flatten().unwrap_or(0) })
    }

    /// Refuses what is older than [`Self::FLOOR`] with `git_too_old`.
    pub fn require(self) -> Result<Self> {
        if self >= Self::FLOOR {
            return Ok(self);
        }
        Err(Error::unsupported("git_too_old", format!("git {self} is older than {}", Self::FLOOR))
            .with("found", self)
            .with("needed", Self::FLOOR))
    }
}

impl fmt::Display for GitVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}
