//! A town on SQLite with real git and real processes.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use gastown_core::model::{AgentName, RigName};
use gastown_core::runtime::Supervisor;
use gastown_core::{AddRig, Convoy, NewSettings, RegisterAgent, SlingConvoy, Task, Town};
use serde_json::json;

/// The longest a scenario may take before the test says that it hangs.
const HANG: Duration = Duration::from_secs(120);

pub(crate) fn git(dir: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .arg("-C")
        .arg(dir)
        .args(["-c", "user.name=Tess", "-c", "user.email=tess@example.org", "-c", "init.defaultBranch=main"])
        .args(args)
        .output()
        .unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A bare repository with one commit on `main`.
pub(crate) fn origin(dir: &Path) -> PathBuf {
    let work = dir.join("seed");
    std::fs::create_dir_all(&work).unwrap();
    git(&work, &["init", "-q"]);
    std::fs::write(work.join("README.md"), "# Harbour\n").unwrap();
    std::fs::write(work.join("shared.txt"), "one\n").unwrap();
    git(&work, &["add", "."]);
    git(&work, &["commit", "-q", "-m", "Begin"]);
    let bare = dir.join("origin.git");
    git(dir, &["clone", "-q", "--bare", "seed", "origin.git"]);
    bare
}

pub(crate) async fn open(dir: &Path) -> Town {
    Town::builder(dir.join("town"))
        .from_env()
        .supervisor(Supervisor::program(env!("CARGO_BIN_EXE_town-child")))
        .open()
        .await
        .unwrap()
}

pub(crate) fn sh(script: &str) -> serde_json::Value {
    json!(["sh", "-c", script])
}

pub(crate) async fn staff(town: &Town, origin: &Path, agents: usize, settings: NewSettings) -> RigName {
    let rig = RigName::new("harbour").unwrap();
    let add = AddRig { settings, ..AddRig::new(rig.clone(), origin.to_str().unwrap()) };
    town.operator().rigs().add(add).await.unwrap();
    for n in 0..agents {
        let name = AgentName::new(format!("toast{n}")).unwrap();
        town.operator().agents().register(RegisterAgent::polecat(name, rig.clone())).await.unwrap();
    }
    rig
}

/// Follows the journal until the convoy landed or needs attention.
pub(crate) async fn settled(town: &Town, convoy: &Convoy) -> Convoy {
    let mut watch = town.operator().events().watch(0).unwrap();
    let wait = async {
        loop {
            let event = watch.next().await.unwrap();
            let ours = event.subject == convoy.id.as_str();
            if ours && matches!(event.kind.as_str(), "convoy.landed" | "convoy.needs_attention") {
                return town.operator().convoys().get(&convoy.id).await.unwrap();
            }
        }
    };
    match tokio::time::timeout(HANG, wait).await {
        Ok(convoy) => convoy,
        Err(_) => {
            let page = town.operator().events().since(gastown_core::EventsSince { since: 0, limit: Some(1000) }).await;
            for event in page.unwrap().events {
                eprintln!("{} {} {} {}", event.seq, event.kind, event.subject, event.data);
            }
            panic!("the convoy did not settle; see the journal above");
        }
    }
}

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
