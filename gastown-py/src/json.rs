//! Python values as JSON and back.

use gastown_core::{Error, Result};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};
use serde_json::{Map, Value};

use crate::error::to_exception;

/// How deep lists and dicts may be nested.
const DEPTH_MAX: usize = 64;

/// The JSON of a call's arguments.
pub(crate) fn arguments(value: &Bound<'_, PyAny>) -> PyResult<Value> {
    from_python(value).map_err(|error| to_exception(value.py(), &error))
}

/// The JSON of a Python value.
///
/// `invalid` for what JSON or a 64-bit integer cannot hold, with the fact `path`.
fn from_python(value: &Bound<'_, PyAny>) -> Result<Value> {
    convert(value, &mut Vec::new())
}

fn convert(value: &Bound<'_, PyAny>, path: &mut Vec<String>) -> Result<Value> {
    if path.len() > DEPTH_MAX {
        return Err(refused("value_depth", path, &format!("is nested deeper than {DEPTH_MAX}")));
    }
    if value.is_none() {
        return Ok(Value::Null);
    }
    if let Ok(truth) = value.cast::<PyBool>() {
        return Ok(Value::Bool(truth.is_true()));
    }
    if let Ok(text) = value.cast::<PyString>() {
        return match text.to_cow() {
            Ok(text) => Ok(Value::String(text.into_owned())),
            Err(_) => Err(refused("value_text", path, "is not Unicode text (a lone surrogate)")),
        };
    }
    if let Ok(integer) = value.cast::<PyInt>() {
        return match integer.extract::<i64>() {
            Ok(number) => Ok(Value::from(number)),
            Err(_) => Err(refused("value_range", path, "is not a 64-bit integer")),
        };
    }
    if let Ok(float) = value.cast::<PyFloat>() {
        return serde_json::Number::from_f64(float.value())
            .map(Value::Number)
            .ok_or_else(|| refused("value_range", path, "is not a finite number"));
    }
    if let Ok(dict) = value.cast::<PyDict>() {
        return object(dict, path);
    }
    if let Ok(list) = value.cast::<PyList>() {
        return array(list.iter(), path);
    }
    if let Ok(tuple) = value.cast::<PyTuple>() {
        return array(tuple.iter(), path);
    }
    let found = value.get_type().name().map_or_else(|_| "an object".to_owned(), |name| name.to_string());
    Err(refused("value_type", path, &format!("is of the type {found}, which JSON cannot hold")))
}

fn object(dict: &Bound<'_, PyDict>, path: &mut Vec<String>) -> Result<Value> {
    let mut map = Map::new();
    for (key, item) in dict.iter() {
        let key = match key.cast::<PyString>().map(PyStringMethods::to_cow) {
            Ok(Ok(key)) => key.into_owned(),
            _ => return Err(refused("value_key", path, "has a key that is not text")),
        };
        path.push(key);
        let item = convert(&item, path)?;
        let key = path.pop().expect("pushed above");
        map.insert(key, item);
    }
    Ok(Value::Object(map))
}

fn array<'py>(items: impl Iterator<Item = Bound<'py, PyAny>>, path: &mut Vec<String>) -> Result<Value> {
    let mut list = Vec::new();
    for (index, item) in items.enumerate() {
        path.push(index.to_string());
        list.push(convert(&item, path)?);
        path.pop();
    }
    Ok(Value::Array(list))
}

fn refused(code: &'static str, path: &[String], what: &str) -> Error {
    let shown = &path[..path.len().min(8)];
    let place = if shown.is_empty() { "argument".to_owned() } else { shown.join(".") };
    Error::invalid(code, format!("{place} {what}")).with("path", place)
}

/// The Python value of JSON.
pub(crate) fn to_python(py: Python<'_>, value: Value) -> PyResult<Bound<'_, PyAny>> {
    match value {
        Value::Null => Ok(py.None().into_bound(py)),
        Value::Bool(truth) => Ok(PyBool::new(py, truth).to_owned().into_any()),
        Value::String(text) => Ok(PyString::new(py, &text).into_any()),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Ok(number.into_pyobject(py)?.into_any()),
            (None, Some(number)) => Ok(number.into_pyobject(py)?.into_any()),
            (None, None) => Ok(PyFloat::new(py, number.as_f64().unwrap_or(f64::NAN)).into_any()),
        },
        Value::Array(items) => {
            let list = PyList::empty(py);
            for item in items {
                list.append(to_python(py, item)?)?;
            }
            Ok(list.into_any())
        }
        Value::Object(map) => {
            let dict = PyDict::new(py);
            for (key, item) in map {
                dict.set_item(key, to_python(py, item)?)?;
            }
            Ok(dict.into_any())
        }
    }
}
