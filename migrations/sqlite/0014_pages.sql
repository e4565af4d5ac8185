-- What staff do on the pages: find clients, rename and tag entries, enter contacts by hand, follow up,
-- send many again, take a history away as a file. Paired with the file of the same name for PostgreSQL.

-- What a client is found by (W12): every word begins the search that finds it. Kept by triggers.
CREATE TABLE client_words (
    business_id TEXT NOT NULL,
    -- A word of the name, the email, the client id, or the phone number without its plus and without
    -- its country code (E.164: 1 and 7 have one digit, those listed two, all others three); in small
    -- letters. JSON splits the name: SQLite has nothing else that a trigger may use.
    word        TEXT NOT NULL,
    client_uid  TEXT NOT NULL,
    PRIMARY KEY (business_id, word, client_uid)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER clients_added AFTER INSERT ON clients BEGIN
    INSERT OR IGNORE INTO client_words (business_id, word, client_uid)
    SELECT DISTINCT new.business_id, substr(w.word, 1, 100), new.uid FROM (
        SELECT lower(new.client_id) AS word
        UNION ALL SELECT lower(new.email)
        UNION ALL SELECT substr(new.phone, 2)
        UNION ALL SELECT substr(new.phone, 2 + CASE
            WHEN substr(new.phone, 2, 1) IN ('1', '7') THEN 1
            WHEN substr(new.phone, 2, 2) IN ('20','27','30','31','32','33','34','36','39','40','41','43','44','45','46','47','48','49',
                    '51','52','53','54','55','56','57','58','60','61','62','63','64','65','66',
                    '81','82','84','86','90','91','92','93','94','95','98') THEN 2
            ELSE 3 END)
        UNION ALL SELECT n.word FROM (
            SELECT value AS word FROM json_each('[' || replace(json_quote(
                replace(replace(replace(replace(replace(replace(replace(lower(substr(new.name, 1, 400)), '-', ' '), '.', ' '), ',', ' '), '(', ' '), ')', ' '), '''', ' '), '"', ' ')), ' ', '","') || ']')
            WHERE value <> '' LIMIT 12) n
    ) w WHERE w.word <> '';
END;

CREATE TRIGGER clients_changed AFTER UPDATE OF client_id, name, email, phone ON clients BEGIN
    DELETE FROM client_words WHERE business_id = old.business_id AND client_uid = old.uid AND word IN (
        SELECT substr(w.word, 1, 100) FROM (
            SELECT lower(old.client_id) AS word
            UNION ALL SELECT lower(old.email)
            UNION ALL SELECT substr(old.phone, 2)
            UNION ALL SELECT substr(old.phone, 2 + CASE
                WHEN substr(old.phone, 2, 1) IN ('1', '7') THEN 1
                WHEN substr(old.phone, 2, 2) IN ('20','27','30','31','32','33','34','36','39','40','41','43','44','45','46','47','48','49',
                    '51','52','53','54','55','56','57','58','60','61','62','63','64','65','66',
                    '81','82','84','86','90','91','92','93','94','95','98') THEN 2
                ELSE 3 END)
            UNION ALL SELECT n.word FROM (
                SELECT value AS word FROM json_each('[' || replace(json_quote(
                    replace(replace(replace(replace(replace(replace(replace(lower(substr(old.name, 1, 400)), '-', ' '), '.', ' '), ',', ' '), '(', ' '), ')', ' '), '''', ' '), '"', ' ')), ' ', '","') || ']')
                WHERE value <> '' LIMIT 12) n
        ) w WHERE w.word <> '');
    INSERT OR IGNORE INTO client_words (business_id, word, client_uid)
    SELECT DISTINCT new.business_id, substr(w.word, 1, 100), new.uid FROM (
        SELECT lower(new.client_id) AS word
        UNION ALL SELECT lower(new.email)
        UNION ALL SELECT substr(new.phone, 2)
        UNION ALL SELECT substr(new.phone, 2 + CASE
            WHEN substr(new.phone, 2, 1) IN ('1', '7') THEN 1
            WHEN substr(new.phone, 2, 2) IN ('20','27','30','31','32','33','34','36','39','40','41','43','44','45','46','47','48','49',
                    '51','52','53','54','55','56','57','58','60','61','62','63','64','65','66',
                    '81','82','84','86','90','91','92','93','94','95','98') THEN 2
            ELSE 3 END)
        UNION ALL SELECT n.word FROM (
            SELECT value AS word FROM json_each('[' || replace(json_quote(
                replace(replace(replace(replace(replace(replace(replace(lower(substr(new.name, 1, 400)), '-', ' '), '.', ' '), ',', ' '), '(', ' '), ')', ' '), '''', ' '), '"', ' ')), ' ', '","') || ']')
            WHERE value <> '' LIMIT 12) n
    ) w WHERE w.word <> '';
END;

-- Fires the trigger for the clients that are there.
UPDATE clients SET name = name;

-- Up to five short words of the content (M3), a list of texts; none: not looked for yet. Entries from
-- before have none.
ALTER TABLE contact_log ADD COLUMN tags TEXT DEFAULT '[]';
-- Those that were not looked at yet.
CREATE INDEX contact_log_untagged ON contact_log (id) WHERE tags IS NULL;
-- What an entry was sent again as.
CREATE INDEX contact_log_resends ON contact_log (resend_of) WHERE resend_of IS NOT NULL;

-- What people changed of an entry, with what stood there before (M8); append-only.
CREATE TABLE entry_changes (
    id              TEXT PRIMARY KEY,
    business_id     TEXT NOT NULL,
    notification_id TEXT NOT NULL,
    staff_id        TEXT NOT NULL,
    changed_at      INTEGER NOT NULL,
    kind            TEXT NOT NULL CHECK (kind IN ('description', 'tags', 'card')),
    -- The description, or the tags as JSON.
    before          TEXT,
    after           TEXT
) STRICT;
CREATE INDEX entry_changes_by_entry ON entry_changes (notification_id, id);

-- Follow-up tasks (W14).
CREATE TABLE follow_up_tasks (
    id          TEXT PRIMARY KEY,
    business_id TEXT NOT NULL,
    client_uid  TEXT NOT NULL,
    -- The contact that it follows.
    entry_id    TEXT,
    title       TEXT NOT NULL,
    description TEXT,
    due_at      INTEGER NOT NULL,
    -- Who must do it (staff.staff_id).
    assignee    TEXT NOT NULL,
    created_by  TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    done_at     INTEGER,
    done_by     TEXT
) STRICT;
CREATE INDEX follow_up_tasks_open ON follow_up_tasks (business_id, assignee, due_at, id) WHERE done_at IS NULL;
CREATE INDEX follow_up_tasks_done ON follow_up_tasks (business_id, assignee, done_at DESC, id DESC) WHERE done_at IS NOT NULL;
CREATE INDEX follow_up_tasks_all_open ON follow_up_tasks (business_id, due_at, id) WHERE done_at IS NULL;
CREATE INDEX follow_up_tasks_all_done ON follow_up_tasks (business_id, done_at DESC, id DESC) WHERE done_at IS NOT NULL;
CREATE INDEX follow_up_tasks_by_entry ON follow_up_tasks (entry_id, id) WHERE entry_id IS NOT NULL;

-- The columns of the history that this person does not want to see: a list of texts.
ALTER TABLE staff_accounts ADD COLUMN hidden_columns TEXT NOT NULL DEFAULT '[]';

-- Who the member is to the provider of single sign-on: its issuer, and its own name for the person.
ALTER TABLE staff_accounts ADD COLUMN oidc_issuer TEXT;
ALTER TABLE staff_accounts ADD COLUMN oidc_subject TEXT;
CREATE UNIQUE INDEX staff_accounts_by_identity ON staff_accounts (oidc_issuer, oidc_subject) WHERE oidc_subject IS NOT NULL;

-- Entries that match a filter, sent again one batch after the other.
CREATE TABLE resend_runs (
    id          TEXT PRIMARY KEY,
    business_id TEXT NOT NULL,
    account_id  TEXT NOT NULL,
    staff_id    TEXT NOT NULL,
    -- As the address of the page has it, with the sight of who asked.
    filter      TEXT NOT NULL,
    -- How many matched when it was asked for.
    total       INTEGER NOT NULL,
    sent        INTEGER NOT NULL,
    -- Those that could not be sent again: their address is suppressed, or their content is not kept.
    left_out    INTEGER NOT NULL,
    -- The last entry that was dealt with; they are taken from the newest on.
    reached     TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    finished_at INTEGER,
    stopped_at  INTEGER
) STRICT;
CREATE INDEX resend_runs_open ON resend_runs (id) WHERE finished_at IS NULL;
CREATE INDEX resend_runs_by_business ON resend_runs (business_id, id DESC);

-- Histories that are written to a file, or are ready to be fetched (M7).
CREATE TABLE exports (
    id          TEXT PRIMARY KEY,
    business_id TEXT NOT NULL,
    account_id  TEXT NOT NULL,
    format      TEXT NOT NULL CHECK (format IN ('csv', 'xlsx', 'pdf')),
    filter      TEXT NOT NULL,
    -- Entries written so far.
    written     INTEGER NOT NULL,
    -- How often somebody began to write it.
    attempts    INTEGER NOT NULL,
    bytes       INTEGER,
    trouble     TEXT,
    created_at  INTEGER NOT NULL,
    -- When whoever writes it was last at work; one that fell silent is begun anew.
    seen_at     INTEGER NOT NULL,
    ready_at    INTEGER,
    expires_at  INTEGER NOT NULL
) STRICT;
CREATE INDEX exports_open ON exports (id) WHERE ready_at IS NULL;
CREATE INDEX exports_by_account ON exports (account_id, id DESC);
CREATE INDEX exports_by_end ON exports (expires_at);

-- The file of an export, in pieces.
CREATE TABLE export_chunks (
    export_id TEXT NOT NULL REFERENCES exports (id) ON DELETE CASCADE,
    number    INTEGER NOT NULL,
    bytes     BLOB NOT NULL,
    PRIMARY KEY (export_id, number)
) STRICT;

DROP VIEW contact_history;
CREATE VIEW contact_history AS
SELECT l.id,
       l.business_id,
       l.client_uid,
       c.client_id,
       c.name AS client_name,
       strftime('%Y-%m-%dT%H:%M:%fZ', l.date / 1000.0, 'unixepoch') AS date,
       CASE WHEN l.staff_id IS NOT NULL THEN coalesce(s.name, l.staff_id)
            WHEN l.manual THEN 'No Staff'
            ELSE 'Automated' END AS "user",
       CASE l.method WHEN 'email' THEN 'Email' WHEN 'sms' THEN 'SMS' WHEN 'push' THEN 'Push'
                     WHEN 'in_person' THEN 'In Person' WHEN 'mail' THEN 'Mail' ELSE 'Phone' END
           AS contact_method,
       l.type,
       l.contact_type,
       CASE WHEN l.manual THEN NULL
            WHEN coalesce(f.delivered_at, f.opened_first_at, f.clicked_first_at, f.complained_at, f.bounced_at) IS NULL
                THEN CASE WHEN f.failed_at IS NOT NULL THEN 'Failed'
                          WHEN f.sent_at IS NOT NULL THEN 'Sent'
                          ELSE 'Awaiting Send' END
            WHEN l.method = 'push' THEN 'Sent'
            WHEN l.method = 'sms'
                THEN CASE WHEN coalesce(f.opened_first_at, f.clicked_first_at) IS NOT NULL THEN 'Opened'
                          WHEN f.delivered_at IS NOT NULL THEN 'Unopened'
                          ELSE 'Sent' END
            WHEN f.bounced_at IS NOT NULL AND coalesce(f.opened_first_at, f.clicked_first_at) IS NOT NULL
                THEN CASE WHEN coalesce(f.opened_first_at, f.clicked_first_at) <= f.bounced_at
                          THEN 'Opened, Bounced' ELSE 'Bounced, Opened' END
            WHEN f.bounced_at IS NOT NULL THEN 'Bounced'
            WHEN coalesce(f.opened_first_at, f.clicked_first_at) IS NOT NULL THEN 'Opened'
            WHEN f.delivered_at IS NOT NULL AND f.opens_tracked THEN 'Unopened'
            ELSE 'Sent' END AS status,
       l.channel,
       l.address,
       l.description,
       l.method,
       l.staff_id,
       l.resend_of,
       l.tags
FROM contact_log l
JOIN clients c ON c.uid = l.client_uid
LEFT JOIN staff s ON s.business_id = l.business_id AND s.staff_id = l.staff_id
LEFT JOIN delivery_facts f ON f.notification_id = l.id;
