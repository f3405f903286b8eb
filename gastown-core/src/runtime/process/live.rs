//! Sessions whose end someone in this process is waiting for.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::process::Child;
use tokio::sync::{oneshot, watch};

use super::blocking;
use super::folder::{Folder, Plan};
use super::supervise::{self, Event, unavailable};
use crate::model::{Result, SessionId};

/// One entry for each session with a child, a supervising thread or a waiting thread of this process.
#[derive(Debug, Default)]
pub(super) struct LiveSessions {
    sessions: Mutex<BTreeMap<SessionId, Live>>,
}

#[derive(Debug)]
struct Live {
    ended: watch::Receiver<bool>,
    /// Where a thread of this process supervises.
    supervised: Option<(SyncSender<Event>, JoinHandle<()>)>,
}

impl LiveSessions {
    fn sessions(&self) -> MutexGuard<'_, BTreeMap<SessionId, Live>> {
        self.sessions.lock().expect("nothing panics while it is held")
    }

    /// Collects the supervisor when it ends, so that no zombie is left, and wakes who waits.
    pub(super) fn collect(self: &Arc<Self>, session: &SessionId, folder: Folder, mut child: Child) {
        let (ending, ended) = watch::channel(false);
        self.sessions().insert(session.clone(), Live { ended, supervised: None });
        let (live, session) = (Arc::downgrade(self), session.clone());
        tokio::spawn(async move {
            match child.wait().await {
                Ok(status) => tracing::debug!(%session, %status, "the supervisor ended"),
                Err(error) => tracing::warn!(%session, %error, "the supervisor cannot be awaited"),
            }
            let settled = blocking({
                let session = session.clone();
                move || folder.exists().then(|| folder.status(&session)).transpose()
            });
            if let Err(error) = settled.await {
                tracing::warn!(%session, error = %error.chain(), "the end of a session was not recorded");
            }
            end(&live, &session, &ending);
        });
    }

    /// Supervises on a thread of this process; returns when the agent runs or is known not to.
    pub(super) async fn supervise(
        self: &Arc<Self>,
        session: &SessionId,
        folder: Folder,
        lock: File,
        plan: Plan,
    ) -> Result<()> {
        let (ending, ended) = watch::channel(false);
        let (ready, is_ready) = oneshot::channel();
        let (sender, events) = supervise::events();
        {
            // Held until the thread is entered here, so that its end finds the entry.
            let mut sessions = self.sessions();
            let (live, name, reaper) = (Arc::downgrade(self), session.clone(), sender.clone());
            let thread = thread::Builder::new()
                .name("gastown-session".into())
                .stack_size(256 << 10)
                .spawn(move || {
                    // Nobody hears it where the caller has gone.
                    let ran = supervise::run(&folder, lock, &plan, (reaper, events), || {
                        let _ = ready.send(());
                    });
                    if let Err(error) = ran {
                        tracing::warn!(session = %name, error = %error.chain(), "a session was lost");
                    }
                    end(&live, &name, &ending);
                })
                .map_err(|error| unavailable("start its thread", error))?;
            sessions.insert(session.clone(), Live { ended, supervised: Some((sender, thread)) });
        }
        // Without an answer the thread has ended, and the folder says how.
        let _ = is_ready.await;
        Ok(())
    }

    /// Passes an event to the thread that supervises the session here; `false` where there is none.
    pub(super) fn send(&self, session: &SessionId, event: Event) -> bool {
        let sender = self.sessions().get(session).and_then(|live| Some(live.supervised.as_ref()?.0.clone()));
        // A full queue is read at once; one without a reader belongs to a session that has ended.
        sender.is_some_and(|sender| sender.send(event).is_ok())
    }

    /// Returns when the session has ended, or may have: look again.
    ///
    /// An adopted session costs one thread with a small stack, which sleeps in the kernel until the lock is free.
    pub(super) async fn ended(self: &Arc<Self>, session: &SessionId, folder: &Folder) -> Result<()> {
        let mut ended = self.watch(session, folder)?;
        if ended.wait_for(|ended| *ended).await.is_err() {
            // The task that collected it was dropped with its tokio runtime; the next look starts a thread.
            let mut sessions = self.sessions();
            if sessions.get(session).is_some_and(|live| live.ended.same_channel(&ended)) {
                sessions.remove(session);
            }
        }
        Ok(())
    }

    fn watch(self: &Arc<Self>, session: &SessionId, folder: &Folder) -> Result<watch::Receiver<bool>> {
        let mut sessions = self.sessions();
        if let Some(live) = sessions.get(session) {
            return Ok(live.ended.clone());
        }
        let (ending, ended) = watch::channel(false);
        let (live, name, folder) = (Arc::downgrade(self), session.clone(), folder.clone());
        thread::Builder::new()
            .name("gastown-adopted".into())
            .stack_size(128 << 10)
            .spawn(move || {
                // A folder that was forgotten meanwhile has no lock; who waits looks again.
                if let Err(error) = folder.wait_released() {
                    tracing::debug!(session = %name, error = %error.chain(), "an adopted session cannot be awaited");
                }
                end(&live, &name, &ending);
            })
            .map_err(|error| unavailable("start its thread", error))?;
        sessions.insert(session.clone(), Live { ended: ended.clone(), supervised: None });
        Ok(ended)
    }
}

/// Takes the entry out and wakes who waits.
fn end(live: &Weak<LiveSessions>, session: &SessionId, ending: &watch::Sender<bool>) {
    if let Some(live) = live.upgrade() {
        let mut sessions = live.sessions();
        if sessions.get(session).is_some_and(|entry| entry.ended.same_channel(&ending.subscribe())) {
            sessions.remove(session);
        }
    }
    ending.send_replace(true);
}

impl Drop for LiveSessions {
    fn drop(&mut self) {
        let sessions = std::mem::take(&mut *self.sessions());
        let threads: Vec<_> = sessions.into_values().filter_map(|live| live.supervised).collect();
        for (events, _) in &threads {
            // One without a reader has ended.
            let _ = events.send(Event::Stop { grace: Some(Duration::ZERO) });
        }
        for (_, thread) in threads {
            // The last handle may be dropped by the thread itself.
            if thread.thread().id() != thread::current().id() && thread.join().is_err() {
                tracing::warn!("a supervising thread panicked");
            }
        }
    }
}
