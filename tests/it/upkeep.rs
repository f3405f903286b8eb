//! Copies of a town, looks over it, and what is put away.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use gastown_core::model::value::Value;
use gastown_core::model::{BeadId, RowKind, Stored as _, Timestamp, TownId};
use gastown_core::store::{Access, Backend, MemoryBackend, SqliteBackend, SqliteOptions};
use gastown_core::{
    All, Archive, BeadFilter, CloseBead, Configure, ErrorKind, EventsSince, Link, ManualClock, NewBead, NewSettings,
    OutputQuery, ReadyFilter, SessionFilter, SlingConvoy, Task, Town,
};
use serde_json::json;

use crate::support::{open, origin, settled, sh, staff};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn clock() -> ManualClock {
    ManualClock::at(Timestamp::from_micros(1_763_670_000_000_000))
}

async fn plain(dir: &Path, clock: &ManualClock) -> Town {
    Town::builder(dir).clock(Arc::new(clock.clone())).seed(7).open().await.unwrap()
}

async fn in_memory(dir: &Path, backend: &MemoryBackend) -> Town {
    Town::builder(dir).backend(Arc::new(backend.clone())).open().await.unwrap()
}

/// A bead of every sort: with texts, labels, edges, closed, claimed.
async fn furnish(town: &Town) -> Vec<BeadId> {
    let beads = town.operator().beads();
    let keel = beads
        .create(NewBead {
            description: "oak, \u{0} and a café".to_owned(),
            labels: vec!["wood".to_owned()],
            metadata: json!({ "length": 12.5 }),
            ..NewBead::titled("Lay the keel")
        })
        .await
        .unwrap();
    let mast = beads.create(NewBead::titled("Raise the mast")).await.unwrap();
    beads.link(Link::blocks(keel.id.clone(), mast.id.clone())).await.unwrap();
    let sails = town.operator().with_key("sails").beads().create(NewBead::titled("Sew the sails")).await.unwrap();
    beads.close(&sails.id).await.unwrap();
    vec![keel.id, mast.id, sails.id]
}

async fn assert_sound(town: &Town) {
    let checked = town.operator().upkeep().check(All {}).await.unwrap();
    assert_eq!(checked.findings, []);
    assert!(checked.rows > 0 && checked.events > 0);
}

/// The lines of an export without the first, which names the journal's end, and the last, which sums all up.
fn rows_of(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().filter(|line| line.starts_with("{\"row\"")).map(str::to_owned).collect()
}

