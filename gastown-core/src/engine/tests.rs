//! The rules and the outcomes together, without an outside world: effects are answered by hand.

mod ailments;
mod breaker;
mod drain;
mod faults;
mod liveness;
mod outbox;
mod scenarios;
mod triage;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::json;

use super::tick;
use crate::model::{
    AgentName, BeadId, BeadRow, BeadStatus, ConvoyRow, ConvoyState, EffectId, EffectRow, EffectState, Error, Event,
    FailurePolicy, Key, MergeRequestRow, Oid, Order, RUN_ID_BYTES_MAX, Resolution, Result, ReviewState, RigName, Scope,
    SessionExit, SessionId, SessionRow, SessionState, Timestamp, TownId, TownRow,
};
use crate::store::{Access, Backend, Connection, MemoryBackend, Scan, index};
use crate::work::effects::{Done, Issued, Report};
use crate::work::outcome::{self, Ended};
use crate::work::sessions::SessionRef;
use crate::work::sling::{self, Sling};
use crate::work::txn::{Ctx, ScopedTxn};
use crate::work::view::text;
use crate::work::{
    AddRig, CloseBead, NewBead, NewSettings, RegisterAgent, SlingConvoy, Task, agents, beads, command, convoys,
    effects, leader, reviews, rigs, sessions, upgrade,
};

/// A town in memory whose outside world is this test.
pub(super) struct Bench {
    pub(super) connection: Box<dyn Connection>,
    pub(super) now: Timestamp,
    seed: u64,
    leader: i64,
}

impl Bench {
    pub(super) fn new(agents: usize, settings: NewSettings) -> Self {
        let connection = MemoryBackend::new().connect(Access::Write).unwrap();
        let mut bench = Self { connection, now: Timestamp::from_micros(1_000_000), seed: 1, leader: 0 };
        let town = TownRow {
            id: TownId::new("town").unwrap(),
            created_at: bench.now,
            data_schema: upgrade::DATA_SCHEMA,
            paused_reason: None,
            paused_until: None,
        };
        bench.run(|txn| txn.put(town)).unwrap();
        let add = AddRig { settings, ..AddRig::new(rig(), "/origin.git") };
        bench.run(move |txn| rigs::add(txn, &add)).unwrap();
        for n in 0..agents {
            let name = AgentName::new(format!("toast{n}")).unwrap();
            bench.run(move |txn| agents::register(txn, &RegisterAgent::polecat(name.clone(), rig()))).unwrap();
        }
        bench.lead("one");
        bench
    }

    pub(super) fn run<O>(&mut self, work: impl FnOnce(&mut ScopedTxn<'_>) -> Result<O>) -> Result<O> {
        self.seed += 1;
        let ctx = Ctx::at(self.now, self.seed);
        let town = TownId::new("town").unwrap();
        let mut raw = self.connection.write(&town).unwrap();
        let answer = command::step(&mut *raw, &ctx, "test", work)?;
        raw.commit().unwrap();
        Ok(answer)
    }

    /// Lets so many milliseconds pass.
    fn pass(&mut self, ms: u64) {
        self.now = self.now.after(Duration::from_millis(ms));
    }

    fn session(&mut self, id: &SessionId) -> SessionRow {
        self.run(|txn| sessions::row(txn.view(), id)).unwrap()
    }

    fn lead(&mut self, holder: &str) {
        let dead = if self.leader == 0 { None } else { Some("one") };
        self.leader = self.run(|txn| leader::acquire(txn, holder, Duration::from_secs(90), dead)).unwrap();
    }

    /// Ticks, then begins whatever is due.
    pub(super) fn look(&mut self) -> Vec<Issued> {
        let epoch = self.leader;
        let mut room: BTreeMap<&'static str, usize> = [
            "start",
            "stop",
            "nudge",
            "notice",
            "save",
            "publish",
            "branch",
            "merge",
            "gate",
            "land",
            "cleanup",
            "delete_branch",
        ]
        .into_iter()
        .map(|kind| (kind, 100))
        .collect();
        self.run(|txn| {
            while tick(txn)?.more {}
            effects::issue(txn, epoch, &mut room)
        })
        .unwrap()
    }

