//! The files beside the database on a disk that fails: archives, backups, exports, and what agents print.
//!
//! A child works on them; its nth input or output goes wrong. `make soak` takes every n, `make test` some.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use gastown_core::model::{BeadStatus, SessionId};
use gastown_core::runtime::{ContainerRuntime as _, ProcessOptions, ProcessRuntime, Supervisor};
use gastown_core::{All, ArchivedFilter, BeadFilter, NewBead, Town};
use gastown_preload::{Disk, Kind, Times};
use serde_json::Value as Json;
use tokio::process::Command;

use crate::history::{draw, is_soak};
use crate::support::HANG;

/// What goes wrong: everything that a disk does to those who write.
const KINDS: [Kind; 5] = [Kind::Io, Kind::Short, Kind::Split, Kind::Full, Kind::Sync];

/// What a child said, and whether the fault was met.
async fn child(args: &[&Path], disk: Disk, report: &Path) -> (Vec<Json>, bool) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_town-child"));
    command.args(args).envs(disk.report(report).variables());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let output = tokio::time::timeout(HANG, child.wait_with_output()).await.expect("the child hangs").unwrap();
    let met = std::fs::read_to_string(report).unwrap_or_default();
    assert!(output.status.success(), "{:?} {met} {}", output.status, String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    (said.lines().map(|line| serde_json::from_str(line).unwrap()).collect(), !met.is_empty())
}

/// Has every so manyth input or output of a kind go wrong, once and for ever; `one` says whether there was one.
async fn sweep(kind: Kind, stride: usize, mut one: impl AsyncFnMut(Times, u64) -> bool) {
    let stride = if is_soak() { 1 } else { stride };
    let mut random = kind as u64 + 7;
    for times in [Times::Once, Times::Always] {
        let (mut nth, mut runs) = (1, 0);
        while nth < 5_000 && one(times, nth).await {
            nth += 1 + draw(&mut random, 2 * stride - 1) as u64;
            runs += 1;
        }
        assert!(runs > 0, "{} {times:?}: nothing went wrong", kind.name());
    }
}

/// A town with beads that are over and one that is not; answers their ids.
async fn furnish(folder: &Path) -> BTreeSet<String> {
    let town = Town::builder(folder).open().await.unwrap();
    let beads = town.operator().beads();
    let mut ids = BTreeSet::new();
    for n in 0..6 {
        let new = NewBead { description: "about it ".repeat(2_000), ..NewBead::titled(format!("bead {n}")) };
        let id = beads.create(new).await.unwrap().id;
        if n > 0 {
            beads.close(&id).await.unwrap();
        }
        ids.insert(id.to_string());
    }
    town.close().await.unwrap();
    ids
}

/// The town is whole, and each bead is in it or in its archives, once.
async fn assert_whole(town: &Town, ids: &BTreeSet<String>, what: &str) {
    let statuses = vec![BeadStatus::Open, BeadStatus::Closed];
    let everything = BeadFilter { statuses, ..BeadFilter::default() };
    let here = town.operator().beads().list(everything).await.unwrap().beads;
    let here: Vec<String> = here.into_iter().map(|bead| bead.id.to_string()).collect();
    // One that was put away by an archiving that failed behind its file, and by the next, is in two files.
    let away = town.operator().upkeep().archived(ArchivedFilter::default()).await.unwrap().beads;
    let away: BTreeSet<String> = away.into_iter().map(|bead| bead.id.to_string()).collect();
    assert_eq!(here.len() + away.len(), ids.len(), "{what}");
    assert_eq!(here.into_iter().chain(away).collect::<BTreeSet<_>>(), *ids, "{what}");
    assert_eq!(town.operator().upkeep().check(All {}).await.unwrap().findings, [], "{what}");
    assert_eq!(town.replay().await.unwrap().differences, Vec::<String>::new(), "{what}");
}

