//! Shared parts of the benches package.
