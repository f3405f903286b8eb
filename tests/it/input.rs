//! What callers get wrong: each is answered with a kind, a code and the facts, and the town stays usable.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use gastown_core::model::{AgentName, BeadId, FailurePolicy, RigName, Role};
use gastown_core::store::MemoryBackend;
use gastown_core::{
    AddRig, All, BeadFilter, BeadPatch, CloseBead, Configure, Error, ErrorKind, EventsSince, Handle, Link, NewBead,
    NewSettings, ReadyFilter, RegisterAgent, SessionRef, Sling, SlingConvoy, Task, Town,
};
use serde_json::{Value as Json, json};
use tokio::io::AsyncBufReadExt as _;

use crate::support::{HANG, Yard, event, git, happened, open, origin, settled, sh, staff};

const WORK: &str = r#"echo "$GASTOWN_TITLE" > "$GASTOWN_BEAD.txt"; git add -A; git commit -q -m "$GASTOWN_TITLE""#;

/// Creates and lists, as if nothing had happened.
async fn is_usable(town: &Town) {
    let bead = town.operator().beads().create(NewBead::titled("still here")).await.unwrap();
    let page = town.operator().beads().list(BeadFilter { limit: Some(1_000), ..BeadFilter::default() }).await.unwrap();
    assert!(page.beads.iter().any(|found| found.id == bead.id));
}

async fn memory() -> (tempfile::TempDir, Town) {
    let dir = tempfile::tempdir().unwrap();
    let town = Town::builder(dir.path()).backend(Arc::new(MemoryBackend::new())).from_env().open().await.unwrap();
    (dir, town)
}

fn rig(name: &str) -> RigName {
    RigName::new(name).unwrap()
}

fn add(name: &str, remote: &Path) -> AddRig {
    AddRig::new(rig(name), remote.to_str().unwrap())
}

#[tokio::test]
async fn repositories_that_cannot_be_rigs_are_refused_and_a_bare_one_is_taken() {
    let (dir, town) = memory().await;
    let bare = origin(dir.path());
    let place = |name: &str| {
        let place = dir.path().join(name);
        std::fs::create_dir(&place).unwrap();
        place
    };
    let plain = place("plain");
    let empty = place("empty");
    git(&empty, &["init", "-q"]);
    let other = place("other");
    git(&other, &["clone", "-q", bare.to_str().unwrap(), "."]);
    git(&other, &["branch", "-m", "main", "trunk"]);
    let busy = place("busy");
    git(&busy, &["clone", "-q", bare.to_str().unwrap(), "."]);
    let dirty = place("dirty");
    git(&dirty, &["clone", "-q", bare.to_str().unwrap(), "."]);
    git(&dirty, &["config", "receive.denyCurrentBranch", "updateInstead"]);
    std::fs::write(dirty.join("README.md"), "changed").unwrap();
    for (remote, code, fact) in [
        (dir.path().join("nowhere"), "repository_missing", "remote"),
        (plain, "not_a_repository", "remote"),
        (empty, "repository_empty", "remote"),
        (other, "branch_missing", "branches"),
        (busy, "branch_checked_out", "remote"),
        (dirty, "repository_dirty", "remote"),
    ] {
        let error = town.operator().rigs().add(add("harbour", &remote)).await.unwrap_err();
        assert_eq!(error.code(), code, "{error:?}");
        assert!(error.fact(fact).is_some(), "{error:?}");
        assert!(town.operator().rigs().list(All {}).await.unwrap().rigs.is_empty());
        is_usable(&town).await;
    }
    town.operator().rigs().add(add("harbour", &bare)).await.unwrap();
}

#[tokio::test]
async fn addresses_that_are_dangerous_or_hold_secrets_are_refused_without_repeating_them() {
    let (_dir, town) = memory().await;
    for remote in [
        "https://me:hunter2@example.org/x.git",
        "ext::sh -c id",
        "--upload-pack=touch x",
        "-x",
        "relative",
        "",
        &"a".repeat(10_000),
    ] {
        let error = town.operator().rigs().add(AddRig::new(rig("harbour"), remote)).await.unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Invalid, "remote_malformed"), "{remote}");
        assert!(!format!("{error:?}").contains("hunter2"));
    }
    is_usable(&town).await;
}

