//! Tests of what is refused: servers, passwords, certificates and schemas that are not as they must be.

use super::testing::TestServer;
use super::tests::{alter, fresh, older};
use super::*;
use crate::ErrorKind;
use crate::store::conformance::sample;

fn refusal(url: &str, access: Access) -> (String, ErrorKind) {
    let error = PostgresBackend::new(url).unwrap().connect(access).map(drop).expect_err(url);
    let told = format!("{error} {error:?} {} {:?}", error.chain(), error.facts().collect::<Vec<_>>());
    assert!(!told.contains("sesame"), "a password is told: {told}");
    (error.code().to_owned(), error.kind())
}

fn refused(url: &str) -> (String, ErrorKind) {
    refusal(url, Access::Write)
}

fn is(code: &str, kind: ErrorKind) -> (String, ErrorKind) {
    (code.to_owned(), kind)
}

/// Where the tests' server is, for somebody else.
fn of_user(user: &str) -> String {
    TestServer::shared().fresh_url().replace("//gastown@", &format!("//{user}@"))
}

#[test]
fn a_server_that_is_not_there_is_told() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    assert_eq!(
        refused(&format!("postgres://m:sesame@127.0.0.1:{closed}/x?sslmode=disable")),
        is("store_unreachable", ErrorKind::Unavailable)
    );
    assert_eq!(
        refused("postgres://m:sesame@nowhere.invalid/x?connect_timeout=2"),
        is("store_unreachable", ErrorKind::Unavailable)
    );
    // Somebody who never answers.
    let deaf = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://m@127.0.0.1:{}/x?answer_timeout_ms=300", deaf.local_addr().unwrap().port());
    assert_eq!(refused(&url), is("store_unreachable", ErrorKind::Unavailable));
}

#[test]
fn a_server_that_takes_a_connection_and_says_no_more_is_given_up_in_the_time_for_connecting() {
    // It answers the wish for TLS, where there is one, and then nothing.
    for (mode, answer) in [("disable", None), ("require", None), ("require", Some(b'S'))] {
        let deaf = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("postgres://m@127.0.0.1:{}/x", deaf.local_addr().unwrap().port());
        let url = format!("{url}?sslmode={mode}&connect_timeout=1&answer_timeout_ms=600000");
        let (ended, end) = std::sync::mpsc::sync_channel::<()>(1);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let (mut caller, _) = deaf.accept().unwrap();
                if let Some(answer) = answer {
                    std::io::Write::write_all(&mut caller, &[answer]).unwrap();
                }
                // It holds the connection until the caller has gone.
                assert!(end.recv().is_err());
            });
            let error = PostgresBackend::new(&url).unwrap().connect(Access::Write).map(drop).unwrap_err();
            drop(ended);
            assert_eq!((error.code(), error.fact("timeout_ms")), ("store_unreachable", Some("1000")), "{url}");
        });
    }
}

#[test]
fn a_missing_database_is_told() {
    let url = TestServer::shared().url().replace("/gastown_test", "/nothing");
    assert_eq!(refused(&url), is("database_missing", ErrorKind::NotFound));
}

#[test]
fn a_wrong_password_is_refused_and_never_told() {
    let full = "&sslmode=verify-full";
    assert_eq!(
        refused(&format!("{}{full}", of_user("guarded:open%20sesam3%20sesame"))),
        is("store_denied", ErrorKind::Forbidden)
    );
    assert_eq!(refused(&format!("{}{full}", of_user("guarded"))), is("store_denied", ErrorKind::Forbidden));
    assert_eq!(
        refused(&format!("{}&sslmode=disable", of_user("guarded:open%20sesame"))),
        is("store_denied", ErrorKind::Forbidden)
    );
    assert_eq!(refused(&of_user("nobody_such")), is("store_denied", ErrorKind::Forbidden));
    // A schema that this user may not make.
    assert_eq!(refused(&of_user("stranger")), is("store_denied", ErrorKind::Forbidden));
    let backend = PostgresBackend::new(&format!("{}{full}", of_user("guarded:open%20sesame"))).unwrap();
    assert!(!format!("{backend:?}").contains("sesame"));
    backend.connect(Access::Write).unwrap();
}

#[test]
fn a_certificate_is_trusted_as_far_as_was_asked() {
    let server = TestServer::shared();
    let by_name = server.fresh_url();
    // The certificate names the host, not its address.
    let by_address = by_name.replace("@localhost:", "@127.0.0.1:");
    let other = tempfile::NamedTempFile::new().unwrap();
    let without = |url: &str| {
        let (front, rest) = url.split_once("&sslrootcert=").unwrap();
        format!("{front}&{}", rest.split_once('&').unwrap().1)
    };
    for (url, mode, is_trusted) in [
        (&by_name, "verify-full", true),
        (&by_address, "verify-full", false),
        (&by_address, "verify-ca", true),
        (&by_address, "require", true),
        (&without(&by_name), "verify-ca", false),
        (&without(&by_name), "verify-full", false),
        (&without(&by_address), "require", true),
        (&without(&by_address), "prefer", true),
        (&without(&by_address), "disable", true),
    ] {
        let url = format!("{url}&sslmode={mode}");
        if is_trusted {
            PostgresBackend::new(&url).unwrap().connect(Access::Write).map(drop).expect(&url);
        } else {
            assert_eq!(refused(&url).0, "store_tls", "{url}");
        }
    }
    let empty = format!("{}&sslmode=verify-ca&sslrootcert={}", without(&by_name), other.path().display());
    assert_eq!(refused(&empty), is("store_tls", ErrorKind::Invalid));
    assert_eq!(refused(&empty.replace("sslrootcert=/", "sslrootcert=/none/")), is("store_tls", ErrorKind::Invalid));
}

