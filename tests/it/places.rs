//! Places where no town can be, and files that are not what they should be: each is answered with the path.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use gastown_core::store::{SqliteBackend, SqliteOptions};
use gastown_core::{All, BeadFilter, Error, ErrorKind, NewBead, Town};
use serde_json::json;

async fn refused(folder: &Path) -> Error {
    let error = Town::builder(folder).open().await.unwrap_err();
    assert!(error.fact("path").is_some_and(|path| path.contains(folder.to_str().unwrap())), "{error:?}");
    error
}

#[tokio::test]
async fn places_that_hold_no_file_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("missing/town.db");
    let backend = SqliteBackend::new(&file, SqliteOptions::default());
    let error = Town::builder(dir.path()).backend(Arc::new(backend)).open().await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Unavailable, "store_unreachable"));
    assert_eq!(error.fact("path"), file.to_str());
    assert!(error.to_string().contains("directory"), "{error}");
    assert!(!dir.path().join("missing").exists(), "it made nothing");

    std::fs::create_dir_all(dir.path().join("taken/town.db")).unwrap();
    let error = refused(&dir.path().join("taken")).await;
    assert_eq!((error.kind(), error.code()), (ErrorKind::Corrupt, "not_a_town"));

    std::fs::write(dir.path().join("a file"), "words").unwrap();
    let long = "x".repeat(300);
    for (folder, kind, code) in [
        ("a file", ErrorKind::Conflict, "path_taken"),
        ("a file/below", ErrorKind::NotFound, "folder_missing"),
        (&*long, ErrorKind::Invalid, "path_malformed"),
        ("a\0b", ErrorKind::Invalid, "path_malformed"),
    ] {
        let error = refused(&dir.path().join(folder)).await;
        assert_eq!((error.kind(), error.code()), (kind, code), "{folder:?}");
    }
    // It is more likely left out than meant as the working folder.
    let error = Town::builder("").open().await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Invalid, "path_malformed"));
    assert_eq!(std::fs::read_to_string(dir.path().join("a file")).unwrap(), "words");
}

#[tokio::test]
async fn an_empty_file_becomes_a_town_and_another_programs_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("town.db");
    std::fs::write(&file, "").unwrap();
    let town = Town::builder(dir.path()).open().await.unwrap();
    town.operator().beads().create(NewBead::titled("first")).await.unwrap();
    town.close().await.unwrap();

    for (what, sql) in [
        ("tables", "CREATE TABLE theirs (a); INSERT INTO theirs VALUES (1)"),
        ("a name", "PRAGMA application_id = 252006674; CREATE TABLE theirs (a)"),
        ("a version", "PRAGMA user_version = 7"),
        ("our tables and no name", "CREATE TABLE bead (id)"),
    ] {
        std::fs::remove_file(&file).unwrap();
        rusqlite::Connection::open(&file).unwrap().execute_batch(sql).unwrap();
        let before = std::fs::read(&file).unwrap();
        let error = refused(dir.path()).await;
        assert_eq!((error.kind(), error.code()), (ErrorKind::Corrupt, "not_a_town"), "{what}: {error:?}");
        assert_eq!(std::fs::read(&file).unwrap(), before, "{what}: it was changed");
    }
}

#[tokio::test]
async fn a_schema_that_somebody_altered_is_damage() {
    for (what, sql) in [
        ("a table is gone", "DROP TABLE label"),
        ("the journal is gone", "DROP TABLE event"),
        ("an index is gone", "DROP INDEX beads_by_kind"),
        ("a column is gone", "ALTER TABLE bead DROP COLUMN source_status"),
        ("a column has another name", "ALTER TABLE bead RENAME COLUMN issue_type TO name"),
        ("the version says that there is nothing", "PRAGMA user_version = 0"),
        ("the version is none", "PRAGMA user_version = -3"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let town = Town::builder(dir.path()).open().await.unwrap();
        town.operator().beads().create(NewBead::titled("first")).await.unwrap();
        town.close().await.unwrap();
        rusqlite::Connection::open(dir.path().join("town.db")).unwrap().execute_batch(sql).unwrap();
        let answer = match Town::builder(dir.path()).open().await {
            Ok(town) => {
                let new = NewBead { labels: vec!["a".to_owned()], ..NewBead::titled("second") };
                let made = town.operator().beads().create(new).await;
                let listed = town.operator().beads().list(BeadFilter::default()).await;
                town.close().await.unwrap();
                made.map(drop).and(listed.map(drop))
            }
            Err(error) => Err(error),
        };
        let error = answer.expect_err(what);
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error:?}");
    }
}

