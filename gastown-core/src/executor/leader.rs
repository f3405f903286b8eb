//! Who leads: one process ticks and executes.

use std::fs;
use std::time::Duration;

use crate::model::{Key, LeaderRow, Result};
use crate::work::leader;

use super::context::Context;

/// How long the lease holds without being renewed.
pub(super) const LEASE: Duration = Duration::from_secs(90);

/// This process, so that another can tell whether it lives: boot, process and start time.
pub(super) fn this_process() -> String {
    let pid = std::process::id();
    format!("{}:{pid}:{}", boot(), start_time(pid).unwrap_or_default())
}

/// Takes the lease, also from a process of this machine that is dead.
pub(super) async fn acquire(context: &Context) -> Result<i64> {
    let known = context.read(|view| view.find::<LeaderRow>(&Key::leader())).await?;
    let dead = known.map(|row| row.holder).filter(|holder| is_dead(holder));
    let holder = this_process();
    context.step("engine.leader", move |txn| leader::acquire(txn, &holder, LEASE, dead.as_deref())).await
}

/// Whether the holder is a process of this machine and boot that is no more; unknown means alive.
fn is_dead(holder: &str) -> bool {
    let mut parts = holder.split(':');
    let (Some(its_boot), Some(pid), Some(start)) = (parts.next(), parts.next(), parts.next()) else { return false };
    let Ok(pid) = pid.parse::<u32>() else { return false };
    !its_boot.is_empty() && its_boot == boot() && start_time(pid).as_deref() != Some(start)
}

/// The kernel's name for this boot; empty where it has none.
fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
}

/// When a process began, in the kernel's ticks since the boot; none where there is no such process.
fn start_time(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the name in brackets and may hold anything; the 22nd is the start time.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    // A zombie is dead: nobody acts in it any more.
    if fields.next()? == "Z" {
        return None;
    }
    fields.nth(18).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_lives_and_one_of_another_start_does_not() {
        let holder = this_process();
        assert!(!is_dead(&holder));
        let (front, start) = holder.rsplit_once(':').unwrap();
        assert!(is_dead(&format!("{front}:{start}1")));
        assert!(!is_dead("another-boot:1:1"));
        assert!(!is_dead("rubbish"));
    }
}
