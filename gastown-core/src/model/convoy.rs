//! Convoys: batches that are brought home together.

use super::record::record;
use super::text_enum::text_enum;
use super::{BeadId, Oid, RigName, Timestamp};

text_enum! {
    /// Where a convoy stands; derived from its members, never counted by hand.
    pub enum ConvoyState = "convoy state" {
        /// Made, not started.
        Staged = "staged",
        /// Its members are being worked on.
        Active = "active",
        /// Every member is in the convoy's branch.
        ReadyToLand = "ready_to_land",
        /// Its branch is in the merge queue of the target.
        Landing = "landing",
        /// The target holds its work, proven by ancestry.
        Landed = "landed",
        /// Somebody must decide.
        NeedsAttention = "needs_attention",
        /// Given up.
        Cancelled = "cancelled",
    }
}

text_enum! {
    /// How a convoy is brought home.
    pub enum ConvoyMode = "convoy mode" {
        /// Members merge into the convoy's branch, which lands as one.
        ReviewThenLand = "review-then-land",
    }
}

text_enum! {
    /// What a failed member does to those that wait for it.
    pub enum FailurePolicy = "failure policy" {
        /// They wait until somebody decides.
        Block = "block",
        /// They are closed as skipped, transitively.
        Skip = "skip",
        /// They go on as if it were resolved.
        Continue = "continue",
    }
}

record! {
    /// The detail of a convoy; its bead has the same id.
    pub struct ConvoyRow = "bead_detail_convoy" {
        /// The convoy's bead.
        key id: BeadId,
        /// Where.
        plain rig: RigName,
        /// How it is brought home.
        plain mode: ConvoyMode,
        /// What a failed member does.
        plain on_failure: FailurePolicy,
        /// Where it stands.
        plain state: ConvoyState,
        /// Its own branch, without `refs/heads/`.
        plain branch: String,
        /// Where it lands, without `refs/heads/`.
        plain target: String,
        /// The commit its branch was made from; null before it exists at the remote.
        plain base: Option<Oid>,
        /// The tip of its branch as the last merge of a member left it.
        plain head: Option<Oid>,
        /// The commit on the target that brought it in.
        plain landed_oid: Option<Oid>,
        /// When it landed.
        plain landed_at: Option<Timestamp>,
        /// Why it needs attention.
        plain reason: Option<String>,
    }
}
