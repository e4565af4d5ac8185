-- Which providers refuse our credentials or our set-up.
-- Paired with the file of the same name for PostgreSQL.

-- It rests because it refused our credentials, or what is set up there for us.
ALTER TABLE provider_health ADD COLUMN broken INTEGER NOT NULL DEFAULT 0 CHECK (broken IN (0, 1));
