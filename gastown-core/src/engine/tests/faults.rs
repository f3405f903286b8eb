//! Exits and their counters: what each leads to, and where the settings bound it.

use serde_json::json;

use super::{Bench, oid, quick};
use crate::model::{
    Again, AgentRow, BeadId, BeadRow, BeadStatus, Fault, HookFate, Key, Order, Resolution, SessionExit, SessionId,
};
use crate::work::effects::{Done, Failed, Report};
use crate::work::liveness::{self, Seen, Sign};
use crate::work::outcome::Ended;
use crate::work::{NewSettings, attempts, outcome};

fn counters(bead: &BeadRow) -> [u32; 4] {
    [bead.failures, bead.agent_failures, bead.outages, bead.auth_failures]
}

/// Settings without waits and without breakers in the way.
fn plain(more: &[(&str, serde_json::Value)]) -> NewSettings {
    let mut settings: NewSettings = [
        ("failures.backoff_ms", json!([0])),
        ("agent_failures.backoff_ms", json!([0])),
        ("outages.backoff_ms", json!([0])),
        ("auth_failures.backoff_ms", json!([0])),
        ("backoff.jitter_percent", json!(0)),
        ("breaker.failures", json!(100_000)),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect();
    settings.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    settings
}

/// Starts the next session of a bead that was slung before.
fn again(bench: &mut Bench) -> (SessionId, i64) {
    let start = bench.one("start");
    bench.done(&start, Done::Started { base: oid(1) });
    let Order::Start { session, epoch, .. } = start.order else { panic!("a start") };
    (session, epoch)
}

#[test]
fn every_exit_leads_to_what_its_line_of_the_table_says() {
    for &exit in SessionExit::ALL.iter().filter(|exit| **exit != SessionExit::Superseded) {
        let mut bench = Bench::new(1, plain(&[("failures.backoff_ms", json!([1_000]))]));
        let bead = bench.issue("lay the keel");
        let (session, epoch) = bench.running(&bead);
        let head = (exit == SessionExit::Succeeded).then(|| oid(7));
        let ended = Ended { head, keep_workspace: true, ..Ended::of(exit, "by the test") };
        bench.run(|txn| outcome::end(txn, &session, epoch, &ended)).unwrap();

        let (row, line) = (bench.bead(&bead), exit.consequence());
        let mut wanted = [0; 4];
        if let Some(fault) = line.fault {
            wanted[Fault::ALL.iter().position(|one| *one == fault).unwrap()] = 1;
        }
        assert_eq!(counters(&row), wanted, "{exit} counts to {:?} alone", line.fault);

        let agent: AgentRow = {
            let session = bench.session(&session);
            bench.run(|txn| Ok(txn.find(&Key::agent(&session.agent))?.unwrap())).unwrap()
        };
        assert_eq!(agent.hook.as_ref() == Some(&bead), line.hook == HookFate::Kept, "{exit}: the hook");
        let status = match line.again {
            Again::Never => BeadStatus::InReview,
            Again::AtOnce => BeadStatus::InProgress,
            _ => BeadStatus::Open,
        };
        assert_eq!(row.status, status, "{exit}");
        assert_eq!(row.slung, line.again != Again::WhenSlung, "{exit}");
        assert_eq!(row.wake_at.is_some(), line.again == Again::AfterBackoff, "{exit}");
        let kept = bench.events("session.ended")[0].data["workspace_kept"] == true;
        assert_eq!(kept, line.workspace.as_str() == "kept_unsaved", "{exit}: the workspace");
        assert_eq!(bench.look().iter().any(|issued| issued.order.kind() == "cleanup"), !kept, "{exit}");
    }
}

#[test]
fn each_counter_has_a_bound_and_a_consequence_of_its_own() {
    for (exit, most, code) in [
        (SessionExit::Failed, "failures.max", Some("attempts_exhausted")),
        (SessionExit::Crashed, "agent_failures.max", Some("agent_failures_exhausted")),
        (SessionExit::Lost, "outages.max", None),
        (SessionExit::AuthFailed, "auth_failures.max", None),
    ] {
        let mut bench = Bench::new(1, plain(&[(most, json!(3))]));
        let bead = bench.issue("lay the keel");
        let (mut session, mut epoch) = bench.running(&bead);
        for _ in 0..2 {
            bench.end(&session, epoch, exit, None);
            (session, epoch) = again(&mut bench);
        }
        // The others do not come nearer to their bounds by it.
        bench.end(&session, epoch, exit, None);
        let row = bench.bead(&bead);
        assert_eq!(counters(&row).iter().sum::<u32>(), 3, "{exit}");
        let told = bench.run(|txn| attempts::attempts(txn.view(), &(&bead).into())).unwrap();
        assert_eq!(told.attempts.len(), 3);
        assert!(told.attempts.iter().all(|attempt| {
            attempt.exit == Some(exit)
                && attempt.fault == exit.fault()
                && attempt.reason.as_deref() == Some("by the test")
        }));
        if let Some(code) = code {
            assert_eq!((row.status, row.resolution), (BeadStatus::Failed, Some(Resolution::AttemptsExhausted)));
            let failure = told.failure.unwrap();
            assert_eq!((failure.code.as_str(), failure.source.as_str()), (code, exit.fault().unwrap().as_str()));
            assert!(failure.message.contains("by the test"), "{}", failure.message);
            bench.run(|txn| crate::work::beads::reopen(txn, &(&bead).into())).unwrap();
            let row = bench.bead(&bead);
            assert_eq!((counters(&row), row.failure), ([0; 4], None), "to open it again begins anew");
        } else {
            assert_eq!((row.status, told.failure), (BeadStatus::Open, None), "an outage does not fail a bead");
            assert!(told.parked_reason.unwrap().contains("3 times: by the test"));
        }
    }
}

#[test]
fn a_wait_is_the_settings_of_its_fault_and_longer_by_chance_only_as_far_as_they_say() {
    let waits = |exit: SessionExit, name: &str, percent: u32, seed: u64| {
        let mut bench = Bench::new(1, plain(&[(name, json!([10_000])), ("backoff.jitter_percent", json!(percent))]));
        bench.seed = seed;
        let bead = bench.issue("lay the keel");
        let (session, epoch) = bench.running(&bead);
        bench.end(&session, epoch, exit, None);
        let now = bench.now;
        bench.bead(&bead).wake_at.unwrap().since(now).as_millis()
    };
    for (exit, name) in [
        (SessionExit::Failed, "failures.backoff_ms"),
        (SessionExit::Stalled, "agent_failures.backoff_ms"),
        (SessionExit::Refused, "outages.backoff_ms"),
        (SessionExit::AuthFailed, "auth_failures.backoff_ms"),
    ] {
        assert_eq!(waits(exit, name, 0, 1), 10_000, "{exit}");
        let by_chance: Vec<u128> = (1..20).map(|seed| waits(exit, name, 50, seed)).collect();
        assert!(by_chance.iter().all(|wait| (10_000..=15_000).contains(wait)), "{by_chance:?}");
        assert!(by_chance.iter().any(|wait| *wait != by_chance[0]), "chance differs");
        assert_eq!(waits(exit, name, 50, 7), waits(exit, name, 50, 7), "the same seed, the same chance");
    }
}

#[test]
fn an_outage_in_between_begins_its_row_anew_once_an_attempt_comes_to_its_end() {
    let mut bench = Bench::new(1, plain(&[]));
    let bead = bench.issue("lay the keel");
    let (session, epoch) = bench.running(&bead);
    bench.end(&session, epoch, SessionExit::Lost, None);
    let (session, epoch) = again(&mut bench);
    bench.end(&session, epoch, SessionExit::AuthFailed, None);
    assert_eq!(counters(&bench.bead(&bead)), [0, 0, 1, 1]);
    let (session, epoch) = again(&mut bench);
    bench.end(&session, epoch, SessionExit::Failed, None);
    assert_eq!(counters(&bench.bead(&bead)), [1, 0, 0, 0]);
}

#[test]
fn an_agent_that_dies_after_each_heartbeat_is_given_up_at_the_bound() {
    let mut bench = Bench::new(1, plain(&[("agent_failures.max", json!(5))]));
    let bead = bench.issue("lay the keel");
    let (mut session, mut epoch) = bench.running(&bead);
    for nth in 1..=5 {
        let before = counters(&bench.bead(&bead));
        bench.pass(30_000);
        let seen = Seen { session: session.clone(), epoch, sign: Sign::Alive { bytes: nth } };
        bench.run(|txn| liveness::seen(txn, std::slice::from_ref(&seen))).unwrap();
        assert_eq!(counters(&bench.bead(&bead)), before, "a heartbeat changes no counter");
        bench.end(&session, epoch, SessionExit::Crashed, None);
        if nth < 5 {
            (session, epoch) = again(&mut bench);
        }
    }
    assert_eq!(bench.bead(&bead).status, BeadStatus::Failed);
    assert!(bench.look().iter().all(|issued| issued.order.kind() != "start"));
}

#[test]
fn a_change_that_is_sent_back_too_often_fails_with_its_code_and_no_failed_attempt() {
    let mut bench = Bench::new(1, plain(&[("reworks.max", json!(1))]));
    let bead = bench.issue("lay the keel");
    let (mut session, mut epoch) = bench.running(&bead);
    for nth in 0..2 {
        bench.end(&session, epoch, SessionExit::Succeeded, Some(oid(7 + nth)));
        bench.run(|txn| outcome::rework(txn, &bead, json!({ "reason": "the gate failed" }))).unwrap();
        if nth == 0 {
            (session, epoch) = again(&mut bench);
        }
    }
    let told = bench.run(|txn| attempts::attempts(txn.view(), &(&bead).into())).unwrap();
    let failure = told.failure.unwrap();
    assert_eq!((failure.code.as_str(), failure.source.as_str()), ("reworks_exhausted", "merge_queue"));
    assert!(failure.message.contains("the gate failed"));
    assert_eq!((told.failures, told.reworks), (0, 2), "rounds are no failures");
}

#[test]
fn a_start_that_is_refused_its_credentials_counts_to_them_after_its_own_bound_of_tries() {
    let settings = plain(&[
        ("effects.auth_attempts_max", json!(2)),
        ("effects.auth_backoff_ms", json!([0])),
        ("outages.max", json!(1)),
    ]);
    let mut bench = Bench::new(1, settings);
    let bead = bench.issue("lay the keel");
    bench.run(|txn| crate::work::sling::sling(txn, &bead.clone().into())).unwrap();
    for _ in 0..2 {
        let start = bench.one("start");
        let failed = Failed::new(crate::model::Setback::Auth, "the remote refused the credentials");
        bench.report(&start, &Report::Failed(failed));
    }
    let row = bench.bead(&bead);
    assert_eq!((counters(&row), row.parked_reason), ([0, 0, 0, 1], None));
    let told = bench.run(|txn| attempts::attempts(txn.view(), &(&bead).into())).unwrap();
    assert_eq!(told.attempts[0].exit, Some(SessionExit::AuthFailed));
    assert!(told.attempts[0].started_at.is_none());
}

#[test]
fn what_was_tried_is_answered_for_a_bead_that_nobody_ever_tried() {
    let mut bench = Bench::new(0, quick());
    let bead: BeadId = bench.issue("lay the keel");
    let told = bench.run(|txn| attempts::attempts(txn.view(), &(&bead).into())).unwrap();
    assert!(told.attempts.is_empty() && !told.more && told.failure.is_none());
}
