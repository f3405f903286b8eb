mod corpus;
mod files;
mod merging;
mod random;
mod reading;
mod writing;

use super::{Dialect, Entry, Flaw, Issue, Limits, Line, Reader, Record, Writer};

/// Everything a text gives.
fn all(text: &[u8], limits: Limits) -> Vec<Entry> {
    Reader::new(text, limits).collect::<Result<_, _>>().unwrap()
}

/// The one record of a text.
fn one(text: &str) -> Line {
    match all(text.as_bytes(), Limits::default()).remove(0) {
        Entry::Read(line) => *line,
        Entry::Flaw(flaw) => panic!("{flaw}"),
    }
}

fn issue(text: &str) -> Issue {
    match one(text).record {
        Record::Issue(issue) | Record::Tombstone(issue) => *issue,
        other => panic!("{other:?}"),
    }
}

fn flaws(entries: &[Entry]) -> Vec<&Flaw> {
    entries.iter().filter_map(|entry| if let Entry::Flaw(flaw) = entry { Some(flaw) } else { None }).collect()
}

fn codes(line: &Line) -> Vec<&'static str> {
    line.repairs.iter().map(|repair| repair.code).collect()
}

fn written(record: &Record, dialect: Dialect) -> String {
    let mut writer = Writer::new(Vec::new(), dialect);
    writer.record(record).unwrap();
    String::from_utf8(writer.into_inner()).unwrap()
}
