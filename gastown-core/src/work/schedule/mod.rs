//! The scheduler: which slung beads start next, with which agents, and what holds the others.
//!
//! It reads one state and changes nothing, so that the tick, a sling, `explain` and a dry run ask the same question. Slung
//! beads wait in queues ([`BeadRow::lane`](crate::model::BeadRow::lane)); a queue that cannot go is passed over by one seek,
//! and so is a rig without room or agents. So it costs what there is of queues and idle agents, not of beads.

mod hold;
mod plan;
mod queue;
mod room;

pub(crate) use hold::{holds, may_go_on, unfit};
pub(crate) use plan::{BATCH, Hand, Start, next, plan};
pub use plan::{PlannedStart, StartPlan};
