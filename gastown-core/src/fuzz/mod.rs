//! What must hold for any bytes at all: functions for fuzzers, and for the tests that run their corpus.
//!
//! Each takes bytes and panics where the library breaks its word. A refusal with a type of its own is an answer like any
//! other; a panic, a wrong answer and an answer that two ways of asking disagree about are not.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a target says by a panic that it failed")]

mod cursors;
#[cfg(feature = "process")]
mod frames;
mod globs;
mod ids;
mod import;
mod jsonl;
mod query;
mod search;

use crate::model::{Error, ErrorKind};

/// One function that takes any bytes.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Target {
    /// Its name; also that of its folder in the corpus and of its program.
    pub name: &'static str,
    /// Panics where the library breaks its word.
    pub run: fn(&[u8]),
}

/// All targets, by name.
pub const TARGETS: &[Target] = &[
    Target { name: "cursors", run: cursors::run },
    #[cfg(feature = "process")]
    Target { name: "frames", run: frames::run },
    Target { name: "globs", run: globs::run },
    Target { name: "ids", run: ids::run },
    Target { name: "import", run: import::run },
    Target { name: "jsonl", run: jsonl::run },
    Target { name: "query", run: query::run },
    Target { name: "search", run: search::run },
];

/// Runs one target by its name.
///
/// # Panics
/// Where there is no such target, and where the library breaks its word.
pub fn run(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target of that name");
    (target.run)(bytes);
}

/// The longest sentence of a refusal: what a caller wrote is shown in part only.
const MESSAGE_BYTES_MAX: usize = 1_500;

/// A refusal of what a caller wrote: it says so, in few words, by one of these codes.
fn check_refusal(error: &Error, codes: &[&str]) {
    assert!(codes.contains(&error.code()), "{error:?}");
    assert!(matches!(error.kind(), ErrorKind::Invalid | ErrorKind::NotFound | ErrorKind::Exhausted), "{error:?}");
    assert!(error.to_string().len() <= MESSAGE_BYTES_MAX, "{error}");
}

/// The bytes as text, and what is no text left out.
fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace('\u{fffd}', "")
}
