//! The statements, made from the columns and indexes that the model names.

use std::fmt::Write as _;
use std::sync::OnceLock;

use super::text::Parameter;
use crate::model::value::{ColumnType, Value};
use crate::model::{Key, RowKind};
use crate::store::index::{Condition, Index};
use crate::store::{Position, Scan, Search};

/// The statements of one table.
pub(super) struct Statements {
    /// Town and key in, the columns out.
    pub(super) get: String,
    /// Town and the columns in.
    pub(super) put: String,
    /// The same for many rows, each column as an array.
    pub(super) put_many: String,
    /// Town and the key columns as arrays in; for each row that is there its place among them and the columns out.
    pub(super) get_many: String,
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
        let places = (2..).take(columns.len()).map(|n| format!("${n}")).collect::<Vec<_>>().join(", ");
        let matching =
            (2..).zip(key).fold("town_id = $1".to_owned(), |text, (n, name)| format!("{text} AND {name} = ${n}"));
        let updates = rest.iter().map(|name| format!("{name} = excluded.{name}")).collect::<Vec<_>>().join(", ");
        let replace = if rest.is_empty() { "DO NOTHING".to_owned() } else { format!("DO UPDATE SET {updates}") };
        let into = format!("INSERT INTO {table} (town_id, {names})");
        let replace = format!("ON CONFLICT (town_id, {}) {replace}", key.join(", "));
        let types = kind.columns().iter().map(|column| column.column_type);
        let matching_many =
            key.iter().enumerate().fold(String::new(), |text, (n, name)| format!("{text} AND t.{name} = g.k{n}"));
        let names_many = columns.iter().map(|name| format!("t.{name}")).collect::<Vec<_>>().join(", ");
        Self {
            get: format!("SELECT {names} FROM {table} WHERE {matching}"),
            put: format!("{into} VALUES ($1, {places}) {replace}"),
            put_many: format!("{into} SELECT $1::text, u.* FROM unnest({}) u {replace}", arrays(types.clone())),
            get_many: format!(
                "SELECT g.n, {names_many} FROM unnest({}) WITH ORDINALITY g ({}, n) \
                 JOIN {table} t ON t.town_id = $1{matching_many}",
                arrays(types.take(kind.key_len())),
                keys(kind.key_len()),
            ),
            delete: format!("DELETE FROM {table} WHERE {matching}"),
        }
    }
}

/// Parameters from the second on, as arrays of these types.
fn arrays(types: impl Iterator<Item = ColumnType>) -> String {
    let array = |(n, of)| match of {
        ColumnType::Int => format!("${n}::bigint[]"),
        ColumnType::Text => format!("${n}::text[]"),
    };
    (2..).zip(types).map(array).collect::<Vec<_>>().join(", ")
}

fn keys(count: usize) -> String {
    (0..count).map(|n| format!("k{n}")).collect::<Vec<_>>().join(", ")
}

/// Lists of one index, by its prefix columns as arrays: for each row the place of its list and the columns. The last
/// parameter is the most rows of a list.
pub(super) fn lists(index: &Index) -> String {
    let columns = |table: &str| {
        let names = index.kind.columns().iter().map(|column| format!("{table}\"{}\"", column.name));
        names.collect::<Vec<_>>().join(", ")
    };
    let matching = index
        .prefix
        .iter()
        .enumerate()
        .fold(String::new(), |text, (n, name)| format!("{text} AND \"{name}\" = g.k{n}"));
    let order = index.prefix.iter().chain(index.order).map(|name| quoted(name)).collect::<Vec<_>>().join(", ");
    format!(
        "SELECT g.n, {} FROM unnest({}) WITH ORDINALITY g ({}, n) CROSS JOIN LATERAL \
         (SELECT {} FROM {} WHERE town_id = $1{matching} ORDER BY town_id, {order} LIMIT ${}) t",
        columns("t."),
        arrays(index.prefix.iter().map(|name| index.column(name).column_type)),
        keys(index.prefix.len()),
        columns(""),
        index.kind.table(),
        index.prefix.len() + 2,
    )
}

/// A name as SQL writes it, so that none is taken for a keyword.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{name}\"")
}

/// A condition with its value written out, so that the server sees that a partial index serves.
pub(super) fn condition(condition: &Condition) -> String {
    match condition {
        Condition::Int(name, value) => format!("{} = {value}", quoted(name)),
        Condition::Text(name, value) => format!("{} = '{}'", quoted(name), value.replace('\'', "''")),
        Condition::Present(name) => format!("{} IS NOT NULL", quoted(name)),
    }
}

