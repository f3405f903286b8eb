//! The whole bead and its verbs: patches, plans, comments, closing, deleting, renaming, moving.

use std::sync::Arc;
use std::time::Duration;

use gastown_core::model::{BeadId, BeadStatus, DependencyKind, Resolution, RigName, Timestamp};
use gastown_core::store::MemoryBackend;
use gastown_core::{
    AddComment, AddRig, BeadFilter, BeadPatch, Claim, CloseBead, CommentRef, CommentsOf, DeleteBead, Error, Handle,
    KeyedBead, KeyedLink, Link, ManualClock, MoveBead, NewBead, NewBeads, Patch, RenameBead, Town,
};
use serde_json::{Value as Json, json};

use crate::support::origin;

pub(crate) async fn memory() -> (tempfile::TempDir, Town, ManualClock) {
    let dir = tempfile::tempdir().unwrap();
    let clock = ManualClock::at(Timestamp::from_micros(1_800_000_000_000_000));
    let town = Town::builder(dir.path())
        .backend(Arc::new(MemoryBackend::new()))
        .clock(Arc::new(clock.clone()))
        .from_env()
        .open()
        .await
        .unwrap();
    (dir, town, clock)
}

pub(crate) async fn made(town: &Town, title: &str) -> BeadId {
    town.operator().beads().create(NewBead::titled(title)).await.unwrap().id
}

fn id(text: &str) -> BeadId {
    BeadId::new(text).unwrap()
}

pub(crate) async fn ends(town: Town) {
    assert_eq!(town.replay().await.unwrap().differences, Vec::<String>::new());
    town.close().await.unwrap();
}

pub(crate) async fn refused(handle: &Handle, operation: &str, input: Json) -> Error {
    handle.call(operation, input).await.unwrap_err()
}

#[tokio::test]
async fn a_patch_leaves_clears_and_sets_every_field() {
    let (_dir, town, _) = memory().await;
    let (operator, beads) = (town.operator(), town.operator().beads());
    let parent = made(&town, "epic").await;
    let bead = made(&town, "x").await;
    let set = json!({
        "id": bead, "title": "y", "description": "d", "design": "e", "acceptance": "a", "notes": "n", "priority": 0,
        "issue_type": "bug", "assignee": "tess", "owner": "olga", "external_ref": "gh-9", "spec_id": "docs/x.md#2",
        "parent": parent, "defer_until": 5, "due_at": 6, "estimate_minutes": 30, "parked_reason": "tide",
        "parked_until": 7, "pinned": true, "ephemeral": true, "template": true, "labels": ["b", "a"],
        "metadata": { "k": [1], "l": 2 },
    });
    let before = operator.call("beads.get", json!({ "id": bead })).await.unwrap();
    let whole = operator.call("beads.update", set.clone()).await.unwrap();
    for (field, value) in set.as_object().unwrap() {
        if field != "labels" {
            assert_eq!(&whole[field], value, "{field} is set");
        }
    }
    assert_eq!(whole["labels"], json!(["a", "b"]));
    // Nothing but the id: nothing changes but the version.
    let same = operator.call("beads.update", json!({ "id": bead })).await.unwrap();
    for (field, value) in whole.as_object().unwrap().iter().filter(|(field, _)| *field != "version") {
        assert_eq!(&same[field], value, "{field} stays");
    }
    assert_eq!(beads.get(&parent).await.unwrap().parts, 1);
    let clear: serde_json::Map<String, Json> = set
        .as_object()
        .unwrap()
        .keys()
        .filter(|field| !matches!(field.as_str(), "id" | "title" | "priority" | "issue_type"))
        .map(|field| (field.clone(), Json::Null))
        .chain([("id".to_owned(), json!(bead))])
        .collect();
    let cleared = operator.call("beads.update", Json::Object(clear.clone())).await.unwrap();
    for field in clear.keys().filter(|field| *field != "id") {
        assert_eq!(cleared[field], before[field], "{field} is cleared");
    }
    assert_eq!(beads.get(&parent).await.unwrap().parts, 0);
    for field in ["title", "priority", "issue_type"] {
        let error = refused(&operator, "beads.update", json!({ "id": bead, field: null })).await;
        assert_eq!((error.code(), error.fact("field")), ("field_not_clearable", Some(field)));
    }
    let patch = BeadPatch { append_notes: Some("one".into()), ..BeadPatch::of(bead.clone()) };
    beads.update(patch).await.unwrap();
    let patch = BeadPatch { append_notes: Some("two".into()), add_labels: vec!["c".into()], ..BeadPatch::of(bead) };
    let appended = beads.update(patch).await.unwrap();
    assert_eq!((appended.notes.as_str(), appended.labels), ("one\ntwo", vec!["c".to_owned()]));
    ends(town).await;
}

