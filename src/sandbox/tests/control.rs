//! Limits and outages, changed while the sandbox runs.

use std::time::Duration;

use aws_sdk_sesv2::error::ProvideErrorMetadata;
use aws_sdk_sesv2::types::{Body, Content, Destination, EmailContent, Message};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::{PATIENCE, Stage};
use crate::sandbox::{Calls, Door};

/// The error's code, if there is one.
async fn send(stage: &Stage) -> Result<(), String> {
    let text = Content::builder().data("Hi").build().unwrap();
    let message = Message::builder()
        .subject(text.clone())
        .body(Body::builder().text(text).build())
        .build();
    let call = stage
        .ses()
        .send_email()
        .from_email_address("shop@example.com")
        .destination(Destination::builder().to_addresses("ana@mail.test").build())
        .content(EmailContent::builder().simple(message).build());
    let sent = call.send().await.map(drop);
    sent.map_err(|error| error.code().unwrap_or("none").to_owned())
}

async fn publish(stage: &Stage) -> Result<(), String> {
    let call = stage
        .sns()
        .publish()
        .phone_number("+15005550006")
        .message("Hi");
    let sent = call.send().await.map(drop);
    sent.map_err(|error| error.code().unwrap_or("none").to_owned())
}

#[tokio::test]
async fn what_comes_too_fast_is_refused_in_the_words_of_each_provider() {
    let stage = Stage::set_unconfirmed().await;
    stage.sandbox.set_limit(Some(2.0));
    for _ in 0..2 {
        send(&stage).await.unwrap();
    }
    assert_eq!(send(&stage).await.unwrap_err(), "TooManyRequestsException");
    assert_eq!(publish(&stage).await.unwrap_err(), "Throttled");
    let calls = Calls {
        taken: 2,
        refused: 2,
    };
    assert_eq!(stage.sandbox.calls(), calls);
    tokio::time::sleep(Duration::from_millis(600)).await;
    send(&stage).await.unwrap();
    stage.sandbox.set_limit(None);
    for _ in 0..5 {
        publish(&stage).await.unwrap();
    }
}

#[tokio::test]
async fn a_door_that_is_shut_fails_and_the_others_stay_open() {
    let stage = Stage::set_unconfirmed().await;
    stage.sandbox.set_down(&[Door::Ses]);
    let error = send(&stage).await.unwrap_err();
    assert_eq!(error, "InternalServiceErrorException");
    publish(&stage).await.unwrap();
    stage.sandbox.set_down(&[Door::Sns]);
    send(&stage).await.unwrap();
    assert_eq!(publish(&stage).await.unwrap_err(), "InternalError");
    stage.sandbox.set_down(&[]);
    send(&stage).await.unwrap();
    publish(&stage).await.unwrap();
    assert_eq!(stage.sandbox.calls().taken, 4);
}

#[tokio::test]
async fn smtp_refuses_connections_ends_sessions_and_comes_back_at_its_address() {
    let stage = Stage::set_unconfirmed().await;
    let address = stage.sandbox.smtp_url().replace("smtp://", "");
    let mut open = BufReader::new(TcpStream::connect(&address).await.unwrap());
    let mut line = String::new();
    open.read_line(&mut line).await.unwrap();
    assert!(line.starts_with("220 "), "{line}");

    stage.sandbox.set_down(&[Door::Smtp]);
    open.write_all(b"NOOP\r\n").await.unwrap();
    line.clear();
    open.read_line(&mut line).await.unwrap();
    assert!(line.starts_with("421 "), "{line}");
    let refused = async {
        while TcpStream::connect(&address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, refused).await.unwrap();

    stage.sandbox.set_down(&[]);
    let back = async {
        while TcpStream::connect(&address).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, back).await.unwrap();
}

#[tokio::test]
async fn the_same_can_be_ordered_over_http() {
    let stage = Stage::set_unconfirmed().await;
    let order = async |body: Value| -> (u16, String) {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = format!("{}/sandbox/control", stage.sandbox.http_url());
        let answer = client.post(url).json(&body).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let body = json!({"per_second": 1.0, "max_send_rate": 14.0, "down": ["sns"]});
    let (status, text) = order(body).await;
    let answer: Value = serde_json::from_str(&text).unwrap();
    let expected = json!({
        "per_second": 1.0, "max_send_rate": 14.0, "down": ["sns"],
        "calls": {"taken": 0, "refused": 0},
    });
    assert_eq!((status, answer), (200, expected));
    assert_eq!(publish(&stage).await.unwrap_err(), "InternalError");
    send(&stage).await.unwrap();
    assert_eq!(send(&stage).await.unwrap_err(), "TooManyRequestsException");
    let account = stage.ses().get_account().send().await.unwrap();
    assert!((account.send_quota().unwrap().max_send_rate() - 14.0).abs() < f64::EPSILON);
    let (_, text) = order(json!({"per_second": 0, "down": []})).await;
    assert!(text.contains("\"per_second\":null"), "{text}");
    publish(&stage).await.unwrap();
    for wrong in [
        json!({"down": ["letters"]}),
        json!({"per_second": -1}),
        json!({"speed": 1}),
    ] {
        assert_eq!(order(wrong).await.0, 422);
    }
}
