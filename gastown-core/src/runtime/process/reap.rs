//! Collects children that have ended, on a thread that sleeps until one does.

use std::sync::mpsc::SyncSender;
use std::thread;

use nix::errno::Errno;
use nix::sys::signal::{self, Signal};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;

use super::supervise::Event;
use crate::runtime::ExitOutcome;

/// Which children are ours to collect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// All: the process is a supervisor and the new parent of whatever an agent leaves.
    Everything,
    /// The agent alone: the process is a host's and has other children.
    Agent,
}

/// Starts the thread. It sends how the agent ended, and with [`Reach::Everything`] when nothing is left.
pub(super) fn watch(agent: Pid, reach: Reach, events: SyncSender<Event>) -> std::io::Result<()> {
    thread::Builder::new().name("gastown-reap".into()).stack_size(64 << 10).spawn(move || match reach {
        Reach::Everything => collect_everything(agent, &events),
        Reach::Agent => {
            let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
            while waitid(Id::Pid(agent), flags) == Err(Errno::EINTR) {}
            let outcome = collect_agent(agent);
            // A receiver that is gone has ended already.
            let _ = events.send(Event::AgentEnded { outcome, alone: true });
        }
    })?;
    Ok(())
}

fn collect_everything(agent: Pid, events: &SyncSender<Event>) {
    let peek = |more: WaitPidFlag| waitid(Id::All, WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT | more);
    loop {
        match peek(WaitPidFlag::empty()) {
            Err(Errno::EINTR) => {}
            Err(_) => {
                // No child is left. Sent also where that is the only thing still to tell.
                let _ = events.send(Event::TreeGone);
                return;
            }
            Ok(status) if status.pid() == Some(agent) => {
                let outcome = collect_agent(agent);
                let alone = peek(WaitPidFlag::WNOHANG) == Err(Errno::ECHILD);
                if events.send(Event::AgentEnded { outcome, alone }).is_err() || alone {
                    return;
                }
            }
            Ok(status) => {
                if let Some(pid) = status.pid() {
                    let _ = waitpid(pid, None);
                }
                // A full queue holds a reason to look already.
                let _ = events.try_send(Event::Reaped);
            }
        }
    }
}

/// Kills the agent's group while the ended agent still owns its number, then collects the agent.
fn collect_agent(agent: Pid) -> ExitOutcome {
    // An empty group is fine.
    let _ = signal::killpg(agent, Signal::SIGKILL);
    loop {
        match waitpid(agent, None) {
            Err(Errno::EINTR) => {}
            Ok(WaitStatus::Exited(_, code)) => return ExitOutcome::Exited { code },
            Ok(WaitStatus::Signaled(_, signal, _)) => return ExitOutcome::Signalled { signal: signal as i32 },
            // Somebody else in this process has collected it.
            Ok(_) | Err(_) => return ExitOutcome::Lost,
        }
    }
}
