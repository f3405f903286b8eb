//! A session's workspace: a repository of its own that borrows the mirror's objects.
//!
//! It is no linked working tree of the mirror, because an agent may write everything in its repository, and because
//! any number of them can be made at the same time.

use std::fmt::Write as _;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use git2::Repository;

use super::fill::fill;
use super::library::{blocking, fault, io_fault, open, to_git};
use super::locked::LockedDir;
use super::mirror::{Mirror, check_path, quote};
use super::name::BranchName;
use super::refs::require_commit;
use super::remove::remove_tree;
use crate::failpoint;
use crate::model::{Error, Oid, Result};

/// The file in a workspace's git folder that tells what it was made for.
const MARK: &str = "gastown-workspace";

/// Who commits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The name, without `<`, `>` and line breaks.
    pub name: String,
    /// The address, likewise.
    pub email: String,
}

/// What a workspace is to be.
#[derive(Clone, Debug)]
pub struct WorkspaceSpec {
    /// Where: an absolute path, none of whose parts is a link.
    pub path: PathBuf,
    /// The branch that is checked out, and that a bare `git push` sends to the mirror.
    pub branch: BranchName,
    /// The commit it starts from.
    pub base: Oid,
    /// In whose name commits are made.
    pub author: Person,
    /// The branch that `origin/HEAD` names.
    pub upstream: Option<BranchName>,
    /// A commit whose files lie in it, not committed: what an earlier session of the work left so.
    pub files: Option<Oid>,
}

impl Mirror {
    /// Makes a workspace, or finds it whole.
    ///
    /// An existing workspace for the same branch is left as it is, with what was committed there. A kill, or dropping
    /// the future, leaves nothing or a whole one; what was half made is removed by the next call for that path.
    ///
    /// Errors: `path_malformed`, `workspace_symlink`, `workspace_occupied`, `commit_missing`, `checkout_too_large`.
    pub async fn prepare_workspace(&self, spec: &WorkspaceSpec) -> Result<()> {
        self.prepare(Plan {
            path: spec.path.clone(),
            head: Head::Branch(spec.branch.clone(), spec.upstream.clone()),
            base: spec.base.clone(),
            author: Some(spec.author.clone()),
            files: spec.files.clone(),
        })
        .await
    }

    /// Makes a tree of exactly that commit, on no branch and with no remote, or finds it whole.
    pub async fn checkout_scratch(&self, commit: &Oid, path: impl Into<PathBuf>) -> Result<()> {
        self.prepare(Plan { path: path.into(), head: Head::Detached, base: commit.clone(), author: None, files: None })
            .await
    }

    /// Removes a workspace or a scratch tree, and what was left half made beside it. Nothing there is success.
    pub async fn remove_workspace(&self, path: impl Into<PathBuf>) -> Result<()> {
        let path = path.into();
        check_path(&path)?;
        blocking(move || {
            let (parent, prefix) = place(&path);
            if !parent.is_dir() {
                return Ok(());
            }
            refuse_links(parent)?;
            // Renamed first, so that the path is free at once and a kill leaves something that is known as rubbish.
            let rubbish = LockedDir::create(parent, &prefix)?;
            match fs::rename(&path, rubbish.path().join("old")) {
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
                // A folder whose rights forbid moving it is removed where it is.
                Err(error) if error.kind() == ErrorKind::PermissionDenied => remove_tree(&path),
                Err(error) => Err(io_fault(&path)(error)),
                Ok(()) => remove_tree(rubbish.path()),
            }
        })
        .await
    }

    async fn prepare(&self, plan: Plan) -> Result<()> {
        check_path(&plan.path)?;
        let mirror = self.path().to_owned();
        let files_max = self.runner().options().checkout_files_max;
        blocking(move || plan.make(&mirror, files_max)).await
    }
}

enum Head {
    Branch(BranchName, Option<BranchName>),
    Detached,
}

struct Plan {
    path: PathBuf,
    head: Head,
    base: Oid,
    author: Option<Person>,
    files: Option<Oid>,
}

impl Plan {
    fn make(&self, mirror: &Path, files_max: u64) -> Result<()> {
        let (parent, prefix) = place(&self.path);
        refuse_links(&self.path)?;
        fs::create_dir_all(parent).map_err(io_fault(parent))?;
        refuse_links(&self.path)?;
        let folder = LockedDir::create(parent, &prefix)?;
        if self.is_whole()? {
            return Ok(());
        }
        let base = to_git(&self.base)?;
        let source = open(mirror)?;
        require_commit(&source, base)?;
        self.write_metadata(&folder.path().join(".git"), mirror, &source)?;
        failpoint::pass("workspace.created");
        let files = self.files.as_ref().map(to_git).transpose()?;
        if let Some(files) = files {
            require_commit(&source, files)?;
        }
        fill(folder.path(), base, files, files_max)?;
        failpoint::pass("workspace.filled");
        if folder.rename_to(&self.path)? || self.is_whole()? {
            return Ok(());
        }
        Err(self.occupied("files of somebody else"))
    }

