//! The port: what the executor uses of a rig's repository, and where it gets it from.

use std::collections::HashMap;
use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Mutex;

use super::fetch::FetchReport;
use super::inspect::{RemoteFacts, inspect_remote};
use super::merge::{MergeOutcome, MergeSpec};
use super::mirror::Mirror;
use super::name::BranchName;
use super::publish::{DeleteOutcome, PublishOutcome};
use super::remote::RemoteUrl;
use super::runner::GitRunner;
use super::save::SaveSpec;
use super::workspace::WorkspaceSpec;
use crate::model::{Oid, Result, RigName};

/// Gives the repositories of rigs.
#[async_trait]
pub trait Repositories: Debug + Send + Sync + 'static {
    /// Looks at a remote before it becomes a rig: whether it answers, and what it holds.
    ///
    /// # Contract
    /// It changes nothing, here or there.
    async fn inspect(&self, url: &RemoteUrl, target: &BranchName) -> Result<RemoteFacts>;

    /// The rig's repository on this machine, made where it is not there yet.
    ///
    /// # Contract
    /// Idempotent; nothing is fetched. A remote that changed since replaces the earlier one.
    async fn open(&self, rig: &RigName, url: &RemoteUrl) -> Result<Arc<dyn Repository>>;
}

/// One rig's repository between its remote and its agents: [`Mirror`] is the one that works with git.
///
/// # Contract
/// What holds for every method: it may be called at any time, by several processes; dropping the future or killing the
/// process leaves what it does either undone or done. An error says that nothing was done, or that it is not known
/// whether it was: then asking again, or repeating, finds out.
#[async_trait]
pub trait Repository: Debug + Send + Sync + 'static {
    /// Makes what is known here of the remote's branches what they are.
    async fn fetch(&self) -> Result<FetchReport>;

    /// The branch as it was at the last fetch.
    async fn branch(&self, branch: &BranchName) -> Result<Option<Oid>>;

    /// The branch as it is at the remote now.
    async fn remote_branch(&self, branch: &BranchName) -> Result<Option<Oid>>;

    /// Whether the commit is here.
    async fn commit_exists(&self, commit: &Oid) -> Result<bool>;

    /// Whether `descendant` is, or has among its ancestors, `ancestor`; both are here.
    async fn contains(&self, ancestor: &Oid, descendant: &Oid) -> Result<bool>;

    /// Keeps a commit from being collected until it is released under the same name.
    async fn keep(&self, name: &str, commit: &Oid) -> Result<()>;

    /// Gives up what was kept under the name; nothing where nothing was.
    async fn release(&self, name: &str) -> Result<()>;

    /// Computes a merge commit without touching anybody's files.
    ///
    /// # Contract
    /// The same spec gives the same commit.
    async fn merge(&self, spec: &MergeSpec) -> Result<MergeOutcome>;

    /// Moves a branch of the remote from `expected` (none: it is not there) to `new`.
    ///
    /// # Contract
    /// Compare-and-swap: of several at once from one commit, one succeeds.
    async fn publish(&self, branch: &BranchName, new: &Oid, expected: Option<&Oid>) -> Result<PublishOutcome>;

    /// Removes a branch of the remote that is at `expected`.
    async fn delete_remote_branch(&self, branch: &BranchName, expected: &Oid) -> Result<DeleteOutcome>;

    /// Removes a branch here; nothing where there is none.
    async fn delete_branch(&self, branch: &BranchName) -> Result<()>;

    /// The branches here whose names begin so, and what each holds: those of this machine, and the remote's as at the last
    /// fetch.
    async fn branches(&self, beginning: &str) -> Result<Vec<(String, Oid)>>;

    /// Makes a session's workspace, or finds it whole.
    async fn prepare_workspace(&self, spec: &WorkspaceSpec) -> Result<()>;

    /// Makes a tree of one commit for a gate, or finds it whole.
    async fn checkout_scratch(&self, commit: &Oid, path: &Path) -> Result<()>;

    /// Removes a workspace or a scratch tree; nothing where there is none.
    async fn remove_workspace(&self, path: &Path) -> Result<()>;

    /// Brings the commits of a workspace's branch here; none where the branch is not there.
    async fn collect(&self, workspace: &Path, branch: &BranchName) -> Result<Option<Oid>>;

    /// Keeps what lies in a workspace and is not committed, as a commit under a branch here; none where nothing does.
    ///
    /// # Contract
    /// The same spec gives the same commit. The workspace stays as it is.
    async fn save(&self, spec: &SaveSpec) -> Result<Option<Oid>>;
}

