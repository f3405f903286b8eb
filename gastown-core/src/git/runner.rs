//! Runs the git program: cleared environment, deadline, own process group, bounded output.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, Command};

use super::command::{GitCommand, GitOutput, Input};
use super::failure::{classify, words};
use super::options::GitOptions;
use super::version::GitVersion;
use crate::model::{Error, Result};

/// The most bytes of standard error that are kept; the rest is read and dropped.
const STDERR_BYTES_MAX: usize = 64 << 10;

/// Settings of every call, stronger than those of any repository.
const CONFIG: &[&str] = &[
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.attributesFile=/dev/null",
    "core.protectHFS=true",
    "core.protectNTFS=true",
    "core.pager=cat",
    "gc.auto=0",
    "maintenance.auto=false",
    "safe.bareRepository=explicit",
    "protocol.ext.allow=never",
    "transfer.credentialsInUrl=die",
    "http.lowSpeedLimit=1000",
    "http.lowSpeedTime=30",
    "credential.useHttpPath=true",
    "push.gpgSign=false",
    "submodule.recurse=false",
    "fetch.recurseSubmodules=false",
    "fetch.writeCommitGraph=false",
];

/// The environment of every call; nothing else is passed on but `PATH` and the variables of the options.
const ENVIRONMENT: &[(&str, &str)] = &[
    ("HOME", "/nonexistent"),
    ("LC_ALL", "C"),
    ("GIT_CONFIG_NOSYSTEM", "1"),
    ("GIT_CONFIG_GLOBAL", "/dev/null"),
    ("GIT_ATTR_NOSYSTEM", "1"),
    ("GIT_TERMINAL_PROMPT", "0"),
    ("GIT_ASKPASS", "/bin/false"),
    ("SSH_ASKPASS", "/bin/false"),
    ("SSH_ASKPASS_REQUIRE", "never"),
    ("GIT_SSH_COMMAND", "ssh -oBatchMode=yes -oConnectTimeout=20"),
    ("GIT_PROTOCOL_FROM_USER", "0"),
    ("GIT_NO_REPLACE_OBJECTS", "1"),
    ("GIT_OPTIONAL_LOCKS", "0"),
    ("GIT_LFS_SKIP_SMUDGE", "1"),
];

/// Runs the git program. Cheap to clone.
#[derive(Clone, Debug)]
pub struct GitRunner(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    options: GitOptions,
    program: PathBuf,
    version: GitVersion,
}

impl GitRunner {
    /// Finds the program and asks its version.
    ///
    /// Errors: `git_missing`, `git_too_old`, `git_version_unreadable`, and those of [`Self::run`].
    pub async fn new(options: GitOptions) -> Result<Self> {
        let program = find(&options)?;
        let unknown = Self(Arc::new(Inner { options, program, version: GitVersion::FLOOR }));
        let version = GitVersion::parse(&unknown.run(GitCommand::new("--version")).await?.text())?.require()?;
        let inner = Inner { options: unknown.0.options.clone(), program: unknown.0.program.clone(), version };
        Ok(Self(Arc::new(inner)))
    }

    /// The version of the program.
    pub fn version(&self) -> GitVersion {
        self.0.version
    }

    /// The settings it was made with.
    pub fn options(&self) -> &GitOptions {
        &self.0.options
    }

    /// Runs one call to its end.
    ///
    /// When the deadline passes, or this future is dropped, the program is killed with all processes of its group.
    ///
    /// Errors: `git_missing`, `git_timeout`, `git_output_exceeded`; by what git said `auth_failed`,
    /// `repository_missing`, `repository_owner`, `protocol_refused`, `remote_unreachable`; else `git_failed`.
    pub async fn run(&self, command: GitCommand) -> Result<GitOutput> {
        let mut child = self.spawn(&command)?;
        let mut group = Group::of(&child);
        let timeout = command.timeout.unwrap_or(self.0.options.timeout);
        let ended = {
            let work = attend(&mut child, command.input.clone(), self.0.options.output_bytes_max);
            tokio::time::timeout(timeout, work).await
        };
        let (status, stdout, stderr) = match ended {
            Ok(Ok(all)) => all,
            Ok(Err(error)) => {
                group.end(&mut child).await?;
                return Err(error.with("git", command.name()));
            }
            Err(_) => {
                group.end(&mut child).await?;
                let sentence = format!("git {} did not end in {} ms", command.name(), timeout.as_millis());
                return Err(Error::exhausted("git_timeout", sentence)
                    .with("git", command.name())
                    .with("timeout_ms", timeout.as_millis()));
            }
        };
        group.ended();
        let stderr = String::from_utf8_lossy(&stderr);
        match status.code() {
            Some(code) if command.answers.contains(&code) => Ok(GitOutput { code, stdout, stderr: words(&stderr) }),
            code => Err(classify(&command.name(), code, &stderr)),
        }
    }

