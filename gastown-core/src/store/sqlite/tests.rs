//! Tests of the file: its schema, whose it is, and what goes wrong with it.

use std::fmt::Write as _;

use super::*;
use crate::model::record::ColumnRole;
use crate::model::value::{ColumnType, Value};
use crate::model::{Event, Row, RowKind};
use crate::store::conformance::{Older, Planted, Subject, sample};
use crate::store::index::INDEXES;
use crate::store::{Position, Reader, Scan};

/// Tables with short rows that are always found by their key.
const WITHOUT_ROWID: &[RowKind] = &[
    RowKind::Town,
    RowKind::Rig,
    RowKind::Label,
    RowKind::Dependency,
    RowKind::Agent,
    RowKind::Convoy,
    RowKind::Leader,
];

/// The tables and indexes as the model has them now, in SQL; what a new migration starts from.
fn ddl() -> String {
    let mut text = String::new();
    for &kind in RowKind::ALL {
        // What is looked for by words has a number that lasts.
        let (number, unique) =
            if kind == RowKind::Bead { ("doc INTEGER PRIMARY KEY, ", "UNIQUE") } else { ("", "PRIMARY KEY") };
        writeln!(text, "CREATE TABLE {} (\n    {number}town_id TEXT NOT NULL,", kind.table()).unwrap();
        let mut key = vec!["town_id".to_owned()];
        for column in kind.columns() {
            let type_name = match column.column_type {
                ColumnType::Int => "INTEGER",
                ColumnType::Text => "TEXT",
            };
            let null = if column.nullable { "" } else { " NOT NULL" };
            writeln!(text, "    {} {type_name}{null},", sql::quoted(column.name)).unwrap();
            if column.role == ColumnRole::Key {
                key.push(sql::quoted(column.name));
            }
        }
        let rowid = if WITHOUT_ROWID.contains(&kind) { ", WITHOUT ROWID" } else { "" };
        writeln!(text, "    {unique} ({})\n) STRICT{rowid};", key.join(", ")).unwrap();
        for index in INDEXES.iter().filter(|index| index.kind == kind && !index.is_key()) {
            let columns: Vec<_> = index.prefix.iter().chain(index.order).map(|name| sql::quoted(name)).collect();
            let conditions: Vec<_> = index.conditions.iter().map(sql::condition).collect();
            let only =
                if conditions.is_empty() { String::new() } else { format!("\n    WHERE {}", conditions.join(" AND ")) };
            writeln!(
                text,
                "CREATE INDEX {} ON {} (town_id, {}){only};",
                sql::index_name(index),
                kind.table(),
                columns.join(", ")
            )
            .unwrap();
        }
        text.push('\n');
    }
    text
}

pub(super) fn backend(directory: &tempfile::TempDir) -> SqliteBackend {
    SqliteBackend::new(directory.path().join("town.db"), SqliteOptions::default())
}

pub(super) fn raw(backend: &SqliteBackend) -> rusqlite::Connection {
    rusqlite::Connection::open(backend.path()).unwrap()
}

/// Every table and index of a database: name, and columns with type, nullability and place in the key, or the text.
fn shape(db: &rusqlite::Connection) -> Vec<(String, Vec<String>)> {
    let list = |sql: &str| -> Vec<(String, String, String)> {
        let mut statement = db.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
        rows.map(Result::unwrap).collect()
    };
    let objects = "SELECT type, name, replace(coalesce(sql, ''), '\"', '') FROM sqlite_schema \
                   WHERE type IN ('table', 'index') AND name NOT IN ('event', 'events_by_subject', 'migration') \
                   AND name NOT LIKE 'sqlite_%' AND name NOT LIKE 'word%' ORDER BY name";
    list(objects)
        .into_iter()
        .map(|(object, name, text)| {
            let detail = if object == "index" {
                vec![text.split_whitespace().collect::<Vec<_>>().join(" ")]
            } else {
                list(&format!(
                    "SELECT name, type, \"notnull\" || ' ' || pk FROM pragma_table_info('{name}') ORDER BY cid"
                ))
                .into_iter()
                .map(|(name, type_name, rest)| format!("{name} {type_name} {rest}"))
                .collect()
            };
            (name, detail)
        })
        .collect()
}

