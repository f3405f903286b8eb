//! What a town's owner does now and then: copy it, look it over, put away what is over.

mod archive;
mod backup;
mod check;
mod durable;
mod merge;
mod quarantine;
mod recall;
mod restore;
mod sync;
mod trade;
mod turn;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub(super) use self::archive::archive;
pub(super) use self::archive::events as archived_events;
#[cfg(all(feature = "git", feature = "process"))]
pub(super) use self::archive::retain;
pub(super) use self::backup::{backup, export};
pub(super) use self::check::check;
pub use self::merge::merge_beads;
pub use self::quarantine::Quarantined;
pub(super) use self::quarantine::quarantine;
pub use self::recall::{ArchivedFilter, ArchivedPage};
pub(super) use self::recall::{archived, recall};
pub(super) use self::restore::{check_finished, check_form, restore};
pub(super) use self::sync::sync as sync_beads;
pub(super) use self::trade::{export as export_beads, import as import_beads};
use super::handle::Handle;
use super::operation::Operation;
use crate::model::{Error, Result, Timestamp};
use crate::store::dump::Dumped;
use crate::work::All;

/// Where something is to be written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WriteTo {
    /// A path where nothing is yet, in a folder that is there. A relative one is taken from the current directory.
    pub path: PathBuf,
}

impl From<&Path> for WriteTo {
    fn from(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }
}

impl From<&str> for WriteTo {
    fn from(path: &str) -> Self {
        Self { path: path.into() }
    }
}

impl From<PathBuf> for WriteTo {
    fn from(path: PathBuf) -> Self {
        Self { path }
    }
}

/// A backup that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Backup {
    /// Its folder.
    pub path: PathBuf,
    /// Where the journal ends in it.
    pub head: u64,
    /// How many files it has.
    pub files: u64,
    /// How many bytes.
    pub bytes: u64,
    /// How many rows could not be read, and are not in it where the backend has no file to copy.
    pub unreadable: u64,
    /// Whether it can be restored, with every entry of the journal that was archived, every archive as it was written, and
    /// all of what sessions left; not where other hosts hold the archives.
    pub is_complete: bool,
    /// What was damaged before it was copied: a database that lacks a part of its schema, archives, what sessions left.
    pub findings: Vec<Finding>,
}

/// What may be put away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Archive {
    /// Beads that were closed or failed before this, with everything that belongs to them alone, and effects that were
    /// settled before it.
    pub closed_before: Option<Timestamp>,
    /// Entries of the journal from before this.
    pub events_before: Option<Timestamp>,
}

/// What was put away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Archived {
    /// How many beads left the tables.
    pub beads: u64,
    /// How many effects did.
    pub effects: u64,
    /// How many entries left the journal.
    pub events: u64,
    /// The files that hold them.
    pub files: Vec<PathBuf>,
}

/// What giving back space did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Vacuumed {
    /// The database's size in bytes before, where the backend knows it.
    pub bytes_before: Option<u64>,
    /// And after.
    pub bytes_after: Option<u64>,
}

/// What a look at the whole town found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Checked {
    /// How many rows were read.
    pub rows: u64,
    /// How many entries of the journal were played, archived ones too.
    pub events: u64,
    /// What is wrong, at most a few hundred; empty when all is well.
    pub findings: Vec<Finding>,
}

/// One thing that is wrong with a town.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// With what: `database`, `journal`, an archive's path in the town's folder, `session` and its id for what it left, or
    /// a row's table and key.
    pub subject: String,
    /// What is wrong with it.
    pub problem: String,
}

#[cfg(all(feature = "git", feature = "process"))]
impl From<crate::runtime::DamagedOutput> for Finding {
    fn from(damaged: crate::runtime::DamagedOutput) -> Self {
        Self { subject: format!("session {}", damaged.session), problem: damaged.error.chain() }
    }
}

/// Gives back the space of what was deleted.
pub(super) async fn vacuum(handle: &Handle, _: &'static Operation, _: All) -> Result<Vacuumed> {
    of_whole_town(handle)?;
    let store = &handle.town().shared.store;
    let bytes_before = store.describe().await?.bytes;
    store.vacuum().await?;
    Ok(Vacuumed { bytes_before, bytes_after: store.describe().await?.bytes })
}

/// Refuses a handle that does not see the whole town.
pub(in crate::town) fn of_whole_town(handle: &Handle) -> Result<()> {
    match handle.scope().rig() {
        None => Ok(()),
        Some(rig) => Err(Error::forbidden(
            "scope_too_narrow",
            format!("{} sees the rig {rig} and not the whole town", handle.scope().principal()),
        )
        .with("principal", handle.scope().principal())
        .with("rig", rig)),
    }
}

/// Runs what blocks on files and databases, on a thread that is no async runtime's.
///
/// Dropped before it answers, the work goes on to its end.
pub(in crate::town) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let (answer, answered) = tokio::sync::oneshot::channel();
    // A caller that went away needs no answer.
    let run = move || drop(answer.send(work()));
    std::thread::Builder::new().name("gastown-upkeep".to_owned()).spawn(run).map_err(|source| {
        Error::unavailable("thread_refused", "a thread for the town's files could not be started").because(source)
    })?;
    answered.await.map_err(|_| Error::internal("upkeep_panicked", "work on the town's files panicked"))?
}

/// What was exported.
pub type Exported = Dumped;
