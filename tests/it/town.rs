//! A town on SQLite with real git and real processes.

use gastown_core::{NewSettings, SlingConvoy, Task};

use crate::support::{git, open, origin, settled, sh, staff};

const WORKER: &str = r#"
set -e
echo "$GASTOWN_TITLE" > "$GASTOWN_BEAD.txt"
git add -A
git commit -q -m "$GASTOWN_TITLE"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_convoy_lands_when_every_bead_is_merged() {
    let dir = tempfile::tempdir().unwrap();
    let origin = origin(dir.path());
    let town = open(dir.path()).await;
    let settings =
        NewSettings::from([("agent.command".into(), sh(WORKER)), ("gate.command".into(), sh("test -f README.md"))]);
    let rig = staff(&town, &origin, 3, settings).await;
    town.start().await.unwrap();
    let tasks = vec![
        Task::new("lay the keel", []),
        Task::new("raise the mast", [0]),
        Task::new("sew the sails", [0]),
        Task::new("launch", [1, 2]),
    ];
    let convoy = town.operator().convoys().sling(SlingConvoy::new("a ship", rig, tasks)).await.unwrap();
    let landed = settled(&town, &convoy).await;
    assert_eq!(landed.state.as_str(), "landed", "{:?}", landed.reason);
    assert_eq!(landed.progress.closed, 4);
    for bead in &landed.members {
        git(&origin, &["cat-file", "-e", &format!("main:{bead}.txt")]);
    }
    let tip = git(&origin, &["rev-parse", "main"]);
    assert_eq!(landed.landed_oid.unwrap().as_str(), tip);
    let replay = town.replay().await.unwrap();
    assert_eq!(replay.differences, Vec::<String>::new());
    town.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_does_not_wait_for_a_long_gate_and_the_next_engine_takes_it_over() {
    let dir = tempfile::tempdir().unwrap();
    let origin = origin(dir.path());
    let (runs, go) = (dir.path().join("runs"), dir.path().join("go"));
    let gate = format!("echo run >> {}; while [ ! -e {} ]; do sleep 0.05; done", runs.display(), go.display());
    let settings = NewSettings::from([("agent.command".into(), sh(WORKER)), ("gate.command".into(), sh(&gate))]);
    let town = open(dir.path()).await;
    let rig = staff(&town, &origin, 1, settings).await;
    town.start().await.unwrap();
    let tasks = vec![Task::new("lay the keel", [])];
    let convoy = town.operator().convoys().sling(SlingConvoy::new("a ship", rig, tasks)).await.unwrap();
    let mut watch = town.operator().events().watch(0).unwrap();
    let is_gate =
        |event: &gastown_core::model::Event| event.kind == "effect.issued" && event.subject.starts_with("gate#");
    while !is_gate(&watch.next().await.unwrap()) {}
    while !runs.exists() {
        tokio::task::yield_now().await;
    }
    tokio::time::timeout(std::time::Duration::from_secs(60), town.close()).await.expect("it does not wait").unwrap();
    std::fs::write(&go, "").unwrap();

    let town = open(dir.path()).await;
    town.start().await.unwrap();
    let landed = settled(&town, &convoy).await;
    assert_eq!(landed.state.as_str(), "landed", "{:?}", landed.reason);
    let gates = std::fs::read_to_string(&runs).unwrap().lines().count();
    assert_eq!(gates, 2, "one for the bead, found again after the stop, and one for the convoy");
    town.close().await.unwrap();
}
