//! Beads by the words in them.

use serde::{Deserialize, Serialize};

use crate::model::text_enum::text_enum;
use crate::model::value::Value;
use crate::model::{BeadKind, BeadRow, BeadStatus, BeadTextRow, Error, Key, Result, RigName};
use crate::store::search::{Matcher, SEARCH_TERMS_MAX, each_text, is_word_char, words};
use crate::store::{Position, Search, SearchTerm};
use crate::work::beads::BeadSummary;
use crate::work::query::{self, Query};
use crate::work::ready::{BeadPage, check_limit, decode_position, encode_position};
use crate::work::view::View;

/// The longest text to look for in bytes.
const TEXT_BYTES_MAX: usize = 1_000;
/// The most candidates that are looked at in one go.
const CANDIDATES_MAX: usize = 1_000;

text_enum! {
    /// The order of what a search finds.
    pub enum SearchSort = "sort" {
        /// Those with everything in the title first; among them, and among the others, the newest first.
        Best = "best",
        /// Newest first.
        Newest = "newest",
    }
}

/// Which words to look for, in titles and in the four texts.
///
/// Every word must be there, in any case and in any field; `"some words"` must be in a row in one field, `begin*` stands
/// for any word that begins so, and a bead with `-word` or `-"some words"` is left out. Letters, digits and marks make
/// words, diacritics stay as they are; everything else only parts words, so `ship-yard` is `"ship yard"`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BeadSearch {
    /// The words.
    pub text: String,
    /// Of this kind; issues where it is left out.
    pub kind: Option<BeadKind>,
    /// In this status.
    pub status: Option<BeadStatus>,
    /// Of this rig.
    pub rig: Option<RigName>,
    /// And of which this query of the query language holds as well.
    pub query: Option<String>,
    /// In which order; `best` where it is left out.
    pub sort: Option<SearchSort>,
    /// At most so many, 1 to 1000; 50 where it is left out.
    pub limit: Option<usize>,
    /// Go on behind an earlier page.
    pub cursor: Option<String>,
}

impl From<&str> for BeadSearch {
    fn from(text: &str) -> Self {
        Self { text: text.to_owned(), ..Self::default() }
    }
}

/// Words in a row.
pub(crate) type Phrase = Vec<SearchTerm>;

/// What is looked for.
#[derive(Debug, PartialEq)]
pub(crate) struct Wanted {
    pub(crate) present: Vec<Phrase>,
    pub(crate) absent: Vec<Phrase>,
}

fn malformed(at: usize, problem: impl std::fmt::Display) -> Error {
    Error::invalid("search_malformed", format!("the search {problem}")).with("position", at)
}

/// Reads what a person wrote; whatever has no meaning of its own only parts words.
pub(crate) fn parse(text: &str) -> Result<Wanted> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(malformed(TEXT_BYTES_MAX, format_args!("has {} bytes, more than {TEXT_BYTES_MAX}", text.len()))
            .with("bytes_max", TEXT_BYTES_MAX));
    }
    let mut wanted = Wanted { present: Vec::new(), absent: Vec::new() };
    let mut count = 0;
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            break;
        }
        let at = text.len() - rest.len();
        let (is_absent, unsigned) = match rest.strip_prefix('-') {
            Some(unsigned) => (true, unsigned),
            None => (false, rest),
        };
        let (run, behind) = if let Some(quoted) = unsigned.strip_prefix('"') {
            let Some(end) = quoted.find('"') else {
                return Err(malformed(text.len(), "lacks the other quote of a phrase"));
            };
            // A star behind the quote belongs to the last word.
            let star = usize::from(quoted[end + 1..].starts_with('*'));
            (
                if star == 1 { format!("{}*", &quoted[..end]) } else { quoted[..end].to_owned() },
                &quoted[end + 1 + star..],
            )
        } else {
            let end = unsigned.find(|c: char| c.is_whitespace() || c == '"').unwrap_or(unsigned.len());
            (unsigned[..end].to_owned(), &unsigned[end..])
        };
        rest = behind;
        let phrase = phrase(&run);
        count += phrase.len();
        if count > SEARCH_TERMS_MAX {
            return Err(malformed(at, format_args!("has more than {SEARCH_TERMS_MAX} words"))
                .with("words_max", SEARCH_TERMS_MAX));
        }
        let list = if is_absent { &mut wanted.absent } else { &mut wanted.present };
        if !phrase.is_empty() && !list.contains(&phrase) {
            list.push(phrase);
        }
    }
    if wanted.present.is_empty() {
        return Err(malformed(0, "names no word that must be there"));
    }
    Ok(wanted)
}

