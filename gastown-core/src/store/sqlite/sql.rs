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

/// Town, key and the columns of these bits in.
pub(super) fn update(kind: RowKind, changed: u64) -> String {
    let columns = kind.columns();
    let key = &columns[..kind.key_len()];
    let mut sql = String::with_capacity(256);
    let _ = write!(sql, "UPDATE {} SET ", kind.table());
    for (n, place) in bits(changed).enumerate() {
        let comma = if n == 0 { "" } else { ", " };
        let _ = write!(sql, "{comma}\"{}\" = ?{}", columns[place].name, key.len() + 2 + n);
    }
    sql.push_str(" WHERE town_id = ?1");
    for (n, column) in (2..).zip(key) {
        let _ = write!(sql, " AND \"{}\" = ?{n}", column.name);
    }
    sql
}

/// The places of the bits that are set, from the lowest.
pub(super) fn bits(set: u64) -> impl Iterator<Item = usize> {
    (0..64).filter(move |place| set & (1 << place) != 0)
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Select {
    Rows,
    Count,
}

/// What the text of a scan's statement depends on beside the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    select: Select,
    /// One bit for each value of the prefix that is null.
    nulls: u8,
    has_after: bool,
    has_upto: bool,
}

impl Shape {
    pub(super) fn of(scan: &Scan, select: Select) -> Self {
        let nulls = scan.prefix.iter().enumerate().map(|(n, value)| u8::from(*value == Value::Null) << n).sum();
        Self { select, nulls, has_after: scan.after.is_some(), has_upto: scan.upto.is_some() }
    }
}

/// A scan's parameters behind the town, in order.
pub(super) fn scan_parameters(scan: &Scan) -> impl Iterator<Item = &Value> {
    let prefix = scan.prefix.iter().filter(|value| **value != Value::Null);
    prefix.chain(scan.after.iter().flat_map(|after| &after.0)).chain(&scan.upto)
}

/// A scan as a statement.
pub(super) fn scan(index: &Index, shape: Shape) -> String {
    let mut sql = String::with_capacity(512);
    sql.push_str("SELECT ");
    match shape.select {
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
    let mut places = 2..;
    let mut parameter = |sql: &mut String| {
        let _ = write!(sql, "?{}", places.next().unwrap_or_default());
    };
    for (n, name) in index.prefix.iter().enumerate() {
        if shape.nulls & (1 << n) == 0 {
            let _ = write!(sql, " AND \"{name}\" = ");
            parameter(&mut sql);
        } else {
            let _ = write!(sql, " AND \"{name}\" IS NULL");
        }
    }
    let order = index.order.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ");
    if shape.has_after {
        let _ = write!(sql, " AND ({order}) > (");
        for n in 0..index.order.len() {
            if n > 0 {
                sql.push_str(", ");
            }
            parameter(&mut sql);
        }
        sql.push(')');
    }
    if shape.has_upto {
        let _ = write!(sql, " AND \"{}\" <= ", index.order[0]);
        parameter(&mut sql);
    }
    if shape.select == Select::Rows {
        let _ = write!(sql, " ORDER BY {order}");
    }
    sql
}

/// Changes whenever another connection has committed.
pub(super) const COMMITS_OF_OTHERS: &str = "PRAGMA data_version";

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
