"""What operations take (typed dicts) and answer (frozen dataclasses); times are microseconds since 1970 UTC."""

from __future__ import annotations

import builtins
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypedDict

if TYPE_CHECKING:
    from typing_extensions import NotRequired

AgentState = Literal["idle", "hooked", "paused", "collected", "retired"]
BeadKind = Literal[
    "issue", "message", "escalation", "merge_request", "convoy", "molecule", "step", "gate", "agent"
]
BeadStatus = Literal["open", "in_progress", "in_review", "closed", "failed"]
ConvoyMode = Literal["review-then-land"]
ConvoyState = Literal["staged", "active", "ready_to_land", "landing", "landed", "needs_attention", "cancelled"]
DependencyKind = Literal[
    "blocks",
    "parent-child",
    "conditional-blocks",
    "waits-for",
    "tracks",
    "reviews",
    "related",
    "relates-to",
    "discovered-from",
    "duplicates",
    "supersedes",
    "replies-to",
]
Durability = Literal["full", "normal"]
EventFlaw = Literal["malformed", "incomplete"]
ListSort = Literal["created", "newest", "updated", "priority", "id"]
ReadySort = Literal["priority", "oldest", "hybrid"]
FailurePolicy = Literal["block", "skip", "continue"]
MetricKind = Literal["counter", "gauge", "histogram"]
OutputStream = Literal["output", "events"]
OperationKind = Literal["change", "ask", "outside"]
Resolution = Literal[
    "completed",
    "merged",
    "landed",
    "cancelled",
    "superseded",
    "duplicate",
    "abandoned",
    "skipped",
    "attempts_exhausted",
]
ReviewState = Literal[
    "queued",
    "building",
    "passed",
    "publishing",
    "merged",
    "rework",
    "conflict",
    "ejected",
    "abandoned",
    "superseded",
]
RigState = Literal["active", "paused"]
Role = Literal["mayor", "polecat", "refinery", "witness", "crew"]
SessionExit = Literal[
    "succeeded",
    "failed",
    "timed_out",
    "stalled",
    "rate_limited",
    "cancelled",
    "lost",
    "auth_failed",
    "protocol_error",
    "crashed",
    "superseded",
    "refused",
    "handed_off",
    "drained",
]
Fault = Literal["work", "agent", "infrastructure", "credentials"]
Stall = Literal["nudged", "triaged", "stopped"]
BreakerState = Literal["closed", "open", "half_open"]
EffectState = Literal["planned", "issued", "ambiguous", "probing", "confirmed", "refused"]
Setback = Literal["transient", "auth", "gone", "refused"]
SessionState = Literal["planned", "starting", "running", "finishing", "ended"]
ReasonKind = Literal[
    "kind",
    "status",
    "held",
    "slung",
    "edge",
    "open_part",
    "parent",
    "deferred",
    "parked",
    "pinned",
    "template",
    "ephemeral",
    "backoff",
    "town_paused",
    "draining",
    "rig_paused",
    "agent_paused",
    "agent_retired",
    "agent_busy",
    "no_idle_agent",
    "breaker",
    "town_limit",
    "rig_limit",
    "role_limit",
    "preset_limit",
    "no_branch",
    "turn",
    "type",
]
WaitReason = Literal[
    "not_done", "failed", "not_landed", "not_decided", "parts_open", "no_part_closed", "blocked", "unreadable"
]
LooseReason = Literal["circle", "second_parent", "no_target", "no_waiter"]
WaitGate = Literal["all-children", "any-children"]
CountedField = Literal[
    "status",
    "type",
    "priority",
    "assignee",
    "label",
    "rig",
    "kind",
    "resolution",
    "owner",
    "creator",
    "parent",
    "convoy",
    "spec",
    "external_ref",
    "estimate",
    "blockers",
    "pinned",
    "ephemeral",
    "template",
    "created",
    "updated",
    "started",
    "closed",
    "due",
    "defer",
]
QuerySort = Literal["created", "newest", "updated", "priority", "due", "id"]
SearchSort = Literal["best", "newest"]


# ---- what operations answer ----


@dataclass(frozen=True, slots=True)
class Agent:
    """An agent."""

    id: str
    name: str
    role: Role
    rig: str | None
    state: AgentState
    hook: str | None
    session: str | None
    sessions: int
    since: int
    pooled: bool
    paused_reason: str | None
    paused_until: int | None


@dataclass(frozen=True, slots=True)
class AgentList:
    """Agents, by id."""

    agents: list[Agent]


@dataclass(frozen=True, slots=True)
class AgentWork:
    """One session of an agent's past; no `exit` while it has not ended, no `duration_ms` where it never ran."""

    session: str
    bead: str
    exit: SessionExit | None
    reason: str | None
    created_at: int
    started_at: int | None
    ended_at: int | None
    duration_ms: int | None


@dataclass(frozen=True, slots=True)
class AgentHistory:
    """What an agent has done, oldest first; `cursor` is where the next page begins, none at the end."""

    agent: Agent
    work: list[AgentWork]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class Bead:
    """A bead, whole."""

    id: str
    kind: BeadKind
    status: BeadStatus
    resolution: Resolution | None
    close_reason: str | None
    title: str
    priority: int
    issue_type: str
    labels: list[str]
    metadata: dict[str, Any]
    rig: str | None
    parent: str | None
    parts: int
    open_parts: int
    convoy: str | None
    assignee: str | None
    owner: str | None
    created_by: str
    external_ref: str | None
    spec_id: str | None
    defer_until: int | None
    due_at: int | None
    estimate_minutes: int | None
    parked_reason: str | None
    parked_until: int | None
    pinned: bool
    ephemeral: bool
    template: bool
    slung: bool
    blockers: int
    comments: int
    epoch: int
    lease_until: int | None
    failures: int
    version: int
    created_at: int
    updated_at: int
    started_at: int | None
    closed_at: int | None
    description: str
    design: str
    acceptance: str
    notes: str


