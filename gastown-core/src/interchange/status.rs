//! Words of other tools and what they are here, as tables.

use crate::model::{BeadKind, BeadStatus, DependencyKind, Resolution};

use super::write::Dialect;

/// What a foreign status says besides the status it is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Hold {
    /// Somebody said it is blocked, whatever its edges say.
    Blocked,
    /// Set aside for later.
    Deferred,
    /// Not ready to be taken up.
    Draft,
    /// It hangs on an agent's hook.
    Hooked,
    /// A marker that is never ready.
    Pinned,
    /// Laid out and not yet launched.
    Staged,
    /// Deleted.
    Tombstone,
    /// A word of the user's that nothing is known about.
    Unknown,
}

impl Hold {
    /// Whether such a bead must not be given to anybody.
    pub const fn keeps_back(self) -> bool {
        !matches!(self, Self::Hooked)
    }
}

/// A foreign status, read.
///
/// ```
/// use gastown_core::interchange::{Customs, Dialect, Hold, Standing};
/// use gastown_core::model::BeadStatus;
/// let none = Customs::default();
/// let read = Standing::of("deferred", &none);
/// assert_eq!((read.status, read.source.as_deref(), read.hold), (BeadStatus::Open, Some("deferred"), Some(Hold::Deferred)));
/// assert_eq!(read.word(Dialect::Bd, &none), "deferred");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What it is here.
    pub status: BeadStatus,
    /// The foreign word, where the status alone would not give it back.
    pub source: Option<String>,
    /// What the word says besides.
    pub hold: Option<Hold>,
}

/// The statuses other tools have by themselves, and seen in their files.
const STATUSES: &[(&str, BeadStatus, Option<Hold>)] = &[
    ("open", BeadStatus::Open, None),
    ("in_progress", BeadStatus::InProgress, None),
    ("in_review", BeadStatus::InReview, None),
    ("closed", BeadStatus::Closed, None),
    ("failed", BeadStatus::Failed, None),
    ("blocked", BeadStatus::Open, Some(Hold::Blocked)),
    ("deferred", BeadStatus::Open, Some(Hold::Deferred)),
    ("draft", BeadStatus::Open, Some(Hold::Draft)),
    ("hooked", BeadStatus::InProgress, Some(Hold::Hooked)),
    ("pinned", BeadStatus::Open, Some(Hold::Pinned)),
    ("tombstone", BeadStatus::Closed, Some(Hold::Tombstone)),
    ("done", BeadStatus::Closed, None),
    ("ready", BeadStatus::Open, None),
    ("staged_ready", BeadStatus::Open, Some(Hold::Staged)),
    ("staged_warnings", BeadStatus::Open, Some(Hold::Staged)),
];

/// What a word of the user's own means: the setting `status.custom` of other tools.
///
/// ```
/// use gastown_core::interchange::{Customs, Standing};
/// use gastown_core::model::BeadStatus;
/// let customs = Customs::parse("testing:wip,shipped:done,idea:frozen");
/// assert_eq!(Standing::of("testing", &customs).status, BeadStatus::InProgress);
/// assert_eq!(Standing::of("shipped", &customs).status, BeadStatus::Closed);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Customs(Vec<(String, BeadStatus, Option<Hold>)>);

impl Customs {
    /// Words that are taken from one setting.
    pub const WORDS_MAX: usize = 50;

    /// Reads `name[:category],…`; the categories are `active`, `wip`, `done` and `frozen`, anything else keeps a bead back.
    pub fn parse(setting: &str) -> Self {
        let words = setting.split(',').map(str::trim).filter(|word| !word.is_empty()).take(Self::WORDS_MAX);
        Self(
            words
                .map(|word| {
                    let (name, category) = word.split_once(':').unwrap_or((word, ""));
                    let (status, hold) = match category.trim() {
                        "active" => (BeadStatus::Open, None),
                        "wip" => (BeadStatus::InProgress, None),
                        "done" => (BeadStatus::Closed, None),
                        "frozen" => (BeadStatus::Open, Some(Hold::Deferred)),
                        _ => (BeadStatus::Open, Some(Hold::Unknown)),
                    };
                    (name.trim().to_owned(), status, hold)
                })
                .filter(|(name, ..)| STATUSES.iter().all(|(known, ..)| known != name))
                .collect(),
        )
    }
}

impl Standing {
    /// What a foreign status is here; a word nobody knows is open and kept back.
    pub fn of(word: &str, customs: &Customs) -> Self {
        let (status, hold) = known(word, customs).unwrap_or((BeadStatus::Open, Some(Hold::Unknown)));
        Self { status, source: (word != status.as_str()).then(|| word.to_owned()), hold }
    }

