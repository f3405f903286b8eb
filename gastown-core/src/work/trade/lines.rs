//! Beads as lines: most of them straight from their columns, the others as the issues that they are.

use std::io::Write;
use std::ops::Range;

use serde_json::Value as Json;

use super::import::Stored;
use crate::interchange::{Dialect, Field, Object, Writer, implied};
use crate::model::record::{Column, Record};
use crate::model::{
    BeadId, BeadKind, BeadRow, BeadStatus, BeadTextRow, CommentRow, DependencyKind, DependencyRow, Key, Resolution,
    Result, Row, RowKind, Stored as _, Timestamp,
};
use crate::store::Packed;

/// The place of a column.
const fn place(columns: &[Column], name: &str) -> usize {
    let mut place = 0;
    while !is_same(columns[place].name.as_bytes(), name.as_bytes()) {
        place += 1;
    }
    place
}

const fn is_same(one: &[u8], other: &[u8]) -> bool {
    let mut at = 0;
    while at < one.len() && at < other.len() && one[at] == other[at] {
        at += 1;
    }
    at == one.len() && at == other.len()
}

macro_rules! places {
    ($record:ident: $($name:ident = $column:literal,)*) => {
        $(const $name: usize = place($record::COLUMNS, $column);)*
    };
}

places! { BeadRow:
    ID = "id", KIND = "kind", STATUS = "status", RESOLUTION = "resolution", TITLE = "title", PRIORITY = "priority",
    ISSUE_TYPE = "issue_type", METADATA = "metadata", ASSIGNEE = "assignee", CREATED_BY = "created_by",
    EXTERNAL_REF = "external_ref", DEFER_UNTIL = "defer_until", DUE_AT = "due_at", ESTIMATE = "estimate_minutes",
    PARKED_REASON = "parked_reason", PARKED_UNTIL = "parked_until", CREATED_AT = "created_at",
    UPDATED_AT = "updated_at", CLOSED_AT = "closed_at", SOURCE_STATUS = "source_status", EXTRA = "extra",
    LABELS = "labels", OWNER = "owner", SPEC_ID = "spec_id", CLOSE_REASON = "close_reason",
    STARTED_AT = "started_at", PINNED = "pinned", EPHEMERAL = "ephemeral", TEMPLATE = "template",
    COMMENTS = "comments",
}

places! { BeadTextRow:
    TEXT_ID = "id", DESCRIPTION = "description", DESIGN = "design", ACCEPTANCE = "acceptance", NOTES = "notes",
}

places! { DependencyRow:
    EDGE_BEAD = "bead", EDGE_ON = "on_bead", EDGE_KIND = "kind", EDGE_BY = "created_by", EDGE_AT = "created_at",
    EDGE_GATE = "gate", EDGE_EXTRA = "extra",
}

/// What is read of some beads, a table beside the other, all by their ids.
pub(super) struct Page {
    pub(super) beads: Packed,
    pub(super) texts: Packed,
    pub(super) edges: Packed,
    /// What was said about a bead, for each that has comments.
    pub(super) comments: Vec<Vec<CommentRow>>,
    /// How many edges end at each bead, where that is to be said.
    pub(super) dependents: Option<Vec<Option<i64>>>,
}

/// What became of the lines.
#[derive(Default)]
pub(super) struct Written {
    /// How many.
    pub(super) lines: u64,
    /// Rows that could not be read and are left out. Behind the texts of a bead nothing is written any more.
    pub(super) unreadable: Vec<Key>,
}

/// Whether a bead has comments.
pub(super) fn has_comments(beads: &Packed, bead: usize) -> bool {
    beads.int(bead, COMMENTS).is_none_or(|comments| comments != 0)
}

/// Whether a bead is of use for a short time only.
pub(super) fn is_ephemeral(beads: &Packed, bead: usize) -> bool {
    beads.int(bead, EPHEMERAL) == Some(1)
}

/// Whether a bead has texts, and where, from the place on where the one before had them.
pub(super) fn texts_of(texts: &Packed, id: Option<&str>, at: &mut usize) -> Option<usize> {
    while *at < texts.len() && texts.text(*at, TEXT_ID) < id {
        *at += 1;
    }
    (*at < texts.len() && texts.text(*at, TEXT_ID) == id).then_some(*at)
}

