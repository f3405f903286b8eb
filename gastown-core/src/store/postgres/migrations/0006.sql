-- Schema 6: capabilities that were issued, and those that were revoked.
-- This text was published and never changes; later schemas are steps of their own.

CREATE TABLE capability (
    town_id TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    principal TEXT COLLATE "C" NOT NULL,
    rig TEXT COLLATE "C",
    verbs TEXT COLLATE "C",
    parent TEXT COLLATE "C",
    issued_by TEXT COLLATE "C" NOT NULL,
    issued_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT,
    revoked_by TEXT COLLATE "C",
    revoked_reason TEXT COLLATE "C",
    PRIMARY KEY (town_id, id)
);
CREATE INDEX capabilities_by_end ON capability (town_id, expires_at, id);
