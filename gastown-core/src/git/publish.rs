//! Moves a branch of the remote from one commit to another, or not at all.

use super::command::GitCommand;
use super::failure::{classify, words};
use super::library::{blocking, drop_ref, fault, to_git};
use super::locked::lock_file;
use super::mirror::Mirror;
use super::name::BranchName;
use crate::model::{Error, Oid, Result};

/// How often a push is tried anew when the remote had its ref locked by somebody else.
const ATTEMPTS_MAX: u32 = 3;
/// What git says of a ref that another push holds at the same moment.
const LOCKED: [&str; 3] = ["cannot lock ref", "failed to update ref", "failed to lock"];

/// How a push came out, as read back from the remote.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PublishOutcome {
    /// The remote has the commit now.
    Published,
    /// The remote had the commit before.
    AlreadyThere,
    /// The remote's branch is not as expected; nothing was changed.
    Moved {
        /// Where it is; `None` when it is not there.
        actual: Option<Oid>,
    },
}

/// How the removal of a branch of the remote came out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeleteOutcome {
    /// It is gone.
    Deleted,
    /// It was not there.
    Absent,
    /// It is not as expected; nothing was changed.
    Moved {
        /// Where it is.
        actual: Oid,
    },
}

/// What the remote said to the one ref of a push.
enum Said {
    Done,
    UpToDate,
    Refused { why: String, stderr: String },
}

impl Mirror {
    /// Sets a branch of the remote to a commit of the mirror if it is still as `expected` (`None`: not there).
    ///
    /// The remote decides, so of several publishers exactly one wins. Repeating it is harmless. Dropped, it may have
    /// happened: ask [`Self::remote_branch`].
    ///
    /// Errors: `push_rejected` with the remote's words when a rule of the remote forbids it, `ref_locked`,
    /// `commit_missing`, and those of [`GitRunner::run`](super::GitRunner::run).
    pub async fn publish(&self, branch: &BranchName, new: &Oid, expected: Option<&Oid>) -> Result<PublishOutcome> {
        let commit = to_git(new)?;
        self.with_repository(move |repository| super::refs::require_commit(repository, commit)).await?;
        let mut attempt = 0;
        loop {
            attempt += 1;
            let said = self.push(branch, Some(new), expected).await?;
            let actual = self.remote_branch(branch).await?;
            let there = actual.as_ref() == Some(new);
            if there {
                self.note(branch, Some(new)).await?;
            }
            return match said {
                Said::Done if there => Ok(PublishOutcome::Published),
                Said::Done => self.overtaken(new, actual).await,
                Said::UpToDate | Said::Refused { .. } if there => Ok(PublishOutcome::AlreadyThere),
                Said::UpToDate => Ok(PublishOutcome::Moved { actual }),
                Said::Refused { .. } if actual.as_ref() != expected => Ok(PublishOutcome::Moved { actual }),
                Said::Refused { why, .. } if is_locked(&why) && attempt < ATTEMPTS_MAX => continue,
                Said::Refused { why, stderr } => Err(rejected(branch, &why, &stderr)),
            };
        }
    }

    /// Removes a branch of the remote if it is still as `expected`.
    ///
    /// Errors: those of [`Self::publish`].
    pub async fn delete_remote_branch(&self, branch: &BranchName, expected: &Oid) -> Result<DeleteOutcome> {
        match self.remote_branch(branch).await? {
            None => {
                self.note(branch, None).await?;
                return Ok(DeleteOutcome::Absent);
            }
            Some(actual) if actual != *expected => return Ok(DeleteOutcome::Moved { actual }),
            Some(_) => {}
        }
        let said = self.push(branch, None, Some(expected)).await?;
        match (said, self.remote_branch(branch).await?) {
            (_, None) => {
                self.note(branch, None).await?;
                Ok(DeleteOutcome::Deleted)
            }
            (Said::Refused { why, stderr }, Some(actual)) if actual == *expected => {
                Err(rejected(branch, &why, &stderr))
            }
            (_, Some(actual)) => Ok(DeleteOutcome::Moved { actual }),
        }
    }

