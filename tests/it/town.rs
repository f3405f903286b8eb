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
