//! Import and export at size.

use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::Path;
use std::time::Instant;

use gastown_core::{ExportBeads, Town};
use rusqlite::types::Value;
use serde_json::Value as Json;

use super::raw::{self, Bulk, reading, rows};
use super::{Place, seed};
use crate::bare;
use crate::measure::{Contender, Figures, Turn, interleave};
use crate::options::Options;
use crate::report::{Goal, Report, Wanted};

/// Larger towns are not imported anew: so many beads are added to them.
const WHOLE_MAX: usize = 100_000;
/// How many beads are added, and how many lines `serde_json` writes.
const ADDED: usize = 20_000;
/// The beads of one transaction of the floor.
const BULK: usize = 10_000;

/// Compares an import and an export.
pub(super) fn compare(options: &Options, place: &Place<'_>, made: &Path, dir: &Path, report: &mut Report) {
    if options.wants(&place.case("import")) {
        if place.size > WHOLE_MAX {
            added(options, place, dir, report);
        } else {
            whole(options, place, made, dir, report);
        }
        if !options.quick {
            report.goal("bulk insert", Wanted::AtLeast(0.7));
        }
    }
    if options.wants(&place.case("export")) {
        export(options, place, dir, report);
    }
}

/// One operation that did `count` things.
fn at_once(count: usize, took: std::time::Duration) -> Turn {
    let each = took / u32::try_from(count).unwrap_or(u32::MAX);
    Turn { each: vec![each; count], all: took, writer: None }
}

fn bulk(town: &Path, after: i64, db: &rusqlite::Connection, count: usize) -> Turn {
    let (mut after, mut written, mut took) = (after, 0, std::time::Duration::ZERO);
    while written < count {
        let (bulk, last) = Bulk::read(town, after, BULK);
        assert!(!bulk.is_empty(), "the town has them all");
        let begun = Instant::now();
        bulk.write(db);
        took += begun.elapsed();
        written += bulk.len();
        after = last;
    }
    at_once(written, took)
}

/// The town's own file of lines into an empty town.
fn whole(options: &Options, place: &Place<'_>, made: &Path, dir: &Path, report: &mut Report) {
    let turns = options.pick(if place.size > 10_000 { 1 } else { 5 }, 1);
    let mut figures = [Figures { name: "town", turns: vec![] }, Figures { name: "bulk insert", turns: vec![] }];
    for turn in 0..turns {
        let open = |name: &str| {
            let folder = dir.join(format!("{name}-{turn}"));
            let town = place.run(Town::builder(&folder).open());
            (town, folder.join("town.db"))
        };
        let (town, file) = open("import");
        let begun = Instant::now();
        let report = place.run(town.operator().beads().import_from(&*made.join("beads.jsonl")));
        figures[0].turns.push(at_once(place.size, begun.elapsed()));
        assert_eq!(report.created, place.size as u64);
        place.run(town.close());
        let (empty, floor) = open("bulk");
        place.run(empty.close());
        let db = bare::connect(&floor, "FULL");
        db.execute_batch("DELETE FROM event").expect("it is the town's file");
        figures[1].turns.push(bulk(&file, 0, &db, place.size));
    }
    report.case(&place.case("import"), Goal::Rate, &figures);
}

/// Some more beads, each with edges to those that are there, into the town.
fn added(options: &Options, place: &Place<'_>, dir: &Path, report: &mut Report) {
    let (turns, count) = (options.pick(3, 1), options.pick(ADDED, 40));
    let db = bare::connect(&place.copy, "FULL");
    let last = || match rows(&reading(&place.file), "SELECT max(doc) FROM bead", &[]).pop().as_deref() {
        Some([Value::Integer(doc)]) => *doc,
        _ => panic!("there are beads"),
    };
    let mut figures = [Figures { name: "town", turns: vec![] }, Figures { name: "bulk insert", turns: vec![] }];
    for turn in 0..turns {
        let lines = dir.join(format!("added-{turn}.jsonl"));
        let first = (place.size + turn * count) as u64;
        seed::write(&lines, first..first + count as u64, first + count as u64);
        let before = last();
        let begun = Instant::now();
        let report = place.run(place.town.operator().beads().import_from(&*lines));
        figures[0].turns.push(at_once(count, begun.elapsed()));
        assert_eq!(report.created, count as u64);
        figures[1].turns.push(bulk(&place.file, before, &db, count));
    }
    report.case(&place.case("import"), Goal::Rate, &figures);
}

