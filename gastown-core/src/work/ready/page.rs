//! Pages over several scans at once, in one order, with bounded memory.

use std::collections::BTreeMap;

use super::cursor::encode_position;
use super::filter::Conditions;
use crate::model::value::Value;
use crate::model::{BeadRow, Error, Key, LabelRow, Result};
use crate::store::Scan;
use crate::store::index::{self, Index};
use crate::work::beads::BeadSummary;
use crate::work::view::{View, text};

/// The most beads in one answer.
pub(crate) const PAGE_MAX: usize = 1_000;
/// The most parts of one bead that a filter looks through.
pub(super) const MEMBERS_MAX: usize = 100_000;
/// Where at most so many beads have a label, an assignee, a convoy or a parent, they are looked at one by one.
const FEW: usize = 1_000;

/// The order of a list: the values that order a bead, and what tells its cursors from others.
pub(super) struct Order<'a> {
    /// Its name in cursors.
    pub(super) name: String,
    /// The values of one bead, unique.
    pub(super) place: &'a dyn Fn(&BeadRow) -> Vec<Value>,
}

pub(crate) fn check_limit(limit: Option<usize>) -> Result<usize> {
    match limit.unwrap_or(50) {
        limit @ 1..=PAGE_MAX => Ok(limit),
        limit => Err(Error::invalid("limit_out_of_range", format!("a page holds 1 to {PAGE_MAX} beads, not {limit}"))
            .with("found", limit)),
    }
}

/// The first beads behind a place, of those that it was shown.
pub(super) struct First {
    /// One more than the page holds, to know whether there is more.
    wanted: usize,
    after: Option<Vec<Value>>,
    rows: BTreeMap<Vec<Value>, BeadRow>,
}

impl First {
    pub(super) const fn new(limit: usize, after: Option<Vec<Value>>) -> Self {
        Self { wanted: limit + 1, after, rows: BTreeMap::new() }
    }

    /// Whether it has enough, and those whose place begins with this value would all be behind them.
    pub(super) fn has_all_before(&self, begin: &Value) -> bool {
        self.rows.len() == self.wanted && self.rows.last_key_value().is_some_and(|(last, _)| last[0] < *begin)
    }

    pub(super) fn show(&mut self, order: &Order<'_>, row: BeadRow) {
        let place = (order.place)(&row);
        let is_behind = self.after.as_ref().is_none_or(|after| place > *after);
        let is_before_last =
            self.rows.len() < self.wanted || self.rows.last_key_value().is_some_and(|(last, _)| place < *last);
        if is_behind && is_before_last {
            self.rows.insert(place, row);
            if self.rows.len() > self.wanted {
                self.rows.pop_last();
            }
        }
    }
}

/// A scan that is read as it is needed, of rows in the order of the list.
pub(super) struct Stream<'a> {
    scan: Option<Scan>,
    rows: std::vec::IntoIter<BeadRow>,
    next: Option<(Vec<Value>, BeadRow)>,
    fits: &'a dyn Fn(&BeadRow) -> bool,
    /// Whether nothing behind this row is of use.
    ends: Option<Ends<'a>>,
}

type Ends<'a> = Box<dyn Fn(&BeadRow) -> bool + 'a>;

impl<'a> Stream<'a> {
    pub(super) fn new(scan: Scan, fits: &'a dyn Fn(&BeadRow) -> bool) -> Self {
        Self { scan: Some(scan), rows: Vec::new().into_iter(), next: None, fits, ends: None }
    }

    pub(super) fn until(mut self, ends: impl Fn(&BeadRow) -> bool + 'a) -> Self {
        self.ends = Some(Box::new(ends));
        self
    }

