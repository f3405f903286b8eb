//! Breakers: what opens them, whom they hold back, and how they close.

use std::time::Duration;

use serde_json::json;

use super::{Bench, oid, rig};
use crate::model::{
    AgentName, BeadId, BeadRow, BeadStatus, BreakerRow, BreakerState, Key, Order, Part, RigName, SessionExit,
    SessionState, Setback,
};
use crate::store::{Scan, index};
use crate::work::effects::{Done, Failed, Issued, Report};
use crate::work::graph::{self, ReasonKind};
use crate::work::liveness::{self, Seen, Sign};
use crate::work::sling;
use crate::work::view::text;
use crate::work::{AddRig, BeadRef, NewBead, NewSettings, RegisterAgent, SessionRef, agents, beads, rigs, sessions};

fn other() -> RigName {
    RigName::new("quay").unwrap()
}

fn settings() -> NewSettings {
    [
        ("failures.backoff_ms", json!([0])),
        ("outages.backoff_ms", json!([1_000])),
        ("effects.attempts_max", json!(1)),
        ("backoff.jitter_percent", json!(0)),
        ("breaker.failures", json!(3)),
        ("breaker.wait_ms", json!([60_000, 600_000])),
        ("breaker.probe_ms", json!(60_000)),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

/// A town of two rigs with so many agents each; the settings are the town's.
fn bench(agents: usize) -> Bench {
    let mut bench = Bench::new(agents, NewSettings::new());
    let add = AddRig { prefix: Some("qu".to_owned()), ..AddRig::new(other(), "/quay.git") };
    bench.run(move |txn| rigs::add(txn, &add)).unwrap();
    for n in 0..agents {
        let name = AgentName::new(format!("nux{n}")).unwrap();
        bench.run(move |txn| agents::register(txn, &RegisterAgent::polecat(name.clone(), other()))).unwrap();
    }
    bench.run(|txn| crate::work::settings::configure(txn, None, &settings())).unwrap();
    bench
}

fn slung(bench: &mut Bench, rig: RigName) -> BeadId {
    let new = NewBead::titled("work").in_rig(rig);
    let id = bench.run(|txn| beads::create(txn, &new)).unwrap().id;
    bench.run(|txn| sling::sling(txn, &id.clone().into())).unwrap();
    id
}

/// The starts that a look begins; whatever else is due is done.
fn starts(bench: &mut Bench) -> Vec<Issued> {
    let (starts, others): (Vec<_>, Vec<_>) =
        bench.look().into_iter().partition(|issued| issued.order.kind() == "start");
    for other in others {
        bench.done(&other, Done::Plainly);
    }
    starts
}

fn fail(bench: &mut Bench, start: &Issued, part: Part) {
    let failed = Failed { part, ..Failed::new(Setback::Transient, "the remote does not answer") };
    bench.report(start, &Report::Failed(failed));
}

fn breaker(bench: &mut Bench, subject: &str) -> BreakerRow {
    bench.run(|txn| Ok(txn.find(&Key::breaker(subject))?.unwrap())).unwrap()
}

fn escalations(bench: &mut Bench, status: BeadStatus) -> Vec<BeadRow> {
    let scan = Scan::new(&index::BEADS_BY_STATUS, vec![text("escalation"), text(status.as_str())], 0);
    bench.run(|txn| txn.all(scan)).unwrap()
}

/// Fails starts in the rig until its breaker opens.
fn opened(bench: &mut Bench) {
    for _ in 0..3 {
        bench.pass(1_000);
        let start = starts(bench).remove(0);
        fail(bench, &start, Part::Rig);
    }
    assert_eq!(breaker(bench, "rig/harbour").state, BreakerState::Open);
}

#[test]
fn failures_of_one_rig_in_a_row_hold_its_sessions_back_and_those_of_no_other() {
    let mut bench = bench(1);
    let here = slung(&mut bench, rig());
    opened(&mut bench);
    bench.pass(10_000);
    assert!(starts(&mut bench).is_empty(), "the rig is held");
    let explained = bench.run(|txn| graph::explain(txn.view(), &BeadRef { id: here.clone() })).unwrap();
    let held = explained.reasons.iter().find(|reason| reason.reason == ReasonKind::Breaker).unwrap();
    assert_eq!((held.by.as_deref(), held.text.as_deref()), (Some("rig/harbour"), Some("the remote does not answer")));
    assert_eq!(held.until, breaker(&mut bench, "rig/harbour").wake_at);
    let row = bench.bead(&here);
    assert_eq!(
        (row.status, row.outages, row.parked_reason),
        (BeadStatus::Open, 2, None),
        "the breaker answers for the last"
    );

    let there = slung(&mut bench, other());
    let start = starts(&mut bench).remove(0);
    assert!(matches!(&start.order, Order::Start { bead, .. } if *bead == there));
}

#[test]
fn a_failing_runtime_holds_the_sessions_of_every_rig_back() {
    let mut bench = bench(1);
    slung(&mut bench, rig());
    for _ in 0..3 {
        let start = starts(&mut bench).remove(0);
        fail(&mut bench, &start, Part::Runtime);
        bench.pass(1_000);
    }
    assert_eq!(breaker(&mut bench, "runtime").state, BreakerState::Open);
    slung(&mut bench, other());
    assert!(starts(&mut bench).is_empty());
    assert_eq!(escalations(&mut bench, BeadStatus::Open).len(), 1);
    bench.pass(3_600_000);
    assert_eq!(starts(&mut bench).len(), 1, "one session of all rigs finds out how the runtime is");
}

#[test]
fn a_half_open_breaker_lets_exactly_one_session_through() {
    let mut bench = bench(5);
    let beads: Vec<BeadId> = (0..5).map(|_| slung(&mut bench, rig())).collect();
    for start in starts(&mut bench) {
        fail(&mut bench, &start, Part::Rig);
    }
    assert_eq!(breaker(&mut bench, "rig/harbour").state, BreakerState::Open);
    bench.pass(59_999);
    assert!(starts(&mut bench).is_empty(), "the wait is not over");
    bench.pass(1);
    let mut probes = starts(&mut bench);
    assert_eq!(probes.len(), 1, "one of five finds out");
    for _ in 0..5 {
        bench.pass(60_000);
        assert!(starts(&mut bench).is_empty(), "while nobody knows what becomes of it");
    }
    let probe = probes.remove(0);
    bench.done(&probe, Done::Started { base: oid(1) });
    assert!(starts(&mut bench).is_empty(), "to start is not to live");
    let Order::Start { session, epoch, .. } = probe.order else { panic!("a start") };
    bench.pass(60_000);
    let seen = Seen { session, epoch, sign: Sign::Alive { bytes: 1 } };
    bench.run(|txn| liveness::seen(txn, &[seen])).unwrap();
    let row = breaker(&mut bench, "rig/harbour");
    assert_eq!((row.state, row.failures, row.openings, row.escalation), (BreakerState::Closed, 0, 0, None));
    assert_eq!(starts(&mut bench).len(), beads.len() - 1);
}

#[test]
fn a_probe_that_fails_opens_the_breaker_for_longer_and_one_bead_tells_of_all_of_it() {
    let mut bench = bench(1);
    slung(&mut bench, rig());
    opened(&mut bench);
    let told = escalations(&mut bench, BeadStatus::Open);
    assert_eq!(told.len(), 1);
    assert!(told[0].title.contains("harbour") && told[0].rig == Some(rig()));
    for wait in [60_000, 600_000, 600_000] {
        bench.pass(wait - 1);
        assert!(starts(&mut bench).is_empty(), "before {wait} ms are over");
        bench.pass(1);
        let probe = starts(&mut bench).remove(0);
        fail(&mut bench, &probe, Part::Rig);
        assert_eq!(escalations(&mut bench, BeadStatus::Open).len(), 1, "the same one");
    }
    bench.pass(600_000);
    let probe = starts(&mut bench).remove(0);
    bench.done(&probe, Done::Started { base: oid(1) });
    let Order::Start { session, epoch, .. } = probe.order else { panic!("a start") };
    bench.end(&session, epoch, SessionExit::Succeeded, Some(oid(7)));
    assert_eq!(breaker(&mut bench, "rig/harbour").state, BreakerState::Closed);
    assert!(escalations(&mut bench, BeadStatus::Open).is_empty());
    assert_eq!(escalations(&mut bench, BeadStatus::Closed).len(), 1);

    // It opens for the second time: that is another bead, and the waits begin anew.
    slung(&mut bench, rig());
    opened(&mut bench);
    assert_eq!(escalations(&mut bench, BeadStatus::Open).len(), 1);
    bench.pass(60_000);
    assert_eq!(starts(&mut bench).len(), 1);
}

#[test]
fn a_probe_that_says_nothing_leaves_it_to_another() {
    let mut bench = bench(2);
    slung(&mut bench, rig());
    slung(&mut bench, rig());
    for _ in 0..2 {
        for start in starts(&mut bench) {
            fail(&mut bench, &start, Part::Rig);
        }
        bench.pass(1_000);
    }
    bench.pass(60_000);
    let probe = starts(&mut bench).remove(0);
    bench.done(&probe, Done::Started { base: oid(1) });
    let Order::Start { session, epoch, .. } = probe.order else { panic!("a start") };
    let stop = SessionRef { id: session.clone() };
    assert_eq!(bench.run(|txn| sessions::stop(txn, &stop)).unwrap().state, SessionState::Finishing);
    bench.end(&session, epoch, SessionExit::Cancelled, None);
    let row = breaker(&mut bench, "rig/harbour");
    assert_eq!((row.state, row.probe), (BreakerState::HalfOpen, None));
    assert_eq!(starts(&mut bench).len(), 1, "the other bead's session finds out");
}

#[test]
fn fifty_healthy_beads_at_once_never_open_a_breaker() {
    let mut bench = bench(50);
    let beads: Vec<BeadId> = (0..50).map(|_| slung(&mut bench, rig())).collect();
    let running = starts(&mut bench);
    assert_eq!(running.len(), 50);
    for start in &running {
        bench.done(start, Done::Started { base: oid(1) });
    }
    for (nth, start) in running.iter().enumerate() {
        let Order::Start { session, epoch, .. } = &start.order else { panic!("a start") };
        // Whatever becomes of the work says nothing against the outside world.
        let exit = [SessionExit::Failed, SessionExit::Crashed, SessionExit::TimedOut][nth % 3];
        bench.end(session, *epoch, exit, None);
    }
    assert!(bench.run(|txn| txn.all::<BreakerRow>(Scan::new(&index::BREAKERS, vec![], 0))).unwrap().is_empty());
    assert_eq!(beads.len(), 50);
    bench.pass(600_000);
    assert_eq!(starts(&mut bench).len(), 50);
}

#[test]
fn failures_with_a_session_that_is_well_in_between_are_not_in_a_row() {
    let mut bench = bench(2);
    slung(&mut bench, rig());
    slung(&mut bench, rig());
    for nth in 0..4 {
        let mut begun = starts(&mut bench);
        let (fails, well) = (begun.remove(0), begun.remove(0));
        fail(&mut bench, &fails, Part::Rig);
        bench.pass(1);
        bench.done(&well, Done::Started { base: oid(1) });
        let Order::Start { session, epoch, .. } = well.order else { panic!("a start") };
        bench.end(&session, epoch, SessionExit::Failed, None);
        assert_eq!(breaker(&mut bench, "rig/harbour").failures, 0, "after round {nth}");
        bench.pass(600_000);
    }
    // One that began before the failure proves nothing about it.
    let mut begun = starts(&mut bench);
    let (fails, well) = (begun.remove(0), begun.remove(0));
    bench.done(&well, Done::Started { base: oid(1) });
    bench.pass(1);
    fail(&mut bench, &fails, Part::Rig);
    let Order::Start { session, epoch, .. } = well.order else { panic!("a start") };
    bench.end(&session, epoch, SessionExit::Crashed, None);
    assert_eq!(breaker(&mut bench, "rig/harbour").failures, 1);
}

#[test]
fn a_dead_runtime_for_three_days_costs_few_starts_and_everything_goes_on_afterwards() {
    let mut bench = bench(10);
    let beads: Vec<BeadId> = (0..30).map(|_| slung(&mut bench, rig())).collect();
    let until = bench.now.after(Duration::from_secs(72 * 3_600));
    let mut tries = 0;
    while bench.now < until {
        for start in starts(&mut bench) {
            tries += 1;
            fail(&mut bench, &start, Part::Runtime);
        }
        bench.pass(5 * 60_000);
    }
    // The first ten at once, then one probe each ten minutes.
    assert!(tries <= 10 + 72 * 6 + 2, "{tries} starts");
    assert_eq!(escalations(&mut bench, BeadStatus::Open).len(), 1);
    for bead in &beads {
        let row = bench.bead(bead);
        assert_eq!((row.status, row.failures, row.parked_reason.as_deref()), (BeadStatus::Open, 0, None));
    }
    // It is well again: nobody has to do anything.
    let mut merged = 0;
    for _ in 0..100 {
        for start in starts(&mut bench) {
            bench.done(&start, Done::Started { base: oid(1) });
            let Order::Start { session, epoch, .. } = start.order else { panic!("a start") };
            bench.end(&session, epoch, SessionExit::Succeeded, Some(oid(7)));
            merged += 1;
        }
        bench.pass(60_000);
    }
    assert_eq!(merged, 30, "every bead ran");
    assert!(escalations(&mut bench, BeadStatus::Open).is_empty());
}

#[test]
fn a_probe_that_a_rigs_own_caller_stops_before_it_began_leaves_it_to_another() {
    let mut bench = bench(2);
    slung(&mut bench, rig());
    for _ in 0..3 {
        bench.pass(1_000);
        let start = starts(&mut bench).remove(0);
        fail(&mut bench, &start, Part::Runtime);
    }
    bench.pass(60_000);
    let other = slung(&mut bench, rig());
    bench.run(super::tick).unwrap();
    let probe = breaker(&mut bench, "runtime").probe.unwrap();
    let scope = crate::model::Scope::Rig(rig());
    let ctx = crate::work::txn::Ctx::at(bench.now, 77);
    let mut raw = bench.connection.write(&crate::model::TownId::new("town").unwrap()).unwrap();
    let stop = SessionRef { id: probe };
    crate::work::command::change(&mut *raw, &scope, &ctx, "test", &stop, sessions::stop).unwrap();
    raw.commit().unwrap();
    let row = breaker(&mut bench, "runtime");
    assert_eq!((row.state, row.probe), (BreakerState::HalfOpen, None));
    let next = starts(&mut bench);
    assert_eq!(next.len(), 1);
    assert!(matches!(&next[0].order, Order::Start { bead, .. } if *bead == other));
}