    fn report(&mut self, issued: &Issued, report: &Report) {
        let epoch = self.leader;
        self.run(|txn| effects::report(txn, &issued.id, epoch, issued.attempt, report)).unwrap();
    }

    pub(super) fn done(&mut self, issued: &Issued, done: Done) {
        self.report(issued, &Report::Done(done));
    }

    /// Looks and expects exactly one effect of this kind among what is begun; others are confirmed plainly.
    fn one(&mut self, kind: &str) -> Issued {
        let (mut wanted, others): (Vec<_>, Vec<_>) =
            self.look().into_iter().partition(|issued| issued.order.kind() == kind);
        for other in others {
            self.done(&other, Done::Plainly);
        }
        assert_eq!(wanted.len(), 1, "one {kind} is begun");
        wanted.remove(0)
    }

    pub(super) fn end(&mut self, session: &SessionId, epoch: i64, exit: SessionExit, head: Option<Oid>) {
        let ended = Ended { exit, reason: "by the test".to_owned(), head, saved: None, keep_workspace: false };
        self.run(|txn| outcome::end(txn, session, epoch, &ended)).unwrap();
    }

    pub(super) fn bead(&mut self, id: &BeadId) -> BeadRow {
        self.run(|txn| txn.bead(id)).unwrap()
    }

    fn review_of(&mut self, source: &BeadId) -> MergeRequestRow {
        self.run(|txn| {
            Ok(txn.all::<MergeRequestRow>(Scan::new(&index::REVIEWS_BY_SOURCE, vec![text(source)], 0))?.pop().unwrap())
        })
        .unwrap()
    }

    fn effect(&mut self, id: &EffectId) -> EffectRow {
        self.run(|txn| Ok(txn.find(&Key::effect(id))?.unwrap())).unwrap()
    }

    pub(super) fn events(&mut self, kind: &str) -> Vec<Event> {
        let town = TownId::new("town").unwrap();
        let reader = self.connection.read(&town).unwrap();
        reader.events(0, 100_000).unwrap().into_iter().filter(|event| event.kind == kind).collect()
    }

    pub(super) fn issue(&mut self, title: &str) -> BeadId {
        let new = NewBead::titled(title).in_rig(rig());
        self.run(|txn| beads::create(txn, &new)).unwrap().id
    }

    /// Slings a bead and brings it to a running session.
    fn running(&mut self, bead: &BeadId) -> (SessionId, i64) {
        let input: Sling = bead.clone().into();
        self.run(|txn| sling::sling(txn, &input)).unwrap();
        let start = self.one("start");
        self.done(&start, Done::Started { base: oid(1) });
        let Order::Start { session, epoch, .. } = start.order else { panic!("a start") };
        (session, epoch)
    }

    /// Brings a running session's work to a merge commit whose landing was begun.
    fn landing(&mut self, session: &SessionId, epoch: i64, head: Oid) -> Issued {
        self.end(session, epoch, SessionExit::Succeeded, Some(head));
        let publish = self.one("publish");
        self.done(&publish, Done::Plainly);
        let merge = self.one("merge");
        self.done(&merge, Done::Merged { target: oid(1), commit: oid(90) });
        self.one("land")
    }
}

pub(super) fn rig() -> RigName {
    RigName::new("harbour").unwrap()
}

pub(super) fn oid(n: u64) -> Oid {
    Oid::new(format!("{n:040x}")).unwrap()
}

fn quick() -> NewSettings {
    ["failures.backoff_ms", "agent_failures.backoff_ms", "outages.backoff_ms", "effects.backoff_ms"]
        .map(|name| (name.to_owned(), json!([0])))
        .into()
}

