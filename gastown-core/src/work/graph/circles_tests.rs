//! Many edges that close circles, in one batch of new beads.

use super::fresh::{Fresh, Left, follow_knowing, settle};
use super::known::Known;
use super::link::{Idle, import_edge};
use super::tests::Bench;
use crate::model::{BeadId, BeadRow, DependencyKind, DependencyRow, Result, Timestamp};
use crate::store::conformance::sample::Draw;
use crate::work::txn::ScopedTxn;

use DependencyKind::{Blocks, ConditionalBlocks, ParentChild, WaitsFor};

const KINDS: [DependencyKind; 4] = [Blocks, ParentChild, WaitsFor, ConditionalBlocks];

/// So many new beads with edges to any of them, whose ranks are those of their numbers.
fn tangle(bench: &mut Bench, seed: u64, count: usize, edges: usize, kinds: &[DependencyKind]) -> Vec<Fresh> {
    let mut draw = Draw::new(seed);
    let sample = bench.titled("sample");
    let sample = bench.row(&sample);
    let id = |n: usize| BeadId::new(format!("gt-n{n}")).unwrap();
    let places: Vec<usize> = (0..count).map(|_| draw.below(count)).collect();
    (0..count)
        .map(|n| {
            let row = BeadRow { id: id(n), rank: 1_000 + i64::try_from(places[n]).unwrap(), ..sample.clone() };
            let edge = |on: usize, kind| DependencyRow {
                bead: id(n),
                on_bead: id(on),
                kind,
                counted: false,
                created_by: "elsewhere".to_owned(),
                created_at: Timestamp::from_micros(7),
                gate: None,
                extra: None,
            };
            let mut edges: Vec<DependencyRow> =
                (0..edges).map(|_| edge(draw.below(count), draw.of(kinds))).filter(|e| e.bead != e.on_bead).collect();
            edges.sort_by(|a, b| (&a.on_bead, a.kind).cmp(&(&b.on_bead, b.kind)));
            edges.dedup_by_key(|edge| (edge.on_bead.clone(), edge.kind));
            Fresh { row, edges }
        })
        .collect()
}

/// Takes a tangle in, the edges that are left by `follow`; answers the circles.
fn take(
    seed: u64,
    kinds: &[DependencyKind],
    follow: impl FnOnce(&mut ScopedTxn<'_>, Left) -> Result<Vec<Vec<BeadId>>>,
) -> Vec<Vec<BeadId>> {
    let mut bench = Bench::new();
    let mut fresh = tangle(&mut bench, seed, 120, 3, kinds);
    let circles = bench.run(|txn| {
        let left = settle(txn.view(), &mut fresh)?;
        for Fresh { row, edges } in fresh {
            txn.put(row)?;
            edges.into_iter().try_for_each(|edge| txn.put(edge))?;
        }
        follow(txn, left)
    });
    bench.check();
    circles.unwrap()
}

fn one_by_one(txn: &mut ScopedTxn<'_>, left: Left) -> Result<Vec<Vec<BeadId>>> {
    let (parts, others): (Vec<_>, Vec<_>) = left.later.into_iter().partition(|edge| edge.kind == ParentChild);
    let mut circles = Vec::new();
    for edge in parts.into_iter().chain(others) {
        if let Some(Idle::Circle { circle }) = import_edge(txn, edge)? {
            circles.push(circle);
        }
    }
    Ok(circles)
}

#[test]
fn many_edges_at_once_close_the_circles_that_they_close_one_by_one() {
    for (seed, kinds) in [(1, &[Blocks][..]), (2, &KINDS), (3, &KINDS), (4, &[ParentChild, WaitsFor])] {
        let at_once = take(seed, kinds, |txn, left| follow_knowing(txn, &mut Known::default(), left));
        assert_eq!(at_once, take(seed, kinds, one_by_one), "seed {seed}");
        assert!(at_once.len() > 5, "{} circles", at_once.len());
    }
}

#[test]
fn what_was_read_for_one_edge_is_not_read_again_for_the_next() {
    let mut known = Known::default();
    let circles = take(1, &KINDS, |txn, left| follow_knowing(txn, &mut known, left));
    // Each bead has five lists of edges, and an edge that is added has two of them read once more.
    assert!(known.pages_read < 120 * 5 + 360 * 2 * 2, "{} pages for {} circles", known.pages_read, circles.len());
}

#[test]
fn an_edge_whose_circle_would_be_looked_for_too_long_is_set_aside_and_the_others_come_in() {
    let whole = take(5, &[Blocks], |txn, left| follow_knowing(txn, &mut Known::default(), left));
    let hasty = take(5, &[Blocks], |txn, left| follow_knowing(txn, &mut Known::looking_at_most(40), left));
    let by_its_ends = |circles: &[Vec<BeadId>]| circles.iter().filter(|circle| circle.len() == 3).count();
    assert!(by_its_ends(&hasty) > by_its_ends(&whole) + 10, "{} and {}", by_its_ends(&hasty), by_its_ends(&whole));
}
