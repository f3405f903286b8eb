//! One line of a file: what it is, and reading it.

use super::edge::{Comment, CommentId, Edge};
use super::flaw::Repair;
use super::issue::Issue;
use super::record::{self, keyed};
use super::repair;
use super::scan::{self, Fault, Pairs};
use super::slot::Said;
use super::time::Time;

/// What one line holds.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Record {
    /// An issue.
    Issue(Box<Issue>),
    /// What is left of a deleted issue.
    Tombstone(Box<Issue>),
    /// That an issue was deleted, in a file of its own.
    Deletion(Box<Deletion>),
    /// Something remembered, under a key.
    Memory(Box<Memory>),
    /// A setting of the other tool.
    Setting(Box<Setting>),
    /// What happened to an issue.
    Event(Box<Event>),
    /// An edge on a line of its own.
    Edge(Box<Edge>),
    /// A label on a line of its own.
    Label(Box<Labelled>),
    /// A comment on a line of its own.
    Comment(Box<Comment>),
    /// Any other object, as it is written.
    Other(Box<str>),
}

keyed! {
    /// That an issue was deleted.
    pub struct Deletion {
        /// The issue.
        always id / Id = "id": String,
        /// When.
        maybe ts / Ts = "ts": Option<Time>,
        /// By whom.
        maybe by / By = "by": String,
        /// Why.
        maybe reason / Reason = "reason": String,
    }
}

keyed! {
    /// Something remembered.
    pub struct Memory {
        /// `memory`.
        always record_type / RecordType = "_type": String = "memory".to_owned(),
        /// Its key.
        always key / Key = "key": String,
        /// What is remembered.
        always value / Value = "value": String,
    }
}

keyed! {
    /// A setting of the other tool.
    pub struct Setting {
        /// Its key.
        always key / Key = "key": String,
        /// What it is set to.
        always value / Value = "value": String,
    }
}

keyed! {
    /// What happened to an issue.
    pub struct Event {
        /// Its identity.
        maybe id / Id = "id": CommentId,
        /// The issue.
        always issue_id / IssueId = "issue_id": String,
        /// What happened.
        always event_type / EventType = "event_type": String,
        /// Who did it.
        maybe actor / Actor = "actor": String,
        /// What it was; commonly JSON inside the text.
        maybe old_value / OldValue = "old_value": String,
        /// What it became; commonly JSON inside the text.
        maybe new_value / NewValue = "new_value": String,
        /// A remark.
        maybe comment / Comment = "comment": String,
        /// When.
        maybe created_at / CreatedAt = "created_at": Option<Time>,
    }
}

keyed! {
    /// A label of an issue.
    pub struct Labelled {
        /// The issue.
        always issue_id / IssueId = "issue_id": String,
        /// The label.
        always label / Label = "label": String,
    }
}

/// Why a line gave no record: where, which code, and the words.
pub(super) struct Broken {
    pub(super) column: usize,
    pub(super) code: &'static str,
    pub(super) message: String,
}

impl Broken {
    fn new(column: usize, code: &'static str, message: impl Into<String>) -> Self {
        Self { column, code, message: message.into() }
    }
}

/// Reads one line without its end; `mends` says whether contradictions are put right.
pub(super) fn read(line: &[u8], values_max: usize, mends: bool) -> Result<(Record, Vec<Repair>), Broken> {
    let text = std::str::from_utf8(line)
        .map_err(|error| Broken::new(error.valid_up_to() + 1, "invalid_utf8", "the line is not UTF-8"))?;
    let pairs = match serde_json::from_str::<Pairs<'_>>(text) {
        Ok(pairs) => pairs.0,
        Err(error) => return Err(not_an_object(text, &error)),
    };
    if pairs.len() > values_max {
        return Err(Broken::new(1, Fault::TooMany.code(), Fault::TooMany.message()));
    }
    let kind = kind_of(&pairs);
    let mut said = Said::new(values_max);
    let record = build(kind, text, pairs, &mut said)
        .map_err(|fault| Broken::new(fault_column(text, values_max), fault.code(), fault.message()))?;
    let record = match record {
        Record::Issue(mut issue) => {
            if issue.id.is_empty() {
                let column = column_of(text, "id").unwrap_or(1);
                return Err(Broken::new(column, "id_missing", "the issue has no id"));
            }
            if mends {
                repair::issue(&mut issue, &mut said);
            }
            if issue.is_tombstone() { Record::Tombstone(issue) } else { Record::Issue(issue) }
        }
        Record::Edge(mut edge) => {
            if mends {
                repair::edge(&mut edge, &mut said);
            }
            Record::Edge(edge)
        }
        other => other,
    };
    Ok((record, said.into_repairs()))
}

