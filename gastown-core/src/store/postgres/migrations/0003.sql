-- Schema 3: the whole bead, comments, what is left of deleted beads, records of other programs, reservations,
-- rows that could not be read.
-- This text was published and never changes; later schemas are steps of their own.

ALTER TABLE bead ADD COLUMN labels TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE bead ADD COLUMN owner TEXT COLLATE "C";
ALTER TABLE bead ADD COLUMN spec_id TEXT COLLATE "C";
ALTER TABLE bead ADD COLUMN close_reason TEXT COLLATE "C";
ALTER TABLE bead ADD COLUMN started_at BIGINT;
ALTER TABLE bead ADD COLUMN pinned BIGINT NOT NULL DEFAULT 0;
ALTER TABLE bead ADD COLUMN ephemeral BIGINT NOT NULL DEFAULT 0;
ALTER TABLE bead ADD COLUMN template BIGINT NOT NULL DEFAULT 0;
ALTER TABLE bead ADD COLUMN rank BIGINT NOT NULL DEFAULT 0;
ALTER TABLE bead ADD COLUMN parts BIGINT NOT NULL DEFAULT 0;
ALTER TABLE bead ADD COLUMN open_parts BIGINT NOT NULL DEFAULT 0;
ALTER TABLE bead ADD COLUMN last_part BIGINT NOT NULL DEFAULT 0;
ALTER TABLE bead ADD COLUMN comments BIGINT NOT NULL DEFAULT 0;
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
ALTER TABLE dependency ADD COLUMN gate TEXT COLLATE "C";
ALTER TABLE dependency ADD COLUMN extra TEXT COLLATE "C";
DROP INDEX dependents;
CREATE INDEX dependents ON dependency (town_id, on_bead, kind, bead);
ALTER TABLE town ADD COLUMN data_schema BIGINT NOT NULL DEFAULT 0;
CREATE INDEX events_by_subject ON event (town_id, subject, seq);

CREATE TABLE comment (
    town_id TEXT COLLATE "C" NOT NULL,
    bead TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    author TEXT COLLATE "C" NOT NULL,
    text TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    extra TEXT COLLATE "C",
    PRIMARY KEY (town_id, bead, id)
);

CREATE TABLE tombstone (
    town_id TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    deleted_at BIGINT NOT NULL,
    deleted_by TEXT COLLATE "C" NOT NULL,
    reason TEXT COLLATE "C",
    record TEXT COLLATE "C",
    PRIMARY KEY (town_id, id)
);

CREATE TABLE foreign_record (
    town_id TEXT COLLATE "C" NOT NULL,
    source TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    data TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (town_id, source, name)
);

CREATE TABLE reservation (
    town_id TEXT COLLATE "C" NOT NULL,
    bead TEXT COLLATE "C" NOT NULL,
    pattern TEXT COLLATE "C" NOT NULL,
    rig TEXT COLLATE "C" NOT NULL,
    created_by TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (town_id, bead, pattern)
);
CREATE INDEX reservations_by_rig ON reservation (town_id, rig, expires_at, bead, pattern);

-- Rows that could not be read, out of their tables; source_key and columns hold JSON.
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

-- Which beads hold a word: the runs of ASCII letters and digits of a text. Other letters are not looked up, as their
-- lower case is not the same in every database; a text too long for an index has the word ANY instead of its own.
CREATE FUNCTION words_of(t TEXT) RETURNS tsvector LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $words$
    SELECT CASE
        WHEN octet_length(t) > 250000 THEN array_to_tsvector(ARRAY['ANY'])
        ELSE array_to_tsvector(ARRAY(
            SELECT DISTINCT left(word, 64)
            FROM regexp_split_to_table(lower(t COLLATE "C"), '[^a-z0-9]+') AS word
            WHERE word <> ''
        ))
    END
$words$;
CREATE INDEX word_of_titles ON bead USING gin (words_of(title));
CREATE INDEX word_of_texts ON bead_text
    USING gin (words_of(description || ' ' || design || ' ' || acceptance || ' ' || notes));
