//! A host that is killed at any place loses nothing and doubles nothing.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use gastown_core::failpoint;
use gastown_core::runtime::conformance::until;
use serde_json::{Value as Json, json};
use std::os::unix::process::ExitStatusExt as _;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use crate::support::{HANG, git, origin, processes_of};

const TASKS: [&str; 5] = ["flag", "keel", "launch", "mast", "sails"];
/// The place that is in the supervisor and not in the host.
const IN_SUPERVISOR: &str = "supervisor.before_exit_record";

/// Whether the long form was asked for.
#[allow(clippy::disallowed_methods, reason = "the caller of the tests asks for it by a variable")]
fn is_soak() -> bool {
    std::env::var_os("GASTOWN_SOAK").is_some()
}

/// Where one convoy is brought home, by one host after another.
pub(crate) struct Scene {
    dir: TempDir,
    origin: PathBuf,
    /// The URL of the database; none for a file.
    store: Option<String>,
}

/// How one host ended.
pub(crate) struct Run {
    pub(crate) status: ExitStatus,
    pub(crate) last_line: String,
}

impl Run {
    pub(crate) fn was_killed(&self) -> bool {
        self.status.signal() == Some(9)
    }
}

impl Scene {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let origin = origin(dir.path());
        Self { dir, origin, store: None }
    }

    /// The same with the town in this database.
    pub(crate) fn on(store: String) -> Self {
        Self { store: Some(store), ..Self::new() }
    }

    /// The program that runs a host, with its arguments.
    pub(crate) fn host(&self, before: &[String], after: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_town-child"));
        command.args(before).arg("run").args([self.dir.path(), &self.origin]).args(after);
        command.args(self.store.iter().flat_map(|store| ["--store", store]));
        command.stdout(Stdio::piped()).kill_on_drop(true);
        command
    }

    /// Runs a host until it ends or `shouts` events were journaled before its eyes; then it is killed.
    pub(crate) async fn run(&self, before: &[String], after: &[&str], shouts: Option<usize>) -> Run {
        let mut child = self.host(before, after).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (mut last_line, mut count) = (String::new(), 0);
        let reading = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                last_line = line;
                count += 1;
                if Some(count) == shouts {
                    child.start_kill().unwrap();
                }
            }
            child.wait().await.unwrap()
        };
        let status = tokio::time::timeout(HANG, reading).await.expect("the host neither ended nor died");
        Run { status, last_line }
    }

    pub(crate) async fn killed_at(&self, name: &str, nth: usize) {
        let run = self.run(&["--kill-at".to_owned(), format!("{name}:{nth}")], &[], None).await;
        assert!(run.was_killed(), "{name}:{nth} was not reached: {:?} {}", run.status, run.last_line);
    }

    /// Runs a host to the end and holds what it left against what must be.
    pub(crate) async fn ends_well(&self, after: &[&str]) -> Json {
        let run = self.run(&[], after, None).await;
        assert!(run.status.success(), "{:?}", run.status);
        self.ended_well(&run.last_line).await
    }

    /// Holds what a host said last, and what is there, against what must be.
    pub(crate) async fn ended_well(&self, last_line: &str) -> Json {
        let end: Json = serde_json::from_str(last_line).unwrap();
        assert_eq!(end["same"], expected(), "{end:#}");
        self.repository_holds_each_change_once(&end);
        self.nothing_is_left_behind().await;
        end
    }

    fn repository_holds_each_change_once(&self, end: &Json) {
        let subjects = |args: &[&str]| -> Vec<String> {
            git(&self.origin, &[&["log", "--format=%s"], args].concat()).lines().map(str::to_owned).collect()
        };
        let tip = git(&self.origin, &["rev-parse", "main"]);
        assert_eq!(end["landed_oid"], json!(tip));
        let target = subjects(&["--first-parent", "main"]);
        assert_eq!(target.len(), 2, "one merge on the target: {target:?}");
        assert!(target[0].ends_with(": ship") && target[1] == "Begin", "{target:?}");

        let merges = subjects(&["--first-parent", "--reverse", "main^1..main^2"]);
        let order: Vec<&str> = merges.iter().filter_map(|subject| subject.split(": ").nth(1)).collect();
        assert_eq!(sorted(order.clone()), TASKS, "one merge for each task: {merges:?}");
        assert_eq!((order[0], order[4]), ("keel", "launch"), "dependencies come first");

        let all = subjects(&["main"]);
        let work: Vec<&str> = all.iter().map(String::as_str).filter(|subject| TASKS.contains(subject)).collect();
        assert_eq!(sorted(work), TASKS, "each change is there once: {all:?}");
        for task in TASKS {
            assert_eq!(git(&self.origin, &["show", &format!("main:{task}.txt")]), task);
        }
        assert_eq!(git(&self.origin, &["show", "main:shared.txt"]), "flag");
        assert_eq!(git(&self.origin, &["for-each-ref", "--format=%(refname)"]), "refs/heads/main");
    }

    async fn nothing_is_left_behind(&self) {
        until("no process is left", async || processes_of(self.dir.path()).is_empty()).await;
        for folder in ["work", "gates"] {
            assert_eq!(names(&self.dir.path().join("town").join(folder)), Vec::<String>::new(), "in {folder}");
        }
        let mirror = self.dir.path().join("town/mirrors/harbour.git");
        let refs = git(&mirror, &["for-each-ref", "--format=%(refname)", "refs/heads", "refs/gastown"]);
        assert_eq!(refs, "refs/heads/main", "the mirror keeps no branch of a finished bead");
    }
}

fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn sorted(mut names: Vec<&str>) -> Vec<&str> {
    names.sort_unstable();
    names
}

/// What every run must end with, however often it was interrupted.
fn expected() -> Json {
    let task = |failures: u32| {
        json!({
            "status": "closed", "resolution": "landed", "failures": failures,
            "assignee": null, "blockers": 0, "metadata": {},
        })
    };
    let tasks: serde_json::Map<String, Json> =
        TASKS.iter().map(|name| ((*name).to_owned(), task(u32::from(*name == "mast")))).collect();
    json!({
        "convoys": 1, "state": "landed", "reason": null, "tasks": tasks, "sent_back": 1, "differences": [], "refused": [],
        "agents": [["nux", "idle", null], ["slit", "idle", null], ["toast", "idle", null]],
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_uninterrupted_convoy_lands() {
    let end = Scene::new().ends_well(&[]).await;
    assert_eq!(end["exits"].as_array().unwrap().len(), 7, "five tasks, one failed and one sent back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_supervisor_killed_before_its_exit_record_costs_one_more_run() {
    // Gates have supervisors too: the second is that of the first gate.
    let most = if is_soak() { 12 } else { 2 };
    for nth in 1..=most {
        let scene = Scene::new();
        let end = scene.ends_well(&["--supervisor-kill", &nth.to_string()]).await;
        let lost = end["exits"].as_array().unwrap().iter().filter(|exit| exit[2] == "lost").count();
        let gates = usize::try_from(end["lost_gates"].as_u64().unwrap()).unwrap();
        assert_eq!(lost + gates, 1, "a session or a gate was lost: {end:#}");
    }
}

/// How often each place is passed by an uninterrupted convoy at the least.
fn passes(name: &str) -> usize {
    match name {
        "sling.before_commit" | "sling.after_commit" => 1,
        "publish.pushed"
        | "merge.built"
        | "gate.passed"
        | "session.before_removal"
        | "land.pushed"
        | "land.recorded" => 5,
        _ => 7,
    }
}

async fn killed_once_at(name: &str, nth: usize) {
    let scene = Scene::new();
    scene.killed_at(name, nth).await;
    scene.ends_well(&[]).await;
}

/// One test for each place, so that they run beside each other and each is named where it fails.
macro_rules! killed_at_each {
    ($($test:ident = $name:literal;)*) => {
        $(#[tokio::test(flavor = "multi_thread")]
        async fn $test() {
            let most = if is_soak() { passes($name) } else { passes($name).min(2) };
            for nth in 1..=most {
                killed_once_at($name, nth).await;
            }
        })*

        #[test]
        fn every_failpoint_has_its_test() {
            let mut tested = vec![$($name),*];
            tested.push(IN_SUPERVISOR);
            tested.sort_unstable();
            let mut names = failpoint::NAMES.to_vec();
            names.sort_unstable();
            assert_eq!(tested, names);
        }
    };
}

killed_at_each! {
    killed_before_a_sling_is_committed = "sling.before_commit";
    killed_before_a_sling_is_answered = "sling.after_commit";
    killed_after_a_start_is_claimed = "start.claimed";
    killed_with_a_workspace_without_files = "workspace.created";
    killed_with_a_workspace_half_made = "workspace.filled";
    killed_with_an_agent_nobody_knows_of = "start.spawned";
    killed_while_an_agent_works = "start.recorded";
    killed_with_work_brought_home_and_not_recorded = "outcome.collected";
    killed_after_an_outcome_is_recorded = "outcome.recorded";
    killed_with_work_published_and_not_recorded = "publish.pushed";
    killed_with_a_merge_built_and_not_recorded = "merge.built";
    killed_with_a_gate_passed_and_not_recorded = "gate.passed";
    killed_with_a_session_on_its_way_out = "session.before_removal";
    killed_with_a_merge_landed_and_not_recorded = "land.pushed";
    killed_after_a_landing_is_recorded = "land.recorded";
}

/// Small and repeatable: the next number of a sequence, below `bound`.
fn draw(seed: &mut u64, bound: usize) -> usize {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    usize::try_from((*seed >> 33) % u64::try_from(bound).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_again_and_again_at_different_places() {
    let names: Vec<&str> = failpoint::NAMES.iter().copied().filter(|name| *name != IN_SUPERVISOR).collect();
    for seed in 1..=if is_soak() { 100 } else { 1 } {
        let mut random = seed;
        let scene = Scene::new();
        let mut killed = 0;
        for _ in 0..6 {
            let name = names[draw(&mut random, names.len())];
            let nth = 1 + draw(&mut random, 2);
            let run = scene.run(&["--kill-at".to_owned(), format!("{name}:{nth}")], &[], None).await;
            assert!(run.was_killed() || run.status.success(), "seed {seed}, {name}:{nth}: {:?}", run.status);
            killed += usize::from(run.was_killed());
        }
        assert!(killed >= 2, "seed {seed} kills too seldom");
        scene.ends_well(&[]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_from_outside_at_any_event() {
    for seed in 1..=if is_soak() { 100 } else { 2 } {
        let mut random = 77 + seed;
        let scene = Scene::new();
        let mut killed = 0;
        let mut journaled = 0;
        for _ in 0..4 {
            let shouts = journaled + 1 + draw(&mut random, 60);
            let run = scene.run(&[], &["--shout"], Some(shouts)).await;
            if !run.was_killed() {
                break;
            }
            killed += 1;
            journaled = run.last_line.strip_prefix("event ").map_or(journaled, |seq| seq.parse().unwrap());
        }
        assert!(killed > 0, "seed {seed} kills nobody");
        scene.ends_well(&[]).await;
    }
}
