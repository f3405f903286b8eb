//! Where the time comes from.

use std::fmt;

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
