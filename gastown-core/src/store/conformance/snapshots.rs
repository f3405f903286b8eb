//! Cases about what a reader sees while others write.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::Site;
use super::kit::{Bench, all, append, bead_of, issue, names, put_all, text, town, write_when_free};
use crate::model::{BeadRow, BeadStatus, Key, Row};
use crate::store::index::{BEADS, BEADS_BY_STATUS, BEADS_READY};
use crate::store::{Access, Backend, Reader, Scan};

/// Reads again and again, each time from a snapshot of its own, until the writers are done; at least once after.
fn while_others_write(backend: &Arc<dyn Backend>, done: &AtomicBool, look: impl Fn(&dyn Reader)) {
    let mut connection = backend.connect(Access::Read).unwrap();
    loop {
        let is_last = done.load(Ordering::SeqCst);
        look(&*connection.read(&town()).unwrap());
        if is_last {
            return;
        }
    }
}

pub(crate) fn what_is_not_committed_is_seen_by_nobody(site: &Site) {
    let mut bench = Bench::new(site);
    bench.write(|txn| txn.put(&Row::Bead(issue("gt-1"))).unwrap());
    let mut others = [site.backend().connect(Access::Read).unwrap(), bench.backend.connect(Access::Read).unwrap()];
    let mut txn = bench.writer.write(&town()).unwrap();
    txn.put(&Row::Bead(BeadRow { version: 2, ..issue("gt-1") })).unwrap();
    txn.put(&Row::Bead(issue("gt-2"))).unwrap();
    append(&mut *txn, 1);
    for other in &mut others {
        let reader = other.read(&town()).unwrap();
        assert_eq!(bead_of(&*reader, "gt-1").version, 1);
        assert_eq!(names(&all(&*reader, &BEADS, &[])), ["gt-1"]);
        assert_eq!((reader.head().unwrap().seq, reader.events(0, 10).unwrap().len()), (0, 0));
    }
    txn.savepoint().unwrap();
    txn.rollback_to_savepoint().unwrap();
    for other in &mut others {
        assert_eq!(names(&all(&*other.read(&town()).unwrap(), &BEADS, &[])), ["gt-1"]);
    }
    txn.commit().unwrap();
    for other in &mut others {
        assert_eq!(bead_of(&*other.read(&town()).unwrap(), "gt-1").version, 2);
    }
}

pub(crate) fn what_was_read_is_read_again(site: &Site) {
    let mut bench = Bench::new(site);
    let beads = ["gt-1", "gt-2", "gt-3"].map(|name| Row::Bead(issue(name)));
    bench.write(|txn| put_all(txn, &beads));
    let mut writer = site.backend().connect(Access::Write).unwrap();
    let snapshot = bench.reader.read(&town()).unwrap();
    let look = || {
        let row = snapshot.get(&beads[0].key()).unwrap();
        let ready = all(&*snapshot, &BEADS_READY, &super::kit::ready());
        (row, ready, snapshot.head().unwrap(), snapshot.count(&Scan::new(&BEADS, vec![], 1)).unwrap())
    };
    let before = look();
    assert_eq!((before.0.as_ref(), before.1.len()), (Some(&beads[0]), 3));
    for version in 2..6 {
        write_when_free(&mut *writer, |txn| {
            let status = if version % 2 == 0 { BeadStatus::Closed } else { BeadStatus::Open };
            txn.put(&Row::Bead(BeadRow { status, version, ..issue("gt-1") })).unwrap();
            txn.delete(&beads[1].key()).unwrap();
            append(txn, 1);
        });
        assert_eq!(look(), before);
    }
}

