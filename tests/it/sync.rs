//! A town and the file of a `.beads` folder, kept equal.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use gastown_core::failpoint;
use gastown_core::interchange::{Dialect, Time};
use gastown_core::model::{BeadId, BeadStatus, Timestamp};
use gastown_core::store::MemoryBackend;
use gastown_core::{
    AddComment, All, BeadPatch, Claim, CloseBead, DeleteBead, ErrorKind, ExportBeads, Link, ManualClock, NewBead,
    Patch, ReopenBead, SyncBeads, SyncReport, Town,
};
use serde_json::{Value as Json, json};

use crate::history::{asked, draw};

/// A town that is not saved, its clock, and a folder that it shares with others.
struct Side {
    town: Town,
    clock: ManualClock,
    folder: PathBuf,
}

const START: i64 = 1_760_000_000_000_000;

impl Side {
    async fn new(dir: &Path, name: &str) -> Self {
        let clock = ManualClock::at(Timestamp::from_micros(START));
        let builder = Town::builder(dir.join(name)).backend(Arc::new(MemoryBackend::new()));
        let town = builder.clock(Arc::new(clock.clone())).from_env().open().await.unwrap();
        let folder = dir.join("repository/.beads");
        fs::create_dir_all(&folder).unwrap();
        Self { town, clock, folder }
    }

    fn file(&self) -> PathBuf {
        self.folder.join("issues.jsonl")
    }

    fn text(&self) -> String {
        fs::read_to_string(self.file()).unwrap()
    }

    fn line(&self, id: &str) -> Option<Json> {
        self.text().lines().filter_map(|line| serde_json::from_str::<Json>(line).ok()).find(|line| line["id"] == id)
    }

    async fn sync(&self) -> SyncReport {
        self.town.operator().beads().sync(self.folder.as_path()).await.unwrap()
    }

    /// Whoever took lines out of the file meant it.
    async fn sync_as_meant(&self) -> SyncReport {
        let meant = SyncBeads { accept_deletions: true, ..SyncBeads::from(self.folder.as_path()) };
        self.town.operator().beads().sync(meant).await.unwrap()
    }

    async fn rehearse(&self) -> SyncReport {
        let dry = SyncBeads { dry_run: true, ..SyncBeads::from(self.folder.as_path()) };
        self.town.operator().beads().sync(dry).await.unwrap()
    }

    async fn head(&self) -> u64 {
        self.town.operator().upkeep().health(All {}).await.unwrap().head
    }

    /// Nothing is left to do, and doing it writes nothing.
    async fn is_at_rest(&self) {
        let (text, head) = (self.text(), self.head().await);
        let report = self.sync().await;
        assert!(is_idle(&report), "{report:?}");
        assert_eq!((self.text(), self.head().await), (text, head));
    }

    async fn ends(self) {
        let checked = self.town.operator().upkeep().check(All {}).await.unwrap();
        assert_eq!(checked.findings, []);
        self.town.close().await.unwrap();
    }
}

fn is_idle(report: &SyncReport) -> bool {
    report.created + report.updated + report.deleted + report.foreign == 0
        && report.lines_added + report.lines_changed + report.lines_removed == 0
}

fn id(text: &str) -> BeadId {
    BeadId::new(text).unwrap()
}

fn patch(of: &str) -> BeadPatch {
    BeadPatch { id: Some(id(of)), ..BeadPatch::default() }
}

fn issue(id: &str, more: &Json) -> String {
    let mut issue = json!({
        "id": id, "title": "Lay the keel", "status": "open", "priority": 2, "issue_type": "task",
        "created_at": "2025-10-01T00:00:00.123456789Z", "updated_at": "2025-10-01T00:00:00-07:00", "x": 1.5,
    });
    issue.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    format!("{issue}\n")
}

