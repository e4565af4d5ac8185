-- Text messages of clients, and receipts that are asked for because they never came.

-- Messages that a provider took and of whose end it has told nothing yet; for providers that can be
-- asked. A row goes when the end is known, or when nothing more is to be expected.
CREATE TABLE awaited_receipts (
    notification_id     TEXT PRIMARY KEY,
    provider_message_id TEXT NOT NULL,
    sent_at             INTEGER NOT NULL,
    -- From when on the wait counts after which the provider is asked (again).
    due_at              INTEGER NOT NULL
) STRICT;
CREATE INDEX awaited_receipts_by_time ON awaited_receipts (due_at);

-- Text messages of clients, by the provider's id, and the entries made of them. Kept for ever: they
-- carry no time, so that this is how one that is sent again after years is recognised.
CREATE TABLE inbound_messages (
    source              TEXT NOT NULL,
    provider_message_id TEXT NOT NULL,
    -- None: nobody had written to that number.
    entry_id            TEXT,
    received_at         INTEGER NOT NULL,
    PRIMARY KEY (source, provider_message_id)
) STRICT;

-- Whose answer it is: who wrote to that number last, and whose number it is.
CREATE INDEX contact_log_texts_by_address ON contact_log (address, id DESC)
    WHERE method = 'sms' AND channel = 'Outbound';
CREATE INDEX clients_by_phone ON clients (phone) WHERE phone IS NOT NULL;
