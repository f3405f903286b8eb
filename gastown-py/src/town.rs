//! A town's handle, by operation name; `gastown/_town.py` gives it names and types.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::StreamExt;
use gastown_core::Error;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::awaitable::async_call;
use crate::calls::{Calls, Events};
use crate::json::arguments;

/// An open town.
#[pyclass(frozen, module = "gastown._gastown")]
pub(crate) struct Town {
    calls: Arc<dyn Calls>,
}

impl Town {
    pub(crate) fn new(calls: Arc<dyn Calls>) -> Self {
        Self { calls }
    }
}

#[pymethods]
impl Town {
    /// Runs one operation.
    fn call<'py>(&self, py: Python<'py>, name: String, input: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyAny>> {
        let input = arguments(input)?;
        let calls = Arc::clone(&self.calls);
        async_call(py, async move { calls.call(name, input).await })
    }

    /// Follows the journal.
    #[pyo3(signature = (since=None))]
    fn watch(&self, since: Option<i64>) -> Watch {
        Watch { events: Arc::new(Mutex::new(Some(self.calls.watch(since)))) }
    }
}

/// The journal being followed.
#[pyclass(frozen, module = "gastown._gastown")]
pub(crate) struct Watch {
    events: Arc<Mutex<Option<Events>>>,
}

#[pymethods]
impl Watch {
    /// The next event, or none when the town was closed. One call at a time.
    fn next<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let slot = Arc::clone(&self.events);
        async_call(py, async move {
            let mut taken = Taken::from(slot)?;
            let event = taken.events().next().await.transpose()?;
            Ok(event.unwrap_or_default())
        })
    }
}

/// The stream while somebody waits for it; put back when dropped, however the waiting ends.
struct Taken {
    slot: Arc<Mutex<Option<Events>>>,
    events: Option<Events>,
}

impl Taken {
    fn from(slot: Arc<Mutex<Option<Events>>>) -> gastown_core::Result<Self> {
        let events = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        if events.is_none() {
            return Err(Error::conflict("watch_busy", "somebody is already waiting for the next event"));
        }
        Ok(Self { slot, events })
    }

    fn events(&mut self) -> &mut Events {
        self.events.as_mut().expect("only drop takes it")
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        *self.slot.lock().unwrap_or_else(PoisonError::into_inner) = self.events.take();
    }
}