#[tokio::test]
async fn what_each_side_changed_comes_to_the_other_and_nothing_else_is_touched() {
    let dir = tempfile::tempdir().unwrap();
    let side = Side::new(dir.path(), "town").await;
    let beads = side.town.operator().beads();
    let memory = "{\"_type\":\"memory\",\"key\":\"k\",\"value\":\"v\"}\n";
    let file = issue("hq-1", &json!({})) + &issue("hq-2", &json!({ "pinned": 0 })) + "broken {\n" + memory;
    fs::write(side.file(), &file).unwrap();
    let own = beads.create(NewBead { id: Some(id("hq-3")), ..NewBead::titled("Own") }).await.unwrap();
    let dry = side.rehearse().await;
    assert_eq!((dry.created, dry.lines_added, dry.flaws, dry.foreign), (2, 1, 1, 1));
    assert_eq!(side.text(), file, "a rehearsal writes nothing");
    let first = side.sync().await;
    assert_eq!((first.created, first.lines_added, first.lines_changed, first.flaws, first.foreign), (2, 1, 0, 1, 1));
    assert_eq!(first.flawed_lines[0].line, 3);
    assert!(side.text().starts_with(&file[..file.find("broken").unwrap()]), "what was there is there byte for byte");
    assert!(side.text().contains("broken {\n") && side.text().contains(memory));
    side.is_at_rest().await;

    side.clock.advance(Duration::from_secs(60));
    beads.update(BeadPatch { priority: Patch::Set(0), ..patch("hq-1") }).await.unwrap();
    beads.comment(AddComment::new(own.id.clone(), "why?")).await.unwrap();
    let changed =
        issue("hq-2", &json!({ "pinned": 0, "title": "Fell the oak", "updated_at": "2025-10-02T00:00:00-07:00" }));
    let text = side.text();
    let text = text.lines().map(|line| if line.contains("\"hq-2\"") { changed.trim_end() } else { line });
    fs::write(side.file(), text.flat_map(|line| [line, "\n"]).collect::<String>()).unwrap();
    let both = side.sync().await;
    assert_eq!((both.updated, both.lines_changed, both.choices, both.unchanged), (1, 2, 0, 0));
    assert_eq!(beads.get(id("hq-2")).await.unwrap().title, "Fell the oak");
    let line = side.line("hq-1").unwrap();
    assert_eq!(
        (&line["priority"], &line["created_at"], &line["x"]),
        (&json!(0), &json!("2025-10-01T00:00:00.123456789Z"), &json!(1.5))
    );
    assert!(side.text().contains(changed.trim_end()), "what came in stays as it was written");
    assert_eq!(side.line("hq-3").unwrap()["comments"][0]["text"], "why?");
    side.is_at_rest().await;
    side.ends().await;
}

#[tokio::test]
async fn the_dialect_of_the_file_is_kept() {
    let br = issue("hq-1", &json!({ "source_repo": ".", "compaction_level": 0, "original_size": 0 }));
    let bd =
        issue("hq-1", &json!({ "_type": "issue", "dependency_count": 0, "dependent_count": 0, "comment_count": 0 }));
    for (dialect, text) in [(Dialect::Br, br), (Dialect::Bd, bd)] {
        let dir = tempfile::tempdir().unwrap();
        let side = Side::new(dir.path(), "town").await;
        let beads = side.town.operator().beads();
        fs::write(side.file(), &text).unwrap();
        let own = beads.create(NewBead { id: Some(id("hq-2")), ..NewBead::titled("Own") }).await.unwrap();
        beads.link(Link::blocks(own.id.clone(), id("hq-1"))).await.unwrap_err();
        let report = side.sync().await;
        assert_eq!((report.dialect, report.created, report.lines_added), (dialect, 1, 1));
        beads.link(Link::blocks(own.id.clone(), id("hq-1"))).await.unwrap();
        beads.comment(AddComment::new(own.id, "why?")).await.unwrap();
        side.is_at_rest_after_one().await;
        let line = side.line("hq-2").unwrap();
        let mark = if dialect == Dialect::Br { "source_repo" } else { "_type" };
        assert!(!line[mark].is_null(), "{line}");
        assert_eq!(line["dependencies"][0]["depends_on_id"], "hq-1");
        assert!(side.text().starts_with(&text));
        side.ends().await;
    }
}

