//! What is ready and what is listed: orders, filters, pages, and claims that ran out.

use std::time::Duration;

use gastown_core::model::{BeadStatus, RigName, Timestamp};
use gastown_core::{
    AddRig, BeadFilter, BeadPatch, Claim, CloseBead, Heartbeat, ListSort, NewBead, Patch, ReadyFilter, ReadySort,
    ReleaseBead, Town,
};
use serde_json::json;

use crate::beads::{ends, made, memory, refused};
use crate::support::origin;

/// The titles of a list, page by page.
async fn ready(town: &Town, filter: ReadyFilter, limit: usize) -> Vec<String> {
    let beads = town.operator().beads();
    let (mut titles, mut cursor) = (Vec::new(), None);
    loop {
        let filter = ReadyFilter { limit: Some(limit), cursor, ..filter.clone() };
        let page = beads.ready(filter).await.unwrap();
        titles.extend(page.beads.into_iter().map(|bead| bead.title));
        cursor = page.cursor;
        if cursor.is_none() {
            return titles;
        }
    }
}

#[tokio::test]
async fn ready_comes_in_three_orders_and_by_pages() {
    let (dir, town, clock) = memory().await;
    let operator = town.operator();
    let rig = RigName::new("harbour").unwrap();
    let add = AddRig::new(rig.clone(), origin(dir.path()).to_str().unwrap());
    operator.rigs().add(add).await.unwrap();
    // Made over a hundred hours; some are the rig's, some of short use.
    let mut all = Vec::new();
    for n in 0..50_u32 {
        let (priority, is_rig) = (n * 7 % 5, n % 3 == 0);
        let new = NewBead {
            priority,
            rig: is_rig.then(|| rig.clone()),
            ephemeral: n % 11 == 5,
            ..NewBead::titled(format!("{n:02}"))
        };
        operator.beads().create(new).await.unwrap();
        all.push((n, priority, is_rig));
        clock.advance(Duration::from_secs(2 * 3_600));
    }
    // The last were made 2, 4, 6, … hours ago: those up to 46 hours old are new.
    let is_new = |n: u32| (50 - n) * 2 < 48;
    let order = |sort: ReadySort, only_rig: bool, ephemeral: bool, most: u32| {
        let mut beads: Vec<_> = all
            .iter()
            .filter(|(n, p, is_rig)| (*is_rig || !only_rig) && (ephemeral || n % 11 != 5) && *p <= most)
            .collect();
        beads.sort_by_key(|(n, priority, _)| match sort {
            ReadySort::Priority => (0, *priority, *n),
            ReadySort::Hybrid if is_new(*n) => (0, *priority, *n),
            ReadySort::Hybrid => (1, 0, *n),
            _ => (0, 0, *n),
        });
        beads.into_iter().map(|(n, ..)| format!("{n:02}")).collect::<Vec<_>>()
    };
    for sort in [ReadySort::Priority, ReadySort::Oldest, ReadySort::Hybrid] {
        for (only_rig, include_ephemeral, most) in
            [(false, false, 4), (true, false, 4), (false, true, 4), (true, true, 2), (false, false, 1)]
        {
            let filter = ReadyFilter {
                sort: Some(sort),
                rig: only_rig.then(|| rig.clone()),
                include_ephemeral,
                priority_max: (most < 4).then_some(most),
                ..ReadyFilter::default()
            };
            let wanted = order(sort, only_rig, include_ephemeral, most);
            for limit in [1, 3, 7, 50] {
                assert_eq!(ready(&town, filter.clone(), limit).await, wanted, "{sort} {only_rig} {limit}");
            }
            let narrow = ReadyFilter { rig: None, ..filter };
            if only_rig {
                let page =
                    town.rig(rig.clone()).beads().ready(ReadyFilter { limit: Some(50), ..narrow }).await.unwrap();
                let titles: Vec<String> = page.beads.into_iter().map(|bead| bead.title).collect();
                assert_eq!(titles, wanted, "by the rig's own handle");
            }
        }
    }
    // A cursor belongs to its order.
    let page = operator.beads().ready(ReadyFilter { limit: Some(1), ..ReadyFilter::default() }).await.unwrap();
    let other = ReadyFilter { sort: Some(ReadySort::Hybrid), cursor: page.cursor, ..ReadyFilter::default() };
    assert_eq!(operator.beads().ready(other).await.unwrap_err().code(), "cursor_malformed");
    // A page of the order hybrid goes on with what was new on the first.
    let filter = ReadyFilter { sort: Some(ReadySort::Hybrid), limit: Some(20), ..ReadyFilter::default() };
    let first = operator.beads().ready(filter.clone()).await.unwrap();
    clock.advance(Duration::from_secs(48 * 3_600));
    let second = operator.beads().ready(ReadyFilter { limit: Some(50), cursor: first.cursor, ..filter }).await.unwrap();
    let titles: Vec<String> = first.beads.into_iter().chain(second.beads).map(|bead| bead.title).collect();
    assert_eq!(titles, order(ReadySort::Hybrid, false, false, 4));
    ends(town).await;
}