/// Texts that are no names.
fn hostile() -> Vec<String> {
    ["", " ", "a b", "a/b", "..", "../x", "-a", "--output=x", "ä", "a\0b", "a\nb"]
        .map(str::to_owned)
        .into_iter()
        .chain(["x".repeat(10_000)])
        .collect()
}

/// The error of a call by name, which must be the caller's fault.
async fn wrong(handle: &Handle, name: &str, input: Json) -> Error {
    let error = handle.call(name, input.clone()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{name} {input:.100}: {error:?}");
    assert!(error.to_string().len() < 1_000, "{name}: the message stays short");
    error
}

#[tokio::test]
async fn names_that_are_none_are_refused_everywhere() {
    let (dir, town) = memory().await;
    let bare = origin(dir.path());
    town.operator().rigs().add(add("harbour", &bare)).await.unwrap();
    let operator = town.operator();
    let remote = bare.to_str().unwrap();
    for name in hostile() {
        wrong(&operator, "rigs.add", json!({ "name": name, "remote": remote })).await;
        let error = wrong(&operator, "agents.register", json!({ "name": name, "rig": "harbour" })).await;
        assert_eq!(error.code(), "name_malformed");
        for fact in ["what", "rule", "bytes", "found"] {
            assert!(error.fact(fact).is_some(), "{fact}: {error:?}");
        }
        assert_eq!((error.fact("operation"), error.fact("input")), (Some("agents.register"), Some("RegisterAgent")));
        wrong(&operator, "agents.register", json!({ "name": "nux", "rig": name })).await;
        wrong(&operator, "rigs.add", json!({ "name": "b", "remote": remote, "prefix": name })).await;
        wrong(&operator, "rigs.add", json!({ "name": "b", "remote": remote, "target": name.replace('/', "//") })).await;
        assert_eq!(wrong(&operator, "beads.get", json!({ "id": name })).await.code(), "id_malformed");
        let settings = json!({ "rig": "harbour", "settings": { name.clone(): 1 } });
        assert_eq!(wrong(&operator, "rigs.configure", settings).await.code(), "setting_unknown");
    }
    for title in ["", "  ", "two\nlines", "a\0b", &"x".repeat(10_000)] {
        let error = wrong(&operator, "beads.create", json!({ "title": title })).await;
        assert_eq!(error.code(), "title_malformed");
        wrong(&operator, "convoys.sling", json!({ "title": "c", "rig": "harbour", "tasks": [{ "title": title }] }))
            .await;
        wrong(&operator, "convoys.sling", json!({ "title": title, "rig": "harbour", "tasks": [{ "title": "t" }] }))
            .await;
    }
    for label in ["", "\u{7}", "gt:mine", &"x".repeat(10_000)] {
        wrong(&operator, "beads.create", json!({ "title": "t", "labels": [label] })).await;
    }
    for (input, code) in [
        (json!({ "title": "t", "priority": 5 }), "priority_out_of_range"),
        (json!({ "title": "t", "priority": -1 }), "input_malformed"),
        (json!({ "titel": "t" }), "input_malformed"),
        (json!({ "title": "t", "metadata": [] }), "metadata_malformed"),
        (json!({ "title": "t", "metadata": { "gt:x": 1 } }), "metadata_reserved"),
        (json!({ "title": "t", "description": "x".repeat(2 << 20) }), "text_too_long"),
        (json!({ "title": "t", "rig": "a/b" }), "name_malformed"),
        (json!({ "title": "t", "depends_on": ["hq-1", "-x"] }), "id_malformed"),
        (json!({ "title": "t", "external_ref": "x".repeat(501) }), "external_ref_malformed"),
        (json!({ "title": "t", "external_ref": "a\nb" }), "external_ref_malformed"),
        (json!("t"), "input_malformed"),
    ] {
        assert_eq!(wrong(&operator, "beads.create", input).await.code(), code);
    }
    for (name, input, field) in [
        ("beads.create", json!({ "title": "t", "due_at": 1.5 }), Some("due_at")),
        ("beads.get", json!({}), Some("id")),
        ("beads.import_from", json!({ "dry_run": true }), Some("path")),
        ("beads.create_many", json!({ "beads": [{ "key": "a" }] }), Some("beads[0].bead")),
        (
            "beads.create_many",
            json!({ "beads": [{ "key": "a", "bead": { "title": "t" } }, { "bead": { "title": "t" } }, { "key": "c" }] }),
            Some("beads[1].key"),
        ),
        (
            "beads.create_many",
            json!({ "beads": [{ "key": "a", "bead": { "title": "t", "labels": ["x", 7] } }] }),
            Some("beads[0].bead.labels[1]"),
        ),
        ("beads.create", json!("t"), None),
        ("beads.create", json!({}), Some("title")),
        ("beads.create_many", json!({ "beads": [{ "key": "a", "bead": {} }] }), Some("beads[0].bead.title")),
        (
            "convoys.sling",
            json!({ "title": "c", "rig": "harbour", "tasks": [{ "title": "t" }, {}] }),
            Some("tasks[1].title"),
        ),
        (
            "convoys.sling",
            json!({ "title": "c", "rig": "harbour", "tasks": [{ "title": "t", "priority": 9 }] }),
            Some("tasks[0].priority"),
        ),
        ("convoys.sling", json!({ "rig": "harbour", "tasks": [{ "title": "t" }] }), Some("title")),
    ] {
        assert_eq!(wrong(&operator, name, input.clone()).await.fact("field"), field, "{name} {input}");
    }
    for (name, input, said) in [
        (
            "beads.list",
            json!({ "limit": "3" }),
            "invalid type: string \"3\", expected a whole number that is not negative",
        ),
        (
            "beads.list",
            json!({ "limit": -1 }),
            "invalid value: integer `-1`, expected a whole number that is not negative",
        ),
        ("beads.list", json!({ "labels": "x" }), "invalid type: string \"x\", expected a list"),
        ("beads.list", json!({ "labels": [{}] }), "invalid type: an object, expected a string"),
        (
            "beads.create",
            json!({ "title": "t", "due_at": "now" }),
            "invalid type: string \"now\", expected a whole number",
        ),
        ("beads.create", json!({ "title": "t", "pinned": 1 }), "invalid type: integer `1`, expected true or false"),
        ("beads.create_many", json!({ "beads": ["t"] }), "invalid type: string \"t\", expected an object"),
        ("beads.create", json!("t"), "invalid type: string \"t\", expected an object"),
    ] {
        let error = wrong(&operator, name, input).await.to_string();
        assert!(error.ends_with(said), "{error}");
    }
    let role = wrong(&operator, "agents.register", json!({ "name": "nux", "rig": "harbour", "role": "cook" })).await;
    assert_eq!(role.code(), "word_unknown");
    assert!(role.fact("allowed").is_some_and(|allowed| allowed.contains("polecat")));
    for title in ["-rf", "../..", "ünï çødé 漢字", "$(touch x); `id`", "%s%n"] {
        let bead = operator.beads().create(NewBead::titled(title)).await.unwrap();
        assert_eq!(operator.beads().get(&bead.id).await.unwrap().title, title, "a title may be any line");
    }
    let whole = NewBead { external_ref: Some("é".repeat(250)), ..NewBead::titled("with a reference") };
    let bead = operator.beads().create(whole).await.unwrap();
    let reason = |bytes| CloseBead { reason: Some("x".repeat(bytes)), ..CloseBead::from(&bead.id) };
    let error = operator.beads().close(reason((64 << 10) + 1)).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Invalid, "reason_too_long"));
    operator.beads().close(reason(64 << 10)).await.unwrap();
    let missing = operator.call("no.such", json!({})).await.unwrap_err();
    assert_eq!(missing.code(), "operation_unknown");
    is_usable(&town).await;
}

