//! Agents that come and go.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;

use super::super::tests::{Bench, rig};
use super::{HOUR, name, settings};
use crate::model::{AgentName, AgentState, BeadStatus, Role, SessionExit};
use crate::work::graph::ReasonKind;
use crate::work::sling::{self, Sling};
use crate::work::{AgentFilter, AgentHistoryOf, NewSettings, RegisterAgent, agents, pool};

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
    let everyone = bench.run(|txn| agents::list(txn.view(), &AgentFilter::default())).unwrap().agents;
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
        if !active.is_empty() && ids.next_u64().is_multiple_of(2) {
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
fn a_name_that_somebody_chose_is_passed_over() {
    let mut bench = Bench::new(0, settings(&[("agents.pool_max", json!(3))]));
    for taken in ["acorn", "alder", "aspen"] {
        let agent = RegisterAgent { role: Role::Witness, ..RegisterAgent::polecat(name(taken), rig()) };
        bench.run(|txn| agents::register(txn, &agent)).unwrap();
    }
    let ids: Vec<_> = (0..3).map(|_| bench.waiting(rig(), 2)).collect();
    let planned: BTreeSet<_> = bench.planned().into_iter().map(|start| start.agent).collect();
    bench.tick();
    assert_eq!(bench.running_of(&ids), 3);
    let all = bench.run(|txn| agents::list(txn.view(), &AgentFilter::default())).unwrap().agents;
    let made: BTreeSet<_> = all.iter().filter(|agent| agent.pooled).map(|agent| agent.name.clone()).collect();
    assert_eq!(made, planned, "the plan names them before they are made");
    assert_eq!((made.len(), all.len()), (3, 6));
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
