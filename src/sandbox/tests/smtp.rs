//! Emails sent by SMTP: with lettre, and word by word.

use lettre::message::Mailbox;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::{PATIENCE, Stage, kinds};
use crate::sandbox::MESSAGE_BYTES_MAX;

fn transport(stage: &Stage) -> AsyncSmtpTransport<Tokio1Executor> {
    AsyncSmtpTransport::<Tokio1Executor>::from_url(&stage.sandbox.smtp_url())
        .unwrap()
        .timeout(Some(PATIENCE))
        .build()
}

fn message(to: &str) -> Message {
    let mut message = Message::builder()
        .from("Shop <shop@example.com>".parse::<Mailbox>().unwrap())
        .to(to.parse().unwrap())
        .subject("Hello")
        .body("Hi\r\n.\r\n.dots\r\n".to_owned())
        .unwrap();
    let headers = message.headers_mut();
    for (name, value) in [
        ("X-SES-MESSAGE-TAGS", "notification_id=5f1c7f0e"),
        ("X-Sendtrail-Id", "5f1c7f0e"),
    ] {
        let name = lettre::message::header::HeaderName::new_from_ascii_str(name);
        headers.insert_raw(lettre::message::header::HeaderValue::new(
            name,
            value.to_owned(),
        ));
    }
    message
}

#[tokio::test]
async fn an_email_by_smtp_is_accepted_with_an_id_and_followed_by_feedback() {
    let stage = Stage::set().await;
    let transport = transport(&stage);
    let response = transport
        .send(message("opened@simulator.test"))
        .await
        .unwrap();
    let reply = response.first_line().unwrap().to_owned();
    let posts = stage.notifications(3).await;
    assert_eq!(kinds(&posts), ["Send", "Delivery", "Open"]);
    let mail = &posts[2].message()["mail"];
    assert_eq!(reply, format!("Ok {}", mail["messageId"].as_str().unwrap()));
    assert_eq!(mail["tags"]["notification_id"], json!(["5f1c7f0e"]));
    assert_eq!(mail["destination"], json!(["opened@simulator.test"]));
    assert_eq!(mail["source"], "shop@example.com");
    let headers = mail["headers"].as_array().unwrap();
    assert!(headers.contains(&json!({"name": "X-Sendtrail-Id", "value": "5f1c7f0e"})));
    assert!(
        headers
            .iter()
            .all(|header| header["name"] != "X-SES-MESSAGE-TAGS")
    );
    // The same connection serves the next one.
    transport
        .send(message("delivered@simulator.test"))
        .await
        .unwrap();
    stage.notifications(5).await;
    stage.sandbox.stop().await;
}

#[tokio::test]
async fn refusals_have_the_reply_codes_of_ses() {
    let stage = Stage::set().await;
    let transport = transport(&stage);
    let refused = async |to: &str| {
        let error = transport.send(message(to)).await.unwrap_err();
        error.status().unwrap().to_string()
    };
    for (name, code) in [
        ("rejected", "554"),
        ("down", "451"),
        ("throttled", "454"),
        ("throttled", "454"),
    ] {
        assert_eq!(
            refused(&format!("{name}@simulator.test")).await,
            code,
            "{name}"
        );
    }
    transport
        .send(message("throttled@simulator.test"))
        .await
        .unwrap();
    assert_eq!(
        kinds(&stage.notifications_in_all(2).await),
        ["Send", "Delivery"]
    );
}

#[tokio::test]
async fn a_lost_answer_by_smtp_is_a_connection_closed_after_the_last_dot() {
    let stage = Stage::set().await;
    let error = transport(&stage)
        .send(message("lost-answer@simulator.test"))
        .await
        .unwrap_err();
    assert!(error.status().is_none());
    assert_eq!(
        kinds(&stage.notifications_in_all(2).await),
        ["Send", "Delivery"]
    );
}

struct Dialogue(BufReader<TcpStream>);

