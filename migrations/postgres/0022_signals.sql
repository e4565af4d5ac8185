-- Which providers refuse our credentials or our set-up; and times in finer steps.
-- Paired with the file of the same name for SQLite.

ALTER TABLE provider_health ADD COLUMN broken boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN provider_health.broken IS 'It rests because it refused our credentials, or what is set up there for us.';

-- From steps that double to two steps for each doubling: 1 up to 50 ms, each next one up to a root of two
-- longer, 50 all that is longer than nine days; 0 no time is known. By way of numbers that nobody has.
UPDATE flow_increments SET bucket = -CASE WHEN bucket < 26 THEN 2 * bucket - 1 ELSE 50 END WHERE bucket > 1;
UPDATE flow_increments SET bucket = -bucket WHERE bucket < 0;
UPDATE flow_counts SET bucket = -CASE WHEN bucket < 26 THEN 2 * bucket - 1 ELSE 50 END WHERE bucket > 1;
UPDATE flow_counts SET bucket = -bucket WHERE bucket < 0;
COMMENT ON COLUMN flow_counts.bucket IS 'How long it took, for sent and delivered since the message was due, for bounces and complaints since it was sent: 1 up to 50 ms, two steps for each doubling, 50 all that is longer than nine days; 0 no time is known.';
