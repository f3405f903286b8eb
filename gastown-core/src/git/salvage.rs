//! Reads a repository that an agent could write: files only, through no link, and never its configuration.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

use super::library::io_fault;
use super::name::BranchName;
use crate::model::{Error, Oid, Result};

/// The longest list of packed refs that is read.
const PACKED_REFS_BYTES_MAX: u64 = 64 << 20;

/// How much may be taken over.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    pub(super) objects_max: u64,
    pub(super) bytes_max: u64,
}

/// The git folder of a workspace, opened without following a link.
pub(super) struct Salvage {
    path: PathBuf,
    git: OwnedFd,
}

impl Salvage {
    /// Opens it; `None` when the workspace is not there, `workspace_tampered` when it is no plain repository.
    pub(super) fn open(workspace: &Path) -> Result<Option<Self>> {
        let path = workspace.join(".git");
        let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let folder = match nix::fcntl::open(workspace, flags, Mode::empty()) {
            Ok(folder) => folder,
            Err(Errno::ENOENT) => return Ok(None),
            Err(error) => return Err(refused(workspace, error)),
        };
        match open_at(&folder, ".git", flags) {
            Ok(Some(git)) => Ok(Some(Self { path, git })),
            Ok(None) => Ok(None),
            Err(error) => Err(refused(&path, error)),
        }
    }

    /// Where the workspace has the branch.
    pub(super) fn branch(&self, branch: &BranchName) -> Result<Option<Oid>> {
        let full = branch.full();
        if let Some(text) = self.read(&full, 1_024)? {
            let text = String::from_utf8_lossy(&text);
            return Oid::new(text.trim()).map(Some).map_err(|error| self.tampered(&full).because(error));
        }
        let Some(packed) = self.read("packed-refs", PACKED_REFS_BYTES_MAX)? else { return Ok(None) };
        let packed = String::from_utf8_lossy(&packed);
        let found = packed.lines().filter_map(|line| line.split_once(' ')).find(|(_, name)| *name == full);
        found.map(|(oid, _)| Oid::new(oid)).transpose().map_err(|error| self.tampered("packed-refs").because(error))
    }

    /// Copies the objects the workspace has of its own into an object folder of ours.
    ///
    /// What it borrows is not looked at, whatever its list of lenders says now.
    pub(super) fn copy_objects(&self, target: &Path, bounds: Bounds) -> Result<()> {
        let mut left = bounds;
        let Some(objects) = self.folder(&self.git, "objects")? else { return Ok(()) };
        for name in names(&self.path.join("objects"))? {
            let packs = name == "pack";
            if !packs && !is_hex(&name, 2) {
                continue;
            }
            let Some(folder) = self.folder(&objects, &name)? else { continue };
            let into = target.join(&name);
            fs::create_dir_all(&into).map_err(io_fault(&into))?;
            for file in names(&self.path.join("objects").join(&name))? {
                if if packs { is_pack(&file) } else { is_hex(&file, 38) } {
                    self.copy(&folder, &file, &into.join(&file), &mut left, bounds)?;
                }
            }
        }
        Ok(())
    }

    fn copy(&self, folder: &OwnedFd, name: &str, target: &Path, left: &mut Bounds, bounds: Bounds) -> Result<()> {
        let Some(file) = self.plain(folder, name)? else { return Ok(()) };
        let exceeded = || {
            Error::exhausted(
                "workspace_too_large",
                format!("{} has too many or too large objects", self.path.display()),
            )
            .with("objects_max", bounds.objects_max)
            .with("bytes_max", bounds.bytes_max)
        };
        left.objects_max = left.objects_max.checked_sub(1).ok_or_else(exceeded)?;
        let mut made = File::create_new(target).map_err(io_fault(target))?;
        let mut limited = file.take(left.bytes_max.saturating_add(1));
        let copied = std::io::copy(&mut limited, &mut made).map_err(io_fault(target))?;
        left.bytes_max = left.bytes_max.checked_sub(copied).ok_or_else(exceeded)?;
        made.flush().map_err(io_fault(target))
    }

