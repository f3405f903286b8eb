//! What could be worked on now.

use std::time::Duration;

use super::cursor::decode_position;
use super::filter::{Conditions, ReadyFilter, ReadySort};
use super::list::{BeadPage, LAST_ID};
use super::page::{First, Order, Stream, Streams, check_limit, few, page, summaries};
use crate::model::value::{ColumnValue as _, Value};
use crate::model::{BeadKind, BeadRow, BeadStatus, Error, Result, Timestamp};
use crate::store::index::{self, Index};
use crate::store::{Position, Scan};
use crate::work::view::{View, text};

/// How long a bead counts as new in the order `hybrid`.
const NEW: Duration = Duration::from_secs(48 * 3600);
/// The priorities there are.
const PRIORITIES: std::ops::RangeInclusive<u32> = 0..=4;
/// Types of issues that are no work of their own.
const NO_WORK: [&str; 7] = ["merge-request", "gate", "molecule", "message", "agent", "role", "rig"];

/// Lists the issues that could be worked on now: open, unblocked, not deferred, not parked, neither pinned nor a
/// template, held by nobody or by somebody whose claim ran out.
///
/// It looks at the time itself and is right with no engine running. An issue whose claim ran out comes as it is stored:
/// `in_progress`, with its last holder.
pub(crate) fn ready(view: View<'_>, input: &ReadyFilter) -> Result<BeadPage> {
    let (rows, cursor) = find(view, input, check_limit(input.limit)?, &|_| true)?;
    Ok(BeadPage { beads: summaries(rows), cursor })
}

/// The first that could be worked on and that is wanted.
pub(super) fn first_ready(
    view: View<'_>,
    input: &ReadyFilter,
    wanted: &dyn Fn(&BeadRow) -> bool,
) -> Result<Option<BeadRow>> {
    let misplaced = [("limit", input.limit.is_some()), ("cursor", input.cursor.is_some())];
    if let Some((field, _)) = misplaced.into_iter().find(|(_, is_there)| *is_there) {
        return Err(Error::invalid("filter_misplaced", "a claim takes one bead and no page").with("field", field));
    }
    Ok(find(view, input, 1, wanted)?.0.pop())
}

/// Whether an open bead without blockers could be worked on.
pub(crate) fn is_ready(row: &BeadRow, now: Timestamp) -> bool {
    row.status == BeadStatus::Open && is_free(row, now)
}

/// Whether a bead is in the list of what is ready where nothing special is asked for.
pub(crate) fn is_listed(row: &BeadRow, now: Timestamp) -> bool {
    row.kind == BeadKind::Issue && is_claimable(row, now) && !row.ephemeral && is_work(row)
}

/// Whether nothing but its status keeps a bead from being worked on.
fn is_free(row: &BeadRow, now: Timestamp) -> bool {
    row.blockers == 0
        && !row.pinned
        && !row.template
        && row.defer_until.is_none_or(|at| at <= now)
        && (row.parked_reason.is_none() || row.parked_until.is_some_and(|at| at <= now))
}

/// Whether somebody claimed it and the claim ran out.
pub(crate) fn ran_out(row: &BeadRow, now: Timestamp) -> bool {
    row.status == BeadStatus::InProgress && row.lease_until.is_some_and(|until| until <= now)
}

/// Whether a bead could be claimed, were it not meant for somebody.
pub(super) fn is_claimable(row: &BeadRow, now: Timestamp) -> bool {
    (row.status == BeadStatus::Open || ran_out(row, now)) && is_free(row, now)
}

