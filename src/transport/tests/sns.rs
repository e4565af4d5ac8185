//! Each way in which a call to SNS can end, and what becomes of the message.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::fake_http::{Answer, FakeHttp, answer};
use super::{ID, email, push, send, sms, told};
use crate::domain::address::Address;
use crate::domain::message::Outgoing;
use crate::domain::method::Method;
use crate::domain::outcome::Outcome;
use crate::transport::{SmsType, SnsPush, SnsSettings, SnsSms, Transport};

fn settings(url: &str) -> SnsSettings {
    SnsSettings {
        endpoint_url: Some(url.to_owned()),
        region: Some("us-east-1".to_owned()),
        access_key_id: Some("AKIDEXAMPLE".into()),
        secret_access_key: Some("secret".into()),
        connect_timeout_ms: 1_000,
        timeout_ms: 2_000,
        ..SnsSettings::default()
    }
}

async fn by_sms(settings: &SnsSettings) -> Transport {
    Transport::SnsSms(SnsSms::new(settings, settings.client().await))
}

async fn by_push(settings: &SnsSettings) -> Transport {
    Transport::SnsPush(SnsPush::new(settings.client().await))
}

fn published(id: &str) -> Answer {
    let body = format!(
        "<PublishResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><PublishResult>\
         <MessageId>{id}</MessageId></PublishResult></PublishResponse>"
    );
    answer(200, "content-type: text/xml\r\n", &body)
}

fn error(status: u16, code: &str, message: &str) -> Answer {
    let body = format!(
        "<ErrorResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><Error>\
         <Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>\
         <RequestId>1</RequestId></ErrorResponse>"
    );
    answer(status, "content-type: text/xml\r\n", &body)
}

async fn one(answer: Answer) -> Outcome {
    let server = FakeHttp::start(vec![answer]).await;
    send(&by_push(&settings(&server.url)).await, &push(Map::new())).await
}

/// The form fields of the only request.
async fn fields(server: FakeHttp) -> HashMap<String, String> {
    let requests = server.requests().await;
    let body = requests[0].split_once("\r\n\r\n").unwrap().1;
    let url = reqwest::Url::parse(&format!("http://x/?{body}")).unwrap();
    url.query_pairs().into_owned().collect()
}

#[tokio::test]
async fn a_text_message_carries_its_sender_and_kind() {
    let server = FakeHttp::start(vec![published("sms-1")]).await;
    let settings = SnsSettings {
        sms_sender_id: Some("Sendtrail".to_owned()),
        sms_type: SmsType::Promotional,
        ..settings(&server.url)
    };
    assert!(settings.validate().is_empty());
    let outcome = send(&by_sms(&settings).await, &sms()).await;
    assert_eq!(told(&outcome), ("accepted", "sms-1".to_owned()));
    let fields = fields(server).await;
    assert_eq!(fields["Action"], "Publish");
    assert_eq!(fields["PhoneNumber"], "+14155550123");
    assert_eq!(fields["Message"], "Hello");
    let values: Vec<&String> = (1..=2)
        .map(|i| &fields[&format!("MessageAttributes.entry.{i}.Value.StringValue")])
        .collect();
    assert!(values.contains(&&"Promotional".to_owned()));
    assert!(values.contains(&&"Sendtrail".to_owned()));
}

