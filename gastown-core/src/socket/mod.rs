//! The session socket: how a process on the same machine calls a town that another one has open.
//!
//! A unix-domain socket beside the town carries frames ([`frame`]) of JSON-RPC 2.0 ([`message`]). The first says who
//! calls: a token, which is checked once and then with every call by the town itself. This floor knows frames, messages
//! and connections; what is behind them is a [`Service`] that the floor above gives.

mod address;
mod client;
mod connection;
pub mod frame;
mod holders;
mod listen;
pub mod message;
mod service;

pub use address::socket_path;
pub use client::Client;
pub use listen::{Listening, SocketOptions};
pub use service::{Caller, Service};

/// The variable that names the socket to an agent.
pub const SOCKET_VAR: &str = "GASTOWN_SOCKET";
