//! What the control loops of other towns died of, one by one; `docs/failures.md` says which failure each stands for.

use serde_json::json;

use super::{Bench, oid, quick, rig};
use crate::model::{
    AgentRow, AgentState, BeadId, BeadKind, BeadRow, BeadStatus, Key, Order, SessionExit, SessionId, SessionState,
    Setback, SettingRow,
};
use crate::store::{Scan, index};
use crate::work::effects::{Done, Failed, Report};
use crate::work::liveness::{self, Seen, Sign};
use crate::work::view::text;
use crate::work::{sessions, sling};

fn slung(bench: &mut Bench) -> BeadId {
    let bead = bench.issue("lay the keel");
    bench.run(|txn| sling::sling(txn, &bead.clone().into())).unwrap();
    bead
}

fn agent_of(bench: &mut Bench, session: &SessionId) -> AgentRow {
    let id = bench.session(session).agent;
    bench.run(|txn| Ok(txn.find(&Key::agent(&id))?.unwrap())).unwrap()
}

#[test]
fn what_asks_for_somebody_is_never_given_to_an_agent() {
    let mut settings = quick();
    settings.insert("breaker.failures".to_owned(), json!(1));
    settings.insert("breaker.wait_ms".to_owned(), json!([3_600_000]));
    let mut bench = Bench::new(4, settings);
    slung(&mut bench);
    let start = bench.one("start");
    bench.report(&start, &Report::Failed(Failed::new(Setback::Refused, "the image is gone")));
    let prefix = vec![text(BeadKind::Escalation.as_str()), text(BeadStatus::Open.as_str())];
    let told: Vec<BeadRow> = bench.run(|txn| txn.all(Scan::new(&index::BEADS_BY_STATUS, prefix, 0))).unwrap();
    let [told] = &told[..] else { panic!("one bead tells of it: {told:?}") };
    let refused = bench.run(|txn| sling::sling(txn, &told.id.clone().into())).unwrap_err();
    assert_eq!(refused.code(), "not_an_issue", "only work is given to agents");
    for _ in 0..100 {
        bench.pass(30_000);
        assert!(bench.look().iter().all(|issued| issued.order.kind() != "start"), "the breaker is open");
    }
    assert_eq!(bench.events("breaker.opened").len(), 1);
}

#[test]
fn a_start_that_fails_gives_bead_and_agent_back_at_once() {
    for setback in [Setback::Transient, Setback::Auth, Setback::Gone, Setback::Refused] {
        let mut settings = quick();
        for name in ["effects.attempts_max", "effects.gone_attempts_max", "effects.auth_attempts_max"] {
            settings.insert(name.to_owned(), json!(1));
        }
        settings.insert("outages.backoff_ms".to_owned(), json!([60_000]));
        settings.insert("auth_failures.backoff_ms".to_owned(), json!([60_000]));
        let mut bench = Bench::new(1, settings);
        let bead = slung(&mut bench);
        let start = bench.one("start");
        let Order::Start { session, .. } = &start.order else { panic!("a start") };
        bench.report(&start, &Report::Failed(Failed::new(setback, "")));
        // No tick and no time in between: the same transaction gave them back.
        let row = bench.bead(&bead);
        assert_eq!((row.status, row.failures, row.agent_failures), (BeadStatus::Open, 0, 0), "{setback}");
        assert!(row.wake_at.is_some_and(|at| at > bench.now), "{setback}: it waits its time");
        let agent = agent_of(&mut bench, session);
        assert_eq!((agent.state, agent.hook), (AgentState::Idle, None), "{setback}");
        let ended = bench.session(session);
        assert_eq!(ended.state, SessionState::Ended);
        assert!(ended.reason.is_some_and(|reason| reason.contains("nobody said why")), "{setback}: it has a reason");
    }
}

/// What is told of one run: how it ended, and what was seen of it.
#[derive(Clone, Copy, Debug)]
enum Told {
    Ended,
    Alive,
    Over,
    Silent,
}

fn tell(bench: &mut Bench, session: &SessionId, epoch: i64, told: Told) {
    let sign = match told {
        Told::Ended => return bench.end(session, epoch, SessionExit::Succeeded, Some(oid(7))),
        Told::Alive => Sign::Alive { bytes: 10 },
        Told::Over => Sign::Over,
        Told::Silent => Sign::Silent { why: "no answer".to_owned() },
    };
    let seen = Seen { session: session.clone(), epoch, sign };
    bench.run(|txn| liveness::seen(txn, &[seen])).unwrap();
}

fn orders(told: &[Told]) -> Vec<Vec<Told>> {
    if told.len() < 2 {
        return vec![told.to_vec()];
    }
    let mut all = Vec::new();
    for first in 0..told.len() {
        let mut rest = told.to_vec();
        let first = rest.remove(first);
        all.extend(orders(&rest).into_iter().map(|mut order| {
            order.insert(0, first);
            order
        }));
    }
    all
}

