//! One call of the git program.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// One call: arguments, where, what it reads, and which exit codes are an answer rather than a failure.
#[derive(Clone, Debug)]
#[must_use]
pub struct GitCommand {
    pub(super) git_dir: Option<PathBuf>,
    pub(super) args: Vec<OsString>,
    pub(super) input: Input,
    pub(super) timeout: Option<Duration>,
    pub(super) answers: Vec<i32>,
}

#[derive(Clone, Debug)]
pub(super) enum Input {
    Nothing,
    Bytes(Vec<u8>),
    File(PathBuf),
    /// Nothing, from a file whose lock the program holds with us, so that it outlives us with the program.
    Lock(Arc<File>),
}

/// What a call printed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct GitOutput {
    /// The exit code.
    pub code: i32,
    /// All of its standard output.
    pub stdout: Vec<u8>,
    /// The beginning of its standard error, secrets removed.
    pub stderr: String,
}

impl GitOutput {
    /// The standard output as text; what is not UTF-8 is replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

impl GitCommand {
    /// A call of the subcommand.
    pub fn new(subcommand: &'static str) -> Self {
        Self { git_dir: None, args: vec![subcommand.into()], input: Input::Nothing, timeout: None, answers: vec![0] }
    }

    /// Runs in that repository; without it there is none.
    pub fn git_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.git_dir = Some(path.into());
        self
    }

    /// Adds an argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Gives it these bytes to read; without them it reads nothing.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = Input::Bytes(bytes.into());
        self
    }

    /// Gives it this file to read.
    pub fn stdin_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.input = Input::File(path.into());
        self
    }

    /// Has the program hold this file's lock too: killed, we leave the lock to it.
    pub(super) fn lock(mut self, file: File) -> Self {
        self.input = Input::Lock(Arc::new(file));
        self
    }

    /// Replaces the runner's deadline for this call.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Counts this exit code as an answer too; 0 always is.
    pub fn answer(mut self, code: i32) -> Self {
        self.answers.push(code);
        self
    }

    /// The subcommand, for messages.
    pub fn name(&self) -> String {
        self.args.first().map(|arg| arg.to_string_lossy().into_owned()).unwrap_or_default()
    }
}
