//! A disk that fails at any one input or output, once or from then on, costs nothing that was answered.
//!
//! A child works through a script; its nth input or output goes wrong, for n = 1, 2, … until the script ends without
//! meeting the fault. `make soak` takes every n, `make test` some. `GASTOWN_FAULT=kind:times:n` runs one.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use gastown_preload::{Disk, Kind, Times};
use std::os::unix::process::ExitStatusExt as _;
use tokio::process::Command;

use crate::history::{Evidence, History, draw, is_soak};
use crate::support::HANG;

/// Where one script runs.
struct Scene {
    dir: tempfile::TempDir,
    history: History,
}

impl Scene {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), history: History::default() }
    }

    fn town(&self) -> PathBuf {
        self.dir.path().join("town")
    }

    /// Runs the script to its end on this disk, and says whether the fault was met.
    async fn script(&mut self, disk: &Disk) -> (Output, Option<String>) {
        let report = self.dir.path().join("report");
        let mut command = Command::new(env!("CARGO_BIN_EXE_town-child"));
        command.arg("script").arg(self.town()).envs(disk.clone().report(&report).variables());
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let output = tokio::time::timeout(HANG, child.wait_with_output()).await.expect("the child hangs").unwrap();
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            self.history.hear(line);
        }
        let met = std::fs::read_to_string(&report).ok().filter(|met| !met.is_empty());
        (output, met)
    }
}

/// Whether the town refused it, and not the disk.
fn is_refusal((_, kind, _): &(String, String, String)) -> bool {
    matches!(kind.as_str(), "conflict" | "not_found" | "invalid")
}

/// What a caller may be told of such a fault.
fn is_told(kind: Kind, error: &(String, String, String)) -> bool {
    let (_, error_kind, why) = error;
    // Refused by the state of things, which a failed command before it may have brought about.
    if is_refusal(error) {
        return true;
    }
    match kind {
        Kind::Full => {
            (error_kind == "exhausted" && why.starts_with("\"disk_full\""))
                // A file that cannot be made: the system does not say why to SQLite.
                || (error_kind == "unavailable" && why.starts_with("\"store_unreachable\""))
        }
        // SQLite takes a write that stops short for a full disk.
        Kind::Short => error_kind == "unavailable" || error_kind == "exhausted",
        Kind::Split | Kind::Kill => false,
        // SQLite takes a read that the disk refuses for damage.
        Kind::Read if error_kind == "corrupt" => why.starts_with("\"store_corrupt\""),
        // It does not say why the index of the log cannot be made or grow, which is mostly a full disk.
        Kind::Io | Kind::Truncate if error_kind == "exhausted" => {
            why.contains("code 4618") || why.contains("code 4874")
        }
        Kind::Io | Kind::Sync | Kind::Truncate | Kind::Read => {
            let codes = ["\"store_io\"", "\"store_unreachable\""];
            error_kind == "unavailable" && codes.iter().any(|code| why.starts_with(code))
        }
    }
}

/// Whether the fault was met.
async fn one(kind: Kind, times: Times, nth: u64) -> bool {
    let mut scene = Scene::new();
    let name = format!("{}:{}:{nth}", kind.name(), if times == Times::Once { "once" } else { "always" });
    let _evidence = Evidence::of(format!("GASTOWN_FAULT={name}"), &scene.town());
    let (output, met) = scene.script(&Disk::under(scene.town()).fault(kind, times, nth)).await;
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {:?} {met:?} {stderr}", output.status);
    for error in &scene.history.failed {
        assert!(is_told(kind, error), "{name}: {error:?} {met:?}");
    }
    let failed = scene.history.failed.iter().filter(|error| !is_refusal(error)).count();
    if times == Times::Once {
        // The four that were given at once may be in one transaction.
        assert!(failed <= 4, "{name}: one fault fails {failed} commands");
    }
    scene.history.holds(&scene.town()).await;
    met.is_some()
}

#[allow(clippy::disallowed_methods, reason = "the caller of the tests asks for it by a variable")]
fn asked() -> Option<(Kind, Times, u64)> {
    let asked = std::env::var("GASTOWN_FAULT").ok()?;
    let mut parts = asked.split(':');
    let kind = parts.next().and_then(|name| Kind::SURVIVED.into_iter().find(|kind| kind.name() == name)).unwrap();
    let times = if parts.next() == Some("once") { Times::Once } else { Times::Always };
    Some((kind, times, parts.next().unwrap().parse().unwrap()))
}

