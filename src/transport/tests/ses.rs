//! Each way in which a call to SES can end, and what becomes of the message.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::fake_http::{Answer, FakeHttp, answer};
use super::{ID, clock, email, email_settings, outgoing, send, sms, text_email, told};
use crate::domain::message::Content;
use crate::domain::method::Method;
use crate::domain::outcome::Outcome;
use crate::transport::{Ses, SesSettings, Transport};

fn settings(url: &str) -> SesSettings {
    SesSettings {
        endpoint_url: Some(url.to_owned()),
        region: Some("us-east-1".to_owned()),
        access_key_id: Some("AKIDEXAMPLE".into()),
        secret_access_key: Some("secret".into()),
        connect_timeout_ms: 1_000,
        timeout_ms: 2_000,
        ..SesSettings::default()
    }
}

async fn transport(settings: &SesSettings) -> Transport {
    Transport::Ses(
        Ses::new(settings, &email_settings(), clock())
            .await
            .unwrap(),
    )
}

async fn one(answer: Answer) -> Outcome {
    let server = FakeHttp::start(vec![answer]).await;
    let transport = transport(&settings(&server.url)).await;
    send(&transport, &email()).await
}

fn error(status: u16, code: &str, message: &str) -> Answer {
    let headers = format!("x-amzn-errortype: {code}\r\ncontent-type: application/json\r\n");
    answer(status, &headers, &format!("{{\"message\":\"{message}\"}}"))
}

