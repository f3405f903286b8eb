//! A host that goes away: what runs is stopped after a grace and saved, and goes on under the next engine.

use serde_json::json;

use super::{Bench, oid, quick};
use crate::ErrorKind;
use crate::model::{
    BeadId, BeadKind, BeadRow, BeadStatus, EffectState, Oid, Order, SessionExit, SessionId, SessionState, Setback,
};
use crate::store::{Scan, index};
use crate::work::drain::{self, DrainTown};
use crate::work::effects::{Done, Failed, Issued, Report};
use crate::work::graph::{self, ReasonKind};
use crate::work::outcome::{self, Carried, Ended};
use crate::work::view::text;
use crate::work::{All, CloseBead, Configure, beads, orphans, pause, rigs, sling};

fn begin(bench: &mut Bench, grace_ms: u64) -> drain::Draining {
    let input = DrainTown { reason: "the machine is taken away".into(), grace_ms: Some(grace_ms) };
    bench.run(|txn| drain::drain(txn, &input)).unwrap()
}

fn kinds(issued: &[Issued]) -> Vec<&'static str> {
    issued.iter().map(|issued| issued.order.kind()).collect()
}

fn end(bench: &mut Bench, session: &SessionId, epoch: i64, exit: SessionExit, head: Option<Oid>, saved: Option<Oid>) {
    let ended = Ended { head, saved, ..Ended::of(exit, "by the test") };
    bench.run(|txn| outcome::end(txn, session, epoch, &ended)).unwrap();
}

fn carried(bench: &mut Bench, bead: &BeadId, before: i64) -> Option<Carried> {
    bench.run(|txn| outcome::carried(txn.view(), bead, before)).unwrap()
}

fn drained(bench: &mut Bench, session: &SessionId, epoch: i64, head: Option<Oid>, saved: Option<Oid>) {
    begin(bench, 0);
    let stop = bench.one("stop");
    bench.done(&stop, Done::Plainly);
    end(bench, session, epoch, SessionExit::Cancelled, head, saved);
}

#[test]
fn a_drain_tells_stops_and_saves_and_the_next_engine_goes_on() {
    let mut bench = Bench::new(3, quick());
    let running = bench.issue("lay the keel");
    let (session, epoch) = bench.running(&running);
    let waiting = bench.issue("raise the mast");
    bench.run(|txn| sling::sling(txn, &waiting.clone().into())).unwrap();
    // Its start was not begun yet.
    let draining = begin(&mut bench, 60_000);
    assert_eq!((draining.sessions, draining.saving), (1, 0));
    let row = bench.bead(&waiting);
    assert_eq!((row.status, row.slung, row.failures + row.outages), (BeadStatus::Open, true, 0));

    let issued = bench.look();
    assert_eq!(kinds(&issued), ["cleanup", "notice"], "the agent is told, and nothing is started");
    for one in &issued {
        bench.done(one, Done::Plainly);
    }
    let why = bench.run(|txn| graph::explain(txn.view(), &waiting.clone().into())).unwrap();
    assert!(why.reasons.iter().any(|reason| reason.reason == ReasonKind::Draining), "{why:?}");
    bench.pass(59_999);
    assert!(bench.look().is_empty(), "it may go on until then");
    bench.pass(1);
    let stop = bench.one("stop");
    assert_eq!(bench.session(&session).ending, Some(SessionExit::Drained));
    bench.done(&stop, Done::Plainly);
    // Its program took the hint and ended well: it is not done for that.
    end(&mut bench, &session, epoch, SessionExit::Succeeded, Some(oid(7)), Some(oid(8)));
    let row = bench.session(&session);
    assert_eq!((row.state, row.exit, row.saved), (SessionState::Ended, Some(SessionExit::Drained), Some(oid(8))));
    let row = bench.bead(&running);
    assert_eq!((row.status, row.slung), (BeadStatus::Open, true));
    assert_eq!(row.failures + row.agent_failures + row.outages, 0);

    let save = bench.one("save");
    let Order::Save { branch, head, .. } = &save.order else { panic!("a save") };
    assert_eq!((branch, head), (&format!("gt/saved/{running}.{epoch}"), &oid(8)));
    assert_eq!(bench.run(|txn| drain::progress(txn.view())).unwrap().unwrap().saving, 1);
    bench.done(&save, Done::Plainly);
    assert!(bench.run(|txn| drain::progress(txn.view())).unwrap().unwrap().is_done());

    bench.lead("two");
    assert_eq!(bench.run(|txn| drain::progress(txn.view())).unwrap(), None, "it ends with the host");
    let started = bench.look();
    assert_eq!(kinds(&started), ["start", "start"]);
    assert_eq!(carried(&mut bench, &running, epoch + 1), Some(Carried { head: oid(7), saved: Some(oid(8)) }));
}

