//! A whole file of issues in memory: which line holds which issue, and how its lines are arranged.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::Range;

use serde_json::Value;

use crate::model::{Error, Result};

use super::flaw::Repair;
use super::issue::Issue;
use super::line::{self, Record};
use super::merge::{Asked, Choice, Issues, Merged, merge_among};
use super::read::{Entry, Limits, Reader, Side};
use super::told::{Repaired, Told};
use super::twin::{Made, TRIES, rename, twin_id};
use super::write::{Dialect, put_issue};

/// A file of issues as it is, byte for byte, and what its lines hold.
///
/// Lines that hold no issue, and those that cannot be read, are kept where they stand. Between the markers of an unfinished
/// merge there are two files in one: [`Document::settle`] brings them together, and the markers go.
///
/// ```
/// use gastown_core::interchange::{Document, Issues};
/// let file = b"{\"id\":\"gt-1\",\"title\":\"one\",\"pinned\":0}\nno line\n";
/// let document = Document::read(file.to_vec()).unwrap();
/// assert_eq!(document.issue("gt-1").unwrap().title, "one");
/// assert_eq!(document.with(&Default::default()), file);
/// ```
#[derive(Debug)]
pub struct Document {
    text: Vec<u8>,
    /// The winning line of each id.
    places: BTreeMap<String, Place>,
    others: Vec<Other>,
    /// Lines that another of their issue is newer than.
    older: BTreeMap<String, Vec<Range<usize>>>,
    /// That of two with one id the one that was made later has another.
    twins: Vec<Choice>,
    contested: Vec<(Side, String, Spot)>,
    /// How many lines have an id that is another issue's.
    shared: u64,
    /// Whether every marker has its counterpart.
    is_balanced: bool,
    is_by_id: bool,
    dialect: Option<Dialect>,
    has_tombstones: bool,
    told: Told,
}

/// Where an issue's line is.
#[derive(Clone, Debug)]
struct Spot {
    at: Range<usize>,
    number: u64,
    changed_at: Option<i64>,
}

#[derive(Clone, Debug)]
enum Place {
    At(Spot),
    /// What an unfinished merge was settled as.
    Settled(Vec<u8>),
    /// The line of one that shares its id with another, under an id of its own.
    Twin(Spot, Vec<u8>),
}

impl Place {
    fn spot(&self) -> Option<&Spot> {
        match self {
            Self::At(spot) | Self::Twin(spot, _) => Some(spot),
            Self::Settled(_) => None,
        }
    }
}

/// A line that is no issue.
#[derive(Clone, Debug)]
struct Other {
    at: Range<usize>,
    /// The issue in front of it.
    after: Option<String>,
}

/// The lines of a text, without their ends and without a mark at the beginning.
fn lines(text: &[u8]) -> Vec<Range<usize>> {
    let mut lines = Vec::new();
    let mut start = if text.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    for line in text[start..].split_inclusive(|byte| *byte == b'\n') {
        let kept = line.strip_suffix(b"\n").unwrap_or(line);
        let kept = kept.strip_suffix(b"\r").unwrap_or(kept);
        lines.push(start..start + kept.len());
        start += line.len();
    }
    lines
}

