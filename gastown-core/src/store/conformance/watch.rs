//! Cases about following the journal through a store: what is there already, what comes, and how it ends.

use std::thread;
use std::time::Duration;

use super::Site;
use super::kit::{Bench, append, issue, store, wait};
use crate::model::Row;
use crate::store::Store;

/// The longest a case may take before it says that it hangs.
const HANG: Duration = Duration::from_secs(60);

/// Follows the journal after a place, as a host does: takes the receiver, reads, and waits.
struct Follower {
    store: Store,
    commits: tokio::sync::watch::Receiver<u64>,
    after: u64,
    waiting: std::collections::VecDeque<u64>,
}

impl Follower {
    fn new(store: &Store, after: u64) -> Self {
        Self { store: store.clone(), commits: store.commits(), after, waiting: [].into() }
    }

    /// The next entry's number; none when the store was closed.
    async fn next(&mut self) -> Option<u64> {
        loop {
            if let Some(seq) = self.waiting.pop_front() {
                return Some(seq);
            }
            let after = self.after;
            let found = self.store.read(move |reader| reader.events(after, 7)).await;
            match found {
                Ok(found) if found.is_empty() => {
                    tokio::time::timeout(HANG, self.commits.changed()).await.expect("it is woken").ok()?;
                }
                Ok(found) => {
                    self.after = found.last().map_or(after, |event| event.seq);
                    self.waiting.extend(found.iter().map(|event| event.seq));
                }
                Err(error) => {
                    assert_eq!(error.code(), "store_closed", "{}", error.chain());
                    return None;
                }
            }
        }
    }
}

async fn write(store: &Store, count: usize) {
    store
        .write(move |txn| {
            append(txn, count);
            Ok(())
        })
        .await
        .unwrap();
}

pub(crate) fn a_follower_gets_what_is_there_and_then_what_comes(site: &Site) {
    wait(async {
        let store = store(site.backend()).await;
        write(&store, 5).await;
        let mut follower = Follower::new(&store, 0);
        for wanted in 1..=5 {
            assert_eq!(follower.next().await, Some(wanted));
        }
        for wanted in 6..20 {
            let (next, ()) = tokio::join!(follower.next(), write(&store, 1));
            assert_eq!(next, Some(wanted));
        }
        store.close().await.unwrap();
    });
}

pub(crate) fn a_follower_begins_behind_its_place(site: &Site) {
    wait(async {
        let store = store(site.backend()).await;
        write(&store, 5).await;
        let mut follower = Follower::new(&store, 3);
        assert_eq!((follower.next().await, follower.next().await), (Some(4), Some(5)));
        // One that is ahead waits for what follows its place.
        let mut ahead = Follower::new(&store, 7);
        let (next, ()) = tokio::join!(ahead.next(), async {
            for _ in 0..4 {
                write(&store, 1).await;
            }
        });
        assert_eq!(next, Some(8));
        store.close().await.unwrap();
    });
}

pub(crate) fn a_follower_gets_each_event_once_while_many_write(site: &Site) {
    wait(async {
        let store = store(site.backend()).await;
        let writers: Vec<_> = (0..4)
            .map(|_| {
                let store = store.clone();
                thread::spawn(move || {
                    wait(async {
                        for count in 1..=12 {
                            write(&store, 1 + count % 3).await;
                        }
                    });
                })
            })
            .collect();
        let mut follower = Follower::new(&store, 0);
        for wanted in 1..=(4 * 4 * (1 + 2 + 3)) {
            assert_eq!(follower.next().await, Some(wanted));
        }
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        assert_eq!(*follower.commits.wait_for(|last| *last >= 96).await.unwrap(), 96);
        store.close().await.unwrap();
    });
}

pub(crate) fn a_follower_ends_when_its_store_closes(site: &Site) {
    wait(async {
        let store = store(site.backend()).await;
        write(&store, 1).await;
        let mut follower = Follower::new(&store, 1);
        let (next, closed) = tokio::join!(follower.next(), store.close());
        closed.unwrap();
        assert_eq!(next, None);
        assert_eq!(follower.next().await, None, "it stays at its end");
    });
}

pub(crate) fn a_follower_that_goes_away_disturbs_nobody(site: &Site) {
    wait(async {
        let store = store(site.backend()).await;
        let mut stays = Follower::new(&store, 0);
        for wanted in 1..=10 {
            {
                // It waits behind the end, and is left there.
                let mut goes = Follower::new(&store, 1_000);
                let waits = async { while goes.next().await.is_none() {} };
                tokio::select! {
                    () = waits => panic!("there is nothing behind the end"),
                    () = write(&store, 1) => {}
                }
            }
            assert_eq!(stays.next().await, Some(wanted));
        }
        store.close().await.unwrap();
    });
}

pub(crate) fn a_follower_of_another_instance_is_woken(site: &Site) {
    let mut bench = Bench::new(site);
    wait(async {
        let store = store(site.backend()).await;
        let mut follower = Follower::new(&store, 0);
        for wanted in 1..=20 {
            bench.write(|txn| append(txn, 1));
            assert_eq!(follower.next().await, Some(wanted));
        }
        store.close().await.unwrap();
    });
}

pub(crate) fn a_commit_of_rows_alone_is_no_news(site: &Site) {
    wait(async {
        let store = store(site.backend()).await;
        write(&store, 1).await;
        let commits = store.commits();
        store.write(|txn| txn.put(&Row::Bead(issue("gt-1")))).await.unwrap();
        assert!(!commits.has_changed().unwrap());
        assert_eq!(*commits.borrow(), 1);
        store.close().await.unwrap();
    });
}

pub(crate) fn a_store_knows_at_once_where_the_journal_ends(site: &Site) {
    let mut bench = Bench::new(site);
    bench.write(|txn| append(txn, 7));
    wait(async {
        let store = store(site.backend()).await;
        assert_eq!(*store.commits().borrow(), 7);
        store.close().await.unwrap();
    });
}

pub(crate) fn another_process_is_told_of_a_commit(site: &Site) {
    let mut bench = Bench::new(site);
    let mut other = site.other("hear");
    assert_eq!(other.hear(), "ready");
    for seq in 1..=5 {
        other.say(&seq.to_string());
        bench.write(|txn| append(txn, 1));
        assert_eq!(other.hear(), seq.to_string());
    }
    other.finish();
}

pub(crate) fn a_commit_of_another_process_is_told(site: &Site) {
    drop(Bench::new(site));
    let mut other = site.other("write");
    wait(async {
        let store = store(site.backend()).await;
        let mut follower = Follower::new(&store, 0);
        for wanted in 1..=5 {
            other.say(&format!("put gt-{wanted}"));
            assert_eq!(follower.next().await, Some(wanted));
            assert_eq!(other.hear(), "done");
        }
        store.close().await.unwrap();
    });
    other.finish();
}
