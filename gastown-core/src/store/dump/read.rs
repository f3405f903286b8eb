//! Reading a town back from its lines.

use std::io::{BufRead, Read as _};

use serde::de::Error as _;
use sha2::{Digest as _, Sha256};

use super::{Chain, Dumped, DumpedRow, End, FORMAT, Header, LINE_BYTES_MAX, Line};
use crate::model::event::hex;
use crate::model::value::Value;
use crate::model::{Error, Event, Head, Result, Row, RowKind};
use crate::store::Txn;

/// Events that are appended at a time.
const PAGE: usize = 500;

/// Reads a town into `txn`, whose town must be empty; nothing is committed here.
///
/// The chain of the journal's hashes and the sum at the end are checked, so what it leaves is what was written. The
/// leader's lease is not taken along: nobody holds it in the new place.
///
/// # Errors
/// - `town_not_empty` and `town_mismatch` ([`Conflict`](crate::ErrorKind::Conflict)).
/// - `dump_malformed` with `line` and `column`, `dump_truncated`, `dump_damaged`, `journal_broken`
///   ([`Corrupt`](crate::ErrorKind::Corrupt)), `dump_newer` ([`Unsupported`](crate::ErrorKind::Unsupported)).
/// - What writing answers.
pub fn read(input: &mut dyn BufRead, txn: &mut dyn Txn, town: &crate::model::TownId) -> Result<Dumped> {
    if txn.head()?.seq != 0 {
        return Err(
            Error::conflict("town_not_empty", format!("the town {town} has a journal already")).with("town", town)
        );
    }
    let mut sink = Filling { txn, events: Vec::with_capacity(PAGE) };
    let (header, dumped) = lines(input, &mut sink, |header| {
        if header.id == *town {
            return Ok(());
        }
        Err(Error::conflict("town_mismatch", format!("these are the lines of the town {}, not of {town}", header.id))
            .with("found", &header.id)
            .with("wanted", town))
    })?;
    sink.flush()?;
    let head = sink.txn.head()?;
    if head != (Head { seq: header.head.seq, hash: header.head.hash }) {
        return Err(Error::corrupt("dump_damaged", "the journal does not end where the first line says"));
    }
    Ok(dumped)
}

/// Reads a town's lines and stores nothing: whether [`read`] would take them.
///
/// # Errors
/// Those of [`read`] about the lines.
pub fn check(input: &mut dyn BufRead) -> Result<Dumped> {
    lines(input, &mut Nowhere, |_| Ok(())).map(|(_, dumped)| dumped)
}

/// Reads the entries of the journal in a town's lines, one by one; the chain and the sum are checked on the way.
///
/// # Errors
/// Those of [`read`] about the lines, and the visitor's.
pub(crate) fn each_event(input: &mut dyn BufRead, visit: &mut dyn FnMut(Event) -> Result<()>) -> Result<Dumped> {
    lines(input, &mut Events(visit), |_| Ok(())).map(|(_, dumped)| dumped)
}

struct Events<'v>(&'v mut dyn FnMut(Event) -> Result<()>);

impl Sink for Events<'_> {
    fn row(&mut self, _: &Row) -> Result<()> {
        Ok(())
    }
    fn event(&mut self, event: Event) -> Result<()> {
        (self.0)(event)
    }
}

/// Reads the rows in a town's lines, one by one; what [`check`] looks at is looked at on the way.
///
/// # Errors
/// Those of [`read`] about the lines, and the visitor's.
pub(crate) fn each_row(input: &mut dyn BufRead, visit: &mut dyn FnMut(&Row) -> Result<()>) -> Result<Dumped> {
    lines(input, &mut Rows(visit), |_| Ok(())).map(|(_, dumped)| dumped)
}

struct Rows<'v>(&'v mut dyn FnMut(&Row) -> Result<()>);

impl Sink for Rows<'_> {
    fn row(&mut self, row: &Row) -> Result<()> {
        (self.0)(row)
    }
    fn event(&mut self, _: Event) -> Result<()> {
        Ok(())
    }
}

/// Reads the first line.
///
/// # Errors
/// Those of [`read`] about it.
pub fn read_header(input: &mut dyn BufRead) -> Result<Header> {
    Lines::new(input).header()
}

/// Where lines go.
trait Sink {
    fn row(&mut self, row: &Row) -> Result<()>;
    fn event(&mut self, event: Event) -> Result<()>;
}

struct Nowhere;

impl Sink for Nowhere {
    fn row(&mut self, _: &Row) -> Result<()> {
        Ok(())
    }
    fn event(&mut self, _: Event) -> Result<()> {
        Ok(())
    }
}

struct Filling<'t> {
    txn: &'t mut dyn Txn,
    events: Vec<Event>,
}

impl Filling<'_> {
    fn flush(&mut self) -> Result<()> {
        self.txn.append(&self.events)?;
        self.events.clear();
        Ok(())
    }
}

impl Sink for Filling<'_> {
    fn row(&mut self, row: &Row) -> Result<()> {
        match row {
            Row::Leader(leader) => {
                let mut leader = leader.clone();
                leader.lease_until = crate::model::Timestamp::from_micros(0);
                self.txn.put(&Row::Leader(leader))
            }
            row => self.txn.put(row),
        }
    }

    fn event(&mut self, event: Event) -> Result<()> {
        self.events.push(event);
        if self.events.len() == PAGE { self.flush() } else { Ok(()) }
    }
}

