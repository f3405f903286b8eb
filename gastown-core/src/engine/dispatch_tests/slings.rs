//! Slings of many, to an agent, to a role.

use super::super::tests::{Bench, rig};
use super::name;
use crate::model::{BeadId, BeadStatus, Role};
use crate::work::graph::ReasonKind;
use crate::work::sling::{self, Sling, SlingMany};
use crate::work::{NewSettings, RegisterAgent, agents};

#[test]
fn many_are_slung_together_or_none_and_to_a_role() {
    let mut bench = Bench::new(2, NewSettings::new());
    let ids: Vec<BeadId> = (0..3).map(|n| bench.issue(&format!("task {n}"))).collect();
    let mut slings: Vec<Sling> = ids.iter().cloned().map(Sling::from).collect();
    slings.push(BeadId::new("ha-none").unwrap().into());
    let many = SlingMany { slings: slings.clone() };
    let before = bench.ask(|view| view.whole_town().unwrap().head().unwrap().seq);
    assert_eq!(bench.run(|txn| sling::sling_many(txn, &many)).unwrap_err().code(), "bead_missing");
    assert_eq!(bench.ask(|view| view.whole_town().unwrap().head().unwrap().seq), before);
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
