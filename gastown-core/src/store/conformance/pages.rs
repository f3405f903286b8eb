//! Cases about reading by pages, with rows that come, go and move between two pages.

use super::Site;
use super::kit::{Bench, at, issue, names, put_all, text, town};
use super::sample::Draw;
use crate::model::value::Value;
use crate::model::{BeadRow, Row};
use crate::store::index::{BEADS, BEADS_BY_KIND, BEADS_READY, Index};
use crate::store::{Position, Scan};

fn bead(number: u32) -> Row {
    Row::Bead(issue(&format!("gt-{number:04}")))
}

fn name(number: u32) -> String {
    format!("gt-{number:04}")
}

fn fill(bench: &mut Bench, numbers: impl IntoIterator<Item = u32>) {
    let rows: Vec<Row> = numbers.into_iter().map(bead).collect();
    bench.write(|txn| put_all(txn, &rows));
}

/// Reads all pages of an index, each from a snapshot of its own, with a change after each.
fn pages(
    bench: &mut Bench,
    index: &'static Index,
    prefix: &[Value],
    limit: usize,
    mut between: impl FnMut(&mut Bench, &Row),
) -> Vec<Row> {
    let (mut position, mut read) = (None, Vec::new());
    for page in 0.. {
        assert!(page < 1_000, "paging ends");
        let scan = Scan::new(index, prefix.to_vec(), limit).after(position.clone());
        let rows = bench.read(|reader| reader.scan(&scan).unwrap());
        assert!(rows.len() <= limit);
        let Some(last) = rows.last().cloned() else { break };
        position = Some(Position::of(index, &last));
        read.extend(rows);
        between(bench, &last);
    }
    read
}

fn unchanged(_: &mut Bench, _: &Row) {}

pub(crate) fn pages_of_any_size_give_the_same_rows(site: &Site) {
    let mut bench = Bench::new(site);
    fill(&mut bench, 0..60);
    let wanted: Vec<Row> = (0..60).map(bead).collect();
    for limit in [1, 2, 7, 59, 60, 61, 100_000] {
        for (index, prefix) in [(&BEADS, vec![]), (&BEADS_BY_KIND, vec![text("issue")])] {
            assert!(pages(&mut bench, index, &prefix, limit, unchanged) == wanted, "{} by {limit}", index.name);
        }
    }
}

pub(crate) fn a_limit_of_nothing_gives_nothing(site: &Site) {
    let mut bench = Bench::new(site);
    fill(&mut bench, 0..3);
    bench.read(|reader| {
        let scan = Scan::new(&BEADS, vec![], 0);
        assert_eq!(reader.scan(&scan).unwrap(), []);
        assert_eq!(reader.count(&scan).unwrap(), 3);
        assert!(reader.unreadable().is_empty());
    });
}

pub(crate) fn a_limit_may_be_as_high_as_there_is(site: &Site) {
    let mut bench = Bench::new(site);
    fill(&mut bench, 0..3);
    for limit in [1 << 31, 1 << 32, usize::MAX / 2, usize::MAX] {
        let scan = Scan::new(&BEADS, vec![], limit);
        assert_eq!(bench.read(|reader| reader.scan(&scan).unwrap()).len(), 3, "{limit}");
        bench.write(|txn| assert_eq!(txn.scan(&scan).unwrap().len(), 3));
    }
}

pub(crate) fn rows_that_come_ahead_are_met_and_those_behind_are_not(site: &Site) {
    let mut bench = Bench::new(site);
    fill(&mut bench, (0..20).map(|number| number * 10));
    let mut added = 0;
    let read = pages(&mut bench, &BEADS, &[], 4, |bench, last| {
        let Row::Bead(last) = last else { unreachable!("it is a bead") };
        let number: u32 = last.id.as_str()[3..].parse().unwrap();
        if added < 4 {
            // One before the page's end, and one ahead of it.
            fill(bench, [number - 1, number + 1]);
            added += 1;
        }
    });
    let read = names(&read);
    let met = |number| read.contains(&name(number));
    assert!((0..20).all(|number| met(number * 10)));
    assert_eq!((met(31), met(29)), (true, false));
    assert_eq!(read.len(), 24);
}

pub(crate) fn rows_that_go_ahead_are_not_met(site: &Site) {
    let mut bench = Bench::new(site);
    fill(&mut bench, 0..30);
    let mut gone = Vec::new();
    let read = pages(&mut bench, &BEADS_BY_KIND, &[text("issue")], 5, |bench, last| {
        let Row::Bead(last) = last else { unreachable!("it is a bead") };
        let next = last.id.as_str()[3..].parse::<u32>().unwrap() + 2;
        bench.write(|txn| txn.delete(&bead(next).key()).unwrap());
        gone.push(name(next));
    });
    let wanted: Vec<_> = (0..30).map(name).filter(|name| !gone.contains(name)).collect();
    assert_eq!(names(&read), wanted);
}

