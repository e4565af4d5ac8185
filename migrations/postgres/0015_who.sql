-- Who did what, where it was not on record yet: tasks that were done and opened again, runs that were
-- stopped, addresses that were written to although they were suppressed.
-- Paired with the file of the same name for SQLite.

CREATE TABLE task_changes (
    id          uuid PRIMARY KEY,
    business_id text NOT NULL,
    task_id     uuid NOT NULL,
    staff_id    text NOT NULL,
    changed_at  timestamptz NOT NULL,
    kind        text NOT NULL CHECK (kind IN ('done', 'reopened'))
);
CREATE INDEX task_changes_by_task ON task_changes (task_id, id);
COMMENT ON TABLE task_changes IS 'Every time that a follow-up task was marked as done or opened again (M8); append-only.';
COMMENT ON COLUMN task_changes.staff_id IS 'Empty when an application did it.';

ALTER TABLE resend_runs ADD COLUMN stopped_by text;
COMMENT ON COLUMN resend_runs.stopped_by IS 'Who stopped it (staff.staff_id).';

ALTER TABLE entry_changes DROP CONSTRAINT entry_changes_kind_check;
ALTER TABLE entry_changes ADD CONSTRAINT entry_changes_kind_check
    CHECK (kind IN ('description', 'tags', 'card', 'override'));
COMMENT ON COLUMN entry_changes.after IS 'The same afterwards; of an override, why it was made.';