/// Opens the town in a process of a user who is nobody special; none where this cannot be tried here.
fn opened_by_nobody(folder: &Path) -> Option<String> {
    let own = std::fs::metadata("/proc/self").unwrap();
    let is_root = std::os::unix::fs::MetadataExt::uid(&own) == 0;
    // A copy, because the folder where it was built may be closed to others.
    let program = folder.parent().unwrap().join("town-child");
    std::fs::copy(env!("CARGO_BIN_EXE_town-child"), &program).unwrap();
    let mut command = if is_root { Command::new("setpriv") } else { Command::new(&program) };
    if is_root {
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&program);
    }
    match command.arg("work").arg(folder).args(["1", "1", "1"]).output() {
        Ok(output) if output.status.success() => Some(String::new()),
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).into_owned()),
        Err(error) => {
            eprintln!("SKIPPED: a process without permissions cannot be started here: {error}");
            None
        }
    }
}

#[tokio::test]
async fn places_without_permission_are_refused_by_name_and_nothing_is_changed() {
    let dir = tempfile::tempdir().unwrap();
    let mode = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    mode(dir.path(), 0o755);
    let folder = dir.path().join("town");
    let file = folder.join("town.db");
    for (what, folder_mode, file_mode, codes) in [
        ("a file that cannot be read", 0o755, 0o600, ["forbidden/store_read_only"]),
        ("a file that cannot be written", 0o755, 0o444, ["forbidden/store_read_only"]),
        ("a file that cannot be written in a folder that can", 0o777, 0o444, ["forbidden/store_read_only"]),
        ("a folder that cannot be entered", 0o700, 0o666, ["forbidden/store_read_only"]),
    ] {
        mode(folder.parent().unwrap(), 0o755);
        let _ = std::fs::remove_dir_all(&folder);
        Town::builder(&folder).open().await.unwrap().close().await.unwrap();
        let before = std::fs::read(&file).unwrap();
        mode(&file, file_mode);
        mode(&folder, folder_mode);
        let Some(stderr) = opened_by_nobody(&folder) else { return };
        assert!(codes.iter().any(|code| stderr.contains(code)), "{what}: {stderr}");
        assert!(stderr.contains(folder.to_str().unwrap()), "{what}: {stderr}");
        mode(&folder, 0o755);
        assert_eq!(std::fs::read(&file).unwrap(), before, "{what}");
    }
    let error = opened_by_nobody(&dir.path().join("new")).expect("it could be started before");
    assert!(error.contains("forbidden/path_read_only") && error.contains("new"), "{error}");
    assert!(!dir.path().join("new").exists());
}

#[tokio::test]
async fn a_town_goes_on_after_its_file_was_taken_away_and_put_back() {
    let dir = tempfile::tempdir().unwrap();
    let town = Town::builder(dir.path()).open().await.unwrap();
    town.operator().beads().create(NewBead::titled("first")).await.unwrap();
    town.close().await.unwrap();
    let (file, aside) = (dir.path().join("town.db"), dir.path().join("aside.db"));
    std::fs::rename(&file, &aside).unwrap();
    std::fs::create_dir(&file).unwrap();
    assert_eq!(refused(dir.path()).await.code(), "not_a_town");
    std::fs::remove_dir(&file).unwrap();
    std::fs::rename(&aside, &file).unwrap();
    let town = Town::builder(dir.path()).open().await.unwrap();
    let page = town.operator().call("beads.list", json!({})).await.unwrap();
    assert_eq!(page["beads"].as_array().unwrap().len(), 1);
    town.close().await.unwrap();
}

