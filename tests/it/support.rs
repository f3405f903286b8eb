//! What the scenarios share: repositories, towns, and waiting for what the journal tells.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use gastown_core::model::{AgentName, BeadId, Event, Resolution, RigName};
use gastown_core::runtime::Supervisor;
use gastown_core::runtime::conformance::until;
use gastown_core::{
    AddRig, All, Bead, Configure, Convoy, EventsSince, NewBead, NewSettings, RegisterAgent, Session, SessionFilter,
    Town,
};
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
    // What was archived is about others.
    let first = town.health().await.unwrap().first;
    let mut watch = town.operator().events().watch(first - 1).unwrap();
    let wait = async {
        loop {
            let event = watch.next().await.unwrap();
            let ours = event.subject == convoy.id.as_str();
            if ours && matches!(event.kind.as_str(), "convoy.landed" | "convoy.needs_attention") {
                return town.operator().convoys().get(&convoy.id).await.unwrap();
            }
        }
    };
    let Ok(convoy) = tokio::time::timeout(HANG, wait).await else {
        print_journal(town).await;
        panic!("the convoy did not settle; see the journal above");
    };
    convoy
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

/// Follows the journal from `since` to the first event that fits, and moves `since` behind it.
pub(crate) async fn event(town: &Town, since: &mut u64, fits: impl Fn(&Event) -> bool) -> Event {
    let mut watch = town.operator().events().watch(*since).unwrap();
    let wait = async {
        loop {
            let event = watch.next().await.unwrap();
            if fits(&event) {
                return event;
            }
        }
    };
    let Ok(found) = tokio::time::timeout(HANG, wait).await else {
        print_journal(town).await;
        panic!("what the test waits for did not happen; see the journal above");
    };
    *since = found.seq;
    found
}

/// The first event of that kind about that subject.
pub(crate) async fn happened(town: &Town, since: &mut u64, kind: &str, subject: &BeadId) -> Event {
    event(town, since, |event| event.kind == kind && event.subject == subject.as_str()).await
}

async fn print_journal(town: &Town) {
    let all = EventsSince { since: 0, limit: Some(1_000) };
    for event in town.operator().events().since(all).await.unwrap().events {
        eprintln!("{} {} {} {}", event.seq, event.kind, event.subject, event.data);
    }
}

/// Settings that make a test quick, and these.
pub(crate) fn quick<const N: usize>(settings: [(&str, Json); N]) -> NewSettings {
    let quick = [
        ("failures.backoff_ms", json!([10])),
        ("failures.max", json!(2)),
        ("effects.backoff_ms", json!([10, 50])),
        ("effects.attempts_max", json!(3)),
        ("session.grace_ms", json!(200)),
        ("breaker.wait_ms", json!([50])),
    ];
    quick.into_iter().chain(settings).map(|(name, value)| (name.to_owned(), value)).collect()
}

/// A town with a rig and two agents that run this script, and its engine started.
pub(crate) struct Yard {
    pub(crate) town: Town,
    pub(crate) rig: RigName,
    pub(crate) origin: PathBuf,
    /// Last, because the town's files are in it.
    pub(crate) dir: tempfile::TempDir,
}

impl Yard {
    pub(crate) async fn new<const N: usize>(script: &str, settings: [(&str, Json); N]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let origin = origin(dir.path());
        let town = open(dir.path()).await;
        let mut settings = quick(settings);
        settings.entry("agent.command".to_owned()).or_insert_with(|| sh(script));
        let rig = staff(&town, &origin, 2, settings).await;
        town.start().await.unwrap();
        Self { town, rig, origin, dir }
    }

    /// An issue of this title, slung.
    pub(crate) async fn sling(&self, title: &str) -> Bead {
        let operator = self.town.operator();
        let bead = operator.beads().create(NewBead::titled(title).in_rig(self.rig.clone())).await.unwrap();
        operator.beads().sling(bead.id.clone()).await.unwrap()
    }

    pub(crate) async fn bead(&self, id: &BeadId) -> Bead {
        self.town.operator().beads().get(id).await.unwrap()
    }

    pub(crate) async fn configure(&self, name: &str, value: Json) {
        let settings = NewSettings::from([(name.to_owned(), value)]);
        let rig = Some(self.rig.clone());
        self.town.operator().rigs().configure(Configure { rig, settings }).await.unwrap();
    }

    /// Waits until the bead is closed as merged.
    pub(crate) async fn merged(&self, bead: &Bead) -> Bead {
        happened(&self.town, &mut 0, "bead.closed", &bead.id).await;
        let bead = self.bead(&bead.id).await;
        assert_eq!(bead.resolution, Some(Resolution::Merged));
        bead
    }

    pub(crate) async fn sessions(&self, bead: &BeadId) -> Vec<Session> {
        let filter = SessionFilter { bead: Some(bead.clone()), state: None };
        self.town.operator().sessions().list(filter).await.unwrap().sessions
    }

    /// Waits until no effect is under way.
    pub(crate) async fn at_rest(&self) {
        let mut watch = self.town.operator().events().watch(0).unwrap();
        let at_rest = async {
            loop {
                watch.next().await.unwrap();
                let health = self.town.operator().upkeep().health(All {}).await.unwrap();
                if health.effects_planned + health.effects_issued + health.effects_ambiguous == 0 {
                    break;
                }
            }
        };
        tokio::time::timeout(HANG, at_rest).await.expect("the outbox does not empty");
    }

    /// Says that nothing is left: no process, no workspace, no effect under way, no difference to the journal.
    pub(crate) async fn ends_tidy(self) {
        self.at_rest().await;
        until("no process is left", async || processes_of(self.dir.path()).is_empty()).await;
        let left = std::fs::read_dir(self.dir.path().join("town/work")).map_or(0, Iterator::count);
        assert_eq!(left, 0, "workspaces are left");
        assert_eq!(self.town.replay().await.unwrap().differences, Vec::<String>::new());
        self.town.close().await.unwrap();
    }
}
