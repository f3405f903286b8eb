//! The rows of an open town that cannot be read, as far as anybody met them.

use std::sync::{Mutex, PoisonError};

use super::{Reader, UNREADABLE_MAX, Unreadable};

/// Rows that scans left out; each was told to the log when it was first met.
#[derive(Debug, Default)]
pub(super) struct Quarantine(Mutex<Vec<Unreadable>>);

impl Quarantine {
    /// Takes what a reader left out.
    pub(super) fn collect(&self, reader: &dyn Reader) {
        let met = reader.unreadable();
        if met.is_empty() {
            return;
        }
        let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for row in met {
            if rows.len() < UNREADABLE_MAX && !rows.iter().any(|known| known.key == row.key) {
                tracing::warn!(row = %row.key, "a row is left out, it cannot be read: {}", row.error.chain());
                rows.push(row);
            }
        }
    }

    /// Those that `reader` still cannot read; the others are forgotten.
    pub(super) fn still(&self, reader: &dyn Reader) -> Vec<Unreadable> {
        let is_unreadable = |row: &Unreadable| reader.get(&row.key).is_err_and(|e| e.code() == "row_unreadable");
        let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rows.retain(is_unreadable);
        rows.clone()
    }
}
