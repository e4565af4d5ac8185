//! Follow-up tasks over HTTP.

use serde_json::json;

use crate::support::api::{TestApi, at};

const PATH: &str = "/v1/tasks";

#[tokio::test]
async fn tasks_are_made_listed_page_by_page_done_and_opened_again() {
    let api = TestApi::start().await;
    api.post("/v1/clients", &json!({"id": "C-1", "name": "Ana"}))
        .await;
    let mut made = Vec::new();
    for (day, assignee) in [(3, "S-1"), (2, "S-1"), (4, "S-2")] {
        let body = json!({
            "client": "C-1", "title": "Call back", "description": "With an offer",
            "due_at": format!("2027-01-0{day}T09:00:00Z"), "assignee": assignee,
        });
        let answer = api.post(PATH, &body).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        made.push(answer.json());
    }
    assert_eq!(
        (&made[0]["client_name"], &made[0]["done"]),
        (&json!("Ana"), &json!(false))
    );
    let list = async |query: &str| api.get(&format!("{PATH}?{query}")).await.json();
    let first = list("limit=2").await;
    assert_eq!(
        first["tasks"],
        json!([made[1], made[0]]),
        "what is due first"
    );
    let next = first["next"].as_str().unwrap();
    let rest = list(&format!("limit=2&cursor={next}")).await;
    assert_eq!(
        (&rest["tasks"], &rest["next"]),
        (&json!([made[2]]), &json!(null))
    );
    assert_eq!(list("assignee=S-2").await["tasks"], json!([made[2]]));
    let one = format!("{PATH}/{}", made[2]["id"].as_str().unwrap());
    let change = async |body| api.ask("PATCH", &one, Some(&api.key), Some(&body)).await;
    api.clock.set(at("2027-01-01T10:00:00Z"));
    let done = change(json!({"done": true, "staff_id": "S-2"}))
        .await
        .json();
    assert_eq!(
        (&done["done_at"], &done["done_by"]),
        (&json!("2027-01-01T10:00:00.000Z"), &json!("S-2"))
    );
    assert_eq!(list("done=true").await["tasks"], json!([done]));
    assert_eq!(list("").await["tasks"].as_array().unwrap().len(), 2);
    let open = change(json!({"done": false})).await.json();
    assert_eq!(open, made[2]);
}

#[tokio::test]
async fn what_is_wrong_with_a_task_is_named() {
    let api = TestApi::start().await;
    api.post("/v1/clients", &json!({"id": "C-1"})).await;
    let good = json!({
        "client": "C-1", "title": "Call", "due_at": "2027-01-02T09:00:00Z", "assignee": "S-1",
    });
    for (name, value, words) in [
        ("client", json!("C-2"), "no client"),
        ("client", json!(null), "is required"),
        ("title", json!("a\nb"), "one line"),
        ("due_at", json!("2037-06-01T09:00:00Z"), "ten years"),
        ("assignee", json!(7), "must be a string"),
        ("more", json!(1), "is not known here"),
    ] {
        let mut body = good.clone();
        body[name] = value;
        let errors = api.post(PATH, &body).await.errors();
        assert_eq!(
            (errors.len(), &errors[0].0),
            (1, &format!("/{name}")),
            "{errors:?}"
        );
        assert!(errors[0].1.contains(words), "{errors:?}");
    }
    let task = api.post(PATH, &good).await.json();
    let one = format!("{PATH}/{}", task["id"].as_str().unwrap());
    for (body, pointer) in [(json!({}), "/done"), (json!({"done": true}), "/staff_id")] {
        let answer = api.ask("PATCH", &one, Some(&api.key), Some(&body)).await;
        assert_eq!(answer.errors()[0].0, pointer);
    }
    for query in ["limit=0", "cursor=x", "done=maybe", "of=S-1"] {
        let answer = api.get(&format!("{PATH}?{query}")).await;
        assert_eq!(answer.status, 422, "{query}");
    }
    let nobodys = format!("{PATH}/0190a000-0000-7000-8000-000000000000");
    let body = json!({"done": false});
    let answer = api
        .ask("PATCH", &nobodys, Some(&api.key), Some(&body))
        .await;
    assert_eq!(answer.status, 404);
}
