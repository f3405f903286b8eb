//! What a sync is asked for and what it answers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::super::choice::MergeChoice;
use super::super::report::{ImportFlaw, ImportRepair, ImportReport, LISTED_MAX, list};
use crate::interchange::{Choice, Dialect};
use crate::model::{BeadId, RigName};
use crate::work::graph::Link;

/// Brings the town and the file of a `.beads` folder together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SyncBeads {
    /// A `.beads` folder, a folder that has one, or a file of issues. A relative path is taken from the current directory.
    pub path: PathBuf,
    /// The rig whose beads go out, and which beads that come in belong to; where it is left out, all beads go out.
    #[serde(default)]
    pub rig: Option<RigName>,
    /// For whom new lines are written where the file has none yet; otherwise they are like those that are there.
    #[serde(default)]
    pub dialect: Dialect,
    /// Say what would be done, and do nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// Take lines that are gone for deletions also where the file is not there, has no issues, cannot be read in part, or has
    /// lost most of what it had; otherwise the sync is refused then (`sync_file_incomplete`).
    #[serde(default)]
    pub accept_deletions: bool,
}

impl From<&Path> for SyncBeads {
    fn from(path: &Path) -> Self {
        path.to_owned().into()
    }
}

impl From<&str> for SyncBeads {
    fn from(path: &str) -> Self {
        PathBuf::from(path).into()
    }
}

impl From<PathBuf> for SyncBeads {
    fn from(path: PathBuf) -> Self {
        Self { path, rig: None, dialect: Dialect::Native, dry_run: false, accept_deletions: false }
    }
}

/// What a sync did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SyncReport {
    /// The file.
    pub path: PathBuf,
    /// For whom its new lines are written.
    pub dialect: Dialect,
    /// Issues that were the same on both sides and unchanged.
    pub unchanged: u64,
    /// Beads that are new in the town.
    pub created: u64,
    /// Beads of the town that changed.
    pub updated: u64,
    /// Beads that were deleted in the town, tombstones that came in included.
    pub deleted: u64,
    /// Records that are no beads and were kept beside them.
    pub foreign: u64,
    /// Lines that are new in the file.
    pub lines_added: u64,
    /// Lines of the file that changed.
    pub lines_changed: u64,
    /// Lines that were taken out of the file.
    pub lines_removed: u64,
    /// Decisions by which something was given up, or may surprise.
    pub choices: u64,
    /// The first 1,000 of those, by issue.
    pub chosen: Vec<MergeChoice>,
    /// Beads that stayed as they are on both sides though they differ.
    pub held: u64,
    /// The first 1,000 of those.
    pub held_beads: Vec<HeldBead>,
    /// Markers of an unfinished merge that were found in the file; it is finished now.
    pub markers: u64,
    /// Edges to beads that are not there; they block nothing.
    pub dangling: u64,
    /// The first 1,000 of those.
    pub dangling_edges: Vec<Link>,
    /// Edges that are kept and block nothing, because they close a circle.
    pub circles: u64,
    /// The first 1,000 of those circles, each from a bead to the same.
    pub circle_paths: Vec<Vec<BeadId>>,
    /// How often each thing was read otherwise than it is written.
    pub repairs: BTreeMap<String, u64>,
    /// The first 1,000 of those, and of values that a bead that came in cannot have (`value_set_aside`); they stay in the file.
    pub repaired: Vec<ImportRepair>,
    /// Lines that could not be read or not be taken in; they stay in the file.
    pub flaws: u64,
    /// The first 1,000 of those.
    pub flawed_lines: Vec<ImportFlaw>,
}

/// A bead that stayed as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldBead {
    /// The bead.
    pub bead: BeadId,
    /// Why: `in_use` where somebody works on it here, or the code of what kept it from its new id.
    pub why: String,
}

impl SyncReport {
    /// Takes over what is said anew in every round, and adds the choices that are not there yet.
    pub(crate) fn tell(&mut self, unchanged: u64, markers: u64, choices: Vec<Choice>) {
        self.unchanged = unchanged;
        self.markers = self.markers.max(markers);
        for choice in choices.into_iter().map(MergeChoice::from) {
            if self.chosen.contains(&choice) {
                continue;
            }
            self.choices += 1;
            list(&mut self.chosen, vec![choice]);
        }
        self.chosen.sort_by(|a, b| (&a.id, &a.key, &a.code).cmp(&(&b.id, &b.key, &b.code)));
    }

    /// Adds what was done in the town.
    pub(crate) fn absorb(&mut self, part: ImportReport) {
        self.created += part.created;
        self.updated += part.updated;
        self.deleted += part.tombstones;
        self.foreign += part.foreign;
        self.dangling += part.dangling;
        self.circles += part.circles;
        list(&mut self.dangling_edges, part.dangling_edges);
        list(&mut self.circle_paths, part.circle_paths);
    }

    pub(crate) fn hold(&mut self, bead: BeadId, why: &str) {
        let held = HeldBead { bead, why: why.to_owned() };
        if !self.held_beads.contains(&held) {
            self.held += 1;
            list(&mut self.held_beads, vec![held]);
        }
    }

    /// Adds what was read otherwise than it is written, as far as it was not said before, and how often that was.
    pub(crate) fn say_repairs(&mut self, repairs: BTreeMap<String, u64>, repaired: Vec<ImportRepair>) {
        for (code, times) in repairs {
            let before = self.repairs.entry(code).or_default();
            *before = times.max(*before);
        }
        for repair in repaired {
            if self.repaired.len() < LISTED_MAX && !self.repaired.contains(&repair) {
                self.repaired.push(repair);
            }
        }
    }

    /// Says the lines that could not be read, in the place of what was said of them before.
    pub(crate) fn say_flaws(&mut self, flaws: u64, mut lines: Vec<ImportFlaw>) {
        self.flaws = flaws;
        lines.truncate(LISTED_MAX);
        self.flawed_lines = lines;
    }
}
