-- Staff who sign in: accounts, sessions, attempts, what they did with their accounts; and which clients
-- each of them sees (C6). Paired with the file of the same name for SQLite.

CREATE TABLE staff_accounts (
    id             uuid PRIMARY KEY,
    business_id    text NOT NULL REFERENCES businesses (id),
    staff_id       text NOT NULL,
    email          text NOT NULL UNIQUE,
    role           text NOT NULL CHECK (role IN ('admin', 'manager', 'staff_advanced', 'staff_plus', 'staff', 'contact_centre')),
    locations      jsonb NOT NULL,
    password       text NOT NULL,
    created_at     timestamptz NOT NULL,
    deactivated_at timestamptz,
    UNIQUE (business_id, staff_id)
);
COMMENT ON TABLE staff_accounts IS 'What a staff member signs in with. The name stands in staff.';
COMMENT ON COLUMN staff_accounts.email IS 'In small letters; unique in the installation, because the sign-in asks for no business.';
COMMENT ON COLUMN staff_accounts.locations IS 'The locations whose clients a Manager and Staff Advanced see: a list of texts.';
COMMENT ON COLUMN staff_accounts.password IS 'Argon2id, in the PHC string format.';

CREATE TABLE staff_sessions (
    digest     text PRIMARY KEY,
    account_id uuid NOT NULL REFERENCES staff_accounts (id),
    created_at timestamptz NOT NULL,
    seen_at    timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX staff_sessions_by_account ON staff_sessions (account_id);
CREATE INDEX staff_sessions_by_end ON staff_sessions (expires_at);
COMMENT ON TABLE staff_sessions IS 'One row for each browser that is signed in; gone when it is not any more.';
COMMENT ON COLUMN staff_sessions.digest IS 'SHA-256 of the cookie in hexadecimal; the cookie itself is not kept.';
COMMENT ON COLUMN staff_sessions.seen_at IS 'Written every few minutes.';

CREATE TABLE sign_in_attempts (
    subject   text PRIMARY KEY,
    failures  bigint NOT NULL,
    last_at   timestamptz NOT NULL,
    closed_at timestamptz NOT NULL
);
CREATE INDEX sign_in_attempts_by_time ON sign_in_attempts (last_at);
COMMENT ON TABLE sign_in_attempts IS 'Sign-ins that failed of late, by account and by network address.';
COMMENT ON COLUMN sign_in_attempts.subject IS 'SHA-256 of what is counted, in hexadecimal; existing accounts and others alike.';
COMMENT ON COLUMN sign_in_attempts.closed_at IS 'No attempt is looked at before.';

CREATE TABLE staff_events (
    id          uuid PRIMARY KEY,
    business_id text NOT NULL,
    account_id  uuid NOT NULL,
    happened_at timestamptz NOT NULL,
    kind        text NOT NULL,
    by_account  uuid,
    detail      jsonb NOT NULL
);
CREATE INDEX staff_events_by_business ON staff_events (business_id, id DESC);
COMMENT ON TABLE staff_events IS 'What happened to accounts; append-only.';
COMMENT ON COLUMN staff_events.by_account IS 'The account of who did it; none: a command on the machine.';

ALTER TABLE clients ADD COLUMN location text;
ALTER TABLE clients ADD COLUMN staff_id text;
CREATE INDEX clients_by_location ON clients (business_id, location) WHERE location IS NOT NULL;
CREATE INDEX clients_by_staff ON clients (business_id, staff_id) WHERE staff_id IS NOT NULL;
COMMENT ON COLUMN clients.location IS 'Where the client belongs.';
COMMENT ON COLUMN clients.staff_id IS 'The staff member whose client it is (staff.staff_id).';

ALTER TABLE businesses ADD COLUMN staff_see_all boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN businesses.staff_see_all IS 'Every role sees every client.';
