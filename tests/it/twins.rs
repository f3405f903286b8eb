//! Beads that were made apart and have one id, as imports take them.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use gastown_core::model::{BeadId, Timestamp};
use gastown_core::store::MemoryBackend;
use gastown_core::{
    All, BeadFilter, BeadPatch, DeleteBead, ExportBeads, ImportBeads, ImportReport, ManualClock, NewBead, Patch,
    RenameBead, Town,
};
use serde_json::{Value as Json, json};

async fn memory(dir: &Path) -> Town {
    let clock = ManualClock::at(Timestamp::from_micros(1_900_000_000_000_000));
    Town::builder(dir).backend(Arc::new(MemoryBackend::new())).clock(Arc::new(clock)).from_env().open().await.unwrap()
}

fn id(text: &str) -> BeadId {
    BeadId::new(text).unwrap()
}

async fn ends(town: Town) {
    assert_eq!(town.operator().upkeep().check(All {}).await.unwrap().findings, []);
    town.close().await.unwrap();
}

fn line(id: &str, title: &str, day: u32, more: &Json) -> String {
    let at = format!("2025-10-{day:02}T00:00:00Z");
    let mut line = json!({
        "id": id, "title": title, "status": "open", "priority": 2, "issue_type": "task", "created_at": at, "updated_at": at,
    });
    line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    format!("{line}\n")
}

fn plain(id: &str, title: &str, day: u32) -> String {
    line(id, title, day, &json!({}))
}

fn dead(id: &str, title: &str, day: u32) -> String {
    let more =
        json!({ "status": "tombstone", "deleted_at": "2036-01-01T00:00:00Z", "updated_at": "2036-01-01T00:00:00Z" });
    line(id, title, day, &more)
}

async fn take(town: &Town, dir: &Path, text: &str) -> ImportReport {
    let path = dir.join("in.jsonl");
    std::fs::write(&path, text).unwrap();
    town.operator().beads().import_from(path.as_path()).await.unwrap()
}

/// Titles by their ids.
async fn titles(town: &Town) -> Vec<(String, String)> {
    let filter = BeadFilter { limit: Some(1_000), ..BeadFilter::default() };
    let mut found: Vec<_> = town.operator().beads().list(filter).await.unwrap().beads;
    found.sort_by(|a, b| a.id.cmp(&b.id));
    found.into_iter().map(|bead| (bead.id.to_string(), bead.title)).collect()
}

fn named(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(id, title)| ((*id).to_owned(), (*title).to_owned())).collect()
}

fn kept_as(report: &ImportReport) -> Vec<String> {
    let kept = report.conflicting.iter().filter(|one| one.why == "id_shared");
    kept.map(|one| one.kept_as.as_ref().map_or("", BeadId::as_str).to_owned()).collect()
}

async fn own(town: &Town, of: &str, title: &str) {
    town.operator().beads().create(NewBead { id: Some(id(of)), ..NewBead::titled(title) }).await.unwrap();
}

#[tokio::test]
async fn a_tombstone_takes_away_the_bead_that_it_is_of_and_no_other_of_its_id() {
    let dir = tempfile::tempdir().unwrap();
    let town = memory(&dir.path().join("town")).await;
    own(&town, "hq-1", "Mine").await;
    let report = take(&town, dir.path(), &dead("hq-1", "Theirs", 1)).await;
    assert_eq!(titles(&town).await, named(&[("hq-1", "Mine")]));
    assert_eq!((report.conflicts, kept_as(&report).len()), (1, 1), "it is told");
    let again = take(&town, dir.path(), &dead("hq-1", "Theirs", 1)).await;
    assert_eq!((again.unchanged, again.conflicts), (1, 0));
    let old = take(&town, dir.path(), &plain("hq-1", "Theirs", 1)).await;
    assert_eq!((old.created, old.skipped), (0, 1), "what was deleted there does not come in by an older file");

    // Where both are here, the one goes that it is of.
    let kept = kept_as(&take(&town, dir.path(), &plain("hq-1", "Another", 2)).await);
    assert_eq!(titles(&town).await, named(&[("hq-1", "Mine"), (&kept[0], "Another")]));
    let gone = take(&town, dir.path(), &dead("hq-1", "Another", 2)).await;
    assert_eq!((gone.tombstones, gone.conflicts), (1, 0));
    assert_eq!(titles(&town).await, named(&[("hq-1", "Mine")]));

    // One file may have a bead, and what is left of another.
    let both = plain("hq-2", "Oak", 1) + &dead("hq-2", "Elm", 2);
    for _ in 0..2 {
        take(&town, dir.path(), &both).await;
        assert_eq!(titles(&town).await, named(&[("hq-1", "Mine"), ("hq-2", "Oak")]));
    }
    // One that knows nothing of its bead is of the one with its id.
    let bare = json!({ "id": "hq-2", "title": "(deleted)", "status": "tombstone", "deleted_at": "2036-01-01T00:00:00Z",
        "created_at": "2036-01-01T00:00:00Z" });
    take(&town, dir.path(), &format!("{bare}\n")).await;
    assert_eq!(titles(&town).await, named(&[("hq-1", "Mine")]));
    ends(town).await;
}

