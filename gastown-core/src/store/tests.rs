//! Tests of the store's writer and readers, most of them against both backends.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use super::conformance::commands::{Held, send};
use super::conformance::sample::{self, Draw};
use super::faulty::Faulty;
use super::index::BEADS;
use super::{Backend, MemoryBackend, READERS_MAX, Reader, Scan, Store, StoreOptions, Txn};
use crate::model::{BeadId, BeadRow, Error, ErrorKind, Event, Head, Result, Row, TownId};

fn town() -> TownId {
    TownId::new("town").unwrap()
}

async fn open(backend: impl Backend) -> Store {
    Store::open(Arc::new(backend), town(), StoreOptions::default()).await.unwrap()
}

/// A bead with its number as its version.
fn bead(number: i64) -> Row {
    let id = BeadId::new(format!("gt-{number}")).unwrap();
    Row::Bead(BeadRow { id, version: number, ..sample::bead(&mut Draw::new(1)) })
}

fn event(txn: &dyn Reader) -> Event {
    sample::event(&txn.head().unwrap(), None, &mut Draw::new(2))
}

fn refused() -> Error {
    Error::conflict("refused", "the command is refused")
}

async fn versions(store: &Store) -> BTreeSet<i64> {
    let rows = store.read(|reader| reader.scan(&Scan::new(&BEADS, vec![], 10_000))).await.unwrap();
    rows.into_iter().map(|row| if let Row::Bead(bead) = row { bead.version } else { -1 }).collect()
}

#[tokio::test]
async fn what_waits_is_committed_at_once() {
    let backend = Faulty::default();
    let faults = Arc::clone(&backend.faults);
    let store = open(backend).await;
    let held = Held::new(&store).await;
    let mut sent = Vec::new();
    for number in 0..50 {
        sent.push(send(&store, move |txn| txn.put(&bead(number))).await);
    }
    assert_eq!(store.queue_depth(), 50);
    held.release().await;
    for answer in sent {
        answer.await.unwrap().unwrap();
    }
    assert_eq!(faults.commits.load(Ordering::SeqCst), 2, "the holder's, and one for all that waited");
    assert_eq!(faults.savepoints.load(Ordering::SeqCst), 0, "nothing had to be undone");
}

#[tokio::test]
async fn a_failed_commit_answers_every_command_with_the_same_error() {
    let backend = Faulty::default();
    let faults = Arc::clone(&backend.faults);
    let store = open(backend).await;
    store.write(|txn| txn.put(&bead(1))).await.unwrap();
    let held = Held::new(&store).await;
    let mut sent = Vec::new();
    for number in 20..30 {
        sent.push(send(&store, move |txn| txn.put(&bead(number))).await);
    }
    faults.commits_fail.store(true, Ordering::SeqCst);
    // The one that was alone, and then the batch.
    assert_eq!(held.ended().await.unwrap_err().code(), "store_io");
    for answer in sent {
        let error = answer.await.unwrap().unwrap_err();
        assert_eq!((error.code(), error.kind()), ("store_io", ErrorKind::Unavailable));
    }
    assert_eq!(faults.commits.load(Ordering::SeqCst), 3, "ten commands failed by one commit");
    faults.commits_fail.store(false, Ordering::SeqCst);
    store.write(|txn| txn.put(&bead(40))).await.unwrap();
    assert_eq!(versions(&store).await, BTreeSet::from([1, 40]));
    assert_eq!(faults.connects.load(Ordering::SeqCst), 3, "a connection whose commit failed is not used again");
}

