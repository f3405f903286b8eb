//! How the processes that share a file hear of each other's commits.
//!
//! A commit's pages reach the log before the commit can be seen, so a watch of the log's writes would come too early
//! and then stay silent. Instead the writer sets the database file's times once the commit is there to be read, and
//! everybody watches for that. The file is never opened for it: closing it again would drop SQLite's locks.

use std::path::Path;

use crate::model::Result;
use crate::store::Changes;

#[cfg(target_os = "linux")]
pub(super) use self::linux::{announce, watch};

#[cfg(not(target_os = "linux"))]
pub(super) fn announce(_path: &Path) {}

#[cfg(not(target_os = "linux"))]
pub(super) fn watch(_path: &Path) -> Result<Option<Box<dyn Changes>>> {
    Ok(None)
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io::{PipeReader, PipeWriter};
    use std::os::fd::AsFd;
    use std::sync::{Arc, Mutex, PoisonError};
    use std::task::{Wake, Waker};
    use std::time::Duration;

    use nix::errno::Errno;
    use nix::fcntl::AT_FDCWD;
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
    use nix::sys::stat::{UtimensatFlags, utimensat};
    use nix::sys::time::TimeSpec;

    use super::{Changes, Path, Result};
    use crate::model::Error;

    /// Tells everybody who watches the file that there is a commit.
    pub(in super::super) fn announce(path: &Path) {
        // Both times make one kind of event, which nothing else causes while the file is in use.
        let (now, follow) = (TimeSpec::UTIME_NOW, UtimensatFlags::FollowSymlink);
        if let Err(error) = utimensat(AT_FDCWD, path, &now, &now, follow) {
            tracing::warn!(path = %path.display(), %error, "other processes are not told of a commit");
        }
    }

    /// Watches the file, which must be there.
    pub(in super::super) fn watch(path: &Path) -> Result<Option<Box<dyn Changes>>> {
        let inotify =
            Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).map_err(|errno| refused(path, errno))?;
        inotify.add_watch(path, AddWatchFlags::IN_ATTRIB).map_err(|errno| refused(path, errno))?;
        let (ended, end) = std::io::pipe().map_err(|source| unheard(path).because(source))?;
        let end = Arc::new(End(Mutex::new(Some(end))));
        Ok(Some(Box::new(FileChanges { path: path.into(), inotify, ended, end })))
    }

    fn unheard(path: &Path) -> Error {
        Error::unavailable("store_unwatched", format!("{} cannot be watched", path.display()))
            .with("path", path.display())
    }

    fn refused(path: &Path, errno: Errno) -> Error {
        unheard(path).because(std::io::Error::from(errno))
    }

    struct FileChanges {
        path: Box<Path>,
        inotify: Inotify,
        /// Hangs up when the other end is closed, and stays so.
        ended: PipeReader,
        end: Arc<End>,
    }

    struct End(Mutex<Option<PipeWriter>>);

    impl Wake for End {
        fn wake(self: Arc<Self>) {
            drop(self.0.lock().unwrap_or_else(PoisonError::into_inner).take());
        }
    }

    impl Changes for FileChanges {
        fn wait(&mut self, timeout: Duration) -> Result<bool> {
            let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX);
            let mut fds = [self.inotify.as_fd(), self.ended.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
            match poll(&mut fds, timeout) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(refused(&self.path, errno)),
            }
            // Equal events that wait are one, so there are few; what they say does not matter.
            match self.inotify.read_events() {
                Ok(_) => Ok(true),
                Err(Errno::EAGAIN | Errno::EINTR) => Ok(false),
                Err(errno) => Err(refused(&self.path, errno)),
            }
        }

        fn interrupter(&self) -> Waker {
            Waker::from(Arc::clone(&self.end))
        }
    }
}