#[test]
fn a_new_file_has_the_columns_and_indexes_that_the_model_names() {
    let directory = tempfile::tempdir().unwrap();
    let backend = backend(&directory);
    backend.connect(Access::Write).unwrap();
    let wanted = rusqlite::Connection::open_in_memory().unwrap();
    wanted.execute_batch(&ddl()).unwrap();
    let (found, wanted) = (shape(&raw(&backend)), shape(&wanted));
    assert_eq!(found, wanted, "the model needs another migration; its tables are now:\n{}", ddl());
    assert_eq!(found.len(), RowKind::ALL.len() + INDEXES.iter().filter(|index| !index.is_key()).count());
}

#[test]
fn a_published_migration_does_not_change() {
    let sums: Vec<_> = schema::MIGRATIONS.iter().map(|step| (step.version, schema::sha256(step.sql))).collect();
    let published = [
        (1, "6bc3229ae160de6357ee86d61a8516e68280ebdefd7abf148c1e1db9f651a616".to_owned()),
        (2, "5d8964b0137498dac6c69625d55b54a80f41afb1d762b1082b79fbf022e498a0".to_owned()),
        (3, "146133ef8714ce1bc2507fd1e212d820f91edace86e5df935a6c55fc3d35e7d0".to_owned()),
        (4, "d391f72988de3088ec353608774a3c0a0cde237339334f12f040722fa5422371".to_owned()),
        (5, "43beafe472c3ce950084c88114b9427a036828050a0ee26b722cbe76000ce18d".to_owned()),
        (6, "d755d64552400d4c10005c02b0d682678dbc10fcc95939c58eba73d331ea67c1".to_owned()),
    ];
    assert_eq!(sums, published);
}

#[test]
fn every_scan_uses_its_index_without_sorting() {
    let directory = tempfile::tempdir().unwrap();
    let backend = backend(&directory);
    backend.connect(Access::Write).unwrap();
    let db = raw(&backend);
    for index in INDEXES {
        let sample = |name: &str| match index.column(name).column_type {
            ColumnType::Int => Value::Int(1),
            ColumnType::Text => Value::Text("x".into()),
        };
        let of = |names: &[&str]| names.iter().map(|name| sample(name)).collect::<Vec<_>>();
        let mut prefixes = vec![of(index.prefix)];
        for (place, name) in index.prefix.iter().enumerate() {
            if index.column(name).nullable {
                let mut prefix = of(index.prefix);
                prefix[place] = Value::Null;
                prefixes.push(prefix);
            }
        }
        for prefix in prefixes {
            let whole = Scan::new(index, prefix, 10);
            let behind = whole.clone().after(Some(Position(of(index.order))));
            let upto = whole.clone().upto(sample(index.order[0]));
            let both = behind.clone().upto(sample(index.order[0]));
            for scan in [whole, behind, upto, both] {
                let before = Position(of(index.order));
                for (select, way) in [
                    (sql::Select::Rows, sql::Way::Forth),
                    (sql::Select::Count, sql::Way::Forth),
                    (sql::Select::Rows, sql::Way::Back(None)),
                    (sql::Select::Rows, sql::Way::Back(Some(&before))),
                ] {
                    let text = sql::scan(scan.index, sql::Shape::of(&scan, select).going(way));
                    let mut statement = db.prepare(&format!("EXPLAIN QUERY PLAN {text}")).unwrap();
                    let mut rows = statement.raw_query();
                    let mut plan = Vec::new();
                    while let Some(row) = rows.next().unwrap() {
                        plan.push(row.get::<_, String>(3).unwrap());
                    }
                    let plan = plan.join("; ");
                    let key = [format!("sqlite_autoindex_{}_1", index.kind.table()), "PRIMARY KEY".to_owned()];
                    let named = if index.is_key() {
                        // Any index may count a whole table.
                        matches!(select, sql::Select::Count) || key.iter().any(|key| plan.contains(key.as_str()))
                    } else {
                        plan.contains(&format!("INDEX {}", sql::index_name(index)))
                    };
                    let found = plan.starts_with("SEARCH") && named && !plan.contains("B-TREE");
                    // What comes before the position must not be walked through, either.
                    let jumps = scan.after.is_none()
                        || plan.contains(&format!("{})>(", index.order.join(",")))
                        || (index.order.len() == 1 && plan.contains(&format!("{}>?", index.order[0])));
                    let jumps_back = !matches!(way, sql::Way::Back(Some(_)))
                        || plan.contains(&format!("{})<(", index.order.join(",")))
                        || plan.contains(&format!("{}<?", index.order[0]));
                    assert!(found && jumps && jumps_back, "{}: {plan}\n{text}", index.name);
                }
            }
        }
    }
}

