//! Triage: what somebody is asked to judge, and what comes of the answers.

use serde_json::json;

use super::{Bench, oid, quick};
use crate::ErrorKind;
use crate::model::{BeadId, BeadStatus, SessionExit, SessionId, SessionState};
use crate::work::effects::Done;
use crate::work::liveness::{self, Seen, Sign};
use crate::work::triage::{self, ResolveTriage, TriageAction, TriageKind, TriageRequest};
use crate::work::{All, NewSettings};

fn settings(more: &[(&str, serde_json::Value)]) -> NewSettings {
    let mut settings = quick();
    settings.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    settings
}

fn open(bench: &mut Bench) -> Vec<TriageRequest> {
    bench.run(|txn| triage::list(txn.view(), &All {})).unwrap().requests
}

fn answer(bench: &mut Bench, id: &BeadId, action: TriageAction) -> crate::Result<TriageRequest> {
    let input = ResolveTriage { id: id.clone(), action, note: Some("seen to".into()) };
    bench.run(|txn| triage::resolve(txn, &input))
}

fn alive(bench: &mut Bench, session: &SessionId, epoch: i64) {
    let seen = Seen { session: session.clone(), epoch, sign: Sign::Alive { bytes: 0 } };
    bench.run(|txn| liveness::seen(txn, &[seen])).unwrap();
}

/// A session that has shown nothing for so long that somebody is asked.
fn stuck(bench: &mut Bench, title: &str) -> (BeadId, SessionId, i64) {
    let bead = bench.issue(title);
    let (session, epoch) = bench.running(&bead);
    bench.pass(900_000);
    alive(bench, &session, epoch);
    bench.pass(2_700_000);
    alive(bench, &session, epoch);
    (bead, session, epoch)
}

#[test]
fn a_stuck_session_is_laid_before_somebody_with_its_options_and_each_does_what_it_says() {
    for (action, exit) in [
        (TriageAction::Restart, Some(SessionExit::HandedOff)),
        (TriageAction::RestartLater, Some(SessionExit::Stalled)),
        (TriageAction::Stop, Some(SessionExit::Cancelled)),
        (TriageAction::Wait, None),
        (TriageAction::Nudge, None),
    ] {
        let mut bench = Bench::new(1, settings(&[]));
        let (bead, session, epoch) = stuck(&mut bench, "lay the keel");
        let request = open(&mut bench).remove(0);
        assert_eq!((request.kind, &request.bead, request.epoch), (TriageKind::StuckSession, &bead, epoch));
        assert_eq!(request.session.as_ref(), Some(&session));
        assert!(request.options.contains(&action));
        answer(&mut bench, &request.id, action).unwrap();
        assert_eq!(open(&mut bench), []);
        assert_eq!(bench.bead(&request.id).status, BeadStatus::Closed);
        let row = bench.session(&session);
        assert_eq!((row.ending, row.triage), (exit, None), "{action}");
        if exit.is_none() {
            assert_eq!((row.state, row.stall, row.last_progress), (SessionState::Running, None, Some(bench.now)));
            // It is asked again after the whole time, and not at the next look.
            alive(&mut bench, &session, epoch);
            assert_eq!(open(&mut bench), []);
        }
        let again = answer(&mut bench, &request.id, action).unwrap_err();
        assert_eq!((again.kind(), again.code()), (ErrorKind::Conflict, "triage_closed"));
        assert_eq!(bench.events("triage.resolved").len(), 1);
    }
}

#[test]
fn an_answer_that_is_no_option_or_comes_too_late_changes_nothing() {
    let mut bench = Bench::new(1, settings(&[]));
    let (bead, session, epoch) = stuck(&mut bench, "lay the keel");
    let request = open(&mut bench).remove(0);
    let error = answer(&mut bench, &request.id, TriageAction::Fail).unwrap_err();
    assert_eq!((error.code(), error.fact("options")), ("triage_option", Some("wait,nudge,restart,restart_later,stop")));
    let error = answer(&mut bench, &bead, TriageAction::Wait).unwrap_err();
    assert_eq!(error.code(), "not_a_triage_request");
    // Somebody stops it meanwhile.
    bench.run(|txn| crate::work::sessions::stop(txn, &session.clone().into())).unwrap();
    let error = answer(&mut bench, &request.id, TriageAction::Restart).unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Conflict, "triage_stale"));
    assert_eq!(bench.session(&session).ending, Some(SessionExit::Cancelled));
    bench.end(&session, epoch, SessionExit::Cancelled, None);
    assert_eq!(open(&mut bench), [], "the matter settled by itself");
}

