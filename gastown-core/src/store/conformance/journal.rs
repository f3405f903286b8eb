//! Cases about the journal.

use super::Site;
use super::kit::{Bench, bead, code, events, other_town};
use crate::model::{ErrorKind, Event, Head, WrittenEvent};

pub(crate) fn an_empty_journal_ends_at_zero(site: &Site) {
    let mut bench = Bench::new(site);
    assert_eq!(bench.head(), Head::default());
    assert_eq!(bench.read(|reader| reader.events(0, 10).unwrap()), []);
    bench.write(|txn| assert_eq!(txn.head().unwrap(), Head::default()));
}

pub(crate) fn events_come_back_as_they_were(site: &Site) {
    let mut bench = Bench::new(site);
    let written = events(&Head::default(), 40, 3);
    bench.write(|txn| txn.append(&written).unwrap());
    assert_eq!(bench.read(|reader| reader.events(0, 100).unwrap()), written);
    let mut hash = String::new();
    for event in bench.read(|reader| reader.events(0, 100).unwrap()) {
        assert_eq!(event.hash_after(&hash), event.hash, "the chain of hashes holds for what was read");
        hash = event.hash;
    }
    assert_eq!(bench.head(), written[39].head());
}

pub(crate) fn events_are_read_by_pages(site: &Site) {
    let mut bench = Bench::new(site);
    let written = events(&Head::default(), 25, 4);
    bench.write(|txn| txn.append(&written).unwrap());
    let mut read = Vec::new();
    loop {
        let page = bench.read(|reader| reader.events(read.len() as u64, 10).unwrap());
        assert!(page.len() <= 10);
        if page.is_empty() {
            break;
        }
        read.extend(page);
    }
    assert_eq!(read, written);
}

pub(crate) fn events_behind_the_end_are_none(site: &Site) {
    let mut bench = Bench::new(site);
    bench.write(|txn| txn.append(&events(&Head::default(), 3, 5)).unwrap());
    for after in [3, 4, 1 << 40, u64::MAX] {
        assert_eq!(bench.read(|reader| reader.events(after, 10).unwrap()), [], "after {after}");
    }
    assert_eq!(bench.read(|reader| reader.events(0, 0).unwrap()), []);
    assert_eq!(bench.read(|reader| reader.events(0, usize::MAX).unwrap()).len(), 3);
}

pub(crate) fn events_that_leave_a_gap_are_refused(site: &Site) {
    let mut bench = Bench::new(site);
    let written = events(&Head::default(), 4, 6);
    bench.write(|txn| {
        txn.append(&written[..2]).unwrap();
        let error = txn.append(&written[..1]).unwrap_err();
        assert_eq!((error.code(), error.kind()), ("event_order", ErrorKind::Internal));
        assert_eq!(code(txn.append(&written[3..])), "event_order");
        assert_eq!(code(txn.append(&written[1..2])), "event_order", "an entry is not written twice");
    });
    assert_eq!(bench.head(), written[1].head());
}

pub(crate) fn an_empty_journal_may_begin_behind_what_was_archived(site: &Site) {
    let mut bench = Bench::new(site);
    let written = events(&Head::default(), 6, 6);
    bench.write(|txn| {
        txn.savepoint().unwrap();
        txn.append(&written[2..4]).unwrap();
        txn.rollback_to_savepoint().unwrap();
        txn.append(&written[3..5]).unwrap();
        assert_eq!(code(txn.append(&written[..1])), "event_order");
        txn.append(&written[5..]).unwrap();
    });
    assert_eq!(bench.head(), written[5].head());
    assert_eq!(bench.read(|reader| reader.events(0, 10).unwrap()), written[3..]);
}

pub(crate) fn an_entry_without_a_place_is_refused(site: &Site) {
    let mut bench = Bench::new(site);
    let mut entry = events(&Head::default(), 1, 6).remove(0);
    entry.seq = 0;
    bench.write(|txn| assert_eq!(code(txn.append(&[entry])), "event_order"));
    assert_eq!(bench.head(), Head::default());
}

pub(crate) fn a_refused_append_writes_none_of_its_events(site: &Site) {
    let mut bench = Bench::new(site);
    let written = events(&Head::default(), 4, 7);
    bench.write(|txn| {
        let gap = [written[0].clone(), written[1].clone(), written[3].clone()];
        assert_eq!(code(txn.append(&gap)), "event_order");
        assert_eq!(txn.head().unwrap(), Head::default());
    });
    assert_eq!(bench.read(|reader| reader.events(0, 10).unwrap()), []);
    bench.write(|txn| txn.append(&written).unwrap());
    assert_eq!(bench.read(|reader| reader.events(0, 10).unwrap()), written, "without a gap they are taken");
}

