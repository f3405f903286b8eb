//! Ids that come twice in one file.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use sha2::{Digest, Sha256};

use super::flaw::Repair;
use super::issue::Issue;
use super::twin::Made;

/// How a line stands to an earlier one with the same id: of one issue the later `updated_at` wins, and with equal ones the
/// later line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rank {
    /// No earlier line has the id.
    First,
    /// It takes the place of that line.
    Replaces(u64),
    /// That earlier line stays.
    Yields(u64),
    /// That earlier line is of another issue, made at another time and under another title: both stay.
    Beside(u64),
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    line: u64,
    changed: i64,
    made: Made,
}

/// The ids seen so far, as hashes.
#[derive(Debug)]
pub(super) struct Duplicates {
    seen: HashMap<[u8; 16], Seen>,
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
        let now = Seen { line, changed, made: Made::of(issue) };
        match self.seen.entry(key) {
            Entry::Occupied(mut earlier) => {
                let before = *earlier.get();
                let number = before.line;
                let (rank, how) = if before.made.is_another(&now.made) {
                    (Rank::Beside(number), "and is of another issue, made at another time under another title")
                } else if changed < before.changed {
                    (Rank::Yields(number), "and is newer")
                } else {
                    earlier.insert(now);
                    let how = if changed > before.changed { "and is older" } else { "and is as new" };
                    (Rank::Replaces(number), how)
                };
                (rank, Some(Repair::new("duplicate_id", "id", format!("line {number} has the id as well, {how}"))))
            }
            Entry::Vacant(_) if is_full => {
                let told = std::mem::replace(&mut self.told, true);
                let message = "more ids than are remembered; further ones that come twice are not reported";
                (Rank::First, (!told).then(|| Repair::new("duplicates_unwatched", "id", message)))
            }
            Entry::Vacant(place) => {
                place.insert(now);
                (Rank::First, None)
            }
        }
    }
}