#[tokio::test]
async fn towns_that_exchange_their_exports_come_to_rest() {
    let dir = tempfile::tempdir().unwrap();
    let mut towns = Vec::new();
    let beads = [plain("gt-1", "Oak", 1), plain("gt-1", "Elm", 2), plain("gt-1", "Ash", 3)];
    for order in [[0, 1, 2], [1, 2, 0], [2, 0, 1]] {
        let town = memory(&dir.path().join(format!("{order:?}"))).await;
        for nth in order {
            take(&town, dir.path(), &beads[nth]).await;
        }
        towns.push(town);
    }
    let before = [titles(&towns[0]).await, titles(&towns[1]).await, titles(&towns[2]).await];
    for round in 0..3 {
        for from in 0..3 {
            let path = dir.path().join("out.jsonl");
            let export = ExportBeads { replace: true, ..ExportBeads::from(path.as_path()) };
            towns[from].operator().beads().export_to(export).await.unwrap();
            for to in (0..3).filter(|to| *to != from) {
                let report = towns[to].operator().beads().import_from(path.as_path()).await.unwrap();
                assert_eq!((report.created, report.updated), (0, 0), "round {round}, {from} to {to}: {report:?}");
                assert_eq!((report.unchanged, report.conflicts), (3, 0), "round {round}, {from} to {to}");
            }
        }
    }
    for (town, before) in towns.into_iter().zip(before) {
        assert_eq!(titles(&town).await, before);
        ends(town).await;
    }
}

#[tokio::test]
async fn a_bead_is_known_in_a_town_that_has_it_as_the_first_of_its_id() {
    let dir = tempfile::tempdir().unwrap();
    let [one, two] = [memory(&dir.path().join("one")).await, memory(&dir.path().join("two")).await];
    let twin = kept_as(&take(&one, dir.path(), &(plain("gt-1", "Oak", 1) + &plain("gt-1", "Elm", 2))).await).remove(0);
    take(&two, dir.path(), &plain("gt-1", "Elm", 2)).await;
    // In whichever order it comes, and changed there.
    let news = json!({ "priority": 0, "updated_at": "2025-11-01T00:00:00Z" });
    let report = take(&two, dir.path(), &(line(&twin, "Elm", 2, &news) + &plain("gt-1", "Oak", 1))).await;
    assert_eq!((report.updated, report.created), (1, 1));
    assert_eq!(two.operator().beads().get(id("gt-1")).await.unwrap().priority, 0);
    assert_eq!(titles(&two).await.len(), 2);
    // What is deleted here stays so, whatever it is called there.
    two.operator().beads().delete(DeleteBead::from(&id("gt-1"))).await.unwrap();
    let report = take(&two, dir.path(), &line(&twin, "Elm", 2, &news)).await;
    assert_eq!((report.created, report.skipped), (0, 1));
    ends(one).await;
    ends(two).await;
}

#[tokio::test]
async fn the_id_of_a_twin_is_none_that_the_file_has() {
    let dir = tempfile::tempdir().unwrap();
    let town = memory(&dir.path().join("town")).await;
    let edge = json!({ "dependencies": [{ "issue_id": "gt-9", "depends_on_id": "gt-1-2", "type": "blocks",
        "created_at": "2025-10-01T00:00:00Z" }] });
    let file = plain("gt-1", "Oak", 1)
        + &plain("gt-1", "Elm", 2)
        + &line("gt-9", "Waits for ash", 3, &edge)
        + &plain("gt-1-2", "Ash", 4)
        + &plain("gt-1.1", "A part", 5);
    let report = take(&town, dir.path(), &file).await;
    assert_eq!((report.created, report.conflicts, report.dangling), (5, 1, 0));
    let found = titles(&town).await;
    for (of, title) in [("gt-1", "Oak"), ("gt-1-2", "Ash"), ("gt-1.1", "A part"), ("gt-9", "Waits for ash")] {
        assert!(found.contains(&(of.to_owned(), title.to_owned())), "{of}: {found:?}");
    }
    ends(town).await;
}