impl Document {
    /// Reads a file.
    ///
    /// # Errors
    /// `source_unreadable`, which memory never is.
    pub fn read(text: Vec<u8>) -> Result<Self> {
        let mut document = Self {
            text: Vec::new(),
            places: BTreeMap::new(),
            others: Vec::new(),
            older: BTreeMap::new(),
            twins: Vec::new(),
            contested: Vec::new(),
            shared: 0,
            is_balanced: true,
            is_by_id: true,
            dialect: None,
            has_tombstones: false,
            told: Told::default(),
        };
        let lines = lines(&text);
        let limits = Limits { line_bytes_max: text.len().max(1), ids_max: 0, ..Limits::default() };
        let line_at = |number: u64| usize::try_from(number).ok().and_then(|at| lines.get(at.checked_sub(1)?)).cloned();
        let mut last: Option<String> = None;
        let mut counts = [0_u64; 3];
        let mut reader = Reader::new(text.as_slice(), limits);
        while let Some(entry) = reader.next_entry()? {
            match entry {
                Entry::Read(line) => {
                    let at = line_at(line.number).ok_or_else(|| lost(line.number))?;
                    document.told.read += 1;
                    for repair in line.repairs {
                        let column = reader.column_of(&repair.key).unwrap_or(1);
                        document.told.repaired(Repaired { line: line.number, column, repair });
                    }
                    let (Record::Issue(issue) | Record::Tombstone(issue)) = line.record else {
                        document.others.push(Other { at, after: last.clone() });
                        continue;
                    };
                    count(&issue, &mut counts);
                    document.has_tombstones |= issue.is_tombstone();
                    if matches!(line.side, None | Some(Side::Ours)) {
                        document.is_by_id &= last.as_ref().is_none_or(|last| *last <= issue.id);
                        last = Some(issue.id.clone());
                    }
                    let spot = Spot { at, number: line.number, changed_at: issue.changed_at() };
                    match line.side {
                        Some(side) => document.contested.push((side, issue.id, spot)),
                        None => document.take(&text, *issue, spot),
                    }
                }
                Entry::Flaw(flaw) if flaw.code == "conflict_marker" => {
                    document.told.markers += 1;
                    document.is_balanced &=
                        !flaw.message.starts_with("a marker") && !flaw.message.starts_with("another");
                }
                Entry::Flaw(flaw) => {
                    if flaw.code == "conflict_unfinished" {
                        document.is_balanced = false;
                    } else if let Some(at) = line_at(flaw.line) {
                        document.others.push(Other { at, after: last.clone() });
                    }
                    document.told.flawed(flaw);
                }
            }
        }
        document.dialect = match counts {
            [0, ..] => None,
            [all, typed, _] if typed * 2 > all => Some(Dialect::Bd),
            [all, _, sized] if sized * 2 > all => Some(Dialect::Br),
            _ => Some(Dialect::Native),
        };
        document.text = text;
        Ok(document)
    }

    /// Puts a line in its place, unless another of the same issue is newer.
    fn take(&mut self, text: &[u8], issue: Issue, spot: Spot) {
        let Some(earlier) = self.places.get(&issue.id).and_then(Place::spot).cloned() else {
            self.places.insert(issue.id, Place::At(spot));
            return;
        };
        let column = std::str::from_utf8(&text[spot.at.clone()]).ok().and_then(|line| line::column_of(line, "id"));
        let said = format!("line {} has the id as well", earlier.number);
        let repair = Repair::new("duplicate_id", "id", said);
        self.told.repaired(Repaired { line: spot.number, column: column.unwrap_or(1) as u64, repair });
        let before = parse(&text[earlier.at.clone()]);
        match before.filter(|before| Made::of(before).is_another(&Made::of(&issue))) {
            // Whoever reads it gives the id to the same one of them.
            Some(before)
                if before.created_at.as_ref().map(|time| time.at) > issue.created_at.as_ref().map(|time| time.at) =>
            {
                let issue_id = issue.id.clone();
                self.places.insert(issue.id, Place::At(spot));
                let older = self.older.remove(&issue_id).unwrap_or_default();
                let id = self.part(text, before, earlier);
                self.older.entry(id).or_default().extend(older);
            }
            Some(_) => drop(self.part(text, issue, spot)),
            None => self.replace(issue.id, Place::At(spot)),
        }
    }

    /// Puts a line in the place of an older one.
    fn replace(&mut self, id: String, place: Place) {
        let changed_at = |place: Option<&Place>| place.and_then(Place::spot).and_then(|spot| spot.changed_at);
        let left = if changed_at(Some(&place)) < changed_at(self.places.get(&id)) {
            Some(place)
        } else {
            self.places.insert(id.clone(), place)
        };
        let older = left.as_ref().and_then(Place::spot).map(|spot| spot.at.clone());
        self.older.entry(id).or_default().extend(older);
    }

    /// Puts the line of an issue, whose id is another's, under one of its own, and answers this.
    fn part(&mut self, text: &[u8], mut issue: Issue, spot: Spot) -> String {
        self.shared += 1;
        let made = Made::of(&issue);
        let ids = made.at.into_iter().flat_map(|at| (0..TRIES).map(move |nth| (at, nth)));
        for (at, nth) in ids {
            let shared = issue.id.clone();
            let id = twin_id(&shared, at, nth);
            let there = self.places.get(&id).and_then(Place::spot).and_then(|there| parse(&text[there.at.clone()]));
            if there.is_some_and(|there| Made::of(&there).is_another(&made)) {
                continue;
            }
            rename(&mut issue, &id);
            if !self.places.contains_key(&id) {
                let title = Value::String(issue.title.clone());
                self.twins.push(Choice::new(&shared, "id", "id_relocated", Value::String(id.clone()), title));
            }
            let line = line_of(&issue, Dialect::Native);
            self.replace(id.clone(), Place::Twin(spot, line));
            return id;
        }
        self.older.entry(issue.id.clone()).or_default().push(spot.at);
        issue.id
    }

