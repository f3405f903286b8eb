//! What each side changed, deleted or cannot take.

use std::fs;
use std::time::Duration;

use gastown_core::ErrorKind;
use gastown_core::interchange::Dialect;
use gastown_core::model::BeadStatus;
use gastown_core::{AddComment, BeadPatch, Claim, CloseBead, DeleteBead, ExportBeads, Link, NewBead, Patch, SyncBeads};
use serde_json::json;

use super::{Side, id, issue, patch};

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
async fn what_is_read_otherwise_than_it_is_written_is_told_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let side = Side::new(dir.path(), "town").await;
    let file = issue("hq-1", &json!({ "labels": ["gt:own", "wood"] })) + &issue("hq-2", &json!({ "priority": 77 }));
    fs::write(side.file(), &file).unwrap();
    let report = side.sync().await;
    let lines: Vec<&str> = file.lines().collect();
    let place = |nth: usize, key: &str| (lines[nth].find(&format!("\"{key}\":")).unwrap() + key.len() + 4) as u64;
    let told: Vec<_> =
        report.repaired.iter().map(|one| (one.line, one.column, one.key.as_str(), one.code.as_str())).collect();
    let wanted = [
        (1, place(0, "labels"), "labels", "value_set_aside"),
        (2, place(1, "priority"), "priority", "priority_out_of_range"),
    ];
    assert_eq!(told, wanted, "{report:?}");
    assert_eq!((report.repaired[0].file.as_str(), report.repairs["value_set_aside"]), ("issues.jsonl", 1));
    assert_eq!(side.sync().await.repairs.get("value_set_aside"), None, "told where it comes in");
    assert_eq!(side.text(), file, "and it stays in the file");
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

#[tokio::test]
async fn what_waits_for_a_deleted_bead_waits_again_once_that_is_changed_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let side = Side::new(dir.path(), "town").await;
    let beads = side.town.operator().beads();
    fs::write(side.file(), issue("hq-1", &json!({})) + &issue("hq-2", &json!({}))).unwrap();
    side.sync().await;
    side.clock.advance(Duration::from_secs(60));
    beads.delete(DeleteBead::from(&id("hq-2"))).await.unwrap();
    let edge = json!({ "issue_id": "hq-1", "depends_on_id": "hq-2", "type": "blocks" });
    let waits = json!({ "updated_at": "2035-10-01T00:00:00Z", "dependencies": [edge] });
    fs::write(side.file(), issue("hq-1", &waits) + &issue("hq-2", &json!({}))).unwrap();
    side.sync().await;
    assert!(beads.get(id("hq-1")).await.unwrap().blockers == 0, "it is not there");
    let later = json!({ "title": "Changed", "updated_at": "2035-10-01T00:00:00Z" });
    fs::write(side.file(), side.text() + &issue("hq-2", &later)).unwrap();
    assert_eq!(side.sync().await.created, 1);
    assert_eq!(beads.get(id("hq-1")).await.unwrap().blockers, 1);
    side.is_at_rest().await;
    side.ends().await;
}
