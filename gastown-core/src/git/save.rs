//! Keeping what a session had not committed: a commit of its files as they lie there, made without its repository.

use std::path::{Path, PathBuf};

use git2::{Commit, Index, IndexAddOption, Repository, Signature, Time};

use super::library::{blocking, fault, from_git, open, to_git};
use super::mirror::{Mirror, check_path};
use super::name::BranchName;
use super::refs::require_commit;
use super::stale;
use super::workspace::{Person, refuse_links};
use crate::model::{Error, Oid, Result, Timestamp};

/// What is kept of a workspace, and under which name.
#[derive(Clone, Debug)]
pub struct SaveSpec {
    /// The workspace, which nobody writes any more.
    pub workspace: PathBuf,
    /// The commit that its files are compared with, and the parent of the one that is made.
    pub parent: Oid,
    /// The branch of the mirror that keeps it.
    pub branch: BranchName,
    /// The message of the commit.
    pub message: String,
    /// In whose name it is made.
    pub author: Person,
    /// Its time, so that a repeat makes the same commit.
    pub time: Timestamp,
}

impl Mirror {
    /// Makes a commit of the files in a workspace that are not in `parent`, and keeps it under a branch of the mirror.
    ///
    /// None where nothing differs, or where there is no workspace. What the repository's own ignore files leave out is
    /// left out, and so are repositories inside it. The workspace's git folder is neither read nor written, no link is followed, and no program runs.
    /// Repeating it is harmless.
    ///
    /// # Errors
    /// `workspace_too_large` before anything is kept; `path_malformed`, `workspace_symlink`, `commit_missing`.
    pub async fn save(&self, spec: &SaveSpec) -> Result<Option<Oid>> {
        check_path(&spec.workspace)?;
        let (mirror, spec) = (self.path().to_owned(), spec.clone());
        let options = self.runner().options();
        let bounds = Bounds { files_max: options.collect_objects_max, bytes_max: options.collect_bytes_max };
        blocking(move || {
            if !spec.workspace.is_dir() {
                return Ok(None);
            }
            refuse_links(&spec.workspace)?;
            let _shared = stale::share(&mirror)?;
            save(&open(&mirror)?, &spec, bounds)
        })
        .await
    }
}

/// How much is kept at most.
#[derive(Clone, Copy)]
struct Bounds {
    files_max: u64,
    bytes_max: u64,
}

fn save(repository: &Repository, spec: &SaveSpec, bounds: Bounds) -> Result<Option<Oid>> {
    let parent = to_git(&spec.parent)?;
    require_commit(repository, parent)?;
    let parent = repository.find_commit(parent).map_err(fault("find a commit"))?;
    // This handle alone looks at the agent's files, with the mirror's configuration and objects and an index in memory.
    repository.set_workdir(&spec.workspace, false).map_err(fault("name a working tree"))?;
    let mut index = Index::new().map_err(fault("make an index"))?;
    repository.set_index(&mut index).map_err(fault("take an index"))?;
    let tree = parent.tree().map_err(fault("find a tree"))?;
    index.read_tree(&tree).map_err(fault("read a tree"))?;
    add(&mut index, &spec.workspace, bounds)?;
    let saved = index.write_tree().map_err(fault("write a tree"))?;
    if saved == tree.id() {
        return Ok(None);
    }
    let commit = commit(repository, spec, &parent, saved)?;
    repository.reference(&spec.branch.full(), commit, true, "gastown: save").map_err(fault("keep what was saved"))?;
    from_git(commit).map(Some)
}

/// Brings the index to what lies in the workspace; broken off where that is too much.
fn add(index: &mut Index, workspace: &Path, bounds: Bounds) -> Result<()> {
    let (mut files, mut bytes) = (0_u64, 0_u64);
    let mut is_too_much = false;
    let mut count = |path: &Path, _: &[u8]| {
        // A repository of its own inside: only its files could be kept, and git would take it for a submodule.
        if path.as_os_str().as_encoded_bytes().ends_with(b"/") {
            return 1;
        }
        files += 1;
        // What is not there any more is taken out and costs nothing.
        let found = std::fs::symlink_metadata(workspace.join(path));
        bytes = bytes.saturating_add(found.map_or(0, |found| found.len()));
        is_too_much = files > bounds.files_max || bytes > bounds.bytes_max;
        if is_too_much { -1 } else { 0 }
    };
    let added = index.add_all(["*"], IndexAddOption::DEFAULT, Some(&mut count));
    if is_too_much {
        return Err(Error::exhausted(
            "workspace_too_large",
            format!("{} holds too much that is not committed", workspace.display()),
        )
        .with("files_max", bounds.files_max)
        .with("bytes_max", bounds.bytes_max));
    }
    added.map_err(fault("read a workspace"))
}

fn commit(repository: &Repository, spec: &SaveSpec, parent: &Commit<'_>, tree: git2::Oid) -> Result<git2::Oid> {
    let time = Time::new(spec.time.as_micros().div_euclid(1_000_000), 0);
    let author = Signature::new(&spec.author.name, &spec.author.email, &time).map_err(fault("name an author"))?;
    let tree = repository.find_tree(tree).map_err(fault("find a tree"))?;
    repository.commit(None, &author, &author, &spec.message, &tree, &[parent]).map_err(fault("make a commit"))
}