#[test]
fn in_whatever_order_a_run_is_told_of_it_ends_the_same_and_the_next_feels_nothing() {
    let told = [Told::Ended, Told::Alive, Told::Over, Told::Silent, Told::Ended];
    let mut ends = Vec::new();
    for order in orders(&told) {
        let mut bench = Bench::new(1, quick());
        let bead = bench.issue("lay the keel");
        let (session, epoch) = bench.running(&bead);
        for told in &order {
            tell(&mut bench, &session, epoch, *told);
        }
        let (row, ended) = (bench.bead(&bead), bench.session(&session));
        let agent = agent_of(&mut bench, &session);
        let end = (row.status, row.epoch, row.failures, ended.state, ended.exit, ended.head, agent.state, agent.hook);
        assert_eq!(end.4, Some(SessionExit::Succeeded), "{order:?}");
        ends.push(end);

        // The same agent works on the next bead while the first is told of once more.
        let next = slung(&mut bench);
        let start = bench.one("start");
        bench.done(&start, Done::Started { base: oid(1) });
        let Order::Start { session: second, .. } = start.order else { panic!("a start") };
        let before = (bench.bead(&next), bench.session(&second), agent_of(&mut bench, &second));
        for told in order {
            tell(&mut bench, &session, epoch, told);
        }
        let after = (bench.bead(&next), bench.session(&second), agent_of(&mut bench, &second));
        assert_eq!(before, after);
    }
    assert_eq!(ends.len(), 120);
    assert!(ends.iter().all(|end| *end == ends[0]), "{ends:?}");
}

#[test]
fn a_stop_an_end_and_a_close_in_one_moment_leave_no_contradiction() {
    #[derive(Clone, Copy, Debug)]
    enum Act {
        Stop,
        End,
        Park,
        Close,
    }
    fn act(bench: &mut Bench, bead: &BeadId, session: &SessionId, epoch: i64, act: Act) {
        match act {
            Act::Stop => drop(bench.run(|txn| sessions::stop(txn, &session.clone().into()))),
            Act::End => bench.end(session, epoch, SessionExit::Failed, None),
            Act::Park => {
                let park = crate::work::ParkBead {
                    id: bead.clone(),
                    reason: "wait".to_owned(),
                    until: None,
                    expected_version: None,
                };
                drop(bench.run(|txn| crate::work::pause::park(txn, &park)));
            }
            Act::Close => {
                let close = crate::work::CloseBead { force: true, ..crate::work::CloseBead::from(bead) };
                drop(bench.run(|txn| crate::work::beads::close(txn, &close)));
            }
        }
    }
    let all = [Act::Stop, Act::End, Act::Park, Act::Close];
    for first in all {
        for second in all {
            for third in all {
                let mut bench = Bench::new(1, quick());
                let bead = bench.issue("lay the keel");
                let (session, epoch) = bench.running(&bead);
                for one in [first, second, third] {
                    act(&mut bench, &bead, &session, epoch, one);
                }
                for _ in 0..20 {
                    for issued in bench.look() {
                        match &issued.order {
                            Order::Start { .. } => bench.done(&issued, Done::Started { base: oid(1) }),
                            Order::Stop { session, .. } => {
                                bench.done(&issued, Done::Plainly);
                                let epoch = bench.session(session).epoch;
                                bench.end(session, epoch, SessionExit::Cancelled, None);
                            }
                            _ => bench.done(&issued, Done::Plainly),
                        }
                    }
                    bench.pass(1_000);
                }
                let acts = (first, second, third);
                let row = bench.bead(&bead);
                let agent = agent_of(&mut bench, &session);
                let live: Vec<_> =
                    [SessionState::Planned, SessionState::Starting, SessionState::Running, SessionState::Finishing]
                        .into_iter()
                        .flat_map(|state| {
                            let scan = Scan::new(&index::SESSIONS_BY_STATE, vec![text(state.as_str())], 0);
                            bench.run(|txn| txn.all::<crate::model::SessionRow>(scan)).unwrap()
                        })
                        .collect();
                match row.status {
                    BeadStatus::InProgress => {
                        assert_eq!((live.len(), agent.hook.as_ref()), (1, Some(&bead)), "{acts:?}");
                        assert_eq!(live[0].epoch, row.epoch, "{acts:?}");
                    }
                    _ => assert_eq!(
                        (live.len(), agent.hook, agent.state),
                        (0, None, AgentState::Idle),
                        "{acts:?} {row:?}"
                    ),
                }
            }
        }
    }
}

#[test]
fn a_setting_that_makes_no_sense_is_as_if_it_were_not_set() {
    let mut bench = Bench::new(2, quick());
    let updated_at = bench.now;
    for (scope, name, value) in [
        ("town", "sessions.max", json!("many")),
        ("rig:harbour", "sessions.max", json!(-3)),
        ("rig:harbour", "failures.max", json!({})),
        ("town", "backoff.jitter_percent", json!(null)),
        ("town", "no.such", json!(1)),
    ] {
        let row = SettingRow { scope: scope.to_owned(), name: name.to_owned(), value, updated_at };
        bench.run(|txn| txn.put(row)).unwrap();
    }
    let bead = bench.issue("lay the keel");
    let (session, epoch) = bench.running(&bead);
    bench.end(&session, epoch, SessionExit::Failed, None);
    assert_eq!(bench.bead(&bead).failures, 1);
    let again = bench.one("start");
    assert!(matches!(again.order, Order::Start { epoch, .. } if epoch == 2), "it is tried again as by the default");
}

#[test]
fn a_rig_without_a_program_is_told_by_name_and_counts_as_no_failure() {
    let mut bench = Bench::new(1, quick());
    let bead = slung(&mut bench);
    let start = bench.one("start");
    let reason = "the setting agent.command names no program".to_owned();
    bench.report(&start, &Report::Refused { reason });
    let row = bench.bead(&bead);
    assert_eq!((row.status, row.failures, row.agent_failures, row.outages), (BeadStatus::Open, 0, 0, 1));
    let tried = bench.run(|txn| crate::work::attempts::attempts(txn.view(), &bead.clone().into())).unwrap();
    assert!(tried.attempts[0].reason.as_deref().is_some_and(|why| why.contains("agent.command")), "{tried:?}");
    assert_eq!(row.rig, Some(rig()));
}