/// A file in a directory of its own, where a commit need not reach the disk and a second writer does not wait long.
struct Temporary(tempfile::TempDir);

impl Temporary {
    fn instance(path: impl Into<PathBuf>) -> Arc<dyn Backend> {
        let options =
            SqliteOptions { durability: Durability::Normal, busy_timeout_ms: 200, ..SqliteOptions::default() };
        Arc::new(SqliteBackend::new(path, options))
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("town.db")
    }
}

impl Subject for Temporary {
    fn backend(&self) -> Arc<dyn Backend> {
        Self::instance(self.file())
    }
    fn address(&self) -> Option<String> {
        Some(self.file().display().to_string())
    }
    fn open(&self, address: &str) -> Arc<dyn Backend> {
        Self::instance(address)
    }
    fn planted(&self, what: Planted) -> Option<Arc<dyn Backend>> {
        let path = self.0.path().join(format!("{what:?}.db"));
        let file = SqliteBackend::new(&path, SqliteOptions::default());
        match what {
            Planted::Newer => {
                file.connect(Access::Write).unwrap();
                raw(&file).pragma_update(None, "user_version", 99).unwrap();
            }
            Planted::Foreign => raw(&file).execute_batch("CREATE TABLE customer (id INTEGER)").unwrap(),
        }
        Some(Self::instance(path))
    }
    fn older(&self, rows: &[Row], events: &[Event]) -> Vec<Older> {
        let older = |have: usize| {
            let backend = SqliteBackend::new(self.0.path().join(format!("{have}.db")), SqliteOptions::default());
            let mut db = raw(&backend);
            schema::migrate_through(&mut db, &schema::MIGRATIONS[..have]).unwrap();
            let rows = rows.iter().filter(|row| has_table(&db, row.kind())).map(|row| insert(&db, row)).collect();
            for event in events {
                insert_event(&db, event);
            }
            let schema = have.try_into().unwrap();
            Older { schema, rows, backend: Self::instance(backend.path()) }
        };
        (1..schema::MIGRATIONS.len()).map(older).collect()
    }
}

crate::store_conformance!(conformance, || Temporary(tempfile::tempdir().unwrap()));

fn has_table(db: &rusqlite::Connection, kind: RowKind) -> bool {
    let count = "SELECT count(*) FROM sqlite_schema WHERE name = ?1";
    db.query_row(count, [kind.table()], |row| row.get::<_, i64>(0)).unwrap() == 1
}

/// Stores the values that SQLite stores of a row, as far as the table has columns; returns what is kept.
fn insert(db: &rusqlite::Connection, row: &Row) -> Row {
    let table = row.kind().table();
    let mut names = db.prepare(&format!("SELECT name FROM pragma_table_info('{table}')")).unwrap();
    let names: Vec<String> = names.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let has = |name: &str| names.iter().any(|known| known == name);
    let columns = row.kind().columns().iter().zip(row.to_values()).filter(|(column, _)| has(column.name));
    let (columns, values): (Vec<_>, Vec<_>) = columns
        .map(|(column, value)| {
            let value = match value {
                Value::Null => rusqlite::types::Value::Null,
                Value::Int(n) => n.into(),
                Value::Text(text) => text.into(),
            };
            (sql::quoted(column.name), value)
        })
        .unzip();
    let (columns, places) = (columns.join(", "), vec!["?"; columns.len()].join(", "));
    let text = format!("INSERT INTO {table} (town_id, {columns}) VALUES ('town', {places})");
    db.execute(&text, rusqlite::params_from_iter(values)).unwrap();
    sample::kept_of(row, has)
}

