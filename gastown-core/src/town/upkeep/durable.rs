//! Files and folders that are whole and durable once they have their name.

use std::fs::File;
use std::io::{self, BufWriter, Read as _, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::failpoint;
use crate::model::event::hex;
use crate::model::{Error, Result};
pub(super) use crate::store::draft::{DRAFT, Draft, make_folder};
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
pub(super) fn write_file<T>(path: &Path, write: impl FnOnce(&mut Out<'_>) -> Result<T>) -> Result<T> {
    put_file(path, write, |draft| name(draft, path))
}

/// Refuses to write where something is that is no file: a link, a folder, a device, a pipe.
fn refuse_irregular(path: &Path) -> Result<()> {
    match path.symlink_metadata() {
        Ok(found) if !found.is_file() => Err(paths::irregular(path)),
        _ => Ok(()),
    }
}

/// Writes a file that takes the place of one that may be there, once it is whole and on disk.
///
/// # Errors
/// `not_a_file` where something else is there; no link is followed.
pub(super) fn replace_file<T>(path: &Path, write: impl FnOnce(&mut Out<'_>) -> Result<T>) -> Result<T> {
    refuse_irregular(path)?;
    put_file(path, write, |draft| {
        refuse_irregular(path)?;
        std::fs::rename(draft.path(), path).map_err(|source| unwritable(path, source))?;
        path.parent().map_or(Ok(()), sync)
    })
}

/// Writes a file that takes the place of one that is there, or of none, if `is_still` says so at the last moment; answers
/// whether it did. Whoever could read and write the file before can do so after.
pub(super) fn replace_if(path: &Path, bytes: &[u8], is_still: impl FnOnce() -> Result<bool>) -> Result<bool> {
    let refused = |source| unwritable(path, source);
    refuse_irregular(path)?;
    let draft = Draft::file(path).map_err(refused)?;
    let Some(mut file) = draft.held() else {
        return Err(Error::internal("draft_closed", "a file to write is not open").with("path", path.display()));
    };
    file.write_all(bytes).map_err(refused)?;
    let before = path.metadata();
    let is_new = before.as_ref().is_err_and(|source| source.kind() == io::ErrorKind::NotFound);
    if is_new {
        #[cfg(unix)]
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644)).map_err(refused)?;
    } else {
        file.set_permissions(before.map_err(refused)?.permissions()).map_err(refused)?;
    }
    file.sync_all().map_err(refused)?;
    failpoint::pass("sync.before_rename");
    if !is_still()? {
        return Ok(false);
    }
    if is_new {
        return match draft.name(path) {
            Err(source) if source.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            named => named.map(|()| true).map_err(refused),
        };
    }
    std::fs::rename(draft.path(), path).map_err(refused)?;
    path.parent().map_or(Ok(()), sync)?;
    Ok(true)
}

/// What a file is written into, by this thread or another.
pub(super) type Out<'f> = dyn Write + Send + 'f;

fn put_file<T>(
    path: &Path,
    write: impl FnOnce(&mut Out<'_>) -> Result<T>,
    name: impl FnOnce(Draft) -> Result<()>,
) -> Result<T> {
    let draft = Draft::file(path).map_err(|source| unwritable(path, source))?;
    let Some(file) = draft.held() else {
        return Err(Error::internal("draft_closed", "a file to write is not open").with("path", path.display()));
    };
    let mut out = BufWriter::with_capacity(1 << 18, file);
    let value = write(&mut out).map_err(|error| error.with("path", path.display()))?;
    let file = out.into_inner().map_err(|error| unwritable(path, error.into_error()))?;
    file.sync_all().map_err(|source| unwritable(path, source))?;
    name(draft)?;
    Ok(value)
}

/// A folder that gets its name once it is whole.
pub(super) fn draft_folder(path: &Path) -> Result<Draft> {
    Draft::folder(path).map_err(|source| unwritable(path, source))
}

/// Gives a draft its name, durably; nothing may have that name.
pub(super) fn name(draft: Draft, path: &Path) -> Result<()> {
    draft.name(path).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => taken(path),
        _ => unwritable(path, source),
    })
}

/// Copies a file as it is now, durably, to a path where nothing is; it is the owner's to read and write.
pub(super) fn copy_file(from: &Path, to: &Path) -> Result<()> {
    let mut source = open_file(from)?;
    write_file(to, |out| io::copy(&mut source, out).map(drop).map_err(|source| unwritable(to, source)))
}

/// Opens a file to be read; a link is followed.
///
/// # Errors
/// `not_a_file` for a pipe, a device or a folder, which nothing is read from.
pub(super) fn open_regular(path: &Path) -> Result<File> {
    let unreadable = |source| paths::unreadable(path, source);
    if !path.metadata().map_err(unreadable)?.is_file() {
        return Err(paths::irregular(path));
    }
    File::open(path).map_err(unreadable)
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

/// The error of a path that is in use.
pub(super) fn taken(path: &Path) -> Error {
    Error::conflict("path_taken", format!("{} is there already", path.display())).with("path", path.display())
}
