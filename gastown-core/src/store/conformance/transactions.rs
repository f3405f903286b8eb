//! Cases about transactions, snapshots and connections.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::Site;
use super::kit::{Bench, bead, code, events, other_town, town};
use super::sample::{self, Draw};
use crate::model::{ErrorKind, Head, Row, RowKind};
use crate::store::index::{BEADS, INDEXES};
use crate::store::{Access, Scan};

/// Two beads of different ids.
fn two() -> (Row, Row) {
    let mut draw = Draw::new(21);
    let mut first = sample::bead(&mut draw);
    let mut second = sample::bead(&mut draw);
    first.id = crate::model::BeadId::new("gt-first").unwrap();
    second.id = crate::model::BeadId::new("gt-second").unwrap();
    (Row::Bead(first), Row::Bead(second))
}

pub(crate) fn a_dropped_transaction_leaves_nothing(site: &Site) {
    let mut bench = Bench::new(site);
    let (first, second) = two();
    let journal = events(&Head::default(), 2, 22);
    bench.write(|txn| txn.put(&first).unwrap());
    {
        let mut txn = bench.writer.write(&town()).unwrap();
        txn.put(&second).unwrap();
        txn.delete(&first.key()).unwrap();
        txn.append(&journal).unwrap();
    }
    assert_eq!(bench.get(&first.key()), Some(first));
    assert_eq!(bench.get(&second.key()), None);
    assert_eq!(bench.head(), Head::default());
    bench.write(|txn| assert_eq!(txn.scan(&Scan::new(&BEADS, vec![], 10)).unwrap().len(), 1));
}

pub(crate) fn a_transaction_dropped_behind_a_savepoint_leaves_nothing(site: &Site) {
    let mut bench = Bench::new(site);
    let (first, second) = two();
    {
        let mut txn = bench.writer.write(&town()).unwrap();
        txn.put(&first).unwrap();
        txn.savepoint().unwrap();
        txn.put(&second).unwrap();
    }
    assert_eq!((bench.get(&first.key()), bench.get(&second.key())), (None, None));
    bench.write(|txn| txn.put(&first).unwrap());
    assert!(bench.get(&first.key()).is_some());
}

pub(crate) fn a_transaction_sees_its_own_rows(site: &Site) {
    let mut bench = Bench::new(site);
    let (first, second) = two();
    bench.write(|txn| {
        txn.put(&first).unwrap();
        assert_eq!(txn.get(&first.key()).unwrap().as_ref(), Some(&first));
        assert_eq!(txn.as_reader().get(&first.key()).unwrap().as_ref(), Some(&first));
        txn.put(&second).unwrap();
        assert_eq!(txn.count(&Scan::new(&BEADS, vec![], 1)).unwrap(), 2);
    });
}

/// Two rows of this kind with one key.
fn before_and_after(kind: RowKind) -> (Row, Row) {
    let mut draw = Draw::new(24);
    let before = sample::row(kind, &town(), &mut draw);
    let after = (0..10_000)
        .map(|_| sample::row(kind, &town(), &mut draw).to_values())
        .find_map(|mut values| {
            let key = kind.key_len();
            values[..key].clone_from_slice(&before.to_values()[..key]);
            kind.decode(&values).ok().filter(|row| *row != before || values.len() == key)
        })
        .expect("rows differ");
    (before, after)
}

pub(crate) fn a_replaced_row_is_as_one_that_was_put(site: &Site) {
    let mut bench = Bench::new(site);
    for &kind in RowKind::ALL {
        let (before, after) = before_and_after(kind);
        bench.write(|txn| txn.put(&before).unwrap());
        bench.write(|txn| {
            txn.replace(&before, &after).unwrap();
            assert_eq!(txn.get(&after.key()).unwrap().as_ref(), Some(&after));
            // What is equal already stays.
            txn.replace(&after, &after).unwrap();
        });
        assert_eq!(bench.get(&after.key()), Some(after.clone()), "{}", kind.table());
        for index in INDEXES.iter().filter(|index| index.kind == kind) {
            for row in [&before, &after] {
                let values = row.to_values();
                let prefix = index.prefix.iter().map(|name| values[index.place(name)].clone()).collect();
                let found = bench.read(|reader| reader.scan(&Scan::new(index, prefix, 10)).unwrap());
                let wanted = index.entry(&after.to_values()).filter(|entry| {
                    index.entry(&values).is_some_and(|other| entry[..index.prefix.len()] == other[..index.prefix.len()])
                });
                if index.entry(&values).is_some() {
                    assert_eq!(found.len(), usize::from(wanted.is_some()), "{}", index.name);
                }
            }
        }
        bench.write(|txn| txn.delete(&after.key()).unwrap());
    }
}

