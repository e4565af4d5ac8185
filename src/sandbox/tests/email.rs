//! Emails sent with the SDK of SES.

use aws_sdk_sesv2::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sesv2::operation::send_email::{SendEmailError, SendEmailOutput};
use aws_sdk_sesv2::primitives::Blob;
use aws_sdk_sesv2::types::{
    Body, Content, Destination, EmailContent, Message, MessageTag, RawMessage,
};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Stage, happened_at, kinds, verify};

type Sent = Result<SendEmailOutput, SdkError<SendEmailError>>;

async fn send(stage: &Stage, to: &str) -> Sent {
    send_as(stage, to, "5f1c7f0e").await
}

async fn send_as(stage: &Stage, to: &str, id: &str) -> Sent {
    send_by(&stage.ses(), to, id).await
}

async fn send_by(ses: &aws_sdk_sesv2::Client, to: &str, id: &str) -> Sent {
    let raw = format!(
        "From: Shop <shop@example.com>\r\nTo: {to}\r\nSubject: Hello\r\nX-Sendtrail-Id: {id}\r\n\r\nHi\r\n"
    );
    let raw = RawMessage::builder().data(Blob::new(raw)).build().unwrap();
    let tag = MessageTag::builder().name("notification_id").value(id);
    ses.send_email()
        .from_email_address("Shop <shop@example.com>")
        .destination(Destination::builder().to_addresses(to).build())
        .content(EmailContent::builder().raw(raw).build())
        .email_tags(tag.build().unwrap())
        .configuration_set_name("notify")
        .send()
        .await
}

#[tokio::test]
async fn an_accepted_email_is_followed_by_signed_feedback_that_names_it() {
    let stage = Stage::set().await;
    let sent = send(&stage, "opened+7@simulator.test").await.unwrap();
    let posts = stage.notifications_in_all(3).await;
    assert_eq!(kinds(&posts), ["Send", "Delivery", "Open"]);
    for post in &posts {
        assert!(verify(&post.envelope, stage.sandbox.certificate_pem()));
        assert_eq!(
            post.envelope["Subject"],
            "Amazon SES Email Event Notification"
        );
        let mail = &post.message()["mail"];
        assert_eq!(mail["messageId"], sent.message_id().unwrap());
        assert_eq!(mail["tags"]["notification_id"], json!(["5f1c7f0e"]));
        assert_eq!(mail["tags"]["ses:configuration-set"], json!(["notify"]));
        assert_eq!(mail["source"], "shop@example.com");
        assert_eq!(mail["destination"], json!(["opened+7@simulator.test"]));
        let headers = mail["headers"].as_array().unwrap();
        assert!(headers.contains(&json!({"name": "X-Sendtrail-Id", "value": "5f1c7f0e"})));
    }
    stage.sandbox.stop().await;
}

