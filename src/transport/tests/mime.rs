//! The bytes of a message, whatever its content.

use proptest::prelude::*;

use super::{ID, clock, email_settings, outgoing, text_email};
use crate::domain::message::{Attachment, Content, Outgoing};
use crate::domain::method::Method;
use crate::domain::unsubscribe::Unsubscribe;
use crate::transport::mime::{Recipient, Sender, build};

fn built(message: &Outgoing) -> String {
    let sender = Sender::parse(&email_settings().from).unwrap();
    let recipient = Recipient::new(message).unwrap();
    build(&sender, &recipient, message, clock().now(), &[]).unwrap()
}

#[test]
fn a_text_is_one_part() {
    let expected = format!(
        "From: \"Bookings\"\r\n <bookings@example.com>\r\nTo: ana@example.com\r\n\
         Subject: See you on Monday\r\nDate: Fri, 1 Jan 2027 09:00:00 +0000\r\n\
         Message-ID: <{ID}@example.com>\r\nX-Sendtrail-Id: {ID}\r\nMIME-Version: 1.0\r\n\
         Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 7bit\r\n\r\n\
         Hello\r\nAna\r\n"
    );
    for text in ["Hello\nAna", "Hello\r\nAna\n", "Hello\rAna"] {
        assert_eq!(
            built(&text_email("ana@example.com", text)),
            expected,
            "{text:?}"
        );
    }
}

#[test]
fn text_and_html_are_alternatives() {
    let content = Content::Email {
        subject: "x".to_owned(),
        text: Some("plain".to_owned()),
        html: Some("<p>Grüße</p>".to_owned()),
        reply_to: None,
        attachments: Vec::new(),
    };
    let message = built(&outgoing(Method::Email, "ana@example.com", content));
    let expected = format!(
        "Content-Type: multipart/alternative;\r\n boundary=\"=_a_{ID}\"\r\n\r\n--=_a_{ID}\r\n\
         Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 7bit\r\n\r\n\
         plain\r\n--=_a_{ID}\r\nContent-Type: text/html; charset=utf-8\r\n\
         Content-Transfer-Encoding: quoted-printable\r\n\r\n\
         <p>Gr=C3=BC=C3=9Fe</p>\r\n--=_a_{ID}--\r\n"
    );
    assert!(message.ends_with(&expected), "{message}");
}

#[test]
fn bulk_mail_says_how_to_leave_in_two_headers_and_other_mail_does_not() {
    let plain = built(&text_email("ana@example.com", "Hello"));
    assert!(!plain.contains("List-Unsubscribe"));
    let link = format!(
        "https://notify.example.com/{}/u/{}",
        "p".repeat(460),
        "t".repeat(64)
    );
    let mut message = text_email("ana@example.com", "Hello");
    for mailto in [None, Some("mailto:leave@example.com?subject=x".to_owned())] {
        let second = mailto.as_ref().map(|mailto| format!(",\r\n <{mailto}>"));
        message.unsubscribe = Some(Unsubscribe {
            link: link.clone(),
            mailto,
        });
        let expected = format!(
            "X-Sendtrail-Id: {ID}\r\nList-Unsubscribe: <{link}>{}\r\n\
             List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\nMIME-Version: 1.0\r\n",
            second.unwrap_or_default()
        );
        let built = built(&message);
        assert!(built.contains(&expected), "{built}");
        assert!(built.split("\r\n").all(|line| line.len() <= 998));
    }
}

#[test]
fn a_sender_is_a_mailbox_in_ascii() {
    for (from, address) in [
        ("bookings@example.com", "bookings@example.com"),
        (
            "Praxis Dr. Müller <info@müller.example>",
            "info@xn--mller-kva.example",
        ),
        ("\"Smith, John\" <john@example.com>", "john@example.com"),
    ] {
        assert_eq!(Sender::parse(from).unwrap().address, address);
    }
    for from in [
        "",
        "nobody",
        "a@example.com, b@example.com",
        "müller@example.com",
        "a@b\r\nX: y",
    ] {
        assert_eq!(Sender::parse(from).unwrap_err().key, "from", "{from:?}");
    }
}

