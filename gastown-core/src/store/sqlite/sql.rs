//! The statements, made from the columns and indexes that the model names.

use std::fmt::Write as _;
use std::sync::OnceLock;

use crate::model::value::Value;
use crate::model::{Key, RowKind};
use crate::store::index::{Condition, Index};
use crate::store::{Position, Scan, Search};

/// The statements of one table.
pub(super) struct Statements {
    /// Town and key in, the columns out.
    pub(super) get: String,
    /// Town and the columns in.
    pub(super) put: String,
    /// The same, of a row that is not there.
    pub(super) insert: String,
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
        let insert = format!("INSERT INTO {table} (town_id, {names}) VALUES (?1, {places})");
        let replace = if rest.is_empty() { "DO NOTHING".to_owned() } else { format!("DO UPDATE SET {updates}") };
        Self {
            get: format!("SELECT {names} FROM {table} WHERE {matching}"),
            put: format!("{insert} ON CONFLICT (town_id, {}) {replace}", key.join(", ")),
            insert,
            delete: format!("DELETE FROM {table} WHERE {matching}"),
        }
    }
}

/// A row for a town that has rows of a kind.
pub(super) fn any(kind: RowKind) -> String {
    format!("SELECT 1 FROM {} WHERE town_id = ?1 LIMIT 1", kind.table())
}

/// Town and the number of a bead in, its columns out.
pub(super) fn numbered() -> String {
    statements(RowKind::Bead).get.replace("id\" = ?2", "doc\" = ?2")
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
    /// The number and the id of each bead.
    Beads,
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
    /// From the end, and whether it is before a place.
    back: Option<bool>,
}

impl Shape {
    pub(super) fn of(scan: &Scan, select: Select) -> Self {
        let nulls = scan.prefix.iter().enumerate().map(|(n, value)| u8::from(*value == Value::Null) << n).sum();
        Self { select, nulls, has_after: scan.after.is_some(), has_upto: scan.upto.is_some(), back: None }
    }

    /// The same the way it is read.
    pub(super) const fn going(mut self, way: Way<'_>) -> Self {
        if let Way::Back(before) = way {
            self.back = Some(before.is_some());
        }
        self
    }
}

/// Which way a scan is read.
#[derive(Clone, Copy)]
pub(super) enum Way<'a> {
    Forth,
    /// From the end, or from before a place.
    Back(Option<&'a Position>),
}

/// A scan's parameters behind the town, in order.
pub(super) fn scan_parameters<'a>(scan: &'a Scan, way: Way<'a>) -> impl Iterator<Item = &'a Value> {
    let prefix = scan.prefix.iter().filter(|value| **value != Value::Null);
    let before = if let Way::Back(before) = way { before } else { None };
    let places = scan.after.iter().flat_map(|after| &after.0).chain(before.into_iter().flat_map(|before| &before.0));
    prefix.chain(places).chain(&scan.upto)
}

