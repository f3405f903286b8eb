//! Cases about rows that cannot be read as their kind.

use super::Site;
use super::kit::{Bench, bead, code};
use super::sample::{self, Draw};
use crate::model::value::{Raw, Value};
use crate::model::{BeadId, BeadRow, Key, Row, RowKind};
use crate::store::index::{BEADS, BEADS_BY_KIND};
use crate::store::{Position, Scan};

fn numbered(number: u64) -> Row {
    let id = BeadId::new(format!("gt-{number}")).unwrap();
    Row::Bead(BeadRow { id, created_at: crate::model::Timestamp::from_micros(7), ..sample::bead(&mut Draw::new(1)) })
}

/// The columns of a bead whose status is none.
fn damaged(number: u64) -> Vec<Value> {
    let mut values = numbered(number).to_values();
    values[RowKind::Bead.position("status").unwrap()] = Value::Text("wibble".to_owned());
    values
}

/// Beads 0 to 9, of which the odd ones cannot be read.
fn bench(site: &Site) -> Bench {
    let mut bench = Bench::new(site);
    bench.write(|txn| {
        for number in 0..10 {
            if number % 2 == 1 {
                txn.put_values(RowKind::Bead, &damaged(number)).unwrap();
            } else {
                txn.put(&numbered(number)).unwrap();
            }
        }
    });
    bench
}

fn evens() -> Vec<Row> {
    [0, 2, 4, 6, 8].map(numbered).to_vec()
}

fn odd_keys() -> Vec<Key> {
    [1, 3, 5, 7, 9].map(|number| numbered(number).key()).to_vec()
}

pub(crate) fn a_row_that_cannot_be_read_stops_no_scan(site: &Site) {
    let mut bench = bench(site);
    bench.read(|reader| {
        assert_eq!(reader.scan(&Scan::new(&BEADS, vec![], 100)).unwrap(), evens());
        let Row::Bead(sample) = numbered(0) else { unreachable!() };
        let kind = vec![Value::Text(sample.kind.as_str().to_owned())];
        assert_eq!(reader.scan(&Scan::new(&BEADS_BY_KIND, kind, 100)).unwrap(), evens());
    });
    bench.write(|txn| assert_eq!(txn.scan(&Scan::new(&BEADS, vec![], 100)).unwrap(), evens()));
    let last_two = [8, 6].map(numbered);
    bench.read(|reader| assert_eq!(reader.scan_back(&Scan::new(&BEADS, vec![], 2), None).unwrap(), last_two));
}

pub(crate) fn a_row_that_cannot_be_read_takes_nothing_of_a_limit(site: &Site) {
    let mut bench = bench(site);
    bench.read(|reader| {
        let mut scan = Scan::new(&BEADS, vec![], 2);
        let mut found = Vec::new();
        loop {
            let page = reader.scan(&scan).unwrap();
            found.extend(page.iter().cloned());
            if page.len() < 2 {
                break;
            }
            scan.after = Some(Position::of(&BEADS, &page[1]));
        }
        assert_eq!(found, evens());
    });
}

pub(crate) fn a_row_that_cannot_be_read_is_told_once(site: &Site) {
    let mut bench = bench(site);
    bench.read(|reader| {
        assert!(reader.unreadable().is_empty());
        for _ in 0..2 {
            reader.scan(&Scan::new(&BEADS, vec![], 100)).unwrap();
        }
        let told = reader.unreadable();
        assert_eq!(told.iter().map(|row| row.key.clone()).collect::<Vec<_>>(), odd_keys());
        for row in told {
            assert_eq!(
                (row.error.code(), row.error.fact("column")),
                ("column_unreadable", Some("status")),
                "{}",
                row.error
            );
        }
        assert!(reader.unreadable().is_empty());
    });
    bench.write(|txn| {
        txn.scan(&Scan::new(&BEADS, vec![], 2)).unwrap();
        assert_eq!(txn.unreadable().iter().map(|row| row.key.clone()).collect::<Vec<_>>(), odd_keys()[..1]);
    });
}

pub(crate) fn wanting_a_row_that_cannot_be_read_is_an_error(site: &Site) {
    let mut bench = bench(site);
    bench.read(|reader| {
        let error = reader.get(&odd_keys()[0]).unwrap_err();
        assert_eq!((error.code(), error.kind()), ("row_unreadable", crate::ErrorKind::Corrupt));
        assert_eq!((error.fact("table"), error.fact("key")), (Some("bead"), Some("bead \"gt-1\"")));
        assert_eq!(reader.get(&numbered(2).key()).unwrap(), Some(numbered(2)));
    });
}

pub(crate) fn a_wanted_row_that_cannot_be_read_is_told(site: &Site) {
    let mut bench = bench(site);
    bench.read(|reader| {
        for key in [&odd_keys()[0], &odd_keys()[0], &numbered(2).key()] {
            let _ = reader.get(key);
        }
        assert_eq!(reader.unreadable().iter().map(|row| row.key.clone()).collect::<Vec<_>>(), odd_keys()[..1]);
        assert!(reader.unreadable().is_empty());
    });
    bench.write(|txn| {
        assert_eq!(code(txn.get(&odd_keys()[1])), "row_unreadable");
        assert_eq!(txn.unreadable().iter().map(|row| row.key.clone()).collect::<Vec<_>>(), odd_keys()[1..2]);
    });
}

