//! Changes of a bead's fields.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value as Json, json};

use super::bead::{Bead, assemble};
use super::check_version;
use crate::model::{BeadId, BeadKind, BeadRow, BeadStatus, BeadTextRow, Error, Key, LabelRow, Result, Timestamp};
use crate::work::fields::{
    LABELS_MAX, check_external_ref, check_labels, check_metadata, check_priority, check_reason, check_size,
    check_spec_id, check_text, check_time, check_title, check_word, too_many_labels,
};
use crate::work::graph;
use crate::work::hook;
use crate::work::txn::ScopedTxn;

/// What a patch does to one field: in JSON left out, null, or a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Patch<T> {
    /// Leaves it as it is.
    #[default]
    Keep,
    /// Takes the value away.
    Clear,
    /// Gives it this value.
    Set(T),
}

impl<T> Patch<T> {
    /// Whether the field stays as it is.
    pub const fn is_keep(&self) -> bool {
        matches!(self, Self::Keep)
    }

    /// The new value, where there is one.
    pub const fn as_set(&self) -> Option<&T> {
        match self {
            Self::Set(value) => Some(value),
            Self::Keep | Self::Clear => None,
        }
    }
}

impl<T: Clone> Patch<T> {
    /// Changes a field that may be empty.
    fn apply(&self, field: &mut Option<T>) {
        match self {
            Self::Keep => {}
            Self::Clear => *field = None,
            Self::Set(value) => *field = Some(value.clone()),
        }
    }

    /// Changes a field that always has a value; what is cleared is as in a new bead.
    fn apply_or(&self, field: &mut T, cleared: T) {
        match self {
            Self::Keep => {}
            Self::Clear => *field = cleared,
            Self::Set(value) => field.clone_from(value),
        }
    }

    /// The new value of a field that cannot be empty.
    fn needed(&self, name: &'static str) -> Result<Option<&T>> {
        match self {
            Self::Keep => Ok(None),
            Self::Set(value) => Ok(Some(value)),
            Self::Clear => {
                Err(Error::invalid("field_not_clearable", format!("a bead always has {name}")).with("field", name))
            }
        }
    }
}

impl<T> From<T> for Patch<T> {
    fn from(value: T) -> Self {
        Self::Set(value)
    }
}

impl<T: Serialize> Serialize for Patch<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        self.as_set().serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Patch<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        Ok(Option::deserialize(deserializer)?.map_or(Self::Clear, Self::Set))
    }
}

/// What to change of a bead; what is left out stays, null clears.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BeadPatch {
    /// Which; needed.
    pub id: Option<BeadId>,
    /// Refuse with `version_mismatch` where the bead has another version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_version: Option<i64>,
    /// A new title; it cannot be cleared.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub title: Patch<String>,
    /// A new description.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub description: Patch<String>,
    /// A new design.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub design: Patch<String>,
    /// New acceptance criteria.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub acceptance: Patch<String>,
    /// New notes.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub notes: Patch<String>,
    /// A paragraph to put behind the notes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub append_notes: Option<String>,
    /// A new priority; it cannot be cleared.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub priority: Patch<u32>,
    /// A new type; it cannot be cleared.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub issue_type: Patch<String>,
    /// For whom it is meant; refused while somebody holds it.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub assignee: Patch<String>,
    /// The person who answers for it.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub owner: Patch<String>,
    /// Its name elsewhere.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub external_ref: Patch<String>,
    /// The document that specifies it.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub spec_id: Patch<String>,
    /// The bead it is a part of; its id stays.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub parent: Patch<BeadId>,
    /// Not ready before.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub defer_until: Patch<Timestamp>,
    /// Wanted by.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub due_at: Patch<Timestamp>,
    /// Guess in minutes.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub estimate_minutes: Patch<u32>,
    /// Why it is set aside; null takes it up again.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub parked_reason: Patch<String>,
    /// Set aside until then; only with a reason.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub parked_until: Patch<Timestamp>,
    /// Whether it is kept in sight as context, and never ready.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub pinned: Patch<bool>,
    /// Whether it is of use for a short time only.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub ephemeral: Patch<bool>,
    /// Whether it is a pattern for others, and never ready.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub template: Patch<bool>,
    /// All of its labels anew; those of the prefix `gt:` stay.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub labels: Patch<Vec<String>>,
    /// Labels to add.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub add_labels: Vec<String>,
    /// Labels to take away.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remove_labels: Vec<String>,
    /// Keys to set; a null takes the key away. Other keys stay. Null for the whole takes away all keys but those of the
    /// prefix `gt:`.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub metadata: Patch<Json>,
}