    /// The lines that are not written again because another of their id is newer and says something else.
    pub fn dropped(&self) -> impl Iterator<Item = Choice> {
        let lines = self.older.iter().flat_map(|(id, lines)| lines.iter().map(move |at| (id, at)));
        lines.filter_map(|(id, at)| {
            let (kept, dropped) = (self.line(id)?, &self.text[at.clone()]);
            let text = |line: &[u8]| Value::String(String::from_utf8_lossy(line).into_owned());
            (kept != dropped).then(|| Choice::new(id, "", "line_dropped", text(kept), text(dropped)))
        })
    }

    /// The lines whose issue has another id than they say, because an earlier one has it.
    pub fn twins(&self) -> impl Iterator<Item = Choice> {
        self.twins.iter().cloned()
    }

    /// Whether it is to be written otherwise than it was read though no issue changed.
    pub(crate) fn is_unfinished(&self) -> bool {
        self.told.markers > 0 || self.shared > 0
    }

    /// The ids that an unfinished merge has lines of.
    pub fn contested(&self) -> BTreeSet<&str> {
        self.contested.iter().map(|(_, id, _)| id.as_str()).collect()
    }

    /// Brings the two sides of an unfinished merge together; `base` is what is known of their common past.
    ///
    /// Where the markers themselves are in disorder, nothing is taken for deleted.
    ///
    /// # Errors
    /// What `is_taken` answers with, which says whether an id is in use elsewhere.
    pub fn settle(&mut self, base: &Issues, is_taken: &mut dyn FnMut(&str) -> Result<bool>) -> Result<Vec<Choice>> {
        if self.contested.is_empty() {
            return Ok(Vec::new());
        }
        let contested = std::mem::take(&mut self.contested);
        let ids: BTreeSet<String> = contested.iter().map(|(_, id, _)| id.clone()).collect();
        let view = |side: Option<Side>| -> BTreeMap<String, Spot> {
            let outside = ids.iter().filter_map(|id| match self.places.get(id) {
                Some(Place::At(spot)) => Some((id.clone(), spot.clone())),
                _ => None,
            });
            let mut spots: BTreeMap<String, Spot> = outside.collect();
            for (_, id, spot) in contested.iter().filter(|(of, ..)| Some(*of) == side) {
                if spots.get(id).is_none_or(|earlier| spot.changed_at >= earlier.changed_at) {
                    spots.insert(id.clone(), spot.clone());
                }
            }
            spots
        };
        let issues = |spots: &BTreeMap<String, Spot>| -> Issues {
            spots.iter().filter_map(|(id, spot)| Some((id.clone(), parse(&self.text[spot.at.clone()])?))).collect()
        };
        let has_base = contested.iter().any(|(side, ..)| *side == Side::Base);
        let before = match (self.is_balanced, has_base) {
            (false, _) => issues(&view(None)),
            (true, true) => issues(&view(Some(Side::Base))),
            (true, false) => {
                base.iter().filter(|(id, _)| ids.contains(*id)).map(|(id, one)| (id.clone(), one.clone())).collect()
            }
        };
        let (of_ours, of_theirs) = (view(Some(Side::Ours)), view(Some(Side::Theirs)));
        let (ours, theirs) = (issues(&of_ours), issues(&of_theirs));
        let places = &self.places;
        let kept = BTreeSet::new();
        let is_taken = &mut |id: &str| Ok(places.contains_key(id) || is_taken(id)?);
        let mut asked = Asked { is_taken, kept: &kept, level: None };
        let Merged { issues: merged, choices } =
            merge_among([&before, &ours, &theirs].map(Cow::Borrowed), &mut asked)?.merged;
        for id in &ids {
            self.places.remove(id);
        }
        for (id, issue) in merged {
            let same = |issues: &Issues, spots: &BTreeMap<String, Spot>| {
                (issues.get(&id) == Some(&issue)).then(|| spots.get(&id).cloned()).flatten()
            };
            let spot = same(&ours, &of_ours).or_else(|| same(&theirs, &of_theirs));
            let place = spot.map_or_else(|| Place::Settled(line_of(&issue, Dialect::Native)), Place::At);
            self.places.insert(id, place);
        }
        // What both sides say needs saying once.
        let mut seen = HashSet::new();
        let text = &self.text;
        self.others.retain(|other| seen.insert(&text[other.at.clone()]));
        Ok(choices)
    }

    /// Whether an issue has a line.
    pub fn contains(&self, id: &str) -> bool {
        self.places.contains_key(id)
    }

