//! Sessions as real processes: the conformance suite, and what happens when hosts and supervisors die.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use gastown_core::ErrorKind;
use gastown_core::model::SessionId;
use gastown_core::runtime::conformance::{Act, Bench, runs, until};
use gastown_core::runtime::{
    ContainerRuntime, ExitOutcome, ProcessOptions, ProcessRuntime, ScriptedRuntime, SessionState, Supervisor,
};
use tempfile::TempDir;

const TOWN_CHILD: &str = env!("CARGO_BIN_EXE_town-child");
const GRACE: Duration = Duration::from_secs(30);

fn own_process() -> Supervisor {
    Supervisor::program(TOWN_CHILD)
}

fn runtime(folder: &TempDir, supervisor: Supervisor) -> ProcessRuntime {
    ProcessRuntime::new(ProcessOptions::new(folder.path().join("sessions")).supervisor(supervisor)).unwrap()
}

fn bench(supervisor: Supervisor) -> (TempDir, Bench) {
    let folder = tempfile::tempdir().unwrap();
    let workspace = folder.path().join("workspace");
    fs::create_dir(&workspace).unwrap();
    let bench = Bench::new(runtime(&folder, supervisor), workspace);
    (folder, bench)
}

gastown_core::runtime_conformance!(under_a_supervisor, || bench(own_process()));
gastown_core::runtime_conformance!(in_process, || bench(Supervisor::InProcess));
gastown_core::runtime_conformance!(scripted, || {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::new(ScriptedRuntime::new(Act::script), folder.path()).commands(Act::words);
    (folder, bench)
});

fn session() -> SessionId {
    SessionId::new("s-1").unwrap()
}

/// The supervisor's process id, by its command line.
fn supervisor_of(folder: &Path) -> Option<u32> {
    fs::read_dir("/proc").unwrap().flatten().find_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        let args: Vec<_> = line.split(|byte| *byte == 0).collect();
        let ours = args.get(1) == Some(&b"session".as_slice()) && Path::new(str(args.get(3)?)).starts_with(folder);
        (ours && runs(pid)).then_some(pid)
    })
}

