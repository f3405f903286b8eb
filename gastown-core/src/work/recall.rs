//! Beads that were put away come back.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::beads::{self, Bead, BeadRef};
use super::events::EVENTS_MAX;
use super::txn::ScopedTxn;
use super::{archived, graph};
use crate::model::{BeadId, BeadRow, DependencyRow, Error, Event, Key, Result, Row, RowKind, Stored as _};

/// A bead and what left with it, as an archive holds them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Put {
    /// The archive, by its file's name.
    pub(crate) file: String,
    /// The bead first.
    pub(crate) rows: Vec<Row>,
    /// Edges of it that left with other beads.
    pub(crate) edges: Vec<DependencyRow>,
}

/// What is hashed of a recall for its idempotency key, and what it does.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Recall {
    pub(crate) id: BeadId,
    #[serde(skip)]
    pub(crate) put: Option<Put>,
}

/// A bead that is in an archive and not in the tables.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the fields are those of BeadRow, documented there")]
pub struct ArchivedBead {
    pub id: BeadId,
    pub kind: crate::model::BeadKind,
    pub title: String,
    pub status: crate::model::BeadStatus,
    pub resolution: Option<crate::model::Resolution>,
    pub closed_at: Option<crate::model::Timestamp>,
    /// The archive, by its file's name.
    pub file: String,
}

impl ArchivedBead {
    pub(crate) fn new(row: &BeadRow, file: &str) -> Self {
        Self {
            id: row.id.clone(),
            kind: row.kind,
            title: row.title.clone(),
            status: row.status,
            resolution: row.resolution,
            closed_at: row.closed_at,
            file: file.to_owned(),
        }
    }
}

/// Puts a bead back as it left, with those of its edges whose other end is there.
pub(crate) fn recall(txn: &mut ScopedTxn<'_>, input: &Recall) -> Result<Bead> {
    txn.view().whole_town()?;
    let id = &input.id;
    if txn.is_taken(&Key::bead(id))? {
        return Err(Error::conflict("bead_exists", format!("bead {id} is in the tables")).with("bead", id));
    }
    let Some(Put { file, rows, edges: of_others }) = &input.put else {
        return Err(
            Error::not_found("bead_not_archived", format!("no archive here holds the bead {id}")).with("bead", id)
        );
    };
    archived::forget(txn, id)?;
    let mut edges = Vec::new();
    for row in rows {
        match row {
            Row::Dependency(edge) => edges.push(edge.clone()),
            // Its place in the graph is found anew below.
            Row::Bead(bead) => txn.put(BeadRow { blockers: 0, parts: 0, open_parts: 0, ..bead.clone() })?,
            // It was advice for work that is over.
            row if row.kind() == RowKind::Reservation => {}
            row if txn.is_taken(&row.key())? => {}
            row => txn.put_row(row.clone())?,
        }
    }
    let before = last_recall(txn, id)?.map_or(0, |event| event.seq);
    for edge in of_others {
        if !edges.iter().any(|own| own.key() == edge.key()) && waits(txn, &other_end(edge, id), id, before)? {
            edges.push(edge.clone());
        }
    }
    let mut left = BTreeSet::new();
    for edge in edges {
        let other = other_end(&edge, id);
        if txn.is_taken(&Key::bead(&other))? {
            graph::import_edge(txn, edge)?;
        } else {
            left.insert(other);
        }
    }
    txn.event("bead.recalled", id, json!({ "file": file, "left": left }));
    beads::get(txn.view(), &BeadRef::from(id))
}

fn other_end(edge: &DependencyRow, id: &BeadId) -> BeadId {
    if edge.bead == *id { edge.on_bead.clone() } else { edge.bead.clone() }
}

/// Whether a bead came back without its edges to another, which was put away then and did not come back since `before`.
/// Otherwise the tables know better than the archive what became of them.
fn waits(txn: &ScopedTxn<'_>, bead: &BeadId, other: &BeadId, before: u64) -> Result<bool> {
    let Some(recall) = last_recall(txn, bead)?.filter(|event| event.seq > before) else { return Ok(false) };
    let left = recall.data["left"].as_array();
    Ok(left.is_some_and(|left| left.iter().any(|id| id.as_str() == Some(other.as_str()))))
}

/// The entry of the last time that a bead came back.
fn last_recall(txn: &ScopedTxn<'_>, bead: &BeadId) -> Result<Option<Event>> {
    let reader = txn.view().whole_town()?;
    let (mut after, mut last) = (0, None);
    loop {
        let events = reader.events_of(bead.as_str(), after, EVENTS_MAX)?;
        let Some(end) = events.last() else { return Ok(last) };
        after = end.seq;
        last = events.into_iter().rfind(|event| event.kind == "bead.recalled").or(last);
    }
}
