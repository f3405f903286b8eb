//! Rows that could not be read, out of their tables.

use super::Timestamp;
use super::record::record;

record! {
    /// A row that could not be read, as it was found.
    pub struct QuarantineRow = "quarantine" {
        /// Identity, made of what it holds: the same row is here once.
        key id: String,
        /// The table that it was in.
        plain source: String,
        /// Its key there, a list.
        plain source_key: serde_json::Value,
        /// What its columns held, by their names; what is no text and no number as `{"hex": …}`.
        plain columns: serde_json::Value,
        /// Why it could not be read.
        plain problem: String,
        /// Who put it here.
        plain moved_by: String,
        /// When.
        plain moved_at: Timestamp,
    }
}
