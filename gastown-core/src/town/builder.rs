//! How a town is put together.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::clock::{Clock, SystemClock};
use super::town::Town;
use crate::model::{Error, Result, TownId};
#[cfg(all(feature = "git", feature = "process"))]
use crate::runtime::ContainerRuntime;
use crate::store::{Backend, StoreOptions};

/// Puts a town together from its parts.
///
/// Settings of the work are data in the town ([`crate::SETTINGS`]); what is given here are components and places.
#[derive(Debug)]
#[must_use = "a builder does nothing until `open`"]
pub struct TownBuilder {
    pub(super) dir: PathBuf,
    pub(super) id: Result<TownId>,
    pub(super) create: bool,
    pub(super) backend: Option<Arc<dyn Backend>>,
    pub(super) store: StoreOptions,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) seed: Option<u64>,
    pub(super) host: Option<String>,
    pub(super) restore: Option<PathBuf>,
    /// Whether a durability was asked for that no backend took.
    pub(super) durability_unused: bool,
    #[cfg(feature = "auth")]
    pub(super) keys: Option<crate::auth::KeyRing>,
    #[cfg(feature = "sqlite")]
    pub(super) sqlite: crate::store::SqliteOptions,
    #[cfg(feature = "git")]
    pub(super) git: crate::git::GitOptions,
    #[cfg(feature = "testkit")]
    pub(super) interference: Option<Arc<dyn crate::store::Interference>>,
    #[cfg(all(feature = "git", feature = "process"))]
    pub(super) repositories: Option<Arc<dyn crate::git::Repositories>>,
    #[cfg(all(feature = "git", feature = "process"))]
    pub(super) runtime: Option<Arc<dyn ContainerRuntime>>,
    #[cfg(all(feature = "git", feature = "process"))]
    pub(super) supervisor: Option<crate::runtime::Supervisor>,
    #[cfg(all(feature = "git", feature = "process"))]
    pub(super) beside: Option<PathBuf>,
    #[cfg(all(feature = "git", feature = "process"))]
    pub(super) agent_env: std::collections::BTreeMap<String, String>,
}

