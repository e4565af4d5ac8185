-- Outbound webhooks: applications are told what becomes of their notifications. Paired with the file
-- of the same name for PostgreSQL.

-- Where the events of a business are sent.
CREATE TABLE webhook_endpoints (
    id                TEXT PRIMARY KEY,
    business_id       TEXT NOT NULL REFERENCES businesses (id),
    url               TEXT NOT NULL,
    description       TEXT,
    -- Between commas, with one at either end; empty: all events.
    events            TEXT NOT NULL,
    -- What signs, in the form of Standard Webhooks; the application was shown it once.
    secret            TEXT NOT NULL,
    -- Signs beside it until then, so that the application can change over.
    previous_secret   TEXT,
    previous_ends_at  INTEGER,
    created_at        INTEGER NOT NULL,
    -- Rounds in a row in which nothing was taken, since when, and what was wrong with the last one.
    failures          INTEGER NOT NULL,
    failing_since_at  INTEGER,
    last_error        TEXT,
    last_delivered_at INTEGER,
    -- Nothing is sent any more, because nothing was taken for too long; events are still kept for it.
    disabled_at       INTEGER,
    -- Nothing is sent before.
    next_at           INTEGER NOT NULL,
    -- The worker that sends to it, and until when nobody else does.
    holder            TEXT,
    lease_until       INTEGER
) STRICT;
CREATE INDEX webhook_endpoints_by_business ON webhook_endpoints (business_id, id);

-- One event for one endpoint: written in the commit of the event itself, kept for some time after it
-- was sent, so that it can be sent again.
CREATE TABLE webhook_deliveries (
    endpoint_id     TEXT NOT NULL,
    -- UUIDv7: the webhook-id, the same each time that it is sent.
    id              TEXT NOT NULL,
    notification_id TEXT NOT NULL,
    event_key       TEXT NOT NULL,
    event           TEXT NOT NULL,
    -- Since when it has been waiting: since the event, or since a replay.
    queued_at       INTEGER NOT NULL,
    -- When it is sent next; none: it was taken, or given up.
    due_at          INTEGER,
    attempts        INTEGER NOT NULL,
    delivered_at    INTEGER,
    PRIMARY KEY (endpoint_id, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (endpoint_id, due_at, id) WHERE due_at IS NOT NULL;
CREATE INDEX webhook_deliveries_by_id ON webhook_deliveries (id);
