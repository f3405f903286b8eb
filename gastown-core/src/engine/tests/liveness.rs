//! Liveness: leases, progress, starts that come late, and what is handed from one session to the next.

use std::time::Duration;

use serde_json::json;

use super::{Bench, oid, quick, rig};
use crate::model::{
    AgentState, BeadId, BeadKind, BeadRow, BeadStatus, Order, RigName, Role, Scope, SessionExit, SessionId,
    SessionState, Setback, Stall, Timestamp, TownId,
};
use crate::store::{Scan, index};
use crate::work::effects::{Done, Failed, Report};
use crate::work::handoff::{self, CHECKPOINT_BYTES_MAX};
use crate::work::liveness::{self, Seen, Sign};
use crate::work::sling;
use crate::work::txn::Ctx;
use crate::work::view::text;
use crate::work::{Checkpoint, HandOff, NewSettings, command, leader, outcome, sessions};

const MINUTE: u64 = 60_000;

fn settings(more: &[(&str, serde_json::Value)]) -> NewSettings {
    let mut settings = quick();
    settings.insert("agent_failures.max".to_owned(), json!(1_000));
    settings.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    settings
}

fn see(bench: &mut Bench, session: &SessionId, epoch: i64, sign: Sign) {
    let seen = Seen { session: session.clone(), epoch, sign };
    bench.run(|txn| liveness::seen(txn, &[seen])).unwrap();
}

fn alive(bench: &mut Bench, session: &SessionId, epoch: i64, bytes: u64) {
    see(bench, session, epoch, Sign::Alive { bytes });
}

fn silent(bench: &mut Bench, session: &SessionId, epoch: i64) {
    see(bench, session, epoch, Sign::Silent { why: "no answer".to_owned() });
}

fn due(bench: &mut Bench) -> Vec<SessionId> {
    bench.run(liveness::due).unwrap().into_iter().map(|due| due.session).collect()
}

fn triage(bench: &mut Bench, status: BeadStatus) -> Vec<BeadRow> {
    let prefix = vec![text(BeadKind::Escalation.as_str()), text(status.as_str())];
    bench.run(|txn| txn.all(Scan::new(&index::BEADS_BY_STATUS, prefix, 0))).unwrap()
}