impl Side {
    /// Own changes go out once and then rest.
    async fn is_at_rest_after_one(&self) {
        let report = self.sync().await;
        assert_eq!((report.updated, report.lines_changed, report.choices), (0, 1, 0), "{report:?}");
        self.is_at_rest().await;
    }
}

#[tokio::test]
async fn what_one_side_deleted_goes_and_what_the_other_changed_stays() {
    let dir = tempfile::tempdir().unwrap();
    let side = Side::new(dir.path(), "town").await;
    let beads = side.town.operator().beads();
    let all: String = (1..=4).map(|n| issue(&format!("hq-{n}"), &json!({}))).collect();
    fs::write(side.file(), &all).unwrap();
    side.sync().await;
    side.clock.advance(Duration::from_secs(60));
    beads.delete(DeleteBead::from(&id("hq-1"))).await.unwrap();
    beads.delete(DeleteBead::from(&id("hq-2"))).await.unwrap();
    beads.update(BeadPatch { priority: Patch::Set(0), ..patch("hq-4") }).await.unwrap();
    let later = json!({ "title": "Changed", "updated_at": "2035-10-01T00:00:00Z" });
    fs::write(side.file(), issue("hq-1", &json!({})) + &issue("hq-2", &later)).unwrap();
    let report = side.sync().await;
    let codes: Vec<_> = report.chosen.iter().map(|choice| (choice.id.as_str(), choice.code.as_str())).collect();
    assert_eq!(codes, [("hq-2", "tombstone_lifted"), ("hq-4", "deleted_but_changed")]);
    assert_eq!((report.created, report.deleted, report.lines_removed, report.lines_added), (1, 1, 1, 1));
    assert_eq!(beads.get(id("hq-2")).await.unwrap().title, "Changed");
    assert_eq!(beads.get(id("hq-3")).await.unwrap_err().code(), "bead_missing");
    assert_eq!((side.line("hq-1"), side.line("hq-3")), (None, None));
    assert_eq!(side.line("hq-4").unwrap()["priority"], 0);
    side.is_at_rest().await;
    // An old line that somebody brings back brings no bead back, and one made anew does.
    let text = side.text();
    fs::write(side.file(), issue("hq-1", &json!({})) + &text).unwrap();
    let report = side.sync().await;
    assert_eq!((report.created, report.lines_removed, report.chosen[0].code.as_str()), (0, 1, "tombstone_kept"));
    fs::write(side.file(), issue("hq-1", &later) + &side.text()).unwrap();
    assert_eq!(side.sync().await.created, 1);
    side.is_at_rest().await;
    side.ends().await;
}

#[tokio::test]
async fn tombstones_and_files_of_deletions_are_followed() {
    let dir = tempfile::tempdir().unwrap();
    let side = Side::new(dir.path(), "town").await;
    let beads = side.town.operator().beads();
    let dead = |id: &str| {
        issue(id, &json!({ "status": "tombstone", "deleted_at": "2025-11-01T00:00:00Z", "deleted_by": "olga" }))
    };
    let file = issue("hq-1", &json!({})) + &issue("hq-2", &json!({})) + &issue("hq-3", &json!({})) + &dead("hq-4");
    fs::write(side.file(), file).unwrap();
    side.sync().await;
    side.clock.advance(Duration::from_secs(60));
    beads.delete(DeleteBead::from(&id("hq-1"))).await.unwrap();
    fs::write(side.file(), issue("hq-1", &json!({})) + &dead("hq-2") + &dead("hq-4")).unwrap();
    fs::write(
        side.folder.join("deletions.jsonl"),
        "{\"id\":\"hq-3\",\"ts\":\"2025-11-02T00:00:00Z\",\"by\":\"nils\"}\n",
    )
    .unwrap();
    let report = side.sync().await;
    assert_eq!((report.deleted, report.choices), (2, 0), "{report:?}");
    let line = side.line("hq-1").unwrap();
    assert_eq!((&line["status"], line["deleted_by"].as_str()), (&json!("tombstone"), Some("operator")));
    side.is_at_rest().await;
    let out = dir.path().join("out.jsonl");
    let export = ExportBeads { tombstones: true, ..ExportBeads::from(out.as_path()) };
    assert_eq!(beads.export_to(export).await.unwrap().tombstones, 4);
    assert!(fs::read_to_string(out).unwrap().contains("\"deleted_by\":\"nils\""));
    side.ends().await;
}

