//! How the runtime of local processes is set up.

#![allow(clippy::disallowed_methods, reason = "`inherit_from_env` is the place where the host lets the environment in")]

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The file name of the program that carries the session mode.
const PROGRAM: &str = "gastown";
/// The variables that [`ProcessOptions::inherit_from_env`] passes on.
const INHERITED: &[&str] = &["HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "TMPDIR", "TZ", "USER"];

/// Settings of a [`ProcessRuntime`](super::ProcessRuntime).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ProcessOptions {
    /// Where the sessions' folders are; one runtime's sessions are adopted by the next with the same folder.
    pub dir: PathBuf,
    /// Who watches over an agent.
    pub supervisor: Supervisor,
    /// Variables that every agent gets; a session's own win. Nothing else of the host's environment reaches an agent.
    pub inherit_env: BTreeMap<String, String>,
    /// How often the lease of a living session is renewed.
    pub lease: Duration,
}

impl ProcessOptions {
    /// Sessions in `dir`, supervised in process, with an empty environment and a renewal every 30 s.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            supervisor: Supervisor::InProcess,
            inherit_env: BTreeMap::new(),
            lease: Duration::from_secs(30),
        }
    }

    /// Names the supervisor.
    #[must_use]
    pub fn supervisor(mut self, supervisor: Supervisor) -> Self {
        self.supervisor = supervisor;
        self
    }

    /// Passes on what a program usually needs of this process's environment: `HOME`, `LANG`, `LC_ALL`, `LOGNAME`,
    /// `PATH`, `TMPDIR`, `TZ` and `USER`. The only place of the runtime that reads the environment.
    #[must_use]
    pub fn inherit_from_env(mut self) -> Self {
        let found = INHERITED.iter().filter_map(|name| Some(((*name).to_owned(), env::var(name).ok()?)));
        self.inherit_env.extend(found);
        self
    }
}

/// Who watches over an agent and records how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Supervisor {
    /// A process of its own, which outlives the host: `<path> <args> session --dir <folder>`.
    Program {
        /// The program; it answers to the session mode, as [`session_main`](super::session_main) does.
        path: PathBuf,
        /// Arguments before the mode.
        args: Vec<String>,
    },
    /// Threads of this process: sessions are its children and end with the runtime.
    ///
    /// What leaves the agent's process group may outlive it. The process must not wait for children it did not start.
    InProcess,
}

impl Supervisor {
    /// Names a program without arguments before the mode.
    pub fn program(path: impl Into<PathBuf>) -> Self {
        Self::Program { path: path.into(), args: Vec::new() }
    }

    /// Finds the `gastown` program: in the folder `beside`, then on the given `PATH`; without it, in process.
    pub fn find(beside: Option<&Path>, path_var: Option<&OsStr>) -> Self {
        let on_path = path_var.into_iter().flat_map(env::split_paths).filter(|folder| folder.is_absolute());
        beside
            .map(Path::to_path_buf)
            .into_iter()
            .chain(on_path)
            .map(|folder| folder.join(PROGRAM))
            .find(|path| fs::metadata(path).is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0))
            .and_then(|path| std::path::absolute(path).ok())
            .map_or(Self::InProcess, Self::program)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_beside_wins_over_the_path_and_nothing_is_in_process() {
        let (beside, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let path_var = other.path().as_os_str();
        assert_eq!(Supervisor::find(Some(beside.path()), Some(path_var)), Supervisor::InProcess);
        for folder in [&other, &beside] {
            let program = folder.path().join(PROGRAM);
            fs::write(&program, "").unwrap();
            fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
            assert_eq!(Supervisor::find(Some(beside.path()), Some(path_var)), Supervisor::program(program));
        }
    }
}
