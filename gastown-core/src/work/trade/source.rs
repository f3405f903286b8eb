//! A file or a folder of records, a batch at a time.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs::File;
use std::io::{BufReader, ErrorKind};
use std::path::{Path, PathBuf};

use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::import::{Batch, Grave, Incoming};
use super::report::{ImportFlaw, ImportReport};
use super::unfit::Refusal;
use super::{LINE, line, rows, shorten};
use crate::interchange::{Dialect, Entry, Flat, Limits, Line, Made, Reader, Record, SideLimits, Time, moved_to};
use crate::model::event::hex;
use crate::model::{BeadId, Error, ForeignRow, Result, Timestamp};

/// The most records of one batch: many, so that most of what belongs together is, and few enough that the commands which
/// wait meanwhile do not wait long.
const RECORDS_MAX: usize = 2_000;
/// The most bytes of their lines together, so that a batch of long ones is short.
const BYTES_MAX: usize = 16 << 20;
/// The most records that are read ahead, and the most bytes of their lines together.
const AHEAD_MAX: usize = 16_000;
const AHEAD_BYTES_MAX: usize = 32 << 20;
/// The longest name of a record of another tool in bytes.
const NAME_BYTES_MAX: usize = 200;
/// The names that a file of issues has had.
pub(crate) const ISSUE_FILES: [&str; 3] = ["issues.jsonl", "beads.jsonl", "bd.jsonl"];

/// Where records come from.
pub(crate) struct Source {
    open: Option<Open>,
    waiting: VecDeque<PathBuf>,
    ahead: Ahead,
}

enum Open {
    File(String, Box<Reader<BufReader<File>>>),
    Flat(Box<Flat>),
}

impl Source {
    /// Opens a file, a `.beads` folder or one that has it, or the folder of a flat export.
    ///
    /// # Errors
    /// `path_missing`, `not_a_file`, `issues_missing` for a folder without a file of issues, `source_unreadable`.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let found = path.metadata().map_err(|source| unreadable(path, source))?;
        if !found.is_dir() && !found.is_file() {
            // A pipe would be waited for, a device might never end.
            let said = format!("{} is no regular file", path.display());
            return Err(Error::invalid("not_a_file", said).with("path", path.display()));
        }
        if !found.is_dir() {
            return Ok(Self { open: None, waiting: [path.to_owned()].into(), ahead: Ahead::default() });
        }
        let inner = path.join(".beads");
        let folder = if inner.is_dir() { inner } else { path.to_owned() };
        if Flat::SIDE_FILES.iter().any(|name| folder.join(name).is_file()) {
            let flat = Flat::open(&folder, Limits::default(), SideLimits::default())?;
            let open = Some(Open::Flat(Box::new(flat)));
            return Ok(Self { open, waiting: VecDeque::new(), ahead: Ahead::default() });
        }
        let Some(issues) = ISSUE_FILES.iter().map(|name| folder.join(name)).find(|path| path.is_file()) else {
            let said = format!("{} has no file of issues", folder.display());
            return Err(Error::not_found("issues_missing", said)
                .with("path", folder.display())
                .with("files", ISSUE_FILES.join(", ")));
        };
        let deletions = folder.join("deletions.jsonl");
        let waiting = [Some(issues), Some(deletions).filter(|path| path.is_file())];
        Ok(Self { open: None, waiting: waiting.into_iter().flatten().collect(), ahead: Ahead::default() })
    }

    /// The next batch, and what there is to say of the lines that were read for it; nothing at the end.
    ///
    /// It has the earliest of what was read ahead, in the order of the file.
    pub(crate) fn next_batch(&mut self, report: &mut ImportReport) -> Result<Option<Batch>> {
        while !self.ahead.is_full() {
            let Some((file, entry)) = self.next_entry()? else { break };
            match entry {
                Entry::Read(line) => {
                    report.read += 1;
                    let number = line.number;
                    let place = |key: &str| (file.clone(), number, self.column_of(key).unwrap_or(1));
                    for repair in &line.repairs {
                        report.repaired(|| place(&repair.key), &repair.key, repair.code, &repair.message);
                    }
                    match incoming(&line, &file) {
                        Ok((record, size)) => {
                            if let Incoming::Issue(rows) = &record {
                                for unfit in &rows.unfit {
                                    report.repaired(|| place(unfit.key), unfit.key, "value_set_aside", &unfit.message);
                                }
                            }
                            self.ahead.add(record, size);
                        }
                        Err(Refusal { code, message, key }) => {
                            let (file, line, column) = place(key);
                            report.flaw(ImportFlaw { file, line, column, code, message });
                        }
                    }
                }
                Entry::Flaw(flaw) => report.flaw(ImportFlaw {
                    file,
                    line: flaw.line,
                    column: flaw.column,
                    code: flaw.code.to_owned(),
                    message: flaw.message,
                }),
            }
        }
        let records = self.ahead.take();
        Ok((!records.is_empty()).then_some(Batch { records }))
    }

    /// Where the value of a key begins in the line that was read last.
    fn column_of(&self, key: &str) -> Option<u64> {
        match &self.open {
            Some(Open::Flat(flat)) => flat.column_of(key),
            Some(Open::File(_, reader)) => reader.column_of(key),
            None => None,
        }
    }

    fn next_entry(&mut self) -> Result<Option<(String, Entry)>> {
        loop {
            match &mut self.open {
                Some(Open::Flat(flat)) => {
                    if let Some(entry) = flat.next_entry()? {
                        return Ok(Some(entry));
                    }
                }
                Some(Open::File(name, reader)) => {
                    if let Some(entry) = reader.next_entry()? {
                        return Ok(Some((name.clone(), entry)));
                    }
                }
                None => {}
            }
            self.open = None;
            let Some(path) = self.waiting.pop_front() else { return Ok(None) };
            let file = File::open(&path).map_err(|source| unreadable(&path, source))?;
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let reader = Reader::new(BufReader::with_capacity(1 << 18, file), Limits::default());
            self.open = Some(Open::File(name, Box::new(reader)));
        }
    }
}

