//! What is over goes from the tables into files: beads and effects, and the beginning of the journal.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
#[cfg(all(feature = "git", feature = "process"))]
use std::time::Duration;

use super::durable::{self, unwritable};
use super::{Archive, Archived, Finding, of_whole_town};
#[cfg(all(feature = "git", feature = "process"))]
use crate::model::Key;
use crate::model::{EffectId, Error, Event, Head, Result, Row, Scope, SessionId, Stored as _, Timestamp};
use crate::random;
use crate::store::Reader;
#[cfg(all(feature = "git", feature = "process"))]
use crate::store::Txn;
use crate::store::dump::{self, DumpWriter};
use crate::town::handle::Handle;
use crate::town::operation::Operation;
#[cfg(all(feature = "git", feature = "process"))]
use crate::town::town::Town;
use crate::work::retention::{self, Leaving, RemoveBeads, RemoveEffects, RemoveEvents};
use crate::work::view::View;
#[cfg(all(feature = "git", feature = "process"))]
use crate::work::{command, reservations, settings};

/// The folder of the archives in a town's folder.
pub(super) const FOLDER: &str = "archive";
/// Held by whoever archives, so that there is one at a time over all processes.
const LOCK: &str = ".lock";
/// How often beads are looked through in one archiving: what belongs to others goes first, those others after it.
const PASSES_MAX: usize = 8;

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
    let lock = lock(&folder)?;
    let mut archived = Archived::default();
    if let Some(before) = input.closed_before {
        for _ in 0..PASSES_MAX {
            if beads(handle, operation, &folder, before, &mut archived).await? == 0 {
                break;
            }
        }
    }
    if let Some(before) = input.events_before {
        journal(handle, operation, &folder, before, &mut archived).await?;
    }
    drop(lock);
    Ok(archived)
}

/// The right to archive; it ends with the file or its process.
fn lock(folder: &Path) -> Result<File> {
    let failed = |source| unwritable(folder, source);
    match durable::make_folder(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
        _ => {}
    }
    // What leaves the tables must be found after a loss of power, and so must its folder.
    folder.parent().map_or(Ok(()), durable::sync)?;
    let lock = File::options().create(true).truncate(false).write(true).open(folder.join(LOCK)).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(std::fs::TryLockError::WouldBlock) => {
            return Err(Error::unavailable("archive_busy", "somebody archives this town already")
                .with("path", folder.display()));
        }
        Err(std::fs::TryLockError::Error(error)) => return Err(failed(error)),
    }
    // Nobody else writes here, so these are of archivings that were killed.
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_name().to_string_lossy().ends_with(durable::DRAFT) {
            fs::remove_file(entry.path()).map_err(failed)?;
        }
    }
    Ok(lock)
}

/// A file's name that no other has: an archiving that was killed may have left one that is nearly the same.
fn new_name(what: &str) -> Result<String> {
    Ok(format!("{what}-{:016x}.jsonl", random::number()?))
}