    /// Reads a small file below the git folder.
    fn read(&self, relative: &str, bytes_max: u64) -> Result<Option<Vec<u8>>> {
        let (folders, name) = relative.rsplit_once('/').unwrap_or(("", relative));
        let mut folder = self.git.try_clone().map_err(io_fault(&self.path))?;
        for part in folders.split('/').filter(|part| !part.is_empty()) {
            match self.folder(&folder, part)? {
                Some(next) => folder = next,
                None => return Ok(None),
            }
        }
        let Some(file) = self.plain(&folder, name)? else { return Ok(None) };
        read_bounded(file, bytes_max).map_err(io_fault(&self.path))?.map(Some).ok_or_else(|| self.tampered(relative))
    }

    fn folder(&self, above: &OwnedFd, name: &str) -> Result<Option<OwnedFd>> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        match open_at(above, name, flags) {
            // A branch `a` may be where the folder of a branch `a/b` would be.
            Err(Errno::ENOTDIR) if self.plain(above, name)?.is_some() => Ok(None),
            other => other.map_err(|error| refused(&self.path, error).with("file", name)),
        }
    }

    fn plain(&self, folder: &OwnedFd, name: &str) -> Result<Option<File>> {
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let Some(file) = open_at(folder, name, flags).map_err(|error| refused(&self.path, error).with("file", name))?
        else {
            return Ok(None);
        };
        let file = File::from(file);
        let kind = file.metadata().map_err(io_fault(&self.path))?.file_type();
        match (kind.is_file(), kind.is_dir()) {
            (true, _) => Ok(Some(file)),
            (_, true) => Ok(None),
            _ => Err(self.tampered(name)),
        }
    }

    fn tampered(&self, what: &str) -> Error {
        tampered(&self.path).with("file", what)
    }
}

/// Reads a small plain file of an agent's folder; `None` where there is none.
pub(super) fn read_plain(path: &Path, bytes_max: u64) -> Result<Option<Vec<u8>>> {
    let flags = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits();
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(tampered(path).because(error)),
    };
    if !file.metadata().map_err(io_fault(path))?.is_file() {
        return Err(tampered(path));
    }
    read_bounded(file, bytes_max).map_err(io_fault(path))?.map(Some).ok_or_else(|| tampered(path))
}

/// `None` when there is more.
fn read_bounded(file: File, bytes_max: u64) -> std::io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    let read = file.take(bytes_max + 1).read_to_end(&mut bytes)?;
    Ok((read as u64 <= bytes_max).then_some(bytes))
}

fn open_at(folder: &OwnedFd, name: &str, flags: OFlag) -> std::result::Result<Option<OwnedFd>, Errno> {
    match openat(folder.as_fd(), name, flags, Mode::empty()) {
        Ok(found) => Ok(Some(found)),
        Err(Errno::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A link or another thing where a plain folder or file must be is an attack; anything else is the disk.
fn refused(path: &Path, error: Errno) -> Error {
    match error {
        Errno::ELOOP | Errno::ENOTDIR | Errno::ENXIO => tampered(path).because(error),
        _ => io_fault(path)(error.into()),
    }
}

fn tampered(path: &Path) -> Error {
    Error::invalid("workspace_tampered", format!("{} is not the plain repository that was made there", path.display()))
        .with("path", path.display())
}

fn names(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(io_fault(folder))? {
        if let Ok(name) = entry.map_err(io_fault(folder))?.file_name().into_string() {
            names.push(name);
        }
    }
    Ok(names)
}

fn is_hex(name: &str, length: usize) -> bool {
    name.len() == length && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// The data of a pack. Its index is made anew by us: one made by others could lead astray.
fn is_pack(name: &str) -> bool {
    name.strip_prefix("pack-").and_then(|rest| rest.strip_suffix(".pack")).is_some_and(|hash| is_hex(hash, 40))
}
