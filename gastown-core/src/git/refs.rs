//! The mirror's branches, kept commits and questions about history.

use git2::{ErrorCode, Repository, Sort};

use super::library::{drop_ref, fault, from_git, read_ref, swap_ref, to_git};
use super::mirror::Mirror;
use super::name::BranchName;
use crate::model::{Error, Oid, Result};

/// The commits of one side that the other has not.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CommitRange {
    /// The commits, newest first, at most as many as were asked for.
    pub commits: Vec<Oid>,
    /// Whether there are more.
    pub more: bool,
}

impl Mirror {
    /// Where the mirror's own branch is: what the remote had at the last fetch, or what an agent pushed.
    pub async fn branch(&self, branch: &BranchName) -> Result<Option<Oid>> {
        let full = branch.full();
        self.with_repository(move |repository| read_ref(repository, &full)?.map(from_git).transpose()).await
    }

    /// Sets the mirror's own branch if it is as `expected` (`None`: not there); else `branch_moved` with where it is.
    pub async fn set_branch(&self, branch: &BranchName, new: &Oid, expected: Option<&Oid>) -> Result<()> {
        let full = branch.full();
        let (new, expected) = (to_git(new)?, expected.map(to_git).transpose()?);
        self.with_repository(move |repository| {
            if swap_ref(repository, &full, expected, new, "gastown: set")? {
                return Ok(());
            }
            Err(moved(repository, &full)?)
        })
        .await
    }

    /// Removes the mirror's own branch; nothing happens where there is none.
    pub async fn delete_branch(&self, branch: &BranchName) -> Result<()> {
        let full = branch.full();
        self.with_repository(move |repository| drop_ref(repository, &full)).await
    }

    /// The mirror's own branches whose names begin so, and what each holds, by name.
    pub async fn branches(&self, beginning: &str) -> Result<Vec<(String, Oid)>> {
        let beginning = beginning.to_owned();
        self.with_repository(move |repository| {
            let mut found = Vec::new();
            for reference in repository.references_glob("refs/heads/*").map_err(fault("list branches"))? {
                let reference = reference.map_err(fault("list branches"))?;
                let (Ok(name), Some(oid)) = (reference.name(), reference.target()) else { continue };
                if let Some(name) = name.strip_prefix("refs/heads/").filter(|name| name.starts_with(&beginning)) {
                    found.push((name.to_owned(), from_git(oid)?));
                }
            }
            found.sort();
            Ok(found)
        })
        .await
    }

    /// Whether `descendant` is `ancestor` or comes after it; a commit that is not there is `commit_missing`.
    pub async fn contains(&self, ancestor: &Oid, descendant: &Oid) -> Result<bool> {
        let (ancestor, descendant) = (to_git(ancestor)?, to_git(descendant)?);
        self.with_repository(move |repository| {
            require_commit(repository, ancestor)?;
            require_commit(repository, descendant)?;
            descends(repository, descendant, ancestor)
        })
        .await
    }

    /// Whether the mirror has that commit.
    pub async fn commit_exists(&self, commit: &Oid) -> Result<bool> {
        let commit = to_git(commit)?;
        self.with_repository(move |repository| has_commit(repository, commit)).await
    }

    /// The commits that `head` has and `base` has not, at most `max` of them.
    pub async fn commits_between(&self, base: &Oid, head: &Oid, max: usize) -> Result<CommitRange> {
        let (base, head) = (to_git(base)?, to_git(head)?);
        self.with_repository(move |repository| {
            require_commit(repository, base)?;
            require_commit(repository, head)?;
            let mut walk = repository.revwalk().map_err(fault("walk"))?;
            walk.set_sorting(Sort::TOPOLOGICAL).map_err(fault("walk"))?;
            walk.push(head).map_err(fault("walk"))?;
            walk.hide(base).map_err(fault("walk"))?;
            let mut range = CommitRange { commits: Vec::new(), more: false };
            for commit in walk {
                if range.commits.len() == max {
                    range.more = true;
                    break;
                }
                range.commits.push(from_git(commit.map_err(fault("walk"))?)?);
            }
            Ok(range)
        })
        .await
    }

    /// Keeps a commit and all it needs under a name of ours, however branches move; replaces what the name kept.
    pub async fn keep(&self, name: &str, commit: &Oid) -> Result<()> {
        let (full, commit) = (keep_ref(name)?, to_git(commit)?);
        self.with_repository(move |repository| {
            require_commit(repository, commit)?;
            repository.reference(&full, commit, true, "gastown: keep").map(drop).map_err(fault("keep"))
        })
        .await
    }

    /// Ends what [`Self::keep`] began; nothing happens where the name keeps nothing.
    pub async fn release(&self, name: &str) -> Result<()> {
        let full = keep_ref(name)?;
        self.with_repository(move |repository| drop_ref(repository, &full)).await
    }

    /// What a name keeps.
    pub async fn kept(&self, name: &str) -> Result<Option<Oid>> {
        let full = keep_ref(name)?;
        self.with_repository(move |repository| read_ref(repository, &full)?.map(from_git).transpose()).await
    }
}

pub(super) fn keep_ref(name: &str) -> Result<String> {
    Ok(format!("refs/gt/keep/{}", BranchName::new(name)?))
}

/// The error for a branch that is not where it was expected.
pub(super) fn moved(repository: &Repository, full: &str) -> Result<Error> {
    let actual = read_ref(repository, full)?.map_or_else(|| "nowhere".to_owned(), |oid| oid.to_string());
    Ok(Error::conflict("branch_moved", format!("{full} is at {actual}")).with("ref", full).with("actual", actual))
}

pub(super) fn has_commit(repository: &Repository, commit: git2::Oid) -> Result<bool> {
    match repository.find_commit(commit) {
        Ok(_) => Ok(true),
        Err(error) if error.code() == ErrorCode::NotFound => Ok(false),
        Err(error) => Err(fault("find a commit")(error)),
    }
}

pub(super) fn require_commit(repository: &Repository, commit: git2::Oid) -> Result<()> {
    if has_commit(repository, commit)? {
        return Ok(());
    }
    Err(Error::not_found("commit_missing", format!("there is no commit {commit}")).with("commit", commit))
}

pub(super) fn descends(repository: &Repository, descendant: git2::Oid, ancestor: git2::Oid) -> Result<bool> {
    if descendant == ancestor {
        return Ok(true);
    }
    repository.graph_descendant_of(descendant, ancestor).map_err(fault("compare commits"))
}
