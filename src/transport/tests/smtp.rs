//! Each way in which an SMTP dialogue can end, and what becomes of the message.

use std::time::{Duration, Instant};

use super::fake_smtp::Step::{Hang, Hear, HearBytes, HearMessage, Say};
use super::fake_smtp::{ENVELOPE, FakeSmtp, GREETING, MESSAGE, PIPELINED_GREETING, Step};
use super::{ID, clock, email, email_settings, send, sms, text_email, told};
use crate::domain::bounce_address::BounceTokens;
use crate::domain::outcome::Outcome;
use crate::transport::{Smtp, SmtpSettings, Transport};

pub(super) fn settings(server: &FakeSmtp) -> SmtpSettings {
    SmtpSettings {
        url: Some(server.url().into()),
        hello_name: Some("client.example".to_owned()),
        connect_timeout_ms: 2_000,
        command_timeout_ms: 2_000,
        data_timeout_ms: 2_000,
        ..SmtpSettings::default()
    }
}

pub(super) fn transport(settings: &SmtpSettings) -> Transport {
    Transport::Smtp(Smtp::new(settings, &email_settings(), clock()).unwrap())
}

pub(super) fn script(parts: &[&[Step]]) -> Vec<Step> {
    parts.concat()
}

/// One message to a server with one connection; the whole script must be played.
async fn one(parts: &[&[Step]]) -> Outcome {
    let server = FakeSmtp::start(vec![script(parts)]).await;
    let transport = transport(&settings(&server));
    let outcome = send(&transport, &email()).await;
    drop(transport);
    server.heard().await;
    outcome
}

const QUICKLY: Duration = Duration::from_millis(200);

#[tokio::test]
async fn a_message_is_handed_over_and_the_servers_name_for_it_kept() {
    let server = FakeSmtp::start(vec![script(&[&GREETING, &ENVELOPE, &MESSAGE])]).await;
    let outcome = send(&transport(&settings(&server)), &email()).await;
    assert_eq!(told(&outcome), ("accepted", "ABC123".to_owned()));
    let heard = server.heard().await;
    assert_eq!(heard[0], "EHLO client.example");
    assert!(heard.contains(&format!("X-Sendtrail-Id: {ID}")));
    assert!(heard.contains(&"Date: Fri, 1 Jan 2027 09:00:00 +0000".to_owned()));
    assert_eq!(heard[heard.len() - 2..], ["Hello Ana", "."]);
    assert!(!heard.iter().any(|line| line.starts_with("X-SES")));
}

#[tokio::test]
async fn bounces_go_to_an_address_of_the_message_s_own_where_one_is_set() {
    let mut envelope = ENVELOPE;
    envelope[0] = Hear("MAIL FROM:<bounces+");
    let server = FakeSmtp::start(vec![script(&[&GREETING, &envelope, &MESSAGE])]).await;
    let settings = SmtpSettings {
        bounce_address: Some("bounces@example.com".to_owned()),
        ..settings(&server)
    };
    let tokens = BounceTokens::new("a key of the tests");
    let smtp = Smtp::new(&settings, &email_settings(), clock()).unwrap();
    let transport = Transport::Smtp(smtp.with_bounces_by(Some(tokens.clone())));
    assert_eq!(send(&transport, &email()).await.as_str(), "accepted");
    drop(transport);
    let heard = server.heard().await;
    let sender = heard
        .iter()
        .find_map(|line| line.strip_prefix("MAIL FROM:<"));
    let (sender, _) = sender.unwrap().split_once('>').unwrap();
    assert_eq!(
        tokens.read(sender).map(|id| id.to_string()).as_deref(),
        Some(ID)
    );
    let from = heard
        .iter()
        .find(|line| line.starts_with("From: "))
        .unwrap();
    assert!(!from.contains("bounces"), "{from}");
}

#[tokio::test]
async fn the_envelope_is_one_write_where_the_server_offers_pipelining() {
    let envelope = [
        Hear("MAIL FROM:<bookings@example.com>"),
        Hear("RCPT TO:<ana@example.com>"),
        Hear("DATA"),
        Say("250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 go ahead"),
    ];
    let messages = [
        &PIPELINED_GREETING[..],
        &envelope,
        &MESSAGE,
        &envelope,
        &MESSAGE,
    ];
    let server = FakeSmtp::start(vec![script(&messages)]).await;
    let transport = transport(&settings(&server));
    for _ in 0..2 {
        assert_eq!(send(&transport, &email()).await.as_str(), "accepted");
    }
    server.heard().await;
}

