//! Tests of the backend on a real server: the kit, its schema, and what goes wrong.

use super::testing::TestServer;
use super::*;
use crate::model::record::ColumnRole;
use crate::model::value::{ColumnType, Value};
use crate::model::{Event, Row, RowKind, TownId};
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

/// The tables and indexes as the model has them now, in SQL; what a new migration starts from.
pub(super) fn ddl() -> Vec<(String, Vec<String>)> {
    let mut wanted = Vec::new();
    for &kind in RowKind::ALL {
        let mut columns = vec!["town_id text C NOT NULL key".to_owned()];
        for column in kind.columns() {
            let type_name = match column.column_type {
                ColumnType::Int => "bigint",
                ColumnType::Text => "text C",
            };
            let null = if column.nullable { "" } else { " NOT NULL" };
            let key = if column.role == ColumnRole::Key { " key" } else { "" };
            columns.push(format!("{} {type_name}{null}{key}", column.name));
        }
        wanted.push((kind.table().to_owned(), columns));
        for index in INDEXES.iter().filter(|index| index.kind == kind && !index.is_key()) {
            let columns: Vec<_> = index.prefix.iter().chain(index.order).copied().collect();
            let conditions: Vec<_> = index.conditions.iter().map(sql::condition).collect();
            let only =
                if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) };
            let text = format!("{} (town_id, {}){only}", kind.table(), columns.join(", "));
            wanted.push((index.name.to_ascii_lowercase(), vec![text.replace('"', "")]));
        }
    }
    wanted.sort();
    wanted
}

/// Every table and index of the schema, in the same words.
pub(super) fn shape(backend: &PostgresBackend) -> Vec<(String, Vec<String>)> {
    let line = backend.open(Access::Read).unwrap();
    let schema = backend.schema();
    let rows = |sql: String| line.ask(Step::new(sql, vec![])).unwrap();
    let mut found = std::collections::BTreeMap::<String, Vec<String>>::new();
    for row in rows(format!(
        "SELECT c.relname::text, a.attname || ' ' || format_type(a.atttypid, a.atttypmod) \
             || coalesce(' ' || (SELECT collname FROM pg_collation WHERE oid = a.attcollation), '') \
             || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END \
             || CASE WHEN a.attnum = ANY (i.indkey) THEN ' key' ELSE '' END \
         FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid JOIN pg_index i ON i.indrelid = c.oid \
         WHERE c.relnamespace = '{schema}'::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND i.indisprimary \
             AND c.relname NOT IN ('event', 'migration', 'commit_mark') ORDER BY c.relname, a.attnum"
    )) {
        found.entry(row.get(0)).or_default().push(row.get(1));
    }
    for row in rows(format!(
        "SELECT indexname::text, indexdef FROM pg_indexes WHERE schemaname = '{schema}' AND tablename <> 'event' AND indexname NOT LIKE '%_pkey' AND indexname NOT LIKE 'word_%'"
    )) {
        let text: String = row.get(1);
        let (_, text) = text.split_once(&format!(" ON {schema}.")).unwrap();
        let text = text.replace("USING btree ", "").replace("::text", "").replace('"', "");
        let text = match text.split_once(" WHERE ") {
            Some((front, only)) => format!("{front} WHERE {}", only.replace(['(', ')'], "")),
            None => text,
        };
        found.insert(row.get(0), vec![text]);
    }
    found.into_iter().collect()
}

#[test]
fn a_new_schema_has_the_columns_and_indexes_that_the_model_names() {
    let backend = fresh();
    backend.connect(Access::Write).unwrap();
    assert_eq!(shape(&backend), ddl(), "the model needs another migration");
}

#[test]
fn a_published_migration_does_not_change() {
    let sums: Vec<_> = schema::MIGRATIONS.iter().map(|step| (step.version, schema::sha256(step.sql))).collect();
    let published = [
        (1, "9ba82b104bd21b0a7f64d66b5384aec75f10bd5ed746ea23f5fb57bb0d1e38e8".to_owned()),
        (2, "9a1d9ca17299e43343137e03e430f96182095bac90040e6f67bb3837ef68226e".to_owned()),
        (3, "72645d6ba6c2ad322797ce36df27ca8c004f329cf930e0ab5745f2a0a63c885f".to_owned()),
        (4, "9aff9cdc11a474f85ab072b156149ce4821dc514f26e8683db7896b3a576bdcd".to_owned()),
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
