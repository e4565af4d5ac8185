-- The first schema. Paired with the file of the same name for PostgreSQL: same tables, same columns.
-- Ids are hyphenated text, times whole milliseconds since 1970 (UTC), JSON is text.
-- The hot tables carry no foreign keys: every row is written in the transaction that writes its
-- parent, nothing is deleted, and each key would cost a lock on the parent per row.

-- Tenants. A fresh install has one, default.
CREATE TABLE businesses (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

-- Client cards. Made by themselves for each new client (V1).
CREATE TABLE clients (
    -- Our own key, in every table that refers to a client.
    uid            TEXT PRIMARY KEY,
    business_id    TEXT NOT NULL REFERENCES businesses (id),
    -- The id that the application uses; unique in its business.
    client_id      TEXT NOT NULL,
    name           TEXT,
    email          TEXT,
    phone          TEXT,
    created_at     INTEGER NOT NULL,
    deactivated_at INTEGER,
    UNIQUE (business_id, client_id)
) STRICT;

-- Staff members. One that an application names first gets its id as name.
CREATE TABLE staff (
    business_id    TEXT NOT NULL REFERENCES businesses (id),
    staff_id       TEXT NOT NULL,
    name           TEXT NOT NULL,
    email          TEXT,
    created_at     INTEGER NOT NULL,
    deactivated_at INTEGER,
    PRIMARY KEY (business_id, staff_id)
) STRICT;

-- Contact types: the five of every business and its own (W5).
CREATE TABLE contact_types (
    business_id TEXT NOT NULL REFERENCES businesses (id),
    name        TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    PRIMARY KEY (business_id, name)
) STRICT;

-- One line per contact; written once, never updated by delivery, never deleted (M8).
CREATE TABLE contact_log (
    -- UUIDv7 that carries the date: order by id is order by date.
    id           TEXT PRIMARY KEY,
    business_id  TEXT NOT NULL,
    client_uid   TEXT NOT NULL,
    date         INTEGER NOT NULL,
    method       TEXT NOT NULL CHECK (method IN ('email', 'sms', 'push', 'in_person', 'mail', 'phone')),
    channel      TEXT NOT NULL CHECK (channel IN ('Inbound', 'Outbound')),
    -- The name of the notification.
    type         TEXT NOT NULL,
    contact_type TEXT NOT NULL,
    -- Who sent it or made the contact; none: Automated, or No Staff when manual (W3).
    staff_id     TEXT,
    manual       INTEGER NOT NULL CHECK (manual IN (0, 1)),
    address      TEXT,
    description  TEXT,
    -- The content that was sent (message_content.id); a resend shares that of the first.
    content_id   TEXT,
    resend_of    TEXT,
    priority     TEXT NOT NULL CHECK (priority IN ('high', 'normal', 'bulk')),
    send_at      INTEGER,
    expires_at   INTEGER,
    metadata     TEXT,
    CHECK (manual OR method IN ('email', 'sms', 'push'))
) STRICT;
CREATE INDEX contact_log_by_client ON contact_log (client_uid, id DESC);
CREATE INDEX contact_log_by_business ON contact_log (business_id, id DESC);

-- What was sent, frozen at enqueue. For push, subject is the title.
CREATE TABLE message_content (
    id      TEXT PRIMARY KEY,
    subject TEXT,
    text    TEXT,
    html    TEXT,
    data    TEXT
) STRICT;

-- Keys that applications gave with their notifications: each enqueues once.
CREATE TABLE idempotency_keys (
    business_id     TEXT NOT NULL,
    key             TEXT NOT NULL,
    -- The first 128 bits of the SHA-256 of the request: same key and same body is a repetition, same key and other body a conflict.
    body_digest     TEXT NOT NULL,
    notification_id TEXT NOT NULL,
    created_at      INTEGER NOT NULL,
    PRIMARY KEY (business_id, key)
) STRICT, WITHOUT ROWID;

-- Work that waits, one short row per notification; gone when it is claimed or done.
CREATE TABLE jobs (
    id       TEXT PRIMARY KEY,
    method   TEXT NOT NULL,
    -- 0 high, 1 normal, 2 bulk.
    lane     INTEGER NOT NULL,
    due_at   INTEGER NOT NULL,
    -- Attempts made so far.
    attempts INTEGER NOT NULL,
    -- Attempts that count against the limit: throttling and broken credentials do not.
    failures INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX jobs_due ON jobs (method, lane, due_at, id);

-- One row per batch in a worker's hands: the fencing token, and the record of its attempts before any provider is called.
CREATE TABLE claims (
    id          TEXT PRIMARY KEY,
    worker      TEXT NOT NULL,
    provider    TEXT NOT NULL,
    claimed_at  INTEGER NOT NULL,
    lease_until INTEGER NOT NULL,
    -- The claimed job rows: [id, method, lane, attempts, failures] each.
    jobs        TEXT NOT NULL
) STRICT;

-- How each attempt to send ended; append-only.
CREATE TABLE delivery_attempts (
    notification_id TEXT NOT NULL,
    attempt         INTEGER NOT NULL,
    provider        TEXT NOT NULL,
    started_at      INTEGER NOT NULL,
    finished_at     INTEGER NOT NULL,
    outcome         TEXT NOT NULL CHECK (outcome IN ('accepted', 'rejected', 'try_later', 'throttled', 'broken', 'unknown')),
    code            TEXT,
    text            TEXT,
    -- When the next attempt is due; none when there will be none.
    next_at         INTEGER,
    PRIMARY KEY (notification_id, attempt)
) STRICT, WITHOUT ROWID;

-- The ledger: everything that happened to a notification; append-only, each happening once.
CREATE TABLE delivery_events (
    notification_id TEXT NOT NULL,
    -- Identifies the happening, not the envelope that told of it.
    event_key       TEXT NOT NULL,
    kind            TEXT NOT NULL,
    occurred_at     INTEGER NOT NULL,
    recorded_at     INTEGER NOT NULL,
    source          TEXT NOT NULL,
    detail          TEXT NOT NULL,
    PRIMARY KEY (notification_id, event_key)
) STRICT, WITHOUT ROWID;

-- The fold of the ledger, one narrow row per notification; made with its first event, absent before.
CREATE TABLE delivery_facts (
    notification_id     TEXT PRIMARY KEY,
    sent_at             INTEGER,
    sent_key            TEXT,
    provider            TEXT,
    provider_message_id TEXT,
    opens_tracked       INTEGER NOT NULL CHECK (opens_tracked IN (0, 1)),
    failed_at           INTEGER,
    failed_key          TEXT,
    failed_category     TEXT,
    failed_code         TEXT,
    failed_text         TEXT,
    delivered_at        INTEGER,
    delayed_at          INTEGER,
    delayed_key         TEXT,
    delayed_type        TEXT,
    bounced_at          INTEGER,
    bounced_key         TEXT,
    bounced_severity    TEXT,
    bounced_category    TEXT,
    bounced_subtype     TEXT,
    bounced_status      TEXT,
    bounced_text        TEXT,
    complained_at       INTEGER,
    complained_key      TEXT,
    complained_type     TEXT,
    opened_first_at     INTEGER,
    opened_last_at      INTEGER,
    opened_count        INTEGER NOT NULL,
    opened_by_person_at INTEGER,
    clicked_first_at    INTEGER,
    clicked_last_at     INTEGER,
    clicked_count       INTEGER NOT NULL,
    unsubscribed_at     INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX delivery_facts_by_provider_message_id ON delivery_facts (provider_message_id)
    WHERE provider_message_id IS NOT NULL;

-- Events of messages that are not known yet; applied as soon as a send names them.
CREATE TABLE unmatched_events (
    event_key           TEXT PRIMARY KEY,
    notification_id     TEXT,
    provider_message_id TEXT,
    kind                TEXT NOT NULL,
    occurred_at         INTEGER NOT NULL,
    recorded_at         INTEGER NOT NULL,
    source              TEXT NOT NULL,
    detail              TEXT NOT NULL
) STRICT;
CREATE INDEX unmatched_events_by_provider_message_id ON unmatched_events (provider_message_id);
CREATE INDEX unmatched_events_by_notification ON unmatched_events (notification_id);

-- Every verified feedback message as it came, kept before it is applied.
CREATE TABLE feedback_inbox (
    id          TEXT PRIMARY KEY,
    source      TEXT NOT NULL,
    message_id  TEXT NOT NULL,
    topic       TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    -- What was found in it; unparsable and unknown kinds are kept as well.
    kind        TEXT NOT NULL,
    body        TEXT NOT NULL,
    UNIQUE (source, message_id)
) STRICT;

-- What applications sign in with.
CREATE TABLE api_keys (
    id          TEXT PRIMARY KEY,
    business_id TEXT NOT NULL REFERENCES businesses (id),
    name        TEXT NOT NULL,
    -- SHA-256 of the key in hexadecimal; the key itself is not kept.
    digest      TEXT NOT NULL UNIQUE,
    -- enqueue, read, admin, separated by commas.
    scopes      TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER,
    revoked_at  INTEGER
) STRICT;

-- Addresses that must not be written to, and why.
CREATE TABLE suppressions (
    business_id     TEXT NOT NULL REFERENCES businesses (id),
    method          TEXT NOT NULL,
    address         TEXT NOT NULL,
    reason          TEXT NOT NULL,
    source          TEXT NOT NULL,
    notification_id TEXT,
    created_at      INTEGER NOT NULL,
    PRIMARY KEY (business_id, method, address)
) STRICT;

-- The contact history as staff read it (W2). status lists every status that holds, the earlier first; none for manual entries.
CREATE VIEW contact_history AS
SELECT l.id,
       l.business_id,
       l.client_uid,
       c.client_id,
       c.name AS client_name,
       strftime('%Y-%m-%dT%H:%M:%fZ', l.date / 1000.0, 'unixepoch') AS date,
       CASE WHEN l.staff_id IS NOT NULL THEN coalesce(s.name, l.staff_id)
            WHEN l.manual THEN 'No Staff'
            ELSE 'Automated' END AS "user",
       CASE l.method WHEN 'email' THEN 'Email' WHEN 'sms' THEN 'SMS' WHEN 'push' THEN 'Push'
                     WHEN 'in_person' THEN 'In Person' WHEN 'mail' THEN 'Mail' ELSE 'Phone' END
           AS contact_method,
       l.type,
       l.contact_type,
       CASE WHEN l.manual THEN NULL
            WHEN coalesce(f.delivered_at, f.opened_first_at, f.clicked_first_at, f.complained_at, f.bounced_at) IS NULL
                THEN CASE WHEN f.failed_at IS NOT NULL THEN 'Failed'
                          WHEN f.sent_at IS NOT NULL THEN 'Sent'
                          ELSE 'Awaiting Send' END
            WHEN l.method = 'push' THEN 'Sent'
            WHEN l.method = 'sms'
                THEN CASE WHEN coalesce(f.opened_first_at, f.clicked_first_at) IS NOT NULL THEN 'Opened'
                          WHEN f.delivered_at IS NOT NULL THEN 'Unopened'
                          ELSE 'Sent' END
            WHEN f.bounced_at IS NOT NULL AND coalesce(f.opened_first_at, f.clicked_first_at) IS NOT NULL
                THEN CASE WHEN coalesce(f.opened_first_at, f.clicked_first_at) <= f.bounced_at
                          THEN 'Opened, Bounced' ELSE 'Bounced, Opened' END
            WHEN f.bounced_at IS NOT NULL THEN 'Bounced'
            WHEN coalesce(f.opened_first_at, f.clicked_first_at) IS NOT NULL THEN 'Opened'
            WHEN f.delivered_at IS NOT NULL AND f.opens_tracked THEN 'Unopened'
            ELSE 'Sent' END AS status,
       l.channel,
       l.address,
       l.description,
       l.method,
       l.staff_id,
       l.resend_of
FROM contact_log l
JOIN clients c ON c.uid = l.client_uid
LEFT JOIN staff s ON s.business_id = l.business_id AND s.staff_id = l.staff_id
LEFT JOIN delivery_facts f ON f.notification_id = l.id;

INSERT INTO businesses (id, name, created_at) VALUES ('default', 'Default', unixepoch() * 1000);
INSERT INTO contact_types (business_id, name, created_at)
SELECT 'default', t.name, unixepoch() * 1000
FROM (SELECT column1 AS name
      FROM (VALUES ('Client Notifications'), ('Staff Notifications'), ('Automated Marketing'),
                   ('Message Center'), ('Admin Business'))) AS t;
