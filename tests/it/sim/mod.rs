//! The whole town in a world of chance: virtual time, scripted agents and git, and faults at every edge.
//!
//! A seed says what users ask for, what agents do, how long everything takes, and what goes wrong where: the process dies
//! before and after every commit and everything done outside, answers are lost, calls are refused or slow, clocks jump. The
//! town's own code runs, its executor too. After each commit the invariants are looked at. The same seed plays the same,
//! entry by entry; a seed that fails is played again with fewer faults, until only those are left that it takes.
//!
//! `GASTOWN_SIM_SEED=n` plays one and prints its journal; `make soak` plays for `GASTOWN_SIM_SECS` seconds.

mod adoption;
mod agents;
mod chance;
mod dispatch;
mod forge;
mod invariants;
mod run;
mod script;
mod world;

use std::collections::{BTreeMap, BTreeSet};

use gastown_core::mutant::{self, Mutant};

use self::chance::{Chance, Fault, Plan};
use self::run::{Outcome, play};
use crate::history::{asked, is_soak};

/// How many of a thousand steps go wrong, in turns.
const RATES: [u64; 4] = [0, 5, 20, 60];

/// The most runs that look for fewer faults.
const SHRINKS_MAX: usize = 100;

fn plan(seed: u64) -> Plan {
    let rate = RATES[usize::try_from(seed % RATES.len() as u64).unwrap()];
    Plan::Drawn(Chance::new(seed ^ 0x5eed), rate)
}

/// What the runs of a test have passed.
#[derive(Default)]
struct Coverage {
    runs: u64,
    steps: u64,
    hours: u64,
    kinds: BTreeMap<String, u64>,
    places: BTreeMap<&'static str, u64>,
    struck: BTreeSet<(&'static str, Fault)>,
    conducts: BTreeMap<agents::Conduct, u64>,
}

impl Coverage {
    fn add(&mut self, outcome: &Outcome) {
        self.runs += 1;
        self.steps += outcome.steps;
        self.hours += outcome.elapsed.as_secs() / 3_600;
        for (kind, count) in &outcome.kinds {
            *self.kinds.entry(kind.clone()).or_default() += count;
        }
        for (place, count) in &outcome.places {
            *self.places.entry(place).or_default() += count;
        }
        for (conduct, count) in &outcome.conducts {
            *self.conducts.entry(*conduct).or_default() += count;
        }
        self.struck.extend(&outcome.struck);
    }

    fn print(&self) {
        println!("{} runs, {} steps, {} simulated hours", self.runs, self.steps, self.hours);
        println!("entries: {:?}\nplaces: {:?}\nagents: {:?}", self.kinds, self.places, self.conducts);
        println!("{} kinds of faults at their places", self.struck.len());
    }
}

/// Plays a seed; where something is wrong, looks for the few faults that it takes, and panics with them.
fn hold(seed: u64) -> Outcome {
    let outcome = play(seed, plan(seed));
    if outcome.wrong.is_empty() {
        return outcome;
    }
    eprintln!("seed {seed} is wrong: {:#?}; looking for fewer faults", outcome.wrong);
    if asked("GASTOWN_SIM_SEED").is_some() {
        eprintln!("{}\nfaults: {:?}", outcome.journal.join("\n"), outcome.faults);
    }
    let mut left: BTreeMap<u64, Fault> = outcome.faults.clone();
    for step in outcome.faults.keys().take(SHRINKS_MAX) {
        let mut fewer = left.clone();
        fewer.remove(step);
        if !play(seed, Plan::Given(fewer.clone())).wrong.is_empty() {
            left = fewer;
        }
    }
    let least = play(seed, Plan::Given(left.clone()));
    panic!(
        "GASTOWN_SIM_SEED={seed}: {:#?}\nwith these faults alone {left:?}: {:#?}\njournal:\n{}",
        outcome.wrong,
        least.wrong,
        least.journal.join("\n")
    );
}

#[test]
fn nothing_is_lost_or_done_twice_whatever_goes_wrong() {
    if let Some(seed) = asked("GASTOWN_SIM_SEED") {
        let outcome = hold(seed);
        println!("{}\nfaults: {:?}", outcome.journal.join("\n"), outcome.faults);
        return;
    }
    let mut coverage = Coverage::default();
    let seconds = asked("GASTOWN_SIM_SECS").unwrap_or(600);
    #[allow(clippy::disallowed_methods, reason = "a soak runs as long as it is told")]
    let began = std::time::Instant::now();
    let mut seed = asked("GASTOWN_SIM_FROM").unwrap_or(0);
    let most = seed + 100;
    while if is_soak() { began.elapsed().as_secs() < seconds } else { seed < most } {
        coverage.add(&hold(seed));
        seed += 1;
    }
    coverage.print();
    for fault in Fault::ALL {
        assert!(coverage.struck.iter().any(|(_, struck)| *struck == fault), "no {fault:?} was met");
    }
    for kind in [
        "session.ended",
        "bead.retried",
        "effect.ambiguous",
        "effect.absent",
        "convoy.landed",
        "town.paused",
        "rig.paused",
        "agent.paused",
        "agent.collected",
        "agent.retired",
        "bead.hooked",
        "bead.unhooked",
        "bead.parked",
        "engine.draining",
        "bead.handed_off",
    ] {
        assert!(coverage.kinds.contains_key(kind), "no {kind} was met");
    }
}

#[test]
fn a_seed_plays_the_same_again() {
    for seed in [1, 2, 3, 7] {
        let (one, other) = (play(seed, plan(seed)), play(seed, plan(seed)));
        let differs = one.journal.iter().zip(&other.journal).find(|(one, other)| one != other);
        assert_eq!(one.journal_sum, other.journal_sum, "seed {seed} differs: {differs:#?}");
        assert_eq!((one.steps, one.faults), (other.steps, other.faults));
    }
}

/// The seeds that are tried for a mistake, from the one on in which it showed when it was put back first.
const MUTANT_SEEDS: u64 = 60;

/// Where each mistake shows at the earliest.
const fn shows_from(mutant: Mutant) -> u64 {
    match mutant {
        Mutant::PauseIgnored | Mutant::BusyAgentTaken | Mutant::ConflictDropped => 4,
        Mutant::LimitIgnored => 11,
        Mutant::OutboxForgotten => 1,
        Mutant::DrainUnsaved => 37,
        _ => 0,
    }
}

/// The first seed in which the simulator says that something is wrong, and what.
fn first_wrong(mutant: Mutant) -> Option<(u64, String)> {
    let from = shows_from(mutant);
    (from..from + MUTANT_SEEDS).find_map(|seed| {
        let outcome = mutant::with(mutant, || play(seed, plan(seed)));
        outcome.wrong.into_iter().next().map(|what| (seed, what))
    })
}

#[test]
fn old_mistakes_that_are_put_back_are_seen() {
    let mut unseen = Vec::new();
    for &mutant in Mutant::ALL {
        match first_wrong(mutant) {
            Some((seed, what)) => println!("{mutant:?}: seed {seed}: {what}"),
            None => unseen.push(mutant),
        }
    }
    assert_eq!(unseen, [], "these are not seen in {MUTANT_SEEDS} seeds");
}
