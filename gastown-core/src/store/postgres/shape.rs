//! What tables, columns and indexes a schema has, beside those that its steps make.

use std::collections::{BTreeMap, BTreeSet};

use super::line::{Line, Step};
use super::sql;
use crate::model::record::ColumnRole;
use crate::model::value::ColumnType;
use crate::model::{Error, Result, RowKind};
use crate::store::index::INDEXES;

/// Tables and indexes by their names: columns, or else the one text of what is indexed.
pub(super) type Shape = BTreeMap<String, Vec<String>>;

/// What no kind of row names.
const OTHERS: &[&str] = &["migration", "commit_mark", "event", "events_by_subject", "word_of_titles", "word_of_texts"];

const NAMES: &str = "SELECT relname::text FROM pg_class \
     WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p', 'i', 'I')";

const COLUMNS: &str = "SELECT c.relname::text, a.attname || ' ' || format_type(a.atttypid, a.atttypmod) \
         || coalesce(' ' || (SELECT collname FROM pg_collation WHERE oid = a.attcollation), '') \
         || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END \
         || CASE WHEN a.attnum = ANY (i.indkey) THEN ' key' ELSE '' END \
     FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid \
         LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary \
     WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r' \
         AND a.attnum > 0 AND NOT a.attisdropped ORDER BY c.relname, a.attnum";

const INDEXED: &str = "SELECT indexname::text, indexdef FROM pg_indexes WHERE schemaname = current_schema() \
     AND indexname NOT LIKE '%\\_pkey'";

/// The names of the tables and indexes that are there.
pub(super) fn names(line: &Line) -> Result<BTreeSet<String>> {
    line.ask(Step::plain(NAMES))?.iter().map(|row| row.try_get(0).map_err(unreadable)).collect()
}

/// Refuses a schema in which something is missing: what needs it would fail, or take long, later.
pub(super) fn check_complete(line: &Line) -> Result<()> {
    let found = names(line)?;
    let missing: Vec<_> = wanted_names().into_iter().filter(|name| !found.contains(name)).collect();
    let Some(first) = missing.first() else { return Ok(()) };
    let more = if missing.len() == 1 { String::new() } else { format!(", and {} more", missing.len() - 1) };
    Err(Error::corrupt("schema_altered", format!("the schema's {first} is missing{more}"))
        .with("missing", missing.join(", ")))
}

/// What is missing or other than the steps of the schema make it, a sentence each. What else is there is somebody's own.
pub(super) fn differences(line: &Line) -> Result<Vec<String>> {
    let (names, found) = (names(line)?, found(line)?);
    let missing = wanted_names().into_iter().filter(|name| !names.contains(name));
    let mut told: Vec<_> = missing.map(|name| format!("the schema's {name} is missing")).collect();
    let is_table = |name: &str| RowKind::of_table(name).is_some();
    for (name, wanted) in wanted() {
        let Some(parts) = found.get(&name) else { continue };
        if is_table(&name) {
            let lost = wanted.iter().filter(|part| !parts.contains(part));
            told.extend(lost.map(|column| format!("the table {name} has no column {column}")));
        } else if *parts != wanted {
            told.push(format!("the index {name} is not the one of the schema"));
        }
    }
    Ok(told)
}

fn wanted_names() -> BTreeSet<String> {
    wanted().into_keys().chain(OTHERS.iter().map(|&name| name.to_owned())).collect()
}

/// The tables and indexes of the rows, as the model has them.
pub(super) fn wanted() -> Shape {
    let mut wanted = Shape::new();
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
        wanted.insert(kind.table().to_owned(), columns);
    }
    for index in INDEXES.iter().filter(|index| !index.is_key()) {
        let columns: Vec<_> = index.prefix.iter().chain(index.order).copied().collect();
        let conditions: Vec<_> = index.conditions.iter().map(sql::condition).collect();
        let only = if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) };
        let text = format!("{} (town_id, {}){only}", index.kind.table(), columns.join(", "));
        wanted.insert(index.name.to_ascii_lowercase(), vec![text.replace('"', "")]);
    }
    wanted
}

/// The tables and indexes of the rows that are there, in the same words.
pub(super) fn found(line: &Line) -> Result<Shape> {
    let mut found = Shape::new();
    let is_other = |name: &String| OTHERS.contains(&name.as_str());
    for row in line.ask(Step::plain(COLUMNS))? {
        let (table, column) = (row.try_get(0).map_err(unreadable)?, row.try_get(1).map_err(unreadable)?);
        found.entry(table).or_default().push(column);
    }
    for row in line.ask(Step::plain(INDEXED))? {
        let (name, text): (String, String) = (row.try_get(0).map_err(unreadable)?, row.try_get(1).map_err(unreadable)?);
        // The name of the schema may be written with quotes.
        let text = text.split_once(" ON ").and_then(|(_, on)| on.split_once('.')).map_or(&*text, |(_, text)| text);
        let text = text.replace("USING btree ", "").replace("::text", "").replace('"', "");
        let text = match text.split_once(" WHERE ") {
            Some((front, only)) => format!("{front} WHERE {}", only.replace(['(', ')'], "")),
            None => text,
        };
        found.insert(name, vec![text]);
    }
    found.retain(|name, _| !is_other(name));
    Ok(found)
}

fn unreadable(source: tokio_postgres::Error) -> Error {
    Error::internal("store_postgres", "the server names its tables otherwise").because(source)
}
