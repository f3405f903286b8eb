//! Copies of a town: a backup with everything that cannot be made again, an export of the records alone.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::durable::{self, unwritable};
use super::{Backup, Exported, Finding, WriteTo, archive, blocking, of_whole_town};
use crate::model::{Error, Event, Result, TownId};
use crate::store::{Reader, Store, dump};
use crate::town::handle::Handle;
use crate::town::operation::Operation;

/// The version of a backup's form.
pub(super) const FORMAT: u32 = 1;
/// The file that says what is in a backup.
pub(super) const MANIFEST: &str = "backup.json";
/// The records, as the database that they were in.
pub(super) const DATABASE: &str = "town.db";
/// The records, as lines of JSON.
pub(super) const LINES: &str = "town.jsonl";

/// The folder of what agents printed, in a town's folder and in a backup.
pub(super) const OUTPUT: &str = "sessions";

/// What is in a backup.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub(super) format: u32,
    pub(super) library: String,
    pub(super) town: TownId,
    /// The records, by the name of their file.
    pub(super) records: String,
    /// Where the journal ends in it.
    pub(super) head: u64,
    /// How many rows could not be copied.
    #[serde(default)]
    pub(super) unreadable: u64,
    pub(super) files: Vec<Listed>,
    /// Its folders, the outer before the inner.
    pub(super) folders: Vec<PathBuf>,
}

/// One file of a backup.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Listed {
    /// Its path in the backup.
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    pub(super) sha256: String,
}

/// Copies the town to a new folder while it works on.
pub(in crate::town) async fn backup(handle: &Handle, _: &'static Operation, input: WriteTo) -> Result<Backup> {
    of_whole_town(handle)?;
    let path = durable::new_path(&input.path)?;
    let (store, dir) = (handle.town().shared.store.clone(), handle.town().dir().to_owned());
    let draft = durable::draft_folder(&path)?;
    let copied = copy_records(&store, draft.path()).await?;
    // After the records: every session that is in them has its output in the copy.
    #[cfg(all(feature = "git", feature = "process"))]
    let damaged: Vec<Finding> = {
        let runtime = handle.town().runtime();
        runtime.copy_output(&draft.path().join(OUTPUT)).await?;
        runtime.check_output().await?.into_iter().map(Finding::from).collect()
    };
    #[cfg(not(all(feature = "git", feature = "process")))]
    let damaged: Vec<Finding> = Vec::new();
    let town = store.town().clone();
    blocking(move || {
        archive::copy_all(&dir, draft.path())?;
        let Copied { records, head, first, unreadable, mut findings } = copied;
        findings.extend(damaged);
        findings.extend(archive::damaged(draft.path(), archive::Which::All)?);
        let is_complete = findings.is_empty() && archive::covers(draft.path(), first)?;
        if unreadable > 0 || !is_complete {
            let findings = findings.len();
            tracing::warn!(path = %path.display(), unreadable, is_complete, findings, "a backup lacks what the town lacks");
        }
        let (files, folders) = list(draft.path())?;
        let (count, bytes) = (files.len() as u64 + 1, files.iter().map(|file| file.bytes).sum());
        let library = env!("CARGO_PKG_VERSION").to_owned();
        let manifest =
            Manifest { format: FORMAT, library, town, records: records.to_owned(), head, unreadable, files, folders };
        durable::write_file(&draft.path().join(MANIFEST), |out| {
            serde_json::to_writer_pretty(out, &manifest)
                .map_err(|source| Error::unavailable("path_unwritable", "the list cannot be written").because(source))
        })?;
        durable::name(draft, &path)?;
        Ok(Backup { path, head, files: count, bytes, unreadable, is_complete, findings })
    })
    .await
}

/// The records in a draft.
struct Copied {
    records: &'static str,
    head: u64,
    /// The first entry of the journal that is not archived.
    first: u64,
    unreadable: u64,
    /// What keeps the copy from being a town.
    findings: Vec<Finding>,
}

