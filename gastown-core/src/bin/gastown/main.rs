//! The `gastown` program.

mod environment;
mod exit;
mod journal;
mod place;
mod prime;
mod table;
mod verbs;

use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use gastown_core::{Error, MergeBeads, Result, merge_beads, operations};
use serde_json::Value as Json;

use place::{Place, Where};
use verbs::Verb;

/// The least exit code by which git takes a merge driver to have failed.
const DRIVER_FAILED: u8 = 129;

#[derive(Parser)]
#[command(name = "gastown", version, about = "Runs a town of AI coding agents over git repositories")]
#[command(after_help = exit::HELP)]
struct Cli {
    #[command(flatten)]
    town: Where,
    /// Print JSON, on standard output what came of it and on standard error what went wrong
    #[arg(long, global = true)]
    json: bool,
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
    },
    /// What you should know at your beginning, as the agent of a session
    Prime,
    /// Read the journal
    #[command(after_help = "Example:\n  gastown --db town events --follow --json")]
    Events {
        /// Behind this entry
        #[arg(long, default_value_t = 0)]
        since: u64,
        /// At most so many
        #[arg(long, conflicts_with = "follow")]
        limit: Option<usize>,
        /// Go on with each entry as it comes; with --db only
        #[arg(long)]
        follow: bool,
    },
    /// List every operation
    Operations,
    /// Print what completes commands in a shell
    #[command(after_help = "Example:\n  gastown completion bash > /etc/bash_completion.d/gastown")]
    Completion { shell: clap_complete::Shell },
    #[command(flatten)]
    Verb(Verb),
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
    let Cli { town, json, command } = Cli::parse();
    match command {
        Command::Session { dir } => run(&["session".into(), "--dir".into(), dir.into()]),
        Command::MergeBeads { base, ours, theirs, output, strict } => {
            let mut input = MergeBeads::new(base, ours, theirs);
            (input.output, input.strict) = (output, strict);
            merge(&input, json)
        }
        Command::SessionExec { args } => run(&[&["session-exec".into()], args.as_slice()].concat()),
        Command::Completion { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "gastown", &mut script);
            end(print(&script), json)
        }
        Command::Operations => end(list(json), json),
        Command::Prime => end(at(&town, |place| told(place, json)), json),
        Command::Events { since, limit, follow } => {
            end(at(&town, |place| journal::show(place, since, limit, follow, json)), json)
        }
        Command::Verb(verb) => end(at(&town, |place| answer(place, verb, json)), json),
    }
}

fn end(done: Result<()>, json: bool) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => exit::fail(&error, json),
    }
}

/// Does something in the town, and closes it whatever comes of it.
fn at(named: &Where, work: impl FnOnce(&mut Place) -> Result<()>) -> Result<()> {
    let mut place = Place::find(named)?;
    let done = work(&mut place);
    let closed = place.close();
    done.and(closed)
}

fn answer(place: &mut Place, verb: Verb, json: bool) -> Result<()> {
    let ask = verb.ask(place.principal())?;
    let output = place.call(&ask.operation, ask.input)?;
    print(shown(&output, json, || table::text(&output, ask.shape)).as_bytes())
}

fn told(place: &mut Place, json: bool) -> Result<()> {
    let told = prime::collect(place)?;
    print(shown(&told, json, || prime::text(&told)).as_bytes())
}

fn list(json: bool) -> Result<()> {
    let all = serde_json::json!({ "operations": operations() });
    let shape = table::Shape::Table("operations", &["name", "input", "output", "meaning"]);
    print(shown(&all, json, || table::text(&all, shape)).as_bytes())
}

fn shown(output: &Json, json: bool, text: impl FnOnce() -> String) -> String {
    if json { format!("{output}\n") } else { text() }
}

/// Writes to standard output.
fn print(bytes: &[u8]) -> Result<()> {
    say(bytes).map(drop)
}

/// Writes to standard output, and says whether it is still read; that its reader has seen enough is no failure.
fn say(bytes: &[u8]) -> Result<bool> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Error::unavailable("output_unwritable", "standard output cannot be written").because(error)),
        Ok(()) => Ok(true),
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
