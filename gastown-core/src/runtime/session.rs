//! What a session is started with, what is known of it, and how it ended.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::SecretText;
use crate::model::{Error, Result, SessionId, Timestamp};

/// The variable that names the private file with the session's capability.
pub const CAPABILITY_FILE_VAR: &str = "GASTOWN_CAPABILITY_FILE";
/// The variable that names the file to which an agent appends its structured events, one JSON value a line.
pub const EVENTS_FILE_VAR: &str = "GASTOWN_EVENTS_FILE";
/// How much output of a session is kept unless the spec says otherwise: 64 MiB.
pub const OUTPUT_BYTES_MAX_DEFAULT: u64 = 64 << 20;
/// How long an agent has between SIGTERM and SIGKILL unless the spec says otherwise.
pub const GRACE_DEFAULT: Duration = Duration::from_secs(10);

/// Everything a runtime needs to start one session.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SessionSpec {
    /// Names the session; starting the same id twice starts it once.
    pub session: SessionId,
    /// The program and its arguments; the program is searched on the session's own `PATH`.
    pub command: Vec<String>,
    /// The folder in which the program starts.
    pub workspace: PathBuf,
    /// The environment; only the variables that the runtime was told to pass on are added.
    pub env: BTreeMap<String, String>,
    /// How long it may run; without one, for ever.
    pub timeout: Option<Duration>,
    /// How much output is kept in bytes: its first half, and the end of it.
    pub output_bytes_max: u64,
    /// How much of its structured events is kept in bytes, as of the output; with 0 there are none, and no
    /// [`EVENTS_FILE_VAR`].
    pub events_bytes_max: u64,
    /// How long it has between SIGTERM and SIGKILL when its time is over.
    pub grace: Duration,
    /// A secret handed over in a private file that [`CAPABILITY_FILE_VAR`] names.
    pub capability: Option<SecretText>,
}

impl SessionSpec {
    /// A session that runs `command` in `workspace` with an empty environment and the default bounds.
    pub fn new(
        session: SessionId,
        command: impl IntoIterator<Item = impl Into<String>>,
        workspace: impl Into<PathBuf>,
    ) -> Self {
        Self {
            session,
            command: command.into_iter().map(Into::into).collect(),
            workspace: workspace.into(),
            env: BTreeMap::new(),
            timeout: None,
            output_bytes_max: OUTPUT_BYTES_MAX_DEFAULT,
            events_bytes_max: 0,
            grace: GRACE_DEFAULT,
            capability: None,
        }
    }

    /// Checks what no runtime could start: an empty command, a NUL, an impossible variable name.
    pub fn check(&self) -> Result<()> {
        let wrong = |what: &str| {
            Err(Error::invalid("session_spec_invalid", format!("session {} has {what}", self.session))
                .with("session", &self.session)
                .with("what", what))
        };
        if self.command.first().is_none_or(String::is_empty) {
            return wrong("no command");
        }
        if self.command.iter().any(|argument| argument.contains('\0')) {
            return wrong("a NUL in its command");
        }
        if !self.workspace.is_absolute() {
            return wrong("a workspace that is not an absolute path");
        }
        let is_ours = |name: &str| name == CAPABILITY_FILE_VAR || name == EVENTS_FILE_VAR;
        if self
            .env
            .iter()
            .any(|(name, value)| name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') || is_ours(name))
        {
            return wrong("a variable that cannot be set");
        }
        Ok(())
    }
}

/// What a runtime can do on this machine.
#[allow(clippy::struct_excessive_bools)] // Each is a fact of its own, not a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Capabilities {
    /// Sessions go on when the host dies, and the next one adopts them.
    pub survives_host: bool,
    /// Nothing that an agent started outlives its session, not even what left its process group.
    pub kills_tree: bool,
    /// An agent has the three standard descriptors only, whatever its host left open on exec.
    pub closes_descriptors: bool,
    /// Sessions are real processes of this machine with a process id.
    pub real_processes: bool,
    /// An agent finds a file for its structured events in [`EVENTS_FILE_VAR`], and they are kept.
    pub keeps_events: bool,
}