@dataclass(frozen=True, slots=True)
class BeadSummary:
    """A bead without its four texts, as lists answer it."""

    id: str
    kind: BeadKind
    status: BeadStatus
    resolution: Resolution | None
    close_reason: str | None
    title: str
    priority: int
    issue_type: str
    labels: list[str]
    metadata: dict[str, Any]
    rig: str | None
    parent: str | None
    parts: int
    open_parts: int
    convoy: str | None
    assignee: str | None
    owner: str | None
    created_by: str
    external_ref: str | None
    spec_id: str | None
    defer_until: int | None
    due_at: int | None
    estimate_minutes: int | None
    parked_reason: str | None
    parked_until: int | None
    pinned: bool
    ephemeral: bool
    template: bool
    slung: bool
    blockers: int
    comments: int
    epoch: int
    lease_until: int | None
    failures: int
    version: int
    created_at: int
    updated_at: int
    started_at: int | None
    closed_at: int | None


@dataclass(frozen=True, slots=True)
class BeadPage:
    """One page of beads; `cursor` is where the next begins, none at the end."""

    beads: list[BeadSummary]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class Changed:
    """Whether a command changed anything; false where it was so already."""

    changed: bool


@dataclass(frozen=True, slots=True)
class Closed:
    """What closing a bead did: `changed` is false where it was closed so already; `unblocked` became ready by it."""

    bead: Bead
    changed: bool
    unblocked: list[str]


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment on a bead."""

    bead: str
    id: str
    author: str
    text: str
    created_at: int


@dataclass(frozen=True, slots=True)
class CommentPage:
    """One page of comments, oldest first; `cursor` is where the next begins, none at the end."""

    comments: list[Comment]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class Deleted:
    """What was deleted, parts before what they were parts of; `unblocked` became ready by it."""

    deleted: list[str]
    unblocked: list[str]


@dataclass(frozen=True, slots=True)
class Lease:
    """Until when a claim holds."""

    id: str
    epoch: int
    lease_until: int


@dataclass(frozen=True, slots=True)
class NewId:
    """An old id and the one that replaced it."""

    old: str
    new: str


@dataclass(frozen=True, slots=True)
class MadeBead:
    """A key of a plan and the bead that was made for it."""

    key: str
    id: str


@dataclass(frozen=True, slots=True)
class MadeBeads:
    """What a plan became, in its order."""

    beads: list[MadeBead]


@dataclass(frozen=True, slots=True)
class Renamed:
    """A bead with its new id, and every id that changed, its own first."""

    bead: Bead
    renamed: list[NewId]


@dataclass(frozen=True, slots=True)
class Progress:
    """How many members of a convoy are in each status."""

    open: int
    in_progress: int
    in_review: int
    closed: int
    failed: int
    total: int


@dataclass(frozen=True, slots=True)
class Convoy:
    """A convoy and how far it is."""

    id: str
    title: str
    rig: str
    mode: ConvoyMode
    on_failure: FailurePolicy
    state: ConvoyState
    branch: str
    target: str
    members: list[str]
    progress: Progress
    landed_oid: str | None
    landed_at: int | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class ConvoyList:
    """Convoys, by id."""

    convoys: list[Convoy]


@dataclass(frozen=True, slots=True)
class Link:
    """One edge: `bead` waits for `on_bead`, in the sense of `kind`."""

    bead: str
    on_bead: str
    kind: str
    gate: WaitGate | None = None


@dataclass(frozen=True, slots=True)
class Edges:
    """One page of the edges of one bead, in both directions; those to what it depends on come first."""

    depends_on: list[Link]
    dependents: list[Link]
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class BeadNode:
    """A bead as it stands in a graph."""

    id: str
    title: str
    status: BeadStatus
    issue_type: str
    priority: int
    parent: str | None
    assignee: str | None
    blockers: int
    parts: int
    open_parts: int


@dataclass(frozen=True, slots=True)
class NodePage:
    """One page of beads as they stand in the graph; `cursor` is where the next begins, none at the end."""

    beads: list[BeadNode]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class TreeNode:
    """One bead of a tree: so many edges away, found by an edge of the bead `via`; `bead` is none where it is not there."""

    id: str
    depth: int
    via: str
    kind: str
    counted: bool
    bead: BeadNode | None


@dataclass(frozen=True, slots=True)
class Tree:
    """Beads by their distance; each once, on a shortest way."""

    nodes: list[TreeNode]
    more: bool


@dataclass(frozen=True, slots=True)
class Blocker:
    """What a bead waits for."""

    id: str
    kind: str
    status: BeadStatus | None


@dataclass(frozen=True, slots=True)
class BlockedBead:
    """A bead that waits, and the first 20 that it waits for."""

    bead: BeadNode
    blocked_by: list[Blocker]


@dataclass(frozen=True, slots=True)
class BlockedPage:
    """One page of beads that wait; `cursor` is where the next begins, none at the end."""

    blocked: list[BlockedBead]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class Reason:
    """One fact that keeps a bead from running; what does not belong to its sort is none."""

    reason: ReasonKind
    bead: str
    other: str | None
    kind: str | None
    status: BeadStatus | None
    why: WaitReason | None
    by: str | None
    until: int | None
    text: str | None
    running: int | None
    limit: int | None


@dataclass(frozen=True, slots=True)
class LooseEdge:
    """An edge of imported data that is kept and counts for nothing, and the circle that it would close."""

    bead: str
    on_bead: str
    kind: str
    why: LooseReason
    circle: list[str]


@dataclass(frozen=True, slots=True)
class LoosePage:
    """One page of edges that count for nothing; `cursor` is where the next begins, none at the end."""

    edges: list[LooseEdge]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a bead is ready, or every fact that keeps it."""

    bead: str
    is_ready: bool
    reasons: list[Reason]
    more: bool
    loose: list[LooseEdge]


