//! Beads: create, read, change, close.

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::fields::{
    LABELS_MAX, check_external_ref, check_labels, check_metadata, check_priority, check_reason, check_size, check_text,
    check_title, check_word, too_many_labels,
};
use super::graph;
use super::reviews;
use super::txn::ScopedTxn;
use super::view::{View, text};
use crate::model::{
    AgentRow, BeadId, BeadKind, BeadRow, BeadStatus, BeadTextRow, DependencyKind, Error, Key, LabelRow, Resolution,
    Result, RigName, RigRow, Timestamp,
};
use crate::store::{Scan, index};

/// The prefix of ids of beads that belong to no rig.
pub(crate) const TOWN_PREFIX: &str = "hq";

/// A bead, whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the fields are those of BeadRow, BeadTextRow and LabelRow, documented there")]
pub struct Bead {
    pub id: BeadId,
    pub kind: BeadKind,
    pub status: BeadStatus,
    pub resolution: Option<Resolution>,
    pub title: String,
    pub description: String,
    pub design: String,
    pub acceptance: String,
    pub notes: String,
    pub priority: u32,
    pub issue_type: String,
    pub labels: Vec<String>,
    pub metadata: Json,
    pub rig: Option<RigName>,
    pub parent: Option<BeadId>,
    pub convoy: Option<BeadId>,
    pub assignee: Option<String>,
    pub created_by: String,
    pub external_ref: Option<String>,
    pub defer_until: Option<Timestamp>,
    pub due_at: Option<Timestamp>,
    pub estimate_minutes: Option<u32>,
    pub parked_reason: Option<String>,
    pub parked_until: Option<Timestamp>,
    pub slung: bool,
    pub blockers: i64,
    pub epoch: i64,
    pub failures: u32,
    pub version: i64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub closed_at: Option<Timestamp>,
}

/// What a new bead is made of; only the title is needed.
///
/// ```
/// use gastown_core::NewBead;
/// let bead = NewBead::titled("Tidy the harbour");
/// assert_eq!(bead.priority, 2);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewBead {
    /// One line, 1 to 500 bytes.
    pub title: String,
    /// The rig it belongs to; none for the town's own.
    pub rig: Option<RigName>,
    /// What and why.
    pub description: String,
    /// How.
    pub design: String,
    /// When it is done.
    pub acceptance: String,
    /// What was learned.
    pub notes: String,
    /// 0 critical to 4 backlog; 2 where it is left out.
    pub priority: u32,
    /// The user's own word; `task` where it is left out.
    pub issue_type: String,
    /// Labels; the prefix `gt:` is refused.
    pub labels: Vec<String>,
    /// An object; keys with the prefix `gt:` are refused.
    pub metadata: Json,
    /// The bead it is a part of; its id starts the new one's.
    pub parent: Option<BeadId>,
    /// Beads it waits for.
    pub depends_on: Vec<BeadId>,
    /// Its name elsewhere.
    pub external_ref: Option<String>,
    /// Not ready before.
    pub defer_until: Option<Timestamp>,
    /// Wanted by.
    pub due_at: Option<Timestamp>,
    /// Guess in minutes.
    pub estimate_minutes: Option<u32>,
}

impl Default for NewBead {
    fn default() -> Self {
        Self {
            title: String::new(),
            rig: None,
            description: String::new(),
            design: String::new(),
            acceptance: String::new(),
            notes: String::new(),
            priority: 2,
            issue_type: "task".to_owned(),
            labels: Vec::new(),
            metadata: json!({}),
            parent: None,
            depends_on: Vec::new(),
            external_ref: None,
            defer_until: None,
            due_at: None,
            estimate_minutes: None,
        }
    }
}

impl NewBead {
    /// A bead with this title.
    pub fn titled(title: impl Into<String>) -> Self {
        Self { title: title.into(), ..Self::default() }
    }

