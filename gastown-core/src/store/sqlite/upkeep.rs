//! What is done with the whole file now and then.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::error::of_sqlite;
use super::schema;
use crate::model::{Error, Result};
use crate::store::Description;

/// The most findings of a check.
const FINDINGS_MAX: u32 = 100;

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

/// Damage that SQLite finds: in pages, in indexes against their tables, in values against their columns.
pub(super) fn check(db: &Connection) -> Result<Vec<String>> {
    let mut statement = db.prepare(&format!("PRAGMA integrity_check({FINDINGS_MAX})")).map_err(of_sqlite)?;
    let findings = statement.query_map([], |row| row.get::<_, String>(0)).map_err(of_sqlite)?;
    let findings: Vec<String> = findings.collect::<rusqlite::Result<_>>().map_err(of_sqlite)?;
    Ok(if findings == ["ok"] { Vec::new() } else { findings })
}

/// Writes the file anew without its holes, and empties the log into it.
pub(super) fn vacuum(db: &Connection) -> Result<()> {
    db.execute_batch("VACUUM; PRAGMA wal_checkpoint(TRUNCATE)").map_err(of_sqlite)
}

/// Writes the database as one transaction sees it to a new file.
pub(super) fn copy_to(db: &Connection, path: &Path) -> Result<()> {
    if path.symlink_metadata().is_ok() {
        return Err(Error::conflict("backup_exists", format!("{} is there already", path.display()))
            .with("path", path.display()));
    }
    let failed = |source: std::io::Error| {
        let error = if source.kind() == std::io::ErrorKind::StorageFull {
            Error::exhausted("disk_full", format!("the disk of {} is full", path.display()))
        } else {
            Error::unavailable("backup_unwritable", format!("{} cannot be written", path.display()))
        };
        error.with("path", path.display()).because(source)
    };
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let part = Part(path.with_file_name(name));
    // What an earlier, killed copy left behind.
    part.remove();
    let text = part
        .0
        .to_str()
        .ok_or_else(|| Error::invalid("path_malformed", "a copy's path is UTF-8 text").with("path", path.display()))?;
    // The copy is not this database, but the rule of a reader's connection is for whatever it writes.
    let query_only = |on| db.pragma_update(None, "query_only", on);
    let is_reader = db.is_readonly(rusqlite::MAIN_DB).map_err(of_sqlite)?;
    let copied = query_only(false).and_then(|()| db.execute("VACUUM INTO ?1", [text]));
    query_only(is_reader).map_err(of_sqlite)?;
    copied.map_err(|source| of_sqlite(source).with("path", path.display()))?;
    // SQLite leaves it to the system when the copy reaches the disk.
    File::open(&part.0).and_then(|file| file.sync_all()).map_err(failed)?;
    fs::rename(&part.0, path).map_err(failed)?;
    match path.parent() {
        Some(directory) => File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed),
        None => Ok(()),
    }
}

/// A file that goes away unless it got its name.
struct Part(PathBuf);

impl Part {
    fn remove(&self) {
        match fs::remove_file(&self.0) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(path = %self.0.display(), %error, "an unfinished copy stays behind");
            }
            _ => {}
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.remove();
    }
}
