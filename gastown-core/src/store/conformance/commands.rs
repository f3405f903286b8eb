//! Cases about commands of a store: batches, failures among them, callers that go away, and the end.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use super::Site;
use super::kit::{Bench, all, append, bead_of, issue, names, store, town, wait};
use crate::model::value::Value;
use crate::model::{BeadId, BeadRow, Error, ErrorKind, LabelRow, Result, Row};
use crate::store::index::{BEADS, LABELS};
use crate::store::{Scan, Store, StoreOptions, Txn};

fn put(txn: &mut dyn Txn, name: &str) -> Result<()> {
    txn.put(&Row::Bead(issue(name)))?;
    append(txn, 1);
    Ok(())
}

fn refused<T>() -> Result<T> {
    Err(Error::conflict("refused", "the command is refused"))
}

async fn beads(store: &Store) -> Vec<String> {
    store.read(|reader| Ok(names(&all(reader, &BEADS, &[])))).await.unwrap()
}

/// Holds the writer in a command, so that what is sent meanwhile becomes one batch.
pub(in crate::store) struct Held {
    release: mpsc::SyncSender<()>,
    command: tokio::task::JoinHandle<Result<()>>,
}

impl Held {
    pub(in crate::store) async fn new(store: &Store) -> Self {
        let (release, released) = mpsc::sync_channel::<()>(1);
        let released = Mutex::new(released);
        let (begun, has_begun) = tokio::sync::oneshot::channel();
        let mut begun = Some(begun);
        let store = store.clone();
        let command = tokio::spawn(async move {
            let hold = move |_: &mut dyn Txn| {
                if let Some(begun) = begun.take() {
                    let _ = begun.send(());
                    // It ends when the other side goes away.
                    let _ = released.lock().unwrap().recv();
                }
                Ok(())
            };
            store.write(hold).await
        });
        has_begun.await.unwrap();
        Self { release, command }
    }

    pub(in crate::store) async fn release(self) {
        self.ended().await.unwrap();
    }

    /// Lets it go, and gives what it was answered.
    pub(in crate::store) async fn ended(self) -> Result<()> {
        drop(self.release);
        self.command.await.unwrap()
    }
}

/// Sends a command and waits until it is in the queue.
pub(in crate::store) async fn send<T: Send + 'static>(
    store: &Store,
    job: impl FnMut(&mut dyn Txn) -> Result<T> + Send + 'static,
) -> tokio::task::JoinHandle<Result<T>> {
    let before = store.queue_depth();
    let sender = store.clone();
    let sent = tokio::spawn(async move { sender.write(job).await });
    while store.queue_depth() == before {
        tokio::task::yield_now().await;
    }
    sent
}

/// A store that knows nothing yet runs a batch: what a command reads is what is there, and what it wrote itself.
pub(crate) fn commands_at_once_rest_on_what_is_there(site: &Site) {
    const COUNT: usize = 30;
    let label = |n: usize, word: &str| {
        Row::Label(LabelRow { bead: BeadId::new(format!("gt-{n}")).unwrap(), label: word.to_owned() })
    };
    let mut bench = Bench::new(site);
    bench.write(|txn| {
        for n in 0..COUNT {
            txn.put(&Row::Bead(issue(&format!("gt-{n}")))).unwrap();
            (0..n % 25).for_each(|word| txn.put(&label(n, &format!("{word:02}"))).unwrap());
        }
    });
    wait(async {
        let store = store(site.backend()).await;
        let held = Held::new(&store).await;
        let mut sent = Vec::new();
        for n in 0..COUNT {
            sent.push(
                send(&store, move |txn| {
                    let (old, new) = (issue(&format!("gt-{n}")), issue(&format!("gt-new-{n}")));
                    let labels = |txn: &dyn Txn| -> Result<usize> {
                        let scan = Scan::new(&LABELS, vec![Value::Text(format!("gt-{n}"))], 100);
                        Ok(txn.scan(&scan)?.len())
                    };
                    assert!(txn.get(&Row::Bead(new.clone()).key())?.is_none());
                    txn.put(&Row::Bead(new.clone()))?;
                    assert!(txn.get(&Row::Bead(new.clone()).key())?.is_some(), "its own");
                    if n % 3 == 0 {
                        txn.put(&label(n, "its own"))?;
                    }
                    let (found, known) = (labels(&*txn)?, txn.get(&Row::Bead(old.clone()).key())?);
                    let Some(Row::Bead(known)) = known else {
                        // Were it answered, it would be wrong.
                        txn.delete(&Row::Bead(new).key())?;
                        return refused();
                    };
                    let title = format!("{} and {found} labels", known.title);
                    txn.put(&Row::Bead(BeadRow { title, ..old }))?;
                    append(txn, 1);
                    Ok(found)
                })
                .await,
            );
        }
        held.release().await;
        for (n, answer) in sent.into_iter().enumerate() {
            assert_eq!(answer.await.unwrap().unwrap(), n % 25 + usize::from(n % 3 == 0), "gt-{n}");
        }
        let rows = store.read(|reader| Ok(all(reader, &BEADS, &[]))).await.unwrap();
        let counted = |row: &Row| matches!(row, Row::Bead(bead) if bead.title.ends_with("labels"));
        assert_eq!((rows.len(), rows.iter().filter(|row| counted(row)).count()), (COUNT * 2, COUNT));
        assert_eq!(store.read(|reader| reader.head()).await.unwrap().seq, COUNT as u64);
        store.close().await.unwrap();
    });
}