/// Where a bead's edges are, from the place on where those of the one before ended.
fn edges_of(edges: &Packed, id: Option<&str>, at: &mut usize) -> Range<usize> {
    while *at < edges.len() && edges.text(*at, EDGE_BEAD) < id {
        *at += 1;
    }
    let first = *at;
    while *at < edges.len() && edges.text(*at, EDGE_BEAD) == id {
        *at += 1;
    }
    first..*at
}

/// A bead's id, where it is a text.
pub(super) fn id_of(beads: &Packed, bead: usize) -> Option<&str> {
    beads.text(bead, ID)
}

impl Page {
    /// Writes a line for each bead; false where that is the end of it.
    pub(super) fn write<W: Write>(
        self,
        dialect: Dialect,
        with_ephemeral: bool,
        writer: &mut Writer<W>,
        written: &mut Written,
    ) -> Result<bool> {
        let (mut texts_at, mut edges_at) = (0, 0);
        let mut comments = self.comments.iter();
        for bead in 0..self.beads.len() {
            let id = id_of(&self.beads, bead);
            let texts = texts_of(&self.texts, id, &mut texts_at);
            let edges = edges_of(&self.edges, id, &mut edges_at);
            if !with_ephemeral && is_ephemeral(&self.beads, bead) {
                continue;
            }
            let comments = if has_comments(&self.beads, bead) { comments.next() } else { None };
            let is_plain = dialect == Dialect::Native
                && comments.is_none()
                && writer.line(|line| self.put_plain(bead, texts, edges.clone(), line).is_some())?;
            if !is_plain {
                let comments = comments.cloned().unwrap_or_default();
                let Some(stored) = self.stored(bead, texts, edges, comments, written) else {
                    if written.unreadable.last().is_some_and(|key| key.kind == RowKind::BeadText) {
                        return Ok(false);
                    }
                    continue;
                };
                let mut issue = stored.issue();
                if let Some(dependents) = &self.dependents {
                    issue.dependency_count = i64::try_from(issue.dependencies.len()).ok();
                    issue.comment_count = i64::try_from(issue.comments.len()).ok();
                    issue.dependent_count = dependents[bead];
                }
                writer.issue(&issue)?;
            }
            written.lines += 1;
        }
        Ok(true)
    }

    /// A bead's rows; none where it or its texts cannot be read. Edges that cannot are left out.
    fn stored(
        &self,
        bead: usize,
        texts: Option<usize>,
        edges: Range<usize>,
        comments: Vec<CommentRow>,
        written: &mut Written,
    ) -> Option<Stored> {
        let mut read = |packed: &Packed, row: usize| -> Option<Row> {
            packed.row(row).map_err(|row| written.unreadable.push(row.key)).ok()
        };
        let bead = BeadRow::from_row(read(&self.beads, bead)?)?;
        let texts = match texts {
            Some(texts) => Some(BeadTextRow::from_row(read(&self.texts, texts)?)?),
            None => None,
        };
        let edges = edges.filter_map(|edge| read(&self.edges, edge)).filter_map(DependencyRow::from_row).collect();
        Some(Stored { bead, texts, edges, comments })
    }

