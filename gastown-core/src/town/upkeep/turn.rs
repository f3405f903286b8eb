//! The right to change the file of issues in a folder: one sync after the other has it.

use std::fs::File;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use super::blocking;
use crate::model::{Error, Result};
use crate::town::paths;

/// How long a sync waits for the others before it.
const WAIT: Duration = Duration::from_secs(60);

/// The lock of a folder, which leaves no file there. It ends with this, or with its process.
///
/// Between reading a file and replacing it nobody else of us may write it: their lines would be overwritten, and be taken by
/// them for lines that somebody took out. None where the system locks no folders.
#[derive(Debug)]
pub(super) struct Turn(#[allow(dead_code, reason = "it is held and not looked at")] Option<File>);

impl Turn {
    /// Waits until nobody else has the folder that this file is in.
    ///
    /// # Errors
    /// `sync_contended` where that takes longer than a minute.
    pub(super) async fn of(path: &Path) -> Result<Self> {
        let path = path.to_owned();
        blocking(move || {
            let folder = path.parent().unwrap_or(&path).to_owned();
            // The lock itself cannot be waited for with an end; whoever gets it too late lets it go.
            let (held, hears) = mpsc::sync_channel(1);
            let wait = move || drop(held.send(lock(&folder)));
            std::thread::Builder::new().name("gastown-turn".to_owned()).spawn(wait).map_err(|source| {
                Error::unavailable("thread_refused", "a thread that waits for a folder could not be started")
                    .because(source)
            })?;
            hears.recv_timeout(WAIT).map_or_else(|_| Err(contended(&path)), |held| held.map(Self))
        })
        .await
    }
}

fn contended(path: &Path) -> Error {
    let (shown, wait_ms) = (path.display(), WAIT.as_millis());
    let said = format!("somebody else has been syncing {shown} for more than {} s", WAIT.as_secs());
    Error::unavailable("sync_contended", said).with("path", shown).with("wait_ms", wait_ms)
}

#[cfg(unix)]
fn lock(folder: &Path) -> Result<Option<File>> {
    let refused = |source| paths::unreadable(folder, source);
    let held = File::open(folder).map_err(refused)?;
    match held.lock() {
        Ok(()) => Ok(Some(held)),
        Err(error) if has_no_locks(&error) => Ok(None),
        Err(error) => Err(refused(error)),
    }
}

/// Whether a file system locks nothing, or no folders.
#[cfg(unix)]
fn has_no_locks(error: &std::io::Error) -> bool {
    // File systems of other machines lock only what can be written, and a folder cannot.
    const BAD_DESCRIPTOR: i32 = 9;
    error.kind() == std::io::ErrorKind::Unsupported || error.raw_os_error() == Some(BAD_DESCRIPTOR)
}

#[cfg(not(unix))]
fn lock(_: &Path) -> Result<Option<File>> {
    Ok(None)
}
