-- Schema 4: dispatch, liveness, rows that could not be read.
-- This text was published and never changes; later schemas are steps of their own.

ALTER TABLE bead ADD COLUMN slung_role TEXT COLLATE "C";
ALTER TABLE bead ADD COLUMN slung_at BIGINT;
ALTER TABLE bead ADD COLUMN lane TEXT COLLATE "C";
DROP INDEX beads_slung;
CREATE INDEX beads_slung ON bead (town_id, lane, priority, slung_at, id)
    WHERE lane IS NOT NULL AND slung_at IS NOT NULL;
CREATE INDEX beads_running ON bead (town_id, rig, convoy, id)
    WHERE status = 'in_progress' AND slung = 1;
ALTER TABLE town ADD COLUMN paused_reason TEXT COLLATE "C";
ALTER TABLE town ADD COLUMN paused_until BIGINT;
ALTER TABLE rig ADD COLUMN paused_reason TEXT COLLATE "C";
ALTER TABLE rig ADD COLUMN paused_until BIGINT;
CREATE INDEX rigs_paused ON rig (town_id, paused_until, name)
    WHERE paused_until IS NOT NULL;
ALTER TABLE bead_detail_agent ADD COLUMN pooled BIGINT NOT NULL DEFAULT 0;
ALTER TABLE bead_detail_agent ADD COLUMN preset TEXT COLLATE "C";
ALTER TABLE bead_detail_agent ADD COLUMN paused_reason TEXT COLLATE "C";
ALTER TABLE bead_detail_agent ADD COLUMN paused_until BIGINT;
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
ALTER TABLE bead ADD COLUMN agent_failures BIGINT NOT NULL DEFAULT 0;
ALTER TABLE bead ADD COLUMN auth_failures BIGINT NOT NULL DEFAULT 0;
ALTER TABLE bead ADD COLUMN failure TEXT COLLATE "C";
ALTER TABLE session ADD COLUMN progress BIGINT NOT NULL DEFAULT 0;
ALTER TABLE session ADD COLUMN ending TEXT COLLATE "C";
ALTER TABLE session ADD COLUMN stall TEXT COLLATE "C";
ALTER TABLE session ADD COLUMN triage TEXT COLLATE "C";
ALTER TABLE session ADD COLUMN checkpoint TEXT COLLATE "C";
ALTER TABLE effect ADD COLUMN setback TEXT COLLATE "C";
CREATE INDEX effects_by_kind ON effect (town_id, state, kind, next_at, id);
CREATE TABLE breaker (
    town_id TEXT COLLATE "C" NOT NULL,
    subject TEXT COLLATE "C" NOT NULL,
    rig TEXT COLLATE "C",
    state TEXT COLLATE "C" NOT NULL,
    failures BIGINT NOT NULL,
    openings BIGINT NOT NULL,
    reason TEXT COLLATE "C",
    failed_at BIGINT,
    since BIGINT NOT NULL,
    probe TEXT COLLATE "C",
    escalation TEXT COLLATE "C",
    wake_at BIGINT,
    PRIMARY KEY (town_id, subject)
);
CREATE INDEX breakers_due ON breaker (town_id, wake_at, subject)
    WHERE wake_at IS NOT NULL;

-- Rows that could not be read lie here, out of their tables; source_key and columns hold JSON.
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
