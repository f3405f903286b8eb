//! Cases about what an entry of the journal holds, and about its order under concurrency.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;

use serde_json::json;

use super::Site;
use super::kit::{Bench, append, at, code, events, town, wait, write_when_free};
use super::sample::{self, Draw};
use crate::model::event::Change;
use crate::model::{Event, Head, Row, SessionId};
use crate::store::{Access, Reader};

/// One entry behind `head`, changed and with the hash of what it is then.
fn entry(head: &Head, change: impl FnOnce(&mut Event)) -> Event {
    let mut event = sample::event(head, None, &mut Draw::new(head.seq + 1));
    change(&mut event);
    event.hash = event.hash_after(&head.hash);
    event
}

/// Writes entries that were changed so, one each, and compares what comes back to the hash.
fn keeps(site: &Site, changes: &[fn(&mut Event)]) {
    let mut bench = Bench::new(site);
    let mut written: Vec<Event> = Vec::new();
    for change in changes {
        let head = written.last().map(Event::head).unwrap_or_default();
        written.push(entry(&head, change));
    }
    bench.write(|txn| txn.append(&written).unwrap());
    let read = bench.read(|reader| reader.events(0, 100).unwrap());
    assert_eq!(read, written);
    check_chain(&read);
}

fn check_chain(events: &[Event]) {
    let mut head = Head::default();
    for event in events {
        assert_eq!(event.seq, head.seq + 1, "no gap");
        assert_eq!(event.hash, event.hash_after(&head.hash), "event {}", event.seq);
        head = event.head();
    }
}

pub(crate) fn an_event_keeps_who_and_about_what(site: &Site) {
    keeps(
        site,
        &[
            |event| (event.actor, event.subject, event.kind) = (String::new(), String::new(), String::new()),
            |event| (event.actor, event.subject) = ("rig/nux \u{0} 🦀".into(), "gt-1\n'\"".into()),
            |event| event.kind = "a.kind.of.a.later.version".into(),
            |event| event.subject = "s".repeat(10_000),
        ],
    );
}

pub(crate) fn an_event_keeps_its_session_and_epoch_or_none(site: &Site) {
    keeps(
        site,
        &[
            |event| (event.session, event.epoch) = (None, None),
            |event| (event.session, event.epoch) = (Some(SessionId::new("s-1").unwrap()), Some(i64::MAX)),
            |event| (event.session, event.epoch) = (Some(SessionId::new("s-1").unwrap()), Some(0)),
            |event| (event.session, event.epoch) = (None, Some(3)),
        ],
    );
}

pub(crate) fn events_keep_their_order_where_the_clock_goes_back(site: &Site) {
    keeps(
        site,
        &[
            |event| event.at = at(100),
            |event| event.at = at(50),
            |event| event.at = at(50),
            |event| event.at = crate::model::Timestamp::from_micros(i64::MIN),
            |event| event.at = crate::model::Timestamp::from_micros(i64::MAX),
            |event| event.at = at(0),
        ],
    );
}

pub(crate) fn the_facts_of_an_event_are_kept_to_the_digit(site: &Site) {
    keeps(
        site,
        &[
            |event| event.data = json!(null),
            |event| event.data = json!([1.0, 1, 0.1, 1e300, -0.0, u64::MAX, i64::MIN, 0.300_000_000_000_000_04]),
            |event| event.data = json!({ "z": { "b": "\u{0}\u{1f}\u{7f}\"\\/", "a": [] }, "a": null, "": "" }),
            |event| event.data = json!("text"),
        ],
    );
}

pub(crate) fn an_event_of_a_later_form_is_kept(site: &Site) {
    keeps(site, &[|event| event.schema = 99, |event| event.schema = u32::MAX, |event| event.schema = 0]);
}

pub(crate) fn changes_that_nobody_here_knows_are_kept(site: &Site) {
    keeps(
        site,
        &[
            |event| event.changes = vec![],
            |event| {
                event.changes = vec![
                    Change { table: "of a later version".into(), key: vec![json!("x"), json!(1)], row: None },
                    Change {
                        table: "bead".into(),
                        key: vec![json!("gt-1")],
                        row: Some(BTreeMap::from([
                            ("unknown".to_owned(), json!("kept")),
                            ("\u{0}".to_owned(), json!(null)),
                            ("id".to_owned(), json!("gt-1")),
                        ])),
                    },
                    Change { table: String::new(), key: vec![], row: Some(BTreeMap::new()) },
                ];
            },
        ],
    );
}

pub(crate) fn an_event_may_have_a_thousand_changes(site: &Site) {
    let mut bench = Bench::new(site);
    let mut draw = Draw::new(91);
    let rows: Vec<Row> = (0..1_000).map(|_| Row::Bead(sample::bead(&mut draw))).collect();
    let written = entry(&Head::default(), |event| event.changes = rows.iter().map(Row::to_change).collect());
    bench.write(|txn| txn.append(std::slice::from_ref(&written)).unwrap());
    assert!(bench.read(|reader| reader.events(0, 10).unwrap()) == [written]);
}

