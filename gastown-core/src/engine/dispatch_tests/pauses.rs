//! What is paused, of the town down to one agent.

use super::super::tests::{Bench, rig};
use super::{HOUR, calm, name};
use crate::model::AgentState;
use crate::work::graph::ReasonKind;
use crate::work::pause::{self, PauseAgent, PauseRig, PauseTown};
use crate::work::sling::{self, Sling};
use crate::work::{AgentRef, NewSettings, RigRef};

#[test]
fn pauses_hold_what_is_new_and_nothing_that_runs_until_their_time() {
    for of in ["town", "rig", "agent"] {
        let mut bench = Bench::new(2, calm());
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
