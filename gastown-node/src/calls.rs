//! What the binding needs of a town's handle.

use std::pin::Pin;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, Stream, StreamExt, stream};
use gastown_core::{Error, Handle, OutputQuery, Result};
use serde_json::Value;

/// Events as they are journaled, or pages as they are printed; they end when the town is closed.
pub(crate) type Events = Pin<Box<dyn Stream<Item = Result<Value>> + Send>>;

/// Operations by name.
pub(crate) trait Calls: Send + Sync + 'static {
    /// Runs one operation, under an idempotency key where one is given.
    fn call(&self, name: String, input: Value, key: Option<String>) -> BoxFuture<'static, Result<Value>>;
    /// Follows the journal after the sequence number `since`.
    fn watch(&self, since: u64) -> Result<Events>;
    /// Follows what a session prints, or its structured events, a page at a time.
    fn follow(&self, query: Value) -> Result<Events>;
}

impl Calls for Handle {
    fn call(&self, name: String, input: Value, key: Option<String>) -> BoxFuture<'static, Result<Value>> {
        let handle = key.map_or_else(|| self.clone(), |key| self.with_key(key));
        async move { handle.call(&name, input).await }.boxed()
    }

    fn watch(&self, since: u64) -> Result<Events> {
        let watch = self.events().watch(since)?;
        let events = stream::try_unfold(watch, |mut watch| async move {
            match watch.next().await {
                Ok(event) => Ok(Some((json(event)?, watch))),
                Err(error) if error.code() == "store_closed" => Ok(None),
                Err(error) => Err(error),
            }
        });
        Ok(events.boxed())
    }

    fn follow(&self, query: Value) -> Result<Events> {
        let follow = self.sessions().follow(OutputQuery::from_json(query)?)?;
        let pages = stream::try_unfold(follow, |mut follow| async move {
            match follow.next().await {
                Ok(Some(page)) => Ok(Some((json(page)?, follow))),
                Ok(None) => Ok(None),
                Err(error) if error.code() == "store_closed" => Ok(None),
                Err(error) => Err(error),
            }
        });
        Ok(pages.boxed())
    }
}

/// The JSON of an answer.
pub(crate) fn json(answer: impl serde::Serialize) -> Result<Value> {
    serde_json::to_value(answer)
        .map_err(|source| Error::internal("answer_unwritable", "an answer is not JSON").because(source))
}
