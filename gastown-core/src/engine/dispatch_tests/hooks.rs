//! What is on an agent's hook.

use serde_json::json;

use super::super::tests::{Bench, rig};
use super::{name, settings};
use crate::model::{AgentState, BeadId, BeadStatus, DependencyKind, Resolution};
use crate::work::graph::{self, ReasonKind};
use crate::work::pause::{self, PauseAgent};
use crate::work::sling::{self, Sling};
use crate::work::{BeadPatch, CloseBead, HookBead, Link, NewBead, NewSettings, Patch, agents, beads, hook};

/// A bead of the rig that is on the hook of an agent.
fn hooked(bench: &mut Bench, agent: &str, priority: u32) -> BeadId {
    let new = NewBead { priority, ..NewBead::titled("on a hook").in_rig(rig()) };
    let id = bench.run(|txn| beads::create(txn, &new)).unwrap().id;
    let input = HookBead::new(name(agent), id.clone());
    let agent = bench.run(|txn| hook::hook(txn, &input)).unwrap();
    assert_eq!((agent.hook.as_ref(), agent.session), (Some(&id), None));
    id
}

#[test]
fn hooking_is_not_starting_and_the_next_look_runs_what_is_on_a_hook() {
    let mut bench = Bench::new(2, NewSettings::new());
    let id = hooked(&mut bench, "toast1", 4);
    let row = bench.bead(&id);
    assert_eq!((row.status, row.epoch, bench.agent("toast1").state), (BeadStatus::Open, 0, AgentState::Hooked));
    assert_eq!(bench.events("bead.hooked").len(), 1);
    let again = HookBead::new(name("toast1"), id.clone());
    bench.run(|txn| hook::hook(txn, &again)).unwrap();
    assert_eq!(bench.events("bead.hooked").len(), 1, "it is there already");
    assert_eq!(bench.planned().iter().map(|start| start.agent.as_str()).collect::<Vec<_>>(), ["toast1"]);
    bench.tick();
    assert_eq!((bench.bead(&id).status, bench.bead(&id).epoch), (BeadStatus::InProgress, 1));
    assert_eq!(bench.agent("toast1").hook, Some(id.clone()));
    // A failed attempt is run again by the same agent.
    bench.configure(None, &[("failures.backoff_ms", json!([0]))]);
    bench.fail(&id);
    bench.tick();
    assert_eq!(bench.agent("toast1").hook, Some(id));
}

#[test]
fn what_is_on_a_hook_is_nobody_elses_and_its_agent_gets_nothing_else() {
    let mut bench = Bench::new(2, NewSettings::new());
    let busy = bench.waiting(rig(), 0);
    let to = Sling { to: Some(name("toast0")), ..busy.clone().into() };
    bench.run(|txn| sling::sling(txn, &to)).unwrap();
    assert_eq!(bench.running_of(&[busy]), 1);
    let pause = PauseAgent { name: name("toast1"), reason: "a leak".into(), until: None };
    bench.run(|txn| pause::pause_agent(txn, &pause)).unwrap();
    let id = hooked(&mut bench, "toast1", 4);
    // Others are more urgent, and wait for the same agent.
    let theirs = bench.issue("more urgent");
    bench.run(|txn| txn.put_bead(crate::model::BeadRow { priority: 0, ..txn.bead(&theirs)? })).unwrap();
    let to = Sling { to: Some(name("toast1")), ..theirs.clone().into() };
    bench.run(|txn| sling::sling(txn, &to)).unwrap();
    let anybodys = bench.waiting(rig(), 0);
    bench.tick();
    assert_eq!(bench.holds(&id), [ReasonKind::AgentPaused]);
    assert_eq!(bench.holds(&theirs), [ReasonKind::AgentPaused]);
    assert_eq!(bench.holds(&anybodys), [ReasonKind::NoIdleAgent]);
    bench.run(|txn| pause::resume_agent(txn, &name("toast1").into())).unwrap();
    assert_eq!(bench.agent("toast1").state, AgentState::Hooked);
    let reason = bench.explain(&theirs).reasons.into_iter().find(|reason| reason.reason == ReasonKind::AgentBusy);
    assert_eq!(reason.unwrap().other, Some(id.clone()), "it says with what");
    bench.tick();
    assert_eq!(bench.running_of(&[id, theirs, anybodys]), 1);
    assert_eq!(bench.agent("toast1").state, AgentState::Hooked);
}

