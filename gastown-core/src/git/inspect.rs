//! What a remote is like, before it becomes a rig.

use std::path::Path;

use git2::{Config, ErrorCode, Repository, RepositoryOpenFlags, StatusOptions};

use super::command::GitCommand;
use super::fetch::parse_refs;
use super::library::{blocking, fault, from_git};
use super::name::BranchName;
use super::remote::RemoteUrl;
use super::runner::GitRunner;
use crate::model::{Error, Oid, Result};

/// The most branches that are listed.
const BRANCHES_MAX: usize = 1_000;
/// The most names that an error repeats.
const NAMES_MAX: usize = 10;

/// What was found at a remote.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RemoteFacts {
    /// Where the branch is.
    pub head: Oid,
    /// The branches, ordered by name, at most 1,000.
    pub branches: Vec<String>,
    /// Whether it is bare; unknown for remotes of other machines.
    pub bare: Option<bool>,
}

impl RemoteFacts {
    /// What is known of a remote on another machine.
    pub const fn new(head: Oid, branches: Vec<String>) -> Self {
        Self { head, branches, bare: None }
    }
}

/// Looks whether a remote can be a rig that lands on `branch`. Nothing is changed and no program of the repository runs.
///
/// Errors: `repository_missing`, `not_a_repository`, `repository_empty`, `branch_missing`, `repository_owner`,
/// `object_format_unsupported`; of a local one with a working tree `branch_checked_out` when pushes would be refused
/// there, and `repository_dirty` when they would have to update changed files; and those of [`GitRunner::run`].
pub async fn inspect_remote(runner: &GitRunner, url: &RemoteUrl, branch: &BranchName) -> Result<RemoteFacts> {
    if let Some(path) = url.local_path() {
        let (path, branch) = (path.to_owned(), branch.clone());
        return blocking(move || inspect_local(&path, &branch)).await;
    }
    let command = GitCommand::new("ls-remote").args(["--heads", "--refs", "--", url.as_str()]);
    let answer = runner.run(command).await?.text();
    let mut found = Vec::new();
    for line in parse_refs(&answer) {
        let (oid, name) = line?;
        if let Some(name) = name.strip_prefix("refs/heads/") {
            found.push((name.to_owned(), oid));
        }
    }
    choose(found, branch, None, url.as_str())
}

fn choose(mut found: Vec<(String, Oid)>, branch: &BranchName, bare: Option<bool>, place: &str) -> Result<RemoteFacts> {
    if found.is_empty() {
        return Err(Error::invalid("repository_empty", format!("{place} has no commits")).with("remote", place));
    }
    found.sort();
    let head = found.iter().find(|(name, _)| name == branch.as_str()).map(|(_, oid)| oid.clone());
    let count = found.len();
    let branches: Vec<String> = found.into_iter().map(|(name, _)| name).take(BRANCHES_MAX).collect();
    let Some(head) = head else {
        return Err(Error::not_found("branch_missing", format!("{place} has no branch {branch}"))
            .with("remote", place)
            .with("branch", branch)
            .with("branches", branches.iter().take(NAMES_MAX).cloned().collect::<Vec<_>>().join(" "))
            .with("branches_count", count));
    };
    if head.as_str().len() != 40 {
        let sentence = "repositories with SHA-256 ids are not supported";
        return Err(Error::unsupported("object_format_unsupported", sentence).with("remote", place));
    }
    Ok(RemoteFacts { head, branches, bare })
}

fn inspect_local(path: &Path, branch: &BranchName) -> Result<RemoteFacts> {
    let place = path.display().to_string();
    if !path.exists() {
        return Err(Error::not_found("repository_missing", format!("{place} does not exist")).with("remote", place));
    }
    let repository = open_local(path, &place)?;
    let mut found = Vec::new();
    for reference in repository.references_glob("refs/heads/*").map_err(fault("list branches"))? {
        let reference = reference.map_err(fault("list branches"))?;
        let (Ok(name), Ok(commit)) = (reference.name(), reference.peel_to_commit()) else { continue };
        if let Some(name) = name.strip_prefix("refs/heads/") {
            found.push((name.to_owned(), from_git(commit.id())?));
        }
    }
    let facts = choose(found, branch, Some(repository.is_bare()), &place)?;
    if is_checked_out(&repository, branch)? {
        require_pushable(&repository, branch, &place)?;
    }
    Ok(facts)
}

fn open_local(path: &Path, place: &str) -> Result<Repository> {
    let none = std::iter::empty::<&Path>();
    Repository::open_ext(path, RepositoryOpenFlags::NO_SEARCH, none).map_err(|error| match error.code() {
        ErrorCode::NotFound => Error::invalid("not_a_repository", format!("{place} is not a git repository"))
            .with("remote", place)
            .because(error),
        _ if error.message().contains("object format") || error.message().contains("extension") => Error::unsupported(
            "object_format_unsupported",
            format!("{place} is stored in a form that is not supported"),
        )
        .with("remote", place)
        .because(error),
        _ => fault("open the remote")(error).with("remote", place),
    })
}

/// Whether the branch is the current one of the repository or of one of its linked working trees.
fn is_checked_out(repository: &Repository, branch: &BranchName) -> Result<bool> {
    let full = branch.full();
    let current = |repository: &Repository| {
        let head = repository.find_reference("HEAD");
        head.is_ok_and(|head| head.symbolic_target().ok().flatten() == Some(full.as_str()))
    };
    if !repository.is_bare() && current(repository) {
        return Ok(true);
    }
    let names = repository.worktrees().map_err(fault("list working trees"))?;
    for name in names.iter().filter_map(|name| name.ok().flatten()) {
        let tree = repository.find_worktree(name).and_then(|tree| Repository::open_from_worktree(&tree));
        if tree.is_ok_and(|tree| current(&tree)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether git would take a push to the branch that is checked out there.
fn require_pushable(repository: &Repository, branch: &BranchName, place: &str) -> Result<()> {
    // A push reads the repository's own settings only, so what the user set for all of theirs does not count.
    let own = Config::open(&repository.commondir().join("config")).map_err(fault("config"))?;
    let setting = own.get_string("receive.denycurrentbranch").unwrap_or_default().to_ascii_lowercase();
    if matches!(setting.as_str(), "ignore" | "warn" | "false" | "no" | "off" | "0") {
        return Ok(());
    }
    let dirty = dirty_files(repository)?;
    let first = dirty.iter().take(NAMES_MAX).cloned().collect::<Vec<_>>().join(" ");
    if setting == "updateinstead" {
        if dirty.is_empty() {
            return Ok(());
        }
        return Err(Error::conflict("repository_dirty", format!("{place} has {} changed files", dirty.len()))
            .with("remote", place)
            .with("dirty", dirty.len())
            .with("files", first));
    }
    let sentence = format!("{branch} is checked out in {place}, which would refuse pushes to it");
    Err(Error::conflict("branch_checked_out", sentence)
        .with("remote", place)
        .with("branch", branch)
        .with("dirty", dirty.len())
        .with("files", first)
        .with(
            "remedy",
            "use a bare repository, check out another branch, or set receive.denyCurrentBranch to updateInstead",
        ))
}

fn dirty_files(repository: &Repository) -> Result<Vec<String>> {
    if repository.is_bare() {
        return Ok(Vec::new());
    }
    let mut options = StatusOptions::new();
    options.include_untracked(false).include_ignored(false).exclude_submodules(true);
    let found = repository.statuses(Some(&mut options)).map_err(fault("status"))?;
    Ok(found.iter().map(|entry| String::from_utf8_lossy(entry.path_bytes()).into_owned()).collect())
}
