//! What a reader makes of bad and strange lines.

use std::io::{BufRead, BufReader, Read};

use super::super::{CommentId, Conflicts, Entry, Limits, Rank, Reader, Record, Side, collect};
use super::{all, codes, flaws, issue, one};

#[test]
fn a_bad_line_is_told_with_its_place_and_the_rest_is_read() {
    let text = b"{\"id\":\"a\",\"title\":\"x\"}\r\n\n\
        plain text\n\
        {\"id\":\"b\",\"title\":\"cut\n\
        {\"id\":\"c\",\"title\":\"\xff\"}\n\
        [1,2]\n\
        {\"title\":\"no id\"}\n\
        {\"id\":\"d\",\"title\":\"y\"} {}\n\
        {\"id\":\"e\",\"title\":\"z\"}";
    let entries = all(text, Limits::default());
    let found: Vec<_> = flaws(&entries).iter().map(|flaw| (flaw.line, flaw.column, flaw.code)).collect();
    assert_eq!(
        found,
        [
            (3, 1, "not_json"),
            (4, 22, "line_cut"),
            (5, 20, "invalid_utf8"),
            (6, 1, "not_an_object"),
            (7, 1, "id_missing"),
            (8, 24, "not_json"),
        ]
    );
    let read = entries.iter().filter(|entry| matches!(entry, Entry::Read(_))).count();
    assert_eq!(read, 2);
    let strict = Limits { strict: true, ..Limits::default() };
    let mut reader = Reader::new(&text[..], strict);
    assert!(matches!(reader.next_entry(), Ok(Some(Entry::Read(_)))));
    let error = reader.next_entry().unwrap_err();
    assert_eq!((error.code(), error.fact("line")), ("not_json", Some("3")));
    assert_eq!(reader.next_entry().unwrap(), None, "an error ends the reading");
}

#[test]
fn marks_at_the_beginning_and_line_ends_are_told_once() {
    let line = one("\u{feff}{\"id\":\"a\",\"title\":\"t\"}\r\n{\"id\":\"b\",\"title\":\"t\"}\r\n");
    assert_eq!(codes(&line)[..2], ["byte_order_mark", "crlf"]);
    let text = "{\"id\":\"a\",\"title\":\"t\"}\r\n".repeat(2);
    let told = all(text.as_bytes(), Limits::default());
    let told = told.iter().filter(|entry| matches!(entry, Entry::Read(line) if codes(line).contains(&"crlf")));
    assert_eq!(told.count(), 1);
}

#[test]
fn a_long_line_is_passed_over_without_being_held() {
    let limits = Limits { line_bytes_max: 100, ..Limits::default() };
    let text = format!("{{\"id\":\"a\",\"title\":\"{}\"}}\n{{\"id\":\"b\",\"title\":\"t\"}}\n", "x".repeat(10_000));
    let mut reader = Reader::new(BufReader::with_capacity(64, text.as_bytes()), limits);
    let Some(Entry::Flaw(flaw)) = reader.next_entry().unwrap() else { panic!("a flaw") };
    assert_eq!((flaw.line, flaw.code), (1, "line_too_long"));
    assert!(flaw.message.contains("10022 bytes"), "{flaw}");
    assert!(matches!(reader.next_entry(), Ok(Some(Entry::Read(_)))));
    assert_eq!(reader.bytes(), text.len() as u64);
    for length in 99..=102 {
        let text = format!("{}\n", "x".repeat(length));
        let entries = all(text.as_bytes(), Limits { line_bytes_max: 100, ..Limits::default() });
        assert_eq!(flaws(&entries)[0].code, if length > 100 { "line_too_long" } else { "not_json" }, "{length}");
    }
}

#[test]
fn a_line_of_fifty_megabytes_is_read() {
    let text = format!("{{\"id\":\"a\",\"title\":\"t\",\"notes\":\"{}\"}}\n", "n".repeat(50 << 20));
    assert_eq!(issue(&text).notes.len(), 50 << 20);
}

/// A gigabyte of lines that is never held.
struct Stream {
    line: Vec<u8>,
    left: usize,
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let from = self.line.len() - self.left.min(self.line.len());
        let from = if self.left >= self.line.len() { 0 } else { from };
        let length = buffer.len().min(self.line.len() - from).min(self.left);
        buffer[..length].copy_from_slice(&self.line[from..from + length]);
        self.left -= length;
        Ok(length)
    }
}

