//! Trade with other tools: beads come in from their files and go out to them.
//!
//! - [`rows`]: one issue as rows, and back.
//! - [`twins`]: two beads that came by one id.
//! - [`unfit`]: what of an issue can be no row.
//! - [`source`]: a file or a folder as batches of records.
//! - [`graves`]: what is left of beads, as an import takes it.
//! - [`import`]: a batch of records into the town.
//! - [`join`]: two records of one bead and one time.
//! - [`export`]: the town's beads as lines.
//! - [`lines`]: many beads as lines, without the rows between.
//! - [`merge`]: files that grew apart, brought together.
//! - [`sync`]: the town and a file, kept equal.

mod choice;
pub(crate) mod export;
mod graves;
pub(crate) mod import;
mod join;
mod lines;
pub(crate) mod merge;
pub(crate) mod report;
mod rows;
pub(crate) mod source;
pub(crate) mod sync;
pub(crate) mod twins;
mod unfit;

pub use choice::MergeChoice;
pub use export::{BeadsExported, ExportBeads};
pub use merge::{BeadsMerged, MergeBeads};
pub use report::{ImportBeads, ImportConflict, ImportFlaw, ImportRepair, ImportReport};
pub use sync::{HeldBead, SyncBeads, SyncReport};

use crate::interchange::{Dialect, Entry, Limits, Reader, Record, Writer};
use crate::model::Result;

/// The key of stored records of other tools, and of tombstones, under which their line is.
const LINE: &str = "line";

/// Cuts a text to at most so many bytes, between two characters.
fn shorten(text: &mut String, bytes_max: usize) {
    let end = (0..=bytes_max.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    text.truncate(end.unwrap_or(0));
}

/// The record of a line; none where it has none.
fn read(line: &str) -> Result<Option<Record>> {
    match Reader::new(line.as_bytes(), Limits::default()).next_entry()? {
        Some(Entry::Read(line)) => Ok(Some(line.record)),
        _ => Ok(None),
    }
}

/// A record as its line, without the end.
fn line(record: &Record, dialect: Dialect) -> Result<String> {
    let mut writer = Writer::new(Vec::new(), dialect);
    writer.record(record)?;
    let mut line = String::from_utf8_lossy(&writer.into_inner()).into_owned();
    line.truncate(line.trim_end().len());
    Ok(line)
}
