//! Every SES fixture (`tests/fixtures/ses`), alone and in the order in which such events arrived.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::super::parse as parse_text;
use super::*;
use crate::domain::event::{Event as DomainEvent, EventKey, Severity};
use crate::domain::facts::Facts;
use crate::domain::method::Method;
use crate::domain::status::{Status, statuses};

const MESSAGE: &str = "0100019bb1c2d3e4-11112222-3333-4444-5555-666677778888-000000";
const NOTIFICATION: &str = "5f1c7f0e-0b5e-4c3a-9d55-0a1b2c3d4e5f";

fn path(name: &str) -> String {
    format!("{}/tests/fixtures/ses/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn fixture(name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path(&format!("{name}.json"))).unwrap()).unwrap()
}

fn received() -> Timestamp {
    Timestamp::parse("2026-01-15T12:00:00Z").unwrap()
}

fn report_of(value: &Value) -> Report {
    let parsed = parse_text(&value.to_string(), received());
    let Parsed::Report { report, .. } = parsed else {
        panic!("{parsed:?}")
    };
    report
}

fn only(value: &Value) -> Happening {
    let mut happenings = report_of(value).happenings;
    assert_eq!(happenings.len(), 1, "{happenings:?}");
    happenings.remove(0)
}

fn bounce(value: &Value) -> Bounce {
    let what = only(value).what;
    let What::Bounced(bounce) = what else {
        panic!("{what:?}")
    };
    bounce
}

#[test]
fn every_fixture_is_understood_and_names_its_message() {
    let mut seen = 0;
    for entry in std::fs::read_dir(path("")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name == "scenarios.json" {
            continue;
        }
        seen += 1;
        let text = std::fs::read_to_string(path(&name)).unwrap();
        match parse_text(&text, received()) {
            Parsed::Test => assert!(name.starts_with("test_"), "{name}"),
            Parsed::Unparsable { why } => panic!("{name}: {why}"),
            Parsed::Text(_) => panic!("{name}: a text"),
            Parsed::Unknown {
                kind,
                notification,
                provider_message_id,
            } => {
                assert_eq!(
                    (name.as_str(), kind.as_str()),
                    ("unknown_event_type.json", "FutureEvent")
                );
                assert_eq!(notification, NotificationId::parse(NOTIFICATION));
                assert_eq!(provider_message_id.as_deref(), Some(MESSAGE));
            }
            Parsed::Report { report, .. } => {
                assert_eq!(
                    report.provider_message_id.as_deref(),
                    Some(MESSAGE),
                    "{name}"
                );
                let expected = NotificationId::parse(NOTIFICATION)
                    .filter(|_| !name.starts_with("notification_"));
                assert_eq!(report.notification, expected, "{name}");
                assert!(!report.happenings.is_empty(), "{name}");
                let keys: BTreeSet<EventKey> = report.happenings.iter().map(|h| h.key).collect();
                assert_eq!(keys.len(), report.happenings.len(), "{name}");
            }
        }
    }
    assert_eq!(seen, 60);
}

#[test]
fn set_up_messages_are_tests_with_and_without_a_line_feed() {
    for text in [
        "Successfully validated SNS topic for Amazon SES event publishing.",
        "Successfully validated SNS topic for Amazon SES event publishing.\n",
    ] {
        assert_eq!(parse_text(text, received()), Parsed::Test);
    }
    let text = fixture("test_AmazonSnsSubscriptionSucceeded").to_string();
    assert_eq!(parse_text(&format!("{text}\n"), received()), Parsed::Test);
}

/// In the fixtures' names: the category of each.
const PERMANENT: [(&str, Category); 13] = [
    ("bounce_permanent_General", Category::InvalidAddress),
    ("bounce_permanent_NoEmail", Category::InvalidAddress),
    ("bounce_permanent_Suppressed", Category::AddressSuppressed),
    (
        "bounce_permanent_OnAccountSuppressionList",
        Category::AddressSuppressed,
    ),
    (
        "bounce_permanent_OnTenantSuppressionList",
        Category::AddressSuppressed,
    ),
    (
        "bounce_permanent_EmailValidationSuppressed",
        Category::AddressSuppressed,
    ),
    (
        "bounce_permanent_UnsubscribedRecipient",
        Category::Unsubscribed,
    ),
    ("bounce_unknown_future_subtype", Category::Unknown),
    ("bounce_no_dsn", Category::Unknown),
    ("bounce_recipient_case_differs", Category::InvalidAddress),
    (
        "bounce_recipient_not_in_destination_alias",
        Category::InvalidAddress,
    ),
    ("notification_bounce", Category::InvalidAddress),
    (
        "complaint_OnAccountSuppressionList",
        Category::AddressSuppressed,
    ),
];
const TRANSIENT: [(&str, Category); 6] = [
    ("bounce_transient_General", Category::ProviderUnavailable),
    ("bounce_transient_MailboxFull", Category::MailboxFull),
    (
        "bounce_transient_MessageTooLarge",
        Category::ContentRejected,
    ),
    (
        "bounce_transient_ContentRejected",
        Category::ContentRejected,
    ),
    (
        "bounce_transient_AttachmentRejected",
        Category::ContentRejected,
    ),
    ("bounce_transient_CustomTimeoutExceeded", Category::Expired),
];

#[test]
fn every_bounce_has_its_severity_and_category() {
    for (severity, expected) in [
        (Severity::Permanent, &PERMANENT[..]),
        (Severity::Transient, &TRANSIENT[..]),
        (
            Severity::Undetermined,
            &[("bounce_undetermined_Undetermined", Category::Unknown)],
        ),
    ] {
        for (name, category) in expected {
            let bounce = bounce(&fixture(name));
            assert_eq!(
                (bounce.severity, bounce.category),
                (severity, *category),
                "{name}"
            );
        }
    }
}

#[test]
fn a_bounce_keeps_the_words_of_the_remote_server_on_one_line() {
    let full = bounce(&fixture("bounce_transient_MailboxFull"));
    assert_eq!(full.subtype.as_deref(), Some("MailboxFull"));
    assert_eq!(full.status.as_deref(), Some("5.2.2"));
    assert_eq!(
        full.diagnostic.as_deref(),
        Some("smtp; 552 5.2.2 mailbox full")
    );
    let lines = bounce(&fixture("bounce_permanent_NoEmail"))
        .diagnostic
        .unwrap();
    assert!(
        lines.contains("NoSuchUser") && !lines.contains('\n'),
        "{lines}"
    );
}

#[test]
fn a_recipient_whose_mail_has_not_failed_has_not_bounced() {
    let kinds = |value: &Value| -> Vec<&str> {
        report_of(value)
            .happenings
            .iter()
            .map(|h| h.what.kind())
            .collect()
    };
    let mut mixed = fixture("bounce_multi_recipient_mixed_actions");
    assert_eq!(kinds(&mixed), ["bounced", "delayed"]);
    for (action, expected) in [
        ("Failed", vec!["bounced", "bounced"]),
        ("relayed", vec!["bounced", "delivered"]),
        ("expanded", vec!["bounced", "delivered"]),
        ("something-else", vec!["bounced"]),
    ] {
        mixed["bounce"]["bouncedRecipients"][1]["action"] = action.into();
        assert_eq!(kinds(&mixed), expected, "{action}");
    }
    assert_eq!(
        kinds(&fixture("bounce_multi_recipient_partial")).first(),
        Some(&"bounced")
    );
}

#[test]
fn the_same_happening_in_both_formats_has_one_key() {
    for (notification, object) in [
        ("notification_bounce", "bounce"),
        ("notification_complaint", "complaint"),
        ("notification_delivery", "delivery"),
    ] {
        let by_identity = fixture(notification);
        // What event publishing says about it: another discriminator, tags, headers.
        let mut published = fixture("send");
        published["eventType"] = by_identity["notificationType"].clone();
        published[object] = by_identity[object].clone();
        assert!(report_of(&published).notification.is_some());
        assert!(report_of(&by_identity).notification.is_none());
        assert_eq!(
            only(&published).key,
            only(&by_identity).key,
            "{notification}"
        );
        assert_eq!(
            only(&published).what,
            only(&by_identity).what,
            "{notification}"
        );
    }
    let published = fixture("bounce_permanent_General");
    assert_eq!(
        only(&published).key,
        only(&fixture("notification_bounce")).key
    );
    let other_case = fixture("bounce_recipient_case_differs");
    assert_eq!(only(&published).key, only(&other_case).key);
}

#[test]
fn different_happenings_have_different_keys() {
    let open = fixture("open");
    let mut later = open.clone();
    later["open"]["timestamp"] = "2026-01-15T10:05:00.001Z".into();
    let mut of_another = open.clone();
    of_another["mail"]["messageId"] = "another".into();
    let click = fixture("click");
    let mut other_link = click.clone();
    other_link["click"]["link"] = "https://www.example.com/".into();
    let bounce = fixture("notification_bounce");
    let mut other_bounce = bounce.clone();
    other_bounce["bounce"]["feedbackId"] = "another".into();
    let all = [
        open,
        later,
        of_another,
        click,
        other_link,
        bounce,
        other_bounce,
        fixture("send"),
        fixture("reject"),
        fixture("rendering_failure"),
    ];
    let keys: BTreeSet<EventKey> = all.iter().map(|value| only(value).key).collect();
    assert_eq!(keys.len(), all.len());
}

#[test]
fn our_own_id_is_taken_from_the_tag_or_else_from_the_header() {
    let other = "0199bb1c-0000-7000-8000-000000000001";
    let mut value = fixture("notification_delivery");
    let found = |value: &Value| report_of(value).notification.map(|id| id.to_string());
    assert_eq!(found(&value), None);
    value["mail"]["headers"] = json!([
        {"name": "Subject", "value": other},
        {"name": "x-sendtrail-ID", "value": format!(" {NOTIFICATION} ")},
    ]);
    assert_eq!(found(&value).as_deref(), Some(NOTIFICATION));
    value["mail"]["tags"] = json!({"notification_id": [other]});
    assert_eq!(found(&value).as_deref(), Some(other));
    value["mail"]["tags"] = json!({"notification_id": ["not an id"]});
    assert_eq!(found(&value).as_deref(), Some(NOTIFICATION));
}

#[test]
fn opens_by_proxies_and_prefetchers_are_marked() {
    for (name, expected) in [
        ("open", false),
        ("open_apple_mpp", true),
        ("open_gmail_image_proxy", true),
        ("open_yahoo_proxy", true),
    ] {
        let What::Opened { by_machine, .. } = only(&fixture(name)).what else {
            panic!("{name}")
        };
        assert_eq!(by_machine, expected, "{name}");
    }
}

#[test]
fn complaints_keep_their_type_and_not_spam_takes_one_back() {
    for (name, expected) in [
        ("complaint_abuse", Some("abuse")),
        ("complaint_no_report", None),
        ("notification_complaint", Some("abuse")),
    ] {
        let What::Complained { feedback_type } = only(&fixture(name)).what else {
            panic!("{name}")
        };
        assert_eq!(feedback_type.as_deref(), expected, "{name}");
    }
    assert_eq!(
        only(&fixture("complaint_not-spam")).what,
        What::ComplaintWithdrawn
    );
}

#[test]
fn only_leaving_a_list_is_unsubscribing() {
    let mut value = fixture("subscription");
    let how = Some("UnsubscribeHeader".to_owned());
    assert_eq!(only(&value).what, What::Unsubscribed { how });
    value["subscription"]["newTopicPreferences"]["unsubscribeAll"] = false.into();
    assert_eq!(
        report_of(&value).happenings,
        [],
        "the topic had been left before"
    );
    value["subscription"]["oldTopicPreferences"]["topicSubscriptionStatus"][0]["subscriptionStatus"] =
        "OptIn".into();
    assert_eq!(only(&value).what.kind(), "unsubscribed");
    value["subscription"]["newTopicPreferences"]["topicSubscriptionStatus"][0]["subscriptionStatus"] =
        "OptIn".into();
    assert_eq!(report_of(&value).happenings, []);
}

#[test]
fn rejections_carry_the_words_of_ses() {
    for (name, code) in [
        ("reject", "Reject"),
        ("rendering_failure", "RenderingFailure"),
    ] {
        let What::Rejected(failure) = only(&fixture(name)).what else {
            panic!("{name}")
        };
        assert_eq!(failure.category, Category::ContentRejected);
        assert_eq!(failure.code.as_deref(), Some(code));
        assert!(failure.provider_text.is_some());
    }
}

#[test]
fn the_time_is_the_providers_or_else_that_of_receipt() {
    let mut value = fixture("delivery");
    assert_eq!(
        only(&value).occurred_at.to_string(),
        "2026-01-15T10:00:01.540Z"
    );
    for odd in [json!("soon"), Value::Null, json!(7)] {
        value["delivery"]["timestamp"] = odd;
        assert_eq!(only(&value).occurred_at, received());
    }
    let legacy = only(&fixture("notification_legacy_mail_timestamp_format"));
    assert_eq!(legacy.occurred_at.to_string(), "2026-01-15T10:00:01.540Z");
}

#[test]
fn odd_fields_cost_only_themselves_and_a_message_must_be_named() {
    let odd = json!({"eventType": "Bounce", "mail": {"messageId": "m", "tags": [], "headers": {}},
        "bounce": {"bouncedRecipients": [7, null, {"status": 5}], "bounceType": {}}});
    let happenings = report_of(&odd).happenings;
    assert!(happenings.iter().all(|h| h.what.kind() == "bounced"));
    let bare = bounce(&json!({"eventType": "Bounce", "mail": {"messageId": "m"}}));
    assert_eq!(
        (bare.severity, bare.category),
        (Severity::Undetermined, Category::Unknown)
    );
    for nameless in [
        json!({"eventType": "Bounce"}),
        json!({"eventType": "Open", "mail": {}}),
    ] {
        let parsed = parse_text(&nameless.to_string(), received());
        assert!(matches!(parsed, Parsed::Unparsable { .. }), "{parsed:?}");
    }
}

/// Folds the fixtures of a scenario as the store does and returns the statuses.
fn outcome(arrive: &[Value], distinct: bool) -> (Vec<Status>, Facts) {
    let mut events = Vec::new();
    for (place, name) in arrive.iter().enumerate() {
        let mut value = fixture(name.as_str().unwrap());
        let repeated = arrive.iter().take(place).any(|before| before == name);
        if repeated && distinct {
            value["open"]["timestamp"] = "2026-01-15T11:00:00.000Z".into();
        }
        let report = report_of(&value);
        events.extend(report.happenings.into_iter().map(|happening| DomainEvent {
            notification: report.notification.unwrap(),
            key: happening.key,
            occurred_at: happening.occurred_at,
            source: report.source.to_owned(),
            what: happening.what,
        }));
    }
    let facts = Facts::fold(&events);
    events.reverse();
    assert_eq!(
        Facts::fold(&events),
        facts,
        "the order of arrival does not matter"
    );
    (statuses(Method::Email, &facts), facts)
}

#[test]
fn a_send_with_html_can_be_seen_opened() {
    let tracked = |value: &Value| {
        let What::Accepted { opens_tracked, .. } = only(value).what else {
            panic!("{value}");
        };
        opens_tracked
    };
    let mut send = fixture("send");
    for (kind, expected) in [
        ("text/html; charset=UTF-8", true),
        (" Multipart/Alternative; boundary=x", true),
        ("text/plain", false),
    ] {
        send["mail"]["headers"] = json!([{"name": "content-type", "value": kind}]);
        assert_eq!(tracked(&send), expected, "{kind}");
    }
    assert!(!tracked(&fixture("send_raw_empty_headers")));
}

#[test]
fn every_order_of_arrival_comes_to_the_true_statuses() {
    let scenarios = fixture("scenarios");
    let scenarios = scenarios.as_object().unwrap();
    assert_eq!(scenarios.len(), 15);
    for (name, scenario) in scenarios {
        let distinct = scenario["same_sns_message_id"] == json!(false);
        let (statuses, facts) = outcome(scenario["arrive"].as_array().unwrap(), distinct);
        let opens = facts.opened.as_ref().map_or(0, |opened| opened.count);
        let expected: (&[Status], i64) = match name.as_str() {
            "happy_path_in_order" | "open_before_delivery" | "complaint_after_open" => {
                (&[Status::Opened], 1)
            }
            "duplicate_sns_delivery" => (&[Status::Opened], 1),
            "distinct_opens" => (&[Status::Opened], 2),
            // The fixtures' bounce is dated before their open, in whichever order they arrive.
            "open_then_bounce" | "bounce_then_open" => (&[Status::Bounced, Status::Opened], 1),
            "async_bounce_after_delivery" | "delay_then_transient_bounce" | "suppressed_send" => {
                (&[Status::Bounced], 0)
            }
            "delivery_before_send"
            | "delay_then_delivery"
            | "late_delay_after_delivery"
            | "complaint_not_spam"
            | "feedback_before_send_response_committed" => (&[Status::Unopened], 0),
            other => panic!("a scenario without an expectation: {other}"),
        };
        assert_eq!((statuses.as_slice(), opens), expected, "{name}");
        assert_eq!(
            facts.complained.is_some(),
            name.starts_with("complaint_"),
            "{name}"
        );
    }
}
