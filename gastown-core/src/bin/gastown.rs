//! The `gastown` program.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "gastown", version, about = "Runs a town of AI coding agents over git repositories")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Supervise one agent's session: start it, keep its output, record how it ends
    Session {
        /// The session's folder, as a host has made it
        #[arg(long)]
        dir: PathBuf,
    },
    /// Set up an agent's process and become the agent
    #[command(hide = true)]
    SessionExec {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
}

fn main() -> ExitCode {
    // First, because the supervisor starts with every session and needs no parser.
    if let Some(code) = gastown_core::runtime::session_main(std::env::args_os()) {
        return code;
    }
    match Cli::parse().command {
        Command::Session { dir } => run(&["session".into(), "--dir".into(), dir.into()]),
        Command::SessionExec { args } => run(&[&["session-exec".into()], args.as_slice()].concat()),
    }
}

fn run(args: &[OsString]) -> ExitCode {
    let args = [&["gastown".into()], args].concat();
    gastown_core::runtime::session_main(args).unwrap_or(ExitCode::FAILURE)
}