fn str(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn kill(pid: u32) {
    assert!(Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
}

#[tokio::test]
async fn the_exit_code_survives_the_death_of_the_host() {
    let (folder, bench) = bench(own_process());
    let mut host = Command::new(TOWN_CHILD)
        .arg("host")
        .args([folder.path().join("sessions").as_path(), Path::new("s-1"), &bench.workspace])
        .args(["/bin/sh", "-c", "until [ -e go ]; do sleep 0.02; done; echo went; exit 7"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(host.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "started Running\n");
    host.kill().unwrap();
    host.wait().unwrap();

    // This runtime never started it.
    let listed = bench.runtime.list().await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].state, SessionState::Running);
    assert!(runs(listed[0].pid.unwrap()));
    let early = tokio::time::timeout(Duration::from_millis(1), bench.runtime.wait(&session())).await;
    assert!(early.is_err());
    fs::write(bench.workspace.join("go"), "").unwrap();
    let record = bench.runtime.wait(&session()).await.unwrap();
    assert_eq!(record.outcome, ExitOutcome::Exited { code: 7 });
    assert_eq!(bench.runtime.output(&session(), 0, 100).await.unwrap().bytes, b"went\n");
}

#[tokio::test]
async fn an_adopted_session_is_stopped() {
    let (folder, bench) = bench(own_process());
    bench.runtime.start(&bench.spec("s-1", &Act::HangsBesideDaemon)).await.unwrap();
    bench.until_printed(&session(), "ready").await;
    let child: u32 = fs::read_to_string(bench.workspace.join("child.pid")).unwrap().trim().parse().unwrap();
    let other = runtime(&folder, own_process());
    other.stop(&session(), GRACE).await.unwrap();
    assert!(!runs(child));
    assert_eq!(other.wait(&session()).await.unwrap().outcome, ExitOutcome::Stopped);
    assert_eq!(bench.runtime.wait(&session()).await.unwrap().outcome, ExitOutcome::Stopped);
}

#[tokio::test]
async fn a_session_whose_supervisor_is_killed_is_lost_and_its_agent_dies() {
    let (folder, bench) = bench(own_process());
    let act = Act::Shell("sleep 1000 & echo $! > child.pid; echo ready; wait".to_owned());
    let status = bench.runtime.start(&bench.spec("s-1", &act)).await.unwrap();
    bench.until_printed(&session(), "ready").await;
    let child: u32 = fs::read_to_string(bench.workspace.join("child.pid")).unwrap().trim().parse().unwrap();
    kill(supervisor_of(folder.path()).unwrap());
    assert_eq!(bench.runtime.wait(&session()).await.unwrap().outcome, ExitOutcome::Lost);
    until("the agent is gone", async || !runs(status.pid.unwrap())).await;
    until("its child is gone", async || !runs(child)).await;
    let other = runtime(&folder, own_process());
    assert_eq!(other.wait(&session()).await.unwrap(), bench.runtime.wait(&session()).await.unwrap());
    assert_eq!(other.wait(&session()).await.unwrap().output_bytes, 6);
}

#[tokio::test]
async fn a_supervisor_killed_before_its_exit_record_leaves_a_lost_session() {
    let args = ["--kill-at", "supervisor.before_exit_record"].map(str::to_owned).to_vec();
    let (_folder, bench) = bench(Supervisor::Program { path: TOWN_CHILD.into(), args });
    bench.runtime.start(&bench.spec("s-1", &Act::Exits(0))).await.unwrap();
    assert_eq!(bench.runtime.wait(&session()).await.unwrap().outcome, ExitOutcome::Lost);
}

#[tokio::test]
async fn a_missing_supervisor_is_an_error_and_leaves_nothing() {
    let (_folder, bench) = bench(Supervisor::program("/no/such/supervisor"));
    let error = bench.runtime.start(&bench.spec("s-1", &Act::Exits(0))).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Unavailable, "supervisor_missing"));
    assert!(bench.runtime.list().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_program_that_is_no_supervisor_loses_the_session() {
    let (_folder, bench) = bench(Supervisor::program("/bin/true"));
    bench.runtime.start(&bench.spec("s-1", &Act::Exits(0))).await.unwrap();
    assert_eq!(bench.runtime.wait(&session()).await.unwrap().outcome, ExitOutcome::Lost);
}

#[tokio::test]
async fn a_supervisor_is_a_session_leader_with_nothing_of_the_hosts_environment() {
    let (folder, bench) = bench(own_process());
    bench.runtime.start(&bench.spec("s-1", &Act::Hangs)).await.unwrap();
    let pid = supervisor_of(folder.path()).unwrap();
    assert_eq!(fs::read(format!("/proc/{pid}/environ")).unwrap(), b"");
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    assert_eq!(fields[3], pid.to_string());
    bench.runtime.stop(&session(), GRACE).await.unwrap();
    until("the supervisor is collected", async || !Path::new(&format!("/proc/{pid}")).exists()).await;
}

#[tokio::test]
async fn sessions_in_process_end_with_the_runtime() {
    let (_folder, bench) = bench(Supervisor::InProcess);
    let status = bench.runtime.start(&bench.spec("s-1", &Act::IgnoresTerm)).await.unwrap();
    let pid = status.pid.unwrap();
    assert!(runs(pid));
    drop(bench);
    assert!(!Path::new(&format!("/proc/{pid}")).exists(), "it is killed and collected");
}

#[tokio::test]
async fn a_grace_longer_than_the_clock_is_fine_and_a_damaged_folder_hides_nobody() {
    let (folder, bench) = bench(own_process());
    fs::create_dir(folder.path().join("sessions/damaged")).unwrap();
    let mut spec = bench.spec("s-1", &Act::Hangs);
    spec.timeout = Some(Duration::MAX);
    bench.runtime.start(&spec).await.unwrap();
    bench.until_printed(&session(), "ready").await;
    assert_eq!(bench.runtime.list().await.unwrap().len(), 1);
    assert!(bench.runtime.inspect(&SessionId::new("damaged").unwrap()).await.is_err());
    bench.runtime.stop(&session(), Duration::MAX).await.unwrap();
    assert_eq!(bench.runtime.wait(&session()).await.unwrap().outcome, ExitOutcome::Stopped);
}

#[tokio::test]
async fn no_zombie_is_left() {
    for supervisor in [own_process(), Supervisor::InProcess] {
        let (_folder, bench) = bench(supervisor);
        let mut pids = Vec::new();
        for n in 0..4 {
            let act = Act::Shell("cut -d' ' -f1,4 /proc/$$/stat; sleep 0.01 & sleep 0.01 & exit 0".to_owned());
            let spec = bench.spec(&format!("s-{n}"), &act);
            bench.runtime.start(&spec).await.unwrap();
            bench.runtime.wait(&spec.session).await.unwrap();
            let printed = bench.runtime.output(&spec.session, 0, 100).await.unwrap().bytes;
            pids.extend(str(&printed).split_whitespace().map(|pid| pid.parse::<u32>().unwrap()));
        }
        assert_eq!(pids.len(), 8, "agents and their parents");
        let myself = std::process::id();
        until("no process is left, not even a zombie", async || {
            pids.iter().all(|pid| *pid == myself || !Path::new(&format!("/proc/{pid}")).exists())
        })
        .await;
    }
}
