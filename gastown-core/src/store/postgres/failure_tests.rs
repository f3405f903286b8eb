//! Tests of what goes wrong between a store and its server: connections cut at every place, sessions ended, the server
//! restarted. Nothing that was acknowledged is lost, and nothing is there twice.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use super::testing::TestServer;
use super::*;
use crate::model::value::Value;
use crate::model::{BeadId, BeadRow, Row, RowKind};
use crate::store::conformance::sample::{self, Draw};
use crate::store::index::BEADS;
use crate::store::{Reader, Scan, Store, StoreOptions, Txn};

/// The longest a test may take before it says that it hangs.
const HANG: Duration = Duration::from_secs(60);

fn town() -> TownId {
    TownId::new("town").unwrap()
}

fn bead(number: i64, version: i64) -> Row {
    let id = BeadId::new(format!("gt-{number}")).unwrap();
    Row::Bead(BeadRow { id, version, ..sample::bead(&mut Draw::new(1)) })
}

/// Counts in the bead how often this was done, and journals it.
fn count_once(txn: &mut dyn Txn, number: i64) -> Result<()> {
    let known = match txn.get(&bead(number, 0).key())? {
        Some(Row::Bead(known)) => known.version,
        _ => 0,
    };
    txn.put(&bead(number, known + 1))?;
    let entry = sample::event(&txn.head()?, None, &mut Draw::new(2));
    txn.append(&[entry])
}

/// The beads' counts, and the end of the journal.
async fn counts(store: &Store) -> (Vec<i64>, u64) {
    let read = |reader: &dyn Reader| Ok((reader.scan(&Scan::new(&BEADS, vec![], 10_000))?, reader.head()?.seq));
    let (rows, seq) = store.read(read).await.unwrap();
    (rows.into_iter().map(|row| if let Row::Bead(bead) = row { bead.version } else { -1 }).collect(), seq)
}

/// Where the next commit is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    /// It does not reach the server.
    Before,
    /// It reaches the server; nobody waits for the answer.
    Behind,
    /// The server has answered, which does not reach the client.
    Answered,
    /// It does not reach the server, and nobody learns that the other is gone.
    Silent,
    /// As `Answered`, and nobody gets through from then on.
    Gone,
}

/// A wire to the server that can be cut.
struct Wire {
    url: String,
    next: Arc<Mutex<Option<Cut>>>,
    is_gone: Arc<AtomicBool>,
    /// Whether who connects now is not answered, and how many that were.
    is_deaf: Arc<AtomicBool>,
    unanswered: Arc<AtomicUsize>,
}

impl Wire {
    fn new(more: &str) -> Self {
        let server = TestServer::shared().fresh_url();
        let port: u16 = server.split("localhost:").nth(1).unwrap().split('/').next().unwrap().parse().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let here = listener.local_addr().unwrap().port();
        let url = format!("{}&sslmode=disable{more}", server.replace(&format!(":{port}/"), &format!(":{here}/")));
        let (is_deaf, unanswered) = (Arc::default(), Arc::default());
        let wire = Self { url, next: Arc::default(), is_gone: Arc::default(), is_deaf, unanswered };
        let (next, is_gone) = (Arc::clone(&wire.next), Arc::clone(&wire.is_gone));
        let (is_deaf, unanswered) = (Arc::clone(&wire.is_deaf), Arc::clone(&wire.unanswered));
        std::thread::spawn(move || {
            let mut kept = Vec::new();
            for client in listener.incoming() {
                let client = client.unwrap();
                if is_gone.load(Ordering::SeqCst) {
                    continue;
                }
                if is_deaf.load(Ordering::SeqCst) {
                    kept.push(client);
                    unanswered.fetch_add(1, Ordering::SeqCst);
                    continue;
                }
                let server = TcpStream::connect(("127.0.0.1", port)).unwrap();
                client.set_nodelay(true).unwrap();
                server.set_nodelay(true).unwrap();
                carry(client, server, Arc::clone(&next), Arc::clone(&is_gone));
            }
        });
        wire
    }

