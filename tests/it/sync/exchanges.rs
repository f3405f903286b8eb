//! Towns that make, change, rename and delete beads of the same few ids, and exchange them in any order.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use gastown_core::interchange::Dialect;
use gastown_core::model::Timestamp;
use gastown_core::{
    AddComment, BeadPatch, Claim, CloseBead, ErrorKind, ExportBeads, ImportReport, Link, NewBead, Patch, ReleaseBead,
    RenameBead,
};
use serde_json::Value as Json;

use super::{START, Side, id, is_idle};
use crate::history::{draw, is_soak};

/// How the towns of a play exchange their beads.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is one thing that towns do or do not")]
struct Manner {
    syncs: bool,
    imports: bool,
    renames: bool,
    deletes: bool,
    claims: bool,
}

/// What was done to beads, by their titles.
#[derive(Default)]
struct Done {
    made: BTreeSet<String>,
    deleted: BTreeSet<String>,
    closed: BTreeSet<String>,
    said: BTreeSet<(String, String)>,
    linked: BTreeSet<(String, String)>,
    log: Vec<String>,
}

/// One thing of what was done.
enum Noted {
    Nothing,
    Made(String),
    Deleted(String),
    Closed(String),
    Said(String, String),
    Linked(String, String),
}

impl Done {
    fn note(&mut self, noted: Noted) {
        match noted {
            Noted::Nothing => false,
            Noted::Made(title) => self.made.insert(title),
            Noted::Deleted(title) => self.deleted.insert(title),
            Noted::Closed(title) => self.closed.insert(title),
            Noted::Said(title, words) => self.said.insert((title, words)),
            Noted::Linked(title, on) => self.linked.insert((title, on)),
        };
    }
}

/// Tells the whole play where it does not end well.
struct Told<'a>(&'a mut Play, u64);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {}, {:?}:\n{}", self.1, self.0.manner, self.0.done.log.join("\n"));
        }
    }
}

struct Play {
    sides: Vec<Side>,
    seed: u64,
    now: i64,
    manner: Manner,
    done: Done,
    path: std::path::PathBuf,
}

/// The beads of a town as it exports them.
async fn lines(side: &Side, path: &Path) -> Vec<Json> {
    export(side, path, Dialect::Native, false).await
}

