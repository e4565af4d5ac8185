-- What follows from feedback: a reason more on the suppression list, messages that came back again and
-- again, each for the moment; and alarms, where none comes any more.
-- Paired with the file of the same name for SQLite.

ALTER TABLE suppressions DROP CONSTRAINT suppressions_reason_check;
ALTER TABLE suppressions
    ADD CONSTRAINT suppressions_reason_check
    CHECK (reason IN ('bounce', 'unregistered', 'complaint', 'soft_bounce', 'stop', 'staff', 'unsubscribe'));

CREATE TABLE alarms (
    name      text NOT NULL,
    subject   text NOT NULL,
    raised_at timestamptz NOT NULL,
    seen_at   timestamptz NOT NULL,
    PRIMARY KEY (name, subject)
);
COMMENT ON TABLE alarms IS 'What an operator should look at, raised again for as long as it lasts.';
COMMENT ON COLUMN alarms.subject IS 'What it is about: a topic, a provider.';
