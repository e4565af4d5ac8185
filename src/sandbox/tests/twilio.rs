//! Text messages sent as Twilio's clients send them, and the callbacks that follow.

use std::collections::BTreeMap;

use axum::Router;
use axum::extract::{Form, OriginalUri, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::Value;
use tokio::sync::watch;

use super::{PATIENCE, Stage};
use crate::sandbox::Counts;

/// A callback as it came: address, headers, fields.
type Heard = (String, HeaderMap, BTreeMap<String, String>);

/// A receiver of callbacks that answers the first ones with these statuses and all others with 200.
struct Receiver {
    url: String,
    heard: watch::Sender<Vec<Heard>>,
}

impl Receiver {
    async fn start(statuses: &'static [u16]) -> Self {
        let heard = watch::Sender::new(Vec::new());
        let hear = post(
            async move |State(heard): State<watch::Sender<Vec<Heard>>>,
                        OriginalUri(uri): OriginalUri,
                        headers: HeaderMap,
                        Form(fields): Form<BTreeMap<String, String>>| {
                let count = heard.borrow().len();
                heard.send_modify(|all| all.push((uri.to_string(), headers, fields)));
                let status = statuses.get(count).copied().unwrap_or(200);
                StatusCode::from_u16(status).unwrap()
            },
        );
        let router = Router::new().route("/hook", hear).with_state(heard.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        tokio::spawn(axum::serve(listener, router).into_future());
        Self { url, heard }
    }

    async fn heard(&self, count: usize) -> Vec<Heard> {
        let mut heard = self.heard.subscribe();
        let enough = heard.wait_for(|all| all.len() >= count);
        let heard = tokio::time::timeout(PATIENCE, enough).await.unwrap();
        heard.unwrap().clone()
    }
}

async fn create(stage: &Stage, fields: &[(&str, &str)]) -> Result<(u16, Value), reqwest::Error> {
    let credentials = stage.sandbox.credentials();
    let sid = &credentials.twilio_account_sid;
    let token = stage.sandbox.provider.accounts.twilio_token();
    let url = format!(
        "{}/2010-04-01/Accounts/{sid}/Messages.json",
        stage.sandbox.http_url()
    );
    let client = reqwest::Client::builder().timeout(PATIENCE).no_proxy();
    let call = client.build().unwrap().post(url).form(fields);
    let answer = call.basic_auth(sid, Some(token)).send().await?;
    let status = answer.status().as_u16();
    Ok((status, answer.json().await?))
}

async fn text(stage: &Stage, to: &str, callback: &str) -> (u16, Value) {
    let fields = [
        ("To", to),
        ("From", "+15005550006"),
        ("Body", "Hello"),
        ("StatusCallback", callback),
    ];
    create(stage, &fields).await.unwrap()
}

#[tokio::test]
async fn text_messages_go_as_their_last_digits_say() {
    let stage = Stage::set().await;
    for (to, status, code) in [
        ("+15005550001", 400, 21211),
        ("+15005550009", 400, 21610),
        ("+15005550500", 503, 20503),
        ("+15005550429", 429, 20429),
    ] {
        let (found, body) = text(&stage, to, "").await;
        assert_eq!((found, &body["code"]), (status, &code.into()), "{to}");
    }
    // The third time.
    assert_eq!(text(&stage, "+15005550429", "").await.0, 429);
    assert_eq!(text(&stage, "+15005550429", "").await.0, 201);
    let fields = [("To", "+15005550408"), ("From", "x"), ("Body", "Hello")];
    assert!(create(&stage, &fields).await.is_err(), "no answer");

    for (to, expected) in [
        ("+15005550006", &[("sent", None)][..]),
        ("+15005550007", &[("sent", None), ("delivered", None)]),
        ("+14155550123", &[("sent", None), ("delivered", None)]),
        (
            "+15005550004",
            &[("sent", None), ("undelivered", Some("30004"))],
        ),
        (
            "+15005550008",
            &[("sent", None), ("undelivered", Some("30003"))],
        ),
    ] {
        let receiver = Receiver::start(&[]).await;
        let address = format!("{}?notification_id=5f1c#rc=5&rp=5xx", receiver.url);
        let (status, message) = text(&stage, to, &address).await;
        assert_eq!((status, &message["status"]), (201, &"queued".into()));
        let heard = receiver.heard(expected.len()).await;
        let told: Vec<(&str, Option<&str>)> = heard
            .iter()
            .map(|(_, _, it)| (&*it["MessageStatus"], it.get("ErrorCode").map(|it| &**it)))
            .collect();
        assert_eq!(told, expected, "{to}");
        for (address, headers, fields) in &heard {
            assert_eq!(address, "/hook?notification_id=5f1c");
            assert_eq!(fields["MessageSid"], message["sid"].as_str().unwrap());
            assert_eq!((&*fields["To"], &*fields["From"]), (to, "+15005550006"));
            assert!(headers.contains_key("x-twilio-signature"));
        }
    }
}

#[tokio::test]
async fn a_callback_in_trouble_is_tried_again_where_its_address_asks_for_it() {
    let stage = Stage::set().await;
    let patient = Receiver::start(&[503, 500]).await;
    text(
        &stage,
        "+15005550006",
        &format!("{}#rc=5&rp=ct,5xx", patient.url),
    )
    .await;
    let heard = patient.heard(3).await;
    let id = |index: usize| &heard[index].1["i-twilio-idempotency-token"];
    assert_eq!((id(0), id(0)), (id(1), id(2)));
    let before = counted(&stage, |counts| counts.retried == 2 && counts.posted == 2).await;

    let plain = Receiver::start(&[503]).await;
    text(&stage, "+15005550006", &plain.url).await;
    let after = counted(&stage, |counts| counts.dropped == before.dropped + 1).await;
    assert_eq!((after.posted, after.retried), (before.posted, 2));
    assert_eq!(plain.heard(1).await.len(), 1);
}

/// The counts, once they are so.
async fn counted(stage: &Stage, is_so: impl Fn(Counts) -> bool) -> Counts {
    let counted = async {
        while !is_so(stage.sandbox.counts()) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    let counted = tokio::time::timeout(PATIENCE, counted).await;
    assert!(counted.is_ok(), "{:?}", stage.sandbox.counts());
    stage.sandbox.counts()
}

#[tokio::test]
async fn requests_that_twilio_refuses_are_refused_with_its_codes() {
    let stage = Stage::set().await;
    let long = "x".repeat(1_601);
    let to = ("To", "+15005550007");
    for (fields, code) in [
        (&[to, ("Body", "Hello")][..], 21603),
        (&[to, ("From", "+15005550006")], 21602),
        (&[to, ("From", "+15005550006"), ("Body", &long)], 21617),
    ] {
        let (status, body) = create(&stage, fields).await.unwrap();
        assert_eq!((status, &body["code"]), (400, &code.into()));
    }
    let client = reqwest::Client::builder().timeout(PATIENCE).no_proxy();
    let client = client.build().unwrap();
    let base = stage.sandbox.http_url();
    let sid = stage.sandbox.credentials().twilio_account_sid;
    let token = stage.sandbox.provider.accounts.twilio_token();
    for (account, password, status) in [
        (sid.as_str(), token, 200),
        (&sid, "guess", 401),
        ("AC0", token, 404),
    ] {
        let url = format!("{base}/2010-04-01/Accounts/{account}/IncomingPhoneNumbers.json");
        let call = client.get(url).basic_auth(&sid, Some(password));
        assert_eq!(call.send().await.unwrap().status().as_u16(), status);
    }
}

#[tokio::test]
async fn how_a_message_stands_is_told_to_who_asks_and_may() {
    let stage = Stage::set().await;
    let client = reqwest::Client::builder().timeout(PATIENCE).no_proxy();
    let client = client.build().unwrap();
    let account = stage.sandbox.credentials().twilio_account_sid;
    let token = stage.sandbox.provider.accounts.twilio_token();
    let base = stage.sandbox.http_url();
    let ask = async |sid: &str, password: &str| {
        let url = format!("{base}/2010-04-01/Accounts/{account}/Messages/{sid}.json");
        let call = client.get(url).basic_auth(&account, Some(password));
        let answer = call.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.json::<Value>().await.unwrap())
    };
    for (to, status, code) in [
        ("+15005550204", "delivered", None),
        ("+15005550006", "sent", None),
        ("+15005550008", "undelivered", Some(30003)),
    ] {
        let (_, message) = text(&stage, to, "").await;
        let (found, resource) = ask(message["sid"].as_str().unwrap(), token).await;
        assert_eq!((found, &resource["status"]), (200, &status.into()), "{to}");
        assert_eq!(resource["error_code"], Value::from(code));
        let at = resource["date_updated"].as_str().unwrap();
        assert!(jiff::fmt::rfc2822::parse(at).is_ok(), "{at}");
    }
    assert_eq!(ask("SM0", token).await.0, 404);
    assert_eq!(ask("SM0", "guess").await.0, 401);
}

#[tokio::test]
async fn a_text_of_a_client_is_posted_to_the_address_of_the_number() {
    let stage = Stage::set().await;
    let client = reqwest::Client::builder().timeout(PATIENCE).no_proxy();
    let call = client.build().unwrap();
    let written = serde_json::json!({"from": "+14155550123", "body": "STOP"});
    let write = async || {
        let url = format!("{}/sandbox/texts", stage.sandbox.http_url());
        let answer = call.post(url).json(&written).send().await.unwrap();
        answer.status().as_u16()
    };
    assert_eq!(write().await, 409, "there is no address yet");
    let receiver = Receiver::start(&[]).await;
    stage.sandbox.set_inbound_url(receiver.url.clone());
    assert_eq!(write().await, 204);
    let heard = receiver.heard(1).await;
    let (_, headers, fields) = &heard[0];
    assert!(headers.contains_key("x-twilio-signature"));
    assert_eq!(
        (&*fields["From"], &*fields["Body"]),
        ("+14155550123", "STOP")
    );
    assert_eq!(fields["SmsStatus"], "received");
    assert!(!fields.contains_key("MessageStatus"));
}
