//! Many that claim from one pool: each bead is somebody's once in every epoch, as the journal tells it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;

use gastown_core::{Claim, EventsSince, Handle, NewBead, Town};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::support::HANG;

/// Every epoch of every bead by the journal: who claimed it; fails where one was given twice or out of order.
async fn epochs(handle: &Handle) -> BTreeMap<String, Vec<String>> {
    let (mut since, mut epochs) = (0, BTreeMap::<String, Vec<String>>::new());
    loop {
        let page = handle.events().since(EventsSince { since, limit: Some(1_000) }).await.unwrap();
        let Some(last) = page.events.last() else { return epochs };
        since = last.seq;
        for event in page.events.iter().filter(|event| event.kind == "bead.claimed") {
            let holders = epochs.entry(event.subject.clone()).or_default();
            holders.push(event.data["by"].as_str().unwrap().to_owned());
            assert_eq!(event.data["epoch"].as_u64(), Some(holders.len() as u64), "{}: no epoch twice", event.subject);
        }
    }
}

#[test]
fn sixty_four_threads_share_no_bead() {
    const THREADS: usize = 64;
    const POOL: usize = 320;
    let dir = tempfile::tempdir().unwrap();
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let town = tokio.block_on(Town::builder(dir.path()).open()).unwrap();
    tokio.block_on(async {
        for n in 0..POOL {
            town.operator().beads().create(NewBead::titled(format!("{n}"))).await.unwrap();
        }
    });
    let claimed: Vec<(String, String, i64)> = std::thread::scope(|scope| {
        let claimer = |n: usize| {
            let (town, tokio) = (town.clone(), tokio.handle().clone());
            scope.spawn(move || {
                let (beads, by) = (town.operator().beads(), format!("t{n}"));
                let mut mine = Vec::new();
                loop {
                    match tokio.block_on(beads.claim(Claim::next(&by).for_ms(600_000))) {
                        Ok(bead) => mine.push((bead.id.to_string(), by.clone(), bead.epoch)),
                        Err(error) if error.code() == "nothing_ready" => return mine,
                        Err(error) => panic!("{error:?}"),
                    }
                }
            })
        };
        let threads: Vec<_> = (0..THREADS).map(claimer).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(claimed.len(), POOL);
    let epochs = tokio.block_on(epochs(&town.operator()));
    assert_eq!(epochs.len(), POOL, "each bead was claimed");
    for (bead, by, epoch) in claimed {
        assert_eq!((epoch, &epochs[&bead]), (1, &vec![by]), "who was told so has it, and nobody else");
    }
    assert!(tokio.block_on(town.replay()).unwrap().differences.is_empty());
    tokio.block_on(town.close()).unwrap();
}

/// Takes and closes until the pool is empty; with a lease that may run out before the close.
async fn worker(folder: &Path, name: &str, lease_ms: u64, answers: Option<usize>) {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_town-child"));
    command.arg("drain").arg(folder).args([name.to_owned(), lease_ms.to_string()]);
    let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut claims = 0;
    while let Some(line) = lines.next_line().await.unwrap() {
        claims += usize::from(line.starts_with("claimed"));
        if answers == Some(claims) {
            child.start_kill().unwrap();
        }
    }
    let status = child.wait().await.unwrap();
    assert!(answers.is_some() || status.success(), "{name}: {status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_processes_some_killed_and_some_too_slow_finish_every_bead_once() {
    const POOL: usize = 120;
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("town");
    let town = Town::builder(&folder).open().await.unwrap();
    for n in 0..POOL {
        town.operator().beads().create(NewBead::titled(format!("{n}"))).await.unwrap();
    }
    let all = async {
        // Three are killed behind a claim, whose lease runs out then; two are given a lease that hardly holds.
        let killed = |n: usize| (n < 3).then_some(2 + n * 3);
        let lease = |n: usize| if n == 3 || n == 4 { 1 } else { 1_000 };
        let names: Vec<String> = (0..8).map(|n| format!("p{n}")).collect();
        let run = |n: usize| worker(&folder, &names[n], lease(n), killed(n));
        tokio::join!(run(0), run(1), run(2), run(3), run(4), run(5), run(6), run(7));
    };
    tokio::time::timeout(HANG, all).await.expect("they hang");
    let epochs = epochs(&town.operator()).await;
    assert_eq!(epochs.len(), POOL);
    assert!(epochs.values().any(|holders| holders.len() > 1), "no claim was ever taken over");
    // Whoever closed a bead held its last epoch: a close by an older one is refused.
    let (mut since, mut closes) = (0, BTreeMap::<String, usize>::new());
    loop {
        let page = town.operator().events().since(EventsSince { since, limit: Some(1_000) }).await.unwrap();
        let Some(last) = page.events.last() else { break };
        since = last.seq;
        for event in page.events.iter().filter(|event| event.kind == "bead.closed") {
            *closes.entry(event.subject.clone()).or_default() += 1;
            let by = event.data["reason"].as_str().unwrap();
            assert_eq!(Some(by), epochs[&event.subject].last().map(String::as_str), "{}", event.subject);
        }
    }
    assert_eq!(closes.len(), POOL, "every bead was done");
    assert!(closes.values().all(|count| *count == 1), "and once");
    assert_eq!(town.replay().await.unwrap().differences, Vec::<String>::new());
    town.close().await.unwrap();
}
