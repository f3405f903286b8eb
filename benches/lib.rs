//! Shared parts of the benchmarks: contenders that take turns, their figures, and the ratios between them.
//!
//! On a busy machine an absolute figure says little. So each case runs ours and what it is compared with in turns, in
//! the same process, and reports the ratio of each turn; figures are printed beside it.

#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#![allow(clippy::cast_precision_loss, reason = "figures are printed with two digits")]

pub mod bare;
pub mod bare_pg;
mod cpu;
mod disk;
#[path = "graph/mod.rs"]
pub mod graph;
mod measure;
pub mod opening;
mod options;
pub mod reading;
mod report;
mod repository;

pub use cpu::{Threads, memory};
pub use disk::{flushes, slow_flush};
pub use measure::{Contender, Figures, Turn, drive, interleave};
pub use options::Options;
pub use report::{Goal, Report, Wanted};
pub use repository::{Shape, git, origin};
