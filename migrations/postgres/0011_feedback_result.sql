-- What became of each feedback message, so that operators find what was not understood or not matched,
-- and have it applied again. Paired with the file of the same name for SQLite.

ALTER TABLE feedback_inbox ADD COLUMN result text CHECK (result IN ('applied', 'unmatched', 'noted', 'unparsable'));
COMMENT ON COLUMN feedback_inbox.result IS 'applied, unmatched: its message is not known, noted: it says nothing of a message of ours, unparsable; none: kept by an earlier version.';
UPDATE feedback_inbox SET result = 'unparsable' WHERE kind = 'unparsable';
CREATE INDEX feedback_inbox_by_result ON feedback_inbox (result, received_at, source, message_id)
    WHERE result <> 'applied';
ALTER TABLE unmatched_events ADD COLUMN message_source text;
ALTER TABLE unmatched_events ADD COLUMN message_id text;
COMMENT ON COLUMN unmatched_events.message_id IS 'The feedback message that told of the event, with message_source; it is applied when its events are.';
