//! Errors of core as rejections.

use gastown_core::Error;
use serde_json::{Map, Value, json};

/// The rejection for an error: its reason is JSON, which `index.js` makes a `GastownError` of.
///
/// napi has no way to give the error of an async method fields of its own.
pub(crate) fn to_rejection(error: &Error) -> napi::Error {
    let facts: Map<String, Value> = error.facts().map(|(name, value)| (name.to_owned(), value.into())).collect();
    let reason = json!({
        "kind": error.kind(),
        "code": error.code(),
        "message": error.to_string(),
        "chain": error.chain(),
        "facts": facts,
    });
    napi::Error::from_reason(reason.to_string())
}
