//! Files of issues that grew apart, brought together.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::choice::MergeChoice;
use super::report::{ImportFlaw, LISTED_MAX, list};
use crate::interchange::{FileMerge, Told};
use crate::model::{Error, Result};

/// Brings two files of issues together that grew out of a third.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MergeBeads {
    /// What both grew out of; an empty file where there is nothing.
    pub base: PathBuf,
    /// The one side, whose order of lines stays.
    pub ours: PathBuf,
    /// The other side.
    pub theirs: PathBuf,
    /// Where the outcome goes, taking the place of what is there; where it is left out, to `ours`.
    #[serde(default)]
    pub output: Option<PathBuf>,
    /// Write nothing and refuse with `merge_conflicted` where something would be given up or a line cannot be read.
    #[serde(default)]
    pub strict: bool,
}

impl MergeBeads {
    /// The merge of two files that grew out of `base`, into `ours`.
    pub fn new(base: impl AsRef<Path>, ours: impl AsRef<Path>, theirs: impl AsRef<Path>) -> Self {
        let [base, ours, theirs] = [base.as_ref(), ours.as_ref(), theirs.as_ref()].map(Path::to_owned);
        Self { base, ours, theirs, output: None, strict: false }
    }

    /// Reads it from a JSON object, for callers in another language.
    ///
    /// # Errors
    /// `input_malformed` with what is wrong where.
    pub fn from_json(input: serde_json::Value) -> Result<Self> {
        serde_json::from_value(input).map_err(|source| {
            Error::invalid("input_malformed", format!("merge_beads wants MergeBeads: {source}")).because(source)
        })
    }
}

/// What a merge of files did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BeadsMerged {
    /// Issues in the outcome.
    pub issues: u64,
    /// Decisions by which something was given up, or may surprise.
    pub choices: u64,
    /// The first 1,000 of those, by issue.
    pub chosen: Vec<MergeChoice>,
    /// Markers of an unfinished merge that were found in the files; it is finished now.
    pub markers: u64,
    /// Lines that could not be read; they are in the outcome as they were.
    pub flaws: u64,
    /// The first 1,000 of those.
    pub flawed_lines: Vec<ImportFlaw>,
}

/// What there is to say of the lines of a file.
pub(super) fn flawed(file: &str, told: &Told) -> Vec<ImportFlaw> {
    let flaw = |flaw: &crate::interchange::Flaw| ImportFlaw {
        file: file.to_owned(),
        line: flaw.line,
        column: flaw.column,
        code: flaw.code.to_owned(),
        message: flaw.message.clone(),
    };
    told.flawed.iter().map(flaw).collect()
}

impl From<&FileMerge> for BeadsMerged {
    fn from(merge: &FileMerge) -> Self {
        let mut flawed_lines = Vec::new();
        list(&mut flawed_lines, flawed("ours", &merge.ours));
        list(&mut flawed_lines, flawed("theirs", &merge.theirs));
        Self {
            issues: merge.issues,
            choices: merge.choices.len() as u64,
            chosen: merge.choices.iter().take(LISTED_MAX).cloned().map(MergeChoice::from).collect(),
            markers: merge.ours.markers + merge.theirs.markers,
            flaws: merge.ours.flaws + merge.theirs.flaws,
            flawed_lines,
        }
    }
}
