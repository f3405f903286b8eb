//! What an issue says, whoever wrote it.

use sha2::{Digest as _, Sha256};

use super::edge::{Comment, CommentId, Edge};
use super::ending::Ending;
use super::issue::Issue;
use super::merge::buried;
use super::record;
use super::write::{Dialect, put_issue};

/// A short hash of what an issue says.
///
/// Two issues with one essence differ at most in spelling, order, the ids of their comments, and in what `bd` and `br` write on
/// every line and nobody has said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Essence([u8; 16]);

impl Essence {
    pub(crate) fn of(issue: &Issue) -> Self {
        // A tombstone says that something was deleted, and nothing of what that was.
        let mut issue = if issue.is_tombstone() {
            Issue {
                id: issue.id.clone(),
                status: issue.status.clone(),
                deleted_at: issue.deleted_at.clone(),
                deleted_by: issue.deleted_by.clone(),
                delete_reason: issue.delete_reason.clone(),
                ..Issue::default()
            }
        } else {
            issue.clone()
        };
        let none = |value: &mut Option<i64>| *value = value.filter(|number| *number != 0);
        Ending::outward(&issue).put(&mut issue);
        // A town sets beads aside by itself, and for itself.
        issue.parked_reason.clear();
        issue.parked_until = None;
        issue.record_type.clear();
        issue.content_hash.clear();
        issue.parent.clear();
        (issue.dependency_count, issue.dependent_count, issue.comment_count) = (None, None, None);
        none(&mut issue.compaction_level);
        none(&mut issue.original_size);
        if issue.source_repo == "." {
            issue.source_repo.clear();
        }
        let is_said = |value: &serde_json::Value| value.as_object().is_none_or(|object| !object.is_empty());
        issue.metadata = issue.metadata.take().filter(is_said);
        issue.labels.sort_unstable();
        issue.labels.dedup();
        for edge in &mut issue.dependencies {
            edge.issue_id.clone_from(&issue.id);
            edge.metadata = edge.metadata.take().filter(is_said);
        }
        issue.dependencies.sort_by(|a, b| a.key().cmp(&b.key()));
        issue.dependencies.dedup_by(|a, b| a.key() == b.key());
        for comment in &mut issue.comments {
            comment.issue_id.clear();
            comment.id = CommentId::None;
        }
        issue.comments.sort_by(|a, b| a.key().cmp(&b.key()));
        record::forget_spelling(&mut issue);
        let mut line = Vec::new();
        put_issue(&issue, Dialect::Native, &mut line);
        let mut short = [0; 16];
        short.copy_from_slice(&Sha256::digest(&line)[..16]);
        Self(short)
    }

    /// The essence that a text names.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        u128::from_str_radix(text, 16).ok().filter(|_| text.len() == 32).map(|number| Self(number.to_be_bytes()))
    }
}

