//! A handle that only shows how values, errors and cancellation cross the boundary; for the package's own tests.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, future, stream};
use gastown_core::{Error, ErrorKind, Result};
use pyo3::prelude::*;
use serde_json::{Value, json};

use crate::calls::{Calls, Events};
use crate::handle::Handle;

/// One that answers `probe.echo`, `probe.fail` and `probe.hang`.
#[pyfunction]
pub(crate) fn _probe() -> Handle {
    Handle::new(Arc::new(Probe))
}

struct Probe;

impl Calls for Probe {
    fn call(&self, name: String, input: Value, _key: Option<String>) -> BoxFuture<'static, Result<Value>> {
        match name.as_str() {
            "probe.echo" => future::ready(Ok(input)).boxed(),
            "probe.fail" => future::ready(Err(failure(&input))).boxed(),
            "probe.hang" => future::pending().boxed(),
            _ => future::ready(Err(Error::not_found("operation_unknown", format!("there is no operation {name}"))))
                .boxed(),
        }
    }

    fn follow(&self, query: Value) -> Result<Events> {
        Ok(stream::iter([Ok(query)]).boxed())
    }

    fn watch(&self, since: u64) -> Result<Events> {
        let first = since + 1;
        Ok(stream::iter((first..first + 3).map(|seq| Ok(json!({ "seq": seq })))).boxed())
    }
}

fn failure(input: &Value) -> Error {
    let kind = ErrorKind::ALL.into_iter().find(|kind| input["kind"] == kind.as_str()).unwrap_or(ErrorKind::Internal);
    Error::new(kind, "probe_failed", "the probe was told to fail")
        .with("bead", "gt-a3f9k")
        .because(std::io::Error::other("the cause"))
}
