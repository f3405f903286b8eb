//! The plan, the explanations and what the engine does say the same, in any town.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::json;

use super::super::tests::{Bench, oid, rig};
use super::{HOUR, name, other, settings};
use crate::model::{AgentName, BeadId, BeadStatus, Role};
use crate::work::graph::{self, ReasonKind};
use crate::work::pause::{self, ParkBead, PauseAgent, PauseRig, PauseTown};
use crate::work::sling::{self, Sling};
use crate::work::{
    All, BeadPatch, BeadRef, CloseBead, HookBead, Link, NewBead, Patch, RigRef, SlingConvoy, Task, agents, beads,
    convoys, hook,
};

#[test]
fn the_plan_is_what_the_next_look_does_in_its_order() {
    let mut bench = Bench::new(3, settings(&[("agents.pool_max", json!(5)), ("failures.backoff_ms", json!([60_000]))]));
    bench.dock(2);
    bench.configure(None, &[("sessions.max", json!(6))]);
    let failed = bench.waiting(rig(), 0);
    bench.tick();
    bench.fail(&failed);
    for n in 0..12 {
        bench.waiting(if n % 3 == 0 { other() } else { rig() }, n % 5);
    }
    // Its wait is over, and no look has seen that yet.
    bench.now = bench.now.after(HOUR);
    let before = bench.ask(|view| view.whole_town().unwrap().head().unwrap().seq);
    let planned = bench.planned();
    assert_eq!(bench.ask(|view| view.whole_town().unwrap().head().unwrap().seq), before, "a plan changes nothing");
    assert_eq!(planned.len(), 6);
    assert!(planned.iter().any(|start| start.bead == failed));
    let seen = bench.events("session.planned").len();
    bench.tick();
    let done: Vec<(String, String)> = bench.events("session.planned")[seen..]
        .iter()
        .map(|event| {
            (event.data["bead"].as_str().unwrap().to_owned(), event.data["agent"].as_str().unwrap().to_owned())
        })
        .collect();
    let wanted: Vec<_> = planned.iter().map(|start| (start.bead.to_string(), start.agent.to_string())).collect();
    assert_eq!(done, wanted);
}

/// One step of a random town.
#[derive(Clone, Copy, Debug)]
enum Step {
    Make { rig: bool, priority: u32 },
    Sling { bead: usize, to: usize },
    Convoy { started: bool },
    Block { bead: usize, on: usize },
    Park { bead: usize, hours: u64 },
    Unpark { bead: usize },
    Defer { bead: usize, hours: u64 },
    Pause { what: usize, hours: u64 },
    Resume { what: usize },
    Retire { agent: usize },
    Hook { agent: usize, bead: usize },
    Unhook { agent: usize },
    Close { bead: usize },
    Limit { which: usize, most: u64 },
    Fail { bead: usize },
    Pass { hours: u64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (at, hours) = (0..100_usize, 0..3_u64);
    let step = prop_oneof![
        4 => (any::<bool>(), 0..5_u32).prop_map(|(rig, priority)| Step::Make { rig, priority }),
        6 => (at.clone(), 0..12_usize).prop_map(|(bead, to)| Step::Sling { bead, to }),
        1 => any::<bool>().prop_map(|started| Step::Convoy { started }),
        2 => (at.clone(), at.clone()).prop_map(|(bead, on)| Step::Block { bead, on }),
        2 => (at.clone(), hours.clone()).prop_map(|(bead, hours)| Step::Park { bead, hours }),
        1 => at.clone().prop_map(|bead| Step::Unpark { bead }),
        2 => (at.clone(), hours.clone()).prop_map(|(bead, hours)| Step::Defer { bead, hours }),
        2 => (at.clone(), hours.clone()).prop_map(|(what, hours)| Step::Pause { what, hours }),
        2 => at.clone().prop_map(|what| Step::Resume { what }),
        1 => at.clone().prop_map(|agent| Step::Retire { agent }),
        3 => (at.clone(), at.clone()).prop_map(|(agent, bead)| Step::Hook { agent, bead }),
        1 => at.clone().prop_map(|agent| Step::Unhook { agent }),
        1 => at.clone().prop_map(|bead| Step::Close { bead }),
        2 => (0..6_usize, 1..4_u64).prop_map(|(which, most)| Step::Limit { which, most }),
        3 => at.prop_map(|bead| Step::Fail { bead }),
        2 => hours.prop_map(|hours| Step::Pass { hours }),
    ];
    prop::collection::vec(step, 1..40)
}

/// The beads, and the bench that they are in.
struct Yard {
    bench: Bench,
    beads: Vec<BeadId>,
}

impl Yard {
    fn new() -> Self {
        let mut bench = Bench::new(2, settings(&[("agent.preset", json!("claude")), ("failures.max", json!(100))]));
        bench.dock(2);
        Self { bench, beads: Vec::new() }
    }

