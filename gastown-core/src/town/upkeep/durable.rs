//! Files and folders that are whole and durable once they have their name.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read as _, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::model::event::hex;
use crate::model::{Error, Result};

/// The path while it is not whole yet.
pub(super) fn draft_of(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    path.with_file_name(name)
}

/// An absolute path where nothing is yet; its folder is there.
pub(super) fn new_path(path: &Path) -> Result<PathBuf> {
    let path = std::path::absolute(path).map_err(|source| {
        Error::invalid("path_malformed", "the path is empty").with("path", path.display()).because(source)
    })?;
    if path.symlink_metadata().is_ok() {
        return Err(
            Error::conflict("path_taken", format!("{} is there already", path.display())).with("path", path.display())
        );
    }
    if path.file_name().is_none() || !path.parent().is_some_and(Path::is_dir) {
        return Err(Error::not_found("folder_missing", format!("the folder of {} is not there", path.display()))
            .with("path", path.display()));
    }
    Ok(path)
}

/// Writes a file that gets its name once it is whole and on disk.
pub(super) fn write_file<T>(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<T>) -> Result<T> {
    let draft = Draft(draft_of(path));
    let file = OpenOptions::new().write(true).create(true).truncate(true).open(&draft.0);
    let mut out = BufWriter::with_capacity(1 << 18, file.map_err(|source| unwritable(path, source))?);
    let value = write(&mut out).map_err(|error| error.with("path", path.display()))?;
    let file = out.into_inner().map_err(|error| unwritable(path, error.into_error()))?;
    file.sync_all().map_err(|source| unwritable(path, source))?;
    name(&draft.0, path)?;
    Ok(value)
}

/// Gives a file or folder its name, durably.
pub(super) fn name(draft: &Path, path: &Path) -> Result<()> {
    fs::rename(draft, path).map_err(|source| unwritable(path, source))?;
    path.parent().map_or(Ok(()), sync)
}

/// Copies a file as it is now and syncs it; the copy's length and SHA-256.
pub(super) fn copy_file(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).map_err(|source| unwritable(to, source))?;
    sync(to)
}

/// Has a file or folder on disk.
pub(super) fn sync(path: &Path) -> Result<()> {
    File::open(path).and_then(|file| file.sync_all()).map_err(|source| unwritable(path, source))
}

/// A file's length and SHA-256.
pub(super) fn sum(path: &Path) -> Result<(u64, String)> {
    let unreadable = |source: io::Error| {
        Error::unavailable("file_unreadable", format!("{} cannot be read", path.display()))
            .with("path", path.display())
            .because(source)
    };
    let mut file = File::open(path).map_err(unreadable)?;
    let (mut hasher, mut bytes, mut buffer) = (Sha256::new(), 0, vec![0; 1 << 18]);
    loop {
        match file.read(&mut buffer).map_err(unreadable)? {
            0 => return Ok((bytes, hex(&hasher.finalize()))),
            read => {
                hasher.update(&buffer[..read]);
                bytes += read as u64;
            }
        }
    }
}

/// Why a path cannot be written.
pub(super) fn unwritable(path: &Path, source: io::Error) -> Error {
    let error = match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Error::exhausted("disk_full", format!("the disk of {} is full", path.display()))
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            Error::forbidden("path_read_only", format!("{} cannot be written here", path.display()))
        }
        _ => Error::unavailable("path_unwritable", format!("{} cannot be written", path.display())),
    };
    error.with("path", path.display()).because(source)
}

/// A file or folder that goes away unless it got its name.
pub(super) struct Draft(pub(super) PathBuf);

impl Draft {
    /// Removes what is there, also what a killed process left.
    pub(super) fn remove(&self) {
        let removed = if self.0.is_dir() { fs::remove_dir_all(&self.0) } else { fs::remove_file(&self.0) };
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(path = %self.0.display(), %error, "an unfinished copy stays behind");
            }
            _ => {}
        }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        self.remove();
    }
}
