-- What a business wants to learn of its emails of a contact type by links of our own.
-- Paired with the file of the same name for PostgreSQL.

-- That they were opened, by a picture in them.
ALTER TABLE contact_types ADD COLUMN track_opens INTEGER NOT NULL DEFAULT 0 CHECK (track_opens IN (0, 1));
-- That a link in them was followed.
ALTER TABLE contact_types ADD COLUMN track_clicks INTEGER NOT NULL DEFAULT 0 CHECK (track_clicks IN (0, 1));
CREATE INDEX contact_types_tracked ON contact_types (business_id, name) WHERE track_opens OR track_clicks;