#[tokio::test]
async fn a_message_is_one_raw_call_that_names_our_id() {
    let server = FakeHttp::start(vec![answer(200, "", r#"{"MessageId":"0100-ses-id"}"#)]).await;
    let settings = SesSettings {
        configuration_set: Some("tracking".to_owned()),
        track_opens: true,
        ..settings(&server.url)
    };
    assert!(settings.validate().is_empty());
    let outcome = send(&transport(&settings).await, &email()).await;
    assert_eq!(told(&outcome), ("accepted", "0100-ses-id".to_owned()));
    let requests = server.requests().await;
    let (head, body) = requests[0].split_once("\r\n\r\n").unwrap();
    assert!(
        head.starts_with("POST /v2/email/outbound-emails "),
        "{head}"
    );
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["FromEmailAddress"], "bookings@example.com");
    assert_eq!(
        body["Destination"]["ToAddresses"],
        serde_json::json!(["ana@example.com"])
    );
    assert_eq!(body["ConfigurationSetName"], "tracking");
    assert_eq!(body["EmailTags"][0]["Name"], "notification_id");
    assert_eq!(body["EmailTags"][0]["Value"], ID);
    let raw = STANDARD
        .decode(body["Content"]["Raw"]["Data"].as_str().unwrap())
        .unwrap();
    let raw = String::from_utf8(raw).unwrap();
    assert!(raw.contains(&format!("\r\nX-Sendtrail-Id: {ID}\r\n")));
    assert!(raw.ends_with("\r\n\r\nHello Ana\r\n"));
}

#[tokio::test]
async fn errors_end_as_the_table_says() {
    for (status, code, message, expected) in [
        (429, "TooManyRequestsException", "slow down", "throttled"),
        (
            400,
            "ThrottlingException",
            "Maximum sending rate exceeded.",
            "throttled",
        ),
        (
            400,
            "ThrottlingException",
            "Daily message quota exceeded.",
            "throttled",
        ),
        (400, "LimitExceededException", "quota", "throttled"),
        (400, "SendingPausedException", "paused", "broken"),
        (400, "AccountSuspendedException", "suspended", "broken"),
        (
            400,
            "MailFromDomainNotVerifiedException",
            "domain",
            "broken",
        ),
        (
            404,
            "NotFoundException",
            "configuration set tracking",
            "broken",
        ),
        (403, "SignatureDoesNotMatch", "wrong key", "broken"),
        (403, "AccessDeniedException", "not allowed", "broken"),
        (403, "ExpiredTokenException", "too late", "broken"),
        (400, "UnrecognizedClientException", "who?", "broken"),
        (500, "InternalServiceErrorException", "ours", "try_later"),
        (503, "ServiceUnavailable", "ours", "try_later"),
        (504, "GatewayTimeout", "lost", "unknown"),
        (400, "SomethingNewException", "what", "try_later"),
    ] {
        let outcome = one(error(status, code, message)).await;
        assert_eq!(told(&outcome), (expected, code.to_owned()), "{message}");
    }
    for (code, message, category) in [
        ("MessageRejected", "Bad content", "content_rejected"),
        ("BadRequestException", "Illegal address", "invalid_address"),
        ("BadRequestException", "Header too long", "content_rejected"),
    ] {
        let outcome = one(error(400, code, message)).await;
        assert_eq!(told(&outcome), ("rejected", format!("{category} {code}")));
    }
}

#[tokio::test]
async fn a_daily_quota_asks_for_a_long_pause_and_an_unverified_sender_stops_us() {
    let daily = one(error(
        400,
        "ThrottlingException",
        "Daily message quota exceeded.",
    ))
    .await;
    let rate = one(error(
        400,
        "ThrottlingException",
        "Maximum sending rate exceeded.",
    ))
    .await;
    let after = |outcome: &Outcome| {
        let Outcome::Throttled { after, .. } = outcome else {
            panic!("{outcome:?}")
        };
        after.map(|a| a.as_secs())
    };
    assert_eq!((after(&daily), after(&rate)), (Some(3600), None));

    let text = "Email address is not verified. The following identities failed the check in \
                region US-EAST-1: ana@example.com";
    let outcome = one(error(400, "MessageRejected", text)).await;
    assert_eq!(told(&outcome), ("broken", "MessageRejected".to_owned()));
    assert!(
        !format!("{outcome:?}").contains("ana@"),
        "trouble names no recipient"
    );
}

#[tokio::test]
async fn a_server_may_ask_for_patience() {
    let headers = "x-amzn-errortype: TooManyRequestsException\r\nretry-after: 7\r\n";
    let outcome = one(answer(429, headers, "{}")).await;
    assert!(matches!(outcome, Outcome::Throttled { after: Some(a), .. } if a.as_secs() == 7));
}

#[tokio::test]
async fn answers_that_are_not_from_ses_are_judged_by_their_status() {
    for (status, expected) in [
        (502, "try_later"),
        (500, "try_later"),
        (504, "unknown"),
        (403, "broken"),
        (404, "broken"),
        (302, "broken"),
        (413, "rejected"),
    ] {
        let outcome = one(answer(
            status,
            "content-type: text/html\r\n",
            "<html>no</html>",
        ))
        .await;
        assert_eq!(outcome.as_str(), expected, "{status}");
    }
}

#[tokio::test]
async fn a_lost_answer_is_unknown() {
    let cut_off = "HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"Mess".to_owned();
    for (what, lost) in [
        ("closed after the request", Answer::Close),
        ("no answer in time", Answer::Hang),
        ("cut off", Answer::Raw(cut_off)),
        ("not JSON", answer(200, "", "<html>welcome</html>")),
        ("no id", answer(200, "", "{}")),
        ("empty", answer(200, "", "")),
        (
            "not HTTP",
            Answer::Raw("220 smtp.example ESMTP\r\n".to_owned()),
        ),
    ] {
        assert_eq!(one(lost).await.as_str(), "unknown", "{what}");
    }
}

#[tokio::test]
async fn nothing_was_sent_where_nobody_listens() {
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let refused = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    for url in [refused.as_str(), "http://no-such-host.invalid"] {
        let transport = transport(&settings(url)).await;
        let outcome = send(&transport, &email()).await;
        assert_eq!(outcome.as_str(), "try_later", "{url}: {outcome:?}");
        assert!(transport.check().await.is_err());
    }
    // A listener that never accepts, with a full queue: connecting times out.
    let server = socket_that_never_accepts();
    let settings = SesSettings {
        connect_timeout_ms: 100,
        ..settings(&format!("http://{}", server.0.local_addr().unwrap()))
    };
    let outcome = send(&transport(&settings).await, &email()).await;
    assert_eq!(outcome.as_str(), "try_later", "{outcome:?}");
    // A server that does not speak TLS: the request was never written.
    let server = FakeHttp::start(vec![Answer::CloseAtOnce]).await;
    let url = server.url.replace("http://", "https://");
    let outcome = send(&transport(&self::settings(&url)).await, &email()).await;
    assert_eq!(outcome.as_str(), "try_later", "{outcome:?}");
}

/// Keeps its own connections, so that the queue stays full.
fn socket_that_never_accepts() -> (std::net::TcpListener, Vec<std::net::TcpStream>) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap().into_std().unwrap();
    let address = listener.local_addr().unwrap();
    let mut queued = Vec::new();
    let patience = std::time::Duration::from_millis(200);
    while let Ok(stream) = std::net::TcpStream::connect_timeout(&address, patience) {
        queued.push(stream);
        assert!(queued.len() < 64, "the queue does not fill");
    }
    (listener, queued)
}

#[tokio::test]
async fn no_call_is_made_twice() {
    for lost in [
        Answer::Close,
        error(500, "InternalServiceErrorException", "x"),
    ] {
        // A second request would be answered, and counted.
        let spare = answer(200, "", r#"{"MessageId":"second"}"#);
        let server = FakeHttp::start(vec![lost, spare]).await;
        let transport = transport(&settings(&server.url)).await;
        assert_ne!(send(&transport, &email()).await.as_str(), "accepted");
        assert_eq!(send(&transport, &email()).await.as_str(), "accepted");
        assert_eq!(server.requests().await.len(), 2);
    }
}

#[tokio::test]
async fn addresses_beyond_ascii_are_refused_and_domains_translated() {
    let server = FakeHttp::start(vec![answer(200, "", r#"{"MessageId":"1"}"#)]).await;
    let transport = transport(&settings(&server.url)).await;
    let outcome = send(&transport, &text_email("josé@example.com", "x")).await;
    assert_eq!(
        told(&outcome),
        ("rejected", "invalid_address SMTPUTF8".to_owned())
    );
    let outcome = send(&transport, &text_email("jose@exämple.com", "x")).await;
    assert_eq!(outcome.as_str(), "accepted");
    assert!(server.requests().await[0].contains("jose@xn--exmple-cua.com"));
}

#[tokio::test]
async fn checking_asks_for_the_account() {
    let good = r#"{"SendingEnabled":true}"#;
    for (reply, expected) in [
        (answer(200, "", good), Ok(())),
        (
            answer(200, "", r#"{"SendingEnabled":false}"#),
            Err("SendingPaused"),
        ),
        (
            error(403, "SignatureDoesNotMatch", "x"),
            Err("SignatureDoesNotMatch"),
        ),
        // A key that may only send.
        (error(403, "AccessDeniedException", "x"), Ok(())),
    ] {
        let server = FakeHttp::start(vec![reply]).await;
        let verdict = transport(&settings(&server.url)).await.check().await;
        let verdict = verdict.map_err(|trouble| trouble.code.unwrap_or_default());
        assert_eq!(verdict, expected.map_err(str::to_owned));
        assert!(server.requests().await[0].starts_with("GET /v2/email/account "));
    }
}

#[tokio::test]
async fn opens_are_reported_only_for_html_and_only_where_they_are_tracked() {
    let mut html = email();
    html.content = Content::Email {
        subject: "x".to_owned(),
        text: None,
        html: Some("<p>x</p>".to_owned()),
        reply_to: None,
        attachments: Vec::new(),
    };
    let off = transport(&settings("http://127.0.0.1:1")).await;
    let tracking = SesSettings {
        track_opens: true,
        ..settings("http://127.0.0.1:1")
    };
    let on = transport(&tracking).await;
    assert!(on.opens_tracked(&html));
    assert!(!on.opens_tracked(&email()));
    assert!(!off.opens_tracked(&html));
    assert_eq!(on.name(), "ses");
    assert_eq!(send(&on, &sms()).await.as_str(), "rejected");
}

#[tokio::test]
async fn a_subject_with_a_line_break_never_leaves() {
    for subject in ["a\r\nBcc: x@example.com", "a\nb", "a\rb", "a\0b"] {
        let content = Content::Email {
            subject: subject.to_owned(),
            text: Some("x".to_owned()),
            html: None,
            reply_to: None,
            attachments: Vec::new(),
        };
        let message = outgoing(Method::Email, "ana@example.com", content);
        let transport = transport(&settings("http://127.0.0.1:1")).await;
        let outcome = send(&transport, &message).await;
        let expected = "content_rejected SubjectLineBreak".to_owned();
        assert_eq!(told(&outcome), ("rejected", expected), "{subject:?}");
    }
}

#[test]
fn a_wrong_setting_is_named() {
    let settings = SesSettings {
        endpoint_url: Some("ses.example".to_owned()),
        access_key_id: Some("AKID".into()),
        track_opens: true,
        connect_timeout_ms: 0,
        timeout_ms: 0,
        ..SesSettings::default()
    };
    let keys: Vec<&str> = settings.validate().iter().map(|p| p.key).collect();
    let expected = [
        "endpoint_url",
        "connect_timeout_ms",
        "timeout_ms",
        "timeout_ms",
        "secret_access_key",
        "track_opens",
    ];
    assert_eq!(keys, expected);
    assert!(SesSettings::default().validate().is_empty());
    assert_eq!(
        crate::transport::EmailSettings::default().validate()[0].key,
        "from"
    );
}
