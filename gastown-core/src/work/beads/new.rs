//! New beads.

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::bead::{Bead, whole};
use super::ids;
use crate::model::{
    BeadId, BeadKind, BeadRow, BeadStatus, BeadTextRow, DependencyKind, Key, LabelRow, Result, RigName, RigRow,
    Timestamp,
};
use crate::work::fields::{
    check_external_ref, check_labels, check_metadata, check_priority, check_spec_id, check_text, check_time,
    check_title, check_word,
};
use crate::work::graph;
use crate::work::rigs;
use crate::work::txn::ScopedTxn;

/// The prefix of ids of beads that belong to no rig.
pub(crate) const TOWN_PREFIX: &str = "hq";

/// What a new bead is made of; only the title is needed.
///
/// ```
/// use gastown_core::NewBead;
/// let bead = NewBead::titled("Tidy the harbour");
/// assert_eq!(bead.priority, 2);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(clippy::struct_excessive_bools, reason = "a bead has that many marks")]
pub struct NewBead {
    /// One line, 1 to 500 bytes.
    pub title: String,
    /// Its id, which begins with the prefix of its rig; a free one where it is left out.
    pub id: Option<BeadId>,
    /// Whether a deleted bead may have had that id.
    pub replaces_deleted: bool,
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
    /// For whom it is meant; only they can claim it.
    pub assignee: Option<String>,
    /// The person who answers for it.
    pub owner: Option<String>,
    /// Its name elsewhere.
    pub external_ref: Option<String>,
    /// The document that specifies it.
    pub spec_id: Option<String>,
    /// Not ready before.
    pub defer_until: Option<Timestamp>,
    /// Wanted by.
    pub due_at: Option<Timestamp>,
    /// Guess in minutes.
    pub estimate_minutes: Option<u32>,
    /// Kept in sight as context, and never ready.
    pub pinned: bool,
    /// Of use for a short time only: not ready unless it is asked for.
    pub ephemeral: bool,
    /// A pattern for others, and never ready.
    pub template: bool,
}

impl Default for NewBead {
    fn default() -> Self {
        Self {
            title: String::new(),
            id: None,
            replaces_deleted: false,
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
            assignee: None,
            owner: None,
            external_ref: None,
            spec_id: None,
            defer_until: None,
            due_at: None,
            estimate_minutes: None,
            pinned: false,
            ephemeral: false,
            template: false,
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

    fn texts(&self) -> [(&'static str, &str); 4] {
        [
            ("description", &self.description),
            ("design", &self.design),
            ("acceptance", &self.acceptance),
            ("notes", &self.notes),
        ]
    }

    pub(super) fn check(&self) -> Result<()> {
        check_title(&self.title)?;
        check_priority(self.priority)?;
        check_word("issue_type", &self.issue_type)?;
        check_metadata(&self.metadata)?;
        check_external_ref(self.external_ref.as_deref())?;
        check_spec_id(self.spec_id.as_deref())?;
        check_labels(&self.labels)?;
        check_time("defer_until", self.defer_until)?;
        check_time("due_at", self.due_at)?;
        for (name, word) in [("assignee", &self.assignee), ("owner", &self.owner)] {
            word.as_deref().map_or(Ok(()), |word| check_word(name, word))?;
        }
        for (name, value) in self.texts() {
            check_text(name, value)?;
        }
        Ok(())
    }
}

pub(crate) fn create(txn: &mut ScopedTxn<'_>, input: &NewBead) -> Result<Bead> {
    let row = insert(txn, BeadKind::Issue, input, None)?;
    txn.event("bead.created", &row.id, json!({ "kind": row.kind, "title": row.title }));
    let [description, design, acceptance, notes] = input.texts().map(|(_, value)| value.to_owned());
    let texts = BeadTextRow { id: row.id.clone(), description, design, acceptance, notes };
    Ok(whole(row, Some(texts)))
}

/// The prefix of ids of a rig's beads.
pub(super) fn prefix(txn: &ScopedTxn<'_>, rig: Option<&RigName>) -> Result<String> {
    match rig {
        Some(rig) => Ok(txn.find::<RigRow>(&Key::rig(rig))?.ok_or_else(|| rigs::missing(rig))?.prefix),
        None => Ok(TOWN_PREFIX.to_owned()),
    }
}

/// Writes a new bead with its texts, labels and edges; the caller writes the event.
pub(crate) fn insert(
    txn: &mut ScopedTxn<'_>,
    kind: BeadKind,
    input: &NewBead,
    convoy: Option<&BeadId>,
) -> Result<BeadRow> {
    input.check()?;
    let prefix = prefix(txn, input.rig.as_ref())?;
    let id = ids::of(txn, &prefix, input)?;
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
        assignee: input.assignee.clone(),
        created_by: txn.actor().to_owned(),
        external_ref: input.external_ref.clone(),
        defer_until: input.defer_until,
        due_at: input.due_at,
        estimate_minutes: input.estimate_minutes,
        parked_reason: None,
        parked_until: None,
        slung: false,
        slung_to: None,
        slung_role: None,
        slung_at: None,
        lane: None,
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
        owner: input.owner.clone(),
        spec_id: input.spec_id.clone(),
        close_reason: None,
        started_at: None,
        pinned: input.pinned,
        ephemeral: input.ephemeral,
        template: input.template,
        rank: now.as_micros(),
        parts: 0,
        open_parts: 0,
        last_part: 0,
        comments: 0,
        agent_failures: 0,
        auth_failures: 0,
        failure: None,
    };
    txn.put(row.clone())?;
    graph::added(txn, &id)?;
    if input.texts().iter().any(|(_, value)| !value.is_empty()) {
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
