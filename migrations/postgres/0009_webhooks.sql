-- Outbound webhooks: applications are told what becomes of their notifications. Paired with the file
-- of the same name for SQLite.

CREATE TABLE webhook_endpoints (
    id                uuid PRIMARY KEY,
    business_id       text NOT NULL REFERENCES businesses (id),
    url               text NOT NULL,
    description       text,
    events            text NOT NULL,
    secret            text NOT NULL,
    previous_secret   text,
    previous_ends_at  timestamptz,
    created_at        timestamptz NOT NULL,
    failures          bigint NOT NULL,
    failing_since_at  timestamptz,
    last_error        text,
    last_delivered_at timestamptz,
    disabled_at       timestamptz,
    next_at           timestamptz NOT NULL,
    holder            text,
    lease_until       timestamptz
);
CREATE INDEX webhook_endpoints_by_business ON webhook_endpoints (business_id, id);
COMMENT ON TABLE webhook_endpoints IS 'Where the events of a business are sent.';
COMMENT ON COLUMN webhook_endpoints.events IS 'Between commas, with one at either end; empty: all events.';
COMMENT ON COLUMN webhook_endpoints.secret IS 'What signs, in the form of Standard Webhooks; the application was shown it once.';
COMMENT ON COLUMN webhook_endpoints.previous_secret IS 'Signs beside it until previous_ends_at, so that the application can change over.';
COMMENT ON COLUMN webhook_endpoints.failures IS 'Rounds in a row in which nothing was taken.';
COMMENT ON COLUMN webhook_endpoints.last_error IS 'What was wrong with the last round in which something was not taken.';
COMMENT ON COLUMN webhook_endpoints.disabled_at IS 'Nothing is sent any more, because nothing was taken for too long; events are still kept for it.';
COMMENT ON COLUMN webhook_endpoints.next_at IS 'Nothing is sent before.';
COMMENT ON COLUMN webhook_endpoints.holder IS 'The worker that sends to it; nobody else does until lease_until.';

CREATE TABLE webhook_deliveries (
    endpoint_id     uuid NOT NULL,
    id              uuid NOT NULL,
    notification_id uuid NOT NULL,
    event_key       uuid NOT NULL,
    event           text NOT NULL,
    queued_at       timestamptz NOT NULL,
    due_at          timestamptz,
    attempts        bigint NOT NULL,
    delivered_at    timestamptz,
    PRIMARY KEY (endpoint_id, id)
);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (endpoint_id, due_at, id) WHERE due_at IS NOT NULL;
CREATE INDEX webhook_deliveries_by_id ON webhook_deliveries (id);
COMMENT ON TABLE webhook_deliveries IS 'One event for one endpoint: written in the commit of the event itself, kept for some time after it was sent, so that it can be sent again.';
COMMENT ON COLUMN webhook_deliveries.id IS 'UUIDv7: the webhook-id, the same each time that it is sent.';
COMMENT ON COLUMN webhook_deliveries.queued_at IS 'Since when it has been waiting: since the event, or since a replay.';
COMMENT ON COLUMN webhook_deliveries.due_at IS 'When it is sent next; none: it was taken, or given up.';