impl TownBuilder {
    pub(super) fn new(dir: &Path) -> Self {
        Self {
            // A relative path that cannot be made absolute is refused where it is first used.
            dir: std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned()),
            id: TownId::new("town"),
            create: false,
            backend: None,
            store: StoreOptions::default(),
            clock: Arc::new(SystemClock),
            seed: None,
            host: None,
            restore: None,
            durability_unused: false,
            #[cfg(feature = "auth")]
            keys: None,
            #[cfg(feature = "sqlite")]
            sqlite: crate::store::SqliteOptions::default(),
            #[cfg(feature = "git")]
            git: crate::git::GitOptions::default(),
            #[cfg(feature = "testkit")]
            interference: None,
            #[cfg(all(feature = "git", feature = "process"))]
            repositories: None,
            #[cfg(all(feature = "git", feature = "process"))]
            runtime: None,
            #[cfg(all(feature = "git", feature = "process"))]
            supervisor: None,
            #[cfg(all(feature = "git", feature = "process"))]
            beside: None,
            #[cfg(all(feature = "git", feature = "process"))]
            agent_env: std::collections::BTreeMap::new(),
        }
    }

    /// Names the town; `town` where it is left out. A database may hold several.
    pub fn id(mut self, id: &str) -> Self {
        self.id = TownId::new(id);
        self
    }

    /// Makes the town also where the database holds others already. Without it only the first town of a database is made
    /// by opening it, so that a misspelt name is an error and not an empty town.
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// Keeps the town in this backend instead of `town.db` in the town's folder.
    pub fn backend(mut self, backend: Arc<dyn Backend>) -> Self {
        self.backend = Some(backend);
        self
    }

    /// How the store uses its backend.
    pub fn store_options(mut self, options: StoreOptions) -> Self {
        self.store = options;
        self
    }

    /// How `town.db` is used.
    #[cfg(feature = "sqlite")]
    pub fn sqlite_options(mut self, options: crate::store::SqliteOptions) -> Self {
        self.sqlite = options;
        self
    }

    /// Takes the time from here.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Makes ids from this seed; the same seed and the same calls give the same ids.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Signs and verifies tokens with these keys, which the host keeps and rotates, instead of those in the town's folder
    /// (`keys.json`, made when it is first needed, readable by its owner alone, and in no backup). Hosts that share a
    /// database have to share the keys.
    #[cfg(feature = "auth")]
    pub fn keys(mut self, keys: crate::auth::KeyRing) -> Self {
        self.keys = Some(keys);
        self
    }

    /// Names the machine that this process is on, where several share a database.
    ///
    /// An engine whose process is gone is followed at once by one on the same machine; one on another machine, which cannot
    /// look, waits until its lease is over (the setting `engine.lease_ms`). Where the name is left out, it is the
    /// kernel's boot and namespace of processes.
    pub fn host(mut self, name: &str) -> Self {
        self.host = Some(name.to_owned());
        self
    }

    /// How git is run.
    #[cfg(feature = "git")]
    pub fn git(mut self, options: crate::git::GitOptions) -> Self {
        self.git = options;
        self
    }

    /// Has no thread and no file of its own, and asks this about every command and read: for simulations.
    #[cfg(feature = "testkit")]
    pub fn simulated(mut self, interference: Arc<dyn crate::store::Interference>) -> Self {
        self.interference = Some(interference);
        self
    }

    /// Takes the repositories of rigs from here instead of mirrors in the town's folder.
    #[cfg(all(feature = "git", feature = "process"))]
    pub fn repositories(mut self, repositories: Arc<dyn crate::git::Repositories>) -> Self {
        self.repositories = Some(repositories);
        self
    }

    /// Runs agents and gates here instead of in processes of this machine.
    #[cfg(all(feature = "git", feature = "process"))]
    pub fn runtime(mut self, runtime: Arc<dyn ContainerRuntime>) -> Self {
        self.runtime = Some(runtime);
        self
    }

    /// Who watches over agents' processes; the program `gastown` on the `PATH` that
    /// [`TownBuilder::from_env`] found where it is left out, else threads of this process.
    #[cfg(all(feature = "git", feature = "process"))]
    pub fn supervisor(mut self, supervisor: crate::runtime::Supervisor) -> Self {
        self.supervisor = Some(supervisor);
        self
    }

    /// Takes from this process's environment what git and agents usually need: `PATH` for git, and for agents what
    /// [`ProcessOptions::inherit_from_env`](crate::runtime::ProcessOptions::inherit_from_env) names.
    ///
    /// Without it they get the usual system folders as their `PATH`, and nothing else.
    #[cfg(all(feature = "git", feature = "process"))]
    pub fn from_env(mut self) -> Self {
        self.git.path = crate::git::GitOptions::from_env().path;
        self.agent_env = crate::runtime::ProcessOptions::new(&self.dir).inherit_from_env().inherit_env;
        self
    }

    /// Opens the town, making it where the database holds none.
    ///
    /// Nothing runs until [`Town::start`].
    ///
    /// # Errors
    /// `town_missing` ([`NotFound`](crate::ErrorKind::NotFound)) where the database holds other towns and not this one: the
    /// facts are `town` and `there`, the first of those it holds; see [`TownBuilder::create`].
    /// `path_malformed`, `path_read_only`, `path_taken`, `folder_missing`, `path_unwritable` and `disk_full` where the
    /// folder cannot be made, `durability_unused` where the options name a durability and the backend is one that was given
    /// to the builder, `restore_unfinished`, and those of the backend: `schema_newer`, `not_a_town`, `store_read_only`, …
    pub async fn open(self) -> Result<Town> {
        match self.restore.clone() {
            Some(from) => Town::restore(self, &from).await,
            None => Town::open(self).await,
        }
    }

    /// Opens a town from a backup's folder ([`Upkeep::backup`](super::Upkeep::backup)) or from a file of its records
    /// ([`Upkeep::export`](super::Upkeep::export)), which may come from another backend.
    ///
    /// Everything the backup lists is compared with what was written before anything is taken from it, and nothing else is
    /// taken. The town, its journal and its settings are as they were; `town.restored` is journaled. Repositories are fetched again from
    /// their remotes; a session that was running is found lost, and its bead is handed out anew.
    ///
    /// Killed before it is done it can be repeated; until then nobody opens what it left (`restore_unfinished`). Into a
    /// database that others share the records come in one transaction, and a mark before them: whoever opens the town
    /// there meanwhile is refused as well.
    ///
    /// # Errors
    /// `town_not_empty` where there is a town already, `town_mismatch` where the backup is of a town with another name,
    /// `backup_missing`, `path_unreadable`, `backup_damaged`, `backup_newer`, those of [`dump::read`](crate::store::dump::read), and those
    /// of [`TownBuilder::open`].
    pub async fn restore(mut self, from: impl AsRef<Path>) -> Result<Town> {
        self.restore = Some(from.as_ref().to_owned());
        self.open().await
    }

    pub(super) fn make_dir(&self) -> Result<()> {
        #[cfg(feature = "testkit")]
        if self.interference.is_some() {
            return Ok(());
        }
        super::paths::make_folder(&self.dir)
    }

    pub(super) fn backend_or_default(&self) -> Result<Arc<dyn Backend>> {
        if let Some(backend) = &self.backend {
            if self.durability_unused {
                return Err(durability_unused(backend.name()));
            }
            return Ok(Arc::clone(backend));
        }
        #[cfg(feature = "sqlite")]
        return Ok(Arc::new(crate::store::SqliteBackend::new(self.dir.join("town.db"), self.sqlite.clone())));
        #[cfg(not(feature = "sqlite"))]
        Err(Error::unsupported("backend_missing", "this build has no default storage; give the builder a backend"))
    }
}

/// The error of a durability that is asked of a backend that knows none, or says itself which.
pub(super) fn durability_unused(backend: &str) -> Error {
    Error::invalid(
        "durability_unused",
        format!("the durability of a town in {backend} is not chosen by an option of the town"),
    )
    .with("backend", backend)
}