#[tokio::test]
async fn what_a_field_cannot_hold_is_refused_and_nothing_is_written() {
    let (_dir, town, _) = memory().await;
    let operator = town.operator();
    let bead = made(&town, "x").await;
    let before = operator.beads().get(&bead).await.unwrap();
    let long = |bytes: usize| "x".repeat(bytes);
    for (field, value, code) in [
        ("title", json!("a\nb"), "title_malformed"),
        ("priority", json!(5), "priority_out_of_range"),
        ("priority", json!("high"), "input_malformed"),
        ("owner", json!("a\u{7}"), "word_malformed"),
        ("owner", json!(long(201)), "word_malformed"),
        ("assignee", json!(""), "word_malformed"),
        ("external_ref", json!("a\u{1b}[2J"), "external_ref_malformed"),
        ("spec_id", json!(long(1_025)), "spec_id_malformed"),
        ("design", json!(long(2 << 20)), "text_too_long"),
        ("append_notes", json!(long(2 << 20)), "text_too_long"),
        ("parent", json!("hq-none"), "bead_missing"),
        ("parent", json!(bead), "edge_to_itself"),
        ("parent", json!("../x"), "id_malformed"),
        ("estimate_minutes", json!(-1), "input_malformed"),
        ("due_at", json!(1.5), "input_malformed"),
        ("parked_until", json!(9), "parked_without_reason"),
        ("labels", json!(["gt:x"]), "label_reserved"),
        ("labels", json!((0..201).map(|n| n.to_string()).collect::<Vec<_>>()), "too_many_labels"),
        ("add_labels", json!(["a\0b"]), "word_malformed"),
        ("metadata", json!([1]), "metadata_malformed"),
        ("pinned", json!("yes"), "input_malformed"),
        ("status", json!("closed"), "input_malformed"),
        ("expected_version", json!(99), "version_mismatch"),
    ] {
        // A legal change beside the wrong one is not written either.
        let mut patch = json!({ "id": bead, "notes": "late", "add_labels": ["late"] });
        patch[field] = value;
        let error = refused(&operator, "beads.update", patch).await;
        assert_eq!(error.code(), code, "{field}");
        if code == "input_malformed" {
            assert_eq!(error.fact("field"), Some(field));
            assert!(error.to_string().contains(field), "{error}");
        }
    }
    assert_eq!(operator.beads().get(&bead).await.unwrap(), before);
    ends(town).await;
}

#[tokio::test]
async fn an_id_may_be_asked_for_and_a_part_s_number_never_comes_back() {
    let (_dir, town, _) = memory().await;
    let beads = town.operator().beads();
    let with = |text: &str| NewBead { id: Some(id(text)), ..NewBead::titled(text) };
    assert_eq!(beads.create(with("hq-keel")).await.unwrap().id, id("hq-keel"));
    assert_eq!(beads.create(with("hq-keel")).await.unwrap_err().code(), "id_taken");
    for wrong in ["gt-keel", "hq", "hqkeel"] {
        assert_eq!(beads.create(with(wrong)).await.unwrap_err().code(), "id_prefix", "{wrong}");
    }
    let part = || NewBead { parent: Some(id("hq-keel")), ..NewBead::titled("part") };
    for n in 1..=2 {
        assert_eq!(beads.create(part()).await.unwrap().id, id(&format!("hq-keel.{n}")));
    }
    for n in [2, 1] {
        beads.delete(id(&format!("hq-keel.{n}"))).await.unwrap();
    }
    assert_eq!(beads.create(part()).await.unwrap().id, id("hq-keel.3"));
    beads.create(NewBead { parent: Some(id("hq-keel")), ..with("hq-keel.9") }).await.unwrap();
    assert_eq!(beads.create(part()).await.unwrap().id, id("hq-keel.10"));

    assert_eq!(beads.create(with("hq-keel.1")).await.unwrap_err().code(), "id_of_deleted");
    let again = NewBead { replaces_deleted: true, ..with("hq-keel.1") };
    assert_eq!(beads.create(again).await.unwrap().id, id("hq-keel.1"));
    ends(town).await;
}