#[tokio::test]
async fn filters_hold_for_lists_ready_and_claims() {
    let (_dir, town, clock) = memory().await;
    let operator = town.operator();
    let beads = operator.beads();
    let epic = beads.create(NewBead { issue_type: "epic".into(), ..NewBead::titled("epic") }).await.unwrap().id;
    clock.advance(Duration::from_secs(1));
    let inner = beads.create(NewBead { parent: Some(epic.clone()), ..NewBead::titled("inner") }).await.unwrap().id;
    let new = [
        NewBead { parent: Some(inner), ..NewBead::titled("deep") },
        NewBead { labels: vec!["area/net".into(), "hot".into()], ..NewBead::titled("net") },
        NewBead { labels: vec!["area/disk".into()], owner: Some("olga".into()), ..NewBead::titled("disk") },
        NewBead { metadata: json!({ "tier": 1, "gate": null }), ..NewBead::titled("tier") },
        NewBead { assignee: Some("tess".into()), priority: 0, ..NewBead::titled("hers") },
        NewBead { issue_type: "gate".into(), ..NewBead::titled("gate") },
        NewBead { issue_type: "bug".into(), priority: 4, ..NewBead::titled("bug") },
        NewBead { pinned: true, ..NewBead::titled("pinned") },
        NewBead { template: true, ..NewBead::titled("template") },
        // The first moment of the year 9999.
        NewBead { defer_until: Some(Timestamp::from_micros(253_370_764_800_000_000)), ..NewBead::titled("later") },
    ];
    for new in new {
        clock.advance(Duration::from_secs(1));
        beads.create(new).await.unwrap();
    }
    for (filter, wanted) in [
        (json!({}), "hers inner deep net disk tier bug"),
        (json!({ "issue_types": ["gate", "epic"] }), "epic gate"),
        (json!({ "exclude_types": ["bug", "task"] }), ""),
        (json!({ "priority": 4 }), "bug"),
        (json!({ "priority_max": 1 }), "hers"),
        (json!({ "assignee": "tess" }), "hers"),
        (json!({ "unassigned": true, "priority_max": 3 }), "inner deep net disk tier"),
        (json!({ "labels": ["area/net", "hot"] }), "net"),
        (json!({ "labels": ["area/net", "cold"] }), ""),
        (json!({ "labels_any": ["hot", "area/disk"] }), "net disk"),
        (json!({ "labels_none": ["hot"], "label_glob": "area/*" }), "disk"),
        (json!({ "label_regex": "^area/(net|disk)$" }), "net disk"),
        (json!({ "label_regex": "ar.a", "labels": ["hot"] }), "net"),
        (json!({ "parent": epic }), "inner deep"),
        (json!({ "parent": epic, "direct": true }), "inner"),
        (json!({ "metadata": { "tier": 1 } }), "tier"),
        (json!({ "has_metadata": ["gate"] }), "tier"),
        (json!({ "owner": "olga" }), "disk"),
    ] {
        let page = operator.call("beads.ready", filter.clone()).await.unwrap();
        let titles: Vec<&str> =
            page["beads"].as_array().unwrap().iter().map(|bead| bead["title"].as_str().unwrap()).collect();
        assert_eq!(titles.join(" "), wanted, "{filter}");
        assert!(page["beads"].as_array().unwrap().iter().all(|bead| bead.get("description").is_none()));
        let claimed = operator.call("beads.claim", json!({ "by": "tess", "only": filter })).await;
        match titles.first() {
            Some(first) => {
                let claimed = claimed.unwrap();
                assert_eq!(claimed["title"], json!(first));
                operator.call("beads.release", json!({ "id": claimed["id"] })).await.unwrap();
                if *first == "hers" {
                    let again = json!({ "id": claimed["id"], "assignee": "tess" });
                    operator.call("beads.update", again).await.unwrap();
                }
            }
            None => assert_eq!(claimed.unwrap_err().code(), "nothing_ready"),
        }
    }
    assert_eq!(beads.claim(Claim::next("nux")).await.unwrap().title, "inner", "what is meant for others is left");
    for (filter, code) in [
        (json!({ "priority": 5 }), "priority_out_of_range"),
        (json!({ "label_glob": "" }), "glob_malformed"),
        (json!({ "label_glob": "*".repeat(300) }), "glob_malformed"),
        (json!({ "label_regex": "" }), "regex_malformed"),
        (json!({ "label_regex": "(net" }), "regex_malformed"),
        (json!({ "label_regex": "a".repeat(300) }), "regex_malformed"),
        (json!({ "label_regex": "((a{1000}){1000}){1000}" }), "regex_malformed"),
        (json!({ "label_regex": "(".repeat(200) }), "regex_malformed"),
        (json!({ "direct": true }), "filter_misplaced"),
        (json!({ "labels": vec!["x"; 201] }), "filter_too_long"),
        (json!({ "labels": ["a\nb"] }), "word_malformed"),
        (json!({ "assignee": "x", "unassigned": true }), "filter_contradiction"),
        (json!({ "metadata": [] }), "metadata_malformed"),
        (json!({ "parent": "hq-none" }), "bead_missing"),
        (json!({ "sort": "painted" }), "word_unknown"),
        (json!({ "limit": 0 }), "limit_out_of_range"),
    ] {
        assert_eq!(refused(&operator, "beads.ready", filter.clone()).await.code(), code, "{filter}");
    }
    let misplaced = [
        ("limit", ReadyFilter { limit: Some(1), ..ReadyFilter::default() }),
        ("cursor", ReadyFilter { cursor: Some("x".to_owned()), ..ReadyFilter::default() }),
    ];
    for (field, filter) in misplaced {
        let error = beads.claim(Claim::next("x").only(filter)).await.unwrap_err();
        assert_eq!((error.code(), error.fact("field")), ("filter_misplaced", Some(field)));
    }
    ends(town).await;
}

