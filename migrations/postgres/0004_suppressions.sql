-- Suppressions: several reasons for one address, opt-outs of one contact type, an end, a history of
-- what was taken off the list. Paired with the file of the same name for SQLite.

ALTER TABLE suppressions DROP CONSTRAINT suppressions_pkey;
DELETE FROM suppressions WHERE method NOT IN ('email', 'sms', 'push');
ALTER TABLE suppressions
    ADD COLUMN id           uuid NOT NULL DEFAULT gen_random_uuid() PRIMARY KEY,
    ADD COLUMN contact_type text NOT NULL DEFAULT '',
    ADD COLUMN staff_id     text,
    ADD COLUMN note         text,
    ADD COLUMN expires_at   timestamptz,
    ADD CHECK (method IN ('email', 'sms', 'push'));
ALTER TABLE suppressions
    ALTER COLUMN id DROP DEFAULT,
    ALTER COLUMN contact_type DROP DEFAULT;
UPDATE suppressions SET
    address = CASE method WHEN 'email' THEN lower(address) ELSE address END,
    note = reason,
    reason = CASE WHEN reason IN ('bounce', 'unregistered', 'complaint', 'stop', 'unsubscribe') THEN reason ELSE 'staff' END;
DELETE FROM suppressions a USING suppressions b
WHERE a.business_id = b.business_id AND a.method = b.method AND a.address = b.address AND a.reason = b.reason AND a.id > b.id;
ALTER TABLE suppressions
    ADD CHECK (reason IN ('bounce', 'unregistered', 'complaint', 'stop', 'staff', 'unsubscribe')),
    ADD UNIQUE (business_id, method, address, contact_type, reason);
CREATE INDEX suppressions_by_business ON suppressions (business_id, id DESC);
CREATE INDEX suppressions_by_method ON suppressions (business_id, method, id DESC);
COMMENT ON TABLE suppressions IS 'Addresses that must not be written to, and why. What is taken off goes to lifted_suppressions.';
COMMENT ON COLUMN suppressions.id IS 'UUIDv7: order by id is order by date.';
COMMENT ON COLUMN suppressions.address IS 'In the form in which addresses are compared: an email address in small letters.';
COMMENT ON COLUMN suppressions.contact_type IS 'Empty: every message by this method, or, where the reason is unsubscribe, every bulk message.';
COMMENT ON COLUMN suppressions.source IS 'Who said so: a provider, staff, application, or the recipient by the link in a message.';
COMMENT ON COLUMN suppressions.notification_id IS 'The message that taught us.';
COMMENT ON COLUMN suppressions.expires_at IS 'It holds until then; none: until it is taken off the list.';

CREATE TABLE lifted_suppressions (
    id              uuid PRIMARY KEY,
    business_id     text NOT NULL,
    method          text NOT NULL,
    address         text NOT NULL,
    contact_type    text NOT NULL,
    reason          text NOT NULL,
    source          text NOT NULL,
    notification_id uuid,
    staff_id        text,
    note            text,
    created_at      timestamptz NOT NULL,
    expires_at      timestamptz,
    lifted_at       timestamptz NOT NULL,
    lifted_source   text NOT NULL,
    lifted_staff_id text,
    lifted_note     text
);
CREATE INDEX lifted_suppressions_by_business ON lifted_suppressions (business_id, id DESC);
CREATE INDEX lifted_suppressions_by_address ON lifted_suppressions (business_id, address, id DESC);
COMMENT ON TABLE lifted_suppressions IS 'What was taken off the list, as it stood there, with who did it, when and why. Append-only.';
COMMENT ON COLUMN lifted_suppressions.lifted_source IS 'Who took it off: staff, application, recipient, a provider that took its word back, or expiry.';

CREATE TABLE secrets (
    name       text PRIMARY KEY,
    value      text NOT NULL,
    created_at timestamptz NOT NULL
);
COMMENT ON TABLE secrets IS 'Keys that processes share and that no setting gave them.';
