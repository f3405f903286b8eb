//! What the scenarios share: repositories, towns, and waiting for what the journal tells.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use gastown_core::model::{AgentName, BeadId, Event, RigName};
use gastown_core::runtime::Supervisor;
use gastown_core::{AddRig, Bead, Convoy, EventsSince, NewSettings, RegisterAgent, Town, TownBuilder};
use serde_json::{Value as Json, json};

/// The longest a scenario may take before the test says that it hangs.
pub(crate) const HANG: Duration = Duration::from_secs(120);

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

/// The processes that know the folder: by their command line, their environment or where they are.
pub(crate) fn processes_of(folder: &Path) -> Vec<u32> {
    let needle = folder.as_os_str().as_encoded_bytes();
    let names = |bytes: &[u8]| bytes.windows(needle.len()).any(|part| part == needle);
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let knows =
            ["cmdline", "environ"].iter().any(|file| std::fs::read(entry.path().join(file)).is_ok_and(|it| names(&it)));
        let is_in = std::fs::read_link(entry.path().join("cwd")).is_ok_and(|path| path.starts_with(folder));
        if (knows || is_in) && pid != std::process::id() {
            found.push(pid);
        }
    }
    found
}
