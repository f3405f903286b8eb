//! Two beads that have one id.

use std::fs;

use gastown_core::model::Timestamp;
use gastown_core::{
    AddComment, Archive, BeadPatch, Claim, CloseBead, Link, MergeBeads, NewBead, Patch, ReleaseBead, RenameBead,
    merge_beads,
};
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
    let dry = side.rehearse().await;
    let report = side.sync().await;
    assert_eq!(dry, report, "a rehearsal says what is done");
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

/// Two sides with a bead each of the same id: the later one, of the second, has another in the file and does not know yet.
async fn sides_with_twins(dir: &std::path::Path) -> ([Side; 2], String) {
    let sides = [Side::new(dir, "one").await, Side::new(dir, "two").await];
    sides[1].clock.set(Timestamp::from_micros(START + 1_000_000));
    for (side, title) in sides.iter().zip(["Oak", "Elm"]) {
        let new = NewBead { id: Some(id("hq-3")), ..NewBead::titled(title) };
        side.town.operator().beads().create(new).await.unwrap();
    }
    let other = NewBead { id: Some(id("hq-4")), ..NewBead::titled("Ash") };
    sides[1].town.operator().beads().create(other).await.unwrap();
    sides[1].sync().await;
    sides[0].sync().await;
    let twin = ids(&sides[0].text()).into_iter().find(|(title, _)| title == "Elm").unwrap().1;
    assert_ne!(twin, "hq-3");
    (sides, twin)
}

#[tokio::test]
async fn what_is_done_to_a_bead_reaches_it_though_it_has_another_id_elsewhere() {
    for act in ["say", "close", "change", "wait", "claim", "delete"] {
        let dir = tempfile::tempdir().unwrap();
        let ([one, two], twin) = sides_with_twins(dir.path()).await;
        let beads = two.town.operator().beads();
        let elm = id("hq-3");
        two.clock.set(Timestamp::from_micros(START + 9_000_000));
        match act {
            "say" => drop(beads.comment(AddComment::new(elm, "of the elm")).await.unwrap()),
            "close" => drop(beads.close(&elm).await.unwrap()),
            "change" => {
                let title = Patch::Set("Elm, and better".to_owned());
                drop(beads.update(BeadPatch { title, ..BeadPatch::of(elm) }).await.unwrap());
            }
            "wait" => {
                beads.link(Link::blocks(elm.clone(), id("hq-4"))).await.unwrap();
                let new = NewBead { id: Some(id("hq-5")), depends_on: vec![elm], ..NewBead::titled("Yew") };
                drop(beads.create(new).await.unwrap());
            }
            "claim" => drop(beads.claim(Claim::of(elm, "me")).await.unwrap()),
            _ => drop(beads.delete(&elm).await.unwrap()),
        }
        let report = two.sync().await;
        let own = if act == "claim" {
            assert_eq!(report.held_beads[0].bead.as_str(), "hq-3", "{report:?}");
            let close = CloseBead::from(&id("hq-3"));
            assert_eq!(beads.get(id("hq-3")).await.unwrap().title, "Elm", "who works on it finds it");
            beads.close(close).await.unwrap();
            "hq-3"
        } else {
            twin.as_str()
        };
        for _ in 0..2 {
            two.sync().await;
            one.sync().await;
        }
        for side in [&one, &two] {
            let beads = side.town.operator().beads();
            let oak = side.text().lines().find(|line| line.contains("\"Oak\"")).unwrap().to_owned();
            let oak: Json = serde_json::from_str(&oak).unwrap();
            let oak = beads.get(id(oak["id"].as_str().unwrap())).await.unwrap();
            assert_eq!((oak.title.as_str(), oak.status.as_str(), oak.comments), ("Oak", "open", 0), "{act}");
            if act == "delete" {
                assert_eq!(ids(&side.text()).len(), 2, "{}", side.text());
                assert_eq!(beads.get(id(own)).await.unwrap_err().kind(), gastown_core::ErrorKind::NotFound);
                continue;
            }
            let elm = beads.get(id(own)).await.unwrap();
            assert_eq!(elm.title, if act == "change" { "Elm, and better" } else { "Elm" });
            let is_closed = matches!(act, "close" | "claim");
            assert_eq!(
                (elm.comments, elm.status.as_str()),
                (i64::from(act == "say"), if is_closed { "closed" } else { "open" })
            );
            if act == "wait" {
                let on = |of: &str| side.line(of).unwrap()["dependencies"][0]["depends_on_id"].clone();
                assert_eq!((on(own), on("hq-5")), (json!("hq-4"), json!(own)));
            }
            side.is_at_rest().await;
        }
        one.ends().await;
        two.ends().await;
    }
}

