//! What of an issue has no place in the columns of a bead, and what cannot be a bead at all.

use serde_json::{Map, Value as Json};

use super::rows::is_like;
use crate::interchange::{Field, Issue};
use crate::model::id::excerpt;
use crate::model::{BeadRow, CommentRow, DependencyRow, Resolution};
use crate::work::fields::{METADATA_BYTES_MAX, TEXT_BYTES_MAX, check_word};

/// The prefix of labels and keys that are the engine's own.
const RESERVED: &str = "gt:";
/// The longest residue of one record in bytes.
const RESIDUE_BYTES_MAX: usize = TEXT_BYTES_MAX;

/// A value that is no value of its column.
#[derive(Clone, Debug)]
pub(super) struct Unfit {
    /// Its key.
    pub(super) key: &'static str,
    /// What it is, and what a bead has instead.
    pub(super) message: String,
}

/// Why an issue cannot be rows.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub(super) code: String,
    pub(super) message: String,
    /// The key whose value it is; empty where it is the whole.
    pub(super) key: &'static str,
}

/// Whether a text may be a label of a user's.
pub(super) fn is_label(label: &str) -> bool {
    check_word("label", label).is_ok() && !label.starts_with(RESERVED)
}

/// Metadata without the keys that are the engine's own.
pub(super) fn without_reserved(mut metadata: Json) -> Json {
    if let Some(map) = metadata.as_object_mut() {
        map.retain(|key, _| !key.starts_with(RESERVED));
    }
    metadata
}

/// What of an issue has no place in its columns; `column` is the issue that these alone give.
pub(super) fn unfit(issue: &Issue, column: &Issue) -> Vec<Unfit> {
    let mut found = Vec::new();
    let mut say = |field: Field, message: String| found.push(Unfit { key: field.as_str(), message });
    let left: Vec<&String> = issue.labels.iter().filter(|label| !column.labels.contains(label)).collect();
    if let Some(first) = left.first() {
        let count = left.len();
        say(Field::Labels, format!("{count} labels cannot be labels here, such as {}; they are kept", excerpt(first)));
    }
    let said = issue.metadata.as_ref().filter(|said| said.as_object().is_none_or(|map| !map.is_empty()));
    if let Some(said) = said.filter(|_| issue.metadata != column.metadata) {
        say(Field::Metadata, unfit_metadata(said));
    }
    for field in [
        Field::Title,
        Field::IssueType,
        Field::Assignee,
        Field::Owner,
        Field::CreatedBy,
        Field::SpecId,
        Field::ExternalRef,
        Field::EstimatedMinutes,
        Field::Priority,
        Field::CloseReason,
        Field::ParkedReason,
    ] {
        let value = issue.value(field);
        if !is_like(issue, column, field) && !value.is_null() {
            let instead = column.value(field);
            let instead = if instead.is_null() { "none".to_owned() } else { excerpt(&instead.to_string()) };
            let value = excerpt(&value.to_string());
            say(field, format!("{value} cannot be {}; the bead has {instead}, and it is kept", field.as_str()));
        }
    }
    if !issue.resolution.is_empty() && issue.resolution.parse::<Resolution>().is_err() {
        say(Field::Resolution, format!("{} is no resolution; it is kept", excerpt(&issue.resolution)));
    }
    found
}

/// Why metadata is not metadata here.
fn unfit_metadata(said: &Json) -> String {
    let Some(map) = said.as_object() else {
        return format!("{} is no object; the bead has no metadata, and it is kept", excerpt(&said.to_string()));
    };
    if let Some(key) = map.keys().find(|key| key.starts_with(RESERVED)) {
        return format!("keys that begin with {RESERVED} are the engine's, such as {}; they are kept", excerpt(key));
    }
    let bytes = said.to_string().len();
    format!("{bytes} bytes are more than the {METADATA_BYTES_MAX} of metadata; the bead has none, and it is kept")
}

/// Why more than can be kept lies beside the columns; none where it can.
pub(super) fn too_large(bead: &BeadRow, edges: &[DependencyRow], comments: &[CommentRow]) -> Option<Refusal> {
    let refusal = |key, what: &str, bytes: usize, bytes_max: usize| Refusal {
        code: "record_too_large".to_owned(),
        message: format!("{what} of {} has {bytes} bytes, more than the {bytes_max} that can be kept", bead.id),
        key,
    };
    let size = |rest: Option<&Json>| rest.map_or(0, |rest| rest.to_string().len());
    let bytes = size(bead.extra.as_ref());
    if bytes > RESIDUE_BYTES_MAX {
        return Some(refusal(
            "",
            &format!("what has no column (most of it {})", largest(bead)),
            bytes,
            RESIDUE_BYTES_MAX,
        ));
    }
    let edge = edges.iter().map(|edge| (size(edge.extra.as_ref()), edge)).find(|(bytes, _)| *bytes > RESIDUE_BYTES_MAX);
    if let Some((bytes, edge)) = edge {
        let what = format!("the edge {} on {}", edge.kind, edge.on_bead);
        return Some(refusal(Field::Dependencies.as_str(), &what, bytes, RESIDUE_BYTES_MAX));
    }
    let comment = comments.iter().map(|one| (one.text.len().max(size(one.extra.as_ref())), one));
    let (bytes, one) = comment.into_iter().find(|(bytes, _)| *bytes > TEXT_BYTES_MAX)?;
    Some(refusal(Field::Comments.as_str(), &format!("the comment {}", excerpt(&one.id)), bytes, TEXT_BYTES_MAX))
}

/// The key of the largest value that has no column.
fn largest(bead: &BeadRow) -> String {
    let parts = bead.extra.as_ref().and_then(Json::as_object).and_then(|extra| extra.get("issue")?.as_object());
    let values = parts.into_iter().flat_map(Map::values).filter_map(Json::as_object).flatten();
    let largest = values.max_by_key(|(_, value)| value.to_string().len());
    largest.map_or_else(|| "its edges".to_owned(), |(key, _)| excerpt(key))
}