#[tokio::test]
async fn a_panic_is_one_commands_and_the_others_are_run_again() {
    for_each_backend(async |store| {
        let held = Held::new(&store).await;
        let runs = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&runs);
        let before = send(&store, move |txn| {
            counted.fetch_add(1, Ordering::SeqCst);
            assert!(txn.get(&bead(1).key())?.is_none(), "nothing of an earlier run is there");
            txn.put(&bead(1))
        })
        .await;
        let panics = send(&store, |txn| -> Result<()> {
            txn.put(&bead(2))?;
            panic!("this command panics")
        })
        .await;
        let after = send(&store, |txn| txn.put(&bead(3))).await;
        held.release().await;
        before.await.unwrap().unwrap();
        let error = panics.await.unwrap().unwrap_err();
        assert_eq!((error.code(), error.kind()), ("command_panicked", ErrorKind::Internal));
        assert_eq!(error.fact("panic"), Some("\"this command panics\""));
        after.await.unwrap().unwrap();
        assert_eq!(runs.load(Ordering::SeqCst), 2);
        assert_eq!(versions(&store).await, BTreeSet::from([1, 3]));
    })
    .await;
}

#[tokio::test]
async fn a_panic_of_a_read_is_its_own() {
    for_each_backend(async |store| {
        for _ in 0..4 {
            let error = store.read(|_| -> Result<()> { panic!("this read panics") }).await.unwrap_err();
            assert_eq!(error.code(), "command_panicked");
        }
        assert_eq!(store.read(|reader| reader.head()).await.unwrap(), Head::default());
    })
    .await;
}

