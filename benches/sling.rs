//! From a sling to the first byte of the agent's process, beside starting the same program bare, and beside doing by
//! hand what the town does: fetch, add a working tree, start.

#![allow(missing_docs, clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use gastown_benches::{Contender, Goal, Options, Report, Shape, Turn, git, interleave, origin};
use gastown_core::model::{AgentName, BeadId, Result as Answer, RigName, SessionId, SessionState};
use gastown_core::runtime::{
    Capabilities, ContainerRuntime, ExitRecord, OutputChunk, ProcessOptions, ProcessRuntime, SessionSpec,
    SessionStatus, Supervisor,
};
use gastown_core::{AddRig, All, Configure, NewBead, RegisterAgent, SessionFilter, Town};
use serde_json::json;
use tokio::runtime::Runtime;

/// The longest anything may take before the benchmark says that it hangs.
const HANG: Duration = Duration::from_secs(120);
const AGENT: &str = env!("CARGO_BIN_EXE_bench-agent");

pub fn main() -> Result<(), String> {
    run(&Options::from_args(std::env::args(), env!("CARGO_TARGET_TMPDIR"))?)
}

pub fn run(options: &Options) -> Result<(), String> {
    let mut report = Report::new("sling", options);
    let mut tokio = tokio::runtime::Builder::new_multi_thread();
    let tokio = tokio.worker_threads(2).enable_all().build().map_err(|error| error.to_string())?;
    let shapes: &[Shape] = if options.quick { &[Shape::SMALL] } else { &[Shape::SMALL, Shape::LARGE] };
    for shape in shapes {
        for (at_once, turns) in [(1, options.pick(15, 1)), (20, options.pick(5, 1))] {
            let name = format!("sling to first byte, {at_once} at once, {}", shape.name);
            if options.wants(&name) {
                compare(&tokio, options, *shape, at_once, turns, &name, &mut report);
            }
        }
    }
    report.finish()
}

fn compare(
    tokio: &Runtime,
    options: &Options,
    shape: Shape,
    at_once: usize,
    turns: usize,
    name: &str,
    report: &mut Report,
) {
    let dir = tempfile::tempdir_in(&options.dir).expect("a folder can be made");
    let remote = origin(dir.path(), shape);
    let ears = Ears::open(&dir.path().join("agents"));
    let bench = tokio.block_on(Bench::open(dir.path(), &remote, &ears, at_once));
    let by_hand = dir.path().join("by-hand.git");
    git(dir.path(), &["clone", "-q", "--mirror", "origin.git", "by-hand.git"]);
    // The first of all makes what the others find made.
    tokio.block_on(bench.turn(&ears, at_once, 0));

    let mut parts: Vec<Parts> = Vec::new();
    let figures = interleave(
        turns,
        vec![
            Contender::new("town: sling to first byte", |turn| {
                let (took, found) = tokio.block_on(bench.turn(&ears, at_once, turn + 1));
                parts.extend(found);
                took
            }),
            Contender::new("bare spawn", |_| {
                let begun = Instant::now();
                let children: Vec<_> = (0..at_once).map(|n| ears.spawn(n, dir.path())).collect();
                let took = ears.heard(begun, at_once);
                end(children);
                took
            }),
            Contender::new("git fetch, git worktree add, spawn", |turn| {
                let begun = Instant::now();
                git(&by_hand, &["fetch", "-q"]);
                // Not at the same time: git loses some of the trees that are added so.
                let trees: Vec<PathBuf> = (0..at_once).map(|n| dir.path().join(format!("tree-{turn}-{n}"))).collect();
                let children = trees.iter().enumerate().map(|(n, tree)| {
                    let (branch, tree) = (format!("work-{turn}-{n}"), tree.to_str().expect("UTF-8"));
                    git(&by_hand, &["worktree", "add", "-q", "--no-track", "-b", &branch, tree, "main"]);
                    ears.spawn(n, Path::new(tree))
                });
                let children = children.collect();
                let took = ears.heard(begun, at_once);
                end(children);
                for tree in &trees {
                    git(&by_hand, &["worktree", "remove", "--force", tree.to_str().expect("UTF-8")]);
                }
                took
            }),
        ],
    );
    report.case(name, Goal::Time, &figures);
    report.parts(&[
        ("sling answered (durable)", parts.iter().map(|part| part.answered).collect()),
        ("workspace and brief made", parts.iter().map(|part| part.made).collect()),
        ("runtime says it runs", parts.iter().map(|part| part.runs).collect()),
        ("first byte", parts.iter().map(|part| part.spoke).collect()),
    ]);
    tokio.block_on(bench.town.close()).expect("a town closes");
}

