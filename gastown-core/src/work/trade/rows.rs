//! One issue as rows, and rows as the issue they were: what has no column, or another form in its column, lies beside it.

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json, json};

use super::unfit::{self, Refusal, Unfit, is_label, too_large, without_reserved};
use crate::interchange::{
    Comment, CommentId, Customs, Dialect, Edge, Field, Hold, Issue, Standing, Time, bead_kind, implied,
};
use crate::model::{
    BeadId, BeadRow, BeadStatus, BeadTextRow, CommentRow, DependencyKind, DependencyRow, Resolution, Timestamp,
};
use crate::work::fields::{
    LABELS_MAX, METADATA_BYTES_MAX, REASON_BYTES_MAX, TEXT_BYTES_MAX, TITLE_BYTES_MAX, check_external_ref,
    check_spec_id, check_title, check_word,
};

/// The key of a bead's `extra` under which the issue's residue is.
const ISSUE: &str = "issue";
/// The places of the edges that could not be rows, among all edges.
const LOOSE_AT: &str = "loose_at";
/// The place of an edge or comment in its list, where the order of the rows does not say it.
const AT: &str = "at";
/// The fields of an edge or comment that say nothing, though their column does.
const ABSENT: &str = "absent";

/// What a bead's title is where the issue has none.
const UNTITLED: &str = "(untitled)";

/// An issue as rows.
#[derive(Clone, Debug)]
pub(super) struct Rows {
    pub(super) bead: BeadRow,
    pub(super) texts: BeadTextRow,
    pub(super) comments: Vec<CommentRow>,
    /// Edges, each of them one that can be a row, whether or not its target is there.
    pub(super) edges: Vec<DependencyRow>,
    /// What has no place in the columns, and is kept beside them.
    pub(super) unfit: Vec<Unfit>,
    /// Whether the issue says by itself how it ended.
    pub(super) says_resolution: bool,
    /// Whether it says by itself why it is set aside.
    pub(super) says_parked: bool,
}

impl Rows {
    /// About how many bytes they have.
    pub(super) fn size(&self) -> usize {
        let texts = &self.texts;
        let texts = [&self.bead.title, &texts.description, &texts.design, &texts.acceptance, &texts.notes];
        let comments = self.comments.iter().map(|comment| EACH_BYTES + comment.text.len()).sum::<usize>();
        let rests = [self.bead.extra.as_ref()]
            .into_iter()
            .chain(self.edges.iter().map(|edge| edge.extra.as_ref()))
            .chain(self.comments.iter().map(|comment| comment.extra.as_ref()));
        let rests = rests.flatten().map(|rest| rest.to_string().len()).sum::<usize>();
        let metadata = if self.bead.metadata.as_object().is_some_and(Map::is_empty) {
            0
        } else {
            self.bead.metadata.to_string().len()
        };
        texts.map(String::len).iter().sum::<usize>() + comments + rests + metadata + EACH_BYTES * (1 + self.edges.len())
    }
}

/// What a row costs beside its texts, in bytes.
const EACH_BYTES: usize = 256;

/// Whether two values mean the same; a time's spelling says nothing.
trait Alike {
    fn is_like(&self, other: &Self) -> bool;
}

macro_rules! alike {
    ($($type:ty),*) => { $(impl Alike for $type { fn is_like(&self, other: &Self) -> bool { self == other } })* };
}
alike!(String, u8, bool, Option<i64>, Option<Json>, Vec<String>);

impl Alike for Option<Time> {
    fn is_like(&self, other: &Self) -> bool {
        self.as_ref().map(|time| time.at) == other.as_ref().map(|time| time.at)
    }
}

macro_rules! columns {
    ($($field:ident = $name:ident,)*) => {
        /// The fields of an issue that have a column.
        const COLUMNS: &[Field] = &[$(Field::$name),*];

        pub(super) fn is_like(a: &Issue, b: &Issue, field: Field) -> bool {
            match field {
                $(Field::$name => a.$field.is_like(&b.$field),)*
                _ => false,
            }
        }

        fn take(to: &mut Issue, from: &Issue, field: Field) {
            match field {
                $(Field::$name => to.$field.clone_from(&from.$field),)*
                _ => {}
            }
        }
    };
}

