//! Which issue of one set is which of the others.
//!
//! An issue is known by its id and by when it was made: so two of one id may be two, and one may have two ids. It has another id
//! where it was told from a twin, where a tombstone says what it became, or where it was taken up under one and put down under
//! another.

use std::collections::{BTreeMap, HashMap};

use super::super::issue::Issue;
use super::super::twin::{Made, moved_to, shared_id};
use super::Issues;
use crate::model::Timestamp;

pub(super) const BASE: usize = 0;
pub(super) const OURS: usize = 1;
pub(super) const THEIRS: usize = 2;

/// The most renames in a row that are followed.
const MOVES_MAX: usize = 32;

/// The ids that one issue has in base, ours and theirs.
pub(super) type Kin<'a> = [Option<&'a str>; 3];

struct Node<'a> {
    set: usize,
    id: &'a str,
    made: Made,
}

#[derive(Default)]
struct Kinship<'a> {
    nodes: Vec<Node<'a>>,
    /// The nodes of each kin, one of a set at most.
    kin: Vec<[Option<usize>; 3]>,
    /// The kin of each node.
    of: Vec<usize>,
    by_id: [HashMap<&'a str, usize>; 3],
}

/// What became of an issue whose tombstone says so, where that is in the set.
pub(super) fn became<'a>(set: &'a Issues, id: &str) -> Option<&'a str> {
    let first = set.get(id)?;
    let mut to = moved_to(first)?;
    for _ in 0..MOVES_MAX {
        let (id, there) = set.get_key_value(to)?;
        match moved_to(there) {
            Some(next) if set.contains_key(next) => to = next,
            _ => return (Made::of(there).at == Made::of(first).at).then_some(id),
        }
    }
    None
}

/// Finds out who is who.
pub(super) fn kin<'a>(sets: [&'a Issues; 3]) -> Vec<Kin<'a>> {
    let mut kinship = Kinship::default();
    let mut marks: Vec<(usize, &'a str, &'a str)> = Vec::new();
    for (set, issues) in sets.into_iter().enumerate() {
        for (id, issue) in issues {
            match became(issues, id) {
                Some(to) => marks.push((set, id, to)),
                None => kinship.add(set, id, issue),
            }
        }
    }
    kinship.by_name(sets);
    kinship.by_marks(sets, &marks);
    kinship.by_id();
    kinship.by_past();
    let Kinship { nodes, kin, .. } = kinship;
    let all = kin.into_iter().filter(|kin| kin.iter().any(Option::is_some));
    all.map(|kin| kin.map(|node| node.map(|node| nodes[node].id))).collect()
}

impl<'a> Kinship<'a> {
    fn add(&mut self, set: usize, id: &'a str, issue: &Issue) {
        let node = self.nodes.len();
        self.nodes.push(Node { set, id, made: Made::of(issue) });
        let mut kin = [None; 3];
        kin[set] = Some(node);
        self.kin.push(kin);
        self.of.push(node);
        self.by_id[set].insert(id, node);
    }

    /// Takes two for one, unless a set has both.
    fn join(&mut self, one: usize, other: usize) {
        let (left, right) = (self.of[one], self.of[other]);
        if (0..3).any(|set| self.kin[left][set].is_some() && self.kin[right][set].is_some()) {
            return;
        }
        for node in std::mem::take(&mut self.kin[right]).into_iter().flatten() {
            self.kin[left][self.nodes[node].set] = Some(node);
            self.of[node] = left;
        }
    }

    /// Those that were made at one time and have one id, or one of them the id that tells it from a twin.
    fn by_name(&mut self, sets: [&Issues; 3]) {
        let mut names: HashMap<(&'a str, Timestamp), usize> = HashMap::new();
        for node in 0..self.nodes.len() {
            let Node { set, id, made } = self.nodes[node];
            let Some(at) = made.at else { continue };
            let has_both = |shared: &&str| sets[set].get(*shared).is_some_and(|first| Made::of(first).at == made.at);
            let name = shared_id(id, at).filter(|shared| !has_both(shared)).unwrap_or(id);
            let first = *names.entry((name, at)).or_insert(node);
            self.join(first, node);
        }
    }

    /// Those of which a tombstone says under which id they are now.
    fn by_marks(&mut self, sets: [&'a Issues; 3], marks: &[(usize, &'a str, &'a str)]) {
        for (set, id, to) in marks {
            let Some(&node) = self.by_id[*set].get(to) else { continue };
            for other in (0..3).filter(|other| other != set) {
                let there = became(sets[other], id).unwrap_or(id);
                if let Some(&there) = self.by_id[other].get(there)
                    && self.nodes[there].made.at == self.nodes[node].made.at
                {
                    self.join(node, there);
                }
            }
        }
    }

    /// Those of one id of which nothing says that they are two.
    fn by_id(&mut self) {
        for (one, other) in [(BASE, OURS), (BASE, THEIRS), (OURS, THEIRS)] {
            for node in 0..self.nodes.len() {
                let Node { set, id, .. } = self.nodes[node];
                if set == one
                    && let Some(&there) = self.by_id[other].get(id)
                    && !self.are_two(node, there)
                {
                    self.join(node, there);
                }
            }
        }
    }

    /// Whether of two any set says that they are not one.
    fn are_two(&self, one: usize, other: usize) -> bool {
        let all = |node: usize| self.kin[self.of[node]].into_iter().flatten().map(|node| self.nodes[node].made);
        all(one).any(|one| all(other).any(|other| one.is_another(&other)))
    }

    /// Those that are gone from a side, with those that came there and were surely made at the same time.
    fn by_past(&mut self) {
        let mut pairs = Vec::new();
        for side in [OURS, THEIRS] {
            let mut by_time: BTreeMap<Timestamp, [Vec<usize>; 2]> = BTreeMap::new();
            for (node, Node { set, made, .. }) in self.nodes.iter().enumerate() {
                let kin = &self.kin[self.of[node]];
                let (is_gone, is_new) = (*set == BASE && kin[side].is_none(), *set == side && kin[BASE].is_none());
                if let (true, Some(at)) = (is_gone || is_new, made.at) {
                    by_time.entry(at).or_default()[usize::from(is_new)].push(node);
                }
            }
            for [gone, new] in by_time.into_values() {
                if let ([gone], [new]) = (&gone[..], &new[..])
                    && self.nodes[*gone].made.is_surely(&self.nodes[*new].made)
                {
                    pairs.push((*gone, *new));
                }
            }
        }
        for (gone, new) in pairs {
            self.join(gone, new);
        }
    }
}
