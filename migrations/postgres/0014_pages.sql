-- What staff do on the pages: find clients, rename and tag entries, enter contacts by hand, follow up,
-- send many again, take a history away as a file. Paired with the file of the same name for SQLite.

CREATE TABLE client_words (
    business_id text COLLATE "C" NOT NULL,
    word        text COLLATE "C" NOT NULL,
    client_uid  uuid NOT NULL,
    PRIMARY KEY (business_id, word, client_uid)
);
COMMENT ON TABLE client_words IS 'What a client is found by (W12): every word begins the search that finds it. Kept by triggers.';
COMMENT ON COLUMN client_words.word IS 'A word of the name, the email, the client id, or the phone number without its plus and without its country code; in small letters.';

-- The country codes of E.164: 1 and 7 have one digit, these two, all others three.
CREATE FUNCTION sendtrail_national(phone text) RETURNS text LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT substr(phone, 2 + CASE
        WHEN substr(phone, 2, 1) IN ('1', '7') THEN 1
        WHEN substr(phone, 2, 2) IN ('20','27','30','31','32','33','34','36','39','40','41','43','44','45','46','47','48','49',
                                     '51','52','53','54','55','56','57','58','60','61','62','63','64','65','66',
                                     '81','82','84','86','90','91','92','93','94','95','98') THEN 2
        ELSE 3 END)
$$;

CREATE FUNCTION sendtrail_client_words(client_id text, name text, email text, phone text)
RETURNS SETOF text LANGUAGE sql IMMUTABLE AS $$
    SELECT DISTINCT left(w, 100) FROM (
        SELECT lower(client_id) AS w
        UNION ALL SELECT lower(email)
        UNION ALL SELECT substr(phone, 2)
        UNION ALL SELECT sendtrail_national(phone)
        -- The same on SQLite: what separates the words of a name.
        UNION ALL SELECT n.w FROM (
            SELECT w, row_number() OVER () AS place
            FROM string_to_table(translate(lower(left(name, 400)), '-.,''()"', '       '), ' ') AS w
            WHERE w <> '') n WHERE n.place <= 12
    ) AS words WHERE w <> ''
$$;

CREATE FUNCTION sendtrail_clients_written() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        DELETE FROM client_words x USING (
            SELECT b.business_id, w, b.uid FROM before b, sendtrail_client_words(b.client_id, b.name, b.email, b.phone) AS w
            EXCEPT
            SELECT a.business_id, w, a.uid FROM after a, sendtrail_client_words(a.client_id, a.name, a.email, a.phone) AS w
        ) AS gone (business_id, word, uid)
        WHERE x.business_id = gone.business_id AND x.word = gone.word AND x.client_uid = gone.uid;
    END IF;
    INSERT INTO client_words (business_id, word, client_uid)
    SELECT a.business_id, w, a.uid FROM after a, sendtrail_client_words(a.client_id, a.name, a.email, a.phone) AS w
    ORDER BY 1, 2, 3
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;

CREATE TRIGGER clients_added AFTER INSERT ON clients REFERENCING NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION sendtrail_clients_written();
CREATE TRIGGER clients_changed AFTER UPDATE ON clients REFERENCING OLD TABLE AS before NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION sendtrail_clients_written();

INSERT INTO client_words (business_id, word, client_uid)
SELECT c.business_id, w, c.uid FROM clients c, sendtrail_client_words(c.client_id, c.name, c.email, c.phone) AS w;

-- Entries from before have none, and so cost nothing now.
ALTER TABLE contact_log ADD COLUMN tags jsonb DEFAULT '[]';
ALTER TABLE contact_log ALTER COLUMN tags DROP DEFAULT;
COMMENT ON COLUMN contact_log.tags IS 'Up to five short words of the content (M3), a list of texts; none: not looked for yet.';
-- Those that were not looked at yet.
CREATE INDEX contact_log_untagged ON contact_log (id) WHERE tags IS NULL;
-- What an entry was sent again as.
CREATE INDEX contact_log_resends ON contact_log (resend_of) WHERE resend_of IS NOT NULL;

CREATE TABLE entry_changes (
    id              uuid PRIMARY KEY,
    business_id     text NOT NULL,
    notification_id uuid NOT NULL,
    staff_id        text NOT NULL,
    changed_at      timestamptz NOT NULL,
    kind            text NOT NULL CHECK (kind IN ('description', 'tags', 'card')),
    before          text,
    after           text
);
CREATE INDEX entry_changes_by_entry ON entry_changes (notification_id, id);
COMMENT ON TABLE entry_changes IS 'What people changed of an entry, with what stood there before (M8); append-only.';
COMMENT ON COLUMN entry_changes.before IS 'The description, the tags as JSON, or what the card of the client said.';