columns! {
    id = Id, title = Title, description = Description, design = Design, acceptance_criteria = AcceptanceCriteria,
    notes = Notes, spec_id = SpecId, status = Status, priority = Priority, issue_type = IssueType,
    assignee = Assignee, owner = Owner, estimated_minutes = EstimatedMinutes, created_at = CreatedAt,
    created_by = CreatedBy, updated_at = UpdatedAt, started_at = StartedAt, closed_at = ClosedAt,
    close_reason = CloseReason, due_at = DueAt, defer_until = DeferUntil, external_ref = ExternalRef,
    metadata = Metadata, labels = Labels, ephemeral = Ephemeral, pinned = Pinned, is_template = IsTemplate,
    resolution = Resolution, parked_reason = ParkedReason, parked_until = ParkedUntil,
}

fn word(field: &'static str, text: &str) -> Option<String> {
    check_word(field, text).is_ok().then(|| text.to_owned())
}

fn at(time: Option<&Time>) -> Option<Timestamp> {
    time.map(|time| time.at)
}

/// A title that a bead may have, as near to the given one as can be.
fn title(given: &str) -> String {
    if check_title(given).is_ok() {
        return given.to_owned();
    }
    let mut line: String = given.split(['\n', '\r', '\0']).map(str::trim).collect::<Vec<_>>().join(" ");
    super::shorten(&mut line, TITLE_BYTES_MAX);
    if line.trim().is_empty() { UNTITLED.to_owned() } else { line }
}

/// The columns of an issue.
fn columns(id: &BeadId, issue: &Issue) -> (BeadRow, BeadTextRow) {
    let standing = Standing::of(&issue.status, &Customs::default());
    let is_kept_back = standing.status == BeadStatus::Open && standing.hold.is_some_and(Hold::keeps_back);
    let end = issue.resolution.parse::<Resolution>().ok();
    let status = match standing.status {
        // Other tools have no word for failed.
        BeadStatus::Closed if end == Some(Resolution::AttemptsExhausted) => BeadStatus::Failed,
        status => status,
    };
    let labels: BTreeSet<&String> = issue.labels.iter().filter(|label| is_label(label)).collect();
    let created_at = at(issue.created_at.as_ref()).unwrap_or_default();
    let said = |text: &String| (!text.is_empty() && text.len() <= REASON_BYTES_MAX).then(|| text.clone());
    let parked_reason = said(&issue.parked_reason);
    let parked_until = at(issue.parked_until.as_ref().filter(|_| parked_reason.is_some()));
    let metadata = issue
        .metadata
        .clone()
        .filter(|metadata| metadata.is_object() && metadata.to_string().len() <= METADATA_BYTES_MAX)
        .map(without_reserved);
    let texts = BeadTextRow {
        id: id.clone(),
        description: issue.description.clone(),
        design: issue.design.clone(),
        acceptance: issue.acceptance_criteria.clone(),
        notes: issue.notes.clone(),
    };
    let named = |text: &String| (!text.is_empty()).then(|| text.clone());
    let row = BeadRow {
        id: id.clone(),
        kind: bead_kind(&issue.issue_type),
        status,
        resolution: implied(status, &issue.close_reason).map(|implied| end.unwrap_or(implied)),
        title: title(&issue.title),
        priority: u32::from(issue.priority.min(4)),
        issue_type: word("issue_type", &issue.issue_type).unwrap_or_else(|| "task".to_owned()),
        metadata: metadata.unwrap_or_else(|| json!({})),
        rig: None,
        parent: None,
        convoy: None,
        assignee: word("assignee", &issue.assignee),
        created_by: word("created_by", &issue.created_by).unwrap_or_default(),
        external_ref: named(&issue.external_ref).filter(|text| check_external_ref(Some(text)).is_ok()),
        defer_until: at(issue.defer_until.as_ref()),
        due_at: at(issue.due_at.as_ref()),
        estimate_minutes: issue.estimated_minutes.and_then(|minutes| u32::try_from(minutes).ok()),
        parked_reason: parked_reason.or_else(|| is_kept_back.then(|| came_as(&issue.status))),
        parked_until,
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
        created_at,
        updated_at: at(issue.updated_at.as_ref()).unwrap_or(created_at),
        closed_at: at(issue.closed_at.as_ref()),
        source_status: standing.source,
        extra: None,
        labels: labels.into_iter().take(LABELS_MAX).cloned().collect(),
        owner: word("owner", &issue.owner),
        spec_id: named(&issue.spec_id).filter(|text| check_spec_id(Some(text)).is_ok()),
        close_reason: said(&issue.close_reason),
        started_at: at(issue.started_at.as_ref()),
        pinned: issue.pinned,
        ephemeral: issue.ephemeral,
        template: issue.is_template,
        rank: created_at.as_micros(),
        parts: 0,
        open_parts: 0,
        last_part: 0,
        comments: 0,
        agent_failures: 0,
        auth_failures: 0,
        failure: None,
    };
    (row, texts)
}

