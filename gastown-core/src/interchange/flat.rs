//! An export whose edges, labels and comments have files of their own.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use crate::model::{Error, Result};

use super::edge::{Comment, Edge};
use super::flaw::Repair;
use super::issue::Issue;
use super::line::{Labelled, Record};
use super::read::{Entry, Limits, Line, Reader};
use super::repair;
use super::slot::Said;

/// The bound of what is held of side files while issues are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SideLimits {
    /// Bytes of their lines together. 256 MiB; the memory taken is some times that.
    pub bytes_max: u64,
}

impl Default for SideLimits {
    fn default() -> Self {
        Self { bytes_max: 256 << 20 }
    }
}

/// What side files say about issues, held until the issues come.
#[derive(Debug, Default)]
pub struct Sides {
    limits: SideLimits,
    bytes: u64,
    rows: BTreeMap<String, Rows>,
    flaws: VecDeque<(String, Entry)>,
}

#[derive(Debug, Default)]
struct Rows {
    edges: Vec<(u64, Edge)>,
    labels: Vec<(u64, Labelled)>,
    comments: Vec<(u64, Comment)>,
    repairs: Vec<Repair>,
    used: bool,
}

/// What a line that is kept is counted as besides its bytes.
const ROW_BYTES: u64 = 64;

impl Sides {
    /// Nothing yet.
    pub fn new(limits: SideLimits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Reads one side file: edges, labels and comments in any order. Its flaws, and records that are none of these, come out
    /// of [`Flat`] under `name`.
    ///
    /// # Errors
    ///
    /// `side_files_too_big` where more would be held than the limit.
    pub fn add(&mut self, name: &str, source: impl BufRead, limits: Limits) -> Result<()> {
        let mut reader = Reader::new(source, limits);
        let mut before = 0;
        while let Some(entry) = reader.next_entry()? {
            self.bytes += reader.bytes() - before + ROW_BYTES;
            before = reader.bytes();
            if self.bytes > self.limits.bytes_max {
                return Err(Error::exhausted(
                    "side_files_too_big",
                    format!("side files hold more than {} bytes", self.limits.bytes_max),
                )
                .with("file", name)
                .with("bytes_max", self.limits.bytes_max));
            }
            let entry = match entry {
                Entry::Read(line) => match self.take(*line) {
                    None => continue,
                    Some(line) => Entry::Read(Box::new(line)),
                },
                flaw @ Entry::Flaw(_) => flaw,
            };
            self.flaws.push_back((name.to_owned(), entry));
        }
        Ok(())
    }

    /// Keeps what is about an issue and gives anything else back.
    fn take(&mut self, line: Line) -> Option<Line> {
        let Line { number, record, repairs, side, rank } = line;
        let id = match &record {
            Record::Edge(edge) => edge.issue_id.clone(),
            Record::Label(label) => label.issue_id.clone(),
            Record::Comment(comment) => comment.issue_id.clone(),
            _ => return Some(Line { number, record, repairs, side, rank }),
        };
        let rows = self.rows.entry(id).or_default();
        rows.repairs.extend(repairs);
        match record {
            Record::Edge(edge) => rows.edges.push((number, *edge)),
            Record::Label(label) => rows.labels.push((number, *label)),
            Record::Comment(comment) => rows.comments.push((number, *comment)),
            _ => {}
        }
        None
    }

    /// Adds to an issue what was held for it.
    fn give(&mut self, issue: &mut Issue, repairs: &mut Vec<Repair>) {
        let Some(rows) = self.rows.get_mut(&issue.id) else { return };
        rows.used = true;
        repairs.extend(rows.repairs.iter().cloned());
        for (_, label) in &rows.labels {
            if !issue.labels.contains(&label.label) {
                issue.labels.push(label.label.clone());
            }
        }
        for (_, comment) in &rows.comments {
            if !issue.comments.contains(comment) {
                issue.comments.push(comment.clone());
            }
        }
        if rows.edges.is_empty() {
            return;
        }
        let mut known: std::collections::HashSet<(String, String)> =
            issue.dependencies.iter().map(|edge| (edge.depends_on_id.clone(), edge.kind.clone())).collect();
        for (_, edge) in &rows.edges {
            if known.insert((edge.depends_on_id.clone(), edge.kind.clone())) {
                issue.dependencies.push(edge.clone());
            }
        }
        let mut said = Said::new(usize::MAX);
        repair::edges(issue, &mut said);
        repairs.append(&mut said.into_repairs());
    }

    /// What was held for issues that did not come: the file it is from, and the line.
    fn left(&mut self) -> Option<(String, Entry)> {
        loop {
            let (_, rows) = self.rows.pop_first()?;
            if rows.used {
                continue;
            }
            let mut queue = VecDeque::new();
            let mut push = |file: &str, number: u64, record: Record| {
                let line = Line { number, record, repairs: Vec::new(), side: None, rank: super::Rank::First };
                queue.push_back((file.to_owned(), Entry::Read(Box::new(line))));
            };
            rows.edges
                .into_iter()
                .for_each(|(number, one)| push("dependencies.jsonl", number, Record::Edge(Box::new(one))));
            rows.labels
                .into_iter()
                .for_each(|(number, one)| push("labels.jsonl", number, Record::Label(Box::new(one))));
            rows.comments
                .into_iter()
                .for_each(|(number, one)| push("comments.jsonl", number, Record::Comment(Box::new(one))));
            self.flaws.append(&mut queue);
            return self.flaws.pop_front();
        }
    }
}

/// A flat export, read as issues that have their edges, labels and comments.
///
/// First come the flaws of the side files, then the issues, then what side files say about issues that are not there, then
/// the lines of the other files (events, settings). The side files are held in memory up to [`SideLimits`]; everything else passes.
pub struct Flat<R = BufReader<File>> {
    sides: Sides,
    issues: Option<(String, Reader<R>)>,
    rest: VecDeque<(String, Reader<R>)>,
    waiting: VecDeque<PathBuf>,
    limits: Limits,
    open: Option<fn(&Path) -> std::io::Result<R>>,
}

impl<R> std::fmt::Debug for Flat<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Flat").field("waiting", &self.waiting).finish_non_exhaustive()
    }
}