fn export(options: &Options, place: &Place<'_>, dir: &Path, report: &mut Report) {
    let beads = place.town.operator().beads();
    let lines = dir.join("exported.jsonl");
    let input = ExportBeads { replace: true, ..ExportBeads::from(&*lines) };
    let count = usize::try_from(place.run(beads.export_to(input.clone())).beads).expect("it is a count");
    let read = BufReader::new(File::open(&lines).expect("it was written")).lines().take(WHOLE_MAX);
    let records: Vec<Json> =
        read.map(|line| serde_json::from_str(&line.expect("it is text")).expect("it is JSON")).collect();
    let own = |_| {
        let begun = Instant::now();
        place.run(beads.export_to(input.clone()));
        at_once(count, begun.elapsed())
    };
    let memory = |_| {
        let begun = Instant::now();
        let mut out = BufWriter::new(File::create(dir.join("bare.jsonl")).expect("a file can be made"));
        for record in &records {
            serde_json::to_writer(&mut out, record).expect("it can be written");
            out.write_all(b"\n").expect("it can be written");
        }
        out.into_inner().expect("it can be written").sync_all().expect("it can be written");
        at_once(records.len(), begun.elapsed())
    };
    let db = raw::reading(&place.file);
    let queried = |_| {
        let begun = Instant::now();
        let mut out = BufWriter::new(File::create(dir.join("queried.jsonl")).expect("a file can be made"));
        let written = query(&db, &mut out, WHOLE_MAX);
        out.into_inner().expect("it can be written").sync_all().expect("it can be written");
        at_once(written, begun.elapsed())
    };
    let contenders = vec![
        Contender::new("town", own),
        Contender::new("serde_json from memory", memory),
        Contender::new("prepared SQL, then serde_json", queried),
    ];
    let turns = options.pick(if place.size > WHOLE_MAX { 1 } else { 5 }, 1);
    report.case(&place.case("export"), Goal::Rate, &interleave(turns, contenders));
    if !options.quick {
        report.goal("serde_json from memory", Wanted::AtLeast(0.5));
    }
}

/// Reads the columns that an export writes, and the edges, and encodes them.
fn query(db: &rusqlite::Connection, out: &mut impl std::io::Write, limit: usize) -> usize {
    let sql = "SELECT b.id, b.title, t.description, b.status, b.priority, b.issue_type, b.created_at, b.created_by, \
               b.updated_at, b.closed_at, b.close_reason, b.labels FROM bead b LEFT JOIN bead_text t \
               ON t.town_id = b.town_id AND t.id = b.id WHERE b.town_id = 'town' ORDER BY b.id";
    let edges =
        "SELECT bead, on_bead, kind, created_at, created_by FROM dependency WHERE town_id = 'town' AND bead = ?1";
    let mut statement = db.prepare_cached(sql).expect("the schema is the town's");
    let mut edges = db.prepare_cached(edges).expect("the schema is the town's");
    let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let edge_names: Vec<String> = edges.column_names().map(str::to_owned).collect();
    let record = |names: &[String], row: &rusqlite::Row<'_>| -> serde_json::Map<String, Json> {
        let cell = |n| match row.get::<_, Value>(n).expect("it can be read") {
            Value::Text(text) => Json::String(text),
            Value::Integer(number) => Json::from(number),
            _ => Json::Null,
        };
        names.iter().enumerate().map(|(n, name)| (name.clone(), cell(n))).collect()
    };
    let mut found = statement.query([]).expect("it can be read");
    let mut written = 0;
    while let Some(row) = found.next().expect("it can be read").filter(|_| written < limit) {
        let mut bead = record(&names, row);
        let id: String = row.get(0).expect("it can be read");
        let mut own = edges.query([id]).expect("it can be read");
        let mut list = Vec::new();
        while let Some(row) = own.next().expect("it can be read") {
            list.push(Json::Object(record(&edge_names, row)));
        }
        bead.insert("dependencies".to_owned(), Json::Array(list));
        serde_json::to_writer(&mut *out, &Json::Object(bead)).expect("it can be written");
        out.write_all(b"\n").expect("it can be written");
        written += 1;
    }
    written
}
