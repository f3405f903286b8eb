//! The Python binding: it translates and decides nothing.

mod awaitable;
mod calls;
mod error;
mod json;
mod probe;
mod runtime;
mod town;

use pyo3::prelude::*;

/// The native half of the package `gastown`.
#[pymodule]
fn _gastown(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    error::add_classes(module)?;
    module.add_class::<town::Town>()?;
    module.add_class::<town::Watch>()?;
    module.add_function(wrap_pyfunction!(probe::_probe, module)?)?;
    Ok(())
}
