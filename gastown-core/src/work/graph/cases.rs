//! What each edge means, case by case.

use super::link::{Idle, idle};
use super::tests::{Bench, is_soak};
use super::{
    ChildrenOf, EdgesOf, GraphFilter, PlanOf, ReasonKind, TreeOf, WaitReason, blocked, children, dependencies,
    dependents, edges, epics, explain, loose_edges, plan,
};
use crate::model::{BeadId, BeadRow, BeadStatus, DependencyKind, DependencyRow, Key, Resolution, Timestamp, WaitGate};
use crate::work::{Claim, NewBead, beads, ready};

use DependencyKind::{Blocks, ConditionalBlocks, ParentChild, Related, WaitsFor};

fn blockers(bench: &mut Bench, beads: &[&BeadId]) -> Vec<i64> {
    beads.iter().map(|id| bench.row(id).blockers).collect()
}

fn statuses(bench: &mut Bench, beads: &[&BeadId]) -> Vec<BeadStatus> {
    beads.iter().map(|id| bench.row(id).status).collect()
}

#[test]
fn a_blocked_bead_blocks_its_parts_at_any_depth_until_it_is_free() {
    let mut bench = Bench::new();
    let (keel, ship) = (bench.titled("keel"), bench.titled("ship"));
    let deck = bench.part(&ship);
    let plank = bench.part(&deck);
    assert_eq!(blockers(&mut bench, &[&ship, &deck, &plank]), [0, 0, 0]);
    bench.link(&ship, &keel, Blocks).unwrap();
    assert_eq!(blockers(&mut bench, &[&ship, &deck, &plank]), [1, 1, 1]);
    let late = bench.part(&plank);
    assert_eq!(bench.row(&late).blockers, 1);
    bench.close(&keel, Resolution::Completed);
    assert_eq!(blockers(&mut bench, &[&ship, &deck, &plank, &late]), [0, 0, 0, 0]);
    bench.reopen(&keel);
    assert_eq!(blockers(&mut bench, &[&ship, &deck, &plank, &late]), [1, 1, 1, 1]);
    bench.close(&ship, Resolution::Cancelled);
    assert_eq!(blockers(&mut bench, &[&ship, &deck, &plank, &late]), [0, 0, 0, 0], "a closed parent waits for nothing");
    bench.check();
}

#[test]
fn who_waits_for_parts_is_free_when_all_or_any_are_closed() {
    let mut bench = Bench::new();
    let (fleet, all, any) = (bench.titled("fleet"), bench.titled("all"), bench.titled("any"));
    bench.gated(&all, &fleet, WaitsFor, None).unwrap();
    bench.gated(&any, &fleet, WaitsFor, Some(WaitGate::AnyChildren)).unwrap();
    assert_eq!(blockers(&mut bench, &[&all, &any]), [0, 0], "there is nothing to wait for");
    let (one, two) = (bench.part(&fleet), bench.part(&fleet));
    assert_eq!(blockers(&mut bench, &[&all, &any]), [1, 1]);
    bench.close(&one, Resolution::Completed);
    assert_eq!(blockers(&mut bench, &[&all, &any]), [1, 0]);
    bench.fail(&two).unwrap();
    assert_eq!(blockers(&mut bench, &[&all, &any]), [1, 0], "a failed part is not closed");
    bench.close(&two, Resolution::Abandoned);
    assert_eq!(blockers(&mut bench, &[&all, &any]), [0, 0]);
    bench.gated(&all, &fleet, WaitsFor, Some(WaitGate::AnyChildren)).unwrap();
    bench.reopen(&two);
    assert_eq!(blockers(&mut bench, &[&all, &any]), [0, 0], "the edge has the other gate now");
    let error = bench.gated(&all, &fleet, Blocks, Some(WaitGate::AnyChildren)).unwrap_err();
    assert_eq!(error.code(), "gate_without_parts");
    bench.check();
}