#[tokio::test]
async fn a_line_that_begins_with_a_dot_arrives_whole() {
    let server = FakeSmtp::start(vec![script(&[&GREETING, &ENVELOPE, &MESSAGE])]).await;
    let text = ".\n..\n.hidden\nend\n.";
    let outcome = send(
        &transport(&settings(&server)),
        &text_email("ana@example.com", text),
    )
    .await;
    assert_eq!(outcome.as_str(), "accepted");
    let heard = server.heard().await;
    assert_eq!(
        heard[heard.len() - 6..],
        ["..", "...", "..hidden", "end", "..", "."]
    );
}

#[tokio::test]
async fn refusals_end_as_the_table_says() {
    let sender = [Hear("MAIL FROM:<bookings@example.com>"), Say("250 Ok")];
    let rset = [Hear("RSET"), Say("250 Ok")];
    for (stage, reply, expected) in [
        (0, "550 5.7.1 not you", "broken"),
        (0, "451 later", "try_later"),
        (
            0,
            "454 Throttling failure: Maximum sending rate exceeded.",
            "throttled",
        ),
        (1, "550 5.1.1 unknown", "rejected"),
        (1, "450 4.2.0 greylisted", "try_later"),
        (1, "552 too many recipients", "try_later"),
        (1, "530 Authentication required", "broken"),
    ] {
        let refused: &[&[Step]] = match stage {
            0 => &[&GREETING, &[Hear("MAIL"), Say(reply)], &rset],
            _ => &[&GREETING, &sender, &[Hear("RCPT"), Say(reply)], &rset],
        };
        assert_eq!(one(refused).await.as_str(), expected, "{reply}");
    }
    for (reply, expected) in [
        ("554 5.6.0 bad content", "rejected"),
        ("452 4.3.1 disk full", "try_later"),
        (
            "554 Message rejected: Email address is not verified.",
            "broken",
        ),
        (
            "454 Throttling failure: Daily message quota exceeded.",
            "throttled",
        ),
    ] {
        let outcome = one(&[&GREETING, &ENVELOPE, &[HearMessage, Say(reply)]]).await;
        assert_eq!(outcome.as_str(), expected, "{reply}");
    }
}

#[tokio::test]
async fn a_refused_greeting_is_no_fault_of_the_message() {
    for (first, expected) in [
        ("554 no service", "broken"),
        ("521 no mail here", "broken"),
        ("421 4.3.2 overloaded", "try_later"),
        ("421 Too many concurrent SMTP connections", "throttled"),
    ] {
        assert_eq!(one(&[&[Say(first)]]).await.as_str(), expected, "{first}");
    }
    let no_ehlo = [
        Say("220 fake"),
        Hear("EHLO"),
        Say("502 what"),
        Hear("QUIT"),
        Say("221 bye"),
    ];
    assert_eq!(one(&[&no_ehlo]).await.as_str(), "broken");
}

#[tokio::test]
async fn pipelined_refusals_leave_the_connection_usable() {
    let refused = [
        Hear("MAIL"),
        Hear("RCPT"),
        Hear("DATA"),
        Say("250 Ok\r\n550 5.1.1 unknown\r\n554 no valid recipients"),
        Hear("RSET"),
        Say("250 Ok"),
    ];
    let taken = [
        Hear("MAIL"),
        Hear("RCPT"),
        Hear("DATA"),
        Say("250 Ok\r\n250 Ok\r\n354 go"),
    ];
    let parts: [&[Step]; 4] = [&PIPELINED_GREETING, &refused, &taken, &MESSAGE];
    let server = FakeSmtp::start(vec![script(&parts)]).await;
    let transport = transport(&settings(&server));
    let first = send(&transport, &email()).await;
    assert_eq!(told(&first), ("rejected", "invalid_address 550".to_owned()));
    assert_eq!(send(&transport, &email()).await.as_str(), "accepted");
    server.heard().await;
}

