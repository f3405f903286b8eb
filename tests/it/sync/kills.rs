//! Syncs that are killed, and files that are broken.

use std::fs;

use gastown_core::failpoint;
use gastown_core::{All, BeadPatch, DeleteBead, NewBead, Patch, SyncBeads, Town};
use serde_json::{Value as Json, json};

use super::{Side, id, is_idle, issue, patch, said};

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
