//! An open town.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gastown_core::model::{RigName, SessionId, Timestamp, UserId};
use gastown_core::{Clock as _, DrainTown, MergeBeads, TownOptions, operations};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::awaitable::async_call;
use crate::backend::HostBackend;
use crate::calls::json;
use crate::error::to_exception;
use crate::handle::Handle;
use crate::json::{arguments, to_python};
use crate::runtime::Owned;

/// A town: its engine, and the handles to it.
#[pyclass(frozen, module = "gastown._gastown")]
pub(crate) struct Town {
    town: Owned<gastown_core::Town>,
}

/// Opens the town in a folder, making it where there is none.
#[pyfunction]
#[pyo3(signature = (dir, options, clock=None, backend=None, beside=None))]
pub(crate) fn open<'py>(
    py: Python<'py>,
    dir: PathBuf,
    options: &Bound<'py, PyDict>,
    clock: Option<&ManualClock>,
    backend: Option<Py<PyAny>>,
    beside: Option<PathBuf>,
) -> PyResult<Bound<'py, PyAny>> {
    let options = arguments(options)?;
    let clock = clock.map(|clock| Arc::new(clock.0.clone()));
    async_call(py, async move {
        let builder = gastown_core::Town::builder(dir).from_env();
        let builder = builder.options(TownOptions { beside, ..TownOptions::from_json(options)? })?;
        let builder = if let Some(clock) = clock { builder.clock(clock) } else { builder };
        let builder = if let Some(backend) = backend { builder.backend(HostBackend::of(backend)?) } else { builder };
        Ok(Town { town: Owned::new(builder.open().await?) })
    })
}

/// The core's table of operations.
#[pyfunction(name = "operations")]
pub(crate) fn operations_table(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    to_python(py, json(operations()).map_err(|error| to_exception(py, &error))?)
}

/// Brings two files of issues together that grew out of a third.
#[pyfunction]
pub(crate) fn merge_beads<'py>(py: Python<'py>, input: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyAny>> {
    let input = arguments(input)?;
    let merged = py.detach(|| json(gastown_core::merge_beads(&MergeBeads::from_json(input)?)?));
    to_python(py, merged.map_err(|error| to_exception(py, &error))?)
}

#[pymethods]
impl Town {
    /// The town's name.
    #[getter]
    fn id(&self) -> &str {
        self.town.id().as_str()
    }

    /// The folder of the town's files.
    #[getter]
    fn dir(&self) -> PathBuf {
        self.town.dir().to_owned()
    }

    /// A handle with the scope of the operator.
    fn operator(&self) -> Handle {
        Handle::new(Arc::new(self.town.operator()))
    }

    /// A handle that sees and changes one rig.
    fn rig(&self, py: Python<'_>, name: String) -> PyResult<Handle> {
        let name = RigName::new(name).map_err(|error| to_exception(py, &error))?;
        Ok(Handle::new(Arc::new(self.town.rig(name))))
    }

    /// A handle for a user that the host knows by this name.
    fn user(&self, py: Python<'_>, name: String) -> PyResult<Handle> {
        let name = UserId::new(name).map_err(|error| to_exception(py, &error))?;
        Ok(Handle::new(Arc::new(self.town.user(name))))
    }

    /// A handle for whoever shows this token.
    fn with_token<'py>(&self, py: Python<'py>, token: String) -> PyResult<Bound<'py, PyAny>> {
        let town = self.town.clone();
        async_call(py, async move { Ok(Handle::new(Arc::new(town.with_token(&token).await?))) })
    }

    /// A handle with the scope of the agent in a session.
    fn session<'py>(&self, py: Python<'py>, id: String) -> PyResult<Bound<'py, PyAny>> {
        let town = self.town.clone();
        async_call(py, async move { Ok(Handle::new(Arc::new(town.session(&SessionId::new(id)?).await?))) })
    }

    /// Starts the engine.
    fn start<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let town = self.town.clone();
        async_call(py, async move { town.start().await })
    }

    /// Opens the socket.
    fn serve<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let town = self.town.clone();
        async_call(py, async move { town.serve().await })
    }

    /// Stops the engine.
    fn stop<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let town = self.town.clone();
        async_call(py, async move { town.stop().await })
    }

    /// Gives the work of this host away and stops the engine.
    fn drain<'py>(&self, py: Python<'py>, input: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyAny>> {
        let (town, input) = (self.town.clone(), arguments(input)?);
        async_call(py, async move { town.drain(DrainTown::from_json(input)?).await })
    }

    /// Stops the engine and closes the town.
    fn close<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let town = self.town.clone();
        async_call(py, async move { town.close().await })
    }

    /// Plays the journal and compares what it gives with what is stored.
    fn replay<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let town = self.town.clone();
        async_call(py, async move { json(town.replay().await?) })
    }
}

/// A clock that stands still until it is set.
#[pyclass(frozen, module = "gastown")]
pub(crate) struct ManualClock(gastown_core::ManualClock);

#[pymethods]
impl ManualClock {
    #[new]
    fn new(now: i64) -> Self {
        Self(gastown_core::ManualClock::at(Timestamp::from_micros(now)))
    }

    /// What it shows, in microseconds since 1970 UTC.
    #[getter]
    fn now(&self) -> i64 {
        self.0.now().as_micros()
    }

    /// Shows this time from now on.
    fn set(&self, now: i64) {
        self.0.set(Timestamp::from_micros(now));
    }

    /// Goes on by that many microseconds.
    fn advance(&self, micros: u64) {
        self.0.advance(Duration::from_micros(micros));
    }
}
