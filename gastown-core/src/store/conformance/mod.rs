//! The conformance kit: what every backend must do, as cases that run against any of them.
//!
//! A backend's crate writes one line, and gets one test for each case:
//!
//! ```
//! use std::{sync::Arc, time::Duration};
//! use gastown_core::store::MemoryBackend;
//!
//! gastown_core::store_conformance!(memory, || {
//!     Arc::new(MemoryBackend::new().with_busy_timeout(Duration::from_millis(100)))
//! });
//! # fn main() {}
//! ```
//!
//! The closure makes a [`Subject`] for each case: one empty database. A backend in an `Arc` is one, as here. A backend
//! that others can open as well says how, by [`at`], and then the cases about several instances and several processes
//! are about real ones:
//!
//! ```
//! # #[cfg(feature = "sqlite")]
//! # mod example {
//! use std::sync::Arc;
//! use gastown_core::store::{SqliteBackend, SqliteOptions, conformance};
//!
//! gastown_core::store_conformance!(sqlite, || {
//!     let directory = tempfile::tempdir().expect("a directory for one database");
//!     let file = directory.path().join("town.db");
//!     conformance::at(file.display(), |file| Arc::new(SqliteBackend::new(file, SqliteOptions::default())))
//!         .keeping(directory)
//! });
//! # }
//! # fn main() {}
//! ```
//!
//! # Other processes
//! A case that needs another process runs the same test program again for the same test, with the address in its
//! environment; the two talk over pipes. Where a subject has no address, a thread does the other's part, so that every
//! case runs everywhere. Without the macro, [`Subject::command`] says how to start one, which calls [`take_part`].
//!
//! Without the macro altogether: [`cases`], [`run_case`], and [`run`] for all of them.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a case says by a panic that it failed")]
#![allow(clippy::needless_for_each, reason = "one line for one thing done to many")]
#![allow(elided_lifetimes_in_paths, reason = "every case takes a site, and how long it lives says nothing")]

mod beads;
mod bulk;
mod cases;
mod changes;
mod claims;
pub(super) mod commands;
#[cfg(test)]
mod defects;
mod edges;
mod events;
#[cfg(test)]
mod hollow;
mod instances;
mod journal;
mod kit;
mod mail;
mod pages;
mod parts;
mod rows;
pub mod sample;
mod savepoints;
mod scans;
mod schemas;
mod search;
mod site;
mod snapshots;
mod subject;
mod transactions;
mod unreadable;
mod upkeep;
mod values;
mod watch;

pub(crate) use site::Site;
pub use site::take_part;
pub use subject::{At, Older, Planted, Subject, at};

/// One thing that every backend must do.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// What it must do, as the name of a test.
    pub name: &'static str,
    run: fn(&Site<'_>),
}

impl Case {
    /// Runs it on an empty database; panics where the backend does not do it.
    pub fn run(&self, subject: &dyn Subject) {
        (self.run)(&Site::new(subject, None));
    }
}

macro_rules! list {
    ([] $($name:ident)*) => {
        /// Every case.
        pub fn cases() -> Vec<Case> {
            vec![$(Case { name: stringify!($name), run: all::$name },)*]
        }
    };
}

/// The cases by their names.
mod all {
    pub(super) use super::beads::*;
    pub(super) use super::bulk::*;
    pub(super) use super::changes::*;
    pub(super) use super::claims::*;
    pub(super) use super::commands::*;
    pub(super) use super::edges::*;
    pub(super) use super::events::*;
    pub(super) use super::instances::*;
    pub(super) use super::journal::*;
    pub(super) use super::mail::*;
    pub(super) use super::pages::*;
    pub(super) use super::rows::*;
    pub(super) use super::savepoints::*;
    pub(super) use super::scans::*;
    pub(super) use super::schemas::*;
    pub(super) use super::search::*;
    pub(super) use super::snapshots::*;
    pub(super) use super::transactions::*;
    pub(super) use super::unreadable::*;
    pub(super) use super::upkeep::*;
    pub(super) use super::values::*;
    pub(super) use super::watch::*;
}

crate::__store_cases!(list, []);

fn case(name: &str) -> Case {
    cases().into_iter().find(|case| case.name == name).unwrap_or_else(|| panic!("there is no case {name}"))
}

/// Runs the case of this name on an empty database.
pub fn run_case(name: &str, subject: &dyn Subject) {
    case(name).run(subject);
}

/// Runs every case, each on an empty database that `make` gives, and panics with the names of those that failed.
pub fn run<S: Subject>(make: impl Fn() -> S) {
    let failed: Vec<_> = cases()
        .into_iter()
        .filter(|case| {
            let subject = make();
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| case.run(&subject))).is_err()
        })
        .map(|case| case.name)
        .collect();
    assert!(failed.is_empty(), "{} cases failed: {}", failed.len(), failed.join(", "));
}

/// What a test of the macro does: its case, or its part in the case of another process.
#[doc(hidden)]
pub fn run_test<S: Subject>(make: impl Fn() -> S, test: &str, name: &str) {
    let subject = make();
    if !take_part(&|address| subject.open(address)) {
        // A test program does not know its own crate's name.
        let test = test.split_once("::").map_or(test, |(_, test)| test);
        (case(name).run)(&Site::new(&subject, Some(test)));
    }
}

/// Makes a module with one test for each case of the kit.
///
/// The second argument is a closure that makes a [`Subject`](crate::store::conformance::Subject): an empty backend in
/// an `Arc`, or what [`at`](crate::store::conformance::at) makes.
#[macro_export]
macro_rules! store_conformance {
    ($module:ident, $factory:expr) => {
        mod $module {
            #[allow(unused_imports, reason = "the factory may name what is around it")]
            use super::*;
            $crate::__store_cases!($crate::__store_tests, [$factory]);
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __store_tests {
    ([$factory:expr] $($name:ident)*) => {
        $(#[test]
        fn $name() {
            let test = concat!(module_path!(), "::", stringify!($name));
            $crate::store::conformance::run_test($factory, test, stringify!($name));
        })*
    };
}
