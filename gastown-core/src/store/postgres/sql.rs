//! The statements, made from the columns and indexes that the model names.

use std::fmt::Write as _;
use std::sync::OnceLock;

use super::text::Parameter;
use crate::model::value::Value;
use crate::model::{Key, RowKind};
use crate::store::index::Condition;
use crate::store::{Scan, Search};

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
        let places = (2..).take(columns.len()).map(|n| format!("${n}")).collect::<Vec<_>>().join(", ");
        let matching =
            (2..).zip(key).fold("town_id = $1".to_owned(), |text, (n, name)| format!("{text} AND {name} = ${n}"));
        let updates = rest.iter().map(|name| format!("{name} = excluded.{name}")).collect::<Vec<_>>().join(", ");
        let replace = if rest.is_empty() { "DO NOTHING".to_owned() } else { format!("DO UPDATE SET {updates}") };
        Self {
            get: format!("SELECT {names} FROM {table} WHERE {matching}"),
            put: format!(
                "INSERT INTO {table} (town_id, {names}) VALUES ($1, {places}) ON CONFLICT (town_id, {}) {replace}",
                key.join(", ")
            ),
            delete: format!("DELETE FROM {table} WHERE {matching}"),
        }
    }
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

/// A scan as a statement and its parameters; the first is the town.
pub(super) fn scan(town: &str, scan: &Scan, select: Select) -> (String, Vec<Parameter>) {
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
    if let Some(after) = &scan.after {
        let order = index.order.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ");
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
        // The whole index, in its order: the server does not see that a column which is null is only one value.
        let whole = index.prefix.iter().chain(index.order).map(|name| quoted(name)).collect::<Vec<_>>().join(", ");
        let _ = write!(sql, " ORDER BY town_id, {whole} LIMIT ");
        parameters.push(Parameter::count(scan.limit as u64));
        let _ = write!(sql, "${}", parameters.len());
    }
    (sql, parameters)
}

/// The last entry of the journal.
pub(super) const HEAD: &str = "SELECT seq, hash FROM event WHERE town_id = $1 ORDER BY seq DESC LIMIT 1";

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

/// The entries of the journal up to one go.
pub(super) const TRUNCATE: &str = "DELETE FROM event WHERE town_id = $1 AND seq <= $2";

/// Takes the town's lock.
pub(super) const LOCK: &str = "SELECT pg_advisory_xact_lock($1)";

/// The number of the session that asks, and since when it is there.
pub(super) const SESSION: &str = "SELECT pid::bigint, (extract(epoch FROM backend_start) * 1000000)::bigint \
     FROM pg_stat_activity WHERE pid = pg_backend_pid()";

/// The mark of a transaction; one that replaces another is its connection's.
pub(super) const MARK: &str = "INSERT INTO commit_mark (town_id, writer, number, at) \
     VALUES ($1, $2, $3, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) \
     ON CONFLICT (town_id, writer) DO UPDATE SET number = excluded.number, at = excluded.at";

/// The number of a connection's last transaction.
pub(super) const MARKED: &str = "SELECT number FROM commit_mark WHERE town_id = $1 AND writer = $2";

/// Marks go that nobody asks for any more: a day later.
pub(super) const FORGET_MARKS: &str = "DELETE FROM commit_mark \
     WHERE town_id = $1 AND at < ((extract(epoch FROM clock_timestamp()) - 86400) * 1000000)::bigint";

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
