//! How many beads there are of what.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::model::text_enum::text_enum;
use crate::model::value::Value;
use crate::model::{BeadId, BeadKind, BeadRow, BeadStatus, Error, Result, RigName, Timestamp};
use crate::store::{Scan, index};
use crate::work::query;
use crate::work::ready::is_ready;
use crate::work::view::{View, text};

/// The most groups of one answer.
const GROUPS_MAX: usize = 10_000;
/// The most fields to group by.
const FIELDS_MAX: usize = 4;

text_enum! {
    /// What beads are counted by.
    pub enum CountedField = "field to count by" {
        /// Where they stand.
        Status = "status",
        /// The user's own word.
        Type = "type",
        /// How urgent they are.
        Priority = "priority",
        /// Who holds them.
        Assignee = "assignee",
        /// Each of their labels: a bead with two counts twice.
        Label = "label",
        /// Where they belong.
        Rig = "rig",
        /// What they are to the library.
        Kind = "kind",
        /// Why they are closed or failed.
        Resolution = "resolution",
        /// Who answers for them.
        Owner = "owner",
        /// Who made them.
        Creator = "creator",
        /// What they are a part of.
        Parent = "parent",
        /// What brings them home.
        Convoy = "convoy",
        /// What specifies them.
        Spec = "spec",
        /// Their names elsewhere.
        ExternalRef = "external_ref",
        /// Their estimates in minutes.
        Estimate = "estimate",
        /// How many edges keep them.
        Blockers = "blockers",
        /// Whether they are kept in sight.
        Pinned = "pinned",
        /// Whether they are of use for a short time.
        Ephemeral = "ephemeral",
        /// Whether they are patterns.
        Template = "template",
        /// The day on which they were made, UTC, as are the others.
        Created = "created",
        /// The day of their last change.
        Updated = "updated",
        /// The day on which work began.
        Started = "started",
        /// The day on which they were closed or failed.
        Closed = "closed",
        /// The day by which they are wanted.
        Due = "due",
        /// The day from which on they may be ready.
        Defer = "defer",
    }
}

impl CountedField {
    /// The column of that field, where its values are counted as they are stored.
    const fn column(&self) -> Option<&'static str> {
        Some(match self {
            Self::Status => "status",
            Self::Type => "issue_type",
            Self::Priority => "priority",
            Self::Assignee => "assignee",
            Self::Rig => "rig",
            Self::Kind => "kind",
            Self::Resolution => "resolution",
            _ => return None,
        })
    }
}

/// Which beads to count, and by what.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CountBeads {
    /// The fields whose values make groups, at most 4; none for one group of all.
    pub by: Vec<CountedField>,
    /// Keys of metadata whose values make groups as well, behind those of `by`.
    pub metadata: Vec<String>,
    /// Only those of which this query of the query language holds; all issues where it is left out.
    pub query: Option<String>,
}

/// One group of beads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountGroup {
    /// The value of each field, in the order they were asked for; none where beads have none.
    pub values: Vec<Option<String>>,
    /// How many beads have these.
    pub count: u64,
}

/// Beads, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BeadCounts {
    /// How many there are in all.
    pub total: u64,
    /// The groups, largest first.
    pub groups: Vec<CountGroup>,
}

/// Counts beads by the values of fields.
///
/// It looks at every bead of the query. Of all issues only the fields are read, and by status they are counted without
/// looking at any.
pub(crate) fn count(view: View<'_>, input: &CountBeads) -> Result<BeadCounts> {
    if input.by.len() + input.metadata.len() > FIELDS_MAX {
        return Err(Error::invalid("too_many_fields", format!("beads are counted by at most {FIELDS_MAX} fields"))
            .with("fields_max", FIELDS_MAX));
    }
    let is_plain = input.query.is_none() && input.metadata.is_empty() && input.by == [CountedField::Status];
    if is_plain && view.scope().rig().is_none() {
        return by_status(view);
    }
    let columns: Option<Vec<&'static str>> = input.by.iter().map(CountedField::column).collect();
    if let Some(columns) = columns
        && input.query.is_none()
        && input.metadata.is_empty()
        && view.scope().rig().is_none()
    {
        return by_columns(view, &columns);
    }
    let query = match &input.query {
        Some(text) => Some(query::parse(text, view.now())?),
        None => None,
    };
    let mut groups: BTreeMap<Vec<Option<String>>, u64> = BTreeMap::new();
    let mut total = 0;
    let mut add = |row: BeadRow| {
        total += 1;
        for values in values(&row, input) {
            *groups.entry(values).or_default() += 1;
        }
        if groups.len() > GROUPS_MAX {
            return Err(too_many());
        }
        Ok(true)
    };
    match &query {
        Some(query) => query::each_row(view, query, add)?,
        None => view.walk(issues(), &mut add)?,
    }
    Ok(BeadCounts { total, groups: sorted(groups) })
}

