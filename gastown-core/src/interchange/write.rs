//! Writing records as lines.

use std::io::Write;

use crate::model::{Error, Result};

use super::edge::CommentId;
use super::ending::Ending;
use super::issue::Issue;
use super::line::Record;
use super::record;
use super::slot::Style;

/// For whom lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Dialect {
    /// For ourselves: each line equals the one it was read from, as far as its values are still the same.
    #[default]
    Native,
    /// For `bd`: `_type` and counts on every line, plain types, times in RFC 3339.
    Bd,
    /// For `br`: labels, edges and comments sorted, the keys it always writes, numbers for ids of comments.
    Br,
}

/// Writes one issue and the end of its line; the same issue gives the same bytes, with keys in a fixed order.
///
/// Unknown keys are written in every dialect, after the known ones.
pub fn write_issue(issue: &Issue, dialect: Dialect, out: &mut impl Write) -> Result<()> {
    Writer::new(out, dialect).issue(issue)
}

/// Writes records as lines, in the order given.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    dialect: Dialect,
    line: Vec<u8>,
}

/// A line's buffer is given back when it grew beyond.
const LINE_KEPT_MAX: usize = 1 << 20;

impl<W: Write> Writer<W> {
    /// A writer to `out`, which should be buffered.
    pub fn new(out: W, dialect: Dialect) -> Self {
        Self { out, dialect, line: Vec::new() }
    }

    /// Writes one issue.
    pub fn issue(&mut self, issue: &Issue) -> Result<()> {
        self.line.clear();
        put_issue(issue, self.dialect, &mut self.line);
        self.end_line()
    }

    /// Writes one record; what is no issue is written as it was read, in every dialect.
    pub fn record(&mut self, record: &Record) -> Result<()> {
        self.line.clear();
        put_record(record, self.dialect, &mut self.line);
        self.end_line()
    }

    /// Gives the underlying writer back.
    pub fn into_inner(self) -> W {
        self.out
    }

    fn end_line(&mut self) -> Result<()> {
        self.line.push(b'\n');
        let written = self.out.write_all(&self.line);
        if self.line.capacity() > LINE_KEPT_MAX {
            self.line = Vec::new();
        }
        written.map_err(|error| Error::unavailable("write_failed", "the lines cannot be written").because(error))
    }
}

/// Appends one issue as an object without the end of a line.
pub(super) fn put_issue(issue: &Issue, dialect: Dialect, out: &mut Vec<u8>) {
    match dialect {
        Dialect::Native => record::put(issue, Style::NATIVE, out),
        Dialect::Bd => record::put(&for_bd(issue), Style::OUTWARD, out),
        Dialect::Br => record::put(&for_br(issue), Style::OUTWARD, out),
    }
}

pub(super) fn put_record(record: &Record, dialect: Dialect, out: &mut Vec<u8>) {
    match record {
        Record::Issue(issue) | Record::Tombstone(issue) => put_issue(issue, dialect, out),
        Record::Deletion(one) => record::put(&**one, Style::NATIVE, out),
        Record::Memory(one) => record::put(&**one, Style::NATIVE, out),
        Record::Setting(one) => record::put(&**one, Style::NATIVE, out),
        Record::Event(one) => record::put(&**one, Style::NATIVE, out),
        Record::Edge(one) => record::put(&**one, Style::NATIVE, out),
        Record::Label(one) => record::put(&**one, Style::NATIVE, out),
        Record::Comment(one) => record::put(&**one, Style::NATIVE, out),
        Record::Other(text) => out.extend_from_slice(text.as_bytes()),
    }
}

/// What every other tool expects: parts that name their issue, one name for one thing, a status that it knows.
fn plain(issue: &Issue) -> Issue {
    let mut issue = issue.clone();
    Ending::outward(&issue).put(&mut issue);
    issue.wisp = false;
    issue.timeout_ns = None;
    for edge in &mut issue.dependencies {
        if edge.issue_id.is_empty() {
            edge.issue_id.clone_from(&issue.id);
        }
    }
    for comment in &mut issue.comments {
        if comment.issue_id.is_empty() {
            comment.issue_id.clone_from(&issue.id);
        }
    }
    issue
}

fn count(length: usize) -> Option<i64> {
    i64::try_from(length).ok()
}

fn for_bd(issue: &Issue) -> Issue {
    let mut issue = plain(issue);
    "issue".clone_into(&mut issue.record_type);
    issue.dependency_count = issue.dependency_count.or_else(|| count(issue.dependencies.len()));
    issue.dependent_count = issue.dependent_count.or(Some(0));
    issue.comment_count = issue.comment_count.or_else(|| count(issue.comments.len()));
    issue
}

fn for_br(issue: &Issue) -> Issue {
    let mut issue = plain(issue);
    issue.record_type.clear();
    issue.labels.sort_unstable();
    issue.labels.dedup();
    issue.dependencies.sort_by(|a, b| a.key().cmp(&b.key()));
    issue.dependencies.dedup_by(|a, b| a.key() == b.key());
    issue.comments.sort_by(|a, b| a.key().cmp(&b.key()));
    for edge in &mut issue.dependencies {
        edge.metadata.get_or_insert_with(|| serde_json::Value::Object(serde_json::Map::new()));
    }
    for (position, comment) in issue.comments.iter_mut().enumerate() {
        if !matches!(comment.id, CommentId::Number(_)) {
            comment.id = CommentId::Number(i64::try_from(position + 1).unwrap_or(i64::MAX));
        }
    }
    if issue.source_repo.is_empty() {
        ".".clone_into(&mut issue.source_repo);
    }
    issue.compaction_level = issue.compaction_level.or(Some(0));
    issue.original_size = issue.original_size.or(Some(0));
    (issue.dependency_count, issue.dependent_count, issue.comment_count) = (None, None, None);
    issue
}
