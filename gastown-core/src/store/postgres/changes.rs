//! How processes hear of each other's commits: the server tells whoever listens.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};
use std::time::Duration;

use tokio::sync::Notify;

use super::PostgresBackend;
use super::error::LOST;
use super::line::{Line, Step};
use super::sql::{self, quoted};
use super::text::Parameter;
use super::view;
use crate::model::{Error, Result, TownId};
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

/// What the watch hears.
#[derive(Default)]
pub(super) struct Ears {
    has_heard: AtomicBool,
    is_over: AtomicBool,
    bell: Notify,
}

impl Ears {
    /// Something was said, or nothing will be any more.
    pub(super) fn hear(&self) {
        self.ring(&self.has_heard);
    }

    /// Ends when the watch was interrupted.
    pub(super) async fn over(&self) {
        while !self.is_over.load(Ordering::SeqCst) {
            self.bell.notified().await;
        }
    }

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
        let line = self.backend.open_for(Some(Arc::clone(&self.ears)))?;
        line.batch(&format!("LISTEN {}", quoted(&channel(&self.backend.place.schema))))?;
        Ok(line)
    }

    /// Waits for the bell without a connection.
    fn pause(&self, pause: Duration) -> Result<()> {
        let bell = self.ears.bell.notified();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(|source| Error::unavailable("store_io", "a pause got no files of the system").because(source))?;
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

    fn head(&mut self, town: &TownId) -> Result<Option<u64>> {
        let lost = || Error::unavailable(LOST, "the connection to the database was lost");
        let line = self.line.as_ref().ok_or_else(lost)?;
        let rows = line.ask(Step::new(sql::HEAD, vec![Parameter::text(town.as_str())]))?;
        Ok(Some(view::head(&rows)?.seq))
    }

    fn interrupter(&self) -> Waker {
        Waker::from(Arc::clone(&self.ears))
    }
}
