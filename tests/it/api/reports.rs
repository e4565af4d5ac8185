//! `POST /v1/notifications/{id}/events`: what applications know of their notifications.

use sendtrail::domain::event::What;
use sendtrail::store::record::Then;
use serde_json::{Value as Json, json};

use crate::support::api::{START, TestApi, at, email, push, sms};
use crate::support::db::{TestDb, both};

both!(
    what_the_app_saw_is_in_the_facts_and_in_the_timeline_as_its_word,
    a_push_opened_at_once_was_opened_by_a_person,
    a_report_told_again_is_recorded_once,
    an_id_names_one_event,
    what_was_seen_has_gone_whatever_became_of_the_answer,
    everything_wrong_is_named_at_once,
    only_what_an_application_can_see_is_taken,
    times_that_cannot_be_true_are_refused,
    a_notification_of_another_business_is_not_found,
);

fn path(id: &str) -> String {
    format!("/v1/notifications/{id}/events")
}

async fn enqueued(api: &TestApi, new: &Json) -> String {
    let answer = api.post("/v1/notifications", new).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    answer.json()["id"].as_str().unwrap().to_owned()
}

/// Enqueued and taken over by a provider.
async fn sent(api: &TestApi, new: &Json) -> String {
    let id = enqueued(api, new).await;
    let accepted = What::Accepted {
        provider: "test".to_owned(),
        provider_message_id: None,
        opens_tracked: false,
    };
    api.report(&id, START, accepted).await;
    id
}

async fn what_the_app_saw_is_in_the_facts_and_in_the_timeline_as_its_word(db: &TestDb) {
    let api = TestApi::on(db).await;
    let id = sent(&api, &push(json!({}))).await;
    api.clock.set(at("2027-01-01T09:10:00Z"));
    let link = "https://example.com/bookings/8812";
    for (body, shown) in [
        (
            json!({"kind": "delivered", "occurred_at": "2027-01-01T09:00:01+00:00"}),
            json!({"kind": "delivered", "occurred_at": "2027-01-01T09:00:01.000Z", "link": null,
                "id": null, "duplicate": false}),
        ),
        (
            json!({"kind": "opened", "id": "open-1"}),
            json!({"kind": "opened", "occurred_at": "2027-01-01T09:10:00.000Z", "link": null,
                "id": "open-1", "duplicate": false}),
        ),
        (
            json!({"kind": "clicked", "link": link, "occurred_at": "2027-01-01T09:05:00Z"}),
            json!({"kind": "clicked", "occurred_at": "2027-01-01T09:05:00.000Z", "link": link,
                "id": null, "duplicate": false}),
        ),
    ] {
        let answer = api.post(&path(&id), &body).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        assert_eq!(answer.json(), shown);
    }
    let entry = api.entry(&id).await;
    let told: Vec<(&str, &str)> = entry["timeline"].as_array().unwrap()[2..]
        .iter()
        .map(|moment| {
            let text = |name: &str| moment[name].as_str().unwrap();
            (text("event"), text("source"))
        })
        .collect();
    let expected = ["delivered", "clicked", "opened"].map(|event| (event, "application"));
    assert_eq!(told, expected);
    assert_eq!(entry["facts"]["opened"]["count"], 1);
    assert_eq!(entry["facts"]["clicked"]["count"], 1);
}

/// A push is tapped within seconds, by a person; only pictures in email are loaded ahead.
async fn a_push_opened_at_once_was_opened_by_a_person(db: &TestDb) {
    let api = TestApi::on(db).await;
    let id = sent(&api, &push(json!({}))).await;
    let answer = api.post(&path(&id), &json!({"kind": "opened"})).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    let opened = &api.entry(&id).await["facts"]["opened"];
    assert_eq!(
        (&opened["count"], &opened["likely_automatic"]),
        (&json!(1), &json!(false))
    );
}

