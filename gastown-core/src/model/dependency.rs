//! Edges between beads.

use super::record::record;
use super::text_enum::text_enum;
use super::{BeadId, Timestamp};

text_enum! {
    /// What an edge means.
    pub enum DependencyKind = "dependency kind" {
        /// The bead cannot run before the other is resolved.
        Blocks = "blocks",
        /// The bead is a part of the other; a blocked parent blocks its parts.
        ParentChild = "parent-child",
        /// The bead runs only if the other fails.
        ConditionalBlocks = "conditional-blocks",
        /// The bead waits for the parts of the other.
        WaitsFor = "waits-for",
        /// A convoy tracks a member.
        Tracks = "tracks",
        /// A merge request is about a bead.
        Reviews = "reviews",
        /// They have to do with each other.
        Related = "related",
        /// The bead was found while working on the other.
        DiscoveredFrom = "discovered-from",
        /// The bead says what the other says.
        Duplicates = "duplicates",
        /// The bead takes the place of the other.
        Supersedes = "supersedes",
        /// The message answers the other.
        RepliesTo = "replies-to",
    }
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

record! {
    /// One edge: `bead` depends on `on_bead`.
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
    }
}