#[tokio::test]
async fn settings_that_are_unknown_or_ill_typed_are_refused_whole() {
    let (dir, town) = memory().await;
    let bare = origin(dir.path());
    town.operator().rigs().add(add("harbour", &bare)).await.unwrap();
    for (name, value, code) in [
        ("no.such", json!(1), "setting_unknown"),
        ("agent.command", json!("make"), "setting_value"),
        ("agent.command", json!(["a\0b"]), "setting_value"),
        ("agent.environment", json!({ "A=B": "x" }), "setting_value"),
        ("failures.max", json!(0), "setting_value"),
        ("failures.max", json!("5"), "setting_value"),
        ("failures.backoff_ms", json!([1.5]), "setting_value"),
        ("session.timeout_ms", json!(1e30), "setting_value"),
    ] {
        let settings = NewSettings::from([("gate.timeout_ms".to_owned(), json!(5)), (name.to_owned(), value)]);
        let input = Configure { rig: Some(rig("harbour")), settings };
        let error = town.operator().rigs().configure(input).await.unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Invalid, code));
        assert!(error.facts().count() > 0);
    }
    assert_eq!(town.replay().await.unwrap().differences, Vec::<String>::new(), "nothing of them was written");
    is_usable(&town).await;
}

#[tokio::test]
async fn tasks_that_cannot_be_a_convoy_are_refused_and_none_of_them_is_made() {
    let (dir, town) = memory().await;
    town.operator().rigs().add(add("harbour", &origin(dir.path()))).await.unwrap();
    let circle = vec![Task::new("a", [2]), Task::new("b", [0]), Task::new("c", [1]), Task::new("d", [])];
    for (tasks, code, fact) in [
        (circle, "cycle", "cycle"),
        (vec![Task::new("a", [0])], "cycle", "cycle"),
        (vec![Task::new("a", [7])], "task_unknown", "depends_on"),
        (vec![], "task_count", "found"),
    ] {
        let sling = SlingConvoy { on_failure: FailurePolicy::Block, ..SlingConvoy::new("c", rig("harbour"), tasks) };
        let error = town.operator().convoys().sling(sling).await.unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Invalid, code));
        assert!(error.fact(fact).is_some());
        if error.code() == "cycle" {
            let shown = error.fact("cycle").unwrap();
            assert!(shown.contains("->") && !shown.contains("\"d\""), "the circle and nothing else: {shown}");
        }
        assert!(town.operator().beads().list(BeadFilter::default()).await.unwrap().beads.is_empty());
    }
    let sling = SlingConvoy::new("c", rig("nowhere"), vec![Task::new("a", [])]);
    assert_eq!(town.operator().convoys().sling(sling).await.unwrap_err().code(), "rig_missing");

    let beads = town.operator().beads();
    let (a, b) = (beads.create(NewBead::titled("a")).await.unwrap(), beads.create(NewBead::titled("b")).await.unwrap());
    beads.link(Link::blocks(a.id.clone(), b.id.clone())).await.unwrap();
    let error = beads.link(Link::blocks(b.id.clone(), a.id.clone())).await.unwrap_err();
    assert_eq!(
        (error.code(), error.fact("cycle").unwrap()),
        ("cycle", &*format!("{b} -> {a} -> {b}", a = a.id, b = b.id))
    );
    assert_eq!(beads.link(Link::blocks(a.id.clone(), a.id)).await.unwrap_err().code(), "edge_to_itself");
    is_usable(&town).await;
}

