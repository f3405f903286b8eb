//! A host's watch for commits.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

use gastown_core::Result;
use gastown_core::store::Changes;
use pyo3::prelude::*;

use super::{Host, misshapen};

/// How long the host is asked to wait at a time, so that a store or an interpreter that ends waits no longer for it.
const TURN: Duration = Duration::from_millis(100);

pub(super) struct HostChanges {
    host: Host,
    interruption: Arc<Interruption>,
}

impl HostChanges {
    pub(super) fn new(host: Host) -> Self {
        Self { host, interruption: Arc::default() }
    }
}

impl Drop for HostChanges {
    fn drop(&mut self) {
        self.host.close();
    }
}

impl Changes for HostChanges {
    #[expect(clippy::disallowed_methods, reason = "a wait has an end")]
    fn wait(&mut self, timeout: Duration) -> Result<bool> {
        let end = Instant::now().checked_add(timeout);
        loop {
            let begun = Instant::now();
            let left = end.map_or(TURN, |end| end.saturating_duration_since(begun));
            let turn = left.min(TURN);
            if self.interruption.is_there_after(Duration::ZERO) {
                return Ok(true);
            }
            let heard = self.host.call("wait", (turn.as_secs_f64(),), |method, answer| {
                answer.extract::<bool>().map_err(|_| misshapen(method, "whether it heard something", &answer))
            })?;
            // A host that does not wait is not asked more often for it.
            if heard || self.interruption.is_there_after(turn.saturating_sub(begun.elapsed())) {
                return Ok(true);
            }
            if end.is_some_and(|end| Instant::now() >= end) {
                return Ok(false);
            }
        }
    }

    fn interrupter(&self) -> Waker {
        Waker::from(Arc::clone(&self.interruption))
    }
}

/// Ends a wait and all later ones.
#[derive(Default)]
struct Interruption {
    is_there: Mutex<bool>,
    came: Condvar,
}

impl Interruption {
    fn is_there_after(&self, timeout: Duration) -> bool {
        let is_there = self.is_there.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.came.wait_timeout_while(is_there, timeout, |is_there| !*is_there);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Wake for Interruption {
    fn wake(self: Arc<Self>) {
        *self.is_there.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.came.notify_all();
    }
}
