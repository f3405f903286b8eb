//! What the user may ask for.

use std::path::PathBuf;

use clap::Parser;

/// The most tasks of a run.
const TASKS_MAX: i64 = 2_000;
/// The most agents of a run.
const AGENTS_MAX: i64 = 64;

/// How long a run may take where nothing else was said.
const SECONDS_LEAST: u64 = 900;
/// The longest run.
const SECONDS_MAX: u64 = 7 * 24 * 3_600;

/// Runs a town from an empty folder to commits on the target branch of a real repository, and checks the result.
#[derive(Debug, Parser)]
#[command(name = "town", version)]
pub(crate) struct Arguments {
    /// The repository to work on: a folder or an address [default: this project's own clone, at its current commit]
    #[arg(long, value_name = "PATH_OR_URL")]
    pub(crate) repo: Option<String>,
    /// The branch of --repo that the work lands on [default: main]
    #[arg(long, value_name = "NAME", requires = "repo")]
    pub(crate) branch: Option<String>,
    /// How many tasks the convoy has [default: 12]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=TASKS_MAX))]
    tasks: Option<u32>,
    /// How many polecats there are [default: 4]
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(1..=AGENTS_MAX))]
    pub(crate) agents: Option<u32>,
    /// The agents' program and its arguments, quoted as in a shell but run without one [default: a bundled script]
    #[arg(long, value_name = "COMMAND", value_parser = words)]
    pub(crate) agent_command: Option<Words>,
    /// Keeps the town in a database: postgres://… [default: a file in the folder]
    #[arg(long, value_name = "URL")]
    pub(crate) store: Option<String>,
    /// Writes the result as JSON to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Puts everything into this folder, new or empty [default: a new folder for temporary files]
    #[arg(long, value_name = "DIR", conflicts_with = "resume")]
    pub(crate) dir: Option<PathBuf>,
    /// Goes on with the run in this folder, wherever it was interrupted
    #[arg(long, value_name = "DIR")]
    pub(crate) resume: Option<PathBuf>,
    /// Keeps the folder for temporary files; that of a failed run, and one that was named, is always kept
    #[arg(long)]
    pub(crate) keep: bool,
    /// Prints nothing but the result
    #[arg(long)]
    pub(crate) quiet: bool,
    /// Gives up after so long; no agent runs longer either [default: 900, or 2 for each task]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=SECONDS_MAX))]
    timeout: Option<u64>,
}

impl Arguments {
    /// How many tasks the convoy of a new run has.
    pub(crate) fn tasks(&self) -> usize {
        self.tasks.unwrap_or(12) as usize
    }

    /// How long a run of so many tasks may take, in seconds.
    pub(crate) fn seconds(&self, tasks: usize) -> u64 {
        self.timeout.unwrap_or_else(|| SECONDS_LEAST.max(2 * tasks as u64))
    }

    /// The names of arguments that a run which is resumed has settled already.
    pub(crate) fn settled(&self) -> Vec<&'static str> {
        let given = [
            ("--repo", self.repo.is_some()),
            ("--tasks", self.tasks.is_some()),
            ("--agents", self.agents.is_some()),
            ("--agent-command", self.agent_command.is_some()),
        ];
        given.into_iter().filter(|(_, given)| *given).map(|(name, _)| name).collect()
    }
}

/// A program and its arguments.
#[derive(Clone, Debug)]
pub(crate) struct Words(pub(crate) Vec<String>);

fn words(text: &str) -> Result<Words, String> {
    match shlex::split(text) {
        None => Err("a quote is not closed".to_owned()),
        Some(words) if words.first().is_none_or(String::is_empty) => Err("it names no program".to_owned()),
        Some(words) => Ok(Words(words)),
    }
}
