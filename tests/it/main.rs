//! What crosses modules; one binary, so that it links once.

#![allow(clippy::unwrap_used)]

mod agents;
mod complete;
mod crash;
mod demo;
mod engine;
mod floors;
mod guide;
mod imports;
mod input;
mod parity;
mod processes;
mod refinery;
mod runtime;
mod support;
mod town;
mod upkeep;
