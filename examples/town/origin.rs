//! The origin: a bare repository made from a real one, whole or not there.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use gastown_core::git::{BranchName, GitCommand, GitRunner, RemoteUrl, inspect_remote};
use gastown_core::model::Oid;
use gastown_core::{Error, Result};

use crate::place::{Plan, io_fault};

/// Where the target branch was at the beginning; nobody fetches it.
const START: &str = "refs/demo/start";

/// In whose name a snapshot is committed; nothing else here makes commits.
pub(crate) fn identity() -> Vec<(OsString, OsString)> {
    let (name, email) = ("Gastown demo", "demo@gastown.invalid");
    [("AUTHOR_NAME", name), ("AUTHOR_EMAIL", email), ("COMMITTER_NAME", name), ("COMMITTER_EMAIL", email)]
        .map(|(variable, value)| (format!("GIT_{variable}").into(), value.into()))
        .to_vec()
}

/// The rig's remote.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) path: PathBuf,
    /// Where the target branch was before anybody worked.
    pub(crate) start: Oid,
    /// What the user should know about the repository it was made from.
    pub(crate) notes: Vec<String>,
}

/// Makes the origin, or finds it. Killed in between it leaves what the next call removes.
pub(crate) async fn make(git: &GitRunner, plan: &Plan, dir: &Path) -> Result<Origin> {
    let path = dir.join("origin.git");
    let mut notes = Vec::new();
    if !path.exists() {
        let part = dir.join("origin.part");
        remove(&part)?;
        fill(git, plan, &part, &mut notes).await?;
        std::fs::rename(&part, &path).map_err(io_fault(&path))?;
    }
    remove(&dir.join("snapshot.part"))?;
    let command = GitCommand::new("rev-parse").git_dir(&path).args(["--verify", START]);
    let start = Oid::new(git.run(command).await?.text().trim())?;
    Ok(Origin { path, start, notes })
}

async fn fill(git: &GitRunner, plan: &Plan, part: &Path, notes: &mut Vec<String>) -> Result<()> {
    let url = RemoteUrl::new(plan.repo.clone())?;
    let (from, inspected) = if plan.own {
        let head = own_head(git, &url).await?;
        let from = head.as_ref().map_or_else(|| "HEAD".to_owned(), BranchName::full);
        (from, head)
    } else {
        let branch = BranchName::new(plan.branch.clone())?;
        (branch.full(), Some(branch))
    };
    if let Some(branch) = &inspected {
        look(git, &url, branch, plan.own, notes).await?;
    }
    let target = format!("refs/heads/{}", plan.branch);
    if is_shallow(git, &url).await? {
        let snapshot = part.with_file_name("snapshot.part");
        remove(&snapshot)?;
        let branch = snapshot_of(git, &url, &from, &snapshot).await?;
        notes.push(format!("{} is a shallow clone; the origin begins with a snapshot of it", plan.repo));
        fetch(git, part, &format!("file://{}", snapshot.display()), &format!("{branch}:{target}"), &plan.branch)
            .await?;
    } else {
        fetch(git, part, url.as_str(), &format!("{from}:{target}"), &plan.branch).await?;
    }
    git.run(GitCommand::new("update-ref").git_dir(part).args([START, target.as_str()])).await.map(drop)
}

/// Whether the work can land there; what would only stand in the way of a push does not count.
async fn look(git: &GitRunner, url: &RemoteUrl, branch: &BranchName, own: bool, notes: &mut Vec<String>) -> Result<()> {
    match inspect_remote(git, url, branch).await {
        Ok(_) => Ok(()),
        Err(error) if matches!(error.code(), "branch_checked_out" | "repository_dirty") => {
            if let Some(dirty) = error.fact("dirty").filter(|count| *count != "0") {
                notes.push(format!("only commits count; changed files of {}: {dirty}", url.as_str()));
            }
            Ok(())
        }
        Err(error) if error.code() == "branch_missing" && !own => {
            let branches = error.fact("branches").unwrap_or_default().to_owned();
            let sentence = format!("{} has no branch {branch}; choose one with --branch: {branches}", url.as_str());
            Err(Error::not_found("branch_missing", sentence).with("branch", branch).with("branches", branches))
        }
        Err(error) => Err(error),
    }
}

/// The current branch of our own clone; none where it stands on no branch, as a checkout for tests does.
async fn own_head(git: &GitRunner, url: &RemoteUrl) -> Result<Option<BranchName>> {
    let Some(dir) = git_dir(url) else { return Ok(None) };
    if !dir.ends_with(".git") {
        let sentence = format!("{} is no clone; name a repository with --repo", url.as_str());
        return Err(Error::not_found("repository_missing", sentence).with("remote", url.as_str()));
    }
    let command = GitCommand::new("symbolic-ref").git_dir(dir).args(["--quiet", "--short", "HEAD"]).answer(1);
    let answer = git.run(command).await?;
    if answer.code == 0 { BranchName::new(answer.text().trim()).map(Some) } else { Ok(None) }
}

/// Where a repository of this machine keeps its objects.
fn git_dir(url: &RemoteUrl) -> Option<PathBuf> {
    let path = url.local_path()?;
    let inside = path.join(".git");
    Some(if inside.exists() { inside } else { path.to_owned() })
}

async fn is_shallow(git: &GitRunner, url: &RemoteUrl) -> Result<bool> {
    let Some(dir) = git_dir(url) else { return Ok(false) };
    let answer = git.run(GitCommand::new("rev-parse").git_dir(dir).arg("--is-shallow-repository")).await?;
    Ok(answer.text().trim() == "true")
}

/// A commit without parents that holds what a shallow clone has: nobody can fetch from one whose history is cut.
async fn snapshot_of(git: &GitRunner, url: &RemoteUrl, from: &str, dir: &Path) -> Result<String> {
    fetch(git, dir, url.as_str(), &format!("{from}:refs/heads/shallow"), "shallow").await?;
    let branch = "refs/heads/snapshot";
    let message = format!("Snapshot of {}", url.as_str());
    let command = GitCommand::new("commit-tree").git_dir(dir).args(["-m", &message, "refs/heads/shallow^{tree}"]);
    let commit = git.run(command).await?.text().trim().to_owned();
    git.run(GitCommand::new("update-ref").git_dir(dir).args([branch, &commit])).await?;
    git.run(GitCommand::new("update-ref").git_dir(dir).args(["-d", "refs/heads/shallow"])).await?;
    Ok(branch.to_owned())
}

/// Makes a bare repository and fetches one branch into it.
async fn fetch(git: &GitRunner, dir: &Path, from: &str, refspec: &str, branch: &str) -> Result<()> {
    let initial = format!("--initial-branch={branch}");
    git.run(GitCommand::new("init").git_dir(dir).args(["--quiet", "--bare", initial.as_str()])).await?;
    let command = GitCommand::new("fetch")
        .git_dir(dir)
        .args(["--quiet", "--no-tags", "--no-write-fetch-head", "--update-shallow", "--no-auto-maintenance", "--"])
        .args([from, refspec]);
    git.run(command).await.map(drop)
}

fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io_fault(path)(error)),
        _ => Ok(()),
    }
}