#[tokio::test]
async fn beads_at_work_stay_as_they_are_and_are_told_until_they_are_free() {
    let dir = tempfile::tempdir().unwrap();
    let side = Side::new(dir.path(), "town").await;
    let beads = side.town.operator().beads();
    fs::write(side.file(), issue("hq-1", &json!({}))).unwrap();
    side.sync().await;
    beads.claim(Claim { id: Some(id("hq-1")), ..Claim::next("tess") }).await.unwrap();
    let report = side.sync().await;
    assert_eq!((report.held, report.lines_changed), (0, 1), "that it is held goes out");
    assert_eq!(side.line("hq-1").unwrap()["status"], "in_progress");
    let other = side.text().replace("Lay the keel", "Lay two keels");
    fs::write(side.file(), &other).unwrap();
    let report = side.sync().await;
    assert_eq!((report.held, report.held_beads[0].why.as_str(), report.updated), (1, "in_use", 0));
    assert_eq!(side.text(), other);
    assert_eq!(beads.get(id("hq-1")).await.unwrap().title, "Lay the keel");
    beads.close(CloseBead { force: true, ..CloseBead::from(&id("hq-1")) }).await.unwrap();
    let report = side.sync().await;
    assert_eq!((report.held, report.updated, report.lines_changed), (0, 1, 1));
    let bead = beads.get(id("hq-1")).await.unwrap();
    assert_eq!((bead.title.as_str(), bead.status), ("Lay two keels", BeadStatus::Closed));
    side.is_at_rest().await;
    side.ends().await;
}

#[tokio::test]
async fn two_beads_that_took_one_id_are_both_kept() {
    let dir = tempfile::tempdir().unwrap();
    let side = Side::new(dir.path(), "town").await;
    let beads = side.town.operator().beads();
    beads.create(NewBead { id: Some(id("hq-1")), ..NewBead::titled("Mine") }).await.unwrap();
    beads
        .create(NewBead { id: Some(id("hq-5")), depends_on: vec![id("hq-1")], ..NewBead::titled("Waits") })
        .await
        .unwrap();
    fs::write(side.file(), issue("hq-1", &json!({ "title": "Theirs" }))).unwrap();
    let report = side.sync().await;
    assert!(report.chosen.iter().any(|choice| choice.code == "id_relocated"), "{report:?}");
    assert_eq!(beads.get(id("hq-1")).await.unwrap().title, "Theirs");
    assert_eq!(beads.get(id("hq-2")).await.unwrap().title, "Mine");
    assert_eq!(side.line("hq-2").unwrap()["title"], "Mine");
    assert_eq!(
        side.line("hq-5").unwrap()["dependencies"][0]["depends_on_id"],
        "hq-2",
        "what was said about it follows"
    );
    side.is_at_rest().await;
    side.ends().await;
}

#[tokio::test]
async fn an_unfinished_merge_in_the_file_is_finished_from_what_both_agreed_on() {
    let dir = tempfile::tempdir().unwrap();
    let side = Side::new(dir.path(), "town").await;
    let beads = side.town.operator().beads();
    fs::write(side.file(), issue("hq-1", &json!({})) + &issue("hq-2", &json!({}))).unwrap();
    side.sync().await;
    let ours = issue("hq-1", &json!({ "priority": 0, "updated_at": "2025-10-03T00:00:00Z" }));
    let theirs = issue("hq-1", &json!({ "title": "Both", "updated_at": "2025-10-04T00:00:00Z" }));
    let text = format!("<<<<<<< HEAD\n{ours}=======\n{theirs}>>>>>>> theirs\n{}", issue("hq-2", &json!({})));
    fs::write(side.file(), text).unwrap();
    let report = side.sync().await;
    assert_eq!((report.markers, report.updated, report.choices), (3, 1, 0), "{report:?}");
    let bead = beads.get(id("hq-1")).await.unwrap();
    assert_eq!((bead.title.as_str(), bead.priority), ("Both", 0));
    assert_eq!(side.text().lines().count(), 2);
    side.is_at_rest().await;
    side.ends().await;
}

