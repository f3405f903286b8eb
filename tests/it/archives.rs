//! What is put away: beads that are over, the beginning of the journal; and what of it is listed, played and brought back.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use gastown_core::model::{BeadId, Timestamp};
use gastown_core::{
    AddComment, All, Archive, ArchivedFilter, BeadFilter, Clock as _, CloseBead, Configure, ErrorKind, EventsSince,
    Link, ManualClock, NewBead, NewSettings, SlingConvoy, Task, Town,
};
use serde_json::json;

use crate::support::{open, origin, settled, sh, staff};
use crate::upkeep::{assert_sound, clock, clock_end, furnish, plain, rows_of};

const DAY: Duration = Duration::from_secs(24 * 3600);

#[tokio::test(flavor = "multi_thread")]
async fn what_is_over_is_put_away_and_what_has_to_do_with_open_work_stays() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let town = plain(&dir.path().join("town"), &clock).await;
    let (beads, upkeep) = (town.operator().beads(), town.operator().upkeep());
    let make = async |title: &str| beads.create(NewBead::titled(title)).await.unwrap().id;
    let labels = vec!["wood".to_owned()];
    let alone = beads
        .create(NewBead { labels, description: "of oak".to_owned(), ..NewBead::titled("alone") })
        .await
        .unwrap()
        .id;
    let (epic, part, before, after, late, open) = (
        make("epic").await,
        make("part").await,
        make("before").await,
        make("after").await,
        make("late").await,
        make("open").await,
    );
    beads.link(Link::blocks(epic.clone(), part.clone())).await.unwrap();
    beads.link(Link::blocks(before.clone(), after.clone())).await.unwrap();
    for id in [&alone, &epic, &part, &before] {
        beads.close(CloseBead { force: true, ..CloseBead::from(id) }).await.unwrap();
    }
    clock.advance(DAY);
    let cut = Timestamp::from_micros(clock_now(&clock));
    beads.close(CloseBead::from(&late)).await.unwrap();

    let archived = upkeep.archive(Archive { closed_before: Some(cut), events_before: None }).await.unwrap();
    assert_eq!((archived.beads, archived.events, archived.files.len()), (3, 0, 1));
    for gone in [&alone, &epic, &part] {
        assert_eq!(beads.get(gone).await.unwrap_err().code(), "bead_missing");
    }
    for kept in [&before, &after, &late, &open] {
        beads.get(kept).await.unwrap();
    }
    let text = fs::read_to_string(&archived.files[0]).unwrap();
    for word in [alone.as_str(), epic.as_str(), "\"wood\"", "\"dependency\"", "\"bead_text\""] {
        assert!(text.contains(word), "{word}");
    }
    assert!(!text.contains(before.as_str()));
    assert_sound(&town).await;

    // Nothing is left to put away, and no file says so.
    let again = upkeep.archive(Archive { closed_before: Some(cut), events_before: None }).await.unwrap();
    assert_eq!((again.beads, again.files.len()), (0, 0));
    // The open neighbour closes, and both may go.
    beads.close(&after).await.unwrap();
    clock.advance(DAY);
    let now = Timestamp::from_micros(clock_now(&clock));
    let rest = upkeep.archive(Archive { closed_before: Some(now), events_before: None }).await.unwrap();
    assert_eq!(rest.beads, 3, "before, after, late");
    let left = beads.list(BeadFilter::default()).await.unwrap().beads;
    assert_eq!(left.iter().map(|bead| &bead.id).collect::<Vec<_>>(), [&open]);
    assert_eq!(upkeep.archive(Archive::default()).await.unwrap_err().code(), "archive_unbounded");
    assert_sound(&town).await;
    town.close().await.unwrap();
}

