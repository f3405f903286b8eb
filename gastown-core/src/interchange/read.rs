//! Reading a stream of lines, one record at a time.

use std::io::{BufRead, Read};

use crate::model::{Error, Result};

use super::conflict::{Marker, Sides};
use super::duplicates::Duplicates;
use super::flaw::{Flaw, Repair};
use super::issue::Issue;
use super::line::{self, Record};

pub use super::conflict::Side;
pub use super::duplicates::Rank;

/// The bounds and the manners of a [`Reader`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The longest line in bytes; a longer one is reported and passed over without being held. 64 MiB.
    pub line_bytes_max: usize,
    /// The most parts (keys, entries, nested ones as well) of one value. A million.
    pub values_max: usize,
    /// How many ids are remembered to find those that come twice; 0 for none. About 80 bytes each. A million.
    pub ids_max: usize,
    /// Whether the first flaw ends the reading with an error.
    pub strict: bool,
    /// What becomes of records between the markers of an unfinished merge.
    pub conflicts: Conflicts,
    /// Whether contradictions within an issue are put right; they are reported only then.
    pub repairs: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            line_bytes_max: 64 << 20,
            values_max: 1_000_000,
            ids_max: 1_000_000,
            strict: false,
            conflicts: Conflicts::Both,
            repairs: true,
        }
    }
}

/// What becomes of records between the markers of an unfinished merge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Conflicts {
    /// The records of both sides are given, each with its side.
    #[default]
    Both,
    /// They are flaws, one for each line.
    Skip,
    /// The first marker ends the reading with an error.
    Refuse,
}

/// What a line gave.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Entry {
    /// A record.
    Read(Box<Line>),
    /// None, and why.
    Flaw(Flaw),
}

/// A line that gave a record.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Line {
    /// The line, from 1.
    pub number: u64,
    /// What it holds.
    pub record: Record,
    /// What was put right, in the order it was found.
    pub repairs: Vec<Repair>,
    /// The side of an unfinished merge it is on.
    pub side: Option<Side>,
    /// How it stands to an earlier line with the same id.
    pub rank: Rank,
}

impl Line {
    /// The issue that it holds, or what is left of one.
    pub(super) fn issue(&self) -> Option<&Issue> {
        match &self.record {
            Record::Issue(issue) | Record::Tombstone(issue) => Some(issue),
            _ => None,
        }
    }
}

/// Reads records one at a time, in memory bounded by the longest line and the ids remembered.
///
/// A line that is no good is a [`Flaw`], and reading goes on. An error is what ends the reading: the source fails, or a bound
/// that was asked for is broken; after it the reader is at its end.
///
/// ```
/// use gastown_core::interchange::{Entry, Limits, Reader, Record};
/// let file = b"{\"id\":\"gt-1\",\"title\":\"one\",\"pinned\":0}\n{\"id\":\"gt-2\",\"ti\n";
/// let mut reader = Reader::new(&file[..], Limits::default());
/// let Some(Entry::Read(line)) = reader.next_entry().unwrap() else { panic!("a record") };
/// assert!(matches!(&line.record, Record::Issue(issue) if issue.id == "gt-1" && !issue.pinned));
/// assert!(line.repairs.iter().any(|repair| repair.code == "bool_as_number"));
/// let Some(Entry::Flaw(flaw)) = reader.next_entry().unwrap() else { panic!("a flaw") };
/// assert_eq!((flaw.line, flaw.column, flaw.code), (2, 16, "line_cut"));
/// assert_eq!(reader.next_entry().unwrap(), None);
/// ```
#[derive(Debug)]
pub struct Reader<R> {
    source: R,
    limits: Limits,
    buffer: Vec<u8>,
    number: u64,
    bytes: u64,
    blank: u64,
    sides: Sides,
    duplicates: Duplicates,
    told_crlf: bool,
    ended: bool,
}

/// The buffer is given back when a line made it grow beyond.
const BUFFER_KEPT_MAX: usize = 1 << 20;

enum Taken {
    End,
    Line,
    TooLong(u64),
}

impl<R: BufRead> Reader<R> {
    /// A reader at the beginning of `source`.
    pub fn new(source: R, limits: Limits) -> Self {
        let duplicates = Duplicates::new(limits.ids_max);
        Self {
            source,
            limits,
            buffer: Vec::new(),
            number: 0,
            bytes: 0,
            blank: 0,
            sides: Sides::default(),
            duplicates,
            told_crlf: false,
            ended: false,
        }
    }

    /// Lines read so far.
    pub fn lines(&self) -> u64 {
        self.number
    }

    /// Bytes read so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Lines read so far that held nothing.
    pub fn blank_lines(&self) -> u64 {
        self.blank
    }

    /// Where the value of a key begins in the line that was read last: the byte, from 1.
    pub fn column_of(&self, key: &str) -> Option<u64> {
        let text = std::str::from_utf8(&self.buffer).ok()?;
        let shift = if self.number == 1 && text.starts_with('\u{feff}') { 3 } else { 0 };
        line::column_of(text.get(shift..)?, key).map(|column| (column + shift) as u64)
    }

