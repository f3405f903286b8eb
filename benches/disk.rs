//! The disk: how fast it flushes, and how to have one that flushes slowly.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;

use gastown_preload::Disk;

use crate::measure::Turn;

/// Rewrites one page of a file and flushes it, `count` times.
pub fn flushes(dir: &Path, count: usize) -> Turn {
    let mut file = File::create(dir.join("flushes")).expect("a file can be made");
    file.write_all(&vec![0; 1 << 16]).and_then(|()| file.sync_all()).expect("it can be written");
    Turn::of(count, |n| {
        file.write_all_at(&[n.to_le_bytes()[0]; 4096], 4096).expect("it can be written");
        file.sync_data().expect("it can be flushed");
    })
}

/// What to run this program with, so that each flush of a file in `dir` takes at least that long.
pub fn slow_flush(dir: &Path, micros: u32) -> Option<Command> {
    let mut command = Command::new(std::env::current_exe().ok()?);
    Disk::under(dir.canonicalize().ok()?).sync_us(micros.into()).apply(&mut command);
    Some(command)
}
