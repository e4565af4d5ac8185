-- More ways in. Paired with the file of the same name for SQLite: the same table. The functions are
-- PostgreSQL's alone.

CREATE TABLE buried_messages (
    id          uuid PRIMARY KEY,
    business_id text NOT NULL,
    source      text NOT NULL,
    message_id  text NOT NULL,
    received_at timestamptz NOT NULL,
    reason      jsonb NOT NULL,
    body        text NOT NULL,
    UNIQUE (source, message_id)
);
COMMENT ON TABLE buried_messages IS 'Messages from a queue that could not be enqueued, until an operator has seen to them.';
COMMENT ON COLUMN buried_messages.source IS 'The queue''s URL.';
COMMENT ON COLUMN buried_messages.message_id IS 'The queue''s own id of the message: one that comes twice is buried once.';
COMMENT ON COLUMN buried_messages.reason IS 'What is wrong with it: a list of {pointer, detail}.';
COMMENT ON COLUMN buried_messages.body IS 'As it came.';

-- What waits for one kind of provider holds up nobody who goes by another.
COMMENT ON COLUMN jobs.lane IS 'The priority: 0 high, 1 normal, 2 bulk; and of push targets by their form: 10 more for ARNs of SNS, 20 more for device tokens of APNs.';

-- sendtrail_enqueue(request, business) enqueues as POST /v1/notifications does, inside the caller's
-- own transaction: the same fields, checks, limits, words and idempotency keys. The functions below
-- are its parts, in the order in which they use each other; those named _fault give what is wrong
-- with a value, in words, or null. tests/it/sql compares them with the HTTP call.