fn insert_event(db: &rusqlite::Connection, event: &Event) {
    db.execute(
        "INSERT INTO event VALUES ('town', ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        rusqlite::params![
            i64::try_from(event.seq).unwrap(),
            event.at.as_micros(),
            event.actor,
            event.session.as_ref().map(crate::model::SessionId::as_str),
            event.epoch,
            event.kind,
            event.subject,
            event.data.to_string(),
            serde_json::to_string(&event.changes).unwrap(),
            event.schema,
            event.hash,
        ],
    )
    .unwrap();
}

/// Rows of every kind that has a table already.
fn fill(db: &rusqlite::Connection) -> Vec<Row> {
    let town = crate::model::TownId::new("town").unwrap();
    let mut draw = sample::Draw::new(11);
    let mut rows: Vec<Row> = Vec::new();
    for &kind in RowKind::ALL.iter().filter(|kind| has_table(db, **kind)) {
        for _ in 0..8 {
            let row = sample::row(kind, &town, &mut draw);
            if rows.iter().all(|there| there.key() != row.key()) {
                rows.push(insert(db, &row));
            }
        }
    }
    rows
}

#[test]
fn every_older_schema_is_migrated_with_its_rows_and_journal() {
    for have in 1..schema::MIGRATIONS.len() {
        let directory = tempfile::tempdir().unwrap();
        let backend = backend(&directory);
        let mut db = raw(&backend);
        schema::migrate_through(&mut db, &schema::MIGRATIONS[..have]).unwrap();
        let rows = fill(&db);
        assert!(rows.len() > 50, "{} rows", rows.len());
        let first = sample::event(&crate::model::Head::default(), rows.first(), &mut sample::Draw::new(3));
        insert_event(&db, &first);
        drop(db);

        // A reader comes first, and has the file migrated.
        let mut connection = backend.connect(Access::Read).unwrap();
        let reader = connection.read(&crate::model::TownId::new("town").unwrap()).unwrap();
        for row in &rows {
            assert_eq!(reader.get(&row.key()).unwrap().as_ref(), Some(row), "from schema {have}");
        }
        assert_eq!(reader.events(0, 10).unwrap(), [first]);
        drop(reader);
        let db = raw(&backend);
        let version: i32 = db.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
        assert_eq!(version, schema::VERSION);
        assert_eq!(
            shape(&db),
            shape(&raw(&{
                let fresh = SqliteBackend::new(directory.path().join("fresh.db"), SqliteOptions::default());
                fresh.connect(Access::Write).unwrap();
                fresh
            }))
        );
    }
}

#[test]
fn a_copy_is_of_one_moment_and_opens_as_a_town() {
    let directory = tempfile::tempdir().unwrap();
    let backend = backend(&directory);
    backend.connect(Access::Write).unwrap();
    let rows = fill(&raw(&backend));
    let to = directory.path().join("copy.db");
    let part = directory.path().join("copy.db.part");
    std::fs::write(&part, "somebody else's").unwrap();
    for access in [Access::Read, Access::Write] {
        assert!(backend.connect(access).unwrap().copy_to(&to).unwrap());
        let copy = SqliteBackend::new(&to, SqliteOptions::default());
        let mut connection = copy.connect(Access::Write).unwrap();
        assert_eq!(connection.check().unwrap(), Vec::<String>::new());
        let reader = connection.read(&crate::model::TownId::new("town").unwrap()).unwrap();
        assert!(rows.iter().all(|row| reader.get(&row.key()).unwrap().as_ref() == Some(row)));
        drop(reader);
        drop(connection);
        let error = backend.connect(access).unwrap().copy_to(&to).unwrap_err();
        assert_eq!(error.code(), "backup_exists");
        std::fs::remove_file(&to).unwrap();
    }
    let error = backend.connect(Access::Read).unwrap().copy_to(&directory.path().join("no/copy.db")).unwrap_err();
    assert_eq!(error.code(), "store_unreachable");
    assert_eq!(std::fs::read_to_string(&part).unwrap(), "somebody else's");
    let left: Vec<_> = std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_str().unwrap().contains("draft")), "{left:?}");
}

