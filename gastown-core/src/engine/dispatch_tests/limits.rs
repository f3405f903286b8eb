//! How many sessions there may be at once.

use std::time::Duration;

use serde_json::json;

use super::super::tests::{Bench, oid, rig};
use super::{name, other, settings};
use crate::model::{BeadId, BeadStatus};
use crate::work::graph::ReasonKind;
use crate::work::sling::{self, Sling, SlingMany};
use crate::work::{HookBead, NewSettings, SlingConvoy, Task, convoys, hook};

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
fn no_way_to_begin_gets_past_a_limit() {
    let mut bench = Bench::new(6, settings(&[("sessions.max", json!(2)), ("failures.backoff_ms", json!([60_000]))]));
    let ids: Vec<BeadId> = (0..6).map(|n| bench.issue(&format!("task {n}"))).collect();
    let slings = SlingMany { slings: ids[..3].iter().cloned().map(Sling::from).collect() };
    bench.run(|txn| sling::sling_many(txn, &slings)).unwrap();
    bench.run(|txn| sling::sling(txn, &ids[3].clone().into())).unwrap();
    let named = Sling { to: Some(name("toast5")), ..ids[4].clone().into() };
    bench.run(|txn| sling::sling(txn, &named)).unwrap();
    let hook = HookBead::new(name("toast4"), ids[5].clone());
    bench.run(|txn| hook::hook(txn, &hook)).unwrap();
    let input = SlingConvoy::new("a ship", rig(), vec![Task::new("a task", [])]);
    let convoy = bench.run(|txn| convoys::sling(txn, &input)).unwrap();
    bench.run(|txn| convoys::branched(txn, &convoy.id, &oid(1))).unwrap();
    bench.tick();
    assert_eq!(bench.running_of(&ids), 2);
    // What failed waits, and takes its place again only where there is one.
    for _ in 0..10 {
        let runs: Vec<_> = ids.iter().filter(|id| bench.bead(id).status == BeadStatus::InProgress).cloned().collect();
        if let Some(first) = runs.first() {
            bench.fail(first);
        }
        bench.now = bench.now.after(Duration::from_secs(61));
        bench.tick();
        let all: Vec<_> = ids.iter().chain(&convoy.members).cloned().collect();
        assert_eq!(bench.running_of(&all), 2);
    }
}

#[test]
fn a_lower_limit_lets_what_runs_go_on_and_begins_nothing_until_there_is_room() {
    let mut bench = Bench::new(4, NewSettings::new());
    let ids: Vec<_> = (0..4).map(|_| bench.waiting(rig(), 2)).collect();
    bench.tick();
    assert_eq!(bench.running_of(&ids), 4);
    bench.configure(Some(rig()), &[("sessions.max", json!(2)), ("failures.backoff_ms", json!([0]))]);
    bench.tick();
    assert_eq!(bench.running_of(&ids), 4);
    let waits = bench.waiting(rig(), 0);
    for left in [3, 2] {
        bench.fail(&ids[left]);
        bench.tick();
        assert_eq!(bench.running_of(&ids), left);
    }
    let reason = bench.explain(&waits).reasons.into_iter().find(|reason| reason.reason == ReasonKind::RigLimit);
    assert_eq!(reason.map(|reason| (reason.running, reason.limit)), Some((Some(2), Some(2))));
    bench.fail(&ids[0]);
    bench.tick();
    assert_eq!((bench.running_of(&ids), bench.running_of(&[waits])), (1, 1));
}
