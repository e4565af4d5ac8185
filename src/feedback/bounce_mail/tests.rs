//! Reports of mail servers and of mailbox providers, genuine, forged and broken.

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::domain::bounce_address::BounceAddress;
use crate::domain::event::{Bounce, Severity, What};
use crate::domain::reason::Category;
use crate::feedback::Happening;

/// Failed for one recipient and delayed for another, as Postfix writes it.
const POSTFIX: &str = include_str!("../../../tests/fixtures/dsn/postfix_failed_and_delayed.eml");
/// For one, as it came.
const POSTFIX_FAILED: &str = include_str!("../../../tests/fixtures/dsn/postfix_failed.eml");
const RECEIVED: &str = "2027-01-02T09:00:00Z";

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

/// Enqueued at 2027-01-01T09:00:00Z.
fn id() -> NotificationId {
    let first = NotificationId::floor(at("2027-01-01T09:00:00Z"));
    NotificationId::new(Uuid::from_u128(
        first.uuid().as_u128() | 0x7000_8000_0000_0000_0042,
    ))
}

fn trust() -> Trust {
    Trust {
        tokens: BounceTokens::new("a secret of some length"),
        accept_unsigned: false,
    }
}

fn signed() -> String {
    let address = BounceAddress::parse("bounces@example.com").unwrap();
    address.of(&trust().tokens, id())
}

fn happenings(recipient: &str, mail: &str) -> Vec<Happening> {
    let parsed = parse(&trust(), recipient, mail, at(RECEIVED));
    let Parsed::Report { report, .. } = parsed else {
        panic!("{parsed:?}")
    };
    assert_eq!(report.notification, Some(id()));
    report.happenings
}

fn kind_of_unknown(trust: &Trust, recipient: &str, mail: &str) -> String {
    match parse(trust, recipient, mail, at(RECEIVED)) {
        Parsed::Unknown { kind, .. } => kind,
        other @ (Parsed::Report { .. }
        | Parsed::Text(_)
        | Parsed::Test
        | Parsed::Unparsable { .. }) => {
            panic!("{other:?}")
        }
    }
}

/// A report of one recipient with these fields.
fn report(fields: &str) -> String {
    format!(
        "From: MAILER-DAEMON@mx.example.net\r\nDate: Fri, 1 Jan 2027 10:00:00 +0000\r\n\
         MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status;\r\n\
         \tboundary=\"b\"\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nSorry.\r\n--b\r\n\
         Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example.net\r\n\r\n\
         {fields}\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nReturn-Path: <RETURN>\r\n\
         Message-ID: <{id}@example.com>\r\nX-Sendtrail-Id: {id}\r\nSubject: x\r\n\r\nbody\r\n--b--\r\n",
        id = id()
    )
}

fn complaint(kind: &str) -> String {
    format!(
        "From: fbl@example.net\r\nDate: Fri, 1 Jan 2027 11:00:00 +0000\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=feedback-report; boundary=b\r\n\r\n--b\r\n\r\n\
         A complaint.\r\n--b\r\nContent-Type: message/feedback-report\r\n\r\n\
         Feedback-Type: {kind}\r\nUser-Agent: SomeGenerator/1.0\r\nVersion: 1\r\n\
         Original-Mail-From: <{}>\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\n\
         body\r\n--b--\r\n",
        signed()
    )
}

#[test]
fn each_recipient_of_a_report_has_its_own_happening() {
    let found = happenings(&signed(), POSTFIX);
    assert_eq!(found.len(), 2);
    let bounce = Bounce {
        severity: Severity::Permanent,
        category: Category::InvalidAddress,
        subtype: None,
        status: Some("5.1.1".to_owned()),
        diagnostic: Some(
            "smtp; 550 5.1.1 <recipient@example.net>: Recipient address rejected: User unknown in \
             local recipient table (mail.example.net)"
                .to_owned(),
        ),
    };
    assert_eq!(found[0].what, What::Bounced(bounce));
    let delayed = What::Delayed {
        delay_type: None,
        diagnostic: Some("smtp; 452 4.2.2 mailbox full".to_owned()),
    };
    assert_eq!(found[1].what, delayed);
    assert_ne!(found[0].key, found[1].key);
    // It has no time of its own that can be true.
    assert_eq!(found[0].occurred_at, at(RECEIVED));
}