async fn a_report_told_again_is_recorded_once(db: &TestDb) {
    let api = TestApi::on(db).await;
    let id = sent(&api, &email(json!({}))).await;
    api.clock.set(at("2027-01-01T09:10:00Z"));
    for body in [
        json!({"kind": "opened", "id": "open-1"}),
        json!({"kind": "opened", "occurred_at": "2027-01-01T09:05:00Z"}),
        json!({"kind": "clicked", "occurred_at": "2027-01-01T09:05:00Z", "link": "a"}),
        json!({"kind": "clicked", "occurred_at": "2027-01-01T09:05:00Z", "link": "b"}),
    ] {
        let first = api.post(&path(&id), &body).await;
        assert_eq!(first.status, 201, "{}", first.text);
        api.clock.set(at("2027-01-01T09:11:00Z"));
        let again = api.post(&path(&id), &body).await;
        assert_eq!(again.status, 200, "{}", again.text);
        let mut shown = first.json();
        shown["duplicate"] = true.into();
        assert_eq!(again.json(), shown, "as it was recorded");
    }
    let facts = &api.entry(&id).await["facts"];
    assert_eq!(facts["opened"]["count"], 2);
    assert_eq!(facts["clicked"]["count"], 2);
}

async fn an_id_names_one_event(db: &TestDb) {
    let api = TestApi::on(db).await;
    let id = sent(&api, &email(json!({}))).await;
    let first = json!({"kind": "clicked", "id": "e-1", "occurred_at": "2027-01-01T09:00:00Z"});
    assert_eq!(api.post(&path(&id), &first).await.status, 201);
    for other in [
        json!({"kind": "opened", "id": "e-1"}),
        json!({"kind": "clicked", "id": "e-1", "link": "https://example.com/"}),
        json!({"kind": "clicked", "id": "e-1", "occurred_at": "2027-01-01T09:00:01Z"}),
    ] {
        let answer = api.post(&path(&id), &other).await;
        assert_eq!(answer.status, 409, "{}", answer.text);
        assert_eq!(answer.errors()[0].0, "/id");
    }
    // Of another notification it is another one.
    let second = sent(&api, &email(json!({}))).await;
    assert_eq!(api.post(&path(&second), &first).await.status, 201);
}

async fn what_was_seen_has_gone_whatever_became_of_the_answer(db: &TestDb) {
    let api = TestApi::on(db).await;
    let id = enqueued(&api, &email(json!({}))).await;
    let claim = api.claim().await;
    assert_eq!(claim.jobs.len(), 1);
    let answer = api.post(&path(&id), &json!({"kind": "opened"})).await;
    assert_eq!(answer.status, 201, "in hand: {}", answer.text);
    assert_eq!(api.entry(&id).await["statuses"], json!(["Opened"]));
    let held = enqueued(&api, &email(json!({}))).await;
    api.work("unknown", &Then::Hold).await;
    let answer = api.post(&path(&held), &json!({"kind": "clicked"})).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    let entry = api.entry(&held).await;
    assert_eq!(entry["statuses"], json!(["Opened"]));
    let waiting = api.get("/v1/notifications?state=held").await.json();
    assert_eq!(
        waiting["notifications"],
        json!([]),
        "nothing is left to decide"
    );
}

async fn everything_wrong_is_named_at_once(db: &TestDb) {
    let api = TestApi::on(db).await;
    let id = sent(&api, &email(json!({}))).await;
    let body = json!({
        "kind": "delivered", "occurred_at": "2027-01-01T09:05:01Z", "id": " x", "link": "a\nb",
        "why": 1,
    });
    let answer = api.post(&path(&id), &body).await;
    assert_eq!(answer.status, 422);
    let mut pointers: Vec<String> = answer.errors().into_iter().map(|(at, _)| at).collect();
    pointers.sort();
    let expected = ["/id", "/kind", "/link", "/link", "/occurred_at", "/why"];
    assert_eq!(pointers, expected, "{}", answer.text);
    for (body, pointer) in [
        (json!({}), "/kind"),
        (json!({"kind": "bounced"}), "/kind"),
        (
            json!({"kind": "opened", "occurred_at": "yesterday"}),
            "/occurred_at",
        ),
        (
            json!({"kind": "clicked", "link": "x".repeat(2_001)}),
            "/link",
        ),
        (json!([]), ""),
    ] {
        let answer = api.post(&path(&id), &body).await;
        assert_eq!(answer.status, 422, "{body}");
        assert_eq!(answer.errors()[0].0, pointer, "{}", answer.text);
    }
    let facts = &api.entry(&id).await["facts"];
    assert_eq!(facts["opened"], Json::Null, "nothing was recorded");
}