#[tokio::test]
async fn a_push_message_has_a_payload_for_each_platform() {
    let server = FakeHttp::start(vec![published("push-1")]).await;
    let data = json!({"booking": "8812", "count": 2, "aps": "mine"});
    let message = push(data.as_object().unwrap().clone());
    let outcome = send(&by_push(&settings(&server.url)).await, &message).await;
    assert_eq!(told(&outcome), ("accepted", "push-1".to_owned()));
    let fields = fields(server).await;
    assert_eq!(fields["MessageStructure"], "json");
    assert!(fields["TargetArn"].starts_with("arn:aws:sns:"));
    let body: Value = serde_json::from_str(&fields["Message"]).unwrap();
    assert_eq!(body["default"], "See you on Monday");
    let inner = |key: &str| -> Value { serde_json::from_str(body[key].as_str().unwrap()).unwrap() };
    let fcm = &inner("GCM")["fcmV1Message"]["message"];
    assert_eq!(
        fcm["notification"],
        json!({"title": "Reminder", "body": "See you on Monday"})
    );
    assert_eq!(
        fcm["data"],
        json!({"booking": "8812", "count": "2", "aps": "mine", "notification_id": ID})
    );
    for key in ["APNS", "APNS_SANDBOX"] {
        let apns = inner(key);
        assert_eq!(apns["aps"]["alert"]["title"], "Reminder");
        assert_eq!(
            (&apns["booking"], &apns["count"]),
            (&json!("8812"), &json!(2))
        );
        assert_eq!(apns["notification_id"], ID);
    }
}

#[tokio::test]
async fn a_push_message_too_large_for_a_device_never_leaves() {
    let transport = by_push(&settings("http://127.0.0.1:1")).await;
    let data = json!({"long": "x".repeat(4096)});
    let outcome = send(&transport, &push(data.as_object().unwrap().clone())).await;
    let expected = "content_rejected PayloadTooLarge".to_owned();
    assert_eq!(told(&outcome), ("rejected", expected));
}

/// `Publish` takes topics as well, and one of them is where feedback comes from: whoever may enqueue
/// could write it.
#[tokio::test]
async fn a_push_message_goes_to_a_device_and_never_to_a_topic() {
    let transport = by_push(&settings("http://127.0.0.1:1")).await;
    for target in [
        "arn:aws:sns:us-east-1:123456789012:ses-feedback",
        "arn:aws:sns:us-east-1:123456789012:endpoint",
        "arn:aws:sns:us-east-1:123456789012:endpoint:x",
        "arn:aws:sns:us-east-1:123456789012:topic:endpoint/GCM/app/1",
        "arn:aws:sns:us-east-1:123456789012:app/GCM/app",
        "arn:aws:sqs:us-east-1:123456789012:endpoint/GCM/app/1",
        "ARN:aws:sns:us-east-1:123456789012:ses-feedback",
    ] {
        let message = Outgoing {
            to: Address::parse(Method::Push, target).unwrap(),
            ..push(Map::new())
        };
        let outcome = send(&transport, &message).await;
        let expected = "invalid_address NotADevice".to_owned();
        assert_eq!(told(&outcome), ("rejected", expected), "{target}");
    }
}

#[tokio::test]
async fn errors_end_as_the_table_says() {
    for (status, code, expected) in [
        (403, "AuthorizationError", "broken"),
        (403, "InvalidSecurity", "broken"),
        (403, "InvalidClientTokenId", "broken"),
        (400, "PlatformApplicationDisabled", "broken"),
        (400, "KMSDisabled", "broken"),
        (400, "KMSAccessDenied", "broken"),
        (400, "Throttled", "throttled"),
        (400, "Throttling", "throttled"),
        (400, "KMSThrottling", "throttled"),
        (500, "InternalError", "try_later"),
        (503, "ServiceUnavailable", "try_later"),
        (504, "Timeout", "unknown"),
    ] {
        let outcome = one(error(status, code, "because")).await;
        assert_eq!(told(&outcome), (expected, code.to_owned()));
    }
    for (status, code, text, category) in [
        (
            400,
            "InvalidParameter",
            "Invalid parameter: PhoneNumber Reason: +1 is not valid to publish to",
            "invalid_address",
        ),
        (
            400,
            "InvalidParameter",
            "Invalid parameter: Message too long",
            "content_rejected",
        ),
        (
            400,
            "EndpointDisabled",
            "Endpoint is disabled",
            "invalid_address",
        ),
        (404, "NotFound", "Topic does not exist", "invalid_address"),
        (
            400,
            "ParameterValueInvalid",
            "attribute",
            "content_rejected",
        ),
        (400, "ValidationException", "value", "content_rejected"),
    ] {
        let outcome = one(error(status, code, text)).await;
        assert_eq!(told(&outcome), ("rejected", format!("{category} {code}")));
    }
}