/// What was read and is not given yet. The earliest is given first, as most beads wait for earlier ones: where a target is
/// there before its edge, each is written once.
#[derive(Default)]
struct Ahead {
    /// By time, and by their place in the file. Records of one bead stay in their order.
    records: BTreeMap<(Timestamp, u64), (Incoming, usize)>,
    /// The time that the records of a bead go by, and how many there are.
    times: HashMap<BeadId, (Timestamp, usize)>,
    bytes: usize,
    place: u64,
}

impl Ahead {
    fn is_full(&self) -> bool {
        self.records.len() >= AHEAD_MAX || self.bytes >= AHEAD_BYTES_MAX
    }

    fn add(&mut self, record: Incoming, bytes: usize) {
        let time = match &record {
            Incoming::Issue(rows) => rows.bead.created_at,
            Incoming::Grave(_) | Incoming::Foreign(_) => Timestamp::from_micros(i64::MIN),
        };
        let time = match record.id() {
            Some(id) => {
                let (first, count) = self.times.entry(id.clone()).or_insert((time, 0));
                *count += 1;
                *first
            }
            None => time,
        };
        self.records.insert((time, self.place), (record, bytes));
        self.place += 1;
        self.bytes += bytes;
    }

    /// The earliest, as many as a batch has.
    fn take(&mut self) -> Vec<Incoming> {
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while taken.len() < RECORDS_MAX
            && bytes < BYTES_MAX
            && let Some(((_, place), (record, size))) = self.records.pop_first()
        {
            if let Some(id) = record.id()
                && let Some((_, count)) = self.times.get_mut(id)
            {
                *count -= 1;
                if *count == 0 {
                    self.times.remove(id);
                }
            }
            bytes += size;
            taken.push((place, record));
        }
        self.bytes -= bytes;
        taken.sort_unstable_by_key(|(place, _)| *place);
        taken.into_iter().map(|(_, record)| record).collect()
    }
}

fn unreadable(path: &Path, source: std::io::Error) -> Error {
    let shown = path.display();
    let error = match source.kind() {
        ErrorKind::NotFound => Error::not_found("path_missing", format!("{shown} is not there")),
        ErrorKind::InvalidFilename => Error::invalid("path_malformed", format!("{shown} is too long")),
        ErrorKind::PermissionDenied => Error::forbidden("path_unreadable", format!("{shown} may not be read")),
        _ => Error::unavailable("source_unreadable", format!("{shown} cannot be read")),
    };
    error.with("path", shown).because(source)
}

