//! Who leads: one process ticks and executes.

use std::collections::BTreeSet;
use std::fs;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::model::{Key, LeaderRow, Result};
use crate::work::leader;

use super::context::Context;

/// How long the lease holds without being renewed.
pub(super) const LEASE: Duration = Duration::from_secs(90);

/// The engines that live in this process, by their numbers.
static ENGINES: Mutex<Engines> = Mutex::new(Engines { last: 0, alive: BTreeSet::new() });

struct Engines {
    last: u64,
    alive: BTreeSet<u64>,
}

/// An engine of this process while it lives: it is dead once this is dropped, however that came about.
#[derive(Debug)]
pub(super) struct Engine(u64);

impl Engine {
    fn new() -> Self {
        let mut engines = ENGINES.lock().unwrap_or_else(PoisonError::into_inner);
        engines.last += 1;
        let number = engines.last;
        engines.alive.insert(number);
        Self(number)
    }

    /// Who it is, so that others can tell whether it lives: boot, process, start time, number in the process.
    fn holder(&self) -> String {
        format!("{}:{}", this_process(), self.0)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        ENGINES.lock().unwrap_or_else(PoisonError::into_inner).alive.remove(&self.0);
    }
}

fn this_process() -> String {
    let pid = std::process::id();
    format!("{}:{pid}:{}", boot(), start_time(pid).unwrap_or_default())
}

/// Takes the lease, also from an engine of this machine that is dead.
pub(super) async fn acquire(context: &Context) -> Result<(i64, Engine)> {
    let known = context.read(|view| view.find::<LeaderRow>(&Key::leader())).await?;
    let dead = known.map(|row| row.holder).filter(|holder| is_dead(holder));
    let engine = Engine::new();
    let holder = engine.holder();
    let epoch = context.step("engine.leader", move |txn| leader::acquire(txn, &holder, LEASE, dead.as_deref())).await?;
    Ok((epoch, engine))
}

/// Whether the holder is an engine of this machine and boot that is no more; unknown means alive.
fn is_dead(holder: &str) -> bool {
    let mut parts = holder.split(':');
    let (Some(its_boot), Some(pid), Some(start)) = (parts.next(), parts.next(), parts.next()) else { return false };
    let Ok(pid) = pid.parse::<u32>() else { return false };
    if its_boot.is_empty() || its_boot != boot() {
        return false;
    }
    if start_time(pid).as_deref() != Some(start) {
        return true;
    }
    let number = parts.next().and_then(|number| number.parse().ok());
    let is_gone = |number| !ENGINES.lock().unwrap_or_else(PoisonError::into_inner).alive.contains(&number);
    pid == std::process::id() && number.is_some_and(is_gone)
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
        let engine = Engine::new();
        let holder = engine.holder();
        assert!(!is_dead(&holder));
        let (process, _) = holder.rsplit_once(':').unwrap();
        let (front, start) = process.rsplit_once(':').unwrap();
        assert!(is_dead(&format!("{front}:{start}1:1")));
        drop(engine);
        assert!(is_dead(&holder), "an engine that was dropped");
        assert!(!is_dead("another-boot:1:1"));
        assert!(!is_dead("rubbish"));
    }
}
