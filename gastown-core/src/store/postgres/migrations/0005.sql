-- Schema 5: what a session had not committed, and hosts that go away.
-- This text was published and never changes; later schemas are steps of their own.

ALTER TABLE session ADD COLUMN saved TEXT COLLATE "C";
ALTER TABLE leader ADD COLUMN drain_reason TEXT COLLATE "C";
ALTER TABLE leader ADD COLUMN drain_until BIGINT;
