//! The floor of a change: the rows that the town wrote for it, written again into a copy of its file by prepared
//! statements that know them already.
//!
//! What a command wrote is read from its entry in the journal. Of a row that was there only the columns that changed are
//! written, as the town does.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use serde_json::Value as Json;

use crate::bare::{self, INSERT_EVENT};
use crate::measure::Turn;

/// What one command wrote: statements by their place among the known ones, and what they are given.
pub(crate) type Command = Vec<(usize, Vec<Value>)>;

/// A copy of a town's file, and a connection that writes as the town's does.
#[derive(Debug)]
pub(crate) struct Raw {
    file: PathBuf,
    db: Connection,
    /// The texts of the statements.
    statements: Vec<String>,
    tables: HashMap<String, Table>,
}

/// A table's columns, and how many of them behind the town are its key.
#[derive(Clone, Debug)]
struct Table {
    columns: Vec<String>,
    key: Vec<String>,
}

/// A row that was changed: its table and its key.
type Place = (String, Vec<String>);

impl Raw {
    /// Opens a copy.
    pub(crate) fn open(file: &Path) -> Self {
        Self {
            file: file.to_owned(),
            db: bare::connect(file, "FULL"),
            statements: vec![INSERT_EVENT.to_owned()],
            tables: HashMap::new(),
        }
    }

    /// What the commands wrote whose entries are behind `after` in the town's journal, each in one entry.
    ///
    /// It reads both files through connections of its own, so that nothing of it is in the caches of those that write.
    pub(crate) fn script(&mut self, town: &Path, after: i64) -> Vec<Command> {
        let (town, own) = (reading(town), reading(&self.file));
        let mut known: HashMap<Place, Option<Vec<Value>>> = HashMap::new();
        let mut commands = Vec::new();
        for event in rows(&town, "SELECT * FROM event WHERE seq > ?1 ORDER BY seq", &[Value::Integer(after)]) {
            let Value::Text(changes) = &event[9] else { panic!("an entry's changes are a text") };
            let changes: Vec<Json> = serde_json::from_str(changes).expect("an entry's changes are JSON");
            let mut command = Command::new();
            for change in &changes {
                let name = change["table"].as_str().expect("a change names its table");
                let table = self.table(&own, name);
                let key: Vec<Value> = change["key"].as_array().into_iter().flatten().map(value).collect();
                let place = (name.to_owned(), key.iter().map(|part| format!("{part:?}")).collect());
                let before = known.entry(place.clone()).or_insert_with(|| one(&own, name, &table, &key));
                let after = change["row"].as_object().map(|fields| {
                    // What is not journaled is taken as it is now.
                    let now = before.clone().or_else(|| one(&town, name, &table, &key));
                    let mut row = now.expect("a changed row is in one of the files");
                    for (column, place) in table.columns.iter().zip(&mut row) {
                        if let Some(found) = fields.get(column) {
                            *place = value(found);
                        }
                    }
                    row
                });
                let statement = change_of(name, &table, &key, before.as_deref(), after.as_deref());
                if let Some((text, values)) = statement {
                    let known = self.statements.iter().position(|known| *known == text);
                    let number = known.unwrap_or_else(|| {
                        self.statements.push(text);
                        self.statements.len() - 1
                    });
                    command.push((number, values));
                }
                known.insert(place, after);
            }
            command.push((0, event));
            commands.push(command);
        }
        commands
    }

    fn table(&mut self, db: &Connection, name: &str) -> Table {
        if let Some(table) = self.tables.get(name) {
            return table.clone();
        }
        let of = |sql: &str| -> Vec<String> {
            rows(db, sql, &[Value::Text(name.to_owned())])
                .into_iter()
                .map(|row| if let Value::Text(text) = &row[0] { text.clone() } else { panic!("a name is a text") })
                .collect()
        };
        let unique = "SELECT c.name FROM pragma_index_list(?1) i JOIN pragma_index_info(i.name) c \
                      WHERE i.origin = 'pk' OR i.origin = 'u' ORDER BY c.seqno";
        let columns = of("SELECT name FROM pragma_table_info(?1) ORDER BY cid");
        let table = Table { columns, key: of(unique) };
        self.tables.insert(name.to_owned(), table.clone());
        table
    }

    /// Commits each of these commands in a transaction of its own.
    pub(crate) fn one_by_one(&self, commands: &[Command]) -> Turn {
        Turn::of(commands.len(), |n| {
            bare::run_cached(&self.db, "BEGIN IMMEDIATE");
            self.write(&commands[n]);
            bare::run_cached(&self.db, "COMMIT");
        })
    }

    fn write(&self, command: &Command) {
        for (number, values) in command {
            let mut statement = self.db.prepare_cached(&self.statements[*number]).expect("the schema is the town's");
            for (place, value) in (1..).zip(values) {
                statement.raw_bind_parameter(place, value).expect("a value can be bound");
            }
            let changed = statement.raw_execute().expect("the row is written");
            assert_eq!(changed, 1, "{}", self.statements[*number]);
        }
    }
}

