//! Writes the files of a commit, or of another one beside it.

use std::collections::HashMap;
use std::path::Path;

use git2::build::CheckoutBuilder;
use git2::{ObjectType, Repository, TreeEntry};

use super::library::{fault, open};
use crate::model::{Error, Result};

/// The deepest folder.
const DEPTH_MAX: u32 = 256;

/// Fills the empty working tree of the repository at `path` with the files of the commit; with those of `files` where
/// that is given, which then count as changed and not committed.
///
/// No filter, hook or other program runs: libgit2 knows only its own two filters, and reads only the configuration
/// that was just written. `checkout_too_large` before the first file is written.
pub(super) fn fill(path: &Path, base: git2::Oid, files: Option<git2::Oid>, files_max: u64) -> Result<()> {
    let repository = open(&path.join(".git"))?;
    let commit = repository.find_commit(files.unwrap_or(base)).map_err(fault("find a commit"))?;
    let tree = commit.tree().map_err(fault("find a tree"))?;
    let mut known = HashMap::new();
    let found = count(&repository, tree.id(), &mut known, 0)?;
    if found > files_max {
        return Err(Error::exhausted("checkout_too_large", format!("commit {} has {found} files", commit.id()))
            .with("files", found)
            .with("files_max", files_max));
    }
    let mut options = CheckoutBuilder::new();
    options.force();
    repository.checkout_tree(tree.as_object(), Some(&mut options)).map_err(fault("write files"))?;
    if files.is_none() {
        return Ok(());
    }
    let base = repository.find_commit(base).and_then(|base| base.tree()).map_err(fault("find a tree"))?;
    let mut index = repository.index().map_err(fault("read an index"))?;
    index.read_tree(&base).map_err(fault("read a tree"))?;
    index.write().map_err(fault("write an index"))
}

/// How many files a tree stands for. Each different tree is read once, so that a few trees that multiply to millions
/// of files are seen for what they are without being walked.
fn count(repository: &Repository, tree: git2::Oid, known: &mut HashMap<git2::Oid, u64>, depth: u32) -> Result<u64> {
    if let Some(files) = known.get(&tree) {
        return Ok(*files);
    }
    if depth > DEPTH_MAX {
        return Err(Error::exhausted("checkout_too_large", format!("folders are more than {DEPTH_MAX} deep"))
            .with("depth_max", DEPTH_MAX));
    }
    let found = repository.find_tree(tree).map_err(fault("read a tree"))?;
    let mut files: u64 = 0;
    for entry in &found {
        let more = if is_folder(&entry) { count(repository, entry.id(), known, depth + 1)? } else { 1 };
        files = files.saturating_add(more);
    }
    known.insert(tree, files);
    Ok(files)
}

fn is_folder(entry: &TreeEntry<'_>) -> bool {
    entry.kind() == Some(ObjectType::Tree)
}
