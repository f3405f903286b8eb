//! What crosses modules; one binary, so that it links once.

#![allow(clippy::unwrap_used)]

mod complete;
mod demo;
mod floors;
mod imports;
mod runtime;
mod town;