#[tokio::test]
async fn a_lost_answer_is_unknown() {
    for (what, lost) in [
        ("closed", Answer::Close),
        ("no answer in time", Answer::Hang),
        ("not XML", answer(200, "", "welcome")),
        ("no id", published("")),
    ] {
        assert_eq!(one(lost).await.as_str(), "unknown", "{what}");
    }
}

#[tokio::test]
async fn only_its_own_method_goes_by_each() {
    let settings = settings("http://127.0.0.1:1");
    let (sms_, push_) = (by_sms(&settings).await, by_push(&settings).await);
    assert_eq!(send(&sms_, &email()).await.as_str(), "rejected");
    assert_eq!(send(&push_, &sms()).await.as_str(), "rejected");
    assert_eq!((sms_.name(), push_.name()), ("sns", "sns"));
    assert!(!sms_.opens_tracked(&sms()));
    assert_eq!(
        send(&sms_, &sms()).await.as_str(),
        "try_later",
        "nobody listens"
    );
}

#[tokio::test]
async fn checking_asks_for_something_cheap() {
    let attributes = "<GetSMSAttributesResponse><GetSMSAttributesResult><attributes/>\
                      </GetSMSAttributesResult></GetSMSAttributesResponse>";
    let server = FakeHttp::start(vec![
        answer(200, "", attributes),
        error(403, "InvalidClientTokenId", "who?"),
    ])
    .await;
    let transport = by_sms(&settings(&server.url)).await;
    transport.check().await.unwrap();
    let trouble = transport.check().await.unwrap_err();
    assert_eq!(trouble.code.as_deref(), Some("InvalidClientTokenId"));
    let requests = server.requests().await;
    assert!(requests.iter().all(|r| !r.contains("Action=Publish")));

    let applications = "<ListPlatformApplicationsResponse><ListPlatformApplicationsResult>\
                        <PlatformApplications/></ListPlatformApplicationsResult>\
                        </ListPlatformApplicationsResponse>";
    let server = FakeHttp::start(vec![answer(200, "", applications)]).await;
    by_push(&settings(&server.url)).await.check().await.unwrap();
}

#[test]
fn a_wrong_setting_is_named() {
    for id in ["", "much-too-long-id", "12345", "a b"] {
        let settings = SnsSettings {
            sms_sender_id: Some(id.to_owned()),
            ..SnsSettings::default()
        };
        assert_eq!(settings.validate()[0].key, "sms_sender_id", "{id:?}");
    }
    assert!(SnsSettings::default().validate().is_empty());
}

#[tokio::test]
async fn credentials_that_cannot_be_had_break_the_provider() {
    use aws_config::web_identity_token::{
        StaticConfiguration, WebIdentityTokenCredentialsProvider,
    };
    let nowhere = StaticConfiguration {
        web_identity_token_file: "/no/such/token".into(),
        role_arn: "arn:aws:iam::123456789012:role/x".to_owned(),
        session_name: "x".to_owned(),
    };
    let provider = WebIdentityTokenCredentialsProvider::builder()
        .static_configuration(nowhere)
        .build();
    let settings = settings("http://127.0.0.1:1");
    let config = settings.client().await.config().to_builder();
    let client = aws_sdk_sns::Client::from_conf(config.credentials_provider(provider).build());
    let transport = Transport::SnsSms(SnsSms::new(&settings, client));
    let outcome = send(&transport, &sms()).await;
    assert_eq!(outcome.as_str(), "broken", "{outcome:?}");
    let trouble = transport.check().await.unwrap_err();
    assert!(
        trouble.text.contains("set region, access_key_id"),
        "{trouble:?}"
    );
}
