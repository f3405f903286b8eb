//! Where agents run: the port, its plain data, and the runtime of local processes.
//!
//! Invariant: this floor knows sessions, programs and folders; it knows no bead, no store and no git.

#[cfg(feature = "testkit")]
pub mod conformance;
#[cfg(all(feature = "process", target_os = "linux"))]
pub mod process;
#[cfg(feature = "testkit")]
pub mod scripted;
mod session;

use std::fmt::Debug;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;

use crate::model::{Error, ErrorKind, OutputStream, Result, SessionId};

pub use crate::model::SecretText;
#[cfg(all(feature = "process", target_os = "linux"))]
pub use process::{ProcessOptions, ProcessRuntime, Supervisor, copy_output, session_main};
#[cfg(feature = "testkit")]
pub use scripted::{Script, ScriptedRuntime};
pub use session::{
    CAPABILITY_FILE_VAR, Capabilities, CopiedOutput, DamagedOutput, EVENTS_FILE_VAR, ExitOutcome, ExitRecord,
    GRACE_DEFAULT, OUTPUT_BYTES_MAX_DEFAULT, OutputChunk, SessionSpec, SessionState, SessionStatus,
};

/// How long a runtime that is not told of output waits before somebody who follows it looks again.
pub const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Runs sessions: starts an agent's program, knows how it ended, and ends it with everything it started.
///
/// A session is named by its id for ever: an id that was started once is never started again until it is forgotten.
/// Every method may be called from any task at any time, and dropping its future leaves the session as it is.
#[async_trait]
pub trait ContainerRuntime: Send + Sync + Debug + 'static {
    /// Says what this runtime can do on this machine.
    fn capabilities(&self) -> Capabilities;

    /// Starts the session's program, or answers the status of a session that is already known.
    ///
    /// # Contract
    ///
    /// Idempotent by session id: of any number of calls, at the same time or one after another, one starts the program.
    /// Returns when the program runs or is known not to start; a program or workspace that is missing is
    /// [`ExitOutcome::StartFailed`], not an error. Dropping the future does not undo the start.
    async fn start(&self, spec: &SessionSpec) -> Result<SessionStatus>;

    /// Lists every session that is known and not forgotten, ordered by id, also those a former host has started.
    async fn list(&self) -> Result<Vec<SessionStatus>>;

    /// Looks at one session; one that is not known is [`SessionState::Absent`].
    async fn inspect(&self, session: &SessionId) -> Result<SessionStatus>;

    /// Waits until the session has ended and answers how.
    ///
    /// # Contract
    ///
    /// Also for sessions that a former host has started. A session that is absent, or whose end nobody saw, answers
    /// [`ExitOutcome::Lost`]. Every call answers the same record. Woken by the end itself, never by a clock.
    async fn wait(&self, session: &SessionId) -> Result<ExitRecord>;

    /// Ends the session and everything it started: asks with SIGTERM, and kills what is left after `grace`.
    ///
    /// # Contract
    ///
    /// Idempotent; a session that has ended or is absent is fine as it is. Returns when the session is gone. Of several
    /// calls the shortest grace counts.
    async fn stop(&self, session: &SessionId, grace: Duration) -> Result<()>;

    /// Removes the records and the output of a session that has ended.
    ///
    /// # Contract
    ///
    /// Idempotent. A session that runs is a conflict `session_running`.
    async fn forget(&self, session: &SessionId) -> Result<()>;

    /// Reads what the session printed, from a byte offset on.
    ///
    /// # Contract
    ///
    /// Offsets count every byte that was printed. Where bytes at `offset` were dropped, the chunk starts at the next byte
    /// that was kept. An empty chunk means that there is nothing at or after `offset` yet.
    async fn output(&self, session: &SessionId, offset: u64, bytes_max: usize) -> Result<OutputChunk>;

    /// Reads the structured events that the agent wrote, from a byte offset on.
    ///
    /// # Contract
    ///
    /// As for [`ContainerRuntime::output`], with offsets of its own. A runtime without such events keeps this default, which
    /// never has any.
    async fn events(&self, _session: &SessionId, offset: u64, _bytes_max: usize) -> Result<OutputChunk> {
        Ok(OutputChunk::new(offset, Vec::new()))
    }

    /// Waits until there may be bytes of a stream at or after `offset`.
    ///
    /// # Contract
    ///
    /// It may return for nothing, and need not return when the session ends ([`ContainerRuntime::wait`] does). Dropping it
    /// leaves nothing behind. The default returns after [`LOOK_AGAIN`]; a runtime that is told of output does better.
    async fn grown(&self, _session: &SessionId, _stream: OutputStream, _offset: u64) -> Result<()> {
        tokio::time::sleep(LOOK_AGAIN).await;
        Ok(())
    }

    /// Gives a running session's agent a word, as if somebody typed it.
    ///
    /// # Contract
    ///
    /// Not remembered: a session that does not run is a conflict `session_not_running`. A runtime whose agents hear nothing
    /// keeps this default, which is `session_deaf`.
    async fn send(&self, session: &SessionId, _bytes: &[u8]) -> Result<()> {
        Err(Error::new(ErrorKind::Unsupported, "session_deaf", format!("session {session} hears nothing"))
            .with("session", session))
    }

    /// Finishes what a removal that was broken off left behind.
    ///
    /// # Contract
    ///
    /// Idempotent, and harmless beside [`ContainerRuntime::forget`] and [`ContainerRuntime::start`] of other hosts.
    async fn tidy(&self) -> Result<()> {
        Ok(())
    }

    /// Copies what every session has left into the new folder `to`, beside those that run; for a backup.
    ///
    /// # Contract
    ///
    /// What is copied of a session is what a reader could have read at one moment. A session that had not ended is lost in
    /// the copy, for it runs where it was started. Everything is on disk when this returns. The default copies nothing: a runtime
    /// that keeps output elsewhere has it kept there.
    async fn copy_output(&self, _to: &Path) -> Result<CopiedOutput> {
        Ok(CopiedOutput::default())
    }

    /// Looks whether what ended sessions left is all there, and says of which it is not.
    ///
    /// # Contract
    ///
    /// Changes nothing, and is harmless beside everything else. It tells what is missing or too short of sessions whose end
    /// was seen; a byte that is another than was printed need not be noticed. The default finds nothing: a runtime that keeps output elsewhere has it looked at there.
    async fn check_output(&self) -> Result<Vec<DamagedOutput>> {
        Ok(Vec::new())
    }
}
