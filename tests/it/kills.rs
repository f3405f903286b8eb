//! A writing child that is killed at any moment has lost nothing that it answered and left nothing by half.
//!
//! A history is one town and one child after another: each is killed after some answer and a moment more, or by its
//! disk at some input or output (of an opening, a commit, a checkpoint or a close). `GASTOWN_SEED=n` runs the
//! history of that seed alone.

use std::path::Path;
use std::process::{ExitStatus, Stdio};

use gastown_preload::{Disk, Kind, Times};
use std::os::unix::process::ExitStatusExt as _;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use crate::history::{Evidence, History, asked, draw, is_soak};
use crate::support::HANG;

/// Children of one town.
const CYCLES: usize = 25;
const CALLERS: usize = 8;
/// Commands of each caller; none but the last child comes so far.
const COMMANDS: usize = 400;

/// How a child is made to end.
enum End {
    /// By a kill after so many answers and a moment more.
    Answers(usize, usize),
    /// By its disk at this input or output.
    Disk(usize),
}

fn end(random: &mut u64) -> End {
    match draw(random, 5) {
        // While it opens: the log of the last child is taken in.
        0 => End::Disk(1 + draw(random, 12)),
        1 => End::Disk(1 + draw(random, 600)),
        _ => End::Answers(1 + draw(random, 60), draw(random, 60_000)),
    }
}

async fn child(history: &mut History, folder: &Path, seed: u64, commands: usize, end: Option<&End>) -> ExitStatus {
    let mut command = Command::new(env!("CARGO_BIN_EXE_town-child"));
    command.arg("work").arg(folder).args([seed.to_string(), CALLERS.to_string(), commands.to_string()]);
    if let Some(End::Disk(nth)) = end {
        command.envs(Disk::under(folder).fault(Kind::Kill, Times::Once, *nth as u64).variables());
    }
    let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let reading = async {
        let mut answers = 0;
        while let Some(line) = lines.next_line().await.unwrap() {
            history.hear(&line);
            answers += usize::from(line.starts_with(r#"{"answer""#));
            if let Some(End::Answers(nth, moment)) = end
                && answers == *nth
            {
                for _ in 0..*moment {
                    std::hint::spin_loop();
                }
                child.start_kill().unwrap();
            }
        }
        child.wait().await.unwrap()
    };
    tokio::time::timeout(HANG, reading).await.expect("the child neither ended nor died")
}

/// One history, and how many of its children were killed.
async fn history(seed: u64) -> usize {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("town");
    let _evidence = Evidence::of(format!("GASTOWN_SEED={seed}"), &folder);
    let mut random = seed;
    let mut history = History::default();
    let mut killed = 0;
    for cycle in 0..CYCLES {
        let end = end(&mut random);
        // Some come to an end before they are killed, by the disk while they close.
        let commands = if draw(&mut random, 4) == 0 { 2 } else { COMMANDS };
        let number = seed * 1_000 + cycle as u64;
        let status = child(&mut history, &folder, number, commands, Some(&end)).await;
        assert!(status.signal() == Some(9) || status.success(), "cycle {cycle}: {status:?}");
        killed += usize::from(status.signal() == Some(9));
        // Otherwise the next child takes in what this one left, and may be killed over it.
        if draw(&mut random, 2) == 0 {
            history.holds(&folder).await;
        }
    }
    let status = child(&mut history, &folder, seed * 1_000 + 999, 5, None).await;
    assert!(status.success(), "an undisturbed child: {status:?}");
    history.holds(&folder).await;
    assert!(history.answered() > CYCLES, "hardly anything was done");
    killed
}

async fn histories(seeds: impl Iterator<Item = u64>) {
    if let Some(seed) = asked("GASTOWN_SEED") {
        history(seed).await;
        return;
    }
    let (mut killed, mut cycles) = (0, 0);
    for seed in seeds {
        killed += history(seed).await;
        cycles += CYCLES;
    }
    assert!(killed * 5 > cycles * 4, "of {cycles} children only {killed} were killed");
}

/// Histories of each of the two tests, which run beside each other.
fn count() -> usize {
    if is_soak() { 44 } else { 2 }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_killed_child_answered_is_there() {
    histories((1..).step_by(2).take(count())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_killed_child_answered_is_there_in_other_histories() {
    histories((2..).step_by(2).take(count())).await;
}
