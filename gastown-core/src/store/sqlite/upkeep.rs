//! What is done with the whole file now and then.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::error::of_sqlite;
use super::{schema, sql};
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
    let draft = Draft::beside(path)?;
    let text = draft
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
    File::open(&draft.0).and_then(|file| file.sync_all()).map_err(|source| unwritable(path, source))?;
    publish(&draft, path, |folder| File::open(folder)?.sync_all())
}

/// Gives the draft its name for good, or leaves nothing there.
fn publish(draft: &Draft, path: &Path, sync: impl FnOnce(&Path) -> io::Result<()>) -> Result<()> {
    rename_to_new(&draft.0, path).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => exists(path).because(source),
        _ => unwritable(path, source),
    })?;
    sync(folder_of(path)).map_err(|source| {
        // It may not be there after a loss of power, so it is not there now.
        remove(path);
        unwritable(path, source)
    })
}

/// Renames a file, and never over another.
fn rename_to_new(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
        match renameat2(AT_FDCWD, from, AT_FDCWD, to, RenameFlags::RENAME_NOREPLACE) {
            // A file system that cannot do that may know links.
            Err(nix::Error::EINVAL | nix::Error::ENOSYS) => {}
            done => return done.map_err(io::Error::from),
        }
    }
    fs::hard_link(from, to)?;
    fs::remove_file(from)
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
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

fn remove(path: &Path) {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(path = %path.display(), %error, "an unfinished copy stays behind");
        }
        _ => {}
    }
}

/// A file of our own that goes away unless it got its name.
struct Draft(PathBuf);

impl Draft {
    /// An empty, hidden file in the folder of `path`, whose name is nobody's.
    fn beside(path: &Path) -> Result<Self> {
        let random = getrandom::u64().map_err(|source| {
            Error::unavailable("backup_unwritable", "the system gives no random name").because(source)
        })?;
        let mut name = std::ffi::OsString::from(".");
        name.push(path.file_name().unwrap_or_default());
        name.push(format!(".{random:016x}.draft"));
        let draft = path.with_file_name(name);
        OpenOptions::new().write(true).create_new(true).open(&draft).map_err(|source| match source.kind() {
            io::ErrorKind::StorageFull => unwritable(path, source),
            _ => Error::unavailable("store_unreachable", format!("{} cannot be made", path.display()))
                .with("path", path.display())
                .because(source),
        })?;
        Ok(Self(draft))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_copy_whose_folder_cannot_be_made_durable_is_not_there() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("copy.db");
        let draft = Draft::beside(&path).unwrap();
        let error = publish(&draft, &path, |folder| {
            assert_eq!((folder, names(folder)), (directory.path(), vec!["copy.db".to_owned()]));
            Err(io::Error::other("the disk went away"))
        });
        assert_eq!(error.unwrap_err().code(), "backup_unwritable");
        assert_eq!(names(directory.path()), Vec::<String>::new());
    }

    #[test]
    fn a_file_that_came_while_the_copy_was_made_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("copy.db");
        let draft = Draft::beside(&path).unwrap();
        fs::write(&path, "somebody else's").unwrap();
        assert_eq!(publish(&draft, &path, |_| Ok(())).unwrap_err().code(), "backup_exists");
        drop(draft);
        assert_eq!(fs::read_to_string(&path).unwrap(), "somebody else's");
        assert_eq!(names(directory.path()), ["copy.db"]);
    }

    #[test]
    fn two_drafts_of_one_copy_are_two_files() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("copy.db");
        let drafts = [Draft::beside(&path).unwrap(), Draft::beside(&path).unwrap()];
        assert_eq!(names(directory.path()).len(), 2);
        assert!(names(directory.path()).iter().all(|name| name.starts_with('.')));
        drop(drafts);
        assert_eq!(names(directory.path()), Vec::<String>::new());
    }

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
