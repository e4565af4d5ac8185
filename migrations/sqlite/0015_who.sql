-- Who did what, where it was not on record yet: tasks that were done and opened again, runs that were
-- stopped, addresses that were written to although they were suppressed.
-- Paired with the file of the same name for PostgreSQL.

-- Every time that a follow-up task was marked as done or opened again (M8); append-only.
CREATE TABLE task_changes (
    id          TEXT PRIMARY KEY,
    business_id TEXT NOT NULL,
    task_id     TEXT NOT NULL,
    -- Empty when an application did it.
    staff_id    TEXT NOT NULL,
    changed_at  INTEGER NOT NULL,
    kind        TEXT NOT NULL CHECK (kind IN ('done', 'reopened'))
) STRICT;
CREATE INDEX task_changes_by_task ON task_changes (task_id, id);

-- Who stopped it (staff.staff_id).
ALTER TABLE resend_runs ADD COLUMN stopped_by TEXT;

-- SQLite cannot change a check.
ALTER TABLE entry_changes RENAME TO entry_changes_before;
DROP INDEX entry_changes_by_entry;
CREATE TABLE entry_changes (
    id              TEXT PRIMARY KEY,
    business_id     TEXT NOT NULL,
    notification_id TEXT NOT NULL,
    staff_id        TEXT NOT NULL,
    changed_at      INTEGER NOT NULL,
    kind            TEXT NOT NULL CHECK (kind IN ('description', 'tags', 'card', 'override')),
    -- The description, the tags as JSON, or what the card of the client said.
    before          TEXT,
    -- The same afterwards; of an override, why it was made.
    after           TEXT
) STRICT;
INSERT INTO entry_changes SELECT id, business_id, notification_id, staff_id, changed_at, kind, before, after
FROM entry_changes_before;
DROP TABLE entry_changes_before;
CREATE INDEX entry_changes_by_entry ON entry_changes (notification_id, id);
