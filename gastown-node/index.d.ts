/** What a caller should do about an error. */
export type ErrorKind =
  | 'not_found'
  | 'invalid'
  | 'conflict'
  | 'forbidden'
  | 'unavailable'
  | 'exhausted'
  | 'corrupt'
  | 'unsupported'
  | 'internal'

/** Any failure of the library. */
export class GastownError extends Error {
  private constructor()
  /** What the caller should do. */
  readonly kind: ErrorKind
  /** The stable code, for programs. */
  readonly code: string
  /** The sentence with every cause behind it, for logs. */
  readonly chain: string
  /** The facts, by name. */
  readonly facts: Readonly<Record<string, string>>
}

/** What a caller's own data may be: JSON; an integer beyond 2^53 is a BigInt. */
export type Json = null | boolean | number | bigint | string | Json[] | { [key: string]: Json }

/** A caller's own keys; they are never re-cased. */
export type JsonObject = { [key: string]: Json }

/** Microseconds since 1970 UTC. */
export type Timestamp = number

export type AgentState = 'idle' | 'hooked' | 'paused' | 'collected' | 'retired'
export type BeadKind =
  | 'issue'
  | 'message'
  | 'escalation'
  | 'merge_request'
  | 'convoy'
  | 'molecule'
  | 'step'
  | 'gate'
  | 'agent'
export type CountedField =
  | 'status'
  | 'type'
  | 'priority'
  | 'assignee'
  | 'label'
  | 'rig'
  | 'kind'
  | 'resolution'
  | 'owner'
  | 'creator'
  | 'parent'
  | 'convoy'
  | 'spec'
  | 'external_ref'
  | 'estimate'
  | 'blockers'
  | 'pinned'
  | 'ephemeral'
  | 'template'
  | 'created'
  | 'updated'
  | 'started'
  | 'closed'
  | 'due'
  | 'defer'
export type QuerySort = 'created' | 'newest' | 'updated' | 'priority' | 'due' | 'id'
export type SearchSort = 'best' | 'newest'
export type BeadStatus = 'open' | 'in_progress' | 'in_review' | 'closed' | 'failed'
export type ConvoyMode = 'review-then-land'
export type ConvoyState =
  | 'staged'
  | 'active'
  | 'ready_to_land'
  | 'landing'
  | 'landed'
  | 'needs_attention'
  | 'cancelled'
export type DependencyKind =
  | 'blocks'
  | 'parent-child'
  | 'conditional-blocks'
  | 'waits-for'
  | 'tracks'
  | 'reviews'
  | 'related'
  | 'relates-to'
  | 'discovered-from'
  | 'duplicates'
  | 'supersedes'
  | 'replies-to'
export type Durability = 'full' | 'normal'
export type EventFlaw = 'malformed' | 'incomplete'
export type ListSort = 'created' | 'newest' | 'updated' | 'priority' | 'id'
export type ReadySort = 'priority' | 'oldest' | 'hybrid'
export type FailurePolicy = 'block' | 'skip' | 'continue'
export type OutputStream = 'output' | 'events'
export type Resolution =
  | 'completed'
  | 'merged'
  | 'landed'
  | 'cancelled'
  | 'superseded'
  | 'duplicate'
  | 'abandoned'
  | 'skipped'
  | 'attempts_exhausted'
export type ReviewState =
  | 'queued'
  | 'building'
  | 'passed'
  | 'publishing'
  | 'merged'
  | 'rework'
  | 'conflict'
  | 'ejected'
  | 'abandoned'
  | 'superseded'
export type RigState = 'active' | 'paused'
export type Role = 'mayor' | 'polecat' | 'refinery' | 'witness' | 'crew'
export type SessionExit =
  | 'succeeded'
  | 'failed'
  | 'timed_out'
  | 'stalled'
  | 'rate_limited'
  | 'cancelled'
  | 'lost'
  | 'auth_failed'
  | 'protocol_error'
  | 'crashed'
  | 'superseded'
  | 'refused'
  | 'handed_off'
  | 'drained'
/** Whose fault a broken-off session was. */
export type Fault = 'work' | 'agent' | 'infrastructure' | 'credentials'
/** How far a session without progress was followed up. */
export type Stall = 'nudged' | 'triaged' | 'stopped'
export type BreakerState = 'closed' | 'open' | 'half_open'
export type EffectState = 'planned' | 'issued' | 'ambiguous' | 'probing' | 'confirmed' | 'refused'
/** Why an effect did not happen, as far as it says whether another try may help. */
export type Setback = 'transient' | 'auth' | 'gone' | 'refused'
export type MetricKind = 'counter' | 'gauge' | 'histogram'
export type SessionState = 'planned' | 'starting' | 'running' | 'finishing' | 'ended'

// ---- what operations answer ----

/** An agent. */
export interface Agent {
  readonly id: string
  readonly name: string
  readonly role: Role
  readonly rig: string | null
  readonly state: AgentState
  readonly hook: string | null
  readonly session: string | null
  readonly sessions: number
  readonly since: Timestamp
  readonly pooled: boolean
  readonly pausedReason: string | null
  readonly pausedUntil: Timestamp | null
}

/** Agents, by id. */
export interface AgentList {
  readonly agents: Agent[]
}

/** One session of an agent's past; no `exit` while it has not ended, no `durationMs` where it never ran. */
export interface AgentWork {
  readonly session: string
  readonly bead: string
  readonly exit: SessionExit | null
  readonly reason: string | null
  readonly createdAt: Timestamp
  readonly startedAt: Timestamp | null
  readonly endedAt: Timestamp | null
  readonly durationMs: number | null
}

/** What an agent has done, oldest first; `cursor` is where the next page begins, null at the end. */
export interface AgentHistory {
  readonly agent: Agent
  readonly work: AgentWork[]
  readonly cursor: string | null
}

/** A bead, whole. */
export interface Bead {
  readonly id: string
  readonly kind: BeadKind
  readonly status: BeadStatus
  readonly resolution: Resolution | null
  readonly closeReason: string | null
  readonly title: string
  readonly priority: number
  readonly issueType: string
  readonly labels: string[]
  readonly metadata: JsonObject
  readonly rig: string | null
  readonly parent: string | null
  readonly parts: number
  readonly openParts: number
  readonly convoy: string | null
  readonly assignee: string | null
  readonly owner: string | null
  readonly createdBy: string
  readonly externalRef: string | null
  readonly specId: string | null
  readonly deferUntil: Timestamp | null
  readonly dueAt: Timestamp | null
  readonly estimateMinutes: number | null
  readonly parkedReason: string | null
  readonly parkedUntil: Timestamp | null
  readonly pinned: boolean
  readonly ephemeral: boolean
  readonly template: boolean
  readonly slung: boolean
  readonly blockers: number
  readonly comments: number
  readonly epoch: number
  readonly leaseUntil: Timestamp | null
  readonly failures: number
  readonly version: number
  readonly createdAt: Timestamp
  readonly updatedAt: Timestamp
  readonly startedAt: Timestamp | null
  readonly closedAt: Timestamp | null
  readonly description: string
  readonly design: string
  readonly acceptance: string
  readonly notes: string
}

/** A bead without its four texts, as lists answer it. */
export interface BeadSummary {
  readonly id: string
  readonly kind: BeadKind
  readonly status: BeadStatus
  readonly resolution: Resolution | null
  readonly closeReason: string | null
  readonly title: string
  readonly priority: number
  readonly issueType: string
  readonly labels: string[]
  readonly metadata: JsonObject
  readonly rig: string | null
  readonly parent: string | null
  readonly parts: number
  readonly openParts: number
  readonly convoy: string | null
  readonly assignee: string | null
  readonly owner: string | null
  readonly createdBy: string
  readonly externalRef: string | null
  readonly specId: string | null
  readonly deferUntil: Timestamp | null
  readonly dueAt: Timestamp | null
  readonly estimateMinutes: number | null
  readonly parkedReason: string | null
  readonly parkedUntil: Timestamp | null
  readonly pinned: boolean
  readonly ephemeral: boolean
  readonly template: boolean
  readonly slung: boolean
  readonly blockers: number
  readonly comments: number
  readonly epoch: number
  readonly leaseUntil: Timestamp | null
  readonly failures: number
  readonly version: number
  readonly createdAt: Timestamp
  readonly updatedAt: Timestamp
  readonly startedAt: Timestamp | null
  readonly closedAt: Timestamp | null
}

/** One page of beads; `cursor` is where the next begins, null at the end. */
export interface BeadPage {
  readonly beads: BeadSummary[]
  readonly cursor: string | null
}

/** One row as a change left it; `row` is null where it was deleted. */
export interface Change {
  readonly table: string
  readonly key: Json[]
  readonly row: JsonObject | null
}

/** Whether a command changed anything; false where it was so already. */
export interface Changed {
  readonly changed: boolean
}

/** What closing a bead did: `changed` is false where it was closed so already; `unblocked` became ready by it. */
export interface Closed {
  readonly bead: Bead
  readonly changed: boolean
  readonly unblocked: string[]
}

/** A comment on a bead. */
export interface Comment {
  readonly bead: string
  readonly id: string
  readonly author: string
  readonly text: string
  readonly createdAt: Timestamp
}

/** One page of comments, oldest first; `cursor` is where the next begins, none at the end. */
export interface CommentPage {
  readonly comments: Comment[]
  readonly cursor: string | null
}

/** What was deleted, parts before what they were parts of; `unblocked` became ready by it. */
export interface Deleted {
  readonly deleted: string[]
  readonly unblocked: string[]
}

/** Until when a claim holds. */
export interface Lease {
  readonly id: string
  readonly epoch: number
  readonly leaseUntil: Timestamp
}

