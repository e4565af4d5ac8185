-- More ways in. Paired with the file of the same name for PostgreSQL, which also has the function
-- sendtrail_enqueue: SQLite has no functions of its own.

-- Messages from a queue that could not be enqueued, until an operator has seen to them.
CREATE TABLE buried_messages (
    id          TEXT PRIMARY KEY,
    business_id TEXT NOT NULL,
    -- The queue's URL.
    source      TEXT NOT NULL,
    -- The queue's own id of the message: one that comes twice is buried once.
    message_id  TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    -- What is wrong with it: a list of {pointer, detail}.
    reason      TEXT NOT NULL,
    -- As it came.
    body        TEXT NOT NULL,
    UNIQUE (source, message_id)
) STRICT;