#[test]
fn a_hook_takes_no_room_until_its_session_begins() {
    let mut bench = Bench::new(2, settings(&[("sessions.max", json!(1))]));
    let ids = [hooked(&mut bench, "toast0", 2), hooked(&mut bench, "toast1", 2)];
    bench.tick();
    assert_eq!(bench.running_of(&ids), 1);
    let waits = if bench.running_of(&ids[..1]) == 1 { &ids[1] } else { &ids[0] };
    assert_eq!(bench.holds(waits), [ReasonKind::RigLimit]);
}

#[test]
fn what_need_not_be_run_any_more_leaves_the_hook() {
    for way in ["unhook", "close", "sling", "retire", "skip"] {
        let mut bench = Bench::new(2, NewSettings::new());
        let id = hooked(&mut bench, "toast0", 2);
        match way {
            "unhook" => {
                bench.run(|txn| hook::unhook(txn, &name("toast0").into())).unwrap();
                assert_eq!((bench.bead(&id).slung, bench.bead(&id).assignee), (false, None));
                bench.run(|txn| hook::unhook(txn, &name("toast0").into())).unwrap();
                assert_eq!(bench.events("bead.unhooked").len(), 1, "there is nothing to take off any more");
            }
            "close" => drop(bench.run(|txn| beads::close(txn, &CloseBead::from(id.clone()))).unwrap()),
            "sling" => {
                let to = Sling { to: Some(name("toast1")), ..id.clone().into() };
                bench.run(|txn| sling::sling(txn, &to)).unwrap();
                assert_eq!(bench.agent("toast1").hook, Some(id.clone()));
            }
            "retire" => {
                bench.run(|txn| agents::retire(txn, &name("toast0").into())).unwrap();
                assert_eq!(bench.holds(&id), [ReasonKind::AgentRetired]);
            }
            _ => {
                let on = bench.issue("may fail");
                let edge = Link { kind: DependencyKind::ConditionalBlocks, ..Link::blocks(id.clone(), on.clone()) };
                bench.run(|txn| graph::link(txn, &edge)).unwrap();
                bench.tick();
                assert_eq!(bench.running_of(std::slice::from_ref(&id)), 0, "it is blocked");
                bench.run(|txn| beads::close(txn, &CloseBead::from(on))).unwrap();
                assert_eq!(bench.bead(&id).resolution, Some(Resolution::Skipped));
            }
        }
        assert_eq!(bench.agent("toast0").hook, None, "{way}");
        if way != "retire" {
            let next = hooked(&mut bench, "toast0", 2);
            bench.tick();
            assert_eq!(bench.running_of(&[next]), 1, "after {way} the agent takes the next");
        }
    }
}

#[test]
fn what_does_not_fit_on_a_hook_is_refused_and_changes_nothing() {
    let mut bench = Bench::new(3, NewSettings::new());
    bench.dock(1);
    let id = hooked(&mut bench, "toast0", 2);
    let other = bench.issue("another");
    let done = bench.issue("done");
    bench.run(|txn| beads::close(txn, &CloseBead::from(done.clone()))).unwrap();
    bench.run(|txn| agents::retire(txn, &name("toast2").into())).unwrap();
    let seen = bench.ask(|view| view.whole_town().unwrap().head().unwrap().seq);
    for (agent, bead, code) in [
        ("toast0", &other, "agent_busy"),
        ("toast1", &id, "bead_hooked"),
        ("toast1", &done, "bead_not_open"),
        ("toast2", &other, "agent_retired"),
        ("nux0", &other, "agent_unfit"),
        ("nobody", &other, "agent_missing"),
    ] {
        let input = HookBead::new(name(agent), bead.clone());
        assert_eq!(bench.run(|txn| hook::hook(txn, &input)).unwrap_err().code(), code);
    }
    let patch = BeadPatch { assignee: Patch::Set("bob".to_owned()), ..BeadPatch::of(id.clone()) };
    assert_eq!(bench.run(|txn| beads::update(txn, &patch)).unwrap_err().code(), "bead_hooked");
    assert_eq!(bench.ask(|view| view.whole_town().unwrap().head().unwrap().seq), seen);
    bench.tick();
    let error = bench.run(|txn| hook::unhook(txn, &name("toast0").into())).unwrap_err();
    assert_eq!((error.code(), error.fact("session")), ("bead_in_session", Some(format!("s-{id}-1").as_str())));
}
