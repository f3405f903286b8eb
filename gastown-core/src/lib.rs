//! Gastown runs a town of AI coding agents over git repositories.
//!
//! See `README.md` for what it is and `ARCHITECTURE.md` for how it is built.

pub mod model;

pub use model::{Error, ErrorKind, Result};
