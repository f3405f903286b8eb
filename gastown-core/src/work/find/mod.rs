//! Finding beads: by words, by numbers, by age, by likeness, and by what happened to them.

mod count;
mod duplicates;
mod history;
pub(crate) mod search;
mod stale;
#[cfg(any(test, feature = "testkit"))]
#[allow(clippy::unwrap_used, reason = "a town in memory whose rows were made here")]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use self::count::{BeadCounts, BeadStats, CountBeads, CountGroup, CountedField, LeadTime, StatsOf, StatusCount};
pub(crate) use self::count::{count, stats};
pub(crate) use self::duplicates::duplicates;
pub use self::duplicates::{Duplicates, FindDuplicates, NearPair, SameBeads};
pub(crate) use self::history::Historian;
pub use self::history::{BeadHistory, FieldChange, HistoryEntry, HistoryOf};
pub(crate) use self::search::search;
pub use self::search::{BeadSearch, SearchSort};
pub use self::stale::StaleBeads;
pub(crate) use self::stale::stale;