pub(crate) fn thousands_of_events_of_one_append_are_read_by_pages(site: &Site) {
    let mut bench = Bench::new(site);
    let written = events(&Head::default(), 3_000, 92);
    bench.write(|txn| txn.append(&written).unwrap());
    let mut read = Vec::new();
    loop {
        let after = read.last().map_or(0, |event: &Event| event.seq);
        let page = bench.read(|reader| reader.events(after, 500).unwrap());
        if page.is_empty() {
            break;
        }
        assert_eq!(page.len(), 500);
        read.extend(page);
    }
    assert!(read == written);
    assert_eq!(bench.head(), written[2_999].head());
}

pub(crate) fn events_after_one_do_not_hold_it(site: &Site) {
    let mut bench = Bench::new(site);
    let written = events(&Head::default(), 5, 93);
    bench.write(|txn| txn.append(&written).unwrap());
    for after in 0..=5_usize {
        for limit in 1..=3 {
            let read = bench.read(|reader| reader.events(after as u64, limit).unwrap());
            assert_eq!(read, written[after..(after + limit).min(5)]);
        }
    }
}

pub(crate) fn the_head_is_the_last_event(site: &Site) {
    let mut bench = Bench::new(site);
    for count in [1, 3, 1, 10] {
        bench.write(|txn| append(txn, count));
        bench.read(|reader| {
            let last = reader.events(reader.head().unwrap().seq - 1, 10).unwrap();
            assert_eq!(last.len(), 1);
            assert_eq!(reader.head().unwrap(), last[0].head());
        });
    }
    assert_eq!(bench.head().seq, 15);
}

pub(crate) fn the_number_of_a_dropped_event_is_given_again(site: &Site) {
    let mut bench = Bench::new(site);
    bench.write(|txn| append(txn, 2));
    for _ in 0..3 {
        let mut txn = bench.writer.write(&town()).unwrap();
        append(&mut *txn, 4);
        assert_eq!(txn.head().unwrap().seq, 6);
        drop(txn);
        assert_eq!(bench.head().seq, 2);
    }
    bench.write(|txn| append(txn, 1));
    let events = bench.read(|reader| reader.events(0, 10).unwrap());
    assert_eq!(events.len(), 3);
    check_chain(&events);
}

pub(crate) fn an_event_that_was_written_by_another_is_not_written_again(site: &Site) {
    let mut bench = Bench::new(site);
    let (here, there) = (events(&Head::default(), 1, 94), events(&Head::default(), 1, 95));
    bench.write(|txn| txn.append(&here).unwrap());
    let mut other = Bench::new(site);
    // Made before the first was there: both want to be number 1.
    other.write(|txn| assert_eq!(code(txn.append(&there)), "event_order"));
    assert_eq!(bench.read(|reader| reader.events(0, 10).unwrap()), here);
}

/// Every reader sees a journal that ends where it says, has no gap, and only grows.
fn follow(reader: &dyn Reader, seen: &mut u64) {
    let head = reader.head().unwrap();
    assert!(head.seq >= *seen, "the journal went back from {seen} to {}", head.seq);
    let events = reader.events(*seen, 10_000).unwrap();
    assert_eq!(events.last().map_or(*seen, |event| event.seq), head.seq, "the head and the events are of one moment");
    for (event, seq) in events.iter().zip(*seen + 1..) {
        assert_eq!(event.seq, seq, "no gap");
    }
    *seen = head.seq;
}

pub(crate) fn appends_at_once_lose_nothing_and_leave_no_gap(site: &Site) {
    let mut bench = Bench::new(site);
    let total = 4 * 25 * 3;
    thread::scope(|scope| {
        for _ in 0..4 {
            let backend = site.backend();
            scope.spawn(move || {
                let mut connection = backend.connect(Access::Write).unwrap();
                for _ in 0..25 {
                    write_when_free(&mut *connection, |txn| append(txn, 3));
                }
            });
        }
        for _ in 0..2 {
            let backend = Arc::clone(&bench.backend);
            scope.spawn(move || {
                let (mut connection, mut seen) = (backend.connect(Access::Read).unwrap(), 0);
                while seen < total {
                    let before = seen;
                    follow(&*connection.read(&town()).unwrap(), &mut seen);
                    assert_eq!((seen - before) % 3, 0, "a transaction is seen whole");
                }
            });
        }
    });
    let read = bench.read(|reader| reader.events(0, 1_000).unwrap());
    assert_eq!(read.len() as u64, total);
    check_chain(&read);
}

pub(crate) fn commands_of_two_stores_at_once_make_one_journal(site: &Site) {
    let mut bench = Bench::new(site);
    wait(async {
        let stores = [super::kit::store(site.backend()).await, super::kit::store(site.backend()).await];
        let callers: Vec<_> = (0..8)
            .map(|number| {
                let store = stores[number % 2].clone();
                thread::spawn(move || {
                    wait(async {
                        let mut last = 0;
                        for _ in 0..15 {
                            let seq = store
                                .write(|txn| {
                                    append(txn, 1);
                                    Ok(txn.head()?.seq)
                                })
                                .await
                                .unwrap();
                            assert!(seq > last, "a later command has a later place");
                            last = seq;
                        }
                    });
                })
            })
            .collect();
        callers.into_iter().for_each(|caller| caller.join().unwrap());
        for store in stores {
            store.close().await.unwrap();
        }
    });
    let read = bench.read(|reader| reader.events(0, 1_000).unwrap());
    assert_eq!(read.len(), 120);
    check_chain(&read);
}