#[tokio::test]
async fn a_server_that_wants_a_message_for_nobody_is_left() {
    let refused = [
        Hear("MAIL"),
        Hear("RCPT"),
        Hear("DATA"),
        Say("250 Ok\r\n550 5.1.1 unknown\r\n354 go ahead"),
        Hang,
    ];
    let scripts = vec![
        script(&[&PIPELINED_GREETING, &refused]),
        script(&[&GREETING, &ENVELOPE, &MESSAGE]),
    ];
    let server = FakeSmtp::start(scripts).await;
    let transport = transport(&settings(&server));
    let started = Instant::now();
    assert_eq!(send(&transport, &email()).await.as_str(), "rejected");
    assert!(
        started.elapsed() < Duration::from_secs(1),
        "nothing is waited for"
    );
    assert_eq!(send(&transport, &email()).await.as_str(), "accepted");
    let heard = server.heard().await;
    assert_eq!(
        heard.iter().filter(|line| line.starts_with("EHLO")).count(),
        4
    );
}

#[tokio::test]
async fn an_answer_lost_after_the_final_dot_is_unknown() {
    let outcome = one(&[&GREETING, &ENVELOPE, &[HearMessage]]).await;
    assert_eq!(outcome.as_str(), "unknown");
    let outcome = one(&[&GREETING, &ENVELOPE, &[HearMessage, Say("what?")]]).await;
    assert_eq!(outcome.as_str(), "unknown");
    let outcome = one(&[&GREETING, &ENVELOPE, &[HearMessage, Say("354 more?")]]).await;
    assert_eq!(outcome.as_str(), "unknown");
}

#[tokio::test]
async fn a_verdict_that_does_not_come_in_time_is_unknown() {
    let server = FakeSmtp::start(vec![script(&[&GREETING, &ENVELOPE, &[HearMessage, Hang]])]).await;
    let settings = SmtpSettings {
        data_timeout_ms: 100,
        ..settings(&server)
    };
    let transport = transport(&settings);
    let started = Instant::now();
    assert_eq!(send(&transport, &email()).await.as_str(), "unknown");
    assert!(started.elapsed() < Duration::from_secs(2));
    drop(transport);
    server.heard().await;
}

/// More than the kernel's buffers on both sides of a loopback connection take in.
fn huge() -> String {
    "0123456789 0123456789 0123456789 0123456789 0123456789\n".repeat(300_000)
}

#[tokio::test]
async fn a_connection_lost_before_the_final_dot_is_tried_later() {
    let parts: [&[Step]; 3] = [&GREETING, &ENVELOPE, &[HearBytes(100_000)]];
    let server = FakeSmtp::start(vec![script(&parts)]).await;
    let outcome = send(
        &transport(&settings(&server)),
        &text_email("ana@example.com", &huge()),
    )
    .await;
    assert_eq!(outcome.as_str(), "try_later");
}

#[tokio::test]
async fn a_message_that_could_not_be_written_in_time_is_tried_later() {
    // Reads nothing of the message and keeps the connection: the client is stuck in writing.
    let parts: [&[Step]; 3] = [&GREETING, &ENVELOPE, &[HearBytes(1)]];
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("smtp://{}", listener.local_addr().unwrap());
    let steps = script(&parts);
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = stream;
        super::fake_smtp::follow(&mut stream, &steps, &mut Vec::new()).await;
        stream
    });
    let settings = SmtpSettings {
        url: Some(url.into()),
        data_timeout_ms: 500,
        ..SmtpSettings::default()
    };
    let outcome = send(
        &transport(&settings),
        &text_email("ana@example.com", &huge()),
    )
    .await;
    assert_eq!(outcome.as_str(), "try_later");
    drop(server.await.unwrap());
}

