//! The town: composition root and the handles callers hold.
//!
//! A [`Town`] is opened by its builder. Handles carry a scope and reach the operations, grouped by noun:
//! [`Handle::beads`], [`Handle::convoys`], [`Handle::agents`], [`Handle::rigs`], [`Handle::sessions`],
//! [`Handle::reviews`], [`Handle::reservations`], [`Handle::events`], [`Handle::upkeep`]. [`operations`] lists them all as data.

mod builder;
#[cfg(feature = "auth")]
mod capabilities;
mod clock;
mod doctor;
#[cfg(all(feature = "git", feature = "process"))]
mod drain;
mod handle;
mod health;
mod measured;
mod metrics;
#[cfg(test)]
mod model_test;
mod operation;
mod options;
mod output;
mod past;
mod paths;
mod replay;
#[cfg(test)]
mod scope_test;
#[cfg(all(feature = "auth", feature = "process"))]
mod serve;
mod status;
mod sweep;
mod table;
#[expect(clippy::module_inception, reason = "the file is named for its noun")]
mod town;
#[cfg(not(feature = "auth"))]
mod unsigned;
#[cfg(test)]
mod upgrade_test;
mod upkeep;
mod watch;

pub use builder::TownBuilder;
pub use clock::{Clock, ManualClock, SystemClock};
pub use doctor::{Diagnosis, Examine, Symptom, SymptomKind};
pub use handle::Handle;
pub use health::{Breaker, EngineState, Health, RefusedEffect, UnreadableRow};
pub use metrics::Metrics;
pub use operation::{Operation, OperationKind};
pub use options::TownOptions;
pub use output::{Follow, OutputPage, OutputQuery, SessionEvent};
pub use past::{BeadsAt, BeadsAtPage};
pub use replay::Replay;
pub use status::{
    AgentCount, BeadsOfKind, LeaderStatus, OpenEscalation, RecentEvent, RigStatus, StateCount, TownStatus,
};
pub use sweep::OutputSweep;
pub use table::{
    Agents, Beads, Capabilities, Convoys, Effects, Events, Reservations, Reviews, Rigs, Sessions, Triage, Upkeep,
    operations,
};
pub use town::Town;
pub use upkeep::{
    Archive, Archived, ArchivedFilter, ArchivedPage, Backup, Checked, Exported, Finding, Quarantined, Vacuumed,
    WriteTo, merge_beads,
};
pub use watch::Watch;
