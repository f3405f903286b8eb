//! Chance: a seed and what is drawn from it, and the faults that were drawn.

use std::collections::{BTreeMap, BTreeSet};

/// Numbers that look random and are the same for the same seed.
#[derive(Clone, Debug)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number (SplitMix64).
    pub(super) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub(super) const fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// True in so many of a thousand cases.
    pub(super) const fn permille(&mut self, of_thousand: u64) -> bool {
        self.below(1_000) < of_thousand
    }

    /// One of these.
    pub(super) fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.below(of.len() as u64)).unwrap()]
    }
}

/// What goes wrong at one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    /// The process dies there.
    Crash,
    /// It is answered that it was not possible.
    Refusal,
    /// It takes long.
    Delay,
    /// The clock of the machine jumps forward.
    ClockForward,
    /// The clock of the machine jumps back.
    ClockBack,
}

impl Fault {
    pub(super) const ALL: [Self; 5] = [Self::Crash, Self::Refusal, Self::Delay, Self::ClockForward, Self::ClockBack];
}

/// Which faults happen: drawn, or those of an earlier run that are left.
#[derive(Clone, Debug)]
pub(super) enum Plan {
    /// So many of a thousand steps go wrong, by a chance of their own.
    Drawn(Chance, u64),
    /// These, at these steps.
    Given(BTreeMap<u64, Fault>),
}

/// The faults of one run.
#[derive(Clone, Debug)]
pub(super) struct Faults {
    plan: Plan,
    step: u64,
    /// What went wrong so far.
    pub(super) met: BTreeMap<u64, Fault>,
    /// The kinds of places that were passed, and those where something went wrong.
    pub(super) places: BTreeMap<&'static str, u64>,
    pub(super) struck: BTreeSet<(&'static str, Fault)>,
    is_over: bool,
}

impl Faults {
    pub(super) fn new(plan: Plan) -> Self {
        Self { plan, step: 0, met: BTreeMap::new(), places: BTreeMap::new(), struck: BTreeSet::new(), is_over: false }
    }

    /// From now on nothing goes wrong.
    pub(super) const fn end(&mut self) {
        self.is_over = true;
    }

    /// What goes wrong at this step; `may` says which kinds can.
    pub(super) fn draw(&mut self, place: &'static str, may: &[Fault]) -> Option<Fault> {
        *self.places.entry(place).or_default() += 1;
        self.step += 1;
        if self.is_over {
            return None;
        }
        let fault = match &mut self.plan {
            Plan::Drawn(chance, of_thousand) => {
                let (is_one, fault) = (chance.permille(*of_thousand), chance.one_of(may));
                is_one.then_some(fault)
            }
            Plan::Given(given) => given.get(&self.step).copied().filter(|fault| may.contains(fault)),
        }?;
        self.met.insert(self.step, fault);
        self.struck.insert((place, fault));
        Some(fault)
    }

    /// How many steps there were.
    pub(super) const fn steps(&self) -> u64 {
        self.step
    }
}
