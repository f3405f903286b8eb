//! Whether the files are still where they were opened.
//!
//! SQLite goes on with a file that has lost its name, so what it commits there is found by nobody. That is seen by a look
//! at the path, which costs about a microsecond.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use crate::model::{Error, Result};

/// A file by what no other has as long as it is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    /// What has that name itself: a link in the place of the file is another, since who opens it has another log.
    fn at(path: &Path) -> io::Result<Self> {
        std::fs::symlink_metadata(path).map(|found| Self { device: found.dev(), inode: found.ino() })
    }
}

/// The database and its log, as they were when connections to them were opened.
#[derive(Debug)]
pub(super) struct Opened {
    path: Arc<Path>,
    file: FileId,
    /// What a link of that name leads to, which has the log beside it.
    linked: Option<(PathBuf, FileId)>,
    log_path: PathBuf,
    /// Once there is one: it stays as long as anybody has the database open.
    log: OnceLock<FileId>,
}

impl Opened {
    fn now(path: &Arc<Path>) -> Result<Self> {
        let look = || -> io::Result<_> {
            let file = FileId::at(path)?;
            let linked = if path.is_symlink() {
                let real = path.canonicalize()?;
                let file = FileId::at(&real)?;
                Some((real, file))
            } else {
                None
            };
            Ok((file, linked))
        };
        let (file, linked) = look().map_err(|source| gone(path).because(source))?;
        let mut log_path = linked.as_ref().map_or(&**path, |(real, _)| real).as_os_str().to_owned();
        log_path.push("-wal");
        Ok(Self { path: Arc::clone(path), file, linked, log_path: log_path.into(), log: OnceLock::new() })
    }

    /// Refuses to go on where the files of these names are others, or none.
    pub(super) fn check(&self) -> Result<()> {
        is(&self.path, self.file)?;
        if let Some((real, file)) = &self.linked {
            is(real, *file)?;
        }
        if let Some(log) = self.log.get() {
            return is(&self.log_path, *log);
        }
        if let Ok(log) = FileId::at(&self.log_path) {
            // Whoever looked first is right.
            let _ = self.log.set(log);
        }
        Ok(())
    }
}

fn is(path: &Path, wanted: FileId) -> Result<()> {
    match FileId::at(path) {
        Ok(found) if found == wanted => Ok(()),
        Ok(_) => Err(gone(path)),
        Err(source) => Err(gone(path).because(source)),
    }
}

fn gone(path: &Path) -> Error {
    Error::unavailable("store_gone", format!("{} was taken away or replaced while it was open", path.display()))
        .with("file", path.display())
}

/// What the connections of a backend are open on, as long as there are any.
#[derive(Clone, Debug, Default)]
pub(super) struct Place(Arc<Mutex<Weak<Opened>>>);

impl Place {
    /// Refuses a further connection where the files are others than those that are open.
    pub(super) fn check(&self) -> Result<()> {
        let opened = self.0.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
        opened.map_or(Ok(()), |opened| opened.check())
    }

    /// What a connection that was just opened is open on.
    pub(super) fn enter(&self, path: &Arc<Path>) -> Result<Arc<Opened>> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(opened) = known.upgrade() {
            opened.check()?;
            return Ok(opened);
        }
        let opened = Arc::new(Opened::now(path)?);
        opened.check()?;
        *known = Arc::downgrade(&opened);
        Ok(opened)
    }
}
