//! Tests of the lines: what is written is read, and nothing else is.

use std::io::BufReader;

use super::*;
use crate::model::{Event, Head, Result, Row, RowKind, TownId};
use crate::store::conformance::sample::{self, Draw};
use crate::store::{Access, Backend, MemoryBackend, Position, Scan, index};

fn town() -> TownId {
    TownId::new("town").unwrap()
}

/// A backend with rows of every kind and a journal.
fn full() -> MemoryBackend {
    let backend = MemoryBackend::new();
    let mut connection = backend.connect(Access::Write).unwrap();
    let mut txn = connection.write(&town()).unwrap();
    let mut draw = Draw::new(5);
    for &kind in RowKind::ALL {
        for _ in 0..12 {
            txn.put(&sample::row(kind, &town(), &mut draw)).unwrap();
        }
    }
    let mut head = Head::default();
    for n in 0..503 {
        let row = (n % 3 == 0).then(|| sample::row(RowKind::Bead, &town(), &mut draw));
        let event = sample::event(&head, row.as_ref(), &mut draw);
        head = event.head();
        txn.append(&[event]).unwrap();
    }
    txn.commit().unwrap();
    backend
}

fn lines(backend: &dyn Backend) -> Vec<u8> {
    let mut text = Vec::new();
    let mut connection = backend.connect(Access::Read).unwrap();
    write(&*connection.read(&town()).unwrap(), &town(), &mut text).unwrap();
    text
}

/// What reading them into an empty backend gives, and the backend.
fn read_into(backend: &dyn Backend, text: &[u8]) -> Result<Dumped> {
    let mut connection = backend.connect(Access::Write).unwrap();
    let mut txn = connection.write(&town()).unwrap();
    let dumped = read(&mut BufReader::new(text), &mut *txn, &town())?;
    txn.commit()?;
    Ok(dumped)
}

fn everything(backend: &dyn Backend) -> (Vec<Row>, Vec<Event>) {
    let mut connection = backend.connect(Access::Read).unwrap();
    let reader = connection.read(&town()).unwrap();
    let mut rows = Vec::new();
    for &kind in RowKind::ALL {
        let mut scan = Scan::new(index::of_key(kind), vec![], 7);
        loop {
            let page = reader.scan(&scan).unwrap();
            rows.extend(page.iter().cloned());
            if page.len() < 7 {
                break;
            }
            scan.after = Some(Position::of(scan.index, &page[6]));
        }
    }
    (rows, reader.events(0, 10_000).unwrap())
}

#[test]
fn what_is_written_is_read_but_for_the_leaders_lease() {
    let from = full();
    let text = lines(&from);
    let to = MemoryBackend::new();
    let dumped = read_into(&to, &text).unwrap();
    assert_eq!((dumped.events, dumped.head, dumped.bytes), (503, 503, text.len() as u64));
    let (mut had, events) = everything(&from);
    for row in &mut had {
        if let Row::Leader(leader) = row {
            leader.lease_until = crate::model::Timestamp::from_micros(0);
        }
    }
    assert_eq!(everything(&to), (had, events));
    assert_eq!(check(&mut BufReader::new(&*text)).unwrap(), dumped);
    assert_eq!(read_header(&mut BufReader::new(&*text)).unwrap().head.seq, 503);
    // And once more the same lines.
    let mut again = Vec::new();
    let mut connection = to.connect(Access::Read).unwrap();
    write(&*connection.read(&town()).unwrap(), &town(), &mut again).unwrap();
    let third = MemoryBackend::new();
    read_into(&third, &again).unwrap();
    assert_eq!(lines(&third), again);
}

#[test]
fn a_town_without_anything_is_written_and_read() {
    let text = lines(&MemoryBackend::new());
    assert_eq!(text.split_inclusive(|byte| *byte == b'\n').count(), 2);
    let to = MemoryBackend::new();
    assert_eq!(read_into(&to, &text).unwrap().rows, 0);
    assert_eq!(everything(&to), (vec![], vec![]));
}

