//! Agents as local processes, each under a supervisor that outlives the host.
//!
//! The host makes the session's folder with its lock held, and hands the lock to the supervisor as standard input. The
//! supervisor starts the agent, keeps its output, renews its lease and writes the exit record; then it lets go of the
//! lock. So a folder whose lock is free and that has no exit record is a session that was lost, at any time and for
//! anyone who looks.

mod check;
mod copy;
mod entry;
mod folder;
mod growth;
mod launch;
mod live;
mod options;
mod output;
mod reap;
mod supervise;
mod tree;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use nix::sys::signal::Signal;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use tokio::task::spawn_blocking;

use super::{
    CAPABILITY_FILE_VAR, Capabilities, ContainerRuntime, CopiedOutput, DamagedOutput, EVENTS_FILE_VAR, ExitOutcome,
    ExitRecord, OutputChunk, SessionSpec, SessionState, SessionStatus,
};
use crate::model::{Error, OutputStream, Result, SessionId};
use crate::random;

pub use copy::copy_output;
pub use entry::{session_main, supervise};
use folder::{Folder, Plan, millis, now};
use growth::Growth;
use live::LiveSessions;
pub use options::{ProcessOptions, Supervisor};
use supervise::Event;

/// How long a supervisor may take beyond the grace before it is taken for stuck and killed.
const STUCK_AFTER: Duration = Duration::from_secs(15);
/// Drafts of folders and folders on their way out start with a dot, which no session's id does.
const DRAFT_PREFIX: &str = ".draft-";
const TRASH_PREFIX: &str = ".trash-";
/// How long somebody who follows output sleeps at most, should nothing be heard.
const SLOW_LOOK: Duration = Duration::from_secs(10);

/// Runs sessions as processes of this machine.
///
/// It needs a tokio runtime with I/O enabled. Clones share one runtime; with [`Supervisor::InProcess`], dropping the
/// last one kills its sessions.
#[derive(Clone, Debug)]
pub struct ProcessRuntime {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    options: ProcessOptions,
    live: Arc<LiveSessions>,
    growth: Growth,
}

impl ProcessRuntime {
    /// Opens the folder of sessions, and makes it where it is missing.
    pub fn new(mut options: ProcessOptions) -> Result<Self> {
        let open = |options: &mut ProcessOptions| -> io::Result<()> {
            options.dir = std::path::absolute(&options.dir)?;
            if let Supervisor::Program { path, .. } = &mut options.supervisor {
                *path = std::path::absolute(&*path)?;
            }
            if let Some(parent) = options.dir.parent() {
                fs::create_dir_all(parent)?;
            }
            match folder::make_dir(&options.dir) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
            sweep(&options.dir)
        };
        open(&mut options).map_err(|error| {
            Error::unavailable("runtime_folder_failed", format!("cannot open {}", options.dir.display()))
                .with("path", options.dir.display())
                .because(error)
        })?;
        Ok(Self { inner: Arc::new(Inner { options, live: Arc::default(), growth: Growth::default() }) })
    }
}

/// Removes what hosts that died left of folders on their way in and out.
///
/// A draft in the making has its lock held, or no lock yet.
fn sweep(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_dead_draft = || matches!(Folder::new(entry.path()).held(), Ok(false));
        if name.starts_with(TRASH_PREFIX) || name.starts_with(DRAFT_PREFIX) && is_dead_draft() {
            folder::remove_all(&entry.path())?;
        }
    }
    Ok(())
}

impl Inner {
    fn folder(&self, session: &SessionId) -> Folder {
        Folder::new(self.options.dir.join(session.as_str()))
    }

    fn draft(&self) -> Result<PathBuf> {
        self.beside(DRAFT_PREFIX)
    }

    fn trash(&self) -> Result<PathBuf> {
        self.beside(TRASH_PREFIX)
    }

    /// A name that no other host takes: in containers that share the folder, numbers of processes are the same.
    fn beside(&self, prefix: &str) -> Result<PathBuf> {
        Ok(self.options.dir.join(format!("{prefix}{:016x}", random::number()?)))
    }