#[test]
fn what_postfix_hands_over_is_read_by_the_address_in_it() {
    let mail = POSTFIX_FAILED.replace("bounces+TOKEN@example.com", &signed());
    let found = happenings("", &mail);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].occurred_at, at("2027-01-01T09:00:00Z"));
    let What::Bounced(bounce) = &found[0].what else {
        panic!("{found:?}")
    };
    assert_eq!(bounce.category, Category::InvalidAddress);
    assert_eq!(
        kind_of_unknown(&trust(), "", POSTFIX_FAILED),
        "unsigned-report"
    );
}

#[test]
fn what_a_server_did_says_what_happened() {
    use Severity::{Permanent, Transient, Undetermined};
    let bounced = |severity, category, status: &str| {
        vec![What::Bounced(Bounce {
            severity,
            category,
            subtype: None,
            status: Some(status.to_owned()),
            diagnostic: None,
        })]
    };
    for (action, status, expected) in [
        (
            "failed",
            "5.1.1",
            bounced(Permanent, Category::InvalidAddress, "5.1.1"),
        ),
        (
            "Failed",
            "5.2.2",
            bounced(Permanent, Category::MailboxFull, "5.2.2"),
        ),
        (
            "failed",
            "4.4.7 (delivery time expired)",
            bounced(Transient, Category::ProviderUnavailable, "4.4.7"),
        ),
        ("failed", "x", bounced(Undetermined, Category::Unknown, "x")),
        (
            "delivered",
            "2.0.0",
            vec![What::Delivered { response: None }],
        ),
        (
            "delayed",
            "4.2.2",
            vec![What::Delayed {
                delay_type: None,
                diagnostic: None,
            }],
        ),
        ("relayed", "2.0.0", Vec::new()),
        ("expanded", "2.0.0", Vec::new()),
        ("burnt", "5.0.0", Vec::new()),
    ] {
        let fields = format!(
            "Final-Recipient: rfc822; ana@example.net\r\nAction: {action}\r\nStatus: {status}\r\n"
        );
        let found = happenings(&signed(), &report(&fields));
        let found: Vec<What> = found.into_iter().map(|it| it.what).collect();
        assert_eq!(found, expected, "{action}");
    }
}

#[test]
fn the_time_is_that_of_the_last_attempt_or_of_the_report_where_it_can_be_true() {
    let fields = "Final-Recipient: rfc822; a@example.net\nAction: failed\nStatus: 5.0.0\n";
    for (attempt, expected) in [
        ("Fri, 1 Jan 2027 09:30:00 +0000", "2027-01-01T09:30:00Z"),
        ("Thu, 31 Dec 2026 23:00:00 -1200", "2027-01-01T11:00:00Z"),
        ("Thu, 1 Jan 1970 00:00:00 +0000", "2027-01-01T10:00:00Z"),
        ("Fri, 1 Jan 2100 00:00:00 +0000", "2027-01-01T10:00:00Z"),
        ("yesterday", "2027-01-01T10:00:00Z"),
    ] {
        let mail = report(&format!("{fields}Last-Attempt-Date: {attempt}\n"));
        let found = happenings(&signed(), &mail);
        assert_eq!(found[0].occurred_at, at(expected), "{attempt}");
    }
}

#[test]
fn a_happening_told_again_has_the_same_key_and_another_one_has_not() {
    let key = |recipient: &str, action: &str| {
        let mail = report(&format!(
            "Final-Recipient: rfc822; {recipient}\nAction: {action}\n"
        ));
        happenings(&signed(), &mail)[0].key
    };
    let first = key("ana@example.net", "failed");
    assert_eq!(first, key("ANA@example.net", "failed"));
    assert_ne!(first, key("bo@example.net", "failed"));
    assert_ne!(first, key("ana@example.net", "delayed"));
}

#[test]
fn a_report_is_believed_by_the_signed_address_wherever_a_server_wrote_it() {
    let failed = report("Final-Recipient: rfc822; a@example.net\nAction: failed\n");
    let (unsigned, signed) = ("bounces@example.com", signed());
    let to = |name: &str| format!("{name}: <{}>\r\n{failed}", signed.to_uppercase());
    assert_eq!(happenings(&signed, &failed).len(), 1);
    for name in ["Delivered-To", "X-Original-To", "To"] {
        assert_eq!(happenings(unsigned, &to(name)).len(), 1, "{name}");
    }
    let returned = failed.replace("<RETURN>", &format!("<{signed}>"));
    assert_eq!(happenings("", &returned).len(), 1);
    assert_eq!(happenings("", &complaint("abuse")).len(), 1);
}

