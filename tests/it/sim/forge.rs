//! Git without git: commits that are sets of files, a remote, and the mirror of it.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use gastown_core::git::{
    BranchName, DeleteOutcome, FetchReport, MergeOutcome, MergeSpec, PublishOutcome, RemoteFacts, RemoteUrl,
    Repositories, Repository, SaveSpec, WorkspaceSpec,
};
use gastown_core::model::{Error, Oid, Result, RigName};

use super::world::World;

/// The branch that work lands on.
pub(super) const MAIN: &str = "main";

#[derive(Clone, Debug, Hash)]
pub(super) struct Commit {
    pub(super) parents: Vec<Oid>,
    /// What each file holds.
    pub(super) files: BTreeMap<String, u64>,
    /// The message and the time of a merge commit; the session of an agent's.
    made: String,
}

#[derive(Debug)]
struct Workspace {
    branch: String,
    head: Oid,
    /// What is not committed.
    loose: BTreeMap<String, u64>,
}

/// The remote and our mirror of it.
#[derive(Debug)]
pub(super) struct Forge {
    commits: BTreeMap<Oid, Commit>,
    remote: BTreeMap<String, Oid>,
    mirror: BTreeMap<String, Oid>,
    kept: BTreeMap<String, Oid>,
    workspaces: BTreeMap<PathBuf, Workspace>,
    /// Each move of a branch at the remote: which, from what, to what.
    pub(super) moves: Vec<(String, Option<Oid>, Oid)>,
}

impl Forge {
    pub(super) fn new() -> Self {
        let root =
            Commit { parents: Vec::new(), files: BTreeMap::from([("shared".to_owned(), 0)]), made: String::new() };
        let mut forge = Self {
            commits: BTreeMap::new(),
            remote: BTreeMap::new(),
            mirror: BTreeMap::new(),
            kept: BTreeMap::new(),
            workspaces: BTreeMap::new(),
            moves: Vec::new(),
        };
        let root = forge.store(root);
        forge.remote.insert(MAIN.to_owned(), root);
        forge
    }

    /// The same commit has the same id.
    fn store(&mut self, commit: Commit) -> Oid {
        let mut hasher = DefaultHasher::new();
        commit.hash(&mut hasher);
        let sum = hasher.finish();
        let id = Oid::new(format!("{sum:016x}{sum:016x}00000000")).unwrap();
        self.commits.insert(id.clone(), commit);
        id
    }

    pub(super) fn commit(&self, id: &Oid) -> &Commit {
        &self.commits[id]
    }

    pub(super) fn remote(&self, branch: &str) -> Option<&Oid> {
        self.remote.get(branch)
    }

    pub(super) fn workspaces(&self) -> usize {
        self.workspaces.len()
    }

    /// The commit and all that it comes from.
    pub(super) fn ancestors(&self, of: &Oid) -> BTreeSet<Oid> {
        let mut found = BTreeSet::new();
        let mut next = vec![of.clone()];
        while let Some(id) = next.pop() {
            if found.insert(id.clone()) {
                next.extend(self.commits[&id].parents.iter().cloned());
            }
        }
        found
    }

    /// An agent commits in its workspace; nothing where the workspace is gone.
    pub(super) fn work(&mut self, workspace: &Path, session: &str, files: &[(String, u64)]) {
        let Some(place) = self.workspaces.get(workspace) else { return };
        let parent = place.head.clone();
        let mut tree = self.commits[&parent].files.clone();
        tree.extend(files.iter().cloned());
        let made = self.store(Commit { parents: vec![parent], files: tree, made: session.to_owned() });
        let place = self.workspaces.get_mut(workspace).unwrap();
        place.head = made;
        place.loose.clear();
    }

    /// An agent writes a file and does not commit it; nothing where the workspace is gone.
    pub(super) fn scribble(&mut self, workspace: &Path, file: (String, u64)) {
        if let Some(place) = self.workspaces.get_mut(workspace) {
            place.loose.extend([file]);
        }
    }

    /// The nearest commit that both come from.
    fn base(&self, one: &Oid, other: &Oid) -> Oid {
        let (ours, theirs) = (self.ancestors(one), self.ancestors(other));
        let both: Vec<&Oid> = ours.intersection(&theirs).collect();
        // The one that has all the others behind it.
        let size = |id: &&&Oid| self.ancestors(id).len();
        (*both.iter().max_by_key(size).expect("they have the first commit in common")).clone()
    }

