-- Schema 4: rows that could not be read.
-- This text was published and never changes; later schemas are steps of their own.

-- They lie here, out of their tables; source_key and columns hold JSON.
CREATE TABLE quarantine (
    town_id TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    source TEXT COLLATE "C" NOT NULL,
    source_key TEXT COLLATE "C" NOT NULL,
    columns TEXT COLLATE "C" NOT NULL,
    problem TEXT COLLATE "C" NOT NULL,
    moved_by TEXT COLLATE "C" NOT NULL,
    moved_at BIGINT NOT NULL,
    PRIMARY KEY (town_id, id)
);
