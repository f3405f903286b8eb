//! The reader of lines that other tools write.

use std::io::BufReader;

use serde_json::Value as Json;

use crate::interchange::{Conflicts, Dialect, Entry, Flaw, Issue, Limits, Reader, Record, Writer};

/// The longest line, small so that longer ones come up.
const LINE_BYTES_MAX: usize = 1 << 12;

fn limits() -> Limits {
    Limits { line_bytes_max: LINE_BYTES_MAX, values_max: 200, ids_max: 50, ..Limits::default() }
}

/// Any bytes: every line gives a record, a flaw with its place, or is blank; what is read is written back as the same JSON
/// value; and neither how the bytes arrive nor what a caller puts up with changes what is in them.
pub(super) fn run(bytes: &[u8]) {
    let mut reader = Reader::new(bytes, limits());
    let mut entries = Vec::new();
    while let Some(entry) = reader.next_entry().expect("memory is readable") {
        entries.push(entry);
    }
    let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    assert_eq!(reader.bytes(), bytes.len() as u64);
    let mut last = 0;
    let mut flaws = 0;
    for entry in &entries {
        let number = match entry {
            Entry::Read(line) => line.number,
            Entry::Flaw(flaw) => flaw.line,
        };
        let ends_open = matches!(entry, Entry::Flaw(Flaw { code: "conflict_unfinished", .. }));
        assert!(number > last || ends_open, "lines come in order, each once");
        last = number;
        match entry {
            Entry::Read(line) => give_back(&line.record, lines[usize::try_from(number).unwrap() - 1]),
            Entry::Flaw(flaw) => {
                flaws += 1;
                assert!(
                    flaw.column >= 1 && flaw.column <= LINE_BYTES_MAX as u64 + 2 && flaw.message.len() < 1_000,
                    "{flaw}"
                );
            }
        }
    }
    assert!(reader.lines() >= last, "no line is made up");
    // In pieces of a few bytes.
    let pieces: Vec<Entry> =
        Reader::new(BufReader::with_capacity(3, bytes), limits()).collect::<Result<_, _>>().expect("readable");
    assert_eq!(pieces, entries, "the size of a read changes nothing");
    // With an end at the first flaw.
    let strict: Result<Vec<Entry>, _> = Reader::new(bytes, Limits { strict: true, ..limits() }).collect();
    assert_eq!(strict.is_err(), flaws > 0, "{strict:?}");
    // Without repairs and without the sides of a merge.
    for entry in Reader::new(bytes, Limits { conflicts: Conflicts::Skip, repairs: false, ..limits() }) {
        if let Entry::Read(line) = entry.expect("memory is readable") {
            give_back(&line.record, lines[usize::try_from(line.number).unwrap() - 1]);
        }
    }
}

fn written(record: &Record, dialect: Dialect) -> String {
    let mut writer = Writer::new(Vec::new(), dialect);
    writer.record(record).expect("memory is writable");
    String::from_utf8(writer.into_inner()).expect("JSON is text")
}

/// A record is written as the value it was read from, and as JSON for others.
fn give_back(record: &Record, source: &[u8]) {
    let text = written(record, Dialect::Native);
    for dialect in [Dialect::Bd, Dialect::Br] {
        let text = written(record, dialect);
        serde_json::from_str::<serde::de::IgnoredAny>(&text).expect("JSON is written");
        assert_eq!(text.matches('\n').count(), 1, "a record is one line");
    }
    if let Ok(source) = serde_json::from_slice::<Json>(source.strip_prefix(b"\xef\xbb\xbf").unwrap_or(source)) {
        assert_eq!(serde_json::from_str::<Json>(&text).expect("JSON is written"), source);
    }
    if let Record::Issue(issue) | Record::Tombstone(issue) = record {
        let mut stored = Issue::default();
        stored.restore(&issue.residue(|_| false));
        assert_eq!(
            written(&Record::Issue(Box::new(stored)), Dialect::Native),
            text,
            "nothing is lost where it is kept"
        );
    }
}
