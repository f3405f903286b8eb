//! What is no town is refused, and left as it is.

use super::tests::{backend, raw};
use super::*;
use crate::store::conformance::sample;

fn refusal(backend: &SqliteBackend, access: Access) -> Error {
    backend.connect(access).err().expect("the file is refused")
}

#[test]
fn a_file_of_another_program_is_refused_and_left_as_it_is() {
    for prepare in [
        "CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1)",
        "PRAGMA application_id = 1196444487; CREATE TABLE theirs (x)",
        "PRAGMA user_version = 7",
    ] {
        let directory = tempfile::tempdir().unwrap();
        let backend = backend(&directory);
        raw(&backend).execute_batch(prepare).unwrap();
        let before = std::fs::read(backend.path()).unwrap();
        for access in [Access::Write, Access::Read] {
            let error = refusal(&backend, access);
            assert_eq!((error.code(), error.kind()), ("not_a_town", crate::ErrorKind::Corrupt), "{prepare}");
        }
        assert!(std::fs::read(backend.path()).unwrap() == before, "{prepare}: the file was changed");
    }
}

#[test]
fn a_file_that_is_no_database_is_refused_and_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let backend = backend(&directory);
    let text = "This is a letter, not a database.\n".repeat(100);
    std::fs::write(backend.path(), &text).unwrap();
    for access in [Access::Write, Access::Read] {
        assert_eq!(refusal(&backend, access).code(), "not_a_town");
    }
    assert_eq!(std::fs::read_to_string(backend.path()).unwrap(), text);
}

#[test]
fn a_directory_in_the_files_place_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let backend = SqliteBackend::new(directory.path(), SqliteOptions::default());
    for access in [Access::Write, Access::Read] {
        assert_eq!(refusal(&backend, access).code(), "not_a_town");
    }
}

#[test]
fn an_empty_file_becomes_a_town() {
    let directory = tempfile::tempdir().unwrap();
    let backend = backend(&directory);
    std::fs::write(backend.path(), "").unwrap();
    backend.connect(Access::Write).unwrap();
    let db = raw(&backend);
    let number = |sql: &str| db.query_row(sql, [], |row| row.get::<_, i32>(0)).unwrap();
    assert_eq!(number("PRAGMA application_id"), schema::APPLICATION_ID);
    assert_eq!(number("PRAGMA user_version"), schema::VERSION);
    assert_eq!(number("SELECT count(*) FROM migration WHERE applied_at > 1600000000000000"), schema::VERSION);
}

#[test]
fn a_newer_schema_is_refused_with_both_versions() {
    let directory = tempfile::tempdir().unwrap();
    let backend = backend(&directory);
    backend.connect(Access::Write).unwrap();
    raw(&backend).pragma_update(None, "user_version", 99).unwrap();
    for access in [Access::Write, Access::Read] {
        let error = refusal(&backend, access);
        assert_eq!((error.code(), error.kind()), ("schema_newer", crate::ErrorKind::Unsupported));
        assert_eq!((error.fact("found"), error.fact("known")), (Some("99"), Some(&*schema::VERSION.to_string())));
        assert!(error.fact("path").is_some());
    }
}

#[test]
fn a_missing_directory_is_not_made() {
    let directory = tempfile::tempdir().unwrap();
    let backend = SqliteBackend::new(directory.path().join("no/town.db"), SqliteOptions::default());
    for access in [Access::Write, Access::Read] {
        let error = refusal(&backend, access);
        assert_eq!((error.code(), error.kind()), ("store_unreachable", crate::ErrorKind::Unavailable));
    }
    assert!(!directory.path().join("no").exists());
}

#[test]
fn names_that_sqlite_treats_apart_are_only_files() {
    let directory = tempfile::tempdir().unwrap();
    for name in [":memory:", "file:x?mode=memory", "a b%20.db", "ä.db"] {
        let backend = SqliteBackend::new(directory.path().join(name), SqliteOptions::default());
        backend.connect(Access::Write).unwrap();
        assert!(directory.path().join(name).is_file(), "{name}");
    }
    assert_eq!(refusal(&SqliteBackend::new("", SqliteOptions::default()), Access::Write).code(), "store_unreachable");
}

#[cfg(target_os = "linux")]
#[test]
fn a_place_that_cannot_be_written_is_refused() {
    // Not even root can make files there.
    let backend = SqliteBackend::new("/sys/town.db", SqliteOptions::default());
    for access in [Access::Write, Access::Read] {
        let error = refusal(&backend, access);
        assert_eq!((error.code(), error.kind()), ("store_read_only", crate::ErrorKind::Forbidden), "{error:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_that_cannot_be_written_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    let backend = backend(&directory);
    drop(backend.connect(Access::Write).unwrap());
    std::fs::set_permissions(backend.path(), std::fs::Permissions::from_mode(0o444)).unwrap();
    let opened = std::fs::OpenOptions::new().write(true).open(backend.path());
    let found = backend.connect(Access::Write).err().map(|error| error.code().to_owned());
    // Root may write to it all the same.
    assert_eq!(found.as_deref(), opened.is_err().then_some("store_read_only"));
}

#[test]
fn a_damaged_file_is_reported_as_damaged() {
    use std::os::unix::fs::FileExt as _;
    let directory = tempfile::tempdir().unwrap();
    let backend = backend(&directory);
    let town = crate::model::TownId::new("town").unwrap();
    let bead = crate::model::Row::Bead(sample::bead(&mut sample::Draw::new(1)));
    {
        let mut connection = backend.connect(Access::Write).unwrap();
        let mut txn = connection.write(&town).unwrap();
        txn.put(&bead).unwrap();
        txn.commit().unwrap();
    }
    let file = std::fs::OpenOptions::new().write(true).open(backend.path()).unwrap();
    let length = file.metadata().unwrap().len();
    for page in 1..length / 4096 {
        file.write_at(&[0xa5; 4096], page * 4096).unwrap();
    }
    let found = backend.connect(Access::Write).and_then(|mut connection| {
        let txn = connection.write(&town)?;
        txn.get(&bead.key())
    });
    let error = found.expect_err("the damage is seen");
    assert_eq!((error.code(), error.kind()), ("store_corrupt", crate::ErrorKind::Corrupt));
}

#[test]
fn an_old_sqlite_is_refused_with_both_versions() {
    check_version(SQLITE_VERSION_MIN).unwrap();
    let error = check_version(3_051_002).unwrap_err();
    assert_eq!((error.code(), error.kind()), ("sqlite_too_old", crate::ErrorKind::Unsupported));
    assert_eq!((error.fact("found"), error.fact("needed")), (Some("3.51.2"), Some("3.51.3")));
}
