-- What operators and workers say of providers: pauses, switches of traffic, health.

CREATE TABLE provider_pauses (
    id         uuid PRIMARY KEY,
    method     text NOT NULL CHECK (method IN ('email', 'sms', 'push')),
    provider   text,
    reason     text NOT NULL,
    paused_by  text NOT NULL,
    paused_at  timestamptz NOT NULL,
    resumed_by text,
    resumed_at timestamptz
);
CREATE INDEX provider_pauses_open ON provider_pauses (method, provider) WHERE resumed_at IS NULL;
COMMENT ON TABLE provider_pauses IS 'Providers that operators paused: nothing is sent by them until they are resumed.';
COMMENT ON COLUMN provider_pauses.provider IS 'None: every provider of the method.';
COMMENT ON COLUMN provider_pauses.resumed_at IS 'None: still paused.';

CREATE TABLE provider_switches (
    id            uuid PRIMARY KEY,
    method        text NOT NULL,
    worker        text NOT NULL,
    from_provider text,
    to_provider   text,
    reason        text NOT NULL,
    switched_at   timestamptz NOT NULL
);
COMMENT ON TABLE provider_switches IS 'Every time that a worker''s traffic moved from one provider to another, and why; kept for 90 days.';
COMMENT ON COLUMN provider_switches.from_provider IS 'None: no provider could be used before.';
COMMENT ON COLUMN provider_switches.to_provider IS 'None: no provider can be used; messages wait.';

CREATE TABLE provider_health (
    worker             text NOT NULL,
    method             text NOT NULL,
    provider           text NOT NULL,
    place              bigint NOT NULL,
    active             boolean NOT NULL,
    state              text NOT NULL CHECK (state IN ('closed', 'half_open', 'open')),
    rests_until        timestamptz,
    rests_because      text,
    taken_per_minute   bigint NOT NULL,
    allowed_per_minute bigint,
    learnt_per_minute  bigint,
    error_at           timestamptz,
    error_code         text,
    error_text         text,
    seen_at            timestamptz NOT NULL,
    PRIMARY KEY (worker, method, provider)
) WITH (fillfactor = 50);
COMMENT ON TABLE provider_health IS 'How each living worker sees each of its providers; written every few seconds.';
COMMENT ON COLUMN provider_health.place IS 'Its place in the order of preference, from 1.';
COMMENT ON COLUMN provider_health.active IS 'It has this worker''s traffic.';
COMMENT ON COLUMN provider_health.state IS 'Of its circuit breaker: closed, it may be called; open, it rests; half_open, single messages show whether it is well.';
COMMENT ON COLUMN provider_health.taken_per_minute IS 'Units (messages; segments of SMS) it takes at present.';
COMMENT ON COLUMN provider_health.allowed_per_minute IS 'Units the worker allows itself at present; none: no limit is known.';
COMMENT ON COLUMN provider_health.learnt_per_minute IS 'The rate at which it refused last; none: it never did.';