#[test]
fn what_was_saved_is_removed_once_its_bead_is_merged() {
    let mut bench = Bench::new(1, quick());
    let bead = bench.issue("lay the keel");
    let (first, epoch) = bench.running(&bead);
    drained(&mut bench, &first, epoch, Some(oid(7)), None);
    let save = bench.one("save");
    bench.done(&save, Done::Plainly);
    bench.lead("two");
    let start = bench.one("start");
    bench.done(&start, Done::Started { base: oid(7) });
    let second = SessionId::new(format!("s-{bead}-2")).unwrap();
    let land = bench.landing(&second, 2, oid(9));
    bench.done(&land, Done::Plainly);
    let removed: Vec<String> = bench
        .look()
        .into_iter()
        .filter_map(|issued| match issued.order {
            Order::DeleteBranch { branch, .. } => Some(branch),
            _ => None,
        })
        .collect();
    assert_eq!(removed, [format!("gt/{bead}"), format!("gt/saved/{bead}.1")]);
}

#[test]
fn a_session_that_comes_up_during_a_drain_is_stopped_at_once() {
    let mut bench = Bench::new(1, quick());
    let bead = bench.issue("lay the keel");
    bench.run(|txn| sling::sling(txn, &bead.clone().into())).unwrap();
    let start = bench.one("start");
    begin(&mut bench, 60_000);
    bench.done(&start, Done::Started { base: oid(1) });
    let session = SessionId::new(format!("s-{bead}-1")).unwrap();
    let row = bench.session(&session);
    assert_eq!((row.state, row.ending), (SessionState::Finishing, Some(SessionExit::Drained)));
    bench.one("stop");
    end(&mut bench, &session, 1, SessionExit::Cancelled, None, None);
    assert!(bench.look().iter().all(|issued| issued.order.kind() == "cleanup"), "it left nothing to be saved");
}

#[test]
fn what_cannot_be_put_at_the_remote_is_told_to_somebody() {
    let mut bench = Bench::new(1, quick());
    let bead = bench.issue("lay the keel");
    let (session, epoch) = bench.running(&bead);
    drained(&mut bench, &session, epoch, Some(oid(7)), None);
    let save = bench.one("save");
    bench.report(&save, &Report::Failed(Failed::new(Setback::Refused, "no space at the remote")));
    assert_eq!(bench.effect(&save.id).state, EffectState::Refused);
    let prefix = vec![text(BeadKind::Escalation.as_str()), text(BeadStatus::Open.as_str())];
    let told: Vec<BeadRow> = bench.run(|txn| txn.all(Scan::new(&index::BEADS_BY_STATUS, prefix, 0))).unwrap();
    assert_eq!(told.len(), 1);
    let about = bench.run(|txn| beads::get(txn.view(), &told[0].id.clone().into())).unwrap();
    assert!(about.description.contains("no space at the remote") && told[0].title.contains(session.as_str()));
}

#[test]
fn the_earliest_end_counts_and_a_drain_can_be_called_off() {
    let mut bench = Bench::new(1, quick());
    let bead = bench.issue("lay the keel");
    bench.running(&bead);
    let first = begin(&mut bench, 60_000);
    assert_eq!(begin(&mut bench, 120_000).until, first.until, "a later end does not prolong it");
    assert!(begin(&mut bench, 1_000).until < first.until);
    bench.run(|txn| pause::resume_town(txn, &All {})).unwrap();
    assert_eq!(bench.events("engine.drain_called_off").len(), 1);
    bench.pass(120_000);
    assert!(bench.look().iter().all(|issued| issued.order.kind() != "stop"));
}

#[test]
fn a_drain_that_makes_no_sense_is_refused_and_nothing_changes() {
    let mut bench = Bench::new(1, quick());
    let refused = |bench: &mut Bench, reason: &str, grace_ms| {
        let input = DrainTown { reason: reason.into(), grace_ms };
        bench.run(|txn| drain::drain(txn, &input)).unwrap_err()
    };
    assert_eq!(refused(&mut bench, " ", None).code(), "reason_missing");
    assert_eq!(refused(&mut bench, "late", Some(604_800_001)).code(), "limit_out_of_range");
    bench.pass(90_001);
    let error = refused(&mut bench, "nobody leads", None);
    assert_eq!((error.kind(), error.code()), (ErrorKind::Conflict, "engine_not_running"));
    assert!(bench.events("engine.draining").is_empty());
}

