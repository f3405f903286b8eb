//! What the binding needs of a town's handle.

use std::pin::Pin;

use futures_util::Stream;
use futures_util::future::BoxFuture;
use gastown_core::Result;
use serde_json::Value;

/// Events as they are journaled.
pub(crate) type Events = Pin<Box<dyn Stream<Item = Result<Value>> + Send>>;

/// Operations by name.
pub(crate) trait Calls: Send + Sync + 'static {
    /// Runs one operation.
    fn call(&self, name: String, input: Value) -> BoxFuture<'static, Result<Value>>;
    /// Follows the journal after the sequence number `since`.
    fn watch(&self, since: Option<i64>) -> Events;
}
