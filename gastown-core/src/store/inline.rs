//! A store without threads: for simulations, where everything happens in one order.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::sync::watch;

use super::quarantine::Quarantine;
use super::{Access, Backend, Connection, Reader, Txn};
use crate::model::{Result, SessionId, TownId};

/// What a simulation does around the commands and reads of a store without threads.
///
/// A future that never ends is a process that died at that moment.
#[async_trait]
pub trait Interference: std::fmt::Debug + Send + Sync + 'static {
    /// Before a command begins; an error is what its caller gets, and nothing is done.
    async fn before_write(&self) -> Result<()>;

    /// After a command was committed, before its caller is told; an error is what it is told instead.
    async fn after_write(&self) -> Result<()>;

    /// Before a read begins.
    async fn before_read(&self) -> Result<()>;

    /// The briefs of sessions, which a simulation keeps off the disk.
    fn briefs(&self) -> &Mutex<BTreeMap<SessionId, String>>;
}

/// Runs each command in the caller's task, in a transaction of its own.
#[derive(Debug)]
pub(super) struct Inline {
    pub(super) backend: Arc<dyn Backend>,
    pub(super) town: TownId,
    pub(super) quarantine: Arc<Quarantine>,
    interference: Arc<dyn Interference>,
    commits: watch::Sender<u64>,
    writing: Mutex<()>,
}

impl Inline {
    pub(super) fn new(backend: Arc<dyn Backend>, town: TownId, interference: Arc<dyn Interference>) -> Self {
        let (commits, writing) = (watch::Sender::new(0), Mutex::default());
        Self { backend, town, quarantine: Arc::default(), interference, commits, writing }
    }

    pub(super) fn commits(&self) -> watch::Receiver<u64> {
        self.commits.subscribe()
    }

    pub(super) async fn write<T: Send>(&self, mut job: impl FnMut(&mut dyn Txn) -> Result<T> + Send) -> Result<T> {
        self.interference.before_write().await?;
        let done = self.commit(&mut job)?;
        self.interference.after_write().await?;
        Ok(done)
    }

    fn commit<T>(&self, job: &mut (impl FnMut(&mut dyn Txn) -> Result<T> + Send)) -> Result<T> {
        let _one = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut connection = self.backend.connect(Access::Write)?;
        let mut txn = connection.write(&self.town)?;
        let before = txn.head()?.seq;
        let done = job(&mut *txn)?;
        let after = txn.head()?.seq;
        self.quarantine.collect(&*txn);
        txn.commit()?;
        if after > before {
            self.commits.send_replace(after);
        }
        Ok(done)
    }

    pub(super) async fn read<T: Send>(&self, mut job: impl FnMut(&dyn Reader) -> Result<T> + Send) -> Result<T> {
        self.interference.before_read().await?;
        self.aside(|connection| {
            let reader = connection.read(&self.town)?;
            let done = job(&*reader);
            self.quarantine.collect(&*reader);
            done
        })
    }

    pub(super) fn aside<T>(&self, job: impl FnOnce(&mut dyn Connection) -> Result<T>) -> Result<T> {
        job(&mut *self.backend.connect(Access::Read)?)
    }

    pub(super) fn apart<T>(&self, job: impl FnOnce(&mut dyn Connection) -> Result<T>) -> Result<T> {
        job(&mut *self.backend.connect(Access::Write)?)
    }
}
