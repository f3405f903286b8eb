//! What is behind the socket.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value as Json;

use super::message::Principal;
use crate::model::Result;

/// Lets callers in.
#[async_trait]
pub trait Service: Send + Sync + 'static {
    /// Says who shows this token.
    ///
    /// # Contract
    /// It is an error that may be told to anybody, and does not quote the token, where the token is good for nothing.
    async fn admit(&self, token: &str) -> Result<Arc<dyn Caller>>;
}

/// One caller, for as long as it is connected.
#[async_trait]
pub trait Caller: Send + Sync + 'static {
    /// Who it is.
    fn principal(&self) -> Principal;

    /// Whose connections are counted together: who makes another token of a good one gets no more places by it.
    fn holder(&self) -> String;

    /// Runs an operation by its name.
    ///
    /// # Contract
    /// Whether the caller may do so is judged with each call. The call may be dropped at any await, where its deadline
    /// passes or the caller is gone; repeated with its key it then does once what it did not do.
    async fn call(&self, operation: &str, input: Json, key: Option<String>) -> Result<Json>;
}