    fn cut(&self, cut: Cut) {
        *self.next.lock().unwrap() = Some(cut);
    }

    fn backend(&self) -> PostgresBackend {
        PostgresBackend::new(&self.url).unwrap()
    }
}

/// Carries messages both ways until one side ends, or the wire is cut at a commit.
fn carry(client: TcpStream, server: TcpStream, next: Arc<Mutex<Option<Cut>>>, is_gone: Arc<AtomicBool>) {
    let withheld = Arc::new(Mutex::new(None::<Cut>));
    let ends = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let hang_up = move || {
        let _ = ends.0.shutdown(Shutdown::Both);
        let _ = ends.1.shutdown(Shutdown::Both);
    };
    let hang_up = Arc::new(hang_up);
    let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let (hang, held) = (Arc::clone(&hang_up), Arc::clone(&withheld));
    std::thread::spawn(move || {
        let mut commits = Vec::new();
        let mut is_first = true;
        let mut is_cut = None;
        while let Some(message) = message(&mut from, is_first) {
            is_first = false;
            if message[0] == b'P' {
                let statement = name(&message[5..]);
                if name(&message[5 + statement.len() + 1..]) == b"COMMIT" {
                    commits.push(statement);
                }
            }
            if message[0] == b'B' {
                let portal = name(&message[5..]);
                if commits.contains(&name(&message[5 + portal.len() + 1..])) {
                    is_cut = next.lock().unwrap().take();
                }
            }
            match is_cut {
                Some(Cut::Before) => break,
                // Holds both ends open and says nothing.
                Some(Cut::Silent) => continue,
                Some(Cut::Answered | Cut::Gone) => *held.lock().unwrap() = is_cut,
                Some(Cut::Behind) | None => {}
            }
            if to.write_all(&message).is_err() || (is_cut == Some(Cut::Behind) && message[0] == b'S') {
                break;
            }
        }
        if !matches!(is_cut, Some(Cut::Answered | Cut::Gone)) {
            hang();
        }
    });
    let (mut from, mut to) = (server, client);
    std::thread::spawn(move || {
        while let Some(message) = message(&mut from, false) {
            let held = *withheld.lock().unwrap();
            if let Some(cut) = held {
                if message[0] == b'C' && name(&message[5..]) == b"COMMIT" {
                    is_gone.store(cut == Cut::Gone, Ordering::SeqCst);
                    break;
                }
                continue;
            }
            if to.write_all(&message).is_err() {
                break;
            }
        }
        hang_up();
    });
}

/// One message of the protocol; the client's first has no type.
fn message(from: &mut TcpStream, is_first: bool) -> Option<Vec<u8>> {
    let front = if is_first { 4 } else { 5 };
    let mut bytes = vec![0; front];
    from.read_exact(&mut bytes).ok()?;
    let length = u32::from_be_bytes(bytes[front - 4..].try_into().unwrap()) as usize;
    bytes.resize(front - 4 + length, 0);
    from.read_exact(&mut bytes[front..]).ok()?;
    Some(bytes)
}

fn name(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().copied().take_while(|byte| *byte != 0).collect()
}

async fn open(backend: PostgresBackend) -> Store {
    Store::open(Arc::new(backend), town(), StoreOptions::default()).await.unwrap()
}