    /// The same in a rig.
    #[must_use]
    pub fn in_rig(mut self, rig: RigName) -> Self {
        self.rig = Some(rig);
        self
    }
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

pub(crate) fn create(txn: &mut ScopedTxn<'_>, input: &NewBead) -> Result<Bead> {
    let row = insert(txn, BeadKind::Issue, input, None)?;
    txn.event("bead.created", &row.id, json!({ "kind": row.kind, "title": row.title }));
    let [description, design, acceptance, notes] = texts(input).map(|(_, value)| value.to_owned());
    let texts = BeadTextRow { id: row.id.clone(), description, design, acceptance, notes };
    Ok(whole(row, Some(texts)))
}

/// Writes a new bead with its texts, labels and edges; the caller writes the event.
pub(crate) fn insert(
    txn: &mut ScopedTxn<'_>,
    kind: BeadKind,
    input: &NewBead,
    convoy: Option<&BeadId>,
) -> Result<BeadRow> {
    check_title(&input.title)?;
    check_priority(input.priority)?;
    check_word("issue_type", &input.issue_type)?;
    check_metadata(&input.metadata)?;
    check_external_ref(input.external_ref.as_deref())?;
    check_labels(&input.labels)?;
    for (name, value) in texts(input) {
        check_text(name, value)?;
    }
    let prefix = match &input.rig {
        Some(rig) => txn.find::<RigRow>(&Key::rig(rig))?.ok_or_else(|| super::rigs::missing(rig))?.prefix,
        None => TOWN_PREFIX.to_owned(),
    };
    let id = new_id(txn, &prefix, input.parent.as_ref())?;
    let now = txn.now();
    let mut labels = input.labels.clone();
    labels.sort_unstable();
    labels.dedup();
    let row = BeadRow {
        id: id.clone(),
        kind,
        status: BeadStatus::Open,
        resolution: None,
        title: input.title.clone(),
        priority: input.priority,
        issue_type: input.issue_type.clone(),
        metadata: input.metadata.clone(),
        rig: input.rig.clone(),
        parent: input.parent.clone(),
        convoy: convoy.cloned(),
        assignee: None,
        created_by: txn.actor().to_owned(),
        external_ref: input.external_ref.clone(),
        defer_until: input.defer_until,
        due_at: input.due_at,
        estimate_minutes: input.estimate_minutes,
        parked_reason: None,
        parked_until: None,
        slung: false,
        slung_to: None,
        blockers: 0,
        epoch: 0,
        failures: 0,
        outages: 0,
        reworks: 0,
        wake_at: None,
        lease_until: None,
        dirty: false,
        version: 1,
        created_at: now,
        updated_at: now,
        closed_at: None,
        source_status: None,
        extra: None,
        labels: labels.clone(),
        owner: None,
        spec_id: None,
        close_reason: None,
        started_at: None,
        pinned: false,
        ephemeral: false,
        template: false,
        rank: 0,
        parts: 0,
        open_parts: 0,
    };
    txn.put(row.clone())?;
    if texts(input).iter().any(|(_, value)| !value.is_empty()) {
        txn.put(BeadTextRow {
            id: id.clone(),
            description: input.description.clone(),
            design: input.design.clone(),
            acceptance: input.acceptance.clone(),
            notes: input.notes.clone(),
        })?;
    }
    for label in labels {
        txn.put(LabelRow { bead: id.clone(), label })?;
    }
    if let Some(parent) = &input.parent {
        graph::add_edge(txn, &id, parent, DependencyKind::ParentChild)?;
    }
    for on in &input.depends_on {
        graph::add_edge(txn, &id, on, DependencyKind::Blocks)?;
    }
    if input.parent.is_none() && input.depends_on.is_empty() {
        return Ok(row);
    }
    // The edges counted its blockers.
    txn.bead(&id)
}

/// An id that no bead has: random digits, more of them when short ones are taken.
pub(crate) fn new_id(txn: &mut ScopedTxn<'_>, prefix: &str, parent: Option<&BeadId>) -> Result<BeadId> {
    if let Some(parent) = parent {
        txn.bead(parent)?;
        let parts: Vec<BeadRow> = txn.all(Scan::new(&index::BEADS_BY_PARENT, vec![text(parent)], 0))?;
        for n in parts.len() + 1.. {
            let id = BeadId::new(format!("{parent}.{n}"))?;
            // A hidden sibling may have the id.
            if !txn.is_taken(&Key::bead(&id))? {
                return Ok(id);
            }
        }
    }
    for attempt in 0.. {
        let digits = 5 + attempt / 3;
        let id = BeadId::new(format!("{prefix}-{}", txn.ids().base36(digits)))?;
        // A bead of another rig may have the id where the scope does not see it.
        if !txn.is_taken(&Key::bead(&id))? {
            return Ok(id);
        }
    }
    unreachable!("the loops above end only by returning")
}

pub(crate) fn get(view: View<'_>, input: &BeadRef) -> Result<Bead> {
    let row = view.bead(&input.id)?;
    assemble(view, row)
}

pub(crate) fn assemble(view: View<'_>, row: BeadRow) -> Result<Bead> {
    let texts = view.find::<BeadTextRow>(&Key::bead_text(&row.id))?;
    Ok(whole(row, texts))
}

fn whole(row: BeadRow, texts: Option<BeadTextRow>) -> Bead {
    let (description, design, acceptance, notes) =
        texts.map(|t| (t.description, t.design, t.acceptance, t.notes)).unwrap_or_default();
    Bead {
        labels: row.labels,
        description,
        design,
        acceptance,
        notes,
        id: row.id,
        kind: row.kind,
        status: row.status,
        resolution: row.resolution,
        title: row.title,
        priority: row.priority,
        issue_type: row.issue_type,
        metadata: row.metadata,
        rig: row.rig,
        parent: row.parent,
        convoy: row.convoy,
        assignee: row.assignee,
        created_by: row.created_by,
        external_ref: row.external_ref,
        defer_until: row.defer_until,
        due_at: row.due_at,
        estimate_minutes: row.estimate_minutes,
        parked_reason: row.parked_reason,
        parked_until: row.parked_until,
        slung: row.slung,
        blockers: row.blockers,
        epoch: row.epoch,
        failures: row.failures,
        version: row.version,
        created_at: row.created_at,
        updated_at: row.updated_at,
        closed_at: row.closed_at,
    }
}

/// What to change of a bead; what is left out stays.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BeadPatch {
    /// Which; needed.
    pub id: Option<BeadId>,
    /// Refuse with `version_mismatch` where the bead has another version.
    pub expected_version: Option<i64>,
    /// A new title.
    pub title: Option<String>,
    /// A new description.
    pub description: Option<String>,
    /// A new design.
    pub design: Option<String>,
    /// New acceptance criteria.
    pub acceptance: Option<String>,
    /// New notes.
    pub notes: Option<String>,
    /// A new priority.
    pub priority: Option<u32>,
    /// A new type.
    pub issue_type: Option<String>,
    /// Labels to add.
    pub add_labels: Vec<String>,
    /// Labels to take away.
    pub remove_labels: Vec<String>,
    /// Keys to set; a null takes the key away. Other keys stay.
    pub metadata: Option<Json>,
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
    if let Some(expected) = input.expected_version
        && expected != row.version
    {
        return Err(Error::conflict(
            "version_mismatch",
            format!("bead {id} has version {}, not {expected}", row.version),
        )
        .with("bead", id)
        .with("expected", expected)
        .with("found", row.version));
    }
    if let Some(title) = &input.title {
        check_title(title)?;
        row.title.clone_from(title);
    }
    if let Some(priority) = input.priority {
        check_priority(priority)?;
        row.priority = priority;
    }
    if let Some(issue_type) = &input.issue_type {
        check_word("issue_type", issue_type)?;
        row.issue_type.clone_from(issue_type);
    }
    if let Some(patch) = &input.metadata {
        check_metadata(patch)?;
        merge_metadata(&mut row.metadata, patch);
        check_size(&row.metadata)?;
    }
    let mut texts = txn.find::<BeadTextRow>(&Key::bead_text(id))?.unwrap_or_else(|| BeadTextRow {
        id: id.clone(),
        description: String::new(),
        design: String::new(),
        acceptance: String::new(),
        notes: String::new(),
    });
    let before = texts.clone();
    for (name, new, slot) in [
        ("description", &input.description, &mut texts.description),
        ("design", &input.design, &mut texts.design),
        ("acceptance", &input.acceptance, &mut texts.acceptance),
        ("notes", &input.notes, &mut texts.notes),
    ] {
        if let Some(new) = new {
            check_text(name, new)?;
            slot.clone_from(new);
        }
    }
    if texts != before {
        txn.put(texts)?;
    }
    check_labels(&input.add_labels)?;
    check_labels(&input.remove_labels)?;
    for label in &input.remove_labels {
        if let Ok(place) = row.labels.binary_search(label) {
            row.labels.remove(place);
            txn.delete(&Key::label(id, label))?;
        }
    }
    for label in &input.add_labels {
        if let Err(place) = row.labels.binary_search(label) {
            row.labels.insert(place, label.clone());
            txn.put(LabelRow { bead: id.clone(), label: label.clone() })?;
        }
    }
    if row.labels.len() > LABELS_MAX {
        return Err(too_many_labels());
    }
    txn.put_bead(row)?;
    txn.event("bead.updated", id, json!({}));
    get(txn.view(), &id.into())
}