CREATE TABLE follow_up_tasks (
    id          uuid PRIMARY KEY,
    business_id text NOT NULL,
    client_uid  uuid NOT NULL,
    entry_id    uuid,
    title       text NOT NULL,
    description text,
    due_at      timestamptz NOT NULL,
    assignee    text NOT NULL,
    created_by  text NOT NULL,
    created_at  timestamptz NOT NULL,
    done_at     timestamptz,
    done_by     text
);
CREATE INDEX follow_up_tasks_open ON follow_up_tasks (business_id, assignee, due_at, id) WHERE done_at IS NULL;
CREATE INDEX follow_up_tasks_done ON follow_up_tasks (business_id, assignee, done_at DESC, id DESC) WHERE done_at IS NOT NULL;
CREATE INDEX follow_up_tasks_all_open ON follow_up_tasks (business_id, due_at, id) WHERE done_at IS NULL;
CREATE INDEX follow_up_tasks_all_done ON follow_up_tasks (business_id, done_at DESC, id DESC) WHERE done_at IS NOT NULL;
CREATE INDEX follow_up_tasks_by_entry ON follow_up_tasks (entry_id, id) WHERE entry_id IS NOT NULL;
COMMENT ON TABLE follow_up_tasks IS 'Follow-up tasks (W14).';
COMMENT ON COLUMN follow_up_tasks.entry_id IS 'The contact that it follows.';
COMMENT ON COLUMN follow_up_tasks.assignee IS 'Who must do it (staff.staff_id).';

ALTER TABLE staff_accounts ADD COLUMN hidden_columns jsonb NOT NULL DEFAULT '[]';
COMMENT ON COLUMN staff_accounts.hidden_columns IS 'The columns of the history that this person does not want to see: a list of texts.';

ALTER TABLE staff_accounts ADD COLUMN oidc_issuer text;
ALTER TABLE staff_accounts ADD COLUMN oidc_subject text;
CREATE UNIQUE INDEX staff_accounts_by_identity ON staff_accounts (oidc_issuer, oidc_subject) WHERE oidc_subject IS NOT NULL;
COMMENT ON COLUMN staff_accounts.oidc_issuer IS 'The provider of single sign-on that knows the member.';
COMMENT ON COLUMN staff_accounts.oidc_subject IS 'The name of that provider for the person.';

CREATE TABLE resend_runs (
    id          uuid PRIMARY KEY,
    business_id text NOT NULL,
    account_id  uuid NOT NULL,
    staff_id    text NOT NULL,
    filter      jsonb NOT NULL,
    total       bigint NOT NULL,
    sent        bigint NOT NULL,
    left_out    bigint NOT NULL,
    reached     uuid NOT NULL,
    created_at  timestamptz NOT NULL,
    finished_at timestamptz,
    stopped_at  timestamptz
);
CREATE INDEX resend_runs_open ON resend_runs (id) WHERE finished_at IS NULL;
CREATE INDEX resend_runs_by_business ON resend_runs (business_id, id DESC);
COMMENT ON TABLE resend_runs IS 'Entries that match a filter, sent again one batch after the other.';
COMMENT ON COLUMN resend_runs.filter IS 'As the address of the page has it, with the sight of who asked.';
COMMENT ON COLUMN resend_runs.total IS 'How many matched when it was asked for.';
COMMENT ON COLUMN resend_runs.left_out IS 'Those that could not be sent again: their address is suppressed, or their content is not kept.';
COMMENT ON COLUMN resend_runs.reached IS 'The last entry that was dealt with; they are taken from the newest on.';

CREATE TABLE exports (
    id          uuid PRIMARY KEY,
    business_id text NOT NULL,
    account_id  uuid NOT NULL,
    format      text NOT NULL CHECK (format IN ('csv', 'xlsx', 'pdf')),
    filter      jsonb NOT NULL,
    written     bigint NOT NULL,
    attempts    bigint NOT NULL,
    bytes       bigint,
    trouble     text,
    created_at  timestamptz NOT NULL,
    seen_at     timestamptz NOT NULL,
    ready_at    timestamptz,
    expires_at  timestamptz NOT NULL
);
CREATE INDEX exports_open ON exports (id) WHERE ready_at IS NULL;
CREATE INDEX exports_by_account ON exports (account_id, id DESC);
CREATE INDEX exports_by_end ON exports (expires_at);
COMMENT ON TABLE exports IS 'Histories that are written to a file, or are ready to be fetched (M7).';
COMMENT ON COLUMN exports.written IS 'Entries written so far.';
COMMENT ON COLUMN exports.attempts IS 'How often somebody began to write it.';
COMMENT ON COLUMN exports.seen_at IS 'When whoever writes it was last at work; one that fell silent is begun anew.';

CREATE TABLE export_chunks (
    export_id uuid NOT NULL REFERENCES exports (id) ON DELETE CASCADE,
    number    bigint NOT NULL,
    bytes     bytea NOT NULL,
    PRIMARY KEY (export_id, number)
);
COMMENT ON TABLE export_chunks IS 'The file of an export, in pieces.';

CREATE OR REPLACE VIEW contact_history AS
SELECT l.id,
       l.business_id,
       l.client_uid,
       c.client_id,
       c.name AS client_name,
       l.date,
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
