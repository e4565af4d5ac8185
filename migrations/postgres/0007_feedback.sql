-- Feedback is looked for by its age: sweeps look at what is new, retention deletes what is old.
-- Paired with the file of the same name for SQLite.

CREATE INDEX unmatched_events_by_time ON unmatched_events (recorded_at, event_key);

-- A key of our own that nothing asked for and that cost an index.
ALTER TABLE feedback_inbox DROP COLUMN id;
ALTER TABLE feedback_inbox DROP CONSTRAINT feedback_inbox_source_message_id_key;
ALTER TABLE feedback_inbox ADD PRIMARY KEY (source, message_id);
CREATE INDEX feedback_inbox_by_time ON feedback_inbox (received_at);
COMMENT ON TABLE feedback_inbox IS 'Every verified feedback message as it came, kept before it is applied, for as long as feedback.keep_messages_days says.';