impl Flat {
    /// The side files of a folder.
    pub const SIDE_FILES: [&'static str; 3] = ["dependencies.jsonl", "labels.jsonl", "comments.jsonl"];
    /// The other files of a folder that are read.
    pub const OTHER_FILES: [&'static str; 2] = ["config.jsonl", "events.jsonl"];

    /// Opens a folder with `issues.jsonl`; side files and others may be missing.
    pub fn open(folder: &Path, limits: Limits, side_limits: SideLimits) -> Result<Self> {
        let path = folder.join("issues.jsonl");
        let issues = open_file(&path).map_err(|error| unreadable(&path, error))?;
        let mut sides = Sides::new(side_limits);
        for name in Self::SIDE_FILES {
            let path = folder.join(name);
            match open_file(&path) {
                Ok(file) => sides.add(name, file, limits.clone())?,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(unreadable(&path, error)),
            }
        }
        let mut flat = Self::new(sides, issues, limits);
        flat.waiting = Self::OTHER_FILES.iter().map(|name| folder.join(name)).filter(|path| path.exists()).collect();
        flat.open = Some(open_file);
        Ok(flat)
    }
}

fn open_file(path: &Path) -> std::io::Result<BufReader<File>> {
    File::open(path).map(BufReader::new)
}

fn unreadable(path: &Path, error: std::io::Error) -> Error {
    Error::unavailable("source_unreadable", format!("{} cannot be read", path.display()))
        .with("path", path.display())
        .because(error)
}

impl<R: BufRead> Flat<R> {
    /// Issues from any source, with side files that were read before.
    pub fn new(sides: Sides, issues: R, limits: Limits) -> Self {
        Self {
            sides,
            issues: Some(("issues.jsonl".to_owned(), Reader::new(issues, limits.clone()))),
            rest: VecDeque::new(),
            waiting: VecDeque::new(),
            limits,
            open: None,
        }
    }

    /// Where the value of a key begins in the line of an issue that was read last: the byte, from 1.
    pub fn column_of(&self, key: &str) -> Option<u64> {
        self.issues.as_ref().and_then(|(_, reader)| reader.column_of(key))
    }

    /// The next entry and the name of the file it is from; nothing at the end.
    pub fn next_entry(&mut self) -> Result<Option<(String, Entry)>> {
        if let Some(flawed) = self.sides.flaws.pop_front() {
            return Ok(Some(flawed));
        }
        if let Some((name, reader)) = &mut self.issues {
            if let Some(mut entry) = reader.next_entry()? {
                if let Entry::Read(line) = &mut entry
                    && let Record::Issue(issue) | Record::Tombstone(issue) = &mut line.record
                {
                    self.sides.give(issue, &mut line.repairs);
                }
                return Ok(Some((name.clone(), entry)));
            }
            self.issues = None;
        }
        if let Some(left) = self.sides.left() {
            return Ok(Some(left));
        }
        loop {
            if let Some((name, reader)) = self.rest.front_mut() {
                if let Some(entry) = reader.next_entry()? {
                    return Ok(Some((name.clone(), entry)));
                }
                self.rest.pop_front();
            }
            let (Some(path), Some(open)) = (self.waiting.pop_front(), self.open) else { return Ok(None) };
            let source = open(&path).map_err(|error| unreadable(&path, error))?;
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            self.rest.push_back((name, Reader::new(source, self.limits.clone())));
        }
    }
}

impl<R: BufRead> Iterator for Flat<R> {
    type Item = Result<(String, Entry)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_entry().transpose()
    }
}