@dataclass(frozen=True, slots=True)
class PlannedBead:
    """One bead of a plan; times are minutes from now, were each begun as soon as it can be."""

    id: str
    level: int
    minutes: int
    start: int
    slack: int


@dataclass(frozen=True, slots=True)
class Unblocks:
    """A bead that others wait for: how many it frees at once, and how many are behind it."""

    id: str
    frees: int
    behind: int


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan of open work; `widths` is how many beads are on each level."""

    count: int
    widths: list[int]
    minutes: int
    critical_path: list[str]
    unblocks: list[Unblocks]
    beads: list[PlannedBead]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class Epic:
    """A bead that has parts or is of the type `epic`; closable where all its parts are closed."""

    bead: BeadNode
    closed_parts: int
    is_closable: bool


@dataclass(frozen=True, slots=True)
class EpicPage:
    """One page of epics; `cursor` is where the next begins, none at the end."""

    epics: list[Epic]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class Change:
    """One row as a change left it; `row` is none where it was deleted."""

    table: str
    key: list[Any]
    row: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of the journal."""

    seq: int
    at: int
    actor: str
    session: str | None
    epoch: int | None
    kind: str
    subject: str
    data: dict[str, Any]
    changes: list[Change]
    schema: int
    hash: str


@dataclass(frozen=True, slots=True)
class EventPage:
    """A part of the journal; `head` is where the journal ended at the time."""

    events: list[Event]
    head: int


@dataclass(frozen=True, slots=True)
class EngineState:
    """Whether the engine runs in this process; `reason` says why it failed."""

    state: Literal["off", "running", "stopped", "failed"]
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Breaker:
    """A breaker: it holds sessions back while the outside world of a rig, or the runtime, is out of order."""

    subject: str
    state: BreakerState
    failures: int
    openings: int
    reason: str | None
    since: int
    until: int | None
    probe: str | None
    escalation: str | None


@dataclass(frozen=True, slots=True)
class Effect:
    """Something to be done outside the database; `order` is one readable line."""

    id: str
    kind: str
    order: str | None
    rig: str
    state: EffectState
    attempts: int
    setback: Setback | None
    outcome: str | None
    next_at: int
    created_at: int
    updated_at: int


@dataclass(frozen=True, slots=True)
class EffectPage:
    """A page of effects."""

    effects: list[Effect]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a bead failed: `source` is whose fault it was."""

    code: str
    message: str
    source: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """One session of a bead; `fault` is what it counted to."""

    session: str
    epoch: int
    agent: str
    state: SessionState
    exit: SessionExit | None
    fault: Fault | None
    reason: str | None
    head: str | None
    saved: str | None
    """A commit of what it had not committed, in the rig's mirror; none where there was nothing."""
    created_at: int
    started_at: int | None
    ended_at: int | None


@dataclass(frozen=True, slots=True)
class Attempts:
    """What was tried for a bead, oldest first, and why it failed or waits; `more` where there were over 200."""

    bead: str
    status: BeadStatus
    failure: Failure | None
    failures: int
    agent_failures: int
    outages: int
    auth_failures: int
    reworks: int
    parked_reason: str | None
    next_at: int | None
    attempts: list[Attempt]
    more: bool


@dataclass(frozen=True, slots=True)
class RefusedEffect:
    """An effect that was given up."""

    id: str
    reason: str


@dataclass(frozen=True, slots=True)
class UnreadableRow:
    """A row that cannot be read; it is left out of every list and stops nothing else."""

    row: str
    problem: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with a town."""

    subject: str
    problem: str


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup that was made; `head` is where the journal ends in it.

    `unreadable` rows are not in it, and `is_complete` says whether every archive of the journal is, as it was written.
    `findings` say what was damaged before it was copied: the database, archives, output.
    """

    path: str
    head: int
    files: int
    bytes: int
    unreadable: int
    is_complete: bool
    findings: list[Finding]


@dataclass(frozen=True, slots=True)
class Exported:
    """What was exported; `unreadable` rows could not be."""

    rows: int
    events: int
    unreadable: int
    bytes: int
    head: int


class ImportBeads(TypedDict, total=False):
    """How to import; `rig` is that of new beads."""

    rig: str | None
    dry_run: bool
    strict: bool
    resurrect: bool


@dataclass(frozen=True, slots=True)
class ImportFlaw:
    """A line that gave nothing: where, and why."""

    file: str
    line: int
    column: int
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class ImportRepair:
    """Something read otherwise than it is written, or kept beside the bead; `key` is empty where it is about the whole line."""

    file: str
    line: int
    column: int
    key: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class ImportConflict:
    """A record that contradicts what is here; `taken` where the bead took something of it, `kept_as` the bead it became beside it."""

    bead: str
    why: str
    taken: bool
    kept_as: str | None


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What became of the records of an import; each list has at most 1,000 entries, the totals are whole."""

    read: int
    created: int
    updated: int
    unchanged: int
    skipped: int
    tombstones: int
    foreign: int
    dangling: int
    dangling_edges: list[Link]
    circles: int
    circle_paths: list[list[str]]
    repairs: dict[str, int]
    repaired: list[ImportRepair]
    flaws: int
    flawed_lines: list[ImportFlaw]
    conflicts: int
    conflicting: list[ImportConflict]


class ExportBeads(TypedDict, total=False):
    """How to export; `dialect` is `native`, `bd` or `br`."""

    dialect: Literal["native", "bd", "br"]
    ephemeral: bool
    tombstones: bool
    memories: bool
    replace: bool


@dataclass(frozen=True, slots=True)
class BeadsExported:
    """What was exported."""

    beads: int
    tombstones: int
    foreign: int
    bytes: int


@dataclass(frozen=True, slots=True)
class MergeChoice:
    """A decision of a merge by which something was given up, or may surprise; `dropped` is `None` where nothing was."""

    id: str
    key: str
    code: str
    kept: Any
    dropped: Any


@dataclass(frozen=True, slots=True)
class BeadsMerged:
    """What a merge of files did; each list has at most 1,000 entries, the totals are whole."""

    issues: int
    choices: int
    chosen: list[MergeChoice]
    markers: int
    flaws: int
    flawed_lines: list[ImportFlaw]


class SyncBeads(TypedDict, total=False):
    """How to sync; `dialect` is for a file that has no issues yet."""

    rig: str | None
    dialect: Literal["native", "bd", "br"]
    dry_run: bool
    accept_deletions: bool


@dataclass(frozen=True, slots=True)
class HeldBead:
    """A bead that stayed as it is on both sides though they differ, and why."""

    bead: str
    why: str


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What a sync did; each list has at most 1,000 entries, the totals are whole."""

    path: str
    dialect: Literal["native", "bd", "br"]
    unchanged: int
    created: int
    updated: int
    deleted: int
    foreign: int
    lines_added: int
    lines_changed: int
    lines_removed: int
    choices: int
    chosen: list[MergeChoice]
    held: int
    held_beads: list[HeldBead]
    markers: int
    dangling: int
    dangling_edges: list[Link]
    circles: int
    circle_paths: list[list[str]]
    repairs: dict[str, int]
    repaired: list[ImportRepair]
    flaws: int
    flawed_lines: list[ImportFlaw]


