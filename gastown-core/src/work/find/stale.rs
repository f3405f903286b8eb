//! Beads that nobody has touched for long.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::value::Value;
use crate::model::{BeadKind, BeadRow, BeadStatus, Error, Result, RigName};
use crate::store::{Scan, index};
use crate::work::beads::BeadSummary;
use crate::work::ready::{BeadPage, check_limit, decode_position, encode_position};
use crate::work::view::{View, text};

/// The order's name in cursors.
const ORDER: &str = "stale";
/// The longest time that may be asked for.
const DAYS_MAX: u32 = 36_500;

/// Which issues were not touched for how long: open or in progress, not ephemeral.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StaleBeads {
    /// Not changed for so many days; 30 where it is left out.
    pub days: Option<u32>,
    /// Of this rig.
    pub rig: Option<RigName>,
    /// At most so many, 1 to 1000; 50 where it is left out.
    pub limit: Option<usize>,
    /// Go on behind an earlier page.
    pub cursor: Option<String>,
}

/// Lists issues that were not changed for long, those that were left the longest first.
///
/// It looks at every issue that is open or in progress, in bounded memory.
pub(crate) fn stale(view: View<'_>, input: &StaleBeads) -> Result<BeadPage> {
    let limit = check_limit(input.limit)?;
    let days = input.days.unwrap_or(30);
    if days > DAYS_MAX {
        return Err(Error::invalid("days_out_of_range", format!("stale is 0 to {DAYS_MAX} days, not {days}"))
            .with("found", days));
    }
    let before = view.now().before(Duration::from_secs(u64::from(days) * 86_400));
    let after = input.cursor.as_deref().map(|cursor| decode_position(ORDER, "it", cursor)).transpose()?;
    let mut first: BTreeMap<Vec<Value>, BeadRow> = BTreeMap::new();
    for status in [BeadStatus::Open, BeadStatus::InProgress] {
        let prefix = vec![text(BeadKind::Issue.as_str()), text(status.as_str())];
        // What was made later cannot have been left for so long.
        let scan = Scan::new(&index::BEADS_BY_STATUS, prefix, 0).upto(Value::Int(before.as_micros()));
        view.walk::<BeadRow>(scan, |row| {
            let place = vec![Value::Int(row.updated_at.as_micros()), text(&row.id)];
            let fits = row.updated_at < before
                && !row.ephemeral
                && input.rig.as_ref().is_none_or(|rig| row.rig.as_ref() == Some(rig))
                && after.as_ref().is_none_or(|after| place > after.0);
            if fits && (first.len() <= limit || first.last_key_value().is_some_and(|(last, _)| place < *last)) {
                first.insert(place, row);
                if first.len() > limit + 1 {
                    first.pop_last();
                }
            }
            Ok(true)
        })?;
    }
    let more = first.len() > limit;
    if more {
        first.pop_last();
    }
    let cursor = first.last_key_value().filter(|_| more).map(|(place, _)| encode_position(ORDER, place));
    Ok(BeadPage { beads: first.into_values().map(BeadSummary::from).collect(), cursor })
}