impl Capabilities {
    /// The least a runtime can do; set what is better.
    pub const fn none() -> Self {
        Self {
            survives_host: false,
            kills_tree: false,
            closes_descriptors: false,
            real_processes: false,
            keeps_events: false,
        }
    }
}

/// What is known of a session now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SessionStatus {
    /// Which one.
    pub session: SessionId,
    /// Where it is.
    pub state: SessionState,
    /// The process id of the agent while it runs.
    pub pid: Option<u32>,
    /// When the agent started.
    pub started_at: Option<Timestamp>,
    /// When the lease was last renewed: the agent lived then.
    pub lease_at: Option<Timestamp>,
    /// When it last printed something.
    pub last_output_at: Option<Timestamp>,
    /// How many bytes it has printed.
    pub output_bytes: u64,
    /// How many of them are not kept.
    #[serde(default)]
    pub output_dropped_bytes: u64,
    /// How many bytes are kept of its output and of its events.
    #[serde(default)]
    pub kept_bytes: u64,
}

impl SessionStatus {
    /// The status of a session of which nothing but its state is known.
    pub fn new(session: SessionId, state: SessionState) -> Self {
        Self {
            session,
            state,
            pid: None,
            started_at: None,
            lease_at: None,
            last_output_at: None,
            output_bytes: 0,
            output_dropped_bytes: 0,
            kept_bytes: 0,
        }
    }
}

/// Where a session is in its life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
#[non_exhaustive]
pub enum SessionState {
    /// It was never started here, or it was forgotten.
    Absent,
    /// It is on its way; the agent does not run yet.
    Starting,
    /// The agent runs.
    Running,
    /// It has ended.
    Exited(ExitRecord),
}

/// How a session ended; written once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ExitRecord {
    /// Which one.
    pub session: SessionId,
    /// How it ended.
    pub outcome: ExitOutcome,
    /// When the agent started, or when the attempt was made.
    pub started_at: Timestamp,
    /// When it was over with everything it had started, or when the loss was noticed.
    pub ended_at: Timestamp,
    /// How many bytes it printed.
    pub output_bytes: u64,
    /// How many of them were not kept.
    pub output_dropped_bytes: u64,
}

impl ExitRecord {
    /// The record of a session that printed nothing, at one moment.
    pub fn new(session: SessionId, outcome: ExitOutcome, at: Timestamp) -> Self {
        Self { session, outcome, started_at: at, ended_at: at, output_bytes: 0, output_dropped_bytes: 0 }
    }
}

/// The ways in which a session ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ExitOutcome {
    /// The agent ended by itself.
    Exited {
        /// Its exit code.
        code: i32,
    },
    /// A signal that we did not send ended the agent.
    Signalled {
        /// The signal's number.
        signal: i32,
    },
    /// Its time was over.
    TimedOut,
    /// It was asked to stop.
    Stopped,
    /// The agent never ran.
    StartFailed {
        /// Why, in one line.
        reason: String,
    },
    /// It is over and nobody saw how.
    Lost,
}

impl fmt::Display for ExitOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited { code } => write!(f, "exited with code {code}"),
            Self::Signalled { signal } => write!(f, "killed by signal {signal}"),
            Self::TimedOut => f.write_str("timed out"),
            Self::Stopped => f.write_str("stopped"),
            Self::StartFailed { reason } => write!(f, "did not start: {reason}"),
            Self::Lost => f.write_str("lost"),
        }
    }
}

/// A piece of what a session printed, standard output and error in the order of arrival.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OutputChunk {
    /// Where the piece starts; later than asked where bytes were dropped.
    pub offset: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
}

impl OutputChunk {
    /// A piece that starts at `offset`.
    pub fn new(offset: u64, bytes: Vec<u8>) -> Self {
        Self { offset, bytes }
    }

    /// Where the next piece starts.
    pub fn next_offset(&self) -> u64 {
        self.offset + self.bytes.len() as u64
    }
}

/// A session whose output is not what was kept of it.
#[derive(Clone, Debug)]
pub struct DamagedOutput {
    /// Which.
    pub session: SessionId,
    /// What is wrong with it.
    pub error: Error,
}

/// What a copy of the output holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CopiedOutput {
    /// How many sessions.
    pub sessions: u64,
    /// How many bytes of their output and events.
    pub bytes: u64,
}
