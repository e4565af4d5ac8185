-- What is kept of clients who were forgotten, and for how long.
-- Paired with the file of the same name for PostgreSQL, which also replaces a part of sendtrail_enqueue: SQLite
-- has no functions of its own.

-- Whom messages went to whose client was erased, for a complaint or an opt-out that is still to come.
CREATE TABLE forgotten_recipients (
    notification_id TEXT PRIMARY KEY,
    method          TEXT NOT NULL,
    -- Of the address, as in the list of suppressed addresses.
    digest          TEXT NOT NULL,
    -- The row goes then.
    expires_at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX forgotten_recipients_old ON forgotten_recipients (expires_at);
