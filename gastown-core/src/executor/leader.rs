//! Who leads: one process ticks and executes.

use std::collections::BTreeSet;
use std::fs;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::model::{Key, LeaderRow, Result};
use crate::work::{leader, settings};

use super::context::Context;

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

    /// Who it is, so that others can tell whether it lives: machine, process, start time, number in the process.
    fn holder(&self, machine: &str) -> String {
        let pid = std::process::id();
        format!("{machine}:{pid}:{}:{}", start_time(pid).unwrap_or_default(), self.0)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        ENGINES.lock().unwrap_or_else(PoisonError::into_inner).alive.remove(&self.0);
    }
}

/// A lease that was taken.
pub(super) struct Led {
    pub(super) epoch: i64,
    pub(super) engine: Engine,
    /// How long it holds without being renewed.
    pub(super) lease: Duration,
}

/// Takes the lease, also from an engine of this machine that is dead.
pub(super) async fn acquire(context: &Context) -> Result<Led> {
    let (known, lease) = context
        .read(|view| {
            let lease = settings::duration(view, None, "engine.lease_ms")?;
            Ok((view.find::<LeaderRow>(&Key::leader())?, lease))
        })
        .await?;
    let machine = context.host.as_deref().map_or_else(this_machine, str::to_owned);
    let dead = known.map(|row| row.holder).filter(|holder| is_dead(holder, &machine));
    let engine = Engine::new();
    let holder = engine.holder(&machine);
    let epoch = context.step("engine.leader", move |txn| leader::acquire(txn, &holder, lease, dead.as_deref())).await?;
    Ok(Led { epoch, engine, lease })
}

/// Whether the holder is an engine of this machine that is no more; unknown means alive.
fn is_dead(holder: &str, machine: &str) -> bool {
    let mut parts = holder.split(':');
    let (Some(its_machine), Some(pid), Some(start)) = (parts.next(), parts.next(), parts.next()) else { return false };
    let Ok(pid) = pid.parse::<u32>() else { return false };
    if its_machine.is_empty() || its_machine != machine {
        return false;
    }
    if start_time(pid).as_deref() != Some(start) {
        return true;
    }
    let number = parts.next().and_then(|number| number.parse().ok());
    let is_gone = |number| !ENGINES.lock().unwrap_or_else(PoisonError::into_inner).alive.contains(&number);
    pid == std::process::id() && number.is_some_and(is_gone)
}

/// Where the numbers of processes are ours: the kernel's name for this boot and the namespace of its processes, as
/// containers on one machine do not see each other's. Empty where the kernel tells neither.
fn this_machine() -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id");
    let namespace = fs::read_link("/proc/self/ns/pid");
    let (Ok(boot), Ok(namespace)) = (boot, namespace) else { return String::new() };
    let number: String = namespace.to_string_lossy().chars().filter(char::is_ascii_digit).collect();
    format!("{}.{number}", boot.trim())
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
        let (engine, machine) = (Engine::new(), this_machine());
        let holder = engine.holder(&machine);
        assert!(!is_dead(&holder, &machine));
        let [its_machine, pid, start, _] = *holder.split(':').collect::<Vec<_>>() else { panic!("{holder}") };
        assert!(is_dead(&format!("{its_machine}:{pid}:{start}1:1"), &machine));
        drop(engine);
        assert!(is_dead(&holder, &machine), "an engine that was dropped");
        assert!(!is_dead(&holder, "another"), "nobody can tell from elsewhere");
        assert!(!is_dead("another-boot:1:1", &machine));
        assert!(!is_dead("rubbish", &machine));
        assert!(!is_dead(":1:1:1", ""), "where the machine has no name, nothing is known");
    }

    #[test]
    fn a_container_of_the_same_machine_is_another() {
        let machine = this_machine();
        let (boot, namespace) = machine.split_once('.').unwrap();
        assert!(!boot.is_empty() && namespace.parse::<u64>().is_ok(), "{machine}");
        // There is no process of that number here.
        assert!(is_dead(&format!("{machine}:4194305:1:1"), &machine));
        assert!(!is_dead(&format!("{boot}.{namespace}1:4194305:1:1"), &machine));
    }
}
