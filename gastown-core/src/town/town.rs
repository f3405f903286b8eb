//! An open town.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::json;

use super::builder::TownBuilder;
use super::clock::Clock;
use super::handle::Handle;
use super::health::Health;
use super::replay::{self, Replay};
use super::upkeep::{self, Backup, WriteTo};
#[cfg(all(feature = "git", feature = "process"))]
use crate::executor::{Context, Desk, Outside, Pump, Retain};
use crate::model::{Error, Key, Result, RigName, Row, Scope, SessionId, TownId, TownRow, UserId};
use crate::random;
use crate::store::{Store, Txn};
use crate::work::txn::Ctx;
use crate::work::upgrade::{self, Upgrade};
use crate::work::{All, command, quarantine, sessions};

/// A town: its rigs, agents, beads, journal and settings, and the engine that runs it.
///
/// Clones are the same town. The engine runs where [`Town::start`] was called, at most one for a town over all
/// processes, and ends when the last clone is dropped.
///
/// ```
/// # use gastown_core::{NewBead, Town};
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// # runtime.block_on(async {
/// let folder = tempfile::tempdir().unwrap();
/// let town = Town::builder(folder.path()).open().await?;
/// let bead = town.operator().beads().create(NewBead::titled("Tidy the harbour")).await?;
/// assert_eq!(bead.title, "Tidy the harbour");
/// town.close().await?;
/// # Ok::<(), gastown_core::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct Town {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) store: Store,
    pub(super) dir: PathBuf,
    clock: Arc<dyn Clock>,
    seeds: AtomicU64,
    #[cfg(feature = "auth")]
    pub(super) authority: Arc<crate::auth::Authority>,
    #[cfg(all(feature = "auth", feature = "process"))]
    pub(super) socket: tokio::sync::Mutex<Option<crate::socket::Listening>>,
    #[cfg(all(feature = "git", feature = "process"))]
    parts: Parts,
    #[cfg(all(feature = "git", feature = "process"))]
    outside: tokio::sync::OnceCell<Arc<Outside>>,
    /// The name of this machine, where it was given one.
    #[cfg(all(feature = "git", feature = "process"))]
    host: Option<Arc<str>>,
    #[cfg(all(feature = "git", feature = "process"))]
    pump: tokio::sync::Mutex<Option<Pump>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Town").field("store", &self.store).field("dir", &self.dir).finish_non_exhaustive()
    }
}

/// The most towns that an error names.
const NAMED_MAX: usize = 10;

/// Refuses a town that is not there where others are: its name was misspelt, or another database was meant.
async fn refuse_another(store: &Store) -> Result<()> {
    let id = store.town().clone();
    let key = Key::town(&id);
    let is_there = || {
        let key = key.clone();
        store.read(move |reader| Ok(reader.values(&key)?.is_some()))
    };
    if is_there().await? {
        return Ok(());
    }
    let there = store.towns(NAMED_MAX).await?.unwrap_or_default();
    // Another process may have founded this very town meanwhile.
    if there.is_empty() || is_there().await? {
        return Ok(());
    }
    let names = there.iter().map(TownId::as_str).collect::<Vec<_>>().join(", ");
    Err(Error::not_found("town_missing", format!("the database holds {names} and no town {id}"))
        .with("town", id)
        .with("there", names))
}

/// A machine's name as it stands in the lease: its parts are set off by colons.
#[cfg(all(feature = "git", feature = "process"))]
fn host_name(name: &str) -> Result<Arc<str>> {
    if name.is_empty() || name.len() > HOST_BYTES_MAX || name.contains(|c: char| c == ':' || c.is_control()) {
        return Err(Error::invalid(
            "host_malformed",
            format!("a machine's name has 1 to {HOST_BYTES_MAX} bytes, no colon and no control characters"),
        )
        .with("host", crate::model::id::excerpt(name)));
    }
    Ok(name.into())
}

/// The longest name of a machine in bytes.
#[cfg(all(feature = "git", feature = "process"))]
const HOST_BYTES_MAX: usize = 200;

