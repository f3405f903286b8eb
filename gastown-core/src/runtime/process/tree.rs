//! Processes of this machine, named by id and start time, because an id alone is soon another's.

use std::collections::BTreeSet;
use std::fs;

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// One process for ever: its id and when it started, in clock ticks since boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct ProcessRef {
    pub(super) pid: i32,
    pub(super) started: u64,
}

impl ProcessRef {
    /// The process that has this id now.
    pub(super) fn of(pid: i32) -> Option<Self> {
        Entry::read(pid).map(|entry| entry.process)
    }

    /// Sends a signal if it is still the same process; says whether it was.
    pub(super) fn signal(self, signal: Signal) -> bool {
        Self::of(self.pid) == Some(self) && signal::kill(Pid::from_raw(self.pid), signal).is_ok()
    }
}

/// What the kernel tells of one process.
#[derive(Clone, Copy, Debug)]
struct Entry {
    process: ProcessRef,
    parent: i32,
    group: i32,
    session: i32,
    zombie: bool,
}

impl Entry {
    fn read(pid: i32) -> Option<Self> {
        let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
        // The name stands in parentheses and may hold anything, also parentheses.
        let after_name = text.iter().rposition(|byte| *byte == b')')? + 1;
        let fields: Vec<&str> = std::str::from_utf8(&text[after_name..]).ok()?.split_ascii_whitespace().collect();
        Some(Self {
            process: ProcessRef { pid, started: fields.get(19)?.parse().ok()? },
            parent: fields.get(1)?.parse().ok()?,
            group: fields.get(2)?.parse().ok()?,
            session: fields.get(3)?.parse().ok()?,
            zombie: matches!(*fields.first()?, "Z" | "X"),
        })
    }

    fn all() -> Vec<Self> {
        let Ok(folder) = fs::read_dir("/proc") else { return Vec::new() };
        folder.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter_map(Self::read).collect()
    }
}

/// Sends a signal to everything below `root`, and to the group and session that `agent` leads; answers how many.
///
/// The agent itself is one of them, `root` is not unless it is the agent.
pub(super) fn signal_tree(root: i32, agent: ProcessRef, signal: Signal) -> usize {
    let entries = Entry::all();
    let led = match entries.iter().find(|entry| entry.process.pid == agent.pid) {
        // Another process has the id now, so the old group and session are empty.
        Some(entry) => entry.process == agent,
        None => true,
    };
    let mut chosen: BTreeSet<i32> = entries
        .iter()
        .filter(|entry| entry.process == agent || led && (entry.group == agent.pid || entry.session == agent.pid))
        .map(|entry| entry.process.pid)
        .collect();
    loop {
        let before = chosen.len();
        for entry in &entries {
            if entry.process.pid != root && (entry.parent == root || chosen.contains(&entry.parent)) {
                chosen.insert(entry.process.pid);
            }
        }
        if chosen.len() == before {
            break;
        }
    }
    let myself = Pid::this().as_raw();
    entries
        .iter()
        .filter(|entry| chosen.contains(&entry.process.pid) && entry.process.pid != myself && !entry.zombie)
        .filter(|entry| entry.process.signal(signal))
        .count()
}

/// Kills every process whose environment holds `marker`; answers how many.
pub(super) fn kill_marked(marker: &str) -> usize {
    let has_it = |entry: &Entry| {
        fs::read(format!("/proc/{}/environ", entry.process.pid))
            .is_ok_and(|environment| environment.split(|byte| *byte == 0).any(|one| one == marker.as_bytes()))
    };
    let myself = Pid::this().as_raw();
    Entry::all()
        .iter()
        .filter(|entry| entry.process.pid != myself && !entry.zombie && has_it(entry))
        .filter(|entry| entry.process.signal(Signal::SIGKILL))
        .count()
}

/// Names this boot of the machine, so that process ids of an earlier one are not taken for ours.
pub(super) fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|text| text.trim().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_another_start_time_is_not_signalled() {
        let myself = ProcessRef::of(Pid::this().as_raw()).unwrap();
        let other = ProcessRef { started: myself.started + 1, ..myself };
        assert!(!other.signal(Signal::SIGKILL), "we would be dead");
    }
}