fn clock_now(clock: &ManualClock) -> i64 {
    gastown_core::Clock::now(clock).as_micros()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_beginning_of_the_journal_goes_into_files_and_is_still_played() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let place = dir.path().join("town");
    let town = plain(&place, &clock).await;
    let upkeep = town.operator().upkeep();
    let events = town.operator().events();
    for round in 0_u64..3 {
        furnish_titled(&town, round).await;
        clock.advance(DAY);
        let before = Timestamp::from_micros(clock_now(&clock));
        let head = town.health().await.unwrap().head;
        let archived = upkeep.archive(Archive { closed_before: None, events_before: Some(before) }).await.unwrap();
        assert!(archived.events > 0, "{archived:?}");
        let health = town.health().await.unwrap();
        assert_eq!((health.first, health.head), (head, head + 1), "the last one stays, and the archiving follows it");
        assert_sound(&town).await;
    }
    let (first, head) = {
        let health = town.health().await.unwrap();
        (health.first, health.head)
    };
    let error = events.since(EventsSince { since: 0, limit: None }).await.unwrap_err();
    let first_fact = first.to_string();
    assert_eq!((error.code(), error.fact("first")), ("events_archived", Some(first_fact.as_str())));
    assert_eq!(events.since(EventsSince { since: first - 1, limit: None }).await.unwrap().events[0].seq, first);
    assert_eq!(town.replay().await.unwrap().events, head);

    let folder = place.join("archive");
    let mut names: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.retain(|path| path.extension() == Some("jsonl".as_ref()));
    names.sort();
    assert_eq!(names.len(), 3);

    // The archive goes with the town into its backup, and the town can do without the tables' beginning.
    let backup = town.backup(dir.path().join("backup")).await.unwrap();
    let again = Town::builder(dir.path().join("again")).restore(&backup.path).await.unwrap();
    assert_sound(&again).await;
    assert_eq!(again.replay().await.unwrap().events, head + 1);
    again.close().await.unwrap();
    let exported = dir.path().join("town.jsonl");
    upkeep.export(exported.clone()).await.unwrap();
    let bare = Town::builder(dir.path().join("bare")).restore(&exported).await.unwrap();
    assert_sound(&bare).await;
    assert_eq!(bare.health().await.unwrap().first, 1, "an export has the archived entries as well");
    bare.close().await.unwrap();

    // A file that is lost or changed is found.
    let lost = fs::read(&names[1]).unwrap();
    fs::write(&names[1], &lost[..lost.len() / 2]).unwrap();
    let findings = upkeep.check(All {}).await.unwrap().findings;
    assert!(findings.len() == 1 && findings[0].subject == "journal", "{findings:?}");
    fs::remove_file(&names[1]).unwrap();
    assert_eq!(town.replay().await.unwrap_err().code(), "archive_missing");
    let backup = town.backup(dir.path().join("less")).await.unwrap();
    assert!(!backup.is_complete, "{backup:?}");
    town.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_is_lost_or_changed_is_told_by_a_check_and_by_a_backup() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let place = dir.path().join("town");
    let town = plain(&place, &clock).await;
    furnish(&town).await;
    clock.advance(DAY);
    let before = Some(Timestamp::from_micros(clock_now(&clock)));
    let upkeep = town.operator().upkeep();
    let archived = upkeep.archive(Archive { closed_before: before, events_before: before }).await.unwrap();
    assert_eq!((archived.beads, archived.files.len()), (1, 2));
    assert_sound(&town).await;
    let backup = town.backup(dir.path().join("whole")).await.unwrap();
    assert_eq!((backup.is_complete, backup.findings), (true, vec![]));

    for (turn, file) in archived.files.iter().enumerate() {
        let whole = fs::read(file).unwrap();
        let mut changed = whole.clone();
        let place = whole.len() / 2;
        changed[place] ^= 1;
        fs::write(file, &changed).unwrap();
        let name = format!("archive/{}", file.file_name().unwrap().to_str().unwrap());
        let backup = town.backup(dir.path().join(format!("changed-{turn}"))).await.unwrap();
        let told: Vec<_> = backup.findings.iter().map(|finding| finding.subject.as_str()).collect();
        assert_eq!((backup.is_complete, told), (false, vec![name.as_str()]));
        let subject = if name.contains("events-") { "journal" } else { &*name };
        let findings = upkeep.check(All {}).await.unwrap().findings;
        assert!(findings.iter().any(|finding| finding.subject == subject), "{name}: {findings:?}");

        fs::remove_file(file).unwrap();
        let findings = upkeep.check(All {}).await.unwrap().findings;
        let [finding] = &*findings else { panic!("{name}: {findings:?}") };
        assert_eq!(finding.subject, subject);
        if subject == name {
            assert!(finding.problem.contains("not here") && finding.problem.contains('1'), "{finding:?}");
        }
        fs::write(file, &whole).unwrap();
    }
    assert_sound(&town).await;
    town.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_waits_for_a_pipe_in_the_place_of_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let town = plain(&dir.path().join("town"), &clock).await;
    furnish(&town).await;
    clock.advance(DAY);
    let before = Some(Timestamp::from_micros(clock_now(&clock)));
    let upkeep = town.operator().upkeep();
    let archived = upkeep.archive(Archive { closed_before: before, events_before: before }).await.unwrap();
    for file in &archived.files {
        let kept = fs::read(file).unwrap();
        fs::remove_file(file).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(file).status().unwrap().success());
        let findings = upkeep.check(All {}).await.unwrap().findings;
        assert!(findings.iter().any(|finding| finding.problem.contains("no regular file")), "{findings:?}");
        if file.file_name().unwrap().to_str().unwrap().starts_with("beads-") {
            assert_eq!(upkeep.archived(ArchivedFilter::default()).await.unwrap_err().code(), "not_a_file");
        }
        town.backup(dir.path().join("backup")).await.unwrap_err();
        let restored = Town::builder(dir.path().join("again")).restore(file).await;
        assert_eq!(restored.unwrap_err().code(), "not_a_file");
        fs::remove_file(file).unwrap();
        fs::write(file, kept).unwrap();
    }
    assert_sound(&town).await;
    town.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_a_killed_archiving_left_is_in_nobodys_way() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let place = dir.path().join("town");
    let town = plain(&place, &clock).await;
    let mut marks = Vec::new();
    for round in 0..3 {
        furnish_titled(&town, round).await;
        clock.advance(DAY);
        marks.push(Timestamp::from_micros(clock_now(&clock)));
    }
    // A killed archiving to the second mark: its file is there, and what it would have removed is, too.
    let backup = town.backup(dir.path().join("backup")).await.unwrap();
    let other =
        Town::builder(dir.path().join("other")).clock(Arc::new(clock.clone())).restore(&backup.path).await.unwrap();
    let until = |mark: Timestamp| Archive { closed_before: None, events_before: Some(mark) };
    let left = other.operator().upkeep().archive(until(marks[1])).await.unwrap().files.remove(0);
    other.close().await.unwrap();
    fs::create_dir(place.join("archive")).unwrap();
    fs::copy(&left, place.join("archive").join(left.file_name().unwrap())).unwrap();
    // Then one to an earlier mark, and one to a later.
    for mark in [marks[0], marks[2]] {
        town.operator().upkeep().archive(until(mark)).await.unwrap();
        assert_sound(&town).await;
    }
    // Notices of archivings are not archived for their own sake.
    clock.advance(DAY);
    let later = until(Timestamp::from_micros(clock_now(&clock)));
    town.operator().upkeep().archive(later).await.unwrap();
    clock.advance(DAY);
    let later = until(Timestamp::from_micros(clock_now(&clock)));
    assert_eq!(town.operator().upkeep().archive(later).await.unwrap().files.len(), 0);
    town.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn archivings_at_once_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let place = dir.path().join("town");
    let town = plain(&place, &clock).await;
    let second = plain(&place, &clock).await;
    let mut all = Vec::new();
    for round in 0..2 {
        for n in 0..40 {
            let bead = town.operator().beads().create(NewBead::titled(format!("{round}.{n}"))).await.unwrap();
            town.operator().beads().close(&bead.id).await.unwrap();
            all.push(bead.id);
        }
        clock.advance(DAY);
    }
    let (now, mid) = (clock_now(&clock), clock_now(&clock) - 24 * 3_600 * 1_000_000);
    let to = |at| Archive { closed_before: Some(Timestamp::from_micros(at)), events_before: None };
    let (one, other) = (town.operator().upkeep(), second.operator().upkeep());
    let (one, other) = tokio::join!(one.archive(to(now)), other.archive(to(mid)));
    for refused in [&one, &other].into_iter().filter_map(|archived| archived.as_ref().err()) {
        assert_eq!(refused.code(), "archive_busy", "{refused}");
    }
    assert!(one.is_ok() || other.is_ok());
    let live =
        town.operator().beads().list(BeadFilter { limit: Some(200), ..BeadFilter::default() }).await.unwrap().beads;
    let files = [one, other].into_iter().flatten().flat_map(|archived| archived.files);
    let text: String = files.map(|file| fs::read_to_string(file).unwrap()).collect();
    for id in &all {
        let is_live = live.iter().any(|bead| bead.id == *id);
        assert!(is_live || text.contains(&format!("\"id\":\"{id}\",\"issue_type\"")), "{id} is nowhere");
    }
    assert_sound(&town).await;
    second.close().await.unwrap();
    town.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parent_stays_as_long_as_a_part_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let town = plain(&dir.path().join("town"), &clock).await;
    let beads = town.operator().beads();
    let epic = beads.create(NewBead::titled("epic")).await.unwrap().id;
    let part = beads.create(NewBead { parent: Some(epic.clone()), ..NewBead::titled("part") }).await.unwrap().id;
    let open = beads.create(NewBead::titled("open")).await.unwrap().id;
    beads.link(Link::blocks(part.clone(), open.clone())).await.unwrap();
    for id in [&part, &epic] {
        beads.close(CloseBead { force: true, ..CloseBead::from(id) }).await.unwrap();
    }
    clock.advance(DAY);
    let all = Archive { closed_before: Some(Timestamp::from_micros(clock_now(&clock))), events_before: None };
    assert_eq!(town.operator().upkeep().archive(all).await.unwrap().beads, 0, "the part has an open dependent");
    beads.close(&open).await.unwrap();
    clock.advance(DAY);
    let all = Archive { closed_before: Some(Timestamp::from_micros(clock_now(&clock))), events_before: None };
    assert_eq!(town.operator().upkeep().archive(all).await.unwrap().beads, 3, "the part first, and then the epic");
    assert_sound(&town).await;
    // An archive of beads that was changed is found.
    let file = fs::read_dir(dir.path().join("town/archive")).unwrap().map(|entry| entry.unwrap().path());
    let file = file.filter(|path| path.extension() == Some("jsonl".as_ref())).max().unwrap();
    let whole = fs::read(&file).unwrap();
    fs::write(&file, &whole[..whole.len() - 9]).unwrap();
    let findings = town.operator().upkeep().check(All {}).await.unwrap().findings;
    assert!(findings.len() == 1 && findings[0].subject.starts_with("archive/beads-"), "{findings:?}");
    town.close().await.unwrap();
}