/** An old id and the one that replaced it. */
export interface NewId {
  readonly old: string
  readonly new: string
}

/** A key of a plan and the bead that was made for it. */
export interface MadeBead {
  readonly key: string
  readonly id: string
}

/** What a plan became, in its order. */
export interface MadeBeads {
  readonly beads: MadeBead[]
}

/** A bead with its new id, and every id that changed, its own first. */
export interface Renamed {
  readonly bead: Bead
  readonly renamed: NewId[]
}

/** A convoy and how far it is. */
export interface Convoy {
  readonly id: string
  readonly title: string
  readonly rig: string
  readonly mode: ConvoyMode
  readonly onFailure: FailurePolicy
  readonly state: ConvoyState
  readonly branch: string
  readonly target: string
  readonly members: string[]
  readonly progress: Progress
  readonly landedOid: string | null
  readonly landedAt: Timestamp | null
  readonly reason: string | null
}

/** Convoys, by id. */
export interface ConvoyList {
  readonly convoys: Convoy[]
}

/** One edge as it is stored. */
export interface Edge {
  readonly bead: string
  readonly onBead: string
  readonly kind: DependencyKind | (string & {})
  /** Of an edge `waits-for`: how many parts it waits for; all where it is left out. */
  readonly gate?: WaitGate
}

/** One page of the edges of one bead, in both directions; those to what it depends on come first. */
export interface Edges {
  readonly dependsOn: Edge[]
  readonly dependents: Edge[]
  /** Where the next page begins; none at the end. */
  readonly cursor: string | null
}

/** What sort of fact keeps a bead from running. */
export type ReasonKind =
  | 'kind'
  | 'status'
  | 'held'
  | 'slung'
  | 'edge'
  | 'open_part'
  | 'parent'
  | 'deferred'
  | 'parked'
  | 'pinned'
  | 'template'
  | 'ephemeral'
  | 'backoff'
  | 'town_paused'
  | 'draining'
  | 'rig_paused'
  | 'agent_paused'
  | 'agent_retired'
  | 'agent_busy'
  | 'no_idle_agent'
  | 'breaker'
  | 'town_limit'
  | 'rig_limit'
  | 'role_limit'
  | 'preset_limit'
  | 'no_branch'
  | 'turn'
  | 'type'

/** Why an edge counts. */
export type WaitReason =
  | 'not_done'
  | 'failed'
  | 'not_landed'
  | 'not_decided'
  | 'parts_open'
  | 'no_part_closed'
  | 'blocked'
  | 'unreadable'

/** Why an edge counts for nothing. */
export type LooseReason =
  | 'circle'
  | 'second_parent'
  | 'no_target'
  | 'no_waiter'

/** How many of the parts an edge `waits-for` waits for. */
export type WaitGate =
  | 'all-children'
  | 'any-children'

/** A bead as it stands in a graph. */
export interface BeadNode {
  readonly id: string
  readonly title: string
  readonly status: BeadStatus
  readonly issueType: string
  readonly priority: number
  readonly parent: string | null
  readonly assignee: string | null
  readonly blockers: number
  readonly parts: number
  readonly openParts: number
}

/** One page of beads as they stand in the graph; `cursor` is where the next begins, null at the end. */
export interface NodePage {
  readonly beads: BeadNode[]
  readonly cursor: string | null
}

/** One bead of a tree: so many edges away, found by an edge of the bead `via`; `bead` is null where it is not there. */
export interface TreeNode {
  readonly id: string
  readonly depth: number
  readonly via: string
  readonly kind: DependencyKind | (string & {})
  readonly counted: boolean
  readonly bead: BeadNode | null
}

/** Beads by their distance; each once, on a shortest way. */
export interface Tree {
  readonly nodes: TreeNode[]
  readonly more: boolean
}

/** What a bead waits for. */
export interface Blocker {
  readonly id: string
  readonly kind: DependencyKind | (string & {})
  readonly status: BeadStatus | null
}

/** A bead that waits, and the first 20 that it waits for. */
export interface BlockedBead {
  readonly bead: BeadNode
  readonly blockedBy: Blocker[]
}

/** One page of beads that wait; `cursor` is where the next begins, null at the end. */
export interface BlockedPage {
  readonly blocked: BlockedBead[]
  readonly cursor: string | null
}

/** One fact that keeps a bead from running; what does not belong to its sort is null. */
export interface Reason {
  readonly reason: ReasonKind
  readonly bead: string
  readonly other: string | null
  readonly kind: DependencyKind | (string & {}) | null
  readonly status: BeadStatus | null
  readonly why: WaitReason | null
  readonly by: string | null
  readonly until: Timestamp | null
  readonly text: string | null
  readonly running: number | null
  readonly limit: number | null
}

/** An edge of imported data that is kept and counts for nothing, and the circle that it would close. */
export interface LooseEdge {
  readonly bead: string
  readonly onBead: string
  readonly kind: DependencyKind | (string & {})
  readonly why: LooseReason
  readonly circle: string[]
}

/** One page of edges that count for nothing; `cursor` is where the next begins, null at the end. */
export interface LoosePage {
  readonly edges: LooseEdge[]
  readonly cursor: string | null
}

/** Why a bead is ready, or every fact that keeps it. */
export interface Explanation {
  readonly bead: string
  readonly isReady: boolean
  readonly reasons: Reason[]
  readonly more: boolean
  readonly loose: LooseEdge[]
}

/** One bead of a plan; times are minutes from now, were each begun as soon as it can be. */
export interface PlannedBead {
  readonly id: string
  readonly level: number
  readonly minutes: number
  readonly start: number
  readonly slack: number
}

/** A bead that others wait for: how many it frees at once, and how many are behind it. */
export interface Unblocks {
  readonly id: string
  readonly frees: number
  readonly behind: number
}

/** A plan of open work; `widths` is how many beads are on each level. */
export interface Plan {
  readonly count: number
  readonly widths: number[]
  readonly minutes: number
  readonly criticalPath: string[]
  readonly unblocks: Unblocks[]
  readonly beads: PlannedBead[]
  readonly cursor: string | null
}

/** A bead that has parts or is of the type `epic`; closable where all its parts are closed. */
export interface Epic {
  readonly bead: BeadNode
  readonly closedParts: number
  readonly isClosable: boolean
}

/** Beads, counted; the groups come largest first. */
export interface BeadCounts {
  readonly total: number
  readonly groups: CountGroup[]
}

/** A part of a bead's history; entries before `missing_before` may be missing. */
export interface BeadHistory {
  readonly entries: HistoryEntry[]
  readonly cursor: string | null
  readonly missingBefore: number | null
}

/** The issues of a town in numbers. */
export interface BeadStats {
  readonly total: number
  readonly byStatus: StatusCount[]
  readonly ready: number
  readonly blocked: number
  readonly deferred: number
  readonly parked: number
  readonly pinned: number
  readonly templates: number
  readonly ephemeral: number
  readonly overdue: number
  readonly lead: LeadTime
}

/** Beads as they were; there may be more although there are few, see `cursor`. */
export interface BeadsAtPage {
  readonly at: Timestamp
  readonly beads: Bead[]
  readonly cursor: string | null
}

/** One group of beads: the values of the fields asked for, and how many have them. */
export interface CountGroup {
  readonly values: (string | null)[]
  readonly count: number
}

/** What says the same, or nearly, among issues that are not closed. */
export interface Duplicates {
  readonly same: SameBeads[]
  readonly near: NearPair[]
  readonly lookedAt: number
  readonly isComplete: boolean
}

/** One field that an entry changed. */
export interface FieldChange {
  readonly field: string
  readonly before: Json
  readonly after: Json
}

/** One thing that happened to a bead. */
export interface HistoryEntry {
  readonly seq: number
  readonly at: Timestamp
  readonly actor: string
  readonly session: string | null
  readonly kind: string
  readonly data: Json
  readonly changes: FieldChange[]
}

/** How long closed issues took, from when they were made. */
export interface LeadTime {
  readonly issues: number
  readonly meanMs: number
  readonly medianMs: number
}

/** Two issues that are nearly the same. */
export interface NearPair {
  readonly one: string
  readonly other: string
  readonly likeness: number
}

/** A reservation that may mean the same path as a pattern, and a path that both mean. */
export interface Overlap {
  readonly pattern: string
  readonly reservation: Reservation
  readonly example: string
}

/** Who reserved paths that may be the same. */
export interface Overlaps {
  readonly overlaps: Overlap[]
  readonly isComplete: boolean
}

/** One pattern of paths that the work on one bead means to touch. */
export interface Reservation {
  readonly bead: string
  readonly pattern: string
  readonly rig: string
  readonly createdBy: string
  readonly createdAt: Timestamp
  readonly expiresAt: Timestamp
}

/** One page of reservations that hold; `cursor` is where the next begins. */
export interface ReservationPage {
  readonly reservations: Reservation[]
  readonly cursor: string | null
}

/** What was reserved, and who else has the like. */
export interface Reserved {
  readonly reservations: Reservation[]
  readonly overlaps: Overlap[]
  readonly isComplete: boolean
}

/** Issues that say the same, in front the one to keep. */
export interface SameBeads {
  readonly beads: string[]
  readonly title: string
}

/** How many issues are in one status. */
export interface StatusCount {
  readonly status: BeadStatus
  readonly count: number
}

/** One page of epics; `cursor` is where the next begins, null at the end. */
export interface EpicPage {
  readonly epics: Epic[]
  readonly cursor: string | null
}

/** Whether the engine runs in this process. */
export type EngineState =
  | { readonly state: 'off' | 'running' | 'stopped' }
  | { readonly state: 'failed'; readonly reason: string }