/// Why a bead is set aside whose foreign status keeps it back.
fn came_as(word: &str) -> String {
    format!("it came as {word}")
}

/// The issue that columns alone give.
fn plain(row: &BeadRow, texts: Option<&BeadTextRow>) -> Issue {
    let customs = Customs::default();
    let time = |at: Option<Timestamp>| at.map(Time::new);
    let mut standing = Standing { status: row.status, source: row.source_status.clone(), hold: None };
    let was_kept_back = row.status == BeadStatus::Open
        && standing.source.as_ref().is_some_and(|word| Standing::of(word, &customs).hold.is_some());
    if was_kept_back && row.parked_reason.is_none() {
        standing.source = None;
    }
    let close_reason = row.close_reason.clone().unwrap_or_default();
    let end = row.resolution.filter(|end| implied(row.status, &close_reason) != Some(*end));
    let is_by_status = |reason: &&String| row.source_status.as_deref().is_some_and(|word| **reason == came_as(word));
    let mut issue = Issue {
        id: row.id.as_str().to_owned(),
        title: row.title.clone(),
        status: standing.word(Dialect::Native, &customs).to_owned(),
        priority: u8::try_from(row.priority).unwrap_or(4),
        issue_type: row.issue_type.clone(),
        metadata: row.metadata.as_object().filter(|map| !map.is_empty()).map(|_| row.metadata.clone()),
        assignee: row.assignee.clone().unwrap_or_default(),
        owner: row.owner.clone().unwrap_or_default(),
        spec_id: row.spec_id.clone().unwrap_or_default(),
        created_by: row.created_by.clone(),
        external_ref: row.external_ref.clone().unwrap_or_default(),
        close_reason,
        resolution: end.map_or(String::new(), |end| end.as_str().to_owned()),
        parked_reason: row.parked_reason.as_ref().filter(|reason| !is_by_status(reason)).cloned().unwrap_or_default(),
        parked_until: time(row.parked_until),
        estimated_minutes: row.estimate_minutes.map(i64::from),
        created_at: time(Some(row.created_at)),
        updated_at: time(Some(row.updated_at)),
        started_at: time(row.started_at),
        closed_at: time(row.closed_at),
        due_at: time(row.due_at),
        defer_until: time(row.defer_until),
        labels: row.labels.clone(),
        pinned: row.pinned,
        ephemeral: row.ephemeral,
        is_template: row.template,
        ..Issue::default()
    };
    if let Some(texts) = texts {
        issue.description.clone_from(&texts.description);
        issue.design.clone_from(&texts.design);
        issue.acceptance_criteria.clone_from(&texts.acceptance);
        issue.notes.clone_from(&texts.notes);
    }
    issue
}

