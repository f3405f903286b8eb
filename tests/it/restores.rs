//! Restores that are broken off, and what is seen of them meanwhile.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gastown_core::store::postgres::testing::TestServer;
use gastown_core::store::{Backend, MemoryBackend, PostgresBackend};
use gastown_core::{Archive, BeadFilter, Clock as _, ErrorKind, NewBead, SystemClock, Town};

#[tokio::test]
async fn what_a_killed_restore_left_is_opened_by_nobody_and_restored_again() {
    let dir = tempfile::tempdir().unwrap();
    let town = Town::builder(dir.path().join("town")).open().await.unwrap();
    let bead = town.operator().beads().create(NewBead::titled("keel")).await.unwrap();
    let lines = dir.path().join("town.jsonl");
    town.operator().upkeep().export(&*lines).await.unwrap();
    town.close().await.unwrap();
    // A restore that was killed leaves its mark and what it had made by then: here a database without any entry.
    let left = dir.path().join("left");
    Town::builder(&left).open().await.unwrap().close().await.unwrap();
    fs::write(left.join("restore.unfinished"), "").unwrap();
    let error = Town::builder(&left).open().await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Conflict, "restore_unfinished"), "{error}");
    let busy = fs::File::open(left.join("restore.unfinished")).unwrap();
    busy.lock().unwrap();
    let error = Town::builder(&left).restore(&lines).await.unwrap_err();
    assert_eq!(error.code(), "restore_busy", "{error}");
    drop(busy);
    let again = Town::builder(&left).restore(&lines).await.unwrap();
    assert_eq!(again.operator().beads().get(&bead.id).await.unwrap().title, "keel");
    again.close().await.unwrap();
    Town::builder(&left).open().await.unwrap().close().await.unwrap();
}

/// A backup with an archive; answers where it is, and the archive's path in it.
async fn backup(dir: &Path) -> (PathBuf, PathBuf) {
    let town = Town::builder(dir.join("town")).open().await.unwrap();
    town.operator().beads().create(NewBead::titled("keel")).await.unwrap();
    let over = Archive { events_before: Some(SystemClock.now()), ..Archive::default() };
    assert!(town.operator().upkeep().archive(over).await.unwrap().events > 0);
    let backup = dir.join("backup");
    town.operator().upkeep().backup(&*backup).await.unwrap();
    town.close().await.unwrap();
    let listed: serde_json::Value = serde_json::from_slice(&fs::read(backup.join("backup.json")).unwrap()).unwrap();
    let files = listed["files"].as_array().unwrap().iter().map(|file| file["path"].as_str().unwrap());
    let archive = files.into_iter().find(|path| path.contains('/')).expect("the archive is in a folder").into();
    (backup, archive)
}

async fn a_broken_off_restore_is_seen_from_other_folders(shared: Arc<dyn Backend>) {
    let dir = tempfile::tempdir().unwrap();
    let (backup, archive) = backup(dir.path()).await;
    let builder = |folder: &str| Town::builder(dir.path().join(folder)).backend(Arc::clone(&shared));
    // Something lies where the archive is to come, so the restore ends after it began and before the records came.
    let in_the_way = dir.path().join("here").join(&archive);
    fs::create_dir_all(in_the_way.parent().unwrap()).unwrap();
    fs::write(&in_the_way, "something else").unwrap();
    assert_eq!(builder("here").restore(&backup).await.unwrap_err().code(), "town_not_empty");

    for folder in ["here", "elsewhere"] {
        for create in [false, true] {
            let error = builder(folder).create(create).open().await.unwrap_err();
            assert_eq!((error.kind(), error.code()), (ErrorKind::Conflict, "restore_unfinished"), "{folder}: {error}");
        }
    }
    fs::remove_file(&in_the_way).unwrap();
    let town = builder("here").restore(&backup).await.unwrap();
    assert_eq!(town.operator().beads().list(BeadFilter::default()).await.unwrap().beads.len(), 1);
    assert_eq!(town.replay().await.unwrap().differences, Vec::<String>::new());
    town.close().await.unwrap();
    builder("elsewhere").open().await.unwrap().close().await.unwrap();
    assert_eq!(builder("third").restore(&backup).await.unwrap_err().code(), "town_not_empty");
}

#[tokio::test]
async fn nobody_opens_a_town_whose_restore_into_a_given_backend_was_broken_off() {
    a_broken_off_restore_is_seen_from_other_folders(Arc::new(MemoryBackend::new())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_opens_a_town_whose_restore_into_postgres_was_broken_off() {
    let backend = PostgresBackend::new(&TestServer::shared().fresh_url()).unwrap();
    a_broken_off_restore_is_seen_from_other_folders(Arc::new(backend)).await;
}

#[tokio::test]
async fn lines_that_cannot_be_restored_leave_no_mark() {
    let dir = tempfile::tempdir().unwrap();
    let town = Town::builder(dir.path().join("town")).open().await.unwrap();
    let lines = dir.path().join("town.jsonl");
    town.operator().upkeep().export(&*lines).await.unwrap();
    town.close().await.unwrap();
    let whole = fs::read_to_string(&lines).unwrap();
    fs::write(&lines, &whole[..whole.len() - 10]).unwrap();
    let shared: Arc<dyn Backend> = Arc::new(MemoryBackend::new());
    let error = Town::builder(dir.path().join("a")).backend(Arc::clone(&shared)).restore(&lines).await.unwrap_err();
    assert_eq!(error.code(), "dump_truncated");
    assert_eq!(Town::builder(dir.path().join("b")).restore(&lines).await.unwrap_err().code(), "dump_truncated");
    Town::builder(dir.path().join("a")).backend(shared).open().await.unwrap().close().await.unwrap();
    Town::builder(dir.path().join("b")).open().await.unwrap().close().await.unwrap();
}