#[tokio::test]
async fn lists_sort_and_select_and_lose_nothing_between_pages() {
    let (_dir, town, clock) = memory().await;
    let beads = town.operator().beads();
    let start = beads.create(NewBead::titled("00")).await.unwrap().created_at;
    for n in 1..30_u32 {
        clock.advance(Duration::from_secs(60));
        let new =
            NewBead { priority: n % 5, labels: vec![format!("l{}", n % 2)], ..NewBead::titled(format!("{n:02}")) };
        let bead = beads.create(new).await.unwrap().id;
        if n % 4 == 0 {
            beads.close(&bead).await.unwrap();
        }
    }
    let titles = async |filter: BeadFilter| {
        let (mut titles, mut cursor) = (Vec::new(), None);
        loop {
            let page = beads.list(BeadFilter { limit: Some(4), cursor, ..filter.clone() }).await.unwrap();
            titles.extend(page.beads.into_iter().map(|bead| bead.title));
            cursor = page.cursor;
            if cursor.is_none() {
                return titles;
            }
        }
    };
    let numbers = |keep: &dyn Fn(u32) -> bool| (0..30).filter(|n| keep(*n)).collect::<Vec<u32>>();
    let named = |numbers: Vec<u32>| numbers.into_iter().map(|n| format!("{n:02}")).collect::<Vec<_>>();
    let all = BeadFilter::default();
    assert_eq!(titles(all.clone()).await, named(numbers(&|_| true)));
    let newest = BeadFilter { sort: Some(ListSort::Newest), ..all.clone() };
    assert_eq!(titles(newest).await, named((0..30).rev().collect()));
    let mut urgent = numbers(&|_| true);
    urgent.sort_by_key(|n| (if *n == 0 { 2 } else { n % 5 }, *n));
    assert_eq!(titles(BeadFilter { sort: Some(ListSort::Priority), ..all.clone() }).await, named(urgent));
    let both = BeadFilter { statuses: vec![BeadStatus::Closed, BeadStatus::Open], ..all.clone() };
    assert_eq!(titles(both).await, named(numbers(&|_| true)));
    let closed = BeadFilter { status: Some(BeadStatus::Closed), ..all.clone() };
    assert_eq!(titles(closed).await, named(numbers(&|n| n > 0 && n % 4 == 0)));
    let odd = BeadFilter { labels: vec!["l1".into()], sort: Some(ListSort::Created), ..all.clone() };
    assert_eq!(titles(odd).await, named(numbers(&|n| n % 2 == 1)));
    let at = |n: i64| Some(Timestamp::from_micros(start.as_micros() + n * 60_000_000));
    let between = BeadFilter { created_after: at(5), created_before: at(12), ..all.clone() };
    assert_eq!(titles(between).await, named((6..12).collect()));
    let between = BeadFilter { closed_after: at(5), closed_before: at(12), sort: Some(ListSort::Id), ..all };
    assert_eq!(titles(between).await.len(), 1, "only 08: its end was between");
    ends(town).await;
}

