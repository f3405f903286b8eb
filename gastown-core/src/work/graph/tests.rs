//! Random histories, held after each step against counts that are made from scratch.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::json;

use super::count::is_resolved;
use super::link::{Idle, import_edge, is_idle};
use super::{Link, added, explain, link, remove_bead, reparent, unlink};
use crate::model::{
    BeadId, BeadKind, BeadRow, BeadStatus, ConvoyMode, ConvoyRow, ConvoyState, DependencyKind, DependencyRow, Error,
    FailurePolicy, Key, Oid, Resolution, Result, Row, Scope, Stored, Timestamp, TownId, WaitGate,
};
use crate::store::{Access, Backend, Connection, MemoryBackend, Reader, Scan, index};
use crate::work::beads::{self, CloseBead, NewBead};
use crate::work::txn::{Ctx, ScopedTxn};
use crate::work::view::View;
use crate::work::{Claim, ReadyFilter, command, convoys, ready};

use DependencyKind::{Blocks, ConditionalBlocks, ParentChild, Related, WaitsFor};

/// A town's rows in memory.
pub(super) struct Bench {
    connection: Box<dyn Connection>,
    pub(super) now: i64,
    seed: u64,
}

impl Bench {
    pub(super) fn new() -> Self {
        Self { connection: MemoryBackend::new().connect(Access::Write).unwrap(), now: 1_000_000, seed: 0 }
    }