#[tokio::test]
async fn a_town_opens_and_is_read_while_another_process_writes_for_long() {
    let dir = tempfile::tempdir().unwrap();
    let town = Town::builder(dir.path()).open().await.unwrap();
    town.operator().beads().create(NewBead::titled("first")).await.unwrap();
    town.close().await.unwrap();
    let mut other = rusqlite::Connection::open(dir.path().join("town.db")).unwrap();
    let writing = other.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();

    // Whoever would wait for the lock gives up at once.
    let mut sqlite = SqliteOptions::default();
    sqlite.busy_timeout_ms = 1;
    let mut store = gastown_core::store::StoreOptions::default();
    store.busy_ms = 1;
    let open = || Town::builder(dir.path()).sqlite_options(sqlite.clone()).store_options(store.clone()).open();
    let town = open().await.unwrap();
    let page = town.operator().beads().list(BeadFilter::default()).await.unwrap();
    assert_eq!(page.beads.len(), 1);
    let busy = town.operator().beads().create(NewBead::titled("second")).await.unwrap_err();
    assert_eq!((busy.kind(), busy.code()), (ErrorKind::Unavailable, "store_busy"));
    town.close().await.unwrap();

    writing.rollback().unwrap();
    let before = other.query_row("PRAGMA data_version", [], |row| row.get::<_, i64>(0)).unwrap();
    open().await.unwrap().close().await.unwrap();
    let after = other.query_row("PRAGMA data_version", [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(before, after, "opening wrote something");
}

#[tokio::test]
async fn nothing_is_told_done_once_the_file_or_its_log_is_gone_or_another() {
    let dir = tempfile::tempdir().unwrap();
    let other = dir.path().join("other.db");
    rusqlite::Connection::open(&other).unwrap().execute_batch("CREATE TABLE theirs (a)").unwrap();
    let theirs = std::fs::read(&other).unwrap();
    let remove: fn(&Path, &Path) = |folder, _| std::fs::remove_file(folder.join("town.db")).unwrap();
    let replace: fn(&Path, &Path) = |folder, other| std::fs::rename(other, folder.join("town.db")).unwrap();
    let unlog: fn(&Path, &Path) = |folder, _| std::fs::remove_file(folder.join("town.db-wal")).unwrap();
    let link: fn(&Path, &Path) = |folder, _| {
        std::fs::rename(folder.join("town.db"), folder.join("elsewhere.db")).unwrap();
        std::os::unix::fs::symlink(folder.join("elsewhere.db"), folder.join("town.db")).unwrap();
    };
    let ways = [("removed", remove), ("replaced", replace), ("its log is removed", unlog), ("a link is there", link)];
    for (what, lose) in ways {
        let folder = dir.path().join(what);
        let town = Town::builder(&folder).open().await.unwrap();
        let beads = town.operator().beads();
        let first = beads.create(NewBead::titled("first")).await.unwrap();
        assert_eq!(town.health().await.unwrap().store_problem, None);
        lose(&folder, &other);
        for _ in 0..3 {
            let error = beads.create(NewBead::titled("lost")).await.unwrap_err();
            assert_eq!((error.kind(), error.code()), (ErrorKind::Unavailable, "store_gone"), "{what}: {error:?}");
        }
        let problem = town.health().await.unwrap().store_problem.expect(what);
        assert!(problem.contains(folder.to_str().unwrap()), "{problem}");
        assert_eq!(town.operator().upkeep().check(All {}).await.unwrap_err().code(), "store_gone", "{what}");
        assert_eq!(beads.get(&first.id).await.unwrap().title, "first", "what was there is read");
        town.close().await.unwrap();
    }
    assert!(std::fs::read(dir.path().join("replaced/town.db")).unwrap() == theirs, "the other's file was changed");
}

#[tokio::test]
async fn a_file_behind_a_link_is_missed_as_well() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, real) = (dir.path().join("town"), dir.path().join("real.db"));
    Town::builder(&folder).open().await.unwrap().close().await.unwrap();
    std::fs::rename(folder.join("town.db"), &real).unwrap();
    std::os::unix::fs::symlink(&real, folder.join("town.db")).unwrap();
    let town = Town::builder(&folder).open().await.unwrap();
    let beads = town.operator().beads();
    beads.create(NewBead::titled("first")).await.unwrap();
    std::fs::remove_file(dir.path().join("real.db-wal")).unwrap();
    assert_eq!(beads.create(NewBead::titled("lost")).await.unwrap_err().code(), "store_gone");
    town.close().await.unwrap();
}

#[tokio::test]
async fn an_open_town_goes_on_once_its_file_is_put_back() {
    let dir = tempfile::tempdir().unwrap();
    let town = Town::builder(dir.path()).open().await.unwrap();
    let beads = town.operator().beads();
    beads.create(NewBead::titled("first")).await.unwrap();
    let (file, aside) = (dir.path().join("town.db"), dir.path().join("aside.db"));
    std::fs::rename(&file, &aside).unwrap();
    assert_eq!(beads.create(NewBead::titled("unsure")).await.unwrap_err().code(), "store_gone");
    std::fs::rename(&aside, &file).unwrap();
    let third = beads.create(NewBead::titled("third")).await.unwrap();
    assert_eq!(town.health().await.unwrap().store_problem, None);
    assert_eq!(town.operator().upkeep().check(All {}).await.unwrap().findings, []);
    town.close().await.unwrap();
    let town = Town::builder(dir.path()).open().await.unwrap();
    assert_eq!(town.operator().beads().get(&third.id).await.unwrap().title, "third");
    town.close().await.unwrap();
}