#[test]
fn a_long_stream_leaves_no_more_behind_than_its_ids() {
    let line = format!("{{\"id\":\"a\",\"title\":\"t\",\"notes\":\"{}\"}}\n", "n".repeat(2 << 20)).into_bytes();
    let rounds = 100;
    let source = Stream { left: line.len() * rounds, line };
    let mut reader = Reader::new(BufReader::with_capacity(1 << 22, source), Limits::default());
    let mut read = 0;
    while let Some(entry) = reader.next_entry().unwrap() {
        assert!(matches!(entry, Entry::Read(_)), "{entry:?}");
        read += 1;
    }
    assert_eq!(read, rounds);
}

#[test]
fn a_source_that_fails_ends_the_reading_with_its_error() {
    struct Fails;
    impl Read for Fails {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("unplugged"))
        }
    }
    impl BufRead for Fails {
        fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
            Err(std::io::Error::other("unplugged"))
        }
        fn consume(&mut self, _: usize) {}
    }
    let error = Reader::new(Fails, Limits::default()).next_entry().unwrap_err();
    assert_eq!(error.code(), "source_unreadable");
    assert!(error.chain().contains("unplugged"));
}

#[test]
fn deep_and_wide_values_are_refused_and_not_followed() {
    let deep = format!("{{\"id\":\"a\",\"title\":\"t\",\"x\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(flaws(&all(deep.as_bytes(), Limits::default()))[0].code, "nested_too_deep");
    let wide = format!("{{\"id\":\"a\",\"title\":\"t\",\"metadata\":[{}0]}}", "0,".repeat(1000));
    let limits = Limits { values_max: 1000, ..Limits::default() };
    assert_eq!(flaws(&all(wide.as_bytes(), limits))[0].code, "too_many_values");
    let text =
        format!("{{\"id\":\"a\",\"title\":\"t\",\"metadata\":{}}}", serde_json::to_string(&"[".repeat(1000)).unwrap());
    assert_eq!(flaws(&all(text.as_bytes(), Limits::default()))[0].code, "nested_too_deep");
}

#[test]
fn the_sides_of_an_unfinished_merge_are_told_apart() {
    let text = b"{\"id\":\"a\",\"title\":\"t\"}\n<<<<<<< HEAD\n{\"id\":\"b\",\"title\":\"t\"}\n||||||| base\n{\"id\":\"c\",\"title\":\"t\"}\n=======\n{\"id\":\"d\",\"title\":\"t\"}\n>>>>>>> other\n{\"id\":\"e\",\"title\":\"t\"}\n<<<<<<<\n";
    let entries = all(text, Limits::default());
    let sides: Vec<_> =
        entries.iter().filter_map(|entry| if let Entry::Read(line) = entry { Some(line.side) } else { None }).collect();
    assert_eq!(sides, [None, Some(Side::Ours), Some(Side::Base), Some(Side::Theirs), None]);
    let told: Vec<_> = flaws(&entries).iter().map(|flaw| (flaw.line, flaw.code)).collect();
    assert_eq!(told.last(), Some(&(10, "conflict_unfinished")));
    assert!(flaws(&entries)[3].message.contains("of line 2 ends (other)"));
    let skipped = all(text, Limits { conflicts: Conflicts::Skip, ..Limits::default() });
    assert_eq!(flaws(&skipped).iter().filter(|flaw| flaw.code == "side_refused").count(), 3);
    let refused: Result<Vec<_>, _> =
        Reader::new(&text[..], Limits { conflicts: Conflicts::Refuse, ..Limits::default() }).collect();
    assert_eq!(refused.unwrap_err().code(), "conflict_marker");
}

#[test]
fn a_line_of_another_issue_with_the_same_id_is_told_from_one_of_the_same() {
    let line = |title: &str, day: u32| {
        format!("{{\"id\":\"a\",\"title\":\"{title}\",\"created_at\":\"2025-01-0{day}T00:00:00Z\"}}\n")
    };
    let text = [line("oak", 2), line("elm", 1), line("oak", 2), line("pine", 2)].concat();
    let told: Vec<_> = all(text.as_bytes(), Limits::default())
        .into_iter()
        .filter_map(|entry| {
            let Entry::Read(line) = entry else { panic!() };
            let said = line.repairs.into_iter().find(|repair| repair.code == "duplicate_id");
            said.map(|said| (line.rank, said.message.into_owned()))
        })
        .collect();
    let wanted = [
        (
            Rank::Beside(1),
            "line 1 has the id as well, and is of another issue, made at another time under another title",
        ),
        (Rank::Replaces(1), "line 1 has the id as well, and is as new"),
        (Rank::Replaces(3), "line 3 has the id as well, and is as new"),
    ];
    assert_eq!(told, wanted.map(|(rank, said)| (rank, said.to_owned())));
    let (issues, left) = collect(Reader::new(text.as_bytes(), Limits::default())).unwrap();
    assert_eq!(
        (issues.len(), issues["a"].title.as_str(), left.len()),
        (2, "elm", 2),
        "the one made first keeps the id"
    );
}

#[test]
fn the_newer_of_two_lines_with_one_id_wins() {
    let line = |at: &str| format!("{{\"id\":\"a\",\"title\":\"t\",\"created_at\":\"{at}\",\"updated_at\":\"{at}\"}}\n");
    let text = [line("2025-01-02T00:00:00Z"), line("2025-01-01T00:00:00Z"), line("2025-01-02T00:00:00Z")].concat();
    let ranks: Vec<_> = all(text.as_bytes(), Limits::default())
        .into_iter()
        .map(|entry| if let Entry::Read(line) = entry { line.rank } else { panic!() })
        .collect();
    assert_eq!(ranks, [Rank::First, Rank::Yields(1), Rank::Replaces(1)]);
    let few = Limits { ids_max: 1, ..Limits::default() };
    let text = "{\"id\":\"a\",\"title\":\"t\"}\n{\"id\":\"b\",\"title\":\"t\"}\n{\"id\":\"c\",\"title\":\"t\"}\n";
    let told = all(text.as_bytes(), few)
        .iter()
        .filter(|entry| matches!(entry, Entry::Read(line) if codes(line).contains(&"duplicates_unwatched")))
        .count();
    assert_eq!(told, 1);
}

#[test]
fn every_kind_of_line_is_known() {
    let kind = |text: &str| one(text).record;
    assert!(matches!(kind(r#"{"_type":"memory","key":"k","value":"v"}"#), Record::Memory(memory) if memory.key == "k"));
    assert!(matches!(kind(r#"{"id":"bd-4399"}"#), Record::Deletion(one) if one.id == "bd-4399" && one.ts.is_none()));
    assert!(
        matches!(kind(r#"{"id":"a","ts":"2025-11-27T00:22:34.278448-08:00","by":"me","reason":"r"}"#), Record::Deletion(one) if one.by == "me")
    );
    assert!(matches!(kind(r#"{"id":"a","status":"tombstone"}"#), Record::Tombstone(_)));
    assert!(matches!(kind(r#"{"key":"k","value":"v"}"#), Record::Setting(_)));
    assert!(matches!(kind(r#"{"issue_id":"a","label":"l"}"#), Record::Label(_)));
    assert!(
        matches!(kind(r#"{"issue_id":"a","depends_on_id":"b","type":"parent_child"}"#), Record::Edge(edge) if edge.kind == "parent-child")
    );
    assert!(
        matches!(kind(r#"{"issue_id":"a","text":"t","id":"uuid"}"#), Record::Comment(one) if one.id == CommentId::Text("uuid".into()))
    );
    assert!(
        matches!(kind(r#"{"issue_id":"a","event_type":"created","id":3}"#), Record::Event(one) if one.id == CommentId::Number(3))
    );
    assert!(matches!(kind(r#"{"id":"int-1","kind":"llm_call","issue_id":"a"}"#), Record::Other(_)));
    assert!(matches!(kind(r#"{"_type":"route","prefix":"a","path":"b"}"#), Record::Other(_)));
    assert!(matches!(kind("{}"), Record::Other(_)));
}

#[test]
fn contradictions_are_put_right_and_told() {
    let line = one(
        r#"{"id":"a","title":"","status":"closed","issue_type":"feat","created_at":"2025-01-02T00:00:00Z","updated_at":"2025-01-01T00:00:00Z","wisp":true,"pinned":1,"priority":7,"labels":["x","x"],"estimated_minutes":1e99,"due_at":"soon","title":"t","dependencies":[{"issue_id":"a","depends_on_id":"a","type":"parent_child"},{"issue_id":"z","depends_on_id":"b","type":"blocks"},{"issue_id":"z","depends_on_id":"b","type":"blocks"},3],"comments":[1]}"#,
    );
    let mut found = codes(&line);
    found.sort_unstable();
    found.dedup();
    assert_eq!(
        found,
        [
            "bool_as_number",
            "closed_at_missing",
            "comment_malformed",
            "duplicate_edge",
            "duplicate_key",
            "duplicate_label",
            "edge_elsewhere",
            "edge_malformed",
            "edge_spelling",
            "key_renamed",
            "number_out_of_range",
            "priority_out_of_range",
            "self_edge",
            "time_unreadable",
            "type_alias",
            "updated_before_created",
        ]
    );
    let Record::Issue(issue) = &line.record else { panic!() };
    assert!(issue.ephemeral && issue.pinned && issue.priority == 4 && issue.issue_type == "feature");
    assert_eq!(issue.closed_at.as_ref().unwrap().to_string(), "2025-01-02T00:00:01Z");
    let mut found = codes(&one(r#"{"id":"a","status":"odd","issue_type":"","priority":null}"#));
    found.sort_unstable();
    assert_eq!(
        found,
        ["priority_missing", "status_unknown", "time_missing", "time_missing", "title_missing", "type_missing"]
    );
    let found = codes(&one(
        r#"{"id":"a","title":"t","priority":1,"issue_type":"bug","created_at":"2025-01-02 00:00:00","updated_at":"2025-01-02T00:00:00Z","closed_at":"2025-01-02T00:00:00Z","metadata":"{}","assignee":4,"status":""}"#,
    ));
    assert_eq!(found, ["time_without_offset", "json_as_text", "wrong_type", "status_missing", "closed_at_unexpected"]);
    let found = codes(&one(
        r#"{"id":"a","title":"t","status":"closed","created_at":"2025-01-02T00:00:00Z","updated_at":"2025-01-02T00:00:00Z","closed_at":"2025-01-01T00:00:00Z"}"#,
    ));
    assert_eq!(found, ["type_missing", "priority_missing", "closed_at_before_created"]);
}

#[test]
fn what_is_said_of_an_edge_names_the_edge_and_its_column() {
    let text = r#"{"id":"a","title":"t","status":"open","priority":1,"issue_type":"bug","created_at":"2025-01-02T00:00:00Z","updated_at":"2025-01-02T00:00:00Z","dependencies":[{"issue_id":"a","depends_on_id":"b","type":"blocks","metadata":"{\"gate\":1}"},{"issue_id":"a","depends_on_id":"c","type":"parent_child"},{"issue_id":"z","depends_on_id":"d","type":"odd"},{"issue_id":"a","depends_on_id":"a","type":"blocks","created_at":7},{"issue_id":"a","depends_on_id":"b","type":"blocks"}],"comments":[{"id":1,"author":"x","text":2}]}"#;
    let mut reader = Reader::new(text.as_bytes(), Limits::default());
    let Some(Entry::Read(line)) = reader.next_entry().unwrap() else { panic!() };
    let mut told: Vec<_> = line.repairs.iter().map(|repair| (repair.key.as_ref(), repair.code)).collect();
    told.sort_unstable();
    assert_eq!(
        told,
        [
            ("comments[0].text", "wrong_type"),
            ("dependencies[1].type", "edge_spelling"),
            ("dependencies[2].issue_id", "edge_elsewhere"),
            ("dependencies[2].type", "edge_kind_unknown"),
            ("dependencies[3].created_at", "wrong_type"),
            ("dependencies[3].depends_on_id", "self_edge"),
            ("dependencies[4].depends_on_id", "duplicate_edge"),
        ]
    );
    let at = |key: &str| {
        let column = usize::try_from(reader.column_of(key).unwrap()).unwrap();
        text[column - 1..].split([',', '}']).next().unwrap()
    };
    assert_eq!(at("dependencies[1].type"), r#""parent_child""#);
    assert_eq!(at("dependencies[3].created_at"), "7");
    assert_eq!(at("comments[0].text"), "2");
    assert_eq!(at("dependencies[1].thread_id"), r#"{"issue_id":"a""#, "a key that is absent is where its edge begins");
    assert_eq!(reader.column_of("dependencies[9].type"), None);
}
