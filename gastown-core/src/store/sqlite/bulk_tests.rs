//! Many new rows at once: what they leave, and what becomes of the triggers.

use std::sync::Arc;

use super::*;
use crate::model::{BeadId, BeadRow, BeadTextRow, Key, LabelRow, Row, Stored as _, TownId};
use crate::store::conformance::sample::{self, Draw};
use crate::store::{Scan, index};

/// More than are worth while.
const MANY: usize = 300;

fn id(n: usize) -> BeadId {
    BeadId::new(format!("gt-{n:04}")).unwrap()
}

/// What belongs to some beads, the one titled by words that the others have not.
fn rows(numbers: std::ops::Range<usize>) -> Vec<Arc<Row>> {
    let mut draw = Draw::new(5);
    let of = |n: usize| {
        let title = if n.is_multiple_of(2) { format!("even {n}") } else { format!("odd {n}") };
        let bead = BeadRow { id: id(n), title, ..sample::bead(&mut draw) };
        let texts = BeadTextRow {
            id: id(n),
            description: format!("text{n}"),
            design: String::new(),
            acceptance: String::new(),
            notes: String::new(),
        };
        [bead.into_row(), texts.into_row(), LabelRow { bead: id(n), label: "red".to_owned() }.into_row()]
    };
    numbers.flat_map(of).map(Arc::new).collect()
}

struct Place {
    directory: tempfile::TempDir,
    writer: Box<dyn Connection>,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let backend = SqliteBackend::new(directory.path().join("town.db"), SqliteOptions::default());
        let writer = backend.connect(Access::Write).unwrap();
        Self { directory, writer }
    }

    fn write(&mut self, change: impl FnOnce(&mut dyn crate::store::Txn)) {
        let mut txn = self.writer.write(&TownId::new("town").unwrap()).unwrap();
        change(&mut *txn);
        txn.commit().unwrap();
    }

    fn file(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.directory.path().join("town.db")).unwrap()
    }

    /// What a query answers, a line for each row.
    fn ask(&self, sql: &str) -> Vec<String> {
        let db = self.file();
        let mut statement = db.prepare(sql).unwrap();
        let columns = statement.column_count();
        let line = |row: &rusqlite::Row<'_>| {
            let cells = (0..columns).map(|n| row.get::<_, rusqlite::types::Value>(n));
            cells.collect::<rusqlite::Result<Vec<_>>>().map(|cells| format!("{cells:?}"))
        };
        statement.query_map([], line).unwrap().collect::<rusqlite::Result<_>>().unwrap()
    }

    /// How many beads an index of words gives, how far it goes, and how many beads changed since.
    fn words(&self, word: &str) -> (usize, Vec<String>, Vec<String>) {
        let found = self.ask(&format!("SELECT rowid FROM word WHERE word MATCH '{word}'"));
        (found.len(), self.ask("SELECT doc FROM word_mark"), self.ask("SELECT count(*) FROM word_later"))
    }
}

fn number(n: usize) -> Vec<String> {
    vec![format!("[Integer({n})]")]
}

#[test]
fn many_new_rows_are_those_that_one_after_the_other_leaves_and_every_word_is_indexed() {
    let (mut together, mut in_turn) = (Place::new(), Place::new());
    for numbers in [0..MANY, MANY..MANY + 20, MANY + 20..2 * MANY + 20] {
        let rows = rows(numbers);
        together.write(|txn| txn.put_new(&rows).unwrap());
        in_turn.write(|txn| rows.iter().for_each(|row| txn.put(row).unwrap()));
    }
    let all = 2 * MANY + 20;
    for table in ["bead", "bead_text", "label"] {
        let sql = format!("SELECT * FROM {table} ORDER BY 1, 2, 3");
        let found = together.ask(&sql);
        assert_eq!(found.len(), all, "{table}");
        assert_eq!(found, in_turn.ask(&sql), "{table}");
    }
    assert_eq!(together.words("even"), (all / 2, number(all), number(0)));
    assert_eq!(together.words("text7"), (1, number(all), number(0)));
    let found = together.ask("PRAGMA integrity_check");
    assert_eq!(found, ["[Text(\"ok\")]"]);
}

#[test]
fn what_came_together_is_read_in_the_same_transaction_and_changed_with_the_triggers_again() {
    let mut place = Place::new();
    place.write(|txn| {
        assert!(txn.get(&Key::label(&id(1), "red")).unwrap().is_none());
        assert!(txn.scan(&Scan::new(&index::BEADS, vec![], 9)).unwrap().is_empty());
        txn.put_new(&rows(0..MANY)).unwrap();
        assert!(txn.get(&Key::label(&id(1), "red")).unwrap().is_some());
        let Some(Row::Bead(bead)) = txn.get(&Key::bead(&id(1))).unwrap() else { panic!("it was put") };
        assert_eq!(bead.title, "odd 1");
        txn.put(&Row::Bead(BeadRow { title: "neither".to_owned(), ..bead })).unwrap();
    });
    assert_eq!(place.words("odd"), (MANY / 2, number(MANY), number(1)), "it waits to be indexed anew");
}

#[test]
fn a_key_that_is_taken_loses_the_transaction_and_neither_a_row_nor_a_trigger() {
    let mut place = Place::new();
    place.write(|txn| txn.put_new(&rows(7..8)).unwrap());
    let mut txn = place.writer.write(&TownId::new("town").unwrap()).unwrap();
    let error = txn.put_new(&rows(0..MANY)).unwrap_err();
    assert_eq!(error.code(), "row_refused", "{}", error.chain());
    assert_eq!(txn.put(&rows(9..10)[0]).unwrap_err().code(), "transaction_lost");
    assert_eq!(txn.commit().unwrap_err().code(), "transaction_lost");
    assert_eq!(place.ask("SELECT id FROM bead"), ["[Text(\"gt-0007\")]"]);
    // From the 128th on words are indexed by a trigger.
    place.write(|txn| rows(10..150).iter().for_each(|row| txn.put(row).unwrap()));
    assert_eq!(place.words("even").1, number(128));
}

#[test]
fn triggers_of_others_fire_for_each_of_many_rows_and_numbers_that_were_given_before_are_indexed_again() {
    let mut place = Place::new();
    place.write(|txn| txn.put_new(&rows(0..MANY)).unwrap());
    place.write(|txn| (MANY / 2..MANY).for_each(|n| txn.delete(&Key::bead(&id(n))).unwrap()));
    // The next bead's number is one whose words are in the index.
    place.write(|txn| txn.put_new(&rows(1_000..1_000 + MANY)).unwrap());
    let unseen = "SELECT id FROM bead AS b WHERE doc <= (SELECT doc FROM word_mark) AND doc NOT IN (SELECT doc FROM word_later) \
                  AND NOT EXISTS (SELECT 1 FROM word \
                  WHERE word MATCH 'text' || CAST(substr(b.id, 4) AS INTEGER) AND rowid = b.doc)";
    assert_eq!(place.ask(unseen), Vec::<String>::new());
    place
        .file()
        .execute_batch(
            "CREATE TABLE seen (id TEXT); \
         CREATE TRIGGER somebodys AFTER INSERT ON bead BEGIN INSERT INTO seen VALUES (new.id); END",
        )
        .unwrap();
    place.write(|txn| txn.put_new(&rows(2_000..2_000 + MANY)).unwrap());
    assert_eq!(place.ask("SELECT count(*) FROM seen"), number(MANY));
}
