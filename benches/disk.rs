//! The disk: how fast it flushes, and how to have one that flushes slowly.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::measure::Turn;

/// Names the flush that [`slow_flush`] lengthens, in microseconds; also for its child.
const SLOW_FLUSH_US: &str = "SLOW_FLUSH_US";

/// Rewrites one page of a file and flushes it, `count` times.
pub fn flushes(dir: &Path, count: usize) -> Turn {
    let mut file = File::create(dir.join("flushes")).expect("a file can be made");
    file.write_all(&vec![0; 1 << 16]).and_then(|()| file.sync_all()).expect("it can be written");
    Turn::of(count, |n| {
        file.write_all_at(&[n.to_le_bytes()[0]; 4096], 4096).expect("it can be written");
        file.sync_data().expect("it can be flushed");
    })
}

/// What to run this program with, so that each flush lasts that much longer; none where there is no C compiler.
pub fn slow_flush(dir: &Path, micros: u32) -> Option<Command> {
    let library = dir.join("slow_flush.so");
    let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("preload/slow_flush.c");
    let made =
        Command::new("cc").args(["-shared", "-fPIC", "-O2", "-o"]).arg(&library).arg(source).arg("-ldl").status();
    if !made.is_ok_and(|status| status.success()) {
        return None;
    }
    let mut command = Command::new(std::env::current_exe().ok()?);
    command.env("LD_PRELOAD", library).env(SLOW_FLUSH_US, micros.to_string());
    Some(command)
}
