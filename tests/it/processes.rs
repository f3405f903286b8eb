//! Several processes in one town.
//!
//! Whoever is not woken looks by himself twice a minute. So each test goes round several times within one guard: woken,
//! it takes a few seconds; otherwise it cannot end before the guard does.

use std::path::Path;

use gastown_core::Town;

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
