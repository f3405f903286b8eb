//! How an issue stands and ended, in words that every tool has.

use super::issue::Issue;
use super::status::{Customs, Standing, implied, resolution};
use super::write::Dialect;
use crate::model::{BeadStatus, Resolution};

/// The status of an issue, the words about its end, and what neither of them says.
///
/// Other tools keep the first two and pass over the third, so what can be said by words is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ending {
    status: String,
    close_reason: String,
    resolution: String,
}

impl Ending {
    /// As it is written here.
    pub(crate) fn of(issue: &Issue) -> Self {
        Self {
            status: issue.status.clone(),
            close_reason: issue.close_reason.clone(),
            resolution: issue.resolution.clone(),
        }
    }

    /// As it is written for every tool.
    pub(crate) fn outward(issue: &Issue) -> Self {
        let mut ending = Self::of(issue);
        if ending.status == "failed" && ending.resolution.is_empty() {
            let end = implied(BeadStatus::Failed, &ending.close_reason);
            ending.resolution = end.map_or(String::new(), |end| end.as_str().to_owned());
        }
        ending.status = outward_status(&ending.status).to_owned();
        if ending.status != "closed" {
            return ending;
        }
        let end = ending.resolution.parse::<Resolution>().ok();
        let needs_words = |end: Resolution| end != Resolution::Completed && resolution(end.as_str()) == Some(end);
        if ending.close_reason.is_empty() && end.is_some_and(needs_words) {
            ending.close_reason.clone_from(&ending.resolution);
        }
        if end.is_some() && end == implied(BeadStatus::Closed, &ending.close_reason) {
            ending.resolution.clear();
        }
        ending
    }

    /// Has an issue say so.
    pub(crate) fn put(self, issue: &mut Issue) {
        (issue.status, issue.close_reason, issue.resolution) = (self.status, self.close_reason, self.resolution);
    }
}

/// Has an issue say how it ended where a tool that does not know the key wrote it anew, and nothing else of its end changed.
pub(crate) fn recall(issue: &mut Issue, known: &Issue) {
    let at = |issue: &Issue| issue.closed_at.as_ref().map(|time| time.at);
    let is_same = issue.status == known.status && issue.close_reason == known.close_reason && at(issue) == at(known);
    if is_same && issue.resolution.is_empty() {
        issue.resolution.clone_from(&known.resolution);
    }
}

/// The word that every tool has for a status.
pub(crate) fn outward_status(status: &str) -> &str {
    match status {
        "in_review" | "failed" => {
            match Standing::of(status, &Customs::default()).word(Dialect::Bd, &Customs::default()) {
                "closed" => "closed",
                _ => "in_progress",
            }
        }
        status => status,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issue(status: &str, close_reason: &str, resolution: &str) -> Issue {
        Issue {
            status: status.to_owned(),
            close_reason: close_reason.to_owned(),
            resolution: resolution.to_owned(),
            ..Issue::default()
        }
    }

    #[test]
    fn words_say_what_they_can_and_the_key_the_rest() {
        for (own, outward) in [
            (("closed", "", ""), ("closed", "", "")),
            (("closed", "", "completed"), ("closed", "", "")),
            (("closed", "", "cancelled"), ("closed", "cancelled", "")),
            (("closed", "cancelled", ""), ("closed", "cancelled", "")),
            (("closed", "nobody asked", "cancelled"), ("closed", "nobody asked", "cancelled")),
            (("closed", "Duplicate of gt-1", "duplicate"), ("closed", "Duplicate of gt-1", "")),
            (("closed", "Duplicate of gt-1", "completed"), ("closed", "Duplicate of gt-1", "completed")),
            (("closed", "", "merged"), ("closed", "", "merged")),
            (("failed", "", ""), ("closed", "abandoned", "")),
            (("failed", "failed: it broke", ""), ("closed", "failed: it broke", "")),
            (("failed", "it broke", ""), ("closed", "it broke", "abandoned")),
            (("failed", "", "attempts_exhausted"), ("closed", "", "attempts_exhausted")),
            (("in_review", "", ""), ("in_progress", "", "")),
            (("closed", "", "of some kind"), ("closed", "", "of some kind")),
        ] {
            let outward = issue(outward.0, outward.1, outward.2);
            assert_eq!(Ending::outward(&issue(own.0, own.1, own.2)), Ending::of(&outward), "{own:?}");
            assert_eq!(Ending::outward(&outward), Ending::of(&outward), "it is the same twice: {own:?}");
        }
    }
}
