-- Schema 3: the whole bead, comments, what is left of deleted beads, records of other programs, reservations.
-- This text was published and never changes; later schemas are steps of their own.

ALTER TABLE bead ADD COLUMN labels TEXT NOT NULL DEFAULT '';
ALTER TABLE bead ADD COLUMN owner TEXT;
ALTER TABLE bead ADD COLUMN spec_id TEXT;
ALTER TABLE bead ADD COLUMN close_reason TEXT;
ALTER TABLE bead ADD COLUMN started_at INTEGER;
ALTER TABLE bead ADD COLUMN pinned INTEGER NOT NULL DEFAULT 0;
ALTER TABLE bead ADD COLUMN ephemeral INTEGER NOT NULL DEFAULT 0;
ALTER TABLE bead ADD COLUMN template INTEGER NOT NULL DEFAULT 0;
ALTER TABLE bead ADD COLUMN rank INTEGER NOT NULL DEFAULT 0;
ALTER TABLE bead ADD COLUMN parts INTEGER NOT NULL DEFAULT 0;
ALTER TABLE bead ADD COLUMN open_parts INTEGER NOT NULL DEFAULT 0;
ALTER TABLE bead ADD COLUMN last_part INTEGER NOT NULL DEFAULT 0;
ALTER TABLE bead ADD COLUMN comments INTEGER NOT NULL DEFAULT 0;
DROP INDEX beads_ready;
CREATE INDEX beads_ready ON bead (town_id, kind, ephemeral, priority, created_at, id)
    WHERE status = 'open' AND blockers = 0 AND pinned = 0 AND template = 0;
CREATE INDEX beads_ready_by_rig ON bead (town_id, kind, ephemeral, rig, priority, created_at, id)
    WHERE status = 'open' AND blockers = 0 AND pinned = 0 AND template = 0 AND rig IS NOT NULL;
CREATE INDEX beads_ready_by_age ON bead (town_id, kind, ephemeral, created_at, id)
    WHERE status = 'open' AND blockers = 0 AND pinned = 0 AND template = 0;
CREATE INDEX beads_by_lease ON bead (town_id, kind, lease_until, id)
    WHERE status = 'in_progress' AND lease_until IS NOT NULL;
CREATE INDEX beads_by_external_ref ON bead (town_id, external_ref, id)
    WHERE external_ref IS NOT NULL;
ALTER TABLE dependency ADD COLUMN gate TEXT;
ALTER TABLE dependency ADD COLUMN extra TEXT;
DROP INDEX dependents;
CREATE INDEX dependents ON dependency (town_id, on_bead, kind, bead);
ALTER TABLE town ADD COLUMN data_schema INTEGER NOT NULL DEFAULT 0;
CREATE INDEX events_by_subject ON event (town_id, subject, seq);

CREATE TABLE comment (
    town_id TEXT NOT NULL,
    bead TEXT NOT NULL,
    id TEXT NOT NULL,
    author TEXT NOT NULL,
    text TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    extra TEXT,
    PRIMARY KEY (town_id, bead, id)
) STRICT;

CREATE TABLE tombstone (
    town_id TEXT NOT NULL,
    id TEXT NOT NULL,
    deleted_at INTEGER NOT NULL,
    deleted_by TEXT NOT NULL,
    reason TEXT,
    record TEXT,
    PRIMARY KEY (town_id, id)
) STRICT;

CREATE TABLE foreign_record (
    town_id TEXT NOT NULL,
    source TEXT NOT NULL,
    name TEXT NOT NULL,
    data TEXT NOT NULL,
    PRIMARY KEY (town_id, source, name)
) STRICT;

CREATE TABLE reservation (
    town_id TEXT NOT NULL,
    bead TEXT NOT NULL,
    pattern TEXT NOT NULL,
    rig TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (town_id, bead, pattern)
) STRICT;
CREATE INDEX reservations_by_rig ON reservation (town_id, rig, expires_at, bead, pattern);