/** One entry of the journal. */
export interface Event {
  readonly seq: number
  readonly at: Timestamp
  readonly actor: string
  readonly session: string | null
  readonly epoch: number | null
  readonly kind: string
  readonly subject: string
  readonly data: JsonObject
  readonly changes: Change[]
  readonly schema: number
  readonly hash: string
}

/** A part of the journal; `head` is where the journal ended at the time. */
export interface EventPage {
  readonly events: Event[]
  readonly head: number
}

/** A row that cannot be read; it is left out of every list and stops nothing else. */
export interface UnreadableRow {
  readonly row: string
  readonly problem: string
}

/** Where something is to be written: a path where nothing is yet, in a folder that is there. */
export interface WriteTo {
  path: string
}

/**
 * A backup that was made; `head` is where the journal ends in it. `unreadable` rows are not in it, and `isComplete` says
 * whether every archive of the journal is, as it was written. `findings` say what was damaged before it was copied: the
 * database, archives, output.
 */
export interface Backup {
  readonly path: string
  readonly head: number
  readonly files: number
  readonly bytes: number
  readonly unreadable: number
  readonly isComplete: boolean
  readonly findings: Finding[]
}

/** What was exported; `unreadable` rows could not be. */
export interface Exported {
  readonly rows: number
  readonly events: number
  readonly unreadable: number
  readonly bytes: number
  readonly head: number
}

/** What to import, and how; `rig` is that of new beads. */
export interface ImportBeads {
  path: string
  rig?: string | null
  dryRun?: boolean
  strict?: boolean
  resurrect?: boolean
}

/** A line that gave nothing: where, and why. */
export interface ImportFlaw {
  readonly file: string
  readonly line: number
  readonly column: number
  readonly code: string
  readonly message: string
}

/** Something read otherwise than it is written, or kept beside the bead; `key` is empty where it is about the whole line. */
export interface ImportRepair {
  readonly file: string
  readonly line: number
  readonly column: number
  readonly key: string
  readonly code: string
  readonly message: string
}

/** A record that contradicts what is here; `taken` where it took its place, `keptAs` the bead it became beside it. */
export interface ImportConflict {
  readonly bead: string
  readonly why: string
  readonly taken: boolean
  readonly keptAs: string | null
}

/** What became of the records of an import; each list has at most 1,000 entries, the totals are whole. */
export interface ImportReport {
  readonly read: number
  readonly created: number
  readonly updated: number
  readonly unchanged: number
  readonly skipped: number
  readonly tombstones: number
  readonly foreign: number
  readonly dangling: number
  readonly danglingEdges: Link[]
  readonly circles: number
  readonly circlePaths: string[][]
  readonly repairs: Record<string, number>
  readonly repaired: ImportRepair[]
  readonly flaws: number
  readonly flawedLines: ImportFlaw[]
  readonly conflicts: number
  readonly conflicting: ImportConflict[]
}

/** A decision of a merge by which something was given up, or may surprise; `dropped` is null where nothing was. */
export interface MergeChoice {
  readonly id: string
  readonly key: string
  readonly code: string
  readonly kept: unknown
  readonly dropped: unknown
}

/** The files to merge; the outcome takes the place of `ours`, or goes to `output`. */
export interface MergeBeads {
  base: string
  ours: string
  theirs: string
  output?: string | null
  strict?: boolean
}

/** What a merge of files did; each list has at most 1,000 entries, the totals are whole. */
export interface BeadsMerged {
  readonly issues: number
  readonly choices: number
  readonly chosen: MergeChoice[]
  readonly markers: number
  readonly flaws: number
  readonly flawedLines: ImportFlaw[]
}

/** What to sync with, and how; `dialect` is for a file that has no issues yet. */
export interface SyncBeads {
  path: string
  rig?: string | null
  dialect?: 'native' | 'bd' | 'br'
  dryRun?: boolean
  acceptDeletions?: boolean
}

/** A bead that stayed as it is on both sides though they differ, and why. */
export interface HeldBead {
  readonly bead: string
  readonly why: string
}

/** What a sync did; each list has at most 1,000 entries, the totals are whole. */
export interface SyncReport {
  readonly path: string
  readonly dialect: 'native' | 'bd' | 'br'
  readonly unchanged: number
  readonly created: number
  readonly updated: number
  readonly deleted: number
  readonly foreign: number
  readonly linesAdded: number
  readonly linesChanged: number
  readonly linesRemoved: number
  readonly choices: number
  readonly chosen: MergeChoice[]
  readonly held: number
  readonly heldBeads: HeldBead[]
  readonly markers: number
  readonly dangling: number
  readonly danglingEdges: Link[]
  readonly circles: number
  readonly circlePaths: string[][]
  readonly repairs: Record<string, number>
  readonly repaired: ImportRepair[]
  readonly flaws: number
  readonly flawedLines: ImportFlaw[]
}

/** Where to export, and how. */
export interface ExportBeads {
  path: string
  dialect?: 'native' | 'bd' | 'br'
  ephemeral?: boolean
  tombstones?: boolean
  memories?: boolean
  replace?: boolean
}

/** What was exported. */
export interface BeadsExported {
  readonly beads: number
  readonly tombstones: number
  readonly foreign: number
  readonly bytes: number
}

/** What may be put away. */
export interface Archive {
  /** Beads that were closed or failed before this, with what belongs to them alone, and effects settled before it. */
  closedBefore?: Timestamp | null
  /** Entries of the journal from before this. */
  eventsBefore?: Timestamp | null
}

/** What was put away, and the files that hold it. */
export interface Archived {
  readonly beads: number
  readonly effects: number
  readonly events: number
  readonly files: string[]
}

/** Which archived beads to list. */
export interface ArchivedFilter {
  limit?: number | null
  cursor?: string | null
}

/** A bead that is in an archive and not in the tables. */
export interface ArchivedBead {
  readonly id: string
  readonly kind: BeadKind
  readonly title: string
  readonly status: BeadStatus
  readonly resolution: Resolution | null
  readonly closedAt: Timestamp | null
  readonly file: string
}

/** Archived beads, archive by archive. */
export interface ArchivedPage {
  readonly beads: ArchivedBead[]
  readonly cursor: string | null
}

/** The database's size before and after, where the backend knows it. */
export interface Vacuumed {
  readonly bytesBefore: number | null
  readonly bytesAfter: number | null
}

/** One thing that is wrong with a town. */
export interface Finding {
  readonly subject: string
  readonly problem: string
}

/** How tokens are signed. */
export type KeyAlgorithm = 'EdDSA' | 'HS256'

/** A capability with its token, which is shown this once and kept nowhere. It is a secret. */
export interface IssuedCapability {
  readonly id: string
  readonly token: string
  readonly principal: string
  readonly expiresAt: Timestamp
}

/** A capability that was issued, without its token; `parent` is the one that it was made of. */
export interface CapabilityInfo {
  readonly id: string
  readonly principal: string
  readonly rig: string | null
  readonly verbs: string[] | null
  readonly parent: string | null
  readonly issuedBy: string
  readonly issuedAt: Timestamp
  readonly expiresAt: Timestamp
  readonly revokedAt: Timestamp | null
  readonly revokedBy: string | null
  readonly revokedReason: string | null
}

/** One page of capabilities; `cursor` is where the next begins, null at the end. Those of sessions are not listed. */
export interface CapabilityPage {
  readonly capabilities: CapabilityInfo[]
  readonly cursor: string | null
}

/** A key, without its secret; from `endsAt` on it verifies no longer. */
export interface KeyInfo {
  readonly kid: string
  readonly algorithm: KeyAlgorithm
  readonly endsAt: Timestamp | null
}

/** The keys of a town, the one that signs in front. */
export interface KeysRotated {
  readonly keys: KeyInfo[]
}

/** What a request for triage is about. */
export type TriageKind = 'stuck_session' | 'crash_loop'

/** What can be done about it. */
export type TriageAction = 'wait' | 'nudge' | 'restart' | 'restart_later' | 'stop' | 'park' | 'fail'

/** Something that somebody has to judge: `id` is its escalation, `epoch` the one that it is about. */
export interface TriageRequest {
  readonly id: string
  readonly kind: TriageKind
  readonly title: string
  readonly rig: string | null
  readonly bead: string
  readonly epoch: number
  readonly session: string | null
  readonly options: TriageAction[]
  readonly createdAt: Timestamp
}

/** The open requests, oldest first. */
export interface TriageList {
  readonly requests: TriageRequest[]
}

/** What a doctor looks at. */
export type SymptomKind =
  | 'hook_orphaned'
  | 'session_orphaned'
  | 'session_unwatched'
  | 'bead_unheld'
  | 'review_missing'
  | 'process_orphaned'
  | 'workspace_orphaned'
  | 'gate_tree_orphaned'
  | 'mirror_branch_orphaned'
  | 'remote_branch_orphaned'
  | 'engine_off'
  | 'clock_behind'
  | 'breaker_open'
  | 'agent_command_missing'
  | 'git_unusable'
  | 'remote_unusable'
  | 'sessions_bound'
  | 'row_unreadable'

/** One thing that is not as it should be: what is wrong (`problem`), and what mends it (`remedy`). */
export interface Symptom {
  readonly kind: SymptomKind
  /** With what: an agent's bead, a session, a bead, a branch, a rig, a row; `town` where it is the whole. */
  readonly subject: string
  readonly rig: string | null
  readonly problem: string
  readonly remedy: string
  readonly isRepaired: boolean
}

/** What keeps the town from working; empty when all is well. `repaired` of them were mended. */
export interface Diagnosis {
  readonly symptoms: Symptom[]
  readonly repaired: number
}

/** What a look at the whole town found; no `findings` where all is well. */
export interface Checked {
  readonly rows: number
  readonly events: number
  readonly findings: Finding[]
}

