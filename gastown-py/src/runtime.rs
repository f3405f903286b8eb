//! The tokio runtime of this process, and futures of core as awaitables.

use std::future::Future;
use std::process;

use gastown_core::{Error, Result};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use tokio::runtime::{Builder, Runtime};

use crate::error::to_exception;
use crate::json::{Answer, from_python};

/// The process that started the runtime, and the runtime; it lives as long as the process.
static STARTED: PyOnceLock<(u32, &'static Runtime)> = PyOnceLock::new();

/// An awaitable for a future of core; cancelling the awaitable drops the future.
pub(crate) fn async_call<F>(py: Python<'_>, future: F) -> PyResult<Bound<'_, PyAny>>
where
    F: Future<Output = Result<serde_json::Value>> + Send + 'static,
{
    started(py).map_err(|error| to_exception(py, &error))?;
    pyo3_async_runtimes::tokio::future_into_py(py, async move {
        match future.await {
            Ok(value) => Ok(Answer(value)),
            Err(error) => Err(Python::attach(|py| to_exception(py, &error))),
        }
    })
}

/// The JSON of a call's arguments.
pub(crate) fn arguments(value: &Bound<'_, PyAny>) -> PyResult<serde_json::Value> {
    from_python(value).map_err(|error| to_exception(value.py(), &error))
}

/// Starts the runtime at the first call; refuses in a child of fork, where its threads do not exist.
///
/// The interpreter is held throughout, so that no `os.fork` finds it half made.
fn started(py: Python<'_>) -> Result<()> {
    let (owner, _) = STARTED.get_or_try_init(py, || {
        let runtime = Builder::new_multi_thread()
            .enable_all()
            .thread_name("gastown")
            .build()
            .map_err(|source| Error::unavailable("runtime_start", "threads cannot be started").because(source))?;
        let runtime: &'static Runtime = Box::leak(Box::new(runtime));
        pyo3_async_runtimes::tokio::init_with_runtime(runtime)
            .map_err(|()| Error::internal("runtime_twice", "another runtime was set for this module"))?;
        Ok((process::id(), runtime))
    })?;
    if *owner == process::id() {
        return Ok(());
    }
    Err(Error::unsupported(
        "forked",
        "this process was forked after gastown was first used; open the town in the child of a spawn instead",
    )
    .with("parent", owner)
    .with("child", process::id()))
}