#[test]
fn what_runs_only_if_another_fails_runs_then_and_is_skipped_otherwise() {
    let mut bench = Bench::new();
    for (end, runs) in [
        (None, true),
        (Some(Resolution::Cancelled), true),
        (Some(Resolution::Abandoned), true),
        (Some(Resolution::Completed), false),
        (Some(Resolution::Superseded), false),
    ] {
        let (try_it, plan_b, plan_c) = (bench.titled("try"), bench.titled("b"), bench.titled("c"));
        bench.link(&plan_b, &try_it, ConditionalBlocks).unwrap();
        bench.link(&plan_c, &plan_b, ConditionalBlocks).unwrap();
        assert_eq!(blockers(&mut bench, &[&plan_b, &plan_c]), [1, 1]);
        match end {
            None => bench.fail(&try_it).unwrap(),
            Some(end) => bench.close(&try_it, end),
        }
        let b = bench.row(&plan_b);
        if runs {
            assert_eq!((b.status, b.blockers), (BeadStatus::Open, 0), "{end:?}");
        } else {
            // Skipping is going well, so what was for the skipped one's failure is skipped too.
            assert_eq!(statuses(&mut bench, &[&plan_b, &plan_c]), [BeadStatus::Closed; 2], "{end:?}");
            assert_eq!(b.resolution, Some(Resolution::Skipped));
            assert!(b.close_reason.unwrap().contains(try_it.as_str()));
            bench.reopen(&plan_b);
            let b = bench.row(&plan_b);
            assert_eq!((b.status, b.blockers), (BeadStatus::Open, 0), "who opens it again has decided");
        }
        bench.check();
    }
}

#[test]
fn what_was_skipped_is_taken_up_when_the_other_did_not_go_well_after_all() {
    let mut bench = Bench::new();
    let (try_it, other) = (bench.titled("try"), bench.titled("other"));
    let (plan_b, plan_c) = (bench.titled("b"), bench.titled("c"));
    for on in [&try_it, &other] {
        bench.link(&plan_b, on, ConditionalBlocks).unwrap();
    }
    bench.link(&plan_c, &plan_b, ConditionalBlocks).unwrap();
    bench.close(&try_it, Resolution::Completed);
    bench.close(&other, Resolution::Completed);
    assert_eq!(statuses(&mut bench, &[&plan_b, &plan_c]), [BeadStatus::Closed; 2]);
    bench.reopen(&try_it);
    let b = bench.row(&plan_b);
    assert_eq!(b.status, BeadStatus::Closed, "the other went well");
    assert!(b.close_reason.unwrap().contains(other.as_str()));
    bench.close(&try_it, Resolution::Cancelled);
    bench.reopen(&other);
    assert_eq!(statuses(&mut bench, &[&plan_b, &plan_c]), [BeadStatus::Open; 2]);
    assert_eq!(blockers(&mut bench, &[&plan_b, &plan_c]), [1, 1]);
    bench.check();
    bench.close(&other, Resolution::Cancelled);
    assert_eq!(statuses(&mut bench, &[&plan_b, &plan_c]), [BeadStatus::Open; 2]);
    assert_eq!(blockers(&mut bench, &[&plan_b, &plan_c]), [0, 1], "both failed, so it runs");
    // What somebody left out by himself stays so.
    bench.close(&plan_b, Resolution::Skipped);
    bench.reopen(&other);
    assert_eq!(bench.row(&plan_b).status, BeadStatus::Closed);
    bench.check();
}

#[test]
fn what_somebody_has_begun_is_not_skipped_and_late_edges_are_decided_at_once() {
    let mut bench = Bench::new();
    let (done, begun, late) = (bench.titled("done"), bench.titled("begun"), bench.titled("late"));
    bench
        .run(|txn| {
            let mut row = txn.bead(&begun)?;
            row.move_to(BeadStatus::InProgress, None, txn.now())?;
            row.assignee = Some("tess".to_owned());
            txn.put_bead(row)
        })
        .unwrap();
    bench.link(&begun, &done, ConditionalBlocks).unwrap();
    bench.close(&done, Resolution::Completed);
    bench.link(&late, &done, ConditionalBlocks).unwrap();
    assert_eq!(statuses(&mut bench, &[&begun, &late]), [BeadStatus::InProgress, BeadStatus::Closed]);
    bench.check();
}

