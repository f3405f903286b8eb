//! How a record was spelled, where its values do not say.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// Declares the known keys; their order is their number in stored forms, so new ones go to the end.
macro_rules! fields {
    ($($name:ident = $key:literal,)*) => {
        /// A known key of any record.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(missing_docs, reason = "each is named like its key")]
        #[non_exhaustive]
        pub enum Field { $($name,)* }

        impl Field {
            /// Every known key, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The key.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $key,)* }
            }

            /// The field of a key; nothing for an unknown one.
            pub fn of(key: &str) -> Option<Self> {
                match key {
                    $($key => Some(Self::$name),)*
                    _ => None,
                }
            }
        }
    };
}

fields! {
    RecordType = "_type", Id = "id", Title = "title", Description = "description", Design = "design",
    AcceptanceCriteria = "acceptance_criteria", Notes = "notes", SpecId = "spec_id", Status = "status",
    Priority = "priority", IssueType = "issue_type", Assignee = "assignee", Owner = "owner",
    EstimatedMinutes = "estimated_minutes", CreatedAt = "created_at", CreatedBy = "created_by",
    UpdatedAt = "updated_at", StartedAt = "started_at", ClosedAt = "closed_at", CloseReason = "close_reason",
    ClosedBySession = "closed_by_session", DueAt = "due_at", DeferUntil = "defer_until",
    ExternalRef = "external_ref", SourceSystem = "source_system", Metadata = "metadata",
    CompactionLevel = "compaction_level", CompactedAt = "compacted_at", CompactedAtCommit = "compacted_at_commit",
    OriginalSize = "original_size", Labels = "labels", Dependencies = "dependencies", Comments = "comments",
    Sender = "sender", Ephemeral = "ephemeral", Wisp = "wisp", NoHistory = "no_history", WispType = "wisp_type",
    Pinned = "pinned", IsTemplate = "is_template", BondedFrom = "bonded_from", AwaitType = "await_type",
    AwaitId = "await_id", Timeout = "timeout", TimeoutNs = "timeout_ns", Waiters = "waiters",
    SourceFormula = "source_formula", SourceLocation = "source_location", MolType = "mol_type",
    WorkType = "work_type", EventKind = "event_kind", Actor = "actor", Target = "target", Payload = "payload",
    ContentHash = "content_hash", SourceRepo = "source_repo", DeletedAt = "deleted_at", DeletedBy = "deleted_by",
    DeleteReason = "delete_reason", OriginalType = "original_type", AgentState = "agent_state",
    HookBead = "hook_bead", RoleBead = "role_bead", RoleType = "role_type", Rig = "rig",
    LastActivity = "last_activity", Crystallizes = "crystallizes", QualityScore = "quality_score",
    RepliesTo = "replies_to", SupersededBy = "superseded_by", DuplicateOf = "duplicate_of",
    DependencyCount = "dependency_count", DependentCount = "dependent_count", CommentCount = "comment_count",
    Parent = "parent", IssueId = "issue_id", DependsOnId = "depends_on_id", Type = "type", ThreadId = "thread_id",
    Author = "author", Text = "text", EventType = "event_type", OldValue = "old_value", NewValue = "new_value",
    Comment = "comment", Ts = "ts", By = "by", Reason = "reason", Key = "key", Value = "value", Label = "label",
    Resolution = "resolution", ParkedReason = "parked_reason", ParkedUntil = "parked_until",
}

/// A set of keys.
pub(super) type Keys = u128;

const _: () = assert!(Field::ALL.len() <= 128, "a set of keys has 128 places");

pub(super) const fn bit(field: Field) -> Keys {
    1 << field as u32
}

/// How a record was spelled, where its values do not say: nulls, empty values written out, 0 and 1 for booleans, JSON inside
/// text, and original texts of what was read otherwise.
///
/// Every form gives way to a changed value. In JSON it is a small object; an ordinary record has none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forms {
    /// Empty, written as null.
    pub(super) null: Keys,
    /// Empty, written out.
    pub(super) shown: Keys,
    /// Written as another type: 0 and 1, or JSON inside text.
    pub(super) coded: Keys,
    /// Original texts by key, also by unknown keys.
    kept: BTreeMap<Box<str>, Kept>,
    /// The known ones among them.
    kept_keys: Keys,
}

/// An original text, used while the value is what it was read as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    /// The JSON text; empty where the key was absent.
    pub(super) was: Box<str>,
    /// The JSON text of the value put in its place; nothing where reading `was` gives the value.
    pub(super) now: Option<Box<str>>,
}

