//! Columns, rows and entries on their way to a host's methods and back.

use std::convert::Infallible;

use gastown_core::model::value::Value;
use gastown_core::model::{Event, Head};
use gastown_core::{Error, Result};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyInt, PyString};

use super::misshapen;

/// A column as `None`, `int` or `str`.
#[derive(Clone)]
pub(crate) struct PyValue(pub(super) Value);

impl<'py> IntoPyObject<'py> for PyValue {
    type Target = PyAny;
    type Output = Bound<'py, PyAny>;
    type Error = Infallible;

    fn into_pyobject(self, py: Python<'py>) -> Result<Self::Output, Infallible> {
        Ok(match self.0 {
            Value::Null => py.None().into_bound(py),
            Value::Int(n) => n.into_pyobject(py)?.into_any(),
            Value::Text(text) => PyString::new(py, &text).into_any(),
        })
    }
}

pub(super) fn values(values: &[Value]) -> Vec<PyValue> {
    values.iter().cloned().map(PyValue).collect()
}

/// A list of things that a method answered.
fn list<'py>(method: &'static str, answer: &Bound<'py, PyAny>, wanted: &str) -> Result<Vec<Bound<'py, PyAny>>> {
    let wrong = |_| misshapen(method, wanted, answer);
    // Text is a sequence as well, and never what is meant.
    if answer.is_instance_of::<PyString>() {
        return Err(misshapen(method, wanted, answer));
    }
    answer.try_iter().map_err(wrong)?.collect::<PyResult<_>>().map_err(wrong)
}

/// The columns of one row.
pub(super) fn row(method: &'static str, answer: &Bound<'_, PyAny>) -> Result<Vec<Value>> {
    list(method, answer, "a sequence of columns")?.iter().map(|column| value(method, column)).collect()
}

/// The columns of several rows.
pub(super) fn rows(method: &'static str, answer: &Bound<'_, PyAny>) -> Result<Vec<Vec<Value>>> {
    list(method, answer, "a sequence of rows")?.iter().map(|answer| row(method, answer)).collect()
}

fn value(method: &'static str, column: &Bound<'_, PyAny>) -> Result<Value> {
    let wrong = || misshapen(method, "a column: None, a 64-bit int or a str of Unicode text", column);
    if column.is_none() {
        Ok(Value::Null)
    } else if let Ok(text) = column.cast::<PyString>() {
        text.to_cow().map(|text| Value::Text(text.into_owned())).map_err(|_| wrong())
    } else if column.is_instance_of::<PyInt>() && !column.is_instance_of::<PyBool>() {
        column.extract().map(Value::Int).map_err(|_| wrong())
    } else {
        Err(wrong())
    }
}

/// Where the journal ends.
pub(super) fn head(method: &'static str, answer: &Bound<'_, PyAny>) -> Result<Head> {
    let (seq, hash) = answer
        .extract()
        .map_err(|_| misshapen(method, "a pair of the last number and its hash, (0, \"\") at first", answer))?;
    Ok(Head { seq, hash })
}

/// Entries from the texts that were stored.
pub(super) fn events(method: &'static str, answer: &Bound<'_, PyAny>) -> Result<Vec<Event>> {
    let texts = list(method, answer, "a sequence of the texts that were appended")?;
    let read = |text: &Bound<'_, PyAny>| {
        let words: String = text.extract().map_err(|_| misshapen(method, "a text that was appended", text))?;
        serde_json::from_str(&words).map_err(|source| {
            Error::corrupt("event_unreadable", "an entry of the journal cannot be read").because(source)
        })
    };
    texts.iter().map(read).collect()
}

/// An entry as its number, its hash and its text.
pub(super) fn entry(event: &Event) -> Result<(u64, String, String)> {
    let text = serde_json::to_string(event)
        .map_err(|source| Error::internal("event_unwritable", "an entry of the journal is not JSON").because(source))?;
    Ok((event.seq, event.hash.clone(), text))
}