#[tokio::test]
async fn what_cannot_be_taken_in_stays_in_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let side = Side::new(dir.path(), "town").await;
    let long = issue("hq-2", &json!({ "description": "x".repeat(2 << 20) }));
    let file = issue("gt 1", &json!({})) + &long + &issue("hq-3", &json!({}));
    fs::write(side.file(), &file).unwrap();
    let report = side.sync().await;
    let flaws: Vec<_> = report.flawed_lines.iter().map(|flaw| (flaw.line, flaw.code.as_str())).collect();
    assert_eq!((flaws, report.created), (vec![(1, "id_malformed"), (2, "text_too_long")], 1));
    side.town.operator().beads().update(BeadPatch { priority: Patch::Set(0), ..patch("hq-3") }).await.unwrap();
    side.sync().await;
    assert!(side.text().starts_with(&file[..file.len() - issue("hq-3", &json!({})).len()]));
    let beads = side.town.operator().beads();
    let nowhere = beads.sync("/nowhere/at-all").await.unwrap_err();
    assert_eq!((nowhere.kind(), nowhere.code()), (ErrorKind::NotFound, "path_missing"));
    assert_eq!(beads.sync(dir.path()).await.unwrap_err().code(), "issues_missing");
    fs::write(side.folder.join("dependencies.jsonl"), "").unwrap();
    assert_eq!(beads.sync(side.folder.as_path()).await.unwrap_err().code(), "export_is_flat");
    side.ends().await;
}

#[tokio::test]
async fn a_rig_gives_its_own_beads_and_takes_what_comes_in() {
    let dir = tempfile::tempdir().unwrap();
    let side = Side::new(dir.path(), "town").await;
    let beads = side.town.operator().beads();
    beads.create(NewBead { id: Some(id("hq-1")), ..NewBead::titled("The town's") }).await.unwrap();
    let rig = gastown_core::model::RigName::new("nowhere").unwrap();
    let input = SyncBeads { rig: Some(rig), ..SyncBeads::from(side.folder.as_path()) };
    assert_eq!(beads.sync(input).await.unwrap_err().code(), "rig_missing");
    beads.create(NewBead { ephemeral: true, ..NewBead::titled("Short-lived") }).await.unwrap();
    assert_eq!(side.sync().await.lines_added, 1, "a bead of use for a short time stays here");
    side.is_at_rest().await;
    side.ends().await;
}

/// One change of a town by whoever works there.
async fn change(side: &Side, random: &mut u64, known: &mut Vec<String>, name: &str, n: usize) {
    side.clock.advance(Duration::from_secs(1));
    let beads = side.town.operator().beads();
    let word = format!("{name}{n}");
    if known.is_empty() || draw(random, 6) == 0 {
        let id = format!("hq-{}", 100 + draw(random, 40));
        let new = NewBead {
            id: Some(self::id(&id)),
            replaces_deleted: true,
            labels: vec![word.clone()],
            ..NewBead::titled(word)
        };
        if beads.create(new).await.is_ok() {
            known.push(id);
        }
        return;
    }
    let of = known[draw(random, known.len())].clone();
    let other = known[draw(random, known.len())].clone();
    // Some are refused: the bead is gone, or stands otherwise.
    let _ = match draw(random, 9) {
        0 => beads.update(BeadPatch { title: Patch::Set(word), ..patch(&of) }).await.map(drop),
        1 => beads
            .update(BeadPatch { priority: Patch::Set(u32::try_from(draw(random, 5)).unwrap()), ..patch(&of) })
            .await
            .map(drop),
        2 => beads.update(BeadPatch { append_notes: Some(word), ..patch(&of) }).await.map(drop),
        3 => beads
            .update(BeadPatch { description: Patch::Set(word), metadata: Patch::Set(json!({ name: n })), ..patch(&of) })
            .await
            .map(drop),
        4 => beads.close(CloseBead { force: true, reason: Some(word), ..CloseBead::from(&id(&of)) }).await.map(drop),
        5 => beads.reopen(ReopenBead::from(&id(&of))).await.map(drop),
        6 => beads.comment(AddComment::new(id(&of), word)).await.map(drop),
        7 => beads.delete(DeleteBead::from(&id(&of))).await.map(drop),
        _ => beads.link(Link::blocks(id(&of), id(&other))).await.map(drop),
    };
}

