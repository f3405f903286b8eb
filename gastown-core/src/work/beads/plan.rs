//! Many beads with their edges at once: all of them or none.

use std::collections::BTreeMap;

use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{NewBead, insert};
use crate::model::id::excerpt;
use crate::model::{BeadId, BeadKind, DependencyKind, Error, Result};
use crate::work::convoys;
use crate::work::graph;
use crate::work::txn::ScopedTxn;

/// The most beads of one plan.
const BEADS_MAX: usize = 1_000;
/// The most edges of one plan.
const LINKS_MAX: usize = 10_000;
/// The longest key in bytes.
const KEY_BYTES_MAX: usize = 200;

/// A plan: new beads, each with a key, and edges between them and beads that are there.
///
/// ```
/// use gastown_core::{NewBead, NewBeads, KeyedBead, KeyedLink};
/// let plan = NewBeads {
///     beads: vec![KeyedBead::new("keel", NewBead::titled("Lay the keel")), KeyedBead::new("mast", NewBead::titled("Raise the mast"))],
///     links: vec![KeyedLink::blocks("mast", "keel")],
/// };
/// assert_eq!(plan.beads.len(), 2);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewBeads {
    /// The beads, 1 to 1,000.
    pub beads: Vec<KeyedBead>,
    /// The edges, at most 10,000.
    #[serde(default)]
    pub links: Vec<KeyedLink>,
}

/// One bead of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyedBead {
    /// Its name in the plan, 1 to 200 bytes.
    pub key: String,
    /// The bead.
    pub bead: NewBead,
    /// The key of the bead that it is a part of.
    #[serde(default)]
    pub part_of: Option<String>,
}

impl KeyedBead {
    /// A bead of this key.
    pub fn new(key: impl Into<String>, bead: NewBead) -> Self {
        Self { key: key.into(), bead, part_of: None }
    }
}

/// One edge of a plan; an end is a key of the plan, or else the id of a bead that is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyedLink {
    /// What waits.
    pub bead: String,
    /// What it waits for.
    pub on_bead: String,
    /// What the edge means; `blocks` where it is left out.
    #[serde(default = "blocks")]
    pub kind: DependencyKind,
}

const fn blocks() -> DependencyKind {
    DependencyKind::Blocks
}

impl KeyedLink {
    /// An edge by which `bead` waits for `on_bead`.
    pub fn blocks(bead: impl Into<String>, on_bead: impl Into<String>) -> Self {
        Self { bead: bead.into(), on_bead: on_bead.into(), kind: DependencyKind::Blocks }
    }
}

/// A key of a plan and the bead that was made for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeBead {
    /// The key.
    pub key: String,
    /// The bead.
    pub id: BeadId,
}

/// What a plan became.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeBeads {
    /// The beads, in the order of the plan.
    pub beads: Vec<MadeBead>,
}

/// An end of an edge.
#[derive(Clone, Copy)]
enum End<'a> {
    New(usize),
    There(&'a str),
}

/// Creates the beads and the edges of a plan.
pub(crate) fn create_many(txn: &mut ScopedTxn<'_>, input: &NewBeads) -> Result<MadeBeads> {
    let places = check_keys(input)?;
    let ends = |name: &'_ str| places.get(name).copied();
    let order = order(input, &places)?;
    let mut made: Vec<Option<BeadId>> = vec![None; input.beads.len()];
    let began = txn.now().as_micros();
    for (place, &at) in (0..).zip(&order) {
        let planned = &input.beads[at];
        let mut bead = planned.bead.clone();
        if let Some(parent) = planned.part_of.as_deref().and_then(ends) {
            bead.parent.clone_from(&made[parent]);
        }
        let mut row = insert(txn, BeadKind::Issue, &bead, None)
            .map_err(|error| error.within(format_args!("beads[{at}].bead")).with("key", &planned.key))?;
        // In the order of waiting, so that few of the edges below have to look for a circle.
        row.rank = row.rank.max(began + place);
        let (id, title) = (row.id.clone(), row.title.clone());
        txn.put(row)?;
        txn.event("bead.created", &id, json!({ "kind": BeadKind::Issue, "title": title, "key": planned.key }));
        made[at] = Some(id);
    }
    let made: Vec<BeadId> = made.into_iter().map(|id| id.expect("the order has every bead")).collect();
    for link in &input.links {
        let id = |end: End<'_>| match end {
            End::New(at) => Ok(made[at].clone()),
            End::There(id) => BeadId::new(id),
        };
        let (bead, on) = (id(end(&places, &link.bead))?, id(end(&places, &link.on_bead))?);
        if graph::add_edge(txn, &bead, &on, link.kind)? {
            txn.event("dependency.added", &bead, json!({ "on_bead": on, "kind": link.kind }));
        }
    }
    let beads = input.beads.iter().zip(made).map(|(planned, id)| MadeBead { key: planned.key.clone(), id }).collect();
    Ok(MadeBeads { beads })
}

