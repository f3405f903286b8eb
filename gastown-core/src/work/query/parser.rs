//! A query's text as an expression, with every value of its field's type.

use std::fmt::Display;

use super::ast::{Expr, FlagField, Name, NameField, NumberField, Query, Test, TextField, TimeField};
use super::lexer::{Comparison, Piece, Token, malformed, tokens};
use super::time;
use crate::model::id::excerpt;
use crate::model::{BeadKind, BeadStatus, Resolution, Result, Timestamp};

/// The most terms of a query.
pub(super) const TERMS_MAX: usize = 128;
/// The most parentheses and `not`s inside each other.
pub(super) const DEPTH_MAX: usize = 64;
/// The most stars of one name.
const STARS_MAX: usize = 16;

const FIELDS: &str = "a field: id, status, priority, type, kind, resolution, assignee, owner, creator, label, title, \
                      description, design, acceptance, notes, created, updated, started, closed, due, defer, spec, \
                      pinned, ephemeral, template, parent, rig, convoy, external_ref, estimate, blockers, \
                      metadata.<key>, metadata.\"<key>\", has-key";

/// Parses a query; `now` is what relative times are taken from.
///
/// # Errors
/// `query_malformed` with the position in bytes, what was found there and what would be right.
pub(crate) fn parse(text: &str, now: Timestamp) -> Result<Query> {
    let mut parser = Parser { tokens: tokens(text)?, next: 0, terms: 0, names_kind: false, now };
    let expr = parser.any(0)?;
    parser.expect_end()?;
    Ok(Query { expr, names_kind: parser.names_kind })
}

#[derive(Clone, Copy, PartialEq)]
enum Field {
    Name(NameField),
    Status,
    Kind,
    Resolution,
    Text(TextField),
    Number(NumberField),
    Time(TimeField),
    Flag(FlagField),
    HasKey,
}

/// The field of a name, in any case.
fn field(name: &str) -> Option<Field> {
    Some(match name.to_ascii_lowercase().replace('-', "_").as_str() {
        "id" => Field::Name(NameField::Id),
        "type" | "issue_type" => Field::Name(NameField::Type),
        "assignee" => Field::Name(NameField::Assignee),
        "owner" => Field::Name(NameField::Owner),
        "creator" | "created_by" => Field::Name(NameField::Creator),
        "label" | "labels" => Field::Name(NameField::Label),
        "spec" | "spec_id" => Field::Name(NameField::Spec),
        "parent" => Field::Name(NameField::Parent),
        "rig" => Field::Name(NameField::Rig),
        "convoy" => Field::Name(NameField::Convoy),
        "external_ref" | "ref" => Field::Name(NameField::ExternalRef),
        "status" => Field::Status,
        "kind" => Field::Kind,
        "resolution" => Field::Resolution,
        "title" => Field::Text(TextField::Title),
        "description" | "desc" => Field::Text(TextField::Description),
        "design" => Field::Text(TextField::Design),
        "acceptance" | "acceptance_criteria" => Field::Text(TextField::Acceptance),
        "notes" => Field::Text(TextField::Notes),
        "priority" => Field::Number(NumberField::Priority),
        "estimate" | "estimate_minutes" => Field::Number(NumberField::Estimate),
        "blockers" => Field::Number(NumberField::Blockers),
        "created" | "created_at" => Field::Time(TimeField::Created),
        "updated" | "updated_at" => Field::Time(TimeField::Updated),
        "started" | "started_at" => Field::Time(TimeField::Started),
        "closed" | "closed_at" => Field::Time(TimeField::Closed),
        "due" | "due_at" => Field::Time(TimeField::Due),
        "defer" | "defer_until" => Field::Time(TimeField::Defer),
        "pinned" => Field::Flag(FlagField::Pinned),
        "ephemeral" => Field::Flag(FlagField::Ephemeral),
        "template" => Field::Flag(FlagField::Template),
        "has_key" | "has_metadata_key" => Field::HasKey,
        _ => return None,
    })
}

struct Parser {
    tokens: Vec<Token>,
    next: usize,
    terms: usize,
    names_kind: bool,
    now: Timestamp,
}