async fn furnish_titled(town: &Town, round: u64) {
    let beads = town.operator().beads();
    for n in 0..4 {
        let bead = beads.create(NewBead::titled(format!("Plank {round}.{n}"))).await.unwrap();
        if n % 2 == 0 {
            beads.close(&bead.id).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_landed_convoy_is_put_away_with_its_sessions_and_merge_requests() {
    let dir = tempfile::tempdir().unwrap();
    let origin = origin(dir.path());
    let town = open(dir.path()).await;
    let worker = "echo x > \"$GASTOWN_BEAD.txt\"; git add -A; git commit -q -m done";
    let rig = staff(&town, &origin, 2, NewSettings::from([("agent.command".into(), sh(worker))])).await;
    town.start().await.unwrap();
    let tasks = vec![Task::new("lay the keel", []), Task::new("raise the mast", [0])];
    let convoy = town.operator().convoys().sling(SlingConvoy::new("a ship", rig, tasks)).await.unwrap();
    assert_eq!(settled(&town, &convoy).await.state.as_str(), "landed");
    town.stop().await.unwrap();
    let archived = town
        .operator()
        .upkeep()
        .archive(Archive { closed_before: Some(clock_end()), events_before: Some(clock_end()) })
        .await
        .unwrap();
    assert_eq!(archived.beads, 3, "two issues and the convoy");
    assert!(archived.effects > 0 && archived.events > 0, "{archived:?}");
    assert_eq!(archived.files.len(), 3, "the issues, then the convoy they were members of, and the journal");
    assert_sound(&town).await;
    town.operator().upkeep().export(dir.path().join("after.jsonl")).await.unwrap();
    let tables: std::collections::BTreeSet<String> = rows_of(&dir.path().join("after.jsonl"))
        .iter()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["row"]["table"].as_str().unwrap().to_owned()
        })
        .collect();
    for gone in ["session", "bead_detail_merge_request", "bead_detail_convoy", "dependency"] {
        assert!(!tables.contains(gone), "{gone} is still there");
    }
    let vacuumed = town.operator().upkeep().vacuum(All {}).await.unwrap();
    assert!(vacuumed.bytes_after <= vacuumed.bytes_before && vacuumed.bytes_after.is_some(), "{vacuumed:?}");
    // And the town works on.
    town.start().await.unwrap();
    let tasks = vec![Task::new("sew the sails", [])];
    let rig = "harbour".parse().unwrap();
    let convoy = town.operator().convoys().sling(SlingConvoy::new("another", rig, tasks)).await.unwrap();
    assert_eq!(settled(&town, &convoy).await.state.as_str(), "landed");
    assert_sound(&town).await;
    town.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_engine_archives_by_the_settings() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let town = plain(&dir.path().join("town"), &clock).await;
    let beads = town.operator().beads();
    let old = beads.create(NewBead::titled("old")).await.unwrap().id;
    beads.close(&old).await.unwrap();
    clock.advance(DAY);
    let new = beads.create(NewBead::titled("new")).await.unwrap().id;
    beads.close(&new).await.unwrap();
    let day_ms = 24 * 3_600 * 1_000;
    let settings = [("beads.keep_ms".to_owned(), json!(day_ms - 1)), ("events.keep_ms".to_owned(), json!(day_ms - 1))];
    let configure = Configure { rig: None, settings: NewSettings::from(settings) };
    town.operator().rigs().configure(configure).await.unwrap();
    let head = town.health().await.unwrap().head;
    town.start().await.unwrap();
    let mut watch = town.operator().events().watch(head).unwrap();
    while watch.next().await.unwrap().kind != "journal.archived" {}
    assert_eq!(beads.get(&old).await.unwrap_err().code(), "bead_missing");
    beads.get(&new).await.unwrap();
    assert_eq!(town.health().await.unwrap().first, 4, "the town's founding, and the making and closing of the old one");
    assert_sound(&town).await;
    town.close().await.unwrap();
}

/// Changes a stored bead behind the town's back.
#[tokio::test(flavor = "multi_thread")]
async fn a_journal_with_a_gap_is_neither_exported_nor_archived_and_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("town");
    let town = plain(&place, &clock()).await;
    furnish(&town).await;
    let db = rusqlite::Connection::open(place.join("town.db")).unwrap();
    assert_eq!(db.execute("DELETE FROM event WHERE seq = 3", []).unwrap(), 1);
    let events = || db.query_row("SELECT count(*) FROM event", [], |row| row.get::<_, i64>(0)).unwrap();
    let before = events();
    let upkeep = town.operator().upkeep();
    let file = dir.path().join("town.jsonl");
    let error = upkeep.export(file.clone()).await.unwrap_err();
    assert_eq!((error.kind(), error.code(), error.fact("seq")), (ErrorKind::Corrupt, "journal_broken", Some("4")));
    assert!(!file.exists(), "it could not be restored");
    let everything = Archive { events_before: Some(clock_end()), ..Archive::default() };
    assert_eq!(upkeep.archive(everything).await.unwrap_err().code(), "journal_broken");
    assert_eq!(events(), before);
    let mut files =
        fs::read_dir(place.join("archive")).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    assert!(files.all(|name| !name.contains("events-")), "nothing is half done");
    // The file itself can be copied as it is.
    assert!(town.backup(dir.path().join("backup")).await.unwrap().is_complete);
    town.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_put_away_is_listed_and_comes_back_with_its_edges() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let town = plain(&dir.path().join("town"), &clock).await;
    let (beads, upkeep) = (town.operator().beads(), town.operator().upkeep());
    let ship = beads.create(NewBead::titled("ship")).await.unwrap().id;
    let part = NewBead { parent: Some(ship.clone()), labels: vec!["hull".into()], ..NewBead::titled("keel") };
    let keel = beads.create(part).await.unwrap().id;
    beads.comment(AddComment::new(keel.clone(), "oak")).await.unwrap();
    let mast = beads.create(NewBead::titled("mast")).await.unwrap().id;
    beads.link(Link::blocks(mast.clone(), keel.clone())).await.unwrap();
    let before = beads.get(&keel).await.unwrap();
    for id in [&keel, &mast, &ship] {
        beads.close(id).await.unwrap();
    }
    clock.advance(DAY);
    let over = Archive { closed_before: Some(clock.now()), ..Archive::default() };
    assert_eq!(upkeep.archive(over).await.unwrap().beads, 3);

    let (mut listed, mut cursor) = (Vec::new(), None);
    loop {
        let page = upkeep.archived(ArchivedFilter { limit: Some(2), cursor }).await.unwrap();
        listed.extend(page.beads.into_iter().map(|bead| bead.title));
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    listed.sort();
    assert_eq!(listed, ["keel", "mast", "ship"]);
    assert_eq!(
        upkeep
            .archived(ArchivedFilter { cursor: Some("here".into()), ..ArchivedFilter::default() })
            .await
            .unwrap_err()
            .code(),
        "cursor_malformed"
    );

    // Alone it has no edges; they come with their other ends.
    let back = upkeep.recall(&keel).await.unwrap();
    assert_eq!(
        (&*back.title, &back.labels, back.comments, back.closed_at.is_some()),
        ("keel", &before.labels, 1, true)
    );
    assert_eq!(beads.edges(&keel).await.unwrap().depends_on, []);
    assert_eq!(upkeep.recall(&keel).await.unwrap_err().code(), "bead_exists");
    upkeep.recall(&ship).await.unwrap();
    upkeep.recall(&mast).await.unwrap();
    assert_eq!(beads.edges(&mast).await.unwrap().depends_on.len(), 1);
    let ship = beads.get(&ship).await.unwrap();
    assert_eq!((ship.parts, ship.open_parts), (1, 0));
    assert_eq!(upkeep.archived(ArchivedFilter::default()).await.unwrap().beads, []);
    assert_eq!(upkeep.check(All {}).await.unwrap().findings, []);
    assert_eq!(town.replay().await.unwrap().differences, Vec::<String>::new());
    // What was taken away while both were there does not come back from an older archive.
    beads.unlink(Link::blocks(mast.clone(), keel.clone())).await.unwrap();
    beads.reopen(&keel).await.unwrap();
    clock.advance(DAY);
    let over = Archive { closed_before: Some(clock.now()), ..Archive::default() };
    assert_eq!(upkeep.archive(over).await.unwrap().beads, 1, "the mast; the ship has an open part");
    upkeep.recall(&mast).await.unwrap();
    assert_eq!(beads.edges(&mast).await.unwrap().depends_on, []);
    beads.close(&keel).await.unwrap();
    beads.link(Link::blocks(mast.clone(), keel.clone())).await.unwrap();
    // It is a bead like any other again: it can be opened, changed, and put away anew.
    beads.reopen(&keel).await.unwrap();
    assert_eq!(beads.get(&mast).await.unwrap().blockers, 0, "who is done waits for nothing");
    assert_eq!(upkeep.check(All {}).await.unwrap().findings, []);
    assert_eq!(upkeep.recall(&BeadId::new("gt-never").unwrap()).await.unwrap_err().code(), "bead_not_archived");
    town.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_put_away_is_not_made_anew_by_a_file_that_still_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let town = plain(&dir.path().join("town"), &clock).await;
    let (beads, upkeep) = (town.operator().beads(), town.operator().upkeep());
    let keel = beads.create(NewBead::titled("keel")).await.unwrap().id;
    beads.close(&keel).await.unwrap();
    let file = dir.path().join("beads.jsonl");
    beads.export_to(file.as_path()).await.unwrap();
    let text = fs::read_to_string(&file).unwrap();
    clock.advance(DAY);
    let over = Archive { closed_before: Some(clock.now()), ..Archive::default() };
    assert_eq!(upkeep.archive(over).await.unwrap().beads, 1);
    let all = gastown_core::ExportBeads { memories: true, replace: true, ..file.as_path().into() };
    assert_eq!(beads.export_to(all).await.unwrap().foreign, 0, "what is noted of it goes nowhere");
    fs::write(&file, &text).unwrap();

    let report = beads.import_from(file.as_path()).await.unwrap();
    assert_eq!((report.created, report.skipped), (0, 1));
    let folder = dir.path().join(".beads");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("issues.jsonl"), &text).unwrap();
    for _ in 0..2 {
        let report = beads.sync(folder.as_path()).await.unwrap();
        assert_eq!((report.created, report.unchanged, report.lines_removed), (0, 1, 0));
    }
    assert_eq!(fs::read_to_string(folder.join("issues.jsonl")).unwrap(), text);
    assert_eq!(beads.get(&keel).await.unwrap_err().code(), "bead_missing");
    assert_eq!(upkeep.recall(&keel).await.unwrap().title, "keel");
    assert_eq!(beads.import_from(file.as_path()).await.unwrap().unchanged, 1);

    // What is newer than what was put away is news of it, and so is what is asked for.
    clock.advance(DAY);
    for (is_newer, resurrect) in [(true, false), (false, true)] {
        let over = Archive { closed_before: Some(clock.now()), ..Archive::default() };
        assert_eq!(upkeep.archive(over).await.unwrap().beads, 1);
        let mut line: serde_json::Value = serde_json::from_str(&text).unwrap();
        if is_newer {
            line["updated_at"] = json!(clock.now().to_string());
            clock.advance(DAY);
        }
        fs::write(&file, format!("{line}\n")).unwrap();
        let import = gastown_core::ImportBeads { resurrect, ..file.as_path().into() };
        assert_eq!(beads.import_from(import).await.unwrap().created, 1, "{is_newer} {resurrect}");
    }
    assert_eq!(upkeep.check(All {}).await.unwrap().findings, []);
    town.close().await.unwrap();
}