const STORIES: &[(&str, &[&str])] = &[
    ("delivered@simulator.test", &["Send", "Delivery"]),
    ("ana@example.com", &["Send", "Delivery"]),
    (
        "Clicked@Simulator.TEST",
        &["Send", "Delivery", "Open", "Click"],
    ),
    ("bounced@simulator.test", &["Send", "Bounce"]),
    ("mailbox-full@simulator.test", &["Send", "Bounce"]),
    ("suppressed@simulator.test", &["Send", "Bounce"]),
    (
        "bounced-then-opened@simulator.test",
        &["Send", "Bounce", "Open"],
    ),
    (
        "opened-then-bounced@simulator.test",
        &["Send", "Delivery", "Open", "Bounce"],
    ),
    (
        "complained@simulator.test",
        &["Send", "Delivery", "Complaint"],
    ),
    (
        "delayed@simulator.test",
        &["Send", "DeliveryDelay", "Delivery"],
    ),
    ("virus@simulator.test", &["Send", "Reject"]),
    ("late@simulator.test", &["Send", "Delivery"]),
    ("shuffled@simulator.test", &["Open", "Delivery", "Send"]),
    ("success@simulator.amazonses.com", &["Send", "Delivery"]),
    ("ooto@simulator.amazonses.com", &["Send", "Delivery"]),
    ("bounce@simulator.amazonses.com", &["Send", "Bounce"]),
    (
        "complaint+x@simulator.amazonses.com",
        &["Send", "Delivery", "Complaint"],
    ),
    (
        "suppressionlist@simulator.amazonses.com",
        &["Send", "Bounce"],
    ),
];
#[tokio::test]
async fn every_story_tells_its_events_in_its_order() {
    let stage = Stage::set().await;
    let mut told = 0;
    for (address, expected) in STORIES {
        send(&stage, address).await.unwrap();
        told += expected.len();
        let posts = stage.notifications(told).await;
        let posts = &posts[told - expected.len()..];
        assert_eq!(kinds(posts), *expected, "{address}");
        let events: Vec<_> = posts.iter().map(super::Post::message).collect();
        let mut times: Vec<_> = events.iter().map(happened_at).collect();
        if address.starts_with("shuffled") {
            times.reverse();
        }
        // `Reject` has no time of its own.
        if !address.starts_with("virus") {
            assert!(times.is_sorted_by(|a, b| a < b), "{address} {times:?}");
        }
    }
    let subtypes = stage.notifications(told).await;
    let subtypes: Vec<String> = subtypes
        .iter()
        .filter_map(|post| {
            post.message()["bounce"]["bounceSubType"]
                .as_str()
                .map(str::to_owned)
        })
        .collect();
    assert_eq!(
        subtypes,
        [
            "General",
            "MailboxFull",
            "OnAccountSuppressionList",
            "General",
            "General",
            "General",
            "Suppressed"
        ]
    );
}

#[tokio::test]
async fn duplicates_are_the_same_message_three_times() {
    let stage = Stage::set().await;
    send(&stage, "duplicate@simulator.test").await.unwrap();
    let posts = stage.notifications_in_all(9).await;
    for copies in posts.chunks(3) {
        assert!(
            copies
                .iter()
                .all(|post| post.envelope == copies[0].envelope)
        );
    }
    assert_ne!(posts[0].message_id(), posts[3].message_id());
    assert_eq!(
        kinds(&posts)[..7],
        [
            "Send", "Send", "Send", "Delivery", "Delivery", "Delivery", "Open"
        ]
    );
}

#[tokio::test]
async fn a_rejected_email_is_refused_with_a_typed_error_and_no_feedback() {
    let stage = Stage::set().await;
    let error = send(&stage, "rejected@simulator.test").await.unwrap_err();
    assert_eq!(error.raw_response().unwrap().status().as_u16(), 400);
    assert!(error.into_service_error().is_message_rejected());
    stage.notifications_in_all(0).await;
}

#[tokio::test]
async fn a_throttled_email_is_accepted_the_third_time() {
    let stage = Stage::set().await;
    for id in ["first", "second"] {
        for _time in 0..2 {
            let error = send_as(&stage, "throttled@simulator.test", id)
                .await
                .unwrap_err();
            assert_eq!(error.raw_response().unwrap().status().as_u16(), 429);
            assert_eq!(error.code(), Some("TooManyRequestsException"));
            let error = error.into_service_error();
            assert!(error.is_too_many_requests_exception());
            assert_eq!(error.message(), Some("Maximum sending rate exceeded."));
        }
    }
    send_as(&stage, "throttled@simulator.test", "first")
        .await
        .unwrap();
    assert_eq!(
        kinds(&stage.notifications_in_all(2).await),
        ["Send", "Delivery"]
    );
}

#[tokio::test]
async fn a_provider_that_is_down_answers_500_always() {
    let stage = Stage::set().await;
    for _time in 0..3 {
        let error = send(&stage, "down@simulator.test").await.unwrap_err();
        assert_eq!(error.raw_response().unwrap().status().as_u16(), 500);
        assert_eq!(error.code(), Some("InternalServiceErrorException"));
    }
    stage.notifications_in_all(0).await;
}

