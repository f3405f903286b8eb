//! Ids that come twice in one file.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use sha2::{Digest, Sha256};

use super::flaw::Repair;
use super::issue::Issue;

/// How a line stands to an earlier one with the same id: the later `updated_at` wins, and with equal ones the later line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rank {
    /// No earlier line has the id.
    First,
    /// It takes the place of that line.
    Replaces(u64),
    /// That earlier line stays.
    Yields(u64),
}

/// The ids seen so far, as hashes.
#[derive(Debug)]
pub(super) struct Duplicates {
    seen: HashMap<[u8; 16], (u64, i64)>,
    most: usize,
    told: bool,
}

impl Duplicates {
    pub(super) fn new(most: usize) -> Self {
        Self { seen: HashMap::new(), most, told: false }
    }

    pub(super) fn see(&mut self, issue: &Issue, line: u64) -> (Rank, Option<Repair>) {
        if self.most == 0 {
            return (Rank::First, None);
        }
        let changed = issue.changed_at().unwrap_or(i64::MIN);
        let mut key = [0; 16];
        key.copy_from_slice(&Sha256::digest(issue.id.as_bytes())[..16]);
        let is_full = self.seen.len() >= self.most;
        match self.seen.entry(key) {
            Entry::Occupied(mut earlier) => {
                let (number, at) = *earlier.get();
                let (rank, wins) = if changed >= at {
                    earlier.insert((line, changed));
                    (
                        Rank::Replaces(number),
                        if changed > at { "this line is newer and wins" } else { "this line is later and wins" },
                    )
                } else {
                    (Rank::Yields(number), "that line is newer and wins")
                };
                (rank, Some(Repair::new("duplicate_id", "id", format!("line {number} has the id as well; {wins}"))))
            }
            Entry::Vacant(_) if is_full => {
                let told = std::mem::replace(&mut self.told, true);
                let message = "more ids than are remembered; further ones that come twice are not reported";
                (Rank::First, (!told).then(|| Repair::new("duplicates_unwatched", "id", message)))
            }
            Entry::Vacant(place) => {
                place.insert((line, changed));
                (Rank::First, None)
            }
        }
    }
}