#[test]
fn a_vacuum_gives_space_back_and_keeps_every_row() {
    let directory = tempfile::tempdir().unwrap();
    let backend = backend(&directory);
    let mut connection = backend.connect(Access::Write).unwrap();
    let rows = fill(&raw(&backend));
    raw(&backend)
        .execute_batch(
            "CREATE TABLE ballast (a TEXT); INSERT INTO ballast VALUES (hex(zeroblob(2000000))); DROP TABLE ballast",
        )
        .unwrap();
    let before = connection.describe().unwrap().bytes.unwrap();
    connection.vacuum().unwrap();
    assert!(connection.describe().unwrap().bytes.unwrap() + 3_000_000 < before);
    assert!(std::fs::metadata(backend.path()).unwrap().len() + 3_000_000 < before);
    let reader = connection.read(&crate::model::TownId::new("town").unwrap()).unwrap();
    assert!(rows.iter().all(|row| reader.get(&row.key()).unwrap().as_ref() == Some(row)));
}

#[test]
fn the_file_is_opened_safely() {
    let directory = tempfile::tempdir().unwrap();
    let backend = backend(&directory);
    let (writer, reader) = (backend.open_writer().unwrap(), backend.open_reader().unwrap().unwrap());
    let text = |db: &rusqlite::Connection, name: &str| {
        db.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, rusqlite::types::Value>(0)).unwrap()
    };
    for (name, value) in [("synchronous", 2), ("foreign_keys", 1), ("trusted_schema", 0), ("cell_size_check", 1)] {
        assert_eq!(text(&writer, name), value.into(), "{name}");
    }
    assert_eq!(text(&writer, "journal_mode"), "wal".to_owned().into());
    assert_eq!(text(&reader, "query_only"), 1.into());
    assert!(writer.db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE).unwrap());
    let relaxed = SqliteOptions { durability: Durability::Normal, ..SqliteOptions::default() };
    let relaxed = SqliteBackend::new(backend.path(), relaxed).open_writer().unwrap();
    assert_eq!(text(&relaxed, "synchronous"), 1.into());
}

#[test]
fn a_full_disk_ends_the_transaction_and_the_connection_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let backend = backend(&directory);
    let town = crate::model::TownId::new("town").unwrap();
    let db = backend.open_writer().unwrap();
    let pages: i64 = db.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
    db.query_row(&format!("PRAGMA max_page_count = {}", pages + 4), [], |_| Ok(())).unwrap();
    let mut connection = SqliteConnection::new(
        db,
        Access::Write,
        Arc::clone(&backend.path),
        backend.place.enter(&backend.path).unwrap(),
        1 << 20,
    );
    let text = |size: usize| {
        crate::model::Row::BeadText(crate::model::BeadTextRow {
            id: crate::model::BeadId::new("gt-1").unwrap(),
            description: "x".repeat(size),
            design: String::new(),
            acceptance: String::new(),
            notes: String::new(),
        })
    };
    let mut txn = connection.write(&town).unwrap();
    txn.put(&text(10)).unwrap();
    let error = txn.put(&text(1 << 20)).unwrap_err();
    assert_eq!((error.code(), error.kind()), ("disk_full", crate::ErrorKind::Exhausted));
    // Whether SQLite ended it or not, nothing is committed behind the caller's back.
    let later = txn.put(&text(11)).and_then(|()| txn.commit());
    let mut txn = connection.write(&town).unwrap();
    let found = txn.get(&text(0).key()).unwrap();
    assert_eq!(found, later.is_ok().then(|| text(11)));
    txn.put(&text(12)).unwrap();
    txn.commit().unwrap();
}