class Archive(TypedDict, total=False):
    """What may be put away; times are microseconds since 1970 UTC."""

    closed_before: int | None
    events_before: int | None


@dataclass(frozen=True, slots=True)
class Archived:
    """What was put away, and the files that hold it."""

    beads: int
    effects: int
    events: int
    files: list[str]


class ArchivedFilter(TypedDict, total=False):
    """Which archived beads to list."""

    limit: int | None
    cursor: str | None


@dataclass(frozen=True, slots=True)
class ArchivedBead:
    """A bead that is in an archive and not in the tables."""

    id: str
    kind: BeadKind
    title: str
    status: BeadStatus
    resolution: Resolution | None
    closed_at: int | None
    file: str


@dataclass(frozen=True, slots=True)
class ArchivedPage:
    """Archived beads, archive by archive."""

    beads: list[ArchivedBead]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class Vacuumed:
    """The database's size before and after, where the backend knows it."""

    bytes_before: int | None
    bytes_after: int | None


KeyAlgorithm = Literal["EdDSA", "HS256"]


@dataclass(frozen=True, slots=True)
class IssuedCapability:
    """A capability with its token, which is shown this once and kept nowhere: it is a secret, and left out of `repr`."""

    id: str
    token: str = field(repr=False)
    principal: str
    expires_at: int


@dataclass(frozen=True, slots=True)
class CapabilityInfo:
    """A capability that was issued, without its token; `parent` is the one that it was made of."""

    id: str
    principal: str
    rig: str | None
    verbs: list[str] | None
    parent: str | None
    issued_by: str
    issued_at: int
    expires_at: int
    revoked_at: int | None
    revoked_by: str | None
    revoked_reason: str | None


@dataclass(frozen=True, slots=True)
class CapabilityPage:
    """One page of capabilities; `cursor` is where the next begins, none at the end. Those of sessions are not listed."""

    capabilities: list[CapabilityInfo]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """A key, without its secret; from `ends_at` on it verifies no longer."""

    kid: str
    algorithm: KeyAlgorithm
    ends_at: int | None


@dataclass(frozen=True, slots=True)
class KeysRotated:
    """The keys of a town, the one that signs in front."""

    keys: list[KeyInfo]


TriageKind = Literal["stuck_session", "crash_loop"]
TriageAction = Literal["wait", "nudge", "restart", "restart_later", "stop", "park", "fail"]


@dataclass(frozen=True, slots=True)
class TriageRequest:
    """Something that somebody has to judge: `id` is its escalation, `epoch` the one that it is about."""

    id: str
    kind: TriageKind
    title: str
    rig: str | None
    bead: str
    epoch: int
    session: str | None
    options: list[TriageAction]
    created_at: int


@dataclass(frozen=True, slots=True)
class TriageList:
    """The open requests, oldest first."""

    requests: list[TriageRequest]


SymptomKind = Literal[
    "hook_orphaned",
    "session_orphaned",
    "session_unwatched",
    "bead_unheld",
    "review_missing",
    "process_orphaned",
    "workspace_orphaned",
    "gate_tree_orphaned",
    "mirror_branch_orphaned",
    "remote_branch_orphaned",
    "engine_off",
    "clock_behind",
    "breaker_open",
    "agent_command_missing",
    "git_unusable",
    "remote_unusable",
    "sessions_bound",
    "row_unreadable",
]