#[test]
fn a_bead_goes_from_sling_to_merged() {
    let mut bench = Bench::new(1, quick());
    let bead = bench.issue("lay the keel");
    let (session, epoch) = bench.running(&bead);
    assert_eq!(bench.bead(&bead).status, BeadStatus::InProgress);
    let land = bench.landing(&session, epoch, oid(7));
    assert_eq!(bench.bead(&bead).status, BeadStatus::InReview);
    bench.done(&land, Done::Plainly);
    let row = bench.bead(&bead);
    assert_eq!((row.status, row.resolution), (BeadStatus::Closed, Some(Resolution::Merged)));
    let review = bench.review_of(&bead);
    assert_eq!((review.state, review.landed_oid), (ReviewState::Merged, Some(oid(90))));
}

#[test]
fn what_an_older_leader_reports_is_journaled_and_ignored() {
    let mut bench = Bench::new(1, quick());
    let bead = bench.issue("lay the keel");
    bench.run(|txn| sling::sling(txn, &bead.clone().into())).unwrap();
    let start = bench.one("start");
    let old = bench.leader;
    bench.lead("two");
    assert_eq!(bench.effect(&start.id).state, EffectState::Ambiguous);
    let late = Report::Done(Done::Started { base: oid(1) });
    bench.run(|txn| effects::report(txn, &start.id, old, start.attempt, &late)).unwrap();
    assert_eq!(bench.effect(&start.id).state, EffectState::Ambiguous);
    assert_eq!(bench.events("effect.stale_report").len(), 1);

    let probe = bench.one("start");
    assert!(probe.probe, "it is found out first");
    bench.report(&probe, &Report::Absent);
    let again = bench.one("start");
    assert!(!again.probe && again.attempt == start.attempt + 1);
    bench.done(&again, Done::Started { base: oid(1) });
    bench.done(&again, Done::Started { base: oid(2) });
    assert_eq!(bench.events("session.started").len(), 1, "a report that comes twice counts once");
}

#[test]
fn what_a_finished_epoch_reports_is_journaled_and_ignored() {
    let mut bench = Bench::new(1, quick());
    let bead = bench.issue("lay the keel");
    let (first, epoch) = bench.running(&bead);
    bench.end(&first, epoch, SessionExit::Failed, None);
    let start = bench.one("start");
    bench.done(&start, Done::Started { base: oid(1) });
    let before = bench.bead(&bead);
    bench.end(&first, epoch, SessionExit::Succeeded, Some(oid(66)));
    assert_eq!(bench.bead(&bead), before);
    assert_eq!(bench.events("session.stale_report").len(), 1);
    assert_eq!((before.epoch, before.failures), (2, 1));
}

#[test]
fn what_a_leader_began_without_hearing_of_it_is_probed_by_itself() {
    let mut bench = Bench::new(1, quick());
    let bead = bench.issue("lay the keel");
    bench.run(|txn| sling::sling(txn, &bead.clone().into())).unwrap();
    let unheard = bench.one("start");
    let epoch = bench.leader;
    let known = BTreeSet::from([(unheard.id.clone(), unheard.attempt)]);
    assert_eq!(bench.run(|txn| effects::suspect_unheard(txn, epoch, &known)).unwrap(), 0);
    assert_eq!(bench.effect(&unheard.id).state, EffectState::Issued);
    assert_eq!(bench.run(|txn| effects::suspect_unheard(txn, epoch, &BTreeSet::new())).unwrap(), 1);
    let probe = bench.one("start");
    assert_eq!((&probe.id, probe.probe, probe.attempt), (&unheard.id, true, unheard.attempt));
    bench.report(&probe, &Report::Absent);
    let again = bench.one("start");
    assert_eq!((again.probe, again.attempt), (false, unheard.attempt + 1));
}