    fn merge(&mut self, spec: &MergeSpec) -> MergeOutcome {
        if self.ancestors(&spec.target).contains(&spec.head) {
            return MergeOutcome::AlreadyContained;
        }
        let base = self.base(&spec.target, &spec.head);
        let (old, ours, theirs) =
            (&self.commits[&base].files, &self.commits[&spec.target].files, &self.commits[&spec.head].files);
        let mut files = ours.clone();
        let mut conflicts = Vec::new();
        for (name, theirs) in theirs {
            let (old, ours) = (old.get(name), ours.get(name));
            if Some(theirs) == old || Some(theirs) == ours {
                continue;
            }
            if ours == old {
                files.insert(name.clone(), *theirs);
            } else {
                conflicts.push(name.clone());
            }
        }
        if !conflicts.is_empty() {
            return MergeOutcome::Conflict { files: conflicts };
        }
        let parents = vec![spec.target.clone(), spec.head.clone()];
        let made = format!("{} {}", spec.time.as_micros(), spec.message);
        MergeOutcome::Merged { commit: self.store(Commit { parents, files, made }) }
    }

    fn publish(&mut self, branch: &str, new: &Oid, expected: Option<&Oid>) -> PublishOutcome {
        let there = self.remote.get(branch).cloned();
        if there.as_ref() == Some(new) {
            return PublishOutcome::AlreadyThere;
        }
        if there.as_ref() != expected {
            return PublishOutcome::Moved { actual: there };
        }
        self.moves.push((branch.to_owned(), there, new.clone()));
        self.remote.insert(branch.to_owned(), new.clone());
        PublishOutcome::Published
    }
}

fn unknown(commit: &Oid) -> Error {
    Error::not_found("commit_missing", format!("there is no commit {commit}"))
}

#[async_trait]
impl Repositories for World {
    async fn inspect(&self, _: &RemoteUrl, target: &BranchName) -> Result<RemoteFacts> {
        self.step("git.inspect").await?;
        let state = self.state();
        let head = state.forge.remote(target.as_str()).expect("the simulated remote has the branch").clone();
        Ok(RemoteFacts::new(head, state.forge.remote.keys().cloned().collect()))
    }

    async fn open(&self, _: &RigName, _: &RemoteUrl) -> Result<Arc<dyn Repository>> {
        Ok(Arc::new(self.clone()))
    }
}

#[async_trait]
impl Repository for World {
    async fn fetch(&self) -> Result<FetchReport> {
        self.step("git.fetch").await?;
        {
            let forge = &mut self.state().forge;
            // The families of this machine are not the remote's.
            forge.mirror.retain(|name, _| name.starts_with("gt/work/") || name.starts_with("gt/saved/"));
            let remote = forge.remote.clone();
            forge.mirror.extend(remote);
        }
        self.step("git.fetched").await?;
        Ok(FetchReport::default())
    }

    async fn branch(&self, branch: &BranchName) -> Result<Option<Oid>> {
        Ok(self.state().forge.mirror.get(branch.as_str()).cloned())
    }

    async fn remote_branch(&self, branch: &BranchName) -> Result<Option<Oid>> {
        self.step("git.remote_branch").await?;
        Ok(self.state().forge.remote.get(branch.as_str()).cloned())
    }

    async fn commit_exists(&self, commit: &Oid) -> Result<bool> {
        Ok(self.state().forge.commits.contains_key(commit))
    }

    async fn contains(&self, ancestor: &Oid, descendant: &Oid) -> Result<bool> {
        Ok(self.state().forge.ancestors(descendant).contains(ancestor))
    }

    async fn keep(&self, name: &str, commit: &Oid) -> Result<()> {
        self.state().forge.kept.insert(name.to_owned(), commit.clone());
        Ok(())
    }

    async fn release(&self, name: &str) -> Result<()> {
        self.state().forge.kept.remove(name);
        Ok(())
    }

