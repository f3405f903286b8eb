//! Cases about what a column holds: texts of every kind, JSON, nothing, and the ends of the numbers.

use serde_json::json;

use super::Site;
use super::kit::{Bench, id, issue, town};
use super::sample::{self, Draw};
use crate::model::value::{ColumnType, Value};
use crate::model::{BeadRow, IdempotencyRow, Key, LabelRow, Row, RowKind, SettingRow, Timestamp};
use crate::store::index::INDEXES;

/// Whether a scan compares this column, so that an index holds it.
fn is_indexed(kind: RowKind, name: &str) -> bool {
    INDEXES.iter().any(|index| index.kind == kind && index.prefix.iter().chain(index.order).any(|other| *other == name))
}

/// Every row of the sample with one column set to `value`, as far as the column can hold it: key and indexed ones where
/// `which` says so.
fn with_each_column(value: &Value, which: fn(is_indexed: bool) -> bool, seed: u64) -> Vec<(&'static str, Row)> {
    let mut draw = Draw::new(seed);
    let mut rows = Vec::new();
    for &kind in RowKind::ALL {
        for (place, column) in kind.columns().iter().enumerate() {
            let is_key = place < kind.key_len();
            if !which(is_key || is_indexed(kind, column.name)) {
                continue;
            }
            let mut values = sample::row(kind, &town(), &mut draw).to_values();
            values[place] = value.clone();
            // A closed set of words and a checked id refuse it.
            if let Ok(row) = kind.decode(&values)
                && row.to_values() == values
            {
                rows.push((column.name, row));
            }
        }
    }
    rows
}

fn keeps_in_each_column(site: &Site, value: &Value, which: fn(is_indexed: bool) -> bool, wanted: usize) {
    let mut bench = Bench::new(site);
    let rows = with_each_column(value, which, 81);
    assert!(rows.len() >= wanted, "{} columns take it", rows.len());
    for (column, row) in rows {
        bench.write(|txn| txn.put(&row).unwrap());
        assert!(bench.get(&row.key()).as_ref() == Some(&row), "{column} of {} changed", row.kind().table());
        bench.write(|txn| txn.delete(&row.key()).unwrap());
        assert!(bench.get(&row.key()).is_none(), "{column} of {} stayed", row.kind().table());
    }
}

fn everywhere(_: bool) -> bool {
    true
}

fn where_no_index_is(is_indexed: bool) -> bool {
    !is_indexed
}

pub(crate) fn every_text_column_keeps_nul(site: &Site) {
    keeps_in_each_column(site, &Value::Text("\0a\0\0b\0".into()), everywhere, 30);
}

pub(crate) fn every_text_column_keeps_unicode(site: &Site) {
    keeps_in_each_column(
        site,
        &Value::Text("é e\u{301} \u{202e}x🦀\u{fffd}\u{10ffff}\u{feff} ".into()),
        everywhere,
        30,
    );
}

pub(crate) fn every_text_column_keeps_what_looks_like_something_else(site: &Site) {
    for words in ["null", "0", "-1", "1e5", "true", "[]", "\\N", "\\0", "\\x00", "%s", "{}", "' OR 1=1 --"] {
        keeps_in_each_column(site, &Value::Text(words.into()), everywhere, 30);
    }
}

pub(crate) fn every_text_column_keeps_an_empty_text(site: &Site) {
    keeps_in_each_column(site, &Value::Text(String::new()), everywhere, 30);
}

pub(crate) fn every_text_column_keeps_white_space_at_its_ends(site: &Site) {
    keeps_in_each_column(site, &Value::Text(" \t\r\n a \n\n ".into()), everywhere, 30);
}

pub(crate) fn every_text_column_without_an_index_keeps_a_megabyte(site: &Site) {
    keeps_in_each_column(site, &Value::Text("0123456789äß日\n".repeat(1 << 16)), where_no_index_is, 20);
}

