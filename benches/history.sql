-- Fills a fresh database of sendtrail on PostgreSQL with a history to measure pages on, through the
-- server itself: through the program it would take hours. The bench `pages` runs it; by hand:
--   psql URL -v entries=20000000 -v clients=1000000 -v every=2000 -f benches/history.sql
-- Client C-0 has one entry in `every`, the others the rest.

SET work_mem = '64MB';

SET maintenance_work_mem = '512MB';

SET synchronous_commit = off;

INSERT INTO clients (uid, business_id, client_id, name, email, phone, created_at)
SELECT md5('client ' || n)::uuid, 'default', 'C-' || n,
       (ARRAY['Ana','Bjorn','Chiara','Dimitri','Ewa','Farid','Grace','Hiroko'])[1 + n % 8] || ' '
           || initcap(substr(md5('name ' || n), 1, 6)),
       'client-' || n || '@example.com', '+3519' || lpad(n::text, 8, '0'), now()
FROM generate_series(0, :clients - 1) AS n;

-- Built at the end they take a fraction of the time.
DROP INDEX contact_log_by_client;

DROP INDEX contact_log_by_business;

-- One second after the other; the id is the UUIDv7 of that second (RFC 9562).
CREATE FUNCTION bench_id(n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT (lpad(to_hex((1767225600 + n) * 1000), 12, '0') || '7' || lpad(to_hex(n % 4096), 3, '0')
            || '8' || lpad(to_hex(n), 15, '0'))::uuid
$$;

INSERT INTO contact_log (id, business_id, client_uid, date, method, channel, type, contact_type, manual,
                         address, priority, tags)
SELECT bench_id(n), 'default', md5('client ' || client)::uuid, to_timestamp(1767225600 + n), 'email', 'Outbound',
       'Booking confirmation', 'Client Notifications', false, 'client-' || client || '@example.com', 'normal',
       '["booking"]'
FROM (SELECT n, CASE WHEN n % :every = 0 THEN 0 ELSE 1 + (n * 7919) % (:clients - 1) END AS client
      FROM generate_series(0::bigint, :entries - 1) AS n) AS e;

INSERT INTO delivery_facts (notification_id, sent_at, sent_key, provider, opens_tracked, delivered_at, opened_first_at,
                            opened_last_at, opened_count, clicked_count)
SELECT bench_id(n), sent, bench_id(n), 'ses', true, sent, opened, opened, CASE WHEN opened IS NULL THEN 0 ELSE 1 END, 0
FROM (SELECT n, to_timestamp(1767225600 + n) AS sent,
             CASE WHEN n % 3 = 0 THEN to_timestamp(1767312000 + n) END AS opened
      FROM generate_series(0::bigint, :entries - 1) AS n) AS e;

CREATE INDEX contact_log_by_client ON contact_log (client_uid, id DESC);

CREATE INDEX contact_log_by_business ON contact_log (business_id, id DESC);

VACUUM ANALYZE;