    /// Makes `next` the first row that is left.
    fn advance(&mut self, view: View<'_>, order: &Order<'_>) -> Result<()> {
        self.next = None;
        loop {
            for row in self.rows.by_ref() {
                if self.ends.as_ref().is_some_and(|ends| ends(&row)) {
                    self.scan = None;
                    self.rows = Vec::new().into_iter();
                    return Ok(());
                }
                if (self.fits)(&row) {
                    self.next = Some(((order.place)(&row), row));
                    return Ok(());
                }
            }
            let Some(mut scan) = self.scan.take() else { return Ok(()) };
            let rows = view.scan_once::<BeadRow>(&scan)?;
            if let Some(after) = rows.after {
                // What was left out of a short page may be followed by much more of the kind.
                scan.limit = (scan.limit * 2).min(256);
                self.scan = Some(scan.after(Some(after)));
            }
            self.rows = rows.records.into_iter();
        }
    }
}

/// Groups of streams, one group after another; those of a group are merged.
pub(super) type Streams<'a> = Vec<Vec<Stream<'a>>>;

/// One page of what `first` was shown and the streams give.
pub(super) fn page(
    view: View<'_>,
    limit: usize,
    order: &Order<'_>,
    first: First,
    streams: Streams<'_>,
) -> Result<(Vec<BeadRow>, Option<String>)> {
    let mut found: Vec<(Vec<Value>, BeadRow)> = Vec::with_capacity(limit + 1);
    let mut shown = first.rows.into_iter().peekable();
    for mut group in streams {
        for stream in &mut group {
            stream.advance(view, order)?;
        }
        while found.len() <= limit {
            let least = group
                .iter_mut()
                .filter(|stream| stream.next.is_some())
                .min_by(|a, b| a.next.as_ref().map(|next| &next.0).cmp(&b.next.as_ref().map(|next| &next.0)));
            let Some(least) = least else { break };
            let place = least.next.as_ref().map(|next| &next.0);
            if let Some(earlier) = shown.next_if(|(shown, _)| place.is_some_and(|place| shown < place)) {
                found.push(earlier);
                continue;
            }
            found.extend(least.next.take());
            // Behind the last one nothing is read: it would be a page more.
            if found.len() <= limit {
                least.advance(view, order)?;
            }
        }
    }
    found.extend(shown.take((limit + 1).saturating_sub(found.len())));
    let more = found.len() > limit;
    found.truncate(limit);
    let cursor = found.last().filter(|_| more).map(|(place, _)| encode_position(&order.name, place));
    Ok((found.into_iter().map(|(_, row)| row).collect(), cursor))
}

/// The rows of a page as callers read them.
pub(super) fn summaries(rows: Vec<BeadRow>) -> Vec<BeadSummary> {
    rows.into_iter().map(BeadSummary::from).collect()
}

/// The beads of which one must be, where they are few; each is still to be held against the filter.
pub(super) fn few(view: View<'_>, conditions: &Conditions<'_>) -> Result<Option<Vec<BeadRow>>> {
    if let Some(parts) = conditions.within.as_ref().filter(|parts| parts.len() <= FEW) {
        let rows = parts.iter().map(|id| view.find_readable::<BeadRow>(&Key::bead(id)));
        return rows.filter_map(Result::transpose).collect::<Result<_>>().map(Some);
    }
    let of = |index: &'static Index, value: &str| -> Result<Option<Vec<BeadRow>>> {
        let rows: Vec<BeadRow> = view.scan(Scan::new(index, vec![text(value)], FEW + 1))?;
        Ok((rows.len() <= FEW).then_some(rows))
    };
    if let Some(convoy) = conditions.convoy
        && let Some(rows) = of(&index::BEADS_BY_CONVOY, convoy.as_str())?
    {
        return Ok(Some(rows));
    }
    if let Some(who) = conditions.assignee
        && let Some(rows) = of(&index::BEADS_BY_ASSIGNEE, who)?
    {
        return Ok(Some(rows));
    }
    for label in conditions.labels {
        let labels: Vec<LabelRow> = view.scan(Scan::new(&index::LABELS_BY_NAME, vec![text(label)], FEW + 1))?;
        if labels.len() <= FEW {
            let rows = labels.iter().map(|label| view.find_readable::<BeadRow>(&Key::bead(&label.bead)));
            return rows.filter_map(Result::transpose).collect::<Result<_>>().map(Some);
        }
    }
    Ok(None)
}
