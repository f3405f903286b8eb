//! What tables, columns and indexes a file has, beside those that the steps of the schema make.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use rusqlite::Connection;

use super::error::of_sqlite;
use super::schema;
use crate::model::{Error, Result};

/// What SQLite knows by a name.
#[derive(Debug, PartialEq, Eq)]
struct Object {
    /// `table`, `index`, `view` or `trigger`.
    kind: String,
    /// Its columns, or else its one text.
    parts: Vec<String>,
}

type Shape = BTreeMap<String, Object>;

/// Refuses a file of the present schema in which something of it is missing: what needs it would fail later.
pub(super) fn check_complete(db: &Connection) -> Result<()> {
    let mut statement = db.prepare("SELECT name FROM sqlite_schema ORDER BY name").map_err(unreadable)?;
    let names = statement.query_map([], |row| row.get::<_, String>(0)).map_err(unreadable)?;
    let names = names.collect::<rusqlite::Result<Vec<_>>>().map_err(unreadable)?;
    let wanted = wanted()?;
    let missing: Vec<_> = wanted.iter().filter(|(name, _)| names.binary_search(name).is_err()).collect();
    let Some((first, object)) = missing.first() else { return Ok(()) };
    let more = if missing.len() == 1 { String::new() } else { format!(", and {} more", missing.len() - 1) };
    let names: Vec<_> = missing.iter().map(|(name, _)| name.as_str()).collect();
    Err(Error::corrupt("schema_altered", format!("the {} {first} is missing{more}", object.kind))
        .with("missing", names.join(", ")))
}

/// What is missing or other than the steps of the schema make it, a sentence each. What else is there is somebody's own.
pub(super) fn differences(db: &Connection) -> Result<Vec<String>> {
    let found = of(db).map_err(unreadable)?;
    let mut told = Vec::new();
    for (name, wanted) in wanted()? {
        let kind = &wanted.kind;
        match found.get(name) {
            None => told.push(format!("the {kind} {name} is missing")),
            Some(found) if found.kind != *kind || (kind != "table" && found.parts != wanted.parts) => {
                told.push(format!("the {kind} {name} is not the one of the schema"));
            }
            Some(found) => {
                let missing = wanted.parts.iter().filter(|part| !found.parts.contains(part));
                told.extend(missing.map(|column| format!("the table {name} has no column {column}")));
            }
        }
    }
    Ok(told)
}

/// The shape of a new file.
fn wanted() -> Result<&'static Shape> {
    static WANTED: OnceLock<Shape> = OnceLock::new();
    if let Some(wanted) = WANTED.get() {
        return Ok(wanted);
    }
    let mut db = Connection::open_in_memory().map_err(of_sqlite)?;
    schema::migrate(&mut db)?;
    let made = of(&db).map_err(of_sqlite)?;
    Ok(WANTED.get_or_init(|| made))
}

fn unreadable(source: rusqlite::Error) -> Error {
    match source {
        rusqlite::Error::SqliteFailure(..) | rusqlite::Error::SqlInputError { .. } => of_sqlite(source),
        // What is there is no list of tables.
        other => Error::corrupt("schema_altered", "the list of the file's tables cannot be read").because(other),
    }
}

fn of(db: &Connection) -> rusqlite::Result<Shape> {
    // The key's own indexes have no text, and names that SQLite gave.
    let mut objects =
        db.prepare("SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'")?;
    let mut columns =
        db.prepare("SELECT name || ' ' || type || iif(\"notnull\", ' NOT NULL', '') || iif(pk, ' key ' || pk, '') FROM pragma_table_xinfo(?1)")?;
    let mut shape = Shape::new();
    let mut rows = objects.query([])?;
    while let Some(row) = rows.next()? {
        let (kind, name, text): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let parts = if kind == "table" {
            columns.query_map([&name], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?
        } else {
            vec![text.replace('"', "").split_whitespace().collect::<Vec<_>>().join(" ")]
        };
        shape.insert(name, Object { kind, parts });
    }
    Ok(shape)
}

#[cfg(test)]
mod tests {
    use crate::store::sqlite::tests::{backend, raw};
    use crate::store::{Access, Backend as _};

    #[test]
    fn what_somebody_took_or_altered_is_named_and_what_he_added_is_his() {
        let directory = tempfile::tempdir().unwrap();
        let backend = backend(&directory);
        let mut connection = backend.connect(Access::Write).unwrap();
        let db = raw(&backend);
        db.execute_batch("CREATE TABLE theirs (a); CREATE INDEX theirs_too ON bead (title); ANALYZE").unwrap();
        assert_eq!(connection.check().unwrap(), Vec::<String>::new());
        db.execute_batch(
            "DROP INDEX beads_by_kind; DROP TRIGGER word_of_a_title; DROP TABLE label; \
             DROP INDEX beads_by_parent; CREATE INDEX beads_by_parent ON bead (parent); \
             DROP INDEX events_by_subject; ALTER TABLE bead DROP COLUMN source_status",
        )
        .unwrap();
        let found = connection.check().unwrap();
        for told in [
            "the index beads_by_kind is missing",
            "the index beads_by_parent is not the one of the schema",
            "the index events_by_subject is missing",
            "the index labels_by_name is missing",
            "the table bead has no column source_status TEXT",
            "the table label is missing",
            "the trigger word_of_a_title is missing",
        ] {
            assert!(found.iter().any(|found| found == told), "{told}: {found:#?}");
        }
        drop(connection);
        let error = backend.connect(Access::Write).map(drop).unwrap_err();
        assert_eq!((error.kind(), error.code()), (crate::ErrorKind::Corrupt, "schema_altered"));
        assert_eq!(error.to_string(), "the index beads_by_kind is missing, and 4 more");
        assert!(error.fact("missing").is_some_and(|names| names.contains("word_of_a_title")), "{error:?}");
    }
}
