//! Edges between beads.

use std::fmt;
use std::str::FromStr;

use super::id::excerpt;
use super::record::record;
use super::text_enum::text_enum;
use super::value::{Cell, ColumnType, ColumnValue};
use super::{BeadId, Error, Result, Timestamp};

/// The longest name of a kind of edge in bytes.
const KIND_BYTES_MAX: usize = 50;

/// A kind of edge that is the user's own; it blocks nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FreeKind {
    bytes: [u8; KIND_BYTES_MAX],
    len: u8,
}

impl FreeKind {
    fn new(text: &str) -> Option<Self> {
        let legal = text.starts_with(|c: char| c.is_ascii_lowercase())
            && text
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b':' | b'.'));
        let mut bytes = [0; KIND_BYTES_MAX];
        bytes.get_mut(..text.len()).filter(|_| legal)?.copy_from_slice(text.as_bytes());
        Some(Self { bytes, len: u8::try_from(text.len()).ok()? })
    }

    /// The word.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.len)]).expect("it was made from ASCII")
    }
}

impl fmt::Debug for FreeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

macro_rules! kinds {
    ($($(#[$meta:meta])* $variant:ident = $text:literal,)*) => {
        /// What an edge means.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        #[non_exhaustive]
        pub enum DependencyKind {
            $($(#[$meta])* $variant,)*
            /// A word of the user's own: 1 to 50 of a-z 0-9 - _ : . starting with a letter.
            Free(FreeKind),
        }

        impl DependencyKind {
            /// Every kind that has a meaning here.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The word.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)*
                    Self::Free(word) => word.as_str(),
                }
            }
        }

        impl FromStr for DependencyKind {
            type Err = Error;
            fn from_str(text: &str) -> Result<Self> {
                match text {
                    $($text => Ok(Self::$variant),)*
                    other => FreeKind::new(other).map(Self::Free).ok_or_else(|| {
                        Error::invalid("word_malformed", format!("{} cannot be a dependency kind", excerpt(other)))
                            .with("what", "dependency kind")
                            .with("found", excerpt(other))
                            .with("known", [$($text),*].join(", "))
                            .with("rule", "1 to 50 of a-z 0-9 - _ : ., starting with a letter")
                    }),
                }
            }
        }
    };
}

kinds! {
    /// The bead cannot run before the other is resolved.
    Blocks = "blocks",
    /// The bead is a part of the other; a blocked parent blocks its parts.
    ParentChild = "parent-child",
    /// The bead runs only if the other fails; it is closed as skipped where the other is done.
    ConditionalBlocks = "conditional-blocks",
    /// The bead waits for the parts of the other.
    WaitsFor = "waits-for",
    /// A convoy tracks a member.
    Tracks = "tracks",
    /// A merge request is about a bead.
    Reviews = "reviews",
    /// They have to do with each other.
    Related = "related",
    /// They have to do with each other; data of `bd` has such an edge in each direction.
    RelatesTo = "relates-to",
    /// The bead was found while working on the other.
    DiscoveredFrom = "discovered-from",
    /// The bead says what the other says.
    Duplicates = "duplicates",
    /// The bead takes the place of the other.
    Supersedes = "supersedes",
    /// The message answers the other.
    RepliesTo = "replies-to",
}

impl DependencyKind {
    /// Whether an unresolved edge of this kind is counted in the waiting bead's `blockers`.
    pub const fn is_blocking(self) -> bool {
        matches!(self, Self::Blocks | Self::ConditionalBlocks | Self::WaitsFor)
    }

    /// Whether edges of this kind must not close a circle.
    pub const fn is_acyclic(self) -> bool {
        self.is_blocking() || matches!(self, Self::ParentChild)
    }
}

impl fmt::Display for DependencyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl TryFrom<String> for DependencyKind {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        text.parse().inspect_err(super::refusal::note)
    }
}

impl From<DependencyKind> for String {
    fn from(kind: DependencyKind) -> Self {
        kind.as_str().to_owned()
    }
}

impl ColumnValue for DependencyKind {
    const TYPE: ColumnType = ColumnType::Text;
    fn to_cell(&self) -> Cell<'_> {
        Cell::text(self.as_str())
    }
    fn from_cell(cell: &Cell<'_>) -> Result<Self> {
        match cell {
            Cell::Text(text) => text.parse(),
            other => String::from_cell(other)?.parse(),
        }
    }
}

text_enum! {
    /// How many of the parts a `waits-for` edge waits for.
    pub enum WaitGate = "gate" {
        /// Until every part is closed; a bead without parts holds nobody up.
        AllChildren = "all-children",
        /// Until one part is closed, or none is left that could be.
        AnyChildren = "any-children",
    }
}

record! {
    /// One edge: `bead` depends on `on_bead`, which need not be there.
    pub struct DependencyRow = "dependency" {
        /// The bead that waits, tracks, reviews, …
        key bead: BeadId,
        /// What it waits for, tracks, reviews, …
        key on_bead: BeadId,
        /// What the edge means.
        key kind: DependencyKind,
        /// Whether it still counts in `blockers` of `bead`.
        plain counted: bool,
        /// Who made it.
        plain created_by: String,
        /// When.
        plain created_at: Timestamp,
        /// Of an edge `waits-for`: how many parts it waits for; all where it is null.
        plain gate: Option<WaitGate>,
        /// Keys of imported data that have no column here.
        plain extra: Option<serde_json::Value>,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_of_the_users_own_is_kept_to_the_letter() {
        let longest = "a".repeat(KIND_BYTES_MAX);
        for word in ["caused-by", "until", "delegated-from", "x:y.z_1", &longest] {
            let kind: DependencyKind = word.parse().unwrap();
            assert_eq!(kind.as_str(), word);
            assert_eq!(DependencyKind::from_value(&kind.to_value()).unwrap(), kind);
            assert!(!kind.is_blocking());
        }
        for word in ["", "Blocks", "a b", "ä", "1st", &"a".repeat(KIND_BYTES_MAX + 1)] {
            assert_eq!(word.parse::<DependencyKind>().unwrap_err().code(), "word_malformed", "{word}");
        }
    }
}