#[test]
fn a_connection_that_is_cut_in_its_handshake_is_out_of_reach_and_not_untrusted() {
    use std::io::{Read as _, Write as _};

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        let (mut line, _) = listener.accept().unwrap();
        // It is asked for TLS, says yes, and is gone.
        line.read_exact(&mut [0; 8]).unwrap();
        line.write_all(b"S").unwrap();
    });
    let found = refused(&format!("postgres://tess@127.0.0.1:{port}/town?sslmode=require"));
    assert_eq!(found, is("store_unreachable", ErrorKind::Unavailable));
    server.join().unwrap();
}

#[test]
fn a_server_that_may_only_be_read_takes_no_writer() {
    let url = TestServer::shared().fresh_url();
    let read_only = format!("{url}&options=-c%20default_transaction_read_only%3Don");
    assert_eq!(refused(&read_only), is("store_read_only", ErrorKind::Forbidden));
    // There is no schema to read yet.
    assert_eq!(refusal(&read_only, Access::Read), is("store_read_only", ErrorKind::Forbidden));
    PostgresBackend::new(&url).unwrap().connect(Access::Write).unwrap();
    PostgresBackend::new(&read_only).unwrap().connect(Access::Read).unwrap();
    assert_eq!(refused(&read_only), is("store_read_only", ErrorKind::Forbidden));
}

#[test]
fn an_old_server_is_refused_with_both_versions() {
    for fine in ["13.0", "15.18 (Debian 15.18-0+deb12u1)", "19beta1"] {
        check_version(fine).unwrap();
    }
    for old in ["12.22", "9.6.24", ""] {
        let error = check_version(old).unwrap_err();
        assert_eq!((error.code(), error.kind()), ("postgres_too_old", ErrorKind::Unsupported));
        assert_eq!((error.fact("found"), error.fact("needed")), (Some(old), Some("13")));
    }
}

#[test]
fn a_schema_of_another_program_is_refused_and_left_alone() {
    for theirs in [
        "CREATE TABLE orders (id int)",
        "CREATE TABLE migration (id int, note text)",
        "CREATE VIEW v AS SELECT 1",
        "CREATE TABLE migration (version bigint, name text, sha256 text); INSERT INTO migration VALUES (1, 'begin', 'x')",
    ] {
        let backend = fresh();
        alter(&backend, &format!("CREATE SCHEMA {0}; SET search_path = {0}; {theirs}", backend.schema()));
        for access in [Access::Write, Access::Read] {
            let error = backend.connect(access).map(drop).unwrap_err();
            assert_eq!((error.code(), error.kind()), ("not_a_town", ErrorKind::Corrupt), "{theirs}: {error:?}");
        }
    }
    // An empty one may have been made by whoever gives out the rights.
    let backend = fresh();
    alter(&backend, &format!("CREATE SCHEMA {}", backend.schema()));
    backend.connect(Access::Write).unwrap();
}

#[test]
fn a_schema_of_a_later_version_is_refused() {
    let backend = fresh();
    backend.connect(Access::Write).unwrap();
    alter(&backend, "INSERT INTO migration VALUES (99, 'later', 'x', '9.9.9', 1)");
    let error = backend.connect(Access::Read).map(drop).unwrap_err();
    assert_eq!((error.code(), error.kind()), ("schema_newer", ErrorKind::Unsupported));
    assert_eq!((error.fact("found"), error.fact("known")), (Some("99"), Some(schema::VERSION.to_string().as_str())));
}

#[test]
fn a_schema_made_by_other_steps_is_refused() {
    let backend = fresh();
    backend.connect(Access::Write).unwrap();
    alter(&backend, "UPDATE migration SET sha256 = 'other' WHERE version = 1");
    let error = backend.connect(Access::Write).map(drop).unwrap_err();
    assert_eq!((error.code(), error.kind()), ("schema_altered", ErrorKind::Corrupt));
}

#[test]
fn every_older_schema_is_migrated_with_its_rows_and_journal() {
    let town = TownId::new("town").unwrap();
    for have in 1..schema::MIGRATIONS.len() {
        let mut draw = sample::Draw::new(7);
        let mut beads: Vec<_> = (0..90).map(|_| crate::model::Row::Bead(sample::bead(&mut draw))).collect();
        beads.sort_by_key(crate::model::Row::key);
        beads.dedup_by_key(|row| row.key());
        let first = sample::event(&crate::model::Head::default(), beads.first(), &mut draw);
        let (backend, beads) = older(have, &beads, std::slice::from_ref(&first));
        // Several come at once, a reader among them.
        std::thread::scope(|scope| {
            for access in [Access::Read, Access::Write, Access::Read] {
                let backend = &backend;
                scope.spawn(move || backend.connect(access).map(drop).unwrap());
            }
        });
        let mut connection = backend.connect(Access::Read).unwrap();
        let reader = connection.read(&town).unwrap();
        for row in &beads {
            assert_eq!(reader.get(&row.key()).unwrap().as_ref(), Some(row), "from schema {have}");
        }
        assert_eq!(reader.events(0, 10).unwrap(), [first]);
        let (found, wanted) = (tests::shape(&backend), shape::wanted());
        assert_eq!(found, wanted, "from schema {have}");
    }
}

#[tokio::test]
async fn a_thread_of_an_async_runtime_is_refused_and_not_blocked() {
    let backend = fresh();
    let error = backend.connect(Access::Write).map(drop).unwrap_err();
    assert_eq!((error.code(), error.kind()), ("store_blocking", ErrorKind::Internal));
}
