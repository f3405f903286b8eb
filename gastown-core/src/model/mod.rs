//! Plain types and their legal transitions: no I/O, no async, no SQL.

mod agent;
mod bead;
mod breaker;
mod capability;
mod convoy;
mod delivery;
mod dependency;
mod effect;
pub(crate) mod error;
pub(crate) mod event;
mod exit;
pub(crate) mod id;
mod quarantine;
pub mod record;
pub(crate) mod refusal;
mod review;
mod rig;
mod row;
mod scope;
mod secret;
mod session;
pub(crate) mod text_enum;
pub(crate) mod time;
pub mod value;

pub use agent::{AgentRow, AgentState, Role};
pub use bead::{
    BeadKind, BeadRow, BeadStatus, BeadTextRow, CommentRow, ForeignRow, LabelRow, ReservationRow, Resolution,
    TombstoneRow,
};
pub use breaker::{BreakerRow, BreakerState, Part};
pub use capability::{CAPABILITY_CHAIN_MAX, Capability, CapabilityRow, KeyAlgorithm};
pub use convoy::{ConvoyMode, ConvoyRow, ConvoyState, FailurePolicy};
pub use delivery::{DeliveryRow, DeliveryState};
pub use dependency::{DependencyKind, DependencyRow, FreeKind, WaitGate};
pub use effect::{EffectRow, EffectState, Order, Setback};
pub use error::{Error, ErrorKind, Result};
pub use event::{Change, EVENT_SCHEMA, Event, Head, WrittenEvent};
pub use exit::{Again, Consequence, Fault, HookFate, SessionExit, WorkspaceFate};
pub(crate) use id::RUN_ID_BYTES_MAX;
pub use id::{
    AgentName, BeadId, CapabilityId, EffectId, ID_BYTES_MAX, NAME_BYTES_MAX, Oid, RigName, SessionId, TownId, UserId,
};
pub use quarantine::QuarantineRow;
pub use review::{MergeRequestRow, ReviewState};
pub use rig::{IdempotencyRow, LeaderRow, RigRow, RigState, SettingRow, TownRow};
pub(crate) use row::Shared;
pub use row::{Key, Row, RowKind, Stored};
pub use scope::Scope;
pub use secret::SecretText;
pub use session::{EventFlaw, OutputStream, SessionRow, SessionState, Stall};
pub use time::Timestamp;
