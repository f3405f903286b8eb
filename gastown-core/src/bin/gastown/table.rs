//! What is shown to people: records and tables of JSON.

use std::fmt::Write as _;
use std::io::IsTerminal;

use gastown_core::model::Timestamp;
use serde_json::{Map, Value as Json};

use super::environment::variable;

/// How an answer is shown.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape {
    /// Its fields, one a line.
    Record,
    /// A list in it under this name, with these fields as columns.
    Table(&'static str, &'static [&'static str]),
}

/// The widest that a column is shown.
const COLUMN_MAX: usize = 60;

/// The text of an answer.
pub(crate) fn text(answer: &Json, shape: Shape) -> String {
    let is_bold = std::io::stdout().is_terminal() && variable("NO_COLOR").is_none_or(|it| it.is_empty());
    match (shape, answer) {
        (Shape::Table(list, columns), Json::Object(fields)) => table(fields, list, columns, is_bold),
        (_, Json::Object(fields)) => record(fields),
        (_, other) => cell("", other) + "\n",
    }
}

fn table(fields: &Map<String, Json>, list: &str, columns: &[&str], is_bold: bool) -> String {
    let rows = fields.get(list).and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
    let head: Vec<String> = columns.iter().map(|column| column.replace('_', " ").to_uppercase()).collect();
    let body = rows.iter().map(|row| columns.iter().map(|column| clip(&cell(column, &row[*column]))).collect());
    let lines: Vec<Vec<String>> = std::iter::once(head).chain(body).collect();
    let mut text = String::new();
    if lines.len() > 1 {
        let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns.len()).map(width).collect();
        for (nth, line) in lines.iter().enumerate() {
            let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
            let line = cells.collect::<Vec<_>>().join("  ");
            let line = line.trim_end();
            let _ = if nth == 0 && is_bold { writeln!(text, "\x1b[1m{line}\x1b[0m") } else { writeln!(text, "{line}") };
        }
    }
    if let Some(cursor) = fields.get("cursor").and_then(Json::as_str) {
        let _ = writeln!(text, "more: --cursor '{}'", safe(cursor));
    }
    text
}

/// The fields that say something, the long ones last.
fn record(fields: &Map<String, Json>) -> String {
    let is_long = |value: &Json| value.as_str().is_some_and(|text| text.contains('\n') || text.len() > COLUMN_MAX * 2);
    let says = |value: &Json| match value {
        Json::Null => false,
        Json::String(text) => !text.is_empty(),
        Json::Array(list) => !list.is_empty(),
        Json::Object(map) => !map.is_empty(),
        _ => true,
    };
    let (long, short): (Vec<_>, Vec<_>) =
        fields.iter().filter(|(_, value)| says(value)).partition(|(_, it)| is_long(it));
    let width = short.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for (name, value) in short {
        let _ = writeln!(text, "{name:width$}  {}", cell(name, value));
    }
    for (name, value) in long {
        let _ = writeln!(text, "\n{name}:\n{}", lines(value.as_str().unwrap_or_default(), "  "));
    }
    text
}

/// A value in one line. Times are told from other numbers by the names that they all have.
fn cell(name: &str, value: &Json) -> String {
    match value {
        Json::Null => String::new(),
        Json::String(text) => safe(text),
        Json::Number(number) if ["at", "until", "next_wake", "last_progress"].iter().any(|end| is_named(name, end)) => {
            number.as_i64().map_or_else(|| number.to_string(), |micros| Timestamp::from_micros(micros).to_string())
        }
        Json::Array(list) if list.iter().all(|it| !it.is_object() && !it.is_array()) => {
            list.iter().map(|it| cell(name, it)).collect::<Vec<_>>().join(", ")
        }
        other => safe(&other.to_string()),
    }
}

fn is_named(name: &str, end: &str) -> bool {
    name == end || name.strip_suffix(end).is_some_and(|rest| rest.ends_with('_'))
}

fn clip(text: &str) -> String {
    if text.chars().count() <= COLUMN_MAX {
        return text.to_owned();
    }
    text.chars().take(COLUMN_MAX - 1).chain(['…']).collect()
}

/// The text in one line, with nothing in it that a terminal obeys.
pub(crate) fn safe(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || is_misleading(c) { safe.extend(c.escape_unicode()) } else { safe.push(c) }
    }
    safe
}

/// Characters that turn the order of what is shown around, or end a line for some readers.
const fn is_misleading(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The text line by line, each behind this.
pub(crate) fn lines(text: &str, before: &str) -> String {
    text.lines().map(|line| format!("{before}{}", safe(&line.replace('\t', "    ")))).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_table_is_aligned_and_says_how_to_go_on() {
        let page =
            json!({ "beads": [{ "id": "gt-1", "title": "Keel" }, { "id": "gt-100", "title": "Mast" }], "cursor": "c" });
        let shown = text(&page, Shape::Table("beads", &["id", "title"]));
        assert_eq!(shown, "ID      TITLE\ngt-1    Keel\ngt-100  Mast\nmore: --cursor 'c'\n");
        assert_eq!(text(&json!({ "beads": [] }), Shape::Table("beads", &["id"])), "");
    }

    #[test]
    fn what_a_terminal_would_obey_is_shown_and_not_sent() {
        let record = json!({ "title": "a\x1b[2Jb\u{202e}c", "description": "one\n\x07two" });
        let shown = text(&record, Shape::Record);
        assert!(shown.chars().all(|c| c == '\n' || !(c.is_control() || is_misleading(c))), "{shown:?}");
        assert!(shown.contains("a\\u{1b}[2Jb") && shown.contains("  one\n  \\u{7}two"), "{shown}");
    }

    #[test]
    fn times_are_read_as_such_and_nothing_else_is() {
        let shown = text(&json!({ "created_at": 0, "format": 7, "empty": null, "labels": ["a", "b"] }), Shape::Record);
        assert!(shown.contains("1970-01-01") && shown.contains("format      7") && shown.contains("a, b"), "{shown}");
        assert!(!shown.contains("empty"));
    }
}