    fn plan(&self, spec: &SessionSpec) -> Plan {
        let mut env = self.options.inherit_env.clone();
        env.extend(spec.env.iter().map(|(name, value)| (name.clone(), value.clone())));
        if spec.capability.is_some() {
            let file = self.folder(&spec.session).capability();
            env.insert(CAPABILITY_FILE_VAR.to_owned(), file.to_string_lossy().into_owned());
        }
        if spec.events_bytes_max > 0 {
            let pipe = self.folder(&spec.session).events_pipe();
            env.insert(EVENTS_FILE_VAR.to_owned(), pipe.to_string_lossy().into_owned());
        }
        Plan {
            session: spec.session.clone(),
            command: spec.command.clone(),
            workspace: spec.workspace.clone(),
            env,
            timeout_ms: spec.timeout.map(millis),
            output_bytes_max: spec.output_bytes_max,
            segment_bytes: output::segment_bytes(spec.output_bytes_max),
            events_bytes_max: spec.events_bytes_max,
            grace_ms: millis(spec.grace),
            lease_ms: millis(self.options.lease).max(1),
            program: match &self.options.supervisor {
                Supervisor::Program { path, args } => Some((path.clone(), args.clone())),
                Supervisor::InProcess => None,
            },
        }
    }

    async fn start(self: Arc<Self>, spec: SessionSpec) -> Result<SessionStatus> {
        let session = spec.session.clone();
        let folder = self.folder(&session);
        let plan = self.plan(&spec);
        let created = blocking({
            let (folder, plan, draft) = (folder.clone(), plan.clone(), self.draft()?);
            move || if folder.exists() { Ok(None) } else { folder.create(&draft, &plan, spec.capability.as_ref()) }
        })
        .await?;
        if let Some(lock) = created {
            match &plan.program {
                Some((path, args)) => {
                    let spawned = self.spawn(&folder, path, args, lock);
                    match spawned {
                        Ok(child) => self.follow(&session, folder.clone(), child).await?,
                        Err(error) => {
                            let trash = self.trash()?;
                            blocking(move || folder.remove(&trash)).await?;
                            return Err(error);
                        }
                    }
                }
                None => self.live.supervise(&session, folder.clone(), lock, plan).await?,
            }
        }
        self.inspect(&session).await
    }

    /// Starts the supervisor with the lock as its standard input; this process keeps no copy of it.
    fn spawn(&self, folder: &Folder, path: &Path, args: &[String], lock: fs::File) -> Result<Child> {
        Command::new(path)
            .args(args)
            .arg(entry::MODE)
            .arg("--dir")
            .arg(folder.path())
            .env_clear()
            .envs(&self.options.inherit_env)
            .stdin(Stdio::from(lock))
            .stdout(Stdio::piped())
            .stderr(Stdio::from(folder.log()?))
            .spawn()
            .map_err(|error| {
                Error::unavailable("supervisor_missing", format!("cannot run the supervisor {}", path.display()))
                    .with("path", path.display())
                    .because(error)
            })
    }

    /// Waits until the supervisor is ready; its end is awaited, and the child collected, whoever asks or not.
    async fn follow(&self, session: &SessionId, folder: Folder, mut child: Child) -> Result<()> {
        let ready = child.stdout.take();
        self.live.collect(session, folder, child);
        let mut said = Vec::new();
        if let Some(ready) = ready {
            ready.take(64).read_to_end(&mut said).await.map_err(|error| {
                Error::unavailable("supervisor_failed", format!("the supervisor of {session} does not answer"))
                    .with("session", session)
                    .because(error)
            })?;
        }
        if said != entry::READY.as_bytes() {
            tracing::warn!(%session, "the supervisor ended before its agent started");
        }
        Ok(())
    }

    async fn inspect(&self, session: &SessionId) -> Result<SessionStatus> {
        let (folder, session) = (self.folder(session), session.clone());
        blocking(move || folder.status(&session)).await
    }

