//! Two issues that were made apart and have one id.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use sha2::{Digest as _, Sha256};

use super::issue::Issue;
use crate::model::{ID_BYTES_MAX, Timestamp};

/// How many characters tell twins apart.
const WORD: usize = 8;
/// How many ids are tried for one twin. The second is only needed where somebody gave the first to something else.
pub(crate) const TRIES: u32 = 8;
/// The title of a tombstone whose issue's own was not known.
pub(super) const UNTITLED: &str = "(deleted)";

/// What an issue is known by wherever it is: when it was made, and as what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Made {
    pub(crate) at: Option<Timestamp>,
    /// A hash, as it is kept for each of many.
    title: u64,
}

impl Made {
    pub(crate) fn new(at: Option<Timestamp>, title: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        title.hash(&mut hasher);
        Self { at, title: hasher.finish() }
    }

    pub(crate) fn of(issue: &Issue) -> Self {
        let at = issue.created_at.as_ref().map(|time| time.at);
        let deleted_at = issue.deleted_at.as_ref().map(|time| time.at);
        // Of an issue that was not known any more, tools say that it was made when it was deleted.
        let is_unknown = issue.is_tombstone() && at == deleted_at && matches!(issue.title.as_str(), "" | UNTITLED);
        Self::new(at.filter(|_| !is_unknown), &issue.title)
    }

    /// Whether two that have one id are not one: they were made at different times, and as different things.
    pub(crate) fn is_another(&self, other: &Self) -> bool {
        self.at.is_some() && other.at.is_some() && self.at != other.at && self.title != other.title
    }

    /// Whether two are one whatever their ids are: they were made at one time, and at one that hardly comes twice.
    pub(super) fn is_surely(&self, other: &Self) -> bool {
        self.at == other.at && self.at.is_some_and(|at| at.as_micros() % 1_000_000 != 0)
    }
}

/// The key of a tombstone that says which id its issue has by now.
pub(crate) const MOVED_TO: &str = "moved_to";

/// Which id the issue of a tombstone has by now, where it was not deleted.
pub(crate) fn moved_to(left: &Issue) -> Option<&str> {
    left.extra.get(MOVED_TO).filter(|_| left.is_tombstone())?.as_str()
}

/// The id that one of two is kept under: the one that they share, and a word made of it and of the time when this one was made.
///
/// So it is the same in every town, no tool makes it by itself, and [`shared_id`] leads back.
pub(crate) fn twin_id(shared: &str, made: Timestamp, nth: u32) -> String {
    let room = ID_BYTES_MAX - WORD - 1;
    let end = (0..=room.min(shared.len())).rev().find(|at| shared.is_char_boundary(*at)).unwrap_or(0);
    format!("{}-{}", &shared[..end], word(shared, made, nth))
}

/// The id that an issue made at this time shares, where its own is one that [`twin_id`] gives.
pub(crate) fn shared_id(id: &str, made: Timestamp) -> Option<&str> {
    let (shared, said) = id.rsplit_once('-')?;
    (said.len() == WORD && (0..TRIES).any(|nth| said == word(shared, made, nth))).then_some(shared)
}

fn word(shared: &str, made: Timestamp, nth: u32) -> String {
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let mut hash = Sha256::new();
    hash.update(shared);
    hash.update([0]);
    hash.update(made.as_micros().to_be_bytes());
    hash.update(nth.to_be_bytes());
    let digest = hash.finalize();
    (0..WORD)
        .map(|at| char::from(DIGITS[(usize::from(digest[2 * at]) * 256 + usize::from(digest[2 * at + 1])) % 36]))
        .collect()
}

/// Gives an issue another id, with what names it in its own parts.
pub(crate) fn rename(issue: &mut Issue, id: &str) {
    let old = std::mem::replace(&mut issue.id, id.to_owned());
    for edge in issue.dependencies.iter_mut().filter(|edge| edge.issue_id == old) {
        id.clone_into(&mut edge.issue_id);
    }
    for comment in issue.comments.iter_mut().filter(|comment| comment.issue_id == old) {
        id.clone_into(&mut comment.issue_id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_micros(second * 1_000_000)
    }

    #[test]
    fn the_id_of_a_twin_leads_back_to_the_one_it_shares() {
        let id = twin_id("gt-a.3", at(5), 0);
        assert_eq!(shared_id(&id, at(5)), Some("gt-a.3"));
        assert_eq!(shared_id(&id, at(6)), None, "it is another issue's");
        assert_eq!(shared_id(&twin_id("gt-a.3", at(5), 1), at(5)), Some("gt-a.3"));
        assert_eq!((shared_id("gt-a.3", at(5)), shared_id("gt", at(5))), (None, None));
        assert_eq!(shared_id(&twin_id(&id, at(5), 0), at(5)), Some(&*id));
    }

    #[test]
    fn the_id_of_a_twin_has_room_however_long_the_shared_one_is() {
        for shared in ["a".repeat(ID_BYTES_MAX), "ä".repeat(ID_BYTES_MAX / 2), "ä".repeat(1_000)] {
            let [one, two] = [5, 6].map(|second| twin_id(&shared, at(second), 0));
            assert!(one.len() <= ID_BYTES_MAX && one != two, "{one}");
        }
    }

    #[test]
    fn a_tombstone_that_knows_nothing_of_its_issue_is_of_whoever_has_the_id() {
        let time = |second| Some(super::super::Time::new(at(second)));
        let left = |title: &str, made, deleted| Issue {
            title: title.to_owned(),
            status: "tombstone".to_owned(),
            created_at: time(made),
            deleted_at: time(deleted),
            ..Issue::default()
        };
        let here = Made::new(Some(at(1)), "Lay the keel");
        for (left, is_another) in [
            (left("(deleted)", 9, 9), false),
            (left("", 9, 9), false),
            (left("(deleted)", 8, 9), true),
            (left("Fell the oak", 9, 9), true),
            (left("Lay the keel", 8, 9), false),
            (left("Fell the oak", 1, 9), false),
        ] {
            assert_eq!(Made::of(&left).is_another(&here), is_another, "{left:?}");
        }
    }
}