/// One change of the file by another tool.
fn edit(side: &Side, random: &mut u64, n: usize) {
    let Ok(text) = fs::read_to_string(side.file()) else { return };
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    if lines.is_empty() {
        return;
    }
    let at = draw(random, lines.len());
    let second = START / 1_000_000 + i64::try_from(n).unwrap();
    let now = Timestamp::from_micros(second * 1_000_000).to_string();
    match draw(random, 4) {
        0 => drop(lines.remove(at)),
        1 => {
            let id = format!("hq-{}", 100 + draw(random, 40));
            let taken = lines.iter().any(|line| serde_json::from_str::<Json>(line).unwrap()["id"] == id);
            let new = issue(&id, &json!({ "title": format!("file{n}"), "updated_at": now }));
            if !taken {
                lines.push(new.trim_end().to_owned());
            }
        }
        _ => {
            let mut line: Json = serde_json::from_str(&lines[at]).unwrap();
            line["updated_at"] = json!(now);
            if draw(random, 2) == 0 {
                line["title"] = json!(format!("file{n}"));
            } else {
                line["labels"] = json!([format!("f{}", draw(random, 3))]);
            }
            lines[at] = line.to_string();
        }
    }
    fs::write(side.file(), lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect::<String>()).unwrap();
}

/// What a town says of its beads, and a file of its issues, as far as it is the same for everybody.
async fn records(side: &Side, dir: &Path) -> BTreeMap<String, Json> {
    let out = dir.join("records.jsonl");
    let export = ExportBeads { dialect: Dialect::Br, replace: true, ..ExportBeads::from(out.as_path()) };
    side.town.operator().beads().export_to(export).await.unwrap();
    said(&fs::read_to_string(out).unwrap())
}

fn said(text: &str) -> BTreeMap<String, Json> {
    let mut records = BTreeMap::new();
    for line in text.lines() {
        let mut line: Json = serde_json::from_str(line).unwrap();
        if line["status"] == "tombstone" {
            continue;
        }
        let mut lists: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (list, key) in [("dependencies", "depends_on_id"), ("comments", "text")] {
            let parts = line[list].as_array().cloned().unwrap_or_default();
            lists.insert(list, parts.iter().map(|part| part[key].to_string()).collect());
        }
        let labels = line["labels"].as_array().cloned().unwrap_or_default();
        lists.insert("labels", labels.iter().map(Json::to_string).collect());
        for list in lists.values_mut() {
            list.sort();
        }
        let metadata = line["metadata"].as_str().map(|text| serde_json::from_str(text).unwrap());
        let metadata: Json = metadata.unwrap_or_else(|| line["metadata"].take());
        let id = line["id"].as_str().unwrap().to_owned();
        // With clocks that differ a change may come before the making; it is read as of the making.
        let at = |key: &str| Time::parse(line[key].as_str().unwrap()).unwrap().at.as_micros();
        let at = at("updated_at").max(at("created_at"));
        let of = |key: &str| line[key].clone();
        records.insert(
            id,
            json!([
                of("title"),
                of("status"),
                of("priority"),
                of("notes"),
                of("description"),
                of("close_reason"),
                at,
                lists,
                metadata
            ]),
        );
    }
    records
}