/// Goes through the inputs and outputs of one kind, all of them or one in `stride`.
async fn sweep(kind: Kind, times: Times, stride: usize) {
    if let Some((asked, times, nth)) = asked() {
        if asked == kind {
            one(kind, times, nth).await;
        }
        return;
    }
    let stride = if is_soak() { 1 } else { stride };
    let mut random = kind as u64 + 1;
    let mut nth = 1;
    let mut runs = 0;
    while nth < 5_000 && one(kind, times, nth).await {
        nth += 1 + draw(&mut random, 2 * stride - 1) as u64;
        runs += 1;
    }
    println!("{} {times:?}: {runs} of about {nth} inputs and outputs went wrong", kind.name());
    assert!(runs > 1, "the script ends before {nth}");
}

macro_rules! sweeps {
    ($($once:ident, $always:ident = $kind:ident, one in $stride:literal;)*) => {
        $(#[tokio::test(flavor = "multi_thread")]
        async fn $once() {
            sweep(Kind::$kind, Times::Once, $stride).await;
        }

        #[tokio::test(flavor = "multi_thread")]
        async fn $always() {
            sweep(Kind::$kind, Times::Always, $stride).await;
        })*

        #[test]
        fn every_kind_of_fault_is_swept() {
            assert_eq!(Kind::SURVIVED, [$(Kind::$kind),*]);
        }
    };
}

sweeps! {
    an_error_is_answered_and_the_store_goes_on, errors_are_answered_until_the_disk_is_mended = Io, one in 50;
    a_short_write_is_answered_and_the_store_goes_on, short_writes_are_answered_until_the_disk_is_mended = Short, one in 45;
    a_write_in_two_parts_is_nothing, writes_in_two_parts_are_nothing = Split, one in 90;
    a_full_disk_is_answered_and_the_store_goes_on, a_disk_is_full_until_there_is_room = Full, one in 45;
    a_failed_flush_is_answered_and_the_store_goes_on, failed_flushes_are_answered_until_the_disk_is_mended = Sync, one in 7;
    a_file_that_is_not_cut_is_nothing_to_worry_about, files_that_are_not_cut_are_nothing_to_worry_about = Truncate, one in 1;
    a_failed_read_is_answered_and_the_store_goes_on, failed_reads_are_answered_until_the_disk_is_mended = Read, one in 20;
}

/// A kill, then a fault in what the next process does about it.
#[tokio::test(flavor = "multi_thread")]
async fn a_fault_while_a_kill_is_recovered_from_costs_nothing_either() {
    let runs = if is_soak() { 600 } else { 16 };
    let mut random = 5;
    for run in 0..runs {
        let mut scene = Scene::new();
        let town = scene.town();
        let (output, _) =
            scene.script(&Disk::under(&town).fault(Kind::Kill, Times::Once, 40 + draw(&mut random, 150) as u64)).await;
        assert!(output.status.signal() == Some(9) || output.status.success(), "run {run}: {:?}", output.status);
        let kind = Kind::SURVIVED[draw(&mut random, Kind::SURVIVED.len())];
        let times = if draw(&mut random, 2) == 0 { Times::Once } else { Times::Always };
        let disk = Disk::under(&town).fault(kind, times, 1 + draw(&mut random, 20) as u64);
        let _evidence = Evidence::of(format!("recovery-{run}"), &town);
        recovered(&mut scene, &disk, kind, &town).await;
    }
}

/// A child opens the town on this disk and works there; then everything is there.
async fn recovered(scene: &mut Scene, disk: &Disk, kind: Kind, town: &Path) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_town-child"));
    command.arg("work").arg(town).args(["1", "2", "4"]).envs(disk.variables());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let output = tokio::time::timeout(HANG, child.wait_with_output()).await.expect("the child hangs").unwrap();
    assert_eq!(output.status.signal(), None, "{}", String::from_utf8_lossy(&output.stderr));
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        scene.history.hear(line);
    }
    for error in &scene.history.failed {
        assert!(is_told(kind, error), "{kind:?} {error:?}");
    }
    scene.history.holds(town).await;
}