async fn kept(kind: Kind, times: Times, nth: u64) -> bool {
    let dir = tempfile::tempdir().unwrap();
    let (place, beside) = (dir.path().join("disk/town"), dir.path().join("disk/beside"));
    std::fs::create_dir_all(&beside).unwrap();
    let ids = furnish(&place).await;
    let disk = Disk::under(dir.path().join("disk")).fault(kind, times, nth);
    let (said, met) = child(&[Path::new("keep"), &place, &beside], disk, &dir.path().join("report")).await;
    let what = format!("{} {times:?} {nth}: {said:?}", kind.name());

    for line in said.iter().filter(|line| line["failed"].is_string()) {
        let kind = line["kind"].as_str().unwrap();
        assert!(["unavailable", "exhausted"].contains(&kind), "{what}");
        assert!(line["round"] == 0 || times == Times::Once, "the disk is mended: {what}");
    }
    let town = Town::builder(&place).open().await.unwrap();
    assert_whole(&town, &ids, &what).await;
    town.close().await.unwrap();
    for (round, operation, name) in [
        (0, "upkeep.backup", "backup-0"),
        (0, "upkeep.export", "lines-0"),
        (1, "upkeep.backup", "backup-1"),
        (1, "upkeep.export", "lines-1"),
    ] {
        let path = beside.join(name);
        let is_done = said.iter().any(|line| line["done"] == operation && line["round"] == round);
        assert!(path.exists() || !is_done, "{name} is gone: {what}");
        // What has its name is whole, also where that was not told.
        if path.exists() {
            let again: PathBuf = dir.path().join(format!("again-{name}"));
            let town = Town::builder(&again).restore(&path).await.unwrap_or_else(|error| panic!("{error:?} {what}"));
            let open = BeadFilter { status: Some(BeadStatus::Open), ..BeadFilter::default() };
            assert_eq!(town.operator().beads().list(open).await.unwrap().beads.len(), 1, "{what}");
            if operation == "upkeep.backup" {
                assert_whole(&town, &ids, &what).await;
            }
            town.close().await.unwrap();
        }
    }
    met
}

macro_rules! files {
    ($($name:ident = $kind:ident, one in $stride:literal;)*) => {
        $(#[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            sweep(Kind::$kind, $stride, async |times, nth| kept(Kind::$kind, times, nth).await).await;
        })*

        #[test]
        fn every_kind_of_fault_of_writing_is_swept() {
            assert_eq!(KINDS, [$(Kind::$kind),*]);
        }
    };
}

files! {
    archives_and_copies_outlive_errors = Io, one in 60;
    archives_and_copies_outlive_short_writes = Short, one in 40;
    archives_and_copies_outlive_writes_in_two_parts = Split, one in 60;
    archives_and_copies_outlive_a_full_disk = Full, one in 45;
    archives_and_copies_outlive_failed_flushes = Sync, one in 12;
}

/// What the agent prints: so many numbered lines, more than is kept in one segment.
const LINES: usize = 2_000;

#[tokio::test(flavor = "multi_thread")]
async fn what_an_agent_prints_is_what_is_kept_on_any_disk_and_the_agent_never_waits_for_it() {
    let script = format!("i=0; while [ $i -lt {LINES} ]; do echo \"line $i\"; i=$((i+1)); done; touch done; exit 3");
    let whole: Vec<u8> = (0..LINES).flat_map(|n| format!("line {n}\n").into_bytes()).collect();
    for kind in KINDS {
        let (script, whole) = (&script, &whole);
        // It hardly ever flushes.
        let stride = if kind == Kind::Sync { 1 } else { 8 };
        sweep(kind, stride, async |times, nth| {
            let dir = tempfile::tempdir().unwrap();
            let (sessions, workspace) = (dir.path().join("sessions"), dir.path().join("workspace"));
            std::fs::create_dir(&workspace).unwrap();
            let disk = Disk::under(&sessions).fault(kind, times, nth);
            let args = [Path::new("print"), &sessions, &workspace, Path::new(script)];
            let (said, met) = child(&args, disk, &dir.path().join("report")).await;
            let what = format!("{} {times:?} {nth}: {said:?}", kind.name());
            let last = said.last().unwrap_or_else(|| panic!("{what}"));
            if last["failed"] == "start" {
                assert!(["unavailable", "exhausted"].contains(&last["kind"].as_str().unwrap()), "{what}");
                return met;
            }
            // A supervisor that cannot write its lease ends with its agent, and the session is lost.
            let is_lost = last["ended"] == "lost";
            assert!(is_lost || workspace.join("done").exists(), "the agent did not come to its end: {what}");
            let mut kept = 0;
            let runtime =
                ProcessRuntime::new(ProcessOptions::new(&sessions).supervisor(Supervisor::InProcess)).unwrap();
            let mut from = 0;
            loop {
                let chunk = runtime.output(&SessionId::new("s-1").unwrap(), from, 4_096).await.unwrap();
                if chunk.bytes.is_empty() {
                    break;
                }
                let at = usize::try_from(chunk.offset).unwrap();
                assert!(whole[at..].starts_with(&chunk.bytes), "what is kept at {at} is not what was printed: {what}");
                kept += chunk.bytes.len();
                from = chunk.next_offset();
            }
            if let (Some(bytes), Some(dropped)) = (last["bytes"].as_u64(), last["dropped"].as_u64()) {
                assert_eq!(usize::try_from(bytes - dropped).unwrap(), kept, "{what}");
                // Whose end nobody could write down is known by what is on the disk.
                if !is_lost {
                    assert_eq!(usize::try_from(bytes).unwrap(), whole.len(), "{what}");
                }
            }
            met
        })
        .await;
    }
}