    /// The next record or flaw; nothing at the end.
    pub fn next_entry(&mut self) -> Result<Option<Entry>> {
        if self.ended {
            return Ok(None);
        }
        let entry = self.advance();
        self.ended = !matches!(entry, Ok(Some(_)));
        entry
    }

    fn advance(&mut self) -> Result<Option<Entry>> {
        loop {
            if self.buffer.capacity() > BUFFER_KEPT_MAX {
                self.buffer = Vec::new();
            }
            let flaw = match self.take_line()? {
                Taken::End => match self.sides.unfinished() {
                    Some(begun) => Flaw::new(
                        self.number,
                        1,
                        "conflict_unfinished",
                        format!("the conflict that begins in line {begun} does not end"),
                    ),
                    None => return Ok(None),
                },
                Taken::TooLong(bytes) => Flaw::new(
                    self.number,
                    self.limits.line_bytes_max.saturating_add(1),
                    "line_too_long",
                    format!("the line has {bytes} bytes; {} are allowed", self.limits.line_bytes_max),
                ),
                Taken::Line => match self.parse() {
                    Some(Ok(line)) => return Ok(Some(Entry::Read(Box::new(line)))),
                    Some(Err(flaw)) => flaw,
                    None => continue,
                },
            };
            return self.flawed(flaw).map(Some);
        }
    }

    fn flawed(&self, flaw: Flaw) -> Result<Entry> {
        let refused = self.limits.conflicts == Conflicts::Refuse && flaw.code == "conflict_marker";
        if self.limits.strict || refused {
            return Err(Error::invalid(
                flaw.code,
                format!("line {}, column {}: {}", flaw.line, flaw.column, flaw.message),
            )
            .with("line", flaw.line)
            .with("column", flaw.column));
        }
        Ok(Entry::Flaw(flaw))
    }

    /// Reads one line into the buffer, without its end.
    fn take_line(&mut self) -> Result<Taken> {
        let unreadable = |error| Error::unavailable("source_unreadable", "the lines cannot be read").because(error);
        self.buffer.clear();
        let most = (self.limits.line_bytes_max as u64).saturating_add(2);
        let read = (&mut self.source).take(most).read_until(b'\n', &mut self.buffer).map_err(unreadable)? as u64;
        if read == 0 {
            return Ok(Taken::End);
        }
        self.number += 1;
        self.bytes += read;
        let ended = self.buffer.pop_if(|byte| *byte == b'\n').is_some();
        if !ended && read == most {
            self.buffer = Vec::new();
            let rest = self.source.skip_until(b'\n').map_err(unreadable)? as u64;
            self.bytes += rest;
            return Ok(Taken::TooLong(read + rest));
        }
        if self.buffer.len() > self.limits.line_bytes_max {
            return Ok(Taken::TooLong(self.buffer.len() as u64));
        }
        Ok(Taken::Line)
    }

    /// What the buffer holds; nothing for a blank line.
    fn parse(&mut self) -> Option<Result<Line, Flaw>> {
        let mut line = self.buffer.as_slice();
        let mut first = Vec::new();
        let mut shift = 0;
        if self.number == 1
            && let Some(rest) = line.strip_prefix(b"\xef\xbb\xbf")
        {
            (line, shift) = (rest, 3);
            first.push(Repair::new("byte_order_mark", "", "the file begins with a byte order mark"));
        }
        if let Some(rest) = line.strip_suffix(b"\r") {
            line = rest;
            if !self.told_crlf {
                self.told_crlf = true;
                first.push(Repair::new("crlf", "", "lines end with CR and LF; told once"));
            }
        }
        if line.iter().all(u8::is_ascii_whitespace) {
            self.blank += 1;
            return None;
        }
        if let Some(marker) = Marker::of(line) {
            let message = self.sides.pass(marker, self.number, line);
            return Some(Err(Flaw::new(self.number, 1, "conflict_marker", message)));
        }
        let side = self.sides.side();
        if side.is_some() && self.limits.conflicts == Conflicts::Skip {
            let message = "the line is within an unfinished merge";
            return Some(Err(Flaw::new(self.number, 1, "side_refused", message)));
        }
        let (record, repairs) = match line::read(line, self.limits.values_max, self.limits.repairs) {
            Ok(read) => read,
            Err(broken) => {
                return Some(Err(Flaw::new(self.number, broken.column + shift, broken.code, broken.message)));
            }
        };
        let mut line = Line { number: self.number, record, repairs, side, rank: Rank::First };
        line.repairs.splice(0..0, first);
        if let Record::Issue(issue) | Record::Tombstone(issue) = &line.record {
            let (rank, told) = self.duplicates.see(issue, self.number);
            line.rank = rank;
            line.repairs.extend(told);
        }
        Some(Ok(line))
    }
}

impl<R: BufRead> Iterator for Reader<R> {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_entry().transpose()
    }
}