#[test]
fn a_circle_is_refused_on_every_path_and_shown() {
    let mut bench = Bench::new();
    let [a, b, c] = ["a", "b", "c"].map(|title| bench.titled(title));
    let part = bench.part(&a);
    bench.link(&b, &part, Blocks).unwrap();
    bench.link(&c, &b, ConditionalBlocks).unwrap();
    let shown = |ids: &[&BeadId]| ids.iter().map(|id| id.as_str()).collect::<Vec<_>>().join(" -> ");
    for kind in [Blocks, ConditionalBlocks] {
        let error = bench.link(&a, &c, kind).unwrap_err();
        assert_eq!(error.code(), "cycle");
        assert_eq!(error.fact("cycle"), Some(shown(&[&a, &c, &b, &part, &a]).as_str()), "{}", error.chain());
    }
    // To be a part of another is to wait with it.
    let error = bench.link(&a, &c, ParentChild).unwrap_err();
    assert_eq!(error.code(), "cycle");
    // Who waits for parts waits for each of them, also for one that comes later.
    let error = bench.link(&part, &a, WaitsFor).unwrap_err();
    assert_eq!(error.code(), "cycle");
    let team = bench.titled("team");
    bench.link(&team, &c, Blocks).unwrap();
    bench.link(&part, &team, WaitsFor).unwrap();
    let new = NewBead { parent: Some(team.clone()), ..NewBead::titled("member") };
    let error = bench.run(|txn| beads::create(txn, &new)).unwrap_err();
    assert_eq!(error.code(), "cycle");
    assert!(error.fact("cycle").unwrap().contains(part.as_str()), "{}", error.chain());
    assert_eq!(bench.link(&a, &a, Blocks).unwrap_err().code(), "edge_to_itself");
    assert_eq!(bench.link(&part, &c, ParentChild).unwrap_err().code(), "parent_there");
    bench.check();
}

#[test]
fn nobody_waits_for_what_is_closed_after_him() {
    let shown = |ids: &[&BeadId]| ids.iter().map(|id| id.as_str()).collect::<Vec<_>>().join(" -> ");
    let mut bench = Bench::new();
    // A part for what it is a part of.
    let ship = bench.titled("ship");
    let deck = bench.part(&ship);
    let plank = bench.part(&deck);
    for kind in [Blocks, ConditionalBlocks, WaitsFor] {
        let error = bench.link(&plank, &ship, kind).unwrap_err();
        assert_eq!((error.code(), error.fact("cycle")), ("cycle", Some(&*shown(&[&plank, &ship, &deck, &plank]))));
        let error = bench.link(&plank, &deck, kind).unwrap_err();
        assert_eq!((error.code(), error.fact("cycle")), ("cycle", Some(&*shown(&[&plank, &deck, &plank]))));
    }
    // Parts of two for the other one each.
    let fleet = bench.titled("fleet");
    let sail = bench.part(&fleet);
    bench.link(&plank, &fleet, Blocks).unwrap();
    for kind in [Blocks, ConditionalBlocks, WaitsFor] {
        let error = bench.link(&sail, &ship, kind).unwrap_err();
        let circle = shown(&[&sail, &ship, &deck, &plank, &fleet, &sail]);
        assert_eq!((error.code(), error.fact("cycle")), ("cycle", Some(&*circle)));
    }
    // What waits becomes a part of what it waits for, by a move and from the beginning.
    let late = bench.titled("late");
    bench.link(&late, &ship, Blocks).unwrap();
    let error = bench.link(&late, &deck, ParentChild).unwrap_err();
    assert_eq!((error.code(), error.fact("cycle")), ("cycle", Some(&*shown(&[&late, &ship, &deck, &late]))));
    let crew = bench.titled("crew");
    bench.link(&crew, &late, ParentChild).unwrap();
    let error = bench.run(|txn| super::reparent(txn, &mut txn.bead(&late)?, Some(&deck))).unwrap_err();
    assert_eq!(error.code(), "cycle");
    bench.check();
    let why = bench.import(&sail, &ship, Blocks);
    let Some(Idle::Circle { circle }) = why else { panic!("{why:?}") };
    assert_eq!(circle, [&sail, &ship, &deck, &plank, &fleet, &sail].map(Clone::clone));
    bench.check();
    // Whoever is no part may wait, also for parts that come later, and for one beside him.
    let (after, keel) = (bench.titled("after"), bench.part(&ship));
    bench.link(&after, &ship, Blocks).unwrap();
    bench.link(&plank, &keel, Blocks).unwrap();
    let rib = bench.part(&deck);
    bench.link(&keel, &rib, Blocks).unwrap();
    bench.check();
    let error = bench.link(&rib, &after, Blocks).unwrap_err();
    assert_eq!((error.code(), error.fact("cycle")), ("cycle", Some(&*shown(&[&rib, &after, &ship, &deck, &rib]))));
    assert_eq!(blockers(&mut bench, &[&rib, &keel, &after]), [0, 1, 1]);
    bench.check();
}

