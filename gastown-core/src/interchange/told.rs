//! What there is to say of a file's lines.

use std::collections::BTreeMap;

use super::flaw::{Flaw, Repair};

/// The most flaws and repairs that are listed; their numbers are whole.
const LISTED_MAX: usize = 1_000;

/// What there is to say of a file's lines.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Told {
    /// Records that were read.
    pub read: u64,
    /// How often each thing was read otherwise than it is written.
    pub repairs: BTreeMap<&'static str, u64>,
    /// The first 1,000 of those.
    pub repaired: Vec<Repaired>,
    /// Lines that could not be read.
    pub flaws: u64,
    /// The first 1,000 of those.
    pub flawed: Vec<Flaw>,
    /// Markers of an unfinished merge.
    pub markers: u64,
}

/// What was read otherwise than it is written, and where.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Repaired {
    /// The line, from 1.
    pub line: u64,
    /// The byte in the line at which the value begins, from 1.
    pub column: u64,
    /// What it is.
    pub repair: Repair,
}

impl Told {
    pub(super) fn flawed(&mut self, flaw: Flaw) {
        self.flaws += 1;
        if self.flawed.len() < LISTED_MAX {
            self.flawed.push(flaw);
        }
    }

    pub(super) fn repaired(&mut self, repaired: Repaired) {
        *self.repairs.entry(repaired.repair.code).or_default() += 1;
        if self.repaired.len() < LISTED_MAX {
            self.repaired.push(repaired);
        }
    }
}
