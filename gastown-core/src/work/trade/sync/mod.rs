//! A town and the file of a `.beads` folder, kept equal.
//!
//! What both said when they last agreed is kept in the town, a row for each issue. Whatever differs from it was changed on that
//! side since, and the two are brought together by field.
//!
//! - [`basis`]: what both agreed on.
//! - [`look`]: what is to be done, from one snapshot.
//! - [`settle`]: a batch of it in the town.
//! - [`untold`]: what a file was not told yet of beads in an archive.
//! - [`report`]: what is asked for and answered.

pub(crate) mod basis;
pub(crate) mod look;
pub(crate) mod report;
pub(crate) mod settle;
pub(crate) mod untold;

pub use report::{HeldBead, SyncBeads, SyncReport};