/// A bead with nothing about it but its id, and that title.
fn bead_titled(title: &str) -> crate::model::Row {
    let mut bead = sample::bead(&mut sample::Draw::new(5));
    title.clone_into(&mut bead.title);
    crate::model::Row::Bead(bead)
}

#[test]
fn a_row_that_another_connection_changed_is_read_again() {
    let directory = tempfile::tempdir().unwrap();
    let backend = backend(&directory);
    let town = crate::model::TownId::new("town").unwrap();
    let (mut ours, mut theirs) = (backend.connect(Access::Write).unwrap(), backend.connect(Access::Write).unwrap());
    let key = bead_titled("").key();
    for round in 0..3 {
        for (writer, title) in [(&mut ours, format!("ours {round}")), (&mut theirs, format!("theirs {round}"))] {
            let mut txn = writer.write(&town).unwrap();
            txn.put(&bead_titled(&title)).unwrap();
            txn.commit().unwrap();
        }
        // Nothing was appended to the journal, so its end does not tell of it.
        let found = ours.write(&town).unwrap().get(&key).unwrap();
        assert_eq!(found, Some(bead_titled(&format!("theirs {round}"))));
    }
}

#[test]
fn a_row_of_another_town_of_the_same_connection_is_not_taken_for_this_one() {
    let directory = tempfile::tempdir().unwrap();
    let mut connection = backend(&directory).connect(Access::Write).unwrap();
    let town = |name| crate::model::TownId::new(name).unwrap();
    let mut txn = connection.write(&town("here")).unwrap();
    txn.put(&bead_titled("here")).unwrap();
    txn.commit().unwrap();
    let found = |connection: &mut Box<dyn crate::store::Connection>, name| {
        connection.write(&town(name)).unwrap().get(&bead_titled("").key()).unwrap()
    };
    assert_eq!(found(&mut connection, "there"), None);
    assert_eq!(found(&mut connection, "here"), Some(bead_titled("here")));
}

#[test]
fn rows_and_lists_that_were_undone_are_not_remembered() {
    let directory = tempfile::tempdir().unwrap();
    let mut connection = backend(&directory).connect(Access::Write).unwrap();
    let town = crate::model::TownId::new("town").unwrap();
    let bead = crate::model::BeadId::new("gt-1").unwrap();
    let label =
        |label: &str| crate::model::Row::Label(crate::model::LabelRow { bead: bead.clone(), label: label.into() });
    let labels = |txn: &dyn Reader| {
        let scan = Scan::new(&crate::store::index::LABELS, vec![Value::Text("gt-1".into())], 100);
        txn.scan(&scan).unwrap()
    };
    let key = bead_titled("").key();
    let mut txn = connection.write(&town).unwrap();
    txn.put(&bead_titled("kept")).unwrap();
    txn.put(&label("a")).unwrap();
    assert_eq!(labels(txn.as_reader()), [label("a")]);
    txn.savepoint().unwrap();
    txn.replace(&bead_titled("kept"), &bead_titled("undone")).unwrap();
    txn.put(&label("b")).unwrap();
    assert_eq!(labels(txn.as_reader()), [label("a"), label("b")]);
    txn.rollback_to_savepoint().unwrap();
    assert_eq!(txn.get(&key).unwrap(), Some(bead_titled("kept")));
    assert_eq!(labels(txn.as_reader()), [label("a")]);
    txn.commit().unwrap();

    let mut txn = connection.write(&town).unwrap();
    txn.delete(&key).unwrap();
    txn.delete(&label("a").key()).unwrap();
    assert_eq!((txn.get(&key).unwrap(), labels(txn.as_reader())), (None, vec![]));
    drop(txn);
    let txn = connection.write(&town).unwrap();
    assert_eq!((txn.get(&key).unwrap(), labels(txn.as_reader())), (Some(bead_titled("kept")), vec![label("a")]));
}

