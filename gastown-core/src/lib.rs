//! Gastown runs a town of AI coding agents over git repositories.
//!
//! A *town* holds rigs (repositories), agents and beads (records of work). Beads that are slung are given to agents,
//! which run as processes in workspaces of their own; their commits are merged, tested and landed. Nothing is decided
//! outside a transaction, nothing outside happens twice, and everything that happened is in the journal.
//!
//! Begin with [`Town`].

#[cfg_attr(not(all(feature = "git", feature = "process")), allow(dead_code, reason = "nothing executes here"))]
pub(crate) mod engine;
#[cfg(all(feature = "git", feature = "process"))]
pub(crate) mod executor;
pub mod failpoint;
#[cfg(feature = "testkit")]
pub mod fuzz;
#[cfg(feature = "git")]
pub mod git;
pub mod interchange;
pub mod model;
pub mod runtime;
pub mod store;
pub mod town;
#[cfg_attr(not(all(feature = "git", feature = "process")), allow(dead_code, reason = "nothing executes here"))]
pub(crate) mod work;

pub use model::{Error, ErrorKind, Result};
pub use town::{
    Archive, Archived, ArchivedFilter, ArchivedPage, Backup, BeadsAt, BeadsAtPage, Checked, Clock, Exported, Finding,
    Follow, Handle, Health, ManualClock, Operation, OutputPage, OutputQuery, OutputSweep, Quarantined, SessionEvent,
    SystemClock, Town, TownBuilder, TownOptions, Vacuumed, Watch, WriteTo, merge_beads, operations,
};
pub use work::{
    AddComment, AddRig, Agent, AgentFilter, AgentList, AgentRef, All, ArchivedBead, Bead, BeadCounts, BeadFilter,
    BeadHistory, BeadNode, BeadPage, BeadPatch, BeadQuery, BeadRef, BeadSearch, BeadStats, BeadSummary, BeadsExported,
    BeadsMerged, BlockedBead, BlockedPage, Blocker, Changed, ChildrenOf, Claim, CloseBead, Closed, Comment,
    CommentPage, CommentRef, CommentsOf, Configure, Convoy, ConvoyList, CountBeads, CountGroup, CountedField,
    DeleteBead, Deleted, Duplicates, Edges, Epic, EpicPage, EventPage, EventsSince, Explanation, ExportBeads,
    FieldChange, FindDuplicates, GraphFilter, Heartbeat, HeldBead, HistoryEntry, HistoryOf, ImportBeads,
    ImportConflict, ImportFlaw, ImportReport, KeyedBead, KeyedLink, LeadTime, Lease, Link, ListSort, LooseEdge,
    LoosePage, LooseReason, MadeBead, MadeBeads, MendRow, MergeBeads, MergeChoice, MoveBead, NearPair, NewBead,
    NewBeads, NewId, NewSettings, NodePage, Overlap, OverlapQuery, Overlaps, Patch, Plan, PlanOf, PlannedBead,
    Progress, QuarantineFilter, QuarantinePage, QuarantineRef, QuarantinedRow, QuerySort, ReadyFilter, ReadySort,
    Reason, ReasonKind, RegisterAgent, ReleaseBead, RenameBead, Renamed, ReopenBead, Reservation, ReservationFilter,
    ReservationPage, Reserve, Reserved, Review, ReviewFilter, ReviewList, Rig, RigList, RigRef, SETTINGS, SameBeads,
    SearchSort, Session, SessionFilter, SessionList, SessionOutput, SessionRef, Setting, Sling, SlingConvoy,
    StaleBeads, StatsOf, StatusCount, SyncBeads, SyncReport, Task, Tree, TreeNode, TreeOf, Unblocks, Unreserve,
    WaitReason,
};

/// The README's program, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

/// The program in the page about storage, compiled.
#[cfg(all(doctest, feature = "store-kit"))]
#[doc = include_str!("../../docs/storage.md")]
struct StoragePage;