fn issues() -> Scan {
    Scan::new(&index::BEADS_BY_KIND, vec![text(BeadKind::Issue.as_str())], 0)
}

fn too_many() -> Error {
    Error::exhausted("too_many_groups", format!("there are more than {GROUPS_MAX} groups"))
        .with("groups_max", GROUPS_MAX)
}

/// All issues by fields that are columns.
fn by_columns(view: View<'_>, columns: &[&'static str]) -> Result<BeadCounts> {
    let reader = view.whole_town()?;
    if columns.is_empty() {
        let total = reader.count(&issues())?;
        let groups = if total > 0 { vec![CountGroup { values: vec![], count: total }] } else { vec![] };
        return Ok(BeadCounts { total, groups });
    }
    let found = reader.tally(&Scan { limit: GROUPS_MAX + 1, ..issues() }, columns)?;
    if found.len() > GROUPS_MAX {
        return Err(too_many());
    }
    let word = |value: Value| match value {
        Value::Null => None,
        Value::Int(n) => Some(n.to_string()),
        Value::Text(text) => Some(text),
    };
    let groups: BTreeMap<_, _> =
        found.into_iter().map(|(values, count)| (values.into_iter().map(word).collect(), count)).collect();
    Ok(BeadCounts { total: groups.values().sum(), groups: sorted(groups) })
}

fn by_status(view: View<'_>) -> Result<BeadCounts> {
    let reader = view.whole_town()?;
    let mut groups = BTreeMap::new();
    for status in BeadStatus::ALL {
        let prefix = vec![text(BeadKind::Issue.as_str()), text(status.as_str())];
        let count = reader.count(&Scan::new(&index::BEADS_BY_STATUS, prefix, 0))?;
        if count > 0 {
            groups.insert(vec![Some(status.to_string())], count);
        }
    }
    Ok(BeadCounts { total: groups.values().sum(), groups: sorted(groups) })
}

fn sorted(groups: BTreeMap<Vec<Option<String>>, u64>) -> Vec<CountGroup> {
    let mut groups: Vec<CountGroup> = groups.into_iter().map(|(values, count)| CountGroup { values, count }).collect();
    // Equal ones stay in the order of their values.
    groups.sort_by_key(|group| std::cmp::Reverse(group.count));
    groups
}

/// The groups that a bead is in.
fn values(row: &BeadRow, input: &CountBeads) -> Vec<Vec<Option<String>>> {
    let mut all = vec![Vec::with_capacity(input.by.len() + input.metadata.len())];
    let day = |at: Option<Timestamp>| at.map(|at| at.to_string().split('T').next().unwrap_or_default().to_owned());
    for field in &input.by {
        let value = match field {
            CountedField::Status => Some(row.status.to_string()),
            CountedField::Type => Some(row.issue_type.clone()),
            CountedField::Priority => Some(row.priority.to_string()),
            CountedField::Assignee => row.assignee.clone(),
            CountedField::Rig => row.rig.as_ref().map(RigName::to_string),
            CountedField::Kind => Some(row.kind.to_string()),
            CountedField::Resolution => row.resolution.map(|resolution| resolution.to_string()),
            CountedField::Owner => row.owner.clone(),
            CountedField::Creator => Some(row.created_by.clone()),
            CountedField::Parent => row.parent.as_ref().map(BeadId::to_string),
            CountedField::Convoy => row.convoy.as_ref().map(BeadId::to_string),
            CountedField::Spec => row.spec_id.clone(),
            CountedField::ExternalRef => row.external_ref.clone(),
            CountedField::Estimate => row.estimate_minutes.map(|minutes| minutes.to_string()),
            CountedField::Blockers => Some(row.blockers.to_string()),
            CountedField::Pinned => Some(row.pinned.to_string()),
            CountedField::Ephemeral => Some(row.ephemeral.to_string()),
            CountedField::Template => Some(row.template.to_string()),
            CountedField::Created => day(Some(row.created_at)),
            CountedField::Updated => day(Some(row.updated_at)),
            CountedField::Started => day(row.started_at),
            CountedField::Closed => day(row.closed_at),
            CountedField::Due => day(row.due_at),
            CountedField::Defer => day(row.defer_until),
            CountedField::Label if row.labels.is_empty() => None,
            CountedField::Label => {
                let with = |label: &String| {
                    let mut all = all.clone();
                    for values in &mut all {
                        values.push(Some(label.clone()));
                    }
                    all
                };
                all = row.labels.iter().flat_map(with).collect();
                continue;
            }
        };
        for values in &mut all {
            values.push(value.clone());
        }
    }
    for key in &input.metadata {
        let value = match row.metadata.get(key) {
            None | Some(Json::Null) => None,
            Some(Json::String(text)) => Some(text.clone()),
            Some(other) => Some(other.to_string()),
        };
        for values in &mut all {
            values.push(value.clone());
        }
    }
    all
}