#[tokio::test]
async fn a_bead_in_use_keeps_its_id_and_edges_to_another_of_that_id_lead_there() {
    let dir = tempfile::tempdir().unwrap();
    let side = Side::new(dir.path(), "town").await;
    let beads = side.town.operator().beads();
    beads.create(NewBead { id: Some(id("hq-1")), ..NewBead::titled("Mine") }).await.unwrap();
    beads.claim(Claim::of(id("hq-1"), "me")).await.unwrap();
    let edge =
        json!({ "issue_id": "hq-5", "depends_on_id": "hq-1", "type": "blocks", "created_at": "2025-10-01T00:00:00Z" });
    let five = issue("hq-5", &json!({ "title": "Five", "dependencies": [edge] }));
    fs::write(side.file(), issue("hq-1", &json!({ "title": "Theirs" })) + &five).unwrap();
    let report = side.sync().await;
    assert_eq!(report.held_beads[0].bead.as_str(), "hq-1", "{report:?}");
    let twin = ids(&side.text()).into_iter().find(|(title, _)| title == "Theirs").unwrap().1;
    assert!(report.chosen.iter().any(|choice| choice.code == "id_relocated" && choice.kept == twin), "{report:?}");
    assert_eq!(report.chosen.len(), 1, "{report:?}");
    assert_eq!(side.line("hq-5").unwrap()["dependencies"][0]["depends_on_id"], twin);
    let on: Vec<_> = beads.edges(&id("hq-5")).await.unwrap().depends_on.into_iter().map(|edge| edge.on_bead).collect();
    assert_eq!((on, beads.get(id("hq-1")).await.unwrap().title.as_str()), (vec![id(&twin)], "Mine"));
    beads.release(ReleaseBead::from(&id("hq-1"))).await.unwrap();
    side.sync().await;
    side.is_at_rest().await;
    side.ends().await;
}

#[tokio::test]
async fn two_towns_that_both_hold_what_has_one_id_come_to_rest() {
    let dir = tempfile::tempdir().unwrap();
    let ([one, two], _) = sides_with_twins(dir.path()).await;
    for side in [&one, &two] {
        side.town.operator().beads().claim(Claim::of(id("hq-3"), "me")).await.unwrap();
    }
    two.sync().await;
    one.sync().await;
    // What waits for one of the two, said while both insist.
    let new = NewBead { id: Some(id("hq-5")), depends_on: vec![id("hq-3")], ..NewBead::titled("Yew") };
    two.town.operator().beads().create(new).await.unwrap();
    two.sync().await;
    one.sync().await;
    for (side, title) in [(&one, "Oak"), (&two, "Elm"), (&one, "Oak"), (&two, "Elm")] {
        let before = side.text();
        let report = side.sync().await;
        assert_eq!(side.text(), before, "{report:?}");
        assert_eq!(side.town.operator().beads().get(id("hq-3")).await.unwrap().title, title);
    }
    let found = ids(&one.text());
    assert!(!found.iter().any(|(title, _)| title == "Yew"), "its edge would lead to another there: {found:?}");

    for side in [&one, &two] {
        side.town.operator().beads().release(ReleaseBead::from(&id("hq-3"))).await.unwrap();
    }
    for side in [&two, &one, &two, &one] {
        side.sync().await;
    }
    let found = ids(&one.text());
    assert_eq!(found.iter().map(|(title, _)| title.as_str()).collect::<Vec<_>>(), ["Ash", "Elm", "Oak", "Yew"]);
    for side in [one, two] {
        side.is_at_rest().await;
        for (title, of) in &found {
            assert_eq!(side.town.operator().beads().get(id(of)).await.unwrap().title, *title);
        }
        assert_eq!(side.line("hq-5").unwrap()["dependencies"][0]["depends_on_id"], found[1].1);
        side.ends().await;
    }
}

#[tokio::test]
async fn a_bead_in_an_archive_keeps_its_id() {
    let dir = tempfile::tempdir().unwrap();
    let side = Side::new(dir.path(), "town").await;
    let beads = side.town.operator().beads();
    beads.create(NewBead { id: Some(id("hq-1")), ..NewBead::titled("Mine") }).await.unwrap();
    beads.close(&id("hq-1")).await.unwrap();
    side.clock.set(Timestamp::from_micros(START + 9_000_000));
    let (upkeep, cut) = (side.town.operator().upkeep(), Timestamp::from_micros(START + 1_000_000));
    let archived = upkeep.archive(Archive { closed_before: Some(cut), events_before: None }).await.unwrap();
    assert_eq!(archived.beads, 1);
    fs::write(side.file(), issue("hq-1", &json!({ "title": "Theirs" }))).unwrap();
    side.sync().await;
    let found = ids(&side.text());
    assert_ne!(found[0].1, "hq-1", "{found:?}");
    upkeep.recall(id("hq-1")).await.unwrap();
    side.sync().await;
    assert_eq!(beads.get(id("hq-1")).await.unwrap().title, "Mine");
    assert_eq!(beads.get(id(&found[0].1)).await.unwrap().title, "Theirs");
    assert_eq!(ids(&side.text()).len(), 2);
    side.is_at_rest().await;
    side.ends().await;
}

#[tokio::test]
async fn a_sync_and_an_import_know_a_bead_by_one_id() {
    let dir = tempfile::tempdir().unwrap();
    let ([one, two], _) = sides_with_twins(dir.path()).await;
    let path = dir.path().join("one.jsonl");
    one.town.operator().beads().export_to(path.as_path()).await.unwrap();
    two.town.operator().beads().import_from(path.as_path()).await.unwrap();
    for _ in 0..2 {
        two.sync().await;
        one.sync().await;
    }
    let found = ids(&one.text());
    assert_eq!(found.iter().map(|(title, _)| title.as_str()).collect::<Vec<_>>(), ["Ash", "Elm", "Oak"], "{found:?}");
    for side in [one, two] {
        side.is_at_rest().await;
        for (title, of) in &found {
            assert_eq!(side.town.operator().beads().get(id(of)).await.unwrap().title, *title);
        }
        side.ends().await;
    }
}
