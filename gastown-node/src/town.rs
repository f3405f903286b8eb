//! An open town.

use std::sync::Arc;
use std::time::Duration;

use gastown_core::model::{RigName, SessionId, Timestamp, UserId};
use gastown_core::{Clock as _, DrainTown, Error, MergeBeads, TownOptions, operations};
use napi_derive::napi;
use serde_json::Value;

use crate::calls::json;
use crate::error::to_rejection;
use crate::handle::Handle;

/// A town: its engine, and the handles to it.
#[napi]
pub struct Town {
    town: gastown_core::Town,
}

/// Opens the town in a folder, making it where there is none.
#[napi]
pub async fn open(
    dir: String,
    options: Value,
    clock: Option<&ManualClock>,
    beside: Option<String>,
) -> napi::Result<Town> {
    let builder = gastown_core::Town::builder(dir).from_env();
    let builder = match clock {
        Some(clock) => builder.clock(Arc::new(clock.0.clone())),
        None => builder,
    };
    let beside = beside.map(std::path::PathBuf::from);
    let opened = async { builder.options(TownOptions { beside, ..TownOptions::from_json(options)? })?.open().await };
    Ok(Town { town: opened.await.map_err(|error| to_rejection(&error))? })
}

/// The core's table of operations.
#[napi]
pub fn operations_table() -> napi::Result<Value> {
    json(operations()).map_err(|error| to_rejection(&error))
}

/// Brings two files of issues together that grew out of a third.
#[napi]
pub async fn merge_beads(input: Value) -> napi::Result<Value> {
    let merge = || MergeBeads::from_json(input).and_then(|input| json(gastown_core::merge_beads(&input)?));
    let merged = napi::bindgen_prelude::spawn_blocking(merge).await;
    let merged = merged.unwrap_or_else(|_| Err(Error::internal("merge_panicked", "the merge panicked")));
    merged.map_err(|error| to_rejection(&error))
}

#[napi]
impl Town {
    /// The town's name.
    #[napi(getter)]
    pub fn id(&self) -> &str {
        self.town.id().as_str()
    }

    /// The folder of the town's files.
    #[napi(getter)]
    pub fn dir(&self) -> String {
        self.town.dir().display().to_string()
    }

    /// A handle with the scope of the operator.
    #[napi]
    pub fn operator(&self) -> Handle {
        Handle::new(Arc::new(self.town.operator()))
    }

    /// A handle that sees and changes one rig.
    #[napi]
    pub fn rig(&self, name: String) -> napi::Result<Handle> {
        let name = RigName::new(name).map_err(|error| to_rejection(&error))?;
        Ok(Handle::new(Arc::new(self.town.rig(name))))
    }

    /// A handle for a user that the host knows by this name.
    #[napi]
    pub fn user(&self, name: String) -> napi::Result<Handle> {
        let name = UserId::new(name).map_err(|error| to_rejection(&error))?;
        Ok(Handle::new(Arc::new(self.town.user(name))))
    }

    /// A handle for whoever shows this token.
    #[napi]
    pub async fn with_token(&self, token: String) -> napi::Result<Handle> {
        let handle = self.town.with_token(&token).await;
        Ok(Handle::new(Arc::new(handle.map_err(|error| to_rejection(&error))?)))
    }

    /// A handle with the scope of the agent in a session.
    #[napi]
    pub async fn session(&self, id: String) -> napi::Result<Handle> {
        let handle = async { self.town.session(&SessionId::new(id)?).await };
        Ok(Handle::new(Arc::new(handle.await.map_err(|error| to_rejection(&error))?)))
    }

    /// Starts the engine.
    #[napi]
    pub async fn start(&self) -> napi::Result<()> {
        self.town.start().await.map_err(|error| to_rejection(&error))
    }

    /// Opens the socket.
    #[napi]
    pub async fn serve(&self) -> napi::Result<()> {
        self.town.serve().await.map_err(|error| to_rejection(&error))
    }

    /// Stops the engine.
    #[napi]
    pub async fn stop(&self) -> napi::Result<()> {
        self.town.stop().await.map_err(|error| to_rejection(&error))
    }

    /// Gives the work of this host away and stops the engine.
    #[napi]
    pub async fn drain(&self, input: Value) -> napi::Result<()> {
        let drained = async { self.town.drain(DrainTown::from_json(input)?).await };
        drained.await.map_err(|error| to_rejection(&error))
    }

    /// Stops the engine and closes the town.
    #[napi]
    pub async fn close(&self) -> napi::Result<()> {
        self.town.close().await.map_err(|error| to_rejection(&error))
    }

    /// Plays the journal and compares what it gives with what is stored.
    #[napi]
    pub async fn replay(&self) -> napi::Result<Value> {
        let replay = self.town.replay().await.and_then(json);
        replay.map_err(|error| to_rejection(&error))
    }
}

/// A clock that stands still until it is set.
#[napi]
pub struct ManualClock(gastown_core::ManualClock);

#[napi]
impl ManualClock {
    /// A clock that shows this many microseconds since 1970 UTC.
    #[napi(constructor)]
    pub fn new(now: i64) -> Self {
        Self(gastown_core::ManualClock::at(Timestamp::from_micros(now)))
    }

    /// What it shows.
    #[napi(getter)]
    pub fn now(&self) -> i64 {
        self.0.now().as_micros()
    }

    /// Shows this time from now on.
    #[napi]
    pub fn set(&self, now: i64) {
        self.0.set(Timestamp::from_micros(now));
    }

    /// Goes on by that many microseconds; nothing where that is negative.
    #[napi]
    pub fn advance(&self, micros: i64) {
        self.0.advance(Duration::from_micros(u64::try_from(micros).unwrap_or(0)));
    }
}
