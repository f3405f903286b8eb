//! What the server's errors mean to a caller.

use tokio_postgres::error::{Severity, SqlState};

use crate::model::Error;

/// The connection ended, or whatever is behind it did.
pub(super) const LOST: &str = "connection_lost";

/// The library's error for one of an open connection.
pub(super) fn of_postgres(source: tokio_postgres::Error) -> Error {
    let Some(code) = source.code().cloned() else {
        let of_us = source.to_string();
        // Everything else that has no code is of the wire.
        if of_us.starts_with("error serializing") || of_us.starts_with("error deserializing") {
            return Error::internal("store_postgres", "a value does not fit its column").because(source);
        }
        return Error::unavailable(LOST, "the connection to the database was lost").because(source);
    };
    let is_fatal = source
        .as_db_error()
        .and_then(tokio_postgres::error::DbError::parsed_severity)
        .is_some_and(|severity| matches!(severity, Severity::Fatal | Severity::Panic));
    let error = match code.code() {
        "40001" | "40P01" => Error::unavailable("store_conflict", "the database asks to try the transaction again"),
        "55P03" => Error::unavailable("store_busy", "another process writes to this town"),
        "57P01" | "57P02" | "57P05" | "25P03" => Error::unavailable(LOST, "the database ended the connection"),
        "57014" => Error::unavailable("store_timeout", "the database cancelled a statement"),
        "25006" => read_only(),
        "53100" => Error::exhausted("disk_full", "the disk of the database is full"),
        "53200" => Error::exhausted("out_of_memory", "the database got no memory"),
        "42501" => Error::forbidden("store_denied", "the database does not allow this user to do that"),
        class if class.starts_with("54") => {
            Error::exhausted("row_too_big", "a row or a key is longer than the database can hold")
        }
        "42P01" | "42703" => {
            Error::corrupt("schema_altered", "the database lacks a table or a column that the town has in it")
        }
        "XX001" | "XX002" => Error::corrupt("store_corrupt", "the database is damaged"),
        // Two sessions changed the server's own tables at once; its inner errors are in no other language.
        "XX000" if source.as_db_error().is_some_and(|said| said.message().starts_with("tuple concurrently ")) => {
            Error::unavailable("store_conflict", "the database asks to try the transaction again")
        }
        "XX000" => Error::internal("store_postgres", "the database failed by a mistake of its own"),
        class if class.starts_with("08") || class.starts_with("57") || is_fatal => {
            Error::unavailable(LOST, "the database ended the connection")
        }
        class if class.starts_with("53") => Error::unavailable("store_io", "the database lacks something"),
        class if class.starts_with("58") => Error::unavailable("store_io", "the database's files could not be used"),
        _ => Error::internal("store_postgres", "the database refused a statement"),
    };
    error.with("sqlstate", code.code()).because(source)
}

/// The library's error for a connection that could not be opened; no source of these holds a password.
pub(super) fn of_connecting(source: tokio_postgres::Error) -> Error {
    let error = match source.code() {
        Some(code) if *code == SqlState::INVALID_PASSWORD || *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
            Error::forbidden("store_denied", "the database does not let this user in")
        }
        Some(code) if *code == SqlState::INVALID_CATALOG_NAME => {
            Error::not_found("database_missing", "there is no such database on this server")
        }
        Some(code) if *code == SqlState::INSUFFICIENT_PRIVILEGE => {
            Error::forbidden("store_denied", "the database does not allow this user to connect")
        }
        Some(_) => Error::unavailable("store_unreachable", "the database takes no connection now"),
        None => match source.to_string().as_str() {
            "error performing TLS handshake" if !is_cut(&source) => {
                Error::forbidden("store_tls", "no trusted encrypted connection to the database could be made")
            }
            "authentication error" | "invalid configuration" => {
                Error::forbidden("store_denied", "the database asks for what the URL does not give")
            }
            _ => Error::unavailable("store_unreachable", "the database cannot be reached"),
        },
    };
    match source.code().map(|code| code.code().to_owned()) {
        Some(code) => error.with("sqlstate", code).because(source),
        None => error.because(source),
    }
}

/// Whether the connection broke, and did not fail for what was said over it.
fn is_cut(error: &tokio_postgres::Error) -> bool {
    use std::io::ErrorKind as Kind;
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<std::io::Error>() {
            let cut = [
                Kind::BrokenPipe,
                Kind::ConnectionReset,
                Kind::ConnectionAborted,
                Kind::NotConnected,
                Kind::TimedOut,
                Kind::UnexpectedEof,
            ];
            return cut.contains(&io.kind());
        }
        source = cause.source();
    }
    false
}

pub(super) fn read_only() -> Error {
    Error::forbidden("store_read_only", "the database cannot be written here")
}

/// The schema is not one of ours.
pub(super) fn not_a_town(why: &str) -> Error {
    Error::corrupt("not_a_town", format!("the schema is not a town's: {why}"))
}
