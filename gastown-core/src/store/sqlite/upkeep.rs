//! What is done with the whole file now and then.

use std::fs::File;
use std::io;
use std::path::Path;

use rusqlite::Connection;

use super::error::of_sqlite;
use super::{schema, shape, sql};
use crate::model::{Error, Result, TownId};
use crate::store::Description;
use crate::store::draft::Draft;

/// The most findings of a check.
const FINDINGS_MAX: u32 = 100;

/// The towns of the file.
pub(super) fn towns(db: &Connection, limit: usize) -> Result<Vec<TownId>> {
    let asked = "SELECT town_id FROM town WHERE id = town_id ORDER BY town_id LIMIT ?1";
    let mut statement = db.prepare(asked).map_err(of_sqlite)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = statement.query_map([limit], |row| row.get::<_, String>(0)).map_err(of_sqlite)?;
    // One that no town of ours can be called is somebody's own.
    let named = |name: rusqlite::Result<String>| name.map(|name| TownId::new(name).ok()).transpose();
    rows.filter_map(named).collect::<rusqlite::Result<_>>().map_err(of_sqlite)
}

/// How the file is kept.
pub(super) fn describe(db: &Connection) -> Result<Description> {
    let number = |pragma: &str| db.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0)).map_err(of_sqlite);
    let durability = match number("synchronous")? {
        2.. => "full",
        _ => "normal",
    };
    let bytes = number("page_size")?.unsigned_abs() * number("page_count")?.unsigned_abs();
    Ok(Description::new(schema::VERSION.unsigned_abs(), durability).with_bytes(bytes))
}

/// What of the schema is missing, and damage that SQLite finds: in pages, in indexes against their tables, in values
/// against their columns.
pub(super) fn check(db: &Connection) -> Result<Vec<String>> {
    let mut told = shape::differences(db)?;
    let mut statement = db.prepare(&format!("PRAGMA integrity_check({FINDINGS_MAX})")).map_err(of_sqlite)?;
    let findings = statement.query_map([], |row| row.get::<_, String>(0)).map_err(of_sqlite)?;
    let findings: Vec<String> = findings.collect::<rusqlite::Result<_>>().map_err(of_sqlite)?;
    if findings != ["ok"] {
        told.extend(findings);
    }
    Ok(told)
}

/// Makes the index of words anew, without the words of what was.
pub(super) fn index_words(db: &Connection) -> Result<()> {
    let done = db.execute_batch(&format!("BEGIN IMMEDIATE; {}; COMMIT", sql::INDEX_WORDS)).map_err(of_sqlite);
    if !db.is_autocommit() {
        db.execute_batch("ROLLBACK").map_err(of_sqlite)?;
    }
    done
}

/// Writes the file anew without its holes, and empties the log into it.
pub(super) fn vacuum(db: &Connection) -> Result<()> {
    // The new file is a temporary one first, which must not be held in memory whole.
    let kept: i64 = db.pragma_query_value(None, "temp_store", |row| row.get(0)).map_err(of_sqlite)?;
    db.pragma_update(None, "temp_store", "FILE").map_err(of_sqlite)?;
    let done = db.execute_batch("VACUUM; PRAGMA wal_checkpoint(TRUNCATE)").map_err(of_sqlite);
    let restored = db.pragma_update(None, "temp_store", kept).map_err(of_sqlite);
    done.and(restored)
}

/// Writes the database as one transaction sees it to a new file.
pub(super) fn copy_to(db: &Connection, path: &Path) -> Result<()> {
    if path.symlink_metadata().is_ok() {
        return Err(exists(path));
    }
    let draft = Draft::file(path).map_err(|source| match source.kind() {
        io::ErrorKind::StorageFull => unwritable(path, source),
        _ => Error::unavailable("store_unreachable", format!("{} cannot be made", path.display()))
            .with("path", path.display())
            .because(source),
    })?;
    let text = draft
        .path()
        .to_str()
        .ok_or_else(|| Error::invalid("path_malformed", "a copy's path is UTF-8 text").with("path", path.display()))?;
    // The copy is not this database, but the rule of a reader's connection is for whatever it writes.
    let query_only = |on| db.pragma_update(None, "query_only", on);
    let is_reader = db.is_readonly(rusqlite::MAIN_DB).map_err(of_sqlite)?;
    let copied = query_only(false).and_then(|()| db.execute("VACUUM INTO ?1", [text]));
    query_only(is_reader).map_err(of_sqlite)?;
    copied.map_err(|source| of_sqlite(source).with("path", path.display()))?;
    // SQLite leaves it to the system when the copy reaches the disk.
    draft.held().map_or(Ok(()), File::sync_all).map_err(|source| unwritable(path, source))?;
    draft.name(path).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => exists(path).because(source),
        _ => unwritable(path, source),
    })
}

fn exists(path: &Path) -> Error {
    Error::conflict("backup_exists", format!("{} is there already", path.display())).with("path", path.display())
}

fn unwritable(path: &Path, source: io::Error) -> Error {
    let error = match source.kind() {
        io::ErrorKind::StorageFull => Error::exhausted("disk_full", format!("the disk of {} is full", path.display())),
        _ => Error::unavailable("backup_unwritable", format!("{} cannot be written", path.display())),
    };
    error.with("path", path.display()).because(source)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn a_vacuum_does_not_hold_the_database_in_memory() {
        use std::sync::Arc;
        use std::sync::atomic::{AtomicBool, Ordering};

        let directory = tempfile::tempdir().unwrap();
        let mut db = Connection::open(directory.path().join("town.db")).unwrap();
        db.execute_batch(
            "PRAGMA temp_store = MEMORY; PRAGMA cache_size = -64; CREATE TABLE t (a TEXT);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
             INSERT INTO t SELECT hex(zeroblob(2000)) FROM n",
        )
        .unwrap();
        let has_file = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&has_file);
        let look = move || {
            // Nobody can find a temporary file of SQLite by a name.
            let mut open = fs::read_dir("/proc/self/fd").unwrap().flatten().map(|fd| fd.path());
            let is_nameless =
                |fd: &Path| fs::read_link(fd).is_ok_and(|to| to.to_string_lossy().ends_with(" (deleted)"));
            if open.any(|fd| is_nameless(&fd) && fs::metadata(&fd).is_ok_and(|found| found.len() > 1_000_000)) {
                seen.store(true, Ordering::SeqCst);
            }
            false
        };
        db.progress_handler(500, Some(look)).unwrap();
        vacuum(&db).unwrap();
        assert!(has_file.load(Ordering::SeqCst), "what did not fit the cache went into a file");
        let kept: i64 = db.pragma_query_value(None, "temp_store", |row| row.get(0)).unwrap();
        assert_eq!(kept, 2, "memory, as before");
    }
}
