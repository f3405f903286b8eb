//! A handle, by operation name; `town.js` gives it names and `index.d.ts` types.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::StreamExt;
use futures_util::stream::{AbortHandle, Abortable, abortable};
use gastown_core::Error;
use napi_derive::napi;
use serde_json::Value;

use crate::calls::{Calls, Events};
use crate::error::to_rejection;

/// A town through one scope.
#[napi]
pub struct Handle {
    calls: Arc<dyn Calls>,
}

impl Handle {
    pub(crate) fn new(calls: Arc<dyn Calls>) -> Self {
        Self { calls }
    }
}

#[napi]
impl Handle {
    /// Runs one operation.
    #[napi]
    pub async fn call(&self, name: String, input: Value, key: Option<String>) -> napi::Result<Value> {
        self.calls.call(name, input, key).await.map(marked).map_err(|error| to_rejection(&error))
    }

    /// Follows the journal.
    #[napi]
    pub fn watch(&self, since: i64) -> napi::Result<Watch> {
        let since = u64::try_from(since).map_err(|source| {
            let error = Error::invalid("value_range", "since is not a place in the journal").with("path", "since");
            to_rejection(&error.because(source))
        })?;
        let (events, close) = abortable(self.calls.watch(since).map_err(|error| to_rejection(&error))?);
        Ok(Watch { events: Mutex::new(Some(events)), close })
    }

    /// Follows a session's output.
    #[napi]
    pub fn follow(&self, query: Value) -> napi::Result<Watch> {
        let (pages, close) = abortable(self.calls.follow(query).map_err(|error| to_rejection(&error))?);
        Ok(Watch { events: Mutex::new(Some(pages)), close })
    }
}

/// The journal or a session's output being followed.
#[napi]
pub struct Watch {
    events: Mutex<Option<Abortable<Events>>>,
    close: AbortHandle,
}

#[napi]
impl Watch {
    /// Ends the watch; who waits for the next event gets null.
    #[napi]
    pub fn close(&self) {
        self.close.abort();
    }

    /// The next event, or null when the town was closed. One call at a time.
    #[napi]
    pub async fn next(&self) -> napi::Result<Option<Value>> {
        let mut taken = Taken::from(&self.events).map_err(|error| to_rejection(&error))?;
        let event = taken.events().next().await.transpose().map_err(|error| to_rejection(&error))?;
        Ok(event.map(marked))
    }
}

/// The value with every key `__proto__` marked by a NUL, so that setting it is not setting a prototype.
///
/// `convert.js` takes the mark away; a key that begins with one gets a second.
fn marked(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(marked).collect(),
        Value::Object(map) => map
            .into_iter()
            .map(|(key, item)| {
                let special = key == "__proto__" || key.starts_with('\0');
                (if special { format!("\0{key}") } else { key }, marked(item))
            })
            .collect(),
        plain => plain,
    }
}

/// The stream while somebody waits for it; put back when dropped, however the waiting ends.
struct Taken<'a> {
    slot: &'a Mutex<Option<Abortable<Events>>>,
    events: Option<Abortable<Events>>,
}

impl<'a> Taken<'a> {
    fn from(slot: &'a Mutex<Option<Abortable<Events>>>) -> gastown_core::Result<Self> {
        let events = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        if events.is_none() {
            return Err(Error::conflict("watch_busy", "somebody is already waiting for the next event"));
        }
        Ok(Self { slot, events })
    }

    fn events(&mut self) -> &mut Abortable<Events> {
        self.events.as_mut().expect("only drop takes it")
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        *self.slot.lock().unwrap_or_else(PoisonError::into_inner) = self.events.take();
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.close.abort();
    }
}
