//! The folder of a run: its lock, its plan, and the scripts it runs.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use gastown_core::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::arguments::Arguments;

const PLAN: &str = "demo.json";
const LOCK: &str = "demo.lock";
/// How long a run waits for the lock of its folder.
const LOCK_WAIT: Duration = Duration::from_secs(3);
const WORKER: &str = include_str!("worker.sh");
const GATE: &str = include_str!("gate.sh");

/// What was asked for when the run began; it is written before anything else and never changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// The repository, as an absolute path or an address.
    pub(crate) repo: String,
    /// Whether it is this project's own clone, of which the current commit counts.
    pub(crate) own: bool,
    /// Where the work lands.
    pub(crate) branch: String,
    pub(crate) tasks: usize,
    pub(crate) agents: usize,
    /// The agents' program; none for the bundled script.
    pub(crate) command: Option<Vec<String>>,
    /// The town's name in a database that others share; none where it has a file of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) town: Option<String>,
    /// The longest run of an agent.
    pub(crate) session_timeout_ms: u64,
}

/// The folder of a run, held by this process.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) dir: PathBuf,
    pub(crate) plan: Plan,
    /// Whether an earlier process had begun here.
    pub(crate) resumed: bool,
    /// Whether the folder is ours to remove.
    pub(crate) temporary: bool,
    _lock: File,
}

impl Place {
    /// Takes the folder that the arguments name, or a new one, and settles what is to be done there.
    pub(crate) fn take(arguments: &Arguments) -> Result<Self> {
        let (dir, temporary) = match arguments.resume.as_ref().or(arguments.dir.as_ref()) {
            Some(dir) => (std::path::absolute(dir).map_err(io_fault(dir))?, false),
            None => (temporary_dir()?, true),
        };
        fs::create_dir_all(&dir).map_err(io_fault(&dir))?;
        if arguments.resume.is_none() {
            require_empty(&dir)?;
        }
        let lock = lock(&dir)?;
        let file = dir.join(PLAN);
        let (plan, resumed) = match fs::read(&file) {
            Ok(text) => (read_plan(&file, &text)?, true),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let plan = Plan::of(arguments)?;
                let text = serde_json::to_vec_pretty(&plan).expect("a plan is JSON");
                write_whole(&file, &text)?;
                (plan, false)
            }
            Err(error) => return Err(io_fault(&file)(error)),
        };
        let place = Self { dir, plan, resumed, temporary, _lock: lock };
        write_whole(&place.worker(), WORKER.as_bytes())?;
        write_whole(&place.gate(), GATE.as_bytes())?;
        Ok(place)
    }

    /// Removes the folder with all that is in it; killed in between it leaves nothing that looks like a run.
    pub(crate) fn remove(&self) -> Result<()> {
        let gone = self.dir.with_extension("gone");
        fs::rename(&self.dir, &gone).map_err(io_fault(&self.dir))?;
        fs::remove_dir_all(&gone).map_err(io_fault(&gone))
    }

    fn worker(&self) -> PathBuf {
        self.dir.join("worker.sh")
    }

    fn gate(&self) -> PathBuf {
        self.dir.join("gate.sh")
    }

    /// The agents' program with its arguments.
    pub(crate) fn agent_command(&self) -> Vec<String> {
        self.plan.command.clone().unwrap_or_else(|| script(&self.worker()))
    }

    /// The refinery's program with its arguments.
    pub(crate) fn gate_command(&self) -> Vec<String> {
        script(&self.gate())
    }
}

impl Plan {
    fn of(arguments: &Arguments) -> Result<Self> {
        let repo = match &arguments.repo {
            None => {
                let here = Path::new(env!("CARGO_MANIFEST_DIR"));
                here.parent().unwrap_or(here).to_string_lossy().into_owned()
            }
            // What looks like an address is one; all else is a folder.
            Some(repo) if repo.contains("://") || (repo.contains('@') && !Path::new(repo).exists()) => repo.clone(),
            Some(repo) => std::path::absolute(repo).map_err(io_fault(Path::new(repo)))?.to_string_lossy().into_owned(),
        };
        Ok(Self {
            repo,
            own: arguments.repo.is_none(),
            branch: arguments.branch.clone().unwrap_or_else(|| "main".to_owned()),
            tasks: arguments.tasks(),
            agents: arguments.agents.unwrap_or(4) as usize,
            command: arguments.agent_command.clone().map(|words| words.0),
            town: arguments.store.is_some().then(unique_name),
            session_timeout_ms: arguments.seconds(arguments.tasks()) * 1_000,
        })
    }
}

/// A name that no other run has: when it began, and in which process.
fn unique_name() -> String {
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    format!("demo-{}-{}", now.as_micros(), std::process::id())
}

fn script(path: &Path) -> Vec<String> {
    vec!["sh".to_owned(), path.to_string_lossy().into_owned()]
}

fn temporary_dir() -> Result<PathBuf> {
    let dir = tempfile::Builder::new().prefix("gastown-town-").tempdir();
    let dir = dir.map_err(|source| Error::unavailable("folder_unusable", "no temporary folder").because(source))?;
    Ok(dir.keep())
}

fn require_empty(dir: &Path) -> Result<()> {
    if dir.join(PLAN).exists() {
        let sentence = format!("{} holds a run already; go on with it by --resume", dir.display());
        return Err(Error::conflict("run_exists", sentence).with("path", dir.display()));
    }
    if fs::read_dir(dir).map_err(io_fault(dir))?.next().is_some() {
        let sentence = format!("{} is not empty", dir.display());
        return Err(Error::conflict("folder_not_empty", sentence).with("path", dir.display()));
    }
    Ok(())
}

/// Held until this process ends, however it ends.
///
/// A process that is killed while it starts another leaves its lock to that one until it is the other program, so a lock
/// that somebody has is waited for.
fn lock(dir: &Path) -> Result<File> {
    let path = dir.join(LOCK);
    let file = File::options().create(true).append(true).open(&path).map_err(io_fault(&path))?;
    match file.try_lock() {
        Ok(()) => return Ok(file),
        Err(fs::TryLockError::WouldBlock) => eprintln!("        another process works in {}; waiting", dir.display()),
        Err(fs::TryLockError::Error(source)) => return Err(io_fault(&path)(source)),
    }
    let (taken, answer) = mpsc::sync_channel(1);
    let waiting = move || {
        let locked = file.lock().map(|()| file);
        // Nobody listens where the time was over; the lock then ends with this process.
        let _ = taken.send(locked);
    };
    std::thread::spawn(waiting);
    answer.recv_timeout(LOCK_WAIT).map_or_else(
        |_| {
            let sentence = format!("another process works in {}", dir.display());
            Err(Error::conflict("run_in_progress", sentence).with("path", dir.display()))
        },
        |locked| locked.map_err(io_fault(&path)),
    )
}

fn read_plan(file: &Path, text: &[u8]) -> Result<Plan> {
    serde_json::from_slice(text).map_err(|source| {
        Error::corrupt("plan_unreadable", format!("{} is not a plan of this program", file.display()))
            .with("path", file.display())
            .because(source)
    })
}

/// Writes a file so that a reader sees all of it or nothing.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    fs::write(&part, bytes).map_err(io_fault(&part))?;
    fs::rename(&part, path).map_err(io_fault(path))
}

pub(crate) fn io_fault(path: &Path) -> impl FnOnce(std::io::Error) -> Error + '_ {
    move |source| {
        Error::unavailable("folder_unusable", format!("{} cannot be used", path.display()))
            .with("path", path.display())
            .because(source)
    }
}
