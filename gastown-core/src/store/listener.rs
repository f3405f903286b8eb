//! The thread that hears what other stores and processes commit.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;
use std::thread::{self, Thread};
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use super::store::{give_up, guarded};
use super::{Access, Backend, Changes, Connection};
use crate::model::{Error, Result, TownId};

/// The pause after a look, so that a burst of commits costs a few looks and not one each.
const PACE: Duration = Duration::from_millis(5);

/// The longest pause. It grows while only the store's own commits are heard: they wake whoever waits by themselves, and
/// whoever is woken sees what others committed as well.
const PACE_MAX: Duration = Duration::from_millis(80);

/// How long until another look where one could not be taken.
const AGAIN: Duration = Duration::from_secs(1);

/// The thread's handle: it ends when this is dropped.
pub(super) struct Listener {
    stop: Arc<Stop>,
    thread: Thread,
}

#[derive(Default)]
struct Stop {
    is_asked: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

/// What the listener is made of.
pub(super) struct Start {
    pub(super) backend: Arc<dyn Backend>,
    pub(super) town: TownId,
    /// How long until it looks without having heard anything.
    pub(super) check: Duration,
    pub(super) commits: watch::Sender<u64>,
    /// Dropped last.
    pub(super) alive: watch::Sender<()>,
}

/// Starts the thread; `ready` is answered when it hears.
pub(super) fn start(start: Start, ready: oneshot::Sender<()>) -> Result<Listener> {
    let stop = Arc::new(Stop::default());
    let asked = Arc::clone(&stop);
    let thread = thread::Builder::new()
        .name("gastown-changes".to_owned())
        .spawn(move || {
            let Start { backend, town, check, commits, alive } = start;
            let changes = backend.changes().unwrap_or_else(|error| {
                deaf(&error);
                None
            });
            *asked.waker.lock().unwrap_or_else(PoisonError::into_inner) = changes.as_deref().map(Changes::interrupter);
            // Whoever opens the store may have gone away; then the handle says so.
            let _ = ready.send(());
            Ears { backend, town, check, commits, changes, connection: None }.serve(&asked.is_asked);
            drop(alive);
        })
        .map_err(|source| {
            Error::unavailable("thread_refused", "the thread that hears changes could not be started").because(source)
        })?
        .thread()
        .clone();
    Ok(Listener { stop, thread })
}

impl Listener {
    /// Asks the thread to end; it may be asked again.
    pub(super) fn stop(&self) {
        self.stop.is_asked.store(true, Ordering::SeqCst);
        let waker = self.stop.waker.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waker) = waker {
            waker.wake();
        }
        self.thread.unpark();
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listener")
    }
}

fn deaf(error: &Error) {
    tracing::warn!(code = error.code(), "what others commit is only seen at the slow check: {}", error.chain());
}

struct Ears {
    backend: Arc<dyn Backend>,
    town: TownId,
    check: Duration,
    commits: watch::Sender<u64>,
    changes: Option<Box<dyn Changes>>,
    connection: Option<Box<dyn Connection>>,
}

impl Ears {
    fn serve(mut self, is_asked: &AtomicBool) {
        let (mut is_behind, mut pace) = (false, PACE);
        while !is_asked.load(Ordering::SeqCst) {
            let has_heard = self.wait(if is_behind { AGAIN.min(self.check) } else { self.check });
            if is_asked.load(Ordering::SeqCst) {
                return;
            }
            // The store itself holds one receiver.
            let somebody_listens = self.commits.receiver_count() > 1;
            if !(has_heard || is_behind || somebody_listens) {
                continue;
            }
            let look = guarded(|| self.look());
            is_behind = look.is_err();
            match look {
                Ok(true) => pace = PACE,
                Ok(false) => pace = (pace * 2).min(PACE_MAX),
                Err(_) if is_asked.load(Ordering::SeqCst) => return,
                Err(error) => {
                    tracing::warn!(code = error.code(), "the journal's end could not be read: {}", error.chain());
                    give_up(&mut self.connection);
                }
            }
            thread::park_timeout(pace);
        }
    }

    /// Waits for a change; false where none was heard.
    fn wait(&mut self, timeout: Duration) -> bool {
        match self.changes.as_mut().map(|changes| changes.wait(timeout)) {
            Some(Ok(has_changed)) => has_changed,
            Some(Err(error)) => {
                deaf(&error);
                self.changes = None;
                true
            }
            None => {
                thread::park_timeout(timeout);
                false
            }
        }
    }

    /// Tells where the journal ends; true where that was news.
    fn look(&mut self) -> Result<bool> {
        if let Some(changes) = &mut self.changes
            && let Some(seq) = changes.head(&self.town)?
        {
            return Ok(raise(&self.commits, seq));
        }
        if self.connection.is_none() {
            self.connection = Some(self.backend.connect(Access::Read)?);
        }
        let connection = self.connection.as_mut().expect("it was opened above");
        let seq = connection.read(&self.town)?.head()?.seq;
        Ok(raise(&self.commits, seq))
    }
}

/// Tells the watchers of a later end of the journal; an earlier one is no news, and then this is false.
pub(super) fn raise(commits: &watch::Sender<u64>, seq: u64) -> bool {
    commits.send_if_modified(|last| {
        let is_later = seq > *last;
        if is_later {
            *last = seq;
        }
        is_later
    })
}
