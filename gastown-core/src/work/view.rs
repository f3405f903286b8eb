//! What a scope can read.

use crate::model::value::Value;
use crate::model::{BeadId, BeadRow, Error, Event, Key, Result, RigName, Row, Scope, Shared, Stored, Timestamp};
use crate::store::{Position, Reader, Scan, Search};

/// A town as one scope sees it at one moment.
///
/// Invariant: this is the only way to the rows for code that reads; it leaves out what the scope may not see, so that
/// no query can forget to.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    reader: &'a dyn Reader,
    scope: &'a Scope,
    now: Timestamp,
}

impl<'a> View<'a> {
    pub(crate) const fn new(reader: &'a dyn Reader, scope: &'a Scope, now: Timestamp) -> Self {
        Self { reader, scope, now }
    }

    /// The time of the question.
    pub(crate) const fn now(&self) -> Timestamp {
        self.now
    }

    pub(crate) const fn scope(&self) -> &'a Scope {
        self.scope
    }

    /// The whole town, for rules that hold over all rigs; nothing of it may reach the caller.
    pub(crate) fn of_town(&self) -> View<'a> {
        Self { scope: &Scope::Town, ..*self }
    }

    /// How many entries a scan has, of the whole town.
    pub(crate) fn count(&self, scan: &Scan) -> Result<u64> {
        self.whole_town()?.count(scan)
    }

    /// The journal and other things that have no rig; only for scopes that see the whole town.
    pub(crate) fn whole_town(&self) -> Result<&'a dyn Reader> {
        match self.scope.rig() {
            None => Ok(self.reader),
            Some(rig) => Err(Error::forbidden(
                "scope_too_narrow",
                format!("{} sees the rig {rig} and not the whole town", self.scope.principal()),
            )
            .with("principal", self.scope.principal())
            .with("rig", rig)),
        }
    }

    /// The record of this key, where the scope sees it.
    pub(crate) fn find<T: Stored>(&self, key: &Key) -> Result<Option<T>> {
        Ok(self.look(key)?.map(Shared::into_owned))
    }

    /// The same, to be read only.
    pub(crate) fn look<T: Stored>(&self, key: &Key) -> Result<Option<Shared<T>>> {
        match self.reader.get_shared(key)? {
            Some(row) if self.sees(&row)? => Ok(Shared::of(row)),
            _ => Ok(None),
        }
    }

    /// The same for a list of others: one that cannot be read is left out, as a scan leaves it out.
    pub(crate) fn find_readable<T: Stored>(&self, key: &Key) -> Result<Option<T>> {
        readable(self.find(key))
    }

    /// Records of one index, in its order, that the scope sees; at most the scan's limit.
    pub(crate) fn scan<T: Stored>(&self, mut scan: Scan) -> Result<Vec<T>> {
        let wanted = scan.limit;
        let mut found = Vec::new();
        loop {
            let rows = self.reader.scan(&scan)?;
            let full = rows.len() == scan.limit;
            let last = rows.last().map(|row| Position::of(scan.index, row));
            for row in rows {
                if found.len() < wanted && self.lists(&row)? {
                    found.extend(T::from_row(row));
                }
            }
            if found.len() >= wanted || !full {
                return Ok(found);
            }
            scan.after = last;
        }
    }

    /// One scan, without making up for what the scope does not see.
    pub(crate) fn scan_once<T: Stored>(&self, scan: &Scan) -> Result<Scanned<T>> {
        let rows = self.reader.scan(scan)?;
        let after = rows.last().filter(|_| rows.len() == scan.limit).map(|row| Position::of(scan.index, row));
        let mut records = Vec::with_capacity(rows.len());
        for row in rows {
            if self.lists(&row)? {
                records.extend(T::from_row(row));
            }
        }
        Ok(Scanned { records, after })
    }

    /// Every record of one index; for lists that are bounded by something else.
    pub(crate) fn all<T: Stored>(&self, scan: Scan) -> Result<Vec<T>> {
        self.scan(Scan { limit: usize::MAX, ..scan })
    }

    /// Calls `visit` with each record of one index, a page at a time, until it says stop.
    pub(crate) fn walk<T: Stored>(&self, scan: Scan, visit: impl FnMut(T) -> Result<bool>) -> Result<()> {
        self.walk_by_pages(Scan { limit: 256, ..scan }, visit)
    }

    /// The same with pages as long as the scan's limit.
    pub(crate) fn walk_by_pages<T: Stored>(
        &self,
        mut scan: Scan,
        mut visit: impl FnMut(T) -> Result<bool>,
    ) -> Result<()> {
        loop {
            let rows = self.reader.scan(&scan)?;
            let full = rows.len() == scan.limit;
            scan.after = rows.last().map(|row| Position::of(scan.index, row));
            for row in rows {
                if self.lists(&row)?
                    && let Some(record) = T::from_row(row)
                    && !visit(record)?
                {
                    return Ok(());
                }
            }
            if !full {
                return Ok(());
            }
        }
    }

    /// Calls `visit` with each record of one index from its end, or from before a place, until it says stop; the first
    /// page is as long as the scan's limit.
    pub(crate) fn walk_back<T: Stored>(
        &self,
        mut scan: Scan,
        mut before: Option<Position>,
        mut visit: impl FnMut(T) -> Result<bool>,
    ) -> Result<()> {
        loop {
            let rows = self.reader.scan_back(&scan, before.as_ref())?;
            let full = rows.len() == scan.limit;
            before = rows.last().map(|row| Position::of(scan.index, row));
            for row in rows {
                if self.sees(&row)?
                    && let Some(record) = T::from_row(row)
                    && !visit(record)?
                {
                    return Ok(());
                }
            }
            if !full {
                return Ok(());
            }
            scan.limit = (scan.limit * 2).clamp(1, 256);
        }
    }

    /// Beads that may hold the words of a search, the newest first, that the scope sees; and where to go on, none where
    /// there are no more.
    pub(crate) fn search(&self, search: &Search) -> Result<(Vec<BeadRow>, Option<Position>)> {
        let rows = self.reader.search(search)?;
        let is_full = rows.len() >= search.limit;
        let (mut found, mut last) = (Vec::with_capacity(rows.len()), None);
        for row in rows {
            let is_seen = self.lists(&row)?;
            let Some(bead) = BeadRow::from_row(row) else { continue };
            last = Some(Search::place(&bead));
            if is_seen {
                found.push(bead);
            }
        }
        Ok((found, last.filter(|_| is_full)))
    }

    /// Journal entries about a bead, which the scope must see or, where it is gone, see the whole town.
    pub(crate) fn events_of_bead(&self, id: &BeadId, after: u64, limit: usize) -> Result<Vec<Event>> {
        if self.scope.rig().is_some() {
            self.bead(id)?;
        }
        self.reader.events_of(id.as_str(), after, limit)
    }

    /// Where the journal begins; one behind its end where it is empty.
    pub(crate) fn first_seq(&self) -> Result<u64> {
        Ok(match self.reader.events(0, 1)?.first() {
            Some(first) => first.seq,
            None => self.reader.head()?.seq + 1,
        })
    }

    /// A bead's columns; `bead_missing` where there is none in this scope.
    pub(crate) fn bead(&self, id: &BeadId) -> Result<BeadRow> {
        self.find(&Key::bead(id))?
            .ok_or_else(|| Error::not_found("bead_missing", format!("there is no bead {id}")).with("bead", id))
    }

    /// Whether the scope may see the row.
    pub(crate) fn sees(&self, row: &Row) -> Result<bool> {
        let Some(rig) = self.scope.rig() else { return Ok(true) };
        match row {
            Row::Bead(bead) => Ok(bead.rig.as_ref() == Some(rig)),
            Row::BeadText(text) => self.sees_bead(&text.id, rig),
            Row::Label(label) => self.sees_bead(&label.bead, rig),
            Row::Comment(comment) => self.sees_bead(&comment.bead, rig),
            Row::Reservation(reservation) => Ok(reservation.rig == *rig),
            Row::Delivery(delivery) => self.sees_bead(&delivery.message, rig),
            Row::Dependency(edge) => Ok(self.sees_bead(&edge.bead, rig)? && self.sees_bead(&edge.on_bead, rig)?),
            Row::Agent(agent) => Ok(agent.rig.as_ref() == Some(rig)),
            Row::Session(session) => Ok(session.rig == *rig),
            Row::Convoy(convoy) => Ok(convoy.rig == *rig),
            Row::MergeRequest(review) => Ok(review.rig == *rig),
            Row::Rig(row) => Ok(row.name == *rig),
            Row::Setting(setting) => Ok(setting.scope == "town" || setting.scope == format!("rig:{rig}")),
            Row::Idempotency(answer) => Ok(answer.principal == self.scope.hears()),
            Row::Town(_) => Ok(true),
            Row::Breaker(breaker) => Ok(breaker.rig.as_ref() == Some(rig)),
            Row::Effect(_)
            | Row::Leader(_)
            | Row::Tombstone(_)
            | Row::Foreign(_)
            | Row::Quarantine(_)
            | Row::Capability(_) => Ok(false),
        }
    }

    /// The same for a row that was met: where the bead that it belongs to cannot be read, nobody knows whose it is.
    fn lists(&self, row: &Row) -> Result<bool> {
        Ok(readable(self.sees(row).map(Some))?.unwrap_or_default())
    }

    fn sees_bead(&self, id: &BeadId, rig: &RigName) -> Result<bool> {
        let row = self.reader.get_shared(&Key::bead(id))?;
        Ok(matches!(row.as_deref(), Some(Row::Bead(bead)) if bead.rig.as_ref() == Some(rig)))
    }
}

/// None where a row cannot be read; its reader tells of it.
fn readable<T>(found: Result<Option<T>>) -> Result<Option<T>> {
    match found {
        Err(error) if error.code() == "row_unreadable" => Ok(None),
        found => found,
    }
}

/// What one scan gave.
pub(crate) struct Scanned<T> {
    /// The records that the scope sees.
    pub(crate) records: Vec<T>,
    /// Where it goes on; none where it ended.
    pub(crate) after: Option<Position>,
}

/// A value for a scan's prefix.
pub(crate) fn text(value: impl AsRef<str>) -> Value {
    Value::Text(value.as_ref().to_owned())
}
