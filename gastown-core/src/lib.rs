//! Gastown runs a town of AI coding agents over git repositories.
//!
//! See `README.md` for what it is and `ARCHITECTURE.md` for how it is built.

pub(crate) mod engine;
#[cfg(feature = "testkit")]
pub mod failpoint;
#[cfg(not(feature = "testkit"))]
pub(crate) mod failpoint;
pub mod model;
pub mod store;
pub(crate) mod work;

pub use model::{Error, ErrorKind, Result};
pub use work::*;