fn lines(
    input: &mut dyn BufRead,
    sink: &mut dyn Sink,
    accept: impl FnOnce(&Header) -> Result<()>,
) -> Result<(Header, Dumped)> {
    let mut lines = Lines::new(input);
    let header = lines.header()?;
    accept(&header)?;
    let mut dumped = Dumped { head: header.head.seq, ..Dumped::default() };
    let mut chain = Chain::default();
    loop {
        let sum = hex(&lines.hasher.clone().finalize());
        let Some(line) = lines.next()? else {
            return Err(
                Error::corrupt("dump_truncated", "the lines end before their last one").with("line", lines.number)
            );
        };
        match line {
            Line::Row(row) => {
                sink.row(&decode(row).map_err(|error| error.with("line", lines.number))?)?;
                dumped.rows += 1;
            }
            Line::Event(event) => {
                chain.follow(&event).map_err(|error| error.with("line", lines.number))?;
                dumped.events += 1;
                sink.event(event)?;
            }
            Line::Unreadable(_) => dumped.unreadable += 1,
            Line::End(End { rows, events, unreadable, sha256 }) => {
                let counted = (rows, events, unreadable) == (dumped.rows, dumped.events, dumped.unreadable);
                if !counted || sha256 != sum {
                    return Err(Error::corrupt("dump_damaged", "the lines are not those that were written"));
                }
                if lines.next()?.is_some() {
                    return Err(lines.malformed("there is more behind the last line"));
                }
                let end = chain.0.unwrap_or_default();
                if (end.seq, &end.hash) != (header.head.seq, &header.head.hash) {
                    return Err(Error::corrupt("dump_damaged", "the journal does not end where the first line says"));
                }
                return Ok((header, Dumped { bytes: lines.bytes, ..dumped }));
            }
            Line::Town(_) => return Err(lines.malformed("a second first line")),
        }
    }
}

/// A row from its columns; those that an older library did not know yet are at rest.
fn decode(row: DumpedRow) -> Result<Row> {
    let DumpedRow { table, columns } = row;
    let newer = |what: String| Error::unsupported("dump_newer", what);
    let kind = RowKind::of_table(&table).ok_or_else(|| newer(format!("the table {table:?} is unknown here")))?;
    if let Some(name) = columns.keys().find(|name| kind.position(name).is_none()) {
        return Err(newer(format!("the column {name:?} of {table} is unknown here")));
    }
    let values = kind.columns().iter().map(|column| match columns.get(column.name) {
        Some(json) => Value::from_json(json),
        None => Ok(column.resting()),
    });
    kind.decode(&values.collect::<Result<Vec<_>>>()?)
}

struct Lines<'i> {
    input: &'i mut dyn BufRead,
    hasher: Sha256,
    number: u64,
    bytes: u64,
    text: Vec<u8>,
}

impl<'i> Lines<'i> {
    fn new(input: &'i mut dyn BufRead) -> Self {
        Self { input, hasher: Sha256::new(), number: 0, bytes: 0, text: Vec::new() }
    }

    fn header(&mut self) -> Result<Header> {
        // The version is looked at before the rest, which a later one may write otherwise.
        let Some(text) = self.take()? else {
            return Err(Error::corrupt("dump_truncated", "there is no first line").with("line", 1));
        };
        let first: serde_json::Value = serde_json::from_slice(text).map_err(|source| self.unreadable(&source))?;
        match first["town"]["format"].as_u64() {
            Some(format) if format > u64::from(FORMAT) => Err(Error::unsupported(
                "dump_newer",
                format!("the lines have the form {format}, this build knows {FORMAT}"),
            )
            .with("found", format)
            .with("known", FORMAT)),
            Some(_) => match serde_json::from_value(first) {
                Ok(Line::Town(header)) => Ok(header),
                Ok(_) => Err(self.malformed("the first line is not a town's")),
                Err(source) => Err(self.unreadable(&source)),
            },
            None => Err(self.malformed("the first line is not a town's")),
        }
    }

    fn next(&mut self) -> Result<Option<Line>> {
        let Some(text) = self.take()? else { return Ok(None) };
        serde_json::from_slice(text).map(Some).map_err(|source| self.unreadable(&source))
    }

    /// The next line's bytes.
    fn take(&mut self) -> Result<Option<&[u8]>> {
        self.text.clear();
        let mut limited = (&mut *self.input).take(LINE_BYTES_MAX as u64 + 1);
        let read = limited
            .read_until(b'\n', &mut self.text)
            .map_err(|source| Error::unavailable("dump_unreadable", "the lines cannot be read").because(source))?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        self.bytes += read as u64;
        if read > LINE_BYTES_MAX {
            return Err(self.malformed(format!("a line has at most {LINE_BYTES_MAX} bytes")));
        }
        if self.text.last() != Some(&b'\n') {
            return Err(Error::corrupt("dump_truncated", "the last line has no end").with("line", self.number));
        }
        self.hasher.update(&self.text);
        Ok(Some(&self.text))
    }

    fn malformed(&self, what: impl Into<String>) -> Error {
        Error::corrupt("dump_malformed", what).with("line", self.number)
    }

    fn unreadable(&self, source: &serde_json::Error) -> Error {
        self.malformed("a line is not one of a town's")
            .with("column", source.column())
            .because(serde_json::Error::custom(source))
    }
}
