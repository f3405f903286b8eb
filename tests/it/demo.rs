//! The main job as users run it: the program `examples/town`, also killed and started again.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::SystemTime;

use serde_json::Value as Json;

use crate::support::{git, origin};

/// Where the program is; it is built anew where it is missing or older than what it is made of.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let test = std::env::current_exe().unwrap();
        let profile = test.parent().and_then(Path::parent).expect("tests are in <profile>/deps");
        let program = profile.join("examples/town");
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let sources = [root.join("examples/town"), root.join("gastown-core/src")];
        let built = program.metadata().and_then(|data| data.modified()).ok();
        if built.is_none_or(|built| sources.iter().any(|source| newest(source) > built)) {
            let mut cargo = Command::new(env!("CARGO"));
            cargo.current_dir(root).env("CARGO_TARGET_DIR", profile.parent().unwrap());
            cargo.args(["build", "--quiet", "--locked", "-p", "gastown-examples", "--example", "town"]);
            if profile.ends_with("release") {
                cargo.arg("--release");
            }
            assert!(cargo.status().unwrap().success(), "the example is not built");
        }
        program
    })
}

/// When the youngest file under a folder was changed.
fn newest(dir: &Path) -> SystemTime {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let times = entries.map(|entry| {
        let data = entry.metadata().unwrap();
        if data.is_dir() { newest(&entry.path()) } else { data.modified().unwrap() }
    });
    times.max().unwrap_or(SystemTime::UNIX_EPOCH)
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(["--timeout", "120"]).args(args).stdin(Stdio::null());
    command
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn shown(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn report(file: &Path) -> Json {
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

/// What must be the same in every run over one repository: names, times and ids left out.
fn normalised(report: &Json) -> Vec<String> {
    let beads = report["beads"].as_array().unwrap();
    let title = |id: &Json| beads.iter().find(|bead| bead["bead"] == *id).unwrap()["title"].to_string();
    let mut all: Vec<String> = beads
        .iter()
        .map(|bead| {
            let before: Vec<String> = bead["depends_on"].as_array().unwrap().iter().map(title).collect();
            let (state, failures, conflicts) = (&bead["state"], &bead["failures"], &bead["conflicts"]);
            format!("{} {state} failed {failures} conflicted {conflicts} after {before:?}", bead["title"])
        })
        .collect();
    all.push(format!("convoy {}, tree {}", report["convoy"]["state"], report["origin"]["tree"]));
    all
}

#[test]
fn the_demo_brings_twelve_tasks_home() {
    let dir = tempfile::tempdir().unwrap();
    let origin = origin(dir.path());
    let (place, json) = (dir.path().join("run"), dir.path().join("report.json"));
    let args = ["--repo", text(&origin), "--tasks", "12", "--dir", text(&place), "--json", text(&json)];
    let output = command(&args).output().unwrap();
    assert!(output.status.success(), "{}", shown(&output));

    let report = report(&json);
    assert_eq!(report["ok"], true);
    let beads = report["beads"].as_array().unwrap();
    let sum = |field: &str| beads.iter().map(|bead| bead[field].as_u64().unwrap()).sum::<u64>();
    assert_eq!((beads.len(), sum("failures"), sum("conflicts"), sum("attempts")), (12, 1, 1, 14));

    // The program's own verdict is not enough: git is asked as well.
    let landed = place.join("origin.git");
    assert_eq!(git(&landed, &["rev-parse", "main"]), report["origin"]["tip"].as_str().unwrap());
    let subjects = git(&landed, &["log", "--format=%s", "main"]);
    for bead in beads {
        let title = bead["title"].as_str().unwrap();
        assert_eq!(subjects.lines().filter(|subject| *subject == title).count(), 1, "{title}: {subjects}");
        git(&landed, &["merge-base", "--is-ancestor", bead["commit"].as_str().unwrap(), "main"]);
    }
    let berths = git(&landed, &["show", "main:harbour/berths.md"]);
    assert_eq!(berths.lines().count(), 2, "both sides of the conflict are kept: {berths}");
    git(&landed, &["fsck", "--strict", "--no-dangling"]);
}

#[test]
fn killed_and_resumed_it_ends_in_the_same_state() {
    let dir = tempfile::tempdir().unwrap();
    let origin = origin(dir.path());
    let repo = ["--repo", text(&origin)];
    let json = dir.path().join("whole.json");
    let output = command(&repo).args(["--json", text(&json)]).output().unwrap();
    assert!(output.status.success(), "{}", shown(&output));
    let wanted = normalised(&report(&json));

    #[allow(clippy::disallowed_methods, reason = "tests may be told to run longer")]
    let rounds = if std::env::var_os("GASTOWN_SOAK").is_some() { 100 } else { 3 };
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for round in 0..rounds {
        let place = dir.path().join(format!("run{round}"));
        let json = dir.path().join(format!("run{round}.json"));
        let mut args = vec!["--dir", text(&place)];
        let mut kills = Vec::new();
        loop {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            // Four times it is killed, also before it says a word; then it is left alone.
            let lines = if kills.len() < 4 { usize::try_from(random % 50).unwrap() } else { usize::MAX };
            let mut child = command(&repo)
                .args(&args)
                .args(["--json", text(&json)])
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            let stderr = BufReader::new(child.stderr.take().unwrap());
            let seen: Vec<String> = stderr.lines().take(lines).map(Result::unwrap).collect();
            if seen.len() == lines {
                child.kill().unwrap();
                child.wait().unwrap();
                kills.push(lines);
                args = vec!["--resume", text(&place)];
                continue;
            }
            let output = child.wait_with_output().unwrap();
            let all = format!("killed after lines {kills:?}\n{}\n{}", shown(&output), seen.join("\n"));
            assert!(output.status.success(), "{all}");
            assert_eq!(normalised(&report(&json)), wanted, "{all}");
            break;
        }
    }
}

/// A process that was killed in the middle of starting another holds its locks for a moment longer.
#[test]
fn a_run_waits_for_the_lock_of_its_folder_and_not_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let origin = origin(dir.path());
    let place = dir.path().join("run");
    std::fs::create_dir(&place).unwrap();
    let lock = std::fs::File::create(place.join("demo.lock")).unwrap();
    let args = ["--repo", text(&origin), "--tasks", "1", "--resume", text(&place)];
    lock.lock().unwrap();
    let output = command(&args).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", shown(&output));
    assert!(String::from_utf8_lossy(&output.stderr).contains("(run_in_progress)"), "{}", shown(&output));

    let mut child = command(&args).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(stderr.any(|line| line.contains("waiting")), "it does not say that it waits");
    lock.unlock().unwrap();
    let rest: Vec<String> = stderr.collect();
    assert!(child.wait().unwrap().success(), "{}", rest.join("\n"));
}

#[test]
fn a_repository_that_cannot_be_worked_on_is_refused_with_the_facts() {
    let dir = tempfile::tempdir().unwrap();
    let make = |name: &str| {
        let path = dir.path().join(name);
        std::fs::create_dir(&path).unwrap();
        path
    };
    make("plain");
    git(&make("empty"), &["init", "-q"]);
    let nomain = make("nomain");
    git(&nomain, &["init", "-q", "-b", "trunk"]);
    git(&nomain, &["commit", "-q", "--allow-empty", "-m", "Begin"]);
    for (name, code, fact) in [
        ("missing", "repository_missing", "remote"),
        ("plain", "not_a_repository", "remote"),
        ("empty", "repository_empty", "remote"),
        ("nomain", "branch_missing", "branches"),
    ] {
        let (repo, json) = (dir.path().join(name), dir.path().join(format!("{name}.json")));
        let output = command(&["--repo", text(&repo), "--json", text(&json)]).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{name}: {}", shown(&output));
        let error = &report(&json)["error"];
        assert_eq!(error["code"], code, "{name}: {error}");
        assert!(error["facts"][fact].is_string(), "{name}: {error}");
    }
    let json = dir.path().join("trunk.json");
    let args = ["--repo", text(&nomain), "--branch", "trunk", "--tasks", "1", "--json", text(&json)];
    let output = command(&args).output().unwrap();
    assert!(output.status.success(), "{}", shown(&output));
}

#[test]
fn a_dirty_and_a_shallow_repository_can_be_worked_on() {
    let dir = tempfile::tempdir().unwrap();
    let bare = origin(dir.path());
    let seed = dir.path().join("seed");
    git(&seed, &["commit", "-q", "--allow-empty", "-m", "Go on"]);
    let url = format!("file://{}", seed.display());
    git(dir.path(), &["clone", "-q", "--depth", "1", &url, "shallow"]);
    std::fs::write(seed.join("README.md"), "changed\n").unwrap();
    for (repo, note) in [(bare, ""), (seed, "changed files"), (dir.path().join("shallow"), "shallow clone")] {
        let output = command(&["--repo", text(&repo), "--tasks", "4"]).output().unwrap();
        assert!(output.status.success(), "{}", shown(&output));
        assert!(String::from_utf8_lossy(&output.stderr).contains(note), "{}", shown(&output));
    }
}
