//! Named places where a test makes the process die or an operation fail.
//!
//! Without the feature `testkit` a failpoint is nothing at all. Names are listed in [`NAMES`] and [`OF_SYNC`], so that
//! crash tests can go through every one of them.

/// Every failpoint, in the order in which a bead on its way to the target branch meets them.
pub const NAMES: &[&str] = &[
    "sling.before_commit",
    "sling.after_commit",
    "start.claimed",
    "workspace.created",
    "workspace.filled",
    "start.spawned",
    "start.recorded",
    "supervisor.before_exit_record",
    "outcome.collected",
    "outcome.recorded",
    "publish.pushed",
    "merge.built",
    "gate.passed",
    "session.before_removal",
    "land.pushed",
    "land.recorded",
];

/// Every failpoint of a sync with a `.beads` folder, in their order.
pub const OF_SYNC: &[&str] =
    &["sync.before_town", "sync.town_changed", "sync.before_rename", "sync.file_replaced", "sync.agreed"];

/// Passes the named place; with `testkit`, may kill the process there.
#[inline]
pub(crate) fn pass(name: &'static str) {
    debug_assert!(NAMES.contains(&name) || OF_SYNC.contains(&name), "{name} is in no list of failpoints");
    #[cfg(feature = "testkit")]
    armed::pass(name);
    #[cfg(not(feature = "testkit"))]
    let _ = name;
}

#[cfg(feature = "testkit")]
pub use armed::{kill_at, passes};

#[cfg(feature = "testkit")]
mod armed {
    use std::collections::BTreeMap;
    use std::sync::Mutex;

    static STATE: Mutex<State> = Mutex::new(State { kill: None, passes: BTreeMap::new() });

    struct State {
        kill: Option<(String, u64)>,
        passes: BTreeMap<&'static str, u64>,
    }

    /// Kills this process with SIGKILL when `name` is passed for the `nth` time (counted from 1).
    pub fn kill_at(name: &str, nth: u64) {
        STATE.lock().expect("no panic while it is held").kill = Some((name.to_owned(), nth));
    }

    /// How often the place was passed.
    pub fn passes(name: &str) -> u64 {
        STATE.lock().expect("no panic while it is held").passes.get(name).copied().unwrap_or(0)
    }

    pub(super) fn pass(name: &'static str) {
        let mut state = STATE.lock().expect("no panic while it is held");
        let count = {
            let count = state.passes.entry(name).or_default();
            *count += 1;
            *count
        };
        if state.kill.as_ref().is_some_and(|(wanted, nth)| wanted == name && *nth == count) {
            #[cfg(feature = "process")]
            {
                let _ = nix::sys::signal::kill(nix::unistd::Pid::this(), nix::sys::signal::Signal::SIGKILL);
            }
            std::process::abort();
        }
    }
}
