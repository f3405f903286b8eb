//! Changes at size, beside raw durable transactions that write the same rows into a copy of the file.

use gastown_core::model::BeadId;
use gastown_core::{BeadPatch, Claim, NewBead, Patch};
use rusqlite::types::Value;

use super::raw::{Raw, reading, rows};
use super::{Place, seed};
use crate::measure::{Figures, Turn};
use crate::options::Options;
use crate::report::{Goal, Report, Wanted};

/// The name of the floor.
pub(super) const RAW: &str = "raw durable transaction";

/// How many wait for one bead where many do.
const SUCCESSORS: usize = 100;

/// How many claims ran out where many did.
const RAN_OUT: usize = 500;
/// How long a claim holds.
const HOLD_MS: u64 = 24 * 3_600_000;

/// Ready beads that nobody waits for.
const FREE: &str = "SELECT id FROM bead b WHERE status = 'open' AND kind = 'issue' AND blockers = 0 AND assignee IS NULL \
     AND open_parts = 0 AND NOT EXISTS (SELECT 1 FROM dependency d INDEXED BY dependents \
     WHERE d.town_id = b.town_id AND d.on_bead = b.id) ORDER BY id LIMIT ?1";
/// Ready beads that alone hold up another one.
const HOLDING: &str = "SELECT id FROM bead b WHERE status = 'open' AND kind = 'issue' AND blockers = 0 \
     AND assignee IS NULL AND open_parts = 0 AND EXISTS (SELECT 1 FROM dependency d INDEXED BY dependents JOIN bead w \
     ON w.town_id = d.town_id AND w.id = d.bead WHERE d.town_id = b.town_id AND d.on_bead = b.id AND d.counted = 1 \
     AND d.kind = 'blocks' AND w.blockers = 1) ORDER BY id LIMIT ?1";

/// Compares every change.
pub(super) fn compare(options: &Options, place: &Place<'_>, report: &mut Report) {
    let beads = place.town.operator().beads();
    let mut twin = Twin::new(place);
    let (turns, count) = (options.pick(5, 1), options.pick(100, 4));
    let db = reading(&place.file);
    let find = |sql: &str, count: usize| -> Vec<BeadId> {
        rows(&db, sql, &[Value::Integer(i64::try_from(count).expect("it is small"))])
            .into_iter()
            .map(|row| if let Value::Text(id) = &row[0] { BeadId::new(id.as_str()).expect("an id") } else { panic!() })
            .collect()
    };
    let some = |what: &str, n: usize| seed::bead_id(seed::draw(what, n as u64) % place.size as u64);

    let create = |n: usize| {
        let new = NewBead {
            description: "The quay is full of nets and ropes. ".repeat(4),
            depends_on: vec![some("create", n * 2), some("create", n * 2 + 1)],
            ..NewBead::titled(format!("Tidy quay {n}"))
        };
        drop(place.run(beads.create(new)));
    };
    twin.case(options, place, report, "create, waiting for two", (turns, count), &create);

    let patch = |n: usize| {
        let (priority, owner) = (Patch::Set(u32::try_from(n % 5).expect("small")), Patch::Set(format!("tess-{n}")));
        drop(place.run(beads.update(BeadPatch { priority, owner, ..BeadPatch::of(some("patch", n)) })));
    };
    twin.case(options, place, report, "patch", (turns, count), &patch);

    let free = find(FREE, turns * count * 2);
    // For so long that none runs out before the end.
    let claim = |n: usize| drop(place.run(beads.claim(Claim::of(free[n].clone(), "tess").for_ms(HOLD_MS))));
    twin.case(options, place, report, "claim", (turns, count.min(free.len() / turns / 2)), &claim);
    let holding = find(HOLDING, turns * count);
    let close = |n: usize| assert!(!place.run(beads.close(&holding[n])).unblocked.is_empty());
    twin.case(options, place, report, "close, freeing others", (turns, count.min(holding.len() / turns)), &close);
    let next = |_| drop(place.run(beads.claim(Claim::next("nell").for_ms(HOLD_MS))));
    twin.case(options, place, report, "claim of the next", (turns, count.min(free.len() / turns / 2)), &next);
    let name = format!("claim of the next, {RAN_OUT} claims ran out");
    if options.wants(&place.case(&name)) {
        let left = ran_out(place, options.pick(RAN_OUT, 4));
        twin.catch_up(place);
        let next = |_| drop(place.run(beads.claim(Claim::next("nell").for_ms(HOLD_MS))));
        twin.case(options, place, report, &name, (turns, options.pick(20, 4)), &next);
        // What follows is not to meet them.
        for id in &left {
            place.run(beads.close(id));
        }
        twin.catch_up(place);
    }

    let name = format!("close, freeing {SUCCESSORS}");
    if options.wants(&place.case(&name)) {
        let hubs: Vec<BeadId> = (0..turns * options.pick(4, 1)).map(|n| hub(place, n)).collect();
        twin.catch_up(place);
        let close = |n: usize| assert_eq!(place.run(beads.close(&hubs[n])).unblocked.len(), SUCCESSORS);
        twin.case(options, place, report, &name, (turns, options.pick(4, 1)), &close);
    }
}

