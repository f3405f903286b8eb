//! What SQLite's errors mean to a caller.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::unistd::{AccessFlags, faccessat};
use rusqlite::{ErrorCode, ffi};

use crate::model::Error;
use crate::store::Access;

/// The library's error for SQLite's.
pub(super) fn of_sqlite(source: rusqlite::Error) -> Error {
    let error = match source.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            Error::unavailable("store_busy", "another process writes to this file")
        }
        Some(ErrorCode::DiskFull) => disk_full(),
        // SQLite does not say why the index of the log could not be made or grow, and this is nearly always why.
        Some(ErrorCode::SystemIoFailure)
            if matches!(extended_code(&source), Some(ffi::SQLITE_IOERR_SHMOPEN | ffi::SQLITE_IOERR_SHMSIZE)) =>
        {
            disk_full()
        }
        Some(ErrorCode::DatabaseCorrupt) => damaged(),
        Some(ErrorCode::NotADatabase) => not_a_town("it is no database"),
        Some(ErrorCode::ReadOnly) => Error::forbidden("store_read_only", "the database cannot be written here"),
        Some(ErrorCode::SystemIoFailure) => Error::unavailable("store_io", "the database file could not be used"),
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            Error::unavailable("store_unreachable", "the database file could not be opened")
        }
        Some(ErrorCode::OutOfMemory) => Error::exhausted("out_of_memory", "SQLite got no memory"),
        Some(ErrorCode::TooBig) => Error::exhausted("row_too_big", "a row is longer than SQLite can hold"),
        _ if says(&source, &["unsupported file format"]) => damaged(),
        Some(ErrorCode::ConstraintViolation) => Error::internal("row_refused", "the database refused a row"),
        _ => Error::internal("store_sqlite", "SQLite refused a statement"),
    };
    match extended_code(&source) {
        Some(code) => error.with("sqlite_code", code).because(source),
        None => error.because(source),
    }
}

/// The error with the file that it is about.
///
/// Where SQLite cannot open a file for writing it opens it for reading, whatever the reason was, and says at the next
/// write that nothing can be written. So the system is asked: a file that it opens for writing was out of reach just then.
pub(super) fn at(error: Error, path: &Path) -> Error {
    let error = match error.code() {
        "store_read_only" if can_be_written(path) => {
            Error::unavailable("store_unreachable", "the database file could not be opened for writing").because(error)
        }
        _ => error,
    };
    error.with("path", path.display())
}

/// Whether the system lets us write to the file, what is beside it, and its directory.
fn can_be_written(path: &Path) -> bool {
    let beside = |suffix: &str| PathBuf::from([path.as_os_str(), suffix.as_ref()].into_iter().collect::<OsString>());
    let log = [beside("-wal"), beside("-shm")];
    may(AccessFlags::W_OK, path).is_ok()
        && path.parent().is_some_and(|parent| may(AccessFlags::W_OK, parent).is_ok())
        && log.iter().all(|path| matches!(may(AccessFlags::W_OK, path), Ok(()) | Err(Errno::ENOENT)))
}

/// Whether the system forbids this access to a file that is there.
pub(super) fn is_forbidden(access: Access, path: &Path) -> bool {
    let flags = match access {
        Access::Write => AccessFlags::W_OK,
        Access::Read => AccessFlags::R_OK,
    };
    matches!(may(flags, path), Err(Errno::EACCES | Errno::EPERM | Errno::EROFS))
}

/// It opens nothing: closing a file again would end the locks that our other connections have on it.
fn may(flags: AccessFlags, path: &Path) -> nix::Result<()> {
    faccessat(AT_FDCWD, path, flags, AtFlags::AT_EACCESS)
}

fn extended_code(error: &rusqlite::Error) -> Option<i32> {
    match error {
        rusqlite::Error::SqlInputError { error, .. } => Some(error.extended_code),
        _ => error.sqlite_error().map(|error| error.extended_code),
    }
}

/// The library's error for a statement of its own that SQLite does not understand.
///
/// Each is prepared against the whole schema by some test, so the file has another one.
pub(super) fn of_statement(source: rusqlite::Error) -> Error {
    if extended_code(&source) == Some(ffi::SQLITE_ERROR) && !says(&source, &["unsupported file format"]) {
        return Error::corrupt("schema_altered", "the database has not the tables, columns and indexes of its schema")
            .because(source);
    }
    of_sqlite(source)
}

/// Whether SQLite answered its plainest error with one of these words; it has no codes for them.
fn says(error: &rusqlite::Error, any: &[&str]) -> bool {
    let words = match error {
        rusqlite::Error::SqliteFailure(_, Some(words)) => words,
        rusqlite::Error::SqlInputError { msg, .. } => msg,
        _ => return false,
    };
    any.iter().any(|part| words.contains(part))
}

fn damaged() -> Error {
    Error::corrupt("store_corrupt", "the database file is damaged")
}

fn disk_full() -> Error {
    Error::exhausted("disk_full", "the disk of the database is full")
}

/// The file is not one of ours.
pub(super) fn not_a_town(why: &str) -> Error {
    Error::corrupt("not_a_town", format!("the file is not a town's: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_lets_us_write_is_not_told_as_read_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("town.db");
        let told = || at(Error::forbidden("store_read_only", "the database cannot be written here"), &path);
        // There is no file that could be written.
        assert_eq!(told().code(), "store_read_only");
        std::fs::write(&path, "").unwrap();
        let error = told();
        assert_eq!((error.code(), error.kind()), ("store_unreachable", crate::ErrorKind::Unavailable));
        assert!(error.chain().contains("cannot be written here"), "{error:?}");
        assert_eq!(error.fact("path"), path.to_str());
        assert_eq!(at(Error::unavailable("store_io", "no"), &path).code(), "store_io");
    }
}
