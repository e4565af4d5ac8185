-- What operators are told of by webhooks of their own.
-- Paired with the file of the same name for PostgreSQL.

-- Matters that last, as any process saw them last.
CREATE TABLE operation_matters (
    matter   TEXT NOT NULL,
    -- What it is about: a topic, a provider, a queue.
    subject  TEXT NOT NULL,
    since_at INTEGER NOT NULL,
    -- Not news before: it may be over by itself.
    tell_at  INTEGER NOT NULL,
    -- When it became news; none: not yet.
    told_at  INTEGER,
    PRIMARY KEY (matter, subject)
) STRICT, WITHOUT ROWID;

-- That a matter began or ended, once for each address.
CREATE TABLE operation_news (
    -- UUIDv7: the webhook-id, the same each time that it is sent.
    id          TEXT PRIMARY KEY,
    url         TEXT NOT NULL,
    matter      TEXT NOT NULL,
    subject     TEXT NOT NULL,
    -- It is over.
    cleared     INTEGER NOT NULL CHECK (cleared IN (0, 1)),
    since_at    INTEGER NOT NULL,
    happened_at INTEGER NOT NULL,
    -- When it is sent next; none: it was taken, or given up.
    due_at      INTEGER,
    attempts    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX operation_news_due ON operation_news (due_at, id) WHERE due_at IS NOT NULL;
