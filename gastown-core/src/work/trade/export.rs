//! The town's beads as lines for other tools.

use std::io::Write;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;

use serde::{Deserialize, Serialize};

use super::import::kept_line;
use super::lines::{self, Page, Written};
use super::read;
use super::sync::basis;
use super::twins::MOVES_MAX;
use crate::interchange::{Deletion, Dialect, Issue, MOVED_TO, Record, Time, Writer};
use crate::model::{
    BeadId, BeadRow, BeadTextRow, DependencyRow, Error, ForeignRow, Key, Result, RowKind, TombstoneRow,
};
use crate::store::index::{self, Index};
use crate::store::{Position, Scan};
use crate::work::archived;
use crate::work::beads::moved_to;
use crate::work::ready::LAST_ID;
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
    out: &'a mut (dyn Write + Send),
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
pub(crate) fn export(view: View<'_>, input: &ExportBeads, out: &mut (dyn Write + Send)) -> Result<BeadsExported> {
    let mut done = BeadsExported::default();
    let mut writer = Writer::new(Counted { out, bytes: 0 }, input.dialect);
    done.beads = write_beads(view, input, &mut writer)?;
    if input.tombstones {
        view.walk::<TombstoneRow>(Scan::new(&index::TOMBSTONES, vec![], 0), |left| {
            let left = up_to_date(view, left)?;
            match input.dialect {
                Dialect::Native => writer.record(&tombstone(&left)?)?,
                // Among issues other tools want an issue; an entry of a file of deletions is none.
                _ => writer.issue(&left_of(&left)?)?,
            }
            done.tombstones += 1;
            Ok(true)
        })?;
    }
    if input.memories {
        view.walk::<ForeignRow>(Scan::new(&index::FOREIGN_RECORDS, vec![], 0), |row| {
            if !basis::is_own(&row)
                && !archived::is_own(&row)
                && (input.dialect == Dialect::Native || row.source == "memory")
            {
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

/// Writes a line for each bead, and answers how many.
///
/// Reading costs about as much as writing, so a thread of its own writes one page while the next is read.
fn write_beads(view: View<'_>, input: &ExportBeads, writer: &mut Writer<Counted<'_>>) -> Result<u64> {
    let (pages, taken) = mpsc::sync_channel::<Page>(PAGES_AHEAD);
    let write = move || -> Result<Written> {
        let mut written = Written::default();
        for page in taken {
            if !page.write(input.dialect, input.ephemeral, writer, &mut written)? {
                break;
            }
        }
        Ok(written)
    };
    let (read, written) = thread::scope(|scope| {
        let writing =
            thread::Builder::new().name("gastown-lines".to_owned()).spawn_scoped(scope, write).map_err(|source| {
                Error::unavailable("thread_refused", "a thread for the lines could not be started").because(source)
            })?;
        // Whoever writes no longer takes anything says why in the end.
        let read = each_page(view, input, |page| pages.send(page).is_ok());
        drop(pages);
        Ok::<_, Error>((read, writing.join().unwrap_or_else(|panic| resume_unwind(panic))))
    })?;
    read?;
    let written = written?;
    for key in written.unreadable {
        // Whoever reads it tells of it. A bead, or an edge, is left out, as a scan leaves it out; but no bead goes without
        // its texts.
        match key.kind {
            RowKind::BeadText => drop(view.find::<BeadTextRow>(&key)?),
            RowKind::Dependency => drop(view.find_readable::<DependencyRow>(&key)?),
            _ => drop(view.find_readable::<BeadRow>(&key)?),
        }
    }
    Ok(written.lines)
}

/// How many beads are read at once.
const PAGE: usize = 256;
/// How many pages wait to be written.
const PAGES_AHEAD: usize = 1;

/// Shows every bead by its id with what belongs to it, a page at a time, until `visit` says stop: the tables are read side
/// by side.
fn each_page(view: View<'_>, input: &ExportBeads, mut visit: impl FnMut(Page) -> bool) -> Result<()> {
    let reader = view.whole_town()?;
    let mut scan = Scan::new(&index::BEADS, vec![], PAGE);
    loop {
        let beads = reader.scan_packed(&scan)?;
        let count = beads.len();
        let Some(last) = count.checked_sub(1).map(|last| beads.key(last).values.remove(0)) else { return Ok(()) };
        // What belongs to the beads of the page: behind the last one of the page before, up to its own last one.
        let before = scan.after.replace(Position(vec![last.clone()])).map(|Position(place)| place);
        let part = |index: &'static Index| {
            let after = before.clone().map(|mut place| {
                place.resize(index.order.len(), text(LAST_ID));
                Position(place)
            });
            reader.scan_packed(&Scan::new(index, vec![], usize::MAX).after(after).upto(last.clone()))
        };
        let (texts, edges) = (part(&index::BEAD_TEXTS)?, part(&index::DEPENDENCIES_ALL)?);
        let (mut comments, mut at) = (Vec::new(), 0);
        let mut dependents = (input.dialect == Dialect::Bd).then(|| vec![None; count]);
        for bead in (0..count).filter(|bead| input.ephemeral || !lines::is_ephemeral(&beads, *bead)) {
            let id = lines::id_of(&beads, bead);
            if !texts.is_whole() && lines::texts_of(&texts, id, &mut at).is_none() {
                // A scan leaves out what cannot be read, and an export must not.
                view.find::<BeadTextRow>(&Key { kind: RowKind::BeadText, values: beads.key(bead).values })?;
            }
            let of = || vec![beads.key(bead).values.remove(0)];
            if lines::has_comments(&beads, bead) {
                comments.push(view.all(Scan::new(&index::COMMENTS, of(), 0))?);
            }
            if let Some(dependents) = &mut dependents {
                dependents[bead] = i64::try_from(reader.count(&Scan::new(&index::DEPENDENTS, of(), 0))?).ok();
            }
        }
        if !visit(Page { beads, texts, edges, comments, dependents }) || count < PAGE {
            return Ok(());
        }
    }
}

/// What is left of a bead, which says where that is by now and not where it was in between.
fn up_to_date(view: View<'_>, mut left: TombstoneRow) -> Result<TombstoneRow> {
    for _ in 0..MOVES_MAX {
        let Some(to) = moved_to(&left).map(BeadId::new).transpose()? else { break };
        let next = view.find::<TombstoneRow>(&Key::tombstone(&to))?;
        let (Some(next), Some(record)) = (next.as_ref().and_then(moved_to), &mut left.record) else { break };
        record[MOVED_TO] = next.into();
    }
    Ok(left)
}

/// What is left of a deleted bead, as a record: the one it came as, or one that says when it was deleted.
fn tombstone(left: &TombstoneRow) -> Result<Record> {
    if let Some(line) = kept_line(left.record.as_ref()) {
        let mut record = read(line)?.ok_or_else(|| {
            Error::corrupt("tombstone_unreadable", format!("what is left of bead {} cannot be read", left.id))
                .with("bead", &left.id)
        })?;
        if let (Record::Tombstone(issue), Some(to)) = (&mut record, moved_to(left)) {
            issue.extra.insert(MOVED_TO.to_owned(), to.into());
        }
        return Ok(record);
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
        extra: moved_to(left).map(|to| (MOVED_TO.to_owned(), to.into())).into_iter().collect(),
        ..Issue::default()
    })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Scope, Timestamp};
    use crate::work::find::testing::town_of;

    /// Takes so many bytes, and refuses the next.
    struct Full {
        room: usize,
    }

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.room = self.room.checked_sub(bytes.len()).ok_or(std::io::ErrorKind::StorageFull)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn export_into(out: &mut (dyn Write + Send), beads: usize) -> Result<BeadsExported> {
        let town = town_of(7, beads);
        let input = ExportBeads { ephemeral: true, ..ExportBeads::from("unused") };
        town.read_raw(|reader| export(View::new(reader, &Scope::Operator, Timestamp::default()), &input, out))
    }

    #[test]
    fn lines_that_cannot_be_written_end_the_export_though_pages_are_waiting() {
        for room in [0, 100, 100_000] {
            let error = export_into(&mut Full { room }, PAGE * (PAGES_AHEAD + 4)).unwrap_err();
            assert_eq!(error.code(), "write_failed", "room for {room} bytes");
        }
    }

    #[test]
    fn every_bead_of_many_pages_has_its_line() {
        for beads in [0, 1, PAGE, PAGE + 1, 3 * PAGE] {
            let mut lines = Vec::new();
            let done = export_into(&mut lines, beads).unwrap();
            assert_eq!((done.beads, done.bytes), (beads as u64, lines.len() as u64));
            let ids: Vec<_> = lines
                .split(|byte| *byte == b'\n')
                .filter(|line| !line.is_empty())
                .map(|line| serde_json::from_slice::<serde_json::Value>(line).unwrap()["id"].clone())
                .collect();
            assert_eq!(ids.len(), beads);
            assert!(ids.is_sorted_by(|a, b| a.as_str() < b.as_str()));
        }
    }
}
