//! Who goes first, and that nobody is starved.

use std::time::Duration;

use serde_json::json;

use super::super::tests::{Bench, oid, rig};
use super::{HOUR, calm, name, other, settings};
use crate::work::graph::ReasonKind;
use crate::work::pause::{self, ParkBead};
use crate::work::{BeadPatch, BeadRef, NewSettings, Patch, RegisterAgent, SlingConvoy, Task, agents, beads, convoys};

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
fn a_head_that_is_deferred_or_parked_holds_up_no_sibling_and_wakes_in_time() {
    let mut bench = Bench::new(2, calm());
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
    assert_eq!(bench.running_of(std::slice::from_ref(&sibling)), 1);
    assert_eq!(looked.next_wake, Some(until));
    assert_eq!(bench.holds(&deferred[0]), [ReasonKind::Deferred]);
    assert_eq!(bench.holds(&parked), [ReasonKind::Parked]);
    bench.now = until;
    bench.tick();
    assert_eq!(bench.running_of(&deferred), 1);
    bench.run(|txn| pause::unpark(txn, &BeadRef { id: parked.clone() })).unwrap();
    assert_eq!(bench.holds(&parked), [ReasonKind::NoIdleAgent]);
}
