//! Cases about returning to a savepoint, most of them against a plain map.

use std::collections::BTreeMap;

use super::Site;
use super::kit::{Bench, all, append, bead_of, code, events, issue, put_all, town};
use super::sample::{self, Draw};
use super::scans::check_all;
use crate::model::{BeadRow, Head, Key, LabelRow, Row, RowKind};
use crate::store::index::{BEADS, BEADS_BY_ASSIGNEE, BEADS_DIRTY, BEADS_READY, INDEXES, LABELS};
use crate::store::{Reader, Txn};

/// What the rows of a few kinds must be.
type Rows = BTreeMap<Key, Row>;

const KINDS: &[RowKind] = &[RowKind::Bead, RowKind::Label, RowKind::Dependency, RowKind::Delivery, RowKind::Setting];

/// One random change.
fn change(txn: &mut dyn Txn, rows: &mut Rows, draw: &mut Draw) {
    let kind = draw.of(KINDS);
    let row = sample::row(kind, &town(), draw);
    let key = row.key();
    match draw.below(4) {
        0 => {
            txn.delete(&key).unwrap();
            rows.remove(&key);
            return;
        }
        1 if rows.contains_key(&key) => txn.replace(&rows[&key], &row).unwrap(),
        2 => txn.put_values(kind, &row.to_values()).unwrap(),
        _ => txn.put(&row).unwrap(),
    }
    rows.insert(key, row);
}

fn check(reader: &dyn crate::store::Reader, rows: &Rows) {
    for kind in KINDS {
        let there: Vec<Row> = rows.values().filter(|row| row.kind() == *kind).cloned().collect();
        for index in INDEXES.iter().filter(|index| index.kind == *kind) {
            check_all(reader, &there, index);
        }
    }
}

/// Random changes with savepoints and returns among them; every index is compared after each return.
fn random(site: &Site, seed: u64) {
    let mut bench = Bench::new(site);
    let mut draw = Draw::new(seed);
    let mut committed = Rows::new();
    for _ in 0..4 {
        let mut txn = bench.writer.write(&town()).unwrap();
        let (mut rows, mut mark) = (committed.clone(), None);
        for _ in 0..60 {
            match draw.below(12) {
                0 => {
                    txn.savepoint().unwrap();
                    mark = Some((rows.clone(), txn.head().unwrap()));
                }
                1 if mark.is_some() => {
                    txn.rollback_to_savepoint().unwrap();
                    let (marked, head) = mark.clone().unwrap();
                    rows = marked;
                    assert_eq!(txn.head().unwrap(), head);
                }
                2 => append(&mut *txn, 1 + draw.below(3)),
                _ => change(&mut *txn, &mut rows, &mut draw),
            }
        }
        check(txn.as_reader(), &rows);
        if draw.below(4) == 0 {
            drop(txn);
        } else {
            txn.commit().unwrap();
            committed = rows;
        }
        bench.read(|reader| check(reader, &committed));
    }
}

pub(crate) fn random_changes_and_returns_are_as_in_a_plain_map(site: &Site) {
    random(site, 101);
}

pub(crate) fn other_random_changes_and_returns_are_as_in_a_plain_map(site: &Site) {
    random(site, 102);
}

pub(crate) fn a_savepoint_undoes_deletions(site: &Site) {
    let mut bench = Bench::new(site);
    let rows: Vec<Row> = ["gt-1", "gt-2", "gt-3"].map(|name| Row::Bead(BeadRow { dirty: true, ..issue(name) })).into();
    bench.write(|txn| put_all(txn, &rows));
    bench.write(|txn| {
        txn.delete(&rows[0].key()).unwrap();
        txn.savepoint().unwrap();
        txn.delete(&rows[1].key()).unwrap();
        txn.delete(&rows[2].key()).unwrap();
        txn.rollback_to_savepoint().unwrap();
    });
    bench.read(|reader| {
        assert_eq!(all(reader, &BEADS, &[]), rows[1..]);
        assert_eq!(all(reader, &BEADS_DIRTY, &[]), rows[1..]);
    });
}

