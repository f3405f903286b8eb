//! The search for words.

use std::cmp::Reverse;

use super::query::{NOW, town};
use super::{check_refusal, text_of};
use crate::model::{BeadKind, BeadRow, BeadTextRow, Scope};
use crate::store::SearchTerm;
use crate::store::search::{each_text, words};
use crate::work::find::search::{Phrase, parse};
use crate::work::find::{BeadSearch, SearchSort, search};

/// The first byte is the order and the size of a page, the rest what is looked for: it is found where a plain look
/// finds it, and in that order.
pub(super) fn run(bytes: &[u8]) {
    let Some((how, rest)) = bytes.split_first() else { return };
    let (newest, limit) = (how % 2 == 1, 1 + usize::from(how / 8));
    let text = text_of(rest);
    let sort = newest.then_some(SearchSort::Newest);
    let mut input = BeadSearch { sort, limit: Some(limit), ..BeadSearch::from(&*text) };
    let wanted = match parse(&text) {
        Ok(wanted) => wanted,
        Err(error) => {
            check_refusal(&error, &["search_malformed"]);
            assert!(error.fact("position").unwrap().parse::<usize>().unwrap() <= text.len());
            return;
        }
    };
    let mut plain: Vec<(bool, &BeadRow)> = Vec::new();
    for (row, texts) in &town().beads {
        let title = [all_words(&row.title)];
        let whole = [&title[..], &texts.iter().flat_map(each).collect::<Vec<_>>()].concat();
        let has = |texts: &[Vec<String>], phrase: &Phrase| texts.iter().any(|text| is_in(text, phrase));
        if row.kind == BeadKind::Issue
            && wanted.present.iter().all(|phrase| has(&whole, phrase))
            && !wanted.absent.iter().any(|phrase| has(&whole, phrase))
        {
            let in_title = wanted.present.iter().all(|phrase| has(&title, phrase));
            plain.push((!newest && !in_title, row));
        }
    }
    plain.sort_by_key(|(in_texts, row)| (*in_texts, Reverse((row.created_at, row.id.clone()))));
    let plain: Vec<String> = plain.into_iter().map(|(_, row)| row.id.to_string()).collect();
    town().read(&Scope::Town, NOW, |view| {
        let mut found = Vec::new();
        for page in 0.. {
            assert!(page <= town().beads.len(), "paging ends");
            let answer = search(view, &input).unwrap();
            found.extend(answer.beads.into_iter().map(|bead| bead.id.to_string()));
            input.cursor = answer.cursor;
            if input.cursor.is_none() {
                break;
            }
        }
        assert_eq!(found, plain, "{text:?}");
    });
}

fn each(texts: &BeadTextRow) -> Vec<Vec<String>> {
    each_text(texts).map(all_words).collect()
}

fn all_words(text: &str) -> Vec<String> {
    words(text).map(|(_, word)| word).collect()
}

/// Whether the words are in a row in a text.
fn is_in(text: &[String], phrase: &[SearchTerm]) -> bool {
    let is = |word: &String, term: &SearchTerm| {
        if term.is_prefix { word.starts_with(&term.word) } else { *word == term.word }
    };
    text.windows(phrase.len()).any(|row| row.iter().zip(phrase).all(|(word, term)| is(word, term)))
}
