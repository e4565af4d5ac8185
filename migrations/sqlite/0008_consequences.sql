-- What follows from feedback: a reason more on the suppression list, messages that came back again and
-- again, each for the moment; and alarms, where none comes any more.
-- Paired with the file of the same name for PostgreSQL.

ALTER TABLE suppressions RENAME TO suppressions_before;

-- Addresses that must not be written to, and why. What is taken off goes to lifted_suppressions.
CREATE TABLE suppressions (
    -- UUIDv7: order by id is order by date.
    id              TEXT PRIMARY KEY,
    business_id     TEXT NOT NULL REFERENCES businesses (id),
    method          TEXT NOT NULL CHECK (method IN ('email', 'sms', 'push')),
    -- In the form in which addresses are compared: an email address in small letters.
    address         TEXT NOT NULL,
    -- Empty: every message by this method, or, where the reason is unsubscribe, every bulk message.
    contact_type    TEXT NOT NULL,
    reason          TEXT NOT NULL CHECK (reason IN ('bounce', 'unregistered', 'complaint', 'soft_bounce', 'stop', 'staff', 'unsubscribe')),
    -- Who said so: a provider, staff, application, or the recipient by the link in a message.
    source          TEXT NOT NULL,
    -- The message that taught us.
    notification_id TEXT,
    staff_id        TEXT,
    note            TEXT,
    created_at      INTEGER NOT NULL,
    -- It holds until then; none: until it is taken off the list.
    expires_at      INTEGER,
    UNIQUE (business_id, method, address, contact_type, reason)
) STRICT;

INSERT INTO suppressions (id, business_id, method, address, contact_type, reason, source, notification_id, staff_id, note, created_at, expires_at)
SELECT id, business_id, method, address, contact_type, reason, source, notification_id, staff_id, note, created_at, expires_at
FROM suppressions_before ORDER BY id;
DROP TABLE suppressions_before;
CREATE INDEX suppressions_by_business ON suppressions (business_id, id DESC);
CREATE INDEX suppressions_by_method ON suppressions (business_id, method, id DESC);

-- What an operator should look at, raised again for as long as it lasts.
CREATE TABLE alarms (
    name      TEXT NOT NULL,
    -- What it is about: a topic, a provider.
    subject   TEXT NOT NULL,
    raised_at INTEGER NOT NULL,
    seen_at   INTEGER NOT NULL,
    PRIMARY KEY (name, subject)
) STRICT, WITHOUT ROWID;
