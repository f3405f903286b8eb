//! The executor: takes effects from the outbox, uses the outside world, reports outcomes.
//!
//! Invariant: nothing is decided here. What an effect leads to is a command (`work`); what is done next is a rule
//! (`engine`). Every step may be repeated: after a crash the next leader probes what the last one had begun.

mod context;
mod desk;
mod gate;
mod leader;
mod look;
pub(crate) mod orphans;
mod perform;
mod pump;
mod sweep;
mod watch;

pub(crate) use context::{Context, Outside, Retain};
pub(crate) use desk::Desk;
pub(crate) use pump::{Pump, PumpState};
pub(crate) use sweep::sweep;