#[tokio::test]
async fn a_claim_that_ran_out_is_ready_again_and_its_holder_is_too_late() {
    let (_dir, town, clock) = memory().await;
    let beads = town.operator().beads();
    let bead = made(&town, "x").await;
    let other = made(&town, "y").await;
    beads.close(&other).await.unwrap();
    let claim = |by: &str| Claim::of(bead.clone(), by).for_ms(60_000);
    let first = beads.claim(claim("tess")).await.unwrap();
    assert_eq!((first.epoch, first.started_at.is_some()), (1, true));
    let held = beads.claim(claim("nux")).await.unwrap_err();
    assert_eq!((held.code(), held.fact("assignee")), ("bead_held", Some("tess")));
    assert_eq!(held.fact("lease_until").map(str::to_owned), first.lease_until.map(|at| at.as_micros().to_string()));
    clock.advance(Duration::from_secs(30));
    let journal_end = town.health().await.unwrap().head;
    let again = beads.claim(claim("tess")).await.unwrap();
    assert_eq!((again.epoch, again.version), (1, first.version), "who holds it has it already");
    let renewed = beads.heartbeat(Heartbeat { lease_ms: Some(120_000), ..Heartbeat::of(&again) }).await.unwrap();
    assert_eq!(renewed.lease_until.as_micros() - first.lease_until.unwrap().as_micros(), 90_000_000);
    assert_eq!(town.health().await.unwrap().head, journal_end, "a sign of life is no entry");
    for (beat, code) in [
        (Heartbeat { by: "nux".into(), ..Heartbeat::of(&again) }, "bead_held"),
        (Heartbeat { epoch: 7, ..Heartbeat::of(&again) }, "epoch_stale"),
        (Heartbeat { lease_ms: Some(0), ..Heartbeat::of(&again) }, "lease_out_of_range"),
        (Heartbeat { id: other.clone(), epoch: 0, ..Heartbeat::of(&again) }, "bead_not_claimed"),
    ] {
        assert_eq!(beads.heartbeat(beat).await.unwrap_err().code(), code);
    }
    assert!(beads.ready(ReadyFilter::default()).await.unwrap().beads.is_empty());

    clock.advance(Duration::from_secs(120));
    for sort in [ReadySort::Priority, ReadySort::Oldest, ReadySort::Hybrid] {
        let page =
            beads.ready(ReadyFilter { sort: Some(sort), unassigned: true, ..ReadyFilter::default() }).await.unwrap();
        assert_eq!(page.beads.iter().map(|bead| &bead.id).collect::<Vec<_>>(), [&bead], "{sort}");
        assert_eq!(page.beads[0].assignee.as_deref(), Some("tess"));
    }
    let stolen = beads.claim(Claim::next("nux")).await.unwrap();
    assert_eq!((&stolen.id, stolen.epoch, stolen.assignee.as_deref()), (&bead, 2, Some("nux")));
    let late = CloseBead { expected_epoch: Some(first.epoch), ..CloseBead::from(&bead) };
    assert_eq!(beads.close(late).await.unwrap_err().code(), "epoch_stale");
    let late = ReleaseBead { expected_epoch: Some(first.epoch), ..ReleaseBead::from(&bead) };
    assert_eq!(beads.release(late).await.unwrap_err().code(), "epoch_stale");
    assert_eq!(beads.heartbeat(Heartbeat::of(&first)).await.unwrap_err().code(), "epoch_stale");
    let not_hers = ReleaseBead { by: Some("tess".into()), ..ReleaseBead::from(&bead) };
    assert_eq!(beads.release(not_hers).await.unwrap_err().code(), "bead_held");
    let patch = BeadPatch { assignee: Patch::Set("tess".into()), ..BeadPatch::of(bead.clone()) };
    assert_eq!(beads.update(patch).await.unwrap_err().code(), "bead_held");
    let done = CloseBead { expected_epoch: Some(stolen.epoch), ..CloseBead::from(&bead) };
    assert!(beads.close(done).await.unwrap().changed);
    let meant = beads.create(NewBead { assignee: Some("tess".into()), ..NewBead::titled("hers") }).await.unwrap().id;
    assert_eq!(beads.claim(Claim::of(meant.clone(), "nux")).await.unwrap_err().code(), "bead_assigned");
    assert_eq!(beads.claim(Claim::next("tess")).await.unwrap().id, meant);
    ends(town).await;
}
