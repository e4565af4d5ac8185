"""Reads messages as a mail reader would, with nothing but Python's own email package.

    read_mail.py FILE...

Prints one JSON object for each message, by the value of its header X-Sendtrail-Id.
"""

import email
import email.policy
import hashlib
import json
import sys

found = {}
for name in sys.argv[1:]:
    with open(name, "rb") as file:
        raw = file.read()
    message = email.message_from_bytes(raw, policy=email.policy.default)
    bodies = {}
    for kind in ("plain", "html"):
        part = message.get_body((kind,))
        if part is not None:
            bodies[kind] = part.get_content().replace("\r\n", "\n")
    files = [
        {
            "name": part.get_filename(),
            "content_type": part.get_content_type(),
            "content_id": part["content-id"] and str(part["content-id"]),
            "disposition": part.get_content_disposition(),
            "parameters": dict(part["content-type"].params),
            "sha256": hashlib.sha256(part.get_payload(decode=True)).hexdigest(),
            "size": len(part.get_payload(decode=True)),
        }
        for part in message.walk()
        if part.get_content_disposition() is not None
    ]
    defects = [str(defect) for part in message.walk() for defect in part.defects]
    for part in message.walk():
        for value in part.values():
            defects += [str(defect) for defect in value.defects]
    found[message["X-Sendtrail-Id"]] = {
        "subject": str(message["subject"]),
        "from": message["from"].addresses[0].addr_spec,
        "from_name": message["from"].addresses[0].display_name,
        "to": message["to"].addresses[0].addr_spec,
        "message_id": str(message["message-id"]),
        "date": message["date"].datetime.isoformat(),
        "text": bodies.get("plain"),
        "html": bodies.get("html"),
        "reply_to": message["reply-to"] and str(message["reply-to"]),
        "structure": [part.get_content_type() for part in message.walk()],
        "files": files,
        "multipart": message.is_multipart(),
        "defects": defects,
        "longest_line": max(len(line) for line in raw.splitlines()),
    }
json.dump(found, sys.stdout)
