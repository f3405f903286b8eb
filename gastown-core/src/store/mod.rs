//! The storage contract: what a backend must do, and nothing more.
//!
//! A backend author writes blocking code over one connection: rows in, rows out, events appended. The library adds
//! what callers see: async handles, one writer with group commit, snapshot readers, notification and the journal.
//!
//! Rows are one enum ([`Row`](crate::model::Row)) with columns ([`RowKind::columns`](crate::model::RowKind::columns)),
//! so a backend stores columns and knows no record by name. Which scans must be fast is data as well: [`index::INDEXES`].

#[cfg(any(test, feature = "store-kit"))]
pub mod conformance;
mod contract;
pub(crate) mod draft;
pub mod dump;
#[cfg(test)]
mod faulty;
pub mod index;
#[cfg(feature = "testkit")]
mod inline;
mod listener;
mod memory;
mod packed;
#[cfg(feature = "postgres")]
pub mod postgres;
mod quarantine;
mod readers;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod rows;
mod scan;
pub mod search;
#[cfg(feature = "sqlite")]
mod sqlite;
#[expect(clippy::module_inception, reason = "the file is named for its noun")]
mod store;
#[cfg(test)]
mod tests;
mod unreadable;
mod writer;
#[cfg(test)]
mod written_tests;

pub use contract::{
    Access, Backend, Changes, Connection, Description, Reader, Txn, check_order, check_truncation, check_values,
};
#[cfg(feature = "testkit")]
pub use inline::Interference;
pub use memory::MemoryBackend;
pub use packed::Packed;
#[cfg(feature = "postgres")]
pub use postgres::PostgresBackend;
pub use scan::{Position, Scan, Tally};
pub use search::{Search, SearchTerm};
#[cfg(all(test, feature = "sqlite"))]
pub(crate) use sqlite::make_older;
#[cfg(feature = "sqlite")]
pub use sqlite::{Durability, SqliteBackend, SqliteOptions};
pub use store::{READERS_MAX, Store, StoreOptions};
pub use unreadable::{UNREADABLE_MAX, Unreadable, UnreadableRows};