#[tokio::test]
async fn a_backend_that_panics_fails_its_transaction_and_not_the_store() {
    let backend = Faulty::default();
    let faults = Arc::clone(&backend.faults);
    let store = open(backend).await;
    let mut opened = 1;
    for (place, code, kind) in [
        ("write", "backend_panicked", ErrorKind::Internal),
        ("head", "backend_panicked", ErrorKind::Internal),
        ("commit", "commit_unknown", ErrorKind::Unavailable),
    ] {
        faults.panic_in(place);
        let error = store.write(|txn| txn.put(&bead(1))).await.unwrap_err();
        assert_eq!((error.code(), error.kind()), (code, kind), "{place}");
        assert_eq!(error.fact("panic"), Some(&*format!("\"the backend panics in {place}\"")));
        store.write(|txn| txn.put(&bead(2))).await.unwrap();
        opened += 1;
        assert_eq!(faults.connects.load(Ordering::SeqCst), opened, "{place}: the connection is given up");
    }
    assert_eq!(versions(&store).await, BTreeSet::from([2]));

    faults.panic_in("committed");
    assert_eq!(store.write(|txn| txn.put(&bead(3))).await.unwrap_err().code(), "commit_unknown");
    assert_eq!(versions(&store).await, BTreeSet::from([2, 3]), "which is why nobody can say");

    faults.panic_in("connect");
    assert_eq!(store.write(|txn| txn.put(&bead(4))).await.unwrap_err().code(), "backend_panicked");
    store.write(|txn| txn.put(&bead(5))).await.unwrap();
    assert_eq!(versions(&store).await, BTreeSet::from([2, 3, 5]));
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_backend_that_panics_at_a_savepoint_fails_the_whole_batch() {
    for place in ["savepoint", "rollback"] {
        let backend = Faulty::default();
        let faults = Arc::clone(&backend.faults);
        let store = open(backend).await;
        let held = Held::new(&store).await;
        let mut sent = Vec::new();
        for number in 0..3 {
            // One that must be undone alone makes it a batch with savepoints.
            let job = move |txn: &mut dyn Txn| {
                txn.put(&bead(number))?;
                if number == 1 { Err(refused()) } else { Ok(()) }
            };
            sent.push(send(&store, job).await);
        }
        faults.panic_in(place);
        held.release().await;
        for answer in sent {
            assert_eq!(answer.await.unwrap().unwrap_err().code(), "backend_panicked", "{place}");
        }
        store.write(|txn| txn.put(&bead(9))).await.unwrap();
        assert_eq!(versions(&store).await, BTreeSet::from([9]));
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_backend_that_panics_in_a_read_or_a_vacuum_is_opened_anew() {
    let backend = Faulty::default();
    let faults = Arc::clone(&backend.faults);
    let options = StoreOptions { readers: 1, ..StoreOptions::default() };
    let store = Store::open(Arc::new(backend), town(), options).await.unwrap();
    store.write(|txn| txn.put(&bead(1))).await.unwrap();
    for place in ["read", "connect to read"] {
        faults.panic_in(place);
        let error = store.read(|reader| reader.head()).await.unwrap_err();
        assert_eq!((error.code(), error.kind()), ("backend_panicked", ErrorKind::Internal), "{place}");
    }
    assert_eq!(versions(&store).await, BTreeSet::from([1]));
    faults.panic_in("vacuum");
    let error = store.vacuum().await.unwrap_err();
    assert_eq!((error.code(), error.kind()), ("backend_panicked", ErrorKind::Internal));
    store.vacuum().await.unwrap();
    assert_eq!(faults.connects.load(Ordering::SeqCst), 2);
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_busy_backend_is_tried_again_until_the_deadline() {
    let backend = Faulty::default();
    let faults = Arc::clone(&backend.faults);
    let options = StoreOptions { busy_ms: 60_000, ..StoreOptions::default() };
    let store = Store::open(Arc::new(backend), town(), options).await.unwrap();
    faults.begins_busy.store(3, Ordering::SeqCst);
    store.write(|txn| txn.put(&bead(1))).await.unwrap();
    assert_eq!(faults.begins_busy.load(Ordering::SeqCst), 0);

    let backend = Faulty::default();
    backend.faults.begins_busy.store(u32::MAX, Ordering::SeqCst);
    let options = StoreOptions { busy_ms: 20, ..StoreOptions::default() };
    let store = Store::open(Arc::new(backend), town(), options).await.unwrap();
    assert_eq!(store.write(|_| Ok(())).await.unwrap_err().code(), "store_busy");
}

#[tokio::test]
async fn watchers_are_woken_by_commits_that_appended() {
    for_each_backend(async |store| {
        let mut commits = store.commits();
        assert_eq!(*commits.borrow_and_update(), 0);
        store.write(|txn| txn.put(&bead(1))).await.unwrap();
        assert!(!commits.has_changed().unwrap(), "the journal is as it was");
        let wake = store.write(|txn| {
            let entry = event(txn.as_reader());
            txn.append(&[entry])
        });
        let (woken, written) = tokio::join!(commits.changed(), wake);
        woken.unwrap();
        written.unwrap();
        assert_eq!(*commits.borrow(), 1);
    })
    .await;
}

#[tokio::test]
async fn dropping_the_last_handle_ends_the_threads() {
    let backend = Faulty::default();
    let faults = Arc::clone(&backend.faults);
    let store = open(backend).await;
    let clone = store.clone();
    let mut commits = store.commits();
    drop(store);
    clone.write(|txn| txn.put(&bead(1))).await.unwrap();
    drop(clone);
    // The writer's thread holds the other end.
    assert!(tokio::time::timeout(Duration::from_secs(30), commits.changed()).await.unwrap().is_err());
    let mut held = faults;
    while let Err(still) = Arc::try_unwrap(held) {
        held = still;
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_option_of_zero_or_beyond_its_bound_is_refused() {
    let most = StoreOptions { readers: READERS_MAX, ..StoreOptions::default() };
    Store::open(Arc::new(MemoryBackend::new()), town(), most).await.unwrap().close().await.unwrap();
    for options in [
        StoreOptions { readers: READERS_MAX + 1, ..StoreOptions::default() },
        StoreOptions { queue: usize::MAX, ..StoreOptions::default() },
        StoreOptions { batch: usize::MAX, ..StoreOptions::default() },
        StoreOptions { readers: 0, ..StoreOptions::default() },
        StoreOptions { queue: 0, ..StoreOptions::default() },
        StoreOptions { batch: 0, ..StoreOptions::default() },
        StoreOptions { check_ms: 0, ..StoreOptions::default() },
    ] {
        let error = Store::open(Arc::new(MemoryBackend::new()), town(), options).await.unwrap_err();
        assert_eq!((error.code(), error.kind()), ("store_option", ErrorKind::Invalid));
    }
}

/// Adds one to a bead's version so many times, through two stores at once.
/// It is asked each time somebody asks how a town is.
#[tokio::test]
async fn a_description_costs_no_connection() {
    let backend = Faulty::default();
    let faults = Arc::clone(&backend.faults);
    let store = open(backend).await;
    let before = faults.connects_to_read.load(Ordering::SeqCst);
    for _ in 0..10 {
        store.describe().await.unwrap();
    }
    assert_eq!(faults.connects_to_read.load(Ordering::SeqCst), before);
    store.close().await.unwrap();
    assert_eq!(store.describe().await.unwrap_err().code(), "store_closed");
}

/// Reads aside that tell when they began, and end when they are let go.
async fn read_aside(store: Store, began: mpsc::SyncSender<()>, go: Arc<Mutex<mpsc::Receiver<()>>>) -> Result<()> {
    store
        .read_aside(move |_| {
            began.send(()).unwrap();
            // Let go when the sender is dropped.
            let _ = go.lock().unwrap().recv();
            Ok(())
        })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_waits_for_what_is_read_aside() {
    let store = open(MemoryBackend::default()).await;
    let ((began, heard), (go, let_go)) = (mpsc::sync_channel(5), mpsc::sync_channel(0));
    let aside = tokio::spawn(read_aside(store.clone(), began, Arc::new(Mutex::new(let_go))));
    heard.recv().unwrap();
    let closing = tokio::time::timeout(Duration::from_millis(200), store.close()).await;
    assert!(closing.is_err(), "the store closed under a read");
    let late = store.check().await.unwrap_err();
    assert_eq!(late.code(), "store_closed");
    drop(go);
    aside.await.unwrap().unwrap();
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_are_read_aside_at_a_time_and_the_others_wait() {
    let store = open(MemoryBackend::default()).await;
    let ((began, heard), (go, let_go)) = (mpsc::sync_channel(5), mpsc::sync_channel(0));
    let let_go = Arc::new(Mutex::new(let_go));
    let asides: Vec<_> =
        (0..5).map(|_| tokio::spawn(read_aside(store.clone(), began.clone(), Arc::clone(&let_go)))).collect();
    heard.recv().unwrap();
    heard.recv().unwrap();
    assert!(heard.recv_timeout(Duration::from_millis(200)).is_err(), "a third one runs");
    drop(go);
    for aside in asides {
        aside.await.unwrap().unwrap();
    }
    assert_eq!(heard.try_iter().count(), 3);
}

async fn two_stores_lose_no_update(first: Store, second: Store) {
    first.write(|txn| txn.put(&bead(0))).await.unwrap();
    let key = bead(0).key();
    let mut callers = Vec::new();
    for store in [&first, &second] {
        for _ in 0..50 {
            let (store, key) = (store.clone(), key.clone());
            callers.push(tokio::spawn(async move {
                store
                    .write(move |txn| {
                        let Some(Row::Bead(mut bead)) = txn.get(&key)? else { return Err(refused()) };
                        bead.version += 1;
                        txn.put(&Row::Bead(bead))?;
                        let entry = event(txn.as_reader());
                        txn.append(&[entry])
                    })
                    .await
            }));
        }
    }
    for caller in callers {
        caller.await.unwrap().unwrap();
    }
    for store in [&first, &second] {
        assert_eq!(versions(store).await, BTreeSet::from([100]));
        assert_eq!(store.read(|reader| reader.head()).await.unwrap().seq, 100);
    }
    assert_eq!((*first.commits().borrow()).max(*second.commits().borrow()), 100);
}

#[tokio::test]
async fn a_store_that_cannot_hear_looks_now_and_then() {
    // This backend watches nothing.
    let backend = Faulty::default();
    let inner = backend.inner.clone();
    let options = StoreOptions { check_ms: 10, ..StoreOptions::default() };
    let store = Store::open(Arc::new(backend), town(), options).await.unwrap();
    let mut commits = store.commits();
    let other = open(inner).await;
    other
        .write(|txn| {
            let entry = event(txn.as_reader());
            txn.append(&[entry])
        })
        .await
        .unwrap();
    tokio::time::timeout(Duration::from_secs(60), commits.changed()).await.expect("it looks").unwrap();
    assert_eq!(*commits.borrow(), 1);
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_stores_of_one_memory_lose_no_update() {
    let backend = MemoryBackend::new();
    two_stores_lose_no_update(open(backend.clone()).await, open(backend).await).await;
}

async fn for_each_backend(test: impl AsyncFn(Store)) {
    test(open(MemoryBackend::new()).await).await;
    #[cfg(feature = "sqlite")]
    {
        let directory = tempfile::tempdir().unwrap();
        test(open(sqlite(&directory)).await).await;
    }
    #[cfg(feature = "postgres")]
    test(open(postgres()).await).await;
}

#[cfg(feature = "postgres")]
fn postgres() -> super::PostgresBackend {
    super::PostgresBackend::new(&super::postgres::testing::TestServer::shared().fresh_url()).unwrap()
}

#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_stores_of_one_schema_lose_no_update() {
    let backend = postgres();
    two_stores_lose_no_update(open(backend.clone()).await, open(backend).await).await;
}

#[cfg(feature = "sqlite")]
fn sqlite(directory: &tempfile::TempDir) -> super::SqliteBackend {
    super::SqliteBackend::new(directory.path().join("town.db"), super::SqliteOptions::default())
}

#[cfg(feature = "sqlite")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_stores_of_one_file_lose_no_update() {
    let directory = tempfile::tempdir().unwrap();
    two_stores_lose_no_update(open(sqlite(&directory)).await, open(sqlite(&directory)).await).await;
}

#[cfg(all(feature = "sqlite", target_os = "linux"))]
#[tokio::test]
async fn a_closed_store_keeps_no_watch_and_no_file_open() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("town.db");
    // The kernel names a watched file by its inode, in hexadecimal.
    let held = |file: &std::path::Path| {
        let inode = std::fs::metadata(file).map(|of| std::os::unix::fs::MetadataExt::ino(&of)).unwrap();
        let watched = format!(" ino:{inode:x} ");
        let infos = std::fs::read_dir("/proc/self/fdinfo").unwrap().flatten();
        let count =
            infos.filter(|info| std::fs::read_to_string(info.path()).is_ok_and(|text| text.contains(&watched))).count();
        let links = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
        let files = links.filter(|fd| std::fs::read_link(fd.path()).is_ok_and(|to| to == file)).count();
        (count, files)
    };
    let store = open(sqlite(&directory)).await;
    let (watches, files) = held(&file);
    assert!(watches == 1 && files > 0, "{watches} watches, {files} files");
    store.close().await.unwrap();
    assert_eq!(held(&file), (0, 0), "also while a handle is left");
    drop(store);
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn a_closed_file_holds_everything_by_itself() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(sqlite(&directory)).await;
    store.write(|txn| txn.put(&bead(1))).await.unwrap();
    assert_eq!(versions(&store).await.len(), 1);
    store.close().await.unwrap();
    let files: Vec<_> = std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(files, ["town.db"], "the log was taken in");
    assert_eq!(versions(&open(sqlite(&directory)).await).await, BTreeSet::from([1]));
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn a_store_that_cannot_be_opened_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("no").join("town.db");
    let backend = super::SqliteBackend::new(path, super::SqliteOptions::default());
    let error = Store::open(Arc::new(backend), town(), StoreOptions::default()).await.unwrap_err();
    assert_eq!((error.code(), error.kind()), ("store_unreachable", ErrorKind::Unavailable));
}
