//! Text and push messages sent with the SDK of SNS; the subscription; the posting of messages.

use std::time::Duration;

use aws_sdk_sns::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sns::operation::publish::{PublishError, PublishOutput};

use super::{Post, Stage, verify};
use crate::clock::Clock;
use crate::domain::time::Timestamp;
use crate::sandbox::{Counts, Options, Sandbox, StartError};

type Published = Result<PublishOutput, SdkError<PublishError>>;

async fn text(stage: &Stage, number: &str) -> Published {
    let publish = stage.sns().publish().phone_number(number);
    publish.message("Hello & <goodbye>").send().await
}

async fn push(stage: &Stage, target: &str) -> Published {
    let publish = stage.sns().publish().target_arn(target);
    publish
        .message_structure("json")
        .message("{\"default\":\"Hello\"}")
        .send()
        .await
}

fn words(post: &Post) -> (String, String) {
    let record = post.message();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    (
        text(&record["status"]),
        text(&record["delivery"]["providerResponse"]),
    )
}

#[tokio::test]
async fn text_messages_go_as_their_last_digits_say() {
    let stage = Stage::set().await;
    let error = text(&stage, "+15005550001").await.unwrap_err();
    assert_eq!(error.raw_response().unwrap().status().as_u16(), 400);
    assert!(error.into_service_error().is_invalid_parameter_exception());

    text(&stage, "+15005550006").await.unwrap();
    let later = [
        (
            "+15005550007",
            "SUCCESS",
            "Message has been accepted by phone carrier",
        ),
        (
            "+14155550123",
            "SUCCESS",
            "Message has been accepted by phone carrier",
        ),
        (
            "+15005550004",
            "FAILURE",
            "Blocked as spam by phone carrier",
        ),
        (
            "+15005550008",
            "FAILURE",
            "Phone is currently unreachable/unavailable",
        ),
        ("+15005550009", "FAILURE", "Phone number is opted out"),
    ];
    for (number, (to, status, response)) in later.into_iter().enumerate() {
        let published = text(&stage, to).await.unwrap();
        let post = stage.notifications(number + 1).await.pop().unwrap();
        assert_eq!(words(&post), (status.to_owned(), response.to_owned()));
        let record = post.message();
        assert_eq!(
            record["notification"]["messageId"],
            published.message_id().unwrap()
        );
        assert_eq!(record["delivery"]["destination"], to);
        assert!(verify(&post.envelope, stage.sandbox.certificate_pem()));
        assert!(post.envelope.get("Subject").is_none());
    }
}

#[tokio::test]
async fn push_messages_go_as_the_end_of_their_target_says() {
    let stage = Stage::set().await;
    let arn = |end: &str| format!("arn:aws:sns:us-east-1:000000000000:endpoint/GCM/app/{end}");
    push(&stage, &arn("delivered")).await.unwrap();
    push(&stage, &arn("0f95d2f4")).await.unwrap();
    let error = push(&stage, &arn("disabled")).await.unwrap_err();
    assert_eq!(error.raw_response().unwrap().status().as_u16(), 400);
    assert!(error.into_service_error().is_endpoint_disabled_exception());
    let error = push(&stage, &arn("down")).await.unwrap_err();
    assert_eq!(error.raw_response().unwrap().status().as_u16(), 500);
    assert!(error.into_service_error().is_internal_error_exception());
    let published = push(&stage, &arn("unregistered")).await.unwrap();
    let posts = stage.notifications_in_all(1).await;
    let record = posts[0].message();
    assert_eq!(record["status"], "FAILURE");
    assert_eq!(
        record["notification"]["messageId"],
        published.message_id().unwrap()
    );
    assert_eq!(record["delivery"]["destination"], arn("unregistered"));
    assert!(words(&posts[0]).1.contains("InvalidToken"));
}

#[tokio::test]
async fn requests_that_sns_refuses_are_refused_with_its_codes() {
    let stage = Stage::set().await;
    let sns = stage.sns();
    let empty = sns
        .publish()
        .phone_number("+15005550007")
        .message("")
        .send()
        .await;
    assert_eq!(empty.unwrap_err().code(), Some("InvalidParameter"));
    assert_eq!(
        text(&stage, "5550007").await.unwrap_err().code(),
        Some("InvalidParameter")
    );
    let nowhere = sns.publish().message("x").send().await.unwrap_err();
    assert!(
        nowhere
            .into_service_error()
            .is_invalid_parameter_exception()
    );
    let confirm = |arn: &str| {
        sns.confirm_subscription()
            .topic_arn(arn)
            .token("guess")
            .send()
    };
    let foreign = confirm("arn:aws:sns:us-east-1:1:other").await.unwrap_err();
    assert!(foreign.into_service_error().is_not_found_exception());
    let guessed = confirm(stage.sandbox.topic_arn()).await.unwrap_err();
    assert!(
        guessed
            .into_service_error()
            .is_invalid_parameter_exception()
    );
    let other = sns.list_topics().send().await.unwrap_err();
    assert_eq!(other.code(), Some("InvalidAction"));
}