#[test]
fn without_a_signature_nothing_is_said_unless_the_settings_allow_it() {
    let failed = report("Final-Recipient: rfc822; a@example.net\nAction: failed\n");
    let forged = format!("bounces+{}@example.com", "a".repeat(42));
    for recipient in ["", "bounces@example.com", &forged] {
        let kind = kind_of_unknown(&trust(), recipient, &failed);
        assert_eq!(kind, "unsigned-report", "{recipient}");
    }
    let trusting = Trust {
        accept_unsigned: true,
        ..trust()
    };
    let by_message_id = failed.replace("X-Sendtrail-Id", "X-Other");
    for mail in [&failed, &by_message_id] {
        let parsed = parse(&trusting, "bounces@example.com", mail, at(RECEIVED));
        assert!(
            matches!(parsed, Parsed::Report { report, .. } if report.notification == Some(id()))
        );
    }
    let foreign = failed.replace(&id().to_string(), "4f2a");
    assert_eq!(kind_of_unknown(&trusting, "", &foreign), "unsigned-report");
}

#[test]
fn complaints_are_those_of_recipients_alone() {
    for kind in ["abuse", "Fraud", "virus", "other"] {
        let feedback_type = Some(kind.to_lowercase());
        let found = happenings("fbl@example.com", &complaint(kind));
        assert_eq!(found[0].what, What::Complained { feedback_type });
        assert_eq!(found[0].occurred_at, at("2027-01-01T11:00:00Z"));
    }
    let found = happenings("fbl@example.com", &complaint("not-spam"));
    assert_eq!(found[0].what, What::ComplaintWithdrawn);
    for kind in ["auth-failure", "new-2030", ""] {
        assert_eq!(happenings("", &complaint(kind)), [], "{kind}");
    }
}

#[test]
fn other_mail_is_told_apart_and_never_an_error() {
    let kind = |mail: &str| kind_of_unknown(&trust(), &signed(), mail);
    let away =
        "From: a@example.net\r\nAuto-Submitted: auto-replied\r\nSubject: Away\r\n\r\nBye\r\n";
    assert_eq!(kind(away), "automatic-reply");
    assert_eq!(kind("X-Autoreply: yes\n\nBye\n"), "automatic-reply");
    assert_eq!(
        kind("Auto-Submitted: no\nSubject: Hello\n\nHi\n"),
        "other-mail"
    );
    for mail in [
        "",
        "\r\n",
        "no mail at all",
        "Content-Type: multipart/report\n\n--\n--\n",
    ] {
        assert_eq!(kind(mail), "other-mail", "{mail:?}");
    }
    let without_status = report("").replace("message/delivery-status", "message/other");
    assert_eq!(kind(&without_status), "other-mail");
}

#[test]
fn a_report_of_very_many_recipients_is_cut() {
    let one = "Final-Recipient: rfc822; N@example.net\nAction: failed\n\n";
    let many: String = (0..1_000)
        .map(|n| one.replace('N', &n.to_string()))
        .collect();
    assert_eq!(happenings(&signed(), &report(&many)).len(), 100);
}

/// Reading it must neither take long nor a stack as deep as the nesting.
#[test]
fn what_is_nested_without_end_is_only_other_mail() {
    let level = "Content-Type: message/rfc822\n\n";
    let levels = level.repeat(KEPT_BYTES_MAX / level.len());
    assert_eq!(kind_of_unknown(&trust(), &signed(), &levels), "other-mail");
    let level = "Content-Type: multipart/report; boundary=b\n\n--b\n";
    let levels = level.repeat(KEPT_BYTES_MAX / level.len());
    assert_eq!(kind_of_unknown(&trust(), &signed(), &levels), "other-mail");
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in ".*", cut in 0..2_000_usize) {
        parse(&trust(), &text, &text, Timestamp::EPOCH);
        let fields = format!("Action: failed\nStatus: {text}\nLast-Attempt-Date: {text}\n{text}");
        let mail = report(&fields);
        parse(&trust(), &signed(), &mail, Timestamp::EPOCH);
        let cut = mail.char_indices().map(|(at, _)| at).nth(cut).unwrap_or(mail.len());
        parse(&trust(), &signed(), &mail[..cut], Timestamp::MAX);
    }
}
