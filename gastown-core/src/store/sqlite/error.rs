//! What SQLite's errors mean to a caller.

use rusqlite::ErrorCode;

use crate::model::Error;

/// The library's error for SQLite's.
pub(super) fn of_sqlite(source: rusqlite::Error) -> Error {
    let error = match source.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            Error::unavailable("store_busy", "another process writes to this file")
        }
        Some(ErrorCode::DiskFull) => Error::exhausted("disk_full", "the disk of the database is full"),
        Some(ErrorCode::DatabaseCorrupt) => Error::corrupt("store_corrupt", "the database file is damaged"),
        Some(ErrorCode::NotADatabase) => not_a_town("it is no database"),
        Some(ErrorCode::ReadOnly) => Error::forbidden("store_read_only", "the database cannot be written here"),
        Some(ErrorCode::SystemIoFailure) => Error::unavailable("store_io", "the database file could not be used"),
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            Error::unavailable("store_unreachable", "the database file could not be opened")
        }
        Some(ErrorCode::OutOfMemory) => Error::exhausted("out_of_memory", "SQLite got no memory"),
        Some(ErrorCode::TooBig) => Error::exhausted("row_too_big", "a row is longer than SQLite can hold"),
        Some(ErrorCode::ConstraintViolation) => Error::internal("row_refused", "the database refused a row"),
        _ => Error::internal("store_sqlite", "SQLite refused a statement"),
    };
    match source.sqlite_error() {
        Some(sqlite) => error.with("sqlite_code", sqlite.extended_code).because(source),
        None => error.because(source),
    }
}

/// The file is not one of ours.
pub(super) fn not_a_town(why: &str) -> Error {
    Error::corrupt("not_a_town", format!("the file is not a town's: {why}"))
}
