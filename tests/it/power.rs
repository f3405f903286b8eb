//! A machine that loses its power keeps everything that was answered in the mode `full`.
//!
//! A child's writes and flushes are recorded. At some moment of the record, what was flushed is there, and of what was
//! not each write is there, is not, or is there in part. The town that this gives must hold every answer from before.
//! `GASTOWN_SEED=n` makes that one image.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;

use gastown_core::Town;
use gastown_preload::{Disk, Step, Trace};
use tokio::process::Command;

use crate::history::{Evidence, History, asked, draw, is_soak};

/// The disk writes at least so much at once.
const SECTOR: usize = 512;

/// A file, and what was done to it since it was flushed.
#[derive(Clone, Default)]
struct File {
    flushed: Vec<u8>,
    since: Vec<Step>,
}

impl File {
    /// What is left of it after the power was lost.
    fn after(&self, random: &mut u64) -> Option<Vec<u8>> {
        let mut bytes = Some(self.flushed.clone());
        for step in &self.since {
            match draw(random, 3) {
                0 => {}
                1 => apply(&mut bytes, step, usize::MAX),
                _ => apply(&mut bytes, step, SECTOR * draw(random, 9)),
            }
        }
        bytes
    }
}

/// Does the step, of a write only so many bytes.
fn apply(bytes: &mut Option<Vec<u8>>, step: &Step, most: usize) {
    match step {
        Step::Write(_, at, data) => {
            let bytes = bytes.get_or_insert_default();
            let (at, len) = (usize::try_from(*at).unwrap(), data.len().min(most));
            bytes.resize(bytes.len().max(at + len), 0);
            bytes[at..at + len].copy_from_slice(&data[..len]);
        }
        Step::Truncate(_, len) => bytes.get_or_insert_default().resize(usize::try_from(*len).unwrap(), 0),
        Step::Remove(_) => *bytes = None,
        Step::Sync(_) | Step::Said(_) => {}
    }
}

/// The town's files when the power goes before this step, and what was said until then.
fn image(base: &BTreeMap<PathBuf, Vec<u8>>, steps: &[Step], random: &mut u64) -> (BTreeMap<PathBuf, Vec<u8>>, History) {
    let mut history = History::default();
    let mut files: BTreeMap<PathBuf, File> =
        base.iter().map(|(path, bytes)| (path.clone(), File { flushed: bytes.clone(), since: Vec::new() })).collect();
    for step in steps {
        match step {
            Step::Said(line) => history.hear(std::str::from_utf8(line).unwrap()),
            Step::Write(path, ..) | Step::Truncate(path, _) | Step::Remove(path) => {
                files.entry(path.clone()).or_default().since.push(step.clone());
            }
            Step::Sync(path) => {
                if let Some(file) = files.get_mut(path) {
                    let mut bytes = Some(std::mem::take(&mut file.flushed));
                    for step in file.since.drain(..) {
                        apply(&mut bytes, &step, usize::MAX);
                    }
                    file.flushed = bytes.unwrap_or_default();
                }
            }
        }
    }
    // The log's index does not outlive the machine.
    let kept = files.iter().filter(|(path, _)| !path.to_str().unwrap().ends_with("-shm"));
    (kept.filter_map(|(path, file)| Some((path.clone(), file.after(random)?))).collect(), history)
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_was_answered_before_the_power_went_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, trace) = (dir.path().join("town"), dir.path().join("trace"));
    Town::builder(&folder).open().await.unwrap().close().await.unwrap();
    let base = BTreeMap::from([(folder.join("town.db"), std::fs::read(folder.join("town.db")).unwrap())]);
    let mut child = Command::new(env!("CARGO_BIN_EXE_town-child"));
    child.arg("work").arg(&folder).args(["1", "4", "20"]).arg(folder.join("said.acks"));
    child.envs(Disk::under(&folder).trace(&trace).variables()).stdout(Stdio::null());
    assert!(child.status().await.unwrap().success());
    let steps = Trace::read(&std::fs::read(&trace).unwrap());
    let flushes = steps.iter().filter(|step| matches!(step, Step::Sync(_))).count();
    assert!(flushes > 20, "{flushes} flushes of {} steps", steps.len());

    let mut answered = 0;
    for seed in asked("GASTOWN_SEED").map_or(1..=if is_soak() { 2_000 } else { 40 }, |seed| seed..=seed) {
        let mut random = seed;
        // Some of the steps, up to all of them.
        let until = 1 + draw(&mut random, steps.len());
        let (files, mut history) = image(&base, &steps[..until], &mut random);
        std::fs::remove_dir_all(&folder).unwrap();
        std::fs::create_dir(&folder).unwrap();
        for (path, bytes) in &files {
            std::fs::write(path, bytes).unwrap();
        }
        let _evidence = Evidence::of(format!("GASTOWN_SEED={seed}"), &folder);
        answered += history.answered();
        history.holds(&folder).await;
    }
    assert!(answered > 0, "the power always went before the first answer");
}