/// An issue as rows; where that cannot be, why.
pub(super) fn rows(issue: &Issue) -> Result<Rows, Refusal> {
    let id = BeadId::new(issue.id.as_str()).map_err(|error| Refusal {
        code: error.code().to_owned(),
        message: error.to_string(),
        key: Field::Id.as_str(),
    })?;
    for (field, text) in [
        (Field::Description, &issue.description),
        (Field::Design, &issue.design),
        (Field::AcceptanceCriteria, &issue.acceptance_criteria),
        (Field::Notes, &issue.notes),
    ] {
        let (key, bytes) = (field.as_str(), text.len());
        if bytes > TEXT_BYTES_MAX {
            let message = format!("{key} of {id} has {bytes} bytes, more than {TEXT_BYTES_MAX}");
            return Err(Refusal { code: "text_too_long".to_owned(), message, key });
        }
    }
    let (mut bead, texts) = columns(&id, issue);
    let column = plain(&bead, Some(&texts));
    let (edges, loose, loose_at) = edges(&id, issue, &bead);
    let comments = comments(&id, issue, &bead);
    // Edges that are rows are not kept twice.
    let rest = Issue { dependencies: loose, comments: Vec::new(), ..issue.clone() };
    let residue = rest.residue(|field| match field {
        Field::Dependencies => rest.dependencies.is_empty(),
        Field::Comments => true,
        field => COLUMNS.contains(&field) && is_like(&column, issue, field),
    });
    let mut extra = Map::new();
    if !residue.is_empty() {
        extra.insert(ISSUE.to_owned(), Json::Object(residue));
    }
    if !loose_at.is_empty() {
        extra.insert(LOOSE_AT.to_owned(), json!(loose_at));
    }
    if !extra.is_empty() {
        bead.extra = Some(Json::Object(extra));
    }
    if let Some(refusal) = too_large(&bead, &edges, &comments) {
        return Err(refusal);
    }
    bead.comments = i64::try_from(comments.len()).unwrap_or(i64::MAX);
    let says_resolution = issue.resolution.parse::<Resolution>().is_ok();
    let (unfit, says_parked) = (unfit::unfit(issue, &column), !issue.parked_reason.is_empty());
    Ok(Rows { bead, texts, comments, edges, unfit, says_resolution, says_parked })
}

/// The kind of an edge; none for a word that cannot be one.
fn kind(word: &str) -> Option<DependencyKind> {
    if word == "relates" { Some(DependencyKind::RelatesTo) } else { word.parse().ok() }
}

/// The edges that can be rows; those that cannot, and their places.
fn edges(id: &BeadId, issue: &Issue, bead: &BeadRow) -> (Vec<DependencyRow>, Vec<Edge>, Vec<usize>) {
    let (mut rows, mut loose, mut loose_at) = (Vec::<(usize, DependencyRow)>::new(), Vec::new(), Vec::new());
    let mut seen = BTreeSet::new();
    for (nth, edge) in issue.dependencies.iter().enumerate() {
        let is_here = edge.issue_id.is_empty() || edge.issue_id == issue.id;
        let on = BeadId::new(edge.depends_on_id.as_str()).ok().filter(|on| on != id && is_here);
        let row = on.zip(kind(&edge.kind)).filter(|key| seen.insert(key.clone()));
        if let Some((on, kind)) = row {
            rows.push((nth, edge_row(bead, on, kind, edge)));
        } else {
            loose.push(edge.clone());
            loose_at.push(nth);
        }
    }
    let is_sorted = loose.is_empty()
        && rows.is_sorted_by(|(_, a), (_, b)| (&a.on_bead, a.kind.as_str()) <= (&b.on_bead, b.kind.as_str()));
    let rows = rows.into_iter().map(|(nth, mut row)| {
        if !is_sorted {
            row.extra.get_or_insert_with(|| json!({}))[AT] = json!(nth);
        }
        row
    });
    (rows.collect(), loose, loose_at)
}

