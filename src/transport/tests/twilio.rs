//! Each way in which a call to Twilio can end, and what becomes of the message.

use std::collections::HashMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Map;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::fake_http::{Answer, FakeHttp, answer};
use super::{ID, PATIENCE, clock, email, push, recorded, recorded_errors, send, sms, told};
use crate::domain::message::Outgoing;
use crate::domain::outcome::{Outcome, Trouble};
use crate::transport::twilio::State;
use crate::transport::{Transport, Twilio, TwilioSettings};

const ACCOUNT: &str = "AC00000000000000000000000000000000";
const KEY: &str = "SK00000000000000000000000000000000";
const SERVICE: &str = "MG00000000000000000000000000000000";

fn settings(url: &str) -> TwilioSettings {
    TwilioSettings {
        endpoint_url: Some(url.to_owned()),
        account_sid: Some(ACCOUNT.to_owned()),
        auth_token: Some("secret".into()),
        from: Some("+15005550001".to_owned()),
        connect_timeout_ms: 1_000,
        timeout_ms: 2_000,
        ..TwilioSettings::default()
    }
}

fn transport(settings: &TwilioSettings) -> Transport {
    assert_eq!(settings.validate(), []);
    Transport::Twilio(Twilio::new(settings, clock()).unwrap())
}

pub(super) async fn one(answer: Answer) -> Outcome {
    let server = FakeHttp::start(vec![answer]).await;
    send(&transport(&settings(&server.url)), &sms()).await
}

fn taken(file: &str) -> Answer {
    let (status, headers, body) = recorded(&format!("twilio/{file}"));
    answer(status, &headers, &body)
}

