//! Plain types and their legal transitions: no I/O, no async, no SQL.

pub(crate) mod error;
pub(crate) mod id;
pub mod record;
pub(crate) mod text_enum;
pub(crate) mod time;
pub mod value;

pub use error::{Error, ErrorKind, Result};
pub use id::{AgentName, BeadId, EffectId, ID_BYTES_MAX, NAME_BYTES_MAX, Oid, RigName, SessionId, TownId};
pub use time::Timestamp;