/// So many beads that somebody claimed for a moment, none of them urgent.
fn ran_out(place: &Place<'_>, count: usize) -> Vec<BeadId> {
    let beads = place.town.operator().beads();
    let left = |n: usize| {
        let new = NewBead { priority: 4, ..NewBead::titled(format!("Left {n}")) };
        let id = place.run(beads.create(new)).id;
        drop(place.run(beads.claim(Claim::of(id.clone(), "tess").for_ms(1))));
        id
    };
    (0..count).map(left).collect()
}

/// A bead that others wait for, and for nothing else.
fn hub(place: &Place<'_>, n: usize) -> BeadId {
    let beads = place.town.operator().beads();
    let hub = place.run(beads.create(NewBead::titled(format!("Hub {n}")))).id;
    let plan = gastown_core::NewBeads {
        beads: (0..SUCCESSORS)
            .map(|n| gastown_core::KeyedBead::new(n.to_string(), NewBead::titled(format!("Spoke {n}"))))
            .collect(),
        links: (0..SUCCESSORS).map(|n| gastown_core::KeyedLink::blocks(n.to_string(), hub.as_str())).collect(),
    };
    drop(place.run(beads.create_many(plan)));
    hub
}

/// The copy, which is kept in step with the town.
pub(super) struct Twin {
    raw: Raw,
    seq: i64,
}

impl Twin {
    /// The copy of a town to which nothing was done since it was copied.
    pub(super) fn new(place: &Place<'_>) -> Self {
        let mut twin = Self { raw: Raw::open(&place.copy), seq: 0 };
        twin.seq = head(&place.copy);
        twin.catch_up(place);
        twin
    }

    /// Writes what the town wrote meanwhile, unmeasured.
    pub(super) fn catch_up(&mut self, place: &Place<'_>) {
        let script = self.raw.script(&place.file, self.seq);
        self.raw.one_by_one(&script);
        self.seq = head(&place.file);
    }

    /// Lets the town do `count` of something in each turn, and the floor write the same.
    pub(super) fn case(
        &mut self,
        options: &Options,
        place: &Place<'_>,
        report: &mut Report,
        name: &str,
        (turns, count): (usize, usize),
        own: &dyn Fn(usize),
    ) -> Option<[Figures; 2]> {
        let name = place.case(name);
        if !options.wants(&name) || count == 0 {
            return None;
        }
        let mut figures = [Figures { name: "town", turns: vec![] }, Figures { name: RAW, turns: vec![] }];
        for turn in 0..turns {
            figures[0].turns.push(Turn::of(count, |n| own(turn * count + n)));
            let script = self.raw.script(&place.file, self.seq);
            assert_eq!(script.len(), count, "each has one entry in the journal");
            figures[1].turns.push(self.raw.one_by_one(&script));
            self.seq = head(&place.file);
        }
        report.case(&name, Goal::Time, &figures);
        if !options.quick {
            report.goal(RAW, Wanted::AtMost(1.5));
        }
        Some(figures)
    }
}

fn head(file: &std::path::Path) -> i64 {
    match rows(&reading(file), "SELECT coalesce(max(seq), 0) FROM event", &[]).pop().as_deref() {
        Some([Value::Integer(seq)]) => *seq,
        _ => panic!("a journal has an end"),
    }
}