impl std::fmt::Display for Essence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// Gives an issue of our own what its line in a file has besides: so that only what was said about it differs.
pub(crate) fn dress(issue: &mut Issue, line: &Issue) {
    if issue.is_tombstone() && !line.is_tombstone() {
        *issue = buried(line, issue);
        return;
    }
    let outward = Ending::outward(issue);
    if outward == Ending::outward(line) {
        Ending::of(line).put(issue);
    } else if (&issue.status, &issue.resolution) != (&line.status, &line.resolution) {
        outward.put(issue);
    }
    let text = |ours: &mut String, theirs: &String| {
        if ours.is_empty() {
            ours.clone_from(theirs);
        }
    };
    text(&mut issue.record_type, &line.record_type);
    text(&mut issue.source_repo, &line.source_repo);
    text(&mut issue.content_hash, &line.content_hash);
    text(&mut issue.parent, &line.parent);
    text(&mut issue.parked_reason, &line.parked_reason);
    issue.parked_until = issue.parked_until.take().or_else(|| line.parked_until.clone());
    issue.compaction_level = issue.compaction_level.or(line.compaction_level);
    issue.original_size = issue.original_size.or(line.original_size);
    issue.dependent_count = issue.dependent_count.or(line.dependent_count);
    let edges = |issue: &'_ Issue| {
        issue.dependencies.iter().map(|edge| (edge.depends_on_id.clone(), edge.kind.clone())).collect::<Vec<_>>()
    };
    if issue.dependency_count.is_none() && edges(issue) == edges(line) {
        issue.dependency_count = line.dependency_count;
    } else if line.dependency_count.is_some() {
        issue.dependency_count = i64::try_from(issue.dependencies.len()).ok();
    }
    if line.comment_count.is_some() {
        issue.comment_count = i64::try_from(issue.comments.len()).ok();
    }
    let is_empty = |value: &serde_json::Value| value.as_object().is_some_and(serde_json::Map::is_empty);
    if issue.metadata.is_none() {
        issue.metadata = line.metadata.clone().filter(is_empty);
    }
    for edge in &mut issue.dependencies {
        let Some(known) = line.dependencies.iter().find(|known| Edge::key(known) == edge.key()) else { continue };
        edge.issue_id.clone_from(&known.issue_id);
        if edge.metadata.is_none() {
            edge.metadata = known.metadata.clone().filter(is_empty);
        }
    }
    for comment in &mut issue.comments {
        if let Some(known) = line.comments.iter().find(|known| Comment::key(known) == comment.key()) {
            comment.id.clone_from(&known.id);
            comment.issue_id.clone_from(&known.issue_id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::document::line_of;
    use super::super::{Issues, Time, merge3};
    use super::*;
    use crate::model::Timestamp;

    fn issue() -> Issue {
        let time = Some(Time::new(Timestamp::from_micros(1_750_000_000_123_456)));
        let edge = Edge { depends_on_id: "gt-2".into(), created_at: time.clone(), ..Edge::default() };
        let comment = Comment {
            id: CommentId::Text("c-9".into()),
            text: "why?".into(),
            created_at: time.clone(),
            ..Comment::default()
        };
        Issue {
            id: "gt-1".into(),
            title: "Mend the pump".into(),
            status: "in_review".into(),
            labels: vec!["b".into(), "a".into()],
            created_at: time.clone(),
            updated_at: time,
            dependencies: vec![edge],
            comments: vec![comment],
            ..Issue::default()
        }
    }

    fn read(line: &[u8]) -> Issue {
        match super::super::line::read(line, 1_000, true) {
            Ok((super::super::Record::Issue(issue), _)) => *issue,
            _ => panic!("an issue"),
        }
    }

    #[test]
    fn an_issue_says_the_same_in_every_dialect() {
        for dialect in [Dialect::Native, Dialect::Bd, Dialect::Br] {
            let line = read(&line_of(&issue(), dialect));
            assert!(Essence::of(&line) == Essence::of(&issue()), "{dialect:?}");
            assert!(Essence::parse(&Essence::of(&line).to_string()) == Some(Essence::of(&line)));
        }
        let other = Issue { title: "Mend it".into(), ..issue() };
        assert!(Essence::of(&other) != Essence::of(&issue()));
    }

    #[test]
    fn an_issue_that_is_dressed_like_its_line_differs_in_nothing() {
        for dialect in [Dialect::Native, Dialect::Bd, Dialect::Br] {
            let line = read(&line_of(&issue(), dialect));
            let mut own = issue();
            dress(&mut own, &line);
            let set = |issue: &Issue| Issues::from([(issue.id.clone(), issue.clone())]);
            let mut changed = line.clone();
            changed.title = "Mend the other pump".into();
            let merged = merge3(&set(&line), &set(&own), &set(&changed));
            assert_eq!((merged.choices, merged.issues["gt-1"].title.as_str()), (vec![], "Mend the other pump"));
            assert!(Essence::of(&merged.issues["gt-1"]) == Essence::of(&changed), "{dialect:?}");
        }
    }
}
