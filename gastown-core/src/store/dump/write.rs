//! Writing a town as lines.

use std::io::Write;

use sha2::{Digest as _, Sha256};

use super::{Chain, Dumped, DumpedRow, End, FORMAT, Header, Line, Lost, Place};
use crate::model::event::hex;
use crate::model::{Error, Event, Head, Result, Row, RowKind, TownId};
use crate::store::{Position, Reader, Scan, Unreadable, index};

/// Rows and events that are read at a time.
const PAGE: usize = 500;

/// Writes the town that `reader` sees.
///
/// # Errors
/// What reading answers; `journal_broken` where the lines could not be read back; `disk_full` or `dump_unwritable` where `out` takes no more.
pub fn write(reader: &dyn Reader, town: &TownId, out: &mut dyn Write) -> Result<Dumped> {
    write_whole(reader, town, out, |_| Ok(()))
}

/// The same with the entries of the journal that come before those of `reader`, which `earlier` gives to whom it is given.
pub(crate) fn write_whole(
    reader: &dyn Reader,
    town: &TownId,
    out: &mut dyn Write,
    earlier: impl FnOnce(&mut dyn FnMut(Event) -> Result<()>) -> Result<()>,
) -> Result<Dumped> {
    let mut dump = DumpWriter::new(out, town, &reader.head()?)?;
    for &kind in RowKind::ALL {
        let mut scan = Scan::new(index::of_key(kind), vec![], PAGE);
        loop {
            let rows = reader.scan(&scan)?;
            rows.iter().try_for_each(|row| dump.row(row))?;
            reader.unreadable().iter().try_for_each(|lost| dump.unreadable(lost))?;
            match rows.last() {
                Some(last) if rows.len() == PAGE => scan.after = Some(Position::of(scan.index, last)),
                _ => break,
            }
        }
    }
    earlier(&mut |event| dump.event(event))?;
    let mut after = 0;
    loop {
        let events = reader.events(after, PAGE)?;
        let Some(last) = events.last() else { break };
        after = last.seq;
        events.into_iter().try_for_each(|event| dump.event(event))?;
    }
    dump.finish()
}

/// Writes the lines one by one.
pub(crate) struct DumpWriter<'o> {
    out: &'o mut dyn Write,
    hasher: Sha256,
    dumped: Dumped,
    chain: Chain,
}

impl<'o> DumpWriter<'o> {
    /// Writes the first line; `head` is where the journal in it will end.
    pub(crate) fn new(out: &'o mut dyn Write, town: &TownId, head: &Head) -> Result<Self> {
        let mut dump = Self {
            out,
            hasher: Sha256::new(),
            dumped: Dumped { head: head.seq, ..Dumped::default() },
            chain: Chain::default(),
        };
        let library = env!("CARGO_PKG_VERSION").to_owned();
        let head = Place { seq: head.seq, hash: head.hash.clone() };
        dump.write(&Line::Town(Header { format: FORMAT, library, id: town.clone(), head }))?;
        Ok(dump)
    }

    pub(crate) fn row(&mut self, row: &Row) -> Result<()> {
        self.dumped.rows += 1;
        self.write(&line(row))
    }

    fn unreadable(&mut self, lost: &Unreadable) -> Result<()> {
        self.dumped.unreadable += 1;
        self.write(&Line::Unreadable(Lost { row: lost.key.to_string(), problem: lost.error.to_string() }))
    }

    /// Writes an entry; one that does not follow the last is refused, as it could not be read back.
    pub(crate) fn event(&mut self, event: Event) -> Result<()> {
        self.chain.follow(&event)?;
        self.dumped.events += 1;
        self.write(&Line::Event(event))
    }

    /// Writes the last line.
    pub(crate) fn finish(mut self) -> Result<Dumped> {
        let Dumped { rows, events, unreadable, .. } = self.dumped;
        let sha256 = hex(&self.hasher.clone().finalize());
        self.write(&Line::End(End { rows, events, unreadable, sha256 }))?;
        self.out.flush().map_err(unwritable)?;
        Ok(self.dumped)
    }

    fn write(&mut self, line: &Line) -> Result<()> {
        let mut text = serde_json::to_vec(line)
            .map_err(|source| Error::internal("dump_unwritable", "a row is not JSON").because(source))?;
        text.push(b'\n');
        self.hasher.update(&text);
        self.dumped.bytes += text.len() as u64;
        self.out.write_all(&text).map_err(unwritable)
    }
}

fn line(row: &Row) -> Line {
    let kind = row.kind();
    let columns = kind.columns().iter().zip(row.to_values());
    let columns = columns.map(|(column, value)| (column.name.to_owned(), value.to_json())).collect();
    Line::Row(DumpedRow { table: kind.table().to_owned(), columns })
}

fn unwritable(source: std::io::Error) -> Error {
    let error = if source.kind() == std::io::ErrorKind::StorageFull {
        Error::exhausted("disk_full", "there is no room for the town's lines")
    } else {
        Error::unavailable("dump_unwritable", "the town's lines cannot be written")
    };
    error.because(source)
}
