//! Cases about hearing what others commit.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::Site;
use super::kit::{Bench, append, events, other_town, town};
use crate::model::{Head, TownId};
use crate::store::{Store, StoreOptions};

/// The longest a case may take before it says that it hangs.
const HANG: Duration = Duration::from_secs(60);

pub(crate) fn every_watch_hears_a_commit_that_appended(site: &Site) {
    let mut bench = Bench::new(site);
    let backend = Arc::clone(&bench.backend);
    let (Some(mut first), Some(mut second)) = (backend.changes().unwrap(), backend.changes().unwrap()) else { return };
    let written = events(&Head::default(), 2, 61);
    bench.write(|txn| txn.append(&written[..1]).unwrap());
    assert!(first.wait(HANG).unwrap(), "what came before the wait is heard");

    let seen = thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let mut reader = backend.connect(crate::store::Access::Read).unwrap();
            let mut seq = 1;
            while seq == 1 && first.wait(HANG).unwrap() {
                seq = reader.read(&town()).unwrap().head().unwrap().seq;
            }
            seq
        });
        bench.write(|txn| txn.append(&written[1..]).unwrap());
        waiting.join().unwrap()
    });
    assert_eq!(seen, 2, "what is heard can be read");
    assert!(second.wait(HANG).unwrap(), "nobody takes it away from another");
}

pub(crate) fn a_watch_tells_where_the_journal_of_a_town_ends(site: &Site) {
    let mut bench = Bench::new(site);
    let Some(mut changes) = bench.backend.changes().unwrap() else { return };
    let mut tells = |town: &TownId, seq: u64| {
        let told = changes.head(town).unwrap();
        assert!(told.is_none_or(|told| told == seq), "{told:?} is told of {town}, which ends at {seq}");
    };
    tells(&town(), 0);
    bench.write(|txn| append(txn, 3));
    tells(&town(), 3);
    tells(&other_town(), 0);
    bench.write_in(&other_town(), |txn| append(txn, 5));
    tells(&town(), 3);
    tells(&other_town(), 5);
    {
        let mut txn = bench.writer.write(&town()).unwrap();
        append(&mut *txn, 2);
        tells(&town(), 3);
    }
    tells(&town(), 3);
    // Its beginning may be elsewhere.
    bench.write(|txn| txn.truncate_events(2).unwrap());
    tells(&town(), 3);
}

pub(crate) fn an_interrupted_watch_stays_awake(site: &Site) {
    let bench = Bench::new(site);
    let Some(mut changes) = bench.backend.changes().unwrap() else { return };
    let interrupter = changes.interrupter();
    thread::scope(|scope| {
        let waiting = scope.spawn(move || {
            // Each would hang: the second wait is one after the interruption.
            for _ in 0..2 {
                changes.wait(Duration::MAX).unwrap();
            }
        });
        interrupter.wake_by_ref();
        interrupter.wake_by_ref();
        waiting.join().unwrap();
    });
    interrupter.wake();
}

pub(crate) fn a_store_hears_what_another_commits(site: &Site) {
    drop(Bench::new(site));
    let (backend, other) = (site.backend(), site.backend());
    let can_hear = backend.changes().unwrap().is_some();
    // The slow check does not come while the case runs, except where there is nothing else.
    let check_ms = if can_hear { 3_600_000 } else { 10 };
    let options = StoreOptions { check_ms, ..StoreOptions::default() };
    let tokio = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    tokio.block_on(async {
        let first = Store::open(backend, town(), options.clone()).await.unwrap();
        let second = Store::open(other, town(), options).await.unwrap();
        let stores = [(&first, &second), (&second, &first)];
        let mut written = events(&Head::default(), 20, 62).into_iter();
        for (writer, hearer) in stores.into_iter().cycle().take(20) {
            let mut commits = hearer.commits();
            let event = written.next().unwrap();
            let seq = event.seq;
            writer.write(move |txn| txn.append(std::slice::from_ref(&event))).await.unwrap();
            let heard = tokio::time::timeout(HANG, commits.wait_for(|last| *last >= seq)).await;
            assert_eq!(*heard.expect("the other store is not woken").unwrap(), seq);
        }
        first.close().await.unwrap();
        second.close().await.unwrap();
    });
}