-- Without the white space around it, as Unicode has it.
CREATE FUNCTION sendtrail_trim(text_given text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT btrim(text_given, U&'\0009\000A\000B\000C\000D\0020\0085\00A0\1680\2000\2001\2002\2003'
        '\2004\2005\2006\2007\2008\2009\200A\2028\2029\202F\205F\3000')
$$;

-- A pointer one step deeper (RFC 6901 3 and 4); a hostile name is not repeated in full.
CREATE FUNCTION sendtrail_step(at text, name text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT at || '/' || replace(replace(left(name, 100), '~', '~0'), '/', '~1')
$$;

-- A list of one error, or of none where there is no detail.
CREATE FUNCTION sendtrail_wrong(pointer text, detail text) RETURNS jsonb[] LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF detail IS NULL THEN
        RETURN '{}';
    END IF;
    RETURN ARRAY[jsonb_build_object('pointer', pointer, 'detail', detail)];
END
$$;

-- The names of an object that are not known; those of emails alone are known to be misplaced.
CREATE FUNCTION sendtrail_unknown(object jsonb, at text, names text[], of_email text[] DEFAULT '{}') RETURNS jsonb[] LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF object - names = '{}' THEN
        RETURN '{}';
    END IF;
    RETURN (SELECT array_agg(e.error)
            FROM (SELECT jsonb_build_object('pointer', sendtrail_step(at, k.name), 'detail',
                             CASE WHEN k.name = ANY (of_email) THEN 'only emails can have this; send an email, or leave it out'
                                  ELSE 'is not known here; the names known here are: ' || array_to_string(names, ', ') END) AS error
                  FROM jsonb_object_keys(object - names) AS k (name)
                  ORDER BY k.name COLLATE "C"
                  LIMIT 1000) AS e);
END
$$;

-- A field; null is the same as absent.
CREATE FUNCTION sendtrail_given(object jsonb, name text) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT nullif(object -> name, 'null')
$$;

CREATE FUNCTION sendtrail_text_fault(value jsonb, length_max integer) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN CASE WHEN value IS NULL THEN NULL
                WHEN jsonb_typeof(value) <> 'string' THEN 'must be a string'
                WHEN sendtrail_trim(value #>> '{}') = '' THEN 'must not be empty'
                WHEN length(value #>> '{}') > length_max
                    THEN 'is too long: at most ' || length_max || ' characters' END;
END
$$;

-- Line breaks could forge mail headers.
CREATE FUNCTION sendtrail_line_fault(value jsonb, length_max integer) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN coalesce(sendtrail_text_fault(value, length_max),
        CASE WHEN sendtrail_trim(value #>> '{}') COLLATE "C" ~ '[\u0001-\u001F\u007F-\u009F]'
             THEN 'must be one line without control characters' END);
END
$$;

CREATE FUNCTION sendtrail_id_fault(value jsonb) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN coalesce(sendtrail_text_fault(value, 255),
        CASE WHEN (value #>> '{}') COLLATE "C" ~ '[\u0001-\u001F\u007F-\u009F]'
                  OR sendtrail_trim(value #>> '{}') <> value #>> '{}'
             THEN 'must have no control characters, and no white space around it' END);
END
$$;

CREATE FUNCTION sendtrail_key_fault(value jsonb, length_max integer) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN coalesce(sendtrail_text_fault(value, length_max),
        CASE WHEN (value #>> '{}') COLLATE "C" !~ '^[!-~]*$'
             THEN 'must be visible ASCII characters without spaces' END);
END
$$;

CREATE FUNCTION sendtrail_word_fault(value jsonb, words text[]) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN CASE WHEN jsonb_typeof(value) <> 'string' OR value #>> '{}' <> ALL (words)
                THEN 'must be one of: ' || array_to_string(words, ', ') END;
END
$$;

-- RFC 3339 5.6, cut to whole milliseconds; null if it is none, or later than can be written.
CREATE FUNCTION sendtrail_time(written text) RETURNS timestamptz LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    part text[] := regexp_match(sendtrail_trim(written) COLLATE "C",
        '^([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9}))?'
        '(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))$');
    -- PostgreSQL has no year 0: the year before 1 is -1.
    year integer := CASE part[1] WHEN '0000' THEN -1 ELSE part[1]::integer END;
    -- One with the same length of February.
    like_year integer := CASE year WHEN -1 THEN 4 ELSE year END;
    instant timestamptz;
BEGIN
    IF part IS NULL
        OR part[2] NOT BETWEEN '01' AND '12'
        OR part[3]::integer NOT BETWEEN 1
            AND extract(day FROM make_date(like_year, part[2]::integer, 1) + interval '1 month - 1 day')
        OR part[4] > '23' OR part[5] > '59' OR part[6] > '60' OR part[9] > '23' OR part[10] > '59'
    THEN
        RETURN NULL;
    END IF;
    -- A leap second is the one before it.
    instant := make_timestamp(year, part[2]::integer, part[3]::integer, part[4]::integer,
            part[5]::integer, least(part[6]::integer, 59)) AT TIME ZONE 'UTC'
        + rpad(left(coalesce(part[7], ''), 3), 3, '0')::integer * interval '1 millisecond'
        - coalesce((part[8] || part[9] || ':' || part[10])::interval, '0');
    IF instant > '9999-12-30 22:00:00.999999Z' THEN
        RETURN NULL;
    END IF;
    RETURN greatest(instant, '0001-01-01 00:00:00Z');
END
$$;

CREATE FUNCTION sendtrail_time_fault(value jsonb) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN coalesce(sendtrail_text_fault(value, 64),
        CASE WHEN value IS NOT NULL AND sendtrail_time(value #>> '{}') IS NULL
             THEN 'is not a time: write it as RFC 3339, for example 2027-01-01T09:00:00Z' END);
END
$$;

-- Whether a text is an email address. Beyond ASCII it may have the blocks that hold letters, without
-- their invisible characters.
CREATE FUNCTION sendtrail_is_email(bare text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    local text := split_part(bare, '@', 1);
    domain text := substr(bare, length(local) + 2);
BEGIN
    RETURN octet_length(bare) <= 254 AND octet_length(local) BETWEEN 1 AND 64
        AND bare COLLATE "C" ~ '^[@.!#$%&''*+/=?^_`{|}~A-Za-z0-9\u00C0-\u061B\u061D-\u167F\u1681-\u180D\u180F-\u1FFF\u2C00-\u2DFF\u3005-\u3007\u3041-\uD7FF\uF900-\uFDCF\uFE70-\uFEFC\U00010000-\U0001CFFF\U00020000-\U0003FFFF-]+$'
        AND local COLLATE "C" !~ '^\.|\.\.|\.$'
        AND domain COLLATE "C" !~ '[@!#$%&''*+/=?^_`{|}~]|(^|\.)(-|\.|$)|-(\.|$)'
        AND 63 >= ALL (SELECT octet_length(l) FROM unnest(string_to_array(domain, '.')) AS l);
END
$$;

-- As it is kept; null if it is no address of this method.
CREATE FUNCTION sendtrail_address(method text, written text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    bare text := sendtrail_trim(written);
BEGIN
    IF method = 'email' AND substr(bare, strpos(bare, '@')) LIKE '%.%' AND sendtrail_is_email(bare) THEN
        RETURN bare;
    ELSIF method = 'sms' THEN
        bare := translate(bare, ' -.()', '');
        IF bare COLLATE "C" ~ '^\+[1-9][0-9]{6,14}$' THEN
            RETURN bare;
        END IF;
    ELSIF method = 'push' AND length(bare) <= 4096 AND bare COLLATE "C" ~ '^[!-~]+$' THEN
        RETURN bare;
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION sendtrail_no_address(method text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE method
        WHEN 'email' THEN 'is not an email address: write it like ana@example.com'
        WHEN 'sms' THEN 'is not a phone number: write it in the international form, like +14155550123'
        ELSE 'is not a push target: 1 to 4096 visible ASCII characters without spaces' END
$$;

-- Of a value that was read as this address, or as none.
CREATE FUNCTION sendtrail_address_fault(value jsonb, method text, address text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN CASE WHEN jsonb_typeof(value) <> 'string' THEN 'must be a string'
                WHEN value IS NOT NULL AND address IS NULL THEN sendtrail_no_address(method) END;
END
$$;

-- The lane of a queue: the form of the address (of push targets: 1 an ARN of SNS, 2 a device token of
-- APNs, 0 any other) and the priority.
CREATE FUNCTION sendtrail_lane(method text, address text, priority text) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN method <> 'push' THEN 0
                WHEN address COLLATE "C" ~* '^arn:' THEN 10
                WHEN address COLLATE "C" ~ '^[0-9A-Fa-f]{64}' THEN 20
                ELSE 0 END
        + CASE priority WHEN 'high' THEN 0 WHEN 'normal' THEN 1 ELSE 2 END
$$;

-- JSON without white space, names in the order of their bytes. With exact numbers: each as the bits
-- of its double, as body digests have it, here and in src/api/digest.rs.
CREATE FUNCTION sendtrail_compact(document jsonb, exact_numbers boolean) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    CASE jsonb_typeof(document)
    WHEN 'object' THEN
        RETURN (SELECT '{' || coalesce(string_agg(to_json(f.key)::text || ':'
                        || CASE WHEN jsonb_typeof(f.value) IN ('object', 'array', 'number')
                                THEN sendtrail_compact(f.value, exact_numbers) ELSE f.value::text END,
                    ',' ORDER BY f.key COLLATE "C"), '') || '}'
                FROM jsonb_each(document) AS f);
    WHEN 'array' THEN
        RETURN (SELECT '[' || coalesce(string_agg(
                        CASE WHEN jsonb_typeof(i.value) IN ('object', 'array', 'number')
                             THEN sendtrail_compact(i.value, exact_numbers) ELSE i.value::text END,
                    ',' ORDER BY i.ordinality), '') || ']'
                FROM jsonb_array_elements(document) WITH ORDINALITY AS i);
    WHEN 'number' THEN
        IF NOT exact_numbers THEN
            RETURN document::text;
        END IF;
        -- Below half of the least double there is zero; the cast would call it an error.
        RETURN encode(float8send(CASE WHEN abs(document::numeric) < 2.4703282292062328e-324 THEN 0
                                      ELSE document::numeric::float8 END), 'hex');
    ELSE
        RETURN document::text;
    END CASE;
END
$$;

-- In bytes. The spaces that PostgreSQL writes are counted only where they could decide.
CREATE FUNCTION sendtrail_is_larger(document jsonb, bytes_max integer) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN octet_length(document::text) > bytes_max
        AND octet_length(sendtrail_compact(document, false)) > bytes_max;
END
$$;

CREATE FUNCTION sendtrail_data_fault(value jsonb, bytes_max integer) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    bytes integer := octet_length(value::text);
    -- What is shorter cannot be deep. To compact a deep value would exhaust the stack.
    is_deep boolean := bytes > 200 AND jsonb_path_exists(value,
        'strict $.**{100 to last} ? (@.type() == "object" || @.type() == "array")');
BEGIN
    IF value IS NULL THEN
        RETURN NULL;
    ELSIF jsonb_typeof(value) <> 'object' THEN
        RETURN 'must be an object';
    ELSIF is_deep AND bytes <= bytes_max THEN
        RETURN 'is nested too deeply: at most 100 levels';
    ELSIF is_deep OR sendtrail_is_larger(value, bytes_max) THEN
        RETURN 'is too large: at most ' || bytes_max || ' bytes of JSON';
    END IF;
    -- Nor can what is shorter hold such a number.
    IF bytes > 200
        AND jsonb_path_exists(value, 'strict $.** ? (@ > 1.7976931348623158e308 || @ < -1.7976931348623158e308)') THEN
        RETURN 'holds a number that is too large for a double';
    END IF;
    RETURN NULL;
END
$$;

-- A mailbox (Bookings <bookings@example.com>) as it is kept, or what is wrong with it.
CREATE FUNCTION sendtrail_mailbox(value jsonb, OUT fault text, OUT mailbox text) LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    bare text := sendtrail_trim(value #>> '{}');
    -- The name as it is written, and the address.
    part text[] := regexp_match(bare COLLATE "C", '^(.*)<([^<]*)>$');
    name text := sendtrail_trim(part[1]);
    address text := CASE WHEN part IS NULL THEN bare ELSE sendtrail_trim(part[2]) END;
BEGIN
    IF value IS NULL THEN
        RETURN;
    ELSIF jsonb_typeof(value) <> 'string' THEN
        fault := 'must be a string';
        RETURN;
    END IF;
    IF left(name, 1) = '"' AND name COLLATE "C" ~ '^"([^"\\]|\\.)*"$' THEN
        name := sendtrail_trim(regexp_replace(substr(name, 2, length(name) - 2), '\\(.)', '\1', 'g'));
    ELSIF name COLLATE "C" ~ '["<>,;:@()\[\]\\]' THEN
        fault := '';
    END IF;
    IF fault IS NOT NULL OR (value #>> '{}') COLLATE "C" ~ '[\u0001-\u001F\u007F-\u009F]'
        OR length(name) > 200 OR NOT sendtrail_is_email(address)
    THEN
        fault := 'is not a mailbox: write it like Bookings <bookings@example.com>';
    ELSIF split_part(address, '@', 1) COLLATE "C" ~ '[^!-~]' THEN
        fault := 'needs an ASCII name before the @: many servers refuse others';
    ELSIF coalesce(name, '') = '' THEN
        mailbox := address;
    ELSIF name COLLATE "C" ~ '["<>,;:@()\[\]\\]' THEN
        mailbox := '"' || replace(replace(name, '\', '\\'), '"', '\"') || '" <' || address || '>';
    ELSE
        mailbox := name || ' <' || address || '>';
    END IF;
END
$$;

-- The attachments of an email as they are kept, or everything that is wrong with them.
CREATE FUNCTION sendtrail_attachments(value jsonb, at text, has_html boolean, OUT errors jsonb[], OUT attachments jsonb)
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    token CONSTANT text := '[!#-''*+\-.0-9A-Z^-z{|}~]+';
    file jsonb;
    place text;
    text_given text;
    fault text;
    bytes bytea;
    total bigint := 0;
    kept jsonb[] := '{}';
BEGIN
    errors := '{}';
    IF value IS NULL THEN
        RETURN;
    ELSIF jsonb_typeof(value) <> 'array' THEN
        errors := sendtrail_wrong(at, 'must be a list');
        RETURN;
    ELSIF jsonb_array_length(value) > 10 THEN
        errors := sendtrail_wrong(at, 'has ' || jsonb_array_length(value) || ' items: at most 10');
        RETURN;
    END IF;
    FOR i IN 0 .. jsonb_array_length(value) - 1 LOOP
        file := value -> i;
        place := at || '/' || i;
        IF jsonb_typeof(file) <> 'object' THEN
            errors := errors || sendtrail_wrong(place, 'must be an object');
            CONTINUE;
        END IF;
        errors := errors || sendtrail_unknown(file, place, ARRAY['name', 'content_type', 'content_id', 'data'])
            || sendtrail_wrong(place || '/name', CASE WHEN sendtrail_given(file, 'name') IS NULL THEN 'is required' END)
            || sendtrail_wrong(place || '/content_type', CASE WHEN sendtrail_given(file, 'content_type') IS NULL THEN 'is required' END)
            || sendtrail_wrong(place || '/data', CASE WHEN sendtrail_given(file, 'data') IS NULL THEN 'is required' END);

        fault := sendtrail_line_fault(sendtrail_given(file, 'name'), 200);
        text_given := sendtrail_trim(file ->> 'name');
        IF fault IS NULL AND text_given COLLATE "C" ~ '[/\\\u200E\u200F\u202A-\u202E\u2066-\u2069]|^\.*$' THEN
            fault := 'must be the name of a file, without folders and without characters that turn the direction of writing';
        END IF;
        errors := errors || sendtrail_wrong(place || '/name', fault);

        fault := sendtrail_line_fault(sendtrail_given(file, 'content_type'), 200);
        text_given := sendtrail_trim(file ->> 'content_type');
        IF fault IS NULL AND (SELECT bool_or(sendtrail_trim(p.part) COLLATE "C"
                                  !~ ('^' || token || CASE p.number WHEN 1 THEN '/' ELSE '=' END || token || '$'))
                              FROM unnest(string_to_array(text_given, ';')) WITH ORDINALITY AS p (part, number))
        THEN
            fault := 'must be a media type like application/pdf or text/calendar; method=REQUEST';
        ELSIF fault IS NULL AND text_given COLLATE "C" ~* '^(multipart|message)/' THEN
            fault := 'must be the type of a file: multipart and message types are mails';
        END IF;
        errors := errors || sendtrail_wrong(place || '/content_type', fault);

        fault := sendtrail_key_fault(sendtrail_given(file, 'content_id'), 100);
        IF fault IS NULL AND sendtrail_given(file, 'content_id') IS NOT NULL THEN
            IF (file ->> 'content_id') COLLATE "C" !~ '^[A-Za-z0-9._+@-]+$' THEN
                fault := 'must be letters, digits and . _ - + @ alone';
            ELSIF NOT has_html THEN
                fault := 'needs `html`, which shows the file by cid:…';
            END IF;
        END IF;
        errors := errors || sendtrail_wrong(place || '/content_id', fault);

        text_given := file ->> 'data';
        fault := sendtrail_text_fault(sendtrail_given(file, 'data'), 2147483647);
        bytes := NULL;
        IF fault IS NULL AND text_given IS NOT NULL THEN
            -- Base64 is longer than its bytes by a third: what is far too long is not decoded at all.
            IF octet_length(text_given) / 4 * 3 > 5000003 THEN
                fault := 'is ' || octet_length(text_given) / 4 * 3 || ' bytes: at most 5000000 in one file';
            ELSIF text_given COLLATE "C" !~ '^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?$' THEN
                fault := 'must be base64 (RFC 4648 4, with padding, without line breaks)';
            ELSE
                bytes := decode(text_given, 'base64');
                IF octet_length(bytes) > 5000000 THEN
                    fault := 'is ' || octet_length(bytes) || ' bytes: at most 5000000 in one file';
                END IF;
            END IF;
        END IF;
        errors := errors || sendtrail_wrong(place || '/data', fault);
        IF errors = '{}' THEN
            total := total + octet_length(bytes);
            kept := kept || (jsonb_build_object('name', sendtrail_trim(file ->> 'name'),
                    'content_type', sendtrail_trim(file ->> 'content_type'),
                    'size', octet_length(bytes), 'sha256', encode(sha256(bytes), 'hex'))
                || CASE WHEN sendtrail_given(file, 'content_id') IS NULL THEN '{}'
                        ELSE jsonb_build_object('content_id', file -> 'content_id') END);
        END IF;
    END LOOP;
    IF errors = '{}' THEN
        errors := sendtrail_wrong(at, CASE WHEN total > 7000000
                THEN 'are ' || total || ' bytes together: at most 7000000 in one email' END)
            || sendtrail_wrong(at, CASE WHEN (SELECT count(k ->> 'content_id') > count(DISTINCT k ->> 'content_id') FROM unnest(kept) AS k)
                THEN 'have a content_id twice' END);
        attachments := nullif(to_jsonb(kept), '[]');
    END IF;
END
$$;

-- The content of a notification of this method as it is kept, or everything that is wrong with it.
CREATE FUNCTION sendtrail_content(content jsonb, at text, method text, OUT errors jsonb[], OUT kept jsonb)
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    names text[] := CASE method WHEN 'email' THEN ARRAY['subject', 'text', 'html', 'reply_to', 'attachments']
                                WHEN 'sms' THEN ARRAY['text']
                                ELSE ARRAY['title', 'text', 'data'] END;
    first_name text := CASE method WHEN 'email' THEN 'subject' ELSE 'text' END;
    text_max integer := CASE method WHEN 'email' THEN 524288 WHEN 'sms' THEN 1600 ELSE 2048 END;
    subject jsonb := sendtrail_given(content, 'subject');
    title jsonb := sendtrail_given(content, 'title');
    text_part jsonb := sendtrail_given(content, 'text');
    html jsonb := sendtrail_given(content, 'html');
    data jsonb := sendtrail_given(content, 'data');
    title_fault text;
    data_fault text;
    reply_to record;
    files record;
BEGIN
    IF jsonb_typeof(content) <> 'object' THEN
        errors := sendtrail_wrong(at, 'must be an object');
        RETURN;
    END IF;
    errors := sendtrail_unknown(content, at, names,
            CASE method WHEN 'email' THEN '{}'::text[] ELSE ARRAY['reply_to', 'attachments'] END)
        || sendtrail_wrong(at || '/' || first_name,
            CASE WHEN sendtrail_given(content, first_name) IS NULL THEN 'is required' END)
        || sendtrail_wrong(at || '/text', sendtrail_text_fault(text_part, text_max));
    IF method = 'email' THEN
        reply_to := sendtrail_mailbox(sendtrail_given(content, 'reply_to'));
        files := sendtrail_attachments(sendtrail_given(content, 'attachments'), at || '/attachments',
            html IS NOT NULL AND sendtrail_text_fault(html, text_max) IS NULL);
        errors := errors
            || sendtrail_wrong(at, CASE WHEN text_part IS NULL AND html IS NULL
                                        THEN 'needs `text` or `html`, or both' END)
            || sendtrail_wrong(at || '/html', sendtrail_text_fault(html, text_max))
            || sendtrail_wrong(at || '/reply_to', reply_to.fault)
            || files.errors
            || sendtrail_wrong(at || '/subject', sendtrail_line_fault(subject, 998));
        kept := jsonb_build_object('subject', sendtrail_trim(subject #>> '{}'), 'text', text_part, 'html', html,
            'reply_to', reply_to.mailbox, 'attachments', files.attachments);
    ELSIF method = 'sms' THEN
        kept := jsonb_build_object('text', text_part);
    ELSE
        title_fault := sendtrail_line_fault(title, 256);
        data_fault := sendtrail_data_fault(data, 4096);
        kept := jsonb_build_object('title', CASE WHEN title_fault IS NULL THEN sendtrail_trim(title #>> '{}') END,
            'text', text_part, 'data', CASE WHEN data_fault IS NULL THEN coalesce(data, '{}') ELSE '{}' END);
        errors := errors
            || sendtrail_wrong(at || '/title', title_fault)
            || sendtrail_wrong(at || '/data', data_fault)
            || sendtrail_wrong(at, CASE WHEN text_part IS NOT NULL AND sendtrail_text_fault(text_part, text_max) IS NULL
                    AND sendtrail_is_larger(jsonb_build_array(kept -> 'title', text_part, kept -> 'data'), 4096)
                THEN 'is too large: title, text and data together are at most 4096 bytes' END);
    END IF;
END
$$;

-- One notification: everything that is wrong with it, or what is asked for, with defaults filled in.
CREATE FUNCTION sendtrail_read(body jsonb, at text, now_is timestamptz, OUT errors jsonb[], OUT asked jsonb)
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    names CONSTANT text[] := ARRAY['client', 'method', 'to', 'type', 'contact_type', 'content', 'template',
        'staff_id', 'send_at', 'expires_at', 'priority', 'idempotency_key', 'metadata'];
    client jsonb := sendtrail_given(body, 'client');
    method text := CASE WHEN sendtrail_word_fault(body -> 'method', ARRAY['email', 'sms', 'push']) IS NULL
                        THEN body ->> 'method' END;
    to_given jsonb := sendtrail_given(body, 'to');
    content jsonb := sendtrail_given(body, 'content');
    made record;
    metadata jsonb := sendtrail_given(body, 'metadata');
    key_given jsonb := sendtrail_given(body, 'idempotency_key');
    address text := sendtrail_address(method, body ->> 'to');
    email text;
    phone text;
    send_at timestamptz;
    expires_at timestamptz;
BEGIN
    errors := '{}';
    IF jsonb_typeof(body) IS DISTINCT FROM 'object' THEN
        errors := sendtrail_wrong(at, 'must be an object');
        RETURN;
    END IF;
    errors := sendtrail_unknown(body, at, names)
        || sendtrail_wrong(at || '/client', CASE WHEN client IS NULL THEN 'is required' END)
        || sendtrail_wrong(at || '/method', CASE WHEN sendtrail_given(body, 'method') IS NULL THEN 'is required' END)
        || sendtrail_wrong(at || '/type', CASE WHEN sendtrail_given(body, 'type') IS NULL THEN 'is required' END);

    IF jsonb_typeof(client) = 'string' THEN
        errors := errors || sendtrail_wrong(at || '/client', sendtrail_id_fault(client));
        client := jsonb_build_object('id', client);
    ELSIF jsonb_typeof(client) = 'object' THEN
        email := sendtrail_address('email', client ->> 'email');
        phone := sendtrail_address('sms', client ->> 'phone');
        errors := errors
            || sendtrail_unknown(client, at || '/client', ARRAY['id', 'name', 'email', 'phone'])
            || sendtrail_wrong(at || '/client/id', CASE WHEN sendtrail_given(client, 'id') IS NULL THEN 'is required' END)
            || sendtrail_wrong(at || '/client/id', sendtrail_id_fault(sendtrail_given(client, 'id')))
            || sendtrail_wrong(at || '/client/name', sendtrail_line_fault(sendtrail_given(client, 'name'), 200))
            || sendtrail_wrong(at || '/client/email', sendtrail_address_fault(sendtrail_given(client, 'email'), 'email', email))
            || sendtrail_wrong(at || '/client/phone', sendtrail_address_fault(sendtrail_given(client, 'phone'), 'sms', phone));
    ELSIF client IS NOT NULL THEN
        errors := errors || sendtrail_wrong(at || '/client', 'must be an object');
    END IF;

    errors := errors || sendtrail_wrong(at || '/method',
        sendtrail_word_fault(sendtrail_given(body, 'method'), ARRAY['email', 'sms', 'push']));
    IF method IS NULL THEN
        -- What an address and a content must be is not known then, but this much is.
        errors := errors
            || sendtrail_wrong(at || '/to', CASE WHEN jsonb_typeof(to_given) <> 'string' THEN 'must be a string' END)
            || sendtrail_wrong(at || '/content', CASE WHEN jsonb_typeof(content) <> 'object' THEN 'must be an object' END);
    ELSE
        errors := errors || sendtrail_wrong(at || '/to', sendtrail_address_fault(to_given, method, address));
        IF content IS NOT NULL THEN
            made := sendtrail_content(content, at || '/content', method);
            errors := errors || made.errors;
        END IF;
    END IF;
    IF sendtrail_given(body, 'template') IS NOT NULL THEN
        -- They are filled by the program, at enqueue, so that what is shown is what is sent.
        errors := errors || sendtrail_wrong(at || '/template',
            'cannot be used in SQL, where templates are not filled: send content, or enqueue over HTTP');
    ELSIF content IS NULL THEN
        errors := errors || sendtrail_wrong(at || '/content', 'is required');
    END IF;

    errors := errors
        || sendtrail_wrong(at || '/type', sendtrail_line_fault(sendtrail_given(body, 'type'), 200))
        || sendtrail_wrong(at || '/contact_type', sendtrail_line_fault(sendtrail_given(body, 'contact_type'), 200))
        || sendtrail_wrong(at || '/staff_id', sendtrail_id_fault(sendtrail_given(body, 'staff_id')))
        || sendtrail_wrong(at || '/priority',
            sendtrail_word_fault(sendtrail_given(body, 'priority'), ARRAY['high', 'normal', 'bulk']))
        || sendtrail_wrong(at || '/idempotency_key', sendtrail_key_fault(key_given, 255))
        || sendtrail_wrong(at || '/send_at', sendtrail_time_fault(sendtrail_given(body, 'send_at')))
        || sendtrail_wrong(at || '/expires_at', sendtrail_time_fault(sendtrail_given(body, 'expires_at')))
        || sendtrail_wrong(at || '/metadata', coalesce(sendtrail_data_fault(metadata, 16384),
            CASE WHEN (SELECT count(*) FROM jsonb_object_keys(CASE WHEN jsonb_typeof(metadata) = 'object' THEN metadata END)) > 64
                 THEN 'has too many names: at most 64' END));
    IF sendtrail_time_fault(sendtrail_given(body, 'send_at')) IS NULL THEN
        send_at := sendtrail_time(body ->> 'send_at');
    END IF;
    IF sendtrail_time_fault(sendtrail_given(body, 'expires_at')) IS NULL THEN
        expires_at := sendtrail_time(body ->> 'expires_at');
    END IF;
    -- With a key it may be a repetition, which is answered whatever the time is.
    IF expires_at <= now_is AND (key_given IS NULL OR sendtrail_key_fault(key_given, 255) IS NOT NULL) THEN
        errors := errors || sendtrail_wrong(at || '/expires_at', 'must be in the future');
    ELSIF expires_at <= send_at THEN
        errors := errors || sendtrail_wrong(at || '/expires_at', 'must be after send_at');
    END IF;
    IF errors <> '{}' THEN
        RETURN;
    END IF;

    asked := jsonb_build_object(
        'client', jsonb_build_array(client -> 'id', sendtrail_trim(client ->> 'name'), email, phone),
        'method', method,
        'to', address,
        'type', sendtrail_trim(body ->> 'type'),
        'contact_type', coalesce(sendtrail_trim(body ->> 'contact_type'), 'Client Notifications'),
        'content', made.kept,
        'staff_id', body -> 'staff_id',
        'send_at', to_char(send_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
        'expires_at', to_char(expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
        'priority', coalesce(body ->> 'priority',
            CASE sendtrail_trim(body ->> 'contact_type') WHEN 'Automated Marketing' THEN 'bulk' ELSE 'normal' END),
        'metadata', metadata);
    IF sendtrail_given(asked -> 'content', 'attachments') IS NOT NULL THEN
        asked := asked || jsonb_build_object('files', content -> 'attachments');
    END IF;
    IF key_given IS NOT NULL THEN
        asked := asked || jsonb_build_object('key', key_given, 'digest', sendtrail_digest(asked));
    END IF;
END
$$;

-- The first 128 bits of the SHA-256 of what is asked for, as a UUIDv8.
CREATE FUNCTION sendtrail_digest(asked jsonb) RETURNS uuid LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    client jsonb := asked -> 'client';
    content jsonb := asked -> 'content';
    -- Those of a template are none.
    parts text := to_json(ARRAY[client ->> 0, client ->> 1, client ->> 2, client ->> 3, asked ->> 'method', asked ->> 'to',
        asked ->> 'type', asked ->> 'contact_type', asked ->> 'staff_id', asked ->> 'send_at', asked ->> 'expires_at',
        asked ->> 'priority', sendtrail_compact(sendtrail_given(asked, 'metadata'), true),
        coalesce(content ->> 'subject', content ->> 'title'), content ->> 'text', content ->> 'html',
        sendtrail_compact(content -> 'data', true), content ->> 'reply_to',
        sendtrail_compact(sendtrail_given(content, 'attachments'), true), NULL, NULL]);
    h text := encode(sha256(convert_to(parts, 'UTF8')), 'hex');
BEGIN
    RETURN (left(h, 12) || '8' || substr(h, 14, 3)
        || translate(substr(h, 17, 1), '0123456789abcdef', '89ab89ab89ab89ab') || substr(h, 18, 15))::uuid;
END
$$;

-- A UUIDv7 (RFC 9562 6.2, methods 3 and 1): the instant to a microsecond, a number, 48 random bits.
CREATE FUNCTION sendtrail_uuid(instant timestamptz, number integer) RETURNS uuid LANGUAGE sql VOLATILE AS $$
    SELECT (lpad(to_hex(i.micros / 1000), 12, '0') || '7' || lpad(to_hex(i.micros % 1000 * 4), 3, '0')
            || '8' || lpad(to_hex(number), 3, '0') || right(gen_random_uuid()::text, 12))::uuid
    FROM (SELECT (extract(epoch FROM instant) * 1000000)::bigint) AS i (micros)
$$;

-- Ends the transaction, or goes back to the caller's savepoint, with every error in the detail.
CREATE FUNCTION sendtrail_refuse(code text, errors jsonb[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    more integer := cardinality(errors) - 1;
BEGIN
    RAISE EXCEPTION USING
        ERRCODE = code,
        MESSAGE = 'sendtrail_enqueue: ' || coalesce(nullif(errors[1] ->> 'pointer', '') || ' ', '')
            || (errors[1] ->> 'detail') || CASE WHEN more > 0 THEN ' (and ' || more || ' more)' ELSE '' END,
        DETAIL = to_jsonb(errors[:1000])::text,
        HINT = 'Nothing was enqueued. The detail is a list of every field that is wrong.';
END
$$;

-- Decides and writes what was read. ST001 when another writer was faster.
CREATE FUNCTION sendtrail_admit(asked jsonb[], pointers text[], business text, instant timestamptz) RETURNS jsonb[]
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    now_is CONSTANT timestamptz := date_trunc('milliseconds', instant);
    -- Keys that have an owner: stored before, or of this request.
    key_names text[];
    key_digests text[];
    key_owners uuid[];
    -- Cards: stored ones, then new ones.
    card_clients text[];
    card_uids uuid[];
    card_names text[];
    card_emails text[];
    card_phones text[];
    stored_cards integer;
    completed uuid[] := '{}';
    -- What is to be written, side by side.
    ids uuid[] := '{}';
    uids uuid[] := '{}';
    addresses text[] := '{}';
    staged jsonb[] := '{}';
    answers jsonb[] := '{}';
    errors jsonb[] := '{}';
    n jsonb;
    told jsonb;
    k integer;
    c integer;
    to_address text;
    new_id uuid;
    written bigint;
BEGIN
    SELECT coalesce(array_agg(o.key), '{}'), coalesce(array_agg(o.body_digest), '{}'), coalesce(array_agg(o.notification_id), '{}')
    INTO key_names, key_digests, key_owners
    FROM idempotency_keys AS o
    WHERE o.business_id = business AND o.key = ANY (ARRAY(SELECT a ->> 'key' FROM unnest(asked) AS a));
    SELECT coalesce(array_agg(o.client_id), '{}'), coalesce(array_agg(o.uid), '{}'), coalesce(array_agg(o.name), '{}'),
        coalesce(array_agg(o.email), '{}'), coalesce(array_agg(o.phone), '{}')
    INTO card_clients, card_uids, card_names, card_emails, card_phones
    FROM clients AS o
    WHERE o.business_id = business AND o.client_id = ANY (ARRAY(SELECT a -> 'client' ->> 0 FROM unnest(asked) AS a));
    stored_cards := cardinality(card_uids);

    FOR i IN 1 .. cardinality(asked) LOOP
        n := asked[i];
        k := array_position(key_names, n ->> 'key');
        IF k IS NOT NULL THEN
            IF key_digests[k] = n ->> 'digest' THEN
                answers := answers || jsonb_build_object('id', key_owners[k], 'duplicate', true);
            ELSE
                errors := errors || sendtrail_wrong(pointers[i] || '/idempotency_key',
                    'the key was used before with another body: use a new key for a new notification');
            END IF;
            CONTINUE;
        END IF;
        IF (n ->> 'expires_at')::timestamptz <= now_is THEN
            errors := errors || sendtrail_wrong(pointers[i] || '/expires_at', 'must be in the future');
            CONTINUE;
        END IF;
        -- Blanks of the card are filled; what staff or an earlier call wrote is never overwritten.
        told := n -> 'client';
        c := array_position(card_clients, told ->> 0);
        to_address := n ->> 'to';
        IF to_address IS NULL THEN
            CASE n ->> 'method'
            WHEN 'email' THEN to_address := coalesce(card_emails[c], told ->> 2);
            WHEN 'sms' THEN to_address := coalesce(card_phones[c], told ->> 3);
            ELSE to_address := NULL;
            END CASE;
            IF to_address IS NULL THEN
                errors := errors || sendtrail_wrong(pointers[i] || '/to',
                    'no `to` was given, and the client has no address of this method on its card');
                CONTINUE;
            END IF;
            to_address := sendtrail_address(n ->> 'method', to_address);
            IF to_address IS NULL THEN
                errors := errors || sendtrail_wrong(pointers[i] || '/to',
                    'the address on the client''s card ' || sendtrail_no_address(n ->> 'method'));
                CONTINUE;
            END IF;
        END IF;
        IF c IS NULL THEN
            c := cardinality(card_uids) + 1;
            card_clients[c] := told ->> 0;
            card_uids[c] := sendtrail_uuid(instant, i);
            card_names[c] := told ->> 1;
            card_emails[c] := told ->> 2;
            card_phones[c] := told ->> 3;
        ELSIF card_names[c] IS NULL AND told ->> 1 IS NOT NULL
            OR card_emails[c] IS NULL AND told ->> 2 IS NOT NULL
            OR card_phones[c] IS NULL AND told ->> 3 IS NOT NULL
        THEN
            card_names[c] := coalesce(card_names[c], told ->> 1);
            card_emails[c] := coalesce(card_emails[c], told ->> 2);
            card_phones[c] := coalesce(card_phones[c], told ->> 3);
            IF c <= stored_cards THEN
                completed := completed || card_uids[c];
            END IF;
        END IF;
        new_id := sendtrail_uuid(instant, i);
        IF n ? 'key' THEN
            key_names := key_names || (n ->> 'key');
            key_digests := key_digests || (n ->> 'digest');
            key_owners := key_owners || new_id;
        END IF;
        ids := ids || new_id;
        uids := uids || card_uids[c];
        addresses := addresses || to_address;
        staged := staged || n;
        answers := answers || jsonb_build_object('id', new_id, 'duplicate', false);
    END LOOP;
    IF errors <> '{}' THEN
        -- Keys alone: a conflict (409 over HTTP).
        PERFORM sendtrail_refuse(CASE WHEN '/idempotency_key' = ALL (SELECT right(e ->> 'pointer', 16) FROM unnest(errors) AS e)
                                      THEN 'ST409' ELSE 'ST422' END, errors);
    END IF;
    IF staged = '{}' THEN
        RETURN answers;
    END IF;

    -- Each table in one order for every writer, so that two of them cannot wait for each other.
    INSERT INTO clients (uid, business_id, client_id, name, email, phone, created_at)
    SELECT o.uid, business, o.client_id, o.name, o.email, o.phone, now_is
    FROM unnest(card_uids, card_clients, card_names, card_emails, card_phones)
        WITH ORDINALITY AS o (uid, client_id, name, email, phone, number)
    WHERE o.number > stored_cards
    ORDER BY o.client_id COLLATE "C"
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS written = ROW_COUNT;
    IF written < cardinality(card_uids) - stored_cards THEN
        RAISE EXCEPTION USING ERRCODE = 'ST001';
    END IF;
    IF completed <> '{}' THEN
        -- Read again under a lock: what was blank may be filled by now.
        PERFORM FROM clients AS o WHERE o.uid = ANY (completed) ORDER BY o.uid FOR UPDATE;
        IF EXISTS (SELECT
                   FROM clients AS o
                   JOIN unnest(card_uids, card_names, card_emails, card_phones) AS ours (uid, name, email, phone) USING (uid)
                   WHERE o.uid = ANY (completed) AND (o.name IS DISTINCT FROM ours.name AND o.name IS NOT NULL
                       OR o.email IS DISTINCT FROM ours.email AND o.email IS NOT NULL
                       OR o.phone IS DISTINCT FROM ours.phone AND o.phone IS NOT NULL))
        THEN
            RAISE EXCEPTION USING ERRCODE = 'ST001';
        END IF;
        UPDATE clients AS o
        SET name = ours.name, email = ours.email, phone = ours.phone
        FROM unnest(card_uids, card_names, card_emails, card_phones) AS ours (uid, name, email, phone)
        WHERE o.uid = ours.uid AND o.uid = ANY (completed);
    END IF;
    INSERT INTO contact_types (business_id, name, created_at)
    SELECT DISTINCT business, s ->> 'contact_type' COLLATE "C", now_is FROM unnest(staged) AS s ORDER BY 2
    ON CONFLICT DO NOTHING;
    INSERT INTO staff (business_id, staff_id, name, created_at)
    SELECT DISTINCT business, s ->> 'staff_id' COLLATE "C", s ->> 'staff_id', now_is FROM unnest(staged) AS s
    WHERE s ->> 'staff_id' IS NOT NULL
    ORDER BY 2
    ON CONFLICT DO NOTHING;
    INSERT INTO idempotency_keys (business_id, key, body_digest, notification_id, created_at)
    SELECT business, s.n ->> 'key', (s.n ->> 'digest')::uuid, s.id, now_is
    FROM unnest(ids, staged) AS s (id, n)
    WHERE s.n ? 'key'
    ORDER BY s.n ->> 'key' COLLATE "C"
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS written = ROW_COUNT;
    IF written < (SELECT count(*) FROM unnest(staged) AS s WHERE s ? 'key') THEN
        RAISE EXCEPTION USING ERRCODE = 'ST001';
    END IF;
    INSERT INTO attachments (business_id, sha256, size, bytes, created_at)
    SELECT DISTINCT ON (a.kept ->> 'sha256' COLLATE "C") business, a.kept ->> 'sha256', (a.kept -> 'size')::bigint,
        decode(s.n -> 'files' -> (a.number - 1)::integer ->> 'data', 'base64'), now_is
    FROM unnest(staged) AS s (n)
    CROSS JOIN jsonb_array_elements(sendtrail_given(s.n -> 'content', 'attachments')) WITH ORDINALITY AS a (kept, number)
    ORDER BY a.kept ->> 'sha256' COLLATE "C"
    ON CONFLICT DO NOTHING;
    INSERT INTO message_content (id, subject, text, html, data, reply_to, attachments)
    SELECT s.id, coalesce(t.content ->> 'subject', t.content ->> 'title'), t.content ->> 'text', t.content ->> 'html',
        t.content -> 'data', t.content ->> 'reply_to', sendtrail_given(t.content, 'attachments')
    FROM unnest(ids, staged) AS s (id, n)
    CROSS JOIN LATERAL (SELECT s.n -> 'content') AS t (content);
    -- Who it is from is what the business says now: what is sent later is what is shown.
    INSERT INTO contact_log (id, business_id, client_uid, date, method, channel, type, contact_type, staff_id,
        manual, address, content_id, priority, send_at, expires_at, metadata, sender, reply_to)
    SELECT s.id, business, s.uid, now_is, s.n ->> 'method', 'Outbound', s.n ->> 'type', s.n ->> 'contact_type',
        s.n ->> 'staff_id', false, s.address, s.id, s.n ->> 'priority',
        (s.n ->> 'send_at')::timestamptz, (s.n ->> 'expires_at')::timestamptz, sendtrail_given(s.n, 'metadata'),
        CASE s.n ->> 'method' WHEN 'email' THEN x.email_from WHEN 'sms' THEN x.sms_from END,
        CASE s.n ->> 'method' WHEN 'email' THEN x.reply_to END
    FROM unnest(ids, uids, addresses, staged) AS s (id, uid, address, n)
    JOIN businesses AS x ON x.id = business;
    INSERT INTO jobs (id, business_id, method, lane, due_at, ready, bytes, attempts, failures)
    SELECT s.id, business, s.n ->> 'method', sendtrail_lane(s.n ->> 'method', s.address, s.n ->> 'priority'),
        t.due_at, t.due_at <= now_is,
        coalesce(octet_length(s.n -> 'content' ->> 'text'), 0) + coalesce(octet_length(s.n -> 'content' ->> 'html'), 0), 0, 0
    FROM unnest(ids, addresses, staged) AS s (id, address, n)
    CROSS JOIN LATERAL (SELECT greatest(now_is, (s.n ->> 'send_at')::timestamptz)) AS t (due_at);
    -- Heard when the caller's transaction commits.
    PERFORM pg_notify('sendtrail_jobs', '');
    RETURN answers;
END
$$;

CREATE FUNCTION sendtrail_enqueue(request jsonb, business text DEFAULT 'default') RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET standard_conforming_strings = on AS $$
DECLARE
    is_batch CONSTANT boolean := coalesce(jsonb_typeof(request) = 'object' AND request ? 'notifications', false);
    items jsonb[];
    pointers text[];
    asked jsonb[] := '{}';
    answers jsonb[];
    receipts jsonb;
    errors jsonb[] := '{}';
    instant timestamptz;
    one record;
BEGIN
    IF NOT EXISTS (SELECT FROM businesses AS b WHERE b.id = business) THEN
        PERFORM sendtrail_refuse('ST404', sendtrail_wrong('', 'there is no such business'));
    END IF;
    IF NOT is_batch THEN
        items := ARRAY[request];
        pointers := ARRAY[''];
    ELSIF jsonb_typeof(request -> 'notifications') <> 'array' THEN
        errors := sendtrail_unknown(request, '', ARRAY['notifications'])
            || sendtrail_wrong('/notifications', 'must be a list');
    ELSE
        errors := sendtrail_unknown(request, '', ARRAY['notifications'])
            || CASE jsonb_array_length(request -> 'notifications')
               WHEN 0 THEN sendtrail_wrong('/notifications', 'must not be empty') ELSE '{}' END;
        IF jsonb_array_length(request -> 'notifications') > 1000 THEN
            errors := errors || sendtrail_wrong('/notifications', 'has ' || jsonb_array_length(request -> 'notifications')
                || ' notifications: at most 1000 in one request');
        ELSE
            SELECT array_agg(i.value ORDER BY i.ordinality), array_agg('/notifications/' || i.ordinality - 1 ORDER BY i.ordinality)
            INTO items, pointers
            FROM jsonb_array_elements(request -> 'notifications') WITH ORDINALITY AS i;
        END IF;
    END IF;
    FOR i IN 1 .. coalesce(cardinality(items), 0) LOOP
        one := sendtrail_read(items[i], pointers[i], clock_timestamp());
        errors := errors || one.errors;
        asked := asked || one.asked;
        EXIT WHEN cardinality(errors) >= 1000;
    END LOOP;
    IF errors <> '{}' THEN
        PERFORM sendtrail_refuse('ST422', errors);
    END IF;

    FOR attempt IN 1 .. 10 LOOP
        BEGIN
            instant := clock_timestamp();
            answers := sendtrail_admit(asked, pointers, business, instant);
            EXIT;
        EXCEPTION WHEN SQLSTATE 'ST001' THEN
            -- Another writer made the same card or used the same key: its work is visible now.
            IF attempt = 10 THEN
                RAISE EXCEPTION USING ERRCODE = 'serialization_failure',
                    MESSAGE = 'sendtrail_enqueue: other writers were faster each time; repeat the transaction';
            END IF;
        END;
    END LOOP;

    SELECT jsonb_agg(jsonb_build_object('id', a.answer -> 'id', 'status', s.held ->> 0, 'statuses', s.held,
                         'duplicate', a.answer -> 'duplicate') ORDER BY a.ordinality)
    INTO receipts
    FROM unnest(answers) WITH ORDINALITY AS a (answer, ordinality)
    CROSS JOIN LATERAL (
        SELECT CASE WHEN (a.answer ->> 'duplicate')::boolean
            THEN coalesce((SELECT to_jsonb(string_to_array(h.status, ', ')) FROM contact_history AS h
                           WHERE h.id = (a.answer ->> 'id')::uuid), '[]')
            ELSE '["Awaiting Send"]' END) AS s (held);
    RETURN CASE WHEN is_batch THEN jsonb_build_object('notifications', receipts) ELSE receipts -> 0 END;
END
$$;
COMMENT ON FUNCTION sendtrail_enqueue IS 'Enqueues one notification, or up to 1,000 as {"notifications": [...]}, inside the caller''s own transaction, with the fields, checks and answers of POST /v1/notifications. Errors: ST422 fields are wrong, ST409 an idempotency key was used with another body, ST404 no such business; the detail is a list of {pointer, detail}.';

-- It works with the rights of its owner, so that a role that may execute it needs no other right; and
-- with the tables of this schema, whatever the caller's search path.
DO $$
DECLARE
    part regprocedure;
BEGIN
    FOR part IN SELECT p.oid FROM pg_proc AS p
                WHERE p.pronamespace = current_schema()::regnamespace AND p.proname LIKE 'sendtrail\_%'
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', part);
    END LOOP;
    EXECUTE format('ALTER FUNCTION sendtrail_enqueue(jsonb, text) SET search_path = %I, pg_temp', current_schema());
END
$$;
