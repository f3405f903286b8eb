//! A damaged file is refused, or found out by whoever looks, or damaged where nothing is; it never lies unnoticed.
//!
//! Looking is: reading everything, `replay`, and SQLite's own integrity check. `GASTOWN_SEED=n` flips that one bit, of a
//! file whose times and ids are others each time; the one that failed is kept.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use gastown_core::{All, ErrorKind, EventsSince, Result, Town};
use gastown_preload::{Disk, Kind, Times};
use serde_json::{Value as Json, json};
use tokio::process::Command;

use crate::history::{Evidence, asked, draw, is_soak};

/// Everything of a town that a caller can read.
async fn contents(town: &Town) -> Result<Vec<Json>> {
    let operator = town.operator();
    let mut found = Vec::new();
    let mut cursor = Json::Null;
    loop {
        let page = operator.call("beads.list", json!({ "limit": 20, "cursor": cursor })).await?;
        for bead in page["beads"].as_array().unwrap() {
            let id = json!({ "id": bead["id"] });
            found.push(operator.call("beads.get", id.clone()).await?);
            found.push(operator.call("beads.edges", id).await?);
        }
        cursor = page["cursor"].clone();
        if cursor.is_null() {
            break;
        }
    }
    found.push(operator.call("beads.ready", json!({ "limit": 1_000 })).await?);
    let mut since = 0;
    loop {
        let page = operator.events().since(EventsSince { since, limit: Some(100) }).await?;
        let Some(last) = page.events.last() else { break };
        since = last.seq;
        found.extend(page.events.iter().map(|event| serde_json::to_value(event).unwrap()));
    }
    Ok(found)
}

/// What became of a damaged town.
#[derive(Debug, PartialEq)]
enum Outcome {
    /// It was not opened, or something in it could not be read.
    Refused(String),
    /// All could be read, and `replay` or the integrity check found it.
    Found,
    /// Nothing is wrong with what is there: these are the contents.
    Sound(Vec<Json>),
}

async fn look(folder: &Path) -> Outcome {
    let opened = Town::builder(folder).open().await;
    let town = match opened {
        Ok(town) => town,
        Err(error) => {
            assert!(error.fact("path").is_some(), "it does not say which file: {error:?}");
            return refused(&error);
        }
    };
    let contents = contents(&town).await;
    let replay = town.replay().await;
    town.close().await.unwrap();
    let contents = match (contents, replay) {
        (Err(error), _) | (_, Err(error)) => return refused(&error),
        (Ok(_), Ok(replay)) if !replay.differences.is_empty() => return Outcome::Found,
        (Ok(contents), Ok(_)) => contents,
    };
    let check = rusqlite::Connection::open(folder.join("town.db"))
        .and_then(|db| db.query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0)));
    if check.is_ok_and(|check| check == "ok") { Outcome::Sound(contents) } else { Outcome::Found }
}

fn refused(error: &gastown_core::Error) -> Outcome {
    let is_typed = matches!(
        error.kind(),
        ErrorKind::Corrupt
            | ErrorKind::Unsupported
            | ErrorKind::Forbidden
            | ErrorKind::Unavailable
            | ErrorKind::NotFound
    );
    assert!(is_typed, "damage is answered as if it were something else: {error:?}");
    Outcome::Refused(error.code().to_owned())
}

/// A town with all sorts of beads, closed, and what is in it.
async fn town(dir: &Path) -> (PathBuf, Vec<Json>) {
    let folder = dir.join("town");
    let mut child = Command::new(env!("CARGO_BIN_EXE_town-child"));
    child.arg("work").arg(&folder).args(["7", "3", "12"]).stdout(Stdio::null());
    assert!(child.status().await.unwrap().success());
    let town = Town::builder(&folder).open().await.unwrap();
    let found = contents(&town).await.unwrap();
    town.close().await.unwrap();
    assert!(found.len() > 40, "there is something to damage");
    (folder, found)
}