pub(super) fn error(status: u16, code: u32) -> Answer {
    let body = format!(r#"{{"code":{code},"message":"because","status":{status}}}"#);
    answer(status, "content-type: application/json\r\n", &body)
}

/// The head and the form fields of the only request.
async fn request(server: FakeHttp) -> (String, HashMap<String, String>) {
    let requests = server.requests().await;
    let (head, body) = requests[0].split_once("\r\n\r\n").unwrap();
    let url = reqwest::Url::parse(&format!("http://x/?{body}")).unwrap();
    (head.to_owned(), url.query_pairs().into_owned().collect())
}

fn basic(username: &str, password: &str) -> String {
    let login = STANDARD.encode(format!("{username}:{password}"));
    format!("authorization: Basic {login}")
}

#[tokio::test]
async fn a_text_message_is_posted_with_our_id_in_the_callback_address() {
    let server = FakeHttp::start(vec![taken("create_201_queued.json")]).await;
    let settings = TwilioSettings {
        status_callback_url: Some("https://notify.example.com/webhooks/twilio?a=b".to_owned()),
        ..settings(&server.url)
    };
    let outcome = send(&transport(&settings), &sms()).await;
    let sid = "SM00000000000000000000000000000001".to_owned();
    assert_eq!(told(&outcome), ("accepted", sid));
    let (head, fields) = request(server).await;
    let path = format!("POST /2010-04-01/Accounts/{ACCOUNT}/Messages.json HTTP/1.1\r\n");
    assert!(head.starts_with(&path), "{head}");
    assert!(head.contains(&basic(ACCOUNT, "secret")), "{head}");
    assert_eq!(fields["To"], "+14155550123");
    assert_eq!(fields["From"], "+15005550001");
    assert_eq!(fields["Body"], "Hello");
    // The part after the hash is for Twilio: it asks for more tries than one.
    assert_eq!(
        fields["StatusCallback"],
        format!(
            "https://notify.example.com/webhooks/twilio?a=b&notification_id={ID}\
             #rc=5&rp=ct,rt,5xx"
        )
    );
    assert_eq!(fields.len(), 4, "{fields:?}");
}

#[tokio::test]
async fn an_api_key_a_messaging_service_and_a_last_moment_are_named() {
    let accepted = "create_201_accepted_messaging_service.json";
    let server = FakeHttp::start(vec![taken(accepted)]).await;
    let settings = TwilioSettings {
        api_key_sid: Some(KEY.to_owned()),
        api_key_secret: Some("key secret".into()),
        from: None,
        messaging_service_sid: Some(SERVICE.to_owned()),
        ..settings(&server.url)
    };
    let message = Outgoing {
        expires_at: Some(clock().now().plus(Duration::from_secs(90))),
        ..sms()
    };
    let outcome = send(&transport(&settings), &message).await;
    assert_eq!(outcome.as_str(), "accepted");
    let (head, fields) = request(server).await;
    assert!(head.contains(&basic(KEY, "key secret")), "{head}");
    assert_eq!(fields["MessagingServiceSid"], SERVICE);
    assert_eq!(fields["ValidityPeriod"], "90");
    assert!(!fields.contains_key("From") && !fields.contains_key("StatusCallback"));
}

/// Its queue keeps nothing for longer, and takes no zero.
#[tokio::test]
async fn a_last_moment_is_told_within_the_bounds_that_twilio_takes() {
    for (seconds, told) in [(0, "1"), (36_000, "36000"), (100_000, "36000")] {
        let server = FakeHttp::start(vec![taken("create_201_queued.json")]).await;
        let message = Outgoing {
            expires_at: Some(clock().now().plus(Duration::from_secs(seconds))),
            ..sms()
        };
        send(&transport(&settings(&server.url)), &message).await;
        assert_eq!(request(server).await.1["ValidityPeriod"], told);
    }
}

#[tokio::test]
async fn every_recorded_error_ends_as_the_table_says() {
    let expected = [
        ("error_20003.json", "broken", "20003"),
        ("error_20404.json", "broken", "20404"),
        ("error_20429.json", "throttled", "20429"),
        ("error_20500.json", "unknown", "20500"),
        ("error_20503.json", "try_later", "20503"),
        ("error_21211.json", "rejected", "invalid_address 21211"),
        ("error_21212.json", "broken", "21212"),
        ("error_21408.json", "rejected", "credentials 21408"),
        ("error_21606.json", "broken", "21606"),
        ("error_21610.json", "rejected", "unsubscribed 21610"),
        ("error_21611.json", "throttled", "21611"),
        ("error_21612.json", "rejected", "credentials 21612"),
        ("error_21614.json", "rejected", "invalid_address 21614"),
        ("error_21617.json", "rejected", "content_rejected 21617"),
    ];
    let files: Vec<&str> = expected.iter().map(|(file, ..)| *file).collect();
    assert_eq!(recorded_errors("twilio"), files);
    for (file, word, detail) in expected {
        let outcome = one(taken(file)).await;
        assert_eq!(told(&outcome), (word, detail.to_owned()), "{file}");
    }
}

#[tokio::test]
async fn codes_that_were_not_recorded_end_as_the_table_says() {
    for (code, word, detail) in [
        (21217, "rejected", "invalid_address 21217"),
        (21602, "rejected", "content_rejected 21602"),
        (21603, "broken", "21603"),
        (21608, "rejected", "credentials 21608"),
        (21659, "broken", "21659"),
        (21660, "broken", "21660"),
        (30001, "throttled", "30001"),
        (30002, "broken", "30002"),
        (30003, "try_later", "30003"),
        (30004, "rejected", "policy_or_reputation 30004"),
        (30005, "rejected", "invalid_address 30005"),
        (30006, "rejected", "invalid_address 30006"),
        (30007, "rejected", "policy_or_reputation 30007"),
        (30008, "rejected", "unknown 30008"),
        (30034, "broken", "30034"),
        (30410, "try_later", "30410"),
        (30500, "try_later", "30500"),
    ] {
        let outcome = one(error(400, code)).await;
        assert_eq!(told(&outcome), (word, detail.to_owned()));
    }
}

#[tokio::test]
async fn without_a_known_code_the_status_tells() {
    for (reply, word, code) in [
        (error(400, 29_999), "try_later", "29999"),
        (error(429, 29_999), "throttled", "29999"),
        (answer(401, "", ""), "broken", "401"),
        (answer(302, "location: /x\r\n", ""), "broken", "302"),
        // Twilio cannot tell a repetition, so what may have been done is not done again at once.
        (answer(500, "", "<html>"), "unknown", "500"),
        (answer(502, "", "<html>"), "unknown", "502"),
        (answer(503, "", "<html>"), "try_later", "503"),
        (answer(504, "", "<html>"), "unknown", "504"),
    ] {
        assert_eq!(told(&one(reply).await), (word, code.to_owned()));
    }
}

#[tokio::test]
async fn the_patience_that_twilio_asks_for_is_kept() {
    for (header, seconds) in [
        ("retry-after: 7\r\n", 7),
        ("retry-after: Fri, 01 Jan 2027 09:00:20 GMT\r\n", 20),
    ] {
        let Outcome::Throttled { after, .. } = one(answer(429, header, "")).await else {
            panic!("not throttled")
        };
        assert_eq!(after, Some(Duration::from_secs(seconds)));
    }
}

#[tokio::test]
async fn a_lost_answer_is_unknown_and_none_at_all_is_for_later() {
    let cut = "HTTP/1.1 201 Created\r\ncontent-length: 500\r\n\r\n{\"sid\":\"SM1\"";
    for (what, lost) in [
        ("closed", Answer::Close),
        ("no answer in time", Answer::Hang),
        ("broken off", Answer::Raw(cut.to_owned())),
        ("not JSON", answer(201, "", "welcome")),
        ("no id", answer(201, "", "{\"sid\":\"\"}")),
        ("endless", answer(201, "", &"x".repeat(300_000))),
    ] {
        assert_eq!(one(lost).await.as_str(), "unknown", "{what}");
    }
    let nobody = transport(&settings("http://127.0.0.1:1"));
    assert_eq!(send(&nobody, &sms()).await.as_str(), "try_later");
}

#[tokio::test]
async fn a_connection_is_kept_for_the_next_message() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        // A second connection would never be accepted.
        let (mut stream, _) = listener.accept().await.unwrap();
        for _ in 0..3 {
            let mut request = String::new();
            while !request.contains("Body=Hello") {
                let mut chunk = [0; 4096];
                let count = stream.read(&mut chunk).await.unwrap();
                request.push_str(std::str::from_utf8(&chunk[..count]).unwrap());
            }
            let answer = b"HTTP/1.1 201 Created\r\ncontent-length: 13\r\n\r\n{\"sid\":\"SM1\"}";
            stream.write_all(answer).await.unwrap();
        }
    });
    let transport = transport(&settings(&url));
    for _ in 0..3 {
        assert_eq!(send(&transport, &sms()).await.as_str(), "accepted");
    }
    tokio::time::timeout(PATIENCE, server)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn checking_sends_nothing_and_says_what_is_wrong() {
    let server = FakeHttp::start(vec![
        answer(200, "", r#"{"incoming_phone_numbers":[]}"#),
        taken("error_20003.json"),
    ])
    .await;
    let transport = transport(&settings(&server.url));
    transport.check().await.unwrap();
    let trouble = transport.check().await.unwrap_err();
    assert_eq!(trouble.code.as_deref(), Some("20003"));
    for request in server.requests().await {
        assert!(
            request.starts_with("GET /2010-04-01/Accounts/"),
            "{request}"
        );
    }
}

#[tokio::test]
async fn only_text_messages_go_by_twilio() {
    let transport = transport(&settings("http://127.0.0.1:1"));
    for message in [email(), push(Map::new())] {
        let expected = "content_rejected WrongMethod".to_owned();
        assert_eq!(
            told(&send(&transport, &message).await),
            ("rejected", expected)
        );
    }
    assert_eq!(transport.name(), "twilio");
    assert!(!transport.opens_tracked(&sms()));
    assert_eq!(transport.serves(), sms().to.form());
}

type Change = fn(&mut TwilioSettings);

/// What is wrong after this change to good settings.
fn wrong_after(change: impl FnOnce(&mut TwilioSettings)) -> Vec<&'static str> {
    let mut settings = settings("https://twilio.example");
    change(&mut settings);
    settings.validate().iter().map(|p| p.key).collect()
}