/// What a scan's statement begins with.
#[derive(Clone, Copy)]
pub(super) enum Select {
    Rows,
    Count,
}

/// Which way a scan is read.
#[derive(Clone, Copy)]
pub(super) enum Way<'a> {
    Forth,
    /// From the end, or from before a place.
    Back(Option<&'a Position>),
}

/// A scan as a statement and its parameters; the first is the town.
pub(super) fn scan(town: &str, scan: &Scan, way: Way<'_>, select: Select) -> (String, Vec<Parameter>) {
    let index = scan.index;
    let mut parameters = vec![Parameter::text(town)];
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
    let _ = write!(sql, " FROM {} WHERE town_id = $1", index.kind.table());
    for given in index.conditions {
        let _ = write!(sql, " AND {}", condition(given));
    }
    let mut parameter = |sql: &mut String, value: &Value| {
        parameters.push(value.into());
        let _ = write!(sql, "${}", parameters.len());
    };
    for (name, value) in index.prefix.iter().zip(&scan.prefix) {
        if *value == Value::Null {
            let _ = write!(sql, " AND \"{name}\" IS NULL");
        } else {
            let _ = write!(sql, " AND \"{name}\" = ");
            parameter(&mut sql, value);
        }
    }
    let (before, down) = match way {
        Way::Forth => (None, ""),
        Way::Back(before) => (before, " DESC"),
    };
    for (place, sign) in scan.after.iter().map(|after| (after, '>')).chain(before.map(|before| (before, '<'))) {
        let order = index.order.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ");
        let _ = write!(sql, " AND ({order}) {sign} (");
        for (n, value) in place.0.iter().enumerate() {
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
        // The whole index, in its order: the server does not see that a column which is null is only one value.
        let whole = index.prefix.iter().chain(index.order).map(|name| quoted(name) + down);
        let _ = write!(sql, " ORDER BY town_id{down}, {} LIMIT ", whole.collect::<Vec<_>>().join(", "));
        parameters.push(Parameter::count(scan.limit as u64));
        let _ = write!(sql, "${}", parameters.len());
    }
    (sql, parameters)
}

/// The last entry of the journal.
pub(super) const HEAD: &str = "SELECT seq, hash FROM event WHERE town_id = $1 ORDER BY seq DESC LIMIT 1";

/// How many commits the town has had, and the last entry of its journal.
pub(super) const STATE: &str = "SELECT e.seq, e.hash, m.number FROM (SELECT $1::text AS id) t \
     LEFT JOIN commit_mark m ON m.town_id = t.id AND m.writer = '' \
     LEFT JOIN LATERAL (SELECT seq, hash FROM event WHERE town_id = t.id ORDER BY town_id DESC, seq DESC LIMIT 1) e ON true";

/// Entries of the journal behind one, of one subject.
pub(super) const EVENTS_OF: &str = "SELECT seq, at, actor, session, epoch, kind, subject, data, changes, schema, hash \
     FROM event WHERE town_id = $1 AND subject = $2 AND seq > $3 ORDER BY seq LIMIT $4";

/// Entries of the journal behind one.
pub(super) const EVENTS: &str = "SELECT seq, at, actor, session, epoch, kind, subject, data, changes, schema, hash \
     FROM event WHERE town_id = $1 AND seq > $2 ORDER BY seq LIMIT $3";

/// One more entry.
pub(super) const APPEND: &str = "INSERT INTO event \
     (town_id, seq, at, actor, session, epoch, kind, subject, data, changes, schema, hash) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";

/// Many of them, each column as an array.
pub(super) const APPEND_MANY: &str = "INSERT INTO event \
     (town_id, seq, at, actor, session, epoch, kind, subject, data, changes, schema, hash) \
     SELECT $1::text, u.* FROM unnest($2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::bigint[], $7::text[], \
     $8::text[], $9::text[], $10::text[], $11::bigint[], $12::text[]) u";

/// The types of an entry's columns.
pub(super) const ENTRY: [ColumnType; 11] = {
    use ColumnType::{Int, Text};
    [Int, Int, Text, Text, Int, Text, Text, Text, Text, Int, Text]
};

/// The entries of the journal up to one go.
pub(super) const TRUNCATE: &str = "DELETE FROM event WHERE town_id = $1 AND seq <= $2";

/// Takes the town's lock.
pub(super) const LOCK: &str = "SELECT pg_advisory_xact_lock($1)";

/// The number of the session that asks, and since when it is there.
pub(super) const SESSION: &str = "SELECT pid::bigint, (extract(epoch FROM backend_start) * 1000000)::bigint \
     FROM pg_stat_activity WHERE pid = pg_backend_pid()";

/// The mark of a transaction; one that replaces another is its connection's. The mark without a writer counts the town's
/// commits, from anywhere on: who finds another number knows that somebody else committed.
pub(super) const MARK: &str = "INSERT INTO commit_mark (town_id, writer, number, at) \
     SELECT $1, v.writer, v.number, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint \
     FROM (VALUES ($2, $3), ('', floor(random() * 1000000000000000)::bigint)) v (writer, number) \
     ON CONFLICT (town_id, writer) DO UPDATE SET at = excluded.at, \
     number = CASE excluded.writer WHEN '' THEN commit_mark.number + 1 ELSE excluded.number END \
     RETURNING writer, number";

/// The number of a connection's last transaction.
pub(super) const MARKED: &str = "SELECT number FROM commit_mark WHERE town_id = $1 AND writer = $2";

/// Marks go that nobody asks for any more: a day later.
pub(super) const FORGET_MARKS: &str = "DELETE FROM commit_mark \
     WHERE town_id = $1 AND writer <> '' AND at < ((extract(epoch FROM clock_timestamp()) - 86400) * 1000000)::bigint";

/// Ends the session of this number and beginning while it has this lock: nobody is behind it any more. A later session
/// may have its number and the lock, but not its beginning.
pub(super) const END_SESSION: &str = "SELECT pg_terminate_backend(l.pid) \
     FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid \
     WHERE l.locktype = 'advisory' AND l.granted AND l.pid = $1::bigint AND l.objsubid = 1 \
         AND (extract(epoch FROM a.backend_start) * 1000000)::bigint = $2 \
         AND (l.classid::bigint << 32) | l.objid::bigint = $3";

/// The town and a key's values.
pub(super) fn key(town: &str, key: &Key) -> Vec<Parameter> {
    debug_assert_eq!(key.values.len(), key.kind.key_len(), "a key has a value for each key column");
    with_town(town, &key.values)
}

/// The town and these values.
pub(super) fn with_town(town: &str, values: &[Value]) -> Vec<Parameter> {
    std::iter::once(Parameter::text(town)).chain(values.iter().map(Parameter::from)).collect()
}

/// The town and the columns of many rows.
pub(super) fn columns(
    town: &str,
    types: impl Iterator<Item = ColumnType>,
    rows: &[impl AsRef<[Value]>],
) -> Vec<Parameter> {
    let column = |(n, of)| Parameter::column(of, rows.iter().map(move |row| &row.as_ref()[n]));
    std::iter::once(Parameter::text(town)).chain(types.enumerate().map(column)).collect()
}

/// The longest word of the index; longer ones are in it with their beginnings.
const WORD_CHARS_MAX: usize = 64;

/// Beads that may hold the words of a search, the newest first; none where the index holds none of those words.
pub(super) fn search(town: &str, search: &Search) -> Option<(String, Vec<Parameter>)> {
    let mut parameters = vec![Parameter::text(town)];
    let mut ids = String::with_capacity(512);
    for term in search.terms.iter().filter(|term| term.word.is_ascii()) {
        let (word, star) = match term.word.get(..WORD_CHARS_MAX) {
            Some(beginning) => (beginning, ":*"),
            None => (&*term.word, if term.is_prefix { ":*" } else { "" }),
        };
        parameters.push(Parameter::text(format!("'{word}'{star} | 'ANY'")));
        let n = parameters.len();
        let and = if n == 2 { "" } else { " INTERSECT " };
        let _ = write!(ids, "{and}(SELECT id FROM bead WHERE town_id = $1 AND words_of(title) @@ ${n}::text::tsquery");
        if !search.title_only {
            let _ = write!(
                ids,
                " UNION SELECT id FROM bead_text WHERE town_id = $1 AND \
                 words_of(description || ' ' || design || ' ' || acceptance || ' ' || notes) @@ ${n}::text::tsquery"
            );
        }
        ids.push(')');
    }
    if parameters.len() == 1 {
        return None;
    }
    let columns: Vec<String> = RowKind::Bead.columns().iter().map(|column| quoted(column.name)).collect();
    let mut sql = format!("SELECT {} FROM bead WHERE town_id = $1 AND id IN ({ids})", columns.join(", "));
    if let Some(after) = &search.after {
        parameters.extend(after.0.iter().map(Parameter::from));
        let _ = write!(sql, " AND (created_at, id) < (${}, ${})", parameters.len() - 1, parameters.len());
    }
    parameters.push(Parameter::count(search.limit as u64));
    let _ = write!(sql, " ORDER BY created_at DESC, id DESC LIMIT ${}", parameters.len());
    Some((sql, parameters))
}