pub(crate) fn a_savepoint_undoes_a_row_that_came_back(site: &Site) {
    let mut bench = Bench::new(site);
    let (old, new) = (Row::Bead(issue("gt-1")), Row::Bead(BeadRow { dirty: true, version: 9, ..issue("gt-1") }));
    bench.write(|txn| txn.put(&old).unwrap());
    bench.write(|txn| {
        txn.savepoint().unwrap();
        txn.delete(&old.key()).unwrap();
        txn.put(&new).unwrap();
        txn.delete(&new.key()).unwrap();
        txn.put(&new).unwrap();
        txn.rollback_to_savepoint().unwrap();
        assert_eq!(txn.get(&old.key()).unwrap().as_ref(), Some(&old));
    });
    bench.read(|reader| {
        assert_eq!(all(reader, &BEADS, &[]), [old]);
        assert_eq!(all(reader, &BEADS_DIRTY, &[]), []);
    });
}

pub(crate) fn a_savepoint_undoes_what_indexes_hold(site: &Site) {
    let mut bench = Bench::new(site);
    let held = |who: &str| Row::Bead(BeadRow { assignee: Some(who.into()), ..issue("gt-1") });
    bench.write(|txn| txn.put(&held("nux")).unwrap());
    bench.write(|txn| {
        txn.savepoint().unwrap();
        for who in ["toast", "max", "nux", "toast"] {
            txn.put(&held(who)).unwrap();
        }
        txn.rollback_to_savepoint().unwrap();
        for (who, count) in [("nux", 1), ("toast", 0), ("max", 0)] {
            assert_eq!(all(txn.as_reader(), &BEADS_BY_ASSIGNEE, &[super::kit::text(who)]).len(), count, "{who}");
        }
    });
    bench.read(|reader| assert_eq!(all(reader, &BEADS_READY, &super::kit::ready()), [held("nux")]));
}

pub(crate) fn a_hundred_savepoints_of_one_transaction_each_undo_their_own(site: &Site) {
    let mut bench = Bench::new(site);
    bench.write(|txn| {
        for number in 0..100 {
            txn.savepoint().unwrap();
            txn.put(&Row::Bead(issue(&format!("gt-{number:03}")))).unwrap();
            append(txn, 1);
            if number % 3 == 1 {
                txn.rollback_to_savepoint().unwrap();
            }
        }
    });
    let found = bench.read(|reader| super::kit::names(&all(reader, &BEADS, &[])));
    let wanted: Vec<_> = (0..100).filter(|number| number % 3 != 1).map(|number| format!("gt-{number:03}")).collect();
    assert_eq!(found, wanted);
    assert_eq!(bench.head().seq, wanted.len() as u64);
}

pub(crate) fn a_savepoint_at_the_beginning_undoes_everything(site: &Site) {
    let mut bench = Bench::new(site);
    bench.write(|txn| txn.put(&Row::Bead(issue("gt-1"))).unwrap());
    bench.write(|txn| {
        txn.savepoint().unwrap();
        txn.put(&Row::Bead(issue("gt-2"))).unwrap();
        append(txn, 2);
        txn.rollback_to_savepoint().unwrap();
    });
    assert_eq!(bench.read(|reader| super::kit::names(&all(reader, &BEADS, &[]))), ["gt-1"]);
    assert_eq!(bench.head(), Head::default());
}

pub(crate) fn returning_twice_is_returning_once(site: &Site) {
    let mut bench = Bench::new(site);
    bench.write(|txn| {
        txn.put(&Row::Bead(issue("gt-1"))).unwrap();
        append(txn, 1);
        txn.savepoint().unwrap();
        txn.put(&Row::Bead(issue("gt-2"))).unwrap();
        for _ in 0..3 {
            txn.rollback_to_savepoint().unwrap();
            assert_eq!(txn.head().unwrap().seq, 1);
        }
    });
    assert_eq!(bench.read(|reader| super::kit::names(&all(reader, &BEADS, &[]))), ["gt-1"]);
}