fn edge_row(bead: &BeadRow, on_bead: BeadId, kind: DependencyKind, edge: &Edge) -> DependencyRow {
    let mut row = DependencyRow {
        bead: bead.id.clone(),
        on_bead,
        kind,
        counted: false,
        created_by: word("created_by", &edge.created_by).unwrap_or_default(),
        created_at: at(edge.created_at.as_ref()).unwrap_or(bead.created_at),
        gate: edge.gate().filter(|_| kind == DependencyKind::WaitsFor),
        extra: None,
    };
    let column = plain_edge(&row);
    let mut extra = edge.residue(|field| match field {
        Field::IssueId => edge.issue_id == column.issue_id,
        Field::DependsOnId => true,
        Field::Type => edge.kind == column.kind,
        Field::CreatedAt => edge.created_at.is_like(&column.created_at),
        Field::CreatedBy => edge.created_by == column.created_by,
        _ => false,
    });
    if edge.created_at.is_none() {
        extra.insert(ABSENT.to_owned(), json!([Field::CreatedAt.as_str()]));
    }
    row.extra = (!extra.is_empty()).then_some(Json::Object(extra));
    row
}

fn plain_edge(row: &DependencyRow) -> Edge {
    Edge {
        issue_id: row.bead.as_str().to_owned(),
        depends_on_id: row.on_bead.as_str().to_owned(),
        kind: row.kind.as_str().to_owned(),
        created_at: Some(Time::new(row.created_at)),
        created_by: row.created_by.clone(),
        ..Edge::default()
    }
}

fn edge(row: &DependencyRow) -> Edge {
    let mut edge = plain_edge(row);
    if let Some(Json::Object(extra)) = &row.extra {
        if is_absent(extra, Field::CreatedAt) {
            edge.created_at = None;
        }
        edge.restore(extra);
    }
    if row.kind == DependencyKind::WaitsFor
        && let Some(gate) = row.gate
        && edge.gate() != Some(gate)
    {
        edge.set_gate(gate);
    }
    edge
}

fn is_absent(extra: &Map<String, Json>, field: Field) -> bool {
    extra.get(ABSENT).and_then(Json::as_array).is_some_and(|names| names.iter().any(|name| name == field.as_str()))
}

fn comments(id: &BeadId, issue: &Issue, bead: &BeadRow) -> Vec<CommentRow> {
    let mut rows = Vec::with_capacity(issue.comments.len());
    let mut ids = BTreeSet::new();
    for (nth, comment) in issue.comments.iter().enumerate() {
        let said = match &comment.id {
            CommentId::Number(number) => number.to_string(),
            CommentId::Text(text) => word("id", text).unwrap_or_default(),
            CommentId::None => String::new(),
        };
        // An identity that is none, or is not one's own, is made of the place: the same each time.
        let mut key = if said.is_empty() { format!("at-{nth}") } else { said };
        while !ids.insert(key.clone()) {
            key = format!("{key}-{nth}");
        }
        rows.push((nth, comment_row(id, key, comment, bead.created_at)));
    }
    let is_sorted = rows.is_sorted_by(|(_, a), (_, b)| (a.created_at, &a.id) <= (b.created_at, &b.id));
    let rows = rows.into_iter().map(|(nth, mut row): (usize, CommentRow)| {
        if !is_sorted {
            row.extra.get_or_insert_with(|| json!({}))[AT] = json!(nth);
        }
        row
    });
    rows.collect()
}

fn comment_row(bead: &BeadId, id: String, comment: &Comment, created_at: Timestamp) -> CommentRow {
    let mut row = CommentRow {
        bead: bead.clone(),
        id,
        author: word("author", &comment.author).unwrap_or_default(),
        text: comment.text.clone(),
        created_at: at(comment.created_at.as_ref()).unwrap_or(created_at),
        extra: None,
    };
    let column = plain_comment(&row);
    let mut extra = comment.residue(|field| match field {
        Field::Id => comment.id == column.id,
        Field::IssueId => comment.issue_id == column.issue_id,
        Field::Author => comment.author == column.author,
        Field::Text => true,
        Field::CreatedAt => comment.created_at.is_like(&column.created_at),
        _ => false,
    });
    let absent: Vec<&str> = [
        (Field::Id, comment.id == CommentId::None),
        (Field::IssueId, comment.issue_id.is_empty()),
        (Field::CreatedAt, comment.created_at.is_none()),
    ]
    .into_iter()
    .filter_map(|(field, is_absent)| is_absent.then_some(field.as_str()))
    .collect();
    if !absent.is_empty() {
        extra.insert(ABSENT.to_owned(), json!(absent));
    }
    row.extra = (!extra.is_empty()).then_some(Json::Object(extra));
    row
}