#[test]
fn the_grace_is_what_the_setting_says() {
    let mut bench = Bench::new(1, quick());
    let settings = [("drain.grace_ms".to_owned(), json!(7_000))].into();
    bench.run(|txn| rigs::configure(txn, &Configure { rig: None, settings })).unwrap();
    let now = bench.now;
    let draining = bench.run(|txn| drain::drain(txn, &DrainTown::because("a storm"))).unwrap();
    assert_eq!(draining.until, now.after(std::time::Duration::from_secs(7)));
}

#[test]
fn what_is_carried_is_the_last_that_was_handed_on() {
    let mut bench = Bench::new(1, quick());
    let bead = bench.issue("lay the keel");
    let session = |epoch: i64| SessionId::new(format!("s-{bead}-{epoch}")).unwrap();
    let (first, _) = bench.running(&bead);
    // Nothing was committed: the next goes on from where it began, with the files that lay there.
    drained(&mut bench, &first, 1, None, Some(oid(20)));
    assert_eq!(carried(&mut bench, &bead, 2), Some(Carried { head: oid(1), saved: Some(oid(20)) }));
    assert_eq!(carried(&mut bench, &bead, 1), None);
    let again = |bench: &mut Bench, epoch: i64, base, head, saved| {
        bench.pass(90_001);
        bench.lead("two");
        let start = bench.one("start");
        bench.done(&start, Done::Started { base });
        drained(bench, &session(epoch), epoch, head, saved);
    };
    again(&mut bench, 2, oid(1), Some(oid(2)), Some(oid(21)));
    assert_eq!(carried(&mut bench, &bead, 3), Some(Carried { head: oid(2), saved: Some(oid(21)) }));
    // The next one put away what lay there.
    again(&mut bench, 3, oid(2), None, None);
    assert_eq!(carried(&mut bench, &bead, 4), Some(Carried { head: oid(2), saved: None }));
    let last = bench.run(|txn| outcome::saved(txn.view(), &bead, 4)).unwrap();
    assert_eq!(last, Some(oid(21)), "it is still known");
}

#[test]
fn a_merge_commit_that_is_on_another_machine_only_is_made_again() {
    let mut bench = Bench::new(1, quick());
    let bead = bench.issue("lay the keel");
    let (session, epoch) = bench.running(&bead);
    let land = bench.landing(&session, epoch, oid(7));
    bench.done(&land, Done::Unbuilt);
    assert_eq!(bench.events("review.unbuilt").len(), 1);
    let merge = bench.one("merge");
    bench.done(&merge, Done::Merged { target: oid(1), commit: oid(91) });
    let land = bench.one("land");
    bench.done(&land, Done::Plainly);
    assert_eq!(bench.bead(&bead).status, BeadStatus::Closed);
    bench.done(&land, Done::Unbuilt);
    assert_eq!(bench.review_of(&bead).landed_oid, Some(oid(91)), "what comes late changes nothing");
}

#[test]
fn what_was_saved_of_a_bead_that_is_closed_otherwise_is_removed_after_its_time_and_once() {
    let mut bench = Bench::new(1, quick());
    let bead = bench.issue("lay the keel");
    let (session, epoch) = bench.running(&bead);
    drained(&mut bench, &session, epoch, Some(oid(7)), None);
    let save = bench.one("save");
    bench.done(&save, Done::Plainly);
    let find = |bench: &mut Bench| {
        let there = orphans::Outdoors {
            branches: vec![(crate::engine::tests::rig(), format!("gt/saved/{bead}.1"), oid(7))],
            ..orphans::Outdoors::default()
        };
        bench.run(|txn| orphans::find(txn.view(), &there)).unwrap()
    };
    assert_eq!(find(&mut bench), [], "it goes on from there");
    bench.run(|txn| beads::close(txn, &CloseBead::from(&bead))).unwrap();
    let orphan = find(&mut bench).remove(0);
    assert_eq!((orphan.kind, &orphan.holds), (orphans::OrphanKind::RemoteBranch, &Some(oid(7))));
    assert_eq!(orphan.due, Some(bench.now.after(std::time::Duration::from_secs(7 * 86_400))));
    bench.run(|txn| orphans::remove_remote(txn, &orphan)).unwrap();
    assert_eq!(find(&mut bench), []);
    let remove = bench.one("delete_branch");
    bench.report(&remove, &Report::Refused { reason: "somebody moved it".into() });
    assert_eq!(find(&mut bench), [], "it is not asked for again and again");
}
