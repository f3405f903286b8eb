//! The town's beads as lines for other tools.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::import::{Stored, kept_line};
use super::sync::basis;
use crate::interchange::{Deletion, Dialect, Entry, Issue, Limits, Reader as Lines, Record, Time, Writer};
use crate::model::{BeadRow, Error, ForeignRow, Result, TombstoneRow};
use crate::store::{Reader, Scan, index};
use crate::work::view::{View, text};

/// Writes the town's beads into a file as `bd` and `br` know them: one a line, by their ids.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(clippy::struct_excessive_bools, reason = "each is asked for by itself")]
pub struct ExportBeads {
    /// The file, in a folder that is there. A relative one is taken from the current directory.
    pub path: PathBuf,
    /// For whom: `native` gives imported lines back as they were, `bd` and `br` what those tools write.
    #[serde(default)]
    pub dialect: Dialect,
    /// Beads of use for a short time as well.
    #[serde(default)]
    pub ephemeral: bool,
    /// What is left of deleted beads as well.
    #[serde(default)]
    pub tombstones: bool,
    /// Memories and other records that came with imported beads as well; `bd` and `br` get the memories only.
    #[serde(default)]
    pub memories: bool,
    /// Take the place of a file that is there; without this it is refused.
    #[serde(default)]
    pub replace: bool,
}

impl From<&Path> for ExportBeads {
    fn from(path: &Path) -> Self {
        path.to_owned().into()
    }
}

impl From<&str> for ExportBeads {
    fn from(path: &str) -> Self {
        PathBuf::from(path).into()
    }
}

impl From<PathBuf> for ExportBeads {
    fn from(path: PathBuf) -> Self {
        Self { path, dialect: Dialect::Native, ephemeral: false, tombstones: false, memories: false, replace: false }
    }
}

/// What was exported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BeadsExported {
    /// Beads.
    pub beads: u64,
    /// What is left of deleted ones.
    pub tombstones: u64,
    /// Records of other tools.
    pub foreign: u64,
    /// How many bytes.
    pub bytes: u64,
}

/// Counts what passes.
struct Counted<'a> {
    out: &'a mut dyn Write,
    bytes: u64,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

/// Writes the lines; the same town gives the same bytes.
pub(crate) fn export(
    view: View<'_>,
    reader: &dyn Reader,
    input: &ExportBeads,
    out: &mut dyn Write,
) -> Result<BeadsExported> {
    let mut done = BeadsExported::default();
    let mut writer = Writer::new(Counted { out, bytes: 0 }, input.dialect);
    view.walk::<BeadRow>(Scan::new(&index::BEADS, vec![], 0), |bead| {
        if bead.ephemeral && !input.ephemeral {
            return Ok(true);
        }
        let dependents = Scan::new(&index::DEPENDENTS, vec![text(&bead.id)], 0);
        let stored = Stored::of(view, bead)?;
        let mut issue = stored.issue();
        if input.dialect == Dialect::Bd {
            let count = |length: usize| i64::try_from(length).ok();
            issue.dependency_count = count(issue.dependencies.len());
            issue.comment_count = count(issue.comments.len());
            issue.dependent_count = i64::try_from(reader.count(&dependents)?).ok();
        }
        writer.issue(&issue)?;
        done.beads += 1;
        Ok(true)
    })?;
    if input.tombstones {
        view.walk::<TombstoneRow>(Scan::new(&index::TOMBSTONES, vec![], 0), |left| {
            writer.record(&tombstone(&left)?)?;
            done.tombstones += 1;
            Ok(true)
        })?;
    }
    if input.memories {
        view.walk::<ForeignRow>(Scan::new(&index::FOREIGN_RECORDS, vec![], 0), |row| {
            if !basis::is_own(&row) && (input.dialect == Dialect::Native || row.source == "memory") {
                let line = kept_line(Some(&row.data)).map_or_else(|| row.data.to_string(), str::to_owned);
                writer.record(&Record::Other(line.into()))?;
                done.foreign += 1;
            }
            Ok(true)
        })?;
    }
    done.bytes = writer.into_inner().bytes;
    Ok(done)
}

/// What is left of a deleted bead, as an issue.
pub(super) fn left_of(left: &TombstoneRow) -> Result<Issue> {
    match tombstone(left)? {
        Record::Issue(issue) | Record::Tombstone(issue) => Ok(*issue),
        Record::Deletion(one) => Ok(deleted(&one)),
        _ => Err(Error::corrupt("tombstone_unreadable", format!("what is left of bead {} is something else", left.id))
            .with("bead", &left.id)),
    }
}

/// What an entry in a file of deletions says of an issue.
pub(super) fn deleted(one: &Deletion) -> Issue {
    Issue {
        id: one.id.clone(),
        status: "tombstone".to_owned(),
        updated_at: one.ts.clone(),
        deleted_at: one.ts.clone(),
        deleted_by: one.by.clone(),
        delete_reason: one.reason.clone(),
        ..Issue::default()
    }
}

/// What is left of a deleted bead, as a record: the one it came as, or one that says when it was deleted.
fn tombstone(left: &TombstoneRow) -> Result<Record> {
    if let Some(line) = kept_line(left.record.as_ref()) {
        return match Lines::new(line.as_bytes(), Limits::default()).next_entry()? {
            Some(Entry::Read(line)) => Ok(line.record),
            _ => {
                Err(Error::corrupt("tombstone_unreadable", format!("what is left of bead {} cannot be read", left.id))
                    .with("bead", &left.id))
            }
        };
    }
    let record = left.record.as_ref();
    let said = |key: &str| record.and_then(|record| record.get(key)?.as_str()).unwrap_or_default().to_owned();
    let created_at = record.and_then(|record| record.get("created_at")?.as_i64());
    Ok(Record::Tombstone(Box::new(Issue {
        id: left.id.as_str().to_owned(),
        title: said("title"),
        status: "tombstone".to_owned(),
        original_type: said("issue_type"),
        created_at: Some(Time::new(created_at.map_or(left.deleted_at, crate::model::Timestamp::from_micros))),
        updated_at: Some(Time::new(left.deleted_at)),
        deleted_at: Some(Time::new(left.deleted_at)),
        deleted_by: left.deleted_by.clone(),
        delete_reason: left.reason.clone().unwrap_or_default(),
        ..Issue::default()
    })))
}
