//! Callers who show a token: what they can do, until when, and what they cannot.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use gastown_core::auth::{KeyAlgorithm, KeyRing, SigningKey};
use gastown_core::model::{CapabilityId, ErrorKind, RigName, Timestamp, UserId};
use gastown_core::store::MemoryBackend;
use gastown_core::{
    AddRig, All, AttenuateCapability, BeadFilter, CapabilityFilter, Error, EventsSince, ExportBeads, Handle, HistoryOf,
    IssueCapability, IssuedCapability, ManualClock, NewBead, RevokeCapability, RotateKeys, SessionRef, Town,
};
use serde_json::json;

use crate::support::{HANG, Yard, event, happened, origin};

fn start() -> Timestamp {
    Timestamp::from_micros(1_800_000_000_000_000)
}

async fn in_memory(dir: &Path, id: &str, clock: Arc<ManualClock>) -> Town {
    Town::builder(dir.join(id)).id(id).backend(Arc::new(MemoryBackend::new())).clock(clock).open().await.unwrap()
}

fn user(name: &str) -> IssueCapability {
    IssueCapability { user: Some(UserId::new(name).unwrap()), ..IssueCapability::default() }
}

#[allow(clippy::unnecessary_wraps, reason = "it is what the fields take")]
fn verbs<const N: usize>(verbs: [&str; N]) -> Option<BTreeSet<String>> {
    Some(verbs.map(str::to_owned).into())
}

fn narrow(issued: &IssuedCapability) -> AttenuateCapability {
    AttenuateCapability { token: issued.token.clone(), rig: None, verbs: None, ttl_ms: None }
}

