//! Two machines that share a database: who leads when one of them dies or stands still, and what the other's word is
//! worth then.
//!
//! The machines are processes that were told different names of hosts and have folders of their own, so neither may look
//! whether the other's process lives.

#![allow(clippy::disallowed_methods, reason = "programs are found by the path of this process")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use gastown_core::model::{BeadStatus, Event, RigName};
use gastown_core::runtime::conformance::until;
use gastown_core::store::PostgresBackend;
use gastown_core::store::postgres::testing::TestServer;
use gastown_core::{Bead, Configure, EventsSince, NewBead, NewSettings, Town};
use serde_json::{Value as Json, json};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::support::{HANG, git, happened, origin, processes_of, quick, sh, staff};

/// How long a lease holds here.
const LEASE_MS: u64 = 2_000;

/// When the server ends the transaction of a machine that stands still in one.
const IDLE_MS: u64 = 1_000;

/// Commits a file of the bead's name.
const AGENT: &str = r#"echo "$GASTOWN_TITLE" > "$GASTOWN_TITLE.txt" && git add . && git commit -q -m "$GASTOWN_TITLE""#;

/// A town in a database, and a folder in which each machine has its own.
struct Harbour {
    url: String,
    /// As a person sees it who runs nothing.
    town: Town,
    rig: RigName,
    origin: PathBuf,
    dir: tempfile::TempDir,
}

impl Harbour {
    async fn new(script: &str) -> Self {
        let url = format!("{}&idle_timeout_ms={IDLE_MS}", TestServer::shared().fresh_url());
        let dir = tempfile::tempdir().unwrap();
        let origin = origin(dir.path());
        let backend = Arc::new(PostgresBackend::new(&url).unwrap());
        let town = Town::builder(dir.path().join("desk")).backend(backend).open().await.unwrap();
        let rig = staff(&town, &origin, 1, quick([("agent.command", sh(script))])).await;
        let settings = NewSettings::from([("engine.lease_ms".to_owned(), json!(LEASE_MS))]);
        town.operator().rigs().configure(Configure { rig: None, settings }).await.unwrap();
        Self { url, town, rig, origin, dir }
    }

    fn machine(&self, name: &str) -> Machine {
        let folder = self.dir.path().join(name);
        let bin = folder.join("bin");
        std::fs::create_dir_all(&bin).unwrap();
        wrap_git(&bin);
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        let mut command = Command::new(env!("CARGO_BIN_EXE_town-child"));
        command.arg("engine").arg(folder.join("town")).args(["--store", &self.url, "--host", name]).env("PATH", path);
        let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Machine { child, lines, bin, refused: Vec::new() }
    }

    async fn sling(&self, title: &str) -> Bead {
        let beads = self.town.operator().beads();
        let bead = beads.create(NewBead::titled(title).in_rig(self.rig.clone())).await.unwrap();
        beads.sling(bead.id.clone()).await.unwrap()
    }

    /// What was journaled, of a kind.
    async fn journal(&self, kind: &str) -> Vec<Event> {
        let all = EventsSince { since: 0, limit: Some(1_000) };
        let events = self.town.operator().events().since(all).await.unwrap().events;
        events.into_iter().filter(|event| event.kind == kind).collect()
    }

    /// Waits until nothing is to be done.
    async fn at_rest(&self) {
        let mut watch = self.town.operator().events().watch(0).unwrap();
        let at_rest = async {
            loop {
                watch.next().await.unwrap();
                let health = self.town.health().await.unwrap();
                if health.effects_planned + health.effects_issued + health.effects_ambiguous == 0 {
                    break;
                }
            }
        };
        tokio::time::timeout(HANG, at_rest).await.expect("the outbox does not empty");
    }

    /// Holds the end of one bead's work against what must be.
    async fn landed_once(&self, bead: &Bead, title: &str) {
        happened(&self.town, &mut 0, "bead.closed", &bead.id).await;
        let subjects = git(&self.origin, &["log", "--format=%s", "main"]);
        assert_eq!(subjects.lines().filter(|subject| *subject == title).count(), 1, "{subjects}");
        assert_eq!(self.town.operator().beads().get(&bead.id).await.unwrap().status, BeadStatus::Closed);
        assert_eq!(self.town.replay().await.unwrap().differences, Vec::<String>::new());
    }
}