#[tokio::test]
async fn a_connection_lost_or_silent_before_the_message_is_tried_later() {
    let sender = [Hear("MAIL"), Say("250 Ok")];
    for parts in [
        vec![&GREETING[..1]],
        vec![&GREETING[..]],
        vec![&GREETING[..], &[Hear("MAIL")]],
        vec![&GREETING[..], &sender, &[Hear("RCPT")]],
        vec![&GREETING[..], &ENVELOPE[..5]],
        vec![&GREETING[..], &[Hear("MAIL"), Say("nonsense")]],
    ] {
        assert_eq!(one(&parts).await.as_str(), "try_later", "{parts:?}");
    }
    for parts in [
        vec![&[Hang][..]],
        vec![&GREETING[..], &[Hear("MAIL"), Hang]],
        vec![&GREETING[..], &ENVELOPE[..5], &[Hang]],
    ] {
        let server = FakeSmtp::start(vec![script(&parts)]).await;
        let settings = SmtpSettings {
            command_timeout_ms: 100,
            ..settings(&server)
        };
        let outcome = send(&transport(&settings), &email()).await;
        assert_eq!(outcome.as_str(), "try_later", "{parts:?}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_tried_later() {
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("smtp://{}", free.local_addr().unwrap());
    drop(free);
    for url in [url, "smtp://no-such-host.invalid:25".to_owned()] {
        let settings = SmtpSettings {
            url: Some(url.clone().into()),
            ..SmtpSettings::default()
        };
        let outcome = send(&transport(&settings), &email()).await;
        assert_eq!(outcome.as_str(), "try_later", "{url}");
        assert!(transport(&settings).check().await.is_err());
    }
}

#[tokio::test]
async fn addresses_beyond_ascii_go_only_where_they_are_taken() {
    let message = text_email("josé@exämple.com", "Hola");
    let server = FakeSmtp::start(vec![script(&[&GREETING])]).await;
    let outcome = send(&transport(&settings(&server)), &message).await;
    assert_eq!(
        told(&outcome),
        ("rejected", "invalid_address SMTPUTF8".to_owned())
    );

    let taken = [
        Hear("MAIL FROM:<bookings@example.com> BODY=8BITMIME SMTPUTF8"),
        Hear("RCPT TO:<josé@xn--exmple-cua.com>"),
        Hear("DATA"),
        Say("250 Ok\r\n250 Ok\r\n354 go"),
    ];
    let server = FakeSmtp::start(vec![script(&[&PIPELINED_GREETING, &taken, &MESSAGE])]).await;
    let outcome = send(&transport(&settings(&server)), &message).await;
    assert_eq!(outcome.as_str(), "accepted");
    let heard = server.heard().await;
    assert!(heard.contains(&"To: josé@xn--exmple-cua.com".to_owned()));

    // A domain alone is no hindrance.
    let plain = [Hear("MAIL FROM:<bookings@example.com>"), Say("250 Ok")];
    let rest = [
        Hear("RCPT TO:<jose@xn--exmple-cua.com>"),
        Say("250 Ok"),
        Hear("DATA"),
        Say("354 go"),
    ];
    let server = FakeSmtp::start(vec![script(&[&GREETING, &plain, &rest, &MESSAGE])]).await;
    let outcome = send(
        &transport(&settings(&server)),
        &text_email("jose@exämple.com", "x"),
    )
    .await;
    assert_eq!(outcome.as_str(), "accepted");
}

#[tokio::test]
async fn the_headers_of_ses_are_written_when_asked_for() {
    let server = FakeSmtp::start(vec![script(&[&GREETING, &ENVELOPE, &MESSAGE])]).await;
    let settings = SmtpSettings {
        message_tags: true,
        configuration_set: Some("tracking".to_owned()),
        ..settings(&server)
    };
    assert!(settings.validate().is_empty());
    assert_eq!(
        send(&transport(&settings), &email()).await.as_str(),
        "accepted"
    );
    let heard = server.heard().await;
    assert!(heard.contains(&format!("X-SES-MESSAGE-TAGS: notification_id={ID}")));
    assert!(heard.contains(&"X-SES-CONFIGURATION-SET: tracking".to_owned()));
}

#[tokio::test]
async fn checking_greets_and_sends_nothing() {
    let polite = [Hear("NOOP"), Say("250 Ok"), Hear("QUIT"), Say("221 bye")];
    let server = FakeSmtp::start(vec![script(&[&GREETING, &polite])]).await;
    transport(&settings(&server)).check().await.unwrap();
    server.heard().await;
    let server = FakeSmtp::start(vec![vec![Say("554 no service")]]).await;
    let trouble = transport(&settings(&server)).check().await.unwrap_err();
    assert_eq!(trouble.code.as_deref(), Some("554"));
}

#[tokio::test]
async fn only_email_goes_by_smtp_and_its_opens_are_not_reported() {
    let server = FakeSmtp::start(vec![]).await;
    let transport = transport(&settings(&server));
    assert_eq!(send(&transport, &sms()).await.as_str(), "rejected");
    assert_eq!(transport.name(), "smtp");
    assert!(!transport.opens_tracked(&email()));
    assert!(tokio::time::timeout(QUICKLY, server.heard()).await.is_ok());
}
