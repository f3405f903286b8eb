//! The story of the run, told by the journal alone: each bead's way through its states, and what came of it.

use std::collections::{BTreeMap, BTreeSet};

use gastown_core::model::{Change, Event, Timestamp};
use serde::Serialize;
use serde_json::Value as Json;

/// One step of a bead's way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Step {
    pub(crate) at: Timestamp,
    /// The status, with the resolution behind a slash: `in_progress`, `closed/merged`.
    pub(crate) state: String,
    /// Who or why, where the journal says so.
    pub(crate) note: Option<String>,
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (status, resolution) = self.state.split_once('/').unwrap_or((&self.state, ""));
        let about = [resolution, self.note.as_deref().unwrap_or("")];
        let about: Vec<&str> = about.into_iter().filter(|text| !text.is_empty()).collect();
        f.write_str(status)?;
        if about.is_empty() { Ok(()) } else { write!(f, " ({})", about.join(": ")) }
    }
}

/// One task's bead.
#[derive(Clone, Debug, Default)]
pub(crate) struct Line {
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) way: Vec<Step>,
    /// Who worked on it, in order, once for each attempt.
    pub(crate) agents: Vec<String>,
    pub(crate) failures: u64,
    /// Why it waits for somebody.
    pub(crate) parked: Option<String>,
}

impl Line {
    pub(crate) fn state(&self) -> &str {
        self.way.last().map_or("", |step| &step.state)
    }

    /// From its first attempt to its merge, in seconds.
    pub(crate) fn seconds(&self) -> Option<f64> {
        let begun = self.way.iter().find(|step| step.state == "in_progress")?.at;
        let merged = self.way.iter().find(|step| step.state.starts_with("closed"))?.at;
        Some(merged.since(begun).as_secs_f64())
    }
}

/// One merge request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Review {
    pub(crate) source: String,
    pub(crate) state: String,
    pub(crate) head: String,
    pub(crate) landed: Option<String>,
}

/// The convoy.
#[derive(Clone, Debug, Default)]
pub(crate) struct Convoy {
    pub(crate) id: String,
    pub(crate) state: String,
    pub(crate) reason: Option<String>,
    pub(crate) landed: Option<String>,
}

/// Everything the journal told so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Story {
    /// In the order of the tasks.
    pub(crate) lines: Vec<Line>,
    pub(crate) reviews: BTreeMap<String, Review>,
    pub(crate) convoy: Convoy,
    pub(crate) begun: Option<Timestamp>,
    pub(crate) now: Timestamp,
    /// Orders that are not settled, by the effect's id.
    pub(crate) outstanding: BTreeSet<String>,
    /// Why orders were given up, except those that nobody wanted any more.
    pub(crate) given_up: Vec<String>,
    /// Where a bead's line is.
    places: BTreeMap<String, usize>,
    /// What each bead is called.
    titles: BTreeMap<String, String>,
    /// How each bead's last session ended.
    ends: BTreeMap<String, String>,
}

impl Story {
    /// Takes one event, and answers which lines it changed.
    pub(crate) fn hear(&mut self, event: &Event) -> Vec<usize> {
        self.now = event.at;
        if event.kind == "session.ended"
            && let Some(bead) = event.data["bead"].as_str()
        {
            let reason = event.data["reason"].as_str().unwrap_or_default();
            let exit = event.data["exit"].as_str().unwrap_or_default();
            self.ends.insert(bead.to_owned(), format!("{exit}: {reason}"));
        }
        if event.kind == "bead.created"
            && let Some(title) = event.data["title"].as_str()
        {
            self.titles.insert(event.subject.clone(), title.to_owned());
        }
        if event.kind == "convoy.slung" {
            self.begin(event);
        }
        let mut changed = Vec::new();
        for change in &event.changes {
            match change.table.as_str() {
                "bead" => changed.extend(self.bead(event, change)),
                "bead_detail_merge_request" => self.review(change),
                "bead_detail_convoy" => self.convoy(change),
                "effect" => self.effect(change),
                _ => {}
            }
        }
        changed
    }

    /// Whether the convoy is home and nothing is left to be done outside.
    pub(crate) fn is_over(&self) -> bool {
        self.convoy.state == "landed" && self.outstanding.is_empty()
    }

    /// Why it will not come home by itself.
    pub(crate) fn trouble(&self) -> Option<String> {
        if self.convoy.state == "needs_attention" {
            return Some(format!("the convoy needs attention: {}", self.convoy.reason.as_deref().unwrap_or("?")));
        }
        let parked = self.lines.iter().find_map(|line| Some((line, line.parked.as_deref()?)));
        parked.map(|(line, why)| format!("{} waits for somebody: {why}", line.id))
    }

