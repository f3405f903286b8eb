//! Removing output that is too old or too much, when the host asks.

use serde::{Deserialize, Serialize};

use super::handle::Handle;
use super::operation::Operation;
#[cfg(not(all(feature = "git", feature = "process")))]
use crate::model::Error;
use crate::model::Result;
use crate::work::All;

/// What a sweep of the output removed, and what is left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OutputSweep {
    /// Sessions whose output was removed.
    pub removed_sessions: u64,
    /// How many bytes that were.
    pub removed_bytes: u64,
    /// Sessions whose output is left.
    pub kept_sessions: u64,
    /// How many bytes that are.
    pub kept_bytes: u64,
    /// Whether there is more to remove: a sweep has a bound, so sweep again.
    pub has_more: bool,
}

#[cfg(all(feature = "git", feature = "process"))]
pub(super) async fn sweep(handle: &Handle, operation: &'static Operation, input: All) -> Result<OutputSweep> {
    handle.ask(operation, input, |view, _| view.whole_town().map(drop)).await?;
    let town = handle.town();
    let swept = crate::executor::sweep(&town.shared.store, town.runtime().as_ref(), &|| town.ctx()).await?;
    Ok(OutputSweep {
        removed_sessions: swept.removed_sessions,
        removed_bytes: swept.removed_bytes,
        kept_sessions: swept.kept_sessions,
        kept_bytes: swept.kept_bytes,
        has_more: swept.has_more,
    })
}

#[cfg(not(all(feature = "git", feature = "process")))]
#[expect(clippy::unused_async, reason = "with a runtime it waits")]
pub(super) async fn sweep(_handle: &Handle, _operation: &'static Operation, _input: All) -> Result<OutputSweep> {
    Err(Error::unsupported("runtime_missing", "this build runs no sessions, so it has no output"))
}
