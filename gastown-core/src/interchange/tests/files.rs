//! Whole files brought together.

use serde_json::{Value, json};

use super::super::{Document, FileMerge, Issues, merge_files};

fn line(id: &str, more: &Value) -> String {
    let mut issue = json!({
        "id": id, "title": "t", "status": "open", "priority": 2, "issue_type": "task",
        "created_at": "2025-01-01T00:00:00.000000001Z", "updated_at": "2025-01-01T00:00:00Z", "x": {"y": 1.50},
    });
    issue.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    format!("{issue}\n")
}

fn plain(id: &str) -> String {
    line(id, &json!({}))
}

fn titled(id: &str, title: &str, second: u32) -> String {
    line(id, &json!({ "title": title, "updated_at": format!("2025-01-01T00:00:{second:02}Z") }))
}

fn merge(base: &str, ours: &str, theirs: &str) -> (String, Vec<&'static str>, FileMerge) {
    let merge = merge_files(base.into(), ours.into(), theirs.into()).unwrap();
    let codes = merge.choices.iter().map(|choice| choice.code).collect();
    (String::from_utf8(merge.text.clone()).unwrap(), codes, merge)
}

#[test]
fn lines_that_need_no_change_stay_byte_for_byte_and_new_ones_are_sorted_in() {
    // Keys in an order of their own, and spaces.
    let odd = "{ \"title\":\"odd\", \"id\":\"gt-2\",\"status\":\"open\",\"zz\":1e3 }\n";
    let base = plain("gt-1") + odd;
    let ours = plain("gt-1") + odd + &plain("gt-4");
    let theirs = titled("gt-1", "u", 5) + odd + &plain("gt-3");
    let (text, codes, merge) = merge(&base, &ours, &theirs);
    assert_eq!(text, titled("gt-1", "u", 5) + odd + &plain("gt-3") + &plain("gt-4"));
    assert_eq!((codes, merge.issues), (vec![], 4));
}

#[test]
fn a_file_without_order_keeps_it_and_takes_what_is_new_at_its_end() {
    let base = plain("gt-9") + &plain("gt-1");
    let ours = plain("gt-9") + &plain("gt-1") + &plain("gt-5");
    let theirs = plain("gt-0") + &plain("gt-9") + &titled("gt-1", "u", 5);
    let (text, ..) = merge(&base, &ours, &theirs);
    assert_eq!(text, plain("gt-9") + &titled("gt-1", "u", 5) + &plain("gt-5") + &plain("gt-0"));
}

#[test]
fn lines_that_hold_no_issue_and_unreadable_ones_stay_unless_one_side_took_them_out() {
    let memory = |value: &str| format!("{{\"_type\":\"memory\",\"key\":\"k\",\"value\":\"{value}\"}}\n");
    let base = plain("gt-1") + "broken {\ngone\n" + &memory("a");
    let ours = plain("gt-1") + "broken {\nnew\n" + &memory("a") + &plain("gt-2");
    let theirs = "broken {\ngone\nother\n".to_owned() + &plain("gt-1") + &memory("b");
    let (text, codes, merge) = merge(&base, &ours, &theirs);
    assert_eq!(text, plain("gt-1") + "broken {\nnew\n" + &plain("gt-2") + "other\n" + &memory("b"));
    assert_eq!(codes, Vec::<&str>::new());
    assert_eq!((merge.ours.flaws, merge.theirs.flaws), (2, 3));
    assert_eq!((merge.ours.flawed[0].line, merge.ours.flawed[0].column), (2, 1));
    let (text, codes, _) = self::merge("", &memory("x"), &memory("y"));
    assert_eq!((text, codes), (memory("y"), vec!["record_conflict"]), "the greater text, and it is told");
}