/** A row that could not be read, out of its table, as it was found; what is no text and no number is `{ hex: … }`. */
export interface QuarantinedRow {
  readonly id: string
  readonly table: string
  readonly key: Json
  readonly columns: Record<string, Json>
  readonly problem: string
  readonly movedBy: string
  readonly movedAt: Timestamp
}

/** What was taken out of the tables, and what stays and why. */
export interface Quarantined {
  readonly rows: QuarantinedRow[]
  readonly left: Finding[]
  readonly hasMore: boolean
}

/** Which rows in quarantine to list. */
export interface QuarantineFilter {
  limit?: number | null
  cursor?: string | null
}

/** Rows in quarantine, by their ids. */
export interface QuarantinePage {
  readonly rows: QuarantinedRow[]
  readonly cursor: string | null
}

/** How to bring a row back: columns, by name, that get another value, as the table holds it. */
export interface MendRow {
  id: string
  columns?: Record<string, number | string | null>
}

/** Names a row in quarantine. */
export interface QuarantineRef {
  id: string
}

/** How a town is, at one moment. */
export interface Health {
  readonly engine: EngineState
  readonly sessionsSurvive: boolean
  readonly queueDepth: number
  readonly backend: string
  readonly durability: string
  readonly schema: number
  readonly databaseBytes: number | null
  /** What keeps the store from taking commands, in words: its file was taken away, say. */
  readonly storeProblem: string | null
  readonly unreadable: UnreadableRow[]
  readonly quarantined: number
  readonly first: number
  readonly head: number
  readonly effectsPlanned: number
  readonly effectsIssued: number
  readonly effectsAmbiguous: number
  readonly breakers: Breaker[]
  readonly effectsRefused: RefusedEffect[]
}

/** Who runs the engine: until `leaseUntil`, which is in the past where it has stopped or died. */
export interface LeaderStatus {
  readonly holder: string
  readonly epoch: number
  readonly leaseUntil: Timestamp
}

/** Whether a rig's beads are handed out, and how many of its agents have a session. */
export interface RigStatus {
  readonly name: string
  readonly state: RigState
  readonly pausedReason: string | null
  readonly pausedUntil: Timestamp | null
  readonly busy: number
}

/** How many agents of a rig and role do the same; `rig` is null for the town's own. */
export interface AgentCount {
  readonly rig: string | null
  readonly role: Role
  readonly state: AgentState
  readonly count: number
}

/** How many beads of a kind stand alike. */
export interface BeadsOfKind {
  readonly kind: BeadKind
  readonly status: BeadStatus
  readonly count: number
}

/** How many sessions, convoys, merge requests or effects stand alike. */
export interface StateCount {
  readonly state: SessionState | ConvoyState | ReviewState | EffectState
  readonly count: number
}

/** Something that a person should look at. */
export interface OpenEscalation {
  readonly bead: string
  readonly title: string
  readonly priority: number
  readonly createdAt: Timestamp
}

/** An entry of the journal, without what it changed. */
export interface RecentEvent {
  readonly seq: number
  readonly at: Timestamp
  readonly actor: string
  readonly kind: string
  readonly subject: string
}

/** A time in seconds, with a fraction. */
export type Seconds = number

/** How many were no longer than a bound in seconds. */
export interface MetricBucket {
  readonly upto: Seconds
  readonly count: number
}

/** One metric with one set of labels, as it is now. */
export interface MetricValue {
  readonly name: string
  readonly kind: MetricKind
  readonly labels: Record<string, string>
  /** The count or the state; null of a histogram. */
  readonly value: number | null
  /** How many were measured, of a histogram. */
  readonly count: number | null
  /** The sum of what was measured, in seconds. */
  readonly sum: Seconds | null
  /** How many of them were no longer than each bound; empty unless of a histogram. */
  readonly buckets: MetricBucket[]
}

/** What is counted and measured of a town since it was opened in this process. */
export interface Metrics {
  readonly at: Timestamp
  /** Each metric with each set of its labels that there was, by name and labels. */
  readonly metrics: MetricValue[]
}

/** What goes on in a town, at one moment; what is over is not counted. */
export interface TownStatus {
  readonly at: Timestamp
  readonly head: number
  readonly leader: LeaderStatus | null
  /** How far the drain of the engine's host is; null where it does not drain. */
  readonly draining: Draining | null
  readonly pause: TownPause
  /** The next deadline of anything; null where only changes are waited for. */
  readonly nextWake: Timestamp | null
  readonly rigs: RigStatus[]
  readonly agents: AgentCount[]
  readonly beads: BeadsOfKind[]
  /** Slung beads that wait for an agent or for their turn. */
  readonly slung: number
  /** Agents that have a bead on their hook and no session yet. */
  readonly hooksWaiting: number
  readonly sessions: StateCount[]
  /** Sessions that live and make no progress, at most 100. */
  readonly stalled: Session[]
  readonly convoys: StateCount[]
  readonly reviews: StateCount[]
  /** Those that are not confirmed; those given up too. */
  readonly effects: StateCount[]
  readonly breakers: Breaker[]
  /** The open ones, most urgent first, at most 100. */
  readonly escalations: OpenEscalation[]
  readonly quarantined: number
  /** The last 20 entries of the journal, newest last. */
  readonly recent: RecentEvent[]
}

/** A breaker: it holds sessions back while the outside world of a rig, or the runtime, is out of order. */
export interface Breaker {
  readonly subject: string
  readonly state: BreakerState
  readonly failures: number
  readonly openings: number
  readonly reason: string | null
  readonly since: Timestamp
  readonly until: Timestamp | null
  readonly probe: string | null
  readonly escalation: string | null
}

/** Something to be done outside the database; `order` is one readable line. */
export interface Effect {
  readonly id: string
  readonly kind: string
  readonly order: string | null
  readonly rig: string
  readonly state: EffectState
  readonly attempts: number
  readonly setback: Setback | null
  readonly outcome: string | null
  readonly nextAt: Timestamp
  readonly createdAt: Timestamp
  readonly updatedAt: Timestamp
}

/** A page of effects. */
export interface EffectPage {
  readonly effects: Effect[]
  readonly cursor: string | null
}

/** Why a bead failed: `source` is whose fault it was. */
export interface Failure {
  readonly code: string
  readonly message: string
  readonly source: string
}

/** One session of a bead; `fault` is what it counted to. */
export interface Attempt {
  readonly session: string
  readonly epoch: number
  readonly agent: string
  readonly state: SessionState
  readonly exit: SessionExit | null
  readonly fault: Fault | null
  readonly reason: string | null
  readonly head: string | null
  /** A commit of what it had not committed, in the rig's mirror; null where there was nothing. */
  readonly saved: string | null
  readonly createdAt: Timestamp
  readonly startedAt: Timestamp | null
  readonly endedAt: Timestamp | null
}

/** What was tried for a bead, oldest first, and why it failed or waits; `more` where there were over 200. */
export interface Attempts {
  readonly bead: string
  readonly status: BeadStatus
  readonly failure: Failure | null
  readonly failures: number
  readonly agentFailures: number
  readonly outages: number
  readonly authFailures: number
  readonly reworks: number
  readonly parkedReason: string | null
  readonly nextAt: Timestamp | null
  readonly attempts: Attempt[]
  readonly more: boolean
}

/** A part of a session's output. */
export interface OutputPage {
  readonly session: string
  readonly stream: OutputStream
  /** Where it starts; later than asked where bytes were dropped. */
  readonly offset: number
  readonly nextOffset: number
  readonly droppedBytes: number
  /** Whether the session has ended and nothing comes after this page. */
  readonly isFinal: boolean
  /** Never cut inside a character; what is not UTF-8 is shown as U+FFFD. */
  readonly text: string
  /** A Buffer, where `raw` asked for it. */
  readonly bytes: Uint8Array | null
  /** The lines, of a page of structured events. */
  readonly events: SessionEvent[] | null
}

/** What a sweep of the output removed, and what is left. */
export interface OutputSweep {
  readonly removedSessions: number
  readonly removedBytes: number
  readonly keptSessions: number
  readonly keptBytes: number
  readonly hasMore: boolean
}

/** How many members of a convoy are in each status. */
export interface Progress {
  readonly open: number
  readonly inProgress: number
  readonly inReview: number
  readonly closed: number
  readonly failed: number
  readonly total: number
}

/** An effect that was given up. */
export interface RefusedEffect {
  readonly id: string
  readonly reason: string
}

/** What a replay of the journal found; no `differences` where all is well. */
export interface Replay {
  readonly events: number
  readonly rows: number
  readonly differences: string[]
}

/** A merge request. */
export interface Review {
  readonly id: string
  readonly source: string
  readonly rig: string
  readonly session: string | null
  readonly branch: string
  readonly target: string
  readonly head: string
  readonly state: ReviewState
  readonly published: boolean
  readonly targetOid: string | null
  readonly mergeOid: string | null
  readonly landedOid: string | null
  readonly attempts: number
  readonly problem: Json
  readonly createdAt: Timestamp
}

/** Merge requests, in the queue's order. */
export interface ReviewList {
  readonly reviews: Review[]
}

/** A rig. */
export interface Rig {
  readonly name: string
  readonly prefix: string
  readonly remote: string
  readonly target: string
  readonly state: RigState
  readonly createdAt: Timestamp
  readonly pausedReason: string | null
  readonly pausedUntil: Timestamp | null
}

/** Rigs, by name. */
export interface RigList {
  readonly rigs: Rig[]
}

/** Whether the town is paused: `reason` is null where it is not, `until` for "until somebody resumes it". */
export interface TownPause {
  readonly reason: string | null
  readonly until: Timestamp | null
}

