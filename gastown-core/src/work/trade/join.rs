//! Two records of one bead that say different things of the same moment.

use std::collections::{BTreeMap, BTreeSet};

use super::line;
use crate::interchange::{Dialect, Edge, Forms, Issue, Record, recall};
use crate::model::{Result, Timestamp};

/// What an issue says besides its comments, in the form in which equal ones are equal texts.
pub(super) fn said(mut issue: Issue) -> Result<String> {
    issue.forms = Forms::default();
    issue.comments.clear();
    line(&Record::Issue(Box::new(issue)), Dialect::Br)
}

/// Brings both together: of what can be said once the record of the greater text says it, and the labels and edges of both stay.
/// Which of the two is here does not matter, and neither changes the outcome when it comes again.
pub(super) fn join(here: &Issue, there: &Issue) -> Result<Issue> {
    let (mut here, mut there) = (here.clone(), there.clone());
    fill(&mut here, &there);
    fill(&mut there, &here);
    let alone = |issue: &Issue| said(Issue { labels: Vec::new(), dependencies: Vec::new(), ..issue.clone() });
    let (labels, dependencies) = (labels(&here.labels, &there.labels), edges(&here.dependencies, &there.dependencies));
    let both = if alone(&there)? > alone(&here)? { there } else { here };
    Ok(Issue { labels, dependencies, ..both })
}

/// Has a record say what another tool dropped of where it stands, as that is no change.
fn fill(issue: &mut Issue, known: &Issue) {
    recall(issue, known);
    if issue.status == known.status && issue.parked_reason.is_empty() {
        issue.parked_reason.clone_from(&known.parked_reason);
        issue.parked_until.clone_from(&known.parked_until);
    }
}

fn labels(here: &[String], there: &[String]) -> Vec<String> {
    if there.iter().all(|label| here.contains(label)) {
        return here.to_vec();
    }
    let both: BTreeSet<&String> = here.iter().chain(there).collect();
    both.into_iter().cloned().collect()
}

/// What an edge says besides its key, in an order.
type Facts = (Option<Timestamp>, String, Option<String>, String, String);

fn facts(edge: &Edge) -> Facts {
    let metadata = edge.metadata.as_ref().map(ToString::to_string);
    let extra = serde_json::Value::Object(edge.extra.clone()).to_string();
    (edge.created_at.as_ref().map(|time| time.at), edge.created_by.clone(), metadata, edge.thread_id.clone(), extra)
}

/// Those of both sides, by target and kind; where both have one, that which says the greater.
fn edges(here: &[Edge], there: &[Edge]) -> Vec<Edge> {
    let by_key = |edges: &'_ [Edge]| {
        let mut found: BTreeMap<(String, String), Vec<Edge>> = BTreeMap::new();
        for edge in edges {
            found.entry((edge.depends_on_id.clone(), edge.kind.clone())).or_default().push(edge.clone());
        }
        found
    };
    let (mut both, mut is_here) = (by_key(here), true);
    for (key, edges) in by_key(there) {
        let says = |edges: &[Edge]| edges.iter().map(facts).collect::<Vec<_>>();
        if both.get(&key).is_none_or(|known| says(known) < says(&edges)) {
            both.insert(key, edges);
            is_here = false;
        }
    }
    if is_here { here.to_vec() } else { both.into_values().flatten().collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issue(title: &str, labels: &[&str], on: &[(&str, &str)]) -> Issue {
        let edge = |(on, by): &(&str, &str)| Edge {
            issue_id: "gt-1".to_owned(),
            depends_on_id: (*on).to_owned(),
            created_by: (*by).to_owned(),
            ..Edge::default()
        };
        Issue {
            id: "gt-1".to_owned(),
            title: title.to_owned(),
            labels: labels.iter().map(ToString::to_string).collect(),
            dependencies: on.iter().map(edge).collect(),
            ..Issue::default()
        }
    }

    #[test]
    fn how_a_bead_ended_is_kept_where_one_side_does_not_say_it() {
        let closed = |resolution: &str| Issue {
            status: "closed".to_owned(),
            resolution: resolution.to_owned(),
            ..issue("a", &[], &[])
        };
        for (a, b) in [("", "abandoned"), ("abandoned", "")] {
            assert_eq!(join(&closed(a), &closed(b)).unwrap().resolution, "abandoned");
        }
    }

    #[test]
    fn two_records_of_one_time_are_brought_together_in_any_order_and_as_often_as_one_likes() {
        let all = [
            issue("a", &["x"], &[("gt-2", "me")]),
            issue("b", &["y", "x"], &[("gt-3", "me"), ("gt-2", "you")]),
            issue("a", &[], &[("gt-3", "you"), ("gt-3", "them")]),
            issue("b", &["z"], &[]),
        ];
        let join = |a: &Issue, b: &Issue| join(a, b).unwrap();
        let text = |issue: &Issue| said(issue.clone()).unwrap();
        for (a, b) in all.iter().flat_map(|a| all.iter().map(move |b| (a, b))) {
            let both = join(a, b);
            assert_eq!(text(&both), text(&join(b, a)), "{a:?} {b:?}");
            assert_eq!(text(&join(&both, a)), text(&both));
            assert_eq!(text(&join(b, &both)), text(&both));
            for c in &all {
                assert_eq!(text(&join(&both, c)), text(&join(a, &join(b, c))));
            }
        }
        let whole = all.iter().fold(all[3].clone(), |whole, one| join(&whole, one));
        assert_eq!((whole.title.as_str(), whole.labels.join(" ")), ("b", "x y z".to_owned()));
        let edges: Vec<_> =
            whole.dependencies.iter().map(|edge| (edge.depends_on_id.as_str(), edge.created_by.as_str())).collect();
        assert_eq!(edges, [("gt-2", "you"), ("gt-3", "you"), ("gt-3", "them")]);
    }
}
