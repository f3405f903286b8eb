//! Following the journal.

use std::collections::VecDeque;

use tokio::sync::watch;

use super::handle::Handle;
use crate::model::{Error, Event, Result};
use crate::work::events::EventsSince;

/// How many events are read at once.
const PAGE: usize = 256;

/// The journal from a place on: what is there, then each event as it is journaled, in order and without a gap.
///
/// It holds nothing in the town: one that is slow reads from the journal what it missed.
#[derive(Debug)]
pub struct Watch {
    handle: Handle,
    since: u64,
    page: VecDeque<Event>,
    commits: watch::Receiver<u64>,
}

impl Watch {
    pub(super) fn new(handle: Handle, since: u64) -> Result<Self> {
        if handle.scope().rig().is_some() {
            return Err(Error::forbidden(
                "scope_too_narrow",
                format!("{} does not see the whole town", handle.scope().principal()),
            )
            .with("principal", handle.scope().principal()));
        }
        let commits = handle.town().shared.store.commits();
        Ok(Self { handle, since, page: VecDeque::new(), commits })
    }

    /// The next event; waits for it.
    ///
    /// Dropped before it answers, it loses nothing: the next call gives the same event.
    ///
    /// # Errors
    /// `store_closed` once the town is closed.
    pub async fn next(&mut self) -> Result<Event> {
        loop {
            if let Some(event) = self.page.pop_front() {
                self.since = event.seq;
                return Ok(event);
            }
            // Marked before reading, so that what is journaled while we read wakes us.
            self.commits.mark_unchanged();
            let asked = EventsSince { since: self.since, limit: Some(PAGE) };
            let page = self.handle.events().since(asked).await?;
            if page.events.is_empty() && self.commits.changed().await.is_err() {
                return Err(Error::unavailable("store_closed", "the town is closed"));
            }
            self.page.extend(page.events);
        }
    }
}