async fn export(side: &Side, path: &Path, dialect: Dialect, tombstones: bool) -> Vec<Json> {
    let export = ExportBeads { replace: true, dialect, tombstones, ..ExportBeads::from(path) };
    side.town.operator().beads().export_to(export).await.unwrap();
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn text(line: &Json, key: &str) -> String {
    line[key].as_str().unwrap_or_default().to_owned()
}

impl Play {
    async fn new(dir: &Path, seed: u64, manner: Manner) -> Self {
        let mut sides = Vec::new();
        for town in 0..2 + seed % 2 {
            sides.push(Side::new(dir, &town.to_string()).await);
        }
        Self { sides, seed, now: START, manner, done: Done::default(), path: dir.join("exchanged.jsonl") }
    }

    fn draw(&mut self, bound: usize) -> usize {
        draw(&mut self.seed, bound)
    }

    async fn import(&self, from: usize, to: usize, dialect: Dialect) -> ImportReport {
        export(&self.sides[from], &self.path, dialect, true).await;
        self.sides[to].town.operator().beads().import_from(self.path.as_path()).await.unwrap()
    }

    /// Has one town do something.
    async fn step(&mut self) {
        let (act, is_at_once) = (self.draw(100), self.draw(3) == 0);
        // Two of one id that were made at one time are one.
        if act < 25 || !is_at_once {
            self.now += 1_000 + i64::try_from(self.draw(5_000_000)).unwrap();
        }
        self.sides.iter().for_each(|side| side.clock.set(Timestamp::from_micros(self.now)));
        let town = self.draw(self.sides.len());
        let all = lines(&self.sides[town], &self.path).await;
        let other = self.draw(self.sides.len());
        let picked: Vec<(String, String)> = if all.is_empty() {
            Vec::new()
        } else {
            let two = [self.draw(all.len()), self.draw(all.len())];
            two.map(|at| (text(&all[at], "id"), text(&all[at], "title"))).into()
        };
        let (new_id, nth) = (format!("hq-{}", 1 + self.draw(4)), self.done.log.len());
        let beads = self.sides[town].town.operator().beads();
        let (words, result, noted) = match (act, &picked[..]) {
            (0..25, _) => {
                let title = format!("U{nth}");
                let new = NewBead { id: Some(id(&new_id)), ..NewBead::titled(&title) };
                (format!("make {new_id} {title}"), beads.create(new).await.map(drop), Noted::Made(title))
            }
            (25..33, [(of, title), _]) => {
                let priority = Patch::Set(u32::try_from(nth % 5).unwrap());
                let patch = BeadPatch { priority, ..BeadPatch::of(id(of)) };
                (format!("change {of} {title}"), beads.update(patch).await.map(drop), Noted::Nothing)
            }
            (33..43, [(of, title), _]) => {
                let words = format!("c{nth} of {title}");
                let result = beads.comment(AddComment::new(id(of), &words)).await.map(drop);
                (format!("say of {of} {title}"), result, Noted::Said(title.clone(), words))
            }
            (43..48, [(of, title), _]) => {
                let close = CloseBead { force: true, ..CloseBead::from(&id(of)) };
                (format!("close {of} {title}"), beads.close(close).await.map(drop), Noted::Closed(title.clone()))
            }
            (48..54, [(of, title), (on, other)]) => {
                let result = beads.link(Link::blocks(id(of), id(on))).await.map(|_| ());
                (format!("link {of} {title} to {on} {other}"), result, Noted::Linked(title.clone(), other.clone()))
            }
            (70..73, [(of, title), (on, other)]) => {
                let result = beads.unlink(Link::blocks(id(of), id(on))).await.map(|_| ());
                (format!("unlink {of} {title} from {on} {other}"), result, Noted::Nothing)
            }
            (54..59, [(of, title), _]) if self.manner.deletes => {
                let result = beads.delete(&id(of)).await.map(drop);
                (format!("delete {of} {title}"), result, Noted::Deleted(title.clone()))
            }
            (59..65, [(of, title), _]) if self.manner.renames => {
                let result = beads.rename(RenameBead::new(id(of), id(&new_id))).await.map(drop);
                (format!("rename {of} {title} to {new_id}"), result, Noted::Nothing)
            }
            (65..70, [(of, title), _]) if self.manner.claims => {
                let result = beads.claim(Claim::of(id(of), "me")).await.map(drop);
                (format!("claim {of} {title}"), result, Noted::Nothing)
            }
            _ if self.manner.imports && (!self.manner.syncs || act % 3 == 0) && other != town => {
                let dialect = [Dialect::Native, Dialect::Bd, Dialect::Br][nth % 3];
                let report = self.import(other, town, dialect).await;
                (format!("import of {other}: {report:?}"), Ok(()), Noted::Nothing)
            }
            _ if self.manner.syncs => {
                (format!("sync: {:?}", self.sides[town].sync_as_meant().await), Ok(()), Noted::Nothing)
            }
            _ => return,
        };
        let refused = result.err().map(|error| {
            // What is not as it should be is never said to be broken.
            assert!(!matches!(error.kind(), ErrorKind::Internal | ErrorKind::Corrupt), "{words}: {error}");
            format!(" refused: {error}")
        });
        if refused.is_none() {
            self.done.note(noted);
        }
        self.done.log.push(format!("{town}: {words}{}", refused.unwrap_or_default()));
    }

    /// Exchanges until nothing changes any more.
    async fn comes_to_rest(&mut self) {
        for side in &self.sides {
            for line in lines(side, &self.path).await {
                let of = ReleaseBead::from(&id(&text(&line, "id")));
                // Only those that are held can be let go.
                if text(&line, "status") == "in_progress" {
                    side.town.operator().beads().release(of).await.unwrap();
                }
            }
        }
        let mut is_quiet = false;
        for round in 0..6 {
            is_quiet = true;
            for to in 0..self.sides.len() {
                if self.manner.syncs {
                    let report = self.sides[to].sync_as_meant().await;
                    is_quiet &= is_idle(&report);
                    self.done.log.push(format!("rest {round}, {to}: {report:?}"));
                    continue;
                }
                for from in (0..self.sides.len()).filter(|from| *from != to) {
                    let report = self.import(from, to, Dialect::Native).await;
                    is_quiet &= report.created + report.updated + report.tombstones == 0;
                    self.done.log.push(format!("rest {round}, {from} to {to}: {report:?}"));
                }
            }
        }
        assert!(is_quiet, "it comes to no rest");
    }

    /// What all towns say of their beads, which they may know by other ids, is the same.
    async fn agree(&mut self) {
        let mut first = None;
        for (town, side) in self.sides.iter().enumerate() {
            let all = lines(side, &self.path).await;
            let titles: BTreeMap<String, String> =
                all.iter().map(|line| (text(line, "id"), text(line, "title"))).collect();
            let said = |line: &Json| {
                let edges = line["dependencies"].as_array().into_iter().flatten();
                let edges: BTreeSet<String> = edges.map(|edge| titles[&text(edge, "depends_on_id")].clone()).collect();
                let of = ["status", "priority", "updated_at", "closed_at", "close_reason"].map(|key| line[key].clone());
                (text(line, "title"), (of, edges))
            };
            let said: BTreeMap<String, _> = all.iter().map(said).collect();
            let first = first.get_or_insert_with(|| said.clone());
            assert_eq!(*first, said, "towns 0 and {town}");
        }
    }

    /// Nothing is lost, doubled or done to another.
    async fn is_well(&mut self) {
        for side in 0..self.sides.len() {
            let all = lines(&self.sides[side], &self.path).await;
            let done = &self.done;
            let mut ids: BTreeMap<String, Vec<String>> = BTreeMap::new();
            for line in &all {
                ids.entry(text(line, "title")).or_default().push(text(line, "id"));
            }
            for title in &done.made {
                let there = ids.get(title).map_or(0, Vec::len);
                assert!(there < 2, "{side} has {title} as {:?}", ids[title]);
                assert!(there == 1 || done.deleted.contains(title), "{side} lost {title}");
            }
            let titles: BTreeMap<String, String> =
                ids.iter().flat_map(|(title, ids)| ids.iter().map(|id| (id.clone(), title.clone()))).collect();
            let mut said = BTreeSet::new();
            for line in &all {
                let title = text(line, "title");
                for comment in line["comments"].as_array().into_iter().flatten() {
                    said.insert((title.clone(), text(comment, "text")));
                }
                for edge in line["dependencies"].as_array().into_iter().flatten() {
                    if let Some(on) = titles.get(&text(edge, "depends_on_id")) {
                        let edge = (title.clone(), on.clone());
                        assert!(done.linked.contains(&edge), "{side}: nobody linked {edge:?}");
                    }
                }
                let is_closed = text(line, "status") == "closed";
                assert!(!is_closed || done.closed.contains(&title), "{side}: nobody closed {title}");
                // An import takes the newer of two records as a whole, and what was deleted comes back as it was changed elsewhere.
                if !self.manner.imports && done.closed.contains(&title) && !done.deleted.contains(&title) {
                    assert!(is_closed, "{side}: {title} was closed");
                }
            }
            let is_kept = |(title, _): &&(String, String)| !done.deleted.contains(title);
            let wanted: BTreeSet<_> = done.said.iter().filter(is_kept).collect();
            let found: BTreeSet<_> = said.iter().filter(is_kept).collect();
            assert_eq!(found, wanted, "{side}");
        }
    }
}

async fn play(seed: u64, manner: Manner) {
    let dir = tempfile::tempdir().unwrap();
    let mut play = Play::new(dir.path(), seed, manner).await;
    let told = Told(&mut play, seed);
    for _ in 0..40 {
        told.0.step().await;
    }
    told.0.comes_to_rest().await;
    if !manner.deletes && !manner.claims {
        told.0.agree().await;
    }
    told.0.is_well().await;
    drop(told);
    for side in play.sides {
        side.ends().await;
    }
}

async fn plays(manner: Manner) {
    for seed in crate::history::asked("GASTOWN_SEED").map_or(0..if is_soak() { 2_000 } else { 6 }, |one| one..one + 1) {
        play(seed, manner).await;
    }
}

const PLAIN: Manner = Manner { syncs: false, imports: false, renames: false, deletes: false, claims: false };

#[tokio::test]
async fn towns_that_sync_one_folder_lose_double_and_confuse_nothing() {
    plays(Manner { syncs: true, deletes: true, ..PLAIN }).await;
    plays(Manner { syncs: true, claims: true, ..PLAIN }).await;
}

#[tokio::test]
async fn towns_that_sync_one_folder_know_what_was_renamed() {
    plays(Manner { syncs: true, renames: true, ..PLAIN }).await;
    plays(Manner { syncs: true, renames: true, deletes: true, claims: true, ..PLAIN }).await;
}

#[tokio::test]
async fn towns_that_import_each_other_lose_double_and_confuse_nothing() {
    plays(Manner { imports: true, ..PLAIN }).await;
    plays(Manner { imports: true, deletes: true, ..PLAIN }).await;
}

#[tokio::test]
async fn towns_that_import_each_other_know_what_was_renamed() {
    plays(Manner { imports: true, renames: true, ..PLAIN }).await;
    plays(Manner { imports: true, renames: true, deletes: true, claims: true, ..PLAIN }).await;
}

#[tokio::test]
async fn towns_that_both_sync_and_import_lose_double_and_confuse_nothing() {
    plays(Manner { syncs: true, imports: true, ..PLAIN }).await;
    plays(Manner { syncs: true, imports: true, renames: true, deletes: true, ..PLAIN }).await;
}
