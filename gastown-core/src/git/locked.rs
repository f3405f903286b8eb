//! Temporary folders whose maker is known to live, and locks between processes.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::library::io_fault;
use super::remove::remove_tree;
use crate::model::{Error, Result};

static COUNTER: AtomicU64 = AtomicU64::new(0);
/// How often a folder is made anew because a sweeper was quicker than its lock.
const ATTEMPTS_MAX: u32 = 100;

/// Holds the lock file, waiting for whoever has it; all of its holders have deadlines.
pub(super) fn lock_file(path: &Path) -> Result<Flock<File>> {
    let file = File::options().create(true).truncate(false).write(true).open(path).map_err(io_fault(path))?;
    flock(file, path, FlockArg::LockExclusive)
}

pub(super) fn flock(mut file: File, path: &Path, how: FlockArg) -> Result<Flock<File>> {
    loop {
        file = match Flock::lock(file, how) {
            Ok(lock) => return Ok(lock),
            Err((file, Errno::EINTR)) => file,
            Err((_, error)) => return Err(io_fault(path)(error.into())),
        };
    }
}

/// A folder under construction. Its maker holds a lock on it, so that what a killed process left is told from what a
/// living one is making; dropped, it is removed.
pub(super) struct LockedDir {
    path: PathBuf,
    kept: bool,
    _lock: Flock<File>,
}

impl LockedDir {
    /// Makes `<parent>/<prefix><unique>`, first removing what dead makers left under that prefix.
    pub(super) fn create(parent: &Path, prefix: &str) -> Result<Self> {
        sweep(parent, prefix)?;
        for _ in 0..ATTEMPTS_MAX {
            let number = COUNTER.fetch_add(1, Ordering::Relaxed);
            let path = parent.join(format!("{prefix}{}-{number}", std::process::id()));
            match fs::create_dir(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(io_fault(&path)(error)),
            }
            let file = match File::open(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(io_fault(&path)(error)),
            };
            let lock = flock(file, &path, FlockArg::LockExclusive)?;
            if is_at(&lock, &path) {
                return Ok(Self { path, kept: false, _lock: lock });
            }
        }
        Err(Error::unavailable("io_failed", format!("no temporary folder can be made in {}", parent.display())))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the finished folder its lasting name; false when something is there already.
    pub(super) fn rename_to(mut self, target: &Path) -> Result<bool> {
        match fs::rename(&self.path, target) {
            Ok(()) => {
                self.kept = true;
                Ok(true)
            }
            Err(error) if matches!(error.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists) => Ok(false),
            Err(error) => Err(io_fault(target)(error)),
        }
    }
}

impl Drop for LockedDir {
    fn drop(&mut self) {
        if !self.kept
            && let Err(error) = remove_tree(&self.path)
        {
            tracing::warn!(%error, "a temporary folder stays until the next sweep");
        }
    }
}

fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(held), Ok(named)) => (held.dev(), held.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}

/// Removes the folders under that prefix whose makers are gone.
fn sweep(parent: &Path, prefix: &str) -> Result<()> {
    for entry in fs::read_dir(parent).map_err(io_fault(parent))? {
        let entry = entry.map_err(io_fault(parent))?;
        let ours = entry.file_name().to_str().is_some_and(|name| is_temporary(name, prefix));
        if !ours || !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let Ok(file) = File::open(entry.path()) else { continue };
        if let Ok(_lock) = Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            remove_tree(&entry.path())?;
        }
    }
    Ok(())
}

fn is_temporary(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix).and_then(|tail| tail.split_once('-')).is_some_and(|(process, number)| {
        [process, number].iter().all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
    })
}
