//! Errors of core as exceptions: one class per kind, all below `GastownError`.

use std::ffi::CString;
use std::fmt;

use gastown_core::{Error, ErrorKind};
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyType};

static CLASSES: PyOnceLock<Vec<(ErrorKind, Py<PyType>)>> = PyOnceLock::new();

/// Adds `GastownError` and one subclass for each kind to the module.
pub(crate) fn add_classes(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    let base = class(py, "GastownError", "internal", &py.get_type::<PyException>())?;
    module.add("GastownError", &base)?;
    let classes = ErrorKind::ALL
        .iter()
        .map(|kind| Ok((*kind, class(py, &class_name(*kind), kind.as_str(), &base)?.unbind())))
        .collect::<PyResult<Vec<_>>>()?;
    for (kind, class) in &classes {
        module.add(class_name(*kind).as_str(), class)?;
    }
    // A second import (a sub-interpreter is refused by PyO3) finds the same classes.
    let _ = CLASSES.set(py, classes);
    Ok(())
}

/// The exception for an error.
pub(crate) fn to_exception(py: Python<'_>, error: &Error) -> PyErr {
    raise(py, error).unwrap_or_else(|failure| failure)
}

fn raise(py: Python<'_>, error: &Error) -> PyResult<PyErr> {
    let classes = CLASSES.get(py).expect("the module made them before any call");
    let (_, class) = classes
        .iter()
        .find(|(kind, _)| *kind == error.kind())
        .or(classes.last())
        .expect("there is a class for every kind");
    let instance = class.bind(py).call1((error.to_string(),))?;
    instance.setattr("code", error.code())?;
    let facts = PyDict::new(py);
    for (name, value) in error.facts() {
        facts.set_item(name, value)?;
    }
    instance.setattr("facts", facts)?;
    instance.setattr("chain", error.chain())?;
    Ok(PyErr::from_value(instance))
}

/// The error that an exception of a host's own code is: ours keeps its kind and code, any other is `backend_failed`.
///
/// The traceback is its source.
pub(crate) fn from_exception(py: Python<'_>, method: &str, exception: &PyErr) -> Error {
    let value = exception.value(py);
    let base = CLASSES.get(py).and_then(|classes| classes[0].1.bind(py).getattr("__base__").ok());
    let is_ours = base.is_some_and(|base| value.is_instance(&base).unwrap_or(false));
    let attribute = |name: &str| value.getattr(name).ok().and_then(|text| text.extract::<String>().ok());
    let error = match (is_ours, attribute("kind"), attribute("code")) {
        (true, Some(kind), Some(code)) => {
            let kind = ErrorKind::ALL.into_iter().find(|known| known.as_str() == kind).unwrap_or(ErrorKind::Internal);
            Error::new(kind, code, value.to_string())
        }
        _ => Error::unavailable("backend_failed", format!("the backend's {method} raised {exception}")),
    };
    error.with("method", method).because(Traceback(traceback(py, exception)))
}

/// What Python would have printed of an exception.
#[derive(Debug)]
struct Traceback(String);

impl fmt::Display for Traceback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.trim_end())
    }
}

impl std::error::Error for Traceback {}

fn traceback(py: Python<'_>, exception: &PyErr) -> String {
    let format = || {
        let lines = py
            .import("traceback")?
            .call_method1("format_exception", (exception.get_type(py), exception.value(py), exception.traceback(py)))?;
        Ok::<_, PyErr>(lines.extract::<Vec<String>>()?.concat())
    };
    format().unwrap_or_else(|_| exception.to_string())
}

fn class<'py>(py: Python<'py>, name: &str, kind: &str, base: &Bound<'py, PyType>) -> PyResult<Bound<'py, PyType>> {
    let attributes = PyDict::new(py);
    attributes.set_item("kind", kind)?;
    attributes.set_item("code", kind)?;
    attributes.set_item("chain", "")?;
    attributes.set_item("facts", PyDict::new(py))?;
    let full_name = CString::new(format!("gastown.{name}"))?;
    // `new_type` drops its reference to the dict before it reads it, so ours stays until it is done.
    let kept = attributes.clone().into_any().unbind();
    let class = PyErr::new_type(py, &full_name, None, Some(base), Some(kept))?;
    drop(attributes);
    Ok(class.into_bound(py))
}

/// `not_found` is raised as `NotFoundError`.
fn class_name(kind: ErrorKind) -> String {
    let mut name = String::new();
    for word in kind.as_str().split('_') {
        let (first, rest) = word.split_at(1);
        name.push_str(&first.to_uppercase());
        name.push_str(rest);
    }
    name + "Error"
}