pub(crate) fn replacing_a_row_that_is_not_there_puts_it(site: &Site) {
    let mut bench = Bench::new(site);
    for &kind in RowKind::ALL {
        let (before, after) = before_and_after(kind);
        bench.write(|txn| txn.replace(&before, &after).unwrap());
        if before != after {
            assert_eq!(bench.get(&after.key()), Some(after), "{}", kind.table());
        }
    }
}

pub(crate) fn replacing_an_absent_row_by_an_equal_one_puts_it(site: &Site) {
    let mut bench = Bench::new(site);
    for &kind in RowKind::ALL {
        let (row, _) = before_and_after(kind);
        bench.write(|txn| txn.replace(&row, &row).unwrap());
        assert_eq!(bench.get(&row.key()).as_ref(), Some(&row), "{}", kind.table());
        bench.write(|txn| {
            txn.delete(&row.key()).unwrap();
            txn.replace(&row, &row).unwrap();
        });
        assert_eq!(bench.get(&row.key()), Some(row), "{}", kind.table());
    }
}

pub(crate) fn a_savepoint_undoes_a_replacement(site: &Site) {
    let mut bench = Bench::new(site);
    let (before, after) = before_and_after(RowKind::Bead);
    bench.write(|txn| {
        txn.put(&before).unwrap();
        txn.savepoint().unwrap();
        txn.replace(&before, &after).unwrap();
        txn.rollback_to_savepoint().unwrap();
        assert_eq!(txn.get(&before.key()).unwrap().as_ref(), Some(&before));
    });
    assert_eq!(bench.get(&before.key()), Some(before));
}

pub(crate) fn a_savepoint_undoes_rows(site: &Site) {
    let mut bench = Bench::new(site);
    let (first, second) = two();
    let Row::Bead(changed) = first.clone() else { unreachable!("it is a bead") };
    let changed = Row::Bead(crate::model::BeadRow { title: "changed".into(), dirty: !changed.dirty, ..changed });
    bench.write(|txn| {
        txn.put(&first).unwrap();
        txn.savepoint().unwrap();
        txn.put(&changed).unwrap();
        txn.put(&second).unwrap();
        txn.delete(&first.key()).unwrap();
        txn.rollback_to_savepoint().unwrap();
        assert_eq!(txn.get(&first.key()).unwrap().as_ref(), Some(&first));
        assert_eq!(txn.get(&second.key()).unwrap(), None);
    });
    assert_eq!(bench.get(&first.key()), Some(first.clone()));
    assert_eq!(bench.read(|reader| reader.scan(&Scan::new(&BEADS, vec![], 10)).unwrap()), [first]);
}

pub(crate) fn a_savepoint_undoes_events(site: &Site) {
    let mut bench = Bench::new(site);
    let journal = events(&Head::default(), 3, 23);
    let other = events(&journal[0].head(), 2, 24);
    bench.write(|txn| {
        txn.append(&journal[..1]).unwrap();
        txn.savepoint().unwrap();
        txn.append(&journal[1..]).unwrap();
        txn.rollback_to_savepoint().unwrap();
        assert_eq!(txn.head().unwrap(), journal[0].head());
        txn.append(&other).unwrap();
    });
    let read = bench.read(|reader| reader.events(0, 10).unwrap());
    assert_eq!(read, [&journal[..1], &other[..]].concat());
}

pub(crate) fn a_savepoint_can_be_returned_to_again(site: &Site) {
    let mut bench = Bench::new(site);
    let (first, second) = two();
    bench.write(|txn| {
        txn.savepoint().unwrap();
        for row in [&first, &second] {
            txn.put(row).unwrap();
            txn.rollback_to_savepoint().unwrap();
            assert_eq!(txn.get(&row.key()).unwrap(), None);
        }
        txn.put(&second).unwrap();
    });
    assert_eq!((bench.get(&first.key()), bench.get(&second.key())), (None, Some(second)));
}

pub(crate) fn a_later_savepoint_replaces_the_earlier(site: &Site) {
    let mut bench = Bench::new(site);
    let (first, second) = two();
    bench.write(|txn| {
        txn.savepoint().unwrap();
        txn.put(&first).unwrap();
        txn.savepoint().unwrap();
        txn.put(&second).unwrap();
        txn.rollback_to_savepoint().unwrap();
    });
    assert_eq!((bench.get(&first.key()), bench.get(&second.key())), (Some(first), None));
}