/// A value as it was written.
struct Written<'q> {
    at: usize,
    text: &'q str,
    is_quoted: bool,
}

impl Written<'_> {
    /// The word for what is empty.
    fn is_none(&self) -> bool {
        !self.is_quoted && self.text.eq_ignore_ascii_case("none")
    }

    fn wrong<T>(&self, wanted: impl Display) -> Result<T> {
        Err(malformed(self.at, excerpt(self.text), wanted))
    }

    /// One of a closed set of words, in any case.
    fn word<T: Copy>(&self, all: &[T], name: fn(T) -> &'static str) -> Result<T> {
        let wanted = self.text.to_ascii_lowercase().replace('-', "_");
        match all.iter().find(|word| name(**word) == wanted) {
            Some(word) => Ok(*word),
            None => self.wrong(all.iter().map(|word| name(*word)).collect::<Vec<_>>().join(", ")),
        }
    }
}

impl Parser {
    fn token(&self) -> &Token {
        // The last is the end, and nobody goes beyond it.
        &self.tokens[self.next.min(self.tokens.len() - 1)]
    }

    /// Takes the next piece where it is this word of the language.
    fn take_word(&mut self, word: &str) -> bool {
        let is =
            matches!(&self.token().piece, Piece::Word { text, is_quoted: false } if text.eq_ignore_ascii_case(word));
        self.next += usize::from(is);
        is
    }

    fn wrong<T>(&self, wanted: impl Display) -> Result<T> {
        let token = self.token();
        Err(malformed(token.at, &token.piece, wanted))
    }

    fn expect_end(&self) -> Result<()> {
        if self.token().piece == Piece::End { Ok(()) } else { self.wrong("and, or, or the end") }
    }

    fn any(&mut self, depth: usize) -> Result<Expr> {
        let mut parts = vec![self.all(depth)?];
        while self.take_word("or") {
            parts.push(self.all(depth)?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Expr::Any(parts) })
    }

    fn all(&mut self, depth: usize) -> Result<Expr> {
        let mut parts = vec![self.one(depth)?];
        while self.take_word("and") {
            parts.push(self.one(depth)?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Expr::All(parts) })
    }

    fn one(&mut self, depth: usize) -> Result<Expr> {
        if depth > DEPTH_MAX {
            return self.wrong(format_args!("a term: parentheses and nots go at most {DEPTH_MAX} deep"));
        }
        if self.take_word("not") {
            return Ok(Expr::Not(Box::new(self.one(depth + 1)?)));
        }
        if self.token().piece == Piece::Open {
            self.next += 1;
            let inner = self.any(depth + 1)?;
            if self.token().piece != Piece::Close {
                return self.wrong("and, or, or a closing parenthesis");
            }
            self.next += 1;
            return Ok(inner);
        }
        self.term()
    }

    fn term(&mut self) -> Result<Expr> {
        self.terms += 1;
        if self.terms > TERMS_MAX {
            return self.wrong(format_args!("the end: a query has at most {TERMS_MAX} terms"));
        }
        let Token { at, piece: Piece::Word { text: name, is_quoted: false } } = self.token().clone() else {
            return self.wrong(FIELDS);
        };
        let key = name.split_once('.').filter(|(field, _)| field.eq_ignore_ascii_case("metadata")).map(|(_, key)| key);
        // A key that is no word stands in quotes behind the dot.
        let quoted = match &self.tokens[(self.next + 1).min(self.tokens.len() - 1)].piece {
            Piece::Word { text, is_quoted: true } if key == Some("") => Some(text.clone()),
            _ => None,
        };
        self.next += usize::from(quoted.is_some());
        let key = quoted.as_deref().or(key);
        let field = match key {
            Some("") if quoted.is_none() => return Err(malformed(at, excerpt(&name), "metadata.<key>")),
            Some(_) => None,
            None => match field(&name) {
                Some(field) => Some(field),
                None => return Err(malformed(at, excerpt(&name), FIELDS)),
            },
        };
        self.next += 1;
        let Piece::Comparison(comparison) = self.token().piece else {
            return self.wrong("one of = != < <= > >=");
        };
        let has_order = matches!(field, None | Some(Field::Number(_) | Field::Time(_)));
        if !has_order && !matches!(comparison, Comparison::Equal | Comparison::Unequal) {
            return self.wrong(format_args!("= or !=, as {name} has no order"));
        }
        self.next += 1;
        let (is_unequal, comparison) = match comparison {
            Comparison::Unequal => (true, Comparison::Equal),
            other => (false, other),
        };
        let Token { at, piece: Piece::Word { text, is_quoted } } = self.token().clone() else {
            return self.wrong("a value");
        };
        let value = Written { at, text: &text, is_quoted };
        if value.is_none() && comparison != Comparison::Equal {
            return value.wrong("a value: what is empty is neither less nor more");
        }
        let test = match field {
            None => Test::Metadata(key.unwrap_or_default().to_owned(), comparison, (!value.is_none()).then_some(text)),
            Some(field) => self.test(field, comparison, &value)?,
        };
        self.next += 1;
        self.names_kind |= matches!(test, Test::Kind(_));
        Ok(if is_unequal { Expr::Not(Box::new(Expr::Is(test))) } else { Expr::Is(test) })
    }

