//! The rig's bare mirror: our own repository between the remote and the agents.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use git2::Repository;

use super::fetch::Flight;
use super::library::{blocking, io_fault, open};
use super::locked::{LockedDir, lock_file};
use super::remote::RemoteUrl;
use super::runner::GitRunner;
use super::stale;
use crate::model::{Error, Result};

/// The first line of a mirror's configuration, by which it is known as ours.
const MARK: &str = "# gastown mirror 1\n";

/// Flaws that old and harmless commits of real projects have; they are told, not refused.
const OLD_FLAWS: [&str; 6] = [
    "badTimezone",
    "missingNameBeforeEmail",
    "missingSpaceBeforeDate",
    "missingSpaceBeforeEmail",
    "zeroPaddedDate",
    "zeroPaddedFilemode",
];

/// A rig's bare mirror. Cheap to clone; several processes may use the same one.
///
/// `refs/remotes/origin/*` is what the remote had at the last fetch. `refs/heads/*` is what agents see and push to: the
/// remote's branches, and the families `gt/work/` and `gt/saved/`, which only this machine writes. `refs/gt/keep/*`
/// holds commits in flight. Nothing is ever pruned or repacked away, because workspaces borrow its objects.
#[derive(Clone, Debug)]
pub struct Mirror(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    runner: GitRunner,
    path: PathBuf,
    url: RemoteUrl,
    flight: Flight,
}

impl Mirror {
    /// Opens the mirror at an absolute path, making it where there is none; the remote of an existing one is replaced.
    ///
    /// Nothing is fetched; locks on refs that a killed process left are removed. Several processes may do this at once, and a kill leaves nothing or a whole mirror.
    ///
    /// Errors: `path_malformed`, `mirror_foreign` for a folder that is something else.
    pub async fn open(runner: GitRunner, path: impl Into<PathBuf>, url: &RemoteUrl) -> Result<Self> {
        let path = path.into();
        check_path(&path)?;
        let (folder, remote) = (path.clone(), url.clone());
        blocking(move || make(&folder, &remote)).await?;
        Ok(Self(Arc::new(Inner { runner, path, url: url.clone(), flight: Flight::default() })))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// The remote.
    pub fn url(&self) -> &RemoteUrl {
        &self.0.url
    }

    /// What runs git for it.
    pub fn runner(&self) -> &GitRunner {
        &self.0.runner
    }

    pub(super) fn flight(&self) -> &Flight {
        &self.0.flight
    }

    pub(super) fn lock_path(&self) -> PathBuf {
        lock_path(&self.0.path)
    }

    /// Runs blocking work over the opened repository on a thread made for it.
    pub(super) async fn with_repository<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Repository) -> Result<T> + Send + 'static,
    {
        let path = self.0.path.clone();
        blocking(move || {
            let _shared = stale::share(&path)?;
            work(&open(&path)?)
        })
        .await
    }
}

/// Refuses paths that git's own files cannot hold: relative ones, and those with control characters.
pub(super) fn check_path(path: &Path) -> Result<()> {
    let plain = path.to_str().is_some_and(|text| !text.chars().any(char::is_control));
    let whole = path.components().all(|part| !matches!(part, std::path::Component::ParentDir));
    if plain && whole && path.is_absolute() && path.file_name().is_some() {
        return Ok(());
    }
    Err(Error::invalid("path_malformed", format!("{} cannot hold a repository", path.display()))
        .with("path", path.display())
        .with("rule", "an absolute UTF-8 path without .. and control characters"))
}

fn lock_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}

fn make(path: &Path, url: &RemoteUrl) -> Result<()> {
    let parent = path.parent().expect("an absolute path with a name has a parent");
    fs::create_dir_all(parent).map_err(io_fault(parent))?;
    let _lock = lock_file(&lock_path(path))?;
    let wanted = config(url);
    match fs::read_to_string(path.join("config")) {
        Ok(found) if found == wanted => return stale::sweep(path),
        Ok(found) if found.starts_with(MARK) => {
            replace(&path.join("config"), &wanted)?;
            return stale::sweep(path);
        }
        Ok(_) => return Err(foreign(path)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(io_fault(path)(error)),
    }
    let name = path.file_name().and_then(|name| name.to_str()).expect("the path was checked");
    let folder = LockedDir::create(parent, &format!(".{name}.new-"))?;
    for sub in ["objects/info", "objects/pack", "refs/heads", "refs/tags", "info", "incoming"] {
        let sub = folder.path().join(sub);
        fs::create_dir_all(&sub).map_err(io_fault(&sub))?;
    }
    // `HEAD` names a branch that nobody has, so that none is "the current one".
    for (file, text) in [("HEAD", "ref: refs/heads/gt/saved/none\n"), ("libgit2.config", LIBGIT2), ("config", &wanted)]
    {
        let file = folder.path().join(file);
        write_synced(&file, text)?;
    }
    if folder.rename_to(path)? { sync_folder(parent) } else { Err(foreign(path)) }
}

fn foreign(path: &Path) -> Error {
    Error::conflict("mirror_foreign", format!("{} is not a mirror", path.display())).with("path", path.display())
}

/// Read by libgit2 alone: there it makes objects and refs durable, to the git program it is a deprecated setting.
const LIBGIT2: &str = "[core]\n\tfsyncObjectFiles = true\n";

fn config(url: &RemoteUrl) -> String {
    let mut text = String::from(MARK);
    text.push_str(
        "[core]\n\trepositoryformatversion = 0\n\tbare = true\n\tfilemode = true\n\tlogAllRefUpdates = false\n\
         \tfsync = committed,reference\n\thooksPath = /dev/null\n\tattributesFile = /dev/null\n\texcludesFile = /dev/null\n\
         \tautocrlf = false\n\tfsmonitor = false\n\
         [gc]\n\tauto = 0\n\tpruneExpire = never\n[maintenance]\n\tauto = false\n\
         [merge]\n\tdefault = text\n\trenames = true\n\
         [transfer]\n\thideRefs = refs/gt\n\thideRefs = refs/remotes\n\
         [receive]\n\tautogc = false\n\tdenyDeletes = true\n\tfsckObjects = true\n[fetch]\n\tfsckObjects = true\n",
    );
    for section in ["receive", "fetch"] {
        let _ = writeln!(text, "[{section} \"fsck\"]");
        for flaw in OLD_FLAWS {
            let _ = writeln!(text, "\t{flaw} = warn");
        }
    }
    let _ = writeln!(text, "[remote \"origin\"]\n\turl = {}", quote(url.as_str()));
    text.push_str("\tfetch = +refs/heads/*:refs/remotes/origin/*\n\ttagOpt = --no-tags\n");
    text
}

/// A value of a git configuration file.
pub(super) fn quote(value: &str) -> String {
    let mut out = String::from("\"");
    for c in value.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn write_synced(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).map_err(io_fault(path))?;
    fs::File::open(path).and_then(|file| file.sync_all()).map_err(io_fault(path))
}

fn sync_folder(path: &Path) -> Result<()> {
    fs::File::open(path).and_then(|folder| folder.sync_all()).map_err(io_fault(path))
}

/// Replaces a file in one step.
fn replace(path: &Path, text: &str) -> Result<()> {
    let beside = path.with_extension("next");
    write_synced(&beside, text)?;
    fs::rename(&beside, path).map_err(io_fault(path))
}
