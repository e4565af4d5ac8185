-- A click implies an open: of the two, that which came first stands against the bounce.
-- Paired with the file of the same name for SQLite.

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
                THEN CASE WHEN least(f.opened_first_at, f.clicked_first_at) <= f.bounced_at
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
