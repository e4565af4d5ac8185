-- What operators and workers say of providers: pauses, switches of traffic, health.

-- Providers that operators paused: nothing is sent by them until they are resumed.
CREATE TABLE provider_pauses (
    id         TEXT PRIMARY KEY,
    method     TEXT NOT NULL CHECK (method IN ('email', 'sms', 'push')),
    -- None: every provider of the method.
    provider   TEXT,
    reason     TEXT NOT NULL,
    paused_by  TEXT NOT NULL,
    paused_at  INTEGER NOT NULL,
    resumed_by TEXT,
    -- None: still paused.
    resumed_at INTEGER
) STRICT;
CREATE INDEX provider_pauses_open ON provider_pauses (method, provider) WHERE resumed_at IS NULL;

-- Every time that a worker's traffic moved from one provider to another, and why; kept for 90 days.
CREATE TABLE provider_switches (
    id            TEXT PRIMARY KEY,
    method        TEXT NOT NULL,
    worker        TEXT NOT NULL,
    -- None: no provider could be used before.
    from_provider TEXT,
    -- None: no provider can be used; messages wait.
    to_provider   TEXT,
    reason        TEXT NOT NULL,
    switched_at   INTEGER NOT NULL
) STRICT;

-- How each living worker sees each of its providers; written every few seconds.
CREATE TABLE provider_health (
    worker             TEXT NOT NULL,
    method             TEXT NOT NULL,
    provider           TEXT NOT NULL,
    -- Its place in the order of preference, from 1.
    place              INTEGER NOT NULL,
    -- It has this worker's traffic.
    active             INTEGER NOT NULL CHECK (active IN (0, 1)),
    -- Of its circuit breaker: closed, it may be called; open, it rests; half_open, single messages
    -- show whether it is well.
    state              TEXT NOT NULL CHECK (state IN ('closed', 'half_open', 'open')),
    rests_until        INTEGER,
    rests_because      TEXT,
    -- Units (messages; segments of SMS) it takes at present.
    taken_per_minute   INTEGER NOT NULL,
    -- Units the worker allows itself at present; none: no limit is known.
    allowed_per_minute INTEGER,
    -- The rate at which it refused last; none: it never did.
    learnt_per_minute  INTEGER,
    error_at           INTEGER,
    error_code         TEXT,
    error_text         TEXT,
    seen_at            INTEGER NOT NULL,
    PRIMARY KEY (worker, method, provider)
) STRICT;
