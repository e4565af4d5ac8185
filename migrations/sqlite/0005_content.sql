-- Templates, attachments, and who a business writes as.

-- The mailbox that its emails are from; none: that of the settings.
ALTER TABLE businesses ADD COLUMN email_from TEXT;
-- The mailbox that answers to its emails go to, unless an email names another.
ALTER TABLE businesses ADD COLUMN reply_to TEXT;
-- The number or name that its SMS are from; none: that of the settings.
ALTER TABLE businesses ADD COLUMN sms_from TEXT;

-- Every content that a template ever had; never updated, never deleted.
CREATE TABLE template_versions (
    business_id TEXT NOT NULL REFERENCES businesses (id),
    name        TEXT NOT NULL,
    version     TEXT NOT NULL, -- the first 128 bits of the SHA-256 of the content: the same content is the same version
    method      TEXT NOT NULL CHECK (method IN ('email', 'sms', 'push')),
    type        TEXT,          -- the type of the notifications made from it, unless they bring their own
    subject     TEXT,          -- for push, the title
    text        TEXT,
    html        TEXT,
    created_at  INTEGER NOT NULL,
    PRIMARY KEY (business_id, name, version)
) STRICT;

-- The current version of each template.
CREATE TABLE templates (
    business_id TEXT NOT NULL,
    name        TEXT NOT NULL,
    version     TEXT NOT NULL,
    updated_at  INTEGER NOT NULL,
    PRIMARY KEY (business_id, name),
    FOREIGN KEY (business_id, name, version) REFERENCES template_versions (business_id, name, version)
) STRICT;

-- The files of emails: each content once per business, shared by all that carry it.
CREATE TABLE attachments (
    business_id TEXT NOT NULL,
    sha256      TEXT NOT NULL, -- in hexadecimal
    size        INTEGER NOT NULL,
    bytes       BLOB NOT NULL,
    created_at  INTEGER NOT NULL,
    PRIMARY KEY (business_id, sha256)
) STRICT;

-- Where answers go, if the notification itself says so.
ALTER TABLE message_content ADD COLUMN reply_to TEXT;
-- Name, content type, size and digest of each file, in order; the bytes are in attachments.
ALTER TABLE message_content ADD COLUMN attachments TEXT;

-- Who the business wrote as when it was enqueued; none: the sender of the settings.
ALTER TABLE contact_log ADD COLUMN sender TEXT;
-- The business's address for answers when it was enqueued.
ALTER TABLE contact_log ADD COLUMN reply_to TEXT;
-- The template that the content was made from, and its version (template_versions.version).
ALTER TABLE contact_log ADD COLUMN template_name TEXT;
ALTER TABLE contact_log ADD COLUMN template_version TEXT;
