//! The query language: `status = open and (priority <= 1 or label = urgent) and updated < 30d`.
//!
//! A term is a field, an operator and a value. Words of the language may be in any case; a value is a bare word or
//! between double quotes, in which `\"` and `\\` stand for themselves.
//!
//! | fields | values | operators |
//! |---|---|---|
//! | `id` `type` `assignee` `owner` `creator` `label` `spec` `parent` `rig` `convoy` `external_ref` | a name; `*` stands for any text unless it is quoted | `=` `!=` |
//! | `status` `kind` `resolution` | one of its words | `=` `!=` |
//! | `title` `description` `design` `acceptance` `notes` | text it contains, in any case | `=` `!=` |
//! | `priority` `estimate` `blockers` | a number; priorities also as `P1`, estimates also as `2h` | all six |
//! | `created` `updated` `started` `closed` `due` `defer` | `7d` (ago), `+2w` (ahead), `2026-11-22`, RFC 3339 | all six |
//! | `pinned` `ephemeral` `template` | `true` `false` | `=` `!=` |
//! | `metadata.<key>`, `metadata."<any key>"` | a text, a number, `true`, `false` | all six |
//! | `has-key` | the name of a key of metadata | `=` `!=` |
//!
//! The bare word `none` stands for an empty value where a field may be empty. `!=` is the opposite of `=`, so what is
//! empty is unequal to every value; the four other operators never hold for what is empty. A date without a time
//! is the whole day. `and` binds closer than `or`, `not` closer than both.

mod ast;
mod bead;
mod lexer;
mod parser;
mod plan;
#[cfg(test)]
mod tests;
mod time;

pub(crate) use self::ast::Query;
pub use self::bead::{BeadQuery, QuerySort};
pub(crate) use self::bead::{each_row, query};
pub(crate) use self::parser::parse;