#[test]
fn lines_that_were_cut_or_changed_are_never_read_as_something_else() {
    let text = lines(&full());
    let step = text.len() / 31;
    for cut in (0..text.len()).step_by(step).chain([text.len() - 1]) {
        let error = read_into(&MemoryBackend::new(), &text[..cut]).unwrap_err();
        assert!(matches!(error.code(), "dump_truncated" | "dump_malformed"), "cut at {cut}: {error}");
        assert!(error.fact("line").is_some(), "{error}");
    }
    for place in (0..text.len()).step_by(step) {
        let mut changed = text.clone();
        changed[place] ^= 2;
        let to = MemoryBackend::new();
        assert!(read_into(&to, &changed).is_err(), "changed at {place}");
        assert_eq!(everything(&to), (vec![], vec![]), "nothing was committed");
    }
    let rows: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
    for gone in [1, rows.len() / 2, rows.len() - 2] {
        let fewer = [&rows[..gone], &rows[gone + 1..]].concat().concat();
        assert!(read_into(&MemoryBackend::new(), &fewer).is_err(), "without line {gone}");
    }
    let more = [text.as_slice(), rows[1]].concat();
    assert_eq!(read_into(&MemoryBackend::new(), &more).unwrap_err().code(), "dump_malformed");
}

#[test]
fn lines_of_a_later_library_are_refused_as_such() {
    let text = String::from_utf8(lines(&full())).unwrap();
    let error = |text: &str| read_into(&MemoryBackend::new(), text.as_bytes()).unwrap_err();
    let later = error(&text.replacen("\"format\":1", "\"format\":7", 1));
    assert_eq!((later.code(), later.fact("found"), later.fact("known")), ("dump_newer", Some("7"), Some("1")));
    assert_eq!(error(&text.replacen("\"table\":\"town\"", "\"table\":\"tower\"", 1)).code(), "dump_newer");
    let column = text.replacen(
        "{\"row\":{\"table\":\"town\",\"columns\":{",
        "{\"row\":{\"table\":\"town\",\"columns\":{\"a\":1,",
        1,
    );
    assert_eq!(error(&column).code(), "dump_newer");
    for other in ["", "\n", "{}\n", "[1]\n", "{\"row\":{}}\n", "SQLite format 3\0\n"] {
        assert!(matches!(error(other).code(), "dump_truncated" | "dump_malformed"), "{other:?}");
    }
}

#[test]
fn a_column_that_an_older_library_did_not_know_is_at_rest() {
    // The sum at the end is the writer's, so the lines are written by one that knew less.
    let mut text = Vec::new();
    let mut hasher = sha2::Sha256::default();
    let lines = [
        r#"{"town":{"format":1,"library":"0.0.1","id":"town","head":{"seq":0,"hash":""}}}"#,
        r#"{"row":{"table":"bead_text","columns":{"id":"gt-1","description":"of oak"}}}"#,
    ];
    for line in lines {
        text.extend_from_slice(line.as_bytes());
        text.push(b'\n');
    }
    sha2::Digest::update(&mut hasher, &text);
    let sum = crate::model::event::hex(&sha2::Digest::finalize(hasher));
    let end = format!("{{\"end\":{{\"rows\":1,\"events\":0,\"unreadable\":0,\"sha256\":\"{sum}\"}}}}\n");
    text.extend_from_slice(end.as_bytes());
    let to = MemoryBackend::new();
    read_into(&to, &text).unwrap();
    let (rows, _) = everything(&to);
    let Row::BeadText(texts) = &rows[0] else { panic!("{rows:?}") };
    assert_eq!((texts.description.as_str(), texts.design.as_str()), ("of oak", ""));
}

#[test]
fn a_town_that_is_not_empty_or_another_is_left_alone() {
    let text = lines(&full());
    let taken = full();
    assert_eq!(read_into(&taken, &text).unwrap_err().code(), "town_not_empty");
    let mut connection = MemoryBackend::new().connect(Access::Write).unwrap();
    let other = TownId::new("other").unwrap();
    let mut txn = connection.write(&other).unwrap();
    let error = read(&mut BufReader::new(&*text), &mut *txn, &other).unwrap_err();
    assert_eq!((error.code(), error.fact("found")), ("town_mismatch", Some("town")));
}

#[test]
fn a_line_without_end_takes_bounded_memory() {
    struct Endless;
    impl std::io::Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            buffer.fill(b'x');
            Ok(buffer.len())
        }
    }
    let error = check(&mut BufReader::with_capacity(1 << 20, Endless)).unwrap_err();
    assert_eq!((error.code(), error.fact("line")), ("dump_malformed", Some("1")));
}
