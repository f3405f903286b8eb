//! Reads at size, beside prepared SQL that reads the same rows from the same file.

use std::time::{Duration, Instant};

use gastown_core::model::BeadId;
use gastown_core::{BeadFilter, BeadSearch, CountBeads, CountedField, ListSort, ReadyFilter};
use rusqlite::Connection;
use rusqlite::types::Value;

use super::raw::{self, rows};
use super::{Place, seed};
use crate::measure::{Contender, Turn, interleave};
use crate::options::Options;
use crate::report::{Goal, Report, Wanted};

/// The name of the floor.
const SQL: &str = "prepared SQL";

const GET: &str = "SELECT * FROM bead WHERE town_id = 'town' AND id = ?1";
const TEXTS: &str = "SELECT * FROM bead_text WHERE town_id = 'town' AND id = ?1";
const READY: &str = "SELECT * FROM bead WHERE town_id = 'town' AND kind = 'issue' AND ephemeral = 0 AND status = 'open' \
     AND blockers = 0 AND pinned = 0 AND template = 0 ORDER BY priority, created_at, id LIMIT 51";
const OLDEST: &str = "SELECT * FROM bead WHERE town_id = 'town' AND kind = 'issue' ORDER BY created_at, id LIMIT 51";
const NEWEST: &str =
    "SELECT * FROM bead WHERE town_id = 'town' AND kind = 'issue' ORDER BY created_at DESC, id DESC LIMIT 51";
const OPEN: &str = "SELECT * FROM bead WHERE town_id = 'town' AND kind = 'issue' AND status = 'open' \
     ORDER BY created_at, id LIMIT 51";
const WORDS: &str = "SELECT * FROM bead WHERE doc IN (SELECT rowid FROM word WHERE word MATCH ?1) \
     ORDER BY created_at DESC, id DESC LIMIT 51";
const BY_STATUS: &str =
    "SELECT status, count(*) FROM bead WHERE town_id = 'town' AND kind = 'issue' GROUP BY status ORDER BY status";
const BY_PRIORITY: &str =
    "SELECT priority, count(*) FROM bead WHERE town_id = 'town' AND kind = 'issue' GROUP BY priority";
const WAITING: &str = "SELECT d.*, b.* FROM dependency d JOIN bead b ON b.town_id = d.town_id AND b.id = d.on_bead \
     WHERE d.town_id = 'town' AND d.bead = ?1";

