//! The outbox: how often what is tried again, what was given up, and that one effect does not hold up another.

use serde_json::json;

use super::{Bench, oid, quick, rig};
use crate::model::{EffectId, EffectRow, EffectState, Key, Order, SessionExit, SessionId, Setback};
use crate::work::effects::{Done, Failed, Report};
use crate::work::outbox::{self, EffectFilter, EffectRef};
use crate::work::{NewSettings, effects, sling};

fn settings(more: &[(&str, serde_json::Value)]) -> NewSettings {
    let mut settings = quick();
    settings.insert("effects.auth_backoff_ms".to_owned(), json!([0]));
    settings.insert("backoff.jitter_percent".to_owned(), json!(0));
    settings.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    settings
}

/// A town in which the cleanup of an ended session is wanted.
fn with_cleanup(settings: NewSettings) -> (Bench, EffectId) {
    let mut bench = Bench::new(1, settings);
    let bead = bench.issue("lay the keel");
    let (session, epoch) = bench.running(&bead);
    bench.end(&session, epoch, SessionExit::Succeeded, Some(oid(7)));
    (bench, EffectId::new(format!("cleanup#{session}#1")).unwrap())
}

/// Fails the effect until it is given up; answers after how many tries.
fn tries(bench: &mut Bench, id: &EffectId, setback: Setback) -> u32 {
    for nth in 1..=50 {
        for issued in bench.look() {
            if issued.id == *id {
                bench.report(&issued, &Report::Failed(Failed::new(setback, "it did not work")));
            }
        }
        if bench.effect(id).state == EffectState::Refused {
            return nth;
        }
    }
    panic!("it is tried for ever");
}

#[test]
fn each_class_of_error_is_tried_as_often_as_its_setting_says_and_then_given_up_with_its_reason() {
    for (setback, name, most) in [
        (Setback::Transient, "effects.attempts_max", 6),
        (Setback::Gone, "effects.gone_attempts_max", 2),
        (Setback::Auth, "effects.auth_attempts_max", 4),
        (Setback::Refused, "effects.attempts_max", 1),
    ] {
        let set = if setback == Setback::Refused { 9 } else { most };
        let (mut bench, id) = with_cleanup(settings(&[(name, json!(set))]));
        assert_eq!(tries(&mut bench, &id, setback), most, "{setback}");
        let row = bench.effect(&id);
        assert_eq!((row.setback, row.attempts), (Some(setback), most));
        let listed = bench.run(|txn| outbox::list(txn.view(), &EffectFilter::default())).unwrap();
        let one = listed.effects.iter().find(|effect| effect.id == id).unwrap();
        assert!(one.outcome.as_deref().unwrap().contains("it did not work"));
        assert!(one.order.as_deref().unwrap().starts_with("remove the workspace of"));
    }
}

#[test]
fn credentials_that_were_refused_are_tried_after_waits_of_their_own() {
    let (mut bench, id) = with_cleanup(settings(&[("effects.auth_backoff_ms", json!([5_000]))]));
    let issued = bench.look().into_iter().find(|issued| issued.id == id).unwrap();
    bench.report(&issued, &Report::Failed(Failed::new(Setback::Auth, "no")));
    let now = bench.now;
    assert_eq!(bench.effect(&id).next_at.since(now).as_millis(), 5_000);
    bench.pass(4_999);
    assert!(bench.look().iter().all(|issued| issued.id != id));
    bench.pass(1);
    assert!(bench.look().iter().any(|issued| issued.id == id));
}

#[test]
fn what_was_given_up_is_tried_again_on_demand_where_somebody_still_wants_it() {
    let (mut bench, id) = with_cleanup(settings(&[]));
    let early = bench.run(|txn| outbox::retry(txn, &EffectRef { id: id.clone() })).unwrap_err();
    assert_eq!((early.code(), early.fact("state")), ("effect_not_given_up", Some("planned")));
    tries(&mut bench, &id, Setback::Refused);
    let again = bench.run(|txn| outbox::retry(txn, &EffectRef { id: id.clone() })).unwrap();
    assert_eq!((again.state, again.attempts, again.id.as_str().ends_with("#2")), (EffectState::Planned, 0, true));
    let same = bench.run(|txn| outbox::retry(txn, &EffectRef { id: id.clone() })).unwrap();
    assert_eq!(same.id, again.id, "once is enough while it waits");
    let issued = bench.look().into_iter().find(|issued| issued.id == again.id).unwrap();
    bench.done(&issued, Done::Plainly);
    assert_eq!(bench.effect(&again.id).state, EffectState::Confirmed);
    assert_eq!(bench.effect(&id).state, EffectState::Refused, "what happened stays told");

    let missing = EffectRef { id: EffectId::new("stop#s-none#1").unwrap() };
    assert_eq!(bench.run(|txn| outbox::retry(txn, &missing)).unwrap_err().code(), "effect_missing");
}

