//! What a scan asks for, as plain data.

use gastown_core::store;
use pyo3::prelude::*;

use super::rows::{PyValue, values};

/// Rows of one index, in its order.
#[pyclass(frozen, get_all, module = "gastown.backend")]
pub(crate) struct Scan {
    /// The index's name.
    index: &'static str,
    /// Its table.
    table: &'static str,
    /// The columns that are given, each with its value.
    prefix: Vec<(&'static str, PyValue)>,
    /// The columns that order the rows.
    order: Vec<&'static str>,
    /// Only rows behind this place: a value for each order column.
    after: Option<Vec<PyValue>>,
    /// Only rows whose first order column is at most this.
    upto: Option<PyValue>,
    /// At most so many rows.
    limit: usize,
}

impl Scan {
    pub(super) fn of(scan: &store::Scan) -> Self {
        let index = scan.index;
        Self {
            index: index.name,
            table: index.kind.table(),
            prefix: index.prefix.iter().copied().zip(values(&scan.prefix)).collect(),
            order: index.order.to_vec(),
            after: scan.after.as_ref().map(|after| values(&after.0)),
            upto: scan.upto.clone().map(PyValue),
            // What Python's integers of one machine word hold is as good as all.
            limit: scan.limit.min(isize::MAX.unsigned_abs()),
        }
    }
}