#[test]
fn failures_of_the_work_are_bounded_and_outages_are_not_failures() {
    let mut settings = quick();
    settings.insert("agent_failures.max".to_owned(), json!(2));
    settings.insert("outages.max".to_owned(), json!(2));
    let mut bench = Bench::new(1, settings);
    let (work, start) = (bench.issue("fails"), bench.issue("never starts"));
    let (session, epoch) = bench.running(&work);
    bench.end(&session, epoch, SessionExit::Succeeded, None);
    assert_eq!(bench.bead(&work).agent_failures, 1, "to end well without a commit is the agent's failure");
    let again = bench.one("start");
    bench.done(&again, Done::Started { base: oid(1) });
    bench.end(&SessionId::new(format!("s-{work}-2")).unwrap(), 2, SessionExit::Crashed, None);
    let row = bench.bead(&work);
    assert_eq!((row.status, row.resolution), (BeadStatus::Failed, Some(Resolution::AttemptsExhausted)));

    bench.run(|txn| sling::sling(txn, &start.clone().into())).unwrap();
    for _ in 0..2 {
        let refused = bench.one("start");
        bench.report(&refused, &Report::Refused { reason: "no such program".to_owned() });
    }
    let row = bench.bead(&start);
    assert_eq!((row.status, row.failures, row.outages), (BeadStatus::Open, 0, 2));
    assert!(row.parked_reason.unwrap().contains("no such program"));
    assert!(bench.look().iter().all(|issued| issued.order.kind() != "start"), "what is parked is not given out");
}

#[test]
fn a_target_that_keeps_moving_is_given_up_after_the_bound() {
    let mut settings = quick();
    settings.insert("landing.attempts_max".to_owned(), json!(3));
    let mut bench = Bench::new(1, settings);
    let bead = bench.issue("lay the keel");
    let (session, epoch) = bench.running(&bead);
    let mut land = bench.landing(&session, epoch, oid(7));
    for attempt in 1..=3 {
        bench.done(&land, Done::Moved { actual: Some(oid(50 + attempt)) });
        if attempt < 3 {
            let merge = bench.one("merge");
            bench.done(&merge, Done::Merged { target: oid(50 + attempt), commit: oid(90 + attempt) });
            land = bench.one("land");
        }
    }
    assert_eq!(bench.review_of(&bead).state, ReviewState::Ejected);
    let row = bench.bead(&bead);
    assert!(row.status == BeadStatus::Open && row.parked_reason.unwrap().contains("moved"));
}

#[test]
fn a_session_is_stopped_whatever_it_is_doing() {
    let mut bench = Bench::new(3, quick());
    let (planned, starting, running) = (bench.issue("planned"), bench.issue("starting"), bench.issue("running"));
    let session = |bead: &BeadId| SessionId::new(format!("s-{bead}-1")).unwrap();
    let stop = |bench: &mut Bench, bead: &BeadId| {
        let input = SessionRef { id: session(bead) };
        bench.run(|txn| sessions::stop(txn, &input)).unwrap().state
    };
    bench.running(&running);
    bench.run(|txn| sling::sling(txn, &starting.clone().into())).unwrap();
    let start = bench.one("start");
    bench.run(|txn| sling::sling(txn, &planned.clone().into())).unwrap();

    assert_eq!(stop(&mut bench, &planned), SessionState::Ended);
    assert_eq!(stop(&mut bench, &starting), SessionState::Finishing);
    assert_eq!(stop(&mut bench, &running), SessionState::Finishing);
    let stops = bench.look();
    assert_eq!(stops.iter().filter(|issued| issued.order.kind() == "stop").count(), 2);
    for issued in &stops {
        bench.done(issued, Done::Plainly);
    }
    // The process of the second came up after the wish to stop it was carried out: it is stopped again.
    bench.done(&start, Done::Started { base: oid(1) });
    let again = bench.one("stop");
    bench.done(&again, Done::Plainly);
    for bead in [&starting, &running] {
        bench.end(&session(bead), 1, SessionExit::Cancelled, None);
    }
    for bead in [&planned, &starting, &running] {
        let row = bench.bead(bead);
        assert_eq!((row.status, row.slung, row.failures), (BeadStatus::Open, false, 0), "{}", row.title);
    }
}

