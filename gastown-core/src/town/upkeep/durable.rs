//! Files and folders that are whole and durable once they have their name.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read as _, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::model::event::hex;
use crate::model::{Error, Result};
use crate::town::paths;
pub(super) use crate::town::paths::unwritable;

/// An absolute path where nothing is yet; its folder is there.
pub(super) fn new_path(path: &Path) -> Result<PathBuf> {
    let path = paths::absolute(path)?;
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

/// Writes a file that gets its name once it is whole and on disk; nothing may have that name.
pub(super) fn write_file<T>(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<T>) -> Result<T> {
    let draft = Draft::beside(path)?;
    let mut out = BufWriter::with_capacity(1 << 18, draft.create_file(path)?);
    let value = write(&mut out).map_err(|error| error.with("path", path.display()))?;
    let file = out.into_inner().map_err(|error| unwritable(path, error.into_error()))?;
    file.sync_all().map_err(|source| unwritable(path, source))?;
    draft.name(path)?;
    Ok(value)
}

/// Writes a file that takes the place of one that may be there, once it is whole and on disk.
pub(super) fn replace_file<T>(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<T>) -> Result<T> {
    let draft = Draft::beside(path)?;
    let mut out = BufWriter::with_capacity(1 << 18, draft.create_file(path)?);
    let value = write(&mut out).map_err(|error| error.with("path", path.display()))?;
    let file = out.into_inner().map_err(|error| unwritable(path, error.into_error()))?;
    file.sync_all().map_err(|source| unwritable(path, source))?;
    fs::rename(draft.path(), path).map_err(|source| unwritable(path, source))?;
    path.parent().map_or(Ok(()), sync)?;
    Ok(value)
}

/// Copies a file as it is now, durably, to a path where nothing is; it is the owner's to read and write.
pub(super) fn copy_file(from: &Path, to: &Path) -> Result<()> {
    let mut source = open_file(from)?;
    write_file(to, |out| io::copy(&mut source, out).map(drop).map_err(|source| unwritable(to, source)))
}

/// Opens what must be a regular file.
fn open_file(path: &Path) -> Result<File> {
    let unreadable = |source| paths::unreadable(path, source);
    if !path.symlink_metadata().map_err(unreadable)?.is_file() {
        return Err(unreadable(io::Error::other("it is not a regular file")));
    }
    File::open(path).map_err(unreadable)
}

/// Has a file or folder on disk.
pub(super) fn sync(path: &Path) -> Result<()> {
    File::open(path).and_then(|file| file.sync_all()).map_err(|source| unwritable(path, source))
}

/// A file's length and SHA-256.
pub(super) fn sum(path: &Path) -> Result<(u64, String)> {
    let mut file = open_file(path)?;
    let (mut hasher, mut bytes, mut buffer) = (Sha256::new(), 0, vec![0; 1 << 18]);
    loop {
        let read = file.read(&mut buffer).map_err(|source| paths::unreadable(path, source))?;
        if read == 0 {
            return Ok((bytes, hex(&hasher.finalize())));
        }
        hasher.update(&buffer[..read]);
        bytes += read as u64;
    }
}

/// What the names of drafts end with; they begin with a point.
pub(super) const DRAFT: &str = ".draft";

/// A file or folder that goes away unless it got its name.
///
/// It lies beside its place under a hidden name that nobody else has, so nobody else's file is ever touched. A killed
/// process leaves it behind.
pub(super) struct Draft(PathBuf);

impl Draft {
    /// A name beside `path`.
    pub(super) fn beside(path: &Path) -> Result<Self> {
        let random = getrandom::u64().map_err(|source| {
            Error::unavailable("no_randomness", "the system gives no random numbers").because(source)
        })?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        Ok(Self(path.with_file_name(format!(".{name}.{random:016x}{DRAFT}"))))
    }

    /// Where it lies.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    fn create_file(&self, path: &Path) -> Result<File> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(&self.0).map_err(|source| unwritable(path, source))
    }

    /// Makes a folder of it.
    pub(super) fn create_folder(&self, path: &Path) -> Result<()> {
        make_folder(&self.0).map_err(|source| unwritable(path, source))
    }

    /// Gives it its name, durably; nothing may have that name.
    pub(super) fn name(self, path: &Path) -> Result<()> {
        rename(&self.0, path).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => taken(path),
            _ => unwritable(path, source),
        })?;
        path.parent().map_or(Ok(()), sync)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        let removed = if self.0.is_dir() { fs::remove_dir_all(&self.0) } else { fs::remove_file(&self.0) };
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(path = %self.0.display(), %error, "an unfinished copy stays behind");
            }
            _ => {}
        }
    }
}

/// Makes a folder that is its owner's alone.
pub(super) fn make_folder(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// The error of a path that is in use.
pub(super) fn taken(path: &Path) -> Error {
    Error::conflict("path_taken", format!("{} is there already", path.display())).with("path", path.display())
}

/// Renames without replacing anything.
#[cfg(all(target_os = "linux", target_env = "gnu", any(feature = "sqlite", feature = "process", feature = "git")))]
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    use nix::errno::Errno;
    use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
    match renameat2(AT_FDCWD, from, AT_FDCWD, to, RenameFlags::RENAME_NOREPLACE) {
        // A file system that knows no such thing.
        Err(Errno::EINVAL | Errno::ENOSYS) => rename_unless_there(from, to),
        renamed => renamed.map_err(io::Error::from),
    }
}

#[cfg(not(all(
    target_os = "linux",
    target_env = "gnu",
    any(feature = "sqlite", feature = "process", feature = "git")
)))]
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    rename_unless_there(from, to)
}

fn rename_unless_there(from: &Path, to: &Path) -> io::Result<()> {
    if to.symlink_metadata().is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    fs::rename(from, to)
}