/// The statement that changes one row, and its values; none where nothing changes.
fn change_of(
    name: &str,
    table: &Table,
    key: &[Value],
    before: Option<&[Value]>,
    after: Option<&[Value]>,
) -> Option<(String, Vec<Value>)> {
    let matching = || {
        let places = (2..).zip(&table.key[1..]).map(|(n, column)| format!("{column} = ?{n}"));
        std::iter::once("town_id = ?1".to_owned()).chain(places).collect::<Vec<_>>().join(" AND ")
    };
    let keyed = || std::iter::once(Value::Text("town".to_owned())).chain(key.iter().cloned()).collect::<Vec<_>>();
    match (before, after) {
        (None, None) => None,
        (Some(_), None) => Some((format!("DELETE FROM {name} WHERE {}", matching()), keyed())),
        (None, Some(after)) => {
            let columns = table.columns.iter().zip(after).filter(|(column, _)| *column != "doc");
            let (columns, values): (Vec<&str>, Vec<Value>) =
                columns.map(|(column, value)| (column.as_str(), value.clone())).unzip();
            let places: Vec<String> = (1..=columns.len()).map(|n| format!("?{n}")).collect();
            Some((format!("INSERT INTO {name} ({}) VALUES ({})", columns.join(", "), places.join(", ")), values))
        }
        (Some(before), Some(after)) => {
            let mut values = keyed();
            let mut changed = Vec::new();
            for ((column, before), after) in table.columns.iter().zip(before).zip(after) {
                if before != after {
                    values.push(after.clone());
                    changed.push(format!("{column} = ?{}", values.len()));
                }
            }
            let text = format!("UPDATE {name} SET {} WHERE {}", changed.join(", "), matching());
            (!changed.is_empty()).then_some((text, values))
        }
    }
}

fn one(db: &Connection, name: &str, table: &Table, key: &[Value]) -> Option<Vec<Value>> {
    let places: Vec<String> = (1..).zip(&table.key[1..]).map(|(n, column)| format!(" AND {column} = ?{n}")).collect();
    rows(db, &format!("SELECT * FROM {name} WHERE town_id = 'town'{}", places.concat()), key).pop()
}

fn value(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::String(text) => Value::Text(text.clone()),
        number => Value::Integer(number.as_i64().expect("a column is null, a number or a text")),
    }
}

/// A connection that only reads.
pub(crate) fn reading(file: &Path) -> Connection {
    let db = bare::connect(file, "FULL");
    db.pragma_update(None, "query_only", true).expect("it can be set up");
    db
}

/// The rows of a query.
pub(crate) fn rows(db: &Connection, sql: &str, values: &[Value]) -> Vec<Vec<Value>> {
    let mut statement = db.prepare_cached(sql).expect("the schema is the town's");
    let columns = statement.column_count();
    let found = statement
        .query_map(params_from_iter(values), |row| (0..columns).map(|n| row.get(n)).collect())
        .expect("it can be read");
    found.collect::<Result<_, _>>().expect("it can be read")
}

/// Inserts whole rows, in transactions of so many beads: bead by bead what belongs to it.
#[derive(Debug)]
pub(crate) struct Bulk {
    /// The rows of each bead by their tables.
    beads: Vec<Vec<(usize, Vec<Value>)>>,
    statements: Vec<String>,
}

impl Bulk {
    /// What the town has of the beads behind a number, at most `limit`; and the last one's number.
    pub(crate) fn read(town: &Path, after: i64, limit: usize) -> (Self, i64) {
        let db = reading(town);
        let mut statements = Vec::new();
        let mut beads = Vec::new();
        let mut last = after;
        let mut texts: BTreeMap<&str, usize> = BTreeMap::new();
        let limit = i64::try_from(limit).expect("it is small");
        let found = rows(
            &db,
            "SELECT * FROM bead WHERE doc > ?1 ORDER BY doc LIMIT ?2",
            &[Value::Integer(after), Value::Integer(limit)],
        );
        for mut bead in found {
            let Value::Integer(doc) = bead.remove(0) else { panic!("a bead has a number") };
            last = doc;
            let id = [bead[1].clone()];
            let mut of_bead = Vec::new();
            let mut take = |table: &'static str, found: Vec<Vec<Value>>| {
                for row in found {
                    let number = *texts.entry(table).or_insert_with(|| {
                        statements.push(insert(&db, table));
                        statements.len() - 1
                    });
                    of_bead.push((number, row));
                }
            };
            take("bead", vec![bead]);
            take("bead_text", rows(&db, "SELECT * FROM bead_text WHERE town_id = 'town' AND id = ?1", &id));
            take("label", rows(&db, "SELECT * FROM label WHERE town_id = 'town' AND bead = ?1", &id));
            take("dependency", rows(&db, "SELECT * FROM dependency WHERE town_id = 'town' AND bead = ?1", &id));
            take("event", rows(&db, "SELECT * FROM event WHERE town_id = 'town' AND subject = ?1", &id));
            beads.push(of_bead);
        }
        (Self { beads, statements }, last)
    }

    /// How many beads there are.
    pub(crate) fn len(&self) -> usize {
        self.beads.len()
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.beads.is_empty()
    }

    /// Writes them in one transaction.
    pub(crate) fn write(&self, db: &Connection) {
        bare::run_cached(db, "BEGIN IMMEDIATE");
        for (number, values) in self.beads.iter().flatten() {
            let mut statement = db.prepare_cached(&self.statements[*number]).expect("the schema is the town's");
            for (place, value) in (1..).zip(values) {
                statement.raw_bind_parameter(place, value).expect("a value can be bound");
            }
            statement.raw_execute().expect("the row is written");
        }
        bare::run_cached(db, "COMMIT");
    }
}

fn insert(db: &Connection, table: &str) -> String {
    let columns =
        rows(db, "SELECT name FROM pragma_table_info(?1) WHERE name <> 'doc'", &[Value::Text(table.to_owned())]);
    let names: Vec<&str> = columns
        .iter()
        .map(|row| if let Value::Text(name) = &row[0] { name.as_str() } else { panic!("a name is a text") })
        .collect();
    let places: Vec<String> = (1..=names.len()).map(|n| format!("?{n}")).collect();
    format!("INSERT INTO {table} ({}) VALUES ({})", names.join(", "), places.join(", "))
}