/// Which issues to look over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StatsOf {
    /// Only those of this rig.
    pub rig: Option<RigName>,
}

/// How long closed issues took, from when they were made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LeadTime {
    /// Of how many issues.
    pub issues: u64,
    /// The mean in milliseconds.
    pub mean_ms: u64,
    /// Half of them took at most so long, in milliseconds; of a part of them where they are many.
    pub median_ms: u64,
}

/// How many issues are in one status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusCount {
    /// Which.
    pub status: BeadStatus,
    /// How many.
    pub count: u64,
}

/// The issues of a town in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BeadStats {
    /// How many there are.
    pub total: u64,
    /// By status; every status is there.
    pub by_status: Vec<StatusCount>,
    /// Open ones that could be worked on now.
    pub ready: u64,
    /// Open ones that wait for others.
    pub blocked: u64,
    /// Open ones whose time has not come.
    pub deferred: u64,
    /// Open ones that were set aside.
    pub parked: u64,
    /// Those that are kept in sight.
    pub pinned: u64,
    /// Patterns for others.
    pub templates: u64,
    /// Of use for a short time only.
    pub ephemeral: u64,
    /// Open or in progress, and their time is over.
    pub overdue: u64,
    /// How long the closed ones took.
    pub lead: LeadTime,
}

/// Counts the issues in every way that a person looks at them; it looks at each.
pub(crate) fn stats(view: View<'_>, input: &StatsOf) -> Result<BeadStats> {
    let now = view.now();
    let mut stats = BeadStats::default();
    for status in BeadStatus::ALL {
        stats.by_status.push(StatusCount { status: *status, count: 0 });
    }
    let mut lead = Lead::default();
    view.walk::<BeadRow>(issues(), |row| {
        if input.rig.as_ref().is_some_and(|rig| row.rig.as_ref() != Some(rig)) {
            return Ok(true);
        }
        stats.total += 1;
        if let Some(known) = stats.by_status.iter_mut().find(|known| known.status == row.status) {
            known.count += 1;
        }
        let is_open = row.status == BeadStatus::Open;
        stats.ready += u64::from(is_ready(&row, now) && !row.ephemeral);
        stats.blocked += u64::from(is_open && row.blockers > 0);
        stats.deferred += u64::from(is_open && row.defer_until.is_some_and(|at| at > now));
        let is_parked = row.parked_reason.is_some() && row.parked_until.is_none_or(|at| at > now);
        stats.parked += u64::from(is_open && is_parked);
        stats.pinned += u64::from(row.pinned);
        stats.templates += u64::from(row.template);
        stats.ephemeral += u64::from(row.ephemeral);
        stats.overdue += u64::from(!row.status.is_terminal() && row.due_at.is_some_and(|at| at < now));
        if row.status == BeadStatus::Closed
            && let Some(closed_at) = row.closed_at
        {
            lead.add(u64::try_from(closed_at.since(row.created_at).as_millis()).unwrap_or(u64::MAX));
        }
        Ok(true)
    })?;
    stats.lead = lead.finish();
    Ok(stats)
}

/// The most times that are kept for the median.
const KEPT_MAX: usize = 1 << 16;

/// Every n-th time, where n doubles whenever there are too many.
struct Lead {
    issues: u64,
    sum_ms: u128,
    kept: Vec<u64>,
    every: u64,
}

impl Default for Lead {
    fn default() -> Self {
        Self { issues: 0, sum_ms: 0, kept: Vec::new(), every: 1 }
    }
}

impl Lead {
    fn add(&mut self, ms: u64) {
        if self.issues.is_multiple_of(self.every) {
            self.kept.push(ms);
        }
        self.issues += 1;
        self.sum_ms += u128::from(ms);
        if self.kept.len() >= KEPT_MAX {
            let mut nth = 0;
            self.kept.retain(|_| {
                nth += 1;
                nth % 2 == 1
            });
            self.every *= 2;
        }
    }

    fn finish(mut self) -> LeadTime {
        self.kept.sort_unstable();
        let median_ms = self.kept.get(self.kept.len().saturating_sub(1) / 2).copied().unwrap_or(0);
        let mean = self.sum_ms / u128::from(self.issues.max(1));
        LeadTime { issues: self.issues, mean_ms: u64::try_from(mean).unwrap_or(u64::MAX), median_ms }
    }
}
