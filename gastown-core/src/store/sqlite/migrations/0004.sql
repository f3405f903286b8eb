-- Schema 4: rows that could not be read.
-- This text was published and never changes; later schemas are steps of their own.

-- They lie here, out of their tables; source_key and columns hold JSON.
CREATE TABLE quarantine (
    town_id TEXT NOT NULL,
    id TEXT NOT NULL,
    source TEXT NOT NULL,
    source_key TEXT NOT NULL,
    columns TEXT NOT NULL,
    problem TEXT NOT NULL,
    moved_by TEXT NOT NULL,
    moved_at INTEGER NOT NULL,
    PRIMARY KEY (town_id, id)
) STRICT;