#[test]
fn a_start_that_was_given_up_is_not_tried_again_behind_the_back_of_a_later_session() {
    let mut bench = Bench::new(1, settings(&[]));
    let bead = bench.issue("lay the keel");
    bench.run(|txn| sling::sling(txn, &bead.clone().into())).unwrap();
    let start = bench.one("start");
    bench.report(&start, &Report::Refused { reason: "no such program".to_owned() });
    let error = bench.run(|txn| outbox::retry(txn, &EffectRef { id: start.id.clone() })).unwrap_err();
    assert_eq!(error.code(), "effect_unwanted");
    assert!(error.fact("order").unwrap().starts_with("start toast0"));
}

#[test]
fn effects_are_listed_by_state_and_kind_a_page_at_a_time() {
    let mut bench = Bench::new(0, settings(&[]));
    for n in 0..5 {
        let session = SessionId::new(format!("s-{n}")).unwrap();
        bench.run(|txn| effects::enqueue(txn, &Order::Cleanup { session: session.clone(), rig: rig() }, 1)).unwrap();
        bench.run(|txn| effects::enqueue(txn, &Order::Stop { session, rig: rig() }, 1)).unwrap();
    }
    let mut filter = EffectFilter {
        state: Some(EffectState::Planned),
        kind: Some("cleanup".to_owned()),
        limit: Some(2),
        ..EffectFilter::default()
    };
    let mut found = Vec::new();
    loop {
        let page = bench.run(|txn| outbox::list(txn.view(), &filter)).unwrap();
        assert!(page.effects.len() <= 2);
        found.extend(page.effects.into_iter().map(|effect| effect.id.to_string()));
        let Some(cursor) = page.cursor else { break };
        filter.cursor = Some(cursor);
    }
    assert_eq!(found, (0..5).map(|n| format!("cleanup#s-{n}#1")).collect::<Vec<_>>());
    let all = EffectFilter { state: Some(EffectState::Planned), ..EffectFilter::default() };
    assert_eq!(bench.run(|txn| outbox::list(txn.view(), &all)).unwrap().effects.len(), 10);
    for wrong in [0, 1_001] {
        let filter = EffectFilter { limit: Some(wrong), ..EffectFilter::default() };
        assert_eq!(bench.run(|txn| outbox::list(txn.view(), &filter)).unwrap_err().code(), "limit_out_of_range");
    }
    let filter = EffectFilter { cursor: Some("nonsense".to_owned()), ..EffectFilter::default() };
    assert_eq!(bench.run(|txn| outbox::list(txn.view(), &filter)).unwrap_err().code(), "cursor_malformed");
}

/// An effect as a damaged or strange town might hold it.
fn strange(id: &str, kind: &str, payload: serde_json::Value, bench: &Bench) -> EffectRow {
    EffectRow {
        id: EffectId::new(id).unwrap(),
        kind: kind.to_owned(),
        rig: rig(),
        state: EffectState::Planned,
        payload,
        attempts: 0,
        leader_epoch: 0,
        next_at: bench.now,
        outcome: None,
        created_at: bench.now,
        updated_at: bench.now,
        setback: None,
    }
}

#[test]
fn an_effect_that_cannot_be_begun_is_given_up_alone_and_never_delays_others() {
    let mut bench = Bench::new(1, settings(&[]));
    let orphan =
        json!({ "kind": "start", "session": "s-gone", "agent": "nux", "bead": "hb-1", "epoch": 1, "rig": "harbour" });
    let poison = [
        strange("start#s-gone#1", "start", orphan, &bench),
        strange("start#s-mad#1", "start", json!({ "kind": "start" }), &bench),
        strange("paint#hull#1", "paint", json!({ "kind": "paint" }), &bench),
    ];
    let ids: Vec<EffectId> = poison.iter().map(|row| row.id.clone()).collect();
    bench.run(|txn| poison.into_iter().try_for_each(|row| txn.put(row))).unwrap();
    let bead = bench.issue("lay the keel");
    bench.run(|txn| sling::sling(txn, &bead.clone().into())).unwrap();
    let start = bench.one("start");
    assert!(start.id.as_str().contains(bead.as_str()));
    for id in ids {
        let row = bench.effect(&id);
        assert_eq!((row.state, row.setback), (EffectState::Refused, Some(Setback::Refused)), "{id}");
        assert!(!row.outcome.unwrap().is_empty(), "{id} says why");
    }
}

#[test]
fn a_thousand_effects_of_one_kind_do_not_hide_those_of_another() {
    let mut bench = Bench::new(1, settings(&[]));
    bench
        .run(|txn| {
            (0..1_000).try_for_each(|n| {
                let session = SessionId::new(format!("s-{n}"))?;
                effects::enqueue(txn, &Order::Cleanup { session, rig: rig() }, 1)
            })
        })
        .unwrap();
    bench.pass(1);
    let bead = bench.issue("lay the keel");
    bench.run(|txn| sling::sling(txn, &bead.clone().into())).unwrap();
    let leader = bench.leader;
    let mut room = std::collections::BTreeMap::from([("cleanup", 0), ("start", 8)]);
    let issued = bench.run(|txn| effects::issue(txn, leader, &mut room)).unwrap();
    assert_eq!(issued.len(), 1);
    assert_eq!(issued[0].order.kind(), "start");
    assert_eq!(room["start"], 7);
    let row: EffectRow = bench.run(|txn| Ok(txn.find(&Key::effect(&issued[0].id))?.unwrap())).unwrap();
    assert_eq!(row.state, EffectState::Issued);
}