/// Cuts the second of three commits; gives how often its command was run.
async fn cut_at_a_commit(cut: Cut, more: &str) -> usize {
    let wire = Wire::new(more);
    let store = open(wire.backend()).await;
    store.write(|txn| count_once(txn, 1)).await.unwrap();
    wire.cut(cut);
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let write = store.write(move |txn| {
        counted.fetch_add(1, Ordering::SeqCst);
        count_once(txn, 2)
    });
    tokio::time::timeout(HANG, write).await.expect("it hangs").unwrap();
    assert_eq!(*wire.next.lock().unwrap(), None, "the wire was cut");
    assert_eq!(counts(&store).await, (vec![1, 1], 2), "{cut:?}");
    store.write(|txn| count_once(txn, 3)).await.unwrap();
    assert_eq!(counts(&store).await, (vec![1, 1, 1], 3), "{cut:?}");
    store.close().await.unwrap();
    runs.load(Ordering::SeqCst)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_did_not_reach_the_server_is_tried_again() {
    assert_eq!(cut_at_a_commit(Cut::Before, "").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_was_lost_is_found_done() {
    assert_eq!(cut_at_a_commit(Cut::Answered, "").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_was_sent_into_the_dark_is_done_once() {
    for _ in 0..5 {
        let runs = cut_at_a_commit(Cut::Behind, "").await;
        assert!((1..=2).contains(&runs), "{runs}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_on_a_line_that_went_silent_is_tried_again() {
    // The server does not know that the client is gone, and the old transaction holds the town's lock.
    assert_eq!(cut_at_a_commit(Cut::Silent, "&answer_timeout_ms=500").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_of_which_nobody_tells_is_unknown_and_not_tried_again() {
    let wire = Wire::new("&recover_timeout_ms=300");
    let store = open(wire.backend()).await;
    wire.cut(Cut::Gone);
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let write = store.write(move |txn| {
        counted.fetch_add(1, Ordering::SeqCst);
        count_once(txn, 1)
    });
    let error = tokio::time::timeout(HANG, write).await.expect("it hangs").unwrap_err();
    assert_eq!((error.code(), error.kind()), ("commit_unknown", crate::ErrorKind::Unavailable), "{error:?}");
    wire.is_gone.store(false, Ordering::SeqCst);
    assert_eq!(counts(&store).await, (vec![1], 1));
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    store.close().await.unwrap();
}

/// Ends every session of that name but the asking one.
fn end_sessions(name: &str) {
    let line = PostgresBackend::new(TestServer::shared().url()).unwrap().open_bare().unwrap();
    let sql =
        format!("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = '{name}'");
    line.ask(Step::new(sql, vec![])).unwrap();
}

fn named(name: &str) -> PostgresBackend {
    let name = format!("{name}-{}", std::process::id());
    PostgresBackend::new(&format!("{}&application_name={name}", TestServer::shared().fresh_url())).unwrap()
}

fn name_of(backend: &PostgresBackend) -> String {
    backend.place.config.get_application_name().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_are_ended_between_commands_are_opened_again() {
    let backend = named("between");
    let store = open(backend.clone()).await;
    for round in 1..=3 {
        store.write(move |txn| count_once(txn, round)).await.unwrap();
        let name = name_of(&backend);
        tokio::task::spawn_blocking(move || std::thread::spawn(move || end_sessions(&name)).join().unwrap())
            .await
            .unwrap();
        assert_eq!(counts(&store).await.1, u64::try_from(round).unwrap());
    }
    assert_eq!(counts(&store).await, (vec![1, 1, 1], 3));
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_ended_under_a_command_costs_another_run() {
    for place in 0..4 {
        let backend = named("under");
        let store = open(backend.clone()).await;
        let runs = Arc::new(AtomicUsize::new(0));
        let (counted, name) = (Arc::clone(&runs), name_of(&backend));
        let write = store.write(move |txn| {
            let is_first = counted.fetch_add(1, Ordering::SeqCst) == 0;
            let end = |here: usize| {
                if is_first && here == place {
                    end_sessions(&name);
                }
            };
            end(0);
            txn.get(&bead(1, 0).key())?;
            end(1);
            count_once(txn, 1)?;
            end(2);
            // Whatever a command makes of the error, it is not answered with what was lost.
            let _ = txn.scan(&Scan::new(&BEADS, vec![], 10));
            end(3);
            Ok(())
        });
        tokio::time::timeout(HANG, write).await.expect("it hangs").unwrap();
        assert_eq!((runs.load(Ordering::SeqCst), counts(&store).await), (2, (vec![1], 1)), "place {place}");
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stands_still_in_a_transaction_makes_the_others_wait_and_refuses_them_nothing() {
    // With the wait for a lock as long as it is by default, and a server that does not wait that long.
    let url = format!("{}&idle_timeout_ms=300", TestServer::shared().fresh_url());
    let backend = || PostgresBackend::new(&url).unwrap();
    let (still, other) = (open(backend()).await, open(backend()).await);
    let (stands, is_standing) = tokio::sync::oneshot::channel();
    let (goes_on, waits) = mpsc::sync_channel(1);
    let mut stands = Some(stands);
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let held = still.clone();
    let standing = tokio::spawn(async move {
        let write = held.write(move |txn| {
            counted.fetch_add(1, Ordering::SeqCst);
            txn.get(&bead(1, 0).key())?;
            if let Some(stands) = stands.take() {
                stands.send(()).unwrap();
                waits.recv().unwrap();
            }
            count_once(txn, 1)
        });
        write.await
    });
    is_standing.await.unwrap();
    let write = other.write(|txn| count_once(txn, 2));
    tokio::time::timeout(HANG, write).await.expect("it hangs").unwrap();
    assert_eq!(counts(&other).await, (vec![1], 1), "nothing of the one that stood still");
    goes_on.send(()).unwrap();
    standing.await.unwrap().unwrap();
    assert_eq!((runs.load(Ordering::SeqCst), counts(&other).await), (2, (vec![1, 1], 2)));
    still.close().await.unwrap();
    other.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_was_taken_away_is_not_made_again_under_an_open_store() {
    let backend = PostgresBackend::new(&TestServer::shared().fresh_url()).unwrap();
    let store = open(backend.clone()).await;
    store.write(|txn| count_once(txn, 1)).await.unwrap();
    let name = backend.schema().to_owned();
    let dropping = backend.clone();
    let drop = move || super::tests::alter(&dropping, &format!("DROP SCHEMA {} CASCADE", dropping.schema()));
    tokio::task::spawn_blocking(move || std::thread::spawn(drop).join().unwrap()).await.unwrap();
    for _ in 0..2 {
        assert_eq!(store.write(|txn| count_once(txn, 2)).await.unwrap_err().code(), "schema_altered");
        let looked = store.check().await;
        assert!(looked.is_err() || looked.as_ref().is_ok_and(|damage| !damage.is_empty()), "{looked:?}");
    }
    let is_there = move || {
        let line = PostgresBackend::new(TestServer::shared().url()).unwrap().open_bare().unwrap();
        let asked = format!("SELECT 1 FROM pg_namespace WHERE nspname = '{name}'");
        !line.ask(Step::new(asked, vec![])).unwrap().is_empty()
    };
    let is_there = tokio::task::spawn_blocking(move || std::thread::spawn(is_there).join().unwrap()).await.unwrap();
    assert!(!is_there, "somebody made it again");
    store.close().await.unwrap();
}

#[test]
fn by_default_who_stands_still_is_not_waited_for_longer_than_a_writer_waits() {
    let idle = PostgresBackend::new("postgresql://somebody@localhost/town").unwrap().place.idle_timeout;
    assert!(idle < Duration::from_millis(StoreOptions::default().busy_ms));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_whose_session_is_ended_is_run_again() {
    let backend = named("read");
    let store = open(backend.clone()).await;
    store.write(|txn| count_once(txn, 1)).await.unwrap();
    let name = name_of(&backend);
    let mut runs = 0;
    let read = store.read(move |reader| {
        runs += 1;
        if runs == 1 {
            end_sessions(&name);
        }
        Ok((reader.scan(&Scan::new(&BEADS, vec![], 10))?.len(), runs))
    });
    assert_eq!(tokio::time::timeout(HANG, read).await.expect("it hangs").unwrap(), (1, 2));
    store.close().await.unwrap();
}

#[test]
fn a_watch_whose_session_is_ended_says_maybe_and_goes_on() {
    let backend = named("watch");
    let mut writer = backend.connect(Access::Write).unwrap();
    let mut changes = backend.changes().unwrap().unwrap();
    let append = |writer: &mut dyn Connection| {
        let mut txn = writer.write(&town()).unwrap();
        let entry = sample::event(&txn.head().unwrap(), None, &mut Draw::new(2));
        txn.append(&[entry]).unwrap();
        txn.commit().unwrap();
    };
    append(&mut *writer);
    assert!(changes.wait(HANG).unwrap());
    end_sessions(&name_of(&backend));
    assert!(changes.wait(HANG).unwrap(), "what was committed meanwhile may have been missed");
    append(&mut *writer);
    assert!(changes.wait(HANG).unwrap());
}

/// Nobody waits for a server that takes connections and answers none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_closes_while_its_watch_waits_for_a_server_that_says_nothing() {
    let name = format!("deaf-{}", std::process::id());
    let wire = Wire::new(&format!("&application_name={name}&answer_timeout_ms=600000"));
    let store = open(wire.backend()).await;
    wire.is_deaf.store(true, Ordering::SeqCst);
    tokio::task::spawn_blocking(move || std::thread::spawn(move || end_sessions(&name)).join().unwrap()).await.unwrap();
    // The watch is the only one that connects again by itself.
    tokio::time::timeout(HANG, async {
        while wire.unanswered.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    tokio::time::timeout(HANG, store.close()).await.expect("closing does not wait for the server").unwrap();
}

#[test]
fn a_look_at_the_journal_is_interrupted() {
    let backend = named("look");
    backend.connect(Access::Write).unwrap();
    let mut changes = backend.changes().unwrap().unwrap();
    assert_eq!(changes.head(&town()).unwrap(), Some(0));
    let blocker = backend.open_bare().unwrap();
    blocker.batch("BEGIN; LOCK TABLE event IN ACCESS EXCLUSIVE MODE").unwrap();
    let interrupter = changes.interrupter();
    let waker = std::thread::spawn(move || interrupter.wake());
    assert_eq!(changes.head(&town()).unwrap_err().code(), "connection_lost");
    waker.join().unwrap();
    assert!(!changes.wait(HANG).unwrap());
}

/// The server gives a number a second time: only the session that was meant is ended.
#[test]
fn a_later_session_of_the_same_number_is_not_ended() {
    let backend = named("number");
    backend.connect(Access::Write).unwrap();
    let (line, asker) = (backend.open_bare().unwrap(), backend.open_bare().unwrap());
    let key = backend.lock_key(&town());
    let session = connection::lock(&line, &town(), key).unwrap().session;
    let end = |since: i64| {
        let numbers = [session.pid, since, key].map(Parameter::int);
        asker.ask(Step::new(sql::END_SESSION, numbers.to_vec())).unwrap().len()
    };
    assert_eq!(end(session.since - 1), 0);
    line.batch("COMMIT").unwrap();
    connection::lock(&line, &town(), key).unwrap();
    assert_eq!(end(session.since), 1);
}

/// Only what the server says of its pages is damage.
#[test]
fn a_mistake_of_the_servers_own_is_no_damage() {
    let line = fresh_line();
    for (state, words, code) in [
        ("XX000", "tuple concurrently updated", "store_conflict"),
        ("XX000", "cache lookup failed", "store_postgres"),
        ("XX001", "invalid page", "store_corrupt"),
        ("XX002", "index is broken", "store_corrupt"),
    ] {
        let raise = format!("DO $$ BEGIN RAISE EXCEPTION '{words}' USING ERRCODE = '{state}'; END $$");
        assert_eq!(line.batch(&raise).unwrap_err().code(), code, "{state} {words}");
    }
}

fn fresh_line() -> Line {
    PostgresBackend::new(&TestServer::shared().fresh_url()).unwrap().open_bare().unwrap()
}

/// A server that crashes and comes back while callers write: what was answered is there, once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_crashes_loses_no_acknowledged_command_and_doubles_none() {
    let mut server = TestServer::own();
    let options = StoreOptions { busy_ms: 60_000, ..StoreOptions::default() };
    let url = format!("{}&recover_timeout_ms=60000", server.fresh_url());
    let store = Store::open(Arc::new(PostgresBackend::new(&url).unwrap()), town(), options).await.unwrap();
    let is_over = Arc::new(AtomicBool::new(false));
    let (said, heard) = mpsc::sync_channel::<()>(10_000);
    let callers: Vec<_> = (0..8)
        .map(|caller| {
            let (store, is_over, said) = (store.clone(), Arc::clone(&is_over), said.clone());
            tokio::spawn(async move {
                let mut done = 0;
                while !is_over.load(Ordering::SeqCst) {
                    let number = caller * 100_000 + done;
                    store.write(move |txn| count_once(txn, number)).await.unwrap();
                    done += 1;
                    let _ = said.try_send(());
                }
                done
            })
        })
        .collect();
    let restarts = std::thread::spawn(move || {
        for _ in 0..3 {
            // In the middle of the work.
            (0..40).for_each(|_| heard.recv_timeout(HANG).expect("the work goes on"));
            server.order("restart");
        }
        (0..40).for_each(|_| heard.recv_timeout(HANG).expect("the work goes on"));
        server
    });
    let server = tokio::task::spawn_blocking(move || restarts.join().unwrap()).await.unwrap();
    is_over.store(true, Ordering::SeqCst);
    let mut acknowledged = 0;
    for caller in callers {
        acknowledged += usize::try_from(caller.await.unwrap()).unwrap();
    }
    let (versions, seq) = counts(&store).await;
    assert_eq!((versions.len(), seq), (acknowledged, acknowledged as u64));
    assert!(versions.iter().all(|version| *version == 1), "a command was done twice");
    store.close().await.unwrap();
    drop(server);
}

/// A change that the server refuses is its command's failure, also where it was only sent with another's.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_fails_late_fails_its_command_alone() {
    let store = open(named("late")).await;
    // Too long for an index, and nothing that could be packed.
    let mut draw = Draw::new(5);
    let long: String = (0..20_000).map(|_| char::from(b'!' + u8::try_from(draw.below(90)).unwrap())).collect();
    let setting = [Value::Text("town".into()), Value::Text(long), Value::Text("1".into()), Value::Int(1)];
    let alone = setting.clone();
    let error = store.write(move |txn| txn.put_values(RowKind::Setting, &alone)).await.unwrap_err();
    assert_eq!((error.code(), error.kind()), ("row_too_big", crate::ErrorKind::Exhausted), "{error:?}");

    let (begun, has_begun) = tokio::sync::oneshot::channel();
    let (release, released) = mpsc::sync_channel::<()>(1);
    let (released, mut begun) = (Mutex::new(released), Some(begun));
    let holder = store.clone();
    let held = tokio::spawn(async move {
        holder
            .write(move |_| {
                let _ = begun.take().map(|begun| begun.send(()));
                let _ = released.lock().unwrap().recv();
                Ok(())
            })
            .await
    });
    has_begun.await.unwrap();
    let mut sent = Vec::new();
    for number in 1..=5 {
        let (store, setting) = (store.clone(), setting.clone());
        let depth = store.queue_depth();
        let waits = store.clone();
        sent.push(tokio::spawn(async move {
            store
                .write(
                    move |txn| {
                        if number == 3 { txn.put_values(RowKind::Setting, &setting) } else { count_once(txn, number) }
                    },
                )
                .await
        }));
        while waits.queue_depth() == depth {
            tokio::task::yield_now().await;
        }
    }
    drop(release);
    held.await.unwrap().unwrap();
    for (number, answer) in (1..).zip(sent) {
        let answer = answer.await.unwrap();
        assert_eq!(answer.err().map(|error| error.code().to_owned()), (number == 3).then(|| "row_too_big".to_owned()));
    }
    assert_eq!(counts(&store).await, (vec![1; 4], 4));
    store.close().await.unwrap();
}
