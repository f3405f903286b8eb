//! Cases about several instances of a backend on one database, in this process and in others.

use std::thread;

use super::Site;
use super::kit::{Bench, all, append, bead_of, issue, names, town, write_when_free};
use crate::model::{BeadRow, ErrorKind, Row};
use crate::store::Access;
use crate::store::index::BEADS;

fn sum(bench: &mut Bench) -> (i64, u64) {
    (bench.read(|reader| bead_of(reader, "gt-sum")).version, bench.head().seq)
}

fn begin_sum(site: &Site) -> Bench {
    let mut bench = Bench::new(site);
    bench.write(|txn| txn.put(&Row::Bead(BeadRow { version: 0, ..issue("gt-sum") })).unwrap());
    bench
}

pub(crate) fn instances_see_what_each_other_commits(site: &Site) {
    let mut benches = [Bench::new(site), Bench::new(site), Bench::new(site)];
    for number in 0..12_usize {
        benches[number % 3].write(|txn| {
            txn.put(&Row::Bead(issue(&format!("gt-{number:02}")))).unwrap();
            append(txn, 1);
        });
        for bench in &mut benches {
            assert_eq!(bench.read(|reader| all(reader, &BEADS, &[]).len()), number + 1);
            assert_eq!(bench.head().seq, number as u64 + 1);
        }
    }
}

pub(crate) fn instances_at_once_lose_no_update(site: &Site) {
    let mut bench = begin_sum(site);
    thread::scope(|scope| {
        for _ in 0..4 {
            let backend = site.backend();
            scope.spawn(move || {
                let mut connection = backend.connect(Access::Write).unwrap();
                for _ in 0..20 {
                    write_when_free(&mut *connection, |txn| {
                        let mut bead = bead_of(txn.as_reader(), "gt-sum");
                        bead.version += 1;
                        txn.put(&Row::Bead(bead)).unwrap();
                        append(txn, 1);
                    });
                }
            });
        }
    });
    assert_eq!(sum(&mut bench), (80, 80));
}

pub(crate) fn instances_may_be_made_at_once(site: &Site) {
    // Whoever comes first makes the schema; the others wait for it or find it.
    thread::scope(|scope| {
        let opening: Vec<_> = (0..6)
            .map(|number| {
                let backend = site.backend();
                scope.spawn(move || {
                    let access = if number % 2 == 0 { Access::Write } else { Access::Read };
                    let mut connection = backend.connect(access).unwrap();
                    assert_eq!(connection.read(&town()).unwrap().head().unwrap().seq, 0);
                })
            })
            .collect();
        opening.into_iter().for_each(|opened| opened.join().unwrap());
    });
    let mut bench = Bench::new(site);
    bench.write(|txn| append(txn, 1));
    assert_eq!(bench.head().seq, 1);
    assert_eq!(bench.read(|reader| reader.events(0, 10).unwrap()).len(), 1);
}

pub(crate) fn an_instance_that_goes_takes_nothing_with_it(site: &Site) {
    let mut stays = Bench::new(site);
    let mut goes = Bench::new(site);
    goes.write(|txn| txn.put(&Row::Bead(issue("gt-1"))).unwrap());
    drop(goes);
    assert_eq!(stays.read(|reader| names(&all(reader, &BEADS, &[]))), ["gt-1"]);
    stays.write(|txn| txn.put(&Row::Bead(issue("gt-2"))).unwrap());
    drop(stays);
    let mut comes = Bench::new(site);
    assert_eq!(comes.read(|reader| names(&all(reader, &BEADS, &[]))), ["gt-1", "gt-2"]);
}

pub(crate) fn a_busy_town_is_refused_after_a_while(site: &Site) {
    let mut bench = Bench::new(site);
    let mut txn = bench.writer.write(&town()).unwrap();
    txn.put(&Row::Bead(issue("gt-1"))).unwrap();
    let mut other = site.backend().connect(Access::Write).unwrap();
    let error = other.write(&town()).map(drop).unwrap_err();
    assert_eq!((error.code(), error.kind()), ("store_busy", ErrorKind::Unavailable));
    // It may read meanwhile, and write when the town is free.
    assert_eq!(all(&*other.read(&town()).unwrap(), &BEADS, &[]), []);
    txn.commit().unwrap();
    write_when_free(&mut *other, |txn| assert_eq!(bead_of(txn.as_reader(), "gt-1"), issue("gt-1")));
}

