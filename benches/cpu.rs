//! The processor time of single threads.

use std::path::PathBuf;
use std::time::Duration;

/// Threads of this process, by name.
#[derive(Clone, Debug)]
pub struct Threads(Vec<PathBuf>);

impl Threads {
    /// Those of this name that are there now and not among `others`; Linux cuts a name to 15 bytes.
    pub fn named(name: &str, others: &[&Self]) -> Self {
        let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten().map(|task| task.path());
        let found = tasks.filter(|task| {
            let is_named = std::fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim_end() == name);
            is_named && !others.iter().any(|other| other.0.contains(task))
        });
        Self(found.collect())
    }

    /// How long they ran so far.
    pub fn ran(&self) -> Duration {
        let nanos = |task: &PathBuf| {
            let text = std::fs::read_to_string(task.join("schedstat")).ok()?;
            text.split_whitespace().next()?.parse::<u64>().ok()
        };
        Duration::from_nanos(self.0.iter().filter_map(nanos).sum())
    }
}

/// A line of `/proc/self/status` that names a number of KiB, in bytes; 0 where there is none.
pub fn memory(line: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = status.lines().find_map(|l| l.strip_prefix(line)?.strip_prefix(':')?.trim().strip_suffix(" kB"));
    kib.and_then(|kib| kib.trim().parse::<u64>().ok()).unwrap_or(0) * 1024
}