#[test]
fn imported_edges_that_cannot_count_are_kept_and_told() {
    let mut bench = Bench::new();
    let [a, b, c] = ["a", "b", "c"].map(|title| bench.titled(title));
    let gone = BeadId::new("hq-gone").unwrap();
    assert_eq!(bench.import(&a, &b, Blocks), None);
    let circle = vec![b.clone(), a.clone(), b.clone()];
    assert_eq!(bench.import(&b, &a, Blocks), Some(Idle::Circle { circle: circle.clone() }));
    assert_eq!(bench.import(&c, &c, Blocks), Some(Idle::Circle { circle: vec![c.clone(), c.clone()] }));
    assert_eq!(bench.import(&c, &a, ParentChild), None);
    assert_eq!(bench.import(&c, &b, ParentChild), Some(Idle::SecondParent { parent: a.clone() }));
    assert_eq!(bench.import(&gone, &b, Blocks), Some(Idle::NoWaiter));
    assert_eq!(bench.import(&b, &gone, Blocks), None);
    assert_eq!(bench.import(&a, &c, ParentChild).map(|idle| matches!(idle, Idle::Circle { .. })), Some(true));
    assert_eq!(blockers(&mut bench, &[&a, &b, &c]), [1, 0, 1]);
    assert_eq!(bench.row(&a).parent, None);
    bench.check();

    let page = bench.ask(|view| loose_edges(view, &GraphFilter { limit: Some(2), ..GraphFilter::default() })).unwrap();
    let rest = GraphFilter { cursor: page.cursor.clone(), ..GraphFilter::default() };
    let rest = bench.ask(|view| loose_edges(view, &rest)).unwrap();
    let mut told: Vec<_> =
        page.edges.iter().chain(&rest.edges).map(|edge| (edge.why.as_str(), edge.circle.len())).collect();
    told.sort_unstable();
    let wanted =
        [("circle", 2), ("circle", 3), ("circle", 3), ("no_target", 0), ("no_waiter", 0), ("second_parent", 0)];
    assert_eq!((page.edges.len(), told), (2, wanted.to_vec()));
    let told = bench.ask(|view| explain(view, &(&b).into())).unwrap();
    assert!(told.is_ready && told.loose.len() == 2, "{told:?}");

    // The circle is opened, and the edge comes once more.
    bench.run(|txn| super::link::remove_edge(txn, &a, &b, Blocks)).unwrap();
    assert_eq!(bench.import(&b, &a, Blocks), None);
    let key = Key::dependency(&b, &a, Blocks);
    let edge: DependencyRow = bench.ask(|view| view.find(&key)).unwrap().unwrap();
    assert!(edge.counted && idle(&edge).is_none());
    bench.check();
}

