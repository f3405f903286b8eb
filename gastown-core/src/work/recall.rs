//! Beads that were put away come back.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::beads::{self, Bead, BeadRef};
use super::graph;
use super::txn::ScopedTxn;
use crate::model::{BeadId, BeadRow, DependencyRow, Error, Key, Result, Row, RowKind};

/// A bead and what left with it, as an archive holds them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Put {
    /// The archive, by its file's name.
    pub(crate) file: String,
    /// The bead first.
    pub(crate) rows: Vec<Row>,
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
    let Some(Put { file, rows }) = &input.put else {
        return Err(
            Error::not_found("bead_not_archived", format!("no archive here holds the bead {id}")).with("bead", id)
        );
    };
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
    let is_there = |txn: &ScopedTxn<'_>, edge: &DependencyRow| -> Result<bool> {
        Ok(txn.is_taken(&Key::bead(&edge.bead))? && txn.is_taken(&Key::bead(&edge.on_bead))?)
    };
    for edge in edges {
        // With an end that is still put away it comes when that does.
        if is_there(txn, &edge)? {
            graph::import_edge(txn, edge)?;
        }
    }
    txn.event("bead.recalled", id, json!({ "file": file }));
    beads::get(txn.view(), &BeadRef::from(id))
}