/// Compares every read.
pub(super) fn compare(options: &Options, place: &Place<'_>, report: &mut Report) {
    let db = raw::reading(&place.file);
    let beads = place.town.operator().beads();
    let some = |what: &str, n: usize| seed::draw(what, n as u64) % place.size as u64;
    let ids = |what: &str| -> Vec<BeadId> { (0..512).map(|n| seed::bead_id(some(what, n))).collect() };
    let read = |sql: &str, values: &[Value]| -> usize { rows(&db, sql, values).len() };
    let many = options.pick(400, 4);
    let few = options.pick(if place.size > 10_000 { 2 } else { 20 }, 1);

    let got = ids("get");
    let own = |n: usize| drop(place.run(beads.get(got[n % got.len()].clone())));
    let sql = |n: usize| {
        let id = [Value::Text(got[n % got.len()].as_str().to_owned())];
        assert_eq!(read(GET, &id) + read(TEXTS, &id), 2);
    };
    case(options, place, report, "get", many, &own, &sql);

    let own = |_| drop(place.run(beads.ready(ReadyFilter::default())));
    if let Some(p99) = case(options, place, report, "ready(50)", many, &own, &|_| {
        read(READY, &[]);
    }) && place.size >= 1_000_000
    {
        report.figure(place.case("ready(50), p99 in us"), p99, Wanted::AtMost(200.0));
    }
    // What a reader has at hand is forgotten with each commit.
    let name = place.case("ready(50), after a commit");
    if options.wants(&name) {
        let commit = |n: usize| {
            let owner = gastown_core::Patch::Set(format!("tess-{n}"));
            let some = got[n % got.len()].clone();
            drop(place.run(beads.update(gastown_core::BeadPatch { owner, ..gastown_core::BeadPatch::of(some) })));
        };
        let own = |turn: usize| {
            let each: Vec<Duration> = (0..many / 4)
                .map(|n| {
                    commit(turn * many + n);
                    let begun = Instant::now();
                    drop(place.run(beads.ready(ReadyFilter::default())));
                    begun.elapsed()
                })
                .collect();
            Turn { all: each.iter().sum(), each, writer: None }
        };
        let sql = |_| {
            Turn::of(many, |_| {
                read(READY, &[]);
            })
        };
        let contenders = vec![Contender::new("town", own), Contender::new(SQL, sql)];
        report.case(&name, Goal::Time, &interleave(options.pick(5, 1), contenders));
    }
    for (name, filter, sql) in [
        ("list(50), oldest first", BeadFilter::default(), OLDEST),
        ("list(50), open ones", BeadFilter { status: Some("open".parse().expect("a status")), ..<_>::default() }, OPEN),
        ("list(50), newest first", BeadFilter { sort: Some(ListSort::Newest), ..<_>::default() }, NEWEST),
    ] {
        let own = |_| drop(place.run(beads.list(filter.clone())));
        case(options, place, report, name, many, &own, &|_| {
            read(sql, &[]);
        });
    }
    for (name, text, words) in [
        ("search, two words that many have", "caulk keel", "\"caulk\" AND \"keel\""),
        ("search, a word that one has", "17", "\"17\""),
    ] {
        let own = |_| drop(place.run(beads.search(BeadSearch::from(text))));
        case(options, place, report, name, few, &own, &|_| {
            read(WORDS, &[Value::Text(words.to_owned())]);
        });
    }
    for (name, by, sql) in [
        ("count by status", CountedField::Status, BY_STATUS),
        ("count by priority", CountedField::Priority, BY_PRIORITY),
    ] {
        let own = |_| drop(place.run(beads.count(CountBeads { by: vec![by], ..CountBeads::default() })));
        case(options, place, report, name, few, &own, &|_| {
            read(sql, &[]);
        });
    }
    let waiting = waiting(&db, options.pick(256, 4));
    let own = |n: usize| drop(place.run(beads.explain(waiting[n % waiting.len()].clone())));
    let sql = |n: usize| {
        let id = [Value::Text(waiting[n % waiting.len()].as_str().to_owned())];
        assert!(read(GET, &id) + read(WAITING, &id) >= 2);
    };
    case(options, place, report, "explain", many, &own, &sql);
}

/// Beads that wait.
fn waiting(db: &Connection, count: usize) -> Vec<BeadId> {
    let sql = "SELECT id FROM bead WHERE status = 'open' AND blockers > 0 ORDER BY created_at LIMIT ?1";
    let found = rows(db, sql, &[Value::Integer(i64::try_from(count).expect("it is small"))]);
    found
        .into_iter()
        .map(
            |row| {
                if let Value::Text(id) = &row[0] { BeadId::new(id.as_str()).expect("an id") } else { panic!("an id") }
            },
        )
        .collect()
}

/// Lets the town and the statement take turns; answers the 99th percentile in microseconds.
fn case(
    options: &Options,
    place: &Place<'_>,
    report: &mut Report,
    name: &str,
    count: usize,
    own: &dyn Fn(usize),
    sql: &dyn Fn(usize),
) -> Option<f64> {
    let name = place.case(name);
    if !options.wants(&name) {
        return None;
    }
    let contenders = vec![
        Contender::new("town", |turn| Turn::of(count, |n| own(turn * count + n))),
        Contender::new(SQL, |turn| Turn::of(count, |n| sql(turn * count + n))),
    ];
    // Those of which a turn has few look at the whole town.
    let figures = interleave(options.pick(if count < 10 { 2 } else { 5 }, 1), contenders);
    report.case(&name, Goal::Time, &figures);
    Some(figures[0].quantile(0.99).as_secs_f64() * 1e6)
}
