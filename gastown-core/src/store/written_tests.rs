//! The journal's text, compared with what serde would write, for sample rows of every kind.

use super::conformance::sample::{self, Draw};
use crate::model::event::write_change;
use crate::model::{Head, RowKind, Timestamp, TownId, WrittenEvent};

fn town() -> TownId {
    TownId::new("town").unwrap()
}

#[test]
fn a_change_is_written_as_serde_writes_it() {
    for &kind in RowKind::ALL {
        for seed in 0..200 {
            let row = sample::row(kind, &town(), &mut Draw::new(seed));
            let mut text = String::new();
            row.with_cells(|cells| write_change(&mut text, &row.key(), Some(cells)));
            assert_eq!(text, serde_json::to_string(&row.to_change()).unwrap());
            text.clear();
            write_change(&mut text, &row.key(), None);
            assert_eq!(text, serde_json::to_string(&row.key().to_change()).unwrap());
        }
    }
}

#[test]
fn the_hash_of_the_text_is_the_hash_of_what_is_read() {
    let row = sample::row(RowKind::Bead, &town(), &mut Draw::new(3));
    let mut changes = "[".to_owned();
    row.with_cells(|cells| write_change(&mut changes, &row.key(), Some(cells)));
    changes.push(']');
    let data = serde_json::json!({ "z": 1.5, "a": ["\u{1}", null] });
    let head = Head { seq: 4, hash: "h".to_owned() };
    let written =
        WrittenEvent::next(&head, Timestamp::from_micros(9), "tess", None, "bead.changed", "gt-1", data, changes);
    let read = written.parse().unwrap();
    assert_eq!(read.hash, read.hash_after("h"));
    assert_eq!(read.changes, [row.to_change()]);
}
