-- Feedback is looked for by its age: sweeps look at what is new, retention deletes what is old.

CREATE INDEX unmatched_events_by_time ON unmatched_events (recorded_at, event_key);

-- Every verified feedback message as it came, kept before it is applied, for as long as
-- feedback.keep_messages_days says. Without a key of our own, which nothing asked for and which cost
-- an index.
CREATE TABLE feedback_messages (
    source      TEXT NOT NULL,
    message_id  TEXT NOT NULL,
    topic       TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    -- What was found in it; unparsable and unknown kinds are kept as well.
    kind        TEXT NOT NULL,
    body        TEXT NOT NULL,
    PRIMARY KEY (source, message_id)
) STRICT;
INSERT INTO feedback_messages (source, message_id, topic, received_at, kind, body)
SELECT source, message_id, topic, received_at, kind, body FROM feedback_inbox ORDER BY id;
DROP TABLE feedback_inbox;
ALTER TABLE feedback_messages RENAME TO feedback_inbox;
CREATE INDEX feedback_inbox_by_time ON feedback_inbox (received_at);
