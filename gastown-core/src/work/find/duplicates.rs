//! Issues that say the same, or nearly.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::model::{BeadId, BeadKind, BeadRow, BeadStatus, BeadTextRow, DependencyRow, Error, Key, Result, RigName};
use crate::store::search::words;
use crate::store::{Scan, index};
use crate::work::view::{View, text};

/// The most issues that are held against each other.
const ISSUES_MAX: usize = 50_000;
/// The most different words of one issue that count.
const WORDS_MAX: usize = 512;
/// The most pairs that are looked at closely.
const LOOKS_MAX: usize = 2_000_000;
/// The most dependents that are counted of one.
const DEPENDENTS_MAX: usize = 1_000;

/// How alike issues must be.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FindDuplicates {
    /// The part of the words of two issues that both have, above 0.2 up to 1; no near ones where it is left out.
    pub likeness: Option<f64>,
    /// Of this rig.
    pub rig: Option<RigName>,
    /// At most so many groups and so many pairs, 1 to 1000; 100 where it is left out.
    pub limit: Option<usize>,
}

/// Issues of which title, description, design, acceptance and status are the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SameBeads {
    /// Them, in front the one to keep: the one that most others wait for, then that of the least id.
    pub beads: Vec<BeadId>,
    /// Their title.
    pub title: String,
}

/// Two issues that are nearly the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NearPair {
    /// The one of the lesser id.
    pub one: BeadId,
    /// The other.
    pub other: BeadId,
    /// The part of their words that both have, up to 1.
    pub likeness: f64,
}

/// What says the same, among issues that are not closed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Duplicates {
    /// Groups of equal ones, the largest first.
    pub same: Vec<SameBeads>,
    /// Pairs of unequal ones that are near, the nearest first.
    pub near: Vec<NearPair>,
    /// How many issues were looked at.
    pub looked_at: u64,
    /// Whether that was all of them and everything found is told.
    pub is_complete: bool,
}

/// Finds issues that say the same; it looks at every one that is not over, up to a bound that it tells.
pub(crate) fn duplicates(view: View<'_>, input: &FindDuplicates) -> Result<Duplicates> {
    let limit = match input.limit.unwrap_or(100) {
        limit @ 1..=1_000 => limit,
        limit => {
            return Err(
                Error::invalid("limit_out_of_range", format!("a limit is 1 to 1000, not {limit}")).with("found", limit)
            );
        }
    };
    if let Some(likeness) = input.likeness
        && !(likeness > 0.2 && likeness <= 1.0)
    {
        return Err(Error::invalid(
            "likeness_out_of_range",
            format!("a likeness is above 0.2 up to 1, not {likeness}"),
        )
        .with("found", likeness));
    }
    let mut found = Duplicates { is_complete: true, ..Duplicates::default() };
    let mut equal: HashMap<[u8; 32], Vec<BeadId>> = HashMap::new();
    let mut near = Near::default();
    for status in [BeadStatus::Open, BeadStatus::InProgress, BeadStatus::InReview] {
        let prefix = vec![text(BeadKind::Issue.as_str()), text(status.as_str())];
        view.walk::<BeadRow>(Scan::new(&index::BEADS_BY_STATUS, prefix, 0), |row| {
            if row.template || input.rig.as_ref().is_some_and(|rig| row.rig.as_ref() != Some(rig)) {
                return Ok(true);
            }
            if found.looked_at >= ISSUES_MAX as u64 {
                found.is_complete = false;
                return Ok(false);
            }
            found.looked_at += 1;
            let texts = match view.find::<BeadTextRow>(&Key::bead_text(&row.id)) {
                Err(error) if error.code() == "row_unreadable" => None,
                found => found?,
            };
            let texts = texts.as_ref().map_or(["", "", ""], |t| [&*t.description, &t.design, &t.acceptance]);
            let same = equal.entry(sum(&row, texts)).or_default();
            // Equal ones are not near each other as well.
            if input.likeness.is_some() && same.is_empty() {
                near.add(&row, texts);
            }
            same.push(row.id);
            Ok(true)
        })?;
    }
    let mut groups: Vec<Vec<BeadId>> = equal.into_values().filter(|beads| beads.len() > 1).collect();
    groups.sort_by_cached_key(|beads| (std::cmp::Reverse(beads.len()), beads.iter().min().cloned()));
    found.is_complete &= groups.len() <= limit;
    groups.truncate(limit);
    for beads in groups {
        found.same.push(group(view, beads)?);
    }
    if let Some(likeness) = input.likeness {
        let is_complete = near.pairs(likeness, limit, &mut found.near);
        found.is_complete &= is_complete;
    }
    Ok(found)
}

