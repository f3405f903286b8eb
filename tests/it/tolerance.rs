//! What an import makes of values that a bead cannot have, and of files that are odd.

use std::path::Path;
use std::sync::Arc;

use gastown_core::interchange::{Dialect, Time};
use gastown_core::model::{BeadId, DependencyKind, Timestamp};
use gastown_core::store::MemoryBackend;
use gastown_core::{
    All, BeadFilter, BeadPatch, ErrorKind, ExportBeads, ImportReport, ManualClock, NewBead, Patch, Town,
};
use serde_json::{Value as Json, json};

async fn memory(dir: &Path) -> Town {
    let clock = ManualClock::at(Timestamp::from_micros(1_900_000_000_000_000));
    Town::builder(dir).backend(Arc::new(MemoryBackend::new())).clock(Arc::new(clock)).from_env().open().await.unwrap()
}

fn id(text: &str) -> BeadId {
    BeadId::new(text).unwrap()
}

async fn take(town: &Town, path: &Path, text: &str) -> ImportReport {
    std::fs::write(path, text).unwrap();
    town.operator().beads().import_from(path).await.unwrap()
}

async fn give(town: &Town, path: &Path) -> Vec<Json> {
    let all = ExportBeads { dialect: Dialect::Native, replace: true, ephemeral: true, ..ExportBeads::from(path) };
    town.operator().beads().export_to(all).await.unwrap();
    std::fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

async fn ends(town: Town) {
    assert_eq!(town.operator().upkeep().check(All {}).await.unwrap().findings, []);
    town.close().await.unwrap();
}

fn line(id: &str, more: &Json) -> String {
    let mut line = json!({
        "id": id, "title": "Lay the keel", "status": "open", "priority": 2, "issue_type": "task",
        "created_at": "2025-10-01T00:00:00Z", "updated_at": "2025-10-01T00:00:00Z",
    });
    line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    format!("{line}\n")
}

#[tokio::test]
async fn a_value_that_a_bead_cannot_have_is_told_with_its_place_and_given_back() {
    let dir = tempfile::tempdir().unwrap();
    let town = memory(dir.path()).await;
    let long = "x".repeat(300);
    let values = [
        ("labels", json!(["wood", long])),
        ("labels", json!(["gt:agent", "wood"])),
        ("estimated_minutes", json!(1_u64 << 40)),
        ("assignee", json!(long)),
        ("metadata", json!([1, 2])),
        ("metadata", json!({ "gt:rework": "no", "color": "blue" })),
        ("issue_type", json!(long)),
        ("owner", json!(long)),
        ("resolution", json!("of some kind")),
        ("external_ref", json!("x".repeat(600))),
        ("metadata", json!({ "k": "x".repeat(300_000) })),
    ];
    let lines: Vec<String> =
        (0..).zip(&values).map(|(n, (key, value))| line(&format!("gt-{n:x}"), &json!({ *key: value }))).collect();
    let path = dir.path().join("in.jsonl");
    let report = take(&town, &path, &lines.concat()).await;
    assert_eq!((report.created, report.flaws), (values.len() as u64, 0));
    assert_eq!(report.repairs.get("value_set_aside"), Some(&(values.len() as u64)), "{:?}", report.repaired);
    for (n, (key, _)) in values.iter().enumerate() {
        let told: Vec<_> = report.repaired.iter().filter(|repair| repair.line == n as u64 + 1).collect();
        let [told] = told[..] else { panic!("{told:?}") };
        let column = lines[n].find(&format!("\"{key}\":")).unwrap() + key.len() + 4;
        assert_eq!((told.key.as_str(), told.code.as_str(), told.column), (*key, "value_set_aside", column as u64));
        let why = [("[1,2", "no object"), ("gt:rework", "the engine's"), ("xxxxxxxxxx\"}", "300008 bytes")];
        let why = why.iter().filter(|(said, _)| *key == "metadata" && lines[n].contains(said));
        assert!(why.into_iter().all(|(_, why)| told.message.contains(why)), "{told:?}");
        assert!(told.file == "in.jsonl" && !told.message.is_empty() && told.message.len() < 300, "{told:?}");
    }
    let beads = town.operator().beads();
    assert_eq!(beads.get(id("gt-0")).await.unwrap().labels, ["wood"]);
    assert_eq!(beads.get(id("gt-1")).await.unwrap().labels, ["wood"], "the engine's own are no user's");
    assert_eq!(beads.get(id("gt-5")).await.unwrap().metadata, json!({ "color": "blue" }));
    let given = give(&town, &path).await;
    let wanted: Vec<Json> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(given, wanted);
    // It stays when the rest of the field changes.
    let red = json!({ "color": "red" });
    beads.update(BeadPatch { metadata: Patch::Set(red), ..BeadPatch::of(id("gt-5")) }).await.unwrap();
    beads.update(BeadPatch { labels: Patch::Set(vec!["oak".to_owned()]), ..BeadPatch::of(id("gt-0")) }).await.unwrap();
    let given = give(&town, &path).await;
    assert_eq!(given[5]["metadata"], json!({ "gt:rework": "no", "color": "red" }));
    assert_eq!(given[0]["labels"], json!(["oak", long]));
    ends(town).await;
}

#[tokio::test]
async fn a_line_that_gives_nothing_is_told_with_the_place_of_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let town = memory(dir.path()).await;
    let long = "x".repeat((1 << 20) + 1);
    let deep = "[".repeat(200) + &"]".repeat(200);
    let lines = [
        line("not an id", &json!({})),
        line("", &json!({})),
        line("gt-1", &json!({ "notes": long })),
        line("gt-2", &json!({ "deep": 0 })).replace("\"deep\":0", &format!("\"deep\":{deep}")),
        line("gt-3", &json!({ "made_up": long })),
    ];
    let report = take(&town, &dir.path().join("in.jsonl"), &lines.concat()).await;
    let place = |n: usize, key: &str| (lines[n].find(&format!("\"{key}\":")).unwrap() + key.len() + 4) as u64;
    let told: Vec<_> = report.flawed_lines.iter().map(|flaw| (flaw.line, flaw.column, flaw.code.as_str())).collect();
    let wanted = [
        (1, place(0, "id"), "id_malformed"),
        (2, place(1, "id"), "id_missing"),
        (3, place(2, "notes"), "text_too_long"),
        (4, place(3, "deep"), "nested_too_deep"),
        (5, 1, "record_too_large"),
    ];
    assert_eq!(told, wanted);
    assert!(report.flawed_lines[4].message.contains("made_up"), "{}", report.flawed_lines[4].message);
    ends(town).await;
}

