//! One call of an operation, as it is measured.

use super::handle::Handle;
use super::operation::Operation;
use crate::meter::{Stopwatch, table};
use crate::model::{ErrorKind, Result};

/// A call that began; it is counted when it ends, also where its caller goes away.
pub(super) struct Measured<'a> {
    handle: &'a Handle,
    operation: &'static str,
    began: Stopwatch,
    outcome: &'static str,
    span: tracing::Span,
}

impl<'a> Measured<'a> {
    /// Begins a call, if the scope may make it.
    pub(super) fn begin(handle: &'a Handle, operation: &'static Operation) -> Result<Self> {
        let name = operation.name;
        let span = if handle.is_inner() {
            tracing::Span::none()
        } else {
            tracing::debug_span!("command", town = %handle.town().id(), operation = name)
        };
        let this = Self { handle, operation: name, began: Stopwatch::start(), outcome: "abandoned", span };
        match handle.check(operation) {
            Ok(()) => Ok(this),
            Err(error) => this.end(Err(error)),
        }
    }

    /// Where its events belong.
    pub(super) fn span(&self) -> tracing::Span {
        self.span.clone()
    }

    /// Ends it with its answer.
    pub(super) fn end<T>(mut self, answer: Result<T>) -> Result<T> {
        self.outcome = answer.as_ref().map_or_else(|error| error.kind().as_str(), |_| "ok");
        if let Err(error) = &answer
            && !self.handle.is_inner()
        {
            let _in = self.span.enter();
            match error.kind() {
                ErrorKind::Internal | ErrorKind::Corrupt => {
                    tracing::error!(code = error.code(), error = %error.chain(), "a command failed");
                }
                ErrorKind::Unavailable | ErrorKind::Exhausted => {
                    tracing::warn!(code = error.code(), error = %error.chain(), "a command failed");
                }
                _ => tracing::debug!(code = error.code(), error = %error.chain(), "a command was refused"),
            }
        }
        answer
    }
}

impl Drop for Measured<'_> {
    fn drop(&mut self) {
        if self.handle.is_inner() {
            return;
        }
        let meters = self.handle.town().shared.store.meters();
        meters.count(&table::COMMANDS, &[self.operation, self.outcome]);
        meters.measure(&table::COMMAND_DURATION, &[self.operation], self.began.seconds());
    }
}
