//! Lists over the whole graph: what is blocked, the epics, and edges that count for nothing.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::Pages;
use super::explain::{LooseEdge, loose};
use super::link::Link;
use super::tree::{BeadNode, check_limit, stale_cursor};
use crate::model::value::Value;
use crate::model::{
    BeadId, BeadKind, BeadRow, BeadStatus, DependencyKind, DependencyRow, Key, Result, RigName, Row, Stored as _,
};
use crate::store::index::{self, Index};
use crate::store::{Position, Scan};
use crate::work::view::{View, text};

/// How many blockers of one bead are named.
const BLOCKERS_MAX: usize = 20;

/// Which part of a list over the graph to read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GraphFilter {
    /// Of this rig.
    pub rig: Option<RigName>,
    /// At most so many, 1 to 1000; 50 where it is left out.
    pub limit: Option<usize>,
    /// Go on behind an earlier page.
    pub cursor: Option<String>,
}

/// What a bead waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blocker {
    /// Which.
    pub id: BeadId,
    /// By an edge of this kind.
    pub kind: DependencyKind,
    /// Its status; null where the caller does not see it.
    pub status: Option<BeadStatus>,
}

/// A bead that waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockedBead {
    /// The bead; `blockers` counts all that it waits for.
    pub bead: BeadNode,
    /// The first 20 of them; its parent, where that waits itself.
    pub blocked_by: Vec<Blocker>,
}

/// One page of beads that wait.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockedPage {
    /// The beads, oldest first.
    pub blocked: Vec<BlockedBead>,
    /// Where the next page begins; none at the end.
    pub cursor: Option<String>,
}

/// Lists the open issues that wait for something, oldest first, each with what it waits for.
pub(crate) fn blocked(view: View<'_>, input: &GraphFilter) -> Result<BlockedPage> {
    let scan = by_status(BeadStatus::Open);
    let (rows, cursor) = page(view, input, scan, |row: &BeadRow| row.blockers > 0 && in_rig(row, input))?;
    let blocked = rows.into_iter().map(|row| {
        let blocked_by = blockers(view, &row.id)?;
        Ok(BlockedBead { bead: row.into(), blocked_by })
    });
    Ok(BlockedPage { blocked: blocked.collect::<Result<_>>()?, cursor })
}

fn blockers(view: View<'_>, bead: &BeadId) -> Result<Vec<Blocker>> {
    let mut blockers = Vec::new();
    let mut pages = Pages::dependencies(bead);
    while let Some(page) = pages.next(view)? {
        for edge in page.into_iter().filter(|edge| edge.counted) {
            if blockers.len() == BLOCKERS_MAX {
                return Ok(blockers);
            }
            let status = view.find_readable::<BeadRow>(&Key::bead(&edge.on_bead))?.map(|row| row.status);
            blockers.push(Blocker { id: edge.on_bead, kind: edge.kind, status });
        }
    }
    Ok(blockers)
}

/// A bead that has parts, or is of the type `epic`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Epic {
    /// The bead, with the number of its parts.
    pub bead: BeadNode,
    /// How many of its parts are closed.
    pub closed_parts: i64,
    /// Whether it may be closed because all its parts are, and it has some.
    pub is_closable: bool,
}

/// One page of epics.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpicPage {
    /// The epics, oldest first.
    pub epics: Vec<Epic>,
    /// Where the next page begins; none at the end.
    pub cursor: Option<String>,
}

/// Lists the open issues that have parts or are of the type `epic`, oldest first, and how far each is.
pub(crate) fn epics(view: View<'_>, input: &GraphFilter) -> Result<EpicPage> {
    let scan = by_status(BeadStatus::Open);
    let is_epic = |row: &BeadRow| (row.parts > 0 || row.issue_type == "epic") && in_rig(row, input);
    let (rows, cursor) = page(view, input, scan, is_epic)?;
    let epic = |row: BeadRow| Epic {
        closed_parts: row.parts - row.open_parts,
        is_closable: row.parts > 0 && row.open_parts == 0,
        bead: row.into(),
    };
    Ok(EpicPage { epics: rows.into_iter().map(epic).collect(), cursor })
}

/// Whose edges to read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EdgesOf {
    /// The bead.
    pub id: BeadId,
    /// At most so many, of both directions together, 1 to 1000; 50 where it is left out.
    #[serde(default)]
    pub limit: Option<usize>,
    /// Go on behind an earlier page.
    #[serde(default)]
    pub cursor: Option<String>,
}

impl From<BeadId> for EdgesOf {
    fn from(id: BeadId) -> Self {
        Self { id, limit: None, cursor: None }
    }
}

impl From<&BeadId> for EdgesOf {
    fn from(id: &BeadId) -> Self {
        id.clone().into()
    }
}

/// One page of the edges of one bead, in both directions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edges {
    /// What the bead depends on, by id; these come first.
    pub depends_on: Vec<Link>,
    /// What depends on the bead, by kind and id.
    pub dependents: Vec<Link>,
    /// Where the next page begins; none at the end.
    pub cursor: Option<String>,
}

/// The directions in which edges are read, with their names in cursors.
const SIDES: [(&str, &Index); 2] = [("on:", &index::DEPENDENCIES), ("of:", &index::DEPENDENTS)];

