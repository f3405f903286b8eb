//! What is put right in an issue, one by one, so that nothing is lost: the original text stays in its forms.

use std::collections::HashSet;

use super::flaw::excerpt;
use super::forms::{Field, Kept};
use super::issue::Issue;
use super::record::{amend, canonical};
use super::slot::{EDGES, Said};
use super::status;
use super::time::Time;

/// Puts right what contradicts itself.
pub(super) fn issue(issue: &mut Issue, said: &mut Said) {
    words(issue, said);
    renamed(issue, said);
    times(issue, said);
    edges(issue, said);
    if issue.title.is_empty() {
        said.repair("title_missing", "title", "the issue has no title");
    }
    let mut seen = HashSet::with_capacity(issue.labels.len());
    let twice = issue.labels.iter().find(|label| !seen.insert(label.as_str())).cloned();
    if let Some(label) = twice {
        said.repair("duplicate_label", "labels", format!("{} is there more than once", excerpt(&label)));
    }
}

/// Puts right the word of an edge: `parent_child` is `parent-child`, `blocked-by` is `blocks`.
pub(super) fn edge(edge: &mut super::edge::Edge, said: &mut Said) {
    let kind = status::edge_alias(&edge.kind);
    if !status::is_edge_kind(kind.as_deref().unwrap_or(&edge.kind)) {
        said.repair(
            "edge_kind_unknown",
            "type",
            format!("{} is none of the known kinds; it is kept", excerpt(&edge.kind)),
        );
    }
    if let Some(kind) = kind {
        said.repair("edge_spelling", "type", format!("{} is read as {}", excerpt(&edge.kind), excerpt(&kind)));
        amend(&mut edge.kind, &mut edge.forms, Field::Type, true, kind);
    }
}

fn words(issue: &mut Issue, said: &mut Said) {
    if issue.status.is_empty() || issue.forms.kept("status").is_some_and(|kept| kept.was.is_empty()) {
        said.repair("status_missing", "status", "a missing status is read as open");
    }
    if issue.status.is_empty() {
        amend(&mut issue.status, &mut issue.forms, Field::Status, true, "open".to_owned());
    } else if !status::is_known(&issue.status) {
        said.repair(
            "status_unknown",
            "status",
            format!("{} is none of the known statuses; it is kept", excerpt(&issue.status)),
        );
    }
    if issue.forms.kept("issue_type").is_some_and(|kept| kept.was.is_empty()) || issue.issue_type.is_empty() {
        said.repair("type_missing", "issue_type", "a missing type is read as task");
    }
    if issue.issue_type.is_empty() {
        amend(&mut issue.issue_type, &mut issue.forms, Field::IssueType, true, "task".to_owned());
    } else if let Some(name) = status::type_alias(&issue.issue_type) {
        said.repair("type_alias", "issue_type", format!("{} is read as {name}", issue.issue_type));
        amend(&mut issue.issue_type, &mut issue.forms, Field::IssueType, true, name.to_owned());
    }
    if issue.forms.kept("priority").is_some_and(|kept| kept.was.is_empty()) {
        said.repair("priority_missing", "priority", "a missing priority is read as 2");
    }
}

fn renamed(issue: &mut Issue, said: &mut Said) {
    if issue.wisp && !issue.ephemeral {
        said.repair("key_renamed", "wisp", "wisp is read as ephemeral");
        amend(&mut issue.ephemeral, &mut issue.forms, Field::Ephemeral, false, true);
    }
    if let (None, Some(nanos @ 1..)) = (issue.timeout, issue.timeout_ns) {
        said.repair("key_renamed", "timeout_ns", "timeout_ns is read as timeout");
        amend(&mut issue.timeout, &mut issue.forms, Field::Timeout, false, Some(nanos));
    }
}