    /// The word to write: the foreign one while it still means the status, otherwise what the dialect has for it.
    pub fn word(&self, dialect: Dialect, customs: &Customs) -> &str {
        match &self.source {
            Some(word) if Self::of(word, customs).status == self.status => word,
            _ => match (self.status, dialect) {
                (BeadStatus::InReview, Dialect::Bd | Dialect::Br) => "in_progress",
                (BeadStatus::Failed, Dialect::Bd | Dialect::Br) => "closed",
                (status, _) => status.as_str(),
            },
        }
    }
}

fn known(word: &str, customs: &Customs) -> Option<(BeadStatus, Option<Hold>)> {
    let builtin = STATUSES.iter().find(|(known, ..)| *known == word).map(|(_, status, hold)| (*status, *hold));
    builtin.or_else(|| customs.0.iter().find(|(known, ..)| known == word).map(|(_, status, hold)| (*status, *hold)))
}

/// Whether a status is one that tools have by themselves.
pub(super) fn is_known(word: &str) -> bool {
    known(word, &Customs::default()).is_some()
}

/// Whether a status ends the work.
pub(super) fn is_closed(word: &str) -> bool {
    known(word, &Customs::default()).is_some_and(|(status, _)| status.is_terminal())
}

/// What an issue type is to the library; what it does not know is an issue.
pub fn bead_kind(issue_type: &str) -> BeadKind {
    match issue_type {
        "message" => BeadKind::Message,
        "escalation" => BeadKind::Escalation,
        "merge-request" | "merge_request" | "mr" => BeadKind::MergeRequest,
        "convoy" => BeadKind::Convoy,
        "molecule" => BeadKind::Molecule,
        "step" => BeadKind::Step,
        "gate" => BeadKind::Gate,
        "agent" => BeadKind::Agent,
        _ => BeadKind::Issue,
    }
}

/// The proper name of a type that is written by another.
pub fn type_alias(issue_type: &str) -> Option<&'static str> {
    Some(match issue_type {
        "enhancement" | "feat" => "feature",
        "dec" | "adr" => "decision",
        "investigation" | "timebox" => "spike",
        "user-story" => "story",
        "ms" => "milestone",
        "mr" => "merge-request",
        _ => return None,
    })
}

/// Words that other tools have for edges without a meaning here.
const FREE_EDGES: &[&str] = &[
    "approved-by",
    "assigned-to",
    "attests",
    "authored-by",
    "caused-by",
    "delegated-from",
    "follows",
    "relates",
    "until",
    "validates",
];

/// The proper word of an edge that is written by another: in other letters, or from the other end.
pub(super) fn edge_alias(word: &str) -> Option<String> {
    let plain = word.trim().to_lowercase().replace(['_', ' '], "-");
    let proper = match plain.as_str() {
        "" | "block" | "blocked" | "blocked-by" | "blocker" | "depends" | "depends-on" | "dependency" | "requires" => {
            "blocks"
        }
        "parent" | "part-of" | "child-of" | "subtask-of" => "parent-child",
        "conditional" | "conditional-block" => "conditional-blocks",
        "wait-for" | "waits" | "waits-on" => "waits-for",
        "related-to" => "related",
        "relate-to" => "relates-to",
        "discovered" | "found-from" => "discovered-from",
        "duplicate" | "duplicate-of" | "duplicates-of" => "duplicates",
        "supersede" => "supersedes",
        "reply-to" | "replies" => "replies-to",
        plain => plain,
    };
    (proper != word).then(|| proper.to_owned())
}

/// Whether a word is one that some tool has for an edge.
pub(super) fn is_edge_kind(word: &str) -> bool {
    dependency_kind(word).is_some() || FREE_EDGES.contains(&word)
}

/// The kind of an edge by its word; nothing for words of the user's own.
pub fn dependency_kind(word: &str) -> Option<DependencyKind> {
    match word {
        "relates-to" | "relates" => Some(DependencyKind::Related),
        word => DependencyKind::ALL.iter().copied().find(|kind| kind.as_str() == word),
    }
}

/// Words that say that an issue came to nothing, alone or before a remark: those that `bd` looks for anywhere in a
/// `close_reason`, where `no errors left` would be one.
const FAILURES: [(&str, Resolution); 14] = [
    ("aborted", Resolution::Abandoned),
    ("abandoned", Resolution::Abandoned),
    ("blocked", Resolution::Abandoned),
    ("canceled", Resolution::Cancelled),
    ("cancelled", Resolution::Cancelled),
    ("error", Resolution::Abandoned),
    ("failed", Resolution::Abandoned),
    ("not planned", Resolution::Cancelled),
    ("rejected", Resolution::Abandoned),
    ("timed out", Resolution::Abandoned),
    ("timeout", Resolution::Abandoned),
    ("won't fix", Resolution::Cancelled),
    ("wont fix", Resolution::Cancelled),
    ("wontfix", Resolution::Cancelled),
];

