//! What a query asks, and whether a bead is so.

use serde_json::Value as Json;

use super::lexer::Comparison;
use super::time::Span;
use crate::model::{BeadKind, BeadRow, BeadStatus, BeadTextRow, Key, Resolution, Result, Timestamp};
use crate::work::view::View;

/// A question about one bead.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Expr {
    /// Every one; there is at least one.
    All(Vec<Expr>),
    /// One at least; there is at least one.
    Any(Vec<Expr>),
    Not(Box<Expr>),
    Is(Test),
}

/// One term; each is about `=` where it has no comparison of its own.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Test {
    Name(NameField, Name),
    Status(BeadStatus),
    Kind(BeadKind),
    Resolution(Option<Resolution>),
    /// Contains this text in lower case; none where it is empty.
    Text(TextField, Option<String>),
    Number(NumberField, Comparison, Option<i64>),
    Time(TimeField, Comparison, Option<Span>),
    Flag(FlagField, bool),
    /// A key of metadata and what is compared with it; none for an absent or null one.
    Metadata(String, Comparison, Option<String>),
    HasKey(String),
}

/// What a name is held against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    Empty,
    Is(String),
    /// The texts between the stars.
    Like(Vec<String>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NameField {
    Id,
    Type,
    Assignee,
    Owner,
    Creator,
    Label,
    Spec,
    Parent,
    Rig,
    Convoy,
    ExternalRef,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TextField {
    Title,
    Description,
    Design,
    Acceptance,
    Notes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NumberField {
    Priority,
    Estimate,
    Blockers,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimeField {
    Created,
    Updated,
    Started,
    Closed,
    Due,
    Defer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FlagField {
    Pinned,
    Ephemeral,
    Template,
}

/// A parsed query.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Query {
    pub(crate) expr: Expr,
    /// Whether it says which kinds it is about; otherwise it is about issues.
    pub(crate) names_kind: bool,
}

impl Query {
    /// Whether the bead is so; its texts are read only where nothing else decides.
    pub(crate) fn holds(&self, view: View<'_>, row: &BeadRow) -> Result<bool> {
        if !self.names_kind && row.kind != BeadKind::Issue {
            return Ok(false);
        }
        if let Some(known) = self.expr.holds(row, None) {
            return Ok(known);
        }
        match view.find::<BeadTextRow>(&Key::bead_text(&row.id)) {
            Ok(texts) => Ok(self.holds_with(row, texts.as_ref())),
            // Texts that cannot be read hold no words; `get` says what is wrong with them.
            Err(error) if error.code() == "row_unreadable" => Ok(self.holds_with(row, None)),
            Err(error) => Err(error),
        }
    }

    /// The same with the texts at hand; none is for four empty ones.
    pub(crate) fn holds_with(&self, row: &BeadRow, texts: Option<&BeadTextRow>) -> bool {
        let texts = texts.map_or(["", "", "", ""], |t| [&*t.description, &t.design, &t.acceptance, &t.notes]);
        (self.names_kind || row.kind == BeadKind::Issue) && self.expr.holds(row, Some(texts)).unwrap_or(false)
    }

    /// The terms that must all be so, whatever else is.
    pub(crate) fn needed(&self) -> Vec<&Test> {
        let mut needed = Vec::new();
        let mut all = vec![&self.expr];
        while let Some(expr) = all.pop() {
            match expr {
                Expr::All(parts) => all.extend(parts),
                Expr::Is(test) => needed.push(test),
                Expr::Any(_) | Expr::Not(_) => {}
            }
        }
        needed
    }
}

impl Expr {
    /// None where only the texts can tell.
    fn holds(&self, row: &BeadRow, texts: Option<[&str; 4]>) -> Option<bool> {
        match self {
            Self::Is(test) => test.holds(row, texts),
            Self::Not(inner) => inner.holds(row, texts).map(|is| !is),
            Self::All(parts) => decided(parts, row, texts, false),
            Self::Any(parts) => decided(parts, row, texts, true),
        }
    }
}

/// `winner` where a part is that; its opposite where none can be.
fn decided(parts: &[Expr], row: &BeadRow, texts: Option<[&str; 4]>, winner: bool) -> Option<bool> {
    let mut answer = Some(!winner);
    for part in parts {
        match part.holds(row, texts) {
            Some(is) if is == winner => return Some(winner),
            Some(_) => {}
            None => answer = None,
        }
    }
    answer
}

impl Test {
    fn holds(&self, row: &BeadRow, texts: Option<[&str; 4]>) -> Option<bool> {
        Some(match self {
            Self::Name(NameField::Label, Name::Empty) => row.labels.is_empty(),
            Self::Name(NameField::Label, name) => row.labels.iter().any(|label| name.fits(Some(label))),
            Self::Name(field, name) => name.fits(field.of(row)),
            Self::Status(status) => row.status == *status,
            Self::Kind(kind) => row.kind == *kind,
            Self::Resolution(resolution) => row.resolution == *resolution,
            Self::Text(TextField::Title, wanted) => contains(&row.title, wanted.as_deref()),
            Self::Text(field, wanted) => {
                let [description, design, acceptance, notes] = texts?;
                let text = match field {
                    TextField::Title | TextField::Description => description,
                    TextField::Design => design,
                    TextField::Acceptance => acceptance,
                    TextField::Notes => notes,
                };
                contains(text, wanted.as_deref())
            }
            Self::Number(field, comparison, wanted) => {
                let found = match field {
                    NumberField::Priority => Some(i64::from(row.priority)),
                    NumberField::Estimate => row.estimate_minutes.map(i64::from),
                    NumberField::Blockers => Some(row.blockers),
                };
                match (found, wanted) {
                    (Some(found), Some(wanted)) => comparison.is(found.cmp(wanted)),
                    (found, wanted) => *comparison == Comparison::Equal && found.is_none() && wanted.is_none(),
                }
            }
            Self::Time(field, comparison, wanted) => match (field.of(row), wanted) {
                (Some(found), Some(span)) => match comparison {
                    Comparison::Equal => (span.first..=span.last).contains(&found),
                    Comparison::Unequal => !(span.first..=span.last).contains(&found),
                    Comparison::Less => found < span.first,
                    Comparison::AtMost => found <= span.last,
                    Comparison::More => found > span.last,
                    Comparison::AtLeast => found >= span.first,
                },
                (found, wanted) => *comparison == Comparison::Equal && found.is_none() && wanted.is_none(),
            },
            Self::Flag(field, wanted) => {
                let found = match field {
                    FlagField::Pinned => row.pinned,
                    FlagField::Ephemeral => row.ephemeral,
                    FlagField::Template => row.template,
                };
                found == *wanted
            }
            Self::Metadata(key, comparison, wanted) => metadata(row.metadata.get(key), *comparison, wanted.as_deref()),
            Self::HasKey(key) => row.metadata.get(key).is_some(),
        })
    }
}

impl NameField {
    fn of(self, row: &BeadRow) -> Option<&str> {
        match self {
            Self::Id => Some(row.id.as_str()),
            Self::Type => Some(&row.issue_type),
            Self::Assignee => row.assignee.as_deref(),
            Self::Owner => row.owner.as_deref(),
            Self::Creator => Some(&row.created_by),
            Self::Label => None,
            Self::Spec => row.spec_id.as_deref(),
            Self::Parent => row.parent.as_ref().map(AsRef::as_ref),
            Self::Rig => row.rig.as_ref().map(AsRef::as_ref),
            Self::Convoy => row.convoy.as_ref().map(AsRef::as_ref),
            Self::ExternalRef => row.external_ref.as_deref(),
        }
    }
}

impl TimeField {
    fn of(self, row: &BeadRow) -> Option<Timestamp> {
        match self {
            Self::Created => Some(row.created_at),
            Self::Updated => Some(row.updated_at),
            Self::Started => row.started_at,
            Self::Closed => row.closed_at,
            Self::Due => row.due_at,
            Self::Defer => row.defer_until,
        }
    }
}

impl Comparison {
    fn is(self, order: std::cmp::Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::Unequal => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::AtMost => order.is_le(),
            Self::More => order.is_gt(),
            Self::AtLeast => order.is_ge(),
        }
    }
}

impl Name {
    fn fits(&self, found: Option<&str>) -> bool {
        let found = found.filter(|text| !text.is_empty());
        match self {
            Self::Empty => found.is_none(),
            Self::Is(wanted) => found == Some(wanted),
            Self::Like(parts) => found.is_some_and(|found| like(found, parts)),
        }
    }
}

/// Whether a text is these parts with anything between them; there are at least two.
fn like(text: &str, parts: &[String]) -> bool {
    let [first, middle @ .., last] = parts else { return false };
    let Some(mut rest) = text.strip_prefix(&**first) else { return false };
    for part in middle {
        match rest.find(&**part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(&**last)
}

fn contains(text: &str, wanted: Option<&str>) -> bool {
    match wanted {
        None => text.is_empty(),
        Some(wanted) => text.to_lowercase().contains(wanted),
    }
}

fn metadata(found: Option<&Json>, comparison: Comparison, wanted: Option<&str>) -> bool {
    let found = found.filter(|value| !value.is_null());
    let (Some(found), Some(wanted)) = (found, wanted) else {
        return comparison == Comparison::Equal && found.is_none() && wanted.is_none();
    };
    let text = match found {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    };
    // Whole numbers are compared to the digit, which a fraction does not hold beyond 2^53.
    if let (Ok(found), Ok(wanted)) = (text.parse::<i128>(), wanted.parse::<i128>()) {
        return comparison.is(found.cmp(&wanted));
    }
    match (number(&text), number(wanted)) {
        (Some(found), Some(wanted)) => found.partial_cmp(&wanted).is_some_and(|order| comparison.is(order)),
        _ => comparison.is(text.as_str().cmp(wanted)),
    }
}

fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}