#[tokio::test]
async fn a_plan_is_made_whole_or_not_at_all() {
    let (_dir, town, _) = memory().await;
    let operator = town.operator();
    let beads = operator.beads();
    let there = made(&town, "there").await;
    let planned = |key: &str, part_of: Option<&str>| KeyedBead {
        part_of: part_of.map(str::to_owned),
        ..KeyedBead::new(key, NewBead::titled(key))
    };
    let plan = NewBeads {
        beads: vec![planned("mast", Some("ship")), planned("ship", None), planned("keel", Some("ship"))],
        links: vec![
            KeyedLink::blocks("mast", "keel"),
            KeyedLink::blocks("keel", there.as_str()),
            KeyedLink { kind: DependencyKind::Related, ..KeyedLink::blocks(there.as_str(), "mast") },
        ],
    };
    let made = beads.create_many(plan.clone()).await.unwrap().beads;
    assert_eq!(made.iter().map(|bead| bead.key.as_str()).collect::<Vec<_>>(), ["mast", "ship", "keel"]);
    let bead = async |at: usize| beads.get(&made[at].id).await.unwrap();
    let (mast, ship, keel) = (bead(0).await, bead(1).await, bead(2).await);
    assert_eq!((mast.parent.as_ref(), keel.parent.as_ref()), (Some(&ship.id), Some(&ship.id)));
    assert_eq!((ship.parts, ship.open_parts, mast.blockers, keel.blockers), (2, 2, 1, 1));
    assert_eq!(beads.close(&there).await.unwrap().unblocked, std::slice::from_ref(&keel.id));

    let count = beads.list(BeadFilter::default()).await.unwrap().beads.len();
    let link = |bead: &str, on: &str| json!({ "bead": bead, "on_bead": on });
    let one = |key: &str| json!({ "key": key, "bead": { "title": key } });
    for (beads, links, code, named) in [
        (vec![one("a"), one("b")], vec![link("a", "b"), link("b", "a")], "cycle", Some(("cycle", "->"))),
        (vec![one("a")], vec![link("a", "a")], "cycle", None),
        (vec![one("a")], vec![link("a", "no such key")], "key_unknown", Some(("key", "no such key"))),
        (vec![one("a")], vec![link("a", "hq-none")], "bead_missing", Some(("bead", "hq-none"))),
        (vec![one("a"), one("a")], vec![], "key_twice", Some(("key", "a"))),
        (vec![], vec![], "plan_size", None),
        (vec![json!({ "key": "a", "bead": { "title": "a" }, "part_of": "z" })], vec![], "key_unknown", None),
        (vec![json!({ "key": "a", "bead": { "title": "" } })], vec![], "title_malformed", Some(("key", "a"))),
        (vec![json!({ "key": "a", "bead": { "title": "t" }, "part_of": "a" })], vec![], "cycle", None),
    ] {
        let error = refused(&operator, "beads.create_many", json!({ "beads": beads, "links": links })).await;
        assert_eq!(error.code(), code);
        if let Some((fact, text)) = named {
            assert!(error.fact(fact).is_some_and(|found| found.contains(text)), "{error:?}");
        }
    }
    // A circle over beads that are there.
    beads.reopen(&there).await.unwrap();
    let links = vec![KeyedLink::blocks("new", there.as_str()), KeyedLink::blocks(there.as_str(), "new")];
    let circle = NewBeads { beads: vec![planned("new", None)], links };
    assert_eq!(beads.create_many(circle).await.unwrap_err().code(), "cycle");
    assert_eq!(beads.list(BeadFilter::default()).await.unwrap().beads.len(), count, "none of them was made");
    ends(town).await;
}

