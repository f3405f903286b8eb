//! A query as words, operators and parentheses.

use crate::model::id::excerpt;
use crate::model::{Error, Result};

/// The longest query in bytes.
pub(super) const QUERY_BYTES_MAX: usize = 8_192;

/// What a comparison asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    Unequal,
    Less,
    AtMost,
    More,
    AtLeast,
}

impl Comparison {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::Unequal => "!=",
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::More => ">",
            Self::AtLeast => ">=",
        }
    }
}

/// One piece of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Word { text: String, is_quoted: bool },
    Comparison(Comparison),
    Open,
    Close,
    End,
}

impl std::fmt::Display for Piece {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Word { text, .. } => f.write_str(&excerpt(text)),
            Self::Comparison(comparison) => f.write_str(comparison.as_str()),
            Self::Open => f.write_str("("),
            Self::Close => f.write_str(")"),
            Self::End => f.write_str("the end"),
        }
    }
}

/// A piece and where it begins, in bytes.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) at: usize,
    pub(super) piece: Piece,
}

/// What is wrong with a query: where, what was found there, what would be right.
pub(super) fn malformed(at: usize, found: impl std::fmt::Display, wanted: impl std::fmt::Display) -> Error {
    Error::invalid("query_malformed", format!("at byte {at} of the query is {found}, not {wanted}"))
        .with("position", at)
        .with("found", found)
        .with("wanted", wanted)
}

/// The pieces of a query; the last is its end.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>> {
    if text.len() > QUERY_BYTES_MAX {
        return Err(malformed(
            QUERY_BYTES_MAX,
            format_args!("more of {} bytes", text.len()),
            format_args!("the end: a query has at most {QUERY_BYTES_MAX} bytes"),
        ));
    }
    let mut tokens = Vec::new();
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let mut then = |next| chars.next_if(|(_, c)| *c == next).is_some();
        let piece = match c {
            c if c.is_whitespace() => continue,
            '(' => Piece::Open,
            ')' => Piece::Close,
            '=' => {
                // As in other languages.
                then('=');
                Piece::Comparison(Comparison::Equal)
            }
            '!' if then('=') => Piece::Comparison(Comparison::Unequal),
            '<' if then('=') => Piece::Comparison(Comparison::AtMost),
            '<' if then('>') => Piece::Comparison(Comparison::Unequal),
            '<' => Piece::Comparison(Comparison::Less),
            '>' if then('=') => Piece::Comparison(Comparison::AtLeast),
            '>' => Piece::Comparison(Comparison::More),
            '"' => {
                let mut word = String::new();
                loop {
                    match chars.next() {
                        Some((_, '"')) => break,
                        Some((_, '\\')) => match chars.next() {
                            Some((_, c @ ('"' | '\\'))) => word.push(c),
                            Some((at, c)) => {
                                return Err(malformed(at, excerpt(&c.to_string()), "a quote or a backslash"));
                            }
                            None => return Err(malformed(text.len(), "the end", "the other quote")),
                        },
                        Some((_, c)) => word.push(c),
                        None => return Err(malformed(text.len(), "the end", "the other quote")),
                    }
                }
                Piece::Word { text: word, is_quoted: true }
            }
            c if is_of_word(c) => {
                let mut word = String::from(c);
                while let Some((_, c)) = chars.next_if(|(_, c)| is_of_word(*c)) {
                    word.push(c);
                }
                Piece::Word { text: word, is_quoted: false }
            }
            c => return Err(malformed(at, excerpt(&c.to_string()), "a word, an operator or a parenthesis")),
        };
        tokens.push(Token { at, piece });
    }
    tokens.push(Token { at: text.len(), piece: Piece::End });
    Ok(tokens)
}

fn is_of_word(c: char) -> bool {
    !c.is_whitespace() && !c.is_control() && !matches!(c, '(' | ')' | '=' | '!' | '<' | '>' | '"' | '\\')
}
