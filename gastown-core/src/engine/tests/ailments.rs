//! What a hand in the tables leaves between rows is found and mended; a sound town has nothing to mend.

use super::{Bench, oid, quick};
use crate::model::{AgentRow, AgentState, BeadStatus, Key, SessionExit, SessionState};
use crate::work::ailments::{self, Ailment, AilmentKind};
use crate::work::effects::Done;

fn found(bench: &mut Bench) -> Vec<Ailment> {
    bench.run(|txn| ailments::find(txn.view())).unwrap()
}

fn kinds(bench: &mut Bench) -> Vec<AilmentKind> {
    found(bench).into_iter().map(|ailment| ailment.kind).collect()
}

fn heal(bench: &mut Bench) {
    for ailment in found(bench) {
        assert!(bench.run(|txn| ailments::heal(txn, &ailment)).unwrap(), "{ailment:?}");
        assert!(!bench.run(|txn| ailments::heal(txn, &ailment)).unwrap(), "it is mended once");
    }
}

#[test]
fn a_town_at_work_has_nothing_to_be_mended_at_any_step() {
    let mut bench = Bench::new(1, quick());
    let bead = bench.issue("lay the keel");
    let (session, epoch) = bench.running(&bead);
    assert_eq!(found(&mut bench), []);
    let land = bench.landing(&session, epoch, oid(7));
    assert_eq!(found(&mut bench), []);
    bench.done(&land, Done::Plainly);
    assert_eq!(found(&mut bench), []);
}

#[test]
fn a_bead_whose_session_is_gone_and_the_hook_that_holds_it_are_freed() {
    let mut bench = Bench::new(1, quick());
    let bead = bench.issue("lay the keel");
    let (session, _) = bench.running(&bead);
    let agent = bench.session(&session).agent;
    bench.run(|txn| txn.delete(&Key::session(&session))).unwrap();
    assert_eq!(kinds(&mut bench), [AilmentKind::HookOrphaned, AilmentKind::BeadUnheld]);
    heal(&mut bench);
    let row = bench.bead(&bead);
    assert_eq!((row.status, row.slung, row.failures), (BeadStatus::Open, true, 0));
    let agent: AgentRow = bench.run(|txn| Ok(txn.find(&Key::agent(&agent))?.unwrap())).unwrap();
    assert_eq!((agent.state, agent.hook), (AgentState::Idle, None));
    assert_eq!(found(&mut bench), []);
    bench.one("start");
    assert_eq!(bench.bead(&bead).epoch, 2, "it goes on");
}

#[test]
fn a_session_of_another_epoch_is_stopped_and_one_that_nobody_looks_at_is_looked_at() {
    let mut bench = Bench::new(1, quick());
    let bead = bench.issue("lay the keel");
    let (session, _) = bench.running(&bead);
    let mut row = bench.session(&session);
    row.wake_at = None;
    bench.run(|txn| txn.put_volatile(row)).unwrap();
    assert_eq!(kinds(&mut bench), [AilmentKind::SessionUnwatched]);
    heal(&mut bench);
    assert_eq!(bench.session(&session).wake_at, Some(bench.now));

    let mut row = bench.bead(&bead);
    row.epoch += 1;
    bench.run(|txn| txn.put_bead(row)).unwrap();
    assert_eq!(kinds(&mut bench), [AilmentKind::SessionOrphaned, AilmentKind::BeadUnheld]);
    heal(&mut bench);
    let row = bench.session(&session);
    assert_eq!((row.state, row.ending), (SessionState::Finishing, Some(SessionExit::Superseded)));
    assert_eq!(bench.bead(&bead).status, BeadStatus::Open);
    assert_eq!(bench.events("doctor.healed").len(), 3);
}

#[test]
fn a_bead_in_review_without_a_merge_request_waits_for_somebody() {
    let mut bench = Bench::new(1, quick());
    let bead = bench.issue("lay the keel");
    let (session, epoch) = bench.running(&bead);
    bench.end(&session, epoch, SessionExit::Succeeded, Some(oid(7)));
    let review = bench.review_of(&bead).id;
    bench.run(|txn| txn.delete(&Key::merge_request(&review))).unwrap();
    assert_eq!(kinds(&mut bench), [AilmentKind::ReviewMissing]);
    heal(&mut bench);
    let row = bench.bead(&bead);
    assert_eq!(row.status, BeadStatus::Open);
    assert!(row.parked_reason.unwrap().contains("no merge request"));
    let gone = Ailment { kind: AilmentKind::SessionOrphaned, subject: "s-none".into(), problem: "none".into() };
    assert!(!bench.run(|txn| ailments::heal(txn, &gone)).unwrap(), "what is not found is left alone");
}