fn find(
    view: View<'_>,
    input: &ReadyFilter,
    limit: usize,
    wanted: &dyn Fn(&BeadRow) -> bool,
) -> Result<(Vec<BeadRow>, Option<String>)> {
    let now = view.now();
    let conditions = input.conditions(view)?;
    let fits = |row: &BeadRow| {
        row.kind == BeadKind::Issue
            && is_claimable(row, now)
            && (input.include_ephemeral || !row.ephemeral)
            && (!conditions.issue_types.is_empty() || is_work(row))
            && conditions.fit(row, ran_out(row, now))
            && wanted(row)
    };
    let sort = input.sort.unwrap_or(ReadySort::Priority);
    let cursor = input.cursor.as_deref().map(|cursor| Cursor::decode(sort, cursor)).transpose()?;
    // Later pages go on with what was new on the first.
    let new_since = cursor.as_ref().and_then(|cursor| cursor.new_since).unwrap_or_else(|| now.before(NEW));
    let place = |row: &BeadRow| place(sort, new_since, row);
    let order = Order { name: format!("ready/{sort}"), place: &place };
    let after = cursor.map(|cursor| cursor.place);
    let mut first = First::new(limit, after.clone());
    let streams = if let Some(rows) = few(view, &conditions)? {
        rows.into_iter().filter(fits).for_each(|row| first.show(&order, row));
        Vec::new()
    } else {
        // By pages that are short, as a backend may have the beads of those at hand.
        let over = Scan::new(&index::BEADS_BY_LEASE, vec![text(BeadKind::Issue.as_str())], 64).upto(now.to_value());
        view.walk_by_pages::<BeadRow>(over, |row| {
            if fits(&row) {
                first.show(&order, row);
            }
            Ok(true)
        })?;
        let plan = Plan { conditions: &conditions, ephemeral: input.include_ephemeral, limit, new_since, after };
        plan.streams(sort, &fits)
    };
    page(view, limit, &order, first, streams)
}

/// Whether it is work by its type; others are ready only for who asks for their type.
pub(crate) fn is_work(row: &BeadRow) -> bool {
    !NO_WORK.contains(&row.issue_type.as_str()) && (row.issue_type != "epic" || row.open_parts == 0)
}

/// What orders a ready bead; with `hybrid`, the time since which beads are new is a part of it.
fn place(sort: ReadySort, new_since: Timestamp, row: &BeadRow) -> Vec<Value> {
    let (priority, created, id) = (row.priority.to_value(), row.created_at.to_value(), row.id.to_value());
    match sort {
        ReadySort::Priority => vec![priority, created, id],
        ReadySort::Oldest => vec![created, id],
        ReadySort::Hybrid if row.created_at > new_since => {
            vec![new_since.to_value(), Value::Int(0), priority, created, id]
        }
        ReadySort::Hybrid => vec![new_since.to_value(), Value::Int(1), Value::Int(0), created, id],
    }
}

/// Where a page ended.
struct Cursor {
    place: Vec<Value>,
    new_since: Option<Timestamp>,
}

impl Cursor {
    fn decode(sort: ReadySort, cursor: &str) -> Result<Self> {
        let shape = match sort {
            ReadySort::Priority => "iit",
            ReadySort::Oldest => "it",
            ReadySort::Hybrid => "iiiit",
        };
        let place = decode_position(&format!("ready/{sort}"), shape, cursor)?.0;
        let new_since = match (sort, &place[0]) {
            (ReadySort::Hybrid, Value::Int(micros)) => Some(Timestamp::from_micros(*micros)),
            _ => None,
        };
        Ok(Self { place, new_since })
    }
}

/// How the open ones are read: by which scans, in which order.
struct Plan<'a> {
    conditions: &'a Conditions<'a>,
    ephemeral: bool,
    limit: usize,
    new_since: Timestamp,
    after: Option<Vec<Value>>,
}