#[tokio::test]
async fn a_twin_that_was_deleted_or_renamed_here_does_not_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let town = memory(&dir.path().join("town")).await;
    let beads = town.operator().beads();
    let file = plain("hq-1", "Oak", 1) + &plain("hq-1", "Elm", 2) + &plain("hq-1", "Ash", 3);
    let kept = kept_as(&take(&town, dir.path(), &file).await);
    beads.delete(DeleteBead::from(&id(&kept[0]))).await.unwrap();
    beads.rename(RenameBead::new(id(&kept[1]), id("hq-ash"))).await.unwrap();
    for _ in 0..2 {
        let report = take(&town, dir.path(), &file).await;
        assert_eq!((report.created, report.skipped, report.unchanged), (0, 2, 1));
        assert_eq!(titles(&town).await, named(&[("hq-1", "Oak"), ("hq-ash", "Ash")]));
    }
    // Nor does it take the place of the first, where that is gone.
    beads.delete(DeleteBead::from(&id("hq-1"))).await.unwrap();
    let report = take(&town, dir.path(), &file).await;
    assert_eq!((report.created, report.skipped), (0, 3));
    // A bead that only shares the id of a deleted one is another, and comes in.
    let report = take(&town, dir.path(), &(file.clone() + &plain("hq-1", "Yew", 4))).await;
    assert_eq!((report.created, report.skipped, kept_as(&report).len()), (1, 3, 1));
    let again = take(&town, dir.path(), &plain("hq-1", "Yew", 4)).await;
    assert_eq!((again.created, again.unchanged, again.conflicts), (0, 1, 0));
    let path = dir.path().join("in.jsonl");
    std::fs::write(&path, &file).unwrap();
    let report = beads.import_from(ImportBeads { resurrect: true, ..path.as_path().into() }).await.unwrap();
    assert_eq!(report.created, 2, "unless that is asked for");
    assert_eq!(titles(&town).await.iter().filter(|(_, title)| title == "Ash").count(), 1, "it is here, renamed");
    ends(town).await;
}

#[tokio::test]
async fn many_beads_of_one_id_are_kept_and_known_also_where_the_id_is_as_long_as_can_be() {
    let dir = tempfile::tempdir().unwrap();
    for shared in ["gt-1.1".to_owned(), format!("gt-{}", "a".repeat(252))] {
        let town = memory(&dir.path().join(shared.len().to_string())).await;
        let file: String = (1..=30).map(|day| plain(&shared, &format!("plank {day}"), day)).collect();
        let report = take(&town, dir.path(), &file).await;
        assert_eq!((report.created, report.conflicts), (30, 29), "{shared}");
        let ids: BTreeSet<String> = titles(&town).await.into_iter().map(|(id, _)| id).collect();
        assert_eq!((ids.len(), kept_as(&report).iter().all(|id| ids.contains(id))), (30, true));
        let again = take(&town, dir.path(), &file).await;
        assert_eq!((again.unchanged, again.created, again.conflicts), (30, 0, 0));
        // One that was renamed elsewhere since is the same.
        let news = json!({ "updated_at": "2025-11-01T00:00:00Z" });
        let report = take(&town, dir.path(), &line(&shared, "a plank of oak", 7, &news)).await;
        assert_eq!((report.updated, report.created), (1, 0));
        ends(town).await;
    }
}

#[tokio::test]
async fn a_twin_that_was_changed_here_is_known_by_when_it_was_made() {
    let dir = tempfile::tempdir().unwrap();
    let town = memory(&dir.path().join("town")).await;
    own(&town, "hq-1", "Mine").await;
    let twin = kept_as(&take(&town, dir.path(), &plain("hq-1", "Theirs", 1)).await).remove(0);
    let title = Patch::Set("Theirs, and mended".to_owned());
    town.operator().beads().update(BeadPatch { title, ..BeadPatch::of(id(&twin)) }).await.unwrap();
    let news = json!({ "updated_at": "2035-11-01T00:00:00Z" });
    let report = take(&town, dir.path(), &line("hq-1", "Theirs anew", 1, &news)).await;
    assert_eq!((report.updated, report.created), (1, 0));
    assert_eq!(titles(&town).await, named(&[("hq-1", "Mine"), (&twin, "Theirs anew")]));
    ends(town).await;
}