/// Why an issue was closed, where the words leave no doubt; the words themselves are kept in any case.
///
/// ```
/// use gastown_core::interchange::resolution;
/// use gastown_core::model::Resolution;
/// assert_eq!(resolution("Duplicate of bd-12"), Some(Resolution::Duplicate));
/// assert_eq!(resolution("failed: the disk was full"), Some(Resolution::Abandoned));
/// assert_eq!(resolution("done, but see the notes"), None);
/// ```
pub fn resolution(close_reason: &str) -> Option<Resolution> {
    let words = close_reason.trim().trim_end_matches('.').to_lowercase();
    let is_of = |start: &str| {
        words.strip_prefix(start).is_some_and(|rest| {
            let rest = rest.trim_start_matches([':', ' ']);
            let rest = rest.strip_prefix("of ").or_else(|| rest.strip_prefix("by ")).unwrap_or(rest);
            rest.is_empty() || !rest.contains(' ') && rest.contains('-')
        })
    };
    // A word that goes on is of a sentence, such as `error handling is better now`.
    let is_before_remark = |start: &str| {
        words.strip_prefix(start).is_some_and(|rest| {
            rest.is_empty() || rest.starts_with([':', ';', ',', '.', '!']) || rest.starts_with(" (") || is_dash(rest)
        })
    };
    match words.as_str() {
        "completed" | "complete" | "done" | "fixed" | "implemented" | "resolved" | "finished" => {
            Some(Resolution::Completed)
        }
        "skipped" => Some(Resolution::Skipped),
        _ if is_of("duplicate") => Some(Resolution::Duplicate),
        _ if is_of("superseded") => Some(Resolution::Superseded),
        _ => FAILURES.iter().find(|(word, _)| is_before_remark(word)).map(|(_, end)| *end),
    }
}

fn is_dash(rest: &str) -> bool {
    [" - ", " \u{2013} ", " \u{2014} "].iter().any(|dash| rest.starts_with(dash))
}

/// How an issue of this status ended as far as the words say; nothing where it did not end.
pub(crate) fn implied(status: BeadStatus, close_reason: &str) -> Option<Resolution> {
    match status {
        BeadStatus::Closed => Some(resolution(close_reason).unwrap_or(Resolution::Completed)),
        BeadStatus::Failed => Some(resolution(close_reason).unwrap_or(Resolution::Abandoned)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_is_given_back_as_it_came() {
        let customs = Customs::parse("testing:wip, idea:frozen,odd,open:done");
        for word in STATUSES.iter().map(|(word, ..)| *word).chain(["testing", "idea", "odd", "never_heard_of", ""]) {
            let standing = Standing::of(word, &customs);
            for dialect in [Dialect::Native, Dialect::Bd, Dialect::Br] {
                if dialect == Dialect::Native || !matches!(word, "in_review" | "failed") {
                    assert_eq!(standing.word(dialect, &customs), word);
                }
            }
        }
        assert_eq!(
            Standing::of("open", &customs).status,
            BeadStatus::Open,
            "a custom word does not replace a known one"
        );
    }

    #[test]
    fn a_changed_status_is_written_and_not_the_word_it_came_with() {
        let mut standing = Standing::of("hooked", &Customs::default());
        standing.status = BeadStatus::Closed;
        assert_eq!(standing.word(Dialect::Native, &Customs::default()), "closed");
        standing.status = BeadStatus::Failed;
        assert_eq!(standing.word(Dialect::Br, &Customs::default()), "closed");
    }

    #[test]
    fn doubtful_reasons_decide_nothing() {
        for reason in [
            "",
            "merged",
            "duplicate work was avoided",
            "superseded by the new design of pumps",
            "fixed?",
            "error handling is better now",
            "timeout raised to 30 s",
            "no errors left",
            "failed-over to the other site",
            "blocked users can log in again",
        ] {
            assert_eq!(resolution(reason), None, "{reason}");
        }
        assert_eq!(resolution("Superseded by gt-12."), Some(Resolution::Superseded));
    }

    #[test]
    fn the_words_for_failures_are_known_alone_and_before_a_remark() {
        for (word, end) in FAILURES {
            for rest in
                ["", ".", ": no disk", " - out of scope", " \u{2014} see the notes", " (by the owner)", ", sadly"]
            {
                let reason = format!("{}{}{rest}", word[..1].to_uppercase(), &word[1..]);
                assert_eq!(resolution(&reason), Some(end), "{reason}");
            }
        }
    }
}
