-- Which programs can work with this schema, so that an old one may start beside a new one.
-- Paired with the file of the same name for SQLite.

CREATE TABLE schema_floor (
    oldest bigint PRIMARY KEY
);
COMMENT ON TABLE schema_floor IS 'One row: which programs can work with this schema. A migration that takes away what older programs use raises it.';
COMMENT ON COLUMN schema_floor.oldest IS 'A program whose newest migration is this one or a later one works; none before knows of the floor.';
INSERT INTO schema_floor (oldest) VALUES (23);
