//! A backend written in Python: its methods are called with the interpreter held, from threads of the store.
//!
//! What every backend must refuse is refused here, so that a host's class holds rows and nothing else.

mod changes;
mod connection;
mod rows;
mod scan;

use std::fmt;
use std::sync::Arc;

use gastown_core::store::index::{Condition, INDEXES};
use gastown_core::store::{Access, Backend, Changes, Connection};
use gastown_core::{Error, Result, model};
use pyo3::call::PyCallArgs;
use pyo3::prelude::*;
use serde_json::json;

use crate::error::{from_exception, to_exception};
use crate::json::to_python;
use crate::runtime::attach;

pub(crate) use scan::Scan;

/// A host's object that has the methods of `gastown.backend.Backend`.
pub(crate) struct HostBackend(Host);

impl HostBackend {
    /// # Errors
    /// `value_type` where it has no method `connect`.
    pub(crate) fn of(object: Py<PyAny>) -> Result<Arc<dyn Backend>> {
        let host = Host(Some(object));
        if host.has("connect") {
            return Ok(Arc::new(Self(host)));
        }
        let found = host.type_name();
        let what = format!("a backend has a method connect, and a value of the type {found} has none");
        Err(Error::invalid("value_type", what).with("found", found))
    }
}

impl fmt::Debug for HostBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HostBackend")
    }
}

impl Backend for HostBackend {
    fn name(&self) -> &'static str {
        "python"
    }

    fn connect(&self, access: Access) -> Result<Box<dyn Connection>> {
        let word = match access {
            Access::Read => "read",
            Access::Write => "write",
        };
        let object = self.0.call("connect", (word,), |_, object| Ok(object.unbind()))?;
        Ok(Box::new(connection::HostConnection::new(Host(Some(object)), access)))
    }

    fn changes(&self) -> Result<Option<Box<dyn Changes>>> {
        if !self.0.has("changes") {
            return Ok(None);
        }
        let watch = self.0.call("changes", (), |_, object| Ok((!object.is_none()).then(|| object.unbind())))?;
        Ok(watch.map(|object| Box::new(changes::HostChanges::new(Host(Some(object)))) as Box<dyn Changes>))
    }
}

/// An object of the host, only let go of with the interpreter.
pub(super) struct Host(Option<Py<PyAny>>);

impl Host {
    /// Calls a method and reads what it answers.
    pub(super) fn call<A, T>(
        &self,
        method: &'static str,
        arguments: A,
        read: impl FnOnce(&'static str, Bound<'_, PyAny>) -> Result<T>,
    ) -> Result<T>
    where
        A: for<'py> PyCallArgs<'py>,
    {
        let called = attach(|py| {
            let object = self.0.as_ref().expect("only drop takes it").bind(py);
            let answer =
                object.call_method1(method, arguments).map_err(|exception| from_exception(py, method, &exception))?;
            read(method, answer)
        });
        called.unwrap_or_else(|| Err(ending(method)))
    }

    /// Whether it has a method that it need not have.
    pub(super) fn has(&self, method: &'static str) -> bool {
        let object = self.0.as_ref().expect("only drop takes it");
        attach(|py| object.bind(py).hasattr(method).unwrap_or(false)).unwrap_or(false)
    }

    fn type_name(&self) -> String {
        let object = self.0.as_ref().expect("only drop takes it");
        let name = attach(|py| object.bind(py).get_type().name().map(|name| name.to_string()));
        name.and_then(std::result::Result::ok).unwrap_or_else(|| "an object".to_owned())
    }

    /// Calls `close`; what it raises is shown, as nobody can be told.
    pub(super) fn close(&self) {
        let object = self.0.as_ref().expect("only drop takes it");
        let closed = attach(|py| {
            if let Err(exception) = object.bind(py).call_method0("close") {
                exception.write_unraisable(py, Some(object.bind(py)));
            }
        });
        // When the interpreter ends, what it holds open ends with it.
        let _ = closed;
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(object) = self.0.take() {
            let mut object = Some(object);
            if attach(|_| drop(object.take())).is_none() {
                std::mem::forget(object);
            }
        }
    }
}

fn ending(method: &'static str) -> Error {
    Error::unavailable("interpreter_ending", "the interpreter is ending, so the backend is not called any more")
        .with("method", method)
}

/// The error of a method that answered something else than it must.
pub(super) fn misshapen(method: &'static str, wanted: &str, found: &Bound<'_, PyAny>) -> Error {
    let found = found.get_type().name().map_or_else(|_| "an object".to_owned(), |name| name.to_string());
    Error::internal(
        "backend_answer",
        format!("the backend's {method} answered a value of the type {found}, not {wanted}"),
    )
    .with("method", method)
    .with("found", found)
}

/// What is stored: the tables with their columns, and the indexes.
#[pyfunction]
pub(crate) fn schema(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let tables: Vec<_> = model::RowKind::ALL
        .iter()
        .map(|kind| {
            let columns: Vec<_> = kind
                .columns()
                .iter()
                .map(|column| {
                    let is_int = column.column_type == model::value::ColumnType::Int;
                    json!([column.name, if is_int { "int" } else { "text" }, column.nullable])
                })
                .collect();
            json!([kind.table(), columns, kind.key_len()])
        })
        .collect();
    let indexes: Vec<_> = INDEXES
        .iter()
        .map(|index| {
            let conditions: Vec<_> = index
                .conditions
                .iter()
                .map(|condition| match condition {
                    Condition::Int(name, wanted) => json!([name, wanted]),
                    Condition::Text(name, wanted) => json!([name, wanted]),
                    Condition::Present(name) => json!([name, null]),
                })
                .collect();
            json!([index.name, index.kind.table(), conditions, index.prefix, index.order])
        })
        .collect();
    to_python(py, json!({ "tables": tables, "indexes": indexes })).map_err(|error| {
        let error = Error::internal("schema_unreadable", "the schema does not become Python values").because(error);
        to_exception(py, &error)
    })
}
