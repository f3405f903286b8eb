//! What was: the history of one bead, and beads as they were at an entry of the journal.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::handle::Handle;
use super::operation::Operation;
use super::upkeep;
use crate::model::{BeadId, BeadRow, BeadTextRow, Change, Error, Event, Result, Row, RowKind, Stored as _, Timestamp};
use crate::store::Reader;
use crate::work::beads::whole;
use crate::work::command;
use crate::work::find::Historian;
use crate::work::query;
use crate::work::ready::check_limit;
use crate::work::view::View;
use crate::work::{Bead, BeadHistory, HistoryOf};

/// The most beads that are kept while the journal is played, and about how many bytes of them.
const KEPT_MAX: usize = 20_000;
const KEPT_BYTES_MAX: usize = 64 << 20;

/// Reads what happened to a bead, from the archives too.
pub(super) async fn history(handle: &Handle, operation: &'static Operation, input: HistoryOf) -> Result<BeadHistory> {
    operation.check(handle.scope())?;
    let (scope, ctx, dir) = (handle.scope().clone(), handle.town().ctx(), handle.town().dir().to_owned());
    let asked = (input, dir);
    handle.town().shared.store.read_aside(move |reader| command::ask(reader, &scope, &ctx, &asked, history_of)).await
}

fn history_of(view: View<'_>, (input, dir): &(HistoryOf, PathBuf)) -> Result<BeadHistory> {
    let mut historian = Historian::new(input)?;
    // Who may not see the bead does not see its archive either.
    let mut events = view.events_of_bead(&input.id, 0, 500)?;
    let first = view.first_seq()?;
    let mut goes_on = true;
    if first > 1 {
        let mut take = |event: Event| {
            goes_on = goes_on && historian.take(&event);
            Ok(())
        };
        match upkeep::archived_events(dir, first, &mut take) {
            // Other hosts may hold the archives.
            Err(error) if error.code() == "archive_missing" => historian.miss_before(first),
            read => read?,
        }
    }
    while goes_on && !events.is_empty() {
        goes_on = events.iter().all(|event| historian.take(event));
        let last = events.last().map_or(u64::MAX, |event| event.seq);
        events = if goes_on { view.events_of_bead(&input.id, last, 500)? } else { Vec::new() };
    }
    let history = historian.finish();
    if history.entries.is_empty() && history.cursor.is_none() && input.cursor.is_none() {
        view.bead(&input.id)?;
    }
    Ok(history)
}

/// Which beads to read as they were.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BeadsAt {
    /// Behind this entry of the journal.
    pub seq: u64,
    /// This bead.
    pub id: Option<BeadId>,
    /// Those of which this query of the query language held, its times taken from the time of the entry; all issues where
    /// it is left out, as is `id`.
    pub query: Option<String>,
    /// At most so many, 1 to 1000; 50 where it is left out.
    pub limit: Option<usize>,
    /// Go on behind an earlier page.
    pub cursor: Option<String>,
}

/// Beads as they were.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BeadsAtPage {
    /// When the entry was written.
    pub at: Timestamp,
    /// The beads behind it, by id; columns that the journal leaves out are at rest. There may be fewer than asked for
    /// although there are more: see `cursor`.
    pub beads: Vec<Bead>,
    /// Where the next page begins; none at the end.
    pub cursor: Option<String>,
}

/// Reads beads as they were behind an entry of the journal, by playing it, from the archives too.
///
/// Each page plays the journal from its beginning; it keeps at most twenty thousand beads or 64 MiB of them at a time.
pub(super) async fn at(handle: &Handle, operation: &'static Operation, input: BeadsAt) -> Result<BeadsAtPage> {
    operation.check(handle.scope())?;
    upkeep::of_whole_town(handle)?;
    let limit = check_limit(input.limit)?;
    let (now, dir) = (handle.town().ctx().now, handle.town().dir().to_owned());
    if input.id.is_some() && input.query.is_some() {
        return Err(
            Error::invalid("filter_misplaced", "ask for one bead or for those of a query").with("field", "query")
        );
    }
    if let Some(text) = &input.query {
        query::parse(text, now)?;
    }
    handle.town().shared.store.read_aside(move |reader| play(reader, &dir, &input, limit)).await
}

