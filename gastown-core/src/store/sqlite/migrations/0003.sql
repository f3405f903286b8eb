-- Schema 3: the whole bead, comments, what is left of deleted beads, records of other programs, reservations,
-- rows that could not be read.
-- This text was published and never changes; later schemas are steps of their own.

-- Words are found by the number of a bead, which must outlive a vacuum; so the table is made anew with a column for it.
ALTER TABLE bead RENAME TO bead_before;
CREATE TABLE bead (
    doc INTEGER PRIMARY KEY,
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
    labels TEXT NOT NULL,
    owner TEXT,
    spec_id TEXT,
    close_reason TEXT,
    started_at INTEGER,
    pinned INTEGER NOT NULL,
    ephemeral INTEGER NOT NULL,
    template INTEGER NOT NULL,
    rank INTEGER NOT NULL,
    parts INTEGER NOT NULL,
    open_parts INTEGER NOT NULL,
    last_part INTEGER NOT NULL,
    comments INTEGER NOT NULL,
    UNIQUE (town_id, id)
) STRICT;
INSERT INTO bead (town_id, id, kind, status, resolution, title, priority, issue_type, metadata, rig, parent, convoy, assignee,
    created_by, external_ref, defer_until, due_at, estimate_minutes, parked_reason, parked_until, slung, slung_to,
    blockers, epoch, failures, outages, reworks, wake_at, lease_until, dirty, version, created_at, updated_at,
    closed_at, source_status, extra, labels, pinned, ephemeral, template, rank, parts, open_parts, last_part, comments)
SELECT town_id, id, kind, status, resolution, title, priority, issue_type, metadata, rig, parent, convoy, assignee,
    created_by, external_ref, defer_until, due_at, estimate_minutes, parked_reason, parked_until, slung, slung_to,
    blockers, epoch, failures, outages, reworks, wake_at, lease_until, dirty, version, created_at, updated_at,
    closed_at, source_status, extra, '', 0, 0, 0, 0, 0, 0, 0, 0
FROM bead_before;
DROP TABLE bead_before;
CREATE INDEX beads_by_kind ON bead (town_id, kind, created_at, id);
CREATE INDEX beads_by_status ON bead (town_id, kind, status, created_at, id);
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

-- Rows that could not be read, out of their tables; source_key and columns hold JSON.
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

-- Which beads hold a word. What is new is indexed 128 beads at a time, as an index of words costs by the commit:
-- word_mark says up to which bead that is done, word_later which of those changed since. Whoever asks looks at the rest
-- himself. Words that are gone from a bead stay in the index until the next vacuum: it names candidates only.
-- (The triggers ask themselves what is there: an upsert's own way with conflicts would replace theirs.)
CREATE VIRTUAL TABLE word USING fts5(
    title, texts, content = '', columnsize = 0, detail = column, tokenize = 'unicode61 remove_diacritics 0'
);
-- Parts of the index are merged by eights: writing less is worth more than reading less.
INSERT INTO word (word, rank) VALUES ('automerge', 8);
CREATE TABLE word_mark (doc INTEGER NOT NULL) STRICT;
CREATE TABLE word_later (doc INTEGER PRIMARY KEY) STRICT;
CREATE VIEW word_source AS
    SELECT b.doc, b.title, coalesce(
        t.description || char(10) || t.design || char(10) || t.acceptance || char(10) || t.notes, ''
    ) AS texts
    FROM bead b LEFT JOIN bead_text t ON t.town_id = b.town_id AND t.id = b.id;
INSERT INTO word (rowid, title, texts) SELECT doc, title, texts FROM word_source ORDER BY doc;
INSERT INTO word_mark SELECT coalesce(max(doc), 0) FROM bead;

CREATE TRIGGER word_of_new_beads AFTER INSERT ON bead
    WHEN new.doc >= (SELECT doc FROM word_mark) + 128
BEGIN
    INSERT INTO word (rowid, title, texts)
        SELECT doc, title, texts FROM word_source WHERE doc > (SELECT doc FROM word_mark) ORDER BY doc;
    UPDATE word_mark SET doc = new.doc;
END;
CREATE TRIGGER word_of_a_number_again AFTER INSERT ON bead
    WHEN new.doc <= (SELECT doc FROM word_mark)
BEGIN
    INSERT INTO word_later SELECT new.doc WHERE new.doc NOT IN (SELECT doc FROM word_later);
END;
CREATE TRIGGER word_of_a_title AFTER UPDATE OF title ON bead
    WHEN new.title IS NOT old.title AND new.doc <= (SELECT doc FROM word_mark)
BEGIN
    INSERT INTO word_later SELECT new.doc WHERE new.doc NOT IN (SELECT doc FROM word_later);
END;
CREATE TRIGGER word_of_new_texts AFTER INSERT ON bead_text
BEGIN
    INSERT INTO word_later
        SELECT doc FROM bead
        WHERE town_id = new.town_id AND id = new.id AND doc <= (SELECT doc FROM word_mark)
            AND doc NOT IN (SELECT doc FROM word_later);
END;
CREATE TRIGGER word_of_texts AFTER UPDATE ON bead_text
BEGIN
    INSERT INTO word_later
        SELECT doc FROM bead
        WHERE town_id = new.town_id AND id = new.id AND doc <= (SELECT doc FROM word_mark)
            AND doc NOT IN (SELECT doc FROM word_later);
END;
CREATE TRIGGER word_of_changed_beads AFTER INSERT ON word_later
    WHEN (SELECT count(*) FROM word_later) >= 128
BEGIN
    INSERT INTO word (rowid, title, texts)
        SELECT s.doc, s.title, s.texts FROM word_later l JOIN word_source s ON s.doc = l.doc ORDER BY s.doc;
    DELETE FROM word_later;
END;