/// What a line brings, and about how many bytes it is.
fn incoming(read: &Line, file: &str) -> std::result::Result<(Incoming, usize), Refusal> {
    if let Record::Issue(issue) = &read.record {
        let rows = rows::rows(issue)?;
        let size = rows.size();
        return Ok((Incoming::Issue(Box::new(rows)), size));
    }
    let text = line(&read.record, Dialect::Native).map_err(|error| refused(&error))?;
    let size = text.len();
    let incoming = match &read.record {
        Record::Tombstone(issue) => {
            let times = [&issue.deleted_at, &issue.updated_at, &issue.created_at];
            let at = times.into_iter().flatten().map(|time: &Time| time.at).next().unwrap_or_default();
            Incoming::Grave(Box::new(Grave {
                id: BeadId::new(issue.id.as_str()).map_err(|error| refused(&error))?,
                made: Made::of(issue),
                deleted_at: at,
                deleted_by: issue.deleted_by.clone(),
                reason: Some(issue.delete_reason.clone()).filter(|reason| !reason.is_empty()),
                moved_to: moved_to(issue).and_then(|to| BeadId::new(to).ok()),
                line: text,
            }))
        }
        Record::Deletion(one) => Incoming::Grave(Box::new(Grave {
            id: BeadId::new(one.id.as_str()).map_err(|error| refused(&error))?,
            made: Made::new(None, ""),
            deleted_at: one.ts.as_ref().map(|time| time.at).unwrap_or_default(),
            deleted_by: one.by.clone(),
            reason: Some(one.reason.clone()).filter(|reason| !reason.is_empty()),
            moved_to: None,
            line: text,
        })),
        Record::Memory(one) => foreign("memory", &one.key, &text),
        Record::Setting(one) => foreign("config", &one.key, &text),
        Record::Event(_) => foreign("event", "", &text),
        Record::Edge(_) => foreign("edge", "", &text),
        Record::Label(_) => foreign("label", "", &text),
        Record::Comment(_) => foreign("comment", "", &text),
        _ => foreign(if file.is_empty() { "other" } else { file }, "", &text),
    };
    Ok((incoming, size))
}

/// The record of a line that holds no issue, as it is kept; nothing where it cannot be read or only tells of a deletion.
pub(super) fn foreign_of(text: &[u8]) -> Result<Option<ForeignRow>> {
    let Some(Entry::Read(line)) = Reader::new(text, Limits::default()).next_entry()? else { return Ok(None) };
    match incoming(&line, "") {
        Ok((Incoming::Foreign(row), _)) => Ok(Some(*row)),
        _ => Ok(None),
    }
}

fn refused(error: &Error) -> Refusal {
    Refusal { code: error.code().to_owned(), message: error.to_string(), key: "id" }
}

/// A record of another tool; one without a name of its own is named by what it says.
fn foreign(source: &str, name: &str, line: &str) -> Incoming {
    let is_name = !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.contains(char::is_control);
    let name = if is_name { name.to_owned() } else { hex(&Sha256::digest(line.as_bytes())) };
    let mut source = source.to_owned();
    shorten(&mut source, NAME_BYTES_MAX);
    Incoming::Foreign(Box::new(ForeignRow { source, name, data: json!({ LINE: line }) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interchange::Issue;

    fn issue(id: &str, created: i64) -> Incoming {
        let time = Some(Time::new(Timestamp::from_micros(created)));
        let issue = Issue { id: id.to_owned(), title: id.to_owned(), created_at: time, ..Issue::default() };
        Incoming::Issue(Box::new(rows::rows(&issue).unwrap()))
    }

    #[test]
    fn the_earliest_of_what_was_read_ahead_come_first_and_those_of_one_bead_in_their_order() {
        let mut ahead = Ahead::default();
        let count = i64::try_from(RECORDS_MAX).unwrap();
        for n in (0..2 * count).rev() {
            ahead.add(issue(&format!("gt-{n}"), n), 10);
        }
        // Of a bead that is there already, whatever its time.
        let twice_there = format!("gt-{}", count * 3 / 2);
        ahead.add(issue(&twice_there, 0), 10);
        let ids = |records: Vec<Incoming>| -> Vec<String> {
            records.iter().map(|record| record.id().unwrap().to_string()).collect()
        };
        let named = |range: std::ops::Range<i64>| range.rev().map(|n| format!("gt-{n}")).collect::<Vec<_>>();
        assert_eq!(ids(ahead.take()), named(0..count), "in the order of the file");
        let twice = [named(count..2 * count - 1), vec![twice_there]].concat();
        assert_eq!(ids(ahead.take()), twice);
        assert_eq!(ids(ahead.take()), named(2 * count - 1..2 * count));
        assert_eq!((ahead.bytes, ahead.times.len(), ahead.take().len()), (0, 0, 0));
    }
}
