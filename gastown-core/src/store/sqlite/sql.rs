//! The statements, made from the columns and indexes that the model names.

use std::fmt::Write as _;
use std::sync::OnceLock;

use crate::model::value::Value;
use crate::model::{Key, RowKind};
use crate::store::Scan;
use crate::store::index::{Condition, Index};

/// The statements of one table.
pub(super) struct Statements {
    /// Town and key in, the columns out.
    pub(super) get: String,
    /// Town and the columns in.
    pub(super) put: String,
    /// Town and key in.
    pub(super) delete: String,
}

/// The statements of a kind's table.
pub(super) fn statements(kind: RowKind) -> &'static Statements {
    static ALL: OnceLock<Vec<Statements>> = OnceLock::new();
    // `ALL` has the order of declaration, which is what the cast counts.
    &ALL.get_or_init(|| RowKind::ALL.iter().copied().map(Statements::of).collect())[kind as usize]
}

impl Statements {
    fn of(kind: RowKind) -> Self {
        let table = kind.table();
        let columns: Vec<String> = kind.columns().iter().map(|column| quoted(column.name)).collect();
        let (key, rest) = columns.split_at(kind.key_len());
        let names = columns.join(", ");
        let places = (2..).take(columns.len()).map(|n| format!("?{n}")).collect::<Vec<_>>().join(", ");
        let matching =
            (2..).zip(key).fold("town_id = ?1".to_owned(), |text, (n, name)| format!("{text} AND {name} = ?{n}"));
        let updates = rest.iter().map(|name| format!("{name} = excluded.{name}")).collect::<Vec<_>>().join(", ");
        let replace = if rest.is_empty() { "DO NOTHING".to_owned() } else { format!("DO UPDATE SET {updates}") };
        Self {
            get: format!("SELECT {names} FROM {table} WHERE {matching}"),
            put: format!(
                "INSERT INTO {table} (town_id, {names}) VALUES (?1, {places}) ON CONFLICT (town_id, {}) {replace}",
                key.join(", ")
            ),
            delete: format!("DELETE FROM {table} WHERE {matching}"),
        }
    }
}

/// Town, key and the columns at these places in.
pub(super) fn update(kind: RowKind, changed: &[usize]) -> String {
    let columns = kind.columns();
    let key = &columns[..kind.key_len()];
    let mut sql = String::with_capacity(256);
    let _ = write!(sql, "UPDATE {} SET ", kind.table());
    for (n, &place) in changed.iter().enumerate() {
        let comma = if n == 0 { "" } else { ", " };
        let _ = write!(sql, "{comma}\"{}\" = ?{}", columns[place].name, key.len() + 2 + n);
    }
    sql.push_str(" WHERE town_id = ?1");
    for (n, column) in (2..).zip(key) {
        let _ = write!(sql, " AND \"{}\" = ?{n}", column.name);
    }
    sql
}

/// A name as SQL writes it, so that none is taken for a keyword.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{name}\"")
}

/// A condition with its value written out, so that SQLite sees that a partial index serves.
pub(super) fn condition(condition: &Condition) -> String {
    match condition {
        Condition::Int(name, value) => format!("{} = {value}", quoted(name)),
        Condition::Text(name, value) => format!("{} = '{}'", quoted(name), value.replace('\'', "''")),
        Condition::Present(name) => format!("{} IS NOT NULL", quoted(name)),
    }
}

/// The SQLite index of an index that the key does not serve.
pub(super) fn index_name(index: &Index) -> String {
    index.name.to_ascii_lowercase()
}

/// What a scan's statement begins with.
#[derive(Clone, Copy)]
pub(super) enum Select {
    Rows,
    Count,
}

/// A scan as a statement, and its parameters behind the town, in order.
pub(super) fn scan<'a>(scan: &'a Scan, select: Select) -> (String, Vec<&'a Value>) {
    let index = scan.index;
    let mut parameters: Vec<&'a Value> = Vec::with_capacity(8);
    let mut sql = String::with_capacity(512);
    sql.push_str("SELECT ");
    match select {
        Select::Count => sql.push_str("count(*)"),
        Select::Rows => {
            for (n, column) in index.kind.columns().iter().enumerate() {
                let _ = write!(sql, "{}\"{}\"", if n == 0 { "" } else { ", " }, column.name);
            }
        }
    }
    let _ = write!(sql, " FROM {}", index.kind.table());
    if !index.is_key() {
        let _ = write!(sql, " INDEXED BY {}", index_name(index));
    }
    sql.push_str(" WHERE town_id = ?1");
    for given in index.conditions {
        let _ = write!(sql, " AND {}", condition(given));
    }
    let mut parameter = |sql: &mut String, value: &'a Value| {
        parameters.push(value);
        let _ = write!(sql, "?{}", parameters.len() + 1);
    };
    for (name, value) in index.prefix.iter().zip(&scan.prefix) {
        if *value == Value::Null {
            let _ = write!(sql, " AND \"{name}\" IS NULL");
        } else {
            let _ = write!(sql, " AND \"{name}\" = ");
            parameter(&mut sql, value);
        }
    }
    let order = index.order.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ");
    if let Some(after) = &scan.after {
        let _ = write!(sql, " AND ({order}) > (");
        for (n, value) in after.0.iter().enumerate() {
            if n > 0 {
                sql.push_str(", ");
            }
            parameter(&mut sql, value);
        }
        sql.push(')');
    }
    if let Some(upto) = &scan.upto {
        let _ = write!(sql, " AND \"{}\" <= ", index.order[0]);
        parameter(&mut sql, upto);
    }
    if matches!(select, Select::Rows) {
        let _ = write!(sql, " ORDER BY {order}");
    }
    (sql, parameters)
}

/// The last entry of the journal.
pub(super) const HEAD: &str = "SELECT seq, hash FROM event WHERE town_id = ?1 ORDER BY seq DESC LIMIT 1";

/// Entries of the journal behind one.
pub(super) const EVENTS: &str = "SELECT seq, at, actor, session, epoch, kind, subject, data, changes, schema, hash \
     FROM event WHERE town_id = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3";

/// One more entry.
pub(super) const APPEND: &str = "INSERT INTO event \
     (town_id, seq, at, actor, session, epoch, kind, subject, data, changes, schema, hash) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";

/// The entries of the journal up to one.
pub(super) const TRUNCATE: &str = "DELETE FROM event WHERE town_id = ?1 AND seq <= ?2";

/// A key's values behind the town.
pub(super) fn key_values(key: &Key) -> &[Value] {
    debug_assert_eq!(key.values.len(), key.kind.key_len(), "a key has a value for each key column");
    &key.values
}