    fn test(&self, field: Field, comparison: Comparison, value: &Written<'_>) -> Result<Test> {
        let is_none = value.is_none();
        Ok(match field {
            Field::Name(field) => Test::Name(field, name(value)?),
            Field::Status => Test::Status(value.word(BeadStatus::ALL, BeadStatus::as_str)?),
            Field::Kind => Test::Kind(value.word(BeadKind::ALL, BeadKind::as_str)?),
            Field::Resolution if is_none => Test::Resolution(None),
            Field::Resolution => Test::Resolution(Some(value.word(Resolution::ALL, Resolution::as_str)?)),
            Field::Text(field) if is_none || value.text.is_empty() => Test::Text(field, None),
            Field::Text(field) => Test::Text(field, Some(value.text.to_lowercase())),
            Field::Number(NumberField::Estimate) if is_none => Test::Number(NumberField::Estimate, comparison, None),
            Field::Number(field) => Test::Number(field, comparison, Some(number(field, value)?)),
            Field::Time(field @ (TimeField::Created | TimeField::Updated)) if is_none => {
                let _ = field;
                return value.wrong("a time: every bead has one");
            }
            Field::Time(field) if is_none => Test::Time(field, comparison, None),
            Field::Time(field) => match time::parse(value.text, self.now) {
                Some(span) => Test::Time(field, comparison, Some(span)),
                None => {
                    return value.wrong("a time: 7d (ago), +2w (ahead), 2026-11-22, 2026-11-22T10:30:00Z");
                }
            },
            Field::Flag(field) => match value.text.to_ascii_lowercase().as_str() {
                "true" | "yes" | "1" => Test::Flag(field, true),
                "false" | "no" | "0" => Test::Flag(field, false),
                _ => return value.wrong("true or false"),
            },
            Field::HasKey => Test::HasKey(value.text.to_owned()),
        })
    }
}

fn name(value: &Written<'_>) -> Result<Name> {
    if value.is_none() || value.text.is_empty() {
        return Ok(Name::Empty);
    }
    let parts: Vec<String> = value.text.split('*').map(str::to_owned).collect();
    if value.is_quoted || parts.len() == 1 {
        return Ok(Name::Is(value.text.to_owned()));
    }
    if parts.len() > STARS_MAX + 1 {
        return value.wrong(format_args!("a name with at most {STARS_MAX} stars"));
    }
    Ok(Name::Like(parts))
}

fn number(field: NumberField, value: &Written<'_>) -> Result<i64> {
    let text = value.text;
    let (read, wanted) = match field {
        NumberField::Priority => {
            let number = text.strip_prefix(['P', 'p']).unwrap_or(text).parse().ok();
            (number.filter(|n| (0..=4).contains(n)), "a priority, 0 to 4")
        }
        NumberField::Estimate => {
            let spoken = || time::duration(text).and_then(|d| i64::try_from(d.as_secs() / 60).ok());
            (text.parse().ok().or_else(spoken), "a number of minutes, or 2h")
        }
        NumberField::Blockers => (text.parse().ok(), "a number"),
    };
    read.map_or_else(|| value.wrong(wanted), Ok)
}
