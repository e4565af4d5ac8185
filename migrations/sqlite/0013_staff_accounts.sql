-- Staff who sign in: accounts, sessions, attempts, what they did with their accounts; and which clients
-- each of them sees (C6). Paired with the file of the same name for PostgreSQL.

-- What a staff member signs in with. The name stands in staff.
CREATE TABLE staff_accounts (
    id             TEXT PRIMARY KEY,
    business_id    TEXT NOT NULL REFERENCES businesses (id),
    staff_id       TEXT NOT NULL,
    -- In small letters; unique in the installation, because the sign-in asks for no business.
    email          TEXT NOT NULL UNIQUE,
    role           TEXT NOT NULL CHECK (role IN ('admin', 'manager', 'staff_advanced', 'staff_plus', 'staff', 'contact_centre')),
    -- The locations whose clients a Manager and Staff Advanced see: a list of texts.
    locations      TEXT NOT NULL,
    -- Argon2id, in the PHC string format.
    password       TEXT NOT NULL,
    created_at     INTEGER NOT NULL,
    deactivated_at INTEGER,
    UNIQUE (business_id, staff_id)
) STRICT;

-- One row for each browser that is signed in; gone when it is not any more.
CREATE TABLE staff_sessions (
    -- SHA-256 of the cookie in hexadecimal; the cookie itself is not kept.
    digest     TEXT PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES staff_accounts (id),
    created_at INTEGER NOT NULL,
    -- Written every few minutes.
    seen_at    INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX staff_sessions_by_account ON staff_sessions (account_id);
CREATE INDEX staff_sessions_by_end ON staff_sessions (expires_at);

-- Sign-ins that failed of late, by account and by network address.
CREATE TABLE sign_in_attempts (
    -- SHA-256 of what is counted, in hexadecimal; existing accounts and others alike.
    subject   TEXT PRIMARY KEY,
    failures  INTEGER NOT NULL,
    last_at   INTEGER NOT NULL,
    -- No attempt is looked at before.
    closed_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sign_in_attempts_by_time ON sign_in_attempts (last_at);

-- What happened to accounts; append-only.
CREATE TABLE staff_events (
    id          TEXT PRIMARY KEY,
    business_id TEXT NOT NULL,
    account_id  TEXT NOT NULL,
    happened_at INTEGER NOT NULL,
    kind        TEXT NOT NULL,
    -- The account of who did it; none: a command on the machine.
    by_account  TEXT,
    detail      TEXT NOT NULL
) STRICT;
CREATE INDEX staff_events_by_business ON staff_events (business_id, id DESC);

-- Where the client belongs, and the staff member whose client it is (staff.staff_id).
ALTER TABLE clients ADD COLUMN location TEXT;
ALTER TABLE clients ADD COLUMN staff_id TEXT;
CREATE INDEX clients_by_location ON clients (business_id, location) WHERE location IS NOT NULL;
CREATE INDEX clients_by_staff ON clients (business_id, staff_id) WHERE staff_id IS NOT NULL;

-- Every role sees every client.
ALTER TABLE businesses ADD COLUMN staff_see_all INTEGER NOT NULL DEFAULT 0 CHECK (staff_see_all IN (0, 1));