pub(crate) fn appending_nothing_changes_nothing(site: &Site) {
    let mut bench = Bench::new(site);
    let written = events(&Head::default(), 2, 8);
    bench.write(|txn| {
        txn.append(&[]).unwrap();
        txn.append(&written).unwrap();
        txn.append(&[]).unwrap();
        assert_eq!(txn.head().unwrap(), written[1].head());
    });
    assert_eq!(bench.head(), written[1].head());
    assert_eq!(bench.read(|reader| reader.events(0, 10).unwrap()), written);
}

pub(crate) fn a_transaction_sees_its_own_events(site: &Site) {
    let mut bench = Bench::new(site);
    let written = events(&Head::default(), 3, 9);
    bench.write(|txn| txn.append(&written[..1]).unwrap());
    bench.write(|txn| {
        assert_eq!(txn.head().unwrap(), written[0].head());
        txn.append(&written[1..]).unwrap();
        assert_eq!(txn.head().unwrap(), written[2].head());
        assert_eq!(txn.events(1, 10).unwrap(), written[1..]);
        assert_eq!(txn.as_reader().events(0, 10).unwrap(), written);
    });
}

fn as_text(events: &[Event]) -> Vec<WrittenEvent> {
    events.iter().map(WrittenEvent::of).collect()
}

pub(crate) fn written_events_are_as_appended_ones(site: &Site) {
    let mut bench = Bench::new(site);
    let wanted = events(&Head::default(), 40, 12);
    bench.write(|txn| {
        txn.append_written(&as_text(&wanted[..20])).unwrap();
        assert_eq!(txn.head().unwrap(), wanted[19].head());
        assert_eq!(txn.events(0, 100).unwrap(), wanted[..20]);
        txn.append(&wanted[20..30]).unwrap();
        txn.append_written(&[]).unwrap();
        txn.append_written(&as_text(&wanted[30..])).unwrap();
    });
    let read = bench.read(|reader| reader.events(0, 100).unwrap());
    assert_eq!(read, wanted);
    let mut hash = String::new();
    for event in read {
        assert_eq!(event.hash_after(&hash), event.hash, "the chain of hashes holds for what was read");
        hash = event.hash;
    }
}

pub(crate) fn written_events_that_leave_a_gap_are_refused(site: &Site) {
    let mut bench = Bench::new(site);
    let written = as_text(&events(&Head::default(), 4, 13));
    bench.write(|txn| {
        let gap = [written[0].clone(), written[2].clone()];
        assert_eq!(code(txn.append_written(&gap)), "event_order");
        assert_eq!(txn.head().unwrap(), Head::default());
    });
    assert_eq!(bench.read(|reader| reader.events(0, 10).unwrap()), []);
}

pub(crate) fn journals_of_towns_are_apart(site: &Site) {
    let mut bench = Bench::new(site);
    let (here, there) = (events(&Head::default(), 3, 10), events(&Head::default(), 2, 11));
    bench.write(|txn| txn.append(&here).unwrap());
    bench.write_in(&other_town(), |txn| {
        assert_eq!(txn.head().unwrap(), Head::default());
        txn.append(&there).unwrap();
    });
    assert_eq!(bench.head(), here[2].head());
    assert_eq!(bench.read_in(&other_town(), |reader| reader.events(0, 10).unwrap()), there);
}

pub(crate) fn an_event_of_a_megabyte_is_kept(site: &Site) {
    let mut bench = Bench::new(site);
    let mut written = events(&Head::default(), 1, 12);
    written[0].data = serde_json::json!({ "text": "0123456789abcde\n".repeat(1 << 16) });
    bench.write(|txn| txn.append(&written).unwrap());
    assert!(bench.read(|reader| reader.events(0, 1).unwrap()) == written);
}

pub(crate) fn rows_and_events_are_committed_together(site: &Site) {
    let mut bench = Bench::new(site);
    let (row, written) = (bead(13), events(&Head::default(), 1, 13));
    {
        let mut txn = bench.writer.write(&super::kit::town()).unwrap();
        txn.put(&row).unwrap();
        txn.append(&written).unwrap();
        let reader = bench.reader.read(&super::kit::town()).unwrap();
        assert_eq!((reader.get(&row.key()).unwrap(), reader.head().unwrap().seq), (None, 0));
        drop(reader);
        txn.commit().unwrap();
    }
    assert_eq!((bench.get(&row.key()), bench.head().seq), (Some(row), 1));
}
