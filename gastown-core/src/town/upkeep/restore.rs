//! A town from its backup, or from its lines of JSON.

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::Path;

use super::backup::{DATABASE, FORMAT, LINES, MANIFEST, Manifest, OUTPUT};
use super::durable::{self, unwritable};
use super::{archive, blocking};
use crate::model::{Error, ErrorKind, Key, Result, Row, Timestamp, TownId, TownRow};
use crate::store::{Access, Backend, dump};
use crate::town::builder::TownBuilder;
use crate::town::paths;

/// Says, as long as a restore into a folder is not done, that what is there is no whole town.
const UNFINISHED: &str = "restore.unfinished";

/// The form of a town's rows that says the same in a database that others share.
const FORM_UNFINISHED: i64 = -1;

/// Puts a town's records and files where the builder's town will be; nothing may be there yet.
///
/// The records come last and at once. A restore that was killed can be repeated, and until then nobody opens what it left.
pub(in crate::town) async fn restore(builder: &TownBuilder, from: &Path) -> Result<()> {
    let id = builder.id.clone()?;
    let (from, dir) = (paths::absolute(from)?, paths::absolute(&builder.dir)?);
    let backend = builder.backend_or_default()?;
    let into_file = builder.backend.is_none();
    blocking(move || {
        if from.is_dir() {
            let manifest = read_manifest(&from)?;
            expect_town(&manifest.town, &id)?;
            if manifest.records == LINES {
                check_lines(&from.join(LINES))?;
            }
            let _busy = begin(&*backend, into_file, &dir, &id)?;
            copy_files(&manifest, &from, &dir)?;
            match manifest.records.as_str() {
                DATABASE if into_file => durable::copy_file(&from.join(DATABASE), &dir.join(DATABASE))?,
                DATABASE => read_database(&from.join(DATABASE), &*backend, &id, &dir)?,
                _ => read_lines(&from.join(LINES), &*backend, &id)?,
            }
            return end(&dir);
        }
        let mut input = open(&from)?;
        let header = dump::read_header(&mut input).map_err(|error| error.with("path", from.display()))?;
        expect_town(&header.id, &id)?;
        drop(input);
        check_lines(&from)?;
        let _busy = begin(&*backend, into_file, &dir, &id)?;
        read_lines(&from, &*backend, &id)?;
        end(&dir)
    })
    .await
}

/// Looks whether the place is free, and marks it; what a restore that was killed left of a database goes. The mark that it
/// answers, where it is a file, is locked as long as it is held.
///
/// In a database that others share the mark is the town's row, since others look there and not into this folder; it goes
/// with the transaction that brings the records.
fn begin(backend: &dyn Backend, into_file: bool, dir: &Path, town: &TownId) -> Result<Option<File>> {
    if !into_file {
        paths::make_folder(dir)?;
        return mark(backend, dir, town).map(|()| None);
    }
    let mark = dir.join(UNFINISHED);
    let failed = |source| unwritable(&mark, source);
    let was_killed = mark.exists();
    if !was_killed {
        expect_empty(dir, town)?;
        paths::make_folder(dir)?;
    }
    let marked = File::options().create(true).truncate(false).write(true).open(&mark).map_err(failed)?;
    match marked.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => {
            return Err(Error::unavailable("restore_busy", format!("somebody restores into {}", dir.display()))
                .with("path", dir.display()));
        }
        Err(fs::TryLockError::Error(source)) => return Err(failed(source)),
    }
    if was_killed {
        for path in database_files(dir) {
            match fs::remove_file(&path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => return Err(unwritable(&path, source)),
                _ => {}
            }
        }
    }
    durable::sync(dir)?;
    // Another one may have been done since the first look.
    expect_empty(dir, town)?;
    Ok(Some(marked))
}

