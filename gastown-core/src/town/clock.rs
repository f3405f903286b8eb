//! Where the time comes from.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::model::Timestamp;

/// Tells the time; the only place of the library that does.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        #[allow(clippy::disallowed_methods, reason = "the edge of the library, where time comes in")]
        let now = std::time::SystemTime::now();
        Timestamp::from_system(now)
    }
}

/// A clock that stands still until it is set; clones are the same clock.
#[derive(Clone, Debug, Default)]
pub struct ManualClock(Arc<AtomicI64>);

impl ManualClock {
    /// A clock that shows this time.
    pub fn at(now: Timestamp) -> Self {
        Self(Arc::new(AtomicI64::new(now.as_micros())))
    }

    /// Shows this time from now on.
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.as_micros(), Ordering::SeqCst);
    }

    /// Goes on by that much, at most to the last time there is.
    pub fn advance(&self, by: Duration) {
        let later = |now| Some(Timestamp::from_micros(now).after(by).as_micros());
        // It fails only where the closure answers none.
        let _ = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, later);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_when_it_is_told_to() {
        let clock = ManualClock::at(Timestamp::from_micros(5));
        let same = clock.clone();
        assert_eq!(same.now(), Timestamp::from_micros(5));
        clock.advance(Duration::from_millis(1));
        assert_eq!(same.now(), Timestamp::from_micros(1_005));
        clock.set(Timestamp::from_micros(i64::MAX - 1));
        clock.advance(Duration::from_secs(1));
        assert_eq!(same.now(), Timestamp::from_micros(i64::MAX));
    }
}