impl Dialogue {
    async fn open(stage: &Stage) -> Self {
        let address = stage.sandbox.smtp_url().replace("smtp://", "");
        let mut dialogue = Self(BufReader::new(TcpStream::connect(address).await.unwrap()));
        assert!(dialogue.hear().await.starts_with("220 "));
        dialogue
    }
    async fn say(&mut self, text: impl AsRef<[u8]>) {
        self.0.write_all(text.as_ref()).await.unwrap();
    }
    /// One line; empty at the end of the connection.
    async fn hear(&mut self) -> String {
        let mut line = String::new();
        let read = tokio::time::timeout(PATIENCE, self.0.read_line(&mut line));
        read.await.unwrap().unwrap();
        line
    }
    async fn hear_codes(&mut self, codes: &[&str]) {
        for code in codes {
            let line = self.hear().await;
            assert!(line.starts_with(code), "{line:?} is not {code}");
        }
    }
    async fn ends(mut self) {
        let mut rest = Vec::new();
        // A reset is as good as an end.
        drop(
            tokio::time::timeout(PATIENCE, self.0.read_to_end(&mut rest))
                .await
                .unwrap(),
        );
        assert_eq!(rest, b"");
    }
}

#[tokio::test]
async fn a_pipelined_dialogue_is_answered_in_order_and_several_messages_fit_a_connection() {
    let stage = Stage::set().await;
    let mut dialogue = Dialogue::open(&stage).await;
    dialogue.say("EHLO client.example.com\r\n").await;
    let mut offers = Vec::new();
    for _line in 0..5 {
        offers.push(dialogue.hear().await.trim_end().to_owned());
    }
    let size = format!("250 SIZE {MESSAGE_BYTES_MAX}");
    assert_eq!(
        offers[1..],
        ["250-PIPELINING", "250-8BITMIME", "250-SMTPUTF8", &size]
    );
    dialogue.say("MAIL FROM:<> SIZE=100 BODY=8BITMIME SMTPUTF8\r\nRCPT TO:<josé@simulator.test>\r\nRCPT TO:<nobody>\r\nDATA\r\n").await;
    dialogue.hear_codes(&["250", "250", "501", "354"]).await;
    // The end of one message and the envelope of the next in one write (RFC 2920).
    dialogue.say("Subject: 1\r\n\r\nHi\r\n.\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<bounced@simulator.test>\r\nDATA\r\n").await;
    dialogue
        .hear_codes(&["250 Ok 0100", "250", "250", "354"])
        .await;
    dialogue
        .say("Subject: 2\r\n\r\nHi\r\n.\r\nNOOP\r\nRSET\r\nQUIT\r\n")
        .await;
    dialogue
        .hear_codes(&["250 Ok 0100", "250", "250", "221"])
        .await;
    dialogue.ends().await;
    let mut all = kinds(&stage.notifications(4).await);
    all.sort();
    assert_eq!(all, ["Bounce", "Delivery", "Send", "Send"]);
}

#[tokio::test]
async fn commands_out_of_order_unknown_or_too_large_are_refused() {
    let stage = Stage::set().await;
    let mut dialogue = Dialogue::open(&stage).await;
    dialogue
        .say("HELO x\r\nRCPT TO:<a@example.com>\r\nDATA\r\nSTARTTLS\r\n")
        .await;
    dialogue.hear_codes(&["250", "503", "503", "500"]).await;
    dialogue.say("MAIL FROM:<a@example.com> SIZE=99999999\r\nMAIL FROM:<a@example.com>\r\nMAIL FROM:<a@example.com>\r\n").await;
    dialogue.hear_codes(&["552", "250", "503"]).await;
    for _recipient in 0..50 {
        dialogue.say("RCPT TO:<a@example.com>\r\n").await;
        dialogue.hear_codes(&["250"]).await;
    }
    dialogue.say("RCPT TO:<a@example.com>\r\n").await;
    dialogue.hear_codes(&["452"]).await;
    for _error in 0..14 {
        dialogue.say(b"\xff\r\n").await;
        dialogue.hear_codes(&["500"]).await;
    }
    dialogue.say("WHAT\r\n").await;
    dialogue.hear_codes(&["421"]).await;
    dialogue.ends().await;
}

#[tokio::test]
async fn a_line_without_end_closes_the_connection() {
    let stage = Stage::set().await;
    let mut dialogue = Dialogue::open(&stage).await;
    dialogue.say("x".repeat(2048)).await;
    dialogue.hear_codes(&["500"]).await;
    dialogue.ends().await;
}

#[tokio::test]
async fn a_client_that_leaves_within_its_message_has_sent_nothing() {
    let stage = Stage::set().await;
    let mut dialogue = Dialogue::open(&stage).await;
    dialogue
        .say("HELO x\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n")
        .await;
    dialogue.hear_codes(&["250", "250", "250", "354"]).await;
    dialogue.say("Subject: half\r\n\r\nHi\r\n").await;
    dialogue.0.shutdown().await.unwrap();
    dialogue.ends().await;
    stage.notifications_in_all(0).await;
}
