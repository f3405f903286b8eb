//! What every effect needs: the store, the clock, and the outside world.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use super::desk::Desk;
#[cfg(feature = "auth")]
use crate::auth::Authority;
use crate::git::{Person, RemoteUrl, Repositories, Repository};
use crate::model::{Result, RigName, Timestamp};
use crate::runtime::ContainerRuntime;
use crate::store::{Reader, Store, Txn};
use crate::work::command;
use crate::work::rigs;
use crate::work::txn::{Ctx, ScopedTxn};
use crate::work::view::View;

/// The outside world, each part behind its port.
#[derive(Debug)]
pub(crate) struct Outside {
    /// The repositories of rigs.
    pub(crate) repositories: Arc<dyn Repositories>,
    /// Where agents and gates run.
    pub(crate) runtime: Arc<dyn ContainerRuntime>,
    /// Where sessions have their files.
    pub(crate) desk: Desk,
    /// The folder of gates' trees.
    pub(crate) gates: PathBuf,
    /// What signs the tokens of agents; none in a simulation, whose agents call nothing.
    #[cfg(feature = "auth")]
    pub(crate) authority: Option<Arc<Authority>>,
    /// Where agents find the town.
    #[cfg(feature = "auth")]
    pub(crate) socket: Option<PathBuf>,
}

impl Outside {
    /// The rig's repository.
    pub(crate) async fn repository(&self, rig: &RigName, remote: &str) -> Result<Arc<dyn Repository>> {
        self.repositories.open(rig, &RemoteUrl::new(remote)?).await
    }
}

/// In whose name merge commits are made.
pub(crate) fn refinery() -> Person {
    Person { name: "Gastown refinery".to_owned(), email: "refinery@gastown.invalid".to_owned() }
}

/// The store with the clock and the ids, as one cheap handle.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) store: Store,
    pub(crate) outside: Arc<Outside>,
    pub(crate) ctx: Arc<dyn Fn() -> Ctx + Send + Sync>,
    /// The name of this machine, where the host gave it one.
    pub(crate) host: Option<Arc<str>>,
    /// Archives what is over for longer than the settings keep it.
    pub(crate) retain: Retain,
}

/// A task that the floor above gives.
pub(crate) type Retain = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<()>> + Send>> + Send + Sync>;

impl Context {
    pub(crate) fn now(&self) -> Timestamp {
        (self.ctx)().now
    }

    /// Runs a step of the engine or the executor in a transaction of its own.
    pub(crate) async fn step<O: Send + 'static>(
        &self,
        operation: &'static str,
        step: impl Fn(&mut ScopedTxn<'_>) -> Result<O> + Send + 'static,
    ) -> Result<O> {
        let ctx = (self.ctx)();
        let notes = ctx.notes.clone();
        let done = self.store.write(move |raw: &mut dyn Txn| command::step(raw, &ctx, operation, &step)).await?;
        self.store.meters().take(&notes);
        Ok(done)
    }

    /// Reads as the town itself.
    pub(crate) async fn read<O: Send + 'static>(
        &self,
        mut read: impl FnMut(View<'_>) -> Result<O> + Send + 'static,
    ) -> Result<O> {
        let now = self.now();
        self.store.read(move |reader: &dyn Reader| read(View::new(reader, &crate::model::Scope::Town, now))).await
    }

    /// The repository of a rig that is known to the town.
    pub(crate) async fn repository(&self, rig: &RigName) -> Result<Arc<dyn Repository>> {
        let name = rig.clone();
        let row = self.read(move |view| rigs::row(view, &name)).await?;
        self.outside.repository(rig, &row.remote).await
    }
}