#[tokio::test]
async fn comments_are_kept_paged_and_their_author_s_own() {
    let (_dir, town, clock) = memory().await;
    let beads = town.operator().beads();
    let bead = made(&town, "x").await;
    let version = beads.get(&bead).await.unwrap().version;
    let mut ids = Vec::new();
    for n in 0..5 {
        clock.advance(Duration::from_secs(1));
        let author = Some(format!("tess{n}"));
        ids.push(
            beads.comment(AddComment { author, ..AddComment::new(bead.clone(), format!("no. {n}")) }).await.unwrap().id,
        );
    }
    let got = beads.get(&bead).await.unwrap();
    assert_eq!((got.comments, got.version), (5, version), "a remark is no change of the bead");
    let mut seen = Vec::new();
    let mut cursor = None;
    loop {
        let page = beads.comments(CommentsOf { limit: Some(2), cursor, ..CommentsOf::from(&bead) }).await.unwrap();
        seen.extend(page.comments.into_iter().map(|comment| comment.id));
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen, ids);
    let one = CommentRef { bead: bead.clone(), id: ids[0].clone() };
    assert!(beads.delete_comment(one.clone()).await.unwrap().changed);
    assert!(!beads.delete_comment(one).await.unwrap().changed);
    assert_eq!(beads.get(&bead).await.unwrap().comments, 4);
    let wrong = |text: &str| AddComment::new(bead.clone(), text);
    assert_eq!(beads.comment(wrong(" ")).await.unwrap_err().code(), "comment_malformed");
    assert_eq!(beads.comment(wrong(&"x".repeat(257 << 10))).await.unwrap_err().code(), "comment_malformed");
    let malformed = CommentsOf { cursor: Some("[\"comments\",1]".into()), ..CommentsOf::from(&bead) };
    assert_eq!(beads.comments(malformed).await.unwrap_err().code(), "cursor_malformed");
    ends(town).await;
}

#[tokio::test]
async fn a_close_is_guarded_repeatable_and_says_what_it_freed() {
    let (_dir, town, _) = memory().await;
    let beads = town.operator().beads();
    let (a, b) = (made(&town, "a").await, made(&town, "b").await);
    let part = beads.create(NewBead { parent: Some(a.clone()), ..NewBead::titled("part") }).await.unwrap().id;
    beads.link(Link::blocks(b.clone(), a.clone())).await.unwrap();
    let code = async |close: CloseBead| beads.close(close).await.unwrap_err().code().to_owned();
    assert_eq!(code(CloseBead::from(&a)).await, "bead_has_open_parts");
    let blocked = beads.close(CloseBead::from(&b)).await.unwrap_err();
    assert_eq!((blocked.code(), blocked.fact("on_beads")), ("bead_blocked", Some(a.as_str())));
    beads.close(&part).await.unwrap();
    beads.update(BeadPatch { pinned: Patch::Set(true), ..BeadPatch::of(a.clone()) }).await.unwrap();
    assert_eq!(code(CloseBead::from(&a)).await, "bead_pinned");
    let wrong = CloseBead { expected_version: Some(1), force: true, ..CloseBead::from(&a) };
    assert_eq!(code(wrong).await, "version_mismatch");

    let close = CloseBead { force: true, reason: Some("it lies".into()), ..CloseBead::from(&a) };
    let closed = beads.close(close.clone()).await.unwrap();
    assert!(closed.changed);
    assert_eq!((closed.unblocked, closed.bead.close_reason.as_deref()), (vec![b.clone()], Some("it lies")));
    let again = beads.close(close.clone()).await.unwrap();
    assert_eq!((again.changed, again.bead), (false, closed.bead));
    let other = CloseBead { resolution: Some(Resolution::Cancelled), ..close };
    assert_eq!(code(other).await, "bead_transition");
    assert_eq!(beads.reopen(&a).await.unwrap().close_reason, None);
    // What is decided against may wait for others.
    let cancelled = CloseBead { resolution: Some(Resolution::Cancelled), ..CloseBead::from(&b) };
    assert!(beads.close(cancelled).await.unwrap().changed);

    let (same, other) = (made(&town, "same").await, made(&town, "other").await);
    let duplicate = CloseBead { duplicate_of: Some(other.clone()), ..CloseBead::from(&same) };
    assert_eq!(beads.close(duplicate).await.unwrap().bead.resolution, Some(Resolution::Duplicate));
    let edges = beads.edges(&same).await.unwrap().depends_on;
    assert_eq!(edges[0].kind, DependencyKind::Duplicates);
    let superseded = CloseBead { superseded_by: Some(same.clone()), ..CloseBead::from(&other) };
    assert_eq!(beads.close(superseded).await.unwrap().bead.resolution, Some(Resolution::Superseded));
    let third = made(&town, "third").await;
    let mismatch =
        CloseBead { resolution: Some(Resolution::Completed), duplicate_of: Some(other), ..CloseBead::from(&third) };
    assert_eq!(code(mismatch).await, "resolution_mismatch");
    let missing = CloseBead { duplicate_of: Some(id("hq-none")), ..CloseBead::from(&third) };
    assert_eq!(code(missing).await, "bead_missing");
    assert_eq!(beads.get(&third).await.unwrap().status, BeadStatus::Open);
    ends(town).await;
}