/// When, after the sling began, each thing was there.
struct Parts {
    answered: Duration,
    made: Duration,
    runs: Duration,
    spoke: Duration,
}

/// Hears the agents' first bytes.
struct Ears {
    socket: PathBuf,
    heard: Receiver<(String, Instant, UnixStream)>,
}

impl Ears {
    fn open(socket: &Path) -> Self {
        let listener = UnixListener::bind(socket).expect("a socket can be made");
        let (sender, heard) = sync_channel(64);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.expect("a connection is taken");
                let mut reader = BufReader::new(stream);
                let mut said = String::new();
                reader.read_line(&mut said).expect("an agent speaks");
                if sender.send((said.trim().to_owned(), Instant::now(), reader.into_inner())).is_err() {
                    return;
                }
            }
        });
        Self { socket: socket.to_owned(), heard }
    }

    fn next(&self) -> (String, Instant, UnixStream) {
        self.heard.recv_timeout(HANG).expect("an agent speaks")
    }

    /// Starts the agent's program and nothing else.
    fn spawn(&self, n: usize, dir: &Path) -> Child {
        let mut agent = Command::new(AGENT);
        agent.arg(&self.socket).env_clear().env("GASTOWN_BEAD", n.to_string()).current_dir(dir);
        agent.spawn().expect("the agent's program is there")
    }

    fn heard(&self, begun: Instant, count: usize) -> Turn {
        let each: Vec<Duration> = (0..count).map(|_| self.next().1 - begun).collect();
        Turn { all: each.iter().max().copied().unwrap_or_default(), each }
    }
}

fn end(children: Vec<Child>) {
    for mut child in children {
        // It ends by itself when the socket is hung up on.
        child.wait().expect("it is a child");
    }
}

struct Bench {
    town: Town,
    rig: RigName,
    stamps: Arc<Stamps>,
}

impl Bench {
    async fn open(dir: &Path, remote: &Path, ears: &Ears, agents: usize) -> Self {
        let home = dir.join("town");
        let supervisor = Supervisor::program(env!("CARGO_BIN_EXE_bench-supervisor"));
        let processes = ProcessRuntime::new(ProcessOptions::new(home.join("sessions")).supervisor(supervisor));
        let stamps = Arc::new(Stamps { processes: processes.expect("a folder can be made"), seen: Mutex::default() });
        let runtime = Arc::clone(&stamps) as Arc<dyn ContainerRuntime>;
        let town = Town::builder(&home).from_env().runtime(runtime).open().await.expect("a town opens");
        let rig = RigName::new("harbour").expect("a name");
        let settings =
            [("agent.command".to_owned(), json!([AGENT, ears.socket])), ("sessions.max".to_owned(), json!(agents))];
        let operator = town.operator();
        let everywhere = [("sessions.max".to_owned(), json!(agents))];
        operator.rigs().configure(Configure { rig: None, settings: everywhere.into() }).await.expect("it is a setting");
        let add = AddRig { settings: settings.into(), ..AddRig::new(rig.clone(), remote.to_str().expect("UTF-8")) };
        operator.rigs().add(add).await.expect("the repository is there");
        for n in 0..agents {
            let name = AgentName::new(format!("toast{n}")).expect("a name");
            operator.agents().register(RegisterAgent::polecat(name, rig.clone())).await.expect("a new name");
        }
        town.start().await.expect("the engine starts");
        Self { town, rig, stamps }
    }

