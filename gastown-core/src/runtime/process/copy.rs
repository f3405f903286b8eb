//! A copy of what sessions left on disk, made beside their writers.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::folder::{COPIED_ALWAYS, COPIED_AT_END, COPIED_SEGMENTS, LOCK, make_dir};
use crate::model::{Error, Result, SessionId};
use crate::runtime::CopiedOutput;

/// How many segments are open at once.
const OPEN_MAX: usize = 128;
/// How often a folder is listed until its newest segment is still there.
const LISTS_MAX: usize = 100;

/// Copies what every session in the runtime's folder `from` has left into the new folder `to`, beside those that run.
///
/// A segment is copied up to its length when the copy of its session began; one that its writer drops meanwhile is a
/// gap, as it would be to a reader. A session that had not ended by then is lost in the copy: it runs where it was
/// started. Everything is on disk when this returns. Blocks.
///
/// # Errors
/// `output_copy_failed`, also where `to` is there already; what was copied so far stays.
pub fn copy_output(from: &Path, to: &Path) -> Result<CopiedOutput> {
    copy(from, to).map_err(|error| {
        Error::unavailable("output_copy_failed", format!("the output in {} cannot be copied", from.display()))
            .with("from", from.display())
            .with("to", to.display())
            .because(error)
    })
}

fn copy(from: &Path, to: &Path) -> io::Result<CopiedOutput> {
    make_dir(to)?;
    let mut copied = CopiedOutput::default();
    for entry in fs::read_dir(from)? {
        let name = entry?.file_name();
        let Some(session) = name.to_str().and_then(|name| SessionId::new(name).ok()) else { continue };
        if let Some(bytes) = copy_session(&from.join(session.as_str()), &to.join(session.as_str()))? {
            copied.sessions += 1;
            copied.bytes += bytes;
        }
    }
    File::open(to)?.sync_all()?;
    Ok(copied)
}

/// None where the session is removed while it is copied, or was never whole.
fn copy_session(from: &Path, to: &Path) -> io::Result<Option<u64>> {
    // Before the segments: where there is a record of the end, nothing is written behind it.
    let end = read(&from.join(COPIED_AT_END))?;
    let Some(plan) = read(&from.join(COPIED_ALWAYS))? else { return Ok(None) };
    make_dir(to)?;
    let mut bytes = 0;
    for folder in COPIED_SEGMENTS {
        make_dir(&to.join(folder))?;
        bytes += copy_segments(&from.join(folder), &to.join(folder))?;
    }
    for folder in COPIED_SEGMENTS {
        File::open(to.join(folder))?.sync_all()?;
    }
    if !from.is_dir() {
        fs::remove_dir_all(to)?;
        return Ok(None);
    }
    // The lock is free there, so who looks finds the session ended or lost. The lease stays behind: the copy must not
    // take the original's agent for its own.
    write(&to.join(LOCK), io::empty())?;
    write(&to.join(COPIED_ALWAYS), plan.as_slice())?;
    if let Some(end) = end {
        write(&to.join(COPIED_AT_END), end.as_slice())?;
    }
    File::open(to)?.sync_all()?;
    Ok(Some(bytes))
}

/// Copies the segments of one folder, the newest first; answers how many bytes.
fn copy_segments(from: &Path, to: &Path) -> io::Result<u64> {
    let (mut segments, mut lists) = (newest_first(from)?, 1);
    let (mut bytes, mut next) = (0, 0);
    while next < segments.len() {
        // Many opened at once: what is open stays readable when its writer drops it.
        let part = &segments[next..segments.len().min(next + OPEN_MAX)];
        let mut open = Vec::new();
        for (name, length) in part {
            match File::open(from.join(name)) {
                Ok(segment) => open.push((name, segment.take(*length))),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        // Where the newest one is dropped already, there is another end by now.
        if next == 0 && open.first().is_none_or(|(name, _)| **name != part[0].0) && lists < LISTS_MAX {
            (segments, lists) = (newest_first(from)?, lists + 1);
            continue;
        }
        for (name, segment) in open {
            bytes += write(&to.join(name), segment)?;
        }
        next += OPEN_MAX;
    }
    Ok(bytes)
}

/// The names of a folder's files and their lengths.
fn newest_first(folder: &Path) -> io::Result<Vec<(OsString, u64)>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut segments = Vec::new();
    for entry in entries {
        let entry = entry?;
        match entry.metadata() {
            Ok(found) if found.is_file() => segments.push((entry.file_name(), found.len())),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    segments.sort_unstable_by(|(one, _), (other, _)| other.cmp(one));
    Ok(segments)
}

fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn write(path: &Path, mut bytes: impl Read) -> io::Result<u64> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let count = io::copy(&mut bytes, &mut file)?;
    file.sync_all()?;
    Ok(count)
}