@dataclass(frozen=True, slots=True)
class Symptom:
    """One thing that is not as it should be: what is wrong (`problem`), and what mends it (`remedy`)."""

    kind: SymptomKind
    subject: str
    """With what: an agent's bead, a session, a bead, a branch, a rig, a row; `town` where it is the whole."""
    rig: str | None
    problem: str
    remedy: str
    is_repaired: bool


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What keeps the town from working; empty when all is well. `repaired` of them were mended."""

    symptoms: list[Symptom]
    repaired: int


@dataclass(frozen=True, slots=True)
class Checked:
    """What a look at the whole town found; no `findings` where all is well."""

    rows: int
    events: int
    findings: list[Finding]


@dataclass(frozen=True, slots=True)
class QuarantinedRow:
    """A row that could not be read, out of its table, as it was found; what is no text and no number is `{"hex": …}`."""

    id: str
    table: str
    key: Any
    columns: dict[str, Any]
    problem: str
    moved_by: str
    moved_at: int


@dataclass(frozen=True, slots=True)
class Quarantined:
    """What was taken out of the tables, and what stays and why."""

    rows: list[QuarantinedRow]
    left: list[Finding]
    has_more: bool


class QuarantineFilter(TypedDict, total=False):
    """Which rows in quarantine to list."""

    limit: int | None
    cursor: str | None


@dataclass(frozen=True, slots=True)
class QuarantinePage:
    """Rows in quarantine, by their ids."""

    rows: list[QuarantinedRow]
    cursor: str | None


class MendRow(TypedDict, total=False):
    """Columns, by name, that get another value: `None`, a number or a text, as the table holds it."""

    columns: dict[str, int | str | None]


@dataclass(frozen=True, slots=True)
class Health:
    """How a town is, at one moment."""

    engine: EngineState
    sessions_survive: bool
    queue_depth: int
    backend: str
    durability: str
    schema: int
    database_bytes: int | None
    store_problem: str | None
    """What keeps the store from taking commands, in words: its file was taken away, say."""
    unreadable: list[UnreadableRow]
    quarantined: int
    first: int
    head: int
    effects_planned: int
    effects_issued: int
    effects_ambiguous: int
    breakers: list[Breaker]
    effects_refused: list[RefusedEffect]


@dataclass(frozen=True, slots=True)
class SessionEvent:
    """One line of a session's structured events: what it says, or the line itself and why it says nothing."""

    offset: int
    data: Any
    text: str | None
    flaw: EventFlaw | None


@dataclass(frozen=True, slots=True)
class OutputPage:
    """A part of a session's output; `text` is never cut inside a character, `bytes` are there where they were asked for."""

    session: str
    stream: OutputStream
    offset: int
    next_offset: int
    dropped_bytes: int
    is_final: bool
    text: str
    bytes: builtins.bytes | None
    events: list[SessionEvent] | None


@dataclass(frozen=True, slots=True)
class OutputSweep:
    """What a sweep of the output removed, and what is left."""

    removed_sessions: int
    removed_bytes: int
    kept_sessions: int
    kept_bytes: int
    has_more: bool


@dataclass(frozen=True, slots=True)
class Replay:
    """What a replay of the journal found; no `differences` where all is well."""

    events: int
    rows: int
    differences: list[str]


@dataclass(frozen=True, slots=True)
class Review:
    """A merge request."""

    id: str
    source: str
    rig: str
    session: str | None
    branch: str
    target: str
    head: str
    state: ReviewState
    published: bool
    target_oid: str | None
    merge_oid: str | None
    landed_oid: str | None
    attempts: int
    problem: Any
    created_at: int


@dataclass(frozen=True, slots=True)
class ReviewList:
    """Merge requests, in the queue's order."""

    reviews: list[Review]


@dataclass(frozen=True, slots=True)
class Rig:
    """A rig."""

    name: str
    prefix: str
    remote: str
    target: str
    state: RigState
    created_at: int
    paused_reason: str | None
    paused_until: int | None


@dataclass(frozen=True, slots=True)
class RigList:
    """Rigs, by name."""

    rigs: list[Rig]


@dataclass(frozen=True, slots=True)
class TownPause:
    """Whether the town is paused: `reason` is none where it is not, `until` for "until somebody resumes it"."""

    reason: str | None
    until: int | None


@dataclass(frozen=True, slots=True)
class Draining:
    """How far a drain is: the sessions that have not ended are stopped at `until`; `saving` are on their way to the remote."""

    reason: str
    until: int
    sessions: int
    saving: int


@dataclass(frozen=True, slots=True)
class PlannedStart:
    """A session that the engine would begin, and why just this one.

    Critical beads go first, then those of the rig with the fewest sessions (`rig_running`), then those of the convoy with
    the fewest (`convoy_running`), then by priority and waiting.
    """

    bead: str
    rig: str
    convoy: str | None
    agent: str
    is_new_agent: bool
    priority: int
    slung_at: int
    rig_running: int
    convoy_running: int


@dataclass(frozen=True, slots=True)
class StartPlan:
    """What the engine would start next, in order, at most 256."""

    starts: list[PlannedStart]


@dataclass(frozen=True, slots=True)
class Slung:
    """Beads that were slung, as they were given."""

    beads: list[Bead]


@dataclass(frozen=True, slots=True)
class SessionOutput:
    """What is known of a session's output; no `bytes` where it was removed, or before the session began."""

    bytes: int | None
    dropped_bytes: int | None
    is_removed: bool


@dataclass(frozen=True, slots=True)
class Session:
    """A session."""

    id: str
    agent: str
    bead: str
    rig: str
    epoch: int
    state: SessionState
    exit: SessionExit | None
    reason: str | None
    branch: str
    target: str
    base: str | None
    head: str | None
    created_at: int
    started_at: int | None
    ended_at: int | None
    ending: SessionExit | None
    lease_until: int | None
    last_progress: int | None
    stall: Stall | None
    triage: str | None
    checkpoint: Any
    saved: str | None
    """A commit of what it had not committed, on its `head` or else on its `base`."""
    output: SessionOutput | None



@dataclass(frozen=True, slots=True)
class LeaderStatus:
    """Who runs the engine: until `lease_until`, which is in the past where it has stopped or died."""

    holder: str
    epoch: int
    lease_until: int


@dataclass(frozen=True, slots=True)
class RigStatus:
    """Whether a rig's beads are handed out, and how many of its agents have a session."""

    name: str
    state: RigState
    paused_reason: str | None
    paused_until: int | None
    busy: int


@dataclass(frozen=True, slots=True)
class AgentCount:
    """How many agents of a rig and role do the same; `rig` is none for the town's own."""

    rig: str | None
    role: Role
    state: AgentState
    count: int


@dataclass(frozen=True, slots=True)
class BeadsOfKind:
    """How many beads of a kind stand alike."""

    kind: BeadKind
    status: BeadStatus
    count: int