pub(crate) fn returning_without_a_savepoint_is_refused(site: &Site) {
    let mut bench = Bench::new(site);
    let (first, _) = two();
    bench.write(|txn| {
        txn.put(&first).unwrap();
        let error = txn.rollback_to_savepoint().unwrap_err();
        assert_eq!((error.code(), error.kind()), ("savepoint_missing", ErrorKind::Internal));
    });
    assert!(bench.get(&first.key()).is_some());
}

pub(crate) fn a_savepoint_does_not_outlive_its_transaction(site: &Site) {
    let mut bench = Bench::new(site);
    bench.write(|txn| {
        txn.savepoint().unwrap();
        txn.put(&bead(1)).unwrap();
    });
    bench.write(|txn| assert_eq!(code(txn.rollback_to_savepoint()), "savepoint_missing"));
    assert_eq!(bench.get(&bead(1).key()), Some(bead(1)), "nothing was returned to");
}

pub(crate) fn a_snapshot_does_not_change(site: &Site) {
    let mut bench = Bench::new(site);
    let (first, second) = two();
    bench.write(|txn| txn.put(&first).unwrap());
    let mut writer = bench.backend.connect(Access::Write).unwrap();
    {
        let snapshot = bench.reader.read(&town()).unwrap();
        for _ in 0..3 {
            let mut txn = writer.write(&town()).unwrap();
            txn.delete(&first.key()).unwrap();
            txn.put(&second).unwrap();
            let journal = events(&txn.head().unwrap(), 1, 25);
            txn.append(&journal).unwrap();
            txn.commit().unwrap();
            assert_eq!(snapshot.get(&first.key()).unwrap().as_ref(), Some(&first));
            assert_eq!(snapshot.scan(&Scan::new(&BEADS, vec![], 10)).unwrap(), std::slice::from_ref(&first));
            assert_eq!(snapshot.head().unwrap(), Head::default());
            assert_eq!(snapshot.events(0, 10).unwrap(), []);
        }
    }
    assert_eq!((bench.get(&first.key()), bench.get(&second.key())), (None, Some(second)));
    assert_eq!(bench.head().seq, 3);
}

pub(crate) fn a_snapshot_is_of_the_moment_it_began(site: &Site) {
    let mut bench = Bench::new(site);
    let (first, _) = two();
    let mut writer = bench.backend.connect(Access::Write).unwrap();
    let snapshot = bench.reader.read(&town()).unwrap();
    let mut txn = writer.write(&town()).unwrap();
    txn.put(&first).unwrap();
    txn.commit().unwrap();
    assert_eq!(snapshot.get(&first.key()).unwrap(), None, "its first read comes later, but it began before");
    drop(snapshot);
    assert_eq!(bench.get(&first.key()), Some(first), "one that begins now sees it");
}

pub(crate) fn a_reader_does_not_wait_for_the_writer(site: &Site) {
    let mut bench = Bench::new(site);
    let (first, second) = two();
    bench.write(|txn| txn.put(&first).unwrap());
    let mut txn = bench.writer.write(&town()).unwrap();
    txn.put(&second).unwrap();
    let snapshot = bench.reader.read(&town()).unwrap();
    assert_eq!(snapshot.scan(&Scan::new(&BEADS, vec![], 10)).unwrap(), [first]);
    drop(snapshot);
    txn.commit().unwrap();
}

pub(crate) fn what_was_committed_is_there_for_every_connection(site: &Site) {
    let mut bench = Bench::new(site);
    let (first, second) = two();
    bench.write(|txn| txn.put(&first).unwrap());
    let mut other = bench.backend.connect(Access::Write).unwrap();
    {
        let mut txn = other.write(&town()).unwrap();
        assert_eq!(txn.get(&first.key()).unwrap().as_ref(), Some(&first));
        txn.put(&second).unwrap();
        txn.append(&events(&Head::default(), 1, 26)).unwrap();
        txn.commit().unwrap();
    }
    bench.write(|txn| {
        assert_eq!(txn.get(&second.key()).unwrap().as_ref(), Some(&second));
        assert_eq!(txn.head().unwrap().seq, 1);
    });
    assert_eq!(bench.get(&second.key()), Some(second));
}

