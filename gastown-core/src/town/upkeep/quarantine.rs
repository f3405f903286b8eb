//! Rows that cannot be read go out of their tables.

use serde::{Deserialize, Serialize};

use super::{Finding, of_whole_town};
use crate::model::{ErrorKind, Result, RowKind};
use crate::store::{Position, Reader, Scan, Txn, UNREADABLE_MAX, Unreadable, index};
use crate::town::handle::Handle;
use crate::town::operation::Operation;
use crate::work::quarantine::{TakenOut, take_out};
use crate::work::{All, QuarantinedRow, command};

/// How many rows are looked at between two looks at what could not be read.
const PAGE: usize = 500;
/// The most rows that one call takes out, and some.
const ROWS_MAX: usize = 1_000;

/// What was taken out of the tables.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Quarantined {
    /// The rows that were, as they lie in quarantine.
    pub rows: Vec<QuarantinedRow>,
    /// Rows that cannot be read and stay: because of what.
    pub left: Vec<Finding>,
    /// Whether there may be more of them.
    pub has_more: bool,
}

/// Looks at every row, beside the town's work, and takes out those that cannot be read, each with its journal entry.
///
/// It may be stopped anywhere and repeated: what was taken out is not met again.
pub(in crate::town) async fn quarantine(handle: &Handle, operation: &'static Operation, _: All) -> Result<Quarantined> {
    of_whole_town(handle)?;
    let store = &handle.town().shared.store;
    let (met, has_more) = store.read_aside(met).await?;
    let mut done = Quarantined { has_more, ..Quarantined::default() };
    let (held, met): (Vec<_>, Vec<_>) = met.into_iter().partition(|row| row.key.kind == RowKind::Quarantine);
    let left = |row: &Unreadable, why: &str| {
        let problem = format!("{why}: {}", row.error.chain());
        Finding { subject: row.key.to_string(), problem }
    };
    done.left.extend(held.iter().map(|row| left(row, "what it was is in the journal")));
    for row in met {
        let (scope, ctx, key) = (handle.shared_scope(), handle.town().ctx(), row.key.clone());
        let take =
            move |raw: &mut dyn Txn| command::batch(raw, &scope, &ctx, operation.name, |txn| take_out(txn, &key));
        match store.write(take).await {
            Ok(TakenOut::Out(taken)) => done.rows.push(taken),
            Ok(TakenOut::Readable) => {}
            // Damage may have come to the key itself.
            Ok(TakenOut::Missing) => done.left.push(left(&row, "no row has this key as it can be read")),
            // Or to what is around it; the others can be taken out all the same.
            Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Exhausted) => {
                done.left.push(left(&row, &error.chain()));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// The rows that cannot be read, and whether there may be more.
fn met(reader: &dyn Reader) -> Result<(Vec<Unreadable>, bool)> {
    let mut met: Vec<Unreadable> = Vec::new();
    for &kind in RowKind::ALL {
        // A reader tells at most so many at a time, and a page of so many rows can pass more.
        let mut scan = Scan::new(index::of_key(kind), vec![], PAGE);
        loop {
            let rows = reader.scan(&scan)?;
            let told = reader.unreadable();
            let is_full = told.len() >= UNREADABLE_MAX;
            met.extend(told);
            if is_full || met.len() >= ROWS_MAX {
                return Ok((met, true));
            }
            match rows.last() {
                Some(last) if rows.len() == scan.limit => scan.after = Some(Position::of(scan.index, last)),
                _ => break,
            }
        }
    }
    Ok((met, false))
}
