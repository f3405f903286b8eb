//! Random commands, held against a model that counts from scratch.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;

use super::Town;
use crate::model::{BeadId, BeadStatus, Resolution};
use crate::store::MemoryBackend;
use crate::{CloseBead, Link, NewBead, ReadyFilter};

/// The most beads of one run.
const BEADS: usize = 8;

#[derive(Clone, Copy, Debug)]
enum Step {
    Create(usize),
    Link(usize, usize),
    Unlink(usize, usize),
    Close(usize, bool),
    Reopen(usize),
    Claim(usize),
    Release(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let at = 0..BEADS;
    prop_oneof![
        3 => at.clone().prop_map(Step::Create),
        4 => (at.clone(), at.clone()).prop_map(|(a, b)| Step::Link(a, b)),
        1 => (at.clone(), at.clone()).prop_map(|(a, b)| Step::Unlink(a, b)),
        3 => (at.clone(), any::<bool>()).prop_map(|(a, done)| Step::Close(a, done)),
        2 => at.clone().prop_map(Step::Reopen),
        1 => at.clone().prop_map(Step::Claim),
        1 => at.prop_map(Step::Release),
    ]
}

/// What the town should hold, in the plainest form.
#[derive(Default)]
struct Model {
    beads: Vec<(BeadId, BeadStatus)>,
    edges: BTreeSet<(usize, usize)>,
}

impl Model {
    fn reaches(&self, from: usize, to: usize) -> bool {
        from == to || self.edges.iter().any(|&(a, b)| a == from && self.reaches(b, to))
    }

    fn blockers(&self, at: usize) -> i64 {
        if self.beads[at].1.is_terminal() {
            return 0;
        }
        let open = self.edges.iter().filter(|&&(a, b)| a == at && !self.beads[b].1.is_terminal());
        i64::try_from(open.count()).unwrap()
    }

    /// Applies the step to both; they must agree whether it is legal.
    async fn apply(&mut self, town: &Town, step: Step) {
        let beads = town.operator().beads();
        let (len, status) = (self.beads.len(), |at: usize| self.beads.get(at).map(|bead| bead.1));
        let id = |at: usize| self.beads[at].0.clone();
        match step {
            Step::Create(on) => {
                if len == BEADS {
                    return;
                }
                let depends_on = if on < len { vec![id(on)] } else { vec![] };
                let new = NewBead { depends_on, ..NewBead::titled(format!("{len}")) };
                let bead = beads.create(new).await.unwrap();
                self.beads.push((bead.id, BeadStatus::Open));
                if on < len {
                    self.edges.insert((len, on));
                }
            }
            Step::Link(a, b) if a < len && b < len => {
                let answer = beads.link(Link::blocks(id(a), id(b))).await;
                if self.edges.contains(&(a, b)) {
                    assert!(!answer.unwrap().changed);
                } else if self.reaches(b, a) {
                    assert!(matches!(answer.unwrap_err().code(), "cycle" | "edge_to_itself"));
                } else {
                    assert!(answer.unwrap().changed);
                    self.edges.insert((a, b));
                }
            }
            Step::Unlink(a, b) if a < len && b < len => {
                let changed = beads.unlink(Link::blocks(id(a), id(b))).await.unwrap().changed;
                assert_eq!(changed, self.edges.remove(&(a, b)));
            }
            Step::Close(at, done) if at < len => {
                let resolution = Some(if done { Resolution::Completed } else { Resolution::Cancelled });
                let blocked = done && self.blockers(at) > 0;
                let close = CloseBead { resolution, ..CloseBead::from(id(at)) };
                let answer = beads.close(close.clone()).await;
                if status(at) == Some(BeadStatus::Closed) {
                    // A repeat for the same reason changes nothing, another is refused.
                    assert!(answer.map_or_else(|error| error.code() == "bead_transition", |closed| !closed.changed));
                    return;
                }
                assert_eq!(answer.as_ref().is_err_and(|error| error.code() == "bead_blocked"), blocked);
                let closed = if blocked { beads.close(CloseBead { force: true, ..close }).await } else { answer };
                assert!(closed.unwrap().changed);
                self.beads[at].1 = BeadStatus::Closed;
            }
            Step::Reopen(at) if at < len => {
                let answer = beads.reopen(&id(at)).await;
                assert_eq!(answer.is_ok(), status(at) == Some(BeadStatus::Closed));
                if answer.is_ok() {
                    self.beads[at].1 = BeadStatus::Open;
                }
            }
            Step::Claim(at) if at < len => {
                let answer = beads.claim(crate::Claim::of(id(at), "me").for_ms(600_000)).await;
                let is_mine = status(at) == Some(BeadStatus::InProgress);
                assert_eq!(answer.is_ok(), is_mine || status(at) == Some(BeadStatus::Open) && self.blockers(at) == 0);
                if answer.is_ok() {
                    self.beads[at].1 = BeadStatus::InProgress;
                }
            }
            Step::Release(at) if at < len => {
                let answer = beads.release(&id(at)).await;
                assert_eq!(answer.is_ok(), status(at) == Some(BeadStatus::InProgress));
                if answer.is_ok() {
                    self.beads[at].1 = BeadStatus::Open;
                }
            }
            _ => {}
        }
    }

    async fn agrees_with(&self, town: &Town) {
        let beads = town.operator().beads();
        let mut ready = BTreeSet::new();
        for (at, (id, status)) in self.beads.iter().enumerate() {
            let bead = beads.get(id).await.unwrap();
            assert_eq!((bead.status, bead.blockers), (*status, self.blockers(at)), "bead {at}");
            if *status == BeadStatus::Open && self.blockers(at) == 0 {
                ready.insert(id.clone());
            }
        }
        let listed = beads.ready(ReadyFilter::default()).await.unwrap().beads;
        let listed: BTreeMap<BeadId, String> = listed.into_iter().map(|bead| (bead.id, bead.title)).collect();
        assert_eq!(listed.keys().cloned().collect::<BTreeSet<_>>(), ready);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn counts_of_blockers_and_the_ready_list_are_what_a_fresh_count_gives(steps in prop::collection::vec(step(), 1..40)) {
        let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tokio.block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let town = Town::builder(dir.path()).backend(Arc::new(MemoryBackend::new())).open().await.unwrap();
            let mut model = Model::default();
            for step in steps {
                model.apply(&town, step).await;
                model.agrees_with(&town).await;
            }
            assert!(town.replay().await.unwrap().differences.is_empty());
        });
    }
}
