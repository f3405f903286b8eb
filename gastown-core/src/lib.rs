//! Gastown runs a town of AI coding agents over git repositories.
//!
//! A *town* holds rigs (repositories), agents and beads (records of work). Beads that are slung are given to agents,
//! which run as processes in workspaces of their own; their commits are merged, tested and landed. Nothing is decided
//! outside a transaction, nothing outside happens twice, and everything that happened is in the journal.
//!
//! Begin with [`Town`].

#[cfg(feature = "auth")]
pub mod auth;
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
pub(crate) mod meter;
pub mod model;
pub mod mutant;
mod random;
pub mod runtime;
#[cfg(feature = "process")]
pub mod socket;
pub mod store;
pub mod town;
#[cfg_attr(not(all(feature = "git", feature = "process")), allow(dead_code, reason = "nothing executes here"))]
pub(crate) mod work;

pub use meter::{Metric, MetricBucket, MetricKind, MetricValue, metrics};
pub use model::{Error, ErrorKind, Result};
pub use town::{
    Archive, Archived, ArchivedFilter, ArchivedPage, Backup, BeadsAt, BeadsAtPage, Checked, Clock, Diagnosis, Examine,
    Exported, Finding, Follow, Handle, Health, ManualClock, Metrics, Operation, OutputPage, OutputQuery, OutputSweep,
    Quarantined, SessionEvent, Symptom, SymptomKind, SystemClock, Town, TownBuilder, TownOptions, TownStatus, Vacuumed,
    Watch, WriteTo, merge_beads, operations,
};
pub use work::{
    AddComment, AddRig, Agent, AgentFilter, AgentHistory, AgentHistoryOf, AgentList, AgentRef, AgentWork, All,
    ArchivedBead, Attempt, Attempts, AttenuateCapability, Bead, BeadCounts, BeadFilter, BeadHistory, BeadNode,
    BeadPage, BeadPatch, BeadQuery, BeadRef, BeadSearch, BeadStats, BeadSummary, BeadsExported, BeadsMerged,
    BlockedBead, BlockedPage, Blocker, CapabilityFilter, CapabilityInfo, CapabilityPage, Changed, Checkpoint,
    ChildrenOf, Claim, CloseBead, Closed, Comment, CommentPage, CommentRef, CommentsOf, Configure, Convoy, ConvoyList,
    CountBeads, CountGroup, CountedField, DeleteBead, Deleted, DrainTown, Draining, Duplicates, Edges, EdgesOf, Effect,
    EffectFilter, EffectPage, EffectRef, Epic, EpicPage, EventPage, EventsSince, Explanation, ExportBeads, Failure,
    FieldChange, FindDuplicates, GraphFilter, HandOff, Heartbeat, HeldBead, HistoryEntry, HistoryOf, HookBead,
    ImportBeads, ImportConflict, ImportFlaw, ImportRepair, ImportReport, IssueCapability, IssuedCapability, KeyInfo,
    KeyedBead, KeyedLink, KeysRotated, LeadTime, Lease, Link, ListSort, LooseEdge, LoosePage, LooseReason, MadeBead,
    MadeBeads, MendRow, MergeBeads, MergeChoice, MoveBead, NearPair, NewBead, NewBeads, NewId, NewSettings, NodePage,
    Overlap, OverlapQuery, Overlaps, ParkBead, Patch, PauseAgent, PauseRig, PauseTown, Plan, PlanOf, PlannedBead,
    PlannedStart, Progress, QuarantineFilter, QuarantinePage, QuarantineRef, QuarantinedRow, QuerySort, ReadyFilter,
    ReadySort, Reason, ReasonKind, RegisterAgent, ReleaseBead, RenameBead, Renamed, ReopenBead, Reservation,
    ReservationFilter, ReservationPage, Reserve, Reserved, ResolveTriage, Review, ReviewFilter, ReviewList,
    RevokeCapability, Rig, RigList, RigRef, RotateKeys, SETTINGS, SameBeads, SearchSort, Session, SessionFilter,
    SessionList, SessionOutput, SessionRef, Setting, Sling, SlingConvoy, SlingMany, Slung, StaleBeads, StartPlan,
    StatsOf, StatusCount, SyncBeads, SyncReport, Task, TownPause, Tree, TreeNode, TreeOf, TriageAction, TriageKind,
    TriageList, TriageRequest, Unblocks, Unreserve, WaitReason,
};

/// The README's program, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

/// The program in the page about storage, compiled.
#[cfg(all(doctest, feature = "store-kit"))]
#[doc = include_str!("../../docs/storage.md")]
struct StoragePage;
