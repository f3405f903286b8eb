//! Hearing that a session's segments grow: one thread for all who follow.

use std::collections::HashMap;
use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};
use tokio::sync::watch;

/// Watches folders for those who follow; its thread starts with the first of them and ends with this value.
#[derive(Debug, Default)]
pub(super) struct Growth {
    started: Mutex<Option<Started>>,
}

#[derive(Debug)]
struct Started {
    ear: Arc<Ear>,
    /// Hangs up when it is dropped, which ends the thread.
    _end: PipeWriter,
}

#[derive(Debug)]
struct Ear {
    inotify: Inotify,
    /// Who waits for which folder. Each watch fires once, so that a flood makes one event for each wait.
    waiting: Mutex<HashMap<WatchDescriptor, watch::Sender<bool>>>,
}

impl Growth {
    /// Begins to listen for the next byte or segment in the folder; what comes from now on is heard.
    pub(super) fn listen(&self, folder: &Path) -> io::Result<Listening> {
        let ear = self.ear()?;
        // Held throughout, so that the thread finds the entry of what it hears.
        let mut waiting = ear.waiting();
        let mask = AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_CREATE | AddWatchFlags::IN_ONESHOT;
        let place = ear.inotify.add_watch(folder, mask)?;
        let heard = waiting.entry(place).or_insert_with(|| watch::Sender::new(false)).subscribe();
        drop(waiting);
        Ok(Listening { ear, place, heard })
    }

    fn ear(&self) -> io::Result<Arc<Ear>> {
        let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(started) = &*started {
            return Ok(Arc::clone(&started.ear));
        }
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        let ear = Arc::new(Ear { inotify, waiting: Mutex::default() });
        let (ended, end) = io::pipe()?;
        let listener = Arc::clone(&ear);
        thread::Builder::new()
            .name("gastown-growth".into())
            .stack_size(128 << 10)
            .spawn(move || listener.hear(&ended))?;
        *started = Some(Started { ear: Arc::clone(&ear), _end: end });
        Ok(ear)
    }
}

impl Ear {
    fn waiting(&self) -> MutexGuard<'_, HashMap<WatchDescriptor, watch::Sender<bool>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hear(&self, ended: &PipeReader) {
        loop {
            let mut ends = [self.inotify.as_fd(), ended.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
            match poll(&mut ends, PollTimeout::NONE) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return self.give_up(error),
            }
            if ends[1].revents().is_some_and(|events| !events.is_empty()) {
                return;
            }
            match self.inotify.read_events() {
                Ok(events) => {
                    let mut waiting = self.waiting();
                    if events.iter().any(|event| event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW)) {
                        // Somebody was not named, so everybody looks.
                        for (_, heard) in waiting.drain() {
                            heard.send_replace(true);
                        }
                    }
                    for event in events {
                        if let Some(heard) = waiting.remove(&event.wd) {
                            heard.send_replace(true);
                        }
                    }
                }
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                Err(error) => return self.give_up(error),
            }
        }
    }

    /// Who follows looks now and then all the same.
    fn give_up(&self, error: Errno) {
        tracing::warn!(%error, "output is not listened for any more");
        self.waiting().clear();
    }
}

/// Somebody who listens; dropping it leaves nothing behind.
#[derive(Debug)]
pub(super) struct Listening {
    ear: Arc<Ear>,
    place: WatchDescriptor,
    heard: watch::Receiver<bool>,
}

impl Listening {
    /// Returns when something was heard.
    pub(super) async fn heard(mut self) {
        if self.heard.wait_for(|heard| *heard).await.is_err() {
            // Nobody listens any more; the caller's own clock is left.
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let mut waiting = self.ear.waiting();
        let is_last = waiting.get(&self.place).is_some_and(|heard| heard.receiver_count() <= 1);
        if is_last {
            waiting.remove(&self.place);
            // One that has fired in this moment is gone already.
            let _ = self.ear.inotify.rm_watch(self.place);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn everybody_who_listens_hears_and_who_goes_leaves_no_watch() {
        let folder = tempfile::tempdir().unwrap();
        let growth = Growth::default();
        let (one, two) = (growth.listen(folder.path()).unwrap(), growth.listen(folder.path()).unwrap());
        fs::write(folder.path().join("a"), "x").unwrap();
        let both = async { tokio::join!(one.heard(), two.heard()) };
        tokio::time::timeout(Duration::from_secs(60), both).await.unwrap();
        let left = growth.listen(folder.path()).unwrap();
        let early = tokio::time::timeout(Duration::from_millis(1), left.heard()).await;
        assert!(early.is_err(), "what was before is not heard");
        assert!(growth.ear().unwrap().waiting().is_empty());
    }
}
