//! The folder of one session: what it was started with, who holds it, how it ended.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nix::sys::stat::Mode;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::output;
use super::tree::{self, ProcessRef};
use crate::failpoint;
use crate::model::{Error, Result, SessionId, Timestamp};
use crate::random;
use crate::runtime::{CAPABILITY_FILE_VAR, ExitOutcome, ExitRecord, SecretText, SessionState, SessionStatus};

const SPEC: &str = "spec.json";
pub(super) const LOCK: &str = "lock";
const LEASE: &str = "lease.json";
const STOP: &str = "stop.json";
/// Held while a wish to stop is compared with the one before.
const TURN: &str = "stop.lock";
const EXIT: &str = "exit.json";
const CAPABILITY: &str = "capability";
const OUTPUT: &str = "output";
const EVENTS: &str = "events";
/// The pipe into which the agent writes its events; the supervisor reads it.
const EVENTS_PIPE: &str = "events.pipe";
const LOG: &str = "supervisor.log";
/// What a copy of the folder holds: what every session has, what one that has ended has, and the folders of segments.
pub(super) const COPIED_ALWAYS: &str = SPEC;
pub(super) const COPIED_AT_END: &str = EXIT;
pub(super) const COPIED_SEGMENTS: [&str; 2] = [OUTPUT, EVENTS];

/// What the supervisor needs, as it stands in the folder.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Plan {
    pub(super) session: SessionId,
    pub(super) command: Vec<String>,
    pub(super) workspace: PathBuf,
    pub(super) env: BTreeMap<String, String>,
    pub(super) timeout_ms: Option<u64>,
    pub(super) output_bytes_max: u64,
    pub(super) segment_bytes: u64,
    /// None in folders of versions that knew no events.
    #[serde(default)]
    pub(super) events_bytes_max: u64,
    pub(super) grace_ms: u64,
    pub(super) lease_ms: u64,
    /// The supervisor's own program and first arguments; none where the host supervises.
    pub(super) program: Option<(PathBuf, Vec<String>)>,
}

/// Who runs the session and how far it is; written again at every renewal.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Lease {
    pub(super) boot: String,
    /// The supervisor, where it is a process of its own.
    pub(super) supervisor: Option<ProcessRef>,
    pub(super) agent: Option<ProcessRef>,
    pub(super) started_at: Timestamp,
    pub(super) renewed_at: Timestamp,
    pub(super) output_bytes: u64,
    pub(super) last_output_at: Option<Timestamp>,
}

#[derive(Serialize, Deserialize)]
struct StopRequest {
    grace_ms: u64,
}

/// The time now; the one clock of this floor.
#[allow(clippy::disallowed_methods)]
pub(super) fn now() -> Timestamp {
    Timestamp::from_system(SystemTime::now())
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// One session's folder.
///
/// Its lock is held from before the folder has its name until the session has ended: a free lock without an exit
/// record is a session that was lost.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    path: PathBuf,
}