pub(crate) fn a_row_that_came_meanwhile_is_in_no_scan(site: &Site) {
    let mut bench = Bench::new(site);
    bench.write(|txn| put_all(txn, &["gt-1", "gt-3"].map(|name| Row::Bead(issue(name)))));
    let mut writer = site.backend().connect(Access::Write).unwrap();
    let snapshot = bench.reader.read(&town()).unwrap();
    for (number, name) in ["gt-0", "gt-2", "gt-4"].into_iter().enumerate() {
        write_when_free(&mut *writer, |txn| txn.put(&Row::Bead(issue(name))).unwrap());
        // Scans that were never made before, as well as those that were.
        for (index, prefix) in [
            (&BEADS, vec![]),
            (&BEADS_READY, super::kit::ready()),
            (&BEADS_BY_STATUS, vec![text("issue"), text("open")]),
        ] {
            assert_eq!(names(&all(&*snapshot, index, &prefix)), ["gt-1", "gt-3"], "{number}");
            assert_eq!(snapshot.count(&Scan::new(index, prefix, 1)).unwrap(), 2);
        }
        assert_eq!(snapshot.get(&Row::Bead(issue(name)).key()).unwrap(), None);
    }
    drop(snapshot);
    assert_eq!(bench.read(|reader| all(reader, &BEADS, &[]).len()), 5);
}

pub(crate) fn a_long_reader_keeps_its_moment_while_a_thousand_commits_pass(site: &Site) {
    let mut bench = Bench::new(site);
    let beads: Vec<Row> = (0..50).map(|number| Row::Bead(issue(&format!("gt-{number:02}")))).collect();
    bench.write(|txn| {
        put_all(txn, &beads);
        append(txn, 1);
    });
    let snapshot = bench.reader.read(&town()).unwrap();
    for number in 0..1_000_i64 {
        let mut txn = bench.writer.write(&town()).unwrap();
        let name = format!("gt-{:02}", number % 60);
        if number % 7 == 0 {
            txn.delete(&Key::bead(&super::kit::id(&name))).unwrap();
        } else {
            txn.put(&Row::Bead(BeadRow { version: number, dirty: number % 2 == 0, ..issue(&name) })).unwrap();
        }
        append(&mut *txn, 1);
        txn.commit().unwrap();
        if number % 100 == 99 {
            assert!(all(&*snapshot, &BEADS, &[]) == beads, "after {number} commits");
            assert_eq!((snapshot.head().unwrap().seq, snapshot.events(1, 10).unwrap().len()), (1, 0));
        }
    }
    assert!(all(&*snapshot, &BEADS, &[]) == beads);
    drop(snapshot);
    assert_eq!(bench.head().seq, 1_001);
}

pub(crate) fn two_snapshots_are_of_two_moments(site: &Site) {
    let mut bench = Bench::new(site);
    let mut readers: Vec<_> = (0..5).map(|_| site.backend().connect(Access::Read).unwrap()).collect();
    let mut snapshots = Vec::new();
    for (version, reader) in (1..).zip(&mut readers) {
        bench.write(|txn| {
            txn.put(&Row::Bead(BeadRow { version, ..issue("gt-1") })).unwrap();
            append(txn, 1);
        });
        snapshots.push(reader.read(&town()).unwrap());
    }
    for (version, snapshot) in (1..).zip(&snapshots) {
        assert_eq!(bead_of(&**snapshot, "gt-1").version, version);
        assert_eq!(i64::try_from(snapshot.head().unwrap().seq).unwrap(), version);
    }
}

pub(crate) fn readers_see_whole_transactions(site: &Site) {
    let bench = Bench::new(site);
    let (backend, done) = (Arc::clone(&bench.backend), AtomicBool::new(false));
    let names: Vec<String> = (0..8).map(|number| format!("gt-{number}")).collect();
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while_others_write(&backend, &done, |reader| {
                    let beads = all(reader, &BEADS, &[]);
                    let versions: Vec<_> =
                        beads.iter().map(|row| if let Row::Bead(bead) = row { bead.version } else { 0 }).collect();
                    assert!(versions.is_empty() || versions.len() == 8, "{versions:?}");
                    assert!(versions.iter().all(|version| *version == versions[0]), "{versions:?}");
                    let seq = reader.head().unwrap().seq;
                    assert_eq!(versions.first().copied().unwrap_or(0), i64::try_from(seq).unwrap());
                });
            });
        }
        let mut writer = site.backend().connect(Access::Write).unwrap();
        for version in 1..=60 {
            write_when_free(&mut *writer, |txn| {
                for name in &names {
                    txn.put(&Row::Bead(BeadRow { version, ..issue(name) })).unwrap();
                }
                append(txn, 1);
            });
        }
        done.store(true, Ordering::SeqCst);
    });
}

