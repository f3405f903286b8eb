-- Schema 4: dispatch, liveness, rows that could not be read.
-- This text was published and never changes; later schemas are steps of their own.

ALTER TABLE bead ADD COLUMN slung_role TEXT;
ALTER TABLE bead ADD COLUMN slung_at INTEGER;
ALTER TABLE bead ADD COLUMN lane TEXT;
DROP INDEX beads_slung;
CREATE INDEX beads_slung ON bead (town_id, lane, priority, slung_at, id)
    WHERE lane IS NOT NULL AND slung_at IS NOT NULL;
CREATE INDEX beads_running ON bead (town_id, rig, convoy, id)
    WHERE status = 'in_progress' AND slung = 1;
ALTER TABLE town ADD COLUMN paused_reason TEXT;
ALTER TABLE town ADD COLUMN paused_until INTEGER;
ALTER TABLE rig ADD COLUMN paused_reason TEXT;
ALTER TABLE rig ADD COLUMN paused_until INTEGER;
CREATE INDEX rigs_paused ON rig (town_id, paused_until, name)
    WHERE paused_until IS NOT NULL;
ALTER TABLE bead_detail_agent ADD COLUMN pooled INTEGER NOT NULL DEFAULT 0;
ALTER TABLE bead_detail_agent ADD COLUMN preset TEXT;
ALTER TABLE bead_detail_agent ADD COLUMN paused_reason TEXT;
ALTER TABLE bead_detail_agent ADD COLUMN paused_until INTEGER;
CREATE INDEX agents_busy ON bead_detail_agent (town_id, id)
    WHERE hook IS NOT NULL AND session IS NOT NULL;
CREATE INDEX agents_busy_by_rig ON bead_detail_agent (town_id, rig, id)
    WHERE hook IS NOT NULL AND session IS NOT NULL;
CREATE INDEX agents_busy_by_role ON bead_detail_agent (town_id, role, id)
    WHERE hook IS NOT NULL AND session IS NOT NULL;
CREATE INDEX agents_busy_by_preset ON bead_detail_agent (town_id, preset, id)
    WHERE hook IS NOT NULL AND session IS NOT NULL AND preset IS NOT NULL;
CREATE INDEX agents_pooled ON bead_detail_agent (town_id, since, id)
    WHERE state = 'idle' AND pooled = 1;
CREATE INDEX agents_paused ON bead_detail_agent (town_id, paused_until, id)
    WHERE paused_until IS NOT NULL;
ALTER TABLE bead ADD COLUMN agent_failures INTEGER NOT NULL DEFAULT 0;
ALTER TABLE bead ADD COLUMN auth_failures INTEGER NOT NULL DEFAULT 0;
ALTER TABLE bead ADD COLUMN failure TEXT;
ALTER TABLE session ADD COLUMN progress INTEGER NOT NULL DEFAULT 0;
ALTER TABLE session ADD COLUMN ending TEXT;
ALTER TABLE session ADD COLUMN stall TEXT;
ALTER TABLE session ADD COLUMN triage TEXT;
ALTER TABLE session ADD COLUMN checkpoint TEXT;
ALTER TABLE effect ADD COLUMN setback TEXT;
CREATE INDEX effects_by_kind ON effect (town_id, state, kind, next_at, id);
CREATE TABLE breaker (
    town_id TEXT NOT NULL,
    subject TEXT NOT NULL,
    rig TEXT,
    state TEXT NOT NULL,
    failures INTEGER NOT NULL,
    openings INTEGER NOT NULL,
    reason TEXT,
    failed_at INTEGER,
    since INTEGER NOT NULL,
    probe TEXT,
    escalation TEXT,
    wake_at INTEGER,
    PRIMARY KEY (town_id, subject)
) STRICT;
CREATE INDEX breakers_due ON breaker (town_id, wake_at, subject)
    WHERE wake_at IS NOT NULL;

-- Rows that could not be read lie here, out of their tables; source_key and columns hold JSON.
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