/** How far a drain is: the sessions that have not ended are stopped at `until`; `saving` are on their way to the remote. */
export interface Draining {
  readonly reason: string
  readonly until: Timestamp
  readonly sessions: number
  readonly saving: number
}

/**
 * A session that the engine would begin, and why just this one: critical beads go first, then those of the rig with the
 * fewest sessions, then those of the convoy with the fewest, then by priority and waiting.
 */
export interface PlannedStart {
  readonly bead: string
  readonly rig: string
  readonly convoy: string | null
  readonly agent: string
  readonly isNewAgent: boolean
  readonly priority: number
  readonly slungAt: Timestamp
  readonly rigRunning: number
  readonly convoyRunning: number
}

/** What the engine would start next, in order, at most 256. */
export interface StartPlan {
  readonly starts: PlannedStart[]
}

/** Beads that were slung, as they were given. */
export interface Slung {
  readonly beads: Bead[]
}

/** A session. */
export interface Session {
  readonly id: string
  readonly agent: string
  readonly bead: string
  readonly rig: string
  readonly epoch: number
  readonly state: SessionState
  readonly exit: SessionExit | null
  readonly reason: string | null
  readonly branch: string
  readonly target: string
  readonly base: string | null
  readonly head: string | null
  readonly createdAt: Timestamp
  readonly startedAt: Timestamp | null
  readonly endedAt: Timestamp | null
  readonly ending: SessionExit | null
  readonly leaseUntil: Timestamp | null
  readonly lastProgress: Timestamp | null
  readonly stall: Stall | null
  readonly triage: string | null
  readonly checkpoint: Json
  /** A commit of what it had not committed, on its `head` or else on its `base`. */
  readonly saved: string | null
  /** Only where one session is read. */
  readonly output: SessionOutput | null
}

/** One line of a session's structured events: what it says, or the line itself and why it says nothing. */
export interface SessionEvent {
  readonly offset: number
  readonly data: Json
  readonly text: string | null
  readonly flaw: EventFlaw | null
}

/** What is known of a session's output; no `bytes` where it was removed, or before the session began. */
export interface SessionOutput {
  readonly bytes: number | null
  readonly droppedBytes: number | null
  readonly isRemoved: boolean
}

/** Sessions, oldest first. */
export interface SessionList {
  readonly sessions: Session[]
}

// ---- what operations take; what is left out has the core's default ----

/** A repository to take under the town's care. */
export interface AddRig {
  name: string
  /** An absolute path, `https://`, `ssh://` or `user@host:path`; without secrets. */
  remote: string
  prefix?: string | null
  target?: string | null
  settings?: JsonObject
}

/** Which agents to list. */
export interface AgentFilter {
  rig?: string | null
  role?: Role | null
}

/** Names one agent. */
export interface AgentRef {
  name: string
}

/** Asks for everything there is. */
export type All = Record<string, never>

/** A new comment; `author` is the caller where it is left out. */
export interface AddComment {
  bead: string
  text: string
  author?: string | null
}

/** Which beads to list. */
export interface BeadFilter {
  kind?: BeadKind | null
  status?: BeadStatus | null
  statuses?: BeadStatus[]
  pinned?: boolean | null
  ephemeral?: boolean | null
  template?: boolean | null
  createdAfter?: Timestamp | null
  createdBefore?: Timestamp | null
  updatedAfter?: Timestamp | null
  updatedBefore?: Timestamp | null
  closedAfter?: Timestamp | null
  closedBefore?: Timestamp | null
  sort?: ListSort | null
  rig?: string | null
  priority?: number | null
  priorityMax?: number | null
  issueTypes?: string[]
  excludeTypes?: string[]
  assignee?: string | null
  unassigned?: boolean
  owner?: string | null
  labels?: string[]
  labelsAny?: string[]
  labelsNone?: string[]
  labelGlob?: string | null
  labelRegex?: string | null
  parent?: string | null
  direct?: boolean
  convoy?: string | null
  metadata?: JsonObject | null
  hasMetadata?: string[]
  limit?: number | null
  cursor?: string | null
}

/** What to change of a bead; what is left out stays, null clears. */
export interface BeadPatch {
  id: string
  expectedVersion?: number | null
  title?: string
  description?: string | null
  design?: string | null
  acceptance?: string | null
  notes?: string | null
  appendNotes?: string | null
  priority?: number
  issueType?: string
  assignee?: string | null
  owner?: string | null
  externalRef?: string | null
  specId?: string | null
  parent?: string | null
  deferUntil?: Timestamp | null
  dueAt?: Timestamp | null
  estimateMinutes?: number | null
  parkedReason?: string | null
  parkedUntil?: Timestamp | null
  pinned?: boolean | null
  ephemeral?: boolean | null
  template?: boolean | null
  labels?: string[] | null
  addLabels?: string[]
  removeLabels?: string[]
  metadata?: JsonObject | null
}

/** Which of the ready issues. */
export interface ReadyFilter {
  includeEphemeral?: boolean
  sort?: ReadySort | null
  rig?: string | null
  priority?: number | null
  priorityMax?: number | null
  issueTypes?: string[]
  excludeTypes?: string[]
  assignee?: string | null
  unassigned?: boolean
  owner?: string | null
  labels?: string[]
  labelsAny?: string[]
  labelsNone?: string[]
  labelGlob?: string | null
  labelRegex?: string | null
  parent?: string | null
  direct?: boolean
  convoy?: string | null
  metadata?: JsonObject | null
  hasMetadata?: string[]
  limit?: number | null
  cursor?: string | null
}

/** Who claims what; the first ready issue of those in `only` where `id` is left out. */
export interface Claim {
  by: string
  id?: string | null
  leaseMs?: number | null
  only?: ReadyFilter | null
  expectedVersion?: number | null
}

/** A bead to close, why, and what must hold. */
export interface CloseBead {
  id: string
  resolution?: Resolution | null
  reason?: string | null
  duplicateOf?: string | null
  supersededBy?: string | null
  expectedVersion?: number | null
  expectedEpoch?: number | null
  force?: boolean
}

/** Names one comment. */
export interface CommentRef {
  bead: string
  id: string
}

/** Which comments to read. */
export interface CommentsOf {
  bead: string
  limit?: number | null
  cursor?: string | null
}

/** A bead to take away; with `cascade` its parts as well. */
export interface DeleteBead {
  id: string
  cascade?: boolean
  reason?: string | null
  expectedVersion?: number | null
}

/** A sign of life of the holder of a claim. */
export interface Heartbeat {
  id: string
  by: string
  epoch: number
  leaseMs?: number | null
}

/** A bead to move; to the town itself where `rig` is left out. */
export interface MoveBead {
  id: string
  rig?: string | null
  expectedVersion?: number | null
}

/** What a new bead is made of. */
export interface NewBead {
  title: string
  id?: string | null
  replacesDeleted?: boolean
  rig?: string | null
  description?: string
  design?: string
  acceptance?: string
  notes?: string
  priority?: number
  issueType?: string
  labels?: string[]
  metadata?: JsonObject
  parent?: string | null
  dependsOn?: string[]
  assignee?: string | null
  owner?: string | null
  externalRef?: string | null
  specId?: string | null
  deferUntil?: Timestamp | null
  dueAt?: Timestamp | null
  estimateMinutes?: number | null
  pinned?: boolean
  ephemeral?: boolean
  template?: boolean
}

/** A plan: new beads, each with a key, and edges between them and beads that are there. */
export interface NewBeads {
  beads: KeyedBead[]
  links?: KeyedLink[]
}

/** One bead of a plan; `partOf` is the key of the bead that it is a part of. */
export interface KeyedBead {
  key: string
  bead: NewBead
  partOf?: string | null
}

/** One edge of a plan; an end is a key of the plan, or else the id of a bead that is there. */
export interface KeyedLink {
  bead: string
  onBead: string
  kind?: DependencyKind | (string & {})
}

/** A claimed bead to give back. */
export interface ReleaseBead {
  id: string
  by?: string | null
  expectedEpoch?: number | null
}

/** Another id for a bead; with `parts` for those whose ids begin with its own too. */
export interface RenameBead {
  id: string
  to: string
  parts?: boolean
  expectedVersion?: number | null
}

/** A bead to open again, and why. */
export interface ReopenBead {
  id: string
  reason?: string | null
  expectedVersion?: number | null
}

/** Names one bead, convoy or merge request. */
export interface BeadRef {
  id: string
}

/** Settings for a rig, or for the town where `rig` is left out; null takes a setting away. */
export interface Configure {
  settings: JsonObject
  rig?: string | null
}

/** Which part of the journal. */
export interface EventsSince {
  since?: number
  limit?: number | null
}

/** One edge: `bead` waits for `onBead`, in the sense of `kind` (`blocks` where it is left out). */
export interface Link {
  bead: string
  onBead: string
  kind?: DependencyKind | (string & {})
  /** Of an edge `waits-for`: how many parts it waits for; all where it is left out. */
  gate?: WaitGate | null
}

/** Which edges of a bead to read: at most `limit` of both directions together. */
export interface EdgesOf {
  id: string
  limit?: number | null
  cursor?: string | null
}

/** Which parts of a bead to list; `all` of them are to any depth. */
export interface ChildrenOf {
  id: string
  all?: boolean
  limit?: number | null
  cursor?: string | null
}

/** Which edges to follow, and how far. */
export interface TreeOf {
  id: string
  depth?: number | null
  kind?: DependencyKind | (string & {}) | null
  limit?: number | null
}

/** Which beads a query finds, and how. */
export interface BeadQuery {
  query: string
  sort?: QuerySort | null
  limit?: number | null
  cursor?: string | null
}