impl BeadPatch {
    /// A patch of this bead that changes nothing yet.
    pub fn of(id: BeadId) -> Self {
        Self { id: Some(id), ..Self::default() }
    }
}

pub(crate) fn update(txn: &mut ScopedTxn<'_>, input: &BeadPatch) -> Result<Bead> {
    let id = input
        .id
        .as_ref()
        .ok_or_else(|| Error::invalid("field_missing", "a patch names its bead").with("field", "id"))?;
    let mut row = txn.bead(id)?;
    check_version(&row, input.expected_version)?;
    // The edges count in rows, so the columns are changed behind them.
    set_parent(txn, &mut row, &input.parent)?;
    set_words(&mut row, input)?;
    set_assignee(txn, &mut row, &input.assignee)?;
    set_parked(&mut row, input)?;
    check_time("defer_until", input.defer_until.as_set().copied())?;
    check_time("due_at", input.due_at.as_set().copied())?;
    input.defer_until.apply(&mut row.defer_until);
    input.due_at.apply(&mut row.due_at);
    input.estimate_minutes.apply(&mut row.estimate_minutes);
    input.pinned.apply_or(&mut row.pinned, false);
    input.ephemeral.apply_or(&mut row.ephemeral, false);
    input.template.apply_or(&mut row.template, false);
    set_metadata(&mut row, &input.metadata)?;
    set_texts(txn, id, input)?;
    set_labels(txn, &mut row, input)?;
    txn.put_bead(row)?;
    txn.event("bead.updated", id, json!({ "fields": changed_fields(input) }));
    assemble(txn.view(), txn.bead(id)?)
}

/// The names of the fields that the patch changes.
fn changed_fields(input: &BeadPatch) -> Vec<String> {
    let json = serde_json::to_value(input).unwrap_or_default();
    let known = json.as_object().map(|map| map.keys().cloned().collect()).unwrap_or_default();
    let known: Vec<String> = known;
    known.into_iter().filter(|name| !matches!(name.as_str(), "id" | "expected_version")).collect()
}

fn set_words(row: &mut BeadRow, input: &BeadPatch) -> Result<()> {
    if let Some(title) = input.title.needed("title")? {
        check_title(title)?;
        row.title.clone_from(title);
    }
    if let Some(&priority) = input.priority.needed("priority")? {
        check_priority(priority)?;
        row.priority = priority;
    }
    if let Some(issue_type) = input.issue_type.needed("issue_type")? {
        check_word("issue_type", issue_type)?;
        row.issue_type.clone_from(issue_type);
    }
    if let Some(owner) = input.owner.as_set() {
        check_word("owner", owner)?;
    }
    check_external_ref(input.external_ref.as_set().map(String::as_str))?;
    check_spec_id(input.spec_id.as_set().map(String::as_str))?;
    input.owner.apply(&mut row.owner);
    input.external_ref.apply(&mut row.external_ref);
    input.spec_id.apply(&mut row.spec_id);
    Ok(())
}

fn set_assignee(txn: &ScopedTxn<'_>, row: &mut BeadRow, patch: &Patch<String>) -> Result<()> {
    if patch.is_keep() || patch.as_set() == row.assignee.as_ref() {
        return Ok(());
    }
    if let Some(who) = patch.as_set() {
        check_word("assignee", who)?;
    }
    if matches!(row.status, BeadStatus::InProgress | BeadStatus::InReview) {
        return Err(Error::conflict(
            "bead_held",
            format!("bead {} is {} and stays with whom it is", row.id, row.status),
        )
        .with("bead", &row.id)
        .with("assignee", row.assignee.as_deref().unwrap_or(""))
        .with("epoch", row.epoch));
    }
    hook::refuse_hooked(txn, row)?;
    patch.apply(&mut row.assignee);
    Ok(())
}

fn set_parked(row: &mut BeadRow, input: &BeadPatch) -> Result<()> {
    check_reason(input.parked_reason.as_set().map(String::as_str))?;
    input.parked_reason.apply(&mut row.parked_reason);
    check_time("parked_until", input.parked_until.as_set().copied())?;
    input.parked_until.apply(&mut row.parked_until);
    if row.parked_reason.is_some() {
        return Ok(());
    }
    if input.parked_until.as_set().is_some() {
        return Err(
            Error::invalid("parked_without_reason", "what is set aside has a reason").with("field", "parked_reason")
        );
    }
    row.parked_until = None;
    Ok(())
}

