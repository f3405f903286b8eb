//! Every integration test, in one binary.

#![allow(clippy::unwrap_used)]

mod runtime;
