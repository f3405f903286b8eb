//! Locks on a mirror's refs that a killed process left behind.
//!
//! libgit2 and git lock a ref with a file beside it. A process that is killed in between leaves that file, and nobody
//! could set the ref ever again. So whoever sets refs through libgit2 shares a lock that the kernel gives back when they
//! die, and whoever has that lock alone knows that every file left belongs to nobody.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};

use super::library::io_fault;
use super::locked::flock;
use crate::model::Result;

/// From this age on a lock of an agent's push is a dead one's: a living one has it for the time of one rename.
const PUSH: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(50);

/// Held while libgit2 may set refs of the mirror.
pub(super) fn share(mirror: &Path) -> Result<Flock<File>> {
    lock(mirror, FlockArg::LockShared)
}

/// Removes the locks that dead processes left; the caller holds the lock that fetches take.
pub(super) fn sweep(mirror: &Path) -> Result<()> {
    let _alone = lock(mirror, FlockArg::LockExclusive)?;
    remove(&mirror.join("packed-refs.lock"))?;
    let pushed = mirror.join("refs/heads/gt/work");
    let mut folders = vec![mirror.join("refs")];
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            other => other.map_err(io_fault(&folder))?,
        };
        for entry in entries {
            let path = entry.map_err(io_fault(&folder))?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "lock") {
                if path.starts_with(&pushed) {
                    wait_for_push(&path);
                }
                remove(&path)?;
            }
        }
    }
    Ok(())
}

/// Waits until a lock that a living agent's push may hold is gone or too old for that.
fn wait_for_push(path: &Path) {
    let is_young = || {
        let changed = fs::metadata(path).and_then(|data| data.modified()).ok();
        changed.and_then(|at| at.elapsed().ok()).is_some_and(|age| age < PUSH)
    };
    while is_young() {
        #[allow(
            clippy::disallowed_methods,
            reason = "git tells nobody when it gives a lock back; this ends after a second"
        )]
        std::thread::sleep(PAUSE);
    }
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Ok(()) => {
            tracing::warn!(path = %path.display(), "removed a ref's lock that a killed process left");
            Ok(())
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(io_fault(path)(error)),
    }
}

fn lock(mirror: &Path, how: FlockArg) -> Result<Flock<File>> {
    let mut name = mirror.as_os_str().to_owned();
    name.push(".refs.lock");
    let path = PathBuf::from(name);
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(io_fault(&path))?;
    flock(file, &path, how)
}