/// Where the value of a key begins, as a byte of the line from 1; of one that is there twice, the last.
///
/// A key of an entry of a list is written `list[0].key`; where the entry lacks it, the entry's begin counts.
pub(super) fn column_of(text: &str, key: &str) -> Option<usize> {
    let begin = |raw: &str| raw.as_ptr().addr() - text.as_ptr().addr() + 1;
    let value = |text, key| {
        let pairs = scan::object(text)?;
        pairs.into_iter().rev().find(|(name, _)| name == key).map(|(_, raw)| raw.get())
    };
    if let Some(raw) = value(text, key) {
        return Some(begin(raw));
    }
    let (list, rest) = key.split_once('[')?;
    let (entry, key) = rest.split_once("].")?;
    let entry = scan::array(value(text, list)?)?.get(entry.parse::<usize>().ok()?)?.get();
    Some(begin(value(entry, key).unwrap_or(entry)))
}

/// Where the value begins that is nested too deep or has too many parts.
fn fault_column(text: &str, values_max: usize) -> usize {
    let pairs = serde_json::from_str::<Pairs<'_>>(text).map_or_else(|_| Vec::new(), |pairs| pairs.0);
    let bad = pairs.iter().find(|(_, raw)| scan::check(raw.get(), values_max).is_err());
    bad.map_or(1, |(_, raw)| raw.get().as_ptr().addr() - text.as_ptr().addr() + 1)
}

fn not_an_object(text: &str, error: &serde_json::Error) -> Broken {
    let starts = text.trim_start().starts_with('{');
    let (code, message) = if error.is_eof() && starts {
        ("line_cut", "the line ends within its object")
    } else if !starts && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok() {
        ("not_an_object", "the line is JSON and no object")
    } else {
        ("not_json", "the line is not one JSON object")
    };
    Broken::new(error.column().max(1), code, message)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Issue,
    Deletion,
    Memory,
    Setting,
    Event,
    Edge,
    Label,
    Comment,
    Other,
}

type Pair<'a> = (std::borrow::Cow<'a, str>, &'a serde_json::value::RawValue);

fn kind_of(pairs: &[Pair<'_>]) -> Kind {
    let has = |key: &str| pairs.iter().any(|(name, _)| name == key);
    if let Some((_, raw)) = pairs.iter().find(|(name, _)| name == "_type") {
        match raw.get() {
            "\"issue\"" => return Kind::Issue,
            "\"memory\"" => return Kind::Memory,
            "null" | "\"\"" => {}
            _ => return Kind::Other,
        }
    }
    if has("title") || has("issue_type") || has("status") && has("id") {
        return Kind::Issue;
    }
    if has("issue_id") {
        return match () {
            () if has("event_type") => Kind::Event,
            () if has("depends_on_id") => Kind::Edge,
            () if has("label") => Kind::Label,
            () if has("text") => Kind::Comment,
            () => Kind::Other,
        };
    }
    if has("id") && pairs.iter().all(|(name, _)| matches!(name.as_ref(), "id" | "ts" | "by" | "reason")) {
        return Kind::Deletion;
    }
    if pairs.len() == 2 && has("key") && has("value") {
        return Kind::Setting;
    }
    Kind::Other
}

fn build(kind: Kind, text: &str, pairs: Vec<Pair<'_>>, said: &mut Said) -> Result<Record, Fault> {
    Ok(match kind {
        Kind::Issue => Record::Issue(Box::new(record::read(pairs, said)?)),
        Kind::Deletion => Record::Deletion(Box::new(record::read(pairs, said)?)),
        Kind::Memory => Record::Memory(Box::new(record::read(pairs, said)?)),
        Kind::Setting => Record::Setting(Box::new(record::read(pairs, said)?)),
        Kind::Event => Record::Event(Box::new(record::read(pairs, said)?)),
        Kind::Edge => Record::Edge(Box::new(record::read(pairs, said)?)),
        Kind::Label => Record::Label(Box::new(record::read(pairs, said)?)),
        Kind::Comment => Record::Comment(Box::new(record::read(pairs, said)?)),
        Kind::Other => Record::Other(text.trim().into()),
    })
}
