//! Copies of a town, and looks over it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gastown_core::model::value::Value;
use gastown_core::model::{BeadId, RowKind, Stored as _, Timestamp, TownId};
use gastown_core::store::{Access, Backend, MemoryBackend, SqliteBackend, SqliteOptions};
use gastown_core::{
    All, Archive, BeadFilter, ErrorKind, EventsSince, Link, ManualClock, NewBead, NewSettings, OutputQuery,
    ReadyFilter, SessionFilter, SlingConvoy, Task, Town,
};
use serde_json::json;

use crate::support::{open, origin, settled, sh, staff};

pub(crate) fn clock() -> ManualClock {
    ManualClock::at(Timestamp::from_micros(1_763_670_000_000_000))
}

pub(crate) async fn plain(dir: &Path, clock: &ManualClock) -> Town {
    Town::builder(dir).clock(Arc::new(clock.clone())).seed(7).open().await.unwrap()
}

async fn in_memory(dir: &Path, backend: &MemoryBackend) -> Town {
    Town::builder(dir).backend(Arc::new(backend.clone())).open().await.unwrap()
}

/// A bead of every sort: with texts, labels, edges, closed, claimed.
pub(crate) async fn furnish(town: &Town) -> Vec<BeadId> {
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

pub(crate) async fn assert_sound(town: &Town) {
    let checked = town.operator().upkeep().check(All {}).await.unwrap();
    assert_eq!(checked.findings, []);
    assert!(checked.rows > 0 && checked.events > 0);
}

/// The lines of an export without the first, which names the journal's end, and the last, which sums all up.
pub(crate) fn rows_of(path: &Path) -> Vec<String> {
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

pub(crate) fn clock_end() -> Timestamp {
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
    assert_eq!(again.operator().sessions().output(OutputQuery::of(session.clone())).await.unwrap(), printed);
    assert_sound(&again).await;
    // What is missing of it is told.
    let segment = dir.path().join("again/sessions").join(session.as_str()).join("output/00000001.log");
    fs::File::options().write(true).open(&segment).unwrap().set_len(3).unwrap();
    let findings = again.operator().upkeep().check(All {}).await.unwrap().findings;
    let [finding] = &*findings else { panic!("{findings:?}") };
    assert_eq!(finding.subject, format!("session {session}"));
    assert!(finding.problem.contains("has 3 bytes"), "{finding:?}");
    let told = again.backup(dir.path().join("cut")).await.unwrap();
    assert_eq!((told.is_complete, &*told.findings), (false, &*findings));
    fs::remove_file(&segment).unwrap();
    let findings = again.operator().upkeep().check(All {}).await.unwrap().findings;
    assert!(findings.len() == 1 && findings[0].problem.contains("has 0 bytes"), "{findings:?}");
    again.close().await.unwrap();
}

fn meddle(backend: &dyn Backend, bead: &BeadId, change: impl FnOnce(&mut Vec<Value>)) {
    let mut connection = backend.connect(Access::Write).unwrap();
    let mut txn = connection.write(&TownId::new("town").unwrap()).unwrap();
    let row = txn.get(&gastown_core::model::Key::bead(bead)).unwrap().unwrap();
    let mut values = row.to_values();
    change(&mut values);
    txn.put_values(RowKind::Bead, &values).unwrap();
    txn.commit().unwrap();
}

#[tokio::test]
async fn a_check_finds_an_index_that_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let town = plain(&dir.path().join("town"), &clock()).await;
    furnish(&town).await;
    let db = rusqlite::Connection::open(dir.path().join("town/town.db")).unwrap();
    db.execute_batch("DROP INDEX beads_ready; DROP INDEX events_by_subject").unwrap();
    assert_eq!(town.operator().beads().ready(ReadyFilter::default()).await.unwrap_err().code(), "schema_altered");
    let findings = town.operator().upkeep().check(All {}).await.unwrap().findings;
    let told: Vec<_> = findings.iter().map(|finding| (&*finding.subject, &*finding.problem)).collect();
    let altered = "the database has not the tables, columns and indexes of its schema";
    assert_eq!(
        told,
        [
            ("database", "the index beads_ready is missing"),
            ("database", "the index events_by_subject is missing"),
            ("index beads_ready", altered),
        ]
    );
    let backup = town.backup(dir.path().join("backup")).await.unwrap();
    assert!(!backup.is_complete && backup.findings[0].problem.contains("beads_ready"), "{backup:?}");
    town.close().await.unwrap();
    let error = Town::builder(dir.path().join("town")).open().await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Corrupt, "schema_altered"));
    assert_eq!(error.fact("missing"), Some("beads_ready, events_by_subject"));
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