/// Closes a bead for a reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CloseBead {
    /// Which.
    pub id: BeadId,
    /// Why; `completed` where it is left out. Not `merged` or `landed`: git proves those.
    #[serde(default)]
    pub resolution: Option<Resolution>,
    /// More about it, for people.
    #[serde(default)]
    pub reason: Option<String>,
}

impl From<BeadId> for CloseBead {
    fn from(id: BeadId) -> Self {
        Self { id, resolution: None, reason: None }
    }
}

impl From<&BeadId> for CloseBead {
    fn from(id: &BeadId) -> Self {
        id.clone().into()
    }
}

pub(crate) fn close(txn: &mut ScopedTxn<'_>, input: &CloseBead) -> Result<Bead> {
    check_reason(input.reason.as_deref())?;
    let resolution = input.resolution.unwrap_or(Resolution::Completed);
    if matches!(resolution, Resolution::Merged | Resolution::Landed | Resolution::AttemptsExhausted) {
        return Err(Error::invalid(
            "resolution_reserved",
            format!("only the town itself closes a bead as {resolution}"),
        )
        .with("resolution", resolution));
    }
    let row = txn.bead(&input.id)?;
    if row.kind != BeadKind::Issue {
        return Err(Error::invalid(
            "kind_not_closable",
            format!("bead {} is a {}; it has verbs of its own", row.id, row.kind),
        )
        .with("kind", row.kind));
    }
    refuse_in_session(txn, &row)?;
    if row.status == BeadStatus::InReview {
        reviews::abandon(txn, &row.id)?;
    }
    settle(txn, row, BeadStatus::Closed, resolution, json!({ "resolution": resolution, "reason": input.reason }))?;
    get(txn.view(), &(&input.id).into())
}

