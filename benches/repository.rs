//! Repositories made to measure.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How large a generated repository is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// A name for tables.
    pub name: &'static str,
    /// How many files, 30 in a folder.
    pub files: usize,
}

impl Shape {
    /// A few files.
    pub const SMALL: Self = Self { name: "20 files", files: 20 };
    /// As many as an ordinary project has.
    pub const LARGE: Self = Self { name: "1,500 files", files: 1_500 };
}

/// Runs git and answers what it printed.
///
/// # Panics
/// Where git does not succeed.
pub fn git(dir: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .arg("-C")
        .arg(dir)
        .args(["-c", "user.name=Bench", "-c", "user.email=bench@example.org", "-c", "init.defaultBranch=main"])
        .args(args)
        .output()
        .expect("git is there");
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Makes a bare repository of that shape in `dir`, with one commit on `main`, and answers where it is.
///
/// Files hold 2 to 30 KB of text, about 16 KB each.
///
/// # Panics
/// Where files or git do not work.
pub fn origin(dir: &Path, shape: Shape) -> PathBuf {
    let seed = dir.join("seed");
    fs::create_dir_all(&seed).expect("a folder can be made");
    git(&seed, &["init", "-q"]);
    for n in 0..shape.files {
        let folder = seed.join(format!("part{:02}", n / 30));
        fs::create_dir_all(&folder).expect("a folder can be made");
        fs::write(folder.join(format!("file{n:04}.txt")), text(n)).expect("a file can be written");
    }
    git(&seed, &["add", "."]);
    git(&seed, &["commit", "-q", "-m", "Begin"]);
    git(dir, &["clone", "-q", "--bare", "seed", "origin.git"]);
    git(&dir.join("origin.git"), &["repack", "-q", "-a", "-d"]);
    dir.join("origin.git")
}

fn text(seed: usize) -> String {
    let lines = 40 + (seed * 37) % 560;
    let mut text = String::with_capacity(lines * 52);
    for n in 0..lines {
        let word = (seed * 7_919 + n * 104_729) % 1_000_003;
        let _ = writeln!(text, "line {n:04} of {seed:04}: the harbour has {word:07} ships");
    }
    text
}
