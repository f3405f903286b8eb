//! What every use of libgit2 here shares: its own threads, its errors, its object ids, its settings.

use std::path::Path;

use git2::{Config, ConfigLevel, ErrorClass, ErrorCode, Repository, RepositoryOpenFlags};

use crate::model::{Error, Oid, Result};

/// Runs blocking work on a thread made for it.
///
/// Dropping the future does not stop the work: it runs to its end unseen.
pub(super) async fn blocking<T, F>(work: F) -> Result<T>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T> + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Error::internal("git_panicked", "work on a repository did not end").because(error)),
    }
}

/// Opens a repository with its own configuration alone: nothing of the user or the machine takes part.
pub(super) fn open(path: &Path) -> Result<Repository> {
    let flags = RepositoryOpenFlags::NO_SEARCH | RepositoryOpenFlags::NO_DOTGIT;
    let repository = Repository::open_ext(path, flags, std::iter::empty::<&Path>()).map_err(fault("open"))?;
    isolate(&repository)?;
    Ok(repository)
}

fn isolate(repository: &Repository) -> Result<()> {
    let mut config = Config::new().map_err(fault("config"))?;
    for (name, level) in [("libgit2.config", ConfigLevel::App), ("config", ConfigLevel::Local)] {
        let file = repository.path().join(name);
        if file.is_file() {
            config.add_file(&file, level, true).map_err(fault("config"))?;
        }
    }
    repository.set_config(&config).map_err(fault("config"))
}

/// The error of a libgit2 call; `doing` names the step.
pub(super) fn fault(doing: &'static str) -> impl FnOnce(git2::Error) -> Error {
    move |error| {
        let made = match (error.code(), error.class()) {
            (ErrorCode::Owner, _) => Error::forbidden("repository_owner", "the repository belongs to another user"),
            (ErrorCode::Locked, _) => Error::conflict("ref_locked", "somebody else is changing the same ref"),
            (ErrorCode::NotFound, ErrorClass::Odb) => Error::not_found("object_missing", "an object is not there"),
            (_, ErrorClass::Os) => Error::unavailable("io_failed", "the repository cannot be read or written"),
            (_, ErrorClass::Odb | ErrorClass::Object | ErrorClass::Zlib) => {
                Error::corrupt("repository_corrupt", "the repository is damaged")
            }
            _ => Error::unavailable("git_library", format!("libgit2 did not succeed at {doing}")),
        };
        made.with("doing", doing).because(error)
    }
}

/// The error of a file operation.
pub(super) fn io_fault(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.display().to_string();
    move |error| {
        Error::unavailable("io_failed", format!("{path} cannot be read or written")).with("path", path).because(error)
    }
}

/// libgit2's form of an id; 64 digits are `object_format_unsupported`.
pub(super) fn to_git(oid: &Oid) -> Result<git2::Oid> {
    git2::Oid::from_str(oid.as_str()).map_err(|error| {
        Error::unsupported("object_format_unsupported", "repositories with SHA-256 ids are not supported")
            .with("oid", oid)
            .because(error)
    })
}

pub(super) fn from_git(oid: git2::Oid) -> Result<Oid> {
    Oid::new(oid.to_string())
}

/// What a full ref points at, by exact name.
pub(super) fn read_ref(repository: &Repository, full: &str) -> Result<Option<git2::Oid>> {
    match repository.refname_to_id(full) {
        Ok(oid) => Ok(Some(oid)),
        Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
        Err(error) => Err(fault("read a ref")(error)),
    }
}

/// Sets a full ref if it is still as `expected`; false when it is not.
pub(super) fn swap_ref(
    repository: &Repository,
    full: &str,
    expected: Option<git2::Oid>,
    new: git2::Oid,
    why: &str,
) -> Result<bool> {
    let done = match expected {
        Some(old) => repository.reference_matching(full, new, true, old, why),
        None => repository.reference(full, new, false, why),
    };
    match done {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.code(), ErrorCode::Modified | ErrorCode::Exists | ErrorCode::NotFound) => {
            Ok(false)
        }
        Err(error) => Err(fault("set a ref")(error)),
    }
}

/// Removes a full ref; nothing happens where there is none.
pub(super) fn drop_ref(repository: &Repository, full: &str) -> Result<()> {
    let found = match repository.find_reference(full) {
        Ok(found) => Some(found),
        Err(error) if error.code() == ErrorCode::NotFound => None,
        Err(error) => return Err(fault("read a ref")(error)),
    };
    match found.map(|mut found| found.delete()) {
        None | Some(Ok(())) => Ok(()),
        Some(Err(error)) if error.code() == ErrorCode::NotFound => Ok(()),
        Some(Err(error)) => Err(fault("remove a ref")(error)),
    }
}