    pub(crate) fn is_merged(line: &Line) -> bool {
        matches!(line.state(), "closed/merged" | "closed/landed")
    }

    /// Its merge request that was merged, where there is exactly one.
    pub(crate) fn merged_review<'a>(&'a self, line: &'a Line) -> Option<&'a Review> {
        let mut merged = self.reviews_of(line).filter(|review| review.state == "merged");
        merged.next().filter(|_| merged.next().is_none())
    }

    pub(crate) fn conflicts(&self, line: &Line) -> usize {
        self.reviews_of(line).filter(|review| review.state == "conflict").count()
    }

    fn reviews_of<'a>(&'a self, line: &'a Line) -> impl Iterator<Item = &'a Review> {
        self.reviews.values().filter(|review| review.source == line.id)
    }

    /// Makes the lines, in the order of the tasks.
    fn begin(&mut self, event: &Event) {
        self.begun = Some(event.at);
        for id in event.data["members"].as_array().into_iter().flatten().filter_map(Json::as_str) {
            self.places.insert(id.to_owned(), self.lines.len());
            let way = vec![Step { at: event.at, state: "open".to_owned(), note: None }];
            let title = self.titles.get(id).cloned().unwrap_or_default();
            self.lines.push(Line { id: id.to_owned(), title, way, ..Line::default() });
        }
    }

    fn bead(&mut self, event: &Event, change: &Change) -> Option<usize> {
        let (id, row) = (change.key.first()?.as_str()?, change.row.as_ref()?);
        let at = *self.places.get(id)?;
        let text = |name: &str| row.get(name).and_then(Json::as_str).map(str::to_owned);
        let status = text("status")?;
        let state = text("resolution").map_or_else(|| status.clone(), |resolution| format!("{status}/{resolution}"));
        let note = match (event.kind.as_str(), status.as_str()) {
            ("session.planned", "in_progress") => event.data["agent"].as_str().map(str::to_owned),
            ("bead.sent_back", _) => Some(sent_back(&event.data)),
            ("bead.retried" | "bead.failed", _) => self.ends.get(id).cloned(),
            _ => None,
        };
        let line = &mut self.lines[at];
        line.title = text("title")?;
        line.parked = text("parked_reason");
        line.failures = row.get("failures").and_then(Json::as_u64).unwrap_or(0);
        if line.state() == state {
            return line.parked.is_some().then_some(at);
        }
        if status == "in_progress" {
            line.agents.extend(note.clone());
        }
        line.way.push(Step { at: event.at, state, note });
        Some(at)
    }

    fn review(&mut self, change: &Change) {
        let (Some(id), Some(row)) = (change.key.first().and_then(Json::as_str), &change.row) else { return };
        let text = |name: &str| row.get(name).and_then(Json::as_str).map(str::to_owned);
        let review = Review {
            source: text("source").unwrap_or_default(),
            state: text("state").unwrap_or_default(),
            head: text("head").unwrap_or_default(),
            landed: text("landed_oid"),
        };
        self.reviews.insert(id.to_owned(), review);
    }

    fn convoy(&mut self, change: &Change) {
        let (Some(id), Some(row)) = (change.key.first().and_then(Json::as_str), &change.row) else { return };
        let text = |name: &str| row.get(name).and_then(Json::as_str).map(str::to_owned);
        let state = text("state").unwrap_or_default();
        self.convoy = Convoy { id: id.to_owned(), state, reason: text("reason"), landed: text("landed_oid") };
    }

    fn effect(&mut self, change: &Change) {
        let Some(id) = change.key.first().and_then(Json::as_str) else { return };
        let text = |name: &str| change.row.as_ref().and_then(|row| row.get(name)).and_then(Json::as_str);
        match text("state") {
            None | Some("confirmed") => {
                self.outstanding.remove(id);
            }
            Some("refused") => {
                self.outstanding.remove(id);
                let outcome = text("outcome").unwrap_or("no reason");
                if outcome != "no longer wanted" {
                    self.given_up.push(format!("{id}: {outcome}"));
                }
            }
            Some(_) => {
                self.outstanding.insert(id.to_owned());
            }
        }
    }
}

/// Why the merge queue sent a bead back, in short.
fn sent_back(problem: &Json) -> String {
    let reason = problem["reason"].as_str().unwrap_or("rework");
    let files: Vec<&str> = problem["files"].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
    if files.is_empty() { reason.to_owned() } else { format!("{reason} in {}", files.join(", ")) }
}
