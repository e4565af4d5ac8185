-- Suppressions: several reasons for one address, opt-outs of one contact type, an end, a history of
-- what was taken off the list. Paired with the file of the same name for PostgreSQL.

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
    reason          TEXT NOT NULL CHECK (reason IN ('bounce', 'unregistered', 'complaint', 'stop', 'staff', 'unsubscribe')),
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
CREATE INDEX suppressions_by_business ON suppressions (business_id, id DESC);
CREATE INDEX suppressions_by_method ON suppressions (business_id, method, id DESC);

INSERT INTO suppressions (id, business_id, method, address, contact_type, reason, source, notification_id, note, created_at)
SELECT lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-a'
             || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6))),
       business_id, method, CASE method WHEN 'email' THEN lower(address) ELSE address END, '',
       CASE WHEN reason IN ('bounce', 'unregistered', 'complaint', 'stop', 'unsubscribe') THEN reason ELSE 'staff' END,
       source, notification_id, reason, created_at
FROM suppressions_before WHERE method IN ('email', 'sms', 'push')
ON CONFLICT DO NOTHING;
DROP TABLE suppressions_before;

-- What was taken off the list, as it stood there, with who did it, when and why. Append-only.
CREATE TABLE lifted_suppressions (
    id              TEXT PRIMARY KEY,
    business_id     TEXT NOT NULL,
    method          TEXT NOT NULL,
    address         TEXT NOT NULL,
    contact_type    TEXT NOT NULL,
    reason          TEXT NOT NULL,
    source          TEXT NOT NULL,
    notification_id TEXT,
    staff_id        TEXT,
    note            TEXT,
    created_at      INTEGER NOT NULL,
    expires_at      INTEGER,
    lifted_at       INTEGER NOT NULL,
    -- Who took it off: staff, application, recipient, a provider that took its word back, or expiry.
    lifted_source   TEXT NOT NULL,
    lifted_staff_id TEXT,
    lifted_note     TEXT
) STRICT;
CREATE INDEX lifted_suppressions_by_business ON lifted_suppressions (business_id, id DESC);
CREATE INDEX lifted_suppressions_by_address ON lifted_suppressions (business_id, address, id DESC);

-- Keys that processes share and that no setting gave them.
CREATE TABLE secrets (
    name       TEXT PRIMARY KEY,
    value      TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