#[tokio::test]
async fn an_edge_by_another_word_for_its_kind_is_understood_and_one_that_nobody_knows_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let town = memory(dir.path()).await;
    let kinds = [
        ("blocked-by", "blocks", "edge_spelling"),
        ("Blocks", "blocks", "edge_spelling"),
        ("parent_child", "parent-child", "edge_spelling"),
        ("waits_for", "waits-for", "edge_spelling"),
        ("duplicate-of", "duplicates", "edge_spelling"),
        ("paints", "paints", "edge_kind_unknown"),
        ("caused-by", "caused-by", ""),
        ("relates", "relates-to", ""),
    ];
    let edge = |n: usize, kind: &str| {
        let id = format!("gt-{n}");
        let edge =
            json!({ "issue_id": id, "depends_on_id": "gt-on", "type": kind, "created_at": "2025-10-01T00:00:00Z" });
        line(&id, &json!({ "dependencies": [edge] }))
    };
    let lines: Vec<String> = kinds.iter().enumerate().map(|(n, (kind, ..))| edge(n, kind)).collect();
    let path = dir.path().join("in.jsonl");
    let report = take(&town, &path, &(lines.concat() + &line("gt-on", &json!({})))).await;
    for (n, (word, kind, code)) in kinds.iter().enumerate() {
        let edges = town.operator().beads().edges(id(&format!("gt-{n}"))).await.unwrap();
        assert_eq!(edges.depends_on[0].kind, kind.parse::<DependencyKind>().unwrap(), "{word}");
        let told: Vec<&str> =
            report.repaired.iter().filter(|told| told.line == n as u64 + 1).map(|told| told.code.as_str()).collect();
        assert_eq!(told.join(" "), *code, "{word}");
    }
    let given = give(&town, &path).await;
    for (line, given) in lines.iter().zip(given) {
        assert_eq!(given, serde_json::from_str::<Json>(line).unwrap());
    }
    ends(town).await;
}

