//! A town from its backup, or from its lines of JSON.

use std::fs::{self, DirBuilder, File};
use std::io::{BufReader, Seek as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use super::backup::{DATABASE, FORMAT, LINES, MANIFEST, Manifest, OUTPUT};
use super::durable::{self, Draft, unwritable};
use super::{archive, blocking};
use crate::model::{Error, Result, TownId};
use crate::store::{Access, Backend, dump};
use crate::town::builder::TownBuilder;

/// Puts a town's records and files where the builder's town will be; nothing may be there yet.
///
/// The records come last and at once, so a restore that was killed can be repeated.
pub(in crate::town) async fn restore(builder: &TownBuilder, from: &Path) -> Result<()> {
    let id = builder.id.clone()?;
    builder.make_dir()?;
    let from = std::path::absolute(from).map_err(|source| missing(from).because(source))?;
    let dir = builder.dir.clone();
    let backend = builder.backend_or_default()?;
    let into_file = builder.backend.is_none();
    blocking(move || {
        if from.is_dir() {
            let manifest = read_manifest(&from)?;
            expect_town(&manifest.town, &id)?;
            expect_empty(&*backend, into_file, &dir, &id)?;
            archive::copy(&from, &dir)?;
            copy_folder(&from.join(OUTPUT), &dir.join(OUTPUT))?;
            return match manifest.records.as_str() {
                DATABASE if into_file => place_database(&from.join(DATABASE), &dir.join(DATABASE)),
                DATABASE => read_database(&from.join(DATABASE), &*backend, &id, &dir),
                _ => read_lines(&from.join(LINES), &*backend, &id),
            };
        }
        let mut input = open(&from)?;
        expect_town(&dump::read_header(&mut input)?.id, &id)?;
        drop(input);
        expect_empty(&*backend, into_file, &dir, &id)?;
        read_lines(&from, &*backend, &id)
    })
    .await
}

fn missing(path: &Path) -> Error {
    Error::not_found("backup_missing", format!("there is no backup at {}", path.display())).with("path", path.display())
}

fn open(path: &Path) -> Result<BufReader<File>> {
    File::open(path).map(|file| BufReader::with_capacity(1 << 18, file)).map_err(|source| missing(path).because(source))
}

fn expect_town(found: &TownId, wanted: &TownId) -> Result<()> {
    if found == wanted {
        return Ok(());
    }
    Err(Error::conflict("town_mismatch", format!("this is a backup of the town {found}, not of {wanted}"))
        .with("found", found)
        .with("wanted", wanted))
}

/// Refuses a place that has a town already; leaves nothing behind where the place is a file that is not there.
fn expect_empty(backend: &dyn Backend, into_file: bool, dir: &Path, town: &TownId) -> Result<()> {
    let taken = if into_file {
        dir.join(DATABASE).symlink_metadata().is_ok()
    } else {
        backend.connect(Access::Read)?.read(town)?.head()?.seq != 0
    };
    if taken {
        return Err(Error::conflict("town_not_empty", format!("there is a town {town} already")).with("town", town));
    }
    Ok(())
}

/// Reads what is in a backup, and looks whether all of it is there as it was.
fn read_manifest(from: &Path) -> Result<Manifest> {
    let damaged = |file: &Path, what: &str| {
        Error::corrupt("backup_damaged", format!("{} of the backup {what}", file.display()))
            .with("path", from.display())
            .with("file", file.display())
    };
    let text = fs::read(from.join(MANIFEST)).map_err(|source| missing(from).because(source))?;
    let json: serde_json::Value = serde_json::from_slice(&text)
        .map_err(|source| damaged(Path::new(MANIFEST), "cannot be read").because(source))?;
    if let Some(format) = json["format"].as_u64()
        && format > u64::from(FORMAT)
    {
        return Err(Error::unsupported(
            "backup_newer",
            format!("the backup has the form {format}, this build knows {FORMAT}"),
        )
        .with("found", format)
        .with("known", FORMAT));
    }
    let manifest: Manifest = serde_json::from_value(json)
        .map_err(|source| damaged(Path::new(MANIFEST), "cannot be read").because(source))?;
    for file in &manifest.files {
        let is_inside = file.path.components().all(|part| matches!(part, std::path::Component::Normal(_)));
        if !is_inside {
            return Err(damaged(&file.path, "is not inside it"));
        }
        match durable::sum(&from.join(&file.path)) {
            Ok((bytes, sha256)) if (bytes, &sha256) == (file.bytes, &file.sha256) => {}
            Ok(_) => return Err(damaged(&file.path, "is not as it was written")),
            Err(error) => return Err(damaged(&file.path, "cannot be read").because(error)),
        }
    }
    if !manifest.files.iter().any(|file| file.path == Path::new(&manifest.records)) {
        return Err(damaged(Path::new(&manifest.records), "is not listed"));
    }
    Ok(manifest)
}

/// Copies a folder with everything under it, where there is one.
fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    if !from.is_dir() {
        return Ok(());
    }
    let failed = |source| unwritable(to, source);
    match DirBuilder::new().mode(0o700).create(to) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(failed(error)),
        _ => {}
    }
    for entry in fs::read_dir(from).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type().map_err(failed)?.is_dir() {
            copy_folder(&from, &to)?;
        } else {
            durable::copy_file(&from, &to)?;
        }
    }
    durable::sync(to)
}

/// Copies the database into its place.
fn place_database(from: &Path, to: &Path) -> Result<()> {
    let draft = Draft(durable::draft_of(to));
    durable::copy_file(from, &draft.0)?;
    durable::name(&draft.0, to)
}

/// Reads the lines into the backend, in one transaction.
fn read_lines(from: &Path, backend: &dyn Backend, town: &TownId) -> Result<()> {
    let mut input = open(from)?;
    // Looked through first: a transaction of that size is not begun for nothing.
    dump::check(&mut input).map_err(|error| error.with("path", from.display()))?;
    input.rewind().map_err(|source| missing(from).because(source))?;
    let mut connection = backend.connect(Access::Write)?;
    let mut txn = connection.write(town)?;
    dump::read(&mut input, &mut *txn, town).map_err(|error| error.with("path", from.display()))?;
    txn.commit()
}

/// Reads the records of a database into another backend.
#[cfg(feature = "sqlite")]
fn read_database(from: &Path, backend: &dyn Backend, town: &TownId, dir: &Path) -> Result<()> {
    use crate::store::{SqliteBackend, SqliteOptions};
    // A copy of its own: reading a database writes beside it, and an older one is migrated.
    let copy = Draft(dir.join("restore.part"));
    place_database(from, &copy.0)?;
    let lines = Draft(dir.join("restore.jsonl"));
    let source = SqliteBackend::new(copy.0.clone(), SqliteOptions::default());
    let mut connection = source.connect(Access::Read)?;
    let reader = connection.read(town)?;
    durable::write_file(&lines.0, |out| dump::write(&*reader, town, out))?;
    drop(reader);
    drop(connection);
    let read = read_lines(&lines.0, backend, town);
    for suffix in ["-wal", "-shm"] {
        let mut beside = copy.0.as_os_str().to_owned();
        beside.push(suffix);
        Draft(beside.into()).remove();
    }
    read
}

#[cfg(not(feature = "sqlite"))]
fn read_database(from: &Path, _: &dyn Backend, _: &TownId, _: &Path) -> Result<()> {
    Err(Error::unsupported(
        "backend_missing",
        format!("{} is a SQLite database, which this build cannot read", from.display()),
    ))
}