/// Has everybody who opens the town see that it is not whole yet, where it has no journal.
fn mark(backend: &dyn Backend, dir: &Path, town: &TownId) -> Result<()> {
    let mut connection = backend.connect(Access::Write)?;
    let mut txn = connection.write(town)?;
    if txn.head()?.seq != 0 {
        return Err(not_empty(dir, town));
    }
    txn.put(&Row::Town(TownRow {
        id: town.clone(),
        created_at: Timestamp::from_micros(0),
        data_schema: FORM_UNFINISHED,
        paused_reason: None,
        paused_until: None,
    }))?;
    txn.commit()
}

/// Refuses a town whose row says that a restore of it was broken off, or goes on.
pub(in crate::town) fn check_form(town: &TownRow) -> Result<()> {
    if town.data_schema != FORM_UNFINISHED {
        return Ok(());
    }
    Err(Error::conflict(
        "restore_unfinished",
        format!("a restore of the town {} goes on or was broken off; restore it again, or delete its row", town.id),
    )
    .with("town", &town.id))
}

fn end(dir: &Path) -> Result<()> {
    let mark = dir.join(UNFINISHED);
    match fs::remove_file(&mark) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => return Err(unwritable(&mark, source)),
        _ => {}
    }
    durable::sync(dir)
}

/// Refuses a folder in which a restore was broken off.
pub(in crate::town) fn check_finished(dir: &Path) -> Result<()> {
    if !dir.join(UNFINISHED).exists() {
        return Ok(());
    }
    Err(Error::conflict(
        "restore_unfinished",
        format!("a restore into {} was broken off; restore it again, or remove the folder", dir.display()),
    )
    .with("path", dir.display()))
}

fn database_files(dir: &Path) -> [std::path::PathBuf; 4] {
    ["", "-wal", "-shm", "-journal"].map(|suffix| dir.join(format!("{DATABASE}{suffix}")))
}

fn missing(path: &Path, source: io::Error) -> Error {
    match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            Error::not_found("backup_missing", format!("there is no backup at {}", path.display()))
                .with("path", path.display())
                .because(source)
        }
        _ => paths::unreadable(path, source),
    }
}

fn open(path: &Path) -> Result<BufReader<File>> {
    if !path.metadata().map_err(|source| missing(path, source))?.is_file() {
        return Err(paths::irregular(path));
    }
    File::open(path).map(|file| BufReader::with_capacity(1 << 18, file)).map_err(|source| missing(path, source))
}

fn expect_town(found: &TownId, wanted: &TownId) -> Result<()> {
    if found == wanted {
        return Ok(());
    }
    Err(Error::conflict("town_mismatch", format!("this is a backup of the town {found}, not of {wanted}"))
        .with("found", found)
        .with("wanted", wanted))
}

/// Refuses a folder that has a town already, or something of an earlier one: SQLite would take a log that lies beside a
/// new file for that file's own.
fn expect_empty(dir: &Path, town: &TownId) -> Result<()> {
    let taken = database_files(dir).into_iter().find(|path| path.symlink_metadata().is_ok());
    taken.map_or(Ok(()), |path| Err(not_empty(&path, town)))
}

fn not_empty(path: &Path, town: &TownId) -> Error {
    Error::conflict("town_not_empty", format!("there is something of a town {town} already: {}", path.display()))
        .with("town", town)
        .with("path", path.display())
}