/// Reads the edges of one bead.
pub(crate) fn edges(view: View<'_>, input: &EdgesOf) -> Result<Edges> {
    let limit = check_limit(input.limit)?;
    view.bead(&input.id)?;
    let (first, place) = match input.cursor.as_deref() {
        None => (0, None),
        Some(cursor) => {
            let found = SIDES.iter().enumerate().find_map(|(nth, (name, _))| Some((nth, cursor.strip_prefix(name)?)));
            let (nth, place) = found.ok_or_else(|| stale_cursor(cursor))?;
            // A place is of use for the edges of one bead only.
            let whose = place.strip_prefix(input.id.as_str()).and_then(|rest| rest.strip_prefix(':'));
            (nth, Some(whose.ok_or_else(|| stale_cursor(cursor))?))
        }
    };
    let mut sides = [Vec::new(), Vec::new()];
    let (mut room, mut last, mut cursor) = (limit, None, None);
    for (nth, (name, at)) in SIDES.into_iter().enumerate().skip(first) {
        let scan = Scan::new(at, vec![text(&input.id)], 0);
        let scan = behind(scan, place.filter(|_| nth == first))?;
        view.walk::<DependencyRow>(scan, |edge| {
            if room == 0 {
                cursor = last.take();
                return Ok(false);
            }
            room -= 1;
            last = Some(format!("{name}{}:{}", input.id, written(&Position::of(at, &edge.clone().into_row()))));
            sides[nth].push(Link { bead: edge.bead, on_bead: edge.on_bead, kind: edge.kind, gate: edge.gate });
            Ok(true)
        })?;
        if cursor.is_some() {
            break;
        }
    }
    let [depends_on, dependents] = sides;
    Ok(Edges { depends_on, dependents, cursor })
}

/// One page of edges that count for nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoosePage {
    /// The edges, by the beads that would wait.
    pub edges: Vec<LooseEdge>,
    /// Where the next page begins; none at the end.
    pub cursor: Option<String>,
}

/// Lists edges of imported data that are kept and count for nothing: those that would close a circle, whose other end is
/// missing, or that name a second parent. It looks at every edge.
pub(crate) fn loose_edges(view: View<'_>, input: &GraphFilter) -> Result<LoosePage> {
    let limit = check_limit(input.limit)?;
    let (mut edges, mut last, mut cursor) = (Vec::new(), None, None);
    let scan = behind(Scan::new(&index::DEPENDENCIES_ALL, vec![], 0), input.cursor.as_deref())?;
    // A scope that is confined to a rig sees no edge to a bead that is not there.
    view.walk::<DependencyRow>(scan, |edge| {
        if input.rig.is_some() {
            let bead: Option<BeadRow> = view.find_readable(&Key::bead(&edge.bead))?;
            if bead.is_none_or(|bead| !in_rig(&bead, input)) {
                return Ok(true);
            }
        }
        let at = Position::of(&index::DEPENDENCIES_ALL, &edge.clone().into_row());
        if let Some(edge) = loose(view, edge)? {
            if edges.len() == limit {
                cursor = last.take();
                return Ok(false);
            }
            edges.push(edge);
            last = Some(at);
        }
        Ok(true)
    })?;
    Ok(LoosePage { edges, cursor: cursor.as_ref().map(written) })
}

fn by_status(status: BeadStatus) -> Scan {
    let prefix = vec![text(BeadKind::Issue.as_str()), text(status.as_str())];
    Scan::new(&index::BEADS_BY_STATUS, prefix, 0)
}

fn in_rig(row: &BeadRow, input: &GraphFilter) -> bool {
    input.rig.is_none() || row.rig == input.rig
}

fn page(
    view: View<'_>,
    input: &GraphFilter,
    scan: Scan,
    wanted: impl Fn(&BeadRow) -> bool,
) -> Result<(Vec<BeadRow>, Option<String>)> {
    let limit = check_limit(input.limit)?;
    let at = scan.index;
    let (mut rows, mut more) = (Vec::<BeadRow>::new(), false);
    view.walk::<BeadRow>(behind(scan, input.cursor.as_deref())?, |row| {
        if wanted(&row) {
            more = rows.len() == limit;
            if !more {
                rows.push(row);
            }
        }
        Ok(!more)
    })?;
    let last = rows.last().filter(|_| more);
    let cursor = last.map(|last| written(&Position::of(at, &Row::Bead(last.clone()))));
    Ok((rows, cursor))
}

fn written(position: &Position) -> String {
    Json::Array(position.0.iter().map(Value::to_json).collect()).to_string()
}

/// The same scan behind the place where a page ended, as a caller gives it back.
fn behind(scan: Scan, cursor: Option<&str>) -> Result<Scan> {
    let Some(cursor) = cursor else { return Ok(scan) };
    let parts: Vec<Json> = serde_json::from_str(cursor).map_err(|source| stale_cursor(cursor).because(source))?;
    let wrong = |source| stale_cursor(cursor).because(source);
    let place = parts.iter().map(Value::from_json).collect::<Result<_>>().map_err(wrong)?;
    let scan = scan.after(Some(Position(place)));
    scan.check().map_err(wrong)?;
    Ok(scan)
}
