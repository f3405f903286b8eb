//! Lists and claims against a plain look at every bead, and how many rows they read.

use std::cell::Cell;

use super::available::{first_ready, ready};
use super::filter::{BeadFilter, ListSort, ReadyFilter};
use super::list::list;
use crate::model::value::Raw;
use crate::model::{BeadId, BeadKind, BeadRow, BeadStatus, Event, Head, Key, Result, Row, Scope, Timestamp};
use crate::store::conformance::sample::{self, Draw};
use crate::store::{Position, Reader, Scan, Unreadable};
use crate::work::find::testing::{TestTown, at_day, town_of};
use crate::work::view::View;

const NOW: Timestamp = Timestamp::from_micros(1_763_769_600_000_000);

/// Counts the rows that are read.
struct Counting<'r> {
    reader: &'r dyn Reader,
    rows: Cell<usize>,
}

impl Counting<'_> {
    fn count(&self, rows: Result<Vec<Row>>) -> Result<Vec<Row>> {
        self.rows.set(self.rows.get() + rows.as_ref().map_or(0, Vec::len));
        rows
    }
}

impl Reader for Counting<'_> {
    fn get(&self, key: &Key) -> Result<Option<Row>> {
        self.rows.set(self.rows.get() + 1);
        self.reader.get(key)
    }
    fn scan(&self, scan: &Scan) -> Result<Vec<Row>> {
        self.count(self.reader.scan(scan))
    }
    fn scan_back(&self, scan: &Scan, before: Option<&Position>) -> Result<Vec<Row>> {
        self.count(self.reader.scan_back(scan, before))
    }
    fn values(&self, key: &Key) -> Result<Option<Vec<Raw>>> {
        self.reader.values(key)
    }
    fn unreadable(&self) -> Vec<Unreadable> {
        self.reader.unreadable()
    }
    fn head(&self) -> Result<Head> {
        self.reader.head()
    }
    fn events(&self, after: u64, limit: usize) -> Result<Vec<Event>> {
        self.reader.events(after, limit)
    }
}