#[async_trait]
impl Repository for Mirror {
    async fn fetch(&self) -> Result<FetchReport> {
        Self::fetch(self).await
    }

    async fn branch(&self, branch: &BranchName) -> Result<Option<Oid>> {
        Self::branch(self, branch).await
    }

    async fn remote_branch(&self, branch: &BranchName) -> Result<Option<Oid>> {
        Self::remote_branch(self, branch).await
    }

    async fn commit_exists(&self, commit: &Oid) -> Result<bool> {
        Self::commit_exists(self, commit).await
    }

    async fn contains(&self, ancestor: &Oid, descendant: &Oid) -> Result<bool> {
        Self::contains(self, ancestor, descendant).await
    }

    async fn keep(&self, name: &str, commit: &Oid) -> Result<()> {
        Self::keep(self, name, commit).await
    }

    async fn release(&self, name: &str) -> Result<()> {
        Self::release(self, name).await
    }

    async fn merge(&self, spec: &MergeSpec) -> Result<MergeOutcome> {
        Self::merge(self, spec).await
    }

    async fn publish(&self, branch: &BranchName, new: &Oid, expected: Option<&Oid>) -> Result<PublishOutcome> {
        Self::publish(self, branch, new, expected).await
    }

    async fn delete_remote_branch(&self, branch: &BranchName, expected: &Oid) -> Result<DeleteOutcome> {
        Self::delete_remote_branch(self, branch, expected).await
    }

    async fn delete_branch(&self, branch: &BranchName) -> Result<()> {
        Self::delete_branch(self, branch).await
    }

    async fn branches(&self, beginning: &str) -> Result<Vec<(String, Oid)>> {
        Self::branches(self, beginning).await
    }

    async fn prepare_workspace(&self, spec: &WorkspaceSpec) -> Result<()> {
        Self::prepare_workspace(self, spec).await
    }

    async fn checkout_scratch(&self, commit: &Oid, path: &Path) -> Result<()> {
        Self::checkout_scratch(self, commit, path).await
    }

    async fn remove_workspace(&self, path: &Path) -> Result<()> {
        Self::remove_workspace(self, path).await
    }

    async fn collect(&self, workspace: &Path, branch: &BranchName) -> Result<Option<Oid>> {
        Self::collect(self, workspace, branch).await
    }

    async fn save(&self, spec: &SaveSpec) -> Result<Option<Oid>> {
        Self::save(self, spec).await
    }
}

/// Mirrors in one folder, each opened once.
#[derive(Debug)]
pub struct Mirrors {
    runner: GitRunner,
    folder: PathBuf,
    open: Mutex<HashMap<RigName, Mirror>>,
}

impl Mirrors {
    /// Mirrors in this folder, by this git.
    pub fn new(runner: GitRunner, folder: impl Into<PathBuf>) -> Self {
        Self { runner, folder: folder.into(), open: Mutex::default() }
    }
}

#[async_trait]
impl Repositories for Mirrors {
    async fn inspect(&self, url: &RemoteUrl, target: &BranchName) -> Result<RemoteFacts> {
        inspect_remote(&self.runner, url, target).await
    }

    async fn open(&self, rig: &RigName, url: &RemoteUrl) -> Result<Arc<dyn Repository>> {
        let known = self.open.lock().await.get(rig).cloned();
        if let Some(mirror) = known.filter(|mirror| mirror.url() == url) {
            return Ok(Arc::new(mirror));
        }
        let path = self.folder.join(format!("{rig}.git"));
        let mirror = Mirror::open(self.runner.clone(), path, url).await?;
        self.open.lock().await.insert(rig.clone(), mirror.clone());
        Ok(Arc::new(mirror))
    }
}
