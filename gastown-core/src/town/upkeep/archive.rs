//! What is over goes from the tables into files: beads and effects, and the beginning of the journal.

use std::fs::{self, DirBuilder, File};
use std::io::{self, BufReader};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
#[cfg(all(feature = "git", feature = "process"))]
use std::time::Duration;

use super::durable::{self, unwritable};
use super::{Archive, Archived, of_whole_town};
use crate::model::{EffectId, Error, Event, Head, Result, Scope, Stored as _, Timestamp};
use crate::store::Reader;
use crate::store::dump::{self, DumpWriter};
use crate::town::handle::Handle;
use crate::town::operation::Operation;
#[cfg(all(feature = "git", feature = "process"))]
use crate::town::town::Town;
use crate::work::retention::{self, Leaving, RemoveBeads, RemoveEffects, RemoveEvents};
#[cfg(all(feature = "git", feature = "process"))]
use crate::work::settings;
use crate::work::view::View;

/// The folder of the archives in a town's folder.
const FOLDER: &str = "archive";

/// Writes what is over for long enough to files, and then takes it out of the tables.
pub(in crate::town) async fn archive(
    handle: &Handle,
    operation: &'static Operation,
    input: Archive,
) -> Result<Archived> {
    of_whole_town(handle)?;
    if input == Archive::default() {
        return Err(Error::invalid("archive_unbounded", "say what may be put away: closed_before, events_before"));
    }
    // It is done in several commands, which one key cannot stand for.
    let handle = &handle.without_key();
    let folder = handle.town().dir().join(FOLDER);
    if !folder.is_dir() {
        DirBuilder::new().mode(0o700).create(&folder).map_err(|source| unwritable(&folder, source))?;
    }
    let mut archived = Archived::default();
    if let Some(before) = input.closed_before {
        beads(handle, operation, &folder, before, &mut archived).await?;
    }
    if let Some(before) = input.events_before {
        journal(handle, operation, &folder, before, &mut archived).await?;
    }
    Ok(archived)
}

/// Puts away what is over for longer than the settings keep it.
#[cfg(all(feature = "git", feature = "process"))]
pub(in crate::town) async fn retain(town: &Town) -> Result<()> {
    let now = town.ctx().now;
    let kept = town
        .shared
        .store
        .read(move |reader| {
            let view = View::new(reader, &Scope::Town, now);
            let before = |name| {
                let kept: Option<u64> = settings::resolve(view, None, name)?;
                Ok(kept.map(|kept| now.before(Duration::from_millis(kept))))
            };
            Ok(Archive { closed_before: before("beads.keep_ms")?, events_before: before("events.keep_ms")? })
        })
        .await?;
    if kept == Archive::default() {
        return Ok(());
    }
    let archived = Handle::new(town.clone(), Scope::Town).upkeep().archive(kept).await?;
    if !archived.files.is_empty() {
        let Archived { beads, effects, events, .. } = archived;
        tracing::info!(beads, effects, events, "what is over was archived");
    }
    Ok(())
}

/// Puts away beads and effects: copied first, and taken out where they are still as they were.
async fn beads(
    handle: &Handle,
    operation: &'static Operation,
    folder: &Path,
    before: Timestamp,
    archived: &mut Archived,
) -> Result<()> {
    let (store, now, folder) = (&handle.town().shared.store, handle.town().ctx().now, folder.to_owned());
    let town = store.town().clone();
    let copied = store
        .read_aside(move |reader| {
            let path = folder.join(format!("beads-{:012}.jsonl", reader.head()?.seq));
            let (beads, effects) = durable::write_file(&path, |out| {
                copy_beads(reader, now, before, DumpWriter::new(out, &town, &Head::default())?)
            })?;
            if beads.is_empty() && effects.is_empty() {
                fs::remove_file(&path).map_err(|source| unwritable(&path, source))?;
                return Ok(None);
            }
            Ok(Some((path, beads, effects)))
        })
        .await?;
    let Some((path, beads, effects)) = copied else { return Ok(()) };
    let file = name_of(&path);
    for beads in beads.chunks(retention::BEADS_PER_STEP) {
        let step = RemoveBeads { before, file: file.clone(), beads: beads.to_vec() };
        archived.beads += handle.change(operation, step, retention::remove_beads).await?;
    }
    for effects in effects.chunks(retention::BEADS_PER_STEP) {
        let step = RemoveEffects { before, file: file.clone(), effects: effects.to_vec() };
        archived.effects += handle.change(operation, step, retention::remove_effects).await?;
    }
    archived.files.push(path);
    Ok(())
}

fn copy_beads(
    reader: &dyn Reader,
    now: Timestamp,
    before: Timestamp,
    mut dump: DumpWriter<'_>,
) -> Result<(Vec<Leaving>, Vec<EffectId>)> {
    let view = View::new(reader, &Scope::Town, now);
    let (mut beads, mut effects) = (Vec::new(), Vec::new());
    retention::each_leaving(view, before, |bead, rows| {
        beads.push(Leaving { bead: bead.id.clone(), version: bead.version });
        rows.iter().try_for_each(|row| dump.row(row))
    })?;
    retention::each_done_effect(view, before, |effect| {
        effects.push(effect.id.clone());
        dump.row(&effect.into_row())
    })?;
    dump.finish()?;
    Ok((beads, effects))
}

