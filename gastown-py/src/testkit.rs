//! The conformance kit of storage, for backends written in Python.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::sync::Arc;

use gastown_core::Result;
use gastown_core::store::Backend;
use gastown_core::store::conformance::{self, Subject};
use pyo3::exceptions::{PyAssertionError, PyKeyError};
use pyo3::prelude::*;

use crate::backend::HostBackend;
use crate::error::from_exception;

/// The names of all cases.
#[pyfunction]
pub(crate) fn conformance_cases() -> Vec<&'static str> {
    conformance::cases().into_iter().map(|case| case.name).collect()
}

/// Runs one case.
#[pyfunction]
#[pyo3(signature = (name, make, address=None, command=None))]
pub(crate) fn conformance_run(
    py: Python<'_>,
    name: &str,
    make: Py<PyAny>,
    address: Option<String>,
    command: Option<Vec<String>>,
) -> PyResult<()> {
    let case = conformance::cases()
        .into_iter()
        .find(|case| case.name == name)
        .ok_or_else(|| PyKeyError::new_err(name.to_owned()))?;
    let subject = Made { make, address, command };
    // Its threads need the interpreter for every call of the backend.
    py.detach(|| failing(|| case.run(&subject)))
}

/// Does what a case of another process wants done; false where this one was not started for that.
#[pyfunction]
#[allow(clippy::needless_pass_by_value, reason = "a function of Python's takes what it is given")]
pub(crate) fn conformance_part(py: Python<'_>, open: Py<PyAny>) -> PyResult<bool> {
    let mut took_part = false;
    py.detach(|| failing(|| took_part = conformance::take_part(&|address| made(&open, (address,)))))?;
    Ok(took_part)
}

/// The words of a panic as an exception.
fn failing(work: impl FnOnce()) -> PyResult<()> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| {
        let words = payload
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| payload.downcast_ref::<&str>().copied())
            .unwrap_or("the case failed");
        PyAssertionError::new_err(words.to_owned())
    })
}

/// What `make` answers to these arguments.
fn made<A>(make: &Py<PyAny>, arguments: A) -> Arc<dyn Backend>
where
    A: for<'py> pyo3::call::PyCallArgs<'py>,
{
    let object: Result<Py<PyAny>> =
        Python::attach(|py| make.call1(py, arguments).map_err(|exception| from_exception(py, "factory", &exception)));
    object.and_then(HostBackend::of).unwrap_or_else(|error| panic!("no backend was made: {}", error.chain()))
}

/// The database of one case: every call of `make` gives an instance on it.
struct Made {
    make: Py<PyAny>,
    address: Option<String>,
    command: Option<Vec<String>>,
}

impl Subject for Made {
    fn backend(&self) -> Arc<dyn Backend> {
        made(&self.make, ())
    }

    fn address(&self) -> Option<String> {
        self.address.clone()
    }

    fn command(&self) -> Option<Command> {
        let (program, arguments) = self.command.as_ref()?.split_first()?;
        let mut command = Command::new(program);
        command.args(arguments);
        Some(command)
    }
}
