-- Which programs can work with this schema, so that an old one may start beside a new one.
-- Paired with the file of the same name for PostgreSQL.

-- One row. A migration that takes away what older programs use raises it.
CREATE TABLE schema_floor (
    -- A program whose newest migration is this one or a later one works; none before knows of the floor.
    oldest INTEGER PRIMARY KEY
) STRICT;
INSERT INTO schema_floor (oldest) VALUES (23);
