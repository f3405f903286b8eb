//! Shared parts of the examples package.