/// What a bead depends on.
async fn targets(town: &Town, of: &str) -> Vec<String> {
    let edges = town.operator().beads().edges(&id(of)).await.unwrap();
    edges.depends_on.into_iter().map(|link| link.on_bead.to_string()).collect()
}

#[tokio::test]
async fn edges_of_a_file_lead_to_the_bead_that_they_lead_to_there() {
    let on = |of: &str, kind: &str| {
        let edge =
            json!({ "issue_id": of, "depends_on_id": "hq-1", "type": kind, "created_at": "2025-10-01T00:00:00Z" });
        json!({ "dependencies": [edge] })
    };
    let theirs = plain("hq-1", "Theirs", 2);
    let waits = line("hq-5", "Waits", 1, &on("hq-5", "blocks"));
    let part = line("hq-1.1", "Part", 3, &on("hq-1.1", "parent-child"));
    let news = json!({ "priority": 0, "updated_at": "2035-01-01T00:00:00Z" });
    for (nth, file) in [theirs.clone() + &waits + &part, part.clone() + &waits + &theirs].into_iter().enumerate() {
        let dir = tempfile::tempdir().unwrap();
        let town = memory(&dir.path().join("town")).await;
        own(&town, "hq-1", "Mine").await;
        let twin = kept_as(&take(&town, dir.path(), &file).await).remove(0);
        for round in 0..2 {
            for of in ["hq-5", "hq-1.1"] {
                assert_eq!(targets(&town, of).await, [twin.as_str()], "{nth}, {round}");
            }
            let again = take(&town, dir.path(), &file).await;
            assert_eq!((again.unchanged, again.updated, again.conflicts), (3, 0, 0), "{again:?}");
        }
        // Where an archive has the one of that id, and where it is here no more.
        town.operator().beads().delete(&id("hq-1")).await.unwrap();
        let new = line("hq-6", "New", 4, &on("hq-6", "blocks"));
        take(&town, dir.path(), &(new + &line("hq-1", "Theirs", 2, &news))).await;
        assert_eq!(targets(&town, "hq-6").await, [twin.as_str()]);
        assert_eq!(town.operator().beads().get(id(&twin)).await.unwrap().priority, 0);
        ends(town).await;
    }
}

#[tokio::test]
async fn a_bead_that_was_renamed_elsewhere_is_known_by_both_ids() {
    let dir = tempfile::tempdir().unwrap();
    let [one, two] = [memory(&dir.path().join("one")).await, memory(&dir.path().join("two")).await];
    for town in [&one, &two] {
        take(town, dir.path(), &plain("hq-2", "Oak", 1)).await;
    }
    one.operator().beads().rename(RenameBead::new(id("hq-2"), id("hq-oak"))).await.unwrap();
    let path = dir.path().join("out.jsonl");
    let exchange = async |from: &Town, to: &Town| {
        let export = ExportBeads { replace: true, tombstones: true, ..ExportBeads::from(path.as_path()) };
        from.operator().beads().export_to(export).await.unwrap();
        to.operator().beads().import_from(path.as_path()).await.unwrap()
    };
    let report = exchange(&one, &two).await;
    assert_eq!((report.created, report.updated, report.tombstones), (0, 1, 1), "{report:?}");
    assert_eq!(titles(&two).await, named(&[("hq-2", "Oak")]));
    // By either id, and also by a file that does not say which it had.
    let news = json!({ "priority": 0, "updated_at": "2035-01-01T00:00:00Z" });
    let report = take(&two, dir.path(), &line("hq-oak", "Oak", 1, &news)).await;
    assert_eq!((report.updated, report.created), (1, 0), "{report:?}");
    let report = exchange(&two, &one).await;
    assert_eq!((report.updated, report.created), (1, 0), "{report:?}");
    assert_eq!(one.operator().beads().get(id("hq-oak")).await.unwrap().priority, 0);
    for _ in 0..2 {
        for (from, to) in [(&one, &two), (&two, &one)] {
            let report = exchange(from, to).await;
            assert_eq!((report.created, report.updated, report.tombstones), (0, 0, 0), "{report:?}");
        }
    }
    ends(one).await;
    ends(two).await;
}
