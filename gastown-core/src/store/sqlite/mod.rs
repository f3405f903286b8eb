//! The backend in one SQLite file.
//!
//! Tables have real columns and indexes (see `migrations/`), so that the `sqlite3` program is useful to a person.

mod bulk;
#[cfg(test)]
mod bulk_tests;
mod changes;
mod connection;
mod error;
#[cfg(test)]
mod page_tests;
mod pages;
mod place;
mod read;
#[cfg(test)]
mod refusal_tests;
mod schema;
mod shape;
mod sql;
mod statements;
#[cfg(test)]
mod tests;
mod txn;
mod upkeep;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{OpenFlags, ffi};

use self::connection::SqliteConnection;
use self::error::{at, is_forbidden, not_a_town, of_sqlite};
use self::place::Place;
use super::{Access, Backend, Changes, Connection};
use crate::model::{Error, Result};

/// The oldest SQLite that is used: those before it can damage a file with a write-ahead log.
const SQLITE_VERSION_MIN: i32 = 3_051_003;

/// No SQLite file is shorter, but for an empty one.
const HEADER_BYTES: u64 = 512;

/// What survives when a commit was answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// Everything, when the machine loses its power.
    #[default]
    Full,
    /// Everything, when the process dies; the last commits may be missing when the machine loses its power. Never damage.
    Normal,
}

/// How long whoever finds the schema unmade waits for others who make it, where it is to wait less for other writers.
const MAKING_WAIT: Duration = Duration::from_secs(30);

/// How a SQLite file is used.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SqliteOptions {
    /// What survives when a commit was answered.
    pub durability: Durability,
    /// How long to wait for another process's lock, in milliseconds.
    pub busy_timeout_ms: u64,
    /// The page cache of each connection, in KiB.
    pub cache_kib: u32,
    /// The prepared statements each connection keeps.
    pub statements: usize,
    /// The rows that the writer keeps at hand beside its page cache, in KiB; 0 for none. A reader keeps a quarter of it.
    pub rows_kib: u32,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self {
            durability: Durability::Full,
            busy_timeout_ms: 5_000,
            cache_kib: 16_384,
            statements: 256,
            rows_kib: 8_192,
        }
    }
}

/// Towns in one SQLite file and the two beside it (`-wal`, `-shm`), on a local disk.
#[derive(Clone, Debug)]
pub struct SqliteBackend {
    path: Arc<Path>,
    options: SqliteOptions,
    place: Place,
}

