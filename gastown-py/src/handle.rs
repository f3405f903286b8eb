//! A handle, by operation name; `gastown/_town.py` gives it names and types.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::{AbortHandle, Abortable, abortable};
use gastown_core::{Error, Result};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use tokio::sync::Mutex;

use crate::awaitable::async_call;
use crate::calls::{Calls, Events};
use crate::error::to_exception;
use crate::json::arguments;
use crate::runtime::Owned;

/// A town through one scope.
#[pyclass(frozen, module = "gastown._gastown")]
pub(crate) struct Handle {
    calls: Owned<Arc<dyn Calls>>,
}

impl Handle {
    pub(crate) fn new(calls: Arc<dyn Calls>) -> Self {
        Self { calls: Owned::new(calls) }
    }
}

#[pymethods]
impl Handle {
    /// Runs one operation.
    #[pyo3(signature = (name, input, key=None))]
    fn call<'py>(
        &self,
        py: Python<'py>,
        name: String,
        input: &Bound<'py, PyDict>,
        key: Option<String>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let input = arguments(input)?;
        let calls = Arc::clone(&self.calls);
        async_call(py, async move { calls.call(name, input, key).await })
    }

    /// Follows the journal.
    #[pyo3(signature = (since=None))]
    fn watch(&self, py: Python<'_>, since: Option<&Bound<'_, PyAny>>) -> PyResult<Watch> {
        let since = since.map_or(Ok(0), |since| place(since)).map_err(|error| to_exception(py, &error))?;
        let (events, close) = abortable(self.calls.watch(since).map_err(|error| to_exception(py, &error))?);
        Ok(Watch { events: Owned::new(Arc::new(Mutex::new(events))), close })
    }

    /// Follows a session's output.
    fn follow(&self, py: Python<'_>, query: &Bound<'_, PyDict>) -> PyResult<Watch> {
        let query = arguments(query)?;
        let (pages, close) = abortable(self.calls.follow(query).map_err(|error| to_exception(py, &error))?);
        Ok(Watch { events: Owned::new(Arc::new(Mutex::new(pages))), close })
    }
}

/// A place in the journal.
fn place(since: &Bound<'_, PyAny>) -> Result<u64> {
    let wrong = |_| Error::invalid("value_range", "since is not a place in the journal").with("path", "since");
    since.extract().map_err(wrong)
}

/// The journal or a session's output being followed.
#[pyclass(frozen, module = "gastown._gastown")]
pub(crate) struct Watch {
    events: Owned<Arc<Mutex<Abortable<Events>>>>,
    close: AbortHandle,
}

#[pymethods]
impl Watch {
    /// The next event, or none when the watch or the town was closed.
    fn next<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let events = Arc::clone(&self.events);
        async_call(py, async move {
            let event = events.lock().await.next().await.transpose()?;
            Ok(event.unwrap_or_default())
        })
    }

    /// Ends the watch; who waits for the next event gets none.
    fn close(&self) {
        self.close.abort();
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.close.abort();
    }
}
