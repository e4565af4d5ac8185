//! `/v1/clients`: the card made, shown, changed, deactivated.

use serde_json::{Value as Json, json};

use crate::support::api::TestApi;

#[tokio::test]
async fn a_card_is_made_shown_and_changed() {
    let api = TestApi::start().await;
    let new = json!({"id": "C-7", "name": "Ana Ruiz", "email": "Ana@example.com"});
    let answer = api.post("/v1/clients", &new).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    let card = answer.json();
    let expected = json!({"id": "C-7", "name": "Ana Ruiz", "email": "Ana@example.com",
        "phone": null, "location": null, "staff_id": null, "deactivated": false, "deactivated_at": null, "hold": false, "erased_at": null,
        "created_at": "2027-01-01T09:00:00.000Z"});
    assert_eq!(card, expected);
    assert_eq!(api.get("/v1/clients/C-7").await.json(), card);
    assert_eq!(api.post("/v1/clients", &new).await.status, 409);
    let change = async |body: Json| {
        let key = Some(api.key.as_str());
        let answer = api.ask("PATCH", "/v1/clients/C-7", key, Some(&body)).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()
    };
    assert_eq!(change(json!({})).await, card);
    let changed = change(json!({"email": null, "phone": "+1 415 555 0123"})).await;
    assert_eq!(changed["name"], "Ana Ruiz");
    assert_eq!(changed["email"], Json::Null);
    assert_eq!(changed["phone"], "+14155550123");
    let changed = change(json!({"deactivated": true})).await;
    assert_eq!(changed["deactivated"], true);
    assert_eq!(changed["deactivated_at"], "2027-01-01T09:00:00.000Z");
    assert_eq!(
        change(json!({"deactivated": false})).await["deactivated"],
        false
    );
    // The card that an enqueue made is one like the others.
    api.enqueue(json!({})).await;
    assert_eq!(
        api.get("/v1/clients/C-1001").await.json()["phone"],
        "+14155550123"
    );
}

#[tokio::test]
async fn a_card_of_another_business_is_not_there() {
    let api = TestApi::start().await;
    api.post("/v1/clients", &json!({"id": "C-7"})).await;
    let other = api.new_key("other", "admin").await;
    let other = Some(other.as_str());
    let body = json!({"name": "x"});
    for (method, body) in [("GET", None), ("PATCH", Some(&body))] {
        for path in ["/v1/clients/C-7", "/v1/clients/C-8", "/v1/clients/a%0Ab"] {
            let answer = api.ask(method, path, other, body).await;
            assert_eq!(answer.status, 404, "{method} {path}");
        }
    }
    let body = json!({"id": "C-7"});
    let answer = api.ask("POST", "/v1/clients", other, Some(&body)).await;
    assert_eq!(answer.status, 201, "ids are a business's own");
    assert_eq!(api.get("/v1/clients/C-7").await.json()["name"], Json::Null);
}

#[tokio::test]
async fn every_wrong_field_of_a_card_is_named() {
    let api = TestApi::start().await;
    let wrong = json!({"name": "a\nb", "email": "ana", "phone": "123", "deactivated": "yes",
        "uid": "x"});
    let answer = api.post("/v1/clients", &wrong).await;
    assert_eq!(answer.status, 422);
    let errors = answer.errors();
    let pointers: Vec<&str> = errors.iter().map(|(at, _)| at.as_str()).collect();
    for pointer in ["/uid", "/id", "/name", "/email", "/phone", "/deactivated"] {
        assert!(pointers.contains(&pointer), "{pointer} in {}", answer.text);
    }
    api.post("/v1/clients", &json!({"id": "C-7", "name": "Ana"}))
        .await;
    let key = Some(api.key.as_str());
    let body = json!({"id": "C-8", "email": "ana", "name": "Bo"});
    let answer = api.ask("PATCH", "/v1/clients/C-7", key, Some(&body)).await;
    assert_eq!(answer.status, 422);
    assert_eq!(answer.errors().len(), 2);
    assert_eq!(api.get("/v1/clients/C-7").await.json()["name"], "Ana");
    let answer = api.ask("PATCH", "/v1/clients/C-7", key, None).await;
    assert_eq!(answer.status, 400, "no body");
}

/// Three with a card.
async fn three() -> TestApi {
    let api = TestApi::start().await;
    for (id, name, phone) in [
        ("C-1", "Ana Ruiz", "+14155550123"),
        ("C-2", "Bo Ruizhen", "+14155550124"),
        ("C-3", "Cleo Ito", "+14155550125"),
    ] {
        let card =
            json!({"id": id, "name": name, "phone": phone, "email": format!("{id}@example.com")});
        assert_eq!(api.post("/v1/clients", &card).await.status, 201);
    }
    api
}

fn ids(answer: &Json) -> Vec<String> {
    let clients = answer["clients"].as_array().unwrap().iter();
    clients
        .map(|it| it["id"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn clients_are_found_by_what_is_known_of_them() {
    let api = three().await;
    for (search, expected) in [
        ("ruiz", vec!["C-1", "C-2"]),
        ("c-3", vec!["C-3"]),
        ("%2B1%20415%20555%200124", vec!["C-2"]),
        ("c-1@example.com", vec!["C-1"]),
        ("nobody", vec![]),
        ("%00", vec![]),
    ] {
        let answer = api.get(&format!("/v1/clients?search={search}")).await;
        assert_eq!(answer.status, 200, "{search}: {}", answer.text);
        let mut found = ids(&answer.json());
        found.sort_unstable();
        assert_eq!(found, expected, "{search}");
        assert_eq!(
            (&answer.json()["next"], &answer.json()["more"]),
            (&Json::Null, &json!(false))
        );
    }
}

#[tokio::test]
async fn clients_are_listed_page_by_page() {
    let api = three().await;
    let first = api.get("/v1/clients?limit=2").await.json();
    assert_eq!(
        (ids(&first), &first["more"]),
        (vec!["C-1".to_owned(), "C-2".to_owned()], &json!(true))
    );
    assert_eq!(first["clients"][0]["name"], "Ana Ruiz");
    let next = first["next"].as_str().unwrap();
    let second = api
        .get(&format!("/v1/clients?limit=2&cursor={next}"))
        .await
        .json();
    assert_eq!(
        (ids(&second), &second["next"]),
        (vec!["C-3".to_owned()], &Json::Null)
    );
    // The longest id makes the longest cursor.
    let long = format!("0{}", "\u{1F600}".repeat(254));
    assert_eq!(
        api.post("/v1/clients", &json!({"id": long})).await.status,
        201
    );
    let first = api.get("/v1/clients?limit=1").await.json();
    assert_eq!(ids(&first), [long]);
    let next = first["next"].as_str().unwrap();
    let second = api.get(&format!("/v1/clients?limit=1&cursor={next}")).await;
    assert_eq!(ids(&second.json()), ["C-1"]);
    // Whoever was erased has no card.
    let erased = api
        .ask("DELETE", "/v1/clients/C-2", Some(&api.key), None)
        .await;
    assert_eq!(erased.status, 202, "{}", erased.text);
    let left = ids(&api.get("/v1/clients").await.json());
    assert_eq!(left[1..], ["C-1", "C-3"]);
    let errors = api
        .get("/v1/clients?limit=0&cursor=!&name=x")
        .await
        .errors();
    let pointers: Vec<_> = errors.iter().map(|error| error.0.as_str()).collect();
    assert_eq!(pointers, ["/name", "/cursor", "/limit"]);
}
