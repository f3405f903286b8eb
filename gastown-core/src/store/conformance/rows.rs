//! Cases about single rows.

use super::Site;
use super::kit::{Bench, bead, other_town, rows, town};
use super::sample::{self, Draw};
use crate::model::{BeadId, BeadTextRow, Key, LabelRow, Row, RowKind, SettingRow, Timestamp};

/// Puts, replaces and deletes rows of one kind.
fn round_trip(site: &Site, kind: RowKind) {
    let mut bench = Bench::new(site);
    let mut draw = Draw::new(7 + kind as u64);
    let rows = rows(kind, 12, &mut draw);
    for row in &rows {
        assert_eq!(bench.get(&row.key()), None);
    }
    bench.write(|txn| rows.iter().for_each(|row| txn.put(row).unwrap()));
    for row in &rows {
        assert_eq!(bench.get(&row.key()).as_ref(), Some(row));
    }
    // Every other one is replaced by one of the same key.
    let mut now = rows.clone();
    for row in now.iter_mut().step_by(2) {
        for _ in 0..20_000 {
            let other = sample::row(kind, &town(), &mut draw);
            if other.key() == row.key() && other != *row {
                *row = other;
                break;
            }
        }
    }
    let all_key = kind.key_len() == kind.columns().len();
    assert!(all_key || now != rows, "the sample replaces something");
    bench.write(|txn| now.iter().for_each(|row| txn.put(row).unwrap()));
    for row in &now {
        assert_eq!(bench.get(&row.key()).as_ref(), Some(row));
    }
    bench.write(|txn| {
        txn.delete(&now[0].key()).unwrap();
        assert_eq!(txn.get(&now[0].key()).unwrap(), None, "the transaction sees its own deletion");
        txn.delete(&now[0].key()).unwrap();
    });
    assert_eq!(bench.get(&now[0].key()), None);
    for row in &now[1..] {
        assert_eq!(bench.get(&row.key()).as_ref(), Some(row));
    }
}

macro_rules! kinds {
    ($($name:ident = $kind:ident;)*) => {
        $(pub(crate) fn $name(site: &Site) {
            round_trip(site, RowKind::$kind);
        })*
        pub(crate) fn every_kind_of_row_has_a_case(_: &Site) {
            assert_eq!([$(RowKind::$kind),*], RowKind::ALL);
        }
    };
}

kinds! {
    rows_of_town_round_trip = Town;
    rows_of_rig_round_trip = Rig;
    rows_of_bead_round_trip = Bead;
    rows_of_bead_text_round_trip = BeadText;
    rows_of_label_round_trip = Label;
    rows_of_dependency_round_trip = Dependency;
    rows_of_agent_round_trip = Agent;
    rows_of_session_round_trip = Session;
    rows_of_convoy_round_trip = Convoy;
    rows_of_merge_request_round_trip = MergeRequest;
    rows_of_delivery_round_trip = Delivery;
    rows_of_effect_round_trip = Effect;
    rows_of_setting_round_trip = Setting;
    rows_of_leader_round_trip = Leader;
    rows_of_idempotency_round_trip = Idempotency;
    rows_of_comment_round_trip = Comment;
    rows_of_tombstone_round_trip = Tombstone;
    rows_of_foreign_record_round_trip = Foreign;
    rows_of_reservation_round_trip = Reservation;
    rows_of_breaker_round_trip = Breaker;
    rows_of_quarantine_round_trip = Quarantine;
    rows_of_capability_round_trip = Capability;
}

