//! Cases about what is done with a database now and then.

use super::Site;
use super::kit::{Bench, code, events, rows, town};
use super::sample::Draw;
use crate::model::{Event, Head, RowKind};

/// A journal of ten entries.
fn journal(bench: &mut Bench) -> Vec<Event> {
    let entries = events(&Head::default(), 10, 5);
    bench.write(|txn| txn.append(&entries).unwrap());
    entries
}

pub(crate) fn the_old_entries_of_a_journal_can_be_removed(site: &Site) {
    let mut bench = Bench::new(site);
    let entries = journal(&mut bench);
    bench.write(|txn| {
        txn.truncate_events(4).unwrap();
        assert_eq!(txn.events(0, 100).unwrap(), entries[4..], "the transaction sees it");
    });
    bench.read(|reader| {
        assert_eq!(reader.events(0, 100).unwrap(), entries[4..]);
        assert_eq!(reader.events(2, 3).unwrap(), entries[4..7]);
        assert_eq!(reader.events(6, 100).unwrap(), entries[6..]);
        assert_eq!(reader.head().unwrap(), entries[9].head());
    });
    // What is removed already, and nothing at all.
    bench.write(|txn| {
        txn.truncate_events(2).unwrap();
        txn.truncate_events(0).unwrap();
    });
    let more = events(&entries[9].head(), 2, 6);
    bench.write(|txn| txn.append(&more).unwrap());
    bench.read(|reader| assert_eq!(reader.events(0, 100).unwrap(), [&entries[4..], &more].concat()));
}

pub(crate) fn the_last_entry_of_a_journal_stays(site: &Site) {
    let mut bench = Bench::new(site);
    bench.write(|txn| assert_eq!(code(txn.truncate_events(1)), "event_order"));
    let entries = journal(&mut bench);
    bench.write(|txn| {
        for through in [10, 11, u64::MAX] {
            assert_eq!(code(txn.truncate_events(through)), "event_order");
        }
        txn.truncate_events(9).unwrap();
    });
    bench.read(|reader| {
        assert_eq!(reader.events(0, 100).unwrap(), entries[9..]);
        assert_eq!(reader.head().unwrap(), entries[9].head());
    });
}

pub(crate) fn a_savepoint_undoes_the_removal_of_entries(site: &Site) {
    let mut bench = Bench::new(site);
    let entries = journal(&mut bench);
    let more = events(&entries[9].head(), 2, 6);
    bench.write(|txn| {
        txn.savepoint().unwrap();
        txn.truncate_events(4).unwrap();
        txn.append(&more).unwrap();
        txn.truncate_events(6).unwrap();
        txn.rollback_to_savepoint().unwrap();
        assert_eq!(txn.events(0, 100).unwrap(), entries);
        txn.truncate_events(1).unwrap();
    });
    bench.read(|reader| assert_eq!(reader.events(0, 100).unwrap(), entries[1..]));
}

pub(crate) fn a_dropped_transaction_removes_no_entries(site: &Site) {
    let mut bench = Bench::new(site);
    let entries = journal(&mut bench);
    let mut txn = bench.writer.write(&town()).unwrap();
    txn.truncate_events(4).unwrap();
    drop(txn);
    bench.read(|reader| assert_eq!(reader.events(0, 100).unwrap(), entries));
    bench.write(|txn| assert_eq!(txn.events(0, 100).unwrap(), entries));
}

pub(crate) fn a_sound_database_has_no_findings(site: &Site) {
    let mut bench = Bench::new(site);
    let sample = rows(RowKind::Bead, 20, &mut Draw::new(8));
    bench.write(|txn| sample.iter().for_each(|row| txn.put(row).unwrap()));
    let entries = journal(&mut bench);
    assert_eq!(bench.read(|reader| reader.events(0, 100).unwrap()), entries, "there is something to look at");
    assert_eq!(bench.writer.check().unwrap(), Vec::<String>::new());
    assert_eq!(bench.reader.check().unwrap(), Vec::<String>::new());
    assert!(["full", "normal", "none", ""].contains(&bench.reader.describe().unwrap().durability));
}

pub(crate) fn a_vacuum_changes_nothing(site: &Site) {
    let mut bench = Bench::new(site);
    let sample = rows(RowKind::Bead, 20, &mut Draw::new(8));
    bench.write(|txn| sample.iter().for_each(|row| txn.put(row).unwrap()));
    bench.write(|txn| sample[..15].iter().for_each(|row| txn.delete(&row.key()).unwrap()));
    let entries = journal(&mut bench);
    bench.writer.vacuum().unwrap();
    for row in &sample[15..] {
        assert_eq!(bench.get(&row.key()).as_ref(), Some(row));
    }
    bench.read(|reader| assert_eq!(reader.events(0, 100).unwrap(), entries));
    bench.write(|txn| txn.put(&sample[0]).unwrap());
    assert_eq!(bench.get(&sample[0].key()).as_ref(), Some(&sample[0]));
}