    /// Writes what [`Stored::issue`] says of a bead with nothing beside its columns; none for any other bead, and where
    /// one of its values is not what it should be.
    fn put_plain(&self, bead: usize, texts: Option<usize>, edges: Range<usize>, line: &mut Vec<u8>) -> Option<()> {
        let beads = &self.beads;
        if [EXTRA, SOURCE_STATUS, PARKED_REASON, PARKED_UNTIL].iter().any(|place| !beads.is_null(bead, *place)) {
            return None;
        }
        let text = |place| beads.text(bead, place);
        let said = |place| if beads.is_null(bead, place) { Some("") } else { beads.text(bead, place) };
        let number = |place| if beads.is_null(bead, place) { Some(None) } else { beads.int(bead, place).map(Some) };
        let mark = |place| beads.int(bead, place).filter(|mark| matches!(mark, 0 | 1)).map(|mark| mark == 1);
        let time = |place| Some(number(place)?.map(Timestamp::from_micros));
        let id = BeadId::new(text(ID)?).ok()?;
        text(KIND)?.parse::<BeadKind>().ok()?;
        let status = text(STATUS)?.parse::<BeadStatus>().ok()?;
        let priority = u32::try_from(beads.int(bead, PRIORITY)?).ok()?;
        let estimate = number(ESTIMATE)?.map(u32::try_from).transpose().ok()?;
        let (created_at, updated_at) = (beads.int(bead, CREATED_AT)?, beads.int(bead, UPDATED_AT)?);
        let (title, issue_type, created_by) = (text(TITLE)?, text(ISSUE_TYPE)?, text(CREATED_BY)?);
        let (assignee, owner, spec_id) = (said(ASSIGNEE)?, said(OWNER)?, said(SPEC_ID)?);
        let (external_ref, close_reason) = (said(EXTERNAL_REF)?, said(CLOSE_REASON)?);
        let (started_at, closed_at) = (time(STARTED_AT)?, time(CLOSED_AT)?);
        let (due_at, defer_until) = (time(DUE_AT)?, time(DEFER_UNTIL)?);
        let (pinned, ephemeral, template) = (mark(PINNED)?, mark(EPHEMERAL)?, mark(TEMPLATE)?);
        let resolution = match said(RESOLUTION)? {
            "" => None,
            word => Some(word.parse::<Resolution>().ok()?),
        };
        let resolution = resolution.filter(|end| implied(status, close_reason) != Some(*end));
        let labels: Vec<String> = match text(LABELS)? {
            "" | "[]" => Vec::new(),
            list => serde_json::from_str(list).ok()?,
        };
        let metadata: Option<Json> = match text(METADATA)? {
            "{}" => None,
            text => serde_json::from_str(text).ok()?,
        };
        let metadata = metadata.filter(|said| said.as_object().is_some_and(|map| !map.is_empty()));
        let of_texts = |place| texts.map_or(Some(""), |row| self.texts.text(row, place));
        let (description, design) = (of_texts(DESCRIPTION)?, of_texts(DESIGN)?);
        let (acceptance, notes) = (of_texts(ACCEPTANCE)?, of_texts(NOTES)?);
        if !edges.clone().all(|edge| self.is_plain_edge(edge)) {
            return None;
        }

        Object::put(line, |object| {
            object.text(Field::Id, id.as_str());
            object.text(Field::Title, title);
            object.said(Field::Description, description);
            object.said(Field::Design, design);
            object.said(Field::AcceptanceCriteria, acceptance);
            object.said(Field::Notes, notes);
            object.said(Field::SpecId, spec_id);
            object.text(Field::Status, status.as_str());
            object.json(Field::Priority, &u8::try_from(priority).unwrap_or(4));
            object.text(Field::IssueType, issue_type);
            object.said(Field::Assignee, assignee);
            object.said(Field::Owner, owner);
            if let Some(minutes) = estimate {
                object.json(Field::EstimatedMinutes, &minutes);
            }
            object.time(Field::CreatedAt, Timestamp::from_micros(created_at));
            object.said(Field::CreatedBy, created_by);
            object.time(Field::UpdatedAt, Timestamp::from_micros(updated_at));
            for (field, at) in [(Field::StartedAt, started_at), (Field::ClosedAt, closed_at)] {
                object.time_said(field, at);
            }
            object.said(Field::CloseReason, close_reason);
            object.said(Field::Resolution, resolution.map_or("", Resolution::as_str));
            for (field, at) in [(Field::DueAt, due_at), (Field::DeferUntil, defer_until)] {
                object.time_said(field, at);
            }
            object.said(Field::ExternalRef, external_ref);
            if let Some(metadata) = &metadata {
                object.json(Field::Metadata, metadata);
            }
            if !labels.is_empty() {
                object.json(Field::Labels, &labels);
            }
            object.list(Field::Dependencies, edges, |edge, object| self.put_edge(edge, object));
            object.marked(Field::Ephemeral, ephemeral);
            object.marked(Field::Pinned, pinned);
            object.marked(Field::IsTemplate, template);
        });
        Some(())
    }

