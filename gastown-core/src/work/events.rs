//! The journal, as callers read it.

use serde::{Deserialize, Serialize};

use super::view::View;
use crate::model::{Error, Event, Result};

/// The most events in one answer.
pub(crate) const EVENTS_MAX: usize = 1_000;

/// Which events to read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EventsSince {
    /// Events behind this place; 0 for the beginning.
    pub since: u64,
    /// At most so many, 1 to 1000; 100 where it is left out.
    pub limit: Option<usize>,
}

/// A part of the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventPage {
    /// The events, in order.
    pub events: Vec<Event>,
    /// Where the journal ended at the time.
    pub head: u64,
}

pub(crate) fn since(view: View<'_>, input: &EventsSince) -> Result<EventPage> {
    let limit = match input.limit.unwrap_or(100) {
        limit @ 1..=EVENTS_MAX => limit,
        limit => {
            return Err(Error::invalid(
                "limit_out_of_range",
                format!("a page holds 1 to {EVENTS_MAX} events, not {limit}"),
            )
            .with("found", limit));
        }
    };
    let reader = view.whole_town()?;
    let events = reader.events(input.since, limit)?;
    match events.first() {
        Some(first) if first.seq != input.since + 1 => Err(Error::not_found(
            "events_archived",
            format!("the events behind {} up to {} are archived", input.since, first.seq - 1),
        )
        .with("since", input.since)
        .with("first", first.seq)),
        _ => Ok(EventPage { events, head: reader.head()?.seq }),
    }
}
