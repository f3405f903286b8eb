//! Brings an agent's commits home.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use git2::Repository;

use super::command::GitCommand;
use super::library::{blocking, from_git, io_fault, read_ref, swap_ref, to_git};
use super::locked::LockedDir;
use super::mirror::{Mirror, check_path};
use super::name::BranchName;
use super::refs::{descends, has_commit, keep_ref, moved};
use super::salvage::{Bounds, Salvage};
use crate::model::{Error, Oid, Result};

/// From how many objects on they stay together in a pack, as with a push.
const PACK_FROM: u32 = 100;

impl Mirror {
    /// After a session: sets the mirror's branch to where its work is, and tells where that is.
    ///
    /// What the workspace has counts, unless what was pushed already contains it. Where both went apart (an amended or
    /// rebased commit that was not pushed) the workspace's counts and what was pushed is kept as `pushed/<branch>`.
    /// Without a workspace, only what was pushed counts; `None` when there is nothing.
    ///
    /// Nothing that an agent wrote is run or believed: objects are copied, checked by git in a repository of ours, and
    /// the ref is set last, after everything it needs was found. Repeating it is harmless.
    ///
    /// Errors: `workspace_tampered`, `workspace_too_large`, `objects_missing`, `branch_moved`.
    pub async fn collect(&self, workspace: &Path, branch: &BranchName) -> Result<Option<Oid>> {
        check_path(workspace)?;
        let pushed = self.branch(branch).await?;
        let (place, name) = (workspace.to_owned(), branch.clone());
        let found = blocking(move || match Salvage::open(&place)? {
            Some(salvage) => salvage.branch(&name),
            None => Ok(None),
        })
        .await?;
        let Some(found) = found else { return Ok(pushed) };
        if pushed.as_ref() == Some(&found) {
            return Ok(pushed);
        }
        let commit = to_git(&found)?;
        if !self.with_repository(move |repository| has_commit(repository, commit)).await?
            || self.connected(&found).await.is_err()
        {
            self.import(workspace, &found).await?;
            self.connected(&found).await?;
        }
        let branch = branch.clone();
        self.with_repository(move |repository| settle(repository, &branch, pushed.as_ref(), &found)).await.map(Some)
    }

    /// Whether everything the commit needs is there, beyond what our own refs vouch for.
    async fn connected(&self, commit: &Oid) -> Result<()> {
        let command = GitCommand::new("rev-list")
            .git_dir(self.path())
            .args(["--objects", "--quiet", "--stdin", "--not", "--all"])
            .stdin(format!("{commit}\n"));
        self.runner().run(command).await.map(drop).map_err(|error| match error.code() {
            "git_failed" => objects_missing(commit, error),
            _ => error,
        })
    }

    /// Copies the workspace's own objects beside the mirror and takes over those that the commit needs.
    async fn import(&self, workspace: &Path, commit: &Oid) -> Result<()> {
        let options = self.runner().options();
        let bounds = Bounds { objects_max: options.collect_objects_max, bytes_max: options.collect_bytes_max };
        let (mirror, workspace) = (self.path().to_owned(), workspace.to_owned());
        let ward = blocking(move || quarantine(&mirror, &workspace, bounds)).await?;
        for pack in &ward.packs {
            let command = GitCommand::new("index-pack").git_dir(ward.folder.path()).arg(pack);
            self.runner().run(command).await.map_err(|error| match error.code() {
                "git_failed" => objects_missing(commit, error),
                _ => error,
            })?;
        }
        let excluded = self.with_repository(refs_of).await?;
        let wanted = format!("{commit}\n{excluded}");
        let command = GitCommand::new("pack-objects")
            .git_dir(ward.folder.path())
            .args(["--revs", "--quiet", "--delta-base-offset"])
            .arg(ward.folder.path().join("out"))
            .stdin(wanted);
        let answer = self.runner().run(command).await.map_err(|error| match error.code() {
            "git_failed" => objects_missing(commit, error),
            _ => error,
        })?;
        let pack = ward.folder.path().join(format!("out-{}.pack", answer.text().trim()));
        let path = pack.clone();
        let objects = blocking(move || objects_in(&path)).await?;
        if u64::from(objects) > bounds.objects_max {
            return Err(Error::exhausted("workspace_too_large", format!("{commit} brings {objects} objects"))
                .with("objects", objects)
                .with("objects_max", bounds.objects_max));
        }
        if objects == 0 {
            return Ok(());
        }
        let limit = format!("--max-input-size={}", bounds.bytes_max);
        let command = if objects < PACK_FROM {
            GitCommand::new("unpack-objects").args(["-q", "--strict", limit.as_str()])
        } else {
            GitCommand::new("index-pack").args(["--stdin", "--strict", limit.as_str()])
        };
        self.runner().run(command.git_dir(self.path()).stdin_file(&pack)).await?;
        // Removing many files is no work for an async thread.
        blocking(move || {
            drop(ward);
            Ok(())
        })
        .await
    }
}