/** Which beads with some words to find, and how. */
export interface BeadSearch {
  text: string
  kind?: BeadKind | null
  status?: BeadStatus | null
  rig?: string | null
  query?: string | null
  sort?: SearchSort | null
  limit?: number | null
  cursor?: string | null
}

/** Which beads to read as they were. */
export interface BeadsAt {
  seq: number
  id?: string | null
  query?: string | null
  limit?: number | null
  cursor?: string | null
}

/** By what to count which beads. */
export interface CountBeads {
  by?: CountedField[]
  metadata?: string[]
  query?: string | null
}

/** How alike issues must be. */
export interface FindDuplicates {
  likeness?: number | null
  rig?: string | null
  limit?: number | null
}

/** How much of a history to read. */
export interface HistoryOf {
  id: string
  limit?: number | null
  cursor?: string | null
}

/** Whose reservations to leave out. */
export interface OverlapQuery {
  rig: string
  patterns: string[]
  but?: string | null
}

/** Whose reservations to list: of a rig or of a bead. */
export interface ReservationFilter {
  rig?: string | null
  bead?: string | null
  limit?: number | null
  cursor?: string | null
}

/** For how long to reserve paths. */
export interface Reserve {
  bead: string
  patterns: string[]
  ttlMs?: number | null
}

/** Which issues were not touched for how long. */
export interface StaleBeads {
  days?: number | null
  rig?: string | null
  limit?: number | null
  cursor?: string | null
}

/** Which issues to look over. */
export interface StatsOf {
  rig?: string | null
}

/** Which reservations to give up; all where none are named. */
export interface Unreserve {
  bead: string
  patterns?: string[] | null
}

/** Which part of a list over the graph to read. */
export interface GraphFilter {
  rig?: string | null
  limit?: number | null
  cursor?: string | null
}

/** Which work to plan, and what a bead without an estimate is taken for. */
export interface PlanOf {
  rig?: string | null
  convoy?: string | null
  parent?: string | null
  estimateMinutes?: number | null
  limit?: number | null
  cursor?: string | null
}

/** Which part of a session's output to read. */
export interface OutputQuery {
  session: string
  stream?: OutputStream
  /** From this byte on, counted from the first that was ever printed. */
  after?: number
  /** The most bytes of a page, 16 to 1,048,576; 65,536 where it is left out. */
  limitBytes?: number | null
  /** Whether the bytes themselves are wanted beside the text. */
  raw?: boolean
}

/** An agent to be known to the town; polecats and refineries need their rig. */
export interface RegisterAgent {
  name: string
  role?: Role
  rig?: string | null
}

/** Which merge requests to list; one of the two is needed. */
export interface ReviewFilter {
  source?: string | null
  state?: ReviewState | null
}

/** Names one rig. */
export interface RigRef {
  name: string
}

/** Which sessions to list; one of the two is needed. */
export interface SessionFilter {
  bead?: string | null
  state?: SessionState | null
}

/** What an agent wants the next session of its bead to know; at most 16 KiB of JSON. An agent names no session. */
export interface Checkpoint {
  data: Json
  session?: string | null
}

/** What the next session is to know, where that is more than was left before. An agent names no session. */
export interface HandOff {
  data?: Json
  session?: string | null
}

/** Which effects to list; those that were given up where no `state` is named. */
export interface EffectFilter {
  state?: EffectState | null
  kind?: string | null
  rig?: string | null
  limit?: number | null
  cursor?: string | null
}

/** Names one effect. */
export interface EffectRef {
  id: string
}

/** Names one session. */
export interface SessionRef {
  id: string
}

/** A bead to be run: by an agent, or any of its rig in a role; by any polecat where both are left out. */
export interface Sling {
  bead: string
  to?: string | null
  role?: Role | null
}

/** Beads to be run: all of them or none; 1 to 10,000, each once. */
export interface SlingMany {
  slings: Sling[]
}

/** A bead for the hook of an agent that holds nothing. */
export interface HookBead {
  name: string
  bead: string
}

/** Why and until when the town is paused; until somebody resumes it where `until` is left out. */
export interface PauseTown {
  reason: string
  until?: Timestamp | null
}

/**
 * For whom: a user, a rig, a user confined to a rig, or the agent of a session. `verbs` are the only operations that it is
 * good for, by their names in the core's table. It holds for `ttlMs`, an hour where it is left out, and ends with a whole second.
 */
export interface IssueCapability {
  user?: string
  rig?: string
  session?: string
  verbs?: string[]
  ttlMs?: number
}

/** What the new one is confined to; it never ends after the one whose token is shown. */
export interface AttenuateCapability {
  token: string
  rig?: string
  verbs?: string[]
  ttlMs?: number
}

/** Which capability to revoke, and why; that of a session is `cap-` and the session's id. */
export interface RevokeCapability {
  id: string
  reason?: string
}

/** Which capabilities to list; with `all`, also those that ended or were revoked. */
export interface CapabilityFilter {
  all?: boolean
  limit?: number
  cursor?: string
}

/** How the new key signs (`EdDSA`), and how long those before it verify (90 days); with 0 no token from before is good. */
export interface RotateKeys {
  algorithm?: KeyAlgorithm
  keepMs?: number
}

/** An answer to a request: what is done, and why; the note is what a bead is parked or failed with. */
export interface ResolveTriage {
  id: string
  action: TriageAction
  note?: string | null
}

/** Whether what can be mended is mended; else it is only told. */
export interface Examine {
  repair?: boolean
}

/** Why the engine's host gives its work away, and how long sessions may go on; by the setting `drain.grace_ms` where it is left out. */
export interface DrainTown {
  reason: string
  graceMs?: number | null
}

/** A rig of which no bead is handed out; until somebody resumes it where `until` is left out. */
export interface PauseRig {
  name: string
  reason: string
  until?: Timestamp | null
}

/** An agent that is given no work; until somebody resumes it where `until` is left out. */
export interface PauseAgent {
  name: string
  reason: string
  until?: Timestamp | null
}

/** A bead to be set aside; until somebody takes it up again where `until` is left out. */
export interface ParkBead {
  id: string
  reason: string
  until?: Timestamp | null
  expectedVersion?: number | null
}

/** Asks what an agent has done. */
export interface AgentHistoryOf {
  name: string
  limit?: number | null
  cursor?: string | null
}

/** Tasks to be made, given to agents and brought home together: all of them or none. */
export interface SlingConvoy {
  title: string
  rig: string
  tasks: Task[]
  onFailure?: FailurePolicy
}

/** One task of a convoy; `dependsOn` names others by their place in the list, from 0. */
export interface Task {
  title: string
  description?: string
  priority?: number | null
  labels?: string[]
  metadata?: JsonObject | null
  dependsOn?: number[]
}

/** How a call is made. */
export interface CallOptions {
  /** Stops waiting; what was begun runs to its end all the same. */
  signal?: AbortSignal
}

/** How a changing call is made. */
export interface ChangeOptions extends CallOptions {
  /** An idempotency key: repeated with it, the call gives the first answer and changes nothing. */
  key?: string
}

// ---- the operations; where one field is enough, its text alone will do ----

