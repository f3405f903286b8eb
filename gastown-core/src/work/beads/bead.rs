//! The bead as callers read it.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::model::{
    BeadId, BeadKind, BeadRow, BeadStatus, BeadTextRow, Key, Resolution, Result, RigName, Timestamp, TombstoneRow,
};
use crate::work::view::View;

macro_rules! bead {
    ($($field:ident: $type:ty,)*) => {
        /// A bead, whole.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[non_exhaustive]
        #[allow(missing_docs, reason = "the fields are those of BeadRow and BeadTextRow, documented there")]
        pub struct Bead {
            $(pub $field: $type,)*
            pub description: String,
            pub design: String,
            pub acceptance: String,
            pub notes: String,
        }

        /// A bead without its four texts, as lists answer it.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[non_exhaustive]
        #[allow(missing_docs, reason = "the fields are those of BeadRow, documented there")]
        pub struct BeadSummary { $(pub $field: $type,)* }

        impl From<BeadRow> for BeadSummary {
            fn from(row: BeadRow) -> Self {
                Self { $($field: row.$field,)* }
            }
        }

        pub(crate) fn whole(row: BeadRow, texts: Option<BeadTextRow>) -> Bead {
            let (description, design, acceptance, notes) =
                texts.map(|t| (t.description, t.design, t.acceptance, t.notes)).unwrap_or_default();
            Bead { $($field: row.$field,)* description, design, acceptance, notes }
        }
    };
}

bead! {
    id: BeadId,
    kind: BeadKind,
    status: BeadStatus,
    resolution: Option<Resolution>,
    close_reason: Option<String>,
    title: String,
    priority: u32,
    issue_type: String,
    labels: Vec<String>,
    metadata: Json,
    rig: Option<RigName>,
    parent: Option<BeadId>,
    parts: i64,
    open_parts: i64,
    convoy: Option<BeadId>,
    assignee: Option<String>,
    owner: Option<String>,
    created_by: String,
    external_ref: Option<String>,
    spec_id: Option<String>,
    defer_until: Option<Timestamp>,
    due_at: Option<Timestamp>,
    estimate_minutes: Option<u32>,
    parked_reason: Option<String>,
    parked_until: Option<Timestamp>,
    pinned: bool,
    ephemeral: bool,
    template: bool,
    slung: bool,
    blockers: i64,
    comments: i64,
    epoch: i64,
    lease_until: Option<Timestamp>,
    failures: u32,
    version: i64,
    created_at: Timestamp,
    updated_at: Timestamp,
    started_at: Option<Timestamp>,
    closed_at: Option<Timestamp>,
}

/// Names one bead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BeadRef {
    /// Which.
    pub id: BeadId,
}

impl From<BeadId> for BeadRef {
    fn from(id: BeadId) -> Self {
        Self { id }
    }
}

impl From<&BeadId> for BeadRef {
    fn from(id: &BeadId) -> Self {
        Self { id: id.clone() }
    }
}

/// Reads one bead; where it was deleted or renamed, the error says so.
pub(crate) fn get(view: View<'_>, input: &BeadRef) -> Result<Bead> {
    match view.bead(&input.id) {
        Ok(row) => assemble(view, row),
        Err(error) if error.code() == "bead_missing" => {
            let Some(left) = view.find::<TombstoneRow>(&Key::tombstone(&input.id))? else { return Err(error) };
            let error = error.with("deleted_at", left.deleted_at).with("deleted_by", &left.deleted_by);
            Err(match super::rename::moved_to(&left) {
                Some(to) => error.with("moved_to", to),
                None => error,
            })
        }
        Err(error) => Err(error),
    }
}

pub(crate) fn assemble(view: View<'_>, row: BeadRow) -> Result<Bead> {
    let texts = view.find::<BeadTextRow>(&Key::bead_text(&row.id))?;
    Ok(whole(row, texts))
}