/// How many rows a question reads.
fn rows_read(town: &TestTown, ask: impl FnOnce(View<'_>)) -> usize {
    town.read_raw(|reader| {
        let counting = Counting { reader, rows: Cell::new(0) };
        ask(View::new(&counting, &Scope::Operator, NOW));
        counting.rows.get()
    })
}

/// So many open issues a minute apart, behind claims of which ten ran out.
fn town_with_claims(open: usize) -> TestTown {
    let base = sample::bead(&mut Draw::new(1));
    let issue = |n: usize| BeadRow {
        id: BeadId::new(format!("gt-{n}")).unwrap(),
        kind: BeadKind::Issue,
        status: BeadStatus::Open,
        resolution: None,
        issue_type: "task".to_owned(),
        priority: u32::try_from(n % 5).unwrap(),
        blockers: 0,
        labels: vec![],
        assignee: None,
        lease_until: None,
        slung: false,
        defer_until: None,
        parked_reason: None,
        parked_until: None,
        pinned: false,
        ephemeral: false,
        template: false,
        created_at: Timestamp::from_micros(NOW.as_micros() - 60_000_000 * i64::try_from(n).unwrap()),
        ..base.clone()
    };
    let claimed = |n: usize| BeadRow {
        status: BeadStatus::InProgress,
        assignee: Some("tess".to_owned()),
        lease_until: Some(at_day(NOW, if n < 10 { -1 } else { 1 })),
        priority: 4,
        ..issue(100_000 + n)
    };
    TestTown::of((0..open).map(issue).chain((0..200).map(claimed)).map(|row| (row, None)).collect())
}

#[test]
fn the_next_of_a_claim_is_found_by_as_many_rows_in_a_town_of_any_size() {
    let read = |open| {
        let town = town_with_claims(open);
        rows_read(&town, |view| {
            let found = first_ready(view, &ReadyFilter::default(), &|_| true).unwrap().unwrap();
            assert_eq!((found.priority, found.status), (0, BeadStatus::Open));
        })
    };
    let (small, large) = (read(100), read(2_000));
    assert_eq!(small, large);
    assert_eq!(small, 10 + 2, "those whose claim ran out, the first that is ready and one more");
}

#[test]
fn a_page_reads_one_row_more_than_it_holds() {
    let town = town_with_claims(500);
    let listed = |sort| BeadFilter { sort: Some(sort), status: Some(BeadStatus::Open), ..BeadFilter::default() };
    let read = rows_read(&town, |view| assert_eq!(list(view, &listed(ListSort::Created)).unwrap().beads.len(), 50));
    assert_eq!(read, 51);
    let read = rows_read(&town, |view| assert_eq!(ready(view, &ReadyFilter::default()).unwrap().beads.len(), 50));
    assert_eq!(read, 10 + 51, "those whose claim ran out as well");
}

#[test]
fn the_newest_are_found_by_as_many_rows_in_a_town_of_any_size() {
    let filter = BeadFilter { sort: Some(ListSort::Newest), limit: Some(20), ..BeadFilter::default() };
    let read = |open| {
        let town = town_with_claims(open);
        rows_read(&town, |view| assert_eq!(list(view, &filter).unwrap().beads.len(), 20))
    };
    let (small, large) = (read(200), read(2_000));
    assert_eq!(small, large);
    assert_eq!(small, 22, "the page, whether there is more, and where the moment ends");
}

#[test]
fn pages_of_any_order_are_those_of_a_plain_sort() {
    for seed in 0..4 {
        let town = town_of(seed, 300);
        let now = Timestamp::from_micros(1_763_769_600_000_000);
        for sort in ListSort::ALL.iter().copied() {
            for filter in [
                BeadFilter::default(),
                BeadFilter { status: Some(BeadStatus::Open), ..BeadFilter::default() },
                BeadFilter {
                    statuses: vec![BeadStatus::Open, BeadStatus::Closed],
                    created_after: Some(at_day(now, -12)),
                    created_before: Some(now),
                    ..BeadFilter::default()
                },
            ] {
                let fits = |row: &&BeadRow| {
                    row.kind == BeadKind::Issue
                        && filter.status.is_none_or(|status| row.status == status)
                        && (filter.statuses.is_empty() || filter.statuses.contains(&row.status))
                        && filter.created_after.is_none_or(|after| row.created_at > after)
                        && filter.created_before.is_none_or(|before| row.created_at < before)
                };
                let mut wanted: Vec<&BeadRow> = town.beads.iter().map(|(row, _)| row).filter(fits).collect();
                wanted.sort_by_key(|row| row.id.clone());
                match sort {
                    ListSort::Created => wanted.sort_by_key(|row| row.created_at),
                    ListSort::Newest => wanted.sort_by_key(|row| std::cmp::Reverse(row.created_at)),
                    ListSort::Updated => wanted.sort_by_key(|row| std::cmp::Reverse(row.updated_at)),
                    ListSort::Priority => wanted.sort_by_key(|row| (row.priority, row.created_at)),
                    ListSort::Id => {}
                }
                let wanted: Vec<&str> = wanted.iter().map(|row| row.id.as_str()).collect();
                assert!(wanted.len() > 20, "{} beads", wanted.len());
                for limit in [1, 7, 40, 1_000] {
                    let (mut found, mut cursor) = (Vec::new(), None);
                    loop {
                        let input = BeadFilter { sort: Some(sort), limit: Some(limit), cursor, ..filter.clone() };
                        let page = town.read(&Scope::Operator, now, |view| list(view, &input).unwrap());
                        found.extend(page.beads.into_iter().map(|bead| bead.id.to_string()));
                        cursor = page.cursor;
                        if cursor.is_none() {
                            break;
                        }
                    }
                    assert_eq!(found, wanted, "{sort} by {limit}, seed {seed}");
                }
            }
        }
    }
}
