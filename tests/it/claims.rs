//! Many that claim from one pool, with leases that run out, heartbeats, beads given back, and claimers that are killed:
//! what each of them was answered is held against the journal, by which no two ever own a bead at once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use gastown_core::model::Event;
use gastown_core::store::PostgresBackend;
use gastown_core::store::postgres::testing::TestServer;
use gastown_core::{EventsSince, Handle, NewBead, Town};
use gastown_tests::claimer::{Answer, Word, drain};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::history::is_soak;
use crate::support::HANG;

async fn open(folder: &Path, store: Option<&str>) -> Town {
    let builder = Town::builder(folder);
    let builder = match store {
        Some(url) => builder.backend(Arc::new(PostgresBackend::new(url).unwrap())),
        None => builder,
    };
    builder.open().await.unwrap()
}

async fn fill(town: &Town, beads: usize) {
    for n in 0..beads {
        town.operator().beads().create(NewBead::titled(format!("{n}"))).await.unwrap();
    }
}

async fn journal(handle: &Handle) -> Vec<Event> {
    let mut events: Vec<Event> = Vec::new();
    loop {
        let since = events.last().map_or(0, |event| event.seq);
        let page = handle.events().since(EventsSince { since, limit: Some(1_000) }).await.unwrap();
        if page.events.is_empty() {
            return events;
        }
        events.extend(page.events);
    }
}

/// Who owns a bead, from an entry of the journal to the one that ends it.
struct Owner {
    by: String,
    epoch: i64,
}

/// What the journal tells of all beads.
#[derive(Debug, Default)]
struct Told {
    claims: usize,
    steals: usize,
    releases: usize,
    closes: usize,
    /// Who claimed each epoch of each bead.
    epochs: BTreeMap<(String, i64), String>,
}

/// Plays the journal: an epoch begins where nobody owns the bead, or where its owner's time was over by all that the owner
/// had been answered; epochs count without a gap; and a bead is closed once, by its owner, and then nobody's.
fn played(events: &[Event], answers: &[Answer]) -> Told {
    let mut promised: BTreeMap<(&str, i64), i64> = BTreeMap::new();
    for answer in answers.iter().filter(|answer| matches!(answer.word, Word::Claimed | Word::Renewed)) {
        let until = promised.entry((&answer.bead, answer.epoch)).or_default();
        *until = answer.lease_until.max(*until);
    }
    let mut told = Told::default();
    let mut owners: BTreeMap<&str, Owner> = BTreeMap::new();
    let mut last: BTreeMap<&str, i64> = BTreeMap::new();
    let mut closed: BTreeSet<&str> = BTreeSet::new();
    for event in events {
        let (bead, seq) = (event.subject.as_str(), event.seq);
        let owner = owners.get(bead);
        match event.kind.as_str() {
            "bead.claimed" => {
                assert!(!closed.contains(bead), "{seq}: {bead} was closed");
                let (by, epoch) = (event.data["by"].as_str().unwrap(), event.data["epoch"].as_i64().unwrap());
                assert_eq!(epoch, last.get(bead).unwrap_or(&0) + 1, "{seq}: epochs of {bead} count without a gap");
                let from = event.data.get("from").map(|from| from.as_str().unwrap());
                assert_eq!(from, owner.map(|owner| owner.by.as_str()), "{seq}: who is told to lose {bead} had it");
                if let Some(owner) = owner {
                    let until = promised.get(&(bead, owner.epoch)).copied().unwrap_or_default();
                    assert!(event.at.as_micros() >= until, "{seq}: {bead} was {}'s until {until}", owner.by);
                    told.steals += 1;
                }
                told.claims += 1;
                told.epochs.insert((bead.to_owned(), epoch), by.to_owned());
                last.insert(bead, epoch);
                owners.insert(bead, Owner { by: by.to_owned(), epoch });
            }
            "bead.released" => {
                let owner = owners.remove(bead).unwrap_or_else(|| panic!("{seq}: {bead} is nobody's"));
                assert_eq!(event.data["by"].as_str(), Some(&*owner.by), "{seq}: {bead} is given back by its owner");
                told.releases += 1;
            }
            "bead.closed" => {
                let owner = owners.remove(bead).unwrap_or_else(|| panic!("{seq}: {bead} is nobody's"));
                assert_eq!(event.data["reason"].as_str(), Some(&*owner.by), "{seq}: {bead} is closed by its owner");
                assert!(closed.insert(bead), "{seq}: {bead} is closed once");
                told.closes += 1;
            }
            "town.founded" | "bead.created" => {}
            other => panic!("{seq}: {other} has no place here"),
        }
    }
    assert!(owners.is_empty(), "nobody owns anything in the end");
    told
}