    /// Slings that many beads at once, waits until all have spoken, and stops them again.
    async fn turn(&self, ears: &Ears, count: usize, turn: usize) -> (Turn, Vec<Parts>) {
        let operator = self.town.operator();
        let mut beads = Vec::new();
        for n in 0..count {
            let bead = NewBead::titled(format!("Quay {turn}.{n}")).in_rig(self.rig.clone());
            beads.push(operator.beads().create(bead).await.expect("a bead is made").id);
        }
        self.stamps.seen.lock().expect("nobody panics").clear();
        let begun = Instant::now();
        let slings: Vec<_> = beads
            .iter()
            .map(|bead| {
                let (beads, bead) = (operator.beads(), bead.clone());
                tokio::spawn(async move {
                    beads.sling(bead).await.expect("a bead is slung");
                    Instant::now()
                })
            })
            .collect();
        let mut answered = HashMap::new();
        for (sling, bead) in slings.into_iter().zip(&beads) {
            answered.insert(bead.to_string(), sling.await.expect("nobody panics"));
        }
        let spoken: Vec<_> = tokio::task::block_in_place(|| (0..count).map(|_| ears.next()).collect());
        let each: Vec<Duration> = spoken.iter().map(|(_, at, _)| *at - begun).collect();
        let took = Turn { all: each.iter().max().copied().unwrap_or_default(), each };
        self.stop(&beads).await;
        let seen = self.stamps.seen.lock().expect("nobody panics");
        let parts = spoken.iter().map(|(bead, spoke, _)| Parts {
            answered: answered[bead] - begun,
            made: seen[bead].0 - begun,
            runs: seen[bead].1 - begun,
            spoke: *spoke - begun,
        });
        (took, parts.collect())
    }

    /// Stops the sessions of these beads and waits until everything of theirs is done.
    async fn stop(&self, beads: &[BeadId]) {
        let operator = self.town.operator();
        let mut watch = operator.events().watch(0).expect("the operator sees everything");
        for bead in beads {
            let of_bead = || SessionFilter { bead: Some(bead.clone()), state: None };
            // A session whose start is not recorded yet is stopped once it is.
            let session = loop {
                let sessions = operator.sessions().list(of_bead()).await.expect("it can be read").sessions;
                match sessions.into_iter().find(|session| session.state == SessionState::Running) {
                    Some(session) => break session,
                    None => next(&mut watch).await,
                }
            };
            operator.sessions().stop(session.id).await.expect("a running session can be stopped");
        }
        loop {
            let health = operator.upkeep().health(All {}).await.expect("it can be read");
            if health.effects_planned + health.effects_issued == 0 {
                return;
            }
            next(&mut watch).await;
        }
    }
}

/// The journal's next event; not every outcome has one, so the wait ends by itself.
async fn next(watch: &mut gastown_core::Watch) {
    if let Ok(event) = tokio::time::timeout(Duration::from_millis(20), watch.next()).await {
        event.expect("the town is open");
    }
}

/// The runtime of processes, and when each session came to it and ran.
#[derive(Debug)]
struct Stamps {
    processes: ProcessRuntime,
    seen: Mutex<HashMap<String, (Instant, Instant)>>,
}

#[async_trait]
impl ContainerRuntime for Stamps {
    fn capabilities(&self) -> Capabilities {
        self.processes.capabilities()
    }

    async fn start(&self, spec: &SessionSpec) -> Answer<SessionStatus> {
        let came = Instant::now();
        let status = self.processes.start(spec).await;
        let bead = spec.env.get("GASTOWN_BEAD").cloned().unwrap_or_default();
        self.seen.lock().expect("nobody panics").insert(bead, (came, Instant::now()));
        status
    }

    async fn list(&self) -> Answer<Vec<SessionStatus>> {
        self.processes.list().await
    }

    async fn inspect(&self, session: &SessionId) -> Answer<SessionStatus> {
        self.processes.inspect(session).await
    }

    async fn wait(&self, session: &SessionId) -> Answer<ExitRecord> {
        self.processes.wait(session).await
    }

    async fn stop(&self, session: &SessionId, grace: Duration) -> Answer<()> {
        self.processes.stop(session, grace).await
    }

    async fn forget(&self, session: &SessionId) -> Answer<()> {
        self.processes.forget(session).await
    }

    async fn output(&self, session: &SessionId, offset: u64, bytes_max: usize) -> Answer<OutputChunk> {
        self.processes.output(session, offset, bytes_max).await
    }
}