/// Puts these bytes where the town's files were.
fn place(folder: &Path, file: &[u8], log: Option<&[u8]>) {
    let _ = std::fs::remove_dir_all(folder);
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("town.db"), file).unwrap();
    if let Some(log) = log {
        std::fs::write(folder.join("town.db-wal"), log).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_is_found_or_harmless() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, before) = town(dir.path()).await;
    let whole = std::fs::read(folder.join("town.db")).unwrap();
    let mut outcomes = [0; 3];
    let seeds = asked("GASTOWN_SEED").map_or(1..=if is_soak() { 5_000 } else { 300 }, |seed| seed..=seed);
    for seed in seeds {
        let mut random = seed;
        let mut bytes = whole.clone();
        // One in four is in the header, of which every byte means something.
        let end = if seed % 4 == 0 { 100 } else { bytes.len() };
        let (at, bit) = (draw(&mut random, end), draw(&mut random, 8));
        bytes[at] ^= 1 << bit;
        place(&folder, &bytes, None);
        let _evidence = Evidence::of(format!("GASTOWN_SEED={seed}"), &folder);
        let outcome = look(&folder).await;
        outcomes[match &outcome {
            Outcome::Refused(_) => 0,
            Outcome::Found => 1,
            Outcome::Sound(_) => 2,
        }] += 1;
        if let Outcome::Sound(after) = outcome {
            assert_eq!(after, before, "GASTOWN_SEED={seed}: bit {bit} of byte {at} changes what is read, unnoticed");
        }
    }
    println!("{outcomes:?} flips were refused, found, harmless");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_file_is_refused_or_found() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, before) = town(dir.path()).await;
    let whole = std::fs::read(folder.join("town.db")).unwrap();
    let mut random = 3;
    let mut lengths = vec![1, 15, 16, 17, 99, 100, 101, 511, 512, 1_024, 4_095, 4_096, 4_097, 8_192, whole.len() - 1];
    lengths.extend((1..whole.len() / 4_096).step_by(if is_soak() { 1 } else { 7 }).map(|page| page * 4_096));
    lengths.extend((0..20).map(|_| 1 + draw(&mut random, whole.len() - 1)));
    for length in lengths {
        place(&folder, &whole[..length], None);
        let outcome = look(&folder).await;
        if let Outcome::Sound(after) = outcome {
            assert_eq!(after, before, "cut at {length} of {} bytes, and nobody noticed", whole.len());
            panic!("{length} of {} bytes are enough", whole.len());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_that_were_zeroed_or_swapped_are_found_or_harmless() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, before) = town(dir.path()).await;
    let whole = std::fs::read(folder.join("town.db")).unwrap();
    let pages = whole.len() / 4_096;
    let page = |n: usize| n * 4_096..(n + 1) * 4_096;
    let mut random = 9;
    for n in (0..pages).step_by(if is_soak() { 1 } else { 3 }) {
        let mut zeroed = whole.clone();
        zeroed[page(n)].fill(0);
        let other = draw(&mut random, pages);
        let mut swapped = whole.clone();
        swapped[page(n)].copy_from_slice(&whole[page(other)]);
        swapped[page(other)].copy_from_slice(&whole[page(n)]);
        for (what, bytes) in [("zeroed", zeroed), ("swapped", swapped)] {
            place(&folder, &bytes, None);
            if let Outcome::Sound(after) = look(&folder).await {
                assert_eq!(after, before, "page {n} was {what}, and nobody noticed");
            }
        }
    }
}

/// A town whose last commits are in its log alone.
async fn town_with_log(dir: &Path) -> (PathBuf, Vec<u8>, Vec<u8>) {
    let folder = dir.join("town");
    let mut child = Command::new(env!("CARGO_BIN_EXE_town-child"));
    child.arg("work").arg(&folder).args(["7", "4", "400"]).stdout(Stdio::null());
    child.envs(Disk::under(&folder).fault(Kind::Kill, Times::Once, 900).variables());
    assert!(!child.status().await.unwrap().success(), "it is killed");
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let (file, log) = (read("town.db"), read("town.db-wal"));
    assert!(log.len() > 100_000, "the log holds something: {}", log.len());
    (folder, file, log)
}

/// The journal in these contents.
fn journal(contents: &[Json]) -> Vec<&Json> {
    contents.iter().filter(|item| item["seq"].is_u64()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_log_gives_the_town_of_an_earlier_moment() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, file, log) = town_with_log(dir.path()).await;
    place(&folder, &file, Some(&log));
    let Outcome::Sound(whole) = look(&folder).await else { panic!("a kill damages nothing") };
    let whole = journal(&whole);
    let (mut random, mut shorter) = (11, 0);
    for n in 0..if is_soak() { 1_000 } else { 60 } {
        let mut bytes = log.clone();
        let at = draw(&mut random, bytes.len());
        match n % 3 {
            0 => bytes.truncate(at),
            1 => bytes[at..].fill(0),
            _ => bytes[at] ^= 1 << draw(&mut random, 8),
        }
        place(&folder, &file, Some(&bytes));
        match look(&folder).await {
            Outcome::Sound(after) => {
                let after = journal(&after);
                // Where not even the founding is left, the town is founded anew.
                let is_earlier = after.len() == 1 || after == whole[..after.len()];
                assert!(is_earlier, "byte {at}: it is a town that never was");
                shorter += usize::from(after.len() < whole.len());
            }
            Outcome::Refused(code) => assert_eq!(code, "store_corrupt", "byte {at}"),
            Outcome::Found => {}
        }
    }
    assert!(shorter > 20, "the damage was where it matters");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_log_gives_the_town_of_an_earlier_moment() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, file, log) = town_with_log(dir.path()).await;
    place(&folder, &file, Some(&log));
    let Outcome::Sound(whole) = look(&folder).await else { panic!("a kill damages nothing") };
    place(&folder, b"", Some(&log));
    assert_eq!(look(&folder).await, Outcome::Refused("store_corrupt".to_owned()), "a log without its file");
    assert_eq!(std::fs::read(folder.join("town.db-wal")).unwrap(), log, "the log is kept");
    place(&folder, &file, None);
    let Outcome::Sound(after) = look(&folder).await else { panic!("the file alone is whole") };
    let (whole, after) = (journal(&whole), journal(&after));
    assert!(after.len() < whole.len());
    // Where not even the founding is left, the town is founded anew.
    assert!(after.len() == 1 || after == whole[..after.len()], "it is a town that never was");
}

#[tokio::test]
async fn a_database_that_was_taken_away_is_not_made_anew_over_its_log() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, bytes, log) = town_with_log(dir.path()).await;
    place(&folder, &bytes, Some(&log));
    let file = folder.join("town.db");
    std::fs::remove_file(&file).unwrap();
    let error = Town::builder(&folder).open().await.unwrap_err();
    assert_eq!(error.code(), "store_corrupt", "{error}");
    assert!(error.to_string().contains("is gone and its log is not"), "{error}");
    // Put back, everything is there.
    std::fs::write(&file, &bytes).unwrap();
    let town = Town::builder(&folder).open().await.unwrap();
    assert_eq!(town.operator().upkeep().check(All {}).await.unwrap().findings, []);
    town.close().await.unwrap();
}