/// Holds the journal against every answer; each bead is to be closed.
async fn check(town: &Town, beads: usize, answers: &[Answer]) -> Told {
    let events = journal(&town.operator()).await;
    let told = played(&events, answers);
    assert_eq!(told.closes, beads, "every bead was done");
    let mut closers: BTreeSet<&str> = BTreeSet::new();
    for answer in answers {
        let by = told.epochs.get(&(answer.bead.clone(), answer.epoch));
        assert_eq!(by, Some(&answer.by), "{answer}: the journal gave that epoch to somebody else");
        let is_last = !told.epochs.contains_key(&(answer.bead.clone(), answer.epoch + 1));
        match answer.word {
            Word::Closed => {
                assert!(is_last, "{answer}: somebody had it later");
                assert!(closers.insert(&answer.bead), "{answer}: two were told so");
            }
            Word::Late => assert!(!is_last, "{answer}: nobody had it later"),
            Word::Claimed | Word::Renewed | Word::Released | Word::Left => {}
        }
    }
    assert_eq!(town.replay().await.unwrap().differences, Vec::<String>::new());
    told
}

/// 64 threads, of which some lose what they hold because their lease is so short.
fn threads(folder: &Path, store: Option<&str>, pool: usize) {
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let town = tokio.block_on(open(folder, store));
    tokio.block_on(fill(&town, pool));
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let claimer = |n: u64| {
            let (town, tokio) = (town.clone(), tokio.handle().clone());
            scope.spawn(move || {
                let mut answers = Vec::new();
                let (by, lease_ms) = (format!("t{n}"), if n.is_multiple_of(4) { 1 } else { 500 });
                let work = drain(&town, &by, lease_ms, n, |answer| answers.push(answer));
                tokio.block_on(async { tokio::time::timeout(HANG, work).await.expect("it hangs").unwrap() });
                answers
            })
        };
        let threads: Vec<_> = (0..64).map(claimer).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let told = tokio.block_on(check(&town, pool, &answers));
    let claims = answers.iter().filter(|answer| answer.word == Word::Claimed).count();
    let closes = answers.iter().filter(|answer| answer.word == Word::Closed).count();
    assert_eq!((claims, closes), (told.claims, pool), "nobody died, so everybody heard what happened");
    assert!(told.steals > 0 && told.releases > 0, "not all of it happened: {told:?}");
    tokio.block_on(town.close()).unwrap();
}

#[test]
fn sixty_four_threads_never_own_a_bead_at_once() {
    let dir = tempfile::tempdir().unwrap();
    threads(&dir.path().join("town"), None, if is_soak() { 20_000 } else { 320 });
}

#[test]
fn sixty_four_threads_never_own_a_bead_at_once_in_postgres() {
    let dir = tempfile::tempdir().unwrap();
    let url = TestServer::shared().fresh_url();
    threads(&dir.path().join("town"), Some(&url), if is_soak() { 5_000 } else { 64 });
}

