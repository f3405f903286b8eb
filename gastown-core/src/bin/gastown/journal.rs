//! Entries of the journal, as they were written and as they come.

use gastown_core::model::Event;
use gastown_core::{Error, EventsSince, Result};
use serde_json::{Value as Json, json};

use super::place::Place;
use super::table::{self, Shape};
use super::{print, say, shown};

const SHAPE: Shape = Shape::Table("events", &["seq", "at", "actor", "kind", "subject", "data"]);

/// Shows a page of them, or every one as it comes.
pub(crate) fn show(place: &mut Place, since: u64, limit: Option<usize>, follow: bool, json: bool) -> Result<()> {
    if follow {
        return follow_on(place, since, json);
    }
    let page = place.call("events.since", json!(EventsSince { since, limit }))?;
    print(shown(&page, json, || table::text(&page, SHAPE)).as_bytes())
}

fn follow_on(place: &mut Place, since: u64, json: bool) -> Result<()> {
    let Some((town, tokio)) = place.here() else {
        let said = "the journal is followed where the town is opened: with --db";
        return Err(Error::unsupported("follow_remote", said));
    };
    let mut watch = town.operator().events().watch(since)?;
    let mut is_read = true;
    while is_read {
        let event: Event = tokio.block_on(watch.next())?;
        let event = serde_json::to_value(event)
            .map_err(|source| Error::internal("answer_unwritable", "an event is not JSON").because(source))?;
        is_read = say(shown(&event, json, || line(&event)).as_bytes())?;
    }
    Ok(())
}

fn line(event: &Json) -> String {
    let text = |name: &str| table::safe(event[name].as_str().unwrap_or_default());
    let data = table::safe(&event["data"].to_string());
    format!("{} {} {} {} {data}\n", event["seq"], text("actor"), text("kind"), text("subject"))
}
