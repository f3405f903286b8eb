//! What a build answers that signs no tokens.

#![allow(clippy::unused_async, reason = "with keys they wait")]

use super::handle::Handle;
use super::operation::Operation;
use crate::model::{Error, Result};
use crate::work::{AttenuateCapability, IssueCapability, IssuedCapability, KeysRotated, RotateKeys};

fn unsupported() -> Error {
    Error::unsupported("auth_missing", "this build signs no tokens: its feature `auth` was left out")
}

pub(super) async fn issue(_: &Handle, _: &'static Operation, _: IssueCapability) -> Result<IssuedCapability> {
    Err(unsupported())
}

pub(super) async fn attenuate(_: &Handle, _: &'static Operation, _: AttenuateCapability) -> Result<IssuedCapability> {
    Err(unsupported())
}

pub(super) async fn rotate_keys(_: &Handle, _: &'static Operation, _: RotateKeys) -> Result<KeysRotated> {
    Err(unsupported())
}
