//! Files and folders that get their name once they are whole and durable.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// What the names of drafts end with; they begin with a point.
pub(crate) const DRAFT: &str = ".draft";

/// How many random digits stand before that.
const DIGITS: usize = 16;

/// How often a draft is made anew that somebody took for one that was left behind.
const TRIES_MAX: usize = 8;

/// A file or folder that goes away unless it got its name. It is its owner's alone.
///
/// It lies beside its place under a hidden name that nobody else has, so nobody else's file is ever touched, and is
/// locked while this lives. A killed process leaves it behind without a lock; the next draft in that folder removes it.
#[derive(Debug)]
pub(crate) struct Draft {
    path: PathBuf,
    /// Has the lock. None where the system locks no folders.
    held: Option<File>,
}

impl Draft {
    /// An empty file beside `path`.
    pub(crate) fn file(path: &Path) -> io::Result<Self> {
        Self::make(path, |draft| {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create_new(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            options.open(draft).map(Some)
        })
    }

    /// An empty folder beside `path`.
    pub(crate) fn folder(path: &Path) -> io::Result<Self> {
        Self::make(path, |draft| {
            make_folder(draft)?;
            if cfg!(unix) { File::open(draft).map(Some) } else { Ok(None) }
        })
    }

    fn make(path: &Path, make: impl Fn(&Path) -> io::Result<Option<File>>) -> io::Result<Self> {
        remove_left(folder_of(path));
        for _ in 0..TRIES_MAX {
            let random = getrandom::u64().map_err(|source| io::Error::other(source.to_string()))?;
            let mut name = std::ffi::OsString::from(".");
            name.push(path.file_name().unwrap_or_default());
            name.push(format!(".{random:0DIGITS$x}{DRAFT}"));
            let path = path.with_file_name(name);
            let draft = Self { held: make(&path)?, path };
            if let Some(held) = &draft.held
                && let Err(error) = held.lock()
                && error.kind() != io::ErrorKind::Unsupported
            {
                return Err(error);
            }
            // Between its making and its lock it looked like one that was left behind.
            if draft.path.symlink_metadata().is_ok() {
                return Ok(draft);
            }
        }
        Err(io::Error::new(io::ErrorKind::ResourceBusy, "what was made is removed at once"))
    }

    /// Where it lies.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The file, to write it; none where it is a folder of a system that locks none.
    pub(crate) fn held(&self) -> Option<&File> {
        self.held.as_ref()
    }

    /// Gives it its name, durably: [`io::ErrorKind::AlreadyExists`] where something has that name.
    ///
    /// What is in it is durable before. Where this fails, nothing of it is there.
    pub(crate) fn name(self, path: &Path) -> io::Result<()> {
        self.name_with(path, |folder| File::open(folder)?.sync_all())
    }

    fn name_with(self, path: &Path, sync: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
        rename_to_new(&self.path, path)?;
        // It may not be there after a loss of power, so it is not there now.
        sync(folder_of(path)).inspect_err(|_| remove(path))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

/// Makes a folder that is its owner's alone.
pub(crate) fn make_folder(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Removes the drafts in a folder that nobody has.
fn remove_left(folder: &Path) {
    // What is wrong with the folder is told by whoever makes something in it.
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_ours = entry.file_name().to_str().is_some_and(is_draft);
        let is_plain = || entry.file_type().is_ok_and(|found| found.is_file() || found.is_dir());
        if is_ours
            && is_plain()
            && let Ok(left) = File::open(entry.path())
            && left.try_lock().is_ok()
        {
            tracing::info!(path = %entry.path().display(), "an unfinished copy that a killed process left is removed");
            remove(&entry.path());
        }
    }
}

/// Whether a draft can be called so.
fn is_draft(name: &str) -> bool {
    let inner = name.strip_prefix('.').and_then(|name| name.strip_suffix(DRAFT));
    let digits = inner.and_then(|inner| inner.rsplit_once('.')).map(|(_, digits)| digits);
    digits.is_some_and(|digits| {
        digits.len() == DIGITS && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    })
}

fn remove(path: &Path) {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(path = %path.display(), %error, "an unfinished copy stays behind");
        }
        _ => {}
    }
}

/// Renames without replacing anything.
#[cfg(all(target_os = "linux", target_env = "gnu", any(feature = "sqlite", feature = "process", feature = "git")))]
fn rename_to_new(from: &Path, to: &Path) -> io::Result<()> {
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
fn rename_to_new(from: &Path, to: &Path) -> io::Result<()> {
    rename_unless_there(from, to)
}

fn rename_unless_there(from: &Path, to: &Path) -> io::Result<()> {
    if from.is_file() {
        // A link replaces nothing, where the file system knows links.
        match fs::hard_link(from, to) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(error),
            Err(_) => {}
            Ok(()) => return fs::remove_file(from),
        }
    }
    if to.symlink_metadata().is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    fs::rename(from, to)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_copy_whose_folder_cannot_be_made_durable_is_not_there() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("copy.db");
        let draft = Draft::file(&path).unwrap();
        let error = draft.name_with(&path, |folder| {
            assert_eq!((folder, names(folder)), (directory.path(), vec!["copy.db".to_owned()]));
            Err(io::Error::other("the disk went away"))
        });
        assert_eq!(error.unwrap_err().to_string(), "the disk went away");
        assert_eq!(names(directory.path()), Vec::<String>::new());
    }

    #[test]
    fn a_file_that_came_while_the_copy_was_made_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        for make in [Draft::file, Draft::folder] {
            let path = directory.path().join("copy");
            let draft = make(&path).unwrap();
            fs::write(&path, "somebody else's").unwrap();
            assert_eq!(draft.name(&path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
            assert_eq!(fs::read_to_string(&path).unwrap(), "somebody else's");
            assert_eq!(names(directory.path()), ["copy"]);
        }
    }

    #[test]
    fn two_drafts_of_one_copy_are_two_files() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("copy.db");
        let drafts = [Draft::file(&path).unwrap(), Draft::file(&path).unwrap(), Draft::folder(&path).unwrap()];
        assert_eq!(names(directory.path()).len(), 3, "each is in use");
        assert!(names(directory.path()).iter().all(|name| is_draft(name)));
        drop(drafts);
        assert_eq!(names(directory.path()), Vec::<String>::new());
    }

    #[test]
    fn what_a_killed_process_left_is_removed_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::write(at(".town.0123456789abcdef.draft"), "half").unwrap();
        fs::create_dir_all(at(".copy.00000000deadbeef.draft/output")).unwrap();
        let others = [".draft", ".notes.draft", "copy.0123456789abcdef.draft", ".copy.0123456789abcdex.draft", "x"];
        for name in others {
            fs::write(at(name), "somebody's").unwrap();
        }
        #[cfg(unix)]
        std::os::unix::fs::symlink(at("x"), at(".link.0123456789abcdef.draft")).unwrap();
        let used = Draft::folder(&at("used")).unwrap();
        let draft = Draft::file(&at("new")).unwrap();
        draft.name(&at("new")).unwrap();
        assert!(used.path().is_dir(), "somebody has it");
        drop(used);
        let mut left: Vec<String> = others.iter().map(|name| (*name).to_owned()).collect();
        left.extend([".link.0123456789abcdef.draft".to_owned(), "new".to_owned()]);
        left.sort();
        assert_eq!(names(directory.path()), left);
    }
}