async fn refused(handle: &Handle) -> Error {
    handle.beads().list(BeadFilter::default()).await.unwrap_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_good_until_it_ends_or_is_revoked_for_whoever_is_at_work_with_it_too() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(start()));
    let town = in_memory(dir.path(), "harbour", Arc::clone(&clock)).await;
    let capabilities = town.operator().capabilities();
    let issued =
        capabilities.issue(IssueCapability { ttl_ms: Some(60_500), ..user("tess@example.org") }).await.unwrap();
    assert_eq!(issued.principal, "user/tess@example.org");
    assert_eq!(issued.expires_at, start().after(Duration::from_secs(60)), "it ends with a whole second");
    let tess = town.with_token(&issued.token).await.unwrap();
    let bead = tess.beads().create(NewBead::titled("Lay the keel")).await.unwrap();
    assert_eq!(bead.created_by, "user/tess@example.org");
    assert_eq!(tess.capability().unwrap().id, issued.id);
    let all = CapabilityFilter { all: true, ..CapabilityFilter::default() };
    let listed = capabilities.list(all.clone()).await.unwrap().capabilities;
    assert_eq!((listed.len(), &listed[0].id, listed[0].issued_by.as_str()), (1, &issued.id, "operator"));

    clock.advance(Duration::from_secs(60));
    let error = refused(&tess).await;
    assert_eq!((error.kind(), error.code()), (ErrorKind::Forbidden, "token_expired"));
    assert_eq!(tess.upkeep().status(All {}).await.unwrap_err().code(), "token_expired");
    assert_eq!(town.with_token(&issued.token).await.unwrap_err().code(), "token_expired");
    assert_eq!(capabilities.list(CapabilityFilter::default()).await.unwrap().capabilities, []);
    assert_eq!(capabilities.list(all).await.unwrap().capabilities.len(), 1);

    let issued = capabilities.issue(user("tess")).await.unwrap();
    let tess = town.with_token(&issued.token).await.unwrap();
    let mut watch = tess.events().watch(0).unwrap();
    while watch.next().await.unwrap().kind != "capability.issued" {}
    while watch.next().await.unwrap().kind != "capability.issued" {}
    let revoke = RevokeCapability { id: issued.id.clone(), reason: Some("she left".into()) };
    assert!(capabilities.revoke(revoke.clone()).await.unwrap().changed);
    assert!(!capabilities.revoke(revoke).await.unwrap().changed);
    assert_eq!(refused(&tess).await.code(), "capability_revoked");
    assert_eq!(watch.next().await.unwrap_err().code(), "capability_revoked", "what it follows ends with it");
    assert_eq!(town.with_token(&issued.token).await.unwrap_err().code(), "capability_revoked");
    let missing = CapabilityId::new("cap-none").unwrap();
    assert_eq!(capabilities.revoke(missing).await.unwrap_err().code(), "capability_missing");
    town.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_made_of_a_capability_can_do_less_and_ends_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(start()));
    let town = in_memory(dir.path(), "harbour", Arc::clone(&clock)).await;
    let bare = origin(dir.path());
    let rig = |name: &str| RigName::new(name).unwrap();
    for name in ["docks", "island"] {
        town.operator().rigs().add(AddRig::new(rig(name), bare.to_str().unwrap())).await.unwrap();
    }
    let capabilities = town.operator().capabilities();
    let wide = IssueCapability { verbs: verbs(["beads.list", "beads.create", "beads.get"]), ..user("tess") };
    let whole = capabilities.issue(wide).await.unwrap();
    let less = AttenuateCapability { rig: Some(rig("docks")), verbs: verbs(["beads.list"]), ..narrow(&whole) };
    let less = capabilities.attenuate(less).await.unwrap();
    let reader = town.with_token(&less.token).await.unwrap();
    assert_eq!(reader.scope().rig(), Some(&rig("docks")));
    let error = reader.beads().create(NewBead::titled("x").in_rig(rig("docks"))).await.unwrap_err();
    assert_eq!((error.code(), error.fact("verb")), ("verb_not_granted", Some("beads.create")));

    let beyond = |change: AttenuateCapability| {
        let capabilities = capabilities.clone();
        async move { capabilities.attenuate(change).await.unwrap_err().code().to_owned() }
    };
    let more = AttenuateCapability { verbs: verbs(["beads.list", "beads.get"]), ..narrow(&less) };
    assert_eq!(beyond(more).await, "verb_not_granted");
    assert_eq!(beyond(AttenuateCapability { rig: Some(rig("island")), ..narrow(&less) }).await, "scope_too_narrow");
    assert_eq!(beyond(AttenuateCapability { verbs: verbs(["beads.fly"]), ..narrow(&less) }).await, "operation_unknown");
    assert_eq!(beyond(AttenuateCapability { verbs: verbs([]), ..narrow(&less) }).await, "verbs_out_of_range");
    assert_eq!(beyond(AttenuateCapability { ttl_ms: Some(999), ..narrow(&less) }).await, "ttl_out_of_range");
    assert_eq!(beyond(AttenuateCapability { token: "x".into(), ..narrow(&less) }).await, "token_malformed");
    // One that would hold for longer ends with what it was made of.
    let longer = AttenuateCapability { ttl_ms: Some(7 * 24 * 3_600_000), ..narrow(&less) };
    let longer = capabilities.attenuate(longer).await.unwrap();
    assert_eq!(longer.expires_at, whole.expires_at);
    assert_eq!(town.with_token(&longer.token).await.unwrap().capability().unwrap().verbs, verbs(["beads.list"]));

    // What the same user heard of another rig is not repeated to one who is confined to this one.
    let operations = verbs(["beads.create", "beads.update"]);
    let whole_town = capabilities.issue(IssueCapability { verbs: operations.clone(), ..user("tess") }).await.unwrap();
    let tess = town.with_token(&whole_town.token).await.unwrap();
    let theirs = tess.beads().create(NewBead::titled("theirs").in_rig(rig("island"))).await.unwrap();
    let input = json!({ "id": theirs.id, "priority": 1 });
    let first = tess.with_key("once").call("beads.update", input.clone()).await.unwrap();
    assert_eq!(tess.with_key("once").call("beads.update", input.clone()).await.unwrap(), first);
    let confined = AttenuateCapability { rig: Some(rig("docks")), ..narrow(&whole_town) };
    let confined = town.with_token(&capabilities.attenuate(confined).await.unwrap().token).await.unwrap();
    for input in [input, json!({ "id": theirs.id, "priority": 2 })] {
        assert_eq!(confined.with_key("once").call("beads.update", input).await.unwrap_err().code(), "bead_missing");
    }

    // Whoever cannot see the whole town issues nothing, whatever its token says.
    let in_rig = IssueCapability { rig: Some(rig("docks")), ..user("tess") };
    let in_rig = town.with_token(&capabilities.issue(in_rig).await.unwrap().token).await.unwrap();
    for error in [
        in_rig.capabilities().issue(user("eve")).await.unwrap_err(),
        in_rig.capabilities().list(CapabilityFilter::default()).await.unwrap_err(),
        in_rig.capabilities().revoke(whole.id.clone()).await.unwrap_err(),
        in_rig.capabilities().rotate_keys(RotateKeys::default()).await.unwrap_err(),
        in_rig.events().watch(0).unwrap_err(),
        town.rig(rig("docks")).capabilities().issue(user("eve")).await.unwrap_err(),
    ] {
        assert_eq!(error.code(), "scope_too_narrow");
    }
    // What somebody issues who calls with a token is made of that.
    let issuer = IssueCapability { verbs: verbs(["capabilities.issue", "beads.list"]), ..user("ops") };
    let issuer = capabilities.issue(issuer).await.unwrap();
    let ops = town.with_token(&issuer.token).await.unwrap();
    let beyond = IssueCapability { verbs: verbs(["beads.delete"]), ..user("eve") };
    assert_eq!(ops.capabilities().issue(beyond).await.unwrap_err().code(), "verb_not_granted");
    let within = ops.capabilities().issue(user("eve")).await.unwrap();
    let eve = town.with_token(&within.token).await.unwrap();
    assert_eq!(eve.capability().unwrap().verbs, verbs(["capabilities.issue", "beads.list"]));
    eve.beads().list(BeadFilter::default()).await.unwrap();
    capabilities.revoke(issuer.id).await.unwrap();
    assert_eq!(refused(&eve).await.code(), "capability_revoked");

    capabilities.revoke(whole.id).await.unwrap();
    assert_eq!(refused(&reader).await.code(), "capability_revoked");
    assert_eq!(capabilities.attenuate(narrow(&less)).await.unwrap_err().code(), "capability_revoked");
    town.close().await.unwrap();
}

