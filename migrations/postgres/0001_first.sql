-- The first schema. Paired with the file of the same name for SQLite: same tables, same columns.
-- The hot tables carry no foreign keys: every row is written in the transaction that writes its
-- parent, nothing is deleted, and each key would cost a lock on the parent per row.

CREATE TABLE businesses (
    id         text PRIMARY KEY,
    name       text NOT NULL,
    created_at timestamptz NOT NULL
);
COMMENT ON TABLE businesses IS 'Tenants. A fresh install has one, default.';

CREATE TABLE clients (
    uid            uuid PRIMARY KEY,
    business_id    text NOT NULL REFERENCES businesses (id),
    client_id      text NOT NULL,
    name           text,
    email          text,
    phone          text,
    created_at     timestamptz NOT NULL,
    deactivated_at timestamptz,
    UNIQUE (business_id, client_id)
);
COMMENT ON TABLE clients IS 'Client cards. Made by themselves for each new client (V1).';
COMMENT ON COLUMN clients.uid IS 'Our own key, in every table that refers to a client.';
COMMENT ON COLUMN clients.client_id IS 'The id that the application uses; unique in its business.';

CREATE TABLE staff (
    business_id    text NOT NULL REFERENCES businesses (id),
    staff_id       text NOT NULL,
    name           text NOT NULL,
    email          text,
    created_at     timestamptz NOT NULL,
    deactivated_at timestamptz,
    PRIMARY KEY (business_id, staff_id)
);
COMMENT ON TABLE staff IS 'Staff members. One that an application names first gets its id as name.';

CREATE TABLE contact_types (
    business_id text NOT NULL REFERENCES businesses (id),
    name        text NOT NULL,
    created_at  timestamptz NOT NULL,
    PRIMARY KEY (business_id, name)
);
COMMENT ON TABLE contact_types IS 'Contact types: the five of every business and its own (W5).';

CREATE TABLE contact_log (
    id           uuid PRIMARY KEY,
    business_id  text NOT NULL,
    client_uid   uuid NOT NULL,
    date         timestamptz NOT NULL,
    method       text NOT NULL CHECK (method IN ('email', 'sms', 'push', 'in_person', 'mail', 'phone')),
    channel      text NOT NULL CHECK (channel IN ('Inbound', 'Outbound')),
    type         text NOT NULL,
    contact_type text NOT NULL,
    staff_id     text,
    manual       boolean NOT NULL,
    address      text,
    description  text,
    content_id   uuid,
    resend_of    uuid,
    priority     text NOT NULL CHECK (priority IN ('high', 'normal', 'bulk')),
    send_at      timestamptz,
    expires_at   timestamptz,
    metadata     jsonb,
    CHECK (manual OR method IN ('email', 'sms', 'push'))
);
CREATE INDEX contact_log_by_client ON contact_log (client_uid, id DESC);
CREATE INDEX contact_log_by_business ON contact_log (business_id, id DESC);
COMMENT ON TABLE contact_log IS 'One line per contact; written once, never updated by delivery, never deleted (M8).';
COMMENT ON COLUMN contact_log.id IS 'UUIDv7 that carries the date: order by id is order by date.';
COMMENT ON COLUMN contact_log.type IS 'The name of the notification.';
COMMENT ON COLUMN contact_log.staff_id IS 'Who sent it or made the contact; none: Automated, or No Staff when manual (W3).';
COMMENT ON COLUMN contact_log.content_id IS 'The content that was sent (message_content.id); a resend shares that of the first.';

CREATE TABLE message_content (
    id      uuid PRIMARY KEY,
    subject text,
    text    text,
    html    text,
    data    jsonb
);
COMMENT ON TABLE message_content IS 'What was sent, frozen at enqueue. For push, subject is the title.';

CREATE TABLE idempotency_keys (
    business_id     text NOT NULL,
    key             text NOT NULL,
    body_digest     uuid NOT NULL,
    notification_id uuid NOT NULL,
    created_at      timestamptz NOT NULL,
    PRIMARY KEY (business_id, key)
);
COMMENT ON TABLE idempotency_keys IS 'Keys that applications gave with their notifications: each enqueues once.';
COMMENT ON COLUMN idempotency_keys.body_digest IS 'The first 128 bits of the SHA-256 of the request: same key and same body is a repetition, same key and other body a conflict.';

