-- What flows, counted; and the brakes of a business whose mail comes back too often.
-- Paired with the file of the same name for PostgreSQL.

-- Counts that are not in flow_counts yet, written in the commit of what they count; folded within
-- seconds.
CREATE TABLE flow_increments (
    id          TEXT NOT NULL PRIMARY KEY,
    business_id TEXT NOT NULL,
    -- The minute in which it was recorded.
    at          INTEGER NOT NULL,
    kind        TEXT NOT NULL,
    method      TEXT NOT NULL,
    subject     TEXT NOT NULL,
    bucket      INTEGER NOT NULL,
    amount      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX flow_increments_by_business ON flow_increments (business_id, at);

-- How much happened, by minute (kept for 2 days), hour (100 days) and day (UTC). What flow_increments
-- holds comes on top.
CREATE TABLE flow_counts (
    step_seconds INTEGER NOT NULL CHECK (step_seconds IN (60, 3600, 86400)),
    -- Empty: of the whole installation (feedback messages).
    business_id  TEXT NOT NULL,
    -- The beginning of the step in which it was recorded.
    at           INTEGER NOT NULL,
    -- A notification counts once in each: enqueued, sent, failed, bounced, bounced_for_good, delivered,
    -- opened, clicked, complained, unsubscribed. Messages of feedback: feedback_applied,
    -- feedback_unmatched, feedback_noted, feedback_duplicate, feedback_refused.
    kind         TEXT NOT NULL,
    method       TEXT NOT NULL,
    -- The provider; of feedback where it came from, of refused feedback the reason.
    subject      TEXT NOT NULL,
    -- How long it took, for sent and delivered since the message was due, for bounces and complaints since
    -- it was sent: 1 up to 50 ms, each next one up to twice as long, 26 all that is longer; 0 no time is
    -- known.
    bucket       INTEGER NOT NULL,
    amount       INTEGER NOT NULL,
    PRIMARY KEY (step_seconds, business_id, at, kind, method, subject, bucket)
) STRICT, WITHOUT ROWID;
CREATE INDEX flow_counts_old ON flow_counts (step_seconds, at);
-- Two, because SQLite does not match a list with the list of an index; and each begins with its kind,
-- by which SQLite prefers it.
CREATE INDEX flow_counts_bounced ON flow_counts (kind, at, business_id)
    WHERE step_seconds = 3600 AND method = 'email' AND kind = 'bounced_for_good';
CREATE INDEX flow_counts_complained ON flow_counts (kind, at, business_id)
    WHERE step_seconds = 3600 AND method = 'email' AND kind = 'complained';

-- Whose bulk email is held, because too much of its email comes back; warned before.
CREATE TABLE brakes (
    business_id  TEXT NOT NULL,
    kind         TEXT NOT NULL CHECK (kind IN ('bounce', 'complaint')),
    state        TEXT NOT NULL CHECK (state IN ('ok', 'warned', 'held')),
    -- Emails of the last day when the state changed, and in returned those that bounced for good or were
    -- complained about.
    sent         INTEGER NOT NULL,
    returned     INTEGER NOT NULL,
    -- The same in words, for staff.
    why          TEXT NOT NULL,
    changed_at   INTEGER NOT NULL,
    -- It was lifted then: what was sent before does not count any more.
    counted_from INTEGER,
    PRIMARY KEY (business_id, kind)
) STRICT, WITHOUT ROWID;
CREATE INDEX brakes_by_state ON brakes (state, business_id);

-- Every change of a brake, with who lifted it and why; append-only.
CREATE TABLE brake_changes (
    id          TEXT NOT NULL PRIMARY KEY,
    business_id TEXT NOT NULL,
    kind        TEXT NOT NULL,
    state       TEXT NOT NULL,
    sent        INTEGER NOT NULL,
    returned    INTEGER NOT NULL,
    changed_at  INTEGER NOT NULL,
    -- None: the program, by the rates.
    changed_by  TEXT,
    reason      TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX brake_changes_by_business ON brake_changes (business_id, id);