#[tokio::test]
async fn a_deleted_bead_leaves_a_tombstone_and_frees_who_waited() {
    let (_dir, town, _) = memory().await;
    let beads = town.operator().beads();
    let (a, b) = (made(&town, "a").await, made(&town, "b").await);
    let whole =
        NewBead { parent: Some(a.clone()), labels: vec!["x".into()], notes: "n".into(), ..NewBead::titled("part") };
    let part = beads.create(whole).await.unwrap().id;
    beads.comment(AddComment::new(part.clone(), "so be it")).await.unwrap();
    beads.link(Link::blocks(b.clone(), part.clone())).await.unwrap();
    assert_eq!(beads.delete(&a).await.unwrap_err().code(), "bead_has_parts");
    beads.claim(Claim::of(part.clone(), "tess")).await.unwrap();
    let cascade = DeleteBead { cascade: true, reason: Some("no ship".into()), ..DeleteBead::from(&a) };
    assert_eq!(beads.delete(cascade.clone()).await.unwrap_err().code(), "bead_held");
    beads.release(&part).await.unwrap();
    let gone = beads.delete(cascade).await.unwrap();
    assert_eq!((gone.deleted, gone.unblocked), (vec![part.clone(), a.clone()], vec![b.clone()]));
    let error = beads.get(&part).await.unwrap_err();
    assert_eq!((error.code(), error.fact("deleted_by")), ("bead_missing", Some("operator")));
    let labelled = BeadFilter { labels: vec!["x".into()], ..BeadFilter::default() };
    assert!(beads.list(labelled).await.unwrap().beads.is_empty());
    assert_eq!(beads.edges(&b).await.unwrap().depends_on, []);
    assert_eq!(beads.get(&b).await.unwrap().blockers, 0);
    ends(town).await;
}

#[tokio::test]
async fn a_renamed_bead_takes_everything_along() {
    let (_dir, town, _) = memory().await;
    let beads = town.operator().beads();
    let old = beads
        .create(NewBead { labels: vec!["x".into()], notes: "n".into(), ..NewBead::titled("old") })
        .await
        .unwrap()
        .id;
    let part = beads.create(NewBead { parent: Some(old.clone()), ..NewBead::titled("part") }).await.unwrap().id;
    let (waiter, blocker) = (made(&town, "waiter").await, made(&town, "blocker").await);
    beads.link(Link::blocks(waiter.clone(), old.clone())).await.unwrap();
    beads.link(Link::blocks(old.clone(), blocker.clone())).await.unwrap();
    beads.comment(AddComment::new(old.clone(), "so be it")).await.unwrap();
    let rename = |parts| RenameBead { parts, ..RenameBead::new(old.clone(), id("hq-new")) };
    assert_eq!(beads.rename(RenameBead::new(old.clone(), blocker.clone())).await.unwrap_err().code(), "id_taken");
    assert_eq!(beads.rename(RenameBead::new(old.clone(), id("gt-x"))).await.unwrap_err().code(), "id_prefix");
    let renamed = beads.rename(rename(true)).await.unwrap();
    assert_eq!(renamed.renamed.iter().map(|id| id.new.as_str()).collect::<Vec<_>>(), ["hq-new", "hq-new.1"]);
    assert_eq!((renamed.bead.notes.as_str(), renamed.bead.labels.len(), renamed.bead.comments), ("n", 1, 1));
    assert_eq!(beads.get(id("hq-new.1")).await.unwrap().parent, Some(id("hq-new")));
    assert_eq!(beads.comments(&id("hq-new")).await.unwrap().comments.len(), 1);
    let error = beads.get(&part).await.unwrap_err();
    assert_eq!((error.code(), error.fact("moved_to")), ("bead_missing", Some("hq-new.1")));
    // The counts went along.
    beads.close(&blocker).await.unwrap();
    let forced = CloseBead { force: true, ..CloseBead::from(id("hq-new")) };
    assert_eq!(beads.close(forced).await.unwrap().unblocked, [waiter]);
    // And back.
    beads.rename(RenameBead { parts: true, ..RenameBead::new(id("hq-new"), old.clone()) }).await.unwrap();
    assert_eq!(beads.get(&part).await.unwrap().parent, Some(old));
    ends(town).await;
}