fn plain_comment(row: &CommentRow) -> Comment {
    let number = row.id.parse::<i64>().ok().filter(|number| number.to_string() == row.id);
    Comment {
        id: number.map_or_else(|| CommentId::Text(row.id.clone()), CommentId::Number),
        issue_id: row.bead.as_str().to_owned(),
        author: row.author.clone(),
        text: row.text.clone(),
        created_at: Some(Time::new(row.created_at)),
        ..Comment::default()
    }
}

fn comment(row: &CommentRow) -> Comment {
    let mut comment = plain_comment(row);
    if let Some(Json::Object(extra)) = &row.extra {
        if is_absent(extra, Field::Id) {
            comment.id = CommentId::None;
        }
        if is_absent(extra, Field::IssueId) {
            comment.issue_id.clear();
        }
        if is_absent(extra, Field::CreatedAt) {
            comment.created_at = None;
        }
        comment.restore(extra);
    }
    comment
}

fn place(extra: Option<&Json>) -> usize {
    let place = extra.and_then(|extra| extra.get(AT)?.as_u64());
    place.and_then(|place| usize::try_from(place).ok()).unwrap_or(usize::MAX)
}

/// The issue that rows are: what was imported, with what changed since.
///
/// Edges come by target and kind, comments by their time.
pub(super) fn issue(
    row: &BeadRow,
    texts: Option<&BeadTextRow>,
    edges: &[DependencyRow],
    comments: &[CommentRow],
) -> Issue {
    let mut issue = plain(row, texts);
    let extra = row.extra.as_ref();
    if let Some(residue) = extra.and_then(|extra| extra.get(ISSUE)?.as_object()) {
        let now = issue.clone();
        issue.restore(residue);
        // A field whose column is not what it was imported as was changed here.
        let (then, then_texts) = columns(&row.id, &issue);
        let then = plain(&then, Some(&then_texts));
        let said = (issue.labels.clone(), issue.metadata.clone());
        for &field in COLUMNS.iter().filter(|field| !is_like(&then, &now, **field)) {
            take(&mut issue, &now, field);
        }
        // What had no column is still said.
        if !then.labels.is_like(&now.labels) {
            issue.labels.extend(said.0.into_iter().filter(|label| !is_label(label)));
        }
        if !then.metadata.is_like(&now.metadata)
            && let Some(Json::Object(said)) = said.1
        {
            let known = without_reserved(Json::Object(said.clone()));
            let left: Vec<_> = said.into_iter().filter(|(key, _)| known.get(key).is_none()).collect();
            if !left.is_empty() {
                issue
                    .metadata
                    .get_or_insert_with(|| json!({}))
                    .as_object_mut()
                    .into_iter()
                    .for_each(|map| map.extend(left.clone()));
            }
        }
    }
    let loose_at = extra.and_then(|extra| extra.get(LOOSE_AT)?.as_array()).into_iter().flatten();
    let loose_at = loose_at.map(|at| at.as_u64().and_then(|at| usize::try_from(at).ok()).unwrap_or(usize::MAX));
    let mut all: Vec<(usize, Edge)> = loose_at.zip(std::mem::take(&mut issue.dependencies)).collect();
    all.extend(edges.iter().map(|row| (place(row.extra.as_ref()), edge(row))));
    all.sort_by_key(|(at, _)| *at);
    issue.dependencies = all.into_iter().map(|(_, edge)| edge).collect();
    let mut all: Vec<&CommentRow> = comments.iter().collect();
    all.sort_by_key(|row| (place(row.extra.as_ref()), row.created_at, &row.id));
    issue.comments = all.into_iter().map(comment).collect();
    issue
}
