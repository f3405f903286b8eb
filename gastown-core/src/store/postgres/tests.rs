//! Tests of the backend on a real server: the kit, its schema, and what goes wrong.

use super::testing::TestServer;
use super::*;
use crate::model::value::{ColumnType, Value};
use crate::model::{Event, Row, TownId};
use crate::store::conformance::sample;
use crate::store::conformance::{Older, Planted, Subject};
use crate::store::index::INDEXES;
use crate::store::{Position, Scan};

pub(super) fn fresh() -> PostgresBackend {
    PostgresBackend::new(&TestServer::shared().fresh_url()).unwrap()
}

/// A schema of its own on the shared server, where a second writer does not wait long.
struct Fresh(String);

impl Fresh {
    fn new() -> Self {
        Self(format!("{}&lock_timeout_ms=200", TestServer::shared().fresh_url()))
    }

    fn instance(url: &str) -> Arc<dyn Backend> {
        Arc::new(PostgresBackend::new(url).unwrap())
    }
}

impl Subject for Fresh {
    fn backend(&self) -> Arc<dyn Backend> {
        Self::instance(&self.0)
    }
    fn address(&self) -> Option<String> {
        Some(self.0.clone())
    }
    fn open(&self, address: &str) -> Arc<dyn Backend> {
        Self::instance(address)
    }
    fn planted(&self, what: Planted) -> Option<Arc<dyn Backend>> {
        let backend = fresh();
        match what {
            Planted::Newer => {
                backend.connect(Access::Write).unwrap();
                alter(&backend, "INSERT INTO migration VALUES (99, 'later', 'x', '9.9.9', 1)");
            }
            Planted::Foreign => {
                let schema = backend.schema();
                alter(&backend, &format!("CREATE SCHEMA {schema}; CREATE TABLE {schema}.customer (id int)"));
            }
        }
        Some(Arc::new(backend))
    }
    fn older(&self, rows: &[Row], events: &[Event]) -> Vec<Older> {
        let made = |have| {
            let (backend, rows) = older(have, rows, events);
            Older { schema: have.try_into().unwrap(), rows, backend: Arc::new(backend) }
        };
        (1..schema::MIGRATIONS.len()).map(made).collect()
    }
}

/// A schema that has taken so many steps, with these rows, as far as there are tables and columns for them, and events;
/// and the rows as they are kept.
pub(super) fn older(have: usize, rows: &[Row], events: &[Event]) -> (PostgresBackend, Vec<Row>) {
    let town = TownId::new("town").unwrap();
    let backend = fresh();
    let lock = lock_key(backend.schema(), "");
    let line = backend.open_bare().unwrap();
    schema::take_all(&line, backend.schema(), lock, &schema::MIGRATIONS[..have]).unwrap();
    let begun = connection::lock(&line, &town, lock).unwrap();
    let session = begun.session;
    let view = view::View::new(&line, &town, begun.head, None);
    let mut txn: Box<dyn crate::store::Txn + '_> = Box::new(txn::PostgresTxn::new(view, &backend, session));
    txn.append(events).unwrap();
    txn.commit().unwrap();
    drop(line);
    let kept = rows.iter().filter_map(|row| insert(&backend, row)).collect();
    (backend, kept)
}

/// Stores a row as far as its table has columns; returns what is kept, none where there is no table.
fn insert(backend: &PostgresBackend, row: &Row) -> Option<Row> {
    let table = format!("{}.{}", backend.schema(), row.kind().table());
    let sql = format!(
        "SELECT attname::text FROM pg_attribute WHERE attrelid = to_regclass('{table}') AND attnum > 0 AND NOT attisdropped"
    );
    let line = backend.open_bare().unwrap();
    let names: Vec<String> = line.ask(Step::new(sql, vec![])).unwrap().iter().map(|found| found.get(0)).collect();
    let has = |name: &str| names.iter().any(|known| known == name);
    let columns = row.kind().columns().iter().zip(row.to_values()).filter(|(column, _)| has(column.name));
    let (columns, values): (Vec<_>, Vec<_>) =
        columns.map(|(column, value)| (sql::quoted(column.name), Parameter::from(&value))).unzip();
    let places = (1..=values.len()).map(|n| format!("${n}")).collect::<Vec<_>>().join(", ");
    let text = format!("INSERT INTO {table} (town_id, {}) VALUES ('town', {places})", columns.join(", "));
    (!names.is_empty()).then(|| {
        line.ask(Step::new(text, values)).unwrap();
        sample::kept_of(row, has)
    })
}

/// Runs a statement behind the backend's back.
pub(super) fn alter(backend: &PostgresBackend, sql: &str) {
    backend.open_bare().unwrap().batch(sql).unwrap();
}