#[test]
fn a_bead_closed_by_hand_takes_its_merge_request_along_unless_it_is_being_published() {
    let mut bench = Bench::new(2, quick());
    let (early, late) = (bench.issue("early"), bench.issue("late"));
    let (session, epoch) = bench.running(&early);
    bench.end(&session, epoch, SessionExit::Succeeded, Some(oid(7)));
    let close: CloseBead = early.clone().into();
    bench.run(|txn| beads::close(txn, &close)).unwrap();
    assert_eq!(bench.review_of(&early).state, ReviewState::Abandoned);

    let (session, epoch) = bench.running(&late);
    let land = bench.landing(&session, epoch, oid(8));
    let close: CloseBead = late.clone().into();
    assert_eq!(bench.run(|txn| beads::close(txn, &close)).unwrap_err().code(), "bead_landing");
    bench.done(&land, Done::Plainly);
    assert_eq!(bench.bead(&late).resolution, Some(Resolution::Merged));
}

/// A convoy of a failing task and one that waits for it, until the first has failed for good.
fn failing_convoy(policy: FailurePolicy) -> (Bench, BeadId, Vec<BeadId>) {
    let mut settings = quick();
    settings.insert("failures.max".to_owned(), json!(1));
    let mut bench = Bench::new(1, settings);
    let tasks = vec![Task::new("fails", []), Task::new("waits", [0])];
    let sling = SlingConvoy { on_failure: policy, ..SlingConvoy::new("a ship", rig(), tasks) };
    let convoy = bench.run(|txn| convoys::sling(txn, &sling)).unwrap();
    let branch = bench.one("branch");
    bench.done(&branch, Done::Branched { oid: oid(1) });
    let start = bench.one("start");
    bench.done(&start, Done::Started { base: oid(1) });
    let Order::Start { session, epoch, bead, .. } = start.order else { panic!("a start") };
    bench.end(&session, epoch, SessionExit::Failed, None);
    bench.look();
    let mut members = convoy.members;
    members.sort_by_key(|id| *id != bead);
    (bench, convoy.id, members)
}

fn convoy(bench: &mut Bench, id: &BeadId) -> ConvoyRow {
    bench.run(|txn| convoys::row(txn.view(), id)).unwrap()
}

#[test]
fn a_failed_member_blocks_skips_or_continues_by_the_convoys_policy() {
    let (mut bench, id, members) = failing_convoy(FailurePolicy::Block);
    assert_eq!(convoy(&mut bench, &id).state, ConvoyState::NeedsAttention);
    assert_eq!(bench.bead(&members[1]).blockers, 1);

    let (mut bench, id, members) = failing_convoy(FailurePolicy::Skip);
    let waiter = bench.bead(&members[1]);
    assert_eq!((waiter.status, waiter.resolution), (BeadStatus::Closed, Some(Resolution::Skipped)));
    assert_eq!(convoy(&mut bench, &id).state, ConvoyState::Landed, "there is nothing to bring home");

    let (mut bench, id, members) = failing_convoy(FailurePolicy::Continue);
    assert_eq!(bench.bead(&members[1]).status, BeadStatus::InProgress);
    assert_eq!(convoy(&mut bench, &id).state, ConvoyState::Active);
}

#[test]
fn a_convoy_that_was_blocked_goes_on_when_the_failed_bead_is_reopened() {
    let (mut bench, id, members) = failing_convoy(FailurePolicy::Block);
    bench.run(|txn| beads::reopen(txn, &(&members[0]).into())).unwrap();
    bench.look();
    assert_eq!(convoy(&mut bench, &id).state, ConvoyState::Active);
    let (session, epoch) = bench.running(&members[0]);
    let land = bench.landing(&session, epoch, oid(7));
    bench.done(&land, Done::Plainly);
    assert_eq!(bench.bead(&members[1]).blockers, 0);
}