/// The records into a draft: the database as it is where the backend can do that, else lines.
async fn copy_records(store: &Store, draft: &Path) -> Result<Copied> {
    let database = draft.join(DATABASE);
    if store.copy_to(database.clone()).await? {
        let town = store.town().clone();
        let (first, head, altered) = blocking(move || look_at(&database, &town)).await?;
        let finding = |error: Error| Finding { subject: "database".to_owned(), problem: error.chain() };
        let findings = altered.into_iter().map(finding).collect();
        return Ok(Copied { records: DATABASE, head, first, unreadable: 0, findings });
    }
    let (town, path) = (store.town().clone(), draft.join(LINES));
    store
        .read_aside(move |reader: &dyn Reader| {
            let first = reader.events(0, 1)?.first().map_or(1, |event| event.seq);
            let written = durable::write_file(&path, |out| dump::write(reader, &town, out))?;
            let (head, unreadable) = (written.head, written.unreadable);
            Ok(Copied { records: LINES, head, first, unreadable, findings: Vec::new() })
        })
        .await
}

/// The first and last entry of the journal in a copied database, and why it would not be opened as a town.
#[cfg(feature = "sqlite")]
fn look_at(database: &Path, town: &TownId) -> Result<(u64, u64, Option<Error>)> {
    use crate::store::{Access, Backend as _, SqliteBackend, SqliteOptions};
    let backend = SqliteBackend::new(database, SqliteOptions::default());
    // Who writes is refused what is not whole.
    let (mut connection, altered) = match backend.connect(Access::Write) {
        Ok(connection) => (connection, None),
        Err(error) if error.code() == "schema_altered" => (backend.connect(Access::Read)?, Some(error)),
        Err(error) => return Err(error),
    };
    let reader = connection.read(town)?;
    let ends = (reader.events(0, 1)?.first().map_or(1, |event| event.seq), reader.head()?.seq);
    drop(reader);
    drop(connection);
    // What reading it left beside it.
    for suffix in ["-wal", "-shm"] {
        let mut beside = database.as_os_str().to_owned();
        beside.push(suffix);
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(unwritable(Path::new(&beside), error));
            }
            _ => {}
        }
    }
    Ok((ends.0, ends.1, altered))
}

#[cfg(not(feature = "sqlite"))]
#[expect(clippy::unnecessary_wraps, reason = "with a database it can fail")]
fn look_at(_: &Path, _: &TownId) -> Result<(u64, u64, Option<Error>)> {
    Ok((1, 0, None))
}

/// Writes the town's records as lines of JSON into a new file while the town works on.
pub(in crate::town) async fn export(handle: &Handle, _: &'static Operation, input: WriteTo) -> Result<Exported> {
    of_whole_town(handle)?;
    let path = durable::new_path(&input.path)?;
    let (store, dir) = (&handle.town().shared.store, handle.town().dir().to_owned());
    let town = store.town().clone();
    store
        .read_aside(move |reader: &dyn Reader| {
            let first = reader.events(0, 1)?.first().map_or(1, |event| event.seq);
            // The town that is made of it shall have its journal whole, where this one still has it.
            let is_complete = archive::covers(&dir, first)?;
            if !is_complete {
                tracing::warn!(path = %path.display(), first, "an export lacks the archived entries that are not here");
            }
            let earlier = |visit: &mut dyn FnMut(Event) -> Result<()>| {
                if is_complete { archive::events(&dir, first, visit) } else { Ok(()) }
            };
            durable::write_file(&path, |out| dump::write_whole(reader, &town, out, earlier))
        })
        .await
}

/// Every file under a folder, with its sum, and every folder.
fn list(folder: &Path) -> Result<(Vec<Listed>, Vec<PathBuf>)> {
    let mut files = Vec::new();
    let (mut folders, mut next) = (vec![PathBuf::new()], 0);
    while let Some(at) = folders.get(next).cloned() {
        next += 1;
        let unreadable = |source| unwritable(&folder.join(&at), source);
        for entry in fs::read_dir(folder.join(&at)).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let path = at.join(entry.file_name());
            if entry.file_type().map_err(unreadable)?.is_dir() {
                folders.push(path);
                continue;
            }
            let (bytes, sha256) = durable::sum(&entry.path())?;
            files.push(Listed { path, bytes, sha256 });
        }
        durable::sync(&folder.join(&at))?;
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    folders.remove(0);
    folders.sort();
    Ok((files, folders))
}