    async fn wait(&self, session: &SessionId) -> Result<ExitRecord> {
        loop {
            match self.inspect(session).await?.state {
                SessionState::Exited(record) => return Ok(record),
                SessionState::Absent => return Ok(ExitRecord::new(session.clone(), ExitOutcome::Lost, now())),
                SessionState::Starting | SessionState::Running => {}
            }
            self.live.ended(session, &self.folder(session)).await?;
        }
    }

    /// Leaves the wish in the folder, then wakes whoever supervises.
    async fn ask_to_stop(&self, session: &SessionId, grace: Duration) -> Result<()> {
        let folder = self.folder(session);
        let lease = blocking(move || {
            folder.request_stop(grace)?;
            folder.lease()
        })
        .await?;
        if self.live.send(session, Event::Stop { grace: Some(grace) }) {
            return Ok(());
        }
        match lease {
            // It looks for the wish once it can be signalled.
            None => Ok(()),
            Some(lease) => match lease.supervisor {
                Some(supervisor) => {
                    // One that is gone has ended the session.
                    supervisor.signal(Signal::SIGTERM);
                    Ok(())
                }
                None => Err(Error::conflict(
                    "session_held_elsewhere",
                    format!("session {session} is supervised inside another runtime"),
                )
                .with("session", session)),
            },
        }
    }
}

#[async_trait]
impl ContainerRuntime for ProcessRuntime {
    fn capabilities(&self) -> Capabilities {
        let own_process = matches!(self.inner.options.supervisor, Supervisor::Program { .. });
        Capabilities {
            survives_host: own_process,
            kills_tree: own_process,
            closes_descriptors: own_process,
            real_processes: true,
            keeps_events: true,
        }
    }

    async fn start(&self, spec: &SessionSpec) -> Result<SessionStatus> {
        spec.check()?;
        // On a task of its own, so that a caller who goes away leaves no half of a start.
        let started = tokio::spawn(Arc::clone(&self.inner).start(spec.clone())).await;
        started.map_err(|error| Error::internal("start_failed", "a start did not come to its end").because(error))?
    }

    async fn list(&self) -> Result<Vec<SessionStatus>> {
        let inner = Arc::clone(&self.inner);
        blocking(move || {
            let dir = &inner.options.dir;
            let failed = |error| {
                Error::unavailable("runtime_folder_failed", format!("cannot list {}", dir.display())).because(error)
            };
            let mut statuses = Vec::new();
            for entry in fs::read_dir(dir).map_err(failed)? {
                let name = entry.map_err(failed)?.file_name();
                let Some(session) = name.to_str().and_then(|name| SessionId::new(name).ok()) else { continue };
                match inner.folder(&session).status(&session) {
                    Ok(status) if status.state == SessionState::Absent => {}
                    Ok(status) => statuses.push(status),
                    // One damaged folder must not hide the sessions that can be adopted; inspect tells what it has.
                    Err(error) => tracing::warn!(%session, error = %error.chain(), "a session cannot be read"),
                }
            }
            statuses.sort_by(|a, b| a.session.cmp(&b.session));
            Ok(statuses)
        })
        .await
    }

    async fn inspect(&self, session: &SessionId) -> Result<SessionStatus> {
        self.inner.inspect(session).await
    }

    async fn wait(&self, session: &SessionId) -> Result<ExitRecord> {
        self.inner.wait(session).await
    }

    async fn stop(&self, session: &SessionId, grace: Duration) -> Result<()> {
        if matches!(self.inner.inspect(session).await?.state, SessionState::Absent | SessionState::Exited(_)) {
            return Ok(());
        }
        self.inner.ask_to_stop(session, grace).await?;
        if let Ok(ended) = tokio::time::timeout(grace.saturating_add(STUCK_AFTER), self.inner.wait(session)).await {
            return ended.map(drop);
        }
        let folder = self.inner.folder(session);
        let supervisor = blocking(move || folder.lease()).await?.and_then(|lease| lease.supervisor);
        if !supervisor.is_some_and(|supervisor| supervisor.signal(Signal::SIGKILL)) {
            return Err(Error::exhausted("stop_stuck", format!("session {session} does not end"))
                .with("session", session)
                .with("grace_ms", millis(grace)));
        }
        tracing::warn!(%session, "the supervisor was stuck and is killed");
        self.inner.wait(session).await.map(drop)
    }