@dataclass(frozen=True, slots=True)
class StateCount:
    """How many sessions, convoys, merge requests or effects stand alike."""

    state: str
    count: int


@dataclass(frozen=True, slots=True)
class OpenEscalation:
    """Something that a person should look at."""

    bead: str
    title: str
    priority: int
    created_at: int


@dataclass(frozen=True, slots=True)
class RecentEvent:
    """An entry of the journal, without what it changed."""

    seq: int
    at: int
    actor: str
    kind: str
    subject: str


@dataclass(frozen=True, slots=True)
class MetricBucket:
    """How many were no longer than a bound in seconds."""

    upto: float
    count: int


@dataclass(frozen=True, slots=True)
class MetricValue:
    """One metric with one set of labels, as it is now."""

    name: str
    kind: MetricKind
    labels: dict[str, str]
    value: float | None
    """The count or the state; none of a histogram."""
    count: int | None
    """How many were measured, of a histogram."""
    sum: float | None
    """The sum of what was measured, in seconds."""
    buckets: list[MetricBucket]
    """How many of them were no longer than each bound; empty unless of a histogram."""


@dataclass(frozen=True, slots=True)
class Metrics:
    """What is counted and measured of a town since it was opened in this process."""

    at: int
    metrics: list[MetricValue]
    """Each metric with each set of its labels that there was, by name and labels."""


@dataclass(frozen=True, slots=True)
class TownStatus:
    """What goes on in a town, at one moment; what is over is not counted."""

    at: int
    head: int
    leader: LeaderStatus | None
    draining: Draining | None
    """How far the drain of the engine's host is; none where it does not drain."""
    pause: TownPause
    next_wake: int | None
    """The next deadline of anything; none where only changes are waited for."""
    rigs: list[RigStatus]
    agents: list[AgentCount]
    beads: list[BeadsOfKind]
    slung: int
    """Slung beads that wait for an agent or for their turn."""
    hooks_waiting: int
    """Agents that have a bead on their hook and no session yet."""
    sessions: list[StateCount]
    stalled: list[Session]
    """Sessions that live and make no progress, at most 100."""
    convoys: list[StateCount]
    reviews: list[StateCount]
    effects: list[StateCount]
    """Those that are not confirmed; those given up too."""
    breakers: list[Breaker]
    escalations: list[OpenEscalation]
    """The open ones, most urgent first, at most 100."""
    quarantined: int
    recent: list[RecentEvent]
    """The last 20 entries of the journal, newest last."""


@dataclass(frozen=True, slots=True)
class SessionList:
    """Sessions, oldest first."""

    sessions: list[Session]


@dataclass(frozen=True, slots=True)
class BeadCounts:
    """Beads, counted; the groups come largest first."""

    total: int
    groups: list[CountGroup]


@dataclass(frozen=True, slots=True)
class BeadHistory:
    """A part of a bead's history; entries before `missing_before` may be missing."""

    entries: list[HistoryEntry]
    cursor: str | None
    missing_before: int | None


@dataclass(frozen=True, slots=True)
class BeadStats:
    """The issues of a town in numbers."""

    total: int
    by_status: list[StatusCount]
    ready: int
    blocked: int
    deferred: int
    parked: int
    pinned: int
    templates: int
    ephemeral: int
    overdue: int
    lead: LeadTime


@dataclass(frozen=True, slots=True)
class BeadsAtPage:
    """Beads as they were; there may be more although there are few, see `cursor`."""

    at: int
    beads: list[Bead]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class CountGroup:
    """One group of beads: the values of the fields asked for, and how many have them."""

    values: list[str | None]
    count: int


@dataclass(frozen=True, slots=True)
class Duplicates:
    """What says the same, or nearly, among issues that are not closed."""

    same: list[SameBeads]
    near: list[NearPair]
    looked_at: int
    is_complete: bool


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field that an entry changed."""

    field: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One thing that happened to a bead."""

    seq: int
    at: int
    actor: str
    session: str | None
    kind: str
    data: Any
    changes: list[FieldChange]


@dataclass(frozen=True, slots=True)
class LeadTime:
    """How long closed issues took, from when they were made."""

    issues: int
    mean_ms: int
    median_ms: int


@dataclass(frozen=True, slots=True)
class NearPair:
    """Two issues that are nearly the same."""

    one: str
    other: str
    likeness: float


@dataclass(frozen=True, slots=True)
class Overlap:
    """A reservation that may mean the same path as a pattern, and a path that both mean."""

    pattern: str
    reservation: Reservation
    example: str


@dataclass(frozen=True, slots=True)
class Overlaps:
    """Who reserved paths that may be the same."""

    overlaps: list[Overlap]
    is_complete: bool


@dataclass(frozen=True, slots=True)
class Reservation:
    """One pattern of paths that the work on one bead means to touch."""

    bead: str
    pattern: str
    rig: str
    created_by: str
    created_at: int
    expires_at: int


@dataclass(frozen=True, slots=True)
class ReservationPage:
    """One page of reservations that hold; `cursor` is where the next begins."""

    reservations: list[Reservation]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class Reserved:
    """What was reserved, and who else has the like."""

    reservations: list[Reservation]
    overlaps: list[Overlap]
    is_complete: bool


@dataclass(frozen=True, slots=True)
class SameBeads:
    """Issues that say the same, in front the one to keep."""

    beads: list[str]
    title: str


@dataclass(frozen=True, slots=True)
class StatusCount:
    """How many issues are in one status."""

    status: BeadStatus
    count: int


# ---- what operations take besides what they need; what is left out has the core's default ----


class AddRig(TypedDict, total=False):
    """More of a repository to take under the town's care."""

    prefix: str | None
    target: str | None
    settings: dict[str, Any]


class AgentFilter(TypedDict, total=False):
    """Which agents to list."""

    rig: str | None
    role: Role | None


