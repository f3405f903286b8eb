//! The Node binding: it translates and decides nothing.
#![allow(unreachable_pub, reason = "napi asks for `pub` on what it exports")]

mod calls;
mod error;
mod handle;
mod probe;
mod town;