    /// Whether an edge has nothing beside its columns, and each of them is what it should be.
    fn is_plain_edge(&self, edge: usize) -> bool {
        let edges = &self.edges;
        edges.is_null(edge, EDGE_GATE)
            && edges.is_null(edge, EDGE_EXTRA)
            && edges.text(edge, EDGE_ON).is_some_and(|on| BeadId::new(on).is_ok())
            && edges.text(edge, EDGE_KIND).is_some_and(|kind| kind.parse::<DependencyKind>().is_ok())
            && edges.text(edge, EDGE_BY).is_some()
            && edges.int(edge, EDGE_AT).is_some()
    }

    fn put_edge(&self, edge: usize, object: &mut Object<'_>) {
        let text = |place| self.edges.text(edge, place).unwrap_or_default();
        object.text(Field::IssueId, text(EDGE_BEAD));
        object.text(Field::DependsOnId, text(EDGE_ON));
        object.text(Field::Type, text(EDGE_KIND));
        let at = self.edges.int(edge, EDGE_AT).unwrap_or_default();
        object.time(Field::CreatedAt, Timestamp::from_micros(at));
        object.said(Field::CreatedBy, text(EDGE_BY));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interchange::{Issue, write_issue};
    use crate::store::conformance::sample::{self, Draw};
    use crate::work::trade::rows;

    fn page_of(stored: &Stored) -> Page {
        let row = |row: Row| Packed::of(row.kind(), &[row]);
        let edges: Vec<Row> = stored.edges.iter().cloned().map(DependencyRow::into_row).collect();
        Page {
            beads: row(stored.bead.clone().into_row()),
            texts: stored.texts.clone().map_or(Packed::new(RowKind::BeadText), |texts| row(texts.into_row())),
            edges: Packed::of(RowKind::Dependency, &edges),
            comments: Vec::new(),
            dependents: None,
        }
    }

    fn line_of(issue: &Issue) -> String {
        let mut line = Vec::new();
        write_issue(issue, Dialect::Native, &mut line).unwrap();
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn a_line_straight_from_the_columns_is_the_line_of_the_issue() {
        let mut draw = Draw::new(11);
        let mut plain = 0;
        for nth in 0..2_000 {
            let mut bead = sample::bead(&mut draw);
            bead.id = BeadId::new(format!("gt-{nth}")).unwrap();
            bead.status = draw.of(BeadStatus::ALL);
            bead.resolution = draw.of(&[None, Some(Resolution::Completed), Some(Resolution::Merged)]);
            bead.close_reason = draw.of(&[None, Some(""), Some("done"), Some("duplicate of gt-1")]).map(str::to_owned);
            bead.title = draw.of(&["keel", "\"quoted\"\\\n", "größer \u{1}"]).to_owned();
            bead.metadata = draw.of(&["{}", "{\"b\":1.5,\"a\":[null]}"]).parse().unwrap();
            bead.labels = draw.of(&[vec![], vec!["a \"b\"".to_owned(), "red".to_owned()]]);
            bead.owner = draw.of(&[None, Some("tess")]).map(str::to_owned);
            bead.spec_id = draw.of(&[None, Some("")]).map(str::to_owned);
            bead.estimate_minutes = draw.of(&[None, Some(0), Some(u32::MAX)]);
            bead.priority = draw.of(&[0, 4, 300]);
            bead.due_at = draw.of(&[None, Some(Timestamp::from_micros(-1)), Some(Timestamp::from_micros(i64::MAX))]);
            bead.created_at = Timestamp::from_micros(draw.of(&[0, 1_700_000_000_120_000, 1_700_000_000_000_007]));
            (bead.pinned, bead.ephemeral) = (draw.of(&[true, false]), draw.of(&[true, false]));
            bead.source_status = draw.of(&[None, None, None, Some("hooked")]).map(str::to_owned);
            bead.parked_reason = draw.of(&[None, None, None, Some("later")]).map(str::to_owned);
            bead.parked_until = None;
            bead.extra = draw.of(&[None, None, None, Some("{\"issue\":{}}")]).map(|extra| extra.parse().unwrap());
            bead.comments = 0;
            let texts = draw.of(&[true, true, false]).then(|| BeadTextRow {
                id: bead.id.clone(),
                description: draw.of(&["", "what\nand why"]).to_owned(),
                design: String::new(),
                acceptance: draw.of(&["", "\u{2028}"]).to_owned(),
                notes: draw.of(&["", "learned"]).to_owned(),
            });
            let edges = (0..draw.of(&[0, 1, 2]))
                .map(|on| DependencyRow {
                    bead: bead.id.clone(),
                    on_bead: BeadId::new(format!("gt-on-{on}")).unwrap(),
                    kind: draw.of(DependencyKind::ALL),
                    counted: draw.of(&[true, false]),
                    created_by: draw.of(&["", "nux"]).to_owned(),
                    created_at: bead.created_at,
                    gate: None,
                    extra: draw
                        .of(&[None, None, None, Some("{\"absent\":[\"created_at\"]}")])
                        .map(|e| e.parse().unwrap()),
                })
                .collect();
            let stored = Stored { bead, texts, edges, comments: Vec::new() };
            let page = page_of(&stored);
            let mut line = Vec::new();
            let texts = stored.texts.is_some().then_some(0);
            if page.put_plain(0, texts, 0..stored.edges.len(), &mut line).is_some() {
                plain += 1;
                assert_eq!(String::from_utf8(line).unwrap() + "\n", line_of(&stored.issue()));
            }
            // Whichever way it goes.
            let (mut writer, mut written) = (Writer::new(Vec::new(), Dialect::Native), Written::default());
            assert!(page.write(Dialect::Native, true, &mut writer, &mut written).unwrap());
            assert_eq!((written.lines, written.unreadable.len()), (1, 0));
            assert_eq!(String::from_utf8(writer.into_inner()).unwrap(), line_of(&stored.issue()));
        }
        assert!(plain > 200, "only {plain} beads went straight");
    }

    #[test]
    fn what_cannot_be_read_is_left_out_and_named_and_nothing_follows_unreadable_texts() {
        let issue = Issue { id: "gt-1".to_owned(), title: "keel".to_owned(), ..Issue::default() };
        let rows = rows::rows(&issue).unwrap();
        let page = |wrong: RowKind| {
            let spoil = |row: Row| {
                let kind = row.kind();
                let mut packed = Packed::new(kind);
                row.with_cells(|cells| {
                    for (place, cell) in cells.iter().enumerate() {
                        let is_wrong = kind == wrong && place == kind.columns().len() - 1;
                        packed.push(if is_wrong { &crate::model::value::Cell::Int(7) } else { cell });
                    }
                });
                packed
            };
            let edge = DependencyRow {
                bead: rows.bead.id.clone(),
                on_bead: BeadId::new("gt-2").unwrap(),
                kind: DependencyKind::Blocks,
                counted: false,
                created_by: String::new(),
                created_at: Timestamp::default(),
                gate: None,
                extra: None,
            };
            let bead = BeadRow { source_status: Some("odd".to_owned()), ..rows.bead.clone() };
            Page {
                beads: spoil(bead.into_row()),
                texts: spoil(rows.texts.clone().into_row()),
                edges: spoil(edge.into_row()),
                comments: Vec::new(),
                dependents: None,
            }
        };
        for (wrong, goes_on, lines) in
            [(RowKind::Bead, true, 0), (RowKind::BeadText, false, 0), (RowKind::Dependency, true, 1)]
        {
            let (mut writer, mut written) = (Writer::new(Vec::new(), Dialect::Native), Written::default());
            assert_eq!(page(wrong).write(Dialect::Native, true, &mut writer, &mut written).unwrap(), goes_on);
            assert_eq!(written.lines, lines);
            assert_eq!(written.unreadable.iter().map(|key| key.kind).collect::<Vec<_>>(), [wrong]);
        }
    }
}
