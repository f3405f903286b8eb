//! Beads that a query finds, a page at a time.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ast::Query;
use super::parser::parse;
use super::plan::{Candidates, LAST_ID, candidates, later, micros, walk};
use crate::model::text_enum::text_enum;
use crate::model::value::Value;
use crate::model::{BeadRow, Result};
use crate::store::{Position, Scan, index};
use crate::work::beads::BeadSummary;
use crate::work::ready::{BeadPage, check_limit, decode_position, encode_position};
use crate::work::view::View;

text_enum! {
    /// The order of a query's beads.
    pub enum QuerySort = "sort" {
        /// Oldest first.
        Created = "created",
        /// Youngest first.
        Newest = "newest",
        /// Last changed first.
        Updated = "updated",
        /// Most urgent first, then oldest.
        Priority = "priority",
        /// Due first; what is never due comes last.
        Due = "due",
        /// By id.
        Id = "id",
    }
}

/// Which beads to find, in words.
///
/// A term is a field, an operator and a value: `status = open and (priority <= 1 or label = urgent) and updated < 30d`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BeadQuery {
    /// The query; about issues where it names no kind.
    pub query: String,
    /// In which order; oldest first where it is left out.
    pub sort: Option<QuerySort>,
    /// At most so many, 1 to 1000; 50 where it is left out.
    pub limit: Option<usize>,
    /// Go on behind an earlier page.
    pub cursor: Option<String>,
}

impl From<&str> for BeadQuery {
    fn from(query: &str) -> Self {
        Self { query: query.to_owned(), ..Self::default() }
    }
}

/// Finds the beads of a query.
pub(crate) fn query(view: View<'_>, input: &BeadQuery) -> Result<BeadPage> {
    let limit = check_limit(input.limit)?;
    let sort = input.sort.unwrap_or(QuerySort::Created);
    let query = parse(&input.query, view.now())?;
    let after = input.cursor.as_deref().map(|cursor| sort.place_of(cursor)).transpose()?;
    let (rows, more) = first_rows(view, &query, sort, after.as_deref(), limit)?;
    let cursor = rows.last().filter(|_| more).map(|last| sort.cursor(last));
    Ok(BeadPage { beads: rows.into_iter().map(BeadSummary::from).collect(), cursor })
}

/// The first of a query's beads behind a place, and whether there are more; it holds no more than those.
fn first_rows(
    view: View<'_>,
    query: &Query,
    sort: QuerySort,
    after: Option<&[Value]>,
    limit: usize,
) -> Result<(Vec<BeadRow>, bool)> {
    let mut candidates = candidates(view, query)?;
    let is_in_order = match &mut candidates {
        Candidates::Few(_) => false,
        Candidates::Scan(scan) => {
            let is_by_age = scan.index.order == index::BEADS_BY_KIND.order;
            let is_in_order = sort == if is_by_age { QuerySort::Created } else { QuerySort::Id };
            if is_in_order {
                scan.after = later(scan.after.take(), after.map(|after| Position(after.to_vec())));
            }
            is_in_order
        }
    };
    // An index from its end has those of one moment the other way round, so each moment is read to its end.
    let is_back = sort == QuerySort::Newest
        && matches!(&candidates, Candidates::Scan(scan) if scan.index.order == index::BEADS_BY_KIND.order);
    let mut first: BTreeMap<Vec<Value>, BeadRow> = BTreeMap::new();
    let visit = |row: BeadRow| {
        let place = sort.place(&row);
        if is_back && first.len() > limit && first.last_key_value().is_some_and(|(last, _)| last[0] < place[0]) {
            return Ok(false);
        }
        let is_behind = after.is_none_or(|after| *place > *after);
        let is_wanted = first.len() <= limit || first.last_key_value().is_some_and(|(last, _)| place < *last);
        if is_behind && is_wanted && query.holds(view, &row)? {
            first.insert(place, row);
            if first.len() > limit + 1 {
                first.pop_last();
            }
        }
        Ok(!is_in_order || first.len() <= limit)
    };
    match candidates {
        Candidates::Scan(scan) if is_back => {
            let scan = Scan { limit: (limit + 2).min(256), ..scan };
            view.walk_back(scan, after.map(|after| behind_moment(&after[0])), visit)?;
        }
        candidates => walk(view, candidates, visit)?,
    }
    let more = first.len() > limit;
    if more {
        first.pop_last();
    }
    Ok((first.into_values().collect(), more))
}

/// Calls `visit` with each of a query's beads, in no order, until it says stop.
pub(crate) fn each_row(view: View<'_>, query: &Query, mut visit: impl FnMut(BeadRow) -> Result<bool>) -> Result<()> {
    let candidates = candidates(view, query)?;
    walk(view, candidates, |row| if query.holds(view, &row)? { visit(row) } else { Ok(true) })
}

/// The place in the order of age that is behind all of a moment, of which the negative is given.
fn behind_moment(negative: &Value) -> Position {
    let micros = if let Value::Int(negative) = negative { negative.saturating_neg() } else { i64::MAX };
    Position(vec![Value::Int(micros), Value::Text(LAST_ID.to_owned())])
}

impl QuerySort {
    /// What orders beads, unique.
    fn place(self, row: &BeadRow) -> Vec<Value> {
        let id = || Value::Text(row.id.to_string());
        let down = |at: crate::model::Timestamp| Value::Int(at.as_micros().saturating_neg());
        match self {
            Self::Created => vec![micros(row.created_at), id()],
            Self::Newest => vec![down(row.created_at), id()],
            Self::Updated => vec![down(row.updated_at), id()],
            Self::Priority => vec![Value::Int(row.priority.into()), micros(row.created_at), id()],
            Self::Due => {
                let due = row.due_at.map_or(Value::Int(i64::MAX), micros);
                vec![due, Value::Int(row.priority.into()), micros(row.created_at), id()]
            }
            Self::Id => vec![id()],
        }
    }

    const fn shape(self) -> &'static str {
        match self {
            Self::Created | Self::Newest | Self::Updated => "it",
            Self::Priority => "iit",
            Self::Due => "iiit",
            Self::Id => "t",
        }
    }

    fn cursor(self, row: &BeadRow) -> String {
        encode_position(&format!("query/{self}"), &self.place(row))
    }

    fn place_of(self, cursor: &str) -> Result<Vec<Value>> {
        Ok(decode_position(&format!("query/{self}"), self.shape(), cursor)?.0)
    }
}
