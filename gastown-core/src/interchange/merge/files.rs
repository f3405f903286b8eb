//! Bringing whole files together, line by line.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::model::Result;

use super::super::document::{Document, line_of};
use super::super::line::{self, Record};
use super::super::told::Told;
use super::super::twin::moved_to;
use super::super::write::Dialect;
use super::{Asked, Choice, Issues, merge_among};

/// The outcome of [`merge_files`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct FileMerge {
    /// The file.
    pub text: Vec<u8>,
    /// How many issues it holds.
    pub issues: u64,
    /// The choices, ordered by id.
    pub choices: Vec<Choice>,
    /// What there is to say of the lines of ours.
    pub ours: Told,
    /// What there is to say of the lines of theirs.
    pub theirs: Told,
}

/// Brings two files together that grew out of `base`, by the rules of [`merge3`](super::merge3).
///
/// Lines that need no change stay byte for byte, in the order of ours. Lines that hold no issue, also those that cannot be read,
/// stay where they are in one file and were not taken out of the other. An unfinished merge within a file is finished first.
///
/// # Errors
/// None of its own: memory can be read.
pub fn merge_files(base: Vec<u8>, ours: Vec<u8>, theirs: Vec<u8>) -> Result<FileMerge> {
    let (mut base, mut ours, mut theirs) = (Document::read(base)?, Document::read(ours)?, Document::read(theirs)?);
    let mut nowhere = |_: &str| Ok(false);
    base.settle(&Issues::new(), &mut nowhere)?;
    let mut choices = Vec::new();
    for side in [&mut ours, &mut theirs] {
        let before = side.contested().iter().filter_map(|id| Some(((*id).to_owned(), base.issue(id)?))).collect();
        choices.extend(side.settle(&before, &mut nowhere)?);
        choices.extend(side.dropped());
        choices.extend(side.twins());
    }
    let ids: BTreeSet<&str> = base.ids().chain(ours.ids()).chain(theirs.ids()).collect();
    let differs = |id: &&str| {
        let before = base.line(id);
        ours.line(id) != before || theirs.line(id) != before
    };
    let mut differing: BTreeSet<&str> = ids.iter().copied().filter(differs).collect();
    let documents = [&base, &ours, &theirs];
    let mut sets = documents.map(|from| -> Issues {
        differing.iter().filter_map(|id| Some(((*id).to_owned(), from.issue(id)?))).collect()
    });
    // With what says that an issue has another id comes the one that has it.
    let moved: BTreeSet<&str> =
        sets.iter().flat_map(BTreeMap::values).filter_map(|left| ids.get(moved_to(left)?).copied()).collect();
    for id in moved {
        differing.insert(id);
        for (set, from) in sets.iter_mut().zip(documents) {
            set.extend(from.issue(id).map(|issue| (id.to_owned(), issue)));
        }
    }
    let [of_base, of_ours, of_theirs] = &sets;
    let mut asked = Asked { is_taken: &mut |id| Ok(ids.contains(id)), kept: &BTreeSet::new(), level: None };
    let merged = merge_among([of_base, of_ours, of_theirs].map(Cow::Borrowed), &mut asked)?.merged;
    choices.extend(merged.choices);
    let mut changes: BTreeMap<String, Option<Vec<u8>>> = differing.iter().map(|id| ((*id).to_owned(), None)).collect();
    for (id, issue) in &merged.issues {
        let line = match () {
            () if of_ours.get(id) == Some(issue) => ours.line(id).map(<[u8]>::to_vec),
            () if of_theirs.get(id) == Some(issue) => theirs.line(id).map(<[u8]>::to_vec),
            () => None,
        };
        changes.insert(id.clone(), Some(line.unwrap_or_else(|| line_of(issue, Dialect::Native))));
    }
    let issues = ids.len() - differing.len() + merged.issues.len();
    let records = records(&base, &ours, &theirs, &mut choices);
    let text = ours.rewritten(&changes, &records.more, &records.without);
    choices.sort_by(|a, b| (&a.id, &a.key, a.code).cmp(&(&b.id, &b.key, b.code)));
    // What both have is told once.
    choices.dedup();
    Ok(FileMerge { issues: issues as u64, choices, ours: ours.told().clone(), theirs: theirs.told().clone(), text })
}

/// What becomes of the lines that hold no issue.
struct Records<'a> {
    /// Those of theirs that come to ours.
    more: Vec<&'a [u8]>,
    /// Those of ours that go.
    without: HashSet<&'a [u8]>,
}

/// What a line is known by: the key of a memory or a setting, else the line itself.
fn name(line: &[u8]) -> Vec<u8> {
    match line::read(line, usize::MAX, true) {
        Ok((Record::Memory(memory), _)) => [b"memory ", memory.key.as_bytes()].concat(),
        Ok((Record::Setting(setting), _)) => [b"config ", setting.key.as_bytes()].concat(),
        _ => line.to_vec(),
    }
}

fn records<'a>(base: &'a Document, ours: &'a Document, theirs: &'a Document, choices: &mut Vec<Choice>) -> Records<'a> {
    let by_name = |document: &'a Document| -> BTreeMap<Vec<u8>, &'a [u8]> {
        document.others().map(|line| (name(line), line)).collect()
    };
    let (before, of_ours, of_theirs) = (by_name(base), by_name(ours), by_name(theirs));
    let mut records = Records { more: Vec::new(), without: HashSet::new() };
    for line in theirs.others() {
        let name = name(line);
        let (before, ours) = (before.get(&name), of_ours.get(&name));
        match ours {
            Some(ours) if *ours == line || before == Some(&line) => {}
            Some(ours) if before == Some(ours) => {
                records.without.insert(ours);
                records.more.push(line);
            }
            Some(ours) => {
                let (kept, dropped) = if *ours > line { (*ours, line) } else { (line, *ours) };
                let text = |line: &[u8]| String::from_utf8_lossy(line).into_owned().into();
                let id = String::from_utf8_lossy(&name).into_owned();
                choices.push(Choice::new(&id, "", "record_conflict", text(kept), text(dropped)));
                if kept == line {
                    records.without.insert(ours);
                    records.more.push(line);
                }
            }
            // What ours took out stays out, unless theirs says something else by now.
            None if before == Some(&line) => {}
            None => records.more.push(line),
        }
    }
    for (name, line) in of_ours {
        if !of_theirs.contains_key(&name) && before.get(&name) == Some(&line) {
            records.without.insert(line);
        }
    }
    records
}