fn sum(row: &BeadRow, texts: [&str; 3]) -> [u8; 32] {
    let mut sum = Sha256::new();
    for part in [row.status.as_str(), &row.title].into_iter().chain(texts) {
        // The length in front, so that no text can be taken for two.
        sum.update((part.len() as u64).to_le_bytes());
        sum.update(part);
    }
    sum.finalize().into()
}

fn group(view: View<'_>, mut beads: Vec<BeadId>) -> Result<SameBeads> {
    let mut waiting: BTreeMap<BeadId, usize> = BTreeMap::new();
    for id in &beads {
        let scan = Scan::new(&index::DEPENDENTS, vec![text(id)], DEPENDENTS_MAX);
        waiting.insert(id.clone(), view.scan::<DependencyRow>(scan)?.len());
    }
    beads.sort_by(|a, b| waiting[b].cmp(&waiting[a]).then_with(|| a.cmp(b)));
    let title = match beads.first() {
        Some(first) => view.bead(first)?.title,
        None => String::new(),
    };
    Ok(SameBeads { beads, title })
}

/// Issues by their words.
#[derive(Default)]
struct Near {
    numbers: HashMap<String, u32>,
    /// How many issues have the word of a number.
    counts: Vec<u32>,
    issues: Vec<(BeadId, Vec<u32>)>,
}

impl Near {
    fn add(&mut self, row: &BeadRow, texts: [&str; 3]) {
        let mut own: Vec<u32> = Vec::new();
        for (_, word) in [&*row.title].into_iter().chain(texts).flat_map(words) {
            let next = u32::try_from(self.numbers.len()).unwrap_or(u32::MAX);
            let number = *self.numbers.entry(word).or_insert(next);
            if let Err(place) = own.binary_search(&number) {
                own.insert(place, number);
            }
            if own.len() >= WORDS_MAX {
                break;
            }
        }
        self.counts.resize(self.numbers.len(), 0);
        for number in &own {
            self.counts[*number as usize] += 1;
        }
        self.issues.push((row.id.clone(), own));
    }

    /// Writes the nearest pairs; true where all of them are there.
    ///
    /// Two issues that are as near as is wanted have one of their rarest words in common, so only issues that share one
    /// of those are looked at.
    #[allow(clippy::cast_precision_loss, reason = "issues have few words")]
    fn pairs(mut self, likeness: f64, limit: usize, pairs: &mut Vec<NearPair>) -> bool {
        for (_, words) in &mut self.issues {
            words.sort_unstable_by_key(|word| (self.counts[*word as usize], *word));
        }
        // Fewer words first, so that whoever is met has at most as many.
        self.issues.sort_by(|a, b| (a.1.len(), &a.0).cmp(&(b.1.len(), &b.0)));
        let mut holders: HashMap<u32, Vec<u32>> = HashMap::new();
        let (mut looks, mut is_complete) = (0, true);
        let mut met: Vec<u32> = Vec::new();
        'issues: for (nth, (id, words)) in self.issues.iter().enumerate() {
            if words.is_empty() {
                continue;
            }
            let rarest = words.len() - needed(words.len(), likeness) + 1;
            met.clear();
            for word in &words[..rarest.min(words.len())] {
                let there = holders.entry(*word).or_default();
                met.extend(there.iter().copied());
                there.push(u32::try_from(nth).unwrap_or(u32::MAX));
                looks += there.len();
                if looks > LOOKS_MAX {
                    is_complete = false;
                    break 'issues;
                }
            }
            met.sort_unstable();
            met.dedup();
            for other in &met {
                let (other_id, other_words) = &self.issues[*other as usize];
                if other_words.len() < needed(words.len(), likeness) {
                    continue;
                }
                let common = common(words, other_words, &self.counts);
                let found = common as f64 / (words.len() + other_words.len() - common) as f64;
                if found >= likeness {
                    let (one, other) = if id < other_id { (id, other_id) } else { (other_id, id) };
                    pairs.push(NearPair { one: one.clone(), other: other.clone(), likeness: found });
                }
            }
            // Never many more than are answered.
            if pairs.len() > limit * 4 + 1_000 {
                is_complete = false;
                nearest(pairs, limit);
            }
        }
        is_complete &= pairs.len() <= limit;
        nearest(pairs, limit);
        is_complete
    }
}