fn end<'a>(places: &BTreeMap<&str, usize>, name: &'a str) -> End<'a> {
    places.get(name).map_or(End::There(name), |&at| End::New(at))
}

/// The place of each key; refuses what is no plan.
fn check_keys(input: &NewBeads) -> Result<BTreeMap<&str, usize>> {
    let (beads, links) = (input.beads.len(), input.links.len());
    if beads == 0 || beads > BEADS_MAX || links > LINKS_MAX {
        return Err(Error::invalid(
            "plan_size",
            format!("a plan has 1 to {BEADS_MAX} beads and at most {LINKS_MAX} edges, not {beads} and {links}"),
        )
        .with("beads", beads)
        .with("links", links));
    }
    let mut places = BTreeMap::new();
    for (at, planned) in input.beads.iter().enumerate() {
        let key = planned.key.as_str();
        if key.is_empty() || key.len() > KEY_BYTES_MAX || key.contains(char::is_control) {
            return Err(Error::invalid("key_malformed", format!("{} cannot be a key", excerpt(key)))
                .with("bytes", key.len())
                .with("rule", format!("1 to {KEY_BYTES_MAX} bytes without control characters")));
        }
        if places.insert(key, at).is_some() {
            return Err(Error::invalid("key_twice", format!("two beads have the key {}", excerpt(key)))
                .with("key", excerpt(key)));
        }
    }
    let unknown = |key: &str| {
        Error::invalid("key_unknown", format!("{} is neither a key of the plan nor an id", excerpt(key)))
            .with("key", excerpt(key))
    };
    for planned in &input.beads {
        let Some(parent) = &planned.part_of else { continue };
        if !places.contains_key(parent.as_str()) {
            return Err(unknown(parent));
        }
        if planned.bead.parent.is_some() {
            return Err(Error::invalid(
                "parent_twice",
                format!("{} has a parent and a part_of", excerpt(&planned.key)),
            )
            .with("key", excerpt(&planned.key)));
        }
    }
    for name in input.links.iter().flat_map(|link| [&link.bead, &link.on_bead]) {
        if !places.contains_key(name.as_str()) && BeadId::new(name.as_str()).is_err() {
            return Err(unknown(name));
        }
    }
    Ok(places)
}

/// The beads, each behind those that it waits for or is a part of; refuses circles.
fn order(input: &NewBeads, places: &BTreeMap<&str, usize>) -> Result<Vec<usize>> {
    let mut edges = DiGraph::<usize, ()>::new();
    let nodes: Vec<NodeIndex> = (0..input.beads.len()).map(|at| edges.add_node(at)).collect();
    for (at, planned) in input.beads.iter().enumerate() {
        if let Some(parent) = planned.part_of.as_deref().and_then(|key| places.get(key)) {
            edges.add_edge(nodes[at], nodes[*parent], ());
        }
    }
    for link in input.links.iter().filter(|link| link.kind.is_acyclic()) {
        if let (Some(bead), Some(on)) = (places.get(link.bead.as_str()), places.get(link.on_bead.as_str())) {
            edges.add_edge(nodes[*bead], nodes[*on], ());
        }
    }
    let groups = kosaraju_scc(&edges);
    let circle = groups.iter().find(|group| group.len() > 1 || edges.contains_edge(group[0], group[0]));
    let Some(group) = circle else { return Ok(groups.into_iter().map(|group| edges[group[0]]).collect()) };
    let circle = convoys::walk_circle(&edges, group);
    let shown = circle.iter().map(|&at| input.beads[at].key.as_str()).collect::<Vec<_>>().join(" -> ");
    Err(Error::invalid("cycle", format!("the beads wait for each other in a circle: {shown}")).with("cycle", shown))
}
