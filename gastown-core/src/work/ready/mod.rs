//! Beads: lists, what is ready, and who takes what.

mod available;
mod claim;
mod cursor;
mod filter;
mod list;
mod page;
#[cfg(test)]
mod tests;

pub(crate) use available::{is_listed, is_ready, is_work, ran_out, ready};
pub use claim::{Claim, Heartbeat, Lease, ReleaseBead};
pub(crate) use claim::{claim, heartbeat, release};
pub(crate) use cursor::{decode_position, encode_position};
pub use filter::{BeadFilter, ListSort, ReadyFilter, ReadySort};
pub use list::BeadPage;
pub(crate) use list::{LAST_ID, list};
pub(crate) use page::{PAGE_MAX, check_limit};