crate::store_conformance!(conformance, Fresh::new);

/// Every table and index of the schema.
pub(super) fn shape(backend: &PostgresBackend) -> shape::Shape {
    shape::found(&backend.open(Access::Read).unwrap()).unwrap()
}

#[test]
fn a_new_schema_has_the_columns_and_indexes_that_the_model_names() {
    let backend = fresh();
    backend.connect(Access::Write).unwrap();
    assert_eq!(shape(&backend), shape::wanted(), "the model needs another migration");
}

#[test]
fn what_somebody_took_or_altered_is_named_and_what_he_added_is_his() {
    let backend = fresh();
    let mut connection = backend.connect(Access::Write).unwrap();
    alter(&backend, "CREATE TABLE theirs (a int); CREATE INDEX theirs_too ON bead (title)");
    assert_eq!(connection.check().unwrap(), Vec::<String>::new());
    alter(
        &backend,
        "DROP INDEX beads_by_kind; DROP INDEX events_by_subject; DROP INDEX word_of_titles; DROP TABLE label; \
         DROP INDEX beads_by_parent; CREATE INDEX beads_by_parent ON bead (parent); \
         ALTER TABLE bead DROP COLUMN source_status",
    );
    let found = connection.check().unwrap();
    for told in [
        "the schema's beads_by_kind is missing",
        "the schema's events_by_subject is missing",
        "the schema's label is missing",
        "the schema's labels_by_name is missing",
        "the schema's word_of_titles is missing",
        "the index beads_by_parent is not the one of the schema",
        "the table bead has no column source_status text C",
    ] {
        assert!(found.iter().any(|found| found == told), "{told}: {found:#?}");
    }
    let error = backend.connect(Access::Write).map(drop).unwrap_err();
    assert_eq!((error.kind(), error.code()), (crate::ErrorKind::Corrupt, "schema_altered"));
    assert!(error.fact("missing").is_some_and(|names| names.contains("beads_by_kind")), "{error:?}");
}

#[test]
fn a_published_migration_does_not_change() {
    let sums: Vec<_> = schema::MIGRATIONS.iter().map(|step| (step.version, schema::sha256(step.sql))).collect();
    let published = [
        (1, "9ba82b104bd21b0a7f64d66b5384aec75f10bd5ed746ea23f5fb57bb0d1e38e8".to_owned()),
        (2, "9a1d9ca17299e43343137e03e430f96182095bac90040e6f67bb3837ef68226e".to_owned()),
        (3, "72645d6ba6c2ad322797ce36df27ca8c004f329cf930e0ab5745f2a0a63c885f".to_owned()),
        (4, "9aff9cdc11a474f85ab072b156149ce4821dc514f26e8683db7896b3a576bdcd".to_owned()),
        (5, "80f72b5f169571f6f5780d4478703825118b99d909deee53b29c30a115118695".to_owned()),
        (6, "c278b3b7982fc5bf2e3d36a72982f3fd8e062da7b84cc05d417bf1d6149c94e1".to_owned()),
    ];
    assert_eq!(sums, published);
}

#[test]
fn every_scan_uses_its_index_without_sorting() {
    let backend = fresh();
    let line = backend.open(Access::Read).unwrap();
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
            for scan in [whole, behind, upto] {
                let before = Position(of(index.order));
                for (select, way) in [
                    (sql::Select::Rows, sql::Way::Forth),
                    (sql::Select::Count, sql::Way::Forth),
                    (sql::Select::Rows, sql::Way::Back(None)),
                    (sql::Select::Rows, sql::Way::Back(Some(&before))),
                ] {
                    let (text, parameters) = sql::scan("town", &scan, way, select);
                    let mut text = format!("EXPLAIN {text}");
                    for (n, parameter) in parameters.iter().enumerate().rev() {
                        let literal = match parameter {
                            Parameter::One(Value::Int(n)) => n.to_string(),
                            Parameter::One(Value::Text(text)) => format!("'{text}'"),
                            _ => unreachable!("a null is written out"),
                        };
                        text = text.replace(&format!("${}", n + 1), &literal);
                    }
                    let plan: Vec<String> =
                        line.ask(Step::new(text.clone(), vec![])).unwrap().iter().map(|row| row.get(0)).collect();
                    let plan = plan.join("\n");
                    // Which of two indexes with the same order is right depends on what is in the table.
                    let is_indexed = plan.contains("Index Scan") || plan.contains("Index Only Scan");
                    assert!(is_indexed && !plan.contains("Sort") && !plan.contains("Seq"), "{text}\n{plan}");
                }
            }
        }
    }
}
