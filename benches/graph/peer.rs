//! Beside `br` 0.7.6, which no stable compiler builds: what was recorded of it in process, with 10,000 beads.

use gastown_core::model::BeadId;
use gastown_core::{Claim, Link, NewBead, ReadyFilter};

use super::{Place, seed};
use crate::measure::Turn;
use crate::options::Options;
use crate::report::{Report, Wanted};

/// The town in which it was measured.
const SIZE: usize = 10_000;

/// An operation, what the peer took for it in microseconds, how many times faster it should be here, and how it is done.
type Compared<'a> = (&'static str, f64, Option<f64>, &'a dyn Fn(usize));

/// Sets our times beside the recorded ones.
///
/// `br` had SQLite's durability `normal`, and we have `full`.
pub(super) fn compare(options: &Options, place: &Place<'_>, report: &mut Report) {
    if place.size != SIZE && !options.quick {
        return;
    }
    if !options.wants(&place.case("br")) {
        return;
    }
    let beads = place.town.operator().beads();
    let count = options.pick(100, 4);
    let ready = ReadyFilter { limit: Some(10), ..ReadyFilter::default() };
    let fresh = |_| place.run(beads.create(NewBead::titled("Oil a winch"))).id;
    let (made, waiters): (Vec<BeadId>, Vec<BeadId>) =
        ((0..count).map(fresh).collect(), (0..count).map(fresh).collect());
    let older = |n: usize| seed::bead_id(seed::draw("br", n as u64) % place.size as u64);
    let ours: [Compared<'_>; 5] = [
        ("ready(10)", 208e3, Some(1_000.0), &|_| drop(place.run(beads.ready(ready.clone())))),
        ("create", 5.8e3, None, &|n| drop(place.run(beads.create(NewBead::titled(format!("Tar hull {n}")))))),
        ("claim", 663e3, Some(1_000.0), &|n| drop(place.run(beads.claim(Claim::of(made[n].clone(), "tess"))))),
        ("close", 697e3, Some(1_000.0), &|n| drop(place.run(beads.close(&made[n])))),
        ("dependency with its check", 28e3, Some(100.0), &|n| {
            place.run(beads.link(Link::blocks(waiters[n].clone(), older(n))));
        }),
    ];
    for (name, theirs_us, wanted, operation) in ours {
        let own = Turn::of(count, operation).quantile(0.5).as_secs_f64() * 1e6;
        println!("  {name:<30} ours {own:>8.1} us, br {theirs_us:>9.1} us: {:>8.0} times", theirs_us / own);
        if let Some(wanted) = wanted.filter(|_| !options.quick) {
            report.figure(format!("{name}: br's recorded time / ours"), theirs_us / own, Wanted::AtLeast(wanted));
        }
    }
}