#[tokio::test]
async fn the_webhook_is_asked_to_confirm_until_it_does_and_told_nothing_before() {
    let stage = Stage::set_unconfirmed().await;
    text(&stage, "+15005550007").await.unwrap();
    let asked = stage.webhook.confirmation().await;
    assert!(verify(&asked.envelope, stage.sandbox.certificate_pem()));
    assert_eq!(
        asked.header("x-amz-sns-message-type"),
        "SubscriptionConfirmation"
    );
    assert_eq!(asked.header("x-amz-sns-message-id"), asked.message_id());
    assert_eq!(asked.header("x-amz-sns-subscription-arn"), "");
    let token = asked.envelope["Token"].as_str().unwrap();
    assert_eq!(
        asked.envelope["SubscribeURL"],
        format!(
            "https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn={}&Token={token}",
            stage.sandbox.topic_arn()
        )
    );
    stage.webhook.answer_confirmations(&stage.sandbox);
    stage.notifications(1).await;
    let posts = stage.webhook.posts.borrow().clone();
    assert_eq!(posts.last().unwrap().kind(), "Notification");
    assert!(posts.len() > 2, "asked again after the first refusal");
    assert!(
        posts[..posts.len() - 1]
            .iter()
            .all(|post| post.message_id() == asked.message_id())
    );
}

#[tokio::test]
async fn a_notification_has_the_headers_of_sns_and_a_certificate_that_can_be_fetched() {
    let stage = Stage::set().await;
    text(&stage, "+15005550007").await.unwrap();
    let post = stage.notifications(1).await.pop().unwrap();
    assert_eq!(post.header("content-type"), "text/plain; charset=UTF-8");
    assert_eq!(
        post.header("user-agent"),
        "Amazon Simple Notification Service Agent"
    );
    assert_eq!(post.header("x-amz-sns-message-type"), "Notification");
    assert_eq!(post.header("x-amz-sns-message-id"), post.message_id());
    assert_eq!(
        post.header("x-amz-sns-topic-arn"),
        stage.sandbox.topic_arn()
    );
    let arn = post.header("x-amz-sns-subscription-arn");
    assert!(arn.starts_with(stage.sandbox.topic_arn()));

    let url = post.envelope["SigningCertURL"].as_str().unwrap();
    assert_eq!(url, stage.sandbox.certificate_url());
    let file = url.rsplit_once("/SimpleNotificationService-").unwrap().1;
    let hash = file.strip_suffix(".pem").unwrap();
    assert!(hash.len() == 32 && hash.bytes().all(|b| b.is_ascii_hexdigit()));
    let client = reqwest::Client::builder()
        .timeout(super::PATIENCE)
        .build()
        .unwrap();
    let pem = client.get(url).send().await.unwrap().text().await.unwrap();
    assert_eq!(pem, stage.sandbox.certificate_pem());

    let mut forged = post.envelope.clone();
    forged["Message"] = "forged".into();
    assert!(!verify(&forged, &pem));
    let (_rest, pem) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap();
    let certificate = pem.parse_x509().unwrap();
    assert_eq!(certificate.subject().to_string(), "CN=sns.amazonaws.com");
}

#[tokio::test]
async fn trouble_of_the_webhook_is_retried_and_a_refusal_is_not() {
    let stage = Stage::set().await;
    stage.webhook.answer_next(&[503, 429, 500]);
    text(&stage, "+15005550007").await.unwrap();
    let posts = stage.notifications(4).await;
    assert!(posts.iter().all(|post| post.envelope == posts[0].envelope));
    let before = stage.sandbox.counts();
    assert_eq!((before.retried, before.dropped), (3, 0));

    stage.webhook.answer_next(&[403]);
    text(&stage, "+15005550007").await.unwrap();
    stage.notifications(5).await;
    text(&stage, "+15005550007").await.unwrap();
    stage.notifications(6).await;
    let dropped = async {
        // The webhook has the message a moment before the sandbox has the answer.
        while stage.sandbox.counts()
            != (Counts {
                posted: before.posted + 1,
                retried: 3,
                dropped: 1,
            })
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(super::PATIENCE, dropped)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_new_webhook_address_has_to_confirm_for_itself() {
    let options = Options {
        latency: Duration::from_millis(5),
        ..Options::default()
    };
    let clock = Clock::manual(Timestamp::parse("2027-01-01T09:00:00Z").unwrap());
    let sandbox = Sandbox::start(options, clock).await.unwrap();
    let stage = Stage::set().await;
    let url = stage.sandbox.provider.poster.webhook_url();
    // The second sandbox's messages come to the webhook of the first.
    sandbox.set_webhook_url(url.clone());
    let mut posts = stage.webhook.posts.subscribe();
    let foreign = |post: &Post| post.envelope["SigningCertURL"] == sandbox.certificate_url();
    let asked = posts.wait_for(|posts| posts.iter().any(foreign));
    let asked = tokio::time::timeout(super::PATIENCE, asked)
        .await
        .unwrap()
        .unwrap();
    let asked = asked.iter().find(|post| foreign(post)).unwrap();
    assert_eq!(asked.envelope["Timestamp"], "2027-01-01T09:00:00.000Z");
    assert!(!sandbox.provider.poster.is_confirmed());
    sandbox.stop().await;
}

#[tokio::test]
async fn the_sandbox_listens_on_loopback_only_and_on_free_ports_only() {
    let open = Options {
        smtp_listen: "0.0.0.0:0".parse().unwrap(),
        ..Options::default()
    };
    let refused = Sandbox::start(open, Clock::system()).await.unwrap_err();
    assert!(matches!(refused, StartError::NotLoopback(_)));
    let first = Sandbox::start(Options::default(), Clock::system())
        .await
        .unwrap();
    let taken = Options {
        listen: first.http_url().replace("http://", "").parse().unwrap(),
        ..Options::default()
    };
    let refused = Sandbox::start(taken.clone(), Clock::system())
        .await
        .unwrap_err();
    assert!(matches!(refused, StartError::Listen { .. }));
    first.stop().await;
    Sandbox::start(taken, Clock::system())
        .await
        .unwrap()
        .stop()
        .await;
}