#[tokio::test]
async fn a_bead_moves_to_another_rig_with_its_parts() {
    let (dir, town, _) = memory().await;
    let operator = town.operator();
    let beads = operator.beads();
    let bare = origin(dir.path());
    let rig = |name: &str| RigName::new(name).unwrap();
    for name in ["harbour", "island"] {
        let add = AddRig { prefix: Some(name[..2].to_owned()), ..AddRig::new(rig(name), bare.to_str().unwrap()) };
        operator.rigs().add(add).await.unwrap();
    }
    let bead = beads.create(NewBead::titled("x").in_rig(rig("harbour"))).await.unwrap().id;
    let part = NewBead { parent: Some(bead.clone()), ..NewBead::titled("part").in_rig(rig("harbour")) };
    let part = beads.create(part).await.unwrap().id;
    assert_eq!(beads.move_to_rig(MoveBead::new(part.clone(), rig("island"))).await.unwrap_err().code(), "bead_is_part");
    beads.claim(Claim::of(part.clone(), "tess")).await.unwrap();
    let there = || MoveBead::new(bead.clone(), rig("island"));
    assert_eq!(beads.move_to_rig(there()).await.unwrap_err().code(), "bead_held");
    beads.release(&part).await.unwrap();
    let narrow = town.rig(rig("harbour"));
    assert!(narrow.beads().move_to_rig(there()).await.is_err(), "a rig's handle reaches its rig only");
    let moved = beads.move_to_rig(there()).await.unwrap();
    assert!(moved.bead.id.as_str().starts_with("is-") && moved.bead.rig == Some(rig("island")));
    let part_now = beads.get(&moved.renamed[1].new).await.unwrap();
    assert_eq!(
        (part_now.id.as_str(), part_now.parent.as_ref()),
        (format!("{}.1", moved.bead.id).as_str(), Some(&moved.bead.id))
    );
    assert_eq!(part_now.rig, Some(rig("island")));
    assert_eq!(town.rig(rig("island")).beads().list(BeadFilter::default()).await.unwrap().beads.len(), 2);
    ends(town).await;
}

#[tokio::test]
async fn how_a_bead_ended_is_said_by_its_resolution_and_not_by_words_of_the_reason() {
    let (_dir, town, _) = memory().await;
    let beads = town.operator().beads();
    for (resolution, reason, ended, is_skipped) in [
        (None, "failed", Resolution::Completed, true),
        (Some(Resolution::Abandoned), "failed", Resolution::Abandoned, false),
        (Some(Resolution::Cancelled), "done", Resolution::Cancelled, false),
    ] {
        let bead = beads.create(NewBead::titled("try")).await.unwrap();
        let other = beads.create(NewBead::titled("otherwise")).await.unwrap();
        let kind = DependencyKind::ConditionalBlocks;
        beads.link(Link { kind, ..Link::blocks(other.id.clone(), bead.id.clone()) }).await.unwrap();
        let close = CloseBead { resolution, reason: Some(reason.to_owned()), ..(&bead.id).into() };
        beads.close(close).await.unwrap();
        assert_eq!(beads.get(&bead.id).await.unwrap().resolution, Some(ended));
        assert_eq!(beads.get(&other.id).await.unwrap().resolution, is_skipped.then_some(Resolution::Skipped));
    }
    ends(town).await;
}