pub(crate) fn an_indexed_text_may_have_five_hundred_bytes(site: &Site) {
    let mut bench = Bench::new(site);
    // Not one that a machine would find easy to shorten.
    let mut draw = Draw::new(82);
    let mut words = || (0..125).map(|_| draw.of(&['ä', 'b', '日', '🦀'])).map(String::from).collect::<String>();
    let rows = [
        Row::Label(LabelRow { bead: id("gt-1"), label: words() }),
        Row::Idempotency(IdempotencyRow {
            principal: words(),
            operation: words(),
            idempotency_key: words(),
            request_hash: String::new(),
            answer: json!(null),
            created_at: Timestamp::from_micros(0),
        }),
        Row::Bead(BeadRow { assignee: Some(words()), ..issue("gt-1") }),
    ];
    bench.write(|txn| super::kit::put_all(txn, &rows));
    for row in rows {
        assert_eq!(bench.get(&row.key()), Some(row));
    }
}

/// For each nullable column of each type: this value and nothing are two things.
fn is_not_nothing(site: &Site, column_type: ColumnType, value: &Value) {
    let mut bench = Bench::new(site);
    let mut draw = Draw::new(83);
    let mut seen = 0;
    for &kind in RowKind::ALL {
        for (place, column) in kind.columns().iter().enumerate() {
            if !column.nullable || column.column_type != column_type {
                continue;
            }
            let mut values = sample::row(kind, &town(), &mut draw).to_values();
            for value in [value.clone(), Value::Null, value.clone()] {
                values[place] = value;
                let Ok(row) = kind.decode(&values) else { continue };
                bench.write(|txn| txn.put(&row).unwrap());
                let found = bench.get(&row.key()).unwrap();
                assert_eq!(found.to_values()[place], values[place], "{} of {}", column.name, kind.table());
                seen += 1;
            }
        }
    }
    assert!(seen > 10, "{seen} values");
}

pub(crate) fn an_empty_text_is_not_nothing(site: &Site) {
    is_not_nothing(site, ColumnType::Text, &Value::Text(String::new()));
}

pub(crate) fn a_zero_is_not_nothing(site: &Site) {
    is_not_nothing(site, ColumnType::Int, &Value::Int(0));
}

pub(crate) fn the_extremes_of_every_number_column_are_kept(site: &Site) {
    for n in [i64::MIN, -1, 0, 1, i64::from(u32::MAX), (1 << 53) + 1, i64::MAX] {
        keeps_in_each_column(site, &Value::Int(n), everywhere, 20);
    }
}

fn keeps_json(site: &Site, texts: &[&str]) {
    let mut bench = Bench::new(site);
    for words in texts {
        let value: serde_json::Value = serde_json::from_str(words).unwrap();
        let bead = Row::Bead(BeadRow { metadata: value.clone(), extra: Some(value.clone()), ..issue("gt-1") });
        let setting = Row::Setting(SettingRow {
            scope: "town".into(),
            name: "x".into(),
            value,
            updated_at: Timestamp::from_micros(0),
        });
        bench.write(|txn| super::kit::put_all(txn, &[bead.clone(), setting.clone()]));
        for row in [bead, setting] {
            let found = bench.get(&row.key()).unwrap();
            assert_eq!(found, row, "{words}");
            assert_eq!(found.to_values(), row.to_values(), "to the byte: {words}");
        }
    }
}

