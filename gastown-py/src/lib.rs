//! The Python binding: it translates and decides nothing.

mod awaitable;
mod backend;
mod calls;
mod error;
mod handle;
mod json;
mod probe;
mod runtime;
mod testkit;
mod town;

use pyo3::prelude::*;

/// The native half of the package `gastown`.
#[pymodule]
fn _gastown(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    error::add_classes(module)?;
    module.add_class::<handle::Handle>()?;
    module.add_class::<handle::Watch>()?;
    module.add_class::<town::ManualClock>()?;
    module.add_class::<town::Town>()?;
    module.add_function(wrap_pyfunction!(town::open, module)?)?;
    module.add_function(wrap_pyfunction!(town::operations_table, module)?)?;
    module.add_function(wrap_pyfunction!(town::merge_beads, module)?)?;
    module.add_class::<backend::Scan>()?;
    module.add_function(wrap_pyfunction!(backend::schema, module)?)?;
    module.add_function(wrap_pyfunction!(testkit::conformance_cases, module)?)?;
    module.add_function(wrap_pyfunction!(testkit::conformance_run, module)?)?;
    module.add_function(wrap_pyfunction!(testkit::conformance_part, module)?)?;
    module.add_function(wrap_pyfunction!(probe::_probe, module)?)?;
    Ok(())
}
