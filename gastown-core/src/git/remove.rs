//! Removes folders that others wrote into.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::library::io_fault;
use crate::model::Result;

/// Removes whatever is at the path, never what a link points at. Nothing there is success.
pub(super) fn remove_tree(path: &Path) -> Result<()> {
    let kind = match fs::symlink_metadata(path) {
        Ok(found) => found.file_type(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io_fault(path)(error)),
    };
    if !kind.is_dir() {
        return settle(fs::remove_file(path), path);
    }
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            open_up(path)?;
            settle(fs::remove_dir_all(path), path)
        }
        other => settle(other, path),
    }
}

fn settle(result: std::io::Result<()>, path: &Path) -> Result<()> {
    match result {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(io_fault(path)(error)),
        _ => Ok(()),
    }
}

/// Gives the owner every right on the folder and the folders in it, from the top downwards.
fn open_up(folder: &Path) -> Result<()> {
    let mut waiting = vec![folder.to_owned()];
    while let Some(folder) = waiting.pop() {
        let found = fs::symlink_metadata(&folder).map_err(io_fault(&folder))?;
        let mode = found.permissions().mode();
        if mode & 0o700 != 0o700 {
            fs::set_permissions(&folder, fs::Permissions::from_mode(mode | 0o700)).map_err(io_fault(&folder))?;
        }
        for entry in fs::read_dir(&folder).map_err(io_fault(&folder))? {
            let entry = entry.map_err(io_fault(&folder))?;
            if entry.file_type().map_err(io_fault(&folder))?.is_dir() {
                waiting.push(entry.path());
            }
        }
    }
    Ok(())
}
