//! Shared parts of the tests package.
