//! Two beads that have one id.

use std::fs;

use gastown_core::model::Timestamp;
use gastown_core::{MergeBeads, NewBead, RenameBead, merge_beads};
use serde_json::{Value as Json, json};

use super::{START, Side, id, issue};

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
    let moved = report.chosen.iter().find(|choice| choice.code == "id_relocated").unwrap();
    let twin = moved.kept.as_str().unwrap();
    assert_eq!(beads.get(id(twin)).await.unwrap().title, "Mine");
    assert_eq!(side.line(twin).unwrap()["title"], "Mine");
    assert_eq!(side.line("hq-5").unwrap()["dependencies"][0]["depends_on_id"], twin, "what was said about it follows");
    side.is_at_rest().await;
    // An import knows it by its old id.
    let path = dir.path().join("old.jsonl");
    fs::write(&path, issue("hq-1", &json!({ "title": "Mine", "created_at": made_at(START) }))).unwrap();
    let old = beads.import_from(path.as_path()).await.unwrap();
    let known = &old.conflicting[0];
    assert_eq!((old.created, known.why.as_str(), known.bead.as_str()), (0, "equal_time", twin), "{old:?}");
    side.ends().await;
}

#[tokio::test]
async fn what_is_left_of_a_bead_takes_no_other_of_its_id_out_of_the_file() {
    let dir = tempfile::tempdir().unwrap();
    for is_renamed in [false, true] {
        let side = Side::new(dir.path(), if is_renamed { "renamed" } else { "deleted" }).await;
        let beads = side.town.operator().beads();
        beads.create(NewBead { id: Some(id("hq-1")), ..NewBead::titled("Mine") }).await.unwrap();
        if is_renamed {
            beads
                .rename(RenameBead { id: id("hq-1"), to: id("hq-9"), parts: false, expected_version: None })
                .await
                .unwrap();
        } else {
            beads.delete(&id("hq-1")).await.unwrap();
        }
        fs::write(side.file(), issue("hq-1", &json!({ "title": "Theirs" }))).unwrap();
        let report = side.sync().await;
        assert_eq!((report.created, report.lines_removed), (1, 0), "{report:?}");
        assert_eq!(beads.get(id("hq-1")).await.unwrap().title, "Theirs");
        assert_eq!(side.line("hq-1").unwrap()["title"], "Theirs");
        side.is_at_rest().await;
        side.ends().await;
    }
}

fn made_at(micros: i64) -> String {
    Timestamp::from_micros(micros).to_string()
}

fn made(id: &str, title: &str, day: u32) -> String {
    let at = format!("2025-10-{day:02}T00:00:00Z");
    issue(id, &json!({ "title": title, "created_at": at, "updated_at": at }))
}

/// Ids by their titles.
fn ids(text: &str) -> Vec<(String, String)> {
    let line = |line| serde_json::from_str::<Json>(line).unwrap();
    let of = |line: &Json, key: &str| line[key].as_str().unwrap().to_owned();
    let mut found: Vec<_> = text.lines().map(line).map(|line| (of(&line, "title"), of(&line, "id"))).collect();
    found.sort();
    found
}

