-- Templates, attachments, and who a business writes as.

ALTER TABLE businesses
    ADD COLUMN email_from text,
    ADD COLUMN reply_to   text,
    ADD COLUMN sms_from   text;
COMMENT ON COLUMN businesses.email_from IS 'The mailbox that its emails are from; none: that of the settings.';
COMMENT ON COLUMN businesses.reply_to IS 'The mailbox that answers to its emails go to, unless an email names another.';
COMMENT ON COLUMN businesses.sms_from IS 'The number or name that its SMS are from; none: that of the settings.';

CREATE TABLE template_versions (
    business_id text NOT NULL REFERENCES businesses (id),
    name        text NOT NULL,
    version     uuid NOT NULL,
    method      text NOT NULL CHECK (method IN ('email', 'sms', 'push')),
    type        text,
    subject     text,
    text        text,
    html        text,
    created_at  timestamptz NOT NULL,
    PRIMARY KEY (business_id, name, version)
);
COMMENT ON TABLE template_versions IS 'Every content that a template ever had; never updated, never deleted.';
COMMENT ON COLUMN template_versions.version IS 'The first 128 bits of the SHA-256 of the content: the same content is the same version.';
COMMENT ON COLUMN template_versions.type IS 'The type of the notifications made from it, unless they bring their own.';
COMMENT ON COLUMN template_versions.subject IS 'For push, the title.';

CREATE TABLE templates (
    business_id text NOT NULL,
    name        text NOT NULL,
    version     uuid NOT NULL,
    updated_at  timestamptz NOT NULL,
    PRIMARY KEY (business_id, name),
    FOREIGN KEY (business_id, name, version) REFERENCES template_versions (business_id, name, version)
);
COMMENT ON TABLE templates IS 'The current version of each template.';

CREATE TABLE attachments (
    business_id text NOT NULL,
    sha256      text NOT NULL,
    size        bigint NOT NULL,
    bytes       bytea NOT NULL,
    created_at  timestamptz NOT NULL,
    PRIMARY KEY (business_id, sha256)
);
-- Files are compressed already: trying again costs time and gains nothing.
ALTER TABLE attachments ALTER COLUMN bytes SET STORAGE EXTERNAL;
COMMENT ON TABLE attachments IS 'The files of emails: each content once per business, shared by all that carry it.';
COMMENT ON COLUMN attachments.sha256 IS 'In hexadecimal.';

ALTER TABLE message_content
    ADD COLUMN reply_to    text,
    ADD COLUMN attachments jsonb;
COMMENT ON COLUMN message_content.reply_to IS 'Where answers go, if the notification itself says so.';
COMMENT ON COLUMN message_content.attachments IS 'Name, content type, size and digest of each file, in order; the bytes are in attachments.';

ALTER TABLE contact_log
    ADD COLUMN sender           text,
    ADD COLUMN reply_to         text,
    ADD COLUMN template_name    text,
    ADD COLUMN template_version uuid;
COMMENT ON COLUMN contact_log.sender IS 'Who the business wrote as when it was enqueued; none: the sender of the settings.';
COMMENT ON COLUMN contact_log.reply_to IS 'The business''s address for answers when it was enqueued.';
COMMENT ON COLUMN contact_log.template_name IS 'The template that the content was made from.';
COMMENT ON COLUMN contact_log.template_version IS 'Its version (template_versions.version).';
