-- Which providers refuse our credentials or our set-up.
-- Paired with the file of the same name for SQLite.

ALTER TABLE provider_health ADD COLUMN broken boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN provider_health.broken IS 'It rests because it refused our credentials, or what is set up there for us.';
