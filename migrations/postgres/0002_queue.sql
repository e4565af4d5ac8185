-- The queue, shared between businesses; leases without clocks; what waits for a person's decision.

ALTER TABLE jobs
    ADD COLUMN business_id text COLLATE "C",
    ADD COLUMN ready boolean,
    ADD COLUMN bytes bigint;
UPDATE jobs
SET business_id = l.business_id,
    ready = jobs.attempts = 0 AND l.send_at IS NULL,
    bytes = coalesce((SELECT coalesce(octet_length(m.text), 0) + coalesce(octet_length(m.html), 0)
                      FROM message_content m WHERE m.id = l.content_id), 0)
FROM contact_log l
WHERE l.id = jobs.id;
ALTER TABLE jobs
    ALTER COLUMN business_id SET NOT NULL,
    ALTER COLUMN ready SET NOT NULL,
    ALTER COLUMN bytes SET NOT NULL;
DROP INDEX jobs_due;
CREATE INDEX jobs_ready ON jobs (method, lane, business_id, due_at, id) WHERE ready;
CREATE INDEX jobs_later ON jobs (due_at, id) WHERE NOT ready;
COMMENT ON COLUMN jobs.business_id IS 'Whose turn it is: businesses share each claim of a lane.';
COMMENT ON COLUMN jobs.ready IS 'It may be claimed. What is due at once is ready from the start, whatever the clocks say; the rest once due_at has come.';
COMMENT ON COLUMN jobs.bytes IS 'How much content a claim of it loads.';

-- A lease that was compared with a clock could be ended by setting that clock.
ALTER TABLE claims
    DROP COLUMN lease_until,
    ADD COLUMN beats bigint NOT NULL DEFAULT 0,
    ADD COLUMN lease_ms bigint NOT NULL DEFAULT 30000;
ALTER TABLE claims ALTER COLUMN beats DROP DEFAULT, ALTER COLUMN lease_ms DROP DEFAULT;
COMMENT ON COLUMN claims.beats IS 'The worker''s heartbeats: a claim on which a watcher has seen none for the length of its lease is a dead worker''s.';
COMMENT ON COLUMN claims.lease_ms IS 'The length of its lease in milliseconds.';

CREATE TABLE held_jobs (
    id          uuid PRIMARY KEY,
    business_id text COLLATE "C" NOT NULL,
    method      text NOT NULL,
    lane        bigint NOT NULL,
    attempts    bigint NOT NULL,
    failures    bigint NOT NULL,
    held_at     timestamptz NOT NULL
);
CREATE INDEX held_jobs_by_business ON held_jobs (business_id, id DESC);
COMMENT ON TABLE held_jobs IS 'Notifications whose last attempt may or may not have sent them, out of the queue until a person decides or feedback shows that they went.';

ALTER TABLE delivery_attempts ADD COLUMN cause text;
COMMENT ON COLUMN delivery_attempts.cause IS 'Who asked us to try later, where that was the outcome: recipient (its mailbox or server, through a provider that is well) or provider.';
