//! What a merge decided.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::interchange::Choice;

/// One decision of a merge by which something was given up, or may surprise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MergeChoice {
    /// The issue, or the record.
    pub id: String,
    /// The field it is about; empty where it is about the whole.
    pub key: String,
    /// What was decided, for programs: `field_conflict`, `closed_over_open`, `deleted_but_changed`, …
    pub code: String,
    /// What stays.
    pub kept: Json,
    /// What does not; null where nothing was given up.
    pub dropped: Json,
}

impl From<Choice> for MergeChoice {
    fn from(choice: Choice) -> Self {
        let Choice { id, key, code, kept, dropped } = choice;
        Self { id, key, code: code.to_owned(), kept, dropped }
    }
}

impl std::fmt::Display for MergeChoice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = |value: &Json| {
            let text = value.to_string();
            let cut: String = text.chars().take(SHOWN_CHARS_MAX).collect();
            if cut.len() < text.len() { format!("{cut}…") } else { cut }
        };
        write!(f, "{}", self.id)?;
        if !self.key.is_empty() {
            write!(f, " {}", self.key)?;
        }
        write!(f, ": {}, kept {}", self.code, shown(&self.kept))?;
        if !self.dropped.is_null() {
            write!(f, ", dropped {}", shown(&self.dropped))?;
        }
        Ok(())
    }
}

/// The most characters of a value in a sentence.
const SHOWN_CHARS_MAX: usize = 80;
