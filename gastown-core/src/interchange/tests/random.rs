//! No bytes at all make a reader or a writer fall over.

use proptest::prelude::*;
use serde_json::Value;

use super::super::{Dialect, Entry, Limits, Reader, Record};
use super::written;

/// Reads anything; what is read is written, read again and equal.
fn read_anything(bytes: &[u8]) {
    let limits = Limits { line_bytes_max: 1 << 16, values_max: 500, ..Limits::default() };
    let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    for entry in Reader::new(bytes, limits) {
        let Entry::Read(line) = entry.expect("memory is readable") else { continue };
        let text = written(&line.record, Dialect::Native);
        for dialect in [Dialect::Bd, Dialect::Br] {
            serde_json::from_str::<serde::de::IgnoredAny>(&written(&line.record, dialect)).expect("JSON is written");
        }
        let source = lines[usize::try_from(line.number).unwrap() - 1];
        if let Ok(source) = serde_json::from_slice::<Value>(source.strip_prefix(b"\xef\xbb\xbf").unwrap_or(source)) {
            assert_eq!(serde_json::from_str::<Value>(&text).expect("JSON is written"), source);
        }
        if let Record::Issue(issue) | Record::Tombstone(issue) = line.record {
            let residue = issue.residue(|_| false);
            let mut stored = super::Issue::default();
            stored.restore(&residue);
            assert_eq!(written(&Record::Issue(Box::new(stored)), Dialect::Native), text);
        }
    }
}

const SEEDS: [&str; 4] = [
    r#"{"id":"a","title":"t","status":"closed","priority":2,"issue_type":"task","created_at":"2025-01-02T00:00:00.100-07:00","updated_at":"2020-01-01T00:00:00Z","closed_at":null,"pinned":0,"metadata":"{\"a\":1}","labels":["x"],"dependencies":[{"issue_id":"a","depends_on_id":"b","type":"parent_child","metadata":"{}"}],"comments":[{"id":1,"text":"é"}],"unknown":{"n":1e5}}"#,
    r#"{"id":"bd-1","ts":"2025-11-27T00:22:34.278448-08:00","by":"x","reason":"r"}"#,
    r#"{"issue_id":"a","event_type":"updated","id":1,"old_value":"{}","created_at":"2025-11-27T00:22:34Z"}"#,
    r#"{"_type":"memory","key":"k","value":"v"}"#,
];

/// Any JSON value under any known key.
fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-3_i64..10).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[ -~]{0,8}".prop_map(Value::from),
        prop_oneof!["2025-01-0[1-9]T00:00:00(\\.[0-9]{1,9})?(Z|[+-]0[0-9]:00)?", "\\{\"a\":[0-9]\\}", "\\[\"x\"\\]"]
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(key(), inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        9 => proptest::sample::select(super::super::Field::ALL).prop_map(|field| field.as_str().to_owned()),
        1 => "[a-z]{1,4}",
    ]
}

proptest! {
    #[test]
    fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        read_anything(&bytes);
    }

    #[test]
    fn lines_with_changed_bytes_are_read(
        seed in 0..SEEDS.len(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
        is_cut in any::<bool>(),
    ) {
        let mut bytes = SEEDS[seed].as_bytes().to_vec();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if is_cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        read_anything(&bytes);
    }

    #[test]
    fn any_value_under_any_key_is_given_back(map in proptest::collection::btree_map(key(), json(), 0..12)) {
        let mut object: serde_json::Map<String, Value> = map.into_iter().collect();
        object.insert("id".into(), "a".into());
        object.insert("title".into(), "t".into());
        read_anything(Value::Object(object).to_string().as_bytes());
    }
}
