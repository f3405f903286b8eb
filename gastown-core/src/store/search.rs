//! Words in titles and texts: what is asked of a backend, and the words themselves.
//!
//! A word is a run of letters, digits, marks and private characters, in lower case. Diacritics stay as they are, and
//! so do composed and decomposed forms: `cafe` is not `café`. Everything else parts words. The rule is the library's
//! own, so that every backend finds the same: a backend names candidates, and the library looks at their words.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::iter::Peekable;
use std::str::CharIndices;

use super::contract::Reader;
use super::index::BEADS;
use super::scan::{Position, Scan};
use crate::model::value::Value;
use crate::model::{BeadRow, BeadTextRow, Error, Key, Result, Row, Timestamp};

/// The most terms of one search.
pub const SEARCH_TERMS_MAX: usize = 32;

/// One word that is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchTerm {
    /// The word, as [`words`] gives it.
    pub word: String,
    /// Whether longer words that begin with it are meant as well.
    pub is_prefix: bool,
}

/// Which beads may hold some words.
#[derive(Clone, Debug)]
pub struct Search {
    /// Every one of them must be there; 1 to [`SEARCH_TERMS_MAX`].
    pub terms: Vec<SearchTerm>,
    /// Only where all of them are in the title; otherwise they may be anywhere in the title and the four texts.
    pub title_only: bool,
    /// Only beads behind this place: when they were made, and their ids.
    pub after: Option<Position>,
    /// At most so many.
    pub limit: usize,
}

impl Search {
    /// A search for these terms from the newest bead on.
    pub fn new(terms: Vec<SearchTerm>, limit: usize) -> Self {
        Self { terms, title_only: false, after: None, limit }
    }

    /// Refuses what is no search; every backend asks this first.
    ///
    /// # Errors
    /// `search_malformed` ([`Internal`](crate::ErrorKind::Internal)) for the terms, which the library wrote;
    /// `position_malformed` ([`Invalid`](crate::ErrorKind::Invalid)) for `after`, which a caller may have sent.
    pub fn check(&self) -> Result<()> {
        let is_word = |term: &SearchTerm| words(&term.word).eq([(0, term.word.clone())]);
        if !(1..=SEARCH_TERMS_MAX).contains(&self.terms.len()) || !self.terms.iter().all(is_word) {
            return Err(Error::internal("search_malformed", "a search names words"));
        }
        match self.after.as_ref().map(|after| &*after.0) {
            None | Some([Value::Int(_), Value::Text(_)]) => Ok(()),
            Some(_) => Err(Error::invalid("position_malformed", "a position is not one of a search")),
        }
    }

    /// The place of a bead among the answers.
    pub fn place(bead: &BeadRow) -> Position {
        Position(vec![Value::Int(bead.created_at.as_micros()), Value::Text(bead.id.to_string())])
    }

    /// Whether a bead of this place would be answered, as far as the place goes.
    fn reaches(&self, at: Timestamp, id: &str) -> bool {
        match self.after.as_ref().map(|after| &*after.0) {
            Some([Value::Int(before), Value::Text(before_id)]) => (at.as_micros(), id) < (*before, before_id),
            _ => true,
        }
    }
}

/// A search by looking at every bead: the default of [`Reader::search`], and right for every backend.
///
/// It holds no more than `limit` beads at a time.
pub fn by_scan<R: Reader + ?Sized>(reader: &R, search: &Search) -> Result<Vec<Row>> {
    search.check()?;
    let mut matcher = Matcher::of_terms(&search.terms);
    let mut newest: BinaryHeap<Reverse<(i64, String, usize)>> = BinaryHeap::new();
    let mut kept: Vec<Option<Row>> = Vec::new();
    let mut scan = Scan::new(&BEADS, vec![], 500);
    loop {
        let page = reader.scan(&scan)?;
        let is_full = page.len() == scan.limit;
        scan.after = page.last().map(|row| Position::of(&BEADS, row));
        for row in page {
            let Row::Bead(bead) = &row else { continue };
            if !search.reaches(bead.created_at, bead.id.as_str()) || search.limit == 0 {
                continue;
            }
            let place = (bead.created_at.as_micros(), bead.id.to_string());
            if newest.len() == search.limit
                && newest.peek().is_some_and(|Reverse((at, id, _))| (*at, id) > (place.0, &place.1))
            {
                continue;
            }
            matcher.clear();
            matcher.read(&bead.title);
            if !matcher.has_all() && !search.title_only {
                // Texts that cannot be read hold no words.
                if let Ok(Some(Row::BeadText(texts))) = reader.get(&Key::bead_text(&bead.id)) {
                    each_text(&texts).for_each(|text| matcher.read(text));
                }
            }
            if matcher.has_all() {
                let slot = if newest.len() == search.limit {
                    newest.pop().map_or(0, |Reverse((_, _, slot))| slot)
                } else {
                    kept.push(None);
                    kept.len() - 1
                };
                newest.push(Reverse((place.0, place.1, slot)));
                kept[slot] = Some(row);
            }
        }
        if !is_full {
            break;
        }
    }
    let order = newest.into_sorted_vec();
    Ok(order.into_iter().filter_map(|Reverse((_, _, slot))| kept[slot].take()).collect())
}

