//! Gastown runs a town of AI coding agents over git repositories.
//!
//! See `README.md` for what it is and `ARCHITECTURE.md` for how it is built.

#[cfg(feature = "testkit")]
pub mod failpoint;
#[cfg(not(feature = "testkit"))]
pub(crate) mod failpoint;
#[cfg(feature = "git")]
pub mod git;
pub mod model;
pub mod runtime;

pub use model::{Error, ErrorKind, Result};
