-- Failures grouped by cause. Empty tables: nothing here goes through what is there; entries from before are
-- taken in afterwards, a batch at a time.

-- Causes of failures: what messages that did not arrive have in common. A row is written once; only its
-- dismissal changes.
CREATE TABLE failure_causes (
    -- From the digest of the columns up to text: every process gives a cause the same id.
    id           TEXT PRIMARY KEY,
    business_id  TEXT NOT NULL,
    method       TEXT NOT NULL,
    -- None: no provider was asked.
    provider     TEXT,
    -- It came back after a provider had taken it over.
    bounced      INTEGER NOT NULL,
    category     TEXT NOT NULL,
    code         TEXT,
    -- The provider's words, with placeholders for all that belongs to one message.
    text         TEXT NOT NULL,
    -- When it was first seen.
    first_at     INTEGER NOT NULL,
    -- Until a failure after it opens the cause again.
    dismissed_at INTEGER,
    dismissed_by TEXT
) STRICT;
CREATE INDEX failure_causes_by_business ON failure_causes (business_id, id);

-- The messages of each cause: what a group lists and sends again.
CREATE TABLE cause_entries (
    cause_id        TEXT NOT NULL,
    notification_id TEXT NOT NULL,
    -- When it failed.
    at              INTEGER NOT NULL,
    -- When something showed that it arrived nevertheless.
    arrived_at      INTEGER,
    -- When it was sent again.
    sent_again_at   INTEGER,
    PRIMARY KEY (cause_id, notification_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX cause_entries_by_notification ON cause_entries (notification_id);

-- How many messages failed of each cause in each hour.
CREATE TABLE cause_counts (
    business_id TEXT NOT NULL,
    -- Whole hours since 1970, UTC.
    hour        INTEGER NOT NULL,
    cause_id    TEXT NOT NULL,
    failed      INTEGER NOT NULL,
    -- Those of them that arrived nevertheless, or were sent again.
    resolved    INTEGER NOT NULL,
    first_at    INTEGER NOT NULL,
    last_at     INTEGER NOT NULL,
    PRIMARY KEY (business_id, hour, cause_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX cause_counts_by_cause ON cause_counts (cause_id, hour);

-- Entries that were just sent again, until their causes know; written by enqueues.
CREATE TABLE resent_marks (
    -- The new entry.
    id        TEXT PRIMARY KEY,
    resend_of TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- What people did about causes; append-only.
CREATE TABLE cause_actions (
    id          TEXT PRIMARY KEY,
    business_id TEXT NOT NULL,
    cause_id    TEXT NOT NULL,
    at          INTEGER NOT NULL,
    -- The name of the member of staff, or of the API key, or the command line.
    by_whom     TEXT NOT NULL,
    action      TEXT NOT NULL CHECK (action IN ('dismissed', 'resent')),
    note        TEXT,
    -- The run that sends again (resend_runs.id).
    run_id      TEXT
) STRICT;
CREATE INDEX cause_actions_by_cause ON cause_actions (cause_id, id DESC);

-- How far entries from before these tables were taken in, from the newest on. One row.
CREATE TABLE cause_past (
    one         INTEGER PRIMARY KEY CHECK (one = 1),
    reached     TEXT NOT NULL,
    finished_at INTEGER
) STRICT;
INSERT INTO cause_past (one, reached) VALUES (1, 'ffffffff-ffff-ffff-ffff-ffffffffffff');
