-- What operators are told of by webhooks of their own.
-- Paired with the file of the same name for SQLite.

CREATE TABLE operation_matters (
    matter   text NOT NULL,
    subject  text NOT NULL,
    since_at timestamptz NOT NULL,
    tell_at  timestamptz NOT NULL,
    told_at  timestamptz,
    PRIMARY KEY (matter, subject)
);
COMMENT ON TABLE operation_matters IS 'Matters that last, as any process saw them last.';
COMMENT ON COLUMN operation_matters.subject IS 'What it is about: a topic, a provider, a queue.';
COMMENT ON COLUMN operation_matters.tell_at IS 'Not news before: it may be over by itself.';
COMMENT ON COLUMN operation_matters.told_at IS 'When it became news; none: not yet.';

CREATE TABLE operation_news (
    id          uuid PRIMARY KEY,
    url         text NOT NULL,
    matter      text NOT NULL,
    subject     text NOT NULL,
    cleared     boolean NOT NULL,
    since_at    timestamptz NOT NULL,
    happened_at timestamptz NOT NULL,
    due_at      timestamptz,
    attempts    bigint NOT NULL
);
CREATE INDEX operation_news_due ON operation_news (due_at, id) WHERE due_at IS NOT NULL;
COMMENT ON TABLE operation_news IS 'That a matter began or ended, once for each address to which operators are told.';
COMMENT ON COLUMN operation_news.id IS 'UUIDv7: the webhook-id, the same each time that it is sent.';
COMMENT ON COLUMN operation_news.cleared IS 'It is over.';
COMMENT ON COLUMN operation_news.due_at IS 'When it is sent next; none: it was taken, or given up.';
