//! What an import is asked for and what it answers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::model::{BeadId, RigName};
use crate::work::graph::Link;

/// The most entries of each list in a report; the totals are whole.
pub(super) const LISTED_MAX: usize = 1_000;

/// Takes in beads from the files of `bd` and `br`, or of an export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportBeads {
    /// A file of issues, a folder with such a file and files of edges, labels and comments beside it, a `.beads` folder,
    /// or a folder that has one. A relative path is taken from the current directory.
    pub path: PathBuf,
    /// The rig of beads that are new; where it is left out, the rig whose prefix their id has, or none.
    #[serde(default)]
    pub rig: Option<RigName>,
    /// Say what would be done, and do nothing; other commands wait meanwhile.
    #[serde(default)]
    pub dry_run: bool,
    /// Refuse the whole where one line is no good.
    #[serde(default)]
    pub strict: bool,
    /// Bring back beads that were deleted here or went to an archive.
    #[serde(default)]
    pub resurrect: bool,
}

impl From<&Path> for ImportBeads {
    fn from(path: &Path) -> Self {
        path.to_owned().into()
    }
}

impl From<&str> for ImportBeads {
    fn from(path: &str) -> Self {
        PathBuf::from(path).into()
    }
}

impl From<PathBuf> for ImportBeads {
    fn from(path: PathBuf) -> Self {
        Self { path, rig: None, dry_run: false, strict: false, resurrect: false }
    }
}

/// What became of the records of an import.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ImportReport {
    /// Records that were read.
    pub read: u64,
    /// Beads that are new.
    pub created: u64,
    /// Beads that took what a newer record says.
    pub updated: u64,
    /// Records that say what is here already.
    pub unchanged: u64,
    /// Records that were passed over: older than what is here, or of a bead that was deleted or is in an archive.
    pub skipped: u64,
    /// Tombstones that were written; the beads they are of are gone.
    pub tombstones: u64,
    /// Records that are no beads and were kept beside them.
    pub foreign: u64,
    /// Edges to beads that are not there; they block nothing.
    pub dangling: u64,
    /// The first 1,000 of those.
    pub dangling_edges: Vec<Link>,
    /// Edges that are kept and block nothing, because they close a circle.
    pub circles: u64,
    /// The first 1,000 of those circles, each from a bead to the same; of more than 100 beads, the first 50 and the last.
    pub circle_paths: Vec<Vec<BeadId>>,
    /// How often each thing was read otherwise than it is written.
    pub repairs: BTreeMap<String, u64>,
    /// The first 1,000 of those.
    pub repaired: Vec<ImportRepair>,
    /// Lines that gave nothing.
    pub flaws: u64,
    /// The first 1,000 of those.
    pub flawed_lines: Vec<ImportFlaw>,
    /// Records that contradict what is here, where neither is newer.
    pub conflicts: u64,
    /// The first 1,000 of those.
    pub conflicting: Vec<ImportConflict>,
}

/// Something that was read otherwise than it is written, or has no place in a bead and is kept beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportRepair {
    /// The file's name.
    pub file: String,
    /// The line, from 1.
    pub line: u64,
    /// The byte in the line at which the value begins, from 1; 1 where it is about the whole line.
    pub column: u64,
    /// The key of the value; empty where it is about the whole line.
    pub key: String,
    /// What it is, for programs.
    pub code: String,
    /// What it is, for people.
    pub message: String,
}

/// A line that gave nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportFlaw {
    /// The file's name.
    pub file: String,
    /// The line, from 1.
    pub line: u64,
    /// The byte in the line, from 1.
    pub column: u64,
    /// What is wrong, for programs.
    pub code: String,
    /// What is wrong, for people.
    pub message: String,
}

/// A record that contradicts what is here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportConflict {
    /// The bead.
    pub bead: BeadId,
    /// Why: `equal_time` where both changed at the same time, `in_use` where somebody works on the bead here, `id_shared` where
    /// two beads that were made apart have one id.
    pub why: String,
    /// Whether the bead here is another now: by the record in its place, or by what was taken of one of the same time.
    pub taken: bool,
    /// The bead that it became beside the one that is here, where two have one id.
    pub kept_as: Option<BeadId>,
}

pub(super) fn list<T>(to: &mut Vec<T>, from: Vec<T>) {
    let room = LISTED_MAX.saturating_sub(to.len());
    to.extend(from.into_iter().take(room));
}

impl ImportReport {
    pub(super) fn repaired(
        &mut self,
        place: impl FnOnce() -> (String, u64, u64),
        key: &str,
        code: &str,
        message: &str,
    ) {
        *self.repairs.entry(code.to_owned()).or_default() += 1;
        if self.repaired.len() < LISTED_MAX {
            let (file, line, column) = place();
            let [key, code, message] = [key, code, message].map(str::to_owned);
            self.repaired.push(ImportRepair { file, line, column, key, code, message });
        }
    }

    pub(super) fn flaw(&mut self, flaw: ImportFlaw) {
        self.flaws += 1;
        list(&mut self.flawed_lines, vec![flaw]);
    }

    pub(super) fn circle(&mut self, circle: Vec<BeadId>) {
        self.circles += 1;
        list(&mut self.circle_paths, vec![circle]);
    }

    pub(super) fn conflict(&mut self, bead: &BeadId, why: &str, taken: bool) {
        self.conflicts += 1;
        list(
            &mut self.conflicting,
            vec![ImportConflict { bead: bead.clone(), why: why.to_owned(), taken, kept_as: None }],
        );
    }

    pub(super) fn kept_both(&mut self, bead: &BeadId, kept_as: BeadId) {
        self.conflicts += 1;
        let (why, kept_as) = ("id_shared".to_owned(), Some(kept_as));
        list(&mut self.conflicting, vec![ImportConflict { bead: bead.clone(), why, taken: false, kept_as }]);
    }

    pub(crate) fn dangles(&mut self, edge: Link) {
        self.dangling += 1;
        list(&mut self.dangling_edges, vec![edge]);
    }

    /// Adds what a batch did.
    pub(crate) fn absorb(&mut self, batch: Self) {
        for (sum, part) in [
            (&mut self.read, batch.read),
            (&mut self.created, batch.created),
            (&mut self.updated, batch.updated),
            (&mut self.unchanged, batch.unchanged),
            (&mut self.skipped, batch.skipped),
            (&mut self.tombstones, batch.tombstones),
            (&mut self.foreign, batch.foreign),
            (&mut self.dangling, batch.dangling),
            (&mut self.circles, batch.circles),
            (&mut self.flaws, batch.flaws),
            (&mut self.conflicts, batch.conflicts),
        ] {
            *sum += part;
        }
        for (code, times) in batch.repairs {
            *self.repairs.entry(code).or_default() += times;
        }
        list(&mut self.dangling_edges, batch.dangling_edges);
        list(&mut self.circle_paths, batch.circle_paths);
        list(&mut self.repaired, batch.repaired);
        list(&mut self.flawed_lines, batch.flawed_lines);
        list(&mut self.conflicting, batch.conflicting);
    }
}