/// Puts away what is over for longer than the settings keep it.
#[cfg(all(feature = "git", feature = "process"))]
pub(in crate::town) async fn retain(town: &Town) -> Result<()> {
    loop {
        let ctx = town.ctx();
        let expire =
            move |raw: &mut dyn Txn| command::step(raw, &ctx, "reservations.expire", reservations::remove_expired);
        if town.shared.store.write(expire).await? < reservations::EXPIRED_PER_STEP {
            break;
        }
    }
    let now = town.ctx().now;
    let kept = town
        .shared
        .store
        .read(move |reader| {
            let view = View::new(reader, &Scope::Town, now);
            let before = |name| {
                let kept: Option<u64> = settings::resolve(view, None, name)?;
                Ok::<_, Error>(kept.map(|kept| now.before(Duration::from_millis(kept))))
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
) -> Result<u64> {
    let (store, now, folder) = (&handle.town().shared.store, handle.town().ctx().now, folder.to_owned());
    let town = store.town().clone();
    let copied = store
        .read_aside(move |reader| {
            let path = folder.join(new_name(&format!("beads-{:012}", reader.head()?.seq))?);
            let copied = durable::write_file(&path, |out| {
                copy_beads(reader, now, before, DumpWriter::new(out, &town, &Head::default())?)
            })?;
            if copied.beads.is_empty() && copied.effects.is_empty() {
                fs::remove_file(&path).map_err(|source| unwritable(&path, source))?;
                return Ok(None);
            }
            Ok(Some((path, copied)))
        })
        .await?;
    let Some((path, Copied { beads, effects, sessions })) = copied else { return Ok(0) };
    let file = name_of(&path);
    let (mut gone, mut settled) = (0, 0);
    for beads in beads.chunks(retention::BEADS_PER_STEP) {
        let step = RemoveBeads { before, file: file.clone(), beads: beads.to_vec() };
        gone += handle.change(operation, step, retention::remove_beads).await?;
    }
    for effects in effects.chunks(retention::BEADS_PER_STEP) {
        let step = RemoveEffects { before, file: file.clone(), effects: effects.to_vec() };
        settled += handle.change(operation, step, retention::remove_effects).await?;
    }
    if gone + settled == 0 {
        // Everything was taken up again meanwhile, so the file holds nothing that is not in the tables.
        fs::remove_file(&path).map_err(|source| unwritable(&path, source))?;
        return Ok(0);
    }
    forget_output(handle, sessions).await?;
    archived.beads += gone;
    archived.effects += settled;
    archived.files.push(path);
    Ok(gone)
}

/// Removes what the sessions printed that left the tables: nobody could ask for it any more.
#[cfg(all(feature = "git", feature = "process"))]
async fn forget_output(handle: &Handle, sessions: Vec<SessionId>) -> Result<()> {
    let gone = move |reader: &dyn Reader| {
        let mut gone = Vec::new();
        for session in sessions {
            if reader.get(&Key::session(&session))?.is_none() {
                gone.push(session);
            }
        }
        Ok(gone)
    };
    for session in handle.town().shared.store.read_aside(gone).await? {
        if let Err(error) = handle.town().runtime().forget(&session).await {
            tracing::warn!(%session, error = %error.chain(), "the output of an archived session stays");
        }
    }
    Ok(())
}

#[cfg(not(all(feature = "git", feature = "process")))]
#[expect(clippy::unused_async, reason = "with a runtime it waits")]
async fn forget_output(_: &Handle, _: Vec<SessionId>) -> Result<()> {
    Ok(())
}

/// What is in an archive of beads.
struct Copied {
    beads: Vec<Leaving>,
    effects: Vec<EffectId>,
    sessions: Vec<SessionId>,
}

fn copy_beads(reader: &dyn Reader, now: Timestamp, before: Timestamp, mut dump: DumpWriter<'_>) -> Result<Copied> {
    let view = View::new(reader, &Scope::Town, now);
    let mut copied = Copied { beads: Vec::new(), effects: Vec::new(), sessions: Vec::new() };
    retention::each_leaving(view, before, |bead, rows| {
        let marks = rows.iter().map(retention::mark_of).collect();
        copied.beads.push(Leaving { bead: bead.id.clone(), version: bead.version, rows: marks });
        for row in &rows {
            if let Row::Session(session) = row {
                copied.sessions.push(session.id.clone());
            }
            dump.row(row)?;
        }
        Ok(())
    })?;
    retention::each_done_effect(view, before, |effect| {
        copied.effects.push(effect.id.clone());
        dump.row(&effect.into_row())
    })?;
    dump.finish()?;
    Ok(copied)
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
            let path = folder.join(new_name(&format!("events-{:012}-{through:012}", first.seq))?);
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
    if let Err(error) = handle.change(operation, step, retention::remove_events).await {
        if error.code() == "journal_moved" {
            fs::remove_file(&path).map_err(|source| unwritable(&path, source))?;
        }
        return Err(error);
    }
    archived.events = head.seq - first + 1;
    archived.files.push(path);
    Ok(())
}

pub(super) fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Copies all archives of a town's folder to another.
pub(super) fn copy_all(from: &Path, to: &Path) -> Result<()> {
    let names = names(from)?;
    if names.is_empty() {
        return Ok(());
    }
    let folder = to.join(FOLDER);
    durable::make_folder(&folder).map_err(|source| unwritable(&folder, source))?;
    names.iter().try_for_each(|name| durable::copy_file(&from.join(name), &to.join(name)))
}

/// The archives of a town's folder, by their paths in it.
pub(super) fn names(dir: &Path) -> Result<Vec<PathBuf>> {
    let folder = dir.join(FOLDER);
    let names = files(&folder).map_err(|source| unwritable(&folder, source))?;
    Ok(names.into_iter().map(|name| Path::new(FOLDER).join(name)).collect())
}

/// Whether the archives hold every entry of the journal before `first`, by their names.
pub(super) fn covers(dir: &Path, first: u64) -> Result<bool> {
    let ranges = ranges(dir)?;
    let mut next = 1;
    while next < first {
        match best(&ranges, next) {
            Some((_, through, _)) => next = through.saturating_add(1),
            None => return Ok(false),
        }
    }
    Ok(true)
}

/// The archives of beads.
pub(super) fn bead_files(dir: &Path) -> Result<Vec<PathBuf>> {
    let names = names(dir)?.into_iter().filter(|name| range_of(&name_of(name)).is_none());
    Ok(names.map(|name| dir.join(name)).collect())
}

/// Which archives to look through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    /// Those of beads and effects.
    Beads,
    /// All.
    All,
}

/// Reads every archive: what is wrong with which.
pub(super) fn damaged(dir: &Path, which: Which) -> Result<Vec<Finding>> {
    let mut damaged = Vec::new();
    for name in names(dir)? {
        let is_journal = range_of(&name_of(&name)).is_some();
        if is_journal && which == Which::Beads {
            continue;
        }
        let path = dir.join(&name);
        let checked = durable::open_regular(&path).and_then(|file| {
            let mut input = BufReader::with_capacity(1 << 18, file);
            if is_journal { dump::each_event(&mut input, &mut |_| Ok(())) } else { dump::check(&mut input) }
        });
        if let Err(error) = checked {
            damaged.push(Finding { subject: name.display().to_string(), problem: error.chain() });
        }
    }
    Ok(damaged)
}

/// Those of the archives, with how much the journal says is in each, that are not there.
pub(super) fn missing(dir: &Path, files: BTreeMap<String, u64>) -> Result<Vec<Finding>> {
    let there = names(dir)?;
    let gone = files.into_iter().filter(|(file, _)| !there.contains(&Path::new(FOLDER).join(file)));
    let finding = |(file, count): (String, u64)| Finding {
        subject: Path::new(FOLDER).join(file).display().to_string(),
        problem: format!("it is not here, and the journal says that {count} beads and effects are in it alone"),
    };
    Ok(gone.map(finding).collect())
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
    let (folder, ranges) = (dir.join(FOLDER), ranges(dir)?);
    let mut next = 1;
    while next < until {
        let Some((_, through, name)) = best(&ranges, next) else {
            return Err(Error::not_found(
                "archive_missing",
                format!("no archive in {} has event {next}", folder.display()),
            )
            .with("seq", next)
            .with("path", folder.display()));
        };
        let path = folder.join(name);
        read_events(&path, next..until, visit).map_err(|error| error.with("path", path.display()))?;
        next = through.saturating_add(1);
    }
    Ok(())
}

/// The archives of the journal: first and last entry, and name.
fn ranges(dir: &Path) -> Result<Vec<(u64, u64, String)>> {
    let folder = dir.join(FOLDER);
    let names = files(&folder).map_err(|source| unwritable(&folder, source))?;
    Ok(names.into_iter().filter_map(|name| range_of(&name).map(|(first, through)| (first, through, name))).collect())
}

/// The archive that holds an entry and goes on the longest: those of killed archivings may lie across others.
fn best(ranges: &[(u64, u64, String)], next: u64) -> Option<&(u64, u64, String)> {
    ranges
        .iter()
        .filter(|(first, through, _)| (*first..=*through).contains(&next))
        .max_by_key(|(_, through, _)| *through)
}

fn read_events(path: &Path, wanted: std::ops::Range<u64>, visit: &mut dyn FnMut(Event) -> Result<()>) -> Result<()> {
    let file = durable::open_regular(path)?;
    let mut input = BufReader::with_capacity(1 << 18, file);
    let mut within = |event: Event| if wanted.contains(&event.seq) { visit(event) } else { Ok(()) };
    dump::each_event(&mut input, &mut within).map(drop)
}

/// The first and last entry that an archive's name says; none for an archive of beads.
fn range_of(name: &str) -> Option<(u64, u64)> {
    let mut parts = name.strip_prefix("events-")?.strip_suffix(".jsonl")?.split('-');
    let (first, through) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    (first <= through).then_some((first, through))
}
