-- Schema 1: the records and the journal. Every key starts with the town, so that a schema may hold many.
-- Times are microseconds since 1970 in UTC, truth values are 0 and 1, and texts named below as JSON hold JSON:
-- they are text because their bytes are hashed; `data::jsonb` reads them.
-- Text cannot hold a NUL here, so character 0 is written as 1 1, and character 1 as 1 2.
-- This text was published and never changes; later schemas are steps of their own.

CREATE TABLE migration (
    version BIGINT PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL,
    sha256 TEXT COLLATE "C" NOT NULL,
    library TEXT COLLATE "C" NOT NULL,
    applied_at BIGINT NOT NULL
);

-- The last transaction of each connection that writes: a commit whose answer was lost is found here, or was not done.
CREATE TABLE commit_mark (
    town_id TEXT COLLATE "C" NOT NULL,
    writer TEXT COLLATE "C" NOT NULL,
    number BIGINT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (town_id, writer)
);

-- The journal; data and changes are JSON, hash covers the entry and the one before.
CREATE TABLE event (
    town_id TEXT COLLATE "C" NOT NULL,
    seq BIGINT NOT NULL,
    at BIGINT NOT NULL,
    actor TEXT COLLATE "C" NOT NULL,
    session TEXT COLLATE "C",
    epoch BIGINT,
    kind TEXT COLLATE "C" NOT NULL,
    subject TEXT COLLATE "C" NOT NULL,
    data TEXT COLLATE "C" NOT NULL,
    changes TEXT COLLATE "C" NOT NULL,
    schema BIGINT NOT NULL,
    hash TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (town_id, seq)
);

CREATE TABLE town (
    town_id TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (town_id, id)
);

CREATE TABLE rig (
    town_id TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    prefix TEXT COLLATE "C" NOT NULL,
    remote TEXT COLLATE "C" NOT NULL,
    target TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (town_id, name)
);

CREATE TABLE bead (
    town_id TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    status TEXT COLLATE "C" NOT NULL,
    resolution TEXT COLLATE "C",
    title TEXT COLLATE "C" NOT NULL,
    priority BIGINT NOT NULL,
    issue_type TEXT COLLATE "C" NOT NULL,
    metadata TEXT COLLATE "C" NOT NULL,
    rig TEXT COLLATE "C",
    parent TEXT COLLATE "C",
    convoy TEXT COLLATE "C",
    assignee TEXT COLLATE "C",
    created_by TEXT COLLATE "C" NOT NULL,
    external_ref TEXT COLLATE "C",
    defer_until BIGINT,
    due_at BIGINT,
    estimate_minutes BIGINT,
    parked_reason TEXT COLLATE "C",
    parked_until BIGINT,
    slung BIGINT NOT NULL,
    slung_to TEXT COLLATE "C",
    blockers BIGINT NOT NULL,
    epoch BIGINT NOT NULL,
    failures BIGINT NOT NULL,
    outages BIGINT NOT NULL,
    reworks BIGINT NOT NULL,
    wake_at BIGINT,
    lease_until BIGINT,
    dirty BIGINT NOT NULL,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    closed_at BIGINT,
    source_status TEXT COLLATE "C",
    extra TEXT COLLATE "C",
    PRIMARY KEY (town_id, id)
);
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
    town_id TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    description TEXT COLLATE "C" NOT NULL,
    design TEXT COLLATE "C" NOT NULL,
    acceptance TEXT COLLATE "C" NOT NULL,
    notes TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (town_id, id)
);

CREATE TABLE label (
    town_id TEXT COLLATE "C" NOT NULL,
    bead TEXT COLLATE "C" NOT NULL,
    label TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (town_id, bead, label)
);
CREATE INDEX labels_by_name ON label (town_id, label, bead);

CREATE TABLE dependency (
    town_id TEXT COLLATE "C" NOT NULL,
    bead TEXT COLLATE "C" NOT NULL,
    on_bead TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    counted BIGINT NOT NULL,
    created_by TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (town_id, bead, on_bead, kind)
);
CREATE INDEX dependents ON dependency (town_id, on_bead, bead, kind);

