-- What is kept of clients who were forgotten, and for how long.
-- Paired with the file of the same name for SQLite.

-- Decides and writes what was read, as before; but nothing is enqueued for a client who was erased, whose card
-- stays blank. ST001 when another writer was faster.
CREATE OR REPLACE FUNCTION sendtrail_admit_uncounted(asked jsonb[], pointers text[], business text, instant timestamptz) RETURNS jsonb[]
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    now_is CONSTANT timestamptz := date_trunc('milliseconds', instant);
    -- Keys that have an owner: stored before, or of this request.
    key_names text[];
    key_digests text[];
    key_owners uuid[];
    -- Cards: stored ones, then new ones.
    card_clients text[];
    card_uids uuid[];
    card_names text[];
    card_emails text[];
    card_phones text[];
    card_erased boolean[];
    stored_cards integer;
    completed uuid[] := '{}';
    -- What is to be written, side by side.
    ids uuid[] := '{}';
    uids uuid[] := '{}';
    addresses text[] := '{}';
    staged jsonb[] := '{}';
    answers jsonb[] := '{}';
    errors jsonb[] := '{}';
    n jsonb;
    told jsonb;
    k integer;
    c integer;
    to_address text;
    new_id uuid;
    written bigint;
BEGIN
    SELECT coalesce(array_agg(o.key), '{}'), coalesce(array_agg(o.body_digest), '{}'), coalesce(array_agg(o.notification_id), '{}')
    INTO key_names, key_digests, key_owners
    FROM idempotency_keys AS o
    WHERE o.business_id = business AND o.key = ANY (ARRAY(SELECT a ->> 'key' FROM unnest(asked) AS a));
    SELECT coalesce(array_agg(o.client_id), '{}'), coalesce(array_agg(o.uid), '{}'), coalesce(array_agg(o.name), '{}'),
        coalesce(array_agg(o.email), '{}'), coalesce(array_agg(o.phone), '{}'),
        coalesce(array_agg(o.erased_at IS NOT NULL), '{}')
    INTO card_clients, card_uids, card_names, card_emails, card_phones, card_erased
    FROM clients AS o
    WHERE o.business_id = business AND o.client_id = ANY (ARRAY(SELECT a -> 'client' ->> 0 FROM unnest(asked) AS a));
    stored_cards := cardinality(card_uids);

    FOR i IN 1 .. cardinality(asked) LOOP
        n := asked[i];
        k := array_position(key_names, n ->> 'key');
        IF k IS NOT NULL THEN
            IF key_digests[k] = n ->> 'digest' THEN
                answers := answers || jsonb_build_object('id', key_owners[k], 'duplicate', true);
            ELSE
                errors := errors || sendtrail_wrong(pointers[i] || '/idempotency_key',
                    'the key was used before with another body: use a new key for a new notification');
            END IF;
            CONTINUE;
        END IF;
        IF (n ->> 'expires_at')::timestamptz <= now_is THEN
            errors := errors || sendtrail_wrong(pointers[i] || '/expires_at', 'must be in the future');
            CONTINUE;
        END IF;
        -- Blanks of the card are filled; what staff or an earlier call wrote is never overwritten.
        told := n -> 'client';
        c := array_position(card_clients, told ->> 0);
        IF card_erased[c] THEN
            errors := errors || sendtrail_wrong(pointers[i] || '/client/id',
                'is that of a client who was erased: use the application''s own id, which makes a new client');
            CONTINUE;
        END IF;
        to_address := n ->> 'to';
        IF to_address IS NULL THEN
            CASE n ->> 'method'
            WHEN 'email' THEN to_address := coalesce(card_emails[c], told ->> 2);
            WHEN 'sms' THEN to_address := coalesce(card_phones[c], told ->> 3);
            ELSE to_address := NULL;
            END CASE;
            IF to_address IS NULL THEN
                errors := errors || sendtrail_wrong(pointers[i] || '/to',
                    'no `to` was given, and the client has no address of this method on its card');
                CONTINUE;
            END IF;
            to_address := sendtrail_address(n ->> 'method', to_address);
            IF to_address IS NULL THEN
                errors := errors || sendtrail_wrong(pointers[i] || '/to',
                    'the address on the client''s card ' || sendtrail_no_address(n ->> 'method'));
                CONTINUE;
            END IF;
        END IF;
        IF c IS NULL THEN
            c := cardinality(card_uids) + 1;
            card_clients[c] := told ->> 0;
            card_uids[c] := sendtrail_uuid(instant, i);
            card_names[c] := told ->> 1;
            card_emails[c] := told ->> 2;
            card_phones[c] := told ->> 3;
        ELSIF card_names[c] IS NULL AND told ->> 1 IS NOT NULL
            OR card_emails[c] IS NULL AND told ->> 2 IS NOT NULL
            OR card_phones[c] IS NULL AND told ->> 3 IS NOT NULL
        THEN
            card_names[c] := coalesce(card_names[c], told ->> 1);
            card_emails[c] := coalesce(card_emails[c], told ->> 2);
            card_phones[c] := coalesce(card_phones[c], told ->> 3);
            IF c <= stored_cards THEN
                completed := completed || card_uids[c];
            END IF;
        END IF;
        new_id := sendtrail_uuid(instant, i);
        IF n ? 'key' THEN
            key_names := key_names || (n ->> 'key');
            key_digests := key_digests || (n ->> 'digest');
            key_owners := key_owners || new_id;
        END IF;
        ids := ids || new_id;
        uids := uids || card_uids[c];
        addresses := addresses || to_address;
        staged := staged || n;
        answers := answers || jsonb_build_object('id', new_id, 'duplicate', false);
    END LOOP;
    IF errors <> '{}' THEN
        -- Keys alone: a conflict (409 over HTTP).
        PERFORM sendtrail_refuse(CASE WHEN '/idempotency_key' = ALL (SELECT right(e ->> 'pointer', 16) FROM unnest(errors) AS e)
                                      THEN 'ST409' ELSE 'ST422' END, errors);
    END IF;
    IF staged = '{}' THEN
        RETURN answers;
    END IF;

    -- Each table in one order for every writer, so that two of them cannot wait for each other.
    INSERT INTO clients (uid, business_id, client_id, name, email, phone, created_at)
    SELECT o.uid, business, o.client_id, o.name, o.email, o.phone, now_is
    FROM unnest(card_uids, card_clients, card_names, card_emails, card_phones)
        WITH ORDINALITY AS o (uid, client_id, name, email, phone, number)
    WHERE o.number > stored_cards
    ORDER BY o.client_id COLLATE "C"
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS written = ROW_COUNT;
    IF written < cardinality(card_uids) - stored_cards THEN
        RAISE EXCEPTION USING ERRCODE = 'ST001';
    END IF;
    IF completed <> '{}' THEN
        -- Read again under a lock: what was blank may be filled by now.
        PERFORM FROM clients AS o WHERE o.uid = ANY (completed) ORDER BY o.uid FOR UPDATE;
        IF EXISTS (SELECT
                   FROM clients AS o
                   JOIN unnest(card_uids, card_names, card_emails, card_phones) AS ours (uid, name, email, phone) USING (uid)
                   WHERE o.uid = ANY (completed) AND (o.name IS DISTINCT FROM ours.name AND o.name IS NOT NULL
                       OR o.email IS DISTINCT FROM ours.email AND o.email IS NOT NULL
                       OR o.phone IS DISTINCT FROM ours.phone AND o.phone IS NOT NULL))
        THEN
            RAISE EXCEPTION USING ERRCODE = 'ST001';
        END IF;
        UPDATE clients AS o
        SET name = ours.name, email = ours.email, phone = ours.phone
        FROM unnest(card_uids, card_names, card_emails, card_phones) AS ours (uid, name, email, phone)
        WHERE o.uid = ours.uid AND o.uid = ANY (completed);
    END IF;
    INSERT INTO contact_types (business_id, name, created_at)
    SELECT DISTINCT business, s ->> 'contact_type' COLLATE "C", now_is FROM unnest(staged) AS s ORDER BY 2
    ON CONFLICT DO NOTHING;
    INSERT INTO staff (business_id, staff_id, name, created_at)
    SELECT DISTINCT business, s ->> 'staff_id' COLLATE "C", s ->> 'staff_id', now_is FROM unnest(staged) AS s
    WHERE s ->> 'staff_id' IS NOT NULL
    ORDER BY 2
    ON CONFLICT DO NOTHING;
    INSERT INTO idempotency_keys (business_id, key, body_digest, notification_id, created_at)
    SELECT business, s.n ->> 'key', (s.n ->> 'digest')::uuid, s.id, now_is
    FROM unnest(ids, staged) AS s (id, n)
    WHERE s.n ? 'key'
    ORDER BY s.n ->> 'key' COLLATE "C"
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS written = ROW_COUNT;
    IF written < (SELECT count(*) FROM unnest(staged) AS s WHERE s ? 'key') THEN
        RAISE EXCEPTION USING ERRCODE = 'ST001';
    END IF;
    INSERT INTO attachments (business_id, sha256, size, bytes, created_at)
    SELECT DISTINCT ON (a.kept ->> 'sha256' COLLATE "C") business, a.kept ->> 'sha256', (a.kept -> 'size')::bigint,
        decode(s.n -> 'files' -> (a.number - 1)::integer ->> 'data', 'base64'), now_is
    FROM unnest(staged) AS s (n)
    CROSS JOIN jsonb_array_elements(sendtrail_given(s.n -> 'content', 'attachments')) WITH ORDINALITY AS a (kept, number)
    ORDER BY a.kept ->> 'sha256' COLLATE "C"
    ON CONFLICT DO NOTHING;
    INSERT INTO message_content (id, subject, text, html, data, reply_to, attachments)
    SELECT s.id, coalesce(t.content ->> 'subject', t.content ->> 'title'), t.content ->> 'text', t.content ->> 'html',
        t.content -> 'data', t.content ->> 'reply_to', sendtrail_given(t.content, 'attachments')
    FROM unnest(ids, staged) AS s (id, n)
    CROSS JOIN LATERAL (SELECT s.n -> 'content') AS t (content);
    -- Who it is from is what the business says now: what is sent later is what is shown.
    INSERT INTO contact_log (id, business_id, client_uid, date, method, channel, type, contact_type, staff_id,
        manual, address, content_id, priority, send_at, expires_at, metadata, sender, reply_to)
    SELECT s.id, business, s.uid, now_is, s.n ->> 'method', 'Outbound', s.n ->> 'type', s.n ->> 'contact_type',
        s.n ->> 'staff_id', false, s.address, s.id, s.n ->> 'priority',
        (s.n ->> 'send_at')::timestamptz, (s.n ->> 'expires_at')::timestamptz, sendtrail_given(s.n, 'metadata'),
        CASE s.n ->> 'method' WHEN 'email' THEN x.email_from WHEN 'sms' THEN x.sms_from END,
        CASE s.n ->> 'method' WHEN 'email' THEN x.reply_to END
    FROM unnest(ids, uids, addresses, staged) AS s (id, uid, address, n)
    JOIN businesses AS x ON x.id = business;
    INSERT INTO jobs (id, business_id, method, lane, due_at, ready, bytes, attempts, failures)
    SELECT s.id, business, s.n ->> 'method', sendtrail_lane(s.n ->> 'method', s.address, s.n ->> 'priority'),
        t.due_at, t.due_at <= now_is,
        coalesce(octet_length(s.n -> 'content' ->> 'text'), 0) + coalesce(octet_length(s.n -> 'content' ->> 'html'), 0), 0, 0
    FROM unnest(ids, addresses, staged) AS s (id, address, n)
    CROSS JOIN LATERAL (SELECT greatest(now_is, (s.n ->> 'send_at')::timestamptz)) AS t (due_at);
    -- Heard when the caller's transaction commits.
    PERFORM pg_notify('sendtrail_jobs', '');
    RETURN answers;
END
$$;

CREATE TABLE forgotten_recipients (
    notification_id uuid PRIMARY KEY,
    method          text NOT NULL,
    digest          text NOT NULL,
    expires_at      timestamptz NOT NULL
);
CREATE INDEX forgotten_recipients_old ON forgotten_recipients (expires_at);
COMMENT ON TABLE forgotten_recipients IS 'Whom messages went to whose client was erased, for a complaint or an opt-out that is still to come.';
COMMENT ON COLUMN forgotten_recipients.digest IS 'Of the address, as in the list of suppressed addresses.';
COMMENT ON COLUMN forgotten_recipients.expires_at IS 'The row goes then.';