#[tokio::test]
async fn agents_that_do_not_fit_get_nothing() {
    let (dir, town) = memory().await;
    let bare = origin(dir.path());
    let operator = town.operator();
    for name in ["harbour", "island"] {
        operator.rigs().add(add(name, &bare)).await.unwrap();
        let agent = RegisterAgent::polecat(AgentName::new(format!("of-{name}")).unwrap(), rig(name));
        operator.agents().register(agent.clone()).await.unwrap();
        assert_eq!(operator.agents().register(agent).await.unwrap_err().code(), "agent_exists");
    }
    // Names are the town's: a rig's own handle cannot take one that it does not see.
    let theirs = RegisterAgent::polecat(AgentName::new("of-island").unwrap(), rig("harbour"));
    assert_eq!(town.rig(rig("harbour")).agents().register(theirs).await.unwrap_err().code(), "agent_exists");
    let bead = operator.beads().create(NewBead::titled("t").in_rig(rig("harbour"))).await.unwrap();
    for (to, code) in [("nobody", "agent_missing"), ("of-island", "agent_unfit")] {
        let sling = Sling { to: Some(AgentName::new(to).unwrap()), ..bead.id.clone().into() };
        let error = operator.beads().sling(sling).await.unwrap_err();
        assert_eq!((error.code(), error.fact("agent")), (code, Some(to)));
    }
    assert!(!operator.beads().get(&bead.id).await.unwrap().slung);
    is_usable(&town).await;
}