    async fn merge(&self, spec: &MergeSpec) -> Result<MergeOutcome> {
        self.step("git.merge").await?;
        let outcome = {
            let forge = &mut self.state().forge;
            for commit in [&spec.target, &spec.head] {
                if !forge.commits.contains_key(commit) {
                    return Err(unknown(commit));
                }
            }
            forge.merge(spec)
        };
        self.step("git.merged").await?;
        Ok(outcome)
    }

    async fn publish(&self, branch: &BranchName, new: &Oid, expected: Option<&Oid>) -> Result<PublishOutcome> {
        self.step("git.publish").await?;
        let outcome = self.state().forge.publish(branch.as_str(), new, expected);
        self.step("git.published").await?;
        Ok(outcome)
    }

    async fn delete_remote_branch(&self, branch: &BranchName, expected: &Oid) -> Result<DeleteOutcome> {
        self.step("git.delete_remote").await?;
        let outcome = {
            let forge = &mut self.state().forge;
            match forge.remote.get(branch.as_str()) {
                None => DeleteOutcome::Absent,
                Some(there) if there == expected => {
                    forge.remote.remove(branch.as_str());
                    DeleteOutcome::Deleted
                }
                Some(there) => DeleteOutcome::Moved { actual: there.clone() },
            }
        };
        self.step("git.deleted_remote").await?;
        Ok(outcome)
    }

    async fn delete_branch(&self, branch: &BranchName) -> Result<()> {
        self.state().forge.mirror.remove(branch.as_str());
        Ok(())
    }

    async fn branches(&self, beginning: &str) -> Result<Vec<(String, Oid)>> {
        let state = self.state();
        let ours = state.forge.mirror.iter().filter(|(name, _)| name.starts_with(beginning));
        Ok(ours.map(|(name, oid)| (name.clone(), oid.clone())).collect())
    }

    async fn prepare_workspace(&self, spec: &WorkspaceSpec) -> Result<()> {
        self.step("git.workspace").await?;
        {
            let forge = &mut self.state().forge;
            let (branch, head) = (spec.branch.as_str().to_owned(), spec.base.clone());
            let files = spec.files.as_ref().map(|commit| forge.commits[commit].files.clone()).unwrap_or_default();
            let base = &forge.commits[&head].files;
            let loose = files.into_iter().filter(|(name, held)| base.get(name) != Some(held)).collect();
            forge.workspaces.entry(spec.path.clone()).or_insert(Workspace { branch, head, loose });
        }
        self.step("git.workspace_made").await
    }

    async fn checkout_scratch(&self, commit: &Oid, path: &Path) -> Result<()> {
        self.step("git.scratch").await?;
        let place = Workspace { branch: String::new(), head: commit.clone(), loose: BTreeMap::new() };
        self.state().forge.workspaces.insert(path.to_owned(), place);
        Ok(())
    }

    async fn remove_workspace(&self, path: &Path) -> Result<()> {
        self.step("git.remove_workspace").await?;
        self.state().forge.workspaces.remove(path);
        Ok(())
    }

    async fn collect(&self, workspace: &Path, branch: &BranchName) -> Result<Option<Oid>> {
        self.step("git.collect").await?;
        let head = {
            let forge = &mut self.state().forge;
            let head = forge
                .workspaces
                .get(workspace)
                .filter(|place| place.branch == branch.as_str())
                .map(|place| place.head.clone());
            if let Some(head) = &head {
                forge.mirror.insert(branch.as_str().to_owned(), head.clone());
            }
            head
        };
        self.step("git.collected").await?;
        Ok(head)
    }

    async fn save(&self, spec: &SaveSpec) -> Result<Option<Oid>> {
        self.step("git.save").await?;
        let saved = {
            let forge = &mut self.state().forge;
            if !forge.commits.contains_key(&spec.parent) {
                return Err(unknown(&spec.parent));
            }
            let loose = forge.workspaces.get(&spec.workspace).map(|place| place.loose.clone()).unwrap_or_default();
            if loose.is_empty() {
                None
            } else {
                let mut files = forge.commits[&spec.parent].files.clone();
                files.extend(loose);
                let made = format!("{} {}", spec.time.as_micros(), spec.message);
                let commit = forge.store(Commit { parents: vec![spec.parent.clone()], files, made });
                forge.mirror.insert(spec.branch.as_str().to_owned(), commit.clone());
                Some(commit)
            }
        };
        self.step("git.saved").await?;
        Ok(saved)
    }
}