pub(crate) fn a_process_sees_what_another_committed(site: &Site) {
    let mut bench = Bench::new(site);
    let mut other = site.other("write");
    for number in 0..4 {
        let (here, there) = (format!("gt-here-{number}"), format!("gt-there-{number}"));
        bench.write(|txn| {
            txn.put(&Row::Bead(issue(&here))).unwrap();
            append(txn, 1);
        });
        other.say(&format!("has {here}"));
        assert_eq!(other.hear(), "true");
        other.say(&format!("put {there}"));
        assert_eq!(other.hear(), "done");
        assert_eq!(bench.read(|reader| bead_of(reader, &there)), issue(&there));
    }
    other.say("count");
    assert_eq!(other.hear(), "8");
    other.finish();
    assert_eq!(bench.head().seq, 8);
}

pub(crate) fn processes_at_once_lose_no_update(site: &Site) {
    let mut bench = begin_sum(site);
    let mut others: Vec<_> = (0..3).map(|_| site.other("write")).collect();
    // All of them are there before any begins.
    for other in &mut others {
        other.say("count");
        assert_eq!(other.hear(), "1");
    }
    others.iter_mut().for_each(|other| other.say("add 20"));
    for mut other in others {
        assert_eq!(other.hear(), "done");
        other.finish();
    }
    assert_eq!(sum(&mut bench), (60, 60));
    let events = bench.read(|reader| reader.events(0, 100).unwrap());
    assert!(events.iter().zip(1..).all(|(event, seq)| event.seq == seq));
}

pub(crate) fn a_writer_of_another_process_is_waited_for(site: &Site) {
    let mut bench = Bench::new(site);
    let mut other = site.other("write");
    other.say("hold gt-there");
    assert_eq!(other.hear(), "holds");
    let error = bench.writer.write(&town()).map(drop).unwrap_err();
    assert_eq!((error.code(), error.kind()), ("store_busy", ErrorKind::Unavailable));
    assert_eq!(bench.read(|reader| all(reader, &BEADS, &[])), [], "readers wait for nobody");
    other.say("commit");
    write_when_free(&mut *bench.writer, |txn| {
        assert_eq!(bead_of(txn.as_reader(), "gt-there"), issue("gt-there"));
        append(txn, 1);
    });
    assert_eq!(other.hear(), "done");
    other.finish();
    assert_eq!(bench.head().seq, 2);
}

pub(crate) fn a_process_that_dies_in_its_transaction_leaves_nothing(site: &Site) {
    let mut bench = Bench::new(site);
    for round in 0..3 {
        let mut other = site.other("write");
        other.say("hold gt-dead");
        assert_eq!(other.hear(), "holds");
        other.kill();
        write_when_free(&mut *bench.writer, |txn| append(txn, 1));
        assert_eq!(bench.read(|reader| all(reader, &BEADS, &[])), []);
        assert_eq!(bench.head().seq, round + 1);
    }
    assert_eq!(bench.read(|reader| reader.events(0, 10).unwrap()).len(), 3, "what the living wrote is there");
    assert_eq!(bench.writer.check().unwrap(), Vec::<String>::new());
}

pub(crate) fn what_a_process_committed_outlives_it(site: &Site) {
    let mut bench = Bench::new(site);
    for round in 0..3_usize {
        let mut other = site.other("write");
        other.say(&format!("put gt-{round}"));
        assert_eq!(other.hear(), "done");
        other.kill();
        assert_eq!(bench.read(|reader| all(reader, &BEADS, &[]).len()), round + 1);
        assert_eq!(bench.head().seq, round as u64 + 1);
    }
    drop(bench);
    assert_eq!(Bench::new(site).read(|reader| all(reader, &BEADS, &[]).len()), 3);
}
