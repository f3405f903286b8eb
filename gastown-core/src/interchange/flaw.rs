//! What was wrong with a line, and what was put right.

use std::borrow::Cow;
use std::fmt;

/// A line that gave no record.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Flaw {
    /// The line, from 1.
    pub line: u64,
    /// The byte in the line, from 1.
    pub column: u64,
    /// What is wrong, for programs; one of [`Flaw::CODES`].
    pub code: &'static str,
    /// What is wrong, for people.
    pub message: String,
}

impl Flaw {
    /// Every code a flaw may have.
    pub const CODES: &'static [&'static str] = &[
        "conflict_marker",
        "conflict_unfinished",
        "id_missing",
        "invalid_utf8",
        "line_cut",
        "line_too_long",
        "nested_too_deep",
        "not_an_object",
        "not_json",
        "side_refused",
        "too_many_values",
    ];

    pub(super) fn new(line: u64, column: usize, code: &'static str, message: impl Into<String>) -> Self {
        debug_assert!(Self::CODES.contains(&code), "{code} is not listed");
        Self { line, column: column as u64, code, message: message.into() }
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {} ({})", self.line, self.column, self.message, self.code)
    }
}

/// One thing about a good line that was read otherwise than it is written, or is worth knowing; nothing of it is lost.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Repair {
    /// What it is, for programs; one of [`Repair::CODES`].
    pub code: &'static str,
    /// The key it is about; empty where it is about the whole line.
    pub key: Cow<'static, str>,
    /// What it is, for people.
    pub message: Cow<'static, str>,
}

impl Repair {
    /// Every code a repair may have.
    pub const CODES: &'static [&'static str] = &[
        "bool_as_number",
        "byte_order_mark",
        "closed_at_before_created",
        "closed_at_missing",
        "closed_at_unexpected",
        "comment_malformed",
        "crlf",
        "duplicate_edge",
        "duplicate_id",
        "duplicate_key",
        "duplicate_label",
        "duplicates_unwatched",
        "edge_elsewhere",
        "edge_kind_unknown",
        "edge_malformed",
        "edge_spelling",
        "json_as_text",
        "key_renamed",
        "number_out_of_range",
        "priority_missing",
        "priority_out_of_range",
        "self_edge",
        "status_missing",
        "status_unknown",
        "time_missing",
        "time_unreadable",
        "time_without_offset",
        "title_missing",
        "type_alias",
        "type_missing",
        "updated_before_created",
        "wrong_type",
    ];

    pub(super) fn new(
        code: &'static str,
        key: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        debug_assert!(Self::CODES.contains(&code), "{code} is not listed");
        Self { code, key: key.into(), message: message.into() }
    }
}

impl fmt::Display for Repair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key.is_empty() {
            write!(f, "{} ({})", self.message, self.code)
        } else {
            write!(f, "{}: {} ({})", self.key, self.message, self.code)
        }
    }
}

/// The beginning of a text, for messages: at most 40 characters.
pub(super) fn excerpt(text: &str) -> String {
    let mut shown: String = text.chars().take(40).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}
