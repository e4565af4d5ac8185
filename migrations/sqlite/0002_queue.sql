-- The queue, shared between businesses; leases without clocks; what waits for a person's decision.

-- Work that waits, one short row per notification; gone when it is claimed or done.
CREATE TABLE jobs_2 (
    id          TEXT PRIMARY KEY,
    -- Whose turn it is: businesses share each claim of a lane.
    business_id TEXT NOT NULL,
    method      TEXT NOT NULL,
    -- 0 high, 1 normal, 2 bulk.
    lane        INTEGER NOT NULL,
    due_at      INTEGER NOT NULL,
    -- It may be claimed. What is due at once is ready from the start, whatever the clocks say; the
    -- rest once due_at has come.
    ready       INTEGER NOT NULL,
    -- Attempts made so far.
    attempts    INTEGER NOT NULL,
    -- Attempts that count against the limit: throttling and broken credentials do not.
    failures    INTEGER NOT NULL,
    -- How much content a claim of it loads.
    bytes       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO jobs_2 (id, business_id, method, lane, due_at, ready, attempts, failures, bytes)
SELECT j.id, l.business_id, j.method, j.lane, j.due_at, j.attempts = 0 AND l.send_at IS NULL,
       j.attempts, j.failures,
       coalesce((SELECT coalesce(octet_length(m.text), 0) + coalesce(octet_length(m.html), 0)
                 FROM message_content m WHERE m.id = l.content_id), 0)
FROM jobs j JOIN contact_log l ON l.id = j.id;
DROP TABLE jobs;
ALTER TABLE jobs_2 RENAME TO jobs;
CREATE INDEX jobs_ready ON jobs (method, lane, business_id, due_at, id) WHERE ready;
CREATE INDEX jobs_later ON jobs (due_at, id) WHERE NOT ready;

-- A lease that was compared with a clock could be ended by setting that clock.
-- One row per batch in a worker's hands: the fencing token, and the record of its attempts before any provider is called.
CREATE TABLE claims_2 (
    id         TEXT PRIMARY KEY,
    worker     TEXT NOT NULL,
    provider   TEXT NOT NULL,
    claimed_at INTEGER NOT NULL,
    -- The worker's heartbeats: a claim on which a watcher has seen none for the length of its lease
    -- is a dead worker's.
    beats      INTEGER NOT NULL,
    -- The length of its lease in milliseconds.
    lease_ms   INTEGER NOT NULL,
    -- The claimed job rows: [id, method, lane, attempts, failures] each.
    jobs       TEXT NOT NULL
) STRICT;
INSERT INTO claims_2 (id, worker, provider, claimed_at, beats, lease_ms, jobs)
SELECT id, worker, provider, claimed_at, 0, 30000, jobs FROM claims;
DROP TABLE claims;
ALTER TABLE claims_2 RENAME TO claims;

-- Notifications whose last attempt may or may not have sent them, out of the queue until a person decides or feedback shows that they went.
CREATE TABLE held_jobs (
    id          TEXT PRIMARY KEY,
    business_id TEXT NOT NULL,
    method      TEXT NOT NULL,
    lane        INTEGER NOT NULL,
    attempts    INTEGER NOT NULL,
    failures    INTEGER NOT NULL,
    held_at     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX held_jobs_by_business ON held_jobs (business_id, id DESC);

-- Who asked us to try later, where that was the outcome: recipient (its mailbox or server, through a
-- provider that is well) or provider.
ALTER TABLE delivery_attempts ADD COLUMN cause TEXT;