/// The words of a run of text, of which each may end with a star.
fn phrase(run: &str) -> Phrase {
    let term = |(at, word): (usize, String)| {
        let behind = run[at..].trim_start_matches(is_word_char);
        SearchTerm { word, is_prefix: behind.starts_with('*') }
    };
    words(run).map(term).collect()
}

/// Where everything was found.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Title,
    Texts,
}

/// Holds beads against what is wanted.
struct Judge<'i> {
    view: View<'i>,
    input: &'i BeadSearch,
    query: Option<Query>,
    present: Matcher,
    absent: Matcher,
    /// Everything that must be there, word by word.
    terms: Vec<SearchTerm>,
}

impl<'i> Judge<'i> {
    fn new(view: View<'i>, input: &'i BeadSearch) -> Result<Self> {
        let wanted = parse(&input.text)?;
        let query = input.query.as_deref().map(|text| query::parse(text, view.now())).transpose()?;
        let mut terms: Vec<SearchTerm> = Vec::new();
        for term in wanted.present.iter().flatten() {
            if !terms.contains(term) {
                terms.push(term.clone());
            }
        }
        let of = |phrases: &[Phrase]| Matcher::new(phrases.iter().map(Vec::as_slice));
        Ok(Self { view, input, query, present: of(&wanted.present), absent: of(&wanted.absent), terms })
    }

    /// Where everything is found in a bead that is wanted at all.
    fn judge(&mut self, row: &BeadRow) -> Result<Option<Place>> {
        let BeadSearch { kind, status, rig, .. } = self.input;
        if row.kind != kind.unwrap_or(BeadKind::Issue)
            || status.is_some_and(|status| row.status != status)
            || rig.as_ref().is_some_and(|rig| row.rig.as_ref() != Some(rig))
        {
            return Ok(None);
        }
        self.present.clear();
        self.absent.clear();
        self.present.read(&row.title);
        self.absent.read(&row.title);
        let place = if self.present.has_all() { Place::Title } else { Place::Texts };
        if self.absent.has_any() {
            return Ok(None);
        }
        if place == Place::Texts || !self.absent.is_empty() {
            match self.view.find::<BeadTextRow>(&Key::bead_text(&row.id)) {
                Ok(Some(texts)) => each_text(&texts).for_each(|text| {
                    self.present.read(text);
                    self.absent.read(text);
                }),
                Ok(None) => {}
                // Texts that cannot be read hold no words.
                Err(error) if error.code() == "row_unreadable" => {}
                Err(error) => return Err(error),
            }
        }
        if !self.present.has_all() || self.absent.has_any() {
            return Ok(None);
        }
        // A kind that is asked for apart need not be in the query.
        let holds = match &mut self.query {
            Some(query) => {
                query.names_kind |= self.input.kind.is_some();
                query.holds(self.view, row)?
            }
            None => true,
        };
        Ok(holds.then_some(place))
    }
}