impl Folder {
    pub(super) fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Makes the folder at once with everything in it and its lock held; `None` where it was there already.
    pub(super) fn create(&self, draft: &Path, plan: &Plan, capability: Option<&SecretText>) -> Result<Option<File>> {
        let fill = || -> io::Result<File> {
            make_dir(draft)?;
            let drafted = Self::new(draft);
            let lock =
                OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(drafted.path.join(LOCK))?;
            lock.try_lock().map_err(io::Error::from)?;
            make_dir(&drafted.output())?;
            if plan.events_bytes_max > 0 {
                make_dir(&drafted.events())?;
                nix::unistd::mkfifo(&drafted.events_pipe(), Mode::S_IRUSR | Mode::S_IWUSR)?;
            }
            write_private(&drafted.path.join(SPEC), &serde_json::to_vec_pretty(plan)?)?;
            if let Some(secret) = capability {
                write_private(&drafted.path.join(CAPABILITY), secret.expose().as_bytes())?;
            }
            fs::rename(draft, &self.path)?;
            Ok(lock)
        };
        match fill() {
            Ok(lock) => Ok(Some(lock)),
            Err(error) => {
                let known = matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists)
                    && self.path.is_dir();
                match fs::remove_dir_all(draft) {
                    Err(left) if left.kind() != io::ErrorKind::NotFound => {
                        tracing::warn!(folder = %draft.display(), error = %left, "a draft of a session stays behind");
                    }
                    _ => {}
                }
                if known { Ok(None) } else { Err(self.failed("make", error)) }
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn exists(&self) -> bool {
        self.path.is_dir()
    }

    pub(super) fn output(&self) -> PathBuf {
        self.path.join(OUTPUT)
    }

    /// The segments of the events; there is no such folder where none are kept.
    pub(super) fn events(&self) -> PathBuf {
        self.path.join(EVENTS)
    }

    pub(super) fn events_pipe(&self) -> PathBuf {
        self.path.join(EVENTS_PIPE)
    }

    pub(super) fn capability(&self) -> PathBuf {
        self.path.join(CAPABILITY)
    }

    /// The file for what the supervisor has to say.
    pub(super) fn log(&self) -> Result<File> {
        let log = OpenOptions::new().append(true).create(true).mode(0o600).open(self.path.join(LOG));
        log.map_err(|error| self.failed("open the log of", error))
    }

    /// Opens the lock's file without taking the lock.
    pub(super) fn open_lock(&self) -> Result<File> {
        let lock = OpenOptions::new().read(true).write(true).open(self.path.join(LOCK));
        lock.map_err(|error| self.failed("open the lock of", error))
    }

    pub(super) fn plan(&self) -> Result<Plan> {
        self.read(SPEC)?
            .ok_or_else(|| Error::corrupt("session_folder_damaged", format!("{} has no {SPEC}", self.path.display())))
    }

    pub(super) fn lease(&self) -> Result<Option<Lease>> {
        self.read(LEASE)
    }

    pub(super) fn exit(&self) -> Result<Option<ExitRecord>> {
        self.read(EXIT)
    }

    pub(super) fn write_lease(&self, lease: &Lease) -> Result<()> {
        self.replace(LEASE, lease, Durability::Fast)
    }

    /// Writes how it ended, to stay through a power cut.
    pub(super) fn write_exit(&self, record: &ExitRecord) -> Result<()> {
        self.replace(EXIT, record, Durability::Full)
    }

    /// Leaves the wish to stop; the shortest grace of several counts.
    pub(super) fn request_stop(&self, grace: Duration) -> Result<()> {
        let turn = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(self.path.join(TURN));
        let turn = turn.and_then(|turn| turn.lock().map(|()| turn)).map_err(|error| self.failed("stop", error))?;
        let before = self.read::<StopRequest>(STOP)?.map_or(u64::MAX, |before| before.grace_ms);
        self.replace(STOP, &StopRequest { grace_ms: millis(grace).min(before) }, Durability::Fast)?;
        drop(turn);
        Ok(())
    }

    pub(super) fn stop_requested(&self) -> Option<Duration> {
        match self.read::<StopRequest>(STOP) {
            Ok(request) => request.map(|request| Duration::from_millis(request.grace_ms)),
            Err(error) => {
                tracing::warn!(error = %error.chain(), "a stop request cannot be read, the session's own grace counts");
                None
            }
        }
    }

    /// Where the session is; one that nobody holds and that has no exit record is settled as lost here.
    pub(super) fn status(&self, session: &SessionId) -> Result<SessionStatus> {
        match self.look(session) {
            // Never there, or forgotten while we looked.
            _ if !self.exists() => Ok(SessionStatus::new(session.clone(), SessionState::Absent)),
            looked => looked,
        }
    }

    fn look(&self, session: &SessionId) -> Result<SessionStatus> {
        let record = match self.exit()? {
            Some(record) => Some(record),
            None if self.held()? => None,
            None => Some(self.settle(session)?),
        };
        let lease = self.lease()?;
        let state = match (record, &lease) {
            (Some(record), _) => SessionState::Exited(record),
            (None, Some(_)) => SessionState::Running,
            (None, None) => SessionState::Starting,
        };
        let plan = self.plan()?;
        let printed = self.printed(&plan)?;
        let mut status = SessionStatus::new(session.clone(), state);
        (status.output_bytes, status.output_dropped_bytes) = match &status.state {
            SessionState::Exited(record) => (record.output_bytes, record.output_dropped_bytes),
            _ => (printed.bytes, printed.bytes.saturating_sub(printed.kept_bytes)),
        };
        status.kept_bytes = printed.kept_bytes;
        if plan.events_bytes_max > 0 {
            let events = output::printed(&self.events(), output::segment_bytes(plan.events_bytes_max));
            status.kept_bytes += events.map_err(|error| self.failed("read", error))?.kept_bytes;
        }
        status.last_output_at = printed.last_at;
        if let Some(lease) = lease {
            status.started_at = Some(lease.started_at);
            status.lease_at = Some(lease.renewed_at);
            if status.state == SessionState::Running {
                status.pid = lease.agent.and_then(|agent| u32::try_from(agent.pid).ok());
            }
        }
        Ok(status)
    }

    /// Blocks until nobody holds the session any more.
    pub(super) fn wait_released(&self) -> Result<()> {
        self.open_lock()?.lock_shared().map_err(|error| self.failed("wait for the lock of", error))
    }

    /// Answers the exit record of a session whose lock is free, and writes it where the supervisor could not.
    ///
    /// What a dead supervisor left running is killed before: the agent's process group and session, and whatever has the
    /// name of this session's capability file in its environment.
    pub(super) fn settle(&self, session: &SessionId) -> Result<ExitRecord> {
        let lock = self.open_lock()?;
        lock.lock().map_err(|error| self.failed("take the lock of", error))?;
        if let Some(record) = self.exit()? {
            return Ok(record);
        }
        let lease = self.lease()?;
        if let Some(agent) = lease.as_ref().filter(|lease| lease.boot == tree::boot_id()).and_then(|lease| lease.agent)
        {
            let killed = tree::signal_tree(agent.pid, agent, nix::sys::signal::Signal::SIGKILL)
                + tree::kill_marked(&format!("{CAPABILITY_FILE_VAR}={}", self.capability().display()));
            tracing::warn!(%session, killed, "the supervisor is gone, what its agent left was killed");
        }
        let printed = self.printed(&self.plan()?)?;
        let ended_at = now();
        let record = ExitRecord {
            session: session.clone(),
            outcome: ExitOutcome::Lost,
            started_at: lease.map_or(ended_at, |lease| lease.started_at),
            ended_at,
            output_bytes: printed.bytes,
            output_dropped_bytes: printed.bytes.saturating_sub(printed.kept_bytes),
        };
        self.drop_capability()?;
        self.write_exit(&record)?;
        Ok(record)
    }

    /// What the folder shows of the output.
    pub(super) fn printed(&self, plan: &Plan) -> Result<output::Printed> {
        output::printed(&self.output(), plan.segment_bytes).map_err(|error| self.failed("read", error))
    }

    pub(super) fn drop_capability(&self) -> Result<()> {
        match fs::remove_file(self.capability()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(self.failed("remove the capability of", error))
            }
            _ => Ok(()),
        }
    }

    /// Removes the folder; it is out of sight at once.
    pub(super) fn remove(&self, trash: &Path) -> Result<()> {
        match fs::rename(&self.path, trash) {
            Ok(()) => {
                failpoint::pass("session.before_removal");
                remove_all(trash).map_err(|error| self.failed("remove", error))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(self.failed("remove", error)),
        }
    }

    /// Whether someone holds the session.
    pub(super) fn held(&self) -> Result<bool> {
        // Shared, so that two who look do not take each other for the holder.
        match self.open_lock()?.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(self.failed("look at the lock of", error)),
        }
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let path = self.path.join(name);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.failed("read", error)),
        };
        serde_json::from_slice(&text).map(Some).map_err(|error| {
            Error::corrupt("session_folder_damaged", format!("{} is damaged", path.display())).because(error)
        })
    }

    fn replace(&self, name: &str, value: &impl Serialize, durability: Durability) -> Result<()> {
        let draft = self.path.join(format!(".{name}.{:016x}", random::number()?));
        let write = || -> io::Result<()> {
            write_private(&draft, &serde_json::to_vec(value)?)?;
            if matches!(durability, Durability::Full) {
                File::open(&draft)?.sync_all()?;
            }
            fs::rename(&draft, self.path.join(name))?;
            if matches!(durability, Durability::Full) {
                File::open(&self.path)?.sync_all()?;
            }
            Ok(())
        };
        write().map_err(|error| self.failed("write", error))
    }

    fn failed(&self, verb: &str, error: io::Error) -> Error {
        let message = format!("cannot {verb} the session folder {}", self.path.display());
        Error::unavailable("session_folder_failed", message).with("path", self.path.display()).because(error)
    }
}

#[derive(Clone, Copy)]
enum Durability {
    Fast,
    Full,
}

/// Removes a folder with everything in it; fine where somebody else does so at the same time.
pub(super) fn remove_all(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

pub(super) fn make_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)
}

fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?.write_all(bytes)
}
