"""An SMTP server (aiosmtpd) whose recipients say how it answers.

    scripted_smtp.py PORT

The local part of a recipient scripts the reply: `rcpt-550-5.1.1@` refuses the recipient with
`550 5.1.1`, `data-554-5.6.0@` the message, `close-data@` closes the connection instead of judging
the message; any other is accepted. Prints `ready` when it listens; stops when standard input ends.
"""

import sys

from aiosmtpd.controller import Controller


def scripted(address, stage):
    parts = address.split("@")[0].split("-")
    if parts[0] == stage and len(parts) == 3:
        return f"{parts[1]} {parts[2]} as scripted"
    return None


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        reply = scripted(address, "rcpt")
        if reply is None:
            envelope.rcpt_tos.append(address)
            reply = "250 2.1.5 Ok"
        return reply

    async def handle_DATA(self, server, session, envelope):
        recipient = envelope.rcpt_tos[0]
        if recipient.startswith("close-data@"):
            server.transport.abort()
        return scripted(recipient, "data") or "250 2.0.0 Ok: queued as SCRIPTED1"


controller = Controller(
    Handler(), hostname="127.0.0.1", port=int(sys.argv[1]), enable_SMTPUTF8=True
)
controller.start()
print("ready", flush=True)
sys.stdin.read()
controller.stop()
