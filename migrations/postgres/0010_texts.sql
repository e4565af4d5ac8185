-- Text messages of clients, and receipts that are asked for because they never came. Paired with the
-- file of the same name for SQLite.

CREATE TABLE awaited_receipts (
    notification_id     uuid PRIMARY KEY,
    provider_message_id text NOT NULL,
    sent_at             timestamptz NOT NULL,
    due_at              timestamptz NOT NULL
);
CREATE INDEX awaited_receipts_by_time ON awaited_receipts (due_at);
COMMENT ON TABLE awaited_receipts IS 'Messages that a provider took and of whose end it has told nothing yet; for providers that can be asked. A row goes when the end is known, or when nothing more is to be expected.';
COMMENT ON COLUMN awaited_receipts.due_at IS 'From when on the wait counts after which the provider is asked (again).';

CREATE TABLE inbound_messages (
    source              text NOT NULL,
    provider_message_id text NOT NULL,
    entry_id            uuid,
    received_at         timestamptz NOT NULL,
    PRIMARY KEY (source, provider_message_id)
);
COMMENT ON TABLE inbound_messages IS 'Text messages of clients, by the provider''s id, and the entries made of them. Kept for ever: they carry no time, so that this is how one that is sent again after years is recognised.';
COMMENT ON COLUMN inbound_messages.entry_id IS 'None: nobody had written to that number.';

-- Whose answer it is: who wrote to that number last, and whose number it is.
CREATE INDEX contact_log_texts_by_address ON contact_log (address, id DESC)
    WHERE method = 'sms' AND channel = 'Outbound';
CREATE INDEX clients_by_phone ON clients (phone) WHERE phone IS NOT NULL;
