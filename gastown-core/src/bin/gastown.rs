//! The `gastown` program.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use gastown_core::{MergeBeads, merge_beads};

/// The least exit code by which git takes a merge driver to have failed.
const DRIVER_FAILED: u8 = 129;

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
    /// Bring two files of beads together that grew out of a third; usable as a merge driver of git
    ///
    /// In git's configuration: `merge.beads.driver = gastown merge-beads %O %A %B`, and in `.gitattributes`:
    /// `.beads/*.jsonl merge=beads`. What was given up is told on standard error. Ends with 0 where the files are merged, with
    /// 1 where a person has to look (a line cannot be read; with --strict, any choice, and nothing is written), and with 129
    /// where a file could not be read or written.
    MergeBeads {
        /// What both grew out of; an empty file where there is nothing
        base: PathBuf,
        /// The one side, which becomes the outcome
        ours: PathBuf,
        /// The other side
        theirs: PathBuf,
        /// Write the outcome there and leave `ours` alone
        #[arg(long)]
        output: Option<PathBuf>,
        /// Write nothing where something would be given up
        #[arg(long)]
        strict: bool,
        /// Print the whole report as JSON on standard output
        #[arg(long)]
        json: bool,
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
        Command::MergeBeads { base, ours, theirs, output, strict, json } => {
            let mut input = MergeBeads::new(base, ours, theirs);
            (input.output, input.strict) = (output, strict);
            merge(&input, json)
        }
        Command::SessionExec { args } => run(&[&["session-exec".into()], args.as_slice()].concat()),
    }
}

fn run(args: &[OsString]) -> ExitCode {
    let args = [&["gastown".into()], args].concat();
    gastown_core::runtime::session_main(args).unwrap_or(ExitCode::FAILURE)
}

fn merge(input: &MergeBeads, json: bool) -> ExitCode {
    let merged = match merge_beads(input) {
        Ok(merged) => merged,
        Err(error) => {
            eprintln!("gastown: {error}");
            return if error.code() == "merge_conflicted" { ExitCode::FAILURE } else { ExitCode::from(DRIVER_FAILED) };
        }
    };
    for choice in &merged.chosen {
        eprintln!("{choice}");
    }
    for flaw in &merged.flawed_lines {
        eprintln!("{}:{}:{}: {} ({})", flaw.file, flaw.line, flaw.column, flaw.message, flaw.code);
    }
    if json {
        println!("{}", serde_json::to_string(&merged).expect("a report is JSON"));
    }
    if merged.flaws == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
