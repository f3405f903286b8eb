//! The fuzzers' functions on the stable compiler: their corpus, and seeded changes of it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gastown_core::fuzz::TARGETS;
use gastown_core::store::MemoryBackend;
use gastown_core::{BeadSearch, NewBead, SearchSort, Town};

use crate::history::{asked, draw, is_soak};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz")
}

/// The seeds of a target, by name.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let mut seeds: Vec<_> = fs::read_dir(folder().join("corpus").join(target))
        .unwrap_or_else(|error| panic!("{target} has a corpus: {error}"))
        .map(|entry| {
            let path = entry.unwrap().path();
            (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap())
        })
        .collect();
    seeds.sort();
    seeds
}

#[test]
fn every_target_has_a_corpus_and_a_program() {
    let manifest = fs::read_to_string(folder().join("Cargo.toml")).unwrap();
    for target in TARGETS {
        let name = target.name;
        assert!(!corpus(name).is_empty(), "{name} has seeds");
        let program = fs::read_to_string(folder().join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(program.contains(&format!("run(\"{name}\"")) && manifest.contains(&format!("name = \"{name}\"")));
    }
    assert_eq!(manifest.matches("[[bin]]").count(), TARGETS.len());
    assert_eq!(fs::read_dir(folder().join("corpus")).unwrap().count(), TARGETS.len(), "no corpus is left over");
}

/// Pieces that mean something to one reader or another.
const WORDS: [&str; 40] = [
    "\"",
    "\\",
    "\n",
    "\0",
    "{",
    "}",
    "[",
    "]",
    "(",
    ")",
    "*",
    "**",
    "?",
    "!",
    "-",
    "/",
    ":",
    ",",
    ".",
    "=",
    "!=",
    "<=",
    " and ",
    " or ",
    "not ",
    "none",
    "null",
    "true",
    "1e999",
    "-0",
    "9223372036854775808",
    "\u{e9}",
    "\u{10ffff}",
    "\u{2028}",
    "\"id\":\"gt-1\"",
    "\"type\":\"parent-child\"",
    "\"status\":\"closed\"",
    "\"updated_at\":\"2026-01-01T00:00:00Z\"",
    "gt-1",
    "2025-11-22",
];

/// One change: of a byte or some, out of another seed, or by a word.
fn change(bytes: &mut Vec<u8>, other: &[u8], seed: &mut u64) {
    let at = draw(seed, bytes.len() + 1);
    match draw(seed, 7) {
        0 if at < bytes.len() => bytes[at] = u8::try_from(draw(seed, 256)).unwrap(),
        1 if at < bytes.len() => bytes[at] ^= 1 << draw(seed, 8),
        2 => bytes.truncate(at),
        3 => {
            let end = (at + 1 + draw(seed, 16)).min(bytes.len());
            bytes.drain(at..end);
        }
        4 if !other.is_empty() => {
            let from = draw(seed, other.len());
            let piece = other[from..(from + 1 + draw(seed, 64)).min(other.len())].to_vec();
            drop(bytes.splice(at..at, piece));
        }
        5 => {
            // What is there once more, so that it nests or comes twice.
            let end = (at + 1 + draw(seed, 200)).min(bytes.len());
            let piece = bytes[at..end].repeat(1 + draw(seed, 3));
            drop(bytes.splice(at..at, piece));
        }
        _ => {
            let word = WORDS[draw(seed, WORDS.len())];
            drop(bytes.splice(at..at, word.bytes()));
        }
    }
}

/// Tells, where the test fails over it, which input it was.
struct Culprit<'a>(&'a str, &'a [u8]);

impl Drop for Culprit<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{} fails over \"{}\"", self.0, self.1.escape_ascii());
        }
    }
}

/// Calls with each seed of a target, and with so many changed ones.
fn each_input(name: &str, changes: u64, mut visit: impl FnMut(&[u8])) {
    let seeds = corpus(name);
    for (_, bytes) in &seeds {
        visit(bytes);
    }
    let changes = if is_soak() { changes * 100 } else { changes };
    for round in asked("GASTOWN_SEED").map_or(0..changes, |seed| seed..seed + 1) {
        let mut seed = round.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        draw(&mut seed, 2);
        let mut bytes = seeds[draw(&mut seed, seeds.len())].1.clone();
        for _ in 0..=draw(&mut seed, 6) {
            let other = &seeds[draw(&mut seed, seeds.len())].1;
            change(&mut bytes, other, &mut seed);
        }
        bytes.truncate(4_096);
        visit(&bytes);
    }
}

fn run(name: &str, changes: u64) {
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    each_input(name, changes, |bytes| {
        let _culprit = Culprit(name, bytes);
        (target.run)(bytes);
    });
}

#[test]
fn any_text_as_a_cursor_is_a_page_or_a_refusal() {
    run("cursors", 1_000);
}

#[test]
fn any_bytes_are_frames_however_they_are_cut_and_requests_or_refusals() {
    run("frames", 3_000);
}

#[test]
fn any_two_patterns_overlap_in_both_directions_or_in_none() {
    run("globs", 1_000);
}

#[test]
fn any_text_is_a_safe_id_or_a_refusal() {
    run("ids", 3_000);
}

#[test]
fn any_file_comes_in_once_and_goes_out_as_it_came() {
    run("import", 150);
}

#[test]
fn any_bytes_are_lines_that_are_given_back_or_flaws_with_a_place() {
    run("jsonl", 1_500);
}

#[test]
fn any_query_finds_what_a_plain_look_finds() {
    run("query", 2_000);
}

#[test]
fn any_search_finds_what_a_plain_look_finds() {
    run("search", 1_000);
}

/// The function above looks at every bead; here an index of words is asked.
#[test]
fn any_search_finds_the_same_by_the_index_on_disk_as_by_a_look_at_every_bead() {
    let dir = tempfile::tempdir().unwrap();
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let towns = tokio.block_on(async {
        let disk = Town::builder(dir.path().join("disk")).open().await.unwrap();
        let memory =
            Town::builder(dir.path().join("memory")).backend(Arc::new(MemoryBackend::new())).open().await.unwrap();
        for n in 0..200 {
            let words = [
                "keel",
                "the keel of it",
                "no Kéel here",
                "title:x",
                "mast*",
                "日本語 sail",
                "o'keel \"mast\" -sail",
                "\u{e000}keel",
            ];
            let (title, description) = (words[n % 8], words[n / 8 % 8].repeat(1 + n % 2));
            for town in [&disk, &memory] {
                let new = NewBead { description: description.clone(), ..NewBead::titled(format!("{title} {n}")) };
                town.operator().beads().create(new).await.unwrap();
            }
        }
        [disk, memory]
    });
    each_input("search", 300, |bytes| {
        let text = String::from_utf8_lossy(bytes.get(1..).unwrap_or_default()).into_owned();
        let found = towns.each_ref().map(|town| {
            let asked = BeadSearch { limit: Some(1_000), sort: Some(SearchSort::Newest), ..BeadSearch::from(&*text) };
            match tokio.block_on(town.operator().beads().search(asked)) {
                Ok(page) => Ok(page.beads.into_iter().map(|bead| bead.title).collect::<BTreeSet<_>>()),
                Err(error) => Err(error.code().to_owned()),
            }
        });
        let _culprit = Culprit("search", bytes);
        assert_eq!(found[0], found[1]);
    });
    for town in towns {
        tokio.block_on(town.close()).unwrap();
    }
}