fn nearest(pairs: &mut Vec<NearPair>, limit: usize) {
    pairs.sort_by(|a, b| b.likeness.total_cmp(&a.likeness).then_with(|| (&a.one, &a.other).cmp(&(&b.one, &b.other))));
    pairs.truncate(limit);
}

/// How many words must be common, at least, of an issue with so many.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a part of a small number"
)]
fn needed(words: usize, likeness: f64) -> usize {
    // A hair less, so that no rounding loses a pair.
    ((words as f64 * likeness - 1e-9).ceil() as usize).max(1)
}

/// How many words two issues have in common; both are ordered by how rare they are.
fn common(a: &[u32], b: &[u32], counts: &[u32]) -> usize {
    let key = |word: u32| (counts[word as usize], word);
    let (mut at, mut count) = (0, 0);
    for word in a {
        while at < b.len() && key(b[at]) < key(*word) {
            at += 1;
        }
        count += usize::from(b.get(at) == Some(word));
    }
    count
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::store::conformance::sample::{self, Draw};

    fn near(titles: &[String], likeness: f64) -> (Vec<NearPair>, bool) {
        let mut near = Near::default();
        for (n, title) in titles.iter().enumerate() {
            let mut row = sample::bead(&mut Draw::new(1));
            row.id = BeadId::new(format!("gt-{n:03}")).unwrap();
            row.title.clone_from(title);
            near.add(&row, ["", "", ""]);
        }
        let mut pairs = Vec::new();
        let is_complete = near.pairs(likeness, 1_000, &mut pairs);
        (pairs, is_complete)
    }

    proptest! {
        #[test]
        #[allow(clippy::cast_precision_loss, reason = "the sets are small")]
        fn near_pairs_are_those_of_a_plain_look(
            titles in prop::collection::vec("[a-f]( [a-f]){0,7}", 0..24), likeness in 0.21..1.0_f64,
        ) {
            let sets: Vec<BTreeSet<String>> =
                titles.iter().map(|title| words(title).map(|(_, word)| word).collect()).collect();
            let mut wanted = BTreeSet::new();
            for (a, one) in sets.iter().enumerate() {
                for (b, other) in sets.iter().enumerate().skip(a + 1) {
                    let (common, all) = (one.intersection(other).count(), one.union(other).count());
                    if common as f64 / all as f64 >= likeness {
                        wanted.insert((format!("gt-{a:03}"), format!("gt-{b:03}")));
                    }
                }
            }
            let (pairs, is_complete) = near(&titles, likeness);
            let found: BTreeSet<_> =
                pairs.iter().map(|pair| (pair.one.to_string(), pair.other.to_string())).collect();
            prop_assert!(is_complete);
            prop_assert_eq!(found.len(), pairs.len(), "each once");
            prop_assert_eq!(found, wanted);
        }
    }
}