impl Forms {
    /// Whether there is nothing to keep.
    pub fn is_empty(&self) -> bool {
        self.null == 0 && self.shown == 0 && self.coded == 0 && self.kept.is_empty()
    }

    pub(super) fn kept(&self, key: &str) -> Option<&Kept> {
        self.kept.get(key)
    }

    /// The known keys that may be written though they are blank, or otherwise than they are.
    pub(super) fn touched(&self) -> Keys {
        self.null | self.shown | self.kept_keys
    }

    pub(super) fn has_kept(&self, bits: Keys) -> bool {
        self.kept_keys & bits != 0
    }

    pub(super) fn keep(&mut self, key: &str, kept: Kept) {
        self.kept_keys |= Field::of(key).map_or(0, bit);
        self.kept.insert(key.into(), kept);
    }

    /// Forgets how one key was spelled.
    pub(super) fn forget(&mut self, key: &str, bits: Keys) {
        self.null &= !bits;
        self.shown &= !bits;
        self.coded &= !bits;
        self.kept.remove(key);
        self.kept_keys &= !bits;
    }

    /// Takes over how another record spelled one key.
    pub(super) fn adopt(&mut self, other: &Self, key: &str, bits: Keys) {
        self.forget(key, bits);
        self.null |= other.null & bits;
        self.shown |= other.shown & bits;
        self.coded |= other.coded & bits;
        if let Some(kept) = other.kept(key) {
            self.keep(key, kept.clone());
        }
    }

    /// The forms as a small JSON object; empty for an ordinary record.
    pub fn to_json(&self) -> Map<String, Value> {
        let mut object = Map::new();
        for (name, keys) in [("null", self.null), ("shown", self.shown), ("coded", self.coded)] {
            if keys != 0 {
                object.insert(name.to_owned(), Value::String(format!("{keys:x}")));
            }
        }
        if !self.kept.is_empty() {
            let kept = self.kept.iter().map(|(key, kept)| (key.to_string(), kept.to_json())).collect();
            object.insert("kept".to_owned(), Value::Object(kept));
        }
        object
    }

    /// The forms an object of [`to_json`](Self::to_json) describes; what it does not know it leaves out.
    pub fn from_json(object: &Map<String, Value>) -> Self {
        let keys = |name: &str| {
            object.get(name).and_then(Value::as_str).and_then(|text| Keys::from_str_radix(text, 16).ok()).unwrap_or(0)
        };
        let mut forms = Self { null: keys("null"), shown: keys("shown"), coded: keys("coded"), ..Self::default() };
        if let Some(Value::Object(kept)) = object.get("kept") {
            for (key, value) in kept {
                if let Some(kept) = Kept::from_json(value) {
                    forms.keep(key, kept);
                }
            }
        }
        forms
    }
}

impl Kept {
    fn to_json(&self) -> Value {
        let was = Value::String(self.was.to_string());
        match &self.now {
            None => was,
            Some(now) => Value::Array(vec![was, Value::String(now.to_string())]),
        }
    }

    /// Nothing where a text is not JSON, because it would be written as it is.
    fn from_json(value: &Value) -> Option<Self> {
        let json = |text: &str| text.is_empty() || serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
        let one_line = |text: &str| !text.contains('\n');
        match value {
            Value::String(was) if json(was) && one_line(was) => Some(Self { was: was.as_str().into(), now: None }),
            Value::Array(both) => match both.as_slice() {
                [Value::String(was), Value::String(now)] if json(was) && one_line(was) => {
                    Some(Self { was: was.as_str().into(), now: Some(now.as_str().into()) })
                }
                _ => None,
            },
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_keys_never_change() {
        for (number, key) in [
            (0, "_type"),
            (8, "status"),
            (25, "metadata"),
            (45, "waiters"),
            (60, "agent_state"),
            (75, "issue_id"),
            (90, "label"),
            (91, "resolution"),
        ] {
            assert_eq!(Field::ALL.get(number).map(|field| field.as_str()), Some(key));
        }
    }

    #[test]
    fn forms_are_read_back_from_their_json() {
        let mut forms = Forms { null: bit(Field::Assignee), shown: bit(Field::Design), ..Forms::default() };
        forms.keep("x", Kept { was: "1e9".into(), now: None });
        forms.keep("closed_at", Kept { was: "".into(), now: Some("\"2020-01-01T00:00:00Z\"".into()) });
        assert_eq!(Forms::from_json(&forms.to_json()), forms);
        assert!(Forms::default().to_json().is_empty());
    }
}