#[tokio::test]
async fn pages_and_keys_that_make_no_sense_are_refused() {
    let (_dir, town) = memory().await;
    let operator = town.operator();
    for cursor in ["", "rubbish", "[]", "[1,2,3,4,5,6,7]", "{}", &"[".repeat(10_000)] {
        let filter = BeadFilter { cursor: Some(cursor.to_owned()), ..BeadFilter::default() };
        let ready = ReadyFilter { cursor: Some(cursor.to_owned()), ..ReadyFilter::default() };
        for error in [operator.beads().list(filter).await, operator.beads().ready(ready).await] {
            assert_eq!(error.unwrap_err().code(), "cursor_malformed", "{cursor:.20}");
        }
    }
    for limit in [0, 1_001, usize::MAX] {
        let filter = BeadFilter { limit: Some(limit), ..BeadFilter::default() };
        assert_eq!(operator.beads().list(filter).await.unwrap_err().code(), "limit_out_of_range");
        let since = EventsSince { since: 0, limit: Some(limit) };
        assert_eq!(operator.events().since(since).await.unwrap_err().code(), "limit_out_of_range");
    }
    let keyed = operator.with_key("k");
    let first = keyed.beads().create(NewBead::titled("one")).await.unwrap();
    assert_eq!(keyed.beads().create(NewBead::titled("one")).await.unwrap().id, first.id);
    let error = keyed.beads().create(NewBead::titled("two")).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Conflict, "idempotency_key_reused"));
    for key in [String::new(), "k".repeat(10_000)] {
        let error = operator.with_key(key).beads().create(NewBead::titled("x")).await.unwrap_err();
        assert_eq!(error.code(), "idempotency_key_malformed");
    }
    is_usable(&town).await;
}