/// Runs a command as the agent of a session.
fn as_agent<I: serde::Serialize, O: serde::Serialize + serde::de::DeserializeOwned>(
    bench: &mut Bench,
    session: &SessionId,
    input: &I,
    work: fn(&mut crate::work::txn::ScopedTxn<'_>, &I) -> crate::Result<O>,
) -> crate::Result<O> {
    let row = bench.session(session);
    let scope = Scope::Agent {
        agent: row.agent,
        role: Role::Polecat,
        rig: row.rig,
        bead: row.bead,
        session: row.id,
        epoch: row.epoch,
    };
    bench.seed += 1;
    let ctx = Ctx::at(bench.now, bench.seed);
    let mut raw = bench.connection.write(&TownId::new("town").unwrap()).unwrap();
    let answer = command::change(&mut *raw, &scope, &ctx, "test", input, work)?;
    raw.commit().unwrap();
    Ok(answer)
}

#[test]
fn a_clock_that_went_back_shortens_neither_a_sessions_lease_nor_the_leaders() {
    let mut bench = Bench::new(1, settings(&[("session.lease_ms", json!(90_000))]));
    let bead = bench.issue("lay the keel");
    let (session, epoch) = bench.running(&bead);
    let lease = bench.session(&session).lease_until;
    let leader = |bench: &mut Bench| {
        let epoch = bench.leader;
        bench.run(|txn| leader::renew(txn, epoch, Duration::from_secs(90))).unwrap();
        bench.run(|txn| leader::check(txn, epoch)).unwrap().lease_until
    };
    let led = leader(&mut bench);
    let (before, hour) = (bench.now, Duration::from_secs(3_600));
    bench.now = Timestamp::from_micros(before.as_micros() - 3_600_000_000);
    alive(&mut bench, &session, epoch, 0);
    assert_eq!(bench.session(&session).lease_until, lease);
    assert_eq!(leader(&mut bench), led);
    // And both go on with the clock.
    bench.now = before.after(hour);
    alive(&mut bench, &session, epoch, 0);
    assert_eq!(bench.session(&session).lease_until, lease.map(|until| until.after(hour)));
    assert_eq!(leader(&mut bench), led.after(hour));
    // What a clock holds that was ahead for long is given up by the next sign of life.
    bench.now = before.after(24 * hour);
    alive(&mut bench, &session, epoch, 0);
    leader(&mut bench);
    bench.now = before;
    alive(&mut bench, &session, epoch, 0);
    assert_eq!((bench.session(&session).lease_until, leader(&mut bench)), (lease, led));
}

#[test]
fn a_session_is_looked_at_once_a_heartbeat_and_lost_when_nobody_can_say_for_a_lease() {
    let mut bench =
        Bench::new(1, settings(&[("session.lease_ms", json!(90_000)), ("session.heartbeat_ms", json!(30_000))]));
    let bead = bench.issue("lay the keel");
    let (session, epoch) = bench.running(&bead);
    bench.pass(29_999);
    assert!(due(&mut bench).is_empty());
    bench.pass(1);
    assert_eq!(due(&mut bench), std::slice::from_ref(&session));
    assert!(due(&mut bench).is_empty(), "somebody looks already");
    alive(&mut bench, &session, epoch, 0);
    bench.pass(89_999);
    silent(&mut bench, &session, epoch);
    assert_eq!(bench.session(&session).state, SessionState::Running, "its lease holds");
    bench.pass(1);
    silent(&mut bench, &session, epoch);
    let row = bench.session(&session);
    assert_eq!((row.state, row.exit), (SessionState::Ended, Some(SessionExit::Lost)));
    assert_eq!((bench.bead(&bead).outages, bench.bead(&bead).failures), (1, 0));
    assert!(bench.look().iter().any(|issued| issued.order.kind() == "stop"), "it may live where nobody sees it");
}

#[test]
fn a_lease_and_a_heartbeat_are_as_long_as_the_settings_say() {
    let mut bench = Bench::new(1, settings(&[("session.lease_ms", json!(200)), ("session.heartbeat_ms", json!(100))]));
    let bead = bench.issue("lay the keel");
    let (session, epoch) = bench.running(&bead);
    bench.pass(100);
    assert_eq!(due(&mut bench).len(), 1);
    bench.pass(100);
    silent(&mut bench, &session, epoch);
    assert_eq!(bench.session(&session).state, SessionState::Ended);
}

#[test]
fn a_session_that_lives_without_progress_is_poked_then_shown_to_somebody_then_stopped() {
    let mut bench = Bench::new(1, settings(&[]));
    let bead = bench.issue("lay the keel");
    let (session, epoch) = bench.running(&bead);
    let step = |bench: &mut Bench, minutes: u64| {
        for _ in 0..minutes {
            bench.pass(MINUTE);
            alive(bench, &session, epoch, 0);
        }
        bench.session(&session).stall
    };
    assert_eq!(step(&mut bench, 14), None);
    assert_eq!(step(&mut bench, 1), Some(Stall::Nudged));
    let nudge = bench.one("nudge");
    bench.done(&nudge, Done::Unheard);
    assert_eq!(bench.events("session.nudge_unheard").len(), 1);
    assert_eq!(step(&mut bench, 44), Some(Stall::Nudged));
    assert!(triage(&mut bench, BeadStatus::Open).is_empty());
    assert_eq!(step(&mut bench, 1), Some(Stall::Triaged));
    let asked = triage(&mut bench, BeadStatus::Open);
    assert!(asked.len() == 1 && asked[0].title.contains(session.as_str()));
    assert_eq!(step(&mut bench, 59), Some(Stall::Triaged));
    assert_eq!(step(&mut bench, 1), Some(Stall::Stopped));
    assert_eq!(bench.session(&session).state, SessionState::Finishing);
    let stopping = bench.one("stop");
    bench.done(&stopping, Done::Plainly);
    bench.end(&session, epoch, SessionExit::Cancelled, None);
    assert_eq!(bench.session(&session).exit, Some(SessionExit::Stalled));
    assert_eq!(bench.bead(&bead).agent_failures, 1);
    assert_eq!(triage(&mut bench, BeadStatus::Closed).len(), 1, "there is nothing to look at any more");
}

#[test]
fn each_step_is_taken_after_the_time_that_its_setting_says() {
    let settings = settings(&[
        ("progress.nudge_ms", json!(1_000)),
        ("progress.triage_ms", json!(2_000)),
        ("progress.stop_ms", json!(3_000)),
    ]);
    let mut bench = Bench::new(1, settings);
    let bead = bench.issue("lay the keel");
    let (session, epoch) = bench.running(&bead);
    for stall in [Stall::Nudged, Stall::Triaged, Stall::Stopped] {
        bench.pass(999);
        alive(&mut bench, &session, epoch, 0);
        assert_ne!(bench.session(&session).stall, Some(stall));
        bench.pass(1);
        alive(&mut bench, &session, epoch, 0);
        assert_eq!(bench.session(&session).stall, Some(stall));
    }
}

#[test]
fn progress_takes_every_step_back_and_closes_what_asked_for_a_look() {
    let mut bench = Bench::new(1, settings(&[]));
    let bead = bench.issue("lay the keel");
    let (session, epoch) = bench.running(&bead);
    for _ in 0..2 {
        bench.pass(60 * MINUTE);
        alive(&mut bench, &session, epoch, 0);
    }
    assert_eq!(bench.session(&session).stall, Some(Stall::Triaged));
    let nudge = bench.one("nudge");
    bench.done(&nudge, Done::Plainly);
    alive(&mut bench, &session, epoch, 5);
    let row = bench.session(&session);
    assert_eq!((row.stall, row.triage, row.last_progress), (None, None, Some(bench.now)));
    assert!(triage(&mut bench, BeadStatus::Open).is_empty());
    // The same bytes again are no progress, and it is poked anew.
    bench.pass(15 * MINUTE);
    alive(&mut bench, &session, epoch, 5);
    assert_eq!(bench.session(&session).stall, Some(Stall::Nudged));
    assert_eq!(bench.one("nudge").id.as_str(), format!("nudge#{session}#2"));
}

#[test]
fn what_an_agent_does_is_progress_also_where_it_prints_nothing() {
    let mut bench = Bench::new(1, settings(&[]));
    let bead = bench.issue("lay the keel");
    let (session, epoch) = bench.running(&bead);
    for _ in 0..10 {
        bench.pass(14 * MINUTE);
        as_agent(&mut bench, &session, &Checkpoint::from(json!({})), handoff::checkpoint).unwrap();
        bench.pass(MINUTE / 2);
        alive(&mut bench, &session, epoch, 0);
        assert_eq!(bench.session(&session).stall, None);
    }
}

#[test]
fn a_clock_that_goes_back_or_jumps_ahead_reaps_nobody() {
    let mut bench = Bench::new(1, settings(&[]));
    let bead = bench.issue("lay the keel");
    let (session, epoch) = bench.running(&bead);
    alive(&mut bench, &session, epoch, 1);
    let then = bench.now;
    bench.now = then.before(std::time::Duration::from_secs(100 * 3_600));
    assert!(due(&mut bench).is_empty());
    for _ in 0..10 {
        silent(&mut bench, &session, epoch);
        alive(&mut bench, &session, epoch, 1);
        bench.pass(MINUTE);
    }
    bench.now = then.after(std::time::Duration::from_secs(100 * 3_600));
    assert_eq!(due(&mut bench).len(), 1);
    alive(&mut bench, &session, epoch, 2);
    let row = bench.session(&session);
    assert_eq!((row.state, row.stall), (SessionState::Running, None));
}

#[test]
fn what_was_seen_of_a_finished_epoch_says_nothing() {
    let mut bench = Bench::new(1, settings(&[]));
    let bead = bench.issue("lay the keel");
    let (first, epoch) = bench.running(&bead);
    bench.end(&first, epoch, SessionExit::Failed, None);
    let start = bench.one("start");
    bench.done(&start, Done::Started { base: oid(1) });
    let second = SessionId::new(format!("s-{bead}-2")).unwrap();
    let before = (bench.session(&first), bench.session(&second), bench.bead(&bead));
    bench.pass(600 * MINUTE);
    alive(&mut bench, &first, epoch, 99);
    silent(&mut bench, &first, epoch);
    silent(&mut bench, &second, epoch);
    assert_eq!((bench.session(&first), bench.session(&second), bench.bead(&bead)), before);
}

#[test]
fn only_sessions_whose_time_has_come_are_looked_at_and_ended_ones_never() {
    let mut bench = Bench::new(3, settings(&[]));
    let beads: Vec<BeadId> = (0..3).map(|_| bench.issue("work")).collect();
    let (ended, epoch) = bench.running(&beads[0]);
    bench.end(&ended, epoch, SessionExit::Succeeded, Some(oid(7)));
    let (early, _) = bench.running(&beads[1]);
    bench.pass(20_000);
    let (late, _) = bench.running(&beads[2]);
    bench.pass(10_000);
    assert_eq!(due(&mut bench), [early]);
    bench.pass(20_000);
    assert_eq!(due(&mut bench), [late]);
    assert!(bench.session(&ended).wake_at.is_none());
}

#[test]
fn sessions_of_a_town_that_was_played_from_its_journal_are_looked_at_by_the_next_leader() {
    let mut bench = Bench::new(1, settings(&[]));
    let bead = bench.issue("lay the keel");
    let (session, _) = bench.running(&bead);
    // What the journal does not keep is at rest.
    bench
        .run(|txn| {
            let mut row = sessions::row(txn.view(), &session)?;
            (row.wake_at, row.lease_until, row.last_progress) = (None, None, None);
            txn.put_volatile(row)
        })
        .unwrap();
    bench.pass(600 * MINUTE);
    assert!(due(&mut bench).is_empty());
    bench.lead("two");
    assert_eq!(due(&mut bench), [session]);
}

#[test]
fn a_start_that_comes_up_late_is_taken_by_the_next_try_and_nothing_else_is_started() {
    let mut bench = Bench::new(2, settings(&[]));
    let bead = bench.issue("lay the keel");
    bench.run(|txn| sling::sling(txn, &bead.clone().into())).unwrap();
    let first = bench.one("start");
    let overdue = Failed {
        part: crate::model::Part::Runtime,
        ..Failed::new(Setback::Transient, "it did not start within 300 s")
    };
    bench.report(&first, &Report::Failed(overdue));
    let row = bench.bead(&bead);
    assert_eq!((row.status, row.epoch), (BeadStatus::InProgress, 1), "nobody knows yet, so nobody else begins");
    let again = bench.one("start");
    assert_eq!(again.id, first.id);
    // The first try's answer comes now, and is nobody's; the second finds what it brought up.
    bench.done(&first, Done::Started { base: oid(9) });
    assert_eq!(bench.events("effect.stale_report").len(), 1);
    bench.done(&again, Done::Started { base: oid(1) });
    let session = bench.session(&SessionId::new(format!("s-{bead}-1")).unwrap());
    assert_eq!((session.state, session.base), (SessionState::Running, Some(oid(1))));
    assert_eq!(bench.events("session.planned").len(), 1);
}

#[test]
fn a_start_that_comes_up_after_it_was_given_up_is_stopped() {
    let mut bench =
        Bench::new(1, settings(&[("effects.attempts_max", json!(1)), ("outages.backoff_ms", json!([60_000]))]));
    let bead = bench.issue("lay the keel");
    bench.run(|txn| sling::sling(txn, &bead.clone().into())).unwrap();
    let start = bench.one("start");
    bench.report(&start, &Report::Retry { reason: "it did not start within 300 s".to_owned() });
    let stop = bench.one("stop");
    bench.done(&stop, Done::Plainly);
    bench.done(&start, Done::Started { base: oid(1) });
    let stop = bench.one("stop");
    assert!(matches!(&stop.order, Order::Stop { session, .. } if session.as_str() == format!("s-{bead}-1")));
    assert_eq!(bench.bead(&bead).status, BeadStatus::Open);
}

#[test]
fn a_session_whose_start_was_given_up_without_its_knowing_does_not_start_for_ever() {
    let mut bench = Bench::new(1, settings(&[("session.start_timeout_ms", json!(60_000))]));
    let bead = bench.issue("lay the keel");
    bench.run(|txn| sling::sling(txn, &bead.clone().into())).unwrap();
    let start = bench.one("start");
    let leader = bench.leader;
    bench.pass(60_000);
    due(&mut bench);
    assert_eq!(bench.bead(&bead).status, BeadStatus::InProgress, "its start is still under way");
    bench.run(|txn| crate::work::effects::give_up(txn, &start.id, leader, "its outcome cannot be recorded")).unwrap();
    bench.pass(60_000);
    due(&mut bench);
    assert_eq!((bench.bead(&bead).status, bench.bead(&bead).outages), (BeadStatus::Open, 1));
}

#[test]
fn a_checkpoint_is_bounded_and_only_an_agents_own() {
    let mut bench = Bench::new(2, settings(&[]));
    let (one, two) = (bench.issue("one"), bench.issue("two"));
    let (mine, epoch) = bench.running(&one);
    let (theirs, _) = bench.running(&two);
    let left = Checkpoint::from(json!({ "done": ["a", "b"] }));
    let session = as_agent(&mut bench, &mine, &left, handoff::checkpoint).unwrap();
    assert_eq!(session.checkpoint, Some(left.data.clone()));
    let others = Checkpoint { session: Some(theirs), ..left.clone() };
    assert_eq!(as_agent(&mut bench, &mine, &others, handoff::checkpoint).unwrap_err().code(), "session_of_another");
    let large = Checkpoint::from(json!("x".repeat(CHECKPOINT_BYTES_MAX - 1)));
    let error = as_agent(&mut bench, &mine, &large, handoff::checkpoint).unwrap_err();
    assert_eq!((error.code(), error.fact("bytes")), ("checkpoint_too_large", Some("16385")));
    let unnamed = bench.run(|txn| handoff::checkpoint(txn, &left)).unwrap_err();
    assert_eq!(unnamed.code(), "session_unnamed");
    bench.end(&mine, epoch, SessionExit::Crashed, None);
    let named = Checkpoint { session: Some(mine), ..left.clone() };
    assert_eq!(bench.run(|txn| handoff::checkpoint(txn, &named)).unwrap_err().code(), "session_not_running");
    // The next session of the bead gets it, also where the one before died.
    let found = bench.run(|txn| handoff::left(txn.view(), &one, 2)).unwrap().unwrap();
    assert_eq!(found.data, left.data);
    assert!(bench.run(|txn| handoff::left(txn.view(), &two, 2)).unwrap().is_none());
}

#[test]
fn a_handoff_ends_the_session_and_the_same_agent_goes_on_from_what_it_committed() {
    let mut bench = Bench::new(3, settings(&[]));
    let bead = bench.issue("lay the keel");
    let (first, epoch) = bench.running(&bead);
    let wish = HandOff { data: Some(json!({ "next": "the mast" })), session: None };
    let session = as_agent(&mut bench, &first, &wish, handoff::handoff).unwrap();
    assert_eq!((session.state, session.ending), (SessionState::Finishing, Some(SessionExit::HandedOff)));
    as_agent(&mut bench, &first, &HandOff::default(), handoff::handoff).unwrap();
    let stop = bench.one("stop");
    bench.done(&stop, Done::Plainly);
    // However its program ended: it may have been quicker than the stop.
    bench.end(&first, epoch, SessionExit::Succeeded, Some(oid(7)));
    let (first, second) = (bench.session(&first), bench.session(&SessionId::new(format!("s-{bead}-2")).unwrap()));
    assert_eq!((first.exit, first.head), (Some(SessionExit::HandedOff), Some(oid(7))));
    assert_eq!((second.state, &second.agent), (SessionState::Planned, &first.agent), "at once, with the same agent");
    let agent = bench
        .run(|txn| Ok(txn.find::<crate::model::AgentRow>(&crate::model::Key::agent(&first.agent))?.unwrap()))
        .unwrap();
    assert_eq!((agent.state, agent.hook), (AgentState::Hooked, Some(bead.clone())));
    let row = bench.bead(&bead);
    assert_eq!((row.status, row.failures + row.agent_failures + row.outages), (BeadStatus::InProgress, 0));
    let left = bench.run(|txn| handoff::left(txn.view(), &bead, 2)).unwrap().unwrap();
    assert_eq!(left.data["next"], "the mast");
    let carried = bench.run(|txn| outcome::carried(txn.view(), &bead, 2)).unwrap().unwrap();
    assert_eq!((carried.head, carried.saved), (oid(7), None));

    // The second begins from that commit, adds none, and says that all is done: what was handed on is what is merged.
    let start = bench.one("start");
    bench.done(&start, Done::Started { base: oid(7) });
    bench.end(&second.id, 2, SessionExit::Succeeded, None);
    assert_eq!(bench.bead(&bead).status, BeadStatus::InReview);
    assert_eq!(bench.review_of(&bead).head, oid(7));
    assert_eq!(bench.run(|txn| outcome::carried(txn.view(), &bead, 3)).unwrap(), None, "that is brought to its end");
}

#[test]
fn a_handoff_in_a_rig_that_is_held_waits_like_any_other_bead() {
    let mut bench = Bench::new(1, settings(&[("breaker.failures", json!(1))]));
    let bead = bench.issue("lay the keel");
    let (first, epoch) = bench.running(&bead);
    let name: RigName = rig();
    bench
        .run(|txn| crate::work::breaker::failed(txn, crate::model::Part::Rig, &name, &SessionId::new("s-x")?, "broken"))
        .unwrap();
    as_agent(&mut bench, &first, &HandOff::default(), handoff::handoff).unwrap();
    bench.end(&first, epoch, SessionExit::Cancelled, Some(oid(7)));
    let row = bench.bead(&bead);
    assert_eq!((row.status, row.slung, row.epoch), (BeadStatus::Open, true, 1));
}

#[test]
fn a_bead_is_handed_on_as_often_as_the_setting_says() {
    let mut bench = Bench::new(1, settings(&[("handoffs.max", json!(1))]));
    let bead = bench.issue("lay the keel");
    let (first, epoch) = bench.running(&bead);
    as_agent(&mut bench, &first, &HandOff::default(), handoff::handoff).unwrap();
    bench.end(&first, epoch, SessionExit::Cancelled, None);
    let start = bench.one("start");
    bench.done(&start, Done::Started { base: oid(1) });
    let second = SessionId::new(format!("s-{bead}-2")).unwrap();
    let error = as_agent(&mut bench, &second, &HandOff::default(), handoff::handoff).unwrap_err();
    assert_eq!((error.code(), error.fact("handoffs_max")), ("handoffs_exhausted", Some("1")));
    assert_eq!(bench.session(&second).state, SessionState::Running, "it goes on");
}