    /// The push was taken, and since then somebody moved the branch: forwards, or away from our commit.
    async fn overtaken(&self, new: &Oid, actual: Option<Oid>) -> Result<PublishOutcome> {
        let Some(there) = &actual else { return Ok(PublishOutcome::Moved { actual }) };
        self.fetch().await?;
        let known = self.commit_exists(there).await?;
        if known && self.contains(new, there).await? {
            return Ok(PublishOutcome::Published);
        }
        Ok(PublishOutcome::Moved { actual })
    }

    async fn push(&self, branch: &BranchName, new: Option<&Oid>, expected: Option<&Oid>) -> Result<Said> {
        let full = branch.full();
        let lease = format!("--force-with-lease={full}:{}", expected.map_or("", Oid::as_str));
        let refspec = format!("{}:{full}", new.map_or("", Oid::as_str));
        let command = GitCommand::new("push")
            .git_dir(self.path())
            .args(["--porcelain", "--no-verify", "--no-signed", "--recurse-submodules=no", lease.as_str()])
            .args(["--", self.url().as_str(), refspec.as_str()])
            .answer(1);
        let answer = self.runner().run(command).await?;
        read(&answer.text(), &full)
            .map(|said| match said {
                Said::Refused { why, .. } => Said::Refused { why, stderr: answer.stderr.clone() },
                said => said,
            })
            .ok_or_else(|| classify("push", Some(answer.code), &answer.stderr))
    }

    /// Shows agents at once what the next fetch would. A branch that is in the way here does not undo what the remote
    /// did: the next fetch reports it.
    ///
    /// It waits for a fetch that runs, which would stumble over the change, or set the branch back to what it had read.
    async fn note(&self, branch: &BranchName, commit: Option<&Oid>) -> Result<()> {
        let path = self.lock_path();
        let _lock = blocking(move || lock_file(&path)).await?;
        let names = [format!("refs/remotes/origin/{branch}"), branch.full()];
        let commit = commit.map(to_git).transpose()?;
        self.with_repository(move |repository| {
            for name in names {
                let done = match commit {
                    Some(commit) => repository
                        .reference(&name, commit, true, "gastown: publish")
                        .map(drop)
                        .map_err(fault("set a ref")),
                    None => drop_ref(repository, &name),
                };
                if let Err(error) = done {
                    tracing::warn!(%name, %error, "a published branch cannot be shown to agents yet");
                }
            }
            Ok(())
        })
        .await
    }
}

/// Reads the line of `git push --porcelain` about the ref: `<flag> TAB <from>:<to> TAB <summary>`.
fn read(porcelain: &str, full: &str) -> Option<Said> {
    porcelain.lines().find_map(|line| {
        let mut fields = line.splitn(3, '\t');
        let (flag, pair, summary) = (fields.next()?, fields.next()?, fields.next()?);
        if pair.rsplit_once(':')?.1 != full {
            return None;
        }
        Some(match flag {
            "=" => Said::UpToDate,
            "!" => Said::Refused { why: words(summary), stderr: String::new() },
            _ => Said::Done,
        })
    })
}

fn is_locked(why: &str) -> bool {
    LOCKED.iter().any(|phrase| why.contains(phrase))
}

fn rejected(branch: &BranchName, why: &str, stderr: &str) -> Error {
    if is_locked(why) {
        return Error::conflict("ref_locked", format!("somebody else is changing {branch} at the remote"))
            .with("branch", branch)
            .with("remote_says", why);
    }
    let words: Vec<&str> = stderr.lines().filter_map(|line| line.strip_prefix("remote: ")).map(str::trim).collect();
    Error::forbidden("push_rejected", format!("the remote does not take {branch}"))
        .with("branch", branch)
        .with("why", why)
        .with("remote_says", words.join("\n"))
}