/// A process that drains the pool, killed behind so many claims where that is said.
async fn worker(folder: &Path, store: Option<&str>, n: usize, kill_after: Option<usize>) -> Vec<Answer> {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_town-child"));
    let lease_ms = if n == 3 || n == 4 { 1 } else { 1_000 };
    command.arg("drain").arg(folder).args([format!("p{n}"), lease_ms.to_string(), n.to_string()]);
    if let Some(url) = store {
        command.args(["--store", url]);
    }
    let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (mut answers, mut claims) = (Vec::<Answer>::new(), 0);
    while let Some(line) = lines.next_line().await.unwrap() {
        answers.push(line.parse().unwrap());
        claims += usize::from(answers.last().is_some_and(|answer| answer.word == Word::Claimed));
        if kill_after == Some(claims) {
            child.start_kill().unwrap();
        }
    }
    let status = child.wait().await.unwrap();
    assert!(kill_after.is_some() || status.success(), "p{n}: {status}");
    answers
}

async fn processes(store: Option<&str>, pool: usize) {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("town");
    let town = open(&folder, store).await;
    fill(&town, pool).await;
    let mut workers = tokio::task::JoinSet::new();
    for n in 0..8 {
        let (folder, store) = (folder.clone(), store.map(str::to_owned));
        let kill_after = (n < 3).then_some(2 + n * 3);
        workers.spawn(async move { worker(&folder, store.as_deref(), n, kill_after).await });
    }
    let answers = tokio::time::timeout(HANG, workers.join_all()).await.expect("they hang").concat();
    let told = check(&town, pool, &answers).await;
    assert!(told.steals > 0 && told.releases > 0, "not all of it happened: {told:?}");
    town.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_processes_some_killed_and_some_too_slow_never_own_a_bead_at_once() {
    processes(None, if is_soak() { 2_000 } else { 120 }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_processes_some_killed_and_some_too_slow_never_own_a_bead_at_once_in_postgres() {
    let url = TestServer::shared().fresh_url();
    processes(Some(&url), if is_soak() { 1_000 } else { 40 }).await;
}

/// The check itself: each of these journals tells of two owners at once, and each is found out.
#[test]
fn a_journal_with_two_owners_at_once_is_found_out() {
    let event = |seq: u64, kind: &str, data: serde_json::Value| -> Event {
        serde_json::from_value(serde_json::json!({
            "seq": seq, "at": seq, "actor": "operator", "session": null, "epoch": null, "kind": kind,
            "subject": "hq-1", "data": data, "changes": [], "schema": 1, "hash": "",
        }))
        .unwrap()
    };
    let claimed = |seq, by: &str, epoch: i64, from: Option<&str>| {
        let mut data = serde_json::json!({ "by": by, "epoch": epoch });
        if let Some(from) = from {
            data["from"] = from.into();
        }
        event(seq, "bead.claimed", data)
    };
    let closed = |seq, by: &str| event(seq, "bead.closed", serde_json::json!({ "reason": by }));
    let released = |seq, by: &str| event(seq, "bead.released", serde_json::json!({ "by": by }));
    let holds_until = |lease_until| Answer {
        by: "a".to_owned(),
        word: Word::Renewed,
        bead: "hq-1".to_owned(),
        epoch: 1,
        lease_until,
    };
    let right = [claimed(1, "a", 1, None), claimed(5, "b", 2, Some("a")), closed(6, "b")];
    assert_eq!(played(&right, &[holds_until(5)]).steals, 1);
    let wrong: [(&[Event], i64); 8] = [
        (&right, 6),
        (&[claimed(1, "a", 1, None), claimed(2, "b", 2, None), closed(3, "b")], 0),
        (&[claimed(1, "a", 1, None), claimed(2, "b", 1, Some("a")), closed(3, "b")], 0),
        (&[claimed(1, "a", 1, None), released(2, "b")], 0),
        (&[claimed(1, "a", 1, None), claimed(5, "b", 2, Some("a")), closed(6, "a")], 0),
        (&[claimed(1, "a", 1, None), closed(2, "a"), closed(3, "a")], 0),
        (&[claimed(1, "a", 1, None), closed(2, "a"), claimed(3, "b", 2, None), closed(4, "b")], 0),
        (&[claimed(1, "a", 1, None)], 0),
    ];
    for (nth, (events, until)) in wrong.into_iter().enumerate() {
        let events = events.to_vec();
        let found = std::panic::catch_unwind(move || played(&events, &[holds_until(until)]));
        assert!(found.is_err(), "number {nth} passes");
    }
}
