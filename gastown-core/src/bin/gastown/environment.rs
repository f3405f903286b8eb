//! What the program reads of its environment: a library reads none, and a program of a shell has to.

use std::ffi::OsString;

/// The variable of that name, where it is set.
#[allow(clippy::disallowed_methods, reason = "the program is the host, whose settings these are")]
pub(crate) fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}