#[test]
fn an_explanation_names_every_fact_and_the_roots_above() {
    let mut bench = Bench::new();
    let [keel, ship, crew, failing] = ["keel", "ship", "crew", "failing"].map(|title| bench.titled(title));
    let deck = bench.part(&ship);
    let sailor = bench.part(&crew);
    bench.link(&ship, &keel, Blocks).unwrap();
    bench.link(&deck, &crew, WaitsFor).unwrap();
    bench.link(&deck, &failing, ConditionalBlocks).unwrap();
    bench
        .run(|txn| {
            let mut row = txn.bead(&deck)?;
            row.defer_until = Some(Timestamp::from_micros(i64::MAX));
            row.parked_reason = Some("no wood".to_owned());
            (row.pinned, row.template, row.ephemeral, row.slung) = (true, true, true, true);
            txn.put_bead(row)
        })
        .unwrap();
    let told = bench.ask(|view| explain(view, &(&deck).into())).unwrap();
    let facts: Vec<_> = told.reasons.iter().map(|r| (r.reason, r.bead.clone(), r.other.clone(), r.why)).collect();
    let own = |reason| (reason, deck.clone(), None, None);
    let edge = |bead: &BeadId, on: &BeadId, why| (ReasonKind::Edge, bead.clone(), Some(on.clone()), Some(why));
    for wanted in [
        own(ReasonKind::Slung),
        own(ReasonKind::Deferred),
        own(ReasonKind::Parked),
        own(ReasonKind::Pinned),
        own(ReasonKind::Template),
        own(ReasonKind::Ephemeral),
        edge(&deck, &crew, WaitReason::PartsOpen),
        (ReasonKind::OpenPart, crew.clone(), Some(sailor.clone()), None),
        edge(&deck, &failing, WaitReason::NotDecided),
        (ReasonKind::Parent, deck.clone(), Some(ship.clone()), Some(WaitReason::Blocked)),
        edge(&ship, &keel, WaitReason::NotDone),
    ] {
        assert!(facts.contains(&wanted), "{wanted:?} is not in {facts:#?}");
    }
    assert_eq!((facts.len(), told.is_ready, told.more), (11, false, false));
    let told = bench.ask(|view| explain(view, &(&keel).into())).unwrap();
    assert!(told.is_ready && told.reasons.is_empty());
    bench.fail(&keel).unwrap();
    let told = bench.ask(|view| explain(view, &(&ship).into())).unwrap();
    assert_eq!(told.reasons[0].why, Some(WaitReason::Failed));
    let told = bench.ask(|view| explain(view, &(&keel).into())).unwrap();
    assert_eq!((told.reasons[0].reason, told.reasons[0].status), (ReasonKind::Status, Some(BeadStatus::Failed)));
}

#[test]
fn an_explanation_says_ready_where_the_list_of_ready_beads_does() {
    let mut bench = Bench::new();
    let typed = |issue_type: &str| NewBead { issue_type: issue_type.to_owned(), ..NewBead::titled(issue_type) };
    let (gate, epic, free) = (bench.create(&typed("gate")), bench.create(&typed("epic")), bench.titled("free"));
    let part = bench.part(&epic);
    let told = bench.ask(|view| explain(view, &(&gate).into())).unwrap();
    assert_eq!(
        (told.is_ready, told.reasons[0].reason, told.reasons[0].text.as_deref()),
        (false, ReasonKind::Type, Some("gate"))
    );
    let told = bench.ask(|view| explain(view, &(&epic).into())).unwrap();
    let facts: Vec<_> = told.reasons.iter().map(|reason| (reason.reason, reason.other.as_ref())).collect();
    assert_eq!((told.is_ready, facts), (false, vec![(ReasonKind::Type, None), (ReasonKind::OpenPart, Some(&part))]));
    bench.explains();
    bench.close(&part, Resolution::Completed);
    bench.explains();
    assert!(bench.ask(|view| explain(view, &(&epic).into())).unwrap().is_ready);
    let claim = Claim::of(free.clone(), "tess").for_ms(1);
    bench.run(|txn| ready::claim(txn, &claim)).unwrap();
    let told = bench.ask(|view| explain(view, &(&free).into())).unwrap();
    assert_eq!((told.is_ready, told.reasons.len()), (false, 2), "it is in progress, and hers");
    bench.explains();
    bench.now += 1_000;
    bench.explains();
    let told = bench.ask(|view| explain(view, &(&free).into())).unwrap();
    assert_eq!((told.is_ready, told.reasons), (true, vec![]), "her time is over");
}

fn timed(bench: &mut Bench, title: &str, minutes: u32) -> BeadId {
    bench.create(&NewBead { estimate_minutes: Some(minutes), ..NewBead::titled(title) })
}

