//! Lines are given back as they were, until a value changes.

use serde_json::Value;

use super::super::{Dialect, Record, Time};
use super::{issue, one, written};
use crate::model::Timestamp;

const STRANGE: &str = r#"{"id":"a","title":"t","status":"closed","issue_type":"mr","created_at":"2025-01-02T00:00:00.100-07:00","updated_at":"2020-01-01T00:00:00Z","wisp":true,"pinned":1,"ephemeral":0,"is_template":false,"assignee":null,"design":"","priority":7,"estimated_minutes":30.0,"metadata":"{\"b\": 1}","waiters":"x, y","labels":[],"due_at":"","owner":5,"comments":[{"id":"u","x":1e2}],"dependencies":[{"depends_on_id":"b","type":"parent_child","metadata":"","thread_id":""},7],"extra":{"big":123456789012345678901234567890,"f":1.0,"e":1e5},"beyond":1e999,"timeout_ns":5}"#;

/// Compares as texts what numbers would hide.
fn tokens(text: &str) -> std::collections::BTreeMap<String, String> {
    let pairs: std::collections::BTreeMap<String, Box<serde_json::value::RawValue>> =
        serde_json::from_str(text).unwrap();
    pairs.into_iter().map(|(key, raw)| (key, raw.get().to_owned())).collect()
}

#[test]
fn a_strange_line_is_given_back_to_the_digit() {
    let line = one(STRANGE);
    assert_eq!(tokens(&written(&line.record, Dialect::Native)), tokens(STRANGE));
    let Record::Issue(issue) = line.record else { panic!() };
    let residue = issue.residue(|_| false);
    let mut stored = super::Issue::default();
    stored.restore(&residue);
    assert_eq!(tokens(&written(&Record::Issue(Box::new(stored)), Dialect::Native)), tokens(STRANGE));
}

#[test]
fn a_changed_value_is_written_and_not_what_it_came_as() {
    let mut issue = issue(STRANGE);
    issue.created_at = Some(Time::new(Timestamp::from_micros(0)));
    issue.priority = 1;
    issue.issue_type = "bug".into();
    issue.closed_at = Some(Time::new(Timestamp::from_micros(1)));
    issue.assignee = "me".into();
    issue.pinned = false;
    issue.metadata = Some(serde_json::json!({"b": 2}));
    issue.extra.insert("beyond".into(), Value::Bool(true));
    let text = written(&Record::Issue(Box::new(issue)), Dialect::Native);
    let now: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    for (key, value) in [
        ("created_at", Value::from("1970-01-01T00:00:00Z")),
        ("priority", Value::from(1)),
        ("issue_type", Value::from("bug")),
        ("closed_at", Value::from("1970-01-01T00:00:00.000001Z")),
        ("assignee", Value::from("me")),
        ("metadata", serde_json::json!({"b": 2})),
        ("beyond", Value::Bool(true)),
    ] {
        assert_eq!(now[key], value, "{key}");
    }
    assert!(now.get("pinned").is_none() || now["pinned"] == 0);
}

#[test]
fn other_tools_get_plain_types() {
    let line = one(&STRANGE.replace("1e999", "1"));
    let bd: Value = serde_json::from_str(&written(&line.record, Dialect::Bd)).unwrap();
    assert_eq!(
        (&bd["_type"], &bd["pinned"], &bd["ephemeral"]),
        (&Value::from("issue"), &Value::Bool(true), &Value::Bool(true))
    );
    assert_eq!(
        (&bd["priority"], &bd["dependency_count"], &bd["metadata"]),
        (&Value::from(4), &Value::from(1), &serde_json::json!({"b": 1}))
    );
    assert_eq!(bd["dependencies"][0]["issue_id"], "a");
    assert_eq!(
        bd["updated_at"],
        bd["dependencies"].as_array().map_or(Value::Null, |_| Value::from("2025-01-02T07:00:00.1Z"))
    );
    assert!(bd.get("wisp").is_none() && bd.get("assignee").is_none());
    let br: Value = serde_json::from_str(&written(&line.record, Dialect::Br)).unwrap();
    assert_eq!(
        (&br["source_repo"], &br["original_size"], &br["comments"][0]["id"]),
        (&Value::from("."), &Value::from(0), &Value::from(1))
    );
    assert_eq!(br["dependencies"][0]["metadata"], "{}");
    assert_eq!(br["dependencies"][0]["type"], "parent-child");
}

#[test]
fn other_tools_get_the_facts_of_an_edge_as_a_text() {
    let line = one(
        r#"{"id":"a","title":"t","metadata":{"k":1},"dependencies":[{"depends_on_id":"b","type":"waits-for","metadata":{"gate":"any-children","x":2}}]}"#,
    );
    for dialect in [Dialect::Bd, Dialect::Br] {
        let said: Value = serde_json::from_str(&written(&line.record, dialect)).unwrap();
        assert_eq!(said["dependencies"][0]["metadata"], r#"{"gate":"any-children","x":2}"#, "{dialect:?}");
        assert_eq!(said["metadata"], serde_json::json!({"k": 1}), "{dialect:?}");
    }
    for odd in [r#""junk""#, r#""3""#, r#"" {}""#, r#""null""#, r#""{\"a\"""#, "3", "true"] {
        let text = r#"{"id":"a","title":"t","dependencies":[{"depends_on_id":"b","type":"blocks","metadata":ODD}]}"#;
        let once = written(&one(&text.replace("ODD", odd)).record, Dialect::Bd);
        let said = serde_json::from_str::<Value>(&once).unwrap()["dependencies"][0]["metadata"].clone();
        let meant = serde_json::from_str::<String>(odd).unwrap_or_else(|_| odd.to_owned());
        assert_eq!(said, meant, "it is a text");
        assert_eq!(written(&one(&once).record, Dialect::Bd), once, "it is the same each time");
    }
    let native = written(&line.record, Dialect::Native);
    assert!(native.contains(r#""metadata":{"gate":"any-children","x":2}"#), "it is written as it came: {native}");
    let Record::Issue(mut issue) = line.record else { panic!() };
    issue.dependencies[0].set_gate(crate::model::WaitGate::AllChildren);
    let changed = written(&Record::Issue(issue), Dialect::Native);
    assert!(changed.contains(r#""metadata":"{\"gate\":\"all-children\",\"x\":2}""#), "{changed}");
}