#[test]
fn no_more_requests_are_open_than_may_be_and_what_was_not_asked_is_journaled() {
    let mut bench = Bench::new(3, settings(&[]));
    let input = crate::work::Configure { rig: None, settings: [("triage.open_max".to_owned(), json!(1))].into() };
    bench.run(|txn| crate::work::rigs::configure(txn, &input)).unwrap();
    stuck(&mut bench, "lay the keel");
    let (bead, session, epoch) = stuck(&mut bench, "raise the mast");
    assert_eq!(open(&mut bench).len(), 1);
    assert_eq!(bench.events("triage.skipped")[0].subject, bead.as_str());
    // It is stopped in its time all the same.
    bench.pass(3_600_000);
    alive(&mut bench, &session, epoch);
    assert_eq!(bench.session(&session).ending, Some(SessionExit::Stalled));
}

#[test]
fn sessions_that_break_again_and_again_are_asked_about_once_and_each_answer_does_what_it_says() {
    for action in [TriageAction::Wait, TriageAction::Restart, TriageAction::Park, TriageAction::Fail] {
        let later = json!([600_000]);
        let mut bench = Bench::new(
            1,
            settings(&[
                ("triage.crashes", json!(2)),
                ("agent_failures.backoff_ms", later),
                ("backoff.jitter_percent", json!(0)),
            ]),
        );
        let bead = bench.issue("lay the keel");
        let (session, epoch) = bench.running(&bead);
        bench.end(&session, epoch, SessionExit::Crashed, None);
        assert_eq!(open(&mut bench), [], "once is chance");
        bench.pass(600_000);
        let start = bench.one("start");
        bench.done(&start, Done::Started { base: oid(1) });
        bench.end(&SessionId::new(format!("s-{bead}-2")).unwrap(), 2, SessionExit::Crashed, None);
        let request = open(&mut bench).remove(0);
        assert_eq!((request.kind, &request.bead, request.epoch), (TriageKind::CrashLoop, &bead, 2));
        answer(&mut bench, &request.id, action).unwrap();
        let row = bench.bead(&bead);
        match action {
            TriageAction::Wait => assert!(row.wake_at.is_some() && row.status == BeadStatus::Open),
            TriageAction::Restart => {
                bench.one("start");
            }
            TriageAction::Park => assert_eq!(row.parked_reason.as_deref(), Some("seen to")),
            _ => {
                assert_eq!(row.status, BeadStatus::Failed);
                assert_eq!(row.failure.unwrap()["code"], "given_up");
            }
        }
        assert_eq!(open(&mut bench), []);
    }
}

#[test]
fn a_session_that_comes_to_an_end_of_its_own_settles_what_was_asked() {
    let mut bench = Bench::new(1, settings(&[("triage.crashes", json!(1))]));
    let bead = bench.issue("lay the keel");
    let (session, epoch) = bench.running(&bead);
    bench.end(&session, epoch, SessionExit::Crashed, None);
    let request = open(&mut bench).remove(0);
    let start = bench.one("start");
    bench.done(&start, Done::Started { base: oid(1) });
    let error = answer(&mut bench, &request.id, TriageAction::Restart).unwrap_err();
    assert_eq!(error.code(), "triage_stale", "it goes on already");
    bench.end(&SessionId::new(format!("s-{bead}-2")).unwrap(), 2, SessionExit::Succeeded, Some(oid(7)));
    assert_eq!(open(&mut bench), []);
    assert_eq!(bench.bead(&request.id).status, BeadStatus::Closed);
}

#[test]
fn somebody_is_asked_again_after_as_many_more_failures() {
    let mut bench = Bench::new(1, settings(&[("triage.crashes", json!(2)), ("agent_failures.max", json!(100))]));
    let bead = bench.issue("lay the keel");
    bench.running(&bead);
    for epoch in 1..=6 {
        if epoch > 1 {
            let start = bench.one("start");
            bench.done(&start, Done::Started { base: oid(1) });
        }
        bench.end(&SessionId::new(format!("s-{bead}-{epoch}")).unwrap(), epoch, SessionExit::Crashed, None);
        let asked = open(&mut bench);
        assert_eq!(asked.len(), usize::from(epoch % 2 == 0), "after {epoch}");
        for request in asked {
            answer(&mut bench, &request.id, TriageAction::Wait).unwrap();
        }
    }
}
