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

-- jobs.lane means more from here on: beside the priority (0 high, 1 normal, 2 bulk), of push targets the
-- form, so that what waits for one kind of provider holds up nobody who goes by another: 10 more for
-- ARNs of SNS, 20 more for device tokens of APNs.