/// What the outside world is made of, once it is needed.
#[cfg(all(feature = "git", feature = "process"))]
#[derive(Debug)]
struct Parts {
    git: crate::git::GitOptions,
    repositories: Option<Arc<dyn crate::git::Repositories>>,
    #[cfg(feature = "testkit")]
    interference: Option<Arc<dyn crate::store::Interference>>,
    runtime: Arc<dyn crate::runtime::ContainerRuntime>,
}

impl Town {
    /// A builder for the town whose files are in `dir`.
    pub fn builder(dir: impl AsRef<Path>) -> TownBuilder {
        TownBuilder::new(dir.as_ref())
    }

    pub(super) async fn restore(builder: TownBuilder, from: &Path) -> Result<Self> {
        upkeep::restore(&builder, from).await?;
        let town = Self::open(builder).await?;
        let ctx = town.ctx();
        let restored = move |raw: &mut dyn Txn| {
            command::step(raw, &ctx, "town.restore", |txn| {
                txn.event("town.restored", "town", json!({}));
                Ok(())
            })
        };
        town.shared.store.write(restored).await?;
        Ok(town)
    }

    pub(super) async fn open(builder: TownBuilder) -> Result<Self> {
        #[cfg(all(feature = "git", feature = "process"))]
        let host = builder.host.as_deref().map(host_name).transpose()?;
        builder.make_dir()?;
        upkeep::check_finished(&builder.dir)?;
        let backend = builder.backend_or_default()?;
        #[cfg(feature = "testkit")]
        let interference = builder.interference.clone();
        #[cfg(feature = "auth")]
        let keys = builder.keys.clone();
        let TownBuilder { dir, id, create, store, clock, seed, .. } = builder;
        let id = id?;
        #[cfg(feature = "testkit")]
        let inline =
            interference.clone().map(|interference| Store::inline(Arc::clone(&backend), id.clone(), interference));
        #[cfg(not(feature = "testkit"))]
        let inline: Option<Result<Store>> = None;
        // Before anything else is made in the folder: what is wrong with it, the store says best.
        let store = match inline {
            Some(store) => store?,
            None => Store::open(backend, id.clone(), store).await?,
        };
        if !create && let Err(error) = refuse_another(&store).await {
            // What went wrong before is what is told.
            let _ = store.close().await;
            return Err(error);
        }
        #[cfg(all(feature = "git", feature = "process"))]
        let parts = Parts {
            git: builder.git,
            repositories: builder.repositories,
            #[cfg(feature = "testkit")]
            interference,
            runtime: builder.runtime.map_or_else(
                || default_runtime(&dir, builder.supervisor, builder.beside.as_deref(), builder.agent_env),
                Ok,
            )?,
        };
        let seed = seed.map_or_else(random::number, Ok)?;
        #[cfg(feature = "auth")]
        let authority = {
            use crate::auth::{Authority, Keys};
            let keys = keys.map_or_else(|| Keys::in_folder(&dir), |ring| Keys::Given(Arc::new(ring)));
            Arc::new(Authority::new(id.clone(), keys))
        };
        let shared = Shared {
            store,
            dir,
            clock,
            seeds: AtomicU64::new(seed),
            #[cfg(feature = "auth")]
            authority,
            #[cfg(all(feature = "auth", feature = "process"))]
            socket: tokio::sync::Mutex::new(None),
            #[cfg(all(feature = "git", feature = "process"))]
            parts,
            #[cfg(all(feature = "git", feature = "process"))]
            outside: tokio::sync::OnceCell::new(),
            #[cfg(all(feature = "git", feature = "process"))]
            host,
            #[cfg(all(feature = "git", feature = "process"))]
            pump: tokio::sync::Mutex::new(None),
        };
        let town = Self { shared: Arc::new(shared) };
        // Only a town that is new, or of an older form, is written to: whoever opens it waits for no writer.
        if town.form().await? != Some(upgrade::DATA_SCHEMA) && town.found(id.clone()).await? < upgrade::DATA_SCHEMA {
            town.upgrade(id).await?;
        }
        Ok(town)
    }

