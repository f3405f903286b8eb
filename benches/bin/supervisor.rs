//! The supervisor of the benchmarks' agents.

use std::process::ExitCode;

fn main() -> ExitCode {
    gastown_core::runtime::session_main(std::env::args_os()).unwrap_or(ExitCode::FAILURE)
}
