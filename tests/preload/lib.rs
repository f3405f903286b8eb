//! A library that is loaded before a program's own and stands between it and its disk: see [`Disk`].
//!
//! ```no_run
//! # use gastown_preload::Disk;
//! let mut program = std::process::Command::new("town-child");
//! Disk::under("/tmp/town").sync_us(1_000).apply(&mut program);
//! ```

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What goes wrong at an input or output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Whatever opens, writes, flushes, cuts or removes a file answers `EIO`.
    Io,
    /// Half of a write is done, and the next write answers `EIO`.
    Short,
    /// Half of a write is done, and nothing is wrong with the next.
    Split,
    /// Whatever needs room answers `ENOSPC`.
    Full,
    /// A flush answers `EIO`.
    Sync,
    /// Cutting a file answers `EIO`.
    Truncate,
    /// Reading answers `EIO`.
    Read,
    /// The process dies by SIGKILL: half-way through a write, before anything else.
    Kill,
}

impl Kind {
    /// Every kind that a process outlives.
    pub const SURVIVED: [Self; 7] =
        [Self::Io, Self::Short, Self::Split, Self::Full, Self::Sync, Self::Truncate, Self::Read];

    /// Its name in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Io => "io",
            Self::Short => "short",
            Self::Split => "split",
            Self::Full => "full",
            Self::Sync => "sync",
            Self::Truncate => "truncate",
            Self::Read => "read",
            Self::Kill => "kill",
        }
    }
}

/// How often it goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// At one place.
    Once,
    /// There and ever after, until [`HEAL`] is removed.
    Always,
}

/// A program that removes this file, which is not there, ends a fault that would last.
pub const HEAL: &str = "/gastown-disk/heal";

/// How the disk is for a program that is started with it.
///
/// It concerns the files under one folder, by the absolute path they are opened with. Without any fault it does
/// nothing. Linux with a dynamic C library only; elsewhere the program runs as it would.
#[derive(Clone, Debug)]
pub struct Disk {
    variables: Vec<(&'static str, OsString)>,
}

impl Disk {
    /// The disk of a folder.
    pub fn under(folder: impl AsRef<Path>) -> Self {
        Self { variables: vec![("GASTOWN_DISK_FOLDER", folder.as_ref().into())] }
    }

    fn with(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    /// Makes each flush (`fsync`, `fdatasync`) take at least so many microseconds.
    #[must_use]
    pub fn sync_us(self, us: u64) -> Self {
        self.with("GASTOWN_DISK_SYNC_US", us.to_string())
    }

    /// Has the `nth` input or output that this kind concerns go wrong, counted from 1.
    #[must_use]
    pub fn fault(self, kind: Kind, times: Times, nth: u64) -> Self {
        let times = if times == Times::Once { "once" } else { "always" };
        self.with("GASTOWN_DISK_FAULT", format!("{}:{times}:{nth}", kind.name()))
    }

    /// Has a line appended to this file for each fault: its number, the call and the file.
    ///
    /// The file should not be under the folder.
    #[must_use]
    pub fn report(self, file: impl AsRef<Path>) -> Self {
        self.with("GASTOWN_DISK_REPORT", file.as_ref())
    }

    /// Has every change of a file and every flush recorded in this file, to be read with [`Trace`].
    ///
    /// What is written to a file whose name ends in `.acks` is recorded as said, and never goes wrong.
    #[must_use]
    pub fn trace(self, file: impl AsRef<Path>) -> Self {
        self.with("GASTOWN_DISK_TRACE", file.as_ref())
    }

    /// The variables of a program's environment that bring it about.
    pub fn variables(&self) -> impl Iterator<Item = (&'static str, OsString)> {
        let load = shim().map(|shim| ("LD_PRELOAD", shim.into_os_string()));
        load.into_iter().chain(self.variables.iter().cloned())
    }

    /// Has the program run on it.
    pub fn apply<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command.envs(self.variables())
    }
}

/// Where the library is.
fn shim() -> Option<PathBuf> {
    cfg!(target_os = "linux").then(|| Path::new(env!("OUT_DIR")).join("disk.so"))
}

/// What a program did to its files, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Wrote these bytes there.
    Write(PathBuf, u64, Vec<u8>),
    /// Made the file so long.
    Truncate(PathBuf, u64),
    /// Removed the file.
    Remove(PathBuf),
    /// Flushed the file, or the folder.
    Sync(PathBuf),
    /// Wrote to a file whose name ends in `.acks`.
    Said(Vec<u8>),
}

/// A record made by [`Disk::trace`].
#[derive(Debug)]
pub struct Trace;

impl Trace {
    /// The steps of a record; one that is cut off at the end is left out.
    pub fn read(bytes: &[u8]) -> Vec<Step> {
        const HEADER: usize = 24;
        let mut steps = Vec::new();
        let mut rest = bytes;
        while rest.len() >= HEADER {
            let number = |at: usize| u64::from_le_bytes(rest[at..at + 8].try_into().expect("eight bytes"));
            let (kind, name, place) = (rest[0], usize::from(u16::from_le_bytes([rest[2], rest[3]])), number(8));
            let Ok(len) = usize::try_from(number(16)) else { break };
            let Some(end) = (HEADER + name).checked_add(len).filter(|end| *end <= rest.len()) else { break };
            let path = PathBuf::from(String::from_utf8_lossy(&rest[HEADER..HEADER + name]).into_owned());
            let data = rest[HEADER + name..end].to_vec();
            steps.push(match kind {
                b'W' => Step::Write(path, place, data),
                b'T' => Step::Truncate(path, place),
                b'U' => Step::Remove(path),
                b'S' => Step::Sync(path),
                b'A' => Step::Said(data),
                other => panic!("a record begins with {other}"),
            });
            rest = &rest[end..];
        }
        steps
    }
}