pub(crate) fn what_moves_between_two_rows_is_never_lost_nor_doubled(site: &Site) {
    let mut bench = Bench::new(site);
    let beads: Vec<Row> =
        (0..6).map(|number| Row::Bead(BeadRow { version: 10, ..issue(&format!("gt-{number}")) })).collect();
    bench.write(|txn| put_all(txn, &beads));
    let (backend, done) = (Arc::clone(&bench.backend), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            while_others_write(&backend, &done, |reader| {
                let sum: i64 = (0..6).map(|number| bead_of(reader, &format!("gt-{number}")).version).sum();
                assert_eq!(sum, 60);
            });
        });
        let movers: Vec<_> = (0..3_usize)
            .map(|mover| {
                let backend = site.backend();
                scope.spawn(move || {
                    let mut connection = backend.connect(Access::Write).unwrap();
                    for step in 0..25 {
                        write_when_free(&mut *connection, |txn| {
                            let (from, to) = ((mover + step) % 6, (mover * 2 + step + 1) % 6);
                            for (number, amount) in [(from, -1), (to, 1)] {
                                let mut bead = bead_of(txn.as_reader(), &format!("gt-{number}"));
                                bead.version += amount;
                                txn.put(&Row::Bead(bead)).unwrap();
                            }
                        });
                    }
                })
            })
            .collect();
        movers.into_iter().for_each(|mover| mover.join().unwrap());
        done.store(true, Ordering::SeqCst);
    });
}

pub(crate) fn indexes_and_rows_are_of_one_moment(site: &Site) {
    let bench = Bench::new(site);
    let (backend, done) = (Arc::clone(&bench.backend), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            while_others_write(&backend, &done, |reader| {
                let open = all(reader, &BEADS_BY_STATUS, &[text("issue"), text("open")]);
                let closed = all(reader, &BEADS_BY_STATUS, &[text("issue"), text("closed")]);
                let count = reader.count(&Scan::new(&BEADS, vec![], 1)).unwrap();
                assert_eq!((open.len() + closed.len()) as u64, count, "no bead is in both or in neither");
                for row in open {
                    assert_eq!(reader.get(&row.key()).unwrap(), Some(row));
                }
            });
        });
        let mut writer = site.backend().connect(Access::Write).unwrap();
        for number in 0..80_u32 {
            write_when_free(&mut *writer, |txn| {
                let status = if number % 2 == 0 { BeadStatus::Open } else { BeadStatus::Closed };
                txn.put(&Row::Bead(BeadRow { status, ..issue(&format!("gt-{}", number / 2)) })).unwrap();
            });
        }
        done.store(true, Ordering::SeqCst);
    });
    let mut reader = backend.connect(Access::Read).unwrap();
    assert_eq!(all(&*reader.read(&town()).unwrap(), &BEADS, &[]).len(), 40, "there were beads to be seen");
}

pub(crate) fn a_transaction_begins_at_the_last_commit(site: &Site) {
    let mut bench = Bench::new(site);
    let mut other = Bench::new(site);
    for version in 1..20 {
        let (writer, reader) = if version % 2 == 0 { (&mut bench, &mut other) } else { (&mut other, &mut bench) };
        writer.write(|txn| {
            let found = txn.get(&Row::Bead(issue("gt-1")).key()).unwrap();
            assert_eq!(found.is_some(), version > 1);
            txn.put(&Row::Bead(BeadRow { version, ..issue("gt-1") })).unwrap();
        });
        assert_eq!(reader.read(|reader| bead_of(reader, "gt-1")).version, version);
        reader.write(|txn| assert_eq!(bead_of(txn.as_reader(), "gt-1").version, version));
    }
}

pub(crate) fn a_snapshot_of_one_town_does_not_hold_another(site: &Site) {
    let mut bench = Bench::new(site);
    let other = super::kit::other_town();
    let mut writer = site.backend().connect(Access::Write).unwrap();
    let snapshot = bench.reader.read(&town()).unwrap();
    let mut txn = writer.write(&other).unwrap();
    txn.put(&Row::Bead(issue("gt-1"))).unwrap();
    txn.commit().unwrap();
    assert_eq!(all(&*snapshot, &BEADS, &[]), []);
    drop(snapshot);
    assert_eq!(bench.read_in(&other, |reader| all(reader, &BEADS, &[]).len()), 1);
}
