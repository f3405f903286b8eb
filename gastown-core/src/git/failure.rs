//! What went wrong in a git program, as typed errors.

use super::redact::redact;
use crate::model::{Error, ErrorKind};

/// The most characters of git's own words that are kept as a fact.
const WORDS_MAX: usize = 2_000;

/// Phrases by which git tells why, in the `C` locale: the first that occurs decides.
const PHRASES: &[(&str, ErrorKind, &str, &str)] = &[
    ("Authentication failed", ErrorKind::Forbidden, "auth_failed", "the remote refused the credentials"),
    (
        "could not read Username",
        ErrorKind::Forbidden,
        "auth_failed",
        "the remote asks for credentials and there are none",
    ),
    (
        "could not read Password",
        ErrorKind::Forbidden,
        "auth_failed",
        "the remote asks for credentials and there are none",
    ),
    ("Permission denied (", ErrorKind::Forbidden, "auth_failed", "the remote refused the key"),
    ("Host key verification failed", ErrorKind::Forbidden, "auth_failed", "the host key of the remote is not known"),
    (
        "The requested URL returned error: 401",
        ErrorKind::Forbidden,
        "auth_failed",
        "the remote refused the credentials",
    ),
    ("The requested URL returned error: 403", ErrorKind::Forbidden, "auth_failed", "the remote does not allow it"),
    ("detected dubious ownership", ErrorKind::Forbidden, "repository_owner", "the repository belongs to another user"),
    (
        "does not appear to be a git repository",
        ErrorKind::NotFound,
        "repository_missing",
        "there is no repository at the remote",
    ),
    ("Repository not found", ErrorKind::NotFound, "repository_missing", "there is no repository at the remote"),
    ("' not found", ErrorKind::NotFound, "repository_missing", "there is no repository at the remote"),
    (
        "The requested URL returned error: 404",
        ErrorKind::NotFound,
        "repository_missing",
        "there is no repository at the remote",
    ),
    ("' does not exist", ErrorKind::NotFound, "repository_missing", "there is no repository at the remote"),
    ("' not allowed", ErrorKind::Forbidden, "protocol_refused", "this kind of address is not allowed"),
    ("Could not resolve host", ErrorKind::Unavailable, "remote_unreachable", "the host of the remote is not known"),
    ("Connection refused", ErrorKind::Unavailable, "remote_unreachable", "the remote does not answer"),
    ("timed out", ErrorKind::Unavailable, "remote_unreachable", "the remote does not answer"),
    ("Failed to connect", ErrorKind::Unavailable, "remote_unreachable", "the remote does not answer"),
    ("Couldn't connect", ErrorKind::Unavailable, "remote_unreachable", "the remote does not answer"),
    ("unable to access", ErrorKind::Unavailable, "remote_unreachable", "the remote does not answer"),
    ("hung up unexpectedly", ErrorKind::Unavailable, "remote_unreachable", "the remote broke off"),
    ("early EOF", ErrorKind::Unavailable, "remote_unreachable", "the remote broke off"),
    (
        "Could not read from remote repository",
        ErrorKind::Unavailable,
        "remote_unreachable",
        "the remote does not answer",
    ),
];

/// The error for a git program that ended with an exit code that is no answer.
pub(super) fn classify(subcommand: &str, code: Option<i32>, stderr: &str) -> Error {
    let found = PHRASES.iter().find(|(phrase, ..)| stderr.contains(phrase));
    let error = match found {
        Some((_, kind, code, sentence)) => Error::new(*kind, *code, *sentence),
        None => Error::unavailable("git_failed", format!("git {subcommand} did not succeed")),
    };
    let exit = code.map_or_else(|| "signal".to_owned(), |code| code.to_string());
    error.with("git", subcommand).with("exit", exit).with("stderr", words(stderr))
}

/// Git's own words, bounded and without secrets.
pub(super) fn words(text: &str) -> String {
    redact(text).trim().chars().take(WORDS_MAX).collect()
}
