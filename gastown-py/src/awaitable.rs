//! Futures of core as awaitables of asyncio.

use std::future::Future;
use std::sync::{Mutex, PoisonError};

use gastown_core::Result;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use serde_json::Value;
use tokio::task::AbortHandle;

use crate::error::to_exception;
use crate::handle::Handle;
use crate::json::to_python;
use crate::runtime::{attach, runtime};
use crate::town::Town;

/// An awaitable of the running event loop for a future of core; cancelling the awaitable drops the future.
pub(crate) fn async_call<F, T>(py: Python<'_>, future: F) -> PyResult<Bound<'_, PyAny>>
where
    F: Future<Output = Result<T>> + Send + 'static,
    T: Answer,
{
    let runtime = runtime(py).map_err(|error| to_exception(py, &error))?;
    let event_loop = running_loop(py)?;
    let awaitable = event_loop.call_method0("create_future")?;
    let delivery = (event_loop.unbind(), awaitable.clone().unbind());
    let task = runtime.spawn(async move {
        let outcome = future.await.map(|answer| Box::new(answer) as Box<dyn Answer>);
        // Nobody waits for an answer any more when the interpreter ends.
        let _ = attach(move |py| deliver(py, delivery, outcome));
    });
    awaitable.call_method1("add_done_callback", (Abort(task.abort_handle()),))?;
    Ok(awaitable)
}

type Outcome = Result<Box<dyn Answer>>;

/// What a call may answer.
pub(crate) trait Answer: Send + 'static {
    /// The Python value of it.
    fn into_python(self: Box<Self>, py: Python<'_>) -> PyResult<Bound<'_, PyAny>>;
}

impl Answer for Value {
    fn into_python(self: Box<Self>, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        to_python(py, *self)
    }
}

impl Answer for () {
    fn into_python(self: Box<Self>, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        Ok(py.None().into_bound(py))
    }
}

impl Answer for Town {
    fn into_python(self: Box<Self>, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        Ok(Bound::new(py, *self)?.into_any())
    }
}

impl Answer for Handle {
    fn into_python(self: Box<Self>, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        Ok(Bound::new(py, *self)?.into_any())
    }
}

fn running_loop(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    static GET_RUNNING_LOOP: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    GET_RUNNING_LOOP.import(py, "asyncio", "get_running_loop")?.call0()
}

fn deliver(py: Python<'_>, (event_loop, awaitable): (Py<PyAny>, Py<PyAny>), outcome: Outcome) {
    let settle = Settle { awaitable, outcome: Mutex::new(Some(outcome)) };
    // It fails only for a loop that was closed: nobody waits any more.
    let _ = event_loop.call_method1(py, "call_soon_threadsafe", (settle,));
}

/// Settles an awaitable, on the thread of its loop.
#[pyclass(frozen)]
struct Settle {
    awaitable: Py<PyAny>,
    outcome: Mutex<Option<Outcome>>,
}

#[pymethods]
impl Settle {
    fn __call__(&self, py: Python<'_>) -> PyResult<()> {
        let awaitable = self.awaitable.bind(py);
        let outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(outcome) = outcome else { return Ok(()) };
        if awaitable.call_method0("done")?.is_truthy()? {
            return Ok(());
        }
        match outcome.map_err(|error| to_exception(py, &error)).and_then(|answer| answer.into_python(py)) {
            Ok(value) => awaitable.call_method1("set_result", (value,))?,
            Err(error) => awaitable.call_method1("set_exception", (error.into_value(py),))?,
        };
        Ok(())
    }
}

/// Drops the future when its awaitable is done: a cancelled one is not needed, any other is finished.
#[pyclass(frozen)]
struct Abort(AbortHandle);

#[pymethods]
impl Abort {
    fn __call__(&self, _awaitable: &Bound<'_, PyAny>) {
        self.0.abort();
    }
}
