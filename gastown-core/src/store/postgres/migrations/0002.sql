-- Schema 2: deliveries, one row for each message and recipient.
-- This text was published and never changes; later schemas are steps of their own.

CREATE TABLE delivery (
    town_id TEXT COLLATE "C" NOT NULL,
    message TEXT COLLATE "C" NOT NULL,
    recipient TEXT COLLATE "C" NOT NULL,
    sender TEXT COLLATE "C" NOT NULL,
    thread TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    priority BIGINT NOT NULL,
    session TEXT COLLATE "C",
    attempts BIGINT NOT NULL,
    problem TEXT COLLATE "C",
    stored_at BIGINT NOT NULL,
    offered_at BIGINT,
    seen_at BIGINT,
    ended_at BIGINT,
    expires_at BIGINT,
    wake_at BIGINT,
    PRIMARY KEY (town_id, message, recipient)
);
CREATE INDEX deliveries_by_recipient ON delivery (town_id, recipient, state, priority, stored_at, message);
CREATE INDEX deliveries_by_thread ON delivery (town_id, thread, stored_at, message, recipient);
CREATE INDEX deliveries_due ON delivery (town_id, wake_at, message, recipient)
    WHERE wake_at IS NOT NULL;