/// Puts a `git` before the real one that stands still while there is a file `hold`, after saying so in `held`.
fn wrap_git(bin: &Path) {
    let path = std::env::var_os("PATH").unwrap();
    let real = std::env::split_paths(&path).map(|dir| dir.join("git")).find(|git| git.is_file()).expect("there is git");
    let fifo = bin.join("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let script = format!(
        "#!/bin/sh\nif [ -e {bin}/hold ] && [ \"$1\" != version ] && [ \"$1\" != --version ]; then\n: > {bin}/held\nread x < {bin}/fifo\nfi\nexec {real} \"$@\"\n",
        bin = bin.display(),
        real = real.display(),
    );
    std::fs::write(bin.join("git"), script).unwrap();
    std::fs::set_permissions(bin.join("git"), std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// One process that leads or waits until it may.
struct Machine {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    bin: PathBuf,
    /// When it was refused the lease, and until when that held.
    refused: Vec<(String, String)>,
}

impl Machine {
    /// Its next word of this sort; those about refusals before it are kept.
    async fn says(&mut self, what: &str) -> Json {
        let reading = async {
            loop {
                let line = self.lines.next_line().await.unwrap().expect("it goes on");
                let said: Json = serde_json::from_str(&line).unwrap();
                if let (Some(at), Some(until)) = (said["refused"].as_str(), said["until"].as_str()) {
                    self.refused.push((at.to_owned(), until.to_owned()));
                }
                if let Some(word) = said.get(what) {
                    return word.clone();
                }
            }
        };
        tokio::time::timeout(HANG, reading).await.expect("it says nothing of the kind")
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.id().expect("it lives").to_string();
        assert!(std::process::Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    /// It was refused, and never when the other's lease was over.
    fn waited_for_the_term(&self) {
        assert!(!self.refused.is_empty());
        assert!(self.refused.iter().all(|(at, until)| at < until), "{:?}", self.refused);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_leader_of_another_machine_is_followed_when_its_lease_is_over() {
    let harbour = Harbour::new(AGENT).await;
    let mut first = harbour.machine("alpha");
    first.says("leads").await;
    let mut second = harbour.machine("beta");
    second.says("refused").await;
    first.child.kill().await.unwrap();
    second.says("leads").await;
    second.waited_for_the_term();
    let (_, until) = second.refused.last().unwrap();
    let leaders = harbour.journal("engine.leader").await;
    let of = |event: &Event| {
        let holder = event.data["holder"].as_str().unwrap();
        (holder.split(':').next().unwrap().to_owned(), event.data["epoch"].as_i64().unwrap())
    };
    assert_eq!(leaders.iter().map(of).collect::<Vec<_>>(), [("alpha".to_owned(), 1), ("beta".to_owned(), 2)]);
    assert!(leaders[1].at.to_string() >= *until, "it led at {}, while the lease held until {until}", leaders[1].at);
    let bead = harbour.sling("Hull").await;
    harbour.landed_once(&bead, "Hull").await;
    harbour.town.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_stood_still_neither_begins_nor_reports_anything_afterwards() {
    let harbour = Harbour::new(AGENT).await;
    let mut first = harbour.machine("alpha");
    first.says("leads").await;
    // It has begun to start a session when it is frozen.
    std::fs::write(first.bin.join("hold"), "").unwrap();
    let hull = harbour.sling("Hull").await;
    let held = first.bin.join("held");
    until("git is held", async || held.exists()).await;
    first.signal("-STOP");
    let mut second = harbour.machine("beta");
    second.says("leads").await;
    second.waited_for_the_term();
    harbour.landed_once(&hull, "Hull").await;

    // The other stands still as well, so what is slung now waits for anybody who leads.
    harbour.at_rest().await;
    second.signal("-STOP");
    let begun = harbour.journal("effect.issued").await.len();
    let mast = harbour.sling("Mast").await;
    first.signal("-CONT");
    let ended = first.says("ended").await;
    assert!(ended.as_str().unwrap().contains("the leader of epoch 1 was followed by 2"), "{ended}");
    // Whatever it was busy with went with its engine: the git program, and the agent that was to come.
    until("nothing of its effects is left", async || {
        let own = first.child.id().unwrap();
        processes_of(&harbour.dir.path().join("alpha")).iter().all(|pid| *pid == own)
    })
    .await;
    assert_eq!(harbour.journal("effect.issued").await.len(), begun, "it began nothing more");
    let health = harbour.town.health().await.unwrap();
    assert_eq!((health.effects_planned, health.effects_issued), (1, 0), "the start of the mast's session waits");

    second.signal("-CONT");
    harbour.landed_once(&mast, "Mast").await;
    harbour.town.close().await.unwrap();
}
