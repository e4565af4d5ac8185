"""An SMTP server (aiosmtpd) that takes messages over TLS from who logs in, and from nobody else.

    secure_smtp.py PORT CERTIFICATE KEY starttls|implicit

The user is `user`, the password `secret`. The reply to the M-th message of the C-th connection ends
in `queued as LINE-C-M`. Prints `ready` when it listens; stops when standard input ends.
"""

import ssl
import sys

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

port, certificate, key, kind = sys.argv[1:]
context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
context.load_cert_chain(certificate, key)


def authenticate(server, session, envelope, mechanism, login):
    known = LoginPassword(login=b"user", password=b"secret")
    return AuthResult(success=login == known, handled=False)


class Handler:
    def __init__(self):
        self.messages = {}

    async def handle_DATA(self, server, session, envelope):
        count = self.messages.get(session.peer, 0) + 1
        self.messages[session.peer] = count
        connection = list(self.messages).index(session.peer) + 1
        return f"250 2.0.0 Ok: queued as LINE-{connection}-{count}"


options = {"hostname": "127.0.0.1", "port": int(port), "authenticator": authenticate}
options |= {"auth_required": True}
if kind == "starttls":
    options |= {"tls_context": context, "require_starttls": True}
else:
    # The library counts only the TLS that STARTTLS began.
    options |= {"ssl_context": context, "auth_require_tls": False}
controller = Controller(Handler(), **options)
controller.start()
print("ready", flush=True)
sys.stdin.read()
controller.stop()