/// A batch of three, of which the middle one is `middle`: its error; the others are there once.
fn with_a_failure_between(site: &Site, middle: fn(&mut dyn Txn) -> Result<()>) -> (Error, usize) {
    wait(async {
        let store = store(site.backend()).await;
        let held = Held::new(&store).await;
        let runs = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&runs);
        let before = send(&store, move |txn| {
            counted.fetch_add(1, Ordering::SeqCst);
            assert!(txn.get(&Row::Bead(issue("gt-1")).key())?.is_none(), "nothing of an earlier run is there");
            assert_eq!(txn.head()?.seq, 0, "nor of the journal");
            put(txn, "gt-1")
        })
        .await;
        let fails = send(&store, middle).await;
        let after = send(&store, |txn| put(txn, "gt-3")).await;
        held.release().await;
        before.await.unwrap().unwrap();
        after.await.unwrap().unwrap();
        let error = fails.await.unwrap().unwrap_err();
        assert_eq!(beads(&store).await, ["gt-1", "gt-3"]);
        assert_eq!(store.read(|reader| reader.head()).await.unwrap().seq, 2, "each once");
        // The next command finds everything in order.
        store.write(|txn| put(txn, "gt-4")).await.unwrap();
        assert_eq!(beads(&store).await, ["gt-1", "gt-3", "gt-4"]);
        store.close().await.unwrap();
        (error, runs.load(Ordering::SeqCst))
    })
}

pub(crate) fn a_command_that_fails_before_it_writes_costs_the_others_nothing(site: &Site) {
    let (error, runs) = with_a_failure_between(site, |txn| txn.head().and_then(|_| refused()));
    assert_eq!((error.code(), runs), ("refused", 1));
}

pub(crate) fn a_command_that_fails_after_it_wrote_is_undone_alone(site: &Site) {
    let (error, runs) = with_a_failure_between(site, |txn| {
        put(txn, "gt-2")?;
        txn.delete(&Row::Bead(issue("gt-1")).key())?;
        refused()
    });
    assert_eq!((error.code(), runs), ("refused", 2), "the others were run again from their beginning");
}

pub(crate) fn a_command_that_panics_is_undone_alone(site: &Site) {
    let (error, runs) = with_a_failure_between(site, |txn| {
        put(txn, "gt-2")?;
        panic!("this command panics")
    });
    assert_eq!((error.code(), error.kind(), runs), ("command_panicked", ErrorKind::Internal, 2));
}

pub(crate) fn a_command_that_the_backend_refuses_is_undone_alone(site: &Site) {
    let (error, _) = with_a_failure_between(site, |txn| {
        put(txn, "gt-2")?;
        txn.truncate_events(99)
    });
    assert_eq!(error.code(), "event_order");
}

pub(crate) fn many_failures_in_one_batch_are_each_their_own(site: &Site) {
    wait(async {
        let store = store(site.backend()).await;
        for round in 0..3 {
            let held = Held::new(&store).await;
            let mut sent = Vec::new();
            for number in 0..12 {
                let job = move |txn: &mut dyn Txn| {
                    put(txn, &format!("gt-{round}-{number:02}"))?;
                    if number % 3 == 1 { refused() } else { Ok(number) }
                };
                sent.push(send(&store, job).await);
            }
            held.release().await;
            for (number, answer) in (0..).zip(sent) {
                match answer.await.unwrap() {
                    Ok(value) => assert_eq!((value, number % 3 == 1), (number, false)),
                    Err(error) => assert_eq!((error.code(), number % 3), ("refused", 1)),
                }
            }
        }
        assert_eq!(beads(&store).await.len(), 24);
        assert_eq!(store.read(|reader| reader.head()).await.unwrap().seq, 24);
        store.close().await.unwrap();
    });
}

