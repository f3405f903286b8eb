//! Shared parts of the tests package.

pub mod claimer;
