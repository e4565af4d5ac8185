-- What flows, counted; and the brakes of a business whose mail comes back too often.
-- Paired with the file of the same name for SQLite.

CREATE TABLE flow_increments (
    id          uuid PRIMARY KEY,
    business_id text NOT NULL,
    at          timestamptz NOT NULL,
    kind        text NOT NULL,
    method      text NOT NULL,
    subject     text NOT NULL,
    bucket      bigint NOT NULL,
    amount      bigint NOT NULL
);
CREATE INDEX flow_increments_by_business ON flow_increments (business_id, at);
COMMENT ON TABLE flow_increments IS 'Counts that are not in flow_counts yet, written in the commit of what they count; folded within seconds.';
COMMENT ON COLUMN flow_increments.at IS 'The minute in which it was recorded.';

CREATE TABLE flow_counts (
    step_seconds bigint NOT NULL CHECK (step_seconds IN (60, 3600, 86400)),
    business_id  text COLLATE "C" NOT NULL,
    at           timestamptz NOT NULL,
    kind         text COLLATE "C" NOT NULL,
    method       text COLLATE "C" NOT NULL,
    subject      text COLLATE "C" NOT NULL,
    bucket       bigint NOT NULL,
    amount       bigint NOT NULL,
    PRIMARY KEY (step_seconds, business_id, at, kind, method, subject, bucket)
) WITH (fillfactor = 70);
CREATE INDEX flow_counts_old ON flow_counts (step_seconds, at);
-- Two, because SQLite does not match a list with the list of an index; and each begins with its kind,
-- by which SQLite prefers it.
CREATE INDEX flow_counts_bounced ON flow_counts (kind, at, business_id)
    WHERE step_seconds = 3600 AND method = 'email' AND kind = 'bounced_for_good';
CREATE INDEX flow_counts_complained ON flow_counts (kind, at, business_id)
    WHERE step_seconds = 3600 AND method = 'email' AND kind = 'complained';
COMMENT ON TABLE flow_counts IS 'How much happened, by minute (kept for 2 days), hour (100 days) and day (UTC). What flow_increments holds comes on top.';
COMMENT ON COLUMN flow_counts.business_id IS 'Empty: of the whole installation (feedback messages).';
COMMENT ON COLUMN flow_counts.at IS 'The beginning of the step in which it was recorded.';
COMMENT ON COLUMN flow_counts.kind IS 'A notification counts once in each: enqueued, sent, failed, bounced, bounced_for_good, delivered, opened, clicked, complained, unsubscribed. Messages of feedback: feedback_applied, feedback_unmatched, feedback_noted, feedback_duplicate, feedback_refused.';
COMMENT ON COLUMN flow_counts.subject IS 'The provider; of feedback where it came from, of refused feedback the reason.';
COMMENT ON COLUMN flow_counts.bucket IS 'How long it took, for sent and delivered since the message was due, for bounces and complaints since it was sent: 1 up to 50 ms, each next one up to twice as long, 26 all that is longer; 0 no time is known.';

-- What is enqueued by SQL counts as what is enqueued by the API does.
ALTER FUNCTION sendtrail_admit(jsonb[], text[], text, timestamptz) RENAME TO sendtrail_admit_uncounted;
CREATE FUNCTION sendtrail_admit(asked jsonb[], pointers text[], business text, instant timestamptz) RETURNS jsonb[]
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    answers CONSTANT jsonb[] := sendtrail_admit_uncounted(asked, pointers, business, instant);
BEGIN
    INSERT INTO flow_increments (id, business_id, at, kind, method, subject, bucket, amount)
    SELECT sendtrail_uuid(instant, (row_number() OVER ())::integer), business, date_trunc('minute', instant),
        'enqueued', n.method, '', 0, n.amount
    FROM (SELECT s.one ->> 'method' AS method, count(*) AS amount FROM unnest(asked, answers) AS s (one, answer)
          WHERE NOT (s.answer ->> 'duplicate')::boolean GROUP BY 1) AS n;
    RETURN answers;
END
$$;
REVOKE ALL ON FUNCTION sendtrail_admit(jsonb[], text[], text, timestamptz) FROM PUBLIC;

CREATE TABLE brakes (
    business_id  text NOT NULL,
    kind         text NOT NULL CHECK (kind IN ('bounce', 'complaint')),
    state        text NOT NULL CHECK (state IN ('ok', 'warned', 'held')),
    sent         bigint NOT NULL,
    returned     bigint NOT NULL,
    why          text NOT NULL,
    changed_at   timestamptz NOT NULL,
    counted_from timestamptz,
    PRIMARY KEY (business_id, kind)
);
CREATE INDEX brakes_by_state ON brakes (state, business_id);
COMMENT ON TABLE brakes IS 'Whose bulk email is held, because too much of its email comes back; warned before.';
COMMENT ON COLUMN brakes.sent IS 'Emails of the last day when the state changed, and in returned those that bounced for good or were complained about.';
COMMENT ON COLUMN brakes.why IS 'The same in words, for staff.';
COMMENT ON COLUMN brakes.counted_from IS 'It was lifted then: what was sent before does not count any more.';

CREATE TABLE brake_changes (
    id          uuid PRIMARY KEY,
    business_id text NOT NULL,
    kind        text NOT NULL,
    state       text NOT NULL,
    sent        bigint NOT NULL,
    returned    bigint NOT NULL,
    changed_at  timestamptz NOT NULL,
    changed_by  text,
    reason      text NOT NULL
);
CREATE INDEX brake_changes_by_business ON brake_changes (business_id, id);
COMMENT ON TABLE brake_changes IS 'Every change of a brake, with who lifted it and why; append-only.';
COMMENT ON COLUMN brake_changes.changed_by IS 'None: the program, by the rates.';
