//! `/v1/business`: who a business writes as.

use serde_json::{Value as Json, json};

use crate::support::api::{Answer, TestApi, sms};

const PATH: &str = "/v1/business";

async fn change(api: &TestApi, body: &Json) -> Answer {
    api.ask("PATCH", PATH, Some(&api.key), Some(body)).await
}

#[tokio::test]
async fn who_a_business_writes_as_is_changed_field_by_field() {
    let api = TestApi::start().await;
    let plain = json!({"id": "default", "name": "Default", "email_from": null, "reply_to": null,
                       "sms_from": null, "tracking": []});
    assert_eq!(api.get(PATH).await.json(), plain);
    let body =
        json!({"email_from": "\"Shop, Ltd\" <shop@example.com>", "sms_from": "+1 415 555 0199"});
    let answer = change(&api, &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let answer = change(
        &api,
        &json!({"reply_to": " Answers  <answers@example.com>"}),
    )
    .await;
    let business = answer.json();
    assert_eq!(business["email_from"], "\"Shop, Ltd\" <shop@example.com>");
    assert_eq!(business["reply_to"], "Answers <answers@example.com>");
    assert_eq!(business["sms_from"], "+14155550199");
    assert_eq!(api.get(PATH).await.json(), business);

    let id = api.enqueue(json!({})).await;
    let text = api.post("/v1/notifications", &sms(json!({}))).await.json();
    let answer = change(
        &api,
        &json!({"email_from": null, "reply_to": null, "sms_from": null}),
    )
    .await;
    assert_eq!(answer.json(), plain, "back to the settings");
    let content = api
        .get(&format!("/v1/notifications/{id}/content"))
        .await
        .json();
    assert_eq!(
        content["from"], "\"Shop, Ltd\" <shop@example.com>",
        "as it was enqueued"
    );
    assert_eq!(content["reply_to"], "Answers <answers@example.com>");
    let text = text["id"].as_str().unwrap();
    let content = api
        .get(&format!("/v1/notifications/{text}/content"))
        .await
        .json();
    assert_eq!(
        content,
        json!({"method": "sms", "from": "+14155550199", "text": "See you on Monday"})
    );
    let own = json!({"content": {"subject": "x", "text": "x", "reply_to": "me@example.com"}});
    let id = api.enqueue(own).await;
    let content = api
        .get(&format!("/v1/notifications/{id}/content"))
        .await
        .json();
    assert_eq!(
        (&content["from"], &content["reply_to"]),
        (&Json::Null, &json!("me@example.com"))
    );
}

#[tokio::test]
async fn wrong_senders_are_named_together_and_change_nothing() {
    let api = TestApi::start().await;
    let body = json!({"email_from": "a@example.com\r\nBcc: b@example.com", "reply_to": 7,
                      "sms_from": "TooLongAName", "name": "x"});
    let answer = change(&api, &body).await;
    assert_eq!(answer.status, 422);
    let errors = answer.errors();
    let pointers: Vec<&str> = errors.iter().map(|(pointer, _)| pointer.as_str()).collect();
    assert_eq!(pointers, ["/name", "/email_from", "/reply_to", "/sms_from"]);
    let one_wrong = json!({"email_from": "a@example.com", "reply_to": "nobody"});
    assert_eq!(change(&api, &one_wrong).await.status, 422);
    assert_eq!(api.get(PATH).await.json()["email_from"], Json::Null);
    assert_eq!(change(&api, &json!([])).await.status, 422);
    assert_eq!(
        api.ask("PATCH", PATH, Some(&api.key), None).await.status,
        400
    );
}

#[tokio::test]
async fn tracking_is_asked_for_by_contact_type_and_wrong_wishes_are_named() {
    let api = TestApi::start().await;
    let both = json!({"contact_type": "Newsletter", "opens": true, "clicks": true});
    let opens = json!({"contact_type": "Offers", "opens": true, "clicks": false});
    let answer = change(&api, &json!({"tracking": [opens, both]})).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.json()["tracking"], json!([both, opens]));
    let none = json!({"contact_type": "Offers", "opens": false, "clicks": false});
    let answer = change(&api, &json!({"tracking": [none]})).await;
    assert_eq!(answer.json()["tracking"], json!([both]), "others stay");
    let answer = change(&api, &json!({"email_from": "a@example.com"})).await;
    assert_eq!(answer.json()["tracking"], json!([both]));
    let many = vec![both.clone(); 101];
    for (tracking, pointers) in [
        (json!("Newsletter"), vec!["/tracking"]),
        (json!(many), vec!["/tracking"]),
        (json!(["Newsletter"]), vec!["/tracking/0"]),
        (json!([{}]), vec!["contact_type", "opens", "clicks"]),
        (
            json!([{"contact_type": "a\nb", "opens": 1, "clicks": "yes", "links": true}]),
            vec!["links", "contact_type", "opens", "clicks"],
        ),
    ] {
        let answer = change(&api, &json!({"tracking": tracking})).await;
        assert_eq!(answer.status, 422, "{tracking}");
        let wrong: Vec<String> = answer.errors().into_iter().map(|(at, _)| at).collect();
        let expected = pointers.iter().map(|name| match name.strip_prefix('/') {
            Some(_) => (*name).to_owned(),
            None => format!("/tracking/0/{name}"),
        });
        assert_eq!(wrong, expected.collect::<Vec<_>>());
    }
    assert_eq!(api.get(PATH).await.json()["tracking"], json!([both]));
}

#[tokio::test]
async fn only_an_administrator_changes_it_and_only_of_its_own_business() {
    let api = TestApi::start().await;
    let reader = api.new_key("default", "read,enqueue").await;
    let body = json!({"email_from": "a@example.com"});
    assert_eq!(
        api.ask("PATCH", PATH, Some(&reader), Some(&body))
            .await
            .status,
        403
    );
    assert_eq!(api.ask("GET", PATH, Some(&reader), None).await.status, 200);
    let other = api.new_key("other", "admin").await;
    let answer = api.ask("PATCH", PATH, Some(&other), Some(&body)).await;
    assert_eq!(answer.json()["id"], "other");
    assert_eq!(api.get(PATH).await.json()["email_from"], Json::Null);
}