pub(crate) fn what_was_committed_outlives_every_connection(site: &Site) {
    let mut bench = Bench::new(site);
    let (first, second) = two();
    let journal = events(&Head::default(), 5, 27);
    bench.write(|txn| {
        txn.put(&first).unwrap();
        txn.append(&journal).unwrap();
    });
    drop(bench);
    let mut bench = Bench::new(site);
    assert_eq!(bench.get(&first.key()), Some(first));
    assert_eq!(bench.read(|reader| reader.events(0, 10).unwrap()), journal);
    bench.write(|txn| txn.put(&second).unwrap());
    assert_eq!(bench.get(&second.key()), Some(second));
}

pub(crate) fn a_reader_may_be_the_first_to_connect(site: &Site) {
    let backend = site.backend();
    let mut reader = backend.connect(Access::Read).unwrap();
    assert_eq!(reader.read(&town()).unwrap().head().unwrap(), Head::default());
    let mut writer = backend.connect(Access::Write).unwrap();
    let (first, _) = two();
    let mut txn = writer.write(&town()).unwrap();
    txn.put(&first).unwrap();
    txn.commit().unwrap();
    assert_eq!(reader.read(&town()).unwrap().get(&first.key()).unwrap(), Some(first));
}

pub(crate) fn a_readers_connection_does_not_write(site: &Site) {
    let mut bench = Bench::new(site);
    assert_eq!(code(bench.reader.write(&town()).map(drop)), "store_access");
}

pub(crate) fn a_second_writer_waits_for_the_first(site: &Site) {
    let backend = site.backend();
    let mut bench = Bench::new(site);
    let (first, second) = two();
    let committed = AtomicBool::new(false);
    let mut txn = bench.writer.write(&town()).unwrap();
    txn.put(&first).unwrap();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let mut other = backend.connect(Access::Write).unwrap();
            loop {
                match other.write(&town()) {
                    Ok(mut txn) => {
                        assert!(committed.load(Ordering::SeqCst), "two transactions wrote at once");
                        assert_eq!(txn.get(&first.key()).unwrap().as_ref(), Some(&first));
                        txn.put(&second).unwrap();
                        return txn.commit().unwrap();
                    }
                    Err(error) => assert_eq!((error.code(), error.kind()), ("store_busy", ErrorKind::Unavailable)),
                }
            }
        });
        committed.store(true, Ordering::SeqCst);
        txn.commit().unwrap();
        waiting.join().unwrap();
    });
    assert!(bench.get(&second.key()).is_some());
}

pub(crate) fn writers_at_once_lose_no_update(site: &Site) {
    let backend = site.backend();
    let mut bench = Bench::new(site);
    let (row, _) = two();
    let Row::Bead(mut start) = row else { unreachable!("it is a bead") };
    start.version = 0;
    bench.write(|txn| txn.put(&Row::Bead(start.clone())).unwrap());
    let key = Row::Bead(start).key();
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut connection = backend.connect(Access::Write).unwrap();
                for _ in 0..20 {
                    let mut txn = loop {
                        match connection.write(&town()) {
                            Ok(txn) => break txn,
                            Err(error) => assert_eq!(error.code(), "store_busy"),
                        }
                    };
                    let Some(Row::Bead(mut bead)) = txn.get(&key).unwrap() else { panic!("the bead is there") };
                    bead.version += 1;
                    txn.put(&Row::Bead(bead)).unwrap();
                    let head = txn.head().unwrap();
                    txn.append(&events(&head, 1, 28)).unwrap();
                    txn.commit().unwrap();
                }
            });
        }
    });
    let Some(Row::Bead(bead)) = bench.get(&key) else { panic!("the bead is there") };
    assert_eq!((bead.version, bench.head().seq), (60, 60));
}

pub(crate) fn a_connection_serves_many_towns_in_turn(site: &Site) {
    let mut bench = Bench::new(site);
    let (first, second) = two();
    for _ in 0..3 {
        bench.write(|txn| txn.put(&first).unwrap());
        bench.write_in(&other_town(), |txn| txn.put(&second).unwrap());
    }
    assert_eq!((bench.get(&first.key()).is_some(), bench.get(&second.key()).is_some()), (true, false));
    assert!(bench.read_in(&other_town(), |reader| reader.get(&second.key()).unwrap()).is_some());
}

pub(crate) fn an_empty_transaction_may_be_committed(site: &Site) {
    let mut bench = Bench::new(site);
    bench.write(|_| ());
    bench.write(|txn| txn.delete(&bead(1).key()).unwrap());
    assert_eq!(bench.head(), Head::default());
    bench.write(|txn| txn.put(&bead(1)).unwrap());
    bench.write(|_| ());
    assert_eq!(bench.get(&bead(1).key()), Some(bead(1)));
}
