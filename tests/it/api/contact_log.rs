//! Contacts entered by hand over HTTP, and their follow-up tasks.

use sendtrail::domain::id::NotificationId;
use sendtrail::store::changes::Edit;
use serde_json::{Value as Json, json};

use crate::support::api::TestApi;

const PATH: &str = "/v1/clients/C-1/contact-log";

async fn start() -> TestApi {
    let api = TestApi::start().await;
    let made = api
        .post("/v1/clients", &json!({"id": "C-1", "name": "Ana"}))
        .await;
    assert_eq!(made.status, 201);
    api
}

#[tokio::test]
async fn a_contact_is_entered_at_its_date_and_shown_in_the_history() {
    let api = start().await;
    let body = json!({
        "date": "2019-05-01T12:00:00.5+02:00", "method": "in_person", "channel": "Inbound",
        "contact_type": "Membership talk", "staff_id": "S-7", "description": "Asked about pauses.",
        "follow_up": {"title": "Call back", "due_at": "2027-01-05T09:00:00Z", "assignee": "S-8"},
    });
    let answer = api.post(PATH, &body).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    let entry = answer.json();
    for (name, value) in [
        ("date", json!("2019-05-01T10:00:00.500Z")),
        ("method", json!("in_person")),
        ("channel", json!("Inbound")),
        ("type", json!("Visit")),
        ("contact_type", json!("Membership talk")),
        ("user", json!("S-7")),
        ("description", json!("Asked about pauses.")),
        ("statuses", json!([])),
        ("status", json!(null)),
    ] {
        assert_eq!(entry[name], value, "{name} of {entry}");
    }
    let id = NotificationId::parse(entry["id"].as_str().unwrap()).unwrap();
    let tasks = api.store.tasks_of_entry("default", id).await.unwrap();
    assert_eq!(
        (tasks[0].title.as_str(), tasks[0].assignee.as_str()),
        ("Call back", "S-8")
    );
    let brief = json!({"method": "phone", "contact_type": "Message Center", "type": " Long talk "});
    let now = api.post(PATH, &brief).await.json();
    assert_eq!(now["type"], "Long talk");
    assert_eq!(now["date"], "2027-01-01T09:00:00.000Z");
    assert_eq!(
        (&now["user"], &now["channel"]),
        (&json!("No Staff"), &json!("Outbound"))
    );
    let history = api.get("/v1/clients/C-1/history").await.json();
    let ids: Vec<_> = history["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["id"])
        .collect();
    assert_eq!(ids, [&now["id"], &entry["id"]]);
}

#[tokio::test]
async fn the_same_key_and_contact_are_entered_once_and_another_is_refused() {
    let api = start().await;
    let body = json!({"method": "phone", "contact_type": "Talk", "idempotency_key": "k"});
    let first = api.post(PATH, &body).await;
    api.clock
        .set(crate::support::api::at("2027-01-01T09:05:00Z"));
    let again = api.post(PATH, &body).await;
    assert_eq!((first.status.as_u16(), again.status.as_u16()), (201, 200));
    assert_eq!(first.json()["id"], again.json()["id"]);
    let other = json!({"method": "mail", "contact_type": "Talk", "idempotency_key": "k"});
    let taken = api.post(PATH, &other).await;
    assert_eq!(taken.status, 409);
    assert_eq!(taken.errors()[0].0, "/idempotency_key");
    let named = json!({
        "method": "phone", "contact_type": "Talk", "type": "Long talk", "idempotency_key": "k",
    });
    assert_eq!(api.post(PATH, &named).await.status, 409, "another name");
}

#[tokio::test]
async fn every_wrong_field_is_named_and_nothing_is_entered() {
    let api = start().await;
    let body = json!({
        "date": "2027-01-02T09:00:01Z", "method": "fax", "channel": "Sideways", "contact_type": "a\nb",
        "type": "x".repeat(201),
        "staff_id": " S-1", "description": "x".repeat(4_001), "unknown": 1,
        "follow_up": {"title": "", "due_at": "0207-01-01T09:00:00Z", "more": 1},
    });
    let answer = api.post(PATH, &body).await;
    assert_eq!(answer.status, 422);
    let mut pointers: Vec<String> = answer.errors().into_iter().map(|it| it.0).collect();
    pointers.sort_unstable();
    let expected = [
        "/channel",
        "/contact_type",
        "/date",
        "/description",
        "/follow_up/assignee",
        "/follow_up/due_at",
        "/follow_up/more",
        "/follow_up/title",
        "/method",
        "/staff_id",
        "/type",
        "/unknown",
    ];
    assert_eq!(pointers, expected);
    for (body, pointer, words) in [
        (json!({"contact_type": "Talk"}), "/method", "is required"),
        (json!({"method": "phone"}), "/contact_type", "is required"),
        (
            json!({"method": "phone", "contact_type": "Talk", "date": "1989-12-31T23:59:59Z"}),
            "/date",
            "before 1990",
        ),
        (
            json!({"method": "phone", "contact_type": "Talk", "follow_up": "call"}),
            "/follow_up",
            "must be an object",
        ),
    ] {
        let errors = api.post(PATH, &body).await.errors();
        assert!(errors.len() == 1 && errors[0].0 == pointer, "{errors:?}");
        assert!(errors[0].1.contains(words), "{errors:?}");
    }
    let history = api.get("/v1/history").await.json();
    assert_eq!(history["entries"], json!([]));
    let good = json!({"method": "phone", "contact_type": "Talk"});
    let nobody = api.post("/v1/clients/C-2/contact-log", &good).await;
    assert_eq!(nobody.status, 404);
    let deleted = api.ask("DELETE", PATH, Some(&api.key), None).await;
    assert_eq!(deleted.status, 405, "nothing is deleted");
}

#[tokio::test]
async fn a_description_is_changed_with_the_former_kept_and_nothing_is_deleted() {
    let api = start().await;
    let contact =
        json!({"method": "phone", "contact_type": "Talk", "description": "Asked for Monday."});
    let entry = api.post(PATH, &contact).await.json();
    let id = entry["id"].as_str().unwrap();
    let path = format!("/v1/contact-log/{id}");
    let ask = async |body: &Json| api.ask("PATCH", &path, Some(&api.key), Some(body)).await;
    let edited = ask(&json!({"description": "Asked for Tuesday.", "staff_id": "S-7"})).await;
    assert_eq!(edited.status, 200, "{}", edited.text);
    assert_eq!(edited.json()["description"], "Asked for Tuesday.");
    assert_eq!(
        ask(&json!({"description": null})).await.json()["description"],
        Json::Null
    );
    let id = NotificationId::parse(id).unwrap();
    let record = api.store.entry_changes("default", id).await.unwrap();
    let told: Vec<_> = record.into_iter().map(|it| (it.user, it.edit)).collect();
    let edit = |before: &str, after: Option<&str>| Edit::Description {
        before: Some(before.to_owned()),
        after: after.map(ToOwned::to_owned),
    };
    let expected = [
        (
            "S-7".to_owned(),
            edit("Asked for Monday.", Some("Asked for Tuesday.")),
        ),
        ("Application".to_owned(), edit("Asked for Tuesday.", None)),
    ];
    assert_eq!(told, expected);
    for wrong in [
        json!({}),
        json!({"description": "x".repeat(4_001)}),
        json!({"description": "x", "type": "y"}),
    ] {
        assert_eq!(ask(&wrong).await.errors().len(), 1, "{wrong}");
    }
    let unknown = "/v1/contact-log/01890000-0000-7000-8000-000000000000";
    let unknown = api
        .ask(
            "PATCH",
            unknown,
            Some(&api.key),
            Some(&json!({"description": "x"})),
        )
        .await;
    assert_eq!(unknown.status, 404);
    assert_eq!(
        api.ask("DELETE", &path, Some(&api.key), None).await.status,
        405
    );
}
