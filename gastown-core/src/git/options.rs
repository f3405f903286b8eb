//! How the git program is found and bounded.

#![allow(clippy::disallowed_methods, reason = "`from_env` is the place where the host lets the environment in")]

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Settings of a [`GitRunner`](super::GitRunner).
///
/// Nothing here is read from the environment unless [`GitOptions::from_env`] was called.
#[derive(Clone)]
#[non_exhaustive]
pub struct GitOptions {
    /// The program: a name that is looked up in `path`, or an absolute path. Default `git`.
    pub program: PathBuf,
    /// Where programs are looked up, here and by git itself. Default: the usual system folders.
    pub path: Option<OsString>,
    /// The deadline of one call. Default 2 minutes.
    pub timeout: Duration,
    /// The most bytes one call may print. Default 16 MiB.
    pub output_bytes_max: usize,
    /// More variables for every call, for instance those that name a credential helper. Never printed.
    pub env: Vec<(OsString, OsString)>,
    /// Whether remotes may be folders of this machine. Default true.
    pub allow_file_protocol: bool,
    /// Whether plain `http://` is allowed; only loopback addresses are ever accepted. Default false.
    pub allow_http_protocol: bool,
    /// The most files one checkout may make. Default 500,000.
    pub checkout_files_max: u64,
    /// The most objects that are taken over from one workspace. Default 200,000.
    pub collect_objects_max: u64,
    /// The most bytes of objects that are taken over from one workspace. Default 2 GiB.
    pub collect_bytes_max: u64,
}

impl Default for GitOptions {
    fn default() -> Self {
        Self {
            program: PathBuf::from("git"),
            path: None,
            timeout: Duration::from_secs(120),
            output_bytes_max: 16 << 20,
            env: Vec::new(),
            allow_file_protocol: true,
            allow_http_protocol: false,
            checkout_files_max: 500_000,
            collect_objects_max: 200_000,
            collect_bytes_max: 2 << 30,
        }
    }
}

impl GitOptions {
    /// The defaults with the `PATH` of this process; for hosts, never called by the library.
    pub fn from_env() -> Self {
        Self { path: std::env::var_os("PATH"), ..Self::default() }
    }

    pub(super) fn search_path(&self) -> OsString {
        self.path.clone().unwrap_or_else(|| OsString::from("/usr/local/bin:/usr/bin:/bin"))
    }

    pub(super) fn protocols(&self) -> String {
        let mut list = String::from("https:ssh");
        if self.allow_file_protocol {
            list.push_str(":file");
        }
        if self.allow_http_protocol {
            list.push_str(":http");
        }
        list
    }
}

impl fmt::Debug for GitOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.env.iter().map(|(name, _)| name).collect();
        f.debug_struct("GitOptions")
            .field("program", &self.program)
            .field("timeout", &self.timeout)
            .field("output_bytes_max", &self.output_bytes_max)
            .field("env", &names)
            .finish_non_exhaustive()
    }
}