#[tokio::test]
async fn two_beads_with_one_id_are_both_kept_and_known_again() {
    let dir = tempfile::tempdir().unwrap();
    let town = memory(dir.path()).await;
    let other = json!({ "title": "Fell the oak", "created_at": "2025-10-02T00:00:00Z", "updated_at": "2025-10-02T00:00:00Z",
        "dependencies": [{ "issue_id": "gt-1", "depends_on_id": "gt-5", "type": "blocks", "created_at": "2025-10-02T00:00:00Z" }] });
    let older =
        json!({ "title": "Mend the sail", "created_at": "2025-09-01T00:00:00Z", "updated_at": "2025-09-01T00:00:00Z" });
    let file = line("gt-1", &json!({})) + &line("gt-1", &other) + &line("gt-1", &older) + &line("gt-2", &json!({}));
    let path = dir.path().join("in.jsonl");
    let report = take(&town, &path, &file).await;
    assert_eq!((report.read, report.created, report.skipped, report.conflicts), (4, 4, 0, 2));
    let kept: Vec<_> = report.conflicting.iter().map(|one| (one.why.as_str(), one.kept_as.clone())).collect();
    let [(one, Some(second)), (two, Some(third))] = &kept[..] else { panic!("{kept:?}") };
    assert_eq!((*one, *two), ("id_shared", "id_shared"));
    let beads = town.operator().beads();
    let title = async |of: &BeadId| beads.get(of.clone()).await.unwrap().title;
    assert_eq!(title(&id("gt-1")).await, "Lay the keel");
    assert_eq!((title(second).await.as_str(), title(third).await.as_str()), ("Fell the oak", "Mend the sail"));
    assert_eq!(beads.edges(second.clone()).await.unwrap().depends_on.len(), 1, "its edges are its own");
    // A change of the one that moved, and the same file again.
    beads
        .update(BeadPatch { title: Patch::Set("Saw the oak".to_owned()), ..BeadPatch::of(second.clone()) })
        .await
        .unwrap();
    let again = take(&town, &path, &file).await;
    assert_eq!((again.created, again.updated, again.conflicts), (0, 0, 0), "{again:?}");
    assert_eq!(beads.list(BeadFilter::default()).await.unwrap().beads.len(), 4);
    ends(town).await;
}

/// The folder of real exports; without it the test says so and shows nothing.
#[allow(clippy::disallowed_methods, reason = "a test finds its data")]
fn data() -> Option<std::path::PathBuf> {
    let found = std::env::var_os("GASTOWN_TEST_DATA").map(std::path::PathBuf::from);
    if found.is_none() {
        eprintln!("skipped: GASTOWN_TEST_DATA names no folder of real exports");
    }
    found
}