CREATE TABLE bead_detail_agent (
    town_id TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    role TEXT COLLATE "C" NOT NULL,
    rig TEXT COLLATE "C",
    state TEXT COLLATE "C" NOT NULL,
    hook TEXT COLLATE "C",
    session TEXT COLLATE "C",
    sessions BIGINT NOT NULL,
    since BIGINT NOT NULL,
    PRIMARY KEY (town_id, id)
);
CREATE INDEX agents_by_name ON bead_detail_agent (town_id, name, id);
CREATE INDEX agents_by_state ON bead_detail_agent (town_id, rig, role, state, since, id);

CREATE TABLE session (
    town_id TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    agent TEXT COLLATE "C" NOT NULL,
    bead TEXT COLLATE "C" NOT NULL,
    rig TEXT COLLATE "C" NOT NULL,
    epoch BIGINT NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    exit TEXT COLLATE "C",
    reason TEXT COLLATE "C",
    branch TEXT COLLATE "C" NOT NULL,
    target TEXT COLLATE "C" NOT NULL,
    base TEXT COLLATE "C",
    head TEXT COLLATE "C",
    created_at BIGINT NOT NULL,
    started_at BIGINT,
    ended_at BIGINT,
    lease_until BIGINT,
    last_progress BIGINT,
    wake_at BIGINT,
    PRIMARY KEY (town_id, id)
);
CREATE INDEX sessions_by_state ON session (town_id, state, created_at, id);
CREATE INDEX sessions_by_bead ON session (town_id, bead, epoch, id);
CREATE INDEX sessions_by_agent ON session (town_id, agent, created_at, id);
CREATE INDEX sessions_due ON session (town_id, wake_at, id)
    WHERE wake_at IS NOT NULL;

CREATE TABLE bead_detail_convoy (
    town_id TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    rig TEXT COLLATE "C" NOT NULL,
    mode TEXT COLLATE "C" NOT NULL,
    on_failure TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    branch TEXT COLLATE "C" NOT NULL,
    target TEXT COLLATE "C" NOT NULL,
    base TEXT COLLATE "C",
    head TEXT COLLATE "C",
    landed_oid TEXT COLLATE "C",
    landed_at BIGINT,
    reason TEXT COLLATE "C",
    PRIMARY KEY (town_id, id)
);
CREATE INDEX convoys_by_state ON bead_detail_convoy (town_id, state, id);

CREATE TABLE bead_detail_merge_request (
    town_id TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    source TEXT COLLATE "C" NOT NULL,
    rig TEXT COLLATE "C" NOT NULL,
    session TEXT COLLATE "C",
    branch TEXT COLLATE "C" NOT NULL,
    target TEXT COLLATE "C" NOT NULL,
    head TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    published BIGINT NOT NULL,
    target_oid TEXT COLLATE "C",
    merge_oid TEXT COLLATE "C",
    landed_oid TEXT COLLATE "C",
    attempts BIGINT NOT NULL,
    problem TEXT COLLATE "C",
    position BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (town_id, id)
);
CREATE INDEX reviews_by_target ON bead_detail_merge_request (town_id, rig, target, state, position, id);
CREATE INDEX reviews_by_state ON bead_detail_merge_request (town_id, state, position, id);
CREATE INDEX reviews_by_source ON bead_detail_merge_request (town_id, source, position, id);

CREATE TABLE effect (
    town_id TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    rig TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    payload TEXT COLLATE "C" NOT NULL,
    attempts BIGINT NOT NULL,
    leader_epoch BIGINT NOT NULL,
    next_at BIGINT NOT NULL,
    outcome TEXT COLLATE "C",
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (town_id, id)
);
CREATE INDEX effects_by_state ON effect (town_id, state, next_at, id);

CREATE TABLE setting (
    town_id TEXT COLLATE "C" NOT NULL,
    scope TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    value TEXT COLLATE "C" NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (town_id, scope, name)
);

CREATE TABLE leader (
    town_id TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    holder TEXT COLLATE "C" NOT NULL,
    epoch BIGINT NOT NULL,
    lease_until BIGINT NOT NULL,
    PRIMARY KEY (town_id, name)
);

CREATE TABLE idempotency (
    town_id TEXT COLLATE "C" NOT NULL,
    principal TEXT COLLATE "C" NOT NULL,
    operation TEXT COLLATE "C" NOT NULL,
    idempotency_key TEXT COLLATE "C" NOT NULL,
    request_hash TEXT COLLATE "C" NOT NULL,
    answer TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (town_id, principal, operation, idempotency_key)
);
CREATE INDEX answers_by_age ON idempotency (town_id, created_at, principal, operation, idempotency_key);