class AddComment(TypedDict, total=False):
    """Who says it; the caller where it is left out."""

    author: str | None


class BeadFilter(TypedDict, total=False):
    """Which beads to list."""

    kind: BeadKind | None
    status: BeadStatus | None
    statuses: list[BeadStatus]
    pinned: bool | None
    ephemeral: bool | None
    template: bool | None
    created_after: int | None
    created_before: int | None
    updated_after: int | None
    updated_before: int | None
    closed_after: int | None
    closed_before: int | None
    sort: ListSort | None
    rig: str | None
    priority: int | None
    priority_max: int | None
    issue_types: list[str]
    exclude_types: list[str]
    assignee: str | None
    unassigned: bool
    owner: str | None
    labels: list[str]
    labels_any: list[str]
    labels_none: list[str]
    label_glob: str | None
    label_regex: str | None
    parent: str | None
    direct: bool
    convoy: str | None
    metadata: dict[str, Any] | None
    has_metadata: list[str]
    limit: int | None
    cursor: str | None


class BeadPatch(TypedDict, total=False):
    """What to change of a bead; what is left out stays, none clears."""

    expected_version: int | None
    title: str
    description: str | None
    design: str | None
    acceptance: str | None
    notes: str | None
    append_notes: str | None
    priority: int
    issue_type: str
    assignee: str | None
    owner: str | None
    external_ref: str | None
    spec_id: str | None
    parent: str | None
    defer_until: int | None
    due_at: int | None
    estimate_minutes: int | None
    parked_reason: str | None
    parked_until: int | None
    pinned: bool | None
    ephemeral: bool | None
    template: bool | None
    labels: list[str] | None
    add_labels: list[str]
    remove_labels: list[str]
    metadata: dict[str, Any] | None


class ReadyFilter(TypedDict, total=False):
    """Which of the ready issues."""

    include_ephemeral: bool
    sort: ReadySort | None
    rig: str | None
    priority: int | None
    priority_max: int | None
    issue_types: list[str]
    exclude_types: list[str]
    assignee: str | None
    unassigned: bool
    owner: str | None
    labels: list[str]
    labels_any: list[str]
    labels_none: list[str]
    label_glob: str | None
    label_regex: str | None
    parent: str | None
    direct: bool
    convoy: str | None
    metadata: dict[str, Any] | None
    has_metadata: list[str]
    limit: int | None
    cursor: str | None


class Claim(TypedDict, total=False):
    """What to claim: a bead, or the first ready issue of those in `only`."""

    id: str | None
    lease_ms: int | None
    only: ReadyFilter | None
    expected_version: int | None


class CloseBead(TypedDict, total=False):
    """Why a bead is closed, and what must hold."""

    resolution: Resolution | None
    reason: str | None
    duplicate_of: str | None
    superseded_by: str | None
    expected_version: int | None
    expected_epoch: int | None
    force: bool


class CommentsOf(TypedDict, total=False):
    """Which page of the comments."""

    limit: int | None
    cursor: str | None


class DeleteBead(TypedDict, total=False):
    """How a bead is taken away."""

    cascade: bool
    reason: str | None
    expected_version: int | None


class Heartbeat(TypedDict, total=False):
    """How long the claim holds from now."""

    lease_ms: int | None


class MoveBead(TypedDict, total=False):
    """Where a bead goes; the town where the rig is left out."""

    rig: str | None
    expected_version: int | None


class NewBead(TypedDict, total=False):
    """More of a new bead."""

    id: str | None
    replaces_deleted: bool
    rig: str | None
    description: str
    design: str
    acceptance: str
    notes: str
    priority: int
    issue_type: str
    labels: list[str]
    metadata: dict[str, Any]
    parent: str | None
    depends_on: list[str]
    assignee: str | None
    owner: str | None
    external_ref: str | None
    spec_id: str | None
    defer_until: int | None
    due_at: int | None
    estimate_minutes: int | None
    pinned: bool
    ephemeral: bool
    template: bool


class NamedBead(NewBead):
    """A new bead of a plan."""

    title: str


class KeyedLink(TypedDict):
    """One edge of a plan; an end is a key of the plan, or else the id of a bead that is there."""

    bead: str
    on_bead: str
    kind: NotRequired[DependencyKind | str]


class KeyedBead(TypedDict):
    """One bead of a plan; `part_of` is the key of the bead that it is a part of."""

    key: str
    bead: NamedBead
    part_of: NotRequired[str | None]


class NewBeads(TypedDict, total=False):
    """More of a plan."""

    links: builtins.list[KeyedLink]


class ReleaseBead(TypedDict, total=False):
    """Who gives a claimed bead back, and of which epoch."""

    by: str | None
    expected_epoch: int | None


class RenameBead(TypedDict, total=False):
    """Whether the parts follow."""

    parts: bool
    expected_version: int | None


class ReopenBead(TypedDict, total=False):
    """Why a bead is opened again."""

    reason: str | None
    expected_version: int | None


class Configure(TypedDict, total=False):
    """Which rig is configured; the town where it is left out."""

    rig: str | None


class EventsSince(TypedDict, total=False):
    """Which part of the journal."""

    since: int
    limit: int | None


class LinkOptions(TypedDict, total=False):
    """What an edge means; `blocks` where it is left out. `gate` is of an edge `waits-for`."""

    kind: DependencyKind | str
    gate: WaitGate | None


class EdgesOf(TypedDict, total=False):
    """Which edges of a bead to read: at most `limit` of both directions together."""

    limit: int | None
    cursor: str | None


class ChildrenOf(TypedDict, total=False):
    """Which parts of a bead to list; `all` of them are to any depth."""

    all: bool
    limit: int | None
    cursor: str | None


class TreeOf(TypedDict, total=False):
    """Which edges to follow, and how far."""

    depth: int | None
    kind: DependencyKind | str | None
    limit: int | None