/// A scan as a statement.
pub(super) fn scan(index: &Index, shape: Shape) -> String {
    let mut sql = String::with_capacity(512);
    sql.push_str("SELECT ");
    match shape.select {
        Select::Count => sql.push_str("count(*)"),
        // Both are in every index of the table, which is not looked at for them.
        Select::Beads => sql.push_str("doc, id"),
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
    for (is_there, sign) in [(shape.has_after, '>'), (shape.back == Some(true), '<')] {
        if !is_there {
            continue;
        }
        let _ = write!(sql, " AND ({order}) {sign} (");
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
    if shape.select != Select::Count {
        let down = if shape.back.is_some() { " DESC" } else { "" };
        let order = index.order.iter().map(|name| quoted(name) + down).collect::<Vec<_>>().join(", ");
        let _ = write!(sql, " ORDER BY {order}");
    }
    sql
}

/// The values of some columns of the rows that a scan counts.
pub(super) fn tally(scan: &Scan, columns: &[&'static str]) -> String {
    let columns = columns.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ");
    self::scan(scan.index, Shape::of(scan, Select::Count)).replacen("count(*)", &columns, 1)
}

/// Changes whenever another connection has committed.
pub(super) const COMMITS_OF_OTHERS: &str = "PRAGMA data_version";

/// The last entry of the journal.
pub(super) const HEAD: &str = "SELECT seq, hash FROM event WHERE town_id = ?1 ORDER BY seq DESC LIMIT 1";

/// Entries of the journal behind one.
pub(super) const EVENTS: &str = "SELECT seq, at, actor, session, epoch, kind, subject, data, changes, schema, hash \
     FROM event WHERE town_id = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3";

/// Entries of the journal behind one, of one subject.
pub(super) const EVENTS_OF: &str = "SELECT seq, at, actor, session, epoch, kind, subject, data, changes, schema, hash \
     FROM event INDEXED BY events_by_subject WHERE town_id = ?1 AND subject = ?2 AND seq > ?3 ORDER BY seq LIMIT ?4";

/// One more entry.
pub(super) const APPEND: &str = "INSERT INTO event \
     (town_id, seq, at, actor, session, epoch, kind, subject, data, changes, schema, hash) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";

/// The entries of the journal up to one.
pub(super) const TRUNCATE: &str = "DELETE FROM event WHERE town_id = ?1 AND seq <= ?2";

/// Beads that may hold words, the newest first: town, words and limit in, and the place they are behind.
pub(super) fn search(has_after: bool, select: Select) -> String {
    let mut sql = String::with_capacity(1_024);
    sql.push_str("SELECT ");
    if select == Select::Beads {
        sql.push_str("doc, id");
    } else {
        for (n, column) in RowKind::Bead.columns().iter().enumerate() {
            let _ = write!(sql, "{}\"{}\"", if n == 0 { "" } else { ", " }, column.name);
        }
    }
    // The rows whole, only of those that are answered. What is not indexed yet may hold every word.
    sql.push_str(
        " FROM bead NOT INDEXED WHERE doc IN (SELECT doc FROM bead NOT INDEXED WHERE town_id = ?1 AND doc IN \
         (SELECT rowid FROM word WHERE word MATCH ?2 UNION ALL SELECT doc FROM word_later \
         UNION ALL SELECT doc FROM bead NOT INDEXED WHERE doc > (SELECT doc FROM word_mark))",
    );
    if has_after {
        sql.push_str(" AND (created_at, id) < (?4, ?5)");
    }
    sql.push_str(" ORDER BY created_at DESC, id DESC LIMIT ?3) ORDER BY created_at DESC, id DESC");
    sql
}

/// The words of a search that the index of words surely parts as the library does, as it wants them; none where there
/// is none such.
pub(super) fn words(search: &Search) -> Option<String> {
    let mut all = String::new();
    for term in search.terms.iter().filter(|term| term.word.chars().all(is_plain)) {
        let and = if all.is_empty() { "" } else { " AND " };
        let star = if term.is_prefix { "*" } else { "" };
        let _ = write!(all, "{and}\"{}\"{star}", term.word);
    }
    if all.is_empty() {
        return None;
    }
    Some(if search.title_only { format!("title : ({all})") } else { all })
}

/// Letters that have been letters, with these lower cases, since before the tables of the index were made.
const fn is_plain(c: char) -> bool {
    matches!(c,
        'a'..='z' | '0'..='9'
        | '\u{df}'..='\u{f6}' | '\u{f8}'..='\u{17e}'
        | '\u{3ac}'..='\u{3ce}'
        | '\u{430}'..='\u{45f}' | '\u{461}'..='\u{481}' | '\u{48b}'..='\u{513}'
        | '\u{5d0}'..='\u{5ea}'
        | '\u{621}'..='\u{63a}' | '\u{641}'..='\u{64a}'
        | '\u{3041}'..='\u{3096}' | '\u{30a1}'..='\u{30fa}' | '\u{4e00}'..='\u{9fa5}' | '\u{ac00}'..='\u{d7a3}')
}

/// Makes the index of words anew.
pub(super) const INDEX_WORDS: &str = "INSERT INTO word (word) VALUES ('delete-all'); \
     INSERT INTO word (rowid, title, texts) SELECT doc, title, texts FROM word_source ORDER BY doc; \
     DELETE FROM word_later; \
     UPDATE word_mark SET doc = (SELECT coalesce(max(doc), 0) FROM bead)";

/// Indexes the words of the beads that came since words were last indexed.
pub(super) const INDEX_NEW_WORDS: &str = "INSERT INTO word (rowid, title, texts) \
     SELECT doc, title, texts FROM word_source WHERE doc > (SELECT doc FROM word_mark) ORDER BY doc";

/// Says that the words of every bead are indexed.
pub(super) const MARK_WORDS: &str = "UPDATE word_mark SET doc = (SELECT coalesce(max(doc), 0) FROM bead)";

/// Whether the next bead's number is behind those whose words are indexed, and nobody else has triggers.
pub(super) const MAY_INDEX_LATER: &str = "SELECT (SELECT coalesce(max(doc), 0) FROM bead) >= (SELECT doc FROM word_mark) \
     AND NOT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'trigger' AND name NOT LIKE 'word_of_%')";

/// A key's values behind the town.
pub(super) fn key_values(key: &Key) -> &[Value] {
    debug_assert_eq!(key.values.len(), key.kind.key_len(), "a key has a value for each key column");
    &key.values
}