fn times(issue: &mut Issue, said: &mut Said) {
    let forms = &mut issue.forms;
    if issue.created_at.is_none() {
        said.repair(
            "time_missing",
            "created_at",
            "the issue does not say when it was made; the earliest time it has is taken",
        );
        let known = [&issue.updated_at, &issue.closed_at, &issue.deleted_at];
        if let Some(at) = known.into_iter().flatten().map(|time| time.at).min() {
            amend(&mut issue.created_at, forms, Field::CreatedAt, true, Some(Time::new(at)));
        }
    }
    if issue.updated_at.is_none() {
        let message = "the issue does not say when it last changed; created_at is taken";
        said.repair("time_missing", "updated_at", message);
    }
    let Some(created) = issue.created_at.as_ref().map(|time| time.at) else { return };
    match issue.updated_at.as_ref().map(|time| time.at) {
        None => {
            amend(&mut issue.updated_at, forms, Field::UpdatedAt, true, Some(Time::new(created)));
        }
        Some(updated) if updated < created => {
            said.repair(
                "updated_before_created",
                "updated_at",
                "updated_at is before created_at, which is taken for it",
            );
            amend(&mut issue.updated_at, forms, Field::UpdatedAt, true, Some(Time::new(created)));
        }
        Some(_) => {}
    }
    let is_closed = status::is_closed(&issue.status);
    let may_be_closed = is_closed || !status::is_known(&issue.status);
    match issue.closed_at.as_ref().map(|time| time.at) {
        None if is_closed && issue.status != "tombstone" => {
            said.repair(
                "closed_at_missing",
                "closed_at",
                "closed without closed_at; a second after the last change is taken",
            );
            let last = issue.updated_at.as_ref().map_or(created, |time| time.at.max(created));
            let at = last.after(std::time::Duration::from_secs(1));
            amend(&mut issue.closed_at, forms, Field::ClosedAt, false, Some(Time::new(at)));
        }
        Some(closed) if !may_be_closed => {
            let closed = Time::new(closed).canonical();
            said.repair(
                "closed_at_unexpected",
                "closed_at",
                format!("{closed}, and the status is {}", excerpt(&issue.status)),
            );
            amend(&mut issue.closed_at, forms, Field::ClosedAt, false, None);
        }
        Some(closed) if closed < created => {
            said.repair(
                "closed_at_before_created",
                "closed_at",
                "closed_at is before created_at, which is taken for it",
            );
            amend(&mut issue.closed_at, forms, Field::ClosedAt, false, Some(Time::new(created)));
        }
        _ => {}
    }
}

pub(super) fn edges(issue: &mut Issue, said: &mut Said) {
    if issue.dependencies.is_empty() {
        return;
    }
    // Where entries are no good the list is longer in the line than here.
    let is_whole = issue.forms.kept(EDGES).is_none();
    let mut within = |entry: usize, mend: &mut dyn FnMut(&mut Said)| {
        if is_whole { said.within(EDGES, entry, mend) } else { mend(said) }
    };
    for (entry, one) in issue.dependencies.iter_mut().enumerate() {
        within(entry, &mut |said| edge(one, said));
    }
    let mut seen = HashSet::with_capacity(issue.dependencies.len());
    for (entry, one) in issue.dependencies.iter().enumerate() {
        within(entry, &mut |said| {
            if one.depends_on_id == issue.id {
                let message = format!("the issue depends on itself by {}", excerpt(&one.kind));
                said.repair("self_edge", "depends_on_id", message);
            }
            if one.issue_id != issue.id && !one.issue_id.is_empty() {
                let message = format!("an edge of {} is written here", excerpt(&one.issue_id));
                said.repair("edge_elsewhere", "issue_id", message);
            }
            if !seen.insert((&one.issue_id, one.key())) {
                let message =
                    format!("{} by {} is there more than once", excerpt(&one.depends_on_id), excerpt(&one.kind));
                said.repair("duplicate_edge", "depends_on_id", message);
            }
        });
    }
    // A list with entries that are no good is kept as a text, which would not be read as the edges put right.
    if let Some(was) = issue.forms.kept(EDGES).map(|kept| kept.was.clone()) {
        let now = Some(canonical(&issue.dependencies));
        issue.forms.keep(EDGES, Kept { was, now });
    }
}