impl Plan<'_> {
    fn streams<'s>(&self, sort: ReadySort, fits: &'s dyn Fn(&BeadRow) -> bool) -> Streams<'s> {
        let tail = |place: &Vec<Value>, len: usize| Position(place[place.len() - len..].to_vec());
        match sort {
            ReadySort::Priority => {
                let after = self.after.as_ref().map(|place| tail(place, 3));
                vec![self.by_priority(after.as_ref(), fits)]
            }
            ReadySort::Oldest => {
                let after = self.after.as_ref().map(|place| tail(place, 2));
                vec![self.by_age(after.as_ref(), None, fits)]
            }
            ReadySort::Hybrid => {
                let (is_behind_new, rest) = match &self.after {
                    Some(place) => (place[1] == Value::Int(1), Some(place)),
                    None => (false, None),
                };
                let mut groups = Vec::new();
                if !is_behind_new {
                    let after = rest.map(|place| tail(place, 3));
                    groups.extend(self.new_by_priority(after.as_ref(), fits));
                }
                let after = rest.filter(|_| is_behind_new).map(|place| tail(place, 2));
                groups.push(self.by_age(after.as_ref(), Some(self.new_since), fits));
                groups
            }
        }
    }

    fn priorities(&self) -> impl Iterator<Item = u32> {
        let (exact, max) = (self.conditions.priority, self.conditions.priority_max);
        PRIORITIES.filter(move |p| exact.is_none_or(|exact| *p == exact) && max.is_none_or(|max| *p <= max))
    }

    /// Scans of the index that fits, in the order of priority and age.
    fn scans(&self) -> Vec<Scan> {
        let kind = || text(BeadKind::Issue.as_str());
        let marks = if self.ephemeral { vec![0, 1] } else { vec![0] };
        let scan = |mark: i64| match &self.conditions.rig {
            Some(rig) => self.scan(&index::BEADS_READY_BY_RIG, vec![kind(), Value::Int(mark), rig.to_value()]),
            None => self.scan(&index::BEADS_READY, vec![kind(), Value::Int(mark)]),
        };
        marks.into_iter().map(scan).collect()
    }

    fn scan(&self, index: &'static Index, prefix: Vec<Value>) -> Scan {
        Scan::new(index, prefix, (self.limit + 1).min(256))
    }

    fn by_priority<'s>(&self, after: Option<&Position>, fits: &'s dyn Fn(&BeadRow) -> bool) -> Vec<Stream<'s>> {
        let (exact, max) = (self.conditions.priority, self.conditions.priority_max);
        let from = exact.map(|priority| before_all_of(priority, i64::MIN, ""));
        let upto = exact.or(max).map(|priority| priority.to_value());
        let begin = |scan: Scan| {
            let scan = Scan { upto: upto.clone(), ..scan.after(after.cloned().max(from.clone())) };
            Stream::new(scan, fits)
        };
        self.scans().into_iter().map(begin).collect()
    }

    /// Those that are new, one priority after another.
    fn new_by_priority<'s>(&self, after: Option<&Position>, fits: &'s dyn Fn(&BeadRow) -> bool) -> Streams<'s> {
        let group = |priority: u32| {
            let begin = before_all_of(priority, self.new_since.as_micros(), LAST_ID);
            let scan = |scan: Scan| {
                let scan = scan.after(after.cloned().max(Some(begin.clone()))).upto(priority.to_value());
                Stream::new(scan, fits)
            };
            self.scans().into_iter().map(scan).collect()
        };
        self.priorities().map(group).collect()
    }

    /// All, or those up to a time, oldest first.
    fn by_age<'s>(
        &self,
        after: Option<&Position>,
        upto: Option<Timestamp>,
        fits: &'s dyn Fn(&BeadRow) -> bool,
    ) -> Vec<Stream<'s>> {
        let conditions = self.conditions;
        if conditions.rig.is_none() && conditions.priority.is_none() && conditions.priority_max.is_none() {
            let marks = if self.ephemeral { vec![0, 1] } else { vec![0] };
            let begin = |mark: i64| {
                let prefix = vec![text(BeadKind::Issue.as_str()), Value::Int(mark)];
                let scan = self.scan(&index::BEADS_READY_BY_AGE, prefix).after(after.cloned());
                Stream::new(Scan { upto: upto.map(|at| at.to_value()), ..scan }, fits)
            };
            return marks.into_iter().map(begin).collect();
        }
        // Each priority of the rig is in the order of age; they are merged.
        let mut streams = Vec::new();
        for priority in self.priorities() {
            let begin = match after {
                Some(Position(place)) => Position([vec![priority.to_value()], place.clone()].concat()),
                None => before_all_of(priority, i64::MIN, ""),
            };
            for scan in self.scans() {
                let stream = Stream::new(scan.after(Some(begin.clone())).upto(priority.to_value()), fits);
                streams.push(match upto {
                    Some(upto) => stream.until(move |row| row.created_at > upto),
                    None => stream,
                });
            }
        }
        streams
    }
}

/// The place before all beads of a priority that were made after a time.
fn before_all_of(priority: u32, created: i64, id: &str) -> Position {
    Position(vec![priority.to_value(), Value::Int(created), text(id)])
}
