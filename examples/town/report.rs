//! The result: a table, each bead's way, the checks; the same as JSON.

use std::fmt::Write as _;

use gastown_core::Error;
use serde_json::{Value as Json, json};

use crate::origin::Origin;
use crate::place::Place;
use crate::story::{Line, Story};
use crate::tasks::Planned;
use crate::verify::{Findings, short};

/// For people.
pub(crate) fn to_text(story: &Story, findings: &Findings) -> String {
    let mut rows = vec![["bead", "title", "agents", "attempts", "commit", "seconds"].map(str::to_owned)];
    rows.extend(story.lines.iter().map(|line| row(story, line)));
    let widths: Vec<usize> =
        (0..6).map(|at| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0)).collect();
    let mut text = String::new();
    for row in &rows {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}")).collect();
        let _ = writeln!(text, "{}", cells.join("  ").trim_end());
    }
    text.push('\n');
    for line in &story.lines {
        let way: Vec<String> = line.way.iter().map(ToString::to_string).collect();
        let _ = writeln!(text, "{}  {}", line.id, way.join(" → "));
    }
    text.push('\n');
    for check in &findings.checks {
        let word = if check.ok { "ok    " } else { "FAILED" };
        let _ = writeln!(text, "{word}  {}: {}", check.name, check.found);
    }
    text
}

fn row(story: &Story, line: &Line) -> [String; 6] {
    let mut agents = line.agents.clone();
    agents.dedup();
    [
        line.id.clone(),
        line.title.clone(),
        agents.join(", "),
        line.agents.len().to_string(),
        story.merged_review(line).map_or("-", |review| short(&review.head)).to_owned(),
        line.seconds().map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.2}")),
    ]
}

/// How a run ended.
pub(crate) enum Outcome<'a> {
    /// The convoy landed, and everything was looked at.
    Home { origin: &'a Origin, findings: &'a Findings },
    /// It did not.
    Astray { error: &'a Error },
}

/// For programs.
pub(crate) fn to_json(place: &Place, tasks: &[Planned], story: &Story, outcome: &Outcome<'_>) -> Json {
    let beads: Vec<Json> = story
        .lines
        .iter()
        .enumerate()
        .map(|(at, line)| {
            let review = story.merged_review(line);
            let waits_for = tasks.get(at).map(|task| &task.waits_for);
            let ids: Vec<&str> =
                waits_for.into_iter().flatten().filter_map(|&on| story.lines.get(on)).map(|l| l.id.as_str()).collect();
            json!({
                "bead": line.id,
                "title": line.title,
                "depends_on": ids,
                "agents": line.agents,
                "attempts": line.agents.len(),
                "failures": line.failures,
                "conflicts": story.conflicts(line),
                "commit": review.map(|review| &review.head),
                "merge": review.and_then(|review| review.landed.as_ref()),
                "seconds": line.seconds(),
                "state": line.state(),
                "way": line.way,
            })
        })
        .collect();
    let mut json = json!({
        "ok": false,
        "dir": place.dir,
        "plan": place.plan,
        "convoy": { "bead": story.convoy.id, "state": story.convoy.state, "commit": story.convoy.landed },
        "seconds": story.begun.map(|begun| story.now.since(begun).as_secs_f64()),
        "beads": beads,
    });
    match outcome {
        Outcome::Home { origin, findings } => {
            json["ok"] = json!(findings.checks.iter().all(|check| check.ok));
            json["checks"] = json!(findings.checks);
            json["origin"] = json!({
                "path": origin.path, "start": origin.start, "tip": findings.tip, "tree": findings.tree,
            });
        }
        Outcome::Astray { error } => {
            let facts: serde_json::Map<String, Json> =
                error.facts().map(|(name, value)| (name.to_owned(), json!(value))).collect();
            json["error"] =
                json!({ "kind": error.kind(), "code": error.code(), "message": error.chain(), "facts": facts });
        }
    }
    json
}

/// Where everything stands in a run that did not come home.
pub(crate) fn state(story: &Story) -> String {
    let mut text =
        format!("convoy {}\n", if story.convoy.state.is_empty() { "not slung" } else { &story.convoy.state });
    for line in story.lines.iter().filter(|line| !Story::is_merged(line)) {
        let step = line.way.last().map_or_else(String::new, ToString::to_string);
        let parked = line.parked.as_ref().map_or_else(String::new, |why| format!(", parked: {why}"));
        let _ = writeln!(text, "{}  {}: {step}{parked}", line.id, line.title);
    }
    for reason in &story.given_up {
        let _ = writeln!(text, "given up: {reason}");
    }
    for id in &story.outstanding {
        let _ = writeln!(text, "not settled: {id}");
    }
    text
}
