//! The query language.

use std::sync::OnceLock;

use super::{check_refusal, text_of};
use crate::model::{Scope, Timestamp};
use crate::work::find::testing::{TestTown, town_of};
use crate::work::query::{BeadQuery, QuerySort, parse, query};

/// When the beads of the town are looked at.
pub(super) const NOW: Timestamp = Timestamp::from_micros(1_763_769_600_000_000);

/// A town that every run looks at.
pub(super) fn town() -> &'static TestTown {
    static TOWN: OnceLock<TestTown> = OnceLock::new();
    TOWN.get_or_init(|| town_of(7, 60))
}

/// The first byte is the order and the size of a page, the rest a query: whatever index is taken, the beads are those of
/// a plain look at each, and none is also one of the opposite.
pub(super) fn run(bytes: &[u8]) {
    let Some((how, rest)) = bytes.split_first() else { return };
    let how = usize::from(*how);
    let (sort, limit) = (QuerySort::ALL[how % QuerySort::ALL.len()], 1 + how / 8);
    let text = text_of(rest);
    let parsed = match parse(&text, NOW) {
        Ok(parsed) => parsed,
        Err(error) => {
            check_refusal(&error, &["query_malformed"]);
            let position: usize = error.fact("position").unwrap().parse().unwrap();
            assert!(position <= text.len() && error.fact("found").is_some() && error.fact("wanted").is_some());
            return;
        }
    };
    if let Ok(opposite) = parse(&format!("not ({text})"), NOW) {
        for (row, texts) in &town().beads {
            let both = parsed.holds_with(row, texts.as_ref()) && opposite.holds_with(row, texts.as_ref());
            assert!(!both, "{text:?} and its opposite hold of {}", row.id);
        }
    }
    town().read(&Scope::Town, NOW, |view| {
        let (mut found, mut cursor) = (Vec::new(), None);
        for page in 0.. {
            assert!(page <= town().beads.len(), "paging ends");
            let input = BeadQuery { query: text.clone(), sort: Some(sort), limit: Some(limit), cursor };
            let answer = query(view, &input).unwrap();
            assert!(answer.beads.len() <= limit);
            found.extend(answer.beads.into_iter().map(|bead| bead.id.to_string()));
            cursor = answer.cursor;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(found, town().plain(view, &text, sort), "{text:?} by {sort}");
    });
}