    /// The form of the town's rows; none where it is new, or does not say it.
    async fn form(&self) -> Result<Option<i64>> {
        let key = Key::town(self.id());
        self.shared
            .store
            .read(move |reader| match reader.get(&key) {
                Ok(Some(Row::Town(town))) => {
                    upkeep::check_form(&town)?;
                    Ok(Some(town.data_schema))
                }
                Ok(_) => Ok(None),
                Err(error) if error.code() == "row_unreadable" => Ok(None),
                Err(error) => Err(error),
            })
            .await
    }

    /// Records the town where it is new; answers the form of its rows.
    async fn found(&self, id: TownId) -> Result<i64> {
        let ctx = self.ctx();
        self.shared
            .store
            .write(move |raw: &mut dyn Txn| {
                command::step(raw, &ctx, "town.found", |txn| {
                    let key = Key::town(&id);
                    let row = |data_schema| TownRow {
                        id: id.clone(),
                        created_at: ctx.now,
                        data_schema,
                        paused_reason: None,
                        paused_until: None,
                    };
                    match txn.find::<TownRow>(&key) {
                        Ok(Some(town)) => {
                            upkeep::check_form(&town)?;
                            return Ok(town.data_schema);
                        }
                        Ok(None) => {}
                        // Nobody could open the town to mend it. Which form its rows have, the upgrade sees for itself.
                        Err(error) if error.code() == "row_unreadable" => {
                            quarantine::take_out(txn, &key)?;
                            txn.put(row(0))?;
                            return Ok(0);
                        }
                        Err(error) => return Err(error),
                    }
                    txn.put(row(upgrade::DATA_SCHEMA))?;
                    txn.event("town.founded", &id, json!({}));
                    Ok(upgrade::DATA_SCHEMA)
                })
            })
            .await
    }

    /// Brings the rows of an older town to the present form.
    async fn upgrade(&self, id: TownId) -> Result<()> {
        let mut next = Some(Upgrade::default());
        while let Some(upgrade) = next {
            let (ctx, id) = (self.ctx(), id.clone());
            let step =
                move |raw: &mut dyn Txn| command::step(raw, &ctx, "town.upgrade", |txn| upgrade.clone().step(txn, &id));
            next = self.shared.store.write(step).await?;
        }
        Ok(())
    }

    /// A handle with the scope of the operator: the person or program that owns the town.
    pub fn operator(&self) -> Handle {
        Handle::new(self.clone(), Scope::Operator)
    }

    /// A handle for a user that the host knows by this name: it can do what the operator can, in its own name.
    pub fn user(&self, user: UserId) -> Handle {
        Handle::new(self.clone(), Scope::User { user, rig: None })
    }

    /// A handle that sees and changes one rig and nothing else.
    pub fn rig(&self, rig: RigName) -> Handle {
        Handle::new(self.clone(), Scope::Rig(rig))
    }

    /// A handle with the scope of the agent in a session, good while its epoch is the bead's.
    ///
    /// # Errors
    /// `session_missing`.
    pub async fn session(&self, id: &SessionId) -> Result<Handle> {
        let (id, ctx) = (id.clone(), self.ctx());
        let scope = self
            .shared
            .store
            .read(move |reader| command::ask(reader, &Scope::Town, &ctx, &id, sessions::scope))
            .await?;
        Ok(Handle::new(self.clone(), scope))
    }

    /// The town's name.
    pub fn id(&self) -> &TownId {
        self.shared.store.town()
    }

    /// The folder of the town's files.
    pub fn dir(&self) -> &Path {
        &self.shared.dir
    }

