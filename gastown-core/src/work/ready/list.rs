//! Lists of beads.

use serde::{Deserialize, Serialize};

use super::cursor::decode_position;
use super::filter::{BeadFilter, ListSort};
use super::page::{First, Order, Stream, check_limit, few, page, summaries};
use crate::model::value::{ColumnValue as _, Value};
use crate::model::{BeadKind, BeadRow, BeadStatus, Result, Timestamp};
use crate::store::{Position, Scan, index};
use crate::work::beads::BeadSummary;
use crate::work::view::{View, text};

/// Behind every id.
pub(crate) const LAST_ID: &str = "\u{10ffff}";

/// One page of beads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BeadPage {
    /// The beads, in order, without their texts.
    pub beads: Vec<BeadSummary>,
    /// Where the next page begins; none at the end.
    pub cursor: Option<String>,
}

/// Lists beads, oldest first or as the filter says, a page at a time.
///
/// In the order of age, either way, a page costs what is looked at until it is full; in another order it costs all that
/// fit, in bounded memory.
pub(crate) fn list(view: View<'_>, input: &BeadFilter) -> Result<BeadPage> {
    let limit = check_limit(input.limit)?;
    let conditions = input.conditions(view)?;
    let kind = input.kind.unwrap_or(BeadKind::Issue);
    let mut statuses: Vec<BeadStatus> = input.statuses.iter().copied().chain(input.status).collect();
    statuses.sort_unstable();
    statuses.dedup();
    if let Some(status) = input.status.filter(|_| !input.statuses.is_empty()) {
        statuses.retain(|wanted| *wanted == status && input.statuses.contains(&status));
        if statuses.is_empty() {
            return Ok(BeadPage { beads: Vec::new(), cursor: None });
        }
    }
    let fits = |row: &BeadRow| {
        row.kind == kind
            && (statuses.is_empty() || statuses.contains(&row.status))
            && input.pinned.is_none_or(|pinned| row.pinned == pinned)
            && input.ephemeral.is_none_or(|ephemeral| row.ephemeral == ephemeral)
            && input.template.is_none_or(|template| row.template == template)
            && is_between(Some(row.created_at), input.created_after, input.created_before)
            && is_between(Some(row.updated_at), input.updated_after, input.updated_before)
            && is_between(row.closed_at, input.closed_after, input.closed_before)
            && conditions.fit(row, false)
    };
    let sort = input.sort.unwrap_or(ListSort::Created);
    let place = |row: &BeadRow| place(sort, row);
    let order = Order { name: format!("list/{sort}"), place: &place };
    let after = input.cursor.as_deref().map(|cursor| decode_position(&order.name, shape(sort), cursor)).transpose()?;
    let mut first = First::new(limit, after.as_ref().map(|after| after.0.clone()));
    let scans = || scans(kind, &statuses, input);
    let mut streams = Vec::new();
    if let Some(rows) = few(view, &conditions)? {
        rows.into_iter().filter(fits).for_each(|row| first.show(&order, row));
    } else if sort == ListSort::Created {
        let begin = |scan: Scan| {
            let behind = after.clone().max(scan.after.clone());
            Stream::new(Scan { limit: (limit + 1).min(256), ..scan.after(behind) }, &fits)
        };
        streams.push(scans().into_iter().map(begin).collect());
    } else if sort == ListSort::Newest {
        // An index from its end has those of one moment the other way round, so each moment is read to its end.
        let before = after.as_ref().map(|after| of_moment(&after.0[0]));
        for scan in scans() {
            // One more than there may be, to see where the moment ends.
            let page = Scan { limit: (limit + 2).min(256), ..scan };
            view.walk_back::<BeadRow>(page, before.clone(), |row| {
                let is_all = first.has_all_before(&late_first(row.created_at));
                if !is_all && fits(&row) {
                    first.show(&order, row);
                }
                Ok(!is_all)
            })?;
        }
    } else {
        for scan in scans() {
            view.walk::<BeadRow>(scan, |row| {
                if fits(&row) {
                    first.show(&order, row);
                }
                Ok(true)
            })?;
        }
    }
    let (rows, cursor) = page(view, limit, &order, first, streams)?;
    Ok(BeadPage { beads: summaries(rows), cursor })
}

/// The scans that hold every bead of the kind in one of the statuses, oldest first.
fn scans(kind: BeadKind, statuses: &[BeadStatus], input: &BeadFilter) -> Vec<Scan> {
    let kind = text(kind.as_str());
    let all: Vec<Scan> = if statuses.is_empty() {
        vec![Scan::new(&index::BEADS_BY_KIND, vec![kind], 0)]
    } else {
        let of = |status: &BeadStatus| vec![kind.clone(), text(status.as_str())];
        statuses.iter().map(|status| Scan::new(&index::BEADS_BY_STATUS, of(status), 0)).collect()
    };
    let after = input.created_after.map(|at| Position(vec![at.to_value(), text(LAST_ID)]));
    let upto = input.created_before.map(|at| Value::Int(at.as_micros().saturating_sub(1)));
    all.into_iter().map(|scan| Scan { after: after.clone(), upto: upto.clone(), ..scan }).collect()
}

fn is_between(at: Option<Timestamp>, after: Option<Timestamp>, before: Option<Timestamp>) -> bool {
    after.is_none_or(|after| at.is_some_and(|at| at > after))
        && before.is_none_or(|before| at.is_some_and(|at| at < before))
}

/// A moment as a value of which later ones are less.
fn late_first(at: Timestamp) -> Value {
    Value::Int(at.as_micros().saturating_neg())
}

/// The place in the order of age that is behind all of a moment, which is given as [`late_first`] gives it.
fn of_moment(late_first: &Value) -> Position {
    let micros = if let Value::Int(negative) = late_first { negative.saturating_neg() } else { i64::MAX };
    Position(vec![Value::Int(micros), text(LAST_ID)])
}

/// What orders a bead.
fn place(sort: ListSort, row: &BeadRow) -> Vec<Value> {
    let id = row.id.to_value();
    match sort {
        ListSort::Created => vec![row.created_at.to_value(), id],
        ListSort::Newest => vec![late_first(row.created_at), id],
        ListSort::Updated => vec![late_first(row.updated_at), id],
        ListSort::Priority => vec![row.priority.to_value(), row.created_at.to_value(), id],
        ListSort::Id => vec![id],
    }
}

const fn shape(sort: ListSort) -> &'static str {
    match sort {
        ListSort::Created | ListSort::Newest | ListSort::Updated => "it",
        ListSort::Priority => "iit",
        ListSort::Id => "t",
    }
}
