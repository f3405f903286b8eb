//! What the kit is given: a database, and how to reach it.

use std::any::Any;
use std::fmt;
use std::process::Command;
use std::sync::Arc;

use crate::model::{Event, Row};
use crate::store::Backend;

/// One database that is empty at first, for one case.
///
/// A backend in an `Arc` is one already: every connection then belongs to that one instance, and what other processes
/// do is done by threads. [`at`] makes one of an address and a closure, which is what a file or a server wants. A
/// subject does not reach for its database before [`Subject::backend`]: the other processes of a case make one each
/// and only ask [`Subject::open`] of it.
///
/// # Contract
/// - What is set to be quick is fine: commits that need not reach the disk, and a second writer that is refused with
///   `store_busy` after some tenths of a second rather than after many, as one case waits for that.
/// - Whatever the database needs is removed when the subject is dropped.
pub trait Subject: Send + Sync {
    /// An instance of the backend on the database, independent of those that were made before where that is possible.
    fn backend(&self) -> Arc<dyn Backend>;

    /// What another process opens the database by; none where only this one can.
    fn address(&self) -> Option<String> {
        None
    }

    /// An instance on the database of a subject in another process, which has this address.
    fn open(&self, address: &str) -> Arc<dyn Backend> {
        let _ = address;
        self.backend()
    }

    /// Starts a process that calls [`take_part`](super::take_part) and ends; none where the kit's macro is to find one.
    fn command(&self) -> Option<Command> {
        None
    }

    /// An instance on another database, which the backend must refuse; none where it knows no such thing.
    fn planted(&self, what: Planted) -> Option<Arc<dyn Backend>> {
        let _ = what;
        None
    }

    /// A database of each earlier schema, with as much of these rows as it has tables and columns for and with these
    /// events.
    fn older(&self, rows: &[Row], events: &[Event]) -> Vec<Older> {
        let _ = (rows, events);
        Vec::new()
    }
}

/// A database that must be refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Planted {
    /// Its schema is newer than the backend's: `schema_newer`.
    Newer,
    /// Another program made it: `not_a_town`.
    Foreign,
}

/// A database as an earlier version of the backend left it.
#[derive(Debug)]
pub struct Older {
    /// The version of its schema.
    pub schema: u32,
    /// The rows that are in it, as they are read now: columns that it had not are [at rest](crate::model::record::Column::resting).
    pub rows: Vec<Row>,
    /// An instance on it.
    pub backend: Arc<dyn Backend>,
}

impl<B: Backend> Subject for Arc<B> {
    fn backend(&self) -> Arc<dyn Backend> {
        Self::clone(self)
    }
}

impl Subject for Arc<dyn Backend> {
    fn backend(&self) -> Arc<dyn Backend> {
        Self::clone(self)
    }
}

impl<S: Subject + ?Sized> Subject for Box<S> {
    fn backend(&self) -> Arc<dyn Backend> {
        (**self).backend()
    }
    fn address(&self) -> Option<String> {
        (**self).address()
    }
    fn open(&self, address: &str) -> Arc<dyn Backend> {
        (**self).open(address)
    }
    fn command(&self) -> Option<Command> {
        (**self).command()
    }
    fn planted(&self, what: Planted) -> Option<Arc<dyn Backend>> {
        (**self).planted(what)
    }
    fn older(&self, rows: &[Row], events: &[Event]) -> Vec<Older> {
        (**self).older(rows, events)
    }
}

/// A subject that is an address, a path or a URL, and what makes an instance of one.
pub fn at<F>(address: impl fmt::Display, open: F) -> At<F>
where
    F: Fn(&str) -> Arc<dyn Backend> + Send + Sync,
{
    At { address: address.to_string(), open, kept: None }
}

/// What [`at`] makes.
pub struct At<F> {
    address: String,
    open: F,
    kept: Option<Box<dyn Any + Send + Sync>>,
}

impl<F> At<F> {
    /// The same, which keeps a value for as long as it lives: the directory of its files, say.
    #[must_use]
    pub fn keeping(mut self, value: impl Any + Send + Sync) -> Self {
        self.kept = Some(Box::new(value));
        self
    }
}

impl<F> fmt::Debug for At<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("At")
            .field("address", &self.address)
            .field("keeps", &self.kept.is_some())
            .finish_non_exhaustive()
    }
}

impl<F: Fn(&str) -> Arc<dyn Backend> + Send + Sync> Subject for At<F> {
    fn backend(&self) -> Arc<dyn Backend> {
        (self.open)(&self.address)
    }
    fn address(&self) -> Option<String> {
        Some(self.address.clone())
    }
    fn open(&self, address: &str) -> Arc<dyn Backend> {
        (self.open)(address)
    }
}