#[test]
fn an_unfinished_merge_within_a_file_is_finished_by_field() {
    let base = titled("gt-1", "t", 0) + &plain("gt-2");
    let priority = line("gt-1", &json!({ "priority": 0, "updated_at": "2025-01-01T00:00:03Z" }));
    let ours = format!(
        "<<<<<<< HEAD\n{priority}=======\n{}{}>>>>>>> theirs\n{}",
        titled("gt-1", "u", 4),
        plain("gt-3"),
        plain("gt-2")
    );
    let (text, codes, merge) = merge(&base, &ours, &base);
    let both = line("gt-1", &json!({ "title": "u", "priority": 0, "updated_at": "2025-01-01T00:00:04Z" }));
    let values = |text: &str| -> Vec<Value> { text.lines().map(|line| serde_json::from_str(line).unwrap()).collect() };
    assert_eq!(values(&text), values(&(both + &plain("gt-2") + &plain("gt-3"))));
    assert_eq!((codes, merge.ours.markers, merge.ours.flaws), (vec![], 3, 0));
}

#[test]
fn where_the_markers_are_in_disorder_nothing_is_taken_for_deleted() {
    let base = plain("gt-1") + &plain("gt-2");
    // The end of the file is missing, and with it the other side.
    let ours = format!("{}<<<<<<< HEAD\n{}", plain("gt-1"), plain("gt-2"));
    let (text, ..) = merge(&base, &ours, &base);
    assert_eq!(text, base);
    let mut document = Document::read(ours.into_bytes()).unwrap();
    assert!(!document.contains("gt-2"));
    let known =
        Issues::from([("gt-2".into(), Document::read(plain("gt-2").into_bytes()).unwrap().issue("gt-2").unwrap())]);
    document.settle(&known, &mut |_| Ok(false)).unwrap();
    assert!(document.contains("gt-2"));
}

#[test]
fn of_two_lines_with_one_id_the_newer_stays_and_the_other_is_told() {
    let ours = titled("gt-1", "new", 9) + &titled("gt-1", "old", 3);
    let (text, codes, merge) = merge(&titled("gt-1", "old", 3), &ours, &titled("gt-1", "old", 3));
    assert_eq!((text, codes), (titled("gt-1", "new", 9), vec!["line_dropped"]));
    assert!(merge.choices[0].dropped.as_str().unwrap().contains("old"));
}

#[test]
fn a_deletion_that_both_made_in_their_own_way_is_no_conflict() {
    let dead = line("gt-1", &json!({ "status": "tombstone", "deleted_at": "2025-01-02T00:00:00Z" }));
    let base = plain("gt-1");
    for (ours, theirs) in [(&dead[..], ""), ("", &dead[..])] {
        let (text, codes, _) = merge(&base, ours, theirs);
        assert_eq!((text, codes), (dead.clone(), vec![]));
    }
    assert_eq!(merge(&dead, &dead, "").0, "", "a tombstone that one side took out is gone");
}

#[test]
fn counts_follow_what_they_count() {
    let edge = |on: &str| json!({ "issue_id": "gt-1", "depends_on_id": on, "type": "blocks" });
    let side = |edges: &[Value], second: u32| {
        let more = json!({ "dependencies": edges, "dependency_count": edges.len(), "updated_at": format!("2025-01-01T00:00:{second:02}Z") });
        line("gt-1", &more)
    };
    let (text, ..) =
        merge(&side(&[edge("a")], 0), &side(&[edge("a"), edge("b")], 1), &side(&[edge("a"), edge("c")], 2));
    let merged: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&merged["dependency_count"], merged["dependencies"].as_array().unwrap().len()), (&json!(3), 3));
}

#[test]
fn a_tombstone_that_gives_way_took_nothing_else_away() {
    let more = json!({ "description": "why", "priority": 1, "labels": ["a"], "assignee": "tess" });
    let thin =
        "{\"id\":\"gt-1\",\"title\":\"(deleted)\",\"status\":\"tombstone\",\"deleted_at\":\"2025-01-01T00:00:02Z\"}\n";
    let mut changed = more.clone();
    changed["notes"] = json!("later");
    changed["updated_at"] = json!("2025-01-01T00:00:05Z");
    let theirs = line("gt-1", &changed);
    let (text, codes, _) = merge(&line("gt-1", &more), thin, &theirs);
    assert_eq!((text, codes), (theirs, vec!["tombstone_lifted"]));
}