    /// The ids of all issues, in their order.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.places.keys().map(String::as_str)
    }

    /// How many issues there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// An issue's line, without its end.
    pub fn line(&self, id: &str) -> Option<&[u8]> {
        Some(match self.places.get(id)? {
            Place::At(spot) => &self.text[spot.at.clone()],
            Place::Settled(line) | Place::Twin(_, line) => line,
        })
    }

    /// The number of an issue's line; nothing for one that an unfinished merge was settled as.
    pub fn number(&self, id: &str) -> Option<u64> {
        Some(self.places.get(id)?.spot()?.number)
    }

    /// Where the value of a key begins in an issue's line: the byte, from 1.
    pub fn column_of(&self, id: &str, key: &str) -> Option<u64> {
        let spot = self.places.get(id)?.spot()?;
        let line = std::str::from_utf8(&self.text[spot.at.clone()]).ok()?;
        line::column_of(line, key).map(|column| column as u64)
    }

    /// An issue.
    pub fn issue(&self, id: &str) -> Option<Issue> {
        parse(self.line(id)?)
    }

    /// The lines that hold no issue, in their order.
    pub fn others(&self) -> impl Iterator<Item = &[u8]> {
        self.others.iter().map(|other| &self.text[other.at.clone()])
    }

    /// Whose lines most of them are; nothing where there are none.
    pub fn dialect(&self) -> Option<Dialect> {
        self.dialect
    }

    /// Whether deleted issues leave a line.
    pub fn has_tombstones(&self) -> bool {
        self.has_tombstones
    }

    /// What there is to say of its lines.
    pub fn told(&self) -> &Told {
        &self.told
    }

    /// The bytes that were read.
    pub fn bytes(&self) -> &[u8] {
        &self.text
    }

    /// The file with other lines for some issues, or none; unchanged lines stay as they are.
    ///
    /// A file that is sorted by id stays so; in any other, what is new comes at the end.
    pub fn with(&self, changes: &BTreeMap<String, Option<Vec<u8>>>) -> Vec<u8> {
        self.rewritten(changes, &[], &HashSet::new())
    }

    /// The same with further lines that hold no issue, and without some.
    pub(super) fn rewritten(
        &self,
        changes: &BTreeMap<String, Option<Vec<u8>>>,
        more: &[&[u8]],
        without: &HashSet<&[u8]>,
    ) -> Vec<u8> {
        let mut others: BTreeMap<Option<&str>, Vec<&[u8]>> = BTreeMap::new();
        for other in &self.others {
            let line = &self.text[other.at.clone()];
            if !without.contains(line) {
                let after = other.after.as_deref().filter(|id| self.places.contains_key(*id));
                others.entry(after).or_default().push(line);
            }
        }
        let mut ids: Vec<&str> = self.places.keys().chain(changes.keys()).map(String::as_str).collect();
        ids.sort_unstable();
        ids.dedup();
        if !self.is_by_id {
            ids.sort_by_key(|id| self.number(id).unwrap_or(u64::MAX));
        }
        let mut out = Vec::with_capacity(self.text.len() + self.text.len() / 8);
        let put = |line: &[u8], out: &mut Vec<u8>| {
            out.extend_from_slice(line);
            out.push(b'\n');
        };
        others.remove(&None).into_iter().flatten().for_each(|line| put(line, &mut out));
        for id in ids {
            let line = match changes.get(id) {
                Some(change) => change.as_deref(),
                None => self.line(id),
            };
            line.into_iter().chain(others.remove(&Some(id)).into_iter().flatten()).for_each(|line| put(line, &mut out));
        }
        for line in more {
            put(line, &mut out);
        }
        out
    }
}

fn lost(number: u64) -> Error {
    Error::internal("line_lost", format!("line {number} was read and is not there")).with("line", number)
}

fn count(issue: &Issue, [all, typed, sized]: &mut [u64; 3]) {
    *all += 1;
    *typed += u64::from(!issue.record_type.is_empty());
    *sized += u64::from(issue.compaction_level.is_some() && issue.original_size.is_some());
}

/// The issue of a line that was read before.
fn parse(line: &[u8]) -> Option<Issue> {
    match line::read(line, usize::MAX, true) {
        Ok((Record::Issue(issue) | Record::Tombstone(issue), _)) => Some(*issue),
        _ => None,
    }
}

/// An issue as a line without its end.
pub(crate) fn line_of(issue: &Issue, dialect: Dialect) -> Vec<u8> {
    let mut line = Vec::new();
    put_issue(issue, dialect, &mut line);
    line
}