/// The four texts.
pub(crate) fn each_text(texts: &BeadTextRow) -> impl Iterator<Item = &str> {
    [&*texts.description, &texts.design, &texts.acceptance, &texts.notes].into_iter()
}

/// The words of a text, each with where it begins.
pub fn words(text: &str) -> impl Iterator<Item = (usize, String)> {
    Words { chars: text.char_indices().peekable() }
}

struct Words<'t> {
    chars: Peekable<CharIndices<'t>>,
}

impl Words<'_> {
    /// Writes the next word over `word` and answers where it begins.
    fn next_into(&mut self, word: &mut String) -> Option<usize> {
        word.clear();
        while self.chars.next_if(|(_, c)| !is_word_char(*c)).is_some() {}
        let at = self.chars.peek()?.0;
        while let Some((_, c)) = self.chars.next_if(|(_, c)| is_word_char(*c)) {
            word.push(folded(c));
        }
        Some(at)
    }
}

impl Iterator for Words<'_> {
    type Item = (usize, String);

    fn next(&mut self) -> Option<Self::Item> {
        let mut word = String::new();
        let at = self.next_into(&mut word)?;
        Some((at, word))
    }
}

/// Whether a character is a part of words.
pub(crate) fn is_word_char(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_alphanumeric();
    }
    c.is_alphanumeric()
        || matches!(c, '\u{300}'..='\u{36f}' | '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{ffffd}' | '\u{100000}'..='\u{10fffd}')
}

/// One character for one, and an ASCII one only for an ASCII one: what an index of ASCII words holds is then right.
fn folded(c: char) -> char {
    if c.is_ascii() {
        return c.to_ascii_lowercase();
    }
    let mut lower = c.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(only), None) if !only.is_ascii() => only,
        _ => c,
    }
}

/// One word of a pattern.
struct Part {
    word: String,
    is_prefix: bool,
}

/// Looks for words and for words in a row, all at once in one pass over a text.
///
/// Each word of all patterns has a bit: it is set while the pattern fits up to there (shift-and).
pub(crate) struct Matcher {
    parts: Vec<Part>,
    starts: u64,
    ends: u64,
    /// The ends that were found since it was cleared.
    found: u64,
    word: String,
}

/// The most words of all patterns of a matcher.
pub(crate) const MATCHER_WORDS_MAX: usize = 64;