    /// Starts the engine: beads that were slung are given to agents, and their work is brought home. The town's socket is
    /// open as long.
    ///
    /// It runs as tasks of the current tokio runtime until [`Town::stop`]. What an earlier engine had begun, also in a
    /// process that was killed, is found out first. Nothing happens where it runs here already; where it failed,
    /// also because the tokio runtime it was started on is gone, it is started anew.
    ///
    /// # Errors
    /// `engine_running_elsewhere` while another process leads, `git_missing`, `git_too_old`, `socket_unusable`,
    /// `socket_exposed`.
    #[cfg(all(feature = "git", feature = "process"))]
    pub async fn start(&self) -> Result<()> {
        let mut pump = self.shared.pump.lock().await;
        if pump.as_ref().is_some_and(|pump| matches!(pump.state(), crate::executor::PumpState::Running)) {
            return Ok(());
        }
        let outside = self.outside().await?;
        // Before the first agent looks for it.
        #[cfg(feature = "auth")]
        let is_new = outside.socket.is_some() && self.serve_agents().await?;
        // The engine must not keep the town open for ever, so it holds the clock and the seeds and not the town.
        let shared = Arc::downgrade(&self.shared);
        let clock = Arc::clone(&self.shared.clock);
        let fallback = AtomicU64::new(self.shared.next_seed());
        let ctx = Arc::new(move || {
            let seed = shared.upgrade().map_or_else(|| advance(&fallback), |shared| shared.next_seed());
            Ctx::at(clock.now(), seed)
        });
        let (store, host) = (self.shared.store.clone(), self.shared.host.clone());
        let context = Context { store, outside, ctx, host, retain: self.retain() };
        match Pump::start(context).await {
            Ok(started) => *pump = Some(started),
            Err(error) => {
                // Another process leads, or nothing works: either way nobody here has agents that call.
                #[cfg(feature = "auth")]
                if is_new {
                    self.stop_serving().await;
                }
                return Err(error);
            }
        }
        Ok(())
    }

    /// Stops the engine and closes the socket: nothing new is begun; what is in flight is recorded if that takes no longer than five seconds,
    /// else the next engine finds out what became of it. Agents and gates go on and are adopted later.
    #[cfg(all(feature = "git", feature = "process"))]
    pub async fn stop(&self) -> Result<()> {
        let stopped = match self.shared.pump.lock().await.take() {
            Some(pump) => pump.stop().await,
            None => Ok(()),
        };
        // Last, because an agent may have something to say of the end.
        #[cfg(feature = "auth")]
        self.stop_serving().await;
        stopped
    }

    /// Stops the engine and closes the store; later calls answer `store_closed`.
    ///
    /// The store is closed in every case.
    ///
    /// # Errors
    /// `engine_panicked` where the engine ended so; what closing the store answers.
    pub async fn close(&self) -> Result<()> {
        #[cfg(all(feature = "git", feature = "process"))]
        let stopped = self.stop().await;
        #[cfg(not(all(feature = "git", feature = "process")))]
        let stopped = Ok(());
        #[cfg(all(feature = "auth", feature = "process", not(feature = "git")))]
        self.stop_serving().await;
        let closed = self.shared.store.close().await;
        stopped.and(closed)
    }

    /// Plays the journal from its beginning, checks its chain of hashes, and compares the rows it gives with the
    /// stored ones.
    ///
    /// # Errors
    /// `journal_broken` with the place where the chain breaks.
    pub async fn replay(&self) -> Result<Replay> {
        let dir = self.shared.dir.clone();
        self.shared.store.read_aside(move |reader| replay::replay(reader, &dir, &mut |_| {})).await
    }

    /// How the town is; the same as [`Upkeep::health`](super::Upkeep::health) of the operator.
    pub async fn health(&self) -> Result<Health> {
        self.operator().upkeep().health(All {}).await
    }

    /// Copies the town to a new folder while it works on; the same as [`Upkeep::backup`](super::Upkeep::backup) of the
    /// operator.
    pub async fn backup(&self, path: impl Into<WriteTo>) -> Result<Backup> {
        self.operator().upkeep().backup(path).await
    }

    /// Archives by the settings; it does not keep the town open.
    #[cfg(all(feature = "git", feature = "process"))]
    fn retain(&self) -> Retain {
        let shared = Arc::downgrade(&self.shared);
        Arc::new(move || {
            let town = shared.upgrade().map(|shared| Self { shared });
            Box::pin(async move {
                match town {
                    Some(town) => upkeep::retain(&town).await,
                    None => Ok(()),
                }
            })
        })
    }

    pub(super) fn ctx(&self) -> Ctx {
        Ctx::at(self.shared.clock.now(), self.shared.next_seed())
    }

