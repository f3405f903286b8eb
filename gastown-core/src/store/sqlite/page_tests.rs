//! Pages of beads at hand: which rows are read from the file, and that none is out of date.

use super::read::READ;
use super::*;
use crate::model::value::Value;
use crate::model::{BeadId, BeadKind, BeadRow, BeadStatus, Key, Row, Timestamp, TownId};
use crate::store::conformance::sample::{self, Draw};
use crate::store::{Reader, Scan, Txn, index};

fn bead(n: usize) -> BeadRow {
    BeadRow {
        id: BeadId::new(format!("gt-{n:03}")).unwrap(),
        kind: BeadKind::Issue,
        status: BeadStatus::Open,
        blockers: 0,
        pinned: false,
        template: false,
        ephemeral: false,
        title: format!("bead {n}"),
        ..sample::bead(&mut Draw::new(1))
    }
}

fn titled(n: usize, title: &str) -> Row {
    Row::Bead(BeadRow { title: title.to_owned(), ..bead(n) })
}

fn town() -> TownId {
    TownId::new("town").unwrap()
}

/// The first 50 that are ready.
fn page() -> Scan {
    Scan::new(&index::BEADS_READY, vec![Value::Text("issue".to_owned()), Value::Int(0)], 50)
}

/// What a question answers, and how many rows it read from the file.
fn counted<T>(ask: impl FnOnce() -> T) -> (T, usize) {
    let before = READ.get();
    let answer = ask();
    (answer, READ.get() - before)
}

fn titles(reader: &dyn Reader) -> Vec<String> {
    let title = |row: Row| if let Row::Bead(bead) = row { bead.title } else { unreachable!("they are beads") };
    reader.scan(&page()).unwrap().into_iter().map(title).collect()
}

struct Bench {
    directory: tempfile::TempDir,
    writer: Box<dyn Connection>,
    reader: Box<dyn Connection>,
}

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let backend = SqliteBackend::new(directory.path().join("town.db"), SqliteOptions::default());
        let (writer, reader) = (backend.connect(Access::Write).unwrap(), backend.connect(Access::Read).unwrap());
        let mut bench = Self { directory, writer, reader };
        bench.write(|txn| (0..60).for_each(|n| txn.put(&Row::Bead(bead(n))).unwrap()));
        bench
    }

    /// What another process has.
    fn stranger(&self) -> Box<dyn Connection> {
        let file = self.directory.path().join("town.db");
        SqliteBackend::new(file, SqliteOptions::default()).connect(Access::Write).unwrap()
    }

    fn write(&mut self, change: impl FnOnce(&mut dyn Txn)) {
        write(&mut *self.writer, change);
    }

    fn titles(&mut self) -> Vec<String> {
        titles(&*self.reader.read(&town()).unwrap())
    }
}

fn write(connection: &mut dyn Connection, change: impl FnOnce(&mut dyn Txn)) {
    let mut txn = connection.write(&town()).unwrap();
    change(&mut *txn);
    txn.commit().unwrap();
}

#[test]
fn a_page_of_beads_that_nobody_changed_is_read_once() {
    let mut bench = Bench::new();
    let (first, read) = counted(|| bench.titles());
    assert_eq!((first.len(), read), (50, 50));
    let (second, read) = counted(|| bench.titles());
    assert_eq!((second, read), (first, 0));
    let back = |bench: &mut Bench| bench.reader.read(&town()).unwrap().scan_back(&page(), None).unwrap();
    let (rows, read) = counted(|| back(&mut bench));
    assert_eq!((rows.len(), read), (50, 10), "the last ones are read, the others are at hand");
    let key = Key::bead(&bead(3).id);
    let (row, read) = counted(|| bench.reader.read(&town()).unwrap().get(&key).unwrap());
    assert_eq!((row, read), (Some(Row::Bead(bead(3))), 0));
}

#[test]
fn a_reader_sees_what_anybody_committed_before_it_began_and_nothing_later() {
    let mut bench = Bench::new();
    assert_eq!(bench.titles()[3], "bead 3");
    bench.write(|txn| txn.put(&titled(3, "ours")).unwrap());
    assert_eq!(bench.titles()[3], "ours");
    let mut stranger = bench.stranger();
    write(&mut *stranger, |txn| txn.put(&titled(3, "theirs")).unwrap());
    assert_eq!(bench.titles()[3], "theirs");

    let snapshot = bench.reader.read(&town()).unwrap();
    write(&mut *stranger, |txn| txn.put(&titled(3, "later")).unwrap());
    assert_eq!(titles(&*snapshot)[3], "theirs");
    assert_eq!(titles(&*snapshot)[3], "theirs", "also of what it has at hand");
    drop(snapshot);
    assert_eq!(bench.titles()[3], "later");
    write(&mut *stranger, |txn| txn.delete(&Key::bead(&bead(3).id)).unwrap());
    assert_eq!(bench.titles()[3], "bead 4");
}

#[test]
fn a_lease_that_only_moves_is_seen() {
    let mut bench = Bench::new();
    let leased = |at: i64| {
        Row::Bead(BeadRow { status: BeadStatus::InProgress, lease_until: Some(Timestamp::from_micros(at)), ..bead(0) })
    };
    let over = || Scan::new(&index::BEADS_BY_LEASE, vec![Value::Text("issue".to_owned())], 64);
    for at in [100, 200, 150] {
        bench.write(|txn| txn.put(&leased(at)).unwrap());
        for _ in 0..2 {
            assert_eq!(bench.reader.read(&town()).unwrap().scan(&over()).unwrap(), [leased(at)]);
        }
    }
}

#[test]
fn a_transaction_has_at_hand_what_it_wrote_and_what_it_took_back() {
    let mut bench = Bench::new();
    let mut txn = bench.writer.write(&town()).unwrap();
    let (page, read) = counted(|| titles(txn.as_reader()));
    assert_eq!((page[3].as_str(), read), ("bead 3", 0), "the transaction before wrote them");
    txn.put(&titled(2, "kept")).unwrap();
    txn.savepoint().unwrap();
    txn.put(&titled(3, "undone")).unwrap();
    txn.delete(&Key::bead(&bead(4).id)).unwrap();
    assert_eq!(titles(txn.as_reader())[2..5], ["kept", "undone", "bead 5"]);
    txn.rollback_to_savepoint().unwrap();
    assert_eq!(titles(txn.as_reader())[2..5], ["kept", "bead 3", "bead 4"]);
    drop(txn);
    let txn = bench.writer.write(&town()).unwrap();
    assert_eq!(titles(txn.as_reader())[2..5], ["bead 2", "bead 3", "bead 4"]);
}

#[test]
fn beads_of_one_name_in_two_towns_are_apart() {
    let mut bench = Bench::new();
    let other = TownId::new("other").unwrap();
    let mut txn = bench.writer.write(&other).unwrap();
    txn.put(&titled(0, "of the other")).unwrap();
    txn.commit().unwrap();
    for _ in 0..2 {
        assert_eq!(titles(&*bench.reader.read(&other).unwrap()), ["of the other"]);
        assert_eq!(bench.titles()[0], "bead 0");
    }
}