proptest! {
    #[test]
    fn whatever_the_content_the_message_is_fit_for_the_wire(
        subject in "[^\r\n\0]{0,200}",
        text in proptest::option::of("(\\PC|[\r\n\0\t .]){0,300}|[a-z]{900,1100}|(x\n.){0,20}"),
        html in proptest::option::of("(\\PC|[\r\n]){0,300}"),
    ) {
        prop_assume!(text.is_some() || html.is_some());
        let content = Content::Email { subject, text, html, reply_to: None, attachments: Vec::new() };
        let message = built(&outgoing(Method::Email, "ana@example.com", content));
        prop_assert!(message.is_ascii());
        prop_assert!(!message.contains('\0'));
        prop_assert!(message.ends_with("\r\n"));
        for line in message.split("\r\n") {
            prop_assert!(line.len() <= 998);
            prop_assert!(!line.contains(['\r', '\n']));
        }
    }
}

/// A message with one file, whatever is in its fields.
fn with_file(attachment: Attachment, bytes: Vec<u8>) -> Outgoing {
    let mut message = text_email("ana@example.com", "Hello");
    if let Content::Email { attachments, .. } = &mut message.content {
        attachments.push(attachment);
    }
    message.files.push(bytes.into());
    message
}

fn attachment(name: &str, content_type: &str, content_id: Option<&str>) -> Attachment {
    Attachment {
        name: name.to_owned(),
        content_type: content_type.to_owned(),
        content_id: content_id.map(str::to_owned),
        size: 0,
        sha256: String::new(),
    }
}

#[test]
fn a_file_that_would_break_out_of_its_header_never_leaves() {
    let evil = "x\r\nBcc: evil@example.com";
    for attachment in [
        attachment(evil, "application/pdf", None),
        attachment("x\0.pdf", "application/pdf", None),
        attachment("x.pdf", evil, None),
        attachment("x.pdf", "tëxt/plain", None),
        attachment("x.pdf", "image/png", Some("a>\r\nBcc: evil@example.com")),
        attachment("x.pdf", "image/png", Some("a> <b")),
    ] {
        let message = with_file(attachment, vec![1]);
        let sender = Sender::parse(&email_settings().from).unwrap();
        let recipient = Recipient::new(&message).unwrap();
        let refused = build(&sender, &recipient, &message, clock().now(), &[]).unwrap_err();
        assert_eq!(refused.code.as_deref(), Some("Attachment"));
    }
    let mut message = with_file(attachment("a", "text/plain", None), vec![1]);
    message.files.clear();
    let sender = Sender::parse(&email_settings().from).unwrap();
    let recipient = Recipient::new(&message).unwrap();
    let refused = build(&sender, &recipient, &message, clock().now(), &[]).unwrap_err();
    assert_eq!(
        refused.code.as_deref(),
        Some("Attachment"),
        "without its bytes"
    );
}

#[test]
fn the_largest_email_is_built_into_one_buffer_of_its_size() {
    let bytes = vec![0xA5; 7_000_000];
    let message = built(&with_file(
        attachment("x.bin", "application/octet-stream", None),
        bytes,
    ));
    assert!(message.len() < 10_240_000, "{}", message.len());
    assert!(
        message.capacity() < message.len() + 4_096,
        "grown: {}",
        message.capacity()
    );
}

proptest! {
    #[test]
    fn whatever_the_file_the_message_is_fit_for_the_wire(
        name in "[^\\p{Cc}]{1,80}",
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let message = built(&with_file(attachment(&name, "application/pdf", None), bytes));
        prop_assert!(message.is_ascii());
        for line in message.split("\r\n") {
            prop_assert!(line.len() <= 998 && !line.contains(['\r', '\n']));
        }
    }
}