CREATE TABLE jobs (
    id       uuid PRIMARY KEY,
    method   text NOT NULL,
    lane     bigint NOT NULL,
    due_at   timestamptz NOT NULL,
    attempts bigint NOT NULL,
    failures bigint NOT NULL
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX jobs_due ON jobs (method, lane, due_at, id);
COMMENT ON TABLE jobs IS 'Work that waits, one short row per notification; gone when it is claimed or done.';
COMMENT ON COLUMN jobs.lane IS '0 high, 1 normal, 2 bulk.';
COMMENT ON COLUMN jobs.attempts IS 'Attempts made so far.';
COMMENT ON COLUMN jobs.failures IS 'Attempts that count against the limit: throttling and broken credentials do not.';

CREATE TABLE claims (
    id          uuid PRIMARY KEY,
    worker      text NOT NULL,
    provider    text NOT NULL,
    claimed_at  timestamptz NOT NULL,
    lease_until timestamptz NOT NULL,
    jobs        jsonb NOT NULL
);
COMMENT ON TABLE claims IS 'One row per batch in a worker''s hands: the fencing token, and the record of its attempts before any provider is called.';
COMMENT ON COLUMN claims.jobs IS 'The claimed job rows: [id, method, lane, attempts, failures] each.';

CREATE TABLE delivery_attempts (
    notification_id uuid NOT NULL,
    attempt         bigint NOT NULL,
    provider        text NOT NULL,
    started_at      timestamptz NOT NULL,
    finished_at     timestamptz NOT NULL,
    outcome         text NOT NULL CHECK (outcome IN ('accepted', 'rejected', 'try_later', 'throttled', 'broken', 'unknown')),
    code            text,
    text            text,
    next_at         timestamptz,
    PRIMARY KEY (notification_id, attempt)
);
COMMENT ON TABLE delivery_attempts IS 'How each attempt to send ended; append-only.';
COMMENT ON COLUMN delivery_attempts.next_at IS 'When the next attempt is due; none when there will be none.';

CREATE TABLE delivery_events (
    notification_id uuid NOT NULL,
    event_key       uuid NOT NULL,
    kind            text NOT NULL,
    occurred_at     timestamptz NOT NULL,
    recorded_at     timestamptz NOT NULL,
    source          text NOT NULL,
    detail          jsonb NOT NULL,
    PRIMARY KEY (notification_id, event_key)
);
COMMENT ON TABLE delivery_events IS 'The ledger: everything that happened to a notification; append-only, each happening once.';
COMMENT ON COLUMN delivery_events.event_key IS 'Identifies the happening, not the envelope that told of it.';

CREATE TABLE delivery_facts (
    notification_id     uuid PRIMARY KEY,
    sent_at             timestamptz,
    sent_key            uuid,
    provider            text,
    provider_message_id text,
    opens_tracked       boolean NOT NULL,
    failed_at           timestamptz,
    failed_key          uuid,
    failed_category     text,
    failed_code         text,
    failed_text         text,
    delivered_at        timestamptz,
    delayed_at          timestamptz,
    delayed_key         uuid,
    delayed_type        text,
    bounced_at          timestamptz,
    bounced_key         uuid,
    bounced_severity    text,
    bounced_category    text,
    bounced_subtype     text,
    bounced_status      text,
    bounced_text        text,
    complained_at       timestamptz,
    complained_key      uuid,
    complained_type     text,
    opened_first_at     timestamptz,
    opened_last_at      timestamptz,
    opened_count        bigint NOT NULL,
    opened_by_person_at timestamptz,
    clicked_first_at    timestamptz,
    clicked_last_at     timestamptz,
    clicked_count       bigint NOT NULL,
    unsubscribed_at     timestamptz
) WITH (fillfactor = 50);
CREATE INDEX delivery_facts_by_provider_message_id ON delivery_facts (provider_message_id)
    WHERE provider_message_id IS NOT NULL;
COMMENT ON TABLE delivery_facts IS 'The fold of the ledger, one narrow row per notification; made with its first event, absent before.';

CREATE TABLE unmatched_events (
    event_key           uuid PRIMARY KEY,
    notification_id     uuid,
    provider_message_id text,
    kind                text NOT NULL,
    occurred_at         timestamptz NOT NULL,
    recorded_at         timestamptz NOT NULL,
    source              text NOT NULL,
    detail              jsonb NOT NULL
);
CREATE INDEX unmatched_events_by_provider_message_id ON unmatched_events (provider_message_id);
CREATE INDEX unmatched_events_by_notification ON unmatched_events (notification_id);
COMMENT ON TABLE unmatched_events IS 'Events of messages that are not known yet; applied as soon as a send names them.';

CREATE TABLE feedback_inbox (
    id          uuid PRIMARY KEY,
    source      text NOT NULL,
    message_id  text NOT NULL,
    topic       text NOT NULL,
    received_at timestamptz NOT NULL,
    kind        text NOT NULL,
    body        text NOT NULL,
    UNIQUE (source, message_id)
) WITH (toast_tuple_target = 8160);
COMMENT ON TABLE feedback_inbox IS 'Every verified feedback message as it came, kept before it is applied.';
COMMENT ON COLUMN feedback_inbox.kind IS 'What was found in it; unparsable and unknown kinds are kept as well.';

CREATE TABLE api_keys (
    id          uuid PRIMARY KEY,
    business_id text NOT NULL REFERENCES businesses (id),
    name        text NOT NULL,
    digest      text NOT NULL UNIQUE,
    scopes      text NOT NULL,
    created_at  timestamptz NOT NULL,
    expires_at  timestamptz,
    revoked_at  timestamptz
);
COMMENT ON TABLE api_keys IS 'What applications sign in with.';
COMMENT ON COLUMN api_keys.digest IS 'SHA-256 of the key in hexadecimal; the key itself is not kept.';
COMMENT ON COLUMN api_keys.scopes IS 'enqueue, read, admin, separated by commas.';

CREATE TABLE suppressions (
    business_id     text NOT NULL REFERENCES businesses (id),
    method          text NOT NULL,
    address         text NOT NULL,
    reason          text NOT NULL,
    source          text NOT NULL,
    notification_id uuid,
    created_at      timestamptz NOT NULL,
    PRIMARY KEY (business_id, method, address)
);
COMMENT ON TABLE suppressions IS 'Addresses that must not be written to, and why.';

CREATE VIEW contact_history AS
SELECT l.id,
       l.business_id,
       l.client_uid,
       c.client_id,
       c.name AS client_name,
       l.date,
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
COMMENT ON VIEW contact_history IS 'The contact history as staff read it (W2). status lists every status that holds, the earlier first; none for manual entries.';

INSERT INTO businesses (id, name, created_at) VALUES ('default', 'Default', now());
INSERT INTO contact_types (business_id, name, created_at)
SELECT 'default', t.name, now()
FROM (VALUES ('Client Notifications'), ('Staff Notifications'), ('Automated Marketing'),
             ('Message Center'), ('Admin Business')) AS t (name);
