-- Schema 6: capabilities that were issued, and those that were revoked.
-- This text was published and never changes; later schemas are steps of their own.

CREATE TABLE capability (
    town_id TEXT NOT NULL,
    id TEXT NOT NULL,
    principal TEXT NOT NULL,
    rig TEXT,
    verbs TEXT,
    parent TEXT,
    issued_by TEXT NOT NULL,
    issued_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    revoked_at INTEGER,
    revoked_by TEXT,
    revoked_reason TEXT,
    PRIMARY KEY (town_id, id)
) STRICT;
CREATE INDEX capabilities_by_end ON capability (town_id, expires_at, id);