pub(crate) fn a_command_alone_that_fails_leaves_nothing(site: &Site) {
    wait(async {
        let store = store(site.backend()).await;
        for _ in 0..3 {
            let failed = store.write(|txn| put(txn, "gt-1").and_then(|()| refused::<()>())).await;
            assert_eq!(failed.unwrap_err().code(), "refused");
            let panicked = store.write(|txn| -> Result<()> { put(txn, "gt-1").map(|()| panic!("it panics")) }).await;
            assert_eq!(panicked.unwrap_err().code(), "command_panicked");
        }
        assert!(beads(&store).await.is_empty());
        store.write(|txn| put(txn, "gt-2")).await.unwrap();
        assert_eq!(beads(&store).await, ["gt-2"]);
        store.close().await.unwrap();
    });
}

pub(crate) fn what_was_answered_is_there_for_the_next_read(site: &Site) {
    wait(async {
        let store = store(site.backend()).await;
        for number in 1..=30 {
            store.write(move |txn| put(txn, &format!("gt-{number:02}"))).await.unwrap();
            // Several at once, so that every reader's connection has its turn.
            let (first, second, third) = tokio::join!(beads(&store), beads(&store), beads(&store));
            assert_eq!((first.len(), second.len(), third.len()), (number, number, number));
        }
        store.close().await.unwrap();
    });
}

pub(crate) fn commands_are_done_in_the_order_they_came(site: &Site) {
    wait(async {
        let store = store(site.backend()).await;
        let held = Held::new(&store).await;
        let mut sent = Vec::new();
        for number in 1..=60 {
            let job = move |txn: &mut dyn Txn| {
                append(txn, 1);
                Ok((number, txn.head()?.seq))
            };
            sent.push(send(&store, job).await);
        }
        held.release().await;
        for answer in sent {
            let (number, seq) = answer.await.unwrap().unwrap();
            assert_eq!(number, seq);
        }
        let written = store.read(|reader| reader.events(0, 100)).await.unwrap();
        assert_eq!(written.len(), 60);
        store.close().await.unwrap();
    });
}

pub(crate) fn a_command_nobody_waits_for_any_more_is_left_out(site: &Site) {
    wait(async {
        let store = store(site.backend()).await;
        let held = Held::new(&store).await;
        let gone = send(&store, |txn| put(txn, "gt-1")).await;
        let stays = send(&store, |txn| put(txn, "gt-2")).await;
        gone.abort();
        assert!(gone.await.unwrap_err().is_cancelled());
        held.release().await;
        stays.await.unwrap().unwrap();
        assert_eq!(beads(&store).await, ["gt-2"]);
        store.close().await.unwrap();
    });
}

pub(crate) fn a_command_that_began_is_done_whole_without_its_caller(site: &Site) {
    wait(async {
        let store = store(site.backend()).await;
        let (begun, has_begun) = tokio::sync::oneshot::channel();
        let (release, released) = mpsc::sync_channel::<()>(1);
        let (released, mut begun, writer) = (Mutex::new(released), Some(begun), store.clone());
        let caller = tokio::spawn(async move {
            let job = move |txn: &mut dyn Txn| {
                put(txn, "gt-1")?;
                let _ = begun.take().map(|begun| begun.send(()));
                let _ = released.lock().unwrap().recv();
                put(txn, "gt-2")
            };
            writer.write(job).await
        });
        has_begun.await.unwrap();
        caller.abort();
        assert!(caller.await.unwrap_err().is_cancelled());
        drop(release);
        store.write(|_| Ok(())).await.unwrap();
        assert_eq!(beads(&store).await, ["gt-1", "gt-2"]);
        store.close().await.unwrap();
    });
}

pub(crate) fn a_hundred_callers_at_once_are_all_answered(site: &Site) {
    let mut bench = Bench::new(site);
    bench.write(|txn| txn.put(&Row::Bead(BeadRow { version: 0, ..issue("gt-sum") })).unwrap());
    wait(async {
        let store = store(site.backend()).await;
        let mut callers = Vec::new();
        for _ in 0..100 {
            let store = store.clone();
            callers.push(tokio::spawn(async move {
                let job = |txn: &mut dyn Txn| {
                    let mut bead = bead_of(txn.as_reader(), "gt-sum");
                    bead.version += 1;
                    let version = bead.version;
                    txn.put(&Row::Bead(bead))?;
                    append(txn, 1);
                    Ok(version)
                };
                store.write(job).await.unwrap()
            }));
        }
        let mut versions = BTreeSet::new();
        for caller in callers {
            assert!(versions.insert(caller.await.unwrap()), "two callers saw one version");
        }
        assert_eq!(versions, (1..=100).collect());
        store.close().await.unwrap();
    });
    assert_eq!(bench.read(|reader| bead_of(reader, "gt-sum")).version, 100);
    assert_eq!(bench.head().seq, 100);
}