#[test]
fn a_plan_has_levels_the_critical_path_and_slack() {
    let mut bench = Bench::new();
    let [keel, hull, sails, launch] = [("keel", 10), ("hull", 30), ("sails", 5), ("launch", 1)]
        .map(|(title, minutes)| timed(&mut bench, title, minutes));
    let party = bench.titled("party");
    for (bead, on) in [(&hull, &keel), (&sails, &keel), (&launch, &hull), (&launch, &sails)] {
        bench.link(bead, on, Blocks).unwrap();
    }
    let found = bench.ask(|view| plan(view, &PlanOf { estimate_minutes: Some(2), ..PlanOf::default() })).unwrap();
    assert_eq!((found.count, found.widths, found.minutes), (5, vec![2, 2, 1], 41));
    assert_eq!(found.critical_path, [keel.clone(), hull.clone(), launch.clone()]);
    let of = |id: &BeadId| found.beads.iter().find(|bead| bead.id == *id).unwrap();
    let at = |id: &BeadId| (of(id).level, of(id).start, of(id).slack);
    assert_eq!(at(&keel), (0, 0, 0));
    assert_eq!(at(&hull), (1, 10, 0));
    assert_eq!(at(&sails), (1, 10, 25));
    assert_eq!(at(&launch), (2, 40, 0));
    assert_eq!(at(&party), (0, 0, 39));
    let most = &found.unblocks[0];
    assert_eq!((&most.id, most.frees, most.behind), (&keel, 2, 3));
    let place = |id: &BeadId| found.beads.iter().position(|bead| bead.id == *id).unwrap();
    assert!(place(&keel) < place(&sails) && place(&hull) < place(&launch));

    let page = bench.ask(|view| plan(view, &PlanOf { limit: Some(3), ..PlanOf::default() })).unwrap();
    let rest = PlanOf { limit: Some(3), cursor: page.cursor.clone(), ..PlanOf::default() };
    let rest = bench.ask(|view| plan(view, &rest)).unwrap();
    assert_eq!((page.beads.len(), rest.beads.len(), rest.cursor), (3, 2, None));

    // Parts of what waits begin with it; who waits for parts is behind them.
    let rigging = timed(&mut bench, "rigging", 0);
    bench.link(&rigging, &keel, Blocks).unwrap();
    let (rope, feast) = (bench.part(&rigging), timed(&mut bench, "feast", 4));
    bench.link(&feast, &rigging, WaitsFor).unwrap();
    let found = bench.ask(|view| plan(view, &PlanOf { parent: Some(rigging.clone()), ..PlanOf::default() })).unwrap();
    assert_eq!((found.count, found.critical_path), (1, vec![rope.clone()]));
    let found = bench.ask(|view| plan(view, &PlanOf::default())).unwrap();
    let of = |id: &BeadId| found.beads.iter().find(|bead| bead.id == *id).unwrap();
    assert_eq!((of(&rope).start, of(&rope).level, of(&feast).start, of(&feast).level), (10, 1, 70, 2));
}

#[test]
fn the_edges_of_a_bead_are_read_a_page_at_a_time() {
    let mut bench = Bench::new();
    let hub = bench.titled("hub");
    let (mut waiters, mut targets): (Vec<_>, Vec<_>) =
        ((0..23).map(|_| bench.titled("waits")).collect(), (0..7).map(|_| bench.titled("first")).collect());
    for target in &targets {
        bench.link(&hub, target, Blocks).unwrap();
    }
    for (nth, waiter) in waiters.iter().enumerate() {
        bench.link(waiter, &hub, if nth % 2 == 0 { Blocks } else { Related }).unwrap();
    }
    waiters.sort();
    targets.sort();
    for limit in [1, 5, 7, 29, 30, 31] {
        let (mut on, mut of, mut cursor, mut pages) = (Vec::new(), Vec::new(), None, 0);
        loop {
            let page = bench.ask(|view| edges(view, &EdgesOf { limit: Some(limit), cursor, ..(&hub).into() })).unwrap();
            pages += 1;
            assert!(page.depends_on.len() + page.dependents.len() <= limit);
            on.extend(page.depends_on.into_iter().map(|edge| edge.on_bead));
            of.extend(page.dependents.into_iter().map(|edge| edge.bead));
            cursor = page.cursor;
            if cursor.is_none() {
                break;
            }
        }
        of.sort();
        assert_eq!((&on, &of, pages), (&targets, &waiters, 30_usize.div_ceil(limit)), "limit {limit}");
    }
    let whole = bench.ask(|view| edges(view, &(&hub).into())).unwrap();
    assert_eq!((whole.depends_on.len(), whole.dependents.len(), whole.cursor), (7, 23, None));
    let of_hub = bench.ask(|view| edges(view, &EdgesOf { limit: Some(1), ..(&hub).into() })).unwrap().cursor;
    let other = EdgesOf { cursor: of_hub, ..(&waiters[0]).into() };
    assert_eq!(bench.ask(|view| edges(view, &other)).unwrap_err().code(), "cursor_malformed");
    for cursor in ["", "x", "on:", "of:[]", "on:[1]", "in:[\"hq-1\",\"blocks\"]"] {
        let input = EdgesOf { cursor: Some(cursor.to_owned()), ..(&hub).into() };
        assert_eq!(bench.ask(|view| edges(view, &input)).unwrap_err().code(), "cursor_malformed", "{cursor}");
    }
}