impl SqliteBackend {
    /// A backend in the file at `path`, which is made when it is first connected to; its directory must be there.
    ///
    /// A relative path is taken from the current directory of this moment.
    pub fn new(path: impl Into<PathBuf>, options: SqliteOptions) -> Self {
        let path = path.into();
        // A path that cannot be made absolute is refused by `connect`.
        let path = std::path::absolute(&path).unwrap_or(path);
        Self { path: path.into(), options, place: Place::default() }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn open(&self, access: Access) -> Result<rusqlite::Connection> {
        let flags = match access {
            Access::Write => OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
            Access::Read => OpenFlags::SQLITE_OPEN_READ_ONLY,
        };
        let db = rusqlite::Connection::open_with_flags(&self.path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)
            .map_err(|source| self.open_refused(access, source))?;
        self.configure(&db, access).map_err(of_sqlite)?;
        Ok(db)
    }

    fn configure(&self, db: &rusqlite::Connection, access: Access) -> rusqlite::Result<()> {
        db.busy_timeout(Duration::from_millis(self.options.busy_timeout_ms))?;
        db.set_prepared_statement_cache_capacity(self.options.statements);
        for (option, on) in [
            (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
            (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
            (DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, true),
            (DbConfig::SQLITE_DBCONFIG_DQS_DML, false),
            (DbConfig::SQLITE_DBCONFIG_DQS_DDL, false),
            // A plan does not depend on parameters, so binding them does not prepare the statement anew.
            (DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true),
        ] {
            db.set_db_config(option, on)?;
        }
        db.pragma_update(None, "cell_size_check", true)?;
        db.pragma_update(None, "mmap_size", 0)?;
        // Negative means KiB.
        db.pragma_update(None, "cache_size", -i64::from(self.options.cache_kib))?;
        db.pragma_update(None, "temp_store", "MEMORY")?;
        let synchronous = match self.options.durability {
            Durability::Full => "FULL",
            Durability::Normal => "NORMAL",
        };
        db.pragma_update(None, "synchronous", synchronous)?;
        match access {
            Access::Read => db.pragma_update(None, "query_only", true),
            Access::Write => Ok(()),
        }
    }

    /// Opens the file for writing, and makes or migrates its schema.
    fn open_writer(&self) -> Result<rusqlite::Connection> {
        let mut db = self.open(Access::Write)?;
        let found = schema::identify(&db)?;
        if db.is_readonly(rusqlite::MAIN_DB).map_err(of_sqlite)? {
            return Err(self.read_only());
        }
        let patience = Duration::from_millis(self.options.busy_timeout_ms);
        // Where the schema is still to be made, several instances may be about it, each step with its flushes.
        let waits = if found < schema::VERSION { patience.max(MAKING_WAIT) } else { patience };
        schema::use_wal(&db, waits)?;
        if found < schema::VERSION {
            db.busy_timeout(waits).map_err(of_sqlite)?;
            schema::migrate(&mut db)?;
            db.busy_timeout(patience).map_err(of_sqlite)?;
            // The file says by itself what it is, also where its log gets lost. Somebody who reads may delay it.
            db.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).map_err(of_sqlite)?;
        }
        shape::check_complete(&db)?;
        Ok(db)
    }

    /// Opens the file for reading; none where its schema must be made or migrated first.
    fn open_reader(&self) -> Result<Option<rusqlite::Connection>> {
        if !self.path.exists() {
            return Ok(None);
        }
        let db = self.open(Access::Read)?;
        let found = schema::identify(&db)?;
        Ok((found == schema::VERSION).then_some(db))
    }

    fn open_for(&self, access: Access) -> Result<rusqlite::Connection> {
        if access == Access::Write {
            return self.open_writer();
        }
        if let Some(db) = self.open_reader()? {
            return Ok(db);
        }
        drop(self.open_writer()?);
        self.open_reader()?
            .ok_or_else(|| Error::unavailable("store_unreachable", "the file went away while it was opened"))
    }

    /// What kept SQLite from opening the file, as the operating system says it.
    fn open_refused(&self, access: Access, source: rusqlite::Error) -> Error {
        let is_forbidden = match std::fs::metadata(&self.path) {
            Ok(found) if found.is_dir() => return not_a_town("it is a directory").because(source),
            Ok(_) => is_forbidden(access, &self.path),
            Err(error) if error.kind() == ErrorKind::NotFound && access == Access::Write => {
                // SQLite could not make the file, so this makes none either; and nobody has locks on it.
                let made = std::fs::OpenOptions::new().write(true).create_new(true).open(&self.path);
                made.is_err_and(|error| {
                    matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem)
                })
            }
            Err(error) => error.kind() == ErrorKind::PermissionDenied,
        };
        if is_forbidden { self.read_only().because(source) } else { of_sqlite(source) }
    }

    fn read_only(&self) -> Error {
        Error::forbidden("store_read_only", format!("{} cannot be written here", self.path.display()))
    }

    fn check_place(&self) -> Result<()> {
        let directory = self.path.parent().filter(|_| self.path.is_absolute());
        if !directory.is_some_and(Path::is_dir) {
            return Err(Error::unavailable(
                "store_unreachable",
                format!("the directory of {} is not there", self.path.display()),
            ));
        }
        // SQLite takes an empty file, and one of a single byte, for a new one, and removes the log that it finds.
        let len =
            |path: &Path| std::fs::metadata(path).map_or(0, |found| if found.is_file() { found.len() } else { 0 });
        let beside = |suffix: &str| {
            let mut name = self.path.as_os_str().to_owned();
            name.push(suffix);
            len(Path::new(&name))
        };
        // A file that was being made when its process died has a journal that takes it back.
        match len(&self.path) {
            // One that was taken away leaves its log as well, and what is in that log belongs to it.
            0 if beside("-wal") > 0 && beside("-journal") == 0 => {
                let is = if self.path.exists() { "is empty and its log is not" } else { "is gone and its log is not" };
                Err(Error::corrupt("store_corrupt", format!("{} {is}", self.path.display())))
            }
            bytes @ 1..HEADER_BYTES if beside("-journal") == 0 => {
                Err(not_a_town("it is shorter than any database").with("bytes", bytes))
            }
            _ => Ok(()),
        }
    }
}

impl Backend for SqliteBackend {
    fn name(&self) -> &'static str {
        "sqlite"
    }