#[test]
fn a_waiter_outside_the_convoy_is_free_only_when_the_convoy_has_landed() {
    let mut bench = Bench::new(1, quick());
    let sling = SlingConvoy::new("a ship", rig(), vec![Task::new("keel", [])]);
    let made = bench.run(|txn| convoys::sling(txn, &sling)).unwrap();
    let outside = bench.issue("outside");
    let link = crate::work::Link::blocks(outside.clone(), made.members[0].clone());
    bench.run(|txn| crate::work::graph::link(txn, &link)).unwrap();
    let branch = bench.one("branch");
    bench.done(&branch, Done::Branched { oid: oid(1) });
    let start = bench.one("start");
    bench.done(&start, Done::Started { base: oid(1) });
    let Order::Start { session, epoch, .. } = start.order else { panic!("a start") };
    let land = bench.landing(&session, epoch, oid(7));
    bench.done(&land, Done::Plainly);
    assert_eq!(bench.bead(&outside).blockers, 1, "merged into the convoy's branch is not in the target");
    let merge = bench.one("merge");
    bench.done(&merge, Done::Merged { target: oid(1), commit: oid(91) });
    let land = bench.one("land");
    bench.done(&land, Done::Plainly);
    assert_eq!(convoy(&mut bench, &made.id).state, ConvoyState::Landed);
    assert_eq!(bench.bead(&outside).blockers, 0);
    assert_eq!(bench.bead(&made.members[0]).resolution, Some(Resolution::Landed));
}

#[test]
fn a_bead_whose_rule_fails_is_set_aside_and_the_others_go_on() {
    let mut bench = Bench::new(1, quick());
    let broken = bench
        .run(|txn| {
            let new = NewBead::titled("a convoy without its detail").in_rig(rig());
            let bead = beads::insert(txn, crate::model::BeadKind::Convoy, &new, None)?;
            txn.mark_dirty(&bead.id)?;
            Ok(bead.id)
        })
        .unwrap();
    let good = bench.issue("lay the keel");
    bench.run(|txn| txn.put_bead(BeadRow { slung: true, ..txn.bead(&good)? })).unwrap();
    assert_eq!(bench.run(tick).unwrap_err().code(), "convoy_missing");
    for id in bench.run(|txn| super::pending(txn.view())).unwrap() {
        if let Err(error) = bench.run(|txn| super::look_at(txn, &id)) {
            bench.run(|txn| super::set_aside(txn, &id, &error.to_string())).unwrap();
        }
    }
    assert!(bench.bead(&broken).parked_reason.unwrap().contains("there is no convoy"));
    bench.run(tick).unwrap();
    assert_eq!(bench.bead(&good).status, BeadStatus::InProgress);
}

#[test]
fn beads_for_a_busy_agent_do_not_hold_up_the_others() {
    let mut bench = Bench::new(2, quick());
    let busy = AgentName::new("toast0").unwrap();
    let agent = bench.run(|txn| agents::by_name(txn.view(), &busy)).unwrap();
    bench
        .run(|txn| txn.put(crate::model::AgentRow { state: crate::model::AgentState::Paused, ..agent.clone() }))
        .unwrap();
    for n in 0..300 {
        let id = bench.issue(&format!("for toast0, {n}"));
        bench.run(|txn| sling::sling(txn, &Sling { to: Some(busy.clone()), ..id.clone().into() })).unwrap();
    }
    let other = bench.issue("for anybody");
    bench.run(|txn| txn.put_bead(BeadRow { slung: true, priority: 4, ..txn.bead(&other)? })).unwrap();
    bench.run(tick).unwrap();
    assert_eq!(bench.bead(&other).status, BeadStatus::InProgress);
}

/// Parts of parts, until the id has as many bytes as it may have or none can be made; answers the last one and why.
fn nested(bench: &mut Bench, bytes_max: usize) -> (BeadId, Option<Error>) {
    let mut id = bench.issue("a part of a part of a part");
    while id.as_str().len() + ".1".len() <= bytes_max {
        let new = NewBead { parent: Some(id.clone()), ..NewBead::titled("a part").in_rig(rig()) };
        match bench.run(|txn| beads::create(txn, &new)) {
            Ok(part) => id = part.id,
            Err(error) => return (id, Some(error)),
        }
    }
    (id, None)
}

