//! What hangs on an issue: edges and comments.

use serde_json::{Value, json};

use super::forms::{Field, bit};
use super::record::keyed;
use super::time::Time;
use crate::model::WaitGate;

keyed! {
    /// One edge: the issue depends on another.
    pub struct Edge {
        /// The issue that depends; the one the edge is written in.
        always issue_id / IssueId = "issue_id": String,
        /// What it depends on; never empty.
        always depends_on_id / DependsOnId = "depends_on_id": String,
        /// What the edge means: `blocks`, `parent-child`, … or any other word.
        always kind / Type = "type": String = "blocks".to_owned(),
        /// When it was made.
        maybe created_at / CreatedAt = "created_at": Option<Time>,
        /// Who made it.
        maybe created_by / CreatedBy = "created_by": String,
        /// Facts of the edge, such as the gate of a `waits-for`.
        maybe metadata / Metadata = "metadata": Option<Value>,
        /// The first message of the conversation a `replies-to` belongs to.
        maybe thread_id / ThreadId = "thread_id": String,
    }
}

keyed! {
    /// One comment.
    pub struct Comment {
        /// Its identity, which other clones may use for another comment.
        maybe id / Id = "id": CommentId,
        /// The issue it is about.
        maybe issue_id / IssueId = "issue_id": String,
        /// Who wrote it.
        maybe author / Author = "author": String,
        /// What it says.
        maybe text / Text = "text": String,
        /// When it was written.
        maybe created_at / CreatedAt = "created_at": Option<Time>,
    }
}

/// The identity of a comment: a number in older files, a text in newer ones.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CommentId {
    /// There is none.
    #[default]
    None,
    /// A number.
    Number(i64),
    /// A text.
    Text(String),
}

impl Edge {
    /// When a `waits-for` lets its issue go on, where the facts of the edge say it.
    pub(crate) fn gate(&self) -> Option<WaitGate> {
        self.metadata.as_ref()?.get("gate")?.as_str()?.parse().ok()
    }

    /// Has the facts of the edge say so, as a text, since other tools read nothing else there.
    pub(crate) fn set_gate(&mut self, gate: WaitGate) {
        let mut facts = self.metadata.take().filter(Value::is_object).unwrap_or_else(|| json!({}));
        facts["gate"] = json!(gate);
        self.metadata = Some(facts);
        self.forms.forget(Field::Metadata.as_str(), bit(Field::Metadata));
        self.forms.coded |= bit(Field::Metadata);
    }

    /// What an edge is known by among the edges of its issue.
    pub(super) fn key(&self) -> (&str, &str) {
        (&self.depends_on_id, &self.kind)
    }
}

impl Comment {
    /// What a comment is known by among the comments of its issue, in every clone.
    pub(super) fn key(&self) -> (i64, &str, &str) {
        (self.created_at.as_ref().map_or(0, |time| time.at.as_micros()), &self.author, &self.text)
    }
}