#[tokio::test]
async fn a_lost_answer_is_a_broken_connection_and_the_email_is_delivered_once() {
    let stage = Stage::set().await;
    // One client: the second request comes over a connection that has served before.
    let ses = stage.ses();
    send_by(&ses, "delivered@simulator.test", "first")
        .await
        .unwrap();
    let lost = send_by(&ses, "lost-answer@simulator.test", "second").await;
    let error = lost.unwrap_err();
    assert!(error.raw_response().is_none());
    assert!(matches!(error, SdkError::DispatchFailure(_)), "{error:?}");
    let posts = stage.notifications_in_all(4).await;
    let of_second = posts
        .into_iter()
        .filter(|post| post.message()["mail"]["tags"]["notification_id"] == json!(["second"]));
    assert_eq!(kinds(&of_second.collect::<Vec<_>>()), ["Send", "Delivery"]);
}

#[tokio::test]
async fn a_lost_answer_has_not_one_byte() {
    let stage = Stage::set().await;
    let address = stage.sandbox.http_url().replace("http://", "");
    let body = json!({
        "FromEmailAddress": "shop@example.com",
        "Destination": {"ToAddresses": ["lost-answer@simulator.test"]},
        "Content": {"Simple": {"Subject": {"Data": "Hello"}, "Body": {}}},
    })
    .to_string();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /v2/email/outbound-emails HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + &body).as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A reset is as good as an end.
    drop(stream.read_to_end(&mut answer).await);
    assert_eq!(answer, b"");
    stage.notifications_in_all(2).await;
}

#[tokio::test]
async fn early_feedback_is_taken_before_the_sender_has_its_answer() {
    let stage = Stage::set().await;
    send(&stage, "early@simulator.test").await.unwrap();
    let posts = stage.webhook.posts.borrow().clone();
    assert_eq!(kinds(&posts[1..]), ["Send", "Delivery"]);
}

#[tokio::test]
async fn late_feedback_comes_long_after_what_it_tells() {
    let stage = Stage::set().await;
    send(&stage, "late@simulator.test").await.unwrap();
    let posts = stage.notifications(2).await;
    let event = posts[1].message();
    let happened = crate::domain::time::Timestamp::parse(happened_at(&event)).unwrap();
    let told = posts[1].envelope["Timestamp"].as_str().unwrap();
    let told = crate::domain::time::Timestamp::parse(told).unwrap();
    assert!(told.since(happened) >= std::time::Duration::from_millis(299));
}

#[tokio::test]
async fn a_simple_email_has_the_headers_that_ses_would_make() {
    let stage = Stage::set().await;
    let text = |text: &str| Content::builder().data(text).build().unwrap();
    let simple = Message::builder()
        .subject(text("Hello"))
        .body(Body::builder().text(text("Hi")).build())
        .build();
    let to = Destination::builder()
        .to_addresses("Ana <ana@example.com>")
        .build();
    let send = stage
        .ses()
        .send_email()
        .from_email_address("shop@example.com")
        .destination(to);
    let content = EmailContent::builder().simple(simple).build();
    send.content(content).send().await.unwrap();
    let posts = stage.notifications(2).await;
    let mail = &posts[0].message()["mail"];
    assert_eq!(mail["commonHeaders"]["subject"], "Hello");
    assert_eq!(mail["destination"], json!(["ana@example.com"]));
}

#[tokio::test]
async fn a_bad_request_is_told_what_is_wrong() {
    let stage = Stage::set().await;
    let to = || Destination::builder().to_addresses("nobody").build();
    let raw = RawMessage::builder().data(Blob::new("From: a@b.example\r\n\r\n"));
    let content = EmailContent::builder().raw(raw.build().unwrap()).build();
    let send = stage.ses().send_email().destination(to()).content(content);
    let error = send.send().await.unwrap_err().into_service_error();
    assert!(error.is_bad_request_exception());
    let send = stage
        .ses()
        .send_email()
        .content(EmailContent::builder().build());
    let error = send.send().await.unwrap_err().into_service_error();
    assert!(error.is_bad_request_exception());
}

#[tokio::test]
async fn the_account_has_a_quota() {
    let stage = Stage::set().await;
    send(&stage, "delivered@simulator.test").await.unwrap();
    let account = stage.ses().get_account().send().await.unwrap();
    assert!(account.sending_enabled());
    let quota = account.send_quota().unwrap();
    assert!(quota.max_send_rate() > 0.0 && quota.max24_hour_send() > 0.0);
    assert!((quota.sent_last24_hours() - 1.0).abs() < f64::EPSILON);
}