pub(crate) fn a_row_that_cannot_be_read_can_be_replaced(site: &Site) {
    let mut bench = bench(site);
    bench.write(|txn| txn.put(&numbered(1)).unwrap());
    bench.read(|reader| {
        assert_eq!(reader.get(&numbered(1).key()).unwrap(), Some(numbered(1)));
        assert_eq!(reader.scan(&Scan::new(&BEADS, vec![], 100)).unwrap().len(), 6);
        assert_eq!(reader.unreadable().len(), 4);
    });
}

pub(crate) fn a_row_that_cannot_be_read_can_be_deleted(site: &Site) {
    let mut bench = bench(site);
    bench.write(|txn| odd_keys().iter().for_each(|key| txn.delete(key).unwrap()));
    bench.read(|reader| {
        assert_eq!(reader.get(&odd_keys()[0]).unwrap(), None);
        assert_eq!(reader.scan(&Scan::new(&BEADS, vec![], 100)).unwrap(), evens());
        assert!(reader.unreadable().is_empty());
    });
}

fn raw(values: Vec<Value>) -> Vec<Raw> {
    values.into_iter().map(Raw::Value).collect()
}

pub(crate) fn the_columns_of_a_row_that_cannot_be_read_are_as_they_were_stored(site: &Site) {
    let mut bench = bench(site);
    let mut odd = damaged(11);
    odd[RowKind::Bead.position("title").unwrap()] = Value::Text(" \u{0}\u{1f980}\r\n".repeat(1_000));
    bench.write(|txn| {
        txn.put_values(RowKind::Bead, &odd).unwrap();
        assert_eq!(txn.values(&numbered(11).key()).unwrap(), Some(raw(odd.clone())), "the transaction sees its own");
        assert_eq!(txn.values(&numbered(1).key()).unwrap(), Some(raw(damaged(1))));
        assert!(txn.unreadable().is_empty(), "nobody tried to read them");
    });
    bench.read(|reader| {
        assert_eq!(reader.values(&numbered(11).key()).unwrap(), Some(raw(odd.clone())));
        assert_eq!(reader.values(&numbered(2).key()).unwrap(), Some(raw(numbered(2).to_values())));
        assert_eq!(reader.values(&numbered(12).key()).unwrap(), None);
        assert!(reader.unreadable().is_empty());
    });
}

pub(crate) fn the_columns_of_a_row_follow_its_changes(site: &Site) {
    let mut bench = Bench::new(site);
    let key = numbered(1).key();
    bench.write(|txn| {
        txn.put(&numbered(1)).unwrap();
        assert_eq!(txn.values(&key).unwrap(), Some(raw(numbered(1).to_values())));
        txn.savepoint().unwrap();
        txn.put_values(RowKind::Bead, &damaged(1)).unwrap();
        assert_eq!(txn.values(&key).unwrap(), Some(raw(damaged(1))));
        txn.rollback_to_savepoint().unwrap();
        assert_eq!(txn.values(&key).unwrap(), Some(raw(numbered(1).to_values())));
        txn.delete(&key).unwrap();
        assert_eq!(txn.values(&key).unwrap(), None);
    });
    bench.read(|reader| assert_eq!(reader.values(&key).unwrap(), None));
}

pub(crate) fn columns_that_make_a_row_are_a_row(site: &Site) {
    let mut bench = Bench::new(site);
    let row = bead(3);
    bench.write(|txn| txn.put_values(RowKind::Bead, &row.to_values()).unwrap());
    assert_eq!(bench.get(&row.key()), Some(row));
}

pub(crate) fn columns_of_another_number_are_refused(site: &Site) {
    let mut bench = Bench::new(site);
    let values = bead(3).to_values();
    bench.write(|txn| {
        assert_eq!(code(txn.put_values(RowKind::Bead, &values[1..])), "values_malformed");
        assert_eq!(code(txn.put_values(RowKind::Label, &values)), "values_malformed");
        let mut without_key = values.clone();
        without_key[0] = Value::Null;
        assert_eq!(code(txn.put_values(RowKind::Bead, &without_key)), "values_malformed");
    });
    bench.read(|reader| assert!(reader.scan(&Scan::new(&BEADS, vec![], 10)).unwrap().is_empty()));
}

pub(crate) fn a_savepoint_undoes_columns(site: &Site) {
    let mut bench = Bench::new(site);
    bench.write(|txn| {
        txn.put(&numbered(1)).unwrap();
        txn.savepoint().unwrap();
        txn.put_values(RowKind::Bead, &damaged(1)).unwrap();
        txn.put_values(RowKind::Bead, &damaged(2)).unwrap();
        txn.rollback_to_savepoint().unwrap();
    });
    bench.read(|reader| {
        assert_eq!(reader.scan(&Scan::new(&BEADS, vec![], 10)).unwrap(), [numbered(1)]);
        assert!(reader.unreadable().is_empty());
    });
}