    fn some(&self, at: usize) -> Option<BeadId> {
        (!self.beads.is_empty()).then(|| self.beads[at % self.beads.len()].clone())
    }

    fn agent(at: usize) -> AgentName {
        name(["toast0", "toast1", "nux0", "nux1"][at % 4])
    }

    /// Takes a step; what is refused changes nothing.
    fn apply(&mut self, step: Step) {
        let until =
            |bench: &Bench, hours: u64| (hours > 0).then(|| bench.now.after(HOUR * u32::try_from(hours).unwrap()));
        let bench = &mut self.bench;
        match step {
            Step::Make { rig: first, priority } => {
                let new = NewBead { priority, ..NewBead::titled("a task").in_rig(if first { rig() } else { other() }) };
                self.beads.push(bench.run(|txn| beads::create(txn, &new)).unwrap().id);
            }
            Step::Convoy { started } => {
                let input = SlingConvoy::new("a ship", rig(), vec![Task::new("one", []), Task::new("two", [])]);
                let convoy = bench.run(|txn| convoys::sling(txn, &input)).unwrap();
                if started {
                    bench.run(|txn| convoys::branched(txn, &convoy.id, &oid(1))).unwrap();
                }
                self.beads.extend(convoy.members);
            }
            Step::Pass { hours } => bench.now = bench.now.after(HOUR * u32::try_from(hours).unwrap()),
            Step::Limit { which, most } => {
                let (of, setting, value) = match which {
                    0 => (None, "sessions.max", json!(most)),
                    1 => (Some(rig()), "sessions.max", json!(most)),
                    2 => (None, "sessions.role_max", json!({ "polecat": most })),
                    3 => (None, "sessions.preset_max", json!({ "claude": most })),
                    4 => (Some(rig()), "agents.pool_max", json!(most)),
                    _ => (None, "dispatch.ageing_ms", json!(most * 600_000)),
                };
                bench.configure(of, &[(setting, value)]);
            }
            Step::Pause { what, hours } => {
                let (until, reason) = (until(bench, hours), "a storm".to_owned());
                match what % 6 {
                    0 => drop(bench.run(|txn| pause::pause_town(txn, &PauseTown { reason, until })).unwrap()),
                    1 => {
                        let input = PauseRig { name: rig(), reason, until };
                        drop(bench.run(|txn| pause::pause_rig(txn, &input)).unwrap());
                    }
                    at => {
                        let input = PauseAgent { name: Self::agent(at), reason, until };
                        drop(bench.run(|txn| pause::pause_agent(txn, &input)));
                    }
                }
            }
            Step::Resume { what } => match what % 6 {
                0 => drop(bench.run(|txn| pause::resume_town(txn, &All {})).unwrap()),
                1 => drop(bench.run(|txn| pause::resume_rig(txn, &RigRef { name: rig() })).unwrap()),
                at => drop(bench.run(|txn| pause::resume_agent(txn, &Self::agent(at).into())).unwrap()),
            },
            Step::Retire { agent } => {
                if agent % 4 == 3 {
                    bench.run(|txn| agents::retire(txn, &Self::agent(3).into())).unwrap();
                }
            }
            Step::Hook { agent, bead } => {
                let Some(id) = self.some(bead) else { return };
                let input = HookBead::new(Self::agent(agent), id);
                drop(self.bench.run(|txn| hook::hook(txn, &input)));
            }
            Step::Unhook { agent } => {
                drop(bench.run(|txn| hook::unhook(txn, &Self::agent(agent).into())));
            }
            Step::Close { bead } => {
                let Some(id) = self.some(bead) else { return };
                let input = CloseBead { force: true, ..CloseBead::from(id) };
                drop(self.bench.run(|txn| beads::close(txn, &input)));
            }
            Step::Sling { bead, to } => {
                let Some(id) = self.some(bead) else { return };
                let mut input = Sling::from(id);
                match to {
                    0..4 => input.to = Some(Self::agent(to)),
                    4 => input.role = Some(Role::Witness),
                    _ => {}
                }
                drop(self.bench.run(|txn| sling::sling(txn, &input)));
            }
            Step::Block { bead, on } => {
                let (Some(bead), Some(on)) = (self.some(bead), self.some(on)) else { return };
                drop(self.bench.run(|txn| graph::link(txn, &Link::blocks(bead, on))));
            }
            Step::Park { bead, hours } => {
                let Some(id) = self.some(bead) else { return };
                let until = until(&self.bench, hours);
                let input = ParkBead { id, reason: "no tide".into(), until, expected_version: None };
                drop(self.bench.run(|txn| pause::park(txn, &input)));
            }
            Step::Unpark { bead } => {
                let Some(id) = self.some(bead) else { return };
                self.bench.run(|txn| pause::unpark(txn, &BeadRef { id })).unwrap();
            }
            Step::Defer { bead, hours } => {
                let Some(id) = self.some(bead) else { return };
                let defer_until = until(&self.bench, hours).map_or(Patch::Clear, Patch::Set);
                let patch = BeadPatch { defer_until, ..BeadPatch::of(id) };
                self.bench.run(|txn| beads::update(txn, &patch)).unwrap();
            }
            Step::Fail { bead } => {
                let Some(id) = self.some(bead) else { return };
                if self.bench.bead(&id).status == BeadStatus::InProgress {
                    self.bench.fail(&id);
                }
            }
        }
    }