#[test]
fn rows_at_hand_stay_within_their_room_and_none_is_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let options = SqliteOptions { rows_kib: 16, ..SqliteOptions::default() };
    let mut connection = SqliteBackend::new(directory.path().join("town.db"), options).connect(Access::Write).unwrap();
    let town = crate::model::TownId::new("town").unwrap();
    let text = |n: usize, round: usize| {
        crate::model::Row::BeadText(crate::model::BeadTextRow {
            id: crate::model::BeadId::new(format!("gt-{n}")).unwrap(),
            description: format!("{round} ").repeat(n * 10),
            design: String::new(),
            acceptance: String::new(),
            notes: String::new(),
        })
    };
    for round in 0..3 {
        let mut txn = connection.write(&town).unwrap();
        (0..60).for_each(|n| txn.put(&text(n, round)).unwrap());
        (0..60).rev().for_each(|n| assert_eq!(txn.get(&text(n, 0).key()).unwrap(), Some(text(n, round))));
        txn.commit().unwrap();
    }
}

/// The same random steps on both backends give the same answers, errors and journals.
#[test]
fn the_file_and_the_memory_do_the_same() {
    let town = crate::model::TownId::new("town").unwrap();
    for seed in 0..6 {
        let mut draw = sample::Draw::new(1_000 + seed);
        let directory = Temporary(tempfile::tempdir().unwrap());
        let (memory, file) = (crate::store::MemoryBackend::new(), directory.backend());
        let mut left = memory.connect(Access::Write).unwrap();
        let mut right = file.connect(Access::Write).unwrap();
        for _ in 0..40 {
            let mut a = left.write(&town).unwrap();
            let mut b = right.write(&town).unwrap();
            for _ in 0..draw.below(25) {
                let kind = draw.of(RowKind::ALL);
                let row = sample::row(kind, &town, &mut draw);
                match draw.below(12) {
                    0..6 => assert_eq!(a.put(&row).is_ok(), b.put(&row).is_ok()),
                    6 | 7 => assert_eq!(a.delete(&row.key()).is_ok(), b.delete(&row.key()).is_ok()),
                    8 => {
                        let event = sample::event(&a.head().unwrap(), Some(&row), &mut draw);
                        a.append(std::slice::from_ref(&event)).unwrap();
                        b.append(std::slice::from_ref(&event)).unwrap();
                    }
                    9 => (a.savepoint().unwrap(), b.savepoint().unwrap()).0,
                    10 => {
                        let code = |result: Result<()>| result.err().map(|error| error.code().to_owned());
                        assert_eq!(code(a.rollback_to_savepoint()), code(b.rollback_to_savepoint()));
                    }
                    _ => assert_eq!(a.get(&row.key()).unwrap(), b.get(&row.key()).unwrap()),
                }
            }
            same(a.as_reader(), b.as_reader(), &mut draw);
            if draw.below(4) > 0 {
                a.commit().unwrap();
                b.commit().unwrap();
            }
        }
        same(&*left.read(&town).unwrap(), &*right.read(&town).unwrap(), &mut draw);
    }
}

fn same(a: &dyn Reader, b: &dyn Reader, draw: &mut sample::Draw) {
    assert_eq!(a.head().unwrap(), b.head().unwrap());
    assert_eq!(a.events(0, 1_000).unwrap(), b.events(0, 1_000).unwrap());
    for index in INDEXES {
        let like = sample::row(index.kind, &crate::model::TownId::new("town").unwrap(), draw).to_values();
        let of = |name: &&str| like[index.kind.position(name).unwrap()].clone();
        let mut scan = Scan::new(index, index.prefix.iter().map(of).collect(), 1 + draw.below(10));
        let order: Vec<Value> = index.order.iter().map(of).collect();
        if draw.below(2) == 0 && order.iter().all(|value| *value != Value::Null) {
            scan = scan.upto(order[0].clone());
        }
        if draw.below(2) == 0 {
            scan = scan.after(Some(Position(order)));
        }
        match (a.scan(&scan), b.scan(&scan)) {
            (Ok(left), Ok(right)) => assert_eq!(left, right, "{scan:?}"),
            (left, right) => assert_eq!(left.unwrap_err().code(), right.unwrap_err().code(), "{scan:?}"),
        }
    }
}