#[tokio::test]
async fn two_beads_of_one_id_in_one_file_are_both_kept() {
    let (oak, elm, ash) = (made("hq-1", "Oak", 1), made("hq-1", "Elm", 2), made("hq-1", "Ash", 3));
    let later = issue(
        "hq-1",
        &json!({ "title": "Elm", "created_at": "2025-10-02T00:00:00Z", "updated_at": "2025-10-09T00:00:00Z", "priority": 0 }),
    );
    let mut given = Vec::new();
    for file in [[&oak, &elm, &ash, &later], [&later, &ash, &oak, &elm], [&ash, &later, &elm, &oak]] {
        let dir = tempfile::tempdir().unwrap();
        let side = Side::new(dir.path(), "town").await;
        fs::write(side.file(), file.map(String::as_str).concat()).unwrap();
        let dry = side.rehearse().await;
        let report = side.sync().await;
        assert_eq!((dry.created, report.created, report.choices), (3, 3, 3), "{report:?}");
        let codes: Vec<&str> = report.chosen.iter().map(|choice| choice.code.as_str()).collect();
        assert_eq!(codes, ["id_relocated", "id_relocated", "line_dropped"], "one has two lines");
        assert_eq!(report.repairs["duplicate_id"], 3);
        let found = ids(&side.text());
        let titles: Vec<&str> = found.iter().map(|(title, _)| title.as_str()).collect();
        assert_eq!((titles, found[2].1.as_str()), (vec!["Ash", "Elm", "Oak"], "hq-1"), "the first keeps the id");
        assert_eq!(side.line(&found[1].1).unwrap()["priority"], 0, "its newer line counts");
        for (title, of) in &found {
            assert_eq!(side.town.operator().beads().get(id(of)).await.unwrap().title, *title);
        }
        side.is_at_rest().await;
        // The same lines again, by another tool's merge.
        fs::write(side.file(), side.text() + &elm + &ash).unwrap();
        let again = side.sync().await;
        assert_eq!((again.created, again.updated, again.deleted), (0, 0, 0), "{again:?}");
        assert_eq!(ids(&side.text()), found);
        side.is_at_rest().await;
        given.push(found);
        side.ends().await;
    }
    assert!(given[0] == given[1] && given[1] == given[2], "in whichever order: {given:?}");
}

#[test]
fn a_merge_of_files_keeps_both_of_two_beads_of_one_id() {
    let dir = tempfile::tempdir().unwrap();
    let (oak, elm) = (made("hq-1", "Oak", 1), made("hq-1", "Elm", 2));
    let both = oak.clone() + &elm;
    let other = made("hq-9", "Ash", 3);
    let mut outcomes = Vec::new();
    for (base, ours, theirs) in [
        ("", &both, &other),
        ("", &other, &both),
        ("", &oak, &(elm.clone() + &other)),
        (oak.as_str(), &both, &(oak.clone() + &other)),
    ] {
        let file = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let ours = file("ours", ours);
        let merged = merge_beads(&MergeBeads::new(file("base", base), &ours, file("theirs", theirs))).unwrap();
        assert_eq!((merged.issues, merged.choices), (3, 1), "{merged:?}");
        assert_eq!(merged.chosen[0].code, "id_relocated");
        outcomes.push(ids(&fs::read_to_string(&ours).unwrap()));
    }
    assert!(outcomes.iter().all(|outcome| *outcome == outcomes[0]), "{outcomes:?}");
    assert_eq!(outcomes[0].len(), 3);
}

#[tokio::test]
async fn towns_that_kept_two_beads_otherwise_agree_by_a_sync() {
    for turned in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let sides = [Side::new(dir.path(), "one").await, Side::new(dir.path(), "two").await];
        let (oak, elm) = (made("hq-1", "Oak", 1), made("hq-1", "Elm", 2));
        for (side, orders) in sides.iter().zip([[&oak, &elm], [&elm, &oak]]) {
            for (nth, line) in orders.into_iter().enumerate() {
                let path = dir.path().join(format!("{nth}.jsonl"));
                fs::write(&path, line).unwrap();
                side.town.operator().beads().import_from(path.as_path()).await.unwrap();
            }
        }
        let order = if turned { [1, 0, 1] } else { [0, 1, 0] };
        for nth in order {
            sides[nth].sync().await;
        }
        let found = ids(&sides[0].text());
        assert_eq!(found.len(), 2, "{found:?}");
        for side in sides {
            side.is_at_rest().await;
            for (title, of) in &found {
                assert_eq!(side.town.operator().beads().get(id(of)).await.unwrap().title, *title);
            }
            side.ends().await;
        }
    }
}
