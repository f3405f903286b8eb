//! How processes hear of each other's commits: the server tells whoever listens.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};
use std::time::Duration;

use tokio::sync::Notify;

use super::PostgresBackend;
use super::line::{Hear, Line};
use super::sql::quoted;
use crate::model::Result;
use crate::store::Changes;

/// The pause between two tries to connect again.
const PAUSE: Duration = Duration::from_millis(500);

/// The channel of a schema.
pub(super) fn channel(schema: &str) -> String {
    format!("gastown_{schema}")
}

/// Listens on a connection of its own, which is opened again where it was lost.
pub(super) struct PostgresChanges {
    backend: PostgresBackend,
    line: Option<Line>,
    ears: Arc<Ears>,
}

#[derive(Default)]
struct Ears {
    has_heard: AtomicBool,
    is_over: AtomicBool,
    bell: Notify,
}

impl Ears {
    fn ring(&self, what: &AtomicBool) {
        what.store(true, Ordering::SeqCst);
        self.bell.notify_one();
    }
}

impl Wake for Ears {
    fn wake(self: Arc<Self>) {
        self.ring(&self.is_over);
    }
}

impl PostgresChanges {
    pub(super) fn open(backend: &PostgresBackend) -> Result<Self> {
        let mut changes = Self { backend: backend.clone(), line: None, ears: Arc::default() };
        changes.line = Some(changes.listen()?);
        Ok(changes)
    }

    fn listen(&self) -> Result<Line> {
        let ears = Arc::clone(&self.ears);
        let hear: Hear = Arc::new(move || ears.ring(&ears.has_heard));
        let line = Line::open(&self.backend.place, Some(hear))?;
        line.batch(&format!("LISTEN {}", quoted(&channel(&self.backend.place.schema))))?;
        Ok(line)
    }

    /// Waits for the bell without a connection.
    fn pause(&self, pause: Duration) -> Result<()> {
        let bell = self.ears.bell.notified();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(|source| {
            crate::Error::unavailable("store_io", "a pause got no files of the system").because(source)
        })?;
        let _ = runtime.block_on(async { tokio::time::timeout(pause, bell).await });
        Ok(())
    }
}

impl Changes for PostgresChanges {
    fn wait(&mut self, timeout: Duration) -> Result<bool> {
        let is_over = || self.ears.is_over.load(Ordering::SeqCst);
        if is_over() {
            return Ok(false);
        }
        if self.line.as_ref().is_none_or(Line::is_lost) {
            self.line = None;
            match self.listen() {
                Ok(line) => {
                    self.line = Some(line);
                    // Whatever was committed meanwhile was not heard.
                    return Ok(true);
                }
                Err(error) => {
                    tracing::warn!(code = error.code(), "nobody tells of commits: {}", error.chain());
                    self.pause(timeout.min(PAUSE))?;
                    return Ok(false);
                }
            }
        }
        let line = self.line.as_ref().expect("it is there");
        let ears = &self.ears;
        line.drive(async {
            let heard = async {
                while !ears.has_heard.load(Ordering::SeqCst) && !ears.is_over.load(Ordering::SeqCst) {
                    ears.bell.notified().await;
                }
            };
            // Whether it was in time or not is what the flag says.
            let _ = tokio::time::timeout(timeout, heard).await;
        })?;
        Ok(self.ears.has_heard.swap(false, Ordering::SeqCst))
    }

    fn interrupter(&self) -> Waker {
        Waker::from(Arc::clone(&self.ears))
    }
}