impl Matcher {
    /// Patterns of one or more words in a row, at most [`MATCHER_WORDS_MAX`] in all.
    pub(crate) fn new<'p>(patterns: impl IntoIterator<Item = &'p [SearchTerm]>) -> Self {
        let mut matcher = Self { parts: Vec::new(), starts: 0, ends: 0, found: 0, word: String::new() };
        for pattern in patterns {
            if pattern.is_empty() || matcher.parts.len() + pattern.len() > MATCHER_WORDS_MAX {
                debug_assert!(pattern.is_empty(), "the caller bounds the words");
                continue;
            }
            matcher.starts |= 1 << matcher.parts.len();
            let part = |term: &SearchTerm| Part { word: term.word.clone(), is_prefix: term.is_prefix };
            matcher.parts.extend(pattern.iter().map(part));
            matcher.ends |= 1 << (matcher.parts.len() - 1);
        }
        matcher
    }

    fn of_terms(terms: &[SearchTerm]) -> Self {
        Self::new(terms.iter().map(std::slice::from_ref))
    }

    /// Forgets what was found.
    pub(crate) fn clear(&mut self) {
        self.found = 0;
    }

    /// Reads one text; what is in a row is in one text.
    pub(crate) fn read(&mut self, text: &str) {
        let mut words = Words { chars: text.char_indices().peekable() };
        let mut state = 0_u64;
        while self.found != self.ends && words.next_into(&mut self.word).is_some() {
            let mut fits = 0_u64;
            for (place, part) in self.parts.iter().enumerate() {
                let is_like = if part.is_prefix { self.word.starts_with(&*part.word) } else { self.word == part.word };
                fits |= u64::from(is_like) << place;
            }
            state = ((state << 1) | self.starts) & fits;
            self.found |= state & self.ends;
        }
    }

    /// Whether every pattern was found.
    pub(crate) fn has_all(&self) -> bool {
        self.found == self.ends
    }

    /// Whether there are no patterns.
    pub(crate) const fn is_empty(&self) -> bool {
        self.ends == 0
    }

    /// Whether any pattern was found.
    pub(crate) fn has_any(&self) -> bool {
        self.found != 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(text: &str) -> Vec<String> {
        words(text).map(|(_, word)| word).collect()
    }

    fn terms(text: &str) -> Vec<SearchTerm> {
        let words = words(text).map(|(at, word)| {
            let end =
                at + text[at..].char_indices().find(|(_, c)| !is_word_char(*c)).map_or(text.len() - at, |(n, _)| n);
            SearchTerm { word, is_prefix: text[end..].starts_with('*') }
        });
        words.collect()
    }

    #[test]
    fn words_are_runs_of_letters_and_digits_in_lower_case() {
        assert_eq!(of("Lay the-keel, 2nd TIME_now!"), ["lay", "the", "keel", "2nd", "time", "now"]);
        assert_eq!(of("ÜBER “naïve”—café"), ["über", "naïve", "café"]);
        assert_eq!(
            of("ΛΌΓΟΣ Привет 日本語 \u{212a}elvin İzmir"),
            ["λόγοσ", "привет", "日本語", "\u{212a}elvin", "İzmir"]
        );
        assert_eq!(of("e\u{301}a"), ["e\u{301}a"], "a mark is a part of its word");
        assert_eq!(of(" \0\t\"'*()-:^{}\\"), [""; 0]);
    }

    #[test]
    fn patterns_are_found_in_a_row_and_in_one_text() {
        let found = |pattern: &str, texts: &[&str]| {
            let mut matcher = Matcher::new([&*terms(pattern)]);
            for text in texts {
                matcher.read(text);
            }
            matcher.has_all()
        };
        assert!(found("the keel", &["lay the keel"]));
        assert!(!found("the keel", &["keel the"]));
        assert!(!found("the keel", &["lay the", "keel of it"]), "two texts are no row");
        assert!(found("a a b", &["a a a b"]));
        assert!(found("the ke*", &["Lay the Keel"]));
        assert!(!found("the ke", &["Lay the Keel"]));
    }

    proptest! {
        #[test]
        fn every_word_of_a_text_is_found_in_it(text in any::<String>()) {
            let mut all: Vec<SearchTerm> = words(&text).map(|(_, word)| SearchTerm { word, is_prefix: false }).collect();
            all.truncate(MATCHER_WORDS_MAX);
            let mut matcher = Matcher::of_terms(&all);
            matcher.read(&text);
            prop_assert!(matcher.has_all());
            for term in all.chunks(SEARCH_TERMS_MAX) {
                Search::new(term.to_vec(), 1).check().unwrap();
            }
        }

        #[test]
        fn a_row_is_found_as_a_plain_look_finds_it(text in "[ab ]{0,12}", pattern in "[ab]{1,2}( [ab]{1,2}){0,2}") {
            let (text, pattern) = (of(&text), of(&pattern));
            let wanted = text.windows(pattern.len()).any(|window| *window == *pattern);
            let terms: Vec<_> = pattern.iter().map(|word| SearchTerm { word: word.clone(), is_prefix: false }).collect();
            let mut matcher = Matcher::new([&*terms]);
            matcher.read(&text.join(" "));
            prop_assert_eq!(matcher.has_all(), wanted);
        }
    }
}
