//! Which rows scans and searches answer: beads at hand are not read again.

use std::cell::RefCell;
use std::sync::Arc;

use super::connection::{View, sqlite_int};
use super::read::{decode, pack, plain};
use super::sql::{self, Select, Shape, Way};
use super::statements::Which;
use crate::model::value::{Cell, Value};
use crate::model::{Key, Result, Row, RowKind};
use crate::store::rows::{Known, Rows};
use crate::store::{Packed, Scan, Search};

/// The longest page of beads of which those at hand are not read again; who asks for more reads through the town.
const PAGE_MAX: usize = 128;

impl View<'_> {
    /// The rows of a scan, and whether all of them could be read.
    pub(super) fn rows_of(&self, scan: &Scan, way: Way<'_>) -> Result<(Vec<Row>, bool)> {
        if let Some(page) = self.beads_at_hand(scan, way)? {
            return Ok((page, true));
        }
        let shape = Shape::of(scan, Select::Rows).going(way);
        let text = || sql::scan(scan.index, shape);
        let mut statement = self.bound_to(Which::Scan(scan.index, shape), text, sql::scan_parameters(scan, way))?;
        let mut rows = statement.raw_query();
        let (mut found, mut is_whole) = (Vec::new(), true);
        // SQLite makes the rows one by one, so what is behind the limit costs nothing.
        while found.len() < scan.limit
            && let Some(row) = rows.next().map_err(|source| self.refused(source))?
        {
            match decode(scan.index.kind, row)? {
                Ok(row) => found.push(row),
                Err(row) => {
                    is_whole = false;
                    self.unreadable.note(row);
                }
            }
        }
        Ok((found, is_whole))
    }

    /// The rows of a scan as they are stored.
    pub(super) fn packed(&self, scan: &Scan) -> Result<Packed> {
        let shape = Shape::of(scan, Select::Rows);
        let text = || sql::scan(scan.index, shape);
        let values = sql::scan_parameters(scan, Way::Forth);
        let mut statement = self.bound_to(Which::Scan(scan.index, shape), text, values)?;
        let mut rows = statement.raw_query();
        let mut packed = Packed::new(scan.index.kind);
        while packed.len() < scan.limit
            && let Some(row) = rows.next().map_err(|source| self.refused(source))?
        {
            if let Err(row) = pack(scan.index.kind, row, &mut packed)? {
                self.unreadable.note(row);
            }
        }
        Ok(packed)
    }

    /// A short page of beads: which they are says the index, and those at hand are not read again. None for another scan,
    /// and where one of them cannot be read.
    fn beads_at_hand(&self, scan: &Scan, way: Way<'_>) -> Result<Option<Vec<Row>>> {
        if scan.index.kind != RowKind::Bead || scan.limit > PAGE_MAX {
            return Ok(None);
        }
        let Some(rows) = self.rows else { return Ok(None) };
        let shape = Shape::of(scan, Select::Beads).going(way);
        let text = || sql::scan(scan.index, shape);
        let numbered =
            self.numbered(Which::Scan(scan.index, shape), text, sql::scan_parameters(scan, way), scan.limit)?;
        self.each_at_hand(rows, numbered)
    }

    /// The first `limit` beads of a statement, which tells their numbers and ids.
    fn numbered<'v>(
        &self,
        which: Which,
        text: impl FnOnce() -> String,
        values: impl IntoIterator<Item = &'v Value>,
        limit: usize,
    ) -> Result<Vec<(i64, Key)>> {
        let mut statement = self.bound_to(which, text, values)?;
        let mut beads = statement.raw_query();
        let mut page = Vec::with_capacity(limit);
        while page.len() < limit
            && let Some(row) = beads.next().map_err(|source| self.refused(source))?
        {
            let number: i64 = row.get(0).map_err(|source| self.refused(source))?;
            let id = plain(row, 1).map_err(|source| self.refused(source))?;
            page.push((number, Key { kind: RowKind::Bead, values: vec![id] }));
        }
        Ok(page)
    }

    /// The beads of these numbers; none where one of them cannot be read.
    fn each_at_hand(&self, rows: &RefCell<Rows>, numbered: Vec<(i64, Key)>) -> Result<Option<Vec<Row>>> {
        let mut found = Vec::with_capacity(numbered.len());
        for (number, key) in numbered {
            if let Known::There(row) = rows.borrow_mut().known(&key) {
                found.push(Row::clone(row));
                continue;
            }
            let mut statement = self.bound(Which::Numbered, sql::numbered, &[Cell::Int(number)])?;
            let mut beads = statement.raw_query();
            let row = beads.next().map_err(|source| self.refused(source))?;
            let Some(Ok(row)) = row.map(|row| decode(RowKind::Bead, row)).transpose()? else { return Ok(None) };
            let row = Arc::new(row);
            rows.borrow_mut().keep(&key, &row);
            found.push(Arc::unwrap_or_clone(row));
        }
        Ok(Some(found))
    }

    /// Beads that may hold the words of a search.
    pub(super) fn with_words(&self, search: &Search, words: &str) -> Result<Vec<Row>> {
        let has_after = search.after.is_some();
        let values = |asked: usize| {
            let mut values = vec![Value::Text(words.to_owned()), Value::Int(sqlite_int(asked as u64))];
            values.extend(search.after.iter().flat_map(|after| after.0.iter().cloned()));
            values
        };
        if search.limit <= PAGE_MAX
            && let Some(rows) = self.rows
        {
            let which = Which::Search(has_after, Select::Beads);
            let text = || sql::search(has_after, Select::Beads);
            let numbered = self.numbered(which, text, &values(search.limit), search.limit)?;
            if let Some(found) = self.each_at_hand(rows, numbered)? {
                return Ok(found);
            }
        }
        let mut asked = search.limit;
        loop {
            let which = Which::Search(has_after, Select::Rows);
            let mut statement = self.bound_to(which, || sql::search(has_after, Select::Rows), &values(asked))?;
            let mut rows = statement.raw_query();
            let (mut found, mut left_out) = (Vec::new(), 0);
            while found.len() < search.limit
                && let Some(row) = rows.next().map_err(|source| self.refused(source))?
            {
                match decode(RowKind::Bead, row)? {
                    Ok(row) => found.push(row),
                    Err(row) => {
                        left_out += 1;
                        self.unreadable.note(row);
                    }
                }
            }
            if found.len() == search.limit || found.len() + left_out < asked {
                return Ok(found);
            }
            // They take nothing of the limit.
            asked = search.limit.saturating_add(left_out);
        }
    }
}