    fn spawn(&self, command: &GitCommand) -> Result<Child> {
        let mut process = Command::new(&self.0.program);
        process.env_clear().env("PATH", self.0.options.search_path());
        process.env("GIT_ALLOW_PROTOCOL", self.0.options.protocols());
        process.envs(ENVIRONMENT.iter().copied());
        process.envs(self.0.options.env.iter().map(|(name, value)| (name, value)));
        for setting in CONFIG {
            process.arg("-c").arg(setting);
        }
        // Without a repository of its own a call must not find one above the folder that the host happens to be in.
        let mut option = OsString::from("--git-dir=");
        option.push(command.git_dir.as_deref().unwrap_or(Path::new("/nonexistent")));
        process.arg(option);
        process.args(&command.args).process_group(0).kill_on_drop(true);
        process.stdin(stdin(&command.input)?).stdout(Stdio::piped()).stderr(Stdio::piped());
        process.spawn().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => missing(&self.0.program),
            _ => Error::unavailable("git_failed", "the git program cannot be started").because(error),
        })
    }
}

fn stdin(input: &Input) -> Result<Stdio> {
    Ok(match input {
        Input::Nothing => Stdio::null(),
        Input::Bytes(_) => Stdio::piped(),
        Input::File(path) => {
            let file = std::fs::File::open(path).map_err(|error| {
                Error::unavailable("io_failed", format!("{} cannot be read", path.display())).because(error)
            })?;
            Stdio::from(file)
        }
        Input::Lock(file) => Stdio::from(file.try_clone().map_err(pipe_fault)?),
    })
}

fn missing(program: &Path) -> Error {
    Error::unsupported("git_missing", format!("there is no git program {}", program.display()))
        .with("program", program.display())
}

/// The absolute path of the program.
fn find(options: &GitOptions) -> Result<PathBuf> {
    let program = &options.program;
    if program.is_absolute() {
        return if program.is_file() { Ok(program.clone()) } else { Err(missing(program)) };
    }
    if program.components().count() != 1 {
        return Err(missing(program));
    }
    let path = options.search_path();
    std::env::split_paths(&path)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
        .ok_or_else(|| missing(program).with("path", path.to_string_lossy()))
}

type Ended = (ExitStatus, Vec<u8>, Vec<u8>);

/// Feeds and drains the pipes to their end, then waits. The process is not reaped before its pipes are closed, so
/// that the number of its group stays taken as long as somebody may have to kill it.
async fn attend(child: &mut Child, input: Input, output_bytes_max: usize) -> Result<Ended> {
    let stdout = child.stdout.take().expect("it was spawned with a pipe");
    let stderr = child.stderr.take().expect("it was spawned with a pipe");
    let stdin = child.stdin.take();
    let (stdout, stderr, ()) =
        tokio::try_join!(drain_all(stdout, output_bytes_max), drain_some(stderr), feed(stdin, input))?;
    let status = child.wait().await.map_err(pipe_fault)?;
    Ok((status, stdout, stderr))
}

fn pipe_fault(error: std::io::Error) -> Error {
    Error::unavailable("git_failed", "the pipes of the git program broke").because(error)
}

async fn feed(stdin: Option<ChildStdin>, input: Input) -> Result<()> {
    let (Some(mut stdin), Input::Bytes(bytes)) = (stdin, input) else { return Ok(()) };
    match stdin.write_all(&bytes).await {
        // It stopped reading; its exit code tells why.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(pipe_fault),
    }
}

async fn drain_all(mut pipe: impl AsyncRead + Unpin, max: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    (&mut pipe).take(limit).read_to_end(&mut bytes).await.map_err(pipe_fault)?;
    if bytes.len() <= max {
        return Ok(bytes);
    }
    Err(Error::exhausted("git_output_exceeded", format!("git printed more than {max} bytes")).with("bytes_max", max))
}

async fn drain_some(mut pipe: impl AsyncRead + Unpin) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    (&mut pipe).take(STDERR_BYTES_MAX as u64).read_to_end(&mut bytes).await.map_err(pipe_fault)?;
    tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await.map_err(pipe_fault)?;
    Ok(bytes)
}

/// The process group of a running child; killed when dropped before its end was seen.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw))
    }

    /// The child was reaped: the number may belong to others from now on.
    fn ended(&mut self) {
        self.0 = None;
    }

    /// Kills the group and reaps its leader.
    async fn end(&mut self, child: &mut Child) -> Result<()> {
        self.kill();
        child.wait().await.map_err(pipe_fault)?;
        Ok(())
    }

    fn kill(&mut self) {
        if let Some(group) = self.0.take() {
            // The only failure there can be is that nobody is left in it.
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}