/// Reads what is in a backup, and looks whether all of it is there as it was.
fn read_manifest(from: &Path) -> Result<Manifest> {
    let damaged = |file: &Path, what: &str| {
        Error::corrupt("backup_damaged", format!("{} of the backup {what}", file.display()))
            .with("path", from.display())
            .with("file", file.display())
    };
    let text = fs::read(from.join(MANIFEST)).map_err(|source| missing(from, source))?;
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
    let is_inside = |path: &Path| path.components().all(|part| matches!(part, std::path::Component::Normal(_)));
    let paths = manifest.files.iter().map(|file| &file.path).chain(&manifest.folders);
    if let Some(path) = paths.into_iter().find(|path| !is_inside(path)) {
        return Err(damaged(path, "is not inside it"));
    }
    for file in &manifest.files {
        match durable::sum(&from.join(&file.path)) {
            Ok((bytes, sha256)) if (bytes, &sha256) == (file.bytes, &file.sha256) => {}
            Ok(_) => return Err(damaged(&file.path, "is not as it was written")),
            Err(error) if error.kind() == ErrorKind::Forbidden => return Err(error),
            Err(error) => return Err(damaged(&file.path, "cannot be read").because(error)),
        }
    }
    if !manifest.files.iter().any(|file| file.path == Path::new(&manifest.records)) {
        return Err(damaged(Path::new(&manifest.records), "is not listed"));
    }
    Ok(manifest)
}

/// Copies the archives and what agents printed, as they are listed; what a restore that was killed copied stays.
fn copy_files(manifest: &Manifest, from: &Path, dir: &Path) -> Result<()> {
    if let Some(other) =
        archive::names(dir)?.into_iter().find(|name| !manifest.files.iter().any(|file| file.path == *name))
    {
        return Err(not_empty(&dir.join(other), &manifest.town));
    }
    let beside = |path: &Path| path.starts_with(archive::FOLDER) || path.starts_with(OUTPUT);
    for folder in manifest.folders.iter().filter(|folder| beside(folder)) {
        let folder = dir.join(folder);
        match durable::make_folder(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(unwritable(&folder, error)),
            _ => {}
        }
        folder.parent().map_or(Ok(()), durable::sync)?;
    }
    for file in manifest.files.iter().filter(|file| beside(&file.path)) {
        let to = dir.join(&file.path);
        if to.symlink_metadata().is_ok() {
            if durable::sum(&to).is_ok_and(|(_, sha256)| sha256 == file.sha256) {
                continue;
            }
            return Err(not_empty(&to, &manifest.town));
        }
        durable::copy_file(&from.join(&file.path), &to)?;
    }
    Ok(())
}

/// Looks the lines through: nothing is marked, and no transaction of that size begun, for nothing.
fn check_lines(from: &Path) -> Result<()> {
    dump::check(&mut open(from)?).map(drop).map_err(|error| error.with("path", from.display()))
}

/// Reads the lines into the backend, in one transaction.
fn read_lines(from: &Path, backend: &dyn Backend, town: &TownId) -> Result<()> {
    let mut input = open(from)?;
    let mut connection = backend.connect(Access::Write)?;
    let mut txn = connection.write(town)?;
    // It may be the mark, and the lines need not have one.
    txn.delete(&Key::town(town))?;
    dump::read(&mut input, &mut *txn, town).map_err(|error| error.with("path", from.display()))?;
    txn.commit()
}

/// Reads the records of a database into another backend.
#[cfg(feature = "sqlite")]
fn read_database(from: &Path, backend: &dyn Backend, town: &TownId, dir: &Path) -> Result<()> {
    use crate::store::{SqliteBackend, SqliteOptions};
    // A copy of its own: reading a database writes beside it, and an older one is migrated.
    let folder = durable::draft_folder(&dir.join("restore"))?;
    let (copy, lines) = (folder.path().join(DATABASE), folder.path().join(LINES));
    durable::copy_file(from, &copy)?;
    let mut connection = SqliteBackend::new(copy, SqliteOptions::default()).connect(Access::Read)?;
    let reader = connection.read(town)?;
    durable::write_file(&lines, |out| dump::write(&*reader, town, out))?;
    drop(reader);
    drop(connection);
    read_lines(&lines, backend, town)
}

#[cfg(not(feature = "sqlite"))]
fn read_database(from: &Path, _: &dyn Backend, _: &TownId, _: &Path) -> Result<()> {
    Err(Error::unsupported(
        "backend_missing",
        format!("{} is a SQLite database, which this build cannot read", from.display()),
    ))
}
