-- What a business wants to learn of its emails of a contact type by links of our own.
-- Paired with the file of the same name for SQLite.

ALTER TABLE contact_types
    ADD COLUMN track_opens  boolean NOT NULL DEFAULT false,
    ADD COLUMN track_clicks boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN contact_types.track_opens IS 'Its business wants to learn that emails of this type were opened, by a picture in them.';
COMMENT ON COLUMN contact_types.track_clicks IS 'Its business wants to learn that a link in emails of this type was followed.';
CREATE INDEX contact_types_tracked ON contact_types (business_id, name) WHERE track_opens OR track_clicks;