    /// Opens one more connection.
    ///
    /// # Errors
    /// - `sqlite_too_old` ([`Unsupported`](crate::ErrorKind::Unsupported)): this build holds a SQLite before 3.51.3.
    /// - `store_unreachable` ([`Unavailable`](crate::ErrorKind::Unavailable)): the file's directory is not there, or the
    ///   file could not be opened just then.
    /// - `store_gone` ([`Unavailable`](crate::ErrorKind::Unavailable)): other connections of this backend are open, on a file
    ///   that is not there any more. A commit answers it as well, and whether what was committed is kept depends on where
    ///   that file is.
    /// - `store_read_only` ([`Forbidden`](crate::ErrorKind::Forbidden)): the file or its directory cannot be written.
    ///   Trying again does not help.
    /// - `not_a_town` ([`Corrupt`](crate::ErrorKind::Corrupt)): the file is another program's, or no database.
    /// - `schema_newer` ([`Unsupported`](crate::ErrorKind::Unsupported)): a later version of the library wrote it; the
    ///   facts `found` and `known` are schema versions.
    /// - `schema_altered` ([`Corrupt`](crate::ErrorKind::Corrupt)): other steps made it, or somebody took something of it;
    ///   the fact `missing` names what.
    fn connect(&self, access: Access) -> Result<Box<dyn Connection>> {
        check_version(rusqlite::version_number())?;
        let open = || {
            self.place.check()?;
            self.check_place()?;
            let db = self.open_for(access)?;
            Ok((db, self.place.enter(&self.path)?))
        };
        let (db, opened) = open().map_err(|error| at(error, &self.path))?;
        let rows_bytes = self.options.rows_kib as usize * if access == Access::Write { 1_024 } else { 256 };
        Ok(Box::new(SqliteConnection::new(db, access, Arc::clone(&self.path), opened, rows_bytes)))
    }

    /// Watches the file: on Linux; elsewhere there is none.
    ///
    /// # Errors
    /// `store_unwatched` ([`Unavailable`](crate::ErrorKind::Unavailable)): the file is not there, or the system gives
    /// this user no further watch.
    fn changes(&self) -> Result<Option<Box<dyn Changes>>> {
        changes::watch(&self.path)
    }
}

fn check_version(found: i32) -> Result<()> {
    if found >= SQLITE_VERSION_MIN {
        return Ok(());
    }
    let version = |n: i32| format!("{}.{}.{}", n / 1_000_000, n / 1_000 % 1_000, n % 1_000);
    Err(Error::unsupported(
        "sqlite_too_old",
        format!("SQLite {} is too old, {} is needed", version(found), version(SQLITE_VERSION_MIN)),
    )
    .with("found", version(found))
    .with("needed", version(SQLITE_VERSION_MIN)))
}

/// Whether that is SQLite's "somebody else has the lock".
fn is_busy(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|error| error.extended_code & 0xff == ffi::SQLITE_BUSY)
}

/// Makes a file as the build made it whose last step of the schema was this one.
#[cfg(test)]
pub(crate) fn make_older(path: &Path, version: usize) -> rusqlite::Connection {
    let mut db = rusqlite::Connection::open(path).expect("the test's folder is there");
    schema::migrate_through(&mut db, &schema::MIGRATIONS[..version]).expect("the steps are what they were");
    db
}
