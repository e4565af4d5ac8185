//! What an entry says: statuses, reason, facts, timeline.

use sendtrail::domain::event::{Bounce, Failure, Severity, What};
use sendtrail::domain::reason::Category;
use sendtrail::store::record::Then;
use serde_json::{Value as Json, json};

use crate::support::api::{TestApi, at};

fn opened(by_machine: bool) -> What {
    What::Opened {
        user_agent: None,
        by_machine,
    }
}

fn bounced() -> What {
    What::Bounced(Bounce {
        severity: Severity::Transient,
        category: Category::MailboxFull,
        subtype: Some("MailboxFull".to_owned()),
        status: Some("5.2.2".to_owned()),
        diagnostic: Some("552 mailbox full".to_owned()),
    })
}

fn events(entry: &Json) -> Vec<&str> {
    let timeline = entry["timeline"].as_array().unwrap();
    let times: Vec<&str> = timeline.iter().map(|m| m["at"].as_str().unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");
    timeline
        .iter()
        .map(|m| m["event"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn a_fresh_entry_has_every_field_of_the_contract() {
    let api = TestApi::start().await;
    let id = api
        .enqueue(json!({"send_at": "2027-01-01T10:00:00+00:30", "metadata": {"booking": "8812"}}))
        .await;
    assert_eq!(
        api.entry(&id).await,
        json!({
            "id": id, "client_id": "C-1001", "client_name": "Ana Ruiz",
            "date": "2027-01-01T09:00:00.000Z", "user": "Automated", "staff_id": null,
            "method": "email", "type": "Booking confirmation",
            "contact_type": "Client Notifications", "status": "Awaiting Send",
            "statuses": ["Awaiting Send"],
            "reason": {"category": "scheduled", "text": "To be sent at 2027-01-01 09:30:00 UTC.",
                       "remedy": null, "provider_text": null},
            "channel": "Outbound",
            "to": "ana@example.com", "description": null, "tags": ["monday"], "resend_of": null, "template": null,
            "resendable": true,
            "provider": null, "provider_message_id": null, "attempts": 0,
            "next_attempt_at": "2027-01-01T09:30:00.000Z",
            "send_at": "2027-01-01T09:30:00.000Z", "expires_at": null, "facts": {},
            "timeline": [{"at": "2027-01-01T09:00:00.000Z", "event": "queued"}],
            "metadata": {"booking": "8812"},
        })
    );
}

#[tokio::test]
async fn the_happy_path_is_queued_sent_delivered_opened() {
    let api = TestApi::start().await;
    let id = api.enqueue(json!({})).await;
    api.clock.set(at("2027-01-01T09:00:01Z"));
    api.work_sent().await;
    // The provider's own report of the send is no second moment.
    let accepted = What::Accepted {
        provider: "ses".to_owned(),
        provider_message_id: Some("ses-1".to_owned()),
        opens_tracked: true,
    };
    api.report(&id, "2027-01-01T09:00:01.500Z", accepted).await;
    let delivered = What::Delivered { response: None };
    api.report(&id, "2027-01-01T09:00:02Z", delivered).await;
    api.report(&id, "2027-01-01T09:05:00Z", opened(false)).await;
    let entry = api.entry(&id).await;
    assert_eq!(events(&entry), ["queued", "sent", "delivered", "opened"]);
    assert_eq!(entry["statuses"], json!(["Opened"]));
    assert_eq!(entry["provider"], "ses");
    assert_eq!(entry["provider_message_id"], "ses-1");
    assert_eq!(entry["attempts"], 1);
    assert_eq!(entry["reason"], json!(null));
    assert!(entry.get("next_attempt_at").is_none());
    assert_eq!(
        entry["facts"],
        json!({
            "sent": {"at": "2027-01-01T09:00:01.000Z"},
            "delivered": {"at": "2027-01-01T09:00:02.000Z"},
            "opened": {"first_at": "2027-01-01T09:05:00.000Z",
                       "last_at": "2027-01-01T09:05:00.000Z", "count": 1,
                       "likely_automatic": false},
        })
    );
}

#[tokio::test]
async fn a_bounce_and_an_open_both_hold_in_the_order_of_their_times() {
    let api = TestApi::start().await;
    let id = api.enqueue(json!({})).await;
    api.work_sent().await;
    api.report(&id, "2027-01-01T09:10:00Z", opened(true)).await;
    api.report(&id, "2027-01-01T09:05:00Z", bounced()).await;
    let entry = api.entry(&id).await;
    assert_eq!(entry["status"], "Bounced");
    assert_eq!(entry["statuses"], json!(["Bounced", "Opened"]));
    assert_eq!(events(&entry), ["queued", "sent", "bounced", "opened"]);
    let reason = json!({
        "category": "mailbox_full", "text": "The recipient's mailbox is full.",
        "remedy": "Resend later, or contact the client in another way.",
        "provider_text": "552 mailbox full",
    });
    assert_eq!(entry["reason"], reason);
    assert_eq!(
        entry["facts"]["bounced"],
        json!({"at": "2027-01-01T09:05:00.000Z", "kind": "transient", "subtype": "MailboxFull",
               "status": "5.2.2"})
    );
    assert_eq!(entry["facts"]["opened"]["likely_automatic"], true);
    assert_eq!(entry["timeline"][2]["reason"], reason);
    // The reason stays when Opened is the headline.
    let id = api.enqueue(json!({})).await;
    api.report(&id, "2027-01-01T09:05:00Z", opened(false)).await;
    api.report(&id, "2027-01-01T09:10:00Z", bounced()).await;
    let entry = api.entry(&id).await;
    assert_eq!(entry["statuses"], json!(["Opened", "Bounced"]));
    assert_eq!(entry["reason"], reason);
}

#[tokio::test]
async fn a_refusal_is_failed_with_its_reason_until_evidence_outranks_it() {
    let api = TestApi::start().await;
    let id = api.enqueue(json!({})).await;
    api.clock.set(at("2027-01-01T09:00:01Z"));
    api.work_rejected(Failure {
        category: Category::ContentRejected,
        code: Some("MessageRejected".to_owned()),
        provider_text: Some("Virus found".to_owned()),
    })
    .await;
    let entry = api.entry(&id).await;
    assert_eq!(entry["statuses"], json!(["Failed"]));
    assert_eq!(entry["reason"]["category"], "content_rejected");
    assert_eq!(entry["reason"]["provider_text"], "Virus found");
    assert_eq!(
        entry["facts"]["failed"],
        json!({"at": "2027-01-01T09:00:01.000Z", "code": "MessageRejected",
               "category": "content_rejected"})
    );
    assert_eq!(events(&entry), ["queued", "failed"]);
    assert_eq!(entry["timeline"][1]["source"], "ses");
    let delivered = What::Delivered { response: None };
    api.report(&id, "2027-01-01T09:00:03Z", delivered).await;
    let entry = api.entry(&id).await;
    assert_eq!(entry["statuses"], json!(["Sent"]));
    assert_eq!(entry["reason"], json!(null));
    assert_eq!(
        events(&entry),
        ["queued", "failed", "delivered"],
        "nothing is erased"
    );
}

#[tokio::test]
async fn attempts_that_came_to_nothing_are_in_the_timeline() {
    let api = TestApi::start().await;
    let id = api.enqueue(json!({})).await;
    let due_at = at("2027-01-01T09:01:00Z");
    api.work("throttled", &Then::Again { due_at }).await;
    let entry = api.entry(&id).await;
    assert_eq!(entry["attempts"], 1);
    assert_eq!(entry["status"], "Awaiting Send");
    assert_eq!(entry["next_attempt_at"], "2027-01-01T09:01:00.000Z");
    assert_eq!(
        entry["timeline"][1],
        json!({"at": "2027-01-01T09:00:00.000Z", "event": "attempt", "outcome": "throttled",
               "provider": "ses", "code": "454", "text": "Throttling failure",
               "next_at": "2027-01-01T09:01:00.000Z",
               "because": "the delivery service asked us to send more slowly"})
    );
    api.clock.set(due_at);
    api.work(
        "unknown",
        &Then::Again {
            due_at: at("2027-01-01T09:02:00Z"),
        },
    )
    .await;
    api.clock.set(at("2027-01-01T09:02:00Z"));
    api.work_sent().await;
    let entry = api.entry(&id).await;
    assert_eq!(events(&entry), ["queued", "attempt", "attempt", "sent"]);
    assert_eq!(entry["attempts"], 3);
}

#[tokio::test]
async fn every_kind_of_feedback_is_in_the_timeline_and_in_the_facts() {
    let api = TestApi::start().await;
    let id = api.enqueue(json!({})).await;
    api.work_sent().await;
    let whats = [
        What::Delayed {
            delay_type: Some("MailboxFull".to_owned()),
            diagnostic: None,
        },
        What::Delivered { response: None },
        What::Clicked {
            link: Some("https://example.com/".to_owned()),
            user_agent: None,
        },
        What::Complained {
            feedback_type: Some("abuse".to_owned()),
        },
        What::ComplaintWithdrawn,
        What::Unsubscribed { how: None },
        What::Resubscribed,
    ];
    for (minute, what) in whats.into_iter().enumerate() {
        api.report(&id, &format!("2027-01-01T10:0{minute}:00Z"), what)
            .await;
    }
    let entry = api.entry(&id).await;
    assert_eq!(
        events(&entry),
        [
            "queued",
            "sent",
            "delayed",
            "delivered",
            "clicked",
            "complained",
            "complaint_withdrawn",
            "unsubscribed",
            "resubscribed"
        ]
    );
    assert_eq!(entry["statuses"], json!(["Opened"]), "a click implies it");
    let facts = &entry["facts"];
    assert_eq!(facts["delayed"]["at"], "2027-01-01T10:00:00.000Z");
    assert_eq!(facts["clicked"]["count"], 1);
    assert_eq!(facts["opened"]["count"], 0);
    assert_eq!(facts["complained"]["feedback_type"], "abuse");
    assert_eq!(facts["unsubscribed"]["at"], "2027-01-01T10:05:00.000Z");
    assert_eq!(entry["timeline"][4]["link"], "https://example.com/");
}

#[tokio::test]
async fn content_is_shown_as_it_was_sent() {
    use crate::support::api::{push, sms};
    let api = TestApi::start().await;
    for (body, content) in [
        (
            sms(json!({})),
            json!({"method": "sms", "from": null, "text": "See you on Monday"}),
        ),
        (
            push(json!({})),
            json!({"method": "push", "title": "Monday", "text": "See you",
                   "data": {"a": [1, {"b": null}]}}),
        ),
    ] {
        let answer = api.post("/v1/notifications", &body).await;
        let id = answer.json()["id"].as_str().unwrap().to_owned();
        let answer = api.get(&format!("/v1/notifications/{id}/content")).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.json(), content);
    }
}