fn objects_missing(commit: &Oid, because: Error) -> Error {
    Error::corrupt("objects_missing", format!("not everything that {commit} needs is there, or it is damaged"))
        .with("commit", commit)
        .because(because)
}

/// A repository of ours that holds copies of an agent's objects and borrows the mirror's.
struct Ward {
    folder: LockedDir,
    packs: Vec<PathBuf>,
}

fn quarantine(mirror: &Path, workspace: &Path, bounds: Bounds) -> Result<Ward> {
    let folder = LockedDir::create(&mirror.join("incoming"), "w")?;
    let objects = folder.path().join("objects");
    for sub in ["objects/info", "objects/pack", "refs"] {
        let sub = folder.path().join(sub);
        fs::create_dir_all(&sub).map_err(io_fault(&sub))?;
    }
    let lender = format!("{}\n", mirror.join("objects").display());
    let config = "[core]\n\trepositoryformatversion = 0\n\tbare = true\n";
    for (name, text) in [("HEAD", "ref: refs/gt/none\n"), ("config", config), ("objects/info/alternates", &lender)] {
        let file = folder.path().join(name);
        fs::write(&file, text).map_err(io_fault(&file))?;
    }
    if let Some(salvage) = Salvage::open(workspace)? {
        salvage.copy_objects(&objects, bounds)?;
    }
    let mut packs = Vec::new();
    let place = objects.join("pack");
    for entry in fs::read_dir(&place).map_err(io_fault(&place))? {
        packs.push(entry.map_err(io_fault(&place))?.path());
    }
    Ok(Ward { folder, packs })
}

/// The commits that our refs vouch for, as lines that leave out what they reach.
fn refs_of(repository: &Repository) -> Result<String> {
    let mut lines = std::collections::BTreeSet::new();
    for reference in repository.references().map_err(super::library::fault("list refs"))? {
        let reference = reference.map_err(super::library::fault("list refs"))?;
        if let Some(oid) = reference.target() {
            lines.insert(format!("^{oid}\n"));
        }
    }
    Ok(lines.into_iter().collect())
}

/// The count in the header of a pack.
fn objects_in(pack: &Path) -> Result<u32> {
    let mut header = [0; 12];
    let mut file = fs::File::open(pack).map_err(io_fault(pack))?;
    file.read_exact(&mut header).map_err(io_fault(pack))?;
    Ok(u32::from_be_bytes([header[8], header[9], header[10], header[11]]))
}

/// Chooses between what was pushed and what the workspace has, and sets the branch.
fn settle(repository: &Repository, branch: &BranchName, pushed: Option<&Oid>, found: &Oid) -> Result<Oid> {
    let full = branch.full();
    let commit = to_git(found)?;
    let pushed = pushed.map(to_git).transpose()?;
    if let Some(pushed) = pushed {
        if descends(repository, pushed, commit)? {
            return from_git(pushed);
        }
        if !descends(repository, commit, pushed)? {
            let kept = keep_ref(&format!("pushed/{branch}"))?;
            let before = read_ref(repository, &kept)?;
            if !swap_ref(repository, &kept, before, pushed, "gastown: collect")? {
                return Err(moved(repository, &kept)?);
            }
        }
    }
    if swap_ref(repository, &full, pushed, commit, "gastown: collect")? {
        return Ok(found.clone());
    }
    Err(moved(repository, &full)?)
}