#[test]
fn wrong_and_missing_settings_are_named() {
    let some = |text: &str| Some(text.to_owned());
    let missing = ["account_sid", "auth_token", "from"];
    assert_eq!(wrong_after(|it| *it = TwilioSettings::default()), missing);
    assert!(wrong_after(|_| {}).is_empty());
    let table: [(&str, Change); 9] = [
        ("endpoint_url", |it| {
            it.endpoint_url = Some("http://twilio.example".to_owned());
        }),
        ("account_sid", |it| {
            it.account_sid = Some("AC00/../x".to_owned());
        }),
        ("api_key_secret", |it| it.api_key_sid = Some(KEY.to_owned())),
        ("api_key_sid", |it| it.api_key_secret = Some("x".into())),
        ("api_key_sid", |it| {
            it.api_key_sid = Some(ACCOUNT.to_owned());
            it.api_key_secret = Some("x".into());
        }),
        ("messaging_service_sid", |it| {
            it.messaging_service_sid = Some(SERVICE.to_owned());
        }),
        ("messaging_service_sid", |it| {
            it.from = None;
            it.messaging_service_sid = Some(ACCOUNT.to_owned());
        }),
        ("status_callback_url", |it| {
            it.status_callback_url = Some("notify.example.com".to_owned());
        }),
        ("timeout_ms", |it| it.timeout_ms = 1_000),
    ];
    for (key, change) in table {
        assert_eq!(wrong_after(change), [key]);
    }
    for (from, fits) in [
        ("+14155550123", true),
        ("12345", true),
        ("My Shop", true),
        ("(415) 555-0123", false),
        ("a name too long", false),
        ("", false),
    ] {
        let wrong = wrong_after(|it| it.from = some(from));
        assert_eq!(wrong.is_empty(), fits, "{from}");
    }
}