pub(crate) fn a_full_queue_takes_nothing_in(site: &Site) {
    wait(async {
        let options = StoreOptions { queue: 4, batch: 2, check_ms: 10, ..StoreOptions::default() };
        let store = Store::open(site.backend(), town(), options).await.unwrap();
        let held = Held::new(&store).await;
        let mut sent = Vec::new();
        for number in 0..4 {
            sent.push(send(&store, move |txn| put(txn, &format!("gt-{number}"))).await);
        }
        let mut fifth = std::pin::pin!(store.write(|txn| put(txn, "gt-4")));
        let is_pending =
            std::future::poll_fn(|context| std::task::Poll::Ready(Future::poll(fifth.as_mut(), context).is_pending()));
        assert!(is_pending.await);
        assert_eq!(store.queue_depth(), 4, "it is not taken in");
        held.release().await;
        fifth.await.unwrap();
        for answer in sent {
            answer.await.unwrap().unwrap();
        }
        assert_eq!(beads(&store).await.len(), 5);
        store.close().await.unwrap();
    });
}

pub(crate) fn closing_answers_what_waits_and_refuses_what_comes(site: &Site) {
    wait(async {
        let store = store(site.backend()).await;
        let held = Held::new(&store).await;
        let mut sent = Vec::new();
        for number in 0..5 {
            sent.push(send(&store, move |txn| put(txn, &format!("gt-{number}"))).await);
        }
        let (closed, again, ()) = tokio::join!(store.close(), store.close(), held.release());
        closed.unwrap();
        again.unwrap();
        for answer in sent {
            answer.await.unwrap().unwrap();
        }
        let refused = store.write(|_| Ok(())).await.unwrap_err();
        assert_eq!((refused.code(), refused.kind()), ("store_closed", ErrorKind::Unavailable));
        assert_eq!(store.read(|_| Ok(())).await.unwrap_err().code(), "store_closed");
    });
    let there = Bench::new(site).read(|reader| all(reader, &BEADS, &[])).len();
    assert_eq!(there, 5, "what was answered is there");
}

pub(crate) fn a_store_that_is_opened_again_has_everything(site: &Site) {
    wait(async {
        for round in 0..4_usize {
            let store = store(site.backend()).await;
            assert_eq!(beads(&store).await.len(), round);
            assert_eq!(*store.commits().borrow(), round as u64);
            store.write(move |txn| put(txn, &format!("gt-{round}"))).await.unwrap();
            store.close().await.unwrap();
        }
    });
    let mut bench = Bench::new(site);
    assert_eq!(bench.read(|reader| all(reader, &BEADS, &[]).len()), 4);
}

pub(crate) fn closing_one_store_leaves_the_other_open(site: &Site) {
    wait(async {
        let (first, second) = (store(site.backend()).await, store(site.backend()).await);
        first.write(|txn| put(txn, "gt-1")).await.unwrap();
        first.close().await.unwrap();
        second.write(|txn| put(txn, "gt-2")).await.unwrap();
        assert_eq!(beads(&second).await, ["gt-1", "gt-2"]);
        second.close().await.unwrap();
    });
}

pub(crate) fn reads_go_on_while_a_command_takes_its_time(site: &Site) {
    wait(async {
        let store = store(site.backend()).await;
        store.write(|txn| put(txn, "gt-1")).await.unwrap();
        let (begun, has_begun) = mpsc::sync_channel::<()>(1);
        let (release, released) = mpsc::sync_channel::<()>(1);
        let writer = store.clone();
        let command = thread::spawn(move || {
            let released = Mutex::new(released);
            let mut begun = Some(begun);
            wait(writer.write(move |txn| {
                put(txn, "gt-2")?;
                let _ = begun.take().map(|begun| begun.send(()));
                let _ = released.lock().unwrap().recv();
                Ok(())
            }))
        });
        has_begun.recv().unwrap();
        for _ in 0..10 {
            assert_eq!(beads(&store).await, ["gt-1"]);
        }
        drop(release);
        command.join().unwrap().unwrap();
        assert_eq!(beads(&store).await, ["gt-1", "gt-2"]);
        store.close().await.unwrap();
    });
}