pub(crate) fn what_follows_a_return_is_committed(site: &Site) {
    let mut bench = Bench::new(site);
    bench.write(|txn| {
        txn.put(&Row::Bead(issue("gt-1"))).unwrap();
        txn.savepoint().unwrap();
        txn.put(&Row::Bead(issue("gt-2"))).unwrap();
        txn.rollback_to_savepoint().unwrap();
        txn.put(&Row::Bead(issue("gt-3"))).unwrap();
        txn.savepoint().unwrap();
        txn.put(&Row::Bead(issue("gt-4"))).unwrap();
        append(txn, 1);
    });
    assert_eq!(bench.read(|reader| super::kit::names(&all(reader, &BEADS, &[]))), ["gt-1", "gt-3", "gt-4"]);
    assert_eq!(bench.head().seq, 1);
}

pub(crate) fn what_was_read_after_a_return_and_dropped_is_not_there(site: &Site) {
    let mut bench = Bench::new(site);
    let titled = |title: &str| Row::Bead(BeadRow { title: title.into(), ..issue("gt-1") });
    let label = |label: &str| Row::Label(LabelRow { bead: super::kit::id("gt-1"), label: label.into() });
    let labels = |reader: &dyn Reader| all(reader, &LABELS, &[super::kit::text("gt-1")]);
    bench.write(|txn| put_all(txn, &[titled("committed"), label("a")]));
    for _ in 0..2 {
        let mut txn = bench.writer.write(&town()).unwrap();
        put_all(&mut *txn, &[titled("never committed"), label("b"), Row::Bead(issue("gt-2"))]);
        txn.savepoint().unwrap();
        txn.delete(&label("a").key()).unwrap();
        txn.rollback_to_savepoint().unwrap();
        assert_eq!(txn.get(&titled("").key()).unwrap(), Some(titled("never committed")));
        assert_eq!(txn.get(&Row::Bead(issue("gt-2")).key()).unwrap(), Some(Row::Bead(issue("gt-2"))));
        assert_eq!(labels(txn.as_reader()), [label("a"), label("b")]);
        drop(txn);
        // The connection that wrote it, and another.
        let check = |reader: &dyn Reader| {
            assert_eq!(reader.get(&titled("").key()).unwrap(), Some(titled("committed")));
            assert_eq!(reader.get(&Row::Bead(issue("gt-2")).key()).unwrap(), None);
            assert_eq!(labels(reader), [label("a")]);
        };
        check(bench.writer.write(&town()).unwrap().as_reader());
        bench.read(check);
    }
}

pub(crate) fn a_savepoint_undoes_a_thousand_rows(site: &Site) {
    let mut bench = Bench::new(site);
    let rows: Vec<Row> = (0..1_000).map(|number| Row::Bead(issue(&format!("gt-{number:04}")))).collect();
    bench.write(|txn| {
        put_all(txn, &rows[..500]);
        txn.savepoint().unwrap();
        put_all(txn, &rows[500..]);
        rows[..500].iter().for_each(|row| txn.delete(&row.key()).unwrap());
        txn.rollback_to_savepoint().unwrap();
    });
    assert!(bench.read(|reader| all(reader, &BEADS, &[])) == rows[..500]);
}

pub(crate) fn a_refused_call_leaves_the_transaction_as_it_was(site: &Site) {
    let mut bench = Bench::new(site);
    bench.write(|txn| {
        txn.put(&Row::Bead(issue("gt-1"))).unwrap();
        append(txn, 1);
        let gap = events(&Head { seq: 7, hash: "x".into() }, 1, 1);
        assert_eq!(code(txn.append(&gap)), "event_order");
        assert_eq!(code(txn.truncate_events(9)), "event_order");
        assert_eq!(code(txn.put_values(RowKind::Bead, &[])), "values_malformed");
        assert_eq!(code(txn.rollback_to_savepoint()), "savepoint_missing");
        txn.put(&Row::Bead(issue("gt-2"))).unwrap();
        append(txn, 1);
    });
    assert_eq!(bench.head().seq, 2);
    assert_eq!(bench.read(|reader| bead_of(reader, "gt-1")), issue("gt-1"));
    assert_eq!(bench.read(|reader| bead_of(reader, "gt-2")), issue("gt-2"));
}