#[test]
fn no_secret_is_in_the_debug_form() {
    let settings = TwilioSettings {
        auth_token: Some("hunter2".into()),
        api_key_sid: Some(KEY.to_owned()),
        api_key_secret: Some("hunter2".into()),
        ..settings("http://127.0.0.1:1")
    };
    let text = format!("{settings:?} {:?}", transport(&settings));
    assert!(!text.contains("hunter2"), "{text}");
}

/// What Twilio answers to who asks how a message stands.
async fn looked_up(answer: Answer, sid: &str) -> (Result<Option<State>, Trouble>, Vec<String>) {
    let server = FakeHttp::start(vec![answer]).await;
    let twilio = Twilio::new(&settings(&server.url), clock()).unwrap();
    let found = twilio.look_up(sid).await;
    (found, server.requests().await)
}

#[tokio::test]
async fn a_message_is_asked_for_by_its_id() {
    const SID: &str = "SM00000000000000000000000000000001";
    let body = r#"{"status": "undelivered", "error_code": 30003, "body": "Hello",
        "date_updated": "Thu, 15 Jan 2026 10:00:00 +0000"}"#;
    let json = "content-type: application/json\r\n";
    let (found, requests) = looked_up(answer(200, json, body), SID).await;
    let state = State {
        status: "undelivered".to_owned(),
        error_code: Some(30003),
        date_updated: Some("Thu, 15 Jan 2026 10:00:00 +0000".to_owned()),
    };
    assert_eq!(found, Ok(Some(state)));
    let path = format!("GET /2010-04-01/Accounts/{ACCOUNT}/Messages/{SID}.json HTTP/1.1\r\n");
    assert!(requests[0].starts_with(&path), "{requests:?}");
    assert!(requests[0].contains(&basic(ACCOUNT, "secret")));

    assert_eq!(looked_up(error(404, 20404), SID).await.0, Ok(None));
    for (trouble, code) in [
        (error(401, 20003), Some("20003")),
        (error(429, 20429), Some("20429")),
        (answer(200, json, "[]"), None),
    ] {
        let found = looked_up(trouble, SID).await.0.unwrap_err();
        assert_eq!(found.code.as_deref(), code);
    }
}

/// What is no id of a message must not become part of an address.
#[tokio::test]
async fn what_is_no_message_of_twilios_is_not_asked_for() {
    let twilio = Twilio::new(&settings("http://127.0.0.1:9"), clock()).unwrap();
    for sid in [
        "",
        "SM1",
        "../../Accounts",
        "AC00000000000000000000000000000000",
    ] {
        assert_eq!(twilio.look_up(sid).await, Ok(None), "{sid}");
    }
}