    /// Whoever does not run is ready, or says why not; who holds a bead is held by it.
    fn check(&mut self) {
        for id in self.beads.clone() {
            let explained = self.bench.explain(&id);
            let runs = self.bench.bead(&id).status == BeadStatus::InProgress;
            assert!(explained.is_ready || !explained.reasons.is_empty(), "{id} is kept by nothing");
            assert!(!(runs && explained.is_ready), "{id} runs and is ready");
        }
        let mut held = BTreeSet::new();
        for at in 0..4 {
            let agent = self.bench.agent(Self::agent(at).as_str());
            let Some(id) = agent.hook else { continue };
            let bead = self.bench.bead(&id);
            assert_eq!(bead.assignee, Some(agent.id.to_string()), "{id} and {}", agent.name);
            let status = if bead.is_hooked() { BeadStatus::Open } else { BeadStatus::InProgress };
            assert_eq!(bead.status, status, "{id} on the hook of {}", agent.name);
            assert!(held.insert(id.clone()), "{id} is on two hooks");
        }
    }

    /// Those that were slung and do not run, each with what keeps it.
    fn waiting(&mut self) -> Vec<(BeadId, Vec<ReasonKind>)> {
        let mut waiting = Vec::new();
        for id in self.beads.clone() {
            let row = self.bench.bead(&id);
            if row.slung && row.status == BeadStatus::Open {
                waiting.push((id.clone(), self.bench.holds(&id)));
            }
        }
        waiting
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_slung_bead_is_started_by_the_next_look_or_says_what_keeps_it(steps in steps(), every in 1..4_usize) {
        let mut yard = Yard::new();
        for (nth, step) in steps.into_iter().enumerate() {
            yard.apply(step);
            if nth % every != 0 {
                continue;
            }
            let (waiting, planned) = (yard.waiting(), yard.bench.planned());
            yard.bench.tick();
            for (id, holds) in waiting {
                let runs = yard.bench.bead(&id).status == BeadStatus::InProgress;
                prop_assert_eq!(runs, holds.is_empty(), "{} is kept by {:?}", id, holds);
                prop_assert_eq!(runs, planned.iter().any(|start| start.bead == id), "{} and the plan", id);
            }
            yard.check();
        }
    }
}
