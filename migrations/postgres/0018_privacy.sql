-- Retention, erasure and holds. Paired with the file of the same name for SQLite.

ALTER TABLE clients ADD COLUMN erased_at timestamptz;
ALTER TABLE clients ADD COLUMN hold boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN clients.erased_at IS 'Since when nothing personal is kept of the client: what comes in later is kept without it as well.';
COMMENT ON COLUMN clients.hold IS 'The law wants it kept: retention passes the client by, and it cannot be erased.';

CREATE TABLE erasures (
    id          uuid PRIMARY KEY,
    business_id text NOT NULL,
    client_uid  uuid NOT NULL,
    asked_by    text NOT NULL,
    reason      text,
    asked_at    timestamptz NOT NULL,
    round       bigint NOT NULL,
    step        text NOT NULL,
    reached     jsonb NOT NULL,
    traces      jsonb,
    entries     bigint NOT NULL,
    due_at      timestamptz,
    finished_at timestamptz
);
CREATE INDEX erasures_open ON erasures (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX erasures_by_business ON erasures (business_id, id DESC);
COMMENT ON TABLE erasures IS 'Clients whose personal data was taken away: who asked for it, when, why, and how far it has come.';
COMMENT ON COLUMN erasures.round IS 'It is gone through twice: the second time for what was under way when it began.';
COMMENT ON COLUMN erasures.step IS 'The part that is at work.';
COMMENT ON COLUMN erasures.reached IS 'The last row of that part that was dealt with.';
COMMENT ON COLUMN erasures.traces IS 'The names and addresses that are looked for in what names no client; none once it is finished.';
COMMENT ON COLUMN erasures.due_at IS 'From when on it is worked at; none: it is finished.';

CREATE TABLE content_deletions (
    before_at  timestamptz PRIMARY KEY,
    deleted_at timestamptz NOT NULL,
    days       bigint NOT NULL
);
COMMENT ON TABLE content_deletions IS 'How far retention has come: the content of entries from before that time was deleted, and when.';
COMMENT ON COLUMN content_deletions.days IS 'The period that was set then (retention.content_days).';

-- Of one client.
CREATE INDEX follow_up_tasks_by_client ON follow_up_tasks (client_uid, id);