/** Operations on beads. */
export interface Beads {
  /** Creates an issue. */
  create(bead: string | NewBead, options?: ChangeOptions): Promise<Bead>
  /** Creates issues with edges between them: all of them or none. */
  createMany(plan: NewBeads, options?: ChangeOptions): Promise<MadeBeads>
  /** Reads one bead, whole. */
  get(bead: string | BeadRef, options?: CallOptions): Promise<Bead>
  /** Changes what is named of a bead and leaves the rest. */
  update(patch: BeadPatch, options?: ChangeOptions): Promise<Bead>
  /** Lists beads without their texts, oldest first or as the filter says, a page at a time. */
  list(only?: BeadFilter, options?: CallOptions): Promise<BeadPage>
  /** Lists the issues that could be worked on now, most urgent first or as the filter says, a page at a time. */
  ready(only?: ReadyFilter, options?: CallOptions): Promise<BeadPage>
  /** Takes a ready issue for somebody: exactly one of any number of callers gets it. */
  claim(claim: string | Claim, options?: ChangeOptions): Promise<Bead>
  /** Says that the holder of a claim is at work, so that it holds on; nothing is journaled. */
  heartbeat(sign: Heartbeat, options?: ChangeOptions): Promise<Lease>
  /** Gives a claimed issue back. */
  release(bead: string | ReleaseBead, options?: ChangeOptions): Promise<Bead>
  /** Closes an issue and frees what waited for it. */
  close(bead: string | CloseBead, options?: ChangeOptions): Promise<Closed>
  /** Opens a closed or failed bead again; what is merged or landed stays closed. */
  reopen(bead: string | ReopenBead, options?: ChangeOptions): Promise<Bead>
  /** Takes an issue away for good and leaves a tombstone; what waited for it is freed. */
  delete(bead: string | DeleteBead, options?: ChangeOptions): Promise<Deleted>
  /** Gives an issue another id; every reference to it follows. */
  rename(rename: RenameBead, options?: ChangeOptions): Promise<Renamed>
  /** Moves an issue with its parts to another rig, where they get ids of that rig. */
  moveToRig(move: MoveBead, options?: ChangeOptions): Promise<Renamed>
  /** Adds a comment to a bead. */
  comment(comment: AddComment, options?: ChangeOptions): Promise<Comment>
  /** Reads the comments of one bead, oldest first, a page at a time. */
  comments(bead: string | CommentsOf, options?: CallOptions): Promise<CommentPage>
  /** Deletes a comment: one's own, or any for the town's owner. */
  deleteComment(comment: CommentRef, options?: ChangeOptions): Promise<Changed>
  /** Adds an edge between two beads; a circle is refused and shown. */
  link(link: Link, options?: ChangeOptions): Promise<Changed>
  /** Removes an edge between two beads. */
  unlink(link: Link, options?: ChangeOptions): Promise<Changed>
  /** Reads the edges of one bead, in both directions. */
  edges(of: string | EdgesOf, options?: CallOptions): Promise<Edges>
  /** Lists the parts of a bead, a page at a time; also those of its parts where they are asked for. */
  children(of: string | ChildrenOf, options?: CallOptions): Promise<NodePage>
  /** Follows what a bead waits for, to a depth. */
  dependencies(of: string | TreeOf, options?: CallOptions): Promise<Tree>
  /** Follows what waits for a bead, to a depth. */
  dependents(of: string | TreeOf, options?: CallOptions): Promise<Tree>
  /** Lists the open issues that wait, each with what it waits for, a page at a time. */
  blocked(only?: GraphFilter, options?: CallOptions): Promise<BlockedPage>
  /** Reads what was tried for a bead, session by session, and why it failed or waits. */
  attempts(bead: string | BeadRef, options?: CallOptions): Promise<Attempts>
  /** Explains why a bead is ready, or names every fact that keeps it from running. */
  explain(bead: string | BeadRef, options?: CallOptions): Promise<Explanation>
  /** Plans the open work: its order and levels, the critical path, slack, and what would unblock most. */
  plan(of?: PlanOf, options?: CallOptions): Promise<Plan>
  /** Lists the epics and how far each is, a page at a time. */
  epics(only?: GraphFilter, options?: CallOptions): Promise<EpicPage>
  /** Lists imported edges that count for nothing: they would close a circle, lack an end, or name a second parent. */
  looseEdges(only?: GraphFilter, options?: CallOptions): Promise<LoosePage>
  /** Finds beads by a query in words, a page at a time. */
  query(query: string | BeadQuery, options?: CallOptions): Promise<BeadPage>
  /** Finds beads by the words in their titles and texts, a page at a time. */
  search(search: string | BeadSearch, options?: CallOptions): Promise<BeadPage>
  /** Counts beads by the values of fields. */
  count(what?: CountBeads, options?: CallOptions): Promise<BeadCounts>
  /** Says how many issues there are of what, and how long the closed ones took. */
  stats(of?: StatsOf, options?: CallOptions): Promise<BeadStats>
  /** Lists issues that nobody has changed for long, those that were left the longest first. */
  stale(only?: StaleBeads, options?: CallOptions): Promise<BeadPage>
  /** Finds issues that say the same, or nearly. */
  duplicates(how?: FindDuplicates, options?: CallOptions): Promise<Duplicates>
  /** Reads what happened to a bead, field by field, a page at a time. */
  history(bead: string | HistoryOf, options?: CallOptions): Promise<BeadHistory>
  /** Reads beads as they were behind an entry of the journal. */
  at(moment: BeadsAt, options?: CallOptions): Promise<BeadsAtPage>
  /** Gives an issue to an agent and has it run: at once where it is its turn and one is idle, else as soon as it is. */
  sling(bead: string | Sling, options?: ChangeOptions): Promise<Bead>
  /** Gives issues to agents and has them run: all of them or none. */
  slingMany(slings: SlingMany, options?: ChangeOptions): Promise<Slung>
  /** Sets an issue aside: it is neither ready nor given to an agent; a session that it has goes on. */
  park(bead: ParkBead, options?: ChangeOptions): Promise<Bead>
  /** Takes up an issue again that was set aside. */
  unpark(bead: string | BeadRef, options?: ChangeOptions): Promise<Bead>
  /** Takes in beads from files of `bd` and `br`, or of an export; what cannot be read is reported. */
  importFrom(from: string | ImportBeads, options?: CallOptions): Promise<ImportReport>
  /** Writes the beads into a file as `bd` and `br` know them, or as they were imported. */
  exportTo(to: string | ExportBeads, options?: CallOptions): Promise<BeadsExported>
  /** Brings the town and the file of a `.beads` folder together, by field, from what both agreed on last. */
  sync(given: string | SyncBeads, options?: CallOptions): Promise<SyncReport>
}

/** Operations on convoys. */
export interface Convoys {
  /** Makes tasks with their edges, gives them to agents and brings them home together: all of them or none. */
  sling(convoy: SlingConvoy, options?: ChangeOptions): Promise<Convoy>
  /** Reads one convoy and how far it is. */
  get(convoy: string | BeadRef, options?: CallOptions): Promise<Convoy>
  /** Lists the convoys. */
  list(all?: All, options?: CallOptions): Promise<ConvoyList>
  /** Tries again to land a convoy that needs attention although all its members are done, or to make its branch. */
  land(convoy: string | BeadRef, options?: ChangeOptions): Promise<Convoy>
}

/** Operations on agents. */
export interface Agents {
  /** Makes an agent known to the town; a polecat where no role is given. */
  register(agent: string | RegisterAgent, options?: ChangeOptions): Promise<Agent>
  /** Reads one agent. */
  get(agent: string | AgentRef, options?: CallOptions): Promise<Agent>
  /** Lists the agents. */
  list(only?: AgentFilter, options?: CallOptions): Promise<AgentList>
  /** Reads what an agent has done, session by session, oldest first, a page at a time. */
  history(agent: string | AgentHistoryOf, options?: CallOptions): Promise<AgentHistory>
  /** Gives an agent no work for a while; a session that it has goes on. */
  pause(agent: PauseAgent, options?: ChangeOptions): Promise<Agent>
  /** Gives a paused agent work again. */
  resume(agent: string | AgentRef, options?: ChangeOptions): Promise<Agent>
  /** Puts an issue on an agent's hook: nobody else gets it, the agent gets nothing else, and the engine runs it. */
  hook(bead: HookBead, options?: ChangeOptions): Promise<Agent>
  /** Takes what has not begun off an agent's hook; the issue is open and not slung. */
  unhook(agent: string | AgentRef, options?: ChangeOptions): Promise<Agent>
  /** Gives an agent no work any more; a session that it has goes on, its name and its history stay. */
  retire(agent: string | AgentRef, options?: ChangeOptions): Promise<Agent>
}

/** Operations on rigs. */
export interface Rigs {
  /** Takes a repository under the town's care, after looking whether it can be. */
  add(rig: AddRig, options?: ChangeOptions): Promise<Rig>
  /** Reads one rig. */
  get(rig: string | RigRef, options?: CallOptions): Promise<Rig>
  /** Lists the rigs. */
  list(all?: All, options?: CallOptions): Promise<RigList>
  /** Hands out no bead of a rig for a while; what runs goes on. */
  pause(rig: PauseRig, options?: ChangeOptions): Promise<Rig>
  /** Hands out a paused rig's beads again. */
  resume(rig: string | RigRef, options?: ChangeOptions): Promise<Rig>
  /** Sets settings of the town or of a rig. */
  configure(settings: Configure, options?: ChangeOptions): Promise<Changed>
}

/** Operations on sessions. */
export interface Sessions {
  /** Reads one session. */
  get(session: string | SessionRef, options?: CallOptions): Promise<Session>
  /** Lists the sessions of a bead or in a state. */
  list(only: SessionFilter, options?: CallOptions): Promise<SessionList>
  /** Says what the engine would start now, in order and why, without changing anything. */
  plan(all?: All, options?: CallOptions): Promise<StartPlan>
  /** Reads what a session printed or its structured events, a page at a time, while it runs and afterwards. */
  output(part: string | OutputQuery, options?: CallOptions): Promise<OutputPage>
  /** Yields what a session prints, or its structured events, from `after` on, until it has ended or the loop is left. */
  follow(part: string | OutputQuery, options?: CallOptions): AsyncGenerator<OutputPage, void, undefined>
  /** Removes the output of ended sessions that is too old or too much, as the engine does by itself. */
  sweep(all?: All, options?: CallOptions): Promise<OutputSweep>
  /** Has a session stopped; its bead is open again and not slung. */
  stop(session: string | SessionRef, options?: ChangeOptions): Promise<Session>
  /** Leaves something for the next session of the bead, which finds it in its brief; the last counts. */
  checkpoint(left: Checkpoint, options?: ChangeOptions): Promise<Session>
  /** Ends a session and has another one of the same agent go on with its bead, from the commits that it leaves. */
  handoff(left?: HandOff, options?: ChangeOptions): Promise<Session>
}

/** What is to be done outside the database, and what was given up. */
export interface Effects {
  /** Lists effects of one state, those that were given up where none is named, a page at a time. */
  list(only?: EffectFilter, options?: CallOptions): Promise<EffectPage>
  /** Has an effect that was given up tried again, where it is still wanted. */
  retry(effect: string | EffectRef, options?: ChangeOptions): Promise<Effect>
}

/** Operations on merge requests. */
export interface Reviews {
  /** Reads one merge request. */
  get(review: string | BeadRef, options?: CallOptions): Promise<Review>
  /** Lists the merge requests of a source or in a state. */
  list(only: ReviewFilter, options?: CallOptions): Promise<ReviewList>
}

/** The journal. */
export interface Events {
  /** Reads the journal behind a place. */
  since(part?: EventsSince, options?: CallOptions): Promise<EventPage>
  /** Yields every event after `since`, then each new one as it is journaled, until the loop is left or the town closed. */
  watch(options?: { since?: number } & CallOptions): AsyncGenerator<Event, void, undefined>
}

