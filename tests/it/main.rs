//! What crosses modules; one binary, so that it links once.

#![allow(clippy::unwrap_used)]

mod agents;
mod archives;
mod beads;
mod claims;
mod clock;
mod complete;
mod crash;
mod damage;
mod demo;
mod dispatch;
mod engine;
mod faults;
mod files;
mod find;
mod floors;
mod fuzz;
mod guide;
mod history;
mod hostile;
mod imports;
mod input;
mod kills;
mod leases;
mod liveness;
mod output;
mod parity;
mod places;
mod postgres;
mod power;
mod processes;
mod quarantine;
mod ready;
mod refinery;
mod restores;
mod runtime;
mod sim;
mod standing;
mod support;
mod sync;
mod tolerance;
mod town;
mod trade;
mod twins;
mod upkeep;