#[tokio::test]
async fn towns_that_sync_with_one_folder_in_turns_come_to_be_equal() {
    let seeds = asked("GASTOWN_SEED").map_or(1..=12, |seed| seed..=seed);
    for seed in seeds {
        let dir = tempfile::tempdir().unwrap();
        let mut random = seed;
        let sides = [Side::new(dir.path(), "one").await, Side::new(dir.path(), "two").await];
        fs::write(sides[0].file(), if seed % 2 == 0 { issue("hq-100", &json!({})) } else { String::new() }).unwrap();
        let mut known = vec!["hq-100".to_owned()];
        for n in 0..60 {
            match draw(&mut random, 8) {
                which @ 0..=1 => drop(sides[which].sync_as_meant().await),
                which @ 2..=5 => change(&sides[which % 2], &mut random, &mut known, ["a", "b"][which % 2], n).await,
                _ => edit(&sides[0], &mut random, n),
            }
        }
        for side in sides.iter().chain(&sides).chain(&sides) {
            side.sync_as_meant().await;
        }
        for side in &sides {
            side.is_at_rest().await;
        }
        let file = said(&sides[0].text());
        for (name, side) in ["one", "two"].iter().zip(&sides) {
            let town = records(side, dir.path()).await;
            assert_eq!(town, file, "seed {seed}, town {name}");
        }
        let [one, two] = sides;
        one.ends().await;
        two.ends().await;
    }
}

/// Somebody writes the file while it is synced: each of the two finds what the other wrote.
#[tokio::test(flavor = "multi_thread")]
async fn syncs_at_once_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let sides = [Side::new(dir.path(), "one").await, Side::new(dir.path(), "two").await];
    for (n, side) in sides.iter().enumerate() {
        for bead in 0..30 {
            let new = NewBead { id: Some(id(&format!("hq-{n}{bead:02}"))), ..NewBead::titled("both") };
            side.town.operator().beads().create(new).await.unwrap();
        }
    }
    let once = |side: &Side| {
        let (beads, folder) = (side.town.operator().beads(), side.folder.clone());
        async move { beads.sync(folder.as_path()).await }
    };
    let (left, right) = tokio::join!(once(&sides[0]), once(&sides[1]));
    assert!(left.is_ok() && right.is_ok(), "{left:?} {right:?}");
    for side in [&sides[0], &sides[1], &sides[0]] {
        side.sync().await;
    }
    assert_eq!(sides[0].text().lines().count(), 60);
    for side in sides {
        side.is_at_rest().await;
        side.ends().await;
    }
}

/// A town in a file and a folder, both changed; a child that syncs them is killed, and another finishes.
async fn killed(name: &str) {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join(".beads");
    fs::create_dir(&folder).unwrap();
    let file = folder.join("issues.jsonl");
    fs::write(&file, issue("hq-1", &json!({})) + &issue("hq-2", &json!({})) + &issue("hq-3", &json!({}))).unwrap();
    let home = dir.path().join("town");
    let town = Town::builder(&home).open().await.unwrap();
    let beads = town.operator().beads();
    beads.sync(folder.as_path()).await.unwrap();
    beads
        .update(BeadPatch { priority: Patch::Set(0), append_notes: Some("ours".into()), ..patch("hq-1") })
        .await
        .unwrap();
    beads.create(NewBead { id: Some(id("hq-4")), ..NewBead::titled("Own") }).await.unwrap();
    beads.delete(DeleteBead::from(&id("hq-3"))).await.unwrap();
    town.close().await.unwrap();
    let theirs = json!({ "title": "Theirs", "notes": "theirs", "updated_at": "2025-10-03T00:00:00Z" });
    fs::write(&file, issue("hq-1", &theirs) + &issue("hq-3", &json!({})) + &issue("hq-5", &json!({}))).unwrap();

    let child = |before: &[String]| {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_town-child"));
        command.args(before).arg("sync").args([&home, &folder]).kill_on_drop(true);
        command
    };
    let status = child(&["--kill-at".to_owned(), name.to_owned()]).status().await.unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9), "{name} was not reached: {status:?}");
    let half = fs::read_to_string(&file).unwrap();
    assert!(half.lines().all(|line| serde_json::from_str::<Json>(line).is_ok()), "the file is whole at any time");
    assert!(child(&[]).status().await.unwrap().success());

    let town = Town::builder(&home).open().await.unwrap();
    let beads = town.operator().beads();
    let bead = beads.get(id("hq-1")).await.unwrap();
    assert_eq!((bead.title.as_str(), bead.priority, bead.notes.as_str()), ("Theirs", 0, "theirs\nours"), "{name}");
    for (id, is_there) in [("hq-2", false), ("hq-3", false), ("hq-4", true), ("hq-5", true)] {
        assert_eq!(beads.get(self::id(id)).await.is_ok(), is_there, "{name}: {id}");
    }
    let text = fs::read_to_string(&file).unwrap();
    let ids: Vec<String> = said(&text).into_keys().collect();
    assert_eq!(ids, ["hq-1", "hq-4", "hq-5"], "{name}");
    assert_eq!(said(&text)["hq-1"][3], "theirs\nours");
    let rest = beads.sync(folder.as_path()).await.unwrap();
    assert!(is_idle(&rest), "{name}: {rest:?}");
    let left: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["issues.jsonl"], "{name}: no draft stays behind");
    assert_eq!(town.operator().upkeep().check(All {}).await.unwrap().findings, []);
    town.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_that_is_killed_at_any_place_is_finished_by_the_next() {
    for name in failpoint::OF_SYNC {
        killed(name).await;
    }
}