    pub(super) fn run<O>(&mut self, work: impl FnOnce(&mut ScopedTxn<'_>) -> Result<O>) -> Result<O> {
        self.seed += 1;
        let ctx = Ctx::at(Timestamp::from_micros(self.now), self.seed);
        let mut raw = self.connection.write(&TownId::new("town").unwrap()).unwrap();
        let answer = command::step(&mut *raw, &ctx, "test", work)?;
        raw.commit().unwrap();
        Ok(answer)
    }

    pub(super) fn read<O>(&mut self, question: impl FnOnce(&dyn Reader) -> O) -> O {
        question(&*self.connection.read(&TownId::new("town").unwrap()).unwrap())
    }

    pub(super) fn ask<O>(&mut self, question: impl FnOnce(View<'_>) -> Result<O>) -> Result<O> {
        let now = Timestamp::from_micros(self.now);
        self.read(|reader| question(View::new(reader, &Scope::Town, now)))
    }

    pub(super) fn create(&mut self, new: &NewBead) -> BeadId {
        self.now += 1;
        self.run(|txn| beads::create(txn, new)).unwrap().id
    }

    pub(super) fn titled(&mut self, title: &str) -> BeadId {
        self.create(&NewBead::titled(title))
    }

    pub(super) fn part(&mut self, of: &BeadId) -> BeadId {
        self.create(&NewBead { parent: Some(of.clone()), ..NewBead::titled("part") })
    }

    pub(super) fn link(&mut self, bead: &BeadId, on: &BeadId, kind: DependencyKind) -> Result<bool> {
        self.gated(bead, on, kind, None)
    }

    pub(super) fn gated(
        &mut self,
        bead: &BeadId,
        on: &BeadId,
        kind: DependencyKind,
        gate: Option<WaitGate>,
    ) -> Result<bool> {
        let input = Link { bead: bead.clone(), on_bead: on.clone(), kind, gate };
        self.run(|txn| link(txn, &input)).map(|answer| answer.changed)
    }

    pub(super) fn row(&mut self, id: &BeadId) -> BeadRow {
        self.ask(|view| view.bead(id)).unwrap()
    }

    pub(super) fn close(&mut self, id: &BeadId, resolution: Resolution) {
        let input = CloseBead { resolution: Some(resolution), force: true, ..id.into() };
        self.run(|txn| beads::close(txn, &input)).unwrap();
    }

    pub(super) fn fail(&mut self, id: &BeadId) -> Result<()> {
        self.run(|txn| {
            let row = txn.bead(id)?;
            beads::settle(txn, row, BeadStatus::Failed, Resolution::AttemptsExhausted, json!({}))
        })
    }

    pub(super) fn reopen(&mut self, id: &BeadId) {
        self.run(|txn| beads::reopen(txn, &id.into())).unwrap();
    }

    fn reparent(&mut self, id: &BeadId, parent: Option<&BeadId>) -> Result<()> {
        self.run(|txn| {
            let mut row = txn.bead(id)?;
            reparent(txn, &mut row, parent)?;
            txn.put_bead(row)?;
            txn.event("bead.moved", id, json!({}));
            Ok(())
        })
    }

    fn delete(&mut self, id: &BeadId) -> Result<()> {
        self.run(|txn| {
            txn.bead(id)?;
            remove_bead(txn, id)?;
            txn.delete(&Key::bead(id))?;
            txn.event("bead.deleted", id, json!({}));
            Ok(())
        })
    }

    pub(super) fn import(&mut self, bead: &BeadId, on: &BeadId, kind: DependencyKind) -> Option<Idle> {
        let (created_by, created_at) = ("elsewhere".to_owned(), Timestamp::from_micros(7));
        let (bead, on_bead) = (bead.clone(), on.clone());
        let edge =
            DependencyRow { bead, on_bead, kind, counted: true, created_by, created_at, gate: None, extra: None };
        self.run(|txn| import_edge(txn, edge)).unwrap()
    }

    /// Holds every stored count against one that is made from scratch, and the rows against the journal.
    pub(super) fn check(&mut self) {
        self.read(|reader| {
            let view = View::new(reader, &Scope::Town, Timestamp::from_micros(0));
            Fresh::new(view).check(view);
            replay(reader);
        });
    }
}

impl Bench {
    /// Holds every bead's explanation against the list of what is ready.
    pub(super) fn explains(&mut self) {
        self.ask(|view| {
            let all: Vec<BeadRow> = view.all(Scan::new(&index::BEADS, vec![], 0))?;
            let filter = ReadyFilter { limit: Some(1_000), ..ReadyFilter::default() };
            let listed: BTreeSet<BeadId> = ready::ready(view, &filter)?.beads.into_iter().map(|bead| bead.id).collect();
            for row in all {
                let told = explain(view, &(&row.id).into())?;
                assert_eq!(told.is_ready, listed.contains(&row.id), "{told:?}");
                assert!(told.is_ready || !told.reasons.is_empty(), "{} is not ready, and nobody says why", row.id);
            }
            Ok(())
        })
        .unwrap();
    }
}

/// The rows, and what follows from them.
struct Fresh {
    beads: BTreeMap<BeadId, BeadRow>,
    edges: Vec<DependencyRow>,
}

impl Fresh {
    fn new(view: View<'_>) -> Self {
        let beads: Vec<BeadRow> = view.all(Scan::new(&index::BEADS, vec![], 0)).unwrap();
        let edges = view.all(Scan::new(&index::DEPENDENCIES_ALL, vec![], 0)).unwrap();
        Self { beads: beads.into_iter().map(|bead| (bead.id.clone(), bead)).collect(), edges }
    }

    fn of<'a>(&'a self, bead: &'a BeadId) -> impl Iterator<Item = &'a DependencyRow> {
        self.edges.iter().filter(move |edge| edge.bead == *bead && !is_idle(edge))
    }

    fn parts<'a>(&'a self, of: &'a BeadId) -> Vec<&'a BeadRow> {
        let part = |edge: &&DependencyRow| edge.kind == ParentChild && edge.on_bead == *of && !is_idle(edge);
        self.edges.iter().filter(part).filter_map(|edge| self.beads.get(&edge.bead)).collect()
    }

    /// Its parts, and theirs.
    fn all_parts<'a>(&'a self, of: &'a BeadId) -> Vec<&'a BeadRow> {
        let mut all = self.parts(of);
        let mut at = 0;
        while let Some(part) = all.get(at) {
            all.extend(self.parts(&part.id));
            at += 1;
        }
        all
    }

    fn counts(&self, view: View<'_>, edge: &DependencyRow) -> bool {
        let (Some(bead), Some(on)) = (self.beads.get(&edge.bead), self.beads.get(&edge.on_bead)) else { return false };
        if bead.status.is_terminal() || is_idle(edge) {
            return false;
        }
        match edge.kind {
            Blocks => !is_resolved(view, bead, on).unwrap(),
            ConditionalBlocks => !on.status.is_terminal(),
            ParentChild => self.of(&on.id).any(|edge| self.counts(view, edge)),
            WaitsFor => {
                let parts = self.parts(&on.id);
                let open = parts.iter().filter(|part| part.status != BeadStatus::Closed).count();
                match edge.gate {
                    Some(WaitGate::AnyChildren) => open > 0 && open == parts.len(),
                    _ => open > 0,
                }
            }
            _ => false,
        }
    }

    fn check(&self, view: View<'_>) {
        for edge in &self.edges {
            assert_eq!(edge.counted, self.counts(view, edge), "{edge:?}");
        }
        for bead in self.beads.values() {
            let id = &bead.id;
            let counted = self.of(id).filter(|edge| edge.counted).count();
            let parts = self.parts(id);
            let open = parts.iter().filter(|part| part.status != BeadStatus::Closed).count();
            let of = |n: usize| i64::try_from(n).unwrap();
            assert_eq!((bead.blockers, bead.parts, bead.open_parts), (of(counted), of(parts.len()), of(open)), "{id}");
            let parents: Vec<&BeadId> = self.of(id).filter(|e| e.kind == ParentChild).map(|e| &e.on_bead).collect();
            assert_eq!(parents, bead.parent.iter().collect::<Vec<_>>(), "{id}");
            for edge in self.of(id).filter(|edge| edge.kind.is_acyclic()) {
                let Some(on) = self.beads.get(&edge.on_bead) else { continue };
                let is_direct = matches!(edge.kind, Blocks | ConditionalBlocks);
                let far = if edge.kind == ParentChild { vec![on] } else { self.all_parts(&on.id) };
                assert!(!is_direct || bead.rank > on.rank, "{id} waits for {} and stands below it", on.id);
                for below in far {
                    assert!(bead.rank >= below.rank, "{id} waits for {} and stands below it", below.id);
                }
            }
        }
        let open: Vec<&BeadRow> = self.beads.values().filter(|b| b.status == BeadStatus::Open).collect();
        let explained = self.beads.values().any(|bead| {
            matches!(bead.status, BeadStatus::InProgress | BeadStatus::InReview | BeadStatus::Failed)
                || bead.resolution == Some(Resolution::Merged)
        });
        let free = open.iter().any(|bead| bead.blockers == 0 && bead.open_parts == 0);
        assert!(open.is_empty() || free || explained, "they wait for each other: {open:?}");
    }
}

fn replay(reader: &dyn Reader) {
    let mut rows = BTreeMap::new();
    for event in reader.events(0, usize::MAX).unwrap() {
        for change in &event.changes {
            if let Some(row) = Row::from_change(change).unwrap() {
                rows.insert(row.key(), row.to_journaled());
            } else {
                let kind = crate::model::RowKind::of_table(&change.table).unwrap();
                let values = change.key.iter().map(|v| crate::model::value::Value::from_json(v).unwrap()).collect();
                rows.remove(&Key { kind, values });
            }
        }
    }
    let mut stored = BTreeMap::new();
    for kind in [crate::model::RowKind::Bead, crate::model::RowKind::Dependency] {
        let scan = Scan::new(index::of_key(kind), vec![], usize::MAX);
        stored.extend(reader.scan(&scan).unwrap().into_iter().map(|row| (row.key(), row.to_journaled())));
    }
    rows.retain(|key, _| stored.contains_key(key) || matches!(key.kind.table(), "bead" | "dependency"));
    assert_eq!(rows, stored);
}

/// The most beads of one history.
const BEADS: usize = 9;

#[derive(Clone, Debug)]
enum Op {
    Create { parent: Option<usize>, on: Option<usize>, convoy: usize },
    Link(usize, usize, DependencyKind, Option<WaitGate>),
    Unlink(usize, usize, DependencyKind),
    Import(usize, usize, DependencyKind),
    Close(usize, Resolution),
    Merge(usize),
    Land(usize),
    Fail(usize),
    Reopen(usize),
    Claim(usize),
    Release(usize),
    Reparent(usize, Option<usize>),
    Delete(usize),
    Again(usize),
    SetAside(usize),
}

fn op() -> impl Strategy<Value = Op> {
    let at = || 0..BEADS;
    let maybe = || prop::option::weighted(0.4, 0..BEADS);
    let kind = || {
        prop::sample::select(vec![
            Blocks,
            Blocks,
            ParentChild,
            ParentChild,
            WaitsFor,
            WaitsFor,
            ConditionalBlocks,
            Related,
        ])
    };
    let gate = || prop::option::of(prop::sample::select(vec![WaitGate::AllChildren, WaitGate::AnyChildren]));
    let end = prop::sample::select(vec![
        Resolution::Completed,
        Resolution::Cancelled,
        Resolution::Abandoned,
        Resolution::Duplicate,
        Resolution::Skipped,
    ]);
    prop_oneof![
        8 => (maybe(), maybe(), 0usize..6).prop_map(|(parent, on, convoy)| Op::Create { parent, on, convoy }),
        9 => (at(), at(), kind(), gate()).prop_map(|(a, b, kind, gate)| {
            Op::Link(a, b, kind, gate.filter(|_| kind == WaitsFor))
        }),
        2 => (at(), at(), kind()).prop_map(|(a, b, kind)| Op::Unlink(a, b, kind)),
        4 => (at(), at(), kind()).prop_map(|(a, b, kind)| Op::Import(a, b, kind)),
        5 => (at(), end).prop_map(|(at, end)| Op::Close(at, end)),
        2 => at().prop_map(Op::Merge),
        1 => (0usize..2).prop_map(Op::Land),
        2 => at().prop_map(Op::Fail),
        4 => at().prop_map(Op::Reopen),
        2 => at().prop_map(Op::Claim),
        1 => at().prop_map(Op::Release),
        3 => (at(), maybe()).prop_map(|(at, parent)| Op::Reparent(at, parent)),
        1 => at().prop_map(Op::Delete),
        1 => at().prop_map(Op::Again),
        1 => at().prop_map(Op::SetAside),
    ]
}

struct History {
    bench: Bench,
    ids: Vec<BeadId>,
    convoys: Vec<BeadId>,
}

impl History {
    fn new() -> Self {
        let mut bench = Bench::new();
        let convoys = [FailurePolicy::Continue, FailurePolicy::Block]
            .map(|on_failure| bench.run(|txn| convoy(txn, on_failure)).unwrap());
        Self { bench, ids: Vec::new(), convoys: convoys.to_vec() }
    }

    fn take(&mut self, op: &Op) -> Result<()> {
        let id = |at: usize| {
            self.ids.get(at).cloned().ok_or_else(|| Error::not_found("bead_missing", "the history is shorter"))
        };
        let bench = &mut self.bench;
        match op {
            Op::Create { parent, on, convoy } => {
                if self.ids.len() == BEADS {
                    return Ok(());
                }
                // Several beads have one time.
                bench.now += i64::from(*convoy > 3);
                let parent = parent.map(id).transpose().unwrap_or(None);
                let depends_on = on.and_then(|on| id(on).ok()).into_iter().collect();
                let new = NewBead { parent, depends_on, ..NewBead::titled("x") };
                let convoy = self.convoys.get(*convoy).cloned();
                let row = bench.run(|txn| {
                    let row = beads::insert(txn, BeadKind::Issue, &new, convoy.as_ref())?;
                    txn.event("bead.created", &row.id, json!({}));
                    Ok(row)
                })?;
                self.ids.push(row.id);
                Ok(())
            }
            Op::Link(a, b, kind, gate) => bench.gated(&id(*a)?, &id(*b)?, *kind, *gate).map(drop),
            Op::Unlink(a, b, kind) => {
                let input = Link { bead: id(*a)?, on_bead: id(*b)?, kind: *kind, gate: None };
                bench.run(|txn| unlink(txn, &input)).map(drop)
            }
            Op::Import(a, b, kind) => {
                bench.import(&id(*a)?, &id(*b)?, *kind);
                Ok(())
            }
            Op::Close(at, end) => {
                let input = CloseBead { resolution: Some(*end), force: true, ..id(*at)?.into() };
                bench.run(|txn| beads::close(txn, &input)).map(drop)
            }
            Op::Merge(at) => {
                let id = id(*at)?;
                bench.run(|txn| {
                    let row = txn.bead(&id)?;
                    beads::settle(txn, row, BeadStatus::Closed, Resolution::Merged, json!({}))
                })
            }
            Op::Land(at) => {
                let convoy = self.convoys[*at].clone();
                bench.run(|txn| convoys::landed(txn, &convoy, &Oid::new("0".repeat(40)).unwrap()))
            }
            Op::Fail(at) => bench.fail(&id(*at)?),
            Op::Reopen(at) => bench.run(|txn| beads::reopen(txn, &(&id(*at)?).into())).map(drop),
            Op::Claim(at) => {
                let claim = Claim::of(id(*at)?, "me");
                bench.run(|txn| ready::claim(txn, &claim)).map(drop)
            }
            Op::Release(at) => bench.run(|txn| ready::release(txn, &id(*at)?.into())).map(drop),
            Op::Reparent(at, parent) => {
                let parent = parent.map(id).transpose()?;
                bench.reparent(&id(*at)?, parent.as_ref())
            }
            Op::Delete(at) => bench.delete(&id(*at)?),
            // A deleted bead comes back; imports may have left edges to it meanwhile.
            Op::Again(at) => {
                let id = id(*at)?;
                let now = bench.now;
                bench.run(|txn| {
                    if txn.find::<BeadRow>(&Key::bead(&id))?.is_none() {
                        let first = beads::insert(txn, BeadKind::Issue, &NewBead::titled("again"), None)?;
                        txn.delete(&first.key())?;
                        txn.put(BeadRow { id: id.clone(), rank: now, ..first })?;
                        added(txn, &id)?;
                        txn.event("bead.created", &id, json!({}));
                    }
                    Ok(())
                })
            }
            Op::SetAside(at) => {
                let id = id(*at)?;
                bench.run(|txn| {
                    let mut row = txn.bead(&id)?;
                    row.parked_reason = Some("later".to_owned());
                    row.defer_until = Some(Timestamp::from_micros(i64::MAX));
                    txn.put_bead(row)?;
                    txn.event("bead.parked", &id, json!({}));
                    Ok(())
                })
            }
        }
    }
}

fn convoy(txn: &mut ScopedTxn<'_>, on_failure: FailurePolicy) -> Result<BeadId> {
    let bead = beads::insert(txn, BeadKind::Convoy, &NewBead::titled("convoy"), None)?;
    let id = bead.id.clone();
    let mut bead = bead;
    bead.move_to(BeadStatus::InProgress, None, txn.now())?;
    txn.put_bead(bead)?;
    txn.put(ConvoyRow {
        id: id.clone(),
        rig: crate::model::RigName::new("harbour")?,
        mode: ConvoyMode::ReviewThenLand,
        on_failure,
        state: ConvoyState::Active,
        branch: "b".to_owned(),
        target: "main".to_owned(),
        base: None,
        head: None,
        landed_oid: None,
        landed_at: None,
        reason: None,
    })?;
    txn.event("convoy.slung", &id, json!({}));
    Ok(id)
}

/// What a history may answer to a step that the state does not allow.
const REFUSALS: &[&str] = &[
    "bead_missing",
    "cycle",
    "edge_to_itself",
    "parent_there",
    "bead_transition",
    "bead_not_terminal",
    "bead_blocked",
    "bead_held",
    "bead_not_open",
    "bead_parked",
    "bead_deferred",
    "bead_not_claimed",
];

fn play(ops: &[Op]) {
    let mut history = History::new();
    for op in ops {
        if let Err(error) = history.take(op) {
            assert!(REFUSALS.contains(&error.code()), "{op:?}: {}", error.chain());
        }
        history.bench.check();
        history.bench.explains();
    }
}

#[allow(clippy::disallowed_methods, reason = "how the long forms of tests are asked for")]
pub(super) fn is_soak() -> bool {
    std::env::var_os("GASTOWN_SOAK").is_some()
}

fn cases() -> u32 {
    if is_soak() { 50_000 } else { 200 }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn after_every_step_the_counts_are_those_of_a_fresh_count_and_nobody_waits_in_a_circle(
        ops in prop::collection::vec(op(), 1..60),
    ) {
        play(&ops);
    }
}