#[test]
fn a_bead_with_the_longest_id_that_runs_goes_all_the_way_and_a_longer_one_is_not_slung() {
    let mut bench = Bench::new(1, quick());
    let (longest, _) = nested(&mut bench, RUN_ID_BYTES_MAX);
    let (session, epoch) = bench.running(&longest);
    let land = bench.landing(&session, epoch, oid(7));
    bench.done(&land, Done::Plainly);
    assert_eq!(bench.bead(&longest).resolution, Some(Resolution::Merged));

    let (too_long, refused) = nested(&mut bench, usize::MAX);
    assert_eq!(refused.unwrap().code(), "nested_too_deep");
    let error = bench.run(|txn| sling::sling(txn, &Sling::from(too_long.clone()))).unwrap_err();
    assert_eq!((error.code(), error.fact("bytes_max")), ("id_too_long_to_run", Some("100")));
}

#[test]
fn work_that_could_not_be_brought_home_is_queued_again_by_a_sling() {
    let mut bench = Bench::new(1, quick());
    let bead = bench.issue("lay the keel");
    let (session, epoch) = bench.running(&bead);
    bench.end(&session, epoch, SessionExit::Succeeded, Some(oid(7)));
    let publish = bench.one("publish");
    bench.report(&publish, &Report::Refused { reason: "the remote is gone".to_owned() });
    assert!(bench.bead(&bead).parked_reason.unwrap().contains("the remote is gone"));
    bench.run(|txn| sling::sling(txn, &bead.clone().into())).unwrap();
    assert_eq!(bench.bead(&bead).status, BeadStatus::InReview);
    let publish = bench.one("publish");
    assert!(matches!(&publish.order, Order::Publish { head, .. } if *head == oid(7)), "the same commit");
}

#[test]
fn a_claim_that_ran_out_can_be_claimed_by_somebody_else() {
    let mut bench = Bench::new(1, quick());
    let bead = bench.issue("lay the keel");
    let claim = |by: &str| crate::work::Claim::of(bead.clone(), by).for_ms(1_000);
    bench.run(|txn| crate::work::ready::claim(txn, &claim("tess"))).unwrap();
    assert_eq!(bench.run(|txn| crate::work::ready::claim(txn, &claim("tom"))).unwrap_err().code(), "bead_held");
    bench.now = bench.now.after(Duration::from_secs(1));
    let taken = bench.run(|txn| crate::work::ready::claim(txn, &claim("tom"))).unwrap();
    assert_eq!((taken.assignee.as_deref(), taken.epoch), (Some("tom"), 2));
}

#[test]
fn an_idle_town_is_not_looked_at_again() {
    let mut bench = Bench::new(1, quick());
    let bead = bench.issue("lay the keel");
    let (session, epoch) = bench.running(&bead);
    let land = bench.landing(&session, epoch, oid(7));
    bench.done(&land, Done::Plainly);
    for issued in bench.look() {
        bench.done(&issued, Done::Plainly);
    }
    let before = bench.run(|txn| Ok(txn.town_view().whole_town()?.head()?.seq)).unwrap();
    let ticked = bench.run(tick).unwrap();
    assert_eq!((ticked.next_wake, ticked.more), (None, false));
    let after = bench.run(|txn| Ok(txn.town_view().whole_town()?.head()?.seq)).unwrap();
    assert_eq!(before, after, "a look at a settled town journals nothing");
    assert_eq!(
        reviews::list(
            crate::work::view::View::new(
                &*bench.connection.read(&TownId::new("town").unwrap()).unwrap(),
                &Scope::Operator,
                bench.now
            ),
            &crate::work::ReviewFilter { source: Some(bead), state: None },
        )
        .unwrap()
        .reviews
        .len(),
        1
    );
}
