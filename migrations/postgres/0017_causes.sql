-- Failures grouped by cause. Empty tables: nothing here waits for, or goes through, what is there; entries
-- from before are taken in afterwards, a batch at a time.

CREATE TABLE failure_causes (
    id           uuid PRIMARY KEY,
    business_id  text NOT NULL,
    method       text NOT NULL,
    provider     text,
    bounced      boolean NOT NULL,
    category     text NOT NULL,
    code         text,
    text         text NOT NULL,
    first_at     timestamptz NOT NULL,
    dismissed_at timestamptz,
    dismissed_by text
);
CREATE INDEX failure_causes_by_business ON failure_causes (business_id, id);
COMMENT ON TABLE failure_causes IS 'Causes of failures: what messages that did not arrive have in common. A row is written once; only its dismissal changes.';
COMMENT ON COLUMN failure_causes.id IS 'From the digest of the columns up to text: every process gives a cause the same id.';
COMMENT ON COLUMN failure_causes.provider IS 'None: no provider was asked.';
COMMENT ON COLUMN failure_causes.bounced IS 'It came back after a provider had taken it over.';
COMMENT ON COLUMN failure_causes.text IS 'The provider''s words, with placeholders for all that belongs to one message.';
COMMENT ON COLUMN failure_causes.first_at IS 'When it was first seen.';
COMMENT ON COLUMN failure_causes.dismissed_at IS 'Until a failure after it opens the cause again.';

CREATE TABLE cause_entries (
    cause_id        uuid NOT NULL,
    notification_id uuid NOT NULL,
    at              timestamptz NOT NULL,
    arrived_at      timestamptz,
    sent_again_at   timestamptz,
    PRIMARY KEY (cause_id, notification_id)
) WITH (fillfactor = 90);
CREATE INDEX cause_entries_by_notification ON cause_entries (notification_id);
COMMENT ON TABLE cause_entries IS 'The messages of each cause: what a group lists and sends again.';
COMMENT ON COLUMN cause_entries.at IS 'When it failed.';
COMMENT ON COLUMN cause_entries.arrived_at IS 'When something showed that it arrived nevertheless.';
COMMENT ON COLUMN cause_entries.sent_again_at IS 'When it was sent again.';

CREATE TABLE cause_counts (
    business_id text NOT NULL,
    hour        bigint NOT NULL,
    cause_id    uuid NOT NULL,
    failed      bigint NOT NULL,
    resolved    bigint NOT NULL,
    first_at    timestamptz NOT NULL,
    last_at     timestamptz NOT NULL,
    PRIMARY KEY (business_id, hour, cause_id)
) WITH (fillfactor = 50);
CREATE INDEX cause_counts_by_cause ON cause_counts (cause_id, hour);
COMMENT ON TABLE cause_counts IS 'How many messages failed of each cause in each hour.';
COMMENT ON COLUMN cause_counts.hour IS 'Whole hours since 1970, UTC.';
COMMENT ON COLUMN cause_counts.resolved IS 'Those of them that arrived nevertheless, or were sent again.';

CREATE TABLE resent_marks (
    id        uuid PRIMARY KEY,
    resend_of uuid NOT NULL
);
COMMENT ON TABLE resent_marks IS 'Entries that were just sent again, until their causes know; written by enqueues, which so wait for nobody.';
COMMENT ON COLUMN resent_marks.id IS 'The new entry.';

CREATE TABLE cause_actions (
    id          uuid PRIMARY KEY,
    business_id text NOT NULL,
    cause_id    uuid NOT NULL,
    at          timestamptz NOT NULL,
    by_whom     text NOT NULL,
    action      text NOT NULL CHECK (action IN ('dismissed', 'resent')),
    note        text,
    run_id      uuid
);
CREATE INDEX cause_actions_by_cause ON cause_actions (cause_id, id DESC);
COMMENT ON TABLE cause_actions IS 'What people did about causes; append-only.';
COMMENT ON COLUMN cause_actions.by_whom IS 'The name of the member of staff, or of the API key, or the command line.';
COMMENT ON COLUMN cause_actions.run_id IS 'The run that sends again (resend_runs.id).';

CREATE TABLE cause_past (
    one         bigint PRIMARY KEY CHECK (one = 1),
    reached     uuid NOT NULL,
    finished_at timestamptz
);
COMMENT ON TABLE cause_past IS 'How far entries from before these tables were taken in, from the newest on. One row.';
INSERT INTO cause_past (one, reached) VALUES (1, 'ffffffff-ffff-ffff-ffff-ffffffffffff');
