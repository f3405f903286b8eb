//! Edges that are checked for circles, at size: drawn as the town's own are, and in orders that are hard.

use gastown_core::model::BeadId;
use gastown_core::{KeyedBead, KeyedLink, Link, NewBead, NewBeads};

use super::changes::Twin;
use super::{Place, seed};
use crate::measure::{Figures, Turn};
use crate::options::Options;
use crate::report::{Goal, Report, Wanted};

/// The length of each of two chains that are joined against their order.
const CHAIN: usize = 500;

/// Compares edges of the town's own distribution, and shows hard ones apart.
pub(super) fn compare(options: &Options, place: &Place<'_>, report: &mut Report) {
    let beads = place.town.operator().beads();
    let (turns, count) = (options.pick(5, 1), options.pick(200, 4));
    let mut pairs = Vec::new();
    // A small town has not room for as many edges more.
    for tried in 0..(turns * count * 16) as u64 {
        let bead = seed::draw("linked", tried) % place.size as u64;
        let on = seed::before(bead, &format!("edge {tried}"));
        let on = on.filter(|on| *on < place.size as u64 && !seed::has_parts(*on));
        let Some((bead, on_bead)) = on.map(|on| (seed::bead_id(bead), seed::bead_id(on))) else { continue };
        let is_new = place.run(beads.edges(bead.clone())).depends_on.iter().all(|edge| edge.on_bead != on_bead);
        if is_new && !pairs.contains(&(bead.clone(), on_bead.clone())) {
            pairs.push((bead, on_bead));
        }
        if pairs.len() == turns * count {
            break;
        }
    }
    let count = pairs.len() / turns;
    let mut twin = Twin::new(place);
    let link = |n: usize| {
        let (bead, on) = pairs[n].clone();
        assert!(place.run(beads.link(Link::blocks(bead, on))).changed);
    };
    let found = twin.case(options, place, report, "edge", (turns, count), &link);
    if let Some([own, _]) = found
        && place.size >= 1_000_000
    {
        let p99 = own.quantile(0.99).as_secs_f64() * 1e6;
        report.figure(place.case("edge, p99 in us"), p99, Wanted::AtMost(1_000.0));
    }
    drop(twin);
    against_creation(options, place, report);
    joined_chains(options, place, report);
    drawn_evenly(options, place, report);
}

fn alone(place: &Place<'_>, report: &mut Report, name: &str, turn: Turn) {
    report.case(&place.case(name), Goal::Time, &[Figures { name: "town", turns: vec![turn] }]);
}

/// Makes `count` beads that wait for nothing; or each for the one before.
fn make(place: &Place<'_>, count: usize, is_chain: bool) -> Vec<BeadId> {
    let beads: Vec<KeyedBead> =
        (0..count).map(|n| KeyedBead::new(n.to_string(), NewBead::titled(format!("Link {n}")))).collect();
    let links = if is_chain {
        (1..count).map(|n| KeyedLink::blocks(n.to_string(), (n - 1).to_string())).collect()
    } else {
        Vec::new()
    };
    let made = place.run(place.town.operator().beads().create_many(NewBeads { beads, links }));
    made.beads.into_iter().map(|made| made.id).collect()
}

/// A chain in which each bead waits for one that was made after it.
fn against_creation(options: &Options, place: &Place<'_>, report: &mut Report) {
    let name = "hard edges: a chain against the order of creation";
    if !options.wants(&place.case(name)) {
        return;
    }
    let made = make(place, options.pick(CHAIN, 8), false);
    let beads = place.town.operator().beads();
    let turn = Turn::of(made.len() - 1, |n| {
        place.run(beads.link(Link::blocks(made[n].clone(), made[n + 1].clone())));
    });
    alone(place, report, name, turn);
}

/// The oldest bead of one chain waits for the newest of a later one, so that one of the two has to move as a whole.
fn joined_chains(options: &Options, place: &Place<'_>, report: &mut Report) {
    let name = "hard edges: two chains of 500, joined against their order";
    if !options.wants(&place.case(name)) {
        return;
    }
    let chain = options.pick(CHAIN, 8);
    let pairs: Vec<_> = (0..options.pick(5, 1)).map(|_| (make(place, chain, true), make(place, chain, true))).collect();
    let beads = place.town.operator().beads();
    let turn = Turn::of(pairs.len(), |n| {
        let (older, newer) = &pairs[n];
        place.run(beads.link(Link::blocks(older[0].clone(), newer[chain - 1].clone())));
    });
    alone(place, report, name, turn);
}

/// Two beads drawn from the whole town: half of these edges go against the order, and most of those close a circle.
fn drawn_evenly(options: &Options, place: &Place<'_>, report: &mut Report) {
    let name = "hard edges: both ends drawn evenly, circles refused";
    if !options.wants(&place.case(name)) {
        return;
    }
    let beads = place.town.operator().beads();
    let mut refused = 0;
    let end = |what: &str, n: usize| seed::bead_id(seed::draw(what, n as u64) % place.size as u64);
    let turn = Turn::of(options.pick(40, 4), |n| {
        let (bead, on) = (end("one end", n), end("other end", n));
        match place.tokio.block_on(beads.link(Link::blocks(bead, on))) {
            Ok(_) => {}
            Err(error) if error.code() == "cycle" => refused += 1,
            Err(error) => panic!("{}", error.chain()),
        }
    });
    alone(place, report, name, turn);
    println!("    circles refused: {refused}");
}
