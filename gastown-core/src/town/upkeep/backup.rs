//! Copies of a town: a backup with everything that cannot be made again, an export of the records alone.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::durable::{self, Draft, unwritable};
use super::{Backup, Exported, WriteTo, archive, blocking, of_whole_town};
use crate::model::{Error, Result, TownId};
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
    /// Where the journal ends in it; unknown to whoever copied a database.
    pub(super) head: u64,
    pub(super) files: Vec<Listed>,
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
    let draft = Draft(durable::draft_of(&path));
    draft.remove();
    DirBuilder::new().mode(0o700).create(&draft.0).map_err(|source| unwritable(&path, source))?;
    let (records, head) = copy_records(&store, &draft.0).await?;
    // After the records: every session that is in them has its output in the copy.
    #[cfg(all(feature = "git", feature = "process"))]
    handle.town().runtime().copy_output(&draft.0.join(OUTPUT)).await?;
    let town = store.town().clone();
    blocking(move || {
        archive::copy(&dir, &draft.0)?;
        let files = list(&draft.0)?;
        let (count, bytes) = (files.len() as u64 + 1, files.iter().map(|file| file.bytes).sum());
        let library = env!("CARGO_PKG_VERSION").to_owned();
        let manifest = Manifest { format: FORMAT, library, town, records: records.to_owned(), head, files };
        durable::write_file(&draft.0.join(MANIFEST), |out| {
            serde_json::to_writer_pretty(out, &manifest)
                .map_err(|source| Error::unavailable("path_unwritable", "the list cannot be written").because(source))
        })?;
        durable::name(&draft.0, &path)?;
        Ok(Backup { path, head, files: count, bytes })
    })
    .await
}

/// The records into a draft: the database as it is where the backend can do that, else lines; and the journal's end.
async fn copy_records(store: &Store, draft: &Path) -> Result<(&'static str, u64)> {
    let database = draft.join(DATABASE);
    if store.copy_to(database.clone()).await? {
        let town = store.town().clone();
        return Ok((DATABASE, blocking(move || head_of(&database, &town)).await?));
    }
    Ok((LINES, write_lines(store, draft.join(LINES)).await?.head))
}

#[cfg(feature = "sqlite")]
fn head_of(database: &Path, town: &TownId) -> Result<u64> {
    use crate::store::{Access, Backend as _, SqliteBackend, SqliteOptions};
    let mut connection = SqliteBackend::new(database, SqliteOptions::default()).connect(Access::Read)?;
    let head = connection.read(town)?.head()?.seq;
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
    Ok(head)
}

#[cfg(not(feature = "sqlite"))]
#[expect(clippy::unnecessary_wraps, reason = "with a database it can fail")]
fn head_of(_: &Path, _: &TownId) -> Result<u64> {
    Ok(0)
}

/// Writes the town's records as lines of JSON into a new file while the town works on.
pub(in crate::town) async fn export(handle: &Handle, _: &'static Operation, input: WriteTo) -> Result<Exported> {
    of_whole_town(handle)?;
    let path = durable::new_path(&input.path)?;
    write_lines(&handle.town().shared.store, path).await
}

async fn write_lines(store: &Store, path: PathBuf) -> Result<Exported> {
    let town = store.town().clone();
    store.read_aside(move |reader: &dyn Reader| durable::write_file(&path, |out| dump::write(reader, &town, out))).await
}

/// Every file under a folder, with its sum.
fn list(folder: &Path) -> Result<Vec<Listed>> {
    let mut files = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(at) = folders.pop() {
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
    Ok(files)
}