fn set_metadata(row: &mut BeadRow, patch: &Patch<Json>) -> Result<()> {
    match patch {
        Patch::Keep => return Ok(()),
        Patch::Clear => {
            if let Some(map) = row.metadata.as_object_mut() {
                map.retain(|key, _| key.starts_with("gt:"));
            }
        }
        Patch::Set(patch) => {
            check_metadata(patch)?;
            merge_metadata(&mut row.metadata, patch);
        }
    }
    check_size(&row.metadata)
}

/// Sets the patch's keys; a null takes a key away.
pub(crate) fn merge_metadata(metadata: &mut Json, patch: &Json) {
    if !metadata.is_object() {
        *metadata = json!({});
    }
    if let (Some(map), Some(patch)) = (metadata.as_object_mut(), patch.as_object()) {
        for (key, value) in patch {
            if value.is_null() {
                map.remove(key);
            } else {
                map.insert(key.clone(), value.clone());
            }
        }
    }
}

fn set_texts(txn: &mut ScopedTxn<'_>, id: &BeadId, input: &BeadPatch) -> Result<()> {
    let untouched = input.description.is_keep()
        && input.design.is_keep()
        && input.acceptance.is_keep()
        && input.notes.is_keep()
        && input.append_notes.is_none();
    if untouched {
        return Ok(());
    }
    let mut texts = txn.find::<BeadTextRow>(&Key::bead_text(id))?.unwrap_or_else(|| BeadTextRow {
        id: id.clone(),
        description: String::new(),
        design: String::new(),
        acceptance: String::new(),
        notes: String::new(),
    });
    let before = texts.clone();
    input.description.apply_or(&mut texts.description, String::new());
    input.design.apply_or(&mut texts.design, String::new());
    input.acceptance.apply_or(&mut texts.acceptance, String::new());
    input.notes.apply_or(&mut texts.notes, String::new());
    if let Some(more) = &input.append_notes {
        if !texts.notes.is_empty() && !texts.notes.ends_with('\n') {
            texts.notes.push('\n');
        }
        texts.notes.push_str(more);
    }
    let all = [
        ("description", &texts.description),
        ("design", &texts.design),
        ("acceptance", &texts.acceptance),
        ("notes", &texts.notes),
    ];
    for (name, value) in all {
        check_text(name, value)?;
    }
    if texts == before { Ok(()) } else { txn.put(texts) }
}

fn set_labels(txn: &mut ScopedTxn<'_>, row: &mut BeadRow, input: &BeadPatch) -> Result<()> {
    let mut wanted = row.labels.clone();
    match &input.labels {
        Patch::Keep => {}
        Patch::Clear => wanted.retain(|label| label.starts_with("gt:")),
        Patch::Set(labels) => {
            check_labels(labels)?;
            wanted.retain(|label| label.starts_with("gt:"));
            wanted.extend(labels.iter().cloned());
        }
    }
    check_labels(&input.add_labels)?;
    check_labels(&input.remove_labels)?;
    wanted.retain(|label| !input.remove_labels.contains(label));
    wanted.extend(input.add_labels.iter().cloned());
    wanted.sort_unstable();
    wanted.dedup();
    if wanted.len() > LABELS_MAX {
        return Err(too_many_labels());
    }
    for gone in row.labels.iter().filter(|label| wanted.binary_search(label).is_err()) {
        txn.delete(&Key::label(&row.id, gone))?;
    }
    for new in wanted.iter().filter(|label| row.labels.binary_search(label).is_err()) {
        txn.put(LabelRow { bead: row.id.clone(), label: new.clone() })?;
    }
    row.labels = wanted;
    Ok(())
}

/// Makes a bead a part of another, or of none.
fn set_parent(txn: &mut ScopedTxn<'_>, row: &mut BeadRow, patch: &Patch<BeadId>) -> Result<()> {
    if patch.is_keep() || patch.as_set() == row.parent.as_ref() {
        return Ok(());
    }
    if row.kind != BeadKind::Issue {
        return Err(Error::invalid(
            "not_an_issue",
            format!("bead {} is a {} and no part of another", row.id, row.kind),
        )
        .with("bead", &row.id)
        .with("kind", row.kind));
    }
    graph::reparent(txn, row, patch.as_set()).map(drop)
}
