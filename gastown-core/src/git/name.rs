//! Names of branches.

use std::fmt;

use crate::model::{AgentName, BeadId, Error, Result};

/// The longest name in bytes.
const BYTES_MAX: usize = 200;
const RULE: &str = "1 to 200 of A-Z a-z 0-9 . _ / -, starting with a letter or digit; no part empty, starting or ending with a dot or ending with .lock; not HEAD";

/// A branch without `refs/heads/`, stricter than git: what is legal here is legal everywhere and never an option.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BranchName(String);

impl BranchName {
    /// Parses the text; the error `branch_malformed` names the rule.
    pub fn new(text: impl Into<String>) -> Result<Self> {
        let text = text.into();
        let first = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        let bytes = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'/' | b'-'));
        let parts = text.split('/').all(part_is_legal);
        if first && bytes && parts && text.len() <= BYTES_MAX && !text.contains("..") && text != "HEAD" {
            return Ok(Self(text));
        }
        let found: String = text.chars().take(60).collect();
        Err(Error::invalid("branch_malformed", format!("{found:?} is not a branch name"))
            .with("found", format!("{found:?}"))
            .with("rule", RULE))
    }

    /// Where one session of an agent on a bead puts its work: `gt/work/<bead>/<agent>.<epoch>`.
    pub fn work(bead: &BeadId, agent: &AgentName, epoch: u64) -> Result<Self> {
        Self::new(format!("gt/work/{bead}/{agent}.{epoch}"))
    }

    /// Where a bead's work is shown at the remote: `gt/<bead>`.
    ///
    /// The beads `work`, `convoy` and `saved` are refused: their branch would be in the way of whole families.
    pub fn published(bead: &BeadId) -> Result<Self> {
        if matches!(bead.as_str(), "work" | "convoy" | "saved") {
            return Err(Error::invalid("branch_malformed", format!("gt/{bead} is kept for other branches"))
                .with("found", format!("gt/{bead}"))
                .with("rule", "a bead named work, convoy or saved has no branch"));
        }
        Self::new(format!("gt/{bead}"))
    }

    /// Where a convoy is gathered: `gt/convoy/<id>`.
    pub fn convoy(convoy: &BeadId) -> Result<Self> {
        Self::new(format!("gt/convoy/{convoy}"))
    }

    /// Where work is kept that a session left behind: `gt/saved/<bead>.<epoch>`.
    pub fn saved(bead: &BeadId, epoch: u64) -> Result<Self> {
        Self::new(format!("gt/saved/{bead}.{epoch}"))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The full ref: `refs/heads/…`, the only form that git is given.
    pub fn full(&self) -> String {
        format!("refs/heads/{}", self.0)
    }
}

fn part_is_legal(part: &str) -> bool {
    let lock = part.len() >= 5 && part.as_bytes()[part.len() - 5..].eq_ignore_ascii_case(b".lock");
    !part.is_empty() && !part.starts_with('.') && !part.ends_with('.') && !lock
}

impl fmt::Display for BranchName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for BranchName {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        Self::new(text)
    }
}

impl TryFrom<String> for BranchName {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        Self::new(text)
    }
}

impl From<BranchName> for String {
    fn from(name: BranchName) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_branch_names_are_refused() {
        let long = "a".repeat(201);
        for bad in [
            "",
            "-evil",
            "--output=/tmp/x",
            "/a",
            "a/",
            "a//b",
            "a..b",
            ".a",
            "a/.b",
            "a.",
            "a/b.",
            "a.lock",
            "a.lock/b",
            "a.LOCK",
            "HEAD",
            "@",
            "@{-1}",
            "main^{/x}",
            ":/x",
            "a b",
            "a;b",
            "$(id)",
            "a\nb",
            "a\0b",
            "ä",
            "a~1",
            "a#b",
            &long,
        ] {
            let error = BranchName::new(bad).expect_err(bad);
            assert_eq!(error.code(), "branch_malformed", "{bad:?}");
        }
        for good in ["main", "release/1.2", "feature_x-y", "9", &"a".repeat(200)] {
            assert_eq!(BranchName::new(good).unwrap().full(), format!("refs/heads/{good}"));
        }
    }

    #[test]
    fn the_designed_names_are_as_designed_and_never_in_each_others_way() {
        let bead = BeadId::new("gt-a3f9k.1").unwrap();
        let agent = AgentName::new("toast").unwrap();
        assert_eq!(BranchName::work(&bead, &agent, 3).unwrap().as_str(), "gt/work/gt-a3f9k.1/toast.3");
        assert_eq!(BranchName::published(&bead).unwrap().as_str(), "gt/gt-a3f9k.1");
        assert_eq!(BranchName::convoy(&bead).unwrap().as_str(), "gt/convoy/gt-a3f9k.1");
        assert_eq!(BranchName::saved(&bead, 3).unwrap().as_str(), "gt/saved/gt-a3f9k.1.3");
        for bad in ["work", "convoy", "saved", "x.lock", "a#b"] {
            let bead = BeadId::new(bad).unwrap();
            assert_eq!(BranchName::published(&bead).unwrap_err().code(), "branch_malformed", "{bad}");
        }
    }
}
