"""Writes and delivers bounce mail with Python's own packages.

    bounce_mail.py report SENDER RECIPIENT ACTION STATUS < MESSAGE > REPORT
    bounce_mail.py deliver PORT RECIPIENT < MAIL
"""

import smtplib
import sys
from email import message_from_bytes, policy
from email.message import Message
from email.mime.message import MIMEMessage
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.utils import formatdate, make_msgid


def fields(**named):
    group = Message()
    for name, value in named.items():
        group[name.replace("_", "-")] = value
    return group


def report(sender, recipient, action, status):
    """What a mail server writes to the envelope sender (RFC 3464)."""
    mail = MIMEMultipart("report", **{"report-type": "delivery-status"})
    mail["From"] = "Mail Delivery System <MAILER-DAEMON@mx.example.net>"
    mail["To"] = sender
    mail["Date"] = formatdate()
    mail["Message-ID"] = make_msgid(domain="mx.example.net")
    mail["Auto-Submitted"] = "auto-replied"
    mail.attach(MIMEText("This is the mail system at host mx.example.net.\n"))
    told = Message()
    told["Content-Type"] = "message/delivery-status"
    of_recipient = fields(
        Final_Recipient=f"rfc822; {recipient}",
        Action=action,
        Status=status,
        Remote_MTA="dns; mail.example.net",
        Diagnostic_Code=f"smtp; 550 {status} User unknown",
    )
    told.set_payload([fields(Reporting_MTA="dns; mx.example.net"), of_recipient])
    mail.attach(told)
    mail.attach(MIMEMessage(message_from_bytes(sys.stdin.buffer.read())))
    sys.stdout.buffer.write(mail.as_bytes(policy=policy.SMTP))


def deliver(port, recipient):
    """By LMTP (RFC 2033), with the null sender of bounces; prints the answer."""
    with smtplib.LMTP("127.0.0.1", int(port)) as server:
        server.ehlo_or_helo_if_needed()
        server.mail("")
        server.rcpt(recipient)
        code, text = server.data(sys.stdin.buffer.read())
        print(code, text.decode())


if __name__ == "__main__":
    {"report": report, "deliver": deliver}[sys.argv[1]](*sys.argv[2:])