    #[cfg(all(feature = "git", feature = "process"))]
    pub(super) async fn outside(&self) -> Result<Arc<Outside>> {
        let parts = &self.shared.parts;
        let make = || async {
            let dir = &self.shared.dir;
            let repositories = if let Some(repositories) = &parts.repositories {
                Arc::clone(repositories)
            } else {
                let git = crate::git::GitRunner::new(parts.git.clone()).await?;
                Arc::new(crate::git::Mirrors::new(git, dir.join("mirrors")))
            };
            let desk = Desk::new(dir.join("work"));
            #[cfg(feature = "testkit")]
            let desk = desk.of_simulation(parts.interference.clone());
            #[cfg(feature = "auth")]
            let authority = Some(Arc::clone(&self.shared.authority));
            #[cfg(all(feature = "auth", feature = "testkit"))]
            let authority = authority.filter(|_| parts.interference.is_none());
            #[cfg(feature = "auth")]
            let socket = authority.is_some().then(|| crate::socket::socket_path(dir));
            Ok(Arc::new(Outside {
                repositories,
                runtime: Arc::clone(&parts.runtime),
                desk,
                gates: dir.join("gates"),
                #[cfg(feature = "auth")]
                authority,
                #[cfg(feature = "auth")]
                socket,
            }))
        };
        self.shared.outside.get_or_try_init(make).await.cloned()
    }

    #[cfg(all(feature = "git", feature = "process"))]
    pub(super) fn runtime(&self) -> &Arc<dyn crate::runtime::ContainerRuntime> {
        &self.shared.parts.runtime
    }

    /// Whether the engine runs in this process.
    #[cfg_attr(
        not(all(feature = "git", feature = "process")),
        expect(clippy::unused_async, reason = "with an engine it waits")
    )]
    pub(super) async fn leads(&self) -> bool {
        #[cfg(all(feature = "git", feature = "process"))]
        return matches!(self.pump_state().await, Some(crate::executor::PumpState::Running));
        #[cfg(not(all(feature = "git", feature = "process")))]
        false
    }

    /// What the engine here does, as it changes; none where none was started.
    #[cfg(all(feature = "git", feature = "process"))]
    pub(super) async fn pump_states(&self) -> Option<tokio::sync::watch::Receiver<crate::executor::PumpState>> {
        self.shared.pump.lock().await.as_ref().map(Pump::states)
    }

    #[cfg(all(feature = "git", feature = "process"))]
    pub(super) async fn pump_state(&self) -> Option<crate::executor::PumpState> {
        self.shared.pump.lock().await.as_ref().map(Pump::state)
    }
}

impl Shared {
    fn next_seed(&self) -> u64 {
        advance(&self.seeds)
    }
}

/// The next seed of a sequence: an odd step goes through every number before one comes again.
fn advance(seeds: &AtomicU64) -> u64 {
    seeds.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed)
}

#[cfg(all(feature = "git", feature = "process"))]
fn default_runtime(
    dir: &Path,
    supervisor: Option<crate::runtime::Supervisor>,
    beside: Option<&Path>,
    env: std::collections::BTreeMap<String, String>,
) -> Result<Arc<dyn crate::runtime::ContainerRuntime>> {
    use crate::runtime::{ProcessOptions, ProcessRuntime, Supervisor};
    let mut options = ProcessOptions::new(dir.join("sessions"));
    options.inherit_env = env;
    let path =
        options.inherit_env.entry("PATH".to_owned()).or_insert_with(|| "/usr/local/bin:/usr/bin:/bin".to_owned());
    options.supervisor = supervisor.unwrap_or_else(|| Supervisor::find(beside, Some(path.as_ref())));
    // An agent calls the town by the program that watches over it: by its name, where nothing else is called so.
    if let Supervisor::Program { path: program, .. } = &options.supervisor
        && program.file_name().is_some_and(|name| name == "gastown")
        && let Some(folder) = program.parent().and_then(Path::to_str).filter(|folder| !folder.contains(':'))
        && !path.split(':').any(|known| known == folder)
    {
        *path = format!("{path}:{folder}");
    }
    Ok(Arc::new(ProcessRuntime::new(options)?))
}