#[test]
fn trees_and_lists_go_on_where_they_stopped() {
    let mut bench = Bench::new();
    let ship = bench.titled("ship");
    let (deck, mast) = (bench.part(&ship), bench.part(&ship));
    let (plank, nail) = (bench.part(&deck), bench.part(&deck));
    let order = [&deck, &plank, &nail, &mast].map(Clone::clone);
    let mut found = Vec::new();
    let mut cursor = None;
    loop {
        let input = ChildrenOf { all: true, limit: Some(1), cursor, ..(&ship).into() };
        let page = bench.ask(|view| children(view, &input)).unwrap();
        found.extend(page.beads.into_iter().map(|bead| bead.id));
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(found, order);
    let page = bench.ask(|view| children(view, &(&ship).into())).unwrap();
    assert_eq!(page.beads.iter().map(|bead| &bead.id).collect::<Vec<_>>(), [&deck, &mast]);
    let input = ChildrenOf { cursor: Some("hq-none".to_owned()), ..(&ship).into() };
    assert_eq!(bench.ask(|view| children(view, &input)).unwrap_err().code(), "cursor_malformed");

    bench.link(&mast, &nail, Blocks).unwrap();
    let tree = bench.ask(|view| dependencies(view, &TreeOf { depth: Some(2), ..(&mast).into() })).unwrap();
    let nodes: Vec<_> = tree.nodes.iter().map(|node| (&node.id, node.depth, node.counted)).collect();
    assert_eq!(nodes, [(&ship, 1, false), (&nail, 1, true), (&deck, 2, false)]);
    assert!(!tree.more, "the ship was met already");
    let tree = bench.ask(|view| dependents(view, &TreeOf { depth: Some(1), ..(&ship).into() })).unwrap();
    assert_eq!((tree.nodes.len(), tree.more), (2, true));

    let page = bench.ask(|view| blocked(view, &GraphFilter::default())).unwrap();
    assert_eq!(page.blocked.len(), 1);
    assert_eq!((&page.blocked[0].bead.id, &page.blocked[0].blocked_by[0].id), (&mast, &nail));
    bench.close(&nail, Resolution::Completed);
    bench.close(&plank, Resolution::Completed);
    let page = bench.ask(|view| epics(view, &GraphFilter::default())).unwrap();
    let told: Vec<_> = page.epics.iter().map(|epic| (&epic.bead.id, epic.closed_parts, epic.is_closable)).collect();
    assert_eq!(told, [(&ship, 0, false), (&deck, 2, true)]);
}

/// How long chains and wide fans are.
fn many() -> usize {
    if is_soak() { 100_000 } else { 1_000 }
}

/// Runs it on a stack that is too small for a frame for each bead.
fn on_small_stack(work: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(512 << 10).spawn(work).unwrap();
    thread.join().unwrap();
}

#[test]
fn a_long_chain_of_parts_and_of_blockers_is_freed_and_its_circle_found() {
    on_small_stack(long_chain);
}

fn long_chain() {
    let mut bench = Bench::new();
    let gate = bench.titled("gate");
    let many = many();
    // Parts of parts, and a chain of blockers beside it, in one transaction.
    let (parts, chain) = bench
        .run(|txn| {
            let first = beads::insert(txn, crate::model::BeadKind::Issue, &NewBead::titled("x"), None)?;
            let (mut parts, mut chain) = (vec![first.id.clone()], vec![first.id.clone()]);
            for nth in 1..many {
                for (name, kind, ids) in [("p", ParentChild, &mut parts), ("c", Blocks, &mut chain)] {
                    let id = BeadId::new(format!("hq-{name}{nth}"))?;
                    let rank = first.rank + i64::try_from(nth).unwrap();
                    txn.put(BeadRow { id: id.clone(), rank, ..first.clone() })?;
                    super::add_edge(txn, &id, &ids[nth - 1], kind)?;
                    ids.push(id);
                }
            }
            Ok((parts, chain))
        })
        .unwrap();
    let (last_part, last) = (parts.last().unwrap().clone(), chain.last().unwrap().clone());
    assert_eq!(blockers(&mut bench, &[&last_part, &last]), [0, 1]);
    bench.link(&parts[0], &gate, Blocks).unwrap();
    assert_eq!(bench.row(&last_part).blockers, 1);
    bench.close(&gate, Resolution::Completed);
    assert_eq!(bench.row(&last_part).blockers, 0);
    for end in [&last_part, &last] {
        let error = bench.link(&parts[0], end, Blocks).unwrap_err();
        assert_eq!((error.code(), error.fact("edges")), ("cycle", Some(&*many.to_string())));
        let shown = error.fact("cycle").unwrap();
        assert!(shown.contains(&format!("… {} more …", many + 1 - 100)) && shown.len() < 5_000, "a long one in part");
        assert!(shown.starts_with(parts[0].as_str()) && shown.ends_with(parts[0].as_str()), "from one bead to it");
    }
    let why = bench.import(&parts[0], &last, Blocks);
    let Some(Idle::Circle { circle }) = why else { panic!("{why:?}") };
    assert_eq!((circle.len(), &circle[0], &circle[99]), (100, &parts[0], &parts[0]), "no more of it is kept");
    let found = bench.ask(|view| plan(view, &PlanOf::default()));
    if 2 * many > 100_000 {
        assert_eq!(found.unwrap_err().code(), "graph_too_large");
    } else {
        assert_eq!(found.unwrap().critical_path.len(), many);
    }
    let told = bench.ask(|view| explain(view, &(&last_part).into())).unwrap();
    assert!(told.is_ready);
    let tree = TreeOf { depth: Some(1_000), limit: Some(100), ..(&last).into() };
    assert!(bench.ask(|view| dependencies(view, &tree)).unwrap().more);
}

#[test]
fn one_bead_with_very_many_dependents_is_closed_opened_and_deleted() {
    on_small_stack(wide_fan);
}

fn wide_fan() {
    let mut bench = Bench::new();
    let hub = bench.titled("hub");
    let many = many();
    bench
        .run(|txn| {
            let row = txn.bead(&hub)?;
            for nth in 0..many {
                let id = BeadId::new(format!("hq-w{nth}"))?;
                txn.put(BeadRow { id: id.clone(), rank: row.rank + 1, ..row.clone() })?;
                super::add_edge(txn, &id, &hub, Blocks)?;
            }
            Ok(())
        })
        .unwrap();
    let some = [0, many / 2, many - 1].map(|nth| BeadId::new(format!("hq-w{nth}")).unwrap());
    let some: Vec<&BeadId> = some.iter().collect();
    assert_eq!(blockers(&mut bench, &some), [1, 1, 1]);
    bench.close(&hub, Resolution::Completed);
    assert_eq!(blockers(&mut bench, &some), [0, 0, 0]);
    bench.reopen(&hub);
    assert_eq!(blockers(&mut bench, &some), [1, 1, 1]);
    let most = bench.ask(|view| plan(view, &PlanOf::default()));
    if many < 100_000 {
        assert_eq!(most.unwrap().unblocks[0].behind, many);
    }
    bench.run(|txn| super::remove_bead(txn, &hub)).unwrap();
    assert_eq!(blockers(&mut bench, &some), [0, 0, 0]);
}