fn play(reader: &dyn Reader, dir: &std::path::Path, input: &BeadsAt, limit: usize) -> Result<BeadsAtPage> {
    let head = reader.head()?.seq;
    if !(1..=head).contains(&input.seq) {
        return Err(Error::not_found(
            "seq_beyond_head",
            format!("the journal has the entries 1 to {head}, and no {}", input.seq),
        )
        .with("seq", input.seq)
        .with("head", head));
    }
    let mut window = Window::new(input);
    let mut last = None;
    let mut take = |event: Event| {
        last = Some((event.seq, event.at));
        window.take(event);
        Ok(())
    };
    let first = reader.events(0, 1)?.first().map_or(1, |event| event.seq);
    if first > 1 {
        upkeep::archived_events(dir, first.min(input.seq.saturating_add(1)), &mut take)?;
    }
    let mut after = first - 1;
    while after < input.seq {
        let events = reader.events(after, 500)?;
        let Some(end) = events.last().map(|event| event.seq) else { break };
        after = end;
        events.into_iter().filter(|event| event.seq <= input.seq).try_for_each(&mut take)?;
    }
    match last {
        Some((seq, at)) if seq == input.seq => window.page(input, limit, at),
        _ => {
            Err(Error::corrupt("journal_broken", format!("the journal has no entry {}", input.seq))
                .with("seq", input.seq))
        }
    }
}

/// The beads of the least ids behind a place, as far as there is room.
struct Window<'i> {
    only: Option<&'i str>,
    after: Option<&'i str>,
    beads: BTreeMap<String, Kept>,
    bytes: usize,
    /// What was left out: this id and all behind it.
    end: Option<String>,
}

#[derive(Default)]
struct Kept {
    bead: Option<Change>,
    texts: Option<Change>,
    bytes: usize,
}

impl<'i> Window<'i> {
    fn new(input: &'i BeadsAt) -> Self {
        Self {
            only: input.id.as_ref().map(BeadId::as_str),
            after: input.cursor.as_deref(),
            beads: BTreeMap::new(),
            bytes: 0,
            end: None,
        }
    }

    fn take(&mut self, event: Event) {
        for change in event.changes {
            let is_bead = change.table == RowKind::Bead.table();
            if !is_bead && change.table != RowKind::BeadText.table() {
                continue;
            }
            let Some(id) = change.key.first().and_then(serde_json::Value::as_str).map(str::to_owned) else { continue };
            if self.only.is_some_and(|only| only != id)
                || self.after.is_some_and(|after| *id <= *after)
                || self.end.as_ref().is_some_and(|end| id >= *end)
            {
                continue;
            }
            let kept = self.beads.entry(id.clone()).or_default();
            let change = change.row.is_some().then_some(change);
            if is_bead {
                kept.bead = change;
            } else {
                kept.texts = change;
            }
            self.bytes -= kept.bytes;
            kept.bytes = [&kept.bead, &kept.texts].into_iter().flatten().map(weight).sum();
            self.bytes += kept.bytes;
            if kept.bead.is_none() && kept.texts.is_none() {
                self.beads.remove(&id);
            }
            self.make_room();
        }
    }

    fn make_room(&mut self) {
        while self.beads.len() > KEPT_MAX || (self.bytes > KEPT_BYTES_MAX && self.beads.len() > 1) {
            let Some((id, kept)) = self.beads.pop_last() else { break };
            self.bytes -= kept.bytes;
            self.end = Some(id);
        }
    }

    fn page(self, input: &BeadsAt, limit: usize, at: Timestamp) -> Result<BeadsAtPage> {
        let asked = match (&input.query, &input.id) {
            (Some(text), _) => Some(query::parse(text, at)?),
            (None, Some(_)) => None,
            (None, None) => Some(query::parse("kind = issue", at)?),
        };
        let mut page = BeadsAtPage { at, beads: Vec::new(), cursor: None };
        let mut looked_at = None;
        for (id, kept) in self.beads {
            let Some(row) = row_of(kept.bead.as_ref())?.and_then(BeadRow::from_row) else {
                looked_at = Some(id);
                continue;
            };
            let texts = row_of(kept.texts.as_ref())?.and_then(BeadTextRow::from_row);
            if asked.as_ref().is_none_or(|query| query.holds_with(&row, texts.as_ref())) {
                if page.beads.len() == limit {
                    page.cursor = looked_at;
                    return Ok(page);
                }
                page.beads.push(whole(row, texts));
            }
            looked_at = Some(id);
        }
        // What was left out may hold more.
        if self.end.is_some() {
            page.cursor = looked_at.or_else(|| input.cursor.clone());
        }
        Ok(page)
    }
}

fn row_of(change: Option<&Change>) -> Result<Option<Row>> {
    change.map_or(Ok(None), Row::from_change)
}

/// About how many bytes a change takes.
fn weight(change: &Change) -> usize {
    let of = |value: &serde_json::Value| 48 + value.as_str().map_or(0, str::len);
    change.row.iter().flatten().map(|(name, value)| name.len() + of(value)).sum()
}