pub(crate) fn towns_do_not_see_each_other(site: &Site) {
    let mut bench = Bench::new(site);
    let (here, there) = (bead(1), bead(2));
    let same = |row: &Row| match row {
        Row::Bead(bead) => Row::Bead(crate::model::BeadRow { id: BeadId::new("gt-same").unwrap(), ..bead.clone() }),
        _ => unreachable!("it is a bead"),
    };
    let (here, there) = (same(&here), same(&there));
    bench.write(|txn| txn.put(&here).unwrap());
    assert_eq!(bench.read_in(&other_town(), |reader| reader.get(&here.key()).unwrap()), None);
    bench.write_in(&other_town(), |txn| txn.put(&there).unwrap());
    assert_eq!(bench.get(&here.key()), Some(here.clone()));
    bench.write(|txn| txn.delete(&here.key()).unwrap());
    assert_eq!(bench.read_in(&other_town(), |reader| reader.get(&there.key()).unwrap()), Some(there));
}

pub(crate) fn kinds_with_equal_keys_are_apart(site: &Site) {
    let mut bench = Bench::new(site);
    let id = BeadId::new("gt-1").unwrap();
    let text = Row::BeadText(BeadTextRow {
        id: id.clone(),
        description: "d".into(),
        design: String::new(),
        acceptance: String::new(),
        notes: String::new(),
    });
    bench.write(|txn| txn.put(&text).unwrap());
    assert_eq!(bench.get(&Key::bead(&id)), None);
    bench.write(|txn| txn.delete(&Key::bead(&id)).unwrap());
    assert_eq!(bench.get(&text.key()), Some(text));
}

fn keeps_text(site: &Site, description: &str) {
    let mut bench = Bench::new(site);
    let row = Row::BeadText(BeadTextRow {
        id: BeadId::new("gt-1").unwrap(),
        description: description.to_owned(),
        design: String::new(),
        acceptance: description.to_owned(),
        notes: "end".into(),
    });
    bench.write(|txn| txn.put(&row).unwrap());
    assert!(bench.get(&row.key()) == Some(row), "a text of {} bytes came back changed", description.len());
}

pub(crate) fn a_text_of_a_megabyte_is_kept(site: &Site) {
    keeps_text(site, &"0123456789äß日\n".repeat(1 << 16));
}

pub(crate) fn a_text_with_nul_is_kept(site: &Site) {
    keeps_text(site, "\0before\0after\0");
}

pub(crate) fn unicode_is_kept_as_it_is(site: &Site) {
    // Composed and decomposed, bidirectional, beyond the basic plane, and the highest code point.
    keeps_text(site, "é e\u{301} \u{202e}abc\u{202c} 🦀 \u{fffd}\u{10ffff} \u{feff}");
}

pub(crate) fn quotes_and_statements_are_only_text(site: &Site) {
    keeps_text(site, "'; DROP TABLE bead; -- \" ` ?1 :a @b $c \\");
}

pub(crate) fn the_extremes_of_integers_are_kept(site: &Site) {
    let mut bench = Bench::new(site);
    for n in [i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX - 1, i64::MAX] {
        let row = Row::Setting(SettingRow {
            scope: "town".into(),
            name: n.to_string(),
            value: serde_json::json!(n),
            updated_at: Timestamp::from_micros(n),
        });
        bench.write(|txn| txn.put(&row).unwrap());
        assert_eq!(bench.get(&row.key()), Some(row));
    }
}

pub(crate) fn keys_that_differ_by_case_or_form_are_apart(site: &Site) {
    let mut bench = Bench::new(site);
    let bead = BeadId::new("gt-1").unwrap();
    let labels = ["a", "A", "ä", "a\u{308}", "a ", " a", "", "1", "01", "1.0", "a\0", "null"];
    bench.write(|txn| {
        for label in labels {
            txn.put(&Row::Label(LabelRow { bead: bead.clone(), label: label.into() })).unwrap();
        }
    });
    for label in labels {
        assert!(bench.get(&Key::label(&bead, label)).is_some(), "{label:?}");
    }
    bench.write(|txn| txn.delete(&Key::label(&bead, "a")).unwrap());
    assert_eq!(labels.iter().filter(|label| bench.get(&Key::label(&bead, label)).is_none()).count(), 1);
}
