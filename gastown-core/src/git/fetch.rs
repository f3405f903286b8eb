//! How a mirror follows its remote.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use git2::Repository;

use super::command::GitCommand;
use super::library::{blocking, drop_ref, fault, io_fault, read_ref};
use super::locked::lock_file;
use super::mirror::Mirror;
use super::name::BranchName;
use crate::model::{Error, Oid, Result};

const REMOTE: &str = "refs/remotes/origin/";
const HEADS: &str = "refs/heads/";
/// Families of branches that only this machine writes: a fetch neither sets nor removes them.
const OURS: [&str; 2] = ["gt/work/", "gt/saved/"];

/// What a fetch changed in the branches that agents see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FetchReport {
    /// Branches set to where the remote has them.
    pub updated: Vec<String>,
    /// Branches that the remote no longer has.
    pub removed: Vec<String>,
    /// Branches that cannot be shown to agents: another branch is in the way, or the name is illegal here.
    pub skipped: Vec<String>,
}

/// Lets many callers share one fetch.
#[derive(Debug, Default)]
pub(super) struct Flight {
    running: tokio::sync::Mutex<()>,
    started: AtomicU64,
    last: Mutex<Option<(u64, Result<FetchReport>)>>,
}

impl Flight {
    fn answer_after(&self, ticket: u64) -> Option<Result<FetchReport>> {
        let last = self.last.lock().expect("no panic while it is held");
        last.as_ref().filter(|(number, _)| *number > ticket).map(|(_, answer)| answer.clone())
    }

    fn remember(&self, number: u64, answer: &Result<FetchReport>) {
        *self.last.lock().expect("no panic while it is held") = Some((number, answer.clone()));
    }
}

impl Mirror {
    /// Brings the mirror up to date with the remote.
    ///
    /// Callers that come while one runs share the next one. Processes take turns. Dropped, it has done a part.
    pub async fn fetch(&self) -> Result<FetchReport> {
        let flight = self.flight();
        let ticket = flight.started.load(Ordering::SeqCst);
        let _turn = flight.running.lock().await;
        // A fetch that began after this call already knows all that this caller may ask for.
        if let Some(answer) = flight.answer_after(ticket) {
            return answer;
        }
        let number = flight.started.fetch_add(1, Ordering::SeqCst) + 1;
        let answer = self.fetch_now().await;
        flight.remember(number, &answer);
        answer
    }

    async fn fetch_now(&self) -> Result<FetchReport> {
        let path = self.lock_path();
        let lock = blocking(move || lock_file(&path)).await?;
        let held = lock.try_clone().map_err(io_fault(self.path()))?;
        let before = self.with_repository(remote_branches).await?;
        let command = GitCommand::new("fetch")
            .git_dir(self.path())
            .args(["--quiet", "--prune", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules"])
            .args(["--no-auto-maintenance", "--"])
            .args([self.url().as_str(), "+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"])
            .lock(held);
        self.runner().run(command).await?;
        self.with_repository(move |repository| show(repository, &before)).await
    }

    /// Where the remote has a branch now; `None` when it has none of that name.
    pub async fn remote_branch(&self, branch: &BranchName) -> Result<Option<Oid>> {
        let full = branch.full();
        let command = GitCommand::new("ls-remote").args(["--refs", "--", self.url().as_str(), full.as_str()]);
        let answer = self.runner().run(command).await?;
        parse_refs(&answer.text())
            .find(|found| found.as_ref().map_or(true, |(_, name)| *name == full))
            .map_or(Ok(None), |found| found.map(|(oid, _)| Some(oid)))
    }
}

/// The lines of `git ls-remote`.
pub(super) fn parse_refs(text: &str) -> impl Iterator<Item = Result<(Oid, &str)>> {
    text.lines().map(|line| {
        let (oid, name) = line.split_once('\t').ok_or_else(|| {
            Error::unavailable("git_failed", "the list of the remote's branches is unreadable").with("line", line)
        })?;
        Ok((Oid::new(oid)?, name))
    })
}

type Branches = BTreeMap<String, git2::Oid>;

pub(super) fn remote_branches(repository: &Repository) -> Result<Branches> {
    let mut branches = Branches::new();
    let found = repository.references_glob("refs/remotes/origin/*").map_err(fault("list branches"))?;
    for reference in found {
        let reference = reference.map_err(fault("list branches"))?;
        // A name that is not UTF-8 cannot be one of ours nor be asked for.
        let (Ok(name), Some(oid)) = (reference.name(), reference.target()) else { continue };
        if let Some(name) = name.strip_prefix(REMOTE) {
            branches.insert(name.to_owned(), oid);
        }
    }
    Ok(branches)
}

/// Makes the remote's branches those that agents see.
fn show(repository: &Repository, before: &Branches) -> Result<FetchReport> {
    let after = remote_branches(repository)?;
    let mut report = FetchReport::default();
    let theirs = |name: &&String| !OURS.iter().any(|family| name.starts_with(family));
    for name in before.keys().filter(|name| !after.contains_key(*name)).filter(theirs) {
        drop_ref(repository, &format!("{HEADS}{name}"))?;
        report.removed.push(name.clone());
    }
    for (name, oid) in &after {
        if !theirs(&name) {
            report.skipped.push(name.clone());
            continue;
        }
        let full = format!("{HEADS}{name}");
        match read_ref(repository, &full) {
            Ok(Some(found)) if found == *oid => continue,
            Ok(_) | Err(_) => {}
        }
        match repository.reference(&full, *oid, true, "gastown: fetch") {
            Ok(_) => report.updated.push(name.clone()),
            Err(error) => {
                tracing::warn!(branch = %name, %error, "a branch of the remote cannot be shown to agents");
                report.skipped.push(name.clone());
            }
        }
    }
    Ok(report)
}