/// Random chains: nothing that is made of a capability ever holds more than it.
#[tokio::test(flavor = "multi_thread")]
async fn no_chain_of_capabilities_widens() {
    let dir = tempfile::tempdir().unwrap();
    let town = in_memory(dir.path(), "harbour", Arc::new(ManualClock::at(start()))).await;
    let bare = origin(dir.path());
    let rigs = ["docks", "island"].map(|name| RigName::new(name).unwrap());
    for rig in &rigs {
        town.operator().rigs().add(AddRig::new(rig.clone(), bare.to_str().unwrap())).await.unwrap();
    }
    let names: Vec<&str> = gastown_core::operations().iter().map(|operation| operation.name).collect();
    let mut draw = gastown_core::store::conformance::sample::Draw::new(11);
    let (mut made, mut refusals) = (0, 0);
    for _ in 0..40 {
        let mut last = town.operator().capabilities().issue(user("tess")).await.unwrap();
        for _ in 0..10 {
            let some: BTreeSet<String> = (0..=draw.below(60)).map(|_| names[draw.below(names.len())].into()).collect();
            let change = AttenuateCapability {
                rig: [None, Some(rigs[0].clone()), Some(rigs[1].clone())][draw.below(3)].clone(),
                verbs: [None, Some(some)][draw.below(2)].clone(),
                ttl_ms: [None, Some(1_000 * (1 + draw.below(7_000) as u64))][draw.below(2)],
                token: last.token.clone(),
            };
            let parent = town.with_token(&last.token).await.unwrap();
            let parent = parent.capability().unwrap();
            let Ok(child) = town.operator().capabilities().attenuate(change).await else {
                refusals += 1;
                continue;
            };
            let handle = town.with_token(&child.token).await.unwrap();
            let held = handle.capability().unwrap();
            assert!(held.expires_at <= parent.expires_at);
            assert!(parent.scope.rig().is_none_or(|rig| held.scope.rig() == Some(rig)));
            assert_eq!(held.scope.principal(), parent.scope.principal());
            let within = match (&held.verbs, &parent.verbs) {
                (Some(held), Some(parent)) => held.is_subset(parent),
                (None, Some(_)) => false,
                _ => true,
            };
            assert!(within, "{held:?} beyond {parent:?}");
            assert_eq!(held.chain.last(), Some(&parent.id));
            made += 1;
            last = child;
        }
    }
    assert!(made > 50 && refusals > 50, "{made} were made and {refusals} refused");
    town.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_end_with_their_time_in_every_process_and_tokens_with_them() {
    let dir = tempfile::tempdir().unwrap();
    let open = || async { Town::builder(dir.path().join("town")).open().await.unwrap() };
    let (here, there) = (open().await, open().await);
    let issued = here.operator().capabilities().issue(user("tess")).await.unwrap();
    let tess = there.with_token(&issued.token).await.unwrap();
    tess.beads().list(BeadFilter::default()).await.unwrap();
    let kept = RotateKeys { algorithm: Some(KeyAlgorithm::Hs256), ..RotateKeys::default() };
    let keys = here.operator().capabilities().rotate_keys(kept).await.unwrap().keys;
    assert_eq!(keys.iter().map(|key| key.ends_at.is_some()).collect::<Vec<_>>(), [false, true]);
    tess.beads().list(BeadFilter::default()).await.unwrap();
    let next = there.operator().capabilities().issue(user("tess")).await.unwrap();
    here.with_token(&next.token).await.unwrap();
    // A key that somebody else knows: none of the tokens before is good for anything, also where it is in use.
    let now = RotateKeys { keep_ms: Some(0), ..RotateKeys::default() };
    here.operator().capabilities().rotate_keys(now).await.unwrap();
    assert_eq!(refused(&tess).await.code(), "token_key_unknown");
    assert_eq!(there.with_token(&next.token).await.unwrap_err().code(), "token_key_unknown");
    let journal = here.operator().events().since(EventsSince::default()).await.unwrap().events;
    assert_eq!(journal.iter().filter(|event| event.kind == "keys.rotated").count(), 2);
    here.close().await.unwrap();
    there.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_of_one_town_and_of_what_that_town_knows() {
    let dir = tempfile::tempdir().unwrap();
    let ring = || KeyRing::new([SigningKey::new("k", KeyAlgorithm::Hs256, &[7; 32], start()).unwrap()]).unwrap();
    let open = |name: &str, id: &str| Town::builder(dir.path().join(name)).id(id).keys(ring());
    let (ours, theirs) = (open("ours", "ours").open().await.unwrap(), open("theirs", "theirs").open().await.unwrap());
    let before = dir.path().join("backup");
    ours.backup(before.as_path()).await.unwrap();
    let issued = ours.operator().capabilities().issue(user("tess")).await.unwrap();
    ours.with_token(&issued.token).await.unwrap();
    let error = theirs.with_token(&issued.token).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Forbidden, "token_of_another"));
    assert_eq!(
        ours.operator().capabilities().rotate_keys(RotateKeys::default()).await.unwrap_err().code(),
        "keys_of_host"
    );
    // A town that is as it was before the token was issued has not issued it.
    let restored = open("restored", "ours").restore(&before).await.unwrap();
    assert_eq!(restored.with_token(&issued.token).await.unwrap_err().code(), "capability_unknown");
    for town in [ours, theirs, restored] {
        town.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_has_a_token_of_its_own_that_ends_with_its_session() {
    let yard = Yard::new(r#"cp "$GASTOWN_CAPABILITY_FILE" "$GASTOWN_TITLE"; mv "$GASTOWN_TITLE" "$GASTOWN_TITLE.whole"; exec sleep 1000"#, []).await;
    let copied = yard.dir.path().join("copied");
    let bead = yard.sling(copied.to_str().unwrap()).await;
    let whole = copied.with_extension("whole");
    gastown_core::runtime::conformance::until("the agent shows its token", async || whole.exists()).await;
    let token = std::fs::read_to_string(&whole).unwrap();
    let session = yard.sessions(&bead.id).await[0].id.clone();
    let agent = yard.town.with_token(&token).await.unwrap();
    assert_eq!(agent.beads().get(&bead.id).await.unwrap().id, bead.id);
    assert_eq!(agent.capability().unwrap().id, CapabilityId::of_session(&session));
    assert_eq!(agent.beads().close(&bead.id).await.unwrap_err().code(), "role_not_allowed");
    // What it hands on is its own scope, less some verbs, and stands and falls with the session.
    let less = AttenuateCapability {
        token: token.clone(),
        rig: None,
        verbs: verbs(["beads.get", "beads.history"]),
        ttl_ms: None,
    };
    let less = agent.capabilities().attenuate(less).await.unwrap();
    let less = yard.town.with_token(&less.token).await.unwrap();
    assert_eq!(less.beads().list(BeadFilter::default()).await.unwrap_err().code(), "verb_not_granted");
    less.beads().history(HistoryOf::from(bead.id.clone())).await.unwrap();

    let mut since = 0;
    yard.town.operator().sessions().stop(SessionRef { id: session.clone() }).await.unwrap();
    happened(&yard.town, &mut since, "bead.retried", &bead.id).await;
    for handle in [&agent, &less] {
        assert_eq!(handle.beads().get(&bead.id).await.unwrap_err().code(), "epoch_stale");
        let history = handle.beads().history(HistoryOf::from(bead.id.clone())).await;
        assert_eq!(history.unwrap_err().code(), "epoch_stale", "also where it is answered outside a transaction");
    }
    assert_eq!(yard.town.with_token(&token).await.unwrap_err().code(), "epoch_stale");
    yard.ends_tidy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_capability_of_a_session_can_be_revoked_while_it_runs() {
    let yard = Yard::new("sleep 1000", []).await;
    let bead = yard.sling("mine").await;
    let mut since = 0;
    tokio::time::timeout(HANG, event(&yard.town, &mut since, |event| event.kind == "session.started")).await.unwrap();
    let session = yard.sessions(&bead.id).await[0].id.clone();
    let capabilities = yard.town.operator().capabilities();
    let issued = IssueCapability { session: Some(session.clone()), ..IssueCapability::default() };
    let issued = capabilities.issue(issued).await.unwrap();
    let agent = yard.town.with_token(&issued.token).await.unwrap();
    agent.beads().get(&bead.id).await.unwrap();
    assert!(capabilities.revoke(CapabilityId::of_session(&session)).await.unwrap().changed);
    agent.beads().get(&bead.id).await.unwrap();
    capabilities.revoke(issued.id).await.unwrap();
    assert_eq!(agent.beads().get(&bead.id).await.unwrap_err().code(), "capability_revoked");
    for wrong in [
        json!({}),
        json!({ "user": "tess", "session": session }),
        json!({ "rig": "harbour", "session": session }),
        json!({ "user": "a b" }),
        json!({ "session": "s-none" }),
        json!({ "user": "tess", "rig": "nowhere" }),
    ] {
        let error = yard.town.operator().call("capabilities.issue", wrong.clone()).await.unwrap_err();
        let codes = ["field_missing", "name_malformed", "session_missing", "rig_missing"];
        assert!(codes.contains(&error.code()), "{wrong}: {error:?}");
    }
    yard.town.operator().sessions().stop(SessionRef { id: session }).await.unwrap();
    happened(&yard.town, &mut since, "bead.retried", &bead.id).await;
    yard.ends_tidy().await;
}

/// Every file of a town that issued tokens, ran an agent with one, and was backed up: none holds a token or a key.
#[tokio::test(flavor = "multi_thread")]
async fn no_token_and_no_key_is_written_where_it_does_not_belong() {
    let yard = Yard::new("sleep 1000", []).await;
    let bead = yard.sling("mine").await;
    let mut since = 0;
    event(&yard.town, &mut since, |event| event.kind == "session.started").await;
    let issued = yard.town.operator().capabilities().issue(user("tess")).await.unwrap();
    let tess = yard.town.with_token(&issued.token).await.unwrap();
    tess.beads().comment(gastown_core::AddComment::new(bead.id.clone(), "seen")).await.unwrap();
    let backup = yard.dir.path().join("backup");
    yard.town.backup(backup.as_path()).await.unwrap();
    let town = yard.dir.path().join("town");
    let keys: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(town.join("keys.json")).unwrap()).unwrap();
    let secret = keys["keys"][0]["secret"].as_str().unwrap().to_owned();
    let mut found = Vec::new();
    for root in [&town, &backup] {
        holders(root, &[issued.token.as_bytes(), b"eyJ0eXAiOi", secret.as_bytes()], &mut found);
    }
    found.retain(|path| !path.ends_with("keys.json"));
    // The one file that the session's agent reads it from, which nobody else can.
    assert!(found.iter().all(|path| path.ends_with("capability")) && found.len() == 1, "{found:?}");
    let session = yard.sessions(&bead.id).await[0].id.clone();
    yard.town.operator().sessions().stop(SessionRef { id: session }).await.unwrap();
    happened(&yard.town, &mut since, "bead.retried", &bead.id).await;
    yard.ends_tidy().await;
}

fn holders(dir: &Path, secrets: &[&[u8]], found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() {
            holders(&path, secrets, found);
        } else if path.is_file()
            && let Ok(bytes) = std::fs::read(&path)
            && secrets.iter().any(|secret| bytes.windows(secret.len()).any(|part| part == *secret))
        {
            found.push(path);
        }
    }
}

#[tokio::test]
async fn an_export_replaces_nothing_that_the_town_lives_by() {
    let dir = tempfile::tempdir().unwrap();
    let town = Town::builder(dir.path()).open().await.unwrap();
    let issued = town.operator().capabilities().issue(user("tess")).await.unwrap();
    let beads = town.operator().beads();
    beads.create(NewBead::titled("Lay the keel")).await.unwrap();
    std::fs::create_dir(dir.path().join("archive")).unwrap();
    for name in ["keys.json", "town.db", "town.db-wal", "archive/1.jsonl", "archive/../keys.json"] {
        let path = dir.path().join(name);
        let before = std::fs::read(&path).ok();
        let export = ExportBeads { replace: true, ..ExportBeads::from(path.as_path()) };
        let error = beads.export_to(export).await.unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Forbidden, "path_of_town"), "{name}");
        assert_eq!(std::fs::read(&path).ok(), before, "{name}");
    }
    town.with_token(&issued.token).await.unwrap();
    // A town that lies in the folder of a project leaves the project's files to it.
    let lines = dir.path().join("issues.jsonl");
    std::fs::write(&lines, "").unwrap();
    let export = ExportBeads { replace: true, ..ExportBeads::from(lines.as_path()) };
    assert_eq!(beads.export_to(export).await.unwrap().beads, 1);
    town.close().await.unwrap();
}