#[tokio::test]
async fn a_file_that_is_gone_cut_or_emptied_deletes_nothing_unless_that_is_accepted() {
    let dir = tempfile::tempdir().unwrap();
    let side = Side::new(dir.path(), "town").await;
    let beads = side.town.operator().beads();
    for n in 0..24 {
        beads.create(NewBead::titled(format!("plank {n}"))).await.unwrap();
    }
    side.sync().await;
    let whole = side.text();
    let lines: Vec<&str> = whole.lines().collect();
    let cut = format!("{}\n{}", lines[..11].join("\n"), &lines[11][..lines[11].len() / 2]);
    let few = format!("{}\n", lines[..9].join("\n"));
    for (text, gone) in [(None, 24), (Some(String::new()), 24), (Some(cut), 13), (Some(few), 15)] {
        match text {
            None => fs::remove_file(side.file()).unwrap(),
            Some(text) => fs::write(side.file(), text).unwrap(),
        }
        let head = side.head().await;
        let error = beads.sync(side.folder.as_path()).await.unwrap_err();
        assert_eq!((error.code(), error.fact("known")), ("sync_file_incomplete", Some("24")), "{error}");
        assert_eq!(error.fact("gone"), Some(&*gone.to_string()));
        assert_eq!(side.head().await, head, "nothing was done");
        fs::write(side.file(), &whole).unwrap();
        side.is_at_rest().await;
    }
    // A few lines may be taken out as ever, and everything where that is meant.
    fs::write(side.file(), format!("{}\n", lines[..18].join("\n"))).unwrap();
    assert_eq!(side.sync().await.deleted, 6);
    fs::remove_file(side.file()).unwrap();
    let meant = SyncBeads { accept_deletions: true, ..SyncBeads::from(side.folder.as_path()) };
    assert_eq!(beads.sync(meant).await.unwrap().deleted, 18);
    side.ends().await;
}

#[tokio::test]
async fn a_killed_sync_that_took_most_lines_out_is_finished_by_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let side = Side::new(dir.path(), "town").await;
    let beads = side.town.operator().beads();
    let mut ids = Vec::new();
    for n in 0..24 {
        ids.push(beads.create(NewBead::titled(format!("plank {n}"))).await.unwrap().id);
    }
    side.sync().await;
    for id in &ids[4..] {
        beads.delete(id).await.unwrap();
    }
    // As far as it came: the town has no such beads any more, the file has no such lines, and the agreement is the old one.
    let left: Vec<String> = ids[..4].iter().map(|id| side.line(id.as_str()).unwrap().to_string()).collect();
    fs::write(side.file(), format!("{}\n", left.join("\n"))).unwrap();
    side.sync().await;
    side.is_at_rest().await;
    side.ends().await;
}