/// Puts away the beginning of the journal: copied first, and taken out if nobody else did meanwhile.
async fn journal(
    handle: &Handle,
    operation: &'static Operation,
    folder: &Path,
    before: Timestamp,
    archived: &mut Archived,
) -> Result<()> {
    let (store, now, folder) = (&handle.town().shared.store, handle.town().ctx().now, folder.to_owned());
    let town = store.town().clone();
    let copied = store
        .read_aside(move |reader| {
            let Some(through) = retention::last_before(View::new(reader, &Scope::Town, now), before)? else {
                return Ok(None);
            };
            let at = |after| reader.events(after, 1).map(|events| events.into_iter().next());
            let (Some(first), Some(last)) = (at(0)?, at(through - 1)?) else { return Ok(None) };
            let path = folder.join(format!("events-{:012}-{through:012}.jsonl", first.seq));
            let head = last.head();
            durable::write_file(&path, |out| {
                let mut dump = DumpWriter::new(out, &town, &head)?;
                let mut after = 0;
                while after < through {
                    for event in reader.events(after, 500)?.into_iter().filter(|event| event.seq <= through) {
                        after = event.seq;
                        dump.event(event)?;
                    }
                }
                dump.finish()
            })?;
            Ok(Some((path, first.seq, head)))
        })
        .await?;
    let Some((path, first, head)) = copied else { return Ok(()) };
    let step = RemoveEvents { first, through: head.seq, hash: head.hash, file: name_of(&path) };
    handle.change(operation, step, retention::remove_events).await?;
    archived.events = head.seq - first + 1;
    archived.files.push(path);
    Ok(())
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Copies all archives of a town's folder or a backup's to another.
pub(super) fn copy(from: &Path, to: &Path) -> Result<()> {
    let (from, to) = (from.join(FOLDER), to.join(FOLDER));
    let names = match files(&from) {
        Ok(names) if names.is_empty() => return Ok(()),
        Ok(names) => names,
        Err(error) => return Err(unwritable(&from, error)),
    };
    match DirBuilder::new().mode(0o700).create(&to) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(unwritable(&to, error)),
        _ => {}
    }
    for name in names {
        durable::copy_file(&from.join(&name), &to.join(&name))?;
    }
    durable::sync(&to)
}

/// The archives' names, in order.
fn files(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(
            entry?.file_name().into_string().ok().filter(|name| Path::new(name).extension() == Some("jsonl".as_ref())),
        );
    }
    names.sort_unstable();
    Ok(names)
}

/// Visits the entries of the journal before `until` that were put away, from the first on.
///
/// # Errors
/// `archive_missing` with the `seq` that no file begins with; those of a file that is not as it was written; the
/// visitor's.
pub(in crate::town) fn events(dir: &Path, until: u64, visit: &mut dyn FnMut(Event) -> Result<()>) -> Result<()> {
    let folder = dir.join(FOLDER);
    let names = files(&folder).map_err(|source| {
        Error::unavailable("file_unreadable", format!("{} cannot be read", folder.display())).because(source)
    })?;
    let ranges: Vec<(u64, u64, &String)> =
        names.iter().filter_map(|name| range_of(name).map(|(a, b)| (a, b, name))).collect();
    let mut next = 1;
    while next < until {
        // A copy whose removal was never committed may begin there as well; the longer one holds all of it.
        let best = ranges
            .iter()
            .filter(|(first, through, _)| *first == next && *through >= next)
            .max_by_key(|(_, through, _)| *through);
        let Some((_, through, name)) = best else {
            return Err(Error::not_found(
                "archive_missing",
                format!("no archive in {} begins with event {next}", folder.display()),
            )
            .with("seq", next)
            .with("path", folder.display()));
        };
        let path = folder.join(name);
        read_events(&path, until, visit).map_err(|error| error.with("path", path.display()))?;
        next = through + 1;
    }
    Ok(())
}

fn read_events(path: &Path, until: u64, visit: &mut dyn FnMut(Event) -> Result<()>) -> Result<()> {
    let file = File::open(path).map_err(|source| {
        Error::unavailable("file_unreadable", format!("{} cannot be read", path.display())).because(source)
    })?;
    let mut input = BufReader::with_capacity(1 << 18, file);
    let mut within = |event: Event| if event.seq < until { visit(event) } else { Ok(()) };
    dump::each_event(&mut input, &mut within).map(drop)
}

/// The first and last entry that an archive's name says.
fn range_of(name: &str) -> Option<(u64, u64)> {
    let (first, through) = name.strip_prefix("events-")?.strip_suffix(".jsonl")?.split_once('-')?;
    Some((first.parse().ok()?, through.parse().ok()?))
}
