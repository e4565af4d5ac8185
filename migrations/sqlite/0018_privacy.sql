-- Retention, erasure and holds. Paired with the file of the same name for PostgreSQL.

-- Since when nothing personal is kept of the client: what comes in later is kept without it as well.
ALTER TABLE clients ADD COLUMN erased_at INTEGER;
-- The law wants it kept: retention passes the client by, and it cannot be erased.
ALTER TABLE clients ADD COLUMN hold INTEGER NOT NULL DEFAULT 0;

-- Clients whose personal data was taken away: who asked for it, when, why, and how far it has come.
CREATE TABLE erasures (
    id          TEXT PRIMARY KEY,
    business_id TEXT NOT NULL,
    client_uid  TEXT NOT NULL,
    asked_by    TEXT NOT NULL,
    reason      TEXT,
    asked_at    INTEGER NOT NULL,
    -- It is gone through twice: the second time for what was under way when it began.
    round       INTEGER NOT NULL,
    -- The part that is at work.
    step        TEXT NOT NULL,
    -- The last row of that part that was dealt with.
    reached     TEXT NOT NULL,
    -- The names and addresses that are looked for in what names no client; none once it is finished.
    traces      TEXT,
    entries     INTEGER NOT NULL,
    -- From when on it is worked at; none: it is finished.
    due_at      INTEGER,
    finished_at INTEGER
) STRICT;
CREATE INDEX erasures_open ON erasures (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX erasures_by_business ON erasures (business_id, id DESC);

-- How far retention has come: the content of entries from before that time was deleted, and when.
CREATE TABLE content_deletions (
    before_at  INTEGER PRIMARY KEY,
    deleted_at INTEGER NOT NULL,
    -- The period that was set then (retention.content_days).
    days       INTEGER NOT NULL
) STRICT;

-- Of one client.
CREATE INDEX follow_up_tasks_by_client ON follow_up_tasks (client_uid, id);
