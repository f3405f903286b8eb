//! Bead interchange with `bd` and `br`: lines of JSON read tolerantly and written exactly.
//!
//! A [`Reader`] gives one [`Record`] at a time, reports what it put right ([`Repair`]) and what it could not read ([`Flaw`]), and
//! goes on. Nothing of a good line is lost: unknown keys are kept, and [`Forms`] keep how known ones were spelled, so that
//! [`write_issue`] gives the line back, as a JSON value, until somebody changes a field. [`merge3`] brings two sets of issues together
//! that grew apart, [`merge_files`] two files; a [`Document`] is a whole file whose lines stay as they are until they change.
//! [`Flat`] reads an export whose edges, labels and comments have files of their own.
//!
//! Nothing here knows of storage.

mod conflict;
mod document;
mod duplicates;
mod edge;
mod ending;
mod essence;
mod flat;
mod flaw;
mod forms;
mod issue;
mod line;
mod merge;
mod object;
mod read;
mod record;
mod repair;
mod residue;
mod scan;
mod slot;
mod status;
mod time;
mod told;
mod twin;
mod write;

#[cfg(test)]
mod tests;

pub use document::Document;
pub(crate) use document::line_of;
pub use edge::{Comment, CommentId, Edge};
pub(crate) use ending::{Ending, outward_status, recall};
pub(crate) use essence::{Essence, dress};
pub use flat::{Flat, SideLimits, Sides};
pub use flaw::{Flaw, Repair};
pub use forms::{Field, Forms};
pub use issue::Issue;
pub use line::{Deletion, Event, Labelled, Memory, Record, Setting};
pub(crate) use merge::{Among, Asked, merge_among};
pub use merge::{Choice, FileMerge, Issues, Merged, collect, merge_files, merge3};
pub(crate) use object::Object;
pub use read::{Conflicts, Entry, Limits, Line, Rank, Reader, Side};
pub(crate) use status::implied;
pub use status::{Customs, Hold, Standing, bead_kind, dependency_kind, resolution, type_alias};
pub use time::Time;
pub use told::{Repaired, Told};
pub(crate) use twin::{MOVED_TO, Made, TRIES, moved_to, rename, shared_id, twin_id};
pub use write::{Dialect, Writer, write_issue};