pub(crate) fn rows_that_move_hide_no_others(site: &Site) {
    let mut bench = Bench::new(site);
    let made = |number: u32, second: i64| Row::Bead(BeadRow { created_at: at(second), ..issue(&name(number)) });
    bench.write(|txn| (0..40).for_each(|number| txn.put(&made(number, i64::from(number))).unwrap()));
    let mut step = 0;
    let read = names(&pages(&mut bench, &BEADS_BY_KIND, &[text("issue")], 3, |bench, last| {
        // One that was met goes to the end and is met again, one from the end goes to the front and is missed.
        step += 1;
        if step <= 3 {
            let Row::Bead(last) = last.clone() else { unreachable!("it is a bead") };
            bench.write(|txn| {
                txn.put(&Row::Bead(BeadRow { created_at: at(1_000 + step), ..last })).unwrap();
                txn.put(&made(40 - u32::try_from(step).unwrap(), -step)).unwrap();
            });
        }
    }));
    let moved = [2, 5, 8, 37, 38, 39];
    for number in (0..40).filter(|number| !moved.contains(number)) {
        assert_eq!(read.iter().filter(|found| **found == name(number)).count(), 1, "{number} stayed where it was");
    }
    for number in moved {
        let count = read.iter().filter(|found| **found == name(number)).count();
        assert_eq!(count, if number < 10 { 2 } else { 0 }, "{number}");
    }
}

pub(crate) fn pages_pass_over_equal_values_once(site: &Site) {
    let mut bench = Bench::new(site);
    // Many rows of one urgency and one time: only the id tells them apart.
    let rows: Vec<Row> = (0..50)
        .map(|number| {
            Row::Bead(BeadRow { priority: number / 20, created_at: at(i64::from(number / 10)), ..issue(&name(number)) })
        })
        .collect();
    bench.write(|txn| put_all(txn, &rows));
    for limit in [1, 3, 10, 20] {
        assert!(pages(&mut bench, &BEADS_READY, &super::kit::ready(), limit, unchanged) == rows, "by {limit}");
    }
}

pub(crate) fn pages_of_one_snapshot_do_not_change(site: &Site) {
    let mut bench = Bench::new(site);
    fill(&mut bench, 0..30);
    let wanted: Vec<Row> = (0..30).map(bead).collect();
    let snapshot = bench.reader.read(&town()).unwrap();
    let (mut position, mut read) = (None, Vec::new());
    loop {
        let rows = snapshot.scan(&Scan::new(&BEADS, vec![], 4).after(position.clone())).unwrap();
        let Some(last) = rows.last() else { break };
        position = Some(Position::of(&BEADS, last));
        let mut txn = bench.writer.write(&town()).unwrap();
        for number in 0..30 {
            txn.delete(&bead(number).key()).unwrap();
            txn.put(&bead(number + 1_000)).unwrap();
        }
        txn.commit().unwrap();
        read.extend(rows);
    }
    assert!(read == wanted);
}

pub(crate) fn pages_inside_a_transaction_see_its_changes(site: &Site) {
    let mut bench = Bench::new(site);
    fill(&mut bench, 0..10);
    bench.write(|txn| {
        let first = txn.scan(&Scan::new(&BEADS, vec![], 5)).unwrap();
        txn.put(&bead(100)).unwrap();
        txn.delete(&bead(6).key()).unwrap();
        let scan = Scan::new(&BEADS, vec![], 100).after(first.last().map(|last| Position::of(&BEADS, last)));
        assert_eq!(names(&txn.scan(&scan).unwrap()), [5, 7, 8, 9, 100].map(name));
    });
}

pub(crate) fn behind_the_last_row_is_nothing(site: &Site) {
    let mut bench = Bench::new(site);
    fill(&mut bench, 0..5);
    for (words, left) in [("gt-0004", 0), ("gt-00040", 0), ("zzz", 0), ("gt-0003", 1), ("A", 5), ("gt-00030", 1)] {
        let scan = Scan::new(&BEADS, vec![], 10).after(Some(Position(vec![text(words)])));
        assert_eq!(bench.read(|reader| reader.scan(&scan).unwrap()).len(), left, "{words}");
        assert_eq!(bench.read(|reader| reader.count(&scan).unwrap()), left as u64);
    }
}

pub(crate) fn rows_that_stay_are_met_once_whatever_others_do(site: &Site) {
    let mut bench = Bench::new(site);
    let mut draw = Draw::new(111);
    // Every third stays; the others come and go between the pages.
    fill(&mut bench, 0..150);
    for (index, prefix) in [(&BEADS, vec![]), (&BEADS_READY, super::kit::ready())] {
        let read = names(&pages(&mut bench, index, &prefix, 9, |bench, _| {
            bench.write(|txn| {
                for _ in 0..20 {
                    let number = u32::try_from(draw.below(150)).unwrap();
                    if number % 3 == 0 {
                        continue;
                    }
                    if draw.below(2) == 0 {
                        txn.delete(&bead(number).key()).unwrap();
                    } else {
                        txn.put(&bead(number)).unwrap();
                    }
                }
            });
        }));
        assert!(read.windows(2).all(|pair| pair[0] < pair[1]), "in order, each once");
        assert!((0..150).step_by(3).all(|number| read.contains(&name(number))));
    }
}
