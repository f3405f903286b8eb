//! Commands over a transaction: what callers may do, and what outcomes lead to.
//!
//! Everything here is plain synchronous code. The time and the ids come in; nothing awaits; rows are reached through a
//! scope only.

pub(crate) mod agents;
pub(crate) mod ailments;
pub(crate) mod archived;
pub(crate) mod attempts;
pub(crate) mod beads;
pub(crate) mod breaker;
#[cfg_attr(not(feature = "auth"), allow(dead_code, reason = "nothing is signed here"))]
pub(crate) mod capabilities;
pub(crate) mod command;
pub(crate) mod convoys;
pub(crate) mod drain;
pub(crate) mod effects;
pub(crate) mod events;
pub(crate) mod fields;
pub(crate) mod find;
pub(crate) mod globs;
pub(crate) mod graph;
pub(crate) mod handoff;
pub(crate) mod hook;
pub(crate) mod ids;
pub(crate) mod leader;
pub(crate) mod liveness;
pub(crate) mod miscount;
pub(crate) mod observed;
pub(crate) mod orphans;
pub(crate) mod outbox;
pub(crate) mod outcome;
pub(crate) mod pause;
pub(crate) mod pool;
pub(crate) mod quarantine;
pub(crate) mod query;
pub(crate) mod ready;
pub(crate) mod recall;
pub(crate) mod reservations;
pub(crate) mod retention;
pub(crate) mod reviews;
pub(crate) mod rigs;
pub(crate) mod schedule;
pub(crate) mod session_output;
pub(crate) mod sessions;
pub(crate) mod settings;
pub(crate) mod sling;
pub(crate) mod trade;
pub(crate) mod triage;
pub(crate) mod txn;
pub(crate) mod upgrade;
pub(crate) mod view;

pub use agents::{Agent, AgentFilter, AgentHistory, AgentHistoryOf, AgentList, AgentRef, AgentWork, RegisterAgent};
pub use attempts::{Attempt, Attempts};
pub use beads::{
    AddComment, Bead, BeadPatch, BeadRef, BeadSummary, CloseBead, Closed, Comment, CommentPage, CommentRef, CommentsOf,
    DeleteBead, Deleted, KeyedBead, KeyedLink, MadeBead, MadeBeads, MoveBead, NewBead, NewBeads, NewId, Patch,
    RenameBead, Renamed, ReopenBead,
};
pub use capabilities::{
    AttenuateCapability, CapabilityFilter, CapabilityInfo, CapabilityPage, IssueCapability, IssuedCapability, KeyInfo,
    KeysRotated, RevokeCapability, RotateKeys,
};
pub use convoys::{Convoy, ConvoyList, Progress, SlingConvoy, Task};
pub use drain::{DrainTown, Draining};
pub use events::{EventPage, EventsSince};
pub use find::{
    BeadCounts, BeadHistory, BeadSearch, BeadStats, CountBeads, CountGroup, CountedField, Duplicates, FieldChange,
    FindDuplicates, HistoryEntry, HistoryOf, LeadTime, NearPair, SameBeads, SearchSort, StaleBeads, StatsOf,
    StatusCount,
};
pub use graph::{
    BeadNode, BlockedBead, BlockedPage, Blocker, Changed, ChildrenOf, Edges, EdgesOf, Epic, EpicPage, Explanation,
    GraphFilter, Link, LooseEdge, LoosePage, LooseReason, NodePage, Plan, PlanOf, PlannedBead, Reason, ReasonKind,
    Tree, TreeNode, TreeOf, Unblocks, WaitReason,
};
pub use handoff::{Checkpoint, HandOff};
pub use hook::HookBead;
pub use outbox::{Effect, EffectFilter, EffectPage, EffectRef};
pub use outcome::Failure;
pub use pause::{ParkBead, PauseAgent, PauseRig, PauseTown, TownPause};
pub use quarantine::{MendRow, QuarantineFilter, QuarantinePage, QuarantineRef, QuarantinedRow};
pub use query::{BeadQuery, QuerySort};
pub use ready::{BeadFilter, BeadPage, Claim, Heartbeat, Lease, ListSort, ReadyFilter, ReadySort, ReleaseBead};
pub use recall::ArchivedBead;
pub use reservations::{
    Overlap, OverlapQuery, Overlaps, Reservation, ReservationFilter, ReservationPage, Reserve, Reserved, Unreserve,
};
pub use reviews::{Review, ReviewFilter, ReviewList};
pub use rigs::{AddRig, All, Configure, Rig, RigList, RigRef};
pub use schedule::{PlannedStart, StartPlan};
pub use sessions::{Session, SessionFilter, SessionList, SessionOutput, SessionRef};
pub use settings::{NewSettings, SETTINGS, Setting};
pub use sling::{Sling, SlingMany, Slung};
pub use trade::{
    BeadsExported, BeadsMerged, ExportBeads, HeldBead, ImportBeads, ImportConflict, ImportFlaw, ImportRepair,
    ImportReport, MergeBeads, MergeChoice, SyncBeads, SyncReport,
};
pub use triage::{ResolveTriage, TriageAction, TriageKind, TriageList, TriageRequest};