#[tokio::test]
async fn files_that_are_no_town_are_refused_and_left_as_they_are() {
    for (what, code) in [("rubbish", "not_a_town"), ("other", "not_a_town"), ("newer", "schema_newer")] {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("town.db");
        if what == "rubbish" {
            std::fs::write(&file, "this is no database, and long enough to be one".repeat(100)).unwrap();
        } else {
            Town::builder(dir.path()).open().await.unwrap().close().await.unwrap();
            // The header's fields, as SQLite documents them: user version at 60, application id at 68.
            let mut bytes = std::fs::read(&file).unwrap();
            let at = if what == "newer" { 60 } else { 68 };
            bytes[at..at + 4].copy_from_slice(&9_999_i32.to_be_bytes());
            std::fs::write(&file, bytes).unwrap();
        }
        let before = std::fs::read(&file).unwrap();
        let error = Town::builder(dir.path()).open().await.unwrap_err();
        assert_eq!(error.code(), code, "{what}: {error:?}");
        assert!(error.facts().count() > 0, "{error:?}");
        assert_eq!(std::fs::read(&file).unwrap(), before, "{what} was changed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rig_sees_and_changes_nothing_of_another() {
    const CANARY: &str = "canary";
    let (dir, town) = memory().await;
    let bare = origin(dir.path());
    let operator = town.operator();
    for name in ["harbour", "island"] {
        operator.rigs().add(add(name, &bare)).await.unwrap();
    }
    let agent = RegisterAgent::polecat(AgentName::new("canary-agent").unwrap(), rig("island"));
    let agent = operator.agents().register(agent).await.unwrap();
    let new = NewBead { labels: vec![CANARY.to_owned()], description: CANARY.to_owned(), ..NewBead::titled(CANARY) };
    let theirs = operator.beads().create(new.in_rig(rig("island"))).await.unwrap();
    let convoy = SlingConvoy::new(CANARY, rig("island"), vec![Task::new(CANARY, [])]);
    let convoy = operator.convoys().sling(convoy).await.unwrap();
    operator.beads().sling(theirs.id.clone()).await.unwrap();
    let sessions = gastown_core::SessionFilter { bead: Some(theirs.id.clone()), state: None };
    let session = operator.sessions().list(sessions.clone()).await.unwrap().sessions.remove(0);
    let ours = operator.beads().create(NewBead::titled("ours").in_rig(rig("harbour"))).await.unwrap();

    let narrow = town.rig(rig("harbour"));
    // Every operation, with an input that names what is the other rig's.
    let id = json!({ "id": theirs.id });
    let inputs = |name: &str| match name {
        "beads.list" | "beads.ready" | "agents.list" | "convoys.list" | "rigs.list" | "upkeep.health" => {
            vec![json!({})]
        }
        "beads.claim" => vec![json!({ "id": theirs.id, "by": "me" }), json!({ "rig": "island", "by": "me" })],
        "beads.create" => vec![json!({ "title": "x", "rig": "island" }), json!({ "title": "x" })],
        "beads.update" => vec![json!({ "id": theirs.id, "title": "changed" })],
        "beads.link" | "beads.unlink" => {
            vec![json!({ "bead": ours.id, "on_bead": theirs.id }), json!({ "bead": theirs.id, "on_bead": ours.id })]
        }
        "beads.sling" => vec![json!({ "bead": theirs.id })],
        "convoys.sling" => vec![json!({ "title": "x", "rig": "island", "tasks": [{ "title": "x" }] })],
        "convoys.get" | "convoys.land" => vec![json!({ "id": convoy.id })],
        "agents.register" => vec![json!({ "name": "x", "rig": "island" })],
        "agents.get" => vec![json!({ "name": agent.name })],
        "rigs.add" => vec![json!({ "name": "third", "remote": bare })],
        "rigs.get" => vec![json!({ "name": "island" })],
        "rigs.configure" => vec![
            json!({ "rig": "island", "settings": { "failures.max": 1 } }),
            json!({ "settings": { "failures.max": 1 } }),
        ],
        "sessions.get" | "sessions.stop" => vec![json!({ "id": session.id })],
        "sessions.list" => vec![json!({ "bead": theirs.id }), json!({ "state": session.state })],
        "reviews.list" => vec![json!({ "source": theirs.id }), json!({ "state": "queued" })],
        "events.since" => vec![json!({})],
        _ => vec![id.clone()],
    };
    let head = operator.upkeep().health(All {}).await.unwrap().head;
    for operation in gastown_core::operations() {
        for input in inputs(operation.name) {
            let answer = narrow.call(operation.name, input).await;
            let text = answer.map_or_else(
                |error| format!("{error} {:?}", error.facts().collect::<Vec<_>>()),
                |json| json.to_string(),
            );
            // What the caller named itself may be repeated.
            let text = if operation.name == "agents.get" { text.replace(agent.name.as_str(), "") } else { text };
            assert!(!text.contains(CANARY), "{} tells of another rig: {text}", operation.name);
        }
    }
    assert_eq!(operator.upkeep().health(All {}).await.unwrap().head, head, "nothing was changed");
    assert_eq!(operator.beads().get(&theirs.id).await.unwrap().title, CANARY);
    assert!(narrow.events().watch(0).is_err());

    // What waits over there is freed all the same when its blocker here is closed.
    operator.beads().link(Link::blocks(convoy.members[0].clone(), ours.id.clone())).await.unwrap();
    narrow.beads().close(&ours.id).await.unwrap();
    assert_eq!(operator.beads().get(&convoy.members[0]).await.unwrap().blockers, 0);
    is_usable(&town).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_may_do_what_its_role_may_and_only_while_its_session_lasts() {
    let yard = Yard::new("sleep 1000", []).await;
    let bead = yard.sling("mine").await;
    let mut since = 0;
    event(&yard.town, &mut since, |event| event.kind == "session.started").await;
    let session = yard.sessions(&bead.id).await[0].id.clone();
    let agent = yard.town.session(&session).await.unwrap();
    assert_eq!(agent.beads().get(&bead.id).await.unwrap().title, "mine");
    let sling = SlingConvoy::new("c", yard.rig.clone(), vec![Task::new("t", [])]);
    let error = agent.convoys().sling(sling).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Forbidden, "role_not_allowed"));
    assert_eq!((error.fact("role"), error.fact("operation")), (Some(Role::Polecat.as_str()), Some("convoys.sling")));
    yard.town.operator().sessions().stop(SessionRef { id: session }).await.unwrap();
    happened(&yard.town, &mut since, "bead.retried", &bead.id).await;
    let patch = BeadPatch { title: "late".to_owned().into(), ..BeadPatch::of(bead.id.clone()) };
    for error in [agent.beads().get(&bead.id).await.unwrap_err(), agent.beads().update(patch).await.unwrap_err()] {
        assert_eq!((error.kind(), error.code()), (ErrorKind::Conflict, "epoch_stale"));
    }
    let nobody = gastown_core::model::SessionId::new("s-none").unwrap();
    assert_eq!(yard.town.session(&nobody).await.unwrap_err().code(), "session_missing");
    yard.ends_tidy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bead_in_work_or_in_review_is_not_pulled_away_unseen() {
    let dir = tempfile::tempdir().unwrap();
    let go = dir.path().join("go");
    let gate = format!("until [ -e {} ]; do sleep 0.02; done", go.display());
    let yard = Yard::new(WORK, [("gate.command", sh(&gate))]).await;
    let beads = yard.town.operator().beads();
    let bead = yard.sling("watched").await;
    assert_eq!(beads.close(&bead.id).await.unwrap_err().code(), "bead_in_session");
    let mut since = 0;
    event(&yard.town, &mut since, |event| event.kind == "review.built").await;
    let error = beads.release(&bead.id).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error:?}");
    beads.close(&bead.id).await.unwrap();
    std::fs::write(&go, "").unwrap();
    // The queue goes on with the next, and what was closed never lands.
    let next = yard.merged(&yard.sling("next").await).await;
    let subjects = git(&yard.origin, &["log", "--format=%s", "main"]);
    assert!(subjects.contains(next.title.as_str()) && !subjects.contains("watched"), "{subjects}");
    yard.ends_tidy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_engine_leads_and_the_next_takes_over_from_the_dead() {
    let yard = Yard::new(WORK, []).await;
    let second = open(yard.dir.path()).await;
    let error = second.start().await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Conflict, "engine_running_elsewhere"));
    assert!(error.fact("holder").is_some());
    is_usable(&second).await;
    yard.town.stop().await.unwrap();
    let second = Yard { town: second, ..yard };
    second.town.start().await.unwrap();
    second.merged(&second.sling("by the second").await).await;
    second.ends_tidy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_living_engine_of_another_process_leads_until_it_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let bare = origin(dir.path());
    let mut child = tokio::process::Command::new(env!("CARGO_BIN_EXE_town-child"))
        .arg("run")
        .args([dir.path(), &bare])
        .arg("--shout")
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = tokio::io::BufReader::new(child.stdout.take().unwrap()).lines();
    // Its engine runs once it follows the journal.
    let first = tokio::time::timeout(HANG, lines.next_line()).await.unwrap().unwrap().unwrap();
    assert!(first.starts_with("event "), "{first}");
    let town = open(dir.path()).await;
    assert_eq!(town.start().await.unwrap_err().code(), "engine_running_elsewhere");
    child.kill().await.unwrap();
    town.start().await.unwrap();
    let convoy = town.operator().convoys().list(All {}).await.unwrap().convoys.remove(0);
    assert_eq!(settled(&town, &convoy).await.state.as_str(), "landed");
    town.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_town_in_memory_does_the_same_and_outlives_its_handle() {
    let dir = tempfile::tempdir().unwrap();
    let bare = origin(dir.path());
    let backend = Arc::new(MemoryBackend::new());
    let open = async || {
        let supervisor = gastown_core::runtime::Supervisor::program(env!("CARGO_BIN_EXE_town-child"));
        let builder = Town::builder(dir.path().join("town")).backend(backend.clone());
        builder.from_env().supervisor(supervisor).open().await.unwrap()
    };
    let town = open().await;
    let settings = crate::support::quick([("agent.command", sh(WORK)), ("gate.command", sh("test -f README.md"))]);
    let harbour = staff(&town, &bare, 2, settings).await;
    let tasks =
        vec![Task::new("keel", []), Task::new("mast", [0]), Task::new("sails", [0]), Task::new("launch", [1, 2])];
    let convoy = town.operator().convoys().sling(SlingConvoy::new("ship", harbour, tasks)).await.unwrap();
    town.start().await.unwrap();
    let mut since = 0;
    event(&town, &mut since, |event| event.kind == "session.started").await;
    town.close().await.unwrap();

    let town = open().await;
    town.start().await.unwrap();
    let landed = settled(&town, &convoy).await;
    assert_eq!(landed.state.as_str(), "landed", "{:?}", landed.reason);
    assert_eq!(town.replay().await.unwrap().differences, Vec::<String>::new());
    let count = |id: &BeadId| git(&bare, &["show", &format!("main:{id}.txt")]).lines().count();
    assert!(landed.members.iter().all(|id| count(id) == 1));
    town.close().await.unwrap();
}