class GraphFilter(TypedDict, total=False):
    """Which part of a list over the graph to read."""

    rig: str | None
    limit: int | None
    cursor: str | None


class PlanOf(TypedDict, total=False):
    """Which work to plan, and what a bead without an estimate is taken for."""

    rig: str | None
    convoy: str | None
    parent: str | None
    estimate_minutes: int | None
    limit: int | None
    cursor: str | None


class OutputQuery(TypedDict, total=False):
    """Which part of a session's output; `raw` asks for the bytes beside the text."""

    stream: OutputStream
    after: int
    limit_bytes: int | None
    raw: bool


class RegisterAgent(TypedDict, total=False):
    """More of an agent; polecats and refineries need their rig."""

    role: Role
    rig: str | None


class ReviewFilter(TypedDict, total=False):
    """Which merge requests to list; one of the two is needed."""

    source: str | None
    state: ReviewState | None


class EffectFilter(TypedDict, total=False):
    """Which effects to list; those that were given up where no `state` is named."""

    state: EffectState | None
    kind: str | None
    rig: str | None
    limit: int | None
    cursor: str | None


class SessionFilter(TypedDict, total=False):
    """Which sessions to list; one of the two is needed."""

    bead: str | None
    state: SessionState | None


class Sling(TypedDict, total=False):
    """To whom a bead is given: an agent, or any of its rig in a role; any polecat where both are left out."""

    to: str | None
    role: Role | None


class _Bead(TypedDict):
    bead: str


class SlungBead(_Bead, Sling, total=False):
    """One of many beads that are slung, and to whom."""


class Pause(TypedDict, total=False):
    """Until when something is paused or set aside; until somebody says so where it is left out."""

    until: int | None


class IssueCapability(TypedDict, total=False):
    """For whom: a `user`, a `rig`, a user confined to a rig, or the agent of a `session`.

    `verbs` are the only operations that it is good for. It holds for `ttl_ms`, an hour where it is left out, and ends with a
    whole second.
    """

    user: str | None
    rig: str | None
    session: str | None
    verbs: list[str] | None
    ttl_ms: int | None


class AttenuateCapability(TypedDict, total=False):
    """What the new one is confined to; it never ends after the one that it is made of."""

    rig: str | None
    verbs: list[str] | None
    ttl_ms: int | None


class RevokeCapability(TypedDict, total=False):
    """Why, for the list and the journal."""

    reason: str | None


class CapabilityFilter(TypedDict, total=False):
    """Which capabilities to list; with `all`, also those that ended or were revoked."""

    all: bool
    limit: int | None
    cursor: str | None


class RotateKeys(TypedDict, total=False):
    """How the new key signs (`EdDSA`), and how long those before it verify (90 days). With 0 no token from before is good."""

    algorithm: KeyAlgorithm | None
    keep_ms: int | None


class ResolveTriage(TypedDict, total=False):
    """Why, for the journal; it is what a bead is parked or failed with."""

    note: str | None


class DrainTown(TypedDict, total=False):
    """How long sessions may go on, in milliseconds; the setting `drain.grace_ms` where it is left out."""

    grace_ms: int | None


class ParkBead(TypedDict, total=False):
    """Until when a bead is set aside, and the version that it must have."""

    until: int | None
    expected_version: int | None


class AgentHistoryOf(TypedDict, total=False):
    """How much of an agent's history, and where an earlier page ended."""

    limit: int | None
    cursor: str | None


class SlingConvoy(TypedDict, total=False):
    """What a failed member of the convoy does."""

    on_failure: FailurePolicy


class _Title(TypedDict):
    title: str


class Task(_Title, total=False):
    """One task of a convoy; `depends_on` names others by their place in the list, from 0.

    A `TypedDict`, so a plain dictionary does: `{"title": "one", "depends_on": []}`.
    """

    description: str
    priority: int | None
    labels: list[str]
    metadata: dict[str, Any] | None
    depends_on: list[int]


KeyedBeadList = list[KeyedBead]
Tasks = list[Task]
SlungBeads = list[SlungBead]
Patterns = list[str]


class BeadQuery(TypedDict, total=False):
    """In which order a query's beads come, and which part of them."""

    sort: QuerySort | None
    limit: int | None
    cursor: str | None


class BeadSearch(TypedDict, total=False):
    """Among which beads to look for words, and how to answer."""

    kind: BeadKind | None
    status: BeadStatus | None
    rig: str | None
    query: str | None
    sort: SearchSort | None
    limit: int | None
    cursor: str | None


class BeadsAt(TypedDict, total=False):
    """Which beads to read as they were."""

    id: str | None
    query: str | None
    limit: int | None
    cursor: str | None


class CountBeads(TypedDict, total=False):
    """By what to count which beads."""

    by: list[CountedField]
    metadata: list[str]
    query: str | None


class FindDuplicates(TypedDict, total=False):
    """How alike issues must be."""

    likeness: float | None
    rig: str | None
    limit: int | None


class HistoryOf(TypedDict, total=False):
    """How much of a history to read."""

    limit: int | None
    cursor: str | None


class OverlapQuery(TypedDict, total=False):
    """Whose reservations to leave out."""

    but: str | None


class ReservationFilter(TypedDict, total=False):
    """Whose reservations to list: of a rig or of a bead."""

    rig: str | None
    bead: str | None
    limit: int | None
    cursor: str | None


class Reserve(TypedDict, total=False):
    """For how long to reserve paths."""

    ttl_ms: int | None


class StaleBeads(TypedDict, total=False):
    """Which issues were not touched for how long."""

    days: int | None
    rig: str | None
    limit: int | None
    cursor: str | None


class StatsOf(TypedDict, total=False):
    """Which issues to look over."""

    rig: str | None


class Unreserve(TypedDict, total=False):
    """Which reservations to give up; all where none are named."""

    patterns: list[str] | None
