//! Merges computed in the object store.

use std::collections::BTreeSet;

use git2::{ErrorCode, Index, MergeOptions, Repository, Signature, Time};

use super::library::{fault, from_git, to_git};
use super::mirror::Mirror;
use super::refs::{descends, require_commit};
use super::workspace::Person;
use crate::model::{Error, Oid, Result, Timestamp};

/// The most files a conflict names.
const FILES_MAX: usize = 1_000;
/// How many pairs are compared when looking for renamed files.
const RENAMES_MAX: u32 = 7_000;
/// How alike two files are that count as one renamed file, in per cent.
const RENAME_PERCENT: u32 = 50;

/// What is to be merged into what.
#[derive(Clone, Debug)]
pub struct MergeSpec {
    /// The commit that is merged into: the first parent.
    pub target: Oid,
    /// The commit that is merged: the second parent.
    pub head: Oid,
    /// The message.
    pub message: String,
    /// Author and committer.
    pub committer: Person,
    /// When, in whole seconds.
    pub time: Timestamp,
}

/// How a merge came out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MergeOutcome {
    /// A merge commit, the same one for the same spec. Nothing points at it yet.
    Merged {
        /// The commit.
        commit: Oid,
    },
    /// The target already has the head.
    AlreadyContained,
    /// Both sides changed the same.
    Conflict {
        /// The files, ordered, at most 1,000.
        files: Vec<String>,
    },
}

impl Mirror {
    /// Merges without any working tree, always with a merge commit. No merge driver or other program runs, and
    /// attributes of the tree do not count.
    ///
    /// Errors: `commit_missing`, `histories_unrelated`, `person_malformed`.
    pub async fn merge(&self, spec: &MergeSpec) -> Result<MergeOutcome> {
        let spec = spec.clone();
        self.with_repository(move |repository| merge(repository, &spec)).await
    }
}

fn merge(repository: &Repository, spec: &MergeSpec) -> Result<MergeOutcome> {
    let (target, head) = (to_git(&spec.target)?, to_git(&spec.head)?);
    require_commit(repository, target)?;
    require_commit(repository, head)?;
    if descends(repository, target, head)? {
        return Ok(MergeOutcome::AlreadyContained);
    }
    require_common_base(repository, target, head)?;
    let ours = repository.find_commit(target).map_err(fault("find a commit"))?;
    let theirs = repository.find_commit(head).map_err(fault("find a commit"))?;
    let mut options = MergeOptions::new();
    options.find_renames(true).rename_threshold(RENAME_PERCENT).target_limit(RENAMES_MAX).skip_reuc(true);
    let mut index = repository.merge_commits(&ours, &theirs, Some(&options)).map_err(fault("merge"))?;
    if index.has_conflicts() {
        return Ok(MergeOutcome::Conflict { files: conflicts(&index)? });
    }
    let tree = index.write_tree_to(repository).map_err(fault("write a tree"))?;
    let tree = repository.find_tree(tree).map_err(fault("find a tree"))?;
    let person = signature(&spec.committer, spec.time)?;
    let message = format!("{}\n", spec.message.trim_end());
    let commit =
        repository.commit(None, &person, &person, &message, &tree, &[&ours, &theirs]).map_err(fault("commit"))?;
    Ok(MergeOutcome::Merged { commit: from_git(commit)? })
}

fn require_common_base(repository: &Repository, target: git2::Oid, head: git2::Oid) -> Result<()> {
    match repository.merge_base(target, head) {
        Ok(_) => Ok(()),
        Err(error) if error.code() == ErrorCode::NotFound => {
            Err(Error::conflict("histories_unrelated", format!("{head} has no commit in common with {target}"))
                .with("target", target)
                .with("head", head))
        }
        Err(error) => Err(fault("find the common base")(error)),
    }
}

fn conflicts(index: &Index) -> Result<Vec<String>> {
    let mut files = BTreeSet::new();
    for conflict in index.conflicts().map_err(fault("read conflicts"))? {
        let conflict = conflict.map_err(fault("read conflicts"))?;
        for entry in [conflict.our, conflict.their, conflict.ancestor].into_iter().flatten() {
            files.insert(String::from_utf8_lossy(&entry.path).into_owned());
        }
    }
    Ok(files.into_iter().take(FILES_MAX).collect())
}

fn signature(person: &Person, time: Timestamp) -> Result<Signature<'static>> {
    let seconds = time.as_micros().div_euclid(1_000_000);
    Signature::new(&person.name, &person.email, &Time::new(seconds, 0)).map_err(|error| {
        Error::invalid("person_malformed", "a committer needs a name and an address without angle brackets")
            .because(error)
    })
}
