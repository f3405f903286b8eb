//! Tests of the file: its schema, whose it is, and what goes wrong with it.

use super::*;
use crate::model::RowKind;
use crate::model::record::ColumnRole;
use crate::model::value::{ColumnType, Value};
use crate::store::index::INDEXES;
use crate::store::{Position, Scan};

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
        text += &format!("CREATE TABLE {} (\n    town_id TEXT NOT NULL,\n", kind.table());
        let mut key = vec!["town_id".to_owned()];
        for column in kind.columns() {
            let type_name = match column.column_type {
                ColumnType::Int => "INTEGER",
                ColumnType::Text => "TEXT",
            };
            let null = if column.nullable { "" } else { " NOT NULL" };
            text += &format!("    {} {type_name}{null},\n", sql::quoted(column.name));
            if column.role == ColumnRole::Key {
                key.push(sql::quoted(column.name));
            }
        }
        let rowid = if WITHOUT_ROWID.contains(&kind) { ", WITHOUT ROWID" } else { "" };
        text += &format!("    PRIMARY KEY ({})\n) STRICT{rowid};\n", key.join(", "));
        for index in INDEXES.iter().filter(|index| index.kind == kind && !index.is_key()) {
            let columns: Vec<_> = index.prefix.iter().chain(index.order).map(|name| sql::quoted(name)).collect();
            let conditions: Vec<_> = index.conditions.iter().map(sql::condition).collect();
            let only =
                if conditions.is_empty() { String::new() } else { format!("\n    WHERE {}", conditions.join(" AND ")) };
            text += &format!(
                "CREATE INDEX {} ON {} (town_id, {}){only};\n",
                sql::index_name(index),
                kind.table(),
                columns.join(", ")
            );
        }
        text.push('\n');
    }
    text
}

fn backend(directory: &tempfile::TempDir) -> SqliteBackend {
    SqliteBackend::new(directory.path().join("town.db"), SqliteOptions::default())
}

fn raw(backend: &SqliteBackend) -> rusqlite::Connection {
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
                   WHERE name NOT IN ('event', 'migration') AND name NOT LIKE 'sqlite_%' ORDER BY name";
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
    assert_eq!(sums, [(1, "04cb9e9ca84c425270347e6c6fd8624378a62c97ce92f3a1cff25c016c298e38".to_owned())]);
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
            let plain = Scan::new(index, prefix, 10);
            let behind = plain.clone().after(Some(Position(of(index.order))));
            let upto = plain.clone().upto(sample(index.order[0]));
            let both = behind.clone().upto(sample(index.order[0]));
            for scan in [plain, behind, upto, both] {
                for select in [sql::Select::Rows, sql::Select::Count] {
                    let (text, _) = sql::scan(&scan, select);
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
                    assert!(found && jumps, "{}: {plan}\n{text}", index.name);
                }
            }
        }
    }
}

/// A backend that holds the directory of its file, where a commit need not reach the disk.
#[derive(Debug)]
struct Temporary(SqliteBackend, #[expect(dead_code, reason = "it is removed when dropped")] tempfile::TempDir);

impl Backend for Temporary {
    fn name(&self) -> &'static str {
        self.0.name()
    }
    fn connect(&self, access: Access) -> Result<Box<dyn Connection>> {
        self.0.connect(access)
    }
}

fn temporary() -> std::sync::Arc<dyn Backend> {
    let directory = tempfile::tempdir().unwrap();
    let options = SqliteOptions { durability: Durability::Normal, ..SqliteOptions::default() };
    std::sync::Arc::new(Temporary(SqliteBackend::new(directory.path().join("town.db"), options), directory))
}

crate::store_conformance!(conformance, temporary);