pub(crate) fn an_empty_value_of_metadata_is_not_an_absent_one(site: &Site) {
    keeps_json(site, &[r#"{"gt:a":""}"#, "{}", r#"{"gt:a":null}"#, r#"{"":""}"#, r#"{"gt:a":"","gt:b":"x"}"#]);
}

pub(crate) fn a_null_of_json_is_not_an_absent_value(site: &Site) {
    let mut bench = Bench::new(site);
    for extra in [Some(json!(null)), None, Some(json!("null")), Some(json!({})), Some(json!([]))] {
        let row = BeadRow { extra, ..issue("gt-1") };
        bench.write(|txn| txn.put(&Row::Bead(row.clone())).unwrap());
        let Some(Row::Bead(found)) = bench.get(&Key::bead(&id("gt-1"))) else { panic!("the bead is there") };
        // A null is written as JSON and comes back as one; whoever reads it may take it for nothing.
        assert_eq!(Row::Bead(found).to_values(), Row::Bead(row).to_values());
    }
}

pub(crate) fn numbers_in_json_are_kept_to_the_digit(site: &Site) {
    keeps_json(
        site,
        &[
            "[0,-0.0,1,1.0,1e2,1e-7,0.1,0.30000000000000004,1.7976931348623157e308,5e-324]",
            "[9007199254740993,9223372036854775807,-9223372036854775808,18446744073709551615]",
        ],
    );
}

pub(crate) fn unknown_words_in_json_are_kept(site: &Site) {
    keeps_json(
        site,
        &[
            r#"{"unknown":{"of":["a","later",{"version":true}]},"Unknown":1,"unknown ":2}"#,
            r#"{"a":{"a":{"a":[[[[]]]]}},"__proto__":{},"$ref":"x","type":"string"}"#,
        ],
    );
}

pub(crate) fn texts_in_json_are_kept_as_they_are(site: &Site) {
    keeps_json(
        site,
        &[
            r#"{"a\u0000b":"\u0000","quote":"\"\\\/\b\f\n\r\t","high":"\ud83e\udd80","last":"\uffff"}"#,
            r#""a text by itself""#,
            r#"{"ä":"e\u0301","\u202e":"\u2028"}"#,
        ],
    );
}

pub(crate) fn deep_and_wide_json_is_kept(site: &Site) {
    let deep = format!("{}1{}", "[".repeat(100), "]".repeat(100));
    let wide = serde_json::to_string(
        &(0..5_000).map(|n| (format!("key {n:04}"), n)).collect::<std::collections::BTreeMap<_, _>>(),
    )
    .unwrap();
    keeps_json(site, &[&deep, &wide]);
}

pub(crate) fn words_of_a_users_own_are_kept(site: &Site) {
    let mut bench = Bench::new(site);
    for words in ["task", "Bug", "épique", "a b/c:d", "open", ""] {
        let row = Row::Bead(BeadRow {
            issue_type: words.into(),
            source_status: Some(words.into()),
            external_ref: Some(words.into()),
            created_by: words.into(),
            ..issue("gt-1")
        });
        bench.write(|txn| txn.put(&row).unwrap());
        assert_eq!(bench.get(&row.key()), Some(row));
    }
}

pub(crate) fn a_title_is_kept_byte_for_byte(site: &Site) {
    let mut bench = Bench::new(site);
    for title in ["Fix  the   build ", "\u{a0}\u{200b}x", "TITLE title", "a\u{308} ä", "a\u{1}\u{7f}", &"é".repeat(250)]
    {
        let row = Row::Bead(BeadRow { title: title.to_owned(), ..issue("gt-1") });
        bench.write(|txn| txn.put(&row).unwrap());
        assert_eq!(bench.get(&row.key()), Some(row));
    }
}

pub(crate) fn times_are_kept_to_the_microsecond(site: &Site) {
    let mut bench = Bench::new(site);
    for micros in [0, 1, -1, 999_999, 1_000_000, 1_732_221_296_123_457, -62_135_596_800_000_001, i64::MAX, i64::MIN] {
        let at = Timestamp::from_micros(micros);
        let row = Row::Bead(BeadRow {
            created_at: at,
            updated_at: at,
            closed_at: Some(at),
            due_at: Some(at),
            ..issue("gt-1")
        });
        bench.write(|txn| txn.put(&row).unwrap());
        assert_eq!(bench.get(&row.key()), Some(row));
    }
}