/// Closes or fails a bead and frees what waited for it.
pub(crate) fn settle(
    txn: &mut ScopedTxn<'_>,
    mut row: BeadRow,
    status: BeadStatus,
    resolution: Resolution,
    data: Json,
) -> Result<()> {
    row.move_to(status, Some(resolution), txn.now())?;
    row.assignee = None;
    row.lease_until = None;
    row.slung = false;
    row.wake_at = None;
    graph::recount(txn, &mut row)?;
    txn.put_bead(row.clone())?;
    let freed = graph::recount_dependents(txn, &row)?;
    let mut data = data;
    if let Some(map) = data.as_object_mut() {
        map.insert("unblocked".to_owned(), json!(freed));
    }
    txn.event(if status == BeadStatus::Closed { "bead.closed" } else { "bead.failed" }, &row.id, data);
    if let Some(convoy) = &row.convoy {
        txn.mark_dirty(convoy)?;
    }
    Ok(())
}

/// Opens a closed or failed bead again; what is merged or landed stays closed.
pub(crate) fn reopen(txn: &mut ScopedTxn<'_>, input: &BeadRef) -> Result<Bead> {
    let mut row = txn.bead(&input.id)?;
    if !row.status.is_terminal() {
        return Err(Error::conflict(
            "bead_not_terminal",
            format!("bead {} is {}, not closed or failed", row.id, row.status),
        )
        .with("status", row.status));
    }
    row.move_to(BeadStatus::Open, None, txn.now())?;
    row.failures = 0;
    row.outages = 0;
    row.reworks = 0;
    row.parked_reason = None;
    row.parked_until = None;
    graph::recount(txn, &mut row)?;
    txn.put_bead(row.clone())?;
    graph::recount_dependents(txn, &row)?;
    txn.event("bead.reopened", &row.id, json!({}));
    if let Some(convoy) = &row.convoy {
        txn.mark_dirty(convoy)?;
    }
    get(txn.view(), input)
}

/// A bead with a running session is the session's: it is stopped first.
pub(crate) fn refuse_in_session(txn: &ScopedTxn<'_>, row: &BeadRow) -> Result<()> {
    let Some(assignee) = &row.assignee else { return Ok(()) };
    let Ok(id) = BeadId::new(assignee.clone()) else { return Ok(()) };
    match txn.find::<AgentRow>(&Key::agent(&id))? {
        Some(agent) if agent.hook.as_ref() == Some(&row.id) => Err(Error::conflict(
            "bead_in_session",
            format!("bead {} is on the hook of {} (epoch {}); stop it first", row.id, agent.name, row.epoch),
        )
        .with("bead", &row.id)
        .with("agent", &agent.name)
        .with("epoch", row.epoch)),
        _ => Ok(()),
    }
}

fn texts(input: &NewBead) -> [(&'static str, &str); 4] {
    [
        ("description", &input.description),
        ("design", &input.design),
        ("acceptance", &input.acceptance),
        ("notes", &input.notes),
    ]
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
