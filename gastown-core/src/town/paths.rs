//! What a path that cannot be used is answered with.

use std::io::{Error as IoError, ErrorKind};
use std::path::{Path, PathBuf};

use crate::model::{Error, Result};

/// A path from the root; one that can name nothing is refused.
pub(super) fn absolute(path: &Path) -> Result<PathBuf> {
    if path.as_os_str().as_encoded_bytes().contains(&0) {
        return Err(malformed(path, "the path holds a NUL".to_owned()));
    }
    std::path::absolute(path).map_err(|source| match source.kind() {
        ErrorKind::InvalidInput => malformed(path, "the path is empty".to_owned()).because(source),
        _ => Error::unavailable("path_unreadable", "the working folder is not there")
            .with("path", path.display())
            .because(source),
    })
}

/// Why a path cannot be written.
pub(super) fn unwritable(path: &Path, source: IoError) -> Error {
    let shown = path.display();
    let error = match source.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            Error::exhausted("disk_full", format!("the disk of {shown} is full"))
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            Error::forbidden("path_read_only", format!("{shown} cannot be written here"))
        }
        ErrorKind::InvalidFilename => return malformed(path, format!("{shown} is too long")).because(source),
        _ => Error::unavailable("path_unwritable", format!("{shown} cannot be written")),
    };
    error.with("path", shown).because(source)
}

/// Why a path that is there cannot be read.
pub(super) fn unreadable(path: &Path, source: IoError) -> Error {
    let error = match source.kind() {
        ErrorKind::PermissionDenied => {
            Error::forbidden("path_unreadable", format!("{} may not be read", path.display()))
        }
        _ => Error::unavailable("file_unreadable", format!("{} cannot be read", path.display())),
    };
    error.with("path", path.display()).because(source)
}

/// What is answered where something else than a file is.
pub(super) fn irregular(path: &Path) -> Error {
    let shown = path.display();
    Error::invalid("not_a_file", format!("{shown} is no regular file")).with("path", shown)
}

/// Makes a folder where there is none.
pub(super) fn make_folder(path: &Path) -> Result<()> {
    let path = absolute(path)?;
    std::fs::create_dir_all(&path).map_err(|source| {
        let shown = path.display();
        let error = match source.kind() {
            ErrorKind::AlreadyExists => Error::conflict("path_taken", format!("{shown} is there and is no folder")),
            ErrorKind::NotADirectory => Error::not_found("folder_missing", format!("{shown} is below a file")),
            _ => return unwritable(&path, source),
        };
        error.with("path", shown).because(source)
    })
}

/// What a town's folder holds that the town lives by: these files, what is in these folders, and the database's own.
const OF_TOWN: &[&str] = &["keys.json", "keys.lock", "archive", "gates", "mirrors", "sessions", "work"];
const DATABASE: &str = "town.db";

/// Refuses to replace a file that the town lives by.
pub(super) fn refuse_own(path: &Path, town: &Path) -> Result<()> {
    // A folder that is not there holds no file to replace, and is refused where it is written to.
    let folder = path.parent().and_then(|folder| folder.canonicalize().ok());
    let (Some(folder), Ok(town), Some(name)) = (folder, town.canonicalize(), path.file_name()) else { return Ok(()) };
    let whole = folder.join(name);
    let first = whole.strip_prefix(&town).ok().and_then(|inside| inside.components().next());
    let is_own = first.is_some_and(|first| {
        let first = first.as_os_str().to_string_lossy();
        first.starts_with(DATABASE) || OF_TOWN.contains(&first.as_ref())
    });
    if !is_own {
        return Ok(());
    }
    let said = format!("{} is a file that the town lives by", path.display());
    Err(Error::forbidden("path_of_town", said).with("path", path.display()))
}

fn malformed(path: &Path, sentence: String) -> Error {
    Error::invalid("path_malformed", sentence).with("path", path.display())
}
