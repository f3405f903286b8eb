-- Schema 2: deliveries, one row for each message and recipient.
-- This text was published and never changes; later schemas are steps of their own.

CREATE TABLE delivery (
    town_id TEXT NOT NULL,
    message TEXT NOT NULL,
    recipient TEXT NOT NULL,
    sender TEXT NOT NULL,
    thread TEXT NOT NULL,
    state TEXT NOT NULL,
    priority INTEGER NOT NULL,
    session TEXT,
    attempts INTEGER NOT NULL,
    problem TEXT,
    stored_at INTEGER NOT NULL,
    offered_at INTEGER,
    seen_at INTEGER,
    ended_at INTEGER,
    expires_at INTEGER,
    wake_at INTEGER,
    PRIMARY KEY (town_id, message, recipient)
) STRICT;
CREATE INDEX deliveries_by_recipient ON delivery (town_id, recipient, state, priority, stored_at, message);
CREATE INDEX deliveries_by_thread ON delivery (town_id, thread, stored_at, message, recipient);
CREATE INDEX deliveries_due ON delivery (town_id, wake_at, message, recipient)
    WHERE wake_at IS NOT NULL;