    async fn forget(&self, session: &SessionId) -> Result<()> {
        match self.inner.inspect(session).await?.state {
            SessionState::Absent => Ok(()),
            SessionState::Exited(_) => {
                let (folder, trash) = (self.inner.folder(session), self.inner.trash()?);
                blocking(move || folder.remove(&trash)).await
            }
            SessionState::Starting | SessionState::Running => {
                Err(Error::conflict("session_running", format!("session {session} runs")).with("session", session))
            }
        }
    }

    async fn output(&self, session: &SessionId, offset: u64, bytes_max: usize) -> Result<OutputChunk> {
        self.read(session, OutputStream::Output, offset, bytes_max).await
    }

    async fn events(&self, session: &SessionId, offset: u64, bytes_max: usize) -> Result<OutputChunk> {
        self.read(session, OutputStream::Events, offset, bytes_max).await
    }

    async fn grown(&self, session: &SessionId, stream: OutputStream, offset: u64) -> Result<()> {
        let folder = self.inner.folder(session);
        let place = if stream == OutputStream::Output { folder.output() } else { folder.events() };
        // Begun before looking, so that what comes meanwhile is heard.
        let listening = match self.inner.growth.listen(&place) {
            Ok(listening) => listening,
            Err(error) => {
                tracing::debug!(%session, %error, "output cannot be listened for");
                tokio::time::sleep(super::LOOK_AGAIN).await;
                return Ok(());
            }
        };
        if self.read(session, stream, offset, 1).await?.bytes.is_empty() {
            // Only a loss of the watch itself makes the time run out.
            let _ = tokio::time::timeout(SLOW_LOOK, listening.heard()).await;
        }
        Ok(())
    }

    async fn tidy(&self) -> Result<()> {
        let inner = Arc::clone(&self.inner);
        blocking(move || {
            let dir = &inner.options.dir;
            sweep(dir).map_err(|error| {
                Error::unavailable("runtime_folder_failed", format!("cannot tidy {}", dir.display())).because(error)
            })
        })
        .await
    }

    async fn copy_output(&self, to: &Path) -> Result<CopiedOutput> {
        let (inner, to) = (Arc::clone(&self.inner), to.to_owned());
        blocking(move || copy_output(&inner.options.dir, &to)).await
    }

    async fn check_output(&self) -> Result<Vec<DamagedOutput>> {
        let inner = Arc::clone(&self.inner);
        blocking(move || check::check_output(&inner.options.dir)).await
    }
}

impl ProcessRuntime {
    async fn read(
        &self,
        session: &SessionId,
        stream: OutputStream,
        offset: u64,
        bytes_max: usize,
    ) -> Result<OutputChunk> {
        let (folder, session) = (self.inner.folder(session), session.clone());
        blocking(move || {
            let unknown = || {
                Error::not_found("session_unknown", format!("session {session} is not known here"))
                    .with("session", &session)
            };
            if !folder.exists() {
                return Err(unknown());
            }
            let read = folder.plan().and_then(|plan| {
                let chunk = match stream {
                    OutputStream::Events if plan.events_bytes_max == 0 => Ok(OutputChunk::new(offset, Vec::new())),
                    OutputStream::Events => {
                        let segment = output::segment_bytes(plan.events_bytes_max);
                        output::read(&folder.events(), segment, offset, bytes_max)
                    }
                    OutputStream::Output => output::read(&folder.output(), plan.segment_bytes, offset, bytes_max),
                };
                chunk.map_err(|error| {
                    Error::unavailable("output_unreadable", format!("the output of {session} cannot be read"))
                        .with("session", &session)
                        .because(error)
                })
            });
            // What could not be read because it was removed in this moment is gone, not damaged.
            read.map_err(|error| if folder.exists() { error } else { unknown() })
        })
        .await
    }
}

/// Runs file work on tokio's blocking threads.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = spawn_blocking(work).await;
    done.map_err(|error| Error::unavailable("runtime_closing", "the runtime is closing").because(error))?
}
