//! What is handed out, to whom, in which order, and what is said of the rest.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::tests::{Bench, oid, rig};
use super::tick;
use crate::model::{
    AgentName, AgentRow, AgentState, BeadId, BeadStatus, RigName, Role, Scope, SessionExit, SessionId, TownId,
};
use crate::work::effects::Done;
use crate::work::graph::{self, ReasonKind};
use crate::work::pause::{self, ParkBead, PauseAgent, PauseRig, PauseTown};
use crate::work::sling::{self, Sling, SlingMany};
use crate::work::view::View;
use crate::work::{
    AddRig, AgentHistoryOf, AgentRef, All, BeadPatch, BeadRef, Configure, Explanation, Link, NewBead, NewSettings,
    Patch, PlannedStart, RegisterAgent, RigRef, SlingConvoy, Task, agents, beads, convoys, pool, rigs, schedule,
};

const HOUR: Duration = Duration::from_secs(3_600);

fn name(text: &str) -> AgentName {
    AgentName::new(text).unwrap()
}

fn settings(values: &[(&str, Json)]) -> NewSettings {
    values.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

fn other() -> RigName {
    RigName::new("dock").unwrap()
}

impl Bench {
    /// A second rig with so many polecats.
    fn dock(&mut self, agents: usize) {
        let add = AddRig::new(other(), "/dock.git");
        self.run(|txn| rigs::add(txn, &add)).unwrap();
        for n in 0..agents {
            let agent = RegisterAgent::polecat(name(&format!("nux{n}")), other());
            self.run(|txn| agents::register(txn, &agent)).unwrap();
        }
    }

    fn configure(&mut self, rig: Option<RigName>, values: &[(&str, Json)]) {
        let input = Configure { rig, settings: settings(values) };
        self.run(|txn| rigs::configure(txn, &input)).unwrap();
    }

    /// Makes a bead and slings it without looking at whose turn it is.
    fn waiting(&mut self, rig: RigName, priority: u32) -> BeadId {
        let new = NewBead { priority, ..NewBead::titled("waits").in_rig(rig) };
        let id = self.run(|txn| beads::create(txn, &new)).unwrap().id;
        let now = self.now;
        self.run(|txn| {
            let row = txn.bead(&id)?;
            txn.put_bead(crate::model::BeadRow { slung: true, slung_at: Some(now), ..row })
        })
        .unwrap();
        self.now = self.now.after(Duration::from_micros(1));
        id
    }

    fn tick(&mut self) -> super::Tick {
        self.run(tick).unwrap()
    }

    /// Looks until nothing is left to be begun.
    fn settle(&mut self) -> super::Tick {
        for issued in self.look() {
            self.done(
                &issued,
                if issued.order.kind() == "start" { Done::Started { base: oid(1) } } else { Done::Plainly },
            );
        }
        self.tick()
    }

    fn running_of(&mut self, ids: &[BeadId]) -> usize {
        ids.iter().filter(|id| self.bead(id).status == BeadStatus::InProgress).count()
    }

    fn planned(&mut self) -> Vec<PlannedStart> {
        self.ask(|view| schedule::next(view, &All {}).unwrap().starts)
    }

    fn explain(&mut self, id: &BeadId) -> Explanation {
        let input = BeadRef { id: id.clone() };
        self.ask(|view| graph::explain(view, &input).unwrap())
    }

    /// What keeps a slung bead, but that it was slung.
    fn holds(&mut self, id: &BeadId) -> Vec<ReasonKind> {
        let reasons = self.explain(id).reasons.into_iter().map(|reason| reason.reason);
        reasons.filter(|reason| *reason != ReasonKind::Slung).collect()
    }

    fn ask<O>(&mut self, question: impl FnOnce(View<'_>) -> O) -> O {
        let reader = self.connection.read(&TownId::new("town").unwrap()).unwrap();
        question(View::new(&*reader, &Scope::Operator, self.now))
    }

    /// Ends the session of a bead that is worked on.
    fn fail(&mut self, id: &BeadId) {
        let epoch = self.bead(id).epoch;
        self.end(&SessionId::new(format!("s-{id}-{epoch}")).unwrap(), epoch, SessionExit::Failed, None);
    }

    fn agent(&mut self, agent: &str) -> AgentRow {
        let agent = name(agent);
        self.run(|txn| agents::by_name(txn.view(), &agent)).unwrap()
    }
}

#[test]
fn a_flood_in_one_rig_does_not_starve_another() {
    let mut bench = Bench::new(8, NewSettings::new());
    bench.dock(8);
    bench.configure(None, &[("sessions.max", json!(4))]);
    let flood: Vec<_> = (0..50).map(|_| bench.waiting(rig(), 1)).collect();
    let few: Vec<_> = (0..3).map(|_| bench.waiting(other(), 4)).collect();
    bench.tick();
    assert_eq!((bench.running_of(&flood), bench.running_of(&few)), (2, 2));
    bench.fail(&few[0]);
    bench.tick();
    assert_eq!((bench.running_of(&flood), bench.running_of(&few)), (2, 2), "the third takes the place that is free");
}

#[test]
fn a_flood_in_one_convoy_does_not_starve_another() {
    let mut bench = Bench::new(4, NewSettings::new());
    let tasks = |count| (0..count).map(|n| Task::new(format!("task {n}"), [])).collect::<Vec<_>>();
    let mut members = Vec::new();
    for count in [60, 2] {
        let input = SlingConvoy::new("a ship", rig(), tasks(count));
        let convoy = bench.run(|txn| convoys::sling(txn, &input)).unwrap();
        members.push(convoy.members.clone());
        let head = oid(1);
        bench.run(|txn| convoys::branched(txn, &convoy.id, &head)).unwrap();
    }
    bench.tick();
    assert_eq!((bench.running_of(&members[0]), bench.running_of(&members[1])), (2, 2));
}

#[test]
fn a_critical_bead_goes_before_all_shares() {
    let mut bench = Bench::new(3, settings(&[("sessions.max", json!(2))]));
    bench.dock(3);
    bench.configure(None, &[("sessions.max", json!(2))]);
    let calm = bench.waiting(rig(), 1);
    bench.tick();
    let critical = bench.waiting(rig(), 0);
    let elsewhere = bench.waiting(other(), 1);
    bench.tick();
    assert_eq!(bench.running_of(&[calm, critical]), 2);
    assert_eq!(bench.holds(&elsewhere), [ReasonKind::TownLimit]);
}

#[test]
fn waiting_makes_a_bead_more_urgent_unless_the_setting_says_that_it_never_does() {
    for (ageing, first) in [(json!(3_600_000), 0), (json!(0), 1)] {
        let mut bench = Bench::new(0, settings(&[("dispatch.ageing_ms", ageing)]));
        let old = bench.waiting(rig(), 3);
        bench.now = bench.now.after(2 * HOUR + Duration::from_secs(1));
        let new = bench.waiting(rig(), 1);
        let agent = RegisterAgent::polecat(name("toast"), rig());
        bench.run(|txn| agents::register(txn, &agent)).unwrap();
        bench.tick();
        let ids = [old, new];
        assert_eq!(bench.running_of(&ids[first..=first]), 1);
        assert_eq!(bench.holds(&ids[1 - first]), [ReasonKind::NoIdleAgent]);
    }
}

#[test]
fn of_equal_urgency_the_one_that_waits_longest_goes_first() {
    let mut bench = Bench::new(0, NewSettings::new());
    let ids: Vec<_> = (0..40).map(|_| bench.waiting(rig(), 2)).collect();
    for n in 0..3 {
        let agent = RegisterAgent::polecat(name(&format!("a{n}")), rig());
        bench.run(|txn| agents::register(txn, &agent)).unwrap();
    }
    bench.tick();
    assert_eq!((bench.running_of(&ids[..3]), bench.running_of(&ids)), (3, 3));
}

#[test]
fn every_limit_has_an_effect_and_is_named() {
    let limits = [
        (None, "sessions.max", json!(1), ReasonKind::TownLimit),
        (Some(rig()), "sessions.max", json!(1), ReasonKind::RigLimit),
        (None, "sessions.role_max", json!({ "polecat": 1 }), ReasonKind::RoleLimit),
        (None, "sessions.preset_max", json!({ "claude": 1 }), ReasonKind::PresetLimit),
    ];
    for (of, setting, value, kind) in limits {
        let mut bench = Bench::new(4, settings(&[("agent.preset", json!("claude"))]));
        let free: Vec<_> = (0..2).map(|_| bench.waiting(rig(), 2)).collect();
        bench.tick();
        assert_eq!(bench.running_of(&free), 2, "without {setting} both run");
        let mut bench = Bench::new(4, settings(&[("agent.preset", json!("claude"))]));
        if of.is_some() {
            bench.configure(None, &[("sessions.max", json!(10))]);
        }
        bench.configure(of, &[(setting, value)]);
        let ids: Vec<_> = (0..2).map(|_| bench.waiting(rig(), 2)).collect();
        bench.tick();
        assert_eq!(bench.running_of(&ids), 1, "{setting}");
        let reason = bench.explain(&ids[1]).reasons.into_iter().find(|reason| reason.reason == kind).unwrap();
        assert_eq!((reason.running, reason.limit), (Some(1), Some(1)), "{setting}");
        assert_eq!(bench.holds(&ids[1])[0], kind);
        bench.fail(&ids[0]);
        bench.tick();
        assert_eq!(bench.running_of(&ids), 1, "whoever waits takes the place");
    }
}

#[test]
fn a_limit_of_one_program_is_shared_by_the_rigs_that_run_it() {
    let mut bench = Bench::new(3, settings(&[("agent.preset", json!("claude"))]));
    bench.dock(3);
    bench.configure(Some(other()), &[("agent.preset", json!("claude"))]);
    bench.configure(None, &[("sessions.preset_max", json!({ "claude": 2, "codex": 1 }))]);
    let ids: Vec<_> = [rig(), rig(), other(), other()].map(|rig| bench.waiting(rig, 2)).into();
    bench.tick();
    assert_eq!((bench.running_of(&ids[..2]), bench.running_of(&ids[2..])), (1, 1));
}

#[test]
fn a_head_that_is_deferred_or_parked_holds_up_no_sibling_and_wakes_in_time() {
    let mut bench = Bench::new(2, NewSettings::new());
    let until = bench.now.after(HOUR);
    let deferred: Vec<_> = (0..40).map(|_| bench.waiting(rig(), 0)).collect();
    for id in &deferred {
        let patch = BeadPatch { defer_until: Patch::Set(until), ..BeadPatch::of(id.clone()) };
        bench.run(|txn| beads::update(txn, &patch)).unwrap();
    }
    let parked = bench.waiting(rig(), 0);
    let input = ParkBead { id: parked.clone(), reason: "no tide".into(), until: None, expected_version: None };
    bench.run(|txn| pause::park(txn, &input)).unwrap();
    let sibling = bench.waiting(rig(), 4);
    let looked = bench.settle();
    assert_eq!(bench.running_of(&[sibling]), 1);
    assert_eq!(looked.next_wake, Some(until));
    assert_eq!(bench.holds(&deferred[0]), [ReasonKind::Deferred]);
    assert_eq!(bench.holds(&parked), [ReasonKind::Parked]);
    bench.now = until;
    bench.tick();
    assert_eq!(bench.running_of(&deferred), 1);
    bench.run(|txn| pause::unpark(txn, &BeadRef { id: parked.clone() })).unwrap();
    assert_eq!(bench.holds(&parked), [ReasonKind::NoIdleAgent]);
}

#[test]
fn pauses_hold_what_is_new_and_nothing_that_runs_until_their_time() {
    for of in ["town", "rig", "agent"] {
        let mut bench = Bench::new(2, NewSettings::new());
        let before = bench.waiting(rig(), 2);
        bench.tick();
        let until = bench.now.after(HOUR);
        let reason = || "a storm".to_owned();
        let waiting = bench.waiting(rig(), 2);
        let kind = match of {
            "town" => {
                let input = PauseTown { reason: reason(), until: Some(until) };
                bench.run(|txn| pause::pause_town(txn, &input)).unwrap();
                ReasonKind::TownPaused
            }
            "rig" => {
                let input = PauseRig { name: rig(), reason: reason(), until: Some(until) };
                bench.run(|txn| pause::pause_rig(txn, &input)).unwrap();
                ReasonKind::RigPaused
            }
            _ => {
                let idle = if bench.agent("toast0").hook.is_none() { "toast0" } else { "toast1" };
                let sling = Sling { to: Some(name(idle)), ..waiting.clone().into() };
                let input = PauseAgent { name: name(idle), reason: reason(), until: Some(until) };
                bench.run(|txn| pause::pause_agent(txn, &input)).unwrap();
                bench.run(|txn| sling::sling(txn, &sling)).unwrap();
                ReasonKind::AgentPaused
            }
        };
        let looked = bench.settle();
        assert_eq!(looked.next_wake, Some(until), "{of}");
        assert_eq!(bench.running_of(&[before.clone(), waiting.clone()]), 1, "{of}");
        let held = bench.explain(&waiting).reasons.into_iter().find(|reason| reason.reason == kind).unwrap();
        assert_eq!((held.text.as_deref(), held.until), (Some("a storm"), Some(until)), "{of}");
        assert!(bench.planned().is_empty(), "{of}");
        bench.fail(&before);
        bench.now = until;
        assert_eq!(bench.planned().len(), 2, "a pause that is over holds nothing, looked at or not");
        bench.tick();
        assert_eq!(bench.running_of(&[before, waiting]), 2, "{of}");
        assert_eq!(bench.events(&format!("{of}.paused")).len(), 1);
        assert_eq!(bench.events(&format!("{of}.resumed")).len(), 1);
    }
}

#[test]
fn a_pause_is_ended_by_hand_and_an_agent_at_work_stays_at_work() {
    let mut bench = Bench::new(1, NewSettings::new());
    let bead = bench.waiting(rig(), 2);
    bench.tick();
    let toast = AgentRef { name: name("toast0") };
    let input = PauseAgent { name: name("toast0"), reason: "a leak".into(), until: None };
    assert_eq!(bench.run(|txn| pause::pause_agent(txn, &input)).unwrap().hook, Some(bead.clone()));
    assert_eq!(bench.run(|txn| pause::resume_agent(txn, &toast)).unwrap().state, AgentState::Hooked);
    bench.run(|txn| pause::pause_agent(txn, &input)).unwrap();
    bench.fail(&bead);
    assert_eq!(bench.agent("toast0").state, AgentState::Paused, "the end of a session ends no pause");
    let input = PauseRig { name: rig(), reason: "ice".into(), until: None };
    bench.run(|txn| pause::pause_rig(txn, &input)).unwrap();
    let resumed = bench.run(|txn| pause::resume_rig(txn, &RigRef { name: rig() })).unwrap();
    assert_eq!((resumed.paused_reason, resumed.paused_until), (None, None));
    let past = PauseTown { reason: "late".into(), until: Some(bench.now) };
    assert_eq!(bench.run(|txn| pause::pause_town(txn, &past)).unwrap_err().code(), "until_passed");
}

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

#[test]
fn many_are_slung_together_or_none_and_to_a_role() {
    let mut bench = Bench::new(2, NewSettings::new());
    let ids: Vec<BeadId> = (0..3).map(|n| bench.issue(&format!("task {n}"))).collect();
    let mut slings: Vec<Sling> = ids.iter().cloned().map(Sling::from).collect();
    slings.push(BeadId::new("ha-none").unwrap().into());
    let many = SlingMany { slings: slings.clone() };
    assert_eq!(bench.run(|txn| sling::sling_many(txn, &many)).unwrap_err().code(), "bead_missing");
    assert!(ids.iter().all(|id| !bench.bead(id).slung));
    slings[3] = slings[0].clone();
    let many = SlingMany { slings: slings.clone() };
    assert_eq!(bench.run(|txn| sling::sling_many(txn, &many)).unwrap_err().code(), "sling_count");
    slings.pop();
    slings[2].role = Some(Role::Witness);
    let many = SlingMany { slings };
    let slung = bench.run(|txn| sling::sling_many(txn, &many)).unwrap().beads;
    assert_eq!(
        slung.iter().map(|bead| bead.status).collect::<Vec<_>>(),
        [BeadStatus::InProgress, BeadStatus::InProgress, BeadStatus::Open]
    );
    assert_eq!(bench.holds(&ids[2]), [ReasonKind::NoIdleAgent]);
    let witness = RegisterAgent { role: Role::Witness, ..RegisterAgent::polecat(name("owl"), rig()) };
    bench.run(|txn| agents::register(txn, &witness)).unwrap();
    bench.tick();
    assert_eq!(bench.agent("owl").hook, Some(ids[2].clone()));
    let other = bench.issue("for nobody");
    let wrong = Sling { role: Some(Role::Crew), ..other.into() };
    assert_eq!(bench.run(|txn| sling::sling(txn, &wrong)).unwrap_err().code(), "role_unfit");
}

#[test]
fn polecats_are_made_on_demand_and_put_away_when_nothing_wants_them() {
    let mut bench = Bench::new(0, settings(&[("agents.pool_max", json!(2)), ("failures.max", json!(1))]));
    bench.configure(None, &[("agents.idle_ms", json!(86_400_000))]);
    let ids: Vec<_> = (0..3).map(|_| bench.waiting(rig(), 2)).collect();
    bench.tick();
    assert_eq!(bench.running_of(&ids), 2, "up to the limit");
    let held = bench.explain(&ids[2]).reasons.pop().unwrap();
    assert_eq!((held.reason, held.running, held.limit), (ReasonKind::NoIdleAgent, Some(2), Some(2)));
    let first = bench.agent("acorn");
    assert!(first.pooled);
    let stop = |bench: &mut Bench, at: usize| bench.fail(&ids[at]);
    stop(&mut bench, 0);
    stop(&mut bench, 1);
    bench.tick();
    stop(&mut bench, 2);
    let idle_since = bench.now;
    assert_eq!(bench.settle().next_wake, Some(idle_since.after(24 * HOUR)));
    bench.now = idle_since.after(24 * HOUR).before(Duration::from_micros(1));
    bench.tick();
    assert!(bench.events("agent.collected").is_empty());
    bench.now = idle_since.after(24 * HOUR);
    assert_eq!(bench.tick().next_wake, None);
    assert_eq!(bench.events("agent.collected").len(), 2);
    assert_eq!(bench.agent("acorn").state, AgentState::Collected);
    // The next that is wanted is an old one with its history, and one that was just made is not put away.
    let again = bench.waiting(rig(), 2);
    bench.tick();
    assert_eq!(bench.bead(&again).status, BeadStatus::InProgress);
    let everyone = bench.run(|txn| agents::list(txn.view(), &crate::work::AgentFilter::default())).unwrap().agents;
    assert_eq!(everyone.len(), 2, "nobody new was made");
    let woken = everyone.into_iter().find(|agent| agent.hook.is_some()).unwrap();
    let history = bench.run(|txn| agents::history(txn.view(), &AgentHistoryOf::from(woken.name.clone()))).unwrap();
    assert!(history.work.len() >= 2);
    assert_eq!(history.work[0].exit, Some(SessionExit::Failed));
    assert_eq!(history.work.last().unwrap().bead, again);
}

#[test]
fn a_registered_agent_is_never_put_away() {
    let mut bench = Bench::new(1, NewSettings::new());
    bench.now = bench.now.after(1_000 * HOUR);
    assert_eq!(bench.tick().next_wake, None);
    assert_eq!(bench.agent("toast0").state, AgentState::Idle);
}

#[test]
fn names_are_unique_over_a_thousand_random_steps() {
    let mut bench = Bench::new(0, NewSettings::new());
    let mut ids = crate::work::ids::Ids::from_seed(59);
    let (mut names, mut active) = (BTreeSet::new(), Vec::new());
    for _ in 0..1_000 {
        if !active.is_empty() && ids.next_u64() % 2 == 0 {
            let gone: AgentName = active.swap_remove(usize::try_from(ids.next_u64()).unwrap() % active.len());
            let retired = bench.run(|txn| agents::retire(txn, &gone.into())).unwrap();
            assert_eq!(retired.state, AgentState::Retired);
            continue;
        }
        let made = bench
            .run(|txn| {
                let name = pool::Names::of(txn.town_view()).free()?;
                pool::spawn(txn, &rig(), &name)
            })
            .unwrap();
        assert!(names.insert(made.name.clone()), "{} is given twice", made.name);
        active.push(made.name);
    }
    assert!(names.len() > 400);
}

#[test]
fn who_is_retired_gets_no_work_and_keeps_its_name() {
    let mut bench = Bench::new(1, NewSettings::new());
    let bead = bench.waiting(rig(), 2);
    bench.run(|txn| agents::retire(txn, &name("toast0").into())).unwrap();
    bench.tick();
    assert_eq!(bench.holds(&bead), [ReasonKind::NoIdleAgent]);
    let to = Sling { to: Some(name("toast0")), ..bead.into() };
    assert_eq!(bench.run(|txn| sling::sling(txn, &to)).unwrap_err().code(), "agent_retired");
    let again = RegisterAgent::polecat(name("toast0"), rig());
    assert_eq!(bench.run(|txn| agents::register(txn, &again)).unwrap_err().code(), "agent_exists");
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
        }
    }
}
