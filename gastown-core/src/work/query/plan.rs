//! Where to look for the beads of a query.

use super::ast::{Name, NameField, Query, Test, TimeField};
use super::lexer::Comparison;
use crate::model::value::Value;
use crate::model::{BeadId, BeadKind, BeadRow, BeadStatus, Key, LabelRow, Result, Timestamp};
use crate::store::index::{self, Index};
use crate::store::{Position, Scan};
use crate::work::view::{View, text};

/// Where at most so many beads have a parent, a label, an assignee or the like, they are looked at one by one.
const FEW: usize = 1_000;
/// Behind every id.
pub(super) const LAST_ID: &str = "\u{10ffff}";

/// Beads among which all of a query's are.
#[derive(Debug)]
pub(super) enum Candidates {
    /// These few, in no order.
    Few(Vec<BeadRow>),
    /// These in the order of an index.
    Scan(Scan),
}

/// Finds the least of them, without looking at more than a few.
pub(super) fn candidates(view: View<'_>, query: &Query) -> Result<Candidates> {
    let needed = query.needed();
    let names = |wanted: NameField| {
        needed.iter().filter_map(move |test| match test {
            Test::Name(field, Name::Is(name)) if *field == wanted => Some(name.as_str()),
            _ => None,
        })
    };
    if let Some(id) = names(NameField::Id).next() {
        let Ok(id) = BeadId::new(id) else { return Ok(Candidates::Few(Vec::new())) };
        return Ok(Candidates::Few(view.find(&Key::bead(&id))?.into_iter().collect()));
    }
    let by_name: [(NameField, &'static Index); 4] = [
        (NameField::ExternalRef, &index::BEADS_BY_EXTERNAL_REF),
        (NameField::Parent, &index::BEADS_BY_PARENT),
        (NameField::Convoy, &index::BEADS_BY_CONVOY),
        (NameField::Assignee, &index::BEADS_BY_ASSIGNEE),
    ];
    for (field, index) in by_name {
        for name in names(field) {
            let rows: Vec<BeadRow> = view.scan(Scan::new(index, vec![text(name)], FEW + 1))?;
            if rows.len() <= FEW {
                return Ok(Candidates::Few(rows));
            }
        }
    }
    for label in names(NameField::Label) {
        let labels: Vec<LabelRow> = view.scan(Scan::new(&index::LABELS_BY_NAME, vec![text(label)], FEW + 1))?;
        if labels.len() <= FEW {
            let mut rows = Vec::with_capacity(labels.len());
            for label in labels {
                rows.extend(view.find_readable::<BeadRow>(&Key::bead(&label.bead))?);
            }
            return Ok(Candidates::Few(rows));
        }
    }
    Ok(Candidates::Scan(scan(query, &needed)))
}

fn scan(query: &Query, needed: &[&Test]) -> Scan {
    let beginning = needed.iter().find_map(|test| match test {
        Test::Name(NameField::Id, Name::Like(parts)) => parts.first().filter(|first| !first.is_empty()),
        _ => None,
    });
    if let Some(beginning) = beginning {
        return Scan::new(&index::BEADS, vec![], 0)
            .after(before(beginning).map(|before| Position(vec![Value::Text(before)])))
            .upto(Value::Text(format!("{beginning}{LAST_ID}")));
    }
    let kind = needed.iter().find_map(|test| if let Test::Kind(kind) = test { Some(*kind) } else { None });
    let kind = match kind {
        None if query.names_kind => return Scan::new(&index::BEADS, vec![], 0),
        None => BeadKind::Issue,
        Some(kind) => kind,
    };
    let status: Option<BeadStatus> =
        needed.iter().find_map(|test| if let Test::Status(status) = test { Some(*status) } else { None });
    let mut scan = match status {
        Some(status) => Scan::new(&index::BEADS_BY_STATUS, vec![text(kind.as_str()), text(status.as_str())], 0),
        None => Scan::new(&index::BEADS_BY_KIND, vec![text(kind.as_str())], 0),
    };
    // Both are in the order of when the beads were made.
    let mut earliest: Option<i64> = None;
    for time in needed {
        let Test::Time(TimeField::Created, comparison, Some(wanted)) = time else { continue };
        let (first, last) = (wanted.first.as_micros(), wanted.last.as_micros());
        let from = match comparison {
            Comparison::Equal | Comparison::AtLeast => Some(first.saturating_sub(1)),
            Comparison::More => Some(last),
            Comparison::Unequal | Comparison::Less | Comparison::AtMost => None,
        };
        earliest = earliest.max(from);
        let upto = match comparison {
            Comparison::Equal | Comparison::AtMost => Some(last),
            Comparison::Less => Some(first.saturating_sub(1)),
            Comparison::Unequal | Comparison::More | Comparison::AtLeast => None,
        };
        if let Some(upto) = upto {
            let known = match scan.upto {
                Some(Value::Int(known)) => known,
                _ => i64::MAX,
            };
            scan.upto = Some(Value::Int(known.min(upto)));
        }
    }
    scan.after = earliest.map(|at| Position(vec![Value::Int(at), text(LAST_ID)]));
    scan
}

/// A text that is less than this one, with no id between the two.
fn before(text: &str) -> Option<String> {
    let last = text.chars().next_back()?;
    let rest = &text[..text.len() - last.len_utf8()];
    let less = char::from_u32(u32::from(last).checked_sub(1)?)?;
    Some(format!("{rest}{less}{LAST_ID}"))
}

/// Calls `visit` with each candidate until it says stop.
pub(super) fn walk(
    view: View<'_>,
    candidates: Candidates,
    mut visit: impl FnMut(BeadRow) -> Result<bool>,
) -> Result<()> {
    match candidates {
        Candidates::Few(rows) => {
            for row in rows {
                if !visit(row)? {
                    break;
                }
            }
            Ok(())
        }
        Candidates::Scan(scan) => view.walk(scan, visit),
    }
}

/// The later of two places in an index, where there is one.
pub(super) fn later(a: Option<Position>, b: Option<Position>) -> Option<Position> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.max(b)),
        (a, b) => a.or(b),
    }
}

/// A moment as an index holds it.
pub(super) const fn micros(at: Timestamp) -> Value {
    Value::Int(at.as_micros())
}
