//! How the program ends, and what it says when it fails.

use std::process::ExitCode;

use gastown_core::{Error, ErrorKind};
use serde_json::json;

/// The exit code of each kind of error, as `--help` lists them.
pub(crate) const HELP: &str = "\
Exit codes:
  0  done
  1  internal: a defect of gastown
  2  invalid: the request can never succeed as it is
  3  not_found
  4  conflict: the state does not allow it now
  5  forbidden
  6  unavailable: something outside did not answer; try again later
  7  exhausted: a bound was reached, such as a deadline
  8  corrupt
  9  unsupported";

pub(crate) const fn code(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Invalid => 2,
        ErrorKind::NotFound => 3,
        ErrorKind::Conflict => 4,
        ErrorKind::Forbidden => 5,
        ErrorKind::Unavailable => 6,
        ErrorKind::Exhausted => 7,
        ErrorKind::Corrupt => 8,
        ErrorKind::Unsupported => 9,
        _ => 1,
    }
}

/// Says on standard error why it failed.
pub(crate) fn fail(error: &Error, json: bool) -> ExitCode {
    if json {
        let facts: serde_json::Map<String, serde_json::Value> =
            error.facts().map(|(name, value)| (name.to_owned(), value.into())).collect();
        let told = json!({ "kind": error.kind(), "code": error.code(), "message": error.to_string(), "facts": facts });
        eprintln!("{told}");
    } else {
        eprintln!("gastown: {} ({})", super::table::safe(&error.chain()), error.code());
    }
    ExitCode::from(code(error.kind()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_code_of_its_own_and_the_help_tells_it() {
        let mut codes: Vec<u8> = ErrorKind::ALL.into_iter().map(code).collect();
        for kind in ErrorKind::ALL {
            assert!(HELP.contains(&format!("  {}  {kind}", code(kind))), "{kind}");
        }
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), ErrorKind::ALL.len());
    }
}