    /// Whether it was made before, as is told by the mark that only a finished one has.
    fn is_whole(&self) -> Result<bool> {
        match fs::symlink_metadata(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(io_fault(&self.path)(error)),
            Ok(found) if !found.is_dir() => return Err(self.occupied("something that is no folder")),
            Ok(_) => {}
        }
        let mark = self.path.join(".git").join(MARK);
        match super::salvage::read_plain(&mark, 1_024) {
            Ok(Some(found)) if found == self.mark().as_bytes() => Ok(true),
            Ok(None) if fs::read_dir(&self.path).is_ok_and(|mut entries| entries.next().is_none()) => Ok(false),
            Ok(Some(_)) => Err(self.occupied("a workspace for something else")),
            Ok(None) => Err(self.occupied("files of somebody else")),
            Err(error) => Err(error),
        }
    }

    fn occupied(&self, by: &'static str) -> Error {
        Error::conflict("workspace_occupied", format!("{} holds {by}", self.path.display()))
            .with("path", self.path.display())
            .with("holds", by)
    }

    fn mark(&self) -> String {
        match &self.head {
            Head::Branch(branch, _) => format!("{}\n", branch.full()),
            Head::Detached => format!("{}\n", self.base),
        }
    }

    /// Writes the repository without its files: the format is git's own and small, and nobody's defaults take part.
    fn write_metadata(&self, git: &Path, mirror: &Path, source: &Repository) -> Result<()> {
        for sub in ["objects/info", "objects/pack", "refs/heads", "refs/tags", "refs/remotes/origin", "info"] {
            let sub = git.join(sub);
            fs::create_dir_all(&sub).map_err(io_fault(&sub))?;
        }
        let write = |name: &str, text: &str| {
            let file = git.join(name);
            fs::write(&file, text).map_err(io_fault(&file))
        };
        write("objects/info/alternates", &format!("{}\n", mirror.join("objects").display()))?;
        write("config", &self.config(mirror))?;
        write("packed-refs", &self.packed_refs(source)?)?;
        match &self.head {
            Head::Branch(branch, upstream) => {
                write("HEAD", &format!("ref: {}\n", branch.full()))?;
                if let Some(upstream) = upstream {
                    write("refs/remotes/origin/HEAD", &format!("ref: refs/remotes/origin/{upstream}\n"))?;
                }
            }
            Head::Detached => write("HEAD", &format!("{}\n", self.base))?,
        }
        write(MARK, &self.mark())
    }

    fn config(&self, mirror: &Path) -> String {
        let mut text = String::from(
            "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n\tlogallrefupdates = true\n\
             [gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n",
        );
        if let Head::Branch(..) = self.head {
            let url = quote(&mirror.display().to_string());
            let _ = write!(
                text,
                "[remote \"origin\"]\n\turl = {url}\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n\
                 \tfetch = ^refs/heads/gt/work/*\n[push]\n\tdefault = current\n"
            );
        }
        if let Some(author) = &self.author {
            let _ = writeln!(text, "[user]\n\tname = {}\n\temail = {}", quote(&author.name), quote(&author.email));
        }
        text
    }

    /// The remote's branches and tags as the mirror knows them, and the branch itself.
    fn packed_refs(&self, source: &Repository) -> Result<String> {
        let mut lines = Vec::new();
        if let Head::Branch(branch, _) = &self.head {
            lines.push((branch.full(), self.base.to_string()));
            for pattern in ["refs/remotes/origin/*", "refs/tags/*"] {
                for found in source.references_glob(pattern).map_err(fault("list refs"))? {
                    let found = found.map_err(fault("list refs"))?;
                    if let (Ok(name), Some(oid)) = (found.name(), found.target()) {
                        lines.push((name.to_owned(), oid.to_string()));
                    }
                }
            }
        }
        lines.sort();
        let mut text = String::from("# pack-refs with: sorted\n");
        for (name, oid) in lines {
            let _ = writeln!(text, "{oid} {name}");
        }
        Ok(text)
    }
}

/// The folder around a workspace, and how the names of half made ones beside it begin.
fn place(path: &Path) -> (&Path, String) {
    let name = path.file_name().and_then(|name| name.to_str()).expect("the path was checked");
    (path.parent().expect("an absolute path with a name has a parent"), format!(".{name}.gt-"))
}

/// Refuses a path of which any existing part is a link: what it names could be changed under us.
pub(super) fn refuse_links(path: &Path) -> Result<()> {
    for part in path.ancestors() {
        if fs::symlink_metadata(part).is_ok_and(|found| found.file_type().is_symlink()) {
            return Err(Error::invalid("workspace_symlink", format!("{} is a link", part.display()))
                .with("path", path.display())
                .with("link", part.display()));
        }
    }
    Ok(())
}