/** What callers show who are not in this process. */
export interface Capabilities {
  /** Issues a capability to a user, a rig or the agent of a session, and gives its token, this once. */
  issue(capability?: IssueCapability, options?: CallOptions): Promise<IssuedCapability>
  /** Makes a capability that can do less than the one whose token is shown, and gives its token, this once. */
  attenuate(less: string | AttenuateCapability, options?: CallOptions): Promise<IssuedCapability>
  /** Revokes a capability and whatever was made of it, for the very next call of whoever holds it. */
  revoke(capability: string | RevokeCapability, options?: ChangeOptions): Promise<Changed>
  /** Lists the capabilities that were issued, those that end first in front, a page at a time. */
  list(only?: CapabilityFilter, options?: CallOptions): Promise<CapabilityPage>
  /** Lets a new key sign tokens; those before it verify for a while longer. */
  rotateKeys(how?: RotateKeys, options?: CallOptions): Promise<KeysRotated>
}

/** What somebody has to judge, and what is done about it. */
export interface Triage {
  /** Lists what waits for somebody's judgement, oldest first. */
  list(all?: All, options?: CallOptions): Promise<TriageList>
  /** Does what was chosen, where things are still as they were when it was asked, and closes the request. */
  resolve(answer: ResolveTriage, options?: ChangeOptions): Promise<TriageRequest>
}

/** Operations on reservations of paths. */
export interface Reservations {
  /** Reserves paths for the work on a bead, and says who else has the like; it keeps nobody from them. */
  add(paths: Reserve, options?: ChangeOptions): Promise<Reserved>
  /** Gives reservations of a bead up. */
  remove(bead: string | Unreserve, options?: ChangeOptions): Promise<Changed>
  /** Lists the reservations of a rig or a bead that hold, a page at a time. */
  list(only?: ReservationFilter, options?: CallOptions): Promise<ReservationPage>
  /** Says who has reserved paths that may be the same as these. */
  overlaps(paths: OverlapQuery, options?: CallOptions): Promise<Overlaps>
}

/** What a town's owner does with the whole of it. */
export interface Upkeep {
  /** Says how the town is: its engine, its queue, its database, what waits and what was given up. */
  health(all?: All, options?: CallOptions): Promise<Health>
  /** Shows what goes on: agents, beads, sessions, convoys, effects, what asks for somebody, and the last entries. */
  status(all?: All, options?: CallOptions): Promise<TownStatus>
  /** Reads what was counted and measured of the town since this process opened it. */
  metrics(all?: All, options?: CallOptions): Promise<Metrics>
  /** Looks over the database, every row, the journal and its archives while the town works on. */
  check(all?: All, options?: CallOptions): Promise<Checked>
  /** Takes the rows that cannot be read out of their tables, as they are. */
  quarantine(all?: All, options?: CallOptions): Promise<Quarantined>
  /** Says what keeps the town from working, between rows, outside and left behind; mends what it can where that is asked for. */
  doctor(examine?: Examine, options?: CallOptions): Promise<Diagnosis>
  /** Lists the rows that were taken out because they could not be read, a page at a time. */
  quarantined(only?: QuarantineFilter, options?: CallOptions): Promise<QuarantinePage>
  /** Brings a row in quarantine back to its table, with other columns where they are given. */
  mend(row: string | MendRow, options?: ChangeOptions): Promise<QuarantinedRow>
  /** Gives a row in quarantine up, and what follows from it; the journal keeps what it held. */
  discard(row: string | QuarantineRef, options?: ChangeOptions): Promise<QuarantinedRow>
  /** Copies the town to a new folder while it works on; `restore` makes a town of it again. */
  backup(to: string | WriteTo, options?: CallOptions): Promise<Backup>
  /** Writes the town's records as lines of JSON to a new file while it works on; `restore` reads them. */
  export(to: string | WriteTo, options?: CallOptions): Promise<Exported>
  /** Puts away what is over: beads and effects, the beginning of the journal; into files first. */
  archive(over: Archive, options?: CallOptions): Promise<Archived>
  /** Hands out no bead of the whole town for a while; what runs goes on. */
  pause(pause: PauseTown, options?: ChangeOptions): Promise<TownPause>
  /** Hands out the paused town's beads again, and calls a drain off. */
  resume(all?: All, options?: ChangeOptions): Promise<TownPause>
  /** Has the engine's host give its work away: nothing is started, and what runs is stopped after a grace and saved. */
  drain(drain: DrainTown, options?: ChangeOptions): Promise<Draining>
  /** Lists the beads that were put away and are not back, archive by archive, a page at a time. */
  archived(only?: ArchivedFilter, options?: CallOptions): Promise<ArchivedPage>
  /** Brings a bead back that was put away, closed as it was. */
  recall(bead: string | BeadRef, options?: ChangeOptions): Promise<Bead>
  /** Gives back the space of what was deleted; commands wait meanwhile, reads go on. */
  vacuum(all?: All, options?: CallOptions): Promise<Vacuumed>
}

/** A town through one scope: the operations of every noun. */
export class Handle {
  protected constructor()
  readonly agents: Agents
  readonly beads: Beads
  readonly capabilities: Capabilities
  readonly convoys: Convoys
  readonly effects: Effects
  readonly events: Events
  readonly reviews: Reviews
  readonly rigs: Rigs
  readonly sessions: Sessions
  readonly reservations: Reservations
  readonly triage: Triage
  readonly upkeep: Upkeep
  /** Runs an operation by its name: for protocols; programs use the typed methods. */
  call(name: string, input: { [key: string]: unknown }, options?: ChangeOptions): Promise<unknown>
}

/** A clock that stands still until it is set, in microseconds since 1970 UTC. */
export class ManualClock {
  constructor(now: Timestamp)
  get now(): Timestamp
  set(now: Timestamp): void
  advance(micros: number): void
}

/** What a town is opened with. */
export interface OpenOptions {
  /** The town's name; `town` where it is left out. */
  id?: string
  /**
   * Whether the town is made also where the database holds others; without it only the first town of a database is, and a
   * name that is none of them is `town_missing`.
   */
  create?: boolean
  /**
   * Where the town is kept: `sqlite` (where it is left out) in its folder, `memory` in this process alone, the
   * `postgres://` URL of a database in a schema that any number of processes may share.
   */
  store?: 'sqlite' | 'memory' | `postgres://${string}` | `postgresql://${string}`
  /**
   * `full` (where it is left out) survives a loss of power, `normal` a kill. It stands before what a URL says; with `memory`
   * it is refused (`durability_unused`).
   */
  durability?: Durability
  /** Ids are made from this seed; the same seed and the same calls give the same ids. */
  seed?: number
  /** The name of this machine, where several share a database; the kernel's where it is left out. */
  host?: string
  /** Where the time comes from; the machine's clock where it is left out. */
  clock?: ManualClock
  /**
   * The keys that tokens are signed with, as the file `keys.json` of a town's folder has them; a secret. Those in the town's
   * folder where they are left out, made when they are first needed. Hosts that share a database share them.
   */
  keys?: string
  /** The program `gastown`, which supervises sessions; found beside this package, else on the `PATH`. */
  program?: string
}

/** An open town; its operations are the operator's. The engine runs between `start` and `stop`. */
export class Town extends Handle {
  private constructor()
  /** Opens the town in the folder `dir`, making it where the database holds none. Nothing runs until `start`. */
  static open(dir: string, options?: OpenOptions): Promise<Town>
  /** Opens a town in `dir`, where none is yet, from the folder of a backup or the file of an export. */
  static restore(source: string, dir: string, options?: OpenOptions): Promise<Town>
  /** The town's name. */
  get id(): string
  /** The folder of the town's files. */
  get dir(): string
  /** A handle that sees and changes one rig and nothing else. */
  rig(name: string): Handle
  /** A handle for a user that the host knows by this name: it can do what the operator can, in its own name. */
  user(name: string): Handle
  /**
   * A handle for whoever shows this token: with its scope, its operations, and as long as it holds. Every call is refused once
   * the capability ended or was revoked, or its key ended; for an agent's also once its session's epoch is over.
   */
  withToken(token: string): Promise<Handle>
  /** A handle with the scope of the agent in a session, good while its epoch is the bead's. */
  session(id: string): Promise<Handle>
  /** Starts the engine: beads that were slung are given to agents, and their work is brought home. */
  start(): Promise<void>
  /** Opens the town's socket, by which other processes of this user call it with tokens, until `stop`; `start` does it too. */
  serve(): Promise<void>
  /** Stops the engine and closes the socket; agents go on and are adopted later. */
  stop(): Promise<void>
  /**
   * Gives the work of this host away and stops the engine, for a machine that goes away. Sessions may go on for `graceMs`; then
   * they are stopped, and what they left is put at the remote, where the next engine of the town goes on from it.
   */
  drain(drain: DrainTown): Promise<void>
  /** Stops the engine and closes the town; later calls reject with the code `store_closed`. */
  close(): Promise<void>
  /** Plays the journal, checks its chain of hashes, and compares what it gives with what is stored. */
  replay(): Promise<Replay>
  /** How the town is; the same as `upkeep.health`. */
  health(): Promise<Health>
  /** Copies the town to a new folder while it works on; the same as `upkeep.backup`. */
  backup(path: string): Promise<Backup>
  /** Closes the town; for `await using`, where the runtime has it. */
  [Symbol.asyncDispose](): Promise<void>
}

/** Opens the town in the folder `dir`, making it where there is none. */
export function open(dir: string, options?: OpenOptions): Promise<Town>

/**
 * Opens a town in `dir`, where none is yet, from the folder of a backup or the file of an export.
 *
 * All of it is compared with what was written before anything is taken.
 */
export function restore(source: string, dir: string, options?: OpenOptions): Promise<Town>

/**
 * Brings two files of issues together that grew out of `base`, field by field; no town is needed.
 *
 * Lines that need no change stay byte for byte, and lines that cannot be read stay as they are. With `strict`, nothing is written
 * and it rejects with the code `merge_conflicted` where something would be given up or a line cannot be read.
 */
export function mergeBeads(input: MergeBeads): Promise<BeadsMerged>

/** The version of this package. */
export const version: string
