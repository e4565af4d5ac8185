-- What became of each feedback message, so that operators find what was not understood or not matched, and have it applied again.

-- applied, unmatched: its message is not known, noted: it says nothing of a message of ours, unparsable; none: kept by an earlier version.
ALTER TABLE feedback_inbox ADD COLUMN result TEXT CHECK (result IN ('applied', 'unmatched', 'noted', 'unparsable'));
UPDATE feedback_inbox SET result = 'unparsable' WHERE kind = 'unparsable';
CREATE INDEX feedback_inbox_by_result ON feedback_inbox (result, received_at, source, message_id)
    WHERE result <> 'applied';
-- The feedback message that told of an event which waits; it is applied when its events are.
ALTER TABLE unmatched_events ADD COLUMN message_source TEXT;
ALTER TABLE unmatched_events ADD COLUMN message_id TEXT;
