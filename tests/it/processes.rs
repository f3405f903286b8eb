//! Several processes in one town.
//!
//! Whoever is not woken looks by himself twice a minute. So each test goes round several times within one guard: woken,
//! it takes a few seconds; otherwise it cannot end before the guard does.

use std::path::Path;
use std::process::Stdio;

use gastown_core::{Claim, EventsSince, NewBead, Town};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

use crate::support::{HANG, Yard, event, open, origin, staff};

const ROUNDS: u32 = 6;

const WORKER: &str = r#"
set -e
echo "$GASTOWN_TITLE" > "$GASTOWN_BEAD.txt"
git add -A
git commit -q -m "$GASTOWN_TITLE"
"#;

/// Slings a bead in the town from a process of its own.
async fn sling_elsewhere(dir: &Path, title: &str) {
    let mut child = tokio::process::Command::new(env!("CARGO_BIN_EXE_town-child"));
    child.arg("create").arg(dir.join("town")).arg(title);
    assert!(child.status().await.unwrap().success(), "{title} was not slung");
}

/// The bead of this title, once it was made.
async fn made(town: &Town, since: &mut u64, title: &str) -> String {
    let created = event(town, since, |event| event.kind == "bead.created").await;
    let id = gastown_core::model::BeadId::new(created.subject.clone()).unwrap();
    assert_eq!(town.operator().beads().get(&id).await.unwrap().title, title);
    created.subject
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_sees_what_another_process_commits() {
    let dir = tempfile::tempdir().unwrap();
    let origin = origin(dir.path());
    let town = open(dir.path()).await;
    staff(&town, &origin, 1, [].into()).await;
    let rounds = async {
        let mut since = 0;
        for round in 0..ROUNDS {
            let title = format!("round {round}");
            tokio::join!(sling_elsewhere(dir.path(), &title), async {
                made(&town, &mut since, &title).await;
                event(&town, &mut since, |event| event.kind == "bead.slung").await;
            });
        }
    };
    tokio::time::timeout(HANG, rounds).await.expect("the watch is not woken");
    town.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_starts_what_another_process_slings() {
    let yard = Yard::new(WORKER, []).await;
    let rounds = async {
        let mut since = 0;
        for round in 0..ROUNDS {
            let title = format!("round {round}");
            sling_elsewhere(yard.dir.path(), &title).await;
            let bead = made(&yard.town, &mut since, &title).await;
            event(&yard.town, &mut since, |event| event.kind == "bead.closed" && event.subject == bead).await;
            yard.at_rest().await;
        }
    };
    tokio::time::timeout(HANG, rounds).await.expect("the engine is not woken");
    yard.ends_tidy().await;
}

/// Processes that claim from one pool and count in one bead.
const CLAIMERS: usize = 3;
const POOL: usize = 60;

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_claim_and_count_in_one_town_lose_no_update_and_share_no_bead() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("town");
    let town = Town::builder(&folder).open().await.unwrap();
    let beads = town.operator().beads();
    let shared = NewBead { metadata: json!({ "count": 0 }), ..NewBead::titled("shared") };
    let shared = beads.create(shared).await.unwrap().id;
    // Nobody's to claim.
    beads.claim(Claim::of(shared.clone(), "the test")).await.unwrap();
    for n in 0..POOL {
        beads.create(NewBead::titled(format!("{n}"))).await.unwrap();
    }
    let claimers = async {
        let mut children = Vec::new();
        for n in 0..CLAIMERS {
            let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_town-child"));
            command.arg("claims").arg(&folder).args([format!("p{n}"), shared.to_string()]);
            let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
            assert!(lines.next_line().await.unwrap().unwrap().contains("open"));
            children.push((child, lines));
        }
        // All are open before the first begins.
        for (child, _) in &mut children {
            child.stdin.take().unwrap().write_all(b"go\n").await.unwrap();
        }
        for (mut child, mut lines) in children {
            while lines.next_line().await.unwrap().is_some() {}
            assert!(child.wait().await.unwrap().success());
        }
    };
    tokio::time::timeout(HANG, claimers).await.expect("the claimers hang");
    let events = town.operator().events().since(EventsSince { since: 0, limit: Some(1_000) }).await.unwrap().events;
    let mut claimed: Vec<&str> =
        events.iter().filter(|event| event.kind == "bead.claimed").map(|event| event.subject.as_str()).collect();
    assert_eq!(claimed.len(), POOL + 1);
    claimed.sort_unstable();
    claimed.dedup();
    assert_eq!(claimed.len(), POOL + 1, "each bead once");
    let count = beads.get(&shared).await.unwrap().metadata["count"].clone();
    assert_eq!(count, json!(POOL), "an update is lost");
    assert_eq!(town.replay().await.unwrap().differences, Vec::<String>::new());
    town.close().await.unwrap();
}