async fn only_what_an_application_can_see_is_taken(db: &TestDb) {
    let api = TestApi::on(db).await;
    let (mail, text) = (email(json!({})), sms(json!({})));
    for (new, kind, status) in [
        (&mail, "delivered", 422),
        (&mail, "opened", 201),
        (&mail, "clicked", 201),
        (&text, "delivered", 422),
        (&text, "opened", 422),
        (&text, "clicked", 201),
    ] {
        let id = sent(&api, new).await;
        let answer = api.post(&path(&id), &json!({"kind": kind})).await;
        assert_eq!(answer.status, status, "{kind}: {}", answer.text);
    }
    for new in [&mail, &text] {
        let id = enqueued(&api, new).await;
        let answer = api.post(&path(&id), &json!({"kind": "clicked"})).await;
        assert_eq!(answer.status, 409, "it waits: {}", answer.text);
        let cancel = format!("/v1/notifications/{id}/cancel");
        assert_eq!(api.post(&cancel, &json!({})).await.status, 200);
        let answer = api.post(&path(&id), &json!({"kind": "clicked"})).await;
        assert_eq!(answer.status, 409, "it was stopped: {}", answer.text);
    }
    let by_hand = sent(&api, &email(json!({}))).await;
    let manual = if db.is_postgres() { "true" } else { "1" };
    db.execute(&format!(
        "UPDATE contact_log SET manual = {manual} WHERE id = '{by_hand}'"
    ))
    .await;
    let answer = api.post(&path(&by_hand), &json!({"kind": "opened"})).await;
    assert_eq!(answer.status, 409, "{}", answer.text);
}

async fn times_that_cannot_be_true_are_refused(db: &TestDb) {
    let api = TestApi::on(db).await;
    let id = sent(&api, &email(json!({}))).await;
    api.clock.set(at("2027-01-01T10:00:00Z"));
    for (time, status) in [
        ("2027-01-01T08:54:59.999Z", 422),
        // By a phone whose clock is behind: it cannot have been before the enqueue.
        ("2027-01-01T08:55:00Z", 201),
        ("2027-01-01T09:00:00Z", 200),
        ("2027-01-01T10:05:00Z", 201),
        ("2027-01-01T10:05:00.001Z", 422),
    ] {
        let body = json!({"kind": "opened", "occurred_at": time});
        let answer = api.post(&path(&id), &body).await;
        assert_eq!(answer.status, status, "{time}: {}", answer.text);
        if status == 422 {
            assert_eq!(answer.errors()[0].0, "/occurred_at");
        }
    }
}

async fn a_notification_of_another_business_is_not_found(db: &TestDb) {
    let api = TestApi::on(db).await;
    let id = sent(&api, &email(json!({}))).await;
    let other = api.new_key("other", "enqueue,read").await;
    let wrong_too = json!({"kind": "nonsense"});
    for (id, body) in [
        (id.as_str(), &json!({"kind": "opened"})),
        (id.as_str(), &wrong_too),
        ("0197f0a0-0000-7000-8000-000000000000", &wrong_too),
    ] {
        let answer = api.ask("POST", &path(id), Some(&other), Some(body)).await;
        assert_eq!(answer.status, 404, "{}", answer.text);
    }
    assert_eq!(db.count("delivery_events").await, 1, "its acceptance");
}
