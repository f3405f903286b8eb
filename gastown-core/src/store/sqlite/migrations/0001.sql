-- Schema 1: the records and the journal. Every key starts with the town, so that a file may hold many.
-- Times are microseconds since 1970 in UTC, truth values are 0 and 1, and texts named below as JSON hold JSON.
-- This text was published and never changes; later schemas are steps of their own.

CREATE TABLE migration (
    version INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    library TEXT NOT NULL,
    applied_at INTEGER NOT NULL
) STRICT;

-- The journal; data and changes are JSON, hash covers the entry and the one before.
CREATE TABLE event (
    town_id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    session TEXT,
    epoch INTEGER,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    data TEXT NOT NULL,
    changes TEXT NOT NULL,
    schema INTEGER NOT NULL,
    hash TEXT NOT NULL,
    PRIMARY KEY (town_id, seq)
) STRICT;

CREATE TABLE town (
    town_id TEXT NOT NULL,
    id TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (town_id, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE rig (
    town_id TEXT NOT NULL,
    name TEXT NOT NULL,
    prefix TEXT NOT NULL,
    remote TEXT NOT NULL,
    target TEXT NOT NULL,
    state TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (town_id, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE bead (
    town_id TEXT NOT NULL,
    id TEXT NOT NULL,
    kind TEXT NOT NULL,
    status TEXT NOT NULL,
    resolution TEXT,
    title TEXT NOT NULL,
    priority INTEGER NOT NULL,
    issue_type TEXT NOT NULL,
    metadata TEXT NOT NULL,
    rig TEXT,
    parent TEXT,
    convoy TEXT,
    assignee TEXT,
    created_by TEXT NOT NULL,
    external_ref TEXT,
    defer_until INTEGER,
    due_at INTEGER,
    estimate_minutes INTEGER,
    parked_reason TEXT,
    parked_until INTEGER,
    slung INTEGER NOT NULL,
    slung_to TEXT,
    blockers INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    outages INTEGER NOT NULL,
    reworks INTEGER NOT NULL,
    wake_at INTEGER,
    lease_until INTEGER,
    dirty INTEGER NOT NULL,
    version INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    closed_at INTEGER,
    source_status TEXT,
    extra TEXT,
    PRIMARY KEY (town_id, id)
) STRICT;
CREATE INDEX beads_by_kind ON bead (town_id, kind, created_at, id);
CREATE INDEX beads_by_status ON bead (town_id, kind, status, created_at, id);
CREATE INDEX beads_ready ON bead (town_id, kind, priority, created_at, id)
    WHERE status = 'open' AND blockers = 0;
CREATE INDEX beads_slung ON bead (town_id, rig, priority, created_at, id)
    WHERE status = 'open' AND blockers = 0 AND slung = 1;
CREATE INDEX beads_dirty ON bead (town_id, id)
    WHERE dirty = 1;
CREATE INDEX beads_due ON bead (town_id, wake_at, id)
    WHERE wake_at IS NOT NULL;
CREATE INDEX beads_by_parent ON bead (town_id, parent, id)
    WHERE parent IS NOT NULL;
CREATE INDEX beads_by_convoy ON bead (town_id, convoy, id)
    WHERE convoy IS NOT NULL;
CREATE INDEX beads_by_assignee ON bead (town_id, assignee, id)
    WHERE assignee IS NOT NULL;

CREATE TABLE bead_text (
    town_id TEXT NOT NULL,
    id TEXT NOT NULL,
    description TEXT NOT NULL,
    design TEXT NOT NULL,
    acceptance TEXT NOT NULL,
    notes TEXT NOT NULL,
    PRIMARY KEY (town_id, id)
) STRICT;

CREATE TABLE label (
    town_id TEXT NOT NULL,
    bead TEXT NOT NULL,
    label TEXT NOT NULL,
    PRIMARY KEY (town_id, bead, label)
) STRICT, WITHOUT ROWID;
CREATE INDEX labels_by_name ON label (town_id, label, bead);

CREATE TABLE dependency (
    town_id TEXT NOT NULL,
    bead TEXT NOT NULL,
    on_bead TEXT NOT NULL,
    kind TEXT NOT NULL,
    counted INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (town_id, bead, on_bead, kind)
) STRICT, WITHOUT ROWID;
CREATE INDEX dependents ON dependency (town_id, on_bead, bead, kind);

CREATE TABLE bead_detail_agent (
    town_id TEXT NOT NULL,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    rig TEXT,
    state TEXT NOT NULL,
    hook TEXT,
    session TEXT,
    sessions INTEGER NOT NULL,
    since INTEGER NOT NULL,
    PRIMARY KEY (town_id, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX agents_by_name ON bead_detail_agent (town_id, name, id);
CREATE INDEX agents_by_state ON bead_detail_agent (town_id, rig, role, state, since, id);

CREATE TABLE session (
    town_id TEXT NOT NULL,
    id TEXT NOT NULL,
    agent TEXT NOT NULL,
    bead TEXT NOT NULL,
    rig TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    state TEXT NOT NULL,
    exit TEXT,
    reason TEXT,
    branch TEXT NOT NULL,
    target TEXT NOT NULL,
    base TEXT,
    head TEXT,
    created_at INTEGER NOT NULL,
    started_at INTEGER,
    ended_at INTEGER,
    lease_until INTEGER,
    last_progress INTEGER,
    wake_at INTEGER,
    PRIMARY KEY (town_id, id)
) STRICT;
CREATE INDEX sessions_by_state ON session (town_id, state, created_at, id);
CREATE INDEX sessions_by_bead ON session (town_id, bead, epoch, id);
CREATE INDEX sessions_by_agent ON session (town_id, agent, created_at, id);
CREATE INDEX sessions_due ON session (town_id, wake_at, id)
    WHERE wake_at IS NOT NULL;

CREATE TABLE bead_detail_convoy (
    town_id TEXT NOT NULL,
    id TEXT NOT NULL,
    rig TEXT NOT NULL,
    mode TEXT NOT NULL,
    on_failure TEXT NOT NULL,
    state TEXT NOT NULL,
    branch TEXT NOT NULL,
    target TEXT NOT NULL,
    base TEXT,
    head TEXT,
    landed_oid TEXT,
    landed_at INTEGER,
    reason TEXT,
    PRIMARY KEY (town_id, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX convoys_by_state ON bead_detail_convoy (town_id, state, id);

CREATE TABLE bead_detail_merge_request (
    town_id TEXT NOT NULL,
    id TEXT NOT NULL,
    source TEXT NOT NULL,
    rig TEXT NOT NULL,
    session TEXT,
    branch TEXT NOT NULL,
    target TEXT NOT NULL,
    head TEXT NOT NULL,
    state TEXT NOT NULL,
    published INTEGER NOT NULL,
    target_oid TEXT,
    merge_oid TEXT,
    landed_oid TEXT,
    attempts INTEGER NOT NULL,
    problem TEXT,
    position INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (town_id, id)
) STRICT;
CREATE INDEX reviews_by_target ON bead_detail_merge_request (town_id, rig, target, state, position, id);
CREATE INDEX reviews_by_state ON bead_detail_merge_request (town_id, state, position, id);
CREATE INDEX reviews_by_source ON bead_detail_merge_request (town_id, source, position, id);

CREATE TABLE effect (
    town_id TEXT NOT NULL,
    id TEXT NOT NULL,
    kind TEXT NOT NULL,
    rig TEXT NOT NULL,
    state TEXT NOT NULL,
    payload TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    leader_epoch INTEGER NOT NULL,
    next_at INTEGER NOT NULL,
    outcome TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (town_id, id)
) STRICT;
CREATE INDEX effects_by_state ON effect (town_id, state, next_at, id);

CREATE TABLE setting (
    town_id TEXT NOT NULL,
    scope TEXT NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (town_id, scope, name)
) STRICT;

CREATE TABLE leader (
    town_id TEXT NOT NULL,
    name TEXT NOT NULL,
    holder TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    lease_until INTEGER NOT NULL,
    PRIMARY KEY (town_id, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE idempotency (
    town_id TEXT NOT NULL,
    principal TEXT NOT NULL,
    operation TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    request_hash TEXT NOT NULL,
    answer TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (town_id, principal, operation, idempotency_key)
) STRICT;
CREATE INDEX answers_by_age ON idempotency (town_id, created_at, principal, operation, idempotency_key);