#[tokio::test]
async fn no_title_of_a_real_file_with_ids_that_come_twice_is_lost() {
    let Some(data) = data() else { return };
    for name in ["beads_dupids_00", "beads_conflictmarkers_03"] {
        let dir = tempfile::tempdir().unwrap();
        let town = memory(dir.path()).await;
        let path = data.join(format!("jsonl/{name}.jsonl"));
        let report = town.operator().beads().import_from(path.as_path()).await.unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let mut wanted = std::collections::BTreeMap::new();
        for line in text.lines().filter_map(|line| serde_json::from_str::<Json>(line).ok()) {
            if line["status"] != "tombstone" {
                let made = Time::parse(line["created_at"].as_str().unwrap()).unwrap().at;
                wanted.entry((line["id"].to_string(), made)).or_insert_with(Vec::new).push(line["title"].to_string());
            }
        }
        let given = give(&town, &dir.path().join("out.jsonl")).await;
        let titles: std::collections::BTreeSet<String> = given.iter().map(|line| line["title"].to_string()).collect();
        for ((id, _), of_one) in &wanted {
            assert!(of_one.iter().any(|title| titles.contains(title)), "{name}: {id} {of_one:?}");
        }
        assert!(report.conflicting.iter().all(|one| one.why != "id_shared" || one.kept_as.is_some()));
        ends(town).await;
    }
}

#[cfg(unix)]
#[tokio::test]
async fn what_is_no_file_is_neither_read_nor_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let town = memory(&dir.path().join("town")).await;
    let beads = town.operator().beads();
    let (pipe, link, real) = (dir.path().join("pipe"), dir.path().join("link"), dir.path().join("real"));
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    std::fs::write(&real, "precious").unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let error = beads.import_from(pipe.as_path()).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Invalid, "not_a_file"));
    let error = beads.sync(pipe.as_path()).await.unwrap_err();
    assert_eq!(error.code(), "not_a_file");
    let merge = gastown_core::MergeBeads::new(&real, &pipe, &real);
    assert_eq!(gastown_core::merge_beads(&merge).unwrap_err().code(), "not_a_file");
    for path in [&pipe, &link, &dir.path().to_owned()] {
        let error =
            beads.export_to(ExportBeads { replace: true, ..ExportBeads::from(path.as_path()) }).await.unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Invalid, "not_a_file"), "{path:?}");
    }
    assert_eq!(std::fs::read_to_string(&real).unwrap(), "precious");
    assert!(link.is_symlink());
    ends(town).await;
}

#[tokio::test]
async fn a_time_that_could_not_be_read_back_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let town = memory(dir.path()).await;
    let beads = town.operator().beads();
    let last = Timestamp::from_micros(253_402_300_799_999_999);
    for beyond in [Timestamp::from_micros(253_402_300_800_000_000), Timestamp::from_micros(i64::MIN)] {
        let new = NewBead { due_at: Some(beyond), ..NewBead::titled("Lay the keel") };
        let error = beads.create(new).await.unwrap_err();
        assert_eq!((error.code(), error.fact("field")), ("time_out_of_range", Some("due_at")));
    }
    let bead = beads.create(NewBead { due_at: Some(last), ..NewBead::titled("Lay the keel") }).await.unwrap();
    let beyond = Patch::Set(Timestamp::from_micros(i64::MAX));
    let error = beads.update(BeadPatch { defer_until: beyond, ..BeadPatch::of(bead.id.clone()) }).await.unwrap_err();
    assert_eq!((error.code(), error.fact("field")), ("time_out_of_range", Some("defer_until")));
    let given = give(&town, &dir.path().join("out.jsonl")).await;
    assert_eq!(given[0]["due_at"], "9999-12-31T23:59:59.999999Z");
    ends(town).await;
}

#[tokio::test]
async fn an_id_as_long_as_other_tools_have_comes_in() {
    let dir = tempfile::tempdir().unwrap();
    let town = memory(dir.path()).await;
    let long = format!("gt-{}", "a".repeat(252));
    let report = take(&town, &dir.path().join("in.jsonl"), &line(&long, &json!({}))).await;
    assert_eq!((report.created, report.flaws), (1, 0));
    assert_eq!(town.operator().beads().get(id(&long)).await.unwrap().title, "Lay the keel");
    ends(town).await;
}