/// Names in a folder that a finished or failed operation must not leave.
fn drafts(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.contains(".draft")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_made_while_the_town_works_and_opens_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let town = plain(&dir.path().join("town"), &clock).await;
    let known = furnish(&town).await;
    let beads = town.operator().beads();
    let busy = tokio::spawn(async move {
        let mut made = Vec::new();
        for n in 0..200 {
            made.push(beads.create(NewBead::titled(format!("Plank {n}"))).await.unwrap().id);
        }
        made
    });
    let backup = town.backup(dir.path().join("monday")).await.unwrap();
    let during = busy.await.unwrap();
    assert!(backup.files >= 2 && backup.bytes > 0, "{backup:?}");

    let again = Town::builder(dir.path().join("again")).clock(Arc::new(clock)).restore(&backup.path).await.unwrap();
    assert_sound(&again).await;
    for id in &known {
        assert_eq!(again.operator().beads().get(id).await.unwrap(), town.operator().beads().get(id).await.unwrap());
    }
    let head = again.health().await.unwrap().head;
    assert_eq!(head, backup.head + 1, "only the restoring was journaled");
    let before = town.operator().events().since(EventsSince { since: 0, limit: Some(1_000) }).await.unwrap().events;
    let after = again.operator().events().since(EventsSince { since: 0, limit: Some(1_000) }).await.unwrap().events;
    assert_eq!(after[..after.len() - 1], before[..after.len() - 1], "the journal is the same up to there");
    assert_eq!(after.last().unwrap().kind, "town.restored");
    for (n, id) in during.iter().enumerate() {
        let there = again.operator().beads().get(id).await.is_ok();
        let created = before.iter().find(|event| event.subject == id.as_str()).unwrap().seq;
        assert_eq!(there, created <= backup.head, "plank {n}");
    }
    // A key that was used before is still known.
    let sails = again.operator().with_key("sails").beads().create(NewBead::titled("Sew the sails")).await.unwrap();
    assert_eq!(sails.id, known[2]);
    assert_eq!(drafts(dir.path()), Vec::<String>::new());
    again.close().await.unwrap();
    town.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_moves_a_town_between_backends_and_back() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let town = plain(&at("first"), &clock()).await;
    let known = furnish(&town).await;
    let exported = town.operator().upkeep().export(at("first.jsonl")).await.unwrap();
    assert_eq!((exported.unreadable, exported.bytes), (0, fs::metadata(at("first.jsonl")).unwrap().len()));

    let memory = MemoryBackend::new();
    let second =
        Town::builder(at("second")).backend(Arc::new(memory.clone())).restore(at("first.jsonl")).await.unwrap();
    assert_sound(&second).await;
    // A backup of a backend without files is one of lines, and goes anywhere as well.
    let backup = second.backup(at("backup")).await.unwrap();
    assert!(backup.path.join("town.jsonl").exists());
    let third = Town::builder(at("third")).restore(&backup.path).await.unwrap();
    assert_sound(&third).await;
    // And one of a file goes into a backend without.
    let backup = third.backup(at("another")).await.unwrap();
    assert!(backup.path.join("town.db").exists());
    let fourth =
        Town::builder(at("fourth")).backend(Arc::new(MemoryBackend::new())).restore(&backup.path).await.unwrap();
    assert_sound(&fourth).await;
    assert_eq!(drafts(&at("fourth")), Vec::<String>::new());

    fourth.operator().upkeep().export(at("fourth.jsonl")).await.unwrap();
    assert_eq!(rows_of(&at("fourth.jsonl")), rows_of(&at("first.jsonl")));
    for id in &known {
        assert_eq!(fourth.operator().beads().get(id).await.unwrap(), town.operator().beads().get(id).await.unwrap());
    }
    for town in [town, second, third, fourth] {
        town.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_backup_is_refused_and_leaves_no_town() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let town = plain(&at("town"), &clock()).await;
    furnish(&town).await;
    town.operator().upkeep().archive(Archive { events_before: Some(clock_end()), ..Archive::default() }).await.unwrap();
    let backup = town.backup(at("backup")).await.unwrap();
    town.operator().upkeep().export(at("town.jsonl")).await.unwrap();
    town.close().await.unwrap();

    let refused = async |from: &Path| {
        let error = Town::builder(at("new")).restore(from).await.unwrap_err();
        assert!(!at("new").join("town.db").exists(), "{error}");
        error
    };
    let archive = fs::read_dir(backup.path.join("archive")).unwrap().next().unwrap().unwrap().path();
    for file in [backup.path.join("town.db"), archive, backup.path.join("backup.json")] {
        let whole = fs::read(&file).unwrap();
        let mut damaged = whole.clone();
        let middle = damaged.len() / 2;
        damaged[middle] ^= 4;
        for spoilt in [&damaged[..], &whole[..middle], b""] {
            fs::write(&file, spoilt).unwrap();
            let error = refused(&backup.path).await;
            assert_eq!((error.code(), error.fact("path").is_some()), ("backup_damaged", true), "{error}");
        }
        fs::remove_file(&file).unwrap();
        let code = if file.ends_with("backup.json") { "backup_missing" } else { "backup_damaged" };
        assert_eq!(refused(&backup.path).await.code(), code);
        fs::write(&file, whole).unwrap();
    }
    let manifest = fs::read_to_string(backup.path.join("backup.json")).unwrap();
    fs::write(backup.path.join("backup.json"), manifest.replace("\"format\": 1", "\"format\": 2")).unwrap();
    assert_eq!(refused(&backup.path).await.code(), "backup_newer");
    fs::write(backup.path.join("backup.json"), manifest.replace("town.db", "../town.db")).unwrap();
    assert_eq!(refused(&backup.path).await.code(), "backup_damaged");
    fs::write(backup.path.join("backup.json"), &manifest).unwrap();

    let lines = fs::read(at("town.jsonl")).unwrap();
    for cut in (0..lines.len()).step_by(lines.len() / 23) {
        fs::write(at("cut.jsonl"), &lines[..cut]).unwrap();
        let error = refused(&at("cut.jsonl")).await;
        assert!(["dump_truncated", "dump_malformed"].contains(&error.code()), "cut at {cut}: {error}");
    }
    for flip in (0..lines.len()).step_by(lines.len() / 97) {
        let mut damaged = lines.clone();
        damaged[flip] ^= 1;
        fs::write(at("flip.jsonl"), &damaged).unwrap();
        let error = refused(&at("flip.jsonl")).await;
        let known = [
            "dump_malformed",
            "dump_damaged",
            "dump_newer",
            "dump_truncated",
            "journal_broken",
            "town_mismatch",
            "column_unreadable",
            "column_type",
            "column_json",
        ];
        assert!(known.contains(&error.code()), "flipped at {flip}: {error:?}");
    }
    for (path, kind, code) in [
        (at("nothing"), ErrorKind::NotFound, "backup_missing"),
        (at("first.jsonl/below"), ErrorKind::NotFound, "backup_missing"),
        (at("a\0b"), ErrorKind::Invalid, "path_malformed"),
        (PathBuf::new(), ErrorKind::Invalid, "path_malformed"),
    ] {
        let _ = fs::remove_dir_all(at("new"));
        let error = refused(&path).await;
        assert_eq!((error.kind(), error.code()), (kind, code), "{path:?}");
        assert_eq!(error.fact("path"), path.to_str());
    }
    assert!(!at("new").exists(), "what is refused makes no folder");

    let whole = Town::builder(at("new")).restore(&backup.path).await.unwrap();
    assert_sound(&whole).await;
    whole.close().await.unwrap();
}

fn clock_end() -> Timestamp {
    Timestamp::from_micros(i64::MAX)
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_are_not_written_over_anything() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let town = plain(&at("town"), &clock()).await;
    furnish(&town).await;
    let upkeep = town.operator().upkeep();
    fs::write(at("taken"), "precious").unwrap();
    fs::create_dir(at("folder")).unwrap();
    for taken in [at("taken"), at("folder"), at("town")] {
        assert_eq!(upkeep.backup(taken.clone()).await.unwrap_err().code(), "path_taken");
        assert_eq!(upkeep.export(taken).await.unwrap_err().code(), "path_taken");
    }
    assert_eq!(fs::read_to_string(at("taken")).unwrap(), "precious");
    for missing in ["no/backup", "no/no/backup"] {
        assert_eq!(upkeep.backup(at(missing)).await.unwrap_err().code(), "folder_missing");
        assert_eq!(upkeep.export(at(missing)).await.unwrap_err().code(), "folder_missing");
    }
    assert_eq!(upkeep.backup("").await.unwrap_err().code(), "path_malformed");

    // Nothing beside it is touched, whatever it is called.
    fs::create_dir(at("backup.part")).unwrap();
    fs::write(at("backup.part/letter"), "mine").unwrap();
    let backup = upkeep.backup(at("backup")).await.unwrap();
    assert_eq!(fs::read_to_string(at("backup.part/letter")).unwrap(), "mine");
    assert!(backup.is_complete && backup.unreadable == 0, "{backup:?}");
    let onto = Town::builder(at("town")).restore(&backup.path).await.unwrap_err();
    assert_eq!(onto.code(), "town_not_empty");
    let other = Town::builder(at("other")).id("other").restore(&backup.path).await.unwrap_err();
    assert_eq!(
        (other.code(), other.fact("found"), other.fact("wanted")),
        ("town_mismatch", Some("town"), Some("other"))
    );
    let memory = MemoryBackend::new();
    let full = in_memory(&at("memory"), &memory).await;
    let onto = Town::builder(at("memory")).backend(Arc::new(memory.clone())).restore(&backup.path).await.unwrap_err();
    assert_eq!(onto.code(), "town_not_empty");
    full.close().await.unwrap();
    assert_sound(&town).await;
    town.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_sees_the_whole_town_may_copy_or_look_over_it() {
    let dir = tempfile::tempdir().unwrap();
    let town = plain(&dir.path().join("town"), &clock()).await;
    let upkeep = town.rig("harbour".parse().unwrap()).upkeep();
    let to = dir.path().join("backup");
    let codes = [
        upkeep.backup(to.clone()).await.unwrap_err(),
        upkeep.export(to.clone()).await.unwrap_err(),
        upkeep.check(All {}).await.unwrap_err(),
        upkeep.vacuum(All {}).await.unwrap_err(),
        upkeep.health(All {}).await.unwrap_err(),
        upkeep.archive(Archive { closed_before: Some(clock_end()), events_before: None }).await.unwrap_err(),
    ];
    assert!(codes.iter().all(|error| error.code() == "scope_too_narrow"), "{codes:?}");
    assert!(!to.exists());
    town.close().await.unwrap();
}

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
async fn copies_to_one_path_at_once_make_one_whole_copy() {
    let dir = tempfile::tempdir().unwrap();
    let town = plain(&dir.path().join("town"), &clock()).await;
    furnish(&town).await;
    let upkeep = town.operator().upkeep();
    for round in 0..5 {
        let (folder, file) = (dir.path().join(format!("b{round}")), dir.path().join(format!("e{round}.jsonl")));
        let (a, b) = tokio::join!(upkeep.backup(folder.clone()), upkeep.backup(folder.clone()));
        let (c, d) = tokio::join!(upkeep.export(file.clone()), upkeep.export(file.clone()));
        for (one, other) in [(a.err(), b.err()), (c.err(), d.err())] {
            let codes: Vec<_> = one.iter().chain(&other).map(|error| error.code().to_owned()).collect();
            assert_eq!(codes, ["path_taken"], "one of two");
        }
        for (n, from) in [folder, file].iter().enumerate() {
            let again = Town::builder(dir.path().join(format!("again{round}{n}"))).restore(from).await.unwrap();
            assert_sound(&again).await;
            again.close().await.unwrap();
        }
    }
    assert_eq!(drafts(dir.path()), Vec::<String>::new());
    town.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_of_an_earlier_town_is_not_taken_for_the_restored_ones() {
    let dir = tempfile::tempdir().unwrap();
    let town = plain(&dir.path().join("town"), &clock()).await;
    furnish(&town).await;
    let backup = town.backup(dir.path().join("backup")).await.unwrap();
    town.close().await.unwrap();
    for left in ["town.db-wal", "town.db-shm", "town.db-journal", "archive/events-000000000001-000000000009-a.jsonl"] {
        let place = dir.path().join("new");
        fs::create_dir_all(place.join("archive")).unwrap();
        fs::write(place.join(left), "of another time").unwrap();
        let error = Town::builder(&place).restore(&backup.path).await.unwrap_err();
        assert_eq!((error.code(), error.fact("path")), ("town_not_empty", Some(place.join(left).to_str().unwrap())));
        assert!(!place.join("town.db").exists());
        fs::remove_file(place.join(left)).unwrap();
    }
    // What cannot be written in the backup can be in the town that is made of it.
    fs::set_permissions(backup.path.join("town.db"), fs::Permissions::from_mode(0o444)).unwrap();
    let again = Town::builder(dir.path().join("new")).restore(&backup.path).await.unwrap();
    let mode = fs::metadata(dir.path().join("new/town.db")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    again.close().await.unwrap();
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
async fn what_agents_printed_is_read_from_a_restored_town() {
    let dir = tempfile::tempdir().unwrap();
    let origin = origin(dir.path());
    let town = open(dir.path()).await;
    let worker = "echo the tide is in; echo x > x.txt; git add -A; git commit -q -m done";
    let rig = staff(&town, &origin, 1, NewSettings::from([("agent.command".into(), sh(worker))])).await;
    town.start().await.unwrap();
    let convoy = SlingConvoy::new("a ship", rig, vec![Task::new("lay the keel", [])]);
    let convoy = town.operator().convoys().sling(convoy).await.unwrap();
    let bead = settled(&town, &convoy).await.members.remove(0);
    let backup = town.backup(dir.path().join("backup")).await.unwrap();
    let only = SessionFilter { bead: Some(bead), ..SessionFilter::default() };
    let session = town.operator().sessions().list(only).await.unwrap().sessions.remove(0).id;
    let printed = town.operator().sessions().output(OutputQuery::of(session.clone())).await.unwrap();
    assert!(printed.text.contains("the tide is in"), "{printed:?}");
    town.close().await.unwrap();

    let again = Town::builder(dir.path().join("again")).restore(&backup.path).await.unwrap();
    assert_eq!(again.operator().sessions().output(OutputQuery::of(session)).await.unwrap(), printed);
    again.close().await.unwrap();
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
fn meddle(backend: &dyn Backend, bead: &BeadId, change: impl FnOnce(&mut Vec<Value>)) {
    let mut connection = backend.connect(Access::Write).unwrap();
    let mut txn = connection.write(&TownId::new("town").unwrap()).unwrap();
    let row = txn.get(&gastown_core::model::Key::bead(bead)).unwrap().unwrap();
    let mut values = row.to_values();
    change(&mut values);
    txn.put_values(RowKind::Bead, &values).unwrap();
    txn.commit().unwrap();
}

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

#[tokio::test]
async fn a_check_finds_an_index_that_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let town = plain(&dir.path().join("town"), &clock()).await;
    furnish(&town).await;
    town.close().await.unwrap();
    let db = rusqlite::Connection::open(dir.path().join("town/town.db")).unwrap();
    db.execute_batch("DROP INDEX beads_ready").unwrap();
    let town = plain(&dir.path().join("town"), &clock()).await;
    assert_eq!(town.operator().beads().ready(ReadyFilter::default()).await.unwrap_err().code(), "schema_altered");
    let findings = town.operator().upkeep().check(All {}).await.unwrap().findings;
    let [finding] = &*findings else { panic!("{findings:?}") };
    assert!(finding.subject == "index beads_ready" && finding.problem.contains("indexes of its schema"), "{finding:?}");
    town.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_cannot_be_read_is_told_by_health_once_it_was_wanted() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("town");
    let town = plain(&place, &clock()).await;
    let known = furnish(&town).await;
    let file = SqliteBackend::new(place.join("town.db"), SqliteOptions::default());
    let status = RowKind::Bead.position("status").unwrap();
    for bead in &known[..2] {
        meddle(&file, bead, |values| values[status] = Value::Text("wibble".to_owned()));
    }
    let beads = town.operator().beads();
    assert_eq!(beads.get(&known[0]).await.unwrap_err().code(), "row_unreadable");
    assert_eq!(town.health().await.unwrap().unreadable.len(), 1);
    assert_eq!(beads.close(known[1].clone()).await.unwrap_err().code(), "row_unreadable");
    assert_eq!(town.health().await.unwrap().unreadable.len(), 2);
    town.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_cannot_be_read_stops_nobody_and_is_told_until_it_is_mended() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("town");
    let town = plain(&place, &clock()).await;
    let known = furnish(&town).await;
    let file = SqliteBackend::new(place.join("town.db"), SqliteOptions::default());
    let mut whole = Vec::new();
    let status = RowKind::Bead.position("status").unwrap();
    meddle(&file, &known[0], |values| {
        whole.clone_from(values);
        values[status] = Value::Text("wibble".to_owned());
    });
    let listed = town.operator().beads().list(BeadFilter::default()).await.unwrap().beads;
    assert_eq!(listed.iter().map(|bead| &bead.id).collect::<Vec<_>>(), [&known[1], &known[2]]);
    let error = town.operator().beads().get(&known[0]).await.unwrap_err();
    assert_eq!(error.code(), "row_unreadable");
    // The others go on, and so does the engine's look at them.
    town.operator().beads().create(NewBead::titled("Caulk the hull")).await.unwrap();
    let health = town.health().await.unwrap();
    assert_eq!(health.unreadable.len(), 1, "{health:?}");
    assert!(health.unreadable[0].row.contains(known[0].as_str()) && health.unreadable[0].problem.contains("wibble"));
    let findings = town.operator().upkeep().check(All {}).await.unwrap().findings;
    assert!(findings.iter().any(|finding| finding.subject.contains(known[0].as_str())), "{findings:?}");
    let exported = town.operator().upkeep().export(dir.path().join("town.jsonl")).await.unwrap();
    assert_eq!(exported.unreadable, 1);

    let mut connection = file.connect(Access::Write).unwrap();
    let mut txn = connection.write(&TownId::new("town").unwrap()).unwrap();
    txn.put_values(RowKind::Bead, &whole).unwrap();
    txn.commit().unwrap();
    assert_eq!(town.health().await.unwrap().unreadable, []);
    assert_sound(&town).await;
    town.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_over_the_town_finds_what_nobody_journaled() {
    let dir = tempfile::tempdir().unwrap();
    let memory = MemoryBackend::new();
    let town = in_memory(&dir.path().join("town"), &memory).await;
    let known = furnish(&town).await;
    assert_sound(&town).await;
    let at = |name: &str| RowKind::Bead.position(name).unwrap();
    meddle(&memory, &known[1], |values| values[at("blockers")] = Value::Int(5));
    let findings = town.operator().upkeep().check(All {}).await.unwrap().findings;
    assert!(findings.iter().any(|finding| finding.problem.contains("has 5 blockers")), "{findings:?}");
    assert!(findings.iter().any(|finding| finding.problem.contains("not as the journal says")), "{findings:?}");
    // A row too many, and one too few.
    let mut connection = memory.connect(Access::Write).unwrap();
    let mut txn = connection.write(&TownId::new("town").unwrap()).unwrap();
    let label = gastown_core::model::LabelRow { bead: known[1].clone(), label: "forged".to_owned() };
    txn.put(&label.into_row()).unwrap();
    txn.delete(&gastown_core::model::Key::bead(&known[2])).unwrap();
    txn.commit().unwrap();
    let findings = town.operator().upkeep().check(All {}).await.unwrap().findings;
    let about = |word: &str| findings.iter().any(|finding| finding.subject.contains(word));
    assert!(about("forged") && about(known[2].as_str()), "{findings:?}");
    town.close().await.unwrap();
}