/// Finds beads by words.
///
/// A page costs what is looked at until it is full: the backend names beads that may hold the words, and the words of
/// each are looked at here.
pub(crate) fn search(view: View<'_>, input: &BeadSearch) -> Result<BeadPage> {
    let limit = check_limit(input.limit)?;
    let sort = input.sort.unwrap_or(SearchSort::Best);
    let order = format!("search/{sort}");
    let after = input.cursor.as_deref().map(|cursor| decode_position(&order, "iit", cursor)).transpose()?;
    let mut judge = Judge::new(view, input)?;
    // The first number of a place says which part of the order it is in.
    let parts: &[(i64, Option<Place>)] = match sort {
        SearchSort::Best => &[(0, Some(Place::Title)), (1, Some(Place::Texts))],
        SearchSort::Newest => &[(0, None)],
    };
    let mut rows: Vec<(i64, BeadRow)> = Vec::new();
    for (part, wanted) in parts {
        let mut search = Search::new(judge.terms.clone(), (limit + 1).max(64));
        search.title_only = *wanted == Some(Place::Title);
        if let Some([Value::Int(of), at, id]) = after.as_ref().map(|after| &*after.0) {
            if of > part {
                continue;
            }
            if of == part {
                search.after = Some(Position(vec![at.clone(), id.clone()]));
            }
        }
        while rows.len() <= limit {
            let (found, next) = view.search(&search)?;
            for row in found {
                if rows.len() <= limit
                    && let Some(place) = judge.judge(&row)?
                    && wanted.is_none_or(|wanted| wanted == place)
                {
                    rows.push((*part, row));
                }
            }
            let Some(next) = next else { break };
            search.after = Some(next);
            search.limit = (search.limit * 2).min(CANDIDATES_MAX);
        }
    }
    let more = rows.len() > limit;
    rows.truncate(limit);
    let cursor = rows.last().filter(|_| more).map(|(part, row)| {
        let place: Vec<Value> = std::iter::once(Value::Int(*part)).chain(Search::place(row).0).collect();
        encode_position(&order, &place)
    });
    Ok(BeadPage { beads: rows.into_iter().map(|(_, row)| BeadSummary::from(row)).collect(), cursor })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> String {
        let show = |phrases: &[Phrase]| {
            let words = |phrase: &Phrase| {
                let word = |term: &SearchTerm| format!("{}{}", term.word, if term.is_prefix { "*" } else { "" });
                phrase.iter().map(word).collect::<Vec<_>>().join("+")
            };
            phrases.iter().map(words).collect::<Vec<_>>().join(" ")
        };
        match parse(text) {
            Ok(wanted) => format!("{} | {}", show(&wanted.present), show(&wanted.absent)),
            Err(error) => format!("{} {}", error.code(), error.fact("position").unwrap()),
        }
    }

    #[test]
    fn a_search_is_words_phrases_beginnings_and_what_must_not_be() {
        assert_eq!(read("Lay the KEEL keel"), "lay the keel | ");
        assert_eq!(read("\"the keel\" mast*"), "the+keel mast* | ");
        assert_eq!(read("ship-yard keel -pine -\"red oak\"*"), "ship+yard keel | pine red+oak*");
        assert_eq!(read("title:x OR a^2 NEAR(b,1)"), "title+x or a+2 near+b+1 | ");
        assert_eq!(read("* ** *a* 'b' {c} \\d"), "a* b c d | ");
        assert_eq!(read("a\"b c\"d"), "a b+c d | ");
        assert_eq!(read(""), "search_malformed 0");
        assert_eq!(read("-only"), "search_malformed 0");
        assert_eq!(read("?!*-"), "search_malformed 0");
        assert_eq!(read("x \"open"), "search_malformed 7");
        assert_eq!(read(&"a".repeat(1_001)), "search_malformed 1000");
        let many: String = (0..33).fold(String::new(), |text, n| format!("{text}w{n} "));
        assert!(read(&many).starts_with("search_malformed"));
    }

    proptest! {
        #[test]
        fn any_text_is_a_search_or_a_refusal(text in any::<String>(), near in r#"([a-z]{1,3}|"|-|\*| |é){0,40}"#) {
            for text in [text, near] {
                if let Ok(wanted) = parse(&text) {
                    for phrase in wanted.present.iter().chain(&wanted.absent) {
                        Search::new(phrase.clone(), 1).check().unwrap();
                    }
                }
            }
        }
    }
}
